"""The straightforward evaluation of mutations: the rows afterwards, or the code of the failure."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import localcontext
from typing import Any

from .choices import is_distinct
from .conditions import Judge, Session
from .documents import Field
from .evaluation import Evaluation, Unordered
from .meanings import TypeName
from .values import Number, tagged
from .worlds import Row, Rows, Table, World, Write
from .writing import AffectedRows, Conflict, Delete, Insert, Update

FAILED_CHECK = "permission-error"
VIOLATION = "constraint-violation"
OVERFLOW = "data-exception"
TWICE = "unexpected"  # one INSERT may not change a row twice; Hasura has no word for it


class RefusedError(Exception):
    """The mutation fails, with one of these codes."""

    def __init__(self, *codes: str) -> None:
        super().__init__(*codes)
        self.codes = set(codes)


@dataclass(slots=True)
class Outcome:
    rows: Rows
    answers: dict[str, Any]


class Change:
    """One root field, applied to rows of its own."""

    def __init__(self, world: World, rows: Rows, role: str, table: str) -> None:
        self.world = world
        self.before = Judge(world, deepcopy(rows), role)
        self.rows = rows
        self.role = role
        self.table: Table = world.tables[table]
        self.grants = world.grant(role, table)
        self.changed: list[Row] = []
        self.checks: list[bool] = []

    @property
    def own(self) -> list[Row]:
        return self.rows[self.table.name]

    def presets(self, granted: Write | None) -> Row:
        pairs = granted.presets if granted else ()
        return {
            name: self.world.session[value.name][1] if isinstance(value, Session) else value
            for name, value in pairs
        }

    def permits(self, row: Row, condition: Any) -> bool:
        return self.before.permits(self.table.name, row, condition)

    def matches(self, row: Row, granted: Write | None, where: Any, key: Sequence[Any]) -> bool:
        if granted is None or not self.permits(row, granted.filter):
            return False
        if key:
            return bool(row["id"] == key[0])
        return self.before.chosen(self.table.name, row, where)

    def insert(self, meaning: Insert) -> None:
        granted = self.grants.insert
        assert granted is not None
        for given in meaning.objects:
            row = {name: item.default for name, item in self.table.columns.items()}
            row |= given | self.presets(granted)
            self._refuse_null(row)
            if self._resolved(row, meaning.conflict):
                continue
            self.own.append(row)
            self._keep(row, granted.check)
            self._refuse_duplicates()

    def _resolved(self, row: Row, conflict: Conflict | None) -> bool:
        """Apply the conflict clause if the row meets another one in its constraint."""
        if conflict is None:
            return False
        names = self.table.constraints[conflict.constraint]
        key = [tagged(row[name]) for name in names]
        found = (
            []
            if None in key
            else [other for other in self.own if [tagged(other[name]) for name in names] == key]
        )
        if not found:
            return False
        if conflict.columns:
            self._overwrite(found[0], row, conflict)
        return True

    def _overwrite(self, old: Row, row: Row, conflict: Conflict) -> None:
        if any(old is item for item in self.changed):
            raise RefusedError(TWICE)
        granted = self.grants.update
        assert granted is not None
        if not self.permits(old, granted.filter):
            return
        if not self.before.chosen(self.table.name, old, conflict.where):
            return
        old.update({name: row[name] for name in conflict.columns} | self.presets(granted))
        self._refuse_null(old)
        self._keep(old, granted.check)
        self._refuse_duplicates()

    def update(self, meaning: Update) -> None:
        granted = self.grants.update
        assert granted is not None
        presets = self.presets(granted)
        if not (meaning.sets or meaning.increments or presets):
            return
        chosen = [row for row in self.own if self.matches(row, granted, meaning.where, meaning.key)]
        for row in chosen:
            row.update(meaning.sets | presets)
            for name, step in meaning.increments.items():
                row[name] = self._increased(name, row[name], step)
            self._refuse_null(row)
            self._keep(row, granted.check)
        self._refuse_duplicates()

    def _increased(self, name: str, old: Any, step: Any) -> Any:
        if old is None:
            return None
        with localcontext(prec=400):
            found = old + step
        bounds = self.table.columns[name].kind.bounds
        if bounds and not bounds[0] <= found <= bounds[1]:
            raise RefusedError(OVERFLOW, VIOLATION, FAILED_CHECK)
        return found

    def delete(self, meaning: Delete) -> None:
        granted = self.grants.delete
        gone = [row for row in self.own if self.matches(row, granted, meaning.where, meaning.key)]
        self.rows[self.table.name] = [
            row for row in self.own if not any(row is item for item in gone)
        ]
        self.changed = gone

    def _keep(self, row: Row, check: Any) -> None:
        self.changed.append(row)
        self.checks.append(self.permits(row, check))

    def _refuse_null(self, row: Row) -> None:
        for name, column in self.table.columns.items():
            if row[name] is None and not column.nullable:
                self._violated()

    def _refuse_duplicates(self) -> None:
        if not all(is_distinct(self.own, names) for names in self.table.constraints.values()):
            self._violated()

    def _violated(self) -> None:
        """Refuse; a check that failed on an earlier row may be told instead."""
        raise RefusedError(VIOLATION, *([] if all(self.checks) else [FAILED_CHECK]))

    def finish(self) -> None:
        """Check what Postgres checks at the end of the statement."""
        if not all(self.checks):
            raise RefusedError(FAILED_CHECK)
        for table in self.world.tables.values():
            for column in table.columns.values():
                if column.references and self._dangles(table, column.name, column.references):
                    raise RefusedError(VIOLATION)

    def _dangles(self, table: Table, name: str, target: str) -> bool:
        there = {row["id"] for row in self.rows[target]}
        return any(
            row[name] is not None and row[name] not in there for row in self.rows[table.name]
        )


def run(world: World, rows: Rows, role: str, fields: list[Field]) -> Outcome:
    """Run a mutation's root fields in one transaction; raises RefusedError."""
    rows = deepcopy(rows)
    answers = {}
    for field in fields:
        meaning = field.meaning
        change = Change(world, rows, role, meaning.table)
        if isinstance(meaning, Insert):
            change.insert(meaning)
        elif isinstance(meaning, Update):
            change.update(meaning)
        else:
            change.delete(meaning)
        change.finish()
        answers[field.key] = _answer(change, field)
    return Outcome(rows, answers)


def _answer(change: Change, field: Field) -> Any:
    evaluation = Evaluation(change.world, change.rows, change.role)
    meaning, below = field.meaning, field.below
    assert below is not None
    if meaning.one if isinstance(meaning, Insert) else meaning.key:
        if isinstance(meaning, Update) and _is_empty(change, meaning):
            return {}
        rows = change.changed
        return evaluation.row(change.table, rows[0], below) if rows else None
    found: dict[str, Any] = {}
    for part in below.fields:
        if isinstance(part.meaning, AffectedRows):
            found[part.key] = Number(str(len(change.changed)))
        elif isinstance(part.meaning, TypeName):
            found[part.key] = part.meaning.text
        else:
            assert part.below is not None
            listed = [evaluation.row(change.table, row, part.below) for row in change.changed]
            found[part.key] = Unordered(listed)
    return found


def _is_empty(change: Change, meaning: Update) -> bool:
    return not (meaning.sets or meaning.increments or change.presets(change.grants.update))
