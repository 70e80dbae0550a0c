-- The role that Hasura (and the sandbox's engine) works as. It reads, it calls the functions it is
-- granted, and it can write no money table: `SET ROLE munim_hasura`, or a login that is its member.
do $$
begin
    create role munim_hasura nologin;
exception
    when duplicate_object or unique_violation then null;  -- roles belong to the whole cluster
end;
$$;

-- The role that writes the outbox. Hasura may put triggers there, and a trigger runs as whoever
-- writes: so the writer must be nobody who could do more than Hasura.
do $$
begin
    create role munim_outbox nologin;
exception
    when duplicate_object or unique_violation then null;
end;
$$;

grant munim_hasura to munim_outbox;
grant munim_hasura, munim_outbox to current_user;

do $$
begin
    execute format('grant connect, create on database %I to munim_hasura', current_database());
end;
$$;

revoke create on schema public from public;
grant usage on schema public to munim_hasura;

-- A function is callable by those who are granted it, and by nobody else.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public grant select on tables to munim_hasura;

create function require_service(p_session json) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if coalesce(p_session ->> 'x-hasura-role', '') not in ('service', 'admin') then
        raise exception 'forbidden: role % may not do this', p_session ->> 'x-hasura-role'
            using errcode = '22B03';
    end if;
end;
$$;
comment on function require_service is
'Money functions are for the service, and for an administrator''s console; whatever metadata says.';
