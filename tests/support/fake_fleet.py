"""Workers in memory behind `Fleet`, with the reports and orders that `WorkerStore` would keep in Redis.

They start, register, obey orders and end by themselves as time goes on; a test says what befalls one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import WorkerOrder, WorkerReport, WorkerState
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.leader.leadership import Term
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance, InstanceExit, InstanceState, StartupTimestamps
from voicefleet.controller.regions.livekit_view import ListedRooms
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.clock import Clock


@dataclass
class FakeWorker:
    """Attributes:
    rooms: of its calls.
    order_seen: serial number of the last order that it carried out.
    silent_since_s: it does not report any more; None: it does.
    """

    name: str
    began_s: float
    ready_s: float
    slots: int
    rooms: list[str] = field(default_factory=list)
    cordoned: bool = False
    order_seen: int = 0
    stopping: bool = False
    silent_since_s: float | None = None


@dataclass
class FakeCalls:
    """The calls that every scan shows."""

    snapshot: Snapshot = field(default_factory=lambda: Snapshot(0, (), ()))
    away: bool = False
    """Redis does not answer."""

    async def scan(self) -> Snapshot:
        if self.away:
            raise UnknownStateError("Redis did not answer")
        return self.snapshot


async def take_over_calls(region: Region) -> None:
    """What the scan of the calls and the listing of the rooms would keep known."""
    await region.scans.scan()
    region.listed = ListedRooms(frozenset(), region.clock.monotonic(), region.scans.failures)


class FakeFleet:
    """The fleet and the store of one pool. `starts_in_s` is how long a worker takes until it is ready."""

    def __init__(self, clock: Clock, *, slots: int, starts_in_s: float = 3.0) -> None:
        self._clock = clock
        self._slots = slots
        self._made = 0
        self._exits: list[InstanceExit] = []
        self.starts_in_s = starts_in_s
        self.workers: dict[str, FakeWorker] = {}
        self.away = False
        """The owner of the instances does not answer."""
        self.is_rolling = False
        self.scaled: list[tuple[int, tuple[str, ...]]] = []
        """Of each call of `scale` that asks for something: starts and victims."""
        self.scale_calls = 0
        self.holds_back = False
        """It starts none now, as after failed starts."""
        self.said_registered: set[str] = set()
        self.tries_again = 0
        self.store = FakeWorkerStore(clock, self.workers)

    def add(self, rooms: Sequence[str] = (), *, ready: bool = True) -> FakeWorker:
        """One more worker; a ready one has been there for long."""
        self._made += 1
        name, now_s = f"w{self._made}", self._clock.monotonic()
        began_s, ready_s = (now_s - 99.0, now_s - 96.0) if ready else (now_s, now_s + self.starts_in_s)
        worker = self.workers[name] = FakeWorker(name, began_s, ready_s, self._slots, list(rooms))
        return worker

    def crash(self, name: str, *, sure: bool = True) -> None:
        """It ends, and nobody told it to."""
        del self.workers[name]
        self._exits.append(InstanceExit(name, asked=False, detail="killed by signal 9", sure=sure))

    async def instances(self) -> tuple[Instance, ...]:
        if self.away:
            raise UnknownStateError("no API server")
        now_s = self._clock.monotonic()
        return tuple(
            Instance(
                w.name,
                InstanceState.STOPPING if w.stopping else InstanceState.RUNNING,
                now_s - w.began_s,
                startup=StartupTimestamps(made_s=w.began_s, asked_s=w.began_s - 1.0),
            )
            for w in self.workers.values()
        )

    async def scale(self, start: int, victims: Sequence[str]) -> None:
        if self.away:
            raise UnknownStateError("no API server")
        self.scale_calls += 1
        if start or victims:
            self.scaled.append((start, tuple(victims)))
        for name in victims:
            self.workers[name].stopping = True
        for _ in range(0 if self.holds_back else start):
            self.add(ready=False)

    def rolling(self) -> bool:
        return self.is_rolling

    def exits(self) -> tuple[InstanceExit, ...]:
        for worker in [w for w in self.workers.values() if w.stopping and not w.rooms]:
            del self.workers[worker.name]
            self._exits.append(InstanceExit(worker.name, asked=True, detail="exited with 0"))
        gone, self._exits = tuple(self._exits), []
        return gone

    async def responds(self, worker: str, port: int) -> bool | None:
        return worker in self.workers and self.workers[worker].silent_since_s is None

    async def kill(self, worker: str) -> None:
        self.crash(worker)

    def access_ends_s(self) -> float | None:
        return None

    def registered(self, workers: Collection[str]) -> None:
        self.said_registered |= set(workers)

    def try_again(self) -> None:
        self.tries_again += 1

    def trouble(self) -> str:
        return ""

    async def close(self) -> None:
        pass


class FakeWorkerStore:
    """Reports and orders of `workers`, who obey an order before they report."""

    def __init__(self, clock: Clock, workers: dict[str, FakeWorker]) -> None:
        self._clock = clock
        self._workers = workers
        self._serial = 0
        self._kept: dict[str, WorkerReport] = {}
        """Reports of workers that ended, until they are forgotten."""
        self.lost: set[str] = set()
        """Workers whose report Redis lost."""
        self.standing: dict[str, WorkerOrder] = {}
        self.orders: list[tuple[str, bool]] = []
        """Worker and cordon of each, in turn."""
        self.terms: list[Term | None] = []
        """Of each order, and of each beginning of a term."""
        self.requested: set[str] = set()
        self.forgotten: set[str] = set()
        self.away = False
        """Redis does not answer."""

    async def read(self) -> dict[str, Reported]:
        self._check()
        now_s = self._clock.monotonic()
        for worker in self._workers.values():
            order = self.standing.get(worker.name)
            if order is not None and worker.silent_since_s is None and now_s >= worker.ready_s:
                worker.cordoned, worker.order_seen = order.cordon, order.serial
                worker.stopping = worker.stopping or order.leave
            self._kept[worker.name] = self._report(worker, now_s)
        return {
            name: Reported(report, self._silent_s(name, now_s), self.standing.get(name))
            for name, report in self._kept.items()
            if name not in self.lost and (name not in self._workers or now_s >= self._workers[name].ready_s)
        }

    async def order(
        self, worker: str, *, cordon: bool, after: int, leave: bool = False, term: Term | None = None
    ) -> None:
        self._check()
        self._serial = max(self._serial, after) + 1
        self.standing[worker] = WorkerOrder(self._serial, cordon=cordon, leave=leave)
        self.orders.append((worker, cordon))
        self.terms.append(term)

    async def enter(self, term: Term) -> None:
        self._check()
        self.terms.append(term)

    async def drains(self) -> frozenset[str]:
        self._check()
        return frozenset(self.requested)

    async def forget(self, workers: Iterable[str]) -> None:
        self._check()
        for name in workers:
            self.forgotten.add(name)
            self.requested.discard(name)
            self._kept.pop(name, None)
            self.standing.pop(name, None)

    def _check(self) -> None:
        if self.away:
            raise UnknownStateError("Redis did not answer")

    def _silent_s(self, name: str, now_s: float) -> float:
        since_s = self._workers[name].silent_since_s if name in self._workers else None
        return 0.5 if since_s is None else now_s - since_s

    @staticmethod
    def _report(worker: FakeWorker, now_s: float) -> WorkerReport:
        drains = worker.cordoned or worker.stopping
        return WorkerReport(
            worker.name,
            "eu",
            (WorkerState.DRAINING if drains else WorkerState.READY).value,
            worker.slots,
            len(worker.rooms),
            0,
            uptime_s=now_s - worker.began_s,
            startup_s=worker.ready_s - worker.began_s,
            rooms=list(worker.rooms),
            order_seen=worker.order_seen,
        )


class FakeModelStore:
    """What the last leader learned, in memory."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.away = False

    async def read(self) -> str | None:
        if self.away:
            raise UnknownStateError("Redis did not answer")
        return self.text

    async def write(self, text: str) -> None:
        if self.away:
            raise UnknownStateError("Redis did not answer")
        self.text = text


class FakeCampaignStore:
    """Announced campaigns, in memory; Redis's clock shows `ahead_ms` more than ours."""

    def __init__(self, clock: Clock, ahead_ms: int = 0) -> None:
        self._clock = clock
        self.ahead_ms = ahead_ms
        self.announced: list[CampaignRecord] = []

    async def now_ms(self) -> int:
        return round(self._clock.wall().timestamp() * 1000) + self.ahead_ms

    async def current(self, now_ms: int) -> tuple[CampaignRecord, ...]:
        return tuple(campaign for campaign in self.announced if campaign.end_ms > now_ms)


@dataclass
class FakeLeadership:
    leads: bool = True
    holder: str = ""
    trouble: str = ""
    term: Term | None = None

    def remaining_s(self) -> float:
        return 1.0 if self.leads else 0.0

    async def release(self) -> None:
        self.leads = False
