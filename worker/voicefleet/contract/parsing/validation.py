"""Turn pydantic's errors into ours: the field's path, the value as written and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.renamed import new_name

_REFUSED = "refused"
_SECRET_WORDS = ("secret", "password", "token", "key")


def refused(what: str, *, hint: str, field: str = "", value: object | None = None) -> PydanticCustomError:
    """For validators to raise: `config_error` makes it a `ConfigError` with these parts.

    Args:
        what: what is wrong, in one sentence, without a full stop.
        hint: what to do about it, as an imperative sentence.
        field: path inside the model that is validated; empty: the field that is validated.
        value: the offending value as the user wrote it (never a secret).
    """
    return PydanticCustomError(_REFUSED, "{what}", {"what": what, "hint": hint, "field": field, "value": value})


def config_error(
    error: ValidationError,
    model: type[BaseModel],
    *,
    source: str,
    at: str = "",
    renamed: Mapping[str, str] | None = None,
) -> ConfigError:
    """The first thing wrong, as a `ConfigError`; how many more there are stands in its text.

    A field with an old name goes before all else: it explains what is missing, too.

    Args:
        model: what was validated, to name the fields there are.
        source: the file or surroundings the values came from.
        at: path of `model` inside `source`, when it is a part of it.
        renamed: old path -> new path, see `parsing.renamed`.
    """
    problems = error.errors(include_url=False)
    more = f" ({len(problems) - 1} more after this one)" if len(problems) > 1 else ""
    for problem in problems:
        if new := _new_name(problem, renamed or {}):
            field = ".".join(filter(None, [at, *_path(problem)]))
            what = f"this field was renamed, in {source}{more}"
            return ConfigError(what, field=field, hint=f"Write {'.'.join(filter(None, [at, new]))} instead.")
    first = problems[0]
    path = _path(first)
    field = ".".join(filter(None, [at, *path]))
    kind = first["type"]
    if kind == _REFUSED:
        given = first["ctx"]
        field = ".".join(filter(None, [field, given["field"]]))
        return ConfigError(f"{given['what']}, in {source}{more}", field=field, value=given["value"], hint=given["hint"])
    value: Any = first.get("input")
    if kind == "extra_forbidden":
        what = "no such field"
        value = None
        hint = _known_names(path, model)
    elif kind == "missing":
        what = "is missing"
        value = None
        hint = "Add it."
    else:
        what = str(first["msg"]).removeprefix("Value error, ")
        hint = "Correct it."
        if isinstance(value, dict | list) or any(w in path[-1].lower() for w in _SECRET_WORDS if path):
            value = None
    return ConfigError(f"{what}, in {source}{more}", field=field or source, value=value, hint=hint)


def _path(problem: ErrorDetails) -> list[str]:
    return [str(step) for step in problem["loc"]]


def _new_name(problem: ErrorDetails, renamed: Mapping[str, str]) -> str | None:
    return new_name(_path(problem), renamed) if problem["type"] == "extra_forbidden" else None


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of `known`, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(names)}."


def _known_names(path: list[str], model: type[BaseModel]) -> str:
    here: Any = model
    for step in path[:-1]:
        found = here.model_fields.get(step) if isinstance(here, type) and issubclass(here, BaseModel) else None
        here = _model_of(found.annotation) if found else here
        if here is None:
            return "Remove it."
    fields = here.model_fields if isinstance(here, type) and issubclass(here, BaseModel) else {}
    return nearest(path[-1], fields) if fields else "Remove it."


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_of(inner):
            return found
    return None
