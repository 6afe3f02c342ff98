"""The arms differ in the platform alone: what the bare worker is told is what voicefleet builds from the tier."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from bench import bare_worker
from bench.stand import TIERS, TURNS

from voicefleet.contract.calls import CallOrder
from voicefleet.worker.agents import assistant
from voicefleet.worker.call import CallContext
from voicefleet.worker.providers.pipeline import turn_handling
from voicefleet.worker.tiers.load import ReadyTier, read_tiers, resolve_tiers

pytestmark = pytest.mark.unit


def tier(where: str, name: str = "synthetic") -> ReadyTier:
    return resolve_tiers(read_tiers(where), {}).by_name[name]


def test_bare_worker_has_the_settings_of_the_tier() -> None:
    ready = tier(str(TIERS))
    assert turn_handling(ready) == bare_worker.TURN_HANDLING
    vad = ready.tier.vad
    assert {
        "min_silence_duration": vad.min_silence_s,
        "min_speech_duration": vad.min_speech_s,
        "activation_threshold": vad.activation_threshold,
    } == bare_worker.VAD_ARGS
    wanted = {"stt": bare_worker.STT_ARGS, "llm": bare_worker.LLM_ARGS, "tts": bare_worker.TTS_ARGS}
    assert {name: stage.args for name, stage in ready.stages.items()} == wanted
    classes = {vars(bare_worker)[f"Synthetic{name}"] for name in ("STT", "LLM", "TTS")}
    assert {stage.cls for stage in ready.stages.values()} == classes


def test_bare_agent_says_what_the_default_agent_says() -> None:
    agent: Any = assistant(CallContext("r", "room", "synthetic", CallOrder(), "w"))
    assert agent.instructions == bare_worker.INSTRUCTIONS
    assert agent._greeting == bare_worker.GREETING


@pytest.mark.parametrize(("where", "name"), [(TIERS, "synthetic"), (TURNS, "before"), (TURNS, "shipped")])
def test_stages_of_the_benches_are_the_built_in_tiers_but_for_the_replies(where: Path, name: str) -> None:
    ours, built_in = tier(str(where), name), tier("synthetic")
    for stage_name, stage in ours.stages.items():
        args = {key: value for key, value in stage.args.items() if key != "replies"}
        assert args == built_in.stages[stage_name].args, stage_name


def test_what_the_bench_calls_shipped_is_shipped() -> None:
    stages = {"stt", "llm", "tts"}
    shipped, built_in = tier(str(TURNS), "shipped").tier, tier("synthetic").tier
    assert shipped.model_dump(exclude=stages) == built_in.model_dump(exclude=stages)


def test_bare_worker_imports_nothing_of_ours_but_the_providers() -> None:
    tree = ast.parse(Path(inspect.getfile(bare_worker)).read_text())
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert {name for name in imported if name.startswith("voicefleet")} == {"voicefleet.local.synthetic"}
