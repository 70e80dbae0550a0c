-- What people say of the list for people: who looks into a line, that it is done with, or is not.
create table exception_decisions (
    id uuid primary key default gen_random_uuid(),
    exception_id uuid not null references exceptions (id),
    decision text not null,
    assigned_to text,
    reason text,
    decided_by text not null,
    idempotency_key text not null,
    decided_at timestamptz not null default clock_now(),
    constraint exception_decision_key_is_used_once
    unique (exception_id, decided_by, idempotency_key),
    constraint exception_decision_is_known check (decision in ('assigned', 'resolved', 'reopened')),
    constraint exception_decision_has_a_reason check (
        (decision = 'assigned') = (reason is null) and (assigned_to is null or reason is null)
    )
);
comment on table exception_decisions is
'Every word of a person about an exception, for ever: the exception itself shows the last one.';
comment on column exception_decisions.assigned_to is
'Who looks into it from then on; null where it was given back.';
comment on column exception_decisions.decided_by is 'A user id.';

create index exception_decisions_by_exception on exception_decisions (exception_id, decided_at);

create trigger exception_decisions_are_append_only
before update or delete or truncate on exception_decisions
for each statement execute function refuse_to_rewrite_history();

create function settles_itself(p_exception exceptions) returns boolean
language sql immutable
begin atomic
select (p_exception).class in (
    'bank-transfer-short', 'bank-transfer-unmatched', 'bank-transfer-waiting',
    'event-not-published', 'hold-not-released', 'installation-unsafe', 'invariant-broken',
    'invariant-not-read', 'payment-unresolved', 'refund-unresolved', 'surplus-payment'
)
-- Of a payment it is money in suspense; of a message it is what somebody said.
or ((p_exception).class = 'amount-mismatch' and (p_exception).object_type = 'payment_attempt');
end;
comment on function settles_itself is
'Whether an exception stands for what is still so in the books or the database, and is off the list when it is '
'not: no person''s word would change that. docs/exceptions.md says what would.';

create function lock_exception(p_session json, p_id uuid) returns exceptions
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_is_operator constant boolean := p_session ->> 'x-hasura-actor-role' = 'operator';
    v_exception exceptions;
begin
    perform require_actor_role(p_session, array['finance', 'owner', 'operator']);
    if not v_is_operator then
        perform acting_member(p_session, array['finance', 'owner']);
    elsif p_session ->> 'x-hasura-user-id' is null then
        raise exception 'forbidden: the session names no person' using errcode = '22B03';
    end if;

    select * into v_exception from exceptions where id = p_id for no key update;
    -- What is nobody's is the platform's.
    if (
        v_is_operator and v_exception.organization_id is null
        and p_session ->> 'x-hasura-organization-id' is null
        and v_exception.livemode::text = p_session ->> 'x-hasura-livemode'
    ) is not true then
        perform require_access(
            p_session, v_exception.organization_id, v_exception.livemode, null
        );
    end if;
    return v_exception;
end;
$$;
comment on function lock_exception is
'An exception that this person may decide about, locked, or a refusal: of finance, of the owners, or of the '
'platform''s operator.';

create function note_exception_decision(
    p_session json, p_exception exceptions, p_decision text, p_word text, p_key text
) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_user_id constant text := p_session ->> 'x-hasura-user-id';
    v_known exception_decisions;
begin
    select * into v_known
    from exception_decisions
    where exception_id = p_exception.id and decided_by = v_user_id and idempotency_key = p_key;
    if v_known.id is null then
        insert into exception_decisions (
            exception_id, decision, assigned_to, reason, decided_by, idempotency_key
        )
        values (
            p_exception.id, p_decision, case when p_decision = 'assigned' then p_word end,
            case when p_decision <> 'assigned' then p_word end, v_user_id, p_key
        );
    elsif (v_known.decision, coalesce(v_known.assigned_to, v_known.reason))
        is distinct from (p_decision, p_word)
    then
        raise exception 'idempotency-key-reused: the key belongs to another decision'
            using errcode = '22B08';
    end if;
    return v_known.id is null;
end;
$$;
comment on function note_exception_decision is
'Keeps what a person said of an exception, once for each key of theirs; false where it is kept already, and what '
'others have said since then counts. The exception is locked.';

create function assign_exception(
    hasura_session json, p_exception_id uuid, p_user_id text, p_key text
) returns setof exceptions
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_exception exceptions := lock_exception(hasura_session, p_exception_id);
begin
    perform require_read_committed();
    if not (
        p_user_id is null
        or is_member(v_exception.organization_id, p_user_id, array['finance', 'owner'])
        or (
            hasura_session ->> 'x-hasura-actor-role' = 'operator'
            and hasura_session ->> 'x-hasura-user-id' = p_user_id
        )
    ) then
        raise exception 'not-found: % is no finance and no owner of this organisation', p_user_id
            using errcode = '22B04';
    end if;
    if note_exception_decision(hasura_session, v_exception, 'assigned', p_user_id, p_key) then
        update exceptions set assigned_to = p_user_id where id = p_exception_id
        returning * into strict v_exception;
    end if;
    return next v_exception;
end;
$$;
comment on function assign_exception is
'Says who looks into an exception, or with null that nobody does; an operator takes it themselves. The same key '
'again: nothing more.';
grant execute on function assign_exception to munim_hasura;

create function resolve_exception_by_hand(
    hasura_session json, p_exception_id uuid, p_reason text, p_key text
) returns setof exceptions
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_exception exceptions := lock_exception(hasura_session, p_exception_id);
begin
    perform require_read_committed();
    if not note_exception_decision(hasura_session, v_exception, 'resolved', p_reason, p_key) then
        return next v_exception;
        return;
    end if;
    if v_exception.resolved_at is not null then
        raise exception 'exception-resolved: % at %', coalesce(
            'resolved by ' || v_exception.resolved_by, 'settled by itself'
        ), v_exception.resolved_at
            using errcode = '22B30';
    end if;
    if settles_itself(v_exception) then
        raise exception 'exception-stands: % is off the list as soon as it is not so any more',
            v_exception.class
            using errcode = '22B31';
    end if;
    return query
    update exceptions
    set
        resolved_at = clock_now(),
        resolved_by = hasura_session ->> 'x-hasura-user-id',
        resolution = p_reason
    where id = p_exception_id
    returning *;
end;
$$;
comment on function resolve_exception_by_hand is
'Takes an exception off the list by a person''s word. It moves no money and changes no other row. The same key '
'again: nothing more, whatever was said since then.';
grant execute on function resolve_exception_by_hand to munim_hasura;

create function reopen_exception(
    hasura_session json, p_exception_id uuid, p_reason text, p_key text
) returns setof exceptions
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_exception exceptions := lock_exception(hasura_session, p_exception_id);
begin
    perform require_read_committed();
    if not note_exception_decision(hasura_session, v_exception, 'reopened', p_reason, p_key) then
        return next v_exception;
        return;
    end if;
    if v_exception.resolved_at is not null and v_exception.resolved_by is null then
        raise exception 'exception-resolved: settled by itself at %', v_exception.resolved_at
            using errcode = '22B30';
    end if;
    return query
    update exceptions set resolved_at = null, resolved_by = null, resolution = null
    where id = p_exception_id
    returning *;
end;
$$;
comment on function reopen_exception is
'Puts back on the list what a person took off. What is there already stays as it is. The same key again: nothing '
'more.';
grant execute on function reopen_exception to munim_hasura;

-- What must hold ----------------------------------------------------------------------------------
create view invariant_people_answer_for_what_they_resolved as
select exceptions.id as exception_id, exceptions.class, exceptions.resolved_by
from exceptions
where exceptions.resolved_by is not null
    and (
        settles_itself(exceptions)
        or not exists (
            select from exception_decisions
            where exception_decisions.exception_id = exceptions.id
                and exception_decisions.decision = 'resolved'
                and exception_decisions.decided_by = exceptions.resolved_by
                and exception_decisions.reason = exceptions.resolution
        )
    );
comment on view invariant_people_answer_for_what_they_resolved is
'What a person took off the list is told in exception_decisions, and was a person''s to take off.';

create view invariant_people_are_assigned_by_people as
select exceptions.id as exception_id, exceptions.class, exceptions.assigned_to
from exceptions
where exceptions.assigned_to is not null
    and not exists (
        select from exception_decisions
        where exception_decisions.exception_id = exceptions.id
            and exception_decisions.assigned_to = exceptions.assigned_to
    );
comment on view invariant_people_are_assigned_by_people is
'Who looks into an exception was told to, or took it, in exception_decisions.';

revoke insert, update, delete, truncate on exception_decisions from public, munim_hasura;
