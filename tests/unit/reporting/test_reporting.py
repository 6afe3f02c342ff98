"""The report kit: tables of 80 columns, result files, figures that are the same for the same data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.terminal import rendered
from voicefleet.contract.errors import ConfigError
from voicefleet.reporting.figure import new_figure, svg
from voicefleet.reporting.result import exit_code, require_writable, write_json
from voicefleet.reporting.table import figures_table

pytestmark = pytest.mark.unit


def test_a_header_breaks_between_its_words_and_never_inside_one() -> None:
    table = figures_table("a title", "scenario", ("voice back", "answers"))
    table.add_row("a-name-that-is-never-cut-however-long", "1.0", "2.0")
    lines = rendered(table).splitlines()
    assert any(line.rstrip().endswith("back answers") for line in lines)
    assert any(line.startswith("a-name-that-is-never-cut-however-long") for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_result_is_written_where_it_can_be(tmp_path: Path) -> None:
    file = require_writable(tmp_path / "out.json", "--json")
    write_json(file, {"a": 1})
    assert json.loads(file.read_text()) == {"a": 1}
    write_json(None, {"a": 1})
    for wrong in (tmp_path, tmp_path / "missing" / "out.json"):
        with pytest.raises(ConfigError, match="--json"):
            require_writable(wrong, "--json")


@pytest.mark.parametrize(("passed", "complete", "code"), [(True, True, 0), (False, True, 1), (True, False, 130)])
def test_exit_codes(passed: bool, complete: bool, code: int) -> None:
    assert exit_code(passed=passed, complete=complete) == code


def test_a_figure_is_one_element_and_the_same_each_time() -> None:
    def drawn() -> str:
        figure = new_figure(4, 2)
        figure.subplots().plot([1, 2], [3, 4], label="<calls>")
        return svg(figure)

    assert drawn().startswith("<svg")
    assert drawn() == drawn()
