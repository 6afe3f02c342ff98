"""A whole sweep against a fleet that is a table: it finds the better setting, checks it, and goes on after a kill."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.scoring.score import score
from voicefleet.tasks.record import CallerSpeech, CheckResult, SpeechKind, TaskRecord
from voicefleet.tuning.rule import parse_rule
from voicefleet.tuning.space import Candidate
from voicefleet.tuning.sweep import PLAIN, Found, Sweep
from voicefleet.tuning.trial_log import Play, TrialLog, open_log

pytestmark = pytest.mark.unit

EVERY = tuple(Candidate(f"s{n}", {"n": f"s{n}"}, {"stt": {"plugin": f"p:{n}"}, "vad": {}}) for n in range(8))
TUNING = tuple(f"t{n}" for n in range(40))
HELDOUT = tuple(f"h{n}" for n in range(20))
HEADER = {"seed": 1}


class Killed(Exception):
    """The process ended here."""


class HandClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self._now_s = 100.0

    def monotonic(self) -> float:
        return self._now_s

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self._now_s, UTC)

    async def sleep(self, delay_s: float) -> None:
        self._now_s += delay_s


class TableStand:
    """Setting sN does N of 8 tasks, slower the more it does; a call takes 20 s. After `most` calls it dies."""

    def __init__(self, most: int = 10_000) -> None:
        self.clock = HandClock()
        self.played: list[tuple[str, Play]] = []
        self.tiers: list[Mapping[str, Mapping[str, Any]]] = []
        self._most = most

    @contextlib.asynccontextmanager
    async def fleet(self, settings: Mapping[str, Mapping[str, Any]]) -> AsyncIterator[TableStand]:
        self.tiers.append(settings)
        await self.clock.sleep(5.0)
        yield self

    async def play(self, setting: str, plays: Sequence[Play]) -> list[TaskRecord]:
        if len(self.played) + len(plays) > self._most:
            raise Killed
        await self.clock.sleep(20.0)
        self.played += [(setting, play) for play in plays]
        return [_record(setting, *play) for play in plays]


def _record(setting: str, task: str, trial: int) -> TaskRecord:
    number = 4 if setting == PLAIN else int(setting[1:])
    ttfa_s = 2.0 if setting == PLAIN else 0.2 + 0.1 * number
    done = int(task[1:]) % 8 < number
    speech = CallerSpeech(SpeechKind.TURN, "hello", 1.0, 2.0)
    return TaskRecord(
        task=task,
        goal="book",
        part="tuning" if task[0] == "t" else "heldout",
        config=setting,
        seed=1,
        trial=trial,
        duration_s=20.0,
        caller=(speech,),
        agent=((2.0 + ttfa_s, 6.0),),
        checks=(CheckResult("calls.book", done),),
        generator_lag_s=0.0,
    )


async def run(stand: TableStand, log: TrialLog, budget_s: float = 1_200.0) -> Found:
    sweep = Sweep(
        EVERY,
        TUNING,
        HELDOUT,
        rule=parse_rule("max success where ttfa_p95_s <= 0.75"),
        at_once=4,
        seed=1,
        budget_s=budget_s,
        fleet=stand.fleet,
        score=lambda records: score(records).figures(),
        log=log,
        clock=stand.clock,
        say=lambda _line: None,
    )
    return await sweep.run()


async def test_the_best_within_the_bounds_is_found_and_checked_against_the_default(tmp_path: Path) -> None:
    stand, log = TableStand(), open_log(tmp_path / "log", HEADER)
    found = await run(stand, log)
    assert (found.chosen.name, found.choice.within_bounds) == ("s5", True)
    # The default has the same models, and nothing of the setting's turn taking.
    assert dict(stand.tiers[-1]) == {"s5": found.chosen.fields, PLAIN: {"stt": {"plugin": "p:5"}}}
    mine, theirs = log.of("s5", "heldout"), log.of(PLAIN, "heldout")
    assert [r.task for r in mine] == [r.task for r in theirs]
    assert len(mine) >= 5
    assert stand.clock.monotonic() - 100.0 <= 1_250.0
    # No held-out task was used to choose, and those that stayed to the end played most.
    assert not [r for r in log.records if r.part == "heldout" and r.config not in found.heldout]
    assert len(log.of("s5", "tuning")) > 2 * min(len(log.of(c.name, "tuning")) for c in found.settings)
    assert score(log.of("s5", "tuning")).pass_k is not None


async def test_a_sweep_that_was_killed_plays_nothing_twice_and_comes_to_the_same(tmp_path: Path) -> None:
    first = TableStand(most=50)
    with pytest.raises(Killed):
        await run(first, open_log(tmp_path / "log", HEADER))
    path = tmp_path / "log"
    path.write_bytes(path.read_bytes() + b'{"play": {"task": "t1", "go')
    second = TableStand()
    log = open_log(path, HEADER)
    assert len(log.records) == len(first.played)
    found = await run(second, log)
    assert found.chosen.name == "s5"
    assert not set(first.played) & set(second.played)
    assert len(open_log(path, HEADER).records) == len(first.played) + len(second.played)


def test_the_log_of_another_sweep_is_not_continued(tmp_path: Path) -> None:
    open_log(tmp_path / "log", {"seed": 1, "space": "a"})
    with pytest.raises(ConfigError, match="another space") as refused:
        open_log(tmp_path / "log", {"seed": 1, "space": "b"})
    assert "--fresh" in str(refused.value)
    assert open_log(tmp_path / "log", {"seed": 1, "space": "b"}, fresh=True).records == []


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("hello\n")
    with pytest.raises(ConfigError, match="is no log of a sweep"):
        open_log(tmp_path / "log", HEADER)
