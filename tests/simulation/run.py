"""One run: waves after waves in one database, judged after each, told as it goes."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulation import dice
from simulation.dice import Fates
from simulation.judge import Judge
from simulation.town import Town, open_town
from simulation.wave import LENGTH, Wave

from sandbox.signals import STOPPING

TOLD_EVERY_SECONDS = 2.0
LOOKS_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Task:
    """A worker's part: the orders from `first` on, in waves."""

    seed: int
    first: int
    payments: int
    wave: int
    database_url: str
    folder: Path


@dataclass
class Told:
    """What a worker has seen so far."""

    first: int
    payments: int = 0  # of waves that are over
    begun: int = 0
    waves: int = 0
    days: float = 0.0  # of virtual time
    open: int = 0  # attempts and refunds that have not ended
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)  # hours
    is_stopped: bool = False
    is_over: bool = False


Tell = Callable[[Told], None]


class StoppedError(Exception):
    """Somebody wants no more of it."""


@dataclass
class Run:
    """Plays one task. What is told is complete at any moment, so that a run may be stopped."""

    task: Task
    tell: Tell
    said: Told = field(init=False)
    _told_at: float = 0.0
    _is_to_stop: bool = False

    def __post_init__(self) -> None:
        self.said = Told(self.task.first)

    def play(self) -> Told:
        """Play all waves. Stopped, it answers what it has seen."""
        fates = Fates(random.Random(f"{self.task.seed}/fates/{self.task.first}"))
        try:
            with open_town(self.task.database_url, self.task.folder, fates) as town:
                self._waves(town, fates)
                self._count(fates)
        except StoppedError:
            self.said.is_stopped = True
        self.said.is_over = True
        self.tell(self.said)
        return self.said

    def stop(self, *_: object) -> None:
        """End at the next moment, between two things that the service does."""
        self._is_to_stop = True

    def _waves(self, town: Town, fates: Fates) -> None:
        judge = Judge(town)
        first, end = self.task.first, self.task.first + self.task.payments
        for number in range(first, end, self.task.wave):
            plans = [
                dice.plan(self.task.seed, each)
                for each in range(number, min(number + self.task.wave, end))
            ]
            (since,) = town.sql("select clock_now()::text as now")
            wave = Wave(town, plans, lambda seconds: self._moment(town, fates, seconds))
            self.said.begun += len(plans)
            wave.play()
            self._judged(town, judge, judge.after_wave(since["now"]), wave)
            self.said.payments += len(plans)
            town.database.execute("analyze")  # tables that grow so fast are planned for anew
        self.said.faults += judge.at_the_end()

    def _judged(self, town: Town, judge: Judge, faults: list[str], wave: Wave) -> None:
        said = self.said
        said.waves += 1
        said.faults += faults
        said.faults += [f"{n} times: {text}" for text, n in town.houses.courier.refused.items()]
        said.counts.update(wave.counts)
        said.slowest = dict(judge.slowest)
        said.counts["payments taken"] = judge.charges
        said.counts["of them surplus"] = judge.surplus
        said.counts["refunds sent"] = judge.sent_back
        said.counts["disputes no webhook told of"] = judge.untold
        said.counts["payments of orders called off"] = judge.called_off
        said.counts["refunds made at gateways"] = judge.adopted

    def _moment(self, town: Town, fates: Fates, seconds: int) -> None:
        if self._is_to_stop:
            raise StoppedError
        now = time.monotonic()
        if now - self._told_at < TOLD_EVERY_SECONDS:
            return
        self._told_at = now
        self.said.days = (self.said.waves * LENGTH + seconds) / dice.DAY
        self.said.open = _open(town)
        self._count(fates)
        self.tell(self.said)

    def _count(self, fates: Fates) -> None:
        for name, number in fates.counts.items():
            self.said.counts[name] = number


def _open(town: Town) -> int:
    (row,) = town.sql(
        "select (select count(*) from payment_attempts where next_check_at is not null)"
        " + (select count(*) from refunds where next_check_at is not null) as n"
    )
    return int(row["n"])


def work(task: Task, queue: Any) -> None:
    """Play a task in a process of its own, which hears what stops the command as well.

    It is played beside the thread that hears: there uvloop makes room for signals at every call.
    That thread looks up by itself. Of two signals at once, as a Ctrl-C and the command's own, the
    other thread may take both, and only this one acts on them: it would sleep on.
    """
    run = Run(task, queue.put)
    for number in STOPPING:
        signal.signal(number, run.stop)
    with ThreadPoolExecutor(1) as beside:
        played = beside.submit(run.play)
        while not wait([played], LOOKS_UP_SECONDS).done:
            continue
        played.result()
