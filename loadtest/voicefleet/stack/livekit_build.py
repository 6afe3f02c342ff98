"""Build livekit-server with Go, from modules whose checksums are committed in `go/go.sum`.

LiveKit builds it with versions of its own of three WebRTC modules (`replace` lines in its go.mod), which not every
module mirror serves. We build with the published modules they come from. One call is not in those: it belongs to
`enable_warp`, an experimental setting that is off and that none of our servers turns on. It is taken out here, and the
server's log says so should somebody turn the setting on. Everything else is livekit-server as it was published.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from voicefleet.contract.errors import UsageError
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.find import LIVEKIT_PACKAGE

MODULE = Path(__file__).with_name("go")
"""The Go module that names livekit-server's version and, in go.sum, the checksum of each module it is built from."""

CHANGED = "github.com/livekit/livekit-server/pkg/rtc/transport.go"
BEFORE = b"\t\tse.EnableSped(true)\n"
AFTER = b'\t\tparams.Logger.Warnw("enable_warp: this build has no SPED", nil)\n'

Say = Callable[[str], None]

_BUILD_LIMIT_S = 1800.0
_TICK_S = 20.0


def go_build(go: Path, target: Path, say: Say) -> None:
    """Build into a temporary directory beside `target`, then one rename, so it is never half there.

    Raises:
        UsageError: it did not build; a module with another checksum than go.sum's is one reason.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as name:
        folder = Path(name).resolve()
        sums = (MODULE / "go.sum").read_bytes()
        for file in ("go.mod", "go.sum"):
            shutil.copyfile(MODULE / file, folder / file)
        run_go([str(go), "mod", "vendor"], folder, folder / "build.log", "livekit-server", say)
        # Whatever GOFLAGS say, a module that go.sum does not know is none of ours.
        if (folder / "go.sum").read_bytes() != sums:
            raise UsageError(
                "a module has no checksum in the project", field="go.sum", hint="Report it: go.mod and go.sum disagree."
            )
        take_out_sped(folder / "vendor" / CHANGED)
        built = folder / "server"
        command = [str(go), "build", "-mod=vendor", "-o", str(built), LIVEKIT_PACKAGE]
        run_go(command, folder, folder / "build.log", "livekit-server", say)
        built.replace(target)


def take_out_sped(source: Path) -> None:
    """Replace the one call that published WebRTC modules do not have.

    Raises:
        UsageError: it is not there exactly once: another livekit-server than the one this was written for.
    """
    text = source.read_bytes()
    if text.count(BEFORE) != 1:
        raise UsageError(
            "this is not the livekit-server that the build was written for", field=source.name, hint="Report it."
        )
    source.write_bytes(text.replace(BEFORE, AFTER))


def run_go(command: Sequence[str], folder: Path, log: Path, name: str, say: Say) -> None:
    """Run a command of Go in `folder`, with a line of progress now and then about `name`.

    Raises:
        UsageError: it failed; the message has its last lines.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            # No workspace around us counts.
            env={**environment(), "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _wait(process, name, say)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise UsageError(
            f"go {command[1]} exited with {process.returncode}: {_last_lines(log)}",
            field="go build",
            hint="Read its message above.",
        )


def _wait(process: subprocess.Popen[bytes], name: str, say: Say) -> None:
    started = time.monotonic()
    while (elapsed_s := time.monotonic() - started) < _BUILD_LIMIT_S:
        try:
            process.wait(_TICK_S)
        except subprocess.TimeoutExpired:
            say(f"{name}: still building after {elapsed_s + _TICK_S:.0f} s")
        else:
            return


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])
