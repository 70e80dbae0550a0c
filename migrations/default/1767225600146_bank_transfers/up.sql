-- Money that people see on a bank's statement. One person enters it, another one approves it, and only
-- then is anything booked. Here: what is entered, and how. bank_transfer_uses pays orders with it,
-- bank_money_back gives money back or sees it leave, bank_transfer_decisions has the second person's word.
create table bank_transfer_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table bank_transfer_steps is 'Every legal change of bank_transfers.status.';
insert into bank_transfer_steps (before, after) values
('entered', 'approved'),
('entered', 'rejected'),
('approved', 'returned');  -- a receipt: the cheque bounced, the bank took the money back

create table bank_transfers (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    bank_account_id uuid not null,
    kind text not null,
    rail text not null,
    reference text not null,
    reference_key text not null generated always as (
        case rail
            when 'cheque' then 'cheque:' || amount::text || ':'
            when 'cash' then 'cash:'
            else 'utr:'
        end || ltrim(upper(regexp_replace(reference, '[^A-Za-z0-9]', '', 'g')), '0')
    ) stored,
    amount bigint not null,
    amount_used bigint not null default 0,
    currency text not null references currencies (code),
    value_date date not null,
    payer_name text,
    note text,
    payment_intent_id uuid,
    refund_id uuid,
    returned_id uuid,
    status text not null default 'entered',
    idempotency_key text not null,
    request jsonb not null,
    made_by text not null,
    checked_by text,
    checked_at timestamptz,
    matched_by text,
    match_checked_by text,
    reason text,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint bank_transfer_stays_in_its_organization unique (id, organization_id, livemode),
    constraint bank_transfer_is_of_a_bank_account
    foreign key (bank_account_id, organization_id, livemode)
    references bank_accounts (id, organization_id, livemode),
    constraint bank_transfer_pays_an_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint bank_transfer_pays_a_refund
    foreign key (refund_id, organization_id, livemode)
    references refunds (id, organization_id, livemode),
    constraint bank_transfer_takes_one_back
    foreign key (returned_id, organization_id, livemode)
    references bank_transfers (id, organization_id, livemode),
    constraint bank_transfer_key_is_used_once
    unique (idempotency_key, made_by, organization_id, livemode),
    constraint bank_transfer_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint bank_transfer_kind_is_known check (kind in ('receipt', 'refund', 'return')),
    constraint bank_transfer_says_what_it_pays check (
        (kind = 'refund') = (refund_id is not null)
        and (kind = 'return') = (returned_id is not null)
        and (kind = 'receipt' or payment_intent_id is null)
    ),
    constraint bank_transfer_rail_is_known check (
        rail in ('neft', 'rtgs', 'imps', 'upi', 'cheque', 'cash')
    ),
    constraint bank_transfer_reference_is_one check (
        reference ~ '^[ -~]{1,40}$' and reference_key !~ ':$'
    ),
    constraint bank_transfer_texts_have_a_length check (
        length(payer_name) between 1 and 140 and length(note) between 1 and 1000
        and length(reason) between 1 and 1000
    ),
    constraint bank_transfer_moves_money check (amount between 1 and 1000000000000000),
    constraint no_more_is_used_than_came check (
        amount_used between 0 and amount
        and (amount_used = 0 or (kind = 'receipt' and match_checked_by is not null))
    ),
    constraint bank_transfer_status_is_known check (
        status in ('entered', 'approved', 'rejected', 'returned')
    ),
    constraint bank_transfer_takes_two_people check (
        (status = 'entered') = (checked_by is null) and (status = 'entered') = (checked_at is null)
        and checked_by <> made_by
    ),
    constraint bank_transfer_is_matched_by_two_people check (
        (matched_by is null) = (payment_intent_id is null)
        and (match_checked_by is null or (payment_intent_id is not null and checked_by is not null))
        and match_checked_by <> matched_by
    ),
    constraint rejected_bank_transfer_says_why check (status <> 'rejected' or reason is not null)
);
comment on table bank_transfers is
'Money that came to a bank account of the organisation''s, or left it, as people entered it from the '
'bank''s statement; and who they were.';
comment on column bank_transfers.kind is
'receipt: it came; refund: it left, to pay a refund; return: it left, because the bank took a receipt '
'back.';
comment on column bank_transfers.reference is
'The UTR of NEFT and RTGS, the RRN of IMPS and UPI, the number of a cheque or of a receipt for cash. '
'Banks write it in many ways: its shape is not checked.';
comment on column bank_transfers.reference_key is
'The reference without what people type differently: case, spaces, dashes, zeros in front. UTR and RRN '
'are one space of names; cheques of many people have one number, so theirs goes with the amount.';
comment on column bank_transfers.amount_used is
'How much of a receipt has become payment attempts: bank_transfer_uses says which.';
comment on column bank_transfers.value_date is 'As the bank says, in the organisation''s time zone.';
comment on column bank_transfers.payment_intent_id is
'What a receipt pays; null while nobody knows. It counts once match_checked_by has agreed.';
comment on column bank_transfers.status is
'entered: nothing is booked; approved: it is, once; rejected: it never was; returned: a receipt that '
'was booked and has left again.';
comment on column bank_transfers.made_by is
'The login of who entered it; checked_by is who approved or rejected it, never the same person. '
'matched_by and match_checked_by are the same for what it pays.';

create unique index bank_transfer_is_entered_once
on bank_transfers (reference_key, organization_id, livemode)
-- What was rejected was a mistake; a cheque that bounced may be paid in again.
where status <> 'rejected' and not (status = 'returned' and rail = 'cheque')
    and kind <> 'return';
create unique index bank_transfer_is_taken_back_once
on bank_transfers (returned_id) where status <> 'rejected';
create unique index refund_is_paid_by_one_bank_transfer
on bank_transfers (refund_id) where status <> 'rejected';
create index bank_transfers_by_intent on bank_transfers (payment_intent_id);
create index bank_transfers_by_account on bank_transfers (bank_account_id, created_at);
create index bank_transfers_to_decide on bank_transfers (created_at)
where status = 'entered' or (payment_intent_id is not null and match_checked_by is null);
comment on index bank_transfers_to_decide is 'Queue of settle_bank_transfers.';
create index bank_transfers_to_use on bank_transfers (payment_intent_id)
where status = 'approved' and kind = 'receipt' and amount_used < amount;
comment on index bank_transfers_to_use is 'Pile of settle_bank_transfers.';

create trigger bank_transfer_takes_legal_steps
before update of status on bank_transfers
for each row when (old.status is distinct from new.status)
execute function check_step('bank_transfer_steps');

create trigger bank_transfer_keeps_what_it_is
before update of
id, organization_id, livemode, bank_account_id, kind, rail, reference, amount, currency, value_date,
refund_id, returned_id, made_by
on bank_transfers
for each statement execute function refuse_to_rewrite_history();

create trigger bank_transfers_stay
before delete or truncate on bank_transfers
for each statement execute function refuse_to_rewrite_history();

create trigger bank_transfer_updated_at
before update on bank_transfers
for each row execute function touch_updated_at();

-- Entering ----------------------------------------------------------------------------------------
create function bank_transfer_facts(p_transfer bank_transfers) returns jsonb
language sql stable
begin atomic
select jsonb_build_object(
    'bank_transfer_id', p_transfer.id,
    'kind', p_transfer.kind,
    'rail', p_transfer.rail,
    'reference', p_transfer.reference,
    'amount', p_transfer.amount,
    'amount_used', p_transfer.amount_used,
    'currency', p_transfer.currency,
    'payment_intent_id', p_transfer.payment_intent_id,
    'refund_id', p_transfer.refund_id,
    'returned_id', p_transfer.returned_id,
    'status', p_transfer.status,
    'made_by', p_transfer.made_by,
    'checked_by', p_transfer.checked_by,
    'matched_by', p_transfer.matched_by,
    'match_checked_by', p_transfer.match_checked_by,
    'reason', p_transfer.reason
);
end;
comment on function bank_transfer_facts is 'What an event about a bank transfer tells.';

create function tell_bank_transfer(p_transfer bank_transfers, p_what text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform record_event(
        p_transfer.organization_id, p_transfer.livemode, 'bank_transfer.' || p_what,
        'bank_transfer', p_transfer.id, bank_transfer_facts(p_transfer)
    );
    if p_transfer.status = 'rejected' or p_transfer.status = 'returned'
        or p_transfer.payment_intent_id is not null or p_transfer.kind <> 'receipt'
    then
        perform resolve_exception('bank-transfer-unmatched', 'bank_transfer', p_transfer.id);
    else
        perform record_exception(
            p_transfer.organization_id, p_transfer.livemode, 'bank-transfer-unmatched',
            'bank_transfer', p_transfer.id, p_transfer.amount, p_transfer.currency,
            format('%s %s names no order', p_transfer.rail, p_transfer.reference)
        );
    end if;
    perform resolve_exception('bank-transfer-waiting', 'bank_transfer', p_transfer.id);
end;
$$;
comment on function tell_bank_transfer is
'Something was decided about a transfer: the world hears, and the lists are mended.';

create function order_of_display_id(p_account bank_accounts, p_display_id text)
returns payment_intents
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_letters constant text := upper(regexp_replace(p_display_id, '[^A-Za-z0-9]', '', 'g'));
begin
    select payment_intents.* into v_intent
    from orders
    inner join payment_intents on payment_intents.id = orders.payment_intent_id
    where orders.display_id = regexp_replace(v_letters, '^TXN', 'TXN-')
        and orders.organization_id = p_account.organization_id
        and orders.livemode = p_account.livemode;
    if v_intent.id is null or v_intent.currency <> p_account.currency then
        raise exception 'not-found: no order in % is called %', p_account.currency, p_display_id
            using errcode = '22B04';
    end if;
    return v_intent;
end;
$$;
comment on function order_of_display_id is
'What is owed for an order that a payer quoted, in the account''s currency and organisation. Banks take '
'dashes out of remarks, and payers write small letters.';

create function known_bank_transfer(p_transfer bank_transfers) returns bank_transfers
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_known bank_transfers;
begin
    select * into v_known
    from bank_transfers
    where idempotency_key = p_transfer.idempotency_key and made_by = p_transfer.made_by
        and organization_id = p_transfer.organization_id and livemode = p_transfer.livemode;
    if v_known.id is not null and v_known.request <> p_transfer.request then
        raise exception 'idempotency-key-reused: the key belongs to a transfer with other content'
            using errcode = '22B08';
    end if;
    return v_known;
end;
$$;
comment on function known_bank_transfer is
'The transfer that this key entered before, or a null row. Refuses a key with other content.';

create function check_bank_transfer(p_transfer bank_transfers) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_today date := (
        select (clock_now() at time zone timezone)::date
        from organizations where id = p_transfer.organization_id
    );
    v_refund refunds;
    v_receipt bank_transfers;
begin
    if p_transfer.value_date not between v_today - 366 and v_today then
        raise exception 'invalid-input: % lies in the future, or more than a year back',
            p_transfer.value_date
            using errcode = '22B20';
    end if;

    if p_transfer.kind = 'refund' then
        select * into v_refund
        from refunds
        where id = p_transfer.refund_id and organization_id = p_transfer.organization_id
            and livemode = p_transfer.livemode and is_by_hand(gateway);
        if v_refund.id is null then
            raise exception 'not-found: no refund that is paid by bank transfer is called %',
                p_transfer.refund_id
                using errcode = '22B04';
        end if;
        perform require_same_amount(p_transfer, v_refund.amount, v_refund.currency);
        perform require_payable_by_hand(v_refund);
    elsif p_transfer.kind = 'return' then
        select * into v_receipt
        from bank_transfers
        where id = p_transfer.returned_id and organization_id = p_transfer.organization_id
            and livemode = p_transfer.livemode and kind = 'receipt'
            and bank_account_id = p_transfer.bank_account_id;
        if v_receipt.id is null then
            raise exception 'not-found: no receipt of this account is called %',
                p_transfer.returned_id
                using errcode = '22B04';
        end if;
        perform require_same_amount(p_transfer, v_receipt.amount, v_receipt.currency);
        perform require_undecided('receipt', v_receipt.status, 'approved');
    end if;
end;
$$;
comment on function check_bank_transfer is
'Refuses what does not fit the refund that it pays or the receipt that it takes back, or its time.';

create function require_same_amount(p_transfer bank_transfers, p_amount bigint, p_currency text)
returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if (p_transfer.amount, p_transfer.currency) is distinct from (p_amount, p_currency) then
        raise exception 'amount-out-of-range: % % is not the % % that it is about',
            p_transfer.amount, p_transfer.currency, p_amount, p_currency
            using errcode = '22B07';
    end if;
end;
$$;
comment on function require_same_amount is 'Refuses a transfer of another amount than it is about.';

create function require_undecided(p_noun text, p_status text, p_wanted text) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_status <> p_wanted then
        raise exception 'transfer-decided: this % is % already', p_noun, p_status
            using errcode = '22B28';
    end if;
end;
$$;
comment on function require_undecided is 'Refuses to decide what was decided otherwise.';

create function require_payable_by_hand(p_refund refunds) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    perform require_undecided('refund', p_refund.status, 'created')
    where (p_refund.status, p_refund.failure_code)
        is distinct from ('canceled', 'transfer-returned');
end;
$$;
comment on function require_payable_by_hand is
'Refuses a refund that has ended. One that was canceled because its receipt was taken back may have been '
'paid at the bank before anybody knew: that money has left all the same.';

create function record_bank_transfer(
    hasura_session json,
    p_bank_account_id uuid,
    p_kind text,
    p_rail text,
    p_reference text,
    p_amount bigint,
    p_value_date date,
    p_payer_name text,
    p_note text,
    p_order_display_id text,
    p_refund_id uuid,
    p_returned_id uuid,
    p_key text
) returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_account bank_accounts;
    v_transfer bank_transfers;
    v_known bank_transfers;
begin
    v_transfer.made_by := acting_member(hasura_session, array['finance', 'owner']);
    perform require_read_committed();
    select * into v_account from bank_accounts where id = p_bank_account_id;
    perform require_access(hasura_session, v_account.organization_id, v_account.livemode, null);

    v_transfer.organization_id := v_account.organization_id;
    v_transfer.livemode := v_account.livemode;
    v_transfer.bank_account_id := v_account.id;
    v_transfer.kind := p_kind;
    v_transfer.rail := p_rail;
    v_transfer.reference := p_reference;
    v_transfer.amount := p_amount;
    v_transfer.currency := v_account.currency;
    v_transfer.value_date := p_value_date;
    v_transfer.payer_name := p_payer_name;
    v_transfer.note := p_note;
    v_transfer.refund_id := p_refund_id;
    v_transfer.returned_id := p_returned_id;
    v_transfer.idempotency_key := p_key;
    v_transfer.request := to_jsonb(v_transfer) || jsonb_build_object('order', p_order_display_id);

    v_known := known_bank_transfer(v_transfer);
    if v_known.id is not null then
        return next v_known;
        return;
    end if;
    if v_account.status = 'entered' then
        raise exception 'setting-invalid: nobody has approved this bank account yet'
            using errcode = '22B05';
    end if;
    if p_order_display_id is not null then
        v_transfer.payment_intent_id := (order_of_display_id(v_account, p_order_display_id)).id;
    end if;
    perform check_bank_transfer(v_transfer);
    return next write_bank_transfer(v_transfer);
end;
$$;
comment on function record_bank_transfer is
'Enters what somebody read on a bank''s statement. Nothing is booked before another person approves it. '
'The same key: the same transfer; the same reference by another key: refused.';
grant execute on function record_bank_transfer to munim_hasura;

create function write_bank_transfer(p_transfer bank_transfers) returns bank_transfers
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
begin
    insert into bank_transfers (
        organization_id, livemode, bank_account_id, kind, rail, reference, amount, currency,
        value_date, payer_name, note, payment_intent_id, refund_id, returned_id, idempotency_key,
        request, made_by, matched_by
    )
    values (
        p_transfer.organization_id, p_transfer.livemode, p_transfer.bank_account_id,
        p_transfer.kind, p_transfer.rail, p_transfer.reference, p_transfer.amount,
        p_transfer.currency, p_transfer.value_date, p_transfer.payer_name, p_transfer.note,
        p_transfer.payment_intent_id, p_transfer.refund_id, p_transfer.returned_id,
        p_transfer.idempotency_key, p_transfer.request, p_transfer.made_by,
        case when p_transfer.payment_intent_id is not null then p_transfer.made_by end
    )
    on conflict do nothing
    returning * into v_transfer;

    if v_transfer.id is not null then
        perform tell_bank_transfer(v_transfer, 'entered');
        return v_transfer;
    end if;
    v_transfer := known_bank_transfer(p_transfer);  -- the same request was quicker
    if v_transfer.id is null then
        raise exception 'transfer-known: % %, or what it pays back, was entered before',
            p_transfer.rail, p_transfer.reference
            using errcode = '22B29';
    end if;
    return v_transfer;
end;
$$;
comment on function write_bank_transfer is
'Writes a transfer down once, by its key and by its reference, however many enter it at a time.';

-- What must hold ----------------------------------------------------------------------------------
create view invariant_unmatched_bank_transfers_are_listed as
select bank_transfers.id as bank_transfer_id, bank_transfers.status
from bank_transfers
left join exceptions
    on exceptions.object_id = bank_transfers.id
    and exceptions.class = 'bank-transfer-unmatched' and exceptions.resolved_at is null
where bank_transfers.kind = 'receipt' and bank_transfers.status in ('entered', 'approved')
    and bank_transfers.payment_intent_id is null and exceptions.id is null;
comment on view invariant_unmatched_bank_transfers_are_listed is
'I11: money of nobody''s order waits for a person.';

revoke insert, update, delete, truncate on bank_transfers from public, munim_hasura;
