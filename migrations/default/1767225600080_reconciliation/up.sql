create table exceptions (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid references organizations (id),
    livemode boolean not null,
    class text not null,
    object_type text not null,
    object_id uuid not null,
    amount bigint,
    currency text,
    detail text not null,
    created_at timestamptz not null default clock_now(),
    resolved_at timestamptz,
    assigned_to text,
    resolved_by text,
    resolution text,
    constraint exception_is_listed_once unique (class, object_type, object_id),
    constraint exception_class_is_a_word check (class ~ '^[a-z]+(-[a-z]+)*$'),
    constraint exception_is_resolved_by_hand_with_a_reason check (
        (resolved_by is null) = (resolution is null)
        and (resolved_by is null or resolved_at is not null)
    )
);
comment on table exceptions is
'What the system will not decide by itself: money or messages that need a person.';
comment on column exceptions.organization_id is 'Null where a message could not be matched to anyone.';
comment on column exceptions.assigned_to is 'The user id of who looks into it, if somebody does.';
comment on column exceptions.resolved_by is
'The user id of the person who took it off the list, and resolution is why; null where it settled itself.';

create index exceptions_open on exceptions (created_at) where resolved_at is null;

create function record_exception(
    p_organization_id uuid,
    p_livemode boolean,
    p_class text,
    p_object_type text,
    p_object_id uuid,
    p_amount bigint,
    p_currency text,
    p_detail text
) returns void
language sql volatile
begin atomic
insert into exceptions (
    organization_id, livemode, class, object_type, object_id, amount, currency, detail
)
values (
    p_organization_id, p_livemode, p_class, p_object_type, p_object_id, p_amount, p_currency,
    p_detail
)
on conflict on constraint exception_is_listed_once do update
set
    amount = excluded.amount, currency = excluded.currency, detail = excluded.detail,
    resolved_at = null, resolved_by = null, resolution = null
where (exceptions.resolved_at is not null and exceptions.resolved_by is null)
    or (exceptions.amount, exceptions.currency, exceptions.detail)
    is distinct from (excluded.amount, excluded.currency, excluded.detail);
end;
comment on function record_exception is
'Lists an object under a class, once however often it is called, with what was said last of it; what was '
'resolved is open again. What a person resolved is so only when something else is said: they had read this.';

create function resolve_exception(p_class text, p_object_type text, p_object_id uuid) returns void
language sql volatile
begin atomic
update exceptions set resolved_at = clock_now()
where class = p_class and object_type = p_object_type and object_id = p_object_id
    and resolved_at is null;
end;
comment on function resolve_exception is 'Takes an object off the list: it was settled after all.';

create function check_delay(p_checks integer) returns interval
language sql immutable
begin atomic
select (
    array['30 seconds', '2 minutes', '10 minutes', '1 hour', '6 hours']::interval[]
    || array_fill(interval '20 hours', array[7])
)[p_checks + 1];
end;
comment on function check_delay is
'How long to wait before a gateway is asked again about something that has not ended, after so many '
'times; null when it is a person''s turn. Twenty hours at most, so that what happens just after a '
'question is known within a day though some answers are lost.';

revoke insert, update, delete, truncate on exceptions from public, munim_hasura;
