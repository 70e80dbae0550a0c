"""Who tries many cards on our pages, from one address, ten or a thousand, is stopped (A26)."""

import hashlib
from collections import Counter as Tally

import psycopg
import pytest
from books import Connection

from .conftest import Counter
from .test_payment_pages import refuses

ATTEMPTS = 1000


def limited(db: Connection, counter: Counter, key: str, value: str) -> None:
    db.execute(
        "insert into system_settings values (%s, %s, %s)", [counter.organization_id, key, value]
    )


def try_cards(
    counter: Counter, addresses: int, attempts: int = ATTEMPTS, kind: str = "BK"
) -> Tally[str]:
    """Begin attempts, each on an order of its own, from so many addresses in turn."""
    ends: Tally[str] = Tally()
    for number in range(attempts):
        page = counter.open_page(reference=f"{kind}-{number}")
        address = hashlib.sha256(str(number % addresses).encode()).hexdigest()
        try:
            with counter.db.transaction():
                counter.choose(page, address_hash=address)
            ends["begun"] += 1
        except psycopg.Error as failure:
            ends[str(failure.diag.message_primary).partition(":")[0]] += 1
    return ends


@pytest.mark.thorough
@pytest.mark.parametrize(("addresses", "begun"), [(1, 30), (10, 300), (1000, 300)])
def test_of_a_thousand_attempts_in_a_minute_few_are_begun(counter, addresses, begun) -> None:
    ends = try_cards(counter, addresses)

    assert ends == {"begun": begun, "too-many-requests": ATTEMPTS - begun}


def test_all_addresses_together_may_begin_so_many_a_minute(db, counter: Counter) -> None:
    limited(db, counter, "page_tries_per_minute", "3")
    assert try_cards(counter, 5, 5) == {"begun": 3, "too-many-requests": 2}

    counter.later(61)
    assert try_cards(counter, 5, 5, "later") == {"begun": 3, "too-many-requests": 2}


def test_what_was_refused_at_one_address_leaves_room_for_the_others(db, counter) -> None:
    limited(db, counter, "page_tries_per_minute", "3")
    limited(db, counter, "page_tries_per_address", "1")
    assert try_cards(counter, 1, 10) == {"begun": 1, "too-many-requests": 9}

    page = counter.open_page(reference="another")
    assert counter.choose(page, address_hash="b" * 64)["payment_attempt_id"]


def test_another_organisation_is_not_slowed_down(db, counter, other_counter) -> None:
    limited(db, counter, "page_tries_per_minute", "1")
    assert try_cards(counter, 2, 2)["too-many-requests"] == 1

    assert try_cards(other_counter, 2, 2) == {"begun": 2}


@pytest.mark.parametrize("setting", ["many", "-1", "", "1e3"])
def test_three_hundred_are_allowed_where_the_setting_is_no_number(db, counter, setting) -> None:
    limited(db, counter, "page_tries_per_minute", setting)
    counter.choose(counter.open_page())
    db.execute("update page_tries set tries = 299 where address_hash = ''")
    counter.choose(counter.open_page(reference="BK-18"))

    assert refuses(counter, counter.open_page(reference="BK-19")) == "too-many-requests"
