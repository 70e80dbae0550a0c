"""What a person reads: a line while it runs, a table at its end."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from simulation.run import Told

FAULTS_TOLD = 10
ROWS = (
    *("calls to gateways", "answers lost before the effect", "answers lost after the effect"),
    *("late effects", "webhooks", "webhooks never sent", "webhooks sent twice"),
    *("webhooks answered unheard", "webhooks delayed", "payments taken"),
    *("of them surplus", "refunds sent", "disputes"),
    "refunds made at gateways",
    "payments of orders called off",
    "disputes no webhook told of",
)


def line(told: Sequence[Told], seconds: float) -> str:
    """Write how it goes."""
    begun = sum(one.begun for one in told)
    done = sum(one.payments for one in told)
    days = "+".join(f"{one.days:.1f}" for one in told)
    return (
        f"{done:,} of {begun:,} begun payments over, {done / seconds:.0f}/s,"
        f" {days} virtual days, {sum(one.open for one in told):,} open,"
        f" {sum(len(one.faults) for one in told)} faults"
    )


def table(told: Sequence[Told], seconds: float, options: argparse.Namespace) -> str:
    """Write what was seen, and how to see it again."""
    counts = sum((one.counts for one in told), Counter[str]())
    slowest: dict[str, float] = {}
    for one in told:
        for name, hours in one.slowest.items():
            slowest[name] = max(hours, slowest.get(name, 0))
    done = sum(one.payments for one in told)
    faults = [fault for one in told for fault in one.faults]
    lines = ["", "", f"{'payments':<38}{done:>12,}", f"{'seconds':<38}{seconds:>12,.0f}"]
    lines += [f"{'payments a second':<38}{done / seconds:>12,.1f}"]
    lines += [f"{'virtual days':<38}{sum(one.days for one in told):>12,.0f}"]
    lines += [f"{name:<38}{counts[name]:>12,}" for name in ROWS]
    lines += [f"{f'slowest {name}, hours':<38}{slowest[name]:>12,.1f}" for name in sorted(slowest)]
    lines += [f"{'faults':<38}{len(faults):>12,}", *_told(faults), ""]
    if any(one.is_stopped for one in told):
        lines.append("Stopped before its end; waves that were not over are not judged.")
    again = f"PAYMENTS={options.payments} SEED={options.seed}"
    again += f" ARGS='--wave {options.wave} --workers {options.workers}'"
    return "\n".join([*lines, f"Again: make sim-payments {again}", ""])


def _told(faults: Sequence[str]) -> list[str]:
    """Tell the first in full, and of how many others nothing is told."""
    told = [f"  {fault}" for fault in faults[:FAULTS_TOLD]]
    if len(faults) > FAULTS_TOLD:
        told.append(f"  and {len(faults) - FAULTS_TOLD} more")
    return told
