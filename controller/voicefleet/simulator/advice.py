"""A comparison in words: what to choose, and why."""

from __future__ import annotations

from voicefleet.simulator.compare import ORACLE, VOICEFLEET, Comparison
from voicefleet.simulator.outcome import Outcome


def advise(result: Comparison) -> tuple[str, ...]:
    """Sentences for people, the choice first. They say it too when voicefleet is not the cheapest that will do."""
    rivals = [(o.policy, o) for o in result.outcomes if o.policy != ORACLE]
    for swept in result.swept:
        if (best := swept.best(result.allowed)) is not None:
            rivals.append((f"{swept.policy} with {swept.knob} {best[0]}", best[1]))
    good = sorted([(name, o) for name, o in rivals if keeps(o, result.allowed)], key=lambda pair: pair[1].cost_ratio)
    promise = f"at most {result.allowed:.2%} of the calls wait, none is killed"
    if not good:
        name, least = min(rivals, key=lambda pair: (pair[1].killed, pair[1].wait_ratio))
        return (
            f"No policy keeps the promise ({promise}) on this trace.",
            f"{name} comes nearest: {least.wait_ratio:.2%} waited, at {least.cost_ratio:.2f} times the least cost.",
            "Raise max_workers or min_workers, announce campaigns, or start workers faster.",
        )
    name, first = good[0]
    said = [
        f"Choose {name}: it keeps the promise ({promise}) at the least cost, {first.worker_hours:.1f} worker-hours, "
        f"{first.cost_ratio:.2f} times what a policy that knows the future would pay."
    ]
    if len(good) > 1:
        other, second = good[1]
        more = second.worker_hours / first.worker_hours - 1
        said.append(f"The next one, {other}, costs {more:.0%} more.")
    ours = next((o for o in result.outcomes if o.policy == VOICEFLEET), None)
    if ours is not None and name != VOICEFLEET:
        why = (
            f"costs {ours.worker_hours / first.worker_hours - 1:.0%} more"
            if keeps(ours, result.allowed)
            else f"lets {ours.wait_ratio:.2%} of the calls wait"
        )
        said.append(f"voicefleet {why} here; a buffer found by a sweep over a known trace knows its future.")
    failed = [o.policy for o in result.outcomes if o.policy != ORACLE and not keeps(o, result.allowed)]
    if failed:
        said.append(f"At their defaults these do not keep it: {', '.join(failed)}.")
    return tuple(said)


def keeps(outcome: Outcome, allowed: float) -> bool:
    """Whether a policy kept the promise."""
    return outcome.wait_ratio <= allowed and not outcome.killed
