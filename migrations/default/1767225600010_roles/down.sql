drop function require_service;
alter default privileges in schema public revoke select on tables from munim_hasura;
alter default privileges grant execute on functions to public;
revoke usage on schema public from munim_hasura;

do $$
begin
    execute format('revoke connect, create on database %I from munim_hasura', current_database());
end;
$$;
