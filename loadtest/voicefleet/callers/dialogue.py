"""The caller's side of a conversation, as a state machine. No clock, no I/O: times are arguments.

    GREETING --voice--> LISTENING --settle_s of quiet--> ASKING --asked()--> WAITING --voice after T0--+
       |                   |    ^                                              |                      |
       |                   |    +----------------------------------------------|----------------------+
       +---- patience ----> DONE <---- all questions asked, room closed, patience

Invariants: a voice that begins before T0 never gives a TTFA; silence longer than `turn_timeout_s` always
sets `silent`, even if a voice comes later; a question is asked only after `settle_s` of quiet (or after
`max_listen_s` of an agent that never pauses). The waiting voice ends a silence, and a new one begins when it stops;
it answers nothing, starts no conversation and takes no patience: only an agent does. An apology, which the
agent announces itself, ends a turn and a silence, and is no answer.

The shell (`caller.py`) reports what it hears and calls `tick(now)`; times may be reported late, by the
60 ms the detector needs plus the delivery, so time-outs are judged `detection_lag_s` after they fall due.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from voicefleet.callers.behavior import Action, Ask, CallerBehavior, HangUp
from voicefleet.callers.outcome import TurnOutcome
from voicefleet.callers.transcript import Span, Turn, Voices, double_speech, relative_to

Note = Callable[[str, float], None]


class Step(enum.Enum):
    """Where the conversation stands."""

    GREETING = "greeting"
    LISTENING = "listening"
    ASKING = "asking"
    WAITING = "waiting"
    DONE = "done"


@dataclass
class Dialogue:
    """One conversation; create it at the moment of joining.

    Args:
        texts: the questions, asked in order; may be empty (the caller only hears the greeting).
        joined_s: monotonic time of the join.
        behavior: the caller's patience and time-outs.
        note: told of every event as ``note(kind, monotonic time)``.
    """

    texts: Sequence[str]
    joined_s: float
    behavior: CallerBehavior = field(default_factory=CallerBehavior)
    note: Note = lambda _kind, _t: None

    step: Step = field(default=Step.GREETING, init=False)
    silent: bool = field(default=False, init=False)
    cut: bool = field(default=False, init=False)
    first_agent_s: float | None = field(default=None, init=False)
    first_voice_s: float | None = field(default=None, init=False)
    first_waiting_message_s: float | None = field(default=None, init=False)
    greeting_apology: bool = field(default=False, init=False)
    _turns: list[Turn] = field(default_factory=list, init=False)
    _agents: set[str] = field(default_factory=set, init=False)
    _gone_since: float | None = field(default=None, init=False)
    _voices: Voices = field(default_factory=Voices, init=False)  # of agents
    _messages: Voices = field(default_factory=Voices, init=False)  # of waiting voices
    _listen_since: float = field(default=0.0, init=False)
    _talked_over: bool = field(default=False, init=False)  # a voice between the decision to ask and asked()

    # --- what the caller perceives ---

    def agent_joined(self, who: str, t_s: float) -> None:
        """An AGENT participant is in the room."""
        if self.first_agent_s is None:
            self.first_agent_s = t_s
        self._judge_absence(t_s)
        self._gone_since = None
        self._agents.add(who)
        self.note("agent_joined", t_s)

    def agent_left(self, who: str, t_s: float) -> None:
        """An AGENT participant left the room (or was removed)."""
        self._agents.discard(who)
        if not self._agents:
            self._gone_since = t_s
        self.note("agent_left", t_s)

    def waiting_voice_began(self, who: str, t_s: float) -> None:
        """The first voiced sample of a waiting message was heard at `t_s`; `who` says it."""
        if self.step is Step.DONE:
            return
        since = self._silent_since()
        if since is not None:
            self._judge_silence(since, t_s)
        self._messages.began(who, t_s)
        if self.first_waiting_message_s is None:
            self.first_waiting_message_s = t_s
        self.note("waiting_message", t_s)

    def waiting_voice_ended(self, who: str, t_s: float) -> None:
        """The last voiced sample of a waiting message was heard at `t_s`."""
        self._messages.ended(who, t_s)

    def voice_began(self, who: str, t_s: float) -> None:
        """The first voiced sample of agent `who` was heard at `t_s`."""
        if self.step is Step.DONE:
            return
        self._voices.began(who, t_s)
        if self.first_voice_s is None:
            self.first_voice_s = t_s
            self.note("greeting", t_s)
        if self.step is Step.GREETING:
            self._judge_silence(max(self.joined_s, self._messages.until_s), t_s)
            self._listen(t_s)
        elif self.step is Step.ASKING:
            self._talked_over = True
        elif self.step is Step.WAITING:
            self._hear_reply(self._turns[-1], t_s)

    def apology_announced(self, reason: str, t_s: float) -> None:
        """The agent says that the words it is about to say, or has just begun, are an apology; `reason`: why."""
        if self.step is Step.DONE:
            return
        turn = self._turns[-1] if self._turns else None
        if turn is None:
            self.greeting_apology |= self.step is Step.GREETING or reason == "greeting"
            return
        just_heard = turn.waited_s is not None and t_s < turn.t0_s + turn.waited_s + _LATE_NOTICE_S
        if self.step is Step.WAITING or just_heard or reason in _OF_THE_TURN:
            turn.apologised()
            self.note("apology", t_s)

    def voice_ended(self, who: str, t_s: float) -> None:
        """The last voiced sample of agent `who` was heard at `t_s`."""
        if not self._voices.ended(who, t_s):
            return
        turn = self._turns[-1] if self._turns else None
        # A cut-in that goes on past the question is the (premature) reply to it.
        if self.step is Step.WAITING and turn is not None and turn.cut_in and t_s > turn.t0_s + _TAIL_S:
            self._answer(turn, turn.t0_s)

    def asked(self, start_s: float, t0_s: float) -> None:
        """The question of the last `Ask` plays; its voiced samples go from `start_s` to `t0_s`."""
        turn = Turn(asked_s=start_s, t0_s=t0_s)
        self._turns.append(turn)
        self.step = Step.WAITING
        self.note("asked", start_s)
        if self._voices.speaking or self._talked_over:
            self._mark_cut_in(turn, start_s)

    def disconnected(self, t_s: float) -> None:
        """The room closed, and not because the caller hung up: the platform ended the call."""
        if self.step is Step.DONE:
            return
        self._mark_cut(t_s)
        self._finish(t_s)

    def hung_up(self, t_s: float) -> None:
        """The caller left for a reason of its own; what the room does from now on is not the platform's doing."""
        if self.step is not Step.DONE:
            self._finish(t_s)

    def no_more(self) -> None:
        """Ask nothing after the question under way: the call is done once the agent has answered it."""
        self.texts = self.texts[: len(self._turns) + (self.step is Step.ASKING)]

    # --- what the caller does ---

    def tick(self, now_s: float) -> Action | None:
        """What to do now, if anything. Call it after every report and at `due_s()`."""
        if self.step is Step.DONE:
            return HangUp("disconnected")
        self._judge_absence(now_s)
        if self.step is Step.LISTENING and self._may_speak(now_s):
            if self._turns and self._turns[-1].reply_end_s is None and not self._voices.speaking:
                self._turns[-1].reply_end_s = self._voices.until_s
            if (action := self._next()) is not None:
                self.step = Step.ASKING
                self._talked_over = False
                return action
            self._finish(now_s)
            return HangUp("done")
        lag_s = self.behavior.detection_lag_s
        silent_since, waiting_since = self._silent_since(), self._waiting_since()
        if silent_since is not None and now_s >= silent_since + self.behavior.turn_timeout_s + lag_s:
            self._mark_silent(silent_since)
        if waiting_since is not None and now_s >= waiting_since + self.behavior.patience_s + lag_s:
            self._finish(now_s)
            return HangUp("patience")
        return None

    def due_s(self) -> float | None:
        """The next time at which `tick` may have something to do without a report."""
        m, due = self.behavior, []
        if self._gone_since is not None and not self.cut:
            due.append(self._gone_since + m.cut_after_s)
        if self.step is Step.LISTENING:
            due.append(self._listen_since + m.max_listen_s)
            if not self._voices.speaking and not self._messages.speaking:
                due.append(self._quiet_since() + m.settle_s)
        silent_since, waiting_since = self._silent_since(), self._waiting_since()
        if silent_since is not None and not self.silent:
            due.append(silent_since + m.turn_timeout_s + m.detection_lag_s)
        if waiting_since is not None:
            due.append(waiting_since + m.patience_s + m.detection_lag_s)
        return min(due, default=None)

    # --- the result ---

    def turns(self, ended_s: float) -> tuple[TurnOutcome, ...]:
        """The turns whose question was said to its end by `ended_s`, times relative to the join."""
        return tuple(
            turn.outcome(i, self.texts[i], self.joined_s, ended_s)
            for i, turn in enumerate(self._turns)
            if turn.t0_s <= ended_s
        )

    @property
    def answered(self) -> bool:
        """Whether the caller got an answer to any of its questions; where it asked none, a greeting."""
        if self._turns:
            return any(turn.answered for turn in self._turns)
        return self.first_voice_s is not None and not self.greeting_apology

    @property
    def latest_ttfa_s(self) -> float | None:
        """Of the last question; None: it has none, or none yet."""
        return self._turns[-1].ttfa_s if self._turns else None

    def double_speech(self) -> int:
        """How often a voice, waiting voices included, began or went on while another spoke, for longer than a click."""
        return double_speech([*self._voices.spans, *self._messages.spans])

    def voices(self) -> tuple[Span, ...]:
        """Who spoke from when to when, by begin, relative to the join; complete once the conversation is over."""
        return relative_to(self.joined_s, [*self._voices.spans, *self._messages.spans])

    # --- inside ---

    def _next(self) -> Action | None:
        """What to say once the agent is quiet; None: nothing more."""
        return Ask(len(self._turns)) if len(self._turns) < len(self.texts) else None

    def _may_speak(self, now_s: float) -> bool:
        if now_s >= self._listen_since + self.behavior.max_listen_s:
            return True
        speaking = self._voices.speaking or self._messages.speaking
        return not speaking and now_s >= self._quiet_since() + self.behavior.settle_s

    def _quiet_since(self) -> float:
        return max(self._voices.until_s, self._messages.until_s)

    def _silent_since(self) -> float | None:
        """Since when the caller has heard nothing, although it should; None when it need not, or hears a voice."""
        since = self._waiting_since()
        return None if since is None or self._messages.speaking else max(since, self._messages.until_s)

    def _waiting_since(self) -> float | None:
        """Since when the caller has been waiting for an agent's voice; None when it is not."""
        if self._voices.speaking:
            return None
        if self.step is Step.GREETING:
            return self.joined_s
        return self._turns[-1].t0_s if self.step is Step.WAITING else None

    def _hear_reply(self, turn: Turn, t_s: float) -> None:
        if t_s < turn.t0_s:
            self._mark_cut_in(turn, t_s)
            return
        self._judge_silence(max(turn.t0_s, self._messages.until_s), t_s)
        if t_s > turn.t0_s + self.behavior.turn_timeout_s:
            turn.waited_s = t_s - turn.t0_s
            self.note("late_reply", t_s)
            self._listen(t_s)
            return
        if not turn.apology:
            turn.ttfa_s = None if turn.cut_in else t_s - turn.t0_s
            self.note("reply", t_s)
        self._answer(turn, t_s)

    def _answer(self, turn: Turn, t_s: float) -> None:
        turn.answered = not turn.apology
        turn.waited_s = t_s - turn.t0_s
        self._listen(t_s)

    def _listen(self, t_s: float) -> None:
        self.step = Step.LISTENING
        self._listen_since = t_s

    def _mark_cut_in(self, turn: Turn, t_s: float) -> None:
        if not turn.cut_in:
            turn.cut_in = True
            self.note("cut_in", t_s)

    def _judge_silence(self, since_s: float, voice_s: float) -> None:
        """The voice ended a silence, unless a waiting voice speaks too; one that was too long makes the call silent."""
        if not self._messages.speaking and voice_s > since_s + self.behavior.turn_timeout_s:
            self._mark_silent(since_s)

    def _mark_silent(self, since_s: float) -> None:
        if not self.silent:
            self.silent = True
            self.note("silent", since_s + self.behavior.turn_timeout_s)

    def _judge_absence(self, now_s: float) -> None:
        if self._gone_since is not None and now_s >= self._gone_since + self.behavior.cut_after_s:
            self._mark_cut(self._gone_since + self.behavior.cut_after_s)

    def _mark_cut(self, t_s: float) -> None:
        if not self.cut:
            self.cut = True
            self.note("cut", t_s)

    def _finish(self, t_s: float) -> None:
        for who in list(self._voices.speaking):
            self.voice_ended(who, t_s)
        for who in list(self._messages.speaking):
            self.waiting_voice_ended(who, t_s)
        self.step = Step.DONE


_LATE_NOTICE_S = 1.0
"""An apology may be heard so long before its notice comes."""
_OF_THE_TURN = ("unanswered", "unheard", "cut_short")
"""Reasons of apologies that are for the last question, whatever was heard of an answer to it."""

_TAIL_S = 0.3
"""An agent that cut in and stops within this time after T0 was interrupted; it has not answered."""
