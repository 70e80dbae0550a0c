"""The SQL side of asynchronous actions: the log that keeps each call until it has been made."""

INSTALL_LOCK = 5_208_411_936_204_715_633  # any number, the same for every engine

# locked_at is not Hasura's: it frees what an engine that was killed had taken.
TABLE = """
do $$
begin
    -- "if not exists" asks for the right to create even where the schema exists.
    if to_regnamespace('hdb_catalog') is null then
        create schema hdb_catalog;
    end if;
end $$;
create table if not exists hdb_catalog.hdb_action_log (
    id uuid primary key default gen_random_uuid(),
    action_name text,
    input_payload jsonb not null,
    request_headers jsonb not null,
    session_variables jsonb not null,
    response_payload jsonb,
    errors jsonb,
    created_at timestamptz not null default now(),
    response_received_at timestamptz,
    status text not null check (status in ('created', 'processing', 'completed', 'error'))
);
alter table hdb_catalog.hdb_action_log add column if not exists locked_at timestamptz;
create index if not exists hdb_action_log_waiting on hdb_catalog.hdb_action_log (created_at)
    where status in ('created', 'processing');
"""

CLAIM = """
with due as (
    select id from hdb_catalog.hdb_action_log
    where action_name = any($3::text[]) and (
        status = 'created'
        or status = 'processing'
            and coalesce(locked_at, created_at) < now() - $2 * interval '1 second'
    )
    order by created_at
    limit $1
    for update skip locked
)
update hdb_catalog.hdb_action_log as log set status = 'processing', locked_at = now()
from due where log.id = due.id
returning log.id::text as id, log.action_name, log.input_payload::text as input,
    log.request_headers::text as headers, log.session_variables::text as variables
"""

# A late answer to a call that has been answered since, by another engine, changes nothing.
COMPLETE = """
update hdb_catalog.hdb_action_log
set status = 'completed', response_payload = ($2::text)::jsonb, response_received_at = now()
where id = ($1::text)::uuid and status = 'processing'
"""

FAIL = """
update hdb_catalog.hdb_action_log
set status = 'error', errors = ($2::text)::jsonb, response_received_at = now()
where id = ($1::text)::uuid and status = 'processing'
"""

RELEASE = """
update hdb_catalog.hdb_action_log set status = 'created', locked_at = null
where id = ($1::text)::uuid and status = 'processing'
"""
