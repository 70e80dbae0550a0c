-- Money that leaves by bank transfer: a refund that people have paid, and a receipt that the bank took
-- back.
create function pay_refund_by_hand(p_transfer bank_transfers) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund refunds;
begin
    select * into strict v_refund from refunds where id = p_transfer.refund_id;
    perform from payment_attempts where id = v_refund.payment_attempt_id for no key update;
    select * into strict v_refund
    from refunds where id = p_transfer.refund_id for no key update;
    perform require_payable_by_hand(v_refund);
    if v_refund.status = 'canceled' then
        perform book_canceled_refund(p_transfer, v_refund);
        return;
    end if;

    -- It was paid from the account that it was paid from, whichever had received the money.
    update refunds set gateway_account = p_transfer.bank_account_id::text
    where id = v_refund.id
    returning * into strict v_refund;
    perform settle_refund(
        v_refund,
        jsonb_build_object('outcome', 'succeeded', 'gateway_refund_id', p_transfer.id),
        moment_of_bank_transfer(p_transfer)
    );
end;
$$;
comment on function pay_refund_by_hand is
'People have paid a refund: it has succeeded. One that was canceled when its receipt was taken back stays '
'so, and what left the bank is booked.';

create function book_canceled_refund(p_transfer bank_transfers, p_refund refunds) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_postings ledger_posting[] := '{}';
    v_back bigint;
begin
    select * into strict v_attempt from payment_attempts where id = p_refund.payment_attempt_id;
    v_back := least(p_refund.amount, refundable_amount(v_attempt));
    if v_back > 0 then
        v_postings := refund_past_us(p_transfer, v_attempt, v_back);
    end if;
    v_postings := v_postings || bank_loss_posting(p_transfer, p_refund.amount - v_back);
    perform post_ledger_transactions(
        p_transfer.organization_id, p_transfer.livemode, array_remove(v_postings, null)
    );
end;
$$;
comment on function book_canceled_refund is
'A refund was paid at the bank, and entered only after it had been canceled: what other receipts have left '
'of its payment counts as refunded, and the rest is lost. The attempt is locked.';

create function take_receipt_back(p_transfer bank_transfers) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_receipt bank_transfers;
    v_use bank_transfer_uses;
    v_attempt payment_attempts;
    v_postings ledger_posting[] := '{}';
    v_back bigint;
    v_lost bigint := 0;
begin
    select * into strict v_receipt from bank_transfers where id = p_transfer.returned_id;
    perform require_undecided('receipt', v_receipt.status, 'approved');
    perform require_no_refund_waits(v_receipt);
    update bank_transfers set status = 'returned' where id = v_receipt.id
    returning * into strict v_receipt;
    perform tell_bank_transfer(v_receipt, 'returned');

    if v_receipt.amount_used = 0 then
        perform reverse_ledger_transaction(
            ledger_transactions.id, 'bank-return:' || p_transfer.id, 'bank_return',
            'bank_transfer', p_transfer.id, moment_of_bank_transfer(p_transfer)
        )
        from ledger_transactions
        where key = 'bank-transfer:' || v_receipt.id
            and organization_id = v_receipt.organization_id
            and livemode = v_receipt.livemode;
        perform list_shortage(v_receipt.payment_intent_id);
        return;
    end if;

    for v_use in
        select * from bank_transfer_uses
        where bank_transfer_id = v_receipt.id
        order by payment_attempt_id
    loop
        select * into strict v_attempt
        from payment_attempts where id = v_use.payment_attempt_id for no key update;
        v_postings := v_postings || give_up_refunds(v_attempt);
        v_back := least(v_use.amount, refundable_amount(v_attempt));
        if v_back > 0 then
            v_postings := v_postings || refund_past_us(p_transfer, v_attempt, v_back);
        end if;
        v_lost := v_lost + v_use.amount - v_back;
    end loop;

    v_postings := v_postings || bank_return_postings(
        p_transfer, v_receipt.amount - v_receipt.amount_used, v_lost
    );
    perform post_ledger_transactions(
        p_transfer.organization_id, p_transfer.livemode, array_remove(v_postings, null)
    );
    perform list_shortage(v_receipt.payment_intent_id);
end;
$$;
comment on function take_receipt_back is
'The bank took a receipt back. What it had paid counts as refunded, as a refund that somebody made at a '
'gateway does; what was refunded before is lost. All of it is booked in one call.';

create function require_no_refund_waits(p_receipt bank_transfers) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
begin
    select bank_transfers.* into v_transfer
    from bank_transfer_uses
    inner join refunds on refunds.payment_attempt_id = bank_transfer_uses.payment_attempt_id
    inner join bank_transfers on bank_transfers.refund_id = refunds.id
    where bank_transfer_uses.bank_transfer_id = p_receipt.id
        and bank_transfers.status = 'entered'
    limit 1;
    if v_transfer.id is not null then
        raise exception 'payment-in-progress: decide first on % %, which refunds it',
            v_transfer.rail, v_transfer.reference
            using errcode = '22B10';
    end if;
end;
$$;
comment on function require_no_refund_waits is
'Refuses to take a receipt back while somebody has entered that a refund of it was paid: once that is '
'decided, it is known what is left to give back, and what is lost. One that is entered at this moment '
'is booked later: see book_canceled_refund.';

create function give_up_refunds(p_attempt payment_attempts) returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_postings ledger_posting[] := '{}';
    v_before refunds;
    v_refund refunds;
begin
    for v_before in
        select * from refunds
        where payment_attempt_id = p_attempt.id and status = 'created'
        order by id
        for no key update
    loop
        v_refund := move_refund(
            v_before, 'canceled', '{"failure_code": "transfer-returned"}', clock_now()
        );
        v_postings := v_postings || refund_postings('created', v_refund, clock_now());
        perform report_refund('created', v_refund);
    end loop;
    return v_postings;
end;
$$;
comment on function give_up_refunds is
'Refunds that wait to be paid by hand have lost their reason when the money itself has left. Answers '
'what is to be booked.';

create function refund_past_us(
    p_transfer bank_transfers, p_attempt payment_attempts, p_amount bigint
) returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_attempt payment_attempts;
    v_refund refunds;
    v_occurred_at timestamptz := moment_of_bank_transfer(p_transfer);
    v_postings ledger_posting[];
begin
    select * into strict v_attempt from payment_attempts where id = p_attempt.id;
    v_refund.idempotency_key := format('%s:%s:%s', p_transfer.kind, p_transfer.id, p_attempt.id);
    v_refund.requested_by := 'gateway';
    v_refund.type := case
        when p_amount = v_attempt.amount_captured then 'full' else 'partial'
    end;
    v_refund.reason := 'other';
    v_refund.note := case p_transfer.kind
        when 'return' then 'the bank took the transfer back'
        else 'paid by hand, and entered when it was canceled'
    end;
    v_refund.amount := p_amount;
    v_refund := write_refund(v_attempt, v_refund, true);
    update refunds set gateway_account = p_transfer.bank_account_id::text
    where id = v_refund.id;

    v_refund := move_refund(
        v_refund, 'succeeded',
        jsonb_build_object('gateway_refund_id', format('%s:%s', p_transfer.id, p_attempt.id)),
        v_occurred_at
    );
    v_postings := refund_postings('created', v_refund, v_occurred_at);
    perform report_refund('created', v_refund);
    return v_postings;
end;
$$;
comment on function refund_past_us is
'What a bank took back was refunded, though nobody here had asked for it; so was what somebody paid by '
'hand that nobody wanted any more. Answers what is to be booked.';

create function bank_money_fact(p_transfer bank_transfers) returns ledger_posting
language sql stable
begin atomic
select (
    format('bank-%s:%s', p_transfer.kind, p_transfer.id), 'bank_' || p_transfer.kind,
    'bank_transfer', p_transfer.id, moment_of_bank_transfer(p_transfer), null, null, null
)::ledger_posting;
end;
comment on function bank_money_fact is 'That money left the bank: a fact of which ledger_movement books the parts.';

create function bank_loss_posting(p_transfer bank_transfers, p_lost bigint) returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if p_lost = 0 then
        return null;
    end if;
    return ledger_movement(
        bank_money_fact(p_transfer), 'loss',
        ledger_account(
            p_transfer.organization_id, p_transfer.livemode, 'bank_losses', 'expense',
            p_transfer.currency, p_transfer.id
        ),
        bank_ledger_account(p_transfer, p_transfer.id), p_lost
    );
end;
$$;
comment on function bank_loss_posting is
'What was paid back of money that the bank took back too. Null where that is nothing.';

create function bank_return_postings(p_transfer bank_transfers, p_unused bigint, p_lost bigint)
returns ledger_posting[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    return array[
        ledger_movement(
            bank_money_fact(p_transfer), null, held_receipts_account(p_transfer, p_transfer.id),
            bank_ledger_account(p_transfer, p_transfer.id), p_unused
        ),
        bank_loss_posting(p_transfer, p_lost)
    ];
end;
$$;
comment on function bank_return_postings is
'The part of a returned receipt that no refund shows: what was still held, and what had been given '
'back already and is lost. Nulls where there is none.';
