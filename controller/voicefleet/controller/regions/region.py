"""What the controller knows of one region right now, shared by its loops and the API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.campaign_store import CampaignStore
from voicefleet.controller.pool.model_store import ModelStore
from voicefleet.controller.pool.worker_store import Reported, WorkerStore
from voicefleet.controller.ports import CallStorePort, Fleet, Instance, LiveKitPort
from voicefleet.controller.regions.outages import Outages
from voicefleet.controller.regions.reservations import Reservations
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.controller.waiting_message.messages import WaitingMessages
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tracing import NoTracer, Tracer
from voicefleet.scaling import Decision, PoolObservation
from voicefleet.scaling.estimators import DurationEstimator

USUAL_CALL_S = DurationEstimator.prior().mean_s
CUT_OFF_S = 20.0
"""LiveKit drops a worker whose connection says nothing for about as long."""

log = get_logger(__name__)


@dataclass
class Region:
    """One region's parts and its last known state. Unknown is None, or old; it is never zero."""

    settings: RegionSettings
    livekit: LiveKitPort
    calls: CallStorePort
    workers: WorkerStore
    models: ModelStore
    campaigns: CampaignStore
    fleet: Fleet | None
    clock: Clock
    metrics: Metrics
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something changed: look at the queue at once."""
    scanned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every scan: the calls are known anew."""
    pool_wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the pool's next pass should not wait."""
    redis: Outages = field(default_factory=Outages)
    departed: dict[str, float] = field(default_factory=dict)
    """Worker that ended for sure -> when we heard of it."""
    cut_off_at_s: float | None = None
    """When a call was last taken from a worker that LiveKit does not reach."""
    snapshot: Snapshot | None = None
    snapshot_at_s: float = 0.0
    listed_at_s: float | None = None
    """When LiveKit's rooms were last taken over whole; None after Redis was away, until it happens again."""
    reported: dict[str, Reported] = field(default_factory=dict)
    reported_at_s: float | None = None
    """When the last read of them began."""
    reports_old: bool = False
    """A worker said since then that something changed."""
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _hanging: bool = False
    """Whether a worker hung when the reports were last read."""
    instances: tuple[Instance, ...] = ()
    """What the fleet last told of; see `instances_at_s`."""
    instances_at_s: float | None = None
    mean_call_s: float = USUAL_CALL_S
    """How long calls last, as far as it was learned."""
    observation: PoolObservation | None = None
    decision: Decision | None = None
    reservations: Reservations = field(init=False)
    """Tickets whose callers have not joined yet."""
    listed_rooms: frozenset[str] | None = None
    """LiveKit's rooms, callers in them or not, at `listed_at_s`."""
    troubles: dict[str, str] = field(default_factory=dict)
    """Source -> why its last read failed."""
    waiting_messages: WaitingMessages | None = None
    """Speaks to waiting callers; None when the settings do not ask for it."""
    tracer: Tracer = field(default_factory=NoTracer)

    def __post_init__(self) -> None:
        self.reservations = Reservations(self.clock)

    @property
    def name(self) -> str:
        return self.settings.name

    async def scan(self) -> Snapshot:
        """Bring the queue up to date, and remember it. Raises `UnknownStateError`.

        Every scan goes through here, because the waits that it saw end are told only once.
        """
        began_s = self.clock.monotonic()
        try:
            snapshot = await self.calls.scan()
        except UnknownStateError:
            self.redis.away(began_s, self.clock.monotonic())
            # What Redis holds after an outage may be less than there is: wait for the next whole listing.
            self.listed_at_s = None
            raise
        self.metrics.counters[catalogue.ABANDONED].labels(self.name).inc(snapshot.abandoned)
        self.snapshot, self.snapshot_at_s = snapshot, self.clock.monotonic()
        self.redis.well(self.snapshot_at_s)
        self.scanned.set()
        self.metrics.gauges[catalogue.CALLS_WAITING].labels(self.name).set(snapshot.waiting)
        self.metrics.gauges[catalogue.CALLS_LIVE].labels(self.name).set(snapshot.live)
        for wait_s in snapshot.served_after_s:
            self.metrics.histograms[catalogue.CALL_WAIT].labels(self.name).observe(wait_s)
        return snapshot

    def now_ms(self, snapshot: Snapshot) -> int:
        """Redis's clock now, reckoned from the last scan."""
        return snapshot.now_ms + round((self.clock.monotonic() - self.snapshot_at_s) * 1000)

    def note_change(self) -> None:
        """A worker or a webhook tells of a change. The next reports are read anew, and a call without an agent is
        looked at at once; when there is none, the next look is soon enough."""
        self.reports_old = True
        if self.snapshot is None or len(self.snapshot.calls) > self.snapshot.live:
            self.wake.set()

    async def read_reports(self, max_age_s: float = 0.0) -> dict[str, Reported]:
        """Read the workers' reports, and remember them. Raises `UnknownStateError`.

        Args:
            max_age_s: those read less than so long ago will do, unless a worker said since that something changed.
        """
        oldest_s = self.clock.monotonic() - max_age_s
        async with self._reading:
            known_s = self.reported_at_s
            if known_s is None or known_s < oldest_s or self.reports_old:
                began_s, self.reports_old = self.clock.monotonic(), False
                try:
                    self.reported = await self.workers.read()
                except UnknownStateError:
                    self.reports_old = True
                    raise
                self.reported_at_s = began_s
                self._hanging = any(r.hanging for r in self.reported.values())
                self.metrics.gauges[catalogue.CALLS_SILENT].labels(self.name).set(self.silent or 0)
            return self.reported

    @property
    def silent(self) -> int | None:
        """Calls whose caller has waited for a voice for more than 10 s; None while nobody knows."""
        reports = self.fresh_reports()
        return None if reports is None else sum(r.report.silent for r in reports.values() if r.fresh)

    async def ours(self, room: str) -> bool:
        """Whether an agent of this fleet was ordered for `room`; others may share the LiveKit server with us.

        Raises `UnknownStateError`.
        """
        if self.settings.rooms == "all" or await self.calls.records([room]):
            return True
        return await self.livekit.has_dispatch(room)

    def dispatch_unreliable(self) -> bool:
        """Whether LiveKit may offer calls to a worker that hangs, or that it does not reach: it picks at random among
        those it thinks are there, so many an offer is lost."""
        lately = self.cut_off_at_s is not None and self.clock.monotonic() - self.cut_off_at_s < CUT_OFF_S
        return lately or self._hanging

    def surely_over(self, room: str) -> bool:
        """Whether the call in `room` has ended: no caller is there, and LiveKit has no such room to come back to."""
        snapshot = self.fresh_snapshot()
        listed = self.listed_rooms
        return snapshot is not None and listed is not None and room not in snapshot.rooms and room not in listed

    def fresh_snapshot(self) -> Snapshot | None:
        """The calls, if they were read lately and follow from a whole listing; else None."""
        now = self.clock.monotonic()
        if self.snapshot is None or now - self.snapshot_at_s > STALE_AFTER_S:
            return None
        listed = self.listed_at_s is not None and now - self.listed_at_s <= STALE_AFTER_S
        return self.snapshot if listed else None

    def sure_snapshot(self) -> Snapshot | None:
        """The calls in Redis, if they were read lately and Redis answers now, however old the last whole listing is:
        what webhooks and claims put there is there, though there may be more. Else None."""
        now = self.clock.monotonic()
        if self.snapshot is None or now - self.snapshot_at_s > STALE_AFTER_S or self.redis.away_for_s(now):
            return None
        return self.snapshot

    def fresh_reports(self) -> dict[str, Reported] | None:
        """The workers' reports, if they were read lately; else None."""
        known = self.reported_at_s is not None and self.clock.monotonic() - self.reported_at_s <= STALE_AFTER_S
        return self.reported if known else None

    def fresh_instances(self) -> bool:
        """Whether what runs is known; True where nobody here owns it."""
        known = self.instances_at_s is not None and self.clock.monotonic() - self.instances_at_s <= STALE_AFTER_S
        return self.fleet is None or known

    def read_failed(self, source: str, error: Exception) -> None:
        """A read failed. It is logged once, until it succeeds again."""
        self.metrics.counters[catalogue.OBSERVE_FAILURES].labels(self.name, source).inc()
        if source not in self.troubles:
            log.warning("state unknown, keeping what there is", region=self.name, source=source, error=str(error))
        self.troubles[source] = str(error)

    def read_succeeded(self, source: str) -> None:
        """A read that may have failed before succeeded."""
        if self.troubles.pop(source, None) is not None:
            log.info("state known again", region=self.name, source=source)

    @property
    def reason(self) -> str:
        """What is wrong, in words; empty when all is well."""
        parts = [f"{source}: {text}" for source, text in sorted(self.troubles.items())]
        if self.fleet is not None and (trouble := self.fleet.trouble()):
            parts.append(trouble)
        return "; ".join(parts)
