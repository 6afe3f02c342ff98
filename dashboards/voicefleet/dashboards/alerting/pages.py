"""Pages on the share of bad events: half of all is told within 2 minutes, a twentieth within 10.

A budget of 30 days says how fast a promise is spent; who is on call must know sooner that callers get no answer now.
The two windows share a name. The long one is for what is too little for the short one, and is silent while that one
fired within it, so that all is over a minute after the remedy.

The counts are increases over minutes: real events, since nothing here is younger than its window for long.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract.metrics import Metric, controller, worker
from voicefleet.dashboards.alerting.alert import Alert
from voicefleet.dashboards.alerting.slo import BY

RATIO_2M = "region_page:voicefleet_bad:ratio2m"
"""The share of bad events over 2 minutes, where enough were bad to page; label `page`."""
EVENTS = "region_page:voicefleet_events:increase"
BAD = "region_page:voicefleet_bad_events:increase"
WINDOWS = ("1m", "2m", "3m", "10m")
"""Names of recordings end with one of these."""

HALF_RATIO, HALF_LEAST, HALF_HOLD = 0.25, 4, "15s"
"""Over 2 minutes and over the last one. A share of a half is past this after a minute."""
OVER_RATIO, OVER_LEAST = 0.35, 10
TWENTIETH_RATIO, TWENTIETH_LEAST, TWENTIETH_HOLD = 0.04, 10, "1m"
"""Over 10 minutes. A share of a twentieth is past this after 8."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is paged on. `events` and `bad` are sums of increases; {window} stands in them for how long."""

    key: str
    events: str
    bad: str
    alert: Alert
    """Its name, words and runbook; the expressions are made here."""

    def expression(self, window: str) -> str:
        """When the alert of `window` (2m or 10m) fires."""
        page = f'{{page="{self.key}"}}'
        if window == "2m":
            now = f"{BAD}1m{page} / ({EVENTS}1m{page} > 0)"
            # Where there were many, far fewer than in the minute before say that it is over.
            over = f"{BAD}1m{page} < {OVER_RATIO} * ({BAD}2m{page} - {BAD}1m{page}) and {BAD}2m{page} >= {OVER_LEAST}"
            return f"{RATIO_2M}{page} >= {HALF_RATIO} and {now} >= {HALF_RATIO} unless ({over})"
        ratio = f"{BAD}10m{page} / ({EVENTS}10m{page} > 0)"
        return (
            f"{ratio} >= {TWENTIETH_RATIO} and {BAD}10m{page} >= {TWENTIETH_LEAST} and {BAD}3m{page} > 0"
            f" unless max_over_time({RATIO_2M}{page}[10m]) >= {HALF_RATIO}"
        )

    def recordings(self) -> list[dict[str, object]]:
        """The counts by window, then the share over 2 minutes."""
        page = {"page": self.key}
        found: list[dict[str, object]] = []
        for window in WINDOWS:
            for name, counted in ((EVENTS, self.events), (BAD, self.bad)):
                expr = counted.replace("{window}", window)
                found.append({"record": f"{name}{window}", "expr": expr, "labels": page})
        selected = f'{{page="{self.key}"}}'
        ratio = f"{BAD}2m{selected} / ({EVENTS}2m{selected} > 0) and {BAD}2m{selected} >= {HALF_LEAST}"
        return [*found, {"record": RATIO_2M, "expr": ratio, "labels": page}]


def _count(metric: Metric, matchers: str = "") -> str:
    selected = f"{{{matchers}}}" if matchers else ""
    return f"sum {BY} (increase({metric.name}_total{selected}[{{window}}]))"


def _both(one: str, other: str) -> str:
    return f"({one} + {other})"


MOST_FAILURES = (
    '{{ with printf "topk(1, sum by (stage, kind) (increase(voicefleet_provider_failures_total'
    '{cluster=%q,region=%q}[5m])) > 0)" $labels.cluster $labels.region | query }}'
    "{{ with . | first }}Most failures are of {{ .Labels.stage }}, {{ .Labels.kind }} "
    '({{ .Value | printf "%.0f" }} in 5 minutes).{{ end }}'
    "{{ else }}No provider failed that a worker knows of.{{ end }}"
)
MOST_REFUSED = (
    '{{ with printf "topk(1, sum by (result) (increase(voicefleet_call_requests_total'
    '{cluster=%q,region=%q,result=~\\"full|unavailable|failed\\"}[5m])) > 0)" $labels.cluster $labels.region | query }}'
    '{{ with . | first }}Most of them: {{ .Labels.result }} ({{ .Value | printf "%.0f" }} in 5 minutes).{{ end }}'
    "{{ end }}"
)

PAGES = (
    Page(
        "turns",
        events=_both(_count(worker.TURNS, 'outcome!="session_closed"'), _count(worker.APOLOGIES, 'reason="greeting"')),
        bad=_both(_count(worker.TURNS, 'outcome="error"'), _count(worker.APOLOGIES, 'reason=~"greeting|cut_short"')),
        alert=Alert(
            "VoicefleetTurnsFailing",
            "critical",
            "",
            "",
            "{{ $labels.region }}: {{ $value | humanizePercentage }} of turns get no answer",
            "Callers hear an apology, or nothing, in place of an answer or of the greeting. " + MOST_FAILURES,
            "voicefleet-call-quality",
            "Callers ask, and hear an apology after some seconds instead of an answer. They hang up.",
            (
                "sum by (cluster, region, stage, kind) (increase(voicefleet_provider_failures_total[5m]))",
                "sum by (cluster, region, reason) (increase(voicefleet_apologies_total[5m]))",
                "sum by (cluster, region, outcome) (increase(voicefleet_turns_total[5m]))",
            ),
            (
                "The alert names the stage (stt, llm, tts) and how it fails. timeout: it hangs; refused: key, quota or "
                "rate limit; connection: their service or your egress. Look at that provider's status page.",
                "Change the tier: give the stage a `fallback` in the tiers file, or have callers use another tier; "
                "workers that start from then on have it (`voicefleet drain WORKER` replaces the others one by one).",
                "Stage other: the agent's own code answers nothing and asks no provider. Roll back its last release.",
                "Place a call: `voicefleet call`. It says `an apology instead of an answer` while this goes on.",
                "`voicefleet calls past --from 1h --silent` lists the calls whose caller heard nobody, and `voicefleet "
                "call show ROOM` says of each silence when, why, and where to look.",
            ),
            "The provider's support, and the team that owns the agent.",
        ),
    ),
    Page(
        "calls",
        events=_count(controller.CALL_REQUESTS),
        bad=_count(controller.CALL_REQUESTS, 'result=~"full|unavailable|failed"'),
        alert=Alert(
            "VoicefleetCallsRefused",
            "critical",
            "",
            "",
            "{{ $labels.region }}: {{ $value | humanizePercentage }} of requests for a call are refused",
            "`POST /v1/calls` is answered with 503 or 500, so callers get no ticket. " + MOST_REFUSED,
            "voicefleet-region",
            "Callers do not get into a call at all. They are in no room, so nothing else counts them.",
            (
                "sum by (cluster, region, result) (increase(voicefleet_call_requests_total[5m]))",
                f"max {BY} (voicefleet_scaler_max_workers)",
                f'max {BY} (voicefleet_workers{{state="ready"}})',
            ),
            (
                "full, and as many workers are ready as may be: raise `max_workers` (in the chart the region's "
                "`pool.maxWorkers`), if nodes and providers carry it.",
                "full, and fewer are ready: they do not start, see VoicefleetWorkersDoNotStart.",
                "unavailable: Redis is away, and calls of keys with a limit cannot be counted.",
                "failed: the controller's log has the error.",
            ),
        ),
    ),
)
