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

create table event_profiles (
    profile text primary key,
    source text not null,
    constraint event_profile_is_a_word check (profile ~ '^[a-z][a-z0-9_]*$'),
    -- A bus takes no other; what begins with aws. is its owner's.
    constraint event_profile_source_is_a_name check (
        source ~ '^[A-Za-z0-9._/-]{1,255}$' and source !~ '^aws\.'
    )
);
comment on table event_profiles is
'In whose words events go out: munim has ours, others what their document says, by event_words.';
comment on column event_profiles.source is 'The source of events that the profile has no words for.';
insert into event_profiles (profile, source) values
('munim', 'munim'),
('novamart', 'novamart.payments'),
('ubertruck', 'payment.service');

create table event_destinations (
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    destination text not null,
    profile text not null default 'munim' references event_profiles (profile),
    is_active boolean not null default true,
    created_at timestamptz not null default clock_now(),
    primary key (organization_id, livemode, destination),
    constraint event_destination_is_known check (destination in ('eventbridge', 'url'))
);
comment on table event_destinations is
'Where an organisation''s events go, besides the outbox. eventbridge is the bus EVENT_BUS_NAME, url is '
'the address EVENTS_URL. Without a row nothing leaves.';
comment on column event_destinations.is_active is
'False: what is recorded from now on stays here; what was recorded before still goes.';

create table event_publications (
    event_id uuid not null references events (id),
    destination text not null,
    organization_id uuid not null,
    livemode boolean not null,
    status text not null default 'pending',
    attempts smallint not null default 0,
    due_at timestamptz default clock_now(),
    published_at timestamptz,
    last_error text,
    created_at timestamptz not null default clock_now(),
    primary key (event_id, destination),
    constraint event_publication_has_a_destination
    foreign key (organization_id, livemode, destination)
    references event_destinations (organization_id, livemode, destination),
    constraint event_publication_status_is_known check (
        status in ('pending', 'published', 'parked')
    ),
    constraint pending_event_publication_is_due check ((status = 'pending') = (due_at is not null)),
    constraint published_event_says_when check ((status = 'published') = (published_at is not null))
);
comment on table event_publications is
'An event on its way to a destination, written with the event. published: the destination has '
'acknowledged it; parked: it would not take it, and a person sees it among the exceptions.';
comment on column event_publications.due_at is
'When it is sent next. Whoever sends puts it off first, so that a sender who dies keeps nothing back.';

create index event_publications_to_send on event_publications (due_at, destination)
where due_at is not null;
comment on index event_publications_to_send is 'Queue of publish_events.';

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
    with recorded as (
        insert into events (
            organization_id, livemode, type, object_type, object_id, sequence, data
        )
        select
            p_organization_id, p_livemode, p_type, p_object_type, p_object_id,
            coalesce(max(sequence), 0) + 1, p_data
        from events
        where object_type = p_object_type and object_id = p_object_id
        returning id, organization_id, livemode
    )

    insert into event_publications (event_id, destination, organization_id, livemode)
    select
        recorded.id, event_destinations.destination, recorded.organization_id, recorded.livemode
    from recorded
    inner join event_destinations
        on event_destinations.organization_id = recorded.organization_id
        and event_destinations.livemode = recorded.livemode and event_destinations.is_active;
end;
$$;
comment on function record_event is
'Writes a fact to the outbox, in the transaction of the fact, and has it sent where the organisation '
'wants its events.';

create function record_events(p_events events[]) returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    with recorded as (
        insert into events (organization_id, livemode, type, object_type, object_id, sequence, data)
        select
            organization_id, livemode, type, object_type, object_id,
            coalesce(
                (
                    select max(earlier.sequence) from events as earlier
                    where earlier.object_type = event.object_type
                        and earlier.object_id = event.object_id
                ), 0
            ) + 1,
            data
        from unnest(p_events) as event
        returning id, organization_id, livemode
    )

    insert into event_publications (event_id, destination, organization_id, livemode)
    select recorded.id, destination, organization_id, livemode
    from recorded
    inner join event_destinations using (organization_id, livemode)
    where event_destinations.is_active;
end;
$$;
comment on function record_events is
'Writes facts to the outbox as record_event does, in one statement: one of each object at most.';

-- The outbox is written by a role that can do nothing else: see munim_outbox in roles.
revoke insert, update, delete, truncate on events, event_publications from public, munim_hasura;
grant insert on events, event_publications to munim_outbox;
grant update on event_publications to munim_outbox;
grant trigger on events, event_publications to munim_hasura;
grant create on schema public to munim_outbox;
alter function record_event owner to munim_outbox;
alter function record_events owner to munim_outbox;
revoke create on schema public from munim_outbox;
