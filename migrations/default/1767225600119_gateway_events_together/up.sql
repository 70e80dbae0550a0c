create function lock_payments(p_attempt_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
-- By key, also in a session that made its plans while there were few payments.
set enable_seqscan = off
set jit = off
as $$
begin
    perform from payment_intents
    where id
        = any(array(select payment_intent_id from payment_attempts where id = any(p_attempt_ids)))
    order by id
    for no key update;
    perform from payment_attempts where id = any(p_attempt_ids) order by id for no key update;
end;
$$;
comment on function lock_payments is 'Lock order: intents, attempts, each by id.';

create function post_payments(p_attempts payment_attempts[])
returns table (credit_purchase_id uuid, ledger_transaction_id uuid)
language plpgsql volatile rows 10
set search_path = public, pg_temp
as $$
declare
    v_owner uuid;
    v_part ledger_posting[];
    v_owners uuid[];
    v_postings ledger_posting[];
    v_ids uuid[] := '{}';
begin
    -- All accounts are opened before any is locked: who opens one may wait for one that we locked.
    select
        array_agg(intent.organization_id order by intent.organization_id, intent.id, posting.place),
        array_agg(
            (
                posting.key, posting.kind, posting.reference_type, posting.reference_id,
                posting.occurred_at, posting.debit_account_id,
                posting.credit_account_id, posting.amount
            )::ledger_posting
            order by intent.organization_id, intent.id, posting.place
        )
    into v_owners, v_postings
    from unnest(p_attempts) as attempt
    inner join payment_intents as intent on intent.id = attempt.payment_intent_id
    cross join lateral unnest(payment_postings(intent, attempt)) with ordinality
        as posting (
            key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount, place
        );

    for v_owner, v_part in
        select
            owned.owner,
            array_agg(
                (
                    owned.key, owned.kind, owned.reference_type, owned.reference_id,
                    owned.occurred_at, owned.debit_account_id, owned.credit_account_id,
                    owned.amount
                )::ledger_posting
                order by owned.place
            )
        from rows from (unnest(v_owners), unnest(v_postings)) with ordinality
            as owned (
                owner, key, kind, reference_type, reference_id, occurred_at, debit_account_id,
                credit_account_id, amount, place
            )
        group by owned.owner
        order by owned.owner
    loop
        v_ids := v_ids || array(
            select post_ledger_transactions(v_owner, p_attempts[1].livemode, v_part)
        );
    end loop;

    return query
    select booked.reference_id, booked.id
    from unnest(v_ids, v_postings)
        as booked (
            id, key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount
        )
    where booked.reference_type = 'credit_purchase';
end;
$$;
comment on function post_payments is
'Books captures and what they pay for, each organisation''s in one call, in order of organisation. '
'Answers by which transactions purchases were granted.';

create function book_payments(p_attempts payment_attempts[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_purchases credit_purchases[];
begin
    with granted as (
        update credit_purchases
        set ledger_transaction_id = booked.ledger_transaction_id, granted_at = clock_now()
        from post_payments(p_attempts) as booked
        where credit_purchases.id = booked.credit_purchase_id
        returning credit_purchases
    )

    select array_agg(credit_purchases) into v_purchases from granted;
    update payment_intents set status = 'paid'
    where id = any(array(select payment_intent_id from unnest(p_attempts)));
    perform open_credit_lots(v_purchases);

    perform record_events(array(
        select row(
            null, attempt.organization_id, attempt.livemode, 'payment.succeeded', 'payment_intent',
            attempt.payment_intent_id, null, payment_facts(attempt), null
        )::events
        from unnest(p_attempts) as attempt
        union all
        select row(
            null, purchase.organization_id, purchase.livemode, 'credits.granted',
            'credit_purchase', purchase.id, null, credit_purchase_facts(purchase), null
        )::events
        from unnest(v_purchases) as purchase
    ));
end;
$$;
comment on function book_payments is
'Books what was captured as pay_payment_intent does one by one, in statements for all of them: what a '
'statement costs is the most of what a booking costs.';

create function capture_payments(p_event_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempts payment_attempts[];
begin
    with captured as (
        update payment_attempts
        set
            status = 'captured', captured_at = event.occurred_at,
            amount_captured = amount_captured_by(payment_attempts, event.notice),
            gateway_payment_id = event.notice ->> 'gateway_payment_id',
            next_check_at = page_check_at(payment_attempts),
            receipt_url = event.notice ->> 'receipt_url',
            failure_code = null, failure_message = null, decline_class = null,
            declined_at = null
        from gateway_events as event
        where event.id = any(p_event_ids) and payment_attempts.id = event.payment_attempt_id
        returning payment_attempts
    )

    select array_agg(payment_attempts) into v_attempts from captured;

    perform book_payments(v_attempts);
    perform finish_autopay_charges(v_attempts);

    perform
        request_receipt(attempt), requeue_gateway_events(attempt),
        resolve_exception('payment-unresolved', 'payment_attempt', attempt.id)
    from unnest(v_attempts) as attempt;
end;
$$;
comment on function capture_payments is
'Does what messages that say paid call for, as settle_payment_attempt does one by one. Their intents '
'and attempts are locked, and nothing speaks against them.';

create function write_gateway_events(p_messages jsonb, p_livemode boolean)
returns setof gateway_events
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return query
    insert into gateway_events (
        gateway, gateway_account, livemode, event_id, type, occurred_at, payload, notice, status,
        reason, organization_id, payment_attempt_id
    )
    select
        message.gateway, message.gateway_account, message.livemode, message.event_id, message.type,
        message.occurred_at, message.payload, message.notice,
        case when known.reason is null then 'applied' else 'ignored' end, known.reason,
        payment_attempts.organization_id, payment_attempts.id
    from jsonb_populate_recordset(null::gateway_events, p_messages) as message
    inner join payment_attempts
        on payment_attempts.id = attempt_named_in(message.notice)
        and payment_attempts.gateway = message.gateway
        and payment_attempts.gateway_account = message.gateway_account
        and payment_attempts.livemode = message.livemode
    cross join lateral (select reason_to_ignore(message, payment_attempts) as reason) as known
    where message.livemode = p_livemode
        and coalesce(message.notice ->> 'subject', 'payment') = 'payment'
        and (message.notice ->> 'outcome' = 'paid' or known.reason is not null)
    -- Two calls with the same messages wait for each other in one order, before they lock more.
    order by message.event_id
    on conflict on constraint gateway_event_is_received_once do nothing
    returning *;
end;
$$;
comment on function write_gateway_events is
'Writes down those of several messages that are plain: payments that went well, and what says nothing '
'new of one. What was there before is not answered.';

create function obstacle_to_capture(p_event gateway_events, p_event_ids uuid[]) returns text
language sql stable
begin atomic
select coalesce(
    mismatch_of_notice(obstacle_to_capture.p_event, attempt),
    reason_not_to_settle(attempt, 'captured'),
    case when payment_intents.status in ('paid', 'canceled') then 'nothing is owed' end,
    case
        when exists (
            select from gateway_events as other
            inner join payment_attempts as theirs on theirs.id = other.payment_attempt_id
            where other.id = any(obstacle_to_capture.p_event_ids)
                and other.id <> (obstacle_to_capture.p_event).id
                and theirs.payment_intent_id = payment_intents.id
        ) then 'another one pays the same'
    end,
    case
        when exists (
            select from autopay_charges
            where autopay_charges.payment_intent_id = payment_intents.id
                and (
                    autopay_charges.status <> 'charging'
                    or is_autopay_month_paid(payment_intents.id)
                )
        ) then 'its month is not being charged'
    end
)
from payment_attempts as attempt
inner join payment_intents on payment_intents.id = attempt.payment_intent_id
where attempt.id = (obstacle_to_capture.p_event).payment_attempt_id;
end;
comment on function obstacle_to_capture is
'Why a message that says paid cannot be carried out beside others, or null. Its payment is locked.';

create function receive_gateway_events(hasura_session json, p_messages jsonb)
returns setof gateway_events
language plpgsql volatile security definer
set search_path = public, pg_temp
-- As receive_gateway_event has it, and for the same reason.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
    v_ids uuid[];
    v_paid uuid[];
    v_attempt_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    select
        array_agg(id),
        array_agg(id) filter (where status = 'applied'),
        array_agg(payment_attempt_id) filter (where status = 'applied')
    into v_ids, v_paid, v_attempt_ids
    from write_gateway_events(p_messages, (hasura_session ->> 'x-hasura-livemode')::boolean);
    perform lock_payments(v_attempt_ids);

    -- What is no plain success, now that its payment is locked, is left to receive_gateway_event,
    -- which comes alone: it may need more than its own accounts.
    delete from gateway_events
    where id = any(v_paid) and obstacle_to_capture(gateway_events, v_paid) is not null;
    v_paid := array(select id from gateway_events where id = any(v_paid));
    perform capture_payments(v_paid) where cardinality(v_paid) > 0;
    perform hear_gateway_answers(v_ids)
    where jsonb_path_exists(p_messages, '$[*] ? (@.type == "answer")');
    perform hurry_declined(v_ids)
    where jsonb_path_exists(p_messages, '$[*].notice ? (@.outcome == "requires_action")');
    return query select * from gateway_events where id = any(v_ids);
end;
$$;
comment on function receive_gateway_events is
'Keeps many messages at once, each as receive_gateway_event would, given as rows of gateway_events: all '
'that they lock is locked first, kind after kind and by id. Only payments that went well and messages '
'that say nothing new are kept here, and either all of them or none: what is not among the rows of the '
'answer is to be kept alone.';
grant execute on function receive_gateway_events to munim_hasura;
