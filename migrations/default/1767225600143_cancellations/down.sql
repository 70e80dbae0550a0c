drop function list_held_payment;
drop function tell_of_cancellation;
drop function cancel_payment;
drop function call_off_payment;
