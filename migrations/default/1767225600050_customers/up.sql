create table customers (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    user_id text,
    external_id text,
    email text not null,
    name text,
    phone text,
    stripe_customer_id text,
    status text not null default 'active',
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint customer_stays_in_its_organization unique (id, organization_id, livemode),
    constraint customer_has_one_login unique (user_id, organization_id, livemode),
    constraint customer_has_one_external_id unique (external_id, organization_id, livemode),
    constraint customer_email_is_an_address check (
        length(email) <= 254 and email ~ '^[^@[:space:]]+@[^@[:space:]]+$'
    ),
    constraint customer_phone_is_a_number check (phone ~ '^[+][1-9][0-9]{6,14}$'),
    constraint customer_status_is_known check (status in ('active', 'suspended'))
);
comment on table customers is 'Who pays: TCS''s client, UberTruck''s shipper, a merchant''s customer.';
comment on column customers.user_id is
'The login''s x-hasura-user-id. One login may be a customer of several organisations.';
comment on column customers.external_id is 'The organisation''s own id for this customer.';

comment on column customers.phone is 'With its country, as E.164 has it: +919812345670.';

create index customers_by_login on customers (user_id);
create unique index customer_has_one_stripe_id on customers (stripe_customer_id)
where stripe_customer_id is not null;

create trigger customer_updated_at
before update on customers
for each row execute function touch_updated_at();

create table payment_methods (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    gateway text not null,
    gateway_account text not null default '',
    gateway_customer_id text not null,
    gateway_payment_method_id text not null,
    type text not null,
    brand text,
    last4 text,
    expires_on date,
    status text not null default 'active',
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint payment_method_stays_in_its_organization unique (id, organization_id, livemode),
    constraint payment_method_belongs_to_a_customer
    foreign key (customer_id, organization_id, livemode)
    references customers (id, organization_id, livemode),
    constraint payment_method_is_kept_once
    unique (gateway_payment_method_id, gateway, gateway_account, livemode, customer_id),
    constraint payment_method_shows_four_digits check (last4 ~ '^[0-9]{4}$'),
    constraint payment_method_status_is_known check (status in ('active', 'detached'))
);
comment on table payment_methods is
'What a customer saved at a gateway, to be charged while they are away. The gateway''s ids only: no '
'number of a card or an account is ever kept here.';
comment on column payment_methods.type is
'Our word for it: card, upi, bank_debit, …; other until a gateway has said what it is.';

comment on column payment_methods.last4 is
'The last four digits of a card, for its owner to know it by; null where the gateway has not said them.';
comment on column payment_methods.expires_on is 'The last day of a card''s life.';

create index payment_methods_by_customer on payment_methods (customer_id);

create trigger payment_method_updated_at
before update on payment_methods
for each row execute function touch_updated_at();

create function acting_customer(p_session json) returns customers
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_customers customers[];
begin
    -- Each variable that is present narrows the search; x-hasura-user-id must be.
    select array_agg(customers) into v_customers
    from customers
    where customers.user_id = p_session ->> 'x-hasura-user-id'
        and customers.livemode::text = p_session ->> 'x-hasura-livemode'
        and customers.status = 'active'
        and customers.organization_id::text
            = coalesce(p_session ->> 'x-hasura-organization-id', customers.organization_id::text)
        and customers.id::text
            = coalesce(p_session ->> 'x-hasura-customer-id', customers.id::text);

    if cardinality(v_customers) = 1 then
        return v_customers[1];
    end if;
    raise exception 'customer-not-found: these session variables name no customer'
        using errcode = '22B01';
end;
$$;
comment on function acting_customer is
'The one active customer that a session speaks for. Two candidates are as wrong as none.';

create function acting_principal(p_session json) returns text
language sql stable
begin atomic
select coalesce('user:' || (p_session ->> 'x-hasura-user-id'), 'service');
end;
comment on function acting_principal is 'In whose name a request comes; keys are this one''s own.';

create function require_access(
    p_session json, p_organization_id uuid, p_livemode boolean, p_customer_id uuid
) returns void
language plpgsql stable
set search_path = public, pg_temp
as $$
declare
    v_role text := p_session ->> 'x-hasura-actor-role';
    v_allowed boolean;
begin
    v_allowed := p_livemode::text = p_session ->> 'x-hasura-livemode' and case
        when v_role is null or v_role = 'operator' then
            -- The service itself, and the platform's back office: one organisation, or any.
            p_organization_id::text
            = coalesce(p_session ->> 'x-hasura-organization-id', p_organization_id::text)
        when v_role = 'customer' then (acting_customer(p_session)).id = p_customer_id
        else p_organization_id::text = p_session ->> 'x-hasura-organization-id'
    end;
    if v_allowed is not true then
        raise exception 'not-found: this session sees no such object'
            using errcode = '22B04';
    end if;
end;
$$;
comment on function require_access is
'Refuses an object that is not the session''s: a customer''s own, or the organisation''s for its '
'staff. What is somebody else''s looks as if it did not exist.';

revoke insert, update, delete, truncate on payment_methods from public, munim_hasura;
