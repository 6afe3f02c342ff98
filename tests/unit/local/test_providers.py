"""Provider arguments, what they need of the machine, and the responder's turn logic."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from livekit.agents import llm

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.local import available
from voicefleet.local.answers import read_answers
from voicefleet.local.available import local_pipeline_missing
from voicefleet.local.flite_tts import FliteTTS
from voicefleet.local.forms.responder import FormResponder
from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.pocketsphinx_stt import PocketSphinxSTT
from voicefleet.local.responder import Responder
from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS
from voicefleet.local.whisper_stt import WhisperBaseSTT, WhisperSTT

pytestmark = pytest.mark.unit


def test_providers_say_which_models_they_need() -> None:
    assert WhisperSTT.required_models == ("whisper",)
    assert WhisperBaseSTT.required_models == ("whisper-base",)
    assert PocketSphinxSTT.required_models == ("pocketsphinx",)
    for cls in (Responder, FormResponder, FliteTTS, SyntheticSTT, SyntheticLLM, SyntheticTTS):
        assert cls.required_models == ()


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: WhisperSTT(window_s=5), "stt.args.window_s"),
        (lambda: WhisperSTT(beam_size=0), "stt.args.beam_size"),
        (lambda: Responder(least_score=2), "llm.args.least_score"),
        (lambda: Responder(path="/nowhere/at/all.yaml"), "llm.args.path"),
        (lambda: FliteTTS(voice="marvin"), "tts.args.voice"),
        (lambda: FliteTTS(speed_ratio=9), "tts.args.speed_ratio"),
        (lambda: SyntheticSTT(latency_s=-1), "stt.args.latency_s"),
        (lambda: SyntheticLLM(tokens_per_s=0), "llm.args.tokens_per_s"),
        (lambda: SyntheticLLM(replies=[]), "llm.args.replies"),
        (lambda: SyntheticLLM(replies="one"), "llm.args.replies"),
        (lambda: SyntheticTTS(chars_per_s=0), "tts.args.chars_per_s"),
    ],
)
def test_wrong_arguments_are_named(build: Callable[[], Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert caught.value.field == field


def test_flite_that_is_not_there_is_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingPartError) as caught:
        FliteTTS()
    assert caught.value.field == "tts.plugin"
    assert "flite" in caught.value.hint
    assert any("flite" in sentence for sentence in local_pipeline_missing())


def test_missing_packages_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available, "find_spec", lambda _: None)
    sentences = local_pipeline_missing()
    assert any("faster_whisper" in s and "voicefleet[local]" in s for s in sentences)


def test_without_a_model_server_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEFLEET_MODEL_SOCKET", raising=False)
    with pytest.raises(ConfigError, match="VOICEFLEET_MODEL_SOCKET"):
        _ = ModelClient().socket_path
    monkeypatch.setenv("VOICEFLEET_MODEL_SOCKET", "/run/x")
    assert ModelClient().socket_path == "/run/x"


def conversation(*turns: tuple[llm.ChatRole, str]) -> llm.ChatContext:
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="Where is your office?")
    for role, text in turns:
        context.add_message(role=role, content=text)
    return context


ANSWERS = read_answers()


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], ANSWERS.greeting),
        ([("user", "Where is my order?")], ANSWERS.replies["order"]),
        ([("user", "purple elephants")], ANSWERS.fallback),
        ([("user", "Where is my order?"), ("assistant", "On its way.")], ANSWERS.follow_up),
        # A pause cut one question in two.
        ([("user", "How do I reset"), ("user", "my password?")], ANSWERS.replies["password"]),
        # The caller thought better of it before we answered.
        ([("user", "Where is my order?"), ("user", "Can I get a refund?")], ANSWERS.replies["refund"]),
        ([("user", "Where is my order?"), ("assistant", "x"), ("user", "hmm well")], ANSWERS.fallback),
    ],
)
def test_the_responder_answers_what_is_unanswered(turns: list[tuple[llm.ChatRole, str]], expected: str) -> None:
    assert Responder().say(conversation(*turns)) == expected
