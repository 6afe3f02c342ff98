"""Runs a worker from start to end: checks, registration, reports, orders, draining."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from livekit.agents import AgentServer, JobExecutorType
from prometheus_client import CollectorRegistry

from voicefleet.contract import codec
from voicefleet.contract.metrics import worker as catalogue
from voicefleet.contract.reports import WorkerOrder, WorkerReport, WorkerState
from voicefleet.local.model_server.keeper import ModelServer
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.server import HttpServer, application, health_routes, parse_listen
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import Scripts, check_redis, connect_redis
from voicefleet.runtime.supervisor.age import process_age_s
from voicefleet.runtime.tasks import KeyedTasks, cancel_and_wait
from voicefleet.runtime.tracing import OtlpTracer, start_tracing
from voicefleet.worker.job import entry
from voicefleet.worker.job.ipc import JobChannelServer
from voicefleet.worker.job.sdk import on_job_process_closed, push_status
from voicefleet.worker.job.target import Target
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.ladder.stepper import Stepper
from voicefleet.worker.server.admission import Admission, Slots
from voicefleet.worker.server.preflight import check_livekit, defaults_told
from voicefleet.worker.server.reporter import Reporter
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.telemetry.metrics import WorkerMetrics
from voicefleet.worker.telemetry.observations import Observation, Turn
from voicefleet.worker.tiers.load import Tiers

log = get_logger(__name__)

MOST_TIERS_TOLD = 64
"""Every report holds them; with more, nobody is told which there are."""
_ENDLESS_RETRIES = 1_000_000_000
"""A worker that lost LiveKit keeps its calls and keeps trying; whether to restart it is the probes' business."""


class Worker:
    """One worker process. `run` is its whole life."""

    def __init__(
        self, settings: WorkerSettings, tiers: Tiers, target: Target, model_socket: Path, clock: Clock
    ) -> None:
        self._model_socket = model_socket
        self._settings = settings
        self._tiers = tiers
        self._clock = clock
        self._registered_after_s: float | None = None
        self._failure = ""
        self._order_seen = 0
        self._stopping = asyncio.Event()
        self._leaving = False
        self._tell_jobs: Callable[[Level], None] = lambda _: None
        self._registry = CollectorRegistry()
        self._metrics = WorkerMetrics(self._registry, frozenset(tiers.by_name), settings.agent_name)
        self._metrics.gauges[catalogue.SLOTS].set(settings.slots)
        self._metrics.gauges[catalogue.WORKER_INFO].labels(settings.worker_id).set(1)
        self._stepper = self._build_stepper()
        self._slots = Slots(settings.slots, self._active_jobs)
        self._had_jobs: frozenset[str] = frozenset()
        self._ended = KeyedTasks[str](self._job_not_ended)
        self._redis = connect_redis(settings.redis_url.get_secret_value())
        self._server = self._agent_server()
        self._reporter = Reporter(
            self._redis,
            settings.region,
            settings.worker_id,
            report=self.report,
            apply=self._apply,
            failed=self._metrics.counters[catalogue.REPORT_FAILURES].inc,
        )
        self._admission = Admission(
            self._slots,
            ClaimStore(Scripts(self._redis), settings.region),
            worker=settings.worker_id,
            count=self._metrics.answered,
            wake=self._reporter.wake,
            on_request=target.on_request,
            hook_failed=self._metrics.counters[catalogue.HOOK_FAILURES].labels("on_request").inc,
        )
        self._server.rtc_session(
            entry.entrypoint,
            agent_name=settings.agent_name,
            on_request=self._admission.answer,
            on_session_end=entry.session_end if target.on_session_end is not None else None,
        )
        self._http = HttpServer(self._app(), self._registry)

    # What others read

    @property
    def state(self) -> WorkerState:
        if self._slots.cordoned:
            return WorkerState.DRAINING
        return WorkerState.STARTING if self._registered_after_s is None else WorkerState.READY

    def report(self) -> WorkerReport:
        return WorkerReport(
            worker=self._settings.worker_id,
            region=self._settings.region,
            state=self.state.value,
            slots=self._slots.total,
            live=self._slots.live,
            accepting=self._slots.pending,
            uptime_s=round(process_age_s(os.getpid()), 3),
            startup_s=self._registered_after_s,
            pid=os.getpid(),
            http_port=self._http.port,
            rooms=[*(job.job.room.name for job in self._jobs()), *self._slots.pending_rooms()],
            order_seen=self._order_seen,
            pipeline=self._tiers.pipeline,
            tiers=tiers if len(tiers := sorted(self._tiers.by_name)) <= MOST_TIERS_TOLD else None,
            jobs=[job.job.id for job in self._jobs()],
            silent=self._metrics.silent_calls,
            ttfa=list(self._metrics.ttfa_counts),
            turns=self._metrics.counts(catalogue.TURNS),
            provider_failures=self._metrics.counts(catalogue.PROVIDER_FAILURES),
            tier_level=self._stepper.level.steps if self._stepper is not None else None,
            tier_why=self._stepper.level.why if self._stepper is not None else "",
        )

    def _not_ready(self) -> str:
        # Full and draining are not told here: Kubernetes removes NotReady pods first, calls and all.
        return self._failure or ("" if self._registered_after_s is not None else "not registered with LiveKit yet")

    def _app(self) -> web.Application:
        app = application()
        health_routes(app, self._registry, ready=self._not_ready, alive=lambda: self._failure)

        async def status(_: web.Request) -> web.Response:
            return web.Response(text=codec.dump(self.report().status), content_type="application/json")

        app.router.add_get("/status", status)
        return app

    # Life

    async def run(self) -> None:
        """Serve calls until told to stop; then let live calls finish, up to the drain time-out.

        Raises:
            UsageError: something the user can mend is wrong; nothing is left running.
        """
        settings = self._settings
        url, key = settings.livekit_url, settings.livekit_api_key
        secret = settings.livekit_api_secret.get_secret_value()
        with defaults_told(settings.unset_variables):
            await asyncio.gather(
                check_livekit(url, key, secret, clock=self._clock),
                check_redis(self._redis, settings.redis_url.get_secret_value(), field="VOICEFLEET_REDIS_URL"),
            )
        host, port = parse_listen(settings.listen, field="--listen")
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._redis.aclose)
            await self._http.start(host, port, field="--listen")
            stack.push_async_callback(self._http.close)
            await stack.enter_async_context(self._job_surroundings())
            self._handle_signals()
            await self._serve()

    @contextlib.asynccontextmanager
    async def _job_surroundings(self) -> AsyncIterator[None]:
        """What job processes reach us and the models by; the models load once for all of them."""
        settings, metrics = self._settings, self._metrics
        channels = JobChannelServer(
            Path(settings.job_socket),
            metrics.observed if self._stepper is None else self._observed,
            metrics.job_gone,
            metrics.dropped,
            level=self._level if self._stepper is not None else None,
        )
        self._tell_jobs = channels.tell
        async with contextlib.AsyncExitStack() as stack:
            resource = {"service.instance.id": settings.worker_id, "voicefleet.region": settings.region}
            tracer = start_tracing(settings.otlp_endpoint, "voicefleet-worker", resource, self._registry)
            if isinstance(tracer, OtlpTracer):
                metrics.emit = tracer.emit
                stack.callback(tracer.close)
            await channels.start()
            stack.push_async_callback(channels.close)
            if models := sorted(self._tiers.required_models):
                served = ModelServer(models, self._model_socket, threads=self._settings.model_threads)
                await stack.enter_async_context(served)
            yield

    async def _serve(self) -> None:
        self._metrics.histograms[catalogue.WORKER_STARTUP].labels("init").observe(process_age_s(os.getpid()))
        self._server.on("worker_started", self._on_started)
        self._server.on("worker_registered", self._on_registered)
        reporting = asyncio.create_task(self._reporter.run())
        serving = asyncio.create_task(self._server.run())
        stepping = [asyncio.create_task(self._stepper.run())] if self._stepper is not None else []
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                self._failure = "the LiveKit worker loop ended"
                serving.result()
            else:
                await self._drain_and_close()
        finally:
            await cancel_and_wait([reporting, stopping, *stepping])
            await self._ended.cancel_and_wait()
            await self._server.aclose()
            await asyncio.gather(serving, return_exceptions=True)
            await self._reporter.delete_report()
        log.info("worker ended")

    # The ladder of tiers

    def _build_stepper(self) -> Stepper | None:
        """None: calls are served by the tier that they ask for."""
        if self._tiers.ladder is None:
            return None
        if self._settings.telemetry == "off":
            # Jobs are not connected to this process then.
            log.warning("the ladder of tiers is not used: VOICEFLEET_TELEMETRY is off")
            return None
        return Stepper(self._tiers.ladder, self._metrics, self._clock, self._on_level, lambda: self._slots.busy)

    def _level(self) -> Level:
        assert self._stepper is not None, "only a worker with a ladder is asked"
        return self._stepper.level

    def _on_level(self, level: Level) -> None:
        self._tell_jobs(level)
        self._reporter.wake()

    def _observed(self, channel: int, observation: Observation) -> None:
        self._metrics.observed(channel, observation)
        if self._stepper is not None and isinstance(observation, Turn):
            self._stepper.turn(observation)

    async def _drain_and_close(self) -> None:
        if self._registered_after_s is None:
            return
        try:
            await self._server.drain(self._settings.drain_timeout_s)
        except TimeoutError:
            log.error("drain timed out: live calls end now", calls=self._slots.busy)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stopping.is_set():
            log.warning("second signal: live calls end now", calls=self._slots.busy)
            os._exit(1)
        self._leave()

    def _leave(self) -> None:
        log.info("draining: live calls go on or are handed over, no new ones are accepted", calls=self._slots.busy)
        self._leaving = True
        self._slots.cordoned = True
        self._stopping.set()
        self._reporter.wake()

    # Orders and events

    async def _apply(self, order: WorkerOrder) -> None:
        if order.serial == self._order_seen:
            return
        if order.leave and not self._leaving:
            self._order_seen = order.serial
            self._leave()
            return
        changed = not self._leaving and self._slots.cordoned != order.cordon
        if changed:
            self._slots.cordoned = order.cordon
            log.info("cordoned" if order.cordon else "un-cordoned", calls=self._slots.busy)
            await push_status(self._server)
        # Only after LiveKit was told, since the controller dispatches and retires by this number.
        self._order_seen = order.serial
        if changed:
            self._reporter.wake()

    def _on_started(self) -> None:
        on_job_process_closed(self._server, self._on_jobs_changed)

    def _on_registered(self, *_: Any) -> None:
        if self._registered_after_s is None:
            self._registered_after_s = round(process_age_s(os.getpid()), 3)
            self._metrics.histograms[catalogue.WORKER_STARTUP].labels("register").observe(self._registered_after_s)
            log.info("registered", startup_s=self._registered_after_s, http_port=self._http.port)
        self._reporter.wake()

    def _on_jobs_changed(self) -> None:
        self._metrics.gauges[catalogue.CALLS_ACTIVE].set(self._slots.live)
        before, self._had_jobs = self._had_jobs, self._active_jobs()
        for job in before - self._had_jobs:
            self._ended.start(job, functools.partial(self._job_ended, job))
        self._reporting_change = asyncio.create_task(self._report_change())

    async def _job_ended(self, job: str) -> None:
        await self._admission.job_ended(job)
        self._reporter.wake()

    def _job_not_ended(self, job: str, error: BaseException) -> None:
        log.error("what was left of a job is not cleared", job=job, exc_info=error)

    async def _report_change(self) -> None:
        await push_status(self._server)
        self._reporter.wake()

    # The SDK's side

    def _agent_server(self) -> AgentServer:
        settings = self._settings
        return AgentServer(
            job_executor_type=JobExecutorType.PROCESS,
            load_fnc=self._slots.load,
            load_threshold=0.7,
            setup_fnc=entry.setup,
            num_idle_processes=settings.idle,
            initialize_process_timeout=60.0,
            job_memory_warn_mb=0,
            job_memory_limit_mb=settings.job_memory_limit_mb,
            drain_timeout=settings.drain_timeout_s,
            max_retry=_ENDLESS_RETRIES,
            ws_url=settings.livekit_url,
            api_key=settings.livekit_api_key,
            api_secret=settings.livekit_api_secret.get_secret_value(),
            host="127.0.0.1",
            port=0,
        )

    def _jobs(self) -> list[Any]:
        # The pool exists only once the server runs.
        return self._server.active_jobs if hasattr(self._server, "_proc_pool") else []

    def _active_jobs(self) -> frozenset[str]:
        return frozenset(job.job.id for job in self._jobs())
