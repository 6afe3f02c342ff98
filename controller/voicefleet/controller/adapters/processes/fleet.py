"""Workers as processes of this machine, behind `Fleet`.

A worker lives in a session of its own and outlives a controller that is killed, because its calls go on; the next
controller adopts it. Secrets travel in the environment, never in arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from voicefleet.contract.errors import MissingPartError
from voicefleet.controller.adapters.processes.records import Record, Records
from voicefleet.controller.adapters.processes.redaction import redacted, secrets_in
from voicefleet.controller.adapters.processes.start_failures import RESTARTS, StartFailures
from voicefleet.controller.adapters.processes.worker_logs import END_BYTES, WorkerLogs
from voicefleet.controller.ports import Instance, InstanceExit, InstanceState
from voicefleet.controller.settings.load import inherited_environment
from voicefleet.controller.settings.region import ProcessSettings, RegionSettings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.supervisor.age import age_s
from voicefleet.runtime.supervisor.children import Child
from voicefleet.runtime.supervisor.exits import describe_code, last_lines, last_words
from voicefleet.runtime.supervisor.guard import start_time
from voicefleet.runtime.supervisor.restarts import Ended

WORKER_ID_VARIABLE = "VOICEFLEET_WORKER_ID"
RESPONDS_WITHIN_S = 2.0
_LOG_BYTES = 4_096
_LOG_LINES = 12

_NOT_OF_ITSELF = (-signal.SIGKILL, -signal.SIGTERM)
"""Ended so, its log says nothing of why."""

log = get_logger(__name__)


@dataclass(slots=True)
class _Process:
    record: Record
    child: Child | None
    """None: started by another controller, so its exit status cannot be known."""

    @property
    def alive(self) -> bool:
        return self.child.alive if self.child else self.record.alive

    @property
    def returncode(self) -> int | None:
        return self.child.returncode if self.child else None

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        if self.child is not None:
            if group:
                self.child.kill()
            else:
                self.child.send_signal(number)
        elif self.record.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.killpg if group else os.kill)(self.record.pid, number)


class ProcessFleet:
    """The worker processes of one region. `open` adopts those of a controller before us.

    Args:
        environment: what every worker gets on top of our own environment and `process.env`.
        hidden: names of our own variables that workers must not see.
        refusal: why none may be started now; empty when it may.
    """

    def __init__(
        self,
        region: RegionSettings,
        clock: Clock,
        *,
        environment: Mapping[str, str],
        hidden: Sequence[str],
        refusal: Callable[[], str] = str,
    ) -> None:
        assert region.process is not None
        self._region = region.name
        self._settings: ProcessSettings = region.process
        self._clock = clock
        self._environment = environment
        self._hidden = hidden
        self._refusal = refusal
        self._secrets = secrets_in({**inherited_environment(), **environment, **self._settings.env})
        self._processes: dict[str, _Process] = {}
        self._exits: list[InstanceExit] = []
        self._records: Records | None = None
        self._logs = WorkerLogs(self._settings.log_dir, region.name)
        self._failures = StartFailures()
        self._held_back = 0
        """Starts that were asked for last and not made."""
        self._registered: set[str] = set()
        self._starting: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Take hold of the state directory and adopt what still runs.

        Raises:
            ConfigError: another controller holds it, or it cannot be used.
        """
        field = f"regions.{self._region}.process.state_dir"
        self._records = Records(self._settings.state_dir, self._region, field=field)
        self._settings.log_dir.mkdir(parents=True, exist_ok=True)
        for record in self._records.all():
            found = record if record.pid else self._records.find(record)
            if found is not None and found.alive:
                self._note(_Process(found, None))
                log.info("worker adopted", region=self._region, worker=found.id, pid=found.pid)
            else:
                self._records.remove(record.id)
                detail = "ended while no controller ran"
                self._exits.append(InstanceExit(record.id, record.stopping, detail))

    async def instances(self) -> tuple[Instance, ...]:
        self._reap()
        now_s, failures = self._clock.monotonic(), self._failures
        why = failures.told(now_s) if failures.looping else ""
        there = [self._instance(process.record, why) for process in self._processes.values()]
        if not why:
            return tuple(there)
        names = [f"{self._region}/missing-{n}" for n in range(1, self._held_back + 1)]
        since_s = now_s - failures.at_s
        missing = [Instance(name, InstanceState.CRASH_LOOPING, since_s, why, counts=False) for name in names]
        return (*there, *missing)

    def _instance(self, record: Record, why: str) -> Instance:
        state, lived_s = InstanceState.RUNNING, age_s(record.ticks)
        if record.stopping:
            state = InstanceState.STOPPING
        elif why and self._failures.is_new(self._clock.monotonic() - lived_s):
            state = InstanceState.CRASH_LOOPING
        detail = why if state is InstanceState.CRASH_LOOPING else ""
        return Instance(record.id, state, lived_s, detail, pid=record.pid)

    async def scale(self, start: int, victims: Sequence[str]) -> None:
        self._reap()
        for victim in victims:
            if (process := self._processes.get(victim)) is not None and not process.record.stopping:
                process.record = dataclasses.replace(process.record, stopping=True)
                self._note(process)
                process.signal(signal.SIGTERM)
        self._held_back = start
        for _ in range(0 if self._refusal() else start):
            if self._failures.wait_s(self._clock.monotonic()) > 0:
                return
            self._held_back -= 1
            # Who gives up waiting for a start does not undo it: `close` waits for it, or a worker would be left.
            self._starting = asyncio.create_task(asyncio.to_thread(self._start))
            await asyncio.shield(self._starting)

    def rolling(self) -> bool:
        return False

    def exits(self) -> tuple[InstanceExit, ...]:
        self._reap()
        gone, self._exits = tuple(self._exits), []
        return gone

    async def responds(self, worker: str, port: int) -> bool | None:
        if worker not in self._processes or not port:
            return None
        limit = aiohttp.ClientTimeout(total=RESPONDS_WITHIN_S)
        try:
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/livez", timeout=limit):
                return True
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def kill(self, worker: str) -> None:
        if (process := self._processes.get(worker)) is not None:
            process.signal(signal.SIGKILL, group=True)

    def registered(self, workers: Collection[str]) -> None:
        for worker in self._processes.keys() & set(workers) - self._registered:
            self._registered.add(worker)
            lived_s = age_s(self._processes[worker].record.ticks)
            self._failures = self._failures.registered(self._clock.monotonic() - lived_s)

    def try_again(self) -> None:
        self._failures = StartFailures()

    def access_ends_s(self) -> float | None:
        return None

    def trouble(self) -> str:
        return self._refusal() or self._failures.told(self._clock.monotonic())

    async def close(self) -> None:
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._settings.on_exit == "stop":
            await self._stop_all()
        if self._records is not None:
            self._records.close()
            self._records = None

    async def _stop_all(self) -> None:
        for process in self._processes.values():
            process.record = dataclasses.replace(process.record, stopping=True)
            self._note(process)
            process.signal(signal.SIGTERM)
        await self._until_gone(self._settings.stop_timeout_s)
        for process in self._processes.values():
            log.warning("worker did not end in time, killed", region=self._region, worker=process.record.id)
            process.signal(signal.SIGKILL, group=True)
        await self._until_gone(5.0)

    async def _until_gone(self, limit_s: float) -> None:
        deadline_s = self._clock.monotonic() + limit_s
        self._reap()
        while self._processes and self._clock.monotonic() < deadline_s:
            await self._clock.sleep(0.05)
            self._reap()

    def _start(self) -> None:
        assert self._records is not None
        worker = self._records.next_id()
        record = Record(worker, self._region)
        self._records.write(record)
        environment = {
            **dict.fromkeys((n for n in self._hidden if n in inherited_environment()), ""),
            **self._environment,
            **self._settings.env,
            WORKER_ID_VARIABLE: worker,
            **self._records.mark(worker),
        }
        try:
            child = Child(
                worker, self._settings.command, log_path=self._logs.path(worker), env=environment, outlive=True
            )
        except (MissingPartError, OSError) as error:
            self._records.remove(worker)
            self._failed(error_summary(error))
            log.error("worker cannot be started", region=self._region, worker=worker, error=error_summary(error))
            return
        # A process that ended in this instant has no start time; its child tells of the end.
        record = dataclasses.replace(record, pid=child.pid, ticks=start_time(child.pid) or "gone")
        self._note(_Process(record, child))
        self._logs.remove_old(self._processes)
        log.info("worker started", region=self._region, worker=worker, pid=child.pid)

    def _note(self, process: _Process) -> None:
        assert self._records is not None
        self._processes[process.record.id] = process
        self._records.write(process.record)

    def _reap(self) -> None:
        assert self._records is not None
        for worker, process in list(self._processes.items()):
            if process.alive:
                continue
            del self._processes[worker]
            self._records.remove(worker)
            asked = process.record.stopping
            detail = self._describe(process)
            self._registered.discard(worker)
            self._logs.cut([worker], END_BYTES)
            self._exits.append(InstanceExit(worker, asked, detail))
            if not asked and not RESTARTS.proven(Ended(age_s(process.record.ticks), process.returncode)):
                self._failed(f"{worker} {detail}")
        self._logs.cut(self._processes)
        self._failures = self._failures.at(self._clock.monotonic())

    def _failed(self, why: str) -> None:
        self._failures = self._failures.failed(why, self._clock.monotonic())

    def _describe(self, process: _Process) -> str:
        how = f"{describe_code(process.returncode)} after {age_s(process.record.ticks):.0f} s"
        if process.record.stopping or process.returncode in _NOT_OF_ITSELF:
            return how
        lines = last_lines(self._logs.path(process.record.id), _LOG_LINES, most_bytes=_LOG_BYTES)
        said = _shown(last_words(lines), self._secrets)
        return how + (f": {said}" if said else "")


def _shown(tail: str, secrets: Iterable[str]) -> str:
    """Cut after the secrets are out: half of one would not be found."""
    return redacted(tail, secrets)[:600]
