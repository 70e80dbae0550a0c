"""Starts the sandbox, plays its payment, keeps it up until it is told to stop, and stops it.

Either everything runs or nothing does: a part that cannot start, or that ends by itself, ends all.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import demo, migrations, running, seeds, summary, world
from sandbox.database import Database, Embedded, External
from sandbox.processes import Process, Service
from sandbox.running import Running
from sandbox.screen import Screen
from sandbox.signals import Signals, StoppedError
from sandbox.world import HOST, MIGRATIONS, SEEDS, Ports, WorldError

START_SECONDS_MAX = 30.0
WATCH_SECONDS = 0.25
WEBHOOK_LEAD_SECONDS = 0.05  # as a gateway's webhook follows the answer, and does not overtake it
SERVICES = ("app", "gateways", "engine")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run."""

    ports: Ports = field(default_factory=Ports)
    database_url: str | None = None
    without: frozenset[str] = frozenset()
    demo: bool = True
    state: Path = world.STATE

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def database(self) -> Database:
        return (
            External(self.database_url) if self.database_url else Embedded(self.state / "postgres")
        )


class Supervisor:
    """Runs one plan, once."""

    def __init__(self, plan: Plan, screen: Screen) -> None:
        self.plan = plan
        self.screen = screen
        self.signals = Signals()
        self.database = plan.database()
        self.processes: list[Process] = []

    def run(self) -> None:
        """Run until told to stop. Raises the error of whatever went wrong, with nothing left."""
        with self.signals.caught():
            try:
                with alone(self.plan.state):
                    self._run()
            except StoppedError:
                self.screen.say("stopped; the data stay until `make reset`")

    def _run(self) -> None:
        self.plan.logs.mkdir(parents=True, exist_ok=True)
        failure = None
        try:
            self._start()
            if self.plan.demo and not self.plan.without:
                failure = self._play()
            summary.show(self.screen, self.plan.ports, self.database.shown, self.plan.state)
            if failure:
                self.screen.say(f"\n  {failure}")
            self._watch()
        except StoppedError:
            self.screen.say("\nstopping ...")
            self._stop()
            if failure:
                raise failure from None
            raise
        finally:
            self._stop()

    def _start(self) -> None:
        self._check_ports()
        started = time.monotonic()
        self.screen.head("Munim's sandbox starts")
        # These two need no database to start, so they do while Postgres does.
        app = self._launch(app_service(self.plan.ports))
        gateways = self._launch(gateways_service(self.plan.ports, self.plan.state))
        with self.screen.step("database") as step, self.signals.shielded():
            self.database.start()
            step.result = self.database.about
        self._migrate()
        engine = self._launch(engine_service(self.plan.ports, self.database.url))
        for process in (engine, gateways, app):
            if process is not None:
                self._await(process)
        running.note(self.plan.state, Running(self.plan.ports, self.database.url))
        self.screen.pair("ready", f"in {time.monotonic() - started:.1f} s")

    def _check_ports(self) -> None:
        wanted = {
            "app": ("APP_PORT", self.plan.ports.app),
            "gateways": ("GATEWAYS_PORT", self.plan.ports.gateways),
            "engine": ("HASURA_PORT", self.plan.ports.hasura),
        }
        for service, (variable, port) in wanted.items():
            if service not in self.plan.without and is_taken(port):
                raise WorldError(
                    f"port {port} is taken, and {service} needs it: "
                    f"free it, or choose another with {variable}=<port>"
                )

    def _launch(self, service: Service) -> Process | None:
        if service.name in self.plan.without:
            return None
        process = Process(service, self.plan.logs)
        with self.signals.shielded():
            self.processes.append(process)
            process.start()
        return process

    def _migrate(self) -> None:
        with self.screen.step("migrations") as step:
            done = migrations.apply(self.database.url, MIGRATIONS, report=lambda _: None)
            step.result = f"{len(done)} applied" if done else "nothing new"
        with self.screen.step("seeds") as step:
            step.result = f"{len(seeds.apply(self.database.url, SEEDS))} applied"

    def _await(self, process: Process) -> None:
        service = process.service
        with self.screen.step(service.name) as step:
            process.wait_until_well(START_SECONDS_MAX)
            step.result = f"answers at http://localhost:{service.port}"

    def _play(self) -> demo.DemoError | None:
        """Play the payment. A failure is kept for later: the sandbox stays up to be looked at."""
        try:
            demo.play(self.plan.ports, self.screen, self.plan.logs)
        except demo.DemoError as failure:
            self._check()
            return failure
        return None

    def _watch(self) -> None:
        # The signal of a closed terminal goes to the leader of its session, which may be make, and
        # make does not always pass it on.
        while not self.screen.is_closed:
            self._check()
            time.sleep(WATCH_SECONDS)
        raise StoppedError

    def _check(self) -> None:
        for process in self.processes:
            process.check()
        self.database.check()

    def _stop(self) -> None:
        """Stop in the order in which the parts need each other: app, gateways, engine, Postgres."""
        self.signals.ignore()
        running.forget(self.plan.state)
        for process in self.processes:
            process.stop()
        self.database.stop()


def app_service(ports: Ports) -> Service:
    server = ("-m", "waitress", f"--listen={HOST}:{ports.app}", "--threads=32")
    # Hasura alone may keep as many connections as waitress takes by default.
    arguments = (*server, "--connection-limit=1000", "app.wsgi:app")
    return Service("app", arguments, world.app_environment(ports), ports.app)


def gateways_service(ports: Ports, state: Path) -> Service:
    options = {
        "--host": HOST,
        "--port": str(ports.gateways),
        "--state": str(state / "gateways"),
        "--public-url": ports.gateways_url,
        "--lead": str(WEBHOOK_LEAD_SECONDS),
    }
    words = [word for pair in options.items() for word in pair]
    for gateway, (key, secret) in world.SIMULATED.items():
        words += ["--webhook", f"{gateway}=http://{HOST}:{ports.app}/{gateway}-webhook"]
        words += ["--secret", f"{gateway}={secret}", "--key", f"{gateway}={key}"]
        for kind in world.SUBSCRIBED.get(gateway, ()):
            words += ["--event", f"{gateway}={kind}"]
    key = f"{world.EVENTBRIDGE_ACCESS_KEY_ID}:{world.EVENTBRIDGE_SECRET_ACCESS_KEY}"
    words += ["--key", f"eventbridge={key}", "--secret", f"eventbridge={world.EVENTS_SECRET}"]
    return Service("gateways", ("-m", "sandbox.gateways", *words), {}, ports.gateways)


def engine_service(ports: Ports, database_url: str, metadata: Path = world.METADATA) -> Service:
    """Hand the database's address over by the environment, as it holds a password."""
    place = ("--host", HOST, "--port", str(ports.hasura))
    arguments = ("-m", "sandbox.engine", "--metadata", str(metadata), *place)
    environment = world.engine_environment(ports, database_url)
    return Service("engine", arguments, environment, ports.hasura)


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the state for ourselves. Raises WorldError when another sandbox, or a reset, has it."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "another"
            raise WorldError(
                f"the sandbox already runs here, as process {owner}: stop it with Ctrl-C first"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_taken(port: int) -> bool:
    """Say whether somebody listens on a port, on this address or on all of them."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((HOST, port)) == 0:
            return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
