"""Addresses of Redis: Sentinels, authorities, and what messages show of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.redis.address import is_sentinel, parse_sentinel, shown_address, with_authority
from voicefleet.runtime.redis.connection import connect_redis

pytestmark = pytest.mark.unit


def test_a_sentinel_address_in_full() -> None:
    address = parse_sentinel(
        "rediss+sentinel://voice:p%40ss@a.example:1,[::1]:2,b.example/main/3"
        "?ssl_ca_certs=/etc/ca.crt&sentinel_password=s%26t"
    )
    assert address.sentinels == (("a.example", 1), ("::1", 2), ("b.example", 26379))
    assert (address.master, address.database, address.tls) == ("main", 3, True)
    assert (address.username, address.password) == ("voice", "p@ss")
    assert address.authority == "/etc/ca.crt"
    assert address.query["sentinel_password"] == "s&t"
    assert "p@ss" not in repr(address)
    assert "s&t" not in repr(address)


def test_a_short_sentinel_address() -> None:
    address = parse_sentinel("redis+sentinel://:secret@s:26379/main")
    assert (address.username, address.password, address.database, address.tls) == (None, "secret", 0, False)
    assert address.authority is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://s:1", "needs hosts and the master's name"),
        ("redis+sentinel:///main", "needs hosts and the master's name"),
        ("redis+sentinel://s:x/main", "'s:x' is not HOST:PORT"),
        ("redis+sentinel://s:1,/main", "'' is not HOST:PORT"),
        ("redis+sentinel://s:1/main/one", "the database one is no number"),
        ("redis+sentinel://s:1/main?db=3", "db is not known"),
    ],
)
def test_a_wrong_sentinel_address_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="not a Redis address") as caught:
        connect_redis(url)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host/2", "redis://host:6379/2"),
        ("rediss://:secret@host:1/0?ssl_ca_certs=x", "rediss://host:1/0"),
        ("redis+sentinel://u:secret@a:1,b:2/main/0?sentinel_password=secret", "redis+sentinel://a:1,b:2/main/0"),
    ],
)
def test_messages_show_no_secret(url: str, shown: str) -> None:
    assert shown_address(url) == shown
    assert is_sentinel(url) is ("sentinel" in url)


def test_an_authority_goes_into_the_address(tmp_path: Path) -> None:
    certificate = tmp_path / "a b.crt"
    certificate.touch()
    url = with_authority("rediss://h:1/0", str(certificate), field="redis_ca_file")
    assert url == f"rediss://h:1/0?ssl_ca_certs={tmp_path}/a%20b.crt"
    assert with_authority("rediss://h/0?x=1", str(certificate), field="f").startswith("rediss://h/0?x=1&ssl_ca_certs=")
    assert with_authority("redis://h/0", "", field="f") == "redis://h/0"


def test_an_authority_that_is_of_no_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"redis_ca_file.*not one of TLS"):
        with_authority("redis://h/0", str(tmp_path), field="redis_ca_file")
    with pytest.raises(ConfigError, match="no such file"):
        with_authority("rediss://h/0", str(tmp_path / "none"), field="redis_ca_file")
