"""Limits, fallbacks and the fallback of a streaming recogniser, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APITimeoutError, llm, stt, tts

from support.failing_providers import FRAME, ScriptedLLM, ScriptedVad, SlowStreamingTTS, StreamingSTT, final
from support.virtual_time import now_s, run
from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS
from voicefleet.worker.dead_air.apology import failure_kind
from voicefleet.worker.providers.fallback import FallbackLLM, FallbackSTT, FallbackTTS, adapter_of, members_of
from voicefleet.worker.providers.limits import limit_llm, limit_stt, limit_tts
from voicefleet.worker.providers.pipeline import build_stage, connect_options
from voicefleet.worker.providers.streaming_fallback import StreamingFallbackSTT
from voicefleet.worker.tiers.load import resolve_tiers
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit

LIMIT_S = 2.5
TWICE = APIConnectOptions(max_retry=1)
ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
def faults(tmp_path: Path) -> Callable[..., str]:
    def write(**faults: str) -> str:
        (tmp_path / "faults.json").write_text(json.dumps(faults))
        return str(tmp_path / "faults.json")

    return write


async def words(model: llm.LLM[Any], options: APIConnectOptions = ONCE) -> str:
    said = ""
    async with model.chat(chat_ctx=llm.ChatContext(), conn_options=options) as stream:
        async for chunk in stream:
            if chunk.delta and chunk.delta.content:
                said += chunk.delta.content
    return said


async def speech_s(voice: tts.TTS[Any], options: APIConnectOptions = ONCE) -> float:
    async with voice.synthesize("Fifteen letters", conn_options=options) as stream:
        return sum([audio.frame.duration async for audio in stream])


async def late(work: Coroutine[Any, Any, Any]) -> float:
    """When `work` failed for lateness."""
    with pytest.raises(APIConnectionError) as caught:
        await work
    assert isinstance(caught.value, APITimeoutError) or isinstance(caught.value.__cause__, APITimeoutError)
    return now_s()


# Limits


def test_a_recogniser_that_hangs_is_late_and_tried_once_more(faults: Callable[..., str]) -> None:
    async def scene() -> None:
        provider = SyntheticSTT(faults_file=faults(stt="hang"))
        limit_stt(provider, LIMIT_S)
        assert await late(provider.recognize([FRAME], conn_options=TWICE)) == pytest.approx(2 * LIMIT_S + 0.1)
        faults()
        heard = await provider.recognize([FRAME], conn_options=ONCE)
        assert heard.alternatives[0].text == "What are your opening hours?"

    run(scene())


def test_an_llm_that_hangs_is_late_and_tried_once_more(faults: Callable[..., str]) -> None:
    async def scene() -> None:
        provider = SyntheticLLM(replies=["Yes."], faults_file=faults(llm="hang"))
        limit_llm(provider, LIMIT_S)
        assert await late(words(provider, TWICE)) == pytest.approx(2 * LIMIT_S + 0.1)
        faults()
        assert await words(provider) == "Yes."

    run(scene())


def test_an_llm_may_talk_for_long_but_not_fall_silent() -> None:
    async def talks(send: Callable[..., None]) -> None:
        for word in ["one", "two", "three"]:
            await asyncio.sleep(2.0)
            send(word)

    async def stalls(send: Callable[..., None]) -> None:
        await talks(send)
        await asyncio.get_running_loop().create_future()

    async def scene() -> None:
        talker, staller = ScriptedLLM(talks), ScriptedLLM(stalls)
        for provider in (talker, staller):
            limit_llm(provider, LIMIT_S)
        assert await words(talker) == "onetwothree"
        assert await late(words(staller)) == pytest.approx(12.0 + LIMIT_S)

    run(scene())


def test_a_voice_that_hangs_is_late(faults: Callable[..., str]) -> None:
    async def scene() -> None:
        provider = SyntheticTTS(faults_file=faults(tts="hang"))
        limit_tts(provider, LIMIT_S)
        assert await late(speech_s(provider)) == pytest.approx(LIMIT_S)
        faults()
        assert await speech_s(provider) == pytest.approx(1.0, abs=0.02)

    run(scene())


@pytest.mark.parametrize("hangs", [True, False])
def test_a_streaming_voice_answers_for_its_own_silence_only(hangs: bool) -> None:
    async def scene() -> float:
        provider = SlowStreamingTTS(hangs=hangs)
        limit_tts(provider, LIMIT_S)
        async with provider.stream(conn_options=ONCE) as stream:
            # The LLM takes its time, before the first word and between words.
            await asyncio.sleep(4.0)
            stream.push_text("Well. ")
            if not hangs:
                await asyncio.sleep(6.0)
                stream.push_text("Yes.")
            stream.end_input()
            return sum([audio.frame.duration async for audio in stream])

    async def hung() -> None:
        assert await late(scene()) == pytest.approx(4.0 + LIMIT_S)

    if hangs:
        run(hung())
    else:
        assert run(scene()) == pytest.approx(1.0, abs=0.02)


# Fallbacks


def test_the_next_llm_answers_for_one_that_hangs_and_then_at_once(faults: Callable[..., str]) -> None:
    async def scene() -> None:
        first, second = SyntheticLLM(replies=["One."], faults_file=faults(llm="hang")), SyntheticLLM(replies=["Two."])
        for provider in (first, second):
            limit_llm(provider, LIMIT_S)
        both = FallbackLLM([first, second], LIMIT_S)
        changes: list[bool] = []
        both.on("llm_availability_changed", lambda event: changes.append(event.available))
        assert await words(both) == "Two."
        assert LIMIT_S < now_s() < LIMIT_S + 0.2
        began = now_s()
        assert await words(both) == "Two."
        assert now_s() - began < 0.2
        faults()
        await asyncio.sleep(2 * LIMIT_S)  # The probe that is under way still hangs.
        await words(both)
        await asyncio.sleep(1.0)
        assert await words(both) == "One."
        assert changes == [False, True]
        await both.aclose()

    run(scene())


def test_a_dropped_answer_is_given_whole_by_the_next(faults: Callable[..., str]) -> None:
    async def scene() -> None:
        first = SyntheticLLM(replies=["It is so."], faults_file=faults(llm="drop"))
        both = FallbackLLM([first, SyntheticLLM(replies=["It is so."])], LIMIT_S)
        assert await words(both) == "ItIt is so."
        await both.aclose()

    run(scene())


def test_a_tool_is_not_called_by_two() -> None:
    async def drops(send: Callable[..., None]) -> None:
        send("Moment. ")
        send(tool="book")
        raise APIConnectionError("lost")

    async def calls(send: Callable[..., None]) -> None:
        send(tool="book")
        send("Done.")

    async def scene() -> list[str]:
        both = FallbackLLM([ScriptedLLM(drops), ScriptedLLM(calls)], LIMIT_S)
        said: list[str] = []
        async with both.chat(chat_ctx=llm.ChatContext(), conn_options=ONCE) as stream:
            async for chunk in stream:
                if chunk.delta:
                    said += [chunk.delta.content or "", *(t.name for t in chunk.delta.tool_calls)]
        await both.aclose()
        return [s for s in said if s]

    assert run(scene()) == ["Moment. ", "Done.", "book"]


@pytest.mark.parametrize("fault", ["hang", "refuse"])
def test_the_next_voice_speaks(faults: Callable[..., str], fault: str) -> None:
    async def scene() -> None:
        first, second = SyntheticTTS(faults_file=faults(tts=fault)), SyntheticTTS(sample_rate=16_000)
        for provider in (first, second):
            limit_tts(provider, LIMIT_S)
        both = FallbackTTS([first, second])
        assert await speech_s(both) == pytest.approx(1.0, abs=0.05)
        assert now_s() < LIMIT_S + 0.5
        await both.aclose()

    run(scene())


@pytest.mark.parametrize("fault", ["hang", "refuse", "drop"])
def test_the_next_recogniser_is_given_the_same_words(faults: Callable[..., str], fault: str) -> None:
    async def scene() -> None:
        first, second = SyntheticSTT(faults_file=faults(stt=fault)), SyntheticSTT(transcript="the second")
        for provider in (first, second):
            limit_stt(provider, LIMIT_S)
        both = FallbackSTT([first, second], ScriptedVad(), LIMIT_S)  # type: ignore[arg-type]
        heard = await both.recognize([FRAME], conn_options=ONCE)
        assert heard.alternatives[0].text == "the second"
        assert now_s() < LIMIT_S + 0.5
        await both.aclose()

    run(scene())


# The fallback of a streaming recogniser


class Rescue:
    """A streaming recogniser, one that can take over, and what the session hears."""

    def __init__(self, transcript: str = "rescued", faults_file: str = "") -> None:
        self.first = StreamingSTT()
        other = SyntheticSTT(transcript=transcript, faults_file=faults_file)
        limit_stt(other, LIMIT_S)
        self.voice = ScriptedVad()
        backup = stt.FallbackAdapter([other], vad=self.voice, max_retry_per_stt=0)  # type: ignore[arg-type]
        self.both = StreamingFallbackSTT(self.first, [other], backup, self.voice, LIMIT_S)  # type: ignore[arg-type]
        self.changes: list[bool] = []
        self.errors: list[bool] = []
        self.both.on("stt_availability_changed", lambda event: self.changes.append(event.available))
        self.both.on("error", lambda error: self.errors.append(error.recoverable))
        self.heard: list[tuple[float, str]] = []

    async def __aenter__(self) -> Rescue:
        self.stream = self.both.stream()
        self._hearing = asyncio.create_task(self._hear())
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stream.aclose()
        self._hearing.cancel()
        await self.both.aclose()

    async def _hear(self) -> None:
        async for event in self.stream:
            self.heard.append((round(now_s(), 1), event.alternatives[0].text))

    async def says(self, answer: stt.SpeechEvent | None, wait_s: float) -> None:
        self.voice.began()
        await asyncio.sleep(1.0)
        self.voice.ended()
        await asyncio.sleep(0.3)
        if answer is not None:
            self.first.streams[-1].say(answer)
        await asyncio.sleep(wait_s)


def test_a_streaming_recogniser_in_health_is_left_alone() -> None:
    async def scene() -> Rescue:
        async with Rescue() as r:
            r.stream.push_frame(FRAME)
            await r.says(final("itself"), 10.0)
            assert r.first.streams[-1].frames == 1
        return r

    r = run(scene())
    assert r.heard == [(1.3, "itself")]
    assert r.changes == []


def test_one_that_goes_quiet_is_replaced_and_taken_back() -> None:
    async def scene() -> Rescue:
        async with Rescue() as r:
            await r.says(None, 3.7)  # Until 5.0.
            await r.says(final("late"), 3.7)  # Its words come while the other has them already; until 10.0.
            await r.says(final("itself"), 3.7)
        return r

    r = run(scene())
    assert r.heard == [(3.5, "rescued"), (6.0, "rescued"), (11.3, "itself")]
    assert r.changes == [False, True]


def test_one_whose_stream_fails_is_opened_again_and_loses_no_words() -> None:
    async def scene() -> Rescue:
        async with Rescue() as r:
            r.voice.began()
            await asyncio.sleep(1.0)
            r.first.streams[-1].failure.set_exception(APIConnectionError("lost"))
            r.voice.ended()
            await asyncio.sleep(2.0)
            assert len(r.first.streams) == 2
            await r.says(final("itself"), 1.0)
        return r

    r = run(scene())
    assert [text for _, text in r.heard] == ["rescued", "rescued"]
    assert r.changes == [False, True]


def test_a_noise_puts_no_blame_on_it() -> None:
    async def scene() -> Rescue:
        async with Rescue(transcript="") as r:
            await r.says(None, 5.0)
        return r

    r = run(scene())
    assert (r.heard, r.changes, r.errors) == ([], [], [])


def test_when_all_fail_the_session_is_told_and_the_stream_goes_on(faults: Callable[..., str]) -> None:
    async def scene() -> Rescue:
        async with Rescue(faults_file=faults(stt="refuse")) as r:
            await r.says(None, 5.0)
            faults()
            await r.says(None, 5.0)
        return r

    r = run(scene())
    assert [text for _, text in r.heard] == ["rescued"]
    assert False in r.errors


# What a tier makes of it


def tier_of(**stages: Any) -> Any:
    file = TiersFile.model_validate({"default": "a", "tiers": {"a": stages}})
    return resolve_tiers(file, {}).pick("a")


SPARE = {"plugin": "voicefleet.local.synthetic:SyntheticLLM"}


def test_without_a_fallback_nothing_stands_in_between() -> None:
    ready = tier_of(llm=SPARE)
    built = run(_built("llm", ready))
    assert type(built) is SyntheticLLM
    assert members_of(built) == ()
    options = connect_options(ready).llm_conn_options
    assert (options.max_retry, options.timeout) == (1, 5.0)


def test_with_one_there_is_an_adapter_and_no_retry() -> None:
    ready = tier_of(llm={**SPARE, "fallback": [SPARE, SPARE], "timeout_s": 1.5})
    built = run(_built("llm", ready))
    assert isinstance(built, FallbackLLM)
    assert len(members_of(built)) == 3
    assert adapter_of(built) is built
    options = connect_options(ready).llm_conn_options
    assert (options.max_retry, options.timeout) == (0, 1.5)


async def _built(stage: str, ready: Any) -> Any:
    return build_stage(stage, ready.stages[stage], ScriptedVad())  # type: ignore[arg-type]


def test_a_fallback_that_cannot_be_made_costs_no_call() -> None:
    broken = {**SPARE, "args": {"ttft_s": -1}}
    built = run(_built("llm", tier_of(llm={**SPARE, "fallback": [broken]})))
    assert type(built) is SyntheticLLM


def test_a_streaming_first_recogniser_has_its_fallback() -> None:
    stage = {
        "plugin": "support.failing_providers:StreamingSTT",
        "fallback": [{"plugin": "voicefleet.local.synthetic:SyntheticSTT"}],
    }
    built = run(_built("stt", tier_of(stt=stage)))
    assert isinstance(built, StreamingFallbackSTT)
    assert adapter_of(built) is built


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (APITimeoutError(), "timeout"),
        (TimeoutError(), "timeout"),
        (APIConnectionError(), "connection"),
        (ConnectionResetError(), "connection"),
        (ValueError(), "other"),
    ],
)
def test_kinds_of_failure(error: Exception, kind: str) -> None:
    assert failure_kind(error) == kind
