"""Whether a tier that is tried is promoted or rolled back, and what one call says of its tier. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from voicefleet.contract.call_log import CallLog
from voicefleet.contract.responses import TaskResult
from voicefleet.controller.canary.decide import Decision, Verdict
from voicefleet.controller.canary.figures import figures_of
from voicefleet.controller.canary.look import difference
from voicefleet.controller.canary.sequential import Comparison, compare
from voicefleet.controller.canary.trial import TierTrial
from voicefleet.controller.settings.tier import TierCanarySettings

LOOK_SHARE = 0.9
"""Of the error, for the look after `calls` calls; the rest is for all other moments together."""


def drawn_tier(call: CallLog, trial: str) -> str:
    """The tier that the call was drawn for in this canary; empty: it was not, so it says nothing of it."""
    drawn = [fact for fact in call.facts if fact["e"] == "tier_drawn" and fact.get("trial") == trial]
    return str(drawn[0].get("tier", "")) if drawn else ""


def good_call(call: CallLog, judge: str) -> bool | None:
    """Whether a call that is over was a good one; None: nothing happened in it.

    Args:
        judge: `responses` or `tasks`, see `TierCanarySettings`.
    """
    figures = figures_of(call, ttfa_s=0.0)
    told = [fact.get("result") for fact in call.facts if fact["e"] == "task"]
    if not figures.calls and not told:
        return None
    if judge == "tasks":
        return TaskResult.SUCCESS in told and TaskResult.FAILURE not in told
    bad = any(fact["e"] == "response" for fact in call.facts)
    return not (bad or figures.errors or figures.silent or figures.crashed)


def compare_tiers(calls: Sequence[tuple[str, bool]], trial: TierTrial) -> Comparison:
    """What the calls of both tiers say, in the order in which they ended: each its tier, and whether it was a good one.

    They are looked at all the time with a tenth of the error, so that a tier that is far worse is rolled back by a few
    calls, and once, after as many as the settings say, with the rest. Both intervals hold together.
    """
    rule = trial.rule
    stable, canary = _of(calls, trial.stable), _of(calls, trial.version)
    seen = compare(stable, canary, stable_per_canary=trial.stable_per_canary, error=(1 - LOOK_SHARE) * rule.error_ratio)
    seen = replace(seen, error=rule.error_ratio)
    if len(calls) < rule.calls:
        return seen
    first = calls[: rule.calls]
    stable, canary = _of(first, trial.stable), _of(first, trial.version)
    low, high = difference(sum(stable), len(stable), sum(canary), len(canary), error=LOOK_SHARE * rule.error_ratio)
    low, high = max(low, seen.low), min(high, seen.high)
    return replace(seen, low=low, high=high) if low < high else seen


def _of(calls: Sequence[tuple[str, bool]], tier: str) -> list[bool]:
    return [good for name, good in calls if name == tier]


def decide_tiers(seen: Comparison, rule: TierCanarySettings) -> Verdict:
    """Promoted or rolled back as soon as its error allows it; tried on where both are equal, for ever."""
    if seen.low >= -rule.margin_ratio:
        return Verdict(Decision.PROMOTE, str(seen))
    if seen.high <= -rule.margin_ratio:
        return Verdict(Decision.ROLL_BACK, str(seen))
    total = seen.stable_total + seen.canary_total
    when = f"{total} of {rule.calls} calls" if total < rule.calls else f"looked at after {rule.calls} calls, tried on"
    return Verdict(Decision.WAIT, f"not decided ({when}): {seen}")


def missing(tiers: Collection[str] | None, *wanted: str) -> str:
    """Why a canary of these tiers cannot be tried with the workers there are; empty: it can, or nobody tells."""
    lacking = [name for name in wanted if tiers is not None and name not in tiers]
    if not lacking:
        return ""
    return f"no worker has the tier {' or '.join(lacking)}; they have {', '.join(sorted(tiers or ()))}"
