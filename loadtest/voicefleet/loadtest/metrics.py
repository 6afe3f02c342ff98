"""Prometheus metrics of what simulated callers hear, served while a load test runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from voicefleet.callers.outcome import CallOutcome, TurnOutcome
from voicefleet.contract.metrics import callers as catalogue
from voicefleet.runtime.http.server import HttpServer, application, health_routes, parse_listen
from voicefleet.runtime.metrics import counter, gauge, histogram


class CallerMetrics:
    """All metric families of one load generator."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ttfa = histogram(catalogue.CALLER_TTFA, registry)
        self._greeting = histogram(catalogue.CALLER_GREETING, registry)
        self._wait = histogram(catalogue.CALLER_WAIT, registry)
        self._calls = counter(catalogue.CALLER_CALLS, registry)
        self._turns = counter(catalogue.CALLER_TURNS, registry)
        self._live = gauge(catalogue.CALLERS_LIVE, registry)
        self._lag = histogram(catalogue.CALLER_LAG, registry)

    def on_event(self, _call: str, kind: str, _t_s: float, data: Mapping[str, Any]) -> None:
        """The swarm's events."""
        if kind == "due":
            self._lag.observe(max(0.0, data["lag_s"]))
        elif kind == "joined":
            self._live.inc()

    def finished(self, outcome: CallOutcome) -> None:
        """A call is over."""
        if outcome.joined_at_s is not None:
            self._live.dec()
        region = outcome.region or "unknown"
        self._calls.labels(region, outcome.result).inc()
        if outcome.greeting_s is not None:
            self._greeting.labels(region).observe(outcome.greeting_s)
        if outcome.wait_s is not None:
            self._wait.labels(region).observe(outcome.wait_s)
        for turn in outcome.turns:
            self._turns.labels(region, _outcome(turn)).inc()
            if turn.ttfa_s is not None:
                self._ttfa.labels(region).observe(max(0.0, turn.ttfa_s))


def _outcome(turn: TurnOutcome) -> str:
    if turn.apology:
        return "apology"
    return "cut_in" if turn.cut_in else "answered" if turn.answered else "unanswered"


@contextlib.asynccontextmanager
async def serving(listen: str | None) -> AsyncIterator[CallerMetrics]:
    """The metrics of a run, at `listen` (HOST:PORT) while it lasts; nowhere when it is None.

    Raises:
        ConfigError: not HOST:PORT.
        UnreachableError: the port is taken.
    """
    registry = CollectorRegistry()
    metrics = CallerMetrics(registry)
    if listen is None:
        yield metrics
        return
    host, port = parse_listen(listen, field="--metrics")
    app = application()
    health_routes(app, registry, ready=lambda: "", alive=lambda: "")
    server = HttpServer(app, registry)
    await server.start(host, port, field="--metrics")
    try:
        yield metrics
    finally:
        await server.close()
