"""`python -m sandbox.gateways`: serve every simulator on one port."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from sandbox import gateways
from sandbox.gateways.server.app import build_app, build_house
from sandbox.gateways.server.connection import Protocol
from sandbox.gateways.server.simulator import Options

# As nginx has it, and what stands before a gateway: a client that kept a connection for some
# seconds does not meet its end.
KEEP_ALIVE_SECONDS = 75


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    origin = options.public_url or f"http://127.0.0.1:{options.port}"
    house = build_house(options.state, origin)
    simulators = {
        name: gateways.load(name, house, _options(options, name)) for name in gateways.names()
    }
    print(f"gateways at {origin} ({', '.join(simulators)}), state in {options.state}", flush=True)
    uvicorn.run(
        build_app(house, simulators, lead=options.lead),
        host=options.host,
        port=options.port,
        http=Protocol,
        ws="none",
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.gateways", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--state", type=Path, default=Path(".sandbox/gateways"))
    parser.add_argument("--public-url", help="how browsers reach this server")
    parser.add_argument(
        "--lead", type=float, default=0.0, help="seconds from an event to its webhook"
    )
    for name, meaning in (
        ("webhook", "where webhooks of a gateway go"),
        ("secret", "a webhook secret; several sign together"),
        ("key", "an accepted API key"),
        ("event", "a type of event that is sent to --webhook; without any, all are"),
    ):
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="GATEWAY=VALUE", help=meaning
        )
    return parser


def _options(parsed: argparse.Namespace, gateway: str) -> Options:
    def mine(pairs: list[str]) -> tuple[str, ...]:
        start = f"{gateway}="
        return tuple(pair.removeprefix(start) for pair in pairs if pair.startswith(start))

    return Options(mine(parsed.webhook), mine(parsed.secret), mine(parsed.key), mine(parsed.event))


if __name__ == "__main__":
    main()
