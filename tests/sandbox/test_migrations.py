import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from sandbox import migrations
from sandbox.migrations import MigrationError
from sandbox.postgres import Postgres

PATIENCE = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("migrations") / "pg", fsync=False) as postgres:
        yield postgres
    postgres.destroy()


@pytest.fixture
def url(cluster: Postgres) -> Iterator[str]:
    """Give each test a database of its own."""
    ask(cluster.url, "create database one_test")
    yield cluster.url.replace("/munim", "/one_test")
    ask(cluster.url, "drop database one_test with (force)")


def ask(url: str, query: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def write(directory: Path, title: str, sql: str) -> None:
    folder = directory / title
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "up.sql").write_text(sql)


def apply(url: str, directory: Path) -> list[str]:
    return migrations.apply(url, directory, report=lambda _: None)


def test_versions_are_applied_as_numbers_and_only_once(url: str, tmp_path: Path) -> None:
    write(tmp_path, "10_second", "insert into t values (10)")
    write(tmp_path, "9_first", "create table t (n int); insert into t values (9)")

    assert apply(url, tmp_path) == ["9_first", "10_second"]
    assert apply(url, tmp_path) == []
    assert ask(url, "select array_agg(n order by n) from t") == [9, 10]


def test_a_later_migration_is_applied_alone(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_a", "create table a ()")
    apply(url, tmp_path)
    write(tmp_path, "2_b", "create table b ()")

    assert apply(url, tmp_path) == ["2_b"]


def test_what_was_applied_is_recorded_and_reported(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_a", "create table a ()")
    said: list[str] = []
    migrations.apply(url, tmp_path, said.append)
    row = "select version || name || length(sha256) from sandbox_catalog.migrations"

    assert ask(url, row) == "1a64"
    assert len(said) == 1
    assert said[0].startswith("applied 1_a in ")


def test_a_changed_migration_is_refused(url: str, tmp_path: Path) -> None:
    write(tmp_path, "123_x", "create table a ()")
    apply(url, tmp_path)
    write(tmp_path, "123_x", "create table b ()")
    message = "migration 123_x changed since this database was made: run make reset"
    with pytest.raises(MigrationError, match=message):
        apply(url, tmp_path)


def test_the_ends_of_lines_of_another_system_are_no_change(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_a", "create table a\n();\n")
    apply(url, tmp_path)
    (tmp_path / "1_a" / "up.sql").write_bytes(b"create table a\r\n();\r\n")

    assert apply(url, tmp_path) == []


def test_a_failing_migration_leaves_nothing_and_names_its_line(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_good", "create table good ()")
    write(tmp_path, "2_bad", "create table bad ();\n-- é\nselect 1;\n\ncreate table x (n nosuch);")
    with pytest.raises(MigrationError) as failure:
        apply(url, tmp_path)

    assert str(failure.value) == '2_bad/up.sql:5: type "nosuch" does not exist'
    assert ask(url, "select to_regclass('good') is not null and to_regclass('bad') is null")
    assert ask(url, "select count(*) from sandbox_catalog.migrations") == 1


def test_a_refused_row_is_told_with_its_detail(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_a", "create table a (n int unique); insert into a values (1), (1);")
    with pytest.raises(MigrationError, match=r"^1_a/up.sql: duplicate key .* already exists\.\)$"):
        apply(url, tmp_path)


def test_a_setting_of_one_migration_does_not_reach_the_next(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_a", "create schema aside; set search_path = aside; create table a ();")
    write(tmp_path, "2_b", "create table b ()")
    apply(url, tmp_path)

    assert ask(url, "select to_regclass('aside.a') is not null")
    assert ask(url, "select to_regclass('public.b') is not null")


def test_two_runners_at_once_take_turns(url: str, tmp_path: Path) -> None:
    write(tmp_path, "1_slow", "create table a (); select pg_sleep(0.3);")
    outcomes: list[list[str]] = []
    runners = [
        threading.Thread(target=lambda: outcomes.append(apply(url, tmp_path))) for _ in range(3)
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()

    assert sorted(outcomes) == [[], [], ["1_slow"]]


def test_one_version_with_two_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "1_a", "")
    write(tmp_path, "001_b", "")
    with pytest.raises(MigrationError, match="1_b and 1_a have the same version"):
        migrations.find(tmp_path)


def test_other_files_and_folders_are_not_migrations(tmp_path: Path) -> None:
    write(tmp_path, "notes", "")
    (tmp_path / "README.md").touch()
    (tmp_path / "1_file").touch()

    assert migrations.find(tmp_path) == []


def test_a_folder_without_up_sql_is_an_error(url: str, tmp_path: Path) -> None:
    (tmp_path / "1_empty").mkdir()
    with pytest.raises(MigrationError, match=r"1_empty/up\.sql"):
        apply(url, tmp_path)


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="there is no directory"):
        migrations.find(tmp_path / "none")


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(MigrationError, match=r"127\.0\.0\.1:1/munim cannot be reached") as failure:
        migrations.check("postgresql://postgres:secret@127.0.0.1:1/munim", PATIENCE)

    assert "secret" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_database_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://postgres:x@127.0.0.1:{silent.getsockname()[1]}/munim"
        with pytest.raises(MigrationError, match="no answer in time"):
            migrations.check(url, 0.2)


def test_a_good_database_passes_the_check(url: str) -> None:
    migrations.check(url, PATIENCE)


def test_an_old_database_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(major=13)
    monkeypatch.setattr(asyncpg.Connection, "get_server_version", lambda _: old)
    with pytest.raises(MigrationError, match="is Postgres 13: 14 or newer is needed"):
        migrations.check(url, PATIENCE)
