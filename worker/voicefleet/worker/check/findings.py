"""What `voicefleet check` finds: values, their JSON and their text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STAGES = ("stt", "llm", "tts", "vad")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        team: the provider that the team's session or agent brings; empty: none.
        used: the provider that serves calls; empty: none.
        whose: `tier`, `team` or `none`.
        limit_s: longest wait for its output.
    """

    team: str = ""
    used: str = ""
    whose: str = "none"
    limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The whole result.

    Attributes:
        form: factory, entrypoint or server.
        tier: the tier of a call that names none.
        reached: a session was started, or the factory gave an agent; else the rest is not known.
        stages: by name; empty where not reached.
        turns: who decides when the caller has finished, and how.
        agent: class of the first agent.
        hooks: hook -> whether the team has it.
        moves: agent class -> how it moves to another worker, or why it does not.
        notes: what else is done with the team's settings, in sentences.
        problems: why calls would not be served well, in sentences.
    """

    target: str
    form: str
    tier: str
    reached: bool = False
    stages: Mapping[str, Stage] = field(default_factory=dict)
    turns: str = ""
    agent: str = ""
    hooks: Mapping[str, bool] = field(default_factory=dict)
    moves: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.reached and not self.problems

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "notes": list(self.notes), "problems": list(self.problems), "passed": self.passed}


def from_json(document: Mapping[str, Any]) -> Findings:
    """The opposite of `to_json`."""
    plain = {name: value for name, value in document.items() if name != "passed"}
    stages = {name: Stage(**stage) for name, stage in document["stages"].items()}
    return Findings(
        **{**plain, "stages": stages, "notes": tuple(document["notes"]), "problems": tuple(document["problems"])}
    )


FORMS = {
    "factory": "a factory: the fleet builds the session, and the tier's providers are in it",
    "entrypoint": "an entrypoint: the team builds the session and starts it",
    "server": "an AgentServer: the team builds the session and starts it",
}


def lines(found: Findings) -> list[str]:
    """The findings as text, without the problems."""
    rows = [("agent", found.target), ("form", FORMS[found.form]), ("tier", found.tier)]
    rows += [(name, stage_text(stage)) for name, stage in found.stages.items()]
    if found.turns:
        rows.append(("turns", found.turns))
    has = [name for name, there in found.hooks.items() if there]
    lacks = [name for name, there in found.hooks.items() if not there]
    missing = f" (not there: {', '.join(lacks)})" if lacks else ""
    rows.append(("hooks", (", ".join(has) or "none") + missing))
    rows += [("moves", f"{name}: {how}") for name, how in found.moves.items()]
    rows += [("note", note) for note in found.notes]
    return [f"{name:<6} {text}" for name, text in rows]


def stage_text(stage: Stage) -> str:
    """One stage in words."""
    limit = "" if stage.limit_s is None else f", {stage.limit_s:g} s for its output"
    if stage.whose == "tier":
        return f"{stage.used} of the tier{f', in place of {stage.team}' if stage.team else ''}{limit}"
    if stage.whose == "team":
        return f"{stage.used} of the agent stays{limit}"
    return "none"
