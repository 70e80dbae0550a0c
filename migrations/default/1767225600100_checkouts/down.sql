drop function fail_checkout;
drop function record_checkout_session;
drop function acting_attempt;
drop function open_checkout_session;
drop table checkout_sessions;
