create table receipt_requests (
    payment_attempt_id uuid primary key,
    organization_id uuid not null,
    livemode boolean not null,
    gateway text not null,
    gateway_payment_id text not null,
    created_at timestamptz not null default clock_now(),
    constraint receipt_request_is_of_an_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode)
);
comment on table receipt_requests is
'Payments that succeeded, each once: whose receipt the service is told to fetch, as what told of the '
'payment did not say where it is. Append-only.';

create trigger receipt_requests_are_append_only
before update or delete or truncate on receipt_requests
for each statement execute function refuse_to_rewrite_history();

create function request_receipt(p_attempt payment_attempts) returns void
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    insert into receipt_requests (
        payment_attempt_id, organization_id, livemode, gateway, gateway_payment_id
    )
    select
        p_attempt.id, p_attempt.organization_id, p_attempt.livemode, p_attempt.gateway,
        p_attempt.gateway_payment_id
    where p_attempt.receipt_url is null;
end;
$$;
comment on function request_receipt is
'Has a payment''s receipt fetched, unless it came with the payment. The outbox says that it '
'succeeded, to many; this, to one.';

-- Written by the outbox's role, as Hasura puts a trigger here too: see munim_outbox in roles.
revoke insert, update, delete, truncate on receipt_requests from public, munim_hasura;
grant insert on receipt_requests to munim_outbox;
grant trigger on receipt_requests to munim_hasura;
grant create on schema public to munim_outbox;
alter function request_receipt owner to munim_outbox;
revoke create on schema public from munim_outbox;

create function record_receipt(
    hasura_session json, p_payment_attempt_id uuid, p_receipt_url text
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
begin
    perform require_service(hasura_session);
    update payment_attempts
    set receipt_url = p_receipt_url
    where id = p_payment_attempt_id and status = 'captured' and receipt_url is null;

    return query select * from payment_attempts where id = p_payment_attempt_id;
end;
$$;
comment on function record_receipt is 'Keeps the gateway''s receipt of a capture; the first one stays.';
grant execute on function record_receipt to munim_hasura;

create function claim_receipts(hasura_session json, p_gateways jsonb, p_limit integer)
returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_now constant timestamptz := clock_now();
    v_gateways constant text[] := array(select jsonb_array_elements_text(p_gateways));
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set receipt_asked_at = v_now
    where id = any(array(
        select id
        from payment_attempts
        where status = 'captured'
            and receipt_url is null
            and gateway = any(v_gateways)
            and coalesce(receipt_asked_at, captured_at) < v_now - interval '1 minute'
            and coalesce(receipt_asked_at, captured_at) > v_now - interval '3 days'
            and captured_at > v_now - interval '3 days'
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by coalesce(receipt_asked_at, captured_at)
        limit p_limit
        for no key update skip locked
    ))
    returning *;
end;
$$;
comment on function claim_receipts is
'Answers captures without a receipt, of gateways that give some: those that wait longest since they '
'were captured, or last asked about, which is now. Younger ones than a minute are the event trigger''s; '
'older ones than three days have no receipt to wait for.';
grant execute on function claim_receipts to munim_hasura;
