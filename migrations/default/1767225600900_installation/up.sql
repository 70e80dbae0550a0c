-- What a start of the service cannot see: how the database it works with is set up, and whether all
-- that keeps the books right is still there. Stays the last migration: it notes what there is.
create table installation_parts (
    kind text not null,
    relation text not null,
    name text not null,
    primary key (kind, relation, name)
);
comment on table installation_parts is
'Every constraint, trigger and unique index that the migrations made. One that is gone, switched off or '
'not valid is listed among the exceptions.';

create function installed_parts() returns setof installation_parts
language sql stable
begin atomic
select
    'constraint' as kind, classes.relname::text as relation, constraints.conname::text as name
from pg_constraint as constraints
inner join pg_class as classes on classes.oid = constraints.conrelid
where classes.relnamespace = 'public'::regnamespace and constraints.convalidated
union all
select 'trigger' as kind, classes.relname::text as relation, triggers.tgname::text as name
from pg_trigger as triggers
inner join pg_class as classes on classes.oid = triggers.tgrelid
where classes.relnamespace = 'public'::regnamespace
    and not triggers.tgisinternal and triggers.tgenabled <> 'D'
    and not starts_with(triggers.tgname, 'notify_hasura')
union all
select 'index' as kind, classes.relname::text as relation, indexed.relname::text as name
from pg_index as indexes
inner join pg_class as indexed on indexed.oid = indexes.indexrelid
inner join pg_class as classes on classes.oid = indexes.indrelid
where classes.relnamespace = 'public'::regnamespace
    and indexes.indisunique and indexes.indisvalid;
end;
comment on function installed_parts is
'What holds at present. Hasura''s own triggers come and go with its metadata.';

insert into installation_parts (kind, relation, name)
select kind, relation, name from installed_parts();

create function installation_faults(p_livemode boolean)
returns table (name text, detail text)
language sql stable
begin atomic
select
    parts.relation || '.' || parts.name as name,
    format('the %s is missing or does not hold', parts.kind) as detail
from installation_parts as parts
where (parts.kind, parts.relation, parts.name) not in (
    select installed.kind, installed.relation, installed.name
    from installed_parts() as installed
)
union all
select
    wanted.name,
    format('%s is %s', wanted.name, current_setting(wanted.name)) as detail
from (
    values
    ('fsync', array['on']),
    ('full_page_writes', array['on']),
    ('synchronous_commit', array['on', 'local', 'remote_write', 'remote_apply']),
    ('transaction_isolation', array['read committed'])
) as wanted (name, safe)
where p_livemode and current_setting(wanted.name) <> all(wanted.safe)
union all
select 'clock' as name, format('the clock is moved by %s seconds', clock.skew_seconds) as detail
from clock
where p_livemode and clock.skew_seconds <> 0;
end;
comment on function installation_faults is
'What is not as it must be: parts that are missing, in any mode; and in live a database that may forget '
'what it has acknowledged, another isolation than the money functions are written for, or a moved clock.';

create function list_installation_faults(p_session json) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_livemode constant boolean := (p_session ->> 'x-hasura-livemode')::boolean;
    v_names constant text[] := array(select name from installation_faults(v_livemode));
begin
    perform list_invariant(p_session, 'installation-unsafe', faults.name, faults.detail)
    from installation_faults(v_livemode) as faults;
    perform resolve_exception('installation-unsafe', object_type, object_id)
    from exceptions
    where class = 'installation-unsafe' and resolved_at is null and livemode = v_livemode
        and object_type <> all(v_names);
end;
$$;
comment on function list_installation_faults is
'Lists what is not as it must be, until it is.';

revoke insert, update, delete, truncate on installation_parts from public, munim_hasura;
