"""A worker steps down when it is short of CPU or late, up when it is calm, and never back and forth without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from support.virtual_time import LoopClock, run
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import validated
from voicefleet.worker.job.ipc import JobChannel, JobChannelServer
from voicefleet.worker.ladder import level as levels
from voicefleet.worker.ladder.decision import LadderRules, Pressure, Reason, Standing, Step, decide
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.ladder.live_step import LiveStep
from voicefleet.worker.ladder.pressure import PressureWindow
from voicefleet.worker.ladder.stepper import Stepper
from voicefleet.worker.telemetry.metrics import WorkerMetrics
from voicefleet.worker.telemetry.observations import TierChanged, Turn
from voicefleet.worker.tiers.load import Tiers, resolve_tiers
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit

RULES = LadderRules(
    ("best", "good", "fast"), cpu_down_ratio=0.9, cpu_up_ratio=0.6, ttfa_s=0.8, down_after_s=3.0, up_after_s=30.0
)
SHORT, CALM = Pressure(0.97, None), Pressure(0.2, 0.2)


def step(standing: Standing, seen: Pressure, now_s: float) -> Step:
    found = decide(RULES, standing, seen, now_s)
    assert found is not None
    return found


def test_down_for_want_of_cpu_says_why() -> None:
    found = step(Standing(0.0), SHORT, 3.0)
    assert (found.standing.level, found.reason, found.down) == (1, Reason.CPU, True)
    assert found.standing.why == "CPU at 97% for 3 s (limit 90%)"


def test_down_because_turns_are_late() -> None:
    assert decide(RULES, Standing(0.0), Pressure(0.1, None, turns=4, late=4), 9.0) is None, "too few to tell"
    assert decide(RULES, Standing(0.0), Pressure(0.1, None, turns=20, late=3), 9.0) is None
    found = step(Standing(0.0), Pressure(None, None, turns=20, late=4), 9.0)
    assert (found.reason, found.standing.why) == (Reason.TTFA, "4 of the last 20 turns took over 800 ms")


COUNTED = replace(RULES, calls=(2, 5))


def test_down_for_more_calls_than_the_tier_is_for_before_anybody_is_late() -> None:
    standing, levels_now = Standing(0.0), []
    for now_s, calls in enumerate((1, 2, 3, 5, 6, 9)):
        found = decide(COUNTED, standing, Pressure(None, None, calls=calls), float(now_s))
        standing = standing if found is None else found.standing
        levels_now.append(standing.level)
    assert levels_now == [0, 0, 1, 1, 2, 2]
    assert standing.why == "6 calls at once (tier good: at most 5)"
    assert decide(RULES, Standing(0.0), Pressure(None, None, calls=99), 9.0) is None, "they are not counted"


def test_no_step_up_to_a_tier_that_is_for_fewer_calls() -> None:
    low, calm = Standing(0.0, level=1), replace(CALM, calls=3)
    assert decide(COUNTED, low, calm, 100.0) is None
    found = decide(COUNTED, low, replace(calm, calls=2), 100.0)
    assert found is not None
    assert found.standing.level == 0


def test_new_calls_do_not_double_the_wait_for_the_next_step_up() -> None:
    raised = step(Standing(0.0, level=1), CALM, 30.0).standing
    found = decide(COUNTED, raised, replace(CALM, calls=3), 31.0)
    assert found is not None
    assert found.reason == Reason.CALLS
    assert decide(COUNTED, found.standing, CALM, 61.0) is not None


def test_each_step_is_judged_by_what_came_after_it() -> None:
    first = step(Standing(0.0), SHORT, 3.0).standing
    assert decide(RULES, first, SHORT, 5.9) is None
    last = step(first, SHORT, 6.0).standing
    assert last.level == 2
    assert decide(RULES, last, SHORT, 60.0) is None, "there is no step below"


@pytest.mark.parametrize(
    "seen",
    [
        Pressure(None, None),
        Pressure(0.2, None),
        Pressure(0.5, 0.61),
        Pressure(0.2, 0.2, turns=10, late=1),
    ],
    ids=["unknown", "not watched long enough", "busy", "late"],
)
def test_no_step_up_without_calm(seen: Pressure) -> None:
    assert decide(RULES, Standing(0.0, level=1), seen, 100.0) is None


def test_up_one_step_after_calm() -> None:
    low = Standing(0.0, level=2)
    assert decide(RULES, low, CALM, 29.9) is None
    found = step(low, CALM, 30.0)
    assert (found.standing.level, found.reason, found.down) == (1, Reason.CALM, False)
    assert decide(RULES, Standing(0.0), CALM, 1000.0) is None, "there is none above the best"


def test_a_step_up_that_does_not_hold_doubles_the_wait() -> None:
    standing, now_s, waits = step(Standing(0.0), SHORT, 3.0).standing, 3.0, []
    for _ in range(6):
        began_s = now_s
        while (up := decide(RULES, standing, CALM, now_s)) is None:
            now_s += 1.0
        waits.append(now_s - began_s)
        now_s += 3.0
        standing = step(up.standing, SHORT, now_s).standing
    assert waits == [30.0, 60.0, 120.0, 240.0, 240.0, 240.0]


def test_a_step_up_that_held_is_forgotten() -> None:
    raised = step(Standing(0.0, level=1, wait_s=120.0), CALM, 120.0).standing
    assert step(raised, SHORT, 300.0).standing.wait_s == 30.0


def test_the_window_knows_only_what_it_watched() -> None:
    window = PressureWindow(RULES)
    for second in range(10):
        window.cpu(float(second), 1.0)
    assert window.seen(9.0, 0.0) == Pressure(1.0, None)
    assert window.seen(9.0, 7.0).cpu_now is None, "less than 3 s since the last step"
    window.cpu(10.0, None)
    assert window.seen(10.0, 0.0).cpu_now is None, "a failed reading is unknown, not zero"
    for second in range(17, 60):
        window.cpu(float(second), 0.1)
    assert window.seen(40.0, 0.0).cpu_long is None, "nobody watched between 10 and 17"
    assert window.seen(59.0, 0.0).cpu_long == pytest.approx(0.1)


def test_turns_that_were_under_way_at_a_step_do_not_count() -> None:
    window = PressureWindow(RULES)
    for at_s, ttfa_s in ((8.0, 2.0), (12.0, 2.0), (14.0, 0.9), (15.0, 0.5)):
        window.turn(at_s, ttfa_s)
    assert window.seen(16.0, 0.0).turns == 4
    seen = window.seen(16.0, 10.0)
    assert (seen.turns, seen.late) == (2, 1)


def test_a_call_stands_below_what_it_asked_for() -> None:
    assert [RULES.tier("good", n) for n in range(4)] == ["good", "fast", "fast", "fast"]
    assert RULES.tier("other", 2) == "other"


@pytest.mark.parametrize(
    ("ladder", "field", "value", "says"),
    [
        ({"order": ["best", "fast", "best"]}, "ladder.order", "best", "is a cycle: best -> fast -> best"),
        ({"order": ["best", "fats"]}, "ladder.order", "fats", "Did you mean fast?"),
        ({"order": ["best"]}, "ladder.order", None, "at least 2"),
        ({"order": ["best", "fast"], "cpu_up_ratio": 0.95}, "ladder", None, "up and down without end"),
        ({"order": ["best", "fast"], "calls": [2, 5]}, "ladder.calls", None, "2 numbers for 2 tiers"),
        ({"order": ["best", "fast"], "calls": [0]}, "ladder.calls.0", None, "greater than or equal to 1"),
        ({"order": ["best", "fast", "last"], "calls": [5, 2]}, "ladder.calls", None, "no more calls than a better one"),
        ({"order": ["best", "fast"], "cpu_down": 0.9}, "ladder.cpu_down", None, "Did you mean cpu_down_ratio?"),
    ],
)
def test_a_wrong_ladder_is_refused(ladder: dict[str, Any], field: str, value: str | None, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(TiersFile, {"default": "best", "tiers": {"best": {}, "fast": {}}, "ladder": ladder}, source="t.yaml")
    assert caught.value.exit_code == 2
    assert caught.value.field == field
    assert value is None or caught.value.value == value
    assert says in f"{caught.value} {caught.value.hint}"


def test_a_level_on_the_wire() -> None:
    told = Level(2, "CPU at 97%")
    assert levels.decode(levels.encode(told)) == told
    for line in (b"", b"{}", b"[]", b"2", b'{"steps": -1, "why": ""}', b'{"steps": 1, "why": 3}'):
        with pytest.raises(ValueError, match="not a level"):
            levels.decode(line)


async def stepped(readings: Callable[[float], float], seconds: float, ttfa_s: float | None = None) -> list[Level]:
    """The levels that a worker's jobs are told in `seconds`; `readings` gives the CPU at a time."""
    clock, told = LoopClock(), list[Level]()
    metrics = WorkerMetrics(CollectorRegistry(), frozenset({"best"}))
    stepper = Stepper(RULES, metrics, clock, told.append, lambda: 0, read_cpu=lambda _: readings(clock.monotonic()))
    for _ in range(round(seconds)):
        ratio: float | None
        try:
            ratio = readings(clock.monotonic())
        except OSError:
            ratio = None
        if ttfa_s is not None:
            stepper.turn(Turn("best", "completed", ttfa_s=ttfa_s))
            stepper.turn(Turn("of no ladder", "completed", ttfa_s=9.0))
        stepper._look(ratio)
        await clock.sleep(1.0)
    return told


def test_a_burst_steps_down_and_its_end_up() -> None:
    told = run(stepped(lambda now_s: 1.0 if 10 <= now_s < 20 else 0.1, 120.0))
    assert [level.steps for level in told] == [1, 2, 1, 0]


def test_late_turns_of_the_ladder_alone_step_down() -> None:
    def unreadable(_: float) -> float:
        raise OSError

    assert run(stepped(unreadable, 60.0, ttfa_s=0.5)) == []
    assert [level.steps for level in run(stepped(unreadable, 60.0, ttfa_s=1.5))] == [1, 2]


def test_a_worker_counts_its_calls_at_each_look() -> None:
    calls, told = 2, list[Level]()
    metrics = WorkerMetrics(CollectorRegistry(), frozenset({"best"}))

    async def story() -> None:
        nonlocal calls
        stepper = Stepper(COUNTED, metrics, LoopClock(), told.append, lambda: calls, read_cpu=lambda _: 0.1)
        stepper._look(0.1)
        calls = 3
        stepper._look(0.1)

    run(story())
    assert told == [Level(1, "3 calls at once (tier best: at most 2)")]


LLM = {"plugin": "voicefleet.local.synthetic:SyntheticLLM"}
TTS = {"plugin": "voicefleet.local.synthetic:SyntheticTTS"}


def tiers(**ladder: Any) -> Tiers:
    """`best` and `fast` have another LLM and another voice, and alike STT: the session's own."""
    settings = {
        name: {"llm": {**LLM, "args": {"ttft_s": s}}, "tts": {**TTS, "args": {"ttfb_s": s}}}
        for name, s in (("best", 0.5), ("fast", 0.1))
    }
    file = {"default": "best", "tiers": settings, "ladder": {"order": ["best", "fast"], **ladder}}
    return resolve_tiers(TiersFile.model_validate(file), {})


class Scene:
    """A call on `best`, whose turns the test plays."""

    def __init__(self, found: Tiers, serving: str = "best", steps: int = 0, fails: bool = False) -> None:
        self.between_turns = True
        self.swaps: list[Mapping[str, Any]] = []
        self.changes: list[TierChanged] = []
        self.fails = fails
        self.step = LiveStep(
            found,
            found.by_name["best"],
            found.by_name[serving],
            own={"stt": "own stt", "llm": None, "tts": None},
            between_turns=lambda: self.between_turns,
            build=lambda name, stage: f"{name} {next(iter(stage.args.values()))}",
            swap=lambda stages, _: self.swap(stages),
            changed=self.changes.append,
            clock=LoopClock(),
            level=Level(steps, "busy" if steps else ""),
        )

    def swap(self, stages: Mapping[str, Any]) -> None:
        if self.fails:
            raise RuntimeError("no")
        self.swaps.append(dict(stages))


BEGAN = {"stt": "own stt", "llm": "llm as begun", "tts": "tts as begun"}


def test_a_live_call_steps_between_two_turns_and_keeps_its_voice() -> None:
    async def call() -> Scene:
        scene = Scene(tiers())
        scene.step.began(BEGAN)
        scene.between_turns = False
        scene.step.on_level(Level(1, "CPU at 97%"))
        await asyncio.sleep(5.0)
        assert scene.swaps == [], "somebody speaks"
        scene.between_turns = True
        await asyncio.sleep(0.1)
        scene.step.on_level(Level(0, "calm"))
        await asyncio.sleep(0.1)
        await scene.step.end()
        return scene

    scene = run(call())
    assert scene.swaps == [{"llm": "llm 0.1"}, {"llm": "llm as begun"}], "back to what it had, not to a new one"
    assert scene.changes == [
        TierChanged("between_turns", "fast", "best", "CPU at 97%"),
        TierChanged("between_turns", "best", "fast", "calm"),
    ]


def test_the_voice_changes_where_the_file_says_so() -> None:
    async def call() -> Scene:
        scene = Scene(tiers(keep_voice=False))
        scene.step.began(BEGAN)
        scene.step.on_level(Level(1))
        await asyncio.sleep(0.1)
        return scene

    assert run(call()).swaps == [{"llm": "llm 0.1", "tts": "tts 0.1"}]


def test_a_step_that_is_over_before_the_turn_is_not_taken() -> None:
    async def call() -> Scene:
        scene = Scene(tiers())
        scene.step.began(BEGAN)
        scene.between_turns = False
        scene.step.on_level(Level(1))
        await asyncio.sleep(1.0)
        scene.step.on_level(Level(0))
        await asyncio.sleep(1.0)
        scene.between_turns = True
        await asyncio.sleep(1.0)
        return scene

    assert run(call()).swaps == []


def test_a_call_that_began_lower_says_so_and_steps_up() -> None:
    async def call() -> Scene:
        scene = Scene(tiers(), serving="fast", steps=1)
        scene.step.began(BEGAN)
        scene.step.on_level(Level(0, "calm"))
        await asyncio.sleep(0.1)
        return scene

    scene = run(call())
    assert scene.changes[0] == TierChanged("start", "fast", "best", "busy")
    assert scene.swaps == [{"llm": "llm 0.5"}]


def test_a_step_that_fails_leaves_the_call_as_it_is() -> None:
    async def call() -> Scene:
        scene = Scene(tiers(), fails=True)
        scene.step.began(BEGAN)
        scene.step.on_level(Level(1))
        await asyncio.sleep(1.0)
        assert [change.result for change in scene.changes] == ["failed"], "once, not again and again"
        scene.fails = False
        scene.step.on_level(Level(1))
        await asyncio.sleep(1.0)
        return scene

    assert [change.result for change in run(call()).changes] == ["failed", "between_turns"]


@pytest.mark.parametrize("level", [None, Level(1, "CPU at 97%")], ids=["no ladder", "one step down"])
def test_a_job_is_told_where_its_worker_stands_and_nothing_where_there_is_no_ladder(
    level: Level | None, tmp_path: Path
) -> None:
    async def story() -> tuple[bytes, Level]:
        path = tmp_path / "jobs"
        server = JobChannelServer(
            path, lambda *_: None, lambda _: None, lambda: None, level=None if level is None else lambda: level
        )
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write_eof()
        told = await reader.read()
        writer.close()
        job = JobChannel()
        await job.connect(str(path))
        heard = await job.hear_levels() if level is not None else job.level
        await job.close()
        await server.close()
        return told, heard

    assert asyncio.run(story()) == ((b"", Level()) if level is None else (levels.encode(level), level))
