-- An organisation's own accounts at banks, to which its payers may transfer what they owe.
create table bank_account_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table bank_account_steps is 'Every legal change of bank_accounts.status.';
insert into bank_account_steps (before, after) values
('entered', 'open'),
('entered', 'closed'),
('open', 'closed');

create table bank_accounts (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    currency text not null default 'INR' references currencies (code),
    holder_name text not null,
    bank_name text not null,
    account_number text not null,
    account_number_last4 text not null generated always as (right(account_number, 4)) stored,
    ifsc text not null,
    status text not null default 'entered',
    made_by text not null,
    checked_by text,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint bank_account_stays_in_its_organization unique (id, organization_id, livemode),
    constraint bank_account_is_in_rupees check (currency = 'INR'),
    constraint bank_account_names_have_a_length check (
        length(holder_name) between 1 and 140 and length(bank_name) between 1 and 140
    ),
    constraint bank_account_number_is_one check (account_number ~ '^[0-9]{6,20}$'),
    constraint bank_account_ifsc_is_one check (ifsc ~ '^[A-Z]{4}0[A-Z0-9]{6}$'),
    constraint bank_account_status_is_known check (status in ('entered', 'open', 'closed')),
    constraint bank_account_is_opened_by_two check (
        checked_by <> made_by and (status <> 'open' or checked_by is not null)
    )
);
comment on table bank_accounts is
'Where payers transfer money to. Who could change it alone could have everybody pay themselves: one '
'person enters an account, another one opens it, and nothing of it ever changes.';
comment on column bank_accounts.currency is 'NEFT, RTGS, IMPS and UPI carry rupees.';
comment on column bank_accounts.account_number_last4 is 'For those who need not read the number.';
comment on column bank_accounts.status is
'entered: nobody sees it yet; open: payers are shown it, one account a currency; closed: they are not '
'any more, and what still comes there is recorded all the same.';
comment on column bank_accounts.made_by is 'The login of who entered it; checked_by: of who opened it.';

create unique index bank_account_is_kept_once
on bank_accounts (account_number, ifsc, organization_id, livemode) where status <> 'closed';
create unique index payers_are_shown_one_account
on bank_accounts (organization_id, livemode, currency) where status = 'open';

create trigger bank_account_takes_legal_steps
before update of status on bank_accounts
for each row when (old.status is distinct from new.status)
execute function check_step('bank_account_steps');

create trigger bank_account_keeps_what_it_is
before update of
id, organization_id, livemode, currency, holder_name, bank_name, account_number, ifsc, made_by
on bank_accounts
for each statement execute function refuse_to_rewrite_history();

create trigger bank_account_updated_at
before update on bank_accounts
for each row execute function touch_updated_at();

create function add_bank_account(
    hasura_session json,
    p_holder_name text,
    p_bank_name text,
    p_account_number text,
    p_ifsc text
) returns setof bank_accounts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_organization_id uuid := (hasura_session ->> 'x-hasura-organization-id')::uuid;
    v_livemode boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_account bank_accounts;
begin
    perform require_read_committed();
    insert into bank_accounts (
        organization_id, livemode, holder_name, bank_name, account_number, ifsc, made_by
    )
    values (
        v_organization_id, v_livemode, p_holder_name, p_bank_name, p_account_number, p_ifsc,
        v_user_id
    )
    on conflict do nothing
    returning * into v_account;
    if v_account.id is not null then
        perform tell_bank_account(v_account, 'entered');
        return next v_account;
        return;
    end if;

    select * into strict v_account
    from bank_accounts
    where account_number = p_account_number and ifsc = p_ifsc and status <> 'closed'
        and organization_id = v_organization_id and livemode = v_livemode;
    if (v_account.holder_name, v_account.bank_name) <> (p_holder_name, p_bank_name) then
        raise exception 'setting-invalid: this account is there under another name: %, %',
            v_account.holder_name, v_account.bank_name
            using errcode = '22B05';
    end if;
    return next v_account;
end;
$$;
comment on function add_bank_account is
'Enters an account that another person then opens. Entered again: the account that is there.';
grant execute on function add_bank_account to munim_hasura;

create function tell_bank_account(p_account bank_accounts, p_what text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    perform record_event(
        p_account.organization_id, p_account.livemode, 'bank_account.' || p_what, 'bank_account',
        p_account.id, jsonb_build_object(
            'bank_account_id', p_account.id,
            'account_number_last4', p_account.account_number_last4,
            'ifsc', p_account.ifsc,
            'status', p_account.status,
            'made_by', p_account.made_by,
            'checked_by', p_account.checked_by
        )
    );
end;
$$;
comment on function tell_bank_account is
'Tells of what became of an account. Whoever owns the place should hear when payers are sent elsewhere.';

create function lock_bank_account(p_session json, p_id uuid) returns bank_accounts
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_account bank_accounts;
begin
    select * into v_account from bank_accounts where id = p_id;
    perform require_access(p_session, v_account.organization_id, v_account.livemode, null);

    -- All of an organisation's in one order: one closes when another one opens.
    perform from bank_accounts
    where organization_id = v_account.organization_id and livemode = v_account.livemode
    order by id
    for no key update;
    select * into strict v_account from bank_accounts where id = p_id;
    return v_account;
end;
$$;
comment on function lock_bank_account is 'An account of the session''s, locked, or a refusal.';

create function approve_bank_account(hasura_session json, p_bank_account_id uuid)
returns setof bank_accounts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_account bank_accounts;
    v_before bank_accounts;
begin
    perform require_read_committed();
    v_account := lock_bank_account(hasura_session, p_bank_account_id);
    if v_account.status = 'closed' then
        raise exception 'transfer-decided: this account is closed' using errcode = '22B28';
    end if;
    if v_account.status = 'entered' then
        perform require_second_person(v_account.organization_id, v_account.made_by, v_user_id);
        update bank_accounts set status = 'closed'
        where organization_id = v_account.organization_id and livemode = v_account.livemode
            and currency = v_account.currency and status = 'open'
        returning * into v_before;
        perform tell_bank_account(v_before, 'closed') where v_before.id is not null;
        update bank_accounts set status = 'open', checked_by = v_user_id
        where id = v_account.id
        returning * into strict v_account;
        perform tell_bank_account(v_account, 'opened');
    end if;
    return next v_account;
end;
$$;
comment on function approve_bank_account is
'The second person''s word: payers are shown this account from now on, instead of the one before.';
grant execute on function approve_bank_account to munim_hasura;

create function close_bank_account(hasura_session json, p_bank_account_id uuid)
returns setof bank_accounts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_account bank_accounts;
begin
    perform acting_member(hasura_session, array['finance', 'owner']);
    perform require_read_committed();
    v_account := lock_bank_account(hasura_session, p_bank_account_id);
    if v_account.status <> 'closed' then
        update bank_accounts set status = 'closed' where id = v_account.id
        returning * into strict v_account;
        perform tell_bank_account(v_account, 'closed');
    end if;
    return next v_account;
end;
$$;
comment on function close_bank_account is
'Payers are not shown the account any more. It takes one person: nothing can be stolen by it.';
grant execute on function close_bank_account to munim_hasura;

create function require_other_person(p_maker text, p_checker text) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    if p_checker = p_maker then
        raise exception 'second-person-needed: whoever entered this cannot decide it'
            using errcode = '22B27';
    end if;
end;
$$;
comment on function require_other_person is 'Refuses to let one person do what takes two.';

create function require_second_person(
    p_organization_id uuid, p_maker text, p_checker text
) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
begin
    perform require_other_person(p_maker, p_checker);
    if not is_member(p_organization_id, p_maker, array['finance', 'owner']) then
        raise exception 'second-person-needed: whoever entered this has not that role any more'
            using errcode = '22B27';
    end if;
end;
$$;
comment on function require_second_person is
'Refuses to let one person approve what takes two, both of them with the role at this moment.';

revoke insert, update, delete, truncate on bank_accounts from public, munim_hasura;
