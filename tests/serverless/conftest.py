"""The artifact as `osls package` lays it out, and a Hasura that remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from serverless.lambdas import Lambda

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "node_modules" / "serverless-wsgi"

ACTION_SECRET = "action-secret-of-the-tests"
WEBHOOK_SECRET = "whsec_of_the_tests"

CHECKOUT = {
    "id": "00000000-0000-4000-8000-000000000001",
    "payment_intent_id": "00000000-0000-4000-8000-000000000002",
    "amount": "2500",
    "currency": "USD",
    "credits_amount": "250.0000",
    "gateway_session_id": "cs_test_1",
    "status": "pending",
    "is_over": False,
    "url": "https://checkout.stripe.com/c/pay/cs_test_1",  # open already: no gateway is asked
    "expires_at": "2026-11-21T11:00:00+00:00",
}
ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ReadClock": ("clock", {"skew_seconds": 0}),
    "OpenCreditPurchase": ("open_credit_purchase", CHECKOUT),
    "ReceiveGatewayEvent": (
        "receive_gateway_event",
        {"id": "1", "status": "processed", "reason": None},
    ),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "artifact: packages for real, with node and a registry")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow ones to those who ask for them: `pytest -m artifact`."""
    if "artifact" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("artifact")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


class Hasura:
    """Answers the operations above and remembers every request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.server = HTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1/graphql"

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [each for each in self.requests if each["operationName"] == operation]

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        field, row = ANSWERS[body["operationName"]]
        return {"data": {field: [row]}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hasura = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hasura.requests.append({**body, "headers": dict(self.headers)})
                answer = json.dumps(hasura.answer(body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing: the tests read `requests`."""

        return Handler


@pytest.fixture(scope="session")
def listening_hasura() -> Iterator[Hasura]:
    hasura = Hasura()
    thread = threading.Thread(target=hasura.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield hasura
    hasura.server.shutdown()
    thread.join()
    hasura.server.server_close()


@pytest.fixture
def hasura(listening_hasura: Hasura) -> Hasura:
    """The same server with nothing remembered."""
    listening_hasura.requests.clear()
    return listening_hasura


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact, unpacked: app/, what requirements.txt names, the plugin's two files.

    Laid out from the installed packages, which takes no time; `pytest -m artifact` compares it with
    what `osls package` makes.
    """
    place = tmp_path_factory.mktemp("artifact")
    for source in [ROOT / "app", *runtime_packages(), PLUGIN / "wsgi_handler.py"]:
        if source.exists():
            (place / source.name).symlink_to(source)
    (place / ".serverless-wsgi").write_text('{"app":"app.wsgi.app"}', encoding="utf-8")
    return place


def runtime_packages() -> list[Path]:
    """The top level files and folders of the packages in requirements.txt, at those versions."""
    found: set[Path] = set()
    for name, version in pins().items():
        package = metadata.distribution(name)
        assert package.version == version, f"{name} {package.version} is installed, not {version}"
        for file in package.files or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not top.endswith(".dist-info"):
                found.add(Path(str(package.locate_file(top))))
    return sorted(found)


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def settings(hasura: Hasura) -> dict[str, str]:
    """All that the service asks of its environment."""
    return {
        "MUNIM_ENV": "test",
        "FRONTEND_URL": "https://shop.example",
        "SERVICE_URL": "https://pay.example",
        "HASURA_ENDPOINT": hasura.url,
        "HASURA_ADMIN_SECRET": "admin-secret-of-the-tests",
        "ACTION_SECRET": ACTION_SECRET,
        "STRIPE_SECRET_KEY": "sk_test_1",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_URL": "http://127.0.0.1:9",  # nobody is there
    }


@pytest.fixture(scope="session")
def function(artifact: Path, listening_hasura: Hasura) -> Iterator[Lambda]:
    """The artifact, warm."""
    with Lambda(artifact, settings(listening_hasura)) as running:
        yield running
