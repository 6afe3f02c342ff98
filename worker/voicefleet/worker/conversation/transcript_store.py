"""Stores the transcript of a call in Redis, in the background: the newest state wins, and no call waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, Scripts
from voicefleet.runtime.redis.scripts import TranscriptPut
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.conversation.transcript import CallTranscript, Cipher, Loss, LostTranscriptError, decode, encode

_READ_LIMIT_S = 0.5
_AGAIN_S = 1.0

log = get_logger(__name__)


class TranscriptStore:
    """The transcript of one call, as one job sees it. Nothing here ever holds up or ends the call: what goes wrong is
    logged, without its content, and counted.

    Args:
        plaintext: see `transcript.decode`.
        lost: told each kind of loss, once a call.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        room: str,
        job: str,
        *,
        ttl_s: int,
        max_bytes: int,
        cipher: Cipher | None,
        plaintext: bool = False,
        lost: Callable[[Loss], None],
    ) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._transcript = keys.transcript(room)
        self._keys = [keys.claim(room), keys.fenced(room), self._transcript, keys.transcript_of(room)]
        self._job = job
        self._ttl_ms = ttl_s * 1000
        self._max_bytes = max_bytes
        self._cipher = cipher
        self._plaintext = plaintext
        self._lost = lost
        self._reported: set[Loss] = set()
        self._next: Callable[[], CallTranscript] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def read(self) -> CallTranscript | None:
        """The transcript, or None: there is none, or it cannot be read."""
        try:
            async with asyncio.timeout(_READ_LIMIT_S):
                text = await self._redis.get(self._transcript)
            return decode(str(text), self._cipher, plaintext=self._plaintext) if text else None
        except REDIS_FAILURES:
            self.missed(Loss.UNREACHABLE)
        except LostTranscriptError as error:
            self.missed(error.loss)
        return None

    def save(self, transcript: Callable[[], CallTranscript]) -> None:
        """Store what `transcript` gives, soon; of several the newest wins."""
        self._next = transcript
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    def keep_for(self, ttl_s: float) -> None:
        """What is saved from now on is kept so long."""
        self._ttl_ms = round(ttl_s * 1000)

    async def flush(self, limit_s: float) -> bool:
        """Wait until all is stored; False when it is not within `limit_s`."""
        if self._writing is None:
            return True
        done, _ = await asyncio.wait({self._writing}, timeout=limit_s)
        return bool(done)

    async def close(self, *, forget: bool) -> None:
        """No more writing; with `forget` the transcript is deleted: nobody needs it any more."""
        if not forget:
            await self.flush(_AGAIN_S)
        if self._writing is not None:
            await cancel_and_wait([self._writing])
        if forget:
            try:
                await self._put("")
            except UnknownStateError:
                log.warning("transcript not deleted, it will expire: Redis unreachable")

    def missed(self, loss: Loss) -> None:
        """A part is lost. Every turn may lose the same part again: it is logged and counted once a call."""
        if loss not in self._reported:
            self._reported.add(loss)
            log.warning("a part of the transcript is lost, the call goes on", reason=loss.value)
            self._lost(loss)

    async def _write(self) -> None:
        while (transcript := self._next) is not None:
            self._next = None
            try:
                text, losses = encode(transcript(), self._max_bytes, self._cipher)
                await self._put(text)
            except UnknownStateError:
                self.missed(Loss.UNREACHABLE)
                self._next = self._next or transcript
                await asyncio.sleep(_AGAIN_S)
            except LostTranscriptError as error:
                self.missed(error.loss)
            except ValueError:  # livekit's own: an item that no JSON can be made of.
                self.missed(Loss.UNREADABLE)
            else:
                for loss in losses:
                    self.missed(loss)

    async def _put(self, text: str) -> None:
        await self._scripts.run(self._keys, TranscriptPut(job=self._job, transcript=text, ttl_ms=self._ttl_ms))
