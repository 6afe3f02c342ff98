"""The options of `voicefleet dev`."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract.parsing.limits import require_between

MAX_TURNS = 12
REGION = "dev"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """One run.

    Attributes:
        agent: TARGET, as `voicefleet worker --agent` takes it.
        tiers: a file or a built-in; empty: what a worker takes for this agent.
        call: place one call as soon as the agent is ready, and end after it.
        turns: questions of a call.
        say: what the caller says in place of its own questions: sentences, or WAV files.
        reload: a new worker takes over when a file of the agent changes.
    """

    agent: str
    tiers: str = ""
    call: bool = False
    turns: int = 2
    say: tuple[str, ...] = ()
    reload: bool = True

    def __post_init__(self) -> None:
        require_between("turns", self.turns, 0, MAX_TURNS)
