"""`voicefleet explain POOL`: why a pool has the size it has."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from voicefleet.contract.api import DecisionView
from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError
from voicefleet.reporting.result import write_json
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient


def explain(
    pool: str, controller: str | None, *, limit: int, json_path: Path | None, console: Console | None = None
) -> int:
    """Print the pool's last decisions, the newest first, with their numbers.

    Raises:
        UsageError: no such pool, or the controller refuses or does not answer.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    decisions = asyncio.run(_ask(controller))
    mine = [d for d in decisions if d.region == pool]
    if not mine:
        known = ", ".join(sorted({d.region for d in decisions})) or "none yet"
        raise ConfigError(
            "the controller has not decided for a pool of this name",
            field="POOL",
            value=pool,
            hint=f"Known: {known}.",
        )
    write_json(json_path, {"decisions": [d.model_dump(mode="json") for d in mine[:limit]]})
    for decision in mine[:limit]:
        why = f"{decision.reason}; nothing was done about it" if decision.shadow else decision.reason
        console.print(f"{decision.at}  desired {decision.desired}: {decision.detail} ({why})", markup=False)
    return 0


async def _ask(controller: str | None) -> list[DecisionView]:
    access = controller_access(controller)
    async with ControllerClient(access.url, key=access.key) as client:
        try:
            return await client.decisions(limit=1000)
        except UnknownStateError as error:
            raise UnreachableError(
                str(error), field="--controller", value=access.url, hint="Start it, or give its address."
            ) from error
