"""Which runs are done again, and which cells count as not run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from voicefleet.contract.errors import UnreachableError, UsageError
from voicefleet.transports import run
from voicefleet.transports.arms import BY_ID
from voicefleet.transports.options import LabOptions
from voicefleet.transports.run import Results, run_all

pytestmark = pytest.mark.unit

SILENT = UnreachableError("it does not answer", field="livekit-server", hint="Check the load of this machine.")
ENDED = UsageError("it ended at its start", field="livekit-server", hint="Mend what its last lines say.")


async def played(monkeypatch: pytest.MonkeyPatch, answers: dict[int, list[Exception | None]]) -> Results:
    """Two seeds of one cell; `answers` by seed: what each attempt fails with, None: it runs."""

    async def run_one(cell: Any, seed: int, *_: object) -> Any:
        failure = answers[seed].pop(0)
        if failure is not None:
            raise failure
        return SimpleNamespace(cell=cell, void=False, error_p99_ms=0.0, pacer_p99_ms=0.0)

    monkeypatch.setattr(run, "run_one", run_one)
    options = LabOptions(
        arms=(BY_ID["udp"],), losses=(0.0,), jitters_ms=(), rates_kbps=(), reorders=(), seeds=2, tries=2
    )
    results = Results()
    await run_all(options, "tun", lambda _: None, results)
    assert not any(answers.values()), "no attempt too few"
    return results


async def test_a_server_that_does_not_answer_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    results = await played(monkeypatch, {1: [SILENT, None], 2: [None]})
    assert (len(results.trials), results.not_run) == (2, [])


async def test_what_ran_is_not_called_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    results = await played(monkeypatch, {1: [None], 2: [SILENT, SILENT]})
    assert (len(results.trials), results.not_run) == (1, [])


async def test_a_server_that_ends_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    results = await played(monkeypatch, {1: [ENDED], 2: []})
    assert results.trials == []
    (missed,) = results.not_run
    assert "it ended at its start" in missed.reason


async def test_heavy_runs_wait_until_there_is_room_for_them_and_light_ones_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    gates = {"webrtc-udp": asyncio.Event(), "udp": asyncio.Event()}

    async def run_one(cell: Any, seed: int, *_: object) -> Any:
        order.append(cell.arm.id)
        await gates[cell.arm.id].wait()
        return SimpleNamespace(cell=cell, void=False, error_p99_ms=0.0, pacer_p99_ms=0.0)

    monkeypatch.setattr(run, "run_one", run_one)
    monkeypatch.setattr(run, "lacking", lambda _: None)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    arms = (BY_ID["udp"], BY_ID["webrtc-udp"])
    options = LabOptions(arms=arms, losses=(0.0,), jitters_ms=(), rates_kbps=(), reorders=(), seeds=5)
    results = Results()
    lab = asyncio.create_task(run_all(options, "tun", lambda _: None, results))
    for _ in range(10):
        await asyncio.sleep(0)
    assert order == ["webrtc-udp"] * 2
    gates["webrtc-udp"].set()
    for _ in range(50):
        await asyncio.sleep(0)
    assert order == ["webrtc-udp"] * 5 + ["udp"] * 4
    gates["udp"].set()
    await lab
    assert len(results.trials) == 10
