"""The API keys that the settings name: a list in an environment variable, or a file of hashed secrets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from voicefleet.contract.parsing.validation import refused
from voicefleet.controller.http.auth.key_file import read_key_file
from voicefleet.controller.http.auth.keys import KeyRing, keys_in_list


def key_ring(
    *,
    auth: Literal["bearer", "none"],
    file: Path | None,
    variable: str | None,
    value: Callable[[str], str],
    regions: Collection[str],
) -> KeyRing:
    """The keys in `file` or in the environment variable `variable`; none where `auth` is none.

    Args:
        value: the value of an environment variable.

    Raises:
        PydanticCustomError: none are named, or they are named twice.
        ConfigError: they are not right.
    """
    given = {name: str(named) for name, named in (("api_keys_env", variable), ("api_keys_file", file)) if named}
    if auth == "none":
        for name, named in given.items():
            hint = "Set auth: bearer, or remove this field."
            raise refused("names keys, but auth is none", field=name, value=named, hint=hint)
        return KeyRing()
    if not given:
        raise refused(
            "is missing, and auth is bearer",
            field="api_keys_env",
            hint='Name a variable that holds "name:secret:ROLES,...", or api_keys_file, or set auth: none (open to '
            "everyone).",
        )
    if len(given) > 1:
        raise refused(
            "give either api_keys_env or api_keys_file", field="api_keys_env", hint="Keep exactly one of the two."
        )
    if file is not None:
        return read_key_file(file, regions)[0]
    name = variable or ""
    return keys_in_list(value(name), field="api_keys_env", source=name, regions=regions)
