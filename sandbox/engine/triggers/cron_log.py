"""The SQL side of scheduled triggers: the events of cron triggers, and those for one time only."""

INSTALL_LOCK = 2_870_155_926_371_904_418  # any number, the same for every engine

# locked_at is not Hasura's: it frees what an engine that was killed had locked.
TABLES = """
do $$
begin
    -- "if not exists" asks for the right to create even where the schema exists.
    if to_regnamespace('hdb_catalog') is null then
        create schema hdb_catalog;
    end if;
end $$;
create table if not exists hdb_catalog.hdb_cron_events (
    id text primary key default gen_random_uuid(),
    trigger_name text not null,
    scheduled_time timestamptz not null,
    status text not null default 'scheduled'
        check (status in ('scheduled', 'locked', 'delivered', 'error', 'dead')),
    tries integer not null default 0,
    created_at timestamptz not null default now(),
    next_retry_at timestamptz
);
alter table hdb_catalog.hdb_cron_events add column if not exists locked_at timestamptz;
create unique index if not exists hdb_cron_events_once
    on hdb_catalog.hdb_cron_events (trigger_name, scheduled_time);
create index if not exists hdb_cron_events_waiting on hdb_catalog.hdb_cron_events (scheduled_time)
    where status in ('scheduled', 'locked');
create table if not exists hdb_catalog.hdb_cron_event_invocation_logs (
    id text primary key default gen_random_uuid(),
    event_id text references hdb_catalog.hdb_cron_events (id) on update cascade on delete cascade,
    status integer,
    request json,
    response json,
    created_at timestamptz not null default now()
);
create table if not exists hdb_catalog.hdb_scheduled_events (
    id text primary key default gen_random_uuid(),
    webhook_conf json not null,
    scheduled_time timestamptz not null,
    retry_conf json,
    payload json,
    header_conf json,
    status text not null default 'scheduled'
        check (status in ('scheduled', 'locked', 'delivered', 'error', 'dead')),
    tries integer not null default 0,
    created_at timestamptz not null default now(),
    next_retry_at timestamptz,
    comment text
);
alter table hdb_catalog.hdb_scheduled_events add column if not exists locked_at timestamptz;
create index if not exists hdb_scheduled_events_waiting
    on hdb_catalog.hdb_scheduled_events (scheduled_time) where status in ('scheduled', 'locked');
create table if not exists hdb_catalog.hdb_scheduled_event_invocation_logs (
    id text primary key default gen_random_uuid(),
    event_id text
        references hdb_catalog.hdb_scheduled_events (id) on update cascade on delete cascade,
    status integer,
    request json,
    response json,
    created_at timestamptz not null default now()
);
"""

# What was planned and has not come yet follows the metadata; what is due or retried stays, unless
# its trigger is gone.
FORGET = """
delete from hdb_catalog.hdb_cron_events
where status = 'scheduled'
    and (trigger_name <> all($1::text[]) or (tries = 0 and scheduled_time > now()))
"""

PLANNED = """
select trigger_name, count(*) as number, max(scheduled_time) as until
from hdb_catalog.hdb_cron_events
where status = 'scheduled' and scheduled_time > now()
group by trigger_name
"""

PLAN = """
insert into hdb_catalog.hdb_cron_events (trigger_name, scheduled_time)
select * from unnest($1::text[], $2::timestamptz[])
on conflict (trigger_name, scheduled_time) do nothing
"""

CLAIM = """
with due as (
    select id from hdb_catalog.{table}
    where (
        (status = 'scheduled' and coalesce(next_retry_at, scheduled_time) <= now())
        or (status = 'locked' and locked_at < now() - $2 * interval '1 second')
    )
        and scheduled_time <= now()
    order by scheduled_time
    limit $1
    for update skip locked
)
update hdb_catalog.{table} as event set status = 'locked', locked_at = now()
from due where event.id = due.id
returning {columns}, extract(epoch from now() - event.scheduled_time)::float8 as late_s
"""

SETTLE = """
with result as (
    select * from unnest($1::text[], $2::text[], $3::float8[], $4::int[], $5::text[], $6::text[])
        as result (id, state, wait_s, status, request, response)
), logged as (
    insert into hdb_catalog.{logs} (event_id, status, request, response)
    select event.id, result.status, result.request::json, result.response::json
    from result join hdb_catalog.{table} as event on event.id = result.id
    where result.response is not null
)
update hdb_catalog.{table} as event
set status = case when result.state in ('retry', 'released') then 'scheduled' else result.state end,
    tries = event.tries + (result.response is not null)::int,
    next_retry_at = case
        when result.state = 'retry' then now() + result.wait_s * interval '1 second'
        when result.state = 'released' then event.next_retry_at
    end,
    locked_at = null
from result where event.id = result.id
"""

SCHEDULE = """
insert into hdb_catalog.hdb_scheduled_events
    (webhook_conf, scheduled_time, payload, header_conf, retry_conf, comment)
values (
    ($1::text)::json, ($2::text)::timestamptz,
    ($3::text)::json, ($4::text)::json, ($5::text)::json, $6
)
returning id
"""

CRON = {
    "table": "hdb_cron_events",
    "logs": "hdb_cron_event_invocation_logs",
    "columns": "event.id, event.trigger_name, event.scheduled_time, event.tries",
}
ONE_OFF = {
    "table": "hdb_scheduled_events",
    "logs": "hdb_scheduled_event_invocation_logs",
    "columns": "event.id, event.scheduled_time, event.created_at, event.tries, event.comment, "
    "event.webhook_conf::text, event.payload::text, event.header_conf::text, "
    "event.retry_conf::text",
}
