create table credit_grants (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    credits_amount numeric(20, 4) not null,
    reason text not null,
    expires_at timestamptz,
    ledger_transaction_id uuid not null,
    created_at timestamptz not null default clock_now(),
    constraint credit_grant_stays_in_its_organization unique (id, organization_id, livemode),
    constraint credit_grant_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint credit_grant_is_booked
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint credit_grant_key_is_used_once
    unique (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint credit_grant_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint credit_grant_gives_something check (
        credits_amount > 0 and credits_amount <= 1000000000000
    ),
    constraint credit_grant_has_a_reason check (length(reason) between 1 and 500)
);
comment on table credit_grants is
'Credits given without a payment, by whom and why. They have no money value.';
comment on column credit_grants.requested_by is
'user:<id>, or service. A key is this one''s own: two people who choose the same words give twice.';

create table credit_lots (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    credit_purchase_id uuid,
    credit_grant_id uuid,
    granted numeric(20, 4) not null,
    remaining numeric(20, 4) not null,
    held numeric(20, 4) not null default 0,
    used numeric(20, 4) not null default 0,
    expired numeric(20, 4) not null default 0,
    recalled numeric(20, 4) not null default 0,
    amount bigint not null default 0,
    amount_remaining bigint not null default 0,
    amount_earned bigint not null default 0,
    amount_recalled bigint not null default 0,
    currency text references currencies (code),
    expires_at timestamptz,
    expiries integer not null default 0,
    announce_at timestamptz,
    expiry_announced_at timestamptz,
    created_at timestamptz not null default clock_now(),
    constraint credit_lot_stays_in_its_organization unique (id, organization_id, livemode),
    constraint credit_lot_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint credit_lot_comes_from_a_purchase
    foreign key (credit_purchase_id, organization_id, livemode)
    references credit_purchases (id, organization_id, livemode),
    constraint credit_lot_comes_from_a_grant
    foreign key (credit_grant_id, organization_id, livemode)
    references credit_grants (id, organization_id, livemode),
    constraint credit_purchase_makes_one_lot unique (credit_purchase_id),
    constraint credit_grant_makes_one_lot unique (credit_grant_id),
    constraint credit_lot_has_one_source check (
        num_nonnulls(credit_purchase_id, credit_grant_id) = 1
    ),
    constraint no_credit_of_a_lot_is_lost check (
        granted = remaining + used + expired + recalled - held
    ),
    constraint no_money_of_a_lot_is_lost check (
        amount = amount_remaining + amount_earned + amount_recalled
    ),
    constraint credit_lot_is_not_overdrawn check (
        granted > 0 and remaining >= held and held >= 0 and used >= 0 and expired >= 0
        and recalled >= held
        and amount_remaining >= 0 and amount_earned >= 0 and amount_recalled >= 0
    ),
    constraint credit_lot_money_has_a_currency check ((amount = 0) = (currency is null))
);
comment on table credit_lots is
'The credits of one purchase or grant, and the money paid for them that is not yet earned.';
comment on column credit_lots.remaining is
'Still in the wallet. The lots of a customer sum to the wallet''s balance.';
comment on column credit_lots.held is 'Of these, promised to refunds that are on their way.';
comment on column credit_lots.used is 'Spent, less what came back from it.';
comment on column credit_lots.recalled is
'Taken back by refunds, those on their way included; what was granted less this is the base on which '
'money is earned.';
comment on column credit_lots.amount is 'Paid for the lot, in minor units; zero where it was given.';
comment on column credit_lots.amount_remaining is
'Of that, what is owed for credits that are neither used, expired nor recalled.';
comment on column credit_lots.amount_earned is 'Revenue: of credits used, and of credits expired.';
comment on column credit_lots.expires_at is 'Null: the credits stay for ever.';
comment on column credit_lots.announce_at is
'When their expiry is told of, a week before; null once it was, or where they stay.';
comment on column credit_lots.expiries is 'How often credits of the lot have expired: late returns too.';

create index credit_lots_by_customer on credit_lots (customer_id, created_at);
create index credit_lots_to_spend on credit_lots (customer_id, expires_at, id)
where remaining > held;
create index credit_lots_to_expire on credit_lots (expires_at, id) where remaining > held;
comment on index credit_lots_to_expire is 'Queue of expire_credits.';
create index credit_lots_to_announce on credit_lots (announce_at)
where remaining > held and announce_at is not null;
comment on index credit_lots_to_announce is 'Queue of announce_expiring_credits.';
create index credit_lots_of_money_only on credit_lots (id)
where remaining = 0 and amount_remaining > 0;
comment on index credit_lots_of_money_only is 'Pile of expire_credits.';

create function expiry_notice_at(p_expires_at timestamptz) returns timestamptz
language sql stable
begin atomic
select p_expires_at - interval '7 days';
end;
comment on function expiry_notice_at is 'When it is told that credits will expire.';

create trigger credit_lots_stay
before delete or truncate on credit_lots
for each statement execute function refuse_to_rewrite_history();

create trigger credit_lot_keeps_what_it_is
before update of
organization_id, livemode, customer_id, credit_purchase_id, credit_grant_id, granted, amount,
currency, expires_at, created_at
on credit_lots
for each statement execute function refuse_to_rewrite_history();

create table credit_recall_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table credit_recall_steps is 'Every legal change of credit_recalls.status.';
insert into credit_recall_steps (before, after) values
('held', 'taken'),
('held', 'released'),
('taken', 'returned');  -- the gateway reported a refund as failed after it had succeeded

create table credit_recalls (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    credit_lot_id uuid not null,
    refund_id uuid not null,
    credits_amount numeric(20, 4) not null,
    amount bigint not null,
    lost_amount bigint not null,
    status text not null default 'held',
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint credit_recall_belongs_to_its_lot
    foreign key (credit_lot_id, organization_id, livemode)
    references credit_lots (id, organization_id, livemode),
    constraint refund_recalls_credits_once unique (refund_id),
    constraint credit_recall_takes_no_less_than_nothing check (
        credits_amount >= 0 and amount >= 0 and lost_amount >= 0 and amount + lost_amount > 0
    ),
    constraint credit_recall_status_is_known check (
        status in ('held', 'taken', 'released', 'returned')
    )
);
comment on table credit_recalls is
'Credits of a purchase that go back because its money does: held while the refund or the dispute is '
'open, then taken or released.';
comment on column credit_recalls.refund_id is 'The refund or the dispute.';
comment on column credit_recalls.amount is
'The part of the money that the lot still owed: it leaves prepaid_credits.';
comment on column credit_recalls.lost_amount is
'The part whose credits were used already, where that is allowed: it is credit_losses.';

create index credit_recalls_by_lot on credit_recalls (credit_lot_id);

create trigger credit_recall_takes_legal_steps
before update of status on credit_recalls
for each row when (old.status is distinct from new.status)
execute function check_step('credit_recall_steps');

create trigger credit_recall_updated_at
before update on credit_recalls
for each row execute function touch_updated_at();

create function credit_lot_value(p_lot credit_lots, p_credits numeric) returns bigint
language sql immutable
begin atomic
select case
    when p_credits = 0 or p_lot.amount = p_lot.amount_recalled then 0
    else div(
        (p_lot.amount - p_lot.amount_recalled) * p_credits * 10000
        + (p_lot.granted - p_lot.recalled) * 10000 - 1,
        (p_lot.granted - p_lot.recalled) * 10000
    )::bigint
end;
end;
comment on function credit_lot_value is
'What a lot owes while so many of its credits are free, rounded up, in minor units. It depends on '
'nothing else, so that many small steps earn what one large step does, and the last the rest.';

create function credit_posting(
    p_customer customers,
    p_code text,
    p_credits numeric,
    p_fact_id uuid,
    p_kind text,
    p_reference_type text,
    p_reference_id uuid,
    p_occurred_at timestamptz
) returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_wallet constant uuid := credit_wallet(p_customer);
    v_source constant uuid := ledger_account(
        p_customer.organization_id, p_customer.livemode, p_code,
        case p_code when 'credits_granted' then 'expense' else 'asset' end, 'XCR', p_fact_id
    );
begin
    return (
        format('%s:%s', replace(p_kind, '_', '-'), p_fact_id), p_kind, p_reference_type,
        p_reference_id, p_occurred_at,
        case when p_credits < 0 then v_wallet else v_source end,
        case when p_credits < 0 then v_source else v_wallet end,
        abs(p_credits) * 10000
    )::ledger_posting;
end;
$$;
comment on function credit_posting is
'Credits into the wallet, or out of it when negative; the other side is credits_issued for bought '
'ones, credits_granted for given ones.';

create function takes_spent_credits(p_organization_id uuid) returns boolean
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_value text;
begin
    select value into v_value
    from system_settings
    where organization_id = p_organization_id and key = 'refund_spent_credits';

    if coalesce(v_value, 'refuse') not in ('refuse', 'allow') then
        raise exception 'setting-invalid: system_settings.refund_spent_credits is refuse or allow'
            using errcode = '22B05';
    end if;
    return coalesce(v_value, 'refuse') = 'allow';
end;
$$;
comment on function takes_spent_credits is
'Whether money may go back though its credits are used: system_settings.refund_spent_credits.';

create function recalled_credits(p_lot credit_lots, p_amount bigint) returns numeric
language sql immutable
begin atomic
select case
    when p_amount = p_lot.amount_remaining then p_lot.remaining - p_lot.held
    else greatest(
        least(
            div(p_lot.granted * 10000 * (p_lot.amount_recalled + p_amount), p_lot.amount) * 0.0001
            - p_lot.recalled,
            p_lot.remaining - p_lot.held - 0.0001
        ), 0
    )
end;
end;
comment on function recalled_credits is
'The credits that go back with an amount that the lot still owes: in proportion to all that went '
'back, rounded down; with the last of the money, the last of the credits, and not before.';

create function hold_purchase_credits(
    p_credit_purchase_id uuid,
    p_refund_id uuid,
    p_amount bigint,
    p_take_what_is_left boolean default null
) returns credit_recalls
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_lot credit_lots;
    v_recall credit_recalls;
    v_amount bigint;
    v_credits numeric;
begin
    perform require_read_committed();
    select * into strict v_lot
    from credit_lots where credit_purchase_id = p_credit_purchase_id for no key update;

    select * into v_recall from credit_recalls where refund_id = p_refund_id;
    if v_recall.id is not null then
        if (v_recall.credit_lot_id, v_recall.amount + v_recall.lost_amount) <> (v_lot.id, p_amount) then
            raise exception 'refund % recalls other credits already', p_refund_id
                using errcode = 'assert_failure';
        end if;
        return v_recall;
    end if;

    v_amount := least(p_amount, v_lot.amount_remaining);
    if v_amount < p_amount
        and not coalesce(p_take_what_is_left, takes_spent_credits(v_lot.organization_id))
    then
        raise exception 'credits-spent: credits worth % are left of this purchase, and % are wanted back',
            v_lot.amount_remaining, p_amount
            using errcode = '22B11';
    end if;

    v_credits := recalled_credits(v_lot, v_amount);
    update credit_lots
    set
        held = held + v_credits, recalled = recalled + v_credits,
        amount_remaining = amount_remaining - v_amount, amount_recalled = amount_recalled + v_amount
    where id = v_lot.id;

    insert into credit_recalls (
        organization_id, livemode, credit_lot_id, refund_id, credits_amount, amount, lost_amount
    )
    values (
        v_lot.organization_id, v_lot.livemode, v_lot.id, p_refund_id, v_credits, v_amount,
        p_amount - v_amount
    )
    returning * into v_recall;
    return v_recall;
end;
$$;
comment on function hold_purchase_credits is
'Speaks for the credits that an amount of a purchase bought. Locks the lot; the caller holds the '
'intent and the attempt, books prepaid_credits down by the row''s amount and credit_losses by its '
'lost_amount. Once per refund. When the credits are used: refused, or what is left is taken.';

create function open_credit_recall(p_refund_id uuid) returns credit_recalls
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_recall credit_recalls;
begin
    perform require_read_committed();
    perform from credit_lots
    where id = (select credit_lot_id from credit_recalls where refund_id = p_refund_id)
    for no key update;

    select * into v_recall from credit_recalls where refund_id = p_refund_id for no key update;
    return v_recall;
end;
$$;
comment on function open_credit_recall is 'Locks a refund''s recall, its lot first. Null: there is none.';

create function give_back_recall(p_recall credit_recalls, p_status text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_taken numeric := case p_recall.status when 'taken' then p_recall.credits_amount else 0 end;
begin
    update credit_lots
    set
        remaining = remaining + v_taken,
        held = held - (p_recall.credits_amount - v_taken),
        recalled = recalled - p_recall.credits_amount,
        amount_remaining = amount_remaining + p_recall.amount,
        amount_recalled = amount_recalled - p_recall.amount
    where id = p_recall.credit_lot_id;
    update credit_recalls set status = p_status where id = p_recall.id;
end;
$$;
comment on function give_back_recall is 'The lot owes again what the refund had taken.';

create function release_purchase_credits(p_refund_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_recall credit_recalls := open_credit_recall(p_refund_id);
begin
    if v_recall.status in ('taken', 'returned') then
        raise exception 'the credits of refund % are taken: return_purchase_credits_posting', p_refund_id
            using errcode = 'assert_failure';
    end if;
    if v_recall.status = 'held' then
        perform give_back_recall(v_recall, 'released');
    end if;
end;
$$;
comment on function release_purchase_credits is
'The refund failed: its credits are free again. Again, or where none are held: nothing happens.';

create function recall_posting(
    p_recall credit_recalls, p_kind text, p_credits numeric, p_occurred_at timestamptz
) returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
begin
    if p_credits = 0 then
        return null;
    end if;
    select customers.* into strict v_customer
    from customers
    inner join credit_lots on credit_lots.customer_id = customers.id
    where credit_lots.id = p_recall.credit_lot_id;
    return credit_posting(
        v_customer, 'credits_issued', p_credits, p_recall.refund_id, p_kind, 'credit_recall',
        p_recall.id, p_occurred_at
    );
end;
$$;
comment on function recall_posting is 'Credits of a recall leave the wallet, or come back to it.';

create function purchase_credits_posting(p_refund_id uuid, p_occurred_at timestamptz)
returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_recall credit_recalls := open_credit_recall(p_refund_id);
begin
    if v_recall.status in ('released', 'returned') then
        raise exception 'the credits of refund % are released', p_refund_id
            using errcode = 'assert_failure';
    end if;
    if v_recall.status = 'held' then
        update credit_lots
        set remaining = remaining - v_recall.credits_amount, held = held - v_recall.credits_amount
        where id = v_recall.credit_lot_id;
        update credit_recalls set status = 'taken' where id = v_recall.id;
    end if;
    return recall_posting(v_recall, 'credits_recalled', -v_recall.credits_amount, p_occurred_at);
end;
$$;
comment on function purchase_credits_posting is
'The refund succeeded: its credits leave the lot, and the wallet by this posting, which the caller '
'books together with its own. Null when there is none to take: array_remove(postings, null).';

create function return_purchase_credits_posting(p_refund_id uuid, p_occurred_at timestamptz)
returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_recall credit_recalls := open_credit_recall(p_refund_id);
begin
    if v_recall.status in ('held', 'released') then
        raise exception 'the credits of refund % were never taken', p_refund_id
            using errcode = 'assert_failure';
    end if;
    if v_recall.status = 'taken' then
        perform give_back_recall(v_recall, 'returned');
    end if;
    return recall_posting(v_recall, 'credits_recall_undone', v_recall.credits_amount, p_occurred_at);
end;
$$;
comment on function return_purchase_credits_posting is
'The refund failed after it had succeeded: its credits come back to their lot, and to the wallet by '
'this posting. Null when there was none.';

revoke insert, update, delete, truncate
on credit_grants, credit_lots, credit_recalls from public, munim_hasura;
