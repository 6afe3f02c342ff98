"""The agents that `make examples` runs: each is there, and each is a file that knows nothing of voicefleet."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from examples.catalogue import EXAMPLES, FOLDER, QUICK, chosen
from examples.ordeal import Trial
from examples.report import build_result
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import REGION_PATTERN

pytestmark = pytest.mark.unit

FACTS = {"complete": True, "wall_s": 1.0}
GOOD = Trial("plain", "plain", greeting_s=0.5, answers=4)


def test_every_agent_file_is_run_and_every_entry_has_its_file() -> None:
    runnable = {path.stem for path in FOLDER.glob("*.py") if "cli.run_app(server)" in path.read_text()}
    assert runnable == {example.name for example in EXAMPLES}
    assert set(QUICK) < runnable
    assert all(REGION_PATTERN.match(example.region) for example in EXAMPLES)
    assert all((FOLDER / helper).is_file() for example in EXAMPLES for helper in example.helpers)


def test_no_agent_knows_of_the_fleet() -> None:
    for path in FOLDER.glob("*.py"):
        imported = re.findall(r"(?m)^(?:from|import) (voicefleet[\w.]*)", path.read_text())
        assert {name.rpartition(".")[0] for name in imported} <= {"voicefleet.local"}, path.name


def test_a_name_that_no_agent_has_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(["plian"])
    assert (caught.value.field, caught.value.value) == ("--only", "plian")
    assert "plain" in caught.value.hint


def test_a_run_is_good_only_when_all_of_it_is() -> None:
    assert build_result([GOOD], 1, FACTS)["passed"]
    assert not build_result([GOOD], 2, FACTS)["passed"]
    assert not build_result([GOOD], 1, {**FACTS, "complete": False})["passed"]
    bad = replace(GOOD, problems=("no greeting",))
    result = build_result([GOOD, bad], 2, FACTS)
    assert not result["passed"]
    assert [row["passed"] for row in result["agents"]] == [True, False]
