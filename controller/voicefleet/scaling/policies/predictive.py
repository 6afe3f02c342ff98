"""The predictive policy: as few workers as keep the chance that a caller must wait at what is allowed.

A worker is asked for when, without it, a call that arrives at the moment it would be ready would find every slot taken
more often than allowed. A worker is given up when the calls there will be do not need it, and it is not likely to be
wanted back before long: a start costs as much as keeping it for its length.
"""

from __future__ import annotations

from math import log

from voicefleet.contract.decisions import DecisionInputs
from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling.campaigns import announced
from voicefleet.scaling.decision import Need
from voicefleet.scaling.forecast import Forecast, predict
from voicefleet.scaling.observation import PoolObservation, SureCalls
from voicefleet.scaling.policies.policy import Policy
from voicefleet.scaling.policy_state import PolicyState

REACTION_S = 3.0
"""A tick, and the time that an order takes."""
SCALE_DOWN_DELAY_S = 30.0
SCALE_DOWN_RISK_FACTOR = 10.0
"""A worker is kept if the chance that it is needed `SCALE_DOWN_DELAY_S` after its replacement could be ready is more
than so many times what is promised: a start costs as much as keeping a worker for its length."""
RISK_BUDGET_SHARE = 0.6
"""Share of the allowed waits that is planned for; the rest is for what no model predicts, and for slow starts."""
BURSTINESS_EXPONENT = 0.25
"""Power of (variance by the calls' own chance / variance in all) by which less is planned for where crowds and jumps
make the calls: those who wait then are many at once, so that a few such hours decide the share."""
ORDER_CORRECTION, MAX_ORDER_CORRECTION = 3.5, 4.0
"""How many times more may be planned for where a worker is small beside the spread of the calls: orders follow one
another closely there, and what one predicts the next still mends (the share of calls that wait is 1/10 of the predicted
one at 480 calls and 10 slots, 1/4 at 120, 1/2 at 24, in the simulator). Crowds and jumps of the rate leave no time."""
_MOST_AHEAD = 100_000


def predictive_need(learned: PolicyState, observation: PoolObservation) -> tuple[PolicyState, Need]:
    """The need, and what was learned on the way. By the calls that are there for sure while the rest is unknown: then
    nothing is given up. No need when not even they are known."""
    learned = learned.learn(observation, reaction_s=REACTION_S, scale_down_delay_s=SCALE_DOWN_DELAY_S)
    calls, tables, spec = observation.least_calls, learned.tables, observation.spec
    if calls is None or tables is None:
        return learned, Need(None, "the number of calls is unknown", DecisionInputs(live=observation.calls_live))
    arrivals = learned.arrival_estimator(observation)
    extra = announced(observation.campaigns, observation.now_s, tables.horizons_s, arrivals)
    forecast = predict(
        tables, arrivals, calls=calls, ages_s=observation.ages_s, announced=extra, margin=learned.shortage.margin
    )
    before = learned.desired if learned.desired is not None else observation.supply
    calm = forecast.poisson_variance / forecast.sigma**2
    correction = ORDER_CORRECTION * forecast.poisson_variance / spec.slots**2 * calm**2
    mean = (
        RISK_BUDGET_SHARE
        * calm**BURSTINESS_EXPONENT
        * min(max(1.0, correction), MAX_ORDER_CORRECTION)
        * spec.wait_ratio
    )
    workers, risk = _workers(forecast, before, -(-calls // spec.slots), spec, mean, may_fall=not observation.partial)
    if not (calls or observation.arrived or arrivals.taught or any(extra)):
        # Nobody ever called: one worker waits for the first caller, and a prior is no reason for more.
        workers = min(workers, 1)
        risk = forecast.risk(workers * spec.slots)
    learned = learned.wanting(workers, forecast.poisson_variance**0.5)
    return learned, Need(workers, LazyExplanation(observation, forecast, risk), _inputs(observation, forecast, risk))


def _workers(
    forecast: Forecast, before: int, least: int, spec: PoolSpec, mean: float, *, may_fall: bool
) -> tuple[int, float]:
    """The workers to want, from those wanted before, and P(wait) with them."""
    workers, slots = max(before, least), spec.slots
    risk, fewer = forecast.risk(workers * slots), forecast.risk((workers - 1) * slots)
    if risk > allowed(mean, risk, fewer):
        while risk > allowed(mean, risk, fewer) and workers < _MOST_AHEAD:
            workers += 1
            risk, fewer = forecast.risk(workers * slots), risk
        return workers, risk
    while workers > least and may_fall:
        lower = forecast.risk((workers - 2) * slots)
        if (
            fewer > allowed(mean, fewer, lower)
            or forecast.scale_down_risk((workers - 1) * slots) > SCALE_DOWN_RISK_FACTOR * spec.wait_ratio
        ):
            break
        workers, risk, fewer = workers - 1, fewer, lower
    return workers, risk


def allowed(mean: float, risk: float, fewer: float) -> float:
    """The most that one decision may risk, so that the risk is `mean` on average over decisions.

    Workers come in whole numbers of slots: between one that is just enough and one that is hardly needed the risk falls
    from `fewer` to `risk`, evenly on a logarithmic scale. The mean over such a step is ``top * (1 - 1/f) / ln f`` with
    f = fewer / risk, and that may be `mean`.
    """
    factor = fewer / risk if risk > 1e-12 else fewer * 1e12
    if factor <= 1.0001:
        return mean
    return mean * log(factor) / (1.0 - 1.0 / factor)


class LazyExplanation:
    """The decision in words, put together only when somebody reads it: a tick makes many and shows few."""

    __slots__ = ("_forecast", "_observation", "_risk")

    def __init__(self, observation: PoolObservation, forecast: Forecast, risk: float) -> None:
        self._observation, self._forecast, self._risk = observation, forecast, risk

    def __str__(self) -> str:
        o, f = self._observation, self._forecast
        known = SureCalls(o.calls_live or 0, o.calls_waiting or 0, o.calls_joining or 0)
        at_least, there = ("at least ", o.sure) if o.partial and o.sure else ("", known)
        waiting = there.waiting + there.joining
        more = f" and {waiting} waiting" if waiting else ""
        ends = max(0.0, there.total - f.stay)
        return (
            f"{at_least}{there.live} live{more}, {ends:.0f} expected to end,"
            f" {f.come:.0f} to arrive in {f.lead_s:.0f} s,"
            f" P(wait) = {self._risk:.4f}, on average <= {o.spec.wait_ratio:g}"
        )


def _inputs(observation: PoolObservation, forecast: Forecast, risk: float) -> DecisionInputs:
    return DecisionInputs(
        live=observation.calls_live,
        waiting=observation.calls_waiting,
        joining=observation.calls_joining,
        sure=observation.least_calls if observation.partial else None,
        slots=observation.spec.slots,
        stay=forecast.stay,
        come=forecast.come,
        lead_s=forecast.lead_s,
        wait_probability=risk,
    )


PREDICTIVE = Policy(
    name="predictive",
    summary="as few workers as leave a caller waiting with a chance of `wait_ratio`.",
    need=predictive_need,
    not_reckoned=frozenset({"sure", "buffer", "predictive"}),
    forecasts=True,
)
