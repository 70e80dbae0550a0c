"""Settings come from the environment, are read once at cold start, and are complete or refused.

A missing variable is named together with all the others that are missing. Live is strict: it does
not start with a secret of the sandbox, nor with a short one.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

ENVIRONMENTS = ("sandbox", "test", "live")
SECRET_LENGTH_MIN = 32
ASKERS_MAX = 32  # as many as the service has threads for people: enough for any gateway's limits
MESSAGE_DAYS_MIN = 30  # the longest that anything here is tried again, and a person looks at it
# The sandbox writes its name into every secret it ships; gateways write _test_ into theirs.
TOY_MARKS = ("sandbox", "_test_")
LIVE_MARK = "_live_"
# As https://www.standardwebhooks.com has it.
SIGNING_KEY = r"whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

T = TypeVar("T")


class ConfigError(Exception):
    """The environment does not make a working service; the message says all that is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One field a variable of the same name in capitals. Lists are written with commas."""

    munim_env: str
    hasura_endpoint: str
    hasura_admin_secret: str = field(repr=False)
    action_secret: tuple[str, ...] = field(
        repr=False
    )  # several while one is being replaced by another
    frontend_url: str
    service_url: str
    log_level: str = "info"
    gateway_askers: int = 8  # of each cron that asks gateways; 1 asks in the request's own thread
    message_days: int = 180  # how long gateways' messages are kept as they came; 0: for ever
    events_organization_id: str = ""  # whose orders the event bus speaks of
    # Where events go; which organisations' is said in the database (docs/events.md).
    event_bus_name: str = ""
    eventbridge_url: str = ""  # empty: the region's
    eventbridge_region: str = ""  # of a bus elsewhere, with keys of its own
    eventbridge_access_key_id: str = ""
    eventbridge_secret_access_key: str = field(default="", repr=False)
    aws_region: str = ""  # Lambda sets these four itself
    aws_access_key_id: str = ""
    aws_secret_access_key: str = field(default="", repr=False)
    aws_session_token: str = field(default="", repr=False)
    events_url: str = ""
    events_secret: str = field(default="", repr=False)

    @property
    def livemode(self) -> bool:
        return self.munim_env == "live"


def load(environ: Mapping[str, str]) -> Settings:
    """Read and check the service's own settings. Raises ConfigError."""
    settings = read(Settings, environ)
    faults = _faults(settings, environ)
    if settings.livemode:
        faults += _live_faults(settings, environ)
    if faults:
        raise ConfigError("; ".join(faults))
    return settings


def read(kind: type[T], environ: Mapping[str, str], prefix: str = "") -> T:
    """Fill a dataclass of str, int, bool and tuple[str, ...] fields from PREFIX_FIELD variables.

    Raises ConfigError that names every variable that is missing or blank.
    """
    values: dict[str, Any] = {}
    missing: list[str] = []
    for each in fields(kind):  # type: ignore[arg-type]  # callers pass dataclasses only
        name = f"{prefix}{each.name}".upper()
        text = environ.get(name, "").strip(" ,\t\n")
        if text:
            values[each.name] = _value(name, text, each.type)
        elif each.default is MISSING:
            missing.append(name)
    if missing:
        message = f"missing settings: {', '.join(missing)} (see .env.example)"
        raise ConfigError(message)
    return kind(**values)


def _value(name: str, text: str, kind: object) -> Any:
    if kind in (str, "str"):
        return text
    if kind in (int, "int"):
        return _number(name, text)
    if kind not in (bool, "bool"):
        return _words(text)
    if text not in {"on", "off"}:
        message = f"{name} must be on or off"
        raise ConfigError(message)
    return text == "on"


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        message = f"{name} must be a whole number"
        raise ConfigError(message)
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def check_mode(name: str, settings: object, environ: Mapping[str, str]) -> None:
    """Refuse a live gateway in a test, whose money nobody would book, and the other way round.

    Only a gateway whose settings say `livemode`; of the others the keys tell: see `load`.
    """
    livemode, munim_env = getattr(settings, "livemode", None), environ.get("MUNIM_ENV", "")
    if munim_env and livemode not in {None, munim_env == "live"}:
        mode = "live" if livemode else "test"
        message = f"{name} is set up for {mode}, and MUNIM_ENV is {munim_env}"
        raise ConfigError(message)


def _faults(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    faults = [
        f"{name.upper()} must be a URL"
        for name in ("hasura_endpoint", "frontend_url", "service_url")
        if not getattr(settings, name).startswith(("https://", "http://"))
    ]
    faults += _event_faults(settings)
    if not 1 <= settings.gateway_askers <= ASKERS_MAX:
        faults.append(f"GATEWAY_ASKERS must be from 1 to {ASKERS_MAX}")
    if settings.message_days and settings.message_days < MESSAGE_DAYS_MIN:
        faults.append(f"MESSAGE_DAYS must be 0 or at least {MESSAGE_DAYS_MIN}")
    if settings.munim_env not in ENVIRONMENTS:
        faults.append(f"MUNIM_ENV must be one of {', '.join(ENVIRONMENTS)}")
    if not settings.livemode:
        faults += [
            f"{name} is a live key, and MUNIM_ENV is not live"
            for name, value in environ.items()
            if name.endswith(("_KEY", "_KEY_ID")) and LIVE_MARK in value
        ]
    return faults


def _event_faults(settings: Settings) -> list[str]:
    faults = []
    if settings.event_bus_name and not settings.eventbridge_region:
        keys = (settings.aws_region, settings.aws_access_key_id, settings.aws_secret_access_key)
        if not all(keys):
            faults.append("EVENT_BUS_NAME needs AWS_REGION and AWS's keys, or EVENTBRIDGE_REGION")
    own = (
        settings.eventbridge_region,
        settings.eventbridge_access_key_id,
        settings.eventbridge_secret_access_key,
    )
    if any(own) and not all(own):
        faults.append("EVENTBRIDGE_REGION, _ACCESS_KEY_ID and _SECRET_ACCESS_KEY go together")
    if settings.events_url and not re.fullmatch(r"https?://[^/]+(/.*)?", settings.events_url):
        faults.append("EVENTS_URL must be a URL")
    if settings.events_url and not re.fullmatch(SIGNING_KEY, settings.events_secret):
        faults.append("EVENTS_URL needs EVENTS_SECRET: whsec_ and 24 to 64 bytes in base64")
    return faults


def _live_faults(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    own = {
        "HASURA_ADMIN_SECRET": (settings.hasura_admin_secret,),
        "ACTION_SECRET": settings.action_secret,
    }
    short = [
        f"{name} must have at least {SECRET_LENGTH_MIN} characters in live"
        for name, secrets in own.items()
        if min(map(len, secrets)) < SECRET_LENGTH_MIN
    ]
    # Gateways' settings too, by their names, so that no adapter has to remember it.
    toys = [
        f"{name} is not for live"
        for name, value in environ.items()
        if name.endswith(("_SECRET", "_KEY", "_KEY_ID", "_SALT"))
        and any(mark in value.lower() for mark in TOY_MARKS)
    ]
    plain = [
        f"{name} must be https in live"
        for name, value in environ.items()
        if name.endswith(("_URL", "_ENDPOINT")) and value.startswith("http://")
    ]
    return sorted(short + toys + plain)
