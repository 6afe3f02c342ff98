"""Notes the incidents of one region: at once in memory, and in Redis as soon as it answers.

Whoever notices something calls `note`; that costs no time and never fails. While Redis is away the notes wait here, and
are told by this replica all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import HealthState
from voicefleet.contract.incidents import LONGEST_TEXT, ONCE_IN_S, Incident, IncidentKind, distinct
from voicefleet.controller.health.incident_store import IncidentStore
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

AGAIN_S = 1.0
TRIM_EVERY_S = 3_600.0
KEPT_HERE = 200

log = get_logger(__name__)


class Incidents:
    """The incidents of `region`, noted by this `replica`.

    Args:
        store: None: they are kept in memory alone.
    """

    def __init__(self, region: str, store: IncidentStore | None, clock: Clock, *, replica: str = "") -> None:
        self._region = region
        self._store = store
        self._clock = clock
        self._replica = replica
        self._waiting: deque[Incident] = deque(maxlen=KEPT_HERE)
        """Not in Redis yet."""
        self._recent: deque[Incident] = deque(maxlen=KEPT_HERE)
        """The last ones that were read or noted here, the newest first."""
        self._last_s: dict[tuple[str, str], float] = {}
        """Kind and subject -> when it was noted last, of the last `ONCE_IN_S`."""
        self._noted = asyncio.Event()

    def note(
        self,
        kind: IncidentKind,
        text: str,
        *,
        subject: str = "",
        state: HealthState = HealthState.DEGRADED,
        lasted_s: float | None = None,
    ) -> None:
        """Something happened just now.

        Args:
            text: what, in one line, without personal data.
            subject: what it is about; the same kind about the same subject is noted once in 30 s.
            state: how bad it is.
            lasted_s: for how long it went on, when it is over.
        """
        if self._again(kind, subject):
            return
        line = " ".join(text.split())
        incident = Incident(
            at_ms=round(self._clock.wall().timestamp() * 1000),
            kind=kind.value,
            text=line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…",
            state=state.value,
            subject=subject,
            lasted_s=None if lasted_s is None else round(lasted_s, 1),
            replica=self._replica,
        )
        log.info(
            "incident", region=self._region, kind=kind.value, subject=subject, state=state.value, text=incident.text
        )
        self._recent.appendleft(incident)
        self._waiting.append(incident)
        self._noted.set()

    def _again(self, kind: IncidentKind, subject: str) -> bool:
        now_s = self._clock.monotonic()
        self._last_s = {about: at_s for about, at_s in self._last_s.items() if now_s - at_s < ONCE_IN_S}
        about = kind.value, subject
        if about in self._last_s:
            return True
        self._last_s[about] = now_s
        return False

    async def run(self) -> None:
        """Bring the notes to Redis until cancelled."""
        if self._store is None:
            return
        trimmed_s, away = -TRIM_EVERY_S, False
        while True:
            self._noted.clear()
            try:
                while self._waiting:
                    await self._store.add(first := self._waiting[0])
                    if self._waiting[0] is first:  # else it was pushed out by newer ones meanwhile
                        self._waiting.popleft()
                if self._clock.monotonic() - trimmed_s >= TRIM_EVERY_S:
                    await self._store.trim()
                    trimmed_s = self._clock.monotonic()
            except UnknownStateError as error:
                if not away:  # once: Redis may lack our new rights for long
                    log.warning("incidents wait in memory", region=self._region, error=str(error))
                away = True
                await self._clock.sleep(AGAIN_S)
                continue
            away = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRIM_EVERY_S):
                    await self._noted.wait()

    async def read(self, limit: int) -> list[Incident]:
        """The last incidents, the newest first: those in Redis and those on the way there. While Redis is away: those
        that were last seen."""
        if self._store is not None:
            with contextlib.suppress(UnknownStateError):
                kept = await self._store.read(limit)
                self._recent = deque([*self._waiting, *kept][:KEPT_HERE], maxlen=KEPT_HERE)
                return distinct([*self._waiting, *kept])[:limit]
        return distinct(self._recent)[:limit]
