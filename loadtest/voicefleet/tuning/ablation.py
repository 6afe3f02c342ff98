"""What each option is worth: its settings' calls against those of the other options, on the same tasks. Pure.

Only the first round counts, in which every setting played the same tasks; the settings were picked so that each option
stands about equally often (`space.balanced`). So a difference is the option's, up to chance, which the intervals tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.scoring.score import Scores, score
from voicefleet.tasks.record import TaskRecord
from voicefleet.tuning.space import Candidate
from voicefleet.tuning.trial_log import Round


@dataclass(frozen=True, slots=True)
class OptionWorth:
    """One option's scores, of so many settings that have it."""

    axis: str
    option: str
    settings: int
    scores: Scores


def worth_of_options(
    settings: Sequence[Candidate], rounds: Sequence[Round], records: Sequence[TaskRecord]
) -> tuple[OptionWorth, ...]:
    """Each option of each axis on which the settings differ, in the space's order."""
    if not rounds:
        return ()
    plays = set(rounds[0].plays)
    first = [r for r in records if (r.task, r.trial) in plays]
    found = []
    for axis in settings[0].options:
        options = list(dict.fromkeys(c.options[axis] for c in settings))
        for option in options if len(options) > 1 else ():
            names = {c.name for c in settings if c.options[axis] == option}
            found.append(OptionWorth(axis, option, len(names), score([r for r in first if r.config in names])))
    return tuple(found)
