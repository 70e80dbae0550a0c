"""What the books say once everything about an order has come through, as lists of complaints."""

from __future__ import annotations

from typing import Any

from proof.cases import JANITOR, Case
from proof.shops import AMOUNT, PART, At


def rows_of(case: Case) -> list[dict[str, object]]:
    return case.sql(
        "select payment_intents.status, payment_attempts.gateway, payment_attempts.status as"
        " attempt, is_surplus, amount_captured, amount_refunded"
        " from orders join payment_intents on payment_intents.id = payment_intent_id"
        " left join payment_attempts using (payment_intent_id)"
        " where reference = %s order by payment_attempts.created_at",
        case.key,
    )


def paid_once(case: Case) -> list[str]:
    rows, charges = rows_of(case), case.charges()
    if case.facts.get("turned away") and not charges:
        return nothing_was_sold(case) if JANITOR in case.powers else []
    captured = [row for row in rows if row["attempt"] == "captured"]
    complaints = []
    if [row["status"] for row in captured] != ["paid"]:
        complaints.append(f"the books say {rows}")
    if [one["amount"] for one in charges] != [AMOUNT]:
        complaints.append(f"the gateway took {charges}")
    return complaints


def paid_at(gateway: str, case: Case) -> list[str]:
    """One payment, and nobody but that gateway was ever asked."""
    strangers = [row for row in rows_of(case) if row["gateway"] != gateway]
    return paid_once(case) + [f"there is an attempt elsewhere: {row}" for row in strangers]


def taken_as_told(at: At, case: Case) -> list[str]:
    """As much as was said, once; the rest is the payer's again."""
    rows, taken = rows_of(case), [one["amount"] for one in case.charges()]
    found = [(row["status"], row["attempt"], row["amount_captured"]) for row in rows]
    fine = found == [("paid", "captured", at.capture)] and taken == [at.capture]
    return [] if fine else [f"the gateway took {taken}, the books say {rows}"]


def nothing_was_sold(case: Case) -> list[str]:
    """No attempt is open at the end, where there was somebody to ask about a late one."""
    over = {"failed", "expired", "canceled"}
    left = [row for row in rows_of(case) if row["attempt"] not in over]
    complaints = [f"the books say {row}" for row in left if JANITOR in case.powers]
    return complaints + [f"the gateway took {one}" for one in case.charges()]


def nothing_is_held(case: Case) -> list[str]:
    """The order is off, nothing was taken, and what is held for it yet a person is told of."""
    rows = rows_of(case)
    complaints = [f"the gateway took {one}" for one in case.charges()]
    if {row["status"] for row in rows} != {"canceled"}:
        complaints.append(f"the books say {rows}")
    left = case.sql(
        "select payment_attempts.gateway, payment_attempts.status from payment_attempts"
        " join orders using (payment_intent_id) where reference = %s"
        " and payment_attempts.status not in ('failed', 'expired', 'canceled')"
        " and payment_attempts.id not in (select object_id from exceptions"
        " where class = 'hold-not-released' and resolved_at is null)",
        case.key,
    )
    return complaints + [f"held for ever: {one}" for one in left if JANITOR in case.powers]


def all_is_back(at: At, case: Case) -> list[str]:
    """The order is off, and what was paid all the same goes back; the janitor sends it."""
    rows, taken = rows_of(case), sum(one["amount"] for one in case.charges())
    back = sum(one.amount for one in case.sent_back() if one.is_done)
    promised = sum(row["amount"] for row in refunds_of(case))
    complaints = []
    if {row["status"] for row in rows} != {"canceled"}:
        complaints.append(f"the books say {rows}")
    if not case.faults and taken != (0 if at.can_close else AMOUNT):
        complaints.append(f"the gateway took {taken}")
    if JANITOR in case.powers and (back, promised) != (taken, taken):
        complaints.append(f"the gateway took {taken}, sent back {back}, the books say {promised}")
    if back > taken or promised > taken:
        complaints.append(f"of {taken} goes back {promised}")
    return complaints


def all_is_back_by_two_ways(case: Case) -> list[str]:
    """What the shop sent back by itself and what the system sends come to all, and no more."""
    rows, taken = refunds_of(case), sum(one["amount"] for one in case.charges())
    back = sum(one.amount for one in case.sent_back() if one.is_done)
    going = sum(row["amount"] for row in rows if row["status"] not in ("failed", "canceled"))
    booked = sum(row["amount"] for row in rows if row["status"] == "succeeded")
    fine = max(back, going) <= taken
    if JANITOR in case.powers:
        fine = fine and (back, booked) == (taken, taken)
    return [] if fine else [f"of {taken} the gateway sent back {back}, the books say {rows}"]


def refunds_of(case: Case) -> list[dict[str, Any]]:
    return case.sql(
        "select id::text, status, amount::int from refunds where payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )


def parts_are_back(case: Case) -> list[str]:
    """Tell how much went back. One that was promised is sent by the janitor, where there is one."""
    rows, done = refunds_of(case), [one for one in case.sent_back() if one.is_done]
    booked = {row["id"] for row in rows if row["status"] == "succeeded"}
    fine = {one.refund_id for one in done} >= booked and len(rows) == 2
    if JANITOR in case.powers:
        fine = fine and [one.amount for one in done] == [PART, PART] and len(booked) == 2
    return [] if fine else [f"the gateway sent back {done}, the books say {rows}"]


def nothing_is_back(case: Case) -> list[str]:
    rows, done = refunds_of(case), [one for one in case.sent_back() if one.is_done]
    fine = not done and len(rows) == 1 and rows[0]["status"] != "succeeded"
    if JANITOR in case.powers:
        fine = fine and rows[0]["status"] == "failed"
    return [] if fine else [f"the gateway sent back {done}, the books say {rows}"]


def is_lost(case: Case) -> list[str]:
    rows = case.sql(
        "select status, amount::int from disputes where payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )
    fine = rows == [{"status": "lost", "amount": AMOUNT}] or not (rows or JANITOR in case.powers)
    return [] if fine else [f"the books say {rows}"]


def is_disputed(case: Case) -> list[str]:
    """What a bank disputes is booked, as soon as anybody can know of it."""
    rows = case.sql(
        "select status, amount::int from disputes where payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )
    return [] if rows == [{"status": "opened", "amount": AMOUNT}] else [f"the books say {rows}"]


def is_back_there(case: Case) -> list[str]:
    """What somebody sent back at the gateway is booked once, as the gateway's own."""
    rows = case.sql(
        "select requested_by, status, amount::int from refunds where payment_intent_id = %s",
        case.facts["payment_intent_id"],
    )
    wanted = [{"requested_by": "gateway", "status": "succeeded", "amount": PART}]
    return [] if rows == wanted else [f"the books say {rows}"]


def second_goes_back(case: Case) -> list[str]:
    """What was paid on one page beyond the order is surplus, and sent back, each payment once."""
    rows, charges = rows_of(case), case.charges()
    captured = [row for row in rows if row["attempt"] == "captured"]
    complaints = []
    if len(charges) < 2 and not case.faults:
        complaints.append("nobody paid twice")
    if sorted(row["is_surplus"] for row in captured) != [False, True, True][: len(charges)]:
        complaints.append(f"the gateway took {charges}, the books say {rows}")
    if JANITOR in case.powers:
        more = [AMOUNT] * (len(charges) - 1)
        sent = [one.amount for one in case.sent_back() if one.is_done]
        booked = [
            row["amount"]
            for row in case.sql(
                "select refunds.amount::int from refunds join orders using (payment_intent_id)"
                " where reference = %s and refunds.status = 'succeeded'",
                case.key,
            )
        ]
        if not sent == booked == more:
            complaints.append(f"{more} was too much, {sent} sent back, {booked} booked so")
    return complaints


def paid_twice(first: str, case: Case) -> list[str]:
    """All that was taken is booked: the order is paid once, and a surplus is listed.

    Where the choice of another gateway was lost, all was paid on one page.
    """
    rows, charges = rows_of(case), case.charges()
    captured = [row for row in rows if row["amount_captured"]]
    surplus = [row["gateway"] for row in captured if row["is_surplus"]]
    complaints = []
    if len(captured) != len(charges) or surplus != [first] * (len(captured) - 1):
        complaints.append(f"the gateways took {charges}, the books say {rows}")
    if len(charges) < 2 and not case.faults:
        complaints.append("nobody paid twice")
    listed = case.sql(
        "select from exceptions join payment_attempts on object_id = payment_attempts.id"
        " join orders using (payment_intent_id) where reference = %s",
        case.key,
    )
    return complaints if len(listed) >= len(surplus) else [*complaints, "it is not listed"]
