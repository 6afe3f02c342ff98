"""`voicefleet keys`: lines for the controller's file of hashed API keys."""

from __future__ import annotations

import secrets
import sys

from voicefleet.contract.errors import ConfigError
from voicefleet.controller.http.auth.keys import line_of

_LONGEST = 4_096


def hash_key(name: str, *, roles: str, regions: str, stdin: bool) -> int:
    """Print the line for `name` on stdout. A secret that is made here is shown once, on stderr.

    A secret is never an argument: those stand in the shell's history, and in the list of processes.

    Raises:
        ConfigError: a name, role or region that none can have, or a secret that can be guessed.
    """
    secret = _given() if stdin else secrets.token_urlsafe(32)
    line = line_of(name, secret, roles, regions)
    if not stdin:
        print(f"Secret of {name}, shown this once:\n{secret}", file=sys.stderr)
    print(line)
    return 0


def _given() -> str:
    try:
        return sys.stdin.read(_LONGEST).strip()
    except UnicodeDecodeError as error:
        raise ConfigError("not text", field="--stdin", hint="Give the secret alone.") from error
