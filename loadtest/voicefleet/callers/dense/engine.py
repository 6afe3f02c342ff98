"""Runs `voicefleet-caller` and speaks with it: JSON lines over a socket that the child inherits.

The tickets go over the socket, so no token stands in a command line. When this process ends, for whatever reason, the
kernel closes its end of the socket, and the child leaves every room in order: also after kill -9.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from voicefleet.callers.dense.client import DenseClient
from voicefleet.callers.port import CallerClient, ClientSettings, EngineFacts, RoomListener, python_only
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.clock import Clock
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.opus import loop_frames, opus_frames
from voicefleet.stack.caller_program import find_caller

PLAYOUT_DELAY_S = 0.03
"""What the Python SDK's jitter buffer added to each onset where both ears heard the same calls: 18 to 44 ms."""

_STOP_LIMIT_S = 8.0
"""The child leaves its rooms in at most 5 s."""
_ANSWER_TIMEOUT_S = 5.0
_LINE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class PacingHealth:
    """How the child did.

    Attributes:
        sent: frames sent.
        late_p99_s, late_max_s: how late they left; None before the first.
        cpu_s: its processor time so far.
        memory_mb: the most memory it had; None when it cannot tell.
        late: frames by lateness, in bins of 0.1 ms: adds up over processes.
    """

    sent: int
    late_p99_s: float | None
    late_max_s: float | None
    cpu_s: float
    memory_mb: float | None
    late: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class EarCounts:
    """Packets of all calls that are over; `gap_ms` of holes inside speech, `jitter_ms` the worst call's."""

    packets: int = 0
    lost: int = 0
    late: int = 0
    gaps: int = 0
    gap_ms: float = 0.0
    broken: int = 0
    jitter_ms: float = 0.0

    def add(self, one: Mapping[str, Any]) -> None:
        """Add what one call's ear counted."""
        self.packets += one["packets"]
        self.lost += one["lost"]
        self.late += one["late"]
        self.gaps += one["gaps"]
        self.gap_ms += one["gap_ms"]
        self.broken += one["broken"]
        self.jitter_ms = max(self.jitter_ms, one["jitter_ms"])


@dataclass
class DenseEngine:
    """The Go program; use it as an async context manager, around the calls.

    Attributes:
        dtx: callers send next to nothing while they are silent, as browsers do.
        counts: what the ears of the calls that are over counted.
    """

    dtx: bool = True
    program: Path | None = None
    counts: EarCounts = field(default_factory=EarCounts)
    facts: ClassVar[EngineFacts] = EngineFacts("go", playout_delay_s=PLAYOUT_DELAY_S)

    async def __aenter__(self) -> Self:
        """Start the program.

        Raises:
            MissingPartError: it is not there, or does not run.
        """
        program = self.program or (await asyncio.to_thread(find_caller)).path
        ours, theirs = socket.socketpair()
        # A file and no pipe: what a program that crashes has to say may be long, and nobody reads it before.
        self._files = contextlib.ExitStack()
        self._complaints = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    str(program),
                    f"--fd={theirs.fileno()}",
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stderr=self._complaints,
                    # Ctrl-C is for us: we hang up, and close the socket.
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                self._files.close()
                raise MissingPartError(
                    f"cannot be run: {error.strerror}",
                    field="voicefleet-caller",
                    value=str(program),
                    hint="Run `make setup`, which builds it, or use --engine python.",
                ) from error
        self._clients: dict[str, DenseClient] = {}
        self._clips: dict[str, int] = {}
        self._backgrounds: dict[int, tuple[str, Samples]] = {}
        self._stats: asyncio.Future[PacingHealth] | None = None
        self._gone: str | None = None
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_LIMIT)
        self._reading = asyncio.create_task(self._read(reader), name="dense-engine")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone = "voicefleet-caller was stopped"
        self._writer.close()
        try:
            async with asyncio.timeout(_STOP_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._files.close()

    def client(
        self,
        call_id: str,
        ticket: CallTicket,
        listener: RoomListener,
        wishes: ClientSettings,
        clock: Clock,
    ) -> CallerClient:
        """See `port.CallerEngine`."""
        for wish, what in (
            (wishes.options, "a caller with options of the SDK's"),
            (wishes.heard, "a caller whose ear is listened to"),
        ):
            if wish is not None:
                raise python_only(what)
        background = wishes.background
        client = DenseClient(
            call_id,
            ticket,
            listener,
            clock,
            self._order,
            lambda utterance: self._clip(utterance, background),
            self._over,
            connect_timeout_s=wishes.connect_timeout_s,
            dtx=self.dtx,
            background="" if background is None else self._background(background),
        )
        self._clients[call_id] = client
        return client

    async def prepare(self, utterances: Sequence[Utterance], background: Samples | None) -> None:
        """Encode them; what ships with the package is encoded already."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            made = await asyncio.gather(
                *(loop.run_in_executor(pool, opus_frames, one, background) for one in utterances)
            )
        for one, frames in zip(utterances, made, strict=True):
            self._keep(self._name(one, background), frames)

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    async def health(self) -> PacingHealth | None:
        """How the program does so far; None when it does not say."""
        self._stats = asyncio.get_running_loop().create_future()
        try:
            self._order("stats")
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await self._stats
        except (RuntimeError, TimeoutError):
            return None

    def _order(self, do: str, **more: Any) -> None:
        if self._gone is not None:
            raise RuntimeError(self._gone)
        self._writer.write(json.dumps({"do": do, **more}).encode() + b"\n")

    def _clip(self, utterance: Utterance, background: Samples | None) -> tuple[str, int]:
        name = self._name(utterance, background)
        if name not in self._clips:
            self._keep(name, opus_frames(utterance, background))
        return name, self._clips[name]

    def _name(self, utterance: Utterance, background: Samples | None) -> str:
        return utterance.file if background is None else f"{utterance.file} over {self._background(background)}"

    def _background(self, samples: Samples) -> str:
        """The name under which the program knows a background."""
        # By identity, which stays its own as long as we hold it: all callers of a run have the same.
        name, _ = self._backgrounds.setdefault(id(samples), (f"background {len(self._backgrounds)}", samples))
        if name not in self._clips:
            self._keep(name, loop_frames(samples))
        return name

    def _keep(self, name: str, frames: Sequence[bytes]) -> None:
        self._clips[name] = len(frames)
        self._order("clip", clip=name, frames=[base64.b64encode(frame).decode() for frame in frames])

    def _over(self, call_id: str, counted: Mapping[str, Any]) -> None:
        self._clients.pop(call_id, None)
        self.counts.add(counted)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            event = json.loads(line)
            if event["event"] == "stats":
                if self._stats is not None and not self._stats.done():
                    self._stats.set_result(_health(event["health"]))
            elif (client := self._clients.get(event.get("call", ""))) is not None:
                client.told(event)
        if self._gone is None:
            code = await self._process.wait()
            self._complaints.seek(0)
            said = self._complaints.read().decode(errors="replace").strip().splitlines()
            self._gone = f"voicefleet-caller ended with {code}" + (f": {said[0]}" if said else "")
            for client in list(self._clients.values()):
                client.broke(self._gone)


def _health(told: Mapping[str, Any]) -> PacingHealth:
    sent = told["sent"]
    return PacingHealth(
        sent=sent,
        late_p99_s=told["late_p99_ms"] / 1000 if sent else None,
        late_max_s=told["late_max_ms"] / 1000 if sent else None,
        cpu_s=told["cpu_s"],
        memory_mb=told["max_rss_kb"] / 1024 or None,
        late=tuple((bin_, count) for bin_, count in told["late"] or ()),
    )
