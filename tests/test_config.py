import re

import pytest

from app import config
from app.config import ConfigError
from app.gateways import stripe
from sandbox import world
from sandbox.world import Ports

GOOD = {
    "MUNIM_ENV": "live",
    "HASURA_ENDPOINT": "https://hasura.example/v1/graphql",
    "HASURA_ADMIN_SECRET": "a" * 32,
    "ACTION_SECRET": "b" * 32,
    "FRONTEND_URL": "https://shop.example",
    "SERVICE_URL": "https://pay.example",
}


def test_settings_are_read_and_lists_are_split() -> None:
    settings = config.load(GOOD | {"ACTION_SECRET": f"{'b' * 32}, {'c' * 32}"})

    assert settings.action_secret == ("b" * 32, "c" * 32)
    assert settings.livemode is True
    assert settings.log_level == "info"


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"MUNIM_ENV, .*HASURA_ADMIN_SECRET, .*FRONTEND_URL"):
        config.load({"HASURA_ENDPOINT": "http://x", "FRONTEND_URL": "  "})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"MUNIM_ENV": "production"}, "MUNIM_ENV must be one of"),
        ({"HASURA_ENDPOINT": "hasura.example"}, "HASURA_ENDPOINT must be a URL"),
        ({"FRONTEND_URL": "javascript:alert(1)"}, "FRONTEND_URL must be a URL"),
        ({"HASURA_ENDPOINT": "http://hasura.example"}, "HASURA_ENDPOINT must be https in live"),
        ({"ACTION_SECRET": "short"}, "ACTION_SECRET must have at least 32"),
        ({"ACTION_SECRET": f"{'b' * 32},short"}, "ACTION_SECRET must have at least 32"),
        ({"HASURA_ADMIN_SECRET": "Sandbox-" + "a" * 32}, "HASURA_ADMIN_SECRET is not for live"),
        ({"STRIPE_SECRET_KEY": "sk_test_1"}, "STRIPE_SECRET_KEY is not for live"),
        ({"RAZORPAY_KEY_ID": "rzp_test_1"}, "RAZORPAY_KEY_ID is not for live"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_sandbox"}, "STRIPE_WEBHOOK_SECRET is not for live"),
        ({"STRIPE_API_URL": "http://127.0.0.1:9000"}, "STRIPE_API_URL must be https"),
    ],
)
def test_live_refuses_what_is_unsafe(change: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(GOOD | change)


def test_live_refuses_every_secret_that_the_sandbox_publishes() -> None:
    published = {
        name: value
        for name, value in world.app_environment(Ports()).items()
        if re.search(r"_(SECRET|KEY|KEY_ID|SALT)$", name)
    }
    with pytest.raises(ConfigError) as refusal:
        config.load(GOOD | published)
    refused = set(re.findall(r"(\w+) is not for live", str(refusal.value)))
    assert refused == set(published)


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_a_live_key_is_refused_where_nothing_else_is_live(key: str) -> None:
    with pytest.raises(ConfigError, match="STRIPE_SECRET_KEY is a live key"):
        config.load(GOOD | {"MUNIM_ENV": "test", "STRIPE_SECRET_KEY": key})


def test_a_live_key_of_razorpay_is_refused_elsewhere_too() -> None:
    with pytest.raises(ConfigError, match="RAZORPAY_KEY_ID is a live key"):
        config.load(GOOD | {"MUNIM_ENV": "test", "RAZORPAY_KEY_ID": "rzp_live_1"})


def test_a_sandbox_may_use_its_well_known_secrets() -> None:
    relaxed = {"MUNIM_ENV": "sandbox", "ACTION_SECRET": "sandbox", "FRONTEND_URL": "http://x"}

    assert config.load(GOOD | relaxed).livemode is False


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"STRIPE_SECRET_KEY": "sk_test_1"},
        {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": ""},
        {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": " , "},
        {"STRIPE_SECRET_KEY": "pk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"},
        {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1,other"},
    ],
)
def test_a_gateway_without_its_secrets_does_not_start(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="STRIPE_"):
        config.read(stripe.Settings, environ, prefix="stripe_")


def test_secrets_do_not_show_in_a_settings_text() -> None:
    settings = stripe.Settings("sk_test_1", ("whsec_1",))

    assert "sk_test_1" not in repr(settings)
    assert "whsec_1" not in repr(settings)


@pytest.mark.parametrize(("days", "kept"), [("", 180), ("0", 0), ("30", 30), ("4000", 4000)])
def test_messages_are_kept_for_so_many_days(days: str, kept: int) -> None:
    assert config.load(GOOD | {"MESSAGE_DAYS": days}).message_days == kept


@pytest.mark.parametrize("days", ["1", "29", "-1", "half a year"])
def test_messages_are_not_forgotten_while_somebody_may_need_them(days: str) -> None:
    with pytest.raises(ConfigError, match="MESSAGE_DAYS must be"):
        config.load(GOOD | {"MESSAGE_DAYS": days})


BUS = {"EVENT_BUS_NAME": "orders"}
ROLE = {"AWS_REGION": "us-east-2", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
OWN = {
    "EVENTBRIDGE_REGION": "us-east-2",
    "EVENTBRIDGE_ACCESS_KEY_ID": "k",
    "EVENTBRIDGE_SECRET_ACCESS_KEY": "s",
}
URL = {"EVENTS_URL": "https://shop.example/events", "EVENTS_SECRET": "whsec_" + "A" * 44}


@pytest.mark.parametrize("given", [{}, BUS | ROLE, BUS | OWN, URL, ROLE, BUS | OWN | URL])
def test_events_may_go_to_a_bus_an_address_both_or_nowhere(given: dict[str, str]) -> None:
    assert config.load(GOOD | given).event_bus_name == given.get("EVENT_BUS_NAME", "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (BUS, "EVENT_BUS_NAME needs AWS_REGION"),
        (BUS | ROLE | {"AWS_SECRET_ACCESS_KEY": ""}, "EVENT_BUS_NAME needs AWS_REGION"),
        (OWN | {"EVENTBRIDGE_REGION": ""}, "EVENTBRIDGE_REGION, .* go together"),
        (BUS | OWN | {"EVENTBRIDGE_ACCESS_KEY_ID": ""}, "EVENTBRIDGE_REGION, .* go together"),
        (URL | {"EVENTS_SECRET": ""}, "EVENTS_URL needs EVENTS_SECRET"),
        (URL | {"EVENTS_SECRET": "A" * 44}, "EVENTS_URL needs EVENTS_SECRET"),
        (URL | {"EVENTS_SECRET": "whsec_" + "A" * 20}, "EVENTS_URL needs EVENTS_SECRET"),
        (URL | {"EVENTS_SECRET": "whsec_" + "A" * 43}, "EVENTS_URL needs EVENTS_SECRET"),
        (URL | {"EVENTS_URL": "shop.example"}, "EVENTS_URL must be a URL"),
        (URL | {"EVENTS_URL": "http://shop.example"}, "EVENTS_URL must be https in live"),
    ],
)
def test_events_that_could_not_leave_are_a_fault_at_once(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(GOOD | given)
