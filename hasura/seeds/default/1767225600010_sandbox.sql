-- Three organisations and their customers, for sandboxes and demonstrations. Safe to apply again.
insert into organizations (id, name, default_currency, timezone)
values
('00000000-0000-4000-8000-000000000001', 'Tiger Campus Services', 'USD', 'America/New_York'),
('00000000-0000-4000-8000-000000000002', 'Harbour Campus', 'USD', 'America/Los_Angeles'),
('00000000-0000-4000-8000-000000000003', 'UberTruck', 'INR', 'Asia/Kolkata')
on conflict do nothing;

-- 1.00 to 1,000.00 USD a payment, and ten credits for a dollar.
insert into payment_settings (organization_id, currency, min_payment_amount, max_payment_amount)
values
('00000000-0000-4000-8000-000000000001', 'USD', 100, 100000),
('00000000-0000-4000-8000-000000000002', 'USD', 100, 100000),
-- 1 rupee to 50 lakh.
('00000000-0000-4000-8000-000000000003', 'INR', 100, 500000000)
on conflict do nothing;

insert into system_settings (organization_id, key, value)
values
('00000000-0000-4000-8000-000000000001', 'credit_rate_usd', '10'),
('00000000-0000-4000-8000-000000000002', 'credit_rate_usd', '10')
on conflict do nothing;

insert into customers (id, organization_id, livemode, user_id, email, name)
values
(
    '00000000-0000-4000-8000-000000000201',
    '00000000-0000-4000-8000-000000000001',
    false,
    '00000000-0000-4000-8000-000000000101',
    'ada@tiger.example',
    'Ada Lovelace'
),
(
    '00000000-0000-4000-8000-000000000202',
    '00000000-0000-4000-8000-000000000001',
    false,
    '00000000-0000-4000-8000-000000000102',
    'grace@tiger.example',
    'Grace Hopper'
),
(
    '00000000-0000-4000-8000-000000000203',
    '00000000-0000-4000-8000-000000000002',
    false,
    '00000000-0000-4000-8000-000000000103',
    'hedy@harbour.example',
    'Hedy Lamarr'
)
on conflict do nothing;

insert into customers (id, organization_id, livemode, user_id, external_id, email, name, phone)
values
(
    '00000000-0000-4000-8000-000000000204',
    '00000000-0000-4000-8000-000000000003',
    false,
    '00000000-0000-4000-8000-000000000107',
    'SHP-1001',
    'asha@shipper.example',
    'Asha Rao',
    '+919812345670'
)
on conflict do nothing;

-- Its events go to an event bus, in the words of its document.
insert into event_destinations (organization_id, livemode, destination, profile)
values ('00000000-0000-4000-8000-000000000003', false, 'eventbridge', 'ubertruck')
on conflict do nothing;

-- Razorpay first; the other two when it is silent, or by name.
insert into gateway_routes (organization_id, livemode, gateway, currency, rank)
values
('00000000-0000-4000-8000-000000000001', false, 'stripe', 'USD', 1),
('00000000-0000-4000-8000-000000000002', false, 'stripe', 'USD', 1),
('00000000-0000-4000-8000-000000000003', false, 'razorpay', 'INR', 1),
('00000000-0000-4000-8000-000000000003', false, 'cashfree', 'INR', 2),
('00000000-0000-4000-8000-000000000003', false, 'payu', 'INR', 3)
on conflict do nothing;

-- Who decides about exceptions; of UberTruck's two people, for what takes two.
insert into organization_members (user_id, organization_id, role, set_by)
values
(
    '00000000-0000-4000-8000-000000000104',
    '00000000-0000-4000-8000-000000000001',
    'finance',
    'service'
),
(
    '00000000-0000-4000-8000-000000000108',
    '00000000-0000-4000-8000-000000000003',
    'finance',
    'service'
),
(
    '00000000-0000-4000-8000-000000000109',
    '00000000-0000-4000-8000-000000000003',
    'owner',
    'service'
)
on conflict do nothing;

-- Where its shippers transfer what they owe.
insert into bank_accounts (
    id, organization_id, livemode, holder_name, bank_name, account_number, ifsc, status, made_by,
    checked_by
)
values
(
    '00000000-0000-4000-8000-000000000301',
    '00000000-0000-4000-8000-000000000003',
    false,
    'UberTruck Logistics Private Limited',
    'Sandbox Bank',
    '50200012345678',
    'SBXB0000123',
    'open',
    '00000000-0000-4000-8000-000000000108',
    '00000000-0000-4000-8000-000000000109'
)
on conflict do nothing;
