"""Failed attempts to authenticate, limited by address. Pure: takes addresses and `now`, returns seconds to wait.

Only failures are limited. A valid key is let in from an address whose attempts are used up: else anybody behind the
same proxy could lock everybody out. That costs nothing, for secrets of 16 characters are not found by trying; what is
limited is the work and the noise that trying makes.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence

BURST = 10
"""Failures in a row that are answered with 401."""
REFILL_S = 6.0
"""One more may fail after so many seconds."""
ADDRESSES = 4_096
"""So many are remembered; of more, those that failed longest ago are forgotten."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Attempts:
    """A bucket of tokens for each address; bounded in number, in the memory of this replica."""

    def __init__(self) -> None:
        self._empty_until: OrderedDict[str, float] = OrderedDict()

    def failed(self, address: str, now_s: float) -> float | None:
        """Count one failure of `address`. None while it may fail, else the seconds until it may fail once more."""
        who = _neighbourhood(address)
        # The time at which the bucket will be full again says how empty it is.
        full_at_s = max(self._empty_until.get(who, now_s), now_s)
        wait_s = full_at_s + REFILL_S - now_s - BURST * REFILL_S
        if wait_s > 1e-9:
            return wait_s
        self._empty_until[who] = full_at_s + REFILL_S
        self._empty_until.move_to_end(who)
        if len(self._empty_until) > ADDRESSES:
            self._empty_until.popitem(last=False)
        return None

    def __len__(self) -> int:
        return len(self._empty_until)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Who asks: the peer, or, when that is a trusted proxy, the last address in X-Forwarded-For that is none.

    Args:
        forwarded_for: the header's values as they came. What a caller wrote itself stands further to the left.
    """
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    address = peer
    while hops and _in(address, trusted):
        nearer = hops.pop()
        try:
            address = str(ipaddress.ip_address(nearer))
        except ValueError:
            break
    return address


def _in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _neighbourhood(address: str) -> str:
    """An IPv6 address stands for its /64: one machine has all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and not found.ipv4_mapped:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
