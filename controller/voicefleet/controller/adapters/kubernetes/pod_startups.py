"""When each pod was requested, created, scheduled and started, as the watch showed it: the API's own times are whole
seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from voicefleet.controller.adapters.kubernetes.pods import Pod
from voicefleet.controller.ports import StartupTimestamps

_NEW_S = 3.0
"""A pod that is older when we first see it was made before we looked."""


class PodStartups:
    """Startup times of the pods of one Deployment, by uid. Times are of the caller's clock."""

    def __init__(self) -> None:
        self._startups: dict[str, StartupTimestamps] = {}
        self._asked_s: deque[float] = deque()

    def asked(self, change: int, now_s: float) -> None:
        """We asked for `change` pods more, or for so many less."""
        self._asked_s.extend([now_s] * max(0, change))
        for _ in range(min(-change, len(self._asked_s)) if change < 0 else 0):
            self._asked_s.pop()

    def seen(self, pod: Pod, now_s: float, server_s: float) -> None:
        """A pod is new, or changed.

        Args:
            server_s: the API server's time now, Unix seconds.
        """
        startup = self._startups.get(pod.uid)
        if startup is None:
            if server_s - pod.created_s > _NEW_S:
                return
            startup = StartupTimestamps(now_s, self._asked_s.popleft() if self._asked_s else None)
        if startup.placed_s is None and pod.scheduled_s is not None:
            startup = replace(startup, placed_s=now_s)
        if startup.running_s is None and pod.running_s is not None:
            startup = replace(startup, running_s=now_s)
        self._startups[pod.uid] = startup

    def gone(self, pod: Pod) -> None:
        self._startups.pop(pod.uid, None)

    def of(self, pod: Pod) -> StartupTimestamps | None:
        return self._startups.get(pod.uid)
