"""`voicefleet loadtest compare`: two results in, a table and an exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.loadtest.comparison import FEWEST, LATENCIES, Change, Compared, compare
from voicefleet.loadtest.result import Verdict
from voicefleet.loadtest.stored import calls_of, read_result
from voicefleet.reporting.result import write_json
from voicefleet.reporting.table import figures_table, print_problems, shown


def compare_results(
    before: Path, after: Path, *, allowed: float, json_path: Path | None, console: Console | None = None
) -> int:
    """Compare the result in `after` with the one in `before`.

    Args:
        allowed: share by which figures may rise.

    Returns:
        0 when no figure is certainly worse, 1 when one is, 3 when one of the runs is void, 4 when one is partial: the
        loads were not the same.

    Raises:
        ConfigError: a file that is no result, or one with too few calls to tell anything.
    """
    console = console or Console()
    require_between("allow", allowed, 0.0, 10.0)
    documents = [read_result(before), read_result(after)]
    calls = [calls_of(document, str(path)) for document, path in zip(documents, (before, after), strict=True)]
    for found, path in zip(calls, (before, after), strict=True):
        if len(found) < FEWEST:
            raise ConfigError(
                f"has {len(found)} calls, and fewer than {FEWEST} tell nothing",
                field="RESULT",
                value=str(path),
                hint="Run it with more calls.",
            )
    void = [
        str(path) for document, path in zip(documents, (before, after), strict=True) if document["verdict"] == "void"
    ]
    timeouts = {document.get("turn_timeout_s", 10.0) for document in documents}
    if len(timeouts) > 1:
        raise ConfigError(
            "the runs have different turn time-outs, so their unanswered turns do not compare",
            field="RESULT",
            value=str(after),
            hint="Run both with the same callers.",
        )
    rows = compare(calls[0], calls[1], allowed=allowed, timeout_s=timeouts.pop())
    partial = [str(path) for document, path in zip(documents, (before, after), strict=True) if document.get("missing")]
    if void or partial:
        verdict = Verdict.VOID if void else Verdict.PARTIAL
    else:
        verdict = Verdict.BAD if any(row.change is Change.WORSE for row in rows) else Verdict.GOOD
    write_json(json_path, _document(rows, verdict))
    _show(rows, console, before, after)
    print_problems(console, [f"void: the load generator was too late in {path}" for path in void])
    print_problems(console, [f"partial: a part of the load is missing in {path}" for path in partial])
    if verdict is Verdict.BAD:
        worse = ", ".join(row.figure for row in rows if row.change is Change.WORSE)
        print_problems(console, [f"worse: {worse}"])
    elif verdict is Verdict.GOOD:
        sentence = f"not worse: nothing rose by more than {allowed:.0%} beyond chance"
        console.print(sentence, style="bold green", markup=False, highlight=False)
    return verdict.exit_code


def _document(rows: list[Compared], verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict.value, "figures": [row.to_json() for row in rows]}


def _show(rows: list[Compared], console: Console, before: Path, after: Path) -> None:
    table = figures_table(f"{before.name} -> {after.name}", "", ("before", "after", "change", "95 % interval", "found"))
    for row in rows:
        latency = row.figure in LATENCIES
        unit = " s" if latency else ""
        change = None
        if row.before is not None and row.after is not None:
            change = row.after - row.before if not latency else row.after / row.before - 1 if row.before else None
        interval = "–" if row.low is None else f"{row.low:+.1%} to {row.high:+.1%}"
        table.add_row(
            row.figure,
            shown(row.before, unit, 3),
            shown(row.after, unit, 3),
            "–" if change is None else f"{change:+.1%}",
            interval,
            row.change.value,
        )
    console.print(table)
