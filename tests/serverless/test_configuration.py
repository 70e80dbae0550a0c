"""serverless.yml, package.json and the code say the same."""

import json
import re
from dataclasses import fields
from importlib import import_module
from typing import Any

import pytest
import yaml
from serverless.conftest import ROOT, pins

from app import config, gateways


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "serverless.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def package() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    return loaded


def settings_of_the_code() -> set[str]:
    """All but those that Lambda sets itself, and takes from nobody."""
    found = {field.name.upper() for field in fields(config.Settings)}
    found = {name for name in found if not name.startswith("AWS_")}
    for name in gateways.names():
        kind = import_module(f"app.gateways.{name}").Settings
        found |= {f"{name}_{field.name}".upper() for field in fields(kind)}
    return found


def test_the_function_gets_every_setting_and_no_other(service: dict[str, Any]) -> None:
    assert set(service["provider"]["environment"]) == settings_of_the_code()


def test_a_stage_says_its_own_value_before_the_shell_does(service: dict[str, Any]) -> None:
    for name, value in service["provider"]["environment"].items():
        assert re.fullmatch(rf"\$\{{param:{name}, env:{name}, '[a-z:/.]*'\}}", value), name


def test_live_takes_every_setting_from_ssm_and_none_from_a_shell(service: dict[str, Any]) -> None:
    live = service["params"]["live"]

    assert set(live) == settings_of_the_code()
    fixed = {"MUNIM_ENV": "live", "LOG_LEVEL": "info"}
    for name in set(live) - set(fixed):
        value = live[name]
        assert re.fullmatch(
            rf"https://[a-z./]+|\$\{{ssm:/munim/live/{name}(, '[^']*')?\}}", value
        ), name
        if name in {"HASURA_ADMIN_SECRET", "ACTION_SECRET", "STRIPE_SECRET_KEY"}:
            assert "'" not in value, name  # nothing works without: no default hides that it is gone
    assert live == live | fixed


def test_the_event_bus_calls_a_function_of_its_own(service: dict[str, Any]) -> None:
    function = service["functions"]["events"]
    (event,) = function["events"]

    assert import_module(function["handler"].rpartition(".")[0]).handler
    text = (ROOT / "migrations/default/1767225600144_order_events/up.sql").read_text("utf-8")
    known = set(re.findall(r"^\('([a-z_.]+)', '(?:placed|ready|canceled)'\)", text, re.MULTILINE))
    assert set(event["eventBridge"]["pattern"]["detail-type"]) == known


def test_the_function_is_called_app_and_takes_every_request(service: dict[str, Any]) -> None:
    assert list(service["functions"]) == ["app", "events"]
    assert service["functions"]["app"]["handler"] == "wsgi_handler.handler"
    assert service["functions"]["app"]["events"] == [{"httpApi": "*"}]
    assert service["custom"]["wsgi"]["app"] == "app.wsgi.app"


def test_no_function_takes_longer_than_all_of_them_may(service: dict[str, Any]) -> None:
    """How the times of our answers fit into it, test_budget.py tells."""
    assert not [name for name, one in service["functions"].items() if "timeout" in one]
    assert service["provider"]["timeout"] < 29  # an HTTP API gives up after 30


def test_the_functions_role_may_put_events_on_the_bus_and_nothing_else(
    service: dict[str, Any],
) -> None:
    (statement,) = service["provider"]["iam"]["role"]["statements"]
    resource = statement["Resource"]["Fn::Sub"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "events:PutEvents")
    assert resource.startswith("arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:")
    assert re.search(r":event-bus/\$\{param:EVENT_BUS_NAME, [^*]*\}$", resource)
    assert not any(key.startswith("iam") or key == "role" for key in service["functions"]["app"])
    kinds = {resource["Type"] for resource in service["resources"]["Resources"].values()}
    assert kinds == {"AWS::CloudWatch::Alarm"}


def test_the_functions_are_traced_and_no_api_is_said_to_be(service: dict[str, Any]) -> None:
    """An HTTP API has no X-Ray, and a switch that does nothing would tell otherwise."""
    assert service["provider"]["tracing"] == {"lambda": True}
    kinds = {
        kind for one in service["functions"].values() for each in one["events"] for kind in each
    }
    assert kinds == {"httpApi", "eventBridge"}
    assert not [name for name, one in service["functions"].items() if "tracing" in one]


def test_logs_are_kept_for_a_while_and_not_for_ever(service: dict[str, Any]) -> None:
    assert 30 <= service["provider"]["logRetentionInDays"] <= 400


def test_the_alarms_watch_errors_throttles_and_5xx(service: dict[str, Any]) -> None:
    alarms = [alarm["Properties"] for alarm in service["resources"]["Resources"].values()]

    watched = {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms}
    assert watched == {
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Throttles"),
        ("AWS/ApiGateway", "5xx"),
    }
    for alarm in alarms:
        assert alarm["AlarmActions"]["Fn::If"][0] == "HasAlarmTopic"
        assert alarm["TreatMissingData"] == "notBreaching"


def test_both_halves_of_the_wsgi_plugin_have_one_version(package: dict[str, Any]) -> None:
    assert package["devDependencies"]["serverless-wsgi"] == pins()["serverless-wsgi"]


def test_the_tools_are_pinned_and_the_lock_file_names_no_host(package: dict[str, Any]) -> None:
    text = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    lock = json.loads(text)

    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    assert not [
        name for name, version in package["devDependencies"].items() if not version[0].isdecimal()
    ]
    installed = {name: entry for name, entry in lock["packages"].items() if name}
    assert not [name for name, entry in installed.items() if "resolved" in entry]
    assert all(entry["integrity"] for entry in installed.values())
