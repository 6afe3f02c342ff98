"""Workers whose main process hangs: once they have no call left, they are ended and replaced.

LiveKit keeps offering calls to such a worker, and each offer is lost. But its jobs go on while it hangs, so it is left
alone as long as any claim is its (`handoffs` moves its calls away meanwhile).
"""

from __future__ import annotations

from collections.abc import Mapping

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.incidents import IncidentKind
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger

LOOK_EVERY_S = 1.0
SILENT_S = 10.0

log = get_logger(__name__)


def hung(reports: Mapping[str, Reported], snapshot: Snapshot, *, well_for_s: float) -> list[str]:
    """Workers that hang, as far as Redis shows, and have no call.

    Args:
        well_for_s: how long Redis has been well: silence means nothing while it was not.
    """
    if well_for_s < SILENT_S or not any(r.prompt for r in reports.values()):
        return []
    holders = {call.claim.worker for call in snapshot.calls if call.claim}
    return sorted(worker for worker, r in reports.items() if r.silent_s > SILENT_S and worker not in holders)


class HungWorkers:
    """Ends hung workers of one region that has a fleet of its own, when this replica leads."""

    def __init__(self, region: Region, leadership: Leadership) -> None:
        self._region = region
        self._leadership = leadership
        self._left_alone: set[str] = set()
        self._ended: set[str] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._region.clock.sleep(LOOK_EVERY_S)
            await self.once()

    async def once(self) -> None:
        """One look: a worker that is silent, has no call, and does not answer on its own port either, is ended."""
        region, fleet = self._region, self._region.fleet
        snapshot = region.fresh_snapshot()
        if fleet is None or snapshot is None or not self._leadership.leads:
            return
        well_for_s = region.redis.well_for_s(region.clock.monotonic())
        try:
            found = hung(await region.reports.read(LOOK_EVERY_S), snapshot, well_for_s=well_for_s)
            self._left_alone.intersection_update(found)
            self._ended.intersection_update(found)
            for worker in found:
                if worker in self._ended:
                    continue  # a pod ends when its grace period does
                answers = await fleet.responds(worker, region.reports.last[worker].report.http_port)
                if answers is False:
                    await self._end(worker)
                elif worker not in self._left_alone:
                    self._left_alone.add(worker)
                    log.warning("worker does not report and may be alive: not ended", region=region.name, worker=worker)
        except UnknownStateError as error:
            region.reads.failed("hung workers", error)
            return
        region.reads.succeeded("hung workers")

    async def _end(self, worker: str) -> None:
        region = self._region
        assert region.fleet is not None
        # It may have taken a call in the last moment: what counts is now.
        snapshot, silent_s = await region.scans.scan(), region.reports.last[worker].silent_s
        if any(call.claim and call.claim.worker == worker for call in snapshot.calls):
            return
        log.error("worker hangs and has no call: ended", region=region.name, worker=worker, silent_s=round(silent_s, 1))
        region.metrics.counters[catalogue.WORKERS_KILLED].labels(region.name).inc()
        await region.fleet.kill(worker)
        text = f"{worker} did not answer for {silent_s:.0f} s and had no call: it was ended"
        region.incidents.note(IncidentKind.WORKER_HUNG, text, subject=worker)
        self._ended.add(worker)
