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
select ledger_accounts.id as ledger_account_id, ledger_accounts.balance
from ledger_accounts
where ledger_accounts.code = 'payments_received' and ledger_accounts.balance <> 0;
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
    and abs(ledger_entries.amount) <> payment_attempts.amount;
comment on view invariant_captures_book_what_was_taken is 'I4: the same amount in both.';
