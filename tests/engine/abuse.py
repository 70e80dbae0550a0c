"""Requests that nobody sends who means well, each with what has to come of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

REFUSED, ANSWERED = "refused", "answered"


@dataclass(frozen=True)
class Abuse:
    """`outcome` is refused, before anything is executed, or answered."""

    name: str
    body: bytes
    outcome: str


def request(query: str, variables: Any = None, **more: Any) -> bytes:
    return json.dumps({"query": query, "variables": variables, **more}).encode()


def with_number(argument: str, number: str) -> bytes:
    """Return a request with a number as it is written, which Python would write otherwise."""
    query = json.dumps(f"query ($n: Int) {{ owner({argument}) {{ id }} }}")
    return f'{{"query": {query}, "variables": {{"n": {number}}}}}'.encode()


def corpus() -> list[Abuse]:
    groups = (depths, floods, fragments, directives, values, numbers, texts, variables, batches)
    found = [item for group in (*groups, introspections, bodies) for item in group()]
    assert len({item.name for item in found}) == len(found)
    return found


def nested(levels: int, opened: str = "boss {", inner: str = "id") -> str:
    return opened * levels + inner + "}" * levels


def depths() -> Iterator[Abuse]:
    yield Abuse("30 levels", request(f"{{ owner {{ {nested(30)} }} }}"), ANSWERED)
    for levels in (39, 60, 100, 200, 500, 900, 1200, 2400):
        yield Abuse(
            f"{levels} levels of fields", request(f"{{ owner {{ {nested(levels)} }} }}"), REFUSED
        )
        query = f"{{ owner {{ {nested(levels, '... on owner {')} }} }}"
        yield Abuse(f"{levels} levels of inline fragments", request(query), REFUSED)
    for levels in (41, 100, 500, 2000):
        parts = [f"fragment F{n} on owner {{ boss {{ ...F{n + 1} }} }}" for n in range(levels)]
        query = "{ owner { ...F0 } }" + "".join(parts) + f"fragment F{levels} on owner {{ id }}"
        yield Abuse(f"{levels} levels of fragments", request(query), REFUSED)


def floods() -> Iterator[Abuse]:
    for number in (251, 500, 1000, 2000, 20_000, 50_000):
        below = " ".join(f"a{n}: id" for n in range(number))
        yield Abuse(f"{number} aliases", request(f"{{ owner {{ {below} }} }}"), REFUSED)
    for number in (101, 500, 1000, 10_000):
        roots = " ".join(f"a{n}: owner {{ id }}" for n in range(number))
        yield Abuse(f"{number} root fields", request(f"{{ {roots} }}"), REFUSED)
        named = " ".join(f"a{n}: __typename" for n in range(number))
        yield Abuse(f"{number} type names", request(f"{{ {named} }}"), REFUSED)
    for number in (101, 1000):
        same = "owner { id } " * number
        yield Abuse(f"{number} times the same root", request(f"{{ {same} }}"), REFUSED)
        changes = " ".join(f"a{n}: delete_note_by_pk(id: {n}) {{ id }}" for n in range(number))
        yield Abuse(f"{number} mutations", request(f"mutation {{ {changes} }}"), REFUSED)
    yield Abuse("6000 times the same field", request(f"{{ owner {{ {'id ' * 6000} }} }}"), REFUSED)
    yield Abuse("2000 times the same field", request(f"{{ owner {{ {'id ' * 2000} }} }}"), ANSWERED)
    many = " ".join(f"query Q{n} {{ owner {{ id }} }}" for n in range(900))
    yield Abuse("900 operations", request(many, operationName="Q1"), REFUSED)


def fragments() -> Iterator[Abuse]:
    for number in (1, 2, 3, 10, 100, 500):
        parts = [f"fragment F{n} on owner {{ ...F{(n + 1) % number} }}" for n in range(number)]
        query = "{ owner { ...F0 } }" + "".join(parts)
        yield Abuse(f"a cycle of {number} fragments", request(query), REFUSED)
        parts = [
            f"fragment F{n} on owner {{ boss {{ ... on owner {{ ...F{(n + 1) % number} }} }} }}"
            for n in range(number)
        ]
        query = "{ owner { ...F0 } }" + "".join(parts)
        yield Abuse(f"a hidden cycle of {number} fragments", request(query), REFUSED)
    for number in (13, 20, 30, 39):
        parts = [
            f"fragment F{n} on owner {{ a: boss {{ ...F{n + 1} }} b: boss {{ ...F{n + 1} }} }}"
            for n in range(number)
        ]
        end = f"fragment F{number} on owner {{ id }}"
        query = "{ owner { ...F0 } }" + "".join(parts) + end
        yield Abuse(f"fragments for 2^{number} fields", request(query), REFUSED)
        plain = query.replace("a: ", "").replace("b: ", "")
        yield Abuse(f"fragments for 2^{number} fields that merge", request(plain), REFUSED)
    spreads = "...F " * 1000
    query = f"{{ owner {{ {spreads} }} }} fragment F on owner {{ id }}"
    yield Abuse("1000 spreads of one fragment", request(query), ANSWERED)
    yield Abuse("an unknown fragment", request("{ owner { ...G } }"), REFUSED)
    unused = "".join(f"fragment F{n} on owner {{ id }}" for n in range(300))
    yield Abuse("300 unused fragments", request("{ owner { id } }" + unused), ANSWERED)


def directives() -> Iterator[Abuse]:
    for number in (400, 2000, 10_000):
        flood = "@include(if: true) " * number
        yield Abuse(f"{number} times @include", request(f"{{ owner {{ id {flood} }} }}"), REFUSED)
    flood = "@skip(if: false) " * 300
    yield Abuse("300 times @skip", request(f"{{ owner {{ id {flood} }} }}"), ANSWERED)
    for number in (1, 100, 1000, 4000):
        flood = " ".join(f"@d{n}" for n in range(number))
        yield Abuse(
            f"{number} unknown directives", request(f"{{ owner {{ id {flood} }} }}"), REFUSED
        )
        yield Abuse(
            f"{number} unknown directives on the query",
            request(f"query {flood} {{ owner {{ id }} }}"),
            REFUSED,
        )


def values() -> Iterator[Abuse]:
    watched = "query ($where: owner_bool_exp) { owner(where: $where) { id } }"
    for levels in (41, 100, 300, 600):
        deep = "{_not: " * levels + "{}" + "}" * levels
        yield Abuse(f"where of {levels}", request(f"{{ owner(where: {deep}) {{ id }} }}"), REFUSED)
        listed = "{_and: [" * levels + "{}" + "]}" * levels
        yield Abuse(
            f"lists of {levels}", request(f"{{ owner(where: {listed}) {{ id }} }}"), REFUSED
        )
        bomb: Any = {}
        for _ in range(levels):
            bomb = {"_not": bomb}
        yield Abuse(f"where variable of {levels}", request(watched, {"where": bomb}), REFUSED)
    deep = "{_not: " * 30 + "{}" + "}" * 30
    yield Abuse("where of 30", request(f"{{ owner(where: {deep}) {{ id }} }}"), ANSWERED)
    for length in (6000, 20_000, 100_000):
        wide = ",".join("1" for _ in range(length))
        query = f"{{ owner(where: {{age: {{_in: [{wide}]}}}}) {{ id }} }}"
        yield Abuse(f"_in of {length}", request(query), REFUSED)
    wide = ",".join("1" for _ in range(2000))
    query = f"{{ owner(where: {{age: {{_in: [{wide}]}}}}) {{ id }} }}"
    yield Abuse("_in of 2000", request(query), ANSWERED)
    query = "query ($in: [Int!]) { owner(where: {age: {_in: $in}}) { id } }"
    for length, outcome in ((10_000, ANSWERED), (10_001, REFUSED), (200_000, REFUSED)):
        yield Abuse(f"_in variable of {length}", request(query, {"in": [1] * length}), outcome)
    query = (
        "mutation ($rows: [note_insert_input!]!) { insert_Note(objects: $rows) { affected_rows } }"
    )
    rows = [{"body": "x"}] * 10_001
    yield Abuse("10001 rows", request(query.replace("note_", "Note_"), {"rows": rows}), REFUSED)
    order = "query ($by: [owner_order_by!]) { owner(order_by: $by) { id } }"
    yield Abuse("10001 orders", request(order, {"by": [{"id": "asc"}] * 10_001}), REFUSED)
    same = "{id: asc}," * 1500
    yield Abuse(
        "1500 literal orders", request(f"{{ owner(order_by: [{same}]) {{ id }} }}"), REFUSED
    )


def numbers() -> Iterator[Abuse]:
    yield Abuse("a limit of a billion", request("{ owner(limit: 1000000000) { id } }"), ANSWERED)
    for digits in (10, 30, 400, 999, 5000, 100_000, 900_000):
        query = f"{{ owner(limit: {'9' * digits}) {{ id }} }}"
        yield Abuse(f"a limit of {digits} digits", request(query), REFUSED)
        query = f"{{ owner(where: {{age: {{_eq: {'9' * digits}}}}}) {{ id }} }}"
        yield Abuse(f"an Int of {digits} digits", request(query), REFUSED)
        body = with_number("limit: $n", "9" * digits)
        yield Abuse(f"a variable of {digits} digits", body, REFUSED)
    for number in ("1e999999999", "-1e999999999", "1e-999999999", "1.0000000000000001", "1e400"):
        name = f"an Int of {number}"
        query = f"{{ owner(where: {{age: {{_eq: {number}}}}}) {{ id }} }}"
        yield Abuse(name, request(query), REFUSED)
        body = with_number("where: {age: {_eq: $n}}", number)
        yield Abuse(f"{name} by variable", body, REFUSED)
    beyond = "1e9999999999999999999"  # no Decimal is as large
    query = f"{{ owner(where: {{age: {{_eq: {beyond}}}}}) {{ id }} }}"
    yield Abuse("a literal beyond all numbers", request(query), REFUSED)
    body = with_number("where: {age: {_eq: $n}}", beyond)
    yield Abuse("a variable beyond all numbers", body, REFUSED)
    for text in ("-1", "NaN", "Infinity", "1.5", '"1"', "true", "[1]", "{}"):
        yield Abuse(f"a limit of {text}", request(f"{{ owner(limit: {text}) {{ id }} }}"), REFUSED)


def texts() -> Iterator[Abuse]:
    for name, text in (
        ("a string that never ends", '"' + '\\"' * 49_990),
        ("a block string that never ends", '"""' + '\\"' * 49_990),
        ("strings that never end", '"\\' * 49_000),
    ):
        yield Abuse(name, request(text), REFUSED)
    query = "query ($t: String!) { owner(where: {id: {_eq: $t}}) { id } }"
    for size in (10_000, 500_000, 1_000_000):
        yield Abuse(f"a text of {size}", request(query, {"t": "x" * size}), ANSWERED)
    literal = f'{{ owner(where: {{id: {{_eq: "{"y" * 90_000}"}}}}) {{ id }} }}'
    yield Abuse("a literal of 90000", request(literal), ANSWERED)
    block = literal.replace('"', '"""')
    yield Abuse("a block string of 90000", request(block), ANSWERED)
    for name, text in (
        ("emoji", "\N{PILE OF POO}" * 1000),
        ("right to left", "\u202e" * 1000),
        ("zero width", "\u200b" * 1000),
        ("combined", "e" + "\u0301" * 5000),
        ("quotes", "'\"\\" * 1000),
        ("dollars", "$1 $$ %s {0} \\x00"),
    ):
        yield Abuse(f"a text of {name}", request(query, {"t": text}), ANSWERED)
    for size in (100, 10_000, 500_000):
        yield Abuse(f"a field of {size}", request(f"{{ owner {{ {'f' * size} }} }}"), REFUSED)
        yield Abuse(f"a root of {size}", request(f"{{ {'f' * size} }}"), REFUSED)
    yield Abuse("a comment of 900000", request("{ owner { id } } #" + "c" * 900_000), REFUSED)
    yield Abuse("900000 commas", request("{ owner { id } }" + "," * 900_000), REFUSED)
    yield Abuse("900000 braces", request("{" * 900_000), REFUSED)
    yield Abuse("900000 quotes", request('"' * 900_000), REFUSED)
    yield Abuse("an open block string", request('{ owner(x: """' + '\\"""' * 200_000), REFUSED)
    yield Abuse("backslashes", request('{ owner(x: "' + "\\" * 900_000), REFUSED)


def variables() -> Iterator[Abuse]:
    for number in (500, 1000, 50_000):
        declared = " ".join(f"$v{n}: Int" for n in range(number))
        query = f"query ({declared}) {{ owner {{ id }} }}"
        outcome = ANSWERED if number == 500 else REFUSED
        yield Abuse(f"{number} declared variables", request(query), outcome)
        given = {f"v{n}": n for n in range(number)}
        yield Abuse(f"{number} unexpected values", request("{ owner { id } }", given), REFUSED)
    deep = "[" * 100 + "1" + "]" * 100
    query = f"query ($v: jsonb = {deep}) {{ entry(where: {{meta: {{_eq: $v}}}}) {{ id }} }}"
    yield Abuse("a deep default", request(query), REFUSED)
    kind = "[" * 500 + "Int" + "]" * 500
    query = f"query ($v: {kind}) {{ owner(limit: $v) {{ id }} }}"
    yield Abuse("a list of lists of lists", request(query, {"v": 1}), REFUSED)
    query = "query ($v: owner_bool_exp) { owner(where: $v) { id } }"
    wide = {f"k{n}": {"_eq": 1} for n in range(20_000)}
    yield Abuse("20000 unknown keys", request(query, {"v": wide}), REFUSED)
    listed = {"_or": [{"id": {"_eq": f"z{n}"}, "name": {"_eq": f"n{n}"}} for n in range(9999)]}
    yield Abuse("20000 conditions", request(query, {"v": listed}), REFUSED)
    yield Abuse("2000 conditions", request(query, {"v": {"_or": listed["_or"][:1000]}}), ANSWERED)
    listed = {"_or": [{"_and": [{"_not": {"id": {"_eq": "z"}}}] * 3000}] * 2}
    yield Abuse("lists of conditions in lists", request(query, {"v": listed}), REFUSED)
    several = "query ($v: [owner_bool_exp!]!) { owner(where: {_or: $v}) { id } }"
    listed = [{"id": {"_eq": f"z{n}"}} for n in range(9999)]
    yield Abuse("9999 conditions in a list", request(several, {"v": listed}), REFUSED)
    related = {"_and": [{"boss": {"id": {"_neq": f"z{n}"}}} for n in range(1000)]}
    yield Abuse("1000 conditions of relatives", request(query, {"v": related}), REFUSED)
    listed = {"_or": [{"id": {"_eq": f"z{n}"}} for n in range(3000)]}
    roots = " ".join(f"a{n}: owner(where: $v) {{ id }}" for n in range(90))
    query = f"query ($v: owner_bool_exp) {{ {roots} }}"
    yield Abuse("a long variable for each root", request(query, {"v": listed}), REFUSED)
    parts = " ".join(f"a{n}: aggregate {{ count }}" for n in range(90))
    query = f"query ($v: owner_bool_exp) {{ owner_aggregate(where: $v) {{ {parts} }} }}"
    yield Abuse("a long variable for each part", request(query, {"v": listed}), REFUSED)


def batches() -> Iterator[Abuse]:
    one = {"query": "{ owner { id } }"}
    for number in (101, 1000, 20_000):
        yield Abuse(f"a batch of {number}", json.dumps([one] * number).encode(), REFUSED)
        yield Abuse(f"a batch of {number} nothings", json.dumps([None] * number).encode(), REFUSED)
    yield Abuse("a batch in a batch", json.dumps([[one]]).encode(), REFUSED)
    bad = [one] * 50 + [{"query": 1}]
    yield Abuse("a batch that is bad at its end", json.dumps(bad).encode(), REFUSED)


def introspections() -> Iterator[Abuse]:
    for levels in (4, 6, 10, 18):
        deep = nested(levels, "fields { type { ", "name").replace("}", "} }")
        yield Abuse(
            f"introspection of {levels}",
            request(f"{{ __schema {{ types {{ {deep} }} }} }}"),
            REFUSED,
        )
        query = f'{{ __type(name: "owner") {{ {deep} }} }}'
        yield Abuse(f"introspection of a type of {levels}", request(query), REFUSED)
    hidden = "{ __schema { types { ...F } } } fragment F on __Type { fields { type { ...G } } }"
    hidden += "fragment G on __Type { fields { type { inputFields { type { ...H } } } } }"
    hidden += "fragment H on __Type { possibleTypes { name } }"
    yield Abuse("introspection behind fragments", request(hidden), REFUSED)
    inner = "args { type { inputFields { type { inputFields { name } } } } }"
    wide = " ".join(f"a{n}: fields {{ {inner} }}" for n in range(60))
    yield Abuse("wide introspection", request(f"{{ __schema {{ types {{ {wide} }} }} }}"), REFUSED)


def bodies() -> Iterator[Abuse]:
    yield Abuse("a body of 2 MB", request("{ owner { id } } #" + "c" * 2_000_000), REFUSED)
    yield Abuse("brackets", b"[" * 100_000, REFUSED)
    yield Abuse("braces", b'{"query":' * 100_000, REFUSED)
    yield Abuse("deep variables", b'{"query":"{a}","variables":{"a":' + b"[" * 900_000, REFUSED)
    yield Abuse("no text", b'{"query": "\xff\xfe"}', REFUSED)
    yield Abuse("zeros", b"\x00" * 1000, REFUSED)
    yield Abuse("an endless number", b"9" * 900_000, REFUSED)
    yield Abuse("many keys", json.dumps({f"k{n}": n for n in range(50_000)}).encode(), REFUSED)
