"""Our page on a merchant's site: which sites may frame it, and the script that they include."""

import re
from typing import Any

import psycopg
import pytest
from books import ROOT, Connection, settle
from flask import Flask
from in_process import ENVIRON
from payers import selected
from psycopg.types.json import Jsonb

from app import create_app
from app.payments import embedding, screens

from .conftest import Counter, counter_of

SHOP = "https://shop.example"
SCRIPT_BYTES_MAX = 5_000
PAGE: dict[str, Any] = {
    **dict.fromkeys(field.name.value for field in selected("PaymentPageOf")),
    "token": "t" * 32,
    "organization_name": "Campus",
    "reference": "BK-17",
    "display_id": "TXN-0123456789",
    "title": "Booking BK-17",
    "payment_intent_id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "amount": "245000",
    "currency": "INR",
    "capture_method": "automatic",
    "status": "pending",
    "success_url": "https://shop.example/payment-success",
    "cancel_url": "https://shop.example/payment-cancelled",
    "is_over": False,
    "is_exhausted": False,
    "embedding_origins": [SHOP, "https://other.example"],
}


def allow(counter: Counter, *origins: str, role: str = "owner", **session: str) -> list[str]:
    owner = counter.acting(actor_role=role, user_id="owner-1", **session)
    with owner.db.transaction():
        return [
            row["origin"] for row in owner.call("set_embedding_origins", origins=Jsonb(origins))
        ]


def refusal(counter: Counter, *origins: str, **session: str) -> str:
    with pytest.raises(psycopg.Error) as failure:
        allow(counter, *origins, **session)
    return str(failure.value.diag.message_primary).partition(":")[0]


@pytest.mark.parametrize(
    "origin",
    [
        SHOP,
        "https://a.b-c.shop.example:8443",
        "https://xn--p1b6ci4b4b3a.xn--h2brj9c",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
    ],
)
def test_an_origin_may_frame_pages(counter: Counter, origin: str) -> None:
    assert allow(counter, origin) == [origin]
    assert counter.open_page()["embedding_origins"] == [origin]


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "*",
        "null",
        "https://*",
        "https://*.shop.example",
        "http://shop.example",
        "https://shop.example/",
        "https://shop.example/pay",
        "https://shop.example?",
        "https://shop.example#",
        "https://shop.example:443",
        "https://shop.example:0",
        "https://shop.example:123456",
        "http://localhost:80",
        "https://localhost",
        "https://shop",
        "https://10.0.0.1",
        "https://[::1]",
        "https://user@shop.example",
        "https://Shop.example",
        "https://दुकान.example",
        "https://shop..example",
        "https://-shop.example",
        "https://shop.example.",
        "https://shop.example; script-src *",
        "https://shop.example https://evil.example",
        "https://shop.example\nhttps://evil.example",
        " https://shop.example",
        "javascript:alert(1)",
        "file://",
        f"https://{'a' * 64}.example",
    ],
)
def test_what_is_no_origin_is_refused(counter: Counter, origin: str) -> None:
    allow(counter, SHOP)

    assert refusal(counter, "https://good.example", origin) == "invalid-input"
    assert counter.open_page()["embedding_origins"] == [SHOP]


def test_the_developers_own_machine_frames_nothing_live(counter: Counter) -> None:
    assert refusal(counter, "http://localhost:3000", livemode="true") == "invalid-input"
    assert allow(counter, SHOP, livemode="true") == [SHOP]


def test_a_list_replaces_the_one_before(counter: Counter) -> None:
    allow(counter, SHOP, "https://old.example")

    assert allow(counter, "https://new.example", SHOP, SHOP) == ["https://new.example", SHOP]
    assert allow(counter, "https://new.example", SHOP) == ["https://new.example", SHOP]
    assert allow(counter) == []
    assert counter.open_page()["embedding_origins"] == []


def test_a_mode_and_an_organisation_have_lists_of_their_own(db, counter, other_counter) -> None:
    allow(counter, SHOP)
    allow(counter, "https://live.example", livemode="true")
    allow(other_counter, "https://other.example")

    assert counter.open_page()["embedding_origins"] == [SHOP]
    assert other_counter.open_page()["embedding_origins"] == ["https://other.example"]
    assert allow(counter) == []
    assert other_counter.open_page()["embedding_origins"] == ["https://other.example"]


@pytest.mark.parametrize("role", ["customer", "viewer", "finance", "operator"])
def test_only_an_owner_says_who_may_frame(counter: Counter, role: str) -> None:
    assert refusal(counter, SHOP, role=role) == "forbidden"


def test_an_owner_of_nothing_allows_nothing(counter: Counter) -> None:
    assert refusal(counter, SHOP, organization_id="none") == "not-found"


def test_twenty_sites_are_enough(counter: Counter) -> None:
    sites = [f"https://s{number}.example" for number in range(21)]

    assert len(allow(counter, *sites[:20])) == 20
    assert refusal(counter, *sites) == "invalid-input"


def test_nothing_else_than_an_origin_is_ever_kept(db: Connection, counter: Counter) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(
            "insert into embedding_origins values (%s, true, 'http://localhost', 'me')",
            [counter.organization_id],
        )


def test_two_lists_at_once_are_one_or_the_other(database: str) -> None:
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as db:
        shop = counter_of(db, settle(db))
        allow(shop, SHOP)
        db.commit()
        with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as other:
            other.execute("set lock_timeout = '200ms'")
            db.execute("select from organizations for no key update")
            late = Counter(other, shop.session, shop.organization_id)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                allow(late, "https://late.example")


@pytest.fixture(scope="module")
def flask() -> Flask:
    return create_app(ENVIRON)


def shown(flask: Flask, fields: dict[str, str], **changes: Any) -> Any:
    page = PAGE | changes
    frame = embedding.frame_of(page, fields, "en")
    with flask.test_request_context():
        return screens.show(screens.Screen(page, "en", frame=frame))


def ancestors(answer: Any) -> str:
    policy = answer.headers["Content-Security-Policy"]
    return re.findall(r"frame-ancestors ([^;]*)", policy)[0]


def test_a_page_lets_itself_be_framed_by_the_site_that_asks_and_no_other(flask: Flask) -> None:
    answer = shown(flask, {"origin": SHOP, "in": "tab"})

    assert ancestors(answer) == SHOP
    assert "X-Frame-Options" not in answer.headers
    assert f'data-origin="{SHOP}"' in answer.get_data(as_text=True)


@pytest.mark.parametrize("origin", [None, "https://evil.example", "*", "", f"{SHOP} *"])
def test_a_page_lets_nobody_else_frame_it(flask: Flask, origin: str | None) -> None:
    answer = shown(flask, {"origin": origin} if origin is not None else {})

    assert ancestors(answer) == "'none'"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "data-origin" not in answer.get_data(as_text=True)


def test_no_site_frames_a_page_where_the_organisation_allowed_none(flask: Flask) -> None:
    answer = shown(flask, {"origin": SHOP}, embedding_origins=[])

    assert ancestors(answer) == "'none'"


@pytest.mark.parametrize(("window", "target"), [("tab", "munim"), ("top", "_top"), ("x", "_top")])
def test_a_gateways_page_never_opens_in_the_frame(flask: Flask, window: str, target: str) -> None:
    attempt = {"payment_attempt_id": "a", "payment_attempt_status": "pending", "gateway": "stripe"}
    page = shown(flask, {"origin": SHOP, "in": window}, **attempt).get_data(as_text=True)

    assert f'/payments/handover/a?lang=en" target="{target}"' in page
    assert 'data-close target="_top"' in page
    assert "target" not in shown(flask, {}, **attempt).get_data(as_text=True).split("<script")[0]


def test_ways_on_and_back_are_never_framed(flask: Flask) -> None:
    with flask.test_request_context():
        answer = screens.tell("not-found", 404, "en")

    assert ancestors(answer) == "'none'"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("changes", "status", "reason", "is_final"),
    [
        ({}, "open", None, False),
        ({"payment_attempt_status": "pending"}, "open", None, False),
        ({"payment_attempt_status": "pending", "decline_class": "soft"}, "open", "soft", False),
        ({"payment_attempt_status": "processing"}, "waiting", None, False),
        ({"payment_attempt_status": "failed", "decline_class": "soft"}, "failed", "soft", False),
        ({"status": "paid"}, "paid", None, True),
        ({"status": "authorized", "capture_method": "manual"}, "paid", None, True),
        ({"status": "authorized"}, "waiting", None, False),  # until the service has taken it
        ({"status": "canceled"}, "failed", "canceled", True),
        ({"is_over": True}, "failed", "expired", True),
        ({"is_exhausted": True}, "failed", "exhausted", True),
    ],
)
def test_a_site_is_told_how_a_page_stands(changes, status, reason, is_final) -> None:
    word = screens.word(PAGE | changes)

    assert (word["status"], word["reason"], word["final"]) == (status, reason, is_final)
    assert (word["transaction_id"], word["reference"]) == ("TXN-0123456789", "BK-17")


def test_the_script_is_small(flask: Flask) -> None:
    assert len(flask.test_client().get("/checkout.js").data) <= SCRIPT_BYTES_MAX


def test_a_pinned_script_is_kept_and_the_newest_asked_for_anew(flask: Flask) -> None:
    client = flask.test_client()
    newest, pinned = client.get("/checkout.js"), client.get(f"/{embedding.SCRIPT}")

    assert newest.data == pinned.data
    assert newest.headers["Cache-Control"] == "public, max-age=300"
    assert pinned.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert pinned.headers["Access-Control-Allow-Origin"] == "*"
    assert pinned.headers["Content-Type"] == "text/javascript; charset=utf-8"
    again = client.get("/checkout.js", headers={"If-None-Match": newest.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_documents_name_the_scripts_hash() -> None:
    text = (ROOT / "docs" / "checkout.md").read_text("utf-8")

    assert f'integrity="{embedding.integrity()}"' in text
    assert f"/{embedding.SCRIPT}" in text
