"""What runs beside the requests: sending webhooks and firing timers."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from sandbox.faults import Kind
from sandbox.gateways.server.deliveries import Attempt, Delivery, Outbox, patient_wait
from sandbox.gateways.server.posting import Post, Poster, PostError
from sandbox.gateways.server.simulator import Postman, Signed, Simulator
from sandbox.gateways.server.state import Store

LOG = logging.getLogger("sandbox.gateways")
AT_ONCE = 8
TICK = 0.25  # seconds: how late a timer or a retry may be
PATIENCE = 20.0  # seconds an endpoint has to answer
NOT_THE_SECRET = "wrong-on-purpose"  # noqa: S105  # it opens nothing


class Worker:
    """Sends what is due, several at a time, and never twice at once.

    `lead` is how many seconds a webhook stays behind what made it: a real gateway's hardly ever
    overtakes the answer to the call that it tells of.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        simulators: Mapping[str, Simulator],
        poster: Post | None = None,
        *,
        lead: float = 0.0,
    ) -> None:
        self.store = store
        self.outbox = outbox
        self.simulators = simulators
        self._wake = asyncio.Event()
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._poster = poster or Poster()
        self.lead = lead
        outbox.on_post = self._wake_later if lead else self.wake

    def wake(self) -> None:
        """Look at the queue now; for new work and for a moved clock."""
        self._wake.set()

    def _wake_later(self) -> None:
        asyncio.get_running_loop().call_later(self.lead, self.wake)

    async def send_all(self) -> None:
        """Wait until everything that is due has been tried, which is begun now.

        Nothing stays behind any more: whoever waits for it has the answers to their calls.
        """
        while self.outbox.has_due():
            self._send_due(lead=0.0)
            await asyncio.wait(self._sending.values(), return_when=asyncio.FIRST_COMPLETED)

    def catch_up(self) -> None:
        """Fire all that is due now, before anybody asks; for a moved clock."""
        while self._fire_timers():
            continue
        self.wake()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                self._wake.clear()
                self._fire_timers()
                self._send_due(self.lead)
                await self._rest()
        finally:
            for task in self._sending.values():
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)
            await self._poster.close()

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), TICK)
        except TimeoutError:
            return

    def _fire_timers(self) -> int:
        """Fire some of what is due, and tell how many of them did what they were set for."""
        fired = 0
        for timer in self.store.due_timers():
            simulator = self.simulators.get(timer.gateway)
            if simulator is None:
                continue
            try:
                with self.store.transaction():
                    self.store.db.execute(
                        "delete from timers where gateway = ? and kind = ? and subject = ?",
                        (timer.gateway, timer.kind, timer.subject),
                    )
                    simulator.on_timer(timer.kind, timer.subject)
                fired += 1
            except Exception:
                LOG.exception("timer %s of %s failed", timer.kind, timer.subject)
        return fired

    def _send_due(self, lead: float) -> None:
        room = AT_ONCE - len(self._sending)
        if room <= 0:
            return
        for delivery in self.outbox.due(AT_ONCE + room, lead):
            if delivery.id not in self._sending and len(self._sending) < AT_ONCE:
                task = asyncio.create_task(self._deliver(delivery))
                self._sending[delivery.id] = task

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self.send(delivery)
        except Exception:
            LOG.exception("delivery %s failed", delivery.id)
        finally:
            self._sending.pop(delivery.id, None)
            self.wake()

    async def send(self, delivery: Delivery) -> Attempt | None:
        """Make one attempt and record it. None when the endpoint no longer exists."""
        signed = self._sign(delivery)
        if signed is None:
            self.outbox.abandon(delivery)
            return None
        attempt = await self._post(delivery.parcel.url, signed)
        self.outbox.record(delivery, attempt, self._wait(delivery))
        return attempt

    def _wait(self, delivery: Delivery) -> float | None:
        """Tell how long the gateway waits after a try that failed."""
        simulator, now = self.simulators[delivery.parcel.gateway], self.store.exact_now()
        if isinstance(simulator, Postman):
            return simulator.wait(delivery, now)
        return patient_wait(delivery, now)

    async def _post(self, url: str, signed: Signed) -> Attempt:
        try:
            status, text = await self._poster.post(url, signed.headers, signed.body, PATIENCE)
        except PostError as error:
            return Attempt(signed.headers, error=str(error))
        return Attempt(signed.headers, status=status, answer=text[:500])

    def _sign(self, delivery: Delivery) -> Signed | None:
        """Sign with a fresh timestamp of the simulated clock, by which receivers go, too."""
        parcel = delivery.parcel
        simulator = self.simulators.get(parcel.gateway)
        secrets = simulator.secrets(parcel.endpoint) if simulator else []
        if simulator is None or not secrets:
            return None
        fault = delivery.bad_signature()
        if fault and fault["kind"] == Kind.WRONG_SIGNATURE:
            secrets = [NOT_THE_SECRET]
        stamp = int(self.store.exact_now() + _skew(fault))
        signed = simulator.sign(parcel.body, secrets, stamp)
        if isinstance(simulator, Postman):
            signed.headers.update(simulator.envelope(delivery))
        return signed


def _skew(fault: dict[str, Any] | None) -> float:
    if fault and fault["kind"] == Kind.STALE:
        return -float(fault["seconds"])
    if fault and fault["kind"] == Kind.FUTURE:
        return float(fault["seconds"])
    return 0.0
