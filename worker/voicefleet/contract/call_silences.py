"""Why a caller heard nobody, when, and for how long: the silences of a call, read from what is noted of it. Pure.

A caller waits for a voice from its join, from the loss of its agent, and from the end of each of its turns. What was
noted meanwhile says why: every slot had a call, a worker died, a provider gave nothing. Where nothing says why, the
silence is shown all the same, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from voicefleet.contract.call_events import Silence

LEAST_S = 3.0
"""What is shorter is a pause."""
COUNTED_AFTER_S = 10.0
"""A job notes a caller in silence after so long; see `CallSummary.silences`."""
_ADDS_S = 1.0
"""A part of a silence that is worth naming."""
_AROUND_S = 2.5
"""A provider's failure is noted a moment after it was felt."""

Fact = Mapping[str, Any]

_TAKES = frozenset({"answered", "recovered", "moved"})

_STAGES = {
    "eou": "the end of the caller's turn",
    "stt": "the transcript",
    "callback": "the agent's own on_user_turn_completed",
    "llm_ttft": "the LLM's first word",
    "tts_ttfb": "the TTS's first audio",
    "playback": "the playback",
}
_PROVIDERS = {"stt": "speech recogniser", "llm": "LLM", "tts": "TTS"}
_KINDS = {
    "timeout": "gave nothing in time (timeout)",
    "refused": "refused the request",
    "connection": "could not be reached",
    "other": "failed",
}
_APOLOGIES = {
    "unanswered": "the caller was understood and no answer came; no provider reported a failure",
    "unheard": "the caller spoke, and the recogniser made nothing of it",
    "greeting": "the greeting did not come",
    "cut_short": "an answer was cut short",
    "connection_lost": "the agent's connection to LiveKit was lost for a moment",
    "no_input": "the caller was not heard, and the agent had nothing more to say",
    "working": "a tool of the agent was running",
}
_APOLOGY_HINTS = {
    "unanswered": "Look at the agent's own code around a turn: a tool or a callback that hangs.",
    "unheard": "Look at the recogniser, and at the caller's microphone and line.",
    "greeting": "Look at the agent's on_enter, and at the TTS.",
    "connection_lost": "Look at LiveKit and at the network of the worker's node.",
    "working": "A tool that takes long may say something meanwhile.",
}
_EVENTS = {
    "stalled": (
        "the worker's process did not run for a while",
        "Look at the load, the memory and the CPU limit of that worker's machine.",
    ),
    "reconnected": (_APOLOGIES["connection_lost"], _APOLOGY_HINTS["connection_lost"]),
}
_LOST = {
    "worker_ended": "the process of {worker} ended",
    "job_ended": "its job on {worker} ended",
    "not_listening": "its job on {worker} was gone",
    "not_renewed": "its job on {worker} stood still",
    "trouble": "its job on {worker} lost the way to LiveKit",
    "deaf": "its job on {worker} did not hear the caller",
    "mute": "its job on {worker} was not heard by the caller",
    "expired": "its job on {worker} gave no sign of life",
    "left": "its job on {worker} ended by itself",
    "lost": "{worker} lost it",
}


class _Listener:
    """Goes through a call's facts in their order; times are seconds since the call started."""

    def __init__(self, region: str) -> None:
        self._region = region
        self.found: list[Silence] = []
        self._unexplained: list[tuple[float, float | None]] = []
        self._here = False
        self._since: float | None = None
        """Since when the caller waits for the first word of an agent."""
        self._agent_s: float | None = None
        """When that agent had the call."""
        self._spoken = False
        self._lost = self._instead = ""
        self._worker = ""
        self._epoch = 0
        self._waiting: Fact = {}
        self._dispatches = 0
        self._silent: float | None = None
        self._failures: list[tuple[float, str]] = []
        self._events: list[tuple[float, str]] = []

    def hear(self, at: float, fact: Fact) -> None:
        """Take the next fact."""
        if fact["e"] in _TAKES:
            self._epoch = max(self._epoch, _int(fact.get("epoch")))
        elif 0 < _int(fact.get("epoch")) < self._epoch:
            return  # A job that stood still, and lost the call meanwhile: its caller does not hear it any more.
        match fact["e"]:
            case "caller":
                self._here = True
                if not self._spoken and self._since is None:
                    self._since = at
            case "waiting":
                self._waiting = fact
            case "dispatched":
                self._dispatches = max(self._dispatches, _int(fact.get("attempt")))
            case "answered" | "recovered" | "moved":
                self._taken(at, fact)
            case "greeting" | "voice_back":
                self._spoken = True
                self._heard(at)
            case "turn":
                self._turn(at, fact)
            case "apology":
                self._apology(at, fact)
            case "provider_failure":
                self._failures.append((at, str(fact.get("reason", ""))))
            case "stalled" | "reconnected":
                self._events.append((at, fact["e"]))
            case "silence":
                self._silent = max(0.0, at - COUNTED_AFTER_S)
            case "silence_over":
                self._broken(at)
            case "lost" | "expired" | "left":
                self._gone(at, fact)
            case "released" | "neighbour":
                self._heard(at, unsure=True)
                self._spoken = True
            case "no_caller":
                self._heard(at, unsure=self._silent is None, voice=False)
                self._broken(at)
                self._here, self._spoken = False, False

    def end(self, ended_s: float | None, now_s: float) -> list[Silence]:
        """All silences, the first one first; of a call that goes on (`ended_s` None) the last may last."""
        last_s = now_s if ended_s is None else ended_s
        if self._here and self._since is not None:
            # A job without telemetry, or whose entrypoint speaks by itself, does not say when: only of one that noted a
            # silence it is sure that there was no voice.
            unsure = self._agent_s is not None and self._silent is None
            if unsure:
                self._heard(last_s, unsure=True)
            else:
                self._close(last_s, open_=ended_s is None, voice=False)
        if self._silent is not None:
            self._unexplained.append((self._silent, ended_s))
        for begin, end in self._unexplained:
            self._add_unexplained(begin, end, last_s)
        return sorted(self.found, key=lambda silence: silence.from_s)

    # What happens

    def _taken(self, at: float, fact: Fact) -> None:
        self._agent_s, self._worker = at, str(fact.get("worker", ""))
        if fact["e"] == "moved":
            # The old agent spoke until then; the new one has the conversation, and goes on when the caller does.
            self._heard(at)
        elif self._since is None and self._here and not self._spoken:
            self._since = at

    def _gone(self, at: float, fact: Fact) -> None:
        why = str(fact.get("why") or fact["e"])
        self._agent_s = None
        self._waiting, self._dispatches = {}, 0
        self._broken(at)
        if not self._here:
            return
        self._lost = _LOST.get(why, _LOST["lost"]).format(worker=self._worker or "its worker")
        self._since, self._spoken = max(0.0, at - _float(fact.get("silent_ms")) / 1000), False

    def _turn(self, at: float, fact: Fact) -> None:
        ttfa, after = fact.get("ttfa_s"), _float(fact.get("spoke_ms")) / 1000
        if not isinstance(ttfa, int | float):
            return
        first = at - after
        # An agent of a release that does not say when it spoke first had spoken by then.
        self._heard(max(0.0, first - ttfa), unsure=True)
        self._broken(first)
        self._spoken = True
        if ttfa >= LEAST_S:
            self._add(first - ttfa, first, *self._slow(fact, first - ttfa, first))

    def _apology(self, at: float, fact: Fact) -> None:
        waited_s = _float(fact.get("waited_s"))
        reason = str(fact.get("reason", ""))
        self._broken(at)
        if reason == "greeting" and self._since is not None:
            self._instead = "an apology was played in place of the greeting"
            self._heard(at)
            return
        self._heard(at, unsure=True)
        if waited_s >= LEAST_S:
            begin = max(0.0, at - waited_s)
            why, hint = self._failed(begin, at) or (_APOLOGIES.get(reason, reason), _APOLOGY_HINTS.get(reason, ""))
            said = "its clip was played" if reason == "working" else "an apology was played"
            self._add(begin, at, f"{why}; {said}" if reason != "no_input" else why, hint)

    def _broken(self, at: float) -> None:
        """A silence that the job noted is over."""
        if self._silent is not None:
            self._unexplained.append((self._silent, at))
            self._silent = None

    def _heard(self, at: float, *, unsure: bool = False, voice: bool = True) -> None:
        """The wait for an agent's first word is over. `unsure`: at the latest; it was over once the agent had the
        call. `voice`: by that word, not by the end of the call."""
        if self._since is not None:
            self._close(self._agent_s if unsure and self._agent_s is not None else at, voice=voice)

    def _close(self, at: float, *, open_: bool = False, voice: bool = True) -> None:
        since, self._since = self._since, None
        if since is not None and at > since:
            self._add(since, None if open_ else at, *self._why_waited(since, at, voice), last_s=at)
        self._lost, self._instead, self._waiting, self._dispatches = "", "", {}, 0

    # In words

    def _add(self, begin: float, end: float | None, why: str, hint: str, *, last_s: float = 0.0) -> None:
        lasted_s = (last_s if end is None else end) - begin
        if lasted_s >= LEAST_S:
            until_s = None if end is None else round(end, 3)
            self.found.append(
                Silence(from_s=round(begin, 3), until_s=until_s, lasted_s=round(lasted_s, 3), why=why, hint=hint)
            )

    def _why_waited(self, since: float, until: float, voice: bool) -> tuple[str, str]:
        parts, hint = [], ""
        agent_s = until if self._agent_s is None else max(since, min(until, self._agent_s))
        if self._lost:
            parts.append(f"its agent was lost: {self._lost}")
            hint = "Look at the end of that worker's log, and at `voicefleet status`."
        if agent_s - since >= _ADDS_S:
            text, way = self._no_agent()
            parts.append(f"{agent_s - since:.1f} s without an agent" + (f": {text}" if text else ""))
            hint = hint or way
        if until - agent_s >= _ADDS_S and self._agent_s is not None:
            failed = self._failed(agent_s, until)
            said = "until its agent spoke" if voice else "with an agent that did not speak"
            parts.append(f"{until - agent_s:.1f} s {said}" + (f": {failed[0]}" if failed else ""))
            slow = failed[1] if failed else "Look at what the agent does before its first word: on_enter, the TTS."
            hint = hint or slow
        parts += [self._instead] if self._instead else []
        return "; ".join(parts) or "it waited for an agent", hint

    def _no_agent(self) -> tuple[str, str]:
        """Why none came sooner."""
        ask = f"`voicefleet explain {self._region}` says why the pool has its size."
        live, slots, starting = (_int(self._waiting.get(name)) for name in ("live", "slots", "starting"))
        coming = f", {starting} {'worker was' if starting == 1 else 'workers were'} starting" if starting else ""
        match self._waiting.get("why"):
            case "full":
                return f"every slot had a call ({live} calls, {slots} slots{coming})", f"More slots: max_workers. {ask}"
            case "no_worker":
                return f"no worker was ready{coming}", f"`voicefleet status` names the last start error. {ask}"
        if self._dispatches > 1:
            return f"{self._dispatches} dispatches, and the first ones came to nothing", (
                "A worker that hangs, or LiveKit that does not reach it: `voicefleet doctor`, the workers' logs."
            )
        return "", ask

    def _slow(self, fact: Fact, begin: float, end: float) -> tuple[str, str]:
        """Why an answer was slow."""
        stages = fact.get("stages")
        known = {k: v for k, v in stages.items() if isinstance(v, int | float)} if isinstance(stages, dict) else {}
        if failed := self._failed(begin, end):
            return f"slow answer: {failed[0]}", failed[1]
        if not known:
            return "slow answer", ""
        name = max(known, key=lambda stage: known[stage])
        hint = f"Panel of the turns' stages, stage {name}, in the dashboard of call quality."
        return f"slow answer: {known[name]:.1f} s for {_STAGES.get(name, name)}", hint

    def _failed(self, begin: float, end: float) -> tuple[str, str] | None:
        """Which provider failed then, and what to do."""
        found = [reason for at, reason in self._failures if begin - 0.5 <= at <= end + _AROUND_S]
        if not found:
            return None
        stage, _, kind = found[-1].partition(": ")
        times = f", {len(found)} times" if len(found) > 1 else ""
        what = _PROVIDERS.get(stage, stage)
        hint = (
            f"The provider of the tier's `{stage}`: its status page, its key. A second one there would have answered."
        )
        return f"the {what} {_KINDS.get(kind, kind)}{times}", hint

    def _add_unexplained(self, begin: float, end: float | None, last_s: float) -> None:
        """A silence that the job noted; one that is explained already only lasts as long as this says."""
        until = last_s if end is None else end
        for silence in self.found:
            if silence.from_s < until and (silence.until_s is None or silence.until_s > begin):
                return
        why, hint = "nobody spoke, and nothing that was noted says why", "Look at the log of the call's worker."
        for at, event in self._events:
            if begin - _AROUND_S <= at <= until + _AROUND_S:
                why, hint = _EVENTS[event]
        self._add(begin, end, why, hint, last_s=last_s)


def silences(
    facts: Iterable[Fact], since: Callable[[float], float], *, region: str, ended_s: float | None, now_s: float
) -> list[Silence]:
    """The silences of at least `LEAST_S` in a call.

    Args:
        facts: as they were noted, with their time ``t``.
        since: seconds since the call's start of such a time.
        ended_s: when the call ended; None: it goes on.
    """
    listener = _Listener(region)
    for at, fact in sorted(((since(fact["t"]), fact) for fact in facts), key=lambda pair: pair[0]):
        listener.hear(at, fact)
    return listener.end(ended_s, now_s)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _int(value: object) -> int:
    return int(_float(value))
