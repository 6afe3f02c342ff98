"""Client of the controller's HTTP API."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import BaseModel, ValidationError

from voicefleet.contract.answers import MOST_CALLS_A_PAGE, MOST_PAST_CALLS_A_PAGE, CallPage, PastCallPage
from voicefleet.contract.api import (
    CallRequest,
    CallTicket,
    CallView,
    CanaryView,
    DecisionView,
    DrainView,
    HistoryPoint,
    IncidentView,
    PastCallView,
    RegionView,
    WorkerStatus,
)
from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.contract.health import HealthState
from voicefleet.runtime.clock import Clock, SystemClock

REQUEST_TIMEOUT_S = 5.0
_CALLS = f"/v1/calls?limit={MOST_CALLS_A_PAGE}"

M = TypeVar("M", bound=BaseModel)


class PastCalls(NamedTuple):
    """Calls that have ended. `oldest`: when the first one that is still kept started, ISO 8601; None: none is."""

    calls: list[PastCallView]
    oldest: str | None


class ControllerClient:
    """Talks to one controller. Use as an async context manager.

    Args:
        url: the controller's address, ``http://HOST:PORT``.
        key: bearer token; empty when the controller asks for none.
    """

    def __init__(self, url: str, *, key: str = "", clock: Clock | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._clock = clock or SystemClock()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def create_call(self, request: CallRequest, *, patience_s: float = 0.0) -> CallTicket:
        """Ask for a call. While the fleet is full (503) or asks to slow down (429), try again as told, up to
        `patience_s` seconds.

        Raises:
            UnreachableError: refused for good, or still full after `patience_s`.
            UnknownStateError: no answer.
        """
        deadline = self._clock.monotonic() + patience_s
        body = request.model_dump(mode="json", exclude_none=True)
        while True:
            status, answer, retry_after_s = await self._ask("POST", "/v1/calls", json=body)
            if status == 201 or status == 200:
                return self._read(CallTicket, answer)
            if status not in (429, 503) or self._clock.monotonic() + retry_after_s > deadline:
                raise _refused("POST /v1/calls", status, answer, "See the controller's log.")
            await asyncio.sleep(retry_after_s)

    async def regions(self) -> list[RegionView]:
        """Every region's state. As all reads of lists it raises UnknownStateError when the controller does not say, and
        UnreachableError when it refuses our key."""
        return [self._read(RegionView, r) for r in await self._get_list("/v1/regions", "regions")]

    async def health(self) -> HealthState:
        """The state of the worst region, which anybody may know. Raises UnknownStateError when it does not say."""
        status, answer, _ = await self._ask("GET", "/healthz")
        word = answer.get("status") if status == 200 and isinstance(answer, dict) else None
        if word not in list(HealthState):
            raise UnknownStateError(f"GET {self._url}/healthz was answered with {status}")
        return HealthState(word)

    async def incidents(self, limit: int = 50) -> list[IncidentView]:
        """What happened lately, the newest first; nothing from a controller of an older release, which keeps no log.
        Raises UnknownStateError when the controller does not say."""
        status, answer, _ = await self._ask("GET", f"/v1/incidents?limit={limit}")
        if status == 404:
            return []
        found = answer.get("incidents") if status == 200 and isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise self._refusal("/v1/incidents", status, answer)
        return [self._read(IncidentView, i) for i in found]

    async def canaries(self) -> list[CanaryView]:
        """The versions that are tried out; none of a controller that knows of no canaries. Raises as `regions`."""
        found = await self._get_list("/v1/canaries", "canaries", absent_is_empty=True)
        return [self._read(CanaryView, c) for c in found]

    async def calls(self) -> list[CallView]:
        """Every call there is, page by page. As all reads of lists it raises UnknownStateError when the controller does
        not say, and UnreachableError when it refuses our key."""
        found: list[CallView] = []
        path: str | None = _CALLS
        while path is not None:
            status, answer, _ = await self._ask("GET", path)
            if status != 200:
                raise self._refusal("/v1/calls", status, answer)
            page = self._read(CallPage, answer)
            found += page.calls
            path = f"{_CALLS}&cursor={quote(page.next, safe='')}" if page.next else None
        return found

    async def call(self, room: str, region: str | None = None) -> CallSummary | None:
        """One call, whole; None: our key has no such call.

        Raises:
            UnreachableError: refused.
            UnknownStateError: the controller does not answer, or does not know now.
        """
        path = f"/v1/calls/{quote(room, safe='')}" + (f"?region={quote(region, safe='')}" if region else "")
        status, answer, _ = await self._ask("GET", path)
        if status == 404:
            return None
        if status == 503:
            raise UnknownStateError(f"GET {self._url}{path} was answered with {status}")
        if status != 200:
            raise _refused("GET /v1/calls/ROOM", status, answer, "Give a key that may read.")
        return self._read(CallSummary, answer)

    async def past_calls(self, **options: str) -> PastCalls:
        """The calls that have ended, in the order in which they started, page by page; see `GET /v1/past-calls` for the
        options.

        Raises:
            UnreachableError: refused.
            UnknownStateError: the controller does not answer, or does not know now.
        """
        found: list[PastCallView] = []
        query = {**options, "limit": str(MOST_PAST_CALLS_A_PAGE)}
        while True:
            path = f"/v1/past-calls?{urlencode(query)}"
            status, answer, _ = await self._ask("GET", path)
            if status in (400, 401, 403):
                raise _refused("GET /v1/past-calls", status, answer, "Give a key that may read.")
            if status != 200:
                raise UnknownStateError(f"GET {self._url}/v1/past-calls was answered with {status}")
            page = self._read(PastCallPage, answer)
            found += page.calls
            if page.next is None:
                return PastCalls(found, page.oldest)
            query["cursor"] = page.next

    async def decisions(self, limit: int = 100) -> list[DecisionView]:
        """The last decisions, newest first. Raises UnknownStateError when the controller does not say."""
        found = await self._get_list(f"/v1/decisions?limit={limit}", "decisions")
        return [self._read(DecisionView, d) for d in found]

    async def history(self) -> dict[str, list[HistoryPoint]]:
        """The last half hour of each region, the oldest first. Raises UnknownStateError when it does not say."""
        status, answer, _ = await self._ask("GET", "/v1/history")
        regions = answer.get("regions") if status == 200 and isinstance(answer, dict) else None
        if not isinstance(regions, dict):
            raise self._refusal("/v1/history", status, answer)
        return {name: [self._read(HistoryPoint, point) for point in points] for name, points in regions.items()}

    async def drain_worker(self, worker: str) -> DrainView:
        """Tell a worker to hand its calls over and leave. Saying it again changes nothing.

        Raises:
            UnreachableError: refused; there is no such worker, or it cannot be drained.
            UnknownStateError: no answer.
        """
        path = f"/v1/workers/{quote(worker, safe='')}/drain"
        status, answer, _ = await self._ask("POST", path)
        if status != 202:
            raise _refused(f"POST {path}", status, answer, "See GET /v1/regions for the workers there are.")
        return self._read(DrainView, answer)

    async def worker(self, worker: str) -> WorkerStatus | None:
        """A worker's state and calls; None when there is no such worker, or it has ended.

        Raises:
            UnreachableError: refused.
            UnknownStateError: the controller does not answer, or does not know now.
        """
        path = f"/v1/workers/{quote(worker, safe='')}"
        status, answer, _ = await self._ask("GET", path)
        if status == 404:
            return None
        if status == 503:
            raise UnknownStateError(f"GET {self._url}{path} was answered with {status}")
        if status != 200:
            raise _refused(f"GET {path}", status, answer, "See the controller's log.")
        return self._read(WorkerStatus, answer)

    def _read(self, kind: type[M], answer: Any) -> M:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            raise UnknownStateError(f"{self._url} does not answer as a controller does") from error

    async def _get_list(self, path: str, name: str, *, absent_is_empty: bool = False) -> list[Any]:
        status, answer, _ = await self._ask("GET", path)
        if status == 404 and absent_is_empty:
            return []  # a controller of an older release
        if status != 200 or not isinstance(answer, dict) or not isinstance(answer.get(name), list):
            raise self._refusal(path, status, answer)
        return list(answer[name])

    def _refusal(self, path: str, status: int, answer: Any) -> UnreachableError | UnknownStateError:
        """What to raise for an answer to a read that is not what was asked for."""
        if status in (401, 403, 429):  # the last too: so many attempts with a wrong key
            return _refused(f"GET {path}", status, answer, "Give a key that may read.")
        return UnknownStateError(f"GET {self._url}{path} was answered with {status}")

    async def _ask(self, method: str, path: str, *, json: Any = None) -> tuple[int, Any, float]:
        assert self._http is not None, "enter the client first"
        try:
            async with self._http.request(method, self._url + path, json=json) as response:
                answer = await response.json(content_type=None)
                return response.status, answer, float(response.headers.get("Retry-After", 1.0))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            raise UnknownStateError(f"the controller at {self._url} did not answer ({type(error).__name__})") from error


def _refused(request: str, status: int, answer: Any, hint: str) -> UnreachableError:
    """What the controller said no with, and its own way out if it gave one."""
    said = answer if isinstance(answer, dict) else {}
    return UnreachableError(
        str(said.get("error", f"answer {status}")), field=request, value=status, hint=said.get("hint") or hint
    )
