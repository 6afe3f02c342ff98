"""A TUN device in a namespace: the kernel's packets as bytes on a file descriptor.

The device is attached here, not by pyroute2, which makes persistent devices and keeps no descriptor.
"""

from __future__ import annotations

import fcntl
import os
import struct

from voicefleet.contract.errors import MissingPartError
from voicefleet.netlab.conditions import MTU
from voicefleet.netlab.namespaces import set_up_device, within

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_QUEUE = 1000


def open_tun(namespace: str, device: str, address: str, peer: str) -> int:
    """Make `device` in the namespace, up, with `address` and a route to `peer`.

    Returns:
        Its descriptor, which holds whole IP packets. The device goes when the last descriptor of it is closed.

    Raises:
        MissingPartError: the kernel gives none.
    """

    def attach() -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    try:
        descriptor = within(namespace, attach)
    except OSError as error:
        raise MissingPartError(
            f"no TUN device can be made: {error.strerror}",
            field="/dev/net/tun",
            hint="Load the module `tun`, or give the container the device /dev/net/tun and NET_ADMIN.",
        ) from error
    try:
        set_up_device(namespace, device, address, peer, mtu=MTU, txqlen=_QUEUE)
    except MissingPartError:
        os.close(descriptor)
        raise
    return descriptor
