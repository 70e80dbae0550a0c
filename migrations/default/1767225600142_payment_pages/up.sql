-- Our own page, where the payer of an order sees what is due, chooses how to pay, and tries again.
create function new_page_token() returns text
language sql volatile
begin atomic
select translate(
    encode(
        substr(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 1, 24),
        'base64'
    ),
    '+/', '-_'
);
end;
comment on function new_page_token is '192 bits of 244 random ones, in 32 characters of an address.';

create table payment_pages (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    token text not null default new_page_token(),
    success_url text not null,
    cancel_url text not null,
    attempts_max smallint not null default 5,
    expires_at timestamptz not null,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint payment_page_is_of_a_payment
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint payment_has_one_page unique (payment_intent_id),
    constraint payment_page_token_is_given_once unique (token),
    constraint payment_page_token_cannot_be_guessed check (length(token) >= 32),
    constraint payment_page_allows_attempts check (attempts_max between 1 and 50)
);
comment on table payment_pages is
'Where an order is paid, in as many attempts as the page allows. Who has the address may pay, no more.';
comment on column payment_pages.token is
'The secret of the page''s address. Plain, because the same order is answered the same address.';
comment on column payment_pages.success_url is 'Where the shop takes the payer back, once it is paid.';
comment on column payment_pages.cancel_url is 'Where the shop takes back a payer who has not paid.';

create trigger payment_page_updated_at
before update on payment_pages
for each row execute function touch_updated_at();

create table page_tries (
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    address_hash text not null,
    tries integer not null,
    began_at timestamptz not null,
    primary key (address_hash, organization_id, livemode)
);
comment on table page_tries is
'How many attempts were begun from an address of the network in the hour since began_at, and from all of '
'them in the minute: who tries many cards comes from few, or is quick. system_settings.page_tries_per_address '
'and page_tries_per_minute are the most that an organisation allows.';
create index page_tries_by_age on page_tries (began_at);

comment on column page_tries.address_hash is
'Under a key of the service''s, so that it tells nobody the address; of IPv6 its network of 64 bits. Empty '
'for all addresses together.';

create view payment_page_states as
select
    payment_pages.token,
    payment_pages.organization_id,
    payment_pages.livemode,
    organizations.name as organization_name,
    orders.reference,
    orders.display_id,
    orders.title,
    payment_intents.id as payment_intent_id,
    payment_intents.amount,
    payment_intents.currency,
    payment_intents.capture_method,
    payment_intents.status,
    payment_status_in(payment_intents, 'ubertruck') as transaction_status,
    payment_pages.success_url,
    payment_pages.cancel_url,
    payment_pages.expires_at,
    payment_pages.expires_at <= clock_now() as is_over,
    tries.attempts >= payment_pages.attempts_max or tries.is_tried_out as is_exhausted,
    newest.payment_attempt_id,
    newest.payment_attempt_status,
    newest.gateway,
    newest.gateway_session_id,
    newest.gateway_customer_id,
    newest.link_expires_at,
    newest.decline_class,
    newest.declined_at,
    (
        select
            coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'gateway', gateway_routes.gateway, 'methods', gateway_routes.methods
                    )
                    order by gateway_routes.rank, gateway_routes.gateway
                ),
                '[]'
            )
        from gateway_routes
        where gateway_routes.organization_id = payment_intents.organization_id
            and gateway_routes.livemode = payment_intents.livemode
            and gateway_routes.currency = payment_intents.currency
            and gateway_routes.is_enabled
            and payment_intents.amount
            between gateway_routes.min_amount and gateway_routes.max_amount
    ) as routes,
    (
        select
            coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'id', payment_methods.id, 'gateway', payment_methods.gateway,
                        'gateway_customer_id', payment_methods.gateway_customer_id,
                        'brand', payment_methods.brand, 'last4', payment_methods.last4,
                        'expires_on', payment_methods.expires_on
                    )
                    order by payment_methods.created_at desc, payment_methods.id asc
                ),
                '[]'
            )
        from payment_methods
        where payment_methods.customer_id = payment_intents.customer_id
            and payment_methods.status = 'active' and payment_methods.type = 'card'
            and coalesce(payment_methods.expires_on >= clock_now()::date, true)
    ) as saved_cards,
    coalesce(
        (
            select system_settings.value::bigint
            from system_settings
            where system_settings.organization_id = payment_pages.organization_id
                and system_settings.key = 'upi_amount_max'
                and system_settings.value ~ '^[0-9]{1,12}$'
        ),
        10000000
    ) as upi_amount_max,
    (
        select
            jsonb_build_object(
                'holder_name', bank_accounts.holder_name, 'bank_name', bank_accounts.bank_name,
                'account_number', bank_accounts.account_number, 'ifsc', bank_accounts.ifsc
            )
        from bank_accounts
        where bank_accounts.organization_id = payment_intents.organization_id
            and bank_accounts.livemode = payment_intents.livemode
            and bank_accounts.currency = payment_intents.currency
            and bank_accounts.status = 'open'
    ) as bank_account,
    array(
        select embedding_origins.origin
        from embedding_origins
        where embedding_origins.organization_id = payment_pages.organization_id
            and embedding_origins.livemode = payment_pages.livemode
    ) as embedding_origins
from payment_pages
inner join organizations on organizations.id = payment_pages.organization_id
inner join payment_intents on payment_intents.id = payment_pages.payment_intent_id
inner join orders on orders.payment_intent_id = payment_intents.id
cross join lateral (
    select
        count(*) as attempts,
        coalesce(is_tried_out((array_agg(payment_attempts))[1]), false) as is_tried_out
    from payment_attempts
    where payment_attempts.payment_intent_id = payment_intents.id
        and not payment_attempts.is_in_suspense
) as tries
left join lateral (
    select
        payment_attempts.id as payment_attempt_id,
        payment_attempts.status as payment_attempt_status,
        payment_attempts.gateway,
        payment_attempts.decline_class,
        payment_attempts.declined_at,
        checkout_sessions.gateway_session_id,
        checkout_sessions.gateway_customer_id,
        checkout_sessions.link_expires_at
    from attempt_that_counts(payment_intents.id) as payment_attempts
    left join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
) as newest on true;
comment on view payment_page_states is
'All that a page shows, one row a page: of several attempts the one that paid, else the newest.';
comment on column payment_page_states.routes is
'The gateways that may take the payment, the first choice first; methods null: whatever they take.';
comment on column payment_page_states.bank_account is
'The organisation''s own account that takes this currency by bank transfer, in full: a payer must read '
'it. Null where there is none.';
comment on column payment_page_states.upi_amount_max is
'Above so many paise UPI is not offered: system_settings.upi_amount_max, else the 1,00,000 rupees that '
'NPCI allows everybody. Verified merchants of some trades may take 5,00,000.';
comment on column payment_page_states.saved_cards is
'What the order''s customer saved at gateways, the newest first. For their own eyes: a page''s address alone '
'shows it to nobody.';
comment on column payment_page_states.embedding_origins is 'The sites that may show the page in a frame.';

create view payment_page_returns as
select
    payment_attempts.id as payment_attempt_id,
    payment_attempts.payment_intent_id,
    payment_attempts.gateway,
    checkout_sessions.gateway_session_id,
    payment_pages.token
from payment_attempts
inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
inner join payment_pages on payment_pages.payment_intent_id = payment_attempts.payment_intent_id;
comment on view payment_page_returns is
'To which page a payer comes back from a gateway, one row an attempt.';

create function open_payment_page(
    hasura_session json,
    p_reference text,
    p_customer_external_id text,
    p_amount bigint,
    p_currency text,
    p_title text,
    p_metadata jsonb,
    p_success_url text,
    p_cancel_url text,
    p_capture_method text default null
) returns setof payment_page_states
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
    v_intent payment_intents;
    v_open_until timestamptz := date_trunc('second', clock_now()) + interval '7 days';
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
    insert into payment_pages (
        organization_id, livemode, payment_intent_id, success_url, cancel_url, expires_at
    )
    values (
        v_intent.organization_id, v_intent.livemode, v_intent.id, p_success_url, p_cancel_url,
        v_open_until
    )
    on conflict on constraint payment_has_one_page do update
    set expires_at = excluded.expires_at
    where payment_pages.expires_at <= clock_now();
    return query select * from payment_page_states where payment_intent_id = v_intent.id;
end;
$$;
comment on function open_payment_page is
'Writes an order down, and the page where it is paid. Asked again: the same page, open anew where its '
'time was over. No gateway is chosen yet.';
grant execute on function open_payment_page to munim_hasura;

create function tries_allowed(p_organization_id uuid, p_key text, p_else integer) returns integer
language sql stable
begin atomic
select coalesce(
    (
        select system_settings.value::integer
        from system_settings
        where system_settings.organization_id = p_organization_id
            and system_settings.key = p_key and system_settings.value ~ '^[0-9]{1,6}$'
    ),
    p_else
);
end;
comment on function tries_allowed is 'A limit of attempts, as an organisation sets it.';

create function count_page_tries(
    p_page payment_pages, p_address_hash text, p_window interval, p_setting text, p_else integer
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_allowed constant integer := tries_allowed(p_page.organization_id, p_setting, p_else);
    v_began_after constant timestamptz := clock_now() - p_window;
    v_tries integer;
begin
    insert into page_tries as known (organization_id, livemode, address_hash, tries, began_at)
    values (p_page.organization_id, p_page.livemode, p_address_hash, 1, clock_now())
    on conflict (address_hash, organization_id, livemode) do update
    set
        tries = case when known.began_at > v_began_after then known.tries + 1 else 1 end,
        began_at = case
            when known.began_at > v_began_after then known.began_at else excluded.began_at
        end
    returning tries into v_tries;

    if v_tries > v_allowed then
        raise exception 'too-many-requests: more than % payments were begun from this % within %',
            v_allowed, case p_address_hash when '' then 'shop''s pages' else 'address' end, p_window
            using errcode = '22B24';
    end if;
end;
$$;
comment on function count_page_tries is
'Counts an attempt that is about to be begun, in a window of time that begins with the first; refuses it '
'where its address, or for no address all of them together, has begun too many.';

create function count_page_try(p_page payment_pages, p_address_hash text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    -- Thirty: behind one address of a mobile network there are many payers.
    perform count_page_tries(
        p_page, p_address_hash, interval '1 hour', 'page_tries_per_address', 30
    );
    -- Five a second: who tries cards from very many addresses is no faster than that.
    perform count_page_tries(p_page, '', interval '1 minute', 'page_tries_per_minute', 300);

    -- Each one that comes takes two away that count no more, so that what is kept does not grow.
    with old as (
        select address_hash, organization_id, livemode
        from page_tries
        where began_at <= clock_now() - interval '1 day'
        order by began_at
        limit 2
        for update skip locked
    )

    delete from page_tries
    using old
    where page_tries.address_hash = old.address_hash
        and page_tries.organization_id = old.organization_id
        and page_tries.livemode = old.livemode;
end;
$$;
comment on function count_page_try is
'Counts an attempt that is about to be begun; refuses it where its address has begun too many in an hour, '
'or all addresses together in a minute. What is refused is not counted.';

create function goes_on(
    p_intent payment_intents, p_method text, p_gateway_customer_id text default null
) returns boolean
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_session checkout_sessions;
begin
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id and not is_surplus
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized', 'captured');
    if v_attempt.id is null then
        return false;
    end if;

    select * into v_session from checkout_sessions where payment_attempt_id = v_attempt.id;
    if v_attempt.status in ('created', 'unknown', 'pending')
        and coalesce(v_session.method, p_method) = p_method
        and v_session.gateway_customer_id is not distinct from p_gateway_customer_id
        -- A page that is not open yet must stay open for half an hour: gateways want it so.
        and v_session.expires_at > clock_now() + (
            case when v_session.url is null then interval '31 minutes' else interval '0' end
        )
    then
        return true;
    end if;
    raise exception 'payment-in-progress: % may still take this payment', v_attempt.gateway
        using errcode = '22B10';
end;
$$;
comment on function goes_on is
'Whether an attempt by this method is open already. Refuses where another one may still take the money.';

create function unseen_attempt(p_intent payment_intents, p_method text) returns payment_attempts
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    select payment_attempts.* into v_attempt
    from payment_attempts
    inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
    where payment_attempts.payment_intent_id = p_intent.id
        and not payment_attempts.is_surplus
        and payment_attempts.gateway_payment_id is null
        and checkout_sessions.url is null
        and (
            payment_attempts.status = 'unknown'
            -- Whoever was to open its page is gone: no call to a gateway takes so long.
            or payment_attempts.status = 'created'
            and payment_attempts.created_at < clock_now() - interval '1 minute'
            and checkout_sessions.method is distinct from p_method
        );
    return v_attempt;
end;
$$;
comment on function unseen_attempt is
'The open attempt of which nobody has seen a page, because its gateway stayed silent; else a null row.';

create function gateway_instead(
    p_attempt payment_attempts, p_intent payment_intents, p_method text, p_able text[]
) returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return choose_gateway(p_intent, p_method, null, array_remove(p_able, p_attempt.gateway));
exception
    when sqlstate '22B05' or sqlstate '22B23' then
        return case
            when p_attempt.gateway = any(p_able) and p_method is distinct from (
                select method from checkout_sessions where payment_attempt_id = p_attempt.id
            ) then p_attempt.gateway
        end;
end;
$$;
comment on function gateway_instead is
'The gateway that takes the place of a silent one: another, or for another method the same. Null where '
'there is none: then the silent one is asked again.';

create function give_up_unseen_attempt(p_attempt payment_attempts) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    -- No money moves by opening a page, but by what a payer does on it. Only we could tell them
    -- where it is, and record_checkout_session refuses a page that comes after this.
    perform move_payment_attempt(p_attempt, 'expired', jsonb_build_object(
        'failure_code', 'page-never-shown',
        'failure_message', format('%s was silent, and nobody saw its page', p_attempt.gateway)
    ));
    perform resolve_exception('payment-unresolved', 'payment_attempt', p_attempt.id);
end;
$$;
comment on function give_up_unseen_attempt is
'Makes room for an attempt elsewhere. Should its gateway have taken money all the same, that is booked as '
'of any attempt that is over: for the order, or as a surplus that goes back.';

create function begin_page_attempt(
    hasura_session json,
    p_token text,
    p_method text,
    p_gateways jsonb,
    p_address_hash text,
    p_back_url text,
    p_payment_method_id uuid default null
) returns setof order_checkouts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_page payment_pages;
    v_intent payment_intents;
    v_customer customers;
    v_able text[] := array(select jsonb_array_elements_text(p_gateways));
    v_unseen payment_attempts;
    v_gateway text;
    v_saved payment_methods;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    select * into v_page
    from payment_pages
    where token = p_token and livemode::text = hasura_session ->> 'x-hasura-livemode';
    if v_page.id is null then
        raise exception 'not-found: there is no such page' using errcode = '22B04';
    end if;

    select customers.* into strict v_customer
    from customers
    inner join payment_intents on payment_intents.customer_id = customers.id
    where payment_intents.id = v_page.payment_intent_id
    for no key update of customers;
    select * into strict v_intent
    from payment_intents where id = v_page.payment_intent_id for no key update;
    if p_payment_method_id is not null then
        select * into v_saved
        from payment_methods
        where id = p_payment_method_id and customer_id = v_customer.id and status = 'active'
            and gateway = any(v_able);
        if v_saved.id is null then
            raise exception 'not-found: this customer saved no such method' using errcode = '22B04';
        end if;
        v_able := array[v_saved.gateway];
    end if;

    v_unseen := unseen_attempt(v_intent, p_method);
    if v_unseen.id is not null and v_intent.status not in ('paid', 'canceled') then
        -- A gateway may be probed, and circuits come last.
        perform from payment_attempts where id = v_unseen.id for no key update;
        perform count_page_try(v_page, p_address_hash);
        v_gateway := gateway_instead(v_unseen, v_intent, p_method, v_able);
        perform give_up_unseen_attempt(v_unseen) where v_gateway is not null;
    end if;
    if v_intent.status not in ('paid', 'canceled')
        and not goes_on(v_intent, p_method, v_saved.gateway_customer_id)
    then
        perform require_open_page(v_page);
        perform count_page_try(v_page, p_address_hash) where v_unseen.id is null;
        perform open_checkout_session(
            v_intent, coalesce(v_gateway, choose_gateway(v_intent, p_method, null, v_able)),
            p_method, v_customer.email, p_back_url, p_back_url, v_saved.gateway_customer_id
        );
    end if;
    return query select * from order_checkouts where payment_intent_id = v_intent.id;
end;
$$;
comment on function begin_page_attempt is
'The payer has chosen how to pay: writes the attempt down before a gateway is asked. Chosen again, by a '
'second click: the same attempt. A page that is over, or was tried often enough, takes no new one. An '
'attempt whose gateway stayed silent, so that nobody saw its page, makes room for another gateway; where there '
'is none, asking the silent one again counts as a try of the page''s address.';
grant execute on function begin_page_attempt to munim_hasura;

create function require_open_page(p_page payment_pages) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_page.expires_at <= clock_now() then
        raise exception 'checkout-expired: this page is over since %', p_page.expires_at
            using errcode = '22B25';
    end if;
    perform require_attempt_left(p_page);
end;
$$;
comment on function require_open_page is 'Refuses a page that takes no new attempt. The intent is locked.';

create function require_attempt_left(p_page payment_pages) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if (
        select count(*) from payment_attempts
        where payment_intent_id = p_page.payment_intent_id and not is_in_suspense
    ) >= p_page.attempts_max then
        raise exception 'attempts-exhausted: % attempts are all that this page allows',
            p_page.attempts_max
            using errcode = '22B26';
    end if;
    if exists (
        select from payment_attempts
        where payment_intent_id = p_page.payment_intent_id and is_tried_out(payment_attempts)
    ) then
        raise exception 'attempts-exhausted: too many tries of this payment were declined'
            using errcode = '22B26';
    end if;
end;
$$;
comment on function require_attempt_left is
'Refuses one more attempt than the page of an order allows, whoever wants to begin it, and any after too many '
'declines on gateways'' pages. The intent is locked.';

revoke insert, update, delete, truncate on payment_pages, page_tries from public, munim_hasura;
