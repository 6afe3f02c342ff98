"""The alerts of causes; those of the objectives are in `rules`.

This list is longer than other modules because each alert stands beside its runbook. Its reader was woken by it: what is
wrong in words, what callers notice, where to look, and the commands to type, for workers that are processes of the
controller and for pods. A worker is called by the name that `voicefleet drain` takes.
"""

from __future__ import annotations

from voicefleet.dashboards.alerting.alert import Alert, Also, down
from voicefleet.dashboards.alerting.slo import BY

_PROVIDER = "The provider's support, with the trace ids that the exemplars of the TTFA heat map lead to."
_STATUS = "`voicefleet status` says for each region what is wrong, since when, and the way out."
_WORKER_LOG = (
    "The worker's own words. Processes: the newest `LOG_DIR/REGION-NUMBER.log` (`process.log_dir` of the region). "
    "Kubernetes: `kubectl logs -n NAMESPACE -l voicefleet.dev/region=REGION --prefix --tail=50` (add `--previous` for "
    "one that ended)."
)
_PODS = "`kubectl get pods -n NAMESPACE -l voicefleet.dev/region=REGION -o wide`"
_MAXIMUM = (
    "Raise the maximum, if nodes and providers carry it. Processes: `regions.REGION.pool.max_workers` in the "
    "controller's file, then restart the controller. Kubernetes: `pool.maxWorkers` (of all regions, or of the item of "
    "`regions`) and `helm upgrade`."
)
_SILENT_CALLS = (
    "`voicefleet calls past --from 1h --silent` lists the calls whose caller heard nobody; `voicefleet call show ROOM` "
    "says of each silence when, why, and where to look."
)
_BY_WORKER = "on (instance) group_left (worker) voicefleet_worker_info"

ALERTS = (
    Alert(
        "VoicefleetDependencyDown",
        "critical",
        "0m",
        down("livekit", "redis"),
        "{{ $labels.region }}: {{ $labels.dependency }} does not answer",
        "No controller gets an answer from {{ $labels.dependency }}. What depends on it is unknown until it is back: "
        "other alerts of the region that it would cause are held back.",
        "voicefleet-fleet",
        "livekit: no call works in the region. redis: calls go on and new ones are served by LiveKit itself, but "
        "nobody waits in a queue, no call is moved off a worker that dies, and the pool does not shrink. kubernetes: "
        "calls go on; the pool keeps its size.",
        (
            "max by (cluster, region, dependency) (voicefleet_dependency_up)",
            "sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m]))",
        ),
        (
            "`voicefleet status` has the error in the dependency's own words: refused (credentials), time-out "
            "(overloaded, or a network policy), connection refused (not running).",
            'redis. Processes: `redis-cli -u "$VOICEFLEET_REDIS_URL" ping`. Kubernetes: `kubectl get pods` where it '
            "runs; the chart's `redis` values have its address. Start it; nothing has to be restarted afterwards.",
            "livekit. `curl -i LIVEKIT_API_URL` must answer 200 from where the controller runs. Start it, or fail "
            "over; its rooms do not survive, callers join again.",
            "kubernetes. `kubectl get --raw /readyz`, and whether the controller's token is valid: "
            "`kubectl auth can-i list pods -n NAMESPACE --as system:serviceaccount:RELEASE_NAMESPACE:CONTROLLER`. "
            "Until then `kubectl scale` may be unavailable too.",
            "One region only, and others on the same server are well: the network between them.",
        ),
        also=(Also("warning", "0m", down("kubernetes")),),
    ),
    Alert(
        "VoicefleetCallsWaiting",
        "critical",
        "40s",
        f"max {BY} (voicefleet_call_oldest_wait_seconds) > 20",
        "{{ $labels.region }}: a caller has waited {{ $value | humanizeDuration }} for an agent",
        "For 40 s there has always been a caller who waited longer than 20 s for an agent.",
        "voicefleet-region",
        "Callers hear nothing, or the waiting message, until a slot is free.",
        (
            f"max {BY} (voicefleet_call_oldest_wait_seconds)",
            f"max {BY} (voicefleet_calls_waiting)",
            "max by (cluster, region, state) (voicefleet_workers)",
            f"max {BY} (voicefleet_scaler_desired_workers)",
            f"max {BY} (voicefleet_scaler_max_workers)",
        ),
        (
            _STATUS,
            "Fewer workers ready than wanted: they do not start. See VoicefleetWorkersDoNotStart.",
            "As many ready as the maximum: see VoicefleetScalerAtMax.",
            "Slots are free and calls wait all the same: `voicefleet_dispatches_total` by result says what came of "
            "each try. failed: LiveKit refuses; sent, again and again: workers are offered calls and do not take them, "
            "see their logs.",
        ),
        caused_by=("livekit", "redis"),
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
            f"max by (cluster, region, worker) (voicefleet_calls_silent * {_BY_WORKER}) > 0",
            "sum by (cluster, region, stage, kind) (rate(voicefleet_provider_failures_total[5m]))",
            "sum by (cluster, region, reason) (rate(voicefleet_apologies_total[5m]))",
        ),
        (
            "Look at provider failures by stage: a stage that fails or hangs is the usual cause.",
            "Switch to a tier with a fallback, or give the stage one (`fallback` in the tiers file).",
            "No failures: the first query names the worker; hand its calls to others with `voicefleet drain WORKER`.",
            _SILENT_CALLS,
        ),
        caused_by=("livekit",),
    ),
    Alert(
        "VoicefleetRegionNoWorkers",
        "critical",
        "1m",
        f'max {BY} (voicefleet_workers{{state="ready"}}) == 0 and ('
        f"max {BY} (voicefleet_scaler_min_workers) > 0 or max {BY} (voicefleet_calls_waiting) > 0)",
        "{{ $labels.region }} has no worker that takes calls",
        "Workers are wanted, and none has been ready for a minute.",
        "voicefleet-region",
        "No caller of the region gets an agent.",
        (
            "max by (cluster, region, state) (voicefleet_workers)",
            "max by (cluster, region, state) (voicefleet_instances)",
        ),
        (
            _STATUS,
            _WORKER_LOG,
            f"Kubernetes: {_PODS}; `kubectl describe` of one that is not Running: image, quota, node.",
            "Send callers elsewhere meanwhile: tickets that name no region go to one with free slots.",
        ),
        caused_by=("livekit", "redis"),
    ),
    Alert(
        "VoicefleetScalerAtMax",
        "critical",
        "2m",
        f'max {BY} (voicefleet_workers{{state="ready"}}) >= max {BY} (voicefleet_scaler_max_workers)'
        f" and max {BY} (voicefleet_calls_waiting) > 0",
        "{{ $labels.region }} has its most workers, {{ $value }}, and callers wait",
        "Every worker that the pool may have is ready, and callers have waited for 2 minutes.",
        "voicefleet-scaling",
        "Callers wait for others to hang up.",
        (
            f"max {BY} (voicefleet_scaler_max_workers)",
            f"max {BY} (voicefleet_calls_live)",
            f"sum {BY} (voicefleet_slots)",
        ),
        (
            _MAXIMUM,
            "Or take fewer callers: `limits.concurrent_calls` per key (chart: `controller.limits.concurrentCalls`).",
        ),
        caused_by=("livekit", "redis"),
    ),
    Alert(
        "VoicefleetScalerStale",
        "critical",
        "5m",
        f"time() - max {BY} (voicefleet_scaler_last_success_timestamp_seconds) > 60",
        "{{ $labels.region }}: the pool has not been looked at as a whole for {{ $value | humanizeDuration }}",
        "The controller could not read everything that it decides from. The pool gives no worker up, and grows only "
        "for calls that Redis tells of; without Kubernetes it does not grow at all.",
        "voicefleet-scaling",
        "Load that grows may not be followed; callers may wait.",
        (
            "sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m]))",
            f"time() - max {BY} (voicefleet_scaler_last_success_timestamp_seconds)",
        ),
        (
            _STATUS,
            "By source of the first query. queue, reports: Redis. listing: LiveKit. instances: Kubernetes.",
            "Until it is mended, give the pool what the calls need by hand. Kubernetes: `kubectl scale deployment -n "
            "NAMESPACE NAME --replicas=N`. Processes: the pool keeps its workers.",
        ),
        caused_by=("livekit", "redis"),
    ),
    Alert(
        "VoicefleetControllerMissing",
        "critical",
        "1m",
        "(max by (cluster) (max_over_time(voicefleet_leader[6h])) unless max by (cluster) (voicefleet_leader))"
        " or absent(max_over_time(voicefleet_leader[6h]))",
        "No controller {{ with $labels.cluster }}of {{ . }} {{ end }}answers Prometheus",
        "Prometheus has seen no controller {{ with $labels.cluster }}of cluster {{ . }} {{ end }}for a minute, or "
        "never: it does not run, it hangs, or it is not scraped.",
        "voicefleet-fleet",
        "No tickets (`POST /v1/calls`) are given, so front ends that ask for one cannot call. Calls with tokens of the "
        "front end's own are served by LiveKit. Nobody waits in a queue, nothing is repaired or scaled.",
        ("max by (cluster) (voicefleet_leader)", "up"),
        (
            "Does it run? Processes: `voicefleet status`, and the controller's log; start it again, its workers go on "
            "and are taken over. Kubernetes: `kubectl get pods -A -l app.kubernetes.io/component=controller`, "
            "`kubectl logs -n NAMESPACE POD --previous`.",
            "It answers (`curl CONTROLLER/livez` says ok): it is not scraped. ServiceMonitor, its labels, the network "
            "policy, and Prometheus's page of targets.",
            "A cluster that was taken down on purpose is forgotten after 6 hours; silence it until then.",
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
            "`voicefleet explain REGION` lists the last decisions with their numbers.",
            "Raise `pool.scale_down_delay_s` (chart: `pool.scaleDownDelaySeconds`).",
            "Look at the signals on the scaling dashboard: which of them swings?",
        ),
    ),
    Alert(
        "VoicefleetHeadroomLow",
        "warning",
        "10m",
        f"sum {BY} (voicefleet_calls_active) / (sum {BY} (voicefleet_slots) > 0) > 0.9",
        "{{ $labels.region }}: {{ $value | humanizePercentage }} of the slots are taken",
        "Few slots have been free for the next callers for 10 minutes.",
        "voicefleet-region",
        "A small burst makes callers wait.",
        (
            f"sum {BY} (voicefleet_calls_active)",
            f"sum {BY} (voicefleet_slots)",
            f"max {BY} (voicefleet_scaler_max_workers)",
        ),
        (
            "`voicefleet explain REGION`: is the maximum reached? " + _MAXIMUM,
            "Else keep more free: lower `pool.wait_ratio` (policy buffer: raise `pool.buffer`); announce campaigns.",
        ),
    ),
    Alert(
        "VoicefleetWorkerStartupSlow",
        "warning",
        "5m",
        "histogram_quantile(0.95, sum by (cluster, region, le) "
        '(rate(voicefleet_scaler_startup_seconds_bucket{phase="total"}[30m]))) > 90',
        "{{ $labels.region }}: a worker takes {{ $value | humanizeDuration }} to start",
        "From being asked for to taking calls, the slowest twentieth of the last 30 minutes.",
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
        "30s",
        # Between two tries a worker starts for some seconds, and is no loop then.
        f'max {BY} (max_over_time(voicefleet_instances{{state="crash_looping"}}[30s])) > 0',
        "{{ $labels.region }}: {{ $value }} workers end at their start, again and again",
        "Workers were asked for and do not come: each ended before it could take calls, for half a minute by now.",
        "voicefleet-worker",
        "Load that grows is not followed. With no ready worker left, VoicefleetRegionNoWorkers pages.",
        (
            "max by (cluster, region, state) (voicefleet_instances)",
            "max by (cluster, region, state) (voicefleet_workers)",
        ),
        (
            "`voicefleet status` has the error of the last start. " + _WORKER_LOG,
            "It came with a rollout: go back. Kubernetes: `helm rollback RELEASE`. Processes: the files of before.",
        ),
    ),
    Alert(
        "VoicefleetWorkersUnschedulable",
        "warning",
        "5m",
        f'max {BY} (voicefleet_instances{{state="unschedulable"}}) > 0',
        "{{ $labels.region }}: no node has room for {{ $value }} workers",
        "Workers were asked for 5 minutes ago, and Kubernetes finds no node for them.",
        "voicefleet-worker",
        "Load that grows is not followed; callers will wait.",
        (
            "max by (cluster, region, state) (voicefleet_instances)",
            f"max {BY} (voicefleet_scaler_desired_workers)",
        ),
        (
            f"{_PODS}, then `kubectl describe pod -n NAMESPACE WORKER`: its events say what is short.",
            "cpu, memory: more or larger nodes (is the cluster's autoscaler at its limit?), or smaller "
            "`worker.resources.requests`.",
            "A quota of the namespace: `kubectl describe quota -n NAMESPACE`. A taint: `worker.tolerations`.",
        ),
    ),
    Alert(
        "VoicefleetNoLeader",
        "critical",
        "2m",
        "sum by (cluster) (voicefleet_leader) < 1",
        "No controller {{ with $labels.cluster }}of {{ . }} {{ end }}leads",
        "Several controllers elect the one that scales, and none has been elected for 2 minutes.",
        "voicefleet-scaling",
        "Calls are still served and repaired; no pool changes its size.",
        ("sum by (cluster) (voicefleet_leader)",),
        (
            '`curl -H "Authorization: Bearer KEY" CONTROLLER/v1/health` says who holds the Lease and what troubles '
            "the election.",
            "`kubectl get lease -n NAMESPACE`, and the controller's right to update it: "
            "`kubectl auth can-i update lease -n NAMESPACE --as system:serviceaccount:NAMESPACE:CONTROLLER`.",
        ),
        caused_by=("kubernetes",),
        caused_in="cluster",
    ),
    Alert(
        "VoicefleetCanaryRolledBack",
        "warning",
        "10s",
        'max by (cluster, region, version) (voicefleet_canary_state{state="rolled_back"}) > 0',
        "{{ $labels.region }}: the canary {{ $labels.version }} was rolled back",
        "It did worse than what stands beside it, or its workers did not start. Its calls go on without it.",
        "voicefleet-call-quality",
        "None: new calls get the stable version, or tier. What was to be released is not.",
        ('max by (cluster, region, version, state) (voicefleet_canary_state{state="rolled_back"})',),
        (
            "`voicefleet status` says why, with what was counted of both.",
            "Give it weight 0 (a tier: remove it from `tier`), which ends this alert.",
            "Mended: another `revision` has it tried anew.",
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
            "It has calls: hand them over with `voicefleet drain WORKER`.",
            "It has none: it hangs. Kubernetes: `kubectl delete pod -n NAMESPACE WORKER`. Processes: "
            "`kill -9 -- -PID`, its pid is in `voicefleet status --json`.",
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
            "Place a call: `voicefleet call --region REGION`. Answered: the figures are lost, look at dropped "
            "observations.",
            "Not answered: see VoicefleetCallsSilent and the provider alerts.",
        ),
        caused_by=("livekit",),
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
        "sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m])) > 0.1"
        " and sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[1m])) > 0",
        "{{ $labels.region }}: reading {{ $labels.source }} fails again and again",
        "Some of a controller's reads fail, and its server answers others: it is overloaded, or refuses this one.",
        "voicefleet-scaling",
        "The pool does not shrink, and may not grow; calls of workers that die are moved later.",
        ("sum by (cluster, region, source) (rate(voicefleet_observe_failures_total[5m]))",),
        (
            "`voicefleet status` has the error. By source: queue, reports, recovery, exits, models, campaigns: Redis; "
            "listing, durations: LiveKit; instances, orders: Kubernetes.",
            "Redis refuses a command or a key: give its user what `voicefleet redis-acl REGION` prints.",
            "Time-outs: the server's load, and the network between it and the controller.",
        ),
        caused_by=("livekit", "redis", "kubernetes"),
    ),
    Alert(
        "VoicefleetReportsLost",
        "warning",
        "2m",
        f"sum {BY} (rate(voicefleet_report_failures_total[5m])) > 0.1"
        f" and sum {BY} (rate(voicefleet_report_failures_total[1m])) > 0",
        "{{ $labels.region }}: reports of workers do not reach Redis",
        "Redis answers the controller, and not some of the workers, or refuses them.",
        "voicefleet-worker",
        "Calls go on. A worker that dies now is noticed late, and a conversation that is handed over may be lost.",
        (f"sum by (cluster, region, worker) (rate(voicefleet_report_failures_total[5m]) * {_BY_WORKER}) > 0",),
        (
            "The first query names the workers. All of them: their network policy, or their Redis user's rights "
            "(`voicefleet redis-acl REGION`). Some: the network of their node.",
            "`redis-cli -u URL info memory`: with `noeviction`, a full Redis refuses writes. Raise `maxmemory`.",
        ),
        caused_by=("redis",),
    ),
    Alert(
        "VoicefleetCallsLosingJobs",
        "warning",
        "0m",
        f"sum {BY} (increase(voicefleet_calls_recovered_total[15m])) > 5"
        f" and sum {BY} (increase(voicefleet_calls_recovered_total[1m])) > 0",
        '{{ $labels.region }}: {{ $value | printf "%.0f" }} calls lost their agent in 15 minutes, and got another',
        "Workers or their processes die, hang, or are cut off; their calls were moved to others.",
        "voicefleet-region",
        "Each of these callers heard a gap of some seconds.",
        ("sum by (cluster, region, reason) (increase(voicefleet_calls_recovered_total[15m]))",),
        (
            "`voicefleet status` lists the last of them: which worker ended, and how.",
            "By reason. worker_ended, job_ended: crashes, memory, nodes. trouble, not_listening: the network to "
            "LiveKit or Redis. deaf, mute: the agent's own code, or a provider's stream.",
            _WORKER_LOG,
            "Kubernetes: `kubectl get events -n NAMESPACE --sort-by=.lastTimestamp`: evictions, OOMKilled "
            "(`worker.resources`, `worker.jobMemoryLimitMiB`).",
        ),
        caused_by=("livekit",),
    ),
    Alert(
        "VoicefleetHandoffsFailing",
        "warning",
        "0m",
        f'sum {BY} (increase(voicefleet_calls_handed_off_total{{result="failed"}}[30m])) > 3'
        f' and sum {BY} (increase(voicefleet_calls_handed_off_total{{result="failed"}}[1m])) > 0',
        '{{ $labels.region }}: {{ $value | printf "%.0f" }} handoffs failed in 30 minutes',
        "Live calls could not move off a worker that drains.",
        "voicefleet-worker",
        "Drains and rollouts take as long as the longest call.",
        ("sum by (cluster, region, result) (increase(voicefleet_calls_handed_off_total[30m]))",),
        (
            "Are slots free on other workers? A handoff needs one: `voicefleet status`.",
            "Each failure's reason is in the controller's log (`handoff over`, result failed). Kubernetes: `kubectl "
            "logs -n NAMESPACE -l app.kubernetes.io/component=controller --prefix | grep handoff`.",
            "To end a drain at once and cut its calls: Kubernetes: `kubectl delete pod -n NAMESPACE WORKER --force`; "
            "processes: `kill -9 -- -PID`.",
        ),
        caused_by=("livekit", "redis"),
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
