"""Namespaces and links between them, for as long as a block lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.netlab import namespaces, netem
from voicefleet.netlab.conditions import Conditions
from voicefleet.netlab.link import Link, NetemLink, TunLink
from voicefleet.netlab.readings import Backend

NEAR, FAR = "near", "far"


class Lab:
    """Hosts (namespaces) by role, and links. Made by `open_lab`."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._hosts: dict[str, str] = {}
        self._links: list[Link] = []

    def host(self, role: str) -> str:
        """The name of the namespace of `role`, made when first asked for."""
        if role not in self._hosts:
            if not role.isalpha() or not role.islower():
                raise ConfigError("must be lower-case letters", field="role", value=role, hint="Rename it.")
            self._hosts[role] = namespaces.make(role)
        return self._hosts[role]

    def connect(self, near: str, far: str, up: Conditions, down: Conditions | None = None, *, seed: int = 0) -> Link:
        """A link between two hosts, with addresses of its own at both ends.

        Raises:
            MissingPartError: the kernel gives no devices.
        """
        make = NetemLink if self.backend == "netem" else TunLink
        link = make(self.host(near), self.host(far), len(self._links))
        self._links.append(link)
        link.configure(up, down, seed=seed)
        return link

    def inside(self, role: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on the host."""
        return namespaces.inside(self.host(role), command)

    def set_kernel(self, role: str, values: dict[str, str]) -> None:
        """Settings of the host's network stack; see `namespaces.set_kernel`."""
        namespaces.set_kernel(self.host(role), values)

    def close(self) -> None:
        """End what runs on the hosts, and take all away."""
        for name in self._hosts.values():
            namespaces.remove(name)
        for link in self._links:
            link.close()


def choose_backend(wanted: str = "auto") -> Backend:
    """The kernel's netem where it is there, else our own; `wanted` names one of the two instead.

    Raises:
        ConfigError: there is no such backend.
        MissingPartError: we may not make namespaces, or netem was wanted and is not there.
    """
    if wanted not in ("auto", "netem", "tun"):
        raise ConfigError("no such backend", field="--backend", value=wanted, hint="Use auto, netem or tun.")
    namespaces.require_rights()
    if wanted == "tun":
        return "tun"
    if netem.there():
        return "netem"
    if wanted == "netem":
        raise MissingPartError(
            "this kernel has no netem", field="--backend", value=wanted, hint="Load sch_netem, or use --backend tun."
        )
    return "tun"


@contextlib.contextmanager
def open_lab(backend: Backend | None = None) -> Iterator[Lab]:
    """A lab for the block. What a killed run before left behind is cleared away first.

    Raises:
        MissingPartError: see `choose_backend`.
    """
    namespaces.require_rights()
    namespaces.sweep()
    lab = Lab(backend or choose_backend())
    try:
        yield lab
    finally:
        lab.close()
