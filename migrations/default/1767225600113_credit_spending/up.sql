create table credit_spends (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    credits_amount numeric(20, 4) not null,
    credits_returned numeric(20, 4) not null default 0,
    description text not null,
    reference text,
    ledger_transaction_id uuid not null,
    created_at timestamptz not null default clock_now(),
    constraint credit_spend_stays_in_its_organization unique (id, organization_id, livemode),
    constraint credit_spend_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint credit_spend_is_booked
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint credit_spend_key_is_used_once
    unique (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint credit_spend_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint credit_spend_says_what_for check (
        length(description) between 1 and 500 and length(reference) between 1 and 255
    ),
    constraint credit_spend_uses_something check (credits_amount > 0),
    constraint no_more_comes_back_than_was_spent check (
        credits_returned between 0 and credits_amount
    )
);
comment on table credit_spends is 'Credits that a customer used, and what for.';
comment on column credit_spends.requested_by is
'user:<id>, or service. A key is this one''s own: two people at one till who choose the same words have '
'sold twice.';
comment on column credit_spends.reference is 'The shop''s own id of what was sold.';

create index credit_spends_by_customer on credit_spends (customer_id, created_at);
create index credit_spends_by_reference on credit_spends (reference) where reference is not null;

create table credit_spend_lots (
    organization_id uuid not null,
    livemode boolean not null,
    credit_spend_id uuid not null,
    credit_lot_id uuid not null,
    credits_amount numeric(20, 4) not null,
    credits_returned numeric(20, 4) not null default 0,
    amount bigint not null,
    amount_returned bigint not null default 0,
    primary key (credit_spend_id, credit_lot_id),
    constraint spent_credits_belong_to_their_spend
    foreign key (credit_spend_id, organization_id, livemode)
    references credit_spends (id, organization_id, livemode),
    constraint spent_credits_come_from_a_lot
    foreign key (credit_lot_id, organization_id, livemode)
    references credit_lots (id, organization_id, livemode),
    constraint a_lot_gives_something_to_a_spend check (credits_amount > 0 and amount >= 0),
    constraint no_more_comes_back_to_a_lot_than_it_gave check (
        credits_returned between 0 and credits_amount and amount_returned between 0 and amount
    )
);
comment on table credit_spend_lots is 'Which lots a spend used, and the revenue that made.';

create index credit_spend_lots_by_lot on credit_spend_lots (credit_lot_id);

create table credit_returns (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    credit_spend_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    credits_amount numeric(20, 4) not null,
    reason text not null,
    ledger_transaction_id uuid not null,
    created_at timestamptz not null default clock_now(),
    constraint credit_return_takes_a_spend_back
    foreign key (credit_spend_id, organization_id, livemode)
    references credit_spends (id, organization_id, livemode),
    constraint credit_return_is_booked
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint credit_return_key_is_used_once
    unique (credit_spend_id, idempotency_key, requested_by),
    constraint credit_return_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint credit_return_has_a_reason check (length(reason) between 1 and 500),
    constraint credit_return_gives_something check (credits_amount > 0)
);
comment on table credit_returns is 'A spend that is taken back, whole or in part, into its own lots.';
comment on column credit_returns.requested_by is 'user:<id>, or service. A key is this one''s own.';

create view credit_wallets as
select
    ledger_accounts.id,
    ledger_accounts.organization_id,
    ledger_accounts.livemode,
    ledger_accounts.customer_id,
    major_units(-ledger_accounts.balance, 'XCR')::numeric(20, 4) as balance,
    ledger_accounts.status,
    coalesce((
        select sum(credit_lots.remaining - credit_lots.held)
        from credit_lots
        where credit_lots.customer_id = ledger_accounts.customer_id
            and credit_lots.remaining > credit_lots.held
            and (credit_lots.expires_at > clock_now() or credit_lots.expires_at is null)
    ), 0)::numeric(20, 4) as available
from ledger_accounts
where ledger_accounts.currency = 'XCR' and ledger_accounts.customer_id is not null;
comment on view credit_wallets is
'A customer''s credits: their ledger account in XCR, read as credits. available is what can be spent '
'now: the balance without what refunds on their way hold, and without what has expired.';

create view credit_entries as
select
    ledger_entries.ledger_transaction_id as id,
    ledger_entries.organization_id,
    ledger_entries.livemode,
    ledger_accounts.customer_id,
    ledger_transactions.kind,
    ledger_transactions.reference_type,
    ledger_transactions.reference_id,
    coalesce(credit_spends.reference, returned_spends.reference) as reference,
    coalesce(credit_spends.description, credit_returns.reason, credit_grants.reason) as description,
    major_units(-ledger_entries.amount, 'XCR')::numeric(20, 4) as amount,
    major_units(-ledger_entries.balance_after, 'XCR')::numeric(20, 4) as balance_after,
    ledger_transactions.occurred_at,
    ledger_entries.created_at
from ledger_entries
inner join ledger_accounts on ledger_accounts.id = ledger_entries.ledger_account_id
inner join ledger_transactions on ledger_transactions.id = ledger_entries.ledger_transaction_id
left join credit_spends
    on credit_spends.id = ledger_transactions.reference_id
    and ledger_transactions.reference_type = 'credit_spend'
left join credit_returns
    on credit_returns.id = ledger_transactions.reference_id
    and ledger_transactions.reference_type = 'credit_return'
left join credit_spends as returned_spends on returned_spends.id = credit_returns.credit_spend_id
left join credit_grants
    on credit_grants.id = ledger_transactions.reference_id
    and ledger_transactions.reference_type = 'credit_grant'
where ledger_accounts.currency = 'XCR' and ledger_accounts.customer_id is not null;
comment on view credit_entries is
'The history of the wallets, in the order of created_at: credits in are positive, out negative.';

create type credit_part as (
    credit_lot_id uuid,
    is_bought boolean,
    credits numeric,
    amount bigint,
    currency text
);

create function take_credits(p_lot credit_lots, p_credits numeric, p_is_expiry boolean)
returns credit_part
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_left numeric := p_lot.remaining - p_lot.held - p_credits;
    v_earned bigint := greatest(p_lot.amount_remaining - credit_lot_value(p_lot, v_left), 0);
begin
    update credit_lots
    set
        remaining = remaining - p_credits,
        used = used + case when p_is_expiry then 0 else p_credits end,
        expired = expired + case when p_is_expiry then p_credits else 0 end,
        expiries = expiries + p_is_expiry::integer,
        amount_remaining = amount_remaining - v_earned,
        amount_earned = amount_earned + v_earned
    where id = p_lot.id;
    return (
        p_lot.id, p_lot.credit_purchase_id is not null, p_credits, v_earned, p_lot.currency
    )::credit_part;
end;
$$;
comment on function take_credits is
'Credits leave a lot that is locked, and earn what it owes less for having fewer: with the last of '
'the credits, the last of the money.';

create function credit_part_postings(
    p_customer customers,
    p_parts credit_part[],
    p_sign integer,
    p_revenue_code text,
    p_fact ledger_posting
) returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_wallet constant uuid := credit_wallet(p_customer);
    v_issued uuid;
    v_granted uuid;
    v_credits numeric;
    v_given numeric;
    v_money record;
    v_postings ledger_posting[] := '{}';
begin
    select sum(credits), coalesce(sum(credits) filter (where not is_bought), 0)
    into v_credits, v_given
    from unnest(p_parts);
    if v_credits > v_given then
        v_issued := ledger_account(
            p_customer.organization_id, p_customer.livemode, 'credits_issued', 'asset', 'XCR',
            p_fact.reference_id
        );
    end if;
    if v_given > 0 then
        v_granted := ledger_account(
            p_customer.organization_id, p_customer.livemode, 'credits_granted', 'expense', 'XCR',
            p_fact.reference_id
        );
    end if;

    -- One transaction for the wallet, whose history its customer reads; given credits among bought ones
    -- then go from the one origin to the other.
    v_postings := v_postings || ledger_movement(
        p_fact, null, v_wallet, coalesce(v_issued, v_granted),
        (p_sign * v_credits * 10000)::bigint
    ) || ledger_movement(
        p_fact, 'granted', v_issued, v_granted,
        case when v_issued is not null then p_sign * v_given * 10000 end::bigint
    );
    for v_money in
        select currency, sum(amount) as amount
        from unnest(p_parts)
        where amount <> 0
        group by currency
        order by currency
    loop
        v_postings := v_postings || ledger_movement(
            p_fact, 'earned:' || v_money.currency,
            ledger_account(
                p_customer.organization_id, p_customer.livemode, 'prepaid_credits', 'liability',
                v_money.currency, p_fact.reference_id
            ),
            ledger_account(
                p_customer.organization_id, p_customer.livemode, p_revenue_code, 'revenue',
                v_money.currency, p_fact.reference_id
            ),
            (p_sign * v_money.amount)::bigint
        );
    end loop;
    return array_remove(v_postings, null);
end;
$$;
comment on function credit_part_postings is
'What taking parts of lots books (sign 1), or giving them back (sign -1): credits out of the wallet to '
'where they came from, and their money from owed to earned.';

create function spending_customer(
    p_session json, p_customer_id uuid, p_roles text[]
) returns customers
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
begin
    perform require_actor_role(p_session, p_roles);
    perform require_read_committed();
    select * into v_customer
    from customers
    where id = p_customer_id
        and organization_id::text = p_session ->> 'x-hasura-organization-id'
        and livemode::text = p_session ->> 'x-hasura-livemode'
        and status = 'active'
    for no key update;

    if v_customer.id is null then
        raise exception 'customer-not-found: no active customer % of this organisation', p_customer_id
            using errcode = '22B01';
    end if;
    return v_customer;
end;
$$;
comment on function spending_customer is
'Locks a customer of the session''s organisation, on whose behalf it acts: of two requests about one '
'customer, the second waits and finds what the first has done.';

create function check_credits_amount(p_amount numeric, p_maximum numeric) returns void
language plpgsql immutable
set search_path = public, pg_temp
as $$
begin
    if p_amount is null or not p_amount between 0.0001 and p_maximum
        or p_amount <> trunc(p_amount, 4)
    then
        raise exception 'amount-out-of-range: % is not between 0.0001 and % credits of four decimals',
            p_amount, trim_scale(p_maximum)
            using errcode = '22B07';
    end if;
end;
$$;
comment on function check_credits_amount is 'Refuses what is no number of credits.';

create function spendable_lots(p_customer_id uuid) returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return array(
        select id
        from credit_lots
        where customer_id = p_customer_id and remaining > held
            and (expires_at > clock_now() or expires_at is null)
        order by expires_at asc nulls last, id
        for no key update
    );
end;
$$;
comment on function spendable_lots is
'Locks what a customer can spend, in the order of spending: what expires first is used first.';

create function take_credits_oldest_first(p_customer customers, p_amount numeric)
returns credit_part[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[] := spendable_lots(p_customer.id);
    v_lot credit_lots;
    v_left numeric := p_amount;
    v_balance numeric;
    v_parts credit_part[] := '{}';
begin
    select coalesce(sum(remaining - held), 0) into v_balance from credit_lots where id = any(v_ids);
    if v_balance < p_amount then
        raise exception 'insufficient-credits: balance % is below %',
            trim_scale(v_balance), trim_scale(p_amount)
            using errcode = '22B13';
    end if;

    for v_lot in
        select * from credit_lots
        where id = any(v_ids) and remaining > held
        order by expires_at asc nulls last, id
    loop
        exit when v_left = 0;
        v_parts := v_parts
            || take_credits(v_lot, least(v_left, v_lot.remaining - v_lot.held), false);
        v_left := v_left - (v_parts[cardinality(v_parts)]).credits;
    end loop;
    return v_parts;
end;
$$;
comment on function take_credits_oldest_first is 'All of the amount, or a refusal.';

create function write_credit_spend(
    p_customer customers,
    p_amount numeric,
    p_key text,
    p_requested_by text,
    p_description text,
    p_reference text
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
    v_parts credit_part[] := take_credits_oldest_first(p_customer, p_amount);
begin
    insert into credit_spends (
        id, organization_id, livemode, customer_id, idempotency_key, requested_by, credits_amount,
        description, reference, ledger_transaction_id
    )
    values (
        v_id, p_customer.organization_id, p_customer.livemode, p_customer.id, p_key,
        p_requested_by, p_amount, p_description, p_reference,
        post_ledger_fact(p_customer.organization_id, p_customer.livemode, credit_part_postings(
            p_customer, v_parts, 1, 'credit_revenue',
            (
                'spend:' || v_id, 'credit_spend', 'credit_spend', v_id, clock_now(), null, null, null
            )::ledger_posting
        ))
    );

    insert into credit_spend_lots (
        organization_id, livemode, credit_spend_id, credit_lot_id, credits_amount, amount
    )
    select p_customer.organization_id, p_customer.livemode, v_id, credit_lot_id, credits, amount
    from unnest(v_parts);

    perform record_event(
        p_customer.organization_id, p_customer.livemode, 'credits.spent', 'credit_spend', v_id,
        jsonb_build_object(
            'credit_spend_id', v_id, 'customer_id', p_customer.id, 'credits_amount', p_amount,
            'description', p_description, 'reference', p_reference
        )
    );
end;
$$;
comment on function write_credit_spend is 'Takes credits from the lots, books it, tells the world.';

create function spend_credits(
    hasura_session json,
    p_customer_id uuid,
    p_amount numeric,
    p_key text,
    p_description text,
    p_reference text
) returns setof credit_spends
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_customer customers := spending_customer(
        hasura_session, p_customer_id, array['service', 'owner', 'dispatcher']
    );
    v_principal constant text := acting_principal(hasura_session);
    v_spend credit_spends;
begin
    select * into v_spend
    from credit_spends
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;

    if v_spend.id is null then
        perform check_credits_amount(p_amount, 1000000000000);
        perform write_credit_spend(
            v_customer, p_amount, p_key, v_principal, p_description, p_reference
        );
    elsif (v_spend.credits_amount, v_spend.description, v_spend.reference)
        is distinct from (p_amount, p_description, p_reference)
    then
        raise exception 'idempotency-key-reused: the key belongs to a spend with other content'
            using errcode = '22B08';
    end if;
    return query
    select * from credit_spends
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;
end;
$$;
comment on function spend_credits is
'A customer uses credits; the shop says so on their behalf. Once per key of whoever asks, never below '
'zero.';
grant execute on function spend_credits to munim_hasura;

create function write_credit_grant(
    p_customer customers,
    p_amount numeric,
    p_key text,
    p_requested_by text,
    p_reason text,
    p_expires_at timestamptz
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
    v_days integer := credits_expire_after_days(p_customer.organization_id);
    v_expires_at timestamptz := coalesce(p_expires_at, clock_now() + make_interval(days => v_days));
begin
    insert into credit_grants (
        id, organization_id, livemode, customer_id, idempotency_key, requested_by, credits_amount,
        reason, expires_at, ledger_transaction_id
    )
    values (
        v_id, p_customer.organization_id, p_customer.livemode, p_customer.id, p_key,
        p_requested_by, p_amount, p_reason, p_expires_at,
        post_ledger_fact(p_customer.organization_id, p_customer.livemode, array[
            credit_posting(
                p_customer, 'credits_granted', p_amount, v_id, 'credit_grant', 'credit_grant',
                v_id, clock_now()
            )
        ])
    );

    insert into credit_lots (
        organization_id, livemode, customer_id, credit_grant_id, granted, remaining, expires_at,
        announce_at
    )
    values (
        p_customer.organization_id, p_customer.livemode, p_customer.id, v_id, p_amount, p_amount,
        v_expires_at, expiry_notice_at(v_expires_at)
    );

    perform record_event(
        p_customer.organization_id, p_customer.livemode, 'credits.granted', 'credit_grant', v_id,
        jsonb_build_object(
            'credit_grant_id', v_id, 'customer_id', p_customer.id, 'credits_amount', p_amount,
            'reason', p_reason
        )
    );
end;
$$;
comment on function write_credit_grant is 'Books a gift and puts it into a lot of its own.';

create function grant_credits(
    hasura_session json,
    p_customer_id uuid,
    p_amount numeric,
    p_key text,
    p_reason text,
    p_expires_at timestamptz
) returns setof credit_grants
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_customer customers := spending_customer(
        hasura_session, p_customer_id, array['owner', 'finance']
    );
    v_principal constant text := acting_principal(hasura_session);
    v_grant credit_grants;
begin
    select * into v_grant
    from credit_grants
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;

    if v_grant.id is not null then
        if (v_grant.credits_amount, v_grant.reason, v_grant.expires_at)
            is distinct from (p_amount, p_reason, p_expires_at)
        then
            raise exception 'idempotency-key-reused: the key belongs to a grant with other content'
                using errcode = '22B08';
        end if;
        return next v_grant;
        return;
    end if;

    perform check_credits_amount(p_amount, 1000000000000);
    if p_expires_at <= clock_now() then
        raise exception 'setting-invalid: credits that expire at % would be gone at once', p_expires_at
            using errcode = '22B05';
    end if;
    perform write_credit_grant(
        v_customer, p_amount, p_key, v_principal, p_reason, p_expires_at
    );
    return query
    select * from credit_grants
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;
end;
$$;
comment on function grant_credits is
'Credits without a payment, once per key of whoever asks. Without a time of their own they expire as '
'bought ones do.';
grant execute on function grant_credits to munim_hasura;

create function returnable_credits(p_credit_spend_id uuid) returns setof credit_spend_lots
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    return query
    select credit_spend_lots.*
    from credit_spend_lots
    inner join credit_lots on credit_lots.id = credit_spend_lots.credit_lot_id
    where credit_spend_lots.credit_spend_id = p_credit_spend_id
        and credit_spend_lots.credits_returned < credit_spend_lots.credits_amount
        and not exists (
            select from credit_recalls
            where credit_recalls.credit_lot_id = credit_spend_lots.credit_lot_id
                and credit_recalls.status in ('held', 'taken') and credit_recalls.lost_amount > 0
        )
        -- Of a refund that was given up and made after all the credits were free again.
        and not exists (
            select from credit_recalls
            inner join refunds on refunds.id = credit_recalls.refund_id
            where credit_recalls.credit_lot_id = credit_spend_lots.credit_lot_id
                and refunds.is_late and refunds.status not in ('failed', 'canceled')
        )
    order by credit_lots.expires_at desc nulls first, credit_lots.id desc;
end;
$$;
comment on function returnable_credits is
'What of a spend may come back, what stays longest first. Not what was paid back in money although it '
'was used, or could be: it would be given twice.';

create function give_credits_back(p_line credit_spend_lots, p_credits numeric) returns credit_part
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_amount bigint := div(
        p_line.amount * (p_line.credits_returned + p_credits) * 10000, p_line.credits_amount * 10000
    ) - p_line.amount_returned;
    v_part credit_part;
begin
    update credit_spend_lots
    set
        credits_returned = credits_returned + p_credits,
        amount_returned = amount_returned + v_amount
    where credit_spend_id = p_line.credit_spend_id and credit_lot_id = p_line.credit_lot_id;

    update credit_lots
    set
        remaining = remaining + p_credits, used = used - p_credits,
        amount_remaining = amount_remaining + v_amount, amount_earned = amount_earned - v_amount
    where id = p_line.credit_lot_id
    returning id, credit_purchase_id is not null, p_credits, v_amount, currency into strict v_part;
    return v_part;
end;
$$;
comment on function give_credits_back is
'Credits of a spend come back to one of its lots, and the lot owes again the share that they earned.';

create function give_spend_back(p_spend credit_spends, p_amount numeric) returns credit_part[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_line credit_spend_lots;
    v_returnable numeric;
    v_left numeric;
    v_parts credit_part[] := '{}';
begin
    perform from credit_lots
    where id in (select credit_lot_id from credit_spend_lots where credit_spend_id = p_spend.id)
    order by expires_at asc nulls last, id
    for no key update;

    select coalesce(sum(credits_amount - credits_returned), 0) into v_returnable
    from returnable_credits(p_spend.id);
    v_left := coalesce(p_amount, v_returnable);
    perform check_credits_amount(v_left, v_returnable);

    for v_line in select * from returnable_credits(p_spend.id) loop
        exit when v_left = 0;
        v_parts := v_parts
            || give_credits_back(v_line, least(v_left, v_line.credits_amount - v_line.credits_returned));
        v_left := v_left - (v_parts[cardinality(v_parts)]).credits;
    end loop;
    return v_parts;
end;
$$;
comment on function give_spend_back is 'An amount of a spend comes back, all that may when it is null.';

create function write_credit_return(
    p_spend credit_spends, p_amount numeric, p_key text, p_requested_by text, p_reason text
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
    v_customer customers;
    v_parts credit_part[] := give_spend_back(p_spend, p_amount);
    v_credits numeric;
begin
    select sum(credits) into v_credits from unnest(v_parts);
    select * into strict v_customer from customers where id = p_spend.customer_id;
    update credit_spends set credits_returned = credits_returned + v_credits where id = p_spend.id;

    insert into credit_returns (
        id, organization_id, livemode, credit_spend_id, idempotency_key, requested_by,
        credits_amount, reason, ledger_transaction_id
    )
    values (
        v_id, p_spend.organization_id, p_spend.livemode, p_spend.id, p_key, p_requested_by,
        v_credits, p_reason,
        post_ledger_fact(p_spend.organization_id, p_spend.livemode, credit_part_postings(
            v_customer, v_parts, -1, 'credit_revenue',
            (
                'spend-return:' || v_id, 'credit_return', 'credit_return', v_id, clock_now(), null,
                null, null
            )::ledger_posting
        ))
    );

    perform record_event(
        p_spend.organization_id, p_spend.livemode, 'credits.returned', 'credit_spend', p_spend.id,
        jsonb_build_object(
            'credit_return_id', v_id, 'credit_spend_id', p_spend.id,
            'customer_id', p_spend.customer_id, 'credits_amount', v_credits, 'reason', p_reason
        )
    );
end;
$$;
comment on function write_credit_return is 'Puts credits of a spend back, books it, tells the world.';

create function return_credits(
    hasura_session json,
    p_credit_spend_id uuid,
    p_amount numeric,
    p_key text,
    p_reason text
) returns setof credit_returns
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_principal constant text := acting_principal(hasura_session);
    v_spend credit_spends;
    v_return credit_returns;
begin
    perform require_actor_role(
        hasura_session, array['service', 'owner', 'dispatcher', 'finance']
    );
    perform require_read_committed();
    select * into v_spend
    from credit_spends
    where id = p_credit_spend_id
        and organization_id::text = hasura_session ->> 'x-hasura-organization-id'
        and livemode::text = hasura_session ->> 'x-hasura-livemode';
    if v_spend.id is null then
        raise exception 'not-found: no spend % of this organisation', p_credit_spend_id
            using errcode = '22B04';
    end if;
    perform from customers where id = v_spend.customer_id for no key update;
    perform from credit_spends where id = v_spend.id for no key update;

    select * into v_return
    from credit_returns
    where credit_spend_id = v_spend.id and idempotency_key = p_key and requested_by = v_principal;
    if v_return.id is null then
        perform write_credit_return(v_spend, p_amount, p_key, v_principal, p_reason);
    elsif (coalesce(p_amount, v_return.credits_amount), p_reason)
        is distinct from (v_return.credits_amount, v_return.reason)
    then
        raise exception 'idempotency-key-reused: the key belongs to a return with other content'
            using errcode = '22B08';
    end if;
    return query
    select * from credit_returns
    where credit_spend_id = v_spend.id and idempotency_key = p_key and requested_by = v_principal;
end;
$$;
comment on function return_credits is
'Takes a spend back, whole (no amount) or in part, once per key of whoever asks: the credits go to the '
'lots they came from, with the day on which those expire.';
grant execute on function return_credits to munim_hasura;

create function due_credit_lots(p_livemode boolean, p_limit integer) returns setof credit_lots
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_organization_id uuid;
begin
    -- One organisation at a time: its ledger accounts are locked in one call, in one order.
    select organization_id into v_organization_id
    from credit_lots
    where remaining > held and expires_at <= clock_now() and livemode = p_livemode
    order by expires_at, id
    limit 1;
    if v_organization_id is not null then
        return query
        select * from credit_lots
        where remaining > held and expires_at <= clock_now() and livemode = p_livemode
            and organization_id = v_organization_id
        order by expires_at, id
        limit p_limit
        for no key update skip locked;
        return;
    end if;

    -- Money for no credits: a refund of less than the smallest part of a credit failed after all.
    select organization_id into v_organization_id
    from credit_lots
    where remaining = 0 and amount_remaining > 0 and livemode = p_livemode
    order by id
    limit 1;
    return query
    select * from credit_lots
    where remaining = 0 and amount_remaining > 0 and livemode = p_livemode
        and organization_id = v_organization_id
    order by expires_at asc nulls last, id
    limit p_limit
    for no key update skip locked;
end;
$$;
comment on function due_credit_lots is
'Locks lots of one organisation that have expired, the oldest first, without waiting for anybody.';

create function expire_credits(hasura_session json, p_limit integer) returns setof credit_lots
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_lot credit_lots;
    v_lots credit_lots[];
    v_customer customers;
    v_part credit_part;
    v_postings ledger_posting[] := '{}';
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_lots := array(
        select due from due_credit_lots((hasura_session ->> 'x-hasura-livemode')::boolean, p_limit) as due
    );

    foreach v_lot in array v_lots loop
        select * into strict v_customer from customers where id = v_lot.customer_id;
        v_part := take_credits(v_lot, v_lot.remaining - v_lot.held, true);
        v_postings := v_postings || credit_part_postings(
            v_customer, array[v_part], 1, 'credit_breakage',
            (
                format('expiry:%s:%s', v_lot.id, v_lot.expiries + 1), 'credit_expiry', 'credit_lot',
                v_lot.id, clock_now(), null, null, null
            )::ledger_posting
        );
        perform record_event(
            v_lot.organization_id, v_lot.livemode, 'credits.expired', 'credit_lot', v_lot.id,
            jsonb_build_object(
                'credit_lot_id', v_lot.id, 'customer_id', v_lot.customer_id,
                'credits_amount', v_part.credits, 'expires_at', v_lot.expires_at
            )
        );
    end loop;

    if cardinality(v_postings) > 0 then
        perform post_ledger_transactions(v_lot.organization_id, v_lot.livemode, v_postings);
    end if;
    return query
    select * from credit_lots where id in (select lot.id from unnest(v_lots) as lot);
end;
$$;
comment on function expire_credits is
'Takes expired credits out of the wallets, a batch of lots at a time; what was paid for them is '
'breakage. Answers the lots; none when nothing is due.';
grant execute on function expire_credits to munim_hasura;

create function announce_expiring_credits(hasura_session json, p_limit integer)
returns setof credit_lots
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_lot credit_lots;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    for v_lot in
        update credit_lots
        set expiry_announced_at = clock_now(), announce_at = null
        where id = any(array(
            select id
            from credit_lots
            where remaining > held and announce_at <= clock_now() and expires_at > clock_now()
                and livemode::text = hasura_session ->> 'x-hasura-livemode'
            order by announce_at, id
            limit p_limit
            for no key update skip locked
        ))
        returning *
    loop
        perform record_event(
            v_lot.organization_id, v_lot.livemode, 'credits.expiring', 'credit_lot', v_lot.id,
            jsonb_build_object(
                'credit_lot_id', v_lot.id, 'customer_id', v_lot.customer_id,
                'credits_amount', v_lot.remaining - v_lot.held, 'expires_at', v_lot.expires_at
            )
        );
        return next v_lot;
    end loop;
end;
$$;
comment on function announce_expiring_credits is
'Says once of each lot, seven days before, that what is left of it will expire.';
grant execute on function announce_expiring_credits to munim_hasura;

revoke insert, update, delete, truncate
on credit_spends, credit_spend_lots, credit_returns from public, munim_hasura;
