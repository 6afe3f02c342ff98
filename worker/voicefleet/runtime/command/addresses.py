"""Addresses given on a command line."""

from __future__ import annotations

from urllib.parse import urlsplit

from voicefleet.contract.errors import ConfigError


def require_address(url: str, schemes: tuple[str, ...], *, field: str, form: str) -> None:
    """Refuse what is no address of one of `schemes`; `form` says what one looks like.

    Raises:
        ConfigError: another scheme, no host, or a port that cannot be.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise ConfigError("not an address", field=field, value=url, hint=f"Give {form}.")
