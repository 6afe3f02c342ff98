"""`voicefleet loadtest --until-it-breaks`: levels of calls at once, until the edge is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError, UsageError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.loadtest.figures import better_when_high, figures_of, told_by_workers
from voicefleet.loadtest.metrics import serving
from voicefleet.loadtest.result import GENERATOR, Verdict
from voicefleet.loadtest.run import LoadRun, run_scenario
from voicefleet.loadtest.scenario import Scenario
from voicefleet.loadtest.search import Found, GaveUp, Step, decide, most_at_once
from voicefleet.loadtest.targets import TicketSource, open_target
from voicefleet.loadtest.thresholds import Condition, parse_condition
from voicefleet.reporting.table import shown
from voicefleet.runtime.clock import SystemClock

_SPACING_S = 0.25
_RAMP_S = 5.0
"""The calls of a level come so far apart, all within so long: not in one instant, which no pool sees."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What to search for.

    Attributes:
        condition: must be true of each level that holds, such as ``ttfa_p95<1.0``.
        at_most, start: the highest level, and the first.
        at_least: a capacity below makes the verdict bad.
        rest_s: between two levels: the pool takes its slots back. Ours keeps one for 5 s for a caller that might come
            back (VOICEFLEET_RETURN_WAIT_S), and then has its job end.
    """

    condition: str
    at_most: int = 100
    start: int = 1
    at_least: int = 1
    rest_s: float = 15.0

    def __post_init__(self) -> None:
        require_between("at-most", self.at_most, 1, 10_000)
        require_between("start", self.start, 1, self.at_most)
        require_between("at-least", self.at_least, 1, self.at_most)
        require_between("rest", self.rest_s, 0, 600)
        if self.parsed.name != "calls" and self.parsed.comparison.startswith(">") != better_when_high(self.parsed.name):
            raise ConfigError(
                "is true of a pool that is worse",
                field="--until-it-breaks",
                value=self.condition,
                hint="Say what has to hold: ttfa_p95<1.0.",
            )
        if told_by_workers(self.parsed.name):
            raise ConfigError(
                "is what workers tell after a run, and a search goes on before",
                field="--until-it-breaks",
                value=self.condition,
                hint="Use what callers hear, such as ttfa_p95<1.0.",
            )

    @property
    def parsed(self) -> Condition:
        """The condition."""
        return parse_condition(self.condition, field="--until-it-breaks", example="ttfa_p95<1.0")


def search(
    scenario: Scenario, options: SearchOptions, *, metrics: str | None, engine: str, console: Console
) -> dict[str, Any]:
    """Try levels until the edge is known.

    Returns:
        ``{"condition", "capacity": calls or null, "interval": [low, high or null], "at_least", "verdict",
        "shortcomings", "criteria", "wall_s", "steps": [{"level", "held", "value", "at_once", "found", "figures",
        "generator", "wall_s"}, ...]}``; `held` is null for a void step. `low`: no run with as many calls or fewer
        broke; `high`: no run with more held, null when none broke.

    Raises:
        UsageError: as `run_scenario`.
    """
    return asyncio.run(_search(scenario, options, metrics, engine, console))


async def _search(
    scenario: Scenario, options: SearchOptions, metrics: str | None, engine: str, console: Console
) -> dict[str, Any]:
    clock = SystemClock()
    steps: list[Step] = []
    told: list[dict[str, Any]] = []
    async with open_target(scenario.target) as source, serving(metrics) as measures:
        while True:
            decision = decide(steps, start=options.start, most=options.at_most)
            if isinstance(decision, Found | GaveUp):
                return _document(options, decision, told)
            if steps:
                # What made a step void may pass.
                await clock.sleep(options.rest_s * (3 if steps[-1].held is None else 1))
            level = decision.level
            offsets_s = [i * min(_SPACING_S, _RAMP_S / level) for i in range(level)]
            run = await run_scenario(
                # Another seed each time: the same questions again would make the same luck again.
                scenario.model_copy(update={"seed": scenario.seed + len(steps)}),
                offsets_s,
                _Ready(source) if steps else source,
                console=console,
                measures=measures,
                title=f"until {options.condition} breaks: {level} calls at once",
                engine=engine,
                until=options.parsed,
            )
            step, tells = assess(level, run, options.parsed, scenario.callers.turn_timeout_s)
            steps.append(step)
            told.append(tells)
            console.print(_line(tells), markup=False, highlight=False, soft_wrap=True)


def assess(level: int, run: LoadRun, condition: Condition, timeout_s: float) -> tuple[Step, dict[str, Any]]:
    """Whether the pool held a level: the condition is true, no call failed (unless the condition is about that), and
    all calls had their agents at the same time. None of it is known of a void run."""
    figures = figures_of(run.outcomes, timeout_s)
    at_once, value = most_at_once(run.outcomes), figures[condition.name]
    failed = int(figures["calls_failed"] or 0)
    found = f"{condition.name} {shown(value, digits=3)}"
    held: bool | None = condition.holds(figures) is True
    if failed and not condition.name.startswith("calls_"):
        held, found = False, f"{failed} of {level} calls failed, {found}"
    elif held and at_once < level - failed:
        held, found = False, f"only {at_once} calls had an agent at the same time, {found}"
    if run.health.void:
        held, found = None, run.health.lateness
    tells = {
        "level": level,
        "held": held,
        "value": value,
        "at_once": at_once,
        "found": found,
        "figures": figures.to_json(),
        "generator": run.health.to_json(),
        "wall_s": round(run.wall_s, 1),
    }
    return Step(level, held), tells


def _line(tells: dict[str, Any]) -> str:
    word = {True: "held", False: "broke", None: "void"}[tells["held"]]
    return f"{tells['level']:>5} at once: {word:<5} ({tells['found']})"


def _document(options: SearchOptions, end: Found | GaveUp, told: list[dict[str, Any]]) -> dict[str, Any]:
    capacity = low = high = None
    if isinstance(end, GaveUp):
        verdict, wrong = Verdict.VOID, ["void: the load generator was too late, even with one call"]
    else:
        capacity, low, high = end.capacity, end.low, end.high
        short = capacity < options.at_least
        verdict = Verdict.BAD if short else Verdict.GOOD
        wrong = [f"the pool holds {capacity} calls, and at least {options.at_least} are wanted"] if short else []
    return {
        "condition": options.condition,
        "capacity": capacity,
        "interval": [low, high],
        "at_least": options.at_least,
        "verdict": verdict.value,
        "shortcomings": wrong,
        "criteria": [
            {"name": GENERATOR, "value": None, "held": verdict is not Verdict.VOID, "found": "; ".join(wrong)},
            {
                "name": f"the pool holds {options.at_least} calls",
                "value": capacity,
                "held": verdict is Verdict.GOOD,
                "found": "; ".join(wrong),
            },
        ],
        "wall_s": round(sum(step["wall_s"] for step in told), 1),
        "steps": told,
    }


def sentence(result: dict[str, Any]) -> str:
    """What was found, for people."""
    low, high = result["interval"]
    if result["capacity"] is None:
        return "it is not known how many calls the pool holds"
    if high is None:
        void = any(step["held"] is None for step in result["steps"])
        more = ": this machine could not place more" if void else ""
        return f"the pool holds {result['capacity']} calls at once with {result['condition']}, and may hold more{more}"
    return (
        f"the pool holds {result['capacity']} calls at once with {result['condition']} "
        f"(up to {low} it always did, above {high} never)"
    )


class _Ready:
    """A source that has served a level: what fails from now on is the pool's limit, no wrong surroundings."""

    def __init__(self, source: TicketSource) -> None:
        self.field, self.address, self.sends_agents = source.field, source.address, True
        self.refusal: UsageError | None = None
        self.read_call = source.read_call
        self.elsewhere = source.elsewhere
        self._source = source

    async def place(self, call: int, patience_s: float) -> CallTicket:
        return await self._source.place(call, patience_s)
