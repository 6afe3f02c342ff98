"""The table: what each scenario breaks, on which fleet, and what it must show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from voicefleet.chaos.fault_context import FaultContext
from voicefleet.chaos.faults import (
    callers,
    clock,
    network,
    operations,
    participants,
    processes,
    providers,
    rooms,
    senses,
    servers,
    webhooks,
)
from voicefleet.chaos.measure import Bound
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest

Fault = Callable[[FaultContext], Awaitable[None]]

AFTER_KILL = Bound(voice_back_s=3.0)
AFTER_STALL = Bound(voice_back_s=6.0)
UNFIT = Bound(voice_back_s=20.0)
"""From the fault on: the rest of an answer and the caller's next question count, before which nobody can tell."""
HANDOFF = Bound(empty_s=15.0, extra_wait_s=1.0)
HANDOFF_OF_WORK = Bound(empty_s=25.0, extra_wait_s=2.0)
HANDOVER = Bound(extra_wait_s=1.0)
NONE = Bound()


@dataclass(frozen=True, slots=True)
class FleetProfile:
    """The fleet that a scenario needs; scenarios with the same profile share one. Every fleet has one region.

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
    waiting_message: bool = False
    """Waiting callers are told so by a voice, and wait longer for it."""
    working: bool = False
    """Its agents hand calls to each other, work beside them, and write down what they do (`working_agent`)."""
    providers: bool = False
    """The synthetic providers read a file that makes them fail."""
    senses: bool = False
    """Its agents read a file that makes them deaf or mute."""


NORMAL = FleetProfile()
WORKING = FleetProfile(working=True)
FILTERED = FleetProfile(packets=True)
OWN_CLOCKS = FleetProfile(clocks=True)
BREAKABLE = FleetProfile(slots=3, workers=2, most=3, providers=True)
FRAIL = FleetProfile(senses=True)
RELAYED = FleetProfile(slots=2, workers=2, most=3, buffer=0, scale_down_delay_s=2.0, relay=True)
"""Four calls take every slot: the fifth waits, and only the controller can find it a worker."""
GROWING = FleetProfile(slots=2, workers=2, most=3, buffer=0, scale_down_delay_s=2.0)
"""Four calls take every slot; for the next ones a worker is started."""
FULL = FleetProfile(slots=2, workers=2, most=2, buffer=0, waiting_message=True)
SHRINKING = FleetProfile(slots=3, workers=1, most=2, buffer=0, scale_down_delay_s=2.0)
"""Four calls need two workers; the two that stay and the one that comes need one, and both workers have some."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario: `live` callers join before the fault, `waiting` with it; each stays for `answers` after it."""

    id: str
    fault: Fault
    what: str
    profile: FleetProfile = NORMAL
    bound: Bound = NONE
    live: int = 4
    waiting: int = 1
    answers: int = 2
    """To questions asked after the fault was over; then a call may end."""
    quick: bool = False
    """One of the few that `--quick` runs."""
    fills: bool = False
    """Its live calls take every slot, with `--quick` too."""
    forgets: bool = False
    """Redis loses its data: the calls before are waited for, whose ends only it knows."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Programs and rights beyond the demo's: root, iptables, faketime."""
        packets = ("root", "iptables") if self.profile.packets else ()
        return (*packets, *(("faketime",) if self.profile.clocks else ()))


def _scenario(
    name: str,
    fault: Fault,
    profile: FleetProfile = NORMAL,
    bound: Bound = NONE,
    *,
    what: str = "",
    waiting: int = 1,
    quick: bool = False,
) -> Scenario:
    return Scenario(name, fault, what or (fault.__doc__ or "").strip(), profile, bound, waiting=waiting, quick=quick)


def _outages() -> list[Scenario]:
    words = {"hang": "hangs", "refuse": "refuses every request"}
    return [
        _scenario(
            f"{stage}-{how}",
            providers.outage(stage, how),
            BREAKABLE,
            what=f"The {stage.upper()} {words[how]} for {providers.OUTAGE_S:.0f} s.",
        )
        for how in ("hang", "refuse")
        for stage in ("stt", "llm", "tts")
    ]


def _broken_agents() -> list[Scenario]:
    words = {"deaf": "does not hear its caller any more", "mute": "speaks, and is not heard any more"}
    return [
        _scenario(f"{how}-agent", senses.broken_agent(how), FRAIL, UNFIT, what=f"One agent {words[how]}.")
        for how in words
    ]


SCENARIOS: tuple[Scenario, ...] = (
    _scenario("worker-kill9", processes.worker_kill9, NORMAL, AFTER_KILL, quick=True),
    _scenario("main-kill9", processes.main_kill9, NORMAL, AFTER_KILL),
    _scenario("job-kill9", processes.job_kill9, NORMAL, AFTER_KILL, quick=True),
    _scenario("main-sigstop", processes.main_sigstop, NORMAL, HANDOVER),
    _scenario("job-sigstop", processes.job_sigstop, NORMAL, AFTER_STALL, quick=True),
    _scenario("worker-sigstop", processes.worker_sigstop, NORMAL, AFTER_STALL),
    *_outages(),
    *_broken_agents(),
    _scenario("released-call", participants.released_call, FRAIL),
    _scenario("observer-first", participants.observer_first),
    _scenario("connector-caller", participants.connector_caller, NORMAL, AFTER_KILL),
    _scenario("neighbour-worker", participants.neighbour_worker),
    _scenario("controller-kill9", servers.controller_kill9, quick=True),
    _scenario("redis-restart-data", servers.redis_restart_data),
    replace(_scenario("redis-restart-empty", servers.redis_restart_empty), forgets=True),
    _scenario("redis-away-30s", servers.redis_away),
    _scenario("livekit-restart", servers.livekit_restart),
    _scenario("webhooks-lost", webhooks.webhooks_lost, RELAYED),
    _scenario("webhooks-mangled", webhooks.webhooks_mangled, RELAYED),
    _scenario("worker-no-redis", network.worker_no_redis, FILTERED),
    _scenario("worker-no-livekit", network.worker_no_livekit, FILTERED),
    _scenario("worker-clock", clock.worker_clock, OWN_CLOCKS),
    _scenario("slots-full", operations.slots_full, FULL),
    _scenario("rolling-restart", operations.rolling_restart, NORMAL, HANDOFF),
    _scenario("scale-down", operations.scale_down, SHRINKING, HANDOFF),
    _scenario("drain-handoff", operations.drain_handoff, NORMAL, HANDOFF, quick=True),
    _scenario("page-reload", callers.page_reload),
    _scenario(
        "work-drain",
        operations.drain_handoff,
        WORKING,
        HANDOFF_OF_WORK,
        what="A worker drains while its calls' second agents book in the background: nothing is cut off.",
    ),
    _scenario(
        "work-kill9",
        processes.worker_kill9,
        WORKING,
        AFTER_KILL,
        what="A worker is killed while its calls are with their second agents: those have them again.",
    ),
    _scenario("packet-loss", network.packet_loss, FILTERED),
    _scenario("pre-created-room", rooms.pre_created),
    replace(_scenario("full-outbound", rooms.full_outbound, GROWING), fills=True),
)


def chosen(only: Sequence[str], *, quick: bool) -> tuple[Scenario, ...]:
    """The scenarios to run: those named, else all, or with `quick` the fast ones; in an order that needs few fleets.

    Raises:
        ConfigError: a name that no scenario has.
    """
    known = [scenario.id for scenario in SCENARIOS]
    for name in only:
        if name not in known:
            raise ConfigError("no such scenario", field="--only", value=name, hint=nearest(name, known))
    scenarios = [scenario for scenario in SCENARIOS if (scenario.id in only if only else scenario.quick or not quick)]
    profiles = list(dict.fromkeys(scenario.profile for scenario in scenarios))
    return tuple(sorted(scenarios, key=lambda scenario: profiles.index(scenario.profile)))
