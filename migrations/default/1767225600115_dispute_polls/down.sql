drop function claim_dispute_check;
drop function end_report;
drop function end_dispute_poll;
drop function ask_about_disputes_soon;
drop function begin_dispute_polls;
drop function is_gateway_of_poll_failing;
drop function gateways_of_payments;
drop table dispute_polls;
