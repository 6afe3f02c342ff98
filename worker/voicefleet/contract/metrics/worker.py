"""The metrics of a worker. Its region is a label of its scrape target."""

from __future__ import annotations

from voicefleet.contract.aside import ReleaseReason
from voicefleet.contract.metrics import kinds
from voicefleet.contract.metrics.kinds import Metric
from voicefleet.contract.responses import ResponseResult, TaskResult

_DIRECTION = {"direction": ("inbound", "outbound")}
_STAGES = ("stt", "llm", "tts", "other")

WORKER_INFO = Metric(
    "voicefleet_worker_info",
    "gauge",
    "1; its label is the name of the worker, as `voicefleet drain` takes it. Joined to the worker's other series.",
    ("worker",),
)
TURN_TTFA = Metric(
    "voicefleet_turn_ttfa_seconds",
    "histogram",
    "Caller's end of speech to the agent's first audio, as the agent sees it (without the network).",
    ("agent", "tier"),
    kinds.LATENCY_S,
    unit="seconds",
    exemplars=True,
)
TURNS = Metric(
    "voicefleet_turns",
    "counter",
    "Turns of callers, by how they ended. error: no answer; an apology was said instead, or nothing came for 10 s.",
    ("outcome",),
    values={"outcome": ("completed", "interrupted", "session_closed", "error")},
)
TURN_STAGE = Metric(
    "voicefleet_turn_stage_duration_seconds",
    "histogram",
    "Time a stage of the pipeline took of a turn; its provider.",
    ("stage", "provider"),
    kinds.STAGE_S,
    {"stage": ("eou", "stt", "callback", "llm_ttft", "tts_ttfb", "playback")},
    unit="seconds",
)
RESPONSES = Metric(
    "voicefleet_responses",
    "counter",
    "Answers, by what the caller did next. asked_again: what? or the same question; hung_up: in mid-answer.",
    ("agent", "tier", "result"),
    values={"result": tuple(ResponseResult)},
)
TASKS = Metric(
    "voicefleet_tasks",
    "counter",
    "Tasks of callers, as the agent reports them by current_call().report().",
    ("agent", "tier", "result"),
    values={"result": tuple(TaskResult)},
)
INTERRUPTIONS = Metric(
    "voicefleet_interruptions",
    "counter",
    "Speech of the caller into the agent's voice: it took the turn, it did not, or it was no speech.",
    ("kind",),
    values={"kind": ("barge_in", "backchannel", "false")},
)
BARGE_IN_STOP = Metric(
    "voicefleet_barge_in_stop_seconds",
    "histogram",
    "Onset of the caller's barge-in to the agent's silence, as the agent sees it.",
    (),
    kinds.STOP_S,
    unit="seconds",
)
CALLS = Metric(
    "voicefleet_calls",
    "counter",
    "Calls that a worker served, by how they ended.",
    ("result",),
    values={"result": ("completed", "released", "taken_over", "handed_over", "error")},
)
CALLS_RELEASED = Metric(
    "voicefleet_calls_released",
    "counter",
    "Calls whose agent's part ended on purpose, by what ended it: nobody is sent there until somebody asks.",
    ("reason",),
    values={"reason": tuple(ReleaseReason)},
)
CALL_SETUP = Metric(
    "voicefleet_call_setup_seconds",
    "histogram",
    "Job given to this worker to the agent's ear being open in the room.",
    ("result",),
    kinds.LATENCY_S,
    {"result": ("ok", "failed")},
    unit="seconds",
)
GREETING = Metric(
    "voicefleet_greeting_seconds",
    "histogram",
    "Job given to this worker to the agent's first audio. apology: that was one; silent: none came within 10 s.",
    ("result",),
    kinds.LATENCY_S,
    {"result": ("ok", "apology", "silent")},
    unit="seconds",
)
CALLS_ACTIVE = Metric("voicefleet_calls_active", "gauge", "Calls in progress on this worker.")
CALLS_SILENT = Metric(
    "voicefleet_calls_silent", "gauge", "Calls whose caller has waited for a voice for more than 10 s."
)
SILENCES = Metric("voicefleet_silences", "counter", "Times that a caller waited for a voice for more than 10 s.")
SLOTS = Metric("voicefleet_slots", "gauge", "Calls this worker can serve at once.")
PACKET_LOSS = Metric(
    "voicefleet_call_packet_loss_ratio",
    "histogram",
    "Packets lost of 5 s of a call, between worker and LiveKit; inbound also what the caller's own path lost.",
    ("direction",),
    kinds.LOSS_RATIO,
    _DIRECTION,
    unit="ratio",
)
JITTER = Metric(
    "voicefleet_call_jitter_seconds",
    "histogram",
    "Interarrival jitter of a call's audio, every 5 s.",
    ("direction",),
    kinds.JITTER_S,
    _DIRECTION,
    unit="seconds",
)
RTT = Metric(
    "voicefleet_call_rtt_seconds",
    "histogram",
    "Round trip between worker and LiveKit, every 5 s of each call.",
    (),
    kinds.RTT_S,
    unit="seconds",
)
MOS = Metric(
    "voicefleet_call_mos_estimated",
    "histogram",
    "Estimated MOS (ITU-T G.107 E-model) of 5 s of a call's audio, by the path that this end sees.",
    ("direction",),
    kinds.MOS,
    _DIRECTION,
)
SAMPLES = Metric("voicefleet_samples", "counter", "Audio samples received.", ("direction",), values=_DIRECTION)
CONCEALED = Metric(
    "voicefleet_concealed_samples",
    "counter",
    "Audio samples made up for lost ones by the receiver.",
    ("direction",),
    values=_DIRECTION,
)
TIER_LEVEL = Metric(
    "voicefleet_tier_level",
    "gauge",
    "Steps down the ladder of tiers that this worker serves its calls at: 0, each call has the tier that it asked for.",
)
TIER_STEPS = Metric(
    "voicefleet_tier_steps",
    "counter",
    "Steps of this worker on its ladder of tiers, by why. calls: more than the tier is for; cpu: short of it; "
    "ttfa: turns late; calm: up again.",
    ("direction", "reason"),
    values={"direction": ("down", "up"), "reason": ("calls", "cpu", "ttfa", "calm")},
)
TIER_CHANGES = Metric(
    "voicefleet_tier_changes",
    "counter",
    "Calls that were served by another tier of the ladder, by when it changed. failed: it could not, and stayed.",
    ("result",),
    values={"result": ("start", "between_turns", "failed")},
)
WORKER_CPU = Metric(
    "voicefleet_worker_cpu_ratio",
    "gauge",
    "Share of the CPU that this worker may use (its container's limit, else the machine) that is used; with a ladder.",
    unit="ratio",
)
JOB_REQUESTS = Metric(
    "voicefleet_job_requests",
    "counter",
    "Offers of a call, by the worker's answer.",
    ("answer",),
    values={
        "answer": ("accepted", "accepted_unclaimed", "succeeding", "full", "draining", "held", "refused", "failed")
    },
)
WORKER_STARTUP = Metric(
    "voicefleet_worker_startup_seconds",
    "histogram",
    "Start of a worker's process, by phase. init: to the start of registering; register: to registered.",
    ("phase",),
    kinds.STARTUP_S,
    {"phase": ("init", "register")},
    unit="seconds",
)
REPORT_FAILURES = Metric("voicefleet_report_failures", "counter", "Reports to the controller that Redis did not take.")
OBSERVATIONS_DROPPED = Metric(
    "voicefleet_observations_dropped", "counter", "Lines from job processes that could not be read."
)
PROVIDER_FAILURES = Metric(
    "voicefleet_provider_failures",
    "counter",
    "Failed requests to STT, LLM and TTS, by how; a timeout too when an apology cut it off. other: the agent's code.",
    ("stage", "kind"),
    values={"stage": _STAGES, "kind": ("timeout", "refused", "connection", "other")},
)
FALLBACKS = Metric(
    "voicefleet_fallbacks",
    "counter",
    "Providers given up for the next of their stage.",
    ("stage",),
    values={"stage": _STAGES},
)
APOLOGIES = Metric(
    "voicefleet_apologies",
    "counter",
    "Recorded words said because nothing else came in time, by why.",
    ("reason",),
    values={
        "reason": ("greeting", "unheard", "unanswered", "cut_short", "connection_lost", "no_input", "working", "other"),
    },
)
HOOK_FAILURES = Metric(
    "voicefleet_hook_failures",
    "counter",
    "Failures of the team's own code that the call went on without, by what failed.",
    ("hook",),
    values={"hook": ("entrypoint", "session_start", "on_request", "on_resume", "on_call_end", "role", "other")},
)
TRANSCRIPT_LOST = Metric(
    "voicefleet_transcript_lost",
    "counter",
    "Parts of call transcripts that were lost, by why.",
    ("reason",),
    values={
        "reason": (
            "too_large",
            "kept_refused",
            "userdata_refused",
            "agent_refused",
            "unreadable",
            "undecryptable",
            "plaintext",
            "unreachable",
            "not_taken",
            "restore_failed",
            "other",
        )
    },
)
RESUMED = Metric(
    "voicefleet_calls_resumed",
    "counter",
    "Calls taken over from another agent, by why.",
    ("why",),
    values={"why": ("recovered", "handed_over", "returned", "asked_again", "other")},
)
HANDOFFS_HELD = Metric(
    "voicefleet_handoffs_held",
    "counter",
    "Handoffs that waited for the work of a call, by its kind, or cut it off at the drain's limit.",
    ("kind", "result"),
    values={
        "kind": ("tool", "reply", "task", "on_enter", "change", "agent", "marked", "other"),
        "result": ("waited", "cut", "other"),
    },
)
