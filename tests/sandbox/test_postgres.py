import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from ports import free_port

from sandbox import postgres_host
from sandbox.postgres import Postgres, PostgresError

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
PATIENCE = 60.0

# What another program does with a cluster: it says where it is, and then waits to be killed.
OWNER = """
import json, sys, time
from pathlib import Path
from sandbox.postgres import Postgres
postgres = Postgres(Path(sys.argv[1]), fsync=False).start()
print(json.dumps({"url": postgres.url, "process": postgres.process_id}), flush=True)
sys.stdin.read()
postgres.stop()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Postgres]:
    postgres = Postgres(tmp_path / "pg", fsync=False)
    yield postgres
    postgres.destroy()


@contextmanager
def public_folder() -> Iterator[Path]:
    """Make a folder that every user can enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="munim-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask(url: str, query: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())


@contextmanager
def owner(
    directory: Path, **options: Any
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a cluster in another process."""
    python = options.pop("python", sys.executable)
    process = subprocess.Popen(
        [python, "-c", OWNER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        **options,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.communicate()


def is_alive(process_id: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process_id, 0)
        return True
    return False


def wait_until_gone(process_id: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while is_alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(process_id)


def test_a_started_cluster_answers_at_its_url(cluster: Postgres) -> None:
    cluster.start()

    assert ask(cluster.url, "select current_database() || ' ' || current_user") == "munim postgres"


def test_text_is_unicode_and_ordered_by_code_point_and_time_is_utc(cluster: Postgres) -> None:
    cluster.start()

    assert ask(cluster.url, "select upper('é') || ('B' < 'a')") == "Étrue"
    assert ask(cluster.url, "show server_encoding") == "UTF8"
    assert ask(cluster.url, "show timezone") == "UTC"


def test_data_survives_a_restart_and_not_destruction(tmp_path: Path) -> None:
    with Postgres(tmp_path / "pg", fsync=False) as first:
        ask(first.url, "create table kept as select 7 as n")
    with Postgres(tmp_path / "pg", fsync=False) as second:
        kept = ask(second.url, "select n from kept")
        home = second.log.parent
    second.destroy()

    assert kept == 7
    assert not home.exists()
    assert not (tmp_path / "pg").exists()


def test_a_wrong_password_is_refused(cluster: Postgres) -> None:
    cluster.start()

    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(cluster.url.replace("postgres:", "postgres:x"), "select 1")


def test_only_the_owner_can_read_the_password_and_the_data(cluster: Postgres) -> None:
    cluster.start()
    home = cluster.log.parent

    assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_it_listens_on_loopback_alone_and_makes_no_socket_file(cluster: Postgres) -> None:
    cluster.start()

    assert ask(cluster.url, "show listen_addresses") == "127.0.0.1"
    assert ask(cluster.url, "show unix_socket_directories") == ""


def test_two_clusters_run_side_by_side(tmp_path: Path) -> None:
    one, two = (Postgres(tmp_path / name, fsync=False) for name in ("one", "two"))
    with one, two:
        ports = {ask(one.url, "show port"), ask(two.url, "show port")}
    one.destroy()
    two.destroy()

    assert len(ports) == 2


def test_a_taken_port_is_named(cluster: Postgres, tmp_path: Path) -> None:
    cluster.start()
    late = Postgres(tmp_path / "late", port=cluster.port, fsync=False)
    with pytest.raises(PostgresError, match=f"port {cluster.port} is taken by another program"):
        late.start()
    late.destroy()


def test_a_free_port_that_is_lost_meanwhile_is_replaced_by_another(
    cluster: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        lost = other.getsockname()[1]
        ports = iter([lost, free_port()])
        monkeypatch.setattr("sandbox.postgres._free_port", lambda: next(ports))
        monkeypatch.setattr("sandbox.postgres.LOCK_SECONDS_MAX", 0.0)  # as on a slow machine
        cluster.start()

    assert cluster.port != lost
    assert ask(cluster.url, "select 1") == 1


def test_a_cluster_in_use_is_neither_started_again_nor_destroyed(cluster: Postgres) -> None:
    cluster.start()
    again = Postgres(cluster.directory, fsync=False)
    with pytest.raises(PostgresError, match="already exists") as refused:
        again.start()
    with pytest.raises(PostgresError, match="still runs"):
        again.destroy()

    assert "\n" not in str(refused.value)
    assert ask(cluster.url, "select 1") == 1


def test_the_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    with owner(tmp_path / "pg") as (process, server):
        was_alive = is_alive(server["process"])
        process.send_signal(signal.SIGKILL)

    assert was_alive
    assert wait_until_gone(server["process"])
    Postgres(tmp_path / "pg").destroy()


def test_a_killed_server_starts_again_with_its_data(cluster: Postgres) -> None:
    cluster.fsync = True  # without it a commit may be lost
    cluster.start()
    ask(cluster.url, "create table kept as select 7 as n")
    os.kill(cluster.process_id, signal.SIGKILL)
    cluster.stop()
    cluster.start()

    assert ask(cluster.url, "select n from kept") == 7


def test_a_lock_whose_number_another_program_has_now_is_stale(cluster: Postgres) -> None:
    cluster.start()
    lock = cluster.log.parent / "data" / "postmaster.pid"
    text = lock.read_text().splitlines()
    cluster.stop()
    lock.write_text("\n".join([str(os.getpid()), *text[1:]]) + "\n")
    cluster.start()

    assert ask(cluster.url, "select 1") == 1


def test_an_interrupted_first_start_is_begun_again(cluster: Postgres) -> None:
    cluster.start()
    home = cluster.log.parent
    cluster.stop()
    (home / "data").rename(home / "data.draft")
    (home / "data.draft" / "PG_VERSION").unlink()
    cluster.start()

    assert ask(cluster.url, "select 1") == 1


def test_a_cluster_of_another_version_is_not_touched(cluster: Postgres) -> None:
    cluster.start()
    cluster.stop()
    made_by = cluster.log.parent / "data" / "PG_VERSION"
    version = made_by.read_text()
    made_by.write_text("13\n")
    with pytest.raises(PostgresError, match="was made by Postgres 13, but only Postgres 1"):
        cluster.start()
    made_by.write_text(version)


def test_a_missing_postgres_is_explained(
    cluster: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGBIN", str(tmp_path))
    with pytest.raises(PostgresError, match="holds no postgres"):
        cluster.start()

    monkeypatch.delenv("PGBIN")
    monkeypatch.setattr(postgres_host, "WHEELS", ())
    monkeypatch.setattr(postgres_host, "SYSTEM", tmp_path)
    with pytest.raises(PostgresError, match="no Postgres 14 or newer found: pip install"):
        cluster.start()


def test_settings_of_the_environment_do_not_reach_the_server(
    cluster: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    monkeypatch.setenv("LC_MESSAGES", "de_DE.UTF-8")
    cluster.start()

    assert ask(cluster.url, "show port") == str(cluster.port)


@pytest.mark.skipif(not IS_ROOT, reason="only root hands the server to another user")
def test_root_gives_the_server_to_a_user_that_has_no_rights(cluster: Postgres) -> None:
    cluster.start()

    assert Path(f"/proc/{cluster.process_id}").stat().st_uid != 0


@pytest.mark.skipif(
    not IS_ROOT, reason="only root can enter a folder that the server's user cannot"
)
def test_a_private_folder_holds_a_link_to_data_that_the_user_can_reach(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with Postgres(tmp_path / "pg", fsync=False) as postgres:
        home = postgres.log.parent
        link = (tmp_path / "pg" / "home").resolve()
    again = Postgres(tmp_path / "pg")
    again.destroy()

    assert link == home
    assert home.is_relative_to("/var/tmp")
    assert not home.exists()


@pytest.mark.skipif(
    not IS_ROOT, reason="only root can enter a folder that the server's user cannot"
)
def test_binaries_in_a_private_folder_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = postgres_host.choose_account()
    home = tmp_path / "home"
    home.mkdir()
    installed = postgres_host.find_binaries(home, account)
    wheel = installed.parents[1]
    private = tmp_path / "site-packages"
    private.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, private / part.name, symlinks=True)
    monkeypatch.setenv("PGBIN", str(private / installed.relative_to(wheel.parent)))
    postgres = Postgres(tmp_path / "pg", fsync=False)
    with postgres:
        version = ask(postgres.url, "show server_version")
    postgres.destroy()

    assert version.startswith("18")


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_an_ordinary_user_runs_a_cluster_beside_that_of_root(cluster: Postgres) -> None:
    nobody: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("no Python here that an ordinary user may run")
    cluster.start()
    with public_folder() as folder:
        os.chown(folder, 65534, 65534)
        with owner(folder / "pg", python=python, **nobody) as (_, server):
            answer = ask(server["url"], "select 1")
            user = Path(f"/proc/{server['process']}").stat().st_uid

    assert answer == 1
    assert user == 65534
    assert wait_until_gone(server["process"])
