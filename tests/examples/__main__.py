"""``python -m examples`` (`make examples`): the agents of `tests/agents` on a fleet, unchanged.

Exit status 0 only when every agent greeted, answered, moved in a drain, came back after a kill -9, and left nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.bare import run_bare
from examples.catalogue import Example, chosen
from examples.ordeal import Trial
from examples.report import build_result, show
from examples.run import run_examples
from voicefleet.chaos.session import run_to_result
from voicefleet.contract.errors import UsageError
from voicefleet.reporting.result import require_writable
from voicefleet.runtime.clock import Clock
from voicefleet.stack.interrupt import Say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="AGENT", help="an agent; may be repeated")
    parser.add_argument("--quick", action="store_true", help="three of them")
    parser.add_argument("--plain", action="store_true", help="as plain LiveKit agents, without voicefleet")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the result there")
    parser.add_argument("--logs", type=Path, default=None, metavar="FOLDER", help="keep the fleets' logs there")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        examples = chosen(options.only, quick=options.quick)
        if options.json is not None:
            require_writable(options.json, "--json")
        if options.plain:
            return _plain(examples, options.json, console)
        return _fleet(examples, options.json, options.logs, console)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _fleet(examples: Sequence[Example], json_path: Path | None, logs: Path | None, console: Console) -> int:
    done: list[Trial] = []
    return run_to_result(
        lambda clock, say: run_examples(examples, clock, say, done, logs),
        lambda facts: build_result(done, len(examples), facts) if done else None,
        show,
        json_path,
        console,
    )


def _plain(examples: Sequence[Example], json_path: Path | None, console: Console) -> int:
    done: list[dict[str, Any]] = []

    async def start(clock: Clock, say: Say) -> None:
        for example in examples:
            done.append(await run_bare(example, clock))
            say(f"{example.name}: {'; '.join(done[-1]['faults']) or 'good'}")

    def result(facts: dict[str, Any]) -> dict[str, Any]:
        passed = len(done) == len(examples) and not any(row["faults"] for row in done)
        return {"agents": done, "passed": passed, **facts}

    def show_plain(made: dict[str, Any], console: Console) -> None:
        good = sum(not row["faults"] for row in made["agents"])
        console.print(f"{good} of {len(examples)} run as plain LiveKit agents; {made['wall_s']} s")

    return run_to_result(start, result, show_plain, json_path, console)


if __name__ == "__main__":
    sys.exit(main())
