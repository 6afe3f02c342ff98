"""What a pod of a load test has told so far, and what Kubernetes says of it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome, call_from_json
from voicefleet.contract.errors import UsageError
from voicefleet.loadtest.merging import Part
from voicefleet.loadtest.pods.lines import MARK, health_from_json, parse_line
from voicefleet.loadtest.stage_times import CallReads

INDEX = "batch.kubernetes.io/job-completion-index"
SILENT_S = 60.0
"""A pod of which nothing was heard for so long, while Kubernetes answered, is given up."""
LATE_S = 1.0
"""A pod that began later than this did not play the plan."""
_READY_LINES = 3
"""So many looks at a pod's clock, before it is believed."""
_STUCK = {
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
"""States of a container from which it does not come by itself."""


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as Kubernetes describes it.

    Attributes:
        name: of the pod.
        index: of its share.
        began: its container runs, or ran: there is a log.
        ended: its container runs no more.
        stuck: its container cannot start, for the reason `why`.
        why: why it does not run (yet, or any more), in words; empty: it runs.
    """

    name: str
    index: int
    began: bool
    ended: bool
    stuck: bool = False
    why: str = ""


def pod_state(manifest: Mapping[str, Any], container: str) -> PodState | None:
    """The state in a pod's manifest, as far as it is that of `container`; None: it is no pod of an Indexed Job."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    index = (metadata.get("annotations") or {}).get(INDEX)
    if index is None or not str(index).isdigit():
        return None
    name, number = str(metadata["name"]), int(index)
    statuses = status.get("containerStatuses") or ()
    state: Mapping[str, Any] = next((s.get("state") or {} for s in statuses if s.get("name") == container), {})
    if status.get("phase") in ("Succeeded", "Failed") or "terminated" in state:
        return PodState(name, number, "terminated" in state, True, why=_end(status, state.get("terminated") or {}))
    if "running" in state:
        return PodState(name, number, True, False)
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _STUCK:
        return PodState(name, number, False, False, True, _sentence(waiting["reason"], waiting.get("message", "")))
    unscheduled = [
        c for c in status.get("conditions") or () if c.get("type") == "PodScheduled" and c["status"] != "True"
    ]
    if unscheduled:
        return PodState(
            name, number, False, False, why=_sentence("no node takes it", unscheduled[0].get("message", ""))
        )
    return PodState(name, number, False, False, why=_sentence("not started yet", waiting.get("reason", "")))


def _end(status: Mapping[str, Any], terminated: Mapping[str, Any]) -> str:
    if not terminated:
        return _sentence("its pod ended", f"{status.get('reason', '')} {status.get('message', '')}".strip())
    signalled = int(terminated.get("exitCode", 0)) == 137
    word = "killed" if signalled else f"its container ended with exit code {terminated.get('exitCode')}"
    reason = terminated.get("reason", "")
    return _sentence(word, "" if reason in ("Error", "Completed") else reason)


def _sentence(what: str, more: str) -> str:
    return f"{what}: {more}"[:300] if more else what


class Watcher(Protocol):
    """Shows how a run goes."""

    def on_event(self, call_id: str, kind: str, t_s: float, data: Mapping[str, Any], /) -> None:
        """Something that happens in a call."""

    def finished(self, outcome: CallOutcome, /) -> None:
        """A call is over."""


class PodRecord:
    """One share of the run, and the pod that plays it.

    Args:
        index: of the share.
        planned: calls in it.
        now_s: monotonic seconds of the starter, as in all that follows.
        watcher: is told what the pod tells of its calls.
    """

    def __init__(self, index: int, planned: int, now_s: float, watcher: Watcher | None = None) -> None:
        self.index, self.planned = index, planned
        self._watcher = watcher
        self._live: set[str] = set()
        self.state: PodState | None = None
        self.outcomes: dict[str, CallOutcome] = {}
        self.clock_offset_s: float | None = None
        """The pod's clock minus ours, less what a line takes from there to here."""
        self.refused: UsageError | None = None
        self.log_over = False
        """All that is in its log was read, and no more will come."""
        self.given_up = False
        self.health: GeneratorHealth | None = None
        """Of its generator, as it last told."""
        self._engine: Mapping[str, Any] | None = None
        self._reads: CallReads | None = None
        self._wall_s: float | None = None
        self._late_s: float | None = None
        self._end: str | None = None
        self._ready_lines = self._next = 0
        self._began_at = self._last_at = 0.0
        self._heard_s = now_s
        self._gone = False
        self._words: deque[str] = deque(maxlen=1)

    # --- what is told ---

    def see(self, state: PodState | None) -> None:
        """Take what Kubernetes says; None: there is no pod of this index. The first pod of an index alone counts: what
        another one played would not be the plan."""
        if state is None:
            self._gone = self.state is not None
        elif self.state is None or self.state.name == state.name:
            self.state, self._gone = state, False

    def take(self, text: str, now_s: float, wall_s: float) -> None:
        """Take a line of the pod's log. One that was taken before is left out.

        Args:
            wall_s: Unix seconds of the starter's clock.
        """
        line = parse_line(text)
        if line is None:
            if text.strip():
                self._words.append(text.strip())
            return
        if line["n"] < self._next:
            return
        self._next, self._heard_s, self._last_at = line["n"] + 1, now_s, float(line["at"])
        try:
            self._read(line, wall_s)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._words.append(f"a line that another version wrote: {text[:100]}")

    def _read(self, line: Mapping[str, Any], wall_s: float) -> None:
        kind = line[MARK]
        if kind == "ready":
            self._ready_lines += 1
            offset_s = float(line["at"]) - wall_s
            # The line that took the least time tells the most of the clock.
            self.clock_offset_s = offset_s if self.clock_offset_s is None else max(self.clock_offset_s, offset_s)
        elif kind == "began":
            self._late_s, self._began_at = float(line["late_s"]), float(line["at"])
        elif kind == "beat":
            self.health = health_from_json(line["health"])
        elif kind == "event":
            self._event(str(line["call"]), str(line["kind"]), line["data"])
        elif kind == "call":
            outcome = call_from_json(line["call"])
            again = outcome.call_id in self.outcomes
            self.outcomes[outcome.call_id] = outcome
            self._live.discard(outcome.call_id)
            if self._watcher is not None and not again:
                self._watcher.finished(outcome)
        elif kind == "reads":
            self._reads = CallReads(**line["reads"])
        elif kind == "end":
            self._end = str(line["why"])
            self.health, self._engine = health_from_json(line["health"]), line["engine"]
            self._wall_s = float(line["wall_s"])
        elif kind == "refused":
            self.refused = UsageError(line["what"], field=line["field"], value=line["value"], hint=line["hint"])

    def _event(self, call_id: str, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "joined":
            self._live.add(call_id)
        if self._watcher is not None:
            self._watcher.on_event(call_id, kind, 0.0, data)

    # --- what follows from it ---

    @property
    def pod(self) -> str:
        """The pod's name; empty: there is none yet."""
        return "" if self.state is None else self.state.name

    @property
    def readable(self) -> bool:
        """Whether there is a log."""
        return self.state is not None and self.state.began

    @property
    def ended(self) -> bool:
        """Whether the pod runs no more."""
        return self._gone or (self.state is not None and self.state.ended)

    @property
    def ready(self) -> bool:
        """Whether it waits for the start, and its clock is known."""
        return self._ready_lines >= _READY_LINES and not self.ended

    @property
    def over(self) -> bool:
        """Whether nothing more is to be expected of it."""
        return self._end is not None or self.refused is not None or self.given_up or (self.ended and self.log_over)

    def give_up_if_silent(self, now_s: float, answered_s: float) -> None:
        """Give it up when it was silent for too long.

        Args:
            answered_s: when Kubernetes answered the last time: while it does not, nothing can be heard of anybody.
        """
        if not self.over and min(now_s, answered_s) - self._heard_s > SILENT_S:
            self.given_up = True

    @property
    def hindrance(self) -> str:
        """Why it is not ready, in words."""
        if self.ended:
            return self._last_words(self._why_ended())
        if self.state is None:
            return "it has no pod"
        return self.state.why or "it prepares itself"

    @property
    def joined(self) -> bool:
        """Whether one of its callers is or was in a room."""
        return bool(self._live) or any(outcome.connect_s is not None for outcome in self.outcomes.values())

    def part(self) -> Part:
        """What it brought."""
        wall_s = self._wall_s
        if wall_s is None and self._late_s is not None:
            wall_s = max(0.0, self._last_at - self._began_at)
        return Part(
            name=f"pod {self.index}",
            planned=self.planned,
            outcomes=tuple(self.outcomes.values()),
            health=self.health,
            wall_s=wall_s,
            engine=self._engine,
            reads=self._reads,
            trouble=self._trouble(),
            facts={"pod": self.pod, "clock_offset_s": self.clock_offset_s, "began_late_s": self._late_s},
        )

    def _trouble(self) -> str:
        if self._end == "":
            late_s = self._late_s or 0.0
            return f"it began {late_s:.1f} s late" if late_s > LATE_S else ""
        if self._end is not None:
            return self._end
        if self.refused is not None:
            return str(self.refused)
        if self.ended:
            return self._last_words(self._why_ended())
        return f"nothing was heard of it for {SILENT_S:.0f} s" if self._next else self.hindrance

    def _why_ended(self) -> str:
        if self._gone:
            return "its pod is gone"
        return "" if self.state is None else self.state.why

    def _last_words(self, why: str) -> str:
        """With what it logged last, which explains an error of its own; a kill needs no words."""
        return f"{why} ({self._words[-1][:200]})" if self._words and "exit code" in why else why
