"""The file of hashed API keys: its permissions are checked, and it is read again when it changes.

A file that others may read is refused: on a machine it must be ours or root's, and nobody else's to read (mode 0400 or
0600). A Secret mounted by Kubernetes cannot be so: its files belong to root, and a pod that is not root reads them as a
member of its `fsGroup`, for which the kubelet makes them group-readable (0440) whatever `defaultMode` says. That group
is the pod's alone, so there, and only there (root's file, beside the kubelet's ``..data`` link), 0440 will do;
`defaultMode: 0400` with an `fsGroup` gives it. What everybody may read (Kubernetes' default, 0644) is refused there
too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.controller.http.auth.keys import KeyRing, keys_in_file
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger

FIELD = "api_keys_file"
LOOK_EVERY_S = 2.0
_LARGEST = 4_000_000
_KUBELETS_LINK = "..data"

log = get_logger(__name__)
Stamp = tuple[int, int, int]


def read_key_file(path: Path, regions: Collection[str]) -> tuple[KeyRing, Stamp]:
    """The keys in `path`, and what tells this version of it from others.

    Raises:
        ConfigError: it cannot be read, others may read or change it, or something in it is wrong.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError("is not a file", field=FIELD, value=str(path), hint="Give a file.")
            _refuse_if_open(path, status)
            text = file.read(_LARGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError(
            f"cannot be read ({reason})", field=FIELD, value=str(path), hint="Give a file of keys that we may read."
        ) from error
    return keys_in_file(text, field=FIELD, source=str(path), regions=regions), _stamp(status)


def _refuse_if_open(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"belongs to another user ({status.st_uid}), who may change it",
            field=FIELD,
            value=str(path),
            hint="Give it to the user of the controller, or to root.",
        )
    mounted = status.st_uid == 0 and (path.parent / _KUBELETS_LINK).is_symlink() and not mode & 0o022
    if mode & (0o007 if mounted else 0o077):
        raise ConfigError(
            f"others may read it (mode {mode:04o})",
            field=FIELD,
            value=str(path),
            hint="chmod 600 it; for a mounted Secret set defaultMode: 0400, and the pod's fsGroup.",
        )


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_ino, status.st_size


class KeyFile:
    """Keeps the keys of a file up to date. A version that is not right is said in the log, and the keys stay as they
    were: a slip in an editor must not close the fleet.

    Args:
        take: gets each new version's keys.
    """

    def __init__(self, path: Path, regions: Collection[str], clock: Clock, take: Callable[[KeyRing], None]) -> None:
        self._path = path
        self._regions = regions
        self._clock = clock
        self._take = take
        self._seen: Stamp | None = None
        self._trouble = ""

    async def run(self) -> None:
        """Look every `LOOK_EVERY_S` until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Take a new version over, if there is one."""
        try:
            status = self._path.stat()
            if _stamp(status) == self._seen:
                return
            ring, seen = read_key_file(self._path, self._regions)
        except (ConfigError, OSError) as error:
            if str(error) != self._trouble:
                log.error("API keys are not read anew, those before stay", error=error_summary(error))
            self._trouble = str(error)
            return
        if self._seen is not None or self._trouble:
            log.info("API keys read anew", names=[key.name for key in ring.keys])
        self._seen, self._trouble = seen, ""
        self._take(ring)
