"""What the controller knows of one region right now, shared by its loops and the API. Of a region with `agents` it is
that of one of its pools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from voicefleet.contract.pools import PoolRole, PoolSpec
from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.contract.rooms import served_by_name
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.canary.trial import TierView, TrialView
from voicefleet.controller.health.incident_store import IncidentStore
from voicefleet.controller.health.incidents import Incidents
from voicefleet.controller.health.lost_workers import LostWorkers
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.campaign_store import CampaignStore
from voicefleet.controller.pool.model_store import ModelStore
from voicefleet.controller.pool.worker_store import Reported, WorkerStore
from voicefleet.controller.ports import CallStorePort, DialStorePort, Fleet, LiveKitPort, Participant, Room
from voicefleet.controller.regions.call_scans import CallScans
from voicefleet.controller.regions.livekit_view import CutOff, ListedRooms
from voicefleet.controller.regions.outages import Outages
from voicefleet.controller.regions.pool_view import KnownInstances, PoolView
from voicefleet.controller.regions.read_results import ReadResults
from voicefleet.controller.regions.refusals import Refusals
from voicefleet.controller.regions.report_reads import ReportReads
from voicefleet.controller.regions.reservations import Reservations
from voicefleet.controller.regions.turn_rates import TurnRates
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.tracing import NoTracer, Tracer
from voicefleet.scaling import SupplyState


@dataclass
class Region:
    """One region's parts, and views of its last known state. Unknown is None, or old; it is never zero.

    Each view has one writer, which its docstring names; `tests/unit/controller/test_one_writer.py` holds it to that.
    """

    settings: RegionSettings
    livekit: LiveKitPort
    calls: CallStorePort
    workers: WorkerStore
    models: ModelStore
    campaigns: CampaignStore
    dials: DialStorePort
    fleet: Fleet | None
    clock: Clock
    metrics: Metrics
    tracer: Tracer = field(default_factory=NoTracer)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something changed: look at the queue at once."""
    pool_wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the pool's next pass should not wait."""
    redis: Outages = field(default_factory=Outages)
    scans: CallScans = field(init=False)
    reports: ReportReads = field(init=False)
    reads: ReadResults = field(init=False)
    reservations: Reservations = field(init=False)
    """Tickets whose callers have not joined yet."""
    listed: ListedRooms = field(default_factory=ListedRooms)
    cut_off: CutOff = field(default_factory=CutOff)
    instances: KnownInstances = field(default_factory=KnownInstances)
    pool: PoolView = field(default_factory=PoolView)
    trial: TrialView | None = None
    """The canary that this pool is, or that is tried beside it."""
    tier_trial: TierView | None = None
    """The canary of tiers that is tried in this pool."""
    moved: Callable[[str], Awaitable[bool]] | None = None
    """Of a canary: whether the call in a room went on to the stable version."""
    refusals: Refusals = field(init=False)
    turns: TurnRates = field(default_factory=TurnRates)
    replica: str = ""
    """Name of this controller among its replicas."""
    incident_store: IncidentStore | None = None
    """Where incidents are kept; None: in memory alone."""
    incidents: Incidents = field(init=False)
    """The log of what happened."""
    lost_workers: LostWorkers = field(default_factory=LostWorkers)
    _counted: tuple[object, object, object, tuple[int, int]] | None = field(default=None, init=False, repr=False)
    """What `slots` counted last, and what of."""

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.clock)
        self.incidents = Incidents(self.name, self.incident_store, self.clock, replica=self.replica)
        self.scans = CallScans(self.name, self.calls, self.redis, self.clock, self.metrics)
        self.reports = ReportReads(self.workers, self.clock)
        self.reads = ReadResults(self.name, self.metrics, self.clock)
        self.reservations = Reservations(self.clock)

    @property
    def name(self) -> str:
        """The pool's; that of a region without `agents` is the region's own."""
        return self.settings.name

    @property
    def place(self) -> str:
        """The region that it belongs to, as the settings name it."""
        return self.settings.place.region

    @property
    def spec(self) -> PoolSpec:
        """The pool's bounds now: a canary always has a worker to show what it can, and none once it is rolled back."""
        spec = self.settings.pool_spec
        if self.trial is None or self.settings.role is not PoolRole.CANARY:
            return spec
        if self.trial.decided is Decision.ROLL_BACK:
            return replace(spec, min_workers=0, max_workers=0, fixed=0)
        return replace(spec, min_workers=min(spec.max_workers, max(1, spec.min_workers)))

    def meant_by(self, name: str | None) -> bool:
        """Whether `name` is the pool, or the region that it belongs to; None: any."""
        return name in (None, self.name, self.place)

    def note_change(self) -> None:
        """A worker or a webhook tells of a change. The next reports are read anew, and a call without an agent is
        looked at at once; when there is none, the next look is soon enough."""
        self.reports.note_change()
        snapshot = self.scans.snapshot
        if snapshot is None or len(snapshot.calls) > snapshot.live:
            self.wake.set()

    async def ours(self, room: str, there: Iterable[Participant] = (), *, listed: Room | None = None) -> bool:
        """Whether an agent of this fleet was ordered for `room`; others may share the LiveKit server with us.

        Args:
            there: who is in it, if that is known: a caller with a ticket of ours is ours, wherever it went.
            listed: the room as a listing shows it; without one, LiveKit is asked for its metadata.

        Raises `UnknownStateError`.
        """
        there = list(there)
        if self.moved is not None and await self.moved(room):
            return False
        if any(p.caller and p.key for p in there) or self._meant_by_name(room, there):
            return True
        if (listed is not None and listed.order is not None) or await self.calls.records([room]):
            return True
        if await self.livekit.has_dispatch(room):
            return True
        return listed is None and await self.livekit.room_order(room) is not None

    def _meant_by_name(self, room: str, there: Iterable[Participant]) -> bool:
        """Whether the room is ours without an order: by its name and, where the region has several agents, by the
        number that was dialled."""
        if not served_by_name(self.settings.rooms, room):
            return False
        routes, agent = self.settings.routes, self.settings.place.agent
        if not agent or not routes.numbers:
            return True
        dialled = next((p.dialled for p in there if p.caller and p.dialled), "")
        return routes.of_number(dialled) == agent

    def dispatch_unreliable(self) -> bool:
        """Whether LiveKit may offer calls to a worker that hangs, or that it does not reach: it picks at random among
        those it thinks are there, so many an offer is lost."""
        return self.cut_off.lately(self.clock.monotonic()) or self.reports.hanging

    def surely_over(self, room: str) -> bool:
        """Whether the call in `room` has ended: no caller is there, and LiveKit has no such room to come back to."""
        snapshot, listed = self.fresh_snapshot(), self.listed.rooms
        return snapshot is not None and listed is not None and room not in snapshot.rooms and room not in listed

    def fresh_snapshot(self) -> Snapshot | None:
        """The calls, if they were read lately and follow from a whole listing; else None."""
        listed = self.listed.holds(self.clock.monotonic(), self.scans.failures)
        return self.scans.within(STALE_AFTER_S) if listed else None

    def sure_snapshot(self) -> Snapshot | None:
        """The calls in Redis, if they were read lately and Redis answers now, however old the last whole listing is:
        what webhooks and claims put there is there, though there may be more. Else None."""
        away = self.redis.away_for_s(self.clock.monotonic())
        return None if away else self.scans.within(STALE_AFTER_S)

    def slots(self, snapshot: Snapshot, reports: Mapping[str, Reported]) -> tuple[int, int]:
        """Slots that neither a report nor a claim has taken, and slots of workers that start now. Between two reads
        there may be hundreds of requests, and a region may have hundreds of workers: they are counted once."""
        observation = self.pool.observation
        known = self._counted
        if known is None or known[0] is not snapshot or known[1] is not reports or known[2] is not observation:
            calls_of = snapshot.calls_of
            # A claim is known before its worker's report tells of it: a slot is free when neither has it.
            free = sum(min(r.free, max(0, r.report.slots - calls_of[worker])) for worker, r in reports.items())
            starting = [w.slots for w in observation.workers if w.state is SupplyState.STARTING] if observation else []
            known = self._counted = snapshot, reports, observation, (free, sum(starting))
        return known[3]

    def fresh_instances(self) -> bool:
        """Whether what runs is known; True where nobody here owns it."""
        return self.fleet is None or self.instances.fresh(self.clock.monotonic())

    @property
    def reason(self) -> str:
        """What is wrong, in words; empty when all is well."""
        parts = [f"{source}: {text}" for source, text in sorted(self.reads.troubles.items())]
        if self.fleet is not None and (trouble := self.fleet.trouble()):
            parts.append(trouble)
        return "; ".join(parts)
