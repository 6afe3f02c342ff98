"""The metrics of the controller. It speaks for many regions, so `region` is a label of its own."""

from __future__ import annotations

from voicefleet.contract.metrics import kinds
from voicefleet.contract.metrics.kinds import Metric

_RECOVERY = {
    "reason": (
        *("worker_ended", "job_ended", "not_listening", "not_renewed", "trouble", "no_claim"),
        *("deaf", "mute"),
    ),
}

CALLS_WAITING = Metric("voicefleet_calls_waiting", "gauge", "Callers in a room without an agent.", ("region",))
CALL_OLDEST_WAIT = Metric(
    "voicefleet_call_oldest_wait_seconds",
    "gauge",
    "How long the caller has waited for an agent who waits longest; 0: nobody waits.",
    ("region",),
    unit="seconds",
)
CALLS_SET_ASIDE = Metric(
    "voicefleet_calls_set_aside",
    "gauge",
    "Calls that want no agent: released on purpose, or served by a worker outside the fleet.",
    ("region",),
)
CALLS_LIVE = Metric("voicefleet_calls_live", "gauge", "Calls with a claim.", ("region",))
CALL_WAIT = Metric(
    "voicefleet_call_wait_seconds",
    "histogram",
    "Caller joined to claim, for calls that waited and got an agent.",
    ("region",),
    kinds.WAIT_S,
    unit="seconds",
)
CALLS_SILENT = Metric(
    "voicefleet_region_calls_silent",
    "gauge",
    "Calls whose caller has waited for a voice for more than 10 s, as the workers report.",
    ("region",),
)
ROOMS_UNKNOWN = Metric(
    "voicefleet_rooms_unknown",
    "gauge",
    "Rooms that LiveKit has, and whose participants it did not tell when last asked. Their calls stay as they were.",
    ("region",),
)
ABANDONED = Metric(
    "voicefleet_calls_abandoned",
    "counter",
    "Callers who left while they waited for an agent. Every replica counts them all.",
    ("region",),
)
DISPATCHES = Metric(
    "voicefleet_dispatches",
    "counter",
    "Dispatches the controller made for waiting calls.",
    ("region", "result"),
    values={"result": ("sent", "agent_there", "neighbour_there", "no_caller", "failed")},
)
RECOVERIES = Metric(
    "voicefleet_calls_recovered",
    "counter",
    "Calls taken from a dead, stalled, deaf or mute job, by what revealed it.",
    ("region", "reason"),
    values=_RECOVERY,
)
RECOVERY_DETECTION = Metric(
    "voicefleet_recovery_detection_seconds",
    "histogram",
    "Last sign of life of a dead or stalled job to the moment its call was free for another.",
    ("region", "reason"),
    kinds.WAIT_S,
    _RECOVERY,
    unit="seconds",
)
PROBES = Metric(
    "voicefleet_probes",
    "counter",
    "Agents asked through LiveKit whether they live.",
    ("region", "result"),
    values={"result": ("answered", "unanswered", "absent", "no_caller", "unknown")},
)
HANDOFFS = Metric(
    "voicefleet_calls_handed_off",
    "counter",
    "Live calls sent to another worker, by how it went.",
    ("region", "result"),
    values={"result": ("done", "failed", "ended")},
)
OUTAGE_DISPATCHES = Metric(
    "voicefleet_outage_dispatches", "counter", "Dispatches by what LiveKit alone shows, Redis being away.", ("region",)
)
DIALS = Metric(
    "voicefleet_dials",
    "counter",
    "Attempts to call a number, by how they ended.",
    ("region", "result"),
    values={"result": ("answered", "busy", "no_answer", "failed")},
)
WORKERS_KILLED = Metric(
    "voicefleet_workers_killed", "counter", "Workers without a call, ended because they hung.", ("region",)
)
WAITING_MESSAGES = Metric(
    "voicefleet_waiting_messages",
    "counter",
    "Waiting messages to waiting callers, by how they ended.",
    ("region", "result"),
    values={"result": ("spoken", "agent_came", "no_caller", "other_voice", "failed", "lost")},
)
WEBHOOKS = Metric(
    "voicefleet_webhooks",
    "counter",
    "Webhooks from LiveKit, by what came of them.",
    ("result",),
    values={"result": ("ok", "unsigned", "unknown_region", "bad_signature", "malformed", "failed", "ignored", "late")},
)
CALL_EVENTS = Metric(
    "voicefleet_call_events",
    "counter",
    "Call events sent to a receiver, by what came of each try.",
    ("region", "receiver", "result"),
    values={"result": ("delivered", "refused", "timed_out", "unreachable", "given_up")},
)
CALL_EVENTS_WAITING = Metric(
    "voicefleet_call_events_waiting",
    "gauge",
    "Call events that a receiver was not told yet; 0 on replicas that do not tell.",
    ("region", "receiver"),
)
CALL_EVENTS_OLDEST = Metric(
    "voicefleet_call_events_oldest_seconds",
    "gauge",
    "How long ago the oldest call event happened that a receiver was not told yet; 0: there is none.",
    ("region", "receiver"),
    unit="seconds",
)
AUTH_FAILURES = Metric(
    "voicefleet_auth_failures",
    "counter",
    "Requests with an API key that is none: refused, or limited after too many from one address.",
    ("result",),
    values={"result": ("refused", "limited")},
)
JOINS_REFUSED = Metric(
    "voicefleet_joins_refused",
    "counter",
    "Calls ended at once, because the ticket of one that was over was used again.",
    ("region", "reason"),
    values={"reason": ("ended", "over_limit")},
)
DEPENDENCY_UP = Metric(
    "voicefleet_dependency_up",
    "gauge",
    "1: it answers; 0: it has not answered this controller for some seconds, and what depends on it is unknown.",
    ("region", "dependency"),
    values={"dependency": ("redis", "livekit", "kubernetes")},
)
CANARY_STATE = Metric(
    "voicefleet_canary_state",
    "gauge",
    "1 for the state that a canary is in; `version` is the agent's version, or the tier, that is tried in the pool.",
    ("region", "version", "state"),
    values={"state": ("running", "promoted", "rolled_back")},
)
API_REQUESTS = Metric(
    "voicefleet_api_requests", "counter", "Requests to /v1, by route and status.", ("route", "status")
)
CALL_REQUESTS = Metric(
    "voicefleet_call_requests",
    "counter",
    "Requests for a call with a valid key, by answer; each try counts. Refused are full, unavailable, limited and "
    "failed. One that names no region counts for the largest.",
    ("region", "result"),
    values={"result": ("ticket", "dialled", "full", "unavailable", "limited", "failed")},
)
PLACEMENTS = Metric(
    "voicefleet_placements",
    "counter",
    "Calls given to a region where there are several, by what led them there. spill: those that come first had no "
    "room, or were unwell.",
    ("region", "reason"),
    values={"reason": ("asked", "round_trip", "network", "country", "free", "spill")},
)
ROUND_TRIPS_IGNORED = Metric(
    "voicefleet_round_trips_ignored",
    "counter",
    "Measured round trips of callers that were not believed: a forged token, an old one, a time that cannot be, or "
    "Redis's clock is not known yet.",
    ("reason",),
    values={"reason": ("forged", "old", "impossible", "no_clock")},
)
WORKERS = Metric(
    "voicefleet_workers",
    "gauge",
    "Workers by state.",
    ("region", "state"),
    values={"state": ("starting", "ready", "draining", "stopping", "unknown")},
)
INSTANCES = Metric(
    "voicefleet_instances",
    "gauge",
    "Pods or processes of workers, by how far they are.",
    ("region", "state"),
    values={
        "state": ("pending", "unschedulable", "pulling", "starting", "running", "crash_looping", "stopping"),
    },
)
LEADER = Metric("voicefleet_leader", "gauge", "1 on the replica that scales, 0 on the others.")
SCALER_STARTUP = Metric(
    "voicefleet_scaler_startup_seconds",
    "histogram",
    "A worker asked for to its taking calls: each phase (creation, scheduling, start, registration), and in all.",
    ("region", "phase"),
    kinds.STARTUP_S,
    {"phase": ("creation", "scheduling", "start", "registration", "total")},
    unit="seconds",
)
SCALER_DESIRED = Metric("voicefleet_scaler_desired_workers", "gauge", "Workers the scaler wants.", ("region",))
SCALER_CURRENT = Metric(
    "voicefleet_scaler_current_workers", "gauge", "Workers whose slots serve calls, now or soon.", ("region",)
)
SCALER_MIN = Metric("voicefleet_scaler_min_workers", "gauge", "Least workers allowed.", ("region",))
SCALER_MAX = Metric("voicefleet_scaler_max_workers", "gauge", "Most workers allowed.", ("region",))
POOL_COST = Metric(
    "voicefleet_pool_cost_per_hour",
    "gauge",
    "What the workers that run now cost in an hour, at the price in the settings; absent without one.",
    ("region", "currency"),
)
SCALER_SIGNAL = Metric(
    "voicefleet_scaler_signal", "gauge", "What the last decision was made from, by name.", ("region", "signal")
)
SCALER_WAIT_PROBABILITY = Metric(
    "voicefleet_scaler_wait_probability",
    "gauge",
    "Chance that a new caller has to wait, as the policy reckons; absent where it does not.",
    ("region",),
)
SCALER_DECISIONS = Metric(
    "voicefleet_scaler_decisions",
    "counter",
    "Decisions, by reason.",
    ("region", "direction", "reason"),
    values={"direction": ("up", "down", "same")},
)
SCALER_LAST_SUCCESS = Metric(
    "voicefleet_scaler_last_success_timestamp_seconds",
    "gauge",
    "Unix time of the last whole tick.",
    ("region",),
    unit="seconds",
)
OBSERVE_FAILURES = Metric(
    "voicefleet_observe_failures", "counter", "Reads that failed, so the state was unknown.", ("region", "source")
)
DRAIN = Metric(
    "voicefleet_drain_seconds",
    "histogram",
    "A worker told to drain to its end, for those that ended as asked.",
    ("region",),
    kinds.DRAIN_S,
    unit="seconds",
)
DRAIN_OLDEST = Metric(
    "voicefleet_drain_oldest_seconds",
    "gauge",
    "How long the worker that drains longest has been at it; 0 when none drains.",
    ("region",),
    unit="seconds",
)
