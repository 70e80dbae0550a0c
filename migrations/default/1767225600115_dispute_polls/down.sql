drop function end_dispute_poll;
drop function begin_dispute_polls;
drop function gateways_of_payments;
drop index disputes_that_are_open;
drop table dispute_polls;
