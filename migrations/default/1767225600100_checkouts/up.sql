create table checkout_sessions (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_session_id text,
    url text,
    takes_several boolean not null default false,
    method text,
    customer_email text not null,
    customer_name text,
    customer_phone text,
    gateway_customer_id text,
    success_url text not null,
    cancel_url text not null,
    expires_at timestamptz not null,
    link_expires_at timestamptz,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint checkout_session_belongs_to_its_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode),
    constraint attempt_has_one_checkout_session unique (payment_attempt_id),
    constraint gateway_session_is_opened_once unique (gateway_session_id, gateway, livemode),
    constraint opened_checkout_has_a_page check ((gateway_session_id is null) = (url is null)),
    constraint only_a_upi_link_is_soon_over
    check (coalesce(url like 'upi:%', false) = (link_expires_at is not null))
);
comment on table checkout_sessions is
'A gateway''s hosted page for one attempt. Everything the gateway is told is frozen here first, so '
'that asking it twice is asking the same thing.';
comment on column checkout_sessions.method is
'How the payer chose to pay: card, upi and so on; null where the gateway''s page asks.';
comment on column checkout_sessions.gateway_customer_id is
'Who the payer is at the gateway, where they chose a method that is saved there: its page offers it.';
comment on column checkout_sessions.expires_at is
'When the page closes: at the gateway where it can be told, else only here.';

comment on column checkout_sessions.url is
'The gateway''s page, or the UPI link that our page shows instead.';
comment on column checkout_sessions.takes_several is
'Whether the gateway takes more than one payment on this page, as its adapter declares: then it is asked '
'for all of them when the page has closed. False until the page is open.';
comment on column checkout_sessions.link_expires_at is
'When a UPI link is shown no more; the payer may ask for another one until expires_at. Null for pages.';

create trigger checkout_session_updated_at
before update on checkout_sessions
for each row execute function touch_updated_at();

create function open_checkout_session(
    p_intent payment_intents,
    p_gateway text,
    p_method text,
    p_customer_email text,
    p_success_url text,
    p_cancel_url text,
    p_gateway_customer_id text default null
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := open_payment_attempt(p_intent, p_gateway, null);
begin
    -- Stripe keeps a page, and remembers an idempotency key, for 24 hours.
    insert into checkout_sessions (
        organization_id, livemode, payment_attempt_id, gateway, method, customer_email,
        customer_name, customer_phone, gateway_customer_id, success_url, cancel_url, expires_at
    )
    select
        p_intent.organization_id, p_intent.livemode, v_attempt.id, p_gateway, p_method,
        p_customer_email, customers.name, customers.phone, p_gateway_customer_id, p_success_url,
        p_cancel_url,
        date_trunc('second', clock_now()) + interval '23 hours'
    from customers
    where customers.id = p_intent.customer_id;
end;
$$;
comment on function open_checkout_session is 'Writes down an attempt before its gateway is asked.';

create function acting_attempt(p_session json, p_payment_attempt_id uuid) returns payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    perform require_service(p_session);
    perform require_read_committed();

    select * into v_intent
    from payment_intents
    where id = (select payment_intent_id from payment_attempts where id = p_payment_attempt_id)
    for no key update;
    perform require_access(
        p_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );
    -- A login that names no role is a customer's.
    if p_session ->> 'x-hasura-actor-role' is null and p_session ->> 'x-hasura-user-id' is not null
        and (acting_customer(p_session)).id is distinct from v_intent.customer_id
    then
        raise exception 'not-found: no payment attempt % of this customer', p_payment_attempt_id
            using errcode = '22B04';
    end if;

    select * into strict v_attempt
    from payment_attempts where id = p_payment_attempt_id for no key update;
    return v_attempt;
end;
$$;
comment on function acting_attempt is
'Locks an attempt that the session may see, its intent first.';

create function record_checkout_session(
    hasura_session json,
    p_payment_attempt_id uuid,
    p_gateway_session_id text,
    p_url text,
    p_link_expires_at timestamptz default null,
    p_takes_several boolean default false,
    p_is_answer boolean default true
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := acting_attempt(hasura_session, p_payment_attempt_id);
begin
    if exists (
        select from payment_intents
        where id = v_attempt.payment_intent_id and status = 'canceled'
    ) then
        raise exception 'checkout-expired: payment % is called off', v_attempt.payment_intent_id
            using errcode = '22B25';
    end if;
    if v_attempt.failure_code = 'page-never-shown' then
        raise exception 'payment-in-progress: another attempt has taken the place of %', v_attempt.id
            using errcode = '22B10';
    end if;
    update checkout_sessions
    set
        gateway_session_id = p_gateway_session_id, url = p_url,
        link_expires_at = p_link_expires_at, takes_several = p_takes_several
    where payment_attempt_id = v_attempt.id
        and (gateway_session_id is null or gateway_session_id = p_gateway_session_id);
    if not found then
        -- Two tabs at once, at a gateway that opens a page for each: the first one counts.
        raise exception 'payment-in-progress: attempt % has another page already', v_attempt.id
            using errcode = '22B10';
    end if;

    if v_attempt.status in ('created', 'unknown') then  -- a webhook may have come first
        perform move_payment_attempt(v_attempt, 'pending', '{}');
    end if;
    perform close_gateway_circuit(v_attempt.gateway, v_attempt.livemode, 'open')
    where p_is_answer;
    return query select * from payment_attempts where id = v_attempt.id;
end;
$$;
comment on function record_checkout_session is
'Keeps the page that a gateway opened for an attempt, or the newest UPI link in its place. Refused where '
'the payer was sent elsewhere, or the payment called off, meanwhile: the page must not be shown. '
'p_is_answer is false for a page that was written here without asking the gateway: it tells nothing of '
'whether that works.';
grant execute on function record_checkout_session to munim_hasura;

create function fail_checkout(
    hasura_session json,
    p_payment_attempt_id uuid,
    p_failure_code text,
    p_failure_message text
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := acting_attempt(hasura_session, p_payment_attempt_id);
begin
    if v_attempt.status in ('created', 'unknown') then
        perform move_payment_attempt(v_attempt, 'failed', jsonb_build_object(
            'failure_code', p_failure_code, 'failure_message', p_failure_message,
            'decline_class', 'gateway'
        ));
    end if;
    perform close_gateway_circuit(v_attempt.gateway, v_attempt.livemode, 'open');
    return query select * from payment_attempts where id = v_attempt.id;
end;
$$;
comment on function fail_checkout is
'The gateway refused for good to open a page, and so it answers. Nothing happens to an attempt that has one.';
grant execute on function fail_checkout to munim_hasura;
