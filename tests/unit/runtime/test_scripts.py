"""The Lua scripts and their arguments in Python: the same fields, and stored values written in one place."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from voicefleet.contract import codec
from voicefleet.contract.aside import Aside
from voicefleet.contract.claims import Claim, Handoff
from voicefleet.runtime.redis.connection import script_names, script_notes, script_prelude, script_text
from voicefleet.runtime.redis.scripts import HandoffReady, ScriptArguments

pytestmark = pytest.mark.unit

ARGUMENTS = {kind.script: kind for kind in ScriptArguments.__subclasses__()}


def body(name: str) -> str:
    """A script without what all begin with, without what those begin with that note things, and without comments."""
    assert script_text(name).startswith(script_prelude())
    return re.sub(r"--.*", "", script_text(name).removeprefix(script_prelude()).removeprefix(script_notes()))


def test_each_script_has_its_arguments() -> None:
    assert set(ARGUMENTS) == set(script_names())


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_script_reads_the_fields_of_its_arguments_and_no_others(name: str) -> None:
    read = set(re.findall(r"\bargs\.(\w+)", body(name)))
    assert read == {field.name for field in dataclasses.fields(ARGUMENTS[name])}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_script_takes_one_argument_and_leaves_stored_values_to_the_prelude(name: str) -> None:
    assert "ARGV" not in body(name)
    assert (
        "cjson" not in body(name).replace("write_handoff", "", 1).partition("return write_value")[2].partition("end")[2]
    )


@pytest.mark.parametrize("kind", [Claim, Handoff, Aside])
def test_the_scripts_know_the_fields_of_a_stored_value(kind: type) -> None:
    names = ", ".join(f"'{field.name}'" for field in dataclasses.fields(kind))
    assert f"{{{names}}}" in script_prelude()
    assert f"SCHEMA = {codec.SCHEMA_VERSION}\n" in script_prelude()
    assert "<<" not in script_prelude()


def test_arguments_are_one_json_object() -> None:
    args = HandoffReady(job='j\u00e4"\n\x00', ready=True, ttl_ms=3, channel_prefix="p:")
    assert json.loads(args.encode()) == dataclasses.asdict(args)


@pytest.mark.parametrize(
    ("writer", "kind"), [("write_claim", Claim), ("write_handoff", Handoff), ("write_aside", Aside)]
)
def test_a_script_that_makes_a_stored_value_gives_all_its_fields(writer: str, kind: type) -> None:
    made = [
        set(re.findall(r"(\w+) =", fields))
        for name in script_names()
        for fields in re.findall(writer + r"\(\{(.*?)\}\)", body(name), re.DOTALL)
    ]
    assert made
    assert all(fields == {field.name for field in dataclasses.fields(kind)} for fields in made)
