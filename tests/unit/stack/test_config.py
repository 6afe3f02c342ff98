from __future__ import annotations

from pathlib import Path

import pytest

from voicefleet.stack.config import LiveKitSettings, livekit_config, redis_config

pytestmark = pytest.mark.unit

SETTINGS = LiveKitSettings(
    region="eu", api_key="key", api_secret="s" * 40, port=7000, rtc_udp_port=7001, rtc_tcp_port=7002
)


def test_the_whole_livekit_configuration() -> None:
    assert livekit_config(SETTINGS) == {
        "port": 7000,
        "bind_addresses": ["127.0.0.1"],
        "region": "eu",
        "keys": {"key": "s" * 40},
        "logging": {"level": "info", "json": True, "pion_level": "error"},
        "rtc": {
            "udp_port": 7001,
            "tcp_port": 7002,
            "node_ip": "127.0.0.1",
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "ips": {"includes": ["127.0.0.1/32"]},
        },
        "turn": {"enabled": False},
    }


def test_webhooks_are_signed_with_the_servers_own_key() -> None:
    settings = LiveKitSettings(
        region="eu",
        api_key="key",
        api_secret="s",
        port=1,
        rtc_udp_port=2,
        rtc_tcp_port=None,
        prometheus_port=3,
        webhook_urls=("http://127.0.0.1:9/hook",),
    )
    config = livekit_config(settings)
    assert config["webhook"] == {"api_key": "key", "urls": ["http://127.0.0.1:9/hook"]}
    assert config["prometheus"] == {"port": 3}
    assert config["rtc"]["tcp_port"] == 0


def test_overrides_are_merged_level_by_level() -> None:
    config = livekit_config(SETTINGS, {"rtc": {"node_ip": "10.0.0.1"}, "turn": {"domain": "x"}, "room": {"a": 1}})
    assert config["rtc"]["node_ip"] == "10.0.0.1"
    assert config["rtc"]["udp_port"] == 7001
    assert config["turn"] == {"enabled": False, "domain": "x"}
    assert config["room"] == {"a": 1}


def test_no_two_servers_ever_share_a_redis() -> None:
    assert "redis" not in livekit_config(SETTINGS)


def test_the_secret_is_not_in_the_repr() -> None:
    assert "s" * 40 not in repr(SETTINGS)


def test_redis_writes_nothing_and_evicts_nothing() -> None:
    lines = redis_config(port=6000, directory=Path("/tmp/x"), password="pw").splitlines()
    assert 'save ""' in lines
    assert "appendonly no" in lines
    assert "maxmemory-policy noeviction" in lines
    assert "bind 127.0.0.1" in lines
    assert "requirepass pw" in lines


def test_redis_without_a_password_stays_protected() -> None:
    text = redis_config(port=6000, directory=Path("/tmp/x"), password=None)
    assert "requirepass" not in text
    assert "protected-mode yes" in text
