"""The options of `voicefleet transports`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.contract.parsing.listed import listed
from voicefleet.transports.arms import ARMS, Arm, chosen


@dataclass(frozen=True, slots=True)
class LabOptions:
    """One run of the lab.

    Attributes:
        rtts_ms: round trips; losses: shares of packets lost, each way.
        jitters_ms, rates_kbps, reorders: tried besides, by themselves, with the first of the round trips.
        seeds: runs of each cell.
        seconds: how long both ends speak in each.
        tries: runs for which the machine was too busy are run so often at most.
        backend: of the emulator.
        logs: a folder that gets every run's files; None: they go with the run.
    """

    arms: tuple[Arm, ...] = ARMS
    rtts_ms: tuple[float, ...] = (100.0,)
    losses: tuple[float, ...] = (0.0, 0.01, 0.02, 0.05)
    jitters_ms: tuple[float, ...] = (10.0, 30.0)
    rates_kbps: tuple[float, ...] = (48.0, 80.0)
    reorders: tuple[float, ...] = (0.1,)
    seeds: int = 5
    seconds: float = 20.0
    tries: int = 2
    backend: str = "auto"
    logs: Path | None = None

    def __post_init__(self) -> None:
        require_between("seeds", self.seeds, 1, 100)
        require_between("seconds", self.seconds, 4, 600)
        for name, values, low, high in (
            ("rtt", self.rtts_ms, 0, 2000),
            ("loss", self.losses, 0, 0.5),
            ("jitter", self.jitters_ms, 0, 1000),
            ("rate", self.rates_kbps, 8, 1_000_000),
            ("reorder", self.reorders, 0, 1),
        ):
            for value in values:
                require_between(name, value, low, high)
        for name, values in (("rtt", self.rtts_ms), ("loss", self.losses)):
            if not values:
                raise ConfigError("is empty", field=f"--{name}", value="", hint="Give numbers, a,b.")


_QUICK = {
    "losses": (0.0, 0.05),
    "jitters_ms": (30.0,),
    "reorders": (),
    "rates_kbps": (80.0,),
    "seeds": 1,
    "tries": 1,
    "seconds": 6.0,
}


def options_from(
    *,
    arms: str,
    rtt: str | None,
    loss: str | None,
    jitter: str | None,
    rate: str | None,
    reorder: str | None,
    seeds: int | None,
    seconds: float | None,
    quick: bool,
    backend: str,
    logs: Path | None,
) -> LabOptions:
    """What the command line says; the rest as `quick` or the default has it.

    Raises:
        ConfigError: an impossible setting.
    """
    given: dict[str, Any] = {
        "rtts_ms": numbers("rtt", rtt),
        "losses": numbers("loss", loss),
        "jitters_ms": numbers("jitter", jitter),
        "rates_kbps": numbers("rate", rate),
        "reorders": numbers("reorder", reorder),
        "seeds": seeds,
        "seconds": seconds,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return LabOptions(arms=chosen(listed(arms)), backend=backend, logs=logs, **{**(_QUICK if quick else {}), **said})


def numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of an option ``a,b``; None when it is not given.

    Raises:
        ConfigError: one of them is none.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(
            "not numbers with commas between", field=f"--{name}", value=text, hint="Give them as 0,0.05."
        ) from error
