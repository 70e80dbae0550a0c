-- Who comes to a gateway's door and is not let in leaves nothing but a number.
create table refused_messages (
    day date not null,
    gateway text not null,
    livemode boolean not null,
    reason text not null,
    messages bigint not null,
    last_body_hash text,
    last_at timestamptz not null,
    created_at timestamptz not null default clock_now(),
    primary key (day, gateway, reason, livemode),
    constraint refused_message_reason_is_known check (
        reason in (
            'signature-invalid', 'stale', 'invalid-input', 'payload-too-large', 'forbidden',
            'not-found'
        )
    ),
    constraint refused_messages_have_a_gateway check (gateway ~ '^[a-z][a-z0-9_]{0,31}$'),
    constraint refused_messages_are_counted check (messages > 0),
    constraint refused_body_hash_is_one check (last_body_hash ~ '^[0-9a-f]{64}$')
);
comment on table refused_messages is
'Webhooks that were refused, counted by day, gateway and reason: a few rows a day, however many come. About so '
'many: a process writes once a minute what it refused, and what it has not written when it ends is lost.';
comment on column refused_messages.day is 'When it was written down, in UTC.';
comment on column refused_messages.reason is
'A code of docs/errors.md; stale is a signature-invalid of which the signature is right and the time wrong.';
comment on column refused_messages.last_body_hash is
'SHA-256 of the newest body, in hexadecimal: the same one again is somebody who repeats. Null where it was '
'too long to be read.';

create function note_refused_messages(hasura_session json, p_messages jsonb)
returns setof refused_messages
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_now constant timestamptz := clock_now();
    v_today constant date := (v_now at time zone 'UTC')::date;
begin
    perform require_service(hasura_session);
    delete from refused_messages where day < v_today - 400;
    return query
    insert into refused_messages as known (
        day, gateway, livemode, reason, messages, last_body_hash, last_at
    )
    select
        v_today, refused.gateway, (hasura_session ->> 'x-hasura-livemode')::boolean, refused.reason,
        refused.messages, refused.last_body_hash, v_now
    from jsonb_to_recordset(p_messages)
        as refused (gateway text, reason text, messages bigint, last_body_hash text)
    order by refused.gateway, refused.reason  -- in one order: two who write wait, and do not embrace
    on conflict (day, gateway, reason, livemode) do update
    set
        messages = known.messages + excluded.messages, last_body_hash = excluded.last_body_hash,
        last_at = greatest(known.last_at, excluded.last_at)
    returning *;
end;
$$;
comment on function note_refused_messages is
'Adds to the numbers of refused messages: rows of gateway, reason, messages and last_body_hash. Called again '
'it adds again, so the numbers are about right. It locks nothing that a genuine message needs.';
grant execute on function note_refused_messages to munim_hasura;
