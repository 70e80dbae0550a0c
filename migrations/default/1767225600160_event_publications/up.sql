-- How events leave: in whose words, who sends them, and what becomes of those that nobody takes.
create table event_words (
    profile text not null references event_profiles (profile),
    type text not null,
    source text not null,
    detail_type text not null,
    fields jsonb not null,
    constants jsonb not null default '{}',
    primary key (profile, type),
    constraint event_words_source_is_a_name check (
        source ~ '^[A-Za-z0-9._/-]{1,255}$' and source !~ '^aws\.'
    ),
    constraint event_words_have_a_detail_type check (length(detail_type) between 1 and 128),
    constraint event_words_are_objects check (
        jsonb_typeof(fields) = 'object' and jsonb_typeof(constants) = 'object'
    )
);
comment on table event_words is
'What an event is called in a profile, and what its message says. A type without a row keeps our '
'words: its own type, and all its facts.';
comment on column event_words.fields is
'The message''s names, each with the fact of ours that it stands for; amount_major is the amount with '
'its decimals.';
comment on column event_words.constants is 'What a message of this type always says.';

-- NovaMart's records of a payment and of a refund. What its records call failed it hears as that.
insert into event_words (profile, type, source, detail_type, fields, constants)
select
    'novamart' as profile,
    records.noun || '.' || outcomes.outcome as type,
    'novamart.payments' as source,
    records.noun || '.' || lower(outcomes.word) as detail_type,
    records.fields || jsonb_build_object(
        'paymentId', 'payment_intent_id',
        'orderId', 'order_reference',
        'customerId', 'customer_external_id',
        'amount', 'amount_major',
        'currency', 'currency',
        'createdAt', 'object_created_at',
        'updatedAt', 'created_at'
    ) as fields,
    jsonb_build_object('status', outcomes.word) as constants
from
    (
        values
        ('payment', '{"transactionId": "gateway_payment_id", "reason": "failure_code"}'::jsonb),
        (
            'refund',
            '{"refundId": "refund_id", "transactionId": "gateway_refund_id", "reason": "reason"}'
        )
    ) as records (noun, fields)
inner join
    (
        values
        ('payment', 'succeeded', 'SUCCEEDED'),
        ('payment', 'failed', 'FAILED'),
        ('payment', 'expired', 'FAILED'),
        ('payment', 'canceled', 'FAILED'),
        ('refund', 'succeeded', 'SUCCEEDED'),
        ('refund', 'failed', 'FAILED')
    ) as outcomes (noun, outcome, word)
    on outcomes.noun = records.noun;

-- UberTruck's events. It names the fields of the first two.
insert into event_words (profile, type, source, detail_type, fields)
select
    'ubertruck' as profile,
    names.type,
    'payment.service' as source,
    names.detail_type,
    names.fields || jsonb_build_object(
        'transaction_id', 'transaction_id',
        'amount', 'amount_major',
        'currency', 'currency',
        'booking_id', 'order_reference'
    ) as fields
from (
    values
    ('payment.initiated', 'PaymentInitiated', '{}'::jsonb),
    ('payment.succeeded', 'PaymentSuccess', '{"payment_id": "gateway_payment_id"}'),
    ('payment.processing', 'PaymentPending', '{"payment_id": "gateway_payment_id"}'),
    (
        'payment.failed', 'PaymentFailure',
        '{"payment_id": "gateway_payment_id", "failure_code": "failure_code"}'
    ),
    (
        'payment.expired', 'PaymentFailure',
        '{"payment_id": "gateway_payment_id", "failure_code": "failure_code"}'
    )
) as names (type, detail_type, fields);

create table event_publication_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table event_publication_steps is 'Every legal change of event_publications.status.';
insert into event_publication_steps (before, after) values
('pending', 'published'),
('pending', 'parked'),
('parked', 'pending'),  -- a person says: try again
('parked', 'published');  -- two senders had it, and the slower one was heard

create trigger event_publication_takes_legal_steps
before update of status on event_publications
for each row when (old.status is distinct from new.status)
execute function check_step('event_publication_steps');

create view event_messages as
select
    events.id,
    events.organization_id,
    events.livemode,
    event_publications.destination,
    events.type,
    events.object_type,
    events.object_id,
    events.sequence,
    events.created_at,
    coalesce(event_words.source, event_profiles.source) as source,
    coalesce(event_words.detail_type, events.type) as detail_type,
    event_words.fields,
    event_words.constants,
    (
        jsonb_strip_nulls(jsonb_build_object(
            'order_reference', orders.reference,
            'transaction_id', orders.display_id,
            'customer_external_id', customers.external_id,
            'gateway_payment_id', attempts.gateway_payment_id,
            'gateway_refund_id', refunds.gateway_refund_id,
            'object_created_at', coalesce(refunds.created_at, payment_intents.created_at)
        )) || events.data
    )::text as facts
from event_publications
inner join events on events.id = event_publications.event_id
inner join event_destinations
    on event_destinations.organization_id = event_publications.organization_id
    and event_destinations.livemode = event_publications.livemode
    and event_destinations.destination = event_publications.destination
inner join event_profiles on event_profiles.profile = event_destinations.profile
left join event_words
    on event_words.profile = event_destinations.profile and event_words.type = events.type
left join refunds on refunds.id = events.object_id and events.object_type = 'refund'
left join payment_intents
    on payment_intents.id = case events.object_type
        when 'payment_intent' then events.object_id
        else refunds.payment_intent_id
    end
left join orders on orders.payment_intent_id = payment_intents.id
left join customers on customers.id = payment_intents.customer_id
-- Compared as texts: what an event says is never trusted to be an id.
left join payment_attempts as attempts
    on attempts.payment_intent_id = payment_intents.id
    and attempts.id::text = events.data ->> 'payment_attempt_id';
comment on view event_messages is
'What is sent of an event to a destination. facts is JSON as text, so that no number loses a digit.';

create function publication_delay(p_attempts integer) returns interval
language sql immutable
begin atomic
select (
    array['1 minute', '1 minute', '2 minutes', '5 minutes', '15 minutes', '30 minutes']::interval[]
    || array_fill(interval '1 hour', array[72])
)[p_attempts + 1];
end;
comment on function publication_delay is
'How long until an event is sent again, after so many times; null when it is a person''s turn: after '
'three days.';
grant execute on function publication_delay to munim_outbox;

create function put_off_publications(p_destination text, p_event_ids uuid[]) returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    update event_publications
    set
        attempts = attempts + 1,
        due_at = clock_now() + publication_delay(attempts),
        status = case
            when publication_delay(attempts) is null then 'parked' else 'pending'
        end
    where destination = p_destination and event_id = any(p_event_ids);
end;
$$;
comment on function put_off_publications is
'What is about to be sent is due again later, in case nobody is heard of it; or never, when it was '
'sent too often.';

create function write_publication_results(p_destination text, p_results jsonb) returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    update event_publications
    set
        status = case
            when results.outcome = 'published' then 'published'
            when results.outcome = 'refused' and attempts >= 3 then 'parked'
            else status
        end,
        due_at = case
            when results.outcome = 'published' then null
            when results.outcome = 'refused' and attempts >= 3 then null
            else due_at
        end,
        published_at = case when results.outcome = 'published' then clock_now() end,
        last_error = left(results.detail, 500)
    from jsonb_to_recordset(p_results) as results (event_id uuid, outcome text, detail text)
    where event_publications.event_id = results.event_id
        and event_publications.destination = p_destination
        and event_publications.status <> 'published';
end;
$$;
comment on function write_publication_results is
'Writes down how events were taken. Published stays published, whatever a slower sender says.';

create function begin_publications_again(p_destination text, p_event_ids uuid[]) returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    update event_publications
    set status = 'pending', attempts = 0, due_at = clock_now()
    where destination = p_destination and status = 'parked' and event_id = any(p_event_ids);
end;
$$;
comment on function begin_publications_again is 'Parked events are due now, as if they were new.';

-- Hasura may put triggers on event_publications: see munim_outbox in roles.
grant create on schema public to munim_outbox;
alter function put_off_publications owner to munim_outbox;
alter function write_publication_results owner to munim_outbox;
alter function begin_publications_again owner to munim_outbox;
revoke create on schema public from munim_outbox;

create function lock_parked_events(p_destination text, p_event_ids uuid[]) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform from events
    where id = any(array(
        select event_id
        from event_publications
        where destination = p_destination and event_id = any(p_event_ids) and status = 'parked'
    ))
    order by id
    for no key update;
end;
$$;
comment on function lock_parked_events is
'The list has one line of an event for all destinations: who writes it keeps the others away. Lock order: a '
'destination''s publications, events, each by id.';

create function list_parked_events(p_destination text, p_event_ids uuid[]) returns void
language sql volatile
begin atomic
select record_exception(
    events.organization_id, events.livemode, 'event-not-published', 'event', events.id, null, null,
    format(
        '%s to %s, tried %s times: %s', events.type, event_publications.destination,
        event_publications.attempts, coalesce(event_publications.last_error, 'no answer')
    )
)
from event_publications
inner join events on events.id = event_publications.event_id
where event_publications.destination = list_parked_events.p_destination
    and event_publications.event_id = any(list_parked_events.p_event_ids)
    and event_publications.status = 'parked';
end;
comment on function list_parked_events is 'An event that a destination did not take is for a person.';

create function list_waiting_events(p_livemode boolean) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_waiting event_publications;
begin
    for v_waiting in
        select longest.*
        from (
            select distinct on (oldest.organization_id, oldest.destination) oldest.*
            from (
                select *
                from event_publications
                where due_at < clock_now() - interval '1 day' and livemode = p_livemode
                order by due_at
                limit 1000
            ) as oldest
            order by oldest.organization_id, oldest.destination, oldest.due_at
        ) as longest
        order by longest.event_id
    loop
        -- Whoever sends it at this moment takes it off the list first, and then we find it sent.
        perform from events where id = v_waiting.event_id for no key update;
        perform record_exception(
            events.organization_id, events.livemode, 'event-not-published', 'event', events.id,
            null, null, format(
                '%s to %s waits since %s, and others behind it', events.type, waiting.destination,
                waiting.due_at
            )
        )
        from event_publications as waiting
        inner join events on events.id = waiting.event_id
        where waiting.event_id = v_waiting.event_id
            and waiting.destination = v_waiting.destination and waiting.due_at = v_waiting.due_at;
    end loop;
end;
$$;
comment on function list_waiting_events is
'Lists the event that has waited longest for each organisation''s destination, if that is a day after its '
'turn: nobody sends there. One that is sent and not taken is due again within the hour, and parked after '
'three days. It is off the list when somebody has tried to send it.';

create function claim_event_messages(hasura_session json, p_destination text, p_limit integer)
returns setof event_messages
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_ids := array(
        select event_id
        from event_publications
        where destination = p_destination and due_at <= clock_now()
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by due_at
        limit p_limit
        for no key update skip locked
    );
    if cardinality(v_ids) = 0 then
        return;
    end if;
    perform put_off_publications(p_destination, v_ids);
    perform lock_parked_events(p_destination, v_ids);
    perform list_parked_events(p_destination, v_ids);
    return query
    select event_messages.*
    from event_messages
    inner join event_publications
        on event_publications.event_id = event_messages.id
        and event_publications.destination = event_messages.destination
    where event_messages.destination = p_destination and event_messages.id = any(v_ids)
        and event_publications.status = 'pending'
    order by event_messages.created_at, event_messages.object_id, event_messages.sequence;
end;
$$;
comment on function claim_event_messages is
'Events that are due at a destination, for one sender: each is put off before it is sent, and what '
'was sent too often is listed instead.';
grant execute on function claim_event_messages to munim_hasura;

create function settle_event_messages(hasura_session json, p_destination text, p_results jsonb)
returns setof event_publications
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[] := array(
        select event_id from jsonb_to_recordset(p_results) as results (event_id uuid)
    );
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform from event_publications
    where destination = p_destination and event_id = any(v_ids)
    order by event_id
    for no key update;
    perform from events where id = any(v_ids) order by id for no key update;
    perform write_publication_results(p_destination, p_results);
    perform list_parked_events(p_destination, v_ids);
    perform resolve_exception('event-not-published', 'event', event_id)
    from unnest(v_ids) as given (event_id)
    where not exists (
        select from event_publications
        where event_publications.event_id = given.event_id
            and event_publications.status = 'parked'
    );
    return query
    select * from event_publications where destination = p_destination and event_id = any(v_ids);
end;
$$;
comment on function settle_event_messages is
'Keeps how a destination took events. published: it said so; refused: it will never take this one, '
'which is believed the third time; anything else is tried again by itself.';
grant execute on function settle_event_messages to munim_hasura;

create function publish_events_again(
    hasura_session json, p_destination text, p_event_id uuid default null
) returns setof event_publications
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    v_ids := array(
        select event_publications.event_id
        from event_publications
        inner join events on events.id = event_publications.event_id
        where event_publications.destination = p_destination
            and event_publications.status = 'parked'
            and event_publications.event_id = coalesce(p_event_id, event_publications.event_id)
            and events.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by event_publications.event_id
        for no key update of event_publications
    );
    perform begin_publications_again(p_destination, v_ids);
    return query
    select * from event_publications where destination = p_destination and event_id = any(v_ids);
end;
$$;
comment on function publish_events_again is
'Sends what was parked once more, from the beginning: one event, or all of a destination and the session''s mode.';
grant execute on function publish_events_again to munim_hasura;

create view invariant_parked_events_are_listed as
select event_publications.event_id, event_publications.destination
from event_publications
left join exceptions
    on exceptions.object_id = event_publications.event_id
    and exceptions.class = 'event-not-published'
where event_publications.status = 'parked' and exceptions.id is null;
comment on view invariant_parked_events_are_listed is
'I15: an event that was not published is on its way, or a person sees it.';
