"""The chart's walkthroughs, followed to the letter: the document is the script, and a real cluster is what it runs on.

What is played, and by what, is told in `helm/voicefleet/walkthroughs/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.images import images
from cluster.played_balancer import load_balancer
from cluster.walkthrough_stage import stage
from cluster.whole import Cluster, whole_cluster
from docs.walkthroughs import FOLDER, read

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HOST = "voice.example.com"


@pytest.fixture(scope="module")
def eu() -> Iterator[Cluster]:
    """A cluster for walkthroughs alone: other tests' releases leave no room on a node of two processors."""
    with whole_cluster(images(), "eu") as running:
        yield running


async def test_on_eks(eu: Cluster) -> None:
    async with stage(eu) as on, load_balancer(eu, eu.host, HOST, on.authority) as balancer:
        given = {
            **on.usual(),
            "HOST": HOST,
            "CERTIFICATE": "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555",
            "ALB_SUBNETS": f"{eu.host}/32",
        }
        said = await on.run(read(FOLDER / "eks.md"), given, hosts={HOST: eu.host})
        assert "POST /v1/calls 201" in balancer.requests, said
