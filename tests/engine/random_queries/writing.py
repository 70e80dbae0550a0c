"""Strategies of mutations, each root field with its meaning for the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import choices
from .choices import Draw, flag, pick, spelled, subset
from .conditions import written
from .documents import Choice, Field, Selection, Typed
from .meanings import TypeName
from .reading import Reader
from .worlds import Row, Table, World, Write


@dataclass(frozen=True, slots=True)
class Conflict:
    constraint: str
    columns: tuple[str, ...]
    where: Any


@dataclass(frozen=True, slots=True)
class Insert:
    table: str
    objects: tuple[Row, ...]
    conflict: Conflict | None
    one: bool


@dataclass(frozen=True, slots=True)
class Update:
    """`key` is the primary key of the by_pk form, whose `where` is None."""

    table: str
    where: Any
    key: tuple[Any, ...]
    sets: dict[str, Any]
    increments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    table: str
    where: Any
    key: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AffectedRows:
    pass


@dataclass(frozen=True, slots=True)
class Returning:
    pass


class Changer:
    """Draws what one role may change in one world."""

    def __init__(self, draw: Draw, world: World, role: str) -> None:
        self.draw = draw
        self.world = world
        self.role = role
        self.reader = Reader(draw, world, role)

    def able(self) -> list[tuple[Table, str]]:
        return [
            (table, kind)
            for table in self.world.tables.values()
            for kind in ("insert", "update", "delete")
            if getattr(self.world.grant(self.role, table.name), kind) is not None
        ]

    def root(self) -> Field:
        table, kind = pick(self.draw, self.able())
        grants = self.world.grant(self.role, table.name)
        granted: Write = getattr(grants, kind)
        one = grants.select is not None and "id" in grants.select.columns and flag(self.draw)
        if kind == "insert":
            return self._insert(table, granted, one=one)
        if kind == "update":
            return self._update(table, granted, one=one)
        arguments, where, key = self._rows(table, one=one)
        below = self._answer(table, one=one)
        suffix = "_by_pk" if one else ""
        if one:
            arguments = {"id": self._key(table, key[0], "!")}
        return Field(
            f"delete_{table.name}{suffix}", None, arguments, below, Delete(table.name, where, key)
        )

    def _key(self, table: Table, key: Any, suffix: str = "") -> Typed:
        kind = table.columns["id"].kind
        return Typed(kind.graphql + suffix, spelled(self.draw, key, kind))

    def _rows(self, table: Table, *, one: bool) -> tuple[dict[str, Typed], Any, tuple[Any, ...]]:
        """Draw which rows: by a condition, or by the primary key."""
        if one:
            return {}, None, (choices.value(self.draw, self.world, table, "id"),)
        where = None
        if pick(self.draw, range(4)):
            where = choices.where(self.draw, self.world, self.role, table)
        tree = written(self.world, table.name, where)
        return {"where": Typed(f"{table.name}_bool_exp!", tree)}, where, ()

    def _answer(self, table: Table, *, one: bool) -> Selection:
        if one:
            return self.reader.selection(table, 1)
        fields = [Field("affected_rows", meaning=AffectedRows())]
        if self.world.grant(self.role, table.name).select and flag(self.draw):
            below = self.reader.selection(table, 1)
            fields.append(Field("returning", None, {}, below, Returning()))
        if pick(self.draw, range(5)) == 0:
            text = f"{table.name}_mutation_response"
            fields.append(Field("__typename", meaning=TypeName(text)))
        return Selection(f"{table.name}_mutation_response", fields)

    def _insert(self, table: Table, granted: Write, *, one: bool) -> Field:
        preset = dict(granted.presets)
        names = [name for name in granted.columns if name not in preset]
        conflict = self._conflict(table)
        count = 1 if one else pick(self.draw, (0, 1, 1, 2, 3))
        drawn = [self._object(table, names, meets=conflict is not None) for _ in range(count)]
        objects = tuple({name: value for name, (value, _) in item.items()} for item in drawn)
        said = [
            {
                name: Typed(table.columns[name].kind.graphql, text)
                for name, (_, text) in item.items()
            }
            for item in drawn
        ]
        arguments = {}
        if one:
            arguments["object"] = Typed(f"{table.name}_insert_input!", said[0])
        else:
            single = len(said) == 1 and flag(self.draw)
            listed: Any = said[0] if single else said
            arguments["objects"] = Typed(f"[{table.name}_insert_input!]!", listed)
        if conflict is not None:
            arguments["on_conflict"] = self._clause(table, conflict)
        name = f"insert_{table.name}" + ("_one" if one else "")
        meaning = Insert(table.name, objects, conflict, one)
        return Field(name, None, arguments, self._answer(table, one=one), meaning)

    def _object(self, table: Table, names: list[str], *, meets: bool) -> dict[str, tuple[Any, Any]]:
        """Draw an object: by name what is meant, and how a client writes it.

        One that `meets` a row already there often has its key.
        """
        needed = [name for name in names if not table.columns[name].nullable]
        chosen = needed if pick(self.draw, range(8)) else []
        chosen = chosen + [name for name in names if name not in chosen and flag(self.draw)]
        found = {name: self._value(table, name) for name in chosen}
        rows = self.world.rows[table.name]
        if meets and "id" in found and rows and flag(self.draw):
            key = pick(self.draw, [row["id"] for row in rows])
            found["id"] = (key, spelled(self.draw, key, table.columns["id"].kind))
        return found

    def _value(self, table: Table, name: str) -> tuple[Any, Any]:
        column = table.columns[name]
        if column.nullable and pick(self.draw, range(4)) == 0:
            return None, None
        there = self.world.rows[column.references] if column.references else []
        if len(there) > 0 and pick(self.draw, range(8)) > 0:
            value = pick(self.draw, [row["id"] for row in there])
        elif name == "id" and pick(self.draw, range(4)):
            value = self.draw(column.kind.values)
        else:
            value = choices.value(self.draw, self.world, table, name)
        return value, spelled(self.draw, value, column.kind)

    def _conflict(self, table: Table) -> Conflict | None:
        update = self.world.grant(self.role, table.name).update
        if update is None or flag(self.draw):
            return None
        preset = dict(update.presets)
        names = [name for name in update.columns if name not in preset]
        columns = tuple(subset(self.draw, names, least=0, most=2)) if names else ()
        where = None
        if columns and flag(self.draw):
            where = choices.where(self.draw, self.world, self.role, table, 1)
        return Conflict(pick(self.draw, list(table.constraints)), columns, where)

    def _clause(self, table: Table, conflict: Conflict) -> Typed:
        names = [Choice(name) for name in conflict.columns]
        value = {
            "constraint": Typed(f"{table.name}_constraint!", Choice(conflict.constraint)),
            "update_columns": Typed(f"[{table.name}_update_column!]!", names),
        }
        if conflict.where is not None:
            tree = written(self.world, table.name, conflict.where)
            value["where"] = Typed(f"{table.name}_bool_exp", tree)
        return Typed(f"{table.name}_on_conflict", value)

    def _update(self, table: Table, granted: Write, *, one: bool) -> Field:
        preset = dict(granted.presets)
        names = [name for name in granted.columns if name not in preset]
        sets = {name: self._value(table, name) for name in subset(self.draw, names, most=3)}
        numeric = [
            name
            for name in names
            if name not in sets
            and name != "id"
            and name not in table.unique
            and table.columns[name].kind.is_numeric
        ]
        increments = {
            name: self._increment(table, name) for name in subset(self.draw, numeric, most=1)
        }
        arguments, where, key = self._rows(table, one=one)
        if one:
            pk = {"id": self._key(table, key[0], "!")}
            arguments = {"pk_columns": Typed(f"{table.name}_pk_columns_input!", pk)}
        for operator, drawn in (("_set", sets), ("_inc", increments)):
            if drawn:
                arguments[operator] = self._operator(table, operator, drawn)
        meaning = Update(table.name, where, key, _meant(sets), _meant(increments))
        name = f"update_{table.name}" + ("_by_pk" if one else "")
        return Field(name, None, arguments, self._answer(table, one=one), meaning)

    def _increment(self, table: Table, name: str) -> tuple[Any, Any]:
        kind = table.columns[name].kind
        value = self.draw(kind.values)
        return value, spelled(self.draw, value, kind)

    def _operator(self, table: Table, operator: str, drawn: dict[str, tuple[Any, Any]]) -> Typed:
        tree = {
            name: Typed(table.columns[name].kind.graphql, said) for name, (_, said) in drawn.items()
        }
        return Typed(f"{table.name}{operator}_input", tree)


def _meant(drawn: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {name: value for name, (value, _) in drawn.items()}
