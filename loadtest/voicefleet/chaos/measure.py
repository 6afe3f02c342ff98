"""Computes a scenario's figures from what callers heard and when the fault was injected. Pure.

All moments are on the monotonic clock of the process that ran the callers. Only runs that count go in: a run starved
of CPU is void, and a run whose fault could not be brought about shows nothing.

A call is live when it heard an agent before the fault, waiting when it was placed before or with the fault and had
heard none. It is replaced when the first voice after the fault by another agent than the last one before it was heard.
Voice back is measured for replaced calls only, from the fault itself, whoever was speaking then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from voicefleet.callers.outcome import CallOutcome, TurnOutcome, quantiles


@dataclass(frozen=True, slots=True)
class Bound:
    """What a scenario must show beyond silent = cut = double speech = 0. Seconds, for the 95th percentile."""

    voice_back_s: float | None = None
    """A scenario with this bound must have replaced at least one agent."""
    empty_s: float | None = None
    """From the order to leave until the worker has no call."""
    extra_wait_s: float | None = None
    """Wait for the first answer after a handoff, above the usual 95th percentile."""


@dataclass(frozen=True, slots=True)
class Run:
    """One seed of one scenario.

    Attributes:
        injected_s: when the fault was injected; None: it never was.
        outcomes: one per caller that came to an end.
        placed: callers there were; more than outcomes when some never came to an end.
        wrong_arrivals: agents that came where none was wanted: to a released call, or to an observer alone.
        rooms: of callers who heard an agent.
        hooks: what is wrong with the call events of those, a sentence a call; None: not known yet.
        hit: live calls whose agent the fault took away or stopped, as far as the harness knows.
        empty_s: order to leave -> no calls left, per worker; None: it did not empty in time.
        notes: what happened, in words.
        problems: what was found that must not be, beyond what callers heard.
        failed: why the fault could not be brought about; empty when it was.
        void: the machine was starved, so that silence may be its own.
    """

    seed: int
    injected_s: float | None
    outcomes: tuple[CallOutcome, ...]
    placed: int
    rooms: tuple[str, ...] = ()
    hooks: tuple[str, ...] | None = None
    hit: int = 0
    wrong_arrivals: int = 0
    empty_s: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    failed: str = ""
    void: bool = False


@dataclass(frozen=True, slots=True)
class CallFigures:
    """One call around the fault.

    Attributes:
        live, waiting: see the module; a call can be neither (it came later, or was over).
        voice_back_s: fault -> first voice of another agent; None when the agent was not replaced.
        answers_s: waits for answers that ended, or did not end, after the fault.
        usual_s: TTFA of answers before the fault.
        handoff_s: a replaced call's first wait for an answer that ended after the fault.
        first_voice_s: join -> first voice, or to the end of a call that heard none.
    """

    live: bool
    waiting: bool
    voice_back_s: float | None
    answers_s: tuple[float, ...]
    usual_s: tuple[float, ...]
    handoff_s: float | None
    first_voice_s: float


JOINED_WITH_S = 2.0
"""A caller who joins this long after the fault still counts as waiting at the fault: it came with it."""


def call_figures(call: CallOutcome, injected_s: float) -> CallFigures:
    """What `call` heard around a fault at `injected_s`."""
    zero = call.joined_at_s if call.joined_at_s is not None else injected_s
    at = injected_s - zero
    before = [voice for voice in call.voices if voice[1] < at]
    ended = call.joined_at_s is not None and call.ended_s < at
    back = _voice_back(call, at) if before else None
    after = [turn for turn in call.turns if _heard_at(turn) > at]
    return CallFigures(
        live=bool(before) and not ended,
        waiting=not before and not ended and -at <= JOINED_WITH_S,
        voice_back_s=back,
        answers_s=tuple(turn.waited_s for turn in after),
        usual_s=tuple(t.ttfa_s for t in call.turns if t.ttfa_s is not None and _heard_at(t) <= at),
        handoff_s=after[0].waited_s if back is not None and after else None,
        first_voice_s=call.greeting_s if call.greeting_s is not None else call.ended_s,
    )


def _heard_at(turn: TurnOutcome) -> float:
    return turn.t0_s + turn.waited_s


def _voice_back(call: CallOutcome, at: float) -> float | None:
    last = max((voice for voice in call.voices if voice[1] < at), key=lambda voice: voice[1])[0]
    return min((begin - at for who, begin, _ in call.voices if begin >= at and who != last), default=None)


def losses(runs: Iterable[Run]) -> dict[str, int]:
    """What befell the callers of `runs`; all 0 when nothing did."""
    runs = list(runs)
    calls = [call for run in runs for call in run.outcomes]
    return {
        "silent": sum(call.silent or (call.greeting_s is None and call.error is None) for call in calls),
        "cut": sum(call.cut for call in calls),
        "double_speech": sum(call.double_speech for call in calls),
        "lost": sum(call.error is not None for call in calls) + sum(run.placed - len(run.outcomes) for run in runs),
        "wrong_arrivals": sum(run.wrong_arrivals for run in runs),
        "hooks_lost": sum(len(run.hooks or ()) for run in runs),
    }


def scenario_figures(scenario: str, runs: Sequence[Run], bound: Bound) -> dict[str, Any]:
    """The JSON of one scenario.

    Args:
        runs: every run, those that do not count included.

    Returns:
        the keys that the README lists; quantiles are None without samples, times are seconds. `passed` is whether it
        is good, `problems` says in sentences why not.
    """
    counted = [run for run in runs if not run.void and not run.failed and run.injected_s is not None]
    figures = [call_figures(call, run.injected_s) for run in counted if run.injected_s for call in run.outcomes]
    # A call that is handed over loses no voice: what a handoff may cost its caller has a bound of its own.
    moved = bound.extra_wait_s is not None
    back = quantiles([f.voice_back_s for f in figures if f.voice_back_s is not None and not moved])
    answers = quantiles([wait for f in figures for wait in f.answers_s])
    empties = [empty_s for run in counted for empty_s in run.empty_s]
    emptied = quantiles([empty_s for empty_s in empties if empty_s is not None])
    result: dict[str, Any] = {
        "scenario": scenario,
        "calls": sum(run.placed for run in counted),
        **losses(counted),
        **({"hooks_lost": None} if any(run.hooks is None for run in counted) else {}),
        "voice_back_p50_s": _rounded(back["p50"]),
        "voice_back_p95_s": _rounded(back["p95"]),
        "live": sum(f.live for f in figures),
        "waiting": sum(f.waiting for f in figures),
        "hit": sum(run.hit for run in counted),
        "replaced": sum(f.voice_back_s is not None for f in figures),
        "answer_p50_s": _rounded(answers["p50"]),
        "answer_p95_s": _rounded(answers["p95"]),
        "answer_max_s": _rounded(answers["max"]),
        "waiting_p95_s": _rounded(quantiles([f.first_voice_s for f in figures if f.waiting])["p95"]),
        "empty_p50_s": _rounded(emptied["p50"]),
        "empty_p95_s": _rounded(emptied["p95"]),
        "never_empty": sum(empty_s is None for empty_s in empties),
        "extra_wait_p95_s": _rounded(_extra_wait(figures)),
        "runs": len(counted),
        "void": sum(run.void for run in runs),
        "seeds": [run.seed for run in counted],
    }
    own = _counted(problem for run in counted for problem in (*run.problems, *(run.hooks or ())))
    problems = [*_not_injected(runs), *shortcomings(result, bound), *own]
    return {
        **result,
        "passed": not problems,
        "problems": problems,
        "notes": "; ".join(_counted(note for run in counted for note in run.notes)),
    }


def shortcomings(result: dict[str, Any], bound: Bound) -> list[str]:
    """Why a scenario's figures are not good, a sentence each."""
    found = [f"{result[name]} {words}" for name, words in _NEVER.items() if result[name]]
    if not result["runs"]:
        found.append("no run counts")
        return found
    if bound.voice_back_s is not None:
        if 0 < result["replaced"] < result["hit"]:
            found.append(f"only {result['replaced']} of {result['hit']} calls that lost their agent got a new one")
        found += _late("the voice was back", result["voice_back_p95_s"], bound.voice_back_s, "no call got a new agent")
    if bound.empty_s is not None:
        found += _late("a worker was empty", result["empty_p95_s"], bound.empty_s, "no worker got empty")
    if bound.extra_wait_s is not None and result["extra_wait_p95_s"] is not None:
        found += _late("a handoff added to an answer", result["extra_wait_p95_s"], bound.extra_wait_s, "")
    return found


_NEVER = {
    "silent": "callers heard nothing for more than 10 s (silent)",
    "cut": "callers lost the agent (cut)",
    "double_speech": "times two agents spoke at once",
    "lost": "calls failed or never ended",
    "hooks_lost": "calls of which a receiver of call events was not told, or told twice",
    "wrong_arrivals": "agents came where none was wanted",
    "never_empty": "workers never got empty",
}


def _late(what: str, p95_s: float | None, bound_s: float, nothing: str) -> list[str]:
    if p95_s is None:
        return [nothing]
    return [f"{what} after {p95_s:g} s (p95), more than {bound_s:g} s"] if p95_s > bound_s else []


def _not_injected(runs: Iterable[Run]) -> list[str]:
    return [f"seed {run.seed}: {run.failed}" for run in runs if run.failed and not run.void]


def _extra_wait(figures: Sequence[CallFigures]) -> float | None:
    """The 95th percentile of the first answers after a handoff, above that of the usual answers; None: no handoff."""
    waits = quantiles([f.handoff_s for f in figures if f.handoff_s is not None])["p95"]
    usual = quantiles([wait for f in figures for wait in f.usual_s])["p95"]
    return None if waits is None or usual is None else max(0.0, waits - usual)


def _counted(notes: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {}
    for note in notes:
        counts[note] = counts.get(note, 0) + 1
    return [note if count == 1 else f"{count}x {note}" for note, count in counts.items()]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
