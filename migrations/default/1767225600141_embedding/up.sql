-- Which sites may show an organisation's payment pages inside their own.
create function may_embed(p_origin text, p_livemode boolean) returns boolean
language sql immutable
begin atomic
select
    length(p_origin) <= 261
    and p_origin !~ ':(80|443)$'
    and (
        p_origin
        ~ '^https://([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+'
        '[a-z]([a-z0-9-]{0,61}[a-z0-9])?(:[1-9][0-9]{0,4})?$'
        or (not p_livemode and p_origin ~ '^http://(localhost|127[.]0[.]0[.]1)(:[1-9][0-9]{0,4})?$')
    );
end;
comment on function may_embed is
'Whether a text is an origin as browsers write it: https and a name, with a port where it is not the '
'usual one; no path, no wildcard, no bare number. In test mode the developer''s own machine, too.';

create table embedding_origins (
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    origin text not null,
    created_by text not null,
    created_at timestamptz not null default clock_now(),
    primary key (origin, organization_id, livemode),
    constraint embedding_origin_is_an_origin check (may_embed(origin, livemode))
);
comment on table embedding_origins is
'The sites that may show an organisation''s payment pages in a frame: whoever may frame a page may lay '
'something over it. Without a row nobody may.';
comment on column embedding_origins.origin is 'As browsers write it: https://shop.example.';
comment on column embedding_origins.created_by is 'Who allowed it.';

create index embedding_origins_by_organization on embedding_origins (organization_id, livemode);

create function set_embedding_origins(hasura_session json, p_origins jsonb)
returns setof embedding_origins
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_origins constant text[] := array(select jsonb_array_elements_text(p_origins));
    v_organization organizations;
    v_wrong text := (
        select origin from unnest(v_origins) as origin where not may_embed(origin, v_livemode)
        limit 1
    );
begin
    perform require_actor_role(hasura_session, array['owner']);
    perform require_read_committed();
    select * into v_organization
    from organizations
    where id::text = hasura_session ->> 'x-hasura-organization-id'
    for no key update;
    if v_organization.id is null then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if v_wrong is not null or cardinality(v_origins) > 20 then
        raise exception 'invalid-input: % is not the origin of a site, such as https://shop.example',
            coalesce(left(v_wrong, 100), 'a list of more than twenty')
            using errcode = '22B20';
    end if;

    delete from embedding_origins
    where organization_id = v_organization.id and livemode = v_livemode
        and origin <> all(v_origins);
    insert into embedding_origins (organization_id, livemode, origin, created_by)
    select distinct v_organization.id, v_livemode, origin, hasura_session ->> 'x-hasura-user-id'
    from unnest(v_origins) as origin
    on conflict (origin, organization_id, livemode) do nothing;
    return query
    select * from embedding_origins
    where organization_id = v_organization.id and livemode = v_livemode
    order by origin;
end;
$$;
comment on function set_embedding_origins is
'Says which sites may frame the organisation''s payment pages: these and no others. Twice is once.';
grant execute on function set_embedding_origins to munim_hasura;

revoke insert, update, delete, truncate on embedding_origins from public, munim_hasura;
