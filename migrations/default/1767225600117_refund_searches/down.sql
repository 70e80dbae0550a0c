drop function end_refund_search;
drop function claim_refund_searches;
drop function lock_due_refund_searches;
drop function may_be_refunded_unheard;
drop function search_hinted_refund;
drop function search_refunds;
drop table refund_searches;
