create table refund_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table refund_steps is 'Every legal change of refunds.status.';
insert into refund_steps (before, after) values
('created', 'unknown'),
('created', 'pending'),
('created', 'succeeded'),
('created', 'failed'),
('created', 'canceled'),
('unknown', 'pending'),
('unknown', 'succeeded'),
('unknown', 'failed'),
('unknown', 'canceled'),
('pending', 'succeeded'),
('pending', 'failed'),
('pending', 'canceled'),
('succeeded', 'failed'),  -- the payer's bank sent the money back to the gateway
('failed', 'pending'),  -- given up here, though the gateway had it: see settle_refund
('failed', 'succeeded');

create table refund_status_words (
    profile text not null,
    status text not null,
    word text not null,
    primary key (profile, status)
);
comment on table refund_status_words is
'How each product that is served here, and has words for it, calls the status of a refund.';
insert into refund_status_words (profile, status, word) values
('novamart', 'created', 'PENDING'),
('novamart', 'unknown', 'PENDING'),
('novamart', 'pending', 'PENDING'),
('novamart', 'succeeded', 'SUCCEEDED'),
('novamart', 'failed', 'FAILED'),
('novamart', 'canceled', 'FAILED');

create table refund_reasons (
    reason text primary key,
    description text not null
);
comment on table refund_reasons is 'Why money goes back: the closed list that a refund names one of.';
insert into refund_reasons (reason, description) values
('requested_by_customer', 'The customer asked for it.'),
('duplicate', 'The same thing was paid twice.'),
('fraudulent', 'Somebody else paid with the customer''s means.'),
('order_canceled', 'The order was called off.'),
('service_not_provided', 'What was paid for was not delivered.'),
('surplus', 'It was captured though nothing was owed any more.'),
('other', 'Something else: the note says what.');

create table refund_policies (
    id bigint primary key generated always as identity,
    organization_id uuid not null references organizations (id),
    purpose text not null,
    currency text not null references currencies (code),
    window_days integer,
    share_max integer not null default 10000,
    fee_amount bigint not null default 0,
    fee_share integer not null default 0,
    roles text[] not null default '{finance,owner,service}',
    valid_from timestamptz not null default clock_now(),
    created_by text not null,
    created_at timestamptz not null default clock_now(),
    constraint refund_policy_purpose_is_known check (purpose in ('credit_purchase', 'order')),
    constraint refund_window_is_not_negative check (window_days >= 0),
    constraint refund_shares_are_basis_points check (
        share_max between 0 and 10000 and fee_share between 0 and 10000
    ),
    constraint refund_fee_is_not_negative check (fee_amount >= 0),
    constraint refund_is_the_organizations_to_make check (
        roles <@ '{dispatcher,finance,owner,service}' and array_position(roles, null) is null
    )
);
comment on table refund_policies is
'What an organisation gives back of payments of a purpose and a currency, from when on. The latest row '
'that has begun holds; of two that begin together, the one written later. Without a row: all of it, '
'at any time, by finance, owner or service. Append-only.';
comment on column refund_policies.window_days is 'Days after the capture; null: for ever.';
comment on column refund_policies.share_max is
'How much of what was captured may go back in all, in basis points.';
comment on column refund_policies.fee_amount is 'What each refund costs the payer, in minor units.';
comment on column refund_policies.fee_share is 'The same in basis points of the refund; both are added.';
comment on column refund_policies.roles is 'Who may refund.';

create index refund_policies_in_force
on refund_policies (organization_id, purpose, currency, valid_from, id);

create trigger refund_policies_are_append_only
before update or delete or truncate on refund_policies
for each statement execute function refuse_to_rewrite_history();

create function refund_policy(
    p_organization_id uuid, p_purpose text, p_currency text, p_at timestamptz
) returns refund_policies
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_policy refund_policies;
begin
    select * into v_policy
    from refund_policies
    where organization_id = p_organization_id and purpose = p_purpose and currency = p_currency
        and valid_from <= p_at
    order by valid_from desc, id desc
    limit 1;
    return v_policy;
end;
$$;
comment on function refund_policy is 'The policy that holds at a moment, or a null row.';

create function set_refund_policy(
    hasura_session json,
    p_purpose text,
    p_currency text,
    p_window_days integer,
    p_share_max integer,
    p_fee_amount bigint,
    p_fee_share integer,
    p_roles jsonb,
    p_valid_from timestamptz
) returns setof refund_policies
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_organization organizations;
    v_policy refund_policies;
    v_asked refund_policies;
begin
    perform require_actor_role(hasura_session, array['owner', 'finance']);
    perform require_read_committed();
    select * into v_organization
    from organizations
    where id::text = hasura_session ->> 'x-hasura-organization-id'
    for no key update;
    if v_organization.id is null then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if p_valid_from < clock_now() or p_currency = 'XCR' then
        raise exception 'setting-invalid: no policy for % from % on', p_currency, p_valid_from
            using errcode = '22B05';
    end if;

    v_policy := refund_policy(
        v_organization.id, p_purpose, p_currency, coalesce(p_valid_from, clock_now())
    );
    v_asked := v_policy;
    v_asked.window_days := p_window_days;
    v_asked.share_max := coalesce(p_share_max, 10000);
    v_asked.fee_amount := coalesce(p_fee_amount, 0);
    v_asked.fee_share := coalesce(p_fee_share, 0);
    v_asked.roles := coalesce(
        (select array_agg(role order by role) from jsonb_array_elements_text(p_roles) as role),
        '{finance,owner,service}'
    );
    if v_policy.id is null or v_asked is distinct from v_policy then
        v_policy := write_refund_policy(
            v_organization.id, p_purpose, p_currency, v_asked, p_valid_from,
            coalesce(hasura_session ->> 'x-hasura-user-id', hasura_session ->> 'x-hasura-role')
        );
    end if;
    return next v_policy;
end;
$$;
comment on function set_refund_policy is
'Sets a policy from now or from a later time on. Answers the row that holds then: asked again, the same.';
grant execute on function set_refund_policy to munim_hasura;

create function write_refund_policy(
    p_organization_id uuid,
    p_purpose text,
    p_currency text,
    p_terms refund_policies,
    p_valid_from timestamptz,
    p_created_by text
) returns refund_policies
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_policy refund_policies;
begin
    insert into refund_policies (
        organization_id, purpose, currency, window_days, share_max, fee_amount, fee_share, roles,
        valid_from, created_by
    )
    values (
        p_organization_id, p_purpose, p_currency, p_terms.window_days, p_terms.share_max,
        p_terms.fee_amount, p_terms.fee_share, p_terms.roles,
        coalesce(p_valid_from, clock_now()), p_created_by
    )
    returning * into v_policy;
    return v_policy;
exception
    when check_violation or foreign_key_violation or not_null_violation then
        raise exception 'setting-invalid: no such policy for % in %: %',
            p_purpose, p_currency, sqlerrm
            using errcode = '22B05';
end;
$$;
comment on function write_refund_policy is 'Writes a policy down, or says which rule of theirs it breaks.';

create table refunds (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_account text not null,
    idempotency_key text not null,
    requested_by text not null,
    request jsonb not null,
    type text not null,
    reason text not null references refund_reasons (reason),
    note text,
    amount bigint not null,
    fee_amount bigint not null default 0,
    loss_amount bigint not null default 0,
    currency text not null references currencies (code),
    status text not null default 'created',
    is_late boolean not null default false,
    gateway_refund_id text,
    failure_code text,
    failure_message text,
    succeeded_at timestamptz,
    checks smallint not null default 0,
    looks smallint not null default 0,
    next_check_at timestamptz,
    hinted_at timestamptz,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint refund_stays_in_its_organization unique (id, organization_id, livemode),
    constraint refund_belongs_to_its_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint refund_belongs_to_its_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode),
    constraint refund_key_is_used_once
    unique (idempotency_key, requested_by, organization_id, livemode),
    constraint refund_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint refund_note_has_a_length check (length(note) between 1 and 1000),
    constraint refund_type_is_known check (type in ('full', 'partial', 'cancellation')),
    constraint refund_status_is_known check (
        status in ('created', 'unknown', 'pending', 'succeeded', 'failed', 'canceled')
    ),
    constraint refund_gives_money_back check (
        amount > 0 and fee_amount >= 0 and loss_amount between 0 and amount + fee_amount
    ),
    constraint refund_that_succeeded_says_when check (
        status <> 'succeeded' or succeeded_at is not null
    ),
    constraint refund_is_looked_at_thrice check (looks between 0 and 3),
    constraint ended_refund_is_not_checked check (
        next_check_at is null or status in ('created', 'unknown', 'pending', 'succeeded')
    )
);
comment on table refunds is
'Money on its way back to the payer. Its id is the gateway''s idempotency key and its reference to us.';
comment on column refunds.requested_by is
'user:<id>, service; system for money that nobody asked for; gateway for a refund that was made there.';
comment on column refunds.request is 'What was asked for, to tell a repetition from another request.';
comment on column refunds.type is
'full: all that was captured; partial: less; cancellation: all that is left, since the order is off.';
comment on column refunds.amount is 'What the payer gets back, in minor units.';
comment on column refunds.fee_amount is
'What the organisation keeps by its policy; it is taken from the payment with the amount.';
comment on column refunds.loss_amount is
'The part of the two whose credits could not be taken back: an expense.';
comment on column refunds.status is
'created: reserved, and the gateway may not have been asked yet; unknown: it was asked and gave no '
'answer.';
comment on column refunds.is_late is 'It was given up here, and the gateway had made it after all.';
comment on column refunds.succeeded_at is 'When the gateway sent the money; kept if that came back.';
comment on column refunds.checks is
'How often the gateway was asked since it was opened, sent or last looked at.';
comment on column refunds.looks is
'How many of the questions what became of it, after it had succeeded, the gateway has answered.';
comment on column refunds.next_check_at is
'When the gateway is asked what became of it; null when it has ended, or a person must look. One that '
'succeeded is looked at again, for banks send money back and the message of that may be lost.';
comment on column refunds.hinted_at is
'For when a hint last brought the next question forward: five minutes pass before another one does.';

create unique index gateway_refund_is_one_refund
on refunds (gateway_refund_id, gateway, gateway_account, livemode)
where gateway_refund_id is not null;
create index refunds_by_attempt on refunds (payment_attempt_id);
create index refunds_by_intent on refunds (payment_intent_id);
create index refunds_by_organization on refunds (organization_id, created_at);
create index refunds_to_check on refunds (next_check_at) where next_check_at is not null;
comment on index refunds_to_check is 'Queue of check_refunds.';

create trigger refund_takes_legal_steps
before update of status on refunds
for each row when (old.status is distinct from new.status)
execute function check_step('refund_steps');

create trigger refund_updated_at
before update on refunds
for each row execute function touch_updated_at();

create function refund_facts(p_refund refunds) returns jsonb
language sql stable
begin atomic
select jsonb_build_object(
    'refund_id', p_refund.id,
    'payment_intent_id', p_refund.payment_intent_id,
    'payment_attempt_id', p_refund.payment_attempt_id,
    'type', p_refund.type,
    'reason', p_refund.reason,
    'amount', p_refund.amount,
    'fee_amount', p_refund.fee_amount,
    'currency', p_refund.currency,
    'status', p_refund.status,
    'requested_by', p_refund.requested_by,
    'failure_code', p_refund.failure_code
);
end;
comment on function refund_facts is 'What an event about a refund tells.';

create function payment_status_in(p_intent payment_intents, p_profile text) returns text
language sql stable
begin atomic
select payment_status_words.word
from payment_status_words
where payment_status_words.profile = p_profile
    and payment_status_words.status = case
        when p_intent.status = 'paid' and (
            select
                sum(payment_attempts.amount_captured)
                <= (
                    select sum(refunds.amount + refunds.fee_amount)
                    from refunds
                    inner join payment_attempts as sources
                        on sources.id = refunds.payment_attempt_id and not sources.is_surplus
                    where refunds.payment_intent_id = p_intent.id and refunds.status = 'succeeded'
                )
            from payment_attempts
            where payment_attempts.payment_intent_id = p_intent.id
                and payment_attempts.status = 'captured' and not payment_attempts.is_surplus
        ) then 'refunded'
        else p_intent.status
    end;
end;
comment on function payment_status_in is
'A payment''s status in the words of a product. It is refunded when refunds that succeeded, with what they '
'cost the payer, make up all that was captured; what is only on its way may fail.';
grant execute on function payment_status_in to munim_hasura;

create function source_account(p_attempt payment_attempts) returns text
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_purpose text;
begin
    if p_attempt.is_surplus then
        return case when p_attempt.is_in_suspense then 'suspense' else 'surplus' end;
    end if;
    select purpose into strict v_purpose
    from payment_intents where id = p_attempt.payment_intent_id;
    case v_purpose
        when 'credit_purchase' then return 'prepaid_credits';
        when 'order' then return 'merchant_balance';
    end case;
end;
$$;
comment on function source_account is 'The liability that a payment''s money has become.';

create function refundable_amount(p_attempt payment_attempts) returns bigint
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_refunded numeric;
    v_disputed numeric;
begin
    select coalesce(sum(amount + fee_amount), 0) into v_refunded
    from refunds
    where payment_attempt_id = p_attempt.id and status not in ('failed', 'canceled');

    select coalesce(sum(amount), 0) into v_disputed
    from disputes
    where payment_attempt_id = p_attempt.id and status <> 'won';

    return greatest(p_attempt.amount_captured - v_refunded - v_disputed, 0);
end;
$$;
comment on function refundable_amount is
'What is left of a capture: refunds on their way and disputes that are not won count as gone. The '
'attempt is locked.';

create function refund_account(p_refund refunds, p_code text, p_account_type text) returns uuid
language sql volatile
begin atomic
select ledger_account(
    p_refund.organization_id, p_refund.livemode, p_code, p_account_type, p_refund.currency,
    p_refund.payment_intent_id
);
end;
comment on function refund_account is 'The account of this code that a refund is booked on.';

create function refund_movements(p_refund refunds, p_kind text, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_sign constant integer := case
        when p_kind in ('refund_return', 'refund_release') then -1 else 1
    end;
    v_fact constant ledger_posting := (
        format(
            '%s:%s%s', replace(p_kind, '_', '-'), p_refund.id,
            case when p_refund.is_late then ':late' else '' end
        ),
        p_kind, 'refund', p_refund.id, p_occurred_at, null, null, null
    );
    v_pending constant uuid := refund_account(p_refund, 'refunds_pending', 'liability');
    v_source uuid;
begin
    if p_kind in ('refund', 'refund_return') then
        return array[ledger_movement(
            v_fact, null, v_pending,
            refund_account(
                p_refund,
                case
                    when is_by_hand(p_refund.gateway) then 'bank:' || p_refund.gateway_account
                    else 'gateway:' || p_refund.gateway
                end,
                'asset'
            ),
            v_sign * p_refund.amount
        )];
    end if;

    select * into strict v_attempt from payment_attempts where id = p_refund.payment_attempt_id;
    v_source := refund_account(p_refund, source_account(v_attempt), 'liability');
    return array_remove(
        array[
            ledger_movement(
                v_fact, null, v_source, v_pending,
                v_sign * (p_refund.amount - p_refund.loss_amount)
            ),
            ledger_movement(
                v_fact, 'loss',
                case
                    when p_refund.loss_amount > 0
                        then refund_account(p_refund, 'credit_losses', 'expense')
                end,
                v_pending, v_sign * p_refund.loss_amount
            ),
            ledger_movement(
                v_fact, 'fee', v_source,
                case
                    when p_refund.fee_amount > 0
                        then refund_account(p_refund, 'refund_fees', 'revenue')
                end,
                v_sign * p_refund.fee_amount
            )
        ],
        null
    );
end;
$$;
comment on function refund_movements is
'refund_reserve: taken from what the payment had become; refund: paid out by the gateway; '
'refund_return and refund_release: the opposite of the two.';

create function hold_refund_credits(
    p_attempt payment_attempts, p_id uuid, p_amount bigint, p_take_what_is_left boolean
) returns bigint
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_purchase_id uuid;
    v_lost_amount bigint;
begin
    if p_attempt.is_surplus then
        return 0;
    end if;
    select id into v_purchase_id
    from credit_purchases where payment_intent_id = p_attempt.payment_intent_id;
    if v_purchase_id is null then
        return 0;
    end if;
    select lost_amount into strict v_lost_amount
    from hold_purchase_credits(v_purchase_id, p_id, p_amount, p_take_what_is_left);
    return v_lost_amount;
end;
$$;
comment on function hold_refund_credits is
'Speaks for the credits that an amount of a payment bought, for a refund or a dispute. Answers the '
'part of it whose credits are used.';

create function write_refund(
    p_attempt payment_attempts, p_refund refunds, p_take_what_is_left boolean
) returns refunds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
    v_loss bigint := hold_refund_credits(
        p_attempt, v_id, p_refund.amount + p_refund.fee_amount, p_take_what_is_left
    );
    v_refund refunds;
begin
    insert into refunds (
        id, organization_id, livemode, payment_intent_id, payment_attempt_id, gateway,
        gateway_account, idempotency_key, requested_by, request, type, reason, note, amount,
        fee_amount, loss_amount, currency, next_check_at
    )
    values (
        v_id, p_attempt.organization_id, p_attempt.livemode, p_attempt.payment_intent_id,
        p_attempt.id, p_attempt.gateway, p_attempt.gateway_account, p_refund.idempotency_key,
        p_refund.requested_by, coalesce(p_refund.request, '{}'), p_refund.type, p_refund.reason,
        p_refund.note, p_refund.amount, coalesce(p_refund.fee_amount, 0), v_loss,
        p_attempt.currency,
        -- Whoever asks for a refund sends it, and the cron only if they die; the system's own is
        -- the cron's at once. What is paid by hand is nobody's to send: see below.
        case
            when is_by_hand(p_attempt.gateway) then null
            when p_refund.requested_by = 'system' then clock_now()
            else clock_now() + check_delay(0)
        end
    )
    on conflict on constraint refund_key_is_used_once do nothing
    returning * into v_refund;
    if v_refund.id is null then  -- a repetition would have been found: its payment is locked
        raise exception 'idempotency-key-reused: the key belongs to a refund of another payment'
            using errcode = '22B08';
    end if;

    if is_by_hand(v_refund.gateway) then
        perform record_exception(
            v_refund.organization_id, v_refund.livemode, 'refund-unresolved', 'refund',
            v_refund.id, v_refund.amount, v_refund.currency, 'to be paid by bank transfer'
        );
    end if;
    update payment_attempts
    set amount_refunded = amount_refunded + v_refund.amount
    where id = p_attempt.id;
    perform record_event(
        v_refund.organization_id, v_refund.livemode, 'refund.created', 'refund', v_refund.id,
        refund_facts(v_refund)
    );
    return v_refund;
end;
$$;
comment on function write_refund is
'Writes a refund down, counts it on its attempt and speaks for its credits; the caller books it.';

create function policy_of_attempt(p_attempt payment_attempts) returns refund_policies
language sql stable
begin atomic
select refund_policy(p_attempt.organization_id, purpose, p_attempt.currency, clock_now())
from payment_intents
where id = p_attempt.payment_intent_id;
end;
comment on function policy_of_attempt is 'The policy that holds now for refunds of an attempt, or null.';

create function check_refund_policy(
    p_attempt payment_attempts, p_amount bigint, p_session json
) returns bigint
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_role text := coalesce(p_session ->> 'x-hasura-actor-role', 'service');
    v_policy refund_policies := policy_of_attempt(p_attempt);
    v_gone bigint := p_attempt.amount_captured - refundable_amount(p_attempt);
    v_fee bigint;
begin
    if v_role <> all (coalesce(v_policy.roles, '{finance,owner,service}')) then
        raise exception 'refund-not-allowed: role % may not refund this payment', v_role
            using errcode = '22B12';
    end if;
    if v_policy.id is null or p_attempt.is_surplus then
        return 0;
    end if;
    if clock_now() > p_attempt.captured_at + make_interval(days => v_policy.window_days) then
        raise exception 'refund-not-allowed: the % days for a refund are over', v_policy.window_days
            using errcode = '22B12';
    end if;
    if (v_gone + p_amount)::numeric * 10000
        > p_attempt.amount_captured::numeric * v_policy.share_max
    then
        raise exception 'refund-not-allowed: no more than % of 10000 parts of a payment goes back',
            v_policy.share_max
            using errcode = '22B12';
    end if;
    v_fee := v_policy.fee_amount + round(p_amount::numeric * v_policy.fee_share / 10000);
    if v_fee >= p_amount then
        raise exception 'refund-not-allowed: a fee of % leaves nothing of %', v_fee, p_amount
            using errcode = '22B12';
    end if;
    return v_fee;
end;
$$;
comment on function check_refund_policy is
'Refuses what the organisation''s policy does not allow; answers the fee. What is owed back in any '
'case has no window, share or fee.';

create function lock_refundable_attempt(
    p_session json, p_payment_intent_id uuid, p_payment_attempt_id uuid
) returns payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    select * into v_intent from payment_intents where id = p_payment_intent_id;
    perform require_access(
        p_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );

    -- Lock order: intent, attempt, refund, lot of credits, ledger accounts by id.
    perform from payment_intents where id = p_payment_intent_id for no key update;
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_payment_intent_id and status = 'captured'
        and case
            when p_payment_attempt_id is null then not is_surplus
            else id = p_payment_attempt_id
        end
    for no key update;

    if v_attempt.id is null then
        raise exception 'refund-not-allowed: nothing of this payment is captured'
            using errcode = '22B12';
    end if;
    return v_attempt;
end;
$$;
comment on function lock_refundable_attempt is
'The session''s own attempt whose money can go back; the one that paid where none is named.';

create function require_named_tenant(p_session json) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_session ->> 'x-hasura-organization-id' is null
        and (select count(*) from organizations) > 1
    then
        raise exception 'forbidden: x-hasura-organization-id must say for which organisation'
            using errcode = '22B03';
    end if;
end;
$$;
comment on function require_named_tenant is
'Money leaves an organisation only at the word of somebody who names it; where there is one only, it '
'is meant.';

create function repeated_refund(p_attempt payment_attempts, p_refund refunds) returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
begin
    select * into v_refund
    from refunds
    where idempotency_key = p_refund.idempotency_key and requested_by = p_refund.requested_by
        and organization_id = p_attempt.organization_id and livemode = p_attempt.livemode;

    if v_refund.id is not null and v_refund.request <> p_refund.request then
        raise exception 'idempotency-key-reused: the key belongs to a request with other content'
            using errcode = '22B08';
    end if;
    return v_refund.id;
end;
$$;
comment on function repeated_refund is
'The refund that this key opened before, or null. Refuses a key with other content.';

create function open_refund(
    hasura_session json,
    p_payment_intent_id uuid,
    p_payment_attempt_id uuid,
    p_amount bigint,
    p_type text,
    p_reason text,
    p_note text,
    p_key text
) returns setof refunds
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_refund refunds;
    v_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform require_named_tenant(hasura_session);
    v_attempt := lock_refundable_attempt(
        hasura_session, p_payment_intent_id, p_payment_attempt_id
    );
    v_refund.idempotency_key := p_key;
    v_refund.requested_by := acting_principal(hasura_session);
    v_refund.reason := p_reason;
    v_refund.note := p_note;
    v_refund.type := p_type;
    v_refund.request := jsonb_build_object(
        'payment_intent_id', p_payment_intent_id, 'payment_attempt_id', p_payment_attempt_id,
        'amount', p_amount, 'type', p_type, 'reason', p_reason, 'note', p_note
    );

    v_id := repeated_refund(v_attempt, v_refund);
    if v_id is null then
        v_refund := reserve_refund(hasura_session, v_attempt, v_refund, p_amount);
        v_id := v_refund.id;
    end if;
    return query select * from refunds where id = v_id;
end;
$$;
comment on function open_refund is
'Writes a refund down and reserves its money before the gateway is asked; without an amount all that '
'is left. The same key: the same refund.';
grant execute on function open_refund to munim_hasura;

create function write_allowed_refund(
    p_session json, p_attempt payment_attempts, p_refund refunds, p_amount bigint
) returns refunds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund refunds := p_refund;
    v_left bigint := refundable_amount(p_attempt);
    v_amount bigint := coalesce(p_amount, v_left);
begin
    if not exists (select from refund_reasons where reason = p_refund.reason) then
        raise exception 'not-found: % is no reason for a refund', p_refund.reason
            using errcode = '22B04';
    end if;
    if v_amount not between 1 and v_left then
        raise exception 'amount-out-of-range: % is not between 1 and the % left of this payment',
            v_amount, v_left
            using errcode = '22B07';
    end if;

    v_refund.fee_amount := check_refund_policy(p_attempt, v_amount, p_session);
    v_refund.amount := v_amount - v_refund.fee_amount;
    v_refund.type := case
        when p_refund.type = 'cancellation' then 'cancellation'
        when v_amount = p_attempt.amount_captured then 'full'
        else 'partial'
    end;
    return write_refund(p_attempt, v_refund, null);
end;
$$;
comment on function write_allowed_refund is
'Writes a refund down where there is as much left and the policy allows it; without an amount all that is '
'left. The attempt is locked; the caller books it.';

create function reserve_refund(
    p_session json, p_attempt payment_attempts, p_refund refunds, p_amount bigint
) returns refunds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund constant refunds := write_allowed_refund(p_session, p_attempt, p_refund, p_amount);
begin
    perform post_ledger_transactions(
        v_refund.organization_id, v_refund.livemode,
        refund_movements(v_refund, 'refund_reserve', v_refund.created_at)
    );
    return v_refund;
end;
$$;
comment on function reserve_refund is 'The second half of open_refund: the attempt is locked.';

create function surplus_refund_postings(p_attempt payment_attempts, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
begin
    v_refund.amount := refundable_amount(p_attempt);
    if v_refund.amount = 0 then
        return '{}';
    end if;
    select concat_ws(':', 'surplus', p_attempt.id, nullif(count(*), 0)) into v_refund.idempotency_key
    from refunds where payment_attempt_id = p_attempt.id and requested_by = 'system';
    v_refund.requested_by := 'system';
    v_refund.type := case
        when v_refund.amount = p_attempt.amount_captured then 'full' else 'partial'
    end;
    v_refund.reason := 'surplus';
    v_refund.fee_amount := 0;
    v_refund := write_refund(p_attempt, v_refund, true);
    return refund_movements(v_refund, 'refund_reserve', p_occurred_at);
end;
$$;
comment on function surplus_refund_postings is
'Money that came though nothing was owed goes back by itself, or what is left of it: its refund, to be booked '
'with the capture, or with what showed that not all had gone.';

create function rest_postings(p_payment_attempt_id uuid, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    select * into strict v_attempt from payment_attempts where id = p_payment_attempt_id;
    if not exists (
        select from refunds
        where payment_attempt_id = v_attempt.id and requested_by = 'system' and status = 'failed'
    ) then
        return '{}';
    end if;
    return case
        when not v_attempt.is_surplus then rest_of_order_postings(v_attempt.id)
        when v_attempt.is_in_suspense then '{}'
        else surplus_refund_postings(v_attempt, p_occurred_at)
    end;
end;
$$;
comment on function rest_postings is
'The gateway had refused what the system sent back, and now it shows why: somebody had sent a part back there. '
'The rest goes back after all. The intent and the attempt are locked.';

create function may_ask_about_refund(p_refund refunds) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if not may_ask_gateway(p_refund.gateway, p_refund.livemode, 'look-up') then
        return false;
    end if;
    return p_refund.status in ('pending', 'succeeded')
        or may_ask_gateway(p_refund.gateway, p_refund.livemode, 'refund');
end;
$$;
comment on function may_ask_about_refund is
'Whether its gateway answers look-ups, and takes refunds where this one may have to be sent.';

create function is_put_off(p_refund refunds) returns boolean
language sql stable
begin atomic
select count(*) > 0
from gateway_circuits
where gateway_circuits.gateway = p_refund.gateway
    and gateway_circuits.livemode = p_refund.livemode
    and gateway_circuits.operation = 'refund' and gateway_circuits.opened_at is not null;
end;
comment on function is_put_off is
'Whether its gateway takes no refunds at present: it is reserved all the same, and check_refunds sends it.';
grant execute on function is_put_off to munim_hasura;

create function is_gateway_of_refund_failing(p_refund refunds) returns boolean
language sql stable
begin atomic
select count(*) > 0
from gateway_circuits
where gateway_circuits.gateway = p_refund.gateway
    and gateway_circuits.livemode = p_refund.livemode
    and gateway_circuits.operation in ('look-up', 'open');
end;
comment on function is_gateway_of_refund_failing is
'Whether its gateway has not answered lately, so that an answer to a look-up is news.';
grant execute on function is_gateway_of_refund_failing to munim_hasura;

create function mark_refund_unknown(
    hasura_session json,
    p_refund_id uuid,
    p_failure_message text,
    p_is_silent boolean default true
) returns setof refunds
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    update refunds
    set status = 'unknown', failure_message = p_failure_message
    where id = p_refund_id and status = 'created';

    perform break_gateway_circuit(gateway, livemode, 'refund')
    from refunds
    where id = p_refund_id and p_is_silent;
    return query select * from refunds where id = p_refund_id;
end;
$$;
comment on function mark_refund_unknown is
'The gateway was asked and gave no answer. Nothing happens to a refund of which more is known.';
grant execute on function mark_refund_unknown to munim_hasura;

create function lock_due_refunds(p_livemode boolean, p_limit integer, p_paused text[])
returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_deaf constant text[] := silent_gateways(p_livemode, 'look-up');
    v_silent constant text[] := silent_gateways(p_livemode, 'refund');
    v_gateway text;
    v_refund refunds;
    v_probes refunds[] := '{}';
    v_ids uuid[];
begin
    for v_gateway in
        select unnest(v_deaf || v_silent) except select unnest(p_paused) order by 1
    loop
        select * into v_refund
        from refunds
        where next_check_at <= clock_now() and livemode = p_livemode and gateway = v_gateway
            and (gateway = any(v_deaf) or status in ('created', 'unknown'))
        order by next_check_at
        limit 1
        for no key update skip locked;
        if found then
            v_probes := v_probes || v_refund;
        end if;
    end loop;
    v_ids := array(
        select id
        from refunds
        where next_check_at <= clock_now() and livemode = p_livemode
            and gateway <> all(v_deaf || p_paused)
            and (status in ('pending', 'succeeded') or gateway <> all(v_silent))
        order by next_check_at
        limit p_limit
        for no key update skip locked
    );
    v_ids := array(
        select probe.id from unnest(v_probes) as probe
        where may_ask_about_refund(probe)
        limit p_limit
    ) || v_ids;
    return v_ids[:p_limit];
end;
$$;
comment on function lock_due_refunds is
'The refunds that are due to be asked about and nobody has locked, the longest due first. Of those that '
'wait for a gateway that is left alone there is one, which finds out whether it answers; of p_paused none.';

create function refund_look_age(p_looks integer) returns interval
language sql immutable
begin atomic
select (array['1 day', '7 days', '30 days']::interval[])[p_looks + 1];
end;
comment on function refund_look_age is
'How long after it succeeded a refund is looked at again, after so many looks; null after the last.';

create function claim_refund_checks(
    hasura_session json, p_limit integer, p_paused jsonb default '[]'
) returns setof refunds
language plpgsql volatile security definer
set search_path = public, pg_temp
-- Planned once: to plan it anew for the number it is given takes longer than to run it.
set plan_cache_mode = force_generic_plan
as $$
declare
    v_ids constant uuid[] := lock_due_refunds(
        (hasura_session ->> 'x-hasura-livemode')::boolean,
        p_limit,
        array(select jsonb_array_elements_text(p_paused))
    );
    v_refund refunds;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    for v_refund in
        update refunds
        set
            checks = checks + 1,
            next_check_at = clock_now() + check_delay(checks + 1)
        where id = any(v_ids)
        returning *
    loop
        if v_refund.next_check_at is null then
            perform record_exception(
                v_refund.organization_id, v_refund.livemode, 'refund-unresolved', 'refund',
                v_refund.id, v_refund.amount, v_refund.currency,
                case v_refund.status
                    when 'succeeded' then format(
                        'succeeded at %s, and the gateway does not say whether it came back',
                        v_refund.succeeded_at
                    )
                    else format('%s since %s', v_refund.status, v_refund.created_at)
                end
            );
        end if;
        return next v_refund;
    end loop;
end;
$$;
comment on function claim_refund_checks is
'Answers refunds that are due to be asked about, and puts each off to its next time, so that who dies '
'with them loses nothing. After the last time a person must look: see exceptions. Those of a gateway that '
'is left alone wait, and no question is counted, but for one in half a minute that finds out whether it '
'answers. None is answered of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_refund_checks to munim_hasura;

create function ask_refund_again(hasura_session json, p_refund_id uuid) returns setof refunds
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update refunds
    set checks = checks - 1, next_check_at = clock_now() + interval '30 minutes'
    where id = p_refund_id
        and next_check_at > clock_now() + interval '30 minutes'
        and checks > 0
        and clock_now() - interval '7 days' < case status
            when 'succeeded' then succeeded_at + refund_look_age(looks)
            else created_at
        end
    returning *;
end;
$$;
comment on function ask_refund_again is
'The gateway gave no answer to a question about a refund: it was none of those that count, and is asked '
'again within half an hour; after a week, of one that succeeded a week after the look was due, as the '
'schedule has it, so that a person hears of it at last.';
grant execute on function ask_refund_again to munim_hasura;

create function end_refund_look(hasura_session json, p_refund_id uuid, p_looks integer)
returns setof refunds
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    update refunds
    set
        looks = looks + 1,
        checks = 0,
        next_check_at = clock_now() + (refund_look_age(looks + 1) - refund_look_age(looks))
    where id = p_refund_id and status = 'succeeded' and looks = p_looks and looks < 3
    returning * into v_refund;
    if v_refund.id is not null then
        perform resolve_exception('refund-unresolved', 'refund', v_refund.id);
        return next v_refund;
    end if;
end;
$$;
comment on function end_refund_look is
'The gateway has answered what became of a refund that succeeded, after so many looks before, and its '
'answer is kept: that look counts, and the next one is due in its time. Called again it changes nothing.';
grant execute on function end_refund_look to munim_hasura;

create function refund_of_notice(p_event gateway_events) returns refunds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
begin
    -- Our own reference first; the gateway's id serves where a message does not carry it.
    select * into v_refund
    from refunds
    where gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode
        and case
            when p_event.notice ->> 'refund_id' is not null
                then id = (p_event.notice ->> 'refund_id')::uuid
            else gateway_refund_id = p_event.notice ->> 'gateway_refund_id'
        end
    for no key update;
    return v_refund;
end;
$$;
comment on function refund_of_notice is 'The refund that a message is about, locked, or a null row.';

create function ask_refund_now(p_event gateway_events) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund constant refunds := refund_of_notice(p_event);
    -- Anybody may send hints: the gateway is asked no more often than this by all of them.
    v_at constant timestamptz := case
        when v_refund.hinted_at > clock_now() then v_refund.hinted_at
        else greatest(clock_now(), v_refund.hinted_at + interval '5 minutes')
    end;
begin
    -- A question more than the schedule has is none of those that count: else whoever sends hints
    -- could use them up.
    update refunds
    set
        checks = greatest(checks - (next_check_at is not null)::integer, 0), next_check_at = v_at,
        hinted_at = v_at
    where id = v_refund.id and status in ('created', 'unknown', 'pending')
        and coalesce(next_check_at > v_at, true);
    return coalesce(v_refund.status in ('created', 'unknown', 'pending'), false);
end;
$$;
comment on function ask_refund_now is
'Brings the next question about a refund forward to now, or to five minutes after a hint last did so; false '
'where it has ended, or is none of ours.';

create function require_capture(p_attempt payment_attempts) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_attempt.status <> 'captured' then
        raise exception 'payment attempt % is %: its capture has not been heard of yet',
            p_attempt.id, p_attempt.status
            using errcode = 'assert_failure';
    end if;
end;
$$;
comment on function require_capture is
'Puts a message off that overtook the one about its payment: the inbox tries it again.';

create function money_left_there(p_attempt payment_attempts) returns bigint
language sql stable
begin atomic
select (p_attempt).amount_captured - coalesce(sum(amount), 0)
from refunds
where payment_attempt_id = (p_attempt).id and status = 'succeeded';
end;
comment on function money_left_there is 'What of a capture no refund is known to have taken.';

create function is_made_at_gateway(
    p_event gateway_events, p_attempt payment_attempts
) returns boolean
language sql stable
begin atomic
select p_event.notice ->> 'refund_id' is null
    and p_event.notice ->> 'gateway_refund_id' is not null
    and p_event.notice ->> 'outcome' in ('pending', 'succeeded')
    and p_attempt.status = 'captured'
    and p_event.notice ->> 'currency' = p_attempt.currency
    and (p_event.notice ->> 'amount')::numeric between 1 and p_attempt.amount_captured;
end;
comment on function is_made_at_gateway is
'Whether a message tells of a refund that somebody made at the gateway, past us.';

create function payer_of_refund(p_event gateway_events, p_attempt payment_attempts)
returns payment_attempts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
begin
    if (p_event.notice ->> 'amount')::numeric <= money_left_there(p_attempt) then
        return p_attempt;
    end if;
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_attempt.payment_intent_id and gateway = p_attempt.gateway
        and gateway_account = p_attempt.gateway_account and status = 'captured'
        and currency = p_attempt.currency
        and (p_event.notice ->> 'amount')::numeric <= money_left_there(payment_attempts)
    order by is_surplus, id
    limit 1
    for no key update;
    return case when v_attempt.id is null then p_attempt else v_attempt end;
end;
$$;
comment on function payer_of_refund is
'Whose money a refund that was made at the gateway took. A refund at Cashfree names an order, and of two payments of '
'it Cashfree takes either: so all of the one it names may be gone by our books, and the other''s is not. The intent '
'is locked, and the attempt.';

create function adopt_refund(p_event gateway_events, p_attempt payment_attempts) returns refunds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
begin
    v_refund.idempotency_key := format(
        'gateway:%s:%s', p_event.gateway, p_event.notice ->> 'gateway_refund_id'
    );
    v_refund.requested_by := 'gateway';
    v_refund.reason := 'other';
    v_refund.note := 'made at the gateway';
    v_refund.amount := (p_event.notice ->> 'amount')::bigint;
    v_refund.fee_amount := 0;
    v_refund.type := case
        when v_refund.amount = p_attempt.amount_captured then 'full' else 'partial'
    end;
    return write_refund(p_attempt, v_refund, true);
end;
$$;
comment on function adopt_refund is
'A refund that was made at the gateway itself: the money is gone, so what is left of its credits is '
'taken, and the rest is a loss. It is booked with its first step: see refund_postings.';

create function is_of_other_payment(p_event gateway_events, p_attempt payment_attempts)
returns boolean
language sql immutable
begin atomic
select p_event.notice ->> 'gateway_session_id' is not null
    and p_event.notice ->> 'gateway_payment_id' is distinct from p_attempt.gateway_payment_id;
end;
comment on function is_of_other_payment is
'Whether a message names a page of ours, and a payment there that is not the one of our books.';

create function keep_refund_of_other_payment(p_event gateway_events, p_attempt payment_attempts)
returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_nobody payment_attempts;
begin
    perform ask_payment_now(p_attempt);
    perform note_gateway_event(
        p_event.id, 'parked', v_nobody, 'of a payment that is not in our books'
    );
end;
$$;
comment on function keep_refund_of_other_payment is
'A gateway gave back by itself what was paid on a page and never counted: no money of ours has moved, so '
'nobody need look. The page is asked about, and should its payment be booked yet, the message is tried '
'again: see requeue_gateway_events. The attempt is locked.';

create function mismatch_of_refund(p_event gateway_events, p_refund refunds) returns text
language sql stable
begin atomic
select case
    when p_event.notice ->> 'gateway_refund_id' <> p_refund.gateway_refund_id
        then format(
            'duplicate-refund: refunded again as %s', p_event.notice ->> 'gateway_refund_id'
        )
    when p_event.notice ->> 'outcome' in ('pending', 'succeeded')
        and (
            (p_event.notice ->> 'amount')::bigint is distinct from p_refund.amount
            or p_event.notice ->> 'currency' is distinct from p_refund.currency
        )
        then format(
            'amount-mismatch: the gateway says %s %s, the refund is %s %s',
            p_event.notice ->> 'amount', p_event.notice ->> 'currency', p_refund.amount,
            p_refund.currency
        )
end;
end;
comment on function mismatch_of_refund is
'What speaks against acting on a message about a refund, as `class: detail`, or null.';

create function is_refused_refund(p_event gateway_events, p_refund refunds) returns boolean
language sql immutable
begin atomic
select p_event.type = 'answer' and p_event.notice ->> 'outcome' = 'failed'
    and p_refund.status in ('created', 'unknown');
end;
comment on function is_refused_refund is
'Whether a gateway said no to a refund that our books allow: somebody may have given the money back there.';

create function apply_refund_notice(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_refund refunds;
    v_reason text;
begin
    select payment_attempts.* into v_attempt
    from payment_attempts
    inner join refunds on refunds.payment_attempt_id = payment_attempts.id
    where refunds.id = (p_event.notice ->> 'refund_id')::uuid;
    if v_attempt.id is null then
        v_attempt := attempt_of_notice(p_event);
    end if;

    -- Lock order: intent, attempt, refund, lot of credits, ledger accounts by id.
    perform from payment_intents where id = v_attempt.payment_intent_id for no key update;
    select * into v_attempt from payment_attempts where id = v_attempt.id for no key update;
    v_refund := refund_of_notice(p_event);

    if v_refund.id is null and v_attempt.id is not null then
        if is_of_other_payment(p_event, v_attempt) then
            perform keep_refund_of_other_payment(p_event, v_attempt);
            return;
        end if;
        perform require_capture(v_attempt);
    end if;
    if v_refund.id is null and is_made_at_gateway(p_event, v_attempt) then
        v_attempt := payer_of_refund(p_event, v_attempt);
        v_refund := adopt_refund(p_event, v_attempt);
    end if;
    if v_refund.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-refund', 'no such refund');
        return;
    end if;
    v_reason := mismatch_of_refund(p_event, v_refund);
    if v_reason is not null then
        perform park_gateway_event(
            p_event, v_attempt, split_part(v_reason, ': ', 1), split_part(v_reason, ': ', 2)
        );
        return;
    end if;

    v_reason := settle_refund(v_refund, p_event.notice, p_event.occurred_at);
    perform search_refunds(v_attempt) where is_refused_refund(p_event, v_refund);
    perform note_gateway_event(
        p_event.id, case when v_reason is null then 'applied' else 'ignored' end, v_attempt,
        v_reason
    );
end;
$$;
comment on function apply_refund_notice is 'Matches a message to its refund, compares, and acts.';

create function refund_status(p_refund refunds, p_outcome text) returns text
language sql stable
begin atomic
select case
    when p_outcome <> 'not_found' then p_outcome
    -- A gateway's look-up may lag, and a lost request may still arrive: not so after a day.
    when p_refund.status in ('created', 'unknown')
        and p_refund.created_at + interval '25 hours' <= clock_now() then 'failed'
end;
end;
comment on function refund_status is
'The status that a gateway''s word leads to; null where the word settles nothing yet.';

create function settle_refund(p_refund refunds, p_finding jsonb, p_occurred_at timestamptz)
returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_status text := refund_status(p_refund, p_finding ->> 'outcome');
    v_refund refunds;
    v_postings ledger_posting[];
begin
    if v_status is null then
        return 'the gateway does not know it yet';
    end if;
    -- Failed by the gateway's word is final. Failed because nothing was found is not: the gateway
    -- had never named that refund, and its word weighs more than our waiting.
    if not exists (
        select from refund_steps where before = p_refund.status and after = v_status
    ) or (p_refund.status = 'failed' and p_refund.gateway_refund_id is not null) then
        return format('the refund is %s already', p_refund.status);
    end if;

    v_refund := move_refund(p_refund, v_status, p_finding, p_occurred_at);
    v_postings := refund_postings(p_refund.status, v_refund, p_occurred_at);
    perform report_refund(p_refund.status, v_refund);
    -- Not again after the system's own, which is listed: a gateway that says no would be asked for ever.
    if v_status in ('failed', 'canceled') and v_refund.requested_by <> 'system' then
        v_postings := v_postings || rest_of_order_postings(v_refund.payment_attempt_id);
    elsif p_refund.status = 'created' and v_refund.requested_by = 'gateway' then
        v_postings := v_postings || rest_postings(v_refund.payment_attempt_id, p_occurred_at);
    end if;
    perform post_ledger_transactions(v_refund.organization_id, v_refund.livemode, v_postings);
    -- What somebody had sent back there may have found no money that was free.
    perform requeue_parked_events(payment_attempts)
    from payment_attempts
    where id = v_refund.payment_attempt_id and v_status in ('failed', 'canceled');
    return null;
end;
$$;
comment on function settle_refund is
'The one way from what a gateway says of a refund to what we book. Answers why nothing was to be '
'done, or null. The intent, the attempt and the refund are locked.';

create function move_refund(
    p_refund refunds, p_status text, p_finding jsonb, p_occurred_at timestamptz
) returns refunds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
    v_is_late boolean := p_refund.status = 'failed';
    v_counts integer := v_is_late::integer - (p_status in ('failed', 'canceled'))::integer;
begin
    update refunds
    set
        status = p_status,
        gateway_refund_id = coalesce(p_finding ->> 'gateway_refund_id', gateway_refund_id),
        failure_code = coalesce(
            p_finding ->> 'failure_code',
            case p_finding ->> 'outcome' when 'not_found' then 'not-found' end
        ),
        failure_message = p_finding ->> 'failure_message',
        succeeded_at = case p_status when 'succeeded' then p_occurred_at else succeeded_at end,
        -- Asked about as often as a new one: the gateway may have it only now, after many questions.
        checks = case when p_status in ('pending', 'succeeded') then 0 else checks end,
        looks = 0,
        next_check_at = clock_now() + case
            when is_by_hand(gateway) then null
            when p_status = 'succeeded' then refund_look_age(0)
            when p_status = 'pending' then check_delay(0)
        end
    where id = p_refund.id
    returning * into strict v_refund;

    if v_is_late then
        -- Its credits, where it had any, were given back and may be used: that money is lost.
        update refunds
        set
            is_late = true, fee_amount = 0,
            loss_amount = case
                when exists (select from credit_recalls where refund_id = p_refund.id) then amount
                else 0
            end
        where id = p_refund.id
        returning * into strict v_refund;
    end if;
    update payment_attempts
    set amount_refunded = amount_refunded + v_counts * v_refund.amount
    where id = v_refund.payment_attempt_id and v_counts <> 0;
    return v_refund;
end;
$$;
comment on function move_refund is
'Takes a refund to a status and counts it on its attempt accordingly.';

create function refund_postings(p_before text, p_refund refunds, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_postings ledger_posting[] := '{}';
begin
    -- What the gateway made itself was never reserved: it is booked whole, in one call with what
    -- became of it, so that all ledger accounts are locked in one order.
    if p_before = 'failed' or p_before = 'created' and p_refund.requested_by = 'gateway' then
        v_postings := v_postings || refund_movements(p_refund, 'refund_reserve', p_occurred_at);
    end if;
    if p_refund.status = 'succeeded' then
        v_postings := v_postings || refund_movements(p_refund, 'refund', p_occurred_at);
    elsif p_before = 'succeeded' then
        v_postings := v_postings || refund_movements(p_refund, 'refund_return', p_occurred_at);
    end if;
    if p_refund.status in ('failed', 'canceled') then
        v_postings := v_postings || refund_movements(p_refund, 'refund_release', p_occurred_at)
            || cover_lost_surplus(p_refund, p_occurred_at);
    end if;
    if p_refund.is_late
        or not exists (select from credit_recalls where refund_id = p_refund.id)
    then
        return v_postings;
    end if;

    if p_refund.status = 'succeeded' then
        v_postings := v_postings || purchase_credits_posting(p_refund.id, p_occurred_at);
    elsif p_before = 'succeeded' then
        v_postings := v_postings || return_purchase_credits_posting(p_refund.id, p_occurred_at);
    elsif p_refund.status in ('failed', 'canceled') then
        perform release_purchase_credits(p_refund.id);
    end if;
    return array_remove(v_postings, null);
end;
$$;
comment on function refund_postings is
'All that is booked when a refund goes from one status to its present one; its credits go with it.';

create function report_refund(p_before text, p_refund refunds) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if p_refund.status not in ('succeeded', 'failed', 'canceled') then
        return;
    end if;
    perform resolve_exception('refund-unresolved', 'refund', p_refund.id);
    perform record_event(
        p_refund.organization_id, p_refund.livemode,
        case p_refund.status when 'succeeded' then 'refund.succeeded' else 'refund.failed' end,
        'refund', p_refund.id, refund_facts(p_refund)
    );
    if p_refund.status = 'succeeded' then
        -- Instead of the one that failed, unless it was on its way then; of a smaller one nobody knows. See
        -- watch_money_back, too.
        perform resolve_exception(class, object_type, object_id)
        from exceptions
        where class = 'refund-failed' and object_type = 'payment_attempt'
            and object_id = p_refund.payment_attempt_id and amount <= p_refund.amount
            and not exists (
                select from refunds
                where payment_attempt_id = p_refund.payment_attempt_id and id <> p_refund.id
                    and status in ('failed', 'canceled') and updated_at > p_refund.created_at
                    and (requested_by = 'system' or succeeded_at is not null)
            );
    elsif p_before = 'succeeded' or p_refund.requested_by = 'system' then
        perform record_exception(
            p_refund.organization_id, p_refund.livemode, 'refund-failed', 'payment_attempt',
            p_refund.payment_attempt_id, p_refund.amount, p_refund.currency,
            format('refund %s failed: %s', p_refund.id, coalesce(p_refund.failure_code, 'no reason'))
        );
    end if;
    perform watch_money_back(payment_attempts)
    from payment_attempts where id = p_refund.payment_attempt_id;
end;
$$;
comment on function report_refund is 'A refund has ended: the world hears, and the lists are mended.';

create function watch_money_back(p_attempt payment_attempts) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_class constant text := case
        when p_attempt.is_in_suspense then 'amount-mismatch' else 'surplus-payment'
    end;
    v_refunded bigint;
    v_lost bigint;
begin
    select coalesce(sum(amount), 0) into v_refunded
    from refunds where payment_attempt_id = p_attempt.id and status = 'succeeded';
    select coalesce(sum(amount), 0) into v_lost
    from disputes where payment_attempt_id = p_attempt.id and status = 'lost';

    perform resolve_exception('refund-failed', 'payment_attempt', p_attempt.id)
    where v_refunded + v_lost >= p_attempt.amount_captured;
    if v_refunded + v_lost > p_attempt.amount_captured then
        perform record_exception(
            p_attempt.organization_id, p_attempt.livemode, 'refunded-and-disputed',
            'payment_attempt', p_attempt.id, v_refunded + v_lost - p_attempt.amount_captured,
            p_attempt.currency, format(
                '%s captured, %s refunded, %s lost in disputes', p_attempt.amount_captured,
                v_refunded, v_lost
            )
        );
    else
        perform resolve_exception('refunded-and-disputed', 'payment_attempt', p_attempt.id);
    end if;

    if p_attempt.is_surplus and v_refunded + v_lost < p_attempt.amount_captured then
        perform record_exception(
            p_attempt.organization_id, p_attempt.livemode, v_class, 'payment_attempt',
            p_attempt.id, p_attempt.amount_captured - v_refunded - v_lost, p_attempt.currency,
            case v_class
                when 'amount-mismatch' then 'what came is not what was asked for'
                else 'captured though the payment was settled otherwise'
            end
        );
    elsif p_attempt.is_surplus then
        perform resolve_exception(v_class, 'payment_attempt', p_attempt.id);
    end if;
end;
$$;
comment on function watch_money_back is
'Lists a payment of which more went back than had come, or a surplus that has not gone back; takes '
'either off the list when it is no longer so.';

revoke insert, update, delete, truncate
on refund_policies, refund_reasons, refunds from public, munim_hasura;
