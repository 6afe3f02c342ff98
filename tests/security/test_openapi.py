"""The controller's OpenAPI document, held against the controller itself: what it promises is what is answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.controlling import FRONT, controller
from voicefleet.controller import app as controller_app
from voicefleet.controller.http.openapi import document, problems_of
from voicefleet.controller.http.routes import ROUTES
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.wiring.shared import Shared
from voicefleet.controller.wiring.web import Web, build_web
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

EXAMPLES = 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


async def test_every_registered_route_is_described(
    tmp_path: Path, livekit: LiveKit, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[web.Application] = []
    build = build_web

    def noted(shared: Shared, leadership: Leadership) -> Web:
        built = build(shared, leadership)
        made.append(built.app)
        return built

    monkeypatch.setattr(controller_app, "build_web", noted)
    async with controller(tmp_path, livekit, redis_url) as fleet:
        registered = {
            (route.method, route.resource.canonical)
            for route in made[0].router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        assert registered == {(route.method, route.path) for route in ROUTES}
        served = await fleet.get("/v1/openapi.json")
        assert served == document(ROUTES)
        async with fleet.http.get(f"{fleet.url}/v1/openapi.json") as answer:
            assert answer.status == 401
    assert served["openapi"] == "3.1.0"
    for path, operations in served["paths"].items():
        for method, operation in operations.items():
            assert operation["responses"], (method, path)
            assert all(answer["description"] for answer in operation["responses"].values())


def _fuzz(url: str) -> dict[str, int]:
    """Ask for everything there is, rightly and wrongly. Returns how many requests each route got."""
    schema = schemathesis.openapi.from_dict(document(ROUTES))
    counts: dict[str, int] = {}
    for found in schema.get_all_operations():
        requests = 0
        operation: Any = found.ok()  # type: ignore[union-attr]
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]

        @given(case=st.one_of(strategies))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: schemathesis.Case[Any]) -> None:
            nonlocal requests
            requests += 1
            response = case.call(base_url=url, headers=FRONT, timeout=10)
            # 503 is the promised answer to what cannot be known or done now.
            checks = [check for check in CHECKS if check is not not_a_server_error or response.status_code != 503]
            case.validate_response(response, checks=checks)

        # A route without parameters and body can only be asked rightly.
        with contextlib.suppress(Unsatisfiable):
            ask()
        counts[f"{operation.method} {operation.path}"] = requests
    return counts


async def test_nothing_that_anybody_asks_is_a_server_error(
    tmp_path: Path,
    livekit: LiveKit,
    redis_url: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limits = {"requests_per_minute": 100_000, "concurrent_calls": 100_000}
    async with controller(tmp_path, livekit, redis_url, limits=limits) as fleet, fleet.worker("w-1"):
        with caplog.at_level(logging.WARNING):
            asked = await asyncio.to_thread(_fuzz, fleet.url)
        assert len(asked) == len(ROUTES)
        assert all(asked.values()), asked
        assert asked["post /v1/calls"] == EXAMPLES
        assert "Traceback" not in caplog.text + "".join(capsys.readouterr())
        for line in (await (await fleet.http.get(f"{fleet.url}/metrics")).text()).splitlines():
            assert not (line.startswith("voicefleet_api_requests_total") and 'status="500"' in line), line


def test_every_status_that_a_route_answers_has_its_reason() -> None:
    made = document(ROUTES)
    for route in ROUTES:
        promised = made["paths"][route.path][route.method.lower()]["responses"]
        assert set(promised) == {str(status) for status in {*route.answers, *problems_of(route)}}
