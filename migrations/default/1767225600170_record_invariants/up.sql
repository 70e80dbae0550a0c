-- What the records say of each other. Each view must be empty, as those about money.
create view invariant_applied_messages_have_an_effect as
select gateway_events.id as gateway_event_id, gateway_events.gateway, gateway_events.type
from gateway_events
where gateway_events.status = 'applied' and case gateway_events.notice ->> 'subject'
    when 'payment'
        then gateway_events.notice ->> 'outcome' = 'paid' and not exists (
            select from payment_attempts
            where payment_attempts.id = gateway_events.payment_attempt_id
                and payment_attempts.status = 'captured'
        )
    when 'refund'
        then gateway_events.notice ->> 'outcome' = 'succeeded' and not exists (
            select from refunds
            where refunds.gateway_refund_id = gateway_events.notice ->> 'gateway_refund_id'
                and refunds.gateway = gateway_events.gateway
                and refunds.gateway_account = gateway_events.gateway_account
                and refunds.livemode = gateway_events.livemode
        )
    when 'dispute'
        then not exists (
            select from disputes
            where disputes.gateway_dispute_id = gateway_events.notice ->> 'gateway_dispute_id'
                and disputes.gateway = gateway_events.gateway
                and disputes.gateway_account = gateway_events.gateway_account
                and disputes.livemode = gateway_events.livemode
        )
end;
comment on view invariant_applied_messages_have_an_effect is
'I6: what a gateway told and was applied is seen in what it told of; every other message says why it '
'changed nothing.';

create view invariant_effects_are_booked_once as
select reference_id, reference_type, kind, count(*) as transactions
from ledger_transactions
where kind in (
    'capture', 'credit_purchase', 'credit_grant', 'credit_spend', 'credit_return', 'bank_transfer'
)
group by reference_id, reference_type, kind
having count(*) > 1;
comment on view invariant_effects_are_booked_once is
'I6: one fact, one transaction, under whatever keys it was posted.';

create view invariant_facts_are_numbered as
select object_id, object_type, count(*) as facts, max(sequence) as last
from events
group by object_id, object_type
having min(sequence) <> 1 or max(sequence) <> count(*);
comment on view invariant_facts_are_numbered is
'I12, I15: the facts of an object are numbered from one without a gap, so that their order is known.';

create view invariant_payments_succeed_for_good as
select later.object_id as payment_intent_id, later.id as event_id, later.type
from events as later
inner join events as success
    on success.object_type = later.object_type and success.object_id = later.object_id
    and success.sequence < later.sequence
where later.object_type = 'payment_intent' and success.type = 'payment.succeeded'
    and later.type in ('payment.succeeded', 'payment.failed', 'payment.processing')
    and later.data ->> 'payment_attempt_id' = success.data ->> 'payment_attempt_id';
comment on view invariant_payments_succeed_for_good is
'I12: of an attempt that succeeded nothing is told that comes before success, nor success again.';

create view invariant_ends_are_told as
select payment_intents.id as object_id, 'payment.succeeded' as type
from payment_intents
where payment_intents.status = 'paid' and not exists (
    select from events
    where events.object_type = 'payment_intent' and events.object_id = payment_intents.id
        and events.type = 'payment.succeeded'
)
union all
select refunds.id as object_id, 'refund.succeeded' as type
from refunds
where refunds.status = 'succeeded' and not exists (
    select from events
    where events.object_type = 'refund' and events.object_id = refunds.id
        and events.type = 'refund.succeeded'
);
comment on view invariant_ends_are_told is
'I15: a payment that is paid and a refund that arrived have their fact in the outbox.';

create view invariant_requests_have_effects_of_their_own as
with made as (
    select id, ledger_transaction_id
    from credit_purchases
    where ledger_transaction_id is not null
    union all
    select id, ledger_transaction_id from credit_grants
    union all
    select id, ledger_transaction_id from credit_spends
    union all
    select id, ledger_transaction_id from credit_returns
)

select ledger_transaction_id, count(*) as requests
from made
group by ledger_transaction_id
having count(*) > 1;
comment on view invariant_requests_have_effects_of_their_own is
'I16: no two requests answer with the same entries in the books.';

create view invariant_records_stay_in_their_organization as
select
    ledger_transactions.id as record_id,
    ledger_transactions.reference_type,
    ledger_transactions.reference_id
from ledger_transactions
where not exists (
    select from (
        select payment_attempts.organization_id, payment_attempts.livemode
        from payment_attempts
        where ledger_transactions.reference_type = 'payment_attempt'
            and payment_attempts.id = ledger_transactions.reference_id
        union all
        select refunds.organization_id, refunds.livemode
        from refunds
        where ledger_transactions.reference_type = 'refund'
            and refunds.id = ledger_transactions.reference_id
        union all
        select disputes.organization_id, disputes.livemode
        from disputes
        where ledger_transactions.reference_type = 'dispute'
            and disputes.id = ledger_transactions.reference_id
        union all
        select credit_purchases.organization_id, credit_purchases.livemode
        from credit_purchases
        where ledger_transactions.reference_type = 'credit_purchase'
            and credit_purchases.id = ledger_transactions.reference_id
        union all
        select bank_transfers.organization_id, bank_transfers.livemode
        from bank_transfers
        where ledger_transactions.reference_type = 'bank_transfer'
            and bank_transfers.id = ledger_transactions.reference_id
    ) as referred
    where referred.organization_id = ledger_transactions.organization_id
        and referred.livemode = ledger_transactions.livemode
)
and ledger_transactions.reference_type in (
    'payment_attempt', 'refund', 'dispute', 'credit_purchase', 'bank_transfer'
)
union all
select
    gateway_events.id as record_id,
    'gateway_event' as reference_type,
    gateway_events.payment_attempt_id as reference_id
from gateway_events
inner join payment_attempts on payment_attempts.id = gateway_events.payment_attempt_id
where (gateway_events.organization_id, gateway_events.livemode)
    is distinct from (payment_attempts.organization_id, payment_attempts.livemode);
comment on view invariant_records_stay_in_their_organization is
'I18: what names an object without a foreign key of three columns names one of its own organisation '
'and mode. Everywhere else the keys say so.';

create view invariant_no_card_is_kept as
select gateway_events.id as gateway_event_id, gateway_events.gateway, gateway_events.type
from gateway_events
where jsonb_path_exists(
    gateway_events.payload,
    '$.** ? (@.type() == "object").keyvalue() ? (
        @.key like_regex "^(cc|card)?[_.]?(num|number|no|pan)$" flag "i" && @.key != "number"
        && @.key != "no" && @.value like_regex "^[0-9]([ -]?[0-9]){12,18}$"
        || @.key like_regex "^(cc|card)?[_.]?(cvv2?|cvc2?|vv)$" flag "i"
        && @.value like_regex "^[0-9]{3,4}$"
    )'
);
comment on view invariant_no_card_is_kept is
'I19: no message holds a whole card number, nor its security code, under a name for it. Digits alone '
'say nothing: ids of payments are as long.';

create view invariant_tries_come_to_an_end as
select id as object_id, 'gateway_event' as object_type, tries
from gateway_events
where tries > 10
union all
select id as object_id, 'payment_attempt' as object_type, checks as tries
from payment_attempts
where checks > 12
union all
select id as object_id, 'refund' as object_type, checks as tries
from refunds
where checks > 12
union all
select event_id as object_id, 'event_publication' as object_type, attempts as tries
from event_publications
where attempts > 80;
comment on view invariant_tries_come_to_an_end is
'I22: nothing is applied, looked up or sent for ever: it ends, or a person has it.';
