create table system_settings (
    organization_id uuid not null references organizations (id),
    key text not null,
    value text not null,
    updated_at timestamptz not null default clock_now(),
    primary key (organization_id, key)
);
comment on table system_settings is
'Settings by name. credit_rate_<currency>: how many credits one major unit of money buys; each value '
'becomes a dated row of credit_rates.';

create trigger system_setting_updated_at
before update on system_settings
for each row execute function touch_updated_at();

create table credit_rates (
    id bigint primary key generated always as identity,
    organization_id uuid not null references organizations (id),
    currency text not null references currencies (code),
    rate numeric(20, 6),
    valid_from timestamptz not null default clock_now(),
    created_by text not null,
    created_at timestamptz not null default clock_now(),
    constraint credit_rate_is_above_zero check (rate > 0)
);
comment on table credit_rates is
'How many credits one major unit of money buys, from when on. The latest row that has begun holds; of '
'two that begin together, the one written later. Append-only.';
comment on column credit_rates.rate is 'Null: no credits are sold in this currency from then on.';

create index credit_rates_in_force on credit_rates (organization_id, currency, valid_from, id);

create trigger credit_rates_are_append_only
before update or delete or truncate on credit_rates
for each statement execute function refuse_to_rewrite_history();

create function date_credit_rate(p_organization_id uuid, p_key text, p_value text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    insert into credit_rates (organization_id, currency, rate, created_by)
    select
        p_organization_id, currencies.code,
        case
            when p_value ~ '^[0-9]{1,12}([.][0-9]{1,6})?$' then nullif(p_value::numeric, 0)
        end,
        coalesce(
            nullif(current_setting('hasura.user', true), '')::json ->> 'x-hasura-user-id',
            session_user
        )
    from currencies
    where p_key = 'credit_rate_' || lower(currencies.code);
end;
$$;
comment on function date_credit_rate is
'A value of a setting that names a rate becomes the rate from now on. What is no rate sells nothing.';

create function keep_credit_rate() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    if tg_op <> 'INSERT' and old.key is distinct from new.key then
        perform date_credit_rate(old.organization_id, old.key, null);
    end if;
    if tg_op <> 'DELETE' and (old.key, old.value) is distinct from (new.key, new.value) then
        perform date_credit_rate(new.organization_id, new.key, new.value);
    end if;
    return null;
end;
$$;
comment on function keep_credit_rate is 'Follows the rates in system_settings, and when they changed.';

create trigger system_setting_dates_credit_rate
after insert or update or delete on system_settings
for each row execute function keep_credit_rate();

create table payment_settings (
    organization_id uuid not null references organizations (id),
    currency text not null references currencies (code),
    min_payment_amount bigint not null,
    max_payment_amount bigint not null,
    updated_at timestamptz not null default clock_now(),
    primary key (organization_id, currency),
    constraint payment_limits_are_in_order check (
        0 < min_payment_amount and min_payment_amount <= max_payment_amount
        and max_payment_amount <= 1000000000000000
    )
);
comment on table payment_settings is
'What an organisation accepts. A currency without a row is not accepted. Minor units.';

create trigger payment_setting_updated_at
before update on payment_settings
for each row execute function touch_updated_at();

create table credit_purchases (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    payment_intent_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    amount bigint not null,
    currency text not null references currencies (code),
    credit_rate numeric(20, 6) not null,
    credits_amount numeric(20, 4) not null,
    expire_after_days integer,
    ledger_transaction_id uuid,
    granted_at timestamptz,
    created_at timestamptz not null default clock_now(),
    constraint credit_purchase_stays_in_its_organization unique (id, organization_id, livemode),
    constraint credit_purchase_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint credit_purchase_belongs_to_an_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint credit_purchase_is_granted_in_the_ledger
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint credit_purchase_key_is_used_once
    unique (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint intent_pays_one_credit_purchase unique (payment_intent_id),
    constraint credit_purchase_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint credit_purchase_buys_something check (
        amount > 0 and credits_amount > 0 and credits_amount <= 1000000000000
    ),
    constraint granted_credits_are_booked check (
        (granted_at is null) = (ledger_transaction_id is null)
    )
);
comment on table credit_purchases is 'Credits bought, at the rate frozen when the purchase was opened.';
comment on column credit_purchases.requested_by is
'user:<id>, service; autopay for a charge of a mandate. A key is this one''s own, so no word of a client''s '
'can stand for a charge.';
comment on column credit_purchases.credit_rate is 'Credits for one major unit of currency.';
comment on column credit_purchases.expire_after_days is
'How long the credits stay once granted, frozen like the rate; null: for ever.';
comment on column credit_purchases.granted_at is 'When the credits reached the wallet; null until then.';

create unique index grant_belongs_to_one_credit_purchase
on credit_purchases (ledger_transaction_id) where ledger_transaction_id is not null;
create index credit_purchases_by_customer on credit_purchases (customer_id, created_at);

create view credit_checkouts as
select
    credit_purchases.id,
    credit_purchases.organization_id,
    credit_purchases.livemode,
    credit_purchases.customer_id,
    credit_purchases.amount,
    credit_purchases.currency,
    credit_purchases.credits_amount,
    trim_scale(credit_purchases.credits_amount) || ' credits' as title,
    payment_intents.id as payment_intent_id,
    payment_intents.status,
    payment_attempts.id as payment_attempt_id,
    payment_attempts.gateway,
    payment_attempts.failure_message,
    checkout_sessions.gateway_session_id,
    checkout_sessions.url,
    checkout_sessions.method,
    checkout_sessions.customer_email,
    checkout_sessions.customer_name,
    checkout_sessions.customer_phone,
    checkout_sessions.success_url,
    checkout_sessions.cancel_url,
    checkout_sessions.expires_at,
    checkout_sessions.expires_at < clock_now() + interval '31 minutes' as is_closing,
    checkout_sessions.expires_at < clock_now() as is_over
from credit_purchases
inner join payment_intents on payment_intents.id = credit_purchases.payment_intent_id
cross join lateral (
    select checkout_sessions.*
    from checkout_sessions
    inner join payment_attempts as tries on tries.id = checkout_sessions.payment_attempt_id
    where tries.payment_intent_id = payment_intents.id
    order by
        tries.status = 'captured' desc, tries.is_surplus asc, tries.created_at desc, tries.id asc
    limit 1
) as checkout_sessions
inner join payment_attempts on payment_attempts.id = checkout_sessions.payment_attempt_id;
comment on view credit_checkouts is
'All that opening a purchase''s page takes, one row a purchase: of several pages the one that was '
'paid, else the newest.';
comment on column credit_checkouts.is_over is 'The gateway has closed the page.';
comment on column credit_checkouts.is_closing is
'Too late to open the page: a gateway asks for half an hour at least.';

create function credit_wallet(p_customer customers) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_code text := 'credit_wallet:' || p_customer.id;
    v_id uuid;
begin
    select id into v_id
    from ledger_accounts
    where organization_id = p_customer.organization_id and livemode = p_customer.livemode
        and code = v_code and currency = 'XCR';
    if v_id is not null then
        return v_id;
    end if;

    insert into ledger_accounts (
        organization_id, livemode, code, account_type, currency, customer_id, maximum
    )
    values (
        p_customer.organization_id, p_customer.livemode, v_code, 'liability', 'XCR', p_customer.id,
        0
    )
    on conflict on constraint ledger_account_code_is_taken_once do nothing;

    select id into strict v_id
    from ledger_accounts
    where organization_id = p_customer.organization_id and livemode = p_customer.livemode
        and code = v_code and currency = 'XCR';
    return v_id;
end;
$$;
comment on function credit_wallet is 'The customer''s wallet, opened at its first use.';

create function open_wallet_of_customer() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform credit_wallet(new);
    return null;
end;
$$;
comment on function open_wallet_of_customer is 'A customer has a balance to read from the first day.';

create trigger customer_has_a_wallet
after insert on customers
for each row execute function open_wallet_of_customer();

create function credit_rate(p_organization_id uuid, p_currency text) returns numeric
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_rate numeric;
begin
    select rate into v_rate
    from credit_rates
    where organization_id = p_organization_id and currency = p_currency
        and valid_from <= clock_now()
    order by valid_from desc, id desc
    limit 1;

    if v_rate is null then
        raise exception 'setting-invalid: system_settings.credit_rate_% must be a rate above zero',
            lower(p_currency)
            using errcode = '22B05';
    end if;
    return v_rate;
end;
$$;
comment on function credit_rate is 'Credits for one major unit of money: the rate that holds now.';

create function require_actor_role(p_session json, p_roles text[]) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_role text := coalesce(p_session ->> 'x-hasura-actor-role', 'service');
begin
    perform require_service(p_session);
    if v_role <> all(p_roles) then
        raise exception 'forbidden: role % may not do this', v_role
            using errcode = '22B03';
    end if;
end;
$$;
comment on function require_actor_role is
'The service acts in one of these roles; in its own when it names none.';

create function set_credit_rate(
    hasura_session json, p_currency text, p_rate numeric, p_valid_from timestamptz
) returns setof credit_rates
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_organization organizations;
    v_rate credit_rates;
begin
    perform require_actor_role(hasura_session, array['owner', 'finance']);
    perform require_read_committed();
    select * into v_organization
    from organizations
    where id::text = hasura_session ->> 'x-hasura-organization-id'
    for no key update;
    if v_organization.id is null then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if p_rate is null or not p_rate between 0.000001 and 999999999999
        or p_rate <> trunc(p_rate, 6) or p_valid_from < clock_now()
        or not exists (select from currencies where code = p_currency and code <> 'XCR')
    then
        raise exception 'setting-invalid: no rate % for % from % on', p_rate, p_currency, p_valid_from
            using errcode = '22B05';
    end if;

    select * into v_rate
    from credit_rates
    where organization_id = v_organization.id and currency = p_currency
        and valid_from <= coalesce(p_valid_from, clock_now())
    order by valid_from desc, id desc
    limit 1;
    if v_rate.rate is distinct from p_rate then
        insert into credit_rates (organization_id, currency, rate, valid_from, created_by)
        values (
            v_organization.id, p_currency, p_rate, coalesce(p_valid_from, clock_now()),
            coalesce(hasura_session ->> 'x-hasura-user-id', hasura_session ->> 'x-hasura-role')
        )
        returning * into v_rate;
    end if;
    return next v_rate;
end;
$$;
comment on function set_credit_rate is
'Sets a rate from now or from a later time on. Answers the row that holds then: asked again, the same. '
'Purchases that are open keep theirs.';
grant execute on function set_credit_rate to munim_hasura;

create function check_payment_amount(p_organization_id uuid, p_amount bigint, p_currency text)
returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_limits payment_settings;
begin
    select * into v_limits
    from payment_settings
    where organization_id = p_organization_id and currency = p_currency;

    if v_limits.currency is null then
        raise exception 'currency-not-supported: % is not accepted here', p_currency
            using errcode = '22B06';
    end if;
    if p_amount is null
        or p_amount not between v_limits.min_payment_amount and v_limits.max_payment_amount
    then
        raise exception 'amount-out-of-range: % is not between % and % in the minor unit of %',
            p_amount, v_limits.min_payment_amount, v_limits.max_payment_amount, p_currency
            using errcode = '22B07';
    end if;
end;
$$;
comment on function check_payment_amount is 'Refuses what payment_settings does not allow.';

create function repeated_credit_purchase(
    p_customer customers,
    p_key text,
    p_requested_by text,
    p_amount bigint,
    p_currency text,
    p_email text
) returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_checkout credit_checkouts;
begin
    select credit_checkouts.* into v_checkout
    from credit_checkouts
    inner join credit_purchases on credit_purchases.id = credit_checkouts.id
    where credit_purchases.organization_id = p_customer.organization_id
        and credit_purchases.livemode = p_customer.livemode
        and credit_purchases.customer_id = p_customer.id
        and credit_purchases.idempotency_key = p_key
        and credit_purchases.requested_by = p_requested_by;

    if v_checkout.id is not null
        and (v_checkout.amount, v_checkout.currency, v_checkout.customer_email)
        is distinct from (p_amount, coalesce(p_currency, v_checkout.currency), p_email)
    then
        raise exception 'idempotency-key-reused: the key belongs to a request with other content'
            using errcode = '22B08';
    end if;
    return v_checkout.id;
end;
$$;
comment on function repeated_credit_purchase is
'The purchase that this key opened before, or null. Refuses a key with other content.';

create function credits_bought(p_amount bigint, p_currency text, p_rate numeric) returns numeric
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_credits numeric := trunc(major_units(p_amount, p_currency) * p_rate, 4);
begin
    if v_credits not between 0.0001 and 1000000000000 then
        raise exception 'amount-out-of-range: % buys % credits at a rate of %',
            p_amount, v_credits, p_rate
            using errcode = '22B07';
    end if;
    return v_credits;
end;
$$;
comment on function credits_bought is 'What an amount buys at a rate; refused where that is nothing.';

create function write_credit_purchase(
    p_customer customers, p_key text, p_requested_by text, p_amount bigint, p_currency text
) returns payment_intents
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_rate numeric := credit_rate(p_customer.organization_id, p_currency);
    v_credits numeric := credits_bought(p_amount, p_currency, v_rate);
    v_intent payment_intents;
begin
    insert into payment_intents (organization_id, livemode, customer_id, purpose, amount, currency)
    values (
        p_customer.organization_id, p_customer.livemode, p_customer.id, 'credit_purchase', p_amount,
        p_currency
    )
    returning * into v_intent;

    insert into credit_purchases (
        organization_id, livemode, customer_id, payment_intent_id, idempotency_key, requested_by,
        amount, currency, credit_rate, credits_amount, expire_after_days
    )
    values (
        p_customer.organization_id, p_customer.livemode, p_customer.id, v_intent.id, p_key,
        p_requested_by, p_amount, p_currency, v_rate, v_credits, credits_expire_after_days(p_customer.organization_id)
    );
    return v_intent;
end;
$$;
comment on function write_credit_purchase is 'The purchase and what is owed for it, rate frozen.';

create function open_credit_purchase(
    hasura_session json,
    p_key text,
    p_amount bigint,
    p_currency text,
    p_email text,
    p_gateway text,
    p_success_url text,
    p_cancel_url text
) returns setof credit_checkouts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
    v_principal text := acting_principal(hasura_session);
    v_currency text;
    v_purchase_id uuid;
    v_intent payment_intents;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_customer := acting_customer(hasura_session);

    -- The customer's row orders their requests: of two with one key, the second finds the first.
    perform from customers where id = v_customer.id for no key update;
    v_purchase_id := repeated_credit_purchase(
        v_customer, p_key, v_principal, p_amount, p_currency, p_email
    );

    if v_purchase_id is null then
        select coalesce(p_currency, default_currency) into strict v_currency
        from organizations where id = v_customer.organization_id;
        perform check_payment_amount(v_customer.organization_id, p_amount, v_currency);
        v_intent := write_credit_purchase(v_customer, p_key, v_principal, p_amount, v_currency);
        perform open_checkout_session(
            v_intent, p_gateway, null, p_email, p_success_url, p_cancel_url
        );
    end if;

    return query
    select * from credit_checkouts
    where id = coalesce(
        v_purchase_id, (select id from credit_purchases where payment_intent_id = v_intent.id)
    );
end;
$$;
comment on function open_credit_purchase is
'Writes a purchase of credits down before a gateway is asked. The same key: the same purchase.';
grant execute on function open_credit_purchase to munim_hasura;

create function credits_expire_after_days(p_organization_id uuid) returns integer
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_value text;
begin
    select value into v_value
    from system_settings
    where organization_id = p_organization_id and key = 'credits_expire_after_days';

    if coalesce(v_value, '1') !~ '^[1-9][0-9]{0,4}$' then
        raise exception 'setting-invalid: system_settings.credits_expire_after_days must be days'
            using errcode = '22B05';
    end if;
    return v_value::integer;
end;
$$;
comment on function credits_expire_after_days is
'How many days credits stay, from system_settings; null without the setting: for ever.';

create function open_credit_lots(p_purchases credit_purchases[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    insert into credit_lots (
        organization_id, livemode, customer_id, credit_purchase_id, granted, remaining, amount,
        amount_remaining, currency, expires_at, announce_at
    )
    select
        organization_id, livemode, customer_id, id, credits_amount, credits_amount, amount, amount,
        currency, lot.expires_at, expiry_notice_at(lot.expires_at)
    from unnest(p_purchases)
    cross join lateral (
        select granted_at + make_interval(days => expire_after_days) as expires_at
    ) as lot;
end;
$$;
comment on function open_credit_lots is 'What purchases granted, to be spent, refunded or expired.';

create function credit_grant_posting(p_intent payment_intents, p_occurred_at timestamptz)
returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_purchase credit_purchases;
    v_customer customers;
begin
    select * into strict v_purchase
    from credit_purchases where payment_intent_id = p_intent.id for no key update;
    select * into strict v_customer from customers where id = v_purchase.customer_id;

    return (
        format('credits:%s', v_purchase.id), 'credit_purchase', 'credit_purchase', v_purchase.id,
        p_occurred_at,
        ledger_account(
            p_intent.organization_id, p_intent.livemode, 'credits_issued', 'asset', 'XCR',
            p_intent.id
        ),
        credit_wallet(v_customer), v_purchase.credits_amount * 10000
    )::ledger_posting;
end;
$$;
comment on function credit_grant_posting is
'The credits that were paid for, into the wallet. Locks the purchase.';

create function credit_purchase_facts(p_purchase credit_purchases) returns jsonb
language sql stable
begin atomic
select jsonb_build_object(
    'credit_purchase_id', p_purchase.id, 'customer_id', p_purchase.customer_id,
    'credits_amount', p_purchase.credits_amount
);
end;
comment on function credit_purchase_facts is 'What an event about a purchase tells.';

create function finish_credit_purchase(p_intent payment_intents, p_ledger_transaction_id uuid)
returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_purchase credit_purchases;
begin
    update credit_purchases
    set ledger_transaction_id = p_ledger_transaction_id, granted_at = clock_now()
    where payment_intent_id = p_intent.id
    returning * into strict v_purchase;
    perform open_credit_lots(array[v_purchase]);

    perform record_event(
        p_intent.organization_id, p_intent.livemode, 'credits.granted', 'credit_purchase',
        v_purchase.id, credit_purchase_facts(v_purchase)
    );
end;
$$;
comment on function finish_credit_purchase is 'The grant is booked: the purchase says so, and the world hears.';

revoke insert, update, delete, truncate
on system_settings, credit_rates, payment_settings, credit_purchases, checkout_sessions
from public, munim_hasura;
