"""Access to an API server that changes under way: the next request uses a renewed kubeconfig, without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.client import ApiClient

from voicefleet.controller.adapters.kubernetes.client import Cluster, KubernetesError
from voicefleet.controller.settings.kubernetes import ClusterAccess

pytestmark = pytest.mark.unit

Access = tuple[Path, Cluster]
"""A kubeconfig, and the access by it."""


def write(path: Path, token: str, server: str = "http://127.0.0.1:1") -> None:
    """A kubeconfig, put in place by a rename, as the kubelet does with those of a Secret."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    new = path.with_suffix(".new")
    new.write_text(yaml.safe_dump(config))
    new.replace(path)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[ApiClient]:
    """The clients that were closed: one that has sent nothing yet shows no other sign of it."""
    found: list[ApiClient] = []
    close = ApiClient.close

    async def noted(client: ApiClient) -> None:
        found.append(client)
        await close(client)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(ApiClient, "close", noted)
    return found


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    path = tmp_path / "kubeconfig"
    write(path, "first")
    cluster = Cluster(ClusterAccess(kubeconfig=path))
    yield path, cluster
    await cluster.close()


def token(client: ApiClient) -> str:
    return str(client.configuration.api_key["BearerToken"])


async def test_a_renewed_token_is_used_at_once(access: Access, closed: list[ApiClient]) -> None:
    path, cluster = access
    async with cluster.requesting("read", 1.0) as first:
        assert token(first) == "Bearer first"
    async with cluster.requesting("read", 1.0) as again:
        assert again is first
    write(path, "second", "http://127.0.0.1:2")
    async with cluster.requesting("read", 1.0) as second:
        assert token(second) == "Bearer second"
        assert second.configuration.host == "http://127.0.0.1:2"
    assert first in closed
    assert second not in closed


async def test_a_request_under_way_ends_with_the_access_it_began_with(access: Access, closed: list[ApiClient]) -> None:
    path, cluster = access
    async with cluster.requesting("watch", 5.0) as first:
        write(path, "second")
        async with cluster.requesting("read", 1.0) as second:
            assert token(second) == "Bearer second"
        assert first not in closed
    assert first in closed


async def test_a_refusal_of_the_former_access_keeps_the_present_one(access: Access, closed: list[ApiClient]) -> None:
    path, cluster = access
    seen: list[ApiClient] = []

    async def refused() -> None:
        async with cluster.requesting("watch", 5.0) as first:
            write(path, "second")
            async with cluster.requesting("read", 1.0) as second:
                seen.extend((first, second))
            raise KubernetesError("401", 401)

    with pytest.raises(KubernetesError, match="401"):
        await refused()
    first, second = seen
    assert first in closed
    assert second not in closed


async def test_a_refused_access_is_read_anew_though_its_file_is_the_same(access: Access) -> None:
    _, cluster = access
    with pytest.raises(KubernetesError):
        async with cluster.requesting("read", 1.0) as first:
            raise KubernetesError("401", 401)
    async with cluster.requesting("read", 1.0) as second:
        assert second is not first


async def test_a_file_that_is_gone_takes_no_access_away(access: Access) -> None:
    path, cluster = access
    async with cluster.requesting("read", 1.0) as first:
        pass
    path.unlink()
    async with cluster.requesting("read", 1.0) as again:
        assert again is first


async def test_half_a_file_is_said_and_read_again(access: Access) -> None:
    path, cluster = access
    path.write_text("clusters: [")
    with pytest.raises(KubernetesError, match="no restart is needed"):
        async with cluster.requesting("read", 1.0):
            pass
    write(path, "second")
    async with cluster.requesting("read", 1.0) as second:
        assert token(second) == "Bearer second"
