"""The setting `rooms`: which rooms of a LiveKit server are calls."""

from __future__ import annotations

import re

from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.rooms import ROOMS_PATTERN


def choice_of_rooms(text: object) -> object:
    """`text`, refused where it is no choice of rooms."""
    if isinstance(text, str) and not re.match(ROOMS_PATTERN, text):
        raise refused("not a choice of rooms", value=text, hint="Give ordered, all, or a prefix and a star: support-*.")
    return text
