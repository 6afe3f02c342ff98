"""What the controller needs of the world. Adapters raise `UnknownStateError` from their client's own error."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from voicefleet.contract.call_archive import PackedCall, Place
from voicefleet.contract.call_events import CallSummary, EndReason
from voicefleet.contract.call_log import CallLog
from voicefleet.contract.calls import CallOrder, CallRecord
from voicefleet.contract.claims import Claim, Handoff
from voicefleet.contract.dials import Dial, DialOrder
from voicefleet.contract.errors import UnknownStateError, VoicefleetError
from voicefleet.controller.calls.snapshots import Snapshot


class CredentialsRefusedError(UnknownStateError):
    """LiveKit answers, and refuses our key or secret."""


class WebhookRefusedError(VoicefleetError):
    """Not signed, or not signed by the region it is for."""


class WebhookMalformedError(VoicefleetError):
    """Signed as it should be, and not an event."""


class DialRefusedError(VoicefleetError):
    """LiveKit, or who was called, refused a dial: the number is not dialled any more.

    Attributes:
        sip_status_code: SIP's own, 0 where it said nothing.
        sip_status: SIP's words for it.
        reason: LiveKit's code of the error.
    """

    def __init__(self, sip_status_code: int, sip_status: str, reason: str) -> None:
        super().__init__(f"dial refused: {sip_status_code or reason}")
        self.sip_status_code = sip_status_code
        self.sip_status = sip_status
        self.reason = reason


class DialNotSentError(UnknownStateError):
    """LiveKit was not reached: surely nothing was dialled."""


class InstanceState(enum.StrEnum):
    """What runs a worker, as its owner (this machine or Kubernetes) sees it."""

    PENDING = "pending"
    """Asked for; no machine has it yet."""
    UNSCHEDULABLE = "unschedulable"
    """No machine has room for it."""
    PULLING = "pulling"
    """Its image is on the way to the machine."""
    STARTING = "starting"
    """It is being made, or does not say that it is up."""
    RUNNING = "running"
    CRASH_LOOPING = "crash_looping"
    """It ends again and again, and is started later each time: while it waits, and until it has registered."""
    STOPPING = "stopping"

    @property
    def stuck(self) -> bool:
        """A replacement would have to wait for the same."""
        return self in (InstanceState.PENDING, InstanceState.UNSCHEDULABLE)


@dataclass(frozen=True, slots=True)
class StartupTimestamps:
    """When an instance took each step, on the controller's monotonic clock. None: not seen, or not taken yet."""

    made_s: float
    asked_s: float | None = None
    """When we asked for one more; None when somebody else did."""
    placed_s: float | None = None
    """A machine was found for it."""
    running_s: float | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One process or pod. `age_s` is since it began; `detail` says why it is not running, if that is known."""

    id: str
    state: InstanceState
    age_s: float
    detail: str = ""
    pid: int = 0
    startup: StartupTimestamps | None = None
    """None: it began before we looked."""
    counts: bool = True
    """False: it was asked for and does not run; who still needs it asks for it again (see `Fleet.scale`)."""


@dataclass(frozen=True, slots=True)
class InstanceExit:
    """The end of an instance. `asked` is False when nobody told it to end."""

    id: str
    asked: bool
    detail: str
    sure: bool = True
    """It has ended. False: its owner forgot it, and it may still run somewhere out of reach."""


class Fleet(Protocol):
    """Owns the workers of one region."""

    async def instances(self) -> tuple[Instance, ...]:
        """Every instance that has not ended."""
        ...

    async def scale(self, start: int, victims: Sequence[str]) -> None:
        """End `victims` gently, and start as many as `start` beyond those that `instances` last told of.

        It may start fewer than asked, or later (see `trouble`), and end victims later: what is still missing or still
        there is to be asked for again. Raises `UnknownStateError` when it does not know what is there.
        """
        ...

    def rolling(self) -> bool:
        """Whether somebody replaces the instances by newer ones. Until that is done there may be more than asked for,
        and others than the victims may be ended."""
        ...

    def exits(self) -> tuple[InstanceExit, ...]:
        """Instances that ended since the last question."""
        ...

    async def responds(self, worker: str, port: int) -> bool | None:
        """Whether the worker's main process answers on its HTTP port. None: nobody here can tell."""
        ...

    async def kill(self, worker: str) -> None:
        """End an instance at once, with everything it started. To be used on one that holds no call."""
        ...

    def registered(self, workers: Collection[str]) -> None:
        """These of its workers have registered with LiveKit: their start did not fail."""
        ...

    def try_again(self) -> None:
        """What failed starts may have failed of is over: they do not hold back the next one."""
        ...

    def trouble(self) -> str:
        """Why it does not start what it was asked to, in one sentence; empty when all is well."""
        ...

    def access_ends_s(self) -> float | None:
        """Seconds until our access to the instances ends, once it should have been renewed; None: it need not yet."""
        ...

    async def close(self) -> None:
        """The controller ends: stop or leave the instances, as configured."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    name: str
    sid: str
    order: CallOrder | None = field(default=None, repr=False)
    """What its metadata order of our agent (see `contract.rooms`); None: nothing."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One dispatch in a room that names our agent."""

    metadata: str = field(repr=False)
    created_ms: int
    """On LiveKit's clock."""
    assigned: bool
    """A worker took it. LiveKit shows that up to 5 s late."""


@dataclass(frozen=True, slots=True)
class Participant:
    identity: str
    caller: bool
    agent: bool
    joined_ms: int
    """When it joined, on LiveKit's clock."""
    alive: str = ""
    """Nonce of the last probe that it answered."""
    worker: str = ""
    """Whose agent it is; empty for a caller, and for an agent that is none of this fleet's."""
    key: str = ""
    """Name of the API key whose ticket it joined with; empty when that came from elsewhere."""
    neighbour: bool = False
    """It is an agent of the team's own, under the fleet's agent name (see `contract.neighbours`)."""

    dialled: str = ""
    """The number that a phone's caller dialled; empty for who is no phone. It is never logged."""
    sip_status: str = ""
    """LiveKit's status of a phone's call, such as ringing or active; empty for who is no phone."""

    @property
    def serves(self) -> bool:
        """It is an agent of this fleet."""
        return self.agent and bool(self.worker)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event from LiveKit, its signature verified."""

    event: str
    room: str
    room_sid: str
    caller: bool
    """It is about a participant of a kind that callers have; whether it is one, the room tells."""
    agent: bool
    """It is about a participant who is an agent."""
    neighbour: bool = False
    """It is about an agent of the team's own, under the fleet's agent name."""
    deleted: bool = False
    """It is about a participant who left because the room was deleted."""


class LiveKitPort(Protocol):
    """One region's LiveKit. Each method raises `UnknownStateError` when it does not answer in time."""

    async def list_rooms(self) -> tuple[Room, ...]: ...

    async def list_participants(self, room: str) -> tuple[Participant, ...]:
        """Who is in `room`; empty when there is no such room."""
        ...

    async def has_dispatch(self, room: str) -> bool:
        """Whether a dispatch in `room` names our agent; False when there is no such room."""
        ...

    async def dispatch_metadata(self, room: str) -> tuple[str, ...]:
        """Metadata of the dispatches in `room` that name our agent, the oldest first; empty when there is no room."""
        ...

    async def dispatches(self, room: str) -> tuple[Dispatch, ...]:
        """The dispatches in `room` that name our agent, the oldest first; empty when there is no room."""
        ...

    async def room_order(self, room: str) -> CallOrder | None:
        """What the metadata of `room` order of our agent; None: nothing, or there is no such room."""
        ...

    async def send_probe(self, room: str, identity: str, nonce: str) -> None:
        """Ask one agent whether it lives (see `contract.probe`). One who is not there is no error."""
        ...

    async def create_dispatch(self, room: str, metadata: str) -> str:
        """Ask for an agent in `room`. An answer does not mean that one comes. Returns the dispatch's id."""
        ...

    async def create_room(self, room: str, *, empty_timeout_s: int) -> None:
        """A room of that name is there, and stays for so long while nobody is in it."""
        ...

    async def dial(self, room: str, identity: str, order: DialOrder, *, max_duration_s: float) -> None:
        """Call a number into `room`, as the participant `identity`; returns when the callee has answered.

        Raises `DialRefusedError`, `DialNotSentError`, or `UnknownStateError`: it may go on being dialled.
        """
        ...

    async def delete_room(self, room: str) -> None:
        """End the call. A room that is not there is no error."""
        ...

    async def remove_participant(self, room: str, identity: str) -> None:
        """Take one participant out. One who is not there is no error."""
        ...

    def mint(self, room: str, identity: str, metadata: str, *, key: str, data: bool = False) -> str:
        """A caller's token for `room`, which also orders an agent for it, and says which API `key` asked for it. It may
        publish a microphone, and only with `data` send data."""
        ...

    def mint_waiting_voice(self, room: str, text: str) -> str:
        """A token, valid for a moment, for the waiting voice of `room`; `text` is what it says."""
        ...

    async def sid_of(self, room: str) -> str:
        """The id of the room that has this name now; empty when there is none."""
        ...

    def check_webhook(self, authorization: str) -> bytes:
        """Who signed, and when; the SHA-256 of the body that was signed. Raises `WebhookRefusedError`.

        A signature is good for some minutes: whoever captured one may repeat its webhook so long.
        """
        ...

    def read_webhook(self, body: bytes, signed: bytes) -> WebhookEvent:
        """The event in `body`. Raises `WebhookRefusedError` (it is not what was signed) or `WebhookMalformedError`."""
        ...

    async def close(self) -> None: ...


class ClaimPort(Protocol):
    """What the controller may do to the claims of one region. See `runtime.redis.claim_store.ClaimStore`."""

    async def begin_handoff(self, room: str, *, job: str) -> bool: ...

    async def recover(self, room: str, claim: Claim, why: str = "") -> bool: ...
    async def may_move(self, room: str, claim: Claim) -> bool: ...

    async def fence(self, room: str, jobs: Sequence[str]) -> bool: ...


class DialStorePort(Protocol):
    """The outbound calls of one region. What each method does is told at `calls.dial_store.DialStore`."""

    async def now_ms(self) -> int: ...

    async def get(self, room: str) -> Dial | None: ...

    async def get_all(self, rooms: Sequence[str]) -> dict[str, Dial]: ...

    async def count(self) -> int: ...

    async def due(self, now_ms: int) -> list[Dial]: ...

    async def create(self, dial: Dial) -> bool: ...

    async def put(self, dial: Dial) -> Dial | None: ...

    async def take_place(self, dial: Dial, concurrent: int) -> bool: ...

    async def leave_place(self, dial: Dial) -> None: ...

    async def dial_after_ms(self, dial: Dial, per_s: float) -> int: ...

    async def cancel(self, room: str) -> None: ...


class CallLogPort(Protocol):
    """The logs of the calls of one region. See `runtime.redis.call_log_store.CallLogStore`."""

    async def newest(self, room: str) -> CallLog | None: ...

    async def read(self, call: str) -> CallLog | None: ...

    async def now_ms(self) -> int: ...

    async def note_reason(self, room: str, reason: EndReason, room_sid: str = "", *, over: bool = False) -> bool: ...

    async def note(self, rooms: Sequence[str], fact: dict[str, Any], state: str) -> None: ...

    async def over(self) -> list[str]: ...


class CallArchivePort(Protocol):
    """The past calls of one region. See `calls.call_archive.CallArchive`."""

    async def close(self, log: CallLog, summary: CallSummary) -> bool: ...

    async def pack_due(self) -> None: ...

    async def find(self, name: str) -> CallLog | None: ...

    async def page(self, after: Place, until_ms: int, limit: int) -> tuple[list[PackedCall], Place | None]: ...

    async def oldest_ms(self) -> int | None: ...


class CallStorePort(Protocol):
    """The calls of one region. Each method raises `UnknownStateError` when Redis does not answer. What each does is
    told at `calls.call_store.CallStore`."""

    @property
    def claims(self) -> ClaimPort: ...

    @property
    def logs(self) -> CallLogPort: ...

    @property
    def archive(self) -> CallArchivePort: ...

    async def scan(self) -> Snapshot: ...

    async def take(self, limit: int, *, most: int = 1, for_ms: int = ...) -> list[str]: ...

    async def postpone(self, room: str, after_ms: int, now_ms: int) -> None: ...

    async def caller_joined(self, room: str, room_sid: str = "") -> None: ...

    async def caller_left(self, room: str) -> None: ...

    async def mark_removing(self, room: str, job: str) -> None: ...

    async def neighbour_here(self, room: str, room_sid: str = "") -> None: ...

    async def neighbour_gone(self, room: str) -> None: ...

    async def want_agent(self, room: str) -> bool: ...

    async def apply_listing(
        self, began_ms: int, here: Sequence[tuple[str, int, str]], gone: Iterable[str]
    ) -> list[str]: ...

    async def expect(self, rooms: Sequence[tuple[str, int]]) -> None: ...

    async def expected(self) -> frozenset[str]: ...

    async def left_ms(self, room: str) -> int: ...

    async def claim(self, room: str) -> Claim | None: ...

    async def fenced_jobs(self, room: str) -> frozenset[str]: ...

    async def handoffs(self, rooms: Sequence[str]) -> dict[str, Handoff]: ...

    async def forget_conversation(self, room: str, room_sid: str) -> None: ...

    async def shorten_conversation_ttl(self, rooms: Iterable[str]) -> None: ...

    async def room_finished(self, room: str, room_sid: str) -> bool: ...

    async def save_record(self, record: CallRecord) -> None: ...

    async def mark_ended(self, room: str) -> None: ...

    async def ended_rooms(self, rooms: Sequence[str]) -> frozenset[str]: ...

    async def records(self, rooms: Sequence[str]) -> dict[str, CallRecord]: ...
