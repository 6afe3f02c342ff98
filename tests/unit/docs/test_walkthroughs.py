"""The walkthroughs as documents: scripts that bash reads, settings that can be replaced, excuses that are given."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.walkthroughs import EXCUSE, FOLDER, NOT_RUN, RUN, SETTINGS, TREE, every, read

pytestmark = pytest.mark.unit

DOCUMENTS = [path for path in every() if path.name != "README.md"]
CALLS = re.compile(r"helm .*test |voicefleet call |args: \[call,")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_walkthrough_is_a_script_with_a_call_in_it(path: Path) -> None:
    walkthrough = read(path)
    first, *others = [block for block in walkthrough.blocks if block.kind.startswith("sh")]
    assert first.kind == SETTINGS
    assert SETTINGS not in {block.kind for block in others}
    assert {block.kind for block in others} <= {RUN, NOT_RUN}, "a block that the test would pass over"
    for block in others:
        if block.kind == NOT_RUN:
            assert block.above.startswith(EXCUSE) or EXCUSE in block.above, f"{path.name}:{block.line} gives no reason"
    script = walkthrough.script()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert CALLS.search(script), "no caller gets an answer"
    used = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", script))
    assert set(walkthrough.settings) <= used, "a setting that nothing uses"


@pytest.mark.parametrize("path", every(), ids=lambda path: path.name)
def test_links_of_walkthroughs_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}, target


def test_every_walkthrough_is_in_the_list_and_is_run() -> None:
    text = (FOLDER / "README.md").read_text()
    tested = (TREE / "tests" / "cluster" / "test_walkthroughs.py").read_text()
    for path in DOCUMENTS:
        assert f"]({path.name})" in text
        assert f'"{path.name}"' in tested


def test_settings_are_replaced_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "one.md"
    path.write_text("# One\n\n```sh settings\nNAME=yours # why\n```\n\nThen:\n\n```sh\necho $NAME\n```\n")
    walkthrough = read(path)
    assert walkthrough.settings == ("NAME",)
    done = subprocess.run(["bash"], input=walkthrough.script({"NAME": "it's mine"}), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "it's mine"
    with pytest.raises(ValueError, match="sets"):
        walkthrough.script({"OTHER": "x"})


def test_a_script_ends_at_the_first_failure_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "one.md"
    path.write_text("# One\n\n```sh settings\nNAME=yours\n```\n\n```sh\nfalse\n```\n\n```sh\necho on it goes\n```\n")
    done = subprocess.run(["bash"], input=read(path).script(), capture_output=True, text=True)
    assert done.returncode == 1
    assert "failed: one.md, in the block of line 7" in done.stderr
    assert "on it goes" not in done.stdout


def test_a_block_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.md"
    path.write_text("```sh\necho\n")
    with pytest.raises(ValueError, match="not closed"):
        read(path)
