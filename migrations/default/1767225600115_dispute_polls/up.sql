create table dispute_polls (
    gateway text not null,
    livemode boolean not null,
    ask_since timestamptz not null,
    refunds_since timestamptz not null default clock_now() - interval '1 day',
    begun_at timestamptz not null,
    due_at timestamptz not null,
    complete_until timestamptz,
    reports_until date not null
    default ((clock_now() - interval '36 hours') at time zone 'UTC')::date,
    primary key (gateway, livemode)
);
comment on table dispute_polls is
'How far each gateway has been asked for disputes, and for refunds that were made there: neither is anybody''s '
'answer to a call of ours, so what no webhook told of is found only by asking for its list, or, where there is '
'none of disputes, about each that is open, and in the reports of what it settled.';
comment on column dispute_polls.ask_since is
'From when on the gateway''s list is read this time, where it has one.';
comment on column dispute_polls.refunds_since is
'From when on its list of new refunds is read this time, where it has one: for those that somebody made '
'there, and of which no message came.';
comment on column dispute_polls.begun_at is 'When the gateway was last asked.';
comment on column dispute_polls.due_at is
'When it is asked next: an hour later, or soon where a message that proves nothing speaks of a dispute.';
comment on column dispute_polls.complete_until is
'When the last poll that came to its end began: what the gateway can be asked for was in our books '
'then; null while none did.';
comment on column dispute_polls.reports_until is
'The last day whose settlement report was read, where one is: of a gateway without a list by time of disputes, or '
'of new refunds.';

create function gateways_of_payments(p_livemode boolean) returns setof text
language sql stable
set search_path = public, pg_temp
begin atomic
-- From name to name along payment_attempts_at_gateways: there may be millions of payments.
with recursive places (place) as (
    select min(case when gateway_payment_id is not null then gateway || ' ' || livemode::text end)
    from payment_attempts
    union all
    select (
        select min(payments.place)
        from (
            select
                case
                    when gateway_payment_id is not null then gateway || ' ' || livemode::text
                end as place
            from payment_attempts
        ) as payments
        where payments.place > places.place
    )
    from places
    where places.place is not null
)

select split_part(places.place, ' ', 1)
from places
where split_part(places.place, ' ', 2) = gateways_of_payments.p_livemode::text
    and not is_by_hand(split_part(places.place, ' ', 1));
end;
comment on function gateways_of_payments is 'The gateways that have ever had a payment of ours.';

create function is_gateway_of_poll_failing(p_poll dispute_polls) returns boolean
language sql stable
begin atomic
select count(*) > 0
from gateway_circuits
where gateway_circuits.gateway = p_poll.gateway
    and gateway_circuits.livemode = p_poll.livemode
    and gateway_circuits.operation = 'dispute';
end;
comment on function is_gateway_of_poll_failing is
'Whether its gateway has told nothing of disputes lately, so that an answer is news.';
grant execute on function is_gateway_of_poll_failing to munim_hasura;

create function begin_dispute_polls(hasura_session json) returns setof dispute_polls
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_livemode boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    insert into dispute_polls (gateway, livemode, ask_since, begun_at, due_at)
    select
        paid.gateway, v_livemode, clock_now() - interval '180 days', clock_now(),
        clock_now() + interval '1 hour'
    from gateways_of_payments(v_livemode) as paid (gateway)
    -- One that is left alone is asked once in a while, and stays due.
    where case
        when exists (
            select from dispute_polls
            where dispute_polls.gateway = paid.gateway and dispute_polls.livemode = v_livemode
                and dispute_polls.due_at > clock_now()
        ) then false
        else may_ask_gateway(paid.gateway, v_livemode, 'dispute')
    end
    on conflict (gateway, livemode) do update
    set
        begun_at = excluded.begun_at,
        due_at = excluded.due_at,
        refunds_since = coalesce(
            dispute_polls.complete_until - interval '5 minutes', excluded.refunds_since
        ),
        -- What is open is asked about again: its decision may have been lost on the way.
        -- A gateway's clock is not ours, and some tell whole seconds: the readings overlap.
        ask_since = least(
            coalesce(
                dispute_polls.complete_until - interval '5 minutes', excluded.ask_since
            ),
            (
                select min(opened_at) from disputes
                where disputes.gateway = excluded.gateway
                    and disputes.livemode = excluded.livemode
                    and disputes.status in ('opened', 'under_review')
            )
        )
    returning *;
end;
$$;
comment on function begin_dispute_polls is
'Whom to ask for disputes, and since when: each gateway since shortly before its list was last read to '
'its end, and since the oldest dispute that is open. Once an hour, or sooner where a hint was heard: called '
'again before that it answers none.';
grant execute on function begin_dispute_polls to munim_hasura;

create function ask_about_disputes_soon(p_gateway text, p_livemode boolean) returns void
language sql volatile
begin atomic
update dispute_polls
-- Anybody may send hints: the gateway is asked no more often than this by all of them.
set due_at = least(due_at, begun_at + interval '5 minutes')
where gateway = p_gateway and livemode = p_livemode and due_at > begun_at + interval '5 minutes';
end;
comment on function ask_about_disputes_soon is
'Has check_disputes ask a gateway at its next tick, or five minutes after it was last asked.';

create function end_dispute_poll(hasura_session json, p_gateway text, p_begun_at timestamptz)
returns setof dispute_polls
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update dispute_polls
    set complete_until = greatest(complete_until, p_begun_at)
    where gateway = p_gateway and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and p_begun_at <= begun_at
    returning *;
end;
$$;
comment on function end_dispute_poll is
'A gateway''s list was read to its end, or it was asked about everything that is open, and all that it '
'said is kept.';
grant execute on function end_dispute_poll to munim_hasura;

create function end_report(hasura_session json, p_gateway text, p_day date)
returns setof dispute_polls
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update dispute_polls
    set reports_until = greatest(reports_until, p_day)
    where gateway = p_gateway and livemode::text = hasura_session ->> 'x-hasura-livemode'
    returning *;
end;
$$;
comment on function end_report is
'A gateway''s report of what it settled on a day was read to its end, and what our books have not is being asked '
'for. Called twice, or for an earlier day: nothing.';
grant execute on function end_report to munim_hasura;

create function claim_dispute_check(
    hasura_session json, p_gateway text, p_asked_before timestamptz
) returns setof disputes
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_livemode boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update disputes
    set asked_at = clock_now()
    where id = (
        select id
        from disputes
        where gateway = p_gateway
            and livemode = v_livemode
            and status in ('opened', 'under_review')
            and asked_at < p_asked_before
        order by asked_at, id
        limit 1
        for no key update skip locked
    )
    returning *;
end;
$$;
comment on function claim_dispute_check is
'Answers the open dispute that its gateway has not been asked about for the longest, and puts it last '
'in the line, so that one that cannot be asked about keeps no other waiting. None is answered twice in '
'a poll: it was asked about before the poll began.';
grant execute on function claim_dispute_check to munim_hasura;

revoke insert, update, delete, truncate on dispute_polls from public, munim_hasura;
