"""Addresses of Redis: one server, or Sentinels that know which server is the master."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from voicefleet.contract.errors import ConfigError

SENTINEL = "+sentinel"
_DEFAULT_PORT, _DEFAULT_SENTINEL_PORT = 6379, 26379
_AUTHORITY = "ssl_ca_certs"
_QUERY = frozenset({_AUTHORITY, "sentinel_username", "sentinel_password"})


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """``redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB``; ``rediss+sentinel://`` for TLS everywhere.

    User and password are the servers'; the Sentinels' own stand in the query (``sentinel_username=``,
    ``sentinel_password=``), as does the file with the authority's certificate (``ssl_ca_certs=``).
    """

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)
    query: Mapping[str, str] = field(repr=False)

    @property
    def authority(self) -> str | None:
        """The file with the certificate of the authority that servers are signed by."""
        return self.query.get(_AUTHORITY)


def is_sentinel(url: str) -> bool:
    """Whether `url` names Sentinels."""
    return url.partition("://")[0] in (f"redis{SENTINEL}", f"rediss{SENTINEL}")


def parse_sentinel(url: str) -> SentinelAddress:
    """Take a Sentinel address apart.

    Raises:
        ValueError: it is none; the text says why.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    if not hosts or not master:
        raise ValueError("a Sentinel address needs hosts and the master's name")
    if database and not database.isdigit():
        raise ValueError(f"the database {database} is no number")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := sorted(query.keys() - _QUERY):
        raise ValueError(f"{unknown[0]} is not known in a Sentinel address")
    return SentinelAddress(
        sentinels=tuple(_host(host) for host in hosts.split(",")),
        master=unquote(master),
        database=int(database or 0),
        tls=parts.scheme == f"rediss{SENTINEL}",
        username=unquote(username) or None,
        password=unquote(password) or None,
        query=query,
    )


def _host(text: str) -> tuple[str, int]:
    name, colon, port = text.strip().rpartition(":")
    # The last colon of a bare IPv6 address begins no port.
    if not colon or port.endswith("]"):
        name, port = text.strip(), str(_DEFAULT_SENTINEL_PORT)
    if not name or not port.isdigit():
        raise ValueError(f"{text!r} is not HOST:PORT")
    return name.strip("[]"), int(port)


def with_authority(url: str, authority: str, *, field: str) -> str:
    """`url` with the file of the authority's certificate in it; `url` itself when `authority` is empty.

    Raises:
        ConfigError: the file cannot be read, or the address is not one of TLS.
    """
    if not authority:
        return url
    if not url.startswith("rediss"):
        raise ConfigError(
            "is of no use, since Redis' address is not one of TLS",
            field=field,
            value=authority,
            hint="Give a rediss:// address, or leave it out.",
        )
    if not Path(authority).is_file():
        raise ConfigError("no such file", field=field, value=authority, hint="Give the authority's certificate, PEM.")
    return f"{url}{'&' if urlsplit(url).query else '?'}{_AUTHORITY}={quote(authority, safe='/')}"


def has_secret(url: str) -> bool:
    """Whether a password stands in it."""
    parts = urlsplit(url)
    return bool(parts.password) or any(name in parse_qs(parts.query) for name in ("password", "sentinel_password"))


def shown_address(url: str) -> str:
    """`url` without its secrets, for messages."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    if not is_sentinel(url):
        hosts = f"{parts.hostname or ''}:{parts.port or _DEFAULT_PORT}"
    return f"{parts.scheme}://{hosts}{parts.path}"
