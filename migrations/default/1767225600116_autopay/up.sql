-- What a regulator asks of charges that nobody is present at, by currency and date.
create table autopay_rules (
    currency text not null references currencies (code),
    valid_from date not null,
    notice interval not null,
    unattended_amount_max bigint not null,
    primary key (currency, valid_from),
    constraint autopay_rule_is_sensible check (
        notice between interval '0' and interval '14 days' and unattended_amount_max > 0
    )
);
comment on table autopay_rules is
'What law asks of a charge while the payer is away, by the currency charged; none where no row is.';
comment on column autopay_rules.notice is 'How long before the charge the payer must be told of it.';
comment on column autopay_rules.unattended_amount_max is
'Above this, in minor units, the payer must be present: they are sent a page.';

-- Reserve Bank of India, e-mandate framework: a day''s notice, and 15,000 rupees.
insert into autopay_rules (currency, valid_from, notice, unattended_amount_max) values
('INR', '2026-04-21', '24 hours', 1500000);

create table autopay_settings (
    organization_id uuid primary key references organizations (id),
    local_time time not null default '09:00',
    notice_days smallint not null default 3,
    catch_up_days smallint not null default 3,
    retry_days smallint[] not null default '{1,3,5}',
    action_days smallint not null default 7,
    daily_tries_max smallint not null default 4,
    updated_at timestamptz not null default clock_now(),
    constraint autopay_days_are_within_a_month check (
        notice_days between 0 and 14 and catch_up_days between 0 and 7
        and action_days between 1 and 20 and daily_tries_max between 1 and 100
    ),
    -- The card networks allow four tries in sixteen days; and a period''s end before the next begins.
    constraint autopay_is_tried_four_times_at_most check (
        cardinality(retry_days) between 0 and 3
        and array_position(retry_days, null) is null
        and 0 < coalesce(retry_days[1], 1)
        and coalesce(retry_days[1] < retry_days[2], true)
        and coalesce(retry_days[2] < retry_days[3], true)
        and coalesce(retry_days[cardinality(retry_days)], 1) <= 16
    )
);
comment on table autopay_settings is 'How an organisation runs autopay. Every organisation has its row.';
comment on column autopay_settings.local_time is
'When charges fall due in the mandate''s zone; for mandates to come. Kept away from the hours in '
'which clocks are changed.';
comment on column autopay_settings.notice_days is 'How many days before it is due a charge is announced.';
comment on column autopay_settings.catch_up_days is
'What could not be tried for longer than this is not charged any more, but listed for a person.';
comment on column autopay_settings.retry_days is
'How many days after the first try a declined charge is tried again; at most three times.';
comment on column autopay_settings.action_days is 'How long a payer may take to finish a charge themselves.';
comment on column autopay_settings.daily_tries_max is
'How many tries a customer may see in 24 hours, all mandates taken together. More is a fault of ours.';

create trigger autopay_setting_updated_at
before update on autopay_settings
for each row execute function touch_updated_at();

create function open_autopay_settings() returns trigger
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    insert into autopay_settings (organization_id) values (new.id) on conflict do nothing;
    return null;
end;
$$;
comment on function open_autopay_settings is 'An organisation has settings to read from the first day.';

insert into autopay_settings (organization_id) select id from organizations;

create trigger organization_has_autopay_settings
after insert on organizations
for each row execute function open_autopay_settings();

create table autopay_mandate_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table autopay_mandate_steps is 'Every legal change of autopay_mandates.status.';
insert into autopay_mandate_steps (before, after) values
('pending_setup', 'active'),
('pending_setup', 'failed'),
('pending_setup', 'canceled'),
('failed', 'active'),  -- the page was finished after all
('failed', 'canceled'),  -- and is not to count any more if it is
('active', 'paused'),
('active', 'canceled'),
('paused', 'active'),
('paused', 'canceled');

create table autopay_charge_steps (
    before text not null,
    after text not null,
    primary key (before, after)
);
comment on table autopay_charge_steps is 'Every legal change of autopay_charges.status.';
insert into autopay_charge_steps (before, after) values
('due', 'claimed'),
('due', 'charging'),  -- an attempt that had failed is on its way again
('due', 'skipped'),
('due', 'canceled'),
('due', 'succeeded'),  -- an attempt that had failed took the money after all; so below
('claimed', 'charging'),
('claimed', 'due'),
('claimed', 'action_required'),
('claimed', 'skipped'),
('claimed', 'canceled'),
('claimed', 'failed'),
('claimed', 'succeeded'),
('charging', 'succeeded'),
('charging', 'due'),
('charging', 'action_required'),
('charging', 'failed'),
('charging', 'skipped'),
('charging', 'canceled'),
('action_required', 'succeeded'),
('action_required', 'failed'),
('action_required', 'canceled'),
('failed', 'succeeded'),
('skipped', 'succeeded'),
('canceled', 'succeeded');

create table autopay_mandates (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    gateway text not null,
    payment_method_id uuid,
    amount bigint not null,
    currency text not null references currencies (code),
    day_of_month smallint not null,
    local_time time not null,
    timezone text not null,
    status text not null default 'pending_setup',
    reason text,
    anchor_on date,
    next_due_on date,
    next_notice_at timestamptz,
    customer_email text not null,
    gateway_customer_id text,
    gateway_session_id text,
    url text,
    success_url text not null,
    cancel_url text not null,
    setup_expires_at timestamptz not null,
    checks smallint not null default 0,
    next_check_at timestamptz,
    consented_by text not null,
    consented_at timestamptz,
    paused_at timestamptz,
    canceled_at timestamptz,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint autopay_mandate_stays_in_its_organization unique (id, organization_id, livemode),
    constraint autopay_mandate_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint autopay_mandate_charges_a_payment_method
    foreign key (payment_method_id, organization_id, livemode)
    references payment_methods (id, organization_id, livemode),
    constraint autopay_mandate_key_is_used_once
    unique (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint autopay_mandate_key_has_a_length check (length(idempotency_key) between 1 and 255),
    constraint autopay_mandate_asks_for_money check (amount > 0),
    constraint autopay_day_is_of_a_month check (day_of_month between 1 and 31),
    constraint autopay_timezone_exists check (
        timestamptz 'epoch' at time zone timezone is not null
    ),
    constraint autopay_mandate_status_is_known check (
        status in ('pending_setup', 'active', 'paused', 'canceled', 'failed')
    ),
    constraint live_autopay_mandate_is_agreed_to check (
        status not in ('active', 'paused')
        or (payment_method_id is not null and anchor_on is not null and consented_at is not null)
    ),
    constraint active_autopay_mandate_knows_its_next_charge check (
        (status = 'active') = (next_due_on is not null)
        and (next_due_on is null) = (next_notice_at is null)
    ),
    constraint autopay_mandate_knows_since_when check (
        (status = 'paused') = (paused_at is not null)
        and (status = 'canceled') = (canceled_at is not null)
        and (status in ('pending_setup', 'active') or reason is not null)
    ),
    constraint opened_autopay_setup_has_a_page check ((gateway_session_id is null) = (url is null)),
    constraint autopay_setup_that_is_over_is_not_checked check (
        next_check_at is null or status in ('pending_setup', 'active', 'paused')
    )
);
comment on table autopay_mandates is
'A customer''s order to charge them each month while they are away. What was agreed to never changes: '
'another amount or day is another mandate, which takes the place of this one when it is set up.';
comment on column autopay_mandates.requested_by is 'user:<id>, or service. A key is this one''s own.';
comment on column autopay_mandates.amount is 'Minor units of currency; what is charged and the most that may be.';
comment on column autopay_mandates.day_of_month is '29 to 31 mean the last day where a month is shorter.';
comment on column autopay_mandates.timezone is 'The organisation''s when the mandate was made.';
comment on column autopay_mandates.reason is 'Why it is paused, canceled or failed.';
comment on column autopay_mandates.anchor_on is 'The first due date; the others follow from its month and the day.';
comment on column autopay_mandates.next_due_on is 'The due date of the next charge to be written down.';
comment on column autopay_mandates.next_notice_at is 'When that charge is written down and announced.';
comment on column autopay_mandates.url is 'The gateway''s page on which the payment method is saved.';
comment on column autopay_mandates.gateway_customer_id is
'Who the customer is to the gateway already, frozen with all else that its page was asked for with.';
comment on column autopay_mandates.next_check_at is
'When the gateway is asked about the page: while it is open, and once more where the message that the '
'method is saved did not say what it is.';
comment on column autopay_mandates.consented_by is 'The login that asked for the mandate.';
comment on column autopay_mandates.consented_at is 'When the payment method was saved on the gateway''s page.';

create unique index autopay_setup_page_is_opened_once
on autopay_mandates (gateway_session_id, gateway, livemode)
where gateway_session_id is not null;
create unique index customer_has_one_live_autopay_mandate
on autopay_mandates (customer_id, currency) where status in ('active', 'paused');
create unique index customer_sets_up_one_autopay_mandate
on autopay_mandates (customer_id, currency) where status = 'pending_setup';
create index autopay_mandates_to_announce on autopay_mandates (next_notice_at)
where next_notice_at is not null;
comment on index autopay_mandates_to_announce is 'Queue of materialise_autopay.';
create index autopay_setups_to_check on autopay_mandates (next_check_at)
where next_check_at is not null;
comment on index autopay_setups_to_check is 'Queue of check_autopay_setups.';
create index autopay_mandates_by_method on autopay_mandates (payment_method_id)
where payment_method_id is not null;

create trigger autopay_mandate_takes_legal_steps
before update of status on autopay_mandates
for each row when (old.status is distinct from new.status)
execute function check_step('autopay_mandate_steps');

create trigger autopay_mandate_updated_at
before update on autopay_mandates
for each row execute function touch_updated_at();

create function keep_autopay_agreement() returns trigger
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    raise exception 'what mandate % says was agreed to, and stays', old.id
        using errcode = 'assert_failure';
end;
$$;
comment on function keep_autopay_agreement is 'Refuses to change what a customer agreed to.';

create trigger autopay_mandate_keeps_what_was_agreed_to
before update on autopay_mandates
for each row when (
    (
        old.customer_id, old.amount, old.currency, old.day_of_month, old.local_time, old.timezone,
        old.gateway, old.consented_by, old.idempotency_key, old.requested_by
    ) is distinct from (
        new.customer_id, new.amount, new.currency, new.day_of_month, new.local_time, new.timezone,
        new.gateway, new.consented_by, new.idempotency_key, new.requested_by
    )
    or (old.anchor_on is not null and old.anchor_on is distinct from new.anchor_on)
    or (
        old.payment_method_id is not null
        and old.payment_method_id is distinct from new.payment_method_id
    )
)
execute function keep_autopay_agreement();

create table autopay_charges (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    autopay_mandate_id uuid not null,
    customer_id uuid not null,
    period text not null,
    due_on date not null,
    due_at timestamptz not null,
    amount bigint not null,
    currency text not null references currencies (code),
    status text not null default 'due',
    reason text,
    payment_intent_id uuid,
    tries smallint not null default 0,
    next_try_at timestamptz,
    last_try_at timestamptz,
    fence bigint not null default 0,
    lease_until timestamptz,
    silences smallint not null default 0,
    notified_at timestamptz not null default clock_now(),
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint autopay_charge_stays_in_its_organization unique (id, organization_id, livemode),
    constraint autopay_charge_belongs_to_its_mandate
    foreign key (autopay_mandate_id, organization_id, livemode)
    references autopay_mandates (id, organization_id, livemode),
    constraint autopay_charge_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint autopay_charge_is_owed_by_its_intent
    foreign key (payment_intent_id, organization_id, livemode)
    references payment_intents (id, organization_id, livemode),
    constraint autopay_period_is_charged_once unique (autopay_mandate_id, period),
    constraint intent_pays_one_autopay_charge unique (payment_intent_id),
    constraint autopay_period_is_a_month check (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    constraint autopay_charge_asks_for_money check (amount > 0),
    constraint autopay_charge_status_is_known check (
        status in (
            'due', 'claimed', 'charging', 'action_required', 'succeeded', 'failed', 'skipped',
            'canceled'
        )
    ),
    constraint autopay_charge_is_tried_four_times_at_most check (tries between 0 and 4),
    constraint waiting_autopay_charge_knows_until_when check (
        (status in ('due', 'claimed', 'action_required')) = (next_try_at is not null)
        and (status <> 'claimed' or lease_until is not null)
        and (status in ('claimed', 'charging') or lease_until is null)
    ),
    constraint autopay_charge_knows_its_payment check (
        status not in ('charging', 'succeeded') or payment_intent_id is not null
    ),
    constraint autopay_charge_says_why check (
        status not in ('action_required', 'failed', 'skipped', 'canceled') or reason is not null
    )
);
comment on table autopay_charges is
'One month of one mandate. Crons may come any number of times: this row is there once.';
comment on column autopay_charges.period is 'The month it is for, YYYY-MM in the mandate''s zone.';
comment on column autopay_charges.status is
'due: waits for next_try_at; claimed: a worker is about to begin; charging: an attempt is open; '
'action_required: the payer must finish it on a page; skipped: this month is not charged, see reason.';
comment on column autopay_charges.reason is 'Why it is not paid: the last decline, or what stood in the way.';
comment on column autopay_charges.tries is 'How many attempts have begun.';
comment on column autopay_charges.next_try_at is
'When it is tried (again); of action_required, until when the payer may finish it.';
comment on column autopay_charges.fence is 'Counts the claims: a worker with an older number begins nothing.';
comment on column autopay_charges.lease_until is
'Until when the worker has it to itself; then another goes on from the same attempt.';
comment on column autopay_charges.silences is 'How often the gateway gave no answer about the open attempt.';

create index autopay_charges_to_try on autopay_charges (next_try_at) where status = 'due';
comment on index autopay_charges_to_try is 'Queue of run_autopay and materialise_autopay.';
create index autopay_charges_to_take_over on autopay_charges (lease_until)
where lease_until is not null;
comment on index autopay_charges_to_take_over is 'Queue of run_autopay.';
create index autopay_charges_to_give_up on autopay_charges (next_try_at)
where status = 'action_required';
comment on index autopay_charges_to_give_up is 'Queue of materialise_autopay.';
create index autopay_charges_by_customer on autopay_charges (customer_id, period);
create unique index customer_pays_a_month_once on autopay_charges (customer_id, currency, period)
where status = 'succeeded';

create trigger autopay_charge_takes_legal_steps
before update of status on autopay_charges
for each row when (old.status is distinct from new.status)
execute function check_step('autopay_charge_steps');

create trigger autopay_charge_updated_at
before update on autopay_charges
for each row execute function touch_updated_at();

create function due_date(p_day_of_month integer, p_month date) returns date
language sql immutable
begin atomic
select least(
    date_trunc('month', p_month::timestamp)::date + p_day_of_month - 1,
    (date_trunc('month', p_month::timestamp) + interval '1 month')::date - 1
);
end;
comment on function due_date is
'The day of a month, or its last one where the month is shorter. Reckoned from the month anew each '
'time, so that a 31st that was a 28th in February is a 31st again in March.';

create function local_moment(p_date date, p_time time, p_timezone text) returns timestamptz
language sql immutable
begin atomic
select (p_date + p_time) at time zone p_timezone;
end;
comment on function local_moment is
'The moment at which clocks in a zone show a date and time. Where clocks go forward over it, the '
'moment that it would have been, an hour later by the new clock; where they show it twice, the second.';

create function autopay_facts(p_charge autopay_charges) returns jsonb
language sql stable
begin atomic
select jsonb_build_object(
    'autopay_charge_id', p_charge.id,
    'autopay_mandate_id', p_charge.autopay_mandate_id,
    'customer_id', p_charge.customer_id,
    'payment_intent_id', p_charge.payment_intent_id,
    'period', p_charge.period,
    'due_on', p_charge.due_on,
    'due_at', p_charge.due_at,
    'amount', p_charge.amount,
    'currency', p_charge.currency,
    'tries', p_charge.tries,
    'next_try_at', p_charge.next_try_at,
    'reason', p_charge.reason
);
end;
comment on function autopay_facts is 'What an event about a charge tells.';

create function tell_of_autopay_charge(p_charge autopay_charges, p_type text) returns void
language sql volatile
begin atomic
select record_event(
    p_charge.organization_id, p_charge.livemode, p_type, 'autopay_charge', p_charge.id,
    autopay_facts(p_charge)
);
end;
comment on function tell_of_autopay_charge is 'Writes a fact about a charge to the outbox.';

create function tell_of_autopay_mandate(p_mandate autopay_mandates, p_type text) returns void
language sql volatile
begin atomic
select record_event(
    p_mandate.organization_id, p_mandate.livemode, p_type, 'autopay_mandate', p_mandate.id,
    jsonb_build_object(
        'autopay_mandate_id', p_mandate.id,
        'customer_id', p_mandate.customer_id,
        'amount', p_mandate.amount,
        'currency', p_mandate.currency,
        'day_of_month', p_mandate.day_of_month,
        'next_due_on', p_mandate.next_due_on,
        'reason', p_mandate.reason
    )
);
end;
comment on function tell_of_autopay_mandate is 'Writes a fact about a mandate to the outbox.';

-- Setting up -----------------------------------------------------------------------------------

create view autopay_setups as
select
    id,
    organization_id,
    livemode,
    customer_id,
    gateway,
    amount,
    currency,
    day_of_month,
    status,
    reason,
    customer_email,
    gateway_customer_id,
    gateway_session_id,
    url,
    success_url,
    cancel_url,
    setup_expires_at,
    setup_expires_at < clock_now() + interval '31 minutes' as is_closing,
    setup_expires_at < clock_now() as is_over
from autopay_mandates;
comment on view autopay_setups is 'All that opening a mandate''s page takes, in one row.';

create function repeated_autopay_mandate(
    p_customer customers,
    p_key text,
    p_requested_by text,
    p_amount bigint,
    p_currency text,
    p_day_of_month integer
) returns uuid
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates;
begin
    select * into v_mandate
    from autopay_mandates
    where customer_id = p_customer.id and idempotency_key = p_key
        and requested_by = p_requested_by;

    if v_mandate.id is not null
        and (v_mandate.amount, v_mandate.currency, v_mandate.day_of_month)
        is distinct from (p_amount, coalesce(p_currency, v_mandate.currency), p_day_of_month)
    then
        raise exception 'idempotency-key-reused: the key belongs to a request with other content'
            using errcode = '22B08';
    end if;
    return v_mandate.id;
end;
$$;
comment on function repeated_autopay_mandate is
'The mandate that this key opened before, or null. Refuses a key with other content.';

create function customer_at_gateway(p_customer customers, p_gateway text) returns text
language sql stable
begin atomic
select coalesce(
    (
        select gateway_customer_id from payment_methods
        where customer_id = p_customer.id and gateway = p_gateway
        order by created_at desc, id desc
        limit 1
    ),
    case when p_gateway = 'stripe' then p_customer.stripe_customer_id end
);
end;
comment on function customer_at_gateway is 'Who a customer is to a gateway; null where it knows them not.';

create function write_autopay_mandate(
    p_customer customers,
    p_session json,
    p_key text,
    p_amount bigint,
    p_currency text,
    p_day_of_month integer,
    p_gateway text,
    p_success_url text,
    p_cancel_url text
) returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_id uuid;
    v_older autopay_mandates;
begin
    -- One page at a time: who asks again has changed their mind. A page that failed counts as one:
    -- it may be finished after all.
    for v_older in
        select * from autopay_mandates
        where customer_id = p_customer.id and currency = p_currency
            and status in ('pending_setup', 'failed')
        order by id
        for no key update
    loop
        perform end_autopay_mandate(v_older, 'superseded');
    end loop;

    insert into autopay_mandates (
        organization_id, livemode, customer_id, idempotency_key, requested_by, gateway, amount,
        currency, day_of_month, local_time, timezone, customer_email, gateway_customer_id,
        success_url, cancel_url, consented_by, setup_expires_at, next_check_at
    )
    select
        p_customer.organization_id, p_customer.livemode, p_customer.id, p_key,
        acting_principal(p_session), p_gateway, p_amount, p_currency, p_day_of_month, autopay_settings.local_time, organizations.timezone,
        p_customer.email, customer_at_gateway(p_customer, p_gateway), p_success_url,
        p_cancel_url, coalesce(p_session ->> 'x-hasura-user-id', p_customer.id::text),
        date_trunc('second', clock_now()) + interval '23 hours', clock_now() + check_delay(1)
    from organizations
    inner join autopay_settings on autopay_settings.organization_id = organizations.id
    where organizations.id = p_customer.organization_id
    returning id into strict v_id;
    return v_id;
end;
$$;
comment on function write_autopay_mandate is
'Writes a mandate down before a gateway is asked for its page. Of several pages the newest counts, whatever '
'becomes of it: one that had failed starts nothing any more.';

create function open_autopay_setup(
    hasura_session json,
    p_key text,
    p_amount bigint,
    p_currency text,
    p_day_of_month integer,
    p_gateway text,
    p_success_url text,
    p_cancel_url text
) returns setof autopay_setups
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_customer customers;
    v_currency text;
    v_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_customer := acting_customer(hasura_session);

    -- The customer's row orders their requests: of two with one key, the second finds the first.
    perform from customers where id = v_customer.id for no key update;
    v_id := repeated_autopay_mandate(
        v_customer, p_key, acting_principal(hasura_session), p_amount, p_currency, p_day_of_month
    );

    if v_id is null then
        select coalesce(p_currency, default_currency) into strict v_currency
        from organizations where id = v_customer.organization_id;
        perform check_payment_amount(v_customer.organization_id, p_amount, v_currency);
        if p_day_of_month is null or p_day_of_month not between 1 and 31 then
            raise exception 'invalid-input: % is not a day of any month', p_day_of_month
                using errcode = '22B20';
        end if;
        v_id := write_autopay_mandate(
            v_customer, hasura_session, p_key, p_amount, v_currency, p_day_of_month, p_gateway,
            p_success_url, p_cancel_url
        );
    end if;
    return query select * from autopay_setups where id = v_id;
end;
$$;
comment on function open_autopay_setup is
'Writes a mandate down before a gateway is asked. The same key: the same mandate.';
grant execute on function open_autopay_setup to munim_hasura;

create function record_autopay_setup(
    hasura_session json,
    p_autopay_mandate_id uuid,
    p_gateway_session_id text,
    p_url text
) returns setof autopay_setups
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates := acting_mandate(hasura_session, p_autopay_mandate_id);
begin
    update autopay_mandates
    set gateway_session_id = p_gateway_session_id, url = p_url
    where id = v_mandate.id
        and (gateway_session_id is null or gateway_session_id = p_gateway_session_id);
    if not found then
        raise exception 'autopay mandate % has another page already', v_mandate.id
            using errcode = 'assert_failure';
    end if;
    return query select * from autopay_setups where id = v_mandate.id;
end;
$$;
comment on function record_autopay_setup is 'Keeps the page that a gateway opened for a mandate.';
grant execute on function record_autopay_setup to munim_hasura;

create function acting_mandate(p_session json, p_autopay_mandate_id uuid) returns autopay_mandates
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates;
begin
    perform require_service(p_session);
    perform require_read_committed();
    select * into v_mandate
    from autopay_mandates where id = p_autopay_mandate_id for no key update;
    perform require_access(
        p_session, v_mandate.organization_id, v_mandate.livemode, v_mandate.customer_id
    );
    return v_mandate;
end;
$$;
comment on function acting_mandate is 'Locks a mandate that the session may act on.';

create function claim_autopay_setups(
    hasura_session json, p_limit integer, p_paused jsonb default '[]'
) returns setof autopay_setups
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    for v_mandate in
        update autopay_mandates
        set checks = checks + 1, next_check_at = clock_now() + check_delay(least(checks + 1, 4))
        where id = any(array(
            select id from autopay_mandates
            where next_check_at <= clock_now()
                and livemode::text = hasura_session ->> 'x-hasura-livemode'
                and not p_paused ? gateway
            order by next_check_at
            limit p_limit
            for no key update skip locked
        ))
        returning *
    loop
        -- A page that was never recorded was never shown to anybody. It is answered all the same:
        -- whoever claims one by one takes nothing for the end.
        if v_mandate.gateway_session_id is null and v_mandate.setup_expires_at < clock_now() then
            perform fail_autopay_setup(v_mandate, 'expired');
        end if;
        return query select * from autopay_setups where id = v_mandate.id;
    end loop;
end;
$$;
comment on function claim_autopay_setups is
'Answers mandates whose page may have been finished or closed without our hearing of it, and puts '
'each off to its next time. None is answered of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_autopay_setups to munim_hasura;

create function fail_autopay_setup(p_mandate autopay_mandates, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update autopay_mandates
    set status = 'failed', reason = p_reason, next_check_at = null
    where id = p_mandate.id
    returning * into strict p_mandate;
    perform tell_of_autopay_mandate(p_mandate, 'autopay.setup_failed');
end;
$$;
comment on function fail_autopay_setup is 'The page was closed without a payment method.';

create function first_autopay_due(p_mandate autopay_mandates, p_after timestamptz) returns date
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_due date;
begin
    -- This month, the next, or the one after a month that is paid for already.
    for v_months in 0..24 loop
        v_due := due_date(
            p_mandate.day_of_month,
            (
                date_trunc('month', p_after at time zone p_mandate.timezone)
                + v_months * interval '1 month'
            )::date
        );
        if local_moment(v_due, p_mandate.local_time, p_mandate.timezone) > p_after
            and not exists (
                select from autopay_charges
                where customer_id = p_mandate.customer_id and currency = p_mandate.currency
                    and period = to_char(v_due, 'YYYY-MM')
                    and (
                        autopay_mandate_id = p_mandate.id
                        or status in ('charging', 'action_required', 'succeeded')
                    )
            )
        then
            return v_due;
        end if;
    end loop;
    raise exception 'mandate % finds no month to charge', p_mandate.id
        using errcode = 'assert_failure';
end;
$$;
comment on function first_autopay_due is
'The first due date after a moment, in a month that is neither written down for this mandate nor '
'charged by the one it replaces: a customer pays once a month however often they change it.';

create function start_autopay_mandate(p_mandate autopay_mandates) returns autopay_mandates
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_due date := first_autopay_due(p_mandate, clock_now());
    v_mandate autopay_mandates;
begin
    update autopay_mandates
    set
        status = 'active', reason = null, paused_at = null, next_check_at = null,
        anchor_on = coalesce(anchor_on, v_due),
        next_due_on = v_due,
        next_notice_at = local_moment(
            v_due, autopay_mandates.local_time, autopay_mandates.timezone
        )
        - autopay_settings.notice_days * interval '1 day'
    from autopay_settings
    where autopay_mandates.id = p_mandate.id
        and autopay_settings.organization_id = p_mandate.organization_id
    returning autopay_mandates.* into strict v_mandate;
    return v_mandate;
end;
$$;
comment on function start_autopay_mandate is 'Lets a mandate run from its next due date on.';

create function save_payment_method(p_mandate autopay_mandates, p_event gateway_events)
returns uuid
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_gateway_customer_id text := p_event.notice ->> 'gateway_customer_id';
    v_id uuid;
begin
    insert into payment_methods (
        organization_id, livemode, customer_id, gateway, gateway_account, gateway_customer_id,
        gateway_payment_method_id, type, brand, last4, expires_on
    )
    values (
        p_mandate.organization_id, p_mandate.livemode, p_mandate.customer_id, p_event.gateway,
        p_event.gateway_account, v_gateway_customer_id,
        p_event.notice ->> 'gateway_payment_method_id',
        coalesce(p_event.notice ->> 'method', 'other'), p_event.notice ->> 'card_brand',
        p_event.notice ->> 'card_last4', (p_event.notice ->> 'card_expires_on')::date
    )
    on conflict on constraint payment_method_is_kept_once do update
    set
        status = 'active',
        type = coalesce(p_event.notice ->> 'method', payment_methods.type),
        brand = coalesce(excluded.brand, payment_methods.brand),
        last4 = coalesce(excluded.last4, payment_methods.last4),
        expires_on = coalesce(excluded.expires_on, payment_methods.expires_on)
    returning id into strict v_id;

    update customers set stripe_customer_id = v_gateway_customer_id
    where id = p_mandate.customer_id and p_event.gateway = 'stripe' and stripe_customer_id is null
        and not exists (
            select from customers as other where other.stripe_customer_id = v_gateway_customer_id
        );
    return v_id;
end;
$$;
comment on function save_payment_method is
'Keeps what a customer saved at a gateway, and who they are there. The customer is locked.';

create function mandate_of_notice(p_event gateway_events) returns autopay_mandates
language sql stable
begin atomic
select autopay_mandates from autopay_mandates
where gateway = p_event.gateway and livemode = p_event.livemode
    and (
        id = (p_event.notice ->> 'autopay_mandate_id')::uuid
        or gateway_session_id = p_event.notice ->> 'gateway_session_id'
    )
order by id = (p_event.notice ->> 'autopay_mandate_id')::uuid desc nulls last
limit 1;
end;
comment on function mandate_of_notice is 'The mandate that a message is about, or null.';

create function apply_setup_notice(p_event gateway_events) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates := mandate_of_notice(p_event);
    v_reason text;
begin
    if v_mandate.id is null then
        perform park_gateway_event(p_event, null, 'unmatched-setup', 'no such mandate');
        return;
    end if;

    -- Lock order: customer, mandates, charges.
    perform from customers where id = v_mandate.customer_id for no key update;
    select * into strict v_mandate
    from autopay_mandates where id = v_mandate.id for no key update;

    v_reason := settle_autopay_setup(v_mandate, p_event);
    update gateway_events
    set
        status = case when v_reason is null then 'applied' else 'ignored' end,
        reason = v_reason,
        organization_id = v_mandate.organization_id
    where id = p_event.id;
end;
$$;
comment on function apply_setup_notice is 'Matches a message about saving a method to its mandate, and acts.';

create function settle_autopay_setup(p_mandate autopay_mandates, p_event gateway_events)
returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_method_id uuid;
begin
    if p_event.type = 'look-up' then
        update autopay_mandates set next_check_at = null
        where id = p_mandate.id and status in ('active', 'paused') and next_check_at is not null;
    end if;
    case p_event.notice ->> 'outcome'
        when 'succeeded' then
            if p_event.notice ->> 'gateway_payment_method_id' is null
                or p_event.notice ->> 'gateway_customer_id' is null
            then
                return 'it names no payment method';
            end if;
            v_method_id := save_payment_method(p_mandate, p_event);
            if p_mandate.status not in ('pending_setup', 'failed') then
                return format('the mandate is %s already', p_mandate.status);
            end if;
            perform activate_autopay_mandate(p_mandate, v_method_id, p_event.occurred_at);
            update autopay_mandates set next_check_at = clock_now()
            where id = p_mandate.id and gateway_session_id is not null
                and p_event.type <> 'look-up'
                and case p_event.notice ->> 'method'
                    when 'card' then p_event.notice ->> 'card_last4' is null
                    else p_event.notice ->> 'method' is null
                end;
        when 'failed', 'expired', 'canceled' then
            if p_mandate.status <> 'pending_setup' then
                return format('the mandate is %s already', p_mandate.status);
            end if;
            perform fail_autopay_setup(
                p_mandate, coalesce(p_event.notice ->> 'failure_code', p_event.notice ->> 'outcome')
            );
        else
            return 'the page is open';
    end case;
    return null;
end;
$$;
comment on function settle_autopay_setup is
'Takes the step that a finding about a setup calls for. Answers why nothing was to be done, or null.';

create function activate_autopay_mandate(
    p_mandate autopay_mandates, p_payment_method_id uuid, p_consented_at timestamptz
) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_old autopay_mandates;
begin
    select * into v_old
    from autopay_mandates
    where customer_id = p_mandate.customer_id and currency = p_mandate.currency
        and status in ('active', 'paused')
    for no key update;
    if v_old.id is not null then
        perform end_autopay_mandate(v_old, 'replaced');
    end if;

    update autopay_mandates
    set payment_method_id = p_payment_method_id, consented_at = p_consented_at
    where id = p_mandate.id
    returning * into strict p_mandate;
    perform tell_of_autopay_mandate(start_autopay_mandate(p_mandate), 'autopay.activated');
end;
$$;
comment on function activate_autopay_mandate is
'The method is saved: the mandate runs, in the place of the customer''s former one.';

-- Pausing, resuming, canceling -------------------------------------------------------------------

create function after_autopay_tries(p_mandate autopay_mandates) returns timestamptz
language sql stable
begin atomic
select greatest(clock_now(), max(last_try_at))
from autopay_charges
where autopay_mandate_id = p_mandate.id;
end;
comment on function after_autopay_tries is
'Now, or the last try''s time where that transaction began later and yet came first.';

create function end_autopay_mandate(p_mandate autopay_mandates, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update autopay_charges
    set status = 'canceled', reason = p_reason, next_try_at = null, lease_until = null
    where autopay_mandate_id = p_mandate.id and status in ('due', 'claimed', 'action_required');
    update autopay_charges
    set lease_until = null
    where autopay_mandate_id = p_mandate.id and status = 'charging';

    update autopay_mandates
    set
        status = 'canceled', reason = p_reason, canceled_at = after_autopay_tries(p_mandate),
        paused_at = null, next_due_on = null, next_notice_at = null, next_check_at = null
    where id = p_mandate.id
    returning * into strict p_mandate;
    perform tell_of_autopay_mandate(p_mandate, 'autopay.canceled');
end;
$$;
comment on function end_autopay_mandate is
'Nothing is begun any more. A charge whose attempt is open is left to its gateway''s answer.';

create function cancel_autopay(hasura_session json, p_autopay_mandate_id uuid)
returns setof autopay_mandates
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates := acting_mandate(hasura_session, p_autopay_mandate_id);
begin
    if v_mandate.status <> 'canceled' then
        perform end_autopay_mandate(v_mandate, 'canceled');
    end if;
    return query select * from autopay_mandates where id = v_mandate.id;
end;
$$;
comment on function cancel_autopay is
'Ends a mandate for good, also one whose page failed and may be finished yet. Called again: the same row.';
grant execute on function cancel_autopay to munim_hasura;

create function hold_autopay_mandate(p_mandate autopay_mandates, p_reason text) returns void
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    update autopay_charges
    set status = 'skipped', reason = 'paused', next_try_at = null, lease_until = null
    where autopay_mandate_id = p_mandate.id
        and (status = 'claimed' or (status = 'due' and due_at <= clock_now()));

    update autopay_mandates
    set
        status = 'paused', reason = p_reason, paused_at = after_autopay_tries(p_mandate),
        next_due_on = null, next_notice_at = null
    where id = p_mandate.id
    returning * into strict p_mandate;
    perform tell_of_autopay_mandate(p_mandate, 'autopay.paused');
end;
$$;
comment on function hold_autopay_mandate is
'Nothing is begun while it is paused. What is being tried again is given up; what was announced and '
'falls due later waits for the mandate to be resumed before then.';

create function pause_autopay(hasura_session json, p_autopay_mandate_id uuid)
returns setof autopay_mandates
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates := acting_mandate(hasura_session, p_autopay_mandate_id);
begin
    if v_mandate.status not in ('active', 'paused') then
        raise exception 'autopay-ended: the mandate is %', v_mandate.status
            using errcode = '22B21';
    end if;
    if v_mandate.status = 'active' then
        perform hold_autopay_mandate(v_mandate, 'paused');
    end if;
    return query select * from autopay_mandates where id = v_mandate.id;
end;
$$;
comment on function pause_autopay is 'Stops charging until the mandate is resumed. Called again: the same row.';
grant execute on function pause_autopay to munim_hasura;

create function resume_autopay(hasura_session json, p_autopay_mandate_id uuid)
returns setof autopay_mandates
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_mandate autopay_mandates := acting_mandate(hasura_session, p_autopay_mandate_id);
begin
    if v_mandate.status not in ('active', 'paused') then
        raise exception 'autopay-ended: the mandate is %', v_mandate.status
            using errcode = '22B21';
    end if;
    if v_mandate.reason = 'payment-method-refused' then
        raise exception 'payment-method-refused: set autopay up again with another payment method'
            using errcode = '22B22';
    end if;
    if v_mandate.status = 'paused' then
        -- What fell due meanwhile is not made up for.
        update autopay_charges
        set status = 'skipped', reason = 'paused', next_try_at = null
        where autopay_mandate_id = v_mandate.id and status = 'due' and due_at <= clock_now();
        perform tell_of_autopay_mandate(start_autopay_mandate(v_mandate), 'autopay.resumed');
    end if;
    return query select * from autopay_mandates where id = v_mandate.id;
end;
$$;
comment on function resume_autopay is
'Charges again from the next due date on; months that passed are not made up for.';
grant execute on function resume_autopay to munim_hasura;

revoke insert, update, delete, truncate
on autopay_rules, autopay_settings, autopay_mandates, autopay_charges from public, munim_hasura;
