"""A space of tiers: what it makes, what it refuses, and a small choice that still tells of each option."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.tuning.space import balanced, candidates, installed, read_space, resolved, simulated_stages

pytestmark = pytest.mark.unit

SYNTHETIC = "voicefleet.local.synthetic"
SPACE = f"""
name: mini
base: {{tts: {{plugin: "{SYNTHETIC}:SyntheticTTS"}}}}
axes:
  llm:
    quick: {{llm: {{plugin: "{SYNTHETIC}:SyntheticLLM", args: {{ttft_s: 0.1}}}}}}
    slow: {{llm: {{plugin: "{SYNTHETIC}:SyntheticLLM", args: {{ttft_s: 0.9}}}}}}
  pause:
    short: {{vad: {{min_silence_s: 0.2}}}}
    long: {{vad: {{min_silence_s: 0.6}}}}
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return str(path)


def test_a_candidate_has_one_option_of_each_axis(tmp_path: Path) -> None:
    made = candidates(read_space(write(tmp_path, SPACE)))
    assert [c.name for c in made] == ["quick_short", "quick_long", "slow_short", "slow_long"]
    assert made[3].fields["vad"] == {"min_silence_s": 0.6}
    assert made[3].fields["llm"]["args"] == {"ttft_s": 0.9}
    assert made[3].fields["tts"]


def test_what_is_played_by_declared_latencies_is_told(tmp_path: Path) -> None:
    space = read_space(write(tmp_path, SPACE))
    assert simulated_stages(resolved(space, {})) == ("llm: SyntheticLLM", "tts: SyntheticTTS")


def test_the_built_in_space_names_candidates_that_tiers_may_have() -> None:
    made = candidates(read_space("local"))
    assert len(made) >= 12
    assert all(len(c.name) <= 63 for c in made)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("name: x\naxes: {a: {b: {vadd: {}}}}", ConfigError, ["axes.a.b.vadd", "Did you mean vad?"]),
        ("name: x\naxes: {a: {b: {vad: {}}}, c: {d: {vad: {}}}}", ConfigError, ["axes.c.d.vad", "set by a already"]),
        ("name: x\naxes: {a: {b: {}, c: {}}}\noptional: [a.d]", ConfigError, ["optional.0", "a.d", "is no option"]),
        ("name: x\naxes: {a: {b: {}}}\noptional: [a.b]", ConfigError, ["one must stay"]),
        ("name: x\naxis: {}", ConfigError, ["axis", "Did you mean axes?"]),
        ("name: x\naxes: {a: {b: {stt: {plugin: 'nowhere.stt:STT'}}}}", MissingPartError, ["a-b.stt", "not installed"]),
        ("name: x\naxes: {a: {b: {vad: {min_silence_s: 99}}}}", ConfigError, ["a-b.vad.min_silence_s", "99"]),
    ],
)
def test_a_wrong_space_is_refused_with_the_place(
    tmp_path: Path, text: str, kind: type[UsageError], told: list[str]
) -> None:
    with pytest.raises(kind) as refused:
        resolved(read_space(write(tmp_path, text)), {})
    for words in told:
        assert words in str(refused.value)


def test_an_optional_option_is_left_out_where_its_package_is_missing(tmp_path: Path) -> None:
    text = SPACE + "    odd: {stt: {plugin: 'nowhere.stt:STT'}}\n"
    with pytest.raises(MissingPartError):
        resolved(installed(read_space(write(tmp_path, text)), {})[0], {})
    space, left_out = installed(read_space(write(tmp_path, text + "optional: [pause.odd, llm.slow]\n")), {})
    assert {axis: list(options) for axis, options in space.axes.items()} == {
        "llm": ["quick", "slow"],
        "pause": ["short", "long"],
    }
    [sentence] = left_out
    assert sentence.startswith("without pause.odd: the plugin is not installed (no module named nowhere)")
    assert resolved(space, {}).by_name


def test_a_few_candidates_have_each_option_about_equally_often() -> None:
    every = candidates(read_space("local"))
    few = balanced(every, 8, seed=1)
    assert every[0] in few
    for axis in every[0].options:
        counts = Counter(c.options[axis] for c in few)
        assert set(counts) == {c.options[axis] for c in every}
        assert max(counts.values()) - min(counts.values()) <= 1
    assert balanced(every, 8, seed=1) == few
    assert balanced(every, 1_000, seed=1) == every
