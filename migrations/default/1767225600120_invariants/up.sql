-- Each view must be empty. A row is money gone wrong, and says which.
create view invariant_ledger_balances as
select ledger_transaction_id, currency, sum(amount) as amount
from ledger_entries
group by ledger_transaction_id, currency
having sum(amount) <> 0;
comment on view invariant_ledger_balances is 'I1: each transaction sums to zero in each currency.';

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
        id,
        ledger_account_id,
        amount,
        balance_after,
        created_at,
        lag(balance_after) over accounts as balance_before,
        lag(created_at) over accounts as created_before
    from ledger_entries
    window accounts as (partition by ledger_account_id order by id)
)

select id as ledger_entry_id, ledger_account_id
from steps
where coalesce(balance_before, 0) + amount <> balance_after or created_at < created_before;
comment on view invariant_balances_follow_each_other is
'I2: each balance follows from the one before it, and no entry is dated before its predecessor.';

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

create view invariant_received_payments_are_fulfilled as
select organization_id, livemode, currency, balance
from ledger_balances
where code = 'payments_received' and balance <> 0;
comment on view invariant_received_payments_are_fulfilled is
'No captured money waits: each capture is fulfilled in its own transaction.';

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

create view invariant_attempts_ask_for_what_is_owed as
select payment_attempts.id as payment_attempt_id
from payment_attempts
inner join payment_intents on payment_intents.id = payment_attempts.payment_intent_id
where (payment_attempts.amount, payment_attempts.currency)
    <> (payment_intents.amount, payment_intents.currency);
comment on view invariant_attempts_ask_for_what_is_owed is 'An attempt is for its intent''s amount.';

create view invariant_captures_book_what_was_taken as
select payment_attempts.id as payment_attempt_id, ledger_entries.amount
from payment_attempts
inner join ledger_transactions
    on ledger_transactions.reference_type = 'payment_attempt'
    and ledger_transactions.reference_id = payment_attempts.id
inner join ledger_entries on ledger_entries.ledger_transaction_id = ledger_transactions.id
where ledger_transactions.kind = 'capture'
    and abs(ledger_entries.amount) <> payment_attempts.amount_captured;
comment on view invariant_captures_book_what_was_taken is 'I4: the same amount in both.';

create view invariant_surplus_is_owed_back as
select
    ledger_balances.organization_id,
    ledger_balances.livemode,
    ledger_balances.currency,
    ledger_balances.balance,
    coalesce(sum(payment_attempts.amount_captured - payment_attempts.amount_refunded), 0) as owed
from ledger_balances
left join payment_attempts
    on payment_attempts.organization_id = ledger_balances.organization_id
    and payment_attempts.livemode = ledger_balances.livemode
    and payment_attempts.currency = ledger_balances.currency
    and payment_attempts.is_surplus
where ledger_balances.code = 'surplus'
group by
    ledger_balances.organization_id, ledger_balances.livemode, ledger_balances.currency,
    ledger_balances.balance
having
    -ledger_balances.balance
    <> coalesce(sum(payment_attempts.amount_captured - payment_attempts.amount_refunded), 0);
comment on view invariant_surplus_is_owed_back is
'I13: what was captured beyond what was owed is a debt until it is refunded.';

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

create function check_invariants(hasura_session json) returns setof exceptions
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_view text;
    v_rows bigint;
    v_first jsonb;
    v_object constant uuid := '00000000-0000-0000-0000-000000000000';
begin
    perform require_service(hasura_session);

    for v_view in
        select viewname from pg_views
        where schemaname = 'public' and starts_with(viewname, 'invariant_')
        order by viewname
    loop
        execute format(
            'select count(*), (array_agg(to_jsonb(fault)))[1] from %I as fault', v_view
        ) into v_rows, v_first;

        if v_rows > 0 then
            perform record_exception(
                null, (hasura_session ->> 'x-hasura-livemode')::boolean, 'invariant-broken', v_view,
                v_object, null, null, format('%s rows, as %s', v_rows, v_first)
            );
        else
            update exceptions set resolved_at = clock_now()
            where class = 'invariant-broken' and object_type = v_view and resolved_at is null;
        end if;
    end loop;
    return query
    select * from exceptions where class = 'invariant-broken' and resolved_at is null;
end;
$$;
comment on function check_invariants is
'Reads every invariant, of all tenants and both modes. What is broken is listed once among the '
'exceptions, and taken off when it holds again. Answers what is broken now.';
grant execute on function check_invariants to munim_hasura;
