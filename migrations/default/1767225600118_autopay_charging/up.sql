-- The calendar -----------------------------------------------------------------------------------

create function autopay_rule(p_currency text, p_on date) returns autopay_rules
language sql stable
begin atomic
select autopay_rules from autopay_rules
where currency = p_currency and valid_from <= p_on
order by valid_from desc
limit 1;
end;
comment on function autopay_rule is 'The rule in force for a currency on a date, or null.';

create function write_autopay_charges(p_mandate_ids uuid[]) returns autopay_charges[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_now timestamptz := clock_now();
    v_charges autopay_charges[];
begin
    with months as (
        select
            autopay_mandates.*,
            local_moment(next_due_on, autopay_mandates.local_time, timezone) as due_at,
            autopay_settings.catch_up_days * interval '1 day' as catch_up,
            coalesce((autopay_rule(currency, next_due_on)).notice, interval '0') as notice
        from autopay_mandates
        inner join autopay_settings
            on autopay_settings.organization_id = autopay_mandates.organization_id
        where autopay_mandates.id = any(p_mandate_ids)
    ),
    written as (
        insert into autopay_charges (
            organization_id, livemode, autopay_mandate_id, customer_id, period, due_on, due_at,
            amount, currency, status, reason, next_try_at
        )
        select
            organization_id, livemode, id, customer_id, to_char(next_due_on, 'YYYY-MM'),
            next_due_on, due_at, amount, currency,
            case when due_at < v_now - catch_up then 'skipped' else 'due' end,
            case when due_at < v_now - catch_up then 'missed' end,
            case
                when due_at >= v_now - catch_up
                    then greatest(due_at, case when notice > interval '0' then v_now + notice end)
            end
        from months
        on conflict on constraint autopay_period_is_charged_once do nothing
        returning autopay_charges as charge
    )
    select array_agg(charge) into v_charges from written;
    return v_charges;
end;
$$;
comment on function write_autopay_charges is
'Writes the next month of each mandate down, once. A month that nobody looked at in time is missed; one '
'that is written down late has no more time for it, unless law wants the payer to be told before.';

create function materialise_autopay_charges(hasura_session json, p_limit integer)
returns setof autopay_mandates
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[];
    v_charges autopay_charges[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform give_up_on_payers(hasura_session);
    perform pass_over_paused_months(hasura_session);

    v_ids := array(
        select id from autopay_mandates
        where next_notice_at <= clock_now()
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by next_notice_at
        limit p_limit
        for no key update skip locked
    );
    v_charges := write_autopay_charges(v_ids);
    perform tell_of_autopay_charge(charge, 'autopay.upcoming')
    from unnest(v_charges) as charge where charge.status = 'due';
    perform list_missed_autopay_charge(charge)
    from unnest(v_charges) as charge where charge.status = 'skipped';

    return query
    with following as (
        select
            autopay_mandates.id,
            due_date(day_of_month, (next_due_on + interval '1 month')::date) as due_on,
            autopay_settings.notice_days * interval '1 day' as notice
        from autopay_mandates
        inner join autopay_settings
            on autopay_settings.organization_id = autopay_mandates.organization_id
        where autopay_mandates.id = any(v_ids)
    )
    update autopay_mandates
    set
        next_due_on = following.due_on,
        next_notice_at = local_moment(following.due_on, local_time, timezone) - following.notice
    from following
    where autopay_mandates.id = following.id
    returning autopay_mandates.*;
end;
$$;
comment on function materialise_autopay_charges is
'Writes down and announces the charges whose notice is due, one month of a mandate a call, and '
'answers the mandates that it moved on: call again until there are none. Any number of ticks, at any '
'time, late or twice, make the same charges.';
grant execute on function materialise_autopay_charges to munim_hasura;

create function list_missed_autopay_charge(p_charge autopay_charges) returns void
language sql volatile
begin atomic
select record_exception(
    p_charge.organization_id, p_charge.livemode, 'autopay-missed', 'autopay_charge', p_charge.id,
    p_charge.amount, p_charge.currency,
    format('%s was due %s and is not charged any more', p_charge.period, p_charge.due_at)
);
end;
comment on function list_missed_autopay_charge is
'A person decides about a month that could not be charged in time.';

create function give_up_on_payers(p_session json) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_charge autopay_charges;
begin
    for v_charge in
        update autopay_charges
        set status = 'failed', next_try_at = null
        where id = any(array(
            select autopay_charges.id from autopay_charges
            where autopay_charges.status = 'action_required' and next_try_at <= clock_now()
                and livemode::text = p_session ->> 'x-hasura-livemode'
                and not exists (
                    select from payment_attempts
                    where payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
                        and payment_attempts.status
                        in ('created', 'unknown', 'pending', 'processing', 'authorized')
                )
            limit 100
            for no key update skip locked
        ))
        returning *
    loop
        perform tell_of_autopay_charge(v_charge, 'autopay.failed');
    end loop;
end;
$$;
comment on function give_up_on_payers is
'Fails charges that their payers did not finish in time; not while they may be paying.';

create function pass_over_paused_months(p_session json) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update autopay_charges
    set status = 'skipped', reason = 'paused', next_try_at = null
    where id in (
        select autopay_charges.id from autopay_charges
        inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
        where autopay_charges.status = 'due' and autopay_charges.next_try_at <= clock_now()
            and autopay_mandates.status = 'paused'
            and autopay_charges.livemode::text = p_session ->> 'x-hasura-livemode'
        for no key update skip locked
    );
end;
$$;
comment on function pass_over_paused_months is
'What fell due while its mandate was paused is not charged, however long the pause.';

-- Charging ---------------------------------------------------------------------------------------

create function lock_autopay_probes(p_livemode boolean, p_silent text[]) returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_gateway text;
    v_waiting uuid;
    v_gateways text[] := '{}';
    v_ids uuid[] := '{}';
begin
    foreach v_gateway in array p_silent loop
        select charge.id into v_waiting
        from autopay_charges as charge
        inner join autopay_mandates as mandate on mandate.id = charge.autopay_mandate_id
        where mandate.gateway = v_gateway and mandate.status = 'active'
            and charge.livemode = p_livemode
            and (
                charge.lease_until <= clock_now()
                or charge.status = 'due' and charge.next_try_at <= clock_now()
            )
        order by coalesce(charge.lease_until, charge.next_try_at)
        limit 1
        for no key update of charge skip locked;
        if found then
            v_gateways := v_gateways || v_gateway;
            v_ids := v_ids || v_waiting;
        end if;
    end loop;
    return array(
        select probe.id
        from unnest(v_gateways, v_ids) as probe (gateway, id)
        where may_ask_gateway(probe.gateway, p_livemode, 'charge')
    );
end;
$$;
comment on function lock_autopay_probes is
'Of each silent gateway that may be asked once the charge that has waited longest.';

create function claim_autopay_charges(
    hasura_session json, p_limit integer, p_lease_seconds integer
) returns setof autopay_charges
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_now timestamptz := clock_now();
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_silent constant text[] := silent_gateways(v_livemode, 'charge');
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    v_ids := array(
        select autopay_charges.id from autopay_charges
        inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
        where autopay_charges.status = 'due' and autopay_charges.next_try_at <= v_now
            and autopay_mandates.status = 'active' and autopay_mandates.gateway <> all(v_silent)
            and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by autopay_charges.next_try_at
        limit p_limit
        for no key update of autopay_charges skip locked
    );
    -- What another worker left behind. Nothing is sent after a mandate was paused or canceled.
    v_ids := v_ids || array(
        select autopay_charges.id from autopay_charges
        inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
        where autopay_charges.lease_until <= v_now and autopay_mandates.status = 'active'
            and autopay_mandates.gateway <> all(v_silent)
            and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by autopay_charges.lease_until
        limit p_limit - cardinality(v_ids)
        for no key update of autopay_charges skip locked
    );
    if cardinality(v_silent) > 0 then
        v_ids := v_ids || lock_autopay_probes(v_livemode, v_silent);
    end if;
    return query
    update autopay_charges
    set
        status = case when status = 'due' then 'claimed' else status end,
        fence = fence + 1,
        lease_until = v_now + p_lease_seconds * interval '1 second'
    where id = any(v_ids)
    returning *;
end;
$$;
comment on function claim_autopay_charges is
'Hands charges that are due to one worker, for as long as its lease; never one to two. Those of a gateway '
'that is left alone wait, and no try of theirs is counted.';
grant execute on function claim_autopay_charges to munim_hasura;

create view autopay_orders as
select
    autopay_charges.id,
    autopay_charges.organization_id,
    autopay_charges.livemode,
    autopay_charges.fence,
    payment_attempts.id as payment_attempt_id,
    payment_attempts.gateway,
    payment_attempts.gateway_account,
    payment_attempts.amount,
    payment_attempts.currency,
    credit_purchases.credits_amount,
    autopay_mandates.customer_email as email,
    payment_methods.gateway_customer_id,
    payment_methods.gateway_payment_method_id
from autopay_charges
inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
inner join credit_purchases
    on credit_purchases.payment_intent_id = autopay_charges.payment_intent_id
inner join payment_intents on payment_intents.id = autopay_charges.payment_intent_id
inner join payment_attempts
    on payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
inner join payment_methods on payment_methods.id = payment_attempts.payment_method_id
where autopay_charges.status = 'charging'
    and payment_intents.status <> 'canceled'
    and payment_attempts.status in ('created', 'unknown')
    and payment_attempts.created_at > clock_now() - interval '23 hours';
comment on view autopay_orders is
'What gateways are to be asked: charges with an attempt that may not have been sent. All of it is '
'frozen, so that asking twice is asking the same. Not after 23 hours: then a gateway may have '
'forgotten the attempt''s key, and it is looked up instead.';

create function begin_autopay_attempts(hasura_session json, p_claims jsonb)
returns setof autopay_orders
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_charge autopay_charges;
    v_charges autopay_charges[];
    v_opened uuid[];
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_ids := array(select id from jsonb_to_recordset(p_claims) as claim (id uuid));
    -- How often a customer may be charged in a day is counted over all their mandates.
    perform from customers
    where id = any(array(select customer_id from autopay_charges where id = any(v_ids)))
    order by id
    for no key update;
    perform lock_autopay_charges(v_ids);
    v_charges := array(
        select autopay_charges
        from jsonb_to_recordset(p_claims) as claim (id uuid, fence bigint)
        inner join autopay_charges
            on autopay_charges.id = claim.id and autopay_charges.fence = claim.fence
        where autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by autopay_charges.id
    );

    v_opened := open_plain_autopay_attempts(v_charges);
    foreach v_charge in array v_charges loop
        continue when v_charge.id = any(v_opened);
        if v_charge.status = 'claimed' then
            perform begin_autopay_attempt(v_charge);
        elsif v_charge.status = 'charging'
            and not exists (select from autopay_orders where id = v_charge.id)
        then
            -- With the gateway, or too old to be sent again: the janitor of payments finds out.
            update autopay_charges set lease_until = null where id = v_charge.id;
        end if;
    end loop;

    return query
    select autopay_orders.* from jsonb_to_recordset(p_claims) as claim (id uuid, fence bigint)
    inner join autopay_orders on autopay_orders.id = claim.id and autopay_orders.fence = claim.fence;
end;
$$;
comment on function begin_autopay_attempts is
'Opens an attempt for each claim, as [{"id": ..., "fence": ...}], that may still be charged, and '
'answers what the gateways are to be asked. An attempt that is open is answered again, never doubled. '
'A claim with an old fence is left out.';
grant execute on function begin_autopay_attempts to munim_hasura;

create function lock_autopay_charges(p_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform from payment_intents
    where id = any(array(select payment_intent_id from autopay_charges where id = any(p_ids)))
    order by id
    for no key update;
    perform from autopay_mandates
    where id = any(array(select autopay_mandate_id from autopay_charges where id = any(p_ids)))
    order by id
    for no key update;
    perform from autopay_charges where id = any(p_ids) order by id for no key update;
end;
$$;
comment on function lock_autopay_charges is 'Lock order: intents, mandates, charges, each by id.';

create function autopay_obstacle(p_charge autopay_charges) returns text
language sql stable
begin atomic
select case
    when autopay_mandates.status <> 'active' then autopay_mandates.status
    when customers.status <> 'active' then 'customer-' || customers.status
    when p_charge.amount > autopay_mandates.amount
        or p_charge.currency <> autopay_mandates.currency then 'amount-not-agreed-to'
    when p_charge.tries > cardinality(autopay_settings.retry_days) then 'tries-used-up'
    when p_charge.next_try_at < clock_now() - autopay_settings.catch_up_days * interval '1 day'
        then 'missed'
    when exists (
        select from autopay_charges as other
        where other.customer_id = p_charge.customer_id and other.period = p_charge.period
            and other.currency = p_charge.currency and other.id <> p_charge.id
            and other.status in ('charging', 'action_required', 'succeeded')
    ) then 'paid-already'
    when (
        select count(*) from autopay_charges as other
        where other.customer_id = p_charge.customer_id and other.id <> p_charge.id
            and other.last_try_at > clock_now() - interval '24 hours'
    ) >= autopay_settings.daily_tries_max then 'too-many-tries'
end
from autopay_mandates
inner join customers on customers.id = autopay_mandates.customer_id
inner join autopay_settings
    on autopay_settings.organization_id = autopay_mandates.organization_id
where autopay_mandates.id = p_charge.autopay_mandate_id;
end;
comment on function autopay_obstacle is
'Why a charge must not begin now though it was due when it was claimed; null when it may.';

create function begin_autopay_attempt(p_charge autopay_charges) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_obstacle text := autopay_obstacle(p_charge);
    v_rule autopay_rules := autopay_rule(p_charge.currency, p_charge.due_on);
begin
    if v_obstacle is not null then
        perform skip_autopay_charge(p_charge, v_obstacle);
    elsif p_charge.amount > v_rule.unattended_amount_max then
        perform ask_autopay_payer(p_charge, 'amount-needs-the-payer');
    else
        perform open_autopay_attempt(p_charge);
    end if;
exception
    when serialization_failure or deadlock_detected or lock_not_available then
        raise;  -- passing trouble: the whole request is tried again
    -- A refusal of ours (a rate that is no rate, limits that were lowered) stops this charge only.
    when others or assert_failure then
        perform record_exception(
            p_charge.organization_id, p_charge.livemode, 'autopay-refused', 'autopay_charge',
            p_charge.id, p_charge.amount, p_charge.currency, sqlerrm
        );
        update autopay_charges set tries = tries + 1 where id = p_charge.id
        returning * into strict p_charge;
        perform retry_autopay_charge(p_charge, split_part(sqlerrm, ':', 1));
end;
$$;
comment on function begin_autopay_attempt is
'Looks at everything once more, then opens the next attempt of a claimed charge. Its mandate is locked.';

create function open_plain_autopay_attempts(p_charges autopay_charges[]) returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    -- Of two charges of one customer the second depends on what becomes of the first.
    v_plain autopay_charges[] := array(
        select candidate.charge
        from (
            select charge, count(*) over (partition by charge.customer_id) as of_customer
            from unnest(p_charges) as charge
        ) as candidate
        where candidate.of_customer = 1 and (candidate.charge).status = 'claimed'
            and (candidate.charge).payment_intent_id is null
            and autopay_obstacle(candidate.charge) is null
            and coalesce(
                (candidate.charge).amount <= (
                    autopay_rule((candidate.charge).currency, (candidate.charge).due_on)
                ).unattended_amount_max,
                true
            )
    );
begin
    if cardinality(v_plain) > 1 then
        perform open_autopay_attempts(v_plain);
        return array(select id from unnest(v_plain));
    end if;
    return '{}';
exception
    when serialization_failure or deadlock_detected or lock_not_available then
        raise;  -- passing trouble: the whole request is tried again
    when others or assert_failure then
        return '{}';  -- one of them is refused, and found when each comes alone
end;
$$;
comment on function open_plain_autopay_attempts is
'Opens the first attempts of charges that nothing speaks against, in statements for all of them, and '
'answers whose: all of them or none. What is left comes alone.';

create function open_autopay_attempts(p_charges autopay_charges[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform check_payment_amount(asked.organization_id, asked.amount, asked.currency)
    from (select distinct organization_id, amount, currency from unnest(p_charges)) as asked;

    with terms as materialized (
        select
            sold.organization_id, sold.currency,
            credit_rate(sold.organization_id, sold.currency) as credit_rate,
            credits_expire_after_days(sold.organization_id) as expire_after_days
        from (select distinct organization_id, currency from unnest(p_charges)) as sold
    ),
    orders as materialized (
        select
            charge.*, terms.credit_rate, terms.expire_after_days,
            autopay_mandates.gateway, autopay_mandates.payment_method_id,
            gen_random_uuid() as intent_id,
            credits_bought(charge.amount, charge.currency, terms.credit_rate) as credits_amount
        from unnest(p_charges) as charge
        inner join terms using (organization_id, currency)
        inner join autopay_mandates on autopay_mandates.id = charge.autopay_mandate_id
    ),
    intents as (
        insert into payment_intents (
            id, organization_id, livemode, customer_id, purpose, amount, currency
        )
        select
            intent_id, organization_id, livemode, customer_id, 'credit_purchase', amount, currency
        from orders
    ),
    purchases as (
        insert into credit_purchases (
            organization_id, livemode, customer_id, payment_intent_id, idempotency_key,
            requested_by, amount, currency, credit_rate, credits_amount, expire_after_days
        )
        select
            organization_id, livemode, customer_id, intent_id, id::text,
            'autopay', amount, currency, credit_rate, credits_amount, expire_after_days
        from orders
    ),
    attempts as (
        insert into payment_attempts (
            organization_id, livemode, payment_intent_id, payment_method_id, gateway, amount,
            currency, next_check_at
        )
        select
            organization_id, livemode, intent_id, payment_method_id, gateway, amount, currency,
            clock_now() + check_delay(0)
        from orders
    )
    update autopay_charges
    set
        status = 'charging', payment_intent_id = orders.intent_id,
        tries = autopay_charges.tries + 1, silences = 0, reason = null, next_try_at = null,
        last_try_at = clock_now()
    from orders
    where autopay_charges.id = orders.id;
end;
$$;
comment on function open_autopay_attempts is
'Does for many charges what open_autopay_attempt does for one whose purchase is not written yet.';

create function open_autopay_attempt(p_charge autopay_charges) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates;
    v_intent payment_intents := autopay_intent(p_charge);
begin
    select * into strict v_mandate from autopay_mandates where id = p_charge.autopay_mandate_id;
    perform open_payment_attempt(v_intent, v_mandate.gateway, v_mandate.payment_method_id);
    update autopay_charges
    set
        status = 'charging', payment_intent_id = v_intent.id, tries = tries + 1, silences = 0,
        reason = null, next_try_at = null, last_try_at = clock_now()
    where id = p_charge.id;
end;
$$;
comment on function open_autopay_attempt is 'Writes the attempt down before the gateway is asked.';

create function autopay_intent(p_charge autopay_charges) returns payment_intents
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_customer customers;
begin
    select * into v_intent from payment_intents where id = p_charge.payment_intent_id;
    if v_intent.id is not null then
        return v_intent;  -- another try of the same purchase, at the rate of the first
    end if;

    select * into strict v_customer from customers where id = p_charge.customer_id;
    perform check_payment_amount(v_customer.organization_id, p_charge.amount, p_charge.currency);
    return write_credit_purchase(
        v_customer, p_charge.id::text, 'autopay', p_charge.amount, p_charge.currency
    );
end;
$$;
comment on function autopay_intent is
'What is owed for a charge: a purchase of credits, at the rate of the moment it is first tried.';

create function skip_autopay_charge(p_charge autopay_charges, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update autopay_charges
    set
        status = case when p_reason = 'canceled' then 'canceled' else 'skipped' end,
        reason = p_reason, next_try_at = null, lease_until = null
    where id = p_charge.id
    returning * into strict p_charge;

    if p_reason = 'missed' then
        perform list_missed_autopay_charge(p_charge);
    elsif p_reason not in ('canceled', 'paused') then
        perform record_exception(
            p_charge.organization_id, p_charge.livemode, 'autopay-skipped', 'autopay_charge',
            p_charge.id, p_charge.amount, p_charge.currency, p_reason
        );
    end if;
end;
$$;
comment on function skip_autopay_charge is
'This month is not charged; unless the customer wished it so, a person hears of it.';

create function retry_autopay_charge(p_charge autopay_charges, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_days smallint[];
    v_next timestamptz;
begin
    select retry_days into strict v_days
    from autopay_settings where organization_id = p_charge.organization_id;
    select local_moment(
        (clock_now() at time zone timezone)::date
        + v_days[p_charge.tries] - coalesce(v_days[p_charge.tries - 1], 0),
        local_time, timezone
    ) into strict v_next
    from autopay_mandates where id = p_charge.autopay_mandate_id;

    update autopay_charges
    set
        status = case when v_next is null then 'failed' else 'due' end,
        reason = p_reason, next_try_at = v_next, lease_until = null
    where id = p_charge.id
    returning * into strict p_charge;
    perform tell_of_autopay_charge(p_charge, 'autopay.failed');
end;
$$;
comment on function retry_autopay_charge is
'A try failed: the next one is dated, in local days after the first; or it was the last. The event '
'says which by its next_try_at.';

create function ask_autopay_payer(p_charge autopay_charges, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update autopay_charges
    set
        status = 'action_required', reason = p_reason, lease_until = null,
        next_try_at = clock_now() + autopay_settings.action_days * interval '1 day'
    from autopay_settings
    where autopay_charges.id = p_charge.id
        and autopay_settings.organization_id = p_charge.organization_id
    returning autopay_charges.* into strict p_charge;
    perform tell_of_autopay_charge(p_charge, 'autopay.action_required');
end;
$$;
comment on function ask_autopay_payer is
'Only the payer can finish it: they are told, and find the page with payAutopayCharge.';

create function postpone_autopay_charge(
    hasura_session json,
    p_autopay_charge_id uuid,
    p_fence bigint,
    p_failure_message text,
    p_is_silent boolean default true
) returns setof autopay_charges
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_intent_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    -- Lock order: the attempt comes between the payment and the charge.
    select payment_intent_id into v_intent_id from autopay_charges where id = p_autopay_charge_id;
    perform from payment_intents where id = v_intent_id for no key update;
    perform from payment_attempts
    where payment_intent_id = v_intent_id and status = 'created'
    order by id for no key update;
    perform lock_autopay_charges(array[p_autopay_charge_id]);

    update autopay_charges
    set
        silences = least(silences + 1, 100),
        lease_until = clock_now()
        + least(interval '1 minute' * power(2, least(silences, 10)), interval '6 hours')
    where id = p_autopay_charge_id and fence = p_fence and status = 'charging'
        and livemode::text = hasura_session ->> 'x-hasura-livemode';
    if found then
        update payment_attempts
        set status = 'unknown', failure_message = p_failure_message
        where status = 'created'
            and id in (select payment_attempt_id from autopay_orders where id = p_autopay_charge_id);
    end if;
    perform break_gateway_circuit(autopay_mandates.gateway, autopay_mandates.livemode, 'charge')
    from autopay_mandates
    inner join autopay_charges on autopay_charges.autopay_mandate_id = autopay_mandates.id
    where autopay_charges.id = p_autopay_charge_id and p_is_silent
        and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode';
    return query select * from autopay_charges where id = p_autopay_charge_id;
end;
$$;
comment on function postpone_autopay_charge is
'The gateway gave no answer: the same attempt is sent again later, with the same key, or the janitor '
'of payments finds out what became of it. Nothing happens at the word of a worker with an old fence.';
grant execute on function postpone_autopay_charge to munim_hasura;

create function release_autopay_charges(hasura_session json, p_claims jsonb)
returns setof autopay_charges
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update autopay_charges
    set lease_until = clock_now()
    where id in (
        select autopay_charges.id
        from jsonb_to_recordset(p_claims) as claim (id uuid, fence bigint)
        inner join autopay_charges
            on autopay_charges.id = claim.id and autopay_charges.fence = claim.fence
        where autopay_charges.status = 'charging' and autopay_charges.lease_until is not null
            and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        for no key update of autopay_charges skip locked
    )
    returning *;
end;
$$;
comment on function release_autopay_charges is
'Gives back what a worker had no time to send: the next one need not wait for the lease to end.';
grant execute on function release_autopay_charges to munim_hasura;

create function is_autopay_month_paid(p_payment_intent_id uuid) returns boolean
language sql stable
begin atomic
-- The charge is found first: while the table is young, all charges that succeeded seem to be few.
select exists(
    select from autopay_charges
    where (autopay_charges.customer_id, autopay_charges.currency, autopay_charges.period) = (
        select owed.customer_id, owed.currency, owed.period
        from autopay_charges as owed
        where owed.payment_intent_id = is_autopay_month_paid.p_payment_intent_id
    )
        and autopay_charges.payment_intent_id <> is_autopay_month_paid.p_payment_intent_id
        and autopay_charges.status = 'succeeded'
);
end;
comment on function is_autopay_month_paid is
'Whether a payment is for a month that another charge of the customer''s has paid: a try that had failed '
'may be paid after a new mandate charged the month. Two at once: the second fails, and is told again.';

create function finish_autopay_charges(p_attempts payment_attempts[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[] := array(
        select autopay_charges.id from unnest(p_attempts) as attempt
        inner join autopay_charges
            on autopay_charges.payment_intent_id = attempt.payment_intent_id
    );
    v_charges autopay_charges[];
begin
    if cardinality(v_ids) = 0 then
        return;
    end if;
    perform from autopay_mandates
    where id in (select autopay_mandate_id from autopay_charges where id = any(v_ids))
    order by id
    for no key update;
    perform from autopay_charges where id = any(v_ids) order by id for no key update;

    with finished as (
        update autopay_charges
        set status = 'succeeded', reason = null, next_try_at = null, lease_until = null
        where id = any(v_ids)
        returning autopay_charges as charge
    )

    select array_agg(charge) into v_charges from finished;
    perform record_events(array(
        select row(
            null, charge.organization_id, charge.livemode, 'autopay.succeeded', 'autopay_charge',
            charge.id, null, autopay_facts(charge), null
        )::events
        from unnest(v_charges) as charge
    ));
    perform resolve_autopay_exceptions(charge) from unnest(v_charges) as charge;
end;
$$;
comment on function finish_autopay_charges is
'The months of these payments, which are being charged, are paid. Lock order: mandates, charges, each by '
'id.';

create function advance_autopay_charge(p_payment_attempt_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_charge autopay_charges;
begin
    select * into strict v_attempt from payment_attempts where id = p_payment_attempt_id;
    select * into v_charge
    from autopay_charges where payment_intent_id = v_attempt.payment_intent_id;
    if v_charge.id is null then
        return;
    end if;
    perform from autopay_mandates where id = v_charge.autopay_mandate_id for no key update;
    select * into strict v_charge from autopay_charges where id = v_charge.id for no key update;

    if v_attempt.status = 'captured' and not v_attempt.is_surplus then
        perform finish_autopay_charge(v_charge);
    elsif v_attempt.status in ('captured', 'failed', 'expired', 'canceled') then
        if v_charge.status = 'charging' and not has_open_attempt(v_attempt.payment_intent_id) then
            perform decline_autopay_charge(v_charge, v_attempt);
        end if;
    elsif v_charge.status in ('due', 'claimed') then
        update autopay_charges
        set status = 'charging', next_try_at = null, lease_until = null
        where id = v_charge.id;
    end if;
end;
$$;
comment on function advance_autopay_charge is
'Tells a charge what became of an attempt of its payment. Called by settle_payment_attempt, after '
'everything else; nothing happens where the payment is no charge''s.';

create function call_off_autopay_charge(p_payment_intent_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_charge autopay_charges;
begin
    select * into v_charge
    from autopay_charges where payment_intent_id = p_payment_intent_id;
    if v_charge.id is null then
        return;
    end if;
    perform from autopay_mandates where id = v_charge.autopay_mandate_id for no key update;
    select * into strict v_charge from autopay_charges where id = v_charge.id for no key update;

    -- One that is with a gateway ends as its attempt does: see decline_autopay_charge.
    perform skip_autopay_charge(v_charge, 'canceled')
    where v_charge.status in ('due', 'claimed', 'action_required')
        or v_charge.status = 'charging' and not has_open_attempt(p_payment_intent_id);
end;
$$;
comment on function call_off_autopay_charge is
'The payment of a month is called off: the month is not tried again. The intent is locked.';

create function has_open_attempt(p_payment_intent_id uuid) returns boolean
language sql stable
begin atomic
select exists(
    select from payment_attempts
    where payment_intent_id = p_payment_intent_id
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized')
);
end;
comment on function has_open_attempt is 'Whether an attempt may still take the money.';

create function resolve_autopay_exceptions(p_charge autopay_charges) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if p_charge.tries > 1 or p_charge.reason is not null then
        perform resolve_exception(class, 'autopay_charge', p_charge.id)
        from unnest(array['autopay-missed', 'autopay-skipped', 'autopay-refused']) as class;
    end if;
end;
$$;
comment on function resolve_autopay_exceptions is
'What a person was told of a month is settled: of one that was tried again, or has a reason not to be.';

create function finish_autopay_charge(p_charge autopay_charges) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_charge autopay_charges;
begin
    update autopay_charges
    set status = 'succeeded', reason = null, next_try_at = null, lease_until = null
    where id = p_charge.id
    returning * into strict v_charge;
    perform tell_of_autopay_charge(v_charge, 'autopay.succeeded');
    perform resolve_autopay_exceptions(p_charge);  -- as it stood: the reason is gone now
end;
$$;
comment on function finish_autopay_charge is 'The month is paid.';

create function decline_autopay_charge(p_charge autopay_charges, p_attempt payment_attempts)
returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates;
    v_reason text := coalesce(p_attempt.failure_code, p_attempt.status);
begin
    select * into strict v_mandate from autopay_mandates where id = p_charge.autopay_mandate_id;
    if v_mandate.status <> 'active' then
        perform skip_autopay_charge(p_charge, v_mandate.status);
    elsif p_attempt.status = 'canceled' or exists (
        select from payment_intents
        where id = p_attempt.payment_intent_id and status = 'canceled'
    ) then
        -- And so is what was owed.
        perform skip_autopay_charge(
            p_charge,
            case
                when is_autopay_month_paid(p_charge.payment_intent_id) then 'paid-already'
                else 'canceled'
            end
        );
    elsif p_attempt.decline_class in ('hard', 'fraud') then
        update autopay_charges
        set status = 'failed', reason = v_reason, lease_until = null
        where id = p_charge.id
        returning * into strict p_charge;
        perform tell_of_autopay_charge(p_charge, 'autopay.failed');
        perform hold_autopay_mandate(v_mandate, 'payment-method-refused');
    elsif p_attempt.decline_class = 'authentication' then
        perform ask_autopay_payer(p_charge, v_reason);
    else
        perform retry_autopay_charge(p_charge, v_reason);
    end if;
end;
$$;
comment on function decline_autopay_charge is
'What a decline means: another day, the payer''s presence, or never again with this method.';

create function open_autopay_checkout(
    hasura_session json, p_autopay_charge_id uuid, p_success_url text, p_cancel_url text
) returns setof credit_checkouts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_charge autopay_charges;
    v_mandate autopay_mandates;
    v_intent payment_intents;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform lock_autopay_charges(array[p_autopay_charge_id]);
    select * into v_charge from autopay_charges where id = p_autopay_charge_id;
    perform require_access(
        hasura_session, v_charge.organization_id, v_charge.livemode, v_charge.customer_id
    );
    if v_charge.status <> 'action_required' then
        raise exception 'autopay-ended: the charge is %', v_charge.status
            using errcode = '22B21';
    end if;

    select * into strict v_mandate from autopay_mandates where id = v_charge.autopay_mandate_id;
    v_intent := autopay_intent(v_charge);
    update autopay_charges set payment_intent_id = v_intent.id
    where id = v_charge.id and payment_intent_id is null;
    if not has_open_attempt(v_intent.id) then
        perform open_checkout_session(
            v_intent, v_mandate.gateway, null, v_mandate.customer_email, p_success_url,
            p_cancel_url
        );
    end if;

    return query
    select * from credit_checkouts
    where payment_intent_id = v_intent.id
        and payment_attempt_id in (
            select id from payment_attempts
            where payment_intent_id = v_intent.id
                and status in ('created', 'unknown', 'pending', 'processing', 'authorized')
        );
end;
$$;
comment on function open_autopay_checkout is
'The page on which the payer finishes a charge: the one that is open, or a new one.';
grant execute on function open_autopay_checkout to munim_hasura;
