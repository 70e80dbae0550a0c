create table dispute_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table dispute_steps is 'Every legal change of disputes.status.';
insert into dispute_steps (before, after) values
('opened', 'under_review'),
('opened', 'won'),
('opened', 'lost'),
('under_review', 'won'),
('under_review', 'lost');

create table disputes (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_account text not null,
    gateway_dispute_id text not null,
    amount bigint not null,
    covered_amount bigint not null default 0,
    currency text not null references currencies (code),
    fee_amount bigint,
    fee_currency text references currencies (code),
    reason text,
    status text not null default 'opened',
    evidence_due_at timestamptz,
    asked_at timestamptz not null default clock_now(),
    opened_at timestamptz not null,
    closed_at timestamptz,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint dispute_stays_in_its_organization unique (id, organization_id, livemode),
    constraint dispute_belongs_to_its_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint dispute_belongs_to_its_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode),
    constraint gateway_dispute_is_one_dispute
    unique (gateway_dispute_id, gateway, gateway_account, livemode),
    constraint dispute_status_is_known check (status in ('opened', 'under_review', 'won', 'lost')),
    constraint dispute_is_about_money check (
        amount > 0 and covered_amount between 0 and amount
    ),
    constraint dispute_fee_has_a_currency check (
        fee_amount > 0 and fee_currency is not null or num_nonnulls(fee_amount, fee_currency) = 0
    ),
    constraint ended_dispute_says_when check (
        (status in ('won', 'lost')) = (closed_at is not null)
    )
);
comment on table disputes is
'A payer''s bank took the money back from the gateway, and the gateway from us, until it is decided.';
comment on column disputes.covered_amount is
'The part that is no loss when the dispute is lost: its credits are frozen while it is open, or it '
'was owed back, or it is the merchant''s. Of a surplus it grows when a refund beside it comes to nothing.';
comment on column disputes.fee_amount is 'What the gateway charges for it, won or lost.';
comment on column disputes.reason is 'The gateway''s word: fraudulent, product_not_received, …';
comment on column disputes.evidence_due_at is 'Until when the gateway takes evidence.';
comment on column disputes.asked_at is
'When its gateway was last asked about it by name, or told of it first.';

create index disputes_by_attempt on disputes (payment_attempt_id);
create index disputes_by_organization on disputes (organization_id, created_at);
create index disputes_that_are_open on disputes (gateway, livemode, opened_at)
where status in ('opened', 'under_review');
create index open_disputes_by_last_question on disputes (gateway, livemode, asked_at, id)
where status in ('opened', 'under_review');

create trigger dispute_takes_legal_steps
before update of status on disputes
for each row when (old.status is distinct from new.status)
execute function check_step('dispute_steps');

create trigger dispute_updated_at
before update on disputes
for each row execute function touch_updated_at();

create function dispute_facts(p_dispute disputes) returns jsonb
language sql stable
begin atomic
select jsonb_build_object(
    'dispute_id', p_dispute.id,
    'payment_intent_id', p_dispute.payment_intent_id,
    'payment_attempt_id', p_dispute.payment_attempt_id,
    'amount', p_dispute.amount,
    'currency', p_dispute.currency,
    'reason', p_dispute.reason,
    'status', p_dispute.status,
    'evidence_due_at', p_dispute.evidence_due_at
);
end;
comment on function dispute_facts is 'What an event about a dispute tells.';

create function dispute_account(
    p_dispute disputes, p_code text, p_account_type text, p_currency text
) returns uuid
language sql volatile
begin atomic
select ledger_account(
    p_dispute.organization_id, p_dispute.livemode, p_code, p_account_type, p_currency,
    p_dispute.payment_intent_id
);
end;
comment on function dispute_account is 'The account of this code that a dispute is booked on.';

create function dispute_movements(p_dispute disputes, p_kind text, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_fact constant ledger_posting := (
        format('%s:%s', replace(p_kind, '_', '-'), p_dispute.id), p_kind, 'dispute', p_dispute.id,
        p_occurred_at, null, null, null
    );
    v_currency constant text := case
        when p_kind = 'dispute_fee' then p_dispute.fee_currency else p_dispute.currency
    end;
    v_gateway uuid;
    v_held uuid;
begin
    if p_kind <> 'dispute_lost' then
        v_gateway := dispute_account(
            p_dispute, 'gateway:' || p_dispute.gateway, 'asset', v_currency
        );
    end if;
    if p_kind = 'dispute_fee' then
        return array_remove(
            array[ledger_movement(
                v_fact, null,
                dispute_account(p_dispute, 'dispute_fees', 'expense', v_currency), v_gateway,
                p_dispute.fee_amount
            )],
            null
        );
    end if;

    v_held := dispute_account(p_dispute, 'disputes', 'asset', v_currency);
    if p_kind = 'dispute' then
        return array[ledger_movement(v_fact, null, v_held, v_gateway, p_dispute.amount)];
    elsif p_kind = 'dispute_won' then
        return array[ledger_movement(v_fact, null, v_gateway, v_held, p_dispute.amount)];
    end if;

    select * into strict v_attempt from payment_attempts where id = p_dispute.payment_attempt_id;
    return array_remove(
        array[
            ledger_movement(
                v_fact, null,
                dispute_account(p_dispute, source_account(v_attempt), 'liability', v_currency),
                v_held, p_dispute.covered_amount
            ),
            ledger_movement(
                v_fact, 'loss',
                dispute_account(p_dispute, 'dispute_losses', 'expense', v_currency), v_held,
                p_dispute.amount - p_dispute.covered_amount
            )
        ],
        null
    );
end;
$$;
comment on function dispute_movements is
'dispute: the gateway took the money back; dispute_won: it is there again; dispute_lost: it is gone, '
'partly as what we owed anyway; dispute_fee: what the gateway charges for it.';

create function dispute_of_notice(p_event gateway_events) returns disputes
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_dispute disputes;
begin
    select * into v_dispute
    from disputes
    where gateway_dispute_id = p_event.notice ->> 'gateway_dispute_id'
        and gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode
    for no key update;
    return v_dispute;
end;
$$;
comment on function dispute_of_notice is 'The dispute that a message is about, locked, or a null row.';

create function mismatch_of_dispute(
    p_event gateway_events, p_attempt payment_attempts, p_dispute disputes
) returns text
language sql stable
begin atomic
select case
    when p_event.notice ->> 'gateway_dispute_id' is null
        then 'unmatched-dispute: the message names no dispute'
    when p_event.notice ->> 'currency' is distinct from p_attempt.currency
        or coalesce((p_event.notice ->> 'amount')::numeric, 0) not between 1 and 1000000000000000
        or p_dispute.payment_attempt_id <> p_attempt.id
        or (p_event.notice ->> 'amount')::numeric <> p_dispute.amount
        then format(
            'amount-mismatch: the gateway says %s %s, the dispute is %s %s',
            p_event.notice ->> 'amount', p_event.notice ->> 'currency', p_dispute.amount,
            p_attempt.currency
        )
    when p_event.notice ->> 'outcome' in ('won', 'lost') and p_dispute.status in ('won', 'lost')
        and p_event.notice ->> 'outcome' <> p_dispute.status
        then format(
            'dispute-contradicted: %s, and it was %s before', p_event.notice ->> 'outcome',
            p_dispute.status
        )
end;
end;
comment on function mismatch_of_dispute is
'What speaks against acting on a message about a dispute, as `class: detail`, or null.';

create function forget_unreadable_dispute(p_event gateway_events, p_attempt payment_attempts)
returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform resolve_exception('unreadable-dispute', 'gateway_event', id)
    from gateway_events
    where status = 'parked' and gateway = p_event.gateway and livemode = p_event.livemode
        and notice ->> 'outcome' = 'unreadable'
        and notice ->> 'gateway_dispute_id' = p_event.notice ->> 'gateway_dispute_id'
        and (
            payment_attempt_id = p_attempt.id
            or (payment_attempt_id is null and notice ->> 'gateway_payment_id' is null)
        );
end;
$$;
comment on function forget_unreadable_dispute is
'Takes a dispute off the list of what cannot be read: its gateway has told of it in words that can.';

create function apply_dispute_notice(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts := attempt_of_notice(p_event);
    v_dispute disputes;
    v_reason text;
begin
    if p_event.notice ->> 'outcome' = 'unreadable' then
        perform park_gateway_event(
            p_event, v_attempt, 'unreadable-dispute', coalesce(
                p_event.notice ->> 'gateway_dispute_id', p_event.notice ->> 'failure_message'
            )
        );
        return;
    end if;
    if v_attempt.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-dispute', 'no such payment');
        return;
    end if;

    -- Lock order: intent, attempt, dispute, lot of credits, ledger accounts by id.
    perform from payment_intents where id = v_attempt.payment_intent_id for no key update;
    select * into strict v_attempt
    from payment_attempts where id = v_attempt.id for no key update;
    perform require_capture(v_attempt);

    v_dispute := dispute_of_notice(p_event);
    v_reason := mismatch_of_dispute(p_event, v_attempt, v_dispute);
    if v_reason is not null then
        perform park_gateway_event(
            p_event, v_attempt, split_part(v_reason, ': ', 1), split_part(v_reason, ': ', 2)
        );
        return;
    end if;

    v_reason := settle_dispute(p_event, v_attempt, v_dispute);
    perform note_gateway_event(
        p_event.id, case when v_reason is null then 'applied' else 'ignored' end, v_attempt,
        v_reason
    );
    perform resolve_exception('unconfirmed-dispute', 'payment_attempt', v_attempt.id);
    perform forget_unreadable_dispute(p_event, v_attempt);
end;
$$;
comment on function apply_dispute_notice is 'Matches a message to its dispute, compares, and acts.';

create function ask_dispute_soon(p_event gateway_events, p_attempt payment_attempts)
returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_status text;
begin
    select status into v_status
    from disputes
    where gateway_dispute_id = p_event.notice ->> 'gateway_dispute_id'
        and gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode;
    if p_attempt.status is distinct from 'captured' or v_status in ('won', 'lost') then
        return false;
    end if;

    perform ask_about_disputes_soon(p_event.gateway, p_event.livemode);
    if v_status is not null then
        return true;
    end if;
    -- A line for each payment, however many disputes of it anybody makes up.
    perform record_exception(
        p_attempt.organization_id, p_attempt.livemode, 'unconfirmed-dispute', 'payment_attempt',
        p_attempt.id, p_attempt.amount_captured, p_attempt.currency,
        format(
            'somebody says as %s that %s is disputed, as %s: look whether it is',
            p_event.gateway, p_attempt.gateway_payment_id,
            left(p_event.notice ->> 'gateway_dispute_id', 40)
        )
    );
    return true;
end;
$$;
comment on function ask_dispute_soon is
'Has the gateway asked soon about a dispute that nobody vouches for, and a person to look for one that is not '
'known, until the gateway tells of it; false where it is decided, or the payment is none that can be disputed.';

create function settle_dispute(
    p_event gateway_events, p_attempt payment_attempts, p_dispute disputes
) returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_dispute disputes := p_dispute;
    v_outcome text := p_event.notice ->> 'outcome';
    v_postings ledger_posting[] := '{}';
    v_is_step boolean;
begin
    -- The lot before any account: who opens one lets nobody else open any until commit.
    perform open_credit_recall(p_dispute.id) where p_dispute.id is not null;
    -- Whatever is heard of first, it was opened before: the books go through the same steps.
    if v_dispute.id is null then
        v_dispute := open_dispute(p_event, p_attempt);
        v_postings := v_postings || dispute_movements(v_dispute, 'dispute', p_event.occurred_at);
    end if;
    v_dispute := keep_dispute_facts(v_dispute, p_event);
    if v_dispute.fee_amount is not null and p_dispute.fee_amount is null then
        v_postings := v_postings || dispute_movements(v_dispute, 'dispute_fee', p_event.occurred_at);
    end if;

    v_is_step := exists (
        select from dispute_steps where before = v_dispute.status and after = v_outcome
    );
    if v_is_step then
        v_dispute := move_dispute(v_dispute, p_attempt, v_outcome, p_event.occurred_at);
        v_postings := v_postings || dispute_end_postings(v_dispute, p_event.occurred_at);
        if v_outcome = 'won' then
            v_postings := v_postings || rest_of_order_postings(p_attempt.id);
        end if;
    elsif p_dispute.id is not null and to_jsonb(v_dispute) = to_jsonb(p_dispute) then
        return format('the dispute is %s already', v_dispute.status);
    end if;

    -- However many facts one message tells of, one call books them and takes all locks in order.
    perform post_ledger_transactions(v_dispute.organization_id, v_dispute.livemode, v_postings);
    return null;
end;
$$;
comment on function settle_dispute is
'The one way from what a gateway says of a dispute to what we book. Answers why nothing was to be '
'done, or null. The intent, the attempt and the dispute are locked.';

create function open_dispute(p_event gateway_events, p_attempt payment_attempts) returns disputes
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
    v_amount bigint := (p_event.notice ->> 'amount')::bigint;
    v_dispute disputes;
begin
    insert into disputes (
        id, organization_id, livemode, payment_intent_id, payment_attempt_id, gateway,
        gateway_account, gateway_dispute_id, amount, covered_amount, currency, reason,
        evidence_due_at, opened_at
    )
    values (
        v_id, p_attempt.organization_id, p_attempt.livemode, p_attempt.payment_intent_id,
        p_attempt.id, p_attempt.gateway, p_attempt.gateway_account,
        p_event.notice ->> 'gateway_dispute_id', v_amount,
        case
            when p_attempt.is_surplus then 0  -- known when it is lost: the surplus may go back yet
            else v_amount - hold_refund_credits(p_attempt, v_id, v_amount, true)
        end,
        p_attempt.currency, p_event.notice ->> 'reason',
        (p_event.notice ->> 'evidence_due_at')::timestamptz,
        coalesce((p_event.notice ->> 'opened_at')::timestamptz, p_event.occurred_at)
    )
    returning * into v_dispute;

    perform record_event(
        v_dispute.organization_id, v_dispute.livemode, 'dispute.opened', 'dispute', v_dispute.id,
        dispute_facts(v_dispute)
    );
    return v_dispute;
end;
$$;
comment on function open_dispute is
'The gateway has taken the money back: it is written down, and what is left of the credits is frozen. '
'The caller books it.';

create function keep_dispute_facts(p_dispute disputes, p_event gateway_events) returns disputes
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_fee bigint := (p_event.notice ->> 'fee_amount')::bigint;
    v_currency text := p_event.notice ->> 'fee_currency';
    v_dispute disputes := p_dispute;
begin
    if p_dispute.evidence_due_at is null and p_event.notice ->> 'evidence_due_at' is not null then
        update disputes
        set evidence_due_at = (p_event.notice ->> 'evidence_due_at')::timestamptz
        where id = p_dispute.id
        returning * into strict v_dispute;
    end if;
    if p_dispute.fee_amount is not null or coalesce(v_fee, 0) <= 0 then
        return v_dispute;
    end if;

    update disputes
    set fee_amount = v_fee, fee_currency = v_currency
    where id = p_dispute.id
    returning * into strict v_dispute;
    return v_dispute;
end;
$$;
comment on function keep_dispute_facts is
'What a message adds to what is known: the fee, which the caller books, and until when evidence is '
'taken.';

create function surplus_left(p_attempt payment_attempts) returns bigint
language sql stable
begin atomic
select greatest(
    p_attempt.amount_captured - p_attempt.amount_refunded - coalesce(sum(covered_amount), 0), 0
)::bigint
from disputes
where payment_attempt_id = p_attempt.id and status = 'lost';
end;
comment on function surplus_left is
'What is still owed back of a surplus: neither refunded or on its way, nor gone by a lost dispute.';

create function cover_lost_surplus(p_refund refunds, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_dispute disputes;
    v_left bigint;
    v_more bigint;
    v_postings ledger_posting[] := '{}';
begin
    select * into strict v_attempt from payment_attempts where id = p_refund.payment_attempt_id;
    v_left := case when v_attempt.is_surplus then surplus_left(v_attempt) else 0 end;
    for v_dispute in
        select * from disputes
        where payment_attempt_id = v_attempt.id and status = 'lost' and covered_amount < amount
            and v_left > 0
        order by id
        for no key update
    loop
        v_more := least(v_left, v_dispute.amount - v_dispute.covered_amount);
        exit when v_more = 0;
        v_left := v_left - v_more;
        update disputes set covered_amount = covered_amount + v_more where id = v_dispute.id;
        v_postings := v_postings || (
            format(
                'dispute-covered:%s:refund:%s%s', v_dispute.id, p_refund.id,
                case when p_refund.is_late then ':late' else '' end
            ),
            'dispute_covered', 'dispute', v_dispute.id, p_occurred_at,
            refund_account(p_refund, source_account(v_attempt), 'liability'),
            refund_account(p_refund, 'dispute_losses', 'expense'), v_more
        )::ledger_posting;
    end loop;
    return v_postings;
end;
$$;
comment on function cover_lost_surplus is
'A refund of a surplus came to nothing that a lost dispute had given back too: what was a loss then was '
'owed after all. Answers what is to be booked with the refund''s end. The attempt is locked.';

create function move_dispute(
    p_dispute disputes, p_attempt payment_attempts, p_status text, p_occurred_at timestamptz
) returns disputes
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_dispute disputes;
begin
    update disputes
    set
        status = p_status,
        closed_at = case when p_status in ('won', 'lost') then p_occurred_at end,
        covered_amount = case
            when p_status = 'lost' and p_attempt.is_surplus
                then least(amount, surplus_left(p_attempt))
            else covered_amount
        end
    where id = p_dispute.id
    returning * into strict v_dispute;
    if p_status <> 'under_review' then
        perform record_event(
            v_dispute.organization_id, v_dispute.livemode, 'dispute.' || p_status, 'dispute',
            v_dispute.id, dispute_facts(v_dispute)
        );
        perform watch_money_back(p_attempt);
    end if;
    return v_dispute;
end;
$$;
comment on function move_dispute is
'Takes a dispute a step on; its end is told, and the caller books it.';

create function dispute_end_postings(p_dispute disputes, p_occurred_at timestamptz)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_postings ledger_posting[];
begin
    if p_dispute.status = 'under_review' then
        return '{}';
    end if;
    v_postings := dispute_movements(p_dispute, 'dispute_' || p_dispute.status, p_occurred_at);
    if not exists (select from credit_recalls where refund_id = p_dispute.id) then
        return v_postings;
    end if;
    if p_dispute.status = 'won' then
        perform release_purchase_credits(p_dispute.id);
        return v_postings;
    end if;
    v_postings := v_postings || purchase_credits_posting(p_dispute.id, p_occurred_at);
    return array_remove(v_postings, null);
end;
$$;
comment on function dispute_end_postings is
'All that is booked when a dispute ends; the frozen credits are free again, or gone. Nothing is while '
'it is under review.';

revoke insert, update, delete, truncate on disputes from public, munim_hasura;
