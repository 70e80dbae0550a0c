"""The sandbox's settings, and that .env.example shows all of them and nothing else."""

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from app import config, gateways
from sandbox import world
from sandbox.world import Ports, WorldError

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\{\{([A-Z_]+)\}\}|_?from_env: ['\"]?([A-Z_]+)")
SECRETS = (
    *("HASURA_ADMIN_SECRET", "ACTION_SECRET", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"),
    *("RAZORPAY_KEY_SECRET", "RAZORPAY_WEBHOOK_SECRET"),
    *("PAYU_KEY", "PAYU_SALT", "PAYU_CHARGEBACK_KEY"),
    *("CASHFREE_CLIENT_SECRET", "EVENTS_SECRET"),
    *("EVENTBRIDGE_ACCESS_KEY_ID", "EVENTBRIDGE_SECRET_ACCESS_KEY"),
)


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name: value.strip("'") for name, value in pairs}


def settings_of_the_service() -> set[str]:
    """All but AWS's own: in a file they would stand in for those of whoever deploys."""
    names = {field.name.upper() for field in fields(config.Settings)}
    names = {name for name in names if not name.startswith("AWS_")}
    for gateway in gateways.names():
        kind = import_module(f"app.gateways.{gateway}").Settings
        names |= {f"{gateway}_{field.name}".upper() for field in fields(kind)}
    return names


def named_by_metadata() -> set[str]:
    files = [*world.METADATA.rglob("*.yaml"), *world.METADATA.rglob("*.graphql")]
    return {
        one or other
        for file in files
        for one, other in VARIABLE.findall(file.read_text(encoding="utf-8"))
    }


def test_the_example_names_all_that_is_asked_for_and_nothing_else() -> None:
    engine = world.engine_environment(Ports(), "postgresql://x/y")

    assert set(example()) == settings_of_the_service() | named_by_metadata() | set(engine)


def test_the_example_has_the_values_of_the_sandbox() -> None:
    shown = example()
    url = shown["HASURA_GRAPHQL_DATABASE_URL"]
    owner = url.partition("?")[0]
    told = world.app_environment(Ports()) | world.engine_environment(Ports(), owner)

    assert shown == told


def test_the_service_starts_with_the_example() -> None:
    settings = config.load(example())

    assert not settings.livemode
    assert gateways.finder(example())("stripe").name == "stripe"


@pytest.mark.parametrize("gateway", world.SUBSCRIBED)
def test_an_endpoint_is_subscribed_to_what_the_adapter_reads(gateway: str) -> None:
    notices = import_module(f"app.gateways.{gateway}.notices")

    assert sorted(world.SUBSCRIBED[gateway]) == sorted(notices.EVENTS)


@pytest.mark.parametrize("name", SECRETS)
def test_live_refuses_every_secret_of_the_sandbox(name: str) -> None:
    strong = {
        "MUNIM_ENV": "live",
        "HASURA_ENDPOINT": "https://hasura.example/v1/graphql",
        "FRONTEND_URL": "https://shop.example",
        "SERVICE_URL": "https://pay.example",
        "HASURA_ADMIN_SECRET": "a" * 40,
        "ACTION_SECRET": "b" * 40,
        "STRIPE_SECRET_KEY": "sk_live_" + "c" * 40,
        "STRIPE_WEBHOOK_SECRET": "whsec_" + "d" * 40,
    }
    assert config.load(strong).livemode

    with pytest.raises(config.ConfigError, match=name):
        config.load(strong | {name: world.app_environment(Ports())[name]})


def test_the_key_of_tokens_is_long_and_says_what_it_is() -> None:
    assert len(world.JWT_KEY) >= config.SECRET_LENGTH_MIN
    assert "sandbox" in world.JWT_KEY


def test_a_role_joins_what_the_address_says_already() -> None:
    url = "postgresql://me:p%40ss@host:1/db?sslmode=require&options=-c%20geqo%3Doff"
    changed = urlsplit(world.in_role(url, "reader"))

    assert changed.netloc == "me:p%40ss@host:1"
    assert parse_qs(changed.query) == {
        "sslmode": ["require"],
        "options": ["-c geqo=off -c role=reader"],
    }
    assert "+" not in changed.query  # Postgres takes it for a plus


def test_ports_come_from_the_environment_and_are_ports() -> None:
    assert world.ports({}) == Ports(8080, 5000, 9000)
    assert world.ports({"APP_PORT": "5050", "HASURA_PORT": ""}).app == 5050
    for wrong in ("0", "65536", "-1", "http", "٣"):
        with pytest.raises(WorldError, match="APP_PORT"):
            world.ports({"APP_PORT": wrong})
