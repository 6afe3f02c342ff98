"""Providers with declared latencies and no models, for load tests of everything around them.

They are simulations, and say so in their names: each waits as long as its arguments say, then gives something of the
right shape. A figure measured with them is about the platform, never about speech quality.

Each takes a `faults_file`, by which it can be made to fail while calls run: see `local.faults`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from livekit.agents import APIConnectOptions, LanguageCode, NotGivenOr, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from voicefleet.contract.errors import ConfigError
from voicefleet.local.faults import Faults
from voicefleet.local.local_llm import LocalLLM
from voicefleet.local.pcm import voiced_tone

_CHUNK_S = 0.2
_PROVIDER = "voicefleet-synthetic"
_REPLIES = (
    "Thank you for your question. Here is a synthetic reply.",
    "This answer was not made by a model.",
    "I am a simulated voice, and I take a fixed time.",
)


def _at_least(stage: str, name: str, value: float, least: float, *, above: bool = False) -> float:
    if value < least or (above and value == least):
        bound = f"above {least:g}" if above else f"of {least:g} or more"
        raise ConfigError("out of range", field=f"{stage}.args.{name}", value=value, hint=f"Use a number {bound}.")
    return value


class SyntheticSTT(stt.STT[Any]):
    """Hears the same words whatever is said, `latency_s` seconds after the end of speech.

    Raises:
        ConfigError: `latency_s` is negative.
    """

    simulated: ClassVar[bool] = True
    required_models: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        latency_s: float = 0.02,
        transcript: str = "What are your opening hours?",
        faults_file: str = "",
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._latency_s = _at_least("stt", "latency_s", latency_s, 0.0)
        self._transcript = transcript
        self._faults = Faults(faults_file, "stt")

    @property
    def model(self) -> str:
        return "synthetic-stt"

    @property
    def provider(self) -> str:
        return _PROVIDER

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        dropped = await self._faults.begin()
        await asyncio.sleep(self._latency_s)
        if dropped:
            raise self._faults.drop()
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT,
            request_id=utils.shortuuid("stt_"),
            alternatives=[stt.SpeechData(language=LanguageCode("en"), text=self._transcript, confidence=1.0)],
        )


class _SyntheticReply(llm.LLMStream):
    def __init__(
        self,
        synthetic: SyntheticLLM,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(synthetic, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._synthetic = synthetic
        self._began = asyncio.get_running_loop().time()

    async def _run(self) -> None:
        dropped = await self._synthetic.faults.begin()
        reply_id = utils.shortuuid("reply_")
        call = self._call_due()
        if call is not None:
            await asyncio.sleep(self._synthetic.ttft_s)
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))
            return
        turns = sum(message.role == "user" for message in self._chat_ctx.messages())
        replies = self._synthetic.replies
        words = replies[max(0, turns - 1) % len(replies)].split()
        loop = asyncio.get_running_loop()
        for number, word in enumerate(words):
            if dropped and number >= len(words) // 2:
                raise self._synthetic.faults.drop()
            # Absolute times: the delays of a busy event loop do not add up.
            due = self._began + self._synthetic.ttft_s + number / self._synthetic.tokens_per_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            delta = llm.ChoiceDelta(role="assistant", content=word if number == 0 else f" {word}")
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))

    def _call_due(self) -> llm.FunctionToolCall | None:
        """The tool to call in place of a reply: only as an answer to the caller, never to another tool's output."""
        items = [item for item in self._chat_ctx.items if item.type in ("message", "function_call_output")]
        last = items[-1] if items else None
        if last is None or last.type != "message" or last.role != "user":
            return None
        called = {item.name for item in self._chat_ctx.items if item.type == "function_call"}
        offered = llm.ToolContext(self._tools).function_tools
        for name, arguments in self._synthetic.calls.items():
            if name in offered and name not in called:
                return llm.FunctionToolCall(
                    name=name, arguments=json.dumps(dict(arguments)), call_id=utils.shortuuid("call_")
                )
        return None


class SyntheticLLM(LocalLLM):
    """Says its replies in turn, the first word after `ttft_s` seconds, then `tokens_per_s` words a second.

    The reply depends only on how many turns the caller has had, so that a run can be repeated.

    Args:
        calls: tool -> the arguments it is called with. Each is called once in a conversation, in this order, one for
            each turn of the caller at which it is on offer.

    Raises:
        ConfigError: a number is out of range, or there are no replies.
    """

    simulated: ClassVar[bool] = True
    stream: ClassVar[type[llm.LLMStream]] = _SyntheticReply

    def __init__(
        self,
        *,
        ttft_s: float = 0.05,
        tokens_per_s: float = 100.0,
        replies: Sequence[str] = _REPLIES,
        calls: Mapping[str, Mapping[str, Any]] | None = None,
        faults_file: str = "",
    ) -> None:
        super().__init__()
        self.calls = dict(calls or {})
        self.ttft_s = _at_least("llm", "ttft_s", ttft_s, 0.0)
        self.tokens_per_s = _at_least("llm", "tokens_per_s", tokens_per_s, 0.0, above=True)
        if not replies or isinstance(replies, str) or not all(r.strip() for r in replies):
            raise ConfigError(
                "must be a list of sentences", field="llm.args.replies", value=replies, hint="Give at least one."
            )
        self.replies = tuple(replies)
        self.faults = Faults(faults_file, "llm")

    @property
    def model(self) -> str:
        return "synthetic-llm"

    @property
    def provider(self) -> str:
        return _PROVIDER


class SyntheticTTS(tts.TTS[Any]):
    """Speaks a voiced tone as long as the text would take, the first of it after `ttfb_s` seconds.

    Args:
        ttfb_s: seconds to the first audio.
        sample_rate: samples per second.
        chars_per_s: speaking rate that gives the tone's length.
        compute_ratio: seconds of waiting for each second of audio after the first; under 1 is faster than real time.

    Raises:
        ConfigError: a number is out of range.
    """

    simulated: ClassVar[bool] = True
    required_models: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        ttfb_s: float = 0.02,
        sample_rate: int = 24_000,
        chars_per_s: float = 15.0,
        compute_ratio: float = 0.05,
        faults_file: str = "",
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=int(_at_least("tts", "sample_rate", sample_rate, 8000)),
            num_channels=1,
        )
        self.ttfb_s = _at_least("tts", "ttfb_s", ttfb_s, 0.0)
        self.chars_per_s = _at_least("tts", "chars_per_s", chars_per_s, 0.0, above=True)
        self.compute_ratio = _at_least("tts", "compute_ratio", compute_ratio, 0.0)
        self.faults = Faults(faults_file, "tts")

    @property
    def model(self) -> str:
        return "synthetic-tts"

    @property
    def provider(self) -> str:
        return _PROVIDER

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _SyntheticSpeech(self, text, conn_options)


class _SyntheticSpeech(tts.ChunkedStream):
    def __init__(self, synthetic: SyntheticTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=synthetic, input_text=text, conn_options=conn_options)
        self._synthetic = synthetic

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        synthetic, loop = self._synthetic, asyncio.get_running_loop()
        dropped = await synthetic.faults.begin()
        first_due = loop.time() + synthetic.ttfb_s
        tone = voiced_tone(max(1, len(self.input_text)) / synthetic.chars_per_s, synthetic.sample_rate)
        output_emitter.initialize(
            request_id=utils.shortuuid("tone_"),
            sample_rate=synthetic.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
        )
        chunk = round(_CHUNK_S * synthetic.sample_rate)
        for start in range(0, len(tone.samples), chunk):
            due = first_due + start / synthetic.sample_rate * synthetic.compute_ratio
            await asyncio.sleep(max(0.0, due - loop.time()))
            if dropped and start >= len(tone.samples) // 2:
                raise synthetic.faults.drop()
            output_emitter.push(tone.samples[start : start + chunk].tobytes())
        output_emitter.flush()
