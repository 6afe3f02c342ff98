"""Single workers."""

from __future__ import annotations

from voicefleet.dashboards.panels import SELECT, WORKER, Query, now, panel, quantiles

_ONE = f'* {WORKER}{{worker=~"$worker"}}'
"""Of the chosen workers, with their names."""


def _counted(counter: str, by: str) -> Query:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"sum by (cluster, {by}) (round(increase({counter}{{{SELECT}}}[5m])) {_ONE})", legend)


def _gauge(metric: str, legend: str) -> Query:
    return now(f"max by (cluster, worker) ({metric}{{{SELECT}}} {_ONE})", legend)


ROWS = (
    (
        "Calls",
        (
            panel(
                "Calls and slots",
                "Calls in progress, and how many the worker can serve.",
                "short",
                _gauge("voicefleet_calls_active", "{{worker}}"),
                _gauge("voicefleet_slots", "{{worker}} slots"),
                width=12,
                alert="VoicefleetHeadroomLow",
            ),
            panel(
                "TTFA heat map",
                "Turns by TTFA. The dots are turns with a trace: they lead to it.",
                "s",
                Query(
                    f"sum by (le) (increase(voicefleet_turn_ttfa_seconds_bucket{{{SELECT}}}[$__rate_interval]) {_ONE})",
                    "{{le}}",
                    exemplar=True,
                ),
                look="heat",
                width=12,
                to="voicefleet-call-quality",
            ),
            panel(
                "Calls in silence",
                "Their caller has waited for a voice for more than 10 s.",
                "short",
                _gauge("voicefleet_calls_silent", "{{worker}}"),
                red_above=1,
                alert="VoicefleetCallsSilent",
            ),
            panel(
                "Callers who waited for a voice",
                "How often that happened, in 5 minutes.",
                "short",
                _counted("voicefleet_silences_total", "worker"),
                alert="VoicefleetCallsSilent",
            ),
            panel(
                "Calls that ended",
                "In 5 minutes, by how.",
                "short",
                _counted("voicefleet_calls_total", "worker, result"),
                act="error: the agent's own code failed; its worker's log has the frames.",
            ),
        ),
    ),
    (
        "Start and end",
        (
            panel(
                "Asked for to taking calls",
                "By phase and in all, as the controller sees it.",
                "s",
                *quantiles("voicefleet_scaler_startup_seconds", "phase", qs=(0.95,)),
                alert="VoicefleetWorkerStartupSlow",
            ),
            panel(
                "Start of the process",
                "Process to registered with LiveKit, of the workers that are there. Each started once.",
                "s",
                *(
                    Query(
                        f"histogram_quantile({q:g}, sum by (cluster, phase, le) "
                        f'(voicefleet_worker_startup_seconds_bucket{{{SELECT},phase=~"init|register"}}))',
                        f"{{{{phase}}}} p{q * 100:g}",
                    )
                    for q in (0.5, 0.95)
                ),
                alert="VoicefleetWorkerStartupSlow",
            ),
            panel(
                "Pods or processes",
                "By how far they are, as Kubernetes or this machine says.",
                "short",
                now(f"max by (cluster, region, state) (voicefleet_instances{{{SELECT}}})", "{{region}} {{state}}"),
                look="stacked",
                alert="VoicefleetWorkersDoNotStart",
            ),
            panel(
                "Drains that ended",
                "Told to drain to the worker's end.",
                "s",
                *quantiles("voicefleet_drain_seconds"),
                alert="VoicefleetDrainStuck",
            ),
            panel(
                "Longest drain under way",
                "0 when no worker drains.",
                "s",
                now(f"max by (cluster, region) (voicefleet_drain_oldest_seconds{{{SELECT}}})"),
                alert="VoicefleetDrainStuck",
            ),
        ),
    ),
    (
        "What was lost",
        (
            panel(
                "Reports that Redis did not take",
                "In 5 minutes. Calls go on without them.",
                "short",
                _counted("voicefleet_report_failures_total", "worker"),
                alert="VoicefleetReportsLost",
            ),
            panel(
                "Observations that could not be read",
                "From job processes, in 5 minutes.",
                "short",
                _counted("voicefleet_observations_dropped_total", "worker"),
                alert="VoicefleetTTFATelemetryMissing",
            ),
            panel(
                "Parts of conversations",
                "Parts of call transcripts lost in 5 minutes, by reason.",
                "short",
                _counted("voicefleet_transcript_lost_total", "reason"),
                act="too_long: calls are longer than a transcript may be; redis: see the reports beside it.",
            ),
            panel(
                "The team's own code",
                "Failures that calls went on without, in 5 minutes, by what failed.",
                "short",
                _counted("voicefleet_hook_failures_total", "hook"),
                act="Any: the worker's log has the hook's error; calls went on without it.",
            ),
            panel(
                "Calls released",
                "Agents that left on purpose, in 5 minutes, by what ended their part. Nobody is sent there again.",
                "short",
                _counted("voicefleet_calls_released_total", "reason"),
                act="Nothing, unless there are more than your agents mean to: then look at what ends their part.",
            ),
            panel(
                "Calls taken over",
                "From another agent, in 5 minutes, by why.",
                "short",
                _counted("voicefleet_calls_resumed_total", "why"),
                alert="VoicefleetCallsLosingJobs",
            ),
            panel(
                "Handoffs held by work",
                "Waited for a call's tools, tasks and marks, or cut them off at the drain's limit, in 5 minutes.",
                "short",
                _counted("voicefleet_handoffs_held_total", "kind, result"),
                alert="VoicefleetDrainStuck",
            ),
            panel(
                "Steps on the ladder of tiers",
                "Of workers, in 5 minutes, by direction and reason: short of CPU, turns late, calm again.",
                "short",
                _counted("voicefleet_tier_steps_total", "direction, reason"),
                act="Down and up without end: the better tier does not fit. More CPU, fewer slots, or another ladder.",
            ),
            panel(
                "Calls that changed tier",
                "By the ladder, in 5 minutes: at their start, between two turns, or a change that failed.",
                "short",
                _counted("voicefleet_tier_changes_total", "result"),
                act="failed: the call stayed on its tier, and the worker's log says why.",
            ),
            panel(
                "Steps below the wanted tier",
                "0: each call has the tier that it asked for.",
                "short",
                _gauge("voicefleet_tier_level", "{{worker}}"),
                act="Above 0 for long: `voicefleet status` says which workers and why.",
            ),
            panel(
                "CPU of workers with a ladder",
                "The share that is used of what the worker may use.",
                "percentunit",
                _gauge("voicefleet_worker_cpu_ratio", "{{worker}}"),
                act="Above the ladder's cpu_down_ratio: workers step down.",
            ),
        ),
    ),
)
