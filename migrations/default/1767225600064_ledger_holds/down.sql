drop function post_ledger_hold;
drop function release_ledger_hold;
drop function open_ledger_hold;
drop function place_ledger_hold;
drop table ledger_holds;
drop function keep_ledger_hold;
