"""Decides when a caller has waited too long for a voice. Pure: no clock, no I/O.

    idle --caller stops, turn committed, greeting due, or reconnected--> waiting --agent speaks--> idle
                                                              | due passes: `check` gives a `Reason`, once
                                                              v
                                                           apologised --agent speaks, or the caller's next turn--> ...

Invariants: nothing is due while the caller or the agent speaks; at most one for a turn; none for a noise, that is
speech shorter than `min_speech_s` of which the recogniser, in good health, made nothing. A caller of whom nothing was
ever heard may not have heard the greeting either, whatever the media path says, and both would wait for the other: the
agent speaks again `no_input_s` after its last words, at most `NO_INPUTS` times. Times are monotonic seconds, handed in.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

PAUSE_S = 1.5
"""A caller who speaks again sooner was only drawing breath; later, the caller was waiting and asks again."""

FAILED_GRACE_S = 1.5
"""What is left of the wait once a stage has failed for good: only what is on its way can still come."""

CUT_GRACE_S = 0.3
"""The same after a reply that was cut short: long enough to be heard as a stop, and for another speech to begin."""

RECONNECT_GRACE_S = 2.5
"""The wait after a reconnection: what either side said meanwhile is lost, and a caller who asked then waits already."""

NO_INPUTS = 2
"""How often a caller who was never heard is spoken to again; then nobody is there, or wants to listen."""

_FAILURE_COUNTS_FOR_S = 0.5
"""A recogniser can fail this long before the voice detector has seen the end of the same speech."""


class Reason(enum.StrEnum):
    """Why nothing was heard. The values are metric labels."""

    GREETING = "greeting"
    UNHEARD = "unheard"
    """Speech, and no transcript of it."""
    UNANSWERED = "unanswered"
    """A transcript, and no answer to it."""
    CUT_SHORT = "cut_short"
    """A reply began, then its provider failed."""
    CONNECTION_LOST = "connection_lost"
    """The connection was lost for a while, and nobody has spoken since."""
    NO_INPUT = "no_input"
    """The caller has not been heard yet, and the agent's words are long over."""
    WORKING = "working"
    """A tool of the agent runs; nothing has failed."""

    @property
    def interrupts(self) -> bool:
        """Whether what is pending must go first: all but a running tool, which works for the caller."""
        return self is not Reason.WORKING


@dataclass(slots=True)
class _Wait:
    since_s: float
    stopped_s: float
    speech_s: float = 0.0
    understood: bool = False
    greeting: bool = False
    cut_short: bool = False
    connection_lost: bool = False
    troubled: bool = False
    failed_s: float | None = None
    reply_failed: bool = False
    apologised: bool = False
    working_said: bool = False


class DeadAirDetector:
    """Follows what happens in a call, and says when the caller must hear something.

    Args:
        after_s: longest silence before the caller is spoken to.
        min_speech_s: speech without a transcript that is shorter counts as a noise.
        no_input_s: silence after the agent's words until a caller who was never heard is spoken to again.
    """

    def __init__(self, *, after_s: float, min_speech_s: float, no_input_s: float) -> None:
        self._after_s = after_s
        self._min_speech_s = min_speech_s
        self._no_input_s = no_input_s
        self._heard_caller = False
        self._quiet_since_s: float | None = None
        self._no_inputs = 0
        self._caller_speaks = False
        self._agent_speaks = False
        self._heard_agent = False
        self._apology_plays = False
        self._wait: _Wait | None = None
        self._asks_again = False
        self._understood_early = False
        self._failure_s: float | None = None
        self._reply_fails = False
        self._reply_owed = False
        self._connection_lost = False
        self._tools: set[str] = set()

    # The caller

    def caller_started(self, now: float) -> None:
        self._caller_speaks = True
        wait = self._wait
        waited = wait is not None and not wait.apologised and now - wait.stopped_s >= PAUSE_S
        self._asks_again = waited and wait is not None and self._counts(wait)
        if wait is not None and (wait.cut_short or (waited and not self._asks_again)):
            self._wait = None  # The caller has gone on from there; or it was a noise, which adds to nothing.

    def caller_stopped(self, now: float, speech_s: float) -> None:
        """The end of speech that lasted `speech_s`."""
        self._caller_speaks = False
        self._heard_caller |= speech_s >= self._min_speech_s
        if self._quiet_since_s is not None:
            self._quiet_since_s = now
        understood, self._understood_early = self._understood_early, False
        if self._agent_speaks:
            return  # Spoken into the agent's voice: the caller hears something.
        wait = self._wait
        if wait is None or wait.apologised:
            wait = self._wait = _Wait(now, now)
            self._tools.clear()
        elif not self._asks_again:
            wait.since_s = now
        wait.stopped_s = now
        wait.speech_s += speech_s
        wait.understood |= understood
        wait.connection_lost |= self._connection_lost
        self._connection_lost = False
        # What failed before, failed for other words.
        fails_now = self._failure_s is not None and now - self._failure_s <= _FAILURE_COUNTS_FOR_S
        wait.failed_s = now if fails_now else None
        wait.reply_failed = False
        wait.troubled |= fails_now

    def understood(self, now: float) -> None:
        """There is a transcript, or the turn was taken."""
        self._heard_caller = True
        if self._caller_speaks:
            self._understood_early = True
        elif self._wait is not None:
            if not self._wait.understood:
                self._wait.understood = True
                self._wait.failed_s = None
        elif not self._agent_speaks:
            self._wait = _Wait(now, now, understood=True)

    # The agent

    def greeting_due(self, now: float) -> None:
        """The agent is to speak first, and the caller is there to hear it."""
        if not self._heard_agent and self._wait is None and not self._caller_speaks:
            self._wait = _Wait(now, now, greeting=True)

    def reply_attempted(self) -> None:
        """A new reply is being made: an earlier failure is no longer the last word."""
        if self._wait is not None:
            self._wait.failed_s = None
            self._wait.reply_failed = False

    def agent_started(self) -> None:
        self._agent_speaks = self._heard_agent = True
        self._quiet_since_s = None
        wait, self._wait = self._wait, None
        self._apology_plays = wait is not None and wait.apologised
        # A reply can have failed before its first words are out.
        self._reply_fails = wait is not None and wait.reply_failed and not wait.apologised

    def agent_stopped(self, now: float) -> None:
        self._agent_speaks = False
        fails, owed, connection_lost = self._reply_fails, self._reply_owed, self._connection_lost
        self._reply_fails = self._reply_owed = self._connection_lost = False
        if self._caller_speaks or self._wait is not None:
            return
        if fails:
            self._wait = _Wait(now, now, understood=True, cut_short=True, failed_s=now)
        elif owed:
            self._wait = _Wait(now, now, understood=True)
        elif connection_lost:
            self._wait = _Wait(now, now, connection_lost=True)
        elif not self._heard_caller and self._no_inputs < NO_INPUTS:
            self._quiet_since_s = now

    # Both

    def reconnected(self, now: float) -> None:
        """The connection to the room was made anew: what caller and agent said meanwhile is lost."""
        wait = self._wait
        if self._caller_speaks or self._agent_speaks:
            self._connection_lost = True  # A part of it was not heard.
        elif wait is None or wait.apologised or not self._counts(wait):
            self._wait = _Wait(now, now, connection_lost=True)

    def failed(self, now: float, *, speaking_stage: bool, final: bool) -> None:
        """A provider failed.

        Args:
            speaking_stage: a reply comes from it (LLM, TTS); it is not the recogniser.
            final: it is not tried again for this turn.
        """
        if self._wait is not None:
            self._wait.troubled = True
        if not final:
            return
        if self._agent_speaks:
            # What the apology replaced may fail yet: it is not the apology that is cut short.
            self._reply_fails |= speaking_stage and not self._apology_plays
        elif self._wait is not None and not self._caller_speaks:
            self._wait.failed_s = now
            self._wait.reply_failed |= speaking_stage
        else:
            self._failure_s = now

    def tool_started(self, call: str) -> None:
        self._tools.add(call)

    def tool_ended(self, call: str) -> None:
        self._tools.discard(call)

    def tools_done(self, now: float, *, reply_follows: bool) -> None:
        if self._agent_speaks:
            self._reply_owed = reply_follows
        elif not self._caller_speaks:
            self._wait = _Wait(now, now, understood=True) if reply_follows else None

    # The decision

    @property
    def waits_since_s(self) -> float | None:
        """Since when the caller has waited for a voice, apology or not; None: does not wait."""
        wait = self._counted
        return None if wait is None or self._caller_speaks or self._agent_speaks else wait.since_s

    def due_s(self) -> float | None:
        """When `check` may next have something to say; None: not as things stand."""
        wait = self._counted
        if self._caller_speaks or self._agent_speaks:
            return None
        if wait is None:
            if self._quiet_since_s is None or self._heard_caller or self._tools:
                return None
            return self._quiet_since_s + self._no_input_s
        if wait.apologised:
            return None
        if self._tools and wait.working_said:
            return None
        # Who asked again has waited before, but a reply that is on its way gets half the time once more.
        due = max(wait.since_s + self._after_s, wait.stopped_s + self._after_s / 2)
        if self._only_connection_lost(wait):
            due = wait.since_s + min(RECONNECT_GRACE_S, self._after_s)
        if wait.failed_s is not None and not self._tools:
            grace_s = CUT_GRACE_S if wait.cut_short else FAILED_GRACE_S
            due = min(due, max(wait.failed_s, wait.stopped_s) + grace_s)
        return due

    @property
    def _counted(self) -> _Wait | None:
        """The wait, when somebody waits."""
        return self._wait if self._wait is not None and self._counts(self._wait) else None

    def _counts(self, wait: _Wait) -> bool:
        """Whether somebody is waiting. "Yes" is as short as a cough: it counts when a provider is in trouble."""
        sure = wait.understood or wait.greeting or wait.troubled or wait.connection_lost
        return sure or wait.speech_s >= self._min_speech_s

    @staticmethod
    def _only_connection_lost(wait: _Wait) -> bool:
        return wait.connection_lost and not wait.understood and not wait.speech_s

    def check(self, now: float) -> Reason | None:
        """Why the caller must hear something at `now`; None: it must not."""
        due, wait = self.due_s(), self._counted
        if due is None or now < due:
            return None
        if wait is None:
            self._quiet_since_s = None
            self._no_inputs += 1
            return Reason.NO_INPUT
        if self._tools:
            wait.working_said = True
            return Reason.WORKING
        wait.apologised = True
        if wait.cut_short:
            return Reason.CUT_SHORT
        if wait.understood:
            return Reason.UNANSWERED
        if self._only_connection_lost(wait):
            return Reason.CONNECTION_LOST
        if wait.greeting and wait.speech_s < self._min_speech_s:
            return Reason.GREETING
        return Reason.UNHEARD
