-- Each view must be empty. A row is money gone wrong, and says which.
create view invariant_ledger_balances as
select organization_id, livemode, currency, sum(balance) as balance
from ledger_accounts
group by organization_id, livemode, currency
having sum(balance) <> 0;
comment on view invariant_ledger_balances is
'I1: what all accounts of a currency hold is nothing; each transaction is so by its columns, which have '
'one amount for both sides.';

create view invariant_ledger_transactions_fit_their_accounts as
select ledger_transactions.id as ledger_transaction_id
from ledger_transactions
left join ledger_accounts as debited on debited.id = ledger_transactions.debit_account_id
left join ledger_accounts as credited on credited.id = ledger_transactions.credit_account_id
where (debited.organization_id, debited.livemode, debited.currency) is distinct from (
    ledger_transactions.organization_id, ledger_transactions.livemode, ledger_transactions.currency
)
or (credited.organization_id, credited.livemode, credited.currency) is distinct from (
    ledger_transactions.organization_id, ledger_transactions.livemode, ledger_transactions.currency
)
or debited.id = credited.id;
comment on view invariant_ledger_transactions_fit_their_accounts is
'I1: both accounts of a transaction are there, are two, and are of its organisation, mode and currency.';

create view invariant_account_balances as
select
    ledger_accounts.id as ledger_account_id,
    ledger_accounts.balance,
    coalesce(sum(ledger_entries.amount), 0) as entries
from ledger_accounts
left join ledger_entries on ledger_entries.ledger_account_id = ledger_accounts.id
group by ledger_accounts.id
having ledger_accounts.balance <> coalesce(sum(ledger_entries.amount), 0);
comment on view invariant_account_balances is 'I2: a balance is the sum of its account''s entries.';

create view invariant_account_holds as
select
    ledger_accounts.id as ledger_account_id,
    ledger_accounts.held,
    coalesce(sum(ledger_holds.amount), 0) as holds
from ledger_accounts
left join ledger_holds
    on ledger_holds.ledger_account_id = ledger_accounts.id and ledger_holds.status = 'open'
group by ledger_accounts.id
having ledger_accounts.held <> coalesce(sum(ledger_holds.amount), 0);
comment on view invariant_account_holds is 'I2: what is held is the sum of the account''s open holds.';

create view invariant_balances_follow_each_other as
with steps as (
    select
        ledger_transaction_id,
        ledger_account_id,
        amount,
        balance_after,
        created_at,
        lag(balance_after) over accounts as balance_before,
        lag(created_at) over accounts as created_before
    from ledger_entries
    window accounts as (partition by ledger_account_id order by created_at)
)

select ledger_transaction_id, ledger_account_id
from steps
where coalesce(balance_before, 0) + amount <> balance_after or created_at = created_before;
comment on view invariant_balances_follow_each_other is
'I2: each balance follows from the one before it, and no two entries of an account are dated alike.';

create view invariant_sealed_transactions_are_whole as
select ledger_seals.ledger_transaction_id, ledger_seals.ledger_block_number
from ledger_seals
inner join ledger_transactions on ledger_transactions.id = ledger_seals.ledger_transaction_id
where ledger_transaction_hash(ledger_transactions) <> ledger_seals.hash;
comment on view invariant_sealed_transactions_are_whole is
'I3: a sealed transaction reads as it did when it was sealed.';

create view invariant_ledger_blocks_are_chained as
with seals as (
    select
        ledger_block_number,
        count(*) as transactions,
        string_agg(hash, null order by position) as hashes  -- noqa: AL03
    from ledger_seals
    group by ledger_block_number
)

select ledger_blocks.number
from ledger_blocks
left join ledger_blocks as previous on previous.number = ledger_blocks.number - 1
left join seals on seals.ledger_block_number = ledger_blocks.number
where (ledger_blocks.number = 1) <> (previous.number is null)
    or ledger_blocks.previous_hash <> coalesce(previous.hash, decode(repeat('00', 32), 'hex'))
    or ledger_blocks.transactions is distinct from seals.transactions
    or ledger_blocks.hash is distinct from sha256(ledger_blocks.previous_hash || seals.hashes);
comment on view invariant_ledger_blocks_are_chained is
'I3: block follows block without a gap, and each hash covers its transactions and the one before.';

create view invariant_captures_are_booked as
select payment_attempts.id as payment_attempt_id, payment_attempts.status
from payment_attempts
left join ledger_transactions
    on ledger_transactions.reference_type = 'payment_attempt'
    and ledger_transactions.reference_id = payment_attempts.id
    and ledger_transactions.kind = 'capture'
where (payment_attempts.status = 'captured') <> (ledger_transactions.id is not null);
comment on view invariant_captures_are_booked is 'I4: captured and booked are the same attempts.';

create view invariant_paid_purchases_are_granted as
select credit_purchases.id as credit_purchase_id, payment_intents.status
from credit_purchases
inner join payment_intents on payment_intents.id = credit_purchases.payment_intent_id
where (payment_intents.status = 'paid') <> (credit_purchases.granted_at is not null);
comment on view invariant_paid_purchases_are_granted is 'I4: paid and granted are the same purchases.';

create view invariant_purchases_keep_their_rate as
select credit_purchases.id as credit_purchase_id, credit_purchases.credits_amount
from credit_purchases
inner join payment_intents on payment_intents.id = credit_purchases.payment_intent_id
where credit_purchases.credits_amount
    <> trunc(
        major_units(credit_purchases.amount, credit_purchases.currency)
        * credit_purchases.credit_rate, 4
    )
    or (payment_intents.amount, payment_intents.currency)
    <> (credit_purchases.amount, credit_purchases.currency)
    or payment_intents.customer_id <> credit_purchases.customer_id;
comment on view invariant_purchases_keep_their_rate is
'What is owed and what is granted both follow from the amount and the frozen rate.';

create view invariant_credit_lots_sum_to_their_wallet as
with lots as (
    select customer_id, organization_id, livemode, sum(remaining) * 10000 as units
    from credit_lots
    group by customer_id, organization_id, livemode
)

select ledger_accounts.customer_id, -ledger_accounts.balance as balance, lots.units
from ledger_accounts
left join lots
    on lots.customer_id = ledger_accounts.customer_id
    and lots.organization_id = ledger_accounts.organization_id
    and lots.livemode = ledger_accounts.livemode
where ledger_accounts.currency = 'XCR' and ledger_accounts.customer_id is not null
    and -ledger_accounts.balance <> coalesce(lots.units, 0);
comment on view invariant_credit_lots_sum_to_their_wallet is
'A customer''s lots are what is in their wallet, to the last ten-thousandth.';

create view invariant_credit_lots_are_what_was_issued as
with sides as (
    select organization_id, livemode, code, balance as units
    from ledger_balances
    where code in ('credits_issued', 'credits_granted')
    union all
    select
        organization_id,
        livemode,
        case when credit_grant_id is null then 'credits_issued' else 'credits_granted' end as code,
        -remaining * 10000 as units
    from credit_lots
)

select organization_id, livemode, code, sum(units) as units
from sides
group by organization_id, livemode, code
having sum(units) <> 0;
comment on view invariant_credit_lots_are_what_was_issued is
'What is left of bought credits is credits_issued, of given ones credits_granted.';

create view invariant_credit_lots_explain_prepaid_money as
with sides as (
    select organization_id, livemode, currency, -balance as owed, 0 as remaining, 0 as held
    from ledger_balances
    where code = 'prepaid_credits'
    union all
    select organization_id, livemode, currency, 0 as owed, amount_remaining, 0 as held
    from credit_lots
    where currency is not null
    union all
    select
        credit_recalls.organization_id, credit_recalls.livemode, credit_lots.currency, 0 as owed,
        0 as remaining, credit_recalls.amount as held
    from credit_recalls
    inner join credit_lots on credit_lots.id = credit_recalls.credit_lot_id
    where credit_recalls.status = 'held'
)

select
    organization_id,
    livemode,
    currency,
    sum(owed) as owed,
    sum(remaining) as remaining,
    sum(held) as held
from sides
group by organization_id, livemode, currency
having sum(owed) not between sum(remaining) and sum(remaining) + sum(held);
comment on view invariant_credit_lots_explain_prepaid_money is
'What is owed for credits is what the lots say; a dispute that is open may still count among it.';

create view invariant_credit_lots_explain_revenue as
with sides as (
    select organization_id, livemode, currency, balance as amount
    from ledger_balances
    where code in ('credit_revenue', 'credit_breakage')
    union all
    select organization_id, livemode, currency, amount_earned as amount
    from credit_lots
    where currency is not null
)

select organization_id, livemode, currency, sum(amount) as amount
from sides
group by organization_id, livemode, currency
having sum(amount) <> 0;
comment on view invariant_credit_lots_explain_revenue is
'Revenue and breakage are what the lots earned, by credits used and credits expired.';

create view invariant_credit_lots_add_up as
with spent as (
    select
        credit_lot_id,
        sum(credits_amount - credits_returned) as credits,
        sum(amount - amount_returned) as amount
    from credit_spend_lots
    group by credit_lot_id
),

recalled as (
    select
        credit_lot_id,
        sum(case status when 'held' then credits_amount end) as held,
        sum(credits_amount) as credits,
        sum(amount) as amount
    from credit_recalls
    where status in ('held', 'taken')
    group by credit_lot_id
)

select credit_lots.id as credit_lot_id
from credit_lots
left join spent on spent.credit_lot_id = credit_lots.id
left join recalled on recalled.credit_lot_id = credit_lots.id
where credit_lots.used <> coalesce(spent.credits, 0)
    or credit_lots.amount_earned < coalesce(spent.amount, 0)
    or credit_lots.held <> coalesce(recalled.held, 0)
    or credit_lots.recalled <> coalesce(recalled.credits, 0)
    or credit_lots.amount_recalled <> coalesce(recalled.amount, 0);
comment on view invariant_credit_lots_add_up is
'What a lot says of itself is what the spends, the returns and the refunds say of it.';

create view invariant_credit_spends_add_up as
with lines as (
    select
        credit_spend_id,
        sum(credits_amount) as credits,
        sum(credits_returned) as returned
    from credit_spend_lots
    group by credit_spend_id
),

returns as (
    select credit_spend_id, sum(credits_amount) as credits
    from credit_returns
    group by credit_spend_id
)

select credit_spends.id as credit_spend_id
from credit_spends
left join lines on lines.credit_spend_id = credit_spends.id
left join returns on returns.credit_spend_id = credit_spends.id
where credit_spends.credits_amount <> coalesce(lines.credits, 0)
    or credit_spends.credits_returned <> coalesce(lines.returned, 0)
    or credit_spends.credits_returned <> coalesce(returns.credits, 0);
comment on view invariant_credit_spends_add_up is
'A spend is the sum of what its lots gave, and what came back the sum of its returns.';

create view invariant_attempts_ask_for_what_is_owed as
select payment_attempts.id as payment_attempt_id
from payment_attempts
inner join payment_intents on payment_intents.id = payment_attempts.payment_intent_id
where (payment_attempts.amount, payment_attempts.currency)
    <> (payment_intents.amount, payment_intents.currency)
    and not (is_by_hand(payment_attempts.gateway) and payment_attempts.is_surplus)
    and not payment_attempts.is_in_suspense;
comment on view invariant_attempts_ask_for_what_is_owed is
'An attempt is for its intent''s amount; what came by bank transfer beyond it is an attempt of the rest, '
'and what is in suspense an attempt of whatever came.';

create view invariant_captures_book_what_was_taken as
select payment_attempts.id as payment_attempt_id, ledger_transactions.amount
from payment_attempts
inner join ledger_transactions
    on ledger_transactions.reference_type = 'payment_attempt'
    and ledger_transactions.reference_id = payment_attempts.id
where ledger_transactions.kind = 'capture'
    and ledger_transactions.amount <> payment_attempts.amount_captured;
comment on view invariant_captures_book_what_was_taken is 'I4: the same amount in both.';

create view invariant_surplus_is_owed_back as
select
    ledger_balances.organization_id,
    ledger_balances.livemode,
    ledger_balances.code,
    ledger_balances.currency,
    ledger_balances.balance,
    coalesce(sum(
        payment_attempts.amount_captured - payment_attempts.amount_refunded
        - coalesce(disputed.covered_amount, 0)
    ), 0) as owed
from ledger_balances
left join payment_attempts
    on payment_attempts.organization_id = ledger_balances.organization_id
    and payment_attempts.livemode = ledger_balances.livemode
    and payment_attempts.currency = ledger_balances.currency
    and payment_attempts.is_surplus
    and payment_attempts.is_in_suspense = (ledger_balances.code = 'suspense')
left join lateral (
    select sum(covered_amount)::bigint as covered_amount
    from disputes
    where disputes.payment_attempt_id = payment_attempts.id and disputes.status = 'lost'
) as disputed on true
where ledger_balances.code in ('surplus', 'suspense')
group by
    ledger_balances.organization_id, ledger_balances.livemode, ledger_balances.code,
    ledger_balances.currency, ledger_balances.balance
having
    -ledger_balances.balance
    <> coalesce(sum(
        payment_attempts.amount_captured - payment_attempts.amount_refunded
        - coalesce(disputed.covered_amount, 0)
    ), 0);
comment on view invariant_surplus_is_owed_back is
'I13: what was captured beyond what was owed, or is not what was owed, is a debt until it is refunded.';

create view invariant_unsettled_attempts_are_checked as
select payment_attempts.id as payment_attempt_id, payment_attempts.status
from payment_attempts
left join exceptions
    on exceptions.object_id = payment_attempts.id
    and exceptions.class = 'payment-unresolved' and exceptions.resolved_at is null
where payment_attempts.status in ('created', 'unknown', 'pending', 'processing', 'authorized')
    and payment_attempts.next_check_at is null and exceptions.id is null;
comment on view invariant_unsettled_attempts_are_checked is
'I11: what has not ended is asked about, or waits for a person.';

create view invariant_refunds_are_counted as
select payment_attempts.id as payment_attempt_id, payment_attempts.amount_refunded
from payment_attempts
left join refunds
    on refunds.payment_attempt_id = payment_attempts.id
    and refunds.status not in ('failed', 'canceled')
group by payment_attempts.id
having payment_attempts.amount_refunded <> coalesce(sum(refunds.amount), 0);
comment on view invariant_refunds_are_counted is
'I5: what an attempt counts as refunded are its refunds, those on their way included; its CHECK keeps '
'that below what was captured.';

create view invariant_refunds_fit_their_payment as
with gone as (
    select payment_attempt_id, amount
    from refunds
    where status = 'succeeded'
    union all
    select payment_attempt_id, amount
    from disputes
    where status = 'lost'
)

select payment_attempts.id as payment_attempt_id, sum(gone.amount) as gone
from payment_attempts
inner join gone on gone.payment_attempt_id = payment_attempts.id
left join exceptions
    on exceptions.object_id = payment_attempts.id
    and exceptions.class = 'refunded-and-disputed'
    and (exceptions.resolved_at is null or exceptions.resolved_by is not null)
where exceptions.id is null
group by payment_attempts.id
having sum(gone.amount) > payment_attempts.amount_captured;
comment on view invariant_refunds_fit_their_payment is
'I5: no more went back, by refunds and lost disputes, than had come, or a person knows.';

create view invariant_refunds_are_booked as
with booked as (
    select
        reference_id,
        sum(case
            when kind in ('refund_reserve', 'refund_reserve_loss') then amount
            when kind in ('refund_release', 'refund_release_loss') then -amount
        end) as reserved,
        sum(case kind when 'refund' then amount when 'refund_return' then -amount end) as paid
    from ledger_transactions
    where reference_type = 'refund'
    group by reference_id
)

select refunds.id as refund_id, refunds.status, booked.reserved, booked.paid
from refunds
left join booked on booked.reference_id = refunds.id
where coalesce(booked.reserved, 0)
    <> case when refunds.status in ('failed', 'canceled') then 0 else refunds.amount end
    or coalesce(booked.paid, 0)
    <> case when refunds.status = 'succeeded' then refunds.amount else 0 end;
comment on view invariant_refunds_are_booked is
'A refund''s amount is reserved while it may succeed, and paid out while it has.';

create view invariant_pending_refunds_are_owed as
with pending as (
    select organization_id, livemode, currency, amount
    from refunds
    where status in ('created', 'unknown', 'pending')
    union all
    select organization_id, livemode, currency, balance
    from ledger_balances
    where code = 'refunds_pending'
)

select organization_id, livemode, currency, sum(amount) as amount
from pending
group by organization_id, livemode, currency
having sum(amount) <> 0;
comment on view invariant_pending_refunds_are_owed is
'What is booked as on its way back are the refunds that have not ended.';

create view invariant_unsettled_refunds_are_checked as
select refunds.id as refund_id, refunds.status
from refunds
left join exceptions
    on exceptions.object_id = refunds.id
    and exceptions.class = 'refund-unresolved' and exceptions.resolved_at is null
where refunds.next_check_at is null and exceptions.id is null
    and (
        refunds.status in ('created', 'unknown', 'pending')
        or (refunds.status = 'succeeded' and refunds.looks < 3 and not is_by_hand(refunds.gateway))
    );
comment on view invariant_unsettled_refunds_are_checked is
'I11: a refund that has not ended is asked about, or waits for a person; so is one that succeeded, until the '
'gateway has answered thrice what became of it.';

create view invariant_surplus_goes_back as
select payment_attempts.id as payment_attempt_id
from payment_attempts
left join disputes
    on disputes.payment_attempt_id = payment_attempts.id and disputes.status = 'lost'
left join exceptions
    on exceptions.object_id = payment_attempts.id
    and exceptions.class in ('surplus-payment', 'amount-mismatch')
    and exceptions.resolved_at is null
where payment_attempts.is_surplus and exceptions.id is null
group by payment_attempts.id
having
    payment_attempts.amount_captured
    > payment_attempts.amount_refunded + coalesce(sum(disputes.covered_amount), 0);
comment on view invariant_surplus_goes_back is
'I13: what was captured beyond what was owed is refunded or on its way, or a person knows.';

create view invariant_open_disputes_are_booked as
with open_disputes as (
    select organization_id, livemode, currency, amount
    from disputes
    where status in ('opened', 'under_review')
    union all
    select organization_id, livemode, currency, -balance as amount
    from ledger_balances
    where code = 'disputes'
)

select organization_id, livemode, currency, sum(amount) as amount
from open_disputes
group by organization_id, livemode, currency
having sum(amount) <> 0;
comment on view invariant_open_disputes_are_booked is
'What the gateway holds back is what is disputed and not decided.';

create view invariant_recalls_follow_their_refunds as
with money_back as (
    select
        id,
        case
            when is_late or status in ('failed', 'canceled') then array['released', 'returned']
            when status = 'succeeded' then array['taken']
            else array['held']
        end as legal
    from refunds
    union all
    select
        id,
        array[
            case status when 'won' then 'released' when 'lost' then 'taken' else 'held' end
        ] as legal
    from disputes
)

select credit_recalls.id as credit_recall_id, credit_recalls.status
from credit_recalls
left join money_back on money_back.id = credit_recalls.refund_id
where (credit_recalls.status = any(money_back.legal)) is not true;
comment on view invariant_recalls_follow_their_refunds is
'Credits are held while their money is on its way back, gone with it, and back when it stays.';

create view invariant_autopay_charges_a_month_once as
select customer_id, currency, period, count(*) as charges
from autopay_charges
where status = 'succeeded'
group by customer_id, currency, period
having count(*) > 1;
comment on view invariant_autopay_charges_a_month_once is
'I14: a customer pays once a month, however often crons ran or they changed their mandate.';

create view invariant_autopay_follows_its_anchor as
select autopay_charges.id as autopay_charge_id, autopay_charges.due_on, autopay_charges.due_at
from autopay_charges
inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
where autopay_charges.due_on
    <> due_date(autopay_mandates.day_of_month, autopay_charges.due_on)
    or autopay_charges.due_on < autopay_mandates.anchor_on
    or autopay_charges.period <> to_char(autopay_charges.due_on, 'YYYY-MM')
    or autopay_charges.due_at
    <> local_moment(
        autopay_charges.due_on, autopay_mandates.local_time, autopay_mandates.timezone
    );
comment on view invariant_autopay_follows_its_anchor is
'I14: each due date is the mandate''s day of its month, at its hour in its zone.';

create view invariant_autopay_follows_its_payment as
select
    autopay_charges.id as autopay_charge_id,
    autopay_charges.status,
    payment_intents.status as payment_status
from autopay_charges
inner join payment_intents on payment_intents.id = autopay_charges.payment_intent_id
where (autopay_charges.status = 'succeeded') <> (payment_intents.status = 'paid')
    or (autopay_charges.amount, autopay_charges.currency, autopay_charges.customer_id)
    is distinct from
    (payment_intents.amount, payment_intents.currency, payment_intents.customer_id)
    or autopay_charges.tries < (
        select count(*) from payment_attempts
        where payment_attempts.payment_intent_id = payment_intents.id
            and payment_attempts.payment_method_id is not null
    );
comment on view invariant_autopay_follows_its_payment is
'I14: a month is paid when its payment is, for what was agreed to, in four attempts at most.';

create view invariant_autopay_keeps_moving as
select autopay_charges.id as autopay_charge_id, autopay_charges.updated_at
from autopay_charges
where autopay_charges.status = 'charging'
    and not has_open_attempt(autopay_charges.payment_intent_id);
comment on view invariant_autopay_keeps_moving is
'I11: a charge that is being made has an attempt that will end.';

create view invariant_autopay_stops_when_told as
select payment_attempts.id as payment_attempt_id, autopay_mandates.id as autopay_mandate_id
from autopay_mandates
inner join autopay_charges on autopay_charges.autopay_mandate_id = autopay_mandates.id
inner join payment_attempts
    on payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
where payment_attempts.payment_method_id is not null
    and payment_attempts.created_at
    > coalesce(autopay_mandates.canceled_at, autopay_mandates.paused_at);
comment on view invariant_autopay_stops_when_told is
'I14: nothing was tried after a mandate was canceled, or since it was paused.';

-- Reading them ------------------------------------------------------------------------------------
-- Each view by itself, and a large one in parts: by its first column, where that is a uuid, from one
-- three-digit prefix to another. Whatever is wrong with an object shows in the part of its id.
create table invariant_checks (
    name text primary key,
    key_column text,
    position integer not null default 0,
    width integer not null default 4096,
    faults bigint not null default 0,
    unread integer not null default 0,
    milliseconds bigint not null default 0,
    read_in_milliseconds bigint,
    read_at timestamptz,
    tried_at timestamptz,
    created_at timestamptz not null default clock_now(),
    constraint invariant_part_lies_within check (
        position between 0 and 4095 and width between 1 and 4096
    )
);
comment on table invariant_checks is
'How far each invariant view is read. A pass goes through all prefixes, in any number of ticks.';
comment on column invariant_checks.key_column is
'The uuid by which the view is read in parts; null where it has none and is read as a whole.';
comment on column invariant_checks.position is 'The prefix that is next: 0 to 4095, three digits.';
comment on column invariant_checks.width is
'How many prefixes are read at once: all while that is quick, fewer where it is not.';
comment on column invariant_checks.faults is 'Rows that this pass has found.';
comment on column invariant_checks.unread is 'Parts that this pass could not read.';
comment on column invariant_checks.milliseconds is 'How long this pass has taken.';
comment on column invariant_checks.read_in_milliseconds is 'How long the last whole pass took.';
comment on column invariant_checks.read_at is 'When the view was last read to its end.';

revoke insert, update, delete, truncate on invariant_checks from public, munim_hasura;

create function stopwatch() returns bigint
language sql volatile
begin atomic
select (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint;
end;
comment on function stopwatch is
'Milliseconds, by which to say how long something took; never when it was, as no test can move it.';

create function invariant_object() returns uuid
language sql immutable
begin atomic
select '00000000-0000-0000-0000-000000000000'::uuid;
end;
comment on function invariant_object is
'The object of an exception about an invariant, which is about the whole database.';

create function list_invariant(p_session json, p_class text, p_name text, p_detail text)
returns void
language sql volatile
begin atomic
select record_exception(
    null, (p_session ->> 'x-hasura-livemode')::boolean, p_class, p_name, invariant_object(), null,
    null, p_detail
);
end;
comment on function list_invariant is 'Lists an invariant among the exceptions, once.';

create function begin_invariant_checks(hasura_session json) returns setof invariant_checks
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);

    insert into invariant_checks (name, key_column)
    select
        views.relname,
        case when firsts.atttypid = 'uuid'::regtype then firsts.attname end
    from pg_class as views
    inner join pg_attribute as firsts on firsts.attrelid = views.oid and firsts.attnum = 1
    where views.relnamespace = 'public'::regnamespace and views.relkind = 'v'
        and starts_with(views.relname, 'invariant_')
    order by views.relname
    on conflict on constraint invariant_checks_pkey do update
    set key_column = excluded.key_column, position = 0, width = 4096, faults = 0, unread = 0
    where invariant_checks.key_column is distinct from excluded.key_column;
    delete from invariant_checks
    where not exists (
        select from pg_views where schemaname = 'public' and viewname = invariant_checks.name
    );

    return query select * from invariant_checks order by tried_at nulls first, name;
end;
$$;
comment on function begin_invariant_checks is
'Every invariant, the one that has waited longest first: who runs out of time neglects none.';
grant execute on function begin_invariant_checks to munim_hasura;

create function read_invariant(hasura_session json, p_name text) returns setof invariant_checks
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_started bigint := stopwatch();
    v_check invariant_checks;
    v_rows bigint;
    v_first jsonb;
begin
    perform require_service(hasura_session);
    -- Whoever asked may have stopped waiting; what it asked for goes on, and counts.
    if not pg_try_advisory_xact_lock(hashtextextended('read_invariant ' || p_name, 0)) then
        return;
    end if;
    select * into strict v_check from invariant_checks where name = p_name;

    execute format(
        'select count(*), (array_agg(to_jsonb(fault)))[1] from %I as fault where %s',
        v_check.name, invariant_part(v_check)
    ) into v_rows, v_first;

    if v_rows > 0 then
        perform list_invariant(
            hasura_session, 'invariant-broken', p_name, format('%s rows, as %s', v_rows, v_first)
        );
    end if;
    update invariant_checks
    set
        faults = faults + v_rows,
        milliseconds = milliseconds + stopwatch() - v_started,
        width = fitting_width(v_check, stopwatch() - v_started)
    where name = p_name;
    return query select * from pass_invariant_part(v_check);
end;
$$;
comment on function read_invariant is
'Reads the next part of an invariant, of all tenants and both modes, and lists what is broken. No row '
'where another is reading it. A position of 0 in the answer: the view is read to its end.';
grant execute on function read_invariant to munim_hasura;

create function invariant_part(p_check invariant_checks) returns text
language sql immutable
begin atomic
select case
    when p_check.width = 4096 then 'true'
    else
        format(
            '%1$I between %2$L and %3$L',
            p_check.key_column,
            lpad(to_hex(p_check.position), 3, '0') || '00000-0000-0000-0000-000000000000',
            lpad(to_hex(least(p_check.position + p_check.width, 4096) - 1), 3, '0')
            || 'fffff-ffff-ffff-ffff-ffffffffffff'
        )
        || case
            when p_check.position = 0 then format(' or %I is null', p_check.key_column) else ''
        end
end;
end;
comment on function invariant_part is
'The condition of the next part, which Postgres takes to the index of what the view reads.';

create function fitting_width(p_check invariant_checks, p_milliseconds bigint) returns integer
language sql immutable
begin atomic
select case
    when p_check.key_column is null then p_check.width
    when p_milliseconds > 1000 then greatest(p_check.width / 4, 1)
    when p_milliseconds < 100 then least(p_check.width * 2, 4096)
    else p_check.width
end;
end;
comment on function fitting_width is
'How much to read at once after so much took so long. The service waits for three seconds.';

create function pass_invariant_part(p_check invariant_checks) returns setof invariant_checks
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_check invariant_checks;
    v_is_end constant boolean := p_check.position + p_check.width >= 4096;
begin
    update invariant_checks
    set
        tried_at = clock_now(),
        position = case when v_is_end then 0 else p_check.position + p_check.width end
    where name = p_check.name
    returning * into strict v_check;

    if v_is_end then
        update invariant_checks
        set
            faults = 0, unread = 0, milliseconds = 0,
            read_at = case unread when 0 then clock_now() else read_at end,
            read_in_milliseconds = case unread when 0 then milliseconds else read_in_milliseconds end
        where name = p_check.name;
        perform resolve_exception('invariant-not-read', p_check.name, invariant_object())
        where v_check.unread = 0;
        perform resolve_exception('invariant-broken', p_check.name, invariant_object())
        where v_check.unread = 0 and v_check.faults = 0;
    end if;
    return query select * from invariant_checks where name = p_check.name;
end;
$$;
comment on function pass_invariant_part is
'Goes on to the next part. After the last: what was read to its end is read, and if nothing was found '
'it holds.';

create function put_off_invariant(hasura_session json, p_name text, p_reason text)
returns setof invariant_checks
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_check invariant_checks;
begin
    perform require_service(hasura_session);
    select * into strict v_check from invariant_checks where name = p_name for update;
    perform list_invariant(hasura_session, 'invariant-not-read', p_name, p_reason);

    if v_check.key_column is not null and v_check.width > 1 then
        return query
        update invariant_checks
        set width = greatest(v_check.width / 8, 1), tried_at = clock_now()
        where name = p_name
        returning *;
        return;
    end if;
    update invariant_checks set unread = unread + 1 where name = p_name;
    return query select * from pass_invariant_part(v_check);
end;
$$;
comment on function put_off_invariant is
'A part could not be read: it is listed, and smaller parts are read from now on; the smallest is left '
'out, so that it hides no other. The view counts as not read until all of it is.';
grant execute on function put_off_invariant to munim_hasura;

create function end_invariant_checks(hasura_session json) returns setof exceptions
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform list_invariant(
        hasura_session, 'invariant-not-read', name,
        format('not read to its end since %s', coalesce(read_at, created_at))
    )
    from invariant_checks
    where coalesce(read_at, created_at) < clock_now() - interval '6 hours';
    perform list_installation_faults(hasura_session);
    perform list_waiting_events((hasura_session ->> 'x-hasura-livemode')::boolean);

    return query
    select * from exceptions
    where class in ('invariant-broken', 'invariant-not-read', 'installation-unsafe')
        and resolved_at is null
    order by class, object_type;
end;
$$;
comment on function end_invariant_checks is
'Answers what is broken and what is not known, among it what nobody has read for six hours; and how '
'the database itself is not as it must be. Lists events that wait for a day after their turn.';
grant execute on function end_invariant_checks to munim_hasura;
