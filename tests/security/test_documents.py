"""Files that somebody wrote for us: one message for whatever a parser would give up on, never a trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.claims import Claim
from voicefleet.contract.codec import load
from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.contract.parsing.documents import parse_json, parse_yaml
from voicefleet.controller.settings.load import load_settings
from voicefleet.local.answers import parse_answers
from voicefleet.worker.tiers.load import read_tiers

pytestmark = pytest.mark.unit

DEEP = "[" * 3_000 + "]" * 3_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (DEEP, "nested deeper than 64 levels, at line 1"),
        ("a:\n" + "".join("  " * n + "b:\n" for n in range(1, 200)), "nested deeper than 64 levels"),
        (BOMB, "more than 200000 values"),
        ("a: &a [*a]", "holds itself"),
        ("a: *b", "not YAML at line 1"),
        ("a: 2026-99-99", "a date or number that there is not"),
        ("a: " + "9" * 5_000, "a date or number that there is not"),
        ("? [a, b]\n: c\n? {a: b}\n: c", "not YAML"),
        ("a: !!python/object/apply:os.system [x]", "not YAML"),
    ],
)
def test_no_yaml_is_too_odd_for_one_message(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as refused:
        parse_yaml(text, field="--tiers", value="file.yaml")
    assert str(refused.value).startswith("--tiers = 'file.yaml': ")


def test_aliases_are_fine_where_they_do_not_blow_up() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: [*a, *a]", field="f") == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}


def test_no_json_is_too_odd_for_one_message() -> None:
    for text, what in {"[" * 100_000: "nested too deep", "{,": "not JSON at line 1", "9" * 5_000: "not JSON"}.items():
        with pytest.raises(ConfigError, match=what):
            parse_json(text, field="f")


def test_every_file_of_ours_is_read_so(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(f"regions: {DEEP}")
    for read in (lambda: load_settings(path, {}), lambda: read_tiers(str(path)), lambda: parse_answers(DEEP, "f")):
        with pytest.raises(ConfigError, match="nested deeper"):
            read()


def test_what_others_put_into_a_dispatch_or_into_redis_is_no_trace_either() -> None:
    deep = "[" * 100_000
    assert DispatchMetadata.decode(deep).order.metadata == deep
    assert DispatchMetadata.decode('{"v": 1, "attempt": 1e999}').attempt == 0
    with pytest.raises(UnknownStateError):
        load(Claim, deep)


def test_the_command_says_it_and_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(DEEP)
    command = [sys.executable, "-m", "voicefleet.cli.app", "controller", "--config", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "nested deeper than 64 levels" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
