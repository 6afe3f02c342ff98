"""Tells what the caller's speech into the agent's voice was: barge-in, backchannel, or false. Pure; times in seconds.

A barge-in makes the agent stop and cuts its reply. A backchannel ("mhm") ends while the agent speaks on. What made the
agent stop and was no speech after all is false: the agent goes on.
"""

from __future__ import annotations

from voicefleet.worker.telemetry.observations import Interruption


class Interruptions:
    """Follows both voices; gives each interruption once, when it is known what it was."""

    def __init__(self) -> None:
        self._agent_speaks = False
        self._onset_s: float | None = None
        self._stopped_s: float | None = None
        self._cut = False

    def agent(self, speaks: bool, at_s: float) -> Interruption | None:
        """The agent begins or ends to speak."""
        self._agent_speaks = speaks
        if speaks or self._onset_s is None or self._stopped_s is not None:
            return None
        self._stopped_s = at_s
        return self._settled()

    def caller(self, speaks: bool, at_s: float) -> Interruption | None:
        """The caller begins or ends to speak."""
        if speaks:
            if self._agent_speaks:
                self._onset_s, self._stopped_s, self._cut = at_s, None, False
            return None
        if self._onset_s is None or self._stopped_s is not None or self._cut:
            return None
        self._onset_s = None
        return Interruption("backchannel")

    def reply_cut(self) -> Interruption | None:
        """The agent's reply was cut short by the caller."""
        self._cut = True
        return self._settled()

    def was_false(self) -> Interruption | None:
        """The agent had stopped for something that was no speech."""
        self._onset_s = self._stopped_s = None
        return Interruption("false")

    def _settled(self) -> Interruption | None:
        if self._onset_s is None or self._stopped_s is None or not self._cut:
            return None
        stop_s = max(0.0, self._stopped_s - self._onset_s)
        self._onset_s = self._stopped_s = None
        self._cut = False
        return Interruption("barge_in", stop_s)
