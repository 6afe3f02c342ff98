"""The trial's secrets: the same at each rendering when asked; each user of its Redis has rights of its own."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from chart.devstack import SEED, redis_key, secret, trial
from chart.redis_acl import FILE, content
from chart.render import refusal, render, secret_values
from redis.exceptions import AuthenticationError, NoPermissionError

from support.redis_programs import redis_programs
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import REDIS_FAILURES
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports

pytestmark = pytest.mark.cluster

PROGRAMS = redis_programs()


def test_with_a_seed_every_rendering_has_the_same_secrets() -> None:
    """What GitOps does: it renders again and again, without a cluster to ask, and applies what differs."""
    first, second = render(trial(seed=SEED)), render(trial(seed=SEED))
    assert first == second
    assert secret_values(first) & secret_values(render(trial(seed=SEED + "!"))) == {"devstack"}
    assert secret_values(first) & secret_values(render(trial(seed=SEED), namespace="other")) == {"devstack"}


def test_no_secret_is_made_of_another_and_the_seed_is_in_none() -> None:
    objects = render(trial(seed=SEED))
    redis_secrets, keys = secret(objects, "redis"), secret(objects, "api-keys")
    passwords = [value for name, value in redis_secrets.items() if name.startswith("password")]
    drawn = [*passwords, keys["caller"], keys["operator"], secret(objects, "livekit")["apiSecret"]]
    assert len(set(drawn)) == len(drawn) == 7
    assert all(re.fullmatch(r"[0-9a-f]{40}", value) for value in drawn)
    assert SEED not in str(objects)


def test_without_a_seed_they_are_drawn() -> None:
    assert secret(render(trial()), "redis")["password"] != secret(render(trial()), "redis")["password"]


def test_a_short_seed_is_refused() -> None:
    assert "devStack.seed" in refusal(trial(seed="short")).replace("/", ".")


def test_each_component_has_the_address_with_its_own_user_and_no_other() -> None:
    objects = render(trial(seed=SEED))
    for workload, namespace, key, user in (
        ("voicefleet-controller", "voice", "url-controller", "voicefleet-controller"),
        ("voicefleet-eu", "voice-eu", "url-worker-eu", "voicefleet-worker-eu"),
        ("voicefleet-us-east", "voice-us-east", "url-worker-us-east", "voicefleet-worker-us-east"),
    ):
        assert redis_key(objects, workload) == {"name": "voicefleet-redis", "key": key}
        assert urlsplit(secret(objects, "redis", namespace)[key]).username == user
    assert list(secret(objects, "redis", "voice-eu")) == ["url-worker-eu"]
    assert list(secret(objects, "redis", "voice-us-east")) == ["url-worker-us-east"]


def test_a_pool_in_the_releases_namespace_has_its_own_user_too() -> None:
    values = trial(seed=SEED)
    values["regions"] = [{"name": "eu", "namespace": "voice", "createNamespace": False}]
    objects = render(values)
    assert redis_key(objects, "voicefleet-eu")["key"] == "url-worker-eu"
    assert redis_key(objects, "voicefleet-controller")["key"] == "url-controller"
    assert {"url-worker-eu", "url-controller"} <= secret(objects, "redis").keys()


def test_production_takes_the_key_that_its_values_name() -> None:
    values = {
        "regions": [{"name": "eu", "livekit": {"url": "wss://eu.livekit.example", "existingSecret": "livekit-eu"}}],
        "worker": {"tiers": {"builtin": "local"}},
        "redis": {"existingSecret": "redis", "urlKey": "address"},
        "controller": {"apiKeys": {"existingSecret": "api-keys"}},
    }
    objects = render(values)
    for workload in ("voicefleet-eu", "voicefleet-controller"):
        assert redis_key(objects, workload) == {"name": "redis", "key": "address"}


def test_the_charts_copy_of_the_rights_is_the_codes() -> None:
    assert FILE.read_text(encoding="utf-8") == content(), "run: PYTHONPATH=tests python -m chart.redis_acl"


@pytest.mark.parametrize("program", sorted(PROGRAMS))
async def test_a_real_redis_takes_the_users_as_they_are_rendered(program: str, tmp_path: Path) -> None:
    objects = render(trial(seed=SEED))
    found = secret(objects, "redis")
    (tmp_path / "users.acl").write_text(found["users.acl"])
    with Ports() as ports:
        port = ports.tcp()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--aclfile", str(tmp_path / "users.acl")]
        child = Child("redis", [PROGRAMS[program], *options], log_path=tmp_path / "log")
        async with running(child):

            def at(url: str) -> redis.asyncio.Redis:
                return redis.asyncio.Redis.from_url(re.sub(r"@.*", f"@127.0.0.1:{port}/0", url), driver_info=None)

            async with at(found["url"]) as admin:
                while True:
                    assert child.alive, child.log_tail()
                    with contextlib.suppress(*REDIS_FAILURES):
                        if await admin.ping():
                            break
                await admin.set(Keys("us-east").claim("room"), "theirs")
            async with at(secret(objects, "redis", "voice-eu")["url-worker-eu"]) as worker:
                assert await worker.get(Keys("eu").claim("room")) is None
                for key in (Keys("us-east").claim("room"), Keys("eu").call("room"), "rooms"):
                    with pytest.raises(NoPermissionError):
                        await worker.get(key)
            async with at(found["url-controller"]) as controller:
                assert await controller.get(Keys("us-east").claim("room")) == b"theirs"
                with pytest.raises(NoPermissionError):
                    await controller.flushall()
            async with at("redis://voicefleet-controller:guess@") as stranger:
                with pytest.raises(AuthenticationError):
                    await stranger.ping()
