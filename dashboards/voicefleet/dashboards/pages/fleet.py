"""All regions at one look."""

from __future__ import annotations

from voicefleet.dashboards.alerting.rules import BUDGET, ratio
from voicefleet.dashboards.panels import BY, SELECT, Query, now, panel, per_second, quantiles

ROWS = (
    (
        "Now",
        (
            panel(
                "Callers waiting",
                "In a room without an agent for more than the grace. Anything above zero is a caller in silence.",
                "short",
                now(f"sum(max {BY} (voicefleet_calls_waiting{{{SELECT}}}))", "waiting"),
                look="number",
                width=4,
                height=5,
                red_above=1,
                to="voicefleet-region",
            ),
            panel(
                "Callers in silence",
                "An agent has the call, and the caller has waited for a voice for more than 10 s.",
                "short",
                now(f"sum(max {BY} (voicefleet_region_calls_silent{{{SELECT}}}))", "silent"),
                look="number",
                width=4,
                height=5,
                red_above=1,
                to="voicefleet-call-quality",
            ),
            panel(
                "Live calls",
                "Calls with an agent.",
                "short",
                now(f"sum(max {BY} (voicefleet_calls_live{{{SELECT}}}))", "live"),
                look="number",
                width=4,
                height=5,
                to="voicefleet-region",
            ),
            panel(
                "Ready workers",
                "Workers that take calls.",
                "short",
                now(f'sum(max {BY} (voicefleet_workers{{{SELECT},state="ready"}}))', "ready"),
                look="number",
                width=4,
                height=5,
                red_below=1,
                alert="VoicefleetRegionNoWorkers",
            ),
            panel(
                "Slots taken",
                "Calls of all slots there are.",
                "percentunit",
                now(f"sum(voicefleet_calls_active{{{SELECT}}}) / sum(voicefleet_slots{{{SELECT}}})", "taken"),
                look="number",
                width=4,
                height=5,
                red_above=0.9,
                most=1,
                alert="VoicefleetHeadroomLow",
            ),
            panel(
                "Worst budget, 1 h",
                "How many times too fast the worst objective spends its budget of 30 days; above 1 it will be missed.",
                "short",
                now(f"max({ratio('1h')}{{{SELECT}}} / on (slo) group_left () {BUDGET})", "times"),
                look="number",
                width=4,
                height=5,
                red_above=1,
                to="voicefleet-slo",
            ),
        ),
    ),
    (
        "Callers",
        (
            panel(
                "TTFA",
                "Caller's end of speech to the agent's first audio, as the agent sees it. The caller hears it a "
                "network path and a playout buffer later.",
                "s",
                *quantiles("voicefleet_turn_ttfa_seconds"),
                width=12,
                to="voicefleet-call-quality",
            ),
            panel(
                "Live calls by region",
                "Calls with an agent.",
                "short",
                now(f"max {BY} (voicefleet_calls_live{{{SELECT}}})"),
                look="stacked",
                width=12,
                to="voicefleet-region",
            ),
            panel(
                "Waiting calls by region",
                "Callers in a room without an agent.",
                "short",
                now(f"max {BY} (voicefleet_calls_waiting{{{SELECT}}})"),
                to="voicefleet-region",
            ),
            panel(
                "Calls that ended",
                "Per second, by how. taken_over: another worker had to take the call.",
                "reqps",
                per_second("voicefleet_calls_total", "result"),
                to="voicefleet-call-quality",
            ),
            panel(
                "Turns without an answer",
                "In 5 minutes: those with an apology, or nothing for 10 s; and provider failures by stage and kind.",
                "short",
                Query(
                    f'sum by (region) (rate(voicefleet_turns_total{{{SELECT},outcome="error"}}[$__rate_interval]))',
                    "{{region}} unanswered",
                ),
                Query(
                    "sum by (region, stage, kind) "
                    f"(rate(voicefleet_provider_failures_total{{{SELECT}}}[$__rate_interval]))",
                    "{{region}} {{stage}} {{kind}}",
                ),
                to="voicefleet-call-quality",
            ),
            panel(
                "Refused callers",
                "Requests for a call that got no ticket, in 5 minutes, by why. full: raise max_workers; limited: a "
                "key's own limit; unavailable, failed: the controller.",
                "short",
                Query(
                    "sum by (region, result) (increase(voicefleet_call_requests_total"
                    f'{{{SELECT},result!~"ticket|dialled"}}[5m]))',
                    "{{region}} {{result}}",
                ),
                to="voicefleet-region",
            ),
            panel(
                "Placed calls",
                "Of a fleet with several regions, in 5 minutes, by what led them there. spill: those that come first "
                "had no room, or were unwell.",
                "short",
                Query(
                    f"sum by (region, reason) (increase(voicefleet_placements_total{{{SELECT}}}[5m]))",
                    "{{region}} {{reason}}",
                ),
                to="voicefleet-region",
            ),
            panel(
                "Ignored round trips",
                "Measured by callers, in 5 minutes, by why they were not believed. forged: a token that is not ours, "
                "or of another key.",
                "short",
                Query(
                    'sum by (reason) (round(increase(voicefleet_round_trips_ignored_total{cluster=~"$cluster"}[5m])))',
                    "{{reason}}",
                ),
                to="voicefleet-region",
            ),
            panel(
                "Turns",
                "Per second, by how they ended. error: no reply was spoken.",
                "reqps",
                per_second("voicefleet_turns_total", "outcome"),
                alert="VoicefleetTurnsFailing",
            ),
        ),
    ),
    (
        "Platform",
        (
            panel(
                "Workers",
                "By state, all regions.",
                "short",
                now(f"sum by (state) (max by (cluster, region, state) (voicefleet_workers{{{SELECT}}}))", "{{state}}"),
                look="stacked",
                to="voicefleet-scaling",
            ),
            panel(
                "Cost an hour",
                "Of the workers that run now, at the pool's `price_per_worker_hour`; empty without one.",
                "short",
                now(
                    "sum by (currency) (max by (cluster, region, currency) "
                    f"(voicefleet_pool_cost_per_hour{{{SELECT}}}))",
                    "{{currency}}",
                ),
                look="stacked",
                to="voicefleet-scaling",
            ),
            panel(
                "Requests for calls",
                "To the controller's API, per second, by answer. It speaks for all regions.",
                "reqps",
                Query("sum by (status) (rate(voicefleet_api_requests_total[$__rate_interval]))", "{{status}}"),
                alert="VoicefleetCallsRefused",
            ),
            panel(
                "Webhooks from LiveKit",
                "Per second, by what came of them.",
                "reqps",
                Query("sum by (result) (rate(voicefleet_webhooks_total[$__rate_interval]))", "{{result}}"),
                act=(
                    "None for long, and calls come: LiveKit's `webhook.urls` must name /webhooks/livekit/REGION; "
                    "calls are found by listing meanwhile. unsigned, bad_signature: its key is not the region's."
                ),
            ),
            panel(
                "Call events",
                "In 5 minutes, by what came of each try to tell a receiver; and those not told to it yet.",
                "short",
                Query("sum by (result) (round(increase(voicefleet_call_events_total[5m])))", "{{result}}"),
                Query("sum by (receiver) (voicefleet_call_events_waiting)", "waiting for {{receiver}}"),
                alert="VoicefleetCallEventsLate",
            ),
            panel(
                "Requests given up",
                "By every HTTP server of ours, in 5 minutes, by why. Malformed or slow ones are of no client of ours.",
                "short",
                Query("sum by (reason) (round(increase(voicefleet_http_refused_total[5m])))", "{{reason}}"),
                act="Many: the log of what serves them names the address; close it to others by a network policy.",
            ),
            panel(
                "Refused keys and joins",
                "Requests with an API key that is none, and old tickets used again; in 5 minutes.",
                "short",
                Query("sum by (result) (round(increase(voicefleet_auth_failures_total[5m])))", "key {{result}}"),
                Query("sum by (reason) (round(increase(voicefleet_joins_refused_total[5m])))", "join {{reason}}"),
                act=(
                    "Many: a front end has an old key, or somebody guesses; the controller's log has the address. "
                    "`voicefleet keys` makes new ones."
                ),
            ),
            panel(
                "Traces",
                "Spans per second, by what became of them. Empty where nobody traces.",
                "reqps",
                Query("sum by (result) (rate(voicefleet_spans_total[$__rate_interval]))", "{{result}}"),
                alert="VoicefleetTracesLost",
            ),
        ),
    ),
)
