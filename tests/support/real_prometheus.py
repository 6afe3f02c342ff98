"""A real Prometheus for tests: on loopback, every second, with our own rules and with exemplars."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from voicefleet.contract.errors import MissingPartError
from voicefleet.dashboards.generate import RULES, chart_files
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports, require_free
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import find_prometheus
from voicefleet.stack.server import Server


@dataclass(kw_only=True)
class Prometheus(Server):
    """`url` answers queries; `find` tells it what to scrape."""

    config_path: Path
    data: Path
    targets_path: Path

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def arguments(self) -> list[str]:
        return [
            f"--config.file={self.config_path}",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={LOOPBACK}:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]

    def require_ports(self) -> None:
        require_free(self.port, "tcp", field="prometheus.port")

    async def answers(self) -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def find(self, targets: Sequence[tuple[str, str, str]]) -> None:
        """Scrape these: (HOST:PORT, job, region); an empty region for what tells its own."""
        groups = [
            {"targets": [address], "labels": {"job": job, "cluster": "test", **({"region": region} if region else {})}}
            for address, job, region in targets
        ]
        new = self.targets_path.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.replace(self.targets_path)

    async def get(self, path: str, **params: str) -> Any:
        """The data of one answer of its API."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.url}/api/v1/{path}", params=params) as answer,
        ):
            body = await answer.json()
        assert body["status"] == "success", body
        return body["data"]

    async def value(self, query: str) -> float | None:
        """The first value of a query now; None when there is none."""
        result = (await self.get("query", query=query))["result"]
        return float(result[0]["value"][1]) if result else None

    async def until(self, query: str, least: float, limit_s: float) -> float:
        """Wait until the query's first value is `least` or more."""
        found: float | None = None
        try:
            async with asyncio.timeout(limit_s):
                while (found := await self.value(query)) is None or found < least:
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"{query} is {found} after {limit_s} s, not {least}")
        return found


@contextlib.asynccontextmanager
async def prometheus_server(directory: Path) -> AsyncIterator[Prometheus]:
    """Run it for the block; where it is not installed, skip (in CI: fail)."""
    try:
        program = find_prometheus().path
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make setup` as root.")
    with Ports() as ports, private_directory("prometheus") as data:
        rules = directory / RULES
        rules.write_text(chart_files()[RULES])
        targets = directory / "targets.json"
        targets.write_text("[]")
        config: Mapping[str, Any] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "2s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {
                    "job_name": "files",
                    "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
                }
            ],
        }
        config_path = directory / "prometheus.yaml"
        config_path.write_text(yaml.safe_dump(dict(config)))
        server = Prometheus(
            name="prometheus",
            program=program,
            port=ports.tcp(),
            log_path=directory / "prometheus.log",
            config_path=config_path,
            data=data,
            targets_path=targets,
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
