"""The probe: the controller asks an agent through LiveKit whether it lives, past Redis and the worker's main process.

The controller sends data of topic `PROBE_TOPIC` to the agent alone; the payload is a nonce. The agent sets its
attribute `ALIVE_ATTRIBUTE` to that nonce. A process that is stopped, dead or cut off from LiveKit does not.
"""

from __future__ import annotations

PROBE_TOPIC = "voicefleet.probe"
MAX_NONCE_BYTES = 64
ALIVE_ATTRIBUTE = "voicefleet.alive"

WORKER_ATTRIBUTE = "voicefleet.worker"
"""Set on every agent of this fleet: its worker. A team may have other agents in a room; they are not ours to judge."""
