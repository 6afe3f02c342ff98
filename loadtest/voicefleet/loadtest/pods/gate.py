"""What the starter of a load test tells a pod: when to begin, and that the starter is still there. Pure.

It stands in an annotation of the pod, which the kubelet writes into a file of the pod (the downward API): the pod needs
no access to Kubernetes, and no network to the starter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

ANNOTATION = "voicefleet.dev/loadtest"
TOLD_EVERY_S = 20.0
ALONE_AFTER_S = 120.0
"""A pod that was told nothing new for so long has no starter any more: it hangs up, and ends."""


@dataclass(frozen=True, slots=True)
class Told:
    """What stands in the annotation.

    Attributes:
        beat: another number each time: whoever sees it change knows that the starter lives, without comparing clocks.
        start_at: Unix seconds of the pod's own clock at which the run starts; None: not yet known.
    """

    beat: int
    start_at: float | None = None

    def to_json(self) -> str:
        """As `parse_told` reads it."""
        return json.dumps({"beat": self.beat, "start_at": self.start_at})


def parse_told(text: str) -> Told | None:
    """What `Told.to_json` wrote; None: nothing yet."""
    try:
        document = json.loads(text)
        start_at = document["start_at"]
        return Told(int(document["beat"]), None if start_at is None else float(start_at))
    except (ValueError, TypeError, KeyError):
        return None


class Attendance:
    """Whether the starter is still there.

    Args:
        now_s: monotonic seconds, as in all that follows.
    """

    def __init__(self, now_s: float) -> None:
        self._beat: int | None = None
        self._seen_s = now_s

    def look(self, told: Told | None, now_s: float) -> bool:
        """Take what is told now; False: the starter is gone."""
        if told is not None and told.beat != self._beat:
            self._beat, self._seen_s = told.beat, now_s
        return now_s - self._seen_s < ALONE_AFTER_S
