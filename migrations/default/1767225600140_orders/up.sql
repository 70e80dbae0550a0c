-- Orders of other systems that are to be paid: UberTruck's bookings, NovaMart's orders.
create table orders (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    payment_intent_id uuid not null,
    reference text not null,
    display_id text not null,
    title text not null,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default clock_now(),
    constraint order_stays_in_its_organization unique (id, organization_id, livemode),
    constraint order_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint order_is_paid_by_an_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint order_is_charged_once unique (reference, organization_id, livemode),
    constraint intent_pays_one_order unique (payment_intent_id),
    constraint order_display_id_is_taken_once unique (display_id, organization_id, livemode),
    constraint order_reference_has_a_length check (length(reference) between 1 and 255),
    constraint order_title_has_a_length check (length(title) between 1 and 200),
    constraint order_metadata_is_small check (
        jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 8192
    )
);
comment on table orders is
'What another system sold and we collect the money for. One payment an order, of as many attempts as '
'it takes.';
comment on column orders.reference is 'The other system''s own id: booking_id, orderId.';
comment on column orders.display_id is 'TXN- and ten hexadecimal digits, for people.';

create index orders_by_customer on orders (customer_id, created_at);

create view order_checkouts as
select
    orders.id,
    orders.organization_id,
    orders.livemode,
    orders.customer_id,
    orders.reference,
    orders.display_id,
    orders.title,
    payment_intents.id as payment_intent_id,
    payment_intents.amount,
    payment_intents.currency,
    payment_intents.capture_method,
    payment_intents.status,
    payment_status_in(payment_intents, 'ubertruck') as transaction_status,
    payment_attempts.id as payment_attempt_id,
    payment_attempts.status as payment_attempt_status,
    payment_attempts.gateway,
    payment_attempts.failure_message,
    checkout_sessions.gateway_session_id,
    checkout_sessions.url,
    checkout_sessions.method,
    checkout_sessions.customer_email,
    checkout_sessions.customer_name,
    checkout_sessions.customer_phone,
    checkout_sessions.gateway_customer_id,
    checkout_sessions.success_url,
    checkout_sessions.cancel_url,
    checkout_sessions.expires_at,
    checkout_sessions.link_expires_at,
    checkout_sessions.expires_at < clock_now() + interval '31 minutes' as is_closing,
    checkout_sessions.expires_at < clock_now() as is_over
from orders
inner join payment_intents on payment_intents.id = orders.payment_intent_id
cross join attempt_that_counts(payment_intents.id) as payment_attempts
left join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id;
comment on view order_checkouts is
'All that opening an order''s page takes, one row an order: of several attempts the one that was '
'paid, else the newest.';
comment on column order_checkouts.transaction_status is 'The status in UberTruck''s words.';

create function paying_customer(p_session json, p_external_id text) returns customers
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
begin
    if p_session ->> 'x-hasura-actor-role' = 'customer' then
        v_customer := acting_customer(p_session);
        if p_external_id is distinct from v_customer.external_id and p_external_id is not null then
            raise exception 'customer-not-found: a customer pays for nobody else'
                using errcode = '22B01';
        end if;
        return v_customer;
    end if;

    select * into v_customer
    from customers
    where external_id = p_external_id
        and organization_id::text = p_session ->> 'x-hasura-organization-id'
        and livemode::text = p_session ->> 'x-hasura-livemode'
        and status = 'active';
    if v_customer.id is null then
        raise exception 'customer-not-found: no active customer is called % here', p_external_id
            using errcode = '22B01';
    end if;
    return v_customer;
end;
$$;
comment on function paying_customer is
'Who pays an order: the customer who acts, or the one whom the organisation names by its own id.';

create function lock_order(p_organization_id uuid, p_reference text) returns void
language sql volatile
begin atomic
select pg_advisory_xact_lock(hashtextextended(
    'order:' || p_organization_id || ':' || p_reference, 0
));
end;
comment on function lock_order is
'All that is asked and said of one order is worked on one after the other, known here or not. It is '
'the first of all locks.';

create function free_display_id(p_customer customers) returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id text;
begin
    loop
        v_id := 'TXN-' || upper(left(replace(gen_random_uuid()::text, '-', ''), 10));
        exit when not exists (
            select from orders
            where display_id = v_id and organization_id = p_customer.organization_id
                and livemode = p_customer.livemode
        );
    end loop;
    return v_id;
end;
$$;
comment on function free_display_id is '40 random bits: enough for people, so it is looked at first.';

create function owed_facts(p_intent payment_intents, p_reference text) returns jsonb
language sql immutable
begin atomic
select jsonb_build_object(
    'payment_intent_id', (p_intent).id,
    'order_reference', p_reference,
    'amount', (p_intent).amount,
    'currency', (p_intent).currency
);
end;
comment on function owed_facts is
'What an event tells about an order''s payment that nobody has tried to pay.';

create function write_order(
    p_customer customers, p_reference text, p_amount bigint, p_currency text, p_title text,
    p_metadata jsonb, p_capture_method text default null
) returns payment_intents
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
begin
    select payment_intents.* into v_intent
    from orders
    inner join payment_intents on payment_intents.id = orders.payment_intent_id
    where orders.reference = p_reference and orders.livemode = p_customer.livemode
        and orders.organization_id = p_customer.organization_id;

    if v_intent.id is null then
        perform check_payment_amount(p_customer.organization_id, p_amount, p_currency);
        insert into payment_intents (
            organization_id, livemode, customer_id, purpose, amount, currency, capture_method
        )
        values (
            p_customer.organization_id, p_customer.livemode, p_customer.id, 'order', p_amount,
            p_currency, coalesce(p_capture_method, 'automatic')
        )
        returning * into v_intent;
        -- Before the order is there, which may be off already, and then its payment is canceled.
        perform record_event(
            v_intent.organization_id, v_intent.livemode, 'payment.initiated', 'payment_intent',
            v_intent.id, owed_facts(v_intent, p_reference)
        );
        insert into orders (
            organization_id, livemode, customer_id, payment_intent_id, reference, display_id, title,
            metadata
        )
        values (
            p_customer.organization_id, p_customer.livemode, p_customer.id, v_intent.id,
            p_reference, free_display_id(p_customer), p_title, p_metadata
        )
        on conflict on constraint order_is_charged_once do nothing;
        if found then
            return v_intent;
        end if;  -- another customer's request with the same reference was quicker
    elsif (v_intent.customer_id, v_intent.amount, v_intent.currency, v_intent.capture_method) = (
        p_customer.id, p_amount, p_currency, coalesce(p_capture_method, v_intent.capture_method)
    ) then
        return v_intent;
    end if;
    raise exception 'idempotency-key-reused: order % asks for something else', p_reference
        using errcode = '22B08';
end;
$$;
comment on function write_order is
'The order and what is owed for it, announced once; asked again with the same words, the one that is '
'there. Who does not say when it is captured takes it as it is. The customer is locked.';

create function reusable_attempt(p_intent payment_intents, p_gateway text) returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id and not is_surplus
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized', 'captured');
    if v_attempt.id is not null and v_attempt.status <> 'captured'
        and v_attempt.gateway <> coalesce(p_gateway, v_attempt.gateway)
    then
        raise exception 'payment-in-progress: % may still take this payment', v_attempt.gateway
            using errcode = '22B10';
    end if;
    return v_attempt.id;
end;
$$;
comment on function reusable_attempt is
'The attempt that goes on, or that has paid; null when a new one is due. Refuses another gateway '
'while one may still take the money.';

create function open_order_checkout(
    hasura_session json,
    p_reference text,
    p_customer_external_id text,
    p_amount bigint,
    p_currency text,
    p_title text,
    p_metadata jsonb,
    p_gateway text,
    p_method text,
    p_success_url text,
    p_cancel_url text,
    p_capture_method text default null
) returns setof order_checkouts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
    v_intent payment_intents;
begin
    perform require_actor_role(
        hasura_session, array['service', 'customer', 'owner', 'finance']
    );
    perform require_read_committed();
    v_customer := paying_customer(hasura_session, p_customer_external_id);

    perform lock_order(v_customer.organization_id, p_reference);
    perform from customers where id = v_customer.id for no key update;
    v_intent := write_order(
        v_customer, p_reference, p_amount, p_currency, p_title, coalesce(p_metadata, '{}'),
        p_capture_method
    );
    select * into strict v_intent from payment_intents where id = v_intent.id for no key update;
    if v_intent.status = 'canceled' then
        raise exception 'checkout-expired: order % is called off', p_reference
            using errcode = '22B25';
    end if;

    if reusable_attempt(v_intent, p_gateway) is null then
        perform require_attempt_left(payment_pages) from payment_pages
        where payment_intent_id = v_intent.id;
        perform open_checkout_session(
            v_intent, choose_gateway(v_intent, p_method, p_gateway), p_method, v_customer.email,
            p_success_url, p_cancel_url
        );
    end if;
    return query select * from order_checkouts where payment_intent_id = v_intent.id;
end;
$$;
comment on function open_order_checkout is
'Writes an order and an attempt to pay it down before a gateway is asked. Asked again: the same '
'order; a new attempt only where the one before has failed or expired and the order''s page allows one '
'more, none where it is called off.';
grant execute on function open_order_checkout to munim_hasura;

create function find_orders(hasura_session json, p_display_id text) returns setof orders
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    return query
    select * from orders
    where display_id = p_display_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and organization_id::text
            = coalesce(hasura_session ->> 'x-hasura-organization-id', organization_id::text);
end;
$$;
comment on function find_orders is
'The orders of a display id that the session may see; more than one where it names no organisation.';
grant execute on function find_orders to munim_hasura;
