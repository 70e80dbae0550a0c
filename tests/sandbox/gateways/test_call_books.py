"""What a call changes is written once, at its end; until then the call itself sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.gateways.server.state import Document, Slice, Store
from sandbox.gateways.stripe.call_books import ENDPOINT, CallBooks


@pytest.fixture
def books(tmp_path: Path) -> Iterator[CallBooks]:
    store = Store(tmp_path)
    yield CallBooks(store, "stripe")
    store.close()


def thing(**said: object) -> Document:
    return {"id": "ch_1", "created": 1, "status": "new", **said}


def written(books: CallBooks, kind: str = "charge") -> list[Document]:
    """Read with other eyes."""
    return CallBooks(books.store, "stripe").page(kind, Slice())[0]


def test_a_call_sees_its_changes_before_they_are_written(books: CallBooks) -> None:
    with books.store.transaction(), books.held():
        books.insert("charge", thing())
        books.update("charge", thing(status="paid"))
        assert written(books) == []
        assert books.get("charge", "ch_1")["status"] == "paid"

    assert written(books) == [thing(status="paid")]


def test_an_object_that_is_only_read_is_not_written(books: CallBooks) -> None:
    books.insert("charge", thing())
    with books.store.transaction(), books.held():
        books.get("charge", "ch_1")["status"] = "never told"
        assert books.get("charge", "ch_1") == thing()
        assert books.find("charge", "ch_2") is None

    assert written(books) == [thing()]


def test_a_list_holds_what_the_call_has_changed(books: CallBooks) -> None:
    books.insert("charge", thing())
    with books.store.transaction(), books.held():
        books.update("charge", thing(status="paid"))
        books.insert("charge", thing(id="ch_2"))
        assert books.page("charge", Slice())[0] == [thing(id="ch_2"), thing(status="paid")]
        books.delete("charge", "ch_2")

    assert written(books) == [thing(status="paid")]


def fail(books: CallBooks) -> None:
    with books.store.transaction(), books.held():
        books.insert("charge", thing())
        books.insert(ENDPOINT, thing(id="we_1"))
        assert books.endpoints() == [thing(id="we_1")]
        raise ZeroDivisionError


def test_a_call_that_fails_leaves_nothing(books: CallBooks) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(books)

    assert (written(books), books.endpoints()) == ([], [])


def test_who_is_sent_events_is_read_again_when_it_changes(books: CallBooks) -> None:
    assert books.endpoints() == []
    books.insert(ENDPOINT, thing())
    assert books.endpoints() == [thing()]
    with books.store.transaction(), books.held():
        books.update(ENDPOINT, thing(status="disabled"))
    assert books.endpoints() == [thing(status="disabled")]
    books.delete(ENDPOINT, "ch_1")
    assert books.endpoints() == []
