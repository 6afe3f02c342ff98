"""`voicefleet netlab run`: a command on one host of a lab, with another beyond a link of given conditions."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.netlab.conditions import Conditions
from voicefleet.netlab.lab import FAR, NEAR, Lab, choose_backend, open_lab
from voicefleet.netlab.readings import Readings
from voicefleet.reporting.result import write_json

PEER_VARIABLE = "NETLAB_PEER"
ADDRESS_VARIABLE = "NETLAB_ADDRESS"
_SETTLE_S = 5.0


def run(
    command: Sequence[str],
    conditions: Conditions,
    *,
    peer: str | None,
    backend: str,
    congestion: str | None,
    seed: int,
    json_path: Path | None,
    console: Console | None = None,
) -> int:
    """Run `command` on the near host until it ends, and `peer` (a shell-like line) on the far one meanwhile.

    Both find the other's address in NETLAB_PEER and their own in NETLAB_ADDRESS, and ``{peer}`` and ``{address}`` in
    their words stand for them.

    Returns:
        The command's own exit code; 128 + the signal's number if one ended it.

    Raises:
        ConfigError: no command, or words that cannot be read.
        MissingPartError: a program is not there, or we may not make namespaces.
    """
    console = console or Console(stderr=True, highlight=False)
    if not command:
        raise ConfigError("is missing", field="COMMAND", hint="Give it after --, e.g. -- curl http://{peer}:8080/")
    there = _words(peer) if peer is not None else None
    with open_lab(choose_backend(backend)) as lab:
        link = lab.connect(NEAR, FAR, conditions, seed=seed)
        if congestion is not None:
            link.set_congestion(congestion)
        near, far = link.near_address, link.far_address
        with contextlib.ExitStack() as stack:
            if there is not None:
                stack.enter_context(_ended_with_us(_start(lab, FAR, there, own=far, other=near)))
            process = _start(lab, NEAR, command, own=near, other=far)
            with _passing_signals(process):
                code = process.wait()
            readings = link.readings()
    _tell(readings, json_path, console)
    return 128 - code if code < 0 else code


def _start(lab: Lab, role: str, words: Sequence[str], *, own: str, other: str) -> subprocess.Popen[bytes]:
    filled = [word.replace("{peer}", other).replace("{address}", own) for word in words]
    # `env` gives the two variables without our having to read our own environment.
    command = lab.inside(role, ["env", f"{PEER_VARIABLE}={other}", f"{ADDRESS_VARIABLE}={own}", *filled])
    try:
        return subprocess.Popen(command)
    except OSError as error:
        raise MissingPartError(
            f"cannot be started: {error.strerror}", field="COMMAND", value=words[0], hint="Check its name."
        ) from error


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_SETTLE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _passing_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C reaches the command by itself: we stay until it has ended, to clear up. SIGTERM is handed on."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"cannot be read: {error}", field="--peer", value=line, hint="Close its quotes.") from error
    if not words:
        raise ConfigError("is empty", field="--peer", value=line, hint="Give a command, or leave it out.")
    return words


def _tell(readings: Readings, json_path: Path | None, console: Console) -> None:
    write_json(json_path, readings.to_json())
    for way, counts in (("to the peer", readings.up), ("back", readings.down)):
        console.print(
            f"netlab: {way}: {counts.offered} packets, {counts.lost} lost, {counts.overflow} dropped by a full queue, "
            f"{counts.delivered_bytes} bytes delivered"
        )
    if readings.error_p99_ms is not None:
        word = "" if readings.healthy else ": the machine was too busy, do not trust this run"
        console.print(f"netlab: one packet in a hundred left {readings.error_p99_ms:.2f} ms late or later{word}")
