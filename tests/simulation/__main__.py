"""`python -m simulation`: thousands of simulated payments, judged by the gateways' own books.

Ctrl-C or SIGTERM ends it early and tells what was seen until then. The exit code is 1 where
anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any

import psycopg
from simulation.report import line, table
from simulation.run import Task, Told, work

from sandbox import migrations, seeds, world
from sandbox.postgres import Postgres
from sandbox.screen import Screen
from sandbox.signals import Signals, StoppedError

STOPPING_SECONDS_MAX = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="munim-simulation-") as folder:
        postgres = Postgres(Path(folder) / "postgres", fsync=False)
        try:
            with postgres:
                urls = databases(postgres, options.workers)
                return _play(options, urls, Path(folder))
        finally:
            postgres.destroy()


def databases(postgres: Postgres, count: int) -> list[str]:
    """Make so many databases with the service's schema and seeds in them."""
    migrations.apply(postgres.url, world.MIGRATIONS, report=lambda _: None)
    seeds.apply(postgres.url, world.SEEDS)
    names = [f"simulation_{number}" for number in range(count)]
    with psycopg.connect(postgres.url.rpartition("/")[0] + "/postgres", autocommit=True) as admin:
        for name in names:
            admin.execute(f"create database {name} template munim")
    return [f"{postgres.url.rpartition('/')[0]}/{name}" for name in names]


def _play(options: argparse.Namespace, urls: list[str], folder: Path) -> int:
    context = get_context("spawn")
    queue: Any = context.Queue()
    tasks = _tasks(options, urls, folder)
    workers = [context.Process(target=work, args=(task, queue)) for task in tasks]
    for worker in workers:
        worker.start()
    began, told = time.monotonic(), {task.first: Told(task.first) for task in tasks}
    try:
        with Signals().caught():
            _listen(queue, told, workers, began)
    except StoppedError:
        sys.stdout.write("\nstopping\n")
    finally:
        if not all(one.is_over for one in told.values()):
            _stop(workers)
            _let_end(queue, told, workers)
        for worker in workers:
            worker.join(STOPPING_SECONDS_MAX)
            worker.kill()
    seen = list(told.values())
    sys.stdout.write(table(seen, time.monotonic() - began, options))
    died = [worker.exitcode for worker in workers if worker.exitcode]
    return 1 if died or any(one.faults for one in seen) else 0


def _tasks(options: argparse.Namespace, urls: list[str], folder: Path) -> list[Task]:
    share = -(-options.payments // len(urls))
    return [
        Task(
            seed=options.seed,
            first=number * share,
            payments=min(share, options.payments - number * share),
            wave=options.wave,
            database_url=url,
            folder=folder / f"worker-{number}",
        )
        for number, url in enumerate(urls)
        if number * share < options.payments
    ]


def _listen(queue: Any, told: dict[int, Told], workers: Sequence[Any], began: float) -> None:
    """Tell how it goes, until all is over or a worker has died, and said why.

    Where a line cannot be written over, as in a log, there is one after each wave.
    """
    is_moving, waves = Screen().moves, 0
    while not all(one.is_over for one in told.values()):
        _hear(queue, told)
        if any(worker.exitcode for worker in workers):
            return
        over = sum(one.waves for one in told.values())
        if is_moving or over > waves:
            text = line(list(told.values()), time.monotonic() - began)
            sys.stdout.write(f"\r{text}   " if is_moving else f"{text}\n")
            sys.stdout.flush()
        waves = over


def _hear(queue: Any, told: dict[int, Told], seconds: float = 1.0) -> None:
    with suppress(Empty):
        while True:
            said: Told = queue.get(timeout=seconds)
            told[said.first] = said
            seconds = 0.01


def _stop(workers: Sequence[Any]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.terminate()  # heard twice, after a Ctrl-C, is heard once


def _let_end(queue: Any, told: dict[int, Told], workers: Sequence[Any]) -> None:
    """Wait for what the workers have seen."""
    give_up = time.monotonic() + STOPPING_SECONDS_MAX
    while time.monotonic() < give_up and any(worker.is_alive() for worker in workers):
        _hear(queue, told)
    _hear(queue, told, 0.1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--payments", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, each with a database")
    parser.add_argument("--wave", type=int, default=1000, help="orders that are begun together")
    return parser


if __name__ == "__main__":
    sys.exit(main())
