"""docs/ledger.md: its chart is the accounts that the SQL books on, its order is what is booked."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from books import MIGRATIONS, ROOT, Connection, Tenant, broken_invariants
from orders.conftest import stock
from worked_tables import booked, documented, names

PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
PAGES = ("ledger.md", "refunds.md", "bank-transfers.md")
TYPES = {"asset", "liability", "equity", "revenue", "expense"}
# Where the SQL names an account: beside its type, to a function that books on it, as the source of
# a refund, or as the beginning of a code.
BESIDE_ITS_TYPE = re.compile(r"'([a-z_]+)',\s+'(asset|liability|equity|revenue|expense)'")
GIVEN = re.compile(
    r"(?<!function )(?:capture_posting|credit_posting|credit_part_postings)\([^;]*?'([a-z_]+)'"
)
SOURCE = re.compile(r"create function source_account.*?\$\$;", re.DOTALL)
RETURNED = re.compile(r"return '([a-z_]+)'")
BEGINNING = re.compile(
    r"'([a-z_]+:)' \|\| (?:p_\w+\.(?:gateway|bank_account_id)|p_customer\.id)\b(?! \|\|)"
)


def chart() -> dict[str, str]:
    """The type of each code on the page; a code that goes on ends with its colon."""
    rows = re.findall(r"^\| `([a-z_]+:?)(?:<[a-z]+>)?` \| ([a-z]+) \|", PAGE, re.MULTILINE)
    return {code: kind for code, kind in rows if kind in TYPES}


def statements() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("*/up.sql"))
    )


def booked_on(sql: str) -> Iterator[tuple[str, str | None]]:
    yield from (pair for pair in BESIDE_ITS_TYPE.findall(sql) if pair[0] not in TYPES)
    for code in (*GIVEN.findall(sql), *BEGINNING.findall(sql)):
        yield code, None
    for function in SOURCE.findall(sql):
        yield from ((code, None) for code in RETURNED.findall(function))


def test_every_account_that_is_booked_on_is_in_the_chart() -> None:
    written = chart()
    found = set(booked_on(statements()))

    assert {code for code, _ in found} - written.keys() == set()
    assert {(code, kind) for code, kind in found if kind and written[code] != kind} == set()
    assert {"merchant_balance", "surplus", "gateway:", "credit_revenue"} <= {c for c, _ in found}


def test_every_account_in_the_chart_is_booked_on() -> None:
    sql = re.sub(r"create view.*?;", "", statements(), flags=re.DOTALL)

    assert [code for code in chart() if f"'{code}'" not in sql] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_account_of_a_worked_table_is_in_the_chart(name: str) -> None:
    known = {code.rstrip(":") for code in chart()}
    named = names(ROOT / "docs" / name)

    assert named
    assert named - known == set()


def test_an_order_is_booked_as_the_page_says(db: Connection, tenant: Tenant) -> None:
    office = stock(db, tenant)
    row = office.ask(gateway="razorpay", method="card", capture_method="manual")
    office.hear(row, "authorized")
    office.hear(row, "paid", captured_amount=200000)
    refund = office.refund(row["payment_intent_id"], amount=50000)
    office.say(refund, "succeeded", gateway="razorpay")
    for outcome in ("opened", "lost"):
        office.dispute(
            row["payment_attempt_id"],
            outcome,
            gateway="razorpay",
            gateway_payment_id=f"pay_{row['payment_attempt_id']}",
            amount=150000,
            currency="INR",
        )

    _, order = documented("ledger.md")["Flows"][-2:]
    assert Counter(booked(db, tenant.organization_id)) == Counter(order)
    assert broken_invariants(db) == {}
