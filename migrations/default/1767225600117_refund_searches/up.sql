-- Refunds that somebody made at a gateway, past us: what speaks of one has its payment's refunds asked for.
create table refund_searches (
    payment_attempt_id uuid primary key,
    organization_id uuid not null,
    livemode boolean not null,
    gateway text not null,
    looks smallint not null default 0,
    began_at timestamptz not null default clock_now(),
    told_at timestamptz not null default clock_now(),
    asked_at timestamptz,
    due_at timestamptz default clock_now(),
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint refund_search_is_of_an_attempt
    foreign key (payment_attempt_id, organization_id, livemode)
    references payment_attempts (id, organization_id, livemode),
    constraint refund_search_ends_after_two_looks check (looks between 0 and 2)
);
comment on table refund_searches is
'Captured payments of which something said that more was given back than our books say: their gateways are '
'asked for all refunds of them. A payment of which nothing speaks, and that no list may have named too early, has no row.';
comment on column refund_searches.looks is
'How many answers have come since something last spoke of it.';
comment on column refund_searches.began_at is 'Since when it waits for an answer.';
comment on column refund_searches.told_at is 'When something last spoke of it.';
comment on column refund_searches.due_at is
'When the gateway is asked; null when it has answered, or a person must look.';

create index refund_searches_to_make on refund_searches (due_at) where due_at is not null;
comment on index refund_searches_to_make is 'Queue of check_refunds.';

create trigger refund_search_updated_at
before update on refund_searches
for each row execute function touch_updated_at();

create function search_refunds(p_attempt payment_attempts) returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
begin
    if p_attempt.status is distinct from 'captured' or is_by_hand(p_attempt.gateway) then
        return false;
    end if;
    insert into refund_searches as known (payment_attempt_id, organization_id, livemode, gateway)
    values (p_attempt.id, p_attempt.organization_id, p_attempt.livemode, p_attempt.gateway)
    on conflict (payment_attempt_id) do update
    set
        looks = 0,
        began_at = case when known.due_at is null then clock_now() else known.began_at end,
        told_at = clock_now(),
        -- Some hints anybody may send: the gateway is asked no more often than this by all of them.
        due_at = least(
            known.due_at, greatest(clock_now(), known.asked_at + interval '5 minutes')
        );
    return true;
end;
$$;
comment on function search_refunds is
'Has check_refunds ask for all refunds of a captured payment, at its next tick or five minutes after it last '
'did; false where there is nobody to ask.';

create function may_be_refunded_unheard(p_attempt payment_attempts) returns boolean
language sql stable
begin atomic
select count(*) > 0
from dispute_polls
where dispute_polls.gateway = p_attempt.gateway and dispute_polls.livemode = p_attempt.livemode
    and dispute_polls.complete_until > p_attempt.created_at;
end;
comment on function may_be_refunded_unheard is
'Whether its gateway''s list of new refunds was read since the attempt was opened: what that had of a payment which '
'our books did not know yet was passed over, as somebody else''s.';

create function search_hinted_refund(p_event gateway_events, p_attempt payment_attempts)
returns boolean
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_refund constant refunds := refund_of_notice(p_event);
begin
    if v_refund.id is not null or p_event.notice ->> 'failure_code' is not null then
        return false;
    end if;
    return search_refunds(p_attempt);
end;
$$;
comment on function search_hinted_refund is
'Looks for a refund that is none of ours and that nobody vouches for; false where its payment is not captured, '
'the refund is known, or it came to nothing.';

create function lock_due_refund_searches(p_livemode boolean, p_limit integer, p_paused text[])
returns uuid[]
language plpgsql volatile
set search_path = public, pg_temp
as $$
declare
    v_deaf constant text[] := silent_gateways(p_livemode, 'look-up');
    v_gateway text;
    v_search refund_searches;
    v_probes refund_searches[] := '{}';
    v_ids uuid[];
begin
    foreach v_gateway in array v_deaf loop
        continue when v_gateway = any(p_paused);
        select * into v_search
        from refund_searches
        where due_at <= clock_now() and livemode = p_livemode and gateway = v_gateway
        order by due_at
        limit 1
        for no key update skip locked;
        if found then
            v_probes := v_probes || v_search;
        end if;
    end loop;
    v_ids := array(
        select payment_attempt_id
        from refund_searches
        where due_at <= clock_now() and livemode = p_livemode and gateway <> all(v_deaf || p_paused)
        order by due_at
        limit p_limit
        for no key update skip locked
    );
    v_ids := array(
        select probe.payment_attempt_id from unnest(v_probes) as probe
        where may_ask_gateway(probe.gateway, p_livemode, 'look-up')
        limit p_limit
    ) || v_ids;
    return v_ids[:p_limit];
end;
$$;
comment on function lock_due_refund_searches is
'The payments whose refunds are due to be asked for and nobody has locked, the longest due first. Of those that '
'wait for a gateway that is left alone there is one, which finds out whether it answers; of p_paused none.';

create function claim_refund_searches(
    hasura_session json, p_limit integer, p_paused jsonb default '[]'
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_ids constant uuid[] := lock_due_refund_searches(
        (hasura_session ->> 'x-hasura-livemode')::boolean,
        p_limit,
        array(select jsonb_array_elements_text(p_paused))
    );
    v_search refund_searches;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    for v_search in
        update refund_searches
        set
            asked_at = clock_now(),
            due_at = case
                when began_at > clock_now() - interval '7 days'
                    then clock_now() + interval '30 minutes'
            end
        where payment_attempt_id = any(v_ids)
        returning *
    loop
        perform record_exception(
            attempt.organization_id, attempt.livemode, 'unconfirmed-refund', 'payment_attempt',
            attempt.id, attempt.amount_captured, attempt.currency,
            format(
                'something spoke at %s of money of %s given back at %s, which does not answer',
                v_search.told_at, attempt.gateway_payment_id, attempt.gateway
            )
        )
        from payment_attempts as attempt
        where attempt.id = v_search.payment_attempt_id and v_search.due_at is null;
    end loop;
    return query select * from payment_attempts where id = any(v_ids);
end;
$$;
comment on function claim_refund_searches is
'Answers payments whose refunds are due to be asked for, and puts each off by half an hour, so that who dies '
'with them, or hears nothing, loses nothing. After a week of silence a person must look: see exceptions. Those '
'of a gateway that is left alone wait, but for one in half a minute; none is answered of p_paused.';
grant execute on function claim_refund_searches to munim_hasura;

create function end_refund_search(
    hasura_session json, p_payment_attempt_id uuid, p_is_found boolean
) returns setof payment_attempts
language plpgsql volatile security definer
set search_path = public, pg_temp
as $$
declare
    v_search refund_searches;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    update refund_searches
    set
        looks = looks + 1,
        due_at = case
            when not p_is_found and looks = 0 then clock_now() + interval '1 hour'
        end
    where payment_attempt_id = p_payment_attempt_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and told_at <= asked_at  -- what is spoken of since then was perhaps not there
        and looks < 2
    returning * into v_search;
    if v_search.payment_attempt_id is not null then
        perform resolve_exception('unconfirmed-refund', 'payment_attempt', p_payment_attempt_id);
    end if;
    return query select * from payment_attempts where id = v_search.payment_attempt_id;
end;
$$;
comment on function end_refund_search is
'The gateway has listed the refunds of a payment, and what our books had not is kept. Where there was nothing '
'of the kind it is asked once more an hour later, for a list may lag, and then no more.';
grant execute on function end_refund_search to munim_hasura;

revoke insert, update, delete, truncate on refund_searches from public, munim_hasura;
