"""What the pods of a load test are to do: one file for all of them. Pure.

The arrivals stand in it as times, drawn once: whatever numpy or trace file a pod has, all play the same schedule.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_json
from voicefleet.contract.parsing.validation import validated
from voicefleet.loadtest.scenario import Scenario
from voicefleet.loadtest.shares import Share, share_of

VERSION = 1
FIELD = "the plan of the load test"
_HINT = "Give pods the image of the same version as the command that starts them."


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole load.

    Attributes:
        scenario: callers, target and seed count; its arrivals are `offsets_s`.
        offsets_s: intended starts of all calls, seconds since the start.
        shares: pods that play it.
        engine: who holds the calls.
    """

    scenario: Scenario
    offsets_s: tuple[float, ...]
    shares: int
    engine: str

    def share(self, index: int) -> Share:
        """What the pod of that index plays."""
        return share_of(self.offsets_s, index, self.shares)

    def to_json(self) -> str:
        """As `parse_plan` reads it."""
        scenario = self.scenario.model_dump(mode="json", exclude_defaults=True, exclude={"kubernetes", "fail_if"})
        document = {
            "v": VERSION,
            "scenario": scenario,
            "offsets_s": list(self.offsets_s),
            "shares": self.shares,
            "engine": self.engine,
        }
        return json.dumps(document, separators=(",", ":"))


def plan_of(scenario: Scenario, offsets_s: Sequence[float], shares: int, engine: str) -> Plan:
    """The plan of a scenario whose arrivals are drawn."""
    return Plan(scenario, tuple(float(offset) for offset in offsets_s), shares, engine)


def parse_plan(text: str) -> Plan:
    """The plan that `Plan.to_json` wrote.

    Raises:
        ConfigError: it is none, or another version's.
    """
    document: Any = parse_json(text, field=FIELD)
    if not isinstance(document, dict) or document.get("v") != VERSION:
        raise ConfigError("is of another version", field=FIELD, hint=_HINT)
    try:
        scenario = validated(Scenario, document["scenario"], source=FIELD)
        offsets_s = tuple(float(offset) for offset in document["offsets_s"])
        return Plan(scenario, offsets_s, int(document["shares"]), str(document["engine"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("is not what a load test writes", field=FIELD, hint=_HINT) from error
