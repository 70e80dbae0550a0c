-- NovaMart's two records under their own names, for its queries. docs/seeds.md has the whole map.
create schema novamart;
grant usage on schema novamart to munim_hasura;

create view novamart.payments as
select
    payment_intents.id as payment_id,
    orders.organization_id,
    orders.livemode,
    orders.customer_id as payer_id,
    orders.reference as order_id,
    customers.external_id as customer_id,
    -- JSON: GraphQL prints a numeric as text, and theirs is a number.
    to_jsonb(
        major_units(
            case payment_intents.status
                when 'paid' then payment_attempts.amount_captured
                else payment_intents.amount
            end,
            payment_intents.currency
        )
    ) as amount,
    payment_intents.currency,
    payment_status_in(payment_intents, 'novamart') as status,
    payment_attempts.gateway_payment_id as transaction_id,
    payment_intents.created_at,
    greatest(payment_intents.updated_at, payment_attempts.updated_at) as updated_at
from orders
inner join payment_intents on payment_intents.id = orders.payment_intent_id
inner join customers on customers.id = orders.customer_id
left join attempt_that_counts(payment_intents.id) as payment_attempts on true;
comment on view novamart.payments is
'NovaMart''s payment record, one row an order: what was taken or is owed, and the try that paid, else the '
'newest.';
comment on column novamart.payments.payer_id is 'Our id of the customer: by it they see their own.';
comment on column novamart.payments.amount is 'In units of the currency, as an exact JSON number.';

create view novamart.refunds as
select
    refunds.id as refund_id,
    refunds.organization_id,
    refunds.livemode,
    orders.customer_id as payer_id,
    refunds.payment_intent_id as payment_id,
    orders.reference as order_id,
    customers.external_id as customer_id,
    to_jsonb(major_units(refunds.amount, refunds.currency)) as amount,
    refunds.currency,
    refunds.reason,
    refund_status_words.word as status,
    refunds.gateway_refund_id as transaction_id,
    refunds.created_at,
    refunds.updated_at
from refunds
inner join orders on orders.payment_intent_id = refunds.payment_intent_id
inner join customers on customers.id = orders.customer_id
inner join refund_status_words
    on refund_status_words.profile = 'novamart' and refund_status_words.status = refunds.status;
comment on view novamart.refunds is 'NovaMart''s refund record, one row a refund of an order.';
comment on column novamart.refunds.payer_id is 'Our id of the customer: by it they see their own.';
comment on column novamart.refunds.amount is 'In units of the currency, as an exact JSON number.';

grant select on all tables in schema novamart to munim_hasura;
