"""The configuration files of the servers we start, as plain values. Pure: no ports are opened, no files written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LiveKitSettings:
    """What one livekit-server needs to know. All ports are on `host`, except that LiveKit opens the TCP port of
    its media (`rtc_tcp_port`) on every interface; connections there must know the ICE password of a call."""

    region: str
    api_key: str
    api_secret: str = field(repr=False)
    port: int
    rtc_udp_port: int
    rtc_tcp_port: int | None
    prometheus_port: int | None = None
    webhook_urls: Sequence[str] = ()
    host: str = "127.0.0.1"
    node_ip: str = "127.0.0.1"
    """Address that callers and agents send their media to."""
    log_level: str = "info"


def livekit_config(settings: LiveKitSettings, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """livekit-server's YAML as a dict; `overrides` is merged into it, level by level.

    There is never a `redis` section: two livekit-servers on one Redis become one cluster, whatever their `db`.
    """
    config: dict[str, Any] = {
        "port": settings.port,
        "bind_addresses": [settings.host],
        "region": settings.region,
        "keys": {settings.api_key: settings.api_secret},
        "logging": {"level": settings.log_level, "json": True, "pion_level": "error"},
        "rtc": {
            "udp_port": settings.rtc_udp_port,
            # An absent key would mean 7881, the same for every server; 0 means none.
            "tcp_port": settings.rtc_tcp_port or 0,
            "node_ip": settings.node_ip,
            "use_external_ip": False,
            # Without these two, media leaves through the first real interface, or fails where there is none.
            "enable_loopback_candidate": True,
            "ips": {"includes": [f"{settings.node_ip}/32"]},
        },
        "turn": {"enabled": False},
    }
    if settings.prometheus_port is not None:
        config["prometheus"] = {"port": settings.prometheus_port}
    if settings.webhook_urls:
        config["webhook"] = {"api_key": settings.api_key, "urls": list(settings.webhook_urls)}
    return _merged(config, overrides or {})


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def redis_config(*, port: int, directory: Path, password: str | None, host: str = "127.0.0.1") -> str:
    """redis.conf of a private Redis: loopback only, nothing written to disk unasked, never evicting our claims."""
    lines = [
        f"port {port}",
        f"bind {host}",
        f'dir "{directory}"',
        'save ""',
        "appendonly no",
        "maxmemory-policy noeviction",
        "daemonize no",
        # A changed title overwrites the environment in /proc, where the guard reads its tag.
        "set-proc-title no",
    ]
    if password is not None:
        lines.append(f"requirepass {password}")
    else:
        lines.append("protected-mode yes")
    return "\n".join(lines) + "\n"
