"""The command line as such: exit codes, one message, and results that have a place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from voicefleet.cli import app
from voicefleet.contract.errors import ConfigError, UnknownStateError, VoicefleetError
from voicefleet.doctor import command as doctor_command
from voicefleet.runtime.command.files import place_for_report, place_for_result

pytestmark = pytest.mark.unit


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["voicefleet", *arguments])
    return app.exit_code()  # not main(): that may end this process at once


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConfigError("is [wrong]", field="--x", value="[bold]", hint="Mend it."), "--x = '[bold]': is [wrong]."),
        (UnknownStateError("nobody knows"), "nobody knows"),
    ],
)
def test_our_errors_are_one_line_and_exit_code_2(
    error: VoicefleetError, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> int:
        raise error

    monkeypatch.setattr(doctor_command, "doctor", fails)
    assert run(monkeypatch, "doctor") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"voicefleet: {says}")
    assert len(err.splitlines()) == 1


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor_command, "doctor", interrupted)
    assert run(monkeypatch, "doctor") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_exit_code_of_the_command_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_command, "doctor", lambda **_: 1)
    assert run(monkeypatch, "doctor") == 1


def test_a_result_needs_a_place_before_the_run(tmp_path: Path) -> None:
    assert place_for_result(None) is None
    assert place_for_result(tmp_path / "new.json") == tmp_path / "new.json"
    for wrong in (tmp_path, tmp_path / "none" / "x.json"):
        with pytest.raises(ConfigError, match="--json"):
            place_for_result(wrong)
        with pytest.raises(ConfigError, match="--report"):
            place_for_report(wrong)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "--traffic", "burst", "--slots", "0"), "--slots = 0: must be above 0"),
        (("simulate", "--traffic", "burst", "--start-p50", "-1"), "--start-p50 = -1.0: must be above 0"),
        (
            ("simulate", "--traffic", "burst", "--policies", "magic"),
            "--policies = 'magic': no such policy. Known: all,",
        ),
        (
            ("simulate", "--traffic", "burst", "--min-workers", "5", "--max-workers", "4"),
            "--min-workers = 5: more than",
        ),
        (("plan", "--trace", "x.csv", "--share", "99.9"), "--share = 99.9: not between 0 and 1"),
    ],
)
def test_bad_options_of_the_simulator_are_named_with_a_way_out(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err


HEAVY = {"aiohttp", "kubernetes", "livekit", "matplotlib", "numpy", "pydantic", "redis", "rich", "structlog", "yaml"}
"""None of them is needed to list commands; together they take seconds to import."""


def test_the_list_of_commands_imports_nothing_heavy() -> None:
    script = "import sys; sys.argv[1:] = ['--help']; from voicefleet.cli import app; code = app.exit_code(); "
    script += "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "  worker " in done.stdout
    assert set(done.stderr.split()) & HEAVY == set()


def test_every_command_is_listed_with_its_whole_first_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    listed = {line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line[2:3].strip()}
    assert listed == {
        *(
            "worker",
            "controller",
            "status",
            "drain",
            "explain",
            "export",
            "keys",
            "redis-acl",
            "simulate",
            "plan",
            "doctor",
        ),
        *(
            "check",
            "demo",
            "dev",
            "call",
            "calls",
            "loadtest",
            "chaos",
            "soak",
            "netlab",
            "transports",
            "tasks",
            "tune",
            "dashboards",
            "endpointing",
        ),
    }
    assert "..." not in text.partition("Commands:")[2]
    assert max(map(len, text.splitlines())) <= 80


def test_every_command_can_be_built(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in app.Root().commands:
        assert run(monkeypatch, name, "--help") == 0, name
        assert f"Usage: voicefleet {name}" in " ".join(capsys.readouterr().out.split())


def test_a_misspelt_command_is_answered_with_one_like_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "dashbords") == 2
    assert "No such command 'dashbords'. Did you mean 'dashboards'?" in capsys.readouterr().err


def test_an_image_without_a_component_lacks_its_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "installed_modules", lambda _: ["worker"])
    assert list(app.Root().commands) == ["worker"]
    assert run(monkeypatch, "demo") == 2
    assert "No such command 'demo'." in capsys.readouterr().err
