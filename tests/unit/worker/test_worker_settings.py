"""A worker's settings: each explains itself, and job processes get the same ones."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.worker.server.preflight import defaults_told
from voicefleet.worker.server.settings import (
    JOB_SETTINGS_VARIABLE,
    WorkerSettings,
    export_for_jobs,
    load_settings,
    settings_of_job,
)

pytestmark = pytest.mark.unit


def test_every_setting_explains_itself() -> None:
    for name, field in WorkerSettings.model_fields.items():
        text = field.description or ""
        assert text.endswith("."), f"{name} has no description"
        if name.endswith("_s"):
            assert "seconds" in text, f"{name} does not say its unit"
        if name.endswith("_bytes"):
            assert "bytes" in text, f"{name} does not say its unit"
        if name.endswith("_mb"):
            assert "MB" in text, f"{name} does not say its unit"


def test_a_job_has_its_worker_s_settings_with_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (JOB_SETTINGS_VARIABLE, "LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "MODELS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")
    given: dict[str, Any] = {
        "worker_id": "w",
        "slots": 3,
        "redis_url": SecretStr("redis://:secret@127.0.0.1:1"),
        "livekit_api_secret": SecretStr("s" * 32),
        "transcript_key": SecretStr("k"),
        "telemetry": "off",
    }
    settings = WorkerSettings(**given)
    export_for_jobs(settings, {"MODELS": "/models"})
    assert settings_of_job() == settings


def test_a_default_is_not_shown_as_if_somebody_had_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VOICEFLEET_REDIS_URL", "LIVEKIT_URL", "LIVEKIT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    unset = load_settings({}).unset_variables
    assert unset == {"VOICEFLEET_REDIS_URL", "LIVEKIT_URL"}
    refusal = UnreachableError("nobody answers", field="LIVEKIT_URL", value="ws://127.0.0.1:7880", hint="Start it.")
    with pytest.raises(UnreachableError) as caught, defaults_told(unset):
        raise refusal
    assert str(caught.value) == (
        "LIVEKIT_URL: is not set, and its default is ws://127.0.0.1:7880: nobody answers. Set it. Else: Start it."
    )
    with pytest.raises(UnreachableError) as caught, defaults_told(frozenset()):
        raise refusal
    assert caught.value is refusal


@pytest.mark.parametrize(
    ("given", "field", "what"),
    [
        ({"log_level": "LOUD"}, "log_level", "'DEBUG', 'INFO'"),
        ({"telemetry": "maybe"}, "telemetry", "'on' or 'off'"),
        ({"slots": 0}, "slots", "greater than or equal to 1"),
        ({"region": "Not A Region"}, "region", "pattern"),
        ({"slot": 4}, "slot", "no such field"),
    ],
)
def test_a_wrong_value_is_named(given: dict[str, object], field: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(given)
    assert caught.value.field == field
    assert what in str(caught.value)
