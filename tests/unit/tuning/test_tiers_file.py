"""What a sweep writes for the fleet is a tiers file, whole, and so is the ladder that it proposes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from voicefleet.contract.parsing.validation import validated
from voicefleet.tuning.space import Candidate
from voicefleet.tuning.tiers_file import tiers_yaml
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit


def setting(name: str) -> Candidate:
    return Candidate(name, {}, {"vad": {"min_silence_s": 0.3}})


def written(**calls: int | None) -> str:
    """The file of a sweep that chose the first of `calls`: name -> calls per worker."""
    rows: dict[str, dict[str, Any]] = {
        name: {"success": 0.9, "ttfa_p50_s": 0.7, "calls_per_worker": most} for name, most in calls.items()
    }
    chosen, *others = map(setting, calls)
    return tiers_yaml(chosen, others, rows, ["By a sweep of 10 minutes."])


def with_its_ladder(text: str) -> TiersFile:
    """As a team reads it that has removed the # of the ladder."""
    head, mark, ladder = text.partition("# ladder:\n")
    assert mark, "no ladder"
    whole = head + "ladder:\n" + "\n".join(line.removeprefix("#") for line in ladder.splitlines())
    return validated(TiersFile, yaml.safe_load(whole), source="tiers.yaml")


def test_the_file_has_its_evidence_and_is_one() -> None:
    text = written(calm=2, quick=2)
    assert text.startswith("# By a sweep of 10 minutes.\n")
    assert "# success 90%, TTFA p50 0.70 s, calls per worker 2\n" in text
    found = validated(TiersFile, yaml.safe_load(text), source="tiers.yaml")
    assert (found.default, sorted(found.tiers), found.ladder) == ("calm", ["calm", "quick"], None)


def test_a_ladder_goes_to_settings_that_hold_more_calls() -> None:
    text = written(base=2, tiny=5, same=5, small=9, larger=1)
    assert "slots may be up to 9" in text
    ladder = with_its_ladder(text).ladder
    assert ladder is not None
    assert (ladder.order, ladder.calls) == (("base", "tiny", "small"), (2, 5))


@pytest.mark.parametrize("calls", [{"calm": 2, "quick": 2}, {"calm": None, "quick": 4}, {"calm": 2, "quick": None}])
def test_no_ladder_where_nothing_holds_more(calls: dict[str, int | None]) -> None:
    assert "ladder" not in written(**calls)
