"""Providers that do as a script says, and a voice detector that hears what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, LanguageCode, llm, stt, tts, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

FRAME = rtc.AudioFrame(b"\1\0" * 1600, 16_000, 1, 1600)


def final(text: str) -> stt.SpeechEvent:
    heard = stt.SpeechData(language=LanguageCode("en"), text=text)
    return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[heard])


class ScriptedLLM(llm.LLM[Any]):
    """`script` is given a function that sends a chunk, of a word or of a tool call."""

    def __init__(self, script: Callable[[Callable[..., None]], Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self.script = script

    def chat(self, *, chat_ctx: llm.ChatContext, **options: Any) -> llm.LLMStream:
        conn_options = options.get("conn_options", DEFAULT_API_CONNECT_OPTIONS)
        return _ScriptedReply(self, chat_ctx=chat_ctx, tools=[], conn_options=conn_options)


class _ScriptedReply(llm.LLMStream):
    async def _run(self) -> None:
        def send(word: str = "", tool: str = "") -> None:
            calls = [llm.FunctionToolCall(name=tool, arguments="{}", call_id=tool)] if tool else []
            delta = llm.ChoiceDelta(role="assistant", content=word or None, tool_calls=calls)
            self._event_ch.send_nowait(llm.ChatChunk(id="r", delta=delta))

        assert isinstance(self._llm, ScriptedLLM)
        await self._llm.script(send)


class SlowStreamingTTS(tts.TTS[Any]):
    """Speaks when all its text is there; with `hangs`, never."""

    def __init__(self, *, hangs: bool) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=16_000, num_channels=1)
        self.hangs = hangs

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> Any:
        raise NotImplementedError

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        return _SlowSpeech(tts=self, conn_options=conn_options)


class _SlowSpeech(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, SlowStreamingTTS)
        output_emitter.initialize(
            request_id="r", sample_rate=16_000, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="s")
        async for data in self._input_ch:
            # A first sound with the first word, as of a short sentence.
            if isinstance(data, str) and not output_emitter.pushed_duration() and not self._tts.hangs:
                output_emitter.push(b"\1\0" * 8000)
        if self._tts.hangs:
            await asyncio.get_running_loop().create_future()
        output_emitter.push(b"\1\0" * 8000)
        output_emitter.end_segment()


class StreamingSTT(stt.STT[Any]):
    """A recogniser that streams; the test sends its events into `streams[-1]`."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.streams: list[_Streamed] = []

    async def _recognize_impl(self, buffer: utils.AudioBuffer, **_: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, **options: Any) -> stt.RecognizeStream:
        self.streams.append(_Streamed(stt=self, conn_options=options["conn_options"]))
        return self.streams[-1]


class _Streamed(stt.RecognizeStream):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.frames = 0
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def say(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)

    async def _run(self) -> None:
        async def read() -> None:
            async for data in self._input_ch:
                self.frames += isinstance(data, rtc.AudioFrame)

        reading = asyncio.create_task(read())
        await asyncio.wait([reading, self.failure], return_when=asyncio.FIRST_COMPLETED)
        if self.failure.done():
            reading.cancel()
            self.failure.result()


class ScriptedVad:
    """Hears speech begin and end when the test says so."""

    def __init__(self) -> None:
        self._events: utils.aio.Chan[vad.VADEvent] = utils.aio.Chan()

    def began(self) -> None:
        self._events.send_nowait(vad.VADEvent(vad.VADEventType.START_OF_SPEECH, 0, 0.0, 0.0, 0.0))

    def ended(self) -> None:
        self._events.send_nowait(vad.VADEvent(vad.VADEventType.END_OF_SPEECH, 0, 0.0, 1.0, 0.2, frames=[FRAME]))

    def stream(self) -> ScriptedVad:
        return self

    def push_frame(self, _: rtc.AudioFrame) -> None: ...

    def end_input(self) -> None:
        self._events.close()

    async def aclose(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[vad.VADEvent]:
        return self._events.__aiter__()
