"""`voicefleet endpointing`: options in; table, JSON and exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import closest
from voicefleet.endpointing.curve import DETECTORS, Row, endpointing_curve
from voicefleet.endpointing.published import PUBLISHED, SOURCE
from voicefleet.endpointing.turns import recorded_turns, synthetic_turns
from voicefleet.reporting.result import exit_code, write_json
from voicefleet.reporting.table import figures_table, print_problems, shown

_SYNTHETIC = (
    "flite's voices, whose pauses are as long as those of the benchmark's callers: that is why the row for silence"
    " alone is near the published one. They have no natural prosody, by which the models tell an end from a pause."
)
_RECORDED = "recordings of {folder}, each file one turn"
_FIGURES = ("cut_in_at_300ms", "cut_in_at_600ms", "delay_at_5pct_s", "delay_at_10pct_s")


def parse_detectors(text: str) -> tuple[str, ...]:
    """The detectors that `a,b` names, each once; all of them for an empty text.

    Raises:
        ConfigError: there is no such detector.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in DETECTORS:
            close = closest(name, DETECTORS)
            raise ConfigError(
                "is no detector",
                field="--detectors",
                value=name,
                hint=f"Did you mean {close}?" if close else f"There are {', '.join(DETECTORS)}.",
            )
    return names or DETECTORS


def endpointing(
    detectors: str, *, recordings: Path | None, seed: int, json_path: Path | None, console: Console | None = None
) -> int:
    """Judge the detectors.

    Returns:
        0 when there is a figure for every detector; 1 when the turns had no pauses to judge by.

    Raises:
        UsageError: an option is wrong, or a part is not installed.
    """
    console = console or Console()
    names = parse_detectors(detectors)
    speech = _SYNTHETIC if recordings is None else _RECORDED.format(folder=recordings)
    with console.status("making turns") as status:
        turns = synthetic_turns(seed) if recordings is None else recorded_turns(recordings)
        rows = endpointing_curve(turns, names, say=status.update)
    write_json(json_path, document(rows, speech))
    console.print(_table(rows))
    console.print(f"{rows[0].turns} turns with {rows[0].holds} pauses inside; {speech}", markup=False, highlight=False)
    console.print(f"Published: {SOURCE}.", markup=False, highlight=False)
    if not rows[0].holds:
        print_problems(console, ["no figures: no turn has a pause of 0.2 to 5 s inside. Give longer turns."])
    return exit_code(passed=bool(rows[0].holds))


def document(rows: list[Row], speech: str) -> dict[str, Any]:
    """``{"endpointing": [row, ...], "speech": what was spoken, "published": the source}``; see `Row.to_json`."""
    return {"endpointing": [row.to_json() for row in rows], "speech": speech, "published": SOURCE}


def _table(rows: list[Row]) -> Any:
    headers = ("cut in at 300 ms", "cut in at 600 ms", "delay at 5 %", "delay at 10 %", "ms an answer")
    table = figures_table("Ends of turns", "detector", headers)
    for row in rows:
        ours = row.to_json()
        table.add_row(row.detector, *(_cell(name, ours[name]) for name in _FIGURES), shown(ours["ask_ms"], digits=0))
        told = PUBLISHED[row.detector]
        table.add_row("  published", *(_cell(name, told[name]) for name in _FIGURES), "")
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if name.startswith("cut_in") else f"{value:.2f} s"
