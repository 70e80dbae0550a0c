-- The second person's word: on what was entered, and on which order it pays. Only here does a transfer
-- become approved, rejected or matched, and only then is anything booked.
create function intent_of_bank_transfer(p_transfer bank_transfers) returns uuid
language sql stable
begin atomic
select case p_transfer.kind
    when 'receipt' then p_transfer.payment_intent_id
    when 'refund' then (
        select refunds.payment_intent_id
        from refunds
        where refunds.id = p_transfer.refund_id
    )
    when 'return' then (
        select bank_transfers.payment_intent_id
        from bank_transfers
        where bank_transfers.id = p_transfer.returned_id
    )
end;
end;
comment on function intent_of_bank_transfer is 'The payment that a transfer is about, as far as known.';

create function lock_bank_transfer(p_session json, p_id uuid) returns bank_transfers
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
    v_intent_id uuid;
begin
    select * into v_transfer from bank_transfers where id = p_id;
    perform require_access(p_session, v_transfer.organization_id, v_transfer.livemode, null);

    -- Lock order: intent, bank transfer (what is taken back before what takes it), attempt, refund,
    -- ledger accounts by id.
    v_intent_id := intent_of_bank_transfer(v_transfer);
    perform from payment_intents where id = v_intent_id for no key update;
    perform from bank_transfers where id = v_transfer.returned_id for no key update;
    select * into strict v_transfer from bank_transfers where id = p_id for no key update;
    if intent_of_bank_transfer(v_transfer) is distinct from v_intent_id then
        raise exception 'bank transfer % was matched at this moment', p_id
            using errcode = 'serialization_failure';
    end if;
    return v_transfer;
end;
$$;
comment on function lock_bank_transfer is
'A transfer of the session''s and what it is about, locked in order, or a refusal.';

create function match_bank_transfer(
    hasura_session json, p_bank_transfer_id uuid, p_order_display_id text
) returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_transfer bank_transfers;
    v_intent payment_intents;
begin
    perform require_read_committed();
    v_transfer := lock_bank_transfer(hasura_session, p_bank_transfer_id);
    select (order_of_display_id(bank_accounts, p_order_display_id)).* into strict v_intent
    from bank_accounts where id = v_transfer.bank_account_id;

    if v_transfer.kind <> 'receipt' or v_transfer.status not in ('entered', 'approved')
        or (v_transfer.match_checked_by is not null and v_transfer.payment_intent_id <> v_intent.id)
    then
        raise exception 'transfer-decided: this % is % and what it pays is settled',
            v_transfer.kind, v_transfer.status
            using errcode = '22B28';
    end if;
    if v_transfer.payment_intent_id is distinct from v_intent.id then
        update bank_transfers
        set payment_intent_id = v_intent.id, matched_by = v_user_id, reason = null
        where id = v_transfer.id
        returning * into strict v_transfer;
        perform tell_bank_transfer(v_transfer, 'matched');
    end if;
    return next v_transfer;
end;
$$;
comment on function match_bank_transfer is
'Says which order a receipt pays; another person approves that too. Matched again: nothing more.';
grant execute on function match_bank_transfer to munim_hasura;

create function is_decided(p_transfer bank_transfers) returns boolean
language sql immutable
begin atomic
select p_transfer.status in ('approved', 'returned')
    and (p_transfer.payment_intent_id is null or p_transfer.match_checked_by is not null);
end;
comment on function is_decided is 'Whether all that was entered of a transfer has been approved.';

create function approve_bank_transfer(hasura_session json, p_bank_transfer_id uuid)
returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_transfer bank_transfers;
begin
    perform require_read_committed();
    v_transfer := lock_bank_transfer(hasura_session, p_bank_transfer_id);
    if not is_decided(v_transfer) then
        -- The bank may have taken it back since somebody named an order for it.
        if v_transfer.status in ('rejected', 'returned') then
            perform require_undecided('transfer', v_transfer.status, 'entered');
        end if;
        if v_transfer.status = 'entered' then
            perform require_second_person(
                v_transfer.organization_id, v_transfer.made_by, v_user_id
            );
        end if;
        if v_transfer.payment_intent_id is not null then
            perform require_second_person(
                v_transfer.organization_id, v_transfer.matched_by, v_user_id
            );
        end if;
        perform carry_out_bank_transfer(v_transfer, v_user_id);
    end if;
    return query select * from bank_transfers where id = v_transfer.id;
end;
$$;
comment on function approve_bank_transfer is
'The second person''s word on what was entered, or on which order it pays: it is booked, once. Approved '
'again: the same transfer, and nothing more.';
grant execute on function approve_bank_transfer to munim_hasura;

create function reject_bank_transfer(
    hasura_session json, p_bank_transfer_id uuid, p_reason text
) returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_transfer bank_transfers;
begin
    perform require_read_committed();
    v_transfer := lock_bank_transfer(hasura_session, p_bank_transfer_id);
    if v_transfer.status = 'entered' then
        perform require_other_person(v_transfer.made_by, v_user_id);
        update bank_transfers
        set status = 'rejected', reason = p_reason, checked_by = v_user_id, checked_at = clock_now()
        where id = v_transfer.id
        returning * into strict v_transfer;
        perform tell_bank_transfer(v_transfer, 'rejected');
    elsif v_transfer.status = 'approved' and not is_decided(v_transfer) then
        perform require_other_person(v_transfer.matched_by, v_user_id);
        update bank_transfers
        set payment_intent_id = null, matched_by = null, reason = p_reason
        where id = v_transfer.id
        returning * into strict v_transfer;
        perform tell_bank_transfer(v_transfer, 'unmatched');
    elsif v_transfer.status <> 'rejected'
        -- Said again, because the answer was lost: what it had named is off already.
        and (v_transfer.payment_intent_id is not null or v_transfer.reason is distinct from p_reason)
    then
        perform require_undecided('transfer', v_transfer.status, 'entered');
    end if;
    return next v_transfer;
end;
$$;
comment on function reject_bank_transfer is
'The second person''s no: what was entered never counts, and its reference is free again. Of a receipt '
'that was approved before it had an order, the order is taken off. The same no again: nothing more.';
grant execute on function reject_bank_transfer to munim_hasura;

create function carry_out_bank_transfer(p_transfer bank_transfers, p_checked_by text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
    v_is_new constant boolean := p_transfer.status = 'entered';
begin
    update bank_transfers
    set
        status = 'approved',
        checked_by = coalesce(checked_by, p_checked_by),
        checked_at = coalesce(checked_at, clock_now()),
        match_checked_by = case when payment_intent_id is not null then p_checked_by end
    where id = p_transfer.id
    returning * into strict v_transfer;
    perform tell_bank_transfer(v_transfer, 'approved');

    case v_transfer.kind
        when 'refund' then perform pay_refund_by_hand(v_transfer);
        when 'return' then perform take_receipt_back(v_transfer);
        when 'receipt' then
            perform ready_ledger_accounts(v_transfer);
            if v_is_new then
                perform book_receipt(v_transfer);
            end if;
            perform use_receipts(v_transfer.payment_intent_id)
            where v_transfer.payment_intent_id is not null;
    end case;
end;
$$;
comment on function carry_out_bank_transfer is
'Both people have agreed: what the transfer says happens in our books. All that it is about is locked.';

-- Waiting too long --------------------------------------------------------------------------------
create function list_waiting_bank_transfers(hasura_session json) returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    for v_transfer in
        select * from bank_transfers
        where (
            status = 'entered'
            or (payment_intent_id is not null and match_checked_by is null and status = 'approved')
        )
        and updated_at < clock_now() - interval '2 days'
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and not exists (
            select from exceptions
            where exceptions.class = 'bank-transfer-waiting' and exceptions.resolved_at is null
                and exceptions.object_type = 'bank_transfer'
                and exceptions.object_id = bank_transfers.id
        )
        order by created_at
        limit 200
        for no key update skip locked
    loop
        perform record_exception(
            v_transfer.organization_id, v_transfer.livemode, 'bank-transfer-waiting',
            'bank_transfer', v_transfer.id, v_transfer.amount, v_transfer.currency,
            format('entered by %s, and no second person has looked', v_transfer.made_by)
        );
        return next v_transfer;
    end loop;
end;
$$;
comment on function list_waiting_bank_transfers is
'Lists what has waited two days for its second person; answers what is new on the list.';
grant execute on function list_waiting_bank_transfers to munim_hasura;

-- What must hold ----------------------------------------------------------------------------------
create view invariant_bank_money_moves_by_two_people as
select ledger_transactions.id as ledger_transaction_id, ledger_transactions.key
from ledger_transactions
inner join ledger_accounts
    on ledger_accounts.id
    in (ledger_transactions.debit_account_id, ledger_transactions.credit_account_id)
where starts_with(ledger_accounts.code, 'bank:')
    and not exists (
        select from bank_transfers
        where bank_transfers.id = ledger_transactions.reference_id
            and bank_transfers.status in ('approved', 'returned')
            and bank_transfers.checked_by <> bank_transfers.made_by
    )
    and not exists (
        select from bank_transfers
        where bank_transfers.refund_id = ledger_transactions.reference_id
            and bank_transfers.status = 'approved'
            and bank_transfers.checked_by <> bank_transfers.made_by
    )
    and not exists (
        select from refunds
        inner join bank_transfers
            on bank_transfers.id = case
                when refunds.requested_by = 'gateway' and is_by_hand(refunds.gateway)
                    then split_part(refunds.idempotency_key, ':', 2)::uuid
            end
            and bank_transfers.kind in ('return', 'refund') and bank_transfers.status = 'approved'
            and bank_transfers.checked_by <> bank_transfers.made_by
        where refunds.id = ledger_transactions.reference_id
    );
comment on view invariant_bank_money_moves_by_two_people is
'A21: nothing is booked at a bank but what one person entered and another one approved.';
