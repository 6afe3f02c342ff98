"""What a region and its agents must agree on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.rooms import ORDERED
from voicefleet.controller.settings.agents import AgentSettings, Workers, routes_of


def check_agents(
    agents: Mapping[str, AgentSettings],
    default_agent: str | None,
    *,
    rooms: str,
    trunks: Collection[str],
    processes: bool,
    pods: bool,
) -> None:
    """Check the agents of a region. Raises what `refused` makes; the names of pools are checked where all of them are
    known.

    Args:
        rooms, trunks: the region's own.
        processes, pods: what its workers are.
    """
    if default_agent is not None and default_agent not in agents:
        raise refused(
            "no such agent",
            field="default_agent",
            value=default_agent,
            hint=f"Known: {', '.join(agents)}." if agents else "Add it to `agents`, or remove this.",
        )
    if not agents:
        return
    if trunks:
        raise refused(
            "the region has agents, and a trunk is one agent's",
            field="trunks",
            value=", ".join(trunks),
            hint="Move each under the agent whose calls are dialled on it.",
        )
    if rooms != ORDERED and not routes_of(agents, default_agent).default:
        raise refused(
            "rooms that nobody ordered an agent for need one",
            field="default_agent",
            hint=f"Name one of {', '.join(agents)}.",
        )
    for what in ("tenants", "numbers", "trunks"):
        seen: dict[str, str] = {}
        for name, agent in agents.items():
            for item in getattr(agent, what):
                if item in seen:
                    raise refused(
                        f"{seen[item]} has it too",
                        field=f"agents.{name}.{what}",
                        value=item,
                        hint="Give it to one agent.",
                    )
                seen[item] = name
    for at, part in parts_of(agents):
        if part.command is not None and not processes:
            hint = "Add `process` to the region, or remove this."
            raise refused("the region's workers are no processes", field=f"{at}.command", hint=hint)
        if part.deployment is not None and not pods:
            hint = "Add `kubernetes` to the region, or remove this."
            raise refused(
                "the region's workers are no pods", field=f"{at}.deployment", value=part.deployment, hint=hint
            )


def parts_of(agents: Mapping[str, AgentSettings]) -> Iterator[tuple[str, Workers]]:
    """Each agent and version with its path."""
    for name, agent in agents.items():
        yield f"agents.{name}", agent
        for version, settings in agent.versions.items():
            yield f"agents.{name}.versions.{version}", settings
