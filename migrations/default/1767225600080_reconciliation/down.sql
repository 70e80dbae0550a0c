drop function record_exception;
drop table exceptions;
