"""A fleet of several regions with callers in each, and Prometheus and Alertmanager beside it with what is shipped."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicefleet.chaos.alerts.conversations import Conversations
from voicefleet.chaos.alerts.timeline import Look, alarm
from voicefleet.chaos.faults.providers import write_faults
from voicefleet.chaos.fleet_harness import breakable_tiers
from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.dashboards.alerting.inhibition import inhibition_file
from voicefleet.dashboards.generate import RULES, chart_files
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.stack.interrupt import Say
from voicefleet.stack.prometheus import Alertmanager, Prometheus, alertmanager_server, prometheus_server

SCRAPE_S = 10.0
"""As the chart's monitors."""
EVALUATION_S = 30.0
"""Of groups of rules that say no interval, as kube-prometheus-stack has it."""
START_LIMIT_S = 90.0
_LOOK_EVERY_S = 1.0
_FIND_EVERY_S = 1.0
_WORKING_AGENT = "from voicefleet.worker.agents import assistant\n\ncreate = assistant\n"


@dataclass
class Stand:
    """What runs, and what Alertmanager showed so far."""

    fleet: Fleet
    client: ControllerClient
    clock: Clock
    directory: Path
    prometheus: Prometheus
    alertmanager: Alertmanager
    callers: Mapping[str, Conversations]
    looks: list[Look] = field(default_factory=list)

    def providers(self, region: str) -> Path:
        """The file that tells the region's providers how to fail."""
        return self.directory / f"faults-{region}.json"

    def agent(self, region: str) -> Path:
        """The region's agent, a Python file."""
        return self.directory / f"agent_{region}.py"

    def last_worker(self, region: str) -> int:
        """The number of the region's newest worker, such as 3 for ``eu-3``: they are counted up, and each has a log."""
        return max((int(log.stem.rpartition("-")[2]) for log in self.fleet.log_dir.glob(f"{region}-*.log")), default=0)

    async def watch_alerts(self) -> None:
        """Look at Alertmanager every second, until cancelled."""
        while True:
            with contextlib.suppress(UnknownStateError):
                entries = await self.alertmanager.alerts()
                self.looks.append(Look(self.clock.monotonic(), frozenset(alarm(entry) for entry in entries)))
            await self.clock.sleep(_LOOK_EVERY_S)

    async def find_targets(self) -> None:
        """Keep Prometheus told of the workers there are, until cancelled. While Redis is away: of those there were."""
        controller = urlsplit(self.fleet.api_url).netloc
        workers: dict[str, list[tuple[str, str, str]]] = {}
        while True:
            for region in self.callers:
                with contextlib.suppress(RedisError, OSError):
                    workers[region] = await self._workers(region)
            self.prometheus.find([(controller, "controller", ""), *(w for found in workers.values() for w in found)])
            await self.clock.sleep(_FIND_EVERY_S)

    async def _workers(self, region: str) -> list[tuple[str, str, str]]:
        keys = Keys(region)
        async with Redis.from_url(self.fleet.redis.url, decode_responses=True, socket_timeout=1.0) as redis:
            names = [str(name) for name in await redis.zrange(keys.workers, 0, -1)]
            texts = await redis.mget([keys.report(name) for name in names]) if names else []
        reports = [codec.load(WorkerReport, text) for text in texts if text]
        return [(f"127.0.0.1:{report.http_port}", "worker", region) for report in reports if report.http_port]

    async def until_quiet(self, limit_s: float) -> bool:
        """Wait until no alert fires; False when one does after `limit_s`."""
        deadline_s = self.clock.monotonic() + limit_s
        while self.clock.monotonic() < deadline_s:
            if self.looks and not self.looks[-1].alarms:
                return True
            await self.clock.sleep(_LOOK_EVERY_S)
        return False

    async def until_ready(self, limit_s: float) -> None:
        """Wait until every region has its workers, and all is scraped. Raises `UnreachableError`."""
        deadline_s = self.clock.monotonic() + limit_s
        while self.clock.monotonic() < deadline_s:
            with contextlib.suppress(UnknownStateError):
                views = await self.client.regions()
                scraped = await self.prometheus.value("count(voicefleet_slots)") or 0
                if all((v.ready or 0) >= v.min_workers for v in views) and scraped >= sum(v.min_workers for v in views):
                    return
            await self.clock.sleep(0.5)
        raise UnreachableError(
            f"not every worker was ready and scraped within {limit_s:.0f} s; the last lines of their logs:\n"
            f"{self.fleet.log_tails()}",
            field="workers",
            hint="Mend what they say.",
        )


@contextlib.asynccontextmanager
async def running_stand(
    shapes: Mapping[str, PoolShape],
    clock: Clock,
    say: Say,
    *,
    callers: int = 2,
    keep_logs: Path | None = None,
) -> AsyncIterator[Stand]:
    """A stand for the block, once all its workers are ready and scraped, and callers talk.

    Args:
        shapes: region -> its pool.
        callers: in each region, at any time.
        keep_logs: a folder that gets all logs when the block ends.

    Raises:
        UsageError: a part did not start, or is not on this machine.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voicefleet-alerts-")))
        if keep_logs is not None:
            stack.callback(_save_logs, folder, keep_logs / folder.name)
        manager = await stack.enter_async_context(alertmanager_server(folder, inhibition_file()))
        prometheus = await stack.enter_async_context(
            prometheus_server(
                folder, chart_files()[RULES], scrape_s=SCRAPE_S, evaluation_s=EVALUATION_S, alertmanager=manager.address
            )
        )
        say(f"starting a fleet: regions {', '.join(shapes)}")
        fleet = await stack.enter_async_context(
            running_fleet(tuple(shapes), shapes, folder, workers={region: _worker(folder, region) for region in shapes})
        )
        client = await stack.enter_async_context(ControllerClient(fleet.api_url, clock=clock))
        talks = {region: Conversations(client, region, clock, callers) for region in shapes}
        made = Stand(fleet, client, clock, folder, prometheus, manager, talks)
        for loop in (made.watch_alerts, made.find_targets):
            stack.callback(asyncio.create_task(loop()).cancel)
        await made.until_ready(START_LIMIT_S)
        for talk in talks.values():
            await stack.enter_async_context(talk)
        yield made


def _worker(folder: Path, region: str) -> WorkerOptions:
    """A worker whose providers and whose agent's file can be broken."""
    faults, agent, tiers = folder / f"faults-{region}.json", folder / f"agent_{region}.py", folder / f"{region}.yaml"
    write_faults(faults, {})
    agent.write_text(_WORKING_AGENT)
    tiers.write_text(yaml.safe_dump(breakable_tiers(faults)))
    return WorkerOptions(str(tiers), agent=f"{agent}:create")


def _save_logs(folder: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.yaml", "*.json"), dirs_exist_ok=True)
