-- Who comes to a gateway's door and is not let in leaves nothing but a number; so does who is heard
-- though nobody vouches for them.
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
            'not-found', 'unsigned'
        )
    ),
    constraint refused_messages_have_a_gateway check (gateway ~ '^[a-z][a-z0-9_]{0,31}$'),
    constraint refused_messages_are_counted check (messages > 0),
    constraint refused_body_hash_is_one check (last_body_hash ~ '^[0-9a-f]{64}$')
);
comment on table refused_messages is
'Webhooks that were refused, or heard and not kept, counted by day, gateway and reason: a few rows a day, '
'however many come. Of refusals about so many: a process writes once a minute what it refused, and what it '
'has not written when it ends is lost.';
comment on column refused_messages.day is 'When it was written down, in UTC.';
comment on column refused_messages.reason is
'A code of docs/errors.md; stale is a signature-invalid of which the signature is right and the time wrong, '
'unsigned a hint that its gateway does not sign: see hear_hint.';
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

create function hear_hint(
    hasura_session json,
    p_gateway text,
    p_gateway_account text,
    p_notice jsonb,
    p_body_hash text
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_event gateway_events;
    v_attempt payment_attempts;
    v_is_new boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    v_event.gateway := p_gateway;
    v_event.gateway_account := p_gateway_account;
    v_event.livemode := hasura_session ->> 'x-hasura-livemode';
    v_event.notice := p_notice;
    v_attempt := attempt_of_notice(v_event);
    v_is_new := follow_hint(v_event, v_attempt);

    -- The last step: all who send hints wait for each other here, and nobody else.
    perform note_refused_messages(
        hasura_session,
        jsonb_build_array(jsonb_build_object(
            'gateway', p_gateway, 'reason', 'unsigned', 'messages', 1,
            'last_body_hash', p_body_hash
        ))
    );
    return query select * from payment_attempts where id = v_attempt.id and v_is_new;
end;
$$;
comment on function hear_hint is
'A message that its gateway does not sign, and so anybody''s: it is not kept, but counted, and books nothing. '
'At most it brings forward when the gateway is asked about a refund, for those of a payment or for its disputes, '
'and has a captured payment listed for a person, once. Answers the payment if so. Called again it counts '
'again, and asks no more often.';
grant execute on function hear_hint to munim_hasura;
