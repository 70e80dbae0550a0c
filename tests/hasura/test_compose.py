"""docker-compose.yml holds all that Hasura's metadata and the service need.

No Docker runs where this is tested: what these tests cannot see is said in docs/deploy.md.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from app import config, gateways
from sandbox import migrations, world
from sandbox.postgres import Postgres

ROOT = Path(__file__).parents[2]
METADATA = ROOT / "hasura" / "metadata"

SERVICES = ("postgres", "migrations", "hasura", "app")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def hasura(compose: dict[str, Any]) -> dict[str, Any]:
    service: dict[str, Any] = compose["services"]["hasura"]
    return service


def variables_of_the_metadata() -> set[str]:
    found: set[str] = set()
    for file in METADATA.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r"\{\{(\w+)\}\}", text))
        found |= set(re.findall(r"(?:value_)?from_env: (\w+)", text))
    return found


def test_there_are_these_services(compose: dict[str, Any]) -> None:
    assert tuple(compose["services"]) == SERVICES


def test_hasura_has_every_variable_that_the_metadata_name(hasura: dict[str, Any]) -> None:
    named = variables_of_the_metadata()

    assert {"APP_URL", "ACTION_SECRET", "HASURA_GRAPHQL_DATABASE_URL"} <= named
    assert named <= set(hasura["environment"])


def test_hasura_is_set_as_the_sandboxs_engine_is(hasura: dict[str, Any]) -> None:
    """What the sandbox proves of the engine should hold of Hasura: the same switches."""
    ours = world.engine_environment(world.Ports(), "postgresql://localhost/munim")

    assert set(ours) <= set(hasura["environment"])
    for name in ("STRINGIFY_NUMERIC_TYPES", "INFER_FUNCTION_PERMISSIONS"):
        variable = f"HASURA_GRAPHQL_{name}"
        assert hasura["environment"][variable] == ours[variable]


def test_the_app_has_every_setting_and_no_other(compose: dict[str, Any]) -> None:
    known = {field.name.upper() for field in fields(config.Settings)}
    for name in gateways.names():
        kind = import_module(f"app.gateways.{name}").Settings
        known |= {f"{name}_{field.name}".upper() for field in fields(kind)}

    aws = {name for name in known if name.startswith("AWS_")}  # Lambda's: see EVENTBRIDGE_REGION
    assert set(compose["services"]["app"]["environment"]) == known - aws


def test_the_apps_settings_make_a_service(compose: dict[str, Any]) -> None:
    given = filled_in(compose["services"]["app"]["environment"])

    assert config.load(given).hasura_endpoint == "http://hasura:8080/v1/graphql"
    required = [field for field in fields(config.Settings) if field.default is MISSING]
    assert all(given[field.name.upper()] for field in required)


def filled_in(environment: dict[str, str]) -> dict[str, str]:
    """Interpolate as Compose does, with the sandbox's published secrets for what is required."""
    secrets = world.app_environment(world.Ports())
    return {
        name: re.sub(
            r"\$\{(\w+):([-?])([^}]*)\}",
            lambda found: found[3] if found[2] == "-" else secrets[found[1]],
            value,
        )
        for name, value in environment.items()
    }


def test_a_secret_is_asked_for_and_has_no_default(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if name.endswith(("_SECRET", "_KEY")):
                assert re.fullmatch(r"\$\{\w+:(\?[^}]+|-)\}", value), name


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values() if "image" in service]
    images += re.findall(r"(?m)^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"))

    assert len(images) == 4
    for image in images:
        assert re.search(r":v?[0-9]+\.[0-9]+", image), image
    assert re.fullmatch(r"hasura/graphql-engine:v2\.48\.[0-9]+\.cli-migrations-v3", images[1])
    assert images[1] == images[2]


def test_the_image_of_the_app_serves_with_what_the_sandbox_serves_with() -> None:
    pins = (ROOT / "requirements-sandbox.txt").read_text(encoding="utf-8")
    (pin,) = re.findall(r"(?m)^waitress==\S+", pins)

    assert f"requirements.txt {pin}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_whatever_stays_up_has_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert ("healthcheck" in service) is (name != "migrations"), name


def test_ports_are_published_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = {
        name: port
        for name, service in compose["services"].items()
        for port in service.get("ports", [])
    }

    assert ports == {
        "hasura": "127.0.0.1:${HASURA_PORT:-8080}:8080",
        "app": "127.0.0.1:${APP_PORT:-5000}:5000",
    }


def test_each_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    waits = {name: service.get("depends_on") for name, service in compose["services"].items()}

    assert waits == {
        "postgres": None,
        "migrations": {"postgres": {"condition": "service_healthy"}},
        "hasura": {"migrations": {"condition": "service_completed_successfully"}},
        "app": {"hasura": {"condition": "service_healthy"}},
    }


def test_what_is_mounted_is_there(compose: dict[str, Any]) -> None:
    mounts = {
        mount.split(":")[1]: ROOT / mount.split(":")[0]
        for service in compose["services"].values()
        for mount in service.get("volumes", [])
        if mount.startswith("./")
    }

    # Where the cli-migrations-v3 image looks, with the name of the database where it wants one.
    assert set(mounts) == {
        "/hasura-metadata",
        "/hasura-migrations/default",
        "/hasura-seeds/default",
    }
    assert all(place.is_dir() for place in mounts.values())
    assert mounts["/hasura-migrations/default"] == ROOT / "migrations" / "default"


@pytest.fixture(scope="module")
def prepared(compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database as the compose file makes it, migrated by its owner."""
    statements = compose["configs"]["logins"]["content"].split(";")
    with Postgres(tmp_path_factory.mktemp("compose"), fsync=False) as server:
        with psycopg.connect(server.url, autocommit=True) as owner:
            for statement in filter(str.strip, statements):
                owner.execute(statement)
            # What Hasura's engine for the migrations, which is the owner, puts there.
            owner.execute("create table hdb_catalog.event_log (id text)")
        migrations.apply(server.url, ROOT / "migrations" / "default", report=lambda _: None)
        yield server.url
    server.destroy()


@pytest.fixture
def login(prepared: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as Hasura's login, rolled back."""
    with psycopg.connect(prepared, user="hasura", password="hasura") as connection:
        yield connection
        connection.rollback()


def test_hasuras_login_works_as_the_role_that_the_migrations_grant(
    login: psycopg.Connection[Any],
) -> None:
    assert login.execute("select session_user, current_user").fetchone() == (
        "hasura",
        "munim_hasura",
    )
    assert login.execute("select count(*) from payment_intents").fetchone() == (0,)


def test_hasuras_login_cannot_write_money(login: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("delete from credit_wallets")


def test_hasuras_login_keeps_its_catalogue_and_listens_to_the_outbox(
    login: psycopg.Connection[Any],
) -> None:
    login.execute("insert into hdb_catalog.event_log values ('1')")
    login.execute(
        "create function hdb_catalog.notify() returns trigger language plpgsql"
        " as 'begin return new; end'"
    )

    login.execute(
        "create trigger notify_hasura_x after insert on events"
        " for each row execute function hdb_catalog.notify()"
    )
    login.execute("create table hdb_catalog.event_invocation_logs (id text)")


def test_hasuras_metadata_have_a_database_of_their_own(compose: dict[str, Any]) -> None:
    urls = {
        name: compose["services"][name]["environment"]["HASURA_GRAPHQL_METADATA_DATABASE_URL"]
        for name in ("migrations", "hasura")
    }

    assert urls["migrations"].endswith("/migrations")
    assert urls["hasura"].endswith("/metadata")
    content = compose["configs"]["logins"]["content"]
    assert "create database metadata owner hasura" in content
    assert "create database migrations" in content
