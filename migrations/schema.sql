-- The schema that the migrations make, for reading. Written by `make schema`.

create schema novamart;
grant usage on schema novamart to munim_hasura;

grant usage on schema public to munim_hasura;
grant usage on schema public to public;

create schema tcs;
grant usage on schema tcs to munim_hasura;

create domain moved_amount as bigint constraint something_moves CHECK (VALUE > 0);
comment on type moved_amount is 'Minor units that go from one account to another. A domain''s CHECK is kept ready, a table''s is parsed at every insert.';

create view novamart.payments as
 SELECT payment_intents.id AS payment_id,
    orders.organization_id,
    orders.livemode,
    orders.customer_id AS payer_id,
    orders.reference AS order_id,
    customers.external_id AS customer_id,
    to_jsonb(major_units(
        CASE payment_intents.status
            WHEN 'paid'::text THEN payment_attempts.amount_captured
            ELSE payment_intents.amount
        END, payment_intents.currency)) AS amount,
    payment_intents.currency,
    payment_status_in(payment_intents.*, 'novamart'::text) AS status,
    payment_attempts.gateway_payment_id AS transaction_id,
    payment_intents.created_at,
    GREATEST(payment_intents.updated_at, payment_attempts.updated_at) AS updated_at
   FROM orders
     JOIN payment_intents ON payment_intents.id = orders.payment_intent_id
     JOIN customers ON customers.id = orders.customer_id
     LEFT JOIN LATERAL attempt_that_counts(payment_intents.id) payment_attempts(id, organization_id, livemode, payment_intent_id, payment_method_id, gateway, gateway_account, amount, amount_to_capture, amount_captured, amount_refunded, currency, status, is_surplus, is_in_suspense, gateway_payment_id, failure_code, failure_message, decline_class, declined_at, receipt_url, captured_at, checks, next_check_at, returned_at, receipt_asked_at, created_at, updated_at) ON true;
comment on view novamart.payments is 'NovaMart''s payment record, one row an order: what was taken or is owed, and the try that paid, else the newest.';
comment on column novamart.payments.payer_id is 'Our id of the customer: by it they see their own.';
comment on column novamart.payments.amount is 'In units of the currency, as an exact JSON number.';
grant select on novamart.payments to munim_hasura;

create view novamart.refunds as
 SELECT refunds.id AS refund_id,
    refunds.organization_id,
    refunds.livemode,
    orders.customer_id AS payer_id,
    refunds.payment_intent_id AS payment_id,
    orders.reference AS order_id,
    customers.external_id AS customer_id,
    to_jsonb(major_units(refunds.amount, refunds.currency)) AS amount,
    refunds.currency,
    refunds.reason,
    refund_status_words.word AS status,
    refunds.gateway_refund_id AS transaction_id,
    refunds.created_at,
    refunds.updated_at
   FROM refunds
     JOIN orders ON orders.payment_intent_id = refunds.payment_intent_id
     JOIN customers ON customers.id = orders.customer_id
     JOIN refund_status_words ON refund_status_words.profile = 'novamart'::text AND refund_status_words.status = refunds.status;
comment on view novamart.refunds is 'NovaMart''s refund record, one row a refund of an order.';
comment on column novamart.refunds.payer_id is 'Our id of the customer: by it they see their own.';
comment on column novamart.refunds.amount is 'In units of the currency, as an exact JSON number.';
grant select on novamart.refunds to munim_hasura;

create table autopay_charge_steps (
    before text not null,
    after text not null,
    constraint autopay_charge_steps_pkey PRIMARY KEY (before, after)
);
comment on table autopay_charge_steps is 'Every legal change of autopay_charges.status.';
grant select on autopay_charge_steps to munim_hasura;

create table autopay_charges (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    autopay_mandate_id uuid not null,
    customer_id uuid not null,
    period text not null,
    due_on date not null,
    due_at timestamp with time zone not null,
    amount bigint not null,
    currency text not null,
    status text not null default 'due'::text,
    reason text,
    payment_intent_id uuid,
    tries smallint not null default 0,
    next_try_at timestamp with time zone,
    last_try_at timestamp with time zone,
    fence bigint not null default 0,
    lease_until timestamp with time zone,
    silences smallint not null default 0,
    notified_at timestamp with time zone not null default clock_now(),
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint autopay_charges_pkey PRIMARY KEY (id),
    constraint autopay_charge_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint autopay_period_is_charged_once UNIQUE (autopay_mandate_id, period),
    constraint intent_pays_one_autopay_charge UNIQUE (payment_intent_id),
    constraint autopay_charge_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint autopay_charge_belongs_to_its_mandate FOREIGN KEY (autopay_mandate_id, organization_id, livemode) REFERENCES autopay_mandates(id, organization_id, livemode),
    constraint autopay_charge_is_owed_by_its_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint autopay_charges_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint autopay_charge_asks_for_money CHECK (amount > 0),
    constraint autopay_charge_is_tried_four_times_at_most CHECK (tries >= 0 AND tries <= 4),
    constraint autopay_charge_knows_its_payment CHECK ((status <> ALL (ARRAY['charging'::text, 'succeeded'::text])) OR payment_intent_id IS NOT NULL),
    constraint autopay_charge_says_why CHECK ((status <> ALL (ARRAY['action_required'::text, 'failed'::text, 'skipped'::text, 'canceled'::text])) OR reason IS NOT NULL),
    constraint autopay_charge_status_is_known CHECK (status = ANY (ARRAY['due'::text, 'claimed'::text, 'charging'::text, 'action_required'::text, 'succeeded'::text, 'failed'::text, 'skipped'::text, 'canceled'::text])),
    constraint autopay_period_is_a_month CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'::text),
    constraint waiting_autopay_charge_knows_until_when CHECK ((status = ANY (ARRAY['due'::text, 'claimed'::text, 'action_required'::text])) = (next_try_at IS NOT NULL) AND (status <> 'claimed'::text OR lease_until IS NOT NULL) AND ((status = ANY (ARRAY['claimed'::text, 'charging'::text])) OR lease_until IS NULL))
);
comment on table autopay_charges is 'One month of one mandate. Crons may come any number of times: this row is there once.';
comment on column autopay_charges.period is 'The month it is for, YYYY-MM in the mandate''s zone.';
comment on column autopay_charges.status is 'due: waits for next_try_at; claimed: a worker is about to begin; charging: an attempt is open; action_required: the payer must finish it on a page; skipped: this month is not charged, see reason.';
comment on column autopay_charges.reason is 'Why it is not paid: the last decline, or what stood in the way.';
comment on column autopay_charges.tries is 'How many attempts have begun.';
comment on column autopay_charges.next_try_at is 'When it is tried (again); of action_required, until when the payer may finish it.';
comment on column autopay_charges.fence is 'Counts the claims: a worker with an older number begins nothing.';
comment on column autopay_charges.lease_until is 'Until when the worker has it to itself; then another goes on from the same attempt.';
comment on column autopay_charges.silences is 'How often the gateway gave no answer about the open attempt.';
CREATE INDEX autopay_charges_by_customer ON public.autopay_charges USING btree (customer_id, period);
CREATE INDEX autopay_charges_to_give_up ON public.autopay_charges USING btree (next_try_at) WHERE (status = 'action_required'::text);
CREATE INDEX autopay_charges_to_take_over ON public.autopay_charges USING btree (lease_until) WHERE (lease_until IS NOT NULL);
CREATE INDEX autopay_charges_to_try ON public.autopay_charges USING btree (next_try_at) WHERE (status = 'due'::text);
CREATE UNIQUE INDEX customer_pays_a_month_once ON public.autopay_charges USING btree (customer_id, currency, period) WHERE (status = 'succeeded'::text);
comment on index autopay_charges_to_give_up is 'Queue of materialise_autopay.';
comment on index autopay_charges_to_take_over is 'Queue of run_autopay.';
comment on index autopay_charges_to_try is 'Queue of run_autopay and materialise_autopay.';
CREATE TRIGGER autopay_charge_takes_legal_steps BEFORE UPDATE OF status ON autopay_charges FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('autopay_charge_steps');
CREATE TRIGGER autopay_charge_updated_at BEFORE UPDATE ON autopay_charges FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on autopay_charges to munim_hasura;

create table autopay_mandate_steps (
    before text not null,
    after text not null,
    constraint autopay_mandate_steps_pkey PRIMARY KEY (before, after)
);
comment on table autopay_mandate_steps is 'Every legal change of autopay_mandates.status.';
grant select on autopay_mandate_steps to munim_hasura;

create table autopay_mandates (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    gateway text not null,
    payment_method_id uuid,
    amount bigint not null,
    currency text not null,
    day_of_month smallint not null,
    local_time time without time zone not null,
    timezone text not null,
    status text not null default 'pending_setup'::text,
    reason text,
    anchor_on date,
    next_due_on date,
    next_notice_at timestamp with time zone,
    customer_email text not null,
    gateway_customer_id text,
    gateway_session_id text,
    url text,
    success_url text not null,
    cancel_url text not null,
    setup_expires_at timestamp with time zone not null,
    checks smallint not null default 0,
    next_check_at timestamp with time zone,
    consented_by text not null,
    consented_at timestamp with time zone,
    paused_at timestamp with time zone,
    canceled_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint autopay_mandates_pkey PRIMARY KEY (id),
    constraint autopay_mandate_key_is_used_once UNIQUE (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint autopay_mandate_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint autopay_mandate_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint autopay_mandate_charges_a_payment_method FOREIGN KEY (payment_method_id, organization_id, livemode) REFERENCES payment_methods(id, organization_id, livemode),
    constraint autopay_mandates_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint active_autopay_mandate_knows_its_next_charge CHECK ((status = 'active'::text) = (next_due_on IS NOT NULL) AND (next_due_on IS NULL) = (next_notice_at IS NULL)),
    constraint autopay_day_is_of_a_month CHECK (day_of_month >= 1 AND day_of_month <= 31),
    constraint autopay_mandate_asks_for_money CHECK (amount > 0),
    constraint autopay_mandate_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
    constraint autopay_mandate_knows_since_when CHECK ((status = 'paused'::text) = (paused_at IS NOT NULL) AND (status = 'canceled'::text) = (canceled_at IS NOT NULL) AND ((status = ANY (ARRAY['pending_setup'::text, 'active'::text])) OR reason IS NOT NULL)),
    constraint autopay_mandate_status_is_known CHECK (status = ANY (ARRAY['pending_setup'::text, 'active'::text, 'paused'::text, 'canceled'::text, 'failed'::text])),
    constraint autopay_setup_that_is_over_is_not_checked CHECK (next_check_at IS NULL OR (status = ANY (ARRAY['pending_setup'::text, 'active'::text, 'paused'::text]))),
    constraint autopay_timezone_exists CHECK (('1970-01-01 00:00:00+00'::timestamp with time zone AT TIME ZONE timezone) IS NOT NULL),
    constraint live_autopay_mandate_is_agreed_to CHECK ((status <> ALL (ARRAY['active'::text, 'paused'::text])) OR payment_method_id IS NOT NULL AND anchor_on IS NOT NULL AND consented_at IS NOT NULL),
    constraint opened_autopay_setup_has_a_page CHECK ((gateway_session_id IS NULL) = (url IS NULL))
);
comment on table autopay_mandates is 'A customer''s order to charge them each month while they are away. What was agreed to never changes: another amount or day is another mandate, which takes the place of this one when it is set up.';
comment on column autopay_mandates.requested_by is 'user:<id>, or service. A key is this one''s own.';
comment on column autopay_mandates.amount is 'Minor units of currency; what is charged and the most that may be.';
comment on column autopay_mandates.day_of_month is '29 to 31 mean the last day where a month is shorter.';
comment on column autopay_mandates.timezone is 'The organisation''s when the mandate was made.';
comment on column autopay_mandates.reason is 'Why it is paused, canceled or failed.';
comment on column autopay_mandates.anchor_on is 'The first due date; the others follow from its month and the day.';
comment on column autopay_mandates.next_due_on is 'The due date of the next charge to be written down.';
comment on column autopay_mandates.next_notice_at is 'When that charge is written down and announced.';
comment on column autopay_mandates.gateway_customer_id is 'Who the customer is to the gateway already, frozen with all else that its page was asked for with.';
comment on column autopay_mandates.url is 'The gateway''s page on which the payment method is saved.';
comment on column autopay_mandates.next_check_at is 'When the gateway is asked about the page: while it is open, and once more where the message that the method is saved did not say what it is.';
comment on column autopay_mandates.consented_by is 'The login that asked for the mandate.';
comment on column autopay_mandates.consented_at is 'When the payment method was saved on the gateway''s page.';
CREATE INDEX autopay_mandates_by_method ON public.autopay_mandates USING btree (payment_method_id) WHERE (payment_method_id IS NOT NULL);
CREATE INDEX autopay_mandates_to_announce ON public.autopay_mandates USING btree (next_notice_at) WHERE (next_notice_at IS NOT NULL);
CREATE INDEX autopay_setups_to_check ON public.autopay_mandates USING btree (next_check_at) WHERE (next_check_at IS NOT NULL);
CREATE UNIQUE INDEX autopay_setup_page_is_opened_once ON public.autopay_mandates USING btree (gateway_session_id, gateway, livemode) WHERE (gateway_session_id IS NOT NULL);
CREATE UNIQUE INDEX customer_has_one_live_autopay_mandate ON public.autopay_mandates USING btree (customer_id, currency) WHERE (status = ANY (ARRAY['active'::text, 'paused'::text]));
CREATE UNIQUE INDEX customer_sets_up_one_autopay_mandate ON public.autopay_mandates USING btree (customer_id, currency) WHERE (status = 'pending_setup'::text);
comment on index autopay_mandates_to_announce is 'Queue of materialise_autopay.';
comment on index autopay_setups_to_check is 'Queue of check_autopay_setups.';
CREATE TRIGGER autopay_mandate_keeps_what_was_agreed_to BEFORE UPDATE ON autopay_mandates FOR EACH ROW WHEN (old.customer_id IS DISTINCT FROM new.customer_id OR old.amount IS DISTINCT FROM new.amount OR old.currency IS DISTINCT FROM new.currency OR old.day_of_month IS DISTINCT FROM new.day_of_month OR old.local_time IS DISTINCT FROM new.local_time OR old.timezone IS DISTINCT FROM new.timezone OR old.gateway IS DISTINCT FROM new.gateway OR old.consented_by IS DISTINCT FROM new.consented_by OR old.idempotency_key IS DISTINCT FROM new.idempotency_key OR old.requested_by IS DISTINCT FROM new.requested_by OR old.anchor_on IS NOT NULL AND old.anchor_on IS DISTINCT FROM new.anchor_on OR old.payment_method_id IS NOT NULL AND old.payment_method_id IS DISTINCT FROM new.payment_method_id) EXECUTE FUNCTION keep_autopay_agreement();
CREATE TRIGGER autopay_mandate_takes_legal_steps BEFORE UPDATE OF status ON autopay_mandates FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('autopay_mandate_steps');
CREATE TRIGGER autopay_mandate_updated_at BEFORE UPDATE ON autopay_mandates FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on autopay_mandates to munim_hasura;

create view autopay_orders as
 SELECT autopay_charges.id,
    autopay_charges.organization_id,
    autopay_charges.livemode,
    autopay_charges.fence,
    payment_attempts.id AS payment_attempt_id,
    payment_attempts.gateway,
    payment_attempts.gateway_account,
    payment_attempts.amount,
    payment_attempts.currency,
    credit_purchases.credits_amount,
    autopay_mandates.customer_email AS email,
    payment_methods.gateway_customer_id,
    payment_methods.gateway_payment_method_id
   FROM autopay_charges
     JOIN autopay_mandates ON autopay_mandates.id = autopay_charges.autopay_mandate_id
     JOIN credit_purchases ON credit_purchases.payment_intent_id = autopay_charges.payment_intent_id
     JOIN payment_intents ON payment_intents.id = autopay_charges.payment_intent_id
     JOIN payment_attempts ON payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
     JOIN payment_methods ON payment_methods.id = payment_attempts.payment_method_id
  WHERE autopay_charges.status = 'charging'::text AND payment_intents.status <> 'canceled'::text AND (payment_attempts.status = ANY (ARRAY['created'::text, 'unknown'::text])) AND payment_attempts.created_at > (clock_now() - '23:00:00'::interval);
comment on view autopay_orders is 'What gateways are to be asked: charges with an attempt that may not have been sent. All of it is frozen, so that asking twice is asking the same. Not after 23 hours: then a gateway may have forgotten the attempt''s key, and it is looked up instead.';
grant select on autopay_orders to munim_hasura;

create table autopay_rules (
    currency text not null,
    valid_from date not null,
    notice interval not null,
    unattended_amount_max bigint not null,
    constraint autopay_rules_pkey PRIMARY KEY (currency, valid_from),
    constraint autopay_rules_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint autopay_rule_is_sensible CHECK (notice >= '00:00:00'::interval AND notice <= '14 days'::interval AND unattended_amount_max > 0)
);
comment on table autopay_rules is 'What law asks of a charge while the payer is away, by the currency charged; none where no row is.';
comment on column autopay_rules.notice is 'How long before the charge the payer must be told of it.';
comment on column autopay_rules.unattended_amount_max is 'Above this, in minor units, the payer must be present: they are sent a page.';
grant select on autopay_rules to munim_hasura;

create table autopay_settings (
    organization_id uuid not null,
    local_time time without time zone not null default '09:00:00'::time without time zone,
    notice_days smallint not null default 3,
    catch_up_days smallint not null default 3,
    retry_days smallint[] not null default '{1,3,5}'::smallint[],
    action_days smallint not null default 7,
    daily_tries_max smallint not null default 4,
    updated_at timestamp with time zone not null default clock_now(),
    constraint autopay_settings_pkey PRIMARY KEY (organization_id),
    constraint autopay_settings_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint autopay_days_are_within_a_month CHECK (notice_days >= 0 AND notice_days <= 14 AND catch_up_days >= 0 AND catch_up_days <= 7 AND action_days >= 1 AND action_days <= 20 AND daily_tries_max >= 1 AND daily_tries_max <= 100),
    constraint autopay_is_tried_four_times_at_most CHECK (cardinality(retry_days) >= 0 AND cardinality(retry_days) <= 3 AND array_position(retry_days, NULL::smallint) IS NULL AND 0 < COALESCE(retry_days[1]::integer, 1) AND COALESCE(retry_days[1] < retry_days[2], true) AND COALESCE(retry_days[2] < retry_days[3], true) AND COALESCE(retry_days[cardinality(retry_days)]::integer, 1) <= 16)
);
comment on table autopay_settings is 'How an organisation runs autopay. Every organisation has its row.';
comment on column autopay_settings.local_time is 'When charges fall due in the mandate''s zone; for mandates to come. Kept away from the hours in which clocks are changed.';
comment on column autopay_settings.notice_days is 'How many days before it is due a charge is announced.';
comment on column autopay_settings.catch_up_days is 'What could not be tried for longer than this is not charged any more, but listed for a person.';
comment on column autopay_settings.retry_days is 'How many days after the first try a declined charge is tried again; at most three times.';
comment on column autopay_settings.action_days is 'How long a payer may take to finish a charge themselves.';
comment on column autopay_settings.daily_tries_max is 'How many tries a customer may see in 24 hours, all mandates taken together. More is a fault of ours.';
CREATE TRIGGER autopay_setting_updated_at BEFORE UPDATE ON autopay_settings FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on autopay_settings to munim_hasura;

create view autopay_setups as
 SELECT id,
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
    setup_expires_at < (clock_now() + '00:31:00'::interval) AS is_closing,
    setup_expires_at < clock_now() AS is_over
   FROM autopay_mandates;
comment on view autopay_setups is 'All that opening a mandate''s page takes, in one row.';
grant select on autopay_setups to munim_hasura;

create table bank_account_steps (
    before text not null,
    after text not null,
    constraint bank_account_steps_pkey PRIMARY KEY (before, after)
);
comment on table bank_account_steps is 'Every legal change of bank_accounts.status.';
grant select on bank_account_steps to munim_hasura;

create table bank_accounts (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    currency text not null default 'INR'::text,
    holder_name text not null,
    bank_name text not null,
    account_number text not null,
    account_number_last4 text not null generated always as ("right"(account_number, 4)) stored,
    ifsc text not null,
    status text not null default 'entered'::text,
    made_by text not null,
    checked_by text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint bank_accounts_pkey PRIMARY KEY (id),
    constraint bank_account_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint bank_accounts_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint bank_accounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint bank_account_ifsc_is_one CHECK (ifsc ~ '^[A-Z]{4}0[A-Z0-9]{6}$'::text),
    constraint bank_account_is_in_rupees CHECK (currency = 'INR'::text),
    constraint bank_account_is_opened_by_two CHECK (checked_by <> made_by AND (status <> 'open'::text OR checked_by IS NOT NULL)),
    constraint bank_account_names_have_a_length CHECK (length(holder_name) >= 1 AND length(holder_name) <= 140 AND length(bank_name) >= 1 AND length(bank_name) <= 140),
    constraint bank_account_number_is_one CHECK (account_number ~ '^[0-9]{6,20}$'::text),
    constraint bank_account_status_is_known CHECK (status = ANY (ARRAY['entered'::text, 'open'::text, 'closed'::text]))
);
comment on table bank_accounts is 'Where payers transfer money to. Who could change it alone could have everybody pay themselves: one person enters an account, another one opens it, and nothing of it ever changes.';
comment on column bank_accounts.currency is 'NEFT, RTGS, IMPS and UPI carry rupees.';
comment on column bank_accounts.account_number_last4 is 'For those who need not read the number.';
comment on column bank_accounts.status is 'entered: nobody sees it yet; open: payers are shown it, one account a currency; closed: they are not any more, and what still comes there is recorded all the same.';
comment on column bank_accounts.made_by is 'The login of who entered it; checked_by: of who opened it.';
CREATE UNIQUE INDEX bank_account_is_kept_once ON public.bank_accounts USING btree (account_number, ifsc, organization_id, livemode) WHERE (status <> 'closed'::text);
CREATE UNIQUE INDEX payers_are_shown_one_account ON public.bank_accounts USING btree (organization_id, livemode, currency) WHERE (status = 'open'::text);
CREATE TRIGGER bank_account_keeps_what_it_is BEFORE UPDATE OF id, organization_id, livemode, currency, holder_name, bank_name, account_number, ifsc, made_by ON bank_accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER bank_account_takes_legal_steps BEFORE UPDATE OF status ON bank_accounts FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('bank_account_steps');
CREATE TRIGGER bank_account_updated_at BEFORE UPDATE ON bank_accounts FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on bank_accounts to munim_hasura;

create table bank_transfer_steps (
    before text not null,
    after text not null,
    constraint bank_transfer_steps_pkey PRIMARY KEY (before, after)
);
comment on table bank_transfer_steps is 'Every legal change of bank_transfers.status.';
grant select on bank_transfer_steps to munim_hasura;

create table bank_transfer_uses (
    bank_transfer_id uuid not null,
    organization_id uuid not null,
    livemode boolean not null,
    payment_attempt_id uuid not null,
    amount bigint not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint bank_transfer_uses_pkey PRIMARY KEY (bank_transfer_id, payment_attempt_id),
    constraint bank_transfer_use_is_for_an_attempt FOREIGN KEY (payment_attempt_id, organization_id, livemode) REFERENCES payment_attempts(id, organization_id, livemode),
    constraint bank_transfer_use_is_of_a_transfer FOREIGN KEY (bank_transfer_id, organization_id, livemode) REFERENCES bank_transfers(id, organization_id, livemode),
    constraint bank_transfer_use_takes_money CHECK (amount > 0)
);
comment on table bank_transfer_uses is 'Of which receipts a payment attempt is made. Append-only.';
CREATE INDEX bank_transfer_uses_by_attempt ON public.bank_transfer_uses USING btree (payment_attempt_id);
CREATE TRIGGER bank_transfer_uses_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON bank_transfer_uses FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on bank_transfer_uses to munim_hasura;

create table bank_transfers (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    bank_account_id uuid not null,
    kind text not null,
    rail text not null,
    reference text not null,
    reference_key text not null generated always as (
CASE rail
    WHEN 'cheque'::text THEN ('cheque:'::text || amount::text) || ':'::text
    WHEN 'cash'::text THEN 'cash:'::text
    ELSE 'utr:'::text
END || ltrim(upper(regexp_replace(reference, '[^A-Za-z0-9]'::text, ''::text, 'g'::text)), '0'::text)) stored,
    amount bigint not null,
    amount_used bigint not null default 0,
    currency text not null,
    value_date date not null,
    payer_name text,
    note text,
    payment_intent_id uuid,
    refund_id uuid,
    returned_id uuid,
    status text not null default 'entered'::text,
    idempotency_key text not null,
    request jsonb not null,
    made_by text not null,
    checked_by text,
    checked_at timestamp with time zone,
    matched_by text,
    match_checked_by text,
    reason text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint bank_transfers_pkey PRIMARY KEY (id),
    constraint bank_transfer_key_is_used_once UNIQUE (idempotency_key, made_by, organization_id, livemode),
    constraint bank_transfer_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint bank_transfer_is_of_a_bank_account FOREIGN KEY (bank_account_id, organization_id, livemode) REFERENCES bank_accounts(id, organization_id, livemode),
    constraint bank_transfer_pays_a_refund FOREIGN KEY (refund_id, organization_id, livemode) REFERENCES refunds(id, organization_id, livemode),
    constraint bank_transfer_pays_an_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint bank_transfer_takes_one_back FOREIGN KEY (returned_id, organization_id, livemode) REFERENCES bank_transfers(id, organization_id, livemode),
    constraint bank_transfers_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint bank_transfer_is_matched_by_two_people CHECK ((matched_by IS NULL) = (payment_intent_id IS NULL) AND (match_checked_by IS NULL OR payment_intent_id IS NOT NULL AND checked_by IS NOT NULL) AND match_checked_by <> matched_by),
    constraint bank_transfer_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
    constraint bank_transfer_kind_is_known CHECK (kind = ANY (ARRAY['receipt'::text, 'refund'::text, 'return'::text])),
    constraint bank_transfer_moves_money CHECK (amount >= 1 AND amount <= '1000000000000000'::bigint),
    constraint bank_transfer_rail_is_known CHECK (rail = ANY (ARRAY['neft'::text, 'rtgs'::text, 'imps'::text, 'upi'::text, 'cheque'::text, 'cash'::text])),
    constraint bank_transfer_reference_is_one CHECK (reference ~ '^[ -~]{1,40}$'::text AND reference_key !~ ':$'::text),
    constraint bank_transfer_says_what_it_pays CHECK ((kind = 'refund'::text) = (refund_id IS NOT NULL) AND (kind = 'return'::text) = (returned_id IS NOT NULL) AND (kind = 'receipt'::text OR payment_intent_id IS NULL)),
    constraint bank_transfer_status_is_known CHECK (status = ANY (ARRAY['entered'::text, 'approved'::text, 'rejected'::text, 'returned'::text])),
    constraint bank_transfer_takes_two_people CHECK ((status = 'entered'::text) = (checked_by IS NULL) AND (status = 'entered'::text) = (checked_at IS NULL) AND checked_by <> made_by),
    constraint bank_transfer_texts_have_a_length CHECK (length(payer_name) >= 1 AND length(payer_name) <= 140 AND length(note) >= 1 AND length(note) <= 1000 AND length(reason) >= 1 AND length(reason) <= 1000),
    constraint no_more_is_used_than_came CHECK (amount_used >= 0 AND amount_used <= amount AND (amount_used = 0 OR kind = 'receipt'::text AND match_checked_by IS NOT NULL)),
    constraint rejected_bank_transfer_says_why CHECK (status <> 'rejected'::text OR reason IS NOT NULL)
);
comment on table bank_transfers is 'Money that came to a bank account of the organisation''s, or left it, as people entered it from the bank''s statement; and who they were.';
comment on column bank_transfers.kind is 'receipt: it came; refund: it left, to pay a refund; return: it left, because the bank took a receipt back.';
comment on column bank_transfers.reference is 'The UTR of NEFT and RTGS, the RRN of IMPS and UPI, the number of a cheque or of a receipt for cash. Banks write it in many ways: its shape is not checked.';
comment on column bank_transfers.reference_key is 'The reference without what people type differently: case, spaces, dashes, zeros in front. UTR and RRN are one space of names; cheques of many people have one number, so theirs goes with the amount.';
comment on column bank_transfers.amount_used is 'How much of a receipt has become payment attempts: bank_transfer_uses says which.';
comment on column bank_transfers.value_date is 'As the bank says, in the organisation''s time zone.';
comment on column bank_transfers.payment_intent_id is 'What a receipt pays; null while nobody knows. It counts once match_checked_by has agreed.';
comment on column bank_transfers.status is 'entered: nothing is booked; approved: it is, once; rejected: it never was; returned: a receipt that was booked and has left again.';
comment on column bank_transfers.made_by is 'The login of who entered it; checked_by is who approved or rejected it, never the same person. matched_by and match_checked_by are the same for what it pays.';
CREATE INDEX bank_transfers_by_account ON public.bank_transfers USING btree (bank_account_id, created_at);
CREATE INDEX bank_transfers_by_intent ON public.bank_transfers USING btree (payment_intent_id);
CREATE INDEX bank_transfers_to_decide ON public.bank_transfers USING btree (created_at) WHERE ((status = 'entered'::text) OR ((payment_intent_id IS NOT NULL) AND (match_checked_by IS NULL)));
CREATE INDEX bank_transfers_to_use ON public.bank_transfers USING btree (payment_intent_id) WHERE ((status = 'approved'::text) AND (kind = 'receipt'::text) AND (amount_used < amount));
CREATE UNIQUE INDEX bank_transfer_is_entered_once ON public.bank_transfers USING btree (reference_key, organization_id, livemode) WHERE ((status <> 'rejected'::text) AND (NOT ((status = 'returned'::text) AND (rail = 'cheque'::text))) AND (kind <> 'return'::text));
CREATE UNIQUE INDEX bank_transfer_is_taken_back_once ON public.bank_transfers USING btree (returned_id) WHERE (status <> 'rejected'::text);
CREATE UNIQUE INDEX refund_is_paid_by_one_bank_transfer ON public.bank_transfers USING btree (refund_id) WHERE (status <> 'rejected'::text);
comment on index bank_transfers_to_decide is 'Queue of settle_bank_transfers.';
comment on index bank_transfers_to_use is 'Pile of settle_bank_transfers.';
CREATE TRIGGER bank_transfer_keeps_what_it_is BEFORE UPDATE OF id, organization_id, livemode, bank_account_id, kind, rail, reference, amount, currency, value_date, refund_id, returned_id, made_by ON bank_transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER bank_transfer_takes_legal_steps BEFORE UPDATE OF status ON bank_transfers FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('bank_transfer_steps');
CREATE TRIGGER bank_transfer_updated_at BEFORE UPDATE ON bank_transfers FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER bank_transfers_stay BEFORE DELETE OR TRUNCATE ON bank_transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on bank_transfers to munim_hasura;

create table checkout_sessions (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_session_id text,
    url text,
    takes_several boolean not null default false,
    method text,
    customer_email text not null,
    customer_name text,
    customer_phone text,
    gateway_customer_id text,
    success_url text not null,
    cancel_url text not null,
    expires_at timestamp with time zone not null,
    link_expires_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint checkout_sessions_pkey PRIMARY KEY (id),
    constraint attempt_has_one_checkout_session UNIQUE (payment_attempt_id),
    constraint gateway_session_is_opened_once UNIQUE (gateway_session_id, gateway, livemode),
    constraint checkout_session_belongs_to_its_attempt FOREIGN KEY (payment_attempt_id, organization_id, livemode) REFERENCES payment_attempts(id, organization_id, livemode),
    constraint only_a_upi_link_is_soon_over CHECK (COALESCE(url ~~ 'upi:%'::text, false) = (link_expires_at IS NOT NULL)),
    constraint opened_checkout_has_a_page CHECK ((gateway_session_id IS NULL) = (url IS NULL))
);
comment on table checkout_sessions is 'A gateway''s hosted page for one attempt. Everything the gateway is told is frozen here first, so that asking it twice is asking the same thing.';
comment on column checkout_sessions.url is 'The gateway''s page, or the UPI link that our page shows instead.';
comment on column checkout_sessions.takes_several is 'Whether the gateway takes more than one payment on this page, as its adapter declares: then it is asked for all of them when the page has closed. False until the page is open.';
comment on column checkout_sessions.method is 'How the payer chose to pay: card, upi and so on; null where the gateway''s page asks.';
comment on column checkout_sessions.gateway_customer_id is 'Who the payer is at the gateway, where they chose a method that is saved there: its page offers it.';
comment on column checkout_sessions.expires_at is 'When the page closes: at the gateway where it can be told, else only here.';
comment on column checkout_sessions.link_expires_at is 'When a UPI link is shown no more; the payer may ask for another one until expires_at. Null for pages.';
CREATE TRIGGER checkout_session_updated_at BEFORE UPDATE ON checkout_sessions FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on checkout_sessions to munim_hasura;

create table clock (
    only_row boolean not null default true,
    skew_seconds bigint not null default 0,
    constraint clock_pkey PRIMARY KEY (only_row),
    constraint clock_has_one_row CHECK (only_row)
);
comment on table clock is 'How far this database''s time is from the world''s. Always zero in live.';
grant select on clock to munim_hasura;

create view credit_checkouts as
 SELECT credit_purchases.id,
    credit_purchases.organization_id,
    credit_purchases.livemode,
    credit_purchases.customer_id,
    credit_purchases.amount,
    credit_purchases.currency,
    credit_purchases.credits_amount,
    trim_scale(credit_purchases.credits_amount) || ' credits'::text AS title,
    payment_intents.id AS payment_intent_id,
    payment_intents.status,
    payment_attempts.id AS payment_attempt_id,
    payment_attempts.gateway,
    payment_attempts.failure_message,
    checkout_sessions.gateway_session_id,
    checkout_sessions.url,
    checkout_sessions.method,
    checkout_sessions.customer_email,
    checkout_sessions.customer_name,
    checkout_sessions.customer_phone,
    checkout_sessions.success_url,
    checkout_sessions.cancel_url,
    checkout_sessions.expires_at,
    checkout_sessions.expires_at < (clock_now() + '00:31:00'::interval) AS is_closing,
    checkout_sessions.expires_at < clock_now() AS is_over
   FROM credit_purchases
     JOIN payment_intents ON payment_intents.id = credit_purchases.payment_intent_id
     CROSS JOIN LATERAL ( SELECT checkout_sessions_1.id,
            checkout_sessions_1.organization_id,
            checkout_sessions_1.livemode,
            checkout_sessions_1.payment_attempt_id,
            checkout_sessions_1.gateway,
            checkout_sessions_1.gateway_session_id,
            checkout_sessions_1.url,
            checkout_sessions_1.takes_several,
            checkout_sessions_1.method,
            checkout_sessions_1.customer_email,
            checkout_sessions_1.customer_name,
            checkout_sessions_1.customer_phone,
            checkout_sessions_1.gateway_customer_id,
            checkout_sessions_1.success_url,
            checkout_sessions_1.cancel_url,
            checkout_sessions_1.expires_at,
            checkout_sessions_1.link_expires_at,
            checkout_sessions_1.created_at,
            checkout_sessions_1.updated_at
           FROM checkout_sessions checkout_sessions_1
             JOIN payment_attempts tries ON tries.id = checkout_sessions_1.payment_attempt_id
          WHERE tries.payment_intent_id = payment_intents.id
          ORDER BY (tries.status = 'captured'::text) DESC, tries.is_surplus, tries.created_at DESC, tries.id
         LIMIT 1) checkout_sessions
     JOIN payment_attempts ON payment_attempts.id = checkout_sessions.payment_attempt_id;
comment on view credit_checkouts is 'All that opening a purchase''s page takes, one row a purchase: of several pages the one that was paid, else the newest.';
comment on column credit_checkouts.is_closing is 'Too late to open the page: a gateway asks for half an hour at least.';
comment on column credit_checkouts.is_over is 'The gateway has closed the page.';
grant select on credit_checkouts to munim_hasura;

create view credit_entries as
 SELECT ledger_entries.ledger_transaction_id AS id,
    ledger_entries.organization_id,
    ledger_entries.livemode,
    ledger_accounts.customer_id,
    ledger_transactions.kind,
    ledger_transactions.reference_type,
    ledger_transactions.reference_id,
    COALESCE(credit_spends.reference, returned_spends.reference) AS reference,
    COALESCE(credit_spends.description, credit_returns.reason, credit_grants.reason) AS description,
    major_units(- ledger_entries.amount, 'XCR'::text)::numeric(20,4) AS amount,
    major_units(- ledger_entries.balance_after, 'XCR'::text)::numeric(20,4) AS balance_after,
    ledger_transactions.occurred_at,
    ledger_entries.created_at
   FROM ledger_entries
     JOIN ledger_accounts ON ledger_accounts.id = ledger_entries.ledger_account_id
     JOIN ledger_transactions ON ledger_transactions.id = ledger_entries.ledger_transaction_id
     LEFT JOIN credit_spends ON credit_spends.id = ledger_transactions.reference_id AND ledger_transactions.reference_type = 'credit_spend'::text
     LEFT JOIN credit_returns ON credit_returns.id = ledger_transactions.reference_id AND ledger_transactions.reference_type = 'credit_return'::text
     LEFT JOIN credit_spends returned_spends ON returned_spends.id = credit_returns.credit_spend_id
     LEFT JOIN credit_grants ON credit_grants.id = ledger_transactions.reference_id AND ledger_transactions.reference_type = 'credit_grant'::text
  WHERE ledger_accounts.currency = 'XCR'::text AND ledger_accounts.customer_id IS NOT NULL;
comment on view credit_entries is 'The history of the wallets, in the order of created_at: credits in are positive, out negative.';
grant select on credit_entries to munim_hasura;

create table credit_grants (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    credits_amount numeric(20,4) not null,
    reason text not null,
    expires_at timestamp with time zone,
    ledger_transaction_id uuid not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint credit_grants_pkey PRIMARY KEY (id),
    constraint credit_grant_key_is_used_once UNIQUE (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint credit_grant_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint credit_grant_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint credit_grant_is_booked FOREIGN KEY (ledger_transaction_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode),
    constraint credit_grant_gives_something CHECK (credits_amount > 0::numeric AND credits_amount <= '1000000000000'::bigint::numeric),
    constraint credit_grant_has_a_reason CHECK (length(reason) >= 1 AND length(reason) <= 500),
    constraint credit_grant_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255)
);
comment on table credit_grants is 'Credits given without a payment, by whom and why. They have no money value.';
comment on column credit_grants.requested_by is 'user:<id>, or service. A key is this one''s own: two people who choose the same words give twice.';
grant select on credit_grants to munim_hasura;

create table credit_lots (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    credit_purchase_id uuid,
    credit_grant_id uuid,
    granted numeric(20,4) not null,
    remaining numeric(20,4) not null,
    held numeric(20,4) not null default 0,
    used numeric(20,4) not null default 0,
    expired numeric(20,4) not null default 0,
    recalled numeric(20,4) not null default 0,
    amount bigint not null default 0,
    amount_remaining bigint not null default 0,
    amount_earned bigint not null default 0,
    amount_recalled bigint not null default 0,
    currency text,
    expires_at timestamp with time zone,
    expiries integer not null default 0,
    announce_at timestamp with time zone,
    expiry_announced_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    constraint credit_lots_pkey PRIMARY KEY (id),
    constraint credit_grant_makes_one_lot UNIQUE (credit_grant_id),
    constraint credit_lot_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint credit_purchase_makes_one_lot UNIQUE (credit_purchase_id),
    constraint credit_lot_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint credit_lot_comes_from_a_grant FOREIGN KEY (credit_grant_id, organization_id, livemode) REFERENCES credit_grants(id, organization_id, livemode),
    constraint credit_lot_comes_from_a_purchase FOREIGN KEY (credit_purchase_id, organization_id, livemode) REFERENCES credit_purchases(id, organization_id, livemode),
    constraint credit_lots_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint credit_lot_has_one_source CHECK (num_nonnulls(credit_purchase_id, credit_grant_id) = 1),
    constraint credit_lot_is_not_overdrawn CHECK (granted > 0::numeric AND remaining >= held AND held >= 0::numeric AND used >= 0::numeric AND expired >= 0::numeric AND recalled >= held AND amount_remaining >= 0 AND amount_earned >= 0 AND amount_recalled >= 0),
    constraint credit_lot_money_has_a_currency CHECK ((amount = 0) = (currency IS NULL)),
    constraint no_credit_of_a_lot_is_lost CHECK (granted = (remaining + used + expired + recalled - held)),
    constraint no_money_of_a_lot_is_lost CHECK (amount = (amount_remaining + amount_earned + amount_recalled))
);
comment on table credit_lots is 'The credits of one purchase or grant, and the money paid for them that is not yet earned.';
comment on column credit_lots.remaining is 'Still in the wallet. The lots of a customer sum to the wallet''s balance.';
comment on column credit_lots.held is 'Of these, promised to refunds that are on their way.';
comment on column credit_lots.used is 'Spent, less what came back from it.';
comment on column credit_lots.recalled is 'Taken back by refunds, those on their way included; what was granted less this is the base on which money is earned.';
comment on column credit_lots.amount is 'Paid for the lot, in minor units; zero where it was given.';
comment on column credit_lots.amount_remaining is 'Of that, what is owed for credits that are neither used, expired nor recalled.';
comment on column credit_lots.amount_earned is 'Revenue: of credits used, and of credits expired.';
comment on column credit_lots.expires_at is 'Null: the credits stay for ever.';
comment on column credit_lots.expiries is 'How often credits of the lot have expired: late returns too.';
comment on column credit_lots.announce_at is 'When their expiry is told of, a week before; null once it was, or where they stay.';
CREATE INDEX credit_lots_by_customer ON public.credit_lots USING btree (customer_id, created_at);
CREATE INDEX credit_lots_of_money_only ON public.credit_lots USING btree (id) WHERE ((remaining = (0)::numeric) AND (amount_remaining > 0));
CREATE INDEX credit_lots_to_announce ON public.credit_lots USING btree (announce_at) WHERE ((remaining > held) AND (announce_at IS NOT NULL));
CREATE INDEX credit_lots_to_expire ON public.credit_lots USING btree (expires_at, id) WHERE (remaining > held);
CREATE INDEX credit_lots_to_spend ON public.credit_lots USING btree (customer_id, expires_at, id) WHERE (remaining > held);
comment on index credit_lots_of_money_only is 'Pile of expire_credits.';
comment on index credit_lots_to_announce is 'Queue of announce_expiring_credits.';
comment on index credit_lots_to_expire is 'Queue of expire_credits.';
CREATE TRIGGER credit_lot_keeps_what_it_is BEFORE UPDATE OF organization_id, livemode, customer_id, credit_purchase_id, credit_grant_id, granted, amount, currency, expires_at, created_at ON credit_lots FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER credit_lots_stay BEFORE DELETE OR TRUNCATE ON credit_lots FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on credit_lots to munim_hasura;

create type credit_part as (
    credit_lot_id uuid,
    is_bought boolean,
    credits numeric,
    amount bigint,
    currency text
);

create table credit_purchases (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    payment_intent_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    amount bigint not null,
    currency text not null,
    credit_rate numeric(20,6) not null,
    credits_amount numeric(20,4) not null,
    expire_after_days integer,
    ledger_transaction_id uuid,
    granted_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    constraint credit_purchases_pkey PRIMARY KEY (id),
    constraint credit_purchase_key_is_used_once UNIQUE (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint credit_purchase_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint intent_pays_one_credit_purchase UNIQUE (payment_intent_id),
    constraint credit_purchase_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint credit_purchase_belongs_to_an_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint credit_purchase_is_granted_in_the_ledger FOREIGN KEY (ledger_transaction_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode),
    constraint credit_purchases_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint credit_purchase_buys_something CHECK (amount > 0 AND credits_amount > 0::numeric AND credits_amount <= '1000000000000'::bigint::numeric),
    constraint credit_purchase_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
    constraint granted_credits_are_booked CHECK ((granted_at IS NULL) = (ledger_transaction_id IS NULL))
);
comment on table credit_purchases is 'Credits bought, at the rate frozen when the purchase was opened.';
comment on column credit_purchases.requested_by is 'user:<id>, service; autopay for a charge of a mandate. A key is this one''s own, so no word of a client''s can stand for a charge.';
comment on column credit_purchases.credit_rate is 'Credits for one major unit of currency.';
comment on column credit_purchases.expire_after_days is 'How long the credits stay once granted, frozen like the rate; null: for ever.';
comment on column credit_purchases.granted_at is 'When the credits reached the wallet; null until then.';
CREATE INDEX credit_purchases_by_customer ON public.credit_purchases USING btree (customer_id, created_at);
CREATE UNIQUE INDEX grant_belongs_to_one_credit_purchase ON public.credit_purchases USING btree (ledger_transaction_id) WHERE (ledger_transaction_id IS NOT NULL);
grant select on credit_purchases to munim_hasura;

create table credit_rates (
    id bigint not null generated always as identity,
    organization_id uuid not null,
    currency text not null,
    rate numeric(20,6),
    valid_from timestamp with time zone not null default clock_now(),
    created_by text not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint credit_rates_pkey PRIMARY KEY (id),
    constraint credit_rates_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint credit_rates_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint credit_rate_is_above_zero CHECK (rate > 0::numeric)
);
comment on table credit_rates is 'How many credits one major unit of money buys, from when on. The latest row that has begun holds; of two that begin together, the one written later. Append-only.';
comment on column credit_rates.rate is 'Null: no credits are sold in this currency from then on.';
CREATE INDEX credit_rates_in_force ON public.credit_rates USING btree (organization_id, currency, valid_from, id);
CREATE TRIGGER credit_rates_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON credit_rates FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on credit_rates to munim_hasura;

create table credit_recall_steps (
    before text not null,
    after text not null,
    constraint credit_recall_steps_pkey PRIMARY KEY (before, after)
);
comment on table credit_recall_steps is 'Every legal change of credit_recalls.status.';
grant select on credit_recall_steps to munim_hasura;

create table credit_recalls (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    credit_lot_id uuid not null,
    refund_id uuid not null,
    credits_amount numeric(20,4) not null,
    amount bigint not null,
    lost_amount bigint not null,
    status text not null default 'held'::text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint credit_recalls_pkey PRIMARY KEY (id),
    constraint refund_recalls_credits_once UNIQUE (refund_id),
    constraint credit_recall_belongs_to_its_lot FOREIGN KEY (credit_lot_id, organization_id, livemode) REFERENCES credit_lots(id, organization_id, livemode),
    constraint credit_recall_status_is_known CHECK (status = ANY (ARRAY['held'::text, 'taken'::text, 'released'::text, 'returned'::text])),
    constraint credit_recall_takes_no_less_than_nothing CHECK (credits_amount >= 0::numeric AND amount >= 0 AND lost_amount >= 0 AND (amount + lost_amount) > 0)
);
comment on table credit_recalls is 'Credits of a purchase that go back because its money does: held while the refund or the dispute is open, then taken or released.';
comment on column credit_recalls.refund_id is 'The refund or the dispute.';
comment on column credit_recalls.amount is 'The part of the money that the lot still owed: it leaves prepaid_credits.';
comment on column credit_recalls.lost_amount is 'The part whose credits were used already, where that is allowed: it is credit_losses.';
CREATE INDEX credit_recalls_by_lot ON public.credit_recalls USING btree (credit_lot_id);
CREATE TRIGGER credit_recall_takes_legal_steps BEFORE UPDATE OF status ON credit_recalls FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('credit_recall_steps');
CREATE TRIGGER credit_recall_updated_at BEFORE UPDATE ON credit_recalls FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on credit_recalls to munim_hasura;

create table credit_returns (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    credit_spend_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    credits_amount numeric(20,4) not null,
    reason text not null,
    ledger_transaction_id uuid not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint credit_returns_pkey PRIMARY KEY (id),
    constraint credit_return_key_is_used_once UNIQUE (credit_spend_id, idempotency_key, requested_by),
    constraint credit_return_is_booked FOREIGN KEY (ledger_transaction_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode),
    constraint credit_return_takes_a_spend_back FOREIGN KEY (credit_spend_id, organization_id, livemode) REFERENCES credit_spends(id, organization_id, livemode),
    constraint credit_return_gives_something CHECK (credits_amount > 0::numeric),
    constraint credit_return_has_a_reason CHECK (length(reason) >= 1 AND length(reason) <= 500),
    constraint credit_return_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255)
);
comment on table credit_returns is 'A spend that is taken back, whole or in part, into its own lots.';
comment on column credit_returns.requested_by is 'user:<id>, or service. A key is this one''s own.';
grant select on credit_returns to munim_hasura;

create table credit_spend_lots (
    organization_id uuid not null,
    livemode boolean not null,
    credit_spend_id uuid not null,
    credit_lot_id uuid not null,
    credits_amount numeric(20,4) not null,
    credits_returned numeric(20,4) not null default 0,
    amount bigint not null,
    amount_returned bigint not null default 0,
    constraint credit_spend_lots_pkey PRIMARY KEY (credit_spend_id, credit_lot_id),
    constraint spent_credits_belong_to_their_spend FOREIGN KEY (credit_spend_id, organization_id, livemode) REFERENCES credit_spends(id, organization_id, livemode),
    constraint spent_credits_come_from_a_lot FOREIGN KEY (credit_lot_id, organization_id, livemode) REFERENCES credit_lots(id, organization_id, livemode),
    constraint a_lot_gives_something_to_a_spend CHECK (credits_amount > 0::numeric AND amount >= 0),
    constraint no_more_comes_back_to_a_lot_than_it_gave CHECK (credits_returned >= 0::numeric AND credits_returned <= credits_amount AND amount_returned >= 0 AND amount_returned <= amount)
);
comment on table credit_spend_lots is 'Which lots a spend used, and the revenue that made.';
CREATE INDEX credit_spend_lots_by_lot ON public.credit_spend_lots USING btree (credit_lot_id);
grant select on credit_spend_lots to munim_hasura;

create table credit_spends (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    credits_amount numeric(20,4) not null,
    credits_returned numeric(20,4) not null default 0,
    description text not null,
    reference text,
    ledger_transaction_id uuid not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint credit_spends_pkey PRIMARY KEY (id),
    constraint credit_spend_key_is_used_once UNIQUE (customer_id, idempotency_key, requested_by, organization_id, livemode),
    constraint credit_spend_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint credit_spend_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint credit_spend_is_booked FOREIGN KEY (ledger_transaction_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode),
    constraint credit_spend_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
    constraint credit_spend_says_what_for CHECK (length(description) >= 1 AND length(description) <= 500 AND length(reference) >= 1 AND length(reference) <= 255),
    constraint credit_spend_uses_something CHECK (credits_amount > 0::numeric),
    constraint no_more_comes_back_than_was_spent CHECK (credits_returned >= 0::numeric AND credits_returned <= credits_amount)
);
comment on table credit_spends is 'Credits that a customer used, and what for.';
comment on column credit_spends.requested_by is 'user:<id>, or service. A key is this one''s own: two people at one till who choose the same words have sold twice.';
comment on column credit_spends.reference is 'The shop''s own id of what was sold.';
CREATE INDEX credit_spends_by_customer ON public.credit_spends USING btree (customer_id, created_at);
CREATE INDEX credit_spends_by_reference ON public.credit_spends USING btree (reference) WHERE (reference IS NOT NULL);
grant select on credit_spends to munim_hasura;

create view credit_wallets as
 SELECT id,
    organization_id,
    livemode,
    customer_id,
    major_units(- balance, 'XCR'::text)::numeric(20,4) AS balance,
    status,
    COALESCE(( SELECT sum(credit_lots.remaining - credit_lots.held) AS sum
           FROM credit_lots
          WHERE credit_lots.customer_id = customer_id AND credit_lots.remaining > credit_lots.held AND (credit_lots.expires_at > clock_now() OR credit_lots.expires_at IS NULL)), 0::numeric)::numeric(20,4) AS available
   FROM ledger_accounts
  WHERE currency = 'XCR'::text AND customer_id IS NOT NULL;
comment on view credit_wallets is 'A customer''s credits: their ledger account in XCR, read as credits. available is what can be spent now: the balance without what refunds on their way hold, and without what has expired.';
grant select on credit_wallets to munim_hasura;

create table currencies (
    code text not null,
    exponent smallint not null,
    name text not null,
    constraint currencies_pkey PRIMARY KEY (code),
    constraint currency_code_is_three_capitals CHECK (code ~ '^[A-Z]{3}$'::text),
    constraint currency_exponent_is_known CHECK (exponent >= 0 AND exponent <= 4)
);
comment on table currencies is 'ISO 4217 and XCR. An amount is an integer of 10^-exponent units.';
comment on column currencies.exponent is 'Digits of the minor unit: 2 for USD, 0 for JPY, 3 for KWD.';
grant select on currencies to munim_hasura;

create table customers (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    user_id text,
    external_id text,
    email text not null,
    name text,
    phone text,
    stripe_customer_id text,
    status text not null default 'active'::text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint customers_pkey PRIMARY KEY (id),
    constraint customer_has_one_external_id UNIQUE (external_id, organization_id, livemode),
    constraint customer_has_one_login UNIQUE (user_id, organization_id, livemode),
    constraint customer_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint customers_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint customer_email_is_an_address CHECK (length(email) <= 254 AND email ~ '^[^@[:space:]]+@[^@[:space:]]+$'::text),
    constraint customer_phone_is_a_number CHECK (phone ~ '^[+][1-9][0-9]{6,14}$'::text),
    constraint customer_status_is_known CHECK (status = ANY (ARRAY['active'::text, 'suspended'::text]))
);
comment on table customers is 'Who pays: TCS''s client, UberTruck''s shipper, a merchant''s customer.';
comment on column customers.user_id is 'The login''s x-hasura-user-id. One login may be a customer of several organisations.';
comment on column customers.external_id is 'The organisation''s own id for this customer.';
comment on column customers.phone is 'With its country, as E.164 has it: +919812345670.';
CREATE INDEX customers_by_login ON public.customers USING btree (user_id);
CREATE UNIQUE INDEX customer_has_one_stripe_id ON public.customers USING btree (stripe_customer_id) WHERE (stripe_customer_id IS NOT NULL);
CREATE TRIGGER customer_has_a_wallet AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION open_wallet_of_customer();
CREATE TRIGGER customer_updated_at BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on customers to munim_hasura;

create table dispute_polls (
    gateway text not null,
    livemode boolean not null,
    ask_since timestamp with time zone not null,
    refunds_since timestamp with time zone not null default clock_now() - '1 day'::interval,
    begun_at timestamp with time zone not null,
    due_at timestamp with time zone not null,
    complete_until timestamp with time zone,
    reports_until date not null default ((clock_now() - '36:00:00'::interval) AT TIME ZONE 'UTC'::text)::date,
    constraint dispute_polls_pkey PRIMARY KEY (gateway, livemode)
);
comment on table dispute_polls is 'How far each gateway has been asked for disputes, and for refunds that were made there: neither is anybody''s answer to a call of ours, so what no webhook told of is found only by asking for its list, or, where there is none of disputes, about each that is open, and in the reports of what it settled.';
comment on column dispute_polls.ask_since is 'From when on the gateway''s list is read this time, where it has one.';
comment on column dispute_polls.refunds_since is 'From when on its list of new refunds is read this time, where it has one: for those that somebody made there, and of which no message came.';
comment on column dispute_polls.begun_at is 'When the gateway was last asked.';
comment on column dispute_polls.due_at is 'When it is asked next: an hour later, or soon where a message that proves nothing speaks of a dispute.';
comment on column dispute_polls.complete_until is 'When the last poll that came to its end began: what the gateway can be asked for was in our books then; null while none did.';
comment on column dispute_polls.reports_until is 'The last day whose settlement report was read, where one is: of a gateway without a list by time of disputes, or of new refunds.';
grant select on dispute_polls to munim_hasura;

create table dispute_steps (
    before text not null,
    after text not null,
    constraint dispute_steps_pkey PRIMARY KEY (before, after)
);
comment on table dispute_steps is 'Every legal change of disputes.status.';
grant select on dispute_steps to munim_hasura;

create table disputes (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_account text not null,
    gateway_dispute_id text not null,
    amount bigint not null,
    covered_amount bigint not null default 0,
    currency text not null,
    fee_amount bigint,
    fee_currency text,
    reason text,
    status text not null default 'opened'::text,
    evidence_due_at timestamp with time zone,
    asked_at timestamp with time zone not null default clock_now(),
    opened_at timestamp with time zone not null,
    closed_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint disputes_pkey PRIMARY KEY (id),
    constraint dispute_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint gateway_dispute_is_one_dispute UNIQUE (gateway_dispute_id, gateway, gateway_account, livemode),
    constraint dispute_belongs_to_its_attempt FOREIGN KEY (payment_attempt_id, organization_id, livemode) REFERENCES payment_attempts(id, organization_id, livemode),
    constraint dispute_belongs_to_its_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint disputes_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint disputes_fee_currency_fkey FOREIGN KEY (fee_currency) REFERENCES currencies(code),
    constraint dispute_fee_has_a_currency CHECK (fee_amount > 0 AND fee_currency IS NOT NULL OR num_nonnulls(fee_amount, fee_currency) = 0),
    constraint dispute_is_about_money CHECK (amount > 0 AND covered_amount >= 0 AND covered_amount <= amount),
    constraint dispute_status_is_known CHECK (status = ANY (ARRAY['opened'::text, 'under_review'::text, 'won'::text, 'lost'::text])),
    constraint ended_dispute_says_when CHECK ((status = ANY (ARRAY['won'::text, 'lost'::text])) = (closed_at IS NOT NULL))
);
comment on table disputes is 'A payer''s bank took the money back from the gateway, and the gateway from us, until it is decided.';
comment on column disputes.covered_amount is 'The part that is no loss when the dispute is lost: its credits are frozen while it is open, or it was owed back, or it is the merchant''s. Of a surplus it grows when a refund beside it comes to nothing.';
comment on column disputes.fee_amount is 'What the gateway charges for it, won or lost.';
comment on column disputes.reason is 'The gateway''s word: fraudulent, product_not_received, …';
comment on column disputes.evidence_due_at is 'Until when the gateway takes evidence.';
comment on column disputes.asked_at is 'When its gateway was last asked about it by name, or told of it first.';
CREATE INDEX disputes_by_attempt ON public.disputes USING btree (payment_attempt_id);
CREATE INDEX disputes_by_organization ON public.disputes USING btree (organization_id, created_at);
CREATE INDEX disputes_that_are_open ON public.disputes USING btree (gateway, livemode, opened_at) WHERE (status = ANY (ARRAY['opened'::text, 'under_review'::text]));
CREATE INDEX open_disputes_by_last_question ON public.disputes USING btree (gateway, livemode, asked_at, id) WHERE (status = ANY (ARRAY['opened'::text, 'under_review'::text]));
CREATE TRIGGER dispute_takes_legal_steps BEFORE UPDATE OF status ON disputes FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('dispute_steps');
CREATE TRIGGER dispute_updated_at BEFORE UPDATE ON disputes FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on disputes to munim_hasura;

create table embedding_origins (
    organization_id uuid not null,
    livemode boolean not null,
    origin text not null,
    created_by text not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint embedding_origins_pkey PRIMARY KEY (origin, organization_id, livemode),
    constraint embedding_origins_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint embedding_origin_is_an_origin CHECK (may_embed(origin, livemode))
);
comment on table embedding_origins is 'The sites that may show an organisation''s payment pages in a frame: whoever may frame a page may lay something over it. Without a row nobody may.';
comment on column embedding_origins.origin is 'As browsers write it: https://shop.example.';
comment on column embedding_origins.created_by is 'Who allowed it.';
CREATE INDEX embedding_origins_by_organization ON public.embedding_origins USING btree (organization_id, livemode);
grant select on embedding_origins to munim_hasura;

create table event_destinations (
    organization_id uuid not null,
    livemode boolean not null,
    destination text not null,
    profile text not null default 'munim'::text,
    is_active boolean not null default true,
    created_at timestamp with time zone not null default clock_now(),
    constraint event_destinations_pkey PRIMARY KEY (organization_id, livemode, destination),
    constraint event_destinations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint event_destinations_profile_fkey FOREIGN KEY (profile) REFERENCES event_profiles(profile),
    constraint event_destination_is_known CHECK (destination = ANY (ARRAY['eventbridge'::text, 'url'::text]))
);
comment on table event_destinations is 'Where an organisation''s events go, besides the outbox. eventbridge is the bus EVENT_BUS_NAME, url is the address EVENTS_URL. Without a row nothing leaves.';
comment on column event_destinations.is_active is 'False: what is recorded from now on stays here; what was recorded before still goes.';
grant select on event_destinations to munim_hasura;

create view event_messages as
 SELECT events.id,
    events.organization_id,
    events.livemode,
    event_publications.destination,
    events.type,
    events.object_type,
    events.object_id,
    events.sequence,
    events.created_at,
    COALESCE(event_words.source, event_profiles.source) AS source,
    COALESCE(event_words.detail_type, events.type) AS detail_type,
    event_words.fields,
    event_words.constants,
    (jsonb_strip_nulls(jsonb_build_object('order_reference', orders.reference, 'transaction_id', orders.display_id, 'customer_external_id', customers.external_id, 'gateway_payment_id', attempts.gateway_payment_id, 'gateway_refund_id', refunds.gateway_refund_id, 'object_created_at', COALESCE(refunds.created_at, payment_intents.created_at))) || events.data)::text AS facts
   FROM event_publications
     JOIN events ON events.id = event_publications.event_id
     JOIN event_destinations ON event_destinations.organization_id = event_publications.organization_id AND event_destinations.livemode = event_publications.livemode AND event_destinations.destination = event_publications.destination
     JOIN event_profiles ON event_profiles.profile = event_destinations.profile
     LEFT JOIN event_words ON event_words.profile = event_destinations.profile AND event_words.type = events.type
     LEFT JOIN refunds ON refunds.id = events.object_id AND events.object_type = 'refund'::text
     LEFT JOIN payment_intents ON payment_intents.id =
        CASE events.object_type
            WHEN 'payment_intent'::text THEN events.object_id
            ELSE refunds.payment_intent_id
        END
     LEFT JOIN orders ON orders.payment_intent_id = payment_intents.id
     LEFT JOIN customers ON customers.id = payment_intents.customer_id
     LEFT JOIN payment_attempts attempts ON attempts.payment_intent_id = payment_intents.id AND attempts.id::text = (events.data ->> 'payment_attempt_id'::text);
comment on view event_messages is 'What is sent of an event to a destination. facts is JSON as text, so that no number loses a digit.';
grant select on event_messages to munim_hasura;

create table event_profiles (
    profile text not null,
    source text not null,
    constraint event_profiles_pkey PRIMARY KEY (profile),
    constraint event_profile_is_a_word CHECK (profile ~ '^[a-z][a-z0-9_]*$'::text),
    constraint event_profile_source_is_a_name CHECK (source ~ '^[A-Za-z0-9._/-]{1,255}$'::text AND source !~ '^aws\.'::text)
);
comment on table event_profiles is 'In whose words events go out: munim has ours, others what their document says, by event_words.';
comment on column event_profiles.source is 'The source of events that the profile has no words for.';
grant select on event_profiles to munim_hasura;

create table event_publication_steps (
    before text not null,
    after text not null,
    constraint event_publication_steps_pkey PRIMARY KEY (before, after)
);
comment on table event_publication_steps is 'Every legal change of event_publications.status.';
grant select on event_publication_steps to munim_hasura;

create table event_publications (
    event_id uuid not null,
    destination text not null,
    organization_id uuid not null,
    livemode boolean not null,
    status text not null default 'pending'::text,
    attempts smallint not null default 0,
    due_at timestamp with time zone default clock_now(),
    published_at timestamp with time zone,
    last_error text,
    created_at timestamp with time zone not null default clock_now(),
    constraint event_publications_pkey PRIMARY KEY (event_id, destination),
    constraint event_publication_has_a_destination FOREIGN KEY (organization_id, livemode, destination) REFERENCES event_destinations(organization_id, livemode, destination),
    constraint event_publications_event_id_fkey FOREIGN KEY (event_id) REFERENCES events(id),
    constraint event_publication_status_is_known CHECK (status = ANY (ARRAY['pending'::text, 'published'::text, 'parked'::text])),
    constraint pending_event_publication_is_due CHECK ((status = 'pending'::text) = (due_at IS NOT NULL)),
    constraint published_event_says_when CHECK ((status = 'published'::text) = (published_at IS NOT NULL))
);
comment on table event_publications is 'An event on its way to a destination, written with the event. published: the destination has acknowledged it; parked: it would not take it, and a person sees it among the exceptions.';
comment on column event_publications.due_at is 'When it is sent next. Whoever sends puts it off first, so that a sender who dies keeps nothing back.';
CREATE INDEX event_publications_to_send ON public.event_publications USING btree (due_at, destination) WHERE (due_at IS NOT NULL);
comment on index event_publications_to_send is 'Queue of publish_events.';
CREATE TRIGGER event_publication_takes_legal_steps BEFORE UPDATE OF status ON event_publications FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('event_publication_steps');
grant select, trigger on event_publications to munim_hasura;
grant insert, update on event_publications to munim_outbox;

create table event_words (
    profile text not null,
    type text not null,
    source text not null,
    detail_type text not null,
    fields jsonb not null,
    constants jsonb not null default '{}'::jsonb,
    constraint event_words_pkey PRIMARY KEY (profile, type),
    constraint event_words_profile_fkey FOREIGN KEY (profile) REFERENCES event_profiles(profile),
    constraint event_words_are_objects CHECK (jsonb_typeof(fields) = 'object'::text AND jsonb_typeof(constants) = 'object'::text),
    constraint event_words_have_a_detail_type CHECK (length(detail_type) >= 1 AND length(detail_type) <= 128),
    constraint event_words_source_is_a_name CHECK (source ~ '^[A-Za-z0-9._/-]{1,255}$'::text AND source !~ '^aws\.'::text)
);
comment on table event_words is 'What an event is called in a profile, and what its message says. A type without a row keeps our words: its own type, and all its facts.';
comment on column event_words.fields is 'The message''s names, each with the fact of ours that it stands for; amount_major is the amount with its decimals.';
comment on column event_words.constants is 'What a message of this type always says.';
grant select on event_words to munim_hasura;

create table events (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    type text not null,
    object_type text not null,
    object_id uuid not null,
    sequence bigint not null,
    data jsonb not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint events_pkey PRIMARY KEY (id),
    constraint event_has_its_place UNIQUE (object_type, object_id, sequence),
    constraint events_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint event_type_is_dotted CHECK (type ~ '^[a-z_]+\.[a-z_]+$'::text)
);
comment on table events is 'The outbox: one row a business fact, written in the fact''s own transaction. Append-only.';
comment on column events.sequence is 'Order among the events of one object, without gaps.';
CREATE INDEX events_by_organization ON public.events USING btree (organization_id, created_at);
CREATE TRIGGER events_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select, trigger on events to munim_hasura;
grant insert on events to munim_outbox;

create table exception_decisions (
    id uuid not null default gen_random_uuid(),
    exception_id uuid not null,
    decision text not null,
    assigned_to text,
    reason text,
    decided_by text not null,
    idempotency_key text not null,
    decided_at timestamp with time zone not null default clock_now(),
    constraint exception_decisions_pkey PRIMARY KEY (id),
    constraint exception_decision_key_is_used_once UNIQUE (exception_id, decided_by, idempotency_key),
    constraint exception_decisions_exception_id_fkey FOREIGN KEY (exception_id) REFERENCES exceptions(id),
    constraint exception_decision_has_a_reason CHECK ((decision = 'assigned'::text) = (reason IS NULL) AND (assigned_to IS NULL OR reason IS NULL)),
    constraint exception_decision_is_known CHECK (decision = ANY (ARRAY['assigned'::text, 'resolved'::text, 'reopened'::text]))
);
comment on table exception_decisions is 'Every word of a person about an exception, for ever: the exception itself shows the last one.';
comment on column exception_decisions.assigned_to is 'Who looks into it from then on; null where it was given back.';
comment on column exception_decisions.decided_by is 'A user id.';
CREATE INDEX exception_decisions_by_exception ON public.exception_decisions USING btree (exception_id, decided_at);
CREATE TRIGGER exception_decisions_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON exception_decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on exception_decisions to munim_hasura;

create table exceptions (
    id uuid not null default gen_random_uuid(),
    organization_id uuid,
    livemode boolean not null,
    class text not null,
    object_type text not null,
    object_id uuid not null,
    amount bigint,
    currency text,
    detail text not null,
    created_at timestamp with time zone not null default clock_now(),
    resolved_at timestamp with time zone,
    assigned_to text,
    resolved_by text,
    resolution text,
    constraint exceptions_pkey PRIMARY KEY (id),
    constraint exception_is_listed_once UNIQUE (class, object_type, object_id),
    constraint exceptions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint exception_class_is_a_word CHECK (class ~ '^[a-z]+(-[a-z]+)*$'::text),
    constraint exception_is_resolved_by_hand_with_a_reason CHECK ((resolved_by IS NULL) = (resolution IS NULL) AND (resolved_by IS NULL OR resolved_at IS NOT NULL))
);
comment on table exceptions is 'What the system will not decide by itself: money or messages that need a person.';
comment on column exceptions.organization_id is 'Null where a message could not be matched to anyone.';
comment on column exceptions.assigned_to is 'The user id of who looks into it, if somebody does.';
comment on column exceptions.resolved_by is 'The user id of the person who took it off the list, and resolution is why; null where it settled itself.';
CREATE INDEX exceptions_open ON public.exceptions USING btree (created_at) WHERE (resolved_at IS NULL);
grant select on exceptions to munim_hasura;

create table gateway_circuits (
    gateway text not null,
    livemode boolean not null,
    operation text not null,
    failures integer not null,
    opened_at timestamp with time zone,
    probed_at timestamp with time zone,
    updated_at timestamp with time zone not null default clock_now(),
    constraint gateway_circuits_pkey PRIMARY KEY (gateway, livemode, operation),
    constraint gateway_circuit_operation_is_known CHECK (operation = ANY (ARRAY['open'::text, 'charge'::text, 'refund'::text, 'look-up'::text, 'capture'::text, 'dispute'::text]))
);
comment on table gateway_circuits is 'Gateways that do not answer, shared by all that might ask them: an organisation has no account of its own at a gateway here, so gateway and mode name whose keys are used. A row goes with the first answer.';
comment on column gateway_circuits.operation is 'open a page, charge a saved method, send a refund, look-up, capture, dispute (telling of them): one may work while another does not.';
comment on column gateway_circuits.failures is 'Silences and failures of the gateway''s own, in a row. A no, a wrong key and too many requests are none, nor is a question that there was no time to ask.';
comment on column gateway_circuits.opened_at is 'Not asked since then, but for a probe now and then.';
grant select on gateway_circuits to munim_hasura;

create table gateway_events (
    id uuid not null default gen_random_uuid(),
    gateway text not null,
    gateway_account text not null,
    livemode boolean not null,
    event_id text not null,
    type text not null,
    occurred_at timestamp with time zone not null,
    payload jsonb not null,
    notice jsonb not null,
    status text not null default 'received'::text,
    reason text,
    organization_id uuid,
    payment_attempt_id uuid,
    tries integer not null default 0,
    next_try_at timestamp with time zone not null default clock_now(),
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint gateway_events_pkey PRIMARY KEY (id),
    constraint gateway_event_is_received_once UNIQUE (event_id, gateway, gateway_account, livemode),
    constraint gateway_event_is_about_an_attempt FOREIGN KEY (payment_attempt_id) REFERENCES payment_attempts(id) DEFERRABLE INITIALLY DEFERRED,
    constraint gateway_event_is_of_an_organization FOREIGN KEY (organization_id) REFERENCES organizations(id) DEFERRABLE INITIALLY DEFERRED,
    constraint gateway_event_says_why CHECK ((status = ANY (ARRAY['received'::text, 'applied'::text])) OR reason IS NOT NULL),
    constraint gateway_event_status_is_known CHECK (status = ANY (ARRAY['received'::text, 'applied'::text, 'ignored'::text, 'parked'::text]))
);
comment on table gateway_events is 'The inbox: every genuine message of a gateway, kept before anything is done about it.';
comment on column gateway_events.payload is 'The message as it came.';
comment on column gateway_events.notice is 'The same in our words, by the adapter.';
comment on column gateway_events.status is 'received: to be applied; applied: it changed something; ignored: it changes nothing, and reason says why; parked: a person must look, see exceptions, or it is of a payment that is not in our books.';
CREATE INDEX gateway_events_by_age ON public.gateway_events USING brin (created_at);
CREATE INDEX gateway_events_by_attempt ON public.gateway_events USING btree (payment_attempt_id);
CREATE INDEX gateway_events_of_nobody ON public.gateway_events USING btree (((notice ->> 'gateway_payment_id'::text))) WHERE ((status = 'parked'::text) AND (payment_attempt_id IS NULL));
CREATE INDEX gateway_events_to_apply ON public.gateway_events USING btree (next_try_at) WHERE (status = 'received'::text);
comment on index gateway_events_by_age is 'Finds what is old in a table that is written in order of time, and costs its writers nearly nothing.';
comment on index gateway_events_to_apply is 'Queue of apply_gateway_events.';
CREATE TRIGGER gateway_event_updated_at BEFORE UPDATE ON gateway_events FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on gateway_events to munim_hasura;

create table gateway_fees (
    gateway text not null,
    method text,
    currency text not null,
    percent numeric(7,4) not null default 0,
    fixed bigint not null default 0,
    tax_percent numeric(7,4) not null default 0,
    valid_from timestamp with time zone not null,
    constraint gateway_fees_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint gateway_fee_is_no_gift CHECK (percent >= 0::numeric AND fixed >= 0 AND tax_percent >= 0::numeric)
);
comment on table gateway_fees is 'What a gateway is expected to keep of a payment, from when on; its reports say what it kept. Without a row nothing is expected.';
comment on column gateway_fees.method is 'Null: every method without a row of its own.';
comment on column gateway_fees.fixed is 'Minor units of currency, beside the percentage.';
comment on column gateway_fees.tax_percent is 'On the fee: GST in India.';
CREATE UNIQUE INDEX gateway_fee_is_said_once ON public.gateway_fees USING btree (gateway, currency, COALESCE(method, ''::text), valid_from);
grant select on gateway_fees to munim_hasura;

create table gateway_routes (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    gateway text not null,
    currency text not null,
    methods text[],
    min_amount bigint not null default 1,
    max_amount bigint not null default '1000000000000000'::bigint,
    rank smallint not null default 1,
    is_enabled boolean not null default true,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint gateway_routes_pkey PRIMARY KEY (id),
    constraint gateway_route_is_named_once UNIQUE (organization_id, livemode, gateway, currency),
    constraint gateway_routes_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint gateway_routes_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint gateway_route_leads_to_a_gateway CHECK (gateway <> 'bank_transfer'::text),
    constraint gateway_route_methods_are_known CHECK (methods <@ ARRAY['card'::text, 'upi'::text, 'netbanking'::text, 'wallet'::text, 'emi'::text, 'pay_later'::text, 'bank_debit'::text, 'bank_transfer'::text] AND cardinality(methods) > 0),
    constraint gateway_route_takes_amounts CHECK (0 < min_amount AND min_amount <= max_amount)
);
comment on table gateway_routes is 'The gateways that an organisation takes payments through. Of several that could, the lowest rank is chosen, then the cheapest.';
comment on column gateway_routes.methods is 'Null: whatever the gateway takes.';
comment on column gateway_routes.min_amount is 'Minor units of currency.';
CREATE TRIGGER gateway_route_updated_at BEFORE UPDATE ON gateway_routes FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on gateway_routes to munim_hasura;

create table installation_parts (
    kind text not null,
    relation text not null,
    name text not null,
    constraint installation_parts_pkey PRIMARY KEY (kind, relation, name)
);
comment on table installation_parts is 'Every constraint, trigger and unique index that the migrations made. One that is gone, switched off or not valid is listed among the exceptions.';
grant select on installation_parts to munim_hasura;

create view invariant_account_balances as
 SELECT ledger_accounts.id AS ledger_account_id,
    ledger_accounts.balance,
    COALESCE(sum(ledger_entries.amount), 0::numeric) AS entries
   FROM ledger_accounts
     LEFT JOIN ledger_entries ON ledger_entries.ledger_account_id = ledger_accounts.id
  GROUP BY ledger_accounts.id
 HAVING ledger_accounts.balance::numeric <> COALESCE(sum(ledger_entries.amount), 0::numeric);
comment on view invariant_account_balances is 'I2: a balance is the sum of its account''s entries.';
grant select on invariant_account_balances to munim_hasura;

create view invariant_account_holds as
 SELECT ledger_accounts.id AS ledger_account_id,
    ledger_accounts.held,
    COALESCE(sum(ledger_holds.amount), 0::numeric) AS holds
   FROM ledger_accounts
     LEFT JOIN ledger_holds ON ledger_holds.ledger_account_id = ledger_accounts.id AND ledger_holds.status = 'open'::text
  GROUP BY ledger_accounts.id
 HAVING ledger_accounts.held::numeric <> COALESCE(sum(ledger_holds.amount), 0::numeric);
comment on view invariant_account_holds is 'I2: what is held is the sum of the account''s open holds.';
grant select on invariant_account_holds to munim_hasura;

create view invariant_applied_messages_have_an_effect as
 SELECT id AS gateway_event_id,
    gateway,
    type
   FROM gateway_events
  WHERE status = 'applied'::text AND
        CASE notice ->> 'subject'::text
            WHEN 'payment'::text THEN (notice ->> 'outcome'::text) = 'paid'::text AND NOT (EXISTS ( SELECT
               FROM payment_attempts
              WHERE payment_attempts.id = payment_attempt_id AND payment_attempts.status = 'captured'::text))
            WHEN 'refund'::text THEN (notice ->> 'outcome'::text) = 'succeeded'::text AND NOT (EXISTS ( SELECT
               FROM refunds
              WHERE refunds.gateway_refund_id = (notice ->> 'gateway_refund_id'::text) AND refunds.gateway = gateway AND refunds.gateway_account = gateway_account AND refunds.livemode = livemode))
            WHEN 'dispute'::text THEN NOT (EXISTS ( SELECT
               FROM disputes
              WHERE disputes.gateway_dispute_id = (notice ->> 'gateway_dispute_id'::text) AND disputes.gateway = gateway AND disputes.gateway_account = gateway_account AND disputes.livemode = livemode))
            ELSE NULL::boolean
        END;
comment on view invariant_applied_messages_have_an_effect is 'I6: what a gateway told and was applied is seen in what it told of; every other message says why it changed nothing.';
grant select on invariant_applied_messages_have_an_effect to munim_hasura;

create view invariant_attempts_ask_for_what_is_owed as
 SELECT payment_attempts.id AS payment_attempt_id
   FROM payment_attempts
     JOIN payment_intents ON payment_intents.id = payment_attempts.payment_intent_id
  WHERE (payment_attempts.amount <> payment_intents.amount OR payment_attempts.currency <> payment_intents.currency) AND NOT (is_by_hand(payment_attempts.gateway) AND payment_attempts.is_surplus) AND NOT payment_attempts.is_in_suspense;
comment on view invariant_attempts_ask_for_what_is_owed is 'An attempt is for its intent''s amount; what came by bank transfer beyond it is an attempt of the rest, and what is in suspense an attempt of whatever came.';
grant select on invariant_attempts_ask_for_what_is_owed to munim_hasura;

create view invariant_attempts_by_hand_are_made_of_receipts as
 SELECT payment_attempts.id AS payment_attempt_id,
    payment_attempts.amount_captured
   FROM payment_attempts
     LEFT JOIN bank_transfer_uses ON bank_transfer_uses.payment_attempt_id = payment_attempts.id
  WHERE is_by_hand(payment_attempts.gateway)
  GROUP BY payment_attempts.id
 HAVING payment_attempts.amount_captured::numeric IS DISTINCT FROM sum(bank_transfer_uses.amount);
comment on view invariant_attempts_by_hand_are_made_of_receipts is 'I4: an attempt that no gateway holds is captured, of receipts, to the last paisa.';
grant select on invariant_attempts_by_hand_are_made_of_receipts to munim_hasura;

create view invariant_autopay_charges_a_month_once as
 SELECT customer_id,
    currency,
    period,
    count(*) AS charges
   FROM autopay_charges
  WHERE status = 'succeeded'::text
  GROUP BY customer_id, currency, period
 HAVING count(*) > 1;
comment on view invariant_autopay_charges_a_month_once is 'I14: a customer pays once a month, however often crons ran or they changed their mandate.';
grant select on invariant_autopay_charges_a_month_once to munim_hasura;

create view invariant_autopay_follows_its_anchor as
 SELECT autopay_charges.id AS autopay_charge_id,
    autopay_charges.due_on,
    autopay_charges.due_at
   FROM autopay_charges
     JOIN autopay_mandates ON autopay_mandates.id = autopay_charges.autopay_mandate_id
  WHERE autopay_charges.due_on <> due_date(autopay_mandates.day_of_month::integer, autopay_charges.due_on) OR autopay_charges.due_on < autopay_mandates.anchor_on OR autopay_charges.period <> to_char(autopay_charges.due_on::timestamp with time zone, 'YYYY-MM'::text) OR autopay_charges.due_at <> local_moment(autopay_charges.due_on, autopay_mandates.local_time, autopay_mandates.timezone);
comment on view invariant_autopay_follows_its_anchor is 'I14: each due date is the mandate''s day of its month, at its hour in its zone.';
grant select on invariant_autopay_follows_its_anchor to munim_hasura;

create view invariant_autopay_follows_its_payment as
 SELECT autopay_charges.id AS autopay_charge_id,
    autopay_charges.status,
    payment_intents.status AS payment_status
   FROM autopay_charges
     JOIN payment_intents ON payment_intents.id = autopay_charges.payment_intent_id
  WHERE (autopay_charges.status = 'succeeded'::text) <> (payment_intents.status = 'paid'::text) OR autopay_charges.amount IS DISTINCT FROM payment_intents.amount OR autopay_charges.currency IS DISTINCT FROM payment_intents.currency OR autopay_charges.customer_id IS DISTINCT FROM payment_intents.customer_id OR autopay_charges.tries < (( SELECT count(*) AS count
           FROM payment_attempts
          WHERE payment_attempts.payment_intent_id = payment_intents.id AND payment_attempts.payment_method_id IS NOT NULL));
comment on view invariant_autopay_follows_its_payment is 'I14: a month is paid when its payment is, for what was agreed to, in four attempts at most.';
grant select on invariant_autopay_follows_its_payment to munim_hasura;

create view invariant_autopay_keeps_moving as
 SELECT id AS autopay_charge_id,
    updated_at
   FROM autopay_charges
  WHERE status = 'charging'::text AND NOT has_open_attempt(payment_intent_id);
comment on view invariant_autopay_keeps_moving is 'I11: a charge that is being made has an attempt that will end.';
grant select on invariant_autopay_keeps_moving to munim_hasura;

create view invariant_autopay_stops_when_told as
 SELECT payment_attempts.id AS payment_attempt_id,
    autopay_mandates.id AS autopay_mandate_id
   FROM autopay_mandates
     JOIN autopay_charges ON autopay_charges.autopay_mandate_id = autopay_mandates.id
     JOIN payment_attempts ON payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
  WHERE payment_attempts.payment_method_id IS NOT NULL AND payment_attempts.created_at > COALESCE(autopay_mandates.canceled_at, autopay_mandates.paused_at);
comment on view invariant_autopay_stops_when_told is 'I14: nothing was tried after a mandate was canceled, or since it was paused.';
grant select on invariant_autopay_stops_when_told to munim_hasura;

create view invariant_balances_follow_each_other as
 WITH steps AS (
         SELECT ledger_entries.ledger_transaction_id,
            ledger_entries.ledger_account_id,
            ledger_entries.amount,
            ledger_entries.balance_after,
            ledger_entries.created_at,
            lag(ledger_entries.balance_after) OVER accounts AS balance_before,
            lag(ledger_entries.created_at) OVER accounts AS created_before
           FROM ledger_entries
          WINDOW accounts AS (PARTITION BY ledger_entries.ledger_account_id ORDER BY ledger_entries.created_at)
        )
 SELECT ledger_transaction_id,
    ledger_account_id
   FROM steps
  WHERE (COALESCE(balance_before, 0::bigint) + amount) <> balance_after OR created_at = created_before;
comment on view invariant_balances_follow_each_other is 'I2: each balance follows from the one before it, and no two entries of an account are dated alike.';
grant select on invariant_balances_follow_each_other to munim_hasura;

create view invariant_bank_money_moves_by_two_people as
 SELECT ledger_transactions.id AS ledger_transaction_id,
    ledger_transactions.key
   FROM ledger_transactions
     JOIN ledger_accounts ON ledger_accounts.id = ledger_transactions.debit_account_id OR ledger_accounts.id = ledger_transactions.credit_account_id
  WHERE starts_with(ledger_accounts.code, 'bank:'::text) AND NOT (EXISTS ( SELECT
           FROM bank_transfers
          WHERE bank_transfers.id = ledger_transactions.reference_id AND (bank_transfers.status = ANY (ARRAY['approved'::text, 'returned'::text])) AND bank_transfers.checked_by <> bank_transfers.made_by)) AND NOT (EXISTS ( SELECT
           FROM bank_transfers
          WHERE bank_transfers.refund_id = ledger_transactions.reference_id AND bank_transfers.status = 'approved'::text AND bank_transfers.checked_by <> bank_transfers.made_by)) AND NOT (EXISTS ( SELECT
           FROM refunds
             JOIN bank_transfers ON bank_transfers.id =
                CASE
                    WHEN refunds.requested_by = 'gateway'::text AND is_by_hand(refunds.gateway) THEN split_part(refunds.idempotency_key, ':'::text, 2)::uuid
                    ELSE NULL::uuid
                END AND (bank_transfers.kind = ANY (ARRAY['return'::text, 'refund'::text])) AND bank_transfers.status = 'approved'::text AND bank_transfers.checked_by <> bank_transfers.made_by
          WHERE refunds.id = ledger_transactions.reference_id));
comment on view invariant_bank_money_moves_by_two_people is 'A21: nothing is booked at a bank but what one person entered and another one approved.';
grant select on invariant_bank_money_moves_by_two_people to munim_hasura;

create view invariant_bank_transfers_are_booked_once as
 SELECT bank_transfers.id AS bank_transfer_id,
    bank_transfers.status,
    count(ledger_transactions.id) AS transactions
   FROM bank_transfers
     LEFT JOIN ledger_transactions ON ledger_transactions.reference_type = 'bank_transfer'::text AND ledger_transactions.reference_id = bank_transfers.id AND ledger_transactions.kind = 'bank_transfer'::text
  WHERE bank_transfers.kind = 'receipt'::text
  GROUP BY bank_transfers.id
 HAVING count(ledger_transactions.id) <> (bank_transfers.status = ANY (ARRAY['approved'::text, 'returned'::text]))::integer;
comment on view invariant_bank_transfers_are_booked_once is 'I4: a receipt that two people approved is booked once, and no other is.';
grant select on invariant_bank_transfers_are_booked_once to munim_hasura;

create view invariant_bank_transfers_are_used_up_to_their_amount as
 SELECT bank_transfers.id AS bank_transfer_id,
    bank_transfers.amount_used
   FROM bank_transfers
     LEFT JOIN bank_transfer_uses ON bank_transfer_uses.bank_transfer_id = bank_transfers.id
  GROUP BY bank_transfers.id
 HAVING bank_transfers.amount_used::numeric <> COALESCE(sum(bank_transfer_uses.amount), 0::numeric);
comment on view invariant_bank_transfers_are_used_up_to_their_amount is 'What a receipt counts as used are its uses; its CHECK keeps that below what came.';
grant select on invariant_bank_transfers_are_used_up_to_their_amount to munim_hasura;

create view invariant_captures_are_booked as
 SELECT payment_attempts.id AS payment_attempt_id,
    payment_attempts.status
   FROM payment_attempts
     LEFT JOIN ledger_transactions ON ledger_transactions.reference_type = 'payment_attempt'::text AND ledger_transactions.reference_id = payment_attempts.id AND ledger_transactions.kind = 'capture'::text
  WHERE (payment_attempts.status = 'captured'::text) <> (ledger_transactions.id IS NOT NULL);
comment on view invariant_captures_are_booked is 'I4: captured and booked are the same attempts.';
grant select on invariant_captures_are_booked to munim_hasura;

create view invariant_captures_book_what_was_taken as
 SELECT payment_attempts.id AS payment_attempt_id,
    ledger_transactions.amount
   FROM payment_attempts
     JOIN ledger_transactions ON ledger_transactions.reference_type = 'payment_attempt'::text AND ledger_transactions.reference_id = payment_attempts.id
  WHERE ledger_transactions.kind = 'capture'::text AND ledger_transactions.amount::bigint <> payment_attempts.amount_captured;
comment on view invariant_captures_book_what_was_taken is 'I4: the same amount in both.';
grant select on invariant_captures_book_what_was_taken to munim_hasura;

create table invariant_checks (
    name text not null,
    key_column text,
    position integer not null default 0,
    width integer not null default 4096,
    faults bigint not null default 0,
    unread integer not null default 0,
    milliseconds bigint not null default 0,
    read_in_milliseconds bigint,
    read_at timestamp with time zone,
    tried_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    constraint invariant_checks_pkey PRIMARY KEY (name),
    constraint invariant_part_lies_within CHECK ("position" >= 0 AND "position" <= 4095 AND width >= 1 AND width <= 4096)
);
comment on table invariant_checks is 'How far each invariant view is read. A pass goes through all prefixes, in any number of ticks.';
comment on column invariant_checks.key_column is 'The uuid by which the view is read in parts; null where it has none and is read as a whole.';
comment on column invariant_checks.position is 'The prefix that is next: 0 to 4095, three digits.';
comment on column invariant_checks.width is 'How many prefixes are read at once: all while that is quick, fewer where it is not.';
comment on column invariant_checks.faults is 'Rows that this pass has found.';
comment on column invariant_checks.unread is 'Parts that this pass could not read.';
comment on column invariant_checks.milliseconds is 'How long this pass has taken.';
comment on column invariant_checks.read_in_milliseconds is 'How long the last whole pass took.';
comment on column invariant_checks.read_at is 'When the view was last read to its end.';
grant select on invariant_checks to munim_hasura;

create view invariant_credit_lots_add_up as
 WITH spent AS (
         SELECT credit_spend_lots.credit_lot_id,
            sum(credit_spend_lots.credits_amount - credit_spend_lots.credits_returned) AS credits,
            sum(credit_spend_lots.amount - credit_spend_lots.amount_returned) AS amount
           FROM credit_spend_lots
          GROUP BY credit_spend_lots.credit_lot_id
        ), recalled AS (
         SELECT credit_recalls.credit_lot_id,
            sum(
                CASE credit_recalls.status
                    WHEN 'held'::text THEN credit_recalls.credits_amount
                    ELSE NULL::numeric
                END) AS held,
            sum(credit_recalls.credits_amount) AS credits,
            sum(credit_recalls.amount) AS amount
           FROM credit_recalls
          WHERE credit_recalls.status = ANY (ARRAY['held'::text, 'taken'::text])
          GROUP BY credit_recalls.credit_lot_id
        )
 SELECT credit_lots.id AS credit_lot_id
   FROM credit_lots
     LEFT JOIN spent ON spent.credit_lot_id = credit_lots.id
     LEFT JOIN recalled ON recalled.credit_lot_id = credit_lots.id
  WHERE credit_lots.used <> COALESCE(spent.credits, 0::numeric) OR credit_lots.amount_earned::numeric < COALESCE(spent.amount, 0::numeric) OR credit_lots.held <> COALESCE(recalled.held, 0::numeric) OR credit_lots.recalled <> COALESCE(recalled.credits, 0::numeric) OR credit_lots.amount_recalled::numeric <> COALESCE(recalled.amount, 0::numeric);
comment on view invariant_credit_lots_add_up is 'What a lot says of itself is what the spends, the returns and the refunds say of it.';
grant select on invariant_credit_lots_add_up to munim_hasura;

create view invariant_credit_lots_are_what_was_issued as
 WITH sides AS (
         SELECT ledger_balances.organization_id,
            ledger_balances.livemode,
            ledger_balances.code,
            ledger_balances.balance AS units
           FROM ledger_balances
          WHERE ledger_balances.code = ANY (ARRAY['credits_issued'::text, 'credits_granted'::text])
        UNION ALL
         SELECT credit_lots.organization_id,
            credit_lots.livemode,
                CASE
                    WHEN credit_lots.credit_grant_id IS NULL THEN 'credits_issued'::text
                    ELSE 'credits_granted'::text
                END AS code,
            (- credit_lots.remaining) * 10000::numeric AS units
           FROM credit_lots
        )
 SELECT organization_id,
    livemode,
    code,
    sum(units) AS units
   FROM sides
  GROUP BY organization_id, livemode, code
 HAVING sum(units) <> 0::numeric;
comment on view invariant_credit_lots_are_what_was_issued is 'What is left of bought credits is credits_issued, of given ones credits_granted.';
grant select on invariant_credit_lots_are_what_was_issued to munim_hasura;

create view invariant_credit_lots_explain_prepaid_money as
 WITH sides AS (
         SELECT ledger_balances.organization_id,
            ledger_balances.livemode,
            ledger_balances.currency,
            - ledger_balances.balance AS owed,
            0 AS remaining,
            0 AS held
           FROM ledger_balances
          WHERE ledger_balances.code = 'prepaid_credits'::text
        UNION ALL
         SELECT credit_lots.organization_id,
            credit_lots.livemode,
            credit_lots.currency,
            0 AS owed,
            credit_lots.amount_remaining,
            0 AS held
           FROM credit_lots
          WHERE credit_lots.currency IS NOT NULL
        UNION ALL
         SELECT credit_recalls.organization_id,
            credit_recalls.livemode,
            credit_lots.currency,
            0 AS owed,
            0 AS remaining,
            credit_recalls.amount AS held
           FROM credit_recalls
             JOIN credit_lots ON credit_lots.id = credit_recalls.credit_lot_id
          WHERE credit_recalls.status = 'held'::text
        )
 SELECT organization_id,
    livemode,
    currency,
    sum(owed) AS owed,
    sum(remaining) AS remaining,
    sum(held) AS held
   FROM sides
  GROUP BY organization_id, livemode, currency
 HAVING sum(owed) < sum(remaining) OR sum(owed) > (sum(remaining) + sum(held));
comment on view invariant_credit_lots_explain_prepaid_money is 'What is owed for credits is what the lots say; a dispute that is open may still count among it.';
grant select on invariant_credit_lots_explain_prepaid_money to munim_hasura;

create view invariant_credit_lots_explain_revenue as
 WITH sides AS (
         SELECT ledger_balances.organization_id,
            ledger_balances.livemode,
            ledger_balances.currency,
            ledger_balances.balance AS amount
           FROM ledger_balances
          WHERE ledger_balances.code = ANY (ARRAY['credit_revenue'::text, 'credit_breakage'::text])
        UNION ALL
         SELECT credit_lots.organization_id,
            credit_lots.livemode,
            credit_lots.currency,
            credit_lots.amount_earned AS amount
           FROM credit_lots
          WHERE credit_lots.currency IS NOT NULL
        )
 SELECT organization_id,
    livemode,
    currency,
    sum(amount) AS amount
   FROM sides
  GROUP BY organization_id, livemode, currency
 HAVING sum(amount) <> 0::numeric;
comment on view invariant_credit_lots_explain_revenue is 'Revenue and breakage are what the lots earned, by credits used and credits expired.';
grant select on invariant_credit_lots_explain_revenue to munim_hasura;

create view invariant_credit_lots_sum_to_their_wallet as
 WITH lots AS (
         SELECT credit_lots.customer_id,
            credit_lots.organization_id,
            credit_lots.livemode,
            sum(credit_lots.remaining) * 10000::numeric AS units
           FROM credit_lots
          GROUP BY credit_lots.customer_id, credit_lots.organization_id, credit_lots.livemode
        )
 SELECT ledger_accounts.customer_id,
    - ledger_accounts.balance AS balance,
    lots.units
   FROM ledger_accounts
     LEFT JOIN lots ON lots.customer_id = ledger_accounts.customer_id AND lots.organization_id = ledger_accounts.organization_id AND lots.livemode = ledger_accounts.livemode
  WHERE ledger_accounts.currency = 'XCR'::text AND ledger_accounts.customer_id IS NOT NULL AND (- ledger_accounts.balance)::numeric <> COALESCE(lots.units, 0::numeric);
comment on view invariant_credit_lots_sum_to_their_wallet is 'A customer''s lots are what is in their wallet, to the last ten-thousandth.';
grant select on invariant_credit_lots_sum_to_their_wallet to munim_hasura;

create view invariant_credit_spends_add_up as
 WITH lines AS (
         SELECT credit_spend_lots.credit_spend_id,
            sum(credit_spend_lots.credits_amount) AS credits,
            sum(credit_spend_lots.credits_returned) AS returned
           FROM credit_spend_lots
          GROUP BY credit_spend_lots.credit_spend_id
        ), returns AS (
         SELECT credit_returns.credit_spend_id,
            sum(credit_returns.credits_amount) AS credits
           FROM credit_returns
          GROUP BY credit_returns.credit_spend_id
        )
 SELECT credit_spends.id AS credit_spend_id
   FROM credit_spends
     LEFT JOIN lines ON lines.credit_spend_id = credit_spends.id
     LEFT JOIN returns ON returns.credit_spend_id = credit_spends.id
  WHERE credit_spends.credits_amount <> COALESCE(lines.credits, 0::numeric) OR credit_spends.credits_returned <> COALESCE(lines.returned, 0::numeric) OR credit_spends.credits_returned <> COALESCE(returns.credits, 0::numeric);
comment on view invariant_credit_spends_add_up is 'A spend is the sum of what its lots gave, and what came back the sum of its returns.';
grant select on invariant_credit_spends_add_up to munim_hasura;

create view invariant_effects_are_booked_once as
 SELECT reference_id,
    reference_type,
    kind,
    count(*) AS transactions
   FROM ledger_transactions
  WHERE kind = ANY (ARRAY['capture'::text, 'credit_purchase'::text, 'credit_grant'::text, 'credit_spend'::text, 'credit_return'::text, 'bank_transfer'::text])
  GROUP BY reference_id, reference_type, kind
 HAVING count(*) > 1;
comment on view invariant_effects_are_booked_once is 'I6: one fact, one transaction, under whatever keys it was posted.';
grant select on invariant_effects_are_booked_once to munim_hasura;

create view invariant_ends_are_told as
 SELECT id AS object_id,
    'payment.succeeded'::text AS type
   FROM payment_intents
  WHERE status = 'paid'::text AND NOT (EXISTS ( SELECT
           FROM events
          WHERE events.object_type = 'payment_intent'::text AND events.object_id = id AND events.type = 'payment.succeeded'::text))
UNION ALL
 SELECT refunds.id AS object_id,
    'refund.succeeded'::text AS type
   FROM refunds
  WHERE refunds.status = 'succeeded'::text AND NOT (EXISTS ( SELECT
           FROM events
          WHERE events.object_type = 'refund'::text AND events.object_id = refunds.id AND events.type = 'refund.succeeded'::text));
comment on view invariant_ends_are_told is 'I15: a payment that is paid and a refund that arrived have their fact in the outbox.';
grant select on invariant_ends_are_told to munim_hasura;

create view invariant_facts_are_numbered as
 SELECT object_id,
    object_type,
    count(*) AS facts,
    max(sequence) AS last
   FROM events
  GROUP BY object_id, object_type
 HAVING min(sequence) <> 1 OR max(sequence) <> count(*);
comment on view invariant_facts_are_numbered is 'I12, I15: the facts of an object are numbered from one without a gap, so that their order is known.';
grant select on invariant_facts_are_numbered to munim_hasura;

create view invariant_held_bank_transfers_are_owed as
 WITH sides AS (
         SELECT bank_transfers.organization_id,
            bank_transfers.livemode,
            bank_transfers.currency,
            bank_transfers.amount - bank_transfers.amount_used AS amount
           FROM bank_transfers
          WHERE bank_transfers.kind = 'receipt'::text AND bank_transfers.status = 'approved'::text
        UNION ALL
         SELECT ledger_balances.organization_id,
            ledger_balances.livemode,
            ledger_balances.currency,
            ledger_balances.balance AS amount
           FROM ledger_balances
          WHERE ledger_balances.code = 'bank_transfers'::text
        )
 SELECT organization_id,
    livemode,
    currency,
    sum(amount) AS amount
   FROM sides
  GROUP BY organization_id, livemode, currency
 HAVING sum(amount) <> 0::numeric;
comment on view invariant_held_bank_transfers_are_owed is 'What is booked as held are the receipts that have not been used.';
grant select on invariant_held_bank_transfers_are_owed to munim_hasura;

create view invariant_ledger_balances as
 SELECT organization_id,
    livemode,
    currency,
    sum(balance) AS balance
   FROM ledger_accounts
  GROUP BY organization_id, livemode, currency
 HAVING sum(balance) <> 0::numeric;
comment on view invariant_ledger_balances is 'I1: what all accounts of a currency hold is nothing; each transaction is so by its columns, which have one amount for both sides.';
grant select on invariant_ledger_balances to munim_hasura;

create view invariant_ledger_blocks_are_chained as
 WITH seals AS (
         SELECT ledger_seals.ledger_block_number,
            count(*) AS transactions,
            string_agg(ledger_seals.hash, NULL::bytea ORDER BY ledger_seals."position") AS hashes
           FROM ledger_seals
          GROUP BY ledger_seals.ledger_block_number
        )
 SELECT ledger_blocks.number
   FROM ledger_blocks
     LEFT JOIN ledger_blocks previous ON previous.number = (ledger_blocks.number - 1)
     LEFT JOIN seals ON seals.ledger_block_number = ledger_blocks.number
  WHERE (ledger_blocks.number = 1) <> (previous.number IS NULL) OR ledger_blocks.previous_hash <> COALESCE(previous.hash, decode(repeat('00'::text, 32), 'hex'::text)) OR ledger_blocks.transactions IS DISTINCT FROM seals.transactions OR ledger_blocks.hash IS DISTINCT FROM sha256(ledger_blocks.previous_hash || seals.hashes);
comment on view invariant_ledger_blocks_are_chained is 'I3: block follows block without a gap, and each hash covers its transactions and the one before.';
grant select on invariant_ledger_blocks_are_chained to munim_hasura;

create view invariant_ledger_transactions_fit_their_accounts as
 SELECT ledger_transactions.id AS ledger_transaction_id
   FROM ledger_transactions
     LEFT JOIN ledger_accounts debited ON debited.id = ledger_transactions.debit_account_id
     LEFT JOIN ledger_accounts credited ON credited.id = ledger_transactions.credit_account_id
  WHERE debited.organization_id IS DISTINCT FROM ledger_transactions.organization_id OR debited.livemode IS DISTINCT FROM ledger_transactions.livemode OR debited.currency IS DISTINCT FROM ledger_transactions.currency OR credited.organization_id IS DISTINCT FROM ledger_transactions.organization_id OR credited.livemode IS DISTINCT FROM ledger_transactions.livemode OR credited.currency IS DISTINCT FROM ledger_transactions.currency OR debited.id = credited.id;
comment on view invariant_ledger_transactions_fit_their_accounts is 'I1: both accounts of a transaction are there, are two, and are of its organisation, mode and currency.';
grant select on invariant_ledger_transactions_fit_their_accounts to munim_hasura;

create view invariant_no_card_is_kept as
 SELECT id AS gateway_event_id,
    gateway,
    type
   FROM gateway_events
  WHERE jsonb_path_exists(payload, '$.**?(@.type() == "object").keyvalue()?(((@."key" like_regex "^(cc|card)?[_.]?(num|number|no|pan)$" flag "i" && @."key" != "number") && @."key" != "no") && @."value" like_regex "^[0-9]([ -]?[0-9]){12,18}$" || @."key" like_regex "^(cc|card)?[_.]?(cvv2?|cvc2?|vv)$" flag "i" && @."value" like_regex "^[0-9]{3,4}$")'::jsonpath);
comment on view invariant_no_card_is_kept is 'I19: no message holds a whole card number, nor its security code, under a name for it. Digits alone say nothing: ids of payments are as long.';
grant select on invariant_no_card_is_kept to munim_hasura;

create view invariant_open_disputes_are_booked as
 WITH open_disputes AS (
         SELECT disputes.organization_id,
            disputes.livemode,
            disputes.currency,
            disputes.amount
           FROM disputes
          WHERE disputes.status = ANY (ARRAY['opened'::text, 'under_review'::text])
        UNION ALL
         SELECT ledger_balances.organization_id,
            ledger_balances.livemode,
            ledger_balances.currency,
            - ledger_balances.balance AS amount
           FROM ledger_balances
          WHERE ledger_balances.code = 'disputes'::text
        )
 SELECT organization_id,
    livemode,
    currency,
    sum(amount) AS amount
   FROM open_disputes
  GROUP BY organization_id, livemode, currency
 HAVING sum(amount) <> 0::numeric;
comment on view invariant_open_disputes_are_booked is 'What the gateway holds back is what is disputed and not decided.';
grant select on invariant_open_disputes_are_booked to munim_hasura;

create view invariant_paid_purchases_are_granted as
 SELECT credit_purchases.id AS credit_purchase_id,
    payment_intents.status
   FROM credit_purchases
     JOIN payment_intents ON payment_intents.id = credit_purchases.payment_intent_id
  WHERE (payment_intents.status = 'paid'::text) <> (credit_purchases.granted_at IS NOT NULL);
comment on view invariant_paid_purchases_are_granted is 'I4: paid and granted are the same purchases.';
grant select on invariant_paid_purchases_are_granted to munim_hasura;

create view invariant_parked_events_are_listed as
 SELECT event_publications.event_id,
    event_publications.destination
   FROM event_publications
     LEFT JOIN exceptions ON exceptions.object_id = event_publications.event_id AND exceptions.class = 'event-not-published'::text
  WHERE event_publications.status = 'parked'::text AND exceptions.id IS NULL;
comment on view invariant_parked_events_are_listed is 'I15: an event that was not published is on its way, or a person sees it.';
grant select on invariant_parked_events_are_listed to munim_hasura;

create view invariant_payments_succeed_for_good as
 SELECT later.object_id AS payment_intent_id,
    later.id AS event_id,
    later.type
   FROM events later
     JOIN events success ON success.object_type = later.object_type AND success.object_id = later.object_id AND success.sequence < later.sequence
  WHERE later.object_type = 'payment_intent'::text AND success.type = 'payment.succeeded'::text AND (later.type = ANY (ARRAY['payment.succeeded'::text, 'payment.failed'::text, 'payment.processing'::text])) AND (later.data ->> 'payment_attempt_id'::text) = (success.data ->> 'payment_attempt_id'::text);
comment on view invariant_payments_succeed_for_good is 'I12: of an attempt that succeeded nothing is told that comes before success, nor success again.';
grant select on invariant_payments_succeed_for_good to munim_hasura;

create view invariant_pending_refunds_are_owed as
 WITH pending AS (
         SELECT refunds.organization_id,
            refunds.livemode,
            refunds.currency,
            refunds.amount
           FROM refunds
          WHERE refunds.status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text])
        UNION ALL
         SELECT ledger_balances.organization_id,
            ledger_balances.livemode,
            ledger_balances.currency,
            ledger_balances.balance
           FROM ledger_balances
          WHERE ledger_balances.code = 'refunds_pending'::text
        )
 SELECT organization_id,
    livemode,
    currency,
    sum(amount) AS amount
   FROM pending
  GROUP BY organization_id, livemode, currency
 HAVING sum(amount) <> 0::numeric;
comment on view invariant_pending_refunds_are_owed is 'What is booked as on its way back are the refunds that have not ended.';
grant select on invariant_pending_refunds_are_owed to munim_hasura;

create view invariant_people_answer_for_what_they_resolved as
 SELECT id AS exception_id,
    class,
    resolved_by
   FROM exceptions
  WHERE resolved_by IS NOT NULL AND (settles_itself(*) OR NOT (EXISTS ( SELECT
           FROM exception_decisions
          WHERE exception_decisions.exception_id = id AND exception_decisions.decision = 'resolved'::text AND exception_decisions.decided_by = resolved_by AND exception_decisions.reason = resolution)));
comment on view invariant_people_answer_for_what_they_resolved is 'What a person took off the list is told in exception_decisions, and was a person''s to take off.';
grant select on invariant_people_answer_for_what_they_resolved to munim_hasura;

create view invariant_people_are_assigned_by_people as
 SELECT id AS exception_id,
    class,
    assigned_to
   FROM exceptions
  WHERE assigned_to IS NOT NULL AND NOT (EXISTS ( SELECT
           FROM exception_decisions
          WHERE exception_decisions.exception_id = id AND exception_decisions.assigned_to = assigned_to));
comment on view invariant_people_are_assigned_by_people is 'Who looks into an exception was told to, or took it, in exception_decisions.';
grant select on invariant_people_are_assigned_by_people to munim_hasura;

create view invariant_purchases_keep_their_rate as
 SELECT credit_purchases.id AS credit_purchase_id,
    credit_purchases.credits_amount
   FROM credit_purchases
     JOIN payment_intents ON payment_intents.id = credit_purchases.payment_intent_id
  WHERE credit_purchases.credits_amount <> trunc(major_units(credit_purchases.amount, credit_purchases.currency) * credit_purchases.credit_rate, 4) OR payment_intents.amount <> credit_purchases.amount OR payment_intents.currency <> credit_purchases.currency OR payment_intents.customer_id <> credit_purchases.customer_id;
comment on view invariant_purchases_keep_their_rate is 'What is owed and what is granted both follow from the amount and the frozen rate.';
grant select on invariant_purchases_keep_their_rate to munim_hasura;

create view invariant_recalls_follow_their_refunds as
 WITH money_back AS (
         SELECT refunds.id,
                CASE
                    WHEN refunds.is_late OR (refunds.status = ANY (ARRAY['failed'::text, 'canceled'::text])) THEN ARRAY['released'::text, 'returned'::text]
                    WHEN refunds.status = 'succeeded'::text THEN ARRAY['taken'::text]
                    ELSE ARRAY['held'::text]
                END AS legal
           FROM refunds
        UNION ALL
         SELECT disputes.id,
            ARRAY[
                CASE disputes.status
                    WHEN 'won'::text THEN 'released'::text
                    WHEN 'lost'::text THEN 'taken'::text
                    ELSE 'held'::text
                END] AS legal
           FROM disputes
        )
 SELECT credit_recalls.id AS credit_recall_id,
    credit_recalls.status
   FROM credit_recalls
     LEFT JOIN money_back ON money_back.id = credit_recalls.refund_id
  WHERE (credit_recalls.status = ANY (money_back.legal)) IS NOT TRUE;
comment on view invariant_recalls_follow_their_refunds is 'Credits are held while their money is on its way back, gone with it, and back when it stays.';
grant select on invariant_recalls_follow_their_refunds to munim_hasura;

create view invariant_records_stay_in_their_organization as
 SELECT id AS record_id,
    reference_type,
    reference_id
   FROM ledger_transactions
  WHERE NOT (EXISTS ( SELECT
           FROM ( SELECT payment_attempts.organization_id,
                    payment_attempts.livemode
                   FROM payment_attempts
                  WHERE reference_type = 'payment_attempt'::text AND payment_attempts.id = reference_id
                UNION ALL
                 SELECT refunds.organization_id,
                    refunds.livemode
                   FROM refunds
                  WHERE reference_type = 'refund'::text AND refunds.id = reference_id
                UNION ALL
                 SELECT disputes.organization_id,
                    disputes.livemode
                   FROM disputes
                  WHERE reference_type = 'dispute'::text AND disputes.id = reference_id
                UNION ALL
                 SELECT credit_purchases.organization_id,
                    credit_purchases.livemode
                   FROM credit_purchases
                  WHERE reference_type = 'credit_purchase'::text AND credit_purchases.id = reference_id
                UNION ALL
                 SELECT bank_transfers.organization_id,
                    bank_transfers.livemode
                   FROM bank_transfers
                  WHERE reference_type = 'bank_transfer'::text AND bank_transfers.id = reference_id) referred
          WHERE referred.organization_id = organization_id AND referred.livemode = livemode)) AND (reference_type = ANY (ARRAY['payment_attempt'::text, 'refund'::text, 'dispute'::text, 'credit_purchase'::text, 'bank_transfer'::text]))
UNION ALL
 SELECT gateway_events.id AS record_id,
    'gateway_event'::text AS reference_type,
    gateway_events.payment_attempt_id AS reference_id
   FROM gateway_events
     JOIN payment_attempts ON payment_attempts.id = gateway_events.payment_attempt_id
  WHERE gateway_events.organization_id IS DISTINCT FROM payment_attempts.organization_id OR gateway_events.livemode IS DISTINCT FROM payment_attempts.livemode;
comment on view invariant_records_stay_in_their_organization is 'I18: what names an object without a foreign key of three columns names one of its own organisation and mode. Everywhere else the keys say so.';
grant select on invariant_records_stay_in_their_organization to munim_hasura;

create view invariant_refunds_are_booked as
 WITH booked AS (
         SELECT ledger_transactions.reference_id,
            sum(
                CASE
                    WHEN ledger_transactions.kind = ANY (ARRAY['refund_reserve'::text, 'refund_reserve_loss'::text]) THEN ledger_transactions.amount::bigint
                    WHEN ledger_transactions.kind = ANY (ARRAY['refund_release'::text, 'refund_release_loss'::text]) THEN - ledger_transactions.amount::bigint
                    ELSE NULL::bigint
                END) AS reserved,
            sum(
                CASE ledger_transactions.kind
                    WHEN 'refund'::text THEN ledger_transactions.amount::bigint
                    WHEN 'refund_return'::text THEN - ledger_transactions.amount::bigint
                    ELSE NULL::bigint
                END) AS paid
           FROM ledger_transactions
          WHERE ledger_transactions.reference_type = 'refund'::text
          GROUP BY ledger_transactions.reference_id
        )
 SELECT refunds.id AS refund_id,
    refunds.status,
    booked.reserved,
    booked.paid
   FROM refunds
     LEFT JOIN booked ON booked.reference_id = refunds.id
  WHERE COALESCE(booked.reserved, 0::numeric) <>
        CASE
            WHEN refunds.status = ANY (ARRAY['failed'::text, 'canceled'::text]) THEN 0::bigint
            ELSE refunds.amount
        END::numeric OR COALESCE(booked.paid, 0::numeric) <>
        CASE
            WHEN refunds.status = 'succeeded'::text THEN refunds.amount
            ELSE 0::bigint
        END::numeric;
comment on view invariant_refunds_are_booked is 'A refund''s amount is reserved while it may succeed, and paid out while it has.';
grant select on invariant_refunds_are_booked to munim_hasura;

create view invariant_refunds_are_counted as
 SELECT payment_attempts.id AS payment_attempt_id,
    payment_attempts.amount_refunded
   FROM payment_attempts
     LEFT JOIN refunds ON refunds.payment_attempt_id = payment_attempts.id AND (refunds.status <> ALL (ARRAY['failed'::text, 'canceled'::text]))
  GROUP BY payment_attempts.id
 HAVING payment_attempts.amount_refunded::numeric <> COALESCE(sum(refunds.amount), 0::numeric);
comment on view invariant_refunds_are_counted is 'I5: what an attempt counts as refunded are its refunds, those on their way included; its CHECK keeps that below what was captured.';
grant select on invariant_refunds_are_counted to munim_hasura;

create view invariant_refunds_fit_their_payment as
 WITH gone AS (
         SELECT refunds.payment_attempt_id,
            refunds.amount
           FROM refunds
          WHERE refunds.status = 'succeeded'::text
        UNION ALL
         SELECT disputes.payment_attempt_id,
            disputes.amount
           FROM disputes
          WHERE disputes.status = 'lost'::text
        )
 SELECT payment_attempts.id AS payment_attempt_id,
    sum(gone.amount) AS gone
   FROM payment_attempts
     JOIN gone ON gone.payment_attempt_id = payment_attempts.id
     LEFT JOIN exceptions ON exceptions.object_id = payment_attempts.id AND exceptions.class = 'refunded-and-disputed'::text AND (exceptions.resolved_at IS NULL OR exceptions.resolved_by IS NOT NULL)
  WHERE exceptions.id IS NULL
  GROUP BY payment_attempts.id
 HAVING sum(gone.amount) > payment_attempts.amount_captured::numeric;
comment on view invariant_refunds_fit_their_payment is 'I5: no more went back, by refunds and lost disputes, than had come, or a person knows.';
grant select on invariant_refunds_fit_their_payment to munim_hasura;

create view invariant_requests_have_effects_of_their_own as
 WITH made AS (
         SELECT credit_purchases.id,
            credit_purchases.ledger_transaction_id
           FROM credit_purchases
          WHERE credit_purchases.ledger_transaction_id IS NOT NULL
        UNION ALL
         SELECT credit_grants.id,
            credit_grants.ledger_transaction_id
           FROM credit_grants
        UNION ALL
         SELECT credit_spends.id,
            credit_spends.ledger_transaction_id
           FROM credit_spends
        UNION ALL
         SELECT credit_returns.id,
            credit_returns.ledger_transaction_id
           FROM credit_returns
        )
 SELECT ledger_transaction_id,
    count(*) AS requests
   FROM made
  GROUP BY ledger_transaction_id
 HAVING count(*) > 1;
comment on view invariant_requests_have_effects_of_their_own is 'I16: no two requests answer with the same entries in the books.';
grant select on invariant_requests_have_effects_of_their_own to munim_hasura;

create view invariant_sealed_transactions_are_whole as
 SELECT ledger_seals.ledger_transaction_id,
    ledger_seals.ledger_block_number
   FROM ledger_seals
     JOIN ledger_transactions ON ledger_transactions.id = ledger_seals.ledger_transaction_id
  WHERE ledger_transaction_hash(ledger_transactions.*) <> ledger_seals.hash;
comment on view invariant_sealed_transactions_are_whole is 'I3: a sealed transaction reads as it did when it was sealed.';
grant select on invariant_sealed_transactions_are_whole to munim_hasura;

create view invariant_surplus_goes_back as
 SELECT payment_attempts.id AS payment_attempt_id
   FROM payment_attempts
     LEFT JOIN disputes ON disputes.payment_attempt_id = payment_attempts.id AND disputes.status = 'lost'::text
     LEFT JOIN exceptions ON exceptions.object_id = payment_attempts.id AND (exceptions.class = ANY (ARRAY['surplus-payment'::text, 'amount-mismatch'::text])) AND exceptions.resolved_at IS NULL
  WHERE payment_attempts.is_surplus AND exceptions.id IS NULL
  GROUP BY payment_attempts.id
 HAVING payment_attempts.amount_captured::numeric > (payment_attempts.amount_refunded::numeric + COALESCE(sum(disputes.covered_amount), 0::numeric));
comment on view invariant_surplus_goes_back is 'I13: what was captured beyond what was owed is refunded or on its way, or a person knows.';
grant select on invariant_surplus_goes_back to munim_hasura;

create view invariant_surplus_is_owed_back as
 SELECT ledger_balances.organization_id,
    ledger_balances.livemode,
    ledger_balances.code,
    ledger_balances.currency,
    ledger_balances.balance,
    COALESCE(sum(payment_attempts.amount_captured - payment_attempts.amount_refunded - COALESCE(disputed.covered_amount, 0::bigint)), 0::numeric) AS owed
   FROM ledger_balances
     LEFT JOIN payment_attempts ON payment_attempts.organization_id = ledger_balances.organization_id AND payment_attempts.livemode = ledger_balances.livemode AND payment_attempts.currency = ledger_balances.currency AND payment_attempts.is_surplus AND payment_attempts.is_in_suspense = (ledger_balances.code = 'suspense'::text)
     LEFT JOIN LATERAL ( SELECT sum(disputes.covered_amount)::bigint AS covered_amount
           FROM disputes
          WHERE disputes.payment_attempt_id = payment_attempts.id AND disputes.status = 'lost'::text) disputed ON true
  WHERE ledger_balances.code = ANY (ARRAY['surplus'::text, 'suspense'::text])
  GROUP BY ledger_balances.organization_id, ledger_balances.livemode, ledger_balances.code, ledger_balances.currency, ledger_balances.balance
 HAVING (- ledger_balances.balance)::numeric <> COALESCE(sum(payment_attempts.amount_captured - payment_attempts.amount_refunded - COALESCE(disputed.covered_amount, 0::bigint)), 0::numeric);
comment on view invariant_surplus_is_owed_back is 'I13: what was captured beyond what was owed, or is not what was owed, is a debt until it is refunded.';
grant select on invariant_surplus_is_owed_back to munim_hasura;

create view invariant_tries_come_to_an_end as
 SELECT id AS object_id,
    'gateway_event'::text AS object_type,
    tries
   FROM gateway_events
  WHERE tries > 10
UNION ALL
 SELECT payment_attempts.id AS object_id,
    'payment_attempt'::text AS object_type,
    payment_attempts.checks AS tries
   FROM payment_attempts
  WHERE payment_attempts.checks > 12
UNION ALL
 SELECT refunds.id AS object_id,
    'refund'::text AS object_type,
    refunds.checks AS tries
   FROM refunds
  WHERE refunds.checks > 12
UNION ALL
 SELECT event_publications.event_id AS object_id,
    'event_publication'::text AS object_type,
    event_publications.attempts AS tries
   FROM event_publications
  WHERE event_publications.attempts > 80;
comment on view invariant_tries_come_to_an_end is 'I22: nothing is applied, looked up or sent for ever: it ends, or a person has it.';
grant select on invariant_tries_come_to_an_end to munim_hasura;

create view invariant_unmatched_bank_transfers_are_listed as
 SELECT bank_transfers.id AS bank_transfer_id,
    bank_transfers.status
   FROM bank_transfers
     LEFT JOIN exceptions ON exceptions.object_id = bank_transfers.id AND exceptions.class = 'bank-transfer-unmatched'::text AND exceptions.resolved_at IS NULL
  WHERE bank_transfers.kind = 'receipt'::text AND (bank_transfers.status = ANY (ARRAY['entered'::text, 'approved'::text])) AND bank_transfers.payment_intent_id IS NULL AND exceptions.id IS NULL;
comment on view invariant_unmatched_bank_transfers_are_listed is 'I11: money of nobody''s order waits for a person.';
grant select on invariant_unmatched_bank_transfers_are_listed to munim_hasura;

create view invariant_unsettled_attempts_are_checked as
 SELECT payment_attempts.id AS payment_attempt_id,
    payment_attempts.status
   FROM payment_attempts
     LEFT JOIN exceptions ON exceptions.object_id = payment_attempts.id AND exceptions.class = 'payment-unresolved'::text AND exceptions.resolved_at IS NULL
  WHERE (payment_attempts.status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text, 'processing'::text, 'authorized'::text])) AND payment_attempts.next_check_at IS NULL AND exceptions.id IS NULL;
comment on view invariant_unsettled_attempts_are_checked is 'I11: what has not ended is asked about, or waits for a person.';
grant select on invariant_unsettled_attempts_are_checked to munim_hasura;

create view invariant_unsettled_refunds_are_checked as
 SELECT refunds.id AS refund_id,
    refunds.status
   FROM refunds
     LEFT JOIN exceptions ON exceptions.object_id = refunds.id AND exceptions.class = 'refund-unresolved'::text AND exceptions.resolved_at IS NULL
  WHERE refunds.next_check_at IS NULL AND exceptions.id IS NULL AND ((refunds.status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text])) OR refunds.status = 'succeeded'::text AND refunds.looks < 3 AND NOT is_by_hand(refunds.gateway));
comment on view invariant_unsettled_refunds_are_checked is 'I11: a refund that has not ended is asked about, or waits for a person; so is one that succeeded, until the gateway has answered thrice what became of it.';
grant select on invariant_unsettled_refunds_are_checked to munim_hasura;

create table ledger_accounts (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    code text not null,
    part smallint not null default 0,
    account_type text not null,
    currency text not null,
    customer_id uuid,
    balance bigint not null default 0,
    held bigint not null default 0,
    last_entry_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
    minimum bigint,
    maximum bigint,
    bounds int8range,
    status text not null default 'active'::text,
    created_at timestamp with time zone not null default clock_now(),
    constraint ledger_accounts_pkey PRIMARY KEY (id),
    constraint ledger_account_code_is_taken_once UNIQUE (code, part, organization_id, livemode, currency),
    constraint ledger_account_stays_in_its_organization UNIQUE (id, organization_id, livemode, currency),
    constraint ledger_account_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint ledger_accounts_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint ledger_accounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint ledger_account_stays_within_its_bounds CHECK (balance <@ bounds)
);
comment on table ledger_accounts is 'One balance in one currency. docs/ledger.md has the chart.';
comment on column ledger_accounts.part is 'An account that a whole organisation shares is kept in 16 parts, so that postings seldom wait for each other; view ledger_balances sums them.';
comment on column ledger_accounts.balance is 'Sum of the account''s entries in minor units: debits are positive, credits negative.';
comment on column ledger_accounts.held is 'Sum of the account''s open holds: spoken for, not yet moved.';
comment on column ledger_accounts.minimum is 'The balance, less what is held, never falls below it; null where there is no bound.';
comment on column ledger_accounts.maximum is 'The balance, with what is held, never rises above it: zero for a wallet, whose credits are negative. Null where there is no bound.';
comment on column ledger_accounts.bounds is 'What the balance may be: from minimum and held to maximum less held. Whatever is written here is replaced by that; null where there is no bound.';
CREATE INDEX ledger_accounts_by_customer ON public.ledger_accounts USING btree (customer_id) WHERE (customer_id IS NOT NULL);
CREATE TRIGGER ledger_account_is_one AFTER INSERT OR UPDATE OF status, held, minimum, maximum, bounds ON ledger_accounts FOR EACH ROW EXECUTE FUNCTION check_ledger_account();
CREATE TRIGGER ledger_account_keeps_what_it_is BEFORE UPDATE OF id, organization_id, livemode, code, part, account_type, currency, customer_id, created_at ON ledger_accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
CREATE TRIGGER ledger_accounts_stay BEFORE DELETE OR TRUNCATE ON ledger_accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on ledger_accounts to munim_hasura;

create view ledger_balances as
 SELECT organization_id,
    livemode,
    code,
    account_type,
    currency,
    sum(balance)::bigint AS balance,
    sum(held)::bigint AS held
   FROM ledger_accounts
  GROUP BY organization_id, livemode, code, account_type, currency;
comment on view ledger_balances is 'The chart with its balances: the parts of an account in one row.';
grant select on ledger_balances to munim_hasura;

create table ledger_blocks (
    number bigint not null,
    transactions integer not null,
    previous_hash bytea not null,
    hash bytea not null,
    horizon bigint not null,
    sealed_in bigint not null default pg_current_xact_id()::text::bigint,
    sealed_at timestamp with time zone not null default clock_now(),
    constraint ledger_blocks_pkey PRIMARY KEY (number),
    constraint ledger_block_follows_one_other UNIQUE (previous_hash),
    constraint ledger_block_hashes_are_sha256 CHECK (octet_length(hash) = 32 AND octet_length(previous_hash) = 32),
    constraint ledger_block_number_counts CHECK (number >= 1),
    constraint ledger_block_seals_something CHECK (transactions > 0)
);
comment on table ledger_blocks is 'Sealed transactions, block after block. hash = sha256(previous_hash, then the hash of each transaction by position); the first previous_hash is 32 zero bytes. Append-only.';
comment on column ledger_blocks.horizon is 'Every database transaction below this number had ended when the block was sealed.';
comment on column ledger_blocks.sealed_in is 'Number of the database transaction that wrote the row. Where the row says otherwise (xmin), it came from a dump, and the numbers of this database are others than the horizon''s.';
CREATE TRIGGER ledger_blocks_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger_blocks FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on ledger_blocks to munim_hasura;

create view ledger_entries as
 SELECT id AS ledger_transaction_id,
    'debit'::text AS entry_type,
    organization_id,
    livemode,
    debit_account_id AS ledger_account_id,
    currency,
    amount::bigint AS amount,
    debit_balance_after AS balance_after,
    debited_at AS created_at
   FROM ledger_transactions
UNION ALL
 SELECT id AS ledger_transaction_id,
    'credit'::text AS entry_type,
    organization_id,
    livemode,
    credit_account_id AS ledger_account_id,
    currency,
    - amount::bigint AS amount,
    credit_balance_after AS balance_after,
    credited_at AS created_at
   FROM ledger_transactions;
comment on view ledger_entries is 'The two sides of each transaction: an account''s history is its entries by created_at, which never repeats within it.';
comment on column ledger_entries.amount is 'Minor units: a debit is positive, a credit negative.';
comment on column ledger_entries.balance_after is 'The account''s balance once this was booked.';
grant select on ledger_entries to munim_hasura;

create table ledger_holds (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    key text not null,
    ledger_account_id uuid not null,
    currency text not null,
    amount bigint not null,
    status text not null default 'open'::text,
    ledger_transaction_id uuid,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint ledger_holds_pkey PRIMARY KEY (id),
    constraint ledger_hold_is_placed_once UNIQUE (key, organization_id, livemode),
    constraint ledger_hold_belongs_to_its_account FOREIGN KEY (ledger_account_id, organization_id, livemode, currency) REFERENCES ledger_accounts(id, organization_id, livemode, currency),
    constraint ledger_hold_ends_in_a_transaction FOREIGN KEY (ledger_transaction_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode),
    constraint ledger_holds_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint ledger_hold_keeps_something CHECK (amount > 0),
    constraint ledger_hold_key_names_a_fact CHECK (length(key) >= 3 AND length(key) <= 200),
    constraint ledger_hold_status_is_known CHECK (status = ANY (ARRAY['open'::text, 'posted'::text, 'released'::text])),
    constraint posted_hold_has_its_transaction CHECK ((status = 'posted'::text) = (ledger_transaction_id IS NOT NULL))
);
comment on table ledger_holds is 'An amount of an account that is spoken for: nobody else can move it, and nothing has moved yet. It ends once, posted or released.';
comment on column ledger_holds.amount is 'Minor units, always positive, on whichever side the balance is.';
CREATE INDEX ledger_holds_open ON public.ledger_holds USING btree (ledger_account_id) WHERE (status = 'open'::text);
CREATE TRIGGER ledger_hold_is_kept BEFORE UPDATE ON ledger_holds FOR EACH ROW EXECUTE FUNCTION keep_ledger_hold();
CREATE TRIGGER ledger_hold_updated_at BEFORE UPDATE ON ledger_holds FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER ledger_holds_stay BEFORE DELETE OR TRUNCATE ON ledger_holds FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on ledger_holds to munim_hasura;

create type ledger_posting as (
    key text,
    kind text,
    reference_type text,
    reference_id uuid,
    occurred_at timestamp with time zone,
    debit_account_id uuid,
    credit_account_id uuid,
    amount bigint
);

create table ledger_reversals (
    ledger_transaction_id uuid not null,
    organization_id uuid not null,
    livemode boolean not null,
    reverses_id uuid not null,
    constraint ledger_reversals_pkey PRIMARY KEY (ledger_transaction_id),
    constraint ledger_transaction_is_reversed_once UNIQUE (reverses_id),
    constraint ledger_reversal_is_booked FOREIGN KEY (ledger_transaction_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode),
    constraint ledger_reversal_takes_back_its_own FOREIGN KEY (reverses_id, organization_id, livemode) REFERENCES ledger_transactions(id, organization_id, livemode)
);
comment on table ledger_reversals is 'Which transaction takes which one back: few do, and those that do not pay nothing for it. Append-only.';
CREATE TRIGGER ledger_reversals_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger_reversals FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on ledger_reversals to munim_hasura;

create table ledger_seals (
    ledger_transaction_id uuid not null,
    ledger_block_number bigint not null,
    position integer not null,
    hash bytea not null,
    constraint ledger_seals_pkey PRIMARY KEY (ledger_transaction_id),
    constraint ledger_seal_has_its_place UNIQUE (ledger_block_number, "position"),
    constraint ledger_seals_ledger_block_number_fkey FOREIGN KEY (ledger_block_number) REFERENCES ledger_blocks(number),
    constraint ledger_seal_hash_is_sha256 CHECK (octet_length(hash) = 32)
);
comment on table ledger_seals is 'Where a transaction is sealed, and the sha256 of its text (see ledger_transaction_text). Append-only.';
CREATE TRIGGER ledger_seals_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger_seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on ledger_seals to munim_hasura;

create table ledger_transactions (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    key text not null,
    kind text not null,
    reference_type text not null,
    reference_id uuid not null,
    debit_account_id uuid not null,
    credit_account_id uuid not null,
    currency text not null,
    amount moved_amount not null,
    debit_balance_after bigint not null,
    credit_balance_after bigint not null,
    debited_at timestamp with time zone not null,
    credited_at timestamp with time zone not null,
    occurred_at timestamp with time zone not null,
    written_in bigint not null default pg_current_xact_id()::text::bigint,
    constraint ledger_transaction_stays_in_its_organization PRIMARY KEY (id, organization_id, livemode),
    constraint ledger_account_is_credited_in_order UNIQUE (credit_account_id, credited_at),
    constraint ledger_account_is_debited_in_order UNIQUE (debit_account_id, debited_at),
    constraint ledger_fact_is_booked_once UNIQUE (key, organization_id, livemode)
);
comment on table ledger_transactions is 'One amount in one currency goes from one account to another. A fact that moves several is several transactions, booked in one call. Append-only.';
comment on column ledger_transactions.key is 'The fact in words and ids, as in capture:<attempt id>.';
comment on column ledger_transactions.amount is 'Minor units, more than zero.';
comment on column ledger_transactions.debit_balance_after is 'The debited account''s balance once this was booked; debits are positive, credits negative.';
comment on column ledger_transactions.debited_at is 'When it was booked. Rises from each transaction of an account to the next by a microsecond at least, on whichever side the account is.';
comment on column ledger_transactions.credited_at is 'The same for the credited account.';
comment on column ledger_transactions.occurred_at is 'When the fact happened in the world; debited_at and credited_at are when it was booked.';
comment on column ledger_transactions.written_in is 'Number of the database transaction that wrote the row: what is below the oldest one still running is complete, and can be sealed.';
CREATE INDEX ledger_transactions_by_reference ON public.ledger_transactions USING btree (reference_id);
CREATE INDEX ledger_transactions_by_writer ON public.ledger_transactions USING btree (written_in);
CREATE TRIGGER ledger_transactions_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger_transactions FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on ledger_transactions to munim_hasura;

create view order_charges as
 SELECT payment_attempts.id,
    orders.organization_id,
    orders.livemode,
    orders.id AS order_id,
    orders.reference,
    orders.title,
    payment_attempts.gateway,
    payment_attempts.gateway_account,
    payment_attempts.amount,
    payment_attempts.currency,
    payment_intents.capture_method,
    customers.email,
    payment_methods.gateway_customer_id,
    payment_methods.gateway_payment_method_id
   FROM orders
     JOIN payment_intents ON payment_intents.id = orders.payment_intent_id
     JOIN payment_attempts ON payment_attempts.payment_intent_id = payment_intents.id
     JOIN payment_methods ON payment_methods.id = payment_attempts.payment_method_id
     JOIN customers ON customers.id = orders.customer_id
  WHERE (payment_attempts.status = ANY (ARRAY['created'::text, 'unknown'::text])) AND payment_intents.status <> 'canceled'::text AND payment_attempts.created_at > (clock_now() - '23:00:00'::interval);
comment on view order_charges is 'What gateways are to be asked: attempts with a saved method that may not have been sent, by the attempt''s id. Not after 23 hours: then a gateway may have forgotten its key, and is asked instead.';
grant select on order_charges to munim_hasura;

create view order_checkouts as
 SELECT orders.id,
    orders.organization_id,
    orders.livemode,
    orders.customer_id,
    orders.reference,
    orders.display_id,
    orders.title,
    payment_intents.id AS payment_intent_id,
    payment_intents.amount,
    payment_intents.currency,
    payment_intents.capture_method,
    payment_intents.status,
    payment_status_in(payment_intents.*, 'ubertruck'::text) AS transaction_status,
    payment_attempts.id AS payment_attempt_id,
    payment_attempts.status AS payment_attempt_status,
    payment_attempts.gateway,
    payment_attempts.failure_message,
    checkout_sessions.gateway_session_id,
    checkout_sessions.url,
    checkout_sessions.method,
    checkout_sessions.customer_email,
    checkout_sessions.customer_name,
    checkout_sessions.customer_phone,
    checkout_sessions.gateway_customer_id,
    checkout_sessions.success_url,
    checkout_sessions.cancel_url,
    checkout_sessions.expires_at,
    checkout_sessions.link_expires_at,
    checkout_sessions.expires_at < (clock_now() + '00:31:00'::interval) AS is_closing,
    checkout_sessions.expires_at < clock_now() AS is_over
   FROM orders
     JOIN payment_intents ON payment_intents.id = orders.payment_intent_id
     CROSS JOIN LATERAL attempt_that_counts(payment_intents.id) payment_attempts(id, organization_id, livemode, payment_intent_id, payment_method_id, gateway, gateway_account, amount, amount_to_capture, amount_captured, amount_refunded, currency, status, is_surplus, is_in_suspense, gateway_payment_id, failure_code, failure_message, decline_class, declined_at, receipt_url, captured_at, checks, next_check_at, returned_at, receipt_asked_at, created_at, updated_at)
     LEFT JOIN checkout_sessions ON checkout_sessions.payment_attempt_id = payment_attempts.id;
comment on view order_checkouts is 'All that opening an order''s page takes, one row an order: of several attempts the one that was paid, else the newest.';
comment on column order_checkouts.transaction_status is 'The status in UberTruck''s words.';
grant select on order_checkouts to munim_hasura;

create table order_event_types (
    type text not null,
    meaning text not null,
    constraint order_event_types_pkey PRIMARY KEY (type),
    constraint order_event_meaning_is_known CHECK (meaning = ANY (ARRAY['placed'::text, 'ready'::text, 'canceled'::text]))
);
comment on table order_event_types is 'The messages about orders that are understood. placed: there is such an order; ready: it may be charged, where system_settings.order_charge_events names the type; canceled: it is off.';
grant select on order_event_types to munim_hasura;

create table order_events (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    event_id text not null,
    type text not null,
    reference text not null,
    customer_external_id text,
    amount bigint,
    currency text,
    detail jsonb not null,
    occurred_at timestamp with time zone not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint order_events_pkey PRIMARY KEY (id),
    constraint order_event_is_received_once UNIQUE (event_id, organization_id, livemode),
    constraint order_events_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint order_events_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint order_events_type_fkey FOREIGN KEY (type) REFERENCES order_event_types(type),
    constraint order_event_amount_has_a_currency CHECK ((amount IS NULL) = (currency IS NULL))
);
comment on table order_events is 'The inbox of messages about orders, in whatever order they come. Append-only.';
comment on column order_events.amount is 'Minor units of currency, where the message says it.';
CREATE INDEX order_events_by_order ON public.order_events USING btree (reference, organization_id, livemode);
CREATE TRIGGER order_events_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON order_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on order_events to munim_hasura;

create table orders (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    payment_intent_id uuid not null,
    reference text not null,
    display_id text not null,
    title text not null,
    metadata jsonb not null default '{}'::jsonb,
    created_at timestamp with time zone not null default clock_now(),
    constraint orders_pkey PRIMARY KEY (id),
    constraint intent_pays_one_order UNIQUE (payment_intent_id),
    constraint order_display_id_is_taken_once UNIQUE (display_id, organization_id, livemode),
    constraint order_is_charged_once UNIQUE (reference, organization_id, livemode),
    constraint order_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint order_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint order_is_paid_by_an_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint order_metadata_is_small CHECK (jsonb_typeof(metadata) = 'object'::text AND octet_length(metadata::text) <= 8192),
    constraint order_reference_has_a_length CHECK (length(reference) >= 1 AND length(reference) <= 255),
    constraint order_title_has_a_length CHECK (length(title) >= 1 AND length(title) <= 200)
);
comment on table orders is 'What another system sold and we collect the money for. One payment an order, of as many attempts as it takes.';
comment on column orders.reference is 'The other system''s own id: booking_id, orderId.';
comment on column orders.display_id is 'TXN- and ten hexadecimal digits, for people.';
CREATE INDEX orders_by_customer ON public.orders USING btree (customer_id, created_at);
CREATE TRIGGER order_may_be_off_already AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION call_off_new_order();
grant select on orders to munim_hasura;

create table organization_members (
    user_id text not null,
    organization_id uuid not null,
    role text not null,
    status text not null default 'active'::text,
    set_by text not null,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint organization_members_pkey PRIMARY KEY (user_id, organization_id),
    constraint organization_members_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint member_is_set_by_another CHECK (set_by <> ('user:'::text || user_id)),
    constraint member_role_is_known CHECK (role = ANY (ARRAY['owner'::text, 'finance'::text, 'dispatcher'::text, 'developer'::text, 'viewer'::text])),
    constraint member_status_is_known CHECK (status = ANY (ARRAY['active'::text, 'suspended'::text])),
    constraint member_user_id_has_a_length CHECK (length(user_id) >= 1 AND length(user_id) <= 255)
);
comment on table organization_members is 'The people of an organisation and their one role in it, live and test alike.';
comment on column organization_members.user_id is 'The login''s x-hasura-user-id.';
comment on column organization_members.set_by is 'Who gave them this role or took it: another person, or the service.';
CREATE TRIGGER organization_member_updated_at BEFORE UPDATE ON organization_members FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on organization_members to munim_hasura;

create table organizations (
    id uuid not null default gen_random_uuid(),
    name text not null,
    default_currency text not null,
    timezone text not null default 'UTC'::text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint organizations_pkey PRIMARY KEY (id),
    constraint organizations_default_currency_fkey FOREIGN KEY (default_currency) REFERENCES currencies(code),
    constraint organization_has_a_name CHECK (length(name) >= 1 AND length(name) <= 200),
    constraint organization_timezone_exists CHECK (('1970-01-01 00:00:00+00'::timestamp with time zone AT TIME ZONE timezone) IS NOT NULL)
);
comment on table organizations is 'The tenant of every row. TCS and NovaMart are one organisation each.';
comment on column organizations.default_currency is 'Charged when a caller names no currency.';
CREATE TRIGGER organization_has_autopay_settings AFTER INSERT ON organizations FOR EACH ROW EXECUTE FUNCTION open_autopay_settings();
CREATE TRIGGER organization_updated_at BEFORE UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on organizations to munim_hasura;

create table page_tries (
    organization_id uuid not null,
    livemode boolean not null,
    address_hash text not null,
    tries integer not null,
    began_at timestamp with time zone not null,
    constraint page_tries_pkey PRIMARY KEY (address_hash, organization_id, livemode),
    constraint page_tries_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id)
);
comment on table page_tries is 'How many attempts were begun from an address of the network in the hour since began_at, and from all of them in the minute: who tries many cards comes from few, or is quick. system_settings.page_tries_per_address and page_tries_per_minute are the most that an organisation allows.';
comment on column page_tries.address_hash is 'Under a key of the service''s, so that it tells nobody the address; of IPv6 its network of 64 bits. Empty for all addresses together.';
CREATE INDEX page_tries_by_age ON public.page_tries USING btree (began_at);
grant select on page_tries to munim_hasura;

create table payment_attempt_steps (
    before text not null,
    after text not null,
    constraint payment_attempt_steps_pkey PRIMARY KEY (before, after)
);
comment on table payment_attempt_steps is 'Every legal change of payment_attempts.status.';
grant select on payment_attempt_steps to munim_hasura;

create table payment_attempts (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    payment_method_id uuid,
    gateway text not null,
    gateway_account text not null default ''::text,
    amount bigint not null,
    amount_to_capture bigint,
    amount_captured bigint not null default 0,
    amount_refunded bigint not null default 0,
    currency text not null,
    status text not null default 'created'::text,
    is_surplus boolean not null default false,
    is_in_suspense boolean not null default false,
    gateway_payment_id text,
    failure_code text,
    failure_message text,
    decline_class text,
    declined_at timestamp with time zone,
    receipt_url text,
    captured_at timestamp with time zone,
    checks smallint not null default 0,
    next_check_at timestamp with time zone,
    returned_at timestamp with time zone,
    receipt_asked_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint payment_attempts_pkey PRIMARY KEY (id),
    constraint payment_attempt_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint payment_attempt_belongs_to_its_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint payment_attempt_charges_its_payment_method FOREIGN KEY (payment_method_id, organization_id, livemode) REFERENCES payment_methods(id, organization_id, livemode),
    constraint payment_attempts_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint captured_attempt_knows_its_payment CHECK ((status = 'captured'::text) = (captured_at IS NOT NULL) AND (status = 'captured'::text) = (amount_captured > 0) AND ((status <> ALL (ARRAY['authorized'::text, 'captured'::text])) OR gateway_payment_id IS NOT NULL)),
    constraint decline_says_why CHECK (declined_at IS NULL OR decline_class IS NOT NULL),
    constraint money_in_suspense_pays_nothing CHECK (is_surplus OR NOT is_in_suspense),
    constraint money_is_not_declined CHECK (declined_at IS NULL OR (status <> ALL (ARRAY['processing'::text, 'authorized'::text, 'captured'::text]))),
    constraint no_more_is_captured_than_asked_for CHECK (amount_captured >= 0 AND amount_captured <= amount AND amount_to_capture >= 1 AND amount_to_capture <= amount),
    constraint no_more_is_refunded_than_captured CHECK (amount_refunded >= 0 AND amount_refunded <= amount_captured),
    constraint only_a_page_is_checked_after_its_capture CHECK (next_check_at IS NULL OR status <> 'captured'::text OR payment_method_id IS NULL AND gateway <> 'bank_transfer'::text),
    constraint payment_attempt_asks_for_money CHECK (amount > 0),
    constraint payment_attempt_decline_class_is_known CHECK (decline_class = ANY (ARRAY['soft'::text, 'hard'::text, 'authentication'::text, 'fraud'::text, 'gateway'::text])),
    constraint payment_attempt_status_is_known CHECK (status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text, 'processing'::text, 'authorized'::text, 'captured'::text, 'failed'::text, 'expired'::text, 'canceled'::text]))
);
comment on table payment_attempts is 'One try at one gateway. Its id is the gateway''s idempotency key and its reference to us.';
comment on column payment_attempts.payment_method_id is 'The saved method that was charged with the payer away; null where they came to a page.';
comment on column payment_attempts.gateway is 'The adapter''s file name in app/gateways; bank_transfer for what came to our own bank account.';
comment on column payment_attempts.gateway_account is 'Whose account at the gateway is charged; empty for the only one that the settings name. The bank account''s id where that took the money.';
comment on column payment_attempts.amount_to_capture is 'What we told, or are about to tell, the gateway to take of an authorised payment; null again where it refused to.';
comment on column payment_attempts.amount_refunded is 'Refunds that succeeded and those on their way, in minor units.';
comment on column payment_attempts.status is 'created: the gateway may not have been asked yet; unknown: it was asked and gave no answer.';
comment on column payment_attempts.is_surplus is 'Captured though its intent was paid or canceled already: the money goes back. So is what is in suspense.';
comment on column payment_attempts.is_in_suspense is 'What came is not what was asked for: the gateway holds it for us until somebody sends it back.';
comment on column payment_attempts.gateway_payment_id is 'The gateway''s payment: pi_… at Stripe.';
comment on column payment_attempts.decline_class is 'Why it failed, in a word that says what to do: docs/errors.md. Of one that is pending, or expired, why the last try on its gateway''s page was declined.';
comment on column payment_attempts.declined_at is 'When the gateway last declined a try, as far as it says; null once there is money, or it is on its way. A page may take another try after it: the status says whether this one does.';
comment on column payment_attempts.next_check_at is 'When the gateway is asked what became of it; null when it has ended for good, or a person must look. One that ended without money is asked about for two days more: a bank may say yes after all. One that was captured is asked about when its page has closed, where the page takes more than one payment.';
comment on column payment_attempts.returned_at is 'When a payer who came back last had its gateway asked: whoever comes in the next seconds has not.';
comment on column payment_attempts.receipt_asked_at is 'When the sweep of receipts last asked for one that had not come: whoever waits longest is next.';
CREATE INDEX payment_attempts_at_gateways ON public.payment_attempts USING btree ((
CASE
    WHEN (gateway_payment_id IS NOT NULL) THEN ((gateway || ' '::text) || (livemode)::text)
    ELSE NULL::text
END));
CREATE INDEX payment_attempts_by_intent ON public.payment_attempts USING btree (payment_intent_id);
CREATE INDEX payment_attempts_by_method ON public.payment_attempts USING btree (payment_method_id) WHERE (payment_method_id IS NOT NULL);
CREATE INDEX payment_attempts_to_check ON public.payment_attempts USING btree (next_check_at) WHERE (next_check_at IS NOT NULL);
CREATE INDEX payment_attempts_unsent ON public.payment_attempts USING btree (updated_at) WHERE ((status = ANY (ARRAY['created'::text, 'unknown'::text])) AND (payment_method_id IS NOT NULL));
CREATE INDEX payment_attempts_without_receipt ON public.payment_attempts USING btree (gateway, COALESCE(receipt_asked_at, captured_at)) WHERE ((status = 'captured'::text) AND (receipt_url IS NULL));
CREATE UNIQUE INDEX gateway_payment_belongs_to_one_attempt ON public.payment_attempts USING btree (gateway_payment_id, gateway, livemode) WHERE (gateway_payment_id IS NOT NULL);
comment on index payment_attempts_to_check is 'Queue of check_payments.';
comment on index payment_attempts_unsent is 'Pile of charge_orders.';
comment on index payment_attempts_without_receipt is 'Pile of store_missing_receipts.';
CREATE TRIGGER payment_attempt_takes_legal_steps BEFORE UPDATE OF status ON payment_attempts FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('payment_attempt_steps');
CREATE TRIGGER payment_attempt_updated_at BEFORE UPDATE ON payment_attempts FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on payment_attempts to munim_hasura;

create table payment_intent_steps (
    before text not null,
    after text not null,
    constraint payment_intent_steps_pkey PRIMARY KEY (before, after)
);
comment on table payment_intent_steps is 'Every legal change of payment_intents.status.';
grant select on payment_intent_steps to munim_hasura;

create table payment_intents (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid,
    purpose text not null,
    amount bigint not null,
    currency text not null,
    capture_method text not null default 'automatic'::text,
    status text not null default 'pending'::text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint payment_intents_pkey PRIMARY KEY (id),
    constraint payment_intent_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint payment_intent_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint payment_intents_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint payment_intents_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint payment_intent_asks_for_money CHECK (amount > 0),
    constraint payment_intent_capture_method_is_known CHECK (capture_method = 'automatic'::text OR capture_method = 'manual'::text AND purpose <> 'credit_purchase'::text),
    constraint payment_intent_purpose_is_known CHECK (purpose = ANY (ARRAY['credit_purchase'::text, 'order'::text])),
    constraint payment_intent_status_is_known CHECK (status = ANY (ARRAY['pending'::text, 'processing'::text, 'authorized'::text, 'paid'::text, 'failed'::text, 'expired'::text, 'canceled'::text]))
);
comment on table payment_intents is 'What is owed, and whether it was paid.';
comment on column payment_intents.purpose is 'What the money is for; fulfilled once it is paid. An order''s money is the organisation''s own.';
comment on column payment_intents.amount is 'Minor units of currency.';
comment on column payment_intents.capture_method is 'automatic: the gateway takes the money at once; manual: it is authorised first, and taken, whole or in part, when we say so.';
CREATE INDEX payment_intents_by_customer ON public.payment_intents USING btree (customer_id, created_at);
CREATE TRIGGER payment_intent_takes_legal_steps BEFORE UPDATE OF status ON payment_intents FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('payment_intent_steps');
CREATE TRIGGER payment_intent_updated_at BEFORE UPDATE ON payment_intents FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on payment_intents to munim_hasura;

create table payment_methods (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    customer_id uuid not null,
    gateway text not null,
    gateway_account text not null default ''::text,
    gateway_customer_id text not null,
    gateway_payment_method_id text not null,
    type text not null,
    brand text,
    last4 text,
    expires_on date,
    status text not null default 'active'::text,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint payment_methods_pkey PRIMARY KEY (id),
    constraint payment_method_is_kept_once UNIQUE (gateway_payment_method_id, gateway, gateway_account, livemode, customer_id),
    constraint payment_method_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint payment_method_belongs_to_a_customer FOREIGN KEY (customer_id, organization_id, livemode) REFERENCES customers(id, organization_id, livemode),
    constraint payment_method_shows_four_digits CHECK (last4 ~ '^[0-9]{4}$'::text),
    constraint payment_method_status_is_known CHECK (status = ANY (ARRAY['active'::text, 'detached'::text]))
);
comment on table payment_methods is 'What a customer saved at a gateway, to be charged while they are away. The gateway''s ids only: no number of a card or an account is ever kept here.';
comment on column payment_methods.type is 'Our word for it: card, upi, bank_debit, …; other until a gateway has said what it is.';
comment on column payment_methods.last4 is 'The last four digits of a card, for its owner to know it by; null where the gateway has not said them.';
comment on column payment_methods.expires_on is 'The last day of a card''s life.';
CREATE INDEX payment_methods_by_customer ON public.payment_methods USING btree (customer_id);
CREATE TRIGGER payment_method_updated_at BEFORE UPDATE ON payment_methods FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on payment_methods to munim_hasura;

create view payment_page_returns as
 SELECT payment_attempts.id AS payment_attempt_id,
    payment_attempts.payment_intent_id,
    payment_attempts.gateway,
    checkout_sessions.gateway_session_id,
    payment_pages.token
   FROM payment_attempts
     JOIN checkout_sessions ON checkout_sessions.payment_attempt_id = payment_attempts.id
     JOIN payment_pages ON payment_pages.payment_intent_id = payment_attempts.payment_intent_id;
comment on view payment_page_returns is 'To which page a payer comes back from a gateway, one row an attempt.';
grant select on payment_page_returns to munim_hasura;

create view payment_page_states as
 SELECT payment_pages.token,
    payment_pages.organization_id,
    payment_pages.livemode,
    organizations.name AS organization_name,
    orders.reference,
    orders.display_id,
    orders.title,
    payment_intents.id AS payment_intent_id,
    payment_intents.amount,
    payment_intents.currency,
    payment_intents.capture_method,
    payment_intents.status,
    payment_status_in(payment_intents.*, 'ubertruck'::text) AS transaction_status,
    payment_pages.success_url,
    payment_pages.cancel_url,
    payment_pages.expires_at,
    payment_pages.expires_at <= clock_now() AS is_over,
    tries.attempts >= payment_pages.attempts_max OR tries.is_tried_out AS is_exhausted,
    newest.payment_attempt_id,
    newest.payment_attempt_status,
    newest.gateway,
    newest.gateway_session_id,
    newest.gateway_customer_id,
    newest.link_expires_at,
    newest.decline_class,
    newest.declined_at,
    ( SELECT COALESCE(jsonb_agg(jsonb_build_object('gateway', gateway_routes.gateway, 'methods', gateway_routes.methods) ORDER BY gateway_routes.rank, gateway_routes.gateway), '[]'::jsonb) AS "coalesce"
           FROM gateway_routes
          WHERE gateway_routes.organization_id = payment_intents.organization_id AND gateway_routes.livemode = payment_intents.livemode AND gateway_routes.currency = payment_intents.currency AND gateway_routes.is_enabled AND payment_intents.amount >= gateway_routes.min_amount AND payment_intents.amount <= gateway_routes.max_amount) AS routes,
    ( SELECT COALESCE(jsonb_agg(jsonb_build_object('id', payment_methods.id, 'gateway', payment_methods.gateway, 'gateway_customer_id', payment_methods.gateway_customer_id, 'brand', payment_methods.brand, 'last4', payment_methods.last4, 'expires_on', payment_methods.expires_on) ORDER BY payment_methods.created_at DESC, payment_methods.id), '[]'::jsonb) AS "coalesce"
           FROM payment_methods
          WHERE payment_methods.customer_id = payment_intents.customer_id AND payment_methods.status = 'active'::text AND payment_methods.type = 'card'::text AND COALESCE(payment_methods.expires_on >= clock_now()::date, true)) AS saved_cards,
    COALESCE(( SELECT system_settings.value::bigint AS value
           FROM system_settings
          WHERE system_settings.organization_id = payment_pages.organization_id AND system_settings.key = 'upi_amount_max'::text AND system_settings.value ~ '^[0-9]{1,12}$'::text), 10000000::bigint) AS upi_amount_max,
    ( SELECT jsonb_build_object('holder_name', bank_accounts.holder_name, 'bank_name', bank_accounts.bank_name, 'account_number', bank_accounts.account_number, 'ifsc', bank_accounts.ifsc) AS jsonb_build_object
           FROM bank_accounts
          WHERE bank_accounts.organization_id = payment_intents.organization_id AND bank_accounts.livemode = payment_intents.livemode AND bank_accounts.currency = payment_intents.currency AND bank_accounts.status = 'open'::text) AS bank_account,
    ARRAY( SELECT embedding_origins.origin
           FROM embedding_origins
          WHERE embedding_origins.organization_id = payment_pages.organization_id AND embedding_origins.livemode = payment_pages.livemode) AS embedding_origins
   FROM payment_pages
     JOIN organizations ON organizations.id = payment_pages.organization_id
     JOIN payment_intents ON payment_intents.id = payment_pages.payment_intent_id
     JOIN orders ON orders.payment_intent_id = payment_intents.id
     CROSS JOIN LATERAL ( SELECT count(*) AS attempts,
            COALESCE(is_tried_out((array_agg(payment_attempts.*))[1]), false) AS is_tried_out
           FROM payment_attempts
          WHERE payment_attempts.payment_intent_id = payment_intents.id AND NOT payment_attempts.is_in_suspense) tries
     LEFT JOIN LATERAL ( SELECT payment_attempts.id AS payment_attempt_id,
            payment_attempts.status AS payment_attempt_status,
            payment_attempts.gateway,
            payment_attempts.decline_class,
            payment_attempts.declined_at,
            checkout_sessions.gateway_session_id,
            checkout_sessions.gateway_customer_id,
            checkout_sessions.link_expires_at
           FROM attempt_that_counts(payment_intents.id) payment_attempts(id, organization_id, livemode, payment_intent_id, payment_method_id, gateway, gateway_account, amount, amount_to_capture, amount_captured, amount_refunded, currency, status, is_surplus, is_in_suspense, gateway_payment_id, failure_code, failure_message, decline_class, declined_at, receipt_url, captured_at, checks, next_check_at, returned_at, receipt_asked_at, created_at, updated_at)
             LEFT JOIN checkout_sessions ON checkout_sessions.payment_attempt_id = payment_attempts.id) newest ON true;
comment on view payment_page_states is 'All that a page shows, one row a page: of several attempts the one that paid, else the newest.';
comment on column payment_page_states.routes is 'The gateways that may take the payment, the first choice first; methods null: whatever they take.';
comment on column payment_page_states.saved_cards is 'What the order''s customer saved at gateways, the newest first. For their own eyes: a page''s address alone shows it to nobody.';
comment on column payment_page_states.upi_amount_max is 'Above so many paise UPI is not offered: system_settings.upi_amount_max, else the 1,00,000 rupees that NPCI allows everybody. Verified merchants of some trades may take 5,00,000.';
comment on column payment_page_states.bank_account is 'The organisation''s own account that takes this currency by bank transfer, in full: a payer must read it. Null where there is none.';
comment on column payment_page_states.embedding_origins is 'The sites that may show the page in a frame.';
grant select on payment_page_states to munim_hasura;

create table payment_pages (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    token text not null default new_page_token(),
    success_url text not null,
    cancel_url text not null,
    attempts_max smallint not null default 5,
    expires_at timestamp with time zone not null,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint payment_pages_pkey PRIMARY KEY (id),
    constraint payment_has_one_page UNIQUE (payment_intent_id),
    constraint payment_page_token_is_given_once UNIQUE (token),
    constraint payment_page_is_of_a_payment FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint payment_page_allows_attempts CHECK (attempts_max >= 1 AND attempts_max <= 50),
    constraint payment_page_token_cannot_be_guessed CHECK (length(token) >= 32)
);
comment on table payment_pages is 'Where an order is paid, in as many attempts as the page allows. Who has the address may pay, no more.';
comment on column payment_pages.token is 'The secret of the page''s address. Plain, because the same order is answered the same address.';
comment on column payment_pages.success_url is 'Where the shop takes the payer back, once it is paid.';
comment on column payment_pages.cancel_url is 'Where the shop takes back a payer who has not paid.';
CREATE TRIGGER payment_page_updated_at BEFORE UPDATE ON payment_pages FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on payment_pages to munim_hasura;

create table payment_settings (
    organization_id uuid not null,
    currency text not null,
    min_payment_amount bigint not null,
    max_payment_amount bigint not null,
    updated_at timestamp with time zone not null default clock_now(),
    constraint payment_settings_pkey PRIMARY KEY (organization_id, currency),
    constraint payment_settings_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint payment_settings_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint payment_limits_are_in_order CHECK (0 < min_payment_amount AND min_payment_amount <= max_payment_amount AND max_payment_amount <= '1000000000000000'::bigint)
);
comment on table payment_settings is 'What an organisation accepts. A currency without a row is not accepted. Minor units.';
CREATE TRIGGER payment_setting_updated_at BEFORE UPDATE ON payment_settings FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on payment_settings to munim_hasura;

create table payment_status_words (
    profile text not null,
    status text not null,
    word text not null,
    constraint payment_status_words_pkey PRIMARY KEY (profile, status)
);
comment on table payment_status_words is 'How each product that is served here calls the status of a payment. refunded is no status of ours: it is said of a paid payment of which all went back, but for what the policy keeps.';
grant select on payment_status_words to munim_hasura;

create table receipt_requests (
    payment_attempt_id uuid not null,
    organization_id uuid not null,
    livemode boolean not null,
    gateway text not null,
    gateway_payment_id text not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint receipt_requests_pkey PRIMARY KEY (payment_attempt_id),
    constraint receipt_request_is_of_an_attempt FOREIGN KEY (payment_attempt_id, organization_id, livemode) REFERENCES payment_attempts(id, organization_id, livemode)
);
comment on table receipt_requests is 'Payments that succeeded, each once: whose receipt the service is told to fetch, as what told of the payment did not say where it is. Append-only.';
CREATE TRIGGER receipt_requests_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON receipt_requests FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select, trigger on receipt_requests to munim_hasura;
grant insert on receipt_requests to munim_outbox;

create table refund_policies (
    id bigint not null generated always as identity,
    organization_id uuid not null,
    purpose text not null,
    currency text not null,
    window_days integer,
    share_max integer not null default 10000,
    fee_amount bigint not null default 0,
    fee_share integer not null default 0,
    roles text[] not null default '{finance,owner,service}'::text[],
    valid_from timestamp with time zone not null default clock_now(),
    created_by text not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint refund_policies_pkey PRIMARY KEY (id),
    constraint refund_policies_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint refund_policies_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id),
    constraint refund_fee_is_not_negative CHECK (fee_amount >= 0),
    constraint refund_is_the_organizations_to_make CHECK (roles <@ '{dispatcher,finance,owner,service}'::text[] AND array_position(roles, NULL::text) IS NULL),
    constraint refund_policy_purpose_is_known CHECK (purpose = ANY (ARRAY['credit_purchase'::text, 'order'::text])),
    constraint refund_shares_are_basis_points CHECK (share_max >= 0 AND share_max <= 10000 AND fee_share >= 0 AND fee_share <= 10000),
    constraint refund_window_is_not_negative CHECK (window_days >= 0)
);
comment on table refund_policies is 'What an organisation gives back of payments of a purpose and a currency, from when on. The latest row that has begun holds; of two that begin together, the one written later. Without a row: all of it, at any time, by finance, owner or service. Append-only.';
comment on column refund_policies.window_days is 'Days after the capture; null: for ever.';
comment on column refund_policies.share_max is 'How much of what was captured may go back in all, in basis points.';
comment on column refund_policies.fee_amount is 'What each refund costs the payer, in minor units.';
comment on column refund_policies.fee_share is 'The same in basis points of the refund; both are added.';
comment on column refund_policies.roles is 'Who may refund.';
CREATE INDEX refund_policies_in_force ON public.refund_policies USING btree (organization_id, purpose, currency, valid_from, id);
CREATE TRIGGER refund_policies_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON refund_policies FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history();
grant select on refund_policies to munim_hasura;

create table refund_reasons (
    reason text not null,
    description text not null,
    constraint refund_reasons_pkey PRIMARY KEY (reason)
);
comment on table refund_reasons is 'Why money goes back: the closed list that a refund names one of.';
grant select on refund_reasons to munim_hasura;

create table refund_searches (
    payment_attempt_id uuid not null,
    organization_id uuid not null,
    livemode boolean not null,
    gateway text not null,
    looks smallint not null default 0,
    began_at timestamp with time zone not null default clock_now(),
    told_at timestamp with time zone not null default clock_now(),
    asked_at timestamp with time zone,
    due_at timestamp with time zone default clock_now(),
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint refund_searches_pkey PRIMARY KEY (payment_attempt_id),
    constraint refund_search_is_of_an_attempt FOREIGN KEY (payment_attempt_id, organization_id, livemode) REFERENCES payment_attempts(id, organization_id, livemode),
    constraint refund_search_ends_after_two_looks CHECK (looks >= 0 AND looks <= 2)
);
comment on table refund_searches is 'Captured payments of which something said that more was given back than our books say: their gateways are asked for all refunds of them. A payment of which nothing speaks, and that no list may have named too early, has no row.';
comment on column refund_searches.looks is 'How many answers have come since something last spoke of it.';
comment on column refund_searches.began_at is 'Since when it waits for an answer.';
comment on column refund_searches.told_at is 'When something last spoke of it.';
comment on column refund_searches.due_at is 'When the gateway is asked; null when it has answered, or a person must look.';
CREATE INDEX refund_searches_to_make ON public.refund_searches USING btree (due_at) WHERE (due_at IS NOT NULL);
comment on index refund_searches_to_make is 'Queue of check_refunds.';
CREATE TRIGGER refund_search_updated_at BEFORE UPDATE ON refund_searches FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on refund_searches to munim_hasura;

create table refund_status_words (
    profile text not null,
    status text not null,
    word text not null,
    constraint refund_status_words_pkey PRIMARY KEY (profile, status)
);
comment on table refund_status_words is 'How each product that is served here, and has words for it, calls the status of a refund.';
grant select on refund_status_words to munim_hasura;

create table refund_steps (
    before text not null,
    after text not null,
    constraint refund_steps_pkey PRIMARY KEY (before, after)
);
comment on table refund_steps is 'Every legal change of refunds.status.';
grant select on refund_steps to munim_hasura;

create table refunds (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    livemode boolean not null,
    payment_intent_id uuid not null,
    payment_attempt_id uuid not null,
    gateway text not null,
    gateway_account text not null,
    idempotency_key text not null,
    requested_by text not null,
    request jsonb not null,
    type text not null,
    reason text not null,
    note text,
    amount bigint not null,
    fee_amount bigint not null default 0,
    loss_amount bigint not null default 0,
    currency text not null,
    status text not null default 'created'::text,
    is_late boolean not null default false,
    gateway_refund_id text,
    failure_code text,
    failure_message text,
    succeeded_at timestamp with time zone,
    checks smallint not null default 0,
    looks smallint not null default 0,
    next_check_at timestamp with time zone,
    hinted_at timestamp with time zone,
    created_at timestamp with time zone not null default clock_now(),
    updated_at timestamp with time zone not null default clock_now(),
    constraint refunds_pkey PRIMARY KEY (id),
    constraint refund_key_is_used_once UNIQUE (idempotency_key, requested_by, organization_id, livemode),
    constraint refund_stays_in_its_organization UNIQUE (id, organization_id, livemode),
    constraint refund_belongs_to_its_attempt FOREIGN KEY (payment_attempt_id, organization_id, livemode) REFERENCES payment_attempts(id, organization_id, livemode),
    constraint refund_belongs_to_its_intent FOREIGN KEY (payment_intent_id, organization_id, livemode) REFERENCES payment_intents(id, organization_id, livemode),
    constraint refunds_currency_fkey FOREIGN KEY (currency) REFERENCES currencies(code),
    constraint refunds_reason_fkey FOREIGN KEY (reason) REFERENCES refund_reasons(reason),
    constraint ended_refund_is_not_checked CHECK (next_check_at IS NULL OR (status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text, 'succeeded'::text]))),
    constraint refund_gives_money_back CHECK (amount > 0 AND fee_amount >= 0 AND loss_amount >= 0 AND loss_amount <= (amount + fee_amount)),
    constraint refund_is_looked_at_thrice CHECK (looks >= 0 AND looks <= 3),
    constraint refund_key_has_a_length CHECK (length(idempotency_key) >= 1 AND length(idempotency_key) <= 255),
    constraint refund_note_has_a_length CHECK (length(note) >= 1 AND length(note) <= 1000),
    constraint refund_status_is_known CHECK (status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text])),
    constraint refund_that_succeeded_says_when CHECK (status <> 'succeeded'::text OR succeeded_at IS NOT NULL),
    constraint refund_type_is_known CHECK (type = ANY (ARRAY['full'::text, 'partial'::text, 'cancellation'::text]))
);
comment on table refunds is 'Money on its way back to the payer. Its id is the gateway''s idempotency key and its reference to us.';
comment on column refunds.requested_by is 'user:<id>, service; system for money that nobody asked for; gateway for a refund that was made there.';
comment on column refunds.request is 'What was asked for, to tell a repetition from another request.';
comment on column refunds.type is 'full: all that was captured; partial: less; cancellation: all that is left, since the order is off.';
comment on column refunds.amount is 'What the payer gets back, in minor units.';
comment on column refunds.fee_amount is 'What the organisation keeps by its policy; it is taken from the payment with the amount.';
comment on column refunds.loss_amount is 'The part of the two whose credits could not be taken back: an expense.';
comment on column refunds.status is 'created: reserved, and the gateway may not have been asked yet; unknown: it was asked and gave no answer.';
comment on column refunds.is_late is 'It was given up here, and the gateway had made it after all.';
comment on column refunds.succeeded_at is 'When the gateway sent the money; kept if that came back.';
comment on column refunds.checks is 'How often the gateway was asked since it was opened, sent or last looked at.';
comment on column refunds.looks is 'How many of the questions what became of it, after it had succeeded, the gateway has answered.';
comment on column refunds.next_check_at is 'When the gateway is asked what became of it; null when it has ended, or a person must look. One that succeeded is looked at again, for banks send money back and the message of that may be lost.';
comment on column refunds.hinted_at is 'For when a hint last brought the next question forward: five minutes pass before another one does.';
CREATE INDEX refunds_by_attempt ON public.refunds USING btree (payment_attempt_id);
CREATE INDEX refunds_by_intent ON public.refunds USING btree (payment_intent_id);
CREATE INDEX refunds_by_organization ON public.refunds USING btree (organization_id, created_at);
CREATE INDEX refunds_to_check ON public.refunds USING btree (next_check_at) WHERE (next_check_at IS NOT NULL);
CREATE UNIQUE INDEX gateway_refund_is_one_refund ON public.refunds USING btree (gateway_refund_id, gateway, gateway_account, livemode) WHERE (gateway_refund_id IS NOT NULL);
comment on index refunds_to_check is 'Queue of check_refunds.';
CREATE TRIGGER refund_takes_legal_steps BEFORE UPDATE OF status ON refunds FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION check_step('refund_steps');
CREATE TRIGGER refund_updated_at BEFORE UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on refunds to munim_hasura;

create table refused_messages (
    day date not null,
    gateway text not null,
    livemode boolean not null,
    reason text not null,
    messages bigint not null,
    last_body_hash text,
    last_at timestamp with time zone not null,
    created_at timestamp with time zone not null default clock_now(),
    constraint refused_messages_pkey PRIMARY KEY (day, gateway, reason, livemode),
    constraint refused_body_hash_is_one CHECK (last_body_hash ~ '^[0-9a-f]{64}$'::text),
    constraint refused_message_reason_is_known CHECK (reason = ANY (ARRAY['signature-invalid'::text, 'stale'::text, 'invalid-input'::text, 'payload-too-large'::text, 'forbidden'::text, 'not-found'::text, 'unsigned'::text])),
    constraint refused_messages_are_counted CHECK (messages > 0),
    constraint refused_messages_have_a_gateway CHECK (gateway ~ '^[a-z][a-z0-9_]{0,31}$'::text)
);
comment on table refused_messages is 'Webhooks that were refused, or heard and not kept, counted by day, gateway and reason: a few rows a day, however many come. Of refusals about so many: a process writes once a minute what it refused, and what it has not written when it ends is lost.';
comment on column refused_messages.day is 'When it was written down, in UTC.';
comment on column refused_messages.reason is 'A code of docs/errors.md; stale is a signature-invalid of which the signature is right and the time wrong, unsigned a hint that its gateway does not sign: see hear_hint.';
comment on column refused_messages.last_body_hash is 'SHA-256 of the newest body, in hexadecimal: the same one again is somebody who repeats. Null where it was too long to be read.';
grant select on refused_messages to munim_hasura;

create table retention_marks (
    kind text not null,
    livemode boolean not null,
    forgotten_until timestamp with time zone not null,
    constraint retention_marks_pkey PRIMARY KEY (kind, livemode)
);
comment on table retention_marks is 'Up to when messages of a kind have been forgotten.';
grant select on retention_marks to munim_hasura;

create table system_settings (
    organization_id uuid not null,
    key text not null,
    value text not null,
    updated_at timestamp with time zone not null default clock_now(),
    constraint system_settings_pkey PRIMARY KEY (organization_id, key),
    constraint system_settings_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id)
);
comment on table system_settings is 'Settings by name. credit_rate_<currency>: how many credits one major unit of money buys; each value becomes a dated row of credit_rates.';
CREATE TRIGGER system_setting_dates_credit_rate AFTER INSERT OR DELETE OR UPDATE ON system_settings FOR EACH ROW EXECUTE FUNCTION keep_credit_rate();
CREATE TRIGGER system_setting_updated_at BEFORE UPDATE ON system_settings FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
grant select on system_settings to munim_hasura;

create view tcs.clients as
 SELECT customers.id,
    customers.organization_id,
    customers.livemode,
    customers.stripe_customer_id,
    customers.email,
    credit_wallets.balance AS credits_balance
   FROM customers
     JOIN credit_wallets ON credit_wallets.customer_id = customers.id;
comment on view tcs.clients is 'Customers, with their balance beside them.';
grant select on tcs.clients to munim_hasura;

create view tcs.payment_methods as
 SELECT DISTINCT ON (payment_methods.customer_id) payment_methods.id AS uuid,
    payment_methods.organization_id,
    payment_methods.livemode,
    payment_methods.customer_id AS user_id,
    payment_methods.type,
    autopay_mandates.amount::numeric AS auto_pay_amount,
    autopay_mandates.day_of_month::integer AS auto_pay_day,
    COALESCE(autopay_mandates.status = 'active'::text, false) AS auto_pay_enabled,
    payment_methods.gateway_payment_method_id AS stripe_payment_method_id
   FROM payment_methods
     LEFT JOIN autopay_mandates ON autopay_mandates.payment_method_id = payment_methods.id AND (autopay_mandates.status = ANY (ARRAY['active'::text, 'paused'::text]))
  ORDER BY payment_methods.customer_id, autopay_mandates.status, autopay_mandates.consented_at DESC, payment_methods.created_at DESC, payment_methods.id;
comment on view tcs.payment_methods is 'One row a client, as there: the payment method that autopay charges, else the one saved last.';
grant select on tcs.payment_methods to munim_hasura;

create view tcs.transactions as
 SELECT credit_purchases.id,
    credit_purchases.organization_id,
    credit_purchases.livemode,
    credit_purchases.customer_id AS user_id,
    credit_purchases.amount,
    credit_purchases.credits_amount,
    payment_attempts.gateway_payment_id AS stripe_payment_intent_id,
    checkout_sessions.gateway_session_id AS checkout_session_id,
    payment_intents.purpose AS type,
    payment_intents.status,
    credit_purchases.currency,
    payment_attempts.receipt_url,
    credit_purchases.created_at,
    payment_attempts.updated_at
   FROM credit_purchases
     JOIN payment_intents ON payment_intents.id = credit_purchases.payment_intent_id
     LEFT JOIN LATERAL attempt_that_counts(payment_intents.id) payment_attempts(id, organization_id, livemode, payment_intent_id, payment_method_id, gateway, gateway_account, amount, amount_to_capture, amount_captured, amount_refunded, currency, status, is_surplus, is_in_suspense, gateway_payment_id, failure_code, failure_message, decline_class, declined_at, receipt_url, captured_at, checks, next_check_at, returned_at, receipt_asked_at, created_at, updated_at) ON true
     LEFT JOIN checkout_sessions ON checkout_sessions.payment_attempt_id = payment_attempts.id;
comment on view tcs.transactions is 'Credit purchases, one row each, with their payment''s state beside them: that of the try that paid, else of the newest.';
grant select on tcs.transactions to munim_hasura;

CREATE OR REPLACE FUNCTION public.acting_attempt(p_session json, p_payment_attempt_id uuid)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    perform require_service(p_session);
    perform require_read_committed();

    select * into v_intent
    from payment_intents
    where id = (select payment_intent_id from payment_attempts where id = p_payment_attempt_id)
    for no key update;
    perform require_access(
        p_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );
    -- A login that names no role is a customer's.
    if p_session ->> 'x-hasura-actor-role' is null and p_session ->> 'x-hasura-user-id' is not null
        and (acting_customer(p_session)).id is distinct from v_intent.customer_id
    then
        raise exception 'not-found: no payment attempt % of this customer', p_payment_attempt_id
            using errcode = '22B04';
    end if;

    select * into strict v_attempt
    from payment_attempts where id = p_payment_attempt_id for no key update;
    return v_attempt;
end;
$function$;
comment on function acting_attempt(json,uuid) is 'Locks an attempt that the session may see, its intent first.';

CREATE OR REPLACE FUNCTION public.acting_customer(p_session json)
 RETURNS customers
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function acting_customer(json) is 'The one active customer that a session speaks for. Two candidates are as wrong as none.';

CREATE OR REPLACE FUNCTION public.acting_mandate(p_session json, p_autopay_mandate_id uuid)
 RETURNS autopay_mandates
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function acting_mandate(json,uuid) is 'Locks a mandate that the session may act on.';

CREATE OR REPLACE FUNCTION public.acting_member(p_session json, p_roles text[])
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_user_id text;
begin
    perform require_actor_role(p_session, p_roles);
    -- Shared, so that whoever is suspended at this moment is so before this, or after it.
    select user_id into v_user_id
    from organization_members
    where user_id = p_session ->> 'x-hasura-user-id'
        and organization_id::text = p_session ->> 'x-hasura-organization-id'
        and status = 'active' and role = any(p_roles)
    for share;
    if v_user_id is null then
        raise exception 'forbidden: only who is % of this organisation at present may do this',
            array_to_string(p_roles, ' or ')
            using errcode = '22B03';
    end if;
    return v_user_id;
end;
$function$;
comment on function acting_member(json,text[]) is 'The person who acts, by their session''s word and by our own list; refuses anybody else.';

CREATE OR REPLACE FUNCTION public.acting_principal(p_session json)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(('user:'::text || (p_session ->> 'x-hasura-user-id'::text)), 'service'::text) AS "coalesce";
END;
comment on function acting_principal(json) is 'In whose name a request comes; keys are this one''s own.';

CREATE OR REPLACE FUNCTION public.activate_autopay_mandate(p_mandate autopay_mandates, p_payment_method_id uuid, p_consented_at timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function activate_autopay_mandate(autopay_mandates,uuid,timestamp with time zone) is 'The method is saved: the mandate runs, in the place of the customer''s former one.';

CREATE OR REPLACE FUNCTION public.add_bank_account(hasura_session json, p_holder_name text, p_bank_name text, p_account_number text, p_ifsc text)
 RETURNS SETOF bank_accounts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function add_bank_account(json,text,text,text,text) is 'Enters an account that another person then opens. Entered again: the account that is there.';
grant execute on function add_bank_account(json,text,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.adopt_refund(p_event gateway_events, p_attempt payment_attempts)
 RETURNS refunds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
begin
    v_refund.idempotency_key := format(
        'gateway:%s:%s', p_event.gateway, p_event.notice ->> 'gateway_refund_id'
    );
    v_refund.requested_by := 'gateway';
    v_refund.reason := 'other';
    v_refund.note := 'made at the gateway';
    v_refund.amount := (p_event.notice ->> 'amount')::bigint;
    v_refund.fee_amount := 0;
    v_refund.type := case
        when v_refund.amount = p_attempt.amount_captured then 'full' else 'partial'
    end;
    return write_refund(p_attempt, v_refund, true);
end;
$function$;
comment on function adopt_refund(gateway_events,payment_attempts) is 'A refund that was made at the gateway itself: the money is gone, so what is left of its credits is taken, and the rest is a loss. It is booked with its first step: see refund_postings.';

CREATE OR REPLACE FUNCTION public.advance_autopay_charge(p_payment_attempt_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_charge autopay_charges;
begin
    select * into strict v_attempt from payment_attempts where id = p_payment_attempt_id;
    select * into v_charge
    from autopay_charges where payment_intent_id = v_attempt.payment_intent_id;
    if v_charge.id is null then
        return;
    end if;
    perform from autopay_mandates where id = v_charge.autopay_mandate_id for no key update;
    select * into strict v_charge from autopay_charges where id = v_charge.id for no key update;

    if v_attempt.status = 'captured' and not v_attempt.is_surplus then
        perform finish_autopay_charge(v_charge);
    elsif v_attempt.status in ('captured', 'failed', 'expired', 'canceled') then
        if v_charge.status = 'charging' and not has_open_attempt(v_attempt.payment_intent_id) then
            perform decline_autopay_charge(v_charge, v_attempt);
        end if;
    elsif v_charge.status in ('due', 'claimed') then
        update autopay_charges
        set status = 'charging', next_try_at = null, lease_until = null
        where id = v_charge.id;
    end if;
end;
$function$;
comment on function advance_autopay_charge(uuid) is 'Tells a charge what became of an attempt of its payment. Called by settle_payment_attempt, after everything else; nothing happens where the payment is no charge''s.';

CREATE OR REPLACE FUNCTION public.after_autopay_tries(p_mandate autopay_mandates)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT GREATEST(clock_now(), max(autopay_charges.last_try_at)) AS "greatest"
    FROM autopay_charges
   WHERE (autopay_charges.autopay_mandate_id = (after_autopay_tries.p_mandate).id);
END;
comment on function after_autopay_tries(autopay_mandates) is 'Now, or the last try''s time where that transaction began later and yet came first.';

CREATE OR REPLACE FUNCTION public.amount_captured_by(p_attempt payment_attempts, p_finding jsonb)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT COALESCE(((p_finding ->> 'captured_amount'::text))::bigint, (p_attempt).amount_to_capture, (p_attempt).amount) AS "coalesce";
END;
comment on function amount_captured_by(payment_attempts,jsonb) is 'How much of an attempt a gateway took, by a finding that says paid: where it does not tell, what it was told to take.';

CREATE OR REPLACE FUNCTION public.amount_held_by_receipts(p_payment_intent_id uuid)
 RETURNS bigint
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (COALESCE(sum((bank_transfers.amount - bank_transfers.amount_used)), (0)::numeric))::bigint AS "coalesce"
    FROM bank_transfers
   WHERE ((bank_transfers.payment_intent_id = amount_held_by_receipts.p_payment_intent_id) AND (bank_transfers.status = 'approved'::text) AND (bank_transfers.match_checked_by IS NOT NULL) AND (bank_transfers.amount_used < bank_transfers.amount));
END;
comment on function amount_held_by_receipts(uuid) is 'What has come for a payment by bank transfer and is not used yet, in minor units.';

CREATE OR REPLACE FUNCTION public.amount_taken(p_notice jsonb)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT COALESCE(((p_notice ->> 'captured_amount'::text))::bigint, ((p_notice ->> 'amount'::text))::bigint) AS "coalesce";
END;
comment on function amount_taken(jsonb) is 'How much the gateway took, by a message that says paid.';

CREATE OR REPLACE FUNCTION public.announce_expiring_credits(hasura_session json, p_limit integer)
 RETURNS SETOF credit_lots
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_lot credit_lots;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    for v_lot in
        update credit_lots
        set expiry_announced_at = clock_now(), announce_at = null
        where id = any(array(
            select id
            from credit_lots
            where remaining > held and announce_at <= clock_now() and expires_at > clock_now()
                and livemode::text = hasura_session ->> 'x-hasura-livemode'
            order by announce_at, id
            limit p_limit
            for no key update skip locked
        ))
        returning *
    loop
        perform record_event(
            v_lot.organization_id, v_lot.livemode, 'credits.expiring', 'credit_lot', v_lot.id,
            jsonb_build_object(
                'credit_lot_id', v_lot.id, 'customer_id', v_lot.customer_id,
                'credits_amount', v_lot.remaining - v_lot.held, 'expires_at', v_lot.expires_at
            )
        );
        return next v_lot;
    end loop;
end;
$function$;
comment on function announce_expiring_credits(json,integer) is 'Says once of each lot, seven days before, that what is left of it will expire.';
grant execute on function announce_expiring_credits(json,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.apply_dispute_notice(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts := attempt_of_notice(p_event);
    v_dispute disputes;
    v_reason text;
begin
    if p_event.notice ->> 'outcome' = 'unreadable' then
        perform park_gateway_event(
            p_event, v_attempt, 'unreadable-dispute', coalesce(
                p_event.notice ->> 'gateway_dispute_id', p_event.notice ->> 'failure_message'
            )
        );
        return;
    end if;
    if v_attempt.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-dispute', 'no such payment');
        return;
    end if;

    -- Lock order: intent, attempt, dispute, lot of credits, ledger accounts by id.
    perform from payment_intents where id = v_attempt.payment_intent_id for no key update;
    select * into strict v_attempt
    from payment_attempts where id = v_attempt.id for no key update;
    perform require_capture(v_attempt);

    v_dispute := dispute_of_notice(p_event);
    v_reason := mismatch_of_dispute(p_event, v_attempt, v_dispute);
    if v_reason is not null then
        perform park_gateway_event(
            p_event, v_attempt, split_part(v_reason, ': ', 1), split_part(v_reason, ': ', 2)
        );
        return;
    end if;

    v_reason := settle_dispute(p_event, v_attempt, v_dispute);
    perform note_gateway_event(
        p_event.id, case when v_reason is null then 'applied' else 'ignored' end, v_attempt,
        v_reason
    );
    perform resolve_exception('unconfirmed-dispute', 'payment_attempt', v_attempt.id);
    perform forget_unreadable_dispute(p_event, v_attempt);
end;
$function$;
comment on function apply_dispute_notice(gateway_events) is 'Matches a message to its dispute, compares, and acts.';

CREATE OR REPLACE FUNCTION public.apply_due_gateway_event(hasura_session json)
 RETURNS SETOF gateway_events
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    -- One message a transaction: two would take the locks of the second after those of the first.
    select id into v_id
    from gateway_events
    where status = 'received' and next_try_at <= clock_now()
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
    order by next_try_at
    limit 1
    for update skip locked;

    perform try_gateway_event(v_id) where v_id is not null;
    return query select * from gateway_events where id = v_id;
end;
$function$;
comment on function apply_due_gateway_event(json) is 'The sweep: applies one message that is due, and answers it; no row when nothing is due.';
grant execute on function apply_due_gateway_event(json) to munim_hasura;

CREATE OR REPLACE FUNCTION public.apply_gateway_event(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_event.notice ->> 'outcome' = 'unknown' then
        perform note_gateway_event(
            p_event.id, 'ignored', attempt_of_notice(p_event), 'a type without effect'
        );
        return;
    end if;
    if p_event.notice ->> 'outcome' = 'hint' then
        perform apply_hint(p_event);
        return;
    end if;
    case coalesce(p_event.notice ->> 'subject', 'payment')
        when 'payment' then perform apply_payment_notice(p_event);
        when 'refund' then perform apply_refund_notice(p_event);
        when 'dispute' then perform apply_dispute_notice(p_event);
        when 'setup' then perform apply_setup_notice(p_event);
    end case;
end;
$function$;
comment on function apply_gateway_event(gateway_events) is 'Hands a message to what it is about.';

CREATE OR REPLACE FUNCTION public.apply_gateway_events_again(hasura_session json, p_gateway_event_id uuid DEFAULT NULL::uuid)
 RETURNS SETOF gateway_events
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_ids := array(
        select id
        from gateway_events
        where status = 'parked' and livemode::text = hasura_session ->> 'x-hasura-livemode'
            and id = any(array(
                select object_id from exceptions
                where object_type = 'gateway_event' and resolved_at is null
                    and (class = 'event-not-applied' or object_id = p_gateway_event_id)
            ))
            and id = coalesce(p_gateway_event_id, id)
        order by id
        for update skip locked
    );
    update exceptions set resolved_at = clock_now()
    where object_type = 'gateway_event' and object_id = any(v_ids) and resolved_at is null;
    return query
    update gateway_events
    set status = 'received', reason = null, tries = 0, next_try_at = clock_now()
    where id = any(v_ids)
    returning *;
end;
$function$;
comment on function apply_gateway_events_again(json,uuid) is 'Has parked messages tried once more, from the beginning, when what kept them from being applied is mended: one that is listed, for whatever reason, or all that could not be applied. What still does not fit is parked and listed again; nothing is applied twice.';
grant execute on function apply_gateway_events_again(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.apply_hint(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_subject constant text := p_event.notice ->> 'subject';
    v_attempt constant payment_attempts := attempt_of_notice(p_event);
    v_is_new boolean;
begin
    if v_subject = 'payment' and v_attempt.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-payment', 'no such attempt');
        return;
    end if;

    v_is_new := case v_subject
        when 'payment' then ask_payment_now(v_attempt)
        else follow_hint(p_event, v_attempt)
    end;
    perform note_gateway_event(
        p_event.id, 'ignored', v_attempt,
        case when v_is_new then 'a hint that is followed' else 'a hint without effect' end
    );
end;
$function$;
comment on function apply_hint(gateway_events) is 'Books nothing of a message that proves nothing: it has its gateway asked, and that answer counts.';

CREATE OR REPLACE FUNCTION public.apply_payment_notice(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts := attempt_of_notice(p_event);
    v_reason text;
begin
    if v_attempt.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-payment', 'no such attempt');
        return;
    end if;

    -- Lock order: intent, attempt, ledger accounts by id.
    perform from payment_intents where id = v_attempt.payment_intent_id for no key update;
    select * into strict v_attempt
    from payment_attempts where id = v_attempt.id for no key update;

    if is_end_of_other_payment(p_event, v_attempt) then
        perform forget_held_payment(p_event, v_attempt);
        return;
    end if;
    v_reason := mismatch_of_notice(p_event, v_attempt);
    if v_reason is not null then
        perform keep_other_payment(
            p_event, v_attempt, split_part(v_reason, ': ', 1), split_part(v_reason, ': ', 2)
        );
        return;
    end if;

    v_reason := settle_payment_attempt(v_attempt, p_event.notice, p_event.occurred_at);
    perform note_gateway_event(
        p_event.id, case when v_reason is null then 'applied' else 'ignored' end, v_attempt,
        v_reason
    );
end;
$function$;
comment on function apply_payment_notice(gateway_events) is 'Matches a message to its attempt, compares, and acts.';

CREATE OR REPLACE FUNCTION public.apply_refund_notice(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_refund refunds;
    v_reason text;
begin
    select payment_attempts.* into v_attempt
    from payment_attempts
    inner join refunds on refunds.payment_attempt_id = payment_attempts.id
    where refunds.id = (p_event.notice ->> 'refund_id')::uuid;
    if v_attempt.id is null then
        v_attempt := attempt_of_notice(p_event);
    end if;

    -- Lock order: intent, attempt, refund, lot of credits, ledger accounts by id.
    perform from payment_intents where id = v_attempt.payment_intent_id for no key update;
    select * into v_attempt from payment_attempts where id = v_attempt.id for no key update;
    v_refund := refund_of_notice(p_event);

    if v_refund.id is null and v_attempt.id is not null then
        if is_of_other_payment(p_event, v_attempt) then
            perform keep_refund_of_other_payment(p_event, v_attempt);
            return;
        end if;
        perform require_capture(v_attempt);
    end if;
    if v_refund.id is null and is_made_at_gateway(p_event, v_attempt) then
        v_attempt := payer_of_refund(p_event, v_attempt);
        v_refund := adopt_refund(p_event, v_attempt);
    end if;
    if v_refund.id is null then
        perform park_gateway_event(p_event, v_attempt, 'unmatched-refund', 'no such refund');
        return;
    end if;
    v_reason := mismatch_of_refund(p_event, v_refund);
    if v_reason is not null then
        perform park_gateway_event(
            p_event, v_attempt, split_part(v_reason, ': ', 1), split_part(v_reason, ': ', 2)
        );
        return;
    end if;

    v_reason := settle_refund(v_refund, p_event.notice, p_event.occurred_at);
    perform search_refunds(v_attempt) where is_refused_refund(p_event, v_refund);
    perform note_gateway_event(
        p_event.id, case when v_reason is null then 'applied' else 'ignored' end, v_attempt,
        v_reason
    );
end;
$function$;
comment on function apply_refund_notice(gateway_events) is 'Matches a message to its refund, compares, and acts.';

CREATE OR REPLACE FUNCTION public.apply_setup_notice(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function apply_setup_notice(gateway_events) is 'Matches a message about saving a method to its mandate, and acts.';

CREATE OR REPLACE FUNCTION public.approve_bank_account(hasura_session json, p_bank_account_id uuid)
 RETURNS SETOF bank_accounts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function approve_bank_account(json,uuid) is 'The second person''s word: payers are shown this account from now on, instead of the one before.';
grant execute on function approve_bank_account(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.approve_bank_transfer(hasura_session json, p_bank_transfer_id uuid)
 RETURNS SETOF bank_transfers
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_transfer bank_transfers;
begin
    perform require_read_committed();
    v_transfer := lock_bank_transfer(hasura_session, p_bank_transfer_id);
    if not is_decided(v_transfer) then
        -- The bank may have taken it back since somebody named an order for it.
        if v_transfer.status in ('rejected', 'returned') then
            perform require_undecided('transfer', v_transfer.status, 'entered');
        end if;
        if v_transfer.status = 'entered' then
            perform require_second_person(
                v_transfer.organization_id, v_transfer.made_by, v_user_id
            );
        end if;
        if v_transfer.payment_intent_id is not null then
            perform require_second_person(
                v_transfer.organization_id, v_transfer.matched_by, v_user_id
            );
        end if;
        perform carry_out_bank_transfer(v_transfer, v_user_id);
    end if;
    return query select * from bank_transfers where id = v_transfer.id;
end;
$function$;
comment on function approve_bank_transfer(json,uuid) is 'The second person''s word on what was entered, or on which order it pays: it is booked, once. Approved again: the same transfer, and nothing more.';
grant execute on function approve_bank_transfer(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.are_ledger_facts_new(p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[])
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT ((NOT (EXISTS ( SELECT
            FROM ledger_transactions
           WHERE ((ledger_transactions.key = ANY (ARRAY( SELECT posting.key
                    FROM unnest(are_ledger_facts_new.p_postings) posting(key, kind, reference_type, reference_id, occurred_at, debit_account_id, credit_account_id, amount)))) AND (ledger_transactions.organization_id = are_ledger_facts_new.p_organization_id) AND (ledger_transactions.livemode = are_ledger_facts_new.p_livemode))))) AND (cardinality(p_postings) = ( SELECT count(DISTINCT posting.key) AS count
            FROM unnest(are_ledger_facts_new.p_postings) posting(key, kind, reference_type, reference_id, occurred_at, debit_account_id, credit_account_id, amount))));
END;
comment on function are_ledger_facts_new(uuid,boolean,ledger_posting[]) is 'Whether no key is booked or comes twice. Asked with the accounts locked: who booked one had them.';

CREATE OR REPLACE FUNCTION public.ask_about_disputes_soon(p_gateway text, p_livemode boolean)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 UPDATE dispute_polls SET due_at = LEAST(dispute_polls.due_at, (dispute_polls.begun_at + '00:05:00'::interval))
   WHERE ((dispute_polls.gateway = ask_about_disputes_soon.p_gateway) AND (dispute_polls.livemode = ask_about_disputes_soon.p_livemode) AND (dispute_polls.due_at > (dispute_polls.begun_at + '00:05:00'::interval)));
END;
comment on function ask_about_disputes_soon(text,boolean) is 'Has check_disputes ask a gateway at its next tick, or five minutes after it was last asked.';

CREATE OR REPLACE FUNCTION public.ask_autopay_payer(p_charge autopay_charges, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update autopay_charges
    set
        status = 'action_required', reason = p_reason, lease_until = null,
        next_try_at = clock_now() + autopay_settings.action_days * interval '1 day'
    from autopay_settings
    where autopay_charges.id = p_charge.id
        and autopay_settings.organization_id = p_charge.organization_id
    returning autopay_charges.* into strict p_charge;
    perform tell_of_autopay_charge(p_charge, 'autopay.action_required');
end;
$function$;
comment on function ask_autopay_payer(autopay_charges,text) is 'Only the payer can finish it: they are told, and find the page with payAutopayCharge.';

CREATE OR REPLACE FUNCTION public.ask_dispute_soon(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_status text;
begin
    select status into v_status
    from disputes
    where gateway_dispute_id = p_event.notice ->> 'gateway_dispute_id'
        and gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode;
    if p_attempt.status is distinct from 'captured' or v_status in ('won', 'lost') then
        return false;
    end if;

    perform ask_about_disputes_soon(p_event.gateway, p_event.livemode);
    if v_status is not null then
        return true;
    end if;
    -- A line for each payment, however many disputes of it anybody makes up.
    perform record_exception(
        p_attempt.organization_id, p_attempt.livemode, 'unconfirmed-dispute', 'payment_attempt',
        p_attempt.id, p_attempt.amount_captured, p_attempt.currency,
        format(
            'somebody says as %s that %s is disputed, as %s: look whether it is',
            p_event.gateway, p_attempt.gateway_payment_id,
            left(p_event.notice ->> 'gateway_dispute_id', 40)
        )
    );
    return true;
end;
$function$;
comment on function ask_dispute_soon(gateway_events,payment_attempts) is 'Has the gateway asked soon about a dispute that nobody vouches for, and a person to look for one that is not known, until the gateway tells of it; false where it is decided, or the payment is none that can be disputed.';

CREATE OR REPLACE FUNCTION public.ask_payment_now(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    -- Of one that is captured there is the rest of its page to ask about, and its time comes by
    -- itself when the page closes: who asked before would believe that nothing follows. Whoever
    -- asks at this moment may have missed what the hint is about.
    update payment_attempts
    set next_check_at = least(next_check_at, clock_now())
    where id = p_attempt.id
        and (
            status <> 'captured'
            or (
                page_check_at(payment_attempts) is not null
                and (next_check_at is null or exists (
                    select from checkout_sessions
                    where payment_attempt_id = payment_attempts.id
                        and page_is_left_at(expires_at) <= clock_now()
                ))
            )
        );
    return found;
end;
$function$;
comment on function ask_payment_now(payment_attempts) is 'Brings the next question about an attempt forward to now; false where there is nothing to ask about.';

CREATE OR REPLACE FUNCTION public.ask_payments_again(hasura_session json, p_payment_attempt_ids jsonb)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    v_ids constant uuid[] := array(
        select value::uuid from jsonb_array_elements_text(p_payment_attempt_ids)
    );
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set checks = checks - 1, next_check_at = clock_now() + interval '30 minutes'
    where id in (
        select id
        from payment_attempts
        where id = any(v_ids)
            and next_check_at > clock_now() + interval '30 minutes'
            and checks > 0
            and greatest(created_at, captured_at) > clock_now() - interval '7 days'
        order by id
        for no key update
    )
    returning *;
end;
$function$;
comment on function ask_payments_again(json,jsonb) is 'The gateway gave no answer to questions: they were none of those that count, and are asked again within half an hour; after a week as the schedule has it, so that a person hears of it at last.';
grant execute on function ask_payments_again(json,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.ask_refund_again(hasura_session json, p_refund_id uuid)
 RETURNS SETOF refunds
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update refunds
    set checks = checks - 1, next_check_at = clock_now() + interval '30 minutes'
    where id = p_refund_id
        and next_check_at > clock_now() + interval '30 minutes'
        and checks > 0
        and clock_now() - interval '7 days' < case status
            when 'succeeded' then succeeded_at + refund_look_age(looks)
            else created_at
        end
    returning *;
end;
$function$;
comment on function ask_refund_again(json,uuid) is 'The gateway gave no answer to a question about a refund: it was none of those that count, and is asked again within half an hour; after a week, of one that succeeded a week after the look was due, as the schedule has it, so that a person hears of it at last.';
grant execute on function ask_refund_again(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.ask_refund_now(p_event gateway_events)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund constant refunds := refund_of_notice(p_event);
    -- Anybody may send hints: the gateway is asked no more often than this by all of them.
    v_at constant timestamptz := case
        when v_refund.hinted_at > clock_now() then v_refund.hinted_at
        else greatest(clock_now(), v_refund.hinted_at + interval '5 minutes')
    end;
begin
    -- A question more than the schedule has is none of those that count: else whoever sends hints
    -- could use them up.
    update refunds
    set
        checks = greatest(checks - (next_check_at is not null)::integer, 0), next_check_at = v_at,
        hinted_at = v_at
    where id = v_refund.id and status in ('created', 'unknown', 'pending')
        and coalesce(next_check_at > v_at, true);
    return coalesce(v_refund.status in ('created', 'unknown', 'pending'), false);
end;
$function$;
comment on function ask_refund_now(gateway_events) is 'Brings the next question about a refund forward to now, or to five minutes after a hint last did so; false where it has ended, or is none of ours.';

CREATE OR REPLACE FUNCTION public.assign_exception(hasura_session json, p_exception_id uuid, p_user_id text, p_key text)
 RETURNS SETOF exceptions
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_exception exceptions := lock_exception(hasura_session, p_exception_id);
begin
    perform require_read_committed();
    if not (
        p_user_id is null
        or is_member(v_exception.organization_id, p_user_id, array['finance', 'owner'])
        or (
            hasura_session ->> 'x-hasura-actor-role' = 'operator'
            and hasura_session ->> 'x-hasura-user-id' = p_user_id
        )
    ) then
        raise exception 'not-found: % is no finance and no owner of this organisation', p_user_id
            using errcode = '22B04';
    end if;
    if note_exception_decision(hasura_session, v_exception, 'assigned', p_user_id, p_key) then
        update exceptions set assigned_to = p_user_id where id = p_exception_id
        returning * into strict v_exception;
    end if;
    return next v_exception;
end;
$function$;
comment on function assign_exception(json,uuid,text,text) is 'Says who looks into an exception, or with null that nobody does; an operator takes it themselves. The same key again: nothing more.';
grant execute on function assign_exception(json,uuid,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.attempt_named_in(p_notice jsonb)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((p_notice ->> 'payment_attempt_id'::text) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'::text) THEN ((p_notice ->> 'payment_attempt_id'::text))::uuid
             ELSE NULL::uuid
         END AS "case";
END;
comment on function attempt_named_in(jsonb) is 'Our own reference, where a message carries one.';

CREATE OR REPLACE FUNCTION public.attempt_of_notice(p_event gateway_events)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id constant uuid := (p_event.notice ->> 'payment_attempt_id')::uuid;
    v_attempt payment_attempts;
    v_named payment_attempts;
begin
    -- Our own reference first; the gateway's ids serve where a message does not carry it.
    select * into v_attempt
    from payment_attempts
    where id = v_id
        and gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode;

    if v_attempt.id is null then
        select payment_attempts.* into v_attempt
        from payment_attempts
        inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
        where checkout_sessions.gateway = p_event.gateway
            and payment_attempts.gateway_account = p_event.gateway_account
            and checkout_sessions.livemode = p_event.livemode
            and checkout_sessions.gateway_session_id = p_event.notice ->> 'gateway_session_id';
    end if;

    if v_attempt.id is null
        or p_event.notice ->> 'gateway_payment_id' <> coalesce(v_attempt.gateway_payment_id, '')
    then
        -- What is paid twice on one page has two attempts, and its reference is that of the first.
        select * into v_named
        from payment_attempts
        where gateway_payment_id = p_event.notice ->> 'gateway_payment_id'
            and gateway = p_event.gateway and gateway_account = p_event.gateway_account
            and livemode = p_event.livemode
            and (
                v_attempt.id is null
                or payment_intent_id = v_attempt.payment_intent_id and status = 'captured'
            );
    end if;
    return case when v_named.id is null then v_attempt else v_named end;
end;
$function$;
comment on function attempt_of_notice(gateway_events) is 'The attempt that a message is about, or a null row.';

CREATE OR REPLACE FUNCTION public.attempt_status(p_attempt payment_attempts, p_finding jsonb)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE (p_finding ->> 'outcome'::text)
             WHEN 'paid'::text THEN 'captured'::text
             WHEN 'requires_action'::text THEN
             CASE
                 WHEN (((p_attempt).status <> 'processing'::text) OR is_try_over(p_attempt, p_finding)) THEN 'pending'::text
                 ELSE 'processing'::text
             END
             WHEN 'not_found'::text THEN
             CASE
                 WHEN (not_found_is_believed_at(p_attempt) > clock_now()) THEN NULL::text
                 WHEN ((p_attempt).payment_method_id IS NULL) THEN 'expired'::text
                 ELSE 'failed'::text
             END
             ELSE (p_finding ->> 'outcome'::text)
         END AS "case";
END;
comment on function attempt_status(payment_attempts,jsonb) is 'The status that a gateway''s word leads to; null where the word settles nothing yet.';

CREATE OR REPLACE FUNCTION public.attempt_that_counts(p_payment_intent_id uuid)
 RETURNS SETOF payment_attempts
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT payment_attempts.id,
     payment_attempts.organization_id,
     payment_attempts.livemode,
     payment_attempts.payment_intent_id,
     payment_attempts.payment_method_id,
     payment_attempts.gateway,
     payment_attempts.gateway_account,
     payment_attempts.amount,
     payment_attempts.amount_to_capture,
     payment_attempts.amount_captured,
     payment_attempts.amount_refunded,
     payment_attempts.currency,
     payment_attempts.status,
     payment_attempts.is_surplus,
     payment_attempts.is_in_suspense,
     payment_attempts.gateway_payment_id,
     payment_attempts.failure_code,
     payment_attempts.failure_message,
     payment_attempts.decline_class,
     payment_attempts.declined_at,
     payment_attempts.receipt_url,
     payment_attempts.captured_at,
     payment_attempts.checks,
     payment_attempts.next_check_at,
     payment_attempts.returned_at,
     payment_attempts.receipt_asked_at,
     payment_attempts.created_at,
     payment_attempts.updated_at
    FROM payment_attempts
   WHERE (payment_attempts.payment_intent_id = attempt_that_counts.p_payment_intent_id)
   ORDER BY payment_attempts.is_in_suspense, (payment_attempts.status = 'captured'::text) DESC, payment_attempts.is_surplus, payment_attempts.created_at DESC, payment_attempts.id
  LIMIT 1;
END;
comment on function attempt_that_counts(uuid) is 'Of the tries at a payment the one that tells how it stands: that which paid, else the newest. No row where there is none. Views join it lateral; Postgres plans it as if it were written there.';
grant execute on function attempt_that_counts(uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.autopay_facts(p_charge autopay_charges)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('autopay_charge_id', (p_charge).id, 'autopay_mandate_id', (p_charge).autopay_mandate_id, 'customer_id', (p_charge).customer_id, 'payment_intent_id', (p_charge).payment_intent_id, 'period', (p_charge).period, 'due_on', (p_charge).due_on, 'due_at', (p_charge).due_at, 'amount', (p_charge).amount, 'currency', (p_charge).currency, 'tries', (p_charge).tries, 'next_try_at', (p_charge).next_try_at, 'reason', (p_charge).reason) AS jsonb_build_object;
END;
comment on function autopay_facts(autopay_charges) is 'What an event about a charge tells.';

CREATE OR REPLACE FUNCTION public.autopay_intent(p_charge autopay_charges)
 RETURNS payment_intents
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_customer customers;
begin
    select * into v_intent from payment_intents where id = p_charge.payment_intent_id;
    if v_intent.id is not null then
        return v_intent;  -- another try of the same purchase, at the rate of the first
    end if;

    select * into strict v_customer from customers where id = p_charge.customer_id;
    perform check_payment_amount(v_customer.organization_id, p_charge.amount, p_charge.currency);
    return write_credit_purchase(
        v_customer, p_charge.id::text, 'autopay', p_charge.amount, p_charge.currency
    );
end;
$function$;
comment on function autopay_intent(autopay_charges) is 'What is owed for a charge: a purchase of credits, at the rate of the moment it is first tried.';

CREATE OR REPLACE FUNCTION public.autopay_obstacle(p_charge autopay_charges)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN (autopay_mandates.status <> 'active'::text) THEN autopay_mandates.status
             WHEN (customers.status <> 'active'::text) THEN ('customer-'::text || customers.status)
             WHEN (((autopay_obstacle.p_charge).amount > autopay_mandates.amount) OR ((autopay_obstacle.p_charge).currency <> autopay_mandates.currency)) THEN 'amount-not-agreed-to'::text
             WHEN ((autopay_obstacle.p_charge).tries > cardinality(autopay_settings.retry_days)) THEN 'tries-used-up'::text
             WHEN ((autopay_obstacle.p_charge).next_try_at < (clock_now() - ((autopay_settings.catch_up_days)::double precision * '1 day'::interval))) THEN 'missed'::text
             WHEN (EXISTS ( SELECT
                FROM autopay_charges other
               WHERE ((other.customer_id = (autopay_obstacle.p_charge).customer_id) AND (other.period = (autopay_obstacle.p_charge).period) AND (other.currency = (autopay_obstacle.p_charge).currency) AND (other.id <> (autopay_obstacle.p_charge).id) AND (other.status = ANY (ARRAY['charging'::text, 'action_required'::text, 'succeeded'::text]))))) THEN 'paid-already'::text
             WHEN (( SELECT count(*) AS count
                FROM autopay_charges other
               WHERE ((other.customer_id = (autopay_obstacle.p_charge).customer_id) AND (other.id <> (autopay_obstacle.p_charge).id) AND (other.last_try_at > (clock_now() - '24:00:00'::interval)))) >= autopay_settings.daily_tries_max) THEN 'too-many-tries'::text
             ELSE NULL::text
         END AS "case"
    FROM ((autopay_mandates
      JOIN customers ON ((customers.id = autopay_mandates.customer_id)))
      JOIN autopay_settings ON ((autopay_settings.organization_id = autopay_mandates.organization_id)))
   WHERE (autopay_mandates.id = (autopay_obstacle.p_charge).autopay_mandate_id);
END;
comment on function autopay_obstacle(autopay_charges) is 'Why a charge must not begin now though it was due when it was claimed; null when it may.';

CREATE OR REPLACE FUNCTION public.autopay_rule(p_currency text, p_on date)
 RETURNS autopay_rules
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT autopay_rules.*::autopay_rules AS autopay_rules
    FROM autopay_rules
   WHERE ((autopay_rules.currency = autopay_rule.p_currency) AND (autopay_rules.valid_from <= autopay_rule.p_on))
   ORDER BY autopay_rules.valid_from DESC
  LIMIT 1;
END;
comment on function autopay_rule(text,date) is 'The rule in force for a currency on a date, or null.';

CREATE OR REPLACE FUNCTION public.bank_ledger_account(p_transfer bank_transfers, p_reference_id uuid)
 RETURNS uuid
 LANGUAGE sql
BEGIN ATOMIC
 SELECT ledger_account((p_transfer).organization_id, (p_transfer).livemode, ('bank:'::text || (p_transfer).bank_account_id), 'asset'::text, (p_transfer).currency, p_reference_id) AS ledger_account;
END;
comment on function bank_ledger_account(bank_transfers,uuid) is 'The money that is at the bank.';

CREATE OR REPLACE FUNCTION public.bank_loss_posting(p_transfer bank_transfers, p_lost bigint)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_lost = 0 then
        return null;
    end if;
    return ledger_movement(
        bank_money_fact(p_transfer), 'loss',
        ledger_account(
            p_transfer.organization_id, p_transfer.livemode, 'bank_losses', 'expense',
            p_transfer.currency, p_transfer.id
        ),
        bank_ledger_account(p_transfer, p_transfer.id), p_lost
    );
end;
$function$;
comment on function bank_loss_posting(bank_transfers,bigint) is 'What was paid back of money that the bank took back too. Null where that is nothing.';

CREATE OR REPLACE FUNCTION public.bank_money_fact(p_transfer bank_transfers)
 RETURNS ledger_posting
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT ROW(format('bank-%s:%s'::text, (p_transfer).kind, (p_transfer).id), ('bank_'::text || (p_transfer).kind), 'bank_transfer'::text, (p_transfer).id, moment_of_bank_transfer(p_transfer), NULL::uuid, NULL::uuid, NULL::bigint)::ledger_posting AS "row";
END;
comment on function bank_money_fact(bank_transfers) is 'That money left the bank: a fact of which ledger_movement books the parts.';

CREATE OR REPLACE FUNCTION public.bank_return_postings(p_transfer bank_transfers, p_unused bigint, p_lost bigint)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return array[
        ledger_movement(
            bank_money_fact(p_transfer), null, held_receipts_account(p_transfer, p_transfer.id),
            bank_ledger_account(p_transfer, p_transfer.id), p_unused
        ),
        bank_loss_posting(p_transfer, p_lost)
    ];
end;
$function$;
comment on function bank_return_postings(bank_transfers,bigint,bigint) is 'The part of a returned receipt that no refund shows: what was still held, and what had been given back already and is lost. Nulls where there is none.';

CREATE OR REPLACE FUNCTION public.bank_transfer_facts(p_transfer bank_transfers)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('bank_transfer_id', (p_transfer).id, 'kind', (p_transfer).kind, 'rail', (p_transfer).rail, 'reference', (p_transfer).reference, 'amount', (p_transfer).amount, 'amount_used', (p_transfer).amount_used, 'currency', (p_transfer).currency, 'payment_intent_id', (p_transfer).payment_intent_id, 'refund_id', (p_transfer).refund_id, 'returned_id', (p_transfer).returned_id, 'status', (p_transfer).status, 'made_by', (p_transfer).made_by, 'checked_by', (p_transfer).checked_by, 'matched_by', (p_transfer).matched_by, 'match_checked_by', (p_transfer).match_checked_by, 'reason', (p_transfer).reason) AS jsonb_build_object;
END;
comment on function bank_transfer_facts(bank_transfers) is 'What an event about a bank transfer tells.';

CREATE OR REPLACE FUNCTION public.begin_autopay_attempt(p_charge autopay_charges)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_obstacle text := autopay_obstacle(p_charge);
    v_rule autopay_rules := autopay_rule(p_charge.currency, p_charge.due_on);
begin
    if v_obstacle is not null then
        perform skip_autopay_charge(p_charge, v_obstacle);
    elsif p_charge.amount > v_rule.unattended_amount_max then
        perform ask_autopay_payer(p_charge, 'amount-needs-the-payer');
    else
        perform open_autopay_attempt(p_charge);
    end if;
exception
    when serialization_failure or deadlock_detected or lock_not_available then
        raise;  -- passing trouble: the whole request is tried again
    -- A refusal of ours (a rate that is no rate, limits that were lowered) stops this charge only.
    when others or assert_failure then
        perform record_exception(
            p_charge.organization_id, p_charge.livemode, 'autopay-refused', 'autopay_charge',
            p_charge.id, p_charge.amount, p_charge.currency, sqlerrm
        );
        update autopay_charges set tries = tries + 1 where id = p_charge.id
        returning * into strict p_charge;
        perform retry_autopay_charge(p_charge, split_part(sqlerrm, ':', 1));
end;
$function$;
comment on function begin_autopay_attempt(autopay_charges) is 'Looks at everything once more, then opens the next attempt of a claimed charge. Its mandate is locked.';

CREATE OR REPLACE FUNCTION public.begin_autopay_attempts(hasura_session json, p_claims jsonb)
 RETURNS SETOF autopay_orders
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_charge autopay_charges;
    v_charges autopay_charges[];
    v_opened uuid[];
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_ids := array(select id from jsonb_to_recordset(p_claims) as claim (id uuid));
    -- How often a customer may be charged in a day is counted over all their mandates.
    perform from customers
    where id = any(array(select customer_id from autopay_charges where id = any(v_ids)))
    order by id
    for no key update;
    perform lock_autopay_charges(v_ids);
    v_charges := array(
        select autopay_charges
        from jsonb_to_recordset(p_claims) as claim (id uuid, fence bigint)
        inner join autopay_charges
            on autopay_charges.id = claim.id and autopay_charges.fence = claim.fence
        where autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by autopay_charges.id
    );

    v_opened := open_plain_autopay_attempts(v_charges);
    foreach v_charge in array v_charges loop
        continue when v_charge.id = any(v_opened);
        if v_charge.status = 'claimed' then
            perform begin_autopay_attempt(v_charge);
        elsif v_charge.status = 'charging'
            and not exists (select from autopay_orders where id = v_charge.id)
        then
            -- With the gateway, or too old to be sent again: the janitor of payments finds out.
            update autopay_charges set lease_until = null where id = v_charge.id;
        end if;
    end loop;

    return query
    select autopay_orders.* from jsonb_to_recordset(p_claims) as claim (id uuid, fence bigint)
    inner join autopay_orders on autopay_orders.id = claim.id and autopay_orders.fence = claim.fence;
end;
$function$;
comment on function begin_autopay_attempts(json,jsonb) is 'Opens an attempt for each claim, as [{"id": ..., "fence": ...}], that may still be charged, and answers what the gateways are to be asked. An attempt that is open is answered again, never doubled. A claim with an old fence is left out.';
grant execute on function begin_autopay_attempts(json,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.begin_capture(hasura_session json, p_payment_intent_id uuid, p_amount bigint)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    perform require_actor_role(hasura_session, array['service', 'owner', 'finance']);
    perform require_read_committed();

    select * into v_intent from payment_intents where id = p_payment_intent_id for no key update;
    perform require_access(hasura_session, v_intent.organization_id, v_intent.livemode, null);
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = v_intent.id and status in ('authorized', 'captured')
        and not is_surplus
    order by status = 'captured' desc
    limit 1
    for no key update;

    if v_intent.status = 'canceled' then
        raise exception 'not-capturable: payment % is called off', v_intent.id
            using errcode = '22B15';
    end if;
    if v_attempt.id is null or (
        v_intent.capture_method <> 'manual' and v_attempt.status = 'captured'
        and v_attempt.amount_to_capture is null
    ) then
        raise exception 'not-capturable: payment % is % and nothing of it is authorised',
            v_intent.id, v_intent.status
            using errcode = '22B15';
    end if;
    if coalesce(p_amount, v_attempt.amount)
        not between least_to_capture(v_attempt) and v_attempt.amount
    then
        raise exception 'amount-out-of-range: % of % cannot be captured', p_amount, v_attempt.amount
            using errcode = '22B07';
    end if;
    if v_attempt.amount_to_capture <> coalesce(p_amount, v_attempt.amount) then
        raise exception 'not-capturable: % is being captured, and a payment is captured once',
            v_attempt.amount_to_capture
            using errcode = '22B15';
    end if;

    -- What was refused before is decided anew.
    perform resolve_exception('payment-unresolved', 'payment_attempt', v_attempt.id);
    return query
    update payment_attempts
    set
        amount_to_capture = coalesce(p_amount, amount), failure_code = null, failure_message = null,
        -- Soon, and as often as a new attempt: its sender may die before the gateway is told.
        checks = case when status = 'authorized' then 0 else checks end,
        next_check_at = case
            when status = 'authorized' then clock_now() + check_delay(0) else next_check_at
        end
    where id = v_attempt.id
    returning *;
end;
$function$;
comment on function begin_capture(json,uuid,bigint) is 'Writes down how much of an authorised payment is to be taken, before the gateway is told. The same amount again: the same row; another one only after the gateway has refused the first. As with refunds, the organisation decides, and nobody else. Refused once the payment is called off, though a capture was begun before: whether the gateway took it, it is asked.';
grant execute on function begin_capture(json,uuid,bigint) to munim_hasura;

CREATE OR REPLACE FUNCTION public.begin_dispute_polls(hasura_session json)
 RETURNS SETOF dispute_polls
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_livemode boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    insert into dispute_polls (gateway, livemode, ask_since, begun_at, due_at)
    select
        paid.gateway, v_livemode, clock_now() - interval '180 days', clock_now(),
        clock_now() + interval '1 hour'
    from gateways_of_payments(v_livemode) as paid (gateway)
    -- One that is left alone is asked once in a while, and stays due.
    where case
        when exists (
            select from dispute_polls
            where dispute_polls.gateway = paid.gateway and dispute_polls.livemode = v_livemode
                and dispute_polls.due_at > clock_now()
        ) then false
        else may_ask_gateway(paid.gateway, v_livemode, 'dispute')
    end
    on conflict (gateway, livemode) do update
    set
        begun_at = excluded.begun_at,
        due_at = excluded.due_at,
        refunds_since = coalesce(
            dispute_polls.complete_until - interval '5 minutes', excluded.refunds_since
        ),
        -- What is open is asked about again: its decision may have been lost on the way.
        -- A gateway's clock is not ours, and some tell whole seconds: the readings overlap.
        ask_since = least(
            coalesce(
                dispute_polls.complete_until - interval '5 minutes', excluded.ask_since
            ),
            (
                select min(opened_at) from disputes
                where disputes.gateway = excluded.gateway
                    and disputes.livemode = excluded.livemode
                    and disputes.status in ('opened', 'under_review')
            )
        )
    returning *;
end;
$function$;
comment on function begin_dispute_polls(json) is 'Whom to ask for disputes, and since when: each gateway since shortly before its list was last read to its end, and since the oldest dispute that is open. Once an hour, or sooner where a hint was heard: called again before that it answers none.';
grant execute on function begin_dispute_polls(json) to munim_hasura;

CREATE OR REPLACE FUNCTION public.begin_invariant_checks(hasura_session json)
 RETURNS SETOF invariant_checks
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);

    insert into invariant_checks (name, key_column)
    select
        views.relname,
        case when firsts.atttypid = 'uuid'::regtype then firsts.attname end
    from pg_class as views
    inner join pg_attribute as firsts on firsts.attrelid = views.oid and firsts.attnum = 1
    where views.relnamespace = 'public'::regnamespace and views.relkind = 'v'
        and starts_with(views.relname, 'invariant_')
    order by views.relname
    on conflict on constraint invariant_checks_pkey do update
    set key_column = excluded.key_column, position = 0, width = 4096, faults = 0, unread = 0
    where invariant_checks.key_column is distinct from excluded.key_column;
    delete from invariant_checks
    where not exists (
        select from pg_views where schemaname = 'public' and viewname = invariant_checks.name
    );

    return query select * from invariant_checks order by tried_at nulls first, name;
end;
$function$;
comment on function begin_invariant_checks(json) is 'Every invariant, the one that has waited longest first: who runs out of time neglects none.';
grant execute on function begin_invariant_checks(json) to munim_hasura;

CREATE OR REPLACE FUNCTION public.begin_page_attempt(hasura_session json, p_token text, p_method text, p_gateways jsonb, p_address_hash text, p_back_url text, p_payment_method_id uuid DEFAULT NULL::uuid)
 RETURNS SETOF order_checkouts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_page payment_pages;
    v_intent payment_intents;
    v_customer customers;
    v_able text[] := array(select jsonb_array_elements_text(p_gateways));
    v_unseen payment_attempts;
    v_gateway text;
    v_saved payment_methods;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    select * into v_page
    from payment_pages
    where token = p_token and livemode::text = hasura_session ->> 'x-hasura-livemode';
    if v_page.id is null then
        raise exception 'not-found: there is no such page' using errcode = '22B04';
    end if;

    select customers.* into strict v_customer
    from customers
    inner join payment_intents on payment_intents.customer_id = customers.id
    where payment_intents.id = v_page.payment_intent_id
    for no key update of customers;
    select * into strict v_intent
    from payment_intents where id = v_page.payment_intent_id for no key update;
    if p_payment_method_id is not null then
        select * into v_saved
        from payment_methods
        where id = p_payment_method_id and customer_id = v_customer.id and status = 'active'
            and gateway = any(v_able);
        if v_saved.id is null then
            raise exception 'not-found: this customer saved no such method' using errcode = '22B04';
        end if;
        v_able := array[v_saved.gateway];
    end if;

    v_unseen := unseen_attempt(v_intent, p_method);
    if v_unseen.id is not null and v_intent.status not in ('paid', 'canceled') then
        -- A gateway may be probed, and circuits come last.
        perform from payment_attempts where id = v_unseen.id for no key update;
        perform count_page_try(v_page, p_address_hash);
        v_gateway := gateway_instead(v_unseen, v_intent, p_method, v_able);
        perform give_up_unseen_attempt(v_unseen) where v_gateway is not null;
    end if;
    if v_intent.status not in ('paid', 'canceled')
        and not goes_on(v_intent, p_method, v_saved.gateway_customer_id)
    then
        perform require_open_page(v_page);
        perform count_page_try(v_page, p_address_hash) where v_unseen.id is null;
        perform open_checkout_session(
            v_intent, coalesce(v_gateway, choose_gateway(v_intent, p_method, null, v_able)),
            p_method, v_customer.email, p_back_url, p_back_url, v_saved.gateway_customer_id
        );
    end if;
    return query select * from order_checkouts where payment_intent_id = v_intent.id;
end;
$function$;
comment on function begin_page_attempt(json,text,text,jsonb,text,text,uuid) is 'The payer has chosen how to pay: writes the attempt down before a gateway is asked. Chosen again, by a second click: the same attempt. A page that is over, or was tried often enough, takes no new one. An attempt whose gateway stayed silent, so that nobody saw its page, makes room for another gateway; where there is none, asking the silent one again counts as a try of the page''s address.';
grant execute on function begin_page_attempt(json,text,text,jsonb,text,text,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.begin_publications_again(p_destination text, p_event_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update event_publications
    set status = 'pending', attempts = 0, due_at = clock_now()
    where destination = p_destination and status = 'parked' and event_id = any(p_event_ids);
end;
$function$;
comment on function begin_publications_again(text,uuid[]) is 'Parked events are due now, as if they were new.';

CREATE OR REPLACE FUNCTION public.book_canceled_refund(p_transfer bank_transfers, p_refund refunds)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_postings ledger_posting[] := '{}';
    v_back bigint;
begin
    select * into strict v_attempt from payment_attempts where id = p_refund.payment_attempt_id;
    v_back := least(p_refund.amount, refundable_amount(v_attempt));
    if v_back > 0 then
        v_postings := refund_past_us(p_transfer, v_attempt, v_back);
    end if;
    v_postings := v_postings || bank_loss_posting(p_transfer, p_refund.amount - v_back);
    perform post_ledger_transactions(
        p_transfer.organization_id, p_transfer.livemode, array_remove(v_postings, null)
    );
end;
$function$;
comment on function book_canceled_refund(bank_transfers,refunds) is 'A refund was paid at the bank, and entered only after it had been canceled: what other receipts have left of its payment counts as refunded, and the rest is lost. The attempt is locked.';

CREATE OR REPLACE FUNCTION public.book_payments(p_attempts payment_attempts[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_purchases credit_purchases[];
begin
    with granted as (
        update credit_purchases
        set ledger_transaction_id = booked.ledger_transaction_id, granted_at = clock_now()
        from post_payments(p_attempts) as booked
        where credit_purchases.id = booked.credit_purchase_id
        returning credit_purchases
    )

    select array_agg(credit_purchases) into v_purchases from granted;
    update payment_intents set status = 'paid'
    where id = any(array(select payment_intent_id from unnest(p_attempts)));
    perform open_credit_lots(v_purchases);

    perform record_events(array(
        select row(
            null, attempt.organization_id, attempt.livemode, 'payment.succeeded', 'payment_intent',
            attempt.payment_intent_id, null, payment_facts(attempt), null
        )::events
        from unnest(p_attempts) as attempt
        union all
        select row(
            null, purchase.organization_id, purchase.livemode, 'credits.granted',
            'credit_purchase', purchase.id, null, credit_purchase_facts(purchase), null
        )::events
        from unnest(v_purchases) as purchase
    ));
end;
$function$;
comment on function book_payments(payment_attempts[]) is 'Books what was captured as pay_payment_intent does one by one, in statements for all of them: what a statement costs is the most of what a booking costs.';

CREATE OR REPLACE FUNCTION public.book_receipt(p_transfer bank_transfers)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform post_ledger_transaction(
        p_transfer.organization_id, p_transfer.livemode, 'bank-transfer:' || p_transfer.id,
        'bank_transfer', 'bank_transfer', p_transfer.id, moment_of_bank_transfer(p_transfer),
        bank_ledger_account(p_transfer, p_transfer.id),
        held_receipts_account(p_transfer, p_transfer.id), p_transfer.amount
    );
end;
$function$;
comment on function book_receipt(bank_transfers) is 'The bank has the money, and it is held until it is used.';

CREATE OR REPLACE FUNCTION public.booked_ledger_transaction(p_organization_id uuid, p_livemode boolean, p_posting ledger_posting)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_booked ledger_transactions;
begin
    select * into v_booked
    from ledger_transactions
    where organization_id = p_organization_id and livemode = p_livemode and key = p_posting.key;

    if v_booked.id is not null
        and (v_booked.debit_account_id, v_booked.credit_account_id, v_booked.amount) is distinct from
        (p_posting.debit_account_id, p_posting.credit_account_id, p_posting.amount)
    then
        raise exception 'ledger-key-reused: % has booked something else', p_posting.key
            using errcode = '22B02';
    end if;
    return v_booked.id;
end;
$function$;
comment on function booked_ledger_transaction(uuid,boolean,ledger_posting) is 'The same fact booked before, or null; refuses another fact of the same key.';

CREATE OR REPLACE FUNCTION public.break_gateway_circuit(p_gateway text, p_livemode boolean, p_operation text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 INSERT INTO gateway_circuits (gateway, livemode, operation, failures)
   VALUES (break_gateway_circuit.p_gateway, break_gateway_circuit.p_livemode, break_gateway_circuit.p_operation, 1) ON CONFLICT(gateway, livemode, operation) DO UPDATE SET failures = (gateway_circuits.failures + 1), opened_at =
         CASE
             WHEN (gateway_circuits.failures >= 4) THEN clock_now()
             ELSE NULL::timestamp with time zone
         END, updated_at = clock_now();
END;
comment on function break_gateway_circuit(text,boolean,text) is 'A gateway gave no answer. Five times in a row, and it is not asked for half a minute.';

CREATE OR REPLACE FUNCTION public.call_off_autopay_charge(p_payment_intent_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_charge autopay_charges;
begin
    select * into v_charge
    from autopay_charges where payment_intent_id = p_payment_intent_id;
    if v_charge.id is null then
        return;
    end if;
    perform from autopay_mandates where id = v_charge.autopay_mandate_id for no key update;
    select * into strict v_charge from autopay_charges where id = v_charge.id for no key update;

    -- One that is with a gateway ends as its attempt does: see decline_autopay_charge.
    perform skip_autopay_charge(v_charge, 'canceled')
    where v_charge.status in ('due', 'claimed', 'action_required')
        or v_charge.status = 'charging' and not has_open_attempt(p_payment_intent_id);
end;
$function$;
comment on function call_off_autopay_charge(uuid) is 'The payment of a month is called off: the month is not tried again. The intent is locked.';

CREATE OR REPLACE FUNCTION public.call_off_new_order()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
begin
    update payment_intents set status = 'canceled'
    where id = new.payment_intent_id and is_called_off(new)
    returning * into v_intent;
    perform tell_of_cancellation(v_intent) where v_intent.id is not null;
    return null;
end;
$function$;
comment on function call_off_new_order() is 'An order that was called off before we heard of it is off, whichever door writes it down, and it is told that it is.';

CREATE OR REPLACE FUNCTION public.call_off_payment(p_intent payment_intents)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    update payment_intents set status = 'canceled' where id = p_intent.id;
    perform from payment_attempts
    where payment_intent_id = p_intent.id order by id for no key update;

    for v_attempt in
        select payment_attempts.*
        from payment_attempts
        inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
        where payment_attempts.payment_intent_id = p_intent.id
            and payment_attempts.status in ('created', 'unknown')
            and payment_attempts.gateway_payment_id is null
            and checkout_sessions.url is null
    loop
        perform give_up_unseen_attempt(v_attempt);
    end loop;
    -- Soon, and as often as a new attempt: check_payments tells the gateway, whoever dies before.
    update payment_attempts
    set checks = 0, next_check_at = clock_now() + check_delay(0)
    where payment_intent_id = p_intent.id
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized');
    perform call_off_autopay_charge(p_intent.id);
end;
$function$;
comment on function call_off_payment(payment_intents) is 'Ends what is owed, at once and for good; the intent is locked, and not paid. Open pages are closed and authorisations released by whoever asks about their attempts next. Whatever is captured all the same is surplus, and goes back by itself.';

CREATE OR REPLACE FUNCTION public.cancel_autopay(hasura_session json, p_autopay_mandate_id uuid)
 RETURNS SETOF autopay_mandates
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_mandate autopay_mandates := acting_mandate(hasura_session, p_autopay_mandate_id);
begin
    if v_mandate.status <> 'canceled' then
        perform end_autopay_mandate(v_mandate, 'canceled');
    end if;
    return query select * from autopay_mandates where id = v_mandate.id;
end;
$function$;
comment on function cancel_autopay(json,uuid) is 'Ends a mandate for good, also one whose page failed and may be finished yet. Called again: the same row.';
grant execute on function cancel_autopay(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.cancel_order(p_order orders, p_intent payment_intents, p_session json)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    if p_intent.status <> 'paid' then
        if p_intent.status <> 'canceled' then
            perform call_off_payment(p_intent);
            perform tell_of_cancellation(p_intent);
        end if;
        return;  -- whatever is captured from now on is surplus, and goes back by itself
    end if;

    select * into strict v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id and status = 'captured' and not is_surplus
    for no key update;
    if not exists (
        select from refunds where payment_attempt_id = v_attempt.id and requested_by = 'system'
    ) then
        perform post_ledger_transactions(
            p_order.organization_id, p_order.livemode,
            order_refund_postings(p_order, v_attempt, p_session)
        );
    end if;
end;
$function$;
comment on function cancel_order(orders,payment_intents,json) is 'An order is off: what was paid goes back, what was not is not taken any more, and whoever hears of the payment hears that. Once: called again, nothing more; what comes back later is rest_of_order_postings. The intent is locked.';

CREATE OR REPLACE FUNCTION public.cancel_payment(hasura_session json, p_payment_intent_id uuid)
 RETURNS SETOF payment_intents
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
begin
    perform require_actor_role(
        hasura_session, array['service', 'owner', 'finance', 'operator', 'customer']
    );
    perform require_read_committed();

    select * into v_intent from payment_intents where id = p_payment_intent_id for no key update;
    perform require_access(
        hasura_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );
    if v_intent.status not in ('paid', 'canceled') then
        if exists (
            select from payment_attempts
            where payment_intent_id = v_intent.id and status = 'authorized'
        ) then
            perform require_actor_role(hasura_session, array['service', 'owner', 'finance']);
        end if;
        perform call_off_payment(v_intent);
        perform tell_of_cancellation(v_intent);
    end if;

    return query select * from payment_intents where id = v_intent.id;
end;
$function$;
comment on function cancel_payment(json,uuid) is 'Calls a payment off, unless it is paid, and answers it; called again: nothing more. What a gateway holds for the organisation only the organisation lets go of: no customer, and no operator.';
grant execute on function cancel_payment(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.capture_other_payment(p_event gateway_events, p_attempt payment_attempts, p_is_in_suspense boolean)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_amount constant bigint := amount_taken(p_event.notice);
    v_attempt payment_attempts;
begin
    insert into payment_attempts (
        organization_id, livemode, payment_intent_id, gateway, gateway_account, amount, currency,
        is_surplus, is_in_suspense
    )
    values (
        p_attempt.organization_id, p_attempt.livemode, p_attempt.payment_intent_id,
        p_attempt.gateway, p_attempt.gateway_account,
        greatest((p_event.notice ->> 'amount')::bigint, v_amount), p_event.notice ->> 'currency',
        p_is_in_suspense, p_is_in_suspense
    )
    returning * into v_attempt;

    perform capture_payment_attempt(
        v_attempt, coalesce(p_event.notice ->> 'gateway_payment_id', p_event.event_id), v_amount,
        p_event.occurred_at, p_event.notice ->> 'receipt_url'
    );
    select * into strict v_attempt from payment_attempts where id = v_attempt.id;
    return v_attempt;
end;
$function$;
comment on function capture_other_payment(gateway_events,payment_attempts,boolean) is 'Writes an attempt down whose money the gateway has. Its name there is what keeps it from coming twice.';

CREATE OR REPLACE FUNCTION public.capture_payment_attempt(p_attempt payment_attempts, p_gateway_payment_id text, p_amount bigint, p_occurred_at timestamp with time zone, p_receipt_url text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_intent payment_intents;
    v_is_needless boolean;
begin
    select * into strict v_intent from payment_intents where id = p_attempt.payment_intent_id;
    v_is_needless := v_intent.status not in ('paid', 'canceled') and not p_attempt.is_in_suspense
        and is_autopay_month_paid(v_intent.id);

    update payment_attempts
    set
        status = 'captured', captured_at = p_occurred_at, amount_captured = p_amount,
        gateway_payment_id = p_gateway_payment_id, next_check_at = page_check_at(p_attempt),
        receipt_url = p_receipt_url,
        is_surplus = is_in_suspense or v_intent.status in ('paid', 'canceled') or v_is_needless,
        failure_code = null, failure_message = null, decline_class = null, declined_at = null
    where id = p_attempt.id
    returning * into strict v_attempt;

    if v_attempt.is_in_suspense then
        perform post_ledger_transactions(
            v_attempt.organization_id, v_attempt.livemode,
            array[capture_posting(v_attempt, p_amount, 'suspense', p_occurred_at)]
        );
    elsif v_attempt.is_surplus then
        perform keep_surplus(v_attempt, p_occurred_at);
        if v_is_needless then
            update payment_intents set status = 'canceled' where id = v_intent.id;
            perform tell_of_cancellation(v_intent);
        end if;
    else
        perform pay_payment_intent(v_intent, v_attempt);
    end if;
    perform search_refunds(v_attempt) where may_be_refunded_unheard(v_attempt);
    perform requeue_gateway_events(v_attempt);
end;
$function$;
comment on function capture_payment_attempt(payment_attempts,text,bigint,timestamp with time zone,text) is 'The gateway has the money: it is booked, and what was owed is paid, unless this is not what was owed, or another mandate''s charge has paid the month that it is for.';

CREATE OR REPLACE FUNCTION public.capture_payments(p_event_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempts payment_attempts[];
begin
    with captured as (
        update payment_attempts
        set
            status = 'captured', captured_at = event.occurred_at,
            amount_captured = amount_captured_by(payment_attempts, event.notice),
            gateway_payment_id = event.notice ->> 'gateway_payment_id',
            next_check_at = page_check_at(payment_attempts),
            receipt_url = event.notice ->> 'receipt_url',
            failure_code = null, failure_message = null, decline_class = null,
            declined_at = null
        from gateway_events as event
        where event.id = any(p_event_ids) and payment_attempts.id = event.payment_attempt_id
        returning payment_attempts
    )

    select array_agg(payment_attempts) into v_attempts from captured;

    perform book_payments(v_attempts);
    perform finish_autopay_charges(v_attempts);

    perform
        request_receipt(attempt), requeue_gateway_events(attempt),
        resolve_exception('payment-unresolved', 'payment_attempt', attempt.id)
    from unnest(v_attempts) as attempt;
end;
$function$;
comment on function capture_payments(uuid[]) is 'Does what messages that say paid call for, as settle_payment_attempt does one by one. Their intents and attempts are locked, and nothing speaks against them.';

CREATE OR REPLACE FUNCTION public.capture_posting(p_attempt payment_attempts, p_amount bigint, p_code text, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return (
        format('capture:%s', p_attempt.id), 'capture', 'payment_attempt', p_attempt.id,
        p_occurred_at,
        ledger_account(
            p_attempt.organization_id, p_attempt.livemode,
            case
                when is_by_hand(p_attempt.gateway) then 'bank_transfers'
                else 'gateway:' || p_attempt.gateway
            end,
            case when is_by_hand(p_attempt.gateway) then 'liability' else 'asset' end,
            p_attempt.currency, p_attempt.payment_intent_id
        ),
        ledger_account(
            p_attempt.organization_id, p_attempt.livemode, p_code, 'liability',
            p_attempt.currency, p_attempt.payment_intent_id
        ),
        p_amount
    )::ledger_posting;
end;
$function$;
comment on function capture_posting(payment_attempts,bigint,text,timestamp with time zone) is 'The gateway has the money, and we owe it to an account. What came to our own bank is booked there when two people have seen it, and is held as bank_transfers until it is used here.';

CREATE OR REPLACE FUNCTION public.carry_out_bank_transfer(p_transfer bank_transfers, p_checked_by text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_transfer bank_transfers;
    v_is_new constant boolean := p_transfer.status = 'entered';
begin
    update bank_transfers
    set
        status = 'approved',
        checked_by = coalesce(checked_by, p_checked_by),
        checked_at = coalesce(checked_at, clock_now()),
        match_checked_by = case when payment_intent_id is not null then p_checked_by end
    where id = p_transfer.id
    returning * into strict v_transfer;
    perform tell_bank_transfer(v_transfer, 'approved');

    case v_transfer.kind
        when 'refund' then perform pay_refund_by_hand(v_transfer);
        when 'return' then perform take_receipt_back(v_transfer);
        when 'receipt' then
            perform ready_ledger_accounts(v_transfer);
            if v_is_new then
                perform book_receipt(v_transfer);
            end if;
            perform use_receipts(v_transfer.payment_intent_id)
            where v_transfer.payment_intent_id is not null;
    end case;
end;
$function$;
comment on function carry_out_bank_transfer(bank_transfers,text) is 'Both people have agreed: what the transfer says happens in our books. All that it is about is locked.';

CREATE OR REPLACE FUNCTION public.carry_out_gateway_event(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform apply_gateway_event(p_event);
    perform check_constraints_now();  -- a refusal belongs to this event, not to the commit
exception
    when serialization_failure or deadlock_detected or lock_not_available then
        raise;  -- passing trouble: the whole request is tried again
    when others or assert_failure then
        perform postpone_gateway_event(p_event, sqlerrm);
end;
$function$;
comment on function carry_out_gateway_event(gateway_events) is 'Applies one message that nobody else can see or change; its failure is kept, not thrown.';

CREATE OR REPLACE FUNCTION public.charge_order(p_order orders, p_intent payment_intents)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_method payment_methods;
begin
    if exists (select from payment_attempts where payment_intent_id = p_intent.id) then
        return;  -- once; another try is the customer's, by initiatePayment
    end if;
    select * into v_method
    from payment_methods
    where customer_id = p_order.customer_id and status = 'active'
    order by created_at desc, id
    limit 1;

    if v_method.id is not null then
        perform open_payment_attempt(p_intent, v_method.gateway, v_method.id);
    elsif not exists (
        select from events
        where object_type = 'payment_intent' and object_id = p_intent.id
            and type = 'payment.requires_method'
    ) then
        perform record_event(
            p_order.organization_id, p_order.livemode, 'payment.requires_method', 'payment_intent',
            p_intent.id, owed_facts(p_intent, p_order.reference)
        );
    end if;
end;
$function$;
comment on function charge_order(orders,payment_intents) is 'Opens the one attempt to charge the customer''s newest saved method, or to have its money authorised where the order says so; without one it is announced that the customer must come and pay. The intent is locked.';

CREATE OR REPLACE FUNCTION public.check_bank_transfer(p_transfer bank_transfers)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_today date := (
        select (clock_now() at time zone timezone)::date
        from organizations where id = p_transfer.organization_id
    );
    v_refund refunds;
    v_receipt bank_transfers;
begin
    if p_transfer.value_date not between v_today - 366 and v_today then
        raise exception 'invalid-input: % lies in the future, or more than a year back',
            p_transfer.value_date
            using errcode = '22B20';
    end if;

    if p_transfer.kind = 'refund' then
        select * into v_refund
        from refunds
        where id = p_transfer.refund_id and organization_id = p_transfer.organization_id
            and livemode = p_transfer.livemode and is_by_hand(gateway);
        if v_refund.id is null then
            raise exception 'not-found: no refund that is paid by bank transfer is called %',
                p_transfer.refund_id
                using errcode = '22B04';
        end if;
        perform require_same_amount(p_transfer, v_refund.amount, v_refund.currency);
        perform require_payable_by_hand(v_refund);
    elsif p_transfer.kind = 'return' then
        select * into v_receipt
        from bank_transfers
        where id = p_transfer.returned_id and organization_id = p_transfer.organization_id
            and livemode = p_transfer.livemode and kind = 'receipt'
            and bank_account_id = p_transfer.bank_account_id;
        if v_receipt.id is null then
            raise exception 'not-found: no receipt of this account is called %',
                p_transfer.returned_id
                using errcode = '22B04';
        end if;
        perform require_same_amount(p_transfer, v_receipt.amount, v_receipt.currency);
        perform require_undecided('receipt', v_receipt.status, 'approved');
    end if;
end;
$function$;
comment on function check_bank_transfer(bank_transfers) is 'Refuses what does not fit the refund that it pays or the receipt that it takes back, or its time.';

CREATE OR REPLACE FUNCTION public.check_constraints_now()
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    set constraints all immediate;
    set constraints all deferred;
end;
$function$;
comment on function check_constraints_now() is 'Checks at once what would be checked at commit.';

CREATE OR REPLACE FUNCTION public.check_credits_amount(p_amount numeric, p_maximum numeric)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_amount is null or not p_amount between 0.0001 and p_maximum
        or p_amount <> trunc(p_amount, 4)
    then
        raise exception 'amount-out-of-range: % is not between 0.0001 and % credits of four decimals',
            p_amount, trim_scale(p_maximum)
            using errcode = '22B07';
    end if;
end;
$function$;
comment on function check_credits_amount(numeric,numeric) is 'Refuses what is no number of credits.';

CREATE OR REPLACE FUNCTION public.check_delay(p_checks integer)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((ARRAY['00:00:30'::interval, '00:02:00'::interval, '00:10:00'::interval, '01:00:00'::interval, '06:00:00'::interval] || array_fill('20:00:00'::interval, ARRAY[7])))[(p_checks + 1)];
END;
comment on function check_delay(integer) is 'How long to wait before a gateway is asked again about something that has not ended, after so many times; null when it is a person''s turn. Twenty hours at most, so that what happens just after a question is known within a day though some answers are lost.';

CREATE OR REPLACE FUNCTION public.check_ledger_account()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_lowest bigint := new.minimum + new.held;
    v_highest bigint := new.maximum - new.held;
begin
    if new.account_type not in ('asset', 'liability', 'equity', 'revenue', 'expense')
        or new.status not in ('active', 'closed')
        or new.part not between 0 and 15
        or new.code !~ '^[a-z0-9_]+(:[a-z0-9_-]+)*$'
        or new.held < 0
    then
        raise exception 'ledger account % is not one: type %, part %, status %, held %',
            new.code, new.account_type, new.part, new.status, new.held
            using errcode = 'check_violation';
    end if;
    if exists (
        select from ledger_accounts
        where code = new.code and organization_id = new.organization_id
            and livemode = new.livemode and currency = new.currency
            and account_type <> new.account_type
    ) then
        raise exception 'ledger account % has parts of another type than %',
            new.code, new.account_type
            using errcode = 'check_violation';
    end if;

    update ledger_accounts
    set bounds = made.bounds
    from (
        select case
            when v_lowest > v_highest then 'empty'
            when num_nonnulls(v_lowest, v_highest) > 0 then int8range(v_lowest, v_highest, '[]')
        end as bounds
    ) as made
    where ledger_accounts.id = new.id and ledger_accounts.bounds is distinct from made.bounds;
    return null;
end;
$function$;
comment on function check_ledger_account() is 'What a CHECK would say of columns that seldom change; keeps bounds in step with what they are made of.';

CREATE OR REPLACE FUNCTION public.check_payment_amount(p_organization_id uuid, p_amount bigint, p_currency text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_limits payment_settings;
begin
    select * into v_limits
    from payment_settings
    where organization_id = p_organization_id and currency = p_currency;

    if v_limits.currency is null then
        raise exception 'currency-not-supported: % is not accepted here', p_currency
            using errcode = '22B06';
    end if;
    if p_amount is null
        or p_amount not between v_limits.min_payment_amount and v_limits.max_payment_amount
    then
        raise exception 'amount-out-of-range: % is not between % and % in the minor unit of %',
            p_amount, v_limits.min_payment_amount, v_limits.max_payment_amount, p_currency
            using errcode = '22B07';
    end if;
end;
$function$;
comment on function check_payment_amount(uuid,bigint,text) is 'Refuses what payment_settings does not allow.';

CREATE OR REPLACE FUNCTION public.check_refund_policy(p_attempt payment_attempts, p_amount bigint, p_session json)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_role text := coalesce(p_session ->> 'x-hasura-actor-role', 'service');
    v_policy refund_policies := policy_of_attempt(p_attempt);
    v_gone bigint := p_attempt.amount_captured - refundable_amount(p_attempt);
    v_fee bigint;
begin
    if v_role <> all (coalesce(v_policy.roles, '{finance,owner,service}')) then
        raise exception 'refund-not-allowed: role % may not refund this payment', v_role
            using errcode = '22B12';
    end if;
    if v_policy.id is null or p_attempt.is_surplus then
        return 0;
    end if;
    if clock_now() > p_attempt.captured_at + make_interval(days => v_policy.window_days) then
        raise exception 'refund-not-allowed: the % days for a refund are over', v_policy.window_days
            using errcode = '22B12';
    end if;
    if (v_gone + p_amount)::numeric * 10000
        > p_attempt.amount_captured::numeric * v_policy.share_max
    then
        raise exception 'refund-not-allowed: no more than % of 10000 parts of a payment goes back',
            v_policy.share_max
            using errcode = '22B12';
    end if;
    v_fee := v_policy.fee_amount + round(p_amount::numeric * v_policy.fee_share / 10000);
    if v_fee >= p_amount then
        raise exception 'refund-not-allowed: a fee of % leaves nothing of %', v_fee, p_amount
            using errcode = '22B12';
    end if;
    return v_fee;
end;
$function$;
comment on function check_refund_policy(payment_attempts,bigint,json) is 'Refuses what the organisation''s policy does not allow; answers the fee. What is owed back in any case has no window, share or fee.';

CREATE OR REPLACE FUNCTION public.check_step()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_legal boolean;
begin
    case tg_argv[0]
        -- What every payment goes through is written out: a plan takes longer to make than to run.
        when 'payment_intent_steps' then
            v_legal := exists (
                select from payment_intent_steps where before = old.status and after = new.status
            );
        when 'payment_attempt_steps' then
            v_legal := exists (
                select from payment_attempt_steps where before = old.status and after = new.status
            );
        when 'autopay_charge_steps' then
            v_legal := exists (
                select from autopay_charge_steps where before = old.status and after = new.status
            );
        else
            execute format(
                'select exists (select from %I where before = $1 and after = $2)', tg_argv[0]
            )
            into v_legal
            using old.status, new.status;
    end case;

    if not v_legal then
        raise exception '% % may not go from % to %', tg_table_name, old.id, old.status, new.status
            using errcode = 'assert_failure';
    end if;
    return new;
end;
$function$;
comment on function check_step() is 'Refuses a status that the named table of steps does not lead to.';

CREATE OR REPLACE FUNCTION public.choose_gateway(p_intent payment_intents, p_method text, p_wanted text, p_able text[] DEFAULT NULL::text[])
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function choose_gateway(payment_intents,text,text,text[]) is 'The gateway for an attempt that is about to be written: the wanted one, or the first in rank that answers, of those in p_able where it is given. Nothing is chosen anew once a gateway was asked: it might have the money.';

CREATE OR REPLACE FUNCTION public.claim_autopay_charges(hasura_session json, p_limit integer, p_lease_seconds integer)
 RETURNS SETOF autopay_charges
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_now timestamptz := clock_now();
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_silent constant text[] := silent_gateways(v_livemode, 'charge');
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    v_ids := array(
        select autopay_charges.id from autopay_charges
        inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
        where autopay_charges.status = 'due' and autopay_charges.next_try_at <= v_now
            and autopay_mandates.status = 'active' and autopay_mandates.gateway <> all(v_silent)
            and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by autopay_charges.next_try_at
        limit p_limit
        for no key update of autopay_charges skip locked
    );
    -- What another worker left behind. Nothing is sent after a mandate was paused or canceled.
    v_ids := v_ids || array(
        select autopay_charges.id from autopay_charges
        inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
        where autopay_charges.lease_until <= v_now and autopay_mandates.status = 'active'
            and autopay_mandates.gateway <> all(v_silent)
            and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by autopay_charges.lease_until
        limit p_limit - cardinality(v_ids)
        for no key update of autopay_charges skip locked
    );
    if cardinality(v_silent) > 0 then
        v_ids := v_ids || lock_autopay_probes(v_livemode, v_silent);
    end if;
    return query
    update autopay_charges
    set
        status = case when status = 'due' then 'claimed' else status end,
        fence = fence + 1,
        lease_until = v_now + p_lease_seconds * interval '1 second'
    where id = any(v_ids)
    returning *;
end;
$function$;
comment on function claim_autopay_charges(json,integer,integer) is 'Hands charges that are due to one worker, for as long as its lease; never one to two. Those of a gateway that is left alone wait, and no try of theirs is counted.';
grant execute on function claim_autopay_charges(json,integer,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_autopay_setups(hasura_session json, p_limit integer, p_paused jsonb DEFAULT '[]'::jsonb)
 RETURNS SETOF autopay_setups
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function claim_autopay_setups(json,integer,jsonb) is 'Answers mandates whose page may have been finished or closed without our hearing of it, and puts each off to its next time. None is answered of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_autopay_setups(json,integer,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_dispute_check(hasura_session json, p_gateway text, p_asked_before timestamp with time zone)
 RETURNS SETOF disputes
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_livemode boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update disputes
    set asked_at = clock_now()
    where id = (
        select id
        from disputes
        where gateway = p_gateway
            and livemode = v_livemode
            and status in ('opened', 'under_review')
            and asked_at < p_asked_before
        order by asked_at, id
        limit 1
        for no key update skip locked
    )
    returning *;
end;
$function$;
comment on function claim_dispute_check(json,text,timestamp with time zone) is 'Answers the open dispute that its gateway has not been asked about for the longest, and puts it last in the line, so that one that cannot be asked about keeps no other waiting. None is answered twice in a poll: it was asked about before the poll began.';
grant execute on function claim_dispute_check(json,text,timestamp with time zone) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_event_messages(hasura_session json, p_destination text, p_limit integer)
 RETURNS SETOF event_messages
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_ids := array(
        select event_id
        from event_publications
        where destination = p_destination and due_at <= clock_now()
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by due_at
        limit p_limit
        for no key update skip locked
    );
    if cardinality(v_ids) = 0 then
        return;
    end if;
    perform put_off_publications(p_destination, v_ids);
    perform lock_parked_events(p_destination, v_ids);
    perform list_parked_events(p_destination, v_ids);
    return query
    select event_messages.*
    from event_messages
    inner join event_publications
        on event_publications.event_id = event_messages.id
        and event_publications.destination = event_messages.destination
    where event_messages.destination = p_destination and event_messages.id = any(v_ids)
        and event_publications.status = 'pending'
    order by event_messages.created_at, event_messages.object_id, event_messages.sequence;
end;
$function$;
comment on function claim_event_messages(json,text,integer) is 'Events that are due at a destination, for one sender: each is put off before it is sent, and what was sent too often is listed instead.';
grant execute on function claim_event_messages(json,text,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_hinted_check(hasura_session json, p_payment_attempt_id uuid)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set next_check_at = clock_now() + interval '1 minute'
    where id = p_payment_attempt_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and next_check_at <= clock_now()
    returning *;
end;
$function$;
comment on function claim_hinted_check(json,uuid) is 'Answers the attempt that a hint was about, for whoever took the hint in to ask at once. It stays due in a minute, for the cron: who asks may die, or hear nothing, or hear what was true a moment ago. The same hint again is answered nothing.';
grant execute on function claim_hinted_check(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_order_charges(hasura_session json, p_limit integer, p_paused jsonb DEFAULT '[]'::jsonb)
 RETURNS SETOF order_charges
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_paused constant text[] := array(select jsonb_array_elements_text(p_paused));
    v_silent constant text[] := silent_gateways(v_livemode, 'charge');
    v_probes payment_attempts[];
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_probes := array(
        select lock_due_order_charges(v_livemode, 1, v_silent, silent.gateway)
        from (
            select unnest(v_silent) except select unnest(v_paused) order by 1
        ) as silent (gateway)
    );
    v_ids := array(
        select id from lock_due_order_charges(v_livemode, p_limit, v_silent || v_paused)
    );
    v_ids := array(
        select probe.id
        from unnest(v_probes) as probe
        where may_ask_gateway(probe.gateway, v_livemode, 'charge')
        limit p_limit
    ) || v_ids;
    v_ids := v_ids[:p_limit];
    update payment_attempts set updated_at = clock_now() where id = any(v_ids);
    return query select * from order_charges where id = any(v_ids);
end;
$function$;
comment on function claim_order_charges(json,integer,jsonb) is 'Charges that were written down a minute ago and not answered yet: whoever was to send them may have died. Each is put off by a minute; the attempt''s id keeps the gateway from charging twice. Of a silent gateway''s there is one in half a minute, and none of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_order_charges(json,integer,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_payment_checks(hasura_session json, p_limit integer, p_paused jsonb DEFAULT '[]'::jsonb)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_paused constant text[] := array(select jsonb_array_elements_text(p_paused));
    v_silent constant text[] := silent_gateways(v_livemode, 'look-up');
    v_not_capturing constant text[] := silent_gateways(v_livemode, 'capture');
    v_probes payment_attempts[];
    v_ids uuid[];
    v_attempt payment_attempts;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    -- What waits for a silent gateway stays due, but for one that finds out whether it answers.
    v_probes := array(
        select lock_due_attempts(v_livemode, 1, v_silent, v_not_capturing, silent.gateway)
        from (
            select unnest(v_silent || v_not_capturing) except select unnest(v_paused) order by 1
        ) as silent (gateway)
    );
    v_ids := array(
        select id
        from lock_due_attempts(v_livemode, p_limit, v_silent || v_paused, v_not_capturing)
    );
    v_ids := array(
        select probe.id
        from unnest(v_probes) as probe
        where may_ask_about_attempt(probe)
        limit p_limit
    ) || v_ids;
    for v_attempt in
        update payment_attempts
        set checks = checks + 1, next_check_at = next_payment_check(payment_attempts)
        where id = any(v_ids[:p_limit])
        returning *
    loop
        if v_attempt.next_check_at is null
            and v_attempt.status not in ('captured', 'failed', 'expired', 'canceled')
        then
            perform record_exception(
                v_attempt.organization_id, v_attempt.livemode, 'payment-unresolved',
                'payment_attempt', v_attempt.id, v_attempt.amount, v_attempt.currency,
                format('%s since %s', v_attempt.status, v_attempt.created_at)
            );
        end if;
        return next v_attempt;
    end loop;
end;
$function$;
comment on function claim_payment_checks(json,integer,jsonb) is 'Answers attempts that are due to be asked about, and puts each off to its next time, so that who dies with them loses nothing. After the last time a person must look: see exceptions. A gateway that is left alone is asked about one of its own; the others wait, and no question is counted. None is answered of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_payment_checks(json,integer,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_receipts(hasura_session json, p_gateways jsonb, p_limit integer)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function claim_receipts(json,jsonb,integer) is 'Answers captures without a receipt, of gateways that give some: those that wait longest since they were captured, or last asked about, which is now. Younger ones than a minute are the event trigger''s; older ones than three days have no receipt to wait for.';
grant execute on function claim_receipts(json,jsonb,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_refund_checks(hasura_session json, p_limit integer, p_paused jsonb DEFAULT '[]'::jsonb)
 RETURNS SETOF refunds
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    v_ids constant uuid[] := lock_due_refunds(
        (hasura_session ->> 'x-hasura-livemode')::boolean,
        p_limit,
        array(select jsonb_array_elements_text(p_paused))
    );
    v_refund refunds;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    for v_refund in
        update refunds
        set
            checks = checks + 1,
            next_check_at = clock_now() + check_delay(checks + 1)
        where id = any(v_ids)
        returning *
    loop
        if v_refund.next_check_at is null then
            perform record_exception(
                v_refund.organization_id, v_refund.livemode, 'refund-unresolved', 'refund',
                v_refund.id, v_refund.amount, v_refund.currency,
                case v_refund.status
                    when 'succeeded' then format(
                        'succeeded at %s, and the gateway does not say whether it came back',
                        v_refund.succeeded_at
                    )
                    else format('%s since %s', v_refund.status, v_refund.created_at)
                end
            );
        end if;
        return next v_refund;
    end loop;
end;
$function$;
comment on function claim_refund_checks(json,integer,jsonb) is 'Answers refunds that are due to be asked about, and puts each off to its next time, so that who dies with them loses nothing. After the last time a person must look: see exceptions. Those of a gateway that is left alone wait, and no question is counted, but for one in half a minute that finds out whether it answers. None is answered of p_paused, gateways that whoever calls is to ask nothing.';
grant execute on function claim_refund_checks(json,integer,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_refund_searches(hasura_session json, p_limit integer, p_paused jsonb DEFAULT '[]'::jsonb)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function claim_refund_searches(json,integer,jsonb) is 'Answers payments whose refunds are due to be asked for, and puts each off by half an hour, so that who dies with them, or hears nothing, loses nothing. After a week of silence a person must look: see exceptions. Those of a gateway that is left alone wait, but for one in half a minute; none is answered of p_paused.';
grant execute on function claim_refund_searches(json,integer,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.claim_return_checks(hasura_session json, p_payment_intent_id uuid)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempts payment_attempts[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_attempts := array(
        select payment_attempts
        from payment_attempts
        where payment_intent_id = p_payment_intent_id
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
            and status in ('created', 'unknown', 'pending', 'processing', 'authorized')
            and coalesce(returned_at <= clock_now() - interval '5 seconds', true)
        order by id
        for no key update
    );

    return query
    update payment_attempts
    set returned_at = clock_now()
    where id = any(array(
        select attempt.id
        -- Sorted before it is asked: circuits have their order, too.
        from (select * from unnest(v_attempts) order by gateway offset 0) as attempt
        where may_ask_gateway(attempt.gateway, attempt.livemode, 'look-up')
    ))
    returning *;
end;
$function$;
comment on function claim_return_checks(json,uuid) is 'The attempts of a payment that have not ended, for a payer who comes back: nobody has proved who they are, so each attempt is answered once in five seconds, and its gateway is asked no more often by this. Of a silent gateway none is: its payer is told what is known.';
grant execute on function claim_return_checks(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.clock_now()
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE PARALLEL SAFE
BEGIN ATOMIC
 SELECT (now() + ((clock.skew_seconds)::double precision * '00:00:01'::interval))
    FROM clock;
END;
comment on function clock_now() is 'The time of this transaction; the only clock that SQL may read.';
grant execute on function clock_now() to munim_hasura;

CREATE OR REPLACE FUNCTION public.close_bank_account(hasura_session json, p_bank_account_id uuid)
 RETURNS SETOF bank_accounts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function close_bank_account(json,uuid) is 'Payers are not shown the account any more. It takes one person: nothing can be stolen by it.';
grant execute on function close_bank_account(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.close_gateway_circuit(p_gateway text, p_livemode boolean, p_operation text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 DELETE FROM gateway_circuits
   WHERE ((gateway_circuits.gateway = close_gateway_circuit.p_gateway) AND (gateway_circuits.livemode = close_gateway_circuit.p_livemode) AND (gateway_circuits.operation = close_gateway_circuit.p_operation));
END;
comment on function close_gateway_circuit(text,boolean,text) is 'A gateway answered.';

CREATE OR REPLACE FUNCTION public.compare_order(p_event order_events, p_order orders, p_intent payment_intents)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer text := (select external_id from customers where id = p_order.customer_id);
begin
    if p_event.customer_external_id <> v_customer or p_event.amount is not null
        and (p_event.amount, p_event.currency) is distinct from (p_intent.amount, p_intent.currency)
    then
        perform record_exception(
            p_order.organization_id, p_order.livemode, 'order-mismatch', 'order_event', p_event.id,
            p_event.amount, p_event.currency,
            format('order %s was %s %s of customer %s before', p_order.reference, p_intent.amount,
                p_intent.currency, v_customer)
        );
    end if;
end;
$function$;
comment on function compare_order(order_events,orders,payment_intents) is 'A message with another amount or customer than the order''s is listed for a person; the first one holds.';

CREATE OR REPLACE FUNCTION public.count_page_tries(p_page payment_pages, p_address_hash text, p_window interval, p_setting text, p_else integer)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_allowed constant integer := tries_allowed(p_page.organization_id, p_setting, p_else);
    v_began_after constant timestamptz := clock_now() - p_window;
    v_tries integer;
begin
    insert into page_tries as known (organization_id, livemode, address_hash, tries, began_at)
    values (p_page.organization_id, p_page.livemode, p_address_hash, 1, clock_now())
    on conflict (address_hash, organization_id, livemode) do update
    set
        tries = case when known.began_at > v_began_after then known.tries + 1 else 1 end,
        began_at = case
            when known.began_at > v_began_after then known.began_at else excluded.began_at
        end
    returning tries into v_tries;

    if v_tries > v_allowed then
        raise exception 'too-many-requests: more than % payments were begun from this % within %',
            v_allowed, case p_address_hash when '' then 'shop''s pages' else 'address' end, p_window
            using errcode = '22B24';
    end if;
end;
$function$;
comment on function count_page_tries(payment_pages,text,interval,text,integer) is 'Counts an attempt that is about to be begun, in a window of time that begins with the first; refuses it where its address, or for no address all of them together, has begun too many.';

CREATE OR REPLACE FUNCTION public.count_page_try(p_page payment_pages, p_address_hash text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    -- Thirty: behind one address of a mobile network there are many payers.
    perform count_page_tries(
        p_page, p_address_hash, interval '1 hour', 'page_tries_per_address', 30
    );
    -- Five a second: who tries cards from very many addresses is no faster than that.
    perform count_page_tries(p_page, '', interval '1 minute', 'page_tries_per_minute', 300);

    -- Each one that comes takes two away that count no more, so that what is kept does not grow.
    with old as (
        select address_hash, organization_id, livemode
        from page_tries
        where began_at <= clock_now() - interval '1 day'
        order by began_at
        limit 2
        for update skip locked
    )

    delete from page_tries
    using old
    where page_tries.address_hash = old.address_hash
        and page_tries.organization_id = old.organization_id
        and page_tries.livemode = old.livemode;
end;
$function$;
comment on function count_page_try(payment_pages,text) is 'Counts an attempt that is about to be begun; refuses it where its address has begun too many in an hour, or all addresses together in a minute. What is refused is not counted.';

CREATE OR REPLACE FUNCTION public.cover_lost_surplus(p_refund refunds, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_dispute disputes;
    v_left bigint;
    v_more bigint;
    v_postings ledger_posting[] := '{}';
begin
    select * into strict v_attempt from payment_attempts where id = p_refund.payment_attempt_id;
    v_left := case when v_attempt.is_surplus then surplus_left(v_attempt) else 0 end;
    for v_dispute in
        select * from disputes
        where payment_attempt_id = v_attempt.id and status = 'lost' and covered_amount < amount
            and v_left > 0
        order by id
        for no key update
    loop
        v_more := least(v_left, v_dispute.amount - v_dispute.covered_amount);
        exit when v_more = 0;
        v_left := v_left - v_more;
        update disputes set covered_amount = covered_amount + v_more where id = v_dispute.id;
        v_postings := v_postings || (
            format(
                'dispute-covered:%s:refund:%s%s', v_dispute.id, p_refund.id,
                case when p_refund.is_late then ':late' else '' end
            ),
            'dispute_covered', 'dispute', v_dispute.id, p_occurred_at,
            refund_account(p_refund, source_account(v_attempt), 'liability'),
            refund_account(p_refund, 'dispute_losses', 'expense'), v_more
        )::ledger_posting;
    end loop;
    return v_postings;
end;
$function$;
comment on function cover_lost_surplus(refunds,timestamp with time zone) is 'A refund of a surplus came to nothing that a lost dispute had given back too: what was a loss then was owed after all. Answers what is to be booked with the refund''s end. The attempt is locked.';

CREATE OR REPLACE FUNCTION public.credit_grant_posting(p_intent payment_intents, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_purchase credit_purchases;
    v_customer customers;
begin
    select * into strict v_purchase
    from credit_purchases where payment_intent_id = p_intent.id for no key update;
    select * into strict v_customer from customers where id = v_purchase.customer_id;

    return (
        format('credits:%s', v_purchase.id), 'credit_purchase', 'credit_purchase', v_purchase.id,
        p_occurred_at,
        ledger_account(
            p_intent.organization_id, p_intent.livemode, 'credits_issued', 'asset', 'XCR',
            p_intent.id
        ),
        credit_wallet(v_customer), v_purchase.credits_amount * 10000
    )::ledger_posting;
end;
$function$;
comment on function credit_grant_posting(payment_intents,timestamp with time zone) is 'The credits that were paid for, into the wallet. Locks the purchase.';

CREATE OR REPLACE FUNCTION public.credit_lot_value(p_lot credit_lots, p_credits numeric)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((p_credits = (0)::numeric) OR ((p_lot).amount = (p_lot).amount_recalled)) THEN (0)::bigint
             ELSE (div((((((((p_lot).amount - (p_lot).amount_recalled))::numeric * p_credits) * (10000)::numeric) + (((p_lot).granted - (p_lot).recalled) * (10000)::numeric)) - (1)::numeric), (((p_lot).granted - (p_lot).recalled) * (10000)::numeric)))::bigint
         END AS div;
END;
comment on function credit_lot_value(credit_lots,numeric) is 'What a lot owes while so many of its credits are free, rounded up, in minor units. It depends on nothing else, so that many small steps earn what one large step does, and the last the rest.';

CREATE OR REPLACE FUNCTION public.credit_part_postings(p_customer customers, p_parts credit_part[], p_sign integer, p_revenue_code text, p_fact ledger_posting)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_wallet constant uuid := credit_wallet(p_customer);
    v_issued uuid;
    v_granted uuid;
    v_credits numeric;
    v_given numeric;
    v_money record;
    v_postings ledger_posting[] := '{}';
begin
    select sum(credits), coalesce(sum(credits) filter (where not is_bought), 0)
    into v_credits, v_given
    from unnest(p_parts);
    if v_credits > v_given then
        v_issued := ledger_account(
            p_customer.organization_id, p_customer.livemode, 'credits_issued', 'asset', 'XCR',
            p_fact.reference_id
        );
    end if;
    if v_given > 0 then
        v_granted := ledger_account(
            p_customer.organization_id, p_customer.livemode, 'credits_granted', 'expense', 'XCR',
            p_fact.reference_id
        );
    end if;

    -- One transaction for the wallet, whose history its customer reads; given credits among bought ones
    -- then go from the one origin to the other.
    v_postings := v_postings || ledger_movement(
        p_fact, null, v_wallet, coalesce(v_issued, v_granted),
        (p_sign * v_credits * 10000)::bigint
    ) || ledger_movement(
        p_fact, 'granted', v_issued, v_granted,
        case when v_issued is not null then p_sign * v_given * 10000 end::bigint
    );
    for v_money in
        select currency, sum(amount) as amount
        from unnest(p_parts)
        where amount <> 0
        group by currency
        order by currency
    loop
        v_postings := v_postings || ledger_movement(
            p_fact, 'earned:' || v_money.currency,
            ledger_account(
                p_customer.organization_id, p_customer.livemode, 'prepaid_credits', 'liability',
                v_money.currency, p_fact.reference_id
            ),
            ledger_account(
                p_customer.organization_id, p_customer.livemode, p_revenue_code, 'revenue',
                v_money.currency, p_fact.reference_id
            ),
            (p_sign * v_money.amount)::bigint
        );
    end loop;
    return array_remove(v_postings, null);
end;
$function$;
comment on function credit_part_postings(customers,credit_part[],integer,text,ledger_posting) is 'What taking parts of lots books (sign 1), or giving them back (sign -1): credits out of the wallet to where they came from, and their money from owed to earned.';

CREATE OR REPLACE FUNCTION public.credit_posting(p_customer customers, p_code text, p_credits numeric, p_fact_id uuid, p_kind text, p_reference_type text, p_reference_id uuid, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_wallet constant uuid := credit_wallet(p_customer);
    v_source constant uuid := ledger_account(
        p_customer.organization_id, p_customer.livemode, p_code,
        case p_code when 'credits_granted' then 'expense' else 'asset' end, 'XCR', p_fact_id
    );
begin
    return (
        format('%s:%s', replace(p_kind, '_', '-'), p_fact_id), p_kind, p_reference_type,
        p_reference_id, p_occurred_at,
        case when p_credits < 0 then v_wallet else v_source end,
        case when p_credits < 0 then v_source else v_wallet end,
        abs(p_credits) * 10000
    )::ledger_posting;
end;
$function$;
comment on function credit_posting(customers,text,numeric,uuid,text,text,uuid,timestamp with time zone) is 'Credits into the wallet, or out of it when negative; the other side is credits_issued for bought ones, credits_granted for given ones.';

CREATE OR REPLACE FUNCTION public.credit_purchase_facts(p_purchase credit_purchases)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('credit_purchase_id', (p_purchase).id, 'customer_id', (p_purchase).customer_id, 'credits_amount', (p_purchase).credits_amount) AS jsonb_build_object;
END;
comment on function credit_purchase_facts(credit_purchases) is 'What an event about a purchase tells.';

CREATE OR REPLACE FUNCTION public.credit_rate(p_organization_id uuid, p_currency text)
 RETURNS numeric
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_rate numeric;
begin
    select rate into v_rate
    from credit_rates
    where organization_id = p_organization_id and currency = p_currency
        and valid_from <= clock_now()
    order by valid_from desc, id desc
    limit 1;

    if v_rate is null then
        raise exception 'setting-invalid: system_settings.credit_rate_% must be a rate above zero',
            lower(p_currency)
            using errcode = '22B05';
    end if;
    return v_rate;
end;
$function$;
comment on function credit_rate(uuid,text) is 'Credits for one major unit of money: the rate that holds now.';

CREATE OR REPLACE FUNCTION public.credit_wallet(p_customer customers)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_code text := 'credit_wallet:' || p_customer.id;
    v_id uuid;
begin
    select id into v_id
    from ledger_accounts
    where organization_id = p_customer.organization_id and livemode = p_customer.livemode
        and code = v_code and currency = 'XCR';
    if v_id is not null then
        return v_id;
    end if;

    insert into ledger_accounts (
        organization_id, livemode, code, account_type, currency, customer_id, maximum
    )
    values (
        p_customer.organization_id, p_customer.livemode, v_code, 'liability', 'XCR', p_customer.id,
        0
    )
    on conflict on constraint ledger_account_code_is_taken_once do nothing;

    select id into strict v_id
    from ledger_accounts
    where organization_id = p_customer.organization_id and livemode = p_customer.livemode
        and code = v_code and currency = 'XCR';
    return v_id;
end;
$function$;
comment on function credit_wallet(customers) is 'The customer''s wallet, opened at its first use.';

CREATE OR REPLACE FUNCTION public.credits_bought(p_amount bigint, p_currency text, p_rate numeric)
 RETURNS numeric
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_credits numeric := trunc(major_units(p_amount, p_currency) * p_rate, 4);
begin
    if v_credits not between 0.0001 and 1000000000000 then
        raise exception 'amount-out-of-range: % buys % credits at a rate of %',
            p_amount, v_credits, p_rate
            using errcode = '22B07';
    end if;
    return v_credits;
end;
$function$;
comment on function credits_bought(bigint,text,numeric) is 'What an amount buys at a rate; refused where that is nothing.';

CREATE OR REPLACE FUNCTION public.credits_expire_after_days(p_organization_id uuid)
 RETURNS integer
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_value text;
begin
    select value into v_value
    from system_settings
    where organization_id = p_organization_id and key = 'credits_expire_after_days';

    if coalesce(v_value, '1') !~ '^[1-9][0-9]{0,4}$' then
        raise exception 'setting-invalid: system_settings.credits_expire_after_days must be days'
            using errcode = '22B05';
    end if;
    return v_value::integer;
end;
$function$;
comment on function credits_expire_after_days(uuid) is 'How many days credits stay, from system_settings; null without the setting: for ever.';

CREATE OR REPLACE FUNCTION public.customer_at_gateway(p_customer customers, p_gateway text)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(( SELECT payment_methods.gateway_customer_id
            FROM payment_methods
           WHERE ((payment_methods.customer_id = (customer_at_gateway.p_customer).id) AND (payment_methods.gateway = customer_at_gateway.p_gateway))
           ORDER BY payment_methods.created_at DESC, payment_methods.id DESC
          LIMIT 1),
         CASE
             WHEN (p_gateway = 'stripe'::text) THEN (p_customer).stripe_customer_id
             ELSE NULL::text
         END) AS "coalesce";
END;
comment on function customer_at_gateway(customers,text) is 'Who a customer is to a gateway; null where it knows them not.';

CREATE OR REPLACE FUNCTION public.date_credit_rate(p_organization_id uuid, p_key text, p_value text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    insert into credit_rates (organization_id, currency, rate, created_by)
    select
        p_organization_id, currencies.code,
        case
            when p_value ~ '^[0-9]{1,12}([.][0-9]{1,6})?$' then nullif(p_value::numeric, 0)
        end,
        coalesce(
            nullif(current_setting('hasura.user', true), '')::json ->> 'x-hasura-user-id',
            session_user
        )
    from currencies
    where p_key = 'credit_rate_' || lower(currencies.code);
end;
$function$;
comment on function date_credit_rate(uuid,text,text) is 'A value of a setting that names a rate becomes the rate from now on. What is no rate sells nothing.';

CREATE OR REPLACE FUNCTION public.decline_autopay_charge(p_charge autopay_charges, p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_mandate autopay_mandates;
    v_reason text := coalesce(p_attempt.failure_code, p_attempt.status);
begin
    select * into strict v_mandate from autopay_mandates where id = p_charge.autopay_mandate_id;
    if v_mandate.status <> 'active' then
        perform skip_autopay_charge(p_charge, v_mandate.status);
    elsif p_attempt.status = 'canceled' or exists (
        select from payment_intents
        where id = p_attempt.payment_intent_id and status = 'canceled'
    ) then
        -- And so is what was owed.
        perform skip_autopay_charge(
            p_charge,
            case
                when is_autopay_month_paid(p_charge.payment_intent_id) then 'paid-already'
                else 'canceled'
            end
        );
    elsif p_attempt.decline_class in ('hard', 'fraud') then
        update autopay_charges
        set status = 'failed', reason = v_reason, lease_until = null
        where id = p_charge.id
        returning * into strict p_charge;
        perform tell_of_autopay_charge(p_charge, 'autopay.failed');
        perform hold_autopay_mandate(v_mandate, 'payment-method-refused');
    elsif p_attempt.decline_class = 'authentication' then
        perform ask_autopay_payer(p_charge, v_reason);
    else
        perform retry_autopay_charge(p_charge, v_reason);
    end if;
end;
$function$;
comment on function decline_autopay_charge(autopay_charges,payment_attempts) is 'What a decline means: another day, the payer''s presence, or never again with this method.';

CREATE OR REPLACE FUNCTION public.declined_at_by(p_finding jsonb, p_occurred_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(((p_finding ->> 'declined_at'::text))::timestamp with time zone, p_occurred_at) AS "coalesce"
   WHERE ((p_finding ->> 'decline_class'::text) IS NOT NULL);
END;
comment on function declined_at_by(jsonb,timestamp with time zone) is 'When the try was declined that a gateway tells of; null where it tells of none.';

CREATE OR REPLACE FUNCTION public.dispute_account(p_dispute disputes, p_code text, p_account_type text, p_currency text)
 RETURNS uuid
 LANGUAGE sql
BEGIN ATOMIC
 SELECT ledger_account((p_dispute).organization_id, (p_dispute).livemode, p_code, p_account_type, p_currency, (p_dispute).payment_intent_id) AS ledger_account;
END;
comment on function dispute_account(disputes,text,text,text) is 'The account of this code that a dispute is booked on.';

CREATE OR REPLACE FUNCTION public.dispute_end_postings(p_dispute disputes, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_postings ledger_posting[];
begin
    if p_dispute.status = 'under_review' then
        return '{}';
    end if;
    v_postings := dispute_movements(p_dispute, 'dispute_' || p_dispute.status, p_occurred_at);
    if not exists (select from credit_recalls where refund_id = p_dispute.id) then
        return v_postings;
    end if;
    if p_dispute.status = 'won' then
        perform release_purchase_credits(p_dispute.id);
        return v_postings;
    end if;
    v_postings := v_postings || purchase_credits_posting(p_dispute.id, p_occurred_at);
    return array_remove(v_postings, null);
end;
$function$;
comment on function dispute_end_postings(disputes,timestamp with time zone) is 'All that is booked when a dispute ends; the frozen credits are free again, or gone. Nothing is while it is under review.';

CREATE OR REPLACE FUNCTION public.dispute_facts(p_dispute disputes)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('dispute_id', (p_dispute).id, 'payment_intent_id', (p_dispute).payment_intent_id, 'payment_attempt_id', (p_dispute).payment_attempt_id, 'amount', (p_dispute).amount, 'currency', (p_dispute).currency, 'reason', (p_dispute).reason, 'status', (p_dispute).status, 'evidence_due_at', (p_dispute).evidence_due_at) AS jsonb_build_object;
END;
comment on function dispute_facts(disputes) is 'What an event about a dispute tells.';

CREATE OR REPLACE FUNCTION public.dispute_movements(p_dispute disputes, p_kind text, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_fact constant ledger_posting := (
        format('%s:%s', replace(p_kind, '_', '-'), p_dispute.id), p_kind, 'dispute', p_dispute.id,
        p_occurred_at, null, null, null
    );
    v_currency constant text := case
        when p_kind = 'dispute_fee' then p_dispute.fee_currency else p_dispute.currency
    end;
    v_gateway uuid;
    v_held uuid;
begin
    if p_kind <> 'dispute_lost' then
        v_gateway := dispute_account(
            p_dispute, 'gateway:' || p_dispute.gateway, 'asset', v_currency
        );
    end if;
    if p_kind = 'dispute_fee' then
        return array_remove(
            array[ledger_movement(
                v_fact, null,
                dispute_account(p_dispute, 'dispute_fees', 'expense', v_currency), v_gateway,
                p_dispute.fee_amount
            )],
            null
        );
    end if;

    v_held := dispute_account(p_dispute, 'disputes', 'asset', v_currency);
    if p_kind = 'dispute' then
        return array[ledger_movement(v_fact, null, v_held, v_gateway, p_dispute.amount)];
    elsif p_kind = 'dispute_won' then
        return array[ledger_movement(v_fact, null, v_gateway, v_held, p_dispute.amount)];
    end if;

    select * into strict v_attempt from payment_attempts where id = p_dispute.payment_attempt_id;
    return array_remove(
        array[
            ledger_movement(
                v_fact, null,
                dispute_account(p_dispute, source_account(v_attempt), 'liability', v_currency),
                v_held, p_dispute.covered_amount
            ),
            ledger_movement(
                v_fact, 'loss',
                dispute_account(p_dispute, 'dispute_losses', 'expense', v_currency), v_held,
                p_dispute.amount - p_dispute.covered_amount
            )
        ],
        null
    );
end;
$function$;
comment on function dispute_movements(disputes,text,timestamp with time zone) is 'dispute: the gateway took the money back; dispute_won: it is there again; dispute_lost: it is gone, partly as what we owed anyway; dispute_fee: what the gateway charges for it.';

CREATE OR REPLACE FUNCTION public.dispute_of_notice(p_event gateway_events)
 RETURNS disputes
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_dispute disputes;
begin
    select * into v_dispute
    from disputes
    where gateway_dispute_id = p_event.notice ->> 'gateway_dispute_id'
        and gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode
    for no key update;
    return v_dispute;
end;
$function$;
comment on function dispute_of_notice(gateway_events) is 'The dispute that a message is about, locked, or a null row.';

CREATE OR REPLACE FUNCTION public.due_credit_lots(p_livemode boolean, p_limit integer)
 RETURNS SETOF credit_lots
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_organization_id uuid;
begin
    -- One organisation at a time: its ledger accounts are locked in one call, in one order.
    select organization_id into v_organization_id
    from credit_lots
    where remaining > held and expires_at <= clock_now() and livemode = p_livemode
    order by expires_at, id
    limit 1;
    if v_organization_id is not null then
        return query
        select * from credit_lots
        where remaining > held and expires_at <= clock_now() and livemode = p_livemode
            and organization_id = v_organization_id
        order by expires_at, id
        limit p_limit
        for no key update skip locked;
        return;
    end if;

    -- Money for no credits: a refund of less than the smallest part of a credit failed after all.
    select organization_id into v_organization_id
    from credit_lots
    where remaining = 0 and amount_remaining > 0 and livemode = p_livemode
    order by id
    limit 1;
    return query
    select * from credit_lots
    where remaining = 0 and amount_remaining > 0 and livemode = p_livemode
        and organization_id = v_organization_id
    order by expires_at asc nulls last, id
    limit p_limit
    for no key update skip locked;
end;
$function$;
comment on function due_credit_lots(boolean,integer) is 'Locks lots of one organisation that have expired, the oldest first, without waiting for anybody.';

CREATE OR REPLACE FUNCTION public.due_date(p_day_of_month integer, p_month date)
 RETURNS date
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT LEAST((((date_trunc('month'::text, (p_month)::timestamp without time zone))::date + p_day_of_month) - 1), (((date_trunc('month'::text, (p_month)::timestamp without time zone) + '1 mon'::interval))::date - 1)) AS "least";
END;
comment on function due_date(integer,date) is 'The day of a month, or its last one where the month is shorter. Reckoned from the month anew each time, so that a 31st that was a 28th in February is a 31st again in March.';

CREATE OR REPLACE FUNCTION public.end_autopay_mandate(p_mandate autopay_mandates, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function end_autopay_mandate(autopay_mandates,text) is 'Nothing is begun any more. A charge whose attempt is open is left to its gateway''s answer.';

CREATE OR REPLACE FUNCTION public.end_dispute_poll(hasura_session json, p_gateway text, p_begun_at timestamp with time zone)
 RETURNS SETOF dispute_polls
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update dispute_polls
    set complete_until = greatest(complete_until, p_begun_at)
    where gateway = p_gateway and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and p_begun_at <= begun_at
    returning *;
end;
$function$;
comment on function end_dispute_poll(json,text,timestamp with time zone) is 'A gateway''s list was read to its end, or it was asked about everything that is open, and all that it said is kept.';
grant execute on function end_dispute_poll(json,text,timestamp with time zone) to munim_hasura;

CREATE OR REPLACE FUNCTION public.end_invariant_checks(hasura_session json)
 RETURNS SETOF exceptions
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform list_invariant(
        hasura_session, 'invariant-not-read', name,
        format('not read to its end since %s', coalesce(read_at, created_at))
    )
    from invariant_checks
    where coalesce(read_at, created_at) < clock_now() - interval '6 hours';
    perform list_installation_faults(hasura_session);
    perform list_waiting_events((hasura_session ->> 'x-hasura-livemode')::boolean);

    return query
    select * from exceptions
    where class in ('invariant-broken', 'invariant-not-read', 'installation-unsafe')
        and resolved_at is null
    order by class, object_type;
end;
$function$;
comment on function end_invariant_checks(json) is 'Answers what is broken and what is not known, among it what nobody has read for six hours; and how the database itself is not as it must be. Lists events that wait for a day after their turn.';
grant execute on function end_invariant_checks(json) to munim_hasura;

CREATE OR REPLACE FUNCTION public.end_page_check(hasura_session json, p_payment_attempt_id uuid, p_next_check_at timestamp with time zone, p_is_undecided boolean)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    return query
    update payment_attempts
    set next_check_at = null
    where id = p_payment_attempt_id and status = 'captured'
        and next_check_at is not distinct from p_next_check_at
        and (
            not p_is_undecided
            -- Razorpay asks banks for three days what became of a payment; nobody asks for longer.
            or not exists (
                select from checkout_sessions
                where payment_attempt_id = payment_attempts.id
                    and page_is_left_at(expires_at) > clock_now() - interval '3 days'
            )
        )
    returning *;
end;
$function$;
comment on function end_page_check(json,uuid,timestamp with time zone,boolean) is 'All payments of a captured attempt''s page have been looked at, and brought through the door. While one of them may still take money it is asked about again each day, until three days after the page has closed. So it is where p_next_check_at is not its time any more: since that was claimed, a hint has told of something new.';
grant execute on function end_page_check(json,uuid,timestamp with time zone,boolean) to munim_hasura;

CREATE OR REPLACE FUNCTION public.end_refund_look(hasura_session json, p_refund_id uuid, p_looks integer)
 RETURNS SETOF refunds
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    update refunds
    set
        looks = looks + 1,
        checks = 0,
        next_check_at = clock_now() + (refund_look_age(looks + 1) - refund_look_age(looks))
    where id = p_refund_id and status = 'succeeded' and looks = p_looks and looks < 3
    returning * into v_refund;
    if v_refund.id is not null then
        perform resolve_exception('refund-unresolved', 'refund', v_refund.id);
        return next v_refund;
    end if;
end;
$function$;
comment on function end_refund_look(json,uuid,integer) is 'The gateway has answered what became of a refund that succeeded, after so many looks before, and its answer is kept: that look counts, and the next one is due in its time. Called again it changes nothing.';
grant execute on function end_refund_look(json,uuid,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.end_refund_search(hasura_session json, p_payment_attempt_id uuid, p_is_found boolean)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function end_refund_search(json,uuid,boolean) is 'The gateway has listed the refunds of a payment, and what our books had not is kept. Where there was nothing of the kind it is asked once more an hour later, for a list may lag, and then no more.';
grant execute on function end_refund_search(json,uuid,boolean) to munim_hasura;

CREATE OR REPLACE FUNCTION public.end_report(hasura_session json, p_gateway text, p_day date)
 RETURNS SETOF dispute_polls
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update dispute_polls
    set reports_until = greatest(reports_until, p_day)
    where gateway = p_gateway and livemode::text = hasura_session ->> 'x-hasura-livemode'
    returning *;
end;
$function$;
comment on function end_report(json,text,date) is 'A gateway''s report of what it settled on a day was read to its end, and what our books have not is being asked for. Called twice, or for an earlier day: nothing.';
grant execute on function end_report(json,text,date) to munim_hasura;

CREATE OR REPLACE FUNCTION public.expected_gateway_fee(p_gateway text, p_method text, p_amount bigint, p_currency text, p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (round((found.fee + ((found.fee * found.tax_percent) / (100)::numeric))))::bigint AS round
    FROM ( SELECT (round((((expected_gateway_fee.p_amount)::numeric * gateway_fees.percent) / (100)::numeric)) + (gateway_fees.fixed)::numeric) AS fee,
             gateway_fees.tax_percent
            FROM gateway_fees
           WHERE ((gateway_fees.gateway = expected_gateway_fee.p_gateway) AND (gateway_fees.currency = expected_gateway_fee.p_currency) AND (NOT (COALESCE(gateway_fees.method, expected_gateway_fee.p_method) IS DISTINCT FROM expected_gateway_fee.p_method)) AND (gateway_fees.valid_from <= expected_gateway_fee.p_at))
           ORDER BY gateway_fees.method, gateway_fees.valid_from DESC
          LIMIT 1) found;
END;
comment on function expected_gateway_fee(text,text,bigint,text,timestamp with time zone) is 'What a gateway will keep of a payment, with the tax on it, in minor units; null: nobody knows.';

CREATE OR REPLACE FUNCTION public.expire_credits(hasura_session json, p_limit integer)
 RETURNS SETOF credit_lots
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_lot credit_lots;
    v_lots credit_lots[];
    v_customer customers;
    v_part credit_part;
    v_postings ledger_posting[] := '{}';
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_lots := array(
        select due from due_credit_lots((hasura_session ->> 'x-hasura-livemode')::boolean, p_limit) as due
    );

    foreach v_lot in array v_lots loop
        select * into strict v_customer from customers where id = v_lot.customer_id;
        v_part := take_credits(v_lot, v_lot.remaining - v_lot.held, true);
        v_postings := v_postings || credit_part_postings(
            v_customer, array[v_part], 1, 'credit_breakage',
            (
                format('expiry:%s:%s', v_lot.id, v_lot.expiries + 1), 'credit_expiry', 'credit_lot',
                v_lot.id, clock_now(), null, null, null
            )::ledger_posting
        );
        perform record_event(
            v_lot.organization_id, v_lot.livemode, 'credits.expired', 'credit_lot', v_lot.id,
            jsonb_build_object(
                'credit_lot_id', v_lot.id, 'customer_id', v_lot.customer_id,
                'credits_amount', v_part.credits, 'expires_at', v_lot.expires_at
            )
        );
    end loop;

    if cardinality(v_postings) > 0 then
        perform post_ledger_transactions(v_lot.organization_id, v_lot.livemode, v_postings);
    end if;
    return query
    select * from credit_lots where id in (select lot.id from unnest(v_lots) as lot);
end;
$function$;
comment on function expire_credits(json,integer) is 'Takes expired credits out of the wallets, a batch of lots at a time; what was paid for them is breakage. Answers the lots; none when nothing is due.';
grant execute on function expire_credits(json,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.expiry_notice_at(p_expires_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (p_expires_at - '7 days'::interval);
END;
comment on function expiry_notice_at(timestamp with time zone) is 'When it is told that credits will expire.';

CREATE OR REPLACE FUNCTION public.fail_autopay_setup(p_mandate autopay_mandates, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update autopay_mandates
    set status = 'failed', reason = p_reason, next_check_at = null
    where id = p_mandate.id
    returning * into strict p_mandate;
    perform tell_of_autopay_mandate(p_mandate, 'autopay.setup_failed');
end;
$function$;
comment on function fail_autopay_setup(autopay_mandates,text) is 'The page was closed without a payment method.';

CREATE OR REPLACE FUNCTION public.fail_checkout(hasura_session json, p_payment_attempt_id uuid, p_failure_code text, p_failure_message text)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts := acting_attempt(hasura_session, p_payment_attempt_id);
begin
    if v_attempt.status in ('created', 'unknown') then
        perform move_payment_attempt(v_attempt, 'failed', jsonb_build_object(
            'failure_code', p_failure_code, 'failure_message', p_failure_message,
            'decline_class', 'gateway'
        ));
    end if;
    perform close_gateway_circuit(v_attempt.gateway, v_attempt.livemode, 'open');
    return query select * from payment_attempts where id = v_attempt.id;
end;
$function$;
comment on function fail_checkout(json,uuid,text,text) is 'The gateway refused for good to open a page, and so it answers. Nothing happens to an attempt that has one.';
grant execute on function fail_checkout(json,uuid,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.find_orders(hasura_session json, p_display_id text)
 RETURNS SETOF orders
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    return query
    select * from orders
    where display_id = p_display_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and organization_id::text
            = coalesce(hasura_session ->> 'x-hasura-organization-id', organization_id::text);
end;
$function$;
comment on function find_orders(json,text) is 'The orders of a display id that the session may see; more than one where it names no organisation.';
grant execute on function find_orders(json,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.finish_autopay_charge(p_charge autopay_charges)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_charge autopay_charges;
begin
    update autopay_charges
    set status = 'succeeded', reason = null, next_try_at = null, lease_until = null
    where id = p_charge.id
    returning * into strict v_charge;
    perform tell_of_autopay_charge(v_charge, 'autopay.succeeded');
    perform resolve_autopay_exceptions(p_charge);  -- as it stood: the reason is gone now
end;
$function$;
comment on function finish_autopay_charge(autopay_charges) is 'The month is paid.';

CREATE OR REPLACE FUNCTION public.finish_autopay_charges(p_attempts payment_attempts[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[] := array(
        select autopay_charges.id from unnest(p_attempts) as attempt
        inner join autopay_charges
            on autopay_charges.payment_intent_id = attempt.payment_intent_id
    );
    v_charges autopay_charges[];
begin
    if cardinality(v_ids) = 0 then
        return;
    end if;
    perform from autopay_mandates
    where id in (select autopay_mandate_id from autopay_charges where id = any(v_ids))
    order by id
    for no key update;
    perform from autopay_charges where id = any(v_ids) order by id for no key update;

    with finished as (
        update autopay_charges
        set status = 'succeeded', reason = null, next_try_at = null, lease_until = null
        where id = any(v_ids)
        returning autopay_charges as charge
    )

    select array_agg(charge) into v_charges from finished;
    perform record_events(array(
        select row(
            null, charge.organization_id, charge.livemode, 'autopay.succeeded', 'autopay_charge',
            charge.id, null, autopay_facts(charge), null
        )::events
        from unnest(v_charges) as charge
    ));
    perform resolve_autopay_exceptions(charge) from unnest(v_charges) as charge;
end;
$function$;
comment on function finish_autopay_charges(payment_attempts[]) is 'The months of these payments, which are being charged, are paid. Lock order: mandates, charges, each by id.';

CREATE OR REPLACE FUNCTION public.finish_credit_purchase(p_intent payment_intents, p_ledger_transaction_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_purchase credit_purchases;
begin
    update credit_purchases
    set ledger_transaction_id = p_ledger_transaction_id, granted_at = clock_now()
    where payment_intent_id = p_intent.id
    returning * into strict v_purchase;
    perform open_credit_lots(array[v_purchase]);

    perform record_event(
        p_intent.organization_id, p_intent.livemode, 'credits.granted', 'credit_purchase',
        v_purchase.id, credit_purchase_facts(v_purchase)
    );
end;
$function$;
comment on function finish_credit_purchase(payment_intents,uuid) is 'The grant is booked: the purchase says so, and the world hears.';

CREATE OR REPLACE FUNCTION public.first_autopay_due(p_mandate autopay_mandates, p_after timestamp with time zone)
 RETURNS date
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function first_autopay_due(autopay_mandates,timestamp with time zone) is 'The first due date after a moment, in a month that is neither written down for this mandate nor charged by the one it replaces: a customer pays once a month however often they change it.';

CREATE OR REPLACE FUNCTION public.fitting_width(p_check invariant_checks, p_milliseconds bigint)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((p_check).key_column IS NULL) THEN (p_check).width
             WHEN (p_milliseconds > 1000) THEN GREATEST(((p_check).width / 4), 1)
             WHEN (p_milliseconds < 100) THEN LEAST(((p_check).width * 2), 4096)
             ELSE (p_check).width
         END AS width;
END;
comment on function fitting_width(invariant_checks,bigint) is 'How much to read at once after so much took so long. The service waits for three seconds.';

CREATE OR REPLACE FUNCTION public.follow_hint(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return case p_event.notice ->> 'subject'
        when 'refund' then case
            when ask_refund_now(p_event) then true
            else search_hinted_refund(p_event, p_attempt)
        end
        when 'dispute' then ask_dispute_soon(p_event, p_attempt)
        else false
    end;
end;
$function$;
comment on function follow_hint(gateway_events,payment_attempts) is 'Has a gateway asked about a refund or a dispute that it, or somebody in its name, hints at, or for all refunds of a payment where it is none of ours; false where there is nothing to do. However often it is called, the gateway is asked once in five minutes.';

CREATE OR REPLACE FUNCTION public.follow_order(p_order orders, p_intent payment_intents, p_session json)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_said text[] := array(
        select distinct order_event_types.meaning
        from order_events
        inner join order_event_types on order_event_types.type = order_events.type
        where order_events.reference = p_order.reference
            and order_events.organization_id = p_order.organization_id
            and order_events.livemode = p_order.livemode
            and (
                order_event_types.meaning = 'canceled'
                or starts_order_charge(p_order.organization_id, order_events.type)
            )
    );
begin
    if 'canceled' = any(v_said) then
        perform cancel_order(p_order, p_intent, p_session);
    elsif cardinality(v_said) > 0 then
        perform charge_order(p_order, p_intent);
    end if;
end;
$function$;
comment on function follow_order(orders,payment_intents,json) is 'What follows from all that was said of an order. Called off is called off, whatever came when.';

CREATE OR REPLACE FUNCTION public.forget_deliveries(hasura_session json, p_days integer)
 RETURNS SETOF retention_marks
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_end constant timestamptz := clock_now() - make_interval(days => p_days);
    v_deleted bigint;
begin
    if hasura_session ->> 'x-hasura-role' is distinct from 'service'
        or to_regclass('hdb_catalog.event_log') is null
    then
        return;
    end if;
    execute '
        with old as (
            delete from hdb_catalog.event_log
            where id = any(array(
                select id
                from hdb_catalog.event_log
                where (delivered or error or archived) and created_at < $1
                limit 2000
                for update skip locked
            ))
            returning id
        ), calls as (
            delete from hdb_catalog.event_invocation_logs using old
            where event_invocation_logs.event_id = old.id
        )
        select count(*) from old
    ' into v_deleted using v_end at time zone 'UTC';
    return query
    select 'deliveries', (hasura_session ->> 'x-hasura-livemode')::boolean, v_end
    where v_deleted > 0;
end;
$function$;
comment on function forget_deliveries(json,integer) is 'Takes up to 2,000 events that Hasura is done with, and is for so many days, out of its log, with the calls it made; answers nothing where there are none. What it is still to deliver stays. The outbox keeps the facts.';
grant execute on function forget_deliveries(json,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.forget_gateway_messages(hasura_session json, p_days integer)
 RETURNS SETOF retention_marks
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_kind constant text := 'gateway_messages';
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_end constant timestamptz := clock_now() - make_interval(days => p_days);
    v_mark retention_marks;
    v_until timestamptz;
    v_ids uuid[] := '{}';
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    if not exists (select from retention_marks where kind = v_kind and livemode = v_livemode) then
        insert into retention_marks (kind, livemode, forgotten_until)
        select v_kind, v_livemode, coalesce(min(created_at), v_end)
        from gateway_events
        where livemode = v_livemode
        on conflict (kind, livemode) do nothing;
    end if;
    select * into strict v_mark
    from retention_marks
    where kind = v_kind and livemode = v_livemode
    for no key update;

    -- Hour by hour, past those in which there is nothing: whoever looks at all of them reads all.
    v_until := v_mark.forgotten_until;
    while v_until < v_end and cardinality(v_ids) = 0 loop
        v_mark.forgotten_until := v_until;
        v_until := least(v_until + interval '1 hour', v_end);
        -- What a person is still to look at stays whole; so does what is not applied yet.
        v_ids := array(
            select id
            from gateway_events
            where created_at >= v_mark.forgotten_until and created_at < v_until
                and livemode = v_livemode and status in ('applied', 'ignored') and payload <> '{}'
            order by id
            for no key update
        );
    end loop;
    update gateway_events set payload = '{}' where id = any(v_ids);
    update retention_marks set forgotten_until = v_until
    where kind = v_kind and livemode = v_livemode and forgotten_until < v_until
    returning * into v_mark;
    if cardinality(v_ids) > 0 then
        return next v_mark;
    end if;
end;
$function$;
comment on function forget_gateway_messages(json,integer) is 'Forgets the wording of an hour''s messages that are older than so many days, and answers how far it has come; nothing where all of them are forgotten. Called at any time, twice or late, it goes on where it was.';
grant execute on function forget_gateway_messages(json,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.forget_held_payment(p_event gateway_events, p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform resolve_exception('duplicate-payment', 'gateway_event', id)
    from gateway_events
    where payment_attempt_id = p_attempt.id and status = 'parked'
        and notice ->> 'gateway_payment_id' = p_event.notice ->> 'gateway_payment_id';
    perform note_gateway_event(
        p_event.id, 'ignored', p_attempt, 'what was held beside the captured payment is given up'
    );
end;
$function$;
comment on function forget_held_payment(gateway_events,payment_attempts) is 'Takes what was held on a page beside its captured payment off the list: its payer has it back. Whoever tells later that it is held tells what was before.';

CREATE OR REPLACE FUNCTION public.forget_unreadable_dispute(p_event gateway_events, p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform resolve_exception('unreadable-dispute', 'gateway_event', id)
    from gateway_events
    where status = 'parked' and gateway = p_event.gateway and livemode = p_event.livemode
        and notice ->> 'outcome' = 'unreadable'
        and notice ->> 'gateway_dispute_id' = p_event.notice ->> 'gateway_dispute_id'
        and (
            payment_attempt_id = p_attempt.id
            or (payment_attempt_id is null and notice ->> 'gateway_payment_id' is null)
        );
end;
$function$;
comment on function forget_unreadable_dispute(gateway_events,payment_attempts) is 'Takes a dispute off the list of what cannot be read: its gateway has told of it in words that can.';

CREATE OR REPLACE FUNCTION public.free_display_id(p_customer customers)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id text;
begin
    loop
        v_id := 'TXN-' || upper(left(replace(gen_random_uuid()::text, '-', ''), 10));
        exit when not exists (
            select from orders
            where display_id = v_id and organization_id = p_customer.organization_id
                and livemode = p_customer.livemode
        );
    end loop;
    return v_id;
end;
$function$;
comment on function free_display_id(customers) is '40 random bits: enough for people, so it is looked at first.';

CREATE OR REPLACE FUNCTION public.gateway_instead(p_attempt payment_attempts, p_intent payment_intents, p_method text, p_able text[])
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return choose_gateway(p_intent, p_method, null, array_remove(p_able, p_attempt.gateway));
exception
    when sqlstate '22B05' or sqlstate '22B23' then
        return case
            when p_attempt.gateway = any(p_able) and p_method is distinct from (
                select method from checkout_sessions where payment_attempt_id = p_attempt.id
            ) then p_attempt.gateway
        end;
end;
$function$;
comment on function gateway_instead(payment_attempts,payment_intents,text,text[]) is 'The gateway that takes the place of a silent one: another, or for another method the same. Null where there is none: then the silent one is asked again.';

CREATE OR REPLACE FUNCTION public.gateway_payment_key(p_gateway text, p_livemode boolean, p_gateway_payment_id text)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT hashtextextended(format('gateway_payment %s %s %s'::text, p_gateway, p_livemode, p_gateway_payment_id), (0)::bigint) AS hashtextextended;
END;
comment on function gateway_payment_key(text,boolean,text) is 'The advisory lock under which a gateway''s payment becomes known, or a message of it is found to be nobody''s.';

CREATE OR REPLACE FUNCTION public.gateways_of_payments(p_livemode boolean)
 RETURNS SETOF text
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 WITH RECURSIVE places(place) AS (
          SELECT min(
                 CASE
                     WHEN (payment_attempts.gateway_payment_id IS NOT NULL) THEN ((payment_attempts.gateway || ' '::text) || (payment_attempts.livemode)::text)
                     ELSE NULL::text
                 END) AS min
            FROM payment_attempts
         UNION ALL
          SELECT ( SELECT min(payments.place) AS min
                    FROM ( SELECT
                                 CASE
                                     WHEN (payment_attempts.gateway_payment_id IS NOT NULL) THEN ((payment_attempts.gateway || ' '::text) || (payment_attempts.livemode)::text)
                                     ELSE NULL::text
                                 END AS place
                            FROM payment_attempts) payments
                   WHERE (payments.place > places_1.place)) AS min
            FROM places places_1
           WHERE (places_1.place IS NOT NULL)
         )
  SELECT split_part(places.place, ' '::text, 1) AS split_part
    FROM places
   WHERE ((split_part(places.place, ' '::text, 2) = (gateways_of_payments.p_livemode)::text) AND (NOT is_by_hand(split_part(places.place, ' '::text, 1))));
END;
comment on function gateways_of_payments(boolean) is 'The gateways that have ever had a payment of ours.';

CREATE OR REPLACE FUNCTION public.give_back_recall(p_recall credit_recalls, p_status text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_taken numeric := case p_recall.status when 'taken' then p_recall.credits_amount else 0 end;
begin
    update credit_lots
    set
        remaining = remaining + v_taken,
        held = held - (p_recall.credits_amount - v_taken),
        recalled = recalled - p_recall.credits_amount,
        amount_remaining = amount_remaining + p_recall.amount,
        amount_recalled = amount_recalled - p_recall.amount
    where id = p_recall.credit_lot_id;
    update credit_recalls set status = p_status where id = p_recall.id;
end;
$function$;
comment on function give_back_recall(credit_recalls,text) is 'The lot owes again what the refund had taken.';

CREATE OR REPLACE FUNCTION public.give_credits_back(p_line credit_spend_lots, p_credits numeric)
 RETURNS credit_part
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_amount bigint := div(
        p_line.amount * (p_line.credits_returned + p_credits) * 10000, p_line.credits_amount * 10000
    ) - p_line.amount_returned;
    v_part credit_part;
begin
    update credit_spend_lots
    set
        credits_returned = credits_returned + p_credits,
        amount_returned = amount_returned + v_amount
    where credit_spend_id = p_line.credit_spend_id and credit_lot_id = p_line.credit_lot_id;

    update credit_lots
    set
        remaining = remaining + p_credits, used = used - p_credits,
        amount_remaining = amount_remaining + v_amount, amount_earned = amount_earned - v_amount
    where id = p_line.credit_lot_id
    returning id, credit_purchase_id is not null, p_credits, v_amount, currency into strict v_part;
    return v_part;
end;
$function$;
comment on function give_credits_back(credit_spend_lots,numeric) is 'Credits of a spend come back to one of its lots, and the lot owes again the share that they earned.';

CREATE OR REPLACE FUNCTION public.give_spend_back(p_spend credit_spends, p_amount numeric)
 RETURNS credit_part[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_line credit_spend_lots;
    v_returnable numeric;
    v_left numeric;
    v_parts credit_part[] := '{}';
begin
    perform from credit_lots
    where id in (select credit_lot_id from credit_spend_lots where credit_spend_id = p_spend.id)
    order by expires_at asc nulls last, id
    for no key update;

    select coalesce(sum(credits_amount - credits_returned), 0) into v_returnable
    from returnable_credits(p_spend.id);
    v_left := coalesce(p_amount, v_returnable);
    perform check_credits_amount(v_left, v_returnable);

    for v_line in select * from returnable_credits(p_spend.id) loop
        exit when v_left = 0;
        v_parts := v_parts
            || give_credits_back(v_line, least(v_left, v_line.credits_amount - v_line.credits_returned));
        v_left := v_left - (v_parts[cardinality(v_parts)]).credits;
    end loop;
    return v_parts;
end;
$function$;
comment on function give_spend_back(credit_spends,numeric) is 'An amount of a spend comes back, all that may when it is null.';

CREATE OR REPLACE FUNCTION public.give_up_on_payers(p_session json)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_charge autopay_charges;
begin
    for v_charge in
        update autopay_charges
        set status = 'failed', next_try_at = null
        where id = any(array(
            select autopay_charges.id from autopay_charges
            where autopay_charges.status = 'action_required' and next_try_at <= clock_now()
                and livemode::text = p_session ->> 'x-hasura-livemode'
                and not exists (
                    select from payment_attempts
                    where payment_attempts.payment_intent_id = autopay_charges.payment_intent_id
                        and payment_attempts.status
                        in ('created', 'unknown', 'pending', 'processing', 'authorized')
                )
            limit 100
            for no key update skip locked
        ))
        returning *
    loop
        perform tell_of_autopay_charge(v_charge, 'autopay.failed');
    end loop;
end;
$function$;
comment on function give_up_on_payers(json) is 'Fails charges that their payers did not finish in time; not while they may be paying.';

CREATE OR REPLACE FUNCTION public.give_up_payment(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_attempt.status = 'authorized' then
        perform move_payment_attempt(p_attempt, 'failed', jsonb_build_object(
            'failure_code', 'amount-mismatch',
            'failure_message', 'what was taken is not what was asked for'
        ));
    end if;
    update payment_attempts set gateway_payment_id = null where id = p_attempt.id;
end;
$function$;
comment on function give_up_payment(payment_attempts) is 'An attempt whose payment became another one than it asked for waits for one that is as asked for.';

CREATE OR REPLACE FUNCTION public.give_up_refunds(p_attempt payment_attempts)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_postings ledger_posting[] := '{}';
    v_before refunds;
    v_refund refunds;
begin
    for v_before in
        select * from refunds
        where payment_attempt_id = p_attempt.id and status = 'created'
        order by id
        for no key update
    loop
        v_refund := move_refund(
            v_before, 'canceled', '{"failure_code": "transfer-returned"}', clock_now()
        );
        v_postings := v_postings || refund_postings('created', v_refund, clock_now());
        perform report_refund('created', v_refund);
    end loop;
    return v_postings;
end;
$function$;
comment on function give_up_refunds(payment_attempts) is 'Refunds that wait to be paid by hand have lost their reason when the money itself has left. Answers what is to be booked.';

CREATE OR REPLACE FUNCTION public.give_up_unseen_attempt(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    -- No money moves by opening a page, but by what a payer does on it. Only we could tell them
    -- where it is, and record_checkout_session refuses a page that comes after this.
    perform move_payment_attempt(p_attempt, 'expired', jsonb_build_object(
        'failure_code', 'page-never-shown',
        'failure_message', format('%s was silent, and nobody saw its page', p_attempt.gateway)
    ));
    perform resolve_exception('payment-unresolved', 'payment_attempt', p_attempt.id);
end;
$function$;
comment on function give_up_unseen_attempt(payment_attempts) is 'Makes room for an attempt elsewhere. Should its gateway have taken money all the same, that is booked as of any attempt that is over: for the order, or as a surplus that goes back.';

CREATE OR REPLACE FUNCTION public.goes_on(p_intent payment_intents, p_method text, p_gateway_customer_id text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_session checkout_sessions;
begin
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id and not is_surplus
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized', 'captured');
    if v_attempt.id is null then
        return false;
    end if;

    select * into v_session from checkout_sessions where payment_attempt_id = v_attempt.id;
    if v_attempt.status in ('created', 'unknown', 'pending')
        and coalesce(v_session.method, p_method) = p_method
        and v_session.gateway_customer_id is not distinct from p_gateway_customer_id
        -- A page that is not open yet must stay open for half an hour: gateways want it so.
        and v_session.expires_at > clock_now() + (
            case when v_session.url is null then interval '31 minutes' else interval '0' end
        )
    then
        return true;
    end if;
    raise exception 'payment-in-progress: % may still take this payment', v_attempt.gateway
        using errcode = '22B10';
end;
$function$;
comment on function goes_on(payment_intents,text,text) is 'Whether an attempt by this method is open already. Refuses where another one may still take the money.';

CREATE OR REPLACE FUNCTION public.grant_credits(hasura_session json, p_customer_id uuid, p_amount numeric, p_key text, p_reason text, p_expires_at timestamp with time zone)
 RETURNS SETOF credit_grants
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers := spending_customer(
        hasura_session, p_customer_id, array['owner', 'finance']
    );
    v_principal constant text := acting_principal(hasura_session);
    v_grant credit_grants;
begin
    select * into v_grant
    from credit_grants
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;

    if v_grant.id is not null then
        if (v_grant.credits_amount, v_grant.reason, v_grant.expires_at)
            is distinct from (p_amount, p_reason, p_expires_at)
        then
            raise exception 'idempotency-key-reused: the key belongs to a grant with other content'
                using errcode = '22B08';
        end if;
        return next v_grant;
        return;
    end if;

    perform check_credits_amount(p_amount, 1000000000000);
    if p_expires_at <= clock_now() then
        raise exception 'setting-invalid: credits that expire at % would be gone at once', p_expires_at
            using errcode = '22B05';
    end if;
    perform write_credit_grant(
        v_customer, p_amount, p_key, v_principal, p_reason, p_expires_at
    );
    return query
    select * from credit_grants
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;
end;
$function$;
comment on function grant_credits(json,uuid,numeric,text,text,timestamp with time zone) is 'Credits without a payment, once per key of whoever asks. Without a time of their own they expire as bought ones do.';
grant execute on function grant_credits(json,uuid,numeric,text,text,timestamp with time zone) to munim_hasura;

CREATE OR REPLACE FUNCTION public.has_open_attempt(p_payment_intent_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM payment_attempts
           WHERE ((payment_attempts.payment_intent_id = has_open_attempt.p_payment_intent_id) AND (payment_attempts.status = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text, 'processing'::text, 'authorized'::text]))))) AS "exists";
END;
comment on function has_open_attempt(uuid) is 'Whether an attempt may still take the money.';

CREATE OR REPLACE FUNCTION public.hear_gateway_answers(p_event_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if not exists (select from gateway_circuits) then
        return;  -- all gateways work, as they nearly always do
    end if;

    delete from gateway_circuits
    where (gateway, livemode, operation) in (
        select circuit.gateway, circuit.livemode, circuit.operation
        from gateway_circuits as circuit
        where exists (
            select from gateway_events as event
            left join payment_attempts on payment_attempts.id = event.payment_attempt_id
            where event.id = any(p_event_ids) and event.type = 'answer'
                and event.gateway = circuit.gateway and event.livemode = circuit.livemode
                and circuit.operation = case
                    when event.notice ->> 'subject' = 'refund' then 'refund'
                    when payment_attempts.payment_method_id is not null then 'charge'
                end
        )
        order by circuit.gateway, circuit.operation
        for update
    );
end;
$function$;
comment on function hear_gateway_answers(uuid[]) is 'What answers to charges of saved methods and to refunds, a decline too, say of whether their gateways work. The last step of a transaction: nobody waits for anything else while they hold a circuit.';

CREATE OR REPLACE FUNCTION public.hear_hint(hasura_session json, p_gateway text, p_gateway_account text, p_notice jsonb, p_body_hash text)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_event gateway_events;
    v_attempt payment_attempts;
    v_is_new boolean;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    v_event.gateway := p_gateway;
    v_event.gateway_account := p_gateway_account;
    v_event.livemode := hasura_session ->> 'x-hasura-livemode';
    v_event.notice := p_notice;
    v_attempt := attempt_of_notice(v_event);
    v_is_new := follow_hint(v_event, v_attempt);

    -- The last step: all who send hints wait for each other here, and nobody else.
    perform note_refused_messages(
        hasura_session,
        jsonb_build_array(jsonb_build_object(
            'gateway', p_gateway, 'reason', 'unsigned', 'messages', 1,
            'last_body_hash', p_body_hash
        ))
    );
    return query select * from payment_attempts where id = v_attempt.id and v_is_new;
end;
$function$;
comment on function hear_hint(json,text,text,jsonb,text) is 'A message that its gateway does not sign, and so anybody''s: it is not kept, but counted, and books nothing. At most it brings forward when the gateway is asked about a refund, for those of a payment or for its disputes, and has a captured payment listed for a person, once. Answers the payment if so. Called again it counts again, and asks no more often.';
grant execute on function hear_hint(json,text,text,jsonb,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.held_receipts_account(p_transfer bank_transfers, p_reference_id uuid)
 RETURNS uuid
 LANGUAGE sql
BEGIN ATOMIC
 SELECT ledger_account((p_transfer).organization_id, (p_transfer).livemode, 'bank_transfers'::text, 'liability'::text, (p_transfer).currency, p_reference_id) AS ledger_account;
END;
comment on function held_receipts_account(bank_transfers,uuid) is 'Where receipts are held until they are used.';

CREATE OR REPLACE FUNCTION public.hold_autopay_mandate(p_mandate autopay_mandates, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function hold_autopay_mandate(autopay_mandates,text) is 'Nothing is begun while it is paused. What is being tried again is given up; what was announced and falls due later waits for the mandate to be resumed before then.';

CREATE OR REPLACE FUNCTION public.hold_purchase_credits(p_credit_purchase_id uuid, p_refund_id uuid, p_amount bigint, p_take_what_is_left boolean DEFAULT NULL::boolean)
 RETURNS credit_recalls
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_lot credit_lots;
    v_recall credit_recalls;
    v_amount bigint;
    v_credits numeric;
begin
    perform require_read_committed();
    select * into strict v_lot
    from credit_lots where credit_purchase_id = p_credit_purchase_id for no key update;

    select * into v_recall from credit_recalls where refund_id = p_refund_id;
    if v_recall.id is not null then
        if (v_recall.credit_lot_id, v_recall.amount + v_recall.lost_amount) <> (v_lot.id, p_amount) then
            raise exception 'refund % recalls other credits already', p_refund_id
                using errcode = 'assert_failure';
        end if;
        return v_recall;
    end if;

    v_amount := least(p_amount, v_lot.amount_remaining);
    if v_amount < p_amount
        and not coalesce(p_take_what_is_left, takes_spent_credits(v_lot.organization_id))
    then
        raise exception 'credits-spent: credits worth % are left of this purchase, and % are wanted back',
            v_lot.amount_remaining, p_amount
            using errcode = '22B11';
    end if;

    v_credits := recalled_credits(v_lot, v_amount);
    update credit_lots
    set
        held = held + v_credits, recalled = recalled + v_credits,
        amount_remaining = amount_remaining - v_amount, amount_recalled = amount_recalled + v_amount
    where id = v_lot.id;

    insert into credit_recalls (
        organization_id, livemode, credit_lot_id, refund_id, credits_amount, amount, lost_amount
    )
    values (
        v_lot.organization_id, v_lot.livemode, v_lot.id, p_refund_id, v_credits, v_amount,
        p_amount - v_amount
    )
    returning * into v_recall;
    return v_recall;
end;
$function$;
comment on function hold_purchase_credits(uuid,uuid,bigint,boolean) is 'Speaks for the credits that an amount of a purchase bought. Locks the lot; the caller holds the intent and the attempt, books prepaid_credits down by the row''s amount and credit_losses by its lost_amount. Once per refund. When the credits are used: refused, or what is left is taken.';

CREATE OR REPLACE FUNCTION public.hold_refund_credits(p_attempt payment_attempts, p_id uuid, p_amount bigint, p_take_what_is_left boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_purchase_id uuid;
    v_lost_amount bigint;
begin
    if p_attempt.is_surplus then
        return 0;
    end if;
    select id into v_purchase_id
    from credit_purchases where payment_intent_id = p_attempt.payment_intent_id;
    if v_purchase_id is null then
        return 0;
    end if;
    select lost_amount into strict v_lost_amount
    from hold_purchase_credits(v_purchase_id, p_id, p_amount, p_take_what_is_left);
    return v_lost_amount;
end;
$function$;
comment on function hold_refund_credits(payment_attempts,uuid,bigint,boolean) is 'Speaks for the credits that an amount of a payment bought, for a refund or a dispute. Answers the part of it whose credits are used.';

CREATE OR REPLACE FUNCTION public.hurry_declined(p_event_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update payment_attempts
    set next_check_at = clock_now()
    where id in (
        select payment_attempts.id
        from gateway_events
        inner join payment_attempts on payment_attempts.id = gateway_events.payment_attempt_id
        where gateway_events.id = any(p_event_ids) and is_decline(gateway_events)
            and payment_attempts.next_check_at > clock_now() + interval '1 minute'
            and case
                when payment_attempts.status in ('created', 'unknown', 'pending')
                    then is_tried_out(payment_attempts)
                else payment_attempts.status = 'processing'
            end
        order by payment_attempts.id
        -- It waits for nobody: whoever is at an attempt will ask about it by its schedule.
        for no key update of payment_attempts skip locked
    );
end;
$function$;
comment on function hurry_declined(uuid[]) is 'Has check_payments close a page on which too many tries were declined at its next tick; and ask about one whose money is on its way, for the try that was declined may be that one.';

CREATE OR REPLACE FUNCTION public.installation_faults(p_livemode boolean)
 RETURNS TABLE(name text, detail text)
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT ((parts.relation || '.'::text) || parts.name) AS name,
     format('the %s is missing or does not hold'::text, parts.kind) AS detail
    FROM installation_parts parts
   WHERE (NOT ((parts.kind, parts.relation, parts.name) IN ( SELECT installed.kind,
             installed.relation,
             installed.name
            FROM installed_parts() installed(kind, relation, name))))
 UNION ALL
  SELECT wanted.name,
     format('%s is %s'::text, wanted.name, current_setting(wanted.name)) AS detail
    FROM ( VALUES ('fsync'::text,ARRAY['on'::text]), ('full_page_writes'::text,ARRAY['on'::text]), ('synchronous_commit'::text,ARRAY['on'::text, 'local'::text, 'remote_write'::text, 'remote_apply'::text]), ('transaction_isolation'::text,ARRAY['read committed'::text])) wanted(name, safe)
   WHERE (installation_faults.p_livemode AND (current_setting(wanted.name) <> ALL (wanted.safe)))
 UNION ALL
  SELECT 'clock'::text AS name,
     format('the clock is moved by %s seconds'::text, clock.skew_seconds) AS detail
    FROM clock
   WHERE (installation_faults.p_livemode AND (clock.skew_seconds <> 0));
END;
comment on function installation_faults(boolean) is 'What is not as it must be: parts that are missing, in any mode; and in live a database that may forget what it has acknowledged, another isolation than the money functions are written for, or a moved clock.';

CREATE OR REPLACE FUNCTION public.installed_parts()
 RETURNS SETOF installation_parts
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT 'constraint'::text AS kind,
     (classes.relname)::text AS relation,
     (constraints.conname)::text AS name
    FROM (pg_constraint constraints
      JOIN pg_class classes ON ((classes.oid = constraints.conrelid)))
   WHERE ((classes.relnamespace = ('public'::regnamespace)::oid) AND constraints.convalidated)
 UNION ALL
  SELECT 'trigger'::text AS kind,
     (classes.relname)::text AS relation,
     (triggers.tgname)::text AS name
    FROM (pg_trigger triggers
      JOIN pg_class classes ON ((classes.oid = triggers.tgrelid)))
   WHERE ((classes.relnamespace = ('public'::regnamespace)::oid) AND (NOT triggers.tgisinternal) AND (triggers.tgenabled <> 'D'::"char") AND (NOT starts_with((triggers.tgname)::text, 'notify_hasura'::text)))
 UNION ALL
  SELECT 'index'::text AS kind,
     (classes.relname)::text AS relation,
     (indexed.relname)::text AS name
    FROM ((pg_index indexes
      JOIN pg_class indexed ON ((indexed.oid = indexes.indexrelid)))
      JOIN pg_class classes ON ((classes.oid = indexes.indrelid)))
   WHERE ((classes.relnamespace = ('public'::regnamespace)::oid) AND indexes.indisunique AND indexes.indisvalid);
END;
comment on function installed_parts() is 'What holds at present. Hasura''s own triggers come and go with its metadata.';

CREATE OR REPLACE FUNCTION public.intent_of_bank_transfer(p_transfer bank_transfers)
 RETURNS uuid
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE (p_transfer).kind
             WHEN 'receipt'::text THEN (p_transfer).payment_intent_id
             WHEN 'refund'::text THEN ( SELECT refunds.payment_intent_id
                FROM refunds
               WHERE (refunds.id = (intent_of_bank_transfer.p_transfer).refund_id))
             WHEN 'return'::text THEN ( SELECT bank_transfers.payment_intent_id
                FROM bank_transfers
               WHERE (bank_transfers.id = (intent_of_bank_transfer.p_transfer).returned_id))
             ELSE NULL::uuid
         END AS "case";
END;
comment on function intent_of_bank_transfer(bank_transfers) is 'The payment that a transfer is about, as far as known.';

CREATE OR REPLACE FUNCTION public.invariant_object()
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT '00000000-0000-0000-0000-000000000000'::uuid AS uuid;
END;
comment on function invariant_object() is 'The object of an exception about an invariant, which is about the whole database.';

CREATE OR REPLACE FUNCTION public.invariant_part(p_check invariant_checks)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((p_check).width = 4096) THEN 'true'::text
             ELSE (format('%1$I between %2$L and %3$L'::text, (p_check).key_column, (lpad(to_hex((p_check)."position"), 3, '0'::text) || '00000-0000-0000-0000-000000000000'::text), (lpad(to_hex((LEAST(((p_check)."position" + (p_check).width), 4096) - 1)), 3, '0'::text) || 'fffff-ffff-ffff-ffff-ffffffffffff'::text)) ||
             CASE
                 WHEN ((p_check)."position" = 0) THEN format(' or %I is null'::text, (p_check).key_column)
                 ELSE ''::text
             END)
         END AS "case";
END;
comment on function invariant_part(invariant_checks) is 'The condition of the next part, which Postgres takes to the index of what the view reads.';

CREATE OR REPLACE FUNCTION public.is_autopay_month_paid(p_payment_intent_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM autopay_charges
           WHERE (((autopay_charges.customer_id, autopay_charges.currency, autopay_charges.period) = ( SELECT owed.customer_id,
                     owed.currency,
                     owed.period
                    FROM autopay_charges owed
                   WHERE (owed.payment_intent_id = is_autopay_month_paid.p_payment_intent_id))) AND (autopay_charges.payment_intent_id <> is_autopay_month_paid.p_payment_intent_id) AND (autopay_charges.status = 'succeeded'::text)))) AS "exists";
END;
comment on function is_autopay_month_paid(uuid) is 'Whether a payment is for a month that another charge of the customer''s has paid: a try that had failed may be paid after a new mandate charged the month. Two at once: the second fails, and is told again.';

CREATE OR REPLACE FUNCTION public.is_being_captured(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (((p_attempt).status = 'authorized'::text) AND ((p_attempt).amount_to_capture IS NOT NULL));
END;
comment on function is_being_captured(payment_attempts) is 'Whether who asks about it tells its gateway to capture it, instead of looking it up.';

CREATE OR REPLACE FUNCTION public.is_booked_elsewhere(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM payment_attempts
           WHERE ((payment_attempts.gateway_payment_id = ((is_booked_elsewhere.p_event).notice ->> 'gateway_payment_id'::text)) AND (payment_attempts.gateway = (is_booked_elsewhere.p_event).gateway) AND (payment_attempts.livemode = (is_booked_elsewhere.p_event).livemode) AND (payment_attempts.status = 'captured'::text) AND (payment_attempts.id <> (is_booked_elsewhere.p_attempt).id)))) AS "exists";
END;
comment on function is_booked_elsewhere(gateway_events,payment_attempts) is 'Whether a message''s payment is another attempt''s.';

CREATE OR REPLACE FUNCTION public.is_by_hand(p_gateway text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (p_gateway = 'bank_transfer'::text);
END;
comment on function is_by_hand(text) is 'Whether no gateway holds this money: people see it on a bank''s statement, and pay it back by hand. Nobody can be asked about it.';

CREATE OR REPLACE FUNCTION public.is_called_off(p_order orders)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (count(*) > 0)
    FROM (order_events
      JOIN order_event_types ON ((order_event_types.type = order_events.type)))
   WHERE ((order_events.reference = (is_called_off.p_order).reference) AND (order_events.organization_id = (is_called_off.p_order).organization_id) AND (order_events.livemode = (is_called_off.p_order).livemode) AND (order_event_types.meaning = 'canceled'::text));
END;
comment on function is_called_off(orders) is 'Whether any message says that an order is off.';

CREATE OR REPLACE FUNCTION public.is_decided(p_transfer bank_transfers)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (((p_transfer).status = ANY (ARRAY['approved'::text, 'returned'::text])) AND (((p_transfer).payment_intent_id IS NULL) OR ((p_transfer).match_checked_by IS NOT NULL)));
END;
comment on function is_decided(bank_transfers) is 'Whether all that was entered of a transfer has been approved.';

CREATE OR REPLACE FUNCTION public.is_decline(p_event gateway_events)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (((p_event).type <> ALL (ARRAY['answer'::text, 'look-up'::text])) AND (((p_event).notice ->> 'outcome'::text) = 'requires_action'::text) AND (((p_event).notice ->> 'failure_code'::text) IS NOT NULL));
END;
comment on function is_decline(gateway_events) is 'Whether a webhook says that a try was declined on a page that takes another.';

CREATE OR REPLACE FUNCTION public.is_end_of_other_payment(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT COALESCE(((((p_event).notice ->> 'outcome'::text) = 'canceled'::text) AND ((p_attempt).status = 'captured'::text) AND (((p_event).notice ->> 'gateway_payment_id'::text) <> (p_attempt).gateway_payment_id)), false) AS "coalesce";
END;
comment on function is_end_of_other_payment(gateway_events,payment_attempts) is 'Whether a message says that what was held beside the captured payment of a page is given up.';

CREATE OR REPLACE FUNCTION public.is_gateway_failing(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM gateway_circuits
           WHERE ((gateway_circuits.gateway = (is_gateway_failing.p_attempt).gateway) AND (gateway_circuits.livemode = (is_gateway_failing.p_attempt).livemode) AND (gateway_circuits.operation = ANY (ARRAY['look-up'::text, 'open'::text, 'capture'::text]))))) AS "exists";
END;
comment on function is_gateway_failing(payment_attempts) is 'Whether its gateway has not answered lately, so that an answer to a look-up or a capture is news.';
grant execute on function is_gateway_failing(payment_attempts) to munim_hasura;

CREATE OR REPLACE FUNCTION public.is_gateway_of_poll_failing(p_poll dispute_polls)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (count(*) > 0)
    FROM gateway_circuits
   WHERE ((gateway_circuits.gateway = (is_gateway_of_poll_failing.p_poll).gateway) AND (gateway_circuits.livemode = (is_gateway_of_poll_failing.p_poll).livemode) AND (gateway_circuits.operation = 'dispute'::text));
END;
comment on function is_gateway_of_poll_failing(dispute_polls) is 'Whether its gateway has told nothing of disputes lately, so that an answer is news.';
grant execute on function is_gateway_of_poll_failing(dispute_polls) to munim_hasura;

CREATE OR REPLACE FUNCTION public.is_gateway_of_refund_failing(p_refund refunds)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (count(*) > 0)
    FROM gateway_circuits
   WHERE ((gateway_circuits.gateway = (is_gateway_of_refund_failing.p_refund).gateway) AND (gateway_circuits.livemode = (is_gateway_of_refund_failing.p_refund).livemode) AND (gateway_circuits.operation = ANY (ARRAY['look-up'::text, 'open'::text])));
END;
comment on function is_gateway_of_refund_failing(refunds) is 'Whether its gateway has not answered lately, so that an answer to a look-up is news.';
grant execute on function is_gateway_of_refund_failing(refunds) to munim_hasura;

CREATE OR REPLACE FUNCTION public.is_given_up(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM gateway_events
           WHERE ((gateway_events.payment_attempt_id = (is_given_up.p_attempt).id) AND ((gateway_events.notice ->> 'outcome'::text) = 'canceled'::text) AND ((gateway_events.notice ->> 'gateway_payment_id'::text) = ((is_given_up.p_event).notice ->> 'gateway_payment_id'::text))))) AS "exists";
END;
comment on function is_given_up(gateway_events,payment_attempts) is 'Whether a message''s payment was told to be canceled.';

CREATE OR REPLACE FUNCTION public.is_listed_already(p_event gateway_events, p_attempt payment_attempts, p_class text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM (gateway_events
              JOIN exceptions ON (((exceptions.object_id = gateway_events.id) AND (exceptions.object_type = 'gateway_event'::text) AND (exceptions.class = is_listed_already.p_class) AND ((exceptions.resolved_at IS NULL) OR (exceptions.resolved_by IS NOT NULL)))))
           WHERE ((gateway_events.payment_attempt_id = (is_listed_already.p_attempt).id) AND (gateway_events.status = 'parked'::text) AND (gateway_events.id <> (is_listed_already.p_event).id) AND ((gateway_events.notice ->> 'gateway_payment_id'::text) = ((is_listed_already.p_event).notice ->> 'gateway_payment_id'::text))))) AS "exists";
END;
comment on function is_listed_already(gateway_events,payment_attempts,text) is 'Whether another message about the same payment is listed under this class, or a person has looked at it: it is one thing to look at.';

CREATE OR REPLACE FUNCTION public.is_made_at_gateway(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT ((((p_event).notice ->> 'refund_id'::text) IS NULL) AND (((p_event).notice ->> 'gateway_refund_id'::text) IS NOT NULL) AND (((p_event).notice ->> 'outcome'::text) = ANY (ARRAY['pending'::text, 'succeeded'::text])) AND ((p_attempt).status = 'captured'::text) AND (((p_event).notice ->> 'currency'::text) = (p_attempt).currency) AND (((((p_event).notice ->> 'amount'::text))::numeric >= (1)::numeric) AND ((((p_event).notice ->> 'amount'::text))::numeric <= ((p_attempt).amount_captured)::numeric)));
END;
comment on function is_made_at_gateway(gateway_events,payment_attempts) is 'Whether a message tells of a refund that somebody made at the gateway, past us.';

CREATE OR REPLACE FUNCTION public.is_member(p_organization_id uuid, p_user_id text, p_roles text[])
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM organization_members
           WHERE ((organization_members.user_id = is_member.p_user_id) AND (organization_members.organization_id = is_member.p_organization_id) AND (organization_members.status = 'active'::text) AND (organization_members.role = ANY (is_member.p_roles))))) AS "exists";
END;
comment on function is_member(uuid,text,text[]) is 'Whether somebody works for an organisation in such a role at present.';

CREATE OR REPLACE FUNCTION public.is_new_money(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT ((((p_event).notice ->> 'outcome'::text) = 'paid'::text) AND ((amount_taken((p_event).notice) >= 1) AND (amount_taken((p_event).notice) <= '1000000000000000'::bigint)) AND (EXISTS ( SELECT
            FROM currencies
           WHERE ((currencies.code = ((is_new_money.p_event).notice ->> 'currency'::text)) AND (currencies.code <> 'XCR'::text)))) AND (NOT (EXISTS ( SELECT
            FROM payment_attempts
           WHERE ((payment_attempts.gateway = (is_new_money.p_event).gateway) AND (payment_attempts.livemode = (is_new_money.p_event).livemode) AND (payment_attempts.gateway_payment_id = ((is_new_money.p_event).notice ->> 'gateway_payment_id'::text)) AND ((payment_attempts.id <> (is_new_money.p_attempt).id) OR (payment_attempts.status = 'captured'::text)))))));
END;
comment on function is_new_money(gateway_events,payment_attempts) is 'Whether a message that does not fit its attempt speaks of money that the gateway holds and no booking shows.';

CREATE OR REPLACE FUNCTION public.is_news_of_decline(p_attempt payment_attempts, p_finding jsonb, p_occurred_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (((p_attempt).status = 'pending'::text) AND ((p_finding ->> 'outcome'::text) = 'requires_action'::text) AND ((p_finding ->> 'decline_class'::text) IS NOT NULL) AND
         CASE
             WHEN ((p_attempt).declined_at IS NULL) THEN true
             WHEN (((p_finding ->> 'declined_at'::text) IS NULL) AND ((p_finding ->> 'decline_class'::text) = (p_attempt).decline_class) AND (NOT ((p_finding ->> 'failure_code'::text) IS DISTINCT FROM (p_attempt).failure_code))) THEN false
             ELSE (declined_at_by(p_finding, p_occurred_at) > (p_attempt).declined_at)
         END);
END;
comment on function is_news_of_decline(payment_attempts,jsonb,timestamp with time zone) is 'Whether a gateway says that a later try than the last known was declined, on a page that takes another.';

CREATE OR REPLACE FUNCTION public.is_of_other_payment(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((((p_event).notice ->> 'gateway_session_id'::text) IS NOT NULL) AND (((p_event).notice ->> 'gateway_payment_id'::text) IS DISTINCT FROM (p_attempt).gateway_payment_id));
END;
comment on function is_of_other_payment(gateway_events,payment_attempts) is 'Whether a message names a page of ours, and a payment there that is not the one of our books.';

CREATE OR REPLACE FUNCTION public.is_put_off(p_refund refunds)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (count(*) > 0)
    FROM gateway_circuits
   WHERE ((gateway_circuits.gateway = (is_put_off.p_refund).gateway) AND (gateway_circuits.livemode = (is_put_off.p_refund).livemode) AND (gateway_circuits.operation = 'refund'::text) AND (gateway_circuits.opened_at IS NOT NULL));
END;
comment on function is_put_off(refunds) is 'Whether its gateway takes no refunds at present: it is reserved all the same, and check_refunds sends it.';
grant execute on function is_put_off(refunds) to munim_hasura;

CREATE OR REPLACE FUNCTION public.is_refused_refund(p_event gateway_events, p_refund refunds)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (((p_event).type = 'answer'::text) AND (((p_event).notice ->> 'outcome'::text) = 'failed'::text) AND ((p_refund).status = ANY (ARRAY['created'::text, 'unknown'::text])));
END;
comment on function is_refused_refund(gateway_events,refunds) is 'Whether a gateway said no to a refund that our books allow: somebody may have given the money back there.';

CREATE OR REPLACE FUNCTION public.is_taken_at_once(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT ((payment_intents.capture_method = 'automatic'::text) AND (payment_intents.status <> ALL (ARRAY['paid'::text, 'canceled'::text])))
    FROM payment_intents
   WHERE (payment_intents.id = (is_taken_at_once.p_attempt).payment_intent_id);
END;
comment on function is_taken_at_once(payment_attempts) is 'Whether the service itself captures what a gateway only holds: nobody else was to, and it is still owed.';

CREATE OR REPLACE FUNCTION public.is_tried_out(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return (
        select count(*)
        from payment_attempts
        inner join gateway_events on gateway_events.payment_attempt_id = payment_attempts.id
        where payment_attempts.payment_intent_id = p_attempt.payment_intent_id
            and is_decline(gateway_events)
    ) >= tries_allowed(p_attempt.organization_id, 'declines_per_payment', 10);
end;
$function$;
comment on function is_tried_out(payment_attempts) is 'Whether webhooks have told of so many declines of its payment that the page is to be closed: cards are tried on it. system_settings.declines_per_payment is the number, ten where it is not set.';
grant execute on function is_tried_out(payment_attempts) to munim_hasura;

CREATE OR REPLACE FUNCTION public.is_try_over(p_attempt payment_attempts, p_finding jsonb)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (((p_attempt).payment_method_id IS NULL) AND COALESCE(((p_finding ->> 'stood'::text) = 'processing'::text), false));
END;
comment on function is_try_over(payment_attempts,jsonb) is 'Whether what was on its way came to nothing where a gateway says that the next step is the payer''s: by an answer to a question that was asked while our books had it on its way. A message may be about a try before.';

CREATE OR REPLACE FUNCTION public.keep_autopay_agreement()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    raise exception 'what mandate % says was agreed to, and stays', old.id
        using errcode = 'assert_failure';
end;
$function$;
comment on function keep_autopay_agreement() is 'Refuses to change what a customer agreed to.';

CREATE OR REPLACE FUNCTION public.keep_credit_rate()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if tg_op <> 'INSERT' and old.key is distinct from new.key then
        perform date_credit_rate(old.organization_id, old.key, null);
    end if;
    if tg_op <> 'DELETE' and (old.key, old.value) is distinct from (new.key, new.value) then
        perform date_credit_rate(new.organization_id, new.key, new.value);
    end if;
    return null;
end;
$function$;
comment on function keep_credit_rate() is 'Follows the rates in system_settings, and when they changed.';

CREATE OR REPLACE FUNCTION public.keep_dispute_facts(p_dispute disputes, p_event gateway_events)
 RETURNS disputes
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_fee bigint := (p_event.notice ->> 'fee_amount')::bigint;
    v_currency text := p_event.notice ->> 'fee_currency';
    v_dispute disputes := p_dispute;
begin
    if p_dispute.evidence_due_at is null and p_event.notice ->> 'evidence_due_at' is not null then
        update disputes
        set evidence_due_at = (p_event.notice ->> 'evidence_due_at')::timestamptz
        where id = p_dispute.id
        returning * into strict v_dispute;
    end if;
    if p_dispute.fee_amount is not null or coalesce(v_fee, 0) <= 0 then
        return v_dispute;
    end if;

    update disputes
    set fee_amount = v_fee, fee_currency = v_currency
    where id = p_dispute.id
    returning * into strict v_dispute;
    return v_dispute;
end;
$function$;
comment on function keep_dispute_facts(disputes,gateway_events) is 'What a message adds to what is known: the fee, which the caller books, and until when evidence is taken.';

CREATE OR REPLACE FUNCTION public.keep_ledger_hold()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_changing constant text[] := '{status,ledger_transaction_id,updated_at}';
begin
    if old.status <> 'open'
        or to_jsonb(new) - v_changing is distinct from to_jsonb(old) - v_changing
    then
        raise exception 'ledger hold % ends once, and never changes otherwise', old.id
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end;
$function$;
comment on function keep_ledger_hold() is 'A hold ends once, posted or released.';

CREATE OR REPLACE FUNCTION public.keep_other_payment(p_event gateway_events, p_attempt payment_attempts, p_class text, p_detail text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts := attempt_of_notice(p_event);
    v_known text;
begin
    if v_attempt.id <> p_attempt.id then
        -- While we waited for the locks, another message about this payment was carried out.
        perform apply_payment_notice(p_event);
        return;
    end if;
    if not is_new_money(p_event, p_attempt) then
        v_known := case
            when p_class <> 'duplicate-payment' then null
            when is_given_up(p_event, p_attempt) then 'what was held is given up'
            when is_listed_already(p_event, p_attempt, p_class) then 'it is listed already'
        end;
        perform note_gateway_event(p_event.id, 'ignored', p_attempt, v_known)
        where v_known is not null;
        perform park_gateway_event(p_event, p_attempt, p_class, p_detail) where v_known is null;
        return;
    end if;

    perform give_up_payment(p_attempt)
    where p_attempt.gateway_payment_id = p_event.notice ->> 'gateway_payment_id';
    v_attempt := capture_other_payment(p_event, p_attempt, p_class <> 'duplicate-payment');
    perform resolve_exception(class, 'gateway_event', gateway_events.id)
    from gateway_events
    cross join unnest(array['amount-mismatch', 'duplicate-payment']) as class
    where payment_attempt_id = p_attempt.id and gateway_events.status = 'parked'
        and notice ->> 'gateway_payment_id' = v_attempt.gateway_payment_id;
    if v_attempt.is_in_suspense then
        perform record_exception(
            v_attempt.organization_id, v_attempt.livemode, p_class, 'payment_attempt',
            v_attempt.id, v_attempt.amount_captured, v_attempt.currency, p_detail
        );
    end if;
    perform note_gateway_event(
        p_event.id, case when v_attempt.is_in_suspense then 'parked' else 'applied' end, v_attempt,
        p_detail
    );
end;
$function$;
comment on function keep_other_payment(gateway_events,payment_attempts,text,text) is 'A payment that is not the one that its attempt asked for is an attempt by itself: one of the same amount is surplus and goes back, any other is held in suspense until somebody sends it back. The intent and the attempt are locked.';

CREATE OR REPLACE FUNCTION public.keep_refund_of_other_payment(p_event gateway_events, p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_nobody payment_attempts;
begin
    perform ask_payment_now(p_attempt);
    perform note_gateway_event(
        p_event.id, 'parked', v_nobody, 'of a payment that is not in our books'
    );
end;
$function$;
comment on function keep_refund_of_other_payment(gateway_events,payment_attempts) is 'A gateway gave back by itself what was paid on a page and never counted: no money of ours has moved, so nobody need look. The page is asked about, and should its payment be booked yet, the message is tried again: see requeue_gateway_events. The attempt is locked.';

CREATE OR REPLACE FUNCTION public.keep_surplus(p_attempt payment_attempts, p_occurred_at timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform post_ledger_transactions(
        p_attempt.organization_id, p_attempt.livemode,
        array[
            capture_posting(p_attempt, p_attempt.amount_captured, 'surplus', p_occurred_at)
        ] || surplus_refund_postings(p_attempt, p_occurred_at)
    );
    perform record_exception(
        p_attempt.organization_id, p_attempt.livemode, 'surplus-payment', 'payment_attempt',
        p_attempt.id, p_attempt.amount_captured, p_attempt.currency,
        'captured though the payment was settled otherwise'
    );
    perform record_event(
        p_attempt.organization_id, p_attempt.livemode, 'payment.surplus', 'payment_intent',
        p_attempt.payment_intent_id, payment_facts(p_attempt)
    );
end;
$function$;
comment on function keep_surplus(payment_attempts,timestamp with time zone) is 'Money that came though nothing was owed any more: booked, listed, and on its way back by a refund.';

CREATE OR REPLACE FUNCTION public.known_bank_transfer(p_transfer bank_transfers)
 RETURNS bank_transfers
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_known bank_transfers;
begin
    select * into v_known
    from bank_transfers
    where idempotency_key = p_transfer.idempotency_key and made_by = p_transfer.made_by
        and organization_id = p_transfer.organization_id and livemode = p_transfer.livemode;
    if v_known.id is not null and v_known.request <> p_transfer.request then
        raise exception 'idempotency-key-reused: the key belongs to a transfer with other content'
            using errcode = '22B08';
    end if;
    return v_known;
end;
$function$;
comment on function known_bank_transfer(bank_transfers) is 'The transfer that this key entered before, or a null row. Refuses a key with other content.';

CREATE OR REPLACE FUNCTION public.last_ledger_balance(p_ledger_account_id uuid)
 RETURNS bigint
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
BEGIN ATOMIC
 SELECT COALESCE(( SELECT newest.balance_after
            FROM (( SELECT ledger_transactions.debit_balance_after AS balance_after,
                     ledger_transactions.debited_at AS booked_at
                    FROM ledger_transactions
                   WHERE (ledger_transactions.debit_account_id = last_ledger_balance.p_ledger_account_id)
                   ORDER BY ledger_transactions.debited_at DESC
                  LIMIT 1)
                 UNION ALL
                 ( SELECT ledger_transactions.credit_balance_after AS balance_after,
                     ledger_transactions.credited_at AS booked_at
                    FROM ledger_transactions
                   WHERE (ledger_transactions.credit_account_id = last_ledger_balance.p_ledger_account_id)
                   ORDER BY ledger_transactions.credited_at DESC
                  LIMIT 1)) newest
           ORDER BY newest.booked_at DESC
          LIMIT 1), (0)::bigint) AS "coalesce";
END;
comment on function last_ledger_balance(uuid) is 'The balance that the newest transaction of an account left it with; zero where it has none.';

CREATE OR REPLACE FUNCTION public.least_to_capture(p_attempt payment_attempts)
 RETURNS bigint
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE payment_intents.capture_method
             WHEN 'manual'::text THEN (1)::bigint
             ELSE (least_to_capture.p_attempt).amount
         END AS amount
    FROM payment_intents
   WHERE (payment_intents.id = (least_to_capture.p_attempt).payment_intent_id);
END;
comment on function least_to_capture(payment_attempts) is 'The smallest part of an authorised payment that may be taken: what is not authorised first is owed whole.';

CREATE OR REPLACE FUNCTION public.ledger_account(p_organization_id uuid, p_livemode boolean, p_code text, p_account_type text, p_currency text, p_reference_id uuid DEFAULT NULL::uuid)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    -- A fact finds the same part each time, so that booking it again is booking the same.
    v_part smallint := coalesce(get_byte(uuid_send(p_reference_id), 15) & 15, 0);
    v_id uuid;
    v_account_type text;
begin
    select id, account_type into v_id, v_account_type
    from ledger_accounts
    where code = p_code and part = v_part and organization_id = p_organization_id
        and livemode = p_livemode and currency = p_currency;

    if v_id is null then
        -- Two that open the same two accounts, each in its own order, would wait for each other.
        perform pg_advisory_xact_lock(hashtextextended('ledger_account', 0));
        insert into ledger_accounts (
            organization_id, livemode, code, part, account_type, currency
        )
        values (p_organization_id, p_livemode, p_code, v_part, p_account_type, p_currency)
        on conflict on constraint ledger_account_code_is_taken_once do nothing;

        select id, account_type into strict v_id, v_account_type
        from ledger_accounts
        where code = p_code and part = v_part and organization_id = p_organization_id
            and livemode = p_livemode and currency = p_currency;
    end if;
    if v_account_type <> p_account_type then
        raise exception 'ledger account % is % and not %', p_code, v_account_type, p_account_type
            using errcode = 'assert_failure';
    end if;
    return v_id;
end;
$function$;
comment on function ledger_account(uuid,boolean,text,text,text,uuid) is 'The account of this code, opened at its first use; of a shared one, the part that the reference falls to.';

CREATE OR REPLACE FUNCTION public.ledger_account_text(p_account ledger_accounts, p_balance_after bigint, p_booked_at timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT concat_ws(' '::text, (p_account).id, (p_account).code, (p_account).part, (p_account).account_type, COALESCE(((p_account).customer_id)::text, '-'::text), p_balance_after, trunc((EXTRACT(epoch FROM p_booked_at) * (1000000)::numeric))) AS concat_ws;
END;
comment on function ledger_account_text(ledger_accounts,bigint,timestamp with time zone) is 'One side of a transaction as it is sealed, which says what the account is as well.';

CREATE OR REPLACE FUNCTION public.ledger_balance_at(p_ledger_account_id uuid, p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(( SELECT ledger_entries.balance_after
            FROM ledger_entries
           WHERE ((ledger_entries.ledger_account_id = ledger_balance_at.p_ledger_account_id) AND (ledger_entries.created_at <= ledger_balance_at.p_at))
           ORDER BY ledger_entries.created_at DESC
          LIMIT 1), (0)::bigint) AS "coalesce";
END;
comment on function ledger_balance_at(uuid,timestamp with time zone) is 'An account''s balance as of a moment, by the time of booking. Final once no posting runs that began before that moment.';

CREATE OR REPLACE FUNCTION public.ledger_legs(p_postings ledger_posting[])
 RETURNS TABLE(place bigint, ledger_account_id uuid, amount bigint)
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((2 * posting.place) - side.is_debit) AS place,
     side.ledger_account_id,
     side.amount
    FROM (unnest(ledger_legs.p_postings) WITH ORDINALITY posting(key, kind, reference_type, reference_id, occurred_at, debit_account_id, credit_account_id, amount, place)
      CROSS JOIN LATERAL ( VALUES (posting.debit_account_id,posting.amount,1), (posting.credit_account_id,(- posting.amount),0)) side(ledger_account_id, amount, is_debit));
END;
comment on function ledger_legs(ledger_posting[]) is 'The two sides of each posting: the first is debited at place 1 and credited at 2, and so on.';

CREATE OR REPLACE FUNCTION public.ledger_movement(p_fact ledger_posting, p_part text, p_debit_account_id uuid, p_credit_account_id uuid, p_amount bigint)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_amount is null or p_amount = 0 then
        return null;
    end if;
    return (
        concat_ws(':', p_fact.key, p_part),
        concat_ws('_', p_fact.kind, split_part(p_part, ':', 1)),
        p_fact.reference_type, p_fact.reference_id, p_fact.occurred_at,
        case when p_amount > 0 then p_debit_account_id else p_credit_account_id end,
        case when p_amount > 0 then p_credit_account_id else p_debit_account_id end,
        abs(p_amount)
    )::ledger_posting;
end;
$function$;
comment on function ledger_movement(ledger_posting,text,uuid,uuid,bigint) is 'One of the amounts that a fact moves: the fact''s own key, and for all but one of them the name of the part. A negative amount goes the other way. Null where nothing moves.';

CREATE OR REPLACE FUNCTION public.ledger_transaction_hash(p_transaction ledger_transactions)
 RETURNS bytea
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT sha256(convert_to(ledger_transaction_text(p_transaction), 'UTF8'::name)) AS sha256;
END;
comment on function ledger_transaction_hash(ledger_transactions) is 'The sha256 of a transaction''s text.';

CREATE OR REPLACE FUNCTION public.ledger_transaction_instead(p_organization_id uuid, p_livemode boolean, p_posting ledger_posting)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid;
    v_open bigint;
    v_currencies bigint;
begin
    -- Of the two those that were moved: their balance is not what their newest transaction left.
    update ledger_accounts
    set balance = balance
        - case id when p_posting.debit_account_id then p_posting.amount else -p_posting.amount end
    where id in (p_posting.debit_account_id, p_posting.credit_account_id)
        and balance <> last_ledger_balance(id);

    v_id := booked_ledger_transaction(p_organization_id, p_livemode, p_posting);
    if v_id is not null then
        return v_id;
    end if;

    select count(*), count(distinct currency) into v_open, v_currencies
    from ledger_accounts
    where id in (p_posting.debit_account_id, p_posting.credit_account_id)
        and organization_id = p_organization_id and livemode = p_livemode and status = 'active';
    if v_open <> 2 or v_currencies <> 1 then
        raise exception
            'ledger transaction % needs two accounts of one currency that are open here',
            p_posting.key
            using errcode = 'assert_failure';
    end if;
    raise exception 'ledger transaction % would take an account out of its bounds', p_posting.key
        using
            errcode = 'check_violation',
            constraint = 'ledger_account_stays_within_its_bounds';
end;
$function$;
comment on function ledger_transaction_instead(uuid,boolean,ledger_posting) is 'Takes back what was moved for a fact that cannot be booked now: because it is booked already, which is the answer, or for a reason that is raised.';

CREATE OR REPLACE FUNCTION public.ledger_transaction_text(p_transaction ledger_transactions)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT concat_ws('
'::text, (ledger_transaction_text.p_transaction).id, (ledger_transaction_text.p_transaction).organization_id, ((ledger_transaction_text.p_transaction).livemode)::text, one_line((ledger_transaction_text.p_transaction).key), one_line((ledger_transaction_text.p_transaction).kind), one_line((ledger_transaction_text.p_transaction).reference_type), (ledger_transaction_text.p_transaction).reference_id, COALESCE(( SELECT (reversals.reverses_id)::text AS reverses_id
            FROM ledger_reversals reversals
           WHERE (reversals.ledger_transaction_id = (ledger_transaction_text.p_transaction).id)), '-'::text), trunc((EXTRACT(epoch FROM (ledger_transaction_text.p_transaction).occurred_at) * (1000000)::numeric)), concat_ws(' '::text, (ledger_transaction_text.p_transaction).currency, (ledger_transaction_text.p_transaction).amount), ledger_account_text(debited.*, (ledger_transaction_text.p_transaction).debit_balance_after, (ledger_transaction_text.p_transaction).debited_at), ledger_account_text(credited.*, (ledger_transaction_text.p_transaction).credit_balance_after, (ledger_transaction_text.p_transaction).credited_at)) AS concat_ws
    FROM ledger_accounts debited,
     ledger_accounts credited
   WHERE ((debited.id = (ledger_transaction_text.p_transaction).debit_account_id) AND (credited.id = (ledger_transaction_text.p_transaction).credit_account_id));
END;
comment on function ledger_transaction_text(ledger_transactions) is 'What a seal covers: twelve lines, times in microseconds since 1970, the last two for the account that is debited and the one that is credited.';

CREATE OR REPLACE FUNCTION public.list_held_payment(hasura_session json, p_payment_attempt_id uuid)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    select * into v_intent
    from payment_intents
    where id = (select payment_intent_id from payment_attempts where id = p_payment_attempt_id)
    for no key update;
    select * into v_attempt
    from payment_attempts
    where id = p_payment_attempt_id
        and livemode::text = hasura_session ->> 'x-hasura-livemode';

    if v_attempt.status = 'authorized' and v_intent.status in ('canceled', 'paid') then
        perform record_exception(
            v_attempt.organization_id, v_attempt.livemode, 'hold-not-released', 'payment_attempt',
            v_attempt.id, v_attempt.amount, v_attempt.currency,
            format(
                'the payment is called off or paid otherwise, and %s holds money still',
                v_attempt.gateway
            )
        );
        return next v_attempt;
    end if;
end;
$function$;
comment on function list_held_payment(json,uuid) is 'The gateway does not let go of what it holds for a payment that is called off, or that another attempt paid: a person is told, once, until it has. Nothing happens to an attempt that is not held any more.';
grant execute on function list_held_payment(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.list_installation_faults(p_session json)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_livemode constant boolean := (p_session ->> 'x-hasura-livemode')::boolean;
    v_names constant text[] := array(select name from installation_faults(v_livemode));
begin
    perform list_invariant(p_session, 'installation-unsafe', faults.name, faults.detail)
    from installation_faults(v_livemode) as faults;
    perform resolve_exception('installation-unsafe', object_type, object_id)
    from exceptions
    where class = 'installation-unsafe' and resolved_at is null and livemode = v_livemode
        and object_type <> all(v_names);
end;
$function$;
comment on function list_installation_faults(json) is 'Lists what is not as it must be, until it is.';

CREATE OR REPLACE FUNCTION public.list_invariant(p_session json, p_class text, p_name text, p_detail text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT record_exception(NULL::uuid, ((p_session ->> 'x-hasura-livemode'::text))::boolean, p_class, p_name, invariant_object(), NULL::bigint, NULL::text, p_detail) AS record_exception;
END;
comment on function list_invariant(json,text,text,text) is 'Lists an invariant among the exceptions, once.';

CREATE OR REPLACE FUNCTION public.list_missed_autopay_charge(p_charge autopay_charges)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT record_exception((p_charge).organization_id, (p_charge).livemode, 'autopay-missed'::text, 'autopay_charge'::text, (p_charge).id, (p_charge).amount, (p_charge).currency, format('%s was due %s and is not charged any more'::text, (p_charge).period, (p_charge).due_at)) AS record_exception;
END;
comment on function list_missed_autopay_charge(autopay_charges) is 'A person decides about a month that could not be charged in time.';

CREATE OR REPLACE FUNCTION public.list_parked_events(p_destination text, p_event_ids uuid[])
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT record_exception(events.organization_id, events.livemode, 'event-not-published'::text, 'event'::text, events.id, NULL::bigint, NULL::text, format('%s to %s, tried %s times: %s'::text, events.type, event_publications.destination, event_publications.attempts, COALESCE(event_publications.last_error, 'no answer'::text))) AS record_exception
    FROM (event_publications
      JOIN events ON ((events.id = event_publications.event_id)))
   WHERE ((event_publications.destination = list_parked_events.p_destination) AND (event_publications.event_id = ANY (list_parked_events.p_event_ids)) AND (event_publications.status = 'parked'::text));
END;
comment on function list_parked_events(text,uuid[]) is 'An event that a destination did not take is for a person.';

CREATE OR REPLACE FUNCTION public.list_shortage(p_payment_intent_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_held constant bigint := amount_held_by_receipts(p_payment_intent_id);
begin
    select * into v_intent from payment_intents where id = p_payment_intent_id;
    if v_held > 0 and v_intent.status not in ('paid', 'canceled') then
        perform record_exception(
            v_intent.organization_id, v_intent.livemode, 'bank-transfer-short', 'payment_intent',
            v_intent.id, v_intent.amount - v_held, v_intent.currency,
            format('%s of %s came by bank transfer', v_held, v_intent.amount)
        );
    else
        perform resolve_exception('bank-transfer-short', 'payment_intent', p_payment_intent_id);
    end if;
end;
$function$;
comment on function list_shortage(uuid) is 'Lists what is missing of a payment for which something has come, but not all; or takes it off the list. Of a transfer that belongs to no payment (null) it does nothing. The intent is locked.';

CREATE OR REPLACE FUNCTION public.list_waiting_bank_transfers(hasura_session json)
 RETURNS SETOF bank_transfers
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_transfer bank_transfers;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    for v_transfer in
        select * from bank_transfers
        where (
            status = 'entered'
            or (payment_intent_id is not null and match_checked_by is null and status = 'approved')
        )
        and updated_at < clock_now() - interval '2 days'
        and livemode::text = hasura_session ->> 'x-hasura-livemode'
        and not exists (
            select from exceptions
            where exceptions.class = 'bank-transfer-waiting' and exceptions.resolved_at is null
                and exceptions.object_type = 'bank_transfer'
                and exceptions.object_id = bank_transfers.id
        )
        order by created_at
        limit 200
        for no key update skip locked
    loop
        perform record_exception(
            v_transfer.organization_id, v_transfer.livemode, 'bank-transfer-waiting',
            'bank_transfer', v_transfer.id, v_transfer.amount, v_transfer.currency,
            format('entered by %s, and no second person has looked', v_transfer.made_by)
        );
        return next v_transfer;
    end loop;
end;
$function$;
comment on function list_waiting_bank_transfers(json) is 'Lists what has waited two days for its second person; answers what is new on the list.';
grant execute on function list_waiting_bank_transfers(json) to munim_hasura;

CREATE OR REPLACE FUNCTION public.list_waiting_events(p_livemode boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_waiting event_publications;
begin
    for v_waiting in
        select longest.*
        from (
            select distinct on (oldest.organization_id, oldest.destination) oldest.*
            from (
                select *
                from event_publications
                where due_at < clock_now() - interval '1 day' and livemode = p_livemode
                order by due_at
                limit 1000
            ) as oldest
            order by oldest.organization_id, oldest.destination, oldest.due_at
        ) as longest
        order by longest.event_id
    loop
        -- Whoever sends it at this moment takes it off the list first, and then we find it sent.
        perform from events where id = v_waiting.event_id for no key update;
        perform record_exception(
            events.organization_id, events.livemode, 'event-not-published', 'event', events.id,
            null, null, format(
                '%s to %s waits since %s, and others behind it', events.type, waiting.destination,
                waiting.due_at
            )
        )
        from event_publications as waiting
        inner join events on events.id = waiting.event_id
        where waiting.event_id = v_waiting.event_id
            and waiting.destination = v_waiting.destination and waiting.due_at = v_waiting.due_at;
    end loop;
end;
$function$;
comment on function list_waiting_events(boolean) is 'Lists the event that has waited longest for each organisation''s destination, if that is a day after its turn: nobody sends there. One that is sent and not taken is due again within the hour, and parked after three days. It is off the list when somebody has tried to send it.';

CREATE OR REPLACE FUNCTION public.local_moment(p_date date, p_time time without time zone, p_timezone text)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((p_date + p_time) AT TIME ZONE p_timezone) AS timezone;
END;
comment on function local_moment(date,time without time zone,text) is 'The moment at which clocks in a zone show a date and time. Where clocks go forward over it, the moment that it would have been, an hour later by the new clock; where they show it twice, the second.';

CREATE OR REPLACE FUNCTION public.lock_autopay_charges(p_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform from payment_intents
    where id = any(array(select payment_intent_id from autopay_charges where id = any(p_ids)))
    order by id
    for no key update;
    perform from autopay_mandates
    where id = any(array(select autopay_mandate_id from autopay_charges where id = any(p_ids)))
    order by id
    for no key update;
    perform from autopay_charges where id = any(p_ids) order by id for no key update;
end;
$function$;
comment on function lock_autopay_charges(uuid[]) is 'Lock order: intents, mandates, charges, each by id.';

CREATE OR REPLACE FUNCTION public.lock_autopay_probes(p_livemode boolean, p_silent text[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_gateway text;
    v_waiting uuid;
    v_gateways text[] := '{}';
    v_ids uuid[] := '{}';
begin
    foreach v_gateway in array p_silent loop
        select charge.id into v_waiting
        from autopay_charges as charge
        inner join autopay_mandates as mandate on mandate.id = charge.autopay_mandate_id
        where mandate.gateway = v_gateway and mandate.status = 'active'
            and charge.livemode = p_livemode
            and (
                charge.lease_until <= clock_now()
                or charge.status = 'due' and charge.next_try_at <= clock_now()
            )
        order by coalesce(charge.lease_until, charge.next_try_at)
        limit 1
        for no key update of charge skip locked;
        if found then
            v_gateways := v_gateways || v_gateway;
            v_ids := v_ids || v_waiting;
        end if;
    end loop;
    return array(
        select probe.id
        from unnest(v_gateways, v_ids) as probe (gateway, id)
        where may_ask_gateway(probe.gateway, p_livemode, 'charge')
    );
end;
$function$;
comment on function lock_autopay_probes(boolean,text[]) is 'Of each silent gateway that may be asked once the charge that has waited longest.';

CREATE OR REPLACE FUNCTION public.lock_bank_account(p_session json, p_id uuid)
 RETURNS bank_accounts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function lock_bank_account(json,uuid) is 'An account of the session''s, locked, or a refusal.';

CREATE OR REPLACE FUNCTION public.lock_bank_transfer(p_session json, p_id uuid)
 RETURNS bank_transfers
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_transfer bank_transfers;
    v_intent_id uuid;
begin
    select * into v_transfer from bank_transfers where id = p_id;
    perform require_access(p_session, v_transfer.organization_id, v_transfer.livemode, null);

    -- Lock order: intent, bank transfer (what is taken back before what takes it), attempt, refund,
    -- ledger accounts by id.
    v_intent_id := intent_of_bank_transfer(v_transfer);
    perform from payment_intents where id = v_intent_id for no key update;
    perform from bank_transfers where id = v_transfer.returned_id for no key update;
    select * into strict v_transfer from bank_transfers where id = p_id for no key update;
    if intent_of_bank_transfer(v_transfer) is distinct from v_intent_id then
        raise exception 'bank transfer % was matched at this moment', p_id
            using errcode = 'serialization_failure';
    end if;
    return v_transfer;
end;
$function$;
comment on function lock_bank_transfer(json,uuid) is 'A transfer of the session''s and what it is about, locked in order, or a refusal.';

CREATE OR REPLACE FUNCTION public.lock_due_attempts(p_livemode boolean, p_limit integer, p_silent text[], p_not_capturing text[], p_probed text DEFAULT NULL::text)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return query
    select *
    from payment_attempts
    where next_check_at <= clock_now()
        and livemode = p_livemode
        and (p_probed is null or gateway = p_probed)
        and (p_probed is not null) = (
            gateway = any(p_silent)
            or (gateway = any(p_not_capturing) and is_being_captured(payment_attempts))
        )
    order by next_check_at
    limit p_limit
    for no key update skip locked;
end;
$function$;
comment on function lock_due_attempts(boolean,integer,text[],text[],text) is 'The attempts that are due to be asked about and nobody has locked, the longest due first: those that wait for p_probed, which is left alone, or those that wait for nobody.';

CREATE OR REPLACE FUNCTION public.lock_due_order_charges(p_livemode boolean, p_limit integer, p_silent text[], p_probed text DEFAULT NULL::text)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_before constant timestamptz := clock_now() - interval '1 minute';  -- once, not for each
begin
    return query
    select payment_attempts.*
    from payment_attempts
    -- As index payment_attempts_unsent has them: most attempts were sent long ago.
    where payment_attempts.status in ('created', 'unknown')
        and payment_attempts.payment_method_id is not null
        and payment_attempts.updated_at < v_before
        and payment_attempts.livemode = p_livemode
        and exists (select from order_charges where order_charges.id = payment_attempts.id)
        and (
            p_probed is null and payment_attempts.gateway <> all(p_silent)
            or payment_attempts.gateway = p_probed
        )
    order by payment_attempts.updated_at
    limit p_limit
    for no key update of payment_attempts skip locked;
end;
$function$;
comment on function lock_due_order_charges(boolean,integer,text[],text) is 'The charges that wait for whoever sends them and nobody has locked, the longest waiting first: of p_probed alone, or of all gateways but the silent ones.';

CREATE OR REPLACE FUNCTION public.lock_due_refund_searches(p_livemode boolean, p_limit integer, p_paused text[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function lock_due_refund_searches(boolean,integer,text[]) is 'The payments whose refunds are due to be asked for and nobody has locked, the longest due first. Of those that wait for a gateway that is left alone there is one, which finds out whether it answers; of p_paused none.';

CREATE OR REPLACE FUNCTION public.lock_due_refunds(p_livemode boolean, p_limit integer, p_paused text[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_deaf constant text[] := silent_gateways(p_livemode, 'look-up');
    v_silent constant text[] := silent_gateways(p_livemode, 'refund');
    v_gateway text;
    v_refund refunds;
    v_probes refunds[] := '{}';
    v_ids uuid[];
begin
    for v_gateway in
        select unnest(v_deaf || v_silent) except select unnest(p_paused) order by 1
    loop
        select * into v_refund
        from refunds
        where next_check_at <= clock_now() and livemode = p_livemode and gateway = v_gateway
            and (gateway = any(v_deaf) or status in ('created', 'unknown'))
        order by next_check_at
        limit 1
        for no key update skip locked;
        if found then
            v_probes := v_probes || v_refund;
        end if;
    end loop;
    v_ids := array(
        select id
        from refunds
        where next_check_at <= clock_now() and livemode = p_livemode
            and gateway <> all(v_deaf || p_paused)
            and (status in ('pending', 'succeeded') or gateway <> all(v_silent))
        order by next_check_at
        limit p_limit
        for no key update skip locked
    );
    v_ids := array(
        select probe.id from unnest(v_probes) as probe
        where may_ask_about_refund(probe)
        limit p_limit
    ) || v_ids;
    return v_ids[:p_limit];
end;
$function$;
comment on function lock_due_refunds(boolean,integer,text[]) is 'The refunds that are due to be asked about and nobody has locked, the longest due first. Of those that wait for a gateway that is left alone there is one, which finds out whether it answers; of p_paused none.';

CREATE OR REPLACE FUNCTION public.lock_exception(p_session json, p_id uuid)
 RETURNS exceptions
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_is_operator constant boolean := p_session ->> 'x-hasura-actor-role' = 'operator';
    v_exception exceptions;
begin
    perform require_actor_role(p_session, array['finance', 'owner', 'operator']);
    if not v_is_operator then
        perform acting_member(p_session, array['finance', 'owner']);
    elsif p_session ->> 'x-hasura-user-id' is null then
        raise exception 'forbidden: the session names no person' using errcode = '22B03';
    end if;

    select * into v_exception from exceptions where id = p_id for no key update;
    -- What is nobody's is the platform's.
    if (
        v_is_operator and v_exception.organization_id is null
        and p_session ->> 'x-hasura-organization-id' is null
        and v_exception.livemode::text = p_session ->> 'x-hasura-livemode'
    ) is not true then
        perform require_access(
            p_session, v_exception.organization_id, v_exception.livemode, null
        );
    end if;
    return v_exception;
end;
$function$;
comment on function lock_exception(json,uuid) is 'An exception that this person may decide about, locked, or a refusal: of finance, of the owners, or of the platform''s operator.';

CREATE OR REPLACE FUNCTION public.lock_ledger_accounts(p_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform from ledger_accounts where id = any(p_ids) order by id for no key update;
end;
$function$;
comment on function lock_ledger_accounts(uuid[]) is 'In the one order in which ledger accounts are locked, by id.';

CREATE OR REPLACE FUNCTION public.lock_order(p_organization_id uuid, p_reference text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT pg_advisory_xact_lock(hashtextextended(((('order:'::text || p_organization_id) || ':'::text) || p_reference), (0)::bigint)) AS pg_advisory_xact_lock;
END;
comment on function lock_order(uuid,text) is 'All that is asked and said of one order is worked on one after the other, known here or not. It is the first of all locks.';

CREATE OR REPLACE FUNCTION public.lock_parked_events(p_destination text, p_event_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform from events
    where id = any(array(
        select event_id
        from event_publications
        where destination = p_destination and event_id = any(p_event_ids) and status = 'parked'
    ))
    order by id
    for no key update;
end;
$function$;
comment on function lock_parked_events(text,uuid[]) is 'The list has one line of an event for all destinations: who writes it keeps the others away. Lock order: a destination''s publications, events, each by id.';

CREATE OR REPLACE FUNCTION public.lock_payments(p_attempt_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
begin
    perform from payment_intents
    where id
        = any(array(select payment_intent_id from payment_attempts where id = any(p_attempt_ids)))
    order by id
    for no key update;
    perform from payment_attempts where id = any(p_attempt_ids) order by id for no key update;
end;
$function$;
comment on function lock_payments(uuid[]) is 'Lock order: intents, attempts, each by id.';

CREATE OR REPLACE FUNCTION public.lock_refundable_attempt(p_session json, p_payment_intent_id uuid, p_payment_attempt_id uuid)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_attempt payment_attempts;
begin
    select * into v_intent from payment_intents where id = p_payment_intent_id;
    perform require_access(
        p_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );

    -- Lock order: intent, attempt, refund, lot of credits, ledger accounts by id.
    perform from payment_intents where id = p_payment_intent_id for no key update;
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_payment_intent_id and status = 'captured'
        and case
            when p_payment_attempt_id is null then not is_surplus
            else id = p_payment_attempt_id
        end
    for no key update;

    if v_attempt.id is null then
        raise exception 'refund-not-allowed: nothing of this payment is captured'
            using errcode = '22B12';
    end if;
    return v_attempt;
end;
$function$;
comment on function lock_refundable_attempt(json,uuid,uuid) is 'The session''s own attempt whose money can go back; the one that paid where none is named.';

CREATE OR REPLACE FUNCTION public.major_units(p_amount bigint, p_currency text)
 RETURNS numeric
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT round(((major_units.p_amount)::numeric / power((10)::numeric, (currencies.exponent)::numeric)), (currencies.exponent)::integer) AS round
    FROM currencies
   WHERE (currencies.code = major_units.p_currency);
END;
comment on function major_units(bigint,text) is 'Minor units to a decimal with the currency''s own scale; exact.';
grant execute on function major_units(bigint,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.mandate_of_notice(p_event gateway_events)
 RETURNS autopay_mandates
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT autopay_mandates.*::autopay_mandates AS autopay_mandates
    FROM autopay_mandates
   WHERE ((autopay_mandates.gateway = (mandate_of_notice.p_event).gateway) AND (autopay_mandates.livemode = (mandate_of_notice.p_event).livemode) AND ((autopay_mandates.id = (((mandate_of_notice.p_event).notice ->> 'autopay_mandate_id'::text))::uuid) OR (autopay_mandates.gateway_session_id = ((mandate_of_notice.p_event).notice ->> 'gateway_session_id'::text))))
   ORDER BY (autopay_mandates.id = (((mandate_of_notice.p_event).notice ->> 'autopay_mandate_id'::text))::uuid) DESC NULLS LAST
  LIMIT 1;
END;
comment on function mandate_of_notice(gateway_events) is 'The mandate that a message is about, or null.';

CREATE OR REPLACE FUNCTION public.mark_payment_unknown(hasura_session json, p_payment_attempt_id uuid, p_failure_message text, p_is_silent boolean DEFAULT true)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    update payment_attempts
    set status = 'unknown', failure_message = p_failure_message
    where id = p_payment_attempt_id and status = 'created';

    perform break_gateway_circuit(
        gateway, livemode, case when payment_method_id is null then 'open' else 'charge' end
    )
    from payment_attempts
    where id = p_payment_attempt_id and p_is_silent;
    return query select * from payment_attempts where id = p_payment_attempt_id;
end;
$function$;
comment on function mark_payment_unknown(json,uuid,text,boolean) is 'The gateway was asked and gave no answer. Nothing happens to an attempt of which more is known. p_is_silent: it said nothing, or failed itself; an answer that means nothing, such as too many requests, is not counted in gateway_circuits.';
grant execute on function mark_payment_unknown(json,uuid,text,boolean) to munim_hasura;

CREATE OR REPLACE FUNCTION public.mark_refund_unknown(hasura_session json, p_refund_id uuid, p_failure_message text, p_is_silent boolean DEFAULT true)
 RETURNS SETOF refunds
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    update refunds
    set status = 'unknown', failure_message = p_failure_message
    where id = p_refund_id and status = 'created';

    perform break_gateway_circuit(gateway, livemode, 'refund')
    from refunds
    where id = p_refund_id and p_is_silent;
    return query select * from refunds where id = p_refund_id;
end;
$function$;
comment on function mark_refund_unknown(json,uuid,text,boolean) is 'The gateway was asked and gave no answer. Nothing happens to a refund of which more is known.';
grant execute on function mark_refund_unknown(json,uuid,text,boolean) to munim_hasura;

CREATE OR REPLACE FUNCTION public.match_bank_transfer(hasura_session json, p_bank_transfer_id uuid, p_order_display_id text)
 RETURNS SETOF bank_transfers
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_transfer bank_transfers;
    v_intent payment_intents;
begin
    perform require_read_committed();
    v_transfer := lock_bank_transfer(hasura_session, p_bank_transfer_id);
    select (order_of_display_id(bank_accounts, p_order_display_id)).* into strict v_intent
    from bank_accounts where id = v_transfer.bank_account_id;

    if v_transfer.kind <> 'receipt' or v_transfer.status not in ('entered', 'approved')
        or (v_transfer.match_checked_by is not null and v_transfer.payment_intent_id <> v_intent.id)
    then
        raise exception 'transfer-decided: this % is % and what it pays is settled',
            v_transfer.kind, v_transfer.status
            using errcode = '22B28';
    end if;
    if v_transfer.payment_intent_id is distinct from v_intent.id then
        update bank_transfers
        set payment_intent_id = v_intent.id, matched_by = v_user_id, reason = null
        where id = v_transfer.id
        returning * into strict v_transfer;
        perform tell_bank_transfer(v_transfer, 'matched');
    end if;
    return next v_transfer;
end;
$function$;
comment on function match_bank_transfer(json,uuid,text) is 'Says which order a receipt pays; another person approves that too. Matched again: nothing more.';
grant execute on function match_bank_transfer(json,uuid,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.materialise_autopay_charges(hasura_session json, p_limit integer)
 RETURNS SETOF autopay_mandates
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[];
    v_charges autopay_charges[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform give_up_on_payers(hasura_session);
    perform pass_over_paused_months(hasura_session);

    v_ids := array(
        select id from autopay_mandates
        where next_notice_at <= clock_now()
            and livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by next_notice_at
        limit p_limit
        for no key update skip locked
    );
    v_charges := write_autopay_charges(v_ids);
    perform tell_of_autopay_charge(charge, 'autopay.upcoming')
    from unnest(v_charges) as charge where charge.status = 'due';
    perform list_missed_autopay_charge(charge)
    from unnest(v_charges) as charge where charge.status = 'skipped';

    return query
    with following as (
        select
            autopay_mandates.id,
            due_date(day_of_month, (next_due_on + interval '1 month')::date) as due_on,
            autopay_settings.notice_days * interval '1 day' as notice
        from autopay_mandates
        inner join autopay_settings
            on autopay_settings.organization_id = autopay_mandates.organization_id
        where autopay_mandates.id = any(v_ids)
    )
    update autopay_mandates
    set
        next_due_on = following.due_on,
        next_notice_at = local_moment(following.due_on, local_time, timezone) - following.notice
    from following
    where autopay_mandates.id = following.id
    returning autopay_mandates.*;
end;
$function$;
comment on function materialise_autopay_charges(json,integer) is 'Writes down and announces the charges whose notice is due, one month of a mandate a call, and answers the mandates that it moved on: call again until there are none. Any number of ticks, at any time, late or twice, make the same charges.';
grant execute on function materialise_autopay_charges(json,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.may_ask_about_attempt(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if is_being_captured(p_attempt)
        and not may_ask_gateway(p_attempt.gateway, p_attempt.livemode, 'capture')
    then
        return false;
    end if;
    return may_ask_gateway(p_attempt.gateway, p_attempt.livemode, 'look-up');
end;
$function$;
comment on function may_ask_about_attempt(payment_attempts) is 'Whether its gateway answers look-ups, and takes captures where this is to be one.';

CREATE OR REPLACE FUNCTION public.may_ask_about_refund(p_refund refunds)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if not may_ask_gateway(p_refund.gateway, p_refund.livemode, 'look-up') then
        return false;
    end if;
    return p_refund.status in ('pending', 'succeeded')
        or may_ask_gateway(p_refund.gateway, p_refund.livemode, 'refund');
end;
$function$;
comment on function may_ask_about_refund(refunds) is 'Whether its gateway answers look-ups, and takes refunds where this one may have to be sent.';

CREATE OR REPLACE FUNCTION public.may_ask_gateway(p_gateway text, p_livemode boolean, p_operation text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function may_ask_gateway(text,boolean,text) is 'Whether a gateway is to be asked. Of a silent one, one caller in half a minute is told yes. Who asks for several locks their circuits in the order of their keys, after all rows that it may have to wait for.';

CREATE OR REPLACE FUNCTION public.may_be_refunded_unheard(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (count(*) > 0)
    FROM dispute_polls
   WHERE ((dispute_polls.gateway = (may_be_refunded_unheard.p_attempt).gateway) AND (dispute_polls.livemode = (may_be_refunded_unheard.p_attempt).livemode) AND (dispute_polls.complete_until > (may_be_refunded_unheard.p_attempt).created_at));
END;
comment on function may_be_refunded_unheard(payment_attempts) is 'Whether its gateway''s list of new refunds was read since the attempt was opened: what that had of a payment which our books did not know yet was passed over, as somebody else''s.';

CREATE OR REPLACE FUNCTION public.may_capture_less(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (payment_intents.capture_method = 'manual'::text)
    FROM payment_intents
   WHERE (payment_intents.id = (may_capture_less.p_attempt).payment_intent_id);
END;
comment on function may_capture_less(payment_attempts) is 'Whether a part of what was asked for may be taken.';

CREATE OR REPLACE FUNCTION public.may_embed(p_origin text, p_livemode boolean)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((length(p_origin) <= 261) AND (p_origin !~ ':(80|443)$'::text) AND ((p_origin ~ '^https://([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])?(:[1-9][0-9]{0,4})?$'::text) OR ((NOT p_livemode) AND (p_origin ~ '^http://(localhost|127[.]0[.]0[.]1)(:[1-9][0-9]{0,4})?$'::text))));
END;
comment on function may_embed(text,boolean) is 'Whether a text is an origin as browsers write it: https and a name, with a port where it is not the usual one; no path, no wildcard, no bare number. In test mode the developer''s own machine, too.';

CREATE OR REPLACE FUNCTION public.mismatch_of_dispute(p_event gateway_events, p_attempt payment_attempts, p_dispute disputes)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN (((p_event).notice ->> 'gateway_dispute_id'::text) IS NULL) THEN 'unmatched-dispute: the message names no dispute'::text
             WHEN ((((p_event).notice ->> 'currency'::text) IS DISTINCT FROM (p_attempt).currency) OR ((COALESCE((((p_event).notice ->> 'amount'::text))::numeric, (0)::numeric) < (1)::numeric) OR (COALESCE((((p_event).notice ->> 'amount'::text))::numeric, (0)::numeric) > ('1000000000000000'::bigint)::numeric)) OR ((p_dispute).payment_attempt_id <> (p_attempt).id) OR ((((p_event).notice ->> 'amount'::text))::numeric <> ((p_dispute).amount)::numeric)) THEN format('amount-mismatch: the gateway says %s %s, the dispute is %s %s'::text, ((p_event).notice ->> 'amount'::text), ((p_event).notice ->> 'currency'::text), (p_dispute).amount, (p_attempt).currency)
             WHEN ((((p_event).notice ->> 'outcome'::text) = ANY (ARRAY['won'::text, 'lost'::text])) AND ((p_dispute).status = ANY (ARRAY['won'::text, 'lost'::text])) AND (((p_event).notice ->> 'outcome'::text) <> (p_dispute).status)) THEN format('dispute-contradicted: %s, and it was %s before'::text, ((p_event).notice ->> 'outcome'::text), (p_dispute).status)
             ELSE NULL::text
         END AS "case";
END;
comment on function mismatch_of_dispute(gateway_events,payment_attempts,disputes) is 'What speaks against acting on a message about a dispute, as `class: detail`, or null.';

CREATE OR REPLACE FUNCTION public.mismatch_of_notice(p_event gateway_events, p_attempt payment_attempts)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN (((p_event).notice ->> 'outcome'::text) <> ALL (ARRAY['paid'::text, 'authorized'::text, 'processing'::text])) THEN NULL::text
             WHEN ((p_attempt).is_in_suspense AND (amount_taken((p_event).notice) = (p_attempt).amount_captured) AND (((p_event).notice ->> 'currency'::text) = (p_attempt).currency)) THEN NULL::text
             WHEN (((((p_event).notice ->> 'amount'::text))::bigint IS DISTINCT FROM (p_attempt).amount) OR (((p_event).notice ->> 'currency'::text) IS DISTINCT FROM (p_attempt).currency) OR ((((p_event).notice ->> 'outcome'::text) = 'paid'::text) AND ((COALESCE((((p_event).notice ->> 'captured_amount'::text))::bigint, (p_attempt).amount) <
             CASE
                 WHEN may_capture_less(p_attempt) THEN (1)::bigint
                 ELSE (p_attempt).amount
             END) OR (COALESCE((((p_event).notice ->> 'captured_amount'::text))::bigint, (p_attempt).amount) > (p_attempt).amount)))) THEN format('amount-mismatch: the gateway says %s %s, the attempt is %s %s'::text, COALESCE(((p_event).notice ->> 'captured_amount'::text), ((p_event).notice ->> 'amount'::text)), ((p_event).notice ->> 'currency'::text), (p_attempt).amount, (p_attempt).currency)
             WHEN (((p_attempt).status = 'captured'::text) AND (((p_event).notice ->> 'gateway_payment_id'::text) <> (p_attempt).gateway_payment_id)) THEN format('duplicate-payment: paid again as %s'::text, ((p_event).notice ->> 'gateway_payment_id'::text))
             WHEN ((((p_event).notice ->> 'outcome'::text) = 'paid'::text) AND ((((p_event).notice ->> 'captured_amount'::text))::bigint <>
             CASE
                 WHEN ((p_attempt).status = 'captured'::text) THEN (p_attempt).amount_captured
                 ELSE (p_attempt).amount_to_capture
             END)) THEN format('amount-mismatch: the gateway took %s %s, and %s %s'::text, ((p_event).notice ->> 'captured_amount'::text), ((p_event).notice ->> 'currency'::text), COALESCE(NULLIF((p_attempt).amount_captured, 0), (p_attempt).amount_to_capture),
             CASE (p_attempt).status
                 WHEN 'captured'::text THEN 'are booked'::text
                 ELSE 'were to be taken'::text
             END)
             WHEN (((p_attempt).status <> 'captured'::text) AND is_booked_elsewhere(p_event, p_attempt)) THEN 'unmatched-payment: this payment is another attempt''s'::text
             ELSE NULL::text
         END AS "case";
END;
comment on function mismatch_of_notice(gateway_events,payment_attempts) is 'What speaks against acting on a message, as `class: detail`, or null.';

CREATE OR REPLACE FUNCTION public.mismatch_of_refund(p_event gateway_events, p_refund refunds)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN (((p_event).notice ->> 'gateway_refund_id'::text) <> (p_refund).gateway_refund_id) THEN format('duplicate-refund: refunded again as %s'::text, ((p_event).notice ->> 'gateway_refund_id'::text))
             WHEN ((((p_event).notice ->> 'outcome'::text) = ANY (ARRAY['pending'::text, 'succeeded'::text])) AND (((((p_event).notice ->> 'amount'::text))::bigint IS DISTINCT FROM (p_refund).amount) OR (((p_event).notice ->> 'currency'::text) IS DISTINCT FROM (p_refund).currency))) THEN format('amount-mismatch: the gateway says %s %s, the refund is %s %s'::text, ((p_event).notice ->> 'amount'::text), ((p_event).notice ->> 'currency'::text), (p_refund).amount, (p_refund).currency)
             ELSE NULL::text
         END AS "case";
END;
comment on function mismatch_of_refund(gateway_events,refunds) is 'What speaks against acting on a message about a refund, as `class: detail`, or null.';

CREATE OR REPLACE FUNCTION public.moment_of_bank_transfer(p_transfer bank_transfers)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (((moment_of_bank_transfer.p_transfer).value_date)::timestamp without time zone AT TIME ZONE organizations.timezone) AS timezone
    FROM organizations
   WHERE (organizations.id = (moment_of_bank_transfer.p_transfer).organization_id);
END;
comment on function moment_of_bank_transfer(bank_transfers) is 'When the day began on which the bank moved the money.';

CREATE OR REPLACE FUNCTION public.money_left_there(p_attempt payment_attempts)
 RETURNS bigint
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (((money_left_there.p_attempt).amount_captured)::numeric - COALESCE(sum(refunds.amount), (0)::numeric))
    FROM refunds
   WHERE ((refunds.payment_attempt_id = (money_left_there.p_attempt).id) AND (refunds.status = 'succeeded'::text));
END;
comment on function money_left_there(payment_attempts) is 'What of a capture no refund is known to have taken.';

CREATE OR REPLACE FUNCTION public.move_dispute(p_dispute disputes, p_attempt payment_attempts, p_status text, p_occurred_at timestamp with time zone)
 RETURNS disputes
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_dispute disputes;
begin
    update disputes
    set
        status = p_status,
        closed_at = case when p_status in ('won', 'lost') then p_occurred_at end,
        covered_amount = case
            when p_status = 'lost' and p_attempt.is_surplus
                then least(amount, surplus_left(p_attempt))
            else covered_amount
        end
    where id = p_dispute.id
    returning * into strict v_dispute;
    if p_status <> 'under_review' then
        perform record_event(
            v_dispute.organization_id, v_dispute.livemode, 'dispute.' || p_status, 'dispute',
            v_dispute.id, dispute_facts(v_dispute)
        );
        perform watch_money_back(p_attempt);
    end if;
    return v_dispute;
end;
$function$;
comment on function move_dispute(disputes,payment_attempts,text,timestamp with time zone) is 'Takes a dispute a step on; its end is told, and the caller books it.';

CREATE OR REPLACE FUNCTION public.move_payment_attempt(p_attempt payment_attempts, p_status text, p_finding jsonb, p_occurred_at timestamp with time zone DEFAULT clock_now())
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_is_to_take constant boolean := p_status = 'authorized' and is_taken_at_once(p_attempt);
    v_has_ended constant boolean := p_status in ('failed', 'expired', 'canceled');
    -- A page that closes says nothing of the tries that were declined on it.
    v_is_known constant boolean := v_has_ended and p_attempt.declined_at is not null
    and coalesce(p_finding ->> 'failure_code', p_finding ->> 'decline_class') is null;
begin
    update payment_attempts
    set
        status = p_status,
        amount_to_capture = case when v_is_to_take then amount else amount_to_capture end,
        gateway_payment_id = coalesce(gateway_payment_id, p_finding ->> 'gateway_payment_id'),
        failure_code = case when v_is_known then failure_code else p_finding ->> 'failure_code' end,
        failure_message
        = case when v_is_known then failure_message else p_finding ->> 'failure_message' end,
        decline_class
        = case when v_is_known then decline_class else p_finding ->> 'decline_class' end,
        declined_at = case
            when v_is_known then declined_at
            when v_has_ended or p_status = 'pending' then declined_at_by(p_finding, p_occurred_at)
        end,
        checks = case when v_is_to_take or v_has_ended then 0 else checks end,
        next_check_at = case
            -- Some gateways say first that they hold what they take themselves a moment later.
            when v_is_to_take then clock_now() + check_delay(0)
            -- Held for a payment that was called off, or paid otherwise, meanwhile: it is to be released.
            when p_status = 'authorized' and exists (
                select from payment_intents
                where id = p_attempt.payment_intent_id and status in ('canceled', 'paid')
            ) then clock_now()
            when p_status in ('pending', 'processing', 'authorized')
                then coalesce(
                    next_check_at,
                    clock_now() + coalesce(check_delay(checks), interval '1 day')
                )
            -- A payer's bank may say yes after all, and the message of it be lost.
            when p_attempt.payment_method_id is null and not is_by_hand(p_attempt.gateway)
                then clock_now() + interval '6 hours'
        end
    where id = p_attempt.id
    returning * into strict v_attempt;

    update payment_intents set status = 'pending'
    where id = p_attempt.payment_intent_id and status = 'processing' and p_status = 'pending';
    if p_status = 'pending' or not exists (
        select from payment_intent_steps
        inner join payment_intents on payment_intents.status = payment_intent_steps.before
        where payment_intents.id = p_attempt.payment_intent_id
            and payment_intent_steps.after = p_status
    ) then
        return;  -- pending from the start or once more, or settled by another attempt
    end if;
    update payment_intents set status = p_status where id = p_attempt.payment_intent_id;

    perform record_event(
        p_attempt.organization_id, p_attempt.livemode, 'payment.' || p_status, 'payment_intent',
        p_attempt.payment_intent_id, payment_facts(v_attempt)
    );
end;
$function$;
comment on function move_payment_attempt(payment_attempts,text,jsonb,timestamp with time zone) is 'Takes an attempt, and its intent with it, to a status in which no money is captured. What is only held though it was to be taken at once is captured by check_payments, and how much is written down here.';

CREATE OR REPLACE FUNCTION public.move_refund(p_refund refunds, p_status text, p_finding jsonb, p_occurred_at timestamp with time zone)
 RETURNS refunds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
    v_is_late boolean := p_refund.status = 'failed';
    v_counts integer := v_is_late::integer - (p_status in ('failed', 'canceled'))::integer;
begin
    update refunds
    set
        status = p_status,
        gateway_refund_id = coalesce(p_finding ->> 'gateway_refund_id', gateway_refund_id),
        failure_code = coalesce(
            p_finding ->> 'failure_code',
            case p_finding ->> 'outcome' when 'not_found' then 'not-found' end
        ),
        failure_message = p_finding ->> 'failure_message',
        succeeded_at = case p_status when 'succeeded' then p_occurred_at else succeeded_at end,
        -- Asked about as often as a new one: the gateway may have it only now, after many questions.
        checks = case when p_status in ('pending', 'succeeded') then 0 else checks end,
        looks = 0,
        next_check_at = clock_now() + case
            when is_by_hand(gateway) then null
            when p_status = 'succeeded' then refund_look_age(0)
            when p_status = 'pending' then check_delay(0)
        end
    where id = p_refund.id
    returning * into strict v_refund;

    if v_is_late then
        -- Its credits, where it had any, were given back and may be used: that money is lost.
        update refunds
        set
            is_late = true, fee_amount = 0,
            loss_amount = case
                when exists (select from credit_recalls where refund_id = p_refund.id) then amount
                else 0
            end
        where id = p_refund.id
        returning * into strict v_refund;
    end if;
    update payment_attempts
    set amount_refunded = amount_refunded + v_counts * v_refund.amount
    where id = v_refund.payment_attempt_id and v_counts <> 0;
    return v_refund;
end;
$function$;
comment on function move_refund(refunds,text,jsonb,timestamp with time zone) is 'Takes a refund to a status and counts it on its attempt accordingly.';

CREATE OR REPLACE FUNCTION public.new_page_token()
 RETURNS text
 LANGUAGE sql
BEGIN ATOMIC
 SELECT translate(encode(substr(sha256((uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))), 1, 24), 'base64'::text), '+/'::text, '-_'::text) AS translate;
END;
comment on function new_page_token() is '192 bits of 244 random ones, in 32 characters of an address.';

CREATE OR REPLACE FUNCTION public.next_payment_check(p_attempt payment_attempts)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_now constant timestamptz := clock_now();
    v_by_schedule constant timestamptz := v_now + check_delay(p_attempt.checks + 1);
    v_believed_at constant timestamptz := not_found_is_believed_at(p_attempt);
begin
    case
        when p_attempt.status = 'captured' then
            -- Until end_page_check: who asks may die, and a bank say yes to another payment.
            return case
                when greatest(p_attempt.created_at, p_attempt.captured_at)
                    > v_now - interval '7 days'
                    then v_now + interval '1 day'
            end;
        when p_attempt.status in ('failed', 'expired', 'canceled') then
            -- Its checks are counted from its end: see move_payment_attempt.
            return case when p_attempt.checks < 2 then v_now + interval '20 hours' end;
        when v_by_schedule is null then
            return null;
        else
            -- A page closes just before not_found is believed, and another day would be lost.
            return least(
                v_by_schedule,
                (
                    select page_is_left_at(expires_at)
                    from checkout_sessions
                    where payment_attempt_id = p_attempt.id
                        and page_is_left_at(expires_at) > v_now
                ),
                case
                    when p_attempt.status in ('created', 'unknown') and v_believed_at > v_now
                        then v_believed_at
                end
            );
    end case;
end;
$function$;
comment on function next_payment_check(payment_attempts) is 'When an attempt that is asked about now is asked about again: by the schedule of check_delay, or sooner if its page closes before; null when this is the last time.';

CREATE OR REPLACE FUNCTION public.not_found_is_believed_at(p_attempt payment_attempts)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((p_attempt).created_at + '25:00:00'::interval);
END;
comment on function not_found_is_believed_at(payment_attempts) is 'From when on a gateway that knows nothing of an attempt is right: its look-up may lag, and a lost request may still arrive, but not after a day.';
grant execute on function not_found_is_believed_at(payment_attempts) to munim_hasura;

CREATE OR REPLACE FUNCTION public.note_exception_decision(p_session json, p_exception exceptions, p_decision text, p_word text, p_key text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_user_id constant text := p_session ->> 'x-hasura-user-id';
    v_known exception_decisions;
begin
    select * into v_known
    from exception_decisions
    where exception_id = p_exception.id and decided_by = v_user_id and idempotency_key = p_key;
    if v_known.id is null then
        insert into exception_decisions (
            exception_id, decision, assigned_to, reason, decided_by, idempotency_key
        )
        values (
            p_exception.id, p_decision, case when p_decision = 'assigned' then p_word end,
            case when p_decision <> 'assigned' then p_word end, v_user_id, p_key
        );
    elsif (v_known.decision, coalesce(v_known.assigned_to, v_known.reason))
        is distinct from (p_decision, p_word)
    then
        raise exception 'idempotency-key-reused: the key belongs to another decision'
            using errcode = '22B08';
    end if;
    return v_known.id is null;
end;
$function$;
comment on function note_exception_decision(json,exceptions,text,text,text) is 'Keeps what a person said of an exception, once for each key of theirs; false where it is kept already, and what others have said since then counts. The exception is locked.';

CREATE OR REPLACE FUNCTION public.note_gateway_answer(hasura_session json, p_gateway text, p_operations jsonb)
 RETURNS SETOF gateway_circuits
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function note_gateway_answer(json,text,jsonb) is 'A gateway that was failing has answered. Answers at which operations it is failing still.';
grant execute on function note_gateway_answer(json,text,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.note_gateway_event(p_id uuid, p_status text, p_attempt payment_attempts, p_reason text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 UPDATE gateway_events SET status = note_gateway_event.p_status, reason = note_gateway_event.p_reason, organization_id = (note_gateway_event.p_attempt).organization_id, payment_attempt_id = (note_gateway_event.p_attempt).id
   WHERE ((gateway_events.id = note_gateway_event.p_id) AND ((((gateway_events.status IS DISTINCT FROM note_gateway_event.p_status) OR (gateway_events.reason IS DISTINCT FROM note_gateway_event.p_reason)) OR (gateway_events.organization_id IS DISTINCT FROM (note_gateway_event.p_attempt).organization_id)) OR (gateway_events.payment_attempt_id IS DISTINCT FROM (note_gateway_event.p_attempt).id)));
END;
comment on function note_gateway_event(uuid,text,payment_attempts,text) is 'Closes an inbox row and says whom it was about.';

CREATE OR REPLACE FUNCTION public.note_gateway_silence(hasura_session json, p_gateway text, p_operations jsonb)
 RETURNS SETOF gateway_circuits
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function note_gateway_silence(json,text,jsonb) is 'A gateway gave no answer to a question about which nothing else is written down. Called twice: two silences.';
grant execute on function note_gateway_silence(json,text,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.note_refused_messages(hasura_session json, p_messages jsonb)
 RETURNS SETOF refused_messages
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_now constant timestamptz := clock_now();
    v_today constant date := (v_now at time zone 'UTC')::date;
begin
    perform require_service(hasura_session);
    delete from refused_messages where day < v_today - 400;
    return query
    insert into refused_messages as known (
        day, gateway, livemode, reason, messages, last_body_hash, last_at
    )
    select
        v_today, refused.gateway, (hasura_session ->> 'x-hasura-livemode')::boolean, refused.reason,
        refused.messages, refused.last_body_hash, v_now
    from jsonb_to_recordset(p_messages)
        as refused (gateway text, reason text, messages bigint, last_body_hash text)
    order by refused.gateway, refused.reason  -- in one order: two who write wait, and do not embrace
    on conflict (day, gateway, reason, livemode) do update
    set
        messages = known.messages + excluded.messages, last_body_hash = excluded.last_body_hash,
        last_at = greatest(known.last_at, excluded.last_at)
    returning *;
end;
$function$;
comment on function note_refused_messages(json,jsonb) is 'Adds to the numbers of refused messages: rows of gateway, reason, messages and last_body_hash. Called again it adds again, so the numbers are about right. It locks nothing that a genuine message needs.';
grant execute on function note_refused_messages(json,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.obstacle_to_capture(p_event gateway_events, p_event_ids uuid[])
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(mismatch_of_notice(obstacle_to_capture.p_event, attempt.*), reason_not_to_settle(attempt.*, 'captured'::text),
         CASE
             WHEN (payment_intents.status = ANY (ARRAY['paid'::text, 'canceled'::text])) THEN 'nothing is owed'::text
             ELSE NULL::text
         END,
         CASE
             WHEN (EXISTS ( SELECT
                FROM (gateway_events other
                  JOIN payment_attempts theirs ON ((theirs.id = other.payment_attempt_id)))
               WHERE ((other.id = ANY (obstacle_to_capture.p_event_ids)) AND (other.id <> (obstacle_to_capture.p_event).id) AND (theirs.payment_intent_id = payment_intents.id)))) THEN 'another one pays the same'::text
             ELSE NULL::text
         END,
         CASE
             WHEN (EXISTS ( SELECT
                FROM autopay_charges
               WHERE ((autopay_charges.payment_intent_id = payment_intents.id) AND ((autopay_charges.status <> 'charging'::text) OR is_autopay_month_paid(payment_intents.id))))) THEN 'its month is not being charged'::text
             ELSE NULL::text
         END) AS "coalesce"
    FROM (payment_attempts attempt
      JOIN payment_intents ON ((payment_intents.id = attempt.payment_intent_id)))
   WHERE (attempt.id = (obstacle_to_capture.p_event).payment_attempt_id);
END;
comment on function obstacle_to_capture(gateway_events,uuid[]) is 'Why a message that says paid cannot be carried out beside others, or null. Its payment is locked.';

CREATE OR REPLACE FUNCTION public.one_line(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT replace(replace(p_text, '\'::text, '\\'::text), '
'::text, '\n'::text) AS replace;
END;
comment on function one_line(text) is 'A backslash is doubled and the end of a line written as \n, so that no two texts are one.';

CREATE OR REPLACE FUNCTION public.open_autopay_attempt(p_charge autopay_charges)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_mandate autopay_mandates;
    v_intent payment_intents := autopay_intent(p_charge);
begin
    select * into strict v_mandate from autopay_mandates where id = p_charge.autopay_mandate_id;
    perform open_payment_attempt(v_intent, v_mandate.gateway, v_mandate.payment_method_id);
    update autopay_charges
    set
        status = 'charging', payment_intent_id = v_intent.id, tries = tries + 1, silences = 0,
        reason = null, next_try_at = null, last_try_at = clock_now()
    where id = p_charge.id;
end;
$function$;
comment on function open_autopay_attempt(autopay_charges) is 'Writes the attempt down before the gateway is asked.';

CREATE OR REPLACE FUNCTION public.open_autopay_attempts(p_charges autopay_charges[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform check_payment_amount(asked.organization_id, asked.amount, asked.currency)
    from (select distinct organization_id, amount, currency from unnest(p_charges)) as asked;

    with terms as materialized (
        select
            sold.organization_id, sold.currency,
            credit_rate(sold.organization_id, sold.currency) as credit_rate,
            credits_expire_after_days(sold.organization_id) as expire_after_days
        from (select distinct organization_id, currency from unnest(p_charges)) as sold
    ),
    orders as materialized (
        select
            charge.*, terms.credit_rate, terms.expire_after_days,
            autopay_mandates.gateway, autopay_mandates.payment_method_id,
            gen_random_uuid() as intent_id,
            credits_bought(charge.amount, charge.currency, terms.credit_rate) as credits_amount
        from unnest(p_charges) as charge
        inner join terms using (organization_id, currency)
        inner join autopay_mandates on autopay_mandates.id = charge.autopay_mandate_id
    ),
    intents as (
        insert into payment_intents (
            id, organization_id, livemode, customer_id, purpose, amount, currency
        )
        select
            intent_id, organization_id, livemode, customer_id, 'credit_purchase', amount, currency
        from orders
    ),
    purchases as (
        insert into credit_purchases (
            organization_id, livemode, customer_id, payment_intent_id, idempotency_key,
            requested_by, amount, currency, credit_rate, credits_amount, expire_after_days
        )
        select
            organization_id, livemode, customer_id, intent_id, id::text,
            'autopay', amount, currency, credit_rate, credits_amount, expire_after_days
        from orders
    ),
    attempts as (
        insert into payment_attempts (
            organization_id, livemode, payment_intent_id, payment_method_id, gateway, amount,
            currency, next_check_at
        )
        select
            organization_id, livemode, intent_id, payment_method_id, gateway, amount, currency,
            clock_now() + check_delay(0)
        from orders
    )
    update autopay_charges
    set
        status = 'charging', payment_intent_id = orders.intent_id,
        tries = autopay_charges.tries + 1, silences = 0, reason = null, next_try_at = null,
        last_try_at = clock_now()
    from orders
    where autopay_charges.id = orders.id;
end;
$function$;
comment on function open_autopay_attempts(autopay_charges[]) is 'Does for many charges what open_autopay_attempt does for one whose purchase is not written yet.';

CREATE OR REPLACE FUNCTION public.open_autopay_checkout(hasura_session json, p_autopay_charge_id uuid, p_success_url text, p_cancel_url text)
 RETURNS SETOF credit_checkouts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_charge autopay_charges;
    v_mandate autopay_mandates;
    v_intent payment_intents;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform lock_autopay_charges(array[p_autopay_charge_id]);
    select * into v_charge from autopay_charges where id = p_autopay_charge_id;
    perform require_access(
        hasura_session, v_charge.organization_id, v_charge.livemode, v_charge.customer_id
    );
    if v_charge.status <> 'action_required' then
        raise exception 'autopay-ended: the charge is %', v_charge.status
            using errcode = '22B21';
    end if;

    select * into strict v_mandate from autopay_mandates where id = v_charge.autopay_mandate_id;
    v_intent := autopay_intent(v_charge);
    update autopay_charges set payment_intent_id = v_intent.id
    where id = v_charge.id and payment_intent_id is null;
    if not has_open_attempt(v_intent.id) then
        perform open_checkout_session(
            v_intent, v_mandate.gateway, null, v_mandate.customer_email, p_success_url,
            p_cancel_url
        );
    end if;

    return query
    select * from credit_checkouts
    where payment_intent_id = v_intent.id
        and payment_attempt_id in (
            select id from payment_attempts
            where payment_intent_id = v_intent.id
                and status in ('created', 'unknown', 'pending', 'processing', 'authorized')
        );
end;
$function$;
comment on function open_autopay_checkout(json,uuid,text,text) is 'The page on which the payer finishes a charge: the one that is open, or a new one.';
grant execute on function open_autopay_checkout(json,uuid,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_autopay_settings()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    insert into autopay_settings (organization_id) values (new.id) on conflict do nothing;
    return null;
end;
$function$;
comment on function open_autopay_settings() is 'An organisation has settings to read from the first day.';

CREATE OR REPLACE FUNCTION public.open_autopay_setup(hasura_session json, p_key text, p_amount bigint, p_currency text, p_day_of_month integer, p_gateway text, p_success_url text, p_cancel_url text)
 RETURNS SETOF autopay_setups
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function open_autopay_setup(json,text,bigint,text,integer,text,text,text) is 'Writes a mandate down before a gateway is asked. The same key: the same mandate.';
grant execute on function open_autopay_setup(json,text,bigint,text,integer,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_checkout_session(p_intent payment_intents, p_gateway text, p_method text, p_customer_email text, p_success_url text, p_cancel_url text, p_gateway_customer_id text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts := open_payment_attempt(p_intent, p_gateway, null);
begin
    -- Stripe keeps a page, and remembers an idempotency key, for 24 hours.
    insert into checkout_sessions (
        organization_id, livemode, payment_attempt_id, gateway, method, customer_email,
        customer_name, customer_phone, gateway_customer_id, success_url, cancel_url, expires_at
    )
    select
        p_intent.organization_id, p_intent.livemode, v_attempt.id, p_gateway, p_method,
        p_customer_email, customers.name, customers.phone, p_gateway_customer_id, p_success_url,
        p_cancel_url,
        date_trunc('second', clock_now()) + interval '23 hours'
    from customers
    where customers.id = p_intent.customer_id;
end;
$function$;
comment on function open_checkout_session(payment_intents,text,text,text,text,text,text) is 'Writes down an attempt before its gateway is asked.';

CREATE OR REPLACE FUNCTION public.open_credit_lots(p_purchases credit_purchases[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    insert into credit_lots (
        organization_id, livemode, customer_id, credit_purchase_id, granted, remaining, amount,
        amount_remaining, currency, expires_at, announce_at
    )
    select
        organization_id, livemode, customer_id, id, credits_amount, credits_amount, amount, amount,
        currency, lot.expires_at, expiry_notice_at(lot.expires_at)
    from unnest(p_purchases)
    cross join lateral (
        select granted_at + make_interval(days => expire_after_days) as expires_at
    ) as lot;
end;
$function$;
comment on function open_credit_lots(credit_purchases[]) is 'What purchases granted, to be spent, refunded or expired.';

CREATE OR REPLACE FUNCTION public.open_credit_purchase(hasura_session json, p_key text, p_amount bigint, p_currency text, p_email text, p_gateway text, p_success_url text, p_cancel_url text)
 RETURNS SETOF credit_checkouts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
    v_principal text := acting_principal(hasura_session);
    v_currency text;
    v_purchase_id uuid;
    v_intent payment_intents;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    v_customer := acting_customer(hasura_session);

    -- The customer's row orders their requests: of two with one key, the second finds the first.
    perform from customers where id = v_customer.id for no key update;
    v_purchase_id := repeated_credit_purchase(
        v_customer, p_key, v_principal, p_amount, p_currency, p_email
    );

    if v_purchase_id is null then
        select coalesce(p_currency, default_currency) into strict v_currency
        from organizations where id = v_customer.organization_id;
        perform check_payment_amount(v_customer.organization_id, p_amount, v_currency);
        v_intent := write_credit_purchase(v_customer, p_key, v_principal, p_amount, v_currency);
        perform open_checkout_session(
            v_intent, p_gateway, null, p_email, p_success_url, p_cancel_url
        );
    end if;

    return query
    select * from credit_checkouts
    where id = coalesce(
        v_purchase_id, (select id from credit_purchases where payment_intent_id = v_intent.id)
    );
end;
$function$;
comment on function open_credit_purchase(json,text,bigint,text,text,text,text,text) is 'Writes a purchase of credits down before a gateway is asked. The same key: the same purchase.';
grant execute on function open_credit_purchase(json,text,bigint,text,text,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_credit_recall(p_refund_id uuid)
 RETURNS credit_recalls
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_recall credit_recalls;
begin
    perform require_read_committed();
    perform from credit_lots
    where id = (select credit_lot_id from credit_recalls where refund_id = p_refund_id)
    for no key update;

    select * into v_recall from credit_recalls where refund_id = p_refund_id for no key update;
    return v_recall;
end;
$function$;
comment on function open_credit_recall(uuid) is 'Locks a refund''s recall, its lot first. Null: there is none.';

CREATE OR REPLACE FUNCTION public.open_dispute(p_event gateway_events, p_attempt payment_attempts)
 RETURNS disputes
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid := gen_random_uuid();
    v_amount bigint := (p_event.notice ->> 'amount')::bigint;
    v_dispute disputes;
begin
    insert into disputes (
        id, organization_id, livemode, payment_intent_id, payment_attempt_id, gateway,
        gateway_account, gateway_dispute_id, amount, covered_amount, currency, reason,
        evidence_due_at, opened_at
    )
    values (
        v_id, p_attempt.organization_id, p_attempt.livemode, p_attempt.payment_intent_id,
        p_attempt.id, p_attempt.gateway, p_attempt.gateway_account,
        p_event.notice ->> 'gateway_dispute_id', v_amount,
        case
            when p_attempt.is_surplus then 0  -- known when it is lost: the surplus may go back yet
            else v_amount - hold_refund_credits(p_attempt, v_id, v_amount, true)
        end,
        p_attempt.currency, p_event.notice ->> 'reason',
        (p_event.notice ->> 'evidence_due_at')::timestamptz,
        coalesce((p_event.notice ->> 'opened_at')::timestamptz, p_event.occurred_at)
    )
    returning * into v_dispute;

    perform record_event(
        v_dispute.organization_id, v_dispute.livemode, 'dispute.opened', 'dispute', v_dispute.id,
        dispute_facts(v_dispute)
    );
    return v_dispute;
end;
$function$;
comment on function open_dispute(gateway_events,payment_attempts) is 'The gateway has taken the money back: it is written down, and what is left of the credits is frozen. The caller books it.';

CREATE OR REPLACE FUNCTION public.open_ledger_hold(p_id uuid, p_account_ids uuid[] DEFAULT '{}'::uuid[])
 RETURNS ledger_holds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_hold ledger_holds;
begin
    perform require_read_committed();
    select * into strict v_hold from ledger_holds where id = p_id for no key update;

    -- All that the posting will touch, in order of id: the hold's own account need not come first.
    perform lock_ledger_accounts(p_account_ids || v_hold.ledger_account_id);

    if v_hold.status = 'open' then
        update ledger_accounts set held = held - v_hold.amount where id = v_hold.ledger_account_id;
    end if;
    return v_hold;
end;
$function$;
comment on function open_ledger_hold(uuid,uuid[]) is 'Locks a hold and its accounts and, if it is open, gives its amount free.';

CREATE OR REPLACE FUNCTION public.open_order_checkout(hasura_session json, p_reference text, p_customer_external_id text, p_amount bigint, p_currency text, p_title text, p_metadata jsonb, p_gateway text, p_method text, p_success_url text, p_cancel_url text, p_capture_method text DEFAULT NULL::text)
 RETURNS SETOF order_checkouts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
    v_intent payment_intents;
begin
    perform require_actor_role(
        hasura_session, array['service', 'customer', 'owner', 'finance']
    );
    perform require_read_committed();
    v_customer := paying_customer(hasura_session, p_customer_external_id);

    perform lock_order(v_customer.organization_id, p_reference);
    perform from customers where id = v_customer.id for no key update;
    v_intent := write_order(
        v_customer, p_reference, p_amount, p_currency, p_title, coalesce(p_metadata, '{}'),
        p_capture_method
    );
    select * into strict v_intent from payment_intents where id = v_intent.id for no key update;
    if v_intent.status = 'canceled' then
        raise exception 'checkout-expired: order % is called off', p_reference
            using errcode = '22B25';
    end if;

    if reusable_attempt(v_intent, p_gateway) is null then
        perform require_attempt_left(payment_pages) from payment_pages
        where payment_intent_id = v_intent.id;
        perform open_checkout_session(
            v_intent, choose_gateway(v_intent, p_method, p_gateway), p_method, v_customer.email,
            p_success_url, p_cancel_url
        );
    end if;
    return query select * from order_checkouts where payment_intent_id = v_intent.id;
end;
$function$;
comment on function open_order_checkout(json,text,text,bigint,text,text,jsonb,text,text,text,text,text) is 'Writes an order and an attempt to pay it down before a gateway is asked. Asked again: the same order; a new attempt only where the one before has failed or expired and the order''s page allows one more, none where it is called off.';
grant execute on function open_order_checkout(json,text,text,bigint,text,text,jsonb,text,text,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_payment_attempt(p_intent payment_intents, p_gateway text, p_payment_method_id uuid)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_open payment_attempts;
    v_attempt payment_attempts;
begin
    if (select status from payment_intents where id = p_intent.id for no key update) = 'canceled'
    then
        raise exception 'checkout-expired: payment % is called off', p_intent.id
            using errcode = '22B25';
    end if;
    select * into v_open
    from payment_attempts
    where payment_intent_id = p_intent.id and not is_surplus
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized', 'captured');
    if v_open.id is not null then
        raise exception 'payment-in-progress: attempt % of this payment is %', v_open.id, v_open.status
            using errcode = '22B10';
    end if;

    insert into payment_attempts (
        organization_id, livemode, payment_intent_id, payment_method_id, gateway, amount, currency,
        next_check_at
    )
    values (
        p_intent.organization_id, p_intent.livemode, p_intent.id, p_payment_method_id, p_gateway,
        p_intent.amount, p_intent.currency, clock_now() + check_delay(0)
    )
    returning * into v_attempt;

    update payment_intents set status = 'pending'
    where id = p_intent.id and status in ('failed', 'expired');
    return v_attempt;
end;
$function$;
comment on function open_payment_attempt(payment_intents,text,uuid) is 'Writes an attempt down before its gateway is asked. Refused while another one of the same intent may still take the money, and for one that is called off.';

CREATE OR REPLACE FUNCTION public.open_payment_attempts(hasura_session json, p_payment_intent_id uuid)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
begin
    perform require_service(hasura_session);
    select * into v_intent from payment_intents where id = p_payment_intent_id;
    perform require_access(
        hasura_session, v_intent.organization_id, v_intent.livemode, v_intent.customer_id
    );

    return query
    select * from payment_attempts
    where payment_intent_id = p_payment_intent_id
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized');
end;
$function$;
comment on function open_payment_attempts(json,uuid) is 'The attempts of a payment that have not ended; refused when the payment is not the session''s.';
grant execute on function open_payment_attempts(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_payment_page(hasura_session json, p_reference text, p_customer_external_id text, p_amount bigint, p_currency text, p_title text, p_metadata jsonb, p_success_url text, p_cancel_url text, p_capture_method text DEFAULT NULL::text)
 RETURNS SETOF payment_page_states
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
    v_intent payment_intents;
    v_open_until timestamptz := date_trunc('second', clock_now()) + interval '7 days';
begin
    perform require_actor_role(
        hasura_session, array['service', 'customer', 'owner', 'finance']
    );
    perform require_read_committed();
    v_customer := paying_customer(hasura_session, p_customer_external_id);

    perform lock_order(v_customer.organization_id, p_reference);
    perform from customers where id = v_customer.id for no key update;
    v_intent := write_order(
        v_customer, p_reference, p_amount, p_currency, p_title, coalesce(p_metadata, '{}'),
        p_capture_method
    );
    insert into payment_pages (
        organization_id, livemode, payment_intent_id, success_url, cancel_url, expires_at
    )
    values (
        v_intent.organization_id, v_intent.livemode, v_intent.id, p_success_url, p_cancel_url,
        v_open_until
    )
    on conflict on constraint payment_has_one_page do update
    set expires_at = excluded.expires_at
    where payment_pages.expires_at <= clock_now();
    return query select * from payment_page_states where payment_intent_id = v_intent.id;
end;
$function$;
comment on function open_payment_page(json,text,text,bigint,text,text,jsonb,text,text,text) is 'Writes an order down, and the page where it is paid. Asked again: the same page, open anew where its time was over. No gateway is chosen yet.';
grant execute on function open_payment_page(json,text,text,bigint,text,text,jsonb,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_plain_autopay_attempts(p_charges autopay_charges[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    -- Of two charges of one customer the second depends on what becomes of the first.
    v_plain autopay_charges[] := array(
        select candidate.charge
        from (
            select charge, count(*) over (partition by charge.customer_id) as of_customer
            from unnest(p_charges) as charge
        ) as candidate
        where candidate.of_customer = 1 and (candidate.charge).status = 'claimed'
            and (candidate.charge).payment_intent_id is null
            and autopay_obstacle(candidate.charge) is null
            and coalesce(
                (candidate.charge).amount <= (
                    autopay_rule((candidate.charge).currency, (candidate.charge).due_on)
                ).unattended_amount_max,
                true
            )
    );
begin
    if cardinality(v_plain) > 1 then
        perform open_autopay_attempts(v_plain);
        return array(select id from unnest(v_plain));
    end if;
    return '{}';
exception
    when serialization_failure or deadlock_detected or lock_not_available then
        raise;  -- passing trouble: the whole request is tried again
    when others or assert_failure then
        return '{}';  -- one of them is refused, and found when each comes alone
end;
$function$;
comment on function open_plain_autopay_attempts(autopay_charges[]) is 'Opens the first attempts of charges that nothing speaks against, in statements for all of them, and answers whose: all of them or none. What is left comes alone.';

CREATE OR REPLACE FUNCTION public.open_refund(hasura_session json, p_payment_intent_id uuid, p_payment_attempt_id uuid, p_amount bigint, p_type text, p_reason text, p_note text, p_key text)
 RETURNS SETOF refunds
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_refund refunds;
    v_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform require_named_tenant(hasura_session);
    v_attempt := lock_refundable_attempt(
        hasura_session, p_payment_intent_id, p_payment_attempt_id
    );
    v_refund.idempotency_key := p_key;
    v_refund.requested_by := acting_principal(hasura_session);
    v_refund.reason := p_reason;
    v_refund.note := p_note;
    v_refund.type := p_type;
    v_refund.request := jsonb_build_object(
        'payment_intent_id', p_payment_intent_id, 'payment_attempt_id', p_payment_attempt_id,
        'amount', p_amount, 'type', p_type, 'reason', p_reason, 'note', p_note
    );

    v_id := repeated_refund(v_attempt, v_refund);
    if v_id is null then
        v_refund := reserve_refund(hasura_session, v_attempt, v_refund, p_amount);
        v_id := v_refund.id;
    end if;
    return query select * from refunds where id = v_id;
end;
$function$;
comment on function open_refund(json,uuid,uuid,bigint,text,text,text,text) is 'Writes a refund down and reserves its money before the gateway is asked; without an amount all that is left. The same key: the same refund.';
grant execute on function open_refund(json,uuid,uuid,bigint,text,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.open_wallet_of_customer()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform credit_wallet(new);
    return null;
end;
$function$;
comment on function open_wallet_of_customer() is 'A customer has a balance to read from the first day.';

CREATE OR REPLACE FUNCTION public.order_customer(p_event order_events)
 RETURNS customers
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
begin
    select * into v_customer
    from customers
    where organization_id = p_event.organization_id and livemode = p_event.livemode
        and external_id = p_event.customer_external_id and status = 'active';
    return v_customer;
end;
$function$;
comment on function order_customer(order_events) is 'Whom a message names, or a null row.';

CREATE OR REPLACE FUNCTION public.order_of_display_id(p_account bank_accounts, p_display_id text)
 RETURNS payment_intents
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_letters constant text := upper(regexp_replace(p_display_id, '[^A-Za-z0-9]', '', 'g'));
begin
    select payment_intents.* into v_intent
    from orders
    inner join payment_intents on payment_intents.id = orders.payment_intent_id
    where orders.display_id = regexp_replace(v_letters, '^TXN', 'TXN-')
        and orders.organization_id = p_account.organization_id
        and orders.livemode = p_account.livemode;
    if v_intent.id is null or v_intent.currency <> p_account.currency then
        raise exception 'not-found: no order in % is called %', p_account.currency, p_display_id
            using errcode = '22B04';
    end if;
    return v_intent;
end;
$function$;
comment on function order_of_display_id(bank_accounts,text) is 'What is owed for an order that a payer quoted, in the account''s currency and organisation. Banks take dashes out of remarks, and payers write small letters.';

CREATE OR REPLACE FUNCTION public.order_refund_postings(p_order orders, p_attempt payment_attempts, p_session json)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_left constant bigint := refundable_amount(p_attempt);
    v_refund refunds;
begin
    if v_left = 0 then
        return '{}';
    end if;
    -- The system's own: sent by the cron, listed where it fails, and under no client's key.
    v_refund.requested_by := 'system';
    select concat_ws(':', 'order', p_order.id, nullif(count(*), 0)) into v_refund.idempotency_key
    from refunds where payment_attempt_id = p_attempt.id and requested_by = 'system';
    v_refund.type := 'cancellation';
    v_refund.reason := 'order_canceled';
    v_refund := write_allowed_refund(p_session, p_attempt, v_refund, null);
    return refund_movements(v_refund, 'refund_reserve', v_refund.created_at);
exception
    when sqlstate '22B12' then  -- the organisation's policy; it made the policy
        perform record_exception(
            p_order.organization_id, p_order.livemode, 'order-not-refunded', 'order', p_order.id,
            v_left, p_attempt.currency, sqlerrm
        );
        return '{}';
end;
$function$;
comment on function order_refund_postings(orders,payment_attempts,json) is 'All that is left of what was paid for an order goes back: its refund, to be booked; or it is listed, where the policy does not allow it. The attempt is locked.';

CREATE OR REPLACE FUNCTION public.owed_facts(p_intent payment_intents, p_reference text)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('payment_intent_id', (p_intent).id, 'order_reference', p_reference, 'amount', (p_intent).amount, 'currency', (p_intent).currency) AS jsonb_build_object;
END;
comment on function owed_facts(payment_intents,text) is 'What an event tells about an order''s payment that nobody has tried to pay.';

CREATE OR REPLACE FUNCTION public.page_check_at(p_attempt payment_attempts)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_attempt.payment_method_id is not null or is_by_hand(p_attempt.gateway) then
        return null;
    end if;
    return page_is_left_at(greatest(expires_at, clock_now()))
    from checkout_sessions
    where payment_attempt_id = p_attempt.id and takes_several;
end;
$function$;
comment on function page_check_at(payment_attempts) is 'When a captured attempt is asked about once more: on some pages a payer may pay again, in another tab, and the message of it be lost. Null where that cannot be.';

CREATE OR REPLACE FUNCTION public.page_is_left_at(p_expires_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (p_expires_at + '00:16:00'::interval);
END;
comment on function page_is_left_at(timestamp with time zone) is 'When nobody is paying any more who began on a page before it closed: they have a quarter of an hour at their bank.';

CREATE OR REPLACE FUNCTION public.park_gateway_event(p_event gateway_events, p_attempt payment_attempts, p_class text, p_detail text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_nobodys(p_event)
    where p_attempt.id is null and p_event.notice ->> 'subject' is distinct from 'setup';
    perform record_exception(
        p_attempt.organization_id, p_event.livemode, p_class, 'gateway_event', p_event.id,
        (p_event.notice ->> 'amount')::bigint, p_event.notice ->> 'currency', p_detail
    );
    perform note_gateway_event(p_event.id, 'parked', p_attempt, p_detail);
end;
$function$;
comment on function park_gateway_event(gateway_events,payment_attempts,text,text) is 'Keeps a message that must not be acted on, and lists it.';

CREATE OR REPLACE FUNCTION public.pass_invariant_part(p_check invariant_checks)
 RETURNS SETOF invariant_checks
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_check invariant_checks;
    v_is_end constant boolean := p_check.position + p_check.width >= 4096;
begin
    update invariant_checks
    set
        tried_at = clock_now(),
        position = case when v_is_end then 0 else p_check.position + p_check.width end
    where name = p_check.name
    returning * into strict v_check;

    if v_is_end then
        update invariant_checks
        set
            faults = 0, unread = 0, milliseconds = 0,
            read_at = case unread when 0 then clock_now() else read_at end,
            read_in_milliseconds = case unread when 0 then milliseconds else read_in_milliseconds end
        where name = p_check.name;
        perform resolve_exception('invariant-not-read', p_check.name, invariant_object())
        where v_check.unread = 0;
        perform resolve_exception('invariant-broken', p_check.name, invariant_object())
        where v_check.unread = 0 and v_check.faults = 0;
    end if;
    return query select * from invariant_checks where name = p_check.name;
end;
$function$;
comment on function pass_invariant_part(invariant_checks) is 'Goes on to the next part. After the last: what was read to its end is read, and if nothing was found it holds.';

CREATE OR REPLACE FUNCTION public.pass_over_paused_months(p_session json)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update autopay_charges
    set status = 'skipped', reason = 'paused', next_try_at = null
    where id in (
        select autopay_charges.id from autopay_charges
        inner join autopay_mandates on autopay_mandates.id = autopay_charges.autopay_mandate_id
        where autopay_charges.status = 'due' and autopay_charges.next_try_at <= clock_now()
            and autopay_mandates.status = 'paused'
            and autopay_charges.livemode::text = p_session ->> 'x-hasura-livemode'
        for no key update skip locked
    );
end;
$function$;
comment on function pass_over_paused_months(json) is 'What fell due while its mandate was paused is not charged, however long the pause.';

CREATE OR REPLACE FUNCTION public.pause_autopay(hasura_session json, p_autopay_mandate_id uuid)
 RETURNS SETOF autopay_mandates
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function pause_autopay(json,uuid) is 'Stops charging until the mandate is resumed. Called again: the same row.';
grant execute on function pause_autopay(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.pay_by_receipts(p_intent payment_intents, p_amount bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_receipt bank_transfers;
    v_part bigint;
    v_missing bigint := p_amount;
    v_is_rest boolean;
begin
    for v_receipt in
        select * from bank_transfers
        where payment_intent_id = p_intent.id and status = 'approved'
            and match_checked_by is not null and amount_used < amount
        order by checked_at, id
        for no key update
    loop
        if v_attempt.id is null then
            insert into payment_attempts (
                organization_id, livemode, payment_intent_id, gateway, gateway_account, amount,
                currency
            )
            values (
                p_intent.organization_id, p_intent.livemode, p_intent.id, 'bank_transfer',
                v_receipt.bank_account_id::text, p_amount, p_intent.currency
            )
            returning * into v_attempt;
        end if;
        v_is_rest := v_receipt.amount_used > 0;
        v_part := least(v_missing, v_receipt.amount - v_receipt.amount_used);
        insert into bank_transfer_uses (
            bank_transfer_id, organization_id, livemode, payment_attempt_id, amount
        )
        values (
            v_receipt.id, p_intent.organization_id, p_intent.livemode, v_attempt.id, v_part
        );
        update bank_transfers set amount_used = amount_used + v_part where id = v_receipt.id;
        v_missing := v_missing - v_part;
        exit when v_missing = 0;
    end loop;

    if v_missing is distinct from 0 then
        raise exception '% of % was there for payment %', p_amount - v_missing, p_amount, p_intent.id
            using errcode = 'assert_failure';
    end if;
    -- The receipt that completed it names it, so that it cannot be taken twice.
    perform capture_payment_attempt(
        v_attempt, v_receipt.id || case when v_is_rest then ':rest' else '' end, p_amount,
        moment_of_bank_transfer(v_receipt)
    );
end;
$function$;
comment on function pay_by_receipts(payment_intents,bigint) is 'Makes one attempt of as many receipts as it takes, the oldest first, and captures it by the kernel''s own door: paid, or surplus where nothing is owed.';

CREATE OR REPLACE FUNCTION public.pay_payment_intent(p_intent payment_intents, p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_postings constant ledger_posting[] := payment_postings(p_intent, p_attempt);
    v_transaction_ids uuid[];
begin
    -- What is captured and what it pays for are booked in one call, which takes all locks in order.
    v_transaction_ids := array(
        select post_ledger_transactions(p_intent.organization_id, p_intent.livemode, v_postings)
    );

    update payment_intents set status = 'paid' where id = p_intent.id;
    perform record_event(
        p_intent.organization_id, p_intent.livemode, 'payment.succeeded', 'payment_intent',
        p_intent.id, payment_facts(p_attempt)
    );
    perform request_receipt(p_attempt) where not is_by_hand(p_attempt.gateway);
    if p_intent.purpose = 'credit_purchase' then
        perform finish_credit_purchase(p_intent, v_transaction_ids[2]);
    end if;
end;
$function$;
comment on function pay_payment_intent(payment_intents,payment_attempts) is 'What was owed is paid; what it was for is fulfilled.';

CREATE OR REPLACE FUNCTION public.pay_refund_by_hand(p_transfer bank_transfers)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
begin
    select * into strict v_refund from refunds where id = p_transfer.refund_id;
    perform from payment_attempts where id = v_refund.payment_attempt_id for no key update;
    select * into strict v_refund
    from refunds where id = p_transfer.refund_id for no key update;
    perform require_payable_by_hand(v_refund);
    if v_refund.status = 'canceled' then
        perform book_canceled_refund(p_transfer, v_refund);
        return;
    end if;

    -- It was paid from the account that it was paid from, whichever had received the money.
    update refunds set gateway_account = p_transfer.bank_account_id::text
    where id = v_refund.id
    returning * into strict v_refund;
    perform settle_refund(
        v_refund,
        jsonb_build_object('outcome', 'succeeded', 'gateway_refund_id', p_transfer.id),
        moment_of_bank_transfer(p_transfer)
    );
end;
$function$;
comment on function pay_refund_by_hand(bank_transfers) is 'People have paid a refund: it has succeeded. One that was canceled when its receipt was taken back stays so, and what left the bank is booked.';

CREATE OR REPLACE FUNCTION public.payer_of_refund(p_event gateway_events, p_attempt payment_attempts)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    if (p_event.notice ->> 'amount')::numeric <= money_left_there(p_attempt) then
        return p_attempt;
    end if;
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_attempt.payment_intent_id and gateway = p_attempt.gateway
        and gateway_account = p_attempt.gateway_account and status = 'captured'
        and currency = p_attempt.currency
        and (p_event.notice ->> 'amount')::numeric <= money_left_there(payment_attempts)
    order by is_surplus, id
    limit 1
    for no key update;
    return case when v_attempt.id is null then p_attempt else v_attempt end;
end;
$function$;
comment on function payer_of_refund(gateway_events,payment_attempts) is 'Whose money a refund that was made at the gateway took. A refund at Cashfree names an order, and of two payments of it Cashfree takes either: so all of the one it names may be gone by our books, and the other''s is not. The intent is locked, and the attempt.';

CREATE OR REPLACE FUNCTION public.paying_customer(p_session json, p_external_id text)
 RETURNS customers
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
begin
    if p_session ->> 'x-hasura-actor-role' = 'customer' then
        v_customer := acting_customer(p_session);
        if p_external_id is distinct from v_customer.external_id and p_external_id is not null then
            raise exception 'customer-not-found: a customer pays for nobody else'
                using errcode = '22B01';
        end if;
        return v_customer;
    end if;

    select * into v_customer
    from customers
    where external_id = p_external_id
        and organization_id::text = p_session ->> 'x-hasura-organization-id'
        and livemode::text = p_session ->> 'x-hasura-livemode'
        and status = 'active';
    if v_customer.id is null then
        raise exception 'customer-not-found: no active customer is called % here', p_external_id
            using errcode = '22B01';
    end if;
    return v_customer;
end;
$function$;
comment on function paying_customer(json,text) is 'Who pays an order: the customer who acts, or the one whom the organisation names by its own id.';

CREATE OR REPLACE FUNCTION public.payment_facts(p_attempt payment_attempts)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('payment_intent_id', (p_attempt).payment_intent_id, 'payment_attempt_id', (p_attempt).id, 'gateway', (p_attempt).gateway, 'amount',
         CASE
             WHEN ((p_attempt).amount_captured > 0) THEN (p_attempt).amount_captured
             ELSE (p_attempt).amount
         END, 'currency', (p_attempt).currency, 'failure_code', (p_attempt).failure_code, 'decline_class', (p_attempt).decline_class) AS jsonb_build_object;
END;
comment on function payment_facts(payment_attempts) is 'What an event about a payment tells.';

CREATE OR REPLACE FUNCTION public.payment_postings(p_intent payment_intents, p_attempt payment_attempts)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_amount constant bigint := p_attempt.amount_captured;
    v_at constant timestamptz := p_attempt.captured_at;
begin
    return case p_intent.purpose
        when 'credit_purchase' then array[
            capture_posting(p_attempt, v_amount, 'prepaid_credits', v_at),
            credit_grant_posting(p_intent, v_at)
        ]
        when 'order' then array[capture_posting(p_attempt, v_amount, 'merchant_balance', v_at)]
    end;
end;
$function$;
comment on function payment_postings(payment_intents,payment_attempts) is 'What is booked of a captured attempt that pays what is owed: the money, then what it is for.';

CREATE OR REPLACE FUNCTION public.payment_status_in(p_intent payment_intents, p_profile text)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT payment_status_words.word
    FROM payment_status_words
   WHERE ((payment_status_words.profile = payment_status_in.p_profile) AND (payment_status_words.status =
         CASE
             WHEN (((payment_status_in.p_intent).status = 'paid'::text) AND ( SELECT (sum(payment_attempts.amount_captured) <= ( SELECT sum((refunds.amount + refunds.fee_amount)) AS sum
                        FROM (refunds
                          JOIN payment_attempts sources ON (((sources.id = refunds.payment_attempt_id) AND (NOT sources.is_surplus))))
                       WHERE ((refunds.payment_intent_id = (payment_status_in.p_intent).id) AND (refunds.status = 'succeeded'::text))))
                FROM payment_attempts
               WHERE ((payment_attempts.payment_intent_id = (payment_status_in.p_intent).id) AND (payment_attempts.status = 'captured'::text) AND (NOT payment_attempts.is_surplus)))) THEN 'refunded'::text
             ELSE (payment_status_in.p_intent).status
         END));
END;
comment on function payment_status_in(payment_intents,text) is 'A payment''s status in the words of a product. It is refunded when refunds that succeeded, with what they cost the payer, make up all that was captured; what is only on its way may fail.';
grant execute on function payment_status_in(payment_intents,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.place_ledger_hold(p_organization_id uuid, p_livemode boolean, p_key text, p_ledger_account_id uuid, p_amount bigint)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_hold ledger_holds;
begin
    perform require_read_committed();

    insert into ledger_holds (
        organization_id, livemode, key, ledger_account_id, currency, amount
    )
    select organization_id, livemode, p_key, id, currency, p_amount
    from ledger_accounts
    where id = p_ledger_account_id and organization_id = p_organization_id
        and livemode = p_livemode and status = 'active'
    on conflict on constraint ledger_hold_is_placed_once do nothing
    returning * into v_hold;

    if v_hold.id is not null then
        update ledger_accounts set held = held + p_amount
        where id = p_ledger_account_id and status = 'active';
        if not found then  -- closed while this waited for its row
            raise exception 'ledger hold % names an account that is not open here', p_key
                using errcode = 'assert_failure';
        end if;
        return v_hold.id;
    end if;

    select * into v_hold
    from ledger_holds
    where key = p_key and organization_id = p_organization_id and livemode = p_livemode;
    if v_hold.id is null then
        raise exception 'ledger hold % names an account that is not open here', p_key
            using errcode = 'assert_failure';
    end if;
    if (v_hold.ledger_account_id, v_hold.amount) is distinct from (p_ledger_account_id, p_amount) then
        raise exception 'ledger-key-reused: % holds another amount', p_key
            using errcode = '22B02';
    end if;
    return v_hold.id;
end;
$function$;
comment on function place_ledger_hold(uuid,boolean,text,uuid,bigint) is 'Speaks for an amount, once per key; refused by the account''s constraint when it is not there.';

CREATE OR REPLACE FUNCTION public.placed_order(p_event order_events)
 RETURNS orders
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_terms order_events := terms_of_order(p_event);
    v_customer customers := order_customer(v_terms);
    v_order orders;
begin
    select * into v_order
    from orders
    where reference = p_event.reference and organization_id = p_event.organization_id
        and livemode = p_event.livemode;
    if v_order.id is null and v_customer.id is not null then
        perform write_placed_order(p_event, v_terms, v_customer);
        select * into v_order
        from orders
        where reference = p_event.reference and organization_id = p_event.organization_id
            and livemode = p_event.livemode;
    elsif v_order.id is null and v_terms.id is not null then
        perform record_exception(
            p_event.organization_id, p_event.livemode, 'order-of-nobody', 'order_event',
            v_terms.id, v_terms.amount, v_terms.currency,
            format('order %s: no active customer %s', v_terms.reference,
                v_terms.customer_external_id)
        );
    end if;
    return v_order;
end;
$function$;
comment on function placed_order(order_events) is 'The order that a message is about, written down as soon as a message has said whose it is and how much; a null row until then.';

CREATE OR REPLACE FUNCTION public.policy_of_attempt(p_attempt payment_attempts)
 RETURNS refund_policies
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT refund_policy((policy_of_attempt.p_attempt).organization_id, payment_intents.purpose, (policy_of_attempt.p_attempt).currency, clock_now()) AS refund_policy
    FROM payment_intents
   WHERE (payment_intents.id = (policy_of_attempt.p_attempt).payment_intent_id);
END;
comment on function policy_of_attempt(payment_attempts) is 'The policy that holds now for refunds of an attempt, or null.';

CREATE OR REPLACE FUNCTION public.post_few_ledger_transactions(p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_now constant timestamptz := clock_now();
    v_leg record;
    v_legs integer := 0;
    v_balance bigint;
    v_currency text;
    v_at timestamptz;
    v_balances bigint[];
    v_currencies text[];
    v_ats timestamptz[];
    v_ids uuid[] := '{}';
    v_booked integer;
begin
    for v_leg in
        select place, ledger_account_id, amount
        from ledger_legs(p_postings)
        order by ledger_account_id, place
    loop
        update ledger_accounts
        set
            balance = balance + v_leg.amount,
            last_entry_at = greatest(last_entry_at + interval '1 microsecond', v_now)
        where id = v_leg.ledger_account_id and organization_id = p_organization_id
            and livemode = p_livemode and status = 'active'
            and coalesce(balance + v_leg.amount <@ bounds, true)
        returning balance, currency, last_entry_at into v_balance, v_currency, v_at;
        exit when not found;

        v_legs := v_legs + 1;
        v_balances[v_leg.place] := v_balance;
        v_currencies[v_leg.place] := v_currency;
        v_ats[v_leg.place] := v_at;
        if v_leg.place % 2 = 0 then
            v_ids := v_ids || gen_random_uuid();
        end if;
    end loop;

    if v_legs = 2 * cardinality(p_postings)
        and are_ledger_facts_new(p_organization_id, p_livemode, p_postings)
    then
        insert into ledger_transactions (
            id, organization_id, livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, currency, amount, debit_balance_after,
            credit_balance_after, debited_at, credited_at, occurred_at
        )
        select
            v_ids[place], p_organization_id, p_livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, v_currencies[2 * place], amount,
            v_balances[2 * place - 1], v_balances[2 * place], v_ats[2 * place - 1],
            v_ats[2 * place], occurred_at
        from unnest(p_postings) with ordinality as posting (
            key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount, place
        )
        where v_currencies[2 * place - 1] = v_currencies[2 * place]
            and debit_account_id <> credit_account_id
        order by place
        on conflict on constraint ledger_fact_is_booked_once do nothing;

        get diagnostics v_booked = row_count;
        if v_booked < cardinality(p_postings) then
            perform refuse_ledger_keys_of_others(
                p_organization_id, p_livemode, p_postings, v_ids
            );
            raise exception
                'a ledger transaction needs two accounts of one currency that are open here'
                using errcode = 'assert_failure';
        end if;
        return v_ids;
    end if;

    update ledger_accounts
    set balance = ledger_accounts.balance - moved.amount
    from (
        select leg.ledger_account_id, sum(leg.amount) as amount
        from (
            select ledger_account_id, amount
            from ledger_legs(p_postings)
            order by ledger_account_id, place
            limit v_legs
        ) as leg
        group by leg.ledger_account_id
    ) as moved
    where ledger_accounts.id = moved.ledger_account_id;
    return null;
end;
$function$;
comment on function post_few_ledger_transactions(uuid,boolean,ledger_posting[]) is 'Books some facts, each account changed as often as they say, in order of account. Null, and nothing done, where one of them is booked already or cannot be.';

CREATE OR REPLACE FUNCTION public.post_ledger_fact(p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[])
 RETURNS uuid
 LANGUAGE sql
BEGIN ATOMIC
 SELECT (array_agg(booked.id))[1] AS array_agg
    FROM post_ledger_transactions(post_ledger_fact.p_organization_id, post_ledger_fact.p_livemode, post_ledger_fact.p_postings) booked(id);
END;
comment on function post_ledger_fact(uuid,boolean,ledger_posting[]) is 'Books all that one fact moves; answers the first of its transactions, by which it is known.';

CREATE OR REPLACE FUNCTION public.post_ledger_hold(p_id uuid, p_kind text, p_reference_type text, p_reference_id uuid, p_occurred_at timestamp with time zone, p_debit_account_id uuid, p_credit_account_id uuid, p_amount bigint)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_hold ledger_holds := open_ledger_hold(p_id, array[p_debit_account_id, p_credit_account_id]);
    v_transaction_id uuid;
begin
    if v_hold.status = 'released' then
        raise exception 'ledger hold % is released and cannot be posted', p_id
            using errcode = 'assert_failure';
    end if;
    if p_amount not between 1 and v_hold.amount
        or v_hold.ledger_account_id not in (p_debit_account_id, p_credit_account_id)
        or exists (
            select from ledger_accounts
            where id = v_hold.ledger_account_id and (
                id = p_credit_account_id and minimum is null and maximum is not null
                or id = p_debit_account_id and maximum is null and minimum is not null
            )
        )
    then
        raise exception 'ledger hold % keeps %: no more can be posted, and not the other way',
            p_id, v_hold.amount
            using errcode = 'assert_failure';
    end if;

    v_transaction_id := post_ledger_transaction(
        v_hold.organization_id, v_hold.livemode, v_hold.key, p_kind, p_reference_type,
        p_reference_id, p_occurred_at, p_debit_account_id, p_credit_account_id, p_amount
    );
    update ledger_holds set status = 'posted', ledger_transaction_id = v_transaction_id
    where id = p_id and status = 'open';
    return v_transaction_id;
end;
$function$;
comment on function post_ledger_hold(uuid,text,text,uuid,timestamp with time zone,uuid,uuid,bigint) is 'Ends a hold by moving its amount or a part of it, under the hold''s own key; the rest is free again.';

CREATE OR REPLACE FUNCTION public.post_ledger_transaction(p_organization_id uuid, p_livemode boolean, p_key text, p_kind text, p_reference_type text, p_reference_id uuid, p_occurred_at timestamp with time zone, p_debit_account_id uuid, p_credit_account_id uuid, p_amount bigint)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
    v_id uuid;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        perform require_read_committed();
    end if;

    -- Locks are taken in order of account, for that is the order in which an index by id gives what
    -- it is asked for. The settings above leave no other way, and a case no other index. The time is
    -- clock_now(), written out: a call of it costs a third of an update.
    with moved as (
        update ledger_accounts
        set
            balance = balance
            + case id when p_debit_account_id then p_amount else -p_amount end,
            last_entry_at = greatest(
                last_entry_at + interval '1 microsecond',
                pg_catalog.now() + (select skew_seconds from clock) * interval '1 second'
            )
        where id = any(array[p_debit_account_id, p_credit_account_id])
            and case
                when organization_id = p_organization_id and livemode = p_livemode
                    and status = 'active'
                    then coalesce(
                        balance + case id when p_debit_account_id then p_amount else -p_amount end
                        <@ bounds,
                        true
                    )
            end
        returning id, currency, balance, last_entry_at
    )

    insert into ledger_transactions (
        organization_id, livemode, key, kind, reference_type, reference_id, debit_account_id,
        credit_account_id, currency, amount, debit_balance_after, credit_balance_after,
        debited_at, credited_at, occurred_at
    )
    select
        p_organization_id, p_livemode, p_key, p_kind, p_reference_type, p_reference_id, debited.id,
        credited.id, debited.currency, p_amount, debited.balance, credited.balance,
        debited.last_entry_at, credited.last_entry_at, p_occurred_at
    from moved as debited
    inner join moved as credited
        on credited.currency = debited.currency and credited.id <> debited.id
    where debited.id = p_debit_account_id and credited.id = p_credit_account_id
    on conflict on constraint ledger_fact_is_booked_once do nothing
    returning id into v_id;
    if v_id is not null then
        return v_id;
    end if;

    return ledger_transaction_instead(
        p_organization_id, p_livemode,
        (
            p_key, p_kind, p_reference_type, p_reference_id, p_occurred_at, p_debit_account_id,
            p_credit_account_id, p_amount
        )::ledger_posting
    );
end;
$function$;
comment on function post_ledger_transaction(uuid,boolean,text,text,text,uuid,timestamp with time zone,uuid,uuid,bigint) is 'The only way to book one fact: once per key, and the same id when it is called again with the same accounts and amount. Whoever books the same at the same time waits at the accounts, so that it is known by then.';

CREATE OR REPLACE FUNCTION public.post_ledger_transactions(p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[])
 RETURNS SETOF uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[];
    v_posting ledger_posting;
begin
    perform require_read_committed();
    if cardinality(p_postings) > 6 then  -- from eight on it is the cheaper one
        v_ids := post_many_ledger_transactions(p_organization_id, p_livemode, p_postings);
    elsif cardinality(p_postings) > 1 then
        v_ids := post_few_ledger_transactions(p_organization_id, p_livemode, p_postings);
    end if;
    if v_ids is not null then
        return query select unnest(v_ids);
        return;
    end if;

    perform lock_ledger_accounts(
        array(select leg.ledger_account_id from ledger_legs(p_postings) as leg)
    ) where cardinality(p_postings) > 1;
    foreach v_posting in array coalesce(p_postings, '{}') loop
        return next post_ledger_transaction(
            p_organization_id, p_livemode, v_posting.key, v_posting.kind,
            v_posting.reference_type, v_posting.reference_id, v_posting.occurred_at,
            v_posting.debit_account_id, v_posting.credit_account_id, v_posting.amount
        );
    end loop;
end;
$function$;
comment on function post_ledger_transactions(uuid,boolean,ledger_posting[]) is 'Books many facts of one organisation at once, as post_ledger_transaction would one by one, with all accounts locked in one order. Answers their ids in the same order.';

CREATE OR REPLACE FUNCTION public.post_many_ledger_transactions(p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_now constant timestamptz := clock_now();
    v_ids uuid[] := array(select gen_random_uuid() from unnest(p_postings));
    v_refused text;
    v_booked bigint;
begin
    perform lock_ledger_accounts(
        array(select leg.ledger_account_id from ledger_legs(p_postings) as leg)
    );
    if not are_ledger_facts_new(p_organization_id, p_livemode, p_postings) then
        return null;
    end if;

    with legs as (
        select
            leg.place,
            leg.ledger_account_id,
            leg.amount,
            account.currency,
            account.bounds,
            (account.balance + sum(leg.amount) over steps)::bigint as balance_after,
            greatest(account.last_entry_at + interval '1 microsecond', v_now)
            + (row_number() over steps - 1) * interval '1 microsecond' as at
        from ledger_legs(p_postings) as leg
        left join ledger_accounts as account
            on account.id = leg.ledger_account_id
            and account.organization_id = p_organization_id
            and account.livemode = p_livemode and account.status = 'active'
        window steps as (partition by leg.ledger_account_id order by leg.place)
    ),

    postings as (
        select
            posting.*,
            debit.currency,
            debit.balance_after as debit_balance_after,
            credit.balance_after as credit_balance_after,
            debit.at as debited_at,
            credit.at as credited_at,
            case
                when debit.currency is null or credit.currency is null
                    or debit.currency <> credit.currency
                    or posting.debit_account_id = posting.credit_account_id then 'account'
                when debit.balance_after <@ debit.bounds is false
                    or credit.balance_after <@ credit.bounds is false then 'bounds'
            end as refused
        from rows from (unnest(p_postings), unnest(v_ids)) with ordinality as posting (
            key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount, id, place
        )
        inner join legs as debit on debit.place = 2 * posting.place - 1
        inner join legs as credit on credit.place = 2 * posting.place
    ),

    written as (
        insert into ledger_transactions (
            id, organization_id, livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, currency, amount, debit_balance_after,
            credit_balance_after, debited_at, credited_at, occurred_at
        )
        select
            id, p_organization_id, p_livemode, key, kind, reference_type, reference_id,
            debit_account_id, credit_account_id, currency, amount, debit_balance_after,
            credit_balance_after, debited_at, credited_at, occurred_at
        from postings
        where refused is null
        order by place
        on conflict on constraint ledger_fact_is_booked_once do nothing
        returning id
    ),

    kept as (
        update ledger_accounts
        set balance = ledger_accounts.balance + moved.amount, last_entry_at = moved.at
        from (
            select ledger_account_id, sum(amount) as amount, max(at) as at from legs group by 1
        ) as moved
        where ledger_accounts.id = moved.ledger_account_id
    )

    select (select min(refused) from postings), (select count(*) from written)
    into v_refused, v_booked;

    if v_refused = 'account' then
        raise exception 'a ledger transaction needs two accounts of one currency that are open here'
            using errcode = 'assert_failure';
    elsif v_refused = 'bounds' then
        raise exception 'a ledger transaction would take an account out of its bounds'
            using
                errcode = 'check_violation',
                constraint = 'ledger_account_stays_within_its_bounds';
    end if;
    if v_booked < cardinality(p_postings) then
        perform refuse_ledger_keys_of_others(p_organization_id, p_livemode, p_postings, v_ids);
    end if;
    return v_ids;
end;
$function$;
comment on function post_many_ledger_transactions(uuid,boolean,ledger_posting[]) is 'Books any number of facts in statements for all of them. Null, and nothing done, where one of them is booked already.';

CREATE OR REPLACE FUNCTION public.post_payments(p_attempts payment_attempts[])
 RETURNS TABLE(credit_purchase_id uuid, ledger_transaction_id uuid)
 LANGUAGE plpgsql
 ROWS 10
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_owner uuid;
    v_part ledger_posting[];
    v_owners uuid[];
    v_postings ledger_posting[];
    v_ids uuid[] := '{}';
begin
    -- All accounts are opened before any is locked: who opens one may wait for one that we locked.
    select
        array_agg(intent.organization_id order by intent.organization_id, intent.id, posting.place),
        array_agg(
            (
                posting.key, posting.kind, posting.reference_type, posting.reference_id,
                posting.occurred_at, posting.debit_account_id,
                posting.credit_account_id, posting.amount
            )::ledger_posting
            order by intent.organization_id, intent.id, posting.place
        )
    into v_owners, v_postings
    from unnest(p_attempts) as attempt
    inner join payment_intents as intent on intent.id = attempt.payment_intent_id
    cross join lateral unnest(payment_postings(intent, attempt)) with ordinality
        as posting (
            key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount, place
        );

    for v_owner, v_part in
        select
            owned.owner,
            array_agg(
                (
                    owned.key, owned.kind, owned.reference_type, owned.reference_id,
                    owned.occurred_at, owned.debit_account_id, owned.credit_account_id,
                    owned.amount
                )::ledger_posting
                order by owned.place
            )
        from rows from (unnest(v_owners), unnest(v_postings)) with ordinality
            as owned (
                owner, key, kind, reference_type, reference_id, occurred_at, debit_account_id,
                credit_account_id, amount, place
            )
        group by owned.owner
        order by owned.owner
    loop
        v_ids := v_ids || array(
            select post_ledger_transactions(v_owner, p_attempts[1].livemode, v_part)
        );
    end loop;

    return query
    select booked.reference_id, booked.id
    from unnest(v_ids, v_postings)
        as booked (
            id, key, kind, reference_type, reference_id, occurred_at, debit_account_id,
            credit_account_id, amount
        )
    where booked.reference_type = 'credit_purchase';
end;
$function$;
comment on function post_payments(payment_attempts[]) is 'Books captures and what they pay for, each organisation''s in one call, in order of organisation. Answers by which transactions purchases were granted.';

CREATE OR REPLACE FUNCTION public.postpone_autopay_charge(hasura_session json, p_autopay_charge_id uuid, p_fence bigint, p_failure_message text, p_is_silent boolean DEFAULT true)
 RETURNS SETOF autopay_charges
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    -- Lock order: the attempt comes between the payment and the charge.
    select payment_intent_id into v_intent_id from autopay_charges where id = p_autopay_charge_id;
    perform from payment_intents where id = v_intent_id for no key update;
    perform from payment_attempts
    where payment_intent_id = v_intent_id and status = 'created'
    order by id for no key update;
    perform lock_autopay_charges(array[p_autopay_charge_id]);

    update autopay_charges
    set
        silences = least(silences + 1, 100),
        lease_until = clock_now()
        + least(interval '1 minute' * power(2, least(silences, 10)), interval '6 hours')
    where id = p_autopay_charge_id and fence = p_fence and status = 'charging'
        and livemode::text = hasura_session ->> 'x-hasura-livemode';
    if found then
        update payment_attempts
        set status = 'unknown', failure_message = p_failure_message
        where status = 'created'
            and id in (select payment_attempt_id from autopay_orders where id = p_autopay_charge_id);
    end if;
    perform break_gateway_circuit(autopay_mandates.gateway, autopay_mandates.livemode, 'charge')
    from autopay_mandates
    inner join autopay_charges on autopay_charges.autopay_mandate_id = autopay_mandates.id
    where autopay_charges.id = p_autopay_charge_id and p_is_silent
        and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode';
    return query select * from autopay_charges where id = p_autopay_charge_id;
end;
$function$;
comment on function postpone_autopay_charge(json,uuid,bigint,text,boolean) is 'The gateway gave no answer: the same attempt is sent again later, with the same key, or the janitor of payments finds out what became of it. Nothing happens at the word of a worker with an old fence.';
grant execute on function postpone_autopay_charge(json,uuid,bigint,text,boolean) to munim_hasura;

CREATE OR REPLACE FUNCTION public.postpone_gateway_event(p_event gateway_events, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update gateway_events
    set
        tries = tries + 1,
        reason = p_reason,
        next_try_at = clock_now() + interval '30 seconds' * power(2, least(tries, 10)),
        status = case when tries >= 9 then 'parked' else 'received' end,
        organization_id = null,
        payment_attempt_id = null
    where id = p_event.id;

    if p_event.tries >= 9 then
        perform record_exception(
            p_event.organization_id, p_event.livemode, 'event-not-applied', 'gateway_event',
            p_event.id, null, null, p_reason
        );
    end if;
end;
$function$;
comment on function postpone_gateway_event(gateway_events,text) is 'Ten tries in about four hours, then a person looks.';

CREATE OR REPLACE FUNCTION public.publication_delay(p_attempts integer)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT ((ARRAY['00:01:00'::interval, '00:01:00'::interval, '00:02:00'::interval, '00:05:00'::interval, '00:15:00'::interval, '00:30:00'::interval] || array_fill('01:00:00'::interval, ARRAY[72])))[(p_attempts + 1)];
END;
comment on function publication_delay(integer) is 'How long until an event is sent again, after so many times; null when it is a person''s turn: after three days.';
grant execute on function publication_delay(integer) to munim_outbox;

CREATE OR REPLACE FUNCTION public.publish_events_again(hasura_session json, p_destination text, p_event_id uuid DEFAULT NULL::uuid)
 RETURNS SETOF event_publications
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[];
begin
    perform require_service(hasura_session);
    v_ids := array(
        select event_publications.event_id
        from event_publications
        inner join events on events.id = event_publications.event_id
        where event_publications.destination = p_destination
            and event_publications.status = 'parked'
            and event_publications.event_id = coalesce(p_event_id, event_publications.event_id)
            and events.livemode::text = hasura_session ->> 'x-hasura-livemode'
        order by event_publications.event_id
        for no key update of event_publications
    );
    perform begin_publications_again(p_destination, v_ids);
    return query
    select * from event_publications where destination = p_destination and event_id = any(v_ids);
end;
$function$;
comment on function publish_events_again(json,text,uuid) is 'Sends what was parked once more, from the beginning: one event, or all of a destination and the session''s mode.';
grant execute on function publish_events_again(json,text,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.purchase_credits_posting(p_refund_id uuid, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_recall credit_recalls := open_credit_recall(p_refund_id);
begin
    if v_recall.status in ('released', 'returned') then
        raise exception 'the credits of refund % are released', p_refund_id
            using errcode = 'assert_failure';
    end if;
    if v_recall.status = 'held' then
        update credit_lots
        set remaining = remaining - v_recall.credits_amount, held = held - v_recall.credits_amount
        where id = v_recall.credit_lot_id;
        update credit_recalls set status = 'taken' where id = v_recall.id;
    end if;
    return recall_posting(v_recall, 'credits_recalled', -v_recall.credits_amount, p_occurred_at);
end;
$function$;
comment on function purchase_credits_posting(uuid,timestamp with time zone) is 'The refund succeeded: its credits leave the lot, and the wallet by this posting, which the caller books together with its own. Null when there is none to take: array_remove(postings, null).';

CREATE OR REPLACE FUNCTION public.put_off_invariant(hasura_session json, p_name text, p_reason text)
 RETURNS SETOF invariant_checks
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_check invariant_checks;
begin
    perform require_service(hasura_session);
    select * into strict v_check from invariant_checks where name = p_name for update;
    perform list_invariant(hasura_session, 'invariant-not-read', p_name, p_reason);

    if v_check.key_column is not null and v_check.width > 1 then
        return query
        update invariant_checks
        set width = greatest(v_check.width / 8, 1), tried_at = clock_now()
        where name = p_name
        returning *;
        return;
    end if;
    update invariant_checks set unread = unread + 1 where name = p_name;
    return query select * from pass_invariant_part(v_check);
end;
$function$;
comment on function put_off_invariant(json,text,text) is 'A part could not be read: it is listed, and smaller parts are read from now on; the smallest is left out, so that it hides no other. The view counts as not read until all of it is.';
grant execute on function put_off_invariant(json,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.put_off_publications(p_destination text, p_event_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update event_publications
    set
        attempts = attempts + 1,
        due_at = clock_now() + publication_delay(attempts),
        status = case
            when publication_delay(attempts) is null then 'parked' else 'pending'
        end
    where destination = p_destination and event_id = any(p_event_ids);
end;
$function$;
comment on function put_off_publications(text,uuid[]) is 'What is about to be sent is due again later, in case nobody is heard of it; or never, when it was sent too often.';

CREATE OR REPLACE FUNCTION public.read_invariant(hasura_session json, p_name text)
 RETURNS SETOF invariant_checks
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_started bigint := stopwatch();
    v_check invariant_checks;
    v_rows bigint;
    v_first jsonb;
begin
    perform require_service(hasura_session);
    -- Whoever asked may have stopped waiting; what it asked for goes on, and counts.
    if not pg_try_advisory_xact_lock(hashtextextended('read_invariant ' || p_name, 0)) then
        return;
    end if;
    select * into strict v_check from invariant_checks where name = p_name;

    execute format(
        'select count(*), (array_agg(to_jsonb(fault)))[1] from %I as fault where %s',
        v_check.name, invariant_part(v_check)
    ) into v_rows, v_first;

    if v_rows > 0 then
        perform list_invariant(
            hasura_session, 'invariant-broken', p_name, format('%s rows, as %s', v_rows, v_first)
        );
    end if;
    update invariant_checks
    set
        faults = faults + v_rows,
        milliseconds = milliseconds + stopwatch() - v_started,
        width = fitting_width(v_check, stopwatch() - v_started)
    where name = p_name;
    return query select * from pass_invariant_part(v_check);
end;
$function$;
comment on function read_invariant(json,text) is 'Reads the next part of an invariant, of all tenants and both modes, and lists what is broken. No row where another is reading it. A position of 0 in the answer: the view is read to its end.';
grant execute on function read_invariant(json,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.ready_ledger_accounts(p_transfer bank_transfers)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent_id constant uuid := p_transfer.payment_intent_id;
    v_ids uuid[] := array[
        bank_ledger_account(p_transfer, p_transfer.id),
        held_receipts_account(p_transfer, p_transfer.id)
    ];
begin
    if v_intent_id is not null then
        perform from bank_transfers
        where payment_intent_id = v_intent_id and status = 'approved' and amount_used < amount
        order by id for no key update;
        v_ids := v_ids || held_receipts_account(p_transfer, v_intent_id) || array(
            select ledger_account(
                p_transfer.organization_id, p_transfer.livemode, code, 'liability',
                p_transfer.currency, v_intent_id
            )
            from unnest(array['merchant_balance', 'surplus', 'refunds_pending']) as code
        );
    end if;
    perform from ledger_accounts where id = any(v_ids) order by id for no key update;
end;
$function$;
comment on function ready_ledger_accounts(bank_transfers) is 'Locks the receipts that are held for its payment, and then every ledger account that they may touch, in order of id: the arrival, the payment and the surplus are booked in three calls, which could not keep that order among them. The payment is locked.';

CREATE OR REPLACE FUNCTION public.reason_not_to_settle(p_attempt payment_attempts, p_status text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_status is null then
        return 'the gateway does not know it yet';
    end if;
    if not exists (
        select from payment_attempt_steps where before = p_attempt.status and after = p_status
    ) then
        return format('the attempt is %s already', p_attempt.status);
    end if;
    return null;
end;
$function$;
comment on function reason_not_to_settle(payment_attempts,text) is 'Why a status that a gateway''s word leads to changes nothing; null where it is a step.';

CREATE OR REPLACE FUNCTION public.reason_to_ignore(p_event gateway_events, p_attempt payment_attempts)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_outcome constant text := p_event.notice ->> 'outcome';
    v_reason text;
begin
    if v_outcome in ('unknown', 'hint')
        or coalesce(p_event.notice ->> 'subject', 'payment') <> 'payment'
    then
        return null;
    end if;

    if is_end_of_other_payment(p_event, p_attempt)
        or is_news_of_decline(p_attempt, p_event.notice, p_event.occurred_at)
        -- Held beside what may be captured at this moment, by whoever is to list it.
        or (
            v_outcome = 'authorized'
            and p_event.notice ->> 'gateway_payment_id' <> p_attempt.gateway_payment_id
        )
    then
        return null;
    end if;

    -- Without a lock: if somebody is at the attempt, this message came before what they do.
    v_reason := reason_not_to_settle(p_attempt, attempt_status(p_attempt, p_event.notice));
    if v_reason is not null and mismatch_of_notice(p_event, p_attempt) is not null then
        return null;
    end if;
    return v_reason;
exception
    when data_exception then
        return null;  -- an amount that is none: the row is kept, and says so
end;
$function$;
comment on function reason_to_ignore(gateway_events,payment_attempts) is 'Why a message changes nothing of its attempt, so that nothing need be locked; null where it may. Most payments are told of several times.';

CREATE OR REPLACE FUNCTION public.recall_posting(p_recall credit_recalls, p_kind text, p_credits numeric, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
begin
    if p_credits = 0 then
        return null;
    end if;
    select customers.* into strict v_customer
    from customers
    inner join credit_lots on credit_lots.customer_id = customers.id
    where credit_lots.id = p_recall.credit_lot_id;
    return credit_posting(
        v_customer, 'credits_issued', p_credits, p_recall.refund_id, p_kind, 'credit_recall',
        p_recall.id, p_occurred_at
    );
end;
$function$;
comment on function recall_posting(credit_recalls,text,numeric,timestamp with time zone) is 'Credits of a recall leave the wallet, or come back to it.';

CREATE OR REPLACE FUNCTION public.recalled_credits(p_lot credit_lots, p_amount bigint)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN (p_amount = (p_lot).amount_remaining) THEN ((p_lot).remaining - (p_lot).held)
             ELSE GREATEST(LEAST(((div((((p_lot).granted * (10000)::numeric) * (((p_lot).amount_recalled + p_amount))::numeric), ((p_lot).amount)::numeric) * 0.0001) - (p_lot).recalled), (((p_lot).remaining - (p_lot).held) - 0.0001)), (0)::numeric)
         END AS "greatest";
END;
comment on function recalled_credits(credit_lots,bigint) is 'The credits that go back with an amount that the lot still owes: in proportion to all that went back, rounded down; with the last of the money, the last of the credits, and not before.';

CREATE OR REPLACE FUNCTION public.receive_gateway_event(hasura_session json, p_gateway text, p_gateway_account text, p_livemode boolean, p_event_id text, p_type text, p_occurred_at timestamp with time zone, p_payload jsonb, p_notice jsonb)
 RETURNS SETOF gateway_events
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
    v_event gateway_events;
    v_attempt payment_attempts;
    v_known text;
    v_now timestamptz := clock_now();
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    if p_livemode::text is distinct from hasura_session ->> 'x-hasura-livemode' then
        raise exception 'forbidden: a message of the other mode (live or test) came to this endpoint'
            using errcode = '22B03';
    end if;

    v_event.gateway := p_gateway;
    v_event.gateway_account := p_gateway_account;
    v_event.livemode := p_livemode;
    v_event.occurred_at := p_occurred_at;
    v_event.notice := p_notice;
    if attempt_named_in(p_notice) is not null then
        v_attempt := attempt_of_notice(v_event);
        v_known := reason_to_ignore(v_event, v_attempt) where v_attempt.id is not null;
    end if;

    -- The row is written as what will most likely come of it, so that it is written once: whatever
    -- else comes of it is noted below, and nobody sees the row before.
    insert into gateway_events (
        gateway, gateway_account, livemode, event_id, type, occurred_at, payload, notice, status,
        reason, organization_id, payment_attempt_id, next_try_at, created_at, updated_at
    )
    values (
        p_gateway, p_gateway_account, p_livemode, p_event_id, p_type, p_occurred_at, p_payload,
        p_notice, case when v_known is null then 'applied' else 'ignored' end, v_known,
        v_attempt.organization_id, v_attempt.id, v_now, v_now, v_now
    )
    on conflict on constraint gateway_event_is_received_once do nothing
    returning * into v_event;

    if v_event.id is not null then
        perform carry_out_gateway_event(v_event) where v_known is null;
    else
        select * into strict v_event
        from gateway_events
        where gateway = p_gateway and gateway_account = p_gateway_account
            and livemode = p_livemode and event_id = p_event_id;
        perform try_gateway_event(v_event.id);
    end if;
    perform hear_gateway_answers(array[v_event.id]) where p_type = 'answer';
    perform hurry_declined(array[v_event.id]) where p_notice ->> 'outcome' = 'requires_action';
    return query select * from gateway_events where id = v_event.id;
end;
$function$;
comment on function receive_gateway_event(json,text,text,boolean,text,text,timestamp with time zone,jsonb,jsonb) is 'Stores a verified message and applies it. Called again with the same event id: the same row, no second effect. When applying fails, the row is kept and tried again later.';
grant execute on function receive_gateway_event(json,text,text,boolean,text,text,timestamp with time zone,jsonb,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.receive_gateway_events(hasura_session json, p_messages jsonb)
 RETURNS SETOF gateway_events
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
    v_ids uuid[];
    v_paid uuid[];
    v_attempt_ids uuid[];
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    select
        array_agg(id),
        array_agg(id) filter (where status = 'applied'),
        array_agg(payment_attempt_id) filter (where status = 'applied')
    into v_ids, v_paid, v_attempt_ids
    from write_gateway_events(p_messages, (hasura_session ->> 'x-hasura-livemode')::boolean);
    perform lock_payments(v_attempt_ids);

    -- What is no plain success, now that its payment is locked, is left to receive_gateway_event,
    -- which comes alone: it may need more than its own accounts.
    delete from gateway_events
    where id = any(v_paid) and obstacle_to_capture(gateway_events, v_paid) is not null;
    v_paid := array(select id from gateway_events where id = any(v_paid));
    perform capture_payments(v_paid) where cardinality(v_paid) > 0;
    perform hear_gateway_answers(v_ids)
    where jsonb_path_exists(p_messages, '$[*] ? (@.type == "answer")');
    perform hurry_declined(v_ids)
    where jsonb_path_exists(p_messages, '$[*].notice ? (@.outcome == "requires_action")');
    return query select * from gateway_events where id = any(v_ids);
end;
$function$;
comment on function receive_gateway_events(json,jsonb) is 'Keeps many messages at once, each as receive_gateway_event would, given as rows of gateway_events: all that they lock is locked first, kind after kind and by id. Only payments that went well and messages that say nothing new are kept here, and either all of them or none: what is not among the rows of the answer is to be kept alone.';
grant execute on function receive_gateway_events(json,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.receive_order_event(hasura_session json, p_event_id text, p_type text, p_reference text, p_customer_external_id text, p_amount bigint, p_currency text, p_detail jsonb, p_occurred_at timestamp with time zone)
 RETURNS SETOF order_charges
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_event order_events;
    v_order orders;
    v_intent payment_intents;
    v_is_new boolean;
    v_meaning text := (select meaning from order_event_types where type = p_type);
    v_is_known_money boolean := exists (select from currencies where code = p_currency);
    v_amount bigint := case when v_is_known_money then p_amount end;
    v_currency text := case when v_is_known_money then p_currency end;
begin
    perform require_actor_role(hasura_session, array['service', 'owner', 'finance']);
    perform require_read_committed();
    if v_meaning is null then
        return;  -- a bus carries much that is nothing to us
    end if;
    if p_reference is null or hasura_session ->> 'x-hasura-organization-id' is null then
        raise exception 'invalid-input: a message about an order names the order and its organisation'
            using errcode = '22B20';
    end if;
    if p_currency is not null and not v_is_known_money and v_meaning <> 'canceled' then
        raise exception 'currency-not-supported: % is no currency', p_currency
            using errcode = '22B06';
    end if;

    perform lock_order((hasura_session ->> 'x-hasura-organization-id')::uuid, p_reference);
    insert into order_events (
        organization_id, livemode, event_id, type, reference, customer_external_id, amount,
        currency, detail, occurred_at
    )
    values (
        (hasura_session ->> 'x-hasura-organization-id')::uuid,
        (hasura_session ->> 'x-hasura-livemode')::boolean, p_event_id, p_type, p_reference,
        p_customer_external_id, v_amount, v_currency, p_detail, p_occurred_at
    )
    on conflict on constraint order_event_is_received_once do nothing
    returning * into v_event;
    v_is_new := v_event.id is not null;
    if not v_is_new then
        select * into strict v_event
        from order_events
        where event_id = p_event_id
            and organization_id::text = hasura_session ->> 'x-hasura-organization-id'
            and livemode::text = hasura_session ->> 'x-hasura-livemode';
        if (
            v_event.type, v_event.reference, v_event.customer_external_id, v_event.amount,
            v_event.currency, v_event.detail
        ) is distinct from (
            p_type, p_reference, p_customer_external_id, v_amount, v_currency, p_detail
        ) then
            raise exception 'idempotency-key-reused: event % said something else before', p_event_id
                using errcode = '22B08';
        end if;
    end if;

    v_order := placed_order(v_event);
    if v_order.id is not null then
        select * into strict v_intent
        from payment_intents where id = v_order.payment_intent_id for no key update;
        perform compare_order(v_event, v_order, v_intent);
        perform follow_order(v_order, v_intent, hasura_session);
    end if;
    return query
    select * from order_charges
    where order_id = v_order.id and may_ask_gateway(gateway, livemode, 'charge');
end;
$function$;
comment on function receive_order_event(json,text,text,text,text,bigint,text,jsonb,timestamp with time zone) is 'Keeps a message about an order and does what all messages about it together say; the same message again, by whatever time it is stamped: nothing more; one of an unknown type: nothing. Answers the charge that the gateway is to be asked for, if any: that of a silent one waits for claim_order_charges.';
grant execute on function receive_order_event(json,text,text,text,text,bigint,text,jsonb,timestamp with time zone) to munim_hasura;

CREATE OR REPLACE FUNCTION public.record_autopay_setup(hasura_session json, p_autopay_mandate_id uuid, p_gateway_session_id text, p_url text)
 RETURNS SETOF autopay_setups
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function record_autopay_setup(json,uuid,text,text) is 'Keeps the page that a gateway opened for a mandate.';
grant execute on function record_autopay_setup(json,uuid,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.record_bank_transfer(hasura_session json, p_bank_account_id uuid, p_kind text, p_rail text, p_reference text, p_amount bigint, p_value_date date, p_payer_name text, p_note text, p_order_display_id text, p_refund_id uuid, p_returned_id uuid, p_key text)
 RETURNS SETOF bank_transfers
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_account bank_accounts;
    v_transfer bank_transfers;
    v_known bank_transfers;
begin
    v_transfer.made_by := acting_member(hasura_session, array['finance', 'owner']);
    perform require_read_committed();
    select * into v_account from bank_accounts where id = p_bank_account_id;
    perform require_access(hasura_session, v_account.organization_id, v_account.livemode, null);

    v_transfer.organization_id := v_account.organization_id;
    v_transfer.livemode := v_account.livemode;
    v_transfer.bank_account_id := v_account.id;
    v_transfer.kind := p_kind;
    v_transfer.rail := p_rail;
    v_transfer.reference := p_reference;
    v_transfer.amount := p_amount;
    v_transfer.currency := v_account.currency;
    v_transfer.value_date := p_value_date;
    v_transfer.payer_name := p_payer_name;
    v_transfer.note := p_note;
    v_transfer.refund_id := p_refund_id;
    v_transfer.returned_id := p_returned_id;
    v_transfer.idempotency_key := p_key;
    v_transfer.request := to_jsonb(v_transfer) || jsonb_build_object('order', p_order_display_id);

    v_known := known_bank_transfer(v_transfer);
    if v_known.id is not null then
        return next v_known;
        return;
    end if;
    if v_account.status = 'entered' then
        raise exception 'setting-invalid: nobody has approved this bank account yet'
            using errcode = '22B05';
    end if;
    if p_order_display_id is not null then
        v_transfer.payment_intent_id := (order_of_display_id(v_account, p_order_display_id)).id;
    end if;
    perform check_bank_transfer(v_transfer);
    return next write_bank_transfer(v_transfer);
end;
$function$;
comment on function record_bank_transfer(json,uuid,text,text,text,bigint,date,text,text,text,uuid,uuid,text) is 'Enters what somebody read on a bank''s statement. Nothing is booked before another person approves it. The same key: the same transfer; the same reference by another key: refused.';
grant execute on function record_bank_transfer(json,uuid,text,text,text,bigint,date,text,text,text,uuid,uuid,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.record_checkout_session(hasura_session json, p_payment_attempt_id uuid, p_gateway_session_id text, p_url text, p_link_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_takes_several boolean DEFAULT false, p_is_answer boolean DEFAULT true)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts := acting_attempt(hasura_session, p_payment_attempt_id);
begin
    if exists (
        select from payment_intents
        where id = v_attempt.payment_intent_id and status = 'canceled'
    ) then
        raise exception 'checkout-expired: payment % is called off', v_attempt.payment_intent_id
            using errcode = '22B25';
    end if;
    if v_attempt.failure_code = 'page-never-shown' then
        raise exception 'payment-in-progress: another attempt has taken the place of %', v_attempt.id
            using errcode = '22B10';
    end if;
    update checkout_sessions
    set
        gateway_session_id = p_gateway_session_id, url = p_url,
        link_expires_at = p_link_expires_at, takes_several = p_takes_several
    where payment_attempt_id = v_attempt.id
        and (gateway_session_id is null or gateway_session_id = p_gateway_session_id);
    if not found then
        -- Two tabs at once, at a gateway that opens a page for each: the first one counts.
        raise exception 'payment-in-progress: attempt % has another page already', v_attempt.id
            using errcode = '22B10';
    end if;

    if v_attempt.status in ('created', 'unknown') then  -- a webhook may have come first
        perform move_payment_attempt(v_attempt, 'pending', '{}');
    end if;
    perform close_gateway_circuit(v_attempt.gateway, v_attempt.livemode, 'open')
    where p_is_answer;
    return query select * from payment_attempts where id = v_attempt.id;
end;
$function$;
comment on function record_checkout_session(json,uuid,text,text,timestamp with time zone,boolean,boolean) is 'Keeps the page that a gateway opened for an attempt, or the newest UPI link in its place. Refused where the payer was sent elsewhere, or the payment called off, meanwhile: the page must not be shown. p_is_answer is false for a page that was written here without asking the gateway: it tells nothing of whether that works.';
grant execute on function record_checkout_session(json,uuid,text,text,timestamp with time zone,boolean,boolean) to munim_hasura;

CREATE OR REPLACE FUNCTION public.record_event(p_organization_id uuid, p_livemode boolean, p_type text, p_object_type text, p_object_id uuid, p_data jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    -- The caller holds the object's lock, so that two facts of it never take one number.
    with recorded as (
        insert into events (
            organization_id, livemode, type, object_type, object_id, sequence, data
        )
        select
            p_organization_id, p_livemode, p_type, p_object_type, p_object_id,
            coalesce(max(sequence), 0) + 1, p_data
        from events
        where object_type = p_object_type and object_id = p_object_id
        returning id, organization_id, livemode
    )

    insert into event_publications (event_id, destination, organization_id, livemode)
    select
        recorded.id, event_destinations.destination, recorded.organization_id, recorded.livemode
    from recorded
    inner join event_destinations
        on event_destinations.organization_id = recorded.organization_id
        and event_destinations.livemode = recorded.livemode and event_destinations.is_active;
end;
$function$;
comment on function record_event(uuid,boolean,text,text,uuid,jsonb) is 'Writes a fact to the outbox, in the transaction of the fact, and has it sent where the organisation wants its events.';

CREATE OR REPLACE FUNCTION public.record_events(p_events events[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    with recorded as (
        insert into events (organization_id, livemode, type, object_type, object_id, sequence, data)
        select
            organization_id, livemode, type, object_type, object_id,
            coalesce(
                (
                    select max(earlier.sequence) from events as earlier
                    where earlier.object_type = event.object_type
                        and earlier.object_id = event.object_id
                ), 0
            ) + 1,
            data
        from unnest(p_events) as event
        returning id, organization_id, livemode
    )

    insert into event_publications (event_id, destination, organization_id, livemode)
    select recorded.id, destination, organization_id, livemode
    from recorded
    inner join event_destinations using (organization_id, livemode)
    where event_destinations.is_active;
end;
$function$;
comment on function record_events(events[]) is 'Writes facts to the outbox as record_event does, in one statement: one of each object at most.';

CREATE OR REPLACE FUNCTION public.record_exception(p_organization_id uuid, p_livemode boolean, p_class text, p_object_type text, p_object_id uuid, p_amount bigint, p_currency text, p_detail text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 INSERT INTO exceptions (organization_id, livemode, class, object_type, object_id, amount, currency, detail)
   VALUES (record_exception.p_organization_id, record_exception.p_livemode, record_exception.p_class, record_exception.p_object_type, record_exception.p_object_id, record_exception.p_amount, record_exception.p_currency, record_exception.p_detail) ON CONFLICT ON CONSTRAINT exception_is_listed_once DO UPDATE SET amount = excluded.amount, currency = excluded.currency, detail = excluded.detail, resolved_at = NULL::timestamp with time zone, resolved_by = NULL::text, resolution = NULL::text
   WHERE (((exceptions.resolved_at IS NOT NULL) AND (exceptions.resolved_by IS NULL)) OR (((exceptions.amount IS DISTINCT FROM excluded.amount) OR (exceptions.currency IS DISTINCT FROM excluded.currency)) OR (exceptions.detail IS DISTINCT FROM excluded.detail)));
END;
comment on function record_exception(uuid,boolean,text,text,uuid,bigint,text,text) is 'Lists an object under a class, once however often it is called, with what was said last of it; what was resolved is open again. What a person resolved is so only when something else is said: they had read this.';

CREATE OR REPLACE FUNCTION public.record_receipt(hasura_session json, p_payment_attempt_id uuid, p_receipt_url text)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    update payment_attempts
    set receipt_url = p_receipt_url
    where id = p_payment_attempt_id and status = 'captured' and receipt_url is null;

    return query select * from payment_attempts where id = p_payment_attempt_id;
end;
$function$;
comment on function record_receipt(json,uuid,text) is 'Keeps the gateway''s receipt of a capture; the first one stays.';
grant execute on function record_receipt(json,uuid,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.refund_account(p_refund refunds, p_code text, p_account_type text)
 RETURNS uuid
 LANGUAGE sql
BEGIN ATOMIC
 SELECT ledger_account((p_refund).organization_id, (p_refund).livemode, p_code, p_account_type, (p_refund).currency, (p_refund).payment_intent_id) AS ledger_account;
END;
comment on function refund_account(refunds,text,text) is 'The account of this code that a refund is booked on.';

CREATE OR REPLACE FUNCTION public.refund_facts(p_refund refunds)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT jsonb_build_object('refund_id', (p_refund).id, 'payment_intent_id', (p_refund).payment_intent_id, 'payment_attempt_id', (p_refund).payment_attempt_id, 'type', (p_refund).type, 'reason', (p_refund).reason, 'amount', (p_refund).amount, 'fee_amount', (p_refund).fee_amount, 'currency', (p_refund).currency, 'status', (p_refund).status, 'requested_by', (p_refund).requested_by, 'failure_code', (p_refund).failure_code) AS jsonb_build_object;
END;
comment on function refund_facts(refunds) is 'What an event about a refund tells.';

CREATE OR REPLACE FUNCTION public.refund_look_age(p_looks integer)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (ARRAY['1 day'::interval, '7 days'::interval, '30 days'::interval])[(p_looks + 1)] AS "array";
END;
comment on function refund_look_age(integer) is 'How long after it succeeded a refund is looked at again, after so many looks; null after the last.';

CREATE OR REPLACE FUNCTION public.refund_movements(p_refund refunds, p_kind text, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_sign constant integer := case
        when p_kind in ('refund_return', 'refund_release') then -1 else 1
    end;
    v_fact constant ledger_posting := (
        format(
            '%s:%s%s', replace(p_kind, '_', '-'), p_refund.id,
            case when p_refund.is_late then ':late' else '' end
        ),
        p_kind, 'refund', p_refund.id, p_occurred_at, null, null, null
    );
    v_pending constant uuid := refund_account(p_refund, 'refunds_pending', 'liability');
    v_source uuid;
begin
    if p_kind in ('refund', 'refund_return') then
        return array[ledger_movement(
            v_fact, null, v_pending,
            refund_account(
                p_refund,
                case
                    when is_by_hand(p_refund.gateway) then 'bank:' || p_refund.gateway_account
                    else 'gateway:' || p_refund.gateway
                end,
                'asset'
            ),
            v_sign * p_refund.amount
        )];
    end if;

    select * into strict v_attempt from payment_attempts where id = p_refund.payment_attempt_id;
    v_source := refund_account(p_refund, source_account(v_attempt), 'liability');
    return array_remove(
        array[
            ledger_movement(
                v_fact, null, v_source, v_pending,
                v_sign * (p_refund.amount - p_refund.loss_amount)
            ),
            ledger_movement(
                v_fact, 'loss',
                case
                    when p_refund.loss_amount > 0
                        then refund_account(p_refund, 'credit_losses', 'expense')
                end,
                v_pending, v_sign * p_refund.loss_amount
            ),
            ledger_movement(
                v_fact, 'fee', v_source,
                case
                    when p_refund.fee_amount > 0
                        then refund_account(p_refund, 'refund_fees', 'revenue')
                end,
                v_sign * p_refund.fee_amount
            )
        ],
        null
    );
end;
$function$;
comment on function refund_movements(refunds,text,timestamp with time zone) is 'refund_reserve: taken from what the payment had become; refund: paid out by the gateway; refund_return and refund_release: the opposite of the two.';

CREATE OR REPLACE FUNCTION public.refund_of_notice(p_event gateway_events)
 RETURNS refunds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
begin
    -- Our own reference first; the gateway's id serves where a message does not carry it.
    select * into v_refund
    from refunds
    where gateway = p_event.gateway and gateway_account = p_event.gateway_account
        and livemode = p_event.livemode
        and case
            when p_event.notice ->> 'refund_id' is not null
                then id = (p_event.notice ->> 'refund_id')::uuid
            else gateway_refund_id = p_event.notice ->> 'gateway_refund_id'
        end
    for no key update;
    return v_refund;
end;
$function$;
comment on function refund_of_notice(gateway_events) is 'The refund that a message is about, locked, or a null row.';

CREATE OR REPLACE FUNCTION public.refund_past_us(p_transfer bank_transfers, p_attempt payment_attempts, p_amount bigint)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
    v_refund refunds;
    v_occurred_at timestamptz := moment_of_bank_transfer(p_transfer);
    v_postings ledger_posting[];
begin
    select * into strict v_attempt from payment_attempts where id = p_attempt.id;
    v_refund.idempotency_key := format('%s:%s:%s', p_transfer.kind, p_transfer.id, p_attempt.id);
    v_refund.requested_by := 'gateway';
    v_refund.type := case
        when p_amount = v_attempt.amount_captured then 'full' else 'partial'
    end;
    v_refund.reason := 'other';
    v_refund.note := case p_transfer.kind
        when 'return' then 'the bank took the transfer back'
        else 'paid by hand, and entered when it was canceled'
    end;
    v_refund.amount := p_amount;
    v_refund := write_refund(v_attempt, v_refund, true);
    update refunds set gateway_account = p_transfer.bank_account_id::text
    where id = v_refund.id;

    v_refund := move_refund(
        v_refund, 'succeeded',
        jsonb_build_object('gateway_refund_id', format('%s:%s', p_transfer.id, p_attempt.id)),
        v_occurred_at
    );
    v_postings := refund_postings('created', v_refund, v_occurred_at);
    perform report_refund('created', v_refund);
    return v_postings;
end;
$function$;
comment on function refund_past_us(bank_transfers,payment_attempts,bigint) is 'What a bank took back was refunded, though nobody here had asked for it; so was what somebody paid by hand that nobody wanted any more. Answers what is to be booked.';

CREATE OR REPLACE FUNCTION public.refund_policy(p_organization_id uuid, p_purpose text, p_currency text, p_at timestamp with time zone)
 RETURNS refund_policies
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_policy refund_policies;
begin
    select * into v_policy
    from refund_policies
    where organization_id = p_organization_id and purpose = p_purpose and currency = p_currency
        and valid_from <= p_at
    order by valid_from desc, id desc
    limit 1;
    return v_policy;
end;
$function$;
comment on function refund_policy(uuid,text,text,timestamp with time zone) is 'The policy that holds at a moment, or a null row.';

CREATE OR REPLACE FUNCTION public.refund_postings(p_before text, p_refund refunds, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_postings ledger_posting[] := '{}';
begin
    -- What the gateway made itself was never reserved: it is booked whole, in one call with what
    -- became of it, so that all ledger accounts are locked in one order.
    if p_before = 'failed' or p_before = 'created' and p_refund.requested_by = 'gateway' then
        v_postings := v_postings || refund_movements(p_refund, 'refund_reserve', p_occurred_at);
    end if;
    if p_refund.status = 'succeeded' then
        v_postings := v_postings || refund_movements(p_refund, 'refund', p_occurred_at);
    elsif p_before = 'succeeded' then
        v_postings := v_postings || refund_movements(p_refund, 'refund_return', p_occurred_at);
    end if;
    if p_refund.status in ('failed', 'canceled') then
        v_postings := v_postings || refund_movements(p_refund, 'refund_release', p_occurred_at)
            || cover_lost_surplus(p_refund, p_occurred_at);
    end if;
    if p_refund.is_late
        or not exists (select from credit_recalls where refund_id = p_refund.id)
    then
        return v_postings;
    end if;

    if p_refund.status = 'succeeded' then
        v_postings := v_postings || purchase_credits_posting(p_refund.id, p_occurred_at);
    elsif p_before = 'succeeded' then
        v_postings := v_postings || return_purchase_credits_posting(p_refund.id, p_occurred_at);
    elsif p_refund.status in ('failed', 'canceled') then
        perform release_purchase_credits(p_refund.id);
    end if;
    return array_remove(v_postings, null);
end;
$function$;
comment on function refund_postings(text,refunds,timestamp with time zone) is 'All that is booked when a refund goes from one status to its present one; its credits go with it.';

CREATE OR REPLACE FUNCTION public.refund_status(p_refund refunds, p_outcome text)
 RETURNS text
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT
         CASE
             WHEN (p_outcome <> 'not_found'::text) THEN p_outcome
             WHEN (((p_refund).status = ANY (ARRAY['created'::text, 'unknown'::text])) AND (((p_refund).created_at + '25:00:00'::interval) <= clock_now())) THEN 'failed'::text
             ELSE NULL::text
         END AS "case";
END;
comment on function refund_status(refunds,text) is 'The status that a gateway''s word leads to; null where the word settles nothing yet.';

CREATE OR REPLACE FUNCTION public.refundable_amount(p_attempt payment_attempts)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refunded numeric;
    v_disputed numeric;
begin
    select coalesce(sum(amount + fee_amount), 0) into v_refunded
    from refunds
    where payment_attempt_id = p_attempt.id and status not in ('failed', 'canceled');

    select coalesce(sum(amount), 0) into v_disputed
    from disputes
    where payment_attempt_id = p_attempt.id and status <> 'won';

    return greatest(p_attempt.amount_captured - v_refunded - v_disputed, 0);
end;
$function$;
comment on function refundable_amount(payment_attempts) is 'What is left of a capture: refunds on their way and disputes that are not won count as gone. The attempt is locked.';

CREATE OR REPLACE FUNCTION public.refuse_capture(hasura_session json, p_payment_attempt_id uuid, p_amount bigint, p_reason text)
 RETURNS SETOF payment_attempts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    -- A late answer about another amount says nothing of the one that is being captured now.
    update payment_attempts
    set amount_to_capture = null, failure_code = 'capture-refused', failure_message = p_reason
    where id = p_payment_attempt_id and status = 'authorized' and amount_to_capture = p_amount
    returning * into v_attempt;

    if v_attempt.id is not null then
        perform record_exception(
            v_attempt.organization_id, v_attempt.livemode, 'payment-unresolved',
            'payment_attempt', v_attempt.id, v_attempt.amount, v_attempt.currency,
            format('the capture of %s was refused: %s', p_amount, p_reason)
        );
        return next v_attempt;
    end if;
end;
$function$;
comment on function refuse_capture(json,uuid,bigint,text) is 'The gateway said no, for good, to a capture of so much: nothing of it is meant any more, and a person may capture again, another amount or the same. Listed, for whoever asked may not have heard it. Called again: no row.';
grant execute on function refuse_capture(json,uuid,bigint,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.refuse_ledger_keys_of_others(p_organization_id uuid, p_livemode boolean, p_postings ledger_posting[], p_ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_key text;
begin
    select min(key) into v_key
    from ledger_transactions
    where key = any(array(select posting.key from unnest(p_postings) as posting))
        and organization_id = p_organization_id and livemode = p_livemode and id <> all(p_ids);
    if v_key is not null then
        raise exception 'ledger-key-reused: % has booked something else', v_key
            using errcode = '22B02';
    end if;
end;
$function$;
comment on function refuse_ledger_keys_of_others(uuid,boolean,ledger_posting[],uuid[]) is 'A key was new when the accounts were locked, and is booked by somebody who had others: with another meaning, then.';

CREATE OR REPLACE FUNCTION public.refuse_to_rewrite_history()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    raise exception '% is append-only: book a correcting transaction instead', tg_table_name
        using errcode = 'insufficient_privilege';
end;
$function$;
comment on function refuse_to_rewrite_history() is 'Stops UPDATE, DELETE and TRUNCATE, the owner''s too.';

CREATE OR REPLACE FUNCTION public.reject_bank_transfer(hasura_session json, p_bank_transfer_id uuid, p_reason text)
 RETURNS SETOF bank_transfers
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_user_id text := acting_member(hasura_session, array['finance', 'owner']);
    v_transfer bank_transfers;
begin
    perform require_read_committed();
    v_transfer := lock_bank_transfer(hasura_session, p_bank_transfer_id);
    if v_transfer.status = 'entered' then
        perform require_other_person(v_transfer.made_by, v_user_id);
        update bank_transfers
        set status = 'rejected', reason = p_reason, checked_by = v_user_id, checked_at = clock_now()
        where id = v_transfer.id
        returning * into strict v_transfer;
        perform tell_bank_transfer(v_transfer, 'rejected');
    elsif v_transfer.status = 'approved' and not is_decided(v_transfer) then
        perform require_other_person(v_transfer.matched_by, v_user_id);
        update bank_transfers
        set payment_intent_id = null, matched_by = null, reason = p_reason
        where id = v_transfer.id
        returning * into strict v_transfer;
        perform tell_bank_transfer(v_transfer, 'unmatched');
    elsif v_transfer.status <> 'rejected'
        -- Said again, because the answer was lost: what it had named is off already.
        and (v_transfer.payment_intent_id is not null or v_transfer.reason is distinct from p_reason)
    then
        perform require_undecided('transfer', v_transfer.status, 'entered');
    end if;
    return next v_transfer;
end;
$function$;
comment on function reject_bank_transfer(json,uuid,text) is 'The second person''s no: what was entered never counts, and its reference is free again. Of a receipt that was approved before it had an order, the order is taken off. The same no again: nothing more.';
grant execute on function reject_bank_transfer(json,uuid,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.release_autopay_charges(hasura_session json, p_claims jsonb)
 RETURNS SETOF autopay_charges
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    return query
    update autopay_charges
    set lease_until = clock_now()
    where id in (
        select autopay_charges.id
        from jsonb_to_recordset(p_claims) as claim (id uuid, fence bigint)
        inner join autopay_charges
            on autopay_charges.id = claim.id and autopay_charges.fence = claim.fence
        where autopay_charges.status = 'charging' and autopay_charges.lease_until is not null
            and autopay_charges.livemode::text = hasura_session ->> 'x-hasura-livemode'
        for no key update of autopay_charges skip locked
    )
    returning *;
end;
$function$;
comment on function release_autopay_charges(json,jsonb) is 'Gives back what a worker had no time to send: the next one need not wait for the lease to end.';
grant execute on function release_autopay_charges(json,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.release_ledger_hold(p_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_hold ledger_holds := open_ledger_hold(p_id);
begin
    if v_hold.status = 'posted' then
        raise exception 'ledger hold % is posted and cannot be released', p_id
            using errcode = 'assert_failure';
    end if;
    update ledger_holds set status = 'released' where id = p_id and status = 'open';
end;
$function$;
comment on function release_ledger_hold(uuid) is 'Ends a hold with nothing moved. Again: nothing happens.';

CREATE OR REPLACE FUNCTION public.release_purchase_credits(p_refund_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_recall credit_recalls := open_credit_recall(p_refund_id);
begin
    if v_recall.status in ('taken', 'returned') then
        raise exception 'the credits of refund % are taken: return_purchase_credits_posting', p_refund_id
            using errcode = 'assert_failure';
    end if;
    if v_recall.status = 'held' then
        perform give_back_recall(v_recall, 'released');
    end if;
end;
$function$;
comment on function release_purchase_credits(uuid) is 'The refund failed: its credits are free again. Again, or where none are held: nothing happens.';

CREATE OR REPLACE FUNCTION public.reopen_exception(hasura_session json, p_exception_id uuid, p_reason text, p_key text)
 RETURNS SETOF exceptions
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_exception exceptions := lock_exception(hasura_session, p_exception_id);
begin
    perform require_read_committed();
    if not note_exception_decision(hasura_session, v_exception, 'reopened', p_reason, p_key) then
        return next v_exception;
        return;
    end if;
    if v_exception.resolved_at is not null and v_exception.resolved_by is null then
        raise exception 'exception-resolved: settled by itself at %', v_exception.resolved_at
            using errcode = '22B30';
    end if;
    return query
    update exceptions set resolved_at = null, resolved_by = null, resolution = null
    where id = p_exception_id
    returning *;
end;
$function$;
comment on function reopen_exception(json,uuid,text,text) is 'Puts back on the list what a person took off. What is there already stays as it is. The same key again: nothing more.';
grant execute on function reopen_exception(json,uuid,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.repeated_autopay_mandate(p_customer customers, p_key text, p_requested_by text, p_amount bigint, p_currency text, p_day_of_month integer)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function repeated_autopay_mandate(customers,text,text,bigint,text,integer) is 'The mandate that this key opened before, or null. Refuses a key with other content.';

CREATE OR REPLACE FUNCTION public.repeated_credit_purchase(p_customer customers, p_key text, p_requested_by text, p_amount bigint, p_currency text, p_email text)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_checkout credit_checkouts;
begin
    select credit_checkouts.* into v_checkout
    from credit_checkouts
    inner join credit_purchases on credit_purchases.id = credit_checkouts.id
    where credit_purchases.organization_id = p_customer.organization_id
        and credit_purchases.livemode = p_customer.livemode
        and credit_purchases.customer_id = p_customer.id
        and credit_purchases.idempotency_key = p_key
        and credit_purchases.requested_by = p_requested_by;

    if v_checkout.id is not null
        and (v_checkout.amount, v_checkout.currency, v_checkout.customer_email)
        is distinct from (p_amount, coalesce(p_currency, v_checkout.currency), p_email)
    then
        raise exception 'idempotency-key-reused: the key belongs to a request with other content'
            using errcode = '22B08';
    end if;
    return v_checkout.id;
end;
$function$;
comment on function repeated_credit_purchase(customers,text,text,bigint,text,text) is 'The purchase that this key opened before, or null. Refuses a key with other content.';

CREATE OR REPLACE FUNCTION public.repeated_refund(p_attempt payment_attempts, p_refund refunds)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
begin
    select * into v_refund
    from refunds
    where idempotency_key = p_refund.idempotency_key and requested_by = p_refund.requested_by
        and organization_id = p_attempt.organization_id and livemode = p_attempt.livemode;

    if v_refund.id is not null and v_refund.request <> p_refund.request then
        raise exception 'idempotency-key-reused: the key belongs to a request with other content'
            using errcode = '22B08';
    end if;
    return v_refund.id;
end;
$function$;
comment on function repeated_refund(payment_attempts,refunds) is 'The refund that this key opened before, or null. Refuses a key with other content.';

CREATE OR REPLACE FUNCTION public.report_refund(p_before text, p_refund refunds)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_refund.status not in ('succeeded', 'failed', 'canceled') then
        return;
    end if;
    perform resolve_exception('refund-unresolved', 'refund', p_refund.id);
    perform record_event(
        p_refund.organization_id, p_refund.livemode,
        case p_refund.status when 'succeeded' then 'refund.succeeded' else 'refund.failed' end,
        'refund', p_refund.id, refund_facts(p_refund)
    );
    if p_refund.status = 'succeeded' then
        -- Instead of the one that failed, unless it was on its way then; of a smaller one nobody knows. See
        -- watch_money_back, too.
        perform resolve_exception(class, object_type, object_id)
        from exceptions
        where class = 'refund-failed' and object_type = 'payment_attempt'
            and object_id = p_refund.payment_attempt_id and amount <= p_refund.amount
            and not exists (
                select from refunds
                where payment_attempt_id = p_refund.payment_attempt_id and id <> p_refund.id
                    and status in ('failed', 'canceled') and updated_at > p_refund.created_at
                    and (requested_by = 'system' or succeeded_at is not null)
            );
    elsif p_before = 'succeeded' or p_refund.requested_by = 'system' then
        perform record_exception(
            p_refund.organization_id, p_refund.livemode, 'refund-failed', 'payment_attempt',
            p_refund.payment_attempt_id, p_refund.amount, p_refund.currency,
            format('refund %s failed: %s', p_refund.id, coalesce(p_refund.failure_code, 'no reason'))
        );
    end if;
    perform watch_money_back(payment_attempts)
    from payment_attempts where id = p_refund.payment_attempt_id;
end;
$function$;
comment on function report_refund(text,refunds) is 'A refund has ended: the world hears, and the lists are mended.';

CREATE OR REPLACE FUNCTION public.request_receipt(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    insert into receipt_requests (
        payment_attempt_id, organization_id, livemode, gateway, gateway_payment_id
    )
    select
        p_attempt.id, p_attempt.organization_id, p_attempt.livemode, p_attempt.gateway,
        p_attempt.gateway_payment_id
    where p_attempt.receipt_url is null;
end;
$function$;
comment on function request_receipt(payment_attempts) is 'Has a payment''s receipt fetched, unless it came with the payment. The outbox says that it succeeded, to many; this, to one.';

CREATE OR REPLACE FUNCTION public.requeue_gateway_events(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform requeue_parked_events(p_attempt);
    update gateway_events
    set status = 'received', reason = null, tries = 0, next_try_at = clock_now()
    where payment_attempt_id = p_attempt.id and status in ('applied', 'ignored')
        and notice ->> 'outcome' = 'authorized'
        and notice ->> 'gateway_payment_id' <> p_attempt.gateway_payment_id;
end;
$function$;
comment on function requeue_gateway_events(payment_attempts) is 'Messages that overtook the one about their payment were nobody''s until now: they are tried again. So are those that another payment is held on the same page, which might have been the one that is captured.';

CREATE OR REPLACE FUNCTION public.requeue_parked_events(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid;
begin
    -- Whoever parks one at this moment has it here in a moment, or waits and finds the capture.
    perform pg_advisory_xact_lock(
        gateway_payment_key(p_attempt.gateway, p_attempt.livemode, p_attempt.gateway_payment_id)
    );
    for v_id in
        select id
        from gateway_events
        where gateway = p_attempt.gateway and gateway_account = p_attempt.gateway_account
            and livemode = p_attempt.livemode
            and notice ->> 'gateway_payment_id' = p_attempt.gateway_payment_id
            and status = 'parked' and payment_attempt_id is null
        for update skip locked
    loop
        update gateway_events
        set status = 'received', reason = null, tries = 0, next_try_at = clock_now()
        where id = v_id;
        update exceptions set resolved_at = clock_now()
        where object_type = 'gateway_event' and object_id = v_id and resolved_at is null;
    end loop;
end;
$function$;
comment on function requeue_parked_events(payment_attempts) is 'Messages about a payment that could not be applied to anything are tried again: they had overtaken the one about their payment, or spoke of money that was spoken for.';

CREATE OR REPLACE FUNCTION public.require_access(p_session json, p_organization_id uuid, p_livemode boolean, p_customer_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function require_access(json,uuid,boolean,uuid) is 'Refuses an object that is not the session''s: a customer''s own, or the organisation''s for its staff. What is somebody else''s looks as if it did not exist.';

CREATE OR REPLACE FUNCTION public.require_actor_role(p_session json, p_roles text[])
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_role text := coalesce(p_session ->> 'x-hasura-actor-role', 'service');
begin
    perform require_service(p_session);
    if v_role <> all(p_roles) then
        raise exception 'forbidden: role % may not do this', v_role
            using errcode = '22B03';
    end if;
end;
$function$;
comment on function require_actor_role(json,text[]) is 'The service acts in one of these roles; in its own when it names none.';

CREATE OR REPLACE FUNCTION public.require_attempt_left(p_page payment_pages)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if (
        select count(*) from payment_attempts
        where payment_intent_id = p_page.payment_intent_id and not is_in_suspense
    ) >= p_page.attempts_max then
        raise exception 'attempts-exhausted: % attempts are all that this page allows',
            p_page.attempts_max
            using errcode = '22B26';
    end if;
    if exists (
        select from payment_attempts
        where payment_intent_id = p_page.payment_intent_id and is_tried_out(payment_attempts)
    ) then
        raise exception 'attempts-exhausted: too many tries of this payment were declined'
            using errcode = '22B26';
    end if;
end;
$function$;
comment on function require_attempt_left(payment_pages) is 'Refuses one more attempt than the page of an order allows, whoever wants to begin it, and any after too many declines on gateways'' pages. The intent is locked.';

CREATE OR REPLACE FUNCTION public.require_capture(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_attempt.status <> 'captured' then
        raise exception 'payment attempt % is %: its capture has not been heard of yet',
            p_attempt.id, p_attempt.status
            using errcode = 'assert_failure';
    end if;
end;
$function$;
comment on function require_capture(payment_attempts) is 'Puts a message off that overtook the one about its payment: the inbox tries it again.';

CREATE OR REPLACE FUNCTION public.require_named_tenant(p_session json)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_session ->> 'x-hasura-organization-id' is null
        and (select count(*) from organizations) > 1
    then
        raise exception 'forbidden: x-hasura-organization-id must say for which organisation'
            using errcode = '22B03';
    end if;
end;
$function$;
comment on function require_named_tenant(json) is 'Money leaves an organisation only at the word of somebody who names it; where there is one only, it is meant.';

CREATE OR REPLACE FUNCTION public.require_no_refund_waits(p_receipt bank_transfers)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_transfer bank_transfers;
begin
    select bank_transfers.* into v_transfer
    from bank_transfer_uses
    inner join refunds on refunds.payment_attempt_id = bank_transfer_uses.payment_attempt_id
    inner join bank_transfers on bank_transfers.refund_id = refunds.id
    where bank_transfer_uses.bank_transfer_id = p_receipt.id
        and bank_transfers.status = 'entered'
    limit 1;
    if v_transfer.id is not null then
        raise exception 'payment-in-progress: decide first on % %, which refunds it',
            v_transfer.rail, v_transfer.reference
            using errcode = '22B10';
    end if;
end;
$function$;
comment on function require_no_refund_waits(bank_transfers) is 'Refuses to take a receipt back while somebody has entered that a refund of it was paid: once that is decided, it is known what is left to give back, and what is lost. One that is entered at this moment is booked later: see book_canceled_refund.';

CREATE OR REPLACE FUNCTION public.require_nobodys(p_event gateway_events)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform pg_advisory_xact_lock_shared(
        gateway_payment_key(
            p_event.gateway, p_event.livemode, p_event.notice ->> 'gateway_payment_id'
        )
    )
    where p_event.notice ->> 'gateway_payment_id' is not null;
    if (attempt_of_notice(p_event)).id is not null then
        raise exception 'its payment has become known while it was looked for'
            using errcode = 'assert_failure';
    end if;
end;
$function$;
comment on function require_nobodys(gateway_events) is 'Waits for whoever captures the payment of a message at this moment, and puts the message off where there is one: the inbox tries it again. Whoever captures it later finds the message.';

CREATE OR REPLACE FUNCTION public.require_open_page(p_page payment_pages)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_page.expires_at <= clock_now() then
        raise exception 'checkout-expired: this page is over since %', p_page.expires_at
            using errcode = '22B25';
    end if;
    perform require_attempt_left(p_page);
end;
$function$;
comment on function require_open_page(payment_pages) is 'Refuses a page that takes no new attempt. The intent is locked.';

CREATE OR REPLACE FUNCTION public.require_other_person(p_maker text, p_checker text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_checker = p_maker then
        raise exception 'second-person-needed: whoever entered this cannot decide it'
            using errcode = '22B27';
    end if;
end;
$function$;
comment on function require_other_person(text,text) is 'Refuses to let one person do what takes two.';

CREATE OR REPLACE FUNCTION public.require_payable_by_hand(p_refund refunds)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_undecided('refund', p_refund.status, 'created')
    where (p_refund.status, p_refund.failure_code)
        is distinct from ('canceled', 'transfer-returned');
end;
$function$;
comment on function require_payable_by_hand(refunds) is 'Refuses a refund that has ended. One that was canceled because its receipt was taken back may have been paid at the bank before anybody knew: that money has left all the same.';

CREATE OR REPLACE FUNCTION public.require_read_committed()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'money functions run under read committed, not %',
            current_setting('transaction_isolation')
            using errcode = 'assert_failure';
    end if;
end;
$function$;
comment on function require_read_committed() is 'Lock-then-read is right under read committed only; under a frozen snapshot it is silently wrong.';

CREATE OR REPLACE FUNCTION public.require_same_amount(p_transfer bank_transfers, p_amount bigint, p_currency text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if (p_transfer.amount, p_transfer.currency) is distinct from (p_amount, p_currency) then
        raise exception 'amount-out-of-range: % % is not the % % that it is about',
            p_transfer.amount, p_transfer.currency, p_amount, p_currency
            using errcode = '22B07';
    end if;
end;
$function$;
comment on function require_same_amount(bank_transfers,bigint,text) is 'Refuses a transfer of another amount than it is about.';

CREATE OR REPLACE FUNCTION public.require_second_person(p_organization_id uuid, p_maker text, p_checker text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform require_other_person(p_maker, p_checker);
    if not is_member(p_organization_id, p_maker, array['finance', 'owner']) then
        raise exception 'second-person-needed: whoever entered this has not that role any more'
            using errcode = '22B27';
    end if;
end;
$function$;
comment on function require_second_person(uuid,text,text) is 'Refuses to let one person approve what takes two, both of them with the role at this moment.';

CREATE OR REPLACE FUNCTION public.require_service(p_session json)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if coalesce(p_session ->> 'x-hasura-role', '') not in ('service', 'admin') then
        raise exception 'forbidden: role % may not do this', p_session ->> 'x-hasura-role'
            using errcode = '22B03';
    end if;
end;
$function$;
comment on function require_service(json) is 'Money functions are for the service, and for an administrator''s console; whatever metadata says.';

CREATE OR REPLACE FUNCTION public.require_undecided(p_noun text, p_status text, p_wanted text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_status <> p_wanted then
        raise exception 'transfer-decided: this % is % already', p_noun, p_status
            using errcode = '22B28';
    end if;
end;
$function$;
comment on function require_undecided(text,text,text) is 'Refuses to decide what was decided otherwise.';

CREATE OR REPLACE FUNCTION public.reserve_refund(p_session json, p_attempt payment_attempts, p_refund refunds, p_amount bigint)
 RETURNS refunds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund constant refunds := write_allowed_refund(p_session, p_attempt, p_refund, p_amount);
begin
    perform post_ledger_transactions(
        v_refund.organization_id, v_refund.livemode,
        refund_movements(v_refund, 'refund_reserve', v_refund.created_at)
    );
    return v_refund;
end;
$function$;
comment on function reserve_refund(json,payment_attempts,refunds,bigint) is 'The second half of open_refund: the attempt is locked.';

CREATE OR REPLACE FUNCTION public.resolve_autopay_exceptions(p_charge autopay_charges)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    if p_charge.tries > 1 or p_charge.reason is not null then
        perform resolve_exception(class, 'autopay_charge', p_charge.id)
        from unnest(array['autopay-missed', 'autopay-skipped', 'autopay-refused']) as class;
    end if;
end;
$function$;
comment on function resolve_autopay_exceptions(autopay_charges) is 'What a person was told of a month is settled: of one that was tried again, or has a reason not to be.';

CREATE OR REPLACE FUNCTION public.resolve_exception(p_class text, p_object_type text, p_object_id uuid)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 UPDATE exceptions SET resolved_at = clock_now()
   WHERE ((exceptions.class = resolve_exception.p_class) AND (exceptions.object_type = resolve_exception.p_object_type) AND (exceptions.object_id = resolve_exception.p_object_id) AND (exceptions.resolved_at IS NULL));
END;
comment on function resolve_exception(text,text,uuid) is 'Takes an object off the list: it was settled after all.';

CREATE OR REPLACE FUNCTION public.resolve_exception_by_hand(hasura_session json, p_exception_id uuid, p_reason text, p_key text)
 RETURNS SETOF exceptions
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_exception exceptions := lock_exception(hasura_session, p_exception_id);
begin
    perform require_read_committed();
    if not note_exception_decision(hasura_session, v_exception, 'resolved', p_reason, p_key) then
        return next v_exception;
        return;
    end if;
    if v_exception.resolved_at is not null then
        raise exception 'exception-resolved: % at %', coalesce(
            'resolved by ' || v_exception.resolved_by, 'settled by itself'
        ), v_exception.resolved_at
            using errcode = '22B30';
    end if;
    if settles_itself(v_exception) then
        raise exception 'exception-stands: % is off the list as soon as it is not so any more',
            v_exception.class
            using errcode = '22B31';
    end if;
    return query
    update exceptions
    set
        resolved_at = clock_now(),
        resolved_by = hasura_session ->> 'x-hasura-user-id',
        resolution = p_reason
    where id = p_exception_id
    returning *;
end;
$function$;
comment on function resolve_exception_by_hand(json,uuid,text,text) is 'Takes an exception off the list by a person''s word. It moves no money and changes no other row. The same key again: nothing more, whatever was said since then.';
grant execute on function resolve_exception_by_hand(json,uuid,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.rest_of_order_postings(p_payment_attempt_id uuid)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_order orders;
    v_attempt payment_attempts;
begin
    select * into strict v_attempt from payment_attempts where id = p_payment_attempt_id;
    select * into v_order from orders where payment_intent_id = v_attempt.payment_intent_id;
    if v_attempt.is_surplus or not is_called_off(v_order) then
        return '{}';
    end if;
    return order_refund_postings(v_order, v_attempt, null);
end;
$function$;
comment on function rest_of_order_postings(uuid) is 'Money that had left when its order was called off has come back, by a refund that failed or a dispute that was won: it goes back to the payer after all. The intent and the attempt are locked.';

CREATE OR REPLACE FUNCTION public.rest_postings(p_payment_attempt_id uuid, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    select * into strict v_attempt from payment_attempts where id = p_payment_attempt_id;
    if not exists (
        select from refunds
        where payment_attempt_id = v_attempt.id and requested_by = 'system' and status = 'failed'
    ) then
        return '{}';
    end if;
    return case
        when not v_attempt.is_surplus then rest_of_order_postings(v_attempt.id)
        when v_attempt.is_in_suspense then '{}'
        else surplus_refund_postings(v_attempt, p_occurred_at)
    end;
end;
$function$;
comment on function rest_postings(uuid,timestamp with time zone) is 'The gateway had refused what the system sent back, and now it shows why: somebody had sent a part back there. The rest goes back after all. The intent and the attempt are locked.';

CREATE OR REPLACE FUNCTION public.resume_autopay(hasura_session json, p_autopay_mandate_id uuid)
 RETURNS SETOF autopay_mandates
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function resume_autopay(json,uuid) is 'Charges again from the next due date on; months that passed are not made up for.';
grant execute on function resume_autopay(json,uuid) to munim_hasura;

CREATE OR REPLACE FUNCTION public.retry_autopay_charge(p_charge autopay_charges, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_days smallint[];
    v_next timestamptz;
begin
    select retry_days into strict v_days
    from autopay_settings where organization_id = p_charge.organization_id;
    select local_moment(
        (clock_now() at time zone timezone)::date
        + v_days[p_charge.tries] - coalesce(v_days[p_charge.tries - 1], 0),
        local_time, timezone
    ) into strict v_next
    from autopay_mandates where id = p_charge.autopay_mandate_id;

    update autopay_charges
    set
        status = case when v_next is null then 'failed' else 'due' end,
        reason = p_reason, next_try_at = v_next, lease_until = null
    where id = p_charge.id
    returning * into strict p_charge;
    perform tell_of_autopay_charge(p_charge, 'autopay.failed');
end;
$function$;
comment on function retry_autopay_charge(autopay_charges,text) is 'A try failed: the next one is dated, in local days after the first; or it was the last. The event says which by its next_try_at.';

CREATE OR REPLACE FUNCTION public.return_credits(hasura_session json, p_credit_spend_id uuid, p_amount numeric, p_key text, p_reason text)
 RETURNS SETOF credit_returns
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_principal constant text := acting_principal(hasura_session);
    v_spend credit_spends;
    v_return credit_returns;
begin
    perform require_actor_role(
        hasura_session, array['service', 'owner', 'dispatcher', 'finance']
    );
    perform require_read_committed();
    select * into v_spend
    from credit_spends
    where id = p_credit_spend_id
        and organization_id::text = hasura_session ->> 'x-hasura-organization-id'
        and livemode::text = hasura_session ->> 'x-hasura-livemode';
    if v_spend.id is null then
        raise exception 'not-found: no spend % of this organisation', p_credit_spend_id
            using errcode = '22B04';
    end if;
    perform from customers where id = v_spend.customer_id for no key update;
    perform from credit_spends where id = v_spend.id for no key update;

    select * into v_return
    from credit_returns
    where credit_spend_id = v_spend.id and idempotency_key = p_key and requested_by = v_principal;
    if v_return.id is null then
        perform write_credit_return(v_spend, p_amount, p_key, v_principal, p_reason);
    elsif (coalesce(p_amount, v_return.credits_amount), p_reason)
        is distinct from (v_return.credits_amount, v_return.reason)
    then
        raise exception 'idempotency-key-reused: the key belongs to a return with other content'
            using errcode = '22B08';
    end if;
    return query
    select * from credit_returns
    where credit_spend_id = v_spend.id and idempotency_key = p_key and requested_by = v_principal;
end;
$function$;
comment on function return_credits(json,uuid,numeric,text,text) is 'Takes a spend back, whole (no amount) or in part, once per key of whoever asks: the credits go to the lots they came from, with the day on which those expire.';
grant execute on function return_credits(json,uuid,numeric,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.return_purchase_credits_posting(p_refund_id uuid, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_recall credit_recalls := open_credit_recall(p_refund_id);
begin
    if v_recall.status in ('held', 'released') then
        raise exception 'the credits of refund % were never taken', p_refund_id
            using errcode = 'assert_failure';
    end if;
    if v_recall.status = 'taken' then
        perform give_back_recall(v_recall, 'returned');
    end if;
    return recall_posting(v_recall, 'credits_recall_undone', v_recall.credits_amount, p_occurred_at);
end;
$function$;
comment on function return_purchase_credits_posting(uuid,timestamp with time zone) is 'The refund failed after it had succeeded: its credits come back to their lot, and to the wallet by this posting. Null when there was none.';

CREATE OR REPLACE FUNCTION public.returnable_credits(p_credit_spend_id uuid)
 RETURNS SETOF credit_spend_lots
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return query
    select credit_spend_lots.*
    from credit_spend_lots
    inner join credit_lots on credit_lots.id = credit_spend_lots.credit_lot_id
    where credit_spend_lots.credit_spend_id = p_credit_spend_id
        and credit_spend_lots.credits_returned < credit_spend_lots.credits_amount
        and not exists (
            select from credit_recalls
            where credit_recalls.credit_lot_id = credit_spend_lots.credit_lot_id
                and credit_recalls.status in ('held', 'taken') and credit_recalls.lost_amount > 0
        )
        -- Of a refund that was given up and made after all the credits were free again.
        and not exists (
            select from credit_recalls
            inner join refunds on refunds.id = credit_recalls.refund_id
            where credit_recalls.credit_lot_id = credit_spend_lots.credit_lot_id
                and refunds.is_late and refunds.status not in ('failed', 'canceled')
        )
    order by credit_lots.expires_at desc nulls first, credit_lots.id desc;
end;
$function$;
comment on function returnable_credits(uuid) is 'What of a spend may come back, what stays longest first. Not what was paid back in money although it was used, or could be: it would be given twice.';

CREATE OR REPLACE FUNCTION public.reusable_attempt(p_intent payment_intents, p_gateway text)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id and not is_surplus
        and status in ('created', 'unknown', 'pending', 'processing', 'authorized', 'captured');
    if v_attempt.id is not null and v_attempt.status <> 'captured'
        and v_attempt.gateway <> coalesce(p_gateway, v_attempt.gateway)
    then
        raise exception 'payment-in-progress: % may still take this payment', v_attempt.gateway
            using errcode = '22B10';
    end if;
    return v_attempt.id;
end;
$function$;
comment on function reusable_attempt(payment_intents,text) is 'The attempt that goes on, or that has paid; null when a new one is due. Refuses another gateway while one may still take the money.';

CREATE OR REPLACE FUNCTION public.reverse_ledger_transaction(p_id uuid, p_key text, p_kind text, p_reference_type text, p_reference_id uuid, p_occurred_at timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_reversed ledger_transactions;
    v_before ledger_transactions;
    v_id uuid;
begin
    select * into strict v_reversed from ledger_transactions where id = p_id for no key update;
    select ledger_transactions.* into v_before
    from ledger_reversals
    inner join ledger_transactions
        on ledger_transactions.id = ledger_reversals.ledger_transaction_id
    where ledger_reversals.reverses_id = p_id;
    if v_before.key <> p_key then
        raise exception 'ledger-transaction-reversed: % has been taken back before', p_id
            using errcode = '22B09';
    elsif v_before.id is not null then
        return v_before.id;
    end if;

    if not exists (
        select from ledger_transactions
        where key = p_key and organization_id = v_reversed.organization_id
            and livemode = v_reversed.livemode
    ) then
        v_id := post_ledger_transaction(
            v_reversed.organization_id, v_reversed.livemode, p_key, p_kind, p_reference_type,
            p_reference_id, p_occurred_at, v_reversed.credit_account_id,
            v_reversed.debit_account_id, v_reversed.amount
        );
        insert into ledger_reversals (ledger_transaction_id, organization_id, livemode, reverses_id)
        select id, organization_id, livemode, p_id
        from ledger_transactions
        where id = v_id and written_in = (pg_current_xact_id()::text)::bigint;
    end if;
    if v_id is null or not found then
        raise exception 'ledger-key-reused: % is booked, but takes nothing back', p_key
            using errcode = '22B02';
    end if;
    return v_id;
end;
$function$;
comment on function reverse_ledger_transaction(uuid,text,text,text,uuid,timestamp with time zone) is 'Books the opposite of a transaction, once per transaction and the same again for the same key.';

CREATE OR REPLACE FUNCTION public.save_payment_method(p_mandate autopay_mandates, p_event gateway_events)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function save_payment_method(autopay_mandates,gateway_events) is 'Keeps what a customer saved at a gateway, and who they are there. The customer is locked.';

CREATE OR REPLACE FUNCTION public.seal_ledger_block(hasura_session json, p_limit integer DEFAULT 10000)
 RETURNS SETOF ledger_blocks
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
declare
    v_last ledger_blocks;
    v_horizon bigint := (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint;
    v_is_from_here boolean;
    v_from bigint;
    v_ids uuid[];
    v_hashes bytea[];
    v_previous bytea;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform pg_advisory_xact_lock(hashtextextended('ledger_blocks', 0));  -- one sealer at a time

    select * into v_last from ledger_blocks order by number desc limit 1;
    select ledger_blocks.xmin::text::bigint = v_last.sealed_in & 4294967295 into v_is_from_here
    from ledger_blocks
    where ledger_blocks.number = v_last.number;
    v_previous := coalesce(v_last.hash, decode(repeat('00', 32), 'hex'));
    -- All below the last block's horizon had ended then, so nothing unsealed is older. A database
    -- restored elsewhere counts from the beginning again: then the whole ledger is looked through.
    v_from := case
        when v_is_from_here and v_last.horizon <= v_horizon then v_last.horizon
        else 0
    end;

    select array_agg(to_seal.id), array_agg(to_seal.hash) into v_ids, v_hashes
    from (
        select
            ledger_transactions.id,
            ledger_transaction_hash(ledger_transactions) as hash
        from ledger_transactions
        where ledger_transactions.written_in >= coalesce(v_from, 0)
            and not exists (
                select from ledger_seals
                where ledger_seals.ledger_transaction_id = ledger_transactions.id
            )
        order by ledger_transactions.written_in, ledger_transactions.id
        limit p_limit
    ) as to_seal;

    if v_ids is null then
        return;
    end if;

    return query
    insert into ledger_blocks (number, transactions, previous_hash, hash, horizon)
    values (
        coalesce(v_last.number, 0) + 1, cardinality(v_ids), v_previous,
        sha256(v_previous || (select string_agg(hash, '' order by position)
            from unnest(v_hashes) with ordinality as sealed (hash, position))),
        -- A block that was cut short leaves the rest to the next one.
        case when cardinality(v_ids) < p_limit then v_horizon else coalesce(v_from, 0) end
    )
    returning *;

    insert into ledger_seals (ledger_transaction_id, ledger_block_number, position, hash)
    select sealed.id, coalesce(v_last.number, 0) + 1, sealed.position, sealed.hash
    from unnest(v_ids, v_hashes) with ordinality as sealed (id, hash, position);
end;
$function$;
comment on function seal_ledger_block(json,integer) is 'Seals what has been posted since the last block; no row when there is nothing. Postings go on meanwhile: what commits later is sealed by the next block.';
grant execute on function seal_ledger_block(json,integer) to munim_hasura;

CREATE OR REPLACE FUNCTION public.search_hinted_refund(p_event gateway_events, p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund constant refunds := refund_of_notice(p_event);
begin
    if v_refund.id is not null or p_event.notice ->> 'failure_code' is not null then
        return false;
    end if;
    return search_refunds(p_attempt);
end;
$function$;
comment on function search_hinted_refund(gateway_events,payment_attempts) is 'Looks for a refund that is none of ours and that nobody vouches for; false where its payment is not captured, the refund is known, or it came to nothing.';

CREATE OR REPLACE FUNCTION public.search_refunds(p_attempt payment_attempts)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function search_refunds(payment_attempts) is 'Has check_refunds ask for all refunds of a captured payment, at its next tick or five minutes after it last did; false where there is nobody to ask.';

CREATE OR REPLACE FUNCTION public.set_credit_rate(hasura_session json, p_currency text, p_rate numeric, p_valid_from timestamp with time zone)
 RETURNS SETOF credit_rates
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_organization organizations;
    v_rate credit_rates;
begin
    perform require_actor_role(hasura_session, array['owner', 'finance']);
    perform require_read_committed();
    select * into v_organization
    from organizations
    where id::text = hasura_session ->> 'x-hasura-organization-id'
    for no key update;
    if v_organization.id is null then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if p_rate is null or not p_rate between 0.000001 and 999999999999
        or p_rate <> trunc(p_rate, 6) or p_valid_from < clock_now()
        or not exists (select from currencies where code = p_currency and code <> 'XCR')
    then
        raise exception 'setting-invalid: no rate % for % from % on', p_rate, p_currency, p_valid_from
            using errcode = '22B05';
    end if;

    select * into v_rate
    from credit_rates
    where organization_id = v_organization.id and currency = p_currency
        and valid_from <= coalesce(p_valid_from, clock_now())
    order by valid_from desc, id desc
    limit 1;
    if v_rate.rate is distinct from p_rate then
        insert into credit_rates (organization_id, currency, rate, valid_from, created_by)
        values (
            v_organization.id, p_currency, p_rate, coalesce(p_valid_from, clock_now()),
            coalesce(hasura_session ->> 'x-hasura-user-id', hasura_session ->> 'x-hasura-role')
        )
        returning * into v_rate;
    end if;
    return next v_rate;
end;
$function$;
comment on function set_credit_rate(json,text,numeric,timestamp with time zone) is 'Sets a rate from now or from a later time on. Answers the row that holds then: asked again, the same. Purchases that are open keep theirs.';
grant execute on function set_credit_rate(json,text,numeric,timestamp with time zone) to munim_hasura;

CREATE OR REPLACE FUNCTION public.set_embedding_origins(hasura_session json, p_origins jsonb)
 RETURNS SETOF embedding_origins
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_livemode constant boolean := (hasura_session ->> 'x-hasura-livemode')::boolean;
    v_origins constant text[] := array(select jsonb_array_elements_text(p_origins));
    v_organization organizations;
    v_wrong text := (
        select origin from unnest(v_origins) as origin where not may_embed(origin, v_livemode)
        limit 1
    );
begin
    perform require_actor_role(hasura_session, array['owner']);
    perform require_read_committed();
    select * into v_organization
    from organizations
    where id::text = hasura_session ->> 'x-hasura-organization-id'
    for no key update;
    if v_organization.id is null then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if v_wrong is not null or cardinality(v_origins) > 20 then
        raise exception 'invalid-input: % is not the origin of a site, such as https://shop.example',
            coalesce(left(v_wrong, 100), 'a list of more than twenty')
            using errcode = '22B20';
    end if;

    delete from embedding_origins
    where organization_id = v_organization.id and livemode = v_livemode
        and origin <> all(v_origins);
    insert into embedding_origins (organization_id, livemode, origin, created_by)
    select distinct v_organization.id, v_livemode, origin, hasura_session ->> 'x-hasura-user-id'
    from unnest(v_origins) as origin
    on conflict (origin, organization_id, livemode) do nothing;
    return query
    select * from embedding_origins
    where organization_id = v_organization.id and livemode = v_livemode
    order by origin;
end;
$function$;
comment on function set_embedding_origins(json,jsonb) is 'Says which sites may frame the organisation''s payment pages: these and no others. Twice is once.';
grant execute on function set_embedding_origins(json,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.set_organization_member(hasura_session json, p_user_id text, p_role text, p_status text)
 RETURNS SETOF organization_members
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_by text := acting_principal(hasura_session);
    v_organization_id uuid := (hasura_session ->> 'x-hasura-organization-id')::uuid;
begin
    perform require_actor_role(hasura_session, array['service', 'operator', 'owner']);
    perform require_read_committed();
    -- Both in one order: two owners who suspend each other would wait for ever.
    perform from organization_members
    where user_id in (p_user_id, hasura_session ->> 'x-hasura-user-id')
        and organization_id = v_organization_id
    order by user_id
    for no key update;
    if hasura_session ->> 'x-hasura-actor-role' = 'owner' then
        perform acting_member(hasura_session, array['owner']);
    end if;
    if v_organization_id is null
        or not exists (select from organizations where id = v_organization_id)
    then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if v_by = 'user:' || p_user_id then
        raise exception 'second-person-needed: nobody gives a role to themselves, or takes it'
            using errcode = '22B27';
    end if;

    return query
    insert into organization_members as known (user_id, organization_id, role, status, set_by)
    values (p_user_id, v_organization_id, p_role, p_status, v_by)
    on conflict (user_id, organization_id) do update
    set role = excluded.role, status = excluded.status, set_by = excluded.set_by
    returning known.*;
end;
$function$;
comment on function set_organization_member(json,text,text,text) is 'Gives somebody their role in an organisation, or suspends them. An owner does, or the platform; never for themselves.';
grant execute on function set_organization_member(json,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.set_refund_policy(hasura_session json, p_purpose text, p_currency text, p_window_days integer, p_share_max integer, p_fee_amount bigint, p_fee_share integer, p_roles jsonb, p_valid_from timestamp with time zone)
 RETURNS SETOF refund_policies
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_organization organizations;
    v_policy refund_policies;
    v_asked refund_policies;
begin
    perform require_actor_role(hasura_session, array['owner', 'finance']);
    perform require_read_committed();
    select * into v_organization
    from organizations
    where id::text = hasura_session ->> 'x-hasura-organization-id'
    for no key update;
    if v_organization.id is null then
        raise exception 'not-found: the session names no organisation' using errcode = '22B04';
    end if;
    if p_valid_from < clock_now() or p_currency = 'XCR' then
        raise exception 'setting-invalid: no policy for % from % on', p_currency, p_valid_from
            using errcode = '22B05';
    end if;

    v_policy := refund_policy(
        v_organization.id, p_purpose, p_currency, coalesce(p_valid_from, clock_now())
    );
    v_asked := v_policy;
    v_asked.window_days := p_window_days;
    v_asked.share_max := coalesce(p_share_max, 10000);
    v_asked.fee_amount := coalesce(p_fee_amount, 0);
    v_asked.fee_share := coalesce(p_fee_share, 0);
    v_asked.roles := coalesce(
        (select array_agg(role order by role) from jsonb_array_elements_text(p_roles) as role),
        '{finance,owner,service}'
    );
    if v_policy.id is null or v_asked is distinct from v_policy then
        v_policy := write_refund_policy(
            v_organization.id, p_purpose, p_currency, v_asked, p_valid_from,
            coalesce(hasura_session ->> 'x-hasura-user-id', hasura_session ->> 'x-hasura-role')
        );
    end if;
    return next v_policy;
end;
$function$;
comment on function set_refund_policy(json,text,text,integer,integer,bigint,integer,jsonb,timestamp with time zone) is 'Sets a policy from now or from a later time on. Answers the row that holds then: asked again, the same.';
grant execute on function set_refund_policy(json,text,text,integer,integer,bigint,integer,jsonb,timestamp with time zone) to munim_hasura;

CREATE OR REPLACE FUNCTION public.settle_autopay_setup(p_mandate autopay_mandates, p_event gateway_events)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function settle_autopay_setup(autopay_mandates,gateway_events) is 'Takes the step that a finding about a setup calls for. Answers why nothing was to be done, or null.';

CREATE OR REPLACE FUNCTION public.settle_dispute(p_event gateway_events, p_attempt payment_attempts, p_dispute disputes)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_dispute disputes := p_dispute;
    v_outcome text := p_event.notice ->> 'outcome';
    v_postings ledger_posting[] := '{}';
    v_is_step boolean;
begin
    -- The lot before any account: who opens one lets nobody else open any until commit.
    perform open_credit_recall(p_dispute.id) where p_dispute.id is not null;
    -- Whatever is heard of first, it was opened before: the books go through the same steps.
    if v_dispute.id is null then
        v_dispute := open_dispute(p_event, p_attempt);
        v_postings := v_postings || dispute_movements(v_dispute, 'dispute', p_event.occurred_at);
    end if;
    v_dispute := keep_dispute_facts(v_dispute, p_event);
    if v_dispute.fee_amount is not null and p_dispute.fee_amount is null then
        v_postings := v_postings || dispute_movements(v_dispute, 'dispute_fee', p_event.occurred_at);
    end if;

    v_is_step := exists (
        select from dispute_steps where before = v_dispute.status and after = v_outcome
    );
    if v_is_step then
        v_dispute := move_dispute(v_dispute, p_attempt, v_outcome, p_event.occurred_at);
        v_postings := v_postings || dispute_end_postings(v_dispute, p_event.occurred_at);
        if v_outcome = 'won' then
            v_postings := v_postings || rest_of_order_postings(p_attempt.id);
        end if;
    elsif p_dispute.id is not null and to_jsonb(v_dispute) = to_jsonb(p_dispute) then
        return format('the dispute is %s already', v_dispute.status);
    end if;

    -- However many facts one message tells of, one call books them and takes all locks in order.
    perform post_ledger_transactions(v_dispute.organization_id, v_dispute.livemode, v_postings);
    return null;
end;
$function$;
comment on function settle_dispute(gateway_events,payment_attempts,disputes) is 'The one way from what a gateway says of a dispute to what we book. Answers why nothing was to be done, or null. The intent, the attempt and the dispute are locked.';

CREATE OR REPLACE FUNCTION public.settle_due_bank_transfer(hasura_session json)
 RETURNS SETOF bank_transfers
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_transfer bank_transfers;
    v_intent_id uuid;
begin
    perform require_service(hasura_session);
    perform require_read_committed();

    select payment_intents.id into v_intent_id
    from bank_transfers
    inner join payment_intents on payment_intents.id = bank_transfers.payment_intent_id
    where bank_transfers.status = 'approved' and bank_transfers.kind = 'receipt'
        and bank_transfers.amount_used < bank_transfers.amount
        and bank_transfers.match_checked_by is not null
        and payment_intents.status in ('paid', 'canceled')
        and bank_transfers.livemode::text = hasura_session ->> 'x-hasura-livemode'
    order by bank_transfers.checked_at
    limit 1
    for no key update of payment_intents skip locked;

    select * into v_transfer
    from bank_transfers
    where payment_intent_id = v_intent_id and status = 'approved'
        and match_checked_by is not null and amount_used < amount
    order by checked_at, id
    limit 1
    for no key update;
    if v_transfer.id is not null then
        perform ready_ledger_accounts(v_transfer);
        perform use_receipts(v_intent_id);
    end if;
    return query select * from bank_transfers where id = v_transfer.id;
end;
$function$;
comment on function settle_due_bank_transfer(json) is 'The sweep: money that was held for a payment which was paid otherwise meanwhile, or called off, becomes surplus and goes back. One payment a call; no row when there is none.';
grant execute on function settle_due_bank_transfer(json) to munim_hasura;

CREATE OR REPLACE FUNCTION public.settle_event_messages(hasura_session json, p_destination text, p_results jsonb)
 RETURNS SETOF event_publications
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[] := array(
        select event_id from jsonb_to_recordset(p_results) as results (event_id uuid)
    );
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform from event_publications
    where destination = p_destination and event_id = any(v_ids)
    order by event_id
    for no key update;
    perform from events where id = any(v_ids) order by id for no key update;
    perform write_publication_results(p_destination, p_results);
    perform list_parked_events(p_destination, v_ids);
    perform resolve_exception('event-not-published', 'event', event_id)
    from unnest(v_ids) as given (event_id)
    where not exists (
        select from event_publications
        where event_publications.event_id = given.event_id
            and event_publications.status = 'parked'
    );
    return query
    select * from event_publications where destination = p_destination and event_id = any(v_ids);
end;
$function$;
comment on function settle_event_messages(json,text,jsonb) is 'Keeps how a destination took events. published: it said so; refused: it will never take this one, which is believed the third time; anything else is tried again by itself.';
grant execute on function settle_event_messages(json,text,jsonb) to munim_hasura;

CREATE OR REPLACE FUNCTION public.settle_payment_attempt(p_attempt payment_attempts, p_finding jsonb, p_occurred_at timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_status constant text := attempt_status(p_attempt, p_finding);
    v_reason constant text := reason_not_to_settle(p_attempt, v_status);
begin
    if is_news_of_decline(p_attempt, p_finding, p_occurred_at) then
        update payment_attempts
        set
            failure_code = p_finding ->> 'failure_code',
            failure_message = p_finding ->> 'failure_message',
            decline_class = p_finding ->> 'decline_class',
            declined_at = declined_at_by(p_finding, p_occurred_at)
        where id = p_attempt.id;
        return null;
    end if;
    if v_reason is not null then
        return v_reason;
    end if;

    if v_status = 'captured' then
        perform capture_payment_attempt(
            p_attempt, p_finding ->> 'gateway_payment_id',
            amount_captured_by(p_attempt, p_finding), p_occurred_at,
            p_finding ->> 'receipt_url'
        );
    else
        perform move_payment_attempt(p_attempt, v_status, p_finding, p_occurred_at);
    end if;
    perform advance_autopay_charge(p_attempt.id)
    from autopay_charges where payment_intent_id = p_attempt.payment_intent_id;

    if v_status in ('captured', 'failed', 'expired', 'canceled') then
        perform resolve_exception('payment-unresolved', 'payment_attempt', p_attempt.id);
        perform resolve_exception('hold-not-released', 'payment_attempt', p_attempt.id)
        where p_attempt.status = 'authorized';
    end if;
    return null;
end;
$function$;
comment on function settle_payment_attempt(payment_attempts,jsonb,timestamp with time zone) is 'The one way from what a gateway says to what we book: takes the step that a finding calls for. Answers why nothing was to be done, or null. The intent and the attempt are locked.';

CREATE OR REPLACE FUNCTION public.settle_refund(p_refund refunds, p_finding jsonb, p_occurred_at timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_status text := refund_status(p_refund, p_finding ->> 'outcome');
    v_refund refunds;
    v_postings ledger_posting[];
begin
    if v_status is null then
        return 'the gateway does not know it yet';
    end if;
    -- Failed by the gateway's word is final. Failed because nothing was found is not: the gateway
    -- had never named that refund, and its word weighs more than our waiting.
    if not exists (
        select from refund_steps where before = p_refund.status and after = v_status
    ) or (p_refund.status = 'failed' and p_refund.gateway_refund_id is not null) then
        return format('the refund is %s already', p_refund.status);
    end if;

    v_refund := move_refund(p_refund, v_status, p_finding, p_occurred_at);
    v_postings := refund_postings(p_refund.status, v_refund, p_occurred_at);
    perform report_refund(p_refund.status, v_refund);
    -- Not again after the system's own, which is listed: a gateway that says no would be asked for ever.
    if v_status in ('failed', 'canceled') and v_refund.requested_by <> 'system' then
        v_postings := v_postings || rest_of_order_postings(v_refund.payment_attempt_id);
    elsif p_refund.status = 'created' and v_refund.requested_by = 'gateway' then
        v_postings := v_postings || rest_postings(v_refund.payment_attempt_id, p_occurred_at);
    end if;
    perform post_ledger_transactions(v_refund.organization_id, v_refund.livemode, v_postings);
    -- What somebody had sent back there may have found no money that was free.
    perform requeue_parked_events(payment_attempts)
    from payment_attempts
    where id = v_refund.payment_attempt_id and v_status in ('failed', 'canceled');
    return null;
end;
$function$;
comment on function settle_refund(refunds,jsonb,timestamp with time zone) is 'The one way from what a gateway says of a refund to what we book. Answers why nothing was to be done, or null. The intent, the attempt and the refund are locked.';

CREATE OR REPLACE FUNCTION public.settles_itself(p_exception exceptions)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
BEGIN ATOMIC
 SELECT (((p_exception).class = ANY (ARRAY['bank-transfer-short'::text, 'bank-transfer-unmatched'::text, 'bank-transfer-waiting'::text, 'event-not-published'::text, 'hold-not-released'::text, 'installation-unsafe'::text, 'invariant-broken'::text, 'invariant-not-read'::text, 'payment-unresolved'::text, 'refund-unresolved'::text, 'surplus-payment'::text])) OR (((p_exception).class = 'amount-mismatch'::text) AND ((p_exception).object_type = 'payment_attempt'::text)));
END;
comment on function settles_itself(exceptions) is 'Whether an exception stands for what is still so in the books or the database, and is off the list when it is not: no person''s word would change that. docs/exceptions.md says what would.';

CREATE OR REPLACE FUNCTION public.silent_gateways(p_livemode boolean, p_operation text)
 RETURNS text[]
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(array_agg(gateway_circuits.gateway ORDER BY gateway_circuits.gateway), '{}'::text[]) AS "coalesce"
    FROM gateway_circuits
   WHERE ((gateway_circuits.livemode = silent_gateways.p_livemode) AND (gateway_circuits.operation = silent_gateways.p_operation) AND (gateway_circuits.opened_at IS NOT NULL));
END;
comment on function silent_gateways(boolean,text) is 'The gateways that are left alone at an operation, for who claims work for many; nearly always none.';

CREATE OR REPLACE FUNCTION public.skip_autopay_charge(p_charge autopay_charges, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update autopay_charges
    set
        status = case when p_reason = 'canceled' then 'canceled' else 'skipped' end,
        reason = p_reason, next_try_at = null, lease_until = null
    where id = p_charge.id
    returning * into strict p_charge;

    if p_reason = 'missed' then
        perform list_missed_autopay_charge(p_charge);
    elsif p_reason not in ('canceled', 'paused') then
        perform record_exception(
            p_charge.organization_id, p_charge.livemode, 'autopay-skipped', 'autopay_charge',
            p_charge.id, p_charge.amount, p_charge.currency, p_reason
        );
    end if;
end;
$function$;
comment on function skip_autopay_charge(autopay_charges,text) is 'This month is not charged; unless the customer wished it so, a person hears of it.';

CREATE OR REPLACE FUNCTION public.source_account(p_attempt payment_attempts)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_purpose text;
begin
    if p_attempt.is_surplus then
        return case when p_attempt.is_in_suspense then 'suspense' else 'surplus' end;
    end if;
    select purpose into strict v_purpose
    from payment_intents where id = p_attempt.payment_intent_id;
    case v_purpose
        when 'credit_purchase' then return 'prepaid_credits';
        when 'order' then return 'merchant_balance';
    end case;
end;
$function$;
comment on function source_account(payment_attempts) is 'The liability that a payment''s money has become.';

CREATE OR REPLACE FUNCTION public.spend_credits(hasura_session json, p_customer_id uuid, p_amount numeric, p_key text, p_description text, p_reference text)
 RETURNS SETOF credit_spends
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers := spending_customer(
        hasura_session, p_customer_id, array['service', 'owner', 'dispatcher']
    );
    v_principal constant text := acting_principal(hasura_session);
    v_spend credit_spends;
begin
    select * into v_spend
    from credit_spends
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;

    if v_spend.id is null then
        perform check_credits_amount(p_amount, 1000000000000);
        perform write_credit_spend(
            v_customer, p_amount, p_key, v_principal, p_description, p_reference
        );
    elsif (v_spend.credits_amount, v_spend.description, v_spend.reference)
        is distinct from (p_amount, p_description, p_reference)
    then
        raise exception 'idempotency-key-reused: the key belongs to a spend with other content'
            using errcode = '22B08';
    end if;
    return query
    select * from credit_spends
    where customer_id = v_customer.id and idempotency_key = p_key and requested_by = v_principal;
end;
$function$;
comment on function spend_credits(json,uuid,numeric,text,text,text) is 'A customer uses credits; the shop says so on their behalf. Once per key of whoever asks, never below zero.';
grant execute on function spend_credits(json,uuid,numeric,text,text,text) to munim_hasura;

CREATE OR REPLACE FUNCTION public.spendable_lots(p_customer_id uuid)
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return array(
        select id
        from credit_lots
        where customer_id = p_customer_id and remaining > held
            and (expires_at > clock_now() or expires_at is null)
        order by expires_at asc nulls last, id
        for no key update
    );
end;
$function$;
comment on function spendable_lots(uuid) is 'Locks what a customer can spend, in the order of spending: what expires first is used first.';

CREATE OR REPLACE FUNCTION public.spending_customer(p_session json, p_customer_id uuid, p_roles text[])
 RETURNS customers
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_customer customers;
begin
    perform require_actor_role(p_session, p_roles);
    perform require_read_committed();
    select * into v_customer
    from customers
    where id = p_customer_id
        and organization_id::text = p_session ->> 'x-hasura-organization-id'
        and livemode::text = p_session ->> 'x-hasura-livemode'
        and status = 'active'
    for no key update;

    if v_customer.id is null then
        raise exception 'customer-not-found: no active customer % of this organisation', p_customer_id
            using errcode = '22B01';
    end if;
    return v_customer;
end;
$function$;
comment on function spending_customer(json,uuid,text[]) is 'Locks a customer of the session''s organisation, on whose behalf it acts: of two requests about one customer, the second waits and finds what the first has done.';

CREATE OR REPLACE FUNCTION public.start_autopay_mandate(p_mandate autopay_mandates)
 RETURNS autopay_mandates
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function start_autopay_mandate(autopay_mandates) is 'Lets a mandate run from its next due date on.';

CREATE OR REPLACE FUNCTION public.starts_order_charge(p_organization_id uuid, p_type text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (p_type = ANY (string_to_array(COALESCE(( SELECT replace(system_settings.value, ' '::text, ''::text) AS replace
            FROM system_settings
           WHERE ((system_settings.organization_id = starts_order_charge.p_organization_id) AND (system_settings.key = 'order_charge_events'::text))), 'order.ready_for_payment,inventory.reserved'::text), ','::text)));
END;
comment on function starts_order_charge(uuid,text) is 'Whether a message of this type says: charge it now.';

CREATE OR REPLACE FUNCTION public.stopwatch()
 RETURNS bigint
 LANGUAGE sql
BEGIN ATOMIC
 SELECT ((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint AS int8;
END;
comment on function stopwatch() is 'Milliseconds, by which to say how long something took; never when it was, as no test can move it.';

CREATE OR REPLACE FUNCTION public.surplus_left(p_attempt payment_attempts)
 RETURNS bigint
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT (GREATEST(((((surplus_left.p_attempt).amount_captured - (surplus_left.p_attempt).amount_refunded))::numeric - COALESCE(sum(disputes.covered_amount), (0)::numeric)), (0)::numeric))::bigint AS "greatest"
    FROM disputes
   WHERE ((disputes.payment_attempt_id = (surplus_left.p_attempt).id) AND (disputes.status = 'lost'::text));
END;
comment on function surplus_left(payment_attempts) is 'What is still owed back of a surplus: neither refunded or on its way, nor gone by a lost dispute.';

CREATE OR REPLACE FUNCTION public.surplus_refund_postings(p_attempt payment_attempts, p_occurred_at timestamp with time zone)
 RETURNS ledger_posting[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds;
begin
    v_refund.amount := refundable_amount(p_attempt);
    if v_refund.amount = 0 then
        return '{}';
    end if;
    select concat_ws(':', 'surplus', p_attempt.id, nullif(count(*), 0)) into v_refund.idempotency_key
    from refunds where payment_attempt_id = p_attempt.id and requested_by = 'system';
    v_refund.requested_by := 'system';
    v_refund.type := case
        when v_refund.amount = p_attempt.amount_captured then 'full' else 'partial'
    end;
    v_refund.reason := 'surplus';
    v_refund.fee_amount := 0;
    v_refund := write_refund(p_attempt, v_refund, true);
    return refund_movements(v_refund, 'refund_reserve', p_occurred_at);
end;
$function$;
comment on function surplus_refund_postings(payment_attempts,timestamp with time zone) is 'Money that came though nothing was owed goes back by itself, or what is left of it: its refund, to be booked with the capture, or with what showed that not all had gone.';

CREATE OR REPLACE FUNCTION public.take_credits(p_lot credit_lots, p_credits numeric, p_is_expiry boolean)
 RETURNS credit_part
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_left numeric := p_lot.remaining - p_lot.held - p_credits;
    v_earned bigint := greatest(p_lot.amount_remaining - credit_lot_value(p_lot, v_left), 0);
begin
    update credit_lots
    set
        remaining = remaining - p_credits,
        used = used + case when p_is_expiry then 0 else p_credits end,
        expired = expired + case when p_is_expiry then p_credits else 0 end,
        expiries = expiries + p_is_expiry::integer,
        amount_remaining = amount_remaining - v_earned,
        amount_earned = amount_earned + v_earned
    where id = p_lot.id;
    return (
        p_lot.id, p_lot.credit_purchase_id is not null, p_credits, v_earned, p_lot.currency
    )::credit_part;
end;
$function$;
comment on function take_credits(credit_lots,numeric,boolean) is 'Credits leave a lot that is locked, and earn what it owes less for having fewer: with the last of the credits, the last of the money.';

CREATE OR REPLACE FUNCTION public.take_credits_oldest_first(p_customer customers, p_amount numeric)
 RETURNS credit_part[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_ids uuid[] := spendable_lots(p_customer.id);
    v_lot credit_lots;
    v_left numeric := p_amount;
    v_balance numeric;
    v_parts credit_part[] := '{}';
begin
    select coalesce(sum(remaining - held), 0) into v_balance from credit_lots where id = any(v_ids);
    if v_balance < p_amount then
        raise exception 'insufficient-credits: balance % is below %',
            trim_scale(v_balance), trim_scale(p_amount)
            using errcode = '22B13';
    end if;

    for v_lot in
        select * from credit_lots
        where id = any(v_ids) and remaining > held
        order by expires_at asc nulls last, id
    loop
        exit when v_left = 0;
        v_parts := v_parts
            || take_credits(v_lot, least(v_left, v_lot.remaining - v_lot.held), false);
        v_left := v_left - (v_parts[cardinality(v_parts)]).credits;
    end loop;
    return v_parts;
end;
$function$;
comment on function take_credits_oldest_first(customers,numeric) is 'All of the amount, or a refusal.';

CREATE OR REPLACE FUNCTION public.take_receipt_back(p_transfer bank_transfers)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_receipt bank_transfers;
    v_use bank_transfer_uses;
    v_attempt payment_attempts;
    v_postings ledger_posting[] := '{}';
    v_back bigint;
    v_lost bigint := 0;
begin
    select * into strict v_receipt from bank_transfers where id = p_transfer.returned_id;
    perform require_undecided('receipt', v_receipt.status, 'approved');
    perform require_no_refund_waits(v_receipt);
    update bank_transfers set status = 'returned' where id = v_receipt.id
    returning * into strict v_receipt;
    perform tell_bank_transfer(v_receipt, 'returned');

    if v_receipt.amount_used = 0 then
        perform reverse_ledger_transaction(
            ledger_transactions.id, 'bank-return:' || p_transfer.id, 'bank_return',
            'bank_transfer', p_transfer.id, moment_of_bank_transfer(p_transfer)
        )
        from ledger_transactions
        where key = 'bank-transfer:' || v_receipt.id
            and organization_id = v_receipt.organization_id
            and livemode = v_receipt.livemode;
        perform list_shortage(v_receipt.payment_intent_id);
        return;
    end if;

    for v_use in
        select * from bank_transfer_uses
        where bank_transfer_id = v_receipt.id
        order by payment_attempt_id
    loop
        select * into strict v_attempt
        from payment_attempts where id = v_use.payment_attempt_id for no key update;
        v_postings := v_postings || give_up_refunds(v_attempt);
        v_back := least(v_use.amount, refundable_amount(v_attempt));
        if v_back > 0 then
            v_postings := v_postings || refund_past_us(p_transfer, v_attempt, v_back);
        end if;
        v_lost := v_lost + v_use.amount - v_back;
    end loop;

    v_postings := v_postings || bank_return_postings(
        p_transfer, v_receipt.amount - v_receipt.amount_used, v_lost
    );
    perform post_ledger_transactions(
        p_transfer.organization_id, p_transfer.livemode, array_remove(v_postings, null)
    );
    perform list_shortage(v_receipt.payment_intent_id);
end;
$function$;
comment on function take_receipt_back(bank_transfers) is 'The bank took a receipt back. What it had paid counts as refunded, as a refund that somebody made at a gateway does; what was refunded before is lost. All of it is booked in one call.';

CREATE OR REPLACE FUNCTION public.takes_spent_credits(p_organization_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_value text;
begin
    select value into v_value
    from system_settings
    where organization_id = p_organization_id and key = 'refund_spent_credits';

    if coalesce(v_value, 'refuse') not in ('refuse', 'allow') then
        raise exception 'setting-invalid: system_settings.refund_spent_credits is refuse or allow'
            using errcode = '22B05';
    end if;
    return coalesce(v_value, 'refuse') = 'allow';
end;
$function$;
comment on function takes_spent_credits(uuid) is 'Whether money may go back though its credits are used: system_settings.refund_spent_credits.';

CREATE OR REPLACE FUNCTION public.tell_bank_account(p_account bank_accounts, p_what text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function tell_bank_account(bank_accounts,text) is 'Tells of what became of an account. Whoever owns the place should hear when payers are sent elsewhere.';

CREATE OR REPLACE FUNCTION public.tell_bank_transfer(p_transfer bank_transfers, p_what text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform record_event(
        p_transfer.organization_id, p_transfer.livemode, 'bank_transfer.' || p_what,
        'bank_transfer', p_transfer.id, bank_transfer_facts(p_transfer)
    );
    if p_transfer.status = 'rejected' or p_transfer.status = 'returned'
        or p_transfer.payment_intent_id is not null or p_transfer.kind <> 'receipt'
    then
        perform resolve_exception('bank-transfer-unmatched', 'bank_transfer', p_transfer.id);
    else
        perform record_exception(
            p_transfer.organization_id, p_transfer.livemode, 'bank-transfer-unmatched',
            'bank_transfer', p_transfer.id, p_transfer.amount, p_transfer.currency,
            format('%s %s names no order', p_transfer.rail, p_transfer.reference)
        );
    end if;
    perform resolve_exception('bank-transfer-waiting', 'bank_transfer', p_transfer.id);
end;
$function$;
comment on function tell_bank_transfer(bank_transfers,text) is 'Something was decided about a transfer: the world hears, and the lists are mended.';

CREATE OR REPLACE FUNCTION public.tell_of_autopay_charge(p_charge autopay_charges, p_type text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT record_event((p_charge).organization_id, (p_charge).livemode, p_type, 'autopay_charge'::text, (p_charge).id, autopay_facts(p_charge)) AS record_event;
END;
comment on function tell_of_autopay_charge(autopay_charges,text) is 'Writes a fact about a charge to the outbox.';

CREATE OR REPLACE FUNCTION public.tell_of_autopay_mandate(p_mandate autopay_mandates, p_type text)
 RETURNS void
 LANGUAGE sql
BEGIN ATOMIC
 SELECT record_event((p_mandate).organization_id, (p_mandate).livemode, p_type, 'autopay_mandate'::text, (p_mandate).id, jsonb_build_object('autopay_mandate_id', (p_mandate).id, 'customer_id', (p_mandate).customer_id, 'amount', (p_mandate).amount, 'currency', (p_mandate).currency, 'day_of_month', (p_mandate).day_of_month, 'next_due_on', (p_mandate).next_due_on, 'reason', (p_mandate).reason)) AS record_event;
END;
comment on function tell_of_autopay_mandate(autopay_mandates,text) is 'Writes a fact about a mandate to the outbox.';

CREATE OR REPLACE FUNCTION public.tell_of_cancellation(p_intent payment_intents)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    select * into v_attempt
    from payment_attempts
    where payment_intent_id = p_intent.id
    order by created_at desc, id
    limit 1;
    -- Nobody may have tried to pay it yet.
    v_attempt.payment_intent_id := p_intent.id;
    v_attempt.amount := p_intent.amount;
    v_attempt.currency := p_intent.currency;
    perform record_event(
        p_intent.organization_id, p_intent.livemode, 'payment.canceled', 'payment_intent',
        p_intent.id, payment_facts(v_attempt)
    );
end;
$function$;
comment on function tell_of_cancellation(payment_intents) is 'Announces that a payment is called off, with its newest attempt where it has one.';

CREATE OR REPLACE FUNCTION public.terms_of_order(p_event order_events)
 RETURNS order_events
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT order_events.*::order_events AS order_events
    FROM (order_events
      JOIN order_event_types ON ((order_event_types.type = order_events.type)))
   WHERE ((order_events.reference = (terms_of_order.p_event).reference) AND (order_events.organization_id = (terms_of_order.p_event).organization_id) AND (order_events.livemode = (terms_of_order.p_event).livemode) AND (order_events.amount IS NOT NULL) AND (order_events.customer_external_id IS NOT NULL) AND (order_event_types.meaning <> 'canceled'::text))
   ORDER BY order_events.created_at, order_events.id
  LIMIT 1;
END;
comment on function terms_of_order(order_events) is 'The first message that names customer and amount, which decides; messages may come in any order.';

CREATE OR REPLACE FUNCTION public.touch_updated_at()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    new.updated_at := clock_now();
    return new;
end;
$function$;
comment on function touch_updated_at() is 'Keeps updated_at true, whoever writes.';

CREATE OR REPLACE FUNCTION public.tries_allowed(p_organization_id uuid, p_key text, p_else integer)
 RETURNS integer
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT COALESCE(( SELECT (system_settings.value)::integer AS value
            FROM system_settings
           WHERE ((system_settings.organization_id = tries_allowed.p_organization_id) AND (system_settings.key = tries_allowed.p_key) AND (system_settings.value ~ '^[0-9]{1,6}$'::text))), p_else) AS "coalesce";
END;
comment on function tries_allowed(uuid,text,integer) is 'A limit of attempts, as an organisation sets it.';

CREATE OR REPLACE FUNCTION public.try_gateway_event(p_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_event gateway_events;
begin
    -- Replays queue here; whoever comes second finds the row closed.
    select * into strict v_event from gateway_events where id = p_id for update;
    if v_event.status <> 'received' or v_event.next_try_at > clock_now() then
        return;
    end if;

    perform carry_out_gateway_event(v_event);
end;
$function$;
comment on function try_gateway_event(uuid) is 'Applies one message that is due.';

CREATE OR REPLACE FUNCTION public.unseen_attempt(p_intent payment_intents, p_method text)
 RETURNS payment_attempts
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_attempt payment_attempts;
begin
    select payment_attempts.* into v_attempt
    from payment_attempts
    inner join checkout_sessions on checkout_sessions.payment_attempt_id = payment_attempts.id
    where payment_attempts.payment_intent_id = p_intent.id
        and not payment_attempts.is_surplus
        and payment_attempts.gateway_payment_id is null
        and checkout_sessions.url is null
        and (
            payment_attempts.status = 'unknown'
            -- Whoever was to open its page is gone: no call to a gateway takes so long.
            or payment_attempts.status = 'created'
            and payment_attempts.created_at < clock_now() - interval '1 minute'
            and checkout_sessions.method is distinct from p_method
        );
    return v_attempt;
end;
$function$;
comment on function unseen_attempt(payment_intents,text) is 'The open attempt of which nobody has seen a page, because its gateway stayed silent; else a null row.';

CREATE OR REPLACE FUNCTION public.use_receipts(p_payment_intent_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
    v_held constant bigint := amount_held_by_receipts(p_payment_intent_id);
begin
    select * into strict v_intent from payment_intents where id = p_payment_intent_id;
    if v_intent.status in ('paid', 'canceled') then  -- nothing is owed any more: it goes back
        perform pay_by_receipts(v_intent, v_held) where v_held > 0;
    elsif v_held >= v_intent.amount then
        perform pay_by_receipts(v_intent, v_intent.amount);
        perform pay_by_receipts(v_intent, v_held - v_intent.amount)
        where v_held > v_intent.amount;
    end if;
    perform list_shortage(p_payment_intent_id);
end;
$function$;
comment on function use_receipts(uuid) is 'Pays a payment with what has come for it, once that is enough; whatever is more is surplus, as a second payment by card would be. Too little is held and listed. The intent is locked.';

CREATE OR REPLACE FUNCTION public.watch_money_back(p_attempt payment_attempts)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_class constant text := case
        when p_attempt.is_in_suspense then 'amount-mismatch' else 'surplus-payment'
    end;
    v_refunded bigint;
    v_lost bigint;
begin
    select coalesce(sum(amount), 0) into v_refunded
    from refunds where payment_attempt_id = p_attempt.id and status = 'succeeded';
    select coalesce(sum(amount), 0) into v_lost
    from disputes where payment_attempt_id = p_attempt.id and status = 'lost';

    perform resolve_exception('refund-failed', 'payment_attempt', p_attempt.id)
    where v_refunded + v_lost >= p_attempt.amount_captured;
    if v_refunded + v_lost > p_attempt.amount_captured then
        perform record_exception(
            p_attempt.organization_id, p_attempt.livemode, 'refunded-and-disputed',
            'payment_attempt', p_attempt.id, v_refunded + v_lost - p_attempt.amount_captured,
            p_attempt.currency, format(
                '%s captured, %s refunded, %s lost in disputes', p_attempt.amount_captured,
                v_refunded, v_lost
            )
        );
    else
        perform resolve_exception('refunded-and-disputed', 'payment_attempt', p_attempt.id);
    end if;

    if p_attempt.is_surplus and v_refunded + v_lost < p_attempt.amount_captured then
        perform record_exception(
            p_attempt.organization_id, p_attempt.livemode, v_class, 'payment_attempt',
            p_attempt.id, p_attempt.amount_captured - v_refunded - v_lost, p_attempt.currency,
            case v_class
                when 'amount-mismatch' then 'what came is not what was asked for'
                else 'captured though the payment was settled otherwise'
            end
        );
    elsif p_attempt.is_surplus then
        perform resolve_exception(v_class, 'payment_attempt', p_attempt.id);
    end if;
end;
$function$;
comment on function watch_money_back(payment_attempts) is 'Lists a payment of which more went back than had come, or a surplus that has not gone back; takes either off the list when it is no longer so.';

CREATE OR REPLACE FUNCTION public.write_allowed_refund(p_session json, p_attempt payment_attempts, p_refund refunds, p_amount bigint)
 RETURNS refunds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_refund refunds := p_refund;
    v_left bigint := refundable_amount(p_attempt);
    v_amount bigint := coalesce(p_amount, v_left);
begin
    if not exists (select from refund_reasons where reason = p_refund.reason) then
        raise exception 'not-found: % is no reason for a refund', p_refund.reason
            using errcode = '22B04';
    end if;
    if v_amount not between 1 and v_left then
        raise exception 'amount-out-of-range: % is not between 1 and the % left of this payment',
            v_amount, v_left
            using errcode = '22B07';
    end if;

    v_refund.fee_amount := check_refund_policy(p_attempt, v_amount, p_session);
    v_refund.amount := v_amount - v_refund.fee_amount;
    v_refund.type := case
        when p_refund.type = 'cancellation' then 'cancellation'
        when v_amount = p_attempt.amount_captured then 'full'
        else 'partial'
    end;
    return write_refund(p_attempt, v_refund, null);
end;
$function$;
comment on function write_allowed_refund(json,payment_attempts,refunds,bigint) is 'Writes a refund down where there is as much left and the policy allows it; without an amount all that is left. The attempt is locked; the caller books it.';

CREATE OR REPLACE FUNCTION public.write_autopay_charges(p_mandate_ids uuid[])
 RETURNS autopay_charges[]
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_now timestamptz := clock_now();
    v_charges autopay_charges[];
begin
    with months as (
        select
            autopay_mandates.*,
            local_moment(next_due_on, autopay_mandates.local_time, timezone) as due_at,
            autopay_settings.catch_up_days * interval '1 day' as catch_up,
            coalesce((autopay_rule(currency, next_due_on)).notice, interval '0') as notice
        from autopay_mandates
        inner join autopay_settings
            on autopay_settings.organization_id = autopay_mandates.organization_id
        where autopay_mandates.id = any(p_mandate_ids)
    ),
    written as (
        insert into autopay_charges (
            organization_id, livemode, autopay_mandate_id, customer_id, period, due_on, due_at,
            amount, currency, status, reason, next_try_at
        )
        select
            organization_id, livemode, id, customer_id, to_char(next_due_on, 'YYYY-MM'),
            next_due_on, due_at, amount, currency,
            case when due_at < v_now - catch_up then 'skipped' else 'due' end,
            case when due_at < v_now - catch_up then 'missed' end,
            case
                when due_at >= v_now - catch_up
                    then greatest(due_at, case when notice > interval '0' then v_now + notice end)
            end
        from months
        on conflict on constraint autopay_period_is_charged_once do nothing
        returning autopay_charges as charge
    )
    select array_agg(charge) into v_charges from written;
    return v_charges;
end;
$function$;
comment on function write_autopay_charges(uuid[]) is 'Writes the next month of each mandate down, once. A month that nobody looked at in time is missed; one that is written down late has no more time for it, unless law wants the payer to be told before.';

CREATE OR REPLACE FUNCTION public.write_autopay_mandate(p_customer customers, p_session json, p_key text, p_amount bigint, p_currency text, p_day_of_month integer, p_gateway text, p_success_url text, p_cancel_url text)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
comment on function write_autopay_mandate(customers,json,text,bigint,text,integer,text,text,text) is 'Writes a mandate down before a gateway is asked for its page. Of several pages the newest counts, whatever becomes of it: one that had failed starts nothing any more.';

CREATE OR REPLACE FUNCTION public.write_bank_transfer(p_transfer bank_transfers)
 RETURNS bank_transfers
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_transfer bank_transfers;
begin
    insert into bank_transfers (
        organization_id, livemode, bank_account_id, kind, rail, reference, amount, currency,
        value_date, payer_name, note, payment_intent_id, refund_id, returned_id, idempotency_key,
        request, made_by, matched_by
    )
    values (
        p_transfer.organization_id, p_transfer.livemode, p_transfer.bank_account_id,
        p_transfer.kind, p_transfer.rail, p_transfer.reference, p_transfer.amount,
        p_transfer.currency, p_transfer.value_date, p_transfer.payer_name, p_transfer.note,
        p_transfer.payment_intent_id, p_transfer.refund_id, p_transfer.returned_id,
        p_transfer.idempotency_key, p_transfer.request, p_transfer.made_by,
        case when p_transfer.payment_intent_id is not null then p_transfer.made_by end
    )
    on conflict do nothing
    returning * into v_transfer;

    if v_transfer.id is not null then
        perform tell_bank_transfer(v_transfer, 'entered');
        return v_transfer;
    end if;
    v_transfer := known_bank_transfer(p_transfer);  -- the same request was quicker
    if v_transfer.id is null then
        raise exception 'transfer-known: % %, or what it pays back, was entered before',
            p_transfer.rail, p_transfer.reference
            using errcode = '22B29';
    end if;
    return v_transfer;
end;
$function$;
comment on function write_bank_transfer(bank_transfers) is 'Writes a transfer down once, by its key and by its reference, however many enter it at a time.';

CREATE OR REPLACE FUNCTION public.write_credit_grant(p_customer customers, p_amount numeric, p_key text, p_requested_by text, p_reason text, p_expires_at timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid := gen_random_uuid();
    v_days integer := credits_expire_after_days(p_customer.organization_id);
    v_expires_at timestamptz := coalesce(p_expires_at, clock_now() + make_interval(days => v_days));
begin
    insert into credit_grants (
        id, organization_id, livemode, customer_id, idempotency_key, requested_by, credits_amount,
        reason, expires_at, ledger_transaction_id
    )
    values (
        v_id, p_customer.organization_id, p_customer.livemode, p_customer.id, p_key,
        p_requested_by, p_amount, p_reason, p_expires_at,
        post_ledger_fact(p_customer.organization_id, p_customer.livemode, array[
            credit_posting(
                p_customer, 'credits_granted', p_amount, v_id, 'credit_grant', 'credit_grant',
                v_id, clock_now()
            )
        ])
    );

    insert into credit_lots (
        organization_id, livemode, customer_id, credit_grant_id, granted, remaining, expires_at,
        announce_at
    )
    values (
        p_customer.organization_id, p_customer.livemode, p_customer.id, v_id, p_amount, p_amount,
        v_expires_at, expiry_notice_at(v_expires_at)
    );

    perform record_event(
        p_customer.organization_id, p_customer.livemode, 'credits.granted', 'credit_grant', v_id,
        jsonb_build_object(
            'credit_grant_id', v_id, 'customer_id', p_customer.id, 'credits_amount', p_amount,
            'reason', p_reason
        )
    );
end;
$function$;
comment on function write_credit_grant(customers,numeric,text,text,text,timestamp with time zone) is 'Books a gift and puts it into a lot of its own.';

CREATE OR REPLACE FUNCTION public.write_credit_purchase(p_customer customers, p_key text, p_requested_by text, p_amount bigint, p_currency text)
 RETURNS payment_intents
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_rate numeric := credit_rate(p_customer.organization_id, p_currency);
    v_credits numeric := credits_bought(p_amount, p_currency, v_rate);
    v_intent payment_intents;
begin
    insert into payment_intents (organization_id, livemode, customer_id, purpose, amount, currency)
    values (
        p_customer.organization_id, p_customer.livemode, p_customer.id, 'credit_purchase', p_amount,
        p_currency
    )
    returning * into v_intent;

    insert into credit_purchases (
        organization_id, livemode, customer_id, payment_intent_id, idempotency_key, requested_by,
        amount, currency, credit_rate, credits_amount, expire_after_days
    )
    values (
        p_customer.organization_id, p_customer.livemode, p_customer.id, v_intent.id, p_key,
        p_requested_by, p_amount, p_currency, v_rate, v_credits, credits_expire_after_days(p_customer.organization_id)
    );
    return v_intent;
end;
$function$;
comment on function write_credit_purchase(customers,text,text,bigint,text) is 'The purchase and what is owed for it, rate frozen.';

CREATE OR REPLACE FUNCTION public.write_credit_return(p_spend credit_spends, p_amount numeric, p_key text, p_requested_by text, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid := gen_random_uuid();
    v_customer customers;
    v_parts credit_part[] := give_spend_back(p_spend, p_amount);
    v_credits numeric;
begin
    select sum(credits) into v_credits from unnest(v_parts);
    select * into strict v_customer from customers where id = p_spend.customer_id;
    update credit_spends set credits_returned = credits_returned + v_credits where id = p_spend.id;

    insert into credit_returns (
        id, organization_id, livemode, credit_spend_id, idempotency_key, requested_by,
        credits_amount, reason, ledger_transaction_id
    )
    values (
        v_id, p_spend.organization_id, p_spend.livemode, p_spend.id, p_key, p_requested_by,
        v_credits, p_reason,
        post_ledger_fact(p_spend.organization_id, p_spend.livemode, credit_part_postings(
            v_customer, v_parts, -1, 'credit_revenue',
            (
                'spend-return:' || v_id, 'credit_return', 'credit_return', v_id, clock_now(), null,
                null, null
            )::ledger_posting
        ))
    );

    perform record_event(
        p_spend.organization_id, p_spend.livemode, 'credits.returned', 'credit_spend', p_spend.id,
        jsonb_build_object(
            'credit_return_id', v_id, 'credit_spend_id', p_spend.id,
            'customer_id', p_spend.customer_id, 'credits_amount', v_credits, 'reason', p_reason
        )
    );
end;
$function$;
comment on function write_credit_return(credit_spends,numeric,text,text,text) is 'Puts credits of a spend back, books it, tells the world.';

CREATE OR REPLACE FUNCTION public.write_credit_spend(p_customer customers, p_amount numeric, p_key text, p_requested_by text, p_description text, p_reference text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid := gen_random_uuid();
    v_parts credit_part[] := take_credits_oldest_first(p_customer, p_amount);
begin
    insert into credit_spends (
        id, organization_id, livemode, customer_id, idempotency_key, requested_by, credits_amount,
        description, reference, ledger_transaction_id
    )
    values (
        v_id, p_customer.organization_id, p_customer.livemode, p_customer.id, p_key,
        p_requested_by, p_amount, p_description, p_reference,
        post_ledger_fact(p_customer.organization_id, p_customer.livemode, credit_part_postings(
            p_customer, v_parts, 1, 'credit_revenue',
            (
                'spend:' || v_id, 'credit_spend', 'credit_spend', v_id, clock_now(), null, null, null
            )::ledger_posting
        ))
    );

    insert into credit_spend_lots (
        organization_id, livemode, credit_spend_id, credit_lot_id, credits_amount, amount
    )
    select p_customer.organization_id, p_customer.livemode, v_id, credit_lot_id, credits, amount
    from unnest(v_parts);

    perform record_event(
        p_customer.organization_id, p_customer.livemode, 'credits.spent', 'credit_spend', v_id,
        jsonb_build_object(
            'credit_spend_id', v_id, 'customer_id', p_customer.id, 'credits_amount', p_amount,
            'description', p_description, 'reference', p_reference
        )
    );
end;
$function$;
comment on function write_credit_spend(customers,numeric,text,text,text,text) is 'Takes credits from the lots, books it, tells the world.';

CREATE OR REPLACE FUNCTION public.write_gateway_events(p_messages jsonb, p_livemode boolean)
 RETURNS SETOF gateway_events
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    return query
    insert into gateway_events (
        gateway, gateway_account, livemode, event_id, type, occurred_at, payload, notice, status,
        reason, organization_id, payment_attempt_id
    )
    select
        message.gateway, message.gateway_account, message.livemode, message.event_id, message.type,
        message.occurred_at, message.payload, message.notice,
        case when known.reason is null then 'applied' else 'ignored' end, known.reason,
        payment_attempts.organization_id, payment_attempts.id
    from jsonb_populate_recordset(null::gateway_events, p_messages) as message
    inner join payment_attempts
        on payment_attempts.id = attempt_named_in(message.notice)
        and payment_attempts.gateway = message.gateway
        and payment_attempts.gateway_account = message.gateway_account
        and payment_attempts.livemode = message.livemode
    cross join lateral (select reason_to_ignore(message, payment_attempts) as reason) as known
    where message.livemode = p_livemode
        and coalesce(message.notice ->> 'subject', 'payment') = 'payment'
        and (message.notice ->> 'outcome' = 'paid' or known.reason is not null)
    -- Two calls with the same messages wait for each other in one order, before they lock more.
    order by message.event_id
    on conflict on constraint gateway_event_is_received_once do nothing
    returning *;
end;
$function$;
comment on function write_gateway_events(jsonb,boolean) is 'Writes down those of several messages that are plain: payments that went well, and what says nothing new of one. What was there before is not answered.';

CREATE OR REPLACE FUNCTION public.write_order(p_customer customers, p_reference text, p_amount bigint, p_currency text, p_title text, p_metadata jsonb, p_capture_method text DEFAULT NULL::text)
 RETURNS payment_intents
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_intent payment_intents;
begin
    select payment_intents.* into v_intent
    from orders
    inner join payment_intents on payment_intents.id = orders.payment_intent_id
    where orders.reference = p_reference and orders.livemode = p_customer.livemode
        and orders.organization_id = p_customer.organization_id;

    if v_intent.id is null then
        perform check_payment_amount(p_customer.organization_id, p_amount, p_currency);
        insert into payment_intents (
            organization_id, livemode, customer_id, purpose, amount, currency, capture_method
        )
        values (
            p_customer.organization_id, p_customer.livemode, p_customer.id, 'order', p_amount,
            p_currency, coalesce(p_capture_method, 'automatic')
        )
        returning * into v_intent;
        -- Before the order is there, which may be off already, and then its payment is canceled.
        perform record_event(
            v_intent.organization_id, v_intent.livemode, 'payment.initiated', 'payment_intent',
            v_intent.id, owed_facts(v_intent, p_reference)
        );
        insert into orders (
            organization_id, livemode, customer_id, payment_intent_id, reference, display_id, title,
            metadata
        )
        values (
            p_customer.organization_id, p_customer.livemode, p_customer.id, v_intent.id,
            p_reference, free_display_id(p_customer), p_title, p_metadata
        )
        on conflict on constraint order_is_charged_once do nothing;
        if found then
            return v_intent;
        end if;  -- another customer's request with the same reference was quicker
    elsif (v_intent.customer_id, v_intent.amount, v_intent.currency, v_intent.capture_method) = (
        p_customer.id, p_amount, p_currency, coalesce(p_capture_method, v_intent.capture_method)
    ) then
        return v_intent;
    end if;
    raise exception 'idempotency-key-reused: order % asks for something else', p_reference
        using errcode = '22B08';
end;
$function$;
comment on function write_order(customers,text,bigint,text,text,jsonb,text) is 'The order and what is owed for it, announced once; asked again with the same words, the one that is there. Who does not say when it is captured takes it as it is. The customer is locked.';

CREATE OR REPLACE FUNCTION public.write_placed_order(p_event order_events, p_terms order_events, p_customer customers)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    perform from customers where id = p_customer.id for no key update;
    perform write_order(
        p_customer, p_terms.reference, p_terms.amount, p_terms.currency,
        'Order ' || left(p_terms.reference, 190), '{}'
    );
exception
    when sqlstate '22B06' or sqlstate '22B07' then  -- what the organisation does not take
        if p_event.id = p_terms.id then
            raise;  -- whoever says so hears it
        end if;
        perform record_exception(
            p_event.organization_id, p_event.livemode, 'order-not-payable', 'order_event',
            p_terms.id, p_terms.amount, p_terms.currency, sqlerrm
        );
end;
$function$;
comment on function write_placed_order(order_events,order_events,customers) is 'Writes an order down on the terms of a message. Terms that are not taken do not stop the messages that come after it: a person looks.';

CREATE OR REPLACE FUNCTION public.write_publication_results(p_destination text, p_results jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
    update event_publications
    set
        status = case
            when results.outcome = 'published' then 'published'
            when results.outcome = 'refused' and attempts >= 3 then 'parked'
            else status
        end,
        due_at = case
            when results.outcome = 'published' then null
            when results.outcome = 'refused' and attempts >= 3 then null
            else due_at
        end,
        published_at = case when results.outcome = 'published' then clock_now() end,
        last_error = left(results.detail, 500)
    from jsonb_to_recordset(p_results) as results (event_id uuid, outcome text, detail text)
    where event_publications.event_id = results.event_id
        and event_publications.destination = p_destination
        and event_publications.status <> 'published';
end;
$function$;
comment on function write_publication_results(text,jsonb) is 'Writes down how events were taken. Published stays published, whatever a slower sender says.';

CREATE OR REPLACE FUNCTION public.write_refund(p_attempt payment_attempts, p_refund refunds, p_take_what_is_left boolean)
 RETURNS refunds
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_id uuid := gen_random_uuid();
    v_loss bigint := hold_refund_credits(
        p_attempt, v_id, p_refund.amount + p_refund.fee_amount, p_take_what_is_left
    );
    v_refund refunds;
begin
    insert into refunds (
        id, organization_id, livemode, payment_intent_id, payment_attempt_id, gateway,
        gateway_account, idempotency_key, requested_by, request, type, reason, note, amount,
        fee_amount, loss_amount, currency, next_check_at
    )
    values (
        v_id, p_attempt.organization_id, p_attempt.livemode, p_attempt.payment_intent_id,
        p_attempt.id, p_attempt.gateway, p_attempt.gateway_account, p_refund.idempotency_key,
        p_refund.requested_by, coalesce(p_refund.request, '{}'), p_refund.type, p_refund.reason,
        p_refund.note, p_refund.amount, coalesce(p_refund.fee_amount, 0), v_loss,
        p_attempt.currency,
        -- Whoever asks for a refund sends it, and the cron only if they die; the system's own is
        -- the cron's at once. What is paid by hand is nobody's to send: see below.
        case
            when is_by_hand(p_attempt.gateway) then null
            when p_refund.requested_by = 'system' then clock_now()
            else clock_now() + check_delay(0)
        end
    )
    on conflict on constraint refund_key_is_used_once do nothing
    returning * into v_refund;
    if v_refund.id is null then  -- a repetition would have been found: its payment is locked
        raise exception 'idempotency-key-reused: the key belongs to a refund of another payment'
            using errcode = '22B08';
    end if;

    if is_by_hand(v_refund.gateway) then
        perform record_exception(
            v_refund.organization_id, v_refund.livemode, 'refund-unresolved', 'refund',
            v_refund.id, v_refund.amount, v_refund.currency, 'to be paid by bank transfer'
        );
    end if;
    update payment_attempts
    set amount_refunded = amount_refunded + v_refund.amount
    where id = p_attempt.id;
    perform record_event(
        v_refund.organization_id, v_refund.livemode, 'refund.created', 'refund', v_refund.id,
        refund_facts(v_refund)
    );
    return v_refund;
end;
$function$;
comment on function write_refund(payment_attempts,refunds,boolean) is 'Writes a refund down, counts it on its attempt and speaks for its credits; the caller books it.';

CREATE OR REPLACE FUNCTION public.write_refund_policy(p_organization_id uuid, p_purpose text, p_currency text, p_terms refund_policies, p_valid_from timestamp with time zone, p_created_by text)
 RETURNS refund_policies
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
    v_policy refund_policies;
begin
    insert into refund_policies (
        organization_id, purpose, currency, window_days, share_max, fee_amount, fee_share, roles,
        valid_from, created_by
    )
    values (
        p_organization_id, p_purpose, p_currency, p_terms.window_days, p_terms.share_max,
        p_terms.fee_amount, p_terms.fee_share, p_terms.roles,
        coalesce(p_valid_from, clock_now()), p_created_by
    )
    returning * into v_policy;
    return v_policy;
exception
    when check_violation or foreign_key_violation or not_null_violation then
        raise exception 'setting-invalid: no such policy for % in %: %',
            p_purpose, p_currency, sqlerrm
            using errcode = '22B05';
end;
$function$;
comment on function write_refund_policy(uuid,text,text,refund_policies,timestamp with time zone,text) is 'Writes a policy down, or says which rule of theirs it breaks.';
