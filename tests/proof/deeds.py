"""What shops, their people, payers' banks and time do about an order, a step at a time.

What a payer's browser does is in visits.py.
"""

from __future__ import annotations

from gateways.world import DAY
from proof.cases import Case
from proof.shops import AMOUNT, PART, At, Shop
from proof.visits import world_of

from app.gateways import Finding, Outcome, Subject
from sandbox.tokens import User


def route(shop: Shop, gateways: tuple[str, ...], case: Case) -> None:
    """Switch the shop's gateways on, in this order, and all others off. All of them answer."""
    case.sql(
        "update gateway_routes set is_enabled = gateway = any(%(gateways)s::text[]),"
        " rank = coalesce(array_position(%(gateways)s::text[], gateway), 99)"
        " where organization_id = %(shop)s returning id",
        gateways=list(gateways),
        shop=shop.organization_id,
    )
    case.stage.database.execute("delete from gateway_circuits")


def initiate(shop: Shop, case: Case, **named: str) -> None:
    """Ask for the page of an order, which is one however often it is asked."""
    said = case.says(
        case.stage.action(
            "initiate_payment",
            shop.payer,
            order_reference=case.key,
            amount=AMOUNT,
            currency=shop.currency,
            **named,
        )
    )
    for name in ("transaction_id", "payment_intent_id", "payment_url"):
        case.same(name, said[name])


def verify(shop: Shop, case: Case) -> None:
    session = {
        "x-hasura-role": "customer",
        "x-hasura-user-id": shop.payer.id,
        "x-hasura-organization-id": shop.organization_id,
    }
    path = f"/payments/{case.facts['transaction_id']}/verify"
    case.says(case.stage.rest("GET", path, headers=session))


def wait(seconds: int, case: Case) -> None:
    case.stage.advance(seconds)


def tick(cron: str, case: Case) -> None:
    case.says(case.stage.tick(cron))


def is_paid(case: Case) -> bool:
    """Whether the books know of the money; before that there is nothing to send back."""
    intent = case.facts.get("payment_intent_id")
    return bool(case.sql("select from payment_intents where id = %s and status = 'paid'", intent))


def fall_silent(gateway: str, case: Case) -> None:
    """Have others found out already that a gateway does not answer."""
    case.stage.database.execute(
        "insert into gateway_circuits (gateway, livemode, operation, failures, opened_at)"
        " values (%s, false, 'open', 5, clock_now())",
        [gateway],
    )


def say_yes_after_all(at: At, case: Case) -> None:
    """Have the bank of a payment that was declined find out that it was paid."""
    if at.gateway == "razorpay":
        for payment in case.own("payment", "razorpay"):
            if not payment["captured"]:
                case.stage.control(f"razorpay/payments/{payment['id']}/authorize")
    case.stage.advance(DAY)


def refund(shop: Shop, amount: int, key: str, case: Case) -> None:
    said = case.says(
        case.stage.action(
            "refund_payment",
            shop.keeper,
            payment_intent_id=case.facts["payment_intent_id"],
            amount=amount,
            reason="requested_by_customer",
            idempotency_key=f"{case.key}-{key}",
        )
    )
    case.same(f"refund {key}", said["refund_id"])
    case.heard.heard("refund", refund_id=said["refund_id"], amount=amount)


def payment_of(case: Case) -> Finding:
    (charge,) = case.charges()
    return Finding(subject=Subject.PAYMENT, outcome=Outcome.PAID, gateway_payment_id=charge["id"])


def is_held(case: Case) -> bool:
    """Whether the books know of money that the gateway keeps for us, or that it took."""
    intent = case.facts.get("payment_intent_id")
    query = "select from payment_intents where id = %s and status in ('authorized', 'paid')"
    return bool(case.sql(query, intent))


def capture(at: At, case: Case) -> None:
    said = case.says(
        case.stage.action(
            "capture_payment",
            at.shop.keeper,
            payment_intent_id=case.facts["payment_intent_id"],
            amount=at.capture,
        )
    )
    case.same("captured", said["status"])


def is_held_or_off(case: Case) -> bool:
    intent = case.facts.get("payment_intent_id")
    query = "select from payment_intents where id = %s and status in ('authorized', 'canceled')"
    return bool(case.sql(query, intent))


def let_go(at: At, case: Case) -> None:
    give_up(at.shop.keeper, case)


def give_up(who: User, case: Case) -> None:
    """Cancel the payment, which is off from then on whoever asks again."""
    intent = case.facts["payment_intent_id"]
    said = case.says(case.stage.action("cancel_payment", who, payment_intent_id=intent))
    case.same("given up", said["status"])


def call_off(shop: Shop, case: Case) -> None:
    """Have the shop's bus say that the order is off."""
    event = {
        "id": f"off-{case.key}",
        "type": "order.cancelled",
        "time": "2026-11-21T10:00:00Z",
        "data": {"orderId": case.key},
    }
    headers = {"x-hasura-organization-id": shop.organization_id}
    case.says(case.stage.rest("POST", "/events", json=event, headers=headers))


def is_taken(case: Case) -> bool:
    return bool(case.charges())


def dispute(at: At, case: Case) -> None:
    world_of(case, at.gateway).dispute(payment_of(case))


def lose(at: At, case: Case) -> None:
    (opened,) = case.own("dispute", at.gateway)
    finding = Finding(
        subject=Subject.DISPUTE, outcome=Outcome.OPENED, gateway_dispute_id=opened["id"]
    )
    world_of(case, at.gateway).decide(finding, Outcome.LOST)


def refund_there(at: At, case: Case) -> None:
    world_of(case, at.gateway).refund_there(payment_of(case), PART)


def wait_for_quiet_noon(at: At, case: Case) -> None:
    """Begin long after what other cases took is settled: it is in no report that this one reads.

    And at an hour from which the same days are over later, in whichever case.
    """
    settle(at, case)
    now = world_of(case, at.gateway).stage.now()
    case.stage.advance(4 * DAY - (now.hour * 60 + now.minute) * 60 + 12 * 3600)


def settle(at: At, case: Case) -> None:
    world_of(case, at.gateway).settle()


def read_the_list(at: At, case: Case) -> None:
    """Begin where the gateway's list was read before: the disputes of other cases are in it.

    Its reports, too: at what hour a flow is played is chance, and a day might be over in it.
    """
    case.stage.database.execute(
        "insert into dispute_polls (gateway, livemode, ask_since, begun_at, due_at, complete_until,"
        " reports_until) values (%s, false, clock_now(), clock_now(), clock_now(), clock_now(),"
        " (clock_now() at time zone 'UTC')::date)",
        [at.gateway],
    )
