"""Tells how each answer went down with its caller, from what comes after it. Pure; times in seconds of one clock.

An answer is judged once, when the next thing is known: the caller's next words, or the end of the call. What was said
is compared here and goes nowhere.
"""

from __future__ import annotations

from voicefleet.contract.responses import ResponseResult
from voicefleet.worker.telemetry.repeats import asks_again, same_question, says_goodbye

LEFT_AFTER_S = 3.0
"""A caller who leaves so soon after an answer left because of it."""


class Responses:
    """Follows one conversation; every method gives what is known now of the answer before, None: nothing new."""

    def __init__(self) -> None:
        self._question = ""
        self._waits = False
        """A question has no answer yet."""
        self._pending: ResponseResult | None = None
        """What the last answer is unless the caller asks again."""
        self._speaks = False
        self._ended_s: float | None = None
        self._goodbye = False
        self._done = False

    def asked(self, text: str) -> ResponseResult | None:
        """The caller's words. Empty: nobody knows them (a realtime model), so nobody knows whether it asks again."""
        before, self._pending = self._pending, None
        again = before is not None and (asks_again(text) or same_question(text, self._question))
        if not (again and asks_again(text)):
            # "What?" asks for the question before it once more.
            self._question = text
        self._waits = True
        self._goodbye = says_goodbye(text)
        return ResponseResult.ASKED_AGAIN if again else before

    def answered(self, text: str, *, interrupted: bool) -> None:
        """The agent's answer is over, or was cut short by the caller."""
        self._waits = False
        self._pending = ResponseResult.INTERRUPTED if interrupted else ResponseResult.OK
        self._goodbye = self._goodbye or says_goodbye(text)

    def unanswered(self) -> ResponseResult:
        """The question got an apology, or nothing."""
        self._waits = False
        self._pending = None
        return ResponseResult.UNANSWERED

    def agent(self, speaks: bool, at_s: float) -> None:
        """The agent begins or ends to speak."""
        self._speaks = speaks
        self._ended_s = None if speaks else at_s

    def done(self) -> None:
        """The agent reported that the caller has what it wanted."""
        self._done = True

    def over(self, gone_s: float | None, *, speaking: bool | None = None) -> ResponseResult | None:
        """The agent's part is over.

        Args:
            gone_s: when the caller left; None: the caller did not, the agent ended it, or another one goes on.
            speaking: whether the agent spoke at that moment; None: as it does now.
        """
        before, self._pending = self._pending, None
        waits, self._waits = self._waits, False
        if gone_s is None or self._goodbye or self._done:
            return before
        speaks = self._speaks if speaking is None else speaking
        if speaks and (waits or before is not None):
            return ResponseResult.HUNG_UP
        if before is ResponseResult.OK and self._ended_s is not None and gone_s - self._ended_s <= LEFT_AFTER_S:
            return ResponseResult.LEFT_AFTER
        return before
