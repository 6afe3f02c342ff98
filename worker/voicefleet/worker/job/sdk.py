"""The one adapter to what livekit-agents keeps private. Pinned to 1.8.9; `tests/integration/test_worker.py` runs it,
and `test_newest_sdk.py` tries it on the newest 1.x.

The SDK tells LiveKit a worker's status every 2.5 s. Dispatches sent before the next status are answered 200 and
dropped, so a freed slot or a cordon is told at once here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import dataclasses
import functools
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import NOT_GIVEN, AgentServer, AgentSession, JobContext, JobProcess, JobRequest, llm
from livekit.agents.utils import http_context, is_given, shortuuid
from livekit.agents.utils.aio import ChanClosed
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.avatar import DataStreamAudioOutput
from livekit.agents.voice.io import AudioInput
from livekit.agents.voice.remote_session import TOPIC_SESSION_MESSAGES, RoomSessionTransport, SessionHost
from livekit.agents.voice.room_io import AudioInputOptions, RoomOptions, room_io
from livekit.agents.voice.room_io._pre_connect_audio import PreConnectAudioHandler
from livekit.agents.voice.speech_handle import SpeechHandle
from livekit.agents.voice.turn import TurnHandlingOptions
from livekit.agents.worker import ServerType
from livekit.protocol.agent_pb.agent_session import AgentSessionMessage


async def push_status(server: AgentServer) -> None:
    """Tell LiveKit this worker's load and status now; nothing happens while it is not connected."""
    with contextlib.suppress(ChanClosed):
        await server._refresh_worker_load()
        await server._update_worker_status()


def on_job_process_closed(server: AgentServer, callback: Callable[[], None]) -> None:
    """Call `callback` each time a job process has ended and no longer counts in ``server.active_jobs``.

    To be called after the server has started ("worker_started"): its process pool does not exist before.
    """
    loop = asyncio.get_running_loop()
    # The event comes just before the pool takes the process off its list.
    server._proc_pool.on("process_closed", lambda _: loop.call_soon(callback))
    server._proc_pool.on("process_job_launched", lambda _: loop.call_soon(callback))


def set_certificate_fallback() -> None:
    """What the SDK does in a worker's main process before its fork server starts; ours has started by then."""
    http_context._set_default_cert_env()


def accepted_attributes(ctx: JobContext) -> Mapping[str, str]:
    """The attributes that our worker gave this job when it accepted it; the room shows them only once connected.

    From the token and unverified: it is our own, and `ctx.token_claims()` fails where a machine's clock is wrong.
    """
    payload = ctx._info.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims.get("attributes") or {}


@dataclass(frozen=True, slots=True)
class ServerHooks:
    """What a team registered on its `AgentServer`."""

    entrypoint: Callable[[JobContext], Awaitable[None]] | None
    setup: Callable[[JobProcess], Any] | None
    on_request: Callable[[JobRequest], Awaitable[None]] | None
    on_session_end: Callable[[JobContext], Awaitable[None]] | None
    for_rooms: bool
    """It serves rooms, not publishers."""
    agent_name: str


def server_hooks(server: AgentServer) -> ServerHooks:
    """What `@server.rtc_session` and `server.setup_fnc` were given."""
    return ServerHooks(
        server._entrypoint_fnc,
        server.setup_fnc,
        server._request_fnc,
        server._session_end_fnc,
        server._server_type == ServerType.ROOM,
        server._agent_name,
    )


def keep_open_on_errors(session: AgentSession[Any]) -> None:
    """By default the fourth failure in a row hangs up on the caller. The call goes on: the apology answers meanwhile,
    and the provider may come back."""
    session._conn_options = dataclasses.replace(session._conn_options, max_unrecoverable_errors=sys.maxsize)


def replace_stages(session: AgentSession[Any], stages: Mapping[str, Any], options: SessionConnectOptions) -> None:
    """Have `session`, which has not started, use these `stages` (by name: stt, llm, tts, vad) in place of its own, each
    with its connection options."""
    for name, provider in stages.items():
        setattr(session, f"_{name}", provider)
        if name == "vad":
            session._using_default_vad = False
        else:
            wanted = {f"{name}_conn_options": getattr(options, f"{name}_conn_options")}
            session._conn_options = dataclasses.replace(session._conn_options, **wanted)
    if isinstance(model := stages.get("llm"), llm.LLM):
        # What the session's constructor does with its own.
        model.prewarm(loop=session._loop)


def stages_of(session: AgentSession[Any]) -> dict[str, Any]:
    """The session's own providers, by stage; None: it has none."""
    return {"stt": session._stt, "llm": session._llm, "tts": session._tts}


def swap_stages(session: AgentSession[Any], stages: Mapping[str, Any], options: SessionConnectOptions) -> None:
    """Have `session`, which runs, use these `stages` (by name: stt, llm, tts) from the next turn on. To be called
    between two turns: a streaming recogniser begins anew. What one agent brings itself (`Agent(llm=...)`) stays.

    Raises:
        RuntimeError: a realtime model would come or go; nothing has changed then.
    """
    agent = session.current_agent
    its_own = {name for name in stages if is_given(getattr(agent, f"_{name}"))}
    wanted = {name: provider for name, provider in stages.items() if name not in its_own}
    if any(isinstance(model, llm.RealtimeModel) for model in (stages.get("llm"), session._llm)) and "llm" in stages:
        raise RuntimeError("a realtime model has its own live session, and cannot come or go in a call")
    agent.update_options(**wanted)
    for name in wanted:
        # The public call gives the provider to this one agent; those that follow it in this call are to have it too.
        setattr(agent, f"_{name}", NOT_GIVEN)
    for name, provider in stages.items():
        setattr(session, f"_{name}", provider)
        kept = {f"{name}_conn_options": getattr(options, f"{name}_conn_options")}
        session._conn_options = dataclasses.replace(session._conn_options, **kept)


def set_turn_handling(session: AgentSession[Any], wanted: TurnHandlingOptions) -> None:
    """Have `session`, which has not started, take turns as `wanted` says; what it leaves out stays."""
    if "turn_detection" in wanted:
        session._turn_detection = session._opts.turn_handling["turn_detection"] = wanted["turn_detection"]
        session._turn_detection_explicit = True
    if "endpointing" in wanted:
        session._opts.endpointing.update(wanted["endpointing"])
        session._opts.endpointing_overrides.update(wanted["endpointing"])
    if "interruption" in wanted:
        session._opts.interruption.update(wanted["interruption"])
        session._interruption_detection = wanted["interruption"].get("mode", session._interruption_detection)
    if "preemptive_generation" in wanted:
        session._opts.preemptive_generation.update(wanted["preemptive_generation"])


def untold_publications(room: rtc.Room) -> list[rtc.LocalTrackPublication]:
    """The tracks of our own that nobody has subscribed to, as far as LiveKit told us."""
    return [p for p in room.local_participant.track_publications.values() if not p._first_subscription.done()]


def tell_subscribed(publication: rtc.LocalTrackPublication) -> None:
    """Have whoever waits for the first subscription to a track of ours go on."""
    if not publication._first_subscription.done():
        publication._first_subscription.set_result(None)


def finished_speech() -> SpeechHandle:
    """A speech that is over and said nothing."""
    speech = SpeechHandle.create()
    speech.interrupt(force=True)
    speech._mark_done()
    return speech


def room_options(given: Any, **deprecated: Any) -> RoomOptions:
    """What `AgentSession.start` makes of its three ways to give room options."""
    return RoomOptions._ensure_options(NOT_GIVEN if given is None else given, **deprecated)


_ROOM_OPTIONS = ("room_options", "room_input_options", "room_output_options")


def split_room_options(given: Mapping[str, Any]) -> tuple[RoomOptions, dict[str, Any]]:
    """The room options among the keyword arguments of `AgentSession.start`, and the other arguments."""
    rest = {name: value for name, value in given.items() if name not in _ROOM_OPTIONS}
    first, *deprecated = (given.get(name) for name in _ROOM_OPTIONS)
    named = zip(_ROOM_OPTIONS[1:], deprecated, strict=True)
    return room_options(first, **{name: value for name, value in named if value is not None}), rest


def names_participant(options: RoomOptions) -> bool:
    """Whether a team says itself whom the session hears."""
    return is_given(options.participant_identity)


def with_participant(options: RoomOptions, identity: str) -> RoomOptions:
    """`options`, with the session linked to `identity`, and to nobody else, once it is in the room."""
    options = copy.copy(options)
    options.participant_identity = identity
    return options


def with_audio_input(given: dict[str, Any], frame_ms: int, sample_rate: int) -> dict[str, Any]:
    """The keyword arguments of `AgentSession.start`, with the caller's sound in pieces of `frame_ms` at `sample_rate`;
    as they were where the team says itself how its session hears, or starts it without a room."""
    if given.get("room") is None:
        return given
    options, rest = split_room_options(given)
    if is_given(options.audio_input):
        return given
    options = copy.copy(options)
    options.audio_input = AudioInputOptions(frame_size_ms=frame_ms, sample_rate=sample_rate)
    return {**rest, "room_options": options}


def room_of(session: AgentSession[Any]) -> room_io.RoomIO | None:
    """What links `session` to a participant; None before it has started, and without a room."""
    return session._room_io


def take_shutdown(ctx: JobContext, called: Callable[[str], None]) -> Callable[[str], None]:
    """Have `ctx.shutdown(reason)` call `called`, and give what really ends the job."""
    end = ctx.shutdown

    def shutdown(reason: str = "user requested") -> None:
        called(reason)

    vars(ctx)["shutdown"] = shutdown
    return end


class _NamedTransport(RoomSessionTransport):
    """Talks to the participants that `allowed` lets in, and to no others."""

    def __init__(self, room: rtc.Room, allowed: Callable[[str], bool]) -> None:
        super().__init__(room)
        self._allowed = allowed
        self._asked: set[str] = set()

    def _on_byte_stream(self, reader: rtc.ByteStreamReader, participant_identity: str) -> None:
        if self._allowed(participant_identity):
            self._asked.add(participant_identity)
            super()._on_byte_stream(reader, participant_identity)

    async def send_message(self, msg: AgentSessionMessage) -> None:
        # Who has just joined may ask before the room shows it.
        named = sorted({who for who in self._room.remote_participants if self._allowed(who)} | self._asked)
        # Without a destination LiveKit sends to everyone. The base class knows one destination at the most.
        if not named:
            return
        async with self._send_lock:
            if self._recv_ch.closed or not self._room.isconnected():
                raise RuntimeError("room session transport is closed")
            await self._room.local_participant.send_bytes(
                msg.SerializeToString(),
                name=shortuuid("AS_"),
                topic=TOPIC_SESSION_MESSAGES,
                destination_identities=named,
            )


async def open_session_host(session: AgentSession[Any], room: rtc.Room, allowed: Callable[[str], bool]) -> None:
    """Have `session`, which started without one, host remote sessions of the participants that `allowed` lets in."""
    if session._session_host is not None:
        return
    host = SessionHost(_NamedTransport(room, allowed))
    host.register_session(session)
    # Closed with the session.
    session._session_host = host
    await host.start()


class _OwnVoice(PreConnectAudioHandler):
    """What a participant said before it was connected, taken from that participant alone."""

    async def _read_audio_task(self, reader: rtc.ByteStreamReader, participant_id: str) -> None:
        track_id = (reader.info.attributes or {}).get("trackId", "")
        owner = self._owner(track_id)
        # None: the stream came before its track, and its sender is looked at when the track has come.
        if owner is not None and owner.identity != participant_id:
            return
        await super()._read_audio_task(reader, participant_id)
        self._senders[track_id] = participant_id

    async def wait_for_data(self, track_id: str) -> list[rtc.AudioFrame]:
        owner = self._owner(track_id)
        # Its client announces such audio and may not send it: waiting would leave the agent deaf for 3 s.
        if owner is not None and not owner.permissions.can_publish_data:
            return []
        frames = await super().wait_for_data(track_id)
        sender = self._senders.pop(track_id, None)
        return frames if owner is not None and sender == owner.identity else []

    @functools.cached_property
    def _senders(self) -> dict[str, str]:
        return {}

    def _owner(self, track_id: str) -> rtc.RemoteParticipant | None:
        there = self._room.remote_participants.values()
        return next((p for p in there if track_id in p.track_publications), None)


def guard_pre_connect_audio() -> None:
    """From now on audio from before a participant's connection counts as its own voice only, and is not waited for
    where it cannot come."""
    room_io.PreConnectAudioHandler = _OwnVoice  # type: ignore[attr-defined]


def _avatar_output(session: AgentSession[Any]) -> DataStreamAudioOutput | None:
    output = session.output.audio
    while output is not None and not isinstance(output, DataStreamAudioOutput):
        output = output.next_in_chain
    return output


def avatar_of(session: AgentSession[Any]) -> str | None:
    """The identity of the participant to whom the agent's audio is sent; None: it is published by the agent itself."""
    output = _avatar_output(session)
    return None if output is None else output._destination_identity


async def avatar_ready(session: AgentSession[Any]) -> None:
    """Wait until the agent's avatar is in the room, with the track that its plugin waits for."""
    output = _avatar_output(session)
    if output is not None:
        # What its first frame waits for.
        if output._start_atask is None:
            output._start_atask = asyncio.create_task(output._start_task())
        await asyncio.shield(output._start_atask)


def provider_of(session: AgentSession[Any], stage: str) -> Any:
    """The stt, llm, tts or vad at work: the current agent's own, else the session's."""
    return getattr(session._activity or session, stage)


def on_metrics(session: AgentSession[Any], callback: Callable[[Any], None]) -> None:
    """Call `callback` with each provider's metrics as they come: the event is deprecated for per-turn figures, and
    realtime models tell theirs nowhere else."""
    super(AgentSession, session).on("metrics_collected", lambda event: callback(event.metrics))


def before_each_agent(session: AgentSession[Any], callback: Callable[[Any], None]) -> None:
    """Call `callback` with each agent before `session` starts it: the first one, those it goes on to, and tasks."""
    update = session._update_activity

    async def updated(agent: Any, *args: Any, **kwargs: Any) -> Any:
        callback(agent)
        return await update(agent, *args, **kwargs)

    vars(session)["_update_activity"] = updated


def is_realtime(session: AgentSession[Any]) -> bool:
    """Whether a speech-to-speech model answers."""
    return isinstance(provider_of(session, "llm"), llm.RealtimeModel)


def can_say(session: AgentSession[Any]) -> bool:
    """Whether `session.say` can speak a text: there is a TTS, or a realtime model that speaks given words."""
    model = provider_of(session, "llm")
    by_model = isinstance(model, llm.RealtimeModel) and model.capabilities.supports_say
    return provider_of(session, "tts") is not None or by_model or session.output.audio is None


def hears_by(session: AgentSession[Any]) -> str:
    """What shows first that the session hears its caller: voice (a voice detector's), words (the recogniser's, or a
    realtime model's own turns), or nothing at all (empty)."""
    activity = session._activity
    if activity is None:
        return ""
    if activity._rt_turn_detection_enabled and (activity.vad is None or activity.using_default_vad):
        return "words"
    if activity.vad is not None:
        return "voice"
    return "words" if activity.stt is not None else ""


def listens(session: AgentSession[Any], gate: AudioInput) -> bool:
    """Whether the session takes its caller's sound from `gate`, and follows who speaks by itself. Between two agents,
    while the second one connects to its model, it takes none."""
    source, activity = session.input.audio, session._activity
    while source is not None and source is not gate:
        source = source.source
    started = activity is not None and activity._started and not session._is_closing()
    return source is gate and session.input.audio_enabled and started and not session._user_turn_claims


def own_track(session: AgentSession[Any]) -> tuple[rtc.LocalAudioTrack, bool] | None:
    """The track that the agent's own voice is sent on, and whether sound waits there to be sent; None: it has none, its
    voice goes elsewhere, or somebody has muted it (a human who takes over)."""
    output: Any = session.output.audio
    while output is not None and output.next_in_chain is not None:
        output = output.next_in_chain
    publication: Any = getattr(output, "_publication", None)
    track = getattr(publication, "track", None)
    if not isinstance(track, rtc.LocalAudioTrack) or publication.muted:
        return None
    return track, output._audio_source.queued_duration > 0 or not output._audio_buf.empty()


def caller_track(session: AgentSession[Any]) -> rtc.RemoteAudioTrack | None:
    """The microphone of the participant that the session listens to: published, subscribed and not muted."""
    linked = session.room_io.linked_participant if session._room_io is not None else None
    for publication in linked.track_publications.values() if linked is not None else ():
        track = publication.track
        microphone = publication.source == rtc.TrackSource.SOURCE_MICROPHONE
        if microphone and not publication.muted and isinstance(track, rtc.RemoteAudioTrack):
            return track
    return None
