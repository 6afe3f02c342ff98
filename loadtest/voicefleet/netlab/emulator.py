"""The process between two TUN devices: `python -m voicefleet.netlab.emulator FD_NEAR FD_FAR`.

It does nothing else, in one thread, with real-time priority where it may and without garbage collection, so that a
packet leaves when it is due. Orders come as lines of JSON on stdin and are answered on stdout; it ends with its stdin,
so it cannot outlive whoever started it, and the devices go with it.

    {"do": "configure", "up": {...}, "down": {...}, "seed": 1}     {"do": "read", "reset": true}
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import sys
import time
from dataclasses import asdict
from random import Random
from typing import Any

from voicefleet.netlab.channel import Channel, Counts
from voicefleet.netlab.conditions import MTU, Conditions
from voicefleet.netlab.lateness import Lateness
from voicefleet.netlab.realtime import become_realtime

PRIORITY = 50
_AT_ONCE = 64
"""Packets read from one device before the other is looked at again."""
_FOREVER_S = 3600.0


class Emulator:
    """Two channels between two devices: `up` from the near one to the far one, `down` back."""

    def __init__(self, near: int, far: int) -> None:
        self._devices = (near, far)
        self._channels = (Channel(Conditions(), Random(0)), Channel(Conditions(), Random(1)))
        self._late = Lateness()
        self._realtime = become_realtime(PRIORITY)
        self._orders = b""

    def run(self) -> None:
        """Until stdin ends."""
        near, far = self._devices
        up, down = self._channels
        while True:
            now_s = time.monotonic()
            soonest_s = min((c.next_s for c in self._channels if c.next_s is not None), default=now_s + _FOREVER_S)
            # select, not epoll: its timeout has microseconds, not milliseconds.
            readable, _, _ = select.select([near, far, 0], [], [], max(0.0, soonest_s - now_s))
            if near in readable:
                self._take(near, up)
            if far in readable:
                self._take(far, down)
            self._deliver(up, far)
            self._deliver(down, near)
            if 0 in readable and not self._obey():
                return

    def _take(self, device: int, channel: Channel) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                packet = os.read(device, MTU + 100)
                channel.offer(packet, time.monotonic())

    def _deliver(self, channel: Channel, device: int) -> None:
        for due_s, packet in channel.due(time.monotonic()):
            # A device that takes nothing (its namespace is going away) is a host that is down.
            with contextlib.suppress(OSError):
                os.write(device, packet)
            self._late.add(time.monotonic() - due_s)

    def _obey(self) -> bool:
        data = os.read(0, 65536)
        if not data:
            return False
        *lines, self._orders = (self._orders + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            answer = self._configure(order) if order["do"] == "configure" else self._read(order)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        return True

    def _configure(self, order: dict[str, Any]) -> dict[str, Any]:
        for number, name in enumerate(("up", "down")):
            self._channels[number].configure(Conditions(**order[name]), Random(2 * order["seed"] + number))
        return {}

    def _read(self, order: dict[str, Any]) -> dict[str, Any]:
        up, down = (asdict(channel.counts) for channel in self._channels)
        answer = {"up": up, "down": down, "error": self._late.to_json(), "realtime": self._realtime}
        if order["reset"]:
            self._late = Lateness()
            for channel in self._channels:
                channel.counts = Counts()
        return answer


def main(arguments: list[str]) -> None:
    """Serve the two devices whose open descriptors are named."""
    near, far = (int(text) for text in arguments)
    for device in (near, far):
        os.set_blocking(device, False)
    emulator = Emulator(near, far)
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(KeyboardInterrupt):
        emulator.run()


if __name__ == "__main__":
    main(sys.argv[1:])
