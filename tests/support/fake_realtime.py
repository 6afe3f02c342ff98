"""A speech-to-speech model that behaves as the public adapters of the real ones do, without a network.

It hears by energy, on its own "server": speech started, speech stopped, a transcript of the caller's turn, a generation
with a text and an audio stream, function calls when the script asks for one. It knows what a session was told
(instructions, chat context, tools), and it fails in the shapes of public reports: an update of the chat context that
stalls and then raises, a session that expires and closes the call's session, a request for a reply that is refused.

What goes wrong is read from `faults_file` at each request, JSON such as ``{"update_chat_ctx": "stall"}``:
``update_chat_ctx``: ``stall`` (5 s, then `RealtimeError`), ``hang``, ``raise`` (no `RealtimeError`);
``generate_reply``: ``refuse`` or ``hang``; ``session``: ``expire``; ``hear``: ``deaf`` (audio is taken, nothing comes
of it).
What a session was asked is written to `notes_file`, one JSON object a line, so that a test in another process sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectionError, NotGivenOr, llm, utils
from livekit.agents.metrics import RealtimeModelMetrics
from livekit.agents.types import NOT_GIVEN

from voicefleet.local.pcm import voiced_tone

RATE = 24_000
STALL_S = 5.0
"""As long as the public adapters wait for an acknowledgement."""
_CHUNK_S = 0.1
_LOUD_RMS = 300.0
_SPEECH_S = 0.1
_SILENCE_S = 0.4
_CHARS_PER_S = 15.0

REPLIES = ("We are open from nine to five.", "You can pay by card or in cash.", "That is all I know about it.")


class FakeRealtimeModel(llm.RealtimeModel):
    """Answers each turn with the next of `replies`, `latency_s` after the end of speech.

    Args:
        transcript: what it takes the caller to say; None: it transcribes nothing, as a model without that capability.
        tool: name of a function that it calls, once, before its first answer.
        server_turns: it finds turns itself, unless the session is opened without.
        expires_s: the session is over so long after it began, as the real ones' are.
    """

    def __init__(
        self,
        *,
        replies: Sequence[str] = REPLIES,
        greeting: str = "Hello, this is the realtime agent.",
        transcript: str | None = "What are your opening hours?",
        latency_s: float = 0.2,
        tool: str = "",
        server_turns: bool = True,
        can_disable_turn_detection: bool = True,
        expires_s: float | None = None,
        faults_file: str = "",
        notes_file: str = "",
    ) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=True,
                turn_detection=server_turns,
                user_transcription=transcript is not None,
                auto_tool_reply_generation=False,
                audio_output=True,
                manual_function_calls=True,
                can_disable_turn_detection=can_disable_turn_detection,
                mutable_chat_context=True,
                mutable_instructions=True,
                mutable_tools=True,
                per_response_tool_choice=True,
            )
        )
        self.replies, self.greeting, self.transcript = tuple(replies), greeting, transcript
        self.latency_s, self.tool, self.expires_s = latency_s, tool, expires_s
        self.sessions: list[FakeRealtimeSession] = []
        self._faults, self._notes = faults_file, notes_file

    @property
    def model(self) -> str:
        return "fake-realtime"

    @property
    def provider(self) -> str:
        return "voicefleet-tests"

    def session(self, *, turn_detection_disabled: bool = False) -> FakeRealtimeSession:
        hears_turns = self.capabilities.turn_detection and not turn_detection_disabled
        self.sessions.append(FakeRealtimeSession(self, hears_turns=hears_turns))
        return self.sessions[-1]

    async def aclose(self) -> None:
        for session in self.sessions:
            await session.aclose()

    def fault(self, what: str) -> str:
        """What is wrong with `what` at this moment; empty: nothing."""
        if not self._faults:
            return ""
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(Path(self._faults).read_text()).get(what, ""))
        return ""

    def note(self, what: str, **more: Any) -> None:
        """Tell the test what was asked."""
        if self._notes:
            with Path(self._notes).open("a") as file:
                file.write(json.dumps({"what": what, **more}) + "\n")


class FakeRealtimeSession(llm.RealtimeSession[Any]):
    """One connection to the model, as an adapter has it."""

    def __init__(self, model: FakeRealtimeModel, *, hears_turns: bool) -> None:
        super().__init__(model)
        self._model = model
        self._hears_turns = hears_turns
        self._chat_ctx = llm.ChatContext.empty()
        self._tools = llm.ToolContext.empty()
        self.instructions = ""
        self.said: list[str] = []
        self._answers = 0
        self._tool_due = bool(model.tool)
        self._loud_s = self._quiet_s = 0.0
        self._speaking = False
        self._heard_s = 0.0
        self._closed = False
        self._current: _Response | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        model.note("session", server_turns=hears_turns)
        if model.expires_s is not None:
            self._start(self._expire(model.expires_s))

    # What an AgentSession asks

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._chat_ctx.copy()

    @property
    def tools(self) -> llm.ToolContext:
        return self._tools.copy()

    async def update_instructions(self, instructions: str) -> None:
        self.instructions = instructions

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        fault = self._model.fault("update_chat_ctx")
        texts = [item.text_content for item in chat_ctx.items if isinstance(item, llm.ChatMessage)]
        self._model.note("update_chat_ctx", items=len(chat_ctx.items), texts=texts, fault=fault)
        if fault == "hang":
            await asyncio.get_running_loop().create_future()
        if fault == "stall":
            await asyncio.sleep(STALL_S)
            raise llm.RealtimeError("update_chat_ctx timed out.")
        if fault == "raise":
            raise APIConnectionError("the realtime connection is closed")
        self._chat_ctx = chat_ctx.copy()

    async def update_tools(self, tools: list[llm.Tool]) -> None:
        self._tools = llm.ToolContext(tools)

    def update_options(self, *, tool_choice: NotGivenOr[llm.ToolChoice | None] = NOT_GIVEN) -> None: ...

    def push_video(self, frame: rtc.VideoFrame) -> None: ...

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        if self._model.fault("session") == "expire":
            self._fail(recoverable=False)
        if self._closed or self._model.fault("hear") == "deaf":
            return
        rms = float(np.sqrt(np.mean(np.frombuffer(frame.data, np.int16).astype(np.float64) ** 2)))
        loud = rms >= _LOUD_RMS
        self._loud_s = self._loud_s + frame.duration if loud else 0.0
        self._quiet_s = 0.0 if loud else self._quiet_s + frame.duration
        self._heard_s += frame.duration if loud else 0.0
        if not self._hears_turns:
            return
        if not self._speaking and self._loud_s >= _SPEECH_S:
            self._speaking = True
            self.interrupt()
            self.emit("input_speech_started", llm.InputSpeechStartedEvent())
        elif self._speaking and self._quiet_s >= _SILENCE_S:
            self._speaking = False
            self.emit("input_speech_stopped", llm.InputSpeechStoppedEvent(self._model.transcript is not None))
            self.commit_audio()
            self._start(self._answer())

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[llm.Tool]] = NOT_GIVEN,
    ) -> asyncio.Future[llm.GenerationCreatedEvent]:
        created: asyncio.Future[llm.GenerationCreatedEvent] = asyncio.get_running_loop().create_future()
        self._model.note("generate_reply", instructions=instructions or "")
        self._start(self._reply(created, bool(instructions)))
        return created

    def commit_audio(self) -> None:
        transcript, heard_s, self._heard_s = self._model.transcript, self._heard_s, 0.0
        if transcript is None or not heard_s:
            return
        item = utils.shortuuid("item_")
        self._chat_ctx.add_message(role="user", content=transcript, id=item)
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(item_id=item, transcript=transcript, is_final=True),
        )

    def clear_audio(self) -> None:
        self._heard_s = self._loud_s = self._quiet_s = 0.0

    def interrupt(self) -> None:
        if self._current is not None:
            self._current.stop()

    def truncate(
        self,
        *,
        message_id: str,
        modalities: list[Literal["text", "audio"]],
        audio_end_ms: int,
        audio_transcript: NotGivenOr[str] = NOT_GIVEN,
    ) -> None:
        self._model.note("truncate", audio_end_ms=audio_end_ms)

    async def aclose(self) -> None:
        self._closed = True
        self.interrupt()
        await utils.aio.cancel_and_wait(*self._tasks)

    # What the model does

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._fail(recoverable=False)

    def _fail(self, *, recoverable: bool) -> None:
        if self._closed:
            return
        self._closed = not recoverable
        error = llm.RealtimeModelError(
            timestamp=0.0,
            label=self._model.label,
            error=APIConnectionError("Your session hit the maximum duration."),
            recoverable=recoverable,
        )
        self.emit("error", error)

    async def _answer(self) -> None:
        """The server makes a response of its own after a turn."""
        await asyncio.sleep(self._model.latency_s)
        if not self._speaking and not self._closed:
            self.emit("generation_created", self._respond(user_initiated=False, greets=False))

    async def _reply(self, created: asyncio.Future[llm.GenerationCreatedEvent], instructed: bool) -> None:
        fault = self._model.fault("generate_reply")
        await asyncio.sleep(STALL_S if fault == "hang" else self._model.latency_s)
        if created.done():
            return
        if fault or self._closed:
            created.set_exception(llm.RealtimeError("generate_reply timed out waiting for generation_created event."))
            return
        event = self._respond(user_initiated=True, greets=instructed and not self._answers)
        created.set_result(event)
        self.emit("generation_created", event)

    def _respond(self, *, user_initiated: bool, greets: bool) -> llm.GenerationCreatedEvent:
        calls_tool, text = self._tool_due and not greets, self._model.greeting
        if calls_tool:
            self._tool_due = False
        elif not greets:
            text = self._model.replies[self._answers % len(self._model.replies)]
            self._answers += 1
        self.interrupt()
        self._current = _Response(self, "" if calls_tool else text, self._model.tool if calls_tool else "")
        self._start(self._current.run())
        return self._current.event(user_initiated=user_initiated)

    def spoken(self, item: str, text: str) -> None:
        """An answer is in the model's own history."""
        self.said.append(text)
        self._chat_ctx.add_message(role="assistant", content=text, id=item)

    def measured(self, response: str, ttft_s: float, duration_s: float, *, cancelled: bool) -> None:
        """The usage event at a response's end."""
        self.emit(
            "metrics_collected",
            RealtimeModelMetrics(
                label=self._model.label,
                request_id=response,
                timestamp=0.0,
                duration=duration_s,
                ttft=ttft_s,
                cancelled=cancelled,
                input_token_details=RealtimeModelMetrics.InputTokenDetails(),
                output_token_details=RealtimeModelMetrics.OutputTokenDetails(),
            ),
        )


class _Response:
    """One response: a message with text and audio that come faster than they are heard, or a function call."""

    def __init__(self, session: FakeRealtimeSession, text: str, tool: str) -> None:
        self._session, self._text, self._tool = session, text, tool
        self._id, self._item = utils.shortuuid("resp_"), utils.shortuuid("item_")
        self._messages: utils.aio.Chan[llm.MessageGeneration] = utils.aio.Chan()
        self._calls: utils.aio.Chan[llm.FunctionCall] = utils.aio.Chan()
        self._words: utils.aio.Chan[str] = utils.aio.Chan()
        self._audio: utils.aio.Chan[rtc.AudioFrame] = utils.aio.Chan()
        self._stopped = False

    def event(self, *, user_initiated: bool) -> llm.GenerationCreatedEvent:
        return llm.GenerationCreatedEvent(self._messages, self._calls, user_initiated, response_id=self._id)

    def stop(self) -> None:
        """Cancelled: what was not sent is never sent."""
        self._stopped = True
        for channel in (self._messages, self._calls, self._words, self._audio):
            if not channel.closed:
                channel.close()

    async def run(self) -> None:
        began_s = asyncio.get_running_loop().time()
        if self._tool and not self._stopped:
            self._calls.send_nowait(llm.FunctionCall(call_id=utils.shortuuid("call_"), name=self._tool, arguments="{}"))
        if self._text and not self._stopped:
            modalities: asyncio.Future[list[Literal["text", "audio"]]] = asyncio.get_running_loop().create_future()
            modalities.set_result(["audio", "text"])
            self._messages.send_nowait(
                llm.MessageGeneration(self._item, _read(self._words), _read(self._audio), modalities)
            )
            await self._speak()
        cancelled = self._stopped
        self.stop()
        self._session.measured(self._id, 0.05, asyncio.get_running_loop().time() - began_s, cancelled=cancelled)

    async def _speak(self) -> None:
        tone = voiced_tone(len(self._text) / _CHARS_PER_S, RATE).samples
        step, words = round(_CHUNK_S * RATE), iter(re.findall(r"\S+\s*", self._text))
        for start in range(0, len(tone), step):
            if self._stopped:
                return
            part = tone[start : start + step]
            self._audio.send_nowait(rtc.AudioFrame(part.tobytes(), RATE, 1, len(part)))
            if (word := next(words, "")) and not self._stopped:
                self._words.send_nowait(word)
            await asyncio.sleep(0.01)
        for word in words:
            if not self._stopped:
                self._words.send_nowait(word)
        self._session.spoken(self._item, self._text)


async def _read(channel: utils.aio.Chan[Any]) -> AsyncIterator[Any]:
    async for value in channel:
        yield value
