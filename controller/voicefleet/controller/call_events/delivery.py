"""Tells the receivers of a region's call events: one replica at a time, each event at least once, each call in order.

A receiver that hangs or fails holds up neither another receiver nor anything else of the controller. What is not told
yet is in Redis: a killed replica, an outage of Redis or of a receiver delays events and loses none, up to the
receiver's `give_up_after_s` and to `MOST_EVENTS` that wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.call_events.event_queue import LEASE_TTL_MS, START, EventQueue, Place
from voicefleet.controller.call_events.outbox import Entry, Outbox
from voicefleet.controller.call_events.sender import Answer, Sender
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.call_events import ReceiverSettings
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import KeyedTasks, cancel_and_wait

LOOK_EVERY_S = 0.25
MOST_READ = 2_000
"""Events in memory for one receiver."""
LEASE_EVERY_S = 2.0
WANT_EVERY_S = 60.0
TRIM_EVERY_S = 30.0

log = get_logger(__name__)


class Delivery:
    """Tells one receiver, while this replica has the region's lease."""

    def __init__(self, region: Region, queue: EventQueue, receiver: ReceiverSettings, sender: Sender) -> None:
        self._region = region
        self._queue = queue
        self._receiver = receiver
        self._sender = sender
        self._outbox = Outbox(at_once=receiver.at_once, give_up_after_s=receiver.give_up_after_s)
        self._sending = KeyedTasks[Place](self._failed)
        self._open: deque[Place] = deque()
        """Read and not known to Redis as settled below `upto`, in the order of the stream."""
        self._settled: set[Place] = set()
        self._unsaved: set[Place] = set()
        self._read_to = START
        self._logged_failing = False
        self.upto: Place | None = None
        """Up to where all is settled; None: not known yet."""

    async def run(self) -> None:
        """Tell until cancelled."""
        try:
            while True:
                await self.once()
                await self._region.clock.sleep(LOOK_EVERY_S)
        finally:
            await self._sending.cancel_and_wait()
            self._show(0, None)

    async def once(self) -> None:
        """Read what is new, send what is due, remember what was settled."""
        region, outbox = self._region, self._outbox
        try:
            if self.upto is None:
                self.upto, ahead = await self._queue.place(self._receiver.name)
                self._read_to, self._settled = self.upto, set(ahead)
            while outbox.waiting < MOST_READ and len(self._open) < 2 * MOST_READ:
                found = await self._queue.read(self._read_to, MOST_READ)
                self._take(found)
                if len(found) < MOST_READ:
                    break
            await self._save()
        except UnknownStateError as error:
            region.reads.failed("call_events", error)
            return
        region.reads.succeeded("call_events")
        for entry in outbox.take(region.clock.monotonic()):
            self._sending.start(entry.place, lambda entry=entry: self._send(entry))  # type: ignore[misc]
        self._show(outbox.waiting, outbox.oldest_ms())

    def _take(self, found: list[Entry | Place]) -> None:
        wanted: list[Entry] = []
        for item in found:
            place = item.place if isinstance(item, Entry) else item
            self._read_to = place
            self._open.append(place)
            if place in self._settled:
                continue
            if isinstance(item, Entry) and item.event.type in self._receiver.events:
                wanted.append(item)
            else:
                self._settled.add(place)
        self._outbox.add(wanted)

    async def _send(self, entry: Entry) -> None:
        region, name, event = self._region, self._receiver.name, entry.event
        answer, detail = await self._sender.send(event)
        count = region.metrics.counters[catalogue.CALL_EVENTS]
        if answer is Answer.TAKEN:
            self._outbox.told(entry)
            count.labels(region.name, name, "delivered").inc()
            if self._logged_failing:
                self._logged_failing = False
                log.info("the receiver takes call events again", region=region.name, receiver=name)
        else:
            age_s = region.clock.wall().timestamp() - event.at_ms / 1000
            given_up = self._outbox.failed(entry, region.clock.monotonic(), age_s)
            count.labels(region.name, name, "given_up" if given_up else answer.value).inc()
            if given_up:
                log.error("call event given up", region=region.name, receiver=name, id=event.id, detail=detail)
            elif self._outbox.failing and not self._logged_failing:
                self._logged_failing = True
                log.warning("the receiver takes no call events", region=region.name, receiver=name, detail=detail)
            if not given_up:
                return
        self._settled.add(entry.place)
        self._unsaved.add(entry.place)

    async def _save(self) -> None:
        """Have Redis know what is settled. What it does not learn is told again by the next one, with the same id."""
        upto, passed = self.upto or START, []
        for place in self._open:
            if place not in self._settled:
                break
            upto = place
            passed.append(place)
        if not passed and not self._unsaved:
            return
        ahead = [place for place in self._unsaved if place > upto]
        await self._queue.settle(self._receiver.name, upto, ahead, passed)
        self._unsaved.difference_update(ahead, passed)
        self._settled.difference_update(passed)
        for _ in passed:
            self._open.popleft()
        self.upto = upto

    def _show(self, waiting: int, oldest_ms: int | None) -> None:
        region, labels = self._region, (self._region.name, self._receiver.name)
        age_s = 0.0 if oldest_ms is None else max(0.0, region.clock.wall().timestamp() - oldest_ms / 1000)
        region.metrics.gauges[catalogue.CALL_EVENTS_WAITING].labels(*labels).set(waiting)
        region.metrics.gauges[catalogue.CALL_EVENTS_OLDEST].labels(*labels).set(age_s)

    def _failed(self, place: Place, error: BaseException) -> None:
        log.error("sending a call event failed", region=self._region.name, exc_info=error)


class Deliveries:
    """Tells all receivers of one region's events, while this replica has its lease."""

    def __init__(self, region: Region, queue: EventQueue, receivers: tuple[ReceiverSettings, ...]) -> None:
        self._region = region
        self._queue = queue
        self._receivers = receivers
        self._wanted_s = self._trimmed_s = -WANT_EVERY_S

    async def run(self) -> None:
        """Stand by, and tell when it is our turn, until cancelled."""
        try:
            while True:
                if await self._ours():
                    await self._deliver()
                await self._region.clock.sleep(LEASE_EVERY_S)
        finally:
            with contextlib.suppress(UnknownStateError):
                await self._queue.lease(0)

    async def _ours(self) -> bool:
        clock = self._region.clock
        try:
            if clock.monotonic() - self._wanted_s >= WANT_EVERY_S:
                await self._queue.want(bool(self._receivers))
                self._wanted_s = clock.monotonic()
            return bool(self._receivers) and await self._queue.lease()
        except UnknownStateError as error:
            self._region.reads.failed("call_events", error)
            return False

    async def _deliver(self) -> None:
        """Tell all receivers until the lease is lost, or was not renewed in time."""
        clock = self._region.clock
        async with contextlib.AsyncExitStack() as stack:
            deliveries = [
                Delivery(
                    self._region,
                    self._queue,
                    receiver,
                    await stack.enter_async_context(Sender(receiver, clock)),
                )
                for receiver in self._receivers
            ]
            tasks = [asyncio.create_task(delivery.run()) for delivery in deliveries]
            stack.push_async_callback(cancel_and_wait, tasks)
            until_s = clock.monotonic() + LEASE_TTL_MS / 1000
            while clock.monotonic() < until_s and not any(task.done() for task in tasks):
                await clock.sleep(LEASE_EVERY_S)
                asked_s = clock.monotonic()
                if await self._ours():
                    until_s = asked_s + LEASE_TTL_MS / 1000
                await self._trim(deliveries)
            for task in tasks:
                if task.done():
                    task.result()

    async def _trim(self, deliveries: list[Delivery]) -> None:
        clock = self._region.clock
        places = [delivery.upto for delivery in deliveries if delivery.upto is not None]
        if len(places) < len(deliveries) or clock.monotonic() - self._trimmed_s < TRIM_EVERY_S:
            return
        self._trimmed_s = clock.monotonic()
        with contextlib.suppress(UnknownStateError):
            await self._queue.trim(min(places))
