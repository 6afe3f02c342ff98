"""What each caller of a scenario is like: drawn from its shares, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from voicefleet.callers.caller import CallerSettings
from voicefleet.callers.habits import Habits
from voicefleet.callers.swarm import CallPlan
from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.scenario import Callers
from voicefleet.speech.background import noise
from voicefleet.speech.clips import Utterance, load_utterances
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.recordings import recordings


def habits_of(callers: Callers, seed: int, call: int) -> Habits:
    """The habits of call number `call`. Each share is drawn for itself: one that is changed leaves the others alone."""
    rng = np.random.default_rng([seed, call, 1])
    quiet, hangs_up, over = rng.random(3)
    patience, barges = rng.exponential(), rng.random(callers.turns)
    leaves, silent = callers.hang_up, callers.silent
    is_quiet = silent is not None and quiet < silent.share
    hang_up_s = leaves.after_s if leaves is not None and hangs_up < leaves.share else None
    barge_in = callers.barge_in
    turns = frozenset(i for i in range(1, callers.turns) if barge_in is not None and barges[i] < barge_in.share)
    return Habits(
        over_greeting_s=callers.over_greeting.after_s
        if callers.over_greeting is not None and over < callers.over_greeting.share
        else None,
        barge_in_s=barge_in.after_s if barge_in is not None and turns else None,
        barge_in_turns=turns,
        hang_up_s=silent.for_s if is_quiet and silent is not None else hang_up_s,
        quiet=is_quiet,
        abandon_s=None if callers.abandon_mean_s is None else patience * callers.abandon_mean_s,
    )


def spoken_by(callers: Callers) -> tuple[Utterance, ...]:
    """What they may say: their recordings, else ours.

    Raises:
        ConfigError: a recording that cannot be played, or fewer than a caller has questions.
    """
    if callers.recordings is None:
        return load_utterances()
    found = recordings(callers.recordings, field="callers.recordings")
    if len(found) < callers.turns:
        raise ConfigError(
            f"holds {len(found)} recordings, and each caller has {callers.turns} questions",
            field="callers.recordings",
            value=str(callers.recordings),
            hint="Add recordings, or ask for fewer turns.",
        )
    return found


class CallerMix:
    """Plans of a run's calls.

    Args:
        callers: the scenario's.
        seed: of the draws.
        settings: what all callers have in common.

    Attributes:
        background: what every caller's microphone hears beside its words; None: nothing.
    """

    def __init__(self, callers: Callers, seed: int, settings: CallerSettings) -> None:
        self._callers, self._seed = callers, seed
        self.background: Samples | None = None
        if callers.noise_snr_db is not None:
            self.background = noise(callers.noise_snr_db, np.random.default_rng([seed, 2]))
        self._settings = replace(settings, background=self.background)

    def patience_s(self, call: int) -> float:
        """How long the caller asks for a place in a full fleet."""
        abandon_s = habits_of(self._callers, self._seed, call).abandon_s
        return self._callers.patience_s if abandon_s is None else min(abandon_s, self._callers.patience_s)

    def plan(self, call: int) -> CallPlan:
        """Of call number `call`."""
        settings, dtmf = self._settings, self._callers.dtmf
        if dtmf is not None and np.random.default_rng([self._seed, call, 3]).random() < dtmf.share:
            settings = replace(settings, keys=dtmf.digits)
        return CallPlan(settings, habits_of(self._callers, self._seed, call))
