"""People work the list of exceptions: no money moves, and each word is kept once."""

from __future__ import annotations

from uuid import uuid4

from proof.cases import Case, Flow, Step
from proof.refunding import FIONA

REASON = "agreed with the shop"


def be_listed(case: Case) -> None:
    """Have the kernel list something of Fiona's organisation."""
    case.facts["object"] = str(uuid4())
    case.sql(
        "select record_exception(%s, false, 'order-mismatch', 'order_event', %s, 100, 'USD',"
        " 'said')",
        FIONA.organization_id,
        case.facts["object"],
    )
    (row,) = case.sql("select id::text from exceptions where object_id = %s", case.facts["object"])
    case.facts["exception"] = row["id"]


def assign(case: Case) -> None:
    said = case.says(
        case.stage.action(
            "assign_exception",
            FIONA,
            exception_id=case.facts["exception"],
            user_id=FIONA.id,
            idempotency_key=case.key,
        )
    )
    case.same("assigned_to", said["assigned_to"])


def resolve(case: Case) -> None:
    asked = {
        "exception_id": case.facts["exception"],
        "reason": REASON,
        "idempotency_key": f"off {case.key}",
    }
    said = case.says(case.stage.action("resolve_exception", FIONA, **asked))
    case.same("resolved", said["exception_id"])


def is_resolved(case: Case) -> bool:
    return "resolved" in case.facts


def reopen(case: Case) -> None:
    asked = {"exception_id": case.facts["exception"], "reason": "it was another shop"}
    asked["idempotency_key"] = f"on {case.key}"
    said = case.says(case.stage.action("reopen_exception", FIONA, **asked))
    case.same("reopened", said["exception_id"])


def decisions(case: Case) -> list[str]:
    rows = case.sql(
        "select decision from exception_decisions where exception_id = %s order by decided_at",
        case.facts["exception"],
    )
    return [row["decision"] for row in rows]


def is_off(case: Case) -> list[str]:
    (row,) = case.sql(
        "select assigned_to, resolved_by, resolution from exceptions where id = %s",
        case.facts["exception"],
    )
    wanted = {"assigned_to": FIONA.id, "resolved_by": FIONA.id, "resolution": REASON}
    said = decisions(case)
    fine = row == wanted and said == ["assigned", "resolved"]
    return [] if fine else [f"the list says {row}, after {said}"]


def is_on_again(case: Case) -> list[str]:
    (row,) = case.sql(
        "select resolved_at, resolved_by from exceptions where id = %s", case.facts["exception"]
    )
    said = decisions(case)
    fine = set(row.values()) == {None} and said == ["resolved", "reopened"]
    return [] if fine else [f"the list says {row}, after {said}"]


FLOWS = (
    Flow(
        "an exception that somebody ends",
        (
            Step("it is listed", be_listed, by="payer"),
            Step("assignException", assign),
            Step("resolveException", resolve),
        ),
        is_off,
        crons=(),
    ),
    Flow(
        "an exception that is put back",
        (
            Step("it is listed", be_listed, by="payer"),
            Step("resolveException", resolve),
            Step("reopenException", reopen, ready=is_resolved),
        ),
        is_on_again,
        crons=(),
    ),
)
