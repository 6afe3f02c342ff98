"""`voicefleet keys`: lines for the controller's file of hashed API keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from voicefleet.contract.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="API keys of the controller.")

_LONGEST = 4_096


@app.command(name="hash")
def keys_hash(
    name: Annotated[str, typer.Argument(help="The key's name.")],
    roles: Annotated[str, typer.Option(help="call, read or operate; several joined by +.")],
    regions: Annotated[str, typer.Option(help="eu+us; all of them when left out.")] = "",
    calls: Annotated[int | None, typer.Option(min=0, help="Most calls at once; 0: no bound.")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="Most requests for calls a minute.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the secret from stdin; else one is made.")] = False,
) -> None:
    """Print a line for `api_keys_file`. A secret that is made is shown once, on stderr."""
    # A secret is never an argument: those stand in the shell's history, and in the list of processes.
    import secrets

    from voicefleet.controller.http.auth.keys import KeyLimits, line_of

    secret = _from_stdin() if stdin else secrets.token_urlsafe(32)
    line = line_of(name, secret, roles, regions, KeyLimits(calls, requests))
    if not stdin:
        print(f"Secret of {name}, shown this once:\n{secret}", file=sys.stderr)
    print(line)


def _from_stdin() -> str:
    try:
        return sys.stdin.read(_LONGEST).strip()
    except UnicodeDecodeError as error:
        raise ConfigError("not text", field="--stdin", hint="Give the secret alone.") from error
