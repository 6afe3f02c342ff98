"""The format of a task file: what it may hold, its limits, and what a mistake in it is told. Nothing is read here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet.contract.parsing.validation import check_all, nearest, refused

_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
_Seconds = Annotated[float, Field(ge=0, le=20)]


class Goal(StrEnum):
    """What a task is for: results are told by goal as well."""

    BOOK = "book"
    CHANGE = "change"
    CANCEL = "cancel"
    LOOK_UP = "look_up"
    ASK = "ask"
    SPELL = "spell"
    CORRECT = "correct"
    NUMBER = "number"
    OUT_OF_ORDER = "out_of_order"
    REFUSE = "refuse"
    CHANGE_MIND = "change_mind"
    SPEAK_OVER = "speak_over"
    COUGH = "cough"
    BACKCHANNEL = "backchannel"
    SIDE_TALK = "side_talk"
    PAUSE = "pause"
    OTHER = "other"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pause(_Part):
    """Silence inside a turn: the caller thinks, and is not done."""

    pause_s: Annotated[float, Field(gt=0, le=5)]


class CallerLine(_Part):
    """One thing that the caller utters: exactly one of `say`, `aside`, `sound` and `file`."""

    say: _Text | tuple[_Text | Pause, ...] | None = Field(default=None, description="A turn; a list has pauses in it")
    aside: _Text | None = Field(default=None, description="Said to somebody else in the room: fainter")
    sound: Literal["cough", "backchannel"] | None = None
    file: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Your recording: mono 16-bit WAV, beside the task file; needs `text`"
    )
    text: _Text | None = Field(default=None, description="The words of `file`, or of a backchannel (`uh-huh`)")
    over_s: _Seconds | None = Field(
        default=None, description="Uttered so long after the agent began to speak, over its voice, not after it"
    )

    @model_validator(mode="after")
    def _one_thing(self) -> CallerLine:
        named = [name for name in ("say", "aside", "sound", "file") if getattr(self, name) is not None]
        if len(named) != 1:
            what = f"has {' and '.join(named)}" if named else "says nothing"
            raise refused(what, hint="Give exactly one of say, aside, sound and file.")
        if self.file is not None and self.text is None:
            raise refused("is missing", field="text", hint="Write the words of the recording.")
        if isinstance(self.say, tuple) and not any(isinstance(part, str) for part in self.say):
            raise refused("has no words", field="say", hint="Give words beside the pauses.")
        if self.sound is not None and self.over_s is None:
            raise refused("is missing", field="over_s", hint="Say how long after the agent's first word it comes.")
        return self


class Caller(_Part):
    """Who calls and what it utters."""

    turns: Annotated[tuple[CallerLine, ...], Field(max_length=20)]
    answers: dict[_Name, CallerLine | _Text] = Field(
        default_factory=dict, description="What the caller says when asked: a name in the file's `questions` -> a line"
    )
    voice: Literal["slt", "awb", "rms", "kal16"] | None = Field(
        default=None, description="The voice; left out: one by the seed"
    )
    snr_db: Annotated[float, Field(ge=0, le=60)] | None = Field(
        default=None, description="Noise in the caller's room, so many decibels below its voice; left out: none"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Caller:
        # Not a `min_length`: of a list with one mistake in it that would be a second one.
        if not self.turns:
            raise refused("is empty", field="turns", hint="Add what the caller says.")
        return self


class Checks(_Part):
    """What must hold when the call is over."""

    calls: tuple[dict[_Name, dict[_Name, Any]], ...] = Field(
        default=(), description="Tool -> arguments: a call with at least these arguments was made and did not fail"
    )
    not_called: tuple[_Name, ...] = Field(default=(), description="Tools that were not called with success")
    state: dict[str, Any] | None = Field(
        default=None, description="The final state has at least this; a list must be equal, in any order"
    )
    said: tuple[_Text, ...] = Field(default=(), description="The agent said each; `a|b`: one of them")
    not_said: tuple[_Text, ...] = Field(default=(), description="The agent said none of them")

    @model_validator(mode="after")
    def _checks_something(self) -> Checks:
        if not (self.calls or self.not_called or self.state or self.said or self.not_said):
            raise refused("check nothing", hint="Give calls, not_called, state, said or not_said.")
        for number, call in enumerate(self.calls):
            if len(call) != 1:
                raise refused("must name one tool", field=f"calls.{number}", hint="Write `- tool: {argument: value}`.")
        return self


class Task(_Part):
    """One short call."""

    id: _Id
    goal: Goal
    part: Literal["tuning", "heldout"] = "tuning"
    caller: Caller
    checks: Checks
    metadata: dict[str, Any] = Field(default_factory=dict, description="The call's metadata, for the agent, as JSON")


class TaskFile(_Part):
    """A whole task file."""

    tools: dict[_Name, tuple[_Name, ...]] = Field(
        default_factory=dict, description="The agent's tools and their arguments; then a check of another is refused"
    )
    questions: dict[_Name, tuple[_Text, ...]] = Field(
        default_factory=dict, description="Name -> words of the agent by which it asks for it"
    )
    repeat_when: tuple[_Text, ...] = Field(
        default=(), description="Words of the agent after which the caller says its last turn again, twice at most"
    )
    tasks: tuple[Task, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> TaskFile:
        if not self.tasks:
            raise refused("is empty", field="tasks", hint="Add a task.")
        check_all(
            self._each_id_once,
            *(lambda n=n, t=t: self._known(f"tasks.{n}", t) for n, t in enumerate(self.tasks)),
        )
        return self

    def _each_id_once(self) -> None:
        seen: set[str] = set()
        for number, task in enumerate(self.tasks):
            if task.id in seen:
                raise refused(
                    "another task has this id", field=f"tasks.{number}.id", value=task.id, hint="Give each its own."
                )
            seen.add(task.id)

    def _known(self, at: str, task: Task) -> None:
        _require(task.caller.answers, self.questions, f"{at}.caller.answers", "no such question in `questions`")
        if not self.tools:
            return
        _require(task.checks.not_called, self.tools, f"{at}.checks.not_called", "the agent has no such tool")
        for number, call in enumerate(task.checks.calls):
            _require(call, self.tools, f"{at}.checks.calls.{number}", "the agent has no such tool")
            for tool, arguments in call.items():
                _require(arguments, self.tools[tool], f"{at}.checks.calls.{number}.{tool}", "no such argument")


def _require(names: Iterable[str], known: Mapping[str, Any] | Iterable[str], field: str, what: str) -> None:
    for name in names:
        if name not in known:
            raise refused(what, field=f"{field}.{name}", hint=nearest(name, known))
