"""The part that all simulators share knows none of them, and finds new ones by file name."""

import ast
from pathlib import Path
from typing import Any

from gateway_bench import PATIENCE, ROOT, Receiver, Server, wait_for

from sandbox import gateways
from sandbox.gateways.stripe import money

SHARED = ROOT / "sandbox" / "gateways" / "server"

ACME = '''
import hashlib
import hmac
import json

from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.gateways.server.deliveries import Parcel
from sandbox.gateways.server.simulator import Overview, Signed


class Simulator:
    """A gateway that tells of every order at once, and again when its timer fires."""

    name = "acme"

    def __init__(self, house, options):
        self.house, self.options = house, options
        self.books = house.books(self.name)

    def routes(self):
        return [Route("/orders", self.order, methods=["POST"])]

    def control_routes(self):
        return []

    async def order(self, request):
        with self.house.store.transaction():
            self.books.insert("order", {"id": "o1", "created": self.house.store.now()})
            self.tell("order.created")
            self.books.set_timer("ship", "o1", self.house.store.now())
        return JSONResponse({"id": "o1"})

    def tell(self, kind):
        body = json.dumps({"order": "o1", "type": kind}).encode()
        url = self.options.webhooks[0]
        self.house.outbox.post(Parcel("acme", "hook", f"e-{kind}", kind, url, body))

    def on_timer(self, kind, subject):
        self.tell("order.shipped")

    def secrets(self, endpoint):
        return ["acme-secret"]

    def sign(self, body, secrets, at):
        digest = hmac.new(secrets[0].encode(), body, hashlib.sha256).hexdigest()
        return Signed({"X-Acme-Signature": digest}, body)

    def overview(self):
        return Overview("Acme Pay", [("Units", "paise")])
'''

PROGRAM = """
from sandbox import gateways
gateways.__path__.append({folder!r})
from sandbox.gateways.__main__ import main
main([*sys.argv[1:], "--webhook", {webhook!r}])
"""


def test_a_simulator_is_added_by_adding_a_file(tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text(ACME)
    receiver = Receiver()
    http = receiver.start()
    program = PROGRAM.format(folder=str(tmp_path), webhook=f"acme={receiver.url}")
    server = Server(tmp_path / "state", program=program)

    health = server.http.request("GET", f"{server.url}/healthz", timeout=PATIENCE).json()
    assert health["simulators"] == sorted(["acme", *gateways.names()])
    assert server.http.request("POST", f"{server.url}/acme/orders", timeout=PATIENCE).ok
    received: Any = receiver.wait("o1", "order.created")[0]
    assert len(received.headers["x-acme-signature"]) == 64
    receiver.wait("o1", "order.shipped")
    index = server.http.request("GET", f"{server.url}/", timeout=PATIENCE).text
    wait_for(lambda: "Acme Pay" in index or None, "the overview")
    server.stop()
    http.shutdown()
    http.server_close()


def test_every_gateway_of_the_service_has_a_simulator_of_its_name() -> None:
    modules = {path.stem for path in (ROOT / "app" / "gateways").iterdir()}

    adapters = {name for name in modules if not name.startswith("_")}
    assert set(gateways.names()) == adapters | {"eventbridge"}


def test_the_shared_part_knows_no_gateway() -> None:
    for path in [*SHARED.rglob("*.py"), ROOT / "sandbox" / "faults.py"]:
        names = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not [text for text in names if "stripe" in text.lower()], path
        assert "import stripe" not in path.read_text()
    for page in SHARED.rglob("*.html"):
        assert "stripe" not in page.read_text().lower(), page


def test_amounts_are_written_as_people_write_them() -> None:
    shown = {
        (123456, "usd"): "$1,234.56",
        (5, "usd"): "$0.05",
        (123456700, "inr"): "₹12,34,567.00",
        (99900, "inr"): "₹999.00",
        (500, "jpy"): "¥500",
        (12340, "kwd"): "KWD\N{NO-BREAK SPACE}12.340",
        (-150, "eur"): "-€1.50",
    }
    assert {given: money.display(*given) for given in shown} == shown


def test_the_fee_is_rounded_to_the_nearest_unit() -> None:
    assert [money.fee(amount) for amount in (0, 50, 1000, 1999, 99_999_999)] == [
        *(30, 31, 59, 88, 2_900_030)
    ]
