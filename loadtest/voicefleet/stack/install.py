"""Put in place what a target needs: `python -m voicefleet.stack.install [--quiet] [TARGET]` (part of `make setup`).

Nothing is done twice, and nothing that the target does not use is installed. No service is left behind (see `debian`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from voicefleet.contract.errors import MissingPartError, UsageError
from voicefleet.stack.caller_build import install_caller
from voicefleet.stack.debian import provide
from voicefleet.stack.find import (
    Found,
    find_alertmanager,
    find_chromium,
    find_faketime,
    find_flite,
    find_iptables,
    find_prometheus,
    find_redis_server,
    find_turnserver,
)
from voicefleet.stack.livekit_install import install_livekit_server

Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Install a target's parts, one line each (`--quiet`: only what changed or is missing).

    Returns:
        0, 1 when a part is missing, 2 when there is no such target.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    quiet = "--quiet" in arguments
    targets = [argument for argument in arguments if argument != "--quiet"] or ["setup"]
    try:
        needed = [part for target in targets for part in parts_of(target)]
    except UsageError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    missing = 0
    for name in dict.fromkeys(needed):
        try:
            found = PARTS[name](_say)
        except UsageError as error:
            if name not in OPTIONAL:
                missing += 1
                print(error, file=sys.stderr, flush=True)
            elif not quiet:
                _say(f"{name}: not there; only {OPTIONAL[name]} needs it. {error.hint}")
            continue
        if not quiet:
            _say(f"{name}: {found.version}, {found.path} (from {found.how})")
    return 1 if missing else 0


def parts_of(target: str) -> Sequence[str]:
    """The parts that a target of the Makefile runs.

    Raises:
        UsageError: there is no such target.
    """
    if target not in NEEDED:
        raise UsageError("no such target", field="target", value=target, hint=f"Use one of {', '.join(NEEDED)}.")
    return NEEDED[target]


def system_package(package: str, find: Callable[[], Found], say: Say) -> Found:
    """Find a program; if it is not there, get the package of Debian or Ubuntu that has it, as far as we may.

    Raises:
        MissingPartError: it is still not there.
    """
    with contextlib.suppress(MissingPartError):
        return find()
    provide([package], say)
    return find()


def _say(line: str) -> None:
    print(line, flush=True)


PARTS: Mapping[str, Callable[[Say], Found]] = {
    "livekit-server": install_livekit_server,
    "redis-server": lambda say: find_redis_server(),
    "voicefleet-caller": install_caller,
    "flite": partial(system_package, "flite", find_flite),
    "iptables": partial(system_package, "iptables", find_iptables),
    "faketime": partial(system_package, "faketime", find_faketime),
    "prometheus": partial(system_package, "prometheus", find_prometheus),
    "alertmanager": partial(system_package, "prometheus-alertmanager", find_alertmanager),
    "turnserver": partial(system_package, "coturn", find_turnserver),
    "chromium": partial(system_package, "chromium", find_chromium),
}

OPTIONAL: Mapping[str, str] = {
    "voicefleet-caller": "`voicefleet loadtest --engine go`",
    "iptables": "a scenario of `voicefleet chaos`",
    "faketime": "a scenario of `voicefleet chaos`",
    "prometheus": "the test of rules and dashboards, and `voicefleet chaos --alerts`,",
    "alertmanager": "`voicefleet chaos --alerts`",
    "turnserver": "an arm of `voicefleet transports`",
    "chromium": "the test in a browser",
}
"""A part that targets can do without -> what then cannot run."""

_SERVERS = ("livekit-server", "redis-server")

NEEDED: Mapping[str, Sequence[str]] = {
    "setup": tuple(PARTS),
    "test": tuple(PARTS),
    "demo": (*_SERVERS, "flite"),
    "bench": (*_SERVERS, "voicefleet-caller"),
    "examples": _SERVERS,
    "chaos": (*_SERVERS, "iptables", "faketime", "prometheus", "alertmanager"),
    "soak": (*_SERVERS, "iptables", "faketime"),
    "cluster": ("livekit-server",),
    "lint": (),
    "dashboards": (),
    "fmt": (),
    "lock": (),
}
"""Target of the Makefile -> what it runs beside Python packages."""


if __name__ == "__main__":
    sys.exit(main())
