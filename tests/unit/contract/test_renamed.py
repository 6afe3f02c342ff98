"""An old name in a file or in the environment is refused with the new one; nothing else about it is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from chart.values_schema import renamed_values
from pydantic import BaseModel, ConfigDict, ValidationError

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing import renamed
from voicefleet.contract.parsing.renamed import new_name, refuse_old_variables
from voicefleet.contract.parsing.validation import config_error
from voicefleet.controller.settings.load import load_settings as load_controller_settings
from voicefleet.worker.server.settings import load_settings as load_worker_settings
from voicefleet.worker.tiers.load import read_tiers

pytestmark = pytest.mark.unit

TABLES = (renamed.SETTINGS_FILE, renamed.TIERS_FILE, renamed.ENVIRONMENT, renamed_values())


class _Pool(BaseModel):
    model_config = ConfigDict(extra="forbid")
    calls_at_once: int


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pools: dict[str, _Pool]


def test_a_step_of_any_name_is_kept() -> None:
    table = {"a.*.b.*.c": "x.*.y.*"}
    assert new_name(["a", "one", "b", "two", "c"], table) == "x.one.y.two"
    assert new_name(["a", "one", "b", "two"], table) is None
    assert new_name(["a", "one", "z", "two", "c"], table) is None


@pytest.mark.parametrize("table", TABLES)
def test_no_new_name_is_an_old_one(table: dict[str, str]) -> None:
    assert not set(table) & set(table.values())
    assert all(old.count("*") >= new.count("*") for old, new in table.items())


def test_the_old_name_is_reported_before_the_field_that_is_missing_without_it() -> None:
    with pytest.raises(ValidationError) as caught:
        _File.model_validate({"pools": {"eu": {"slots": 4}}, "typo": 1})
    table = {"pools.*.slots": "pools.*.calls_at_once"}
    error = config_error(caught.value, _File, source="x.yaml", renamed=table)
    assert error.field == "pools.eu.slots"
    assert error.value is None
    assert error.hint == "Write pools.eu.calls_at_once instead."
    assert str(error) == (
        "2 mistakes in x.yaml:\n"
        "  pools.eu.slots: this field was renamed. Write pools.eu.calls_at_once instead.\n"
        "  typo: no such field. Known: pools."
    ), "what is missing without the new name is not told"
    inside = config_error(caught.value, _File, source="x.yaml", at="top", renamed=table)
    assert (inside.field, inside.hint) == ("top.pools.eu.slots", "Write top.pools.eu.calls_at_once instead.")


def _given(path: str) -> object:
    value: object = 1
    for step in reversed(path.split(".")):
        value = {"eu" if step == "*" else step: value}
    return value


@pytest.mark.parametrize(("old", "new"), renamed.SETTINGS_FILE.items())
def test_an_old_name_in_the_settings_file(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "controller.yaml"
    path.write_text(f"{_given(old)}")
    with pytest.raises(ConfigError) as caught:
        load_controller_settings(path, {})
    assert caught.value.exit_code == 2
    assert caught.value.field == old.replace("*", "eu")
    assert new.replace("*", "eu") in caught.value.hint


def test_an_old_name_in_a_tiers_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicefleet.worker.tiers.load.TIERS_FILE", {"standard": "default"})
    path = tmp_path / "tiers.yaml"
    path.write_text("standard: a\ntiers: {}\n")
    with pytest.raises(ConfigError, match=r"standard: this field was renamed. Write default instead"):
        read_tiers(str(path))


@pytest.mark.parametrize(("old", "new"), [*renamed.ENVIRONMENT.items(), ("VOICEFLEET_OLD", "VOICEFLEET_NEW")])
def test_an_old_name_in_the_environment(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**renamed.ENVIRONMENT, old: new}
    with pytest.raises(ConfigError) as caught:
        refuse_old_variables({old: "a-secret"}, table)
    assert (caught.value.field, caught.value.hint) == (old, f"Write {new} instead.")
    assert "a-secret" not in str(caught.value)
    refuse_old_variables({new: "a-secret"}, table)


def test_worker_and_controller_refuse_old_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(renamed.ENVIRONMENT, "VOICEFLEET_OLD", "VOICEFLEET_NEW")
    monkeypatch.setenv("VOICEFLEET_OLD", "1")
    with pytest.raises(ConfigError, match=r"VOICEFLEET_OLD: .* Write VOICEFLEET_NEW instead"):
        load_worker_settings({})
    with pytest.raises(ConfigError, match=r"VOICEFLEET_OLD: .* Write VOICEFLEET_NEW instead"):
        load_controller_settings(tmp_path / "controller.yaml")
