"""The chart's walkthroughs, followed to the letter: the document is the script, and a real cluster is what it runs on.

What is played, and by what, is told in `helm/voicefleet/walkthroughs/README.md`.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from chart.values_table import CHART

from cluster import played_argo as argo
from cluster.images import images, kubectl_image
from cluster.kinds import kinds
from cluster.kube import wait_for
from cluster.played import beside
from cluster.played_balancer import load_balancer
from cluster.played_cloud import front_door
from cluster.played_secrets import secrets_operator
from cluster.walkthrough_stage import livekit, stage
from cluster.whole import Cluster, whole_cluster
from docs.walkthroughs import FOLDER, Walkthrough, read

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HOST = "voice.example.com"


@pytest.fixture(scope="module")
def eu() -> Iterator[Cluster]:
    """A cluster for walkthroughs alone: other tests' releases leave no room on a node of two processors."""
    with whole_cluster(images(), "eu") as running:
        yield running


@pytest.fixture(scope="module")
def us() -> Iterator[Cluster]:
    """Another cluster, with a node of its own."""
    with whole_cluster([*images(), kubectl_image()], "us") as running:
        yield running


async def test_on_eks(eu: Cluster) -> None:
    walkthrough = read(FOLDER / "eks.md")
    async with stage(eu) as on, load_balancer(eu, eu.host, HOST, on.authority) as balancer:
        arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
        given = on.given(walkthrough, HOST=HOST, CERTIFICATE=arn, ALB_SUBNETS=f"{eu.host}/32")
        said = await on.run(walkthrough, given, hosts={HOST: eu.host})
        assert "POST /v1/calls 201" in balancer.requests, said


async def test_with_livekit_cloud(eu: Cluster, record_property: Callable[[str, object], None]) -> None:
    walkthrough = read(FOLDER / "livekit-cloud.md")
    async with (
        stage(eu, webhooks_to=f"https://{HOST}/webhooks/livekit/eu") as on,
        load_balancer(eu, eu.host, HOST, on.authority) as balancer,
        front_door(eu.host, on.ports.tcp(eu.host), f"{eu.host}:{on.livekit.port}") as door,
    ):
        given = on.given(walkthrough, HOST=HOST, INGRESS_CLASS="nginx", INGRESS_NAMESPACE="ingress-nginx", ISSUER="le")
        given["LIVEKIT_URL"] = f"ws://{eu.host}:{door.port}"
        began_s = time.monotonic()
        said = await on.run(walkthrough, given, hosts={HOST: eu.host})
        lasted_s = time.monotonic() - began_s
        assert "POST /webhooks/livekit/eu 200" in balancer.requests, said
        # What the document promises: two controllers that list at its interval, and so much for the one call.
        every_s = number(walkthrough, r"listingSeconds: (\d+)  ")
        call = number(walkthrough, r"from ticket to end \| about (\d+)")
        spent = Counter(door.requests)
        record_property("requests_to_the_api", dict(spent))
        print(f"requests to LiveKit's API in {lasted_s:.0f} s: {spent}")
        assert (door.refused, spent.total() <= 2 * (1 + lasted_s / every_s) + call) == (0, True), spent


async def test_in_two_clusters(eu: Cluster, us: Cluster) -> None:
    walkthrough = read(FOLDER / "two-clusters.md")
    async with (
        stage(eu, us) as on,
        livekit(us.host, region="us", trusts=on.authority, folder=on.folder) as livekit_us,
    ):
        given = on.given(
            walkthrough,
            EU=eu.name,
            US=us.name,
            LIVEKIT_EU_URL=on.livekit_url,
            LIVEKIT_EU_API_KEY=on.livekit.api_key,
            LIVEKIT_EU_API_SECRET=on.livekit.api_secret,
            LIVEKIT_US_URL=f"ws://{us.host}:{livekit_us.port}",
            LIVEKIT_US_API_KEY=livekit_us.api_key,
            LIVEKIT_US_API_SECRET=livekit_us.api_secret,
            KUBECTL_IMAGE=kubectl_image().name,
        )
        await on.run(walkthrough, given)


async def test_with_external_secrets(eu: Cluster) -> None:
    walkthrough = read(FOLDER / "external-secrets.md")
    with kinds_of(eu, "github.com/external-secrets/external-secrets"):
        async with stage(eu) as on, beside(secrets_operator(eu, on.vault)):
            await on.run(walkthrough, on.given(walkthrough, AWS_REGION="eu-central-1"))


async def test_with_argo_cd(eu: Cluster) -> None:
    walkthrough = read(FOLDER / "argo-cd.md")
    repository = "https://git.example.com/platform/voicefleet.git"
    eu.namespace(argo.NAMESPACE)
    with kinds_of(eu, "github.com/argoproj/argo-cd/v3"):
        async with stage(eu) as on:
            playing = argo.Argo(eu, {f"{repository}/helm/voicefleet": CHART})
            url = f"rediss://:{on.redis.password.read_text()}@{on.redis.host}:{on.redis.port}/0"
            given = on.given(walkthrough, REPOSITORY=repository, REVISION="v0.1.0", REDIS_URL=url)
            async with beside(playing.play()):
                try:
                    await on.run(walkthrough, given)
                except AssertionError as error:
                    error.add_note(f"Argo CD's stand-in: {playing.trouble}")
                    raise
            assert (playing.syncs, playing.differences) == (1, []), "it did not come to rest"
            assert playing.hooks[:2] == ["ConfigMap voice/voicefleet-eu-check", "Pod voice/voicefleet-eu-check"]


def number(walkthrough: Walkthrough, pattern: str) -> int:
    """A number that a document tells."""
    found = re.search(pattern, walkthrough.path.read_text())
    assert found, pattern
    return int(found[1])


@contextlib.contextmanager
def kinds_of(cluster: Cluster, module: str) -> Iterator[None]:
    """The kinds of an operator in the cluster, for the block."""
    files = [option for file in kinds(module) for option in ("-f", str(file))]
    # As Argo CD's own manual says: they are too long for the annotation of a client's apply.
    cluster.kubectl("apply", "--server-side", *files)
    wait_for(lambda: cluster.kubectl("wait", "--for=condition=Established", *files), 30.0, "the kinds are known")
    try:
        yield
    finally:
        cluster.kubectl("delete", "--wait", *files)
