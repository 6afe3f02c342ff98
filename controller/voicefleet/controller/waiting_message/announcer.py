"""The announcer: joins rooms and speaks, in a process of its own (`python -m` this module).

Orders come in on stdin and answers go out on stdout (`protocol`); tokens never stand in an argument. It serves many
rooms at once and falls silent the moment an agent is in a room, or no caller. When stdin closes, even because the
controller was killed, it leaves every room and ends; a thread sees to that if the event loop does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from livekit import rtc

from voicefleet.contract.callers import Presence, is_caller
from voicefleet.contract.neighbours import is_neighbour
from voicefleet.contract.probe import WORKER_ATTRIBUTE
from voicefleet.controller.waiting_message.clip import Clip, read_clip
from voicefleet.controller.waiting_message.protocol import Answer, Order, Result
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import configure_logs, get_logger
from voicefleet.runtime.settings import log_personal_data

JOIN_S = 5.0
PUBLISH_S = 3.0
SUBSCRIBED_S = 2.0
"""LiveKit keeps no sound for those who subscribe late: so long the caller may take, then we speak anyway."""
TAIL_S = 0.15
"""The last sound is on its way for this long after it left our queue."""
LEAVE_S = 3.0
_FRAME_S = 0.06
_QUEUE_MS = 200
_END_S = 3.0

_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

log = get_logger(__name__)


class Message:
    """One message in one room."""

    def __init__(self, order: Order, clip: Clip) -> None:
        self._order = order
        self._clip = clip
        self._room = rtc.Room()
        self._source: rtc.AudioSource | None = None
        self._over: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def stop(self, result: Result) -> None:
        """Be silent at once, then leave."""
        if self._over.done():
            return
        self._over.set_result(result)
        if self._source is not None:
            self._source.clear_queue()

    async def run(self) -> Result:
        """Join, speak, leave."""
        for event in ("participant_connected", "participant_disconnected"):
            self._room.on(event, self._look)
        self._room.on("disconnected", self._put_out)
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=JOIN_S)
        joining = asyncio.create_task(self._room.connect(self._order.url, self._order.token, options))
        try:
            # A join is never cancelled halfway: the native side would end it and leave a ghost in the room.
            await asyncio.wait({joining}, timeout=JOIN_S)
            if not joining.done():
                raise TimeoutError(f"no answer within {JOIN_S:g} s")
            joining.result()
            self._look()
            await self._speak()
        except Exception as error:
            # The SDK raises bare exceptions; one room's trouble must not end the messages of the others.
            log.warning("waiting message failed", room=self._order.room, error=error_summary(error))
            self.stop(Result.FAILED)
        finally:
            await self._leave(joining)
        return self._over.result() if self._over.done() else Result.SPOKEN

    def _look(self, *_: object) -> None:
        there = self._room.remote_participants.values()
        if any(p.kind == _AGENT and self._serves(p.attributes) for p in there):
            self.stop(Result.AGENT_CAME)
        elif not any(is_caller(_presence(p)) for p in there):
            self.stop(Result.NO_CALLER)

    def _serves(self, attributes: dict[str, str]) -> bool:
        # A transcriber or an avatar is an agent too, and speaks to nobody.
        return WORKER_ATTRIBUTE in attributes or is_neighbour(attributes, self._order.agent_name)

    def _put_out(self, reason: object) -> None:
        """The room closed on us; after our own leaving, the result stands already."""
        duplicate = reason == rtc.DisconnectReason.DUPLICATE_IDENTITY
        closed = reason in (rtc.DisconnectReason.ROOM_DELETED, rtc.DisconnectReason.ROOM_CLOSED)
        self.stop(Result.OTHER_VOICE if duplicate else Result.NO_CALLER if closed else Result.FAILED)

    async def _speak(self) -> None:
        if self._over.done():
            return
        self._source = source = rtc.AudioSource(self._clip.sample_rate, 1, queue_size_ms=_QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track("waiting-message", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publishing = asyncio.create_task(self._room.local_participant.publish_track(track, options))
        # Not cancelled either: the SDK would still be told of the track, and stumble over it.
        await asyncio.wait({publishing}, timeout=PUBLISH_S)
        if not publishing.done():
            raise TimeoutError(f"not published within {PUBLISH_S:g} s")
        await self._unless_over(publishing.result().wait_for_subscription(), SUBSCRIBED_S)
        for frame in _frames(self._clip):
            if self._over.done():
                source.clear_queue()
                return
            # Never cancelled midway: that crashes the process.
            await source.capture_frame(frame)
        await self._unless_over(asyncio.sleep(source.queued_duration + TAIL_S), _END_S)
        if not self._over.done():
            self._over.set_result(Result.SPOKEN)

    async def _unless_over(self, waiting: Coroutine[Any, Any, None], limit_s: float) -> None:
        task = asyncio.create_task(waiting)
        either: list[asyncio.Future[Any]] = [task, self._over]
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()

    async def _leave(self, joining: asyncio.Task[None]) -> None:
        """In bounded time; a join that comes off later is still left."""

        async def leave() -> None:
            await asyncio.wait({joining})
            if joining.exception() is None:
                await self._room.disconnect()
            if self._source is not None:
                await self._source.aclose()

        leaving = asyncio.create_task(leave())
        _LEAVING.add(leaving)
        leaving.add_done_callback(_LEAVING.discard)
        await asyncio.wait({leaving}, timeout=LEAVE_S)


_LEAVING: set[asyncio.Task[None]] = set()


def _presence(p: rtc.RemoteParticipant) -> Presence:
    return Presence.of(
        p.identity,
        rtc.ParticipantKind.Name(p.kind),
        p.attributes,
        joined_ms=0,
        may_publish=p.permissions.can_publish,
        sources=(rtc.TrackSource.Name(source) for source in p.permissions.can_publish_sources),
    )


def _frames(clip: Clip) -> Iterator[rtc.AudioFrame]:
    size = int(_FRAME_S * clip.sample_rate) * 2
    for start in range(0, len(clip.pcm), size):
        part = clip.pcm[start : start + size]
        yield rtc.AudioFrame(part, clip.sample_rate, 1, len(part) // 2)


@cache
def _clip(audio: str) -> Clip:
    return read_clip(Path(audio), field="audio")


class Announcer:
    """Takes orders and answers each of them once."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._messages: dict[asyncio.Task[None], Message] = {}
        self._ended = asyncio.Event()

    def take(self, line: bytes) -> None:
        """Carry out the order in one line of stdin."""
        try:
            order = Order.decode(line)
        except (ValueError, TypeError):
            log.error("not an order")
            return
        try:
            message = Message(order, _clip(order.audio))
        except Exception as error:
            log.error("waiting message cannot be spoken", room=order.room, error=error_summary(error))
            self._answer(Answer(order.number, Result.FAILED))
            return
        task = asyncio.create_task(self._run(order, message))
        self._messages[task] = message
        task.add_done_callback(self._messages.pop)

    def end(self) -> None:
        self._ended.set()

    async def serve(self) -> None:
        """Until `end`; then every room is left, in bounded time."""
        await self._ended.wait()
        for message in self._messages.values():
            message.stop(Result.FAILED)
        if left := {*self._messages, *_LEAVING}:
            await asyncio.wait(left, timeout=_END_S)

    async def _run(self, order: Order, message: Message) -> None:
        self._answer(Answer(order.number, await message.run()))

    def _answer(self, answer: Answer) -> None:
        # Shorter than a pipe's buffer, and read all the time. Broken: the controller is gone, and stdin tells so too.
        with contextlib.suppress(OSError):
            os.write(self._answers, answer.encode())


async def _serve(answers: int) -> None:
    announcer, loop = Announcer(answers), asyncio.get_running_loop()

    def read() -> None:
        # A thread of its own: it sees the end of stdin even if the loop hangs in native code.
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(announcer.take, line)
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(announcer.end)
        threading.Event().wait(_END_S + 1.0)
        os._exit(1)

    threading.Thread(target=read, name="orders", daemon=True).start()
    await announcer.serve()
    # Here and now: the end of the loop would cancel what hangs in native code, and the native library's own end takes
    # time and may crash. Nothing is left to be done.
    os._exit(0)


def main() -> None:
    """Serve until stdin closes."""
    # Only answers may go to the pipe, whatever a library prints.
    answers = os.dup(1)
    os.dup2(2, 1)
    configure_logs("WARNING", personal_data=log_personal_data(), process="announcer")
    asyncio.run(_serve(answers))


if __name__ == "__main__":
    main()
