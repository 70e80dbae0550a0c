"""Settlements: what is due is paid out in one transfer, less fees and the GST on them."""

import base64
from secrets import randbelow
from typing import Any, NamedTuple

from sandbox.gateways.cashfree import times
from sandbox.gateways.cashfree.calls import Call, Operation
from sandbox.gateways.cashfree.errors import invalid, missing
from sandbox.gateways.cashfree.events import Events
from sandbox.gateways.cashfree.payments import Payments
from sandbox.gateways.cashfree.recon import recon_item
from sandbox.gateways.cashfree.refunds import taken
from sandbox.gateways.cashfree.rupees import rupees
from sandbox.gateways.server.state import Books, Document, Slice

FEE_BASIS_POINTS, TAX_BASIS_POINTS = 195, 1800  # 1.95 % of the payment, 18 % of the fee
LIMIT, LIMIT_MAX = 10, 1000
MOST = 10_000
WON = {"MERCHANT_WON"}


class Charge(NamedTuple):
    """What Cashfree keeps of a line."""

    fee: int
    tax: int


FREE = Charge(0, 0)


class Settlements:
    def __init__(self, payments: Payments, events: Events) -> None:
        self.books: Books = payments.books
        self.payments = payments
        self.events = events

    def operations(self) -> list[Operation]:
        return [Operation("POST", "/settlement/recon", "settlement.recon", self._recon)]

    def settle(self) -> Document | None:
        """Pay out what is due; None when nothing is. Needs a transaction."""
        due = [*self._payments(), *self._refunds(), *self._disputes()]
        if not due:
            return None
        now, number = self.books.store.now(), 900_000 + randbelow(10**8)
        settlement = {
            "id": str(number),
            "created": now,
            "utr": f"CITIN{number:014d}",
            "amount": sum(line["net"] for line in due),
            "gross": sum(line["gross"] for line in due),
            "fee": sum(line["fee"] for line in due),
            "tax": sum(line["tax"] for line in due),
        }
        self.books.insert("settlement", settlement)
        for line in due:
            self.books.insert("line", {**line, "created": now, "settlement": settlement["id"]})
        self._tell(settlement)
        return settlement

    def _payments(self) -> list[Document]:
        found = []
        for one in self._unsettled("payment"):
            if one["captured"]:
                amount = taken(one)
                found.append(_line("PAYMENT", one["id"], one, amount, _charge(amount)))
                self._mark("payment", one)
        return found

    def _refunds(self) -> list[Document]:
        found = []
        for one in self._unsettled("refund"):
            if one["status"] == "SUCCESS":
                line = _line("REFUND", one["cf_refund_id"], one, -one["amount"])
                found.append({**line, "refund": one["id"]})
                self._mark("refund", one)
        return found

    def _disputes(self) -> list[Document]:
        """Take what is disputed, and give it back once the dispute is won."""
        found = []
        for one in self.books.page("dispute", Slice(limit=MOST))[0][::-1]:
            kind = "DISPUTE" if one["type"] == "DISPUTE" else "CHARGEBACK"
            if not one["settled"]:
                found.append(_dispute_line(kind, one, -one["amount"]))
                one["settled"] = True
            elif one["state"] in WON and not one["reversed"] and one["type"] != "RETRIEVAL":
                found.append(_dispute_line(f"{kind}_REVERSAL", one, one["amount"]))
                one["reversed"] = True
            self.books.update("dispute", one)
        return found

    def _unsettled(self, kind: str) -> list[Document]:
        """List what no settlement has yet, oldest first."""
        return self.books.page(kind, Slice(limit=MOST, equals={"settled": 0}))[0][::-1]

    def _mark(self, kind: str, one: Document) -> None:
        one["settled"] = True
        self.books.update(kind, one)

    def _tell(self, settlement: Document) -> None:
        now = times.written(settlement["created"])
        data = {
            "settlement_id": int(settlement["id"]),
            "status": "SUCCESS",
            "utr": settlement["utr"],
            "settlement_type": "STANDARD",
            "payment_amount": rupees(settlement["gross"]),
            "service_charge": rupees(settlement["fee"]),
            "service_tax": rupees(settlement["tax"]),
            "adjustment": rupees(0),
            "settlement_amount": rupees(settlement["amount"]),
            "amount_settled": rupees(settlement["amount"]),
            "reason": None,
            "settlement_initiated_on": now,
            "settled_on": now,
        }
        self.events.emit("SETTLEMENT_SUCCESS", {"settlement": data})

    def _recon(self, call: Call) -> dict[str, Any]:
        """List the lines of the settlements of some days, or of some settlements, page by page."""
        filters = call.body.get("filters")
        paging = call.body.get("pagination")
        if not isinstance(filters, dict) or not isinstance(paging, dict):
            raise missing("filters" if not isinstance(filters, dict) else "pagination")
        limit = paging.get("limit", LIMIT)
        if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
            raise invalid("pagination.limit", f"should be between 1 and {LIMIT_MAX}")
        start = _position(paging.get("cursor"))
        lines = self._chosen(filters)
        rest = len(lines) > start + limit
        return {
            "cursor": _cursor(start + limit) if rest else None,
            "limit": limit,
            "data": [self._shown(one) for one in lines[start : start + limit]],
        }

    def _chosen(self, filters: dict[str, Any]) -> list[Document]:
        """Choose settlements, and list their lines, oldest first."""
        ids, utrs = filters.get("cf_settlement_ids"), filters.get("settlement_utrs")
        first, last = (times.instant(filters.get(name)) for name in ("start_date", "end_date"))
        if ids is None and utrs is None and (first is None or last is None):
            raise missing("filters.start_date")
        chosen = {
            one["id"]
            for one in self.books.page("settlement", Slice(limit=MOST))[0]
            if (ids is None or one["id"] in map(str, ids))
            and (utrs is None or one["utr"] in utrs)
            and (first is None or last is None or first <= one["created"] <= last)
        }
        lines = self.books.page("line", Slice(limit=MOST))[0][::-1]
        return [one for one in lines if one["settlement"] in chosen]

    def _shown(self, line: Document) -> dict[str, Any]:
        settlement = self.books.get("settlement", line["settlement"])
        order = self.payments.orders.find(line["order"])
        payment = self.books.get("payment", line["payment"])
        refund = self.books.get("refund", line["refund"]) if line.get("refund") else None
        return recon_item(line, settlement, (order, payment, refund))


def _charge(amount: int) -> Charge:
    fee = _part(amount, FEE_BASIS_POINTS)
    return Charge(fee, _part(fee, TAX_BASIS_POINTS))


def _part(amount: int, basis_points: int) -> int:
    return (amount * basis_points + 5_000) // 10_000


def _line(kind: str, event: str, about: Document, gross: int, charge: Charge = FREE) -> Document:
    return {
        "id": f"{kind}:{event}",
        "event": event,
        "type": kind,
        "order": about["order"],
        "payment": about.get("payment", about["id"]),
        "gross": gross,
        "fee": charge.fee,
        "tax": charge.tax,
        "net": gross - charge.fee - charge.tax,
    }


def _dispute_line(kind: str, dispute: Document, gross: int) -> Document:
    return {**_line(kind, dispute["id"], dispute, gross), "dispute": dispute["id"]}


def _cursor(position: int) -> str:
    return base64.b64encode(b"%d" % position).decode()


def _position(cursor: object) -> int:
    if cursor is None:
        return 0
    try:
        return int(base64.b64decode(str(cursor), validate=True))
    except ValueError as failure:
        raise invalid("pagination.cursor", "is not one of ours") from failure
