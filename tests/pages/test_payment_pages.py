"""The page of an order: one for ever, with few attempts, one at a time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from books import Connection, broken_invariants, settle
from psycopg.rows import dict_row

from .conftest import Counter, counter_of

DAY = 24 * 3600


def refused(failure: pytest.ExceptionInfo[psycopg.Error]) -> str:
    return str(failure.value.diag.message_primary).partition(":")[0]


def refuses(counter: Counter, page: dict[str, Any], *chosen: str, **changes: Any) -> str:
    with (
        pytest.raises(psycopg.Error) as failure,
        counter.db.transaction(),
    ):
        counter.choose(page, *chosen, **changes)
    return refused(failure)


def count(db: Connection, table: str) -> int:
    return db.execute(f"select count(*) as n from {table}").fetchone()["n"]


def failing(counter: Counter, page: dict[str, Any], **changes: Any) -> None:
    counter.later(1)
    counter.hear(counter.choose(page), "failed", decline_class="soft", **changes)


def test_a_page_is_there_before_any_gateway_is_chosen(db, counter: Counter) -> None:
    page = counter.open_page()

    assert (page["amount"], page["currency"], page["status"]) == (245000, "INR", "pending")
    assert (page["gateway"], page["payment_attempt_id"]) == (None, None)
    assert page["organization_name"] == "Campus"
    assert [route["gateway"] for route in page["routes"]] == ["razorpay", "cashfree", "payu"]
    assert page["routes"][1]["methods"] == ["upi"]
    assert count(db, "payment_attempts") == 0


def test_an_address_cannot_be_guessed_and_stays_the_same(counter: Counter) -> None:
    tokens = {counter.open_page(reference=f"BK-{number}")["token"] for number in range(50)}

    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {32}
    assert all(token.replace("-", "").replace("_", "").isalnum() for token in tokens)
    assert counter.open_page(reference="BK-7")["token"] in tokens


def test_a_page_of_another_amount_is_refused(counter: Counter) -> None:
    counter.open_page()

    with pytest.raises(psycopg.Error) as failure:
        counter.open_page(amount=245001)
    assert refused(failure) == "idempotency-key-reused"


def test_a_choice_is_one_attempt_however_often_it_is_clicked(db, counter: Counter) -> None:
    page = counter.open_page()
    first, again = counter.choose(page), counter.choose(page)

    assert first["payment_attempt_id"] == again["payment_attempt_id"]
    assert (first["gateway"], first["method"]) == ("razorpay", "card")
    assert count(db, "payment_attempts") == 1
    assert db.execute("select tries from page_tries").fetchall() == 2 * [{"tries": 1}]


def test_a_choice_goes_to_a_gateway_that_takes_it(counter: Counter) -> None:
    page = counter.open_page()

    assert counter.choose(page, "wallet", gateways=["payu"])["gateway"] == "payu"


def test_a_method_that_no_gateway_takes_is_refused(counter: Counter) -> None:
    assert refuses(counter, counter.open_page(), "wallet", gateways=[]) == "setting-invalid"


@pytest.mark.parametrize("status", ["pending", "processing", "authorized"])
def test_one_attempt_at_a_time_takes_the_money(db, counter: Counter, status: str) -> None:
    page = counter.open_page()
    attempt = counter.choose(page)
    db.execute("alter table payment_attempts disable trigger user")
    db.execute(
        "update payment_attempts set status = %s, gateway_payment_id = 'pay_1' where id = %s",
        [status, attempt["payment_attempt_id"]],
    )

    assert refuses(counter, page, "upi") == "payment-in-progress"
    if status != "pending":
        assert refuses(counter, page, "card") == "payment-in-progress"


def test_a_gateways_page_that_is_over_is_not_gone_to_again(db, counter: Counter) -> None:
    page = counter.open_page()
    counter.record(counter.choose(page)["payment_attempt_id"], "order_1")
    counter.later(23 * 3600 + 1)

    assert refuses(counter, page, "card") == "payment-in-progress"


@pytest.mark.parametrize("outcome", ["failed", "expired"])
def test_an_attempt_that_came_to_nothing_makes_room(counter: Counter, outcome: str) -> None:
    page = counter.open_page()
    first = counter.choose(page)
    counter.hear(first, outcome)
    counter.later(1)
    second = counter.choose(page, "upi")

    assert second["payment_attempt_id"] != first["payment_attempt_id"]
    assert counter.state(page)["status"] == "pending"


def test_a_page_allows_five_attempts(db, counter: Counter) -> None:
    page = counter.open_page()
    for _ in range(5):
        failing(counter, page)

    assert counter.state(page)["is_exhausted"]
    assert refuses(counter, page) == "attempts-exhausted"
    assert count(db, "payment_attempts") == 5


def test_an_address_may_begin_so_many_attempts_an_hour(db, counter: Counter) -> None:
    db.execute(
        "insert into system_settings values (%s, 'page_tries_per_address', '2')",
        [counter.organization_id],
    )
    pages = [counter.open_page(reference=f"BK-{number}") for number in range(3)]
    counter.choose(pages[0])
    counter.choose(pages[1])

    assert refuses(counter, pages[2]) == "too-many-requests"
    assert counter.choose(pages[0])["payment_attempt_id"]  # no new one
    assert counter.choose(pages[2], address_hash="b" * 64)["payment_attempt_id"]


def test_an_hour_later_the_address_may_try_again(db, counter: Counter) -> None:
    db.execute(
        "insert into system_settings values (%s, 'page_tries_per_address', '1')",
        [counter.organization_id],
    )
    counter.choose(counter.open_page())
    page = counter.open_page(reference="BK-18")

    assert refuses(counter, page) == "too-many-requests"
    counter.later(3601)
    assert counter.choose(page)["payment_attempt_id"]


def test_thirty_are_allowed_where_the_setting_is_no_number(db, counter: Counter) -> None:
    db.execute(
        "insert into system_settings values (%s, 'page_tries_per_address', 'many')",
        [counter.organization_id],
    )
    for number in range(30):
        counter.choose(counter.open_page(reference=f"BK-{number}"))

    assert refuses(counter, counter.open_page(reference="BK-30")) == "too-many-requests"


@pytest.mark.parametrize(
    ("setting", "most"),
    [(None, 10_000_000), ("50000000", 50_000_000), ("0", 0), ("a lot", 10_000_000), ("-1", 10**7)],
)
def test_how_much_upi_takes_is_a_setting(
    db: Connection, counter: Counter, setting: str | None, most: int
) -> None:
    if setting is not None:
        db.execute(
            "insert into system_settings values (%s, 'upi_amount_max', %s)",
            [counter.organization_id, setting],
        )

    assert counter.open_page()["upi_amount_max"] == most


def linked(counter: Counter, attempt_id: Any, **changes: Any) -> None:
    asked = {
        "payment_attempt_id": attempt_id,
        "gateway_session_id": "order_1",
        "url": "upi://pay?am=2450.00",
        "link_expires_at": "2030-01-01T00:00:00Z",
    }
    counter.call("record_checkout_session", **(asked | changes))


def test_the_newest_upi_link_takes_the_place_of_the_one_before(counter: Counter) -> None:
    page = counter.open_page()
    attempt = counter.choose(page, "upi")["payment_attempt_id"]
    linked(counter, attempt)
    linked(counter, attempt, url="upi://pay?am=2450.00&tr=2")
    row = counter.choose(page, "upi")

    assert (row["payment_attempt_id"], row["url"]) == (attempt, "upi://pay?am=2450.00&tr=2")
    assert row["payment_attempt_status"] == "pending"
    assert counter.state(page)["link_expires_at"] == row["link_expires_at"]
    counter.record(attempt, "order_1")
    assert counter.state(page)["link_expires_at"] is None


@pytest.mark.parametrize(
    "change", [{"link_expires_at": None}, {"url": "https://gateway.example/page"}]
)
def test_a_upi_link_and_no_page_is_soon_over(counter: Counter, change: dict[str, Any]) -> None:
    attempt = counter.choose(counter.open_page(), "upi")["payment_attempt_id"]

    with pytest.raises(psycopg.errors.CheckViolation):
        linked(counter, attempt, **change)


def test_a_upi_link_of_another_order_is_refused(counter: Counter) -> None:
    attempt = counter.choose(counter.open_page(), "upi")["payment_attempt_id"]
    linked(counter, attempt)

    with pytest.raises(psycopg.Error) as failure:
        linked(counter, attempt, gateway_session_id="order_2")
    assert refused(failure) == "payment-in-progress"


def test_a_page_is_over_after_a_week_until_the_shop_asks_again(counter: Counter) -> None:
    page = counter.open_page()
    counter.later(7 * DAY)

    assert counter.state(page)["is_over"]
    assert refuses(counter, page) == "checkout-expired"
    assert counter.open_page()["token"] == page["token"]
    assert counter.choose(page)["payment_attempt_id"]


def test_an_order_that_is_paid_takes_no_attempt(db, counter: Counter) -> None:
    page = counter.open_page()
    counter.hear(counter.choose(page), "paid")
    again = counter.choose(page, "upi")

    assert (again["status"], again["payment_attempt_status"]) == ("paid", "captured")
    assert count(db, "payment_attempts") == 1
    assert broken_invariants(db) == {}


def test_a_page_on_which_another_amount_was_taken_goes_on_as_it_was(db, counter: Counter) -> None:
    page = counter.open_page()
    attempt = counter.choose(page)
    counter.record(attempt["payment_attempt_id"], "order_1")
    before = counter.state(page)
    db.execute("update payment_pages set attempts_max = 2")
    held = counter.hear(attempt, "paid", amount=100, gateway_payment_id="pay_short")

    assert held["payment_attempt_id"] != attempt["payment_attempt_id"]
    assert counter.state(page) == before
    assert counter.choose(page)["payment_attempt_id"] == attempt["payment_attempt_id"]
    counter.hear(attempt, "failed")
    counter.later(1)
    counter.hear(counter.choose(page), "paid")
    assert counter.state(page)["status"] == "paid"
    assert broken_invariants(db) == {}


def test_nobody_pays_at_an_address_that_is_none(counter, other_counter) -> None:
    page = counter.open_page()

    assert refuses(counter, {"token": "x" * 32}) == "not-found"
    assert refuses(counter.acting(livemode="true"), page) == "not-found"


def test_only_the_service_begins_an_attempt(counter: Counter) -> None:
    page = counter.open_page()

    assert refuses(counter.acting(role="customer"), page) == "forbidden"


def test_an_attempt_knows_the_page_that_its_payer_comes_back_to(db, counter: Counter) -> None:
    page = counter.open_page()
    attempt = counter.choose(page)

    row = db.execute("select * from payment_page_returns").fetchone()
    assert (row["token"], row["payment_attempt_id"]) == (
        page["token"],
        attempt["payment_attempt_id"],
    )


def test_sixteen_clicks_at_once_are_one_attempt(database: str) -> None:
    with psycopg.connect(database, row_factory=dict_row) as db:
        shop = counter_of(db, settle(db))
        page = shop.open_page()
    barrier = Barrier(16)

    def click(number: int) -> str:
        with psycopg.connect(database, row_factory=dict_row) as db:
            mine = Counter(db, shop.session, shop.organization_id)
            barrier.wait()
            try:
                return str(mine.choose(page, "card" if number % 2 else "upi")["payment_attempt_id"])
            except psycopg.DataError as failure:
                return str(failure.diag.message_primary).partition(":")[0]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(click, range(16)))
    assert len(set(answers)) == 2
    assert answers.count("payment-in-progress") == 8
    with psycopg.connect(database, row_factory=dict_row) as db:
        assert count(db, "payment_attempts") == 1
