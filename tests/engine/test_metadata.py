import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sandbox.engine import metadata
from sandbox.engine.metadata import MetadataError

SCHEMA = Path(__file__).parents[3] / "shared" / "contracts" / "hasura-metadata-v3.schema.json"

# The small complete project of the contract, and what its parts may look like besides.
PROJECT = {
    "version.yaml": "version: 3\n",
    "databases/databases.yaml": """
- name: default
  kind: postgres
  configuration:
    connection_info:
      database_url: {from_env: HASURA_GRAPHQL_DATABASE_URL}
      isolation_level: read-committed
      use_prepared_statements: true
  tables: "!include default/tables/tables.yaml"
  functions: "!include default/functions/functions.yaml"
""",
    "databases/default/tables/tables.yaml": """
- "!include public_entry.yaml"
- !include public_wallet.yaml
""",
    "databases/default/tables/public_entry.yaml": """
table: {name: entry, schema: public}
event_triggers:
  - name: entry_created
    definition: {enable_manual: false, insert: {columns: '*'}}
    retry_conf: {num_retries: 5, interval_sec: 10, timeout_sec: 30}
    webhook: '{{HOOKS_URL}}/entry-created'
    headers:
      - {name: X-Hook-Secret, value_from_env: HOOK_SECRET}
""",
    "databases/default/tables/public_wallet.yaml": """
table: {name: wallet, schema: public}
select_permissions:
  - role: user
    permission: {columns: [id, on], filter: {owner_id: {_eq: X-Hasura-User-Id}}}
""",
    "databases/default/functions/functions.yaml": "- '!include public_move_money.yaml'\n",
    "databases/default/functions/public_move_money.yaml": """
function: {name: move_money, schema: public}
configuration: {exposed_as: mutation, session_argument: hasura_session}
""",
    "actions.graphql": '''
type Mutation {
  """Adds money."""
  topUp(input: TopUpInput!, tags: [String!]): TopUpResult
}
extend type Query { price(currency: Currency!): [Money!]! }
input TopUpInput { wallet_id: uuid!, amount_minor: Int! }
type TopUpResult { payment_id: String!, wallet_id: uuid! }
type Money { "In minor units." amount: bigint! }
"Known currencies."
enum Currency { INR, USD @deprecated }
scalar paise
''',
    "actions.yaml": """
actions:
  - name: topUp
    definition:
      kind: synchronous
      handler: '{{ACTIONS_URL}}/top-up'
      headers: [{name: X-Action-Secret, value_from_env: ACTION_SECRET}]
      timeout: 20
    permissions: [{role: user}]
  - name: price
    definition: {kind: "", handler: '{{ACTIONS_URL}}/price'}
    comment: Reads a price
custom_types:
  enums: [{name: Currency}]
  input_objects: [{name: TopUpInput}]
  objects:
    - name: TopUpResult
      relationships:
        - name: wallet
          type: object
          remote_table: {schema: public, name: wallet}
          field_mapping: {wallet_id: id}
  scalars: []
""",
    "cron_triggers.yaml": """
- name: nightly
  webhook: '{{HOOKS_URL}}/cron/settle'
  schedule: 0 2 * * *
  include_in_metadata: true
  payload: {}
  retry_conf:
    {num_retries: 3, retry_interval_seconds: 30, timeout_seconds: 60, tolerance_seconds: 21600}
""",
    "inherited_roles.yaml": "- role_name: both\n  role_set: [user, auditor]\n",
    "allow_list.yaml": "- {collection: all, scope: {global: true}}\n",
    "query_collections.yaml": "- {name: all, definition: {queries: []}}\n",
    "remote_schemas.yaml": "[]\n",
    "api_limits.yaml": "{}\n",
    "network.yaml": "\n",
    "graphql_schema_introspection.yaml": "disabled_for_roles: []\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        change(tmp_path, name, text)
    return tmp_path


def change(project: Path, name: str, text: str) -> None:
    file = project / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def refusal(project: Path) -> str:
    with pytest.raises(MetadataError) as failure:
        metadata.load(project)
    assert "\n" not in str(failure.value)
    return str(failure.value).removeprefix(f"{project}/")


def widened(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow what Hasura's documentation allows and the types behind the schema forgot."""
    known = schema["definitions"]
    known["FunctionConfiguration"]["properties"]["exposed_as"] = {"enum": ["query", "mutation"]}
    known["AllowList"]["properties"]["scope"] = {"type": "object"}
    known["CronTrigger"]["required"].remove("headers")
    return schema


def test_the_whole_project_has_the_shape_of_an_export(project: Path) -> None:
    if not SCHEMA.exists():
        pytest.skip("the schema of the export is not beside this checkout (../shared/contracts)")
    validator = jsonschema.Draft7Validator(widened(json.loads(SCHEMA.read_text())))

    assert list(validator.iter_errors(metadata.load(project))) == []


def test_included_files_are_in_place_however_the_include_is_written(project: Path) -> None:
    source = metadata.load(project)["sources"][0]

    assert [table["table"]["name"] for table in source["tables"]] == ["entry", "wallet"]
    assert [item["function"]["name"] for item in source["functions"]] == ["move_money"]


def test_sdl_and_yaml_of_an_action_are_joined(project: Path) -> None:
    top_up = metadata.load(project)["actions"][0]

    assert top_up == {
        "name": "topUp",
        "comment": "Adds money.",
        "definition": {
            "kind": "synchronous",
            "handler": "{{ACTIONS_URL}}/top-up",
            "headers": [{"name": "X-Action-Secret", "value_from_env": "ACTION_SECRET"}],
            "timeout": 20,
            "type": "mutation",
            "arguments": [
                {"name": "input", "type": "TopUpInput!"},
                {"name": "tags", "type": "[String!]"},
            ],
            "output_type": "TopUpResult",
        },
        "permissions": [{"role": "user"}],
    }


def test_a_query_action_has_a_type_and_no_kind(project: Path) -> None:
    price = metadata.load(project)["actions"][1]

    assert price["comment"] == "Reads a price"
    assert price["definition"] == {
        "handler": "{{ACTIONS_URL}}/price",
        "type": "query",
        "arguments": [{"name": "currency", "type": "Currency!"}],
        "output_type": "[Money!]!",
    }


def test_custom_types_have_their_fields_values_and_relationships(project: Path) -> None:
    types = metadata.load(project)["custom_types"]

    assert types["input_objects"][0]["fields"][1] == {"name": "amount_minor", "type": "Int!"}
    assert types["objects"][0]["relationships"][0]["field_mapping"] == {"wallet_id": "id"}
    assert types["objects"][1]["fields"][0]["description"] == "In minor units."
    assert types["enums"] == [
        {
            "name": "Currency",
            "description": "Known currencies.",
            "values": [{"value": "INR"}, {"value": "USD", "is_deprecated": True}],
        }
    ]
    assert types["scalars"] == [{"name": "paise"}]


def test_a_directory_with_a_version_alone_is_empty_metadata(tmp_path: Path) -> None:
    change(tmp_path, "version.yaml", "version: 3")
    document = metadata.load(tmp_path)

    assert document["sources"] == document["actions"] == document["allowlist"] == []
    assert document["custom_types"]["objects"] == []
    assert document["network"] == {}


def test_words_are_those_of_yaml_1_2(project: Path) -> None:
    payload = "payload: {on: yes, n: 010, at: 2024-01-01, span: 1:30, big: 1e3, t: true, f: -1.5}"
    change(
        project, "cron_triggers.yaml", PROJECT["cron_triggers.yaml"].replace("payload: {}", payload)
    )

    assert metadata.load(project)["cron_triggers"][0]["payload"] == {
        "on": "yes",
        "n": 10,
        "at": "2024-01-01",
        "span": "1:30",
        "big": 1000.0,
        "t": True,
        "f": -1.5,
    }


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("version.yaml", "version: 2", "version.yaml: version 2 is not supported, only 3"),
        ("actions.yaml", "actions: [\n", "actions.yaml:2: "),
        ("actions.yaml", "a: 1\nb: 2\na: 3\n", "actions.yaml:3: key a twice"),
        ("actions.yaml", "[]\n- 1", "actions.yaml:2: "),
        ("actions.graphql", "type Mutation {\n  bad(\n}", "actions.graphql:3: Syntax Error"),
        (
            "actions.graphql",
            "type Query {a: Int}",
            "actions.yaml: action topUp is not in actions.gr",
        ),
        ("actions.graphql", "\n\nunion U = A | B", "actions.graphql:3: only Query, Mutation"),
        ("actions.graphql", "scalar A\nenum A {B}", "actions.graphql:2: type A is defined twice"),
        ("actions.yaml", "actions: []", "actions.graphql: action price is not in actions.yaml"),
        ("cron_triggers.yaml", "name: x", "cron_triggers.yaml: a list of objects is expected"),
        ("network.yaml", "- 1", "network.yaml: an object is expected"),
        ("databases/databases.yaml", "- name: x", "databases/databases.yaml: a source needs"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    project: Path, file: str, text: str, reason: str
) -> None:
    change(project, file, text)

    assert refusal(project).startswith(reason)


def test_a_type_that_only_the_yaml_names_is_refused(project: Path) -> None:
    change(project, "actions.graphql", PROJECT["actions.graphql"].replace("Currency", "Coin"))

    assert refusal(project) == "actions.yaml: type Currency is not in actions.graphql"


def test_an_action_without_a_handler_is_refused(project: Path) -> None:
    change(project, "actions.yaml", PROJECT["actions.yaml"].replace("handler:", "request:"))

    assert refusal(project) == "actions.yaml: action topUp has no handler"


def test_an_included_file_that_is_missing_is_named(project: Path) -> None:
    (project / "databases/default/tables/public_entry.yaml").unlink()

    assert "tables.yaml: there is no file " in refusal(project)


def test_a_file_that_includes_itself_is_refused(project: Path) -> None:
    change(project, "databases/default/tables/public_entry.yaml", '"!include tables.yaml"')

    assert refusal(project).endswith("tables.yaml includes itself")


def test_a_table_without_its_name_is_refused(project: Path) -> None:
    change(project, "databases/default/tables/public_entry.yaml", "is_enum: true")

    assert "every table needs the key table" in refusal(project)


def test_a_wrong_directory_is_not_taken_for_empty_metadata(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"it has no version\.yaml"):
        metadata.load(tmp_path)
    with pytest.raises(MetadataError, match="there is no metadata directory"):
        metadata.load(tmp_path / "none")


def test_a_template_takes_its_variables_from_the_environment() -> None:
    url = metadata.expand("{{HOST}}/a/{{ PATH }}?{{HOST}}", {"HOST": "http://h", "PATH": "b"})

    assert url == "http://h/a/b?http://h"


def test_headers_are_values_or_variables() -> None:
    items = [{"name": "A", "value": "1"}, {"name": "B", "value_from_env": "SECRET"}]

    assert metadata.headers(items, {"SECRET": "s"}) == {"A": "1", "B": "s"}
    assert metadata.headers(None, {}) == {}


@pytest.mark.parametrize(
    ("item", "url"),
    [
        ({"webhook": "{{HOST}}/a"}, "http://h/a"),
        ({"webhook_from_env": "HOST"}, "http://h"),
        ({"webhook": {"from_env": "HOST"}}, "http://h"),
    ],
)
def test_a_webhook_is_a_template_or_a_variable(item: dict[str, Any], url: str) -> None:
    assert metadata.webhook(item, {"HOST": "http://h"}) == url


def test_a_missing_variable_is_named_with_its_user() -> None:
    with pytest.raises(MetadataError, match=r"variable HOST is not set, \{\{HOST\}\}/a needs it"):
        metadata.expand("{{HOST}}/a", {})
    with pytest.raises(MetadataError, match="variable SECRET is not set, header B needs it"):
        metadata.headers([{"name": "B", "value_from_env": "SECRET"}], {})
    with pytest.raises(MetadataError, match="trigger t has no webhook"):
        metadata.webhook({"name": "t"}, {})
