"""A job without LiveKit and without Redis: fakes of all that a job reaches, for the worker's own code to run in."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc
from livekit.agents import Agent, AgentSession, APIStatusError, JobContext
from livekit.agents.voice.io import AudioInput
from livekit.rtc._proto.stats_pb2 import DTLS_TRANSPORT_CONNECTED, RtcStats

from support.failing_providers import ScriptedLLM
from support.loudspeaker import Loudspeaker
from support.virtual_time import LoopClock
from voicefleet.contract.call_events import CallState, CallSummary
from voicefleet.contract.claims import Handoff, HandoffState
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.probe import WORKER_ATTRIBUTE
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.local.synthetic import SyntheticTTS
from voicefleet.runtime.redis.claim_store import Renewed, Turn, Yielded
from voicefleet.worker.call import CallContext
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.job import entry
from voicefleet.worker.job.parts import Job, Ports, read_job
from voicefleet.worker.job.target import AgentFactory, Entrypoint, Form, Target
from voicefleet.worker.job.voice import Gate
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.providers.pipeline import connect_options
from voicefleet.worker.server.admission import EPOCH_ATTRIBUTE, SUCCESSOR_ATTRIBUTE
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.telemetry.call_facts import Note
from voicefleet.worker.telemetry.observations import Observation
from voicefleet.worker.tiers.load import ReadyTier, Tiers, resolve_tiers
from voicefleet.worker.tiers.schema import TiersFile

ROOM, SID, JOB, WORKER, CALLER = "room-1", "RM_1", "AJ_1", "worker-1", "ann"
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
_STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD


class FakeFacts:
    """As `CallFacts`; what the call was served with."""

    def __init__(self) -> None:
        self.described = ("", "")
        self.trace = ""
        self.notes: list[tuple[Note, float | None]] = []
        self.drawn_for: list[tuple[str, str]] = []

    def note(self, what: Note, seconds: float | None = None) -> None:
        self.notes.append((what, seconds))

    def describe(self, tier: str, language: str) -> None:
        self.described = (tier, language)

    def drawn(self, tier: str, trial: str) -> None:
        self.drawn_for.append((tier, trial))

    async def close(self) -> None:
        return


class FakeLogs:
    """The calls' logs in Redis: `on_call_end` may run for the first who asks. While `away` nobody is answered."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def first_to_end(self, _room: str, _sid: str) -> bool:
        if self.away:
            raise UnknownStateError("Redis does not answer")
        self.asked += 1
        return self.asked == 1

    async def summary(self, room: str, room_sid: str, *, over: bool) -> CallSummary:
        assert over
        return CallSummary(
            call=room_sid, room=room, region="eu", state=CallState.ENDED, started_at="2026-01-01", duration_s=9.0
        )


class FakeClaims:
    """The claim of one room: `holder` has it. While `away` nobody is answered, as when Redis is down."""

    def __init__(self, holder: str, ended: list[str]) -> None:
        self.holder = holder
        self._ended = ended
        self.epoch = 1
        self.handoff: Handoff | None = None
        self.away = False
        self.renewals: list[float] = []
        self.said_ready: list[tuple[float, bool]] = []
        """When the successor spoke, and whether it was ready."""
        self.released: tuple[str, str] | None = None
        """Why the call was released, and the sid of its room."""
        self.trouble = ""
        """As of the last renewal."""

    async def renew(
        self, _room: str, _sid: str, *, worker: str, job: str, epoch: int, attempt: int, trouble: str
    ) -> Renewed | None:
        self._answer()
        self.renewals.append(asyncio.get_running_loop().time())
        self.trouble = trouble
        if self.holder not in ("", job):
            return None
        self.holder, self.epoch = job, max(self.epoch, epoch)
        return Renewed(self.epoch, self.handoff)

    async def ready(self, _room: str, *, job: str, starting: bool = False) -> Turn:
        self._answer()
        self.said_ready.append((asyncio.get_running_loop().time(), not starting))
        if self.holder == job:
            return Turn.OURS
        if self.handoff is None or self.handoff.to_job != job:
            return Turn.OVER
        return Turn.WAIT

    async def hand_over(self, _room: str, *, job: str) -> Yielded:
        self._answer()
        if self.holder != job:
            return Yielded.LOST
        if self.handoff is None:
            return Yielded.KEPT
        self.holder, self.epoch, self.handoff = self.handoff.to_job, self.epoch + 1, None
        return Yielded.DONE

    async def release(self, _room: str, *, job: str, released: str, room_sid: str) -> bool:
        self._answer()
        self._ended.append("claim")
        ours = self.holder == job
        if ours and released:
            self.released = (released, room_sid)
        self.holder = "" if ours else self.holder
        return ours

    def ready_successor(self, job: str) -> None:
        """`job` of another worker is in the room, ready to take the call over from its holder."""
        self.handoff = Handoff(self.holder, WORKER, HandoffState.READY, job, "worker-2")

    def _answer(self) -> None:
        if self.away:
            raise UnknownStateError("Redis does not answer")


class FakeChannel:
    """The channel to the main process: keeps what was sent."""

    def __init__(self, ended: list[str]) -> None:
        self.sent: list[Observation] = []
        self.connected = False
        self.level = Level()
        self.on_level: Callable[[Level], None] = lambda _: None
        self._ended = ended

    async def connect(self, _path: str) -> None:
        self.connected = True

    async def hear_levels(self) -> Level:
        return self.level

    def send(self, observation: Observation) -> None:
        self.sent.append(observation)

    async def close(self) -> None:
        self._ended.append("channel")


class FakeLiveness:
    """The job's subscription in Redis; the test wakes the job by `woken`."""

    def __init__(self, ended: list[str]) -> None:
        self.woken: Callable[[], None] = lambda: None
        self._ended = ended

    def start(self, woken: Callable[[], None]) -> None:
        self.woken = woken

    async def end(self) -> None:
        self._ended.append("liveness")


class FakeTranscripts:
    """The stored transcript of the call. With `stuck` nothing more is stored in time."""

    def __init__(self, stored: CallTranscript | None = None) -> None:
        self.stored = stored
        self.stuck = False
        self.ttl_s: float | None = None

    async def read(self) -> CallTranscript | None:
        return self.stored

    def save(self, transcript: Callable[[], CallTranscript]) -> None:
        self.stored = transcript()

    def keep_for(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s

    async def flush(self, limit_s: float) -> bool:
        await asyncio.sleep(limit_s if self.stuck else 0.0)
        return not self.stuck

    async def close(self, *, forget: bool) -> None:
        if forget:
            self.stored = None


class FakeTrack(rtc.LocalAudioTrack):
    """The agent's track, as its caller hears it."""

    def __init__(self) -> None:
        self.mutings: list[bool] = []

    def mute(self) -> None:
        self.mutings.append(True)

    def unmute(self) -> None:
        self.mutings.append(False)


class FakeSubscription:
    """Whether somebody told that a participant subscribed to our track: nobody does, as when LiveKit's word is lost."""

    def __init__(self) -> None:
        self._told = False

    def done(self) -> bool:
        return self._told

    def set_result(self, _: None) -> None:
        self._told = True


class FakeRoom:
    """A LiveKit room in which participants come and go as the test says; media arrives while `media_flows`."""

    connection_state = rtc.ConnectionState.CONN_CONNECTED
    name = ROOM

    def __init__(self) -> None:
        self.remote_participants: dict[str, Any] = {}
        self.track = FakeTrack()
        self.subscription = FakeSubscription()
        self.local_participant = SimpleNamespace(
            identity=f"agent-{JOB}",
            track_publications={
                "TR": SimpleNamespace(sid="TR", track=self.track, _first_subscription=self.subscription)
            },
            set_attributes=self._set_attributes,
        )
        self.attributes_set: list[dict[str, str]] = []
        """What the agent said of itself, in order."""
        self.connected = False
        self.media_flows = True
        self._listeners: dict[str, list[Callable[..., Any]]] = defaultdict(list)
        self._answered = 0

    def on(self, event: str, callback: Callable[..., Any]) -> None:
        self._listeners[event].append(callback)

    def off(self, event: str, callback: Callable[..., Any]) -> None:
        self._listeners[event].remove(callback)

    def emit(self, event: str, *args: Any) -> None:
        for callback in list(self._listeners[event]):
            callback(*args)

    def isconnected(self) -> bool:
        return self.connected

    def joins(
        self,
        identity: str,
        *,
        agent: bool = False,
        outside: bool = False,
        publishes: bool = True,
        more: Mapping[str, str] = {},
    ) -> None:
        """`outside`: an agent of no worker of the fleet."""
        attributes = {WORKER_ATTRIBUTE: "worker-2"} if agent and not outside else {}
        kind = _AGENT if agent else _STANDARD
        participant = SimpleNamespace(
            identity=identity,
            kind=kind,
            attributes={**attributes, **more},
            joined_at=datetime.fromtimestamp(1_000 + len(self.remote_participants), UTC),
            permissions=SimpleNamespace(can_publish=publishes, can_publish_sources=[]),
            disconnect_reason=None,
        )
        self.remote_participants[identity] = participant
        self.emit("participant_connected", participant)

    def leaves(self, identity: str, reason: Any = rtc.DisconnectReason.CLIENT_INITIATED) -> None:
        gone = self.remote_participants.pop(identity)
        gone.disconnect_reason = reason
        self.emit("participant_disconnected", gone)

    async def disconnect(self, reason: Any = rtc.DisconnectReason.CLIENT_INITIATED) -> None:
        if self.connected:
            self.connected = False
            self.emit("disconnected", reason)

    async def _set_attributes(self, attributes: dict[str, str]) -> None:
        self.attributes_set.append(attributes)

    async def get_rtc_stats(self) -> Any:
        self._answered += self.media_flows
        transport, pair = RtcStats(), RtcStats()
        transport.transport.transport.dtls_state = cast(Any, DTLS_TRANSPORT_CONNECTED)
        pair.candidate_pair.candidate_pair.responses_received = self._answered
        return SimpleNamespace(publisher_stats=[transport, pair], subscriber_stats=[])


class FakeJobContext:
    """What livekit-agents gives a job; `connect` takes 0.2 s."""

    def __init__(self, room: FakeRoom, metadata: str, attributes: dict[str, str]) -> None:
        claims = base64.urlsafe_b64encode(json.dumps({"attributes": attributes}).encode()).decode().rstrip("=")
        self._info = SimpleNamespace(token=f"head.{claims}.signature")
        self.job = SimpleNamespace(id=JOB, metadata=metadata, room=SimpleNamespace(name=ROOM, sid=SID))
        self.room = room
        self.shutdowns: list[str] = []
        self._callbacks: list[Callable[[], Awaitable[Any]]] = []

    async def connect(self) -> None:
        await asyncio.sleep(0.2)
        self.room.connected = True

    def shutdown(self, reason: str = "") -> None:
        self.shutdowns.append(reason)

    def add_shutdown_callback(self, callback: Callable[[], Awaitable[Any]]) -> None:
        self._callbacks.append(callback)

    async def end(self) -> None:
        """As livekit-agents does when the job is over, whatever the reason."""
        await self.room.disconnect()
        for callback in self._callbacks:
            await callback()


class RoomlessSession(AgentSession[Any]):
    """A real session whose audio goes to a loudspeaker in place of the room."""

    loudspeaker: Loudspeaker

    async def start(self, agent: Agent, *, room: Any = None, **_: Any) -> Any:
        assert room is not None
        return await super().start(agent)


def one_tier(**settings: Any) -> Tiers:
    """The tiers `a` (the default) and `b`, of no providers: the session brings its own."""
    return resolve_tiers(TiersFile.model_validate({"default": "a", "tiers": {"a": settings, "b": settings}}), {})


class SilentInput(AudioInput):
    """A caller's audio that never comes."""

    def __init__(self) -> None:
        super().__init__(label="silent")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.get_running_loop().create_future()
        raise StopAsyncIteration


async def answers(send: Callable[..., None]) -> None:
    """An LLM that has one answer to everything."""
    send("Yes, certainly.")


async def hangs(_: Callable[..., None]) -> None:
    """An LLM that never answers."""
    await asyncio.get_running_loop().create_future()


async def refuses(_: Callable[..., None]) -> None:
    """An LLM over its quota."""
    raise APIStatusError("too many requests", status_code=429)


class FakeJob:
    """One job of the worker's real code. `serve` runs its entry; `end` is livekit-agents' end of the job."""

    def __init__(
        self,
        factory: AgentFactory | None = None,
        *,
        entrypoint: Entrypoint | None = None,
        holder: str = "",
        stored: CallTranscript | None = None,
        successor: bool = False,
        metadata: str = "",
        script: Callable[[Callable[..., None]], Coroutine[Any, Any, None]] = answers,
        tier: dict[str, Any] | None = None,
        choice: TierChoice | Exception | None = None,
        caller: str = CALLER,
        **settings: Any,
    ) -> None:
        self.ended: list[str] = []
        self.room, self.claims, self.transcripts = FakeRoom(), FakeClaims(holder, self.ended), FakeTranscripts(stored)
        self.channel, self.liveness = FakeChannel(self.ended), FakeLiveness(self.ended)
        self.facts, self.logs = FakeFacts(), FakeLogs()
        self.calls: list[CallContext] = []
        self.loudspeaker = Loudspeaker()
        self.session: AgentSession[Any] | None = None
        self.tier = ""
        self._script = script
        self._caller = caller
        self._choice = choice
        self._tiers = one_tier(**tier or {})
        self._entrypoint = entrypoint
        self._factory = factory or (lambda _: Agent(instructions=""))
        attributes = {EPOCH_ATTRIBUTE: "1", **({SUCCESSOR_ATTRIBUTE: "1"} if successor else {})}
        self.ctx = FakeJobContext(self.room, metadata, attributes)
        self._settings = WorkerSettings(worker_id=WORKER, **settings)

    @property
    def sent(self) -> list[Observation]:
        return self.channel.sent

    @property
    def job(self) -> Job:
        ports = Ports(
            clock=LoopClock(),
            channel=cast(Any, self.channel),
            claims=cast(Any, self.claims),
            liveness=cast(Any, self.liveness),
            transcripts=cast(Any, self.transcripts),
            facts=cast(Any, self.facts),
            logs=cast(Any, self.logs),
            close=self._close,
            tier_choice=self._tier_choice,
        )
        return read_job(cast(JobContext, self.ctx), self._settings, ports)

    async def serve(self) -> None:
        """The job's entry, with the caller in the room already, if there is one."""
        if self._caller:
            self.room.joins(self._caller)
        target = Target("test:agent", Form.FACTORY, factory=self._make_agent)
        if self._entrypoint is not None:
            target = Target("test:entrypoint", Form.ENTRYPOINT, entrypoint=self._entrypoint)
        await entry.serve(self.job, self._tiers, target, self.make_session)

    async def end(self) -> None:
        """The end of the job, however it came about."""
        await self.ctx.end()
        if self.session is not None:
            with contextlib.suppress(RuntimeError):
                await self.session.aclose()

    @property
    def deaf(self) -> bool:
        """Whether what the caller says is kept from the agent."""
        gate = self.session.input.audio if self.session is not None else None
        return isinstance(gate, Gate) and gate._closed

    def asks(self, words: str = "Well?") -> None:
        """The caller says something; the turn is taken at once."""
        assert self.session is not None
        self.session.generate_reply(user_input=words)

    def said(self) -> list[str]:
        """The conversation so far."""
        assert self.session is not None
        return [message.text_content or "" for message in self.session.history.messages()]

    async def _tier_choice(self) -> TierChoice | None:
        if isinstance(self._choice, Exception):
            raise self._choice
        return self._choice

    def _make_agent(self, call: CallContext) -> Any:
        self.calls.append(call)
        return self._factory(call)

    def make_session(self, tier: ReadyTier | None = None, **more: Any) -> AgentSession[Any]:
        """A session of scripted providers, as a team's entrypoint or our factory's makes it."""
        self.tier = tier.name if tier is not None else ""
        self.session = RoomlessSession(
            llm=ScriptedLLM(self._script),
            tts=SyntheticTTS(),
            vad=None,
            conn_options=connect_options(self._tiers.pick("")),
            user_away_timeout=None,
            **more.get("options", {}),
        )
        self.session.output.audio, self.session.input.audio = self.loudspeaker, SilentInput()
        return self.session

    async def _close(self) -> None:
        self.ended.append("redis")
