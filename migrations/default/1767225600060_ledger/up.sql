create table ledger_accounts (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    code text not null,
    account_type text not null,
    currency text not null references currencies (code),
    customer_id uuid,
    balance bigint not null default 0,
    may_overdraw boolean not null default true,
    status text not null default 'active',
    created_at timestamptz not null default clock_now(),
    constraint ledger_account_stays_in_its_organization
    unique (organization_id, livemode, id, currency),
    constraint ledger_account_code_is_taken_once
    unique (organization_id, livemode, code, currency),
    constraint ledger_account_belongs_to_a_customer
    foreign key (organization_id, livemode, customer_id)
    references customers (organization_id, livemode, id),
    constraint ledger_account_code_is_readable check (code ~ '^[a-z0-9_]+(:[a-z0-9_-]+)*$'),
    constraint ledger_account_type_is_known check (
        account_type in ('asset', 'liability', 'equity', 'revenue', 'expense')
    ),
    constraint ledger_account_is_not_overdrawn check (
        may_overdraw
        or case when account_type in ('asset', 'expense') then balance >= 0 else balance <= 0 end
    ),
    constraint ledger_account_status_is_known check (status in ('active', 'closed'))
);
comment on table ledger_accounts is 'One balance in one currency. docs/ledger.md has the chart.';
comment on column ledger_accounts.balance is
'Sum of the account''s entries in minor units: debits are positive, credits negative.';
comment on column ledger_accounts.may_overdraw is
'False where the balance may never pass to the wrong side of zero, as in a customer''s wallet.';

create index ledger_accounts_by_customer on ledger_accounts (customer_id)
where customer_id is not null;

create table ledger_transactions (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    key text not null,
    kind text not null,
    reference_type text not null,
    reference_id uuid not null,
    occurred_at timestamptz not null,
    created_at timestamptz not null default clock_now(),
    constraint ledger_transaction_stays_in_its_organization unique (organization_id, livemode, id),
    constraint ledger_fact_is_booked_once unique (organization_id, livemode, key),
    constraint ledger_key_names_a_fact check (length(key) between 3 and 200)
);
comment on table ledger_transactions is 'One booked fact. Append-only.';
comment on column ledger_transactions.key is 'The fact in words and ids, as in capture:<attempt id>.';
comment on column ledger_transactions.occurred_at is
'When the fact happened in the world; created_at is when it was booked.';

create index ledger_transactions_by_reference on ledger_transactions (reference_type, reference_id);

create table ledger_entries (
    id bigint generated always as identity primary key,
    organization_id uuid not null,
    livemode boolean not null,
    ledger_transaction_id uuid not null,
    ledger_account_id uuid not null,
    currency text not null,
    amount bigint not null,
    entry_type text
    generated always as (case when amount > 0 then 'debit' else 'credit' end) stored,
    balance_after bigint not null,
    created_at timestamptz not null default clock_now(),
    constraint ledger_entry_belongs_to_its_transaction
    foreign key (organization_id, livemode, ledger_transaction_id)
    references ledger_transactions (organization_id, livemode, id),
    constraint ledger_entry_belongs_to_its_account
    foreign key (organization_id, livemode, ledger_account_id, currency)
    references ledger_accounts (organization_id, livemode, id, currency),
    constraint ledger_entry_moves_something check (amount <> 0)
);
comment on table ledger_entries is 'One leg of a transaction. Append-only.';
comment on column ledger_entries.id is
'Rises in booking order within an account, since its row is locked while it is booked.';
comment on column ledger_entries.amount is 'Minor units: a debit is positive, a credit negative.';
comment on column ledger_entries.balance_after is 'The account''s balance once this entry was booked.';

create index ledger_entries_by_transaction on ledger_entries (ledger_transaction_id);
create index ledger_entries_by_account on ledger_entries (ledger_account_id, id);

create function check_ledger_transaction() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_transaction_id uuid := case tg_table_name
        when 'ledger_entries' then (to_jsonb(new) ->> 'ledger_transaction_id')::uuid
        else (to_jsonb(new) ->> 'id')::uuid
    end;
    v_unbalanced text;
begin
    select string_agg(currency, ', ') into v_unbalanced
    from (
        select currency
        from ledger_entries
        where ledger_transaction_id = v_transaction_id
        group by currency
        having sum(amount) <> 0
    ) as sums;

    if v_unbalanced is not null then
        raise exception 'ledger transaction % does not balance in %',
            v_transaction_id, v_unbalanced
            using errcode = 'assert_failure';
    end if;
    if not exists (
        select from ledger_entries where ledger_transaction_id = v_transaction_id
    ) then
        raise exception 'ledger transaction % has no entries', v_transaction_id
            using errcode = 'assert_failure';
    end if;
    return null;
end;
$$;
comment on function check_ledger_transaction is
'At commit, whoever wrote: per currency the entries of a transaction sum to zero.';

create constraint trigger ledger_transaction_balances
after insert on ledger_entries
deferrable initially deferred
for each row execute function check_ledger_transaction();

create constraint trigger ledger_transaction_is_not_empty
after insert on ledger_transactions
deferrable initially deferred
for each row execute function check_ledger_transaction();

create function refuse_to_rewrite_history() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    raise exception '% is append-only: book a correcting transaction instead', tg_table_name
        using errcode = 'insufficient_privilege';
end;
$$;
comment on function refuse_to_rewrite_history is 'Stops UPDATE, DELETE and TRUNCATE, the owner''s too.';

create trigger ledger_transactions_are_append_only
before update or delete or truncate on ledger_transactions
for each statement execute function refuse_to_rewrite_history();

create trigger ledger_entries_are_append_only
before update or delete or truncate on ledger_entries
for each statement execute function refuse_to_rewrite_history();

create function keep_ledger_account() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if (to_jsonb(new) - 'balance' - 'status') is distinct from (to_jsonb(old) - 'balance' - 'status')
    then
        raise exception 'ledger account % never changes but in balance and status', old.id
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end;
$$;
comment on function keep_ledger_account is 'Only the balance and the status of an account change.';

create trigger ledger_account_is_kept
before update on ledger_accounts
for each row execute function keep_ledger_account();

create trigger ledger_accounts_stay
before delete or truncate on ledger_accounts
for each statement execute function refuse_to_rewrite_history();

create function ledger_account(
    p_organization_id uuid,
    p_livemode boolean,
    p_code text,
    p_account_type text,
    p_currency text
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_account ledger_accounts;
begin
    select * into v_account
    from ledger_accounts
    where organization_id = p_organization_id and livemode = p_livemode
        and code = p_code and currency = p_currency;

    if v_account.id is null then
        insert into ledger_accounts (organization_id, livemode, code, account_type, currency)
        values (p_organization_id, p_livemode, p_code, p_account_type, p_currency)
        on conflict on constraint ledger_account_code_is_taken_once do nothing;

        select * into strict v_account
        from ledger_accounts
        where organization_id = p_organization_id and livemode = p_livemode
            and code = p_code and currency = p_currency;
    end if;
    if v_account.account_type <> p_account_type then
        raise exception 'ledger account % is % and not %', p_code, v_account.account_type, p_account_type
            using errcode = 'assert_failure';
    end if;
    return v_account.id;
end;
$$;
comment on function ledger_account is 'The account of this code, opened at its first use.';

create type ledger_line as (ledger_account_id uuid, amount bigint);

create function booked_ledger_transaction(
    p_organization_id uuid, p_livemode boolean, p_key text, p_lines ledger_line[]
) returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
    v_booked ledger_line[];
begin
    select ledger_transactions.id into strict v_id
    from ledger_transactions
    where organization_id = p_organization_id and livemode = p_livemode and key = p_key;

    select array_agg((ledger_account_id, amount)::ledger_line order by id) into v_booked
    from ledger_entries
    where ledger_transaction_id = v_id;

    if v_booked is distinct from p_lines then
        raise exception 'ledger-key-reused: % is booked with other entries', p_key
            using errcode = '22B02';
    end if;
    return v_id;
end;
$$;
comment on function booked_ledger_transaction is 'The same fact booked before; refuses another fact.';

create function post_ledger_transaction(
    p_organization_id uuid,
    p_livemode boolean,
    p_key text,
    p_kind text,
    p_reference_type text,
    p_reference_id uuid,
    p_occurred_at timestamptz,
    p_lines ledger_line[]
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
    v_entries bigint;
begin
    perform require_read_committed();

    insert into ledger_transactions (
        organization_id, livemode, key, kind, reference_type, reference_id, occurred_at
    )
    values (
        p_organization_id, p_livemode, p_key, p_kind, p_reference_type, p_reference_id,
        p_occurred_at
    )
    on conflict on constraint ledger_fact_is_booked_once do nothing
    returning id into v_id;

    if v_id is null then
        return booked_ledger_transaction(p_organization_id, p_livemode, p_key, p_lines);
    end if;

    -- Locks are taken in id order, so two postings may wait for each other but never deadlock.
    perform from ledger_accounts
    where id in (select ledger_account_id from unnest(p_lines))
    order by id for no key update;

    v_entries := write_ledger_entries(p_organization_id, p_livemode, v_id, p_lines);
    if v_entries <> cardinality(p_lines) or v_entries < 2 then
        raise exception 'ledger transaction % names an account that is not open here', p_key
            using errcode = 'assert_failure';
    end if;
    return v_id;
end;
$$;
comment on function post_ledger_transaction is
'The only way to book: once per key, and the same id when it is called again with the same lines.';

create function write_ledger_entries(
    p_organization_id uuid,
    p_livemode boolean,
    p_ledger_transaction_id uuid,
    p_lines ledger_line[]
) returns bigint
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_entries bigint;
begin
    insert into ledger_entries (
        organization_id, livemode, ledger_transaction_id, ledger_account_id, currency,
        amount, balance_after
    )
    select
        p_organization_id, p_livemode, p_ledger_transaction_id, account.id, account.currency,
        line.amount,
        account.balance + sum(line.amount) over (partition by account.id order by line.position)
    from unnest(p_lines) with ordinality as line (ledger_account_id, amount, position)
    inner join ledger_accounts as account on account.id = line.ledger_account_id
    where account.organization_id = p_organization_id and account.livemode = p_livemode
        and account.status = 'active'
    order by line.position;
    get diagnostics v_entries = row_count;

    update ledger_accounts
    set balance = ledger_accounts.balance + line.amount
    from (
        select ledger_account_id, sum(amount) as amount
        from unnest(p_lines)
        group by ledger_account_id
    ) as line
    where ledger_accounts.id = line.ledger_account_id;
    return v_entries;
end;
$$;
comment on function write_ledger_entries is 'The second half of posting; the accounts are locked.';

-- Only the functions above, which run as the owner, write these tables.
revoke insert, update, delete, truncate
on ledger_accounts, ledger_transactions, ledger_entries from public, munim_hasura;
