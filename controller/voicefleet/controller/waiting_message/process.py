"""Runs the announcer as one child process, and starts it again when it dies.

It needs no secret: each order carries a token for one room. It ends when its stdin does, so it is not left behind by
a controller that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path

from voicefleet.controller.waiting_message.protocol import Answer, Order, Result
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.supervisor.exits import describe_code
from voicefleet.runtime.supervisor.keep_running import keep_running
from voicefleet.runtime.supervisor.restarts import Ended, RestartPolicy
from voicefleet.runtime.tasks import cancel_and_wait

MOST_AT_ONCE = 50
"""Rooms spoken to at once; more wait their turn with the caller of `free`."""
_ARGV = (sys.executable, "-m", "voicefleet.controller.waiting_message.announcer")
_START_S = 5.0
_ANSWER_S = 50.0
"""Longest clip, join and leave: an announcer that has not answered by then hangs."""
_RESTARTS = RestartPolicy(first_wait_s=0.4, longest_wait_s=10.0, proven_after_s=10.0)
_CLOSE_S = 5.0

log = get_logger(__name__)


class AnnouncerProcess:
    """One announcer for all regions. `start` it, `close` it.

    Args:
        environment: all that the child gets.
    """

    def __init__(self, clock: Clock, environment: Mapping[str, str]) -> None:
        self._clock = clock
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._up = asyncio.Event()
        self._pending: dict[int, asyncio.Future[Result]] = {}
        self._numbers = itertools.count(1)
        self._task: asyncio.Task[None] | None = None

    @property
    def free(self) -> int:
        """How many more rooms can be spoken to now."""
        return MOST_AT_ONCE - len(self._pending)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, and keep it up."""
        self._task = asyncio.create_task(self._keep_up(), name="announcer")

    async def close(self) -> None:
        """End it: it leaves its rooms, or is killed."""
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _CLOSE_S)
        if self._task is not None:
            await cancel_and_wait([self._task])
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def say(self, *, url: str, token: str, room: str, audio: Path, agent_name: str) -> Result:
        """Have the recording `audio` played to `room` once; returns when that is over, in bounded time."""
        order = Order(next(self._numbers), url, token, room, str(audio), agent_name)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending[order.number] = answer
        try:
            async with asyncio.timeout(_START_S):
                await self._up.wait()
            process = self._process
            assert process is not None
            assert process.stdin is not None
            if answer.done():
                return answer.result()
            process.stdin.write(order.encode())
            async with asyncio.timeout(_ANSWER_S):
                return await answer
        except TimeoutError:
            if self._up.is_set():
                log.error("announcer hangs, killed", room=room, pid=self.pid)
                self._kill()
            return Result.FAILED
        finally:
            del self._pending[order.number]

    async def _keep_up(self) -> None:
        await keep_running(self._run_once, _RESTARTS, self._clock, _log_end)

    async def _run_once(self) -> Ended:
        """Run one process to its end."""
        began_s = self._clock.monotonic()
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *_ARGV, stdin=pipe, stdout=pipe, env=self._environment, start_new_session=True
            )
        except OSError as error:
            return Ended(0.0, detail=error_summary(error))
        self._process = process
        self._up.set()
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                self._take(line)
            code = await process.wait()
        finally:
            self._up.clear()
            self._process = None
            self._kill_one(process)
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_result(Result.LOST)
        return Ended(self._clock.monotonic() - began_s, code, describe_code(code))

    def _take(self, line: bytes) -> None:
        try:
            answer = Answer.decode(line)
        except (ValueError, TypeError, KeyError):
            log.error("the announcer's answer cannot be read")
            return
        waiting = self._pending.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.result)

    def _kill(self) -> None:
        if self._process is not None:
            self._kill_one(self._process)

    @staticmethod
    def _kill_one(process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _log_end(ended: Ended, wait_s: float) -> None:
    log.warning("announcer ended, starting another", detail=ended.detail, in_s=round(wait_s, 1))
