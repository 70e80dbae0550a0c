drop view credit_entries;
drop view credit_wallets;
