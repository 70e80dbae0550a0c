"""Finding what Stripe has and we have no id of: a payment by our own reference, disputes by date.

Lists are used, which show what happened at once. Stripe's search by metadata does not: it is
a minute late on good days, and what it does not show may exist.
https://docs.stripe.com/search#data-freshness
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import stripe

from app.errors import GatewayUnavailableError
from app.findings import dispute_in, refund_in
from app.gateways import Finding, Query
from app.gateways.stripe import findings
from app.gateways.stripe.answers import answer

SKEW = timedelta(minutes=5)  # how far Stripe's clock may be from ours
SOON = timedelta(minutes=10)  # so long after its attempt was made nearly every page is opened
PAGE_LIFE = timedelta(days=1)  # nobody opens a page or repeats a key later than that
OBJECTS_MAX = 1000  # ten requests
END: Any = object()
TOO_MANY = f"more than {OBJECTS_MAX} objects to look through"


def page_by_reference(client: stripe.StripeClient, query: Query) -> str | None:
    """Look through the pages that were opened when ours must have been, and answer its id.

    First through those of its first minutes: of a whole day there may be more than can be read.
    What it holds is asked for by that. Of the others two words are read, and they are many: so the
    answers are read as they come, for the SDK takes longer to make its objects of them than to ask.
    """

    def search() -> str | None:
        soon = int((query.since + SOON).timestamp())
        created = _created(query)
        for window in ({**created, "lte": soon}, {**created, "gte": soon + 1}):
            for session in _sessions(client, window):
                if session["client_reference_id"] == query.payment_attempt_id:
                    return str(session["id"])
        return None

    return answer(search)


def _sessions(client: stripe.StripeClient, created: dict[str, int]) -> list[Any]:
    """Read the list to its end, as `_all` does."""
    params: dict[str, Any] = {"created": created, "limit": 100}
    found: list[Any] = []
    while True:
        page: Any = client.raw_request("get", "/v1/checkout/sessions", **params).data
        found += page["data"]
        if not page["has_more"]:
            return found
        if len(found) >= OBJECTS_MAX:
            raise GatewayUnavailableError(TOO_MANY)
        params["starting_after"] = found[-1]["id"]


def charge_by_reference(client: stripe.StripeClient, query: Query) -> Finding | None:
    """Look through what was charged to the customer's saved methods."""
    params: Any = {
        "customer": query.gateway_customer_id,
        "created": _created(query),
        "limit": 100,
        "expand": ["data.latest_charge"],
    }

    def search() -> Finding | None:
        for intent in _all(client.v1.payment_intents.list(params).auto_paging_iter()):
            found = findings.of_intent(intent)
            if found.payment_attempt_id == query.payment_attempt_id:
                return found
        return None

    return answer(search)


def refund_by_reference(
    client: stripe.StripeClient, refund_id: str, gateway_payment_id: str
) -> Finding | None:
    """Look through the refunds of a payment."""
    found = refunds(client, gateway_payment_id)
    return next((one for one in found if one.refund_id == refund_id), None)


def refunds(client: stripe.StripeClient, gateway_payment_id: str) -> list[Finding]:
    """List the refunds of a payment, whoever made them."""
    params: Any = {"payment_intent": gateway_payment_id, "limit": 100}
    return answer(
        lambda: [
            findings.of_refund(each)
            for each in _all(client.v1.refunds.list(params).auto_paging_iter())
        ]
    )


def new_refunds(client: stripe.StripeClient, since: datetime) -> Iterator[Finding]:
    """List them page by page, without a limit: whoever asks takes as many as they have time for."""
    params: Any = {"created": {"gte": int((since - SKEW).timestamp())}, "limit": 100}
    listed = answer(lambda: client.v1.refunds.list(params).auto_paging_iter())

    while (found := answer(lambda: next(listed, END))) is not END:
        entry = found.to_dict() if isinstance(found, stripe.StripeObject) else found
        yield refund_in(entry, findings.of_refund)


def disputes(client: stripe.StripeClient, since: datetime) -> Iterator[Finding]:
    """List them page by page, without a limit: whoever asks takes as many as they have time for."""
    params: Any = {"created": {"gte": int((since - SKEW).timestamp())}, "limit": 100}
    listed = answer(lambda: client.v1.disputes.list(params).auto_paging_iter())

    while (found := answer(lambda: next(listed, END))) is not END:
        entry = found.to_dict() if isinstance(found, stripe.StripeObject) else found
        yield dispute_in(entry, findings.of_dispute, _names)


def _names(dispute: Any) -> tuple[object, object]:
    return dispute["id"], dispute.get("payment_intent")


def _created(query: Query) -> dict[str, int]:
    first, last = query.since - SKEW, query.since + PAGE_LIFE + SKEW
    return {"gte": int(first.timestamp()), "lte": int(last.timestamp())}


def _all(objects: Iterable[stripe.StripeObject]) -> list[dict[str, Any]]:
    """Read a list to its end: only then is what it does not hold not there."""
    found = [each.to_dict() for each in islice(objects, OBJECTS_MAX + 1)]
    if len(found) > OBJECTS_MAX:
        raise GatewayUnavailableError(TOO_MANY)
    return found
