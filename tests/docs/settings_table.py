"""The tables of settings in the components' READMEs, made from the models: `python -m docs.settings_table`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel

from docs.marked import with_marked
from voicefleet.controller.settings.controller import Settings
from voicefleet.worker.server.settings import WorkerSettings

TREE = Path(__file__).resolve().parents[2]
BEGIN = "<!-- settings: begin, made by `PYTHONPATH=tests python -m docs.settings_table` -->"
END = "<!-- settings: end -->"


@dataclass(frozen=True)
class Setting:
    """One setting. `path` has dots, `<name>` for a key of the user's own and `[]` for an entry of a list."""

    path: str
    default: str
    text: str


def controller_settings() -> list[Setting]:
    """The fields of the controller's file, in its order."""
    return fields_of(Settings)


def worker_settings() -> list[Setting]:
    """The variables of a worker's environment."""
    schema = WorkerSettings.model_json_schema(by_alias=False)
    properties = {_variable(WorkerSettings, name): value for name, value in schema["properties"].items()}
    return list(_fields({**schema, "properties": properties, "required": []}, schema.get("$defs", {}), "", set()))


def table(settings: list[Setting]) -> str:
    """The Markdown table."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    rows += [f"| `{s.path}` | {s.default} | {s.text.replace('|', chr(92) + '|')} |" for s in settings]
    return "\n".join(rows)


READMES = {"worker/README.md": worker_settings, "controller/README.md": controller_settings}


def made(name: str) -> str:
    """A README with its table as the models have it now."""
    return with_marked((TREE / name).read_text(), BEGIN, END, table(READMES[name]()))


def _variable(model: type[BaseModel], name: str) -> str:
    alias = model.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[-1])
    return f"{model.model_config.get('env_prefix', '')}{name}".upper()


def fields_of(model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation") -> list[Setting]:
    """The fields of a model, and of those in it."""
    schema = model.model_json_schema(mode=mode)
    return list(_fields(schema, schema.get("$defs", {}), "", set()))


def _fields(schema: Mapping[str, Any], defs: Mapping[str, Any], at: str, told: set[int]) -> Iterator[Setting]:
    """`told`: sections whose fields have rows already; they get none again where they come a second time."""
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        path = f"{at}.{name}" if at else name
        options = [option for option in _resolved(field, defs) if option.get("type") != "null"]
        text = field.get("description", "")
        below = next(((suffix, s) for option in options for suffix, s in _below(option, defs)), None)
        default = "required" if name in required else _default(field)
        if below is None:
            yield Setting(path, default, ". ".join(part for part in (text.rstrip("."), _range(options)) if part))
            continue
        if text or len(options) > 1:
            yield Setting(path, default, text)
        if id(below[1]) not in told:
            told.add(id(below[1]))
            yield from _fields(below[1], defs, path + below[0], told)


def _resolved(field: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in field:
        yield from _resolved(defs[field["$ref"].rpartition("/")[2]], defs)
        return
    for word in ("anyOf", "oneOf", "allOf"):
        if word in field:
            for option in field[word]:
                yield from _resolved(option, defs)
            return
    yield field


def _below(option: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "properties" in option:
        yield "", option
    for word, suffix in (("additionalProperties", ".<name>"), ("items", "[]")):
        if isinstance(option.get(word), dict):
            yield from ((suffix, inner) for inner in _resolved(option[word], defs) if "properties" in inner)


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ({}, [], "") or set(str(value)) == {"*"}:
        return "–"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _range(options: list[Mapping[str, Any]]) -> str:
    for option in options:
        if "maxLength" in option:
            return f"At most {option['maxLength']:,} characters"
        choices = option.get("enum") or (option["items"].get("enum") if isinstance(option.get("items"), dict) else None)
        if choices:
            return "One of " + ", ".join(f"`{choice}`" for choice in choices)
        low = option.get("minimum", option.get("exclusiveMinimum"))
        high = option.get("maximum", option.get("exclusiveMaximum"))
        if low is not None and high is not None:
            return f"{low:,g} to {high:,g}" if high < 1e6 else f"{low:,g} to {high:,}"
        if low is not None:
            return f"At least {low:,g}" if "minimum" in option else f"More than {low:,g}"
    return ""


def main() -> int:
    """Write the tables into the READMEs."""
    for name in READMES:
        (TREE / name).write_text(made(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
