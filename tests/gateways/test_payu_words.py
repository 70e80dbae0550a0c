"""PayU's signatures and words, against vectors made elsewhere and against hostile input."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import GatewayRefusedError, InvalidInputError, SignatureInvalidError
from app.gateways import Charge, DeclineClass, Delivery, Method, Outcome, Return, Subject
from app.gateways.payu import Adapter, Settings, declines, findings, hashes, references, words
from app.money import Money

SAMPLES = json.loads((Path(__file__).parent / "samples" / "payu.json").read_text())
KEY, SALT, TEST = "payu_test_key", "payu-test-salt-0001", "https://test.payu.in"
ATTEMPT = "6f1e9a3e-5a55-4a5a-9a55-000000000001"
OTHER = "6f1e9a3e-5a55-4a5a-9a55-000000000002"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PAID: dict[str, str] = SAMPLES["returns"][0]["fields"]


@pytest.fixture
def adapter() -> Adapter:
    return Adapter(Settings(KEY, (SALT, "payu-test-salt-0000"), TEST, TEST))


def charge(**changes: Any) -> Charge:
    wanted: dict[str, Any] = {
        "id": ATTEMPT,
        "amount": Money(245000, "INR"),
        "title": "250 credits",
        "email": "asha@example.com",
        "name": "Asha Rao",
        "phone": "+919876543210",
        "success_url": "https://shop.example/ok",
        "cancel_url": "https://shop.example/no",
        "expires_at": NOW,
    }
    return Charge(**{**wanted, **changes})


def signed(**changes: str) -> dict[str, str]:
    """Sign as PayU would; the vectors below prove the signing itself."""
    fields = {**PAID, **changes}
    return {**fields, "hash": hashes.of_message(fields, SALT)}


def delivery(fields: dict[str, str]) -> Delivery:
    return Delivery({}, urlencode(fields).encode())


def arrival(fields: dict[str, str], attempt: str = ATTEMPT) -> Return:
    return Return(fields, attempt, references.txnid(attempt))


# Vectors


@pytest.mark.parametrize(
    ("fields", "salt", "expected"),
    [
        (
            {
                "key": "C0Dr8m",
                "txnid": "12345",
                "amount": "10",
                "productinfo": "Shopping",
                "firstname": "Test",
                "email": "test@test.com",
                "udf2": "abc",
                "udf4": "15",
            },
            "3sf0jURk",
            (
                "ffcdbf04fa5beefdcc2dd476c18bc410f02b3968e7f4f54e8f43f1e1a310bb32"
                "e3b4dec9305232bb89db5b1d0c009a53bcace6f4bd8ec2f695baf3d43ba730ce"
            ),
        ),
        (
            {
                "key": "PK1",
                "txnid": "TX-17",
                "amount": "2450.00",
                "productinfo": "Freight",
                "firstname": "Asha",
                "email": "asha@x.example",
                "udf1": "BK-17",
            },
            "SALT1",
            (
                "ea23c423544a69535e4f8afc2fff9886fab6838f050970a04da13d42378b9f84"
                "acae3e5fa34377b3a58b55db7501179b0c85898d5fdc5dcee2eee56ed4f64ce9"
            ),
        ),
    ],
)
def test_a_page_is_signed_as_payus_documents_show(
    fields: dict[str, str], salt: str, expected: str
) -> None:
    assert hashes.of_page(fields, salt) == expected


def test_a_message_is_verified_as_payus_documents_show() -> None:
    fields = {
        "key": "PK1",
        "txnid": "TX-17",
        "amount": "2450.00",
        "productinfo": "Freight",
        "firstname": "Asha",
        "email": "asha@x.example",
        "udf1": "BK-17",
        "status": "success",
        "hash": "52d40407a47ae418ce78dedb5bf1f7c84cc94828e602684124305ee32b7c461b"
        "5c3e179743d373d5d09d80ab98c754a9526749a2eedce4cbef48b1deb6a00a98",
    }

    assert hashes.is_genuine(fields, "PK1", ["SALT1"])
    assert not hashes.is_genuine({**fields, "hash": fields["hash"].upper()}, "PK1", ["SALT1"])
    assert not hashes.is_genuine(fields, "PK1", ["SALT2"])
    assert not hashes.is_genuine({**fields, "key": "PK2"}, "PK2", ["SALT1"])
    assert not hashes.is_genuine({**fields, "amount": "2450"}, "PK1", ["SALT1"])


def test_a_command_is_signed_over_its_first_argument() -> None:
    # printf '%s' 'PK1|verify_payment|TX-17|SALT1' | openssl dgst -sha512
    expected = (
        "788fc2790f893fa3ecc1e64c005b9b352bfb110051f7a5083eb3088fb19cc611"
        "cac2b8444e873ff62df24c52a5aeb91f7f7ede806224fdb9ac84a7c32af1b516"
    )
    assert hashes.of_command("PK1", "verify_payment", "TX-17", "SALT1") == expected


# References


@given(st.uuids())
def test_a_reference_fits_payus_limits_and_comes_back(identifier: UUID) -> None:
    txnid, token = references.txnid(str(identifier)), references.token(str(identifier))

    assert (len(txnid), len(token)) == (25, 22)
    assert txnid == txnid.lower()
    assert references.payment_attempt_id(txnid) == str(identifier)
    assert references.refund_id(token) == str(identifier)


@pytest.mark.parametrize(
    "text", [None, "", "T2603041446091822117753", "z" * 25, "é" * 25, "A" * 25]
)
def test_what_is_no_reference_of_ours_names_nothing(text: str | None) -> None:
    assert references.payment_attempt_id(text) is None
    assert references.refund_id("z" * 22) is None


# The page


def test_a_page_is_a_form_that_carries_our_reference(adapter: Adapter) -> None:
    page = adapter.open(charge())

    assert page.url == "https://test.payu.in/_payment"
    assert page.reference == page.form["txnid"] == references.txnid(ATTEMPT)
    assert page.form["udf1"] == ATTEMPT
    assert page.form["amount"] == "2450.00"
    assert (page.form["surl"], page.form["furl"]) == (
        "https://shop.example/ok",
        "https://shop.example/no",
    )
    assert page.form["phone"] == "9876543210"
    assert SALT not in page.form.values()
    assert page == adapter.open(charge())


@pytest.mark.parametrize(
    ("changes", "field", "written"),
    [
        ({"title": "250|credits"}, "productinfo", "250 credits"),
        ({"title": "1.00|9999|\n250"}, "productinfo", "1.00 9999 250"),
        ({"title": "x" * 300}, "productinfo", "x" * 100),
        ({"title": " | "}, "productinfo", "Payment"),
        ({"name": "Asha|asha@example.com|"}, "firstname", "Asha asha@example.com"),
        ({"name": ""}, "firstname", "Customer"),
        ({"title": "250 क्रेडिट"}, "productinfo", "250 क्रेडिट"),
    ],
)
def test_nothing_that_is_sent_can_move_the_fields_under_the_hash(
    adapter: Adapter, changes: dict[str, str], field: str, written: str
) -> None:
    form = adapter.open(charge(**changes)).form

    assert form[field] == written
    assert not any("|" in form[name] for name in hashes.PAYER_FIELDS if name in form)


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "a|b@example.com"},
        {"email": f"{'a' * 50}@example.com"},
        {"amount": Money(2500, "USD")},
        {"amount": Money(0, "INR")},
        {"authorize_only": True},
        {"phone": ""},
    ],
)
def test_what_payu_cannot_take_is_refused(adapter: Adapter, changes: dict[str, Any]) -> None:
    with pytest.raises(GatewayRefusedError):
        adapter.open(charge(**changes))


def test_a_chosen_method_is_the_only_one_offered(adapter: Adapter) -> None:
    assert adapter.open(charge(method=Method.UPI)).form["enforce_paymethod"] == "upi"
    assert "enforce_paymethod" not in adapter.open(charge(method=Method.PAY_LATER)).form


# Webhooks


@pytest.mark.parametrize("sample", SAMPLES["deliveries"], ids=lambda sample: sample["name"])
def test_a_sample_means_what_it_says(adapter: Adapter, sample: dict[str, Any]) -> None:
    notice = adapter.read(Delivery(sample["headers"], sample["body"].encode()), NOW)

    said = notice.words()
    assert {name: said[name] for name in sample["finding"]} == sample["finding"]
    assert notice.livemode is False
    assert notice.occurred_at == NOW
    if "again" in sample:
        again = adapter.read(Delivery({}, sample["again"]["body"].encode()), NOW)
        assert again.event_id == notice.event_id


def test_different_facts_have_different_ids(adapter: Adapter) -> None:
    facts = [
        adapter.read(Delivery({}, sample["body"].encode()), NOW).event_id
        for sample in SAMPLES["deliveries"]
        if "charges" not in sample["name"] and "salt" not in sample["name"]
    ]
    assert len(set(facts)) == len(facts)


def test_what_the_hash_does_not_cover_neither_names_the_payment_nor_the_message(
    adapter: Adapter,
) -> None:
    genuine = adapter.read(delivery(PAID), NOW)
    other = adapter.read(
        delivery({**PAID, "mihpayid": "999", "addedon": "1999-01-01 00:00:00"}), NOW
    )

    assert other.event_id == genuine.event_id
    assert other.gateway_payment_id == genuine.gateway_payment_id == references.txnid(ATTEMPT)
    assert other.occurred_at == genuine.occurred_at


@pytest.mark.parametrize("name", [name for name in hashes.SIGNED_FIELDS if name != "udf1"])
def test_every_signed_field_is_guarded(adapter: Adapter, name: str) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery({**PAID, name: PAID[name] + "1"}), NOW)


@pytest.mark.parametrize(
    "moved",
    [
        {"firstname": "Asha Rao|250 credits", "productinfo": "2500.00", "amount": "1.00"},
        {"email": "asha@example.com|Asha Rao", "firstname": "250 credits"},
        {"status": "success||||||", "udf5": ""},
        {"productinfo": "250 credits|2500.00", "amount": PAID["txnid"]},
    ],
)
def test_fields_moved_over_a_pipe_are_refused(adapter: Adapter, moved: dict[str, str]) -> None:
    fields = {**PAID, **moved}
    fields["hash"] = signed(**moved)["hash"]  # even where the hash agrees

    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery(fields), NOW)


def test_a_field_cannot_be_hidden_behind_the_extra_charges(adapter: Adapter) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(delivery({**PAID, "additionalCharges": f"{SALT}x|", "hash": "0" * 128}), NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"hash",
        b"&&&",
        b"hash=%ff%fe",
        b"\xff\xfe",
        b"<html><body>502</body></html>",
        b'{"hash": 1, "key": 2}',
        b'{"hash": ["x"], "key": {"a": 1}}',
        b'{"a":' * 5000,
        b"&".join(b"a%d=1" % number for number in range(1000)),
        urlencode({**PAID, "hash": ""}).encode(),
        urlencode({**PAID, "hash": "0" * 128}).encode(),
        urlencode({**PAID, "hash": "é"}).encode(),
        urlencode({name: PAID[name] for name in PAID if name != "hash"}).encode(),
        urlencode(PAID).encode() + b"&status=failure",
        b"status=failure&" + urlencode(PAID).encode(),
        urlencode(signed(key="another_merchant")).encode(),
        urlencode({**PAID, "firstname": "\0"}).encode(),
    ],
)
def test_what_payu_did_not_write_is_refused(adapter: Adapter, body: bytes) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(Delivery({}, body), NOW)


def test_signed_fields_are_understood_in_json_too(adapter: Adapter) -> None:
    notice = adapter.read(Delivery({}, json.dumps(PAID).encode()), NOW)

    assert notice.outcome is Outcome.PAID


@pytest.mark.parametrize(
    "amount", ["2500", "2500.0", "02500.00", "2500.001", "-2500.00", "1e3", "x"]
)
def test_an_amount_that_is_not_spelled_as_ours_is_no_event(adapter: Adapter, amount: str) -> None:
    with pytest.raises(InvalidInputError):
        adapter.read(delivery(signed(amount=amount)), NOW)


def test_a_reference_that_is_not_its_txnids_is_no_event(adapter: Adapter) -> None:
    with pytest.raises(InvalidInputError):
        adapter.read(delivery(signed(udf1=OTHER)), NOW)


# Unsigned messages

REFUND = json.loads(SAMPLES["deliveries"][-2]["body"])
DISPUTE = json.loads(SAMPLES["deliveries"][-1]["body"])


def test_a_hint_keeps_only_what_is_documented(adapter: Adapter) -> None:
    said = {**REFUND, "evil": "x" * 900, "remark": {"deep": [1]}}
    notice = adapter.read(Delivery({}, json.dumps(said).encode()), NOW)

    assert (notice.subject, notice.outcome) == (Subject.REFUND, Outcome.HINT)
    assert dict(notice.raw) == {name: REFUND[name] for name in REFUND if name != "remark"}
    assert notice.captured_amount is None


@pytest.mark.parametrize(("status", "code"), [("success", None), ("Failure", "failure")])
def test_a_hint_says_whether_a_refund_came_to_nothing(
    adapter: Adapter, status: str, code: str | None
) -> None:
    said = json.dumps({**REFUND, "status": status}).encode()

    assert adapter.read(Delivery({}, said), NOW).failure_code == code


def test_a_hint_says_where_to_look_by_the_gateways_id_too(adapter: Adapter) -> None:
    notice = adapter.read(
        Delivery({}, json.dumps({**DISPUTE, "txn_id": "4039937155"}).encode()), NOW
    )

    assert (notice.payment_attempt_id, notice.gateway_payment_id) == (None, "4039937155")
    assert notice.evidence_due_at is not None
    assert notice.evidence_due_at.isoformat() == "2026-12-05T00:00:00+05:30"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**REFUND, "key": "another"}),
        json.dumps({**REFUND, "action": "payout"}),
        json.dumps({**REFUND, "remark": "x" * 5000}),
        json.dumps({**REFUND, "hash": "0" * 128}),
        json.dumps({**DISPUTE, "event": "settlement"}),
        json.dumps({"key": KEY}),
    ],
)
def test_an_unsigned_message_that_cannot_be_payus_is_refused(adapter: Adapter, body: str) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read(Delivery({}, body.encode()), NOW)


@given(st.dictionaries(st.sampled_from([*REFUND, *DISPUTE]), st.none() | st.integers() | st.text()))
def test_no_unsigned_message_is_more_than_a_hint(changes: dict[str, Any]) -> None:
    adapter = Adapter(Settings(KEY, (SALT,)))
    for message in (REFUND, DISPUTE):
        try:
            notice = adapter.read(Delivery({}, json.dumps({**message, **changes}).encode()), NOW)
        except SignatureInvalidError:
            continue
        assert notice.outcome is Outcome.HINT
        assert not notice.is_signed


# Returns


def test_a_return_is_translated_for_the_page_that_it_came_back_from(adapter: Adapter) -> None:
    found = adapter.read_return(arrival(PAID))

    assert (found.outcome, found.payment_attempt_id) == (Outcome.PAID, ATTEMPT)
    assert found.amount == found.captured_amount == Money(250000, "INR")


@pytest.mark.parametrize(
    ("fields", "attempt"),
    [
        (PAID, OTHER),
        ({**PAID, "status": "failure"}, ATTEMPT),
        ({name: PAID[name] for name in PAID if name != "hash"}, ATTEMPT),
        ({"txnid": PAID["txnid"]}, ATTEMPT),
        (signed(amount="2500"), ATTEMPT),
        (signed(udf1=OTHER), ATTEMPT),
    ],
)
def test_a_return_that_was_altered_or_is_anothers_is_refused(
    adapter: Adapter, fields: dict[str, str], attempt: str
) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read_return(arrival(fields, attempt))


def test_our_books_decide_whose_page_it_is(adapter: Adapter) -> None:
    with pytest.raises(SignatureInvalidError):
        adapter.read_return(Return(PAID, ATTEMPT, references.txnid(OTHER)))


def test_a_return_without_a_word_of_payus_says_nothing(adapter: Adapter) -> None:
    found = adapter.read_return(arrival({"utm_source": "x"}))

    assert (found.outcome, found.payment_attempt_id) == (Outcome.UNKNOWN, ATTEMPT)


# Words


@pytest.mark.parametrize(
    ("status", "state", "outcome"),
    [
        ("success", "captured", Outcome.PAID),
        ("Success", "CAPTURED", Outcome.PAID),
        ("success", "auth", Outcome.AUTHORIZED),
        ("success", "", Outcome.UNKNOWN),
        ("success", "something_new", Outcome.UNKNOWN),
        ("failure", "failed", Outcome.FAILED),
        ("failure", "bounced", Outcome.EXPIRED),
        ("failure", "dropped", Outcome.FAILED),
        ("failure", "userCancelled", Outcome.FAILED),
        ("failure", "autoRefund", Outcome.FAILED),
        ("failure", "something_new", Outcome.FAILED),
        ("failure", "captured", Outcome.FAILED),
        ("pending", "initiated", Outcome.REQUIRES_ACTION),
        ("pending", "in progress", Outcome.PROCESSING),
        ("pending", "in_progress", Outcome.PROCESSING),
        ("pending", "", Outcome.PROCESSING),
        ("something_new", "captured", Outcome.UNKNOWN),
        (None, None, Outcome.UNKNOWN),
    ],
)
def test_a_transaction_says_where_a_payment_is(
    status: str | None, state: str | None, outcome: Outcome
) -> None:
    transaction = {
        "txnid": PAID["txnid"],
        "status": status,
        "unmappedstatus": state,
        "amt": "10.00",
    }
    found = findings.of_payment(transaction, code="error_code", amount="amt")

    assert found.outcome is outcome
    assert (found.captured_amount is None) == (outcome is not Outcome.PAID)
    assert (found.decline_class is None) == (outcome is not Outcome.FAILED)


@pytest.mark.parametrize(
    ("code", "state", "kind", "said"),
    [
        ("E706", "failed", DeclineClass.SOFT, "E706"),
        ("E311", "failed", DeclineClass.HARD, "E311"),
        ("E317", "failed", DeclineClass.AUTHENTICATION, "E317"),
        ("E324", "failed", DeclineClass.FRAUD, "E324"),
        ("E1629", "failed", DeclineClass.GATEWAY, "E1629"),
        ("E99999", "failed", DeclineClass.SOFT, "E99999"),
        ("E000", "dropped", DeclineClass.GATEWAY, "dropped"),
        ("E000", "usercancelled", DeclineClass.SOFT, "usercancelled"),
        ("", "dropped", DeclineClass.GATEWAY, "dropped"),
        ("", "", DeclineClass.SOFT, "failure"),
    ],
)
def test_a_failure_has_the_class_that_decides_the_next_try(
    code: str, state: str, kind: DeclineClass, said: str
) -> None:
    assert declines.decline_class(code, state) is kind
    assert declines.reason(code, state) == said


def test_a_reason_is_of_one_class() -> None:
    assert sum(map(len, declines.REASONS.values())) == len(declines.CLASSES)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("success", Outcome.SUCCEEDED),
        ("SUCCESS", Outcome.SUCCEEDED),
        ("failure", Outcome.FAILED),
        ("queued", Outcome.PENDING),
        ("IN PROGRESS", Outcome.PENDING),
        ("od_hit", Outcome.PENDING),
        ("requested", Outcome.PENDING),
        ("something_new", Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
    ],
)
def test_a_refund_says_where_it_is(status: str | None, outcome: Outcome) -> None:
    found = findings.of_refund({"Status": status, "Amount": "10.00", "RequestID": 7}, "t")

    assert (found.outcome, found.gateway_refund_id) == (outcome, "7")


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        ("CC", Method.CARD),
        ("dc", Method.CARD),
        ("UPI", Method.UPI),
        ("NB", Method.NETBANKING),
        ("CASH", Method.WALLET),
        ("BNPL", Method.PAY_LATER),
        ("NEW", Method.OTHER),
        ("", None),
        (None, None),
    ],
)
def test_a_mode_is_a_method(mode: str | None, method: Method | None) -> None:
    assert findings.of_payment({"mode": mode}, code="error", amount="amount").method is method


@pytest.mark.parametrize("value", ["1.234", "", "x", None, True, 1.5, [], "-1.00", "1e5", "٣"])
def test_what_is_no_amount_of_rupees_is_none(value: object) -> None:
    assert findings.rupees(value) is None


def test_every_refund_code_that_is_an_answer_says_what_it_means() -> None:
    assert {kind for kind, _ in words.REFUND_CODES.values()} == set(words.Answer)
    assert all(code.isdecimal() and said for code, (_, said) in words.REFUND_CODES.items())
