"""A whole sweep against a fleet that is a table: it finds the better setting, checks it, and goes on after a kill."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.scoring.score import score
from voicefleet.tasks.record import CallerSpeech, CheckResult, SpeechKind, TaskRecord
from voicefleet.tuning.ablation import worth_of_options
from voicefleet.tuning.options import TuneOptions
from voicefleet.tuning.report import render_report
from voicefleet.tuning.result import build_result
from voicefleet.tuning.rule import Figures, parse_rule
from voicefleet.tuning.schedule import plan
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
    """Setting sN does N of 8 tasks, slower the more it does; a block of calls takes `block_s`.

    After `most` calls it dies; `silent` settings are not heard, `deaf_times` blocks of any setting neither.
    """

    def __init__(
        self, most: int = 10_000, *, block_s: float = 20.0, silent: Sequence[str] = (), deaf_times: int = 0
    ) -> None:
        self.clock = HandClock()
        self.played: list[tuple[str, Play]] = []
        self.tiers: list[Mapping[str, Mapping[str, Any]]] = []
        self._most, self._block_s, self._silent, self._deaf_times = most, block_s, silent, deaf_times

    @contextlib.asynccontextmanager
    async def fleet(self, settings: Mapping[str, Mapping[str, Any]]) -> AsyncIterator[TableStand]:
        self.tiers.append(settings)
        await self.clock.sleep(10.0)
        yield self

    async def play(self, setting: str, plays: Sequence[Play], *, limit_s: float) -> list[TaskRecord]:
        if len(self.played) + len(plays) > self._most:
            raise Killed
        assert limit_s > 0
        await self.clock.sleep(min(limit_s, self._block_s))
        if limit_s < self._block_s:
            return []
        self.played += [(setting, play) for play in plays]
        records = [_record(setting, *play) for play in plays]
        if setting in self._silent or self._deaf_times:
            self._deaf_times = max(0, self._deaf_times - 1)
            return [replace(r, agent=(), checks=(), error="no agent within 20 s") for r in records]
        return records

    def logs(self) -> str:
        return "tune-1.log: no module named nova"


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


def figures(records: Sequence[TaskRecord]) -> Figures:
    """As `scoring.score` tells them, without its intervals, which take long."""
    waits = [record.agent[0][0] - 2.0 for record in records]
    success = sum(record.success for record in records) / len(records) if records else None
    return {"success": success, "ttfa_p95_s": max(waits, default=None)}


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
        score=figures,
        before_s=log.spent_s,
        log=log,
        clock=stand.clock,
        began_s=stand.clock.monotonic(),
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
    assert stand.clock.monotonic() - 100.0 <= 1_200.0
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


async def test_the_result_is_what_was_promised(tmp_path: Path) -> None:
    stand, log = TableStand(), open_log(tmp_path / "log", HEADER)
    log.add_curve([{"detector": "vad", "cut_in_at_300ms": 0.5, "cut_in_at_600ms": 0.2, "delay_at_5pct_s": 2.0,
                    "delay_at_10pct_s": None}], 0.0)  # fmt: skip
    found = await run(stand, log)
    options = TuneOptions(out=tmp_path, rule=parse_rule("max success where ttfa_p95_s <= 0.75"), price=0.1)
    machine = {"cores": 2, "cpu": "test"}
    result = build_result(found, log, options, "desk", simulated=["tts: Beep"], machine=machine, spent_s=1_000.0)
    document = json.loads(json.dumps(result.document))
    assert set(document) >= {"configs", "endpointing", "chosen", "rule", "heldout", "simulated_stages"}
    wanted = {"name", "success", "success_ci", "pass_k", "slot_f1", "cut_in_ratio", "selectivity", "reply_wer",
              "ttfa_p50_s", "ttfa_p95_s", "cpu_s_per_call_min", "calls_per_worker", "pareto"}  # fmt: skip
    assert all(set(row) >= wanted for row in document["configs"])
    assert document["chosen"] == document["configs"][0]["name"] == "s5"
    assert document["endpointing"][0]["cut_in_at_300ms"] == 0.5
    assert document["heldout"]["default"]["name"] == PLAIN
    assert document["heldout"]["difference"]["ttfa_p50_ratio"]["value"] == pytest.approx(0.7 / 2.0, abs=0.01)
    assert document["sweep"]["spent_s"] == 1_000.0
    # The slower of the table does more: the front is all that went to the end, and its points are told apart.
    front = {row["name"] for row in document["configs"] if row["pareto"]}
    assert set(document["distinct"]) <= front
    assert len(document["distinct"]) >= 2
    told = " ".join(result.evidence)
    assert "SIMULATED, no model runs: tts: Beep" in told
    page = render_report(result, worth_of_options(found.settings, log.rounds, log.records), ())
    assert "livekit-agents&#39;" in page
    assert all(row["name"] in page for row in document["configs"])


@pytest.mark.parametrize("most", range(4, 60, 7))
async def test_whenever_it_is_killed_it_goes_on_within_the_budget(tmp_path: Path, most: int) -> None:
    path, spent_s, kills, played = tmp_path / "log", 0.0, 0, list[tuple[str, Play]]()
    while True:
        stand = TableStand(most=most)
        try:
            found = await run(stand, open_log(path, HEADER), budget_s=600.0)
        except Killed:
            kills += 1
        else:
            break
        finally:
            played += stand.played
            spent_s += stand.clock.monotonic() - 100.0
    log = open_log(path, HEADER)
    assert kills
    assert len(played) == len(set(played)) == len(log.records)
    # What a killed run did after its last play is not in the log: at most a start of its fleet each time.
    assert spent_s <= 600.0 + kills * 15.0
    assert found.heldout == (found.chosen.name, PLAIN)


@pytest.mark.parametrize("budget_s", [215.0, 240.0, 300.0, 600.0, 1_500.0])
@pytest.mark.parametrize("block_s", [10.0, 25.0, 40.0, 70.0])
async def test_the_budget_is_kept_however_long_calls_take(tmp_path: Path, budget_s: float, block_s: float) -> None:
    stand, log = TableStand(block_s=block_s), open_log(tmp_path / "log", HEADER)
    if budget_s < 10.0 + 2 * block_s + 20.0 + 2.6 * block_s + 25.0:
        # Two settings once, and the check of two, do not fit: it says so, and chooses nothing.
        with pytest.raises(ConfigError, match="before two settings had played anything"):
            await run(stand, log, budget_s)
        assert stand.clock.monotonic() - 100.0 <= budget_s
        return
    found = await run(stand, log, budget_s)
    assert stand.clock.monotonic() - 100.0 <= budget_s
    # Something was checked, of both; and what is compared was played by all.
    mine, theirs = (log.of(name, "heldout") for name in found.heldout)
    assert mine
    assert theirs
    common = log.common(found.finalists, "tuning")
    assert len({tuple((r.task, r.trial) for r in records) for records in common.values()}) == 1
    assert all(common.values())


async def test_time_that_is_left_over_is_played(tmp_path: Path) -> None:
    # Calls take a third of what was guessed, and the plan has one round.
    stand, log = TableStand(block_s=10.0), open_log(tmp_path / "log", HEADER)
    planned = plan(300.0, candidates=len(EVERY), tasks=len(TUNING), heldout_tasks=len(HELDOUT), at_once=4)
    found = await run(stand, log, 300.0)
    assert 230.0 <= stand.clock.monotonic() - 100.0 <= 300.0
    assert len(log.rounds) > len(planned.fields)
    plays = {name: [(r.task, r.trial) for r in log.of(name, "tuning")] for name in found.finalists}
    assert all(len(each) == len(set(each)) > sum(planned.tasks) for each in plays.values())


async def test_a_dead_fleet_is_not_scored(tmp_path: Path) -> None:
    stand = TableStand(silent=[c.name for c in EVERY])
    log = open_log(tmp_path / "log", HEADER)
    with pytest.raises(UnreachableError, match=r"no call was answered with the setting s\d, twice") as told:
        await run(stand, log)
    assert "no module named nova" in str(told.value)
    assert "no agent within 20 s" in str(told.value)
    assert log.records == []


async def test_one_block_that_nobody_answered_is_played_once_more(tmp_path: Path) -> None:
    stand, log = TableStand(deaf_times=1), open_log(tmp_path / "log", HEADER)
    found = await run(stand, log)
    assert found.chosen.name == "s5"
    assert not [r for r in log.records if r.error]


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
