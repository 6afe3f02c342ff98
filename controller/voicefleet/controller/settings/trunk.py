"""The settings of a SIP trunk: which numbers its keys may dial, how many at once and how fast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from voicefleet.contract.parsing.validation import refused
from voicefleet.controller.settings.section import Section

_PREFIX = re.compile(r"^\+?[0-9]{1,15}$")


def _prefix(text: str) -> str:
    if not _PREFIX.match(text):
        raise refused("not the beginning of a number", value=text, hint='Give for example "+49" or "+1212".')
    return text


Prefixes = tuple[Annotated[str, AfterValidator(_prefix)], ...]


class TrunkSettings(Section):
    concurrent: Annotated[int, Field(ge=0)] = Field(
        default=10, description="Calls at once, from their place in the queue on; 0: no bound."
    )
    per_s: Annotated[float, Field(gt=0, le=1000)] = Field(default=1.0, description="Numbers dialled per second.")
    prefixes: Prefixes = Field(
        default=(), description='Only numbers that begin so are dialled, such as ["+49", "+43"]; default: all.'
    )
    keys: Mapping[str, Prefixes] | None = Field(
        default=None,
        description="Names of the API keys that may use it, each with its own prefixes beside the trunk's (empty: the "
        "trunk's alone); default: every key with the role dial.",
    )
