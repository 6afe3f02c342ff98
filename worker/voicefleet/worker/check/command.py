"""`voicefleet check`: runs the probe in a process of its own, and says what it found."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from voicefleet.contract.errors import ConfigError, Mistakes
from voicefleet.reporting.result import exit_code, write_json
from voicefleet.reporting.table import print_problems
from voicefleet.worker.check.findings import Findings, from_json, lines
from voicefleet.worker.server.settings import DEFAULT_AGENT

LIMIT_S = 60.0
"""For the imports, `setup_fnc` and the entrypoint together."""
_TAIL = 12


def check(
    target: str,
    tiers: str,
    *,
    any_variable: bool = False,
    json_path: Path | None = None,
    console: Console | None = None,
) -> int:
    """Say what the fleet would do with the agent `target`; empty: with the built-in assistant.

    Args:
        any_variable: environment variables that the tiers name are set where it will run, if not here.
        tiers: a file or a built-in; empty: what a worker would take for this agent.

    Returns:
        0 when calls would be served; 1 when its code starts no session.

    Raises:
        ConfigError: `target` or `tiers` is wrong, or it does not load.
    """
    console = console or Console(soft_wrap=True)
    found = probe(target or DEFAULT_AGENT, tiers, any_variable=any_variable)
    write_json(json_path, found.to_json())
    for line in lines(found):
        console.print(line, markup=False, highlight=False)
    print_problems(console, found.problems)
    if found.passed:
        console.print("Calls would be served.", style="bold green")
    return exit_code(passed=found.passed)


def probe(target: str, tiers: str, *, any_variable: bool = False) -> Findings:
    """What a process of its own finds. Raises as `check` does."""
    with tempfile.TemporaryDirectory(prefix="voicefleet-check-") as directory:
        result = Path(directory) / "result.json"
        command = [sys.executable, "-m", "voicefleet.worker.check.probe", target, tiers, str(result)]
        command += ["--any-variable"] if any_variable else []
        try:
            ran = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ConfigError(
                f"its imports, setup and entrypoint did not end within {LIMIT_S:.0f} s",
                field="--agent",
                value=target,
                hint="Nothing at a module's top level, nor in setup_fnc, may wait for long.",
            ) from error
        if not result.exists():
            tail = "\n".join(ran.stderr.decode(errors="replace").splitlines()[-_TAIL:])
            raise ConfigError(
                f"the process that ran it ended with code {ran.returncode}; its last lines:\n{tail}",
                field="--agent",
                value=target,
                hint="Mend what they say.",
            )
        document = json.loads(result.read_text())
    mistakes = Mistakes("the agent and its tiers")
    for one in document.get("refused", ()):
        with mistakes.noted():
            raise ConfigError(one["what"], field=one["field"], value=one["value"], hint=one["hint"])
    mistakes.refuse()
    return from_json(document["findings"])
