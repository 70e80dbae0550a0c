drop function require_read_committed;
drop function touch_updated_at;
drop function clock_now;
drop table clock;
