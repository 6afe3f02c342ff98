"""Decides whether the session still hears its caller. Pure: no clock, no I/O.

    listening --loud frames, and the session shows nothing of it--> suspected --it was speech--> deaf
        ^                                                              |
        '---- a reaction; or it was no speech (longer and longer before the next suspicion) ----'

Energy only says when to look: it takes music and noise for speech. The sound since the evidence began is then judged
by a voice detector of our own (see `judged_unheard`), so a session that rightly ignores a noise is never called deaf.

Deafness begins with the first loud frame that had no consequence. It is found `REACTS_S` later at the earliest, and
within 6 s once `ENOUGH_S` of speech were said in that time. A short question (`SHORT_S`) is enough where a voice
detector runs, a second later; less than that is a cough, or a click.
"""

from __future__ import annotations

import enum

QUIETEST_DBFS = -45.0
"""A frame below this is nobody's voice into a microphone."""
OVER_FLOOR_DB = 8.0
"""A voice stands out of the room it is in by as much."""
_FLOOR_RISES_DB_PER_S = 4.0
"""A fan that is switched on is part of the room after some seconds."""

ENOUGH_S = 1.0
SHORT_S = 0.5
"""Less, of a session with a voice detector: a caller who asked a short question says nothing more, and waits."""
ENOUGH_UNTRIED_S = 2.5
"""Of a session without a voice detector that has never shown that it hears this caller, more is asked for."""
REACTS_S = 2.0
"""A voice detector says so within 0.3 s."""
REACTS_TO_SHORT_S = 3.0
REACTS_BY_WORDS_S = 4.5
"""Where no voice detector runs, the recogniser's first word is the first sign."""
FORGOTTEN_S = 8.0
"""Evidence that nothing was added to for so long is forgotten."""
MONOLOGUE_S = 5.0
"""A turn that lasts longer is looked at: has the voice ended, and the session not seen it?"""
STUCK_S = 3.5
"""So long without a trace of a voice, and the session still takes the caller for speaking."""
STUCK_IN_NOISE_S = 6.5
"""The same while it is loud: a crowd is a voice to one detector, and none to another."""
_STUCK_AGAIN_S = 1.5
BACKGROUND_DB = 15.0
"""A voice so much softer than the caller's, as the session heard it so far, is somebody else's: a television's."""
_LEVEL_FOLLOWS = 0.05
_BEFORE_S = 0.3
WORDLESS_TURNS = 3
"""Turns in a row without a word. Each is apologised for, and opens the recogniser's stream anew: a hung stream is over
with the first, and a provider that hangs for all calls is no better for a fresh job."""
_SPEECH_RATIO = 0.7
"""So much of the evidence, of its first second at most, must be speech for sure."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 16.0


class Suspicion(enum.Enum):
    """What is asked of our own detector."""

    UNHEARD = "unheard"
    """Sound that may be speech, and no sign that the session heard it."""
    STUCK = "stuck"
    """A very long turn: there may be no voice any more."""


class DeafnessDetector:
    """Follows one call. Times are monotonic seconds, handed in."""

    def __init__(self) -> None:
        self.by_voice = True
        """A voice detector runs in the session: it shows soon that a voice began, and that it ended. Else words do, and
        a model that goes by the meaning may wait for the rest of a sentence."""
        self._floor_dbfs = 0.0
        self._tried = False
        self._caller_speaks_since_s: float | None = None
        self._caller_dbfs: float | None = None
        self._since_s: float | None = None
        self._loud_s = 0.0
        self._last_loud_s: float | None = None
        self._not_before_s = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._deaf_since_s: float | None = None
        self._wordless_since_s: float | None = None
        self._wordless = 0

    @property
    def deaf_since_s(self) -> float | None:
        """When the deafness began; None: it hears."""
        return self._wordless_since_s if self._wordless >= WORDLESS_TURNS else self._deaf_since_s

    def frame(self, now: float, level_dbfs: float, duration_s: float) -> None:
        """A frame that the session was given, loud or not."""
        loud = level_dbfs >= max(QUIETEST_DBFS, self._floor_dbfs + OVER_FLOOR_DB)
        self._floor_dbfs = min(level_dbfs, self._floor_dbfs + _FLOOR_RISES_DB_PER_S * duration_s)
        if not loud:
            return
        if self._last_loud_s is not None and now - self._last_loud_s > FORGOTTEN_S:
            self._forget()
        self._last_loud_s = now
        if self._caller_speaks_since_s is not None:
            before = level_dbfs if self._caller_dbfs is None else self._caller_dbfs
            self._caller_dbfs = before + _LEVEL_FOLLOWS * (level_dbfs - before)
            return
        if self._caller_dbfs is not None and level_dbfs < self._caller_dbfs - BACKGROUND_DB:
            return
        if self._since_s is None:
            self._since_s = now
        self._loud_s += duration_s

    def reacted(self, now: float) -> None:
        """The session heard something of the caller: a voice, a word, a turn."""
        self._tried = True
        self._pause_s, self._not_before_s = _FIRST_PAUSE_S, 0.0
        self._deaf_since_s = None
        self._forget()

    def caller_speaks(self, now: float, speaks: bool) -> None:
        """The session takes the caller for speaking, or does not any more."""
        self.reacted(now)
        self._caller_speaks_since_s = now if speaks else None

    def unheard_turn(self, now: float) -> None:
        """A turn went by of which the recogniser made nothing, and gave no other sign of life either."""
        if self._wordless_since_s is None:
            self._wordless_since_s = now
        self._wordless += 1

    def recogniser_lives(self) -> None:
        """It made something of the caller's sound, or said at least that it had looked at it."""
        self._wordless, self._wordless_since_s = 0, None

    def not_listening(self, now: float) -> None:
        """The session is not to hear now, or had no time to: nothing of before counts."""
        if self._caller_speaks_since_s is not None:
            self._caller_speaks_since_s = now
        self._deaf_since_s = None
        self._forget()

    def suspicion(self, now: float) -> Suspicion | None:
        """Whether the sound is to be judged now."""
        if self.deaf_since_s is not None or now < self._not_before_s:
            return None
        if self._caller_speaks_since_s is not None:
            long = self.by_voice and now - self._caller_speaks_since_s >= MONOLOGUE_S
            return Suspicion.STUCK if long else None
        if self._since_s is None or now - self._since_s < (REACTS_S if self.by_voice else REACTS_BY_WORDS_S):
            return None
        if self._last_loud_s is not None and now - self._last_loud_s > FORGOTTEN_S:
            self._forget()
            return None
        enough = ENOUGH_S if self._tried or self.by_voice else ENOUGH_UNTRIED_S
        if self.by_voice and now - self._since_s >= REACTS_TO_SHORT_S:
            enough = SHORT_S
        return Suspicion.UNHEARD if self._loud_s >= enough else None

    def evidence_since_s(self) -> float:
        """From when on the sound is to be judged: what the session has reacted to is no evidence."""
        return (self._since_s or 0.0) - _BEFORE_S

    def judged_stuck(self, now: float, quiet_s: float) -> None:
        """How long there has been no trace of a voice for a detector of our own, at the end of a very long turn."""
        loud = self._last_loud_s is not None and now - self._last_loud_s < STUCK_S
        if self._caller_speaks_since_s is not None and quiet_s >= (STUCK_IN_NOISE_S if loud else STUCK_S):
            self._deaf_since_s = now - quiet_s
        self._not_before_s = now + _STUCK_AGAIN_S

    def judged_unheard(self, now: float, speech_s: float) -> None:
        """How much of the sound since the evidence began was speech for a detector of our own."""
        if self._since_s is not None:
            if speech_s >= _SPEECH_RATIO * min(self._loud_s, ENOUGH_S):
                self._deaf_since_s = self._since_s
                return
            self._forget()
        self._not_before_s = now + self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)

    def unfed(self, since_s: float) -> None:
        """The session is given no sound at all since then, though there is some, or does not ask for it."""
        self._deaf_since_s = since_s

    def _forget(self) -> None:
        self._since_s, self._loud_s = None, 0.0
