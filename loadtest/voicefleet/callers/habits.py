"""What some callers do beside asking and listening: hang up, keep quiet, talk over the agent, lose patience. Pure.

It is the same conversation (`dialogue.py`) with other moments to speak and to leave.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from voicefleet.callers.behavior import Action, Ask, HangUp
from voicefleet.callers.dialogue import Dialogue, Step
from voicefleet.callers.transcript import Turn


@dataclass(frozen=True, slots=True)
class Habits:
    """One caller's; seconds. None and empty: it has not the habit.

    Attributes:
        over_greeting_s: asks its first question so long after the greeting began, over it.
        barge_in_s: asks the questions `barge_in_turns` (from 1 on) so long after the reply before began, over it.
        hang_up_s: hangs up so long after it first heard an agent, whatever goes on.
        quiet: asks nothing, and stays until it hangs up; needs `hang_up_s`.
        abandon_s: leaves when it has heard no agent so long after it joined.
    """

    over_greeting_s: float | None = None
    barge_in_s: float | None = None
    barge_in_turns: frozenset[int] = frozenset()
    hang_up_s: float | None = None
    quiet: bool = False
    abandon_s: float | None = None


@dataclass
class HabitualDialogue(Dialogue):
    """A dialogue of a caller with habits.

    A question that is said over the agent is no cut-in of the agent's; how long the agent went on is the turn's
    `stop_s`. A question that the caller did not wait for, because it hung up by its own will, is none.
    """

    habits: Habits = field(default_factory=Habits)
    _over: bool = field(default=False, init=False)  # the question under way is said over the agent

    def tick(self, now_s: float) -> Action | None:
        if self.step is Step.DONE:
            return super().tick(now_s)
        leave_s, abandon_s, over_s = self._leave_at(), self._abandon_at(), self._over_at()
        if leave_s is not None and now_s >= leave_s:
            self._judge_absence(now_s)
            self._withdraw(now_s)
            self._finish(now_s)
            return HangUp("hangup")
        if abandon_s is not None and now_s >= abandon_s:
            self._finish(now_s)
            return HangUp("patience")
        if over_s is not None and now_s >= over_s:
            self.step, self._talked_over, self._over = Step.ASKING, False, True
            return Ask(len(self._turns))
        return super().tick(now_s)

    def due_s(self) -> float | None:
        own = [self._leave_at(), self._abandon_at(), self._over_at()]
        if self.habits.quiet and self.step is Step.LISTENING:
            own.append(None if self._gone_since is None or self.cut else self._gone_since + self.behavior.cut_after_s)
        else:
            own.append(super().due_s())
        return min((at for at in own if at is not None), default=None)

    def voice_ended(self, who: str, t_s: float) -> None:
        super().voice_ended(who, t_s)
        turn = self._turns[-1] if self._turns else None
        if turn is not None and turn.barge_in and turn.stop_s is None and not self._voices.speaking:
            turn.stop_s = max(0.0, t_s - turn.asked_s)

    def asked(self, start_s: float, t0_s: float) -> None:
        over, self._over = self._over, False
        if not over or not self._voices.speaking:
            # The agent was done before the question began, or began anew.
            super().asked(start_s, t0_s)
            return
        self._turns.append(Turn(asked_s=start_s, t0_s=t0_s, barge_in=True))
        self.step = Step.WAITING
        self.note("asked", start_s)
        self.note("barge_in", start_s)

    # --- inside ---

    def _hear_reply(self, turn: Turn, t_s: float) -> None:
        if turn.barge_in and t_s < turn.t0_s:
            turn.stop_s = None  # It had only paused.
            return
        super()._hear_reply(turn, t_s)

    def _may_speak(self, now_s: float) -> bool:
        return not self.habits.quiet and super()._may_speak(now_s)

    def _leave_at(self) -> float | None:
        after_s, heard_s = self.habits.hang_up_s, self.first_voice_s
        return None if after_s is None or heard_s is None else heard_s + after_s

    def _abandon_at(self) -> float | None:
        after_s = self.habits.abandon_s
        return None if after_s is None or self.step is not Step.GREETING else self.joined_s + after_s

    def _over_at(self) -> float | None:
        following = len(self._turns)
        if self.step is not Step.LISTENING or not self._voices.speaking or following >= len(self.texts):
            return None
        if following == 0:
            after_s = self.habits.over_greeting_s
        else:
            after_s = self.habits.barge_in_s if following in self.habits.barge_in_turns else None
        return None if after_s is None or self.habits.quiet else self._listen_since + after_s

    def _withdraw(self, now_s: float) -> None:
        waiting = self.step is Step.WAITING and self._turns
        if waiting and now_s < self._turns[-1].t0_s + self.behavior.turn_timeout_s:
            self._turns.pop()
