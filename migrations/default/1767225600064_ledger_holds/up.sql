create table ledger_holds (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    key text not null,
    ledger_account_id uuid not null,
    currency text not null,
    amount bigint not null,
    status text not null default 'open',
    ledger_transaction_id uuid,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint ledger_hold_is_placed_once unique (key, organization_id, livemode),
    constraint ledger_hold_belongs_to_its_account
    foreign key (ledger_account_id, organization_id, livemode, currency)
    references ledger_accounts (id, organization_id, livemode, currency),
    constraint ledger_hold_ends_in_a_transaction
    foreign key (ledger_transaction_id, organization_id, livemode)
    references ledger_transactions (id, organization_id, livemode),
    constraint ledger_hold_keeps_something check (amount > 0),
    constraint ledger_hold_key_names_a_fact check (length(key) between 3 and 200),
    constraint ledger_hold_status_is_known check (status in ('open', 'posted', 'released')),
    constraint posted_hold_has_its_transaction check (
        (status = 'posted') = (ledger_transaction_id is not null)
    )
);
comment on table ledger_holds is
'An amount of an account that is spoken for: nobody else can move it, and nothing has moved yet. '
'It ends once, posted or released.';
comment on column ledger_holds.amount is 'Minor units, always positive, on whichever side the balance is.';

create index ledger_holds_open on ledger_holds (ledger_account_id) where status = 'open';

create trigger ledger_hold_updated_at
before update on ledger_holds
for each row execute function touch_updated_at();

create function keep_ledger_hold() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_changing constant text[] := '{status,ledger_transaction_id,updated_at}';
begin
    if old.status <> 'open'
        or to_jsonb(new) - v_changing is distinct from to_jsonb(old) - v_changing
    then
        raise exception 'ledger hold % ends once, and never changes otherwise', old.id
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end;
$$;
comment on function keep_ledger_hold is 'A hold ends once, posted or released.';

create trigger ledger_hold_is_kept
before update on ledger_holds
for each row execute function keep_ledger_hold();

create trigger ledger_holds_stay
before delete or truncate on ledger_holds
for each statement execute function refuse_to_rewrite_history();

create function place_ledger_hold(
    p_organization_id uuid,
    p_livemode boolean,
    p_key text,
    p_ledger_account_id uuid,
    p_amount bigint
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_hold ledger_holds;
begin
    perform require_read_committed();

    insert into ledger_holds (
        organization_id, livemode, key, ledger_account_id, currency, amount
    )
    select organization_id, livemode, p_key, id, currency, p_amount
    from ledger_accounts
    where id = p_ledger_account_id and organization_id = p_organization_id
        and livemode = p_livemode and status = 'active'
    on conflict on constraint ledger_hold_is_placed_once do nothing
    returning * into v_hold;

    if v_hold.id is not null then
        update ledger_accounts set held = held + p_amount
        where id = p_ledger_account_id and status = 'active';
        if not found then  -- closed while this waited for its row
            raise exception 'ledger hold % names an account that is not open here', p_key
                using errcode = 'assert_failure';
        end if;
        return v_hold.id;
    end if;

    select * into v_hold
    from ledger_holds
    where key = p_key and organization_id = p_organization_id and livemode = p_livemode;
    if v_hold.id is null then
        raise exception 'ledger hold % names an account that is not open here', p_key
            using errcode = 'assert_failure';
    end if;
    if (v_hold.ledger_account_id, v_hold.amount) is distinct from (p_ledger_account_id, p_amount) then
        raise exception 'ledger-key-reused: % holds another amount', p_key
            using errcode = '22B02';
    end if;
    return v_hold.id;
end;
$$;
comment on function place_ledger_hold is
'Speaks for an amount, once per key; refused by the account''s constraint when it is not there.';

create function open_ledger_hold(p_id uuid, p_account_ids uuid[] default '{}')
returns ledger_holds
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_hold ledger_holds;
begin
    perform require_read_committed();
    select * into strict v_hold from ledger_holds where id = p_id for no key update;

    -- All that the posting will touch, in order of id: the hold's own account need not come first.
    perform lock_ledger_accounts(p_account_ids || v_hold.ledger_account_id);

    if v_hold.status = 'open' then
        update ledger_accounts set held = held - v_hold.amount where id = v_hold.ledger_account_id;
    end if;
    return v_hold;
end;
$$;
comment on function open_ledger_hold is
'Locks a hold and its accounts and, if it is open, gives its amount free.';

create function release_ledger_hold(p_id uuid) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_hold ledger_holds := open_ledger_hold(p_id);
begin
    if v_hold.status = 'posted' then
        raise exception 'ledger hold % is posted and cannot be released', p_id
            using errcode = 'assert_failure';
    end if;
    update ledger_holds set status = 'released' where id = p_id and status = 'open';
end;
$$;
comment on function release_ledger_hold is 'Ends a hold with nothing moved. Again: nothing happens.';

create function post_ledger_hold(
    p_id uuid, p_kind text, p_reference_type text, p_reference_id uuid, p_occurred_at timestamptz,
    p_debit_account_id uuid, p_credit_account_id uuid, p_amount bigint
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_hold ledger_holds := open_ledger_hold(p_id, array[p_debit_account_id, p_credit_account_id]);
    v_transaction_id uuid;
begin
    if v_hold.status = 'released' then
        raise exception 'ledger hold % is released and cannot be posted', p_id
            using errcode = 'assert_failure';
    end if;
    if p_amount not between 1 and v_hold.amount
        or v_hold.ledger_account_id not in (p_debit_account_id, p_credit_account_id)
        or exists (
            select from ledger_accounts
            where id = v_hold.ledger_account_id and (
                id = p_credit_account_id and minimum is null and maximum is not null
                or id = p_debit_account_id and maximum is null and minimum is not null
            )
        )
    then
        raise exception 'ledger hold % keeps %: no more can be posted, and not the other way',
            p_id, v_hold.amount
            using errcode = 'assert_failure';
    end if;

    v_transaction_id := post_ledger_transaction(
        v_hold.organization_id, v_hold.livemode, v_hold.key, p_kind, p_reference_type,
        p_reference_id, p_occurred_at, p_debit_account_id, p_credit_account_id, p_amount
    );
    update ledger_holds set status = 'posted', ledger_transaction_id = v_transaction_id
    where id = p_id and status = 'open';
    return v_transaction_id;
end;
$$;
comment on function post_ledger_hold is
'Ends a hold by moving its amount or a part of it, under the hold''s own key; the rest is free again.';

revoke insert, update, delete, truncate on ledger_holds from public, munim_hasura;
