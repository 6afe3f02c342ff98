"""Turn pydantic's errors into ours: the field's path, the value as written and a hint, all that is wrong at once."""

from __future__ import annotations

import copy
import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from voicefleet.contract.errors import ConfigError, ConfigErrors, UsageError
from voicefleet.contract.parsing.renamed import new_name

_REFUSED = "refused"
_SECRET_WORDS = ("secret", "password", "token", "key")
_ROUNDS = 5
"""A wrong field hides what is checked after it, such as two fields that must agree: without it is looked again."""

Model = TypeVar("Model", bound=BaseModel)


def refused(what: str, *, hint: str, field: str = "", value: object | None = None) -> PydanticCustomError:
    """For validators to raise: `config_error` makes it a `ConfigError` with these parts.

    Args:
        what: what is wrong, in one sentence, without a full stop.
        hint: what to do about it, as an imperative sentence.
        field: path inside the model that is validated; empty: the field that is validated.
        value: the offending value as the user wrote it (never a secret).
    """
    return PydanticCustomError(_REFUSED, "{what}", {"what": what, "hint": hint, "field": field, "value": value})


def check_all(*checks: Callable[[], object]) -> None:
    """For validators: run every check, and refuse all that they refuse.

    Raises:
        PydanticCustomError: a check raised one, or a `UsageError`, whose field is then a path inside the model.
    """
    found: list[dict[str, Any]] = []
    for check in checks:
        try:
            check()
        except PydanticCustomError as error:
            found.append(dict(error.context or {}))
        except UsageError as error:
            found.append({"what": error.what, "hint": error.hint, "field": error.field, "value": error.value})
    if found:
        raise PydanticCustomError(_REFUSED, "{what}", {**found[0], "more": found[1:]})


def validated(
    model: type[Model],
    raw: Any,
    *,
    source: str,
    context: Any = None,
    renamed: Mapping[str, str] | None = None,
) -> Model:
    """`raw` as a `model`.

    Args:
        source: the file that `raw` stands in.
        context: of the validation.
        renamed: old path -> new path, see `parsing.renamed`.

    Raises:
        ConfigError: something is wrong; `ConfigErrors` when several things are.
    """
    found: list[_Problem] = []
    left_out: list[_Problem] = []
    cause: Exception | None = None
    for _ in range(_ROUNDS):
        try:
            made = model.model_validate(raw, context=context)
        except ValidationError as error:
            cause, now = error, _problems(error, model, renamed or {})
            found += [p for p in now if p not in found and not any(p.follows(before) for before in left_out)]
            raw, gone = _without(raw, now)
            if not gone:
                break
            left_out += gone
        else:
            if not found:
                return made
            break
    raise _as_error(found, source, "") from cause


def config_error(
    error: ValidationError,
    model: type[BaseModel],
    *,
    source: str,
    at: str = "",
    renamed: Mapping[str, str] | None = None,
) -> ConfigError:
    """What is wrong, as a `ConfigError`; several things as `ConfigErrors`.

    A field with an old name goes before all else: it explains what is missing, too.

    Args:
        model: what was validated, to name the fields there are.
        source: the file or surroundings the values came from.
        at: path of `model` inside `source`, when it is a part of it.
        renamed: old path -> new path, see `parsing.renamed`.
    """
    return _as_error(_problems(error, model, renamed or {}), source, at)


def first_mistake(error: ValidationError, model: type[BaseModel], *, source: str) -> ConfigError:
    """The first thing that is wrong, as a `ConfigError` whose field is a path inside `source`, or `source` itself."""
    return _problems(error, model, {})[0].error(source, "")


@dataclass(frozen=True, slots=True)
class _Problem:
    """One thing that is wrong.

    Attributes:
        place: where the validation failed: a field, or the section whose fields do not agree.
        path: of the field to be mended.
        meant: path of the field that was probably meant; empty: no other.
    """

    place: tuple[str | int, ...]
    path: tuple[str, ...]
    kind: str
    what: str
    hint: str
    value: object | None = None
    meant: tuple[str, ...] = ()

    def error(self, source: str, at: str) -> ConfigError:
        field, hint = ".".join(filter(None, [at, *self.path])), self.hint
        if self.kind == "renamed":
            hint = f"Write {'.'.join(filter(None, [at, *self.meant]))} instead."
        return ConfigError(self.what, field=field or source, value=self.value, hint=hint)

    def follows(self, other: _Problem) -> bool:
        """Whether this is only wrong because the field of `other` was left out."""
        if self.path == other.path or self.place[: len(other.place)] == other.place:
            return True
        if self.kind == "too_short" and self.place == other.place[:-1]:
            return True
        names = {other.path[-1], *other.meant[-1:]} if other.path else set()
        said = set(re.findall(r"\w+", f"{self.path[-1] if self.path else ''} {self.what} {self.hint}"))
        return self.place[: len(other.place) - 1] == other.place[:-1] and not names.isdisjoint(said)


def _problems(error: ValidationError, model: type[BaseModel], renamed: Mapping[str, str]) -> list[_Problem]:
    found = [problem for details in error.errors(include_url=False) for problem in _of(details, model, renamed)]
    meant = {problem.meant for problem in found}
    told = [p for p in found if not (p.kind == "missing" and p.path in meant)]
    return sorted(told, key=lambda p: p.kind != "renamed")


def _of(details: ErrorDetails, model: type[BaseModel], renamed: Mapping[str, str]) -> list[_Problem]:
    place, kind, value = details["loc"], details["type"], details.get("input")
    path = tuple(str(step) for step in place)
    if kind == _REFUSED:
        context = details["ctx"]
        return [_refusal(place, path, given) for given in (context, *context.get("more", ()))]
    if kind == "missing":
        return [_Problem(place, path, kind, "is missing", "Add it.")]
    if kind == "extra_forbidden":
        if new := new_name(path, renamed):
            return [_Problem(place, path, "renamed", "this field was renamed", "", meant=tuple(new.split(".")))]
        known = _known_names(path, model)
        close = closest(path[-1], known)
        hint = nearest(path[-1], known) if known else "Remove it."
        return [_Problem(place, path, kind, "no such field", hint, meant=(*path[:-1], close) if close else ())]
    hint = "Correct it."
    if kind in ("literal_error", "enum") and isinstance(value, str):
        close = closest(value, re.findall(r"'([^']*)'", str(details["ctx"]["expected"])))
        hint = f"Did you mean {close}?" if close else hint
    if isinstance(value, dict | list) or any(w in path[-1].lower() for w in _SECRET_WORDS if path):
        value = None
    return [_Problem(place, path, kind, str(details["msg"]).removeprefix("Value error, "), hint, value)]


def _refusal(place: tuple[str | int, ...], path: tuple[str, ...], given: Mapping[str, Any]) -> _Problem:
    path = (*path, *given["field"].split(".")) if given["field"] else path
    return _Problem(place, path, _REFUSED, given["what"], given["hint"], given["value"])


def _as_error(problems: list[_Problem], source: str, at: str) -> ConfigError:
    errors = [problem.error(source, at) for problem in problems]
    if len(errors) > 1:
        return ConfigErrors(errors, source=source)
    only = errors[0]
    return ConfigError(f"{only.what}, in {source}", field=only.field, value=only.value, hint=only.hint)


def _without(raw: Any, problems: Iterable[_Problem]) -> tuple[Any, list[_Problem]]:
    """`raw` without the places that are wrong, and whose were left out. What is missing cannot be."""
    raw, gone = copy.deepcopy(raw), []
    for problem in problems:
        # Of a list the whole is left out: its other entries are no longer at their places.
        place = tuple(itertools.takewhile(lambda step: isinstance(step, str), problem.place))
        here = raw
        for step in place[:-1]:
            here = here.get(step) if isinstance(here, dict) else None
        if problem.kind != "missing" and isinstance(here, dict) and place and place[-1] in here:
            del here[place[-1]]
            gone.append(replace(problem, place=place))
    return raw, gone


def closest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The one of `known` that was probably meant by `name`; empty: none is so like it (0: at all, 1: the same)."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return close[0] if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of `known`, or all of them."""
    names = sorted(known)
    close = closest(name, names)
    return f"Did you mean {close}?" if close else f"Known: {', '.join(names)}."


def _known_names(path: tuple[str, ...], model: type[BaseModel]) -> list[str]:
    """The fields that there are beside the one at `path`."""
    here: Any = model
    for step in path[:-1]:
        found = here.model_fields.get(step) if isinstance(here, type) and issubclass(here, BaseModel) else None
        here = _model_of(found.annotation) if found else here
        if here is None:
            return []
    return sorted(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_of(inner):
            return found
    return None
