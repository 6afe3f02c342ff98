"""A stage of several providers: when one fails, the next one answers. Each must have its time limit already.

livekit-agents' own adapters do the switching and the probing of failed providers. What they are given, and why:

- LLM: `retry_on_chunk_sent`, so that a stream that drops midway is answered whole by the next provider; the caller
  hears the first words twice, which is better than half a sentence. Tool calls are held back to the end of the
  stream (`_ToolsLast`): a call that is made must not be made again by the next provider.
- TTS: no retries of a provider that failed (the default of 2 takes longer than asking the next).
- STT: the adapter's `stream` loses the words under way when it switches. Its `recognize` asks the next provider with
  the same audio, so that is what utterances go through; for recognisers that stream, see `streaming_fallback`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from livekit.agents import APIConnectOptions, NotGivenOr, llm, stt, tts, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from voicefleet.worker.providers.early_stt import EarlySTT
from voicefleet.worker.providers.streaming_fallback import StreamingFallbackSTT


class FallbackLLM(llm.FallbackAdapter):
    """The LLMs of a stage, in order."""

    def __init__(self, members: Sequence[llm.LLM[Any]], limit_s: float) -> None:
        self.members = tuple(members)
        for member in self.members:
            _hold_back_tools(member)
        super().__init__(list(self.members), attempt_timeout=limit_s, max_retry_per_llm=0, retry_on_chunk_sent=True)


class FallbackTTS(tts.FallbackAdapter):
    """The TTSs of a stage, in order; all of one number of channels."""

    def __init__(self, members: Sequence[tts.TTS[Any]]) -> None:
        self.members = tuple(members)
        super().__init__(list(self.members), max_retry_per_tts=0)


class FallbackSTT(EarlySTT):
    """The recognisers of a stage, in order: each utterance goes to the first that gives its words."""

    def __init__(
        self,
        members: Sequence[stt.STT[Any]],
        voice: vad.VAD,
        limit_s: float,
        *,
        after_s: float | None = None,
        tries: int = 1,
    ) -> None:
        self.adapter = _by_utterance(members, voice, limit_s)
        super().__init__(self.adapter, voice, after_s=after_s, tries=tries)
        self.members = tuple(members)

    async def aclose(self) -> None:
        await super().aclose()
        await self.adapter.aclose()


def fallback_stt(
    members: Sequence[stt.STT[Any]], voice: vad.VAD, limit_s: float, *, after_s: float | None = None, tries: int = 1
) -> FallbackSTT | StreamingFallbackSTT:
    """The STT of several, for a first one that streams as for one that does not, which is asked early (see
    `early_stt`)."""
    first, *others = members
    if not first.capabilities.streaming:
        return FallbackSTT(members, voice, limit_s, after_s=after_s, tries=tries)
    return StreamingFallbackSTT(first, others, _by_utterance(others, voice, limit_s), voice, limit_s)


def _by_utterance(members: Sequence[stt.STT[Any]], voice: vad.VAD, limit_s: float) -> stt.FallbackAdapter:
    offline = [m if m.capabilities.offline_recognize else _Offline(m) for m in members]
    return stt.FallbackAdapter(offline, vad=voice, attempt_timeout=limit_s, max_retry_per_stt=0)


class _Offline(stt.STT[Any]):
    """A recogniser that can only stream, asked for one utterance at a time."""

    def __init__(self, streaming: stt.STT[Any]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._streaming = streaming

    @property
    def model(self) -> str:
        return self._streaming.model

    @property
    def provider(self) -> str:
        return self._streaming.provider

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        words: list[stt.SpeechData] = []
        async with self._streaming.stream(language=language, conn_options=conn_options) as stream:
            for frame in buffer if isinstance(buffer, list) else [buffer]:
                stream.push_frame(frame)
            stream.end_input()
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives:
                    words.append(event.alternatives[0])
        if words:
            words[0].text = " ".join(w.text for w in words)
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=words[:1])


def _hold_back_tools(member: llm.LLM[Any]) -> None:
    chat = member.chat

    def careful(*args: Any, **kwargs: Any) -> llm.LLMStream:
        stream = chat(*args, **kwargs)
        _ToolsLast(stream)
        return stream

    member.chat = careful  # type: ignore[method-assign]


class _ToolsLast:
    """Sends a stream's tool calls once the stream has ended well."""

    def __init__(self, stream: llm.LLMStream) -> None:
        self._held: list[llm.ChatChunk] = []
        self._send = stream._event_ch.send_nowait
        self._run = stream._run
        stream._event_ch.send_nowait = self._sent  # type: ignore[method-assign]
        stream._run = self._ran  # type: ignore[method-assign]

    def _sent(self, value: llm.ChatChunk) -> None:
        if value.delta is not None and value.delta.tool_calls:
            self._held.append(value)
        else:
            self._send(value)

    async def _ran(self) -> None:
        self._held.clear()
        await self._run()
        for chunk in self._held:
            self._send(chunk)


def members_of(stage: object) -> Sequence[Any]:
    """The providers behind a stage of the session, in order; none where it has no fallback."""
    members: Sequence[Any] = getattr(stage, "members", ())
    return members


def adapter_of(stage: Any) -> Any:
    """Who tells of the members' availability: the stage itself, or the adapter inside it."""
    return stage if isinstance(stage, StreamingFallbackSTT) else getattr(stage, "adapter", stage)
