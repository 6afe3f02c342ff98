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
from pathlib import Path

import numpy as np

from voicefleet.netlab.realtime import SPEAKING_PRIORITY, become_realtime
from voicefleet.transports.arms import BY_ID, Arm
from voicefleet.transports.material import speech
from voicefleet.transports.order import Order
from voicefleet.transports.protocols.protocol import ProtocolEnd
from voicefleet.transports.talk import SpeechSource, TrackListener

_CONNECT_LIMIT_S = 30.0


def end_of(arm: Arm) -> type[ProtocolEnd]:
    """The arm's protocol; imported here, since an arm must not need another's library."""
    if arm.protocol == "udp":
        from voicefleet.transports.protocols.udp import UdpEnd as Chosen
    elif arm.protocol == "tcp":
        from voicefleet.transports.protocols.tcp import TcpEnd as Chosen  # type: ignore[assignment]
    elif arm.protocol == "websocket":
        from voicefleet.transports.protocols.websocket import WebSocketEnd as Chosen  # type: ignore[assignment]
    elif arm.protocol == "http":
        from voicefleet.transports.protocols.http import HttpEnd as Chosen  # type: ignore[assignment]
    else:
        from voicefleet.transports.protocols.http2 import Http2End as Chosen  # type: ignore[assignment]
    return Chosen


async def talk(order: Order, kind: type[ProtocolEnd]) -> None:
    """Both ends speak at once, until all is heard or the time is over; then the files."""
    arm = BY_ID[order.arm]
    source = SpeechSource(speech(order.says, order.seconds))
    listener = TrackListener(source.count)
    end = kind(source, listener, order.address, arm.mode)
    caller = order.role == "caller"
    began_s = time.monotonic()
    async with asyncio.timeout(_CONNECT_LIMIT_S):
        await (end.connect() if caller else end.listen())
    connected_s = time.monotonic()
    if not caller:
        print("ready", flush=True)
    speaking = asyncio.create_task(end.speak())
    async with asyncio.timeout(_CONNECT_LIMIT_S):
        await source.begun()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(order.seconds + order.grace_s):
            await listener.complete.wait()
            if not caller or arm.mode != "keepalive":
                await asyncio.wait({speaking})
    # The other end may still be short of frames that are under way. The agent asks for TCP's counts before the caller
    # hangs up: afterwards the connection does not say any more how it did.
    await asyncio.sleep(order.grace_s / (2 if caller else 4))
    failed = speaking.exception() if speaking.done() and not speaking.cancelled() else None
    end.measure()
    if not caller:
        await asyncio.sleep(order.grace_s)
    await end.close()
    speaking.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await speaking
    np.savez(f"{order.out}.npz", spoken_s=listener.spoken_s, arrived_s=listener.arrived_s, pcm=listener.pcm)
    summary = {
        "connect_ms": 1000 * (connected_s - began_s) if caller else None,
        "first_audio_ms": 1000 * (listener.first_s - began_s) if caller and listener.first_s is not None else None,
        "pacer": source.lateness.to_json(),
        "retransmits": end.retransmits,
        "segments": end.segments,
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
        work = talk(order, end_of(arm))
    # Only now: what is imported at this priority holds up every other end that speaks. Threads inherit it.
    become_realtime(SPEAKING_PRIORITY)
    # The default event loop wakes by whole milliseconds; this one does it by microseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(work)


if __name__ == "__main__":
    main(sys.argv[1])
