-- Money that people see on a bank's statement. One person enters it, another one approves it, and only
-- then is anything booked.
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
create index bank_transfers_to_use on bank_transfers (payment_intent_id)
where status = 'approved' and kind = 'receipt' and amount_used < amount;

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
        perform require_undecided('refund', v_refund.status, 'created');
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

-- Deciding ----------------------------------------------------------------------------------------
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
        update bank_transfers set payment_intent_id = v_intent.id, matched_by = v_user_id
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
    elsif v_transfer.status <> 'rejected' then
        perform require_undecided('transfer', v_transfer.status, 'entered');
    end if;
    return next v_transfer;
end;
$$;
comment on function reject_bank_transfer is
'The second person''s no: what was entered never counts, and its reference is free again. Of a receipt '
'that was approved before it had an order, the order is taken off.';
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
'Locks every ledger account that a receipt may touch, in order of id: its arrival, the payment and the '
'surplus are booked in three calls, which could not keep that order among them.';

create function book_receipt(p_transfer bank_transfers) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform post_ledger_transaction(
        p_transfer.organization_id, p_transfer.livemode, 'bank-transfer:' || p_transfer.id,
        'bank_transfer', 'bank_transfer', p_transfer.id, moment_of_bank_transfer(p_transfer),
        array[
            (bank_ledger_account(p_transfer, p_transfer.id), p_transfer.amount),
            (held_receipts_account(p_transfer, p_transfer.id), -p_transfer.amount)
        ]::ledger_line[]
    );
end;
$$;
comment on function book_receipt is 'The bank has the money, and it is held until it is used.';

create function use_receipts(p_payment_intent_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_intent payment_intents;
    v_held bigint;
begin
    select * into strict v_intent from payment_intents where id = p_payment_intent_id;
    select coalesce(sum(amount - amount_used), 0) into v_held
    from bank_transfers
    where payment_intent_id = v_intent.id and status = 'approved'
        and match_checked_by is not null and amount_used < amount;

    if v_intent.status not in ('paid', 'canceled') and v_held < v_intent.amount then
        perform record_exception(
            v_intent.organization_id, v_intent.livemode, 'bank-transfer-short', 'payment_intent',
            v_intent.id, v_intent.amount - v_held, v_intent.currency,
            format('%s of %s came by bank transfer', v_held, v_intent.amount)
        )
        where v_held > 0;
        return;
    end if;
    if v_intent.status not in ('paid', 'canceled') then
        perform pay_by_receipts(v_intent, v_intent.amount);
        v_held := v_held - v_intent.amount;
    end if;
    if v_held > 0 then  -- too much, or nothing was owed any more: it goes back
        perform pay_by_receipts(v_intent, v_held);
    end if;
    perform resolve_exception('bank-transfer-short', 'payment_intent', v_intent.id);
end;
$$;
comment on function use_receipts is
'Pays a payment with what has come for it, once that is enough; whatever is more is surplus, as a second '
'payment by card would be. Too little is held and listed. The intent is locked.';

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
    perform require_undecided('refund', v_refund.status, 'created');

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
comment on function pay_refund_by_hand is 'People have paid a refund: it has succeeded.';

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
        perform mend_short_list(v_receipt.payment_intent_id);
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
            v_postings := v_postings || refund_returned_receipt(p_transfer, v_attempt, v_back);
        end if;
        v_lost := v_lost + v_use.amount - v_back;
    end loop;

    v_postings := v_postings || bank_return_posting(
        p_transfer, v_receipt.amount - v_receipt.amount_used, v_lost
    );
    perform post_ledger_transactions(
        p_transfer.organization_id, p_transfer.livemode, array_remove(v_postings, null)
    );
    perform mend_short_list(v_receipt.payment_intent_id);
end;
$$;
comment on function take_receipt_back is
'The bank took a receipt back. What it had paid counts as refunded, as a refund that somebody made at a '
'gateway does; what was refunded before is lost. All of it is booked in one call.';

create function mend_short_list(p_payment_intent_id uuid) returns void
language sql volatile
begin atomic
select resolve_exception('bank-transfer-short', 'payment_intent', p_payment_intent_id)
where not exists (
    select from bank_transfers
    where payment_intent_id = p_payment_intent_id and status = 'approved'
        and match_checked_by is not null and amount_used < amount
);
end;
comment on function mend_short_list is 'Nothing has come for a payment any more, so nothing is missing.';

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

create function refund_returned_receipt(
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
    v_refund.idempotency_key := format('return:%s:%s', p_transfer.id, p_attempt.id);
    v_refund.requested_by := 'gateway';
    v_refund.type := case
        when p_amount = v_attempt.amount_captured then 'full' else 'partial'
    end;
    v_refund.reason := 'other';
    v_refund.note := 'the bank took the transfer back';
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
comment on function refund_returned_receipt is
'What a bank took back was refunded, though nobody here had asked for it. Answers what is to be booked.';

create function bank_return_posting(p_transfer bank_transfers, p_unused bigint, p_lost bigint)
returns ledger_posting
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_lines ledger_line[] := '{}';
begin
    if p_unused + p_lost = 0 then
        return null;
    end if;
    if p_unused > 0 then
        v_lines := v_lines
            || (held_receipts_account(p_transfer, p_transfer.id), p_unused)::ledger_line;
    end if;
    if p_lost > 0 then
        v_lines := v_lines || (ledger_account(
            p_transfer.organization_id, p_transfer.livemode, 'bank_losses', 'expense',
            p_transfer.currency, p_transfer.id
        ), p_lost)::ledger_line;
    end if;
    v_lines := v_lines
        || (bank_ledger_account(p_transfer, p_transfer.id), -p_unused - p_lost)::ledger_line;
    return (
        'bank-return:' || p_transfer.id, 'bank_return', 'bank_transfer', p_transfer.id,
        moment_of_bank_transfer(p_transfer), v_lines
    )::ledger_posting;
end;
$$;
comment on function bank_return_posting is
'The part of a returned receipt that no refund shows: what was still held, and what had been given '
'back already and is lost. Null where there is none.';

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

create function list_waiting_bank_transfers(hasura_session json) returns setof bank_transfers
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_transfer bank_transfers;
begin
    perform require_service(hasura_session);
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

create view invariant_bank_money_moves_by_two_people as
select ledger_transactions.id as ledger_transaction_id, ledger_transactions.key
from ledger_transactions
inner join ledger_entries on ledger_entries.ledger_transaction_id = ledger_transactions.id
inner join ledger_accounts on ledger_accounts.id = ledger_entries.ledger_account_id
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
                when starts_with(refunds.idempotency_key, 'return:')
                    then split_part(refunds.idempotency_key, ':', 2)::uuid
            end
            and bank_transfers.kind = 'return' and bank_transfers.status = 'approved'
            and bank_transfers.checked_by <> bank_transfers.made_by
        where refunds.id = ledger_transactions.reference_id and refunds.requested_by = 'gateway'
    );
comment on view invariant_bank_money_moves_by_two_people is
'A21: nothing is booked at a bank but what one person entered and another one approved.';

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

revoke insert, update, delete, truncate
on bank_transfers, bank_transfer_uses from public, munim_hasura;
