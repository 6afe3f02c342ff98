"""A whole fleet on this machine: Redis, livekit-servers, and one controller that starts and scales the workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from voicefleet.contract.errors import UnreachableError, UsageError
from voicefleet.runtime.supervisor.children import Child, UnexpectedExit
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.stack.servers import LiveKit, Redis, livekit_server, redis_server

READY_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class PoolShape:
    """The bounds of every region's pool.

    A fleet of a few workers for a few minutes keeps a buffer: the predictive policy takes a minute to know a pool, and
    pays off where calls are many.
    """

    slots: int
    min_workers: int
    max_workers: int
    buffer: int
    scale_down_delay_s: float
    policy: str = "buffer"
    wait_ratio: float = 0.001
    price: tuple[float, str] | None = None
    """Of a worker's hour, and its currency."""


class Controller:
    """The controller's process: can be killed and started again on its port. Its workers outlive a kill; the next
    start adopts them.

    Args:
        make: starts the process.
        ready_file: where it writes its address once it listens.
    """

    def __init__(self, make: Callable[[], Child], ready_file: Path) -> None:
        self._make = make
        self._ready_file = ready_file
        self._child: Child | None = None

    @property
    def proc(self) -> Child:
        """The process of the last start, ended or not."""
        if self._child is None:
            raise RuntimeError("the controller was never started")
        return self._child

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(json.loads(self._ready_file.read_text())["url"])

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            UsageError: it ended at its start, or does not answer in time; the message has its last lines.
        """
        self._ready_file.unlink(missing_ok=True)
        self._child = self._make()
        await _until_ready(self._child, self._ready_file)

    async def stop(self, *, kill: bool = False) -> None:
        """Stop it and its workers in order; with `kill` it alone, as a crash would."""
        if self._child is None:
            return
        if kill:
            self._child.kill()
        await self._child.stop()


@dataclass(slots=True)
class Fleet:
    """A running fleet and the handles to disturb it."""

    api_url: str
    livekit: Mapping[str, LiveKit]
    redis: Redis
    controller: Controller
    log_dir: Path
    unexpected_exits: list[UnexpectedExit]

    def log_tails(self, lines: int = 8) -> str:
        """The last `lines` of the log of the controller and of every worker, for messages."""
        found = []
        for log in sorted(self.log_dir.glob("*.log")):
            if not log.name.startswith(("livekit", "redis")):
                found += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(found)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How the workers are started."""

    tiers: str
    """A tiers file, or the name of a built-in; empty: what a worker takes for its agent."""
    agent: str = "voicefleet.worker.agents:assistant"
    """Empty: what the workers' environment says."""
    env: Mapping[str, str] = field(default_factory=dict)
    """More environment."""
    launcher: Sequence[str] = ()
    """A program, with arguments, that executes the worker's own command line, which follows."""


@contextlib.asynccontextmanager
async def running_fleet(
    regions: tuple[str, ...],
    shape: PoolShape | Mapping[str, PoolShape],
    directory: Path,
    *,
    workers: WorkerOptions | Mapping[str, WorkerOptions],
    webhooks: Callable[[str], str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    call_events: Mapping[str, Any] | None = None,
    livekit_metrics: bool = False,
) -> AsyncIterator[Fleet]:
    """Start everything, hand it over once the controller answers, stop everything, each by its pid.

    Args:
        shape: of every region's pool, or region -> its own.
        directory: for logs and the controller's file; the caller's to remove.
        workers: how all workers are started, or region -> how its own are.
        webhooks: given the controller's address for webhooks, says where LiveKit shall send them instead.
        overrides: fields of the controller's file that replace ours, or come on top, for every region.
        call_events: the receivers of call events, as the controller's file has them.
        livekit_metrics: LiveKit serves its metrics too.

    Raises:
        UsageError: a part did not start; the message says which, why and what to do.
    """
    unexpected_exits: list[UnexpectedExit] = []
    log_dir = directory / "logs"
    log_dir.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        ports = stack.enter_context(Ports())
        port = ports.tcp()
        redis = await stack.enter_async_context(redis_server(log_dir=log_dir, on_exit=unexpected_exits.append))
        servers = {}
        for region in regions:
            target = f"http://127.0.0.1:{port}/webhooks/livekit/{region}"
            servers[region] = await stack.enter_async_context(
                livekit_server(
                    region,
                    webhook_urls=[webhooks(target) if webhooks else target],
                    prometheus=livekit_metrics,
                    log_dir=log_dir,
                    on_exit=unexpected_exits.append,
                )
            )
        config = directory / "controller.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    **_controller_config(regions, servers, shape, directory, port, workers, overrides or {}),
                    "call_events": dict(call_events or {}),
                }
            )
        )
        ready_file = directory / "controller.json"

        def start() -> Child:
            command = [sys.executable, "-m", "voicefleet.cli.app", "controller"]
            return Child(
                "controller",
                [*command, "--config", config, "--ready-file", ready_file],
                log_path=log_dir / "controller.log",
                env={
                    "VOICEFLEET_REDIS_URL": redis.url,
                    **{_secret_name(r): s.api_secret for r, s in servers.items()},
                },
                stop_plan=((signal.SIGTERM, 20.0),),
                on_exit=unexpected_exits.append,
            )

        controller = Controller(start, ready_file)
        stack.push_async_callback(controller.stop)
        await controller.start()
        yield Fleet(controller.url, servers, redis, controller, log_dir, unexpected_exits)


def _secret_name(region: str) -> str:
    return f"VOICEFLEET_{region.upper()}_LIVEKIT_SECRET"


def _controller_config(
    regions: tuple[str, ...],
    servers: Mapping[str, LiveKit],
    shape: PoolShape | Mapping[str, PoolShape],
    directory: Path,
    port: int,
    workers: WorkerOptions | Mapping[str, WorkerOptions],
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    of = {region: workers if isinstance(workers, WorkerOptions) else workers[region] for region in regions}
    shapes = {region: shape if isinstance(shape, PoolShape) else shape[region] for region in regions}
    return {
        "listen": f"127.0.0.1:{port}",
        "auth": "none",
        "redis_url_env": "VOICEFLEET_REDIS_URL",
        "tick_s": 0.5,
        "regions": {
            region: {
                "livekit": {
                    "url": servers[region].url,
                    "api_key": servers[region].api_key,
                    "api_secret_env": _secret_name(region),
                },
                "pool": {
                    "min_workers": shapes[region].min_workers,
                    "max_workers": shapes[region].max_workers,
                    "slots": shapes[region].slots,
                    "buffer": shapes[region].buffer,
                    "scale_down_delay_s": shapes[region].scale_down_delay_s,
                    "policy": shapes[region].policy,
                    "wait_ratio": shapes[region].wait_ratio,
                    **_price(shapes[region]),
                },
                "process": {
                    "command": _worker_command(of[region]),
                    "env": dict(of[region].env),
                    "state_dir": str(directory / "workers" / region),
                    "log_dir": str(directory / "logs"),
                },
                # The lab listens for agents; who measures the message asks for it.
                "waiting_message": None,
                **overrides,
            }
            for region in regions
        },
    }


def _price(shape: PoolShape) -> dict[str, Any]:
    return {} if shape.price is None else {"price_per_worker_hour": shape.price[0], "currency": shape.price[1]}


def _worker_command(options: WorkerOptions) -> list[str]:
    tiers = ["--tiers", options.tiers] if options.tiers else []
    agent = ["--agent", options.agent] if options.agent else []
    worker = [sys.executable, "-m", "voicefleet.cli.app", "worker", *tiers, *agent]
    return [*options.launcher, *worker]


async def _until_ready(controller: Child, ready_file: Path) -> None:
    try:
        async with asyncio.timeout(READY_LIMIT_S):
            while not ready_file.exists():
                if (ended := controller.unexpected_exit()) is not None:
                    raise UsageError(
                        f"it ended at its start: {ended.describe()}",
                        field="controller",
                        hint="Mend what its last lines say, then start again.",
                    )
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise UnreachableError(
            f"it does not answer after {READY_LIMIT_S:.0f} s; its last lines:\n{controller.log_tail()}",
            field="controller",
            hint="Check the load of this machine, then start again.",
        ) from error
