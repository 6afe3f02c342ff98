"""Where walkthroughs run: a cluster of their own, servers beside it as a customer has them, and the tools they type.

A document's script is one bash process in a folder of its own. It has the real kubectl, helm and voicefleet. `aws` is a
stand-in that knows what the documents ask of it, and refuses all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chart.values_table import CHART

from cluster.certificates import Authority
from cluster.images import COMPONENTS, TAG
from cluster.process import Daemons
from cluster.programs import find
from cluster.whole import Cluster
from docs.walkthroughs import Walkthrough
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack import servers
from voicefleet.stack.find import LIVEKIT_VARIABLE, find_livekit_server

REGISTRY = "registry.example"
_LIMIT_S = 420.0
_UP_LIMIT_S = 20.0

# What the documents ask of AWS; anything else fails. The access string is ElastiCache's: rules as Redis has them, which
# begin with "on" and hold no password.
_AWS = """#!/bin/bash
set -efuo pipefail
refuse() { echo "aws: the test has no answer to this: $*" >&2; exit 64; }
case "$1 $2" in
"elasticache create-user")
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in
      --user-name) name=$2 ;; --passwords) password=$2 ;; --access-string) access=$2 ;; --engine | --user-id) ;;
      *) refuse "$1" ;;
    esac
    shift 2
  done
  [ "${access%% *}" = on ] || refuse "--access-string $access"
  exec redis-cli -e --tls --cacert "$WALK_CA" -h "$WALK_REDIS_HOST" -p "$WALK_REDIS_PORT" --no-auth-warning \\
    -a "$(cat "$WALK_REDIS_PASSWORD")" ACL SETUSER "$name" reset ">$password" $access ;;
"secretsmanager create-secret" | "secretsmanager put-secret-value")
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in --name | --secret-id) name=$2 ;; --secret-string) value=$2 ;; *) refuse "$1" ;; esac
    shift 2
  done
  mkdir -p "$(dirname "$WALK_VAULT/$name")"
  printf %s "$value" > "$WALK_VAULT/$name" ;;
*) refuse "$@" ;;
esac
"""


@dataclass
class Redis:
    """A Redis with TLS at an address that pods reach. Its users are those that the document makes."""

    host: str
    port: int
    authority: Path
    password: Path


@dataclass
class Stage:
    """One cluster or several, a LiveKit and a Redis beside the first."""

    clusters: tuple[Cluster, ...]
    authority: Authority
    livekit: servers.LiveKit
    redis: Redis
    folder: Path
    ports: Ports

    @property
    def livekit_url(self) -> str:
        """For pods and for callers on this machine."""
        return f"ws://{self.clusters[0].host}:{self.livekit.port}"

    @property
    def vault(self) -> Path:
        """What the stand-in for AWS Secrets Manager holds: one file for each secret."""
        return self.folder / "vault"

    def given(self, walkthrough: Walkthrough, **more: str) -> dict[str, str]:
        """What a document's settings are here; `more` are those that other documents do not have."""
        usual = {
            "CHART": str(CHART),
            "REGISTRY": REGISTRY,
            "TAG": TAG,
            "LIVEKIT_URL": self.livekit_url,
            "LIVEKIT_API_KEY": self.livekit.api_key,
            "LIVEKIT_API_SECRET": self.livekit.api_secret,
            "REDIS_HOST": self.redis.host,
            "REDIS_PORT": str(self.redis.port),
            "REDIS_CA_FILE": str(self.redis.authority),
            "REDIS_ADMIN_PASSWORD": self.redis.password.read_text(),
            "SLOTS": "2",
            "MAX_WORKERS": "1",
        }
        return {name: value for name, value in usual.items() if name in walkthrough.settings} | more

    async def run(
        self, walkthrough: Walkthrough, given: Mapping[str, str], *, hosts: Mapping[str, str] | None = None
    ) -> str:
        """Run a document's script to its end; what it printed.

        Args:
            given: the settings.
            hosts: name -> address, in the hosts file that the script's programs see.

        Raises:
            AssertionError: a command failed; with what was printed, and the state of the cluster.
        """
        work = self.folder / walkthrough.path.stem
        work.mkdir()
        (work / "script.sh").write_text(walkthrough.script(given))
        names = "\n".join(f"{address} {name}" for name, address in (hosts or {}).items())
        (work / "hosts").write_text(f"127.0.0.1 localhost\n{names}\n")
        inside = "mount --bind hosts /etc/hosts && exec bash script.sh"
        log = work / "log.txt"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(str(find("unshare")), "--mount", "--", "bash", "-c", inside),
                cwd=work,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(_LIMIT_S):
                    code = await process.wait()
            except TimeoutError:
                code = -1
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        said = log.read_text(errors="replace")
        if code != 0:
            state = [await asyncio.to_thread(_state, one) for one in self.clusters]
            for one in self.clusters:
                await asyncio.to_thread(_clear, one)
            raise AssertionError("\n".join([*state, f"{walkthrough.path.name} ended with {code}", said]))
        return said

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}:{environment()['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "KUBECONFIG": ":".join(str(one.kubeconfig) for one in self.clusters),
            "SSL_CERT_FILE": str(self.redis.authority),
            "CURL_CA_BUNDLE": str(self.redis.authority),
            "WALK_CA": str(self.redis.authority),
            "WALK_REDIS_HOST": self.redis.host,
            "WALK_REDIS_PORT": str(self.redis.port),
            "WALK_REDIS_PASSWORD": str(self.redis.password),
            "WALK_VAULT": str(self.vault),
        }


def _namespaces(cluster: Cluster) -> list[str]:
    names = [item["metadata"]["name"] for item in cluster.items("namespaces")]
    return [name for name in names if name.startswith("voice")]


def _state(cluster: Cluster) -> str:
    return cluster.diagnostics(*_namespaces(cluster))


def _clear(cluster: Cluster) -> None:
    """Take away what a document left that failed, so that the next one finds what it expects."""
    for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
        cluster.kubectl("delete", kind, "-l", "app.kubernetes.io/name=voicefleet")
    if names := _namespaces(cluster):
        cluster.kubectl("delete", "namespace", *names, "--wait")


@contextlib.asynccontextmanager
async def stage(cluster: Cluster, *others: Cluster, webhooks_to: str = "") -> AsyncIterator[Stage]:
    """A stage for one document: a LiveKit and an empty Redis beside the first cluster, for the block.

    Args:
        others: more clusters, whose contexts the document's commands name.
        webhooks_to: URL for LiveKit's webhooks; its host name leads to the first cluster's host.
    """
    for component, one in itertools.product(COMPONENTS, (cluster, *others)):
        named = f"{REGISTRY}/voicefleet/{component}:{TAG}"
        await asyncio.to_thread(one.node.tag_image, f"localhost/voicefleet-{component}:{TAG}", named)
    with private_directory("walkthrough") as folder, Ports() as ports:
        (folder / "bin").mkdir()
        (folder / "vault").mkdir()
        for name in ("helm", "kubectl", "redis-cli"):
            (folder / "bin" / name).symlink_to(find(name))
        (folder / "bin" / "voicefleet").symlink_to(Path(sys.executable).with_name("voicefleet"))
        aws = folder / "bin" / "aws"
        aws.write_text(_AWS)
        aws.chmod(stat.S_IRWXU)
        authority = Authority(folder, "walkthrough")
        daemons = Daemons(folder)
        try:
            redis = _redis(cluster.host, ports, folder, authority, daemons)
            async with livekit(cluster.host, webhooks_to=webhooks_to, trusts=authority, folder=folder) as server:
                yield Stage((cluster, *others), authority, server, redis, folder, ports)
        finally:
            daemons.stop_all()


@contextlib.asynccontextmanager
async def livekit(
    host: str, *, region: str = "eu", webhooks_to: str = "", trusts: Authority, folder: Path
) -> AsyncIterator[servers.LiveKit]:
    """A livekit-server that pods reach at `host`. Its webhooks trust an authority, and know where their host is."""
    reached = {"bind_addresses": ["127.0.0.1", host]}
    names = folder / f"hosts-of-livekit-{region}"
    names.write_text(f"127.0.0.1 localhost\n{host} {urlsplit(webhooks_to).hostname or ''}\n")
    program = folder / f"livekit-{region}"
    program.write_text(
        f"#!/bin/sh\nexport SSL_CERT_FILE={trusts.certificate}\n"
        f"exec {find('unshare')} --mount -- sh -c 'mount --bind {names} /etc/hosts && exec \"$@\"' sh "
        f'{find_livekit_server().path} "$@"\n'
    )
    program.chmod(stat.S_IRWXU)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LIVEKIT_VARIABLE, str(program))
        urls = [webhooks_to] if webhooks_to else []
        async with servers.livekit_server(region, node_ip=host, overrides=reached, webhook_urls=urls) as server:
            yield server


def _redis(host: str, ports: Ports, folder: Path, authority: Authority, daemons: Daemons) -> Redis:
    port, pair = ports.tcp(host), authority.server("redis", [host])
    password = folder / "redis-password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(24))
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    lines = [
        *("port 0", f"tls-port {port}", f"bind {host}", "tls-auth-clients no", f'dir "{folder}"', 'save ""'),
        *(f"tls-cert-file {pair.certificate}", f"tls-key-file {pair.key}", f"tls-ca-cert-file {authority.certificate}"),
        *("maxmemory-policy noeviction", "set-proc-title no", f"requirepass {password.read_text()}"),
    ]
    config.write_text("\n".join(lines) + "\n")
    server = daemons.start("redis-server", [find("redis-server"), config])
    daemons.until(
        lambda: "Ready to accept connections" in server.log_tail(20), _UP_LIMIT_S, "Redis accepts connections"
    )
    return Redis(host, port, authority.certificate, password)
