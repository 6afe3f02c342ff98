"""The turns: callers who asked and got no answer, and the providers that failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from voicefleet.contract.health import Finding, HealthState
from voicefleet.controller.health.observation import HealthObservation

FAILING_RATIO = 0.5
DEGRADED_RATIO = 0.05
LEAST_FAILED = 2
"""One turn alone is no finding."""

_STAGES = {"llm": "LLM", "stt": "STT", "tts": "TTS", "other": "agent's own code"}
_KINDS = {
    "timeout": "did not answer in time",
    "refused": "refused",
    "connection": "could not be reached",
    "other": "failed",
}
_HINTS = {
    "timeout": "Look at the provider's status; give the tier's {stage} a second provider to fall back on.",
    "refused": "Check the key, quota and model of the tier's {stage}.",
    "connection": "Check the address of the tier's {stage} and the network to it.",
}


def turns(seen: HealthObservation, now_s: float) -> Iterator[Finding]:
    """Turns without an answer; or providers that fail while fallbacks answer."""
    counts = seen.turns
    if counts is None:
        return
    window = f"{counts.window_s / 60:.0f} minutes" if counts.window_s > 60 else "minute"
    worst = _worst(counts.failures)
    if counts.failed >= LEAST_FAILED and counts.failed >= DEGRADED_RATIO * counts.turns:
        bad = counts.failed >= FAILING_RATIO * counts.turns
        cause = f"{counts.failed} of {counts.turns} turns of the last {window} got no answer"
        if worst:
            cause += f": {_said(worst, counts.failures[worst])}"
        state = HealthState.FAILING if bad else HealthState.DEGRADED
        yield Finding("turns_fail", state, cause, _hint(worst))
    elif worst and counts.failures[worst] >= LEAST_FAILED:
        cause = f"{_said(worst, counts.failures[worst])} in the last {window}; callers were answered all the same"
        yield Finding("provider_fails", HealthState.DEGRADED, cause, _hint(worst))


def _worst(failures: Mapping[str, int]) -> str:
    """The stage and kind with the most failures; empty without one."""
    return max(failures, key=lambda name: failures[name], default="")


def _said(name: str, count: int) -> str:
    stage, _, kind = name.partition("/")
    times = "once" if count == 1 else f"{count} times"
    return f"the {_STAGES.get(stage, stage)} {_KINDS.get(kind, kind)} {times}{f' ({kind})' if kind else ''}"


def _hint(name: str) -> str:
    stage, _, kind = name.partition("/")
    if stage == "other":
        return "No provider was asked: look at the agent's own code, and at its last release."
    if not name:
        return "See the workers' logs, and `voicefleet call show ROOM` for one of the calls."
    return _HINTS.get(kind, "See the workers' logs for what the tier's {stage} said.").format(stage=stage)
