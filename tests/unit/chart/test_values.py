"""The values file, its schema and the README's table say the same."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from chart.values_schema import PER_REGION, generated, is_renamed, renamed_values, resolved
from chart.values_table import BEGIN, CHART, END, Field, fields, table, value_name, with_pool, with_table
from pydantic import BaseModel

from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.pool import PoolSettings

pytestmark = pytest.mark.unit

VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# Told of as a whole: Kubernetes' own shape, and a tiers file.
WHOLE = {
    *(
        f"{part}.resources"
        for part in ("worker", "controller", "test", "loadtest", "devStack.livekit", "devStack.redis")
    ),
    "worker.tiers.content",
}


def schema_paths(node: dict[str, Any], at: str) -> Iterator[str]:
    node = resolved(SCHEMA, node)
    if "properties" not in node or at in WHOLE:
        yield at
        return
    for name, below in node["properties"].items():
        if not is_renamed(below):
            yield from schema_paths(below, f"{at}.{name}" if at else name)


def objects(node: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "properties" in node:
            yield at, node
        for name, below in node.items():
            yield from objects(below, f"{at}/{name}")


def test_every_value_is_documented() -> None:
    assert [field.path for field in fields(VALUES) if len(field.text) < 5] == []


def test_schema_and_values_know_the_same_fields() -> None:
    assert sorted(schema_paths(SCHEMA, "")) == sorted(field.path for field in fields(VALUES))


def test_no_object_takes_unknown_fields() -> None:
    # What is Kubernetes' own shape is left to its API server.
    loose = [at for at, node in objects(SCHEMA, "#") if node.get("additionalProperties") is not False]
    # A chart above ours shares what it likes with its other charts there.
    assert loose == ["#/properties/global"]


def test_a_region_may_say_anew_what_is_said_for_all() -> None:
    given = SCHEMA["properties"]["regions"]["items"]["properties"]
    region = {name: below for name, below in given.items() if not is_renamed(below)}
    of_region = {"name", "namespace", "cluster", "residency", "spillTo", "probeUrl", "agents", "defaultAgent"}
    assert set(region) == {*PER_REGION, *of_region, "tier", "tierCanary"}
    assert {name: region[name] for name in PER_REGION} == {name: SCHEMA["properties"][name] for name in PER_REGION}


def test_the_generated_parts_of_the_schema_are_up_to_date() -> None:
    assert generated(SCHEMA) == SCHEMA, "run: PYTHONPATH=tests python -m chart.values_schema"


def test_the_pool_is_that_of_the_settings() -> None:
    assert with_pool(VALUES) == VALUES, "run: PYTHONPATH=tests python -m chart.values_table"


def test_the_pool_has_the_fields_and_the_defaults_of_the_settings() -> None:
    defaults = {value_name(name): default for name, default in PoolSettings().model_dump(mode="json").items()}
    assert yaml.safe_load(VALUES)["pool"] == defaults


def test_what_the_scaling_needs_of_a_pool_is_a_setting_or_made_of_one() -> None:
    made = {"region", "fixed", "act"}
    assert {field.name for field in dataclasses.fields(PoolSpec)} - made <= set(PoolSettings.model_fields)
    asked = {"min_workers": 3, "max_workers": 9, "slots": 7, "policy": "buffer", "buffer": 5, "wait_ratio": 0.2}
    spec = PoolSettings.model_validate({**asked, "scale_down_delay_s": 11}).spec("eu")
    assert {name: getattr(spec, name) for name in asked} == asked
    assert (spec.region, spec.scale_down_delay_s) == ("eu", 11)


def test_every_field_of_a_pool_is_read_by_what_decides_or_acts() -> None:
    controller = CHART.parents[1] / "controller" / "voicefleet"
    folders = (controller / "scaling", controller / "controller" / "pool")
    code = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    unread = [f.name for f in dataclasses.fields(PoolSpec) if not re.search(rf"spec\.{f.name}\b", code)]
    assert unread == []


@pytest.mark.parametrize(("setting", "value"), [("slots", "slots"), ("start_timeout_s", "startTimeoutSeconds")])
def test_a_value_has_the_name_of_its_setting_in_camel_case(setting: str, value: str) -> None:
    assert value_name(setting) == value


def test_every_setting_says_what_it_is() -> None:
    def undescribed(model: type[BaseModel], at: str = "") -> Iterator[str]:
        for name, field in model.model_fields.items():
            if not (field.description or "").endswith("."):
                yield f"{at}{name}"
            for part in (field.annotation, *get_args(field.annotation)):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    yield from undescribed(part, f"{at}{name}.")

    assert list(undescribed(Settings)) == []


def test_old_names_pass_the_schema_and_new_ones_exist() -> None:
    known = set(schema_paths(SCHEMA, ""))
    for old, new in renamed_values().items():
        *way, last = old.split(".")
        for root in (SCHEMA, SCHEMA["properties"]["regions"]["items"])[: 2 if new.split(".")[0] in PER_REGION else 1]:
            here = root
            for step in way:
                here = resolved(SCHEMA, here["properties"][step])
            assert is_renamed(here["properties"][last]), old
        assert any(f"{path}.".startswith(f"{new}.") for path in known), f"{new} is no value of the chart"


def test_the_readme_has_the_table_of_these_values() -> None:
    readme = (CHART / "README.md").read_text()
    assert with_table(readme, VALUES) == readme, "run: PYTHONPATH=tests python -m chart.values_table"


def test_fields_are_leaves_and_maps_that_are_told_of_as_a_whole() -> None:
    source = """
# Head of the file.

# Two
# lines.
a: 1
b:
  # Inner.
  c: [x]
  # Empty.
  d: {}
# Whole.
e:
  f: 1
g: null
"""
    assert list(fields(source)) == [
        Field("a", 1, "Two lines."),
        Field("b.c", ["x"], "Inner."),
        Field("b.d", {}, "Empty."),
        Field("e", {"f": 1}, "Whole."),
        Field("g", None, ""),
    ]


def test_the_table_escapes_what_would_end_a_cell() -> None:
    assert table("# a|b\nx: 'c|d'").splitlines()[-1] == '| `x` | `"c\\|d"` | a\\|b |'


def test_a_readme_without_marks_is_refused() -> None:
    assert with_table(f"x\n{BEGIN}\nold\n{END}\ny", "# d\na: 1").endswith(f"| `a` | `1` | d |\n{END}\ny")
    with pytest.raises(ValueError, match="needs the lines"):
        with_table("x", "a: 1")


def test_versions_of_chart_and_project_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    assert f'\nversion = "{chart["appVersion"]}"\n' in project
