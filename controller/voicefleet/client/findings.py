"""How findings look in a terminal: the same in every command."""

from __future__ import annotations

from rich.text import Text

from voicefleet.contract.api import RegionView
from voicefleet.contract.health import HealthState

STYLES = {
    HealthState.OK: "",
    HealthState.DEGRADED: "yellow",
    HealthState.UNKNOWN: "bold magenta",
    HealthState.FAILING: "bold red",
}


def finding_lines(view: RegionView) -> list[Text]:
    """What is wrong with one region, and what to do about it: two lines for each finding."""
    lines = []
    for finding in view.findings:
        lines.append(Text(f"{view.region} is {finding.state}: {finding.cause}", style=style_of(finding.state)))
        lines.append(Text(f"  -> {finding.hint}"))
    return lines


def style_of(word: str) -> str:
    """The style of a state; that of a newer release's has none."""
    return STYLES[HealthState(word)] if word in list(HealthState) else ""
