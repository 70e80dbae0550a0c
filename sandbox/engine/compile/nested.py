"""Nested inserts: parents first, then the row, then its children, one statement a row.

A row is inserted with the columns that the rows before it have brought. All statements run in
the transaction of the mutation; the answer is read when the last row is in.
"""

# ruff: noqa: S608 -- this module writes SQL: names are quoted, clients' values are bound

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.engine.compile.sql import Later, cast, ident
from sandbox.engine.compile.steps import Nested, NestedRow, Sql
from sandbox.engine.documents.coerce import Fields
from sandbox.engine.documents.walk import Selected
from sandbox.engine.errors import invalid
from sandbox.engine.schema.access import Access
from sandbox.engine.schema.sources import InsertRoot, RelationIn
from sandbox.engine.tracking.tracked import Relationship

from .compiler import Compiler, table_sql
from .insert_rows import conflict_sql, insert_sql
from .mutation import CHANGED, SESSION, answer_of, guarded, session
from .select import Source


@dataclass(slots=True)
class _Rows:
    """The statements so far, in the order they run."""

    c: Compiler
    found: list[NestedRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row to insert. `fixed` names, by SQL column, the values that earlier rows bring."""

    access: Access
    values: Fields
    conflict: Fields | None
    fixed: dict[str, str]
    path: str
    is_root: bool = False


def has_relations(objects: list[Fields]) -> bool:
    return any(_relations(item) for item in objects)


def _relations(values: Fields) -> list[tuple[str, Relationship]]:
    sources = ((name, values.type.fields[name].source) for name in values.items)
    return [(name, item.relationship) for name, item in sources if isinstance(item, RelationIn)]


def nested(c: Compiler, item: Selected, root: InsertRoot, objects: list[Fields]) -> Nested:
    rows = _Rows(c)
    path = f"$.selectionSet.{item.name}.args.{'object' if root.one else 'objects'}"
    for at, values in enumerate(objects):
        conflict = item.arguments.get("on_conflict")
        place = f"{path}[{at}]"
        _insert(rows, _Row(root.access, values, conflict, {}, place, is_root=True), path)
    after = Compiler(c.walk)
    given = after.statement.bind_many(Later("rows"))
    source = Source(root.access, f"unnest(({given})::{table_sql(root.access)}[])", after.alias())
    answered = answer_of(after, item, source, None, one=root.one)
    # Postgres refuses a parameter that is never named: an answer may be a count of rows only.
    sql = f"SELECT {answered} WHERE {given} IS NOT NULL"
    answer = Sql(item.key, sql, tuple(after.statement.binds))
    return Nested(item.key, tuple(rows.found), answer)


def _insert(rows: _Rows, row: _Row, reported: str) -> str:
    """Add the statements of a row and all below it; return the label of its values."""
    fixed, children = dict(row.fixed), []
    for name, relationship in _relations(row.values):
        value = row.values.get(name)
        if value is None:
            continue
        if relationship.is_child:
            children.append((name, relationship, value))
        else:
            fixed |= _parent(rows, row, name, value)
    label = f"r{len(rows.found)}"
    wanted = {own for _, relationship, _ in children for own, _ in relationship.mapping}
    rows.found.append(_statement(rows.c, row, fixed, label, reported))
    for name, relationship, value in children:
        _children(rows, row, (name, relationship), value, label)
    assert wanted <= row.access.table.table.columns.keys()  # noqa: S101 -- tracking has seen to it
    return label


def _parent(rows: _Rows, row: _Row, name: str, value: Fields) -> dict[str, str]:
    """Insert the parent of a row; return the columns it decides."""
    relationship = row.access.table.relationships[name]
    given = {row.access.table.columns[key].name for key in _columns(row)}
    taken = [own for own, _ in relationship.mapping if own in given]
    if taken:
        names = ", ".join(f'"{own}"' for own in taken)
        raise invalid(
            f'cannot insert object relationship "{name}" as {names} column values are already '
            "determined",
            row.path,
        )
    target = rows.c.schema.accesses[relationship.target]
    place = f"{row.path}.{name}.data"
    label = _insert(
        rows, _Row(target, value.get("data"), value.get("on_conflict"), {}, place), place
    )
    return {own: f"{label}.{other}" for own, other in relationship.mapping}


def _children(
    rows: _Rows, row: _Row, relation: tuple[str, Relationship], value: Fields, label: str
) -> None:
    name, relationship = relation
    target = rows.c.schema.accesses[relationship.target]
    fixed = {other: f"{label}.{own}" for own, other in relationship.mapping}
    place = f"{row.path}.{name}.data"
    data = value.get("data")
    items = data if relationship.is_array else [data]
    for at, item in enumerate(items):
        path = f"{place}[{at}]" if relationship.is_array else place
        child = _Row(target, item, value.get("on_conflict"), fixed, path)
        taken = [key for key in _columns(child) if target.table.columns[key].name in fixed]
        if taken:
            names = ", ".join(f'"{key}"' for key in taken)
            raise invalid(
                f"cannot insert {names} columns as their values are already being determined by "
                "parent insert",
                child.path,
            )
        _insert(rows, child, place)


def _columns(row: _Row) -> list[str]:
    return [name for name in row.values.items if name in row.access.table.columns]


def _statement(
    c: Compiler, row: _Row, fixed: dict[str, str], label: str, reported: str
) -> NestedRow:
    """Insert one row and bring its count, itself, and every column as text."""
    own, columns = Compiler(c.walk), row.access.table.table.columns
    waits = session(own)
    values = {
        name: cast(own.statement.bind(Later(later)), columns[name].type)
        for name, later in fixed.items()
    }
    sql = insert_sql(own, row.access, [row.values], values)
    clause, check = conflict_sql(own, row.access, row.conflict)
    changed = f'{sql}{clause} RETURNING "_0" AS "_row", coalesce(({check}), false) AS "_ok"'
    count = f"(SELECT count(*) FROM {CHANGED})"
    if check != "TRUE":
        count = guarded(count, "bigint")
    brought = ", ".join(f'("_row").{ident(name)}::text AS {ident(name)}' for name in columns)
    text = (
        f"WITH {waits}, {CHANGED} AS ({changed}) "
        f'SELECT ({count})::text AS "_count", {CHANGED}."_row"::text AS "_text", {brought} '
        f'FROM {SESSION} LEFT JOIN {CHANGED} ON {SESSION}."value" IS NOT NULL'
    )
    step = Sql(label, text, tuple(own.statement.binds), reported, mutation=True)
    return NestedRow(label, step, row.is_root, row.access.table.table.name[1])
