"""The command API and the settlement report: credentials, faults, then the command."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.faults import Fault, Kind
from sandbox.gateways.payu import hashes
from sandbox.gateways.payu.refunds import Refunds
from sandbox.gateways.payu.settlements import Settlements
from sandbox.gateways.payu.transactions import Transactions, listed
from sandbox.gateways.server import calls as play
from sandbox.gateways.server.simulator import House
from sandbox.gateways.server.state import Books, Document

Form = dict[str, str]
Command = Callable[[Form], Document]
TXNIDS_MAX = 50
PAGE_SIZE_MAX = 500
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
SIGNED = re.compile(
    r'hmac username="([^"]*)", ?algorithm="sha512", ?headers="date", ?signature="([0-9a-f]{128})"'
)


class Api:
    def __init__(
        self, house: House, books: Books, keys: Sequence[str], salts: Sequence[str]
    ) -> None:
        self.house = house
        self.books = books
        self.keys = keys
        self.salts = salts
        self.commands: dict[str, Command] = {}
        self.settlements = Settlements(books)

    def serve(self, transactions: Transactions, refunds: Refunds) -> None:
        """Name the commands that there are."""
        of_all = Commands(transactions, refunds)
        self.commands = {
            "verify_payment": of_all.verify,
            "check_payment": of_all.check,
            "check_action_status": of_all.actions,
            "cancel_refund_transaction": refunds.ask,
            "getAllRefundsFromTxnIds": lambda form: refunds.listed(form.get("var1", "")),
        }

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/merchant/postservice.php", self._command, methods=["POST"]),
            Route("/merchant/postservice", self._command, methods=["POST"]),
            Route("/settlement/range", self._report, methods=["GET"]),
        ]

    async def _command(self, request: Request) -> Response:
        form = await read_form(request)
        command = form.get("command", "")
        refusal = self._refusal(form)
        if refusal:
            return JSONResponse({"status": 0, "msg": refusal})
        fault = self.house.faults.take(self.books.gateway, command)
        if fault and fault.kind is Kind.LATE_EFFECT:
            self._postpone(command, form, fault.seconds)
        return await played(fault, lambda: self._run(command, form))

    def _refusal(self, form: Form) -> str | None:
        if form.get("key") not in self.keys:
            return "Invalid Merchant Key"
        if form.get("hash") not in {hashes.of_command(form, salt) for salt in self.salts}:
            return "Invalid Hash."
        if form.get("command") not in self.commands:
            return "Invalid Command"
        return None if form.get("var1") else "Parameter missing"

    def _run(self, command: str, form: Form) -> Document:
        with self.house.store.transaction():
            return self.commands[command](form)

    def _postpone(self, command: str, form: Form, seconds: float) -> None:
        """Have a command run in some seconds of simulated time; nobody hears of its result."""
        now = self.house.store.exact_now()
        call = uuid4().hex
        late = {"id": call, "created": int(now), "command": command, "form": form}
        with self.house.store.transaction():
            self.books.insert("late_call", late)
            self.books.set_timer("late_call", call, now + seconds)

    def perform_late(self, identifier: str) -> None:
        late = self.books.get("late_call", identifier)
        self.commands[late["command"]](late["form"])

    async def _report(self, request: Request) -> Response:
        if not self._may_report(request.headers):
            return JSONResponse({"status": 1, "message": "Unauthorized"}, 401)
        query = request.query_params
        first, last = query.get("dateFrom", ""), query.get("dateTo") or query.get("dateFrom", "")
        page, size = query.get("page", "1"), query.get("pageSize", str(PAGE_SIZE_MAX))
        if not (DAY.fullmatch(first) and DAY.fullmatch(last) and page.isdigit() and size.isdigit()):
            return JSONResponse({"status": 1, "message": "Invalid input"}, 400)
        fault = self.house.faults.take(self.books.gateway, "settlement.range")
        number, limit = max(1, int(page)), min(PAGE_SIZE_MAX, max(1, int(size)))
        return await played(fault, lambda: self.settlements.report(first, last, number, limit))

    def _may_report(self, headers: Mapping[str, str]) -> bool:
        found = SIGNED.fullmatch(headers.get("authorization", ""))
        signatures = {hashes.of_report(headers.get("date", ""), salt) for salt in self.salts}
        return bool(found and found[1] in self.keys and found[2] in signatures)


class Commands:
    """The commands that only look."""

    def __init__(self, transactions: Transactions, refunds: Refunds) -> None:
        self.transactions = transactions
        self.refunds = refunds

    def verify(self, form: Form) -> Document:
        asked = form["var1"].split("|")[:TXNIDS_MAX]
        found = {txnid: self._found(txnid) for txnid in asked}
        known = sum(one["status"] != "Not Found" for one in found.values())
        return {
            "status": int(known > 0),
            "msg": f"{known} out of {len(asked)} Transactions Fetched Successfully",
            "transaction_details": found,
        }

    def _found(self, txnid: str) -> Document:
        transaction = self.transactions.find(txnid)
        if transaction is None:
            return {"mihpayid": "Not Found", "status": "Not Found"}
        return listed(transaction)

    def check(self, form: Form) -> Document:
        transaction = self.transactions.by_id(form["var1"])
        if transaction is None:
            return {"status": 0, "msg": "Transaction not found"}
        said = "Transaction Fetched Successfully"
        return {"status": 1, "msg": said, "transaction_details": listed(transaction)}

    def actions(self, form: Form) -> Document:
        """Tell what was done to a payment (var2 = payuid), or of one request."""
        asked = form["var1"]
        if form.get("var2") == "payuid":
            transaction = self.transactions.by_id(asked)
            found = self.refunds.of(transaction["id"]) if transaction else []
        else:
            found = self._by_request(asked)
        if not found:
            details: Any = {asked: "No action status found"}
            said = "0 out of 1 Transactions Fetched Successfully"
            return {"status": 0, "msg": said, "transaction_details": details}
        mode = self.transactions.books.get("transaction", found[0]["txnid"])["mode"]
        details = {asked: {one["request_id"]: self.refunds.action(one, mode) for one in found}}
        said = "1 out of 1 Transactions Fetched Successfully"
        return {"status": 1, "msg": said, "transaction_details": details}

    def _by_request(self, request_id: str) -> list[Document]:
        one = self.refunds.by_request(request_id)
        return [one] if one else []


async def played(fault: Fault | None, run: Callable[[], Document]) -> Response:
    """Run a call around its fault; what is to happen late is the caller's to postpone."""
    instead = await play.before(fault, broken)
    if instead is not None:
        return instead
    if fault and fault.kind is Kind.LATE_EFFECT:
        return play.CutConnection()
    answer: Response = JSONResponse(run())
    if fault and fault.kind is Kind.ERROR_AFTER_EFFECT:
        return broken(500)
    return play.after(fault, answer)


async def read_form(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def broken(status: int) -> Response:
    """Answer as PayU does when it fails or limits the rate."""
    if status == 429:
        return JSONResponse({"status": 0, "msg": "Too many Requests"}, status)
    return Response("<html><body>Internal Server Error</body></html>", status)
