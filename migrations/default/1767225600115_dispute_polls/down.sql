drop function end_dispute_poll;
drop function begin_dispute_polls;
drop function gateways_of_payments;
drop table dispute_polls;
