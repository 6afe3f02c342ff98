"""The rules file of the form responder: its fields, their limits, and how it is read.

fallback: Sorry, could you say that again?
slots:
  day: {kind: day, ask: For which day?}
  name: {kind: name, ask: What name is it?, keep: true}
forms:
  - tool: cancel
    words: [cancel]
    phrasings: [I cannot come after all.]
    needs: [name]
questions:
  - {words: [parking], phrasings: [Where can I leave my car?], answer: There is parking behind the house.}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.validation import nearest, refused, validated
from voicefleet.local.data_file import data_text

_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slot(_Part):
    """A value that a tool takes; its name is the tool's argument."""

    kind: Literal["name", "day", "time", "count", "digits"]
    ask: _Text
    keep: bool = Field(default=False, description="Known for the rest of the call once a tool took it")


class Form(_Part):
    """A tool, what it needs, and how callers ask for it. Of two whose words are heard the earlier one is meant."""

    tool: _Name
    words: tuple[_Text, ...] = Field(description="Words or word groups, any of which asks for it")
    phrasings: tuple[_Text, ...] = Field(default=(), description="Whole sentences that ask for it, matched by likeness")
    needs: tuple[_Name, ...] = ()
    one_of: tuple[_Name, ...] = Field(default=(), description="At least one of these as well")
    after: tuple[_Name, ...] = Field(
        default=(), description="Also meant when a slot is said after one of these tools, without asking for anything"
    )


class Question(_Part):
    """Something that is answered without a tool."""

    words: tuple[_Text, ...]
    phrasings: tuple[_Text, ...] = ()
    answer: _Text
    drops: bool = Field(default=False, description="The form that was being filled is given up")


class Rules(_Part):
    """The whole file."""

    greeting: _Text = "Hello, how can I help you?"
    follow_up: _Text = "Is there anything else?"
    fallback: _Text = "Sorry, could you say that again?"
    day_begins_at: Annotated[int, Field(ge=0, le=12)] = Field(
        default=11, description="Hour of the day: of two readings of a time (7 or 19) the first from here on"
    )
    digits_at_least: Annotated[int, Field(ge=1, le=20)] = Field(default=7, description="A shorter number is not done")
    names: tuple[_Text, ...] = Field(default=(), description="Names that a misheard one is mended to")
    slots: dict[_Name, Slot]
    forms: Annotated[tuple[Form, ...], Field(min_length=1)]
    questions: tuple[Question, ...] = ()

    @model_validator(mode="after")
    def _slots_are_there(self) -> Rules:
        for number, form in enumerate(self.forms):
            for part in ("needs", "one_of"):
                for slot in getattr(form, part):
                    if slot not in self.slots:
                        raise refused(
                            "is not one of `slots`",
                            field=f"forms.{number}.{part}",
                            value=slot,
                            hint=nearest(slot, self.slots),
                        )
        return self


def read_rules(path: str | Path | None = None) -> Rules:
    """The file at `path`; the built-in one, a restaurant's phone desk, for None.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a field is wrong; it names the field.
    """
    return parse_rules(*data_text(path, "desk.yaml", "rules file"))


def parse_rules(text: str, where: str) -> Rules:
    """The file's `text`; `where` is its name, for messages. Raises ConfigError: see `read_rules`."""
    return validated(Rules, parse_yaml(text, field=where), source=where)
