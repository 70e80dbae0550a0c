"""What every gateway promises, on samples signed outside our code.

A gateway is held to this by being there: without samples it fails, it is not skipped. See
`samples/README.md`. MUNIM_SAMPLES names more folders to look for samples in.
"""

import json
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints
from uuid import uuid4

import pytest
import requests
import responses
from in_process import context

from app import gateways
from app.config import ConfigError
from app.errors import (
    GatewayRefusedError,
    GatewayUnavailableError,
    NotFoundError,
    SignatureInvalidError,
)
from app.gateways import (
    Capability,
    Charge,
    Delivery,
    Finding,
    Gateway,
    Money,
    Outcome,
    Query,
    RefundOrder,
    Return,
    Subject,
)
from app.payments import webhooks

HERE = Path(__file__).parent / "samples"
FOLDERS = [HERE, *(Path(each) for each in os.environ.get("MUNIM_SAMPLES", "").split(":") if each)]
PROMISED = {name for name in {*vars(Gateway), *get_type_hints(Gateway)} if name[0] != "_"}
OF_CAPABILITIES = {name for each in Capability for name in each.methods}
GARBAGE = ["", "garbage", "=", ",", "\x00", "é", "0" * 64, "v1=" + "0" * 64, "null", "{}"]
ANYWHERE, VERBS = re.compile(".*"), ("GET", "POST", "PUT", "PATCH")
Sample = dict[str, Any]


@pytest.fixture(params=gateways.names())
def name(request: pytest.FixtureRequest) -> str:
    gateway: str = request.param
    return gateway


@pytest.fixture
def sample(name: str) -> Sample:
    found = [path for folder in FOLDERS if (path := folder / f"{name}.json").is_file()]
    assert found, f"{name} has no samples: see tests/gateways/samples/README.md"
    sample: Sample = json.loads(found[0].read_text())
    return sample


@pytest.fixture
def make(name: str) -> Callable[[dict[str, str]], Gateway]:
    return lambda environ: gateways.finder(environ)(name)


@pytest.fixture
def gateway(sample: Sample, make: Callable[[dict[str, str]], Gateway]) -> Gateway:
    return make(sample["settings"])


@pytest.fixture
def now(sample: Sample) -> datetime:
    return datetime.fromisoformat(sample["now"])


def delivery(case: Sample) -> Delivery:
    return Delivery(headers=case["headers"], body=case["body"].encode())


def signed(sample: Sample) -> list[Sample]:
    return [case for case in sample["deliveries"] if case.get("signed", True)]


def arrival(case: Sample) -> Return:
    return Return(case["fields"], case["payment_attempt_id"], case["gateway_session_id"])


def means(found: Finding, wanted: Sample) -> bool:
    words = found.words()
    return {word: words[word] for word in wanted} == wanted


def fact(found: Finding) -> tuple[object, ...]:
    """Tell what a finding is about, and what it says of it."""
    about = (found.gateway_payment_id, found.gateway_refund_id, found.gateway_dispute_id)
    return found.subject, found.outcome, *about


# What it is


def test_its_name_is_its_modules(name: str, gateway: Gateway) -> None:
    assert gateway.name == name
    assert name.isidentifier()
    assert name.islower()


def test_it_has_the_methods_of_its_capabilities_and_no_others(gateway: Gateway) -> None:
    promised = {each for one in gateway.capabilities for each in one.methods}

    assert isinstance(gateway.capabilities, frozenset)
    assert gateway.capabilities <= set(Capability)
    assert {each for each in OF_CAPABILITIES if hasattr(gateway, each)} == promised
    assert {*dir(gateway)} >= PROMISED - OF_CAPABILITIES


def test_its_methods_are_the_protocols(gateway: Gateway) -> None:
    for each in sorted(PROMISED & {*dir(gateway)}):
        ours, theirs = vars(Gateway).get(each), getattr(type(gateway), each)
        if not callable(ours):
            continue  # what is declared, not asked
        assert _shape(theirs) == _shape(ours), each
        assert get_type_hints(theirs) == get_type_hints(ours), each


def _shape(method: Callable[..., object]) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in signature(method).parameters.values()]


def test_its_other_methods_are_its_own_business(gateway: Gateway) -> None:
    public = {each for each in vars(type(gateway)) if not each.startswith("_")}

    assert public - {"close"} <= PROMISED


def test_it_declares_what_its_page_takes(gateway: Gateway) -> None:
    assert gateway.methods
    assert gateway.methods <= set(gateways.Method)
    assert isinstance(gateway.currencies, frozenset)
    assert all(Money(1, currency).currency == currency for currency in gateway.currencies)


def test_it_says_where_it_is_documented(name: str) -> None:
    assert "https://" in (import_module(f"app.gateways.{name}").__doc__ or "")


def test_a_gateway_that_is_not_there_is_not_found(make: Callable[..., Gateway]) -> None:
    with pytest.raises(NotFoundError):
        gateways.finder({})("nobody")


# Its settings


def secrets(name: str, sample: Sample) -> list[str]:
    settings = import_module(f"app.gateways.{name}").Settings
    hidden = [each.name for each in fields(settings) if not each.repr]
    assert hidden, "no secret at all?"
    return [sample["settings"][f"{name}_{each}".upper()] for each in hidden]


def test_a_missing_setting_is_named(
    name: str, sample: Sample, make: Callable[[dict[str, str]], Gateway]
) -> None:
    settings = fields(import_module(f"app.gateways.{name}").Settings)
    needed = [f"{name}_{each.name}".upper() for each in settings if each.default is MISSING]
    assert needed
    for key in needed:
        rest = {other: value for other, value in sample["settings"].items() if other != key}
        with pytest.raises(ConfigError, match=key):
            make(rest)


def test_its_settings_hide_their_secrets(name: str, sample: Sample, gateway: Gateway) -> None:
    shown = f"{gateway!r} {vars(gateway)!r}"

    for secret in secrets(name, sample):
        assert secret not in shown


def test_what_is_called_a_secret_is_hidden(name: str) -> None:
    for each in fields(import_module(f"app.gateways.{name}").Settings):
        if any(word in each.name for word in ("secret", "salt", "password", "token")):
            assert not each.repr, each.name


# Its webhooks


def test_the_samples_show_what_there_is(sample: Sample) -> None:
    outcomes = {(one["finding"]["subject"], one["finding"]["outcome"]) for one in signed(sample)}

    assert sample["signed_by"]
    assert ("payment", "paid") in outcomes
    assert outcomes & {("payment", "requires_action"), ("payment", "failed")}
    assert any(one.get("again") for one in sample["deliveries"])
    assert any(one.get("unheard_of") for one in sample["deliveries"])


def test_what_is_genuine_is_understood(sample: Sample, gateway: Gateway, now: datetime) -> None:
    for case in sample["deliveries"]:
        notice = gateway.read(delivery(case), now)

        assert means(notice, case["finding"]), case["name"]
        assert notice.event_id, case["name"]
        assert notice.type, case["name"]
        assert notice.occurred_at.utcoffset() is not None, case["name"]
        assert json.loads(json.dumps(notice.raw)), case["name"]


def test_what_was_tampered_with_is_refused(sample: Sample, gateway: Gateway, now: datetime) -> None:
    for case in signed(sample):
        old, new = case["tamper"]
        body = case["body"].replace(old, new)

        assert body != case["body"], case["name"]
        with pytest.raises(SignatureInvalidError):
            gateway.read(replace(delivery(case), body=body.encode()), now)


def test_what_is_not_signed_is_refused(sample: Sample, gateway: Gateway, now: datetime) -> None:
    """Each value of each header, or of the body where the signature stands in it, spoiled."""
    for case in signed(sample):
        refused = 0
        for spoiled in _without_signature(delivery(case)):
            try:
                gateway.read(spoiled, now)
            except SignatureInvalidError:
                refused += 1
        assert refused >= len(GARBAGE), case["name"]
        with pytest.raises(SignatureInvalidError):
            gateway.read(Delivery(headers={}, body=b""), now)


def _without_signature(genuine: Delivery) -> Iterator[Delivery]:
    for header in genuine.headers:
        rest = {key: value for key, value in genuine.headers.items() if key != header}
        yield replace(genuine, headers=rest)
        for value in GARBAGE:
            yield replace(genuine, headers={**rest, header: value})
    form = genuine.body.split(b"&")
    for index, field in enumerate(form):
        if b"=" in field and len(form) > 1:
            key = field.partition(b"=")[0]
            for value in GARBAGE:
                spoiled = [*form[:index], key + b"=" + value.encode(), *form[index + 1 :]]
                yield replace(genuine, body=b"&".join(spoiled))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff\xfe", b"[" * 50_000, b"a=b", b"null"])
def test_a_foreign_body_under_a_genuine_head_is_refused(
    sample: Sample, gateway: Gateway, now: datetime, body: bytes
) -> None:
    for case in signed(sample):
        with pytest.raises(SignatureInvalidError):
            gateway.read(replace(delivery(case), body=body), now)


def test_another_secret_signs_nothing(
    name: str, sample: Sample, make: Callable[[dict[str, str]], Gateway], now: datetime
) -> None:
    stranger = make(_with_other_secrets(name, sample))

    for case in signed(sample):
        with pytest.raises(SignatureInvalidError):
            stranger.read(delivery(case), now)


def test_a_secret_is_good_while_another_replaces_it(
    name: str, sample: Sample, make: Callable[[dict[str, str]], Gateway], now: datetime
) -> None:
    """Every setting that may hold several holds another first, then last."""
    kinds = get_type_hints(import_module(f"app.gateways.{name}").Settings)
    several = [f"{name}_{each}".upper() for each, kind in kinds.items() if kind not in (str, bool)]
    assert several, "a secret can be replaced only where there may be two for a while"
    for template in ("{other},{real}", "{real},{other}"):
        both = {
            key: template.format(
                other=_other(sample["settings"][key]), real=sample["settings"][key]
            )
            for key in several
        }
        gateway = make({**sample["settings"], **both})
        for case in sample["deliveries"]:
            assert means(gateway.read(delivery(case), now), case["finding"]), case["name"]


def _other(secret: str) -> str:
    """Give another secret, or as many others, of the same shape."""
    words = secret.split(",")
    return ",".join(word[:-1] + ("x" if word[-1] != "x" else "y") for word in words)


def _with_other_secrets(name: str, sample: Sample) -> dict[str, str]:
    real = secrets(name, sample)
    return {
        key: _other(value) if value in real else value for key, value in sample["settings"].items()
    }


def test_a_redelivery_has_the_same_id_and_another_fact_another(
    sample: Sample, gateway: Gateway, now: datetime
) -> None:
    facts: dict[str, set[tuple[object, ...]]] = {}
    for case in sample["deliveries"]:
        notice = gateway.read(delivery(case), now)
        facts.setdefault(notice.event_id, set()).add(fact(notice))
        again = case.get("again") or case
        assert gateway.read(delivery(again), now).event_id == notice.event_id, case["name"]
    for event_id, of_it in facts.items():
        assert len(of_it) == 1, f"{event_id} is the id of {of_it}"


def test_what_nobody_has_heard_of_is_unknown(
    sample: Sample, gateway: Gateway, now: datetime
) -> None:
    for case in sample["deliveries"]:
        if case.get("unheard_of") or not case.get("signed", True):
            notice = gateway.read(delivery(case), now)
            assert notice.outcome in {Outcome.UNKNOWN, Outcome.HINT}, case["name"]


class Door:
    """Whoever takes messages in, and notes as what they are to be kept."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.heard: list[str] = []

    def one(self, name: str, **asked: Any) -> Sample:
        return self.run(name, **asked)[0]

    def run(self, name: str, **asked: Any) -> list[Sample]:
        self.kept.append(asked["notice"]["outcome"])
        if name == "HearHint":
            self.heard.append(asked["bodyHash"])
        return [{"status": "ignored", "payment_attempt_id": None}]


def test_nothing_is_booked_of_messages_that_are_hints(
    sample: Sample, gateway: Gateway, now: datetime
) -> None:
    """At the door, whatever the adapter makes of them; of others what they say is kept."""
    door, said = Door(), set[str]()
    ctx = context(hasura=door, gateway=lambda _: gateway, now=lambda: now)
    for case in sample["deliveries"]:
        webhooks.receive(ctx, gateway.name, delivery(case))
        said.add(gateway.read(delivery(case), now).outcome)

    assert Outcome.PAID in said
    # What nobody signed is heard, and nothing of it is kept.
    unsigned = [case["body"] for case in sample["deliveries"] if not case.get("signed", True)]
    assert door.heard == [sha256(body.encode()).hexdigest() for body in unsigned]
    if gateway.messages_are_hints:
        assert set(door.kept) == {Outcome.HINT}
    else:
        assert set(door.kept) == said


# Its returns


def test_a_return_is_understood(sample: Sample, gateway: Gateway) -> None:
    assert sample["returns"]
    for case in sample["returns"]:
        assert means(gateway.read_return(arrival(case)), case["finding"])
        if "tamper" not in case:
            assert case["finding"]["outcome"] == "unknown", "what is not signed proves nothing"


def test_a_return_that_was_tampered_with_is_refused(sample: Sample, gateway: Gateway) -> None:
    for case in sample["returns"]:
        for spoiled in (case.get("tamper"), case.get("foreign")):
            if spoiled:
                changed = replace(arrival(case), fields={**case["fields"], **spoiled})
                with pytest.raises(SignatureInvalidError):
                    gateway.read_return(changed)


def test_a_return_from_another_page_is_refused(sample: Sample, gateway: Gateway) -> None:
    for case in sample["returns"]:
        names = {case["gateway_session_id"], case["payment_attempt_id"]}
        if not names & set(case["fields"].values()):
            continue  # it names no page
        other = replace(
            arrival(case),
            payment_attempt_id=str(uuid4()),
            gateway_session_id=_other(case["gateway_session_id"]),
        )
        with pytest.raises(SignatureInvalidError):
            gateway.read_return(other)


def test_a_return_with_anything_in_it_breaks_nothing(sample: Sample, gateway: Gateway) -> None:
    case = sample["returns"][0]
    for field in case["fields"]:
        for value in GARBAGE:
            spoiled = replace(arrival(case), fields={**case["fields"], field: value})
            try:
                found = gateway.read_return(spoiled)
            except SignatureInvalidError:
                continue
            if "tamper" not in case:
                assert found.outcome is Outcome.UNKNOWN


# Asking it


def refund() -> RefundOrder:
    return RefundOrder(str(uuid4()), "123456789", Money(100, "INR"), "cancellation")


def charge() -> Charge:
    return Charge(
        id=str(uuid4()),
        amount=Money(250_000, "INR"),
        title="250 credits",
        email="asha@example.com",
        name="Asha Rao",
        phone="+919876543210",
        success_url="https://shop.example/ok",
        cancel_url="https://shop.example/no",
        expires_at=datetime(2026, 11, 21, 11, 0, tzinfo=UTC),
    )


ASKED: dict[str, Callable[[Gateway], object]] = {
    "open": lambda gateway: gateway.open(charge()),
    "open_upi": lambda gateway: gateway.open_upi(charge()),
    "find": lambda gateway: gateway.find(
        Query(str(uuid4()), datetime.now(UTC), gateway_session_id="order_Sample0001")
    ),
    "find_refund": lambda gateway: gateway.find_refund(str(uuid4()), "123456789"),
    "find_refunds": lambda gateway: gateway.find_refunds("123456789"),
    "find_new_refunds": lambda gateway: list(gateway.find_new_refunds(datetime.now(UTC))),
    "refund": lambda gateway: gateway.refund(refund()),
    "settlements": lambda gateway: list(gateway.settlements(date(2026, 11, 20))),
    "capture": lambda gateway: gateway.capture(str(uuid4()), "123456789", Money(100, "INR")),
    "cancel": lambda gateway: gateway.cancel(str(uuid4()), "123456789"),
    "expire": lambda gateway: gateway.expire(str(uuid4()), "order_Sample0001"),
    "find_disputes": lambda gateway: list(gateway.find_disputes(datetime.now(UTC))),
    "find_payment_disputes": lambda gateway: gateway.find_payment_disputes("123456789"),
    "receipt_url": lambda gateway: gateway.receipt_url("123456789"),
}
SILENCE: list[Sample] = [
    {"body": requests.ConnectionError("refused")},
    {"body": requests.ReadTimeout("slow")},
    {"body": requests.exceptions.ChunkedEncodingError("cut")},
    {"status": 500, "body": "sorry"},
    {"status": 502, "body": "<html>Bad gateway</html>"},
    {"status": 503, "json": {"error": {"code": "x", "description": "y"}, "message": "z"}},
    {"status": 429, "json": {"message": "slow down"}},
    {"status": 401, "json": {"message": "who are you"}},
    {"status": 200, "body": "<html>hello</html>"},
    {"status": 200, "body": ""},
    {"status": 200, "body": '{"half":'},
]


@pytest.mark.parametrize("silence", SILENCE, ids=lambda one: str(one)[:40])
@pytest.mark.parametrize("question", ASKED)
def test_no_answer_is_never_a_no(gateway: Gateway, question: str, silence: Sample) -> None:
    if not hasattr(gateway, question):
        assert question in OF_CAPABILITIES
        return
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for verb in VERBS:
            mock.add(verb, ANYWHERE, **silence)
        try:
            ASKED[question](gateway)
        except GatewayUnavailableError:
            assert len(mock.calls) == 1  # nothing is tried again inside
        else:
            assert question == "open"  # a page may be made without asking
            assert not mock.calls


def test_a_foreign_currency_is_refused_before_anybody_is_asked(gateway: Gateway) -> None:
    """An amount of 100 yen must not become 100 paise, or 100 rupees."""
    foreign = {"JPY", "USD", "KWD"} - gateway.currencies if gateway.currencies else set()
    with responses.RequestsMock() as mock:
        for currency in foreign:
            with pytest.raises(GatewayRefusedError):
                gateway.open(replace(charge(), amount=Money(250_000, currency)))
        assert not mock.calls


def test_reading_asks_nobody(sample: Sample, gateway: Gateway, now: datetime) -> None:
    with responses.RequestsMock() as mock:
        for case in sample["deliveries"]:
            gateway.read(delivery(case), now)
        for case in sample["returns"]:
            gateway.read_return(arrival(case))
        assert not mock.calls


def test_a_definite_no_to_a_refund_is_a_refund_that_failed(
    sample: Sample, gateway: Gateway
) -> None:
    order, no = refund(), sample["refusal"]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for each in no.get("before", ()):
            mock.add(each["verb"], ANYWHERE, status=each["status"], json=each["body"])
        for verb in VERBS:
            mock.add(verb, ANYWHERE, status=no["status"], json=no["body"])
        found = gateway.refund(order)

    assert (found.subject, found.outcome) == (Subject.REFUND, Outcome.FAILED)
    assert (found.refund_id, found.amount) == (order.id, order.amount)
    assert found.failure_code
    assert found.failure_message


def test_a_refusal_and_silence_are_different_errors() -> None:
    assert not issubclass(GatewayRefusedError, GatewayUnavailableError)
    assert not issubclass(GatewayUnavailableError, GatewayRefusedError)
    assert GatewayRefusedError.code != GatewayUnavailableError.code


# Its silence


@pytest.mark.parametrize("silent", [True, False])
def test_nothing_secret_is_logged_or_told(
    *, name: str, sample: Sample, gateway: Gateway, caplog: pytest.LogCaptureFixture, silent: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    no = sample["refusal"]
    answer: Sample = {"status": 500, "body": "sorry"}
    if not silent:
        answer = {"status": no["status"], "body": json.dumps(no["body"])}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for verb in VERBS:
            mock.add(verb, ANYWHERE, **answer)
        told = [_what_it_says(ask, gateway) for ask in ASKED.values()]

    assert any(told)
    for secret in secrets(name, sample):
        assert secret not in caplog.text
        assert secret not in "".join(told)


def _what_it_says(ask: Callable[[Gateway], object], gateway: Gateway) -> str:
    """Give an answer, or a failure with all that Python would print of it."""
    try:
        return repr(ask(gateway))
    except (GatewayRefusedError, GatewayUnavailableError) as failure:
        return "".join(traceback.format_exception(failure))
    except AttributeError:
        return ""  # it has not this capability
