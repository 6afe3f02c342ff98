"""What is known of each region, as gauges, written when somebody scrapes: what is not known then has no series.

A series that keeps its last value while its source is away would say what nobody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from voicefleet.contract.metrics import Metric
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.contract.pools import PoolRole
from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.ports import InstanceState
from voicefleet.controller.regions.dependencies import dependencies
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import SupplyState

_CANARY_STATES = {Decision.WAIT: "running", Decision.PROMOTE: "promoted", Decision.ROLL_BACK: "rolled_back"}


class RegionGauges:
    """The gauges of all regions; `write` before each scrape."""

    def __init__(self, regions: Mapping[str, Region], metrics: Metrics) -> None:
        self._regions = regions
        self._metrics = metrics

    def write(self) -> None:
        """Every gauge as it is known now."""
        for region in self._regions.values():
            up = dependencies(region)
            self._write_calls(region, all(up.values()))
            self._write_pool(region)
            self._write_canaries(region)
            for dependency, answers in up.items():
                self._set(catalogue.DEPENDENCY_UP, (region.name, dependency), float(answers))

    def _write_calls(self, region: Region, all_answer: bool) -> None:
        snapshot = region.fresh_snapshot()
        # While rooms are still to be looked at, those who wait for sure do: a burst must not hide them.
        waits = snapshot
        if waits is None and all_answer and (sure := region.sure_snapshot()) is not None and sure.waiting:
            waits = sure
        oldest_s = None if waits is None else waits.oldest_wait_s(region.scans.now_ms(waits))
        for metric, value in (
            (catalogue.CALLS_WAITING, None if waits is None else waits.waiting),
            (catalogue.CALL_OLDEST_WAIT, oldest_s),
            (catalogue.CALLS_SET_ASIDE, None if snapshot is None else snapshot.set_aside),
            (catalogue.CALLS_LIVE, None if snapshot is None else snapshot.live),
            (catalogue.CALLS_SILENT, region.reports.silent),
        ):
            self._set(metric, (region.name,), value)

    def _write_canaries(self, region: Region) -> None:
        for view in (region.trial if region.settings.role is PoolRole.CANARY else None, region.tier_trial):
            if view is None:
                continue
            now = None if view.record is None else _CANARY_STATES.get(view.decided or Decision.WAIT)
            for state in _CANARY_STATES.values():
                labels = (region.name, view.trial.version, state)
                self._set(catalogue.CANARY_STATE, labels, None if now is None else float(now == state))

    def _write_pool(self, region: Region) -> None:
        observation = region.pool.observation
        instances = region.instances.last if region.fleet is not None and region.fresh_instances() else None
        running = None if instances is None else Counter(instance.state for instance in instances)
        for state in InstanceState:
            self._set(catalogue.INSTANCES, (region.name, state.value), None if running is None else running[state])
        known = observation is not None and region.reports.fresh() is not None and region.fresh_instances()
        workers = Counter(worker.state for worker in observation.workers) if observation and known else None
        for supply in SupplyState:
            self._set(catalogue.WORKERS, (region.name, supply.value), None if workers is None else workers[supply])
        self._set(catalogue.SCALER_CURRENT, (region.name,), observation.supply if observation and known else None)

    def _set(self, metric: Metric, labels: Sequence[str], value: float | None) -> None:
        gauge = self._metrics.gauges[metric]
        if value is None:
            gauge.remove(*labels)
        else:
            gauge.labels(*labels).set(value)
