"""The API keys' part of the settings file: a list in an environment variable, or a file of hashed secrets."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from voicefleet.contract.errors import ConfigError
from voicefleet.controller.http.auth.attempts import Network
from voicefleet.controller.http.auth.key_file import read_key_file
from voicefleet.controller.http.auth.keys import KeyRing, keys_in_list
from voicefleet.controller.settings.schema import SettingsFile


def key_ring(file: SettingsFile, variable: Callable[[str, str], str]) -> KeyRing:
    """The keys that the settings name; none where `auth` is none.

    Args:
        variable: the value of an environment variable, and the field that names it for messages.

    Raises:
        ConfigError: none are named, or they are not right.
    """
    named = {"api_keys_env": file.api_keys_env, "api_keys_file": file.api_keys_file}
    given = {field: value for field, value in named.items() if value is not None}
    if file.auth == "none":
        for field, value in given.items():
            raise ConfigError(
                "names keys, but auth is none",
                field=field,
                value=str(value),
                hint="Set auth: bearer, or remove this field.",
            )
        return KeyRing()
    if not given:
        raise ConfigError(
            "is missing, and auth is bearer",
            field="api_keys_env",
            hint='Name a variable that holds "name:secret:ROLES,...", or api_keys_file, or set auth: none (open to '
            "everyone).",
        )
    if len(given) > 1:
        raise ConfigError(
            "give either api_keys_env or api_keys_file", field="api_keys_env", hint="Keep exactly one of the two."
        )
    if file.api_keys_file is not None:
        return read_key_file(file.api_keys_file, file.regions)[0]
    source = file.api_keys_env or ""
    text = variable(source, "api_keys_env")
    return keys_in_list(text, field="api_keys_env", source=source, regions=file.regions)


def proxies(file: SettingsFile) -> tuple[Network, ...]:
    """Whose X-Forwarded-For is believed. Raises `ConfigError` for what is no network."""
    found: list[Network] = []
    for place, text in enumerate(file.trusted_proxies):
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(
                "not a network",
                field=f"trusted_proxies.{place}",
                value=text,
                hint="Give for example 10.0.0.0/8 or 192.0.2.7.",
            ) from error
    return tuple(found)
