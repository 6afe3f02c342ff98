"""`voicefleet explain POOL`: what is wrong with a pool, and why it has the size it has."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.text import Text

from voicefleet.client.findings import STYLES, finding_lines
from voicefleet.contract.api import DecisionView, RegionView
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.health import HealthState
from voicefleet.reporting.result import write_json
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient


def explain(
    pool: str, controller: str | None, *, limit: int, json_path: Path | None, console: Console | None = None
) -> int:
    """Print how well the pool's region is, with what to do, and its last decisions, the newest first.

    Returns:
        0 when the region is ok, else 1.

    Raises:
        UsageError: no such pool, or the controller refuses or does not answer.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    regions, decisions = asyncio.run(_ask(controller))
    view = next((view for view in regions if view.region == pool), None)
    if view is None:
        known = ", ".join(sorted(view.region for view in regions)) or "none"
        raise ConfigError(
            "the controller has no pool of this name, or not for this key",
            field="POOL",
            value=pool,
            hint=f"Known: {known}.",
        )
    mine = [d for d in decisions if d.region == pool][:limit]
    told = {"status": view.status, "findings": [f.model_dump(mode="json") for f in view.findings]}
    write_json(json_path, {**told, "decisions": [d.model_dump(mode="json") for d in mine]})
    state = HealthState(view.status)
    if state is HealthState.OK:
        console.print(Text(f"{pool} is ok: {view.ready} of {view.desired_workers} workers are ready"))
    for line in finding_lines(view):
        console.print(line)
    for decision in mine:
        why = f"{decision.reason}; nothing was done about it" if decision.shadow else decision.reason
        console.print(f"{decision.at}  desired {decision.desired}: {decision.detail} ({why})", markup=False)
    if not mine:
        console.print(Text("Nothing was decided for it yet.", style=STYLES[state]))
    return 0 if state is HealthState.OK else 1


async def _ask(controller: str | None) -> tuple[list[RegionView], list[DecisionView]]:
    access = controller_access(controller)
    async with ControllerClient(access.url, key=access.key) as client:
        return await ask(access.url, asyncio.gather(client.regions(), client.decisions(limit=1000)))
