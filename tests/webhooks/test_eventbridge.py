"""What is put on the bus, entry by entry, and what is made of its answers."""

import json
from typing import Any

import pytest
import requests
import responses

from app.webhooks import eventbridge
from app.webhooks.eventbridge import BYTES_MAX, Bus, size_of
from app.webhooks.messages import Message, Outcome, Result

from .senders import ENDPOINT, EventBridge, message, said, sender

PUBLISHED = Result(Outcome.PUBLISHED)
OWN = {
    "EVENTBRIDGE_REGION": "eu-west-1",
    "EVENTBRIDGE_ACCESS_KEY_ID": "AKIDOTHER",
    "EVENTBRIDGE_SECRET_ACCESS_KEY": "other",
}


def send(*messages: Message, **changes: str) -> list[Result]:
    ctx = sender(**changes)
    return Bus(ctx.settings).send(list(messages), ctx)


def answer(aws: responses.RequestsMock, body: object, status: int = 200) -> None:
    aws.add_callback("POST", ENDPOINT, lambda _: said(body, status))


def test_an_entry_says_all_that_a_rule_may_ask_for(aws: responses.RequestsMock) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    results = send(message(source="novamart.payments", detail='{"orderId": "o-1"}'))

    assert results == [PUBLISHED]
    assert bridge.taken == [
        {
            "EventBusName": "orders",
            "Source": "novamart.payments",
            "DetailType": "payment.succeeded",
            "Time": 1795255200,
            "Detail": '{"orderId": "o-1"}',
        }
    ]
    (call,) = aws.calls
    assert call.request.headers["X-Amz-Target"] == "AWSEvents.PutEvents"
    assert call.request.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert call.request.headers["X-Amz-Security-Token"] == "a-roles-token"
    assert "/20261121/us-east-2/events/aws4_request" in call.request.headers["Authorization"]


def test_entries_that_failed_are_told_from_those_that_did_not(aws: responses.RequestsMock) -> None:
    entries = [
        {"EventId": "1"},
        {"ErrorCode": "InternalFailure", "ErrorMessage": "once more"},
        {"ErrorCode": "ThrottlingException", "ErrorMessage": "slower"},
        {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."},
        {"ErrorCode": "InvalidArgument", "ErrorMessage": "Source"},
        {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "no"},
        {"ErrorCode": "SomethingNew"},
        {"EventId": "8"},
    ]
    answer(aws, {"FailedEntryCount": 6, "Entries": entries})
    results = send(*(message() for _ in entries))

    assert [result.outcome for result in results] == [
        *("published", "silent", "silent", "refused", "refused", "silent", "silent", "published")
    ]
    assert results[3].detail == "MalformedDetail: Detail is malformed."
    assert results[5].detail == "NotAuthorizedForSourceException"


@pytest.mark.parametrize(
    "code",
    [
        *("ThrottlingException", "InternalFailure", "AccessDeniedException"),
        *("UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException"),
        "com.amazon.coral.service#SerializationException",
    ],
)
def test_a_refusal_of_us_says_nothing_of_the_events_and_is_told_to_us(
    aws: responses.RequestsMock, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    said = "User: arn:aws:sts::123456789012:assumed-role/munim is not authorized"
    answer(aws, {"__type": code, "message": said}, 400)
    # The service's log goes to standard error alone once an app was made, in this test or another.
    eventbridge.log.addHandler(caplog.handler)
    caplog.set_level("WARNING", eventbridge.log.name)
    results = send(message(), message())
    eventbridge.log.removeHandler(caplog.handler)

    assert results == [Result(Outcome.SILENT, code.rpartition("#")[2])] * 2
    assert len(aws.calls) == 1
    assert said in caplog.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"__type": "InternalException"}, 500),
        ({"message": "forbidden"}, 403),
        ({}, 200),
        ([], 200),
        ({"Entries": []}, 200),
        ({"Entries": [{"EventId": "1"}]}, 200),
        ({"Entries": ["yes", "yes"]}, 200),
        ({"Entries": [{}, {"EventId": ""}]}, 200),
    ],
)
def test_whatever_else_is_answered_is_no_acknowledgement(
    aws: responses.RequestsMock, body: object, status: int
) -> None:
    answer(aws, body, status)

    assert {result.outcome for result in send(message(), message())} == {Outcome.SILENT}


@pytest.mark.parametrize("failure", [requests.ConnectionError(), requests.ReadTimeout()])
def test_no_answer_is_silence(aws: responses.RequestsMock, failure: Exception) -> None:
    aws.add("POST", ENDPOINT, body=failure)

    (result,) = send(message())
    assert result.outcome is Outcome.SILENT


def test_the_one_that_makes_a_request_invalid_is_found(aws: responses.RequestsMock) -> None:
    def validate(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
        return next((one for one in entries if one["Source"] == "bad"), None)

    def handle(request: requests.PreparedRequest) -> Any:
        entries = json.loads(request.body or b"")["Entries"]
        if validate(entries):
            return said({"__type": "ValidationException", "message": "bad"}, 400)
        return said({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]})

    aws.add_callback("POST", ENDPOINT, handle)
    results = send(message(), message(source="bad"), message())

    assert results == [PUBLISHED, Result(Outcome.REFUSED, "ValidationException: bad"), PUBLISHED]


def large(kilobytes: int) -> Message:
    return message(detail=json.dumps({"text": "x" * 1024 * kilobytes}))


def test_a_request_stays_below_256_kb(aws: responses.RequestsMock) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    results = send(*(large(100) for _ in range(5)))

    assert results == [PUBLISHED] * 5
    assert [len(entries) for entries in bridge.asked] == [2, 2, 1]


def test_an_event_that_no_request_holds_is_refused_and_the_others_go(
    aws: responses.RequestsMock,
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    results = send(large(1), large(256), large(1))

    assert results == [PUBLISHED, Result(Outcome.REFUSED, "larger than 256 KB"), PUBLISHED]
    assert [len(entries) for entries in bridge.asked] == [1, 1]


def test_the_largest_event_that_is_sent_is_one_byte_smaller_than_the_limit(
    aws: responses.RequestsMock,
) -> None:
    aws.add_callback("POST", ENDPOINT, bridge := EventBridge())
    room = BYTES_MAX - size_of(message(detail='{"text": "₹"}'))
    fits, not_quite = (
        message(detail=json.dumps({"text": "₹" + "x" * n}, ensure_ascii=False))
        for n in (room - 1, room)
    )
    results = send(fits, not_quite)

    assert [result.outcome for result in results] == ["published", "refused"]
    assert len(bridge.taken) == 1


def test_after_a_silence_the_rest_is_not_tried(aws: responses.RequestsMock) -> None:
    answer(aws, {}, 500)
    results = send(*(large(200) for _ in range(3)))

    assert {result.outcome for result in results} == {Outcome.SILENT}
    assert len(aws.calls) == 1


def test_without_a_bus_nothing_is_sent_and_it_says_why(aws: responses.RequestsMock) -> None:
    assert send(message(), EVENT_BUS_NAME="") == [
        Result(Outcome.SILENT, "EVENT_BUS_NAME is not set")
    ]
    assert not aws.calls


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://events.us-east-2.amazonaws.com"),
        ({"AWS_REGION": "cn-north-1"}, "https://events.cn-north-1.amazonaws.com.cn"),
        (OWN, "https://events.eu-west-1.amazonaws.com"),
        (
            {"EVENTBRIDGE_URL": "http://127.0.0.1:9000/eventbridge"},
            "http://127.0.0.1:9000/eventbridge",
        ),
    ],
)
def test_the_endpoint_is_the_regions(changes: dict[str, str], url: str) -> None:
    assert Bus(sender(**changes).settings).http.url == url


def test_a_bus_with_keys_of_its_own_does_not_show_the_roles(aws: responses.RequestsMock) -> None:
    url = "https://events.eu-west-1.amazonaws.com/"
    aws.add_callback("POST", url, EventBridge())

    assert send(message(), **OWN) == [PUBLISHED]
    (call,) = aws.calls
    assert "Credential=AKIDOTHER/20261121/eu-west-1/" in call.request.headers["Authorization"]
    assert "X-Amz-Security-Token" not in call.request.headers
