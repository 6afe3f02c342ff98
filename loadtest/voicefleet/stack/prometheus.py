"""A Prometheus and an Alertmanager of our own, on loopback, as async context managers.

    async with alertmanager_server(folder, config) as manager:
        async with prometheus_server(folder, rules, alertmanager=manager.address) as prometheus: ...

Prometheus scrapes whatever `find` tells it, evaluates the rules it was given, and tells Alertmanager what fires.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports, require_free
from voicefleet.stack.find import find_alertmanager, find_prometheus
from voicefleet.stack.server import Server

CLUSTER = "test"
"""The `cluster` label of everything that is scraped."""
_LOOK_EVERY_S = 0.2


@dataclass(kw_only=True)
class _Observer(Server):
    """A server of Prometheus's family: one port, `/-/ready`, and a JSON API."""

    config_path: Path
    data: Path

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """``http://HOST:PORT``."""
        return f"http://{self.address}"

    def require_ports(self) -> None:
        require_free(self.port, "tcp", field=f"{self.name}.port")

    async def answers(self) -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _ask(self, path: str, params: Mapping[str, str]) -> Any:
        """The JSON at `path`. Raises `UnknownStateError` when there is none."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}{path}", params=params) as answer:
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UnknownStateError(f"{self.name} did not answer {path} ({type(error).__name__})") from error


@dataclass(kw_only=True)
class Prometheus(_Observer):
    """`find` tells it what to scrape; `value` and `get` ask it."""

    targets_path: Path

    def arguments(self) -> list[str]:
        return [
            f"--config.file={self.config_path}",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={self.address}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]

    def find(self, targets: Sequence[tuple[str, str, str]]) -> None:
        """Scrape these: (HOST:PORT, job, region); an empty region for what tells its own."""
        groups = [
            {"targets": [address], "labels": {"job": job, "cluster": CLUSTER, **({"region": region} if region else {})}}
            for address, job, region in targets
        ]
        new = self.targets_path.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.replace(self.targets_path)

    async def get(self, path: str, **params: str) -> Any:
        """The data of one answer of its API. Raises `UnknownStateError` when it refuses or does not answer."""
        body = await self._ask(f"/api/v1/{path}", params)
        if body["status"] != "success":
            raise UnknownStateError(f"{self.name} refused {path}: {body.get('error', '')}")
        return body["data"]

    async def value(self, query: str) -> float | None:
        """The first value of a query now; None when there is none."""
        result = (await self.get("query", query=query))["result"]
        return float(result[0]["value"][1]) if result else None

    async def until(self, query: str, least: float, limit_s: float) -> float:
        """Wait until the query's first value is `least` or more. Raises `UnknownStateError` after `limit_s`."""
        found: float | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    found = await self.value(query)
                    if found is not None and found >= least:
                        return found
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError as error:
            raise UnknownStateError(f"{query} is {found} after {limit_s} s, not {least}") from error


@dataclass(kw_only=True)
class Alertmanager(_Observer):
    """What Prometheus told it, and what of it is inhibited."""

    def arguments(self) -> list[str]:
        return [
            f"--config.file={self.config_path}",
            f"--storage.path={self.data}",
            f"--web.listen-address={self.address}",
            # It is alone: no gossip with others.
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    async def alerts(self) -> list[dict[str, Any]]:
        """Every alert that fires, as its API v2 gives it: `labels`, `annotations`, `status.inhibitedBy`."""
        found: list[dict[str, Any]] = await self._ask("/api/v2/alerts", {})
        return found


@contextlib.asynccontextmanager
async def prometheus_server(
    directory: Path, rules: str, *, scrape_s: float = 1.0, evaluation_s: float = 2.0, alertmanager: str = ""
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus for the block.

    Args:
        directory: for its files and its log.
        rules: the text of a rules file.
        scrape_s: scrapes, and their time-out.
        evaluation_s: of groups of rules without an interval of their own.
        alertmanager: ``HOST:PORT``; empty: nobody is told of alerts.

    Raises:
        MissingPartError: it is not on this machine.
    """
    program = (await asyncio.to_thread(find_prometheus)).path
    with Ports() as ports, private_directory("prometheus") as data:
        (directory / "rules.yaml").write_text(rules)
        targets = directory / "targets.json"
        targets.write_text("[]")
        files = {"files": [str(targets)], "refresh_interval": "1s"}
        config: dict[str, Any] = {
            "global": {
                "scrape_interval": _duration(scrape_s),
                "scrape_timeout": _duration(scrape_s),
                "evaluation_interval": _duration(evaluation_s),
            },
            "rule_files": [str(directory / "rules.yaml")],
            "scrape_configs": [{"job_name": "files", "file_sd_configs": [files]}],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        server = Prometheus(
            name="prometheus",
            program=program,
            port=ports.tcp(),
            log_path=directory / "prometheus.log",
            config_path=_written(directory / "prometheus.yaml", config),
            data=data,
            targets_path=targets,
        )
        async with server.served():
            yield server


@contextlib.asynccontextmanager
async def alertmanager_server(directory: Path, config: Mapping[str, Any]) -> AsyncIterator[Alertmanager]:
    """Run an Alertmanager with `config` for the block. Raises `MissingPartError`: it is not on this machine."""
    program = (await asyncio.to_thread(find_alertmanager)).path
    with Ports() as ports, private_directory("alertmanager") as data:
        server = Alertmanager(
            name="alertmanager",
            program=program,
            port=ports.tcp(),
            log_path=directory / "alertmanager.log",
            config_path=_written(directory / "alertmanager.yaml", config),
            data=data,
        )
        async with server.served():
            yield server


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _written(path: Path, config: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(config)))
    return path
