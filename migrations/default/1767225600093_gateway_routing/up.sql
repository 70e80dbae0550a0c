-- Which gateway takes a payment: what the organisation wants, what works, and what it costs.
create table gateway_routes (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    livemode boolean not null,
    gateway text not null,
    currency text not null references currencies (code),
    methods text[],
    min_amount bigint not null default 1,
    max_amount bigint not null default 1000000000000000,
    rank smallint not null default 1,
    is_enabled boolean not null default true,
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint gateway_route_is_named_once unique (organization_id, livemode, gateway, currency),
    constraint gateway_route_leads_to_a_gateway check (gateway <> 'bank_transfer'),
    constraint gateway_route_takes_amounts check (0 < min_amount and min_amount <= max_amount),
    constraint gateway_route_methods_are_known check (
        methods <@ array[
            'card', 'upi', 'netbanking', 'wallet', 'emi', 'pay_later', 'bank_debit', 'bank_transfer'
        ]
        and cardinality(methods) > 0
    )
);
comment on table gateway_routes is
'The gateways that an organisation takes payments through. Of several that could, the lowest rank is '
'chosen, then the cheapest.';
comment on column gateway_routes.methods is 'Null: whatever the gateway takes.';
comment on column gateway_routes.min_amount is 'Minor units of currency.';

create trigger gateway_route_updated_at
before update on gateway_routes
for each row execute function touch_updated_at();

create table gateway_fees (
    gateway text not null,
    method text,
    currency text not null references currencies (code),
    percent numeric(7, 4) not null default 0,
    fixed bigint not null default 0,
    tax_percent numeric(7, 4) not null default 0,
    valid_from timestamptz not null,
    constraint gateway_fee_is_no_gift check (percent >= 0 and fixed >= 0 and tax_percent >= 0)
);
comment on table gateway_fees is
'What a gateway is expected to keep of a payment, from when on; its reports say what it kept. Without '
'a row nothing is expected.';
create unique index gateway_fee_is_said_once
on gateway_fees (gateway, currency, coalesce(method, ''), valid_from);

comment on column gateway_fees.method is 'Null: every method without a row of its own.';
comment on column gateway_fees.fixed is 'Minor units of currency, beside the percentage.';
comment on column gateway_fees.tax_percent is 'On the fee: GST in India.';
insert into gateway_fees (gateway, method, currency, percent, fixed, tax_percent, valid_from)
values
-- UberTruck's figures; GST on services of a payment aggregator is 18 %.
('razorpay', null, 'INR', 2, 0, 18, '2020-01-01'),
('razorpay', 'upi', 'INR', 0, 100, 18, '2020-01-01'),
('payu', null, 'INR', 2, 0, 18, '2020-01-01'),
('payu', 'upi', 'INR', 0, 100, 18, '2020-01-01');

create function expected_gateway_fee(
    p_gateway text, p_method text, p_amount bigint, p_currency text, p_at timestamptz
) returns bigint
language sql stable
begin atomic
select round(found.fee + found.fee * found.tax_percent / 100)::bigint
from (
    select
        round(p_amount * gateway_fees.percent / 100) + gateway_fees.fixed as fee,
        gateway_fees.tax_percent
    from gateway_fees
    where gateway_fees.gateway = p_gateway
        and gateway_fees.currency = p_currency
        and coalesce(gateway_fees.method, p_method) is not distinct from p_method
        and gateway_fees.valid_from <= p_at
    order by gateway_fees.method asc nulls last, gateway_fees.valid_from desc
    limit 1
) as found;
end;
comment on function expected_gateway_fee is
'What a gateway will keep of a payment, with the tax on it, in minor units; null: nobody knows.';

create table gateway_circuits (
    gateway text not null,
    livemode boolean not null,
    operation text not null,
    failures integer not null,
    opened_at timestamptz,
    probed_at timestamptz,
    updated_at timestamptz not null default clock_now(),
    primary key (gateway, livemode, operation),
    constraint gateway_circuit_operation_is_known check (
        operation in ('open', 'charge', 'refund', 'look-up', 'capture', 'dispute')
    )
);
comment on table gateway_circuits is
'Gateways that do not answer, shared by all that might ask them: an organisation has no account of its '
'own at a gateway here, so gateway and mode name whose keys are used. A row goes with the first answer.';
comment on column gateway_circuits.operation is
'open a page, charge a saved method, send a refund, look-up, capture, dispute (telling of them): one may '
'work while another does not.';
comment on column gateway_circuits.failures is
'Silences and failures of the gateway''s own, in a row. A no, a wrong key and too many requests are none, '
'nor is a question that there was no time to ask.';
comment on column gateway_circuits.opened_at is 'Not asked since then, but for a probe now and then.';

create function break_gateway_circuit(p_gateway text, p_livemode boolean, p_operation text)
returns void
language sql volatile
begin atomic
insert into gateway_circuits (gateway, livemode, operation, failures)
values (p_gateway, p_livemode, p_operation, 1)
on conflict (gateway, livemode, operation) do update
set
    failures = gateway_circuits.failures + 1,
    opened_at = case when gateway_circuits.failures >= 4 then clock_now() end,
    updated_at = clock_now();
end;
comment on function break_gateway_circuit is
'A gateway gave no answer. Five times in a row, and it is not asked for half a minute.';

create function close_gateway_circuit(p_gateway text, p_livemode boolean, p_operation text)
returns void
language sql volatile
begin atomic
delete from gateway_circuits
where gateway = p_gateway and livemode = p_livemode and operation = p_operation;
end;
comment on function close_gateway_circuit is 'A gateway answered.';

create function may_ask_gateway(p_gateway text, p_livemode boolean, p_operation text)
returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_pause constant interval := interval '30 seconds';
begin
    if not exists (
        select from gateway_circuits
        where gateway = p_gateway and livemode = p_livemode and operation = p_operation
            and opened_at is not null
    ) then
        return true;
    end if;

    -- Half open: one caller in half a minute tries whether it answers again.
    update gateway_circuits set probed_at = clock_now()
    where gateway = p_gateway and livemode = p_livemode and operation = p_operation
        and greatest(opened_at, probed_at) <= clock_now() - v_pause;
    return found;
end;
$$;
comment on function may_ask_gateway is
'Whether a gateway is to be asked. Of a silent one, one caller in half a minute is told yes. Who asks for '
'several locks their circuits in the order of their keys, after all rows that it may have to wait for.';

create function silent_gateways(p_livemode boolean, p_operation text) returns text[]
language sql stable
begin atomic
select coalesce(array_agg(gateway_circuits.gateway order by gateway_circuits.gateway), '{}')
from gateway_circuits
where gateway_circuits.livemode = p_livemode and gateway_circuits.operation = p_operation
    and gateway_circuits.opened_at is not null;
end;
comment on function silent_gateways is
'The gateways that are left alone at an operation, for who claims work for many; nearly always none.';

create function is_gateway_failing(p_attempt payment_attempts) returns boolean
language sql stable
begin atomic
select exists (
    select from gateway_circuits
    where gateway_circuits.gateway = p_attempt.gateway
        and gateway_circuits.livemode = p_attempt.livemode
        and gateway_circuits.operation in ('look-up', 'open', 'capture')
);
end;
comment on function is_gateway_failing is
'Whether its gateway has not answered lately, so that an answer to a look-up or a capture is news.';
grant execute on function is_gateway_failing to munim_hasura;

create function note_gateway_silence(
    hasura_session json, p_gateway text, p_operations jsonb
) returns setof gateway_circuits
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform break_gateway_circuit(p_gateway, v_livemode, operation)
    from jsonb_array_elements_text(p_operations) as operation
    order by operation;

    return query
    select * from gateway_circuits
    where gateway = p_gateway and livemode = v_livemode and p_operations ? operation;
end;
$$;
comment on function note_gateway_silence is
'A gateway gave no answer to a question about which nothing else is written down. Called twice: two '
'silences.';
grant execute on function note_gateway_silence to munim_hasura;

create function note_gateway_answer(
    hasura_session json, p_gateway text, p_operations jsonb
) returns setof gateway_circuits
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform close_gateway_circuit(p_gateway, v_livemode, operation)
    from jsonb_array_elements_text(p_operations) as operation
    order by operation;

    return query
    select * from gateway_circuits where gateway = p_gateway and livemode = v_livemode;
end;
$$;
comment on function note_gateway_answer is
'A gateway that was failing has answered. Answers at which operations it is failing still.';
grant execute on function note_gateway_answer to munim_hasura;

create function choose_gateway(
    p_intent payment_intents, p_method text, p_wanted text, p_able text[] default null
) returns text
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_gateway text;
    v_silent text;
begin
    for v_gateway in
        select gateway
        from gateway_routes
        where organization_id = p_intent.organization_id and livemode = p_intent.livemode
            and currency = p_intent.currency and is_enabled
            and p_intent.amount between min_amount and max_amount
            and (methods is null or p_method is null or p_method = any(methods))
            and gateway = coalesce(p_wanted, gateway)
            and (p_able is null or gateway = any(p_able))
            -- One that said no to this payment is not asked again unless it is asked for.
            and (p_wanted is not null or not exists (
                select from payment_attempts
                where payment_attempts.payment_intent_id = p_intent.id
                    and payment_attempts.gateway = gateway_routes.gateway
                    and payment_attempts.status = 'failed'
                    and payment_attempts.decline_class = 'gateway'
            ))
        order by
            rank,
            expected_gateway_fee(
                gateway, p_method, p_intent.amount, p_intent.currency, clock_now()
            ) nulls last,
            gateway
    loop
        if may_ask_gateway(v_gateway, p_intent.livemode, 'open') then
            return v_gateway;
        end if;
        v_silent := v_gateway;
    end loop;

    if v_silent is not null then
        raise exception 'gateway-unavailable: % does not answer at present', v_silent
            using errcode = '22B23';
    end if;
    raise exception 'setting-invalid: no gateway here takes % of % by %',
        p_intent.amount, p_intent.currency, coalesce(p_method, 'any method')
        using errcode = '22B05';
end;
$$;
comment on function choose_gateway is
'The gateway for an attempt that is about to be written: the wanted one, or the first in rank that '
'answers, of those in p_able where it is given. Nothing is chosen anew once a gateway was asked: it '
'might have the money.';
