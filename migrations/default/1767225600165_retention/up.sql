-- The wording of messages is kept for as long as somebody may ask for it, and no longer: payers' names and
-- addresses are in it. That one came, what it said in our words, and what became of it, stay for ever.
create table retention_marks (
    kind text not null,
    livemode boolean not null,
    forgotten_until timestamptz not null,
    primary key (kind, livemode)
);
comment on table retention_marks is 'Up to when messages of a kind have been forgotten.';

create function forget_gateway_messages(hasura_session json, p_days integer)
returns setof retention_marks
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_kind constant text := 'gateway_messages';
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_end constant timestamptz := clock_now() - make_interval(days => p_days);
    v_mark retention_marks;
    v_until timestamptz;
    v_ids uuid[] := '{}';
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    if not exists (select from retention_marks where kind = v_kind and livemode = v_livemode) then
        insert into retention_marks (kind, livemode, forgotten_until)
        select v_kind, v_livemode, coalesce(min(created_at), v_end)
        from gateway_events
        where livemode = v_livemode
        on conflict (kind, livemode) do nothing;
    end if;
    select * into strict v_mark
    from retention_marks
    where kind = v_kind and livemode = v_livemode
    for no key update;

    -- Hour by hour, past those in which there is nothing: whoever looks at all of them reads all.
    v_until := v_mark.forgotten_until;
    while v_until < v_end and cardinality(v_ids) = 0 loop
        v_mark.forgotten_until := v_until;
        v_until := least(v_until + interval '1 hour', v_end);
        -- What a person is still to look at stays whole; so does what is not applied yet.
        v_ids := array(
            select id
            from gateway_events
            where created_at >= v_mark.forgotten_until and created_at < v_until
                and livemode = v_livemode and status in ('applied', 'ignored') and payload <> '{}'
            order by id
            for no key update
        );
    end loop;
    update gateway_events set payload = '{}' where id = any(v_ids);
    update retention_marks set forgotten_until = v_until
    where kind = v_kind and livemode = v_livemode and forgotten_until < v_until
    returning * into v_mark;
    if cardinality(v_ids) > 0 then
        return next v_mark;
    end if;
end;
$$;
comment on function forget_gateway_messages is
'Forgets the wording of an hour''s messages that are older than so many days, and answers how far it has come; '
'nothing where all of them are forgotten. Called at any time, twice or late, it goes on where it was.';
grant execute on function forget_gateway_messages to munim_hasura;

create function forget_deliveries(hasura_session json, p_days integer)
returns setof retention_marks
language plpgsql volatile  -- as Hasura itself: the log is its own
set search_path = public, pg_temp
as $$
declare
    v_end constant timestamptz := clock_now() - make_interval(days => p_days);
    v_deleted bigint;
begin
    if hasura_session ->> 'x-hasura-role' is distinct from 'service'
        or to_regclass('hdb_catalog.event_log') is null
    then
        return;
    end if;
    execute '
        with old as (
            delete from hdb_catalog.event_log
            where id = any(array(
                select id
                from hdb_catalog.event_log
                where (delivered or error or archived) and created_at < $1
                limit 2000
                for update skip locked
            ))
            returning id
        ), calls as (
            delete from hdb_catalog.event_invocation_logs using old
            where event_invocation_logs.event_id = old.id
        )
        select count(*) from old
    ' into v_deleted using v_end at time zone 'UTC';
    return query
    select 'deliveries', (hasura_session ->> 'x-hasura-livemode')::boolean, v_end
    where v_deleted > 0;
end;
$$;
comment on function forget_deliveries is
'Takes up to 2,000 events that Hasura is done with, and is for so many days, out of its log, with the calls it made; '
'answers nothing where there are none. What it is still to deliver stays. The outbox keeps the facts.';
grant execute on function forget_deliveries to munim_hasura;

revoke insert, update, delete, truncate on retention_marks from public, munim_hasura;
