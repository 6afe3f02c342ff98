"""The ways to carry speech that are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest

Need = Literal["bbr", "httpx", "hypercorn", "livekit-server", "turnserver"]
Path = Literal["udp", "tcp", "turn-tcp", "turn-tls"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way.

    Attributes:
        protocol: which code carries it: a module of `protocols`, or ``webrtc``.
        congestion: TCP's congestion control in both namespaces; every arm pins one, since kernels differ in theirs.
        path: of WebRTC's media.
        red, dtx: of WebRTC's audio track.
        streams: whether frames flow without waiting for an answer each.
    """

    id: str
    title: str
    protocol: Literal["udp", "tcp", "websocket", "http", "http2", "webrtc"]
    congestion: Literal["cubic", "bbr"] = "cubic"
    mode: Literal["", "new", "keepalive", "stream"] = ""
    path: Path = "udp"
    red: bool = True
    dtx: bool = False
    streams: bool = True
    needs: tuple[Need, ...] = ()

    @property
    def webrtc(self) -> bool:
        """Whether LiveKit carries it."""
        return self.protocol == "webrtc"

    @property
    def heavy(self) -> bool:
        """Whether a run takes much of the machine: servers and native threads, or a request for each frame."""
        return self.webrtc or not self.streams


_LIVEKIT: tuple[Need, ...] = ("livekit-server",)
_TURN: tuple[Need, ...] = ("livekit-server", "turnserver")

ARMS: tuple[Arm, ...] = (
    Arm("http-post-new", "HTTP, a POST and a connection per frame", "http", mode="new", streams=False),
    Arm("http-post-keepalive", "HTTP, a POST per frame, one connection", "http", mode="keepalive", streams=False),
    Arm("http-stream", "HTTP, streaming bodies", "http", mode="stream"),
    Arm("http2", "HTTP/2, streaming bodies", "http2", needs=("httpx", "hypercorn")),
    Arm("websocket", "WebSocket", "websocket"),
    Arm("tcp-cubic", "raw TCP, cubic", "tcp"),
    Arm("tcp-bbr", "raw TCP, BBR", "tcp", congestion="bbr", needs=("bbr",)),
    Arm("udp", "raw UDP", "udp"),
    Arm("webrtc-udp", "WebRTC over UDP", "webrtc", needs=_LIVEKIT),
    Arm("webrtc-udp-nored", "WebRTC over UDP, no RED", "webrtc", red=False, needs=_LIVEKIT),
    Arm("webrtc-udp-dtx", "WebRTC over UDP, DTX, no RED", "webrtc", red=False, dtx=True, needs=_LIVEKIT),
    Arm("webrtc-tcp", "WebRTC over TCP (ICE-TCP)", "webrtc", path="tcp", needs=_LIVEKIT),
    Arm("webrtc-turn-tcp", "WebRTC through TURN over TCP", "webrtc", path="turn-tcp", needs=_TURN),
    Arm("webrtc-turn-tls", "WebRTC through TURN over TLS", "webrtc", path="turn-tls", needs=_TURN),
)

BY_ID = {arm.id: arm for arm in ARMS}


def chosen(ids: Iterable[str]) -> tuple[Arm, ...]:
    """The arms of these ids, in the table's order; all when there are none.

    Raises:
        ConfigError: there is no such arm.
    """
    wanted = tuple(ids)
    for name in wanted:
        if name not in BY_ID:
            raise ConfigError("no such arm", field="--arms", value=name, hint=nearest(name, BY_ID))
    return tuple(arm for arm in ARMS if not wanted or arm.id in wanted)
