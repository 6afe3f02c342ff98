"""The catalogue of metrics: the one place where a metric's name, unit, labels and buckets are written.

Code, dashboards, alerts and documents read it. Labels never carry a room, call, participant or trace id: every label
here has a small, closed set of values. `region` stands on the controller's metrics, because one controller speaks for
many regions; a worker's region comes from its scrape target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `name` has no ``_total`` suffix: the exposition adds it to counters."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LATENCY_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_WAIT_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
_STARTUP_S = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0)

# worker
TURN_TTFA = Metric(
    "voicefleet_turn_ttfa_seconds",
    "histogram",
    "Caller's end of speech to the agent's first audio, as the agent sees it (without the network).",
    ("tier",),
    _LATENCY_S,
)
TURNS = Metric("voicefleet_turns", "counter", "Turns of callers, by how they ended.", ("outcome",))
CALLS = Metric("voicefleet_calls", "counter", "Calls that a worker served, by how they ended.", ("result",))
JOB_REQUESTS = Metric("voicefleet_job_requests", "counter", "Offers of a call, by the worker's answer.", ("answer",))
CALLS_ACTIVE = Metric("voicefleet_calls_active", "gauge", "Calls in progress on this worker.")
SLOTS = Metric("voicefleet_slots", "gauge", "Calls this worker can serve at once.")
WORKER_STARTUP = Metric(
    "voicefleet_worker_startup_seconds", "histogram", "Process start to registered.", ("phase",), _STARTUP_S
)
REPORT_FAILURES = Metric("voicefleet_report_failures", "counter", "Reports to the controller that Redis did not take.")
OBSERVATIONS_DROPPED = Metric(
    "voicefleet_observations_dropped", "counter", "Lines from job processes that could not be read."
)
PROVIDER_FAILURES = Metric(
    "voicefleet_provider_failures", "counter", "Failed requests to STT, LLM and TTS, by how.", ("stage", "kind")
)
FALLBACKS = Metric("voicefleet_fallbacks", "counter", "Providers given up for the next of their stage.", ("stage",))
APOLOGIES = Metric(
    "voicefleet_apologies", "counter", "Recorded words said because nothing else came in time, by why.", ("reason",)
)

MEMORY_LOST = Metric("voicefleet_memory_lost", "counter", "Parts of calls' memory that were lost, by why.", ("reason",))
RESUMED = Metric("voicefleet_calls_resumed", "counter", "Calls taken over from another agent, by why.", ("why",))

# controller
CALLS_WAITING = Metric("voicefleet_calls_waiting", "gauge", "Callers in a room without an agent.", ("region",))
CALLS_LIVE = Metric("voicefleet_calls_live", "gauge", "Calls with a claim.", ("region",))
CALL_WAIT = Metric(
    "voicefleet_call_wait_seconds", "histogram", "Caller joined to claim, for calls that waited.", ("region",), _WAIT_S
)
DISPATCHES = Metric(
    "voicefleet_dispatches", "counter", "Dispatches the controller made for waiting calls.", ("region", "result")
)
RECOVERIES = Metric(
    "voicefleet_recoveries", "counter", "Calls taken from a dead or stalled job, by what told.", ("region", "reason")
)
RECOVERY_DETECTION = Metric(
    "voicefleet_recovery_detection_seconds",
    "histogram",
    "Last sign of life of a dead or stalled job to the moment its call was free for another.",
    ("region", "reason"),
    _WAIT_S,
)
PROBES = Metric("voicefleet_probes", "counter", "Agents asked through LiveKit whether they live.", ("region", "result"))
HANDOFFS = Metric(
    "voicefleet_handoffs", "counter", "Live calls sent to another worker, by how it went.", ("region", "result")
)
BLIND_DISPATCHES = Metric(
    "voicefleet_blind_dispatches", "counter", "Dispatches by what LiveKit alone shows, Redis being away.", ("region",)
)
WORKERS_KILLED = Metric(
    "voicefleet_workers_killed", "counter", "Workers without a call, ended because they hung.", ("region",)
)
HOLD_MESSAGES = Metric(
    "voicefleet_hold_messages", "counter", "Hold messages to waiting callers, by how they ended.", ("region", "result")
)
WEBHOOKS = Metric("voicefleet_webhooks", "counter", "Webhooks from LiveKit, by what came of them.", ("result",))
API_REQUESTS = Metric(
    "voicefleet_api_requests", "counter", "Requests to /v1, by route and status.", ("route", "status")
)
WORKERS = Metric("voicefleet_workers", "gauge", "Workers by state.", ("region", "state"))
SCALER_DESIRED = Metric("voicefleet_scaler_desired_workers", "gauge", "Workers the scaler wants.", ("region",))
SCALER_MIN = Metric("voicefleet_scaler_min_workers", "gauge", "Least workers allowed.", ("region",))
SCALER_MAX = Metric("voicefleet_scaler_max_workers", "gauge", "Most workers allowed.", ("region",))
SCALER_DECISIONS = Metric(
    "voicefleet_scaler_decisions", "counter", "Decisions, by reason.", ("region", "direction", "reason")
)
SCALER_LAST_SUCCESS = Metric(
    "voicefleet_scaler_last_success_timestamp_seconds", "gauge", "Unix time of the last whole tick.", ("region",)
)
OBSERVE_FAILURES = Metric(
    "voicefleet_observe_failures", "counter", "Reads that failed, so the state was unknown.", ("region", "source")
)

CATALOGUE: tuple[Metric, ...] = tuple(v for v in list(globals().values()) if isinstance(v, Metric))
