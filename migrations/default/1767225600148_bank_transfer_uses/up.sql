-- What becomes of a receipt that two people approved: it is booked, held until as much has come as is owed,
-- and made into a payment attempt; what is too much is surplus.
create table bank_transfer_uses (
    bank_transfer_id uuid not null,
    organization_id uuid not null,
    livemode boolean not null,
    payment_attempt_id uuid not null,
    amount bigint not null,
    created_at timestamptz not null default clock_now(),
    primary key (bank_transfer_id, payment_attempt_id),
    constraint bank_transfer_use_is_of_a_transfer
    foreign key (bank_transfer_id, organization_id, livemode)
    references bank_transfers (id, organization_id, livemode),
    constraint bank_transfer_use_is_for_an_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode),
    constraint bank_transfer_use_takes_money check (amount > 0)
);
comment on table bank_transfer_uses is
'Of which receipts a payment attempt is made. Append-only.';

create index bank_transfer_uses_by_attempt on bank_transfer_uses (payment_attempt_id);

create trigger bank_transfer_uses_are_append_only
before update or delete or truncate on bank_transfer_uses
for each statement execute function refuse_to_rewrite_history();

-- Booking -----------------------------------------------------------------------------------------
create function moment_of_bank_transfer(p_transfer bank_transfers) returns timestamptz
language sql stable
begin atomic
select p_transfer.value_date::timestamp at time zone organizations.timezone
from organizations
where organizations.id = p_transfer.organization_id;
end;
comment on function moment_of_bank_transfer is 'When the day began on which the bank moved the money.';

create function held_receipts_account(p_transfer bank_transfers, p_reference_id uuid) returns uuid
language sql volatile
begin atomic
select ledger_account(
    p_transfer.organization_id, p_transfer.livemode, 'bank_transfers', 'liability',
    p_transfer.currency, p_reference_id
);
end;
comment on function held_receipts_account is 'Where receipts are held until they are used.';

create function bank_ledger_account(p_transfer bank_transfers, p_reference_id uuid) returns uuid
language sql volatile
begin atomic
select ledger_account(
    p_transfer.organization_id, p_transfer.livemode, 'bank:' || p_transfer.bank_account_id,
    'asset', p_transfer.currency, p_reference_id
);
end;
comment on function bank_ledger_account is 'The money that is at the bank.';

create function ready_ledger_accounts(p_transfer bank_transfers) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent_id constant uuid := p_transfer.payment_intent_id;
    v_ids uuid[] := array[
        bank_ledger_account(p_transfer, p_transfer.id),
        held_receipts_account(p_transfer, p_transfer.id)
    ];
begin
    if v_intent_id is not null then
        perform from bank_transfers
        where payment_intent_id = v_intent_id and status = 'approved' and amount_used < amount
        order by id for no key update;
        v_ids := v_ids || held_receipts_account(p_transfer, v_intent_id) || array(
            select ledger_account(
                p_transfer.organization_id, p_transfer.livemode, code, 'liability',
                p_transfer.currency, v_intent_id
            )
            from unnest(array['merchant_balance', 'surplus', 'refunds_pending']) as code
        );
    end if;
    perform from ledger_accounts where id = any(v_ids) order by id for no key update;
end;
$$;
comment on function ready_ledger_accounts is
'Locks the receipts that are held for its payment, and then every ledger account that they may touch, in '
'order of id: the arrival, the payment and the surplus are booked in three calls, which could not keep '
'that order among them. The payment is locked.';

create function book_receipt(p_transfer bank_transfers) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform post_ledger_transaction(
        p_transfer.organization_id, p_transfer.livemode, 'bank-transfer:' || p_transfer.id,
        'bank_transfer', 'bank_transfer', p_transfer.id, moment_of_bank_transfer(p_transfer),
        bank_ledger_account(p_transfer, p_transfer.id),
        held_receipts_account(p_transfer, p_transfer.id), p_transfer.amount
    );
end;
$$;
comment on function book_receipt is 'The bank has the money, and it is held until it is used.';

-- Paying ------------------------------------------------------------------------------------------
create function use_receipts(p_payment_intent_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_held constant bigint := amount_held_by_receipts(p_payment_intent_id);
begin
    select * into strict v_intent from payment_intents where id = p_payment_intent_id;
    if v_intent.status in ('paid', 'canceled') then  -- nothing is owed any more: it goes back
        perform pay_by_receipts(v_intent, v_held) where v_held > 0;
    elsif v_held >= v_intent.amount then
        perform pay_by_receipts(v_intent, v_intent.amount);
        perform pay_by_receipts(v_intent, v_held - v_intent.amount)
        where v_held > v_intent.amount;
    end if;
    perform list_shortage(p_payment_intent_id);
end;
$$;
comment on function use_receipts is
'Pays a payment with what has come for it, once that is enough; whatever is more is surplus, as a second '
'payment by card would be. Too little is held and listed. The intent is locked.';

create function amount_held_by_receipts(p_payment_intent_id uuid) returns bigint
language sql stable
begin atomic
select coalesce(sum(amount - amount_used), 0)::bigint
from bank_transfers
where payment_intent_id = p_payment_intent_id and status = 'approved'
    and match_checked_by is not null and amount_used < amount;
end;
comment on function amount_held_by_receipts is
'What has come for a payment by bank transfer and is not used yet, in minor units.';

create function list_shortage(p_payment_intent_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_held constant bigint := amount_held_by_receipts(p_payment_intent_id);
begin
    select * into v_intent from payment_intents where id = p_payment_intent_id;
    if v_held > 0 and v_intent.status not in ('paid', 'canceled') then
        perform record_exception(
            v_intent.organization_id, v_intent.livemode, 'bank-transfer-short', 'payment_intent',
            v_intent.id, v_intent.amount - v_held, v_intent.currency,
            format('%s of %s came by bank transfer', v_held, v_intent.amount)
        );
    else
        perform resolve_exception('bank-transfer-short', 'payment_intent', p_payment_intent_id);
    end if;
end;
$$;
comment on function list_shortage is
'Lists what is missing of a payment for which something has come, but not all; or takes it off the list. '
'Of a transfer that belongs to no payment (null) it does nothing. The intent is locked.';

create function pay_by_receipts(p_intent payment_intents, p_amount bigint) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_receipt bank_transfers;
    v_part bigint;
    v_missing bigint := p_amount;
    v_is_rest boolean;
begin
    for v_receipt in
        select * from bank_transfers
        where payment_intent_id = p_intent.id and status = 'approved'
            and match_checked_by is not null and amount_used < amount
        order by checked_at, id
        for no key update
    loop
        if v_attempt.id is null then
            insert into payment_attempts (
                organization_id, livemode, payment_intent_id, gateway, gateway_account, amount,
                currency
            )
            values (
                p_intent.organization_id, p_intent.livemode, p_intent.id, 'bank_transfer',
                v_receipt.bank_account_id::text, p_amount, p_intent.currency
            )
            returning * into v_attempt;
        end if;
        v_is_rest := v_receipt.amount_used > 0;
        v_part := least(v_missing, v_receipt.amount - v_receipt.amount_used);
        insert into bank_transfer_uses (
            bank_transfer_id, organization_id, livemode, payment_attempt_id, amount
        )
        values (
            v_receipt.id, p_intent.organization_id, p_intent.livemode, v_attempt.id, v_part
        );
        update bank_transfers set amount_used = amount_used + v_part where id = v_receipt.id;
        v_missing := v_missing - v_part;
        exit when v_missing = 0;
    end loop;

    if v_missing is distinct from 0 then
        raise exception '% of % was there for payment %', p_amount - v_missing, p_amount, p_intent.id
            using errcode = 'assert_failure';
    end if;
    -- The receipt that completed it names it, so that it cannot be taken twice.
    perform capture_payment_attempt(
        v_attempt, v_receipt.id || case when v_is_rest then ':rest' else '' end, p_amount,
        moment_of_bank_transfer(v_receipt)
    );
end;
$$;
comment on function pay_by_receipts is
'Makes one attempt of as many receipts as it takes, the oldest first, and captures it by the kernel''s '
'own door: paid, or surplus where nothing is owed.';

-- Sweeping ----------------------------------------------------------------------------------------
create function settle_due_bank_transfer(hasura_session json) returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
    v_intent_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    select payment_intents.id into v_intent_id
    from bank_transfers
    inner join payment_intents on payment_intents.id = bank_transfers.payment_intent_id
    where bank_transfers.status = 'approved' and bank_transfers.kind = 'receipt'
        and bank_transfers.amount_used < bank_transfers.amount
        and bank_transfers.match_checked_by is not null
        and payment_intents.status in ('paid', 'canceled')
        and bank_transfers.livemode::text = hasura_session ->> 'x-hasura-livemode'
    order by bank_transfers.checked_at
    limit 1
    for no key update of payment_intents skip locked;

    select * into v_transfer
    from bank_transfers
    where payment_intent_id = v_intent_id and status = 'approved'
        and match_checked_by is not null and amount_used < amount
    order by checked_at, id
    limit 1
    for no key update;
    if v_transfer.id is not null then
        perform ready_ledger_accounts(v_transfer);
        perform use_receipts(v_intent_id);
    end if;
    return query select * from bank_transfers where id = v_transfer.id;
end;
$$;
comment on function settle_due_bank_transfer is
'The sweep: money that was held for a payment which was paid otherwise meanwhile, or called off, becomes '
'surplus and goes back. One payment a call; no row when there is none.';
grant execute on function settle_due_bank_transfer to munim_hasura;

-- What must hold ----------------------------------------------------------------------------------
create view invariant_bank_transfers_are_booked_once as
select
    bank_transfers.id as bank_transfer_id,
    bank_transfers.status,
    count(ledger_transactions.id) as transactions
from bank_transfers
left join ledger_transactions
    on ledger_transactions.reference_type = 'bank_transfer'
    and ledger_transactions.reference_id = bank_transfers.id
    and ledger_transactions.kind = 'bank_transfer'
where bank_transfers.kind = 'receipt'
group by bank_transfers.id
having count(ledger_transactions.id)
    <> (bank_transfers.status in ('approved', 'returned'))::integer;
comment on view invariant_bank_transfers_are_booked_once is
'I4: a receipt that two people approved is booked once, and no other is.';

create view invariant_held_bank_transfers_are_owed as
with sides as (
    select organization_id, livemode, currency, amount - amount_used as amount
    from bank_transfers
    where kind = 'receipt' and status = 'approved'
    union all
    select organization_id, livemode, currency, balance as amount
    from ledger_balances
    where code = 'bank_transfers'
)

select organization_id, livemode, currency, sum(amount) as amount
from sides
group by organization_id, livemode, currency
having sum(amount) <> 0;
comment on view invariant_held_bank_transfers_are_owed is
'What is booked as held are the receipts that have not been used.';

create view invariant_bank_transfers_are_used_up_to_their_amount as
select bank_transfers.id as bank_transfer_id, bank_transfers.amount_used
from bank_transfers
left join bank_transfer_uses on bank_transfer_uses.bank_transfer_id = bank_transfers.id
group by bank_transfers.id
having bank_transfers.amount_used <> coalesce(sum(bank_transfer_uses.amount), 0);
comment on view invariant_bank_transfers_are_used_up_to_their_amount is
'What a receipt counts as used are its uses; its CHECK keeps that below what came.';

create view invariant_attempts_by_hand_are_made_of_receipts as
select payment_attempts.id as payment_attempt_id, payment_attempts.amount_captured
from payment_attempts
left join bank_transfer_uses on bank_transfer_uses.payment_attempt_id = payment_attempts.id
where is_by_hand(payment_attempts.gateway)
group by payment_attempts.id
having payment_attempts.amount_captured is distinct from sum(bank_transfer_uses.amount);
comment on view invariant_attempts_by_hand_are_made_of_receipts is
'I4: an attempt that no gateway holds is captured, of receipts, to the last paisa.';

revoke insert, update, delete, truncate on bank_transfer_uses from public, munim_hasura;
