create table ledger_accounts (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    code text not null,
    part smallint not null default 0,
    account_type text not null,
    currency text not null references currencies (code),
    customer_id uuid,
    balance bigint not null default 0,
    held bigint not null default 0,
    last_entry_at timestamptz not null default '-infinity',
    minimum bigint,
    maximum bigint,
    status text not null default 'active',
    created_at timestamptz not null default clock_now(),
    constraint ledger_account_stays_in_its_organization
    unique (id, organization_id, livemode, currency),
    constraint ledger_account_code_is_taken_once
    unique (code, part, organization_id, livemode, currency),
    constraint ledger_account_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    -- Postgres looks at every CHECK at every change of a row, and these rows change all the time:
    -- there is this one, and what never changes is checked when an account is opened.
    constraint ledger_account_stays_within_its_bounds check (
        held >= 0 and balance - held >= minimum and balance + held <= maximum
    )
);
comment on table ledger_accounts is 'One balance in one currency. docs/ledger.md has the chart.';
comment on column ledger_accounts.balance is
'Sum of the account''s entries in minor units: debits are positive, credits negative.';
comment on column ledger_accounts.part is
'An account that a whole organisation shares is kept in 16 parts, so that postings seldom wait for '
'each other; view ledger_balances sums them.';
comment on column ledger_accounts.held is 'Sum of the account''s open holds: spoken for, not yet moved.';
comment on column ledger_accounts.minimum is
'The balance, less what is held, never falls below it; null where there is no bound.';
comment on column ledger_accounts.maximum is
'The balance, with what is held, never rises above it: zero for a wallet, whose credits are negative. '
'Null where there is no bound.';

create function check_ledger_account() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if new.account_type not in ('asset', 'liability', 'equity', 'revenue', 'expense')
        or new.status not in ('active', 'closed')
        or new.part not between 0 and 15
        or new.code !~ '^[a-z0-9_]+(:[a-z0-9_-]+)*$'
    then
        raise exception 'ledger account % is not one: type %, part %, status %',
            new.code, new.account_type, new.part, new.status
            using errcode = 'check_violation';
    end if;
    return new;
end;
$$;
comment on function check_ledger_account is 'What a CHECK would say of columns that seldom change.';

create trigger ledger_account_is_one
before insert or update of status on ledger_accounts
for each row execute function check_ledger_account();

create index ledger_accounts_by_customer on ledger_accounts (customer_id)
where customer_id is not null;

create table ledger_transactions (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,  -- its entries' accounts are of an organisation that exists
    livemode boolean not null,
    key text not null,
    kind text not null,
    reference_type text not null,
    reference_id uuid not null,
    reverses_id uuid,
    occurred_at timestamptz not null,
    created_at timestamptz not null default clock_now(),
    written_in bigint not null default (pg_current_xact_id()::text)::bigint,
    constraint ledger_transaction_stays_in_its_organization unique (id, organization_id, livemode),
    constraint ledger_fact_is_booked_once unique (key, organization_id, livemode),
    constraint ledger_transaction_reverses_its_own
    foreign key (reverses_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode)
);
comment on table ledger_transactions is 'One booked fact. Append-only.';
comment on column ledger_transactions.key is 'The fact in words and ids, as in capture:<attempt id>.';
comment on column ledger_transactions.occurred_at is
'When the fact happened in the world; created_at is when it was booked.';

comment on column ledger_transactions.reverses_id is 'The transaction that this one takes back.';

comment on column ledger_transactions.written_in is
'Number of the database transaction that wrote the row: what is below the oldest one still running '
'is complete, and can be sealed.';

create index ledger_transactions_by_reference on ledger_transactions (reference_id);
create index ledger_transactions_by_writer on ledger_transactions using brin (written_in);
create unique index ledger_transaction_is_reversed_once on ledger_transactions (reverses_id)
where reverses_id is not null;

create table ledger_entries (
    id bigint generated always as identity,
    organization_id uuid not null,
    livemode boolean not null,
    ledger_transaction_id uuid not null,
    position smallint not null,
    ledger_account_id uuid not null,
    currency text not null,
    amount bigint not null,
    balance_after bigint not null,
    created_at timestamptz not null default clock_now(),
    primary key (ledger_transaction_id, position),
    constraint ledger_entry_has_its_place_in_its_account
    unique (ledger_account_id, created_at, id),
    constraint ledger_entry_belongs_to_its_transaction
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint ledger_entry_belongs_to_its_account
    foreign key (ledger_account_id, organization_id, livemode, currency)
    references ledger_accounts (id, organization_id, livemode, currency)
);
comment on table ledger_entries is 'One leg of a transaction. Append-only.';
comment on column ledger_entries.id is
'Rises in booking order within an account, since its row is locked while it is booked.';
comment on column ledger_entries.created_at is 'Never falls within an account, as its ids never do.';
comment on column ledger_entries.amount is 'Minor units: a debit is positive, a credit negative.';
comment on column ledger_entries.balance_after is 'The account''s balance once this entry was booked.';

create function check_ledger_transaction() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_id uuid := case when tg_table_name = 'ledger_transactions' then new.id end;
    v_entries bigint;
    v_amount bigint;
    v_empty boolean;
    v_one_currency boolean;
begin
    if v_id is null then
        v_id := new.ledger_transaction_id;
    end if;
    select count(*), sum(amount), bool_or(amount = 0), min(currency) = max(currency)
    into v_entries, v_amount, v_empty, v_one_currency
    from ledger_entries
    where ledger_transaction_id = v_id;

    if v_entries < 2 or v_empty then
        raise exception 'ledger transaction % has % entries, or one that moves nothing', v_id, v_entries
            using errcode = 'assert_failure';
    end if;
    if v_amount <> 0 or not v_one_currency and exists (
        select from ledger_entries
        where ledger_transaction_id = v_id
        group by currency
        having sum(amount) <> 0
    ) then
        raise exception 'ledger transaction % does not balance', v_id
            using errcode = 'assert_failure';
    end if;
    return null;
end;
$$;
comment on function check_ledger_transaction is
'At commit, whoever wrote: per currency the entries of a transaction sum to zero, and there are two '
'at least.';

create constraint trigger ledger_transaction_balances
after insert on ledger_transactions
deferrable initially deferred
for each row execute function check_ledger_transaction();

-- An entry that came later would find the first two places taken.
create constraint trigger ledger_transaction_still_balances
after insert on ledger_entries
deferrable initially deferred
for each row when (new.position > 2) execute function check_ledger_transaction();

create function entry_type(p_entry ledger_entries) returns text
language sql stable
begin atomic
select case when p_entry.amount > 0 then 'debit' else 'credit' end;
end;
comment on function entry_type is 'The side of an entry, which its sign says.';
grant execute on function entry_type to munim_hasura;

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

create trigger ledger_account_keeps_what_it_is
before update of
organization_id, livemode, code, part, account_type, currency, customer_id, created_at
on ledger_accounts
for each statement execute function refuse_to_rewrite_history();

create trigger ledger_accounts_stay
before delete or truncate on ledger_accounts
for each statement execute function refuse_to_rewrite_history();

create function ledger_account(
    p_organization_id uuid,
    p_livemode boolean,
    p_code text,
    p_account_type text,
    p_currency text,
    p_reference_id uuid default null
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    -- A fact finds the same part each time, so that booking it again is booking the same.
    v_part smallint := coalesce(get_byte(uuid_send(p_reference_id), 15) & 15, 0);
    v_account ledger_accounts;
begin
    select * into v_account
    from ledger_accounts
    where code = p_code and part = v_part and organization_id = p_organization_id
        and livemode = p_livemode and currency = p_currency;

    if v_account.id is null then
        insert into ledger_accounts (
            organization_id, livemode, code, part, account_type, currency
        )
        values (p_organization_id, p_livemode, p_code, v_part, p_account_type, p_currency)
        on conflict on constraint ledger_account_code_is_taken_once do nothing;

        select * into strict v_account
        from ledger_accounts
        where code = p_code and part = v_part and organization_id = p_organization_id
            and livemode = p_livemode and currency = p_currency;
    end if;
    if v_account.account_type <> p_account_type then
        raise exception 'ledger account % is % and not %', p_code, v_account.account_type, p_account_type
            using errcode = 'assert_failure';
    end if;
    return v_account.id;
end;
$$;
comment on function ledger_account is
'The account of this code, opened at its first use; of a shared one, the part that the reference '
'falls to.';

create view ledger_balances as
select
    ledger_accounts.organization_id,
    ledger_accounts.livemode,
    ledger_accounts.code,
    ledger_accounts.account_type,
    ledger_accounts.currency,
    sum(ledger_accounts.balance)::bigint as balance,
    sum(ledger_accounts.held)::bigint as held
from ledger_accounts
group by
    ledger_accounts.organization_id, ledger_accounts.livemode, ledger_accounts.code,
    ledger_accounts.account_type, ledger_accounts.currency;
comment on view ledger_balances is 'The chart with its balances: the parts of an account in one row.';

create type ledger_line as (ledger_account_id uuid, amount bigint);

create function ledger_lock_order(p_lines ledger_line[]) returns integer[]
language plpgsql immutable
set search_path = public, pg_temp
as $$
begin
    if cardinality(p_lines) = 2 then  -- nearly always, and worth a short way
        return case
            when (p_lines[1]).ledger_account_id <= (p_lines[2]).ledger_account_id then '{1,2}'
            else '{2,1}'
        end;
    end if;
    return (
        select array_agg(line.position order by line.ledger_account_id, line.position)
        from unnest(p_lines) with ordinality as line (ledger_account_id, amount, position)
    );
end;
$$;
comment on function ledger_lock_order is
'Positions of the lines by account: locks are taken in this order, so that two postings may wait '
'for each other but never deadlock.';

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

    select array_agg((ledger_account_id, amount)::ledger_line order by position) into v_booked
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
    p_lines ledger_line[],
    p_reverses_id uuid default null
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
    v_now timestamptz := clock_now();
    v_position integer;
    v_account_id uuid;
    v_amount bigint;
    v_balance bigint;
    v_currency text;
    v_booked_at timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        perform require_read_committed();
    end if;

    insert into ledger_transactions (
        organization_id, livemode, key, kind, reference_type, reference_id, reverses_id,
        occurred_at, created_at
    )
    values (
        p_organization_id, p_livemode, p_key, p_kind, p_reference_type, p_reference_id,
        p_reverses_id, p_occurred_at, v_now
    )
    on conflict on constraint ledger_fact_is_booked_once do nothing
    returning id into v_id;

    if v_id is null then
        return booked_ledger_transaction(p_organization_id, p_livemode, p_key, p_lines);
    end if;

    foreach v_position in array coalesce(ledger_lock_order(p_lines), '{}') loop
        v_account_id := (p_lines[v_position]).ledger_account_id;
        v_amount := (p_lines[v_position]).amount;

        update ledger_accounts
        set
            balance = balance + v_amount,
            last_entry_at = greatest(last_entry_at, v_now)
        where id = v_account_id and organization_id = p_organization_id
            and livemode = p_livemode and status = 'active'
        returning balance, currency, last_entry_at into v_balance, v_currency, v_booked_at;
        if not found then
            raise exception 'ledger transaction % names an account that is not open here', p_key
                using errcode = 'assert_failure';
        end if;

        insert into ledger_entries (
            organization_id, livemode, ledger_transaction_id, position, ledger_account_id,
            currency, amount, balance_after, created_at
        )
        values (
            p_organization_id, p_livemode, v_id, v_position, v_account_id,
            v_currency, v_amount, v_balance, v_booked_at
        );
    end loop;
    return v_id;
end;
$$;
comment on function post_ledger_transaction is
'The only way to book one fact: once per key, and the same id when it is called again with the '
'same lines.';

create type ledger_posting as (
    key text,
    kind text,
    reference_type text,
    reference_id uuid,
    occurred_at timestamptz,
    lines ledger_line array
);

create function post_ledger_transactions(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns setof uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_new text[];
begin
    perform require_read_committed();

    with booked as (
        insert into ledger_transactions (
            organization_id, livemode, key, kind, reference_type, reference_id, occurred_at
        )
        select
            p_organization_id, p_livemode, posting.key, posting.kind, posting.reference_type,
            posting.reference_id, posting.occurred_at
        from unnest(p_postings) as posting
        order by posting.key  -- two batches with the same keys wait for each other in one order
        on conflict on constraint ledger_fact_is_booked_once do nothing
        returning key
    )

    select coalesce(array_agg(key), '{}') into v_new from booked;

    perform from ledger_accounts
    where id in (
        select line.ledger_account_id
        from unnest(p_postings) as posting, unnest(posting.lines) as line
        where posting.key = any(v_new)
    )
    order by id for no key update;

    perform write_ledger_entries(p_organization_id, p_livemode, p_postings, v_new);

    return query
    select booked_ledger_transaction(p_organization_id, p_livemode, posting.key, posting.lines)
    from unnest(p_postings) with ordinality as posting
    order by posting.ordinality;
end;
$$;
comment on function post_ledger_transactions is
'Books many facts of one organisation at once, as post_ledger_transaction would one by one. '
'Answers their ids in the same order.';

create function write_ledger_entries(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[], p_keys text[]
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_lines bigint;
    v_entries bigint;
    v_now timestamptz := clock_now();
begin
    with lines as (
        select
            ledger_transactions.id as ledger_transaction_id,
            posting.ordinality,
            line.position,
            line.ledger_account_id,
            line.amount,
            sum(line.amount) over (
                partition by line.ledger_account_id order by posting.ordinality, line.position
            ) as moved
        from (
            select distinct on (key) *
            from unnest(p_postings) with ordinality
            where key = any(p_keys)
            order by key, ordinality
        ) as posting
        inner join ledger_transactions
            on ledger_transactions.key = posting.key
            and ledger_transactions.organization_id = p_organization_id
            and ledger_transactions.livemode = p_livemode
        cross join unnest(posting.lines) with ordinality as line (ledger_account_id, amount, position)
    ),

    written as (
        insert into ledger_entries (
            organization_id, livemode, ledger_transaction_id, position, ledger_account_id,
            currency, amount, balance_after, created_at
        )
        select
            p_organization_id, p_livemode, lines.ledger_transaction_id, lines.position,
            lines.ledger_account_id, account.currency, lines.amount, account.balance + lines.moved,
            greatest(account.last_entry_at, v_now)
        from lines
        inner join ledger_accounts as account on account.id = lines.ledger_account_id
        where account.organization_id = p_organization_id and account.livemode = p_livemode
            and account.status = 'active'
        order by lines.ordinality, lines.position
        returning ledger_account_id, amount
    ),

    kept as (
        update ledger_accounts
        set
            balance = ledger_accounts.balance + sums.amount,
            last_entry_at = greatest(ledger_accounts.last_entry_at, v_now)
        from (select ledger_account_id, sum(amount) as amount from written group by 1) as sums
        where ledger_accounts.id = sums.ledger_account_id
    )

    select (select count(*) from lines), (select count(*) from written) into v_lines, v_entries;

    if v_entries <> v_lines then
        raise exception 'a ledger transaction names an account that is not open here'
            using errcode = 'assert_failure';
    end if;
end;
$$;
comment on function write_ledger_entries is 'The second half of a batch; the accounts are locked.';

create function reverse_ledger_transaction(
    p_id uuid, p_key text, p_kind text, p_reference_type text, p_reference_id uuid,
    p_occurred_at timestamptz
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_reversed ledger_transactions;
    v_lines ledger_line[];
begin
    select * into strict v_reversed from ledger_transactions where id = p_id for no key update;
    if exists (select from ledger_transactions where reverses_id = p_id and key <> p_key) then
        raise exception 'ledger-transaction-reversed: % has been taken back before', p_id
            using errcode = '22B09';
    end if;

    select array_agg((ledger_account_id, -amount)::ledger_line order by position) into v_lines
    from ledger_entries
    where ledger_transaction_id = p_id;

    return post_ledger_transaction(
        v_reversed.organization_id, v_reversed.livemode, p_key, p_kind, p_reference_type,
        p_reference_id, p_occurred_at, v_lines, p_id
    );
end;
$$;
comment on function reverse_ledger_transaction is
'Books the opposite of a transaction, once per transaction and the same again for the same key.';

create function ledger_balance_at(p_ledger_account_id uuid, p_at timestamptz) returns bigint
language sql stable
begin atomic
select coalesce((
    select balance_after
    from ledger_entries
    where ledger_account_id = p_ledger_account_id and created_at <= p_at
    order by created_at desc, id desc
    limit 1
), 0);
end;
comment on function ledger_balance_at is
'An account''s balance as of a moment, by the time of booking. Final once no posting runs that '
'began before that moment.';

-- Only the functions above, which run as the owner, write these tables.
revoke insert, update, delete, truncate
on ledger_accounts, ledger_transactions, ledger_entries from public, munim_hasura;
