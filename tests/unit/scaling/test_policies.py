"""The registry of policies: whatever names a policy takes it from there."""

from __future__ import annotations

import importlib
import pkgutil
import typing

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.scaling import PoolObservation, SupplyState, Worker, initial_state, policies, step
from voicefleet.scaling.observation import SureCalls
from voicefleet.scaling.policies import DEFAULT, POLICIES, SELECTABLE, Policy
from voicefleet.simulator.compare import BUFFER, SCALE_DOWN_DELAY_S, all_policies, known_policies, policies_of
from voicefleet.simulator.compare import play as simulated
from voicefleet.simulator.world import World
from voicefleet.traffic.durations import CallLaw
from voicefleet.traffic.profiles import generate

pytestmark = pytest.mark.unit


def test_every_policy_that_is_written_is_registered() -> None:
    written: set[str] = set()
    for module in pkgutil.iter_modules(policies.__path__):
        found = importlib.import_module(f"{policies.__name__}.{module.name}")
        written |= {p.name for p in vars(found).values() if isinstance(p, Policy)}
    assert written == set(POLICIES)


def test_settings_take_the_names_of_the_registry() -> None:
    assert typing.get_args(PoolSettings.model_fields["policy"].annotation) == SELECTABLE
    for name in SELECTABLE:
        assert PoolSettings(policy=name).spec("eu").policy in POLICIES
    assert PoolSettings().policy == DEFAULT
    fixed = PoolSettings(mode="fixed", fixed_workers=2).spec("eu").policy
    assert set(POLICIES) == {*SELECTABLE, fixed}, "a policy is selected by its name, or by a mode"


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda p: p.name)
def test_every_policy_decides_gives_its_reason_and_says_why(policy: Policy) -> None:
    spec = PoolSpec("eu", 0, 99, 4, 2, 0.0, policy=policy.name, fixed=6)
    workers = tuple(Worker(f"w{n}", SupplyState.READY, 4, 3, age_s=500.0) for n in range(6))
    seen = PoolObservation(spec, 0.0, workers, 20, 0, 0, True)
    _, decision = step(initial_state(-1000.0, 0), seen)
    assert (decision.reason, decision.may_shrink) == (policy.reason, True)
    assert decision.desired >= 5
    assert decision.detail
    assert policy.summary.endswith(".")
    unknown = policy.need(initial_state(0.0, 0).learned, PoolObservation(spec, 0.0, (), None, None, None, False))[1]
    assert unknown.workers in (None, spec.fixed), "what is not known is not zero"


@pytest.mark.parametrize("policy", [p for p in POLICIES.values() if not p.forecasts], ids=lambda p: p.name)
def test_no_policy_without_a_forecast_gives_workers_up_at_once(policy: Policy) -> None:
    """One that scales down as soon as less is needed must say so, for a guardrail to wait."""
    spec = PoolSpec("eu", 0, 99, 4, 2, 60.0, policy=policy.name, fixed=6)
    workers = tuple(Worker(f"w{n}", SupplyState.READY, 4, 1, age_s=500.0) for n in range(6))
    state, busy = step(initial_state(-1000.0, 0), PoolObservation(spec, 0.0, workers, 20, 0, 0, True))
    _, quiet = step(state, PoolObservation(spec, 2.0, workers, 0, 0, 0, True))
    assert quiet.desired == busy.desired


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda p: p.name)
def test_every_policy_tells_which_calls_it_is_sure_of(policy: Policy) -> None:
    spec = PoolSpec("eu", 0, 99, 4, 2, 0.0, policy=policy.name, fixed=6)
    seen = PoolObservation(spec, 0.0, (), None, None, None, False, sure=SureCalls(7, 2, 1))
    assert policy.need(initial_state(0.0, 0).learned, seen)[1].inputs.sure == 10
    known = PoolObservation(spec, 0.0, (), 7, 2, 1, True)
    assert policy.need(initial_state(0.0, 0).learned, known)[1].inputs.sure is None


def test_the_simulator_plays_every_policy_that_settings_can_name() -> None:
    trace, world = generate("stationary", mean_live=12, calls=60, law=CallLaw(), seed=1), World(slots=4)
    names = ["voicefleet" if name == DEFAULT else f"voicefleet-{name}" for name in SELECTABLE]
    assert set(names) <= set(known_policies())
    for name in names:
        assert policies_of(name) == (name,)
        outcome = simulated(trace, world, name, 0.01)
        assert (outcome.policy, outcome.offered) == (name, len(trace))
    assert policies_of("all") == all_policies()
    with pytest.raises(ConfigError, match="voicefleet-buffer"):
        policies_of("nonsense")


def test_the_simulator_has_the_defaults_of_the_settings() -> None:
    assert (PoolSettings().buffer, PoolSettings().scale_down_delay_s) == (BUFFER, SCALE_DOWN_DELAY_S)
