"""Where a gateway does otherwise than the others: every such place, and why.

A row takes a scenario's place for one gateway; what it asserts is what happens there instead. A
scenario that a world fails is a defect, unless a row here says so with the documentation's address.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateways import cashfree_differences as cashfree
from gateways import payu_differences as payu
from gateways import razorpay_differences as razorpay
from gateways.world import World


@dataclass(frozen=True, slots=True)
class Difference:
    why: str
    documentation: str
    instead: Callable[[World], None] | None = None  # asserts what happens there


# (gateway, scenario or need) -> what differs. A gateway's rows stand together. A scenario's name
# with its value in brackets, or without for all its values, has an `instead`; a need (a word of
# Payer, Refunds, Ask or Capability, or `dispute`) that the world has not needs none.
DIFFERENCES: dict[tuple[str, str], Difference] = {
    ("stripe", "gateway_fails"): Difference(
        "no test card fails for a reason that is the gateway's: Stripe answers 5xx instead",
        "https://docs.stripe.com/testing#declined-payments",
    ),
    ("stripe", "fails_then_pays_late"): Difference(
        "an intent whose payment failed takes another try, and never turns paid by itself",
        "https://docs.stripe.com/payments/paymentintents/lifecycle",
    ),
    ("stripe", "pays_twice"): Difference(
        "a page completes once, and its one intent succeeds once",
        "https://docs.stripe.com/payments/checkout/how-checkout-works",
    ),
    ("stripe", "payments"): Difference(
        "the same",
        "https://docs.stripe.com/payments/checkout/how-checkout-works",
    ),
    ("stripe", "upi"): Difference(
        "UPI is for saved methods of Indian accounts there, and its code is on Stripe's own page",
        "https://docs.stripe.com/india-recurring-payments",
    ),
    ("stripe", "payment_disputes"): Difference(
        "what is disputed is in the list of disputes, which is read since a time",
        "https://docs.stripe.com/api/disputes/list",
    ),
    ("razorpay", "payment_disputes"): Difference(
        "what is disputed is in the list of disputes, which is read since a time",
        "https://razorpay.com/docs/api/disputes/fetch-all/",
    ),
    ("razorpay", "cancel"): Difference(
        "what nobody captures is given back after five days at most, not on demand",
        "https://razorpay.com/docs/payments/payments/capture-settings/",
    ),
    ("razorpay", "expire"): Difference(
        "an order can be paid for ever: nothing closes it",
        "https://razorpay.com/docs/payments/orders/",
    ),
    ("razorpay", "fail_late"): Difference(
        "a refund that is processed is over",
        "https://razorpay.com/docs/api/refunds/entity/",
    ),
    ("razorpay", "a_part_is_captured_and_the_rest_released"): Difference(
        "what is captured equals what was authorized",
        "https://razorpay.com/docs/api/payments/capture/",
        razorpay.a_part_is_refused_and_all_can_still_be_captured,
    ),
    ("razorpay", "money_on_its_way_is_neither_paid_nor_over"): Difference(
        "a payment is `created` while the bank decides and while the payer still reads its page",
        "https://razorpay.com/docs/payments/payments/#payment-life-cycle",
        razorpay.money_on_its_way_leaves_the_page_open_and_keeps_it_from_being_over,
    ),
    ("razorpay", "money_on_its_way_may_come_to_nothing"): Difference(
        "the same, and the order can be paid again",
        "https://razorpay.com/docs/payments/payments/#payment-life-cycle",
        razorpay.money_on_its_way_that_came_to_nothing_leaves_the_page_to_expire,
    ),
    ("payu", "authorize"): Difference(
        "an account captures by itself unless PayU arranges otherwise, which is not offered",
        "https://docs.payu.in/reference/error-codes-pre-authorize-payment",
    ),
    ("payu", "authorizes"): Difference(
        "the same",
        "https://docs.payu.in/reference/error-codes-pre-authorize-payment",
    ),
    ("payu", "cancel"): Difference(
        "what is taken at once is refunded, not given up",
        "https://docs.payu.in/reference/refund_transaction_api",
    ),
    ("payu", "expire"): Difference(
        "a page is a form in the payer's browser: nothing at PayU could be closed",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
    ),
    ("payu", "open"): Difference(
        "opening a page asks nothing of PayU",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
    ),
    ("payu", "fails_then_pays"): Difference(
        "a txnid is one try",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
    ),
    ("payu", "pays_twice"): Difference(
        "a txnid is one try",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
    ),
    ("payu", "payments"): Difference(
        "a txnid that was paid is not taken again",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
    ),
    ("payu", "fail_late"): Difference(
        "a refund that succeeded is over",
        "https://docs.payu.in/reference/check_action_status_api_with_payu_id",
    ),
    ("payu", "an_open_page_waits_for_the_payer"): Difference(
        "PayU hears of a payment when the payer comes",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
        payu.nothing_is_known_before_the_payer_comes,
    ),
    ("payu", "an_open_page_is_found_by_our_reference"): Difference(
        "PayU hears of a payment when the payer comes",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
        payu.nothing_is_known_before_the_payer_comes,
    ),
    ("payu", "a_decline_leaves_the_next_step_to_the_payer"): Difference(
        "a txnid is one try",
        "https://docs.payu.in/reference/payment-state-explanations",
        payu.a_decline_is_the_end_of_the_payment,
    ),
    ("payu", "a_page_that_nobody_paid_is_over_in_the_end[declines_soft]"): Difference(
        "a txnid is one try",
        "https://docs.payu.in/reference/payment-state-explanations",
        payu.what_was_declined_stays_so_when_its_page_is_over,
    ),
    ("payu", "a_page_that_nobody_paid_is_over_in_the_end[declines_hard]"): Difference(
        "a txnid is one try",
        "https://docs.payu.in/reference/payment-state-explanations",
        payu.what_was_declined_stays_so_when_its_page_is_over,
    ),
    ("payu", "a_refund_is_told_by_a_webhook"): Difference(
        "the webhook of a refund is not signed",
        "https://docs.payu.in/docs/webhook-events-and-sample-payloads",
        payu.a_webhook_of_a_refund_only_says_where_to_look,
    ),
    ("payu", "equal_parts_are_refunded_each_under_its_own_id"): Difference(
        "two refunds of the same amount need five minutes between them",
        "https://docs.payu.in/reference/error-codes-for-refund-initiation",
        payu.equal_parts_need_five_minutes_between_them,
    ),
    ("payu", "a_dispute_names_its_payment_and_amount"): Difference(
        "the webhook of a dispute is not signed",
        "https://docs.payu.in/docs/webhooks-for-chargeback",
        payu.a_dispute_is_a_hint_at_every_step,
    ),
    ("payu", "a_dispute_may_be_under_review"): Difference(
        "the webhook of a dispute is not signed",
        "https://docs.payu.in/docs/webhooks-for-chargeback",
        payu.a_dispute_is_a_hint_at_every_step,
    ),
    ("payu", "a_dispute_is_found_as_it_stands"): Difference(
        "the webhook of a dispute is not signed, and the list tells the day only",
        "https://docs.payu.in/reference/read-chargeback-api",
        payu.a_dispute_is_decided_by_the_list,
    ),
    ("payu", "a_dispute_of_another_day_is_not_listed"): Difference(
        "the webhook of a dispute is not signed",
        "https://docs.payu.in/reference/read-chargeback-api",
        payu.a_dispute_of_another_day_is_not_in_the_list,
    ),
    ("payu", "a_dispute_is_decided"): Difference(
        "the webhook of a dispute is not signed",
        "https://docs.payu.in/docs/webhooks-for-chargeback",
        payu.a_dispute_is_a_hint_at_every_step,
    ),
    ("payu", "a_link_that_was_declined_leaves_the_next_step_to_the_payer"): Difference(
        "a txnid is one try",
        "https://docs.payu.in/reference/payment-state-explanations",
        payu.a_link_that_was_declined_is_the_end_of_the_payment,
    ),
    ("payu", "new_refunds"): Difference(
        "refunds are listed by payment: no command lists them by time",
        "https://docs.payu.in/reference/check_action_status_api_with_payu_id",
    ),
    ("payu", "a_payer_may_be_anybody[no name and no phone]"): Difference(
        "the form must have the payer's phone number",
        "https://docs.payu.in/docs/prebuilt-checkout-page-integration",
        payu.a_payer_without_a_phone_is_refused,
    ),
    ("payu", "payment_disputes"): Difference(
        "what is disputed is in the list of disputes, which is read since a time",
        "https://docs.payu.in/reference/read-chargeback-api",
    ),
    ("cashfree", "new_refunds"): Difference(
        "refunds are listed by order: no call lists them by time",
        "https://www.cashfree.com/docs/api-reference/payments/latest/refunds/get",
    ),
    ("cashfree", "disputes"): Difference(
        "disputes are looked up by an order, a payment or their own id: no call lists them by time",
        "https://www.cashfree.com/docs/payments/manage/disputes/disputes-apis",
    ),
    ("cashfree", "fail_late"): Difference(
        "a refund that Cashfree has processed is over; what a bank sends back comes as a payout",
        "https://www.cashfree.com/docs/api-reference/payments/latest/refunds/webhooks",
    ),
    ("cashfree", "a_payer_may_be_anybody[no name and no phone]"): Difference(
        "an order must have the payer's phone number",
        "https://www.cashfree.com/docs/api-reference/payments/latest/orders/create",
        cashfree.a_payer_without_a_phone_is_refused_before_cashfree_is_asked,
    ),
    ("cashfree", "all_that_is_authorized_is_captured_once"): Difference(
        "no webhook of a capture is documented: its answer and a look-up tell",
        "https://www.cashfree.com/docs/payments/features/pre-authorisation",
        cashfree.a_capture_is_told_by_its_answer_and_when_looked_up,
    ),
    ("cashfree", "each_of_two_payments_is_refunded_by_itself"): Difference(
        "a refund is asked for below an order, and names no payment",
        "https://www.cashfree.com/docs/api-reference/payments/latest/refunds/create",
        cashfree.refunds_are_the_orders_whose_first_payment_goes_back_first,
    ),
}
