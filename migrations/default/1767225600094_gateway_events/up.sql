create table gateway_events (
    id uuid primary key default gen_random_uuid(),
    gateway text not null,
    gateway_account text not null,
    livemode boolean not null,
    event_id text not null,
    type text not null,
    occurred_at timestamptz not null,
    payload jsonb not null,
    notice jsonb not null,
    status text not null default 'received',
    reason text,
    organization_id uuid,
    payment_attempt_id uuid,
    tries integer not null default 0,
    next_try_at timestamptz not null default clock_now(),
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint gateway_event_is_received_once
    unique (event_id, gateway, gateway_account, livemode),
    -- Deferred: a check at once would lock the rows it finds, before their turn.
    constraint gateway_event_is_of_an_organization
    foreign key (organization_id) references organizations (id)
    deferrable initially deferred,
    constraint gateway_event_is_about_an_attempt
    foreign key (payment_attempt_id) references payment_attempts (id)
    deferrable initially deferred,
    constraint gateway_event_status_is_known check (
        status in ('received', 'applied', 'ignored', 'parked')
    ),
    constraint gateway_event_says_why check (
        status in ('received', 'applied') or reason is not null
    )
);
comment on table gateway_events is
'The inbox: every genuine message of a gateway, kept before anything is done about it.';
comment on column gateway_events.payload is 'The message as it came.';
comment on column gateway_events.notice is 'The same in our words, by the adapter.';
comment on column gateway_events.status is
'received: to be applied; applied: it changed something; ignored: it changes nothing, and reason '
'says why; parked: a person must look, see exceptions, or it is of a payment that is not in our books.';

create index gateway_events_to_apply on gateway_events (next_try_at) where status = 'received';
comment on index gateway_events_to_apply is 'Queue of apply_gateway_events.';
create index gateway_events_by_attempt on gateway_events (payment_attempt_id);
create index gateway_events_of_nobody on gateway_events ((notice ->> 'gateway_payment_id'))
where status = 'parked' and payment_attempt_id is null;

create index gateway_events_by_age on gateway_events using brin (created_at);
comment on index gateway_events_by_age is
'Finds what is old in a table that is written in order of time, and costs its writers nearly nothing.';

create trigger gateway_event_updated_at
before update on gateway_events
for each row execute function touch_updated_at();

create function attempt_named_in(p_notice jsonb) returns uuid
language sql immutable
begin atomic
select case
    when p_notice ->> 'payment_attempt_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        then (p_notice ->> 'payment_attempt_id')::uuid
end;
end;
comment on function attempt_named_in is 'Our own reference, where a message carries one.';

create function hear_gateway_answers(p_event_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if not exists (select from gateway_circuits) then
        return;  -- all gateways work, as they nearly always do
    end if;

    delete from gateway_circuits
    where (gateway, livemode, operation) in (
        select circuit.gateway, circuit.livemode, circuit.operation
        from gateway_circuits as circuit
        where exists (
            select from gateway_events as event
            left join payment_attempts on payment_attempts.id = event.payment_attempt_id
            where event.id = any(p_event_ids) and event.type = 'answer'
                and event.gateway = circuit.gateway and event.livemode = circuit.livemode
                and circuit.operation = case
                    when event.notice ->> 'subject' = 'refund' then 'refund'
                    when payment_attempts.payment_method_id is not null then 'charge'
                end
        )
        order by circuit.gateway, circuit.operation
        for update
    );
end;
$$;
comment on function hear_gateway_answers is
'What answers to charges of saved methods and to refunds, a decline too, say of whether their gateways '
'work. The last step of a transaction: nobody waits for anything else while they hold a circuit.';

create function is_decline(p_event gateway_events) returns boolean
language sql immutable
begin atomic
select p_event.type not in ('answer', 'look-up')
    and p_event.notice ->> 'outcome' = 'requires_action'
    and p_event.notice ->> 'failure_code' is not null;
end;
comment on function is_decline is
'Whether a webhook says that a try was declined on a page that takes another.';

create function is_tried_out(p_attempt payment_attempts) returns boolean
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
    return (
        select count(*)
        from payment_attempts
        inner join gateway_events on gateway_events.payment_attempt_id = payment_attempts.id
        where payment_attempts.payment_intent_id = p_attempt.payment_intent_id
            and is_decline(gateway_events)
    ) >= tries_allowed(p_attempt.organization_id, 'declines_per_payment', 10);
end;
$$;
comment on function is_tried_out is
'Whether webhooks have told of so many declines of its payment that the page is to be closed: cards are '
'tried on it. system_settings.declines_per_payment is the number, ten where it is not set.';
grant execute on function is_tried_out to munim_hasura;

create function hurry_declined(p_event_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update payment_attempts
    set next_check_at = clock_now()
    where id in (
        select payment_attempts.id
        from gateway_events
        inner join payment_attempts on payment_attempts.id = gateway_events.payment_attempt_id
        where gateway_events.id = any(p_event_ids) and is_decline(gateway_events)
            and payment_attempts.next_check_at > clock_now() + interval '1 minute'
            and case
                when payment_attempts.status in ('created', 'unknown', 'pending')
                    then is_tried_out(payment_attempts)
                else payment_attempts.status = 'processing'
            end
        order by payment_attempts.id
        -- It waits for nobody: whoever is at an attempt will ask about it by its schedule.
        for no key update of payment_attempts skip locked
    );
end;
$$;
comment on function hurry_declined is
'Has check_payments close a page on which too many tries were declined at its next tick; and ask about one '
'whose money is on its way, for the try that was declined may be that one.';

create function receive_gateway_event(
    hasura_session json,
    p_gateway text,
    p_gateway_account text,
    p_livemode boolean,
    p_event_id text,
    p_type text,
    p_occurred_at timestamptz,
    p_payload jsonb,
    p_notice jsonb
) returns setof gateway_events
language plpgsql volatile security definer
set search_path = public, pg_temp
-- All that happens here is found by key. A session keeps the plans that it made while a table was
-- small, and they should be those of a large one: made once, and by index.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
    v_event gateway_events;
    v_attempt payment_attempts;
    v_known text;
    v_now timestamptz := clock_now();
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    if p_livemode::text is distinct from hasura_session ->> 'x-hasura-livemode' then
        raise exception 'forbidden: a message of the other mode (live or test) came to this endpoint'
            using errcode = '22B03';
    end if;

    v_event.gateway := p_gateway;
    v_event.gateway_account := p_gateway_account;
    v_event.livemode := p_livemode;
    v_event.occurred_at := p_occurred_at;
    v_event.notice := p_notice;
    if attempt_named_in(p_notice) is not null then
        v_attempt := attempt_of_notice(v_event);
        v_known := reason_to_ignore(v_event, v_attempt) where v_attempt.id is not null;
    end if;

    -- The row is written as what will most likely come of it, so that it is written once: whatever
    -- else comes of it is noted below, and nobody sees the row before.
    insert into gateway_events (
        gateway, gateway_account, livemode, event_id, type, occurred_at, payload, notice, status,
        reason, organization_id, payment_attempt_id, next_try_at, created_at, updated_at
    )
    values (
        p_gateway, p_gateway_account, p_livemode, p_event_id, p_type, p_occurred_at, p_payload,
        p_notice, case when v_known is null then 'applied' else 'ignored' end, v_known,
        v_attempt.organization_id, v_attempt.id, v_now, v_now, v_now
    )
    on conflict on constraint gateway_event_is_received_once do nothing
    returning * into v_event;

    if v_event.id is not null then
        perform carry_out_gateway_event(v_event) where v_known is null;
    else
        select * into strict v_event
        from gateway_events
        where gateway = p_gateway and gateway_account = p_gateway_account
            and livemode = p_livemode and event_id = p_event_id;
        perform try_gateway_event(v_event.id);
    end if;
    perform hear_gateway_answers(array[v_event.id]) where p_type = 'answer';
    perform hurry_declined(array[v_event.id]) where p_notice ->> 'outcome' = 'requires_action';
    return query select * from gateway_events where id = v_event.id;
end;
$$;
comment on function receive_gateway_event is
'Stores a verified message and applies it. Called again with the same event id: the same row, no '
'second effect. When applying fails, the row is kept and tried again later.';
grant execute on function receive_gateway_event to munim_hasura;

create function check_constraints_now() returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    set constraints all immediate;
    set constraints all deferred;
end;
$$;
comment on function check_constraints_now is 'Checks at once what would be checked at commit.';

-- Before version 18, Postgres runs a deferred trigger as whoever asks for it to be run; and Hasura
-- may put triggers on the outbox. So whoever asks must be nobody who could do more than Hasura.
grant create on schema public to munim_outbox;
alter function check_constraints_now owner to munim_outbox;
revoke create on schema public from munim_outbox;

create function try_gateway_event(p_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_event gateway_events;
begin
    -- Replays queue here; whoever comes second finds the row closed.
    select * into strict v_event from gateway_events where id = p_id for update;
    if v_event.status <> 'received' or v_event.next_try_at > clock_now() then
        return;
    end if;

    perform carry_out_gateway_event(v_event);
end;
$$;
comment on function try_gateway_event is 'Applies one message that is due.';

create function carry_out_gateway_event(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform apply_gateway_event(p_event);
    perform check_constraints_now();  -- a refusal belongs to this event, not to the commit
exception
    when serialization_failure or deadlock_detected or lock_not_available then
        raise;  -- passing trouble: the whole request is tried again
    when others or assert_failure then
        perform postpone_gateway_event(p_event, sqlerrm);
end;
$$;
comment on function carry_out_gateway_event is
'Applies one message that nobody else can see or change; its failure is kept, not thrown.';

create function postpone_gateway_event(p_event gateway_events, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update gateway_events
    set
        tries = tries + 1,
        reason = p_reason,
        next_try_at = clock_now() + interval '30 seconds' * power(2, least(tries, 10)),
        status = case when tries >= 9 then 'parked' else 'received' end,
        organization_id = null,
        payment_attempt_id = null
    where id = p_event.id;

    if p_event.tries >= 9 then
        perform record_exception(
            p_event.organization_id, p_event.livemode, 'event-not-applied', 'gateway_event',
            p_event.id, null, null, p_reason
        );
    end if;
end;
$$;
comment on function postpone_gateway_event is 'Ten tries in about four hours, then a person looks.';

create function apply_due_gateway_event(hasura_session json) returns setof gateway_events
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    -- One message a transaction: two would take the locks of the second after those of the first.
    select id into v_id
    from gateway_events
    where status = 'received' and next_try_at <= clock_now()
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
    order by next_try_at
    limit 1
    for update skip locked;

    perform try_gateway_event(v_id) where v_id is not null;
    return query select * from gateway_events where id = v_id;
end;
$$;
comment on function apply_due_gateway_event is
'The sweep: applies one message that is due, and answers it; no row when nothing is due.';
grant execute on function apply_due_gateway_event to munim_hasura;

create function apply_gateway_events_again(
    hasura_session json, p_gateway_event_id uuid default null
) returns setof gateway_events
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_ids := array(
        select id
        from gateway_events
        where status = 'parked' and livemode::text = hasura_session ->> 'x-hasura-livemode'
            and id = any(array(
                select object_id from exceptions
                where object_type = 'gateway_event' and resolved_at is null
                    and (class = 'event-not-applied' or object_id = p_gateway_event_id)
            ))
            and id = coalesce(p_gateway_event_id, id)
        order by id
        for update skip locked
    );
    update exceptions set resolved_at = clock_now()
    where object_type = 'gateway_event' and object_id = any(v_ids) and resolved_at is null;
    return query
    update gateway_events
    set status = 'received', reason = null, tries = 0, next_try_at = clock_now()
    where id = any(v_ids)
    returning *;
end;
$$;
comment on function apply_gateway_events_again is
'Has parked messages tried once more, from the beginning, when what kept them from being applied is mended: one '
'that is listed, for whatever reason, or all that could not be applied. What still does not fit is parked and '
'listed again; nothing is applied twice.';
grant execute on function apply_gateway_events_again to munim_hasura;

create function attempt_of_notice(p_event gateway_events) returns payment_attempts
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_id constant uuid := (p_event.notice ->> 'payment_attempt_id')::uuid;
    v_attempt payment_attempts;
    v_named payment_attempts;
begin
    -- Our own reference first; the gateway's ids serve where a message does not carry it.
    select * into v_attempt
    from payment_attempts
    where id = v_id
        and gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode;

    if v_attempt.id is null then
        select payment_attempts.* into v_attempt
        from payment_attempts
        inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
        where checkout_sessions.gateway = p_event.gateway
            and payment_attempts.gateway_account = p_event.gateway_account
            and checkout_sessions.livemode = p_event.livemode
            and checkout_sessions.gateway_session_id = p_event.notice ->> 'gateway_session_id';
    end if;

    if v_attempt.id is null
        or p_event.notice ->> 'gateway_payment_id' <> coalesce(v_attempt.gateway_payment_id, '')
    then
        -- What is paid twice on one page has two attempts, and its reference is that of the first.
        select * into v_named
        from payment_attempts
        where gateway_payment_id = p_event.notice ->> 'gateway_payment_id'
            and gateway = p_event.gateway and gateway_account = p_event.gateway_account
            and livemode = p_event.livemode
            and (
                v_attempt.id is null
                or payment_intent_id = v_attempt.payment_intent_id and status = 'captured'
            );
    end if;
    return case when v_named.id is null then v_attempt else v_named end;
end;
$$;
comment on function attempt_of_notice is 'The attempt that a message is about, or a null row.';

create function is_end_of_other_payment(p_event gateway_events, p_attempt payment_attempts)
returns boolean
language sql immutable
begin atomic
select coalesce(
    p_event.notice ->> 'outcome' = 'canceled' and p_attempt.status = 'captured'
    and p_event.notice ->> 'gateway_payment_id' <> p_attempt.gateway_payment_id,
    false
);
end;
comment on function is_end_of_other_payment is
'Whether a message says that what was held beside the captured payment of a page is given up.';

create function reason_to_ignore(p_event gateway_events, p_attempt payment_attempts) returns text
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_outcome constant text := p_event.notice ->> 'outcome';
    v_reason text;
begin
    if v_outcome in ('unknown', 'hint')
        or coalesce(p_event.notice ->> 'subject', 'payment') <> 'payment'
    then
        return null;
    end if;

    if is_end_of_other_payment(p_event, p_attempt)
        or is_news_of_decline(p_attempt, p_event.notice, p_event.occurred_at)
        -- Held beside what may be captured at this moment, by whoever is to list it.
        or (
            v_outcome = 'authorized'
            and p_event.notice ->> 'gateway_payment_id' <> p_attempt.gateway_payment_id
        )
    then
        return null;
    end if;

    -- Without a lock: if somebody is at the attempt, this message came before what they do.
    v_reason := reason_not_to_settle(p_attempt, attempt_status(p_attempt, p_event.notice));
    if v_reason is not null and mismatch_of_notice(p_event, p_attempt) is not null then
        return null;
    end if;
    return v_reason;
exception
    when data_exception then
        return null;  -- an amount that is none: the row is kept, and says so
end;
$$;
comment on function reason_to_ignore is
'Why a message changes nothing of its attempt, so that nothing need be locked; null where it may. Most '
'payments are told of several times.';

create function apply_gateway_event(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if p_event.notice ->> 'outcome' = 'unknown' then
        perform note_gateway_event(
            p_event.id, 'ignored', attempt_of_notice(p_event), 'a type without effect'
        );
        return;
    end if;
    if p_event.notice ->> 'outcome' = 'hint' then
        perform apply_hint(p_event);
        return;
    end if;
    case coalesce(p_event.notice ->> 'subject', 'payment')
        when 'payment' then perform apply_payment_notice(p_event);
        when 'refund' then perform apply_refund_notice(p_event);
        when 'dispute' then perform apply_dispute_notice(p_event);
        when 'setup' then perform apply_setup_notice(p_event);
    end case;
end;
$$;
comment on function apply_gateway_event is 'Hands a message to what it is about.';

create function follow_hint(p_event gateway_events, p_attempt payment_attempts) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return case p_event.notice ->> 'subject'
        when 'refund' then case
            when ask_refund_now(p_event) then true
            else search_hinted_refund(p_event, p_attempt)
        end
        when 'dispute' then ask_dispute_soon(p_event, p_attempt)
        else false
    end;
end;
$$;
comment on function follow_hint is
'Has a gateway asked about a refund or a dispute that it, or somebody in its name, hints at, or for all refunds '
'of a payment where it is none of ours; false where there is nothing to do. However often it is called, the '
'gateway is asked once in five minutes.';

create function apply_hint(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_subject constant text := p_event.notice ->> 'subject';
    v_attempt constant payment_attempts := attempt_of_notice(p_event);
    v_is_new boolean;
begin
    if v_subject = 'payment' and v_attempt.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-payment', 'no such attempt');
        return;
    end if;

    v_is_new := case v_subject
        when 'payment' then ask_payment_now(v_attempt)
        else follow_hint(p_event, v_attempt)
    end;
    perform note_gateway_event(
        p_event.id, 'ignored', v_attempt,
        case when v_is_new then 'a hint that is followed' else 'a hint without effect' end
    );
end;
$$;
comment on function apply_hint is
'Books nothing of a message that proves nothing: it has its gateway asked, and that answer counts.';

create function apply_payment_notice(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := attempt_of_notice(p_event);
    v_reason text;
begin
    if v_attempt.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-payment', 'no such attempt');
        return;
    end if;

    -- Lock order: intent, attempt, ledger accounts by id.
    perform from payment_intents where id = v_attempt.payment_intent_id for no key update;
    select * into strict v_attempt
    from payment_attempts where id = v_attempt.id for no key update;

    if is_end_of_other_payment(p_event, v_attempt) then
        perform forget_held_payment(p_event, v_attempt);
        return;
    end if;
    v_reason := mismatch_of_notice(p_event, v_attempt);
    if v_reason is not null then
        perform keep_other_payment(
            p_event, v_attempt, split_part(v_reason, ': ', 1), split_part(v_reason, ': ', 2)
        );
        return;
    end if;

    v_reason := settle_payment_attempt(v_attempt, p_event.notice, p_event.occurred_at);
    perform note_gateway_event(
        p_event.id, case when v_reason is null then 'applied' else 'ignored' end, v_attempt,
        v_reason
    );
end;
$$;
comment on function apply_payment_notice is 'Matches a message to its attempt, compares, and acts.';

create function amount_taken(p_notice jsonb) returns bigint
language sql immutable
begin atomic
select coalesce((p_notice ->> 'captured_amount')::bigint, (p_notice ->> 'amount')::bigint);
end;
comment on function amount_taken is 'How much the gateway took, by a message that says paid.';

create function is_booked_elsewhere(p_event gateway_events, p_attempt payment_attempts)
returns boolean
language sql stable
begin atomic
select exists(
    select from payment_attempts
    where gateway_payment_id = p_event.notice ->> 'gateway_payment_id'
        and gateway = p_event.gateway and livemode = p_event.livemode
        and status = 'captured' and id <> p_attempt.id
);
end;
comment on function is_booked_elsewhere is 'Whether a message''s payment is another attempt''s.';

create function may_capture_less(p_attempt payment_attempts) returns boolean
language sql stable
begin atomic
select capture_method = 'manual'
from payment_intents
where id = p_attempt.payment_intent_id;
end;
comment on function may_capture_less is 'Whether a part of what was asked for may be taken.';

create function mismatch_of_notice(p_event gateway_events, p_attempt payment_attempts) returns text
language sql stable
begin atomic
select case
    when p_event.notice ->> 'outcome' not in ('paid', 'authorized', 'processing') then null
    when p_attempt.is_in_suspense
        and amount_taken(p_event.notice) = p_attempt.amount_captured
        and p_event.notice ->> 'currency' = p_attempt.currency then null
    when (p_event.notice ->> 'amount')::bigint is distinct from p_attempt.amount
        or p_event.notice ->> 'currency' is distinct from p_attempt.currency
        or (
            p_event.notice ->> 'outcome' = 'paid'
            and coalesce((p_event.notice ->> 'captured_amount')::bigint, p_attempt.amount)
            not between case when may_capture_less(p_attempt) then 1 else p_attempt.amount end
            and p_attempt.amount
        )
        then format(
            'amount-mismatch: the gateway says %s %s, the attempt is %s %s',
            coalesce(p_event.notice ->> 'captured_amount', p_event.notice ->> 'amount'), p_event.notice ->> 'currency',
            p_attempt.amount, p_attempt.currency
        )
    when p_attempt.status = 'captured'
        and p_event.notice ->> 'gateway_payment_id' <> p_attempt.gateway_payment_id
        then format('duplicate-payment: paid again as %s', p_event.notice ->> 'gateway_payment_id')
    when p_event.notice ->> 'outcome' = 'paid'
        and (p_event.notice ->> 'captured_amount')::bigint <> case
            when p_attempt.status = 'captured' then p_attempt.amount_captured
            else p_attempt.amount_to_capture
        end
        then format(
            'amount-mismatch: the gateway took %s %s, and %s %s', p_event.notice ->> 'captured_amount',
            p_event.notice ->> 'currency',
            coalesce(nullif(p_attempt.amount_captured, 0), p_attempt.amount_to_capture),
            case p_attempt.status when 'captured' then 'are booked' else 'were to be taken' end
        )
    when p_attempt.status <> 'captured' and is_booked_elsewhere(p_event, p_attempt)
        then 'unmatched-payment: this payment is another attempt''s'
end;
end;
comment on function mismatch_of_notice is
'What speaks against acting on a message, as `class: detail`, or null.';

create function note_gateway_event(
    p_id uuid, p_status text, p_attempt payment_attempts, p_reason text
) returns void
language sql volatile
begin atomic
update gateway_events
set
    status = p_status,
    reason = p_reason,
    organization_id = p_attempt.organization_id,
    payment_attempt_id = p_attempt.id
where id = p_id
    and (status, reason, organization_id, payment_attempt_id)
    is distinct from (p_status, p_reason, p_attempt.organization_id, p_attempt.id);
end;
comment on function note_gateway_event is 'Closes an inbox row and says whom it was about.';

create function gateway_payment_key(p_gateway text, p_livemode boolean, p_gateway_payment_id text)
returns bigint
language sql immutable
begin atomic
select hashtextextended(
    format('gateway_payment %s %s %s', p_gateway, p_livemode, p_gateway_payment_id), 0
);
end;
comment on function gateway_payment_key is
'The advisory lock under which a gateway''s payment becomes known, or a message of it is found to be nobody''s.';

create function require_nobodys(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform pg_advisory_xact_lock_shared(
        gateway_payment_key(
            p_event.gateway, p_event.livemode, p_event.notice ->> 'gateway_payment_id'
        )
    )
    where p_event.notice ->> 'gateway_payment_id' is not null;
    if (attempt_of_notice(p_event)).id is not null then
        raise exception 'its payment has become known while it was looked for'
            using errcode = 'assert_failure';
    end if;
end;
$$;
comment on function require_nobodys is
'Waits for whoever captures the payment of a message at this moment, and puts the message off where there is one: '
'the inbox tries it again. Whoever captures it later finds the message.';

create function park_gateway_event(
    p_event gateway_events, p_attempt payment_attempts, p_class text, p_detail text
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform require_nobodys(p_event)
    where p_attempt.id is null and p_event.notice ->> 'subject' is distinct from 'setup';
    perform record_exception(
        p_attempt.organization_id, p_event.livemode, p_class, 'gateway_event', p_event.id,
        (p_event.notice ->> 'amount')::bigint, p_event.notice ->> 'currency', p_detail
    );
    perform note_gateway_event(p_event.id, 'parked', p_attempt, p_detail);
end;
$$;
comment on function park_gateway_event is 'Keeps a message that must not be acted on, and lists it.';

create function requeue_parked_events(p_attempt payment_attempts) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
begin
    -- Whoever parks one at this moment has it here in a moment, or waits and finds the capture.
    perform pg_advisory_xact_lock(
        gateway_payment_key(p_attempt.gateway, p_attempt.livemode, p_attempt.gateway_payment_id)
    );
    for v_id in
        select id
        from gateway_events
        where gateway = p_attempt.gateway and gateway_account = p_attempt.gateway_account
            and livemode = p_attempt.livemode
            and notice ->> 'gateway_payment_id' = p_attempt.gateway_payment_id
            and status = 'parked' and payment_attempt_id is null
        for update skip locked
    loop
        update gateway_events
        set status = 'received', reason = null, tries = 0, next_try_at = clock_now()
        where id = v_id;
        update exceptions set resolved_at = clock_now()
        where object_type = 'gateway_event' and object_id = v_id and resolved_at is null;
    end loop;
end;
$$;
comment on function requeue_parked_events is
'Messages about a payment that could not be applied to anything are tried again: they had overtaken the one about '
'their payment, or spoke of money that was spoken for.';

create function requeue_gateway_events(p_attempt payment_attempts) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform requeue_parked_events(p_attempt);
    update gateway_events
    set status = 'received', reason = null, tries = 0, next_try_at = clock_now()
    where payment_attempt_id = p_attempt.id and status in ('applied', 'ignored')
        and notice ->> 'outcome' = 'authorized'
        and notice ->> 'gateway_payment_id' <> p_attempt.gateway_payment_id;
end;
$$;
comment on function requeue_gateway_events is
'Messages that overtook the one about their payment were nobody''s until now: they are tried again. So are '
'those that another payment is held on the same page, which might have been the one that is captured.';

create function forget_held_payment(p_event gateway_events, p_attempt payment_attempts) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform resolve_exception('duplicate-payment', 'gateway_event', id)
    from gateway_events
    where payment_attempt_id = p_attempt.id and status = 'parked'
        and notice ->> 'gateway_payment_id' = p_event.notice ->> 'gateway_payment_id';
    perform note_gateway_event(
        p_event.id, 'ignored', p_attempt, 'what was held beside the captured payment is given up'
    );
end;
$$;
comment on function forget_held_payment is
'Takes what was held on a page beside its captured payment off the list: its payer has it back. Whoever '
'tells later that it is held tells what was before.';

create function is_given_up(p_event gateway_events, p_attempt payment_attempts) returns boolean
language sql stable
begin atomic
select exists(
    select from gateway_events
    where gateway_events.payment_attempt_id = p_attempt.id
        and gateway_events.notice ->> 'outcome' = 'canceled'
        and gateway_events.notice ->> 'gateway_payment_id'
        = p_event.notice ->> 'gateway_payment_id'
);
end;
comment on function is_given_up is 'Whether a message''s payment was told to be canceled.';

create function is_listed_already(p_event gateway_events, p_attempt payment_attempts, p_class text)
returns boolean
language sql stable
begin atomic
select exists(
    select from gateway_events
    inner join exceptions
        on exceptions.object_id = gateway_events.id
        and exceptions.object_type = 'gateway_event'
        and exceptions.class = is_listed_already.p_class
        and (exceptions.resolved_at is null or exceptions.resolved_by is not null)
    where gateway_events.payment_attempt_id = p_attempt.id and gateway_events.status = 'parked'
        and gateway_events.id <> p_event.id
        and gateway_events.notice ->> 'gateway_payment_id'
        = p_event.notice ->> 'gateway_payment_id'
);
end;
comment on function is_listed_already is
'Whether another message about the same payment is listed under this class, or a person has looked at it: it is '
'one thing to look at.';

create function is_new_money(p_event gateway_events, p_attempt payment_attempts) returns boolean
language sql stable
begin atomic
select p_event.notice ->> 'outcome' = 'paid'
    and amount_taken(p_event.notice) between 1 and 1000000000000000
    and exists (
        select from currencies
        where code = p_event.notice ->> 'currency' and code <> 'XCR'
    )
    and not exists (
        select from payment_attempts
        where gateway = p_event.gateway and livemode = p_event.livemode
            and gateway_payment_id = p_event.notice ->> 'gateway_payment_id'
            and (id <> p_attempt.id or status = 'captured')
    );
end;
comment on function is_new_money is
'Whether a message that does not fit its attempt speaks of money that the gateway holds and no booking '
'shows.';

create function keep_other_payment(
    p_event gateway_events, p_attempt payment_attempts, p_class text, p_detail text
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := attempt_of_notice(p_event);
    v_known text;
begin
    if v_attempt.id <> p_attempt.id then
        -- While we waited for the locks, another message about this payment was carried out.
        perform apply_payment_notice(p_event);
        return;
    end if;
    if not is_new_money(p_event, p_attempt) then
        v_known := case
            when p_class <> 'duplicate-payment' then null
            when is_given_up(p_event, p_attempt) then 'what was held is given up'
            when is_listed_already(p_event, p_attempt, p_class) then 'it is listed already'
        end;
        perform note_gateway_event(p_event.id, 'ignored', p_attempt, v_known)
        where v_known is not null;
        perform park_gateway_event(p_event, p_attempt, p_class, p_detail) where v_known is null;
        return;
    end if;

    perform give_up_payment(p_attempt)
    where p_attempt.gateway_payment_id = p_event.notice ->> 'gateway_payment_id';
    v_attempt := capture_other_payment(p_event, p_attempt, p_class <> 'duplicate-payment');
    perform resolve_exception(class, 'gateway_event', gateway_events.id)
    from gateway_events
    cross join unnest(array['amount-mismatch', 'duplicate-payment']) as class
    where payment_attempt_id = p_attempt.id and gateway_events.status = 'parked'
        and notice ->> 'gateway_payment_id' = v_attempt.gateway_payment_id;
    if v_attempt.is_in_suspense then
        perform record_exception(
            v_attempt.organization_id, v_attempt.livemode, p_class, 'payment_attempt',
            v_attempt.id, v_attempt.amount_captured, v_attempt.currency, p_detail
        );
    end if;
    perform note_gateway_event(
        p_event.id, case when v_attempt.is_in_suspense then 'parked' else 'applied' end, v_attempt,
        p_detail
    );
end;
$$;
comment on function keep_other_payment is
'A payment that is not the one that its attempt asked for is an attempt by itself: one of the same amount '
'is surplus and goes back, any other is held in suspense until somebody sends it back. The intent and '
'the attempt are locked.';

create function capture_other_payment(
    p_event gateway_events, p_attempt payment_attempts, p_is_in_suspense boolean
) returns payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_amount constant bigint := amount_taken(p_event.notice);
    v_attempt payment_attempts;
begin
    insert into payment_attempts (
        organization_id, livemode, payment_intent_id, gateway, gateway_account, amount, currency,
        is_surplus, is_in_suspense
    )
    values (
        p_attempt.organization_id, p_attempt.livemode, p_attempt.payment_intent_id,
        p_attempt.gateway, p_attempt.gateway_account,
        greatest((p_event.notice ->> 'amount')::bigint, v_amount), p_event.notice ->> 'currency',
        p_is_in_suspense, p_is_in_suspense
    )
    returning * into v_attempt;

    perform capture_payment_attempt(
        v_attempt, coalesce(p_event.notice ->> 'gateway_payment_id', p_event.event_id), v_amount,
        p_event.occurred_at, p_event.notice ->> 'receipt_url'
    );
    select * into strict v_attempt from payment_attempts where id = v_attempt.id;
    return v_attempt;
end;
$$;
comment on function capture_other_payment is
'Writes an attempt down whose money the gateway has. Its name there is what keeps it from coming twice.';

create function give_up_payment(p_attempt payment_attempts) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if p_attempt.status = 'authorized' then
        perform move_payment_attempt(p_attempt, 'failed', jsonb_build_object(
            'failure_code', 'amount-mismatch',
            'failure_message', 'what was taken is not what was asked for'
        ));
    end if;
    update payment_attempts set gateway_payment_id = null where id = p_attempt.id;
end;
$$;
comment on function give_up_payment is
'An attempt whose payment became another one than it asked for waits for one that is as asked for.';

revoke insert, update, delete, truncate on gateway_events from public, munim_hasura;
