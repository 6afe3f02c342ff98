"""Plays AWS' load balancer, and an Ingress controller: it reads the Ingress, and routes with TLS to pods that are well.

It takes the Ingress at its word: the class, the host, the paths. Of class `alb` also the annotations (one that AWS does
not document is refused), the health check's path, and `target-type: ip`, by which requests go to pods' own addresses.
Of any other class it wants a certificate to be named, and takes Kubernetes' word for which pods are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from cluster.certificates import Authority
from cluster.kube import CommandError, Kube
from cluster.played import beside

_PREFIX = "alb.ingress.kubernetes.io/"
_DOCUMENTED = frozenset(
    {
        "load-balancer-name",
        "group.name",
        "group.order",
        "tags",
        "ip-address-type",
        "scheme",
        "subnets",
        "security-groups",
        "customer-owned-ipv4-pool",
        "load-balancer-attributes",
        "wafv2-acl-arn",
        "waf-acl-id",
        "shield-advanced-protection",
        "listen-ports",
        "ssl-redirect",
        "inbound-cidrs",
        "certificate-arn",
        "ssl-policy",
        "target-type",
        "backend-protocol",
        "backend-protocol-version",
        "target-group-attributes",
        "healthcheck-port",
        "healthcheck-protocol",
        "healthcheck-path",
        "healthcheck-interval-seconds",
        "healthcheck-timeout-seconds",
        "healthy-threshold-count",
        "unhealthy-threshold-count",
        "success-codes",
        "auth-type",
        "auth-idp-cognito",
        "auth-idp-oidc",
        "auth-on-unauthenticated-request",
        "auth-scope",
        "auth-session-cookie",
        "auth-session-timeout",
        "target-node-labels",
    }
)
"""docs/guide/ingress/annotations.md of kubernetes-sigs/aws-load-balancer-controller."""
_LOOK_S = 0.5


class RefusedError(AssertionError):
    """The load balancer's controller would refuse this Ingress."""


@dataclass(frozen=True)
class Rule:
    """One path of a host, and the pods behind it: HOST:PORT each."""

    host: str
    path: str
    targets: tuple[str, ...]


def checked(ingress: dict[str, Any]) -> dict[str, str]:
    """The annotations of an Ingress, without their prefix.

    Raises:
        RefusedError: one is unknown, or what the stand-in needs is missing.
    """
    notes = ingress["metadata"].get("annotations", {})
    found = {name.removeprefix(_PREFIX): value for name, value in notes.items() if name.startswith(_PREFIX)}
    if unknown := found.keys() - _DOCUMENTED:
        raise RefusedError(f"unknown annotations: {sorted(unknown)}")
    if found.get("target-type") != "ip":
        raise RefusedError("target-type instance needs a Service of type NodePort")
    if [*itertools.chain.from_iterable(json.loads(found["listen-ports"]))] != ["HTTPS"] or not found["certificate-arn"]:
        raise RefusedError("it would speak HTTP")
    return found


class LoadBalancer:
    """Serves the Ingresses of one cluster."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._rules: list[Rule] = []
        self._turns = itertools.count()
        self.requests: list[str] = []
        """`METHOD PATH STATUS` of all that came."""

    async def look(self) -> None:
        """Read the Ingresses again and again, and probe what is behind them."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3.0)) as http:
            while True:
                with contextlib.suppress(CommandError):
                    self._rules = await self._read(http)
                await asyncio.sleep(_LOOK_S)

    async def _read(self, http: aiohttp.ClientSession) -> list[Rule]:
        rules: list[Rule] = []
        for ingress in await asyncio.to_thread(self._kube.items, "ingresses", "-A"):
            meta, aws = ingress["metadata"], ingress["spec"]["ingressClassName"] == "alb"
            notes = checked(ingress) if aws else {}
            if not aws and not ingress["spec"].get("tls"):
                raise RefusedError("it names no certificate")
            probed = notes.get("healthcheck-path", "/")
            for rule in ingress["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    service = path["backend"]["service"]["name"]
                    targets = await asyncio.to_thread(self._targets, meta["namespace"], service)
                    healthy = [t for t in targets if not aws or await _passes(http, f"http://{t}{probed}")]
                    rules.append(Rule(rule["host"], path["path"], tuple(healthy)))
            if not ingress.get("status", {}).get("loadBalancer"):
                status = {"status": {"loadBalancer": {"ingress": [{"hostname": "k8s-voice.elb.example"}]}}}
                patch = (
                    "patch",
                    "ingress",
                    meta["name"],
                    "-n",
                    meta["namespace"],
                    "--subresource=status",
                    "--type=merge",
                )
                await asyncio.to_thread(self._kube.kubectl, *patch, "-p", json.dumps(status))
        return rules

    def _targets(self, namespace: str, service: str) -> Iterator[str]:
        slices = self._kube.items("endpointslices", "-n", namespace, "-l", f"kubernetes.io/service-name={service}")
        return iter(
            [
                f"{address}:{port['port']}"
                for found in slices
                for port in found["ports"] or ()
                for endpoint in found["endpoints"] or ()
                if endpoint["conditions"].get("ready")
                for address in endpoint["addresses"]
            ]
        )

    async def serve(self, request: web.Request) -> web.Response:
        """Pass a request on to a pod."""
        answer = await self._passed_on(request)
        self.requests.append(f"{request.method} {request.path} {answer.status}")
        return answer

    async def _passed_on(self, request: web.Request) -> web.Response:
        host = request.host.partition(":")[0]
        rule = max(
            (rule for rule in self._rules if rule.host == host and _below(request.path, rule.path)),
            key=lambda rule: len(rule.path),
            default=None,
        )
        if rule is None:
            return web.Response(status=404)
        if not rule.targets:
            return web.Response(status=503)
        target = rule.targets[next(self._turns) % len(rule.targets)]
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("transfer-encoding",)}
        headers |= {"X-Forwarded-For": request.remote or "", "X-Forwarded-Proto": "https"}
        url = f"http://{target}{request.raw_path}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.request(
                request.method, url, headers=headers, data=await request.read(), allow_redirects=False
            ) as found,
        ):
            kept = {n: v for n, v in found.headers.items() if n.lower() not in ("transfer-encoding", "content-length")}
            return web.Response(status=found.status, body=await found.read(), headers=kept)


def _below(path: str, prefix: str) -> bool:
    """Kubernetes' Prefix: by whole elements."""
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


async def _passes(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def load_balancer(kube: Kube, address: str, host: str, authority: Authority) -> AsyncIterator[LoadBalancer]:
    """Play it for the block, at port 443 of `address` and with a certificate for `host`."""
    balancer = LoadBalancer(kube)
    pair = authority.server("load-balancer", [host])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", balancer.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, 443, ssl_context=context).start()
    try:
        async with beside(balancer.look()):
            yield balancer
    finally:
        await runner.cleanup()
