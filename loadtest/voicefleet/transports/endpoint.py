"""One end of one run, as a process in its namespace: `python -m voicefleet.transports.endpoint ORDER.json`.

The agent says "ready" on its standard output once it listens. Each end writes what its ear got to the files that its
order names, and ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from voicefleet.netlab.realtime import SPEAKING_PRIORITY, become_realtime
from voicefleet.transports.arms import BY_ID, Arm
from voicefleet.transports.material import speech
from voicefleet.transports.protocols.protocol import Wire
from voicefleet.transports.talk import Hearing, Mouth

Role = Literal["caller", "agent"]
_CONNECT_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """What an end is to do.

    Attributes:
        address: where the agent listens.
        seconds: how long both speak; grace_s: how long after that their words may still arrive.
        out: prefix of the result: PREFIX.json and PREFIX.npz.
        livekit: for WebRTC: url, token, and the relay to use.
    """

    arm: str
    role: Role
    address: str
    seconds: float
    grace_s: float
    seed: int
    out: str
    livekit: dict[str, Any] = field(default_factory=dict)

    @property
    def says(self) -> int:
        """Seed of what this end says; the other end hears `hears`."""
        return 2 * self.seed + (self.role == "agent")

    @property
    def hears(self) -> int:
        return 2 * self.seed + (self.role == "caller")


def wire_of(arm: Arm) -> type[Wire]:
    """The arm's protocol; imported here, since an arm must not need another's library."""
    if arm.wire == "udp":
        from voicefleet.transports.protocols.udp import UdpWire as Chosen
    elif arm.wire == "tcp":
        from voicefleet.transports.protocols.tcp import TcpWire as Chosen  # type: ignore[assignment]
    elif arm.wire == "websocket":
        from voicefleet.transports.protocols.websocket import WebSocketWire as Chosen  # type: ignore[assignment]
    elif arm.wire == "http":
        from voicefleet.transports.protocols.http import HttpWire as Chosen  # type: ignore[assignment]
    else:
        from voicefleet.transports.protocols.http2 import Http2Wire as Chosen  # type: ignore[assignment]
    return Chosen


async def talk(order: Order, kind: type[Wire]) -> None:
    """Both mouths at once, until all is heard or the time is over; then the files."""
    arm = BY_ID[order.arm]
    mouth = Mouth(speech(order.says, order.seconds))
    hearing = Hearing(mouth.count)
    wire = kind(mouth, hearing, order.address, arm.mode)
    caller = order.role == "caller"
    began_s = time.monotonic()
    async with asyncio.timeout(_CONNECT_LIMIT_S):
        await (wire.connect() if caller else wire.listen())
    connected_s = time.monotonic()
    if not caller:
        print("ready", flush=True)
    speaking = asyncio.create_task(wire.speak())
    async with asyncio.timeout(_CONNECT_LIMIT_S):
        await mouth.begun()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(order.seconds + order.grace_s):
            await hearing.complete.wait()
            if not caller or arm.mode != "keepalive":
                await asyncio.wait({speaking})
    # The other end may still be short of frames that are under way. The agent asks for TCP's counts before the caller
    # hangs up: afterwards the connection does not say any more how it did.
    await asyncio.sleep(order.grace_s / (2 if caller else 4))
    failed = speaking.exception() if speaking.done() and not speaking.cancelled() else None
    wire.measure()
    if not caller:
        await asyncio.sleep(order.grace_s)
    await wire.close()
    speaking.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await speaking
    np.savez(f"{order.out}.npz", spoken_s=hearing.spoken_s, arrived_s=hearing.arrived_s, pcm=hearing.pcm)
    summary = {
        "connect_ms": 1000 * (connected_s - began_s) if caller else None,
        "first_audio_ms": 1000 * (hearing.first_s - began_s) if caller and hearing.first_s is not None else None,
        "pacer": mouth.lateness.to_json(),
        "retransmits": wire.retransmits,
        "segments": wire.segments,
        "failed": None if failed is None else f"{type(failed).__name__}: {failed}",
    }
    Path(f"{order.out}.json").write_text(json.dumps(summary))


def main(path: str) -> None:
    """Carry out the order in the file."""
    order = Order(**json.loads(Path(path).read_text()))
    arm = BY_ID[order.arm]
    if arm.webrtc:
        from voicefleet.transports.protocols.webrtc import talk as over_webrtc

        work = over_webrtc(order)
    else:
        work = talk(order, wire_of(arm))
    # Only now: what is imported at this priority holds up every other end that speaks. Threads inherit it.
    become_realtime(SPEAKING_PRIORITY)
    # The default event loop wakes by whole milliseconds; this one does it by microseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(work)


def write_order(order: Order) -> Path:
    """The order as a file that only we may read: it may hold a token."""
    path = Path(f"{order.out}.order.json")
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(order)))
    return path


if __name__ == "__main__":
    main(sys.argv[1])
