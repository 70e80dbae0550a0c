drop function claim_dispute_check;
drop function end_dispute_poll;
drop function begin_dispute_polls;
drop function gateways_of_payments;
drop table dispute_polls;
