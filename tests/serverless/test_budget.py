"""Nothing of ours is ended in its middle, however slow a gateway and Hasura are.

Time is played: whoever is asked takes as long as is waited for them, and the clock goes on by that.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, date, datetime
from io import BytesIO
from itertools import product
from threading import current_thread
from typing import Any

import pytest
import requests
import yaml
from flask.testing import FlaskClient
from serverless.conftest import ROOT

import app
from app import budget, create_app, gateways
from app.connections import Session
from app.endpoints import discover
from app.errors import AppError
from app.gateways import Charge, Money, Query, RefundOrder, SavedCharge, Setup
from app.graphql import operations
from sandbox.world import Ports, app_environment

ID = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
THEN = "2026-11-22T09:00:00+00:00"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
RUPEES = Money(2500, "INR")
# Seconds that Hasura takes. What is kept for the books is enough for two slow answers.
QUICK, SLOW, SILENT = 0.5, 1.9, 600.0

# What a gateway says that leads furthest, in the words of all of them at once.
NO = {
    "error": {"code": "BAD_REQUEST_ERROR", "type": "invalid_request_error", "description": "no"},
    "code": "order_already_exists",
    "message": "no",
}
ONE = {"id": "x", "object": "x", "settlement_id": "x"}
LIST = {
    "items": [ONE] * 1000,
    "data": [ONE] * 100,
    "has_more": True,
    "object": "list",
    "url": "/v1/x",
    "cursor": "x",
}
EMPTY = {"items": [], "data": [], "has_more": False, "object": "list", "url": "/v1/x"}
MOODS: dict[str, tuple[int, object] | None] = {
    "silent": None,
    "no": (400, NO),
    "lists": (200, LIST),
    "lists nothing": (200, EMPTY),
    "nonsense": (200, {}),
}

CHARGE = Charge(
    id=ID,
    amount=RUPEES,
    title="A booking",
    email="ada@example.com",
    success_url="https://shop.example/paid",
    cancel_url="https://shop.example/cancelled",
    expires_at=NOW,
    name="Ada",
    phone="+919800000000",
    reference="ref",
)
SAVED = SavedCharge(ID, RUPEES, "A booking", "ada@example.com", "cus_1", "pm_1")
SETUP = Setup(ID, "INR", "ada@example.com", "https://shop/a", "https://shop/b", NOW)
ORDER = RefundOrder(ID, f"{ID.replace('-', '')}:1", RUPEES, "requested_by_customer")
ASKED: dict[str, Callable[[Any], object]] = {
    "open": lambda gateway: gateway.open(CHARGE),
    "open_upi": lambda gateway: gateway.open_upi(CHARGE),
    "open_setup": lambda gateway: gateway.open_setup(SETUP),
    "charge": lambda gateway: gateway.charge(SAVED),
    "capture": lambda gateway: gateway.capture(ID, "pay_1", RUPEES),
    "cancel": lambda gateway: gateway.cancel(ID, "pay_1"),
    "expire": lambda gateway: gateway.expire(ID, "cs_1"),
    "refund": lambda gateway: gateway.refund(ORDER),
    "find": lambda gateway: gateway.find(Query(ID, NOW)),
    "find_payments": lambda gateway: gateway.find_payments(Query(ID, NOW)),
    "find_refund": lambda gateway: gateway.find_refund(ID, ORDER.gateway_payment_id),
    "find_refunds": lambda gateway: gateway.find_refunds(ORDER.gateway_payment_id),
    "find_new_refunds": lambda gateway: list(gateway.find_new_refunds(NOW)),
    "find_disputes": lambda gateway: list(gateway.find_disputes(NOW)),
    "find_payment_disputes": lambda gateway: gateway.find_payment_disputes("pay_1"),
    "find_setup": lambda gateway: gateway.find_setup(ID, "cs_1"),
    "settlements": lambda gateway: list(gateway.settlements(date(2026, 11, 22))),
    "receipt_url": lambda gateway: gateway.receipt_url("pi_1"),
}
NOT_ASKED = {"read", "read_return"}  # what came is read, and nobody is asked

IDS = ("id", "payment_attempt_id", "payment_intent_id", "organization_id", "object_id")
TEXTS = (
    *("name", "title", "source", "type", "detail_type", "object_type", "object", "class", "detail"),
    *("gateway_account", "gateway_payment_id", "gateway_customer_id", "gateway_session_id"),
    *("gateway_payment_method_id", "gateway_dispute_id", "reason", "requested_by"),
)
TIMES = (
    *("created_at", "updated_at", "expires_at", "not_found_is_believed_at"),
    *("ask_since", "refunds_since", "begun_at"),
)
# Whatever a cron claims, there is one more of it.
ROW: dict[str, Any] = {
    **dict.fromkeys(IDS, ID),
    **dict.fromkeys(TEXTS, "x"),
    **dict.fromkeys(TIMES, THEN),
    **dict.fromkeys(("checkout_session", "payment_method", "fields", "failure_code")),
    "amount": "2500",
    "amount_to_capture": "2500",
    "capture_method": "automatic",
    "fee_amount": "0",
    "credits_amount": "1",
    "currency": "INR",
    "status": "authorized",
    "email": "ada@example.com",
    "is_over": False,
    "is_gateway_failing": False,
    "is_put_off": False,
    "is_tried_out": False,
    "payment_intent": {"status": "authorized"},
    "livemode": False,
    "fence": 1,
    "position": "1",
    "sequence": 1,
    "transactions": 1,
    "skew_seconds": "0",
    "facts": "{}",
    "constants": {},
    "payment_attempt": {
        "gateway_payment_id": ORDER.gateway_payment_id,
        "is_surplus": False,
    },
}
ENVIRON = app_environment(Ports(8080, 5000, 9000))


class Stopwatch:
    """The time that has passed. Askers' goes by beside each other; the request waits for all."""

    def __init__(self) -> None:
        self._own: ContextVar[float] = ContextVar("an asker's time")  # not its thread's
        self._latest = self._begun = 0.0

    @property
    def now(self) -> float:
        if self._is_an_askers:
            return self._own.get(self._begun)
        self._begun = self._latest
        return self._latest

    def reach(self, moment: float) -> None:
        if self._is_an_askers:
            self._own.set(moment)
        self._latest = max(self._latest, moment)

    @property
    def _is_an_askers(self) -> bool:
        return current_thread().name.startswith("asker")


class World:
    """Everybody whom the service asks, and the time that passes while it waits for them."""

    def __init__(self) -> None:
        self.begin(None)

    def begin(
        self, mood: tuple[int, object] | None, gateway: str = "stripe", seconds: float = QUICK
    ) -> None:
        """Begin anew, with gateways in this mood, and a Hasura that takes so many seconds."""
        self.watch = Stopwatch()
        self.mood = mood
        self.gateway = gateway
        self.hasura_seconds = seconds
        self.calls: list[tuple[float, float]] = []  # of gateways: from when, to when

    @property
    def now(self) -> float:
        return self.watch.now

    def send(self, session: Session, request: requests.PreparedRequest) -> requests.Response:
        """Stand in for Session.send: whoever is asked takes as long as is waited for them."""
        is_hasura = request.url == ENVIRON["HASURA_ENDPOINT"]
        began, seconds = self.now, session.patience.seconds
        taken = min(self.hasura_seconds if is_hasura else session.patience.answer, seconds)
        if self.mood is None and not is_hasura:
            taken = seconds
        self.watch.reach(began + taken)  # others are asked at the same time
        if not is_hasura:
            self.calls.append((began, began + taken))
        if taken == seconds:
            raise requests.ReadTimeout
        if is_hasura:
            return _response(200, self._rows(json.loads(request.body or "")))
        return _response(*(self.mood or (500, None)))

    def _rows(self, asked: dict[str, Any]) -> object:
        row, variables = ROW | {"gateway": self.gateway}, asked["variables"]
        # As many as there are askers, who ask at the same time.
        rows = [row] * (variables["limit"] if "paused" in variables else 1)
        return {"data": {operations()[asked["operationName"]].field: rows}}


def _response(status: int, said: object) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.raw = BytesIO(json.dumps(said).encode())
    return response


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    def send(session: Session, request: requests.PreparedRequest) -> requests.Response:
        try:
            return world.send(session, request)
        except TimeoutError as failure:
            raise requests.ConnectTimeout from failure

    monkeypatch.setattr(Session, "send", send)
    monkeypatch.setattr("app.graphql.PAUSE_SECONDS_MAX", 0.0)
    # By module: engines of other tests run in this process, and their timers go by its clock.
    for module in ("budget", "clock", "connections", "exchange", "graphql", "webhooks.publishing"):
        monkeypatch.setattr(f"app.{module}.monotonic", lambda: world.now)
    return world


def operations_of_gateways() -> list[tuple[str, str]]:
    find = gateways.finder(ENVIRON)
    return [
        (name, each)
        for name in gateways.names()
        for each in vars(gateways.Gateway)
        if callable(vars(gateways.Gateway)[each])
        and each[0] != "_"
        and each not in NOT_ASKED
        and hasattr(find(name), each)
    ]


@pytest.mark.parametrize(("name", "operation"), operations_of_gateways())
def test_an_operation_ends_while_its_outcome_can_still_be_written_down(
    world: World, name: str, operation: str
) -> None:
    gateway = gateways.finder(ENVIRON)(name)
    for mood in MOODS.values():
        world.begin(mood)
        budget.begin(budget.ANSWER_SECONDS_MAX)
        # What it makes of nonsense is another test's business.
        with suppress(AppError, LookupError, TypeError, ValueError, AttributeError):
            ASKED[operation](gateway)
        left = budget.left()
        budget.finish()

        assert left >= budget.BOOKS_SECONDS
        assert all(left_for(call) > budget.CALL_SECONDS_MIN for call in world.calls)


def left_for(call: tuple[float, float]) -> float:
    return budget.ANSWER_SECONDS_MAX - budget.BOOKS_SECONDS - call[0]


@pytest.mark.parametrize(
    ("name", "operation", "mood"),
    [
        *[("razorpay", "open", "lists nothing"), ("razorpay", "refund", "lists nothing")],
        *[("cashfree", "expire", "no"), ("stripe", "settlements", "lists")],
    ],
)
def test_calls_of_one_operation_share_its_time(
    world: World, name: str, operation: str, mood: str
) -> None:
    """Else the test above would be true of one call alone."""
    world.begin(MOODS[mood])
    budget.begin(budget.ANSWER_SECONDS_MAX)
    with pytest.raises((AppError, KeyError)):
        ASKED[operation](gateways.finder(ENVIRON)(name))
    budget.finish()

    assert len(world.calls) > 1


CRONS = sorted(each.name for each in discover(app) if each.door == "cron")


@pytest.fixture(scope="module")
def service() -> FlaskClient:
    return create_app(ENVIRON | {"MESSAGE_DAYS": "180"}).test_client()


@pytest.mark.thorough
@pytest.mark.parametrize("hasura_seconds", [QUICK, SLOW, SILENT])
@pytest.mark.parametrize("cron", CRONS)
def test_a_cron_ends_before_its_function_does(
    world: World, service: FlaskClient, cron: str, hasura_seconds: float
) -> None:
    """Its work has no end, and whoever it asks takes their time."""
    secret = {"ACTION-SECRET": ENVIRON["ACTION_SECRET"]}
    for name, mood in product(gateways.names(), MOODS):
        world.begin(MOODS[mood], name, hasura_seconds)
        answer = service.post(f"/crons/{cron}", json={}, headers=secret)

        assert world.now <= budget.CRON_SECONDS_MAX, (name, mood)
        assert (answer.status_code == 503) is (hasura_seconds == SILENT), (name, mood)
        last = budget.CRON_SECONDS_MAX - budget.BOOKS_SECONDS
        assert all(ended <= last for _, ended in world.calls), (name, mood)


def test_nothing_is_claimed_that_there_is_no_time_for(world: World) -> None:
    """Of a silent gateway one asker asks two, and the second has as much time as the first."""
    service = create_app(ENVIRON | {"GATEWAY_ASKERS": "1"}).test_client()
    secret = {"ACTION-SECRET": ENVIRON["ACTION_SECRET"]}
    for cron in ("check_payments", "check_refunds", "charge_orders", "store_missing_receipts"):
        world.begin(None, seconds=0.01)
        answer = service.post(f"/crons/{cron}", json={}, headers=secret)

        assert max(answer.json.values()) == 2, (cron, answer.json)
        assert [ended - began for began, ended in world.calls] == pytest.approx([11.05] * 2)


def test_the_times_fit_into_each_other() -> None:
    service = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
    metadata = ROOT / "hasura" / "metadata"
    actions = yaml.safe_load((metadata / "actions.yaml").read_text(encoding="utf-8"))["actions"]
    crons = yaml.safe_load((metadata / "cron_triggers.yaml").read_text(encoding="utf-8"))
    function_seconds = service["provider"]["timeout"]

    assert all(
        budget.ANSWER_SECONDS_MAX < each["definition"]["timeout"] < function_seconds
        for each in actions
        if "timeout" in each["definition"]
    )
    assert budget.CRON_SECONDS_MAX < function_seconds < 29  # an HTTP API waits for 30
    assert all(each["retry_conf"]["timeout_seconds"] > function_seconds for each in crons)
