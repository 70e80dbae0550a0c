-- What is called off: nothing is owed any more, no page takes it, and what a gateway holds goes back.
create function call_off_payment(p_intent payment_intents) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    update payment_intents set status = 'canceled' where id = p_intent.id;
    perform from payment_attempts
    where payment_intent_id = p_intent.id order by id for no key update;

    for v_attempt in
        select payment_attempts.*
        from payment_attempts
        inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
        where payment_attempts.payment_intent_id = p_intent.id
            and payment_attempts.status in ('created', 'unknown')
            and payment_attempts.gateway_payment_id is null
            and checkout_sessions.url is null
    loop
        perform give_up_unseen_attempt(v_attempt);
    end loop;
    -- Soon, and as often as a new attempt: check_payments tells the gateway, whoever dies before.
    update payment_attempts
    set checks = 0, next_check_at = clock_now() + check_delay(0)
    where payment_intent_id = p_intent.id
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized');
    perform call_off_autopay_charge(p_intent.id);
end;
$$;
comment on function call_off_payment is
'Ends what is owed, at once and for good; the intent is locked, and not paid. Open pages are closed and '
'authorisations released by whoever asks about their attempts next. Whatever is captured all the same '
'is surplus, and goes back by itself.';

create function cancel_payment(hasura_session json, p_payment_intent_id uuid)
returns setof payment_intents
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
begin
    perform require_actor_role(
        hasura_session, array['service', 'owner', 'finance', 'operator', 'customer']
    );
    perform require_read_committed();

    select * into v_intent from payment_intents where id = p_payment_intent_id for no key update;
    perform require_access(
        hasura_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );
    if v_intent.status not in ('paid', 'canceled') then
        if exists (
            select from payment_attempts
            where payment_intent_id = v_intent.id and status = 'authorized'
        ) then
            perform require_actor_role(hasura_session, array['service', 'owner', 'finance']);
        end if;
        perform call_off_payment(v_intent);
        perform tell_of_cancellation(v_intent);
    end if;

    return query select * from payment_intents where id = v_intent.id;
end;
$$;
comment on function cancel_payment is
'Calls a payment off, unless it is paid, and answers it; called again: nothing more. What a gateway holds '
'for the organisation only the organisation lets go of: no customer, and no operator.';
grant execute on function cancel_payment to munim_hasura;

create function tell_of_cancellation(p_intent payment_intents) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id
    order by created_at desc, id
    limit 1;
    -- Nobody may have tried to pay it yet.
    v_attempt.payment_intent_id := p_intent.id;
    v_attempt.amount := p_intent.amount;
    v_attempt.currency := p_intent.currency;
    perform record_event(
        p_intent.organization_id, p_intent.livemode, 'payment.canceled', 'payment_intent',
        p_intent.id, payment_facts(v_attempt)
    );
end;
$$;
comment on function tell_of_cancellation is
'Announces that a payment is called off, with its newest attempt where it has one.';

create function list_held_payment(hasura_session json, p_payment_attempt_id uuid)
returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    select * into v_intent
    from payment_intents
    where id = (select payment_intent_id from payment_attempts where id = p_payment_attempt_id)
    for no key update;
    select * into v_attempt
    from payment_attempts
    where id = p_payment_attempt_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode';

    if v_attempt.status = 'authorized' and v_intent.status in ('canceled', 'paid') then
        perform record_exception(
            v_attempt.organization_id, v_attempt.livemode, 'hold-not-released', 'payment_attempt',
            v_attempt.id, v_attempt.amount, v_attempt.currency,
            format(
                'the payment is called off or paid otherwise, and %s holds money still',
                v_attempt.gateway
            )
        );
        return next v_attempt;
    end if;
end;
$$;
comment on function list_held_payment is
'The gateway does not let go of what it holds for a payment that is called off, or that another attempt '
'paid: a person is told, once, until it has. Nothing happens to an attempt that is not held any more.';
grant execute on function list_held_payment to munim_hasura;
