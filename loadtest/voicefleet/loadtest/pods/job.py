"""The starter of a load test on Kubernetes: makes the Job, starts its pods together, listens to them, cleans up."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import signal
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from voicefleet.callers.health import GeneratorHealth
from voicefleet.contract.errors import ConfigError, UnreachableError, UsageError
from voicefleet.loadtest.merging import merged, worst
from voicefleet.loadtest.pods.api import FORBIDDEN, ApiError, JobApi
from voicefleet.loadtest.pods.gate import ALONE_AFTER_S, TOLD_EVERY_S, Told
from voicefleet.loadtest.pods.manifest import container_of, job, parse_template, plan_map
from voicefleet.loadtest.pods.plan import Plan, plan_of
from voicefleet.loadtest.pods.record import PodRecord, pod_state
from voicefleet.loadtest.progress import Progress, showing
from voicefleet.loadtest.scenario import OnKubernetes, Scenario
from voicefleet.runtime.clock import Clock, SystemClock

_LOOK_EVERY_S = 1.0
_DECIDE_EVERY_S = 0.1
_LEAD_S = 5.0
_LEAD_PER_POD_S = 0.05
"""From the decision to the start: all pods must have been told before."""
_LONGEST_CALL_S = 3600.0
"""Kubernetes ends a Job that goes on for so long after its last arrival, if nobody else does."""
_AGAIN_S = 1.0
_TRIES = 4
"""To clean up: an API server that is away for a moment must not leave a Job behind."""
_NAME = 40
"""Signs of the template's name in the Job's: with what Kubernetes adds, a pod's name fits in 63."""


async def run_on_pods(
    scenario: Scenario, where: OnKubernetes, *, engine: str, console: Console, title: str
) -> dict[str, Any]:
    """Play a scenario on pods, to its end.

    Returns:
        the result, as `build_result` gives it.

    Raises:
        UsageError: no cluster, namespace or template; no permission; pods that do not come; or what one pod says of the
            surroundings. Nothing is left on the cluster.
    """
    offsets_s = [float(offset) for offset in scenario.arrivals.offsets(scenario.seed)]
    if where.pods > len(offsets_s):
        raise ConfigError(
            f"there are more pods than calls ({len(offsets_s)})",
            field="--pods",
            value=where.pods,
            hint=f"Use at most {len(offsets_s)}, or place more calls.",
        )
    recordings = scenario.callers.recordings
    if recordings is not None and not recordings.is_absolute():
        raise ConfigError(
            "is read by pods, which do not have this folder",
            field="callers.recordings",
            value=str(recordings),
            hint="Give an absolute path in the pods: of your own image, or of loadtest.extraVolumes in the chart.",
        )
    plan = plan_of(scenario, offsets_s, where.pods, engine)
    # As Ctrl-C does: the run is cancelled, and cleans up.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    async with JobApi(where.context, where.namespace) as api:
        run = JobRun(plan, where, api, console, title, SystemClock())
        return await run.play()


class JobRun:
    """One run, from the Job to the result. `play` once."""

    def __init__(
        self, plan: Plan, where: OnKubernetes, api: JobApi, console: Console, title: str, clock: Clock
    ) -> None:
        self._plan, self._where, self._api = plan, where, api
        self._console, self._clock = console, clock
        self._name = f"{where.job_template[:_NAME].rstrip('-.')}-{secrets.token_hex(3)}"
        self._uid = self._container = ""
        now_s = clock.monotonic()
        self._progress = Progress(
            plan.offsets_s,
            clock,
            f"{title}, {plan.shares} pods",
            timeout_s=plan.scenario.callers.turn_timeout_s,
            fail_if=plan.scenario.conditions,
        )
        self._records = [
            PodRecord(index, len(plan.share(index)), now_s, self._progress) for index in range(plan.shares)
        ]
        self._answered_s = now_s
        self._beat = 0
        self._failure: ApiError | None = None
        """The last refusal of the API that was borne."""
        self._start_at: float | None = None
        self._beside: set[asyncio.Task[None]] = set()

    async def play(self) -> dict[str, Any]:
        where = self._where
        template = parse_template(await self._api.template(where.job_template), name=where.job_template)
        self._container = container_of(template)
        lasts_s = where.ready_within_s + self._plan.offsets_s[-1] + _LONGEST_CALL_S
        try:
            await self._make(job(template, name=self._name, pods=where.pods, secret=where.secret, lasts_s=lasts_s))
            self._spawn(self._watch(), "watch")
            self._spawn(self._attend(), "attend")
            self._say(f"Job {self._name} in namespace {self._api.namespace}: {where.pods} pods")
            await self._until_ready()
            await self._start()
            self._progress.begin()
            async with showing(self._progress, self._console, self._clock, self._health):
                await self._until_over()
        finally:
            await self._clean_up()
        scenario = self._plan.scenario
        return merged(
            [record.part() for record in self._records],
            fail_if=scenario.conditions,
            timeout_s=scenario.callers.turn_timeout_s,
        )

    async def _health(self) -> GeneratorHealth | None:
        """Of the pods that have told theirs, the worst."""
        told = [record.health for record in self._records if record.health is not None]
        return worst(told) if told else None

    async def _make(self, manifest: dict[str, Any]) -> None:
        """The Job first, without pods: its ConfigMap is its own, and goes with it whatever becomes of us."""
        try:
            self._uid = await self._api.create_job(manifest)
            await self._api.create_config_map(plan_map(self._name, self._uid, self._plan.to_json()))
            await self._api.resume(self._name)
        except ApiError as error:
            raise self._api.usage_error(error) from error

    # --- until they start ---

    async def _until_ready(self) -> None:
        deadline_s = self._clock.monotonic() + self._where.ready_within_s
        while not all(record.ready for record in self._records):
            self._require_alive()
            if self._failure is not None and self._failure.status == FORBIDDEN:
                raise self._api.usage_error(self._failure) from self._failure
            for record in self._records:
                if record.refused is not None:
                    raise record.refused
                stuck = record.state is not None and record.state.stuck
                if stuck or (record.ended and record.log_over):
                    raise self._not_ready(record)
            if self._clock.monotonic() > deadline_s:
                raise await self._too_late()
            await self._clock.sleep(_DECIDE_EVERY_S)

    def _not_ready(self, record: PodRecord) -> UsageError:
        return UnreachableError(
            f"pod {record.index} of the load test cannot run: {record.hindrance}",
            field="--kubernetes",
            value=record.pod,
            hint="Correct the chart's `loadtest` values, or --secret.",
        )

    async def _too_late(self) -> UsageError:
        missing = [record for record in self._records if not record.ready]
        warnings = await self._api.warnings(self._uid)
        reasons = sorted({record.hindrance for record in missing})[:3]
        if any(record.state is None for record in missing):
            reasons += warnings[-1:]
        return UnreachableError(
            f"{len(missing)} of {self._where.pods} pods were not ready within {self._where.ready_within_s:.0f} s "
            f"({'; '.join(reasons)})",
            field="--pods",
            value=self._where.pods,
            hint="Ask for fewer pods, let them ask for less (loadtest.resources), or give them longer "
            "(kubernetes.ready_within_s in a scenario).",
        )

    async def _start(self) -> None:
        """Tell every pod when, on its own clock; wait until then."""
        lead_s = _LEAD_S + _LEAD_PER_POD_S * len(self._records)
        self._start_at = self._clock.wall().timestamp() + lead_s
        start_s = self._clock.monotonic() + lead_s
        offsets_s = [record.clock_offset_s or 0.0 for record in self._records]
        self._say(
            f"all pods are ready, their clocks differ by {max(offsets_s) - min(offsets_s):.2f} s; "
            f"start in {lead_s:.0f} s"
        )
        untold = list(self._records)
        while untold and self._clock.monotonic() < start_s:
            told = await asyncio.gather(*(self._tell(record) for record in untold))
            untold = [record for record, done in zip(untold, told, strict=True) if not done]
            if untold:
                await self._clock.sleep(_DECIDE_EVERY_S)
        if untold and self._failure is not None:
            raise self._api.usage_error(self._failure) from self._failure
        await self._clock.sleep(max(0.0, start_s - self._clock.monotonic()))

    # --- while they play ---

    async def _until_over(self) -> None:
        while not all(record.over for record in self._records):
            self._require_alive()
            now_s = self._clock.monotonic()
            for record in self._records:
                record.give_up_if_silent(now_s, self._answered_s)
            refused = next((record.refused for record in self._records if record.refused is not None), None)
            # What one pod found wrong is wrong for all, unless others have shown that calls can be held.
            if refused is not None and not any(record.joined for record in self._records):
                raise refused
            await self._clock.sleep(_DECIDE_EVERY_S)

    # --- beside ---

    async def _watch(self) -> None:
        """What Kubernetes says of the pods; the log of each is read from its begin on."""
        read: set[str] = set()
        while True:
            with self._bearing():
                manifests = await self._api.pods(self._name)
                self._answered_s = self._clock.monotonic()
                states = [state for manifest in manifests if (state := pod_state(manifest, self._container))]
                for record in self._records:
                    own = [state for state in states if state.index == record.index]
                    same = [state for state in own if state.name == record.pod]
                    record.see(next(iter(same or ([] if record.pod else own)), None))
                    if record.readable and record.pod not in read:
                        read.add(record.pod)
                        self._spawn(self._listen(record), f"listen-{record.index}")
                    elif record.ended and record.pod not in read:
                        record.log_over = True  # it ended without ever having begun
            await self._clock.sleep(_LOOK_EVERY_S)

    @contextlib.contextmanager
    def _bearing(self) -> Iterator[None]:
        """The API may be away for a while: pods play on."""
        try:
            yield
        except ApiError as error:
            self._failure = error
        except UsageError as error:  # credentials that cannot be renewed now
            self._failure = ApiError(str(error))

    async def _listen(self, record: PodRecord) -> None:
        """Read the log of a pod to its end, again from where it broke off as long as the pod runs."""
        since_s: float | None = None
        while not record.log_over:
            last = record.ended
            began_s = self._clock.monotonic()
            ago_s = None if since_s is None else math.ceil(began_s - since_s) + 5
            try:
                async for line in self._api.log(record.pod, self._container, ago_s, follow=not last):
                    now_s = self._clock.monotonic()
                    record.take(line, now_s, self._clock.wall().timestamp())
                    since_s = now_s
                # The log of a pod that had ended before is whole now.
                record.log_over = last
            except ApiError as error:
                self._failure = error
                record.log_over = last and error.status != 0  # with its pod, its log is gone
            if not record.log_over:
                await self._clock.sleep(_AGAIN_S)

    async def _attend(self) -> None:
        """Let the pods know that we are still there."""
        while True:
            self._beat += 1
            await asyncio.gather(*(self._tell(record) for record in self._records if not record.over))
            # New pods are told soon: they count from when they began.
            await self._clock.sleep(TOLD_EVERY_S)

    async def _tell(self, record: PodRecord) -> bool:
        if not record.pod or record.ended:
            return True
        start_at = None if self._start_at is None else self._start_at + (record.clock_offset_s or 0.0)
        with self._bearing():
            await self._api.tell(record.pod, Told(self._beat, start_at).to_json())
            return True
        return False

    def _spawn(self, work: Any, name: str) -> None:
        self._beside.add(asyncio.create_task(work, name=name))

    def _require_alive(self) -> None:
        """An error of ours beside must not make us wait for ever."""
        for task in self._beside:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _clean_up(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        failure: Exception | None = None
        for number in range(_TRIES):
            await self._clock.sleep(number * _AGAIN_S)
            try:
                await self._api.delete(self._name)
                return
            except (ApiError, UsageError) as error:
                failure = error
        self._say(
            f"{failure}: its pods end by themselves after {ALONE_AFTER_S:.0f} s, and it is removed later; or: "
            f"kubectl -n {self._api.namespace} delete job {self._name}"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
