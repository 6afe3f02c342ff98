"""What a controller at scale sees: workers that report, jobs that renew their claims, callers who come and go, LiveKit.

``python -m bench.scale_world`` is that world, in a process of its own, so that its cost is not the controller's. It
reads a `World` as JSON on standard input, fills Redis, prints ``ready``, and runs until SIGTERM; then it prints what it
saw as one line of JSON. Claims and reports go through the real scripts; the answers of LiveKit's API are recordings of
a real server, with other names in them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import hiredis
from aiohttp import web
from google.protobuf.json_format import MessageToJson
from livekit import api
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.models import Room as RoomProto
from livekit.protocol.webhook import WebhookEvent

from voicefleet.contract import codec
from voicefleet.contract.claims import RENEW_EVERY_S, agent_identity
from voicefleet.contract.keys import Keys
from voicefleet.contract.probe import WORKER_ATTRIBUTE
from voicefleet.contract.reports import REPORT_EVERY_S, WorkerReport
from voicefleet.controller.calls.call_store import LEFT_KEPT_MS
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import Scripts, script_text
from voicefleet.runtime.redis.scripts import Callers, Report, ScriptArguments
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.server.reporter import REPORT_TTL_MS

SLOTS = 12
BEATS = 20
"""A second's renewals and reports are spread over so many batches."""
_DISPATCH_S = 0.2
"""LiveKit's own wait before it offers a call."""
_JOIN_S = 0.3
_WEBHOOK_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class World:
    """The size of the world, and where its servers are."""

    redis_host: str
    redis_port: int
    redis_password: str
    stub_port: int
    controller_url: str
    workers: dict[str, list[str]]
    """Region -> its workers."""
    calls: int
    """In each region, at any time."""
    call_s: float
    """Mean duration of a call."""
    dropped_ratio: float
    """Share of new calls that LiveKit offers to nobody: the controller has to find them."""
    room: str
    """A recorded room, base64 of the protobuf."""
    caller: str
    agent: str
    api_key: str
    api_secret: str
    agent_name: str


@dataclass(slots=True, eq=False)
class Call:
    """One call; `job` is empty until a worker has it."""

    region: str
    room: str
    sid: str
    began_s: float
    job: str = ""
    worker: str = ""
    renewal: bytes = b""
    beat: int = 0


@dataclass(slots=True)
class Place:
    """One region of the world."""

    name: str
    calls: dict[str, Call] = field(default_factory=dict)
    by_worker: dict[str, set[Call]] = field(default_factory=dict)


class _Sent(Exception):
    """Carries a command out of `ClaimStore` in place of an answer."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed


class _Packing(Scripts):
    """Turns what would be sent to Redis into bytes, so that a renewal is packed once and sent again and again."""

    def __init__(self) -> None:
        self._sha: dict[str, str] = {}

    async def run(self, keys: list[str], args: ScriptArguments) -> Any:
        raise _Sent(self.pack(keys, args))

    def pack(self, keys: list[str], args: ScriptArguments) -> bytes:
        sha = self._sha.get(args.script)
        if sha is None:
            sha = self._sha[args.script] = hashlib.sha1(script_text(args.script).encode()).hexdigest()
        return self.command("EVALSHA", sha, len(keys), *keys, args.encode())

    def command(self, *parts: str | int | float) -> bytes:
        # Its stub knows tuples of one.
        return bytes(hiredis.pack_command(tuple(map(str, parts))))  # type: ignore[arg-type]

    def packed(self, work: Coroutine[Any, Any, Any]) -> bytes:
        """The command that `work` would send first."""
        try:
            work.send(None)
        except _Sent as sent:
            return sent.packed
        finally:
            work.close()
        raise AssertionError("nothing was sent")


class Wire:
    """One connection to Redis; answers come back in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._replies = hiredis.Reader(encoding="utf-8")
        self._waiting: deque[asyncio.Future[list[Any]]] = deque()
        self._sizes: deque[int] = deque()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, world: World) -> Wire:
        reader, writer = await asyncio.open_connection(world.redis_host, world.redis_port, limit=1 << 22)
        wire = cls(reader, writer)
        if world.redis_password:
            await wire.send([_packing.command("AUTH", world.redis_password)])
        return wire

    async def send(self, commands: list[bytes]) -> list[Any]:
        """Send, and wait for all the answers. Raises the first error among them."""
        answers = await self.post(commands)
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                raise answer
        return answers

    def post(self, commands: list[bytes]) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if not commands:
            future.set_result([])
            return future
        self._waiting.append(future)
        self._sizes.append(len(commands))
        self._writer.write(b"".join(commands))
        return future

    async def _read(self) -> None:
        answers: list[Any] = []
        while data := await self._reader.read(1 << 18):
            self._replies.feed(data)
            while (answer := self._replies.gets()) is not False:
                answers.append(answer)
                if len(answers) == self._sizes[0]:
                    self._sizes.popleft()
                    asked = self._waiting.popleft()
                    if not asked.done():  # the world ends, and nobody waits any more
                        asked.set_result(answers)
                    answers = []


_packing = _Packing()


class Running:
    """The world while it runs."""

    def __init__(self, world: World, wire: Wire, listener: Wire, http: aiohttp.ClientSession) -> None:
        self.world, self.wire, self.listener, self.http = world, wire, listener, http
        self.places = {name: Place(name, {}, {w: set() for w in workers}) for name, workers in world.workers.items()}
        self.claims = {name: ClaimStore(_packing, name) for name in world.workers}
        self.keys = {name: Keys(name) for name in world.workers}
        self.ids = itertools.count()
        self.random = random.Random(1)
        self.room = RoomProto.FromString(base64.b64decode(world.room))
        self.caller = ParticipantInfo.FromString(base64.b64decode(world.caller))
        self.agent = ParticipantInfo.FromString(base64.b64decode(world.agent))
        self.beats: list[set[Call]] = [set() for _ in range(BEATS)]
        self.listings: dict[str, bytes] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.dropped: dict[str, float] = {}
        self.repaired_after_s: list[float] = []
        self.seen = {"requests": 0, "dispatches": 0, "webhooks": 0, "webhook_failures": 0, "calls": 0, "refused": 0}
        self.late_s: list[float] = []

    # The beginning

    async def load_scripts(self) -> None:
        """Redis knows what will be sent by its hash alone."""
        names = ("callers", "claim_accept", "claim_renew", "claim_release", "report")
        await self.wire.send([_packing.command("SCRIPT", "LOAD", script_text(name)) for name in names])

    async def fill(self) -> None:
        """The workers and calls that are there already."""
        for place in self.places.values():
            calls = [self.new_call(place) for _ in range(self.world.calls)]
            workers = itertools.cycle(place.by_worker)
            add = [(c.room, self.now_ms() - self.random.randrange(240_000), c.sid) for c in calls]
            k = self.keys[place.name]
            await self.wire.send([_packing.pack(_callers_keys(k), _callers(k, add))])
            await asyncio.gather(*(self.accept(call, next(workers)) for call in calls))
            await asyncio.gather(*(self.live(call) for call in calls))
            await self.wire.send([self.report(place, worker, urgent=False) for worker in place.by_worker])

    def now_ms(self) -> int:
        return round(time.time() * 1000)

    def new_call(self, place: Place) -> Call:
        number = next(self.ids)
        call = Call(place.name, f"call-{number:016x}", f"RM_{number:012x}", time.monotonic(), beat=number % BEATS)
        place.calls[call.room] = call
        self.listings.pop(place.name, None)
        return call

    # Workers and jobs

    async def accept(self, call: Call, worker: str) -> bool:
        job = f"AJ_{next(self.ids):012x}"
        packed = _packing.packed(self.claims[call.region].accept(call.room, call.sid, worker=worker, job=job))
        (answer,) = await self.wire.send([packed])
        if answer[0] != 1:
            self.seen["refused"] += 1
            return False
        call.job, call.worker = job, worker
        self.places[call.region].by_worker[worker].add(call)
        work = self.claims[call.region].renew(call.room, call.sid, worker=worker, job=job, epoch=answer[1])
        call.renewal = _packing.packed(work)
        return True

    async def live(self, call: Call) -> None:
        channel = self.keys[call.region].job_channel(call.job)
        await self.listener.send([_packing.command("SUBSCRIBE", channel)])
        await self.wire.send([call.renewal])
        self.beats[call.beat].add(call)

    def report(self, place: Place, worker: str, *, urgent: bool) -> bytes:
        calls = place.by_worker[worker]
        report = WorkerReport(
            worker,
            place.name,
            "ready",
            SLOTS,
            len(calls),
            0,
            uptime_s=round(time.monotonic(), 3),
            startup_s=3.1,
            pid=100,
            http_port=8081,
            rooms=[call.room for call in calls],
            jobs=[call.job for call in calls],
            pipeline="synthetic",
        )
        k = self.keys[place.name]
        keys = [k.workers, k.report(worker), k.order(worker)]
        text = codec.dump(report)
        args = Report(worker=worker, report=text, report_ttl_ms=REPORT_TTL_MS, channel=k.events, wake=urgent)
        return _packing.pack(keys, args)

    async def beat(self) -> None:
        """Every job renews its claim and every worker reports once a second, spread over the second."""
        workers = [(place, worker) for place in self.places.values() for worker in place.by_worker]
        began_s = time.monotonic()
        for number in itertools.count():
            due_s = began_s + number * RENEW_EVERY_S / BEATS
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            now = number % BEATS
            assert RENEW_EVERY_S == REPORT_EVERY_S
            commands = [call.renewal for call in self.beats[now]]
            commands += [self.report(place, worker, urgent=False) for place, worker in workers[now::BEATS]]
            await self.wire.send(commands)
            self.late_s.append(max(0.0, time.monotonic() - due_s))

    # Callers

    async def churn(self) -> None:
        """Calls end and others begin, so that their number stays."""
        places = list(self.places.values())
        every_s = self.world.call_s / (self.world.calls * len(places))
        began_s = time.monotonic()
        for number in itertools.count(1):
            await asyncio.sleep(max(0.0, began_s + number * every_s - time.monotonic()))
            place = places[number % len(places)]
            ended = next((c for c in place.calls.values() if c in self.beats[c.beat]), None)
            if ended is not None:
                self.start(self.end_call(place, ended))
            self.start(self.begin_call(place))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def begin_call(self, place: Place) -> None:
        call = self.new_call(place)
        self.seen["calls"] += 1
        dropped = self.random.random() < self.world.dropped_ratio
        if dropped:
            self.dropped[call.room] = time.monotonic()
        self.start(self.webhook("participant_joined", call, self.caller))
        if not dropped:
            await self.serve(place, call)

    async def serve(self, place: Place, call: Call) -> None:
        await asyncio.sleep(_DISPATCH_S)
        worker = min(place.by_worker, key=lambda w: len(place.by_worker[w]))
        if call.job or call.room not in place.calls or not await self.accept(call, worker):
            return
        await asyncio.sleep(_JOIN_S)
        await self.live(call)
        self.start(self.webhook("participant_joined", call, self.agent))

    async def end_call(self, place: Place, call: Call) -> None:
        self.beats[call.beat].discard(call)
        del place.calls[call.room]
        self.listings.pop(place.name, None)
        place.by_worker[call.worker].discard(call)
        channel = self.keys[call.region].job_channel(call.job)
        await self.wire.send([_packing.packed(self.claims[call.region].release(call.room, job=call.job))])
        self.start(self.webhook("participant_left", call, self.caller))
        await self.listener.send([_packing.command("UNSUBSCRIBE", channel)])
        await self.wire.send([self.report(place, call.worker, urgent=True)])
        self.start(self.webhook("room_finished", call, None))

    # LiveKit

    def room_of(self, call: Call) -> RoomProto:
        room = RoomProto()
        room.CopyFrom(self.room)
        room.name, room.sid = call.room, call.sid
        return room

    def participants(self, call: Call) -> list[ParticipantInfo]:
        caller = ParticipantInfo()
        caller.CopyFrom(self.caller)
        caller.identity, caller.sid = f"caller-{call.room}", f"PA_{call.sid}"
        caller.joined_at_ms = self.now_ms() - round((time.monotonic() - call.began_s) * 1000)
        there = [caller]
        if call.job:
            agent = ParticipantInfo()
            agent.CopyFrom(self.agent)
            agent.identity, agent.sid = agent_identity(call.job), f"PA_{call.job}"
            agent.attributes[WORKER_ATTRIBUTE] = call.worker
            there.append(agent)
        return there

    async def webhook(self, event: str, call: Call, about: ParticipantInfo | None) -> None:
        text = WebhookEvent(event=event, room=self.room_of(call), participant=about, id=f"EV_{next(self.ids)}")
        body = MessageToJson(text).encode()
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        token = api.AccessToken(self.world.api_key, self.world.api_secret).with_sha256(digest).to_jwt()
        self.seen["webhooks"] += 1
        limit = aiohttp.ClientTimeout(total=_WEBHOOK_LIMIT_S)
        url = f"{self.world.controller_url}/webhooks/livekit/{call.region}"
        try:
            async with self.http.post(url, data=body, headers={"Authorization": token}, timeout=limit) as answer:
                self.seen["webhook_failures"] += answer.status != 200
        except (aiohttp.ClientError, TimeoutError):
            self.seen["webhook_failures"] += 1

    async def answer(self, request: web.Request) -> web.Response:
        """LiveKit's API: what a controller asks of it in a world where nobody dies."""
        self.seen["requests"] += 1
        place = self.places[request.match_info["region"]]
        body = await request.read()
        match request.match_info["method"]:
            case "RoomService/ListRooms":
                if names := api.ListRoomsRequest.FromString(body).names:
                    there = [self.room_of(place.calls[name]) for name in names if name in place.calls]
                    return _protobuf(api.ListRoomsResponse(rooms=there).SerializeToString())
                if (listing := self.listings.get(place.name)) is None:
                    listing = api.ListRoomsResponse(rooms=map(self.room_of, place.calls.values())).SerializeToString()
                    self.listings[place.name] = listing
                return _protobuf(listing)
            case "RoomService/ListParticipants":
                call = place.calls.get(api.ListParticipantsRequest.FromString(body).room)
                if call is None:
                    return web.json_response({"code": "not_found", "msg": "no such room"}, status=404)
                return _protobuf(api.ListParticipantsResponse(participants=self.participants(call)).SerializeToString())
            case "AgentDispatchService/ListDispatch":
                dispatch = api.AgentDispatch(id="AD_1", agent_name=self.world.agent_name)
                return _protobuf(api.ListAgentDispatchResponse(agent_dispatches=[dispatch]).SerializeToString())
            case "AgentDispatchService/CreateDispatch":
                wanted = api.CreateAgentDispatchRequest.FromString(body)
                self.dispatched(place, wanted.room)
                return _protobuf(api.AgentDispatch(id="AD_2", room=wanted.room).SerializeToString())
        return web.json_response({"code": "bad_route", "msg": request.path}, status=404)

    def dispatched(self, place: Place, room: str) -> None:
        self.seen["dispatches"] += 1
        if (since_s := self.dropped.pop(room, None)) is not None:
            self.repaired_after_s.append(time.monotonic() - since_s)
        if (call := place.calls.get(room)) is not None:
            self.start(self.serve(place, call))

    def result(self) -> dict[str, Any]:
        now_s = time.monotonic()
        left = [now_s - since_s for since_s in self.dropped.values()]
        return {
            **self.seen,
            "live": sum(len(beat) for beat in self.beats),
            "repaired_after_s": self.repaired_after_s,
            "unrepaired_over_5_s": sum(age_s > 5 for age_s in left),
            "beat_late_s": self.late_s[-BEATS * 60 :],
        }

    def forget(self) -> None:
        """The measurement begins."""
        self.seen = dict.fromkeys(self.seen, 0)
        self.repaired_after_s.clear()
        self.late_s.clear()


def _callers(k: Keys, add: list[tuple[str, int, str]]) -> Callers:
    return Callers(add=add, expect=[], gone=[], began_ms=0, left_kept_ms=LEFT_KEPT_MS, aside_prefix=k.aside_prefix)


def _callers_keys(k: Keys) -> list[str]:
    return [k.callers, k.waiting, k.inflight, k.changed, k.expected, k.left]


def _protobuf(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/protobuf")


@contextlib.contextmanager
def _signals(stop: Callable[[], None], begin: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGUSR1, begin)
    yield
    loop.remove_signal_handler(signal.SIGTERM)
    loop.remove_signal_handler(signal.SIGUSR1)


async def run(world: World) -> dict[str, Any]:
    """Run until SIGTERM; SIGUSR1 begins the measurement."""
    stop = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as http:
        running = Running(world, await Wire.open(world), await Wire.open(world), http)
        with _signals(stop.set, running.forget):
            await running.load_scripts()
            # From the first call on: a claim that nobody renews is over after 10 s.
            beat = asyncio.create_task(running.beat())
            await running.fill()
            app = web.Application()
            app.router.add_post("/{region}/twirp/livekit.{method:.*}", running.answer)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", world.stub_port).start()
            print("ready", flush=True)
            churn = asyncio.create_task(running.churn())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([beat, churn, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in (beat, churn):
                if task.done():
                    task.result()
                task.cancel()
            await cancel_and_wait(running.tasks)
            await runner.cleanup()
        return running.result()


def main() -> None:
    """The command line."""
    raw = json.load(sys.stdin)
    world = World(**{f.name: raw[f.name] for f in dataclasses.fields(World)})
    print(json.dumps(asyncio.run(run(world))), flush=True)


if __name__ == "__main__":
    main()
