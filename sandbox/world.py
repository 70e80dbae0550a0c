"""The sandbox's world: where its parts listen, what secrets they share, what each is told.

The secrets are published on purpose. Each carries the word that makes the service refuse it in
live. `.env.example` shows the same values, and a test compares the two.
"""
# ruff: noqa: S105 -- published on purpose, see above

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".sandbox"
METADATA = ROOT / "hasura" / "metadata"
MIGRATIONS = ROOT / "migrations" / "default"
SEEDS = ROOT / "hasura" / "seeds" / "default"

HOST = "127.0.0.1"
DATABASE_ROLE = "munim_hasura"  # what Hasura, and so the engine, works as

HASURA_ADMIN_SECRET = "sandbox-admin-secret-known-to-everybody"
ACTION_SECRET = "sandbox-action-secret-known-to-everybody"
JWT_KEY = "sandbox-jwt-key-that-is-known-to-everybody"
JWT_ALGORITHM = "HS256"
STRIPE_SECRET_KEY = "sk_test_sandbox_key_known_to_everybody"
STRIPE_WEBHOOK_SECRET = "whsec_sandbox_secret_known_to_everybody"
RAZORPAY_KEY_ID = "rzp_test_sandboxkey0001"
RAZORPAY_KEY_SECRET = "sandbox-razorpay-key-known-to-everybody"
RAZORPAY_WEBHOOK_SECRET = "sandbox-razorpay-webhook-known-to-everybody"
PAYU_KEY = "payu_sandbox_key"
PAYU_SALT = "payu-sandbox-salt-known-to-everybody"
PAYU_MERCHANT_ID = "2"
PAYU_CHARGEBACK_KEY = "payu-sandbox-chargeback-key-known-to-everybody"
CASHFREE_CLIENT_ID = "TEST_sandbox_client_known_to_everybody"
CASHFREE_CLIENT_SECRET = "cfsk_ma_test_sandbox_secret_known_to_everybody"

EVENTS_SECRET = "whsec_sandboxSigningKeyKnownToEverybody+++"
EVENTBRIDGE_ACCESS_KEY_ID = "AKIASANDBOX"
EVENTBRIDGE_SECRET_ACCESS_KEY = "sandbox-aws-key-known-to-everybody"

# What each simulator takes as the account's key, and signs its webhooks with.
SIMULATED = {
    "stripe": (STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET),
    "razorpay": (f"{RAZORPAY_KEY_ID}:{RAZORPAY_KEY_SECRET}", RAZORPAY_WEBHOOK_SECRET),
    "payu": (f"{PAYU_KEY}:{PAYU_CHARGEBACK_KEY}", PAYU_SALT),
    "cashfree": (CASHFREE_CLIENT_ID, CASHFREE_CLIENT_SECRET),
}

# What a webhook's endpoint is subscribed to, as the merchant would at the gateway: what the adapter
# reads, and a test compares the two. A gateway that is not here sends everything.
SUBSCRIBED = {
    "stripe": (
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.processing",
        "payment_intent.requires_action",
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "setup_intent.succeeded",
        "setup_intent.setup_failed",
        "setup_intent.canceled",
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    ),
    "razorpay": (
        *("payment.authorized", "payment.captured", "payment.failed", "order.paid"),
        *("refund.created", "refund.processed", "refund.failed", "refund.speed_changed"),
        *("payment.dispute.created", "payment.dispute.under_review"),
        *("payment.dispute.action_required", "payment.dispute.won", "payment.dispute.lost"),
        "payment.dispute.closed",
    ),
    "cashfree": (
        "PAYMENT_SUCCESS_WEBHOOK",
        "PAYMENT_FAILED_WEBHOOK",
        "PAYMENT_USER_DROPPED_WEBHOOK",
        "REFUND_STATUS_WEBHOOK",
        "AUTO_REFUND_STATUS_WEBHOOK",
        "DISPUTE_CREATED",
        "DISPUTE_UPDATED",
        "DISPUTE_CLOSED",
    ),
}


class WorldError(Exception):
    """The sandbox cannot be as it was asked to be. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three parts that a person meets listen, on this machine only."""

    hasura: int = 8080
    app: int = 5000
    gateways: int = 9000

    @property
    def graphql_url(self) -> str:
        return f"http://localhost:{self.hasura}/v1/graphql"

    @property
    def app_url(self) -> str:
        return f"http://localhost:{self.app}"

    @property
    def gateways_url(self) -> str:
        return f"http://localhost:{self.gateways}"


def ports(environ: Mapping[str, str]) -> Ports:
    """Read HASURA_PORT, APP_PORT and GATEWAYS_PORT. Raises WorldError."""
    standard = Ports()
    return Ports(
        hasura=_port(environ, "HASURA_PORT", standard.hasura),
        app=_port(environ, "APP_PORT", standard.app),
        gateways=_port(environ, "GATEWAYS_PORT", standard.gateways),
    )


def _port(environ: Mapping[str, str], name: str, standard: int) -> int:
    text = environ.get(name) or str(standard)
    if not is_port(text):
        raise WorldError(f"{name}={text} is not a port")
    return int(text)


def is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 65536


EVENTS_ORGANIZATION_ID = "00000000-0000-4000-8000-000000000001"  # Tiger Campus has a bus


def app_environment(ports: Ports) -> dict[str, str]:
    """All that the service asks of its environment."""
    return {
        "MUNIM_ENV": "sandbox",
        "LOG_LEVEL": "info",
        "GATEWAY_ASKERS": "8",
        "MESSAGE_DAYS": "0",  # its clock jumps by years, and people look at what was said
        "HASURA_ENDPOINT": f"http://{HOST}:{ports.hasura}/v1/graphql",
        "HASURA_ADMIN_SECRET": HASURA_ADMIN_SECRET,
        "ACTION_SECRET": ACTION_SECRET,
        "FRONTEND_URL": f"{ports.gateways_url}/shop",
        "SERVICE_URL": ports.app_url,
        "EVENTS_ORGANIZATION_ID": EVENTS_ORGANIZATION_ID,
        "EVENT_BUS_NAME": "default",
        "EVENTBRIDGE_URL": f"http://{HOST}:{ports.gateways}/eventbridge",
        "EVENTBRIDGE_REGION": "us-east-2",
        "EVENTBRIDGE_ACCESS_KEY_ID": EVENTBRIDGE_ACCESS_KEY_ID,
        "EVENTBRIDGE_SECRET_ACCESS_KEY": EVENTBRIDGE_SECRET_ACCESS_KEY,
        "EVENTS_URL": f"http://{HOST}:{ports.gateways}/eventbridge/consumer",
        "EVENTS_SECRET": EVENTS_SECRET,
        "STRIPE_SECRET_KEY": STRIPE_SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": STRIPE_WEBHOOK_SECRET,
        "STRIPE_API_URL": f"http://{HOST}:{ports.gateways}/stripe",
        "RAZORPAY_KEY_ID": RAZORPAY_KEY_ID,
        "RAZORPAY_KEY_SECRET": RAZORPAY_KEY_SECRET,
        "RAZORPAY_WEBHOOK_SECRET": RAZORPAY_WEBHOOK_SECRET,
        "RAZORPAY_API_URL": f"http://{HOST}:{ports.gateways}/razorpay",
        "RAZORPAY_CHECKOUT_URL": f"{ports.gateways_url}/razorpay",
        "RAZORPAY_MERCHANT_NAME": "Munim Sandbox Store",
        "RAZORPAY_UPI": "on",
        "PAYU_KEY": PAYU_KEY,
        "PAYU_SALT": PAYU_SALT,
        "PAYU_API_URL": f"http://{HOST}:{ports.gateways}/payu",
        "PAYU_CHECKOUT_URL": f"{ports.gateways_url}/payu",
        "PAYU_MERCHANT_ID": PAYU_MERCHANT_ID,
        "PAYU_CHARGEBACK_KEY": PAYU_CHARGEBACK_KEY,
        "PAYU_CHARGEBACK_URL": f"http://{HOST}:{ports.gateways}/payu",
        "PAYU_UPI": "on",
        "PAYU_S2S_URL": f"http://{HOST}:{ports.gateways}/payu",
        "CASHFREE_CLIENT_ID": CASHFREE_CLIENT_ID,
        "CASHFREE_CLIENT_SECRET": CASHFREE_CLIENT_SECRET,
        "CASHFREE_API_URL": f"http://{HOST}:{ports.gateways}/cashfree/pg",
        "CASHFREE_CHECKOUT_URL": f"{ports.gateways_url}/cashfree/pg",
        "CASHFREE_UPI": "on",
    }


def engine_environment(ports: Ports, database_url: str) -> dict[str, str]:
    """All that Hasura, or the engine in its place, asks of its environment.

    `database_url` is the owner's: the engine works as a role with fewer rights.
    """
    return {
        "HASURA_GRAPHQL_DATABASE_URL": in_role(database_url, DATABASE_ROLE),
        "HASURA_GRAPHQL_ADMIN_SECRET": HASURA_ADMIN_SECRET,
        "HASURA_GRAPHQL_JWT_SECRET": json.dumps({"type": JWT_ALGORITHM, "key": JWT_KEY}),
        "HASURA_GRAPHQL_ENABLE_CONSOLE": "true",
        "HASURA_GRAPHQL_STRINGIFY_NUMERIC_TYPES": "true",
        "HASURA_GRAPHQL_INFER_FUNCTION_PERMISSIONS": "false",
        "HASURA_GRAPHQL_EVENTS_HTTP_POOL_SIZE": "4",  # the service has 32 threads, for people
        "APP_URL": f"http://{HOST}:{ports.app}",
        "ACTION_SECRET": ACTION_SECRET,
    }


def in_role(database_url: str, role: str) -> str:
    """Add to a database URL that its sessions work as a role; what it says else stays."""
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query["options"] = f"{query.get('options', '')} -c role={role}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))
