"""A pool's tier, or two as a canary, in the chart's values: the controller reads it, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chart.matrix import PRODUCTION
from chart.render import refusal, render

from voicefleet.controller.settings.load import load_settings
from voicefleet.controller.settings.pools import named_once
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.worker.tiers.load import read_tiers

pytestmark = pytest.mark.cluster

STAGE = {"stt": {"plugin": "my_pkg:STT"}}
SECRET = "a-secret-of-32-characters-or-more"
ENV = {
    **{"LIVEKIT_EU_API_KEY": SECRET, "LIVEKIT_EU_API_SECRET": SECRET},
    **{"VOICEFLEET_REDIS_URL": "redis://127.0.0.1:6379", "VOICEFLEET_API_KEYS": "acme:a-secret-of-16-characters:call"},
}


def values(**region: Any) -> dict[str, Any]:
    """One region, whose workers have three tiers."""
    tiers = {"default": "steady", "tiers": {"steady": STAGE, "quick": STAGE, "slow": STAGE}}
    regions = [{**PRODUCTION["regions"][0], **region}]
    return {**PRODUCTION, "regions": regions, "worker": {"agent": "sales:create", "tiers": {"content": tiers}}}


def pools(given: dict[str, Any], folder: Path) -> dict[str, RegionSettings]:
    """The pools as the controller reads them."""
    file = folder / "controller.yaml"
    file.write_text(render(given).one("ConfigMap", "voicefleet-controller")["data"]["controller.yaml"])
    return named_once(load_settings(file, ENV).regions)


def test_the_controller_tries_the_tier_that_the_values_name(tmp_path: Path) -> None:
    rule = {"judge": "tasks", "marginRatio": 0.02, "errorRatio": 0.1, "calls": 400, "tried": "quick"}
    agents = {"sales": {}, "support": {"tier": "slow"}}
    found = pools(values(tier={"quick": 50, "steady": 50}, tierCanary=rule, agents=agents), tmp_path)
    split = found["eu-sales"].tier_split
    assert split is not None
    assert (split.stable, split.canary, split.weight) == ("steady", "quick", 50)
    read = found["eu-sales"].tier_canary
    assert (read.judge, read.margin_ratio, read.error_ratio, read.calls) == ("tasks", 0.02, 0.1, 400)
    assert (found["eu-support"].only_tier, found["eu-support"].tier_split) == ("slow", None)
    assert pools(values(), tmp_path)["eu"].tier is None


TWO = {"steady": 90, "quick": 10}
SHARES = {"errorRatio": 0.02, "silentRatio": 0.01, "crashRatio": 0.01}
CANARY = {"weight": 10, "objectives": {**SHARES, "ttfaP95Seconds": 2.0, "minCalls": 200, "durationSeconds": 3600}}


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"tier": "stedy"}, 'regions[0]: tier: no worker has the tier "stedy"; its worker.tiers has quick, slow, ste'),
        ({"tier": {"steady": 90, "quik": 10}}, 'regions[0]: tier: no worker has the tier "quik"'),
        ({"tier": {"steady": 90, "quick": 20}}, "regions[0].tier: the shares add up to 110, not 100"),
        ({"tier": {"steady": 80, "quick": 10, "slow": 10}}, "regions[0].tier: more than one canary at a time"),
        ({"tier": {"steady": 50, "quick": 50}}, "regions[0].tier: both have the same share, and nobody says which one"),
        (
            {"tier": {"steady": 90, "quick": 10}, "tierCanary": {"tried": "slow"}},
            'regions[0].tierCanary.tried: "slow" is none of the two tiers',
        ),
        (
            {"agents": {"sales": {"tier": "fast"}}},
            'regions[0].agents.sales: tier: no worker has the tier "fast"',
        ),
        (
            {"agents": {"sales": {"tier": TWO, "versions": {"v1": {"weight": 90}, "v2": CANARY}}}},
            "regions[0].agents.sales.tier: two tiers are tried while its version v2 is a canary",
        ),
        ({"tierCanary": {"marginRatoi": 0.1}}, "additional properties 'marginRatoi' not allowed"),
    ],
)
def test_a_tier_that_cannot_be_is_refused_before_anything_is_installed(region: dict[str, Any], message: str) -> None:
    assert message in refusal(values(**region))


def test_a_built_in_tiers_file_is_known_and_one_in_a_configmap_is_not() -> None:
    given = values(tier="quick")
    assert 'no worker has the tier "quick"; its worker.tiers has local' in refusal(
        {**given, "worker": {"tiers": {"builtin": "local"}}}
    )
    assert render({**given, "worker": {"tiers": {"existingConfigMap": "tiers"}}})
    for name in ("local", "synthetic"):
        assert list(read_tiers(name).tiers) == [name], "as templates/_checks.tpl says"
