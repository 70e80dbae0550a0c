"""A document written as a Hasura CLI directory, and read again."""

from __future__ import annotations

import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from engine import harness
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.engine import metadata
from sandbox.engine.metadata import MetadataError, directory
from sandbox.engine.metadata.yaml_text import dump

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "hasura" / "metadata"


def texts(place: Path) -> dict[str, str]:
    files = (file for file in place.rglob("*") if file.is_file())
    return {file.relative_to(place).as_posix(): file.read_text() for file in files}


def write(document: dict[str, Any], place: Path) -> dict[str, Any]:
    """Write a document, and return what reading gives."""
    directory.write(document, place)
    return metadata.load(place)


def test_this_repository_s_metadata_is_written_as_it_is(tmp_path: Path) -> None:
    """All but the description of an action, for which the server has no place: it has a comment."""
    document = metadata.load(PROJECT)
    assert write(document, tmp_path) == document

    before, after = texts(PROJECT), texts(tmp_path)
    assert _without_action_descriptions(before.pop("actions.graphql")) == after.pop(
        "actions.graphql"
    )
    assert after == before


def _without_action_descriptions(text: str) -> str:
    return re.sub(r'(?ms)^(type (?:Query|Mutation) \{\n)  """\n.*?\n  """\n', r"\1", text)


def test_the_shop_s_metadata_reads_as_it_was(shop_metadata: dict[str, Any], tmp_path: Path) -> None:
    document = harness.write_metadata(shop_metadata, tmp_path / "inline")
    loaded = metadata.load(document)
    again = write(loaded, tmp_path / "files")

    assert without_empty(again) == without_empty(loaded)
    assert write(again, tmp_path / "third") == again


def without_empty(value: Any) -> Any:
    """Leave out what is empty or false anywhere, as the CLI does in tables."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ([], {}, False, None)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


NAMES = st.from_regex(r"\A[_A-Za-z][_0-9A-Za-z]{0,8}\Z")
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
    | st.sampled_from("\n\t' \"#:-*!{}"),
    max_size=12,
) | st.sampled_from(
    [
        *("yes", "no", "on", "off", "true", "null", "~", "1", "1.5", "0x1", "010", "1:30", "1e3"),
        *("|", "-", "2024-01-01", "0 2 * * *", ">", "#", "''", "", " a", "a ", "x\ny", "x\n"),
        *("\nx", "a: b", "a #b", "{{URL}}/x"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
PLACES = NAMES | st.builds(lambda name, schema: {"name": name, "schema": schema}, NAMES, NAMES)
PERMISSIONS = st.lists(
    st.builds(
        lambda role, filter_, comment: {
            "role": role,
            "permission": {"columns": "*", "filter": filter_},
            "comment": comment,
        },
        NAMES,
        st.dictionaries(NAMES, VALUES, max_size=2),
        WORDS,
    ),
    min_size=1,
    max_size=3,
)
TABLES = st.builds(
    lambda place, permissions, root, comment: {
        "table": place,
        "configuration": {"custom_root_fields": {"select": root}, "comment": comment},
        "select_permissions": permissions,
    },
    PLACES,
    PERMISSIONS,
    NAMES,
    WORDS,
)
FUNCTIONS = st.builds(lambda place, comment: {"function": place, "comment": comment}, PLACES, WORDS)
TYPES = st.sampled_from(["Int", "String!", "[uuid!]!", "Thing", "[[Thing]]"])
DESCRIPTIONS = WORDS.filter(bool)
FIELDS = st.lists(
    st.builds(lambda name, of: {"name": name, "type": of}, NAMES, TYPES)
    | st.builds(
        lambda name, of, text: {"name": name, "type": of, "description": text},
        NAMES, TYPES, DESCRIPTIONS,
    ),
    min_size=1, max_size=3,
)  # fmt: skip
ACTIONS = st.builds(
    lambda name, kind, arguments, comment: {
        "name": name,
        "definition": {
            **({} if kind == "query" else {"kind": "synchronous"}),
            "handler": "{{URL}}/x",
            "timeout": 5,
            "type": kind,
            "arguments": arguments,
            "output_type": "Thing",
        },
        "comment": comment,
    },
    NAMES,
    st.sampled_from(["query", "mutation"]),
    FIELDS,
    WORDS,
)
TYPE_NAMES = NAMES.filter(lambda name: name not in ("Query", "Mutation"))
CUSTOM = st.lists(TYPE_NAMES, unique=True, min_size=4, max_size=4).flatmap(
    lambda names: st.builds(
        lambda inputs, fields, value, text: {
            "enums": [{"name": names[0], "values": [{"value": value, "is_deprecated": True}]}],
            "input_objects": [{"name": names[1], "fields": inputs, "description": text}],
            "objects": [{"name": names[2], "fields": fields}],
            "scalars": [{"name": names[3]}],
        },
        FIELDS,
        FIELDS,
        NAMES.filter(lambda name: name not in ("true", "false", "null")),
        DESCRIPTIONS,
    )
)
CRONS = st.builds(
    lambda name, payload: {
        "name": name,
        "webhook": "{{URL}}/x",
        "schedule": "* * * * *",
        "include_in_metadata": True,
        "payload": payload,
    },
    WORDS,
    VALUES,
)


def unique(items: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return list({str(item[key]).lower(): item for item in items}.values())


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    source = {
        "name": draw(NAMES),
        "kind": "postgres",
        "configuration": {"connection_info": {"database_url": draw(WORDS)}},
        "tables": unique(draw(st.lists(TABLES, max_size=3)), "table"),
        "functions": unique(draw(st.lists(FUNCTIONS, max_size=2)), "function"),
    }
    return {
        "version": 3,
        "sources": [source],
        "actions": unique(draw(st.lists(ACTIONS, max_size=2)), "name"),
        "custom_types": draw(CUSTOM),
        "allowlist": [],
        "cron_triggers": draw(st.lists(CRONS, max_size=2)),
        "inherited_roles": [{"role_name": draw(NAMES), "role_set": [draw(NAMES)]}],
        "query_collections": [],
        "remote_schemas": [],
        "rest_endpoints": [],
        "api_limits": {},
        "backend_configs": {},
        "graphql_schema_introspection": {"disabled_for_roles": [draw(NAMES)]},
        "metrics_config": {},
        "network": {"tls_allowlist": [{"host": draw(WORDS)}]},
        "opentelemetry": {},
    }


@pytest.mark.timeout(600)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(document=documents())
def test_every_document_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    place = tmp_path_factory.mktemp("written")
    kept = deepcopy(document)

    assert write(document, place) == kept
    assert document == kept


def test_keys_are_written_in_the_order_of_the_cli(tmp_path: Path) -> None:
    table = {
        "event_triggers": [],
        "delete_permissions": [{"role": "r", "permission": {"filter": {}}}],
        "unknown": 1,
        "select_permissions": [{"role": "r", "permission": {"columns": "*", "filter": {}}}],
        "object_relationships": [],
        "is_enum": False,
        "configuration": {},
        "table": {"schema": "public", "name": "a"},
    }
    source = {"tables": [table], "configuration": {}, "kind": "postgres", "name": "default"}
    directory.write({"sources": [source]}, tmp_path)

    assert texts(tmp_path)["databases/default/tables/public_a.yaml"] == (
        "table:\n"
        "  name: a\n"
        "  schema: public\n"
        "select_permissions:\n"
        "  - role: r\n"
        "    permission:\n"
        "      columns: '*'\n"
        "      filter: {}\n"
        "delete_permissions:\n"
        "  - role: r\n"
        "    permission:\n"
        "      filter: {}\n"
        "unknown: 1\n"
    )
    assert texts(tmp_path)["databases/databases.yaml"] == (
        "- name: default\n"
        "  kind: postgres\n"
        "  configuration: {}\n"
        '  tables: "!include default/tables/tables.yaml"\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("two words", "two words"),
        ("0 2 * * *", "0 2 * * *"),
        ("* * * * *", "'* * * * *'"),
        ("*", "'*'"),
        ("{{URL}}/a", "'{{URL}}/a'"),
        ("X-Hasura-User-Id", "X-Hasura-User-Id"),
        ("true", '"true"'),
        ("no", '"no"'),
        ("5", '"5"'),
        ("1.5", '"1.5"'),
        ("", '""'),
        ("it's", "it's"),
        ("a: b", "'a: b'"),
        ("a\nb", "|-\n  a\n  b"),
        ("ünïcode", "ünïcode"),
        (None, "null"),
        (True, "true"),
        ([], "[]"),
    ],
)
def test_values_are_spelled_as_the_cli_spells_them(value: Any, text: str) -> None:
    assert dump({"a": value}) == f"a: {text}\n"


def test_long_lines_are_not_folded() -> None:
    assert dump({"a": "word " * 100 + "end"}).count("\n") == 1


def test_each_action_has_a_type_of_its_own(tmp_path: Path) -> None:
    def action(name: str, kind: str) -> dict[str, Any]:
        definition = {"handler": "x", "type": kind, "arguments": [], "output_type": "T!"}
        return {"name": name, "definition": definition}

    thing = {"name": "T", "fields": [{"name": "a", "type": "[Int!]"}]}
    document = {
        "sources": [],
        "actions": [action("one", "mutation"), action("two", "query")],
        "custom_types": {"objects": [thing]},
    }
    directory.write(document, tmp_path)

    assert texts(tmp_path)["actions.graphql"] == (
        "type Mutation {\n  one: T!\n}\n\ntype Query {\n  two: T!\n}\n\ntype T {\n  a: [Int!]\n}\n"
    )
    assert texts(tmp_path)["actions.yaml"].startswith(
        "actions:\n  - name: one\n    definition:\n      handler: x\n"
        '  - name: two\n    definition:\n      kind: ""\n      handler: x\n'
    )


def test_tables_whose_names_would_share_a_file_have_two(tmp_path: Path) -> None:
    tables = [
        {"table": {"schema": schema, "name": name}}
        for schema, name in (("a_b", "c"), ("a", "b_c"), ("public", "x/y"), ("public", "x_y"))
    ]
    source = {"name": "default", "kind": "postgres", "tables": tables, "functions": []}
    document = write({"sources": [source]}, tmp_path)

    assert [item["table"] for item in document["sources"][0]["tables"]] == [
        item["table"] for item in tables
    ]


def test_what_is_no_longer_there_loses_its_file(tmp_path: Path) -> None:
    tables = [{"table": {"schema": "public", "name": name}} for name in ("a", "b")]
    source = {"name": "default", "kind": "postgres", "tables": tables}
    directory.write({"sources": [source]}, tmp_path)
    (tmp_path / "notes.md").write_text("kept")
    directory.write({"sources": [source | {"tables": tables[:1]}]}, tmp_path)

    found = texts(tmp_path)
    assert "databases/default/tables/public_b.yaml" not in found
    assert found["notes.md"] == "kept"


def test_a_directory_that_nobody_can_read_is_refused_with_the_place(tmp_path: Path) -> None:
    table = {"table": "a", "select_permissions": [{"role": "r"}]}
    directory.write({"sources": [{"name": "s", "kind": "postgres", "tables": [table]}]}, tmp_path)

    place = r"\$\.sources\[0\]\.tables\[0\]\.select_permissions\[0\]\.permission"
    with pytest.raises(MetadataError, match=f'key "permission" not found at {place}'):
        metadata.load(tmp_path)


def test_an_action_that_graphql_cannot_spell_is_told(tmp_path: Path) -> None:
    action = {"name": "a", "definition": {"handler": "x", "output_type": "[["}}
    with pytest.raises(MetadataError, match="actions cannot be written as GraphQL"):
        directory.write({"sources": [], "actions": [action]}, tmp_path)


def export(target: Path, url: str, secret: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox.engine", "--export-metadata", str(target)]
    environ = {"HASURA_GRAPHQL_ENDPOINT": url, "HASURA_GRAPHQL_ADMIN_SECRET": secret}
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_command_writes_what_a_running_engine_has(
    served: harness.Served, tmp_path: Path
) -> None:
    done = export(tmp_path / "out", served.url, harness.SECRET)
    assert (done.returncode, done.stderr) == (0, "")

    document = served.engine.state.document
    assert without_empty(metadata.load(tmp_path / "out")) == without_empty(document)


@pytest.mark.parametrize(
    ("where", "secret", "reason"),
    [
        ("{url}", "wrong", 'refuses to tell: invalid "x-hasura-admin-secret"'),
        ("{url}/nowhere", harness.SECRET, "refuses to tell: resource does not exist"),
        ("http://127.0.0.1:1", "", "cannot be asked"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    served: harness.Served, tmp_path: Path, where: str, secret: str, reason: str
) -> None:
    done = export(tmp_path / "out", where.format(url=served.url), secret)

    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
