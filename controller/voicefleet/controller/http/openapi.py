"""The OpenAPI 3.1 document of the controller, made from the table of routes and the models that are served.

It is behind a key like everything under `/v1/`: one rule without exceptions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from voicefleet.contract.api import Problem
from voicefleet.controller.http.routes import ROUTES, Parameter, Route

REASONS = {
    200: "Here it is",
    201: "Made",
    202: "It will be done",
    204: "Done",
    400: "Something that was sent is wrong",
    401: "No valid API key, or no valid signature",
    403: "The key lacks the role, or is not for the region",
    404: "There is none of that name",
    408: "The body did not come in time",
    409: "There are as many as there may be",
    413: "The body is too long",
    429: "Too much was asked for, come back later",
    503: "Not possible, or not known, now; come back later",
}
_TEXT = {"type": "string"}
_RETRY = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}


def add_document(app: web.Application) -> None:
    """Serve the document at `/v1/openapi.json`."""
    text = json.dumps(document(ROUTES))

    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    app.router.add_get("/v1/openapi.json", serve)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document, as JSON-ready values."""
    routes = list(routes)
    asked = {route.body for route in routes if isinstance(route.body, type)}
    told = {model for route in routes for model in route.answers.values() if isinstance(model, type)} | {Problem}
    _, schemas = models_json_schema(
        [
            *((model, "validation") for model in sorted(asked, key=_name)),
            *((model, "serialization") for model in sorted(told, key=_name)),
        ],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "voicefleet controller", "version": version("voicefleet")},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def problems_of(route: Route) -> set[int]:
    """Statuses that `route` may answer with a `Problem`."""
    found = set(route.problems)
    if route.signed:
        found |= {400, 401, 408, 413}
    elif route.roles:
        found |= {401, 403, 429}
        if route.body is not None:
            found |= {400, 408, 413}
    return found


def _operation(route: Route) -> dict[str, Any]:
    responses = {str(status): _answer(status, body) for status, body in route.answers.items()}
    responses |= {str(status): _answer(status, Problem) for status in sorted(problems_of(route))}
    for status, reason in route.reasons.items():
        responses[str(status)]["description"] = reason
    if route.headers:
        first = responses[str(next(iter(route.answers)))]
        first["headers"] = {name: {"description": text, "schema": _TEXT} for name, text in route.headers.items()}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": _who_may(route),
        "operationId": _operation_id(route),
        "responses": responses,
        "security": [{"key": []}] if route.roles else [],
    }
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if isinstance(route.body, type):
        operation["requestBody"] = {"content": {"application/json": {"schema": _reference(route.body)}}}
    elif route.body is not None:
        operation["requestBody"] = {"content": {"application/webhook+json": {"schema": dict(route.body)}}}
    return operation


def _who_may(route: Route) -> str:
    if route.signed:
        return "LiveKit, by its signature."
    return f"A key with the role {' or '.join(route.roles)}." if route.roles else "Anybody."


def _operation_id(route: Route) -> str:
    words = route.path.removeprefix("/v1").replace(".", "/").replace("{", "").replace("}", "").split("/")
    return "_".join([route.method.lower(), *filter(None, words)])


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _answer(status: int, body: type[BaseModel] | str) -> dict[str, Any]:
    if body == "":
        return {"description": REASONS[status]}
    content = {body: {}} if isinstance(body, str) else {"application/json": {"schema": _reference(body)}}
    answer: dict[str, Any] = {"description": REASONS[status], "content": content}
    return {**answer, "headers": _RETRY} if status in (429, 503) and body is Problem else answer


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _name(model: type[BaseModel]) -> str:
    return model.__name__
