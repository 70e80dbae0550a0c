-- The state machines are data: the guard, the tests and the pictures in docs read these rows.
create table payment_intent_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table payment_intent_steps is 'Every legal change of payment_intents.status.';
insert into payment_intent_steps (before, after) values
('pending', 'processing'),
('pending', 'authorized'),
('pending', 'paid'),
('pending', 'failed'),
('pending', 'expired'),
('pending', 'canceled'),
('processing', 'pending'),  -- what was on its way failed, and its page takes another try
('processing', 'authorized'),
('processing', 'paid'),
('processing', 'failed'),
('processing', 'expired'),  -- what was on its way failed, and its page has closed
('processing', 'canceled'),
('authorized', 'paid'),
('authorized', 'failed'),
('authorized', 'expired'),
('authorized', 'canceled'),
('failed', 'canceled'),
('failed', 'pending'),  -- another attempt has begun
('failed', 'processing'),
('failed', 'authorized'),
('failed', 'paid'),  -- the gateway took the money after all
('expired', 'canceled'),
('expired', 'pending'),  -- the payer tries again
('expired', 'authorized'),
('expired', 'paid');  -- the gateway took the money, reported after the checkout had closed

create table payment_status_words (
    profile text not null,
    status text not null,
    word text not null,
    primary key (profile, status)
);
comment on table payment_status_words is
'How each product that is served here calls the status of a payment. refunded is no status of ours: '
'it is said of a paid payment of which all went back, but for what the policy keeps.';
insert into payment_status_words (profile, status, word) values
('merchants', 'pending', 'requires_payment_method'),
('merchants', 'processing', 'processing'),
('merchants', 'authorized', 'processing'),
('merchants', 'paid', 'succeeded'),
('merchants', 'failed', 'failed'),
('merchants', 'expired', 'failed'),
('merchants', 'canceled', 'failed'),
('merchants', 'refunded', 'succeeded'),
('novamart', 'pending', 'PENDING'),
('novamart', 'processing', 'PENDING'),
('novamart', 'authorized', 'PENDING'),
('novamart', 'paid', 'SUCCEEDED'),
('novamart', 'failed', 'FAILED'),
('novamart', 'expired', 'FAILED'),
('novamart', 'canceled', 'FAILED'),
('novamart', 'refunded', 'SUCCEEDED'),
('ubertruck', 'pending', 'initiated'),
('ubertruck', 'processing', 'processing'),
('ubertruck', 'authorized', 'processing'),
('ubertruck', 'paid', 'success'),
('ubertruck', 'failed', 'failed'),
('ubertruck', 'expired', 'failed'),
('ubertruck', 'canceled', 'failed'),
('ubertruck', 'refunded', 'refunded');

create table payment_attempt_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table payment_attempt_steps is 'Every legal change of payment_attempts.status.';
insert into payment_attempt_steps (before, after) values
('created', 'unknown'),
('created', 'pending'),
('created', 'processing'),  -- the gateway's message overtook its answer
('created', 'authorized'),
('created', 'captured'),
('created', 'failed'),
('created', 'expired'),
('created', 'canceled'),
('unknown', 'pending'),
('unknown', 'processing'),
('unknown', 'authorized'),
('unknown', 'captured'),
('unknown', 'failed'),
('unknown', 'expired'),
('unknown', 'canceled'),
('pending', 'processing'),
('pending', 'authorized'),
('pending', 'captured'),
('pending', 'failed'),
('pending', 'expired'),
('pending', 'canceled'),
('processing', 'pending'),  -- what was on its way failed, and its page takes another try
('processing', 'authorized'),
('processing', 'captured'),
('processing', 'failed'),
('processing', 'expired'),  -- what was on its way failed, and its page has closed
('processing', 'canceled'),
('authorized', 'captured'),
('authorized', 'failed'),
('authorized', 'expired'),
('authorized', 'canceled'),
('failed', 'processing'),
('failed', 'authorized'),
('failed', 'captured'),
('expired', 'authorized'),
('expired', 'captured'),
('canceled', 'captured');

create table payment_intents (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    customer_id uuid,
    purpose text not null,
    amount bigint not null,
    currency text not null references currencies (code),
    capture_method text not null default 'automatic',
    status text not null default 'pending',
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint payment_intent_stays_in_its_organization unique (id, organization_id, livemode),
    constraint payment_intent_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint payment_intent_purpose_is_known check (
        purpose in ('credit_purchase', 'order')
    ),
    constraint payment_intent_asks_for_money check (amount > 0),
    constraint payment_intent_capture_method_is_known check (
        capture_method = 'automatic' or (capture_method = 'manual' and purpose <> 'credit_purchase')
    ),
    constraint payment_intent_status_is_known check (
        status in ('pending', 'processing', 'authorized', 'paid', 'failed', 'expired', 'canceled')
    )
);
comment on table payment_intents is 'What is owed, and whether it was paid.';
comment on column payment_intents.purpose is
'What the money is for; fulfilled once it is paid. An order''s money is the organisation''s own.';
comment on column payment_intents.amount is 'Minor units of currency.';
comment on column payment_intents.capture_method is
'automatic: the gateway takes the money at once; manual: it is authorised first, and taken, whole or '
'in part, when we say so.';

create index payment_intents_by_customer on payment_intents (customer_id, created_at);

create table payment_attempts (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    payment_method_id uuid,
    gateway text not null,
    gateway_account text not null default '',
    amount bigint not null,
    amount_to_capture bigint,
    amount_captured bigint not null default 0,
    amount_refunded bigint not null default 0,
    currency text not null references currencies (code),
    status text not null default 'created',
    is_surplus boolean not null default false,
    is_in_suspense boolean not null default false,
    gateway_payment_id text,
    failure_code text,
    failure_message text,
    decline_class text,
    declined_at timestamptz,
    receipt_url text,
    captured_at timestamptz,
    checks smallint not null default 0,
    next_check_at timestamptz,
    returned_at timestamptz,
    receipt_asked_at timestamptz,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint payment_attempt_stays_in_its_organization unique (id, organization_id, livemode),
    constraint payment_attempt_belongs_to_its_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint payment_attempt_charges_its_payment_method
    foreign key (payment_method_id, organization_id, livemode)
    references payment_methods (id, organization_id, livemode),
    constraint payment_attempt_asks_for_money check (amount > 0),
    constraint payment_attempt_status_is_known check (
        status in (
            'created', 'unknown', 'pending', 'processing', 'authorized', 'captured', 'failed',
            'expired', 'canceled'
        )
    ),
    constraint captured_attempt_knows_its_payment check (
        (status = 'captured') = (captured_at is not null)
        and (status = 'captured') = (amount_captured > 0)
        and (status not in ('authorized', 'captured') or gateway_payment_id is not null)
    ),
    constraint no_more_is_captured_than_asked_for check (
        amount_captured between 0 and amount and amount_to_capture between 1 and amount
    ),
    constraint no_more_is_refunded_than_captured check (
        amount_refunded between 0 and amount_captured
    ),
    constraint payment_attempt_decline_class_is_known check (
        decline_class in ('soft', 'hard', 'authentication', 'fraud', 'gateway')
    ),
    constraint decline_says_why check (declined_at is null or decline_class is not null),
    constraint money_is_not_declined check (
        declined_at is null or status not in ('processing', 'authorized', 'captured')
    ),
    constraint money_in_suspense_pays_nothing check (is_surplus or not is_in_suspense),
    constraint only_a_page_is_checked_after_its_capture check (
        next_check_at is null or status <> 'captured'
        or (payment_method_id is null and gateway <> 'bank_transfer')
    )
);
comment on table payment_attempts is
'One try at one gateway. Its id is the gateway''s idempotency key and its reference to us.';
comment on column payment_attempts.status is
'created: the gateway may not have been asked yet; unknown: it was asked and gave no answer.';
comment on column payment_attempts.gateway is
'The adapter''s file name in app/gateways; bank_transfer for what came to our own bank account.';
comment on column payment_attempts.gateway_account is
'Whose account at the gateway is charged; empty for the only one that the settings name. The bank '
'account''s id where that took the money.';
comment on column payment_attempts.gateway_payment_id is 'The gateway''s payment: pi_… at Stripe.';
comment on column payment_attempts.payment_method_id is
'The saved method that was charged with the payer away; null where they came to a page.';
comment on column payment_attempts.amount_to_capture is
'What we told, or are about to tell, the gateway to take of an authorised payment; null again where it '
'refused to.';
comment on column payment_attempts.amount_refunded is
'Refunds that succeeded and those on their way, in minor units.';
comment on column payment_attempts.is_surplus is
'Captured though its intent was paid or canceled already: the money goes back. So is what is in suspense.';
comment on column payment_attempts.is_in_suspense is
'What came is not what was asked for: the gateway holds it for us until somebody sends it back.';
comment on column payment_attempts.decline_class is
'Why it failed, in a word that says what to do: docs/errors.md. Of one that is pending, or expired, why the '
'last try on its gateway''s page was declined.';
comment on column payment_attempts.declined_at is
'When the gateway last declined a try, as far as it says; null once there is money, or it is on its way. A '
'page may take another try after it: the status says whether this one does.';
comment on column payment_attempts.next_check_at is
'When the gateway is asked what became of it; null when it has ended for good, or a person must look. '
'One that ended without money is asked about for two days more: a bank may say yes after all. One that '
'was captured is asked about when its page has closed, where the page takes more than one payment.';
comment on column payment_attempts.returned_at is
'When a payer who came back last had its gateway asked: whoever comes in the next seconds has not.';
comment on column payment_attempts.receipt_asked_at is
'When the sweep of receipts last asked for one that had not come: whoever waits longest is next.';

create unique index gateway_payment_belongs_to_one_attempt
on payment_attempts (gateway_payment_id, gateway, livemode)
where gateway_payment_id is not null;
create index payment_attempts_by_intent on payment_attempts (payment_intent_id);
create index payment_attempts_by_method on payment_attempts (payment_method_id)
where payment_method_id is not null;
-- Of an expression, and of all rows, for no other look-up is to take it: a key that begins with the gateway,
-- or an index of those with a payment, finds every payment there is at it, and while the table's statistics
-- are older than its payments that looks like none.
create index payment_attempts_at_gateways on payment_attempts (
    (case when gateway_payment_id is not null then gateway || ' ' || livemode::text end)
);
create index payment_attempts_unsent on payment_attempts (updated_at)
where status in ('created', 'unknown') and payment_method_id is not null;
comment on index payment_attempts_unsent is 'Pile of charge_orders.';
create index payment_attempts_to_check on payment_attempts (next_check_at)
where next_check_at is not null;
comment on index payment_attempts_to_check is 'Queue of check_payments.';
create index payment_attempts_without_receipt
on payment_attempts (gateway, coalesce(receipt_asked_at, captured_at))
where status = 'captured' and receipt_url is null;
comment on index payment_attempts_without_receipt is 'Pile of store_missing_receipts.';

create function attempt_that_counts(p_payment_intent_id uuid) returns setof payment_attempts
language sql stable
begin atomic
select *  -- noqa: AM04
from payment_attempts
where payment_intent_id = p_payment_intent_id
order by is_in_suspense asc, status = 'captured' desc, is_surplus asc, created_at desc, id asc
limit 1;
end;
comment on function attempt_that_counts is
'Of the tries at a payment the one that tells how it stands: that which paid, else the newest. No row where '
'there is none. Views join it lateral; Postgres plans it as if it were written there.';
grant execute on function attempt_that_counts to munim_hasura;

create function check_step() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_legal boolean;
begin
    case tg_argv[0]
        -- What every payment goes through is written out: a plan takes longer to make than to run.
        when 'payment_intent_steps' then
            v_legal := exists (
                select from payment_intent_steps where before = old.status and after = new.status
            );
        when 'payment_attempt_steps' then
            v_legal := exists (
                select from payment_attempt_steps where before = old.status and after = new.status
            );
        when 'autopay_charge_steps' then
            v_legal := exists (
                select from autopay_charge_steps where before = old.status and after = new.status
            );
        else
            execute format(
                'select exists (select from %I where before = $1 and after = $2)', tg_argv[0]
            )
            into v_legal
            using old.status, new.status;
    end case;

    if not v_legal then
        raise exception '% % may not go from % to %', tg_table_name, old.id, old.status, new.status
            using errcode = 'assert_failure';
    end if;
    return new;
end;
$$;
comment on function check_step is 'Refuses a status that the named table of steps does not lead to.';

create trigger payment_intent_takes_legal_steps
before update of status on payment_intents
for each row when (old.status is distinct from new.status)
execute function check_step('payment_intent_steps');

create trigger payment_attempt_takes_legal_steps
before update of status on payment_attempts
for each row when (old.status is distinct from new.status)
execute function check_step('payment_attempt_steps');

create trigger payment_intent_updated_at
before update on payment_intents
for each row execute function touch_updated_at();

create trigger payment_attempt_updated_at
before update on payment_attempts
for each row execute function touch_updated_at();

create function is_by_hand(p_gateway text) returns boolean
language sql immutable
begin atomic
select p_gateway = 'bank_transfer';
end;
comment on function is_by_hand is
'Whether no gateway holds this money: people see it on a bank''s statement, and pay it back by hand. '
'Nobody can be asked about it.';

create function open_payment_attempt(
    p_intent payment_intents, p_gateway text, p_payment_method_id uuid
) returns payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_open payment_attempts;
    v_attempt payment_attempts;
begin
    if (select status from payment_intents where id = p_intent.id for no key update) = 'canceled'
    then
        raise exception 'checkout-expired: payment % is called off', p_intent.id
            using errcode = '22B25';
    end if;
    select * into v_open
    from payment_attempts
    where payment_intent_id = p_intent.id and not is_surplus
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized', 'captured');
    if v_open.id is not null then
        raise exception 'payment-in-progress: attempt % of this payment is %', v_open.id, v_open.status
            using errcode = '22B10';
    end if;

    insert into payment_attempts (
        organization_id, livemode, payment_intent_id, payment_method_id, gateway, amount, currency,
        next_check_at
    )
    values (
        p_intent.organization_id, p_intent.livemode, p_intent.id, p_payment_method_id, p_gateway,
        p_intent.amount, p_intent.currency, clock_now() + check_delay(0)
    )
    returning * into v_attempt;

    update payment_intents set status = 'pending'
    where id = p_intent.id and status in ('failed', 'expired');
    return v_attempt;
end;
$$;
comment on function open_payment_attempt is
'Writes an attempt down before its gateway is asked. Refused while another one of the same intent '
'may still take the money, and for one that is called off.';

create function mark_payment_unknown(
    hasura_session json,
    p_payment_attempt_id uuid,
    p_failure_message text,
    p_is_silent boolean default true
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    update payment_attempts
    set status = 'unknown', failure_message = p_failure_message
    where id = p_payment_attempt_id and status = 'created';

    perform break_gateway_circuit(
        gateway, livemode, case when payment_method_id is null then 'open' else 'charge' end
    )
    from payment_attempts
    where id = p_payment_attempt_id and p_is_silent;
    return query select * from payment_attempts where id = p_payment_attempt_id;
end;
$$;
comment on function mark_payment_unknown is
'The gateway was asked and gave no answer. Nothing happens to an attempt of which more is known. '
'p_is_silent: it said nothing, or failed itself; an answer that means nothing, such as too many requests, '
'is not counted in gateway_circuits.';
grant execute on function mark_payment_unknown to munim_hasura;

create function not_found_is_believed_at(p_attempt payment_attempts) returns timestamptz
language sql immutable
begin atomic
select p_attempt.created_at + interval '25 hours';
end;
comment on function not_found_is_believed_at is
'From when on a gateway that knows nothing of an attempt is right: its look-up may lag, and a lost '
'request may still arrive, but not after a day.';
grant execute on function not_found_is_believed_at to munim_hasura;

create function page_is_left_at(p_expires_at timestamptz) returns timestamptz
language sql immutable
begin atomic
select p_expires_at + interval '16 minutes';
end;
comment on function page_is_left_at is
'When nobody is paying any more who began on a page before it closed: they have a quarter of an hour at '
'their bank.';

create function next_payment_check(p_attempt payment_attempts) returns timestamptz
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_now constant timestamptz := clock_now();
    v_by_schedule constant timestamptz := v_now + check_delay(p_attempt.checks + 1);
    v_believed_at constant timestamptz := not_found_is_believed_at(p_attempt);
begin
    case
        when p_attempt.status = 'captured' then
            -- Until end_page_check: who asks may die, and a bank say yes to another payment.
            return case
                when greatest(p_attempt.created_at, p_attempt.captured_at)
                    > v_now - interval '7 days'
                    then v_now + interval '1 day'
            end;
        when p_attempt.status in ('failed', 'expired', 'canceled') then
            -- Its checks are counted from its end: see move_payment_attempt.
            return case when p_attempt.checks < 2 then v_now + interval '20 hours' end;
        when v_by_schedule is null then
            return null;
        else
            -- A page closes just before not_found is believed, and another day would be lost.
            return least(
                v_by_schedule,
                (
                    select page_is_left_at(expires_at)
                    from checkout_sessions
                    where payment_attempt_id = p_attempt.id
                        and page_is_left_at(expires_at) > v_now
                ),
                case
                    when p_attempt.status in ('created', 'unknown') and v_believed_at > v_now
                        then v_believed_at
                end
            );
    end case;
end;
$$;
comment on function next_payment_check is
'When an attempt that is asked about now is asked about again: by the schedule of check_delay, or sooner '
'if its page closes before; null when this is the last time.';

create function is_being_captured(p_attempt payment_attempts) returns boolean
language sql immutable
begin atomic
select p_attempt.status = 'authorized' and p_attempt.amount_to_capture is not null;
end;
comment on function is_being_captured is
'Whether who asks about it tells its gateway to capture it, instead of looking it up.';

create function lock_due_attempts(
    p_livemode boolean,
    p_limit integer,
    p_silent text[],
    p_not_capturing text[],
    p_probed text default null
) returns setof payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return query
    select *
    from payment_attempts
    where next_check_at <= clock_now()
        and livemode = p_livemode
        and (p_probed is null or gateway = p_probed)
        and (p_probed is not null) = (
            gateway = any(p_silent)
            or (gateway = any(p_not_capturing) and is_being_captured(payment_attempts))
        )
    order by next_check_at
    limit p_limit
    for no key update skip locked;
end;
$$;
comment on function lock_due_attempts is
'The attempts that are due to be asked about and nobody has locked, the longest due first: those that '
'wait for p_probed, which is left alone, or those that wait for nobody.';

create function may_ask_about_attempt(p_attempt payment_attempts) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if is_being_captured(p_attempt)
        and not may_ask_gateway(p_attempt.gateway, p_attempt.livemode, 'capture')
    then
        return false;
    end if;
    return may_ask_gateway(p_attempt.gateway, p_attempt.livemode, 'look-up');
end;
$$;
comment on function may_ask_about_attempt is
'Whether its gateway answers look-ups, and takes captures where this is to be one.';

create function claim_payment_checks(
    hasura_session json, p_limit integer, p_paused jsonb default '[]'
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
-- Planned once: to plan it anew for the number it is given takes longer than to run it.
set plan_cache_mode = force_generic_plan
as $$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_paused constant text[] := array(select jsonb_array_elements_text(p_paused));
    v_silent constant text[] := silent_gateways(v_livemode, 'look-up');
    v_not_capturing constant text[] := silent_gateways(v_livemode, 'capture');
    v_probes payment_attempts[];
    v_ids uuid[];
    v_attempt payment_attempts;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    -- What waits for a silent gateway stays due, but for one that finds out whether it answers.
    v_probes := array(
        select lock_due_attempts(v_livemode, 1, v_silent, v_not_capturing, silent.gateway)
        from (
            select unnest(v_silent || v_not_capturing) except select unnest(v_paused) order by 1
        ) as silent (gateway)
    );
    v_ids := array(
        select id
        from lock_due_attempts(v_livemode, p_limit, v_silent || v_paused, v_not_capturing)
    );
    v_ids := array(
        select probe.id
        from unnest(v_probes) as probe
        where may_ask_about_attempt(probe)
        limit p_limit
    ) || v_ids;
    for v_attempt in
        update payment_attempts
        set checks = checks + 1, next_check_at = next_payment_check(payment_attempts)
        where id = any(v_ids[:p_limit])
        returning *
    loop
        if v_attempt.next_check_at is null
            and v_attempt.status not in ('captured', 'failed', 'expired', 'canceled')
        then
            perform record_exception(
                v_attempt.organization_id, v_attempt.livemode, 'payment-unresolved',
                'payment_attempt', v_attempt.id, v_attempt.amount, v_attempt.currency,
                format('%s since %s', v_attempt.status, v_attempt.created_at)
            );
        end if;
        return next v_attempt;
    end loop;
end;
$$;
comment on function claim_payment_checks is
'Answers attempts that are due to be asked about, and puts each off to its next time, so that who '
'dies with them loses nothing. After the last time a person must look: see exceptions. A gateway that is '
'left alone is asked about one of its own; the others wait, and no question is counted. None is answered '
'of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_payment_checks to munim_hasura;

create function ask_payments_again(hasura_session json, p_payment_attempt_ids jsonb)
returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
-- Planned once: to plan it anew for the number it is given takes longer than to run it.
set plan_cache_mode = force_generic_plan
as $$
declare
    v_ids constant uuid[] := array(
        select value::uuid from jsonb_array_elements_text(p_payment_attempt_ids)
    );
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set checks = checks - 1, next_check_at = clock_now() + interval '30 minutes'
    where id in (
        select id
        from payment_attempts
        where id = any(v_ids)
            and next_check_at > clock_now() + interval '30 minutes'
            and checks > 0
            and greatest(created_at, captured_at) > clock_now() - interval '7 days'
        order by id
        for no key update
    )
    returning *;
end;
$$;
comment on function ask_payments_again is
'The gateway gave no answer to questions: they were none of those that count, and are asked again '
'within half an hour; after a week as the schedule has it, so that a person hears of it at last.';
grant execute on function ask_payments_again to munim_hasura;

create function end_page_check(
    hasura_session json,
    p_payment_attempt_id uuid,
    p_next_check_at timestamptz,
    p_is_undecided boolean
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set next_check_at = null
    where id = p_payment_attempt_id and status = 'captured'
        and next_check_at is not distinct from p_next_check_at
        and (
            not p_is_undecided
            -- Razorpay asks banks for three days what became of a payment; nobody asks for longer.
            or not exists (
                select from checkout_sessions
                where payment_attempt_id = payment_attempts.id
                    and page_is_left_at(expires_at) > clock_now() - interval '3 days'
            )
        )
    returning *;
end;
$$;
comment on function end_page_check is
'All payments of a captured attempt''s page have been looked at, and brought through the door. While one of '
'them may still take money it is asked about again each day, until three days after the page has closed. So it is '
'where p_next_check_at is not its time any more: since that was claimed, a hint has told of something new.';
grant execute on function end_page_check to munim_hasura;

create function open_payment_attempts(hasura_session json, p_payment_intent_id uuid)
returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
begin
    perform require_service(hasura_session);
    select * into v_intent from payment_intents where id = p_payment_intent_id;
    perform require_access(
        hasura_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );

    return query
    select * from payment_attempts
    where payment_intent_id = p_payment_intent_id
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized');
end;
$$;
comment on function open_payment_attempts is
'The attempts of a payment that have not ended; refused when the payment is not the session''s.';
grant execute on function open_payment_attempts to munim_hasura;

create function claim_return_checks(hasura_session json, p_payment_intent_id uuid)
returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_attempts payment_attempts[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_attempts := array(
        select payment_attempts
        from payment_attempts
        where payment_intent_id = p_payment_intent_id
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
            and status in ('created', 'unknown', 'pending', 'processing', 'authorized')
            and coalesce(returned_at <= clock_now() - interval '5 seconds', true)
        order by id
        for no key update
    );

    return query
    update payment_attempts
    set returned_at = clock_now()
    where id = any(array(
        select attempt.id
        -- Sorted before it is asked: circuits have their order, too.
        from (select * from unnest(v_attempts) order by gateway offset 0) as attempt
        where may_ask_gateway(attempt.gateway, attempt.livemode, 'look-up')
    ))
    returning *;
end;
$$;
comment on function claim_return_checks is
'The attempts of a payment that have not ended, for a payer who comes back: nobody has proved who they are, '
'so each attempt is answered once in five seconds, and its gateway is asked no more often by this. Of a '
'silent gateway none is: its payer is told what is known.';
grant execute on function claim_return_checks to munim_hasura;

create function ask_payment_now(p_attempt payment_attempts) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    -- Of one that is captured there is the rest of its page to ask about, and its time comes by
    -- itself when the page closes: who asked before would believe that nothing follows. Whoever
    -- asks at this moment may have missed what the hint is about.
    update payment_attempts
    set next_check_at = least(next_check_at, clock_now())
    where id = p_attempt.id
        and (
            status <> 'captured'
            or (
                page_check_at(payment_attempts) is not null
                and (next_check_at is null or exists (
                    select from checkout_sessions
                    where payment_attempt_id = payment_attempts.id
                        and page_is_left_at(expires_at) <= clock_now()
                ))
            )
        );
    return found;
end;
$$;
comment on function ask_payment_now is
'Brings the next question about an attempt forward to now; false where there is nothing to ask about.';

create function claim_hinted_check(hasura_session json, p_payment_attempt_id uuid)
returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set next_check_at = clock_now() + interval '1 minute'
    where id = p_payment_attempt_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and next_check_at <= clock_now()
    returning *;
end;
$$;
comment on function claim_hinted_check is
'Answers the attempt that a hint was about, for whoever took the hint in to ask at once. It stays due in '
'a minute, for the cron: who asks may die, or hear nothing, or hear what was true a moment ago. The same '
'hint again is answered nothing.';
grant execute on function claim_hinted_check to munim_hasura;

create function least_to_capture(p_attempt payment_attempts) returns bigint
language sql stable
begin atomic
select case capture_method when 'manual' then 1 else p_attempt.amount end
from payment_intents
where id = p_attempt.payment_intent_id;
end;
comment on function least_to_capture is
'The smallest part of an authorised payment that may be taken: what is not authorised first is owed whole.';

create function begin_capture(
    hasura_session json, p_payment_intent_id uuid, p_amount bigint
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    perform require_actor_role(hasura_session, array['service', 'owner', 'finance']);
    perform require_read_committed();

    select * into v_intent from payment_intents where id = p_payment_intent_id for no key update;
    perform require_access(hasura_session, v_intent.organization_id, v_intent.livemode, null);
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = v_intent.id and status in ('authorized', 'captured')
        and not is_surplus
    order by status = 'captured' desc
    limit 1
    for no key update;

    if v_intent.status = 'canceled' then
        raise exception 'not-capturable: payment % is called off', v_intent.id
            using errcode = '22B15';
    end if;
    if v_attempt.id is null or (
        v_intent.capture_method <> 'manual' and v_attempt.status = 'captured'
        and v_attempt.amount_to_capture is null
    ) then
        raise exception 'not-capturable: payment % is % and nothing of it is authorised',
            v_intent.id, v_intent.status
            using errcode = '22B15';
    end if;
    if coalesce(p_amount, v_attempt.amount)
        not between least_to_capture(v_attempt) and v_attempt.amount
    then
        raise exception 'amount-out-of-range: % of % cannot be captured', p_amount, v_attempt.amount
            using errcode = '22B07';
    end if;
    if v_attempt.amount_to_capture <> coalesce(p_amount, v_attempt.amount) then
        raise exception 'not-capturable: % is being captured, and a payment is captured once',
            v_attempt.amount_to_capture
            using errcode = '22B15';
    end if;

    -- What was refused before is decided anew.
    perform resolve_exception('payment-unresolved', 'payment_attempt', v_attempt.id);
    return query
    update payment_attempts
    set
        amount_to_capture = coalesce(p_amount, amount), failure_code = null, failure_message = null,
        -- Soon, and as often as a new attempt: its sender may die before the gateway is told.
        checks = case when status = 'authorized' then 0 else checks end,
        next_check_at = case
            when status = 'authorized' then clock_now() + check_delay(0) else next_check_at
        end
    where id = v_attempt.id
    returning *;
end;
$$;
comment on function begin_capture is
'Writes down how much of an authorised payment is to be taken, before the gateway is told. The same '
'amount again: the same row; another one only after the gateway has refused the first. As with refunds, '
'the organisation decides, and nobody else. Refused once the payment is called off, though a capture was '
'begun before: whether the gateway took it, it is asked.';
grant execute on function begin_capture to munim_hasura;

create function refuse_capture(
    hasura_session json, p_payment_attempt_id uuid, p_amount bigint, p_reason text
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    -- A late answer about another amount says nothing of the one that is being captured now.
    update payment_attempts
    set amount_to_capture = null, failure_code = 'capture-refused', failure_message = p_reason
    where id = p_payment_attempt_id and status = 'authorized' and amount_to_capture = p_amount
    returning * into v_attempt;

    if v_attempt.id is not null then
        perform record_exception(
            v_attempt.organization_id, v_attempt.livemode, 'payment-unresolved',
            'payment_attempt', v_attempt.id, v_attempt.amount, v_attempt.currency,
            format('the capture of %s was refused: %s', p_amount, p_reason)
        );
        return next v_attempt;
    end if;
end;
$$;
comment on function refuse_capture is
'The gateway said no, for good, to a capture of so much: nothing of it is meant any more, and a person may '
'capture again, another amount or the same. Listed, for whoever asked may not have heard it. Called again: '
'no row.';
grant execute on function refuse_capture to munim_hasura;

create function is_taken_at_once(p_attempt payment_attempts) returns boolean
language sql stable
begin atomic
select capture_method = 'automatic' and status not in ('paid', 'canceled')
from payment_intents
where id = p_attempt.payment_intent_id;
end;
comment on function is_taken_at_once is
'Whether the service itself captures what a gateway only holds: nobody else was to, and it is still owed.';

create function is_try_over(p_attempt payment_attempts, p_finding jsonb) returns boolean
language sql immutable
begin atomic
select p_attempt.payment_method_id is null
    and coalesce(p_finding ->> 'stood' = 'processing', false);
end;
comment on function is_try_over is
'Whether what was on its way came to nothing where a gateway says that the next step is the payer''s: by an '
'answer to a question that was asked while our books had it on its way. A message may be about a try before.';

create function attempt_status(p_attempt payment_attempts, p_finding jsonb) returns text
language sql stable
begin atomic
select case p_finding ->> 'outcome'
    when 'paid' then 'captured'
    when 'requires_action' then case
        when p_attempt.status <> 'processing' or is_try_over(p_attempt, p_finding) then 'pending'
        else 'processing'
    end
    when 'not_found' then
        case
            when not_found_is_believed_at(p_attempt) > clock_now() then null
            when p_attempt.payment_method_id is null then 'expired'
            else 'failed'
        end
    else p_finding ->> 'outcome'
end;
end;
comment on function attempt_status is
'The status that a gateway''s word leads to; null where the word settles nothing yet.';

create function reason_not_to_settle(p_attempt payment_attempts, p_status text) returns text
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_status is null then
        return 'the gateway does not know it yet';
    end if;
    if not exists (
        select from payment_attempt_steps where before = p_attempt.status and after = p_status
    ) then
        return format('the attempt is %s already', p_attempt.status);
    end if;
    return null;
end;
$$;
comment on function reason_not_to_settle is
'Why a status that a gateway''s word leads to changes nothing; null where it is a step.';

create function declined_at_by(p_finding jsonb, p_occurred_at timestamptz) returns timestamptz
language sql stable
begin atomic
select coalesce((p_finding ->> 'declined_at')::timestamptz, p_occurred_at)
where p_finding ->> 'decline_class' is not null;
end;
comment on function declined_at_by is
'When the try was declined that a gateway tells of; null where it tells of none.';

create function is_news_of_decline(
    p_attempt payment_attempts, p_finding jsonb, p_occurred_at timestamptz
) returns boolean
language sql stable
begin atomic
select p_attempt.status = 'pending'
    and p_finding ->> 'outcome' = 'requires_action'
    and p_finding ->> 'decline_class' is not null
    and case
        when p_attempt.declined_at is null then true
        -- Who dates no try says when it was asked: only another reason is another try then.
        when p_finding ->> 'declined_at' is null
            and p_finding ->> 'decline_class' = p_attempt.decline_class
            and p_finding ->> 'failure_code' is not distinct from p_attempt.failure_code then false
        else declined_at_by(p_finding, p_occurred_at) > p_attempt.declined_at
    end;
end;
comment on function is_news_of_decline is
'Whether a gateway says that a later try than the last known was declined, on a page that takes another.';

create function amount_captured_by(p_attempt payment_attempts, p_finding jsonb) returns bigint
language sql immutable
begin atomic
select coalesce(
    (p_finding ->> 'captured_amount')::bigint, p_attempt.amount_to_capture, p_attempt.amount
);
end;
comment on function amount_captured_by is
'How much of an attempt a gateway took, by a finding that says paid: where it does not tell, what it was told '
'to take.';

create function settle_payment_attempt(
    p_attempt payment_attempts, p_finding jsonb, p_occurred_at timestamptz
) returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_status constant text := attempt_status(p_attempt, p_finding);
    v_reason constant text := reason_not_to_settle(p_attempt, v_status);
begin
    if is_news_of_decline(p_attempt, p_finding, p_occurred_at) then
        update payment_attempts
        set
            failure_code = p_finding ->> 'failure_code',
            failure_message = p_finding ->> 'failure_message',
            decline_class = p_finding ->> 'decline_class',
            declined_at = declined_at_by(p_finding, p_occurred_at)
        where id = p_attempt.id;
        return null;
    end if;
    if v_reason is not null then
        return v_reason;
    end if;

    if v_status = 'captured' then
        perform capture_payment_attempt(
            p_attempt, p_finding ->> 'gateway_payment_id',
            amount_captured_by(p_attempt, p_finding), p_occurred_at,
            p_finding ->> 'receipt_url'
        );
    else
        perform move_payment_attempt(p_attempt, v_status, p_finding, p_occurred_at);
    end if;
    perform advance_autopay_charge(p_attempt.id)
    from autopay_charges where payment_intent_id = p_attempt.payment_intent_id;

    if v_status in ('captured', 'failed', 'expired', 'canceled') then
        perform resolve_exception('payment-unresolved', 'payment_attempt', p_attempt.id);
        perform resolve_exception('hold-not-released', 'payment_attempt', p_attempt.id)
        where p_attempt.status = 'authorized';
    end if;
    return null;
end;
$$;
comment on function settle_payment_attempt is
'The one way from what a gateway says to what we book: takes the step that a finding calls for. '
'Answers why nothing was to be done, or null. The intent and the attempt are locked.';

create function capture_posting(
    p_attempt payment_attempts, p_amount bigint, p_code text, p_occurred_at timestamptz
) returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return (
        format('capture:%s', p_attempt.id), 'capture', 'payment_attempt', p_attempt.id,
        p_occurred_at,
        ledger_account(
            p_attempt.organization_id, p_attempt.livemode,
            case
                when is_by_hand(p_attempt.gateway) then 'bank_transfers'
                else 'gateway:' || p_attempt.gateway
            end,
            case when is_by_hand(p_attempt.gateway) then 'liability' else 'asset' end,
            p_attempt.currency, p_attempt.payment_intent_id
        ),
        ledger_account(
            p_attempt.organization_id, p_attempt.livemode, p_code, 'liability',
            p_attempt.currency, p_attempt.payment_intent_id
        ),
        p_amount
    )::ledger_posting;
end;
$$;
comment on function capture_posting is
'The gateway has the money, and we owe it to an account. What came to our own bank is booked there '
'when two people have seen it, and is held as bank_transfers until it is used here.';

create function page_check_at(p_attempt payment_attempts) returns timestamptz
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_attempt.payment_method_id is not null or is_by_hand(p_attempt.gateway) then
        return null;
    end if;
    return page_is_left_at(greatest(expires_at, clock_now()))
    from checkout_sessions
    where payment_attempt_id = p_attempt.id and takes_several;
end;
$$;
comment on function page_check_at is
'When a captured attempt is asked about once more: on some pages a payer may pay again, in another tab, '
'and the message of it be lost. Null where that cannot be.';

create function capture_payment_attempt(
    p_attempt payment_attempts,
    p_gateway_payment_id text,
    p_amount bigint,
    p_occurred_at timestamptz,
    p_receipt_url text default null
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_intent payment_intents;
    v_is_needless boolean;
begin
    select * into strict v_intent from payment_intents where id = p_attempt.payment_intent_id;
    v_is_needless := v_intent.status not in ('paid', 'canceled') and not p_attempt.is_in_suspense
        and is_autopay_month_paid(v_intent.id);

    update payment_attempts
    set
        status = 'captured', captured_at = p_occurred_at, amount_captured = p_amount,
        gateway_payment_id = p_gateway_payment_id, next_check_at = page_check_at(p_attempt),
        receipt_url = p_receipt_url,
        is_surplus = is_in_suspense or v_intent.status in ('paid', 'canceled') or v_is_needless,
        failure_code = null, failure_message = null, decline_class = null, declined_at = null
    where id = p_attempt.id
    returning * into strict v_attempt;

    if v_attempt.is_in_suspense then
        perform post_ledger_transactions(
            v_attempt.organization_id, v_attempt.livemode,
            array[capture_posting(v_attempt, p_amount, 'suspense', p_occurred_at)]
        );
    elsif v_attempt.is_surplus then
        perform keep_surplus(v_attempt, p_occurred_at);
        if v_is_needless then
            update payment_intents set status = 'canceled' where id = v_intent.id;
            perform tell_of_cancellation(v_intent);
        end if;
    else
        perform pay_payment_intent(v_intent, v_attempt);
    end if;
    perform search_refunds(v_attempt) where may_be_refunded_unheard(v_attempt);
    perform requeue_gateway_events(v_attempt);
end;
$$;
comment on function capture_payment_attempt is
'The gateway has the money: it is booked, and what was owed is paid, unless this is not what was owed, or '
'another mandate''s charge has paid the month that it is for.';

create function keep_surplus(p_attempt payment_attempts, p_occurred_at timestamptz) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform post_ledger_transactions(
        p_attempt.organization_id, p_attempt.livemode,
        array[
            capture_posting(p_attempt, p_attempt.amount_captured, 'surplus', p_occurred_at)
        ] || surplus_refund_postings(p_attempt, p_occurred_at)
    );
    perform record_exception(
        p_attempt.organization_id, p_attempt.livemode, 'surplus-payment', 'payment_attempt',
        p_attempt.id, p_attempt.amount_captured, p_attempt.currency,
        'captured though the payment was settled otherwise'
    );
    perform record_event(
        p_attempt.organization_id, p_attempt.livemode, 'payment.surplus', 'payment_intent',
        p_attempt.payment_intent_id, payment_facts(p_attempt)
    );
end;
$$;
comment on function keep_surplus is
'Money that came though nothing was owed any more: booked, listed, and on its way back by a refund.';

create function payment_postings(p_intent payment_intents, p_attempt payment_attempts)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_amount constant bigint := p_attempt.amount_captured;
    v_at constant timestamptz := p_attempt.captured_at;
begin
    return case p_intent.purpose
        when 'credit_purchase' then array[
            capture_posting(p_attempt, v_amount, 'prepaid_credits', v_at),
            credit_grant_posting(p_intent, v_at)
        ]
        when 'order' then array[capture_posting(p_attempt, v_amount, 'merchant_balance', v_at)]
    end;
end;
$$;
comment on function payment_postings is
'What is booked of a captured attempt that pays what is owed: the money, then what it is for.';

create function pay_payment_intent(
    p_intent payment_intents, p_attempt payment_attempts
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_postings constant ledger_posting[] := payment_postings(p_intent, p_attempt);
    v_transaction_ids uuid[];
begin
    -- What is captured and what it pays for are booked in one call, which takes all locks in order.
    v_transaction_ids := array(
        select post_ledger_transactions(p_intent.organization_id, p_intent.livemode, v_postings)
    );

    update payment_intents set status = 'paid' where id = p_intent.id;
    perform record_event(
        p_intent.organization_id, p_intent.livemode, 'payment.succeeded', 'payment_intent',
        p_intent.id, payment_facts(p_attempt)
    );
    perform request_receipt(p_attempt) where not is_by_hand(p_attempt.gateway);
    if p_intent.purpose = 'credit_purchase' then
        perform finish_credit_purchase(p_intent, v_transaction_ids[2]);
    end if;
end;
$$;
comment on function pay_payment_intent is 'What was owed is paid; what it was for is fulfilled.';

create function payment_facts(p_attempt payment_attempts) returns jsonb
language sql stable
begin atomic
select jsonb_build_object(
    'payment_intent_id', p_attempt.payment_intent_id,
    'payment_attempt_id', p_attempt.id,
    'gateway', p_attempt.gateway,
    'amount', case when p_attempt.amount_captured > 0 then p_attempt.amount_captured
        else p_attempt.amount end,
    'currency', p_attempt.currency,
    'failure_code', p_attempt.failure_code,
    'decline_class', p_attempt.decline_class
);
end;
comment on function payment_facts is 'What an event about a payment tells.';

create function move_payment_attempt(
    p_attempt payment_attempts,
    p_status text,
    p_finding jsonb,
    p_occurred_at timestamptz default clock_now()
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_is_to_take constant boolean := p_status = 'authorized' and is_taken_at_once(p_attempt);
    v_has_ended constant boolean := p_status in ('failed', 'expired', 'canceled');
    -- A page that closes says nothing of the tries that were declined on it.
    v_is_known constant boolean := v_has_ended and p_attempt.declined_at is not null
    and coalesce(p_finding ->> 'failure_code', p_finding ->> 'decline_class') is null;
begin
    update payment_attempts
    set
        status = p_status,
        amount_to_capture = case when v_is_to_take then amount else amount_to_capture end,
        gateway_payment_id = coalesce(gateway_payment_id, p_finding ->> 'gateway_payment_id'),
        failure_code = case when v_is_known then failure_code else p_finding ->> 'failure_code' end,
        failure_message
        = case when v_is_known then failure_message else p_finding ->> 'failure_message' end,
        decline_class
        = case when v_is_known then decline_class else p_finding ->> 'decline_class' end,
        declined_at = case
            when v_is_known then declined_at
            when v_has_ended or p_status = 'pending' then declined_at_by(p_finding, p_occurred_at)
        end,
        checks = case when v_is_to_take or v_has_ended then 0 else checks end,
        next_check_at = case
            -- Some gateways say first that they hold what they take themselves a moment later.
            when v_is_to_take then clock_now() + check_delay(0)
            -- Held for a payment that was called off, or paid otherwise, meanwhile: it is to be released.
            when p_status = 'authorized' and exists (
                select from payment_intents
                where id = p_attempt.payment_intent_id and status in ('canceled', 'paid')
            ) then clock_now()
            when p_status in ('pending', 'processing', 'authorized')
                then coalesce(
                    next_check_at,
                    clock_now() + coalesce(check_delay(checks), interval '1 day')
                )
            -- A payer's bank may say yes after all, and the message of it be lost.
            when p_attempt.payment_method_id is null and not is_by_hand(p_attempt.gateway)
                then clock_now() + interval '6 hours'
        end
    where id = p_attempt.id
    returning * into strict v_attempt;

    update payment_intents set status = 'pending'
    where id = p_attempt.payment_intent_id and status = 'processing' and p_status = 'pending';
    if p_status = 'pending' or not exists (
        select from payment_intent_steps
        inner join payment_intents on payment_intents.status = payment_intent_steps.before
        where payment_intents.id = p_attempt.payment_intent_id
            and payment_intent_steps.after = p_status
    ) then
        return;  -- pending from the start or once more, or settled by another attempt
    end if;
    update payment_intents set status = p_status where id = p_attempt.payment_intent_id;

    perform record_event(
        p_attempt.organization_id, p_attempt.livemode, 'payment.' || p_status, 'payment_intent',
        p_attempt.payment_intent_id, payment_facts(v_attempt)
    );
end;
$$;
comment on function move_payment_attempt is
'Takes an attempt, and its intent with it, to a status in which no money is captured. What is only held '
'though it was to be taken at once is captured by check_payments, and how much is written down here.';

revoke insert, update, delete, truncate
on payment_intents, payment_attempts from public, munim_hasura;
