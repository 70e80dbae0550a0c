"""The simulator of EventBridge takes what AWS takes, refuses what AWS refuses, and fails on order.

The service's own client is used here on purpose: two implementations of the signature, which share
no code, must agree.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from gateway_bench import PATIENCE, Receiver, Server, wait_for

from app.webhooks.address import signature
from app.webhooks.sigv4 import Credentials, sign

SECRET = "whsec_" + "c2FuZGJveCBzaWduaW5nIGtleSBmb3IgdGVzdHM="
WHO = Credentials(
    access_key_id="AKIATESTS",
    secret_access_key="a-secret-for-the-tests",
    session_token="a-roles-token",
    region="us-east-2",
    service="events",
)
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSEvents.PutEvents"}
Said = dict[str, Any]


def entry(**changes: object) -> Said:
    known: Said = {
        "EventBusName": "orders",
        "Source": "munim",
        "DetailType": "thing.happened",
        "Time": 1795255200,
        "Detail": json.dumps({"event": {"object_id": str(uuid4()), "type": "thing.happened"}}),
    }
    return {name: value for name, value in (known | changes).items() if value is not None}


@dataclass
class Bus:
    server: Server

    @property
    def url(self) -> str:
        return f"{self.server.url}/eventbridge/"

    def put(self, *entries: Said, who: Credentials = WHO, **changes: Any) -> tuple[int, Said]:
        body = json.dumps({"Entries": list(entries)}).encode()
        now = changes.pop("now", datetime.now(UTC))
        headers = sign(who, self.url, HEADERS, body, now) | changes.pop("headers", {})
        answer = self.server.http.post(
            self.url, data=changes.pop("body", body), headers=headers, timeout=PATIENCE
        )
        said: Said = answer.json()
        return answer.status_code, said

    def kept(self, **query: str) -> list[Said]:
        url = f"{self.server.url}/_sandbox/eventbridge/events"
        found: list[Said] = self.server.http.get(url, params=query, timeout=PATIENCE).json()[
            "events"
        ]
        return found

    def about(self, said: Said) -> list[Said]:
        return self.kept(object=json.loads(said["Detail"])["event"]["object_id"])


@pytest.fixture(scope="module")
def listener() -> Iterator[Receiver]:
    receiver = Receiver()
    http = receiver.start()
    yield receiver
    http.shutdown()
    http.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, listener: Receiver) -> Iterator[Server]:
    options = {"key": "AKIATESTS:a-secret-for-the-tests", "secret": SECRET, "webhook": listener.url}
    words = [
        part for name, text in options.items() for part in (f"--{name}", f"eventbridge={text}")
    ]
    server = Server(Path(tmp_path_factory.mktemp("bus")), options=tuple(words))
    yield server
    server.stop()


@pytest.fixture
def bus(server: Server) -> Iterator[Bus]:
    yield Bus(server)
    server.control("/faults", method="DELETE")
    server.move_clock(0)


def test_what_is_put_is_kept_as_a_target_would_get_it(bus: Bus) -> None:
    sent = entry()
    status, said = bus.put(sent)

    assert status == 200
    assert said["FailedEntryCount"] == 0
    (kept,) = bus.about(sent)
    assert said["Entries"] == [{"EventId": kept["id"]}]
    assert kept["detail"] == json.loads(sent["Detail"])
    names = ("source", "detail-type", "time", "region", "bus", "version")
    assert [kept[name] for name in names] == [
        *("munim", "thing.happened", "2026-11-21T10:00:00Z", "us-east-2", "orders", "0")
    ]


def test_those_who_listen_get_it(bus: Bus, listener: Receiver) -> None:
    sent = entry()
    bus.put(sent)
    object_id = json.loads(sent["Detail"])["event"]["object_id"]

    got = wait_for(lambda: listener.about(object_id) or None, "the event")
    assert got[0].event["detail-type"] == "thing.happened"
    assert "bus" not in got[0].event


def test_an_entry_that_is_wrong_fails_alone(bus: Bus) -> None:
    good = entry()
    status, said = bus.put(
        entry(Source=None),
        entry(Detail="{"),
        good,
        entry(Source="aws.s3"),
        entry(DetailType="x" * 129),
        entry(Detail="[]"),
    )

    assert (status, said["FailedEntryCount"]) == (200, 5)
    assert [one.get("ErrorCode") for one in said["Entries"]] == [
        *("InvalidArgument", "MalformedDetail", None),
        *("NotAuthorizedForSourceException", "InvalidArgument", "MalformedDetail"),
    ]
    assert len(bus.about(good)) == 1


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "ValidationException"),
        ([entry(Detail="{}")] * 11, "ValidationException"),
        ([entry(Detail=json.dumps({"x": "y" * 2**17}))] * 2, "ValidationException"),
        ([entry(Time="yesterday", Detail="{}")], "SerializationException"),
        ([entry(Detail={"not": "a text"})], "SerializationException"),
    ],
    ids=["none", "eleven", "too large", "no time", "no text"],
)
def test_a_request_that_is_wrong_is_refused_as_a_whole(
    bus: Bus, entries: list[Said], code: str
) -> None:
    status, said = bus.put(*entries)

    assert (status, said["__type"]) == (400, code)


def test_a_request_of_the_largest_size_is_taken(bus: Bus) -> None:
    room = 256 * 1024 - 14 - len("munim") - len("thing.happened") - len('{"x": ""}')

    assert bus.put(entry(Detail=json.dumps({"x": "y" * (room - 1)})))[0] == 200
    assert bus.put(entry(Detail=json.dumps({"x": "y" * room})))[0] == 400


STRANGERS = {
    "UnrecognizedClientException": replace(WHO, access_key_id="AKIANOBODY"),
    "InvalidSignatureException": replace(WHO, secret_access_key="another"),
    "IncompleteSignatureException": replace(WHO, service="sqs"),
}


@pytest.mark.parametrize("code", STRANGERS)
def test_a_stranger_is_refused(bus: Bus, code: str) -> None:
    status, said = bus.put(entry(), who=STRANGERS[code])

    assert (status, said["__type"]) == (400, code)


def test_what_was_changed_on_its_way_is_refused(bus: Bus) -> None:
    for change in (
        {"body": json.dumps({"Entries": [entry()]}).encode()},
        {"headers": {"X-Amz-Security-Token": "another"}},
    ):
        assert bus.put(entry(), **change)[1]["__type"] == "InvalidSignatureException"
    unsigned = {"headers": {"Authorization": ""}}
    assert bus.put(entry(), **unsigned)[1]["__type"] == "MissingAuthenticationTokenException"
    added = {"headers": {"X-Amz-Other": "not signed"}}
    assert bus.put(entry(), **added)[1]["__type"] == "IncompleteSignatureException"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_signature_is_refused(bus: Bus, minutes: int) -> None:
    _, said = bus.put(entry(), now=datetime.now(UTC) + timedelta(minutes=minutes))

    assert said["__type"] == "InvalidSignatureException"


def test_signatures_go_by_the_simulated_clock(bus: Bus, server: Server) -> None:
    server.move_clock(86400)

    assert bus.put(entry(), now=datetime.now(UTC) + timedelta(days=1))[0] == 200


def fault(bus: Bus, operation: str, kind: str, **more: object) -> None:
    said = {"gateway": "eventbridge", "operation": operation, "kind": kind}
    bus.server.control("/faults", said | more)


def test_some_entries_of_a_request_may_be_made_to_fail(bus: Bus) -> None:
    fault(bus, "PutEvents.entry", "error_500")
    fault(bus, "PutEvents.entry", "rate_limited")
    sent = [entry(), entry(), entry()]
    _, said = bus.put(*sent)

    assert said["FailedEntryCount"] == 2
    assert [one.get("ErrorCode") for one in said["Entries"]] == [
        *("InternalFailure", "ThrottlingException", None)
    ]
    assert [len(bus.about(one)) for one in sent] == [0, 0, 1]


@pytest.mark.parametrize(
    ("kind", "status", "code", "kept"),
    [
        ("rate_limited", 400, "ThrottlingException", 0),
        ("error_500", 500, "InternalException", 0),
        ("error_after_effect", 500, "InternalException", 1),
    ],
)
def test_requests_may_be_made_to_fail(
    bus: Bus, kind: str, status: int, code: str, kept: int
) -> None:
    fault(bus, "PutEvents", kind)
    sent = entry()

    assert bus.put(sent) == (status, {"__type": code, "message": bus_says(code)})
    assert len(bus.about(sent)) == kept


def bus_says(code: str) -> str:
    return {"ThrottlingException": "Rate exceeded."}.get(code, "try again")


@pytest.mark.parametrize(("kind", "kept"), [("refuse", 0), ("lost_answer", 1)])
def test_no_answer_may_be_given_at_all(bus: Bus, kind: str, kept: int) -> None:
    fault(bus, "PutEvents", kind)
    sent = entry()
    with pytest.raises(requests.ConnectionError):
        bus.put(sent)

    assert len(bus.about(sent)) == kept


def post(bus: Bus, secret: str = SECRET, **changes: Any) -> requests.Response:
    event_id = str(uuid4())
    body = json.dumps({"id": event_id, "detail-type": "t", "source": "s", "detail": {}}).encode()
    now = changes.get("now", datetime.now(UTC))
    headers = signature(secret, event_id, now, body)
    url = f"{bus.url}consumer"
    return bus.server.http.post(url, data=body, headers=headers, timeout=PATIENCE)


def test_the_plain_address_checks_signatures(bus: Bus) -> None:
    before = len(bus.kept(limit="10000"))

    assert post(bus).text == "thank you"
    assert len(bus.kept(limit="10000")) == before + 1
    assert post(bus, "whsec_" + "b3RoZXI=").status_code == 401
    for minutes in (-6, 6):
        assert post(bus, now=datetime.now(UTC) + timedelta(minutes=minutes)).status_code == 401
    assert len(bus.kept(limit="10000")) == before + 1


def test_what_came_can_be_looked_at(bus: Bus) -> None:
    bus.put(entry(DetailType="<b>bold</b>"))
    page = bus.server.http.get(f"{bus.url}events", timeout=PATIENCE)

    assert page.status_code == 200
    assert "&lt;b&gt;bold&lt;/b&gt;" in page.text
    index = bus.server.http.get(f"{bus.server.url}/", timeout=PATIENCE)
    assert "/eventbridge/events" in index.text


def test_the_list_can_be_read_on(bus: Bus) -> None:
    bus.put(entry(), entry(), entry())
    newest, older, oldest = (one["id"] for one in bus.kept(limit="3"))

    assert [one["id"] for one in bus.kept(limit="2", after=newest)] == [older, oldest]
