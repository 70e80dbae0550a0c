"""docs/payments.md shows the state machines and the words as the database has them."""

import re

import pytest
from books import ROOT, Connection

PAGE = (ROOT / "docs" / "payments.md").read_text(encoding="utf-8")
PROFILES = ("ubertruck", "novamart", "merchants")


def drawn(number: int) -> set[tuple[str, str]]:
    pictures = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    return set(re.findall(r"^    (\w+) --> (\w+)$", pictures[number], re.MULTILINE))


@pytest.mark.parametrize(("number", "noun"), [(0, "payment_intent"), (1, "payment_attempt")])
def test_a_picture_shows_every_step_and_no_other(db: Connection, number: int, noun: str) -> None:
    steps = db.execute(f"select before, after from {noun}_steps").fetchall()
    assert drawn(number) == {(step["before"], step["after"]) for step in steps}


def test_each_product_has_a_word_for_every_status(db: Connection) -> None:
    steps = db.execute("select before, after from payment_intent_steps").fetchall()
    statuses = {status for step in steps for status in step.values()} | {"refunded"}
    rows = db.execute("select * from payment_status_words").fetchall()
    words = {(row["profile"], row["status"]): row["word"] for row in rows}

    assert set(words) == {(profile, status) for profile in PROFILES for status in statuses}
    told = dict(re.findall(r"^\| ([a-z ]+) \| (\w+ \| \w+ \| \w+) \|$", PAGE, re.MULTILINE))
    del told["ours"]
    told["refunded"] = told.pop("all of it refunded")
    assert told == {
        status: " | ".join(words[profile, status] for profile in PROFILES) for status in statuses
    }
