"""A link between two namespaces, seen from the process that made it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from typing import Any

from voicefleet.contract.errors import UnknownStateError
from voicefleet.netlab import netem
from voicefleet.netlab.channel import Counts
from voicefleet.netlab.conditions import MTU, Conditions
from voicefleet.netlab.namespaces import routing, set_up_device, tc
from voicefleet.netlab.readings import Readings, from_emulator
from voicefleet.netlab.tun import open_tun

_ANSWER_LIMIT_S = 10.0


class Link(ABC):
    """`up` is from the near end to the far one. Thread-safe.

    Each namespace has a stack of its own, so the `number` of a link, from which its addresses come, need only be one of
    a kind in its lab.
    """

    def __init__(self, near: str, far: str, number: int) -> None:
        self.near_address, self.far_address = f"10.209.{number}.1", f"10.209.{number}.2"
        self._near, self._far = near, far
        self._device = f"vflab{number}"

    def set_congestion(self, algorithm: str) -> None:
        """TCP's congestion control of every connection over this link from now on, at both ends.

        By the route, not by the namespace's default: the kernel lets no namespace but the first choose a default that
        is not allowed to everyone.

        Raises:
            MissingPartError: the kernel has no such algorithm.
        """
        for end, own, other in (
            (self._near, self.near_address, self.far_address),
            (self._far, self.far_address, self.near_address),
        ):
            with routing(end, f"congestion control {algorithm}") as route:
                (index,) = route.link_lookup(ifname=self._device)
                route.route(
                    "replace", dst=f"{other}/32", oif=index, prefsrc=own, scope="link", metrics={"cc_algo": algorithm}
                )

    @abstractmethod
    def configure(self, up: Conditions, down: Conditions | None = None, *, seed: int = 0) -> None:
        """Change the conditions, from now on; the same both ways unless `down` is given."""

    @abstractmethod
    def readings(self, *, reset: bool = False) -> Readings:
        """What happened on it so far.

        Raises:
            UnknownStateError: it does not answer.
        """

    @abstractmethod
    def close(self) -> None:
        """Take it away."""


class TunLink(Link):
    """The emulator process and its two devices."""

    def __init__(self, near: str, far: str, number: int) -> None:
        super().__init__(near, far, number)
        self._lock = threading.Lock()
        ends = [open_tun(near, self._device, self.near_address, self.far_address)]
        try:
            ends.append(open_tun(far, self._device, self.far_address, self.near_address))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "voicefleet.netlab.emulator", *map(str, ends)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=ends,
                # Ctrl-C is for whoever uses the link: it stays until they are done.
                start_new_session=True,
            )
        finally:
            for descriptor in ends:
                os.close(descriptor)

    def configure(self, up: Conditions, down: Conditions | None = None, *, seed: int = 0) -> None:
        self._ask({"do": "configure", "up": up.to_json(), "down": (down or up).to_json(), "seed": seed})

    def readings(self, *, reset: bool = False) -> Readings:
        return from_emulator(self._ask({"do": "read", "reset": reset}))

    def close(self) -> None:
        with self._lock:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            try:
                self._process.wait(_ANSWER_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()
                if not select.select([self._process.stdout], [], [], _ANSWER_LIMIT_S)[0]:
                    raise TimeoutError("no answer")
                answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            except (OSError, ValueError) as error:
                raise UnknownStateError("the emulator of the link has ended, or does not answer") from error
            return answer


class NetemLink(Link):
    """A veth pair with the kernel's netem on both ends. It drops on the way out, and counts what it dropped."""

    def __init__(self, near: str, far: str, number: int) -> None:
        super().__init__(near, far, number)
        self._ends = (near, far)
        with routing(near) as route:
            route.link("add", ifname=self._device, kind="veth", peer={"ifname": self._device, "net_ns_fd": far})
        own = (self.near_address, self.far_address)
        for end, mine, other in zip(self._ends, own, own[::-1], strict=True):
            # Else netem would see many packets of TCP as one, and lose them as one.
            set_up_device(end, self._device, mine, other, mtu=MTU, gso_max_segs=1)
            tc("-n", end, "qdisc", "add", "dev", self._device, "root", "handle", "1:", "netem")
        self._base = (Counts(), Counts())

    def configure(self, up: Conditions, down: Conditions | None = None, *, seed: int = 0) -> None:
        for end, conditions in zip(self._ends, (up, down or up), strict=True):
            tc("-n", end, "qdisc", "change", "dev", self._device, "root", "handle", "1:", *netem.arguments(conditions))

    def readings(self, *, reset: bool = False) -> Readings:
        now = tuple(netem.counts(tc("-n", end, "-s", "qdisc", "show", "dev", self._device)) for end in self._ends)
        up, down = (netem.since(base, counts) for base, counts in zip(self._base, now, strict=True))
        if reset:
            self._base = (now[0], now[1])
        return Readings("netem", up, down)

    def close(self) -> None:
        """The device goes with its namespace."""
