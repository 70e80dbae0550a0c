-- One clock. Everything that asks for the time asks clock_now(), so that a sandbox can move it.
create table clock (
    only_row boolean primary key default true,
    skew_seconds bigint not null default 0,
    constraint clock_has_one_row check (only_row)
);
comment on table clock is 'How far this database''s time is from the world''s. Always zero in live.';
insert into clock default values;

create function clock_now() returns timestamptz
language sql stable parallel safe
begin atomic
select pg_catalog.now() + clock.skew_seconds * interval '1 second' from clock;
end;
comment on function clock_now is 'The time of this transaction; the only clock that SQL may read.';
grant execute on function clock_now to munim_hasura;

create function touch_updated_at() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    new.updated_at := clock_now();
    return new;
end;
$$;
comment on function touch_updated_at is 'Keeps updated_at true, whoever writes.';

create function require_read_committed() returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'money functions run under read committed, not %',
            current_setting('transaction_isolation')
            using errcode = 'assert_failure';
    end if;
end;
$$;
comment on function require_read_committed is
'Lock-then-read is right under read committed only; under a frozen snapshot it is silently wrong.';
