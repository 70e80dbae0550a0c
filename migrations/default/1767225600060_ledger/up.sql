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

create domain moved_amount as bigint
-- squawk-ignore ban-create-domain-with-constraint
constraint something_moves check (value > 0);
comment on domain moved_amount is
'Minor units that go from one account to another. A domain''s CHECK is kept ready, a table''s is parsed '
'at every insert.';

create table ledger_transactions (
    id uuid default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    key text not null,
    kind text not null,
    reference_type text not null,
    reference_id uuid not null,
    debit_account_id uuid not null,
    credit_account_id uuid not null,
    currency text not null,
    amount moved_amount not null,
    debit_balance_after bigint not null,
    credit_balance_after bigint not null,
    debited_at timestamptz not null,
    credited_at timestamptz not null,
    occurred_at timestamptz not null,
    written_in bigint not null default (pg_current_xact_id()::text)::bigint,
    -- One key for look-ups and for the foreign keys of others: a second one costs a posting a fiftieth.
    constraint ledger_transaction_stays_in_its_organization
    primary key (id, organization_id, livemode),
    constraint ledger_fact_is_booked_once unique (key, organization_id, livemode),
    -- No foreign keys to the accounts: a posting has just changed both rows, and no account is ever
    -- deleted. To look them up twice more would cost it a seventh of its time.
    constraint ledger_account_is_debited_in_order unique (debit_account_id, debited_at),
    constraint ledger_account_is_credited_in_order unique (credit_account_id, credited_at)
);
comment on table ledger_transactions is
'One amount in one currency goes from one account to another. A fact that moves several is several '
'transactions, booked in one call. Append-only.';
comment on column ledger_transactions.key is 'The fact in words and ids, as in capture:<attempt id>.';
comment on column ledger_transactions.amount is 'Minor units, more than zero.';
comment on column ledger_transactions.debit_balance_after is
'The debited account''s balance once this was booked; debits are positive, credits negative.';
comment on column ledger_transactions.debited_at is
'When it was booked. Rises from each transaction of an account to the next by a microsecond at least, '
'on whichever side the account is.';
comment on column ledger_transactions.credited_at is 'The same for the credited account.';
comment on column ledger_transactions.occurred_at is
'When the fact happened in the world; debited_at and credited_at are when it was booked.';
comment on column ledger_transactions.written_in is
'Number of the database transaction that wrote the row: what is below the oldest one still running '
'is complete, and can be sealed.';

create index ledger_transactions_by_reference on ledger_transactions (reference_id);
create index ledger_transactions_by_writer on ledger_transactions (written_in);

create table ledger_reversals (
    ledger_transaction_id uuid primary key,
    organization_id uuid not null,
    livemode boolean not null,
    reverses_id uuid not null,
    constraint ledger_transaction_is_reversed_once unique (reverses_id),
    constraint ledger_reversal_is_booked
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint ledger_reversal_takes_back_its_own
    foreign key (reverses_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode)
);
comment on table ledger_reversals is
'Which transaction takes which one back: few do, and those that do not pay nothing for it. Append-only.';

create view ledger_entries as
select
    id as ledger_transaction_id,
    'debit' as entry_type,
    organization_id,
    livemode,
    debit_account_id as ledger_account_id,
    currency,
    amount::bigint as amount,
    debit_balance_after as balance_after,
    debited_at as created_at
from ledger_transactions
union all
select
    id as ledger_transaction_id,
    'credit' as entry_type,
    organization_id,
    livemode,
    credit_account_id as ledger_account_id,
    currency,
    -amount as amount,
    credit_balance_after as balance_after,
    credited_at as created_at
from ledger_transactions;
comment on view ledger_entries is
'The two sides of each transaction: an account''s history is its entries by created_at, which never '
'repeats within it.';
comment on column ledger_entries.amount is 'Minor units: a debit is positive, a credit negative.';
comment on column ledger_entries.balance_after is 'The account''s balance once this was booked.';

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

create trigger ledger_reversals_are_append_only
before update or delete or truncate on ledger_reversals
for each statement execute function refuse_to_rewrite_history();

create trigger ledger_account_keeps_what_it_is
before update of
id, organization_id, livemode, code, part, account_type, currency, customer_id, created_at
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

create type ledger_posting as (
    key text,
    kind text,
    reference_type text,
    reference_id uuid,
    occurred_at timestamptz,
    debit_account_id uuid,
    credit_account_id uuid,
    amount bigint
);

create function ledger_movement(
    p_fact ledger_posting, p_part text, p_debit_account_id uuid, p_credit_account_id uuid,
    p_amount bigint
) returns ledger_posting
language plpgsql immutable
set search_path = public, pg_temp
as $$
begin
    if p_amount is null or p_amount = 0 then
        return null;
    end if;
    return (
        concat_ws(':', p_fact.key, p_part),
        concat_ws('_', p_fact.kind, split_part(p_part, ':', 1)),
        p_fact.reference_type, p_fact.reference_id, p_fact.occurred_at,
        case when p_amount > 0 then p_debit_account_id else p_credit_account_id end,
        case when p_amount > 0 then p_credit_account_id else p_debit_account_id end,
        abs(p_amount)
    )::ledger_posting;
end;
$$;
comment on function ledger_movement is
'One of the amounts that a fact moves: the fact''s own key, and for all but one of them the name of the '
'part. A negative amount goes the other way. Null where nothing moves.';

create function booked_ledger_transaction(
    p_organization_id uuid, p_livemode boolean, p_posting ledger_posting
) returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_booked ledger_transactions;
begin
    select * into v_booked
    from ledger_transactions
    where organization_id = p_organization_id and livemode = p_livemode and key = p_posting.key;

    if v_booked.id is not null
        and (v_booked.debit_account_id, v_booked.credit_account_id, v_booked.amount) is distinct from
        (p_posting.debit_account_id, p_posting.credit_account_id, p_posting.amount)
    then
        raise exception 'ledger-key-reused: % has booked something else', p_posting.key
            using errcode = '22B02';
    end if;
    return v_booked.id;
end;
$$;
comment on function booked_ledger_transaction is
'The same fact booked before, or null; refuses another fact of the same key.';

create function last_ledger_balance(p_ledger_account_id uuid) returns bigint
language sql stable
set search_path = public, pg_temp
begin atomic
select coalesce((
    select balance_after from (
        (
            select debit_balance_after as balance_after, debited_at as booked_at
            from ledger_transactions
            where debit_account_id = p_ledger_account_id
            order by debited_at desc limit 1
        )
        union all
        (
            select credit_balance_after as balance_after, credited_at as booked_at
            from ledger_transactions
            where credit_account_id = p_ledger_account_id
            order by credited_at desc limit 1
        )
    ) as newest
    order by booked_at desc limit 1
), 0);
end;
comment on function last_ledger_balance is
'The balance that the newest transaction of an account left it with; zero where it has none.';

create function ledger_transaction_instead(
    p_organization_id uuid, p_livemode boolean, p_posting ledger_posting
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
    v_open bigint;
    v_currencies bigint;
begin
    -- Of the two those that were moved: their balance is not what their newest transaction left.
    update ledger_accounts
    set balance = balance
        - case id when p_posting.debit_account_id then p_posting.amount else -p_posting.amount end
    where id in (p_posting.debit_account_id, p_posting.credit_account_id)
        and balance <> last_ledger_balance(id);

    v_id := booked_ledger_transaction(p_organization_id, p_livemode, p_posting);
    if v_id is not null then
        return v_id;
    end if;

    select count(*), count(distinct currency) into v_open, v_currencies
    from ledger_accounts
    where id in (p_posting.debit_account_id, p_posting.credit_account_id)
        and organization_id = p_organization_id and livemode = p_livemode and status = 'active';
    if v_open <> 2 or v_currencies <> 1 then
        raise exception
            'ledger transaction % needs two accounts of one currency that are open here',
            p_posting.key
            using errcode = 'assert_failure';
    end if;
    raise exception 'ledger transaction % would take an account out of its bounds', p_posting.key
        using
            errcode = 'check_violation',
            constraint = 'ledger_account_stays_within_its_bounds';
end;
$$;
comment on function ledger_transaction_instead is
'Takes back what was moved for a fact that cannot be booked now: because it is booked already, which is '
'the answer, or for a reason that is raised.';

create function post_ledger_transaction(
    p_organization_id uuid,
    p_livemode boolean,
    p_key text,
    p_kind text,
    p_reference_type text,
    p_reference_id uuid,
    p_occurred_at timestamptz,
    p_debit_account_id uuid,
    p_credit_account_id uuid,
    p_amount bigint
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off  -- until Postgres 17 what is off costs so much that it would be compiled
as $$
declare
    v_id uuid;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        perform require_read_committed();
    end if;

    -- Locks are taken in order of account, for that is the order in which an index by id gives what
    -- it is asked for. The settings above leave no other way, and a case no other index. The time is
    -- clock_now(), written out: a call of it costs a third of an update.
    with moved as (
        update ledger_accounts
        set
            balance = balance
            + case id when p_debit_account_id then p_amount else -p_amount end,
            last_entry_at = greatest(
                last_entry_at + interval '1 microsecond',
                pg_catalog.now() + (select skew_seconds from clock) * interval '1 second'
            )
        where id = any(array[p_debit_account_id, p_credit_account_id])
            and case
                when organization_id = p_organization_id and livemode = p_livemode
                    and status = 'active'
                    then coalesce(
                        balance + case id when p_debit_account_id then p_amount else -p_amount end
                        <@ bounds,
                        true
                    )
            end
        returning id, currency, balance, last_entry_at
    )

    insert into ledger_transactions (
        organization_id, livemode, key, kind, reference_type, reference_id, debit_account_id,
        credit_account_id, currency, amount, debit_balance_after, credit_balance_after,
        debited_at, credited_at, occurred_at
    )
    select
        p_organization_id, p_livemode, p_key, p_kind, p_reference_type, p_reference_id, debited.id,
        credited.id, debited.currency, p_amount, debited.balance, credited.balance,
        debited.last_entry_at, credited.last_entry_at, p_occurred_at
    from moved as debited
    inner join moved as credited
        on credited.currency = debited.currency and credited.id <> debited.id
    where debited.id = p_debit_account_id and credited.id = p_credit_account_id
    on conflict on constraint ledger_fact_is_booked_once do nothing
    returning id into v_id;
    if v_id is not null then
        return v_id;
    end if;

    return ledger_transaction_instead(
        p_organization_id, p_livemode,
        (
            p_key, p_kind, p_reference_type, p_reference_id, p_occurred_at, p_debit_account_id,
            p_credit_account_id, p_amount
        )::ledger_posting
    );
end;
$$;
comment on function post_ledger_transaction is
'The only way to book one fact: once per key, and the same id when it is called again with the same '
'accounts and amount. Whoever books the same at the same time waits at the accounts, so that it is known '
'by then.';

create function ledger_legs(p_postings ledger_posting[])
returns table (place bigint, ledger_account_id uuid, amount bigint)
language sql immutable
begin atomic
select
    2 * posting.place - side.is_debit as place,
    side.ledger_account_id,
    side.amount
from unnest(p_postings) with ordinality as posting (
    key, kind, reference_type, reference_id, occurred_at, debit_account_id, credit_account_id,
    amount, place
)
cross join lateral (
    values (posting.debit_account_id, posting.amount, 1),
    (posting.credit_account_id, -posting.amount, 0)
) as side (ledger_account_id, amount, is_debit);
end;
comment on function ledger_legs is
'The two sides of each posting: the first is debited at place 1 and credited at 2, and so on.';

create function lock_ledger_accounts(p_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform from ledger_accounts where id = any(p_ids) order by id for no key update;
end;
$$;
comment on function lock_ledger_accounts is
'In the one order in which ledger accounts are locked, by id.';

create function are_ledger_facts_new(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns boolean
language sql stable
begin atomic
select not exists (
    select from ledger_transactions
    where key = any(array(select posting.key from unnest(p_postings) as posting))
        and organization_id = p_organization_id and livemode = p_livemode
) and cardinality(p_postings) = (
    select count(distinct posting.key) from unnest(p_postings) as posting
);
end;
comment on function are_ledger_facts_new is
'Whether no key is booked or comes twice. Asked with the accounts locked: who booked one had them.';

create function refuse_ledger_keys_of_others(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[], p_ids uuid[]
) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_key text;
begin
    select min(key) into v_key
    from ledger_transactions
    where key = any(array(select posting.key from unnest(p_postings) as posting))
        and organization_id = p_organization_id and livemode = p_livemode and id <> all(p_ids);
    if v_key is not null then
        raise exception 'ledger-key-reused: % has booked something else', v_key
            using errcode = '22B02';
    end if;
end;
$$;
comment on function refuse_ledger_keys_of_others is
'A key was new when the accounts were locked, and is booked by somebody who had others: with another '
'meaning, then.';

create function post_ledger_transactions(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns setof uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[];
    v_posting ledger_posting;
begin
    perform require_read_committed();
    if cardinality(p_postings) > 6 then  -- from eight on it is the cheaper one
        v_ids := post_many_ledger_transactions(p_organization_id, p_livemode, p_postings);
    elsif cardinality(p_postings) > 1 then
        v_ids := post_few_ledger_transactions(p_organization_id, p_livemode, p_postings);
    end if;
    if v_ids is not null then
        return query select unnest(v_ids);
        return;
    end if;

    perform lock_ledger_accounts(
        array(select leg.ledger_account_id from ledger_legs(p_postings) as leg)
    ) where cardinality(p_postings) > 1;
    foreach v_posting in array coalesce(p_postings, '{}') loop
        return next post_ledger_transaction(
            p_organization_id, p_livemode, v_posting.key, v_posting.kind,
            v_posting.reference_type, v_posting.reference_id, v_posting.occurred_at,
            v_posting.debit_account_id, v_posting.credit_account_id, v_posting.amount
        );
    end loop;
end;
$$;
comment on function post_ledger_transactions is
'Books many facts of one organisation at once, as post_ledger_transaction would one by one, with all '
'accounts locked in one order. Answers their ids in the same order.';

create function post_ledger_fact(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns uuid
language sql volatile
begin atomic
select (array_agg(booked.id))[1]
from post_ledger_transactions(p_organization_id, p_livemode, p_postings) as booked (id);
end;
comment on function post_ledger_fact is
'Books all that one fact moves; answers the first of its transactions, by which it is known.';

create function post_few_ledger_transactions(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_now constant timestamptz := clock_now();
    v_leg record;
    v_legs integer := 0;
    v_balance bigint;
    v_currency text;
    v_at timestamptz;
    v_balances bigint[];
    v_currencies text[];
    v_ats timestamptz[];
    v_ids uuid[] := '{}';
    v_booked integer;
begin
    for v_leg in
        select place, ledger_account_id, amount
        from ledger_legs(p_postings)
        order by ledger_account_id, place
    loop
        update ledger_accounts
        set
            balance = balance + v_leg.amount,
            last_entry_at = greatest(last_entry_at + interval '1 microsecond', v_now)
        where id = v_leg.ledger_account_id and organization_id = p_organization_id
            and livemode = p_livemode and status = 'active'
            and coalesce(balance + v_leg.amount <@ bounds, true)
        returning balance, currency, last_entry_at into v_balance, v_currency, v_at;
        exit when not found;

        v_legs := v_legs + 1;
        v_balances[v_leg.place] := v_balance;
        v_currencies[v_leg.place] := v_currency;
        v_ats[v_leg.place] := v_at;
        if v_leg.place % 2 = 0 then
            v_ids := v_ids || gen_random_uuid();
        end if;
    end loop;

    if v_legs = 2 * cardinality(p_postings)
        and are_ledger_facts_new(p_organization_id, p_livemode, p_postings)
    then
        insert into ledger_transactions (
            id, organization_id, livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, currency, amount, debit_balance_after,
            credit_balance_after, debited_at, credited_at, occurred_at
        )
        select
            v_ids[place], p_organization_id, p_livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, v_currencies[2 * place], amount,
            v_balances[2 * place - 1], v_balances[2 * place], v_ats[2 * place - 1],
            v_ats[2 * place], occurred_at
        from unnest(p_postings) with ordinality as posting (
            key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount, place
        )
        where v_currencies[2 * place - 1] = v_currencies[2 * place]
            and debit_account_id <> credit_account_id
        order by place
        on conflict on constraint ledger_fact_is_booked_once do nothing;

        get diagnostics v_booked = row_count;
        if v_booked < cardinality(p_postings) then
            perform refuse_ledger_keys_of_others(
                p_organization_id, p_livemode, p_postings, v_ids
            );
            raise exception
                'a ledger transaction needs two accounts of one currency that are open here'
                using errcode = 'assert_failure';
        end if;
        return v_ids;
    end if;

    update ledger_accounts
    set balance = ledger_accounts.balance - moved.amount
    from (
        select leg.ledger_account_id, sum(leg.amount) as amount
        from (
            select ledger_account_id, amount
            from ledger_legs(p_postings)
            order by ledger_account_id, place
            limit v_legs
        ) as leg
        group by leg.ledger_account_id
    ) as moved
    where ledger_accounts.id = moved.ledger_account_id;
    return null;
end;
$$;
comment on function post_few_ledger_transactions is
'Books some facts, each account changed as often as they say, in order of account. Null, and nothing '
'done, where one of them is booked already or cannot be.';

create function post_many_ledger_transactions(
    p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[]
) returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_now constant timestamptz := clock_now();
    v_ids uuid[] := array(select gen_random_uuid() from unnest(p_postings));
    v_refused text;
    v_booked bigint;
begin
    perform lock_ledger_accounts(
        array(select leg.ledger_account_id from ledger_legs(p_postings) as leg)
    );
    if not are_ledger_facts_new(p_organization_id, p_livemode, p_postings) then
        return null;
    end if;

    with legs as (
        select
            leg.place,
            leg.ledger_account_id,
            leg.amount,
            account.currency,
            account.bounds,
            (account.balance + sum(leg.amount) over steps)::bigint as balance_after,
            greatest(account.last_entry_at + interval '1 microsecond', v_now)
            + (row_number() over steps - 1) * interval '1 microsecond' as at
        from ledger_legs(p_postings) as leg
        left join ledger_accounts as account
            on account.id = leg.ledger_account_id
            and account.organization_id = p_organization_id
            and account.livemode = p_livemode and account.status = 'active'
        window steps as (partition by leg.ledger_account_id order by leg.place)
    ),

    postings as (
        select
            posting.*,
            debit.currency,
            debit.balance_after as debit_balance_after,
            credit.balance_after as credit_balance_after,
            debit.at as debited_at,
            credit.at as credited_at,
            case
                when debit.currency is null or credit.currency is null
                    or debit.currency <> credit.currency
                    or posting.debit_account_id = posting.credit_account_id then 'account'
                when debit.balance_after <@ debit.bounds is false
                    or credit.balance_after <@ credit.bounds is false then 'bounds'
            end as refused
        from rows from (unnest(p_postings), unnest(v_ids)) with ordinality as posting (
            key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount, id, place
        )
        inner join legs as debit on debit.place = 2 * posting.place - 1
        inner join legs as credit on credit.place = 2 * posting.place
    ),

    written as (
        insert into ledger_transactions (
            id, organization_id, livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, currency, amount, debit_balance_after,
            credit_balance_after, debited_at, credited_at, occurred_at
        )
        select
            id, p_organization_id, p_livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, currency, amount, debit_balance_after,
            credit_balance_after, debited_at, credited_at, occurred_at
        from postings
        where refused is null
        order by place
        on conflict on constraint ledger_fact_is_booked_once do nothing
        returning id
    ),

    kept as (
        update ledger_accounts
        set balance = ledger_accounts.balance + moved.amount, last_entry_at = moved.at
        from (
            select ledger_account_id, sum(amount) as amount, max(at) as at from legs group by 1
        ) as moved
        where ledger_accounts.id = moved.ledger_account_id
    )

    select (select min(refused) from postings), (select count(*) from written)
    into v_refused, v_booked;

    if v_refused = 'account' then
        raise exception 'a ledger transaction needs two accounts of one currency that are open here'
            using errcode = 'assert_failure';
    elsif v_refused = 'bounds' then
        raise exception 'a ledger transaction would take an account out of its bounds'
            using
                errcode = 'check_violation',
                constraint = 'ledger_account_stays_within_its_bounds';
    end if;
    if v_booked < cardinality(p_postings) then
        perform refuse_ledger_keys_of_others(p_organization_id, p_livemode, p_postings, v_ids);
    end if;
    return v_ids;
end;
$$;
comment on function post_many_ledger_transactions is
'Books any number of facts in statements for all of them. Null, and nothing done, where one of them is '
'booked already.';

create function reverse_ledger_transaction(
    p_id uuid, p_key text, p_kind text, p_reference_type text, p_reference_id uuid,
    p_occurred_at timestamptz
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_reversed ledger_transactions;
    v_before ledger_transactions;
    v_id uuid;
begin
    select * into strict v_reversed from ledger_transactions where id = p_id for no key update;
    select ledger_transactions.* into v_before
    from ledger_reversals
    inner join ledger_transactions
        on ledger_transactions.id = ledger_reversals.ledger_transaction_id
    where ledger_reversals.reverses_id = p_id;
    if v_before.key <> p_key then
        raise exception 'ledger-transaction-reversed: % has been taken back before', p_id
            using errcode = '22B09';
    elsif v_before.id is not null then
        return v_before.id;
    end if;

    if not exists (
        select from ledger_transactions
        where key = p_key and organization_id = v_reversed.organization_id
            and livemode = v_reversed.livemode
    ) then
        v_id := post_ledger_transaction(
            v_reversed.organization_id, v_reversed.livemode, p_key, p_kind, p_reference_type,
            p_reference_id, p_occurred_at, v_reversed.credit_account_id,
            v_reversed.debit_account_id, v_reversed.amount
        );
        insert into ledger_reversals (ledger_transaction_id, organization_id, livemode, reverses_id)
        select id, organization_id, livemode, p_id
        from ledger_transactions
        where id = v_id and written_in = (pg_current_xact_id()::text)::bigint;
    end if;
    if v_id is null or not found then
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
    order by created_at desc
    limit 1
), 0);
end;
comment on function ledger_balance_at is
'An account''s balance as of a moment, by the time of booking. Final once no posting runs that '
'began before that moment.';

-- Only the functions above write these tables.
revoke insert, update, delete, truncate
on ledger_accounts, ledger_transactions, ledger_reversals from public, munim_hasura;
