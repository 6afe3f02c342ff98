"""Single workers."""

from __future__ import annotations

from voicefleet.dashboards.panels import SELECT, Query, now, panel, quantiles

_ONE = f'{SELECT},instance=~"$instance"'


def _rate(counter: str, by: str) -> Query:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"sum by ({by}) (rate({counter}{{{_ONE}}}[$__rate_interval]))", legend)


ROWS = (
    (
        "Calls",
        (
            panel(
                "Calls and slots",
                "Calls in progress, and how many the worker can serve.",
                "short",
                now(f"voicefleet_calls_active{{{_ONE}}}", "{{instance}}"),
                now(f"voicefleet_slots{{{_ONE}}}", "{{instance}} slots"),
                width=12,
            ),
            panel(
                "TTFA heat map",
                "Turns by TTFA. The dots are turns with a trace: they lead to it.",
                "s",
                Query(
                    f"sum by (le) (increase(voicefleet_turn_ttfa_seconds_bucket{{{_ONE}}}[$__rate_interval]))",
                    "{{le}}",
                    exemplar=True,
                ),
                look="heat",
                width=12,
            ),
            panel(
                "Calls in silence",
                "Their caller has waited for a voice for more than 10 s.",
                "short",
                now(f"voicefleet_calls_silent{{{_ONE}}}", "{{instance}}"),
                red_above=1,
            ),
            panel(
                "Callers who waited for a voice",
                "How often that happened, per second.",
                "reqps",
                _rate("voicefleet_silences_total", "instance"),
            ),
            panel(
                "Calls that ended",
                "Per second, by how.",
                "reqps",
                _rate("voicefleet_calls_total", "instance, result"),
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
            ),
            panel(
                "Pods or processes",
                "By how far they are, as Kubernetes or this machine says.",
                "short",
                now(f"max by (cluster, region, state) (voicefleet_instances{{{SELECT}}})", "{{region}} {{state}}"),
                look="stacked",
            ),
            panel(
                "Drains that ended",
                "Told to drain to the worker's end.",
                "s",
                *quantiles("voicefleet_drain_seconds"),
            ),
            panel(
                "Longest drain under way",
                "0 when no worker drains.",
                "s",
                now(f"max by (cluster, region) (voicefleet_drain_oldest_seconds{{{SELECT}}})"),
            ),
        ),
    ),
    (
        "What was lost",
        (
            panel(
                "Reports that Redis did not take",
                "Per second. Calls go on without them.",
                "reqps",
                _rate("voicefleet_report_failures_total", "instance"),
            ),
            panel(
                "Observations that could not be read",
                "From job processes, per second.",
                "reqps",
                _rate("voicefleet_observations_dropped_total", "instance"),
            ),
            panel(
                "Parts of conversations",
                "Parts of call transcripts lost per second, by reason.",
                "reqps",
                _rate("voicefleet_transcript_lost_total", "reason"),
            ),
            panel(
                "The team's own code",
                "Failures that calls went on without, per second, by what failed.",
                "reqps",
                _rate("voicefleet_hook_failures_total", "hook"),
            ),
            panel(
                "Calls released",
                "Agents that left on purpose, per second, by what ended their part. Nobody is sent there again.",
                "reqps",
                _rate("voicefleet_calls_released_total", "reason"),
            ),
            panel(
                "Calls taken over",
                "From another agent, per second, by why.",
                "reqps",
                _rate("voicefleet_calls_resumed_total", "why"),
            ),
            panel(
                "Handoffs held by work",
                "Waited for a call's tools, tasks and marks, or cut them off at the drain's limit, per second.",
                "reqps",
                _rate("voicefleet_handoffs_held_total", "kind, result"),
            ),
        ),
    ),
)
