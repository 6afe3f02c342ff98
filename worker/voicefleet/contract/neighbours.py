"""Other agents in a room: those of the fleet, and neighbours, which are of the team's own workers.

A neighbour answers to the fleet's agent name and is no agent of the fleet: a worker outside the fleet took the call and
serves it. Any other agent (a transcriber, an avatar's voice) serves nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from voicefleet.contract.probe import WORKER_ATTRIBUTE

AGENT_NAME_ATTRIBUTE = "lk.agent_name"
"""LiveKit's server sets it on every agent that came by a dispatch: the name that its worker registered with."""


def is_neighbour(attributes: Mapping[str, str], agent_name: str) -> bool:
    """Whether a participant of kind AGENT is of a worker outside the fleet, under the fleet's `agent_name`."""
    outside = WORKER_ATTRIBUTE not in attributes
    return bool(agent_name) and outside and attributes.get(AGENT_NAME_ATTRIBUTE) == agent_name
