"""One vocabulary: the glossary's names exist in the code, and private words that were replaced do not come back.

Names are those that the code defines: modules, classes, functions, parameters, fields and variables, and Lua scripts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TREE = Path(__file__).resolve().parents[2]
COMPONENTS = ("worker", "controller", "loadtest", "dashboards")
MOST_WORDS = 25

STRUCK = {
    "Hold": "ClaimLease",
    "Line": "RtpStats",
    "SilenceWatch": "DeadAirDetector",
    "JobLink": "JobChannel",
    "joblink": "ipc",
    "Remembered": "CallTranscript",
    "MemoryStore": "TranscriptStore",
    "Beside": "KeyedTasks",
    "told_in_full": "error_details",
    "tell_the_uncaught": "log_uncaught_errors",
    "own_words": "literal_message",
    "way_out": "hint",
    "PoolLoop": "PoolReconciler",
    "_bury": "_reap_exited",
    "LawBook": "ModelStore",
    "laws": "models",
    "Lesson": "CallStats",
    "Witness": "ProbeResult",
    "BlindRepair": "OutageDispatcher",
    "Birth": "StartupTimestamps",
    "Departure": "InstanceExit",
    "misled": "dispatch_unreliable",
    "on_the_way": "reserved_unjoined",
    "Happening": "KubeEvent",
    "regret": "scale_down_risk",
    "foretell": "predict",
    "company": "batch_arrival_bias",
    "MENDED": "ORDER_CORRECTION",
    "CROWDED": "BURSTINESS_EXPONENT",
    "SPEND": "RISK_BUDGET_SHARE",
    "_Said": "LazyExplanation",
    "_stranger": "_unmanaged_worker",
    "Scene": "FaultContext",
    "Props": "Fixtures",
    "Crowd": "CallerPool",
    "Gear": "FleetProfile",
    "strike": "inject",
    "Take": "Trial",
    "Mouth": "SpeechSource",
    "Hearing": "TrackListener",
    "is_hold": "is_waiting_voice",
    "hold_identity": "waiting_voice_identity",
    "memory_put": "transcript_put",
    "memory_forget": "transcript_forget",
    "held_expire": "open_claims_expire",
    "hold_s": "scale_down_delay_s",
}
"""Private word -> the standard term in its place. Nothing in the product has such a name."""

STRUCK_AT_THE_TOP = {
    "silence": "dead_air",
    "overlaps": "interruptions",
    "presence": "liveness",
    "rescue": "streaming_fallback",
    "books": "invariants",
    "manners": "CallerBehavior",
    "ours": "voicefleet_policy",
    "ear": "onset_detector",
    "line": "rtp_stats",
    "hold": "claim_lease or waiting_message",
    "memory": "transcript or policy_state",
    "told": "error_summary",
    "answered": "translate_redis_errors",
    "again": "redispatch_metadata",
    "end": "cancel_and_wait",
    "judge": "evaluate",
    "own": "poisson_variance",
}
"""Words that are good English for a variable, but not for a module, nor for a class or function at a module's top."""


def defined(tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


@cache
def at_the_top() -> dict[str, str]:
    """Name of a module, or of a class or function at its top -> the file."""
    found: dict[str, str] = {}
    for component in COMPONENTS:
        for path in sorted((TREE / component / "voicefleet").rglob("*.py")):
            place = str(path.relative_to(TREE))
            found.setdefault(path.parent.name if path.stem == "__init__" else path.stem, place)
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    found.setdefault(node.name, place)
    return found


@cache
def names() -> dict[str, str]:
    """Name -> a file that defines it."""
    found: dict[str, str] = {}
    for component in COMPONENTS:
        for path in sorted((TREE / component / "voicefleet").rglob("*")):
            place = str(path.relative_to(TREE))
            if path.suffix == ".py":
                for name in defined(ast.parse(path.read_text(encoding="utf-8"))):
                    found.setdefault(name, place)
                found.setdefault(path.parent.name if path.stem == "__init__" else path.stem, place)
            elif path.suffix == ".lua":
                found.setdefault(path.stem, place)
    return found


def glossary() -> list[tuple[str, str, str]]:
    """The rows of the README's glossary: word, meaning, its names in the code."""
    text = (TREE / "README.md").read_text(encoding="utf-8")
    _, found, section = text.partition("\n## Glossary\n")
    assert found, "README.md has no ## Glossary"
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert lines[0].replace(" ", "") == "|word|meaning|inthecode|"
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    assert all(len(row) == 3 for row in rows)
    return [(row[0], row[1], row[2]) for row in rows]


def test_the_code_is_read() -> None:
    assert len(names()) > 3_000
    assert {"ClaimLease", "queue_scan", "claim_lease", "scaling", "room_sid"} <= set(names())


@pytest.mark.parametrize("word", STRUCK)
def test_a_struck_word_does_not_come_back(word: str) -> None:
    assert word not in names(), f"{names()[word]} defines {word}: the word is {STRUCK[word]}"


@pytest.mark.parametrize("word", STRUCK_AT_THE_TOP)
def test_a_struck_name_of_a_module_or_function_does_not_come_back(word: str) -> None:
    assert word not in at_the_top(), f"{at_the_top()[word]} defines {word}: the word is {STRUCK_AT_THE_TOP[word]}"


def test_the_glossary_is_short_and_each_of_its_words_exists_in_the_code() -> None:
    rows = glossary()
    assert 0 < len(rows) <= MOST_WORDS
    missing = []
    for word, _, cell in rows:
        in_code = re.findall(r"`(\w+)`", cell)
        assert in_code, f"{word} has no name in the code"
        missing += [f"{word}: {name}" for name in in_code if name not in names()]
    assert not missing
