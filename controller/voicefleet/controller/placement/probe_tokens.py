"""Tokens of probes: signed, short-lived, and of one region and one API key. Pure.

They say when a measurement could have begun. A round trip that is longer than its token is old was not measured; one
whose token is old may have been measured elsewhere. Times are of Redis's clock, which all replicas share: whose own
clock is minutes off does no harm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

VALID_S = 60.0
"""A token is good for so long."""

_FORM = re.compile(r"^v1\.([a-z0-9-]{1,32})\.([0-9]{1,15})\.([A-Za-z0-9_-]{22})$")
_PURPOSE = b"voicefleet probe"


@dataclass(frozen=True, slots=True)
class RoundTripTaken:
    """A measured round trip whose token is genuine."""

    region: str
    ms: float
    issued_ms: int
    """When its token was given, on Redis's clock."""


def signing_key(secret: str) -> bytes:
    """The key for a region's tokens, from the secret of its LiveKit, which every replica has."""
    return hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)


def sign(signing: bytes, region: str, key: str, issued_ms: int) -> str:
    """The token of `region` for the API key of this name."""
    return f"v1.{region}.{issued_ms}.{_code(signing, region, key, issued_ms)}"


def region_in(token: str) -> str:
    """The region that `token` says it is of; empty: it is no token of ours."""
    found = _FORM.match(token)
    return found[1] if found else ""


def verify(signing: bytes, token: str, key: str, ms: float) -> RoundTripTaken | None:
    """What `token`, presented by the API key of this name, stands for; None: it is forged."""
    found = _FORM.match(token)
    if found is None:
        return None
    region, issued_ms = found[1], int(found[2])
    if not hmac.compare_digest(found[3], _code(signing, region, key, issued_ms)):
        return None
    return RoundTripTaken(region, ms, issued_ms)


def _code(signing: bytes, region: str, key: str, issued_ms: int) -> str:
    text = f"{region}\0{issued_ms}\0{key}".encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(hmac.digest(signing, text, hashlib.sha256)[:16]).decode().rstrip("=")
