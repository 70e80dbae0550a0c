"""`python -m sandbox faults`: what the simulated gateways get wrong from now on, and how often."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from sandbox import gateways, running
from sandbox.faults import OF_WEBHOOKS, Kind
from sandbox.screen import Screen
from sandbox.world import WorldError

ANSWER_SECONDS_MAX = 10.0
WEBHOOK = "webhook:"

MEANINGS = {
    Kind.REFUSE: "the connection closes and nothing happened",
    Kind.TIMEOUT_BEFORE_EFFECT: "silence for --seconds, and nothing happened",
    Kind.LOST_ANSWER: "it happens, and no answer comes",
    Kind.LATE_EFFECT: "no answer comes, and it happens --seconds of simulated time later",
    Kind.ERROR_500: "a server error, and nothing happened",
    Kind.ERROR_AFTER_EFFECT: "a server error, and it happened all the same",
    Kind.RATE_LIMITED: "too many requests, and nothing happened",
    Kind.SLOW: "the right answer after --seconds",
    Kind.NONSENSE: "a page of HTML with status 200",
    Kind.MALFORMED: "half of the JSON",
    Kind.EMPTY: "status 200 and no body",
    Kind.OTHER_LINK: "a UPI link for --n paise more than was asked for",
    Kind.DROP: "never sent",
    Kind.DUPLICATE: "sent --n times more",
    Kind.DELAY: "first sent after --seconds",
    Kind.WRONG_SIGNATURE: "signed with another secret",
    Kind.STALE: "signed --seconds ago",
    Kind.FUTURE: "signed --seconds ahead",
    Kind.HOLD: "kept until `faults release`, which may turn their order round",
    Kind.WRONG_AMOUNT: "every amount is --n too high, and the signature is right",
}

EXAMPLES = """examples:
  python -m sandbox faults                                     list what is in force
  python -m sandbox faults set stripe lost_answer --operation refunds.create
  python -m sandbox faults set razorpay refuse --always        an outage, until it is cleared
  python -m sandbox faults set cashfree late_effect --seconds 3600
  python -m sandbox faults set '*' duplicate --n 3 --times 5   of webhooks, the next five
  python -m sandbox faults set payu hold --always              keep the webhooks back
  python -m sandbox faults release --newest-first              and send them out of order
  python -m sandbox faults clear                               all is well again
"""


class Simulators:
    """The control calls of the simulators of a running sandbox."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/_sandbox"

    def call(self, method: str, path: str, order: Mapping[str, object] | None = None) -> Any:
        """Make a call. Raises WorldError, with the simulators' own words where they refuse."""
        try:
            answer = httpx.request(
                method,
                f"{self.url}{path}",
                json=order,
                timeout=ANSWER_SECONDS_MAX,
                trust_env=False,
            )
            told = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as failure:
            raise WorldError(
                f"the simulators do not answer at {self.url}: are they up? ({failure})"
            ) from failure
        if not answer.is_success:
            raise WorldError(told.get("error", f"the simulators answered {answer.status_code}"))
        return told

    def faults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/faults")["faults"]
        return found


Order = Callable[[Simulators, Screen, argparse.Namespace], None]


def show(simulators: Simulators, screen: Screen, _: argparse.Namespace) -> None:
    faults = simulators.faults()
    for fault in faults:
        screen.say(line_of(fault))
    if not faults:
        screen.say("no faults")


def add(simulators: Simulators, screen: Screen, options: argparse.Namespace) -> None:
    known = gateways.names()
    if options.gateway not in {*known, "*"}:
        raise WorldError(f"no gateway is called {options.gateway}: {', '.join(known)}, or '*'")
    wanted = {
        "gateway": options.gateway,
        "kind": options.kind,
        "operation": operation_of(options.kind, options.operation),
        "times": None if options.always else options.times,
        "effect": options.effect,
    }
    for name in ("seconds", "n", "attempts"):
        if (said := getattr(options, name)) is not None:
            wanted[name] = said
    screen.say(line_of(simulators.call("POST", "/faults", wanted)))


def clear(simulators: Simulators, screen: Screen, _: argparse.Namespace) -> None:
    faults = simulators.faults()
    simulators.call("DELETE", "/faults")
    screen.say(f"{len(faults)} cleared")


def release(simulators: Simulators, screen: Screen, options: argparse.Namespace) -> None:
    """Send what was held back, the oldest first unless it is asked for otherwise."""
    log = simulators.call("GET", "/deliveries?limit=9999")["deliveries"]  # the newest first
    held = [one["id"] for one in log if one["state"] == "held"]
    order = held if options.newest_first else held[::-1]
    if order:
        simulators.call("POST", "/deliveries/release", {"order": order})
    screen.say(f"{len(order)} released")


def operation_of(kind: str, said: str) -> str:
    """Name the calls, or webhooks, that a kind of fault spoils: the kind says which of the two."""
    if Kind(kind) in OF_WEBHOOKS:
        return WEBHOOK + said.removeprefix(WEBHOOK)
    return said


def line_of(fault: Mapping[str, Any]) -> str:
    times = {None: "always", 1: "once"}.get(fault["times"], f"{fault['times']} times")
    meaning = MEANINGS[Kind(fault["kind"])]
    for name in ("seconds", "n"):
        meaning = meaning.replace(f"--{name}", f"{fault[name]:g}")
    return f"{fault['gateway']} {fault['operation']}: {fault['kind']}, {times}: {meaning}"


def run(options: argparse.Namespace) -> None:
    """Carry an order out at the sandbox that runs here."""
    found = running.find(options.state.absolute())
    order: Order = options.order
    order(Simulators(found.ports.gateways_url), Screen(), options)


def add_commands(commands: Any) -> None:
    """Add `faults` and what follows it to the command line."""
    meanings = "\n".join(f"  {kind:<22}{meaning}" for kind, meaning in MEANINGS.items())
    parser = commands.add_parser(
        "faults",
        help="say what the simulated gateways get wrong",
        description="List what the simulated gateways get wrong. A restart is a clean slate.",
        epilog=f"kinds, of calls and then of webhooks:\n{meanings}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run, order=show)
    orders = parser.add_subparsers(title="orders", metavar="ORDER")
    _add_set(orders)
    orders.add_parser("clear", help="take all faults back").set_defaults(order=clear)
    sent = orders.add_parser("release", help="send the webhooks that `hold` kept back")
    sent.add_argument("--newest-first", action="store_true", help="turn their order round")
    sent.set_defaults(order=release)


def _add_set(orders: Any) -> None:
    made = orders.add_parser("set", help="add a fault")
    made.add_argument("gateway", help="its name, or '*'")
    made.add_argument("kind", choices=[str(kind) for kind in Kind], metavar="KIND")
    made.add_argument(
        "--operation",
        default="*",
        metavar="NAME",
        help="such as refunds.create, or a webhook's type; may hold *",
    )
    often = made.add_mutually_exclusive_group()
    often.add_argument("--times", type=int, default=1, metavar="N", help="how many it spoils: 1")
    often.add_argument("--always", action="store_true", help="until it is cleared")
    made.add_argument("--seconds", type=float, metavar="S")
    made.add_argument("--n", type=int, metavar="N")
    made.add_argument("--attempts", type=int, metavar="N", help="sendings with a bad signature")
    made.add_argument(
        "--no-effect",
        dest="effect",
        action="store_false",
        help="nonsense, malformed and empty: nothing happened",
    )
    made.set_defaults(order=add)
