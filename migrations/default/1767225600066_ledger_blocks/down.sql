drop function seal_ledger_block;
drop function ledger_transaction_hash;
drop function ledger_transaction_text;
drop table ledger_seals;
drop table ledger_blocks;
