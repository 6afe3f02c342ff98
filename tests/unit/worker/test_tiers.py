"""A tiers file is wrong in one named place, or it is right."""

from __future__ import annotations

import pytest

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.worker.tiers.load import read_tiers, resolve_tiers
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit

GOOD = """
default: fast
tiers:
  fast:
    stt: {plugin: "voicefleet.local.synthetic:SyntheticSTT", args: {latency_s: 0.02}}
"""


def written(tmp_path, text: str) -> str:  # type: ignore[no-untyped-def]
    path = tmp_path / "tiers.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["local", "synthetic"])
def test_built_in_tiers_resolve(name: str) -> None:
    tiers = resolve_tiers(read_tiers(name), {})
    assert tiers.pipeline == name
    assert set(tiers.pick("").stages) == {"stt", "llm", "tts"}


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (("latency_s: 0.02", "latency: 1"), "tiers.fast.stt.args", "latency_s"),
        (("stt:", "sst:"), "tiers.fast.sst", "Did you mean stt?"),
        (("default: fast", "default: slow"), "tiers", "'slow' is none of the tiers: fast"),
        (("default: fast\n", ""), "default", "is missing"),
        (
            ("voicefleet.local.synthetic:", "livekit.plugins.nowhere:"),
            "tiers.fast.stt.plugin",
            "livekit-plugins-nowhere",
        ),
        (("SyntheticSTT", "NoSuch"), "tiers.fast.stt.plugin", "no class NoSuch"),
        (("SyntheticSTT", "a b"), "tiers.fast.stt.plugin", "pattern"),
        (
            ("latency_s: 0.02", "latency_s: {env: NOT_SET_ANYWHERE}"),
            "tiers.fast.stt.args.latency_s",
            "NOT_SET_ANYWHERE",
        ),
    ],
)
def test_every_mistake_names_its_field(tmp_path, change, field, says) -> None:  # type: ignore[no-untyped-def]
    path = written(tmp_path, GOOD.replace(*change))
    with pytest.raises((ConfigError, MissingPartError)) as caught:
        resolve_tiers(read_tiers(path), {})
    assert caught.value.exit_code == 2
    assert field in caught.value.field
    assert says in str(caught.value)


def test_not_yaml_names_the_line(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="line 2"):
        read_tiers(written(tmp_path, "default: x\n  tiers: [\n"))


def test_missing_file_lists_the_built_in() -> None:
    with pytest.raises(ConfigError, match="local, synthetic"):
        read_tiers("/nowhere/tiers.yaml")


def test_an_unknown_tier_is_served_by_the_default() -> None:
    tiers = resolve_tiers(read_tiers("synthetic"), {})
    assert tiers.pick("platinum").name == "synthetic"


def test_environment_values_are_read() -> None:
    file = TiersFile.model_validate(
        {
            "default": "a",
            "tiers": {
                "a": {
                    "stt": {"plugin": "voicefleet.local.synthetic:SyntheticSTT", "args": {"transcript": {"env": "T"}}}
                }
            },
        }
    )
    stage = resolve_tiers(file, {"T": "hello"}).pick("a").stages["stt"]
    assert stage.args == {"transcript": "hello"}
