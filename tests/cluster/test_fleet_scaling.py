"""The fleet grows under a burst and shrinks after it, judged by the callers' ears."""

from __future__ import annotations

import os
import time

import pytest

from cluster.trial import Trial

pytestmark = [pytest.mark.cluster, pytest.mark.fleet]

BURST = min(8, 1 + (os.cpu_count() or 2))
"""Calls at once, on a fleet that has one worker with two slots: as many as the machine carries in real time. With its
caller, its agent and its share of LiveKit a call takes a third of a core; a worker that starts takes five seconds."""


async def test_a_burst_is_answered_by_a_fleet_that_grows_and_nobody_is_cut_when_it_shrinks(trial: Trial) -> None:
    await trial.settled()
    began_s = time.monotonic()
    async with trial.callers() as callers:
        await callers.calls(BURST)
        if not await callers.wait_greeted(85.0):
            callers.finish()
            await callers.wait_over(30.0)
            known = [outcome for outcome in callers.outcomes() if outcome.greeting_s is None]
            raise AssertionError(f"{known}\n{trial.cluster.diagnostics(trial.namespace, trial.pool_namespace)}")
        print(f"{BURST} callers on 2 slots: all heard an agent within {time.monotonic() - began_s:.1f} s")
        await trial.until(
            lambda seen: seen.live == BURST and (seen.ready or 0) >= BURST / seen.slots_per_worker,
            30.0,
            "all calls are live, on workers that are ready",
        )
        # Two stay, while the workers around them leave: on whichever they are, they must not notice.
        callers.finish(callers.rooms[: BURST - 2])
        await trial.until(
            lambda seen: (seen.live, seen.ready, seen.draining) == (2, 2, 0),
            150.0,
            "two calls and workers are left",
        )
        outcomes = await callers.good(2, time.monotonic())
    assert max(outcome.greeting_s or 0.0 for outcome in outcomes) < 85.0
    await trial.settled()
