"""docs/autopay.md tells every state, event and setting: it fails when one is added in silence."""

import re

from books import MIGRATIONS, ROOT, Connection
from mandates import Autopay

TEXT = (ROOT / "docs" / "autopay.md").read_text(encoding="utf-8")
SQL = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("*_autopay*/up.sql"))
)


def first_words(heading: str) -> set[str]:
    """Read the first column of the table under a heading."""
    table = re.search(rf"^\| {heading} \|.*\n\| --- .*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert table
    return set(re.findall(r"^\| `(\w+)`", table[1], re.MULTILINE))


def test_every_state_is_explained(db: Connection) -> None:
    for noun in ("mandate", "charge"):
        rows = db.execute(f"select before, after from autopay_{noun}_steps").fetchall()
        assert first_words(noun) == {state for row in rows for state in row.values()}


def test_every_event_is_named() -> None:
    raised = set(re.findall(r"'(autopay\.\w+)'", SQL))

    assert raised == set(re.findall(r"`(autopay\.\w+)`", TEXT))


def test_every_setting_is_named_with_its_default(autopay: Autopay, db: Connection) -> None:
    row = db.execute("select * from autopay_settings").fetchone()
    for name in row.keys() - {"organization_id", "updated_at"}:
        assert name in TEXT
    assert (row["local_time"].isoformat("minutes"), row["notice_days"]) == ("09:00", 3)
    assert (row["catch_up_days"], row["action_days"], row["daily_tries_max"]) == (3, 7, 4)
    assert row["retry_days"] == [1, 3, 5]


def test_every_exception_is_named() -> None:
    listed = set(re.findall(r"'(autopay-(?:missed|skipped|refused))'", SQL))

    assert listed == set(re.findall(r"`(autopay-\w+)`", TEXT))
