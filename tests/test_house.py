"""The house in order: names agree, sizes hold, what is written about the code is true of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from books import MIGRATIONS, ROOT, Connection
from graphql import (
    FieldDefinitionNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    parse,
)
from marshmallow import Schema

import app
from app import budget, endpoints, errors, gateways, graphql
from app.autopay.schemas import ChargeSchema, MandateSchema, SetupAutopaySchema
from app.bank_transfers.schemas import (
    AccountSchema,
    BankAccountSchema,
    MatchTransferSchema,
    RecordTransferSchema,
    RejectTransferSchema,
    TransferSchema,
)
from app.checkouts.schemas import CreatePaymentSchema
from app.credits.schemas import (
    GrantCreditsSchema,
    ReturnCreditsSchema,
    SetCreditRateSchema,
    SpendCreditsSchema,
)
from app.organizations.schemas import OrganizationMemberSchema
from app.payments.schemas import (
    CapturePaymentSchema,
    EmbeddingSchema,
    InitiatePaymentSchema,
    PaymentSchema,
)
from app.reconciliation.schemas import AssignmentSchema, DecisionSchema
from app.refunds.schemas import RefundPaymentSchema, RefundPolicySchema

METADATA = ROOT / "hasura" / "metadata"
FOUND = endpoints.discover(app)

# The schema of each action's input; the test below fails for an action that is missing here.
SCHEMAS: dict[str, type[Schema]] = {
    "cancel_autopay": MandateSchema,
    "pause_autopay": MandateSchema,
    "pay_autopay_charge": ChargeSchema,
    "resume_autopay": MandateSchema,
    "setup_autopay": SetupAutopaySchema,
    "create_payment": CreatePaymentSchema,
    "grant_credits": GrantCreditsSchema,
    "initiate_payment": InitiatePaymentSchema,
    "return_credits": ReturnCreditsSchema,
    "set_credit_rate": SetCreditRateSchema,
    "set_embedding_origins": EmbeddingSchema,
    "spend_credits": SpendCreditsSchema,
    "cancel_payment": PaymentSchema,
    "capture_payment": CapturePaymentSchema,
    "refund_payment": RefundPaymentSchema,
    "set_refund_policy": RefundPolicySchema,
    "verify_payment": PaymentSchema,
    "add_bank_account": BankAccountSchema,
    "approve_bank_account": AccountSchema,
    "approve_bank_transfer": TransferSchema,
    "close_bank_account": AccountSchema,
    "match_bank_transfer": MatchTransferSchema,
    "record_bank_transfer": RecordTransferSchema,
    "reject_bank_transfer": RejectTransferSchema,
    "set_organization_member": OrganizationMemberSchema,
    "assign_exception": AssignmentSchema,
    "reopen_exception": DecisionSchema,
    "resolve_exception": DecisionSchema,
}


def names(door: str) -> set[str]:
    return {endpoint.name for endpoint in FOUND if endpoint.door == door}


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def metadata(path: str) -> Any:
    return yaml.safe_load((METADATA / path).read_text(encoding="utf-8"))


def action_fields() -> dict[str, FieldDefinitionNode]:
    document = parse((METADATA / "actions.graphql").read_text(encoding="utf-8"))
    return {
        snake(field.name.value): field
        for node in document.definitions
        if isinstance(node, ObjectTypeDefinitionNode | ObjectTypeExtensionNode)
        and node.name.value in ("Mutation", "Query")
        for field in node.fields
    }


def tables() -> Iterator[dict[str, Any]]:
    for path in sorted((METADATA / "databases/default/tables").glob("*_*.yaml")):
        yield yaml.safe_load(path.read_text(encoding="utf-8"))


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_an_action_has_one_name_in_hasura_and_in_the_service() -> None:
    listed = metadata("actions.yaml")["actions"]

    assert {snake(action["name"]) for action in listed} == names("action")
    assert set(action_fields()) == names("action")


def test_an_action_is_called_where_it_is_served() -> None:
    served = {e.name: e.paths for e in FOUND if e.door == "action"}
    called = {
        snake(action["name"]): (action["definition"]["handler"].removeprefix("{{APP_URL}}"),)
        for action in metadata("actions.yaml")["actions"]
    }

    assert called == served


def test_an_actions_arguments_are_its_schemas_fields() -> None:
    assert set(SCHEMAS) == names("action")
    for name, field in action_fields().items():
        arguments = {a.name.value: isinstance(a.type, NonNullTypeNode) for a in field.arguments}
        fields = {key: value.required for key, value in SCHEMAS[name]().fields.items()}
        assert arguments == fields, name


def test_an_event_trigger_has_one_name_in_hasura_and_in_the_service() -> None:
    triggers = [t for table in tables() for t in table.get("event_triggers", ())]

    assert {trigger["name"] for trigger in triggers} == names("event")
    assert {t["webhook"] for t in triggers} == {
        f"{{{{APP_URL}}}}/events/{name}" for name in names("event")
    }


def test_a_cron_trigger_has_one_name_in_hasura_and_in_the_service() -> None:
    crons = metadata("cron_triggers.yaml")

    assert {cron["name"] for cron in crons} == names("cron")
    assert {c["webhook"] for c in crons} == {
        f"{{{{APP_URL}}}}/crons/{name}" for name in names("cron")
    }


def test_hasura_shows_its_secret_at_every_door_that_asks_for_it() -> None:
    doors = [action["definition"] for action in metadata("actions.yaml")["actions"]]
    doors += [t for table in tables() for t in table.get("event_triggers", ())]
    doors += metadata("cron_triggers.yaml")

    for door in doors:
        assert {"name": "ACTION-SECRET", "value_from_env": "ACTION_SECRET"} in door["headers"]
        assert not door.get("forward_client_headers")


def test_hasura_is_more_patient_with_an_action_than_we_take_to_answer_it() -> None:
    for action in metadata("actions.yaml")["actions"]:
        assert action["definition"]["timeout"] > budget.ANSWER_SECONDS_MAX


def test_every_operation_selects_one_root_field() -> None:
    assert len(graphql.operations()) >= 8
    for operation in graphql.operations().values():
        root = operation.document.definitions[0].selection_set.selections
        assert len(root) == 1, operation.name


def test_every_gateway_has_a_simulator_a_test_and_its_settings() -> None:
    for name in gateways.names():
        simulators = ROOT / "sandbox" / "gateways"
        assert (simulators / name).is_dir() or (simulators / f"{name}.py").is_file()
        assert (ROOT / "tests" / "gateways" / f"test_{name}.py").is_file()


def refusals() -> dict[str, str]:
    """Every errcode of class 22B that the migrations raise, with the code word before its colon."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in MIGRATIONS.rglob("up.sql"))
    raised = re.findall(r"raise exception '([a-z-]+): [^;]*?using errcode = '(22B\d\d)'", text)
    pairs = {(code, word) for word, code in raised}
    assert len({code for code, _ in pairs}) == len(pairs) == len(dict(pairs))
    assert len(raised) == text.count("errcode = '22B")
    return dict(pairs)


def rows_of(path: str, first: str) -> dict[str, str]:
    text = (ROOT / path).read_text(encoding="utf-8")
    found = dict(re.findall(rf"^\| ({first}) \| (\S+) \|", text, re.MULTILINE))
    return {key: value for key, value in found.items() if key != "---"}


def test_every_refusal_of_sql_is_an_error_of_the_service_and_documented() -> None:
    assert set(refusals().values()) <= set(errors.BY_CODE)
    assert refusals() == rows_of("migrations/README.md", r"22B\d\d")


def test_every_error_is_documented_with_its_status() -> None:
    kinds = [*errors.AppError.__subclasses__(), errors.AppError]

    documented = rows_of("docs/errors.md", "[a-z-]+")
    assert documented.pop("code") == "status"
    assert documented == {kind.code: str(kind.status) for kind in kinds}


def test_sql_asks_one_clock() -> None:
    other = re.compile(
        r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp)\(\)"
        r"|\bcurrent_(timestamp|date|time)\b|\blocaltime",
        re.IGNORECASE,
    )
    for path in MIGRATIONS.rglob("up.sql"):
        text = path.read_text(encoding="utf-8").replace("pg_catalog.now()", "", 1)
        text = text.replace("pg_catalog.clock_timestamp()", "", 1)  # a stopwatch
        assert not other.search(text), path


def test_what_is_locked_up_to_a_limit_is_looked_for_once() -> None:
    """Postgres may run the query of `in (select … limit … skip locked)` again for each row.

    What it found before has changed by then and is passed over, so that others are claimed, beyond
    the limit, of whom the caller knows nothing: `= any(array(select …))` is run once.
    """
    inside = re.compile(
        r"\bin \(\s*select\b((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", re.IGNORECASE
    )
    for path in MIGRATIONS.rglob("up.sql"):
        for found in inside.finditer(path.read_text(encoding="utf-8")):
            looks_on = {"limit", "skip locked"} <= set(re.findall(r"limit|skip locked", found[1]))
            assert not looks_on, f"{path}: {found[0]}"


def test_python_asks_one_clock() -> None:
    other = re.compile(r"datetime\.(now|today|utcnow)\(|time\.time\(")
    for path in sources("app"):
        if path.name != "clock.py":
            assert not other.search(path.read_text(encoding="utf-8")), path


def test_no_test_sets_the_clock_of_its_process() -> None:
    """Engines that other tests share run in it, and their timers would never be due again."""
    process = re.compile(r"setattr\(\s*(time,|\"time\.)")
    for path in sources("tests"):
        assert not process.search(path.read_text(encoding="utf-8")), path


FAULTS = {
    "a plpgsql function without a fixed search_path": """
        select p.oid::regprocedure as it from pg_proc p
        join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
        where p.pronamespace = 'public'::regnamespace
        and not exists (select from unnest(p.proconfig) c where c like 'search_path=%')""",
    "a function that forbids a plan, and has what is forbidden compiled where it must be": """
        select p.oid::regprocedure as it from pg_proc p
        where p.pronamespace = 'public'::regnamespace
        and exists (select from unnest(p.proconfig) c where c ~ '^enable_.*=off$')
        and 'jit=off' <> all(p.proconfig)""",
    "a SQL function whose body is text": """
        select p.oid::regprocedure as it from pg_proc p
        join pg_language l on l.oid = p.prolang and l.lanname = 'sql'
        where p.pronamespace = 'public'::regnamespace and p.prosqlbody is null""",
    "a function that anyone may call": """
        select oid::regprocedure as it from pg_proc
        where pronamespace = 'public'::regnamespace
        and has_function_privilege('public', oid, 'execute')""",
    "a function that does not say what it is for": """
        select oid::regprocedure as it from pg_proc
        where pronamespace = 'public'::regnamespace
        and obj_description(oid, 'pg_proc') is null""",
    "a table or view that does not say what it is for": """
        select oid::regclass as it from pg_class
        where relnamespace = any(array['public', 'tcs', 'novamart']::regnamespace[])
        and relkind in ('r', 'v') and obj_description(oid, 'pg_class') is null""",
    "a time without a zone, or a float": """
        select format('%s.%s', table_name, column_name) as it from information_schema.columns
        where table_schema in ('public', 'tcs', 'novamart') and data_type in
        ('timestamp without time zone', 'real', 'double precision', 'money')""",
    "stored money that is no bigint": """
        select format('%s.%s', table_name, column_name) as it from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public' and table_type = 'BASE TABLE'
        and column_name ~ '(amount|balance|balance_after)$' and data_type <> 'bigint'
        and column_name <> 'credits_amount'""",
    "a unique key that begins with what all rows share": """
        select i.indexrelid::regclass as it from pg_index i
        join pg_class t on t.oid = i.indrelid
        join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]
        where t.relnamespace = 'public'::regnamespace and i.indisunique and not i.indisprimary
        and a.attname in ('currency', 'gateway', 'gateway_account', 'livemode', 'status')
        and t.relname <> 'gateway_fees'""",
    "a tenant's row that does not say whose it is": """
        select c.oid::regclass as it from pg_class c
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
        and c.relname not in
        ('autopay_rules', 'clock', 'currencies', 'dispute_polls', 'event_profiles',
        'event_words', 'exception_decisions', 'gateway_circuits', 'gateway_fees',
        'installation_parts', 'invariant_checks', 'ledger_blocks', 'ledger_seals',
        'order_event_types', 'organizations', 'payment_status_words', 'refund_reasons',
        'refund_status_words', 'refused_messages', 'retention_marks')
        and c.relname !~ '_steps$'
        and not exists (
            select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id'
        )""",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_database_has_no(db: Connection, fault: str) -> None:
    assert [row["it"] for row in db.execute(FAULTS[fault]).fetchall()] == []


def test_hasura_may_call_exactly_what_its_metadata_tracks(db: Connection) -> None:
    folder = METADATA / "databases/default/functions"
    tracked = {
        yaml.safe_load(path.read_text(encoding="utf-8"))["function"]["name"]
        for path in folder.glob("public_*.yaml")
    }
    for path in (METADATA / "databases/default/tables").glob("public_*.yaml"):
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        for field in table.get("computed_fields", []):
            tracked.add(field["definition"]["function"]["name"])
    granted = db.execute(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
        " and has_function_privilege('munim_hasura', oid, 'execute')"
    ).fetchall()

    of_views = {"attempt_that_counts", "clock_now", "major_units"}
    assert {row["proname"] for row in granted} - of_views == tracked


def test_modules_and_functions_can_be_read_in_a_sitting() -> None:
    for path in sources("app", "sandbox"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 45, f"{path}: {node.name}"


def test_no_file_holds_a_live_secret() -> None:
    kept = re.compile(r"\b(sk_live|rk_live|rzp_live|whsec)_[A-Za-z0-9]{24,}")
    for folder in ("app", "hasura", "migrations", "sandbox", "tests", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".sql", ".md", ".json", ".graphql"}:
                match = kept.search(path.read_text(encoding="utf-8"))
                assert not match or "sandbox" in match.group(), path


# Names of what nobody may guess byte by byte, by how long a comparison takes.
SECRETS = re.compile(r"secret|signature|token|hash|digest|hmac|password", re.IGNORECASE)
# What may be compared all the same, and why.
NO_SECRETS = {
    "'hash' in message": "whether there is one at all",
    "min(map(len, secrets)) < SECRET_LENGTH_MIN": "our own, when the service starts",
}


def named_in(node: ast.expr) -> set[str]:
    """Every name that a side of a comparison is made of."""
    return {
        str(word)
        for part in ast.walk(node)
        for word in (
            getattr(part, "id", None),
            getattr(part, "attr", None),
            part.value if isinstance(part, ast.Constant) else None,
        )
        if isinstance(word, str)
    }


def secrets_compared(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(
            not isinstance(each, ast.Is | ast.IsNot) for each in node.ops
        ):
            words = {word for side in (node.left, *node.comparators) for word in named_in(side)}
            if any(SECRETS.search(word) for word in words):
                yield node.lineno, ast.unparse(node)


def test_no_secret_is_compared_sign_by_sign() -> None:
    """`==` stops at the first difference, and so tells how much of a guess was right."""
    found = {
        what
        for path in sources("app")
        for _, what in secrets_compared(path.read_text(encoding="utf-8"))
    }

    assert found == set(NO_SECRETS)


@pytest.mark.parametrize(
    "line",
    [
        "given == secret",
        "self.settings.webhook_secret != given",
        "headers['x-signature'] == made",
        "signature(body, key) == given",
        "given in [each.token for each in known]",
    ],
)
def test_a_secret_is_seen_in_any_comparison(line: str) -> None:
    assert list(secrets_compared(line)) == [(1, line)]
    assert list(secrets_compared("hmac.compare_digest(given, secret)")) == []
