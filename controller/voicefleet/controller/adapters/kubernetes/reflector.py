"""A local copy of one list of Kubernetes objects, kept current by a watch, that knows when it was last confirmed.

Own, because `kubernetes.informer` of the pinned client runs in threads.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

from kubernetes.aio.client import ApiClient

from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.controller.adapters.kubernetes.client import Cluster, KubernetesError, read_body, refusal
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

WINDOW_S = 5
"""A watch lasts so long, and the next goes on where it ended. A silent connection may be a broken one; a server that
ends the watch in good order has confirmed that there was nothing else to say."""
_ANSWER_S = 5.0
_AGAIN_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_GONE = 410

T = TypeVar("T")
Manifest = dict[str, Any]
Request = Callable[..., Awaitable[Any]]

log = get_logger(__name__)


class Reflector(Generic[T]):
    """Objects by uid.

    Args:
        what: names the list in errors, e.g. "pods of voice-eu".
        request: from a client to its method that lists, and watches when it is told to.
        keep: what is kept of an object; None: nothing, it is none of ours.
        changed: told of the value before and after each change; None where there was or is none.
        window_s: how long one watch lasts, seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        what: str,
        request: Callable[[ApiClient], Request],
        keep: Callable[[Manifest], T | None],
        clock: Clock,
        *,
        changed: Callable[[T | None, T | None], None] = lambda before, after: None,
        window_s: int = WINDOW_S,
    ) -> None:
        self._cluster = cluster
        self._what = what
        self._request = request
        self._keep = keep
        self._clock = clock
        self._changed = changed
        self._window_s = window_s
        self._version = ""
        self._confirmed_s: float | None = None
        self._ahead_s = 0.0
        self.items: dict[str, T] = {}
        self.failure: KubernetesError | None = None
        """Why the last request failed; None when it did not."""

    @property
    def age_s(self) -> float | None:
        """Seconds since the API server confirmed `items`; None when it never did."""
        return None if self._confirmed_s is None else self._clock.monotonic() - self._confirmed_s

    def server_s(self) -> float:
        """The API server's time now, Unix seconds, as far as its answers tell: no two machines' clocks are compared."""
        return self._clock.monotonic() + self._ahead_s

    def confirmed(self, within_s: float) -> None:
        """Raises `UnknownStateError` when the API server did not confirm `items` within the last `within_s` seconds."""
        age_s = self.age_s
        if age_s is not None and age_s <= within_s:
            return
        since = "not read yet" if age_s is None else f"not confirmed for {age_s:.0f} s"
        why = f": {self.failure}" if self.failure else ""
        raise UnknownStateError(f"{self._what}: {since}{why}", dependency=Dependency.KUBERNETES) from self.failure

    async def run(self) -> None:
        """Keep current until cancelled."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self.failure, failures = None, 0
            except KubernetesError as error:
                if error.status == _GONE:
                    self._version = ""  # too old to go on from: list anew
                    continue
                self.failure = error
                pause_s = _AGAIN_S[min(failures, len(_AGAIN_S) - 1)]
                failures += 1
                if error.status in (401, 403, 404):
                    self._version = ""
                await self._clock.sleep(pause_s * random.uniform(0.8, 1.2))
            except Exception as error:
                # An error of ours must not end the watch: the state would be unknown for ever.
                log.exception("watch failed, listing anew", what=self._what)
                self.failure, self._version = KubernetesError(f"{self._what}: {error!r}"), ""
                await self._clock.sleep(_AGAIN_S[-1])

    async def _list(self) -> None:
        what = f"read {self._what}"
        async with self._cluster.requesting(what, _ANSWER_S) as client:
            answer = await self._request(client)()
            listed = json.loads(await read_body(what, answer))
            self._ahead_s = _server_s(answer) - self._clock.monotonic()
        self._version = listed["metadata"]["resourceVersion"]
        found: dict[str, T] = {}
        for manifest in listed["items"]:
            if (kept := self._keep(manifest)) is not None:
                found[manifest["metadata"]["uid"]] = kept
        before, self.items = self.items, found
        self._confirm()
        self.failure = None
        for uid in before.keys() | found.keys():
            if before.get(uid) != found.get(uid):
                self._changed(before.get(uid), found.get(uid))

    async def _watch(self) -> None:
        what = f"watch {self._what}"
        limit_s = self._window_s + _ANSWER_S
        async with self._cluster.requesting(what, limit_s) as client:
            answer = await self._request(client)(
                watch=True,
                resource_version=self._version,
                allow_watch_bookmarks=True,
                timeout_seconds=self._window_s,
            )
            try:
                if answer.status != 200:
                    raise refusal(what, answer.status, await answer.read())
                while line := await answer.content.readline():
                    self._take(json.loads(line))
                    self._confirm()
                self._confirm()  # the end of the window, in good order
            finally:
                answer.close()

    def _take(self, event: Manifest) -> None:
        kind, manifest = event["type"], event["object"]
        if kind == "ERROR":
            raise refusal(f"watch {self._what}", manifest.get("code", 0), manifest.get("message", ""))
        self._version = manifest["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        uid = manifest["metadata"]["uid"]
        kept, before = self._keep(manifest), self.items.get(uid)
        if kind == "DELETED" or kept is None:
            self.items.pop(uid, None)
            # The last state of an object that is gone may be a change as well.
            if kept is not None and kept != before:
                self._changed(before, kept)
            if kept is not None or before is not None:
                self._changed(kept if kept is not None else before, None)
        elif kept != before:
            self.items[uid] = kept
            self._changed(before, kept)

    def _confirm(self) -> None:
        self._confirmed_s = self._clock.monotonic()


def _server_s(answer: Any) -> float:
    with contextlib.suppress(TypeError, ValueError):
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    return 0.0
