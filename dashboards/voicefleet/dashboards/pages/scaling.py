"""Why did it scale?"""

from __future__ import annotations

from voicefleet.dashboards.panels import BY, SELECT, Query, counted, now, panel, per_second

ROWS = (
    (
        "Wanted and there",
        (
            panel(
                "Workers",
                "What the scaler wants, what serves now or soon, and the bounds. Lines of annotations mark changes.",
                "short",
                now(f"max {BY} (voicefleet_scaler_desired_workers{{{SELECT}}})", "{{region}} wanted"),
                now(f"max {BY} (voicefleet_scaler_current_workers{{{SELECT}}})", "{{region}} there"),
                now(f"max {BY} (voicefleet_scaler_min_workers{{{SELECT}}})", "{{region}} least"),
                now(f"max {BY} (voicefleet_scaler_max_workers{{{SELECT}}})", "{{region}} most"),
                width=16,
                height=10,
                to="voicefleet-region",
            ),
            panel(
                "Decisions by reason",
                "Passes per second, by where their number came from.",
                "reqps",
                per_second("voicefleet_scaler_decisions_total", "reason"),
                look="stacked",
                height=10,
                act="`voicefleet explain REGION` lists the last of them with their numbers.",
            ),
        ),
    ),
    (
        "What it was decided from",
        (
            panel(
                "Signals",
                "The numbers that went into the last decision, by name.",
                "short",
                now(
                    f"max by (cluster, region, signal) (voicefleet_scaler_signal{{{SELECT}}})", "{{region}} {{signal}}"
                ),
                width=12,
                act="`voicefleet explain REGION` says which of them decided.",
            ),
            panel(
                "Ups and downs",
                "Passes in 5 minutes that changed the number of workers.",
                "short",
                counted("voicefleet_scaler_decisions_total", "direction", 'direction!="same"'),
                width=12,
                alert="VoicefleetScalerFlapping",
            ),
            panel(
                "Chance that a new caller waits",
                "As the predictive policy reckons it; the buffer policy does not, and has no line here.",
                "percentunit",
                now(f"max {BY} (voicefleet_scaler_wait_probability{{{SELECT}}})"),
                most=1,
                alert="VoicefleetHeadroomLow",
            ),
            panel(
                "Since the last whole pass",
                "Grows while something is not known: then the pool does not shrink.",
                "s",
                Query(
                    f"time() - max {BY} (voicefleet_scaler_last_success_timestamp_seconds{{{SELECT}}})", "{{region}}"
                ),
                red_above=60,
                alert="VoicefleetScalerStale",
            ),
            panel(
                "Leader",
                "Controllers that scale: one, or nobody does.",
                "short",
                now("sum by (cluster) (voicefleet_leader)", "{{cluster}}"),
                red_below=1,
                alert="VoicefleetNoLeader",
            ),
            panel(
                "Reads that failed",
                "In 5 minutes, by what was read.",
                "short",
                counted("voicefleet_observe_failures_total", "source"),
                alert="VoicefleetDependencyDown",
            ),
            panel(
                "Rooms that cannot be listed",
                "LiveKit has them and does not tell who is in them. Their calls stay as they were.",
                "short",
                now(f"max {BY} (voicefleet_rooms_unknown{{{SELECT}}})"),
                red_above=1,
                alert="VoicefleetDependencyDown",
            ),
        ),
    ),
)
