"""Receivers of call events in the settings file: each mistake is named, and no secret is ever in a message."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicefleet.contract.call_events import EventType
from voicefleet.contract.errors import ConfigError
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.load import load_settings

pytestmark = pytest.mark.unit

GOOD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENV = {
    "REDIS": "redis://r:6379/0",
    "SECRET": "s" * 32,
    "HOOKS": GOOD_SECRET,
    "BARE": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
BASE: dict[str, Any] = {
    "redis_url_env": "REDIS",
    "auth": "none",
    "regions": {"eu": {"livekit": {"url": "ws://lk:7880", "api_key": "devkey", "api_secret_env": "SECRET"}}},
}
CRM = {"url": "https://crm.example.com/hooks", "secret_env": "HOOKS"}


def load(tmp_path: Path, receivers: Any) -> Settings:
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump({**copy.deepcopy(BASE), "call_events": receivers}))
    return load_settings(path, ENV)


def test_a_receiver_is_told_of_everything_unless_it_says_otherwise(tmp_path: Path) -> None:
    settings = load(tmp_path, {"crm": CRM, "bill": {**CRM, "events": ["call.ended"]}})
    crm, bill = settings.call_events["crm"], settings.call_events["bill"]
    assert (crm.name, len(crm.keys), crm.events) == ("crm", 1, tuple(EventType))
    assert bill.events == (EventType.ENDED,)
    assert "HOOKS" in settings.secret_variables, "workers must not inherit it"
    assert GOOD_SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("receivers", "says"),
    [
        ({"crm": {**CRM, "url": "ftp://x/y"}}, "call_events.crm.url"),
        ({"crm": {**CRM, "url": "https://user:hunter2@x/y"}}, "call_events.crm.url"),
        ({"crm": {**CRM, "url": "https:///hooks"}}, "call_events.crm.url"),
        ({"crm": {"url": CRM["url"]}}, "secret_env"),
        ({"crm": {**CRM, "secret_file": "/x"}}, "secret_env"),
        ({"crm": {**CRM, "secret_env": "NOT_SET"}}, "not set"),
        ({"crm": {**CRM, "secret_env": "BARE"}}, "whsec_"),
        ({"crm": {**CRM, "events": ["call.sang"]}}, "call_events.crm.events"),
        ({"crm": {**CRM, "events": []}}, "call_events.crm.events"),
        ({"crm": {**CRM, "timeout_s": 0}}, "call_events.crm.timeout_s"),
        ({"CRM!": CRM}, "not a receiver's name"),
        ({f"r{n}": CRM for n in range(5)}, "call_events"),
    ],
)
def test_a_mistake_is_named_without_a_secret(tmp_path: Path, receivers: Any, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, receivers)
    said = str(refused.value)
    assert says in said
    assert "hunter2" not in said
    assert ENV["BARE"] not in said
