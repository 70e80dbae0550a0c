create table events (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    type text not null,
    object_type text not null,
    object_id uuid not null,
    sequence bigint not null,
    data jsonb not null,
    created_at timestamptz not null default clock_now(),
    constraint event_has_its_place unique (object_type, object_id, sequence),
    constraint event_type_is_dotted check (type ~ '^[a-z_]+\.[a-z_]+$')
);
comment on table events is
'The outbox: one row a business fact, written in the fact''s own transaction. Append-only.';
comment on column events.sequence is 'Order among the events of one object, without gaps.';

create index events_by_organization on events (organization_id, created_at);

create trigger events_are_append_only
before update or delete or truncate on events
for each statement execute function refuse_to_rewrite_history();

create function record_event(
    p_organization_id uuid,
    p_livemode boolean,
    p_type text,
    p_object_type text,
    p_object_id uuid,
    p_data jsonb
) returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    -- The caller holds the object's lock, so that two facts of it never take one number.
    insert into events (organization_id, livemode, type, object_type, object_id, sequence, data)
    select
        p_organization_id, p_livemode, p_type, p_object_type, p_object_id,
        coalesce(max(sequence), 0) + 1, p_data
    from events
    where object_type = p_object_type and object_id = p_object_id;
end;
$$;
comment on function record_event is 'Writes a fact to the outbox, in the transaction of the fact.';

-- The outbox is written by a role that can do nothing else: see munim_outbox in roles.
revoke insert, update, delete, truncate on events from public, munim_hasura;
grant insert on events to munim_outbox;
grant trigger on events to munim_hasura;
grant create on schema public to munim_outbox;
alter function record_event owner to munim_outbox;
revoke create on schema public from munim_outbox;
