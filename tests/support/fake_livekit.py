"""A LiveKit server in memory, behind `LiveKitPort`: rooms, participants and dispatches, in the time of the loop.

It behaves like the real one where that has hurt: a dispatch is answered although no worker takes it, and is dropped for
good; a room's first dispatch comes with its creation; removing an agent or a room that is not there is no error.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.dials import DialOrder
from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.controller.ports import (
    DialNotSentError,
    DialRefusedError,
    Dispatch,
    Participant,
    Room,
    WebhookEvent,
    WebhookMalformedError,
    WebhookRefusedError,
)
from voicefleet.runtime.clock import Clock

EPOCH_MS = 1_000_000
"""The wall clock of LiveKit and of Redis when the loop's clock is at 0, in milliseconds."""
AFFINITY_S = 0.2
"""LiveKit takes so long before it offers a dispatch to a worker."""
PROBE_ANSWER_S = 0.05


@dataclass(frozen=True, slots=True)
class Phone:
    """How a number behaves that is dialled."""

    rings_s: float = 2.0
    refuses: int = 0
    """SIP's status code, when it stopped ringing; 0: it answers."""
    unreachable: bool = False


Offer = Callable[[str, str, str], Awaitable[None]]
"""Offers a job for (room, its sid, metadata) to a worker; LiveKit forgets it, whatever becomes of it."""


@dataclass
class FakeRoom:
    sid: str
    there: dict[str, Participant] = field(default_factory=dict)
    dispatches: list[str] = field(default_factory=list)
    """Metadata of those that name our agent, the oldest first."""
    made_ms: list[int] = field(default_factory=list)
    """When each of `dispatches` was made; those that a test wrote itself: never."""
    assigned: bool = False
    """A worker took one of them."""
    order: CallOrder | None = None
    """What its metadata order of our agent."""


@dataclass
class FakeLiveKit:
    """Change its attributes while the loops run."""

    clock: Clock
    offer: Offer | None = None
    """None: there is no worker, every dispatch is dropped."""
    latency_s: float = 0.0
    """Before each answer."""
    away: bool = False
    """No request is answered."""
    broken: set[str] = field(default_factory=set)
    """Rooms whose participants are not told."""
    refused: set[str] = field(default_factory=set)
    """Methods that are not answered."""
    mute: set[str] = field(default_factory=set)
    """Identities of agents that do not answer a probe."""
    rooms: dict[str, FakeRoom] = field(default_factory=dict)
    phones: dict[str, Phone] = field(default_factory=dict)
    """Number -> how it behaves; the others answer after 2 s."""
    requests: list[tuple[str, ...]] = field(default_factory=list)
    """Method and its arguments of every request, in order."""
    at_once: int = 0
    most_at_once: int = 0
    _sids: int = 0
    _offers: set[asyncio.Task[None]] = field(default_factory=set)

    # What the test does

    def open(self, room: str, *, dispatch: str | None = None) -> FakeRoom:
        """Create the room, if there is none of that name; `dispatch` is what its token orders, None for nothing."""
        if room not in self.rooms:
            self._sids += 1
            self.rooms[room] = FakeRoom(f"RM_{self._sids}")
            if dispatch is not None:
                self._dispatch(room, dispatch)
        return self.rooms[room]

    def join(self, room: str, identity: str = "ann", *, key: str = "", dispatch: str | None = "") -> None:
        """A caller joins, and creates the room."""
        there = self.open(room, dispatch=dispatch).there
        there[identity] = Participant(identity, caller=True, agent=False, joined_ms=self.now_ms(), key=key)

    def join_agent(self, room: str, identity: str, worker: str) -> None:
        """An agent joins; where there is no room nothing happens."""
        if room in self.rooms:
            self.rooms[room].assigned = True
            agent = Participant(identity, caller=False, agent=True, joined_ms=self.now_ms(), worker=worker)
            self.rooms[room].there[identity] = agent

    def join_neighbour(self, room: str, identity: str = "agent-X") -> None:
        """An agent of the team's own worker joins, under the fleet's agent name."""
        agent = Participant(identity, caller=False, agent=True, joined_ms=self.now_ms(), neighbour=True)
        self.rooms[room].there[identity] = agent

    def leave(self, room: str, identity: str = "ann") -> None:
        if room in self.rooms:
            self.rooms[room].there.pop(identity, None)

    def close_room(self, room: str) -> str:
        """The room is over; its sid."""
        return self.rooms.pop(room).sid

    def agents(self, room: str) -> list[str]:
        there = self.rooms[room].there.values() if room in self.rooms else ()
        return [p.identity for p in there if p.agent]

    def asked(self, method: str) -> list[list[str]]:
        """Arguments of the requests of `method`, in order."""
        return [arguments for name, *arguments in self.requests if name == method]

    def attempts(self, room: str) -> list[int]:
        """Of the controller's dispatches in `room`: the number that each has."""
        made = [DispatchMetadata.decode(text).attempt for text in self.rooms[room].dispatches]
        return [attempt for attempt in made if attempt]

    def now_ms(self) -> int:
        return EPOCH_MS + round(self.clock.monotonic() * 1000)

    # `LiveKitPort`

    async def list_rooms(self) -> tuple[Room, ...]:
        await self._request("list_rooms")
        return tuple(Room(name, room.sid, room.order) for name, room in self.rooms.items())

    async def list_participants(self, room: str) -> tuple[Participant, ...]:
        await self._request("list_participants", room)
        return tuple(self.rooms[room].there.values()) if room in self.rooms else ()

    async def has_dispatch(self, room: str) -> bool:
        return bool(await self.dispatch_metadata(room))

    async def dispatch_metadata(self, room: str) -> tuple[str, ...]:
        await self._request("dispatch_metadata", room)
        return tuple(self.rooms[room].dispatches) if room in self.rooms else ()

    async def dispatches(self, room: str) -> tuple[Dispatch, ...]:
        await self._request("dispatches", room)
        if (found := self.rooms.get(room)) is None:
            return ()
        made_ms = [*found.made_ms, *[0] * (len(found.dispatches) - len(found.made_ms))]
        return tuple(
            Dispatch(text, at_ms, found.assigned) for text, at_ms in zip(found.dispatches, made_ms, strict=True)
        )

    async def room_order(self, room: str) -> CallOrder | None:
        await self._request("room_order", room)
        return self.rooms[room].order if room in self.rooms else None

    async def send_probe(self, room: str, identity: str, nonce: str) -> None:
        await self._request("send_probe", room, identity)
        if identity not in self.mute:
            asyncio.get_running_loop().call_later(PROBE_ANSWER_S, self._answer_probe, room, identity, nonce)

    async def create_dispatch(self, room: str, metadata: str) -> str:
        await self._request("create_dispatch", room)
        self.open(room)
        self._dispatch(room, metadata)
        return f"AD_{len(self.rooms[room].dispatches)}"

    async def create_room(self, room: str, *, empty_timeout_s: int) -> None:
        await self._request("create_room", room)
        self.open(room)

    async def dial(self, room: str, identity: str, order: DialOrder, *, max_duration_s: float) -> None:
        await self._request("dial", room, identity)
        phone = self.phones.get(order.to, Phone())
        if phone.unreachable:
            raise DialNotSentError("LiveKit is not reached")
        ringing = asyncio.ensure_future(self._ring(room, identity, phone))
        self._offers.add(ringing)
        ringing.add_done_callback(self._offers.discard)
        # Who asked may be gone: LiveKit goes on.
        await asyncio.shield(ringing)

    async def _ring(self, room: str, identity: str, phone: Phone) -> None:
        for seconds, status in ((0.1, "dialing"), (0.4, "ringing"), (phone.rings_s, "active")):
            await asyncio.sleep(seconds)
            if room not in self.rooms:
                raise DialRefusedError(487, "Request Terminated", "canceled")
            if status == "active" and phone.refuses:
                self.leave(room, identity)
                raise DialRefusedError(phone.refuses, "refused", "aborted")
            there = self.rooms[room].there
            there[identity] = Participant(
                identity, caller=True, agent=False, joined_ms=self.now_ms(), sip_status=status
            )

    async def delete_room(self, room: str) -> None:
        await self._request("delete_room", room)
        self.rooms.pop(room, None)

    async def remove_participant(self, room: str, identity: str) -> None:
        await self._request("remove_participant", room, identity)
        self.leave(room, identity)

    def mint(self, room: str, identity: str, metadata: str, *, key: str, data: bool = False) -> str:
        return json.dumps({"room": room, "identity": identity, "metadata": metadata, "key": key, "data": data})

    def mint_waiting_voice(self, room: str, text: str) -> str:
        return json.dumps({"room": room, "text": text})

    async def sid_of(self, room: str) -> str:
        await self._request("sid_of", room)
        return self.rooms[room].sid if room in self.rooms else ""

    def check_webhook(self, authorization: str) -> bytes:
        """A signature is the SHA-256 of the body in hex, as `sign` makes it."""
        try:
            return bytes.fromhex(authorization)
        except ValueError as error:
            raise WebhookRefusedError("bad signature") from error

    def read_webhook(self, body: bytes, signed: bytes) -> WebhookEvent:
        if hashlib.sha256(body).digest() != signed:
            raise WebhookRefusedError("the signature is of another text")
        try:
            return WebhookEvent(**json.loads(body))
        except (ValueError, TypeError) as error:
            raise WebhookMalformedError("not an event") from error

    async def close(self) -> None:
        for offer in self._offers:
            offer.cancel()

    async def _request(self, method: str, *arguments: str) -> None:
        self.requests.append((method, *arguments))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.at_once -= 1
        if self.away or method in self.refused or (method == "list_participants" and arguments[0] in self.broken):
            raise UnknownStateError(f"LiveKit did not answer {method}", dependency=Dependency.LIVEKIT)

    def _dispatch(self, room: str, metadata: str) -> None:
        self.rooms[room].dispatches.append(metadata)
        self.rooms[room].made_ms.append(self.now_ms())
        task = asyncio.get_running_loop().create_task(self._offer(room, metadata))
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)

    async def _offer(self, room: str, metadata: str) -> None:
        await asyncio.sleep(AFFINITY_S)
        if self.offer is not None and room in self.rooms:
            await self.offer(room, self.rooms[room].sid, metadata)

    def _answer_probe(self, room: str, identity: str, nonce: str) -> None:
        there = self.rooms[room].there if room in self.rooms else {}
        if identity in there and identity not in self.mute:
            there[identity] = replace(there[identity], alive=nonce)


def sign(body: bytes) -> str:
    """The signature that `FakeLiveKit` takes."""
    return hashlib.sha256(body).hexdigest()
