"""A time limit on every request to a provider, whether or not its plugin keeps one.

livekit-agents hands a time-out down in `APIConnectOptions` and leaves it to the plugin: one that only applies it to
connecting, or not at all, hangs for ever, and the fallback adapters (`attempt_timeout` included) never see it. So the
limit is put into the one method that every plugin must have, on the instance itself: a late provider then raises the
`APITimeoutError` that a good plugin would have raised, and livekit's retries, error events and fallback adapters do
the rest. Nothing is put in between, so nothing is slower and the session still sees the plugin's own class.

A limit is the longest wait for the first output and from one output to the next. A streaming recogniser has no
request to limit; see `streaming_fallback`. While a request waits for an output, `waits` says so: an apology may cut it
off before its limit, and then nobody else would tell that the provider hung.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from livekit.agents import APITimeoutError, llm, stt, tts
from livekit.agents.utils import aio

_LIMITED = "_voicefleet_limited"
_REQUESTS = "_voicefleet_requests"

T = TypeVar("T")


def waits(provider: object) -> bool:
    """Whether a request to `provider`, one that has a limit here, waits for an output now."""
    return any(limit.running for limit in getattr(provider, _REQUESTS, ()))


def limit_stt(provider: stt.STT[Any], limit_s: float) -> None:
    """Each try at an utterance must give its transcript within `limit_s` seconds."""
    recognize = provider._recognize_impl

    async def limited(*args: Any, **kwargs: Any) -> stt.SpeechEvent:
        return await _Limit(limit_s, provider).hold(recognize(*args, **kwargs), armed=True)

    provider._recognize_impl = limited  # type: ignore[method-assign]


def limit_llm(provider: llm.LLM[Any], limit_s: float) -> None:
    """Each reply must begin within `limit_s` seconds, and never stop for longer."""
    chat = provider.chat

    def limited(*args: Any, **kwargs: Any) -> llm.LLMStream:
        stream = chat(*args, **kwargs)
        limit = _Limit(limit_s, provider)
        limit.follow(stream._event_ch)
        _put_around(stream, limit, armed=lambda: True)
        return stream

    provider.chat = limited  # type: ignore[method-assign]


def limit_realtime(model: llm.RealtimeModel, limit_s: float, failed: Callable[[Exception], None]) -> None:
    """A session of `model` takes a change of its conversation within `limit_s` seconds, or the call goes on without.

    The public adapters wait 5 s for the server's answer and then raise, some with errors that livekit-agents expects
    and some with others, which end a call. Here all of it becomes the `RealtimeError` that it expects, and `failed` is
    told. A change that is late is not cut short: it was sent, and may yet arrive.
    """
    if getattr(model, _LIMITED, False):
        return
    setattr(model, _LIMITED, True)
    open_session = model.session

    def limited(*args: Any, **kwargs: Any) -> llm.RealtimeSession[Any]:
        session = open_session(*args, **kwargs)
        update = session.update_chat_ctx

        async def updated(chat_ctx: llm.ChatContext) -> None:
            updating = asyncio.ensure_future(update(chat_ctx))
            updating.add_done_callback(lambda done: done.cancelled() or done.exception())  # Seen, if nobody waits.
            try:
                done, _ = await asyncio.wait({updating}, timeout=limit_s)
                if not done:
                    raise llm.RealtimeError(f"the conversation was not taken within {limit_s:g} s")
                updating.result()
            except Exception as error:
                failed(error)
                if isinstance(error, llm.RealtimeError):
                    raise
                raise llm.RealtimeError(f"the conversation was not taken ({type(error).__name__})") from error

        session.update_chat_ctx = updated  # type: ignore[method-assign]
        return session

    model.session = limited  # type: ignore[method-assign]


def limit_tts(provider: tts.TTS[Any], limit_s: float) -> None:
    """Speech must begin within `limit_s` seconds of its text, and never stop for longer once all text is there."""
    synthesize, open_stream = provider.synthesize, provider.stream

    def limited(*args: Any, **kwargs: Any) -> tts.ChunkedStream:
        spoken = synthesize(*args, **kwargs)
        limit = _Limit(limit_s, provider)
        limit.follow(spoken._event_ch)
        _put_around(spoken, limit, armed=lambda: True)
        return spoken

    def limited_stream(*args: Any, **kwargs: Any) -> tts.SynthesizeStream:
        stream = open_stream(*args, **kwargs)
        limit = _Limit(limit_s, provider)
        push_text, end_input = stream.push_text, stream.end_input

        def pushed(token: str) -> None:
            push_text(token)
            if token.strip() and not limit.running and not limit.had_output:
                limit.start()

        def ended() -> None:
            end_input()
            # An attempt to say nothing gives nothing.
            if stream._pushed_text.strip():
                limit.start()

        stream.push_text, stream.end_input = pushed, ended  # type: ignore[method-assign]
        # Between sentences the plugin may wait for the LLM's next word: that silence is not its own.
        limit.follow(stream._event_ch, then_idle=lambda: not stream._input_ended)
        _put_around(stream, limit, armed=lambda: bool(stream._pushed_text.strip()))
        return stream

    provider.synthesize = limited  # type: ignore[method-assign]
    provider.stream = limited_stream  # type: ignore[method-assign]


class _Limit:
    """A deadline of one request to `provider`, which each output pushes on."""

    def __init__(self, limit_s: float, provider: object) -> None:
        self.limit_s = limit_s
        self.had_output = False
        self._timeout: asyncio.Timeout | None = None
        requests: set[_Limit] | None = getattr(provider, _REQUESTS, None)
        if requests is None:
            requests = set()
            setattr(provider, _REQUESTS, requests)
        self._requests = requests

    @property
    def running(self) -> bool:
        return self._timeout is not None and self._timeout.when() is not None

    def start(self) -> None:
        self._set(asyncio.get_running_loop().time() + self.limit_s)

    def stop(self) -> None:
        self._set(None)

    def _set(self, when: float | None) -> None:
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(when)

    def follow(self, outputs: aio.Chan[Any], then_idle: Callable[[], bool] = lambda: False) -> None:
        """Start anew with every output on `outputs`; or wait for `start`, where `then_idle()` says so."""
        send = outputs.send_nowait

        def sent(value: Any) -> None:
            send(value)
            self.had_output = True
            self.stop() if then_idle() else self.start()

        outputs.send_nowait = sent  # type: ignore[method-assign]

    async def hold(self, work: Awaitable[T], *, armed: bool) -> T:
        """Await `work`. Raises APITimeoutError when the deadline passes first."""
        self.had_output = False
        self._requests.add(self)
        try:
            async with asyncio.timeout(self.limit_s if armed else None) as self._timeout:
                return await work
        except TimeoutError as error:
            if self._timeout is None or not self._timeout.expired():
                raise
            raise APITimeoutError(f"nothing for {self.limit_s:g} s") from error
        finally:
            self._timeout = None
            self._requests.discard(self)


def _put_around(stream: Any, limit: _Limit, *, armed: Callable[[], bool]) -> None:
    # The stream's task has been made but has not begun: there was no await since.
    run = stream._run

    async def limited(*args: Any) -> None:
        await limit.hold(run(*args), armed=armed())

    stream._run = limited
