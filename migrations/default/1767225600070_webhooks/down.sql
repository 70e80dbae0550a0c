drop function record_event;
drop table events;
