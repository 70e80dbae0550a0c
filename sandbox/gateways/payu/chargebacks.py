"""The chargeback dashboard's API: the list of chargebacks from a day on."""

from collections.abc import Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gateways.payu.api import played
from sandbox.gateways.payu.disputes import ANSWER_SECONDS, KIND, MERCHANT_ID
from sandbox.gateways.payu.transactions import told
from sandbox.gateways.payu.units import INDIA, local, rupees
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.state import Books, Document, Slice

PER_PAGE = 500


class Chargebacks:
    def __init__(self, house: House, books: Books, keys: Sequence[str]) -> None:
        self.house = house
        self.books = books
        self.keys = keys

    def routes(self) -> list[BaseRoute]:
        return [Route("/api/v1/chargebacks", self._list, methods=["GET"])]

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        if request.headers.get("x-optimus-api-key") not in self.keys:
            return JSONResponse({"errors": [{"title": "Unauthorized"}]}, 401)
        first = _second(query.get("from_date", "01-01-2000"))
        last = _second(query.get("to_date", "31-12-2999"))
        if query.get("merchant_id") != MERCHANT_ID or first is None or last is None:
            return JSONResponse({"errors": [{"title": "Invalid parameters"}]}, 422)
        fault = self.house.faults.take(self.books.gateway, "chargebacks.list")
        return await played(fault, lambda: self._page(first, last + 86400))

    def _page(self, first: int, end: int) -> Document:
        created = {"gte": first, "lt": end}
        every = self.books.page(KIND, Slice(limit=10**6, created=created))[0]
        return {
            "data": [self._one(each) for each in every[:PER_PAGE]],
            "meta": {
                "pagination": {
                    "per-page": PER_PAGE,
                    "total-chargebacks": len(every),
                    "total-pages": max(1, -(-len(every) // PER_PAGE)),
                }
            },
        }

    def _one(self, dispute: Document) -> Document:
        transaction = self.books.get("transaction", dispute["txnid"])
        said = told(transaction)
        attributes = {
            "id": int(dispute["id"]),
            "chargeback-amount": rupees(dispute["amount"]),
            "chargeback-type": "CB",
            "chargeback-date": _day(dispute["created"]),
            "status": dispute["status"],
            "reply-before": _day(dispute["created"] + ANSWER_SECONDS),
            "chargeback-reason": dispute["reason"],
            "debit-date": "NA",
            "credit-date": "NA",
            "customer-dispute-docs": [],
            "transaction-details": {
                "payu-id": dispute["mihpayid"],
                "transaction-id": dispute["txnid"],
                "transaction-date": _day(transaction["created"]),
                "transaction-amount": said["amount"],
                "card-number": said["card_no"],
                "bank-reference-number": said["bank_ref_num"],
                "product-info": said["productinfo"],
                "udf-1": said["udf1"],
            },
        }
        return {"id": dispute["id"], "type": "chargebacks", "attributes": attributes}


def _second(written: str) -> int | None:
    """Read a day of India's as its first second; None for what is none."""
    try:
        day = datetime.strptime(written, "%d-%m-%Y").replace(tzinfo=INDIA)
    except ValueError:
        return None
    return int(day.timestamp())


def _day(seconds: int) -> str:
    return f"{datetime.fromisoformat(local(seconds)):%d-%b-%Y}"
