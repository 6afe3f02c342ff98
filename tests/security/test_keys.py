"""API keys: what a list or a file of them may hold, who may read the file, and who tries too often."""

from __future__ import annotations

import io
import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.cli import app
from voicefleet.contract.errors import ConfigError
from voicefleet.controller.http.auth.attempts import ADDRESSES, BURST, REFILL_S, Attempts, client_address
from voicefleet.controller.http.auth.key_file import KeyFile, read_key_file
from voicefleet.controller.http.auth.keys import (
    KeyLimits,
    KeyRing,
    Role,
    digest_of,
    keys_in_file,
    keys_in_list,
    line_of,
)
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.runtime.clock import SystemClock

pytestmark = pytest.mark.unit

SECRET, OTHER = "a-secret-of-16-or-more", "another-secret-of-16"
REGIONS = {"eu", "us"}


def of_list(text: str) -> KeyRing:
    return keys_in_list(text, field="api_keys_env", source="KEYS", regions=REGIONS)


def of_file(text: str) -> KeyRing:
    return keys_in_file(text, field="api_keys_file", source="keys", regions=REGIONS)


@pytest.mark.parametrize(
    ("text", "roles", "regions", "unlimited"),
    [
        (f"web:{SECRET}:call", {Role.CALL}, None, False),
        (f" ops : {SECRET} : operate : eu+us ", {Role.OPERATE}, {"eu", "us"}, False),
        (f"both:{SECRET}:call+read:us", {Role.CALL, Role.READ}, {"us"}, False),
        (f"old:{SECRET}", set(Role) - {Role.DIAL}, None, True),
    ],
)
def test_a_list_of_keys(text: str, roles: set[Role], regions: set[str] | None, unlimited: bool) -> None:
    key = of_list(f"{text},another:{OTHER}").find(SECRET)
    assert key is not None
    assert (set(key.roles), key.regions and set(key.regions), key.unlimited) == (roles, regions, unlimited)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (f"web:{SECRET}:call:eu:calls=20+requests=60", KeyLimits(20, 60)),
        (f"web:{SECRET}:call::calls=0", KeyLimits(calls=0)),
        (f"web:{SECRET}:call", KeyLimits()),
    ],
)
def test_a_key_may_have_bounds_of_its_own(text: str, limits: KeyLimits) -> None:
    (key,) = of_list(text).keys
    assert key.limits == limits
    (again,) = of_file(line_of("web", SECRET, "call", "", limits)).keys
    assert (again.limits, again.regions) == (limits, None)


@pytest.mark.parametrize("limit", ["calls", "calls=-1", "requests=0", "calls=1+calls=2", "cals=4", "calls=4=5", "="])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(ConfigError, match="not a limit of a key"):
        of_list(f"web:{SECRET}:call:eu:{limit}")


@given(calls=st.none() | st.integers(0, 9), requests=st.none() | st.integers(1, 9))
def test_the_bounds_of_a_key_stand_in_place_of_those_of_all(calls: int | None, requests: int | None) -> None:
    limiter = Limiter(cast(Any, SimpleNamespace(register_script=None)), SystemClock(), per_minute=600, calls=5)
    limiter.take(of_file(line_of("web", SECRET, "call", "", KeyLimits(calls, requests))))
    assert (limiter.most_calls("web"), limiter.most_calls("other")) == (5 if calls is None else calls, 5)
    assert (limiter.per_minute("web"), limiter.per_minute("other")) == (requests or 600, 600)


def test_operate_includes_read_and_nothing_includes_call_or_dial() -> None:
    may = {role: {other for other in Role if of_list(f"k:{SECRET}:{role}").keys[0].may(other)} for role in Role}
    assert may == {
        Role.CALL: {Role.CALL},
        Role.DIAL: {Role.DIAL},
        Role.READ: {Role.READ},
        Role.OPERATE: {Role.READ, Role.OPERATE},
    }


def test_those_who_may_call_are_counted_by_region() -> None:
    ring = of_list(f"a:{SECRET}:call:eu,b:{OTHER}:call+read,c:{SECRET}-3:operate,d:{SECRET}-4:read:eu")
    assert (ring.callers("eu"), ring.callers("us")) == (2, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web:x:call", "KEYS': this key's secret has less than 16 characters"),
        (f"web:{'s' * 15}", "this key's secret has less than 16 characters"),
        ("web", "does not hold name:secret"),
        ("web:", "does not hold name:secret"),
        (f":{SECRET}", "does not hold name:secret"),
        (f"a b:{SECRET}:call", "does not hold name:secret"),
        (f"web}}:{SECRET}:call", "does not hold name:secret"),  # would end the hash tag of its keys in Redis
        (f"web:{SECRET}:call:eu:calls=1:us", "does not hold name:secret"),
        (f"web:{SECRET}:", "no such role"),
        (f"web:{SECRET}:admin", "api_keys_env = 'web in KEYS: admin': no such role. Known: call, dial, operate, read"),
        (f"web:{SECRET}:call:mars", "api_keys_env = 'web in KEYS: mars': no such region. Known: eu, us"),
        (f"web:{SECRET}:call:", "no such region"),
        (f"web:{SECRET},web:{OTHER}", "two keys have the same name"),
        (f"web:{SECRET},ops:{SECRET}", "= 'ops, web in KEYS': two keys have the same secret"),
        ("", "does not hold name:secret"),
    ],
)
def test_mistakes_in_a_list_are_named_and_no_secret_is_shown(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of_list(text)
    assert says in str(caught.value)
    assert caught.value.field == "api_keys_env"
    assert caught.value.hint
    assert SECRET not in str(caught.value)


def test_a_secret_with_a_colon_is_refused_without_showing_the_rest_of_it() -> None:
    with pytest.raises(ConfigError, match="no such role") as caught:
        of_list(f"web:{SECRET}:R3st-of-it")
    assert "R3st" not in str(caught.value)


@given(st.text(max_size=40))
def test_whatever_is_no_list_is_a_config_error(text: str) -> None:
    try:
        ring = of_list(text)
    except ConfigError:
        return
    assert ring.keys


@given(st.text(max_size=80))
def test_whatever_is_no_file_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        of_file(text + "\nnot a key")


def test_a_file_holds_hashes_and_no_secrets() -> None:
    ring = of_file(
        f"# ours\n\n{line_of('web', SECRET, 'call', 'eu')}  # since May\n{line_of('ops', OTHER, 'operate', '')}"
    )
    web, ops = ring.find(SECRET), ring.find(OTHER)
    assert web is not None
    assert ops is not None
    assert (web.name, set(web.roles), set(web.regions or ())) == ("web", {Role.CALL}, {"eu"})
    assert (ops.name, set(ops.roles), ops.regions) == ("ops", {Role.OPERATE}, None)
    assert ring.find(digest_of(SECRET).hex()) is None, "the hash is no secret"
    assert not any(text in repr(ring) + repr(web) for text in (SECRET, digest_of(SECRET).hex(), repr(web.digest)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"web md5:{'0' * 32} call", "line 1: md5': a hash of an unknown form"),
        (f"web sha256:{'0' * 63} call", "a hash of an unknown form"),
        (f"web {SECRET} call", "line 1: ...': a hash of an unknown form"),
        (f"\nweb sha256:{'0' * 64} admin", "api_keys_file = 'keys, line 2: admin': no such role"),
        (f"web sha256:{'0' * 64} call mars", "no such region"),
        (f"web sha256:{'0' * 64}", "not NAME HASH ROLES"),
        ("# none", "holds no key"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of_file(text)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def written(folder: Path, mode: int = 0o600, name: str = "keys", secret: str = SECRET) -> Path:
    path = folder / name
    path.write_text(line_of("web", secret, "call", "") + "\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_that_only_its_owner_may_read_is_taken(mode: int, tmp_path: Path) -> None:
    ring, _ = read_key_file(written(tmp_path, mode), REGIONS)
    assert ring.find(SECRET) is not None


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o644, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_read_or_change_is_refused(mode: int, tmp_path: Path) -> None:
    path = written(tmp_path, mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}") as caught:
        read_key_file(path, REGIONS)
    assert (caught.value.field, caught.value.value) == ("api_keys_file", str(path))


def mounted(folder: Path, mode: int) -> Path:
    """As the kubelet mounts a Secret: a link to a link to a folder of that version."""
    version = folder / "..2026_11_28"
    version.mkdir()
    written(version, mode)
    (folder / "..data").symlink_to(version.name)
    (folder / "keys").symlink_to("..data/keys")
    return folder / "keys"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of root; CI runs as root")
@pytest.mark.parametrize(
    ("mode", "taken"), [(0o440, True), (0o400, True), (0o444, False), (0o644, False), (0o460, False)]
)
def test_a_mounted_secret_may_be_read_by_the_groups_of_its_pod_and_by_nobody_else(
    mode: int, taken: bool, tmp_path: Path
) -> None:
    path = mounted(tmp_path, mode)
    if taken:
        assert read_key_file(path, REGIONS)[0].find(SECRET) is not None
    else:
        with pytest.raises(ConfigError, match="others may read it"):
            read_key_file(path, REGIONS)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder,
        lambda folder: folder / "none",
        lambda folder: binary(folder),
    ],
    ids=["a folder", "nothing", "not text"],
)
def test_what_is_no_file_of_keys_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_key_file(make(tmp_path), REGIONS)
    assert caught.value.field == "api_keys_file"


def binary(folder: Path) -> Path:
    path = folder / "binary"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    return path


def test_keys_change_while_it_runs_and_a_slip_leaves_those_there_were(tmp_path: Path) -> None:
    path = written(tmp_path)
    rings: list[KeyRing] = []
    file = KeyFile(path, REGIONS, SystemClock(), rings.append)
    file.look()
    file.look()
    assert len(rings) == 1, "nothing changed"
    written(tmp_path, secret=OTHER, name="new").replace(path)
    file.look()
    assert [(r.find(SECRET) is not None, r.find(OTHER) is not None) for r in rings] == [(True, False), (False, True)]
    path.write_text("web: call")
    file.look()
    path.unlink()
    file.look()
    assert len(rings) == 2
    written(tmp_path)
    file.look()
    assert len(rings) == 3


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["voicefleet", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    return app.exit_code()


def test_the_command_makes_a_line_that_lets_its_secret_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, "keys", "hash", "web", "--roles", "call+read", "--regions", "eu") == 0
    line, said = capsys.readouterr()
    secret = said.splitlines()[-1]
    key = of_file(line).find(secret)
    assert key is not None
    assert (key.name, len(secret) >= 43, secret in line) == ("web", True, False)
    assert ran(monkeypatch, "keys", "hash", "ops", "--roles", "operate", "--stdin", stdin=SECRET + "\n") == 0
    line, said = capsys.readouterr()
    assert (of_file(line).find(SECRET) is not None, said) == (True, "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (("web", "--roles", "admin"), "", "--roles = 'admin': no such role"),
        (("a b", "--roles", "call"), "", "NAME = 'a b': not a key's name"),
        (("web", "--roles", "call", "--regions", "EU_1"), "", "--regions = 'EU_1': not a region's name"),
        (("web", "--roles", "call", "--stdin"), "short", "--stdin: a secret has at least 16 characters"),
    ],
)
def test_the_command_refuses(
    arguments: tuple[str, ...],
    stdin: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ran(monkeypatch, "keys", "hash", *arguments, stdin=stdin) == 2
    out, err = capsys.readouterr()
    assert (out, says in err, len(err.splitlines())) == ("", True, 1), err


def test_failures_of_an_address_are_limited_and_come_back_slowly() -> None:
    attempts = Attempts()
    assert [attempts.failed("192.0.2.1", 0.0) for _ in range(BURST)] == [None] * BURST
    assert attempts.failed("192.0.2.1", 0.0) == pytest.approx(REFILL_S)
    assert attempts.failed("192.0.2.1", 1.0) == pytest.approx(REFILL_S - 1)
    assert attempts.failed("192.0.2.2", 1.0) is None, "another address"
    assert attempts.failed("192.0.2.1", REFILL_S) is None
    assert attempts.failed("192.0.2.1", REFILL_S) is not None


def test_one_machine_has_many_addresses_of_ipv6_and_memory_is_bounded() -> None:
    attempts = Attempts()
    waits = [attempts.failed(f"2001:db8::{number:x}", 0.0) for number in range(BURST + 1)]
    assert waits[-1] is not None
    for number in range(ADDRESSES + 10):
        attempts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(attempts) == ADDRESSES
    assert attempts.failed("not an address\n" * 1000, 0.0) is None


TRUSTED = (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("peer", "forwarded", "who"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # nobody's word but a proxy's
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the caller wrote 1.1.1.1
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_who_asks_is_the_peer_or_what_a_trusted_proxy_says(peer: str, forwarded: list[str], who: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == who
