create table checkout_sessions (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_session_id text,
    url text,
    customer_email text not null,
    success_url text not null,
    cancel_url text not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint checkout_session_belongs_to_its_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode),
    constraint attempt_has_one_checkout_session unique (payment_attempt_id),
    constraint gateway_session_is_opened_once unique (gateway, livemode, gateway_session_id),
    constraint opened_checkout_has_a_page check ((gateway_session_id is null) = (url is null))
);
comment on table checkout_sessions is
'A gateway''s hosted page for one attempt. Everything the gateway is told is frozen here first, so '
'that asking it twice is asking the same thing.';
comment on column checkout_sessions.expires_at is 'When the gateway closes the page.';

create trigger checkout_session_updated_at
before update on checkout_sessions
for each row execute function touch_updated_at();

create function open_checkout_session(
    p_intent payment_intents,
    p_gateway text,
    p_customer_email text,
    p_success_url text,
    p_cancel_url text
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := open_payment_attempt(p_intent, p_gateway, null);
begin
    -- Stripe keeps a page, and remembers an idempotency key, for 24 hours.
    insert into checkout_sessions (
        organization_id, livemode, payment_attempt_id, gateway, customer_email, success_url,
        cancel_url, expires_at
    )
    values (
        p_intent.organization_id, p_intent.livemode, v_attempt.id, p_gateway, p_customer_email,
        p_success_url, p_cancel_url, date_trunc('second', clock_now()) + interval '23 hours'
    );
end;
$$;
comment on function open_checkout_session is 'Writes down an attempt before its gateway is asked.';

create function acting_attempt(p_session json, p_payment_attempt_id uuid) returns payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
    v_attempt payment_attempts;
begin
    perform require_service(p_session);
    perform require_read_committed();
    v_customer := acting_customer(p_session);

    perform from payment_intents
    where id = (select payment_intent_id from payment_attempts where id = p_payment_attempt_id)
        and organization_id = v_customer.organization_id
        and livemode = v_customer.livemode
        and customer_id = v_customer.id
    for no key update;
    if not found then
        raise exception 'not-found: no payment attempt % of this customer', p_payment_attempt_id
            using errcode = '22B04';
    end if;

    select * into strict v_attempt
    from payment_attempts where id = p_payment_attempt_id for no key update;
    return v_attempt;
end;
$$;
comment on function acting_attempt is 'Locks the session''s own attempt, its intent first.';
