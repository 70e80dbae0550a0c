"""What a soak counts, on disk between its slices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Counters:
    """What was done and found, added up over slices."""

    slices: int = 0
    cycles: int = 0
    seconds: float = 0.0
    promises: int = 0
    charges: int = 0
    slowest_recovery: float = 0.0
    troubles: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def load(self, file: Path) -> None:
        if file.exists():
            for name, value in json.loads(file.read_text(encoding="utf-8")).items():
                setattr(self, name, value)

    def save(self, file: Path) -> None:
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        draft.rename(file)

    def add(self, name: str, more: Mapping[str, int]) -> None:
        before: dict[str, int] = getattr(self, name)
        setattr(self, name, dict(Counter(before) + Counter(more)))

    def __str__(self) -> str:
        return (
            f"{self.slices} slices, {self.cycles} cycles, {self.seconds / 60:.1f} minutes,"
            f" {self.promises} promises, {self.charges} charges,"
            f" slowest recovery {self.slowest_recovery:.1f} s, answers {self.answers},"
            f" {len(self.faults)} faults"
        )
