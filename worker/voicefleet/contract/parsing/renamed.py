"""Public names that were renamed: the one table by which an old name in a file or in the environment is refused.

There are no aliases. When a field of a settings file, of a tiers file or of the environment is renamed, its old name is
added here. Values of the Helm chart have a table of their own: ``helm/voicefleet/renamed.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voicefleet.contract.errors import ConfigError

SETTINGS_FILE: Mapping[str, str] = {
    "regions.*.hold_message": "regions.*.waiting_message",
    "regions.*.pool.hold_s": "regions.*.pool.scale_down_delay_s",
}
"""Old path of a field in the controller's settings file -> its new one. `*` stands for any one step (a region)."""

TIERS_FILE: Mapping[str, str] = {}
"""The same of a tiers file."""

ENVIRONMENT: Mapping[str, str] = {
    "VOICEFLEET_MEMORY": "VOICEFLEET_TRANSCRIPT",
    "VOICEFLEET_MEMORY_TTL_S": "VOICEFLEET_TRANSCRIPT_TTL_S",
    "VOICEFLEET_MEMORY_MAX_BYTES": "VOICEFLEET_TRANSCRIPT_MAX_BYTES",
    "VOICEFLEET_MEMORY_KEY": "VOICEFLEET_TRANSCRIPT_KEY",
    "VOICEFLEET_MEMORY_PLAINTEXT": "VOICEFLEET_TRANSCRIPT_PLAINTEXT",
}
"""Old name of an environment variable -> its new one, of the worker and of the controller."""


def new_name(path: Sequence[str], renamed: Mapping[str, str]) -> str | None:
    """The new path, with dots, of the field at `path`; None: it was not renamed."""
    for old, new in renamed.items():
        steps = old.split(".")
        if len(steps) == len(path) and all(step in ("*", given) for step, given in zip(steps, path, strict=True)):
            wild = iter([given for step, given in zip(steps, path, strict=True) if step == "*"])
            return ".".join(next(wild) if step == "*" else step for step in new.split("."))
    return None


def refuse_old_variables(environment: Mapping[str, str], renamed: Mapping[str, str] = ENVIRONMENT) -> None:
    """Refuse an environment with an old name in it.

    Raises:
        ConfigError: it names the variable and its new name, never its value.
    """
    for old, new in renamed.items():
        if old in environment:
            raise ConfigError("this environment variable was renamed", field=old, hint=f"Write {new} instead.")
