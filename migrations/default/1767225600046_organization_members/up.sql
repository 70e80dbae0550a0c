-- Who works for an organisation. A token says who somebody is; what they may do with a second person
-- is asked here, since a token lives longer than a job.
create table organization_members (
    user_id text not null,
    organization_id uuid not null references organizations (id),
    role text not null,
    status text not null default 'active',
    set_by text not null,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    primary key (user_id, organization_id),
    constraint member_user_id_has_a_length check (length(user_id) between 1 and 255),
    constraint member_role_is_known check (
        role in ('owner', 'finance', 'dispatcher', 'developer', 'viewer')
    ),
    constraint member_status_is_known check (status in ('active', 'suspended')),
    constraint member_is_set_by_another check (set_by <> 'user:' || user_id)
);
comment on table organization_members is
'The people of an organisation and their one role in it, live and test alike.';
comment on column organization_members.user_id is 'The login''s x-hasura-user-id.';
comment on column organization_members.set_by is
'Who gave them this role or took it: another person, or the service.';

create trigger organization_member_updated_at
before update on organization_members
for each row execute function touch_updated_at();

create function set_organization_member(
    hasura_session json, p_user_id text, p_role text, p_status text
) returns setof organization_members
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_by text := acting_principal(hasura_session);
    v_organization_id uuid := (hasura_session ->> 'x-hasura-organization-id')::uuid;
begin
    perform require_actor_role(hasura_session, array['service', 'operator', 'owner']);
    perform require_read_committed();
    -- Both in one order: two owners who suspend each other would wait for ever.
    perform from organization_members
    where user_id in (p_user_id, hasura_session ->> 'x-hasura-user-id')
        and organization_id = v_organization_id
    order by user_id
    for no key update;
    if hasura_session ->> 'x-hasura-actor-role' = 'owner' then
        perform acting_member(hasura_session, array['owner']);
    end if;
    if v_organization_id is null
        or not exists (select from organizations where id = v_organization_id)
    then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if v_by = 'user:' || p_user_id then
        raise exception 'second-person-needed: nobody gives a role to themselves, or takes it'
            using errcode = '22B27';
    end if;

    return query
    insert into organization_members as known (user_id, organization_id, role, status, set_by)
    values (p_user_id, v_organization_id, p_role, p_status, v_by)
    on conflict (user_id, organization_id) do update
    set role = excluded.role, status = excluded.status, set_by = excluded.set_by
    returning known.*;
end;
$$;
comment on function set_organization_member is
'Gives somebody their role in an organisation, or suspends them. An owner does, or the platform; never '
'for themselves.';
grant execute on function set_organization_member to munim_hasura;

create function is_member(p_organization_id uuid, p_user_id text, p_roles text[]) returns boolean
language sql stable
begin atomic
select exists(
    select from organization_members
    where user_id = p_user_id and organization_id = p_organization_id
        and status = 'active' and role = any(p_roles)
);
end;
comment on function is_member is 'Whether somebody works for an organisation in such a role at present.';

create function acting_member(p_session json, p_roles text[]) returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_user_id text;
begin
    perform require_actor_role(p_session, p_roles);
    -- Shared, so that whoever is suspended at this moment is so before this, or after it.
    select user_id into v_user_id
    from organization_members
    where user_id = p_session ->> 'x-hasura-user-id'
        and organization_id::text = p_session ->> 'x-hasura-organization-id'
        and status = 'active' and role = any(p_roles)
    for share;
    if v_user_id is null then
        raise exception 'forbidden: only who is % of this organisation at present may do this',
            array_to_string(p_roles, ' or ')
            using errcode = '22B03';
    end if;
    return v_user_id;
end;
$$;
comment on function acting_member is
'The person who acts, by their session''s word and by our own list; refuses anybody else.';

revoke insert, update, delete, truncate on organization_members from public, munim_hasura;
