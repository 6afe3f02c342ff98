"""What a call is like: speed by stage, interruptions, silence, the line."""

from __future__ import annotations

from voicefleet.dashboards.panels import SELECT, Query, counted, mean, now, panel, per_second, quantiles

ROWS = (
    (
        "Speed",
        (
            panel(
                "TTFA heat map",
                "Turns by TTFA. The dots are turns with a trace: they lead to it.",
                "s",
                Query(
                    f"sum by (le) (increase(voicefleet_turn_ttfa_seconds_bucket{{{SELECT}}}[$__rate_interval]))",
                    "{{le}}",
                    exemplar=True,
                ),
                look="heat",
                width=12,
                alert="VoicefleetTtfa1500msBudgetBurn",
            ),
            panel(
                "TTFA by tier",
                "Caller's end of speech to the agent's first audio.",
                "s",
                *quantiles("voicefleet_turn_ttfa_seconds", "tier"),
                width=12,
                alert="VoicefleetTtfa800msBudgetBurn",
            ),
            panel(
                "Stages",
                "Median time of each stage. eou: end of speech to the decision that the turn is over.",
                "s",
                *quantiles("voicefleet_turn_stage_duration_seconds", "stage", qs=(0.5,)),
                alert="VoicefleetTtfa1500msBudgetBurn",
            ),
            panel(
                "Stages, the slowest twentieth",
                "95th percentile of each stage and provider.",
                "s",
                *quantiles("voicefleet_turn_stage_duration_seconds", "stage, provider", qs=(0.95,)),
                alert="VoicefleetProviderTimeouts",
            ),
            panel(
                "Greeting and set-up",
                "Job given to the worker to the first audio, and to the agent's ear in the room.",
                "s",
                *quantiles("voicefleet_greeting_seconds", "result", qs=(0.95,), name="greeting"),
                *quantiles("voicefleet_call_setup_seconds", "result", qs=(0.95,), name="set-up"),
                alert="VoicefleetGreetingBudgetBurn",
            ),
        ),
    ),
    (
        "Conversation",
        (
            panel(
                "Turns",
                "Per second, by how they ended.",
                "reqps",
                per_second("voicefleet_turns_total", "outcome"),
                alert="VoicefleetTurnsFailing",
            ),
            panel(
                "How answers went down",
                "Share of answers by what the caller did next. asked_again: what? or the same question; hung_up: in "
                "mid-answer; left_after: within 3 s of its end, without a goodbye.",
                "percentunit",
                Query(
                    "sum by (cluster, tier, result) "
                    f'(rate(voicefleet_responses_total{{{SELECT},result!="ok"}}[$__rate_interval])) '
                    "/ on (cluster, tier) group_left () "
                    f"sum by (cluster, tier) (rate(voicefleet_responses_total{{{SELECT}}}[$__rate_interval]))",
                    "{{tier}} {{result}}",
                ),
                alert="VoicefleetResponseBudgetBurn",
            ),
            panel(
                "Tasks done",
                "Share of the tasks that agents report by `current_call().report()` that succeeded, by tier.",
                "percentunit",
                Query(
                    "sum by (cluster, tier) "
                    f'(rate(voicefleet_tasks_total{{{SELECT},result="success"}}[$__rate_interval])) '
                    f"/ sum by (cluster, tier) (rate(voicefleet_tasks_total{{{SELECT}}}[$__rate_interval]))",
                    "{{tier}}",
                ),
                act="Fewer since a change of the tier: a canary of tiers says whether it is chance.",
            ),
            panel(
                "Canaries",
                "1 for the state that each canary, a version or a tier, is in.",
                "short",
                now(
                    f"max by (cluster, region, version, state) (voicefleet_canary_state{{{SELECT}}}) > 0",
                    "{{region}} {{version}} {{state}}",
                ),
                alert="VoicefleetCanaryRolledBack",
            ),
            panel(
                "Speech into the agent's voice",
                "In 5 minutes. barge_in: it took the turn; backchannel: the agent spoke on; false: it was no speech.",
                "short",
                counted("voicefleet_interruptions_total", "kind"),
                act="Many false: noise takes turns; raise `interruption.min_duration_s` of the tier.",
            ),
            panel(
                "Stop after a barge-in",
                "Onset of the caller's speech to the agent's silence.",
                "s",
                *quantiles("voicefleet_barge_in_stop_seconds"),
                alert="VoicefleetBargeInSlow",
            ),
            panel(
                "Callers in silence",
                "An agent has the call, and its caller has waited for a voice for more than 10 s.",
                "short",
                now(f"sum by (cluster, region) (voicefleet_calls_silent{{{SELECT}}})"),
                red_above=1,
                alert="VoicefleetCallsSilent",
            ),
            panel(
                "Apologies",
                "Recorded words said because nothing else came in time, in 5 minutes, by why.",
                "short",
                counted("voicefleet_apologies_total", "reason"),
                alert="VoicefleetTurnsFailing",
            ),
            panel(
                "Provider failures",
                "In 5 minutes, by stage and how.",
                "short",
                counted("voicefleet_provider_failures_total", "stage, kind"),
                alert="VoicefleetProviderErrors",
            ),
            panel(
                "Fallbacks",
                "Providers given up for the next of their stage, in 5 minutes.",
                "short",
                counted("voicefleet_fallbacks_total", "stage"),
                alert="VoicefleetProviderErrors",
            ),
        ),
    ),
    (
        "The line, between worker and LiveKit",
        (
            panel(
                "Estimated MOS",
                "E-model of ITU-T G.107, every 5 s of each call: an estimate. Inbound includes the callers' own paths.",
                "short",
                mean("voicefleet_call_mos_estimated", "direction"),
                red_below=3.6,
                most=4.5,
                alert="VoicefleetMOSLow",
            ),
            panel(
                "LiveKit's own score",
                "Its connection quality, 1 to 5: another model than the MOS beside it.",
                "short",
                Query(
                    f"sum by (cluster, region) (rate(livekit_quality_score_sum{{{SELECT}}}[$__rate_interval])) / "
                    f"sum by (cluster, region) (rate(livekit_quality_score_count{{{SELECT}}}[$__rate_interval]))",
                    "{{region}}",
                ),
                alert="VoicefleetMOSLow",
            ),
            panel(
                "Packets lost",
                "Share of those expected.",
                "percentunit",
                mean("voicefleet_call_packet_loss_ratio", "direction"),
                alert="VoicefleetMOSLow",
            ),
            panel(
                "Jitter",
                "Interarrival jitter.",
                "s",
                mean("voicefleet_call_jitter_seconds", "direction"),
                alert="VoicefleetMOSLow",
            ),
            panel(
                "Round trip",
                "Between worker and LiveKit.",
                "s",
                *quantiles("voicefleet_call_rtt_seconds"),
                alert="VoicefleetMOSLow",
            ),
            panel(
                "Sound made up",
                "Share of samples that the receiver had to conceal.",
                "percentunit",
                Query(
                    "sum by (cluster, direction) "
                    f"(rate(voicefleet_concealed_samples_total{{{SELECT}}}[$__rate_interval])) / "
                    f"sum by (cluster, direction) (rate(voicefleet_samples_total{{{SELECT}}}[$__rate_interval]))",
                    "{{direction}}",
                ),
                alert="VoicefleetMOSLow",
            ),
            panel(
                "LiveKit's time to publish and subscribe",
                "A saturated media server shows here. More workers do not help it.",
                "ms",
                *quantiles("livekit_pubsubtime_ms", "direction"),
                alert="VoicefleetLiveKitNodeLoad",
            ),
            panel(
                "Participants on LiveKit",
                "Callers, agents and whoever else is on these servers.",
                "short",
                now(f"sum by (cluster, region) (livekit_participant_total{{{SELECT}}})"),
                alert="VoicefleetLiveKitNodeLoad",
            ),
        ),
    ),
)
