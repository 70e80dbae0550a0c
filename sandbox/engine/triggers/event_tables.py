"""The tables of the event log, and the functions by which triggers write to it."""

# Every time is UTC without a zone, as Hasura keeps it. The partial index serves the claim.
TABLES = """
do $$
begin
    -- "if not exists" asks for the right to create even where the schema exists.
    if to_regnamespace('hdb_catalog') is null then
        create schema hdb_catalog;
    end if;
end $$;
create table if not exists hdb_catalog.event_log (
    id text primary key default gen_random_uuid(),
    schema_name text not null,
    table_name text not null,
    trigger_name text not null,
    payload jsonb not null,
    delivered boolean not null default false,
    error boolean not null default false,
    tries integer not null default 0,
    created_at timestamp not null default timezone('utc', now()),
    locked timestamptz,
    next_retry_at timestamp,
    archived boolean not null default false
);
create index if not exists event_log_fetch_events on hdb_catalog.event_log
    (locked nulls first, next_retry_at nulls first, created_at)
    where not delivered and not error and not archived;
create table if not exists hdb_catalog.event_invocation_logs (
    id text primary key default gen_random_uuid(),
    trigger_name text,
    event_id text,
    status integer,
    request json,
    response json,
    created_at timestamp default timezone('utc', now())
);
create index if not exists event_invocation_logs_event_id
    on hdb_catalog.event_invocation_logs (event_id);
"""

# One function serves every trigger, as whoever writes the table: its owner's rights are enough for
# the log, and its search_path is nobody else's. It takes its columns from the row itself, so it
# survives columns that come, go and change their type; to_jsonb also compares json, which has no
# equality of its own. Arguments: trigger, schema, table (the parent's, when a partition fires),
# listened, sent and stringified columns, each a JSON list or '*'.
FUNCTIONS = """
create or replace function hdb_catalog.event_row(p_row jsonb, p_columns jsonb, p_texts jsonb)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        jsonb_object_agg(
            key,
            case
                when p_texts ? key and jsonb_typeof(value) = 'number'
                    then to_jsonb(value #>> '{}')
                else value
            end
        ),
        '{}'
    )
    from jsonb_each(p_row)
    where p_columns = '"*"' or p_columns ? key
$$;

create or replace function hdb_catalog.notify_event()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    v_listened jsonb := tg_argv[3];
    v_sent jsonb := tg_argv[4];
    v_texts jsonb := tg_argv[5];
begin
    if tg_op = 'UPDATE' then
        if v_old = v_new then
            return null;
        end if;
        if v_listened <> '"*"'
            and hdb_catalog.event_row(v_old, v_listened, '[]')
                = hdb_catalog.event_row(v_new, v_listened, '[]')
        then
            return null;
        end if;
    end if;

    if v_sent <> '"*"' or v_texts <> '[]' then
        v_old := case when v_old is not null
            then hdb_catalog.event_row(v_old, v_sent, v_texts) end;
        v_new := case when v_new is not null
            then hdb_catalog.event_row(v_new, v_sent, v_texts) end;
    end if;

    insert into hdb_catalog.event_log (trigger_name, schema_name, table_name, payload)
    values (
        tg_argv[0], tg_argv[1], tg_argv[2],
        jsonb_build_object(
            'op', tg_op,
            'data', jsonb_build_object('old', v_old, 'new', v_new),
            'session_variables', nullif(current_setting('hasura.user', true), '')::jsonb,
            'trace_context', nullif(current_setting('hasura.tracecontext', true), '')::jsonb
        )
    );
    -- Commits that notify wait for each other, the disk included. The engine's own need not.
    if current_setting('engine.looks_itself', true) is distinct from 'on' then
        perform pg_notify('hdb_events', '');
    end if;
    return null;
end;
$$;
revoke execute on function hdb_catalog.notify_event() from public;
"""
