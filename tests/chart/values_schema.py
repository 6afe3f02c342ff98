"""The generated parts of the chart's values.schema.json: `python -m chart.values_schema`.

Helm checks values against the schema before it renders a template, so an old name must pass the schema to be refused
by `templates/_checks.tpl`, which says the new one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from chart.values_table import CHART, value_name
from pydantic import BaseModel

from voicefleet.controller.settings.agents import ObjectivesSettings
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.controller.settings.tier import TierCanarySettings, TierPart
from voicefleet.scaling.policies import SELECTABLE
from voicefleet.worker.tiers.schema import TiersFile

SCHEMA = CHART / "values.schema.json"
RENAMED = CHART / "renamed.yaml"
PER_REGION = (
    "createNamespace",
    "agentName",
    "rooms",
    "trunks",
    "handoff",
    "livekit",
    "pool",
    "waitingMessage",
    "worker",
)
"""Values that an item of `regions` may say anew."""
_MARK = "Renamed: "
_TIERS = "tiers"
"""What the names of the definitions for tiers begin with."""

Schema = dict[str, Any]


def generated(schema: Schema) -> Schema:
    """`schema` with the generated parts as they should be."""
    made: Schema = json.loads(json.dumps(schema))
    made["$defs"]["pool"] = of_settings(PoolSettings)
    made["$defs"] = {name: below for name, below in made["$defs"].items() if not name.startswith(_TIERS)}
    made["$defs"] |= of_tiers()
    made["$defs"]["objectives"] = of_settings(ObjectivesSettings)
    made["$defs"] |= {"tier": of_tier(), "tierCanary": of_settings(TierCanarySettings)}
    for part in (made["$defs"]["agent"], made["properties"]["regions"]["items"]):
        part["properties"] |= {name: {"$ref": f"#/$defs/{name}"} for name in ("tier", "tierCanary")}
    made["$defs"]["worker"]["properties"]["tiers"]["properties"]["content"] = {"$ref": f"#/$defs/{_TIERS}File"}
    for properties in _properties(made):
        for name in [name for name, below in properties.items() if is_renamed(below)]:
            del properties[name]
        if "enum" in properties.get("policy", {}):
            properties["policy"]["enum"] = list(SELECTABLE)
    for old, new in renamed_values().items():
        *way, last = old.split(".")
        for root in _roots(made, new):
            _at(made, root, way)["properties"][last] = {"description": f"{_MARK}{new}"}
    return made


def of_settings(model: type[BaseModel]) -> Schema:
    """The schema of values that the chart hands on to the settings of `model`."""
    schema = model.model_json_schema()
    return _values_schema(schema, schema.get("$defs", {}))


def of_tier() -> Schema:
    """The schema of a pool's tier: a name, or two with their shares."""
    one, two, none = TierPart.model_json_schema()["properties"]["tier"]["anyOf"]
    return {"anyOf": [one, {**two, "additionalProperties": False}, none]}


def of_tiers() -> dict[str, Schema]:
    """The definitions for a tiers file in the values, the whole file's as `tiersFile`.

    Nothing in it is required: an item of `regions` may say a part anew. `templates/_checks.tpl` looks at the whole.
    """
    schema = TiersFile.model_json_schema()
    whole = {name: below for name, below in schema.items() if name != "$defs"}
    return {f"{_TIERS}{name}": _tiers_schema(below) for name, below in {**schema["$defs"], "File": whole}.items()}


def is_renamed(schema: Schema) -> bool:
    """Whether this is the schema of an old name."""
    return str(schema.get("description", "")).startswith(_MARK)


def renamed_values() -> dict[str, str]:
    """Old path of a value -> its new one."""
    return yaml.safe_load(RENAMED.read_text()) or {}


def resolved(schema: Schema, node: Schema) -> Schema:
    """`node`, or what it refers to."""
    reference = node.get("$ref")
    found: Schema = schema["$defs"][reference.removeprefix("#/$defs/")] if reference else node
    return found


def _tiers_schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_tiers_schema(below) for below in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"].replace("#/$defs/", f"#/$defs/{_TIERS}")}
    kept = {key: below for key, below in node.items() if key not in ("title", "description", "default", "required")}
    return {
        key: {n: _tiers_schema(b) for n, b in below.items()} if key == "properties" else _tiers_schema(below)
        for key, below in kept.items()
    }


def _values_schema(node: Schema, defs: Schema) -> Schema:
    if "$ref" in node:
        node = defs[node["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in node:
        [given] = [_values_schema(below, defs) for below in node["anyOf"] if below != {"type": "null"}]
        return {**given, "type": [given["type"], "null"]}
    if node.get("type") == "object":
        required = {"required": [value_name(name) for name in node["required"]]} if node.get("required") else {}
        properties = {value_name(name): _values_schema(below, defs) for name, below in node["properties"].items()}
        return {"type": "object", "additionalProperties": False, **required, "properties": properties}
    told = {key: value for key, value in node.items() if key not in ("title", "description", "default")}
    if "enum" in told:
        return {"enum": told["enum"]}
    told = {"type": told.pop("type"), **told}
    return {**told, "items": _values_schema(told["items"], defs)} if "items" in told else told


def _roots(schema: Schema, new: str) -> list[Schema]:
    region: Schema = schema["properties"]["regions"]["items"]
    return [schema, region] if new.split(".")[0] in PER_REGION else [schema]


def _at(schema: Schema, node: Schema, way: list[str]) -> Schema:
    for step in way:
        node = resolved(schema, node["properties"][step])
    return node


def _properties(node: Any) -> Iterator[Schema]:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield node["properties"]
        for below in node.values():
            yield from _properties(below)
    elif isinstance(node, list):
        for below in node:
            yield from _properties(below)


def main() -> int:
    """Write the generated parts into the schema."""
    SCHEMA.write_text(json.dumps(generated(json.loads(SCHEMA.read_text())), indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
