"""One region: callers, slots, workers, repair."""

from __future__ import annotations

from voicefleet.dashboards.panels import BY, SELECT, WORKER, counted, now, panel, per_second, quantiles

ROWS = (
    (
        "Callers",
        (
            panel(
                "Calls",
                "Live and waiting; set aside are those that want no agent.",
                "short",
                now(f"max {BY} (voicefleet_calls_live{{{SELECT}}})", "{{region}} live"),
                now(f"max {BY} (voicefleet_calls_waiting{{{SELECT}}})", "{{region}} waiting"),
                now(f"max {BY} (voicefleet_calls_set_aside{{{SELECT}}})", "{{region}} set aside"),
                now(f"max {BY} (voicefleet_region_calls_silent{{{SELECT}}})", "{{region}} silent"),
                width=12,
                alert="VoicefleetCallsWaiting",
            ),
            panel(
                "Slots",
                "Of ready workers, and those taken.",
                "short",
                now(f"sum {BY} (voicefleet_slots{{{SELECT}}})", "{{region}} slots"),
                now(f"sum {BY} (voicefleet_calls_active{{{SELECT}}})", "{{region}} taken"),
                width=12,
                to="voicefleet-worker",
            ),
            panel(
                "Wait of calls that waited",
                "Caller joined to an agent's claim, for calls that waited longer than the grace.",
                "s",
                *quantiles("voicefleet_call_wait_seconds"),
                alert="VoicefleetWaitBudgetBurn",
            ),
            panel(
                "Callers who gave up",
                "In 5 minutes: they left while they waited. Each controller counts them all.",
                "short",
                now(f"max {BY} (round(increase(voicefleet_calls_abandoned_total{{{SELECT}}}[5m])))"),
                alert="VoicefleetWaitBudgetBurn",
            ),
            panel(
                "Offers of calls",
                "To workers, per second, by their answer.",
                "reqps",
                per_second("voicefleet_job_requests_total", "answer"),
                act="More refused than taken while slots are free: look at those workers' logs.",
            ),
        ),
    ),
    (
        "Repair",
        (
            panel(
                "Dispatches for waiting calls",
                "In 5 minutes, by what came of them.",
                "short",
                counted("voicefleet_dispatches_total", "result"),
                alert="VoicefleetCallsWaiting",
            ),
            panel(
                "Calls recovered",
                "Taken from a dead or stalled job, in 5 minutes, by what revealed it.",
                "short",
                counted("voicefleet_calls_recovered_total", "reason"),
                alert="VoicefleetCallsLosingJobs",
            ),
            panel(
                "Time to notice",
                "Last sign of life of a job to the moment its call was free for another.",
                "s",
                *quantiles("voicefleet_recovery_detection_seconds"),
                alert="VoicefleetCallsLosingJobs",
            ),
            panel(
                "Handoffs",
                "Live calls that moved to another worker, in 5 minutes, by how it went.",
                "short",
                counted("voicefleet_calls_handed_off_total", "result"),
                alert="VoicefleetHandoffsFailing",
            ),
            panel(
                "Probes",
                "Agents asked through LiveKit whether they live, in 5 minutes, by their answer.",
                "short",
                counted("voicefleet_probes_total", "result"),
                act=(
                    "unanswered, again and again: a worker hangs or LiveKit does not reach it; `voicefleet status` "
                    "names it, `voicefleet drain WORKER` empties it."
                ),
            ),
            panel(
                "Longest wait",
                "For how long the caller has waited for an agent who waits longest.",
                "s",
                now(f"max {BY} (voicefleet_call_oldest_wait_seconds{{{SELECT}}})", "{{region}}"),
                alert="VoicefleetCallsWaiting",
            ),
            panel(
                "Waiting messages",
                "To waiting callers, in 5 minutes, by how they ended.",
                "short",
                counted("voicefleet_waiting_messages_total", "result"),
                alert="VoicefleetCallsWaiting",
            ),
            panel(
                "Dials",
                "Attempts to call a number, in 5 minutes, by how they ended.",
                "short",
                counted("voicefleet_dials_total", "result"),
                act=(
                    "failed: the trunk or its provider refuses; `voicefleet call show ROOM` has the SIP status of one."
                ),
            ),
            panel(
                "Dispatched without Redis, workers ended",
                "In 5 minutes: dispatches while Redis was away; hanging workers without a call that were ended.",
                "short",
                counted("voicefleet_outage_dispatches_total", legend="dispatches"),
                counted("voicefleet_workers_killed_total", legend="workers ended"),
                alert="VoicefleetDependencyDown",
            ),
        ),
    ),
    (
        "Workers",
        (
            panel(
                "Workers by state",
                "As the controller sees them.",
                "short",
                now(f"max by (cluster, region, state) (voicefleet_workers{{{SELECT}}})", "{{region}} {{state}}"),
                look="stacked",
                width=12,
                to="voicefleet-worker",
            ),
            panel(
                "Calls per worker",
                "Where calls are now.",
                "short",
                now(f"max by (cluster, worker) (voicefleet_calls_active{{{SELECT}}} * {WORKER})", "{{worker}}"),
                look="stacked",
                width=12,
                to="voicefleet-worker",
            ),
        ),
    ),
)
