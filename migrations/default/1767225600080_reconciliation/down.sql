drop function check_delay;
drop function resolve_exception;
drop function record_exception;
drop table exceptions;
