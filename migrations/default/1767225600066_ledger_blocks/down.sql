drop function seal_ledger_block;
drop function ledger_transaction_hash;
drop function ledger_transaction_text;
drop function ledger_account_text;
drop function one_line;
drop table ledger_seals;
drop table ledger_blocks;
