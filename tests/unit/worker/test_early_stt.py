"""A recogniser that is asked while the silence goes on, in virtual time: windows of 32 ms, as the voice detector's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, stt, utils, vad

from support.failing_providers import FRAME, ScriptedVad, final
from support.virtual_time import now_s, run
from voicefleet.local.synthetic import SyntheticSTT
from voicefleet.worker.providers.early_stt import EarlySTT
from voicefleet.worker.providers.fallback import fallback_stt
from voicefleet.worker.providers.pipeline import build_stage
from voicefleet.worker.tiers.load import resolve_tiers
from voicefleet.worker.tiers.schema import PreemptiveGeneration, TiersFile

pytestmark = pytest.mark.unit

WINDOW_S = 0.032
TAKES_S = 0.08
PREFLIGHT, FINAL = stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, stt.SpeechEventType.FINAL_TRANSCRIPT


class Voice(ScriptedVad):
    """Tells of windows as the voice detector does: the sums are those before the window."""

    def __init__(self) -> None:
        super().__init__()
        self._speech_s = self._silence_s = 0.0

    def flush(self) -> None: ...

    def began(self) -> None:
        self._speech_s, self._silence_s = WINDOW_S, 0.0
        self._events.send_nowait(vad.VADEvent(vad.VADEventType.START_OF_SPEECH, 0, 0.0, 0.0, 0.0, frames=[FRAME]))

    async def windows(self, count: int, *, loud: bool) -> None:
        for _ in range(count):
            await asyncio.sleep(WINDOW_S)
            told = vad.VADEvent(vad.VADEventType.INFERENCE_DONE, 0, 0.0, 0.0, 0.0, frames=[FRAME])
            told.raw_accumulated_speech, told.raw_accumulated_silence = self._speech_s, self._silence_s
            self._events.send_nowait(told)
            self._speech_s = self._speech_s + WINDOW_S if loud else 0.0
            self._silence_s = 0.0 if loud else self._silence_s + WINDOW_S


class Recogniser(SyntheticSTT):
    """Takes `TAKES_S`, and gives its number of requests as words; the requests in `fails` fail."""

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.asked: list[float] = []
        self.seconds: list[float] = []
        self._fails = fails

    async def _recognize_impl(self, buffer: utils.AudioBuffer, **_: Any) -> stt.SpeechEvent:
        self.asked.append(round(now_s(), 3))
        self.seconds.append(round(sum(f.duration for f in buffer) if isinstance(buffer, list) else buffer.duration, 3))
        number = len(self.asked)
        await asyncio.sleep(TAKES_S)
        if number in self._fails:
            raise APIConnectionError("refused")
        return final(f"words {number}")


class Scene:
    def __init__(self, recogniser: Recogniser, *, after_s: float | None = 0.03, tries: int = 3) -> None:
        self.voice, self.recogniser = Voice(), recogniser
        self.early = EarlySTT(recogniser, self.voice, after_s=after_s, tries=tries)  # type: ignore[arg-type]
        self.heard: list[tuple[float, stt.SpeechEventType, str]] = []

    async def play(self, script: Callable[[Voice], Coroutine[Any, Any, None]]) -> None:
        async with self.early.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
            reading = asyncio.create_task(self._read(stream))
            await script(self.voice)
            await asyncio.sleep(1.0)
            stream.end_input()
            await reading

    async def _read(self, stream: stt.RecognizeStream) -> None:
        async for event in stream:
            if event.alternatives:
                self.heard.append((round(now_s(), 3), event.type, event.alternatives[0].text))


def played(script: Callable[[Voice], Coroutine[Any, Any, None]], recogniser: Recogniser, **settings: Any) -> Scene:
    """What was heard of a script, in virtual time."""

    async def play() -> Scene:
        scene = Scene(recogniser, **settings)
        await scene.play(script)
        return scene

    return run(play())


async def _question(voice: Voice, silent: int = 7) -> None:
    voice.began()
    await voice.windows(5, loud=True)
    await voice.windows(silent, loud=False)
    voice.ended()


def test_words_are_there_in_the_silence_and_final_at_its_end() -> None:
    scene = played(_question, Recogniser())
    asked_s = 7 * WINDOW_S  # five of speech, and of the second silent window the first one's silence is known
    assert scene.recogniser.asked == [pytest.approx(asked_s)]
    assert [(kind, text) for _, kind, text in scene.heard] == [(PREFLIGHT, "words 1"), (FINAL, "words 1")]
    assert [t_s for t_s, *_ in scene.heard] == pytest.approx([asked_s + TAKES_S, 12 * WINDOW_S], abs=0.001)
    # The words of before the detector was sure of a voice are in it: 0.1 s, and 0.1 s for each window.
    assert scene.recogniser.seconds == [0.8]


def test_words_that_are_not_there_at_the_end_are_waited_for() -> None:
    scene = played(_question, Recogniser(), after_s=0.15)
    assert len(scene.recogniser.asked) == 1
    assert [(kind, text) for _, kind, text in scene.heard] == [(PREFLIGHT, "words 1"), (FINAL, "words 1")]
    assert scene.heard[1][0] == pytest.approx(scene.recogniser.asked[0] + TAKES_S, abs=0.001)


def test_a_caller_who_goes_on_has_all_the_words_recognised_again() -> None:
    async def pause(voice: Voice) -> None:
        voice.began()
        await voice.windows(5, loud=True)
        await voice.windows(5, loud=False)
        await voice.windows(5, loud=True)
        await voice.windows(7, loud=False)
        voice.ended()

    scene = played(pause, Recogniser())
    assert [(kind, text) for _, kind, text in scene.heard] == [
        (PREFLIGHT, "words 1"),
        (PREFLIGHT, "words 2"),
        (FINAL, "words 2"),
    ]
    assert scene.recogniser.seconds[1] > scene.recogniser.seconds[0]


def test_words_that_come_when_the_caller_speaks_again_are_not_given() -> None:
    async def short_pause(voice: Voice) -> None:
        voice.began()
        await voice.windows(5, loud=True)
        await voice.windows(2, loud=False)
        await voice.windows(5, loud=True)
        await voice.windows(7, loud=False)
        voice.ended()

    scene = played(short_pause, Recogniser())
    assert [(kind, text) for _, kind, text in scene.heard] == [(PREFLIGHT, "words 2"), (FINAL, "words 2")]


def test_an_utterance_costs_no_more_than_its_tries_and_the_final_request() -> None:
    async def stutter(voice: Voice) -> None:
        voice.began()
        for _ in range(6):
            await voice.windows(3, loud=True)
            await voice.windows(4, loud=False)
        await voice.windows(4, loud=False)
        voice.ended()

    scene = played(stutter, Recogniser(), tries=2)
    assert len(scene.recogniser.asked) == 3
    assert scene.heard[-1][1:] == (FINAL, "words 3")


def test_a_failure_in_the_silence_costs_nothing_but_time() -> None:
    scene = played(_question, Recogniser(fails=(1,)))
    assert [(kind, text) for _, kind, text in scene.heard] == [(FINAL, "words 2")]


def test_without_a_time_it_is_livekits_own_adapter() -> None:
    scene = played(_question, Recogniser(), after_s=None)
    assert [(kind, text) for _, kind, text in scene.heard] == [(FINAL, "words 1")]


def test_a_second_utterance_begins_anew() -> None:
    async def two(voice: Voice) -> None:
        await _question(voice)
        await asyncio.sleep(0.5)
        await _question(voice)

    scene = played(two, Recogniser(), tries=1)
    assert [text for _, kind, text in scene.heard if kind is FINAL] == ["words 1", "words 2"]
    assert scene.recogniser.seconds == [0.8, 0.8]


def _stage(fallback: bool) -> Any:
    synthetic = {"plugin": "voicefleet.local.synthetic:SyntheticSTT"}
    named = {**synthetic, "fallback": [synthetic]} if fallback else synthetic
    file = TiersFile.model_validate({"default": "t", "tiers": {"t": {"stt": named}}})
    return resolve_tiers(file, {}).pick("t").stages["stt"]


@pytest.mark.parametrize("fallback", [False, True])
def test_the_tier_says_when(fallback: bool) -> None:
    async def scene() -> None:
        voice: Any = Voice()
        built = build_stage("stt", _stage(fallback), voice, PreemptiveGeneration(after_s=0.1, tries=4))
        assert isinstance(built, EarlySTT)
        assert (built.after_s, built.tries, len(built.members)) == (0.1, 4, 1 + fallback)
        off = build_stage("stt", _stage(fallback), voice, PreemptiveGeneration(enabled=False, after_s=0.1))
        assert getattr(off, "after_s", None) is None

    run(scene())


def test_a_fallback_without_a_tier_is_as_it_was() -> None:
    async def scene() -> None:
        voice: Any = Voice()
        built = fallback_stt([SyntheticSTT(), SyntheticSTT()], voice, 2.5)
        assert isinstance(built, EarlySTT)
        assert built.after_s is None

    run(scene())


def test_true_and_false_alone_switch_it() -> None:
    for given in (True, False):
        file = TiersFile.model_validate({"default": "t", "tiers": {"t": {"preemptive_generation": given}}})
        assert file.tiers["t"].preemptive_generation == PreemptiveGeneration(enabled=given)
