"""The chart as a newcomer installs it, on a real cluster with our real images: `devStack`, one region, one command.

Callers are on this machine, so they reach Services by address: the names are the cluster's own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cluster.images import ROOT, TAG
from cluster.kube import is_ready
from cluster.whole import Cluster
from voicefleet.callers.outcome import CallOutcome
from voicefleet.chaos.caller_pool import CallerPool
from voicefleet.contract.api import CallRequest, CallTicket, RegionView
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.http.api_client import ControllerClient

REGION = "local"
SLOTS = 2
RELEASE = "voicefleet"
WORKERS = f"voicefleet.dev/region={REGION},app.kubernetes.io/component=worker"
CONTROLLERS = "app.kubernetes.io/component=controller"
CHART = ROOT / "helm" / "voicefleet"
_POLL_S = 0.2
_LOOK_LIMIT_S = 30.0
_PATIENCE_S = 90.0
"""As long as a caller waits for a voice before it hangs up: the verdict falls long before."""
_INSTALL_LIMIT_S = 180.0


def values(tag: str = TAG, *, beside: bool = False) -> dict[str, Any]:
    """Two slots a worker and few warm processes, for a machine of two cores; the rest is the chart's own.

    Args:
        beside: it is the second on the node, and nobody talks there: it asks for next to nothing.
    """

    def asks(millicores: int) -> dict[str, Any]:
        """A share of a crowded machine, and little enough that all fit on one of two cores. A media server with the
        share of a starting worker sends its packets late, and callers hear pieces of words."""
        return {"requests": {"cpu": f"{10 if beside else millicores}m", "memory": "64Mi"}}

    def image(name: str) -> dict[str, str]:
        """A server of this machine as an image: the chart's own goes by a digest, which would go before the tag."""
        return {"repository": f"localhost/{name}", "tag": TAG, "digest": ""}

    return {
        "image": {"tag": tag, "pullPolicy": "Never"},
        "devStack": {
            "enabled": True,
            "livekit": {"image": image("livekit-server"), "resources": asks(500)},
            "redis": {"image": image("redis"), "resources": asks(100)},
        },
        # Fleets of two or three workers whose numbers the tests foretell.
        "pool": {
            "minWorkers": 1,
            "maxWorkers": 4,
            "slots": SLOTS,
            "policy": "buffer",
            "buffer": 1,
            "scaleDownDelaySeconds": 15,
        },
        "worker": {
            "image": {"repository": "localhost/voicefleet-worker"},
            "idleProcesses": SLOTS,
            "resources": asks(100),
        },
        "controller": {"image": {"repository": "localhost/voicefleet-controller"}, "resources": asks(250)},
        "test": {"image": {"repository": "localhost/voicefleet-loadtest"}, "resources": asks(50)},
        "loadtest": {"resources": asks(50)},
    }


class Trial:
    """One installation of the chart, and how tests look at it and call it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.pool_namespace = f"{namespace}-{REGION}"
        self.pool = f"deployment/{RELEASE}-{REGION}"
        self._addresses: dict[str, str] = {}
        self._api_key = ""
        self.first_voice_s: float | None = None
        """From `helm install` to the first sound of an agent at a caller's ear, seconds."""

    # --- the release ---

    def helm(self, verb: str, given: Mapping[str, Any] | None = None, *options: str) -> str:
        """`helm install` or `upgrade` with values, or another verb."""
        chart = (str(CHART),) if given is not None else ()
        from_stdin = ("--values", "-") if given is not None else ()
        return self.cluster.helm(
            *(verb, RELEASE, *chart, "-n", self.namespace, *from_stdin, *options),
            stdin=json.dumps(given) if given is not None else None,
            limit_s=300.0,
        )

    def kubectl(self, *arguments: str) -> str:
        """kubectl in the pool's namespace."""
        return self.cluster.kubectl("-n", self.pool_namespace, *arguments)

    def workers(self) -> list[dict[str, Any]]:
        """The pool's pods, those that end included."""
        return self.cluster.items("pods", "-n", self.pool_namespace, "-l", WORKERS)

    def controllers(self) -> list[dict[str, Any]]:
        """The controllers' pods, those that end included."""
        return self.cluster.items("pods", "-n", self.namespace, "-l", CONTROLLERS)

    def address(self, service: str) -> str:
        """`IP:PORT` of a Service of the release; asked for once, since the API may be away later."""
        if service not in self._addresses:
            found = self.cluster.get("service", f"{RELEASE}-{service}", "-n", self.namespace)["spec"]
            self._addresses[service] = f"{found['clusterIP']}:{found['ports'][0]['port']}"
        return self._addresses[service]

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret of the release."""
        found = self.cluster.get("secret", f"{RELEASE}-{name}", "-n", self.namespace)
        return base64.b64decode(found["data"][key]).decode()

    def leader(self) -> tuple[str, datetime]:
        """The controller that scales, by the Lease, and when it last said so."""
        lease = self.cluster.get("lease", f"{RELEASE}-controller", "-n", self.namespace)["spec"]
        return str(lease["holderIdentity"]), datetime.fromisoformat(lease["renewTime"])

    async def without_waiting(self) -> None:
        """Take the containers away that wait for the trial's servers; those have come."""
        given = values()
        given["devStack"]["waitForServers"] = False
        await asyncio.to_thread(self.helm, "upgrade", given)
        await asyncio.to_thread(self.kubectl, "rollout", "status", self.pool, "--timeout=120s")
        await self.settled()

    # --- its API ---

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[ControllerClient]:
        """A client of the controllers' Service, with the operator's key: it places calls, sees and drains."""
        url = await asyncio.to_thread(lambda: f"http://{self.address('controller')}")
        if not self._api_key:
            self._api_key = await asyncio.to_thread(self.secret, "api-keys", "operator")
        async with ControllerClient(url, key=self._api_key) as client:
            yield client

    async def region(self, client: ControllerClient) -> RegionView | None:
        """What the controller says of the pool; None when it does not answer."""
        try:
            (found,) = await client.regions()
        except (UnknownStateError, UnreachableError):
            return None
        return found

    async def until(self, look: Callable[[RegionView], bool], limit_s: float, what: str) -> RegionView:
        """Wait until the controller's view of the pool is as `look` wants it.

        Raises:
            AssertionError: it is not within `limit_s`; with the state of the cluster.
        """
        deadline = time.monotonic() + limit_s
        async with self.client() as client:
            while True:
                seen = await self.region(client)
                if seen is not None and look(seen):
                    return seen
                if time.monotonic() > deadline:
                    state = await asyncio.to_thread(self.cluster.diagnostics, self.namespace, self.pool_namespace)
                    raise AssertionError(f"within {limit_s:.0f} s it did not come true that {what}: {seen}\n{state}")
                await asyncio.sleep(_POLL_S)

    async def settled(self, workers: int = 1, limit_s: float = 120.0) -> None:
        """Wait until the pool has exactly so many pods, all of them ready and without calls."""

        def idle(seen: RegionView) -> bool:
            pods = self.workers()
            return (
                (seen.status, seen.live, seen.waiting, seen.ready, seen.starting, seen.draining)
                == ("ok", 0, 0, workers, 0, 0)
                and len(pods) == workers
                and all(is_ready(pod) for pod in pods)
            )

        await self.until(idle, limit_s, f"the pool is at rest with {workers} workers")

    # --- callers ---

    @contextlib.asynccontextmanager
    async def callers(self, seed: int = 1) -> AsyncIterator[Callers]:
        """Callers, who hang up when the block ends. What fails there is told with the state of the cluster."""
        livekit = await asyncio.to_thread(self.address, "livekit")
        async with self.client() as client:
            callers = Callers(client, livekit, seed)
            try:
                yield callers
            except AssertionError as error:
                error.add_note(await asyncio.to_thread(self.cluster.diagnostics, self.namespace, self.pool_namespace))
                raise
            finally:
                await callers.aclose()


def install(cluster: Cluster, namespace: str) -> Trial:
    """`helm install` and nothing else; how long it took until a caller heard an agent is noted in `first_voice_s`.

    Raises:
        AssertionError: no agent was heard; with the state of the cluster.
    """
    trial = Trial(cluster, namespace)
    began_s = time.monotonic()
    trial.helm("install", values(), "--create-namespace")

    async def first_call() -> None:
        async with trial.callers() as callers:
            await callers.call(_INSTALL_LIMIT_S)
            if not await callers.wait_greeted(_INSTALL_LIMIT_S) or not all(o.answered for o in callers.outcomes()):
                raise AssertionError(f"no agent was heard\n{cluster.diagnostics(namespace, trial.pool_namespace)}")
            trial.first_voice_s = time.monotonic() - began_s
            await callers.good(1, began_s)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(first_call())
        runner.run(trial.settled())
    return trial


class Callers(CallerPool):
    """Callers on this machine, with tickets of the controller."""

    def __init__(self, client: ControllerClient, livekit: str, seed: int) -> None:
        super().__init__(SystemClock(), seed, _PATIENCE_S)
        self._client = client
        self._livekit = livekit
        self.tickets: list[CallTicket] = []

    async def call(self, patience_s: float = _LOOK_LIMIT_S, *, agent: str | None = None) -> str:
        """Place a call, as a front end does: a controller that does not answer is asked again."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                ticket = await self._client.create_call(CallRequest(region=REGION, agent=agent), patience_s=patience_s)
                break
            except UnknownStateError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_POLL_S)
        self.tickets.append(ticket)
        return self.join(self._from_here(ticket))

    async def calls(self, count: int) -> None:
        """Place so many calls at once."""
        await asyncio.gather(*(self.call() for _ in range(count)))

    def _from_here(self, ticket: CallTicket) -> CallTicket:
        parts = urlsplit(ticket.url)
        return ticket.model_copy(update={"url": urlunsplit(parts._replace(netloc=self._livekit))})

    async def good(self, answers: int, since_s: float, limit_s: float = 60.0) -> tuple[CallOutcome, ...]:
        """Let all finish once they had so many answers to questions asked after `since_s`, and judge by their ears.

        Raises:
            AssertionError: a caller was silent, cut, never answered, or its call failed.
        """
        await self.wait_answered(answers, since_s, limit_s)
        assert await self.wait_over(30.0), "a call did not end"
        outcomes = self.outcomes()
        assert len(outcomes) == self.size
        for o in outcomes:
            heard = f"agent {o.wait_s}, waiting message {o.waiting_message_s}, greeting {o.greeting_s}"
            print(f"{o.call_id}: {heard}; {o.events}")
        for outcome in outcomes:
            assert outcome.error is None, outcome
            assert outcome.answered, outcome
            assert not outcome.silent, outcome
            assert not outcome.cut, outcome
            assert outcome.double_speech == 0, outcome
            assert all(turn.answered for turn in outcome.turns), outcome
        return outcomes
