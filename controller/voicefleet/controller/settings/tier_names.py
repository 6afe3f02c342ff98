"""Whether the workers that the controller starts itself have the tiers that its file names.

Their command says which tiers file they read, and it is on this machine. Of pods nobody knows it here: the chart looks,
and `status` says what workers report.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.validation import closest, refused
from voicefleet.controller.settings.region import RegionSettings

_OPTION, _VARIABLE = "--tiers", "VOICEFLEET_TIERS"


def check_tiers(pools: Mapping[str, RegionSettings]) -> None:
    """Raises what `refused` makes: a pool names a tier that its workers' file has not."""
    for pool in pools.values():
        known = _known(pool)
        wanted = [pool.tier] if isinstance(pool.tier, str) else list(pool.tier or ())
        for name in wanted:
            if known and name not in known:
                close = closest(name, known)
                raise refused(
                    f"is none of the workers' tiers: {', '.join(sorted(known))}",
                    field=f"{pool.path}.tier",
                    value=name,
                    hint=f"Did you mean {close}?" if close else "Name one of them, or add it to their tiers file.",
                )


def _known(pool: RegionSettings) -> Collection[str]:
    """The tiers of the file that the pool's workers read; empty: that is not known, or the workers will say it."""
    if pool.process is None:
        return ()
    file = _option(pool.process.command) or pool.process.env.get(_VARIABLE, "")
    if not file or not Path(file).is_file():
        return ()  # a built-in one, or none: the workers refuse what does not exist
    try:
        said = parse_yaml(Path(file).read_text(encoding="utf-8"), field=file)
    except (OSError, UnicodeDecodeError, ConfigError):
        return ()  # the workers say what is wrong with it, each mistake with its place
    tiers = said.get("tiers") if isinstance(said, dict) else None
    return tiers.keys() if isinstance(tiers, dict) else ()


def _option(command: Sequence[str]) -> str:
    for part, following in zip(command, [*command[1:], ""], strict=True):
        if part == _OPTION:
            return following
        if part.startswith(f"{_OPTION}="):
            return part.removeprefix(f"{_OPTION}=")
    return ""
