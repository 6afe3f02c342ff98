"""What the chart writes for controller and workers is what these programs read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chart.matrix import MATRIX
from chart.render import Manifest, Objects, environment_of, render

from voicefleet.controller.http.auth.keys import line_of
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.kubernetes import LeaseSettings
from voicefleet.controller.settings.load import load_settings
from voicefleet.controller.waiting_message.clip import built_in
from voicefleet.runtime.redis.connection import connect_redis
from voicefleet.worker.server.settings import WorkerSettings
from voicefleet.worker.server.settings import load_settings as load_worker_settings
from voicefleet.worker.tiers.load import read_tiers

pytestmark = pytest.mark.cluster

SECRETS = {"VOICEFLEET_API_KEYS": "web:the-secret-of-web:call", "VOICEFLEET_REDIS_URL": "rediss://redis:6379/0"}
FILES: dict[str, Callable[[], bytes]] = {
    "/etc/voicefleet-keys/keys": lambda: line_of("web", "the-secret-of-web", "call", "").encode(),
    "/etc/voicefleet-redis/ca.crt": lambda: b"a certificate",
    "/etc/voicefleet-waiting/us/pl.wav": lambda: built_in()["en"].path.read_bytes(),
    "/etc/voicefleet-waiting/us/waiting.wav": lambda: built_in()["en"].path.read_bytes(),
}
SIGNING_SECRET = "whsec_" + base64.b64encode(bytes(24)).decode()
CASES = pytest.mark.parametrize("case", MATRIX, ids=str)


def given(container: Manifest, folder: Path) -> dict[str, str]:
    """The environment that Kubernetes would make, with a word for each secret and files in `folder`."""
    found: dict[str, str] = {}
    for name, value in environment_of(container).items():
        if isinstance(value, str):
            found[name] = mounted(value.replace("$(REDIS_PASSWORD)", "password"), folder)
        elif "secretKeyRef" in value:
            signing = name.startswith("CALL_EVENTS_")
            found[name] = SIGNING_SECRET if signing else SECRETS.get(name, f"the-{name.lower()}")
        else:
            found[name] = "a-pod"
    return found


def mounted(text: str, folder: Path) -> str:
    """`text` with the places of mounted files under `folder`, where they are made."""
    for place, content in FILES.items():
        if place in text:
            path = folder / place.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content())
            path.chmod(0o600)
            text = text.replace(place, str(path))
    return text


def controller_settings(objects: Objects, folder: Path) -> Settings:
    """What the controller reads, in its pod."""
    config = next(c for c in objects.of("ConfigMap") if "controller.yaml" in c["data"])
    deployment = next(d for d in objects.of("Deployment") if d["metadata"]["name"].endswith("-controller"))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    path = folder / "controller.yaml"
    path.write_text(mounted(config["data"]["controller.yaml"], folder))
    return load_settings(path, given(container, folder))


@CASES
def test_the_controller_takes_its_settings(case: str, tmp_path: Path) -> None:
    objects = render(MATRIX[case])
    if not any("controller.yaml" in found["data"] for found in objects.of("ConfigMap")):
        assert MATRIX[case]["controller"] == {"enabled": False}
        return
    settings = controller_settings(objects, tmp_path)
    assert settings.owner == "voice/voicefleet"
    assert settings.replica == "a-pod"
    by_parts = "redis.example" in str(MATRIX[case]) or case == "everything"
    assert ("ssl_ca_certs=" in settings.redis_address) is by_parts
    connect_redis(settings.redis_address)
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    name = "fleet" if case == "everything" else "voicefleet"
    assert settings.kubernetes_lease is not None
    assert (settings.kubernetes_lease.namespace, settings.kubernetes_lease.name) == ("voice", f"{name}-controller")
    regions = MATRIX[case].get("regions", [{"name": "local"}])
    assert list(settings.regions) == sorted(region["name"] for region in regions)
    for region in settings.regions.values():
        assert region.livekit.key == f"the-livekit_{region.name.replace('-', '_')}_api_key"
        assert region.livekit.secret == f"the-livekit_{region.name.replace('-', '_')}_api_secret"
        assert region.process is None
        assert region.kubernetes is not None
        assert region.kubernetes.deployment == f"{name}-{region.name}"


def test_numbers_and_times_arrive_as_they_were_given(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "devStack": {"enabled": True},
        "regions": [{"name": "eu", "agentName": "desk", "handoff": False, "waitingMessage": {"enabled": False}}],
        "pool": {
            **{"minWorkers": 2, "maxWorkers": 100_000, "slots": 6, "buffer": 12, "scaleDownDelaySeconds": 450.5},
            **{"startTimeoutSeconds": 90, "policy": "buffer", "waitRatio": 0.0005, "mode": "fixed", "fixedWorkers": 3},
            "schedule": [
                {"days": ["mon"], "begin": "08:00", "end": "18:30", "timezone": "Asia/Tokyo", "minWorkers": 4}
            ],
            "campaigns": [{"start": "2026-12-01T09:00:00+01:00", "durationSeconds": 900, "calls": 1800}],
        },
        "controller": {
            "limits": {"requestsPerMinute": 60, "concurrentCalls": 2_000_000, "maxCallDurationSeconds": 0},
            "tickSeconds": 1.5,
            "listingSeconds": 1,
            "waitingGraceSeconds": 0.5,
            "lease": {"durationSeconds": 9, "renewDeadlineSeconds": 6, "retrySeconds": 1.5},
        },
    }
    settings = controller_settings(render(values), tmp_path)
    region = settings.regions["eu"]
    pool = region.pool_spec
    assert (pool.min_workers, pool.max_workers, pool.slots, pool.buffer, pool.scale_down_delay_s) == (
        2,
        100_000,
        6,
        12,
        450.5,
    )
    assert (pool.policy, pool.fixed, pool.act, pool.wait_ratio) == ("fixed", 3, True, 0.0005)
    [shift] = region.pool.shifts
    assert (shift.days, str(shift.begin), str(shift.end), str(shift.zone), shift.min_workers) == (
        frozenset({0}),
        "08:00:00",
        "18:30:00",
        "Asia/Tokyo",
        4,
    )
    [campaign] = [campaign.record for campaign in region.pool.campaigns]
    assert (campaign.start_ms, campaign.end_ms - campaign.start_ms, campaign.rate) == (1_796_112_000_000, 900_000, 2.0)
    assert (region.pool.start_timeout_s, region.agent_name, region.handoff) == (90, "desk", False)
    assert region.waiting_message is None
    limits = settings.limits
    assert (limits.requests_per_minute, limits.concurrent_calls, limits.max_call_duration_s) == (60, 2_000_000, 0)
    assert (settings.tick_s, settings.listing_s, settings.waiting_grace_s) == (1.5, 1, 0.5)
    lease = settings.kubernetes_lease
    assert isinstance(lease, LeaseSettings)
    assert (lease.duration_s, lease.renew_deadline_s, lease.retry_s) == (9, 6, 1.5)


@CASES
def test_workers_take_their_settings(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    objects = render(MATRIX[case])
    pools = [d for d in objects.of("Deployment") if "voicefleet.dev/region" in d["metadata"]["labels"]]
    assert pools
    for pool in pools:
        spec = pool["spec"]["template"]["spec"]
        settings = worker_settings(spec["containers"][0], monkeypatch, tmp_path)
        assert settings.region == pool["metadata"]["labels"]["voicefleet.dev/region"]
        assert settings.worker_id == "a-pod"
        assert settings.listen == "0.0.0.0:8081"
        assert settings.livekit_api_secret.get_secret_value() == "the-livekit_api_secret"
        assert settings.drain_timeout_s + 400 <= spec["terminationGracePeriodSeconds"]
        if case == "everything":
            assert (settings.slots, settings.idle, settings.job_memory_limit_mb) == (6, 3, 800)
            namespace, name = pool["metadata"]["namespace"], f"{pool['metadata']['name']}-tiers"
            path = tmp_path / f"{name}.yaml"
            path.write_text(objects.one("ConfigMap", name, namespace)["data"]["tiers.yaml"])
            assert read_tiers(str(path)).pipeline == "acme"
        else:
            assert read_tiers(settings.tiers).default in ("local", "synthetic")


def worker_settings(container: Manifest, monkeypatch: pytest.MonkeyPatch, folder: Path) -> WorkerSettings:
    """What a worker reads, in its pod."""
    with monkeypatch.context() as patch:
        for name, value in given(container, folder).items():
            patch.setenv(name, value)
        return load_worker_settings({})
