"""docs/events.md tells every type of event, and its examples are what the outbox has."""

import json
import re
from typing import Any

import pytest
from books import MIGRATIONS, ROOT, Connection

from app.webhooks.address import REFUSALS
from app.webhooks.eventbridge import BYTES_MAX

from .happenings import make_everything_happen, told
from .test_messages import paid_order, said

TEXT = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
SQL = "\n".join(path.read_text(encoding="utf-8") for path in MIGRATIONS.glob("*/up.sql"))
EXAMPLE = re.compile(
    r"^\*\*`([a-z_]+\.[a-z_]+)`\*\* .+\n\n```json\n(\{[^`]+\})\n```$", re.MULTILINE
)
FAMILY = re.compile(r"^### .+?(?=^### |\Z)", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def examples(text: str = TEXT) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, json.loads(body)) for kind, body in EXAMPLE.findall(text)]


def shape(facts: dict[str, Any]) -> dict[str, str]:
    """The kind of each fact, as JSON knows it."""
    kinds = {int: "number", float: "number"}
    return {name: kinds.get(type(value), type(value).__name__) for name, value in facts.items()}


def test_every_example_has_the_facts_of_a_real_event(db: Connection) -> None:
    make_everything_happen(db)
    happened: dict[str, list[dict[str, str]]] = {}
    for row in told(db):
        happened.setdefault(row["type"], []).append(shape(row["data"]))

    assert {kind for kind, _ in examples()} == set(happened)
    for kind, example in examples():
        assert shape(example) in happened[kind], kind


def test_every_type_that_the_database_names_is_there() -> None:
    named = set(re.findall(r"'((?:payment|refund|dispute|credits|autopay)\.[a-z_]+)'", SQL))

    sources = {"payment.service"}
    assert named - sources <= {kind for kind, _ in examples()}


@pytest.mark.parametrize("family", FAMILY.findall(TEXT), ids=lambda text: text.split("\n")[0])
def test_a_familys_fields_are_those_of_its_examples(family: str) -> None:
    shown = examples(family)

    assert shown
    assert set(FIELD.findall(family)) == {name for _, facts in shown for name in facts}


@pytest.mark.parametrize("profile", ["munim", "novamart", "ubertruck"])
def test_a_profiles_message_is_what_is_sent(db: Connection, profile: str) -> None:
    found = re.search(rf"^`{profile}`[^\n]*:\n\n```json\n([^`]+)\n```", TEXT, re.MULTILINE)
    assert found
    example = json.loads(found[1], parse_float=str)
    (row,) = paid_order(db, profile)
    sent = said(row)

    assert (example["source"], example["detail-type"]) == (row["source"], row["detail_type"])
    if profile == "munim":
        assert shape(example["detail"].pop("event")) == shape(sent.pop("event"))
    sent.pop("event", None)
    assert shape(example["detail"]) == shape(sent)


def test_what_it_says_of_limits_is_so() -> None:
    assert f"{BYTES_MAX // 1024} KB" in TEXT
    assert "{}, {} and {} say that".format(*sorted(REFUSALS)) in TEXT


def test_every_setting_of_events_is_named() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(
        r"^((?:EVENT_BUS|EVENTBRIDGE|EVENTS_URL|EVENTS_SECRET)\w*)=", example, re.MULTILINE
    )

    assert len(names) == 7
    for name in names:
        assert f"`{name}`" in TEXT


def test_every_profile_and_type_of_words_is_named(db: Connection) -> None:
    for row in db.execute("select profile, type, detail_type from event_words").fetchall():
        for name in row.values():
            assert f"`{name}`" in TEXT
