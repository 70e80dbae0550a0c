"""Finance works the list of exceptions in GraphQL."""

from typing import Any
from uuid import uuid4

import pytest
from e2e.product import World

from sandbox import tokens

TARUN, UMESH, ASHA = (tokens.find(name) for name in ("tarun", "umesh", "asha"))
LINE = """
insert into exceptions (organization_id, livemode, class, object_type, object_id, detail)
select organization_id, false, %s, %s, %s, 'said' from organization_members
where user_id = %s limit 1
returning id::text
"""
ASSIGN = """
mutation ($id: uuid!, $to: String, $key: String!) {
  assignException(exception_id: $id, user_id: $to, idempotency_key: $key) { assigned_to }
}
"""
RESOLVE = """
mutation ($id: uuid!, $reason: String!, $key: String!) {
  resolveException(exception_id: $id, reason: $reason, idempotency_key: $key) {
    class resolved_by resolution
    exception { decisions(order_by: { decided_at: asc }) { decision assigned_to decided_by } }
  }
}
"""
REOPEN = """
mutation ($id: uuid!, $reason: String!, $key: String!) {
  reopenException(exception_id: $id, reason: $reason, idempotency_key: $key) { resolved_at }
}
"""


def listed(product: World, class_: str, object_type: str) -> str:
    (row,) = product.sql(LINE, class_, object_type, str(uuid4()), TARUN.id)
    return str(row["id"])


def code(answer: dict[str, Any]) -> str:
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])


def test_finance_takes_a_line_off_and_an_owner_puts_it_back(product: World) -> None:
    line = listed(product, "order-mismatch", "order_event")
    assigned = product.graphql(ASSIGN, UMESH, key=str(uuid4()), id=line, to=TARUN.id)
    assert assigned["data"]["assignException"] == {"assigned_to": TARUN.id}

    answer = product.graphql(RESOLVE, TARUN, key=str(uuid4()), id=line, reason="split in two")
    assert answer["data"]["resolveException"] == {
        "class": "order-mismatch",
        "resolved_by": TARUN.id,
        "resolution": "split in two",
        "exception": {
            "decisions": [
                {
                    "decision": "assigned",
                    "assigned_to": TARUN.id,
                    "decided_by": UMESH.id,
                },
                {"decision": "resolved", "assigned_to": None, "decided_by": TARUN.id},
            ]
        },
    }
    assert (
        code(product.graphql(RESOLVE, UMESH, key=str(uuid4()), id=line, reason="mine"))
        == "exception-resolved"
    )
    reopened = product.graphql(REOPEN, UMESH, key=str(uuid4()), id=line, reason="it was not")
    assert reopened["data"]["reopenException"] == {"resolved_at": None}
    product.graphql(RESOLVE, TARUN, key=str(uuid4()), id=line, reason="it was")


def test_what_is_still_so_is_refused(product: World) -> None:
    line = listed(product, "refund-unresolved", "refund")
    try:
        refused = product.graphql(RESOLVE, TARUN, key=str(uuid4()), id=line, reason="gone")
        assert code(refused) == "exception-stands"
    finally:
        product.sql("delete from exceptions where id = %s returning id", line)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_a_reason_is_a_text(product: World, reason: str) -> None:
    some_id = str(uuid4())

    assert (
        code(product.graphql(RESOLVE, TARUN, key=str(uuid4()), id=some_id, reason=reason))
        == "invalid-input"
    )


def test_a_customer_has_no_list(product: World) -> None:
    answer = product.graphql(RESOLVE, ASHA, key=str(uuid4()), id=str(uuid4()), reason="mine")

    assert "resolveException" in answer["errors"][0]["message"]
