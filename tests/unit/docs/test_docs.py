"""The READMEs: their tables are the models', their links lead somewhere, their commands and examples are valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import api_table
from docs.commands import READMES, TREE, Command, commands
from docs.marked import with_marked
from docs.settings_table import READMES as TABLES
from docs.settings_table import made
from voicefleet.cli.app import Root
from voicefleet.controller.settings.load import load_settings
from voicefleet.loadtest.scenario import Scenario, load_scenario
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit

COMMANDS = list(commands())


@pytest.mark.parametrize("name", TABLES)
def test_a_readme_has_the_table_of_its_settings(name: str) -> None:
    assert made(name) == (TREE / name).read_text(), "run: PYTHONPATH=tests python -m docs.settings_table"


def test_the_readme_documents_a_request_for_a_call_field_by_field() -> None:
    assert api_table.made() == (TREE / api_table.README).read_text(), "run: PYTHONPATH=tests python -m docs.api_table"
    documented = set(re.findall(r"^\| `([\w.]+)` ", api_table.tables(), re.MULTILINE))
    assert {"region", "metadata", "priority", "dial.to", "dial.retry.attempts", "token", "attempt"} <= documented
    without = [line for line in api_table.tables().splitlines() if line.endswith("|  |")]
    assert without == [], "each field says what it is"


@pytest.mark.parametrize("name", READMES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (TREE / name).read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (TREE / name).parent / path if path else TREE / name
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}, target


def test_the_first_page_is_short() -> None:
    assert len((TREE / "README.md").read_text().splitlines()) <= 170


def test_files_of_the_map_are_there() -> None:
    walks = (TREE / "README.md").read_text().partition("\n## The map\n")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w/]+\.(?:py|yaml))`", walks)
    assert len(named) >= 12
    for name in named:
        assert list(TREE.glob(f"*/voicefleet/{name}")) or list(TREE.glob(f"*/voicefleet/*/{name}")), name


def test_each_walk_has_at_most_seven_hops() -> None:
    walks = (TREE / "README.md").read_text().partition("\n## The map\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"(?m)^1\. ", walks)) == 2
    assert not re.findall(r"(?m)^8\. ", walks)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "voicefleet" in c.words], ids=str)
def test_a_command_of_ours_is_taken(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as the command itself does it, with every option's check, but not run."""
    monkeypatch.chdir(tmp_path)
    for word in command.words:
        if word.endswith((".csv", ".yaml")):
            (tmp_path / word.rpartition("=")[2]).touch()
    args = list(command.words[command.words.index("voicefleet") + 1 :])
    current: Any = Root()
    context = None
    while hasattr(current, "resolve_command"):
        context = current.make_context(current.name, args, parent=context)
        args = [*context._protected_args, *context.args]
        if not args:
            return
        _, current, args = current.resolve_command(context, args)
    # A sentence that names a command leaves out what it must be given.
    if args or not any(parameter.required for parameter in current.params):
        current.make_context(current.name, args, parent=context)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "make" in c.words], ids=str)
def test_a_target_of_make_is_there(command: Command) -> None:
    targets = set(re.findall(r"^([a-z]+):", (TREE / "Makefile").read_text(), re.MULTILINE))
    words = [word for word in command.words[command.words.index("make") + 1 :] if "=" not in word]
    assert words
    assert set(words) <= targets, shlex.join(command.words)


def block(name: str, begin: str) -> Any:
    """The indented YAML of a README that begins with these words."""
    text = (TREE / name).read_text()
    match = re.search(rf"^    {re.escape(begin)}.*\n(?:(?:    .*)?\n)*", text, re.MULTILINE)
    assert match, begin
    return "\n".join(line[4:] for line in match[0].splitlines()).split("\n\n")[0]


def test_the_controllers_file_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "controller.yaml"
    file.write_text(block("controller/README.md", "redis_url_env:"))
    names = ("VOICEFLEET_REDIS_URL", "EU_LIVEKIT_SECRET", "US_LIVEKIT_KEY", "US_LIVEKIT_SECRET")
    given = {name: "redis://127.0.0.1:6379" if "URL" in name else "a-secret-of-32-characters-or-more" for name in names}
    settings = load_settings(file, {**given, "VOICEFLEET_API_KEYS": "web:a-secret-of-16-characters:call"})
    assert set(settings.regions) == {"eu", "us"}


def test_the_regions_of_the_controllers_file_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "controller.yaml"
    file.write_text(
        "redis_url: redis://127.0.0.1:6379\napi_keys_env: KEYS\n" + block("controller/README.md", "placement:")
    )
    names = [f"{region}_LIVEKIT_{what}" for region in ("EU", "WEST", "US") for what in ("KEY", "SECRET")]
    given = dict.fromkeys(names, "a-secret-of-32-characters-or-more")
    settings = load_settings(file, {**given, "KEYS": "acme:a-secret-of-16-characters:call"})
    assert settings.placement.table.of_country("BR") == ("us", "eu")
    assert settings.regions["eu"].spill_to == ("eu-west",)


def test_the_callers_of_a_scenario_are_taken() -> None:
    callers = yaml.safe_load(block("loadtest/README.md", "# callers of a scenario"))
    made = Scenario.model_validate({"arrivals": {"rate": 1, "calls": 2}, **callers}).callers
    assert made.hang_up is not None
    assert made.model_fields_set == set(callers["callers"])


@pytest.mark.parametrize("begin", ["jobs:", "loadtest:"])
def test_a_job_of_a_pipeline_runs_a_load_test(begin: str) -> None:
    jobs = yaml.safe_load(block("loadtest/README.md", begin))
    assert "voicefleet loadtest run smoke.yaml" in str(jobs.get("jobs", jobs)["loadtest"])


def test_the_scenario_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "smoke.yaml"
    file.write_text(block("loadtest/README.md", "# smoke.yaml"))
    assert load_scenario(file).arrivals.offsets(1).size > 100


@pytest.mark.parametrize("begin", ["# tiers.yaml", "llm:"])
def test_the_tiers_are_taken(begin: str) -> None:
    given = yaml.safe_load(block("worker/README.md", begin))
    if "tiers" not in given:
        parts = {part: {"plugin": "a.b:C"} for part in ("stt", "llm", "tts")}
        given = {"pipeline": "p", "default": "a", "tiers": {"a": {**parts, **given}}}
    assert TiersFile.model_validate(given).tiers


@pytest.mark.parametrize(("name", "begin"), [("worker/README.md", "# my_pkg/")])
def test_the_agent_is_python_and_makes_an_agent(name: str, begin: str) -> None:
    text = (TREE / name).read_text()
    source = "\n".join(
        line[4:] for line in text.partition(f"    {begin}")[2].partition("\n    voicefleet")[0].splitlines()[1:]
    )
    there: dict[str, Any] = {}
    exec(compile(source, name, "exec"), there)
    assert type(there["create"](None)).__mro__[-2].__name__ in ("Agent", "Generic")


def test_marks_are_needed() -> None:
    assert with_marked("x\n<a>\nold\n<b>\ny", "<a>", "<b>", "new") == "x\n<a>\nnew\n<b>\ny"
    with pytest.raises(ValueError, match="needs the lines"):
        with_marked("x", "<a>", "<b>", "new")


@pytest.mark.parametrize("name", TABLES)
def test_every_setting_says_what_it_is(name: str) -> None:
    settings = TABLES[name]()
    assert len(settings) > 20
    assert [setting.path for setting in settings if not setting.text] == []
