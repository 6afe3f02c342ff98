"""Removes secrets from the last log lines of a worker that ended: every reader of the API is shown them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

HIDDEN = "[hidden]"
_LEAST = 6
"""A shorter value is no secret worth the name, and would be hidden in every other word."""
_NAMES = re.compile(r"key|secret|token|passw|credential|authorization|dsn", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s/@]+)@")
_PATTERNS = (
    # user:password@host in an address
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(bearer|basic|token)(\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1\2{HIDDEN}"),
    # name=value and "name": "value", where the name tells
    (
        re.compile(
            r"([\w.-]*(?:key|secret|token|passw(?:or)?d|credentials?|authorization)[\w.-]*[\"']?\s*[:=]\s*[\"']?)"
            r"(?!\[hidden\])[^\s\"',;|}\])]{6,}",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # JWTs, and the keys of providers
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|ghp|gho|glpat|AKIA|AIza)[-_]?[A-Za-z0-9_-]{12,}"), HIDDEN),
)


def secrets_in(environment: Mapping[str, str]) -> frozenset[str]:
    """The values of variables whose names tell that they are secret, and the passwords in addresses."""
    named = {value for name, value in environment.items() if _NAMES.search(name)}
    found = {unquote(match[1]) for value in environment.values() if (match := _PASSWORD.search(value))}
    return frozenset(value for value in named | found if len(value) >= _LEAST)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without `secrets`, and without what looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
