"""`voicefleet soak`: options in; verdict, JSON and exit code out."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from voicefleet.chaos.session import Document, run_to_result
from voicefleet.chaos.soak.plan import SoakOptions
from voicefleet.chaos.soak.run import Soak, run_soak
from voicefleet.reporting.table import figures_table, print_problems


def soak(options: SoakOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Soak until the time is over.

    Returns:
        0 when all counts add up and nothing grew; 1 otherwise; 130 after Ctrl-C, with every process ended; what was
        seen by then is written and shown.

    Raises:
        MissingPartError: livekit-server or Redis is not there.
    """
    seen = Soak()

    def result(facts: Document) -> Document | None:
        made = {**seen.result(), **facts, "seed": options.seed}
        return {**made, "passed": made["passed"] and facts["complete"]} if seen.runs else None

    return run_to_result(
        lambda clock, say: run_soak(options, clock, say, seen), result, show, json_path, console or Console()
    )


def show(result: Document, console: Console) -> None:
    """Print a result."""
    for title in ("calls", "turns", "claims"):
        counts = result[title] or {}
        console.print(f"{title}: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
    if result["growth"]:
        made = figures_table("when idle", "what", ("most before", "least after", "allowed more", "samples"))
        for one in result["growth"]:
            figures = (f"{one[name]:g} {one['unit']}".strip() for name in ("before", "after", "allowance"))
            made.add_row(one["what"], *figures, str(one["samples"]))
        console.print(made)
    print_problems(console, result["problems"])
    verdict = "good" if result["passed"] else "bad"
    console.print(f"{len(result['rounds'])} rounds, {result['wall_s']} s, seed {result['seed']}: {verdict}")
