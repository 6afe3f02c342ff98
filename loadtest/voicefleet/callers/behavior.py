"""A simulated caller's timeouts and the actions it can take. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract.errors import ConfigError
from voicefleet.speech.clips import Utterance


@dataclass(frozen=True, slots=True)
class CallerBehavior:
    """How a caller behaves; all in seconds.

    Attributes:
        turn_timeout_s: silence, after joining or after a question, that makes the call `silent`.
        patience_s: silence after which the caller hangs up.
        settle_s: quiet after the agent's last voiced sample before the next question.
        cut_after_s: absence of every agent, once there was one, that makes the call `cut`.
        max_listen_s: a voice that goes on longer is asked over.
        detection_lag_s: how late a voice may be reported.
    """

    turn_timeout_s: float = 10.0
    patience_s: float = 60.0
    settle_s: float = 0.65
    cut_after_s: float = 10.0
    max_listen_s: float = 60.0
    detection_lag_s: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.turn_timeout_s <= self.patience_s:
            raise ConfigError(
                "the caller would hang up before silence counts",
                field="patience_s",
                value=self.patience_s,
                hint=f"Use at least turn_timeout_s = {self.turn_timeout_s}, which is above 0.",
            )


@dataclass(frozen=True, slots=True)
class Ask:
    """Say question `index` now, then report `asked()`."""

    index: int


@dataclass(frozen=True, slots=True)
class Say:
    """Say this now, whatever the agent does, then report `asked()`."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class HangUp:
    """Leave the room. `reason`: done, patience, or disconnected."""

    reason: str


Action = Ask | Say | HangUp
