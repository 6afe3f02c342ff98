"""Whether callers hear what there is: both ears on the same calls, without loss and at 5 % of the packets to them.

In each room are an agent that answers after a known delay, a caller of the Go engine, and a listener of the Python SDK.
The Go ear tells when a packet comes, the other one when its jitter buffer plays it: by how much later is what the SDK's
own statistics declare for that call, and what is left is the ears' difference.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
from bench.density import agents_of, hold, p99, spread
from bench.health import Health
from bench.row import Row, failed, say
from bench.stand import Stand
from livekit import rtc

from support.played_agents import AGENT, Deaf
from voicefleet.callers.dense.engine import PLAYOUT_DELAY_S, DenseEngine
from voicefleet.callers.native import NativeClient
from voicefleet.callers.port import ClientSettings
from voicefleet.chaos.packets import open_filter
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.clock import SystemClock
from voicefleet.transports.protocols.webrtc_stats import flat

LOSS_RATIO = 0.05
MOST_ERROR_S = 0.020
MOST_ERROR_LOSSY_S = 0.060
ROUNDS, CALLS, TURNS = 2, 9, 12
"""216 turns, few calls at once: a listener of the Python SDK takes a twentieth of a core, and ears are judged here."""


@dataclass(slots=True)
class Heard:
    """Errors against the truth, and how much later the Python SDK's ear heard each voice; `extra`: voices that nobody
    had, of each ear."""

    go_s: list[float] = field(default_factory=list)
    playout_s: list[float] = field(default_factory=list)
    """What the SDK declares for the call of each voice."""
    python_s: list[float] = field(default_factory=list)
    apart_s: list[float] = field(default_factory=list)
    extra_go: int = 0
    extra_python: int = 0
    lost_ratio: float = 0.0


async def ears(on: Stand, quick: bool, command: str) -> list[Row]:
    """A row without loss, and one with it."""
    rounds, calls, turns = (1, 3, 2) if quick else (ROUNDS, CALLS, TURNS)
    rows = []
    for name, loss in (("ears", 0.0), ("ears_lossy", LOSS_RATIO)):
        health, heard = Health(), Heard()
        try:
            async with health.watch():
                for _ in range(rounds):
                    await _listen(on, calls, turns, loss, heard)
        except MissingPartError as error:  # of the packet filter: the other row needs none
            rows.append(failed(name, error, command))
            continue
        rows.append(_row(name, heard, loss, health, command))
        say(f"{name}: {rows[-1].values}")
    return rows


async def _listen(on: Stand, calls: int, turns: int, loss: float, heard: Heard) -> None:
    wishes, clock = ClientSettings(10.0), SystemClock()
    async with DenseEngine() as engine, agents_of(on, calls, dtx=True) as agents:
        listeners = [Deaf() for _ in range(calls)]
        clients = [
            NativeClient(agents.ticket(ticket.room, "ear"), listener, wishes, clock)
            for ticket, listener in zip(agents.tickets, listeners, strict=True)
        ]
        for client in clients:
            if error := await client.join():
                raise RuntimeError(error)
        async with _losing(on.livekit.settings.rtc_udp_port, loss):
            outcomes = await hold(agents, engine, turns, calls)
        declared_s = [await _playout_s(client.room) for client in clients]
        await asyncio.gather(*(client.leave() for client in clients))
        for outcome in outcomes:
            if outcome.error:
                raise RuntimeError(outcome.error)
            number = int(outcome.call_id.rpartition("-")[2])
            truths_s = agents.truths_s[number]
            by_go = np.array([(outcome.joined_at_s or 0.0) + begin_s for _, begin_s, _ in outcome.voices])
            by_python = np.array(listeners[number].began_s)
            heard.extra_go += by_go.size - len(truths_s)
            heard.extra_python += by_python.size - len(truths_s)
            for truth_s in truths_s:
                first_s, second_s = (float(all_s[np.abs(all_s - truth_s).argmin()]) for all_s in (by_go, by_python))
                heard.go_s.append(first_s - truth_s)
                heard.playout_s.append(declared_s[number])
                heard.python_s.append(second_s - truth_s)
                heard.apart_s.append(second_s - first_s)
        counts = engine.counts
        heard.lost_ratio = counts.lost / max(1, counts.lost + counts.packets)


async def _playout_s(room: rtc.Room) -> float:
    """How long the jitter buffer held the agent's voice, the mean of the call."""
    agent = next(one for one in room.remote_participants.values() if one.identity == AGENT)
    track = next(one.track for one in agent.track_publications.values() if one.track is not None)
    told = flat(await track.get_stats())
    return float(told["buffer_s"] / told["buffer_count"])


@contextlib.asynccontextmanager
async def _losing(udp_port: int, ratio: float) -> AsyncIterator[None]:
    """Of the packets that LiveKit sends, in the kernel's packet filter; what agents send to it arrives."""
    if not ratio:
        yield
        return
    async with open_filter() as rules:
        await rules.lose(udp_port, ratio, sides=("--sport",))
        yield


def _row(name: str, heard: Heard, loss: float, health: Health, command: str) -> Row:
    off_python_s = [error_s - playout_s for error_s, playout_s in zip(heard.python_s, heard.playout_s, strict=True)]
    off_apart_s = [apart_s - playout_s for apart_s, playout_s in zip(heard.apart_s, heard.playout_s, strict=True)]
    bound_s = MOST_ERROR_LOSSY_S if loss else MOST_ERROR_S
    met = p99(heard.go_s) <= bound_s and p99(off_python_s) <= bound_s and heard.extra_go == heard.extra_python == 0
    if not loss:
        met = met and p99(off_apart_s) <= MOST_ERROR_S
    void = health.void()
    return Row(
        name=name,
        n=len(heard.go_s),
        values={
            "voices": len(heard.go_s),
            "loss_ratio": loss,
            "lost_at_the_go_ear_ratio": round(heard.lost_ratio, 4),
            "go_error_ms": spread(heard.go_s),
            "python_error_ms": spread(heard.python_s),
            "python_minus_go_ms": spread(heard.apart_s),
            "python_declared_playout_ms": spread(heard.playout_s),
            "go_declares_of_a_real_client_ms": PLAYOUT_DELAY_S * 1000,
            "go_off_p99_ms": _ms(p99(heard.go_s)),
            "python_off_the_declared_p99_ms": _ms(p99(off_python_s)),
            "apart_off_the_declared_p99_ms": _ms(p99(off_apart_s)),
            "wanted_off_p99_ms": _ms(bound_s),
            "voices_too_many_go": heard.extra_go,
            "voices_too_many_python": heard.extra_python,
        },
        verdict="void" if void else "met" if met else "missed",
        why="; ".join(void) or "errors are against the moment at which the answer's packet was due",
        health=health.to_json(),
        command=command,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
