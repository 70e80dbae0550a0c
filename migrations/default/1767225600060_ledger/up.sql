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
    bounds int8range,
    status text not null default 'active',
    created_at timestamptz not null default clock_now(),
    constraint ledger_account_stays_in_its_organization
    unique (id, organization_id, livemode, currency),
    constraint ledger_account_code_is_taken_once
    unique (code, part, organization_id, livemode, currency),
    constraint ledger_account_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    -- Postgres parses every CHECK anew at every change of a row, and these rows change all the time:
    -- there is this one, as short as can be, and what seldom changes is checked when it does.
    constraint ledger_account_stays_within_its_bounds check (balance <@ bounds)
) with (fillfactor = 50);  -- a new balance finds place on its row's page, and no index changes
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
comment on column ledger_accounts.bounds is
'What the balance may be: from minimum and held to maximum less held. Whatever is written here is '
'replaced by that; null where there is no bound.';

create function check_ledger_account() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_lowest bigint := new.minimum + new.held;
    v_highest bigint := new.maximum - new.held;
begin
    if new.account_type not in ('asset', 'liability', 'equity', 'revenue', 'expense')
        or new.status not in ('active', 'closed')
        or new.part not between 0 and 15
        or new.code !~ '^[a-z0-9_]+(:[a-z0-9_-]+)*$'
        or new.held < 0
    then
        raise exception 'ledger account % is not one: type %, part %, status %, held %',
            new.code, new.account_type, new.part, new.status, new.held
            using errcode = 'check_violation';
    end if;
    if exists (
        select from ledger_accounts
        where code = new.code and organization_id = new.organization_id
            and livemode = new.livemode and currency = new.currency
            and account_type <> new.account_type
    ) then
        raise exception 'ledger account % has parts of another type than %',
            new.code, new.account_type
            using errcode = 'check_violation';
    end if;

    update ledger_accounts
    set bounds = made.bounds
    from (
        select case
            when v_lowest > v_highest then 'empty'
            when num_nonnulls(v_lowest, v_highest) > 0 then int8range(v_lowest, v_highest, '[]')
        end as bounds
    ) as made
    where ledger_accounts.id = new.id and ledger_accounts.bounds is distinct from made.bounds;
    return null;
end;
$$;
comment on function check_ledger_account is
'What a CHECK would say of columns that seldom change; keeps bounds in step with what they are made of.';

-- After the row: a trigger before it would lock every row once more at every posting.
create trigger ledger_account_is_one
after insert or update of status, held, minimum, maximum, bounds on ledger_accounts
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
    v_id uuid;
    v_entry record;
    v_entries integer := 0;
    v_amount numeric := 0;
    v_currency text;
    v_is_mixed boolean := false;
begin
    if tg_table_name = 'ledger_entries' then
        v_id := new.ledger_transaction_id;
        if new.position > 2 and exists (
            select from ledger_entries
            where ledger_transaction_id = new.ledger_transaction_id
                and position = new.position + 1
        ) then
            return null;  -- there are no gaps, so the check of the last one sees them all
        end if;
        if not exists (
            select from ledger_transactions
            where id = v_id and written_in = (pg_current_xact_id()::text)::bigint
        ) then
            raise exception 'ledger transaction % is booked, and takes no more entries', v_id
                using errcode = 'assert_failure';
        end if;
    else
        v_id := new.id;
        if strpos(new.key || new.kind || new.reference_type, E'\n') > 0
            or new.occurred_at not between '0001-01-02T00:00:00Z' and '9999-12-30T00:00:00Z'
        then
            raise exception 'ledger transaction % cannot be sealed: a line ends in it, or its time is none',
                v_id
                using errcode = 'assert_failure';
        end if;
    end if;

    -- A loop, because seven aggregates take longer to set up than two entries to look at.
    for v_entry in
        select position, amount, currency
        from ledger_entries
        where ledger_transaction_id = v_id
        order by position
    loop
        v_entries := v_entries + 1;
        if v_entry.position <> v_entries or v_entry.amount = 0 then
            raise exception 'ledger transaction % has an entry that moves nothing, or a gap', v_id
                using errcode = 'assert_failure';
        end if;
        v_amount := v_amount + v_entry.amount;
        v_is_mixed := v_is_mixed or v_entry.currency <> coalesce(v_currency, v_entry.currency);
        v_currency := v_entry.currency;
    end loop;

    if v_is_mixed then
        select sum(abs(of_currency.amount)) into v_amount
        from (
            select sum(amount) as amount
            from ledger_entries
            where ledger_transaction_id = v_id
            group by currency
        ) as of_currency;
    end if;
    if v_entries = 0 or v_amount <> 0 then
        raise exception 'ledger transaction % does not balance, or has no entries', v_id
            using errcode = 'assert_failure';
    end if;
    return null;
end;
$$;
comment on function check_ledger_transaction is
'At commit, whoever wrote: per currency the entries of a transaction sum to zero, there are two at '
'least, numbered from one and written together with it, and a seal can be made over it all.';

create constraint trigger ledger_transaction_balances
after insert on ledger_transactions
deferrable initially deferred
for each row execute function check_ledger_transaction();

-- Every transaction has entries 1 and 2 from the start, so whatever comes later is another one.
create constraint trigger ledger_transaction_still_balances
after insert on ledger_entries
deferrable initially deferred
for each row when (new.position not in (1, 2)) execute function check_ledger_transaction();

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
    v_id uuid;
    v_account_type text;
begin
    select id, account_type into v_id, v_account_type
    from ledger_accounts
    where code = p_code and part = v_part and organization_id = p_organization_id
        and livemode = p_livemode and currency = p_currency;

    if v_id is null then
        -- Two that open the same two accounts, each in its own order, would wait for each other.
        perform pg_advisory_xact_lock(hashtextextended('ledger_account', 0));
        insert into ledger_accounts (
            organization_id, livemode, code, part, account_type, currency
        )
        values (p_organization_id, p_livemode, p_code, v_part, p_account_type, p_currency)
        on conflict on constraint ledger_account_code_is_taken_once do nothing;

        select id, account_type into strict v_id, v_account_type
        from ledger_accounts
        where code = p_code and part = v_part and organization_id = p_organization_id
            and livemode = p_livemode and currency = p_currency;
    end if;
    if v_account_type <> p_account_type then
        raise exception 'ledger account % is % and not %', p_code, v_account_type, p_account_type
            using errcode = 'assert_failure';
    end if;
    return v_id;
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

create type ledger_posting as (
    key text,
    kind text,
    reference_type text,
    reference_id uuid,
    occurred_at timestamptz,
    lines ledger_line array
);

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
    v_now timestamptz;
    v_low integer;
    v_low_balance bigint;
    v_high_balance bigint;
    v_low_currency text;
    v_high_currency text;
    v_low_at timestamptz;
    v_high_at timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        perform require_read_committed();
    end if;

    -- The time is clock_now(), written out: a call of it costs as much as an update.
    insert into ledger_transactions (
        organization_id, livemode, key, kind, reference_type, reference_id, reverses_id,
        occurred_at, created_at
    )
    select
        p_organization_id, p_livemode, p_key, p_kind, p_reference_type, p_reference_id,
        p_reverses_id, p_occurred_at,
        pg_catalog.now() + clock.skew_seconds * interval '1 second'
    from clock
    on conflict on constraint ledger_fact_is_booked_once do nothing
    returning id, created_at into v_id, v_now;

    if v_id is null then
        return booked_ledger_transaction(p_organization_id, p_livemode, p_key, p_lines);
    end if;
    if cardinality(p_lines) is distinct from 2 then
        perform write_ledger_entries(
            p_organization_id, p_livemode, v_now, array[v_id], array[
                (p_key, p_kind, p_reference_type, p_reference_id, p_occurred_at, p_lines)
            ]::ledger_posting[]
        );
        return v_id;
    end if;

    -- Two legs are nearly all there is, and worth a short way. Locks are taken in order of account.
    v_low := 1 + ((p_lines[1]).ledger_account_id > (p_lines[2]).ledger_account_id)::integer;

    update ledger_accounts
    set
        balance = balance + (p_lines[v_low]).amount,
        last_entry_at = greatest(last_entry_at, v_now)
    where id = (p_lines[v_low]).ledger_account_id and organization_id = p_organization_id
        and livemode = p_livemode and status = 'active'
    returning balance, currency, last_entry_at into v_low_balance, v_low_currency, v_low_at;

    update ledger_accounts
    set
        balance = balance + (p_lines[3 - v_low]).amount,
        last_entry_at = greatest(last_entry_at, v_now)
    where id = (p_lines[3 - v_low]).ledger_account_id and organization_id = p_organization_id
        and livemode = p_livemode and status = 'active'
    returning balance, currency, last_entry_at into v_high_balance, v_high_currency, v_high_at;

    if v_low_currency is null or v_high_currency is null then
        raise exception 'ledger transaction % names an account that is not open here', p_key
            using errcode = 'assert_failure';
    end if;

    insert into ledger_entries (
        organization_id, livemode, ledger_transaction_id, position, ledger_account_id,
        currency, amount, balance_after, created_at
    )
    values (
        p_organization_id, p_livemode, v_id, v_low, (p_lines[v_low]).ledger_account_id,
        v_low_currency, (p_lines[v_low]).amount, v_low_balance, v_low_at
    ), (
        p_organization_id, p_livemode, v_id, 3 - v_low, (p_lines[3 - v_low]).ledger_account_id,
        v_high_currency, (p_lines[3 - v_low]).amount, v_high_balance, v_high_at
    );
    return v_id;
end;
$$;
comment on function post_ledger_transaction is
'The only way to book one fact: once per key, and the same id when it is called again with the '
'same lines.';

create function post_ledger_transactions(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns setof uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_now timestamptz := clock_now();
    v_ids uuid[];
    v_new uuid[];
begin
    perform require_read_committed();

    select array_agg(gen_random_uuid()) into v_ids from unnest(p_postings);

    with booked as (
        insert into ledger_transactions (
            id, organization_id, livemode, key, kind, reference_type, reference_id, occurred_at,
            created_at
        )
        select
            posting.id, p_organization_id, p_livemode, posting.key, posting.kind,
            posting.reference_type, posting.reference_id, posting.occurred_at, v_now
        from rows from (unnest(p_postings), unnest(v_ids)) with ordinality
            as posting (key, kind, reference_type, reference_id, occurred_at, lines, id, place)
        -- Two batches with the same keys wait for each other in one order. A key that comes twice
        -- is the fact that comes first.
        order by posting.key, posting.place
        on conflict on constraint ledger_fact_is_booked_once do nothing
        returning id
    )

    select array_agg(booked.id) into v_new from booked;

    if cardinality(v_new) = cardinality(v_ids) then  -- nearly always
        perform write_ledger_entries(p_organization_id, p_livemode, v_now, v_ids, p_postings);
        return query select unnest(v_ids);
        return;
    end if;

    perform write_ledger_entries(
        p_organization_id, p_livemode, v_now, array_agg(made.id order by made.place),
        array_agg(p_postings[made.place] order by made.place)
    )
    from unnest(v_ids) with ordinality as made (id, place)
    where made.id = any(v_new)
    having count(*) > 0;

    return query
    select
        case
            when v_ids[posting.place] = any(v_new) then v_ids[posting.place]
            else booked_ledger_transaction(
                p_organization_id, p_livemode, posting.key, posting.lines
            )
        end
    from unnest(p_postings) with ordinality
        as posting (key, kind, reference_type, reference_id, occurred_at, lines, place)
    order by posting.place;
end;
$$;
comment on function post_ledger_transactions is
'Books many facts of one organisation at once, as post_ledger_transaction would one by one. '
'Answers their ids in the same order.';

create function write_ledger_entries(
    p_organization_id uuid, p_livemode boolean, p_now timestamptz, p_ids uuid[],
    p_postings ledger_posting[]
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_missing boolean;
    v_unbounded boolean;
begin
    if cardinality(p_ids) <= 3 then  -- a few facts are written sooner line by line
        perform write_few_ledger_entries(
            p_organization_id, p_livemode, p_now, p_ids, p_postings
        );
        return;
    end if;

    perform from ledger_accounts
    where id in (
        select line.ledger_account_id
        from unnest(p_postings) as posting, unnest(posting.lines) as line
    )
    order by id for no key update;

    with lines as (
        select
            posting.id as ledger_transaction_id,
            posting.place,
            line.position,
            line.amount,
            account.id as ledger_account_id,
            account.currency,
            account.minimum + account.held as lowest,
            account.maximum - account.held as highest,
            greatest(account.last_entry_at, p_now) as created_at,
            account.balance + sum(line.amount) over (
                partition by account.id order by posting.place, line.position
            ) as balance_after
        from rows from (unnest(p_postings), unnest(p_ids)) with ordinality
            as posting (key, kind, reference_type, reference_id, occurred_at, lines, id, place)
        left join unnest(posting.lines) with ordinality
            as line (ledger_account_id, amount, position) on true
        left join ledger_accounts as account
            on account.id = line.ledger_account_id
            and account.organization_id = p_organization_id
            and account.livemode = p_livemode and account.status = 'active'
    ),

    written as (
        insert into ledger_entries (
            organization_id, livemode, ledger_transaction_id, position, ledger_account_id,
            currency, amount, balance_after, created_at
        )
        select
            p_organization_id, p_livemode, lines.ledger_transaction_id, lines.position,
            lines.ledger_account_id, lines.currency, lines.amount, lines.balance_after,
            lines.created_at
        from lines
        where lines.ledger_account_id is not null
        order by lines.place, lines.position
        returning ledger_account_id, amount
    ),

    kept as (
        update ledger_accounts
        set
            balance = ledger_accounts.balance + moved.amount,
            last_entry_at = greatest(ledger_accounts.last_entry_at, p_now)
        from (select ledger_account_id, sum(amount) as amount from written group by 1) as moved
        where ledger_accounts.id = moved.ledger_account_id
    )

    select
        bool_or(lines.ledger_account_id is null),
        bool_or(lines.balance_after < lines.lowest or lines.balance_after > lines.highest)
    into v_missing, v_unbounded
    from lines;

    if v_missing then
        raise exception 'a ledger transaction has no lines, or names an account that is not open here'
            using errcode = 'assert_failure';
    end if;
    if v_unbounded then
        raise exception 'a ledger account would leave its bounds between two postings'
            using
                errcode = 'check_violation',
                constraint = 'ledger_account_stays_within_its_bounds';
    end if;
end;
$$;
comment on function write_ledger_entries is
'Locks the accounts in order of id and writes the entries of transactions that have none: any '
'number of postings, of any number of lines.';

create function write_few_ledger_entries(
    p_organization_id uuid, p_livemode boolean, p_now timestamptz, p_ids uuid[],
    p_postings ledger_posting[]
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_line record;
    v_balance bigint;
    v_currency text;
    v_at timestamptz;
    v_entries ledger_entries[] := '{}';
begin
    for v_line in
        select posting.id, line.position, line.ledger_account_id, line.amount
        from
            rows from (unnest(p_postings), unnest(p_ids)) with ordinality
            as posting (key, kind, reference_type, reference_id, occurred_at, lines, id, place),
            unnest(posting.lines) with ordinality
            as line (ledger_account_id, amount, position)
        order by line.ledger_account_id, posting.place, line.position
    loop
        update ledger_accounts
        set
            balance = balance + v_line.amount,
            last_entry_at = greatest(last_entry_at, p_now)
        where id = v_line.ledger_account_id and organization_id = p_organization_id
            and livemode = p_livemode and status = 'active'
        returning balance, currency, last_entry_at into v_balance, v_currency, v_at;
        if not found then
            raise exception 'a ledger transaction names an account that is not open here'
                using errcode = 'assert_failure';
        end if;

        v_entries := v_entries || (
            null, p_organization_id, p_livemode, v_line.id, v_line.position,
            v_line.ledger_account_id, v_currency, v_line.amount, v_balance, v_at
        )::ledger_entries;
    end loop;

    insert into ledger_entries (
        organization_id, livemode, ledger_transaction_id, position, ledger_account_id,
        currency, amount, balance_after, created_at
    )
    select
        organization_id, livemode, ledger_transaction_id, position, ledger_account_id,
        currency, amount, balance_after, created_at
    from unnest(v_entries);
end;
$$;
comment on function write_few_ledger_entries is
'The same for a few transactions: their accounts are changed line by line, in order of account.';

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
    v_id uuid;
begin
    select * into strict v_reversed from ledger_transactions where id = p_id for no key update;
    if exists (select from ledger_transactions where reverses_id = p_id and key <> p_key) then
        raise exception 'ledger-transaction-reversed: % has been taken back before', p_id
            using errcode = '22B09';
    end if;

    select array_agg((ledger_account_id, -amount)::ledger_line order by position) into v_lines
    from ledger_entries
    where ledger_transaction_id = p_id;

    v_id := post_ledger_transaction(
        v_reversed.organization_id, v_reversed.livemode, p_key, p_kind, p_reference_type,
        p_reference_id, p_occurred_at, v_lines, p_id
    );
    if not exists (select from ledger_transactions where id = v_id and reverses_id = p_id) then
        raise exception 'ledger-key-reused: % is booked, but takes nothing back', p_key
            using errcode = '22B02';
    end if;
    return v_id;
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

-- Only the functions above write these tables.
revoke insert, update, delete, truncate
on ledger_accounts, ledger_transactions, ledger_entries from public, munim_hasura;
