drop function receive_gateway_events;
drop function obstacle_to_capture;
drop function write_gateway_events;
drop function capture_payments;
drop function book_payments;
drop function post_payments;
drop function lock_payments;
