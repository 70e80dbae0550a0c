"""The load: so many clients on connections that stay open, each with one request on its way.

One process, plain sockets and one poll for all of them, so that it takes little of the machine's
cores. Every answer is looked at: a status other than 200, an error or a missing mark is a failure.
Reads one job a line from its input and writes one result a line; both are JSON.
"""

from __future__ import annotations

import gc
import json
import random
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

from race import requests
from race.workloads import named

LONGEST_ANSWER_S = 10.0


@dataclass(slots=True)
class Client:
    """One connection, and when its request was sent."""

    connection: socket.socket
    sent_at: int = 0
    received: bytes = b""


@dataclass(slots=True)
class Run:
    """The requests to send in turn, and what came of them."""

    prepared: list[bytes]
    marker: bytes
    at: int = 0
    failures: int = 0
    failure: str = ""
    latencies: list[int] = field(default_factory=list)

    def send(self, client: Client) -> None:
        self.at = (self.at + 1) % len(self.prepared)
        client.received = b""
        client.sent_at = time.perf_counter_ns()
        client.connection.send(self.prepared[self.at])

    def receive(self, client: Client) -> bool:
        """Take what has come. Returns whether the answer is whole."""
        part = client.connection.recv(262_144)
        client.received = client.received + part if client.received else part
        if part and not is_whole(client.received):
            return False
        self.latencies.append(time.perf_counter_ns() - client.sent_at)
        answer = client.received
        good = answer.startswith(b"HTTP/1.1 200") and self.marker in answer
        if not good or b'"errors":' in answer:
            self.failures += 1
            self.failure = self.failure or answer[-300:].decode(errors="replace")
            if not part:
                raise ConnectionError(f"the server closed the connection: {self.failure}")
        return True


def is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[:end].lower()
    start = head.find(b"content-length:")
    if start < 0:
        return answer.endswith(b"0\r\n\r\n")
    stop = head.find(b"\r\n", start)
    length = head[start + 15 : stop if stop >= 0 else end]
    return len(answer) >= end + 4 + int(length)


def drive(port: int, clients: int, seconds: float, run: Run) -> float:
    """Keep every client busy for so long, then wait for the last answers. Returns the time."""
    poll = selectors.DefaultSelector()
    everybody = [Client(_connect(port)) for _ in range(clients)]
    for client in everybody:
        poll.register(client.connection, selectors.EVENT_READ, client)
    started = time.perf_counter()
    try:
        for client in everybody:
            run.send(client)
        waiting = clients
        while waiting:
            waiting -= _turn(poll, run, started + seconds)
        return time.perf_counter() - started
    finally:
        for client in everybody:
            client.connection.close()
        poll.close()


def _turn(poll: selectors.BaseSelector, run: Run, end: float) -> int:
    """Take what has come, and ask again until the end. Returns how many clients are done."""
    ready = poll.select(LONGEST_ANSWER_S)
    if not ready:
        raise TimeoutError(f"no answer in {LONGEST_ANSWER_S} seconds")
    done = 0
    for key, _ in ready:
        if not run.receive(key.data):
            continue
        if time.perf_counter() < end:
            run.send(key.data)
        else:
            done += 1
    return done


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=LONGEST_ANSWER_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def percentile(ordered: list[int], share: float) -> float:
    """Return the value in milliseconds below which so large a share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6


def measure(job: dict[str, object]) -> dict[str, object]:
    workload = named(str(job["workload"]))
    peer = str(job["peer"])
    prepared = requests.prepare(workload, peer, random.Random(int(str(job["seed"]))))
    run = Run(prepared, requests.marker(workload, peer))
    busy = time.process_time()
    seconds = drive(
        int(str(job["port"])), int(str(job["clients"])), float(str(job["seconds"])), run
    )
    ordered = sorted(run.latencies)
    return {
        "rate": len(ordered) / seconds,
        "p50": percentile(ordered, 0.5),
        "p99": percentile(ordered, 0.99),
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
