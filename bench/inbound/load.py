"""The load: race.load's clients, each request a webhook that was not sent before.

Reads one job a line from its input and writes one result a line; both are JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

from race.load import Run, drive

from inbound.messages import Message, prepare


def measure(job: dict[str, Any]) -> dict[str, Any]:
    message = Message(job["path"], job["event"])
    run = Run(prepare(message, job["first"] - 1, job["count"] + 1), job["marker"].encode())
    busy = time.process_time()
    seconds = drive(job["port"], job["clients"], job["seconds"], run)
    sent = len(run.latencies)
    if sent >= job["count"]:
        return {"broken": f"all {job['count']} webhooks that were prepared are used"}
    return {
        "sent": sent,
        "seconds": seconds,
        "latencies_us": [taken // 1000 for taken in run.latencies],
        "failures": run.failures,
        "failure": run.failure,
        "client_cpu": (time.process_time() - busy) / seconds,
    }


def main() -> None:
    gc.disable()  # a pause of the client would count as one of the server
    for line in sys.stdin:
        try:
            result = measure(json.loads(line))
        except OSError as error:
            result = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
