"""The settings file: every mistake is named with its field, its value and a hint."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicefleet.contract.errors import ConfigError, ConfigErrors
from voicefleet.controller.http.auth.keys import Role
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.load import load_settings

pytestmark = pytest.mark.unit

FRONT, BACK = "the-secret-of-front", "the-secret-of-back"
ENV = {"REDIS": "redis://:pw@r:6379/0", "KEYS": f"front:{FRONT}:call, back:{BACK}", "SECRET": "s" * 32, "EMPTY": " "}
GOOD: dict[str, Any] = {
    "redis_url_env": "REDIS",
    "api_keys_env": "KEYS",
    "regions": {
        "eu": {
            "livekit": {"url": "ws://lk:7880", "api_key": "devkey", "api_secret_env": "SECRET"},
            "pool": {
                "min_workers": 1,
                "max_workers": 4,
                "slots": 4,
                "policy": "buffer",
                "buffer": 2,
                "scale_down_delay_s": 60,
            },
            "process": {"command": ["voicefleet", "worker"], "state_dir": "/s", "log_dir": "/l"},
        }
    },
}


def load(tmp_path: Path, raw: Any) -> Settings:
    path = tmp_path / "controller.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))
    return load_settings(path, ENV)


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    here = raw
    for step in way:
        here = here.setdefault(step, {})
    if value is None:
        here.pop(last, None)
    else:
        here[last] = value
    return raw


def test_a_good_file(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    eu = settings.regions["eu"]
    assert (settings.host, settings.port, settings.auth, settings.tick_s) == ("127.0.0.1", 8080, "bearer", 2.0)
    front, back = settings.keys.find(FRONT), settings.keys.find(BACK)
    assert front is not None
    assert back is not None
    assert (front.name, front.roles, front.regions) == ("front", frozenset({Role.CALL}), None)
    assert (back.name, back.roles, back.unlimited) == ("back", frozenset(Role) - {Role.DIAL}, True)
    assert settings.keys.find("another-secret-it-is") is None
    assert eu.livekit.http_url == "http://lk:7880"
    assert eu.process is not None
    assert (eu.pool_spec.region, eu.pool_spec.max_workers, eu.process.on_exit, eu.rooms) == ("eu", 4, "stop", "ordered")
    assert set(settings.secret_variables) == {"REDIS", "KEYS", "SECRET"}


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(load(tmp_path, GOOD))
    assert not any(secret in shown for secret in (FRONT, BACK, "pw@", "s" * 32))


@pytest.mark.parametrize(
    ("path", "value", "field", "text"),
    [
        ("regoins", {}, "regoins", "Did you mean regions?"),
        ("regions.eu.livekit.urll", "x", "regions.eu.livekit.urll", "Did you mean url?"),
        ("regions.eu.pool.max_worker", 1, "regions.eu.pool.max_worker", "Did you mean max_workers?"),
        ("regions.eu.livekit.url", None, "regions.eu.livekit.url", "is missing"),
        ("regions.eu.livekit.url", "http://lk", "regions.eu.livekit.url", "'http://lk': not a ws/wss address"),
        ("regions.eu.livekit.api_url", "lk", "regions.eu.livekit.api_url", "not a http/https address"),
        ("regions.eu.pool.slots", 0, "regions.eu.pool.slots", "greater than or equal to 1"),
        ("regions.eu.pool.slots", "many", "regions.eu.pool.slots", "= 'many'"),
        ("regions.eu.pool.min_workers", 5, "regions.eu.pool.min_workers", "more than max_workers (4)"),
        ("regions.eu.pool.price_per_worker_hour", 0.4, "regions.eu.pool.currency", "Give three letters of ISO 4217"),
        ("regions.eu.pool.currency", "EUR", "regions.eu.pool.currency", "without price_per_worker_hour"),
        ("regions.EU_1", GOOD["regions"]["eu"], "regions.EU_1", "not a region's name"),
        ("regions.eu.process.command", [], "regions.eu.process.command", "at least 1 item"),
        ("regions.eu.process.on_exit", "kill", "regions.eu.process.on_exit", "'stop' or 'leave'"),
        ("regions.eu.livekit.api_secret_env", "NOPE", "regions.eu.livekit.api_secret_env", "= 'NOPE': this env"),
        ("regions.eu.livekit.api_secret_env", "EMPTY", "regions.eu.livekit.api_secret_env", "is not set"),
        ("regions.eu.livekit.api_secret_file", "/x", "regions.eu.livekit.api_secret_env", "exactly one"),
        ("redis_url", "redis://r:6379", "redis_url", "exactly one"),
        ("redis_url_env", None, "redis_url", "exactly one"),
        ("api_keys_env", None, "api_keys_env", "set auth: none"),
        ("auth", "none", "api_keys_env", "auth is none"),
        ("api_keys_file", "/k", "api_keys_env", "exactly one"),
        ("trusted_proxies", ["10.0.0.0/8", "proxy"], "trusted_proxies.1", "= 'proxy': not a network"),
        ("limits.unused_tickets_ratio", 0, "limits.unused_tickets_ratio", "greater than 0"),
        ("auth", "basic", "auth", "'bearer' or 'none'"),
        ("listen", "8080", "listen", "not HOST:PORT"),
        ("regions", {}, "regions", "at least 1 item"),
        ("limits.requests_per_minute", 0, "limits.requests_per_minute", "greater than or equal to 1"),
        ("tick_s", 0, "tick_s", "greater than or equal to 0.1"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, path: str, value: Any, field: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changed(path, value))
    assert caught.value.field == field
    assert text in str(caught.value)
    assert caught.value.hint


def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    raw = changed("redis_url_env", None) | {"redis_url": "redis://:hunter2@r:6379"}
    with pytest.raises(ConfigError, match="no place for secrets") as caught:
        load(tmp_path, raw)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("text", "what"), [("a: [", "not YAML at line"), ("- 1", "not a mapping"), ("", "not a mapp")])
def test_files_that_are_no_settings(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "none.yaml", ENV)


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    raw = changed("regions.eu.livekit.api_secret_env", None)
    raw["regions"]["eu"]["livekit"]["api_secret_file"] = str(secret)
    assert load(tmp_path, raw).regions["eu"].livekit.secret == "from-a-file"
    secret.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        load(tmp_path, raw)
    secret.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, raw)


PODS: dict[str, Any] = {"namespace": "voice-eu", "deployment": "worker"}
LEASE: dict[str, Any] = {"namespace": "voice", "name": "leader"}


def with_pods(**top: Any) -> dict[str, Any]:
    raw = copy.deepcopy(GOOD)
    eu = raw["regions"]["eu"]
    del eu["process"]
    eu["kubernetes"] = dict(PODS)
    return {**raw, **top}


def test_workers_as_pods(tmp_path: Path) -> None:
    settings = load(tmp_path, with_pods(kubernetes_lease=LEASE, owner="voice/main"))
    pods, lease = settings.regions["eu"].kubernetes, settings.kubernetes_lease
    assert pods is not None
    assert lease is not None
    assert (pods.namespace, pods.deployment, pods.cluster.context, pods.cluster.kubeconfig) == (
        "voice-eu",
        "worker",
        None,
        None,
    )
    assert (lease.name, lease.duration_s, lease.renew_deadline_s, lease.retry_s) == ("leader", 5, 3.5, 1.0)
    assert settings.owner == "voice/main"
    assert settings.replica.endswith(f"-{os.getpid()}")


def test_a_replica_has_the_name_of_its_pod(tmp_path: Path) -> None:
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump(with_pods()))
    assert load_settings(path, {**ENV, "VOICEFLEET_REPLICA": "controller-7f-x2"}).replica == "controller-7f-x2"


def test_key_and_secret_from_the_environment(tmp_path: Path) -> None:
    livekit = {"url": "ws://lk:7880", "api_key_env": "REDIS", "api_secret_env": "SECRET"}
    settings = load(tmp_path, changed("regions.eu.livekit", livekit))
    assert settings.regions["eu"].livekit.key == ENV["REDIS"]
    assert "REDIS" in settings.secret_variables


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        (
            {"kubernetes_lease": {**LEASE, "retry_s": 4}},
            "kubernetes_lease.retry_s",
            "not less than renew_deadline_s (3.5)",
        ),
        (
            {"kubernetes_lease": {**LEASE, "renew_deadline_s": 6.0}},
            "kubernetes_lease.renew_deadline_s",
            "not less than duration_s (5)",
        ),
        ({"kubernetes_lease": {**LEASE, "duration_s": 2.5}}, "kubernetes_lease.duration_s", "integer"),
        ({"kubernetes_lease": {"name": "leader"}}, "kubernetes_lease.namespace", "is missing"),
        ({"kubernetes_lease": {**LEASE, "name": "Leader!"}}, "kubernetes_lease.name", "'Leader!'"),
        ({"owner": "main"}, "owner", "'main'"),
    ],
)
def test_bad_fields_of_pods(tmp_path: Path, change: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, with_pods(**change))
    assert caught.value.field == field
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "field", "text"),
    [
        ("regions.eu.kubernetes", PODS, "regions.eu.kubernetes", "either pods or processes"),
        ("regions.eu.livekit.api_key", None, "regions.eu.livekit.api_key", "give either api_key or api_key_env"),
        ("regions.eu.livekit.api_key_env", "SECRET", "regions.eu.livekit.api_key", "give either"),
    ],
)
def test_fields_that_exclude_each_other(tmp_path: Path, path: str, value: Any, field: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changed(path, value))
    assert caught.value.field == field
    assert text in str(caught.value)


def mistakes(tmp_path: Path, raw: Any, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Field -> hint of everything that is wrong with a file."""
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError) as caught:
        load_settings(path, ENV if environment is None else environment)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else (caught.value,)
    return {error.field: error.hint for error in errors}


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    raw = copy.deepcopy(GOOD)
    raw |= {"tick_s": 0, "listn": "0.0.0.0:8080", "auth": "bearerr", "redis_url_env": "RADIS"}
    eu = raw["regions"]["eu"]
    eu["pool"] |= {"max_worker": 9, "slots": "many", "policy": "predictiv"}
    eu["livekit"] |= {"api_secret_env": "SECRTE", "url": "http://lk"}
    eu["process"]["on_exit"] = "leav"
    raw["regions"]["us"] = {
        **copy.deepcopy(GOOD["regions"]["eu"]),
        "pool": {"min_workers": 5, "max_workers": 2},
        "hold_message": {},
    }
    assert mistakes(tmp_path, raw) == {
        "regions.us.hold_message": "Write regions.us.waiting_message instead.",
        "redis_url_env": "Set it. Did you mean REDIS?",
        "auth": "Did you mean bearer?",
        "regions.eu.livekit.url": "Give wss://HOST[:PORT].",
        "regions.eu.livekit.api_secret_env": "Set it. Did you mean SECRET?",
        "regions.eu.pool.slots": "Correct it.",
        "regions.eu.pool.policy": "Did you mean predictive?",
        "regions.eu.pool.max_worker": "Did you mean max_workers?",
        "regions.eu.process.on_exit": "Did you mean leave?",
        "regions.us.pool.min_workers": "Lower it, or raise max_workers.",
        "tick_s": "Correct it.",
        "listn": "Did you mean listen?",
    }


def test_every_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    assert set(mistakes(tmp_path, GOOD, {})) == {
        "redis_url_env",
        "api_keys_env",
        "regions.eu.livekit.api_secret_env",
    }


def test_what_must_agree_is_checked_beside_a_typo_elsewhere(tmp_path: Path) -> None:
    raw = changed("regions.eu.pool.min_workers", 9) | {"redis_url": "redis://r", "tick": 1, "listen": "8080"}
    assert set(mistakes(tmp_path, raw)) == {"regions.eu.pool.min_workers", "redis_url", "tick", "listen"}


@pytest.mark.parametrize(
    ("path", "value", "only"),
    [
        # With the default of 4 there would be too few; with the one that was meant there are not.
        ("regions.eu.pool", {"min_workers": 6, "max_worker": 8}, "regions.eu.pool.max_worker"),
        ("regions.eu.pool", {"fixed_workers": 2, "mode": "fix"}, "regions.eu.pool.mode"),
        (
            "regions.eu.livekit",
            {"urll": "ws://lk", "api_key": "k", "api_secret_env": "SECRET"},
            "regions.eu.livekit.urll",
        ),
        ("auth", "non", "auth"),
        ("trusted_proxies", ["10.0.0.0/8", "x"], "trusted_proxies.1"),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told(tmp_path: Path, path: str, value: Any, only: str) -> None:
    raw = changed(path, value)
    if path == "auth":
        del raw["api_keys_env"]
    assert set(mistakes(tmp_path, raw)) == {only}


def test_the_message_lists_them_with_their_hints(tmp_path: Path) -> None:
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "tick": 1, "listn": ""}))
    with pytest.raises(ConfigErrors) as caught:
        load_settings(path, ENV)
    assert str(caught.value) == (
        f"2 mistakes in {path}:\n"
        "  listn: no such field. Did you mean listen?\n"
        "  tick: no such field. Did you mean tick_s?"
    )
    assert (caught.value.field, caught.value.exit_code) == ("listn", 2)


@pytest.mark.parametrize("how", ["option", "joined", "variable"])
def test_a_tier_that_the_workers_file_has_not_is_refused_at_the_start(tmp_path: Path, how: str) -> None:
    file = tmp_path / "tiers.yaml"
    file.write_text("default: steady\ntiers: {steady: {}, quick: {}}\n")
    part = {"option": ["--tiers", str(file)], "joined": [f"--tiers={file}"], "variable": []}[how]
    raw = copy.deepcopy(GOOD)
    eu = raw["regions"]["eu"]
    eu["process"] |= {"command": ["voicefleet", "worker", *part], "env": {"VOICEFLEET_TIERS": str(file)}}
    eu["agents"] = {"sales": {"tier": {"steady": 90, "quik": 10}}, "support": {"tier": "steady"}}
    assert mistakes(tmp_path, raw) == {"regions.eu.agents.sales.tier": "Did you mean quick?"}
    eu["agents"]["sales"]["tier"] = {"steady": 90, "quick": 10}
    assert load(tmp_path, raw).regions


def test_what_is_wrong_with_the_only_region_is_all_that_is_wrong(tmp_path: Path) -> None:
    raw = changed("regions.eu.tier", {"steady": 90, "quick": 20})
    assert list(mistakes(tmp_path, raw)) == ["regions.eu.tier"], "not that there are no regions either"


def test_tiers_that_nobody_can_look_up_here_are_left_to_the_workers(tmp_path: Path) -> None:
    for command in (["voicefleet", "worker", "--tiers"], ["voicefleet", "worker", "--tiers", "/none/tiers.yaml"]):
        raw = changed("regions.eu.process.command", command)
        raw["regions"]["eu"]["tier"] = "fast"
        assert load(tmp_path, raw).regions["eu"].only_tier == "fast"
