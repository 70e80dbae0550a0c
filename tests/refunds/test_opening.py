"""Opening a refund: reserved and counted before any gateway is asked."""

from uuid import uuid4

import psycopg
import pytest
from books import broken_invariants, settle
from money_back import Desk, balances, told


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    """The code word that a client sees."""
    assert failure.value.sqlstate.startswith("22B")
    return str(failure.value.diag.message_primary).partition(":")[0]


def wallet(desk: Desk) -> int:
    (row,) = desk.db.execute("select balance from credit_wallets").fetchall()
    return row["balance"]


def test_a_refund_is_reserved_before_a_gateway_is_asked(db, desk, tenant, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"])

    assert (refund["amount"], refund["type"], refund["status"]) == (2500, "full", "created")
    assert refund["requested_by"] == f"user:{tenant.user_id}"
    assert desk.row("payment_attempts", paid["payment_attempt_id"])["amount_refunded"] == 2500
    assert balances(db, tenant) == {
        "gateway USD": 2500,
        "refunds_pending USD": -2500,
        "credits_issued XCR": 2_500_000,
        "credit_wallet XCR": -2_500_000,
    }
    assert told(db, refund["id"]) == ["refund.created"]
    assert broken_invariants(db) == {}


def test_without_an_amount_all_that_is_left_goes_back(desk, paid) -> None:
    part = desk.refund(paid["payment_intent_id"], amount=700)
    rest = desk.refund(paid["payment_intent_id"], key="refund-2")

    assert (part["amount"], part["type"]) == (700, "partial")
    assert (rest["amount"], rest["type"]) == (1800, "partial")


def test_a_cancellation_is_the_refund_of_all_that_is_left_by_that_name(desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"], type="cancellation", reason="order_canceled")

    assert (refund["amount"], refund["type"]) == (2500, "cancellation")


def test_the_same_key_is_the_same_refund(desk, paid) -> None:
    first = desk.refund(paid["payment_intent_id"], amount=700)

    assert desk.refund(paid["payment_intent_id"], amount=700) == first


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 701},
        {"amount": None},
        {"reason": "duplicate"},
        {"note": "again"},
        {"type": "cancellation"},
    ],
)
def test_a_key_with_other_content_is_refused(desk, paid, change) -> None:
    desk.refund(paid["payment_intent_id"], amount=700)

    with pytest.raises(psycopg.Error) as failure:
        desk.refund(paid["payment_intent_id"], **({"amount": 700} | change))
    assert refused(failure) == "idempotency-key-reused"


def test_a_key_belongs_to_one_payment(desk, paid) -> None:
    other = desk.paid(key="key-2")
    desk.refund(paid["payment_intent_id"])

    with pytest.raises(psycopg.Error) as failure:
        desk.refund(other["payment_intent_id"])
    assert refused(failure) == "idempotency-key-reused"


def test_two_people_may_choose_the_same_key(desk, paid) -> None:
    first = desk.refund(paid["payment_intent_id"], amount=700)
    second = desk.acting(user_id=str(uuid4())).refund(paid["payment_intent_id"], amount=700)

    assert second["id"] != first["id"]


def test_a_repetition_is_answered_when_nothing_is_left_and_the_policy_has_changed(
    db, desk, tenant, paid
) -> None:
    first = desk.refund(paid["payment_intent_id"])
    db.execute(
        "insert into refund_policies (organization_id, purpose, currency, share_max,"
        " created_by)"
        " values (%s, 'credit_purchase', 'USD', 0, 'fiona')",
        [tenant.organization_id],
    )

    assert desk.refund(paid["payment_intent_id"]) == first


@pytest.mark.parametrize("amount", [0, -1, 2501, 2**63 - 1])
def test_more_than_was_captured_does_not_go_back(desk, paid, amount) -> None:
    with pytest.raises(psycopg.Error) as failure:
        desk.refund(paid["payment_intent_id"], amount=amount)
    assert refused(failure) == "amount-out-of-range"


def test_what_is_on_its_way_back_counts_as_gone(desk, paid) -> None:
    refund = desk.refund(paid["payment_intent_id"], amount=2000)
    desk.call("mark_refund_unknown", refund_id=refund["id"], failure_message="no answer")

    with pytest.raises(psycopg.Error) as failure:
        desk.refund(paid["payment_intent_id"], amount=501, key="refund-2")
    assert refused(failure) == "amount-out-of-range"


def test_what_is_not_captured_is_not_refunded(desk) -> None:
    row = desk.open()

    with pytest.raises(psycopg.Error) as failure:
        desk.refund(row["payment_intent_id"])
    assert refused(failure) == "refund-not-allowed"


def test_a_reason_is_one_of_the_list(db, desk, paid) -> None:
    reasons = db.execute("select reason from refund_reasons").fetchall()
    for number, each in enumerate(reasons):
        desk.refund(paid["payment_intent_id"], amount=1, key=f"r{number}", reason=each["reason"])

    with pytest.raises(psycopg.Error) as failure:
        desk.refund(paid["payment_intent_id"], reason="because")
    assert len(reasons) == 7
    assert refused(failure) == "not-found"


def test_the_owner_of_the_tables_cannot_refund_more_than_was_captured_either(db, paid) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute("update payment_attempts set amount_refunded = amount_captured + 1")


@pytest.mark.parametrize("role", ["customer", "viewer", "developer", "payee", "dispatcher"])
def test_only_who_keeps_the_books_may_refund(desk, paid, role) -> None:
    with pytest.raises(psycopg.Error) as failure:
        desk.acting(actor_role=role).refund(paid["payment_intent_id"])
    assert refused(failure) == "refund-not-allowed"


@pytest.mark.parametrize("role", ["finance", "owner", "service", None])
def test_finance_owners_and_the_service_may_refund(desk, paid, role) -> None:
    assert desk.acting(actor_role=role).refund(paid["payment_intent_id"])["status"] == "created"


@pytest.mark.parametrize("role", ["finance", "owner", "service"])
def test_staff_of_another_organisation_sees_no_such_payment(db, desk, paid, role) -> None:
    stranger = desk.acting(actor_role=role, organization_id=str(settle(db).organization_id))

    with pytest.raises(psycopg.Error) as failure:
        stranger.refund(paid["payment_intent_id"])
    assert refused(failure) == "not-found"


@pytest.mark.parametrize("role", ["finance", "owner", "service"])
def test_staff_without_an_organisation_refunds_nothing(desk, paid, role) -> None:
    nowhere = desk.acting(actor_role=role, organization_id=None)

    with pytest.raises(psycopg.Error) as failure:
        nowhere.refund(paid["payment_intent_id"])
    assert refused(failure) == "not-found"


def test_a_refund_of_a_test_payment_is_not_made_in_live(desk, paid) -> None:
    """A27: the mode is the service's to say, and a payment of the other one does not exist."""
    with pytest.raises(psycopg.Error) as failure:
        desk.acting(livemode="true").refund(paid["payment_intent_id"])
    assert refused(failure) == "not-found"


def test_money_goes_back_only_where_it_came_from(db, desk, paid) -> None:
    """A27: no argument names another payment's attempt, gateway or account."""
    other = desk.paid(key="key-2")

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        desk.refund(paid["payment_intent_id"], payment_attempt_id=other["payment_attempt_id"])
    assert refused(failure) == "refund-not-allowed"
    refund = desk.refund(paid["payment_intent_id"])
    assert (refund["gateway"], refund["payment_attempt_id"]) == (
        "stripe",
        paid["payment_attempt_id"],
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda desk: desk.refund(uuid4()),
        lambda desk: desk.call("mark_refund_unknown", refund_id=uuid4(), failure_message="x"),
        lambda desk: desk.call("claim_refund_checks", limit=1),
    ],
)
@pytest.mark.parametrize("role", ["customer", "owner", "finance"])
def test_only_the_service_may_call_the_money_functions(desk, call, role) -> None:
    with pytest.raises(psycopg.Error) as failure:
        call(desk.acting(role=role))
    assert refused(failure) == "forbidden"


def spend(desk: Desk, tenant, credits_amount: int) -> None:
    desk.call(
        "spend_credits",
        customer_id=tenant.customer_id,
        amount=credits_amount,
        key=f"spend-{uuid4()}",
        description="Tea",
        reference=None,
    )


def test_money_whose_credits_are_spent_does_not_go_back(db, desk, tenant, paid) -> None:
    spend(desk, tenant, 100)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        desk.refund(paid["payment_intent_id"])
    assert refused(failure) == "credits-spent"
    assert desk.refund(paid["payment_intent_id"], amount=1500)["status"] == "created"
    assert broken_invariants(db) == {}


def test_credits_on_their_way_back_cannot_be_spent(db, desk, tenant, paid) -> None:
    desk.refund(paid["payment_intent_id"], amount=1500)

    with pytest.raises(psycopg.Error) as failure, db.transaction():
        spend(desk, tenant, 101)
    assert refused(failure) == "insufficient-credits"
    spend(desk, tenant, 100)
    assert broken_invariants(db) == {}


def test_by_the_setting_spent_credits_are_the_organisations_loss(db, desk, tenant, paid) -> None:
    db.execute(
        "insert into system_settings values (%s, 'refund_spent_credits', 'allow')",
        [tenant.organization_id],
    )
    spend(desk, tenant, 100)
    refund = desk.refund(paid["payment_intent_id"])

    assert (refund["amount"], refund["loss_amount"]) == (2500, 1000)
    desk.say(refund, "succeeded")
    assert balances(db, tenant) == {
        "credit_losses USD": 1000,
        "credit_revenue USD": -1000,
    }
    assert wallet(desk) == 0
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("role", [None, "operator"])
def test_where_there_are_several_organisations_one_is_named(db, desk, paid, role) -> None:
    """Whoever holds the service's secret acts for all of them, and says for which."""
    settle(db)
    anybodys = desk.acting(actor_role=role, organization_id=None)

    with pytest.raises(psycopg.Error) as failure:
        anybodys.refund(paid["payment_intent_id"])
    assert refused(failure) == "forbidden"


def test_the_platforms_back_office_refunds_nothing(desk, paid) -> None:
    with pytest.raises(psycopg.Error) as failure:
        desk.acting(actor_role="operator").refund(paid["payment_intent_id"])
    assert refused(failure) == "refund-not-allowed"


def test_the_only_organisation_need_not_be_named(desk, paid) -> None:
    assert desk.acting(organization_id=None).refund(paid["payment_intent_id"])
