"""A livekit-server and a Redis of our own, on loopback, as async context managers.

    async with livekit_server("eu") as livekit, redis_server() as redis: ...

Both stop when the block ends, can be stopped and started again on the same ports with the same secrets (for
chaos tests), and belong to no event loop. Secrets are generated, live in files of mode 0600 in a directory of
mode 0700, and never stand in a command line or a `repr`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio
import redis.exceptions
import yaml
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from voicefleet.runtime.supervisor.children import StopPlan, private_directory
from voicefleet.runtime.supervisor.ports import ANY, LOOPBACK, Ports, require_free
from voicefleet.stack.config import LiveKitSettings, livekit_config, redis_config
from voicefleet.stack.find import find_livekit_server, find_redis_server
from voicefleet.stack.server import OnExit, Server

# livekit-server waits for its participants without limit on the first signal, and leaves on the second.
_LIVEKIT_STOP: StopPlan = ((signal.SIGTERM, 0.3), (signal.SIGTERM, 3.0))


@dataclass(kw_only=True)
class LiveKit(Server):
    """A livekit-server of one region. Its rooms do not survive a restart."""

    settings: LiveKitSettings
    config_path: Path

    @property
    def region(self) -> str:
        """The region it serves."""
        return self.settings.region

    @property
    def url(self) -> str:
        """For callers and agents: `ws://...`."""
        return f"ws://{self.settings.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """For the server API: `http://...`."""
        return f"http://{self.settings.host}:{self.port}"

    @property
    def metrics_url(self) -> str | None:
        """Prometheus metrics, if a port was asked for."""
        port = self.settings.prometheus_port
        return None if port is None else f"http://{self.settings.host}:{port}/metrics"

    @property
    def api_key(self) -> str:
        """Generated for this run."""
        return self.settings.api_key

    @property
    def api_secret(self) -> str:
        """Generated for this run."""
        return self.settings.api_secret

    def arguments(self) -> list[str]:
        return ["--config", str(self.config_path)]

    def require_ports(self) -> None:
        host = self.settings.host
        require_free(self.port, "tcp", field=f"{self.name}.port", host=host)
        require_free(self.settings.rtc_udp_port, "udp", field=f"{self.name}.rtc_udp_port", host=host)
        if self.settings.rtc_tcp_port is not None:
            require_free(self.settings.rtc_tcp_port, "tcp", field=f"{self.name}.rtc_tcp_port", host=ANY)
        if self.settings.prometheus_port is not None:
            require_free(self.settings.prometheus_port, "tcp", field=f"{self.name}.prometheus_port", host=host)

    async def answers(self) -> bool:
        limit = aiohttp.ClientTimeout(total=1.0)
        try:
            async with aiohttp.ClientSession(timeout=limit) as http, http.get(self.http_url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


@dataclass(kw_only=True)
class Redis(Server):
    """A Redis of our own, empty at its first start."""

    password: str | None = field(repr=False)
    config_path: Path
    data_directory: Path

    @property
    def url(self) -> str:
        """With the password in it: do not log it."""
        secret = "" if self.password is None else f":{self.password}@"
        return f"redis://{secret}{LOOPBACK}:{self.port}/0"

    def arguments(self) -> list[str]:
        return [str(self.config_path)]

    def require_ports(self) -> None:
        require_free(self.port, "tcp", field="redis.port")

    async def answers(self) -> bool:
        once = Retry(NoBackoff(), retries=0)  # we poll already: the client's own patience would only add to it
        async with redis.asyncio.Redis.from_url(self.url, socket_timeout=1.0, retry=once) as client:
            try:
                return bool(await client.ping())
            except (redis.exceptions.RedisError, OSError):
                return False

    async def restart(self, *, kill: bool = False, keep_data: bool = False) -> None:
        """Stop and start it on the same port; with `keep_data`, with what it holds at this moment."""
        if keep_data:
            async with redis.asyncio.Redis.from_url(self.url) as client:
                await client.save()
        await self.stop(kill=kill)
        if not keep_data:
            (self.data_directory / "dump.rdb").unlink(missing_ok=True)
        await self.start()


@contextlib.asynccontextmanager
async def livekit_server(
    region: str,
    *,
    webhook_urls: Sequence[str] = (),
    port: int | None = None,
    rtc_tcp: bool = True,
    prometheus: bool = False,
    node_ip: str = LOOPBACK,
    log_level: str = "info",
    log_dir: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_exit: OnExit | None = None,
) -> AsyncIterator[LiveKit]:
    """Run a livekit-server for the block: no Redis, its own ports and secrets.

    Args:
        region: its region, also the name of its log.
        webhook_urls: where it sends its events, signed with its own key.
        port: of HTTP and signalling; a free one by default. All others are always free ones.
        rtc_tcp: also take media over TCP, for callers whose network blocks UDP.
        prometheus: serve metrics (`metrics_url`).
        node_ip: address that media is sent to; another than loopback makes relays and emulated networks possible.
        overrides: merged into livekit-server's configuration.
        on_exit: see `Child`.

    Raises:
        MissingPartError, ConfigError, UsageError, UnreachableError: see `find_livekit_server` and `Server.start`.
    """
    name = f"livekit-server-{region}"
    program = (await asyncio.to_thread(find_livekit_server)).path
    with Ports() as ports, private_directory(name) as directory:
        settings = LiveKitSettings(
            region=region,
            api_key=f"VF{secrets.token_hex(6)}",
            api_secret=secrets.token_urlsafe(36),
            port=ports.tcp() if port is None else port,
            rtc_udp_port=ports.udp(),
            rtc_tcp_port=ports.tcp(ANY) if rtc_tcp else None,
            prometheus_port=ports.tcp() if prometheus else None,
            webhook_urls=webhook_urls,
            node_ip=node_ip,
            log_level=log_level,
        )
        text = yaml.safe_dump(livekit_config(settings, overrides))
        server = LiveKit(
            name=name,
            program=program,
            port=settings.port,
            log_path=(log_dir or directory) / f"{name}.log",
            on_exit=on_exit,
            stop_plan=_LIVEKIT_STOP,
            settings=settings,
            config_path=_secret_file(directory / "livekit.yaml", text),
        )
        async with server.served():
            yield server


@contextlib.asynccontextmanager
async def redis_server(
    *,
    password: bool = True,
    port: int | None = None,
    log_dir: Path | None = None,
    on_exit: OnExit | None = None,
) -> AsyncIterator[Redis]:
    """Run a Redis for the block: empty, in memory only, with a generated password unless told otherwise.

    Raises:
        MissingPartError, ConfigError, UsageError, UnreachableError: see `find_redis_server` and `Server.start`.
    """
    program = (await asyncio.to_thread(find_redis_server)).path
    with Ports() as ports, private_directory("redis") as directory:
        chosen = ports.tcp() if port is None else port
        secret = secrets.token_urlsafe(32) if password else None
        text = redis_config(port=chosen, directory=directory, password=secret)
        server = Redis(
            name="redis-server",
            program=program,
            port=chosen,
            log_path=(log_dir or directory) / "redis-server.log",
            on_exit=on_exit,
            password=secret,
            config_path=_secret_file(directory / "redis.conf", text),
            data_directory=directory,
        )
        async with server.served():
            yield server


def _secret_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)
    return path
