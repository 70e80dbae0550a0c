-- What other systems say of their orders, and what follows: charge once, or give the money back.
create table order_event_types (
    type text primary key,
    meaning text not null,
    constraint order_event_meaning_is_known check (meaning in ('placed', 'ready', 'canceled'))
);
comment on table order_event_types is
'The messages about orders that are understood. placed: there is such an order; ready: it may be '
'charged, where system_settings.order_charge_events names the type; canceled: it is off.';
insert into order_event_types (type, meaning) values
('order.placed', 'placed'),
('order.ready_for_payment', 'ready'),
('inventory.reserved', 'ready'),
('inventory.reservation_failed', 'canceled'),
('order.cancelled', 'canceled');

create table order_events (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    event_id text not null,
    type text not null references order_event_types (type),
    reference text not null,
    customer_external_id text,
    amount bigint,
    currency text references currencies (code),
    detail jsonb not null,
    occurred_at timestamptz not null,
    created_at timestamptz not null default clock_now(),
    constraint order_event_is_received_once unique (event_id, organization_id, livemode),
    constraint order_event_amount_has_a_currency check ((amount is null) = (currency is null))
);
comment on table order_events is
'The inbox of messages about orders, in whatever order they come. Append-only.';
comment on column order_events.amount is 'Minor units of currency, where the message says it.';

create index order_events_by_order on order_events (reference, organization_id, livemode);

create function is_called_off(p_order orders) returns boolean
language sql stable
begin atomic
select count(*) > 0
from order_events
inner join order_event_types on order_event_types.type = order_events.type
where order_events.reference = p_order.reference
    and order_events.organization_id = p_order.organization_id
    and order_events.livemode = p_order.livemode
    and order_event_types.meaning = 'canceled';
end;
comment on function is_called_off is 'Whether any message says that an order is off.';

create function call_off_new_order() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
begin
    update payment_intents set status = 'canceled'
    where id = new.payment_intent_id and is_called_off(new)
    returning * into v_intent;
    perform tell_of_cancellation(v_intent) where v_intent.id is not null;
    return null;
end;
$$;
comment on function call_off_new_order is
'An order that was called off before we heard of it is off, whichever door writes it down, and it is told '
'that it is.';

create trigger order_may_be_off_already
after insert on orders
for each row execute function call_off_new_order();

create trigger order_events_are_append_only
before update or delete or truncate on order_events
for each statement execute function refuse_to_rewrite_history();

create view order_charges as
select
    payment_attempts.id,
    orders.organization_id,
    orders.livemode,
    orders.id as order_id,
    orders.reference,
    orders.title,
    payment_attempts.gateway,
    payment_attempts.gateway_account,
    payment_attempts.amount,
    payment_attempts.currency,
    payment_intents.capture_method,
    customers.email,
    payment_methods.gateway_customer_id,
    payment_methods.gateway_payment_method_id
from orders
inner join payment_intents on payment_intents.id = orders.payment_intent_id
inner join payment_attempts on payment_attempts.payment_intent_id = payment_intents.id
inner join payment_methods on payment_methods.id = payment_attempts.payment_method_id
inner join customers on customers.id = orders.customer_id
where payment_attempts.status in ('created', 'unknown')
    and payment_intents.status <> 'canceled'
    and payment_attempts.created_at > clock_now() - interval '23 hours';
comment on view order_charges is
'What gateways are to be asked: attempts with a saved method that may not have been sent, by the '
'attempt''s id. Not after 23 hours: then a gateway may have forgotten its key, and is asked instead.';

create function starts_order_charge(p_organization_id uuid, p_type text) returns boolean
language sql stable
begin atomic
select p_type = any(
    string_to_array(
        coalesce(
            (
                select replace(system_settings.value, ' ', '')
                from system_settings
                where system_settings.organization_id = p_organization_id
                    and system_settings.key = 'order_charge_events'
            ),
            'order.ready_for_payment,inventory.reserved'
        ),
        ','
    )
);
end;
comment on function starts_order_charge is 'Whether a message of this type says: charge it now.';

create function order_customer(p_event order_events) returns customers
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
begin
    select * into v_customer
    from customers
    where organization_id = p_event.organization_id and livemode = p_event.livemode
        and external_id = p_event.customer_external_id and status = 'active';
    return v_customer;
end;
$$;
comment on function order_customer is 'Whom a message names, or a null row.';

create function terms_of_order(p_event order_events) returns order_events
language sql stable
begin atomic
select order_events
from order_events
inner join order_event_types on order_event_types.type = order_events.type
where order_events.reference = p_event.reference
    and order_events.organization_id = p_event.organization_id
    and order_events.livemode = p_event.livemode
    and order_events.amount is not null
    and order_events.customer_external_id is not null
    and order_event_types.meaning <> 'canceled'
order by order_events.created_at, order_events.id
limit 1;
end;
comment on function terms_of_order is
'The first message that names customer and amount, which decides; messages may come in any order.';

create function write_placed_order(
    p_event order_events, p_terms order_events, p_customer customers
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform from customers where id = p_customer.id for no key update;
    perform write_order(
        p_customer, p_terms.reference, p_terms.amount, p_terms.currency,
        'Order ' || left(p_terms.reference, 190), '{}'
    );
exception
    when sqlstate '22B06' or sqlstate '22B07' then  -- what the organisation does not take
        if p_event.id = p_terms.id then
            raise;  -- whoever says so hears it
        end if;
        perform record_exception(
            p_event.organization_id, p_event.livemode, 'order-not-payable', 'order_event',
            p_terms.id, p_terms.amount, p_terms.currency, sqlerrm
        );
end;
$$;
comment on function write_placed_order is
'Writes an order down on the terms of a message. Terms that are not taken do not stop the messages '
'that come after it: a person looks.';

create function placed_order(p_event order_events) returns orders
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_terms order_events := terms_of_order(p_event);
    v_customer customers := order_customer(v_terms);
    v_order orders;
begin
    select * into v_order
    from orders
    where reference = p_event.reference and organization_id = p_event.organization_id
        and livemode = p_event.livemode;
    if v_order.id is null and v_customer.id is not null then
        perform write_placed_order(p_event, v_terms, v_customer);
        select * into v_order
        from orders
        where reference = p_event.reference and organization_id = p_event.organization_id
            and livemode = p_event.livemode;
    elsif v_order.id is null and v_terms.id is not null then
        perform record_exception(
            p_event.organization_id, p_event.livemode, 'order-of-nobody', 'order_event',
            v_terms.id, v_terms.amount, v_terms.currency,
            format('order %s: no active customer %s', v_terms.reference,
                v_terms.customer_external_id)
        );
    end if;
    return v_order;
end;
$$;
comment on function placed_order is
'The order that a message is about, written down as soon as a message has said whose it is and how '
'much; a null row until then.';

create function charge_order(p_order orders, p_intent payment_intents) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_method payment_methods;
begin
    if exists (select from payment_attempts where payment_intent_id = p_intent.id) then
        return;  -- once; another try is the customer's, by initiatePayment
    end if;
    select * into v_method
    from payment_methods
    where customer_id = p_order.customer_id and status = 'active'
    order by created_at desc, id
    limit 1;

    if v_method.id is not null then
        perform open_payment_attempt(p_intent, v_method.gateway, v_method.id);
    elsif not exists (
        select from events
        where object_type = 'payment_intent' and object_id = p_intent.id
            and type = 'payment.requires_method'
    ) then
        perform record_event(
            p_order.organization_id, p_order.livemode, 'payment.requires_method', 'payment_intent',
            p_intent.id, owed_facts(p_intent, p_order.reference)
        );
    end if;
end;
$$;
comment on function charge_order is
'Opens the one attempt to charge the customer''s newest saved method, or to have its money authorised '
'where the order says so; without one it is announced that the customer must come and pay. The intent is '
'locked.';

create function order_refund_postings(
    p_order orders, p_attempt payment_attempts, p_session json
) returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_left constant bigint := refundable_amount(p_attempt);
    v_refund refunds;
begin
    if v_left = 0 then
        return '{}';
    end if;
    -- The system's own: sent by the cron, listed where it fails, and under no client's key.
    v_refund.requested_by := 'system';
    select concat_ws(':', 'order', p_order.id, nullif(count(*), 0)) into v_refund.idempotency_key
    from refunds where payment_attempt_id = p_attempt.id and requested_by = 'system';
    v_refund.type := 'cancellation';
    v_refund.reason := 'order_canceled';
    v_refund := write_allowed_refund(p_session, p_attempt, v_refund, null);
    return refund_movements(v_refund, 'refund_reserve', v_refund.created_at);
exception
    when sqlstate '22B12' then  -- the organisation's policy; it made the policy
        perform record_exception(
            p_order.organization_id, p_order.livemode, 'order-not-refunded', 'order', p_order.id,
            v_left, p_attempt.currency, sqlerrm
        );
        return '{}';
end;
$$;
comment on function order_refund_postings is
'All that is left of what was paid for an order goes back: its refund, to be booked; or it is listed, where '
'the policy does not allow it. The attempt is locked.';

create function rest_of_order_postings(p_payment_attempt_id uuid) returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_order orders;
    v_attempt payment_attempts;
begin
    select * into strict v_attempt from payment_attempts where id = p_payment_attempt_id;
    select * into v_order from orders where payment_intent_id = v_attempt.payment_intent_id;
    if v_attempt.is_surplus or not is_called_off(v_order) then
        return '{}';
    end if;
    return order_refund_postings(v_order, v_attempt, null);
end;
$$;
comment on function rest_of_order_postings is
'Money that had left when its order was called off has come back, by a refund that failed or a dispute that '
'was won: it goes back to the payer after all. The intent and the attempt are locked.';

create function cancel_order(p_order orders, p_intent payment_intents, p_session json) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    if p_intent.status <> 'paid' then
        if p_intent.status <> 'canceled' then
            perform call_off_payment(p_intent);
            perform tell_of_cancellation(p_intent);
        end if;
        return;  -- whatever is captured from now on is surplus, and goes back by itself
    end if;

    select * into strict v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id and status = 'captured' and not is_surplus
    for no key update;
    if not exists (
        select from refunds where payment_attempt_id = v_attempt.id and requested_by = 'system'
    ) then
        perform post_ledger_transactions(
            p_order.organization_id, p_order.livemode,
            order_refund_postings(p_order, v_attempt, p_session)
        );
    end if;
end;
$$;
comment on function cancel_order is
'An order is off: what was paid goes back, what was not is not taken any more, and whoever hears of the '
'payment hears that. Once: called again, nothing more; what comes back later is rest_of_order_postings. The '
'intent is locked.';

create function receive_order_event(
    hasura_session json,
    p_event_id text,
    p_type text,
    p_reference text,
    p_customer_external_id text,
    p_amount bigint,
    p_currency text,
    p_detail jsonb,
    p_occurred_at timestamptz
) returns setof order_charges
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_event order_events;
    v_order orders;
    v_intent payment_intents;
    v_is_new boolean;
    v_meaning text := (select meaning from order_event_types where type = p_type);
    v_is_known_money boolean := exists (select from currencies where code = p_currency);
    v_amount bigint := case when v_is_known_money then p_amount end;
    v_currency text := case when v_is_known_money then p_currency end;
begin
    perform require_actor_role(hasura_session, array['service', 'owner', 'finance']);
    perform require_read_committed();
    if v_meaning is null then
        return;  -- a bus carries much that is nothing to us
    end if;
    if p_reference is null or hasura_session ->> 'x-hasura-organization-id' is null then
        raise exception 'invalid-input: a message about an order names the order and its organisation'
            using errcode = '22B20';
    end if;
    if p_currency is not null and not v_is_known_money and v_meaning <> 'canceled' then
        raise exception 'currency-not-supported: % is no currency', p_currency
            using errcode = '22B06';
    end if;

    perform lock_order((hasura_session ->> 'x-hasura-organization-id')::uuid, p_reference);
    insert into order_events (
        organization_id, livemode, event_id, type, reference, customer_external_id, amount,
        currency, detail, occurred_at
    )
    values (
        (hasura_session ->> 'x-hasura-organization-id')::uuid,
        (hasura_session ->> 'x-hasura-livemode')::boolean, p_event_id, p_type, p_reference,
        p_customer_external_id, v_amount, v_currency, p_detail, p_occurred_at
    )
    on conflict on constraint order_event_is_received_once do nothing
    returning * into v_event;
    v_is_new := v_event.id is not null;
    if not v_is_new then
        select * into strict v_event
        from order_events
        where event_id = p_event_id
            and organization_id::text = hasura_session ->> 'x-hasura-organization-id'
            and livemode::text = hasura_session ->> 'x-hasura-livemode';
        if (
            v_event.type, v_event.reference, v_event.customer_external_id, v_event.amount,
            v_event.currency, v_event.detail
        ) is distinct from (
            p_type, p_reference, p_customer_external_id, v_amount, v_currency, p_detail
        ) then
            raise exception 'idempotency-key-reused: event % said something else before', p_event_id
                using errcode = '22B08';
        end if;
    end if;

    v_order := placed_order(v_event);
    if v_order.id is not null then
        select * into strict v_intent
        from payment_intents where id = v_order.payment_intent_id for no key update;
        perform compare_order(v_event, v_order, v_intent);
        perform follow_order(v_order, v_intent, hasura_session);
    end if;
    return query
    select * from order_charges
    where order_id = v_order.id and may_ask_gateway(gateway, livemode, 'charge');
end;
$$;
comment on function receive_order_event is
'Keeps a message about an order and does what all messages about it together say; the same message '
'again, by whatever time it is stamped: nothing more; one of an unknown type: nothing. Answers the charge that the gateway is to be asked for, if any: '
'that of a silent one waits for claim_order_charges.';
grant execute on function receive_order_event to munim_hasura;

create function compare_order(p_event order_events, p_order orders, p_intent payment_intents)
returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_customer text := (select external_id from customers where id = p_order.customer_id);
begin
    if p_event.customer_external_id <> v_customer or p_event.amount is not null
        and (p_event.amount, p_event.currency) is distinct from (p_intent.amount, p_intent.currency)
    then
        perform record_exception(
            p_order.organization_id, p_order.livemode, 'order-mismatch', 'order_event', p_event.id,
            p_event.amount, p_event.currency,
            format('order %s was %s %s of customer %s before', p_order.reference, p_intent.amount,
                p_intent.currency, v_customer)
        );
    end if;
end;
$$;
comment on function compare_order is
'A message with another amount or customer than the order''s is listed for a person; the first one '
'holds.';

create function follow_order(p_order orders, p_intent payment_intents, p_session json)
returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_said text[] := array(
        select distinct order_event_types.meaning
        from order_events
        inner join order_event_types on order_event_types.type = order_events.type
        where order_events.reference = p_order.reference
            and order_events.organization_id = p_order.organization_id
            and order_events.livemode = p_order.livemode
            and (
                order_event_types.meaning = 'canceled'
                or starts_order_charge(p_order.organization_id, order_events.type)
            )
    );
begin
    if 'canceled' = any(v_said) then
        perform cancel_order(p_order, p_intent, p_session);
    elsif cardinality(v_said) > 0 then
        perform charge_order(p_order, p_intent);
    end if;
end;
$$;
comment on function follow_order is
'What follows from all that was said of an order. Called off is called off, whatever came when.';

create function lock_due_order_charges(
    p_livemode boolean, p_limit integer, p_silent text[], p_probed text default null
) returns setof payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_before constant timestamptz := clock_now() - interval '1 minute';  -- once, not for each
begin
    return query
    select payment_attempts.*
    from payment_attempts
    -- As index payment_attempts_unsent has them: most attempts were sent long ago.
    where payment_attempts.status in ('created', 'unknown')
        and payment_attempts.payment_method_id is not null
        and payment_attempts.updated_at < v_before
        and payment_attempts.livemode = p_livemode
        and exists (select from order_charges where order_charges.id = payment_attempts.id)
        and (
            p_probed is null and payment_attempts.gateway <> all(p_silent)
            or payment_attempts.gateway = p_probed
        )
    order by payment_attempts.updated_at
    limit p_limit
    for no key update of payment_attempts skip locked;
end;
$$;
comment on function lock_due_order_charges is
'The charges that wait for whoever sends them and nobody has locked, the longest waiting first: of p_probed '
'alone, or of all gateways but the silent ones.';

create function claim_order_charges(
    hasura_session json, p_limit integer, p_paused jsonb default '[]'
) returns setof order_charges
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_paused constant text[] := array(select jsonb_array_elements_text(p_paused));
    v_silent constant text[] := silent_gateways(v_livemode, 'charge');
    v_probes payment_attempts[];
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_probes := array(
        select lock_due_order_charges(v_livemode, 1, v_silent, silent.gateway)
        from (
            select unnest(v_silent) except select unnest(v_paused) order by 1
        ) as silent (gateway)
    );
    v_ids := array(
        select id from lock_due_order_charges(v_livemode, p_limit, v_silent || v_paused)
    );
    v_ids := array(
        select probe.id
        from unnest(v_probes) as probe
        where may_ask_gateway(probe.gateway, v_livemode, 'charge')
        limit p_limit
    ) || v_ids;
    v_ids := v_ids[:p_limit];
    update payment_attempts set updated_at = clock_now() where id = any(v_ids);
    return query select * from order_charges where id = any(v_ids);
end;
$$;
comment on function claim_order_charges is
'Charges that were written down a minute ago and not answered yet: whoever was to send them may have '
'died. Each is put off by a minute; the attempt''s id keeps the gateway from charging twice. Of a silent '
'gateway''s there is one in half a minute, and none of p_paused, gateways that whoever calls is to ask '
'nothing.';
grant execute on function claim_order_charges to munim_hasura;
