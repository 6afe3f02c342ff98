"""A tiers file is wrong in one named place, or it is right."""

from __future__ import annotations

import sys

import pytest

from voicefleet.contract.errors import ConfigError, ConfigErrors, MissingPartError
from voicefleet.worker.agent_path import make_importable
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
        (("default: fast", "default: slow"), "default", "= 'slow': is none of the tiers: fast"),
        (("default: fast", "default: fats"), "default", "Did you mean fast?"),
        (
            ("SyntheticSTT", "SyntheticST"),
            "tiers.fast.stt.plugin",
            "Did you mean voicefleet.local.synthetic:Synth",
        ),
        (("local.synthetic:", "local.synthetc:"), "tiers.fast.stt.plugin", "Did you mean voicefleet.local.synthetic?"),
        (("latency_s: 0.02", "latensy_s: 1"), "tiers.fast.stt.args", "Did you mean latency_s? It takes: "),
        (("default: fast\n", ""), "default", "is missing"),
        (
            ("voicefleet.local.synthetic:", "livekit.plugins.nowhere:"),
            "tiers.fast.stt.plugin",
            "livekit-plugins-nowhere",
        ),
        (("SyntheticSTT", "NoSuch"), "tiers.fast.stt.plugin", "no class NoSuch"),
        (("SyntheticSTT", "a b"), "tiers.fast.stt.plugin", "pattern"),
        (
            ("stt:", "vad: {min_silence_s: 0.2}\n    turn_detection: v1-mini\n    stt:"),
            "tiers.fast.vad.min_silence_s",
            "= 0.2: is too short for the turn detector v1-mini",
        ),
        (
            ("stt:", "endpointing: {threshold: 0.4}\n    stt:"),
            "tiers.fast.endpointing.threshold",
            "is vad",
        ),
        (("stt:", "turn_detection: v1mini\n    stt:"), "tiers.fast.turn_detection", "Did you mean v1-mini?"),
        (("stt:", 'session_host: ["*"]\n    stt:'), "tiers.fast.session_host", "every caller"),
        (("stt:", 'text_input: ["a\\n"]\n    stt:'), "tiers.fast.text_input.0", "pattern"),
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


ALL_WRONG = """
default: fats
pipelin: mine
tiers:
  fast:
    stt: {plugin: "voicefleet.local.synthetic:SyntheticST"}
    turn_detection: vat
    apology: {after: 3}
  good:
    llm:
      plugin: "voicefleet.local.synthetic:SyntheticLLM"
      args: {api_key: {env: MY_KEY}, latency: {env: OTHER}}
      fallback:
        - {plugin: "nowhere.at_all:LLM"}
    tts: {plugin: "voicefleet.local.synthetic:SyntheticTTS", args: {voice: {env: EMPTY}}}
"""


def test_everything_that_is_wrong_is_said_at_once(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigErrors) as caught:
        read_tiers(written(tmp_path, ALL_WRONG))
    assert {error.field: error.hint for error in caught.value.errors} == {
        "pipelin": "Did you mean pipeline?",
        "default": "Did you mean fast?",
        "tiers.fast.turn_detection": "Did you mean vad?",
        "tiers.fast.apology.after": "Did you mean after_s?",
    }
    right = ALL_WRONG
    for wrong, good in (("fats", "fast"), ("pipelin:", "pipeline:"), ("vat", "vad"), ("after:", "after_s:")):
        right = right.replace(wrong, good)
    with pytest.raises(ConfigErrors) as caught:
        resolve_tiers(read_tiers(written(tmp_path, right)), {"MY_KEYS": "s", "EMPTY": ""})
    found = {error.field: str(error) for error in caught.value.errors}
    assert set(found) == {
        "tiers.fast.stt.plugin",
        "tiers.good.llm.args.api_key",
        "tiers.good.llm.args.latency",
        "tiers.good.llm.args",
        "tiers.good.llm.fallback.0.plugin",
        "tiers.good.tts.args.voice",
        "tiers.good.tts.args",
    }
    assert "Did you mean MY_KEYS?" in found["tiers.good.llm.args.api_key"]
    assert "EMPTY is empty" in found["tiers.good.tts.args.voice"]


def test_a_plugin_beside_the_agent_is_found(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "plugin_of_ours.py").write_text("class STT:\n    def __init__(self, lang: str) -> None: ...\n")
    file = TiersFile.model_validate(
        {"default": "a", "tiers": {"a": {"stt": {"plugin": "plugin_of_ours:STT", "args": {"lang": "de"}}}}}
    )
    with pytest.raises(MissingPartError):
        resolve_tiers(file, {})
    assert make_importable(f"{tmp_path / 'agent.py'}:server") == "agent"
    assert resolve_tiers(file, {}).pick("a").stages["stt"].cls.__name__ == "STT"


def test_what_a_plugin_needs_is_told_from_the_plugin(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plugin_with_needs.py").write_text("import a_package_nobody_has\n")
    file = TiersFile.model_validate({"default": "a", "tiers": {"a": {"stt": {"plugin": "plugin_with_needs:STT"}}}})
    with pytest.raises(MissingPartError, match="needs a_package_nobody_has, which is not installed"):
        resolve_tiers(file, {})


FALLBACK = """
default: fast
tiers:
  fast:
    llm:
      plugin: "voicefleet.local.synthetic:SyntheticLLM"
      timeout_s: 2
      fallback:
        - {plugin: "voicefleet.local.synthetic:SyntheticLLM"}
        - {plugin: "voicefleet.local.responder:Responder", args: {least_score: 0.5}}
    apology: {after_s: 4}
"""


def test_a_fallback_is_resolved_as_its_stage_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    stage = resolve_tiers(read_tiers(written(tmp_path, FALLBACK)), {}).pick("").stages["llm"]
    assert [found.cls.__name__ for found in stage.fallback] == ["SyntheticLLM", "Responder"]
    assert stage.fallback[1].args == {"least_score": 0.5}
    assert stage.limit_s == 2


def test_limits_when_none_is_given(tmp_path) -> None:  # type: ignore[no-untyped-def]
    without = FALLBACK.replace("      timeout_s: 2\n", "")
    assert resolve_tiers(read_tiers(written(tmp_path, without)), {}).pick("").stages["llm"].limit_s == 2.5
    assert resolve_tiers(read_tiers("synthetic"), {}).pick("").stages["llm"].limit_s == 5.0


def test_models_of_a_fallback_are_loaded_too() -> None:
    stt = {"plugin": "voicefleet.local.synthetic:SyntheticSTT"}
    whisper = {"plugin": "voicefleet.local.whisper_stt:WhisperSTT"}
    file = TiersFile.model_validate({"default": "a", "tiers": {"a": {"stt": {**stt, "fallback": [whisper]}}}})
    assert resolve_tiers(file, {}).required_models == {"whisper"}


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (("args: {least_score: 0.5}", "args: {lest: 1}"), "tiers.fast.llm.fallback.1.args", "least_score"),
        (('synthetic:SyntheticLLM"}', 'synthetic:Nobody"}'), "tiers.fast.llm.fallback.0.plugin", "no class Nobody"),
        (("responder:Responder", "flite_tts:FliteTTS"), "tiers.fast.llm.fallback.1", "FliteTTS does not take"),
        (('synthetic:SyntheticLLM"}', 'synthetic:SyntheticTTS"}'), "tiers.fast.llm.fallback.0.plugin", "llm.LLM"),
        (("args: {least_score: 0.5}", "arg: {}"), "tiers.fast.llm.fallback.1.arg", "Did you mean args?"),
        (("timeout_s: 2", "timeout_s: 0"), "tiers.fast.llm.timeout_s", "greater than or equal to 0.1"),
        (("timeout_s: 2", "time_out_s: 2"), "tiers.fast.llm.time_out_s", "Did you mean timeout_s?"),
        (("after_s: 4", "after_s: 12"), "tiers.fast.apology.after_s", "less than or equal to 9"),
        (("after_s: 4", "after: 4"), "tiers.fast.apology.after", "Did you mean after_s?"),
        (("after_s: 4", "text: Hi"), "tiers.fast.apology", "text and audio belong together"),
        (("after_s: 4", "text: Hi, audio: /nowhere.wav"), "tiers.fast.apology.audio", "cannot be read"),
        (("after_s: 4", "text: Hi, audio: FILE"), "tiers.fast.apology.audio", "not a PCM WAV file"),
        (("after_s: 4", "working_text: Hi, working_audio: FILE"), "tiers.fast.apology.working_audio", "PCM WAV"),
    ],
)
def test_every_mistake_of_a_fallback_or_apology_names_its_field(tmp_path, change, field, says) -> None:  # type: ignore[no-untyped-def]
    old, new = change
    path = written(tmp_path, FALLBACK.replace(old, new.replace("FILE", str(tmp_path / "tiers.yaml"))))
    with pytest.raises((ConfigError, MissingPartError)) as caught:
        resolve_tiers(read_tiers(path), {})
    assert caught.value.field == field or caught.value.field == f"{field}.args"
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
