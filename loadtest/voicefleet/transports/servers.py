"""The servers that WebRTC needs, on the far host of a lab: livekit-server, and coturn for relays."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from livekit import api

from voicefleet.contract.errors import UnreachableError, UsageError
from voicefleet.netlab import namespaces
from voicefleet.netlab.lab import FAR, NEAR, Lab
from voicefleet.netlab.link import Link
from voicefleet.runtime.supervisor.children import Child, StopPlan, running
from voicefleet.stack.config import LiveKitSettings, livekit_config
from voicefleet.stack.find import find_livekit_server, find_turnserver
from voicefleet.transports.arms import Arm
from voicefleet.transports.protocols.certificate import make_certificate

_LIVEKIT_PORT, _UDP_PORT, _TCP_PORT, _TURN_PORT, _TURNS_PORT = 7880, 7882, 7881, 3478, 5349
_READY_LIMIT_S = 20.0
# livekit-server waits for its participants without limit on the first signal, and leaves on the second.
_LIVEKIT_STOP: StopPlan = ((signal.SIGTERM, 0.3), (signal.SIGTERM, 2.0))


@dataclass(frozen=True, slots=True)
class Rooms:
    """A livekit-server, and the relay to it if there is one."""

    url: str
    api_key: str
    api_secret: str
    relay: dict[str, str] | None = None

    def ticket(self, room: str, identity: str, *, relayed: bool) -> dict[str, Any]:
        """What an end needs to join."""
        token = (
            api.AccessToken(self.api_key, self.api_secret)
            .with_identity(identity)
            .with_grants(api.VideoGrants(room_join=True, room=room))
            .to_jwt()
        )
        return {"url": self.url, "token": token, "relay": self.relay if relayed else None}


@contextlib.asynccontextmanager
async def rooms(lab: Lab, link: Link, arm: Arm, directory: Path) -> AsyncIterator[Rooms]:
    """Run what the arm needs on the far host, beyond `link`.

    Raises:
        MissingPartError: a server is not on this machine.
        UsageError, UnreachableError: it ended at its start, or does not answer.
    """
    address = link.far_address
    async with contextlib.AsyncExitStack() as stack:
        settings = LiveKitSettings(
            region="lab",
            api_key=f"VF{secrets.token_hex(6)}",
            api_secret=secrets.token_urlsafe(36),
            port=_LIVEKIT_PORT,
            rtc_udp_port=_UDP_PORT,
            rtc_tcp_port=_TCP_PORT,
            host=address,
            node_ip=address,
            log_level="warn",
        )
        overrides = {"rtc": {"force_tcp": True}} if arm.path == "tcp" else {}
        config = _secret(directory / "livekit.yaml", yaml.safe_dump(livekit_config(settings, overrides)))
        program = (await asyncio.to_thread(find_livekit_server)).path
        await stack.enter_async_context(
            _serving(
                lab, FAR, "livekit-server", [str(program), "--config", str(config)], address, _LIVEKIT_PORT, directory
            )
        )
        relay = None
        if arm.path in ("turn-tcp", "turn-tls"):
            relay = await stack.enter_async_context(_relay(lab, link, arm, directory))
        yield Rooms(f"ws://{address}:{_LIVEKIT_PORT}", settings.api_key, settings.api_secret, relay)


@contextlib.asynccontextmanager
async def _relay(lab: Lab, link: Link, arm: Arm, directory: Path) -> AsyncIterator[dict[str, str]]:
    address = link.far_address
    username, password = "lab", secrets.token_urlsafe(16)
    lines = [
        f"listening-ip={address}",
        f"relay-ip={address}",
        f"listening-port={_TURN_PORT}",
        f"tls-listening-port={_TURNS_PORT}",
        "realm=lab",
        "lt-cred-mech",
        f"user={username}:{password}",
        "no-cli",
        "no-udp",
        "no-dtls",
        "no-multicast-peers",
        "log-file=stdout",
        "simple-log",
        f"pidfile={directory / 'turnserver.pid'}",
        f"userdb={directory / 'turn.db'}",
    ]
    tls = arm.path == "turn-tls"
    if tls:
        certificate, key = make_certificate(address, directory)
        lines += [f"cert={certificate}", f"pkey={key}"]
    else:
        lines.append("no-tls")
    config = _secret(directory / "turnserver.conf", "\n".join(lines) + "\n")
    program = (await asyncio.to_thread(find_turnserver)).path
    async with contextlib.AsyncExitStack() as stack:
        command = [str(program), "-c", str(config)]
        port = _TURNS_PORT if tls else _TURN_PORT
        await stack.enter_async_context(_serving(lab, FAR, "turnserver", command, address, port, directory))
        if tls:
            near = link.near_address
            words = [near, str(_TURN_PORT), address, str(_TURNS_PORT), str(certificate)]
            command = [sys.executable, "-m", "voicefleet.transports.protocols.tunnel", *words]
            await stack.enter_async_context(_serving(lab, NEAR, "tunnel", command, near, _TURN_PORT, directory))
            address = near
        yield {"url": f"turn:{address}:{_TURN_PORT}?transport=tcp", "username": username, "password": password}


@contextlib.asynccontextmanager
async def _serving(
    lab: Lab, role: str, name: str, command: list[str], address: str, port: int, directory: Path
) -> AsyncIterator[None]:
    plan = _LIVEKIT_STOP if name == "livekit-server" else ((signal.SIGTERM, 2.0),)
    # Before what else runs here: else a server held up by that is taken for a slow network. But not in real time, as
    # the two ends: livekit-server's threads wait for each other in loops, and at a fixed priority those starve all
    # others of it, each other and the ends, for ever (seen twice in 110 runs).
    first = ["nice", "-n", "-20"]  # where that is not allowed it says so, and runs the command all the same
    child = Child(name, lab.inside(role, [*first, *command]), log_path=directory / f"{name}.log", stop_plan=plan)
    async with running(child):
        deadline = time.monotonic() + _READY_LIMIT_S
        while not await asyncio.to_thread(_answers, lab.host(role), address, port):
            if (ended := child.unexpected_exit()) is not None:
                raise UsageError(
                    f"it ended at its start: {ended.describe()}", field=name, hint="Mend what its last lines say."
                )
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"it does not answer after {_READY_LIMIT_S:.0f} s; its last lines:\n{child.log_tail()}",
                    field=name,
                    value=f"{address}:{port}",
                    hint="Check the load of this machine.",
                )
            await asyncio.sleep(0.05)
        yield


def _answers(host: str, address: str, port: int) -> bool:
    def connect() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((address, port)) == 0

    return namespaces.within(host, connect)


def _secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path
