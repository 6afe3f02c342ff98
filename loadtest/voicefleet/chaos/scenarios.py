"""The table: what each row breaks, on which fleet, and what it must show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from voicefleet.chaos.fault_context import Scene
from voicefleet.chaos.faults import clock, network, orders, processes, providers, servers, webhooks
from voicefleet.chaos.measure import Bound
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest

Fault = Callable[[Scene], Awaitable[None]]

AFTER_KILL = Bound(voice_back_s=3.0)
AFTER_STALL = Bound(voice_back_s=6.0)
HANDOFF = Bound(empty_s=15.0, extra_wait_s=1.0)
HANDOVER = Bound(extra_wait_s=1.0)
NONE = Bound()


@dataclass(frozen=True, slots=True)
class Gear:
    """The fleet that a row needs; rows with the same gear share one. Every fleet has one region.

    By default three workers of three slots: four or five calls, and room for the calls of any worker that is lost, as
    an operator who wants to survive it would have.
    """

    slots: int = 3
    workers: int = 3
    most: int = 4
    buffer: int = 2
    scale_down_delay_s: float = 10.0
    relay: bool = False
    """Webhooks go through a relay of ours."""
    packets: bool = False
    """Each worker has a group id of its own, and we have chains in the packet filter."""
    clocks: bool = False
    """Each worker has a clock of its own."""
    hold_message: bool = False
    """Waiting callers are told so by a voice, and wait longer for it."""
    providers: bool = False
    """The synthetic providers read a file that makes them fail."""


NORMAL = Gear()
FILTERED = Gear(packets=True)
OWN_CLOCKS = Gear(clocks=True)
BREAKABLE = Gear(slots=3, workers=2, most=3, providers=True)
RELAYED = Gear(slots=2, workers=2, most=3, buffer=0, scale_down_delay_s=2.0, relay=True)
"""Four calls take every slot: the fifth waits, and only the controller can find it a worker."""
FULL = Gear(slots=2, workers=2, most=2, buffer=0, hold_message=True)
SHRINKING = Gear(slots=3, workers=1, most=2, buffer=0, scale_down_delay_s=2.0)
"""Four calls need two workers; the two that stay and the one that comes need one, and both workers have some."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `live` callers join before the fault, `waiting` with it; each stays for `answers` after it."""

    id: str
    fault: Fault
    what: str
    gear: Gear = NORMAL
    bound: Bound = NONE
    live: int = 4
    waiting: int = 1
    answers: int = 2
    """To questions asked after the fault was over; then a call may end."""
    quick: bool = False
    """One of the few that `--quick` runs."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Programs and rights beyond the demo's: root, iptables, faketime."""
        packets = ("root", "iptables") if self.gear.packets else ()
        return (*packets, *(("faketime",) if self.gear.clocks else ()))


def _row(
    row: str,
    fault: Fault,
    gear: Gear = NORMAL,
    bound: Bound = NONE,
    *,
    what: str = "",
    waiting: int = 1,
    quick: bool = False,
) -> Row:
    return Row(row, fault, what or (fault.__doc__ or "").strip(), gear, bound, waiting=waiting, quick=quick)


def _outages() -> list[Row]:
    words = {"hang": "hangs", "refuse": "refuses every request"}
    return [
        _row(
            f"{stage}-{how}",
            providers.outage(stage, how),
            BREAKABLE,
            what=f"The {stage.upper()} {words[how]} for {providers.OUTAGE_S:.0f} s.",
        )
        for how in ("hang", "refuse")
        for stage in ("stt", "llm", "tts")
    ]


ROWS: tuple[Row, ...] = (
    _row("worker-kill9", processes.worker_kill9, NORMAL, AFTER_KILL, quick=True),
    _row("main-kill9", processes.main_kill9, NORMAL, AFTER_KILL),
    _row("job-kill9", processes.job_kill9, NORMAL, AFTER_KILL, quick=True),
    _row("main-sigstop", processes.main_sigstop, NORMAL, HANDOVER),
    _row("job-sigstop", processes.job_sigstop, NORMAL, AFTER_STALL, quick=True),
    _row("worker-sigstop", processes.worker_sigstop, NORMAL, AFTER_STALL),
    *_outages(),
    _row("controller-kill9", servers.controller_kill9, quick=True),
    _row("redis-restart-data", servers.redis_restart_data),
    _row("redis-restart-empty", servers.redis_restart_empty),
    _row("redis-away-30s", servers.redis_away),
    _row("livekit-restart", servers.livekit_restart),
    _row("webhooks-lost", webhooks.webhooks_lost, RELAYED),
    _row("webhooks-mangled", webhooks.webhooks_mangled, RELAYED),
    _row("worker-no-redis", network.worker_no_redis, FILTERED),
    _row("worker-no-livekit", network.worker_no_livekit, FILTERED),
    _row("worker-clock", clock.worker_clock, OWN_CLOCKS),
    _row("slots-full", orders.slots_full, FULL),
    _row("rolling-restart", orders.rolling_restart, NORMAL, HANDOFF),
    _row("scale-down", orders.scale_down, SHRINKING, HANDOFF),
    _row("drain-handoff", orders.drain_handoff, NORMAL, HANDOFF, quick=True),
    _row("packet-loss", network.packet_loss, FILTERED),
)


def chosen(only: Sequence[str], *, quick: bool) -> tuple[Row, ...]:
    """The rows to run: those named, else all, or with `quick` the few fast ones; in an order that needs few fleets.

    Raises:
        ConfigError: a name that no row has.
    """
    known = [row.id for row in ROWS]
    for name in only:
        if name not in known:
            raise ConfigError("no such row", field="--only", value=name, hint=nearest(name, known))
    rows = [row for row in ROWS if (row.id in only if only else row.quick or not quick)]
    gears = list(dict.fromkeys(row.gear for row in rows))
    return tuple(sorted(rows, key=lambda row: gears.index(row.gear)))
