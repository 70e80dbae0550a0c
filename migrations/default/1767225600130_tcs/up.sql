-- The names of Tiger Campus's own schema, for its queries. docs/seeds.md has the whole map.
create schema tcs;
grant usage on schema tcs to munim_hasura;

create view tcs.clients as
select
    customers.id,
    customers.organization_id,
    customers.livemode,
    customers.stripe_customer_id,
    customers.email,
    credit_wallets.balance as credits_balance
from customers
inner join credit_wallets on credit_wallets.customer_id = customers.id;
comment on view tcs.clients is 'Customers, with their balance beside them.';

create view tcs.transactions as
select
    credit_purchases.id,
    credit_purchases.organization_id,
    credit_purchases.livemode,
    credit_purchases.customer_id as user_id,
    credit_purchases.amount,
    credit_purchases.credits_amount,
    payment_attempts.gateway_payment_id as stripe_payment_intent_id,
    checkout_sessions.gateway_session_id as checkout_session_id,
    payment_intents.purpose as type,
    payment_intents.status,
    credit_purchases.currency,
    payment_attempts.receipt_url,
    credit_purchases.created_at,
    payment_attempts.updated_at
from credit_purchases
inner join payment_intents on payment_intents.id = credit_purchases.payment_intent_id
left join attempt_that_counts(payment_intents.id) as payment_attempts on true
left join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id;
comment on view tcs.transactions is
'Credit purchases, one row each, with their payment''s state beside them: that of the try that paid, '
'else of the newest.';

create view tcs.payment_methods as
select distinct on (payment_methods.customer_id)
    payment_methods.id as uuid,
    payment_methods.organization_id,
    payment_methods.livemode,
    payment_methods.customer_id as user_id,
    payment_methods.type,
    autopay_mandates.amount::numeric as auto_pay_amount,
    autopay_mandates.day_of_month::integer as auto_pay_day,
    coalesce(autopay_mandates.status = 'active', false) as auto_pay_enabled,
    payment_methods.gateway_payment_method_id as stripe_payment_method_id
from payment_methods
left join autopay_mandates
    on autopay_mandates.payment_method_id = payment_methods.id
    and autopay_mandates.status in ('active', 'paused')
order by
    payment_methods.customer_id asc, autopay_mandates.status asc,
    autopay_mandates.consented_at desc, payment_methods.created_at desc, payment_methods.id asc;
comment on view tcs.payment_methods is
'One row a client, as there: the payment method that autopay charges, else the one saved last.';

grant select on all tables in schema tcs to munim_hasura;
