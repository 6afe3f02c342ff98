"""What the regions of a settings file must agree on: each mistake is refused at the start, with its path."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicefleet.contract.errors import ConfigError
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.load import load_settings

pytestmark = pytest.mark.unit

FIELDS = """
redis_url_env: REDIS
api_keys_env: KEYS
placement:
  networks: {"10.1.0.0/16": eu}
  countries: {DE: eu, BR: [us, eu]}
  residency: {acme: eu-data}
regions:
  eu:
    livekit: {url: "ws://eu:7880", api_key: key, api_secret_env: SECRET}
    residency: eu-data
    spill_to: [eu2]
  eu2:
    livekit: {url: "ws://eu2:7880", api_key: key, api_secret_env: SECRET}
    residency: eu-data
  us:
    livekit: {url: "ws://us:7880", api_key: key, api_secret_env: SECRET}
    spill_to: [eu]
"""
ENV = {"REDIS": "redis://r:6379/0", "SECRET": "s" * 32, "KEYS": "acme:the-secret-of-acme:call"}


def load(tmp_path: Path, changes: dict[str, Any] | None = None, env: dict[str, str] | None = None) -> Settings:
    raw = yaml.safe_load(FIELDS)
    for path, value in (changes or {}).items():
        *way, last = path.split("/")
        here = raw
        for step in way:
            here = here.setdefault(step, {})
        here[last] = copy.deepcopy(value)
    file = tmp_path / "controller.yaml"
    file.write_text(yaml.safe_dump(raw))
    return load_settings(file, {**ENV, "HOME": str(tmp_path), **(env or {})})


def test_a_good_file(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.placement.table.of_address("10.1.2.3") == ("eu",)
    assert settings.placement.table.of_country("BR") == ("us", "eu")
    assert (settings.pools["eu"].residency, settings.pools["us"].spill_to) == ("eu-data", ("eu",))


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"regions/eu/spill_to": ["eu3"]}, "regions.eu.spill_to.0", "no such region"),
        ({"regions/us/spill_to": ["us"]}, "regions.us.spill_to.0", "in a circle: us -> us"),
        ({"regions/eu2/spill_to": ["eu"]}, "regions.eu2.spill_to.0", "in a circle: eu -> eu2 -> eu"),
        ({"regions/eu2/spill_to": ["us"]}, "regions.eu2.spill_to.0", "stay in the residency group eu-data"),
        ({"placement/residency": {"acme": "us-data"}}, "placement.residency.acme", "Did you mean eu-data?"),
        ({"placement/residency": {"acm": "eu-data"}}, "placement.residency.acm", "no API key has this name"),
        ({"placement/countries": {"DE": "mars"}}, "placement.countries.DE", "no region mars"),
        ({"placement/countries": {"de": "eu"}}, "placement.countries.de", "match pattern"),
        ({"placement/networks": {"10.0.0.0/8": ["us", "es"]}}, "placement.networks.10.0.0.0/8", "no region es"),
        ({"placement/networks": {"10.1/16": "eu"}}, "placement.networks", "not a network"),
        ({"regions/us/residency": "US"}, "regions.us.residency", "match pattern"),
        ({"regions/us/probe_url": "us.example.com"}, "regions.us.probe_url", "match pattern"),
        ({"regions/us/livekit/deployment": "us_1"}, "regions.us.livekit.deployment", "match pattern"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changes)
    assert field in str(caught.value.field)
    assert words in str(caught.value)
    assert caught.value.hint


def test_a_residency_group_that_no_region_is_in_names_a_way_out(tmp_path: Path) -> None:
    none = {f"regions/{name}/residency": "" for name in ("eu", "eu2")}
    with pytest.raises(ConfigError, match="no region is in this residency group") as caught:
        load(tmp_path, none)
    assert caught.value.field == "placement.residency.acme"
    assert caught.value.hint == "Add `residency: eu-data` to the regions that it may use."


def kubeconfig(path: Path, **servers: str) -> Path:
    clusters = [{"name": name, "cluster": {"server": server}} for name, server in servers.items()]
    contexts = [{"name": name, "context": {"cluster": name, "user": "me"}} for name in servers]
    path.write_text(
        yaml.safe_dump({"clusters": clusters, "contexts": contexts, "current-context": next(iter(servers))})
    )
    return path


def pods(namespace: str, **access: str) -> dict[str, Any]:
    return {"namespace": namespace, "deployment": "workers", **access}


def test_two_regions_have_no_namespace_of_one_cluster_in_common(tmp_path: Path) -> None:
    one = kubeconfig(tmp_path / "one", east="https://a", west="https://b")
    other = kubeconfig(tmp_path / "other", also_east="https://a")

    def given(eu: dict[str, Any], us: dict[str, Any]) -> dict[str, Any]:
        return {"regions/eu/kubernetes": eu, "regions/us/kubernetes": us}

    for same in (
        given(pods("voice"), pods("voice")),
        given(pods("voice", kubeconfig=str(one), context="east"), pods("voice", kubeconfig=str(one))),
        given(pods("voice", kubeconfig=str(one)), pods("voice", kubeconfig=str(other), context="also_east")),
    ):
        with pytest.raises(ConfigError, match="the region eu has this namespace of this cluster already") as caught:
            load(tmp_path, same)
        assert (caught.value.field, caught.value.value) == ("regions.us.kubernetes.namespace", "voice")
    for different in (
        given(pods("voice-eu"), pods("voice-us")),
        given(pods("voice"), pods("voice", kubeconfig=str(one))),
        given(pods("voice", kubeconfig=str(one), context="east"), pods("voice", kubeconfig=str(one), context="west")),
        given(pods("voice"), pods("voice", kubeconfig=str(tmp_path / "later"))),
    ):
        load(tmp_path, different)


def test_a_context_that_the_kubeconfig_has_not_is_refused_and_a_file_that_is_not_there_yet_is_not(
    tmp_path: Path,
) -> None:
    one = kubeconfig(tmp_path / "one", east="https://a", west="https://b")
    wrong = {"regions/us/kubernetes": pods("voice", kubeconfig=str(one), context="wesst")}
    with pytest.raises(ConfigError, match="the kubeconfig has no such context") as caught:
        load(tmp_path, wrong)
    assert (caught.value.field, caught.value.value) == ("regions.us.kubernetes.context", "wesst")
    assert caught.value.hint == "Did you mean west?"
    with pytest.raises(ConfigError, match="no such context"):
        load(tmp_path, {"regions/us/kubernetes": pods("voice", context="wesst")}, {"KUBECONFIG": str(one)})
    load(tmp_path, {"regions/us/kubernetes": pods("voice", kubeconfig=str(tmp_path / "later"), context="west")})
    load(tmp_path, {"regions/us/kubernetes": pods("voice", context="west")})
    one.write_text("clusters: [")
    load(tmp_path, wrong)


def test_regions_of_one_livekit_have_a_deployment_each(tmp_path: Path) -> None:
    both = {f"regions/{name}/livekit/url": "ws://one:7880" for name in ("eu", "us")}
    pinned = {f"regions/{name}/livekit/deployment": name for name in ("eu", "us")}
    assert load(tmp_path, {**both, **pinned}).regions["us"].livekit.deployment == "us"
    with pytest.raises(ConfigError, match="the region eu has this deployment") as caught:
        load(tmp_path, {**both, **pinned, "regions/us/livekit/deployment": "eu"})
    assert caught.value.field == "regions.us.livekit.deployment"
    with pytest.raises(ConfigError, match="cannot be pinned") as caught:
        load(tmp_path, {**both, **pinned, "regions/us/rooms": "all"})
    assert caught.value.field == "regions.us.rooms"
