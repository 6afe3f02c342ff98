"""What the Go program's own tests and Go's vet say, for whom `make test` is all there is."""

from __future__ import annotations

import subprocess

import pytest

from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.caller_program import SOURCES
from voicefleet.stack.find import find_go

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("arguments", [["vet"], ["test", "-count=1"]], ids=" ".join)
def test_the_callers_program(arguments: list[str]) -> None:
    go = find_go()
    if go is None:
        pytest.skip("there is no Go 1.26 here: the callers' program is not built on this machine")
    done = subprocess.run(
        [str(go.path), *arguments, "-mod=readonly", "."],
        cwd=SOURCES,
        env={**environment(), "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_callers_program_is_in_gos_own_format() -> None:
    go = find_go()
    if go is None:
        pytest.skip("there is no Go 1.26 here")
    gofmt = go.path.resolve().with_name("gofmt")
    done = subprocess.run([gofmt, "-l", SOURCES], capture_output=True, text=True, check=True)
    assert done.stdout == ""
