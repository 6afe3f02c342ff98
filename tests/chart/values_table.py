"""The table of the chart's README, made from the comments of its values: `python -m chart.values_table`.

A comment directly above a field documents it. Maps whose fields have comments of their own are not told of themselves.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from docs.marked import with_marked
from voicefleet.controller.settings.pool import PoolSettings

CHART = Path(__file__).resolve().parents[2] / "helm" / "voicefleet"
BEGIN = "<!-- values: begin, made by `PYTHONPATH=tests python -m chart.values_table` -->"
END = "<!-- values: end -->"


@dataclass(frozen=True)
class Field:
    """One documented value. `path` has dots; `text` is empty when there is no comment."""

    path: str
    default: Any
    text: str


def fields(source: str) -> Iterator[Field]:
    """The fields of a values file, in its order.

    A field is a leaf, or a map that is told of as a whole: it has a comment, and its own fields have none.
    """
    yield from _fields(source.splitlines(), yaml.compose(source, yaml.SafeLoader), yaml.safe_load(source), "")


def table(source: str) -> str:
    """The Markdown table of a values file."""
    rows = ["| Value | Default | What it is |", "| --- | --- | --- |"]
    for field in fields(source):
        default = json.dumps(field.default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{field.path}` | `{default}` | {field.text.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def with_table(readme: str, source: str) -> str:
    """`readme` with the table between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    return with_marked(readme, BEGIN, END, table(source))


def _fields(lines: list[str], node: yaml.Node | None, value: Any, at: str) -> Iterator[Field]:
    assert isinstance(node, yaml.MappingNode)
    for key, below in node.value:
        path = f"{at}.{key.value}" if at else key.value
        inner = value[key.value]
        text = _comment_above(lines, key.start_mark.line)
        if isinstance(below, yaml.MappingNode) and below.value and not (text and _plain(lines, below)):
            yield from _fields(lines, below, inner, path)
        else:
            yield Field(path, inner, text)


def _plain(lines: list[str], node: yaml.MappingNode) -> bool:
    return not any(_comment_above(lines, key.start_mark.line) for key, _ in node.value)


def _comment_above(lines: list[str], number: int) -> str:
    said: list[str] = []
    while number and (line := lines[number - 1].strip()).startswith("#"):
        said.insert(0, line.removeprefix("#").strip())
        number -= 1
    return " ".join(said)


def with_pool(source: str) -> str:
    """A values file whose `pool` has the fields, the sentences and the defaults of the settings."""
    block = "pool:\n"
    for name, field in PoolSettings.model_fields.items():
        told = re.sub(r"[a-z]+(_[a-z]+)+", lambda word: value_name(word[0]), field.description or "")
        default = PoolSettings().model_dump(mode="json")[name]
        shown = default if isinstance(default, str) else json.dumps(default).removesuffix(".0")
        block += f"  # {told}\n  {value_name(name)}: {shown}\n"
    return re.sub(r"^pool:\n(?:  [^\n]*\n)+", lambda _: block, source, flags=re.MULTILINE)


def value_name(setting: str) -> str:
    """`start_timeout_s` -> `startTimeoutSeconds`: the inverse of the template `voicefleet.settings`."""
    first, *rest = setting.removesuffix("_s").split("_") + ["seconds"] * setting.endswith("_s")
    return first + "".join(word.capitalize() for word in rest)


def main() -> int:
    """Write what is generated into the chart's values and its README."""
    values, readme = CHART / "values.yaml", CHART / "README.md"
    values.write_text(with_pool(values.read_text()))
    readme.write_text(with_table(readme.read_text(), values.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
