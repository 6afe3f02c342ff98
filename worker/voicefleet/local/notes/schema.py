"""The examples file of a note-writing model: its fields, their limits, and how it is read.

    fallback: Sorry, could you say that again?
    ask: {day: "For which day?"}
    patterns: {day: monday|tuesday|wednesday}
    examples:
      - {call: [I want to book a table.], tool: book}
      - {call: [I want to book a table., "For which day?", On Monday.], tool: book, values: {day: monday}}
      - {call: ["Do you have parking?"], say: There is parking behind the house.}

A small model imitates: it does what it saw. Without examples of your agent's tools it is of little use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.validation import refused, validated
from voicefleet.local.data_file import data_text

_Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\n]+$")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
MOST_EXAMPLES = 60


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(_Part):
    """A call up to some turn of the caller's, and what is to be done then: exactly one of `tool` and `say`."""

    call: Annotated[tuple[_Text, ...], Field(min_length=1, max_length=9, description="Caller, agent, caller, ...")]
    tool: _Name | None = Field(default=None, description="What the caller wants, whether all it needs is known or not")
    values: dict[_Name, _Text] = Field(default_factory=dict, description="What is known of it, as a note writes it")
    say: _Text | None = Field(default=None, description="What the agent says: there is no tool to call")

    @model_validator(mode="after")
    def _one_of_both(self) -> Example:
        if (self.tool is None) == (self.say is None):
            raise refused(
                "has both tool and say" if self.tool else "says neither tool nor say",
                hint="Give the tool that is wanted, or what is said without one.",
            )
        if len(self.call) % 2 == 0:
            raise refused("ends with the agent", field="call", hint="End it with what the caller says.")
        return self


class Examples(_Part):
    """The whole file."""

    fallback: _Text = "Sorry, could you say that again?"
    ask: dict[_Name, _Text] = Field(default_factory=dict, description="Argument -> the question for it")
    patterns: dict[_Name, _Text] = Field(
        default_factory=dict, description="Argument -> regular expression of its values"
    )
    examples: Annotated[tuple[Example, ...], Field(max_length=MOST_EXAMPLES)] = ()


def read_examples(path: str | Path | None = None) -> Examples:
    """The file at `path`; the built-in one, of a restaurant's phone desk, for None.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a field is wrong; it names the field.
    """
    return parse_examples(*data_text(path, "desk_notes.yaml", "examples file"))


def parse_examples(text: str, where: str) -> Examples:
    """The file's `text`; `where` is its name, for messages. Raises ConfigError: see `read_examples`."""
    return validated(Examples, parse_yaml(text, field=where), source=where)
