"""PayU's list of chargebacks, in our words: its webhooks of them prove nothing.

https://docs.payu.in/reference/read-chargeback-api
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from app.errors import GatewayUnavailableError
from app.findings import dispute_in
from app.gateways import Finding, Outcome, Subject
from app.gateways.payu import references
from app.gateways.payu.findings import INDIA, rupees, text
from app.gateways.payu.words import DISPUTES, dispute_state

Object = Mapping[str, Any]

# Spelled out, as what a month is called must not depend on where this runs.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def query(merchant_id: str, since: datetime) -> dict[str, object]:
    """Ask for all from a day on: PayU tells the day of a chargeback, not the hour."""
    day = since.astimezone(INDIA)
    return {"merchant_id": merchant_id, "from_date": f"{day:%d-%m-%Y}"}


def found(answer: Any) -> Iterator[Finding]:
    """Translate the list, the newest first. Raises GatewayUnavailableError where it is none.

    How a second page is asked for is not documented: of a list that has one, what is here is told
    before it is said that there is more.
    """
    try:
        pages = int(answer["meta"]["pagination"]["total-pages"])
        every = [dispute_in(each, _listed, _named) for each in answer["data"]]
    except (LookupError, TypeError, ValueError, AttributeError) as failure:
        message = "PayU's list of chargebacks is not as documented"
        raise GatewayUnavailableError(message) from failure
    yield from sorted(every, key=_age, reverse=True)
    if pages > 1:
        message = "PayU's list of chargebacks is longer than a page"
        raise GatewayUnavailableError(message)


def _listed(entry: Object) -> Finding:
    return _of_dispute(entry["attributes"])


def _named(entry: Object) -> tuple[object, object]:
    return entry["attributes"]["id"], None


def _of_dispute(dispute: Object) -> Finding:
    transaction = dispute["transaction-details"]
    txnid = text(transaction["transaction-id"])
    return Finding(
        subject=Subject.DISPUTE,
        outcome=DISPUTES.get(dispute_state(dispute["status"]), Outcome.UNKNOWN),
        payment_attempt_id=references.payment_attempt_id(txnid),
        gateway_payment_id=txnid,
        gateway_dispute_id=text(dispute["id"]),
        amount=rupees(dispute["chargeback-amount"]),
        reason=text(dispute.get("chargeback-reason")),
        opened_at=_day(dispute["chargeback-date"]),
        evidence_due_at=_day(dispute.get("reply-before")),
    )


def _age(finding: Finding) -> float:
    return finding.opened_at.timestamp() if finding.opened_at else 0


def _day(written: Any) -> datetime | None:
    """Read `24-Feb-2023`; None for NA and the like."""
    day, _, rest = str(written).partition("-")
    month, _, year = rest.partition("-")
    if month not in MONTHS:
        return None
    return datetime(int(year), MONTHS.index(month) + 1, int(day), tzinfo=INDIA)
