create view credit_wallets as
select
    ledger_accounts.id,
    ledger_accounts.organization_id,
    ledger_accounts.livemode,
    ledger_accounts.customer_id,
    major_units(-ledger_accounts.balance, 'XCR')::numeric(20, 4) as balance,
    ledger_accounts.status
from ledger_accounts
where ledger_accounts.currency = 'XCR' and ledger_accounts.customer_id is not null;
comment on view credit_wallets is 'A customer''s credits: their ledger account in XCR, read as credits.';

create view credit_entries as
select
    ledger_entries.id,
    ledger_entries.organization_id,
    ledger_entries.livemode,
    ledger_accounts.customer_id,
    ledger_transactions.kind,
    ledger_transactions.reference_type,
    ledger_transactions.reference_id,
    major_units(-ledger_entries.amount, 'XCR')::numeric(20, 4) as amount,
    major_units(-ledger_entries.balance_after, 'XCR')::numeric(20, 4) as balance_after,
    ledger_transactions.occurred_at,
    ledger_entries.created_at
from ledger_entries
inner join ledger_accounts on ledger_accounts.id = ledger_entries.ledger_account_id
inner join ledger_transactions on ledger_transactions.id = ledger_entries.ledger_transaction_id
where ledger_accounts.currency = 'XCR' and ledger_accounts.customer_id is not null;
comment on view credit_entries is 'The history of the wallets: credits in are positive, out negative.';

