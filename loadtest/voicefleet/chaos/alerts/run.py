"""The scenarios on as few fleets as they can share: those of single regions at the same time, then the wide ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voicefleet.callers.health import HealthMeter
from voicefleet.chaos.alerts.scenarios import ONE, AlertScenario
from voicefleet.chaos.alerts.stand import Stand, running_stand
from voicefleet.chaos.alerts.timeline import spans, verdict
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.clock import Clock
from voicefleet.stack.interrupt import Say

REGIONS = ("eu", "us", "ap", "sa", "af")
SETTLE_S = 30.0
"""Callers talk for so long before anything is broken: rates need a past."""
QUIET_LIMIT_S = 180.0
OK_LIMIT_S = 120.0


async def run_alerts(
    stands: Sequence[Sequence[AlertScenario]],
    clock: Clock,
    say: Say,
    found: list[dict[str, Any]],
    *,
    keep_logs: Path | None = None,
) -> None:
    """Run them; `found` gets the JSON of each as it is done.

    Args:
        keep_logs: a folder that gets the logs of every fleet, of Prometheus and of Alertmanager.

    Raises:
        UsageError: a part did not start, or is not on this machine.
    """
    for scenarios in stands:
        await _run_stand(scenarios, clock, say, found, keep_logs)


async def _run_stand(
    scenarios: Sequence[AlertScenario],
    clock: Clock,
    say: Say,
    found: list[dict[str, Any]],
    keep_logs: Path | None,
) -> None:
    regional = [scenario for scenario in scenarios if not scenario.wide]
    wide = [scenario for scenario in scenarios if scenario.wide]
    shapes = {region: scenario.shape for region, scenario in zip(REGIONS, regional, strict=False)} or {"eu": ONE}
    async with running_stand(shapes, clock, say, keep_logs=keep_logs) as stand:
        await clock.sleep(SETTLE_S)
        runs = [_run(stand, scenario, [region], say) for region, scenario in zip(shapes, regional, strict=False)]
        found += await asyncio.gather(*runs)
        for scenario in wide:
            if not await stand.until_quiet(QUIET_LIMIT_S):
                say(f"alerts fire still before {scenario.id}")
            found.append(await _run(stand, scenario, list(shapes), say))


async def _run(stand: Stand, scenario: AlertScenario, regions: list[str], say: Say) -> dict[str, Any]:
    clock = stand.clock
    say(f"{scenario.id} ({', '.join(regions)}): {scenario.what}")
    injected_s = clock.monotonic()
    before = {region: stand.last_worker(region) for region in regions}
    async with HealthMeter(clock) as meter:
        async with scenario.fault(stand, regions[0]):
            await clock.sleep(scenario.lasts_s)
            mended_s = clock.monotonic()
            starts = {region: stand.last_worker(region) - number for region, number in before.items()}
        ok = asyncio.create_task(_ok_after_s(stand, regions, mended_s))
        await clock.sleep(scenario.after_s)
    ok_s = await ok
    looks = [look for look in stand.looks if look.at_s >= injected_s]
    made = verdict(
        spans(looks, regions), scenario.expected, injected_s=injected_s, mended_s=mended_s, starts=max(starts.values())
    )
    told = ", ".join(f"{a['alert']} {a['after_s']:.0f} s" for a in made["fired"] if not a["muted"]) or "no alert"
    say(f"{scenario.id}: {'good' if made['passed'] else '; '.join(made['problems'])} ({told})")
    heard = [
        outcome
        for region in regions
        for ended_s, outcome in stand.callers[region].outcomes
        if injected_s <= ended_s <= mended_s
    ]
    turns = [turn for outcome in heard for turn in outcome.turns]
    refused = [at_s for region in regions for at_s in stand.callers[region].refused if injected_s <= at_s <= mended_s]
    return {
        "scenario": scenario.id,
        "what": scenario.what,
        "lasted_s": scenario.lasts_s,
        **made,
        "void": meter.health().void,
        "ok_after_s": None if ok_s is None else round(ok_s, 1),
        "calls": len(heard),
        "calls_answered": sum(outcome.answered for outcome in heard),
        "turns": len(turns),
        "turns_heard": sum(turn.answered for turn in turns),
        "refused": len(refused),
    }


async def _ok_after_s(stand: Stand, regions: Sequence[str], mended_s: float) -> float | None:
    """Remedy -> the controller says that all is well in `regions`; None: not within two minutes."""
    while stand.clock.monotonic() < mended_s + OK_LIMIT_S:
        with contextlib.suppress(UnknownStateError):
            views = [view for view in await stand.client.regions() if view.region in regions]
            if len(views) == len(regions) and all(view.status == "ok" for view in views):
                return stand.clock.monotonic() - mended_s
        await stand.clock.sleep(0.5)
    return None
