"""People work the list: who may, what a word changes, and what no word can."""

import re
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from bank_transfers.conftest import Counter, staffed
from books import Connection, Tenant, broken_invariants, settle

ROOT = Path(__file__).parents[2]
REASON = "agreed with the shop"
OBJECT = "6f1e9a3e-5a55-4a5a-9a55-000000000009"
DECISIONS = (
    "select decision, assigned_to, reason, decided_by from exception_decisions order by 4, 1"
)


class Listed(Counter):
    """An office with a list before it."""

    def say(
        self, class_: str = "order-mismatch", detail: str = "said", *, of: object = "own", **at: Any
    ) -> dict[str, Any]:
        """List something, as the kernel does, of an organisation or (None) of nobody."""
        said = {
            "organization": self.organization_id if of == "own" else of,
            "class": class_,
            "type": at.get("object_type", "order_event"),
            "object": at.get("object_id", OBJECT),
            "detail": detail,
        }
        self.db.execute(
            "select record_exception(%(organization)s, false, %(class)s, %(type)s, %(object)s,"
            " 100, 'INR', %(detail)s)",
            said,
        )
        row = self.db.execute(
            "select * from exceptions"
            " where class = %(class)s and object_type = %(type)s and object_id = %(object)s",
            said,
        ).fetchone()
        assert row is not None
        return row

    def resolve(
        self, line: dict[str, Any], user: str = "meera", reason: str = REASON, key: str = "off"
    ) -> Any:
        (row,) = self.by(user).call(
            "resolve_exception_by_hand", exception_id=line["id"], reason=reason, key=key
        )
        return row

    def reopen(self, line: dict[str, Any], user: str = "chandan", reason: str = "no") -> Any:
        asked = {"exception_id": line["id"], "reason": reason, "key": "on"}
        (row,) = self.by(user).call("reopen_exception", **asked)
        return row

    def assign(self, line: dict[str, Any], to: str | None, user: str = "omkar") -> Any:
        asked = {"exception_id": line["id"], "user_id": to, "key": f"to {to}"}
        (row,) = self.by(user).call("assign_exception", **asked)
        return row

    def decisions(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.db.execute(DECISIONS).fetchall()]


def office_of(db: Connection, tenant: Tenant) -> Listed:
    counter = staffed(db, tenant)
    return Listed(counter.db, counter.session, counter.organization_id)


@pytest.fixture
def office(db: Connection, tenant: Tenant) -> Listed:
    return office_of(db, tenant)


def test_a_person_takes_a_line_off_and_says_why(db: Connection, office: Listed) -> None:
    row = office.resolve(office.say())

    assert (row["resolved_by"], row["resolution"]) == ("meera", REASON)
    assert row["resolved_at"] is not None
    assert office.decisions() == [("resolved", None, REASON, "meera")]
    assert broken_invariants(db) == {}


def test_the_same_word_again_is_one_word(office: Listed) -> None:
    line = office.say()

    assert office.resolve(line) == office.resolve(line)
    assert len(office.decisions()) == 1


def test_another_persons_word_comes_too_late(office: Listed) -> None:
    line = office.say()
    office.resolve(line)

    assert office.refused("resolve", line, "chandan") == "exception-resolved"
    assert office.refused("resolve", line, "meera", key="again") == "exception-resolved"
    assert len(office.decisions()) == 1


def test_what_was_resolved_is_put_back_and_resolved_again(db: Connection, office: Listed) -> None:
    line = office.say()
    office.resolve(line)
    row = office.reopen(line)
    assert (row["resolved_at"], row["resolved_by"], row["resolution"]) == (None, None, None)
    assert office.reopen(line) == row
    assert office.decisions()[0] == ("reopened", None, "no", "chandan")

    assert office.resolve(line)["resolved_at"] is None  # said before it was put back
    assert office.resolve(line, key="after all")["resolved_by"] == "meera"
    assert len(office.decisions()) == 3
    assert broken_invariants(db) == {}


def test_what_a_person_has_read_is_not_news(office: Listed) -> None:
    line = office.say()
    office.resolve(line)

    assert office.say()["resolved_by"] == "meera"
    again = office.say(detail="something else")
    assert (again["resolved_at"], again["resolved_by"]) == (None, None)
    assert again["id"] == line["id"]


def test_what_settled_itself_is_news_again(db: Connection, office: Listed) -> None:
    line = office.say()
    db.execute("select resolve_exception('order-mismatch', 'order_event', %s)", [OBJECT])

    assert office.refused("resolve", line) == "exception-resolved"
    assert office.refused("reopen", line) == "exception-resolved"
    assert office.say()["resolved_at"] is None


def test_what_is_still_so_is_nobodys_to_take_off(office: Listed) -> None:
    line = office.say("payment-unresolved", object_type="payment_attempt")
    assert office.refused("resolve", line) == "exception-stands"

    in_suspense = office.say("amount-mismatch", object_type="payment_attempt")
    assert office.refused("resolve", in_suspense) == "exception-stands"
    heard = office.say("amount-mismatch", object_type="gateway_event")
    assert office.resolve(heard)["resolved_by"] == "meera"


def test_a_line_is_somebodys_until_it_is_given_back(office: Listed) -> None:
    line = office.say()
    assert office.assign(line, "chandan")["assigned_to"] == "chandan"
    assert office.assign(line, "chandan")["assigned_to"] == "chandan"
    assert office.assign(line, None, "chandan")["assigned_to"] is None

    assert office.decisions() == [
        ("assigned", None, None, "chandan"),
        ("assigned", "chandan", None, "omkar"),
    ]


@pytest.mark.parametrize("user", ["dev", "stranger"])
def test_a_line_is_given_to_who_may_end_it(office: Listed, user: str) -> None:
    line = office.say()

    assert office.refused("assign", line, user) == "not-found"
    assert office.refused("assign", line, "meera", user) == "forbidden"
    assert office.refused("resolve", line, user) == "forbidden"
    assert office.refused("reopen", line, user) == "forbidden"


@pytest.mark.parametrize("role", ["customer", "viewer", "developer", "dispatcher", None])
def test_another_role_of_the_session_decides_nothing(office: Listed, role: str | None) -> None:
    line = office.say()

    with pytest.raises(psycopg.Error, match="forbidden: "):
        office.by("meera", actor_role=role).call(
            "resolve_exception_by_hand", exception_id=line["id"], reason=REASON, key="off"
        )


def test_another_organisation_and_another_mode_see_no_line(db: Connection, office: Listed) -> None:
    line = office.say()

    assert office_of(db, settle(db)).refused("resolve", line) == "not-found"
    with pytest.raises(psycopg.Error, match="not-found: "):
        office.by("meera", livemode="true").call(
            "resolve_exception_by_hand", exception_id=line["id"], reason=REASON, key="off"
        )


def test_what_is_nobodys_is_the_operators(db: Connection, office: Listed) -> None:
    line = office.say("unmatched-payment", of=None, object_type="gateway_event")
    asked = {"exception_id": line["id"], "reason": REASON, "key": "off"}
    operator = {"actor_role": "operator", "user_id": "olga"}

    assert office.refused("resolve", line) == "not-found"
    for session in (operator, operator | {"organization_id": None, "livemode": "true"}):
        with pytest.raises(psycopg.Error, match="not-found: "), db.transaction():
            office.acting(**session).call("resolve_exception_by_hand", **asked)
    platform = office.acting(**operator, organization_id=None)
    (taken,) = platform.call(
        "assign_exception", exception_id=line["id"], user_id="olga", key="mine"
    )
    assert taken["assigned_to"] == "olga"
    (row,) = platform.call("resolve_exception_by_hand", **asked)
    assert row["resolved_by"] == "olga"
    assert broken_invariants(db) == {}


def test_an_operator_gives_a_line_to_nobody_else_but_its_organisation(office: Listed) -> None:
    line = office.say()
    platform = office.acting(actor_role="operator", user_id="olga", organization_id=None)

    with pytest.raises(psycopg.Error, match="not-found: "), office.db.transaction():
        platform.call(
            "assign_exception", exception_id=line["id"], user_id="another operator", key="theirs"
        )
    (row,) = platform.call(
        "assign_exception", exception_id=line["id"], user_id="meera", key="theirs"
    )
    assert row["assigned_to"] == "meera"


def test_an_operator_has_a_name(office: Listed) -> None:
    line = office.say()

    with pytest.raises(psycopg.Error, match="forbidden: "):
        office.acting(actor_role="operator").call(
            "resolve_exception_by_hand", exception_id=line["id"], reason=REASON, key="off"
        )


def test_there_is_no_such_line(office: Listed) -> None:
    assert office.refused("resolve", {"id": uuid4()}) == "not-found"


@pytest.mark.parametrize(
    "unsaying",
    [
        "delete from exception_decisions",
        "truncate exception_decisions",
        "update exception_decisions set reason = 'never'",
    ],
)
def test_no_word_is_unsaid(db: Connection, office: Listed, unsaying: LiteralString) -> None:
    office.resolve(office.say())

    with pytest.raises(psycopg.Error, match="append-only"):
        db.execute(unsaying)


# The classes and the page

CLASS = r"([a-z]+(?:-[a-z]+)+)"
LISTS = (
    rf"record_exception\([^;]*?'{CLASS}'",
    rf"park_gateway_event\([^;]*?'{CLASS}'",
    rf"list_invariant\([^;]*?'{CLASS}'",
    rf"resolve_exception\('{CLASS}'",
    rf"(?:then|format\()\s*'{CLASS}: ",
    rf"v_class constant text := case[^;]*?'{CLASS}' else '",
    rf"v_class constant text := case[^;]*?' else '{CLASS}'",
)


def sql_of(pattern: str) -> set[str]:
    found: set[str] = set()
    for path in sorted((ROOT / "migrations" / "default").rglob("up.sql")):
        found |= set(re.findall(pattern, path.read_text(encoding="utf-8")))
    return found


def classes_of_the_page() -> dict[str, str]:
    text = (ROOT / "docs" / "exceptions.md").read_text(encoding="utf-8")
    return dict(re.findall(rf"^\| `{CLASS}` \| (itself|a person) \|", text, re.MULTILINE))


def test_every_class_is_on_the_page() -> None:
    written = set().union(*(sql_of(pattern) for pattern in LISTS)) - {"x-hasura-livemode"}

    assert set(classes_of_the_page()) == written


def test_the_page_says_who_ends_what(db: Connection) -> None:
    for class_, ends_by in classes_of_the_page().items():
        row = db.execute(
            "select settles_itself(e) as it_does from (select (jsonb_populate_record("
            "null::exceptions, jsonb_build_object('class', %s::text, 'object_type', 'x'))).*) as e",
            [class_],
        ).fetchone()
        assert row is not None
        assert row["it_does"] == (ends_by == "itself"), class_
