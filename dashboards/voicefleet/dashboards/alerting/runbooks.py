"""The runbooks, made from the alerts themselves: no alert is without one.

They are a file to read in the repository, and the page `/runbooks` of each controller, where alerts lead to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from voicefleet.dashboards.alerting.alert import Alert
from voicefleet.dashboards.alerting.alerts import ALERTS
from voicefleet.dashboards.alerting.pages import PAGES
from voicefleet.dashboards.alerting.rules import burn_alert_name, ratio
from voicefleet.dashboards.alerting.slo import BURNS, OBJECTIVES, Objective

_LOOK_FIRST = {
    "ttfa_1500ms": (
        "histogram_quantile(0.95, sum by (cluster, region, stage, le) "
        "(rate(voicefleet_turn_stage_duration_seconds_bucket[5m])))",
        "histogram_quantile(0.95, sum by (cluster, region, tier, le) (rate(voicefleet_turn_ttfa_seconds_bucket[5m])))",
    ),
    "answer": (
        "sum by (cluster, region, stage, kind) (rate(voicefleet_provider_failures_total[5m]))",
        "sum by (cluster, region, reason) (rate(voicefleet_apologies_total[5m]))",
    ),
    "response": (
        "sum by (cluster, region, tier, result) (rate(voicefleet_responses_total[30m])) / on (cluster, region, tier) "
        "group_left () sum by (cluster, region, tier) (rate(voicefleet_responses_total[30m]))",
        "sum by (cluster, region, tier, result) (increase(voicefleet_tasks_total[30m]))",
    ),
    "admission": ("sum by (cluster, region, result) (rate(voicefleet_call_requests_total[5m]))",),
    "greeting": ("sum by (cluster, region, result) (rate(voicefleet_greeting_seconds_count[5m]))",),
    "call_setup": ("sum by (cluster, region, result) (rate(voicefleet_call_setup_seconds_count[5m]))",),
    "wait": (
        "max by (cluster, region) (voicefleet_calls_waiting)",
        "histogram_quantile(0.95, sum by (cluster, region, le) (rate(voicefleet_call_wait_seconds_bucket[5m])))",
    ),
    "mos": (
        "sum by (cluster, region, direction) (rate(voicefleet_call_packet_loss_ratio_sum[5m])) / "
        "sum by (cluster, region, direction) (rate(voicefleet_call_packet_loss_ratio_count[5m]))",
    ),
}
_LOOK_FIRST["ttfa_800ms"] = _LOOK_FIRST["ttfa_1500ms"]

_IMPACT = {
    "ttfa_1500ms": "Callers wait for answers so long that they ask again or hang up.",
    "ttfa_800ms": "Answers feel slow.",
    "answer": "Callers hear an apology, or nothing, in place of an answer.",
    "response": "Callers ask what was said, ask the same again, hang up in mid-answer, or get no answer.",
    "admission": "Callers do not get into a call at all.",
    "greeting": "Callers wait for the first word after they joined.",
    "call_setup": "Calls reach a worker, and its agent is late in the room or fails.",
    "wait": "Callers wait for an agent, or gave up.",
    "mos": "Caller and agent understand each other badly.",
}
_FILLED_IN = re.compile(r"{{ with printf .*$|{{ with .*?{{ end }}")
_LABEL = re.compile(r"{{ \$labels\.(\w+) }}")
_SLOW = (
    "Which stage grew? The stage panel of the call quality dashboard, then an exemplar's trace.",
    "A provider's stage: see VoicefleetProviderErrors and VoicefleetProviderTimeouts.",
    "No stage: the workers' CPU. Lower the slots per worker, or give them more CPU.",
)
_ACTIONS = {
    "ttfa_1500ms": _SLOW,
    "ttfa_800ms": (*_SLOW, "A faster tier: `vad.min_silence_s` and `endpointing.min_delay_s` are its floor."),
    "answer": (
        "Which stage fails, and how? See VoicefleetProviderErrors and VoicefleetProviderTimeouts.",
        "reason=unheard and the recogniser in health: noise that is taken for speech. Raise `apology.min_speech_s`, or "
        "`vad.activation_threshold`, of the tier.",
        "stage=other: the agent's own code answers nothing.",
    ),
    "response": (
        "Which result, which tier? See the panel of answers on the call quality dashboard. One tier alone: give it "
        "fewer calls (`tier` of the pool), or put back what was changed in it.",
        "unanswered: see VoicefleetAnswerBudgetBurn. asked_again: the voice or the line (VoicefleetMOSLow), or answers "
        "that miss the question: the recogniser. hung_up: too long, or wrong.",
        "`voicefleet call show ROOM` of a call of that time has each such answer, with its turn's stages before it.",
    ),
    "admission": ("full, unavailable or failed: see VoicefleetCallsRefused. limited: see VoicefleetCallsLimited.",),
    "greeting": (
        "result=apology: an apology was heard in its place; see VoicefleetTurnsFailing.",
        "result=silent: the agent said nothing; its factory or TTS fails, see the worker's log.",
        "Slow, not silent: job processes start cold. Raise `idle_processes`.",
    ),
    "call_setup": (
        "result=failed: the worker's log says why; the agent's own start raises, or LiveKit is not reached.",
        "Slow: job processes start cold, or the way to LiveKit is slow.",
    ),
    "wait": ("See VoicefleetCallsWaiting, VoicefleetScalerAtMax and VoicefleetWorkerStartupSlow.",),
    "mos": ("See VoicefleetMOSLow and VoicefleetLiveKitNodeLoad.",),
}


def markdown() -> str:
    """The whole file."""
    pages = [page.alert for page in PAGES]
    names = [*(a.name for a in pages), *(burn_alert_name(o) for o in OBJECTIVES), *(a.name for a in ALERTS)]
    parts = [
        "# Runbooks",
        "<!-- Made by `voicefleet dashboards generate`; the text is in dashboards/voicefleet/dashboards/. -->",
        "One for each alert of the Prometheus rules, under the alert's name. `voicefleet status` shows the fleet "
        "without Grafana; its `--json` is for scripts.",
        "\n".join(f"- [{name}](#{name.lower()})" for name in names),
        *(_cause(alert) for alert in pages),
        *(_objective(objective) for objective in OBJECTIVES),
        *(_cause(alert) for alert in ALERTS),
    ]
    return "\n\n".join(parts) + "\n"


def _objective(objective: Objective) -> str:
    windows = "; ".join(f"{b.long}/{b.short} at {b.factor:g} times: {b.severity}" for b in BURNS)
    return _runbook(
        burn_alert_name(objective),
        f"Promised over 30 days: {objective.title}. The alert says that the budget of bad events "
        f"({objective.budget:.1%}) is being spent too fast ({windows}).",
        _IMPACT[objective.name],
        (f'{ratio("1h")}{{slo="{objective.name}"}}', *_LOOK_FIRST[objective.name]),
        _ACTIONS[objective.name],
        "critical: now, the team that runs the fleet. warning: its next working day.",
    )


def _cause(alert: Alert) -> str:
    return _runbook(
        alert.name, meaning(alert.description), alert.impact, alert.queries, alert.actions, alert.escalation
    )


def meaning(description: str) -> str:
    """A description without what Prometheus fills in when the alert fires.

    >>> meaning("None {{ with $labels.cluster }}of {{ . }} {{ end }}answers {{ $labels.dependency }}.")
    'None answers the dependency.'
    """
    without = _FILLED_IN.sub("", description)
    return _LABEL.sub(r"the \1", without).strip()


def _runbook(
    name: str, meaning: str, impact: str, queries: Sequence[str], actions: Sequence[str], escalation: str
) -> str:
    looked_at = "\n".join(queries)
    steps = "\n".join(f"{number}. {action}" for number, action in enumerate(actions, 1))
    return (
        f"## {name}\n\n{meaning}\n\n**Impact.** {impact}\n\n**Queries**\n\n```promql\n{looked_at}\n```\n\n"
        f"**Actions**\n\n{steps}\n\n**Escalation.** {escalation}"
    )
