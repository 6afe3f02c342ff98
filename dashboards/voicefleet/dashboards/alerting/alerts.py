"""The alerts of causes; those of the objectives are in `rules`.

This list is longer than other modules because each alert stands beside its runbook.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.dashboards.alerting.slo import BY


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert and its runbook. `queries` are what to look at first; `actions` what to do, in this order."""

    name: str
    severity: str
    hold: str
    expr: str
    summary: str
    description: str
    dashboard: str
    impact: str
    queries: tuple[str, ...]
    actions: tuple[str, ...]
    escalation: str = "The team that runs the fleet, when the actions did not help within 15 minutes."


_PROVIDER = "The provider's support, with the trace ids that the exemplars of the TTFA heat map lead to."

ALERTS = (
    Alert(
        "VoicefleetCallsWaiting",
        "critical",
        "1m",
        f"max {BY} (voicefleet_calls_waiting) > 0",
        "{{ $labels.region }}: {{ $value }} callers wait for an agent",
        "Callers sit in a room without an agent, for a minute or longer.",
        "voicefleet-region",
        "Callers hear nothing, or the waiting message, until a slot is free.",
        (
            f"max {BY} (voicefleet_calls_waiting)",
            f'max {BY} (voicefleet_workers{{state="ready"}})',
            f"max {BY} (voicefleet_scaler_desired_workers)",
        ),
        (
            "Compare desired and ready workers. Desired higher: workers do not start, see VoicefleetWorkerStartupSlow.",
            "Desired equals max: raise `max_workers`, see VoicefleetScalerAtMax.",
            "Slots are free and calls still wait: look at `voicefleet_dispatches_total` by result, and at LiveKit.",
        ),
    ),
    Alert(
        "VoicefleetCallsSilent",
        "critical",
        "30s",
        f"max {BY} (voicefleet_region_calls_silent) > 0",
        "{{ $labels.region }}: {{ $value }} callers have an agent and hear nothing",
        "Callers have waited for a voice for more than 10 s, although an agent has their call.",
        "voicefleet-call-quality",
        "Callers sit in silence and hang up.",
        (
            f"sum {BY} (voicefleet_calls_silent)",
            "sum by (cluster, region, stage, kind) (rate(voicefleet_provider_failures_total[5m]))",
            "sum by (cluster, region, reason) (rate(voicefleet_apologies_total[5m]))",
        ),
        (
            "Look at provider failures by stage: a stage that fails or hangs is the usual cause.",
            "Switch to a tier with a fallback, or give the stage one.",
            "No failures: find the worker that has the silent calls, and drain it with `voicefleet drain WORKER`.",
        ),
    ),
    Alert(
        "VoicefleetRegionNoWorkers",
        "critical",
        "1m",
        f'max {BY} (voicefleet_workers{{state="ready"}}) == 0 and ('
        f"max {BY} (voicefleet_scaler_min_workers) > 0 or max {BY} (voicefleet_calls_waiting) > 0)",
        "{{ $labels.region }} has no worker that takes calls",
        "Workers are wanted and none is ready.",
        "voicefleet-region",
        "No caller of the region gets an agent.",
        (
            "max by (cluster, region, state) (voicefleet_workers)",
            f"max {BY} (voicefleet_scaler_desired_workers)",
        ),
        (
            "Read the worker's log: it says in one line what it cannot reach or what setting is wrong.",
            "`kubectl -n NAMESPACE describe deployment` and events: images, quotas, nodes.",
            "Send callers elsewhere: leave the region out of the front end's hint.",
        ),
    ),
    Alert(
        "VoicefleetScalerAtMax",
        "critical",
        "2m",
        f"max {BY} (voicefleet_scaler_desired_workers) >= max {BY} (voicefleet_scaler_max_workers)"
        f" and max {BY} (voicefleet_calls_waiting) > 0",
        "{{ $labels.region }} is at its most workers and callers wait",
        "The scaler may not add workers, and callers wait.",
        "voicefleet-scaling",
        "Callers wait for others to hang up.",
        (
            f"max {BY} (voicefleet_scaler_max_workers)",
            f"max {BY} (voicefleet_calls_live)",
        ),
        (
            "Raise `max_workers` of the region, if nodes and providers carry it.",
            "Limit callers at the front end, or by `limits.concurrent_calls`.",
        ),
    ),
    Alert(
        "VoicefleetScalerStale",
        "critical",
        "2m",
        f"time() - max {BY} (voicefleet_scaler_last_success_timestamp_seconds) > 60",
        "{{ $labels.region }}: the scaler has made no whole pass for {{ $value | humanizeDuration }}",
        "The pool gives nothing up, and grows only for calls that Redis tells of.",
        "voicefleet-scaling",
        "Load that grows may not be followed; callers may wait.",
        (
            "sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m]))",
            "time() - max by (cluster, region) (voicefleet_scaler_last_success_timestamp_seconds)",
        ),
        (
            "`voicefleet status` says for each region what is not known, and why.",
            "Source queue or reports: Redis. Source listing: LiveKit. Source instances: Kubernetes.",
            "Until it is mended, set the Deployment's replicas by hand to what the calls need.",
        ),
    ),
    Alert(
        "VoicefleetControllerMissing",
        "critical",
        "5m",
        "absent(voicefleet_scaler_last_success_timestamp_seconds)",
        "No controller is being scraped",
        "Prometheus sees no controller at all.",
        "voicefleet-fleet",
        "Calls still work, since LiveKit dispatches by itself; nothing is repaired or scaled.",
        ("absent(voicefleet_scaler_last_success_timestamp_seconds)", "up"),
        (
            "Is the controller up? `kubectl get pods -l app.kubernetes.io/component=controller`.",
            "Is it being scraped? ServiceMonitor, its labels, and the targets page of Prometheus.",
        ),
    ),
    Alert(
        "VoicefleetScalerFlapping",
        "warning",
        "15m",
        f"max {BY} (changes(voicefleet_scaler_desired_workers[30m])) > 20",
        "{{ $labels.region }}: the wanted number of workers changed {{ $value }} times in 30 minutes",
        "The pool goes up and down all the time.",
        "voicefleet-scaling",
        "Workers start and drain for nothing; starts cost money, and callers wait for them.",
        (
            f"max {BY} (voicefleet_scaler_desired_workers)",
            "sum by (cluster, region, reason) (rate(voicefleet_scaler_decisions_total[5m]))",
        ),
        (
            "Raise `scale_down_delay_s` of the pool.",
            "Look at the signals on the scaling dashboard: which of them swings?",
        ),
    ),
    Alert(
        "VoicefleetHeadroomLow",
        "warning",
        "10m",
        f"sum {BY} (voicefleet_calls_active) / (sum {BY} (voicefleet_slots) > 0) > 0.9",
        "{{ $labels.region }}: {{ $value | humanizePercentage }} of the slots are taken",
        "Few slots are free for the next callers.",
        "voicefleet-region",
        "A small burst makes callers wait.",
        (f"sum {BY} (voicefleet_calls_active)", f"sum {BY} (voicefleet_slots)"),
        ("Announce campaigns, lower `wait_ratio` (policy buffer: raise `buffer`), or raise `max_workers` if reached.",),
    ),
    Alert(
        "VoicefleetWorkerStartupSlow",
        "warning",
        "5m",
        "histogram_quantile(0.95, sum by (cluster, region, le) "
        '(rate(voicefleet_scaler_startup_seconds_bucket{phase="total"}[30m]))) > 90',
        "{{ $labels.region }}: a worker takes {{ $value | humanizeDuration }} to start",
        "From being asked for to taking calls, the slowest twentieth.",
        "voicefleet-worker",
        "The fleet follows a rising load too late.",
        ("histogram_quantile(0.95, sum by (cluster, region, phase, le) (voicefleet_worker_startup_seconds_bucket))",),
        (
            "Which phase? scheduling: nodes; start: the image's way to the node; registration: the worker itself.",
            "CPU limits: loading models and imports is CPU work; do not throttle it.",
            "Local models: are they in the image?",
        ),
    ),
    Alert(
        "VoicefleetWorkersDoNotStart",
        "warning",
        "5m",
        'max by (cluster, region, state) (voicefleet_instances{state=~"unschedulable|crash_looping"}) > 0',
        "{{ $labels.region }}: {{ $value }} workers are {{ $labels.state }}",
        "Workers were asked for and do not come.",
        "voicefleet-worker",
        "Load that grows is not followed; callers will wait.",
        (
            "max by (cluster, region, state) (voicefleet_instances)",
            f"max {BY} (voicefleet_scaler_desired_workers)",
        ),
        (
            "unschedulable: no node has room. Nodes, quotas, `resources.requests`, taints.",
            "crash_looping: the worker's log says in one line what it cannot reach or what setting is wrong.",
        ),
    ),
    Alert(
        "VoicefleetNoLeader",
        "critical",
        "2m",
        "sum by (cluster) (voicefleet_leader) < 1",
        "No controller leads",
        "Several controllers elect the one that scales, and none is elected.",
        "voicefleet-scaling",
        "Calls are still served and repaired; no pool changes its size.",
        ("sum by (cluster) (voicefleet_leader)",),
        (
            "`GET /v1/health` of a controller (with a key) says who holds the Lease and what troubles the election.",
            "The Lease and the controller's right to update it: `kubectl get lease`.",
        ),
    ),
    Alert(
        "VoicefleetDrainStuck",
        "warning",
        "5m",
        f"max {BY} (voicefleet_drain_oldest_seconds) > 4000",
        "{{ $labels.region }}: a worker has drained for {{ $value | humanizeDuration }}",
        "Longer than the drain time-out and its margin.",
        "voicefleet-worker",
        "A rollout or scale-down does not end; its pod costs money.",
        (f"max {BY} (voicefleet_drain_oldest_seconds)", "max by (cluster, region, state) (voicefleet_workers)"),
        (
            "`voicefleet status`: which worker drains, and how many calls does it have?",
            "Hand its calls over: `voicefleet drain WORKER`.",
            "It has none: the pod hangs, delete it.",
        ),
    ),
    Alert(
        "VoicefleetTTFATelemetryMissing",
        "warning",
        "10m",
        f"sum {BY} (voicefleet_calls_active) > 0 unless sum {BY} (rate(voicefleet_turn_ttfa_seconds_count[10m])) > 0",
        "{{ $labels.region }}: {{ $value }} calls and not one answered turn in 10 minutes",
        "Either nobody is answered, or the figures do not arrive.",
        "voicefleet-call-quality",
        "Unknown: the objectives of TTFA are blind.",
        (
            f"sum {BY} (rate(voicefleet_turns_total[10m]))",
            f"sum {BY} (rate(voicefleet_observations_dropped_total[10m]))",
        ),
        (
            "Place a call: `voicefleet call`. Answered: the figures are lost, look at dropped observations.",
            "Not answered: see VoicefleetCallsSilent and the provider alerts.",
        ),
    ),
    Alert(
        "VoicefleetBargeInSlow",
        "warning",
        "10m",
        f"histogram_quantile(0.95, sum by (cluster, region, le) "
        f"(rate(voicefleet_barge_in_stop_seconds_bucket[30m]))) > 1"
        f" and sum {BY} (increase(voicefleet_barge_in_stop_seconds_count[30m])) >= 10",
        "{{ $labels.region }}: the agent goes on for {{ $value | humanizeDuration }} when a caller barges in",
        "Onset of the caller's speech to the agent's silence, the slowest twentieth.",
        "voicefleet-call-quality",
        "Callers talk against the agent.",
        (
            "histogram_quantile(0.95, sum by (cluster, region, le) "
            "(rate(voicefleet_barge_in_stop_seconds_bucket[30m])))",
        ),
        (
            "`interruption.min_duration_s` of the tier is the floor of this.",
            "The worker's CPU: a busy loop hears late. Fewer slots per worker.",
        ),
    ),
    Alert(
        "VoicefleetMOSLow",
        "warning",
        "10m",
        "sum by (cluster, region, direction) (rate(voicefleet_call_mos_estimated_sum[10m])) / "
        "(sum by (cluster, region, direction) (rate(voicefleet_call_mos_estimated_count[10m])) > 0) < 3.6",
        "{{ $labels.region }}: the estimated MOS {{ $labels.direction }} is {{ $value }}",
        "Loss, jitter or delay between workers and LiveKit, or on the callers' way to it.",
        "voicefleet-call-quality",
        "Callers or agents understand badly; answers miss the question.",
        (
            "sum by (cluster, region, direction) (rate(voicefleet_call_packet_loss_ratio_sum[10m])) / "
            "sum by (cluster, region, direction) (rate(voicefleet_call_packet_loss_ratio_count[10m]))",
            "sum by (cluster, region, direction) (rate(voicefleet_call_jitter_seconds_sum[10m])) / "
            "sum by (cluster, region, direction) (rate(voicefleet_call_jitter_seconds_count[10m]))",
        ),
        (
            "Inbound alone: the callers' networks, or LiveKit's ingress. Outbound too: worker to LiveKit.",
            "LiveKit's CPU: see VoicefleetLiveKitNodeLoad.",
        ),
        "The network team, with the panels of loss, jitter and round trip.",
    ),
    Alert(
        "VoicefleetLiveKitNodeLoad",
        "warning",
        "5m",
        "histogram_quantile(0.95, sum by (cluster, region, le) "
        '(rate(livekit_pubsubtime_ms_bucket{direction="subscribe"}[5m]))) > 1000',
        "{{ $labels.region }}: LiveKit takes {{ $value }} ms to let a participant hear another",
        "The media server is saturated. More workers do not help it.",
        "voicefleet-call-quality",
        "All calls of its node lose quality at once.",
        (
            "histogram_quantile(0.95, sum by (cluster, region, direction, le) "
            "(rate(livekit_pubsubtime_ms_bucket[5m])))",
            "sum by (cluster, region) (livekit_participant_total)",
        ),
        (
            "Add LiveKit nodes, or CPU to them: a room lives on one node, so a full one stays full until calls end.",
            "Do not raise `max_workers` for this.",
        ),
    ),
    Alert(
        "VoicefleetCallsLimited",
        "warning",
        "5m",
        f'sum {BY} (increase(voicefleet_call_requests_total{{result="limited"}}[5m])) >= 10',
        '{{ $labels.region }}: {{ $value | printf "%.0f" }} requests for calls in 5 minutes were over a key\'s limit',
        "`POST /v1/calls` is answered with 429: a key has placed as many calls, or asked as often, as it may.",
        "voicefleet-region",
        "Callers of this key get no ticket; those of other keys do.",
        ("sum by (cluster, region, result) (increase(voicefleet_call_requests_total[5m]))",),
        (
            "Whose? The answer's `error` names the key or the limit; ask the team of the front end what it does.",
            "Too low a limit: `limits` in the controller's file (`concurrent_calls`, `requests_per_minute`, "
            "`unused_tickets_ratio`).",
        ),
    ),
    Alert(
        "VoicefleetProviderErrors",
        "warning",
        "5m",
        'sum by (cluster, region, stage) (rate(voicefleet_provider_failures_total{kind!="timeout"}[5m]))'
        f" / on (cluster, region) group_left () (sum {BY} (rate(voicefleet_turns_total[5m])) > 0) > 0.05"
        ' and sum by (cluster, region, stage) (increase(voicefleet_provider_failures_total{kind!="timeout"}[5m])) >= 3',
        "{{ $labels.region }}: {{ $labels.stage }} fails in more than 5 % of turns",
        "Requests are refused, or connections break.",
        "voicefleet-call-quality",
        "Answers come late, by fallback, or as an apology.",
        (
            "sum by (cluster, region, stage, kind) (rate(voicefleet_provider_failures_total[5m]))",
            "sum by (cluster, region, stage) (rate(voicefleet_fallbacks_total[5m]))",
        ),
        (
            "The worker's log says the provider's own words (`a provider failed`).",
            "Refused: key, quota or rate limit. Connection: their status page, your egress.",
            "Give the stage a fallback in the tiers file.",
        ),
        _PROVIDER,
    ),
    Alert(
        "VoicefleetProviderTimeouts",
        "warning",
        "5m",
        'sum by (cluster, region, stage) (rate(voicefleet_provider_failures_total{kind="timeout"}[5m]))'
        f" / on (cluster, region) group_left () (sum {BY} (rate(voicefleet_turns_total[5m])) > 0) > 0.02"
        ' and sum by (cluster, region, stage) (increase(voicefleet_provider_failures_total{kind="timeout"}[5m])) >= 3',
        "{{ $labels.region }}: {{ $labels.stage }} hangs in more than 2 % of turns",
        "Requests have no answer within the stage's time limit.",
        "voicefleet-call-quality",
        "Callers wait for seconds in these turns.",
        (
            "sum by (cluster, region, stage, kind) (rate(voicefleet_provider_failures_total[5m]))",
            "histogram_quantile(0.95, sum by (cluster, region, stage, le) "
            "(rate(voicefleet_turn_stage_duration_seconds_bucket[5m])))",
        ),
        ("Give the stage a fallback, or a lower `timeout_s`.", "Choose another endpoint of the provider."),
        _PROVIDER,
    ),
    Alert(
        "VoicefleetStateUnknown",
        "warning",
        "5m",
        "sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m])) > 0.1",
        "{{ $labels.region }}: reading {{ $labels.source }} fails",
        "The controller's reads fail again and again, so that state is unknown.",
        "voicefleet-scaling",
        "The pool does not shrink, and may not grow; recoveries wait.",
        ("sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m]))",),
        ("The controller's log and `voicefleet status` say which server does not answer, and how.",),
    ),
    Alert(
        "VoicefleetReportsLost",
        "warning",
        "2m",
        f"sum {BY} (rate(voicefleet_report_failures_total[5m])) > 0.1",
        "{{ $labels.region }}: reports of workers do not reach Redis",
        "Redis is away or refuses the workers.",
        "voicefleet-worker",
        "Calls go on. A worker that dies now is noticed late, and a conversation that is handed over may be lost.",
        (f"sum {BY} (rate(voicefleet_report_failures_total[5m]))",),
        (
            "Is Redis up, and can the workers' network policy reach it?",
            "Memory: `noeviction` refuses writes when full.",
        ),
    ),
    Alert(
        "VoicefleetCallsLosingJobs",
        "warning",
        "0m",
        f"sum {BY} (increase(voicefleet_calls_recovered_total[15m])) > 5",
        "{{ $labels.region }}: {{ $value }} calls lost their job in 15 minutes",
        "Jobs or workers die, or are cut off, and their calls were moved.",
        "voicefleet-region",
        "Each of these callers heard a gap of some seconds.",
        ("sum by (cluster, region, reason) (increase(voicefleet_calls_recovered_total[15m]))",),
        (
            "By reason: worker_ended - crashes, out of memory, nodes; trouble - the network to LiveKit.",
            "`kubectl get events`: evictions, OOMKilled.",
        ),
    ),
    Alert(
        "VoicefleetHandoffsFailing",
        "warning",
        "0m",
        f'sum {BY} (increase(voicefleet_calls_handed_off_total{{result="failed"}}[30m])) > 3',
        "{{ $labels.region }}: {{ $value }} handoffs failed in 30 minutes",
        "Live calls could not move off a worker that drains.",
        "voicefleet-worker",
        "Drains and rollouts take as long as the longest call.",
        ("sum by (cluster, region, result) (increase(voicefleet_calls_handed_off_total[30m]))",),
        ("Are slots free elsewhere? A handoff needs one.", "The controller's log says each failure's reason."),
    ),
    Alert(
        "VoicefleetCallEventsLate",
        "warning",
        "5m",
        "max by (cluster, region, receiver) (voicefleet_call_events_oldest_seconds) > 600",
        "{{ $labels.region }}: {{ $labels.receiver }} was not told of calls for {{ $value }} s",
        "A receiver of call events does not take them, or nobody tells it.",
        "voicefleet-fleet",
        "None for callers. Billing and CRM are behind; events that are older than `give_up_after_s` are lost.",
        ("sum by (cluster, region, receiver, result) (rate(voicefleet_call_events_total[5m]))",),
        (
            "By result: refused - it answers, and not with 2xx: see its log; timed_out, unreachable - the network.",
            "One event may be refused alone: the controller's log names its id when it is given up.",
        ),
    ),
    Alert(
        "VoicefleetTracesLost",
        "warning",
        "10m",
        'sum by (cluster, job) (rate(voicefleet_spans_total{result!="sent"}[10m])) > 0',
        "Traces do not reach their endpoint",
        "The OTLP endpoint does not take spans.",
        "voicefleet-fleet",
        "None for callers. Exemplars lead to traces that are not there.",
        ("sum by (cluster, job, result) (rate(voicefleet_spans_total[10m]))",),
        ("Check `OTEL_EXPORTER_OTLP_ENDPOINT` and the collector; unset it to stop tracing.",),
    ),
)
