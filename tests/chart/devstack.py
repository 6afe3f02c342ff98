"""What the tests of the trial's Redis look at."""

from __future__ import annotations

from typing import Any

from chart.render import Objects, environment_of, pod_specs

SEED = "sixteen signs or more"
REGIONS = [{"name": "eu"}, {"name": "us-east"}]


def trial(**dev: Any) -> dict[str, Any]:
    """Values of a trial with two regions."""
    return {"regions": REGIONS, "devStack": {"enabled": True, **dev}}


def secret(objects: Objects, name: str, namespace: str = "voice") -> dict[str, str]:
    """What stands in a Secret."""
    return dict(objects.one("Secret", f"voicefleet-{name}", namespace)["stringData"])


def redis_key(objects: Objects, workload: str) -> dict[str, str]:
    """From which Secret and key a workload's containers have the address of Redis."""
    [container] = pod_specs(objects)[f"Deployment/{workload}"]["containers"]
    return dict(environment_of(container)["VOICEFLEET_REDIS_URL"]["secretKeyRef"])
