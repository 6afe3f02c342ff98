"""The kernel's emulator: its arguments, its counts, and whether it is there."""

from __future__ import annotations

import contextlib
import re

from voicefleet.contract.errors import MissingPartError
from voicefleet.netlab import namespaces
from voicefleet.netlab.channel import Counts
from voicefleet.netlab.conditions import Conditions

_SENT = re.compile(r"Sent (\d+) bytes (\d+) pkts? \(dropped (\d+)")


def there() -> bool:
    """Whether this kernel has netem: tried on the loopback of a namespace of our own."""
    name = namespaces.make("probe")
    try:
        with contextlib.suppress(MissingPartError):
            namespaces.tc("-n", name, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
            return True
        return False
    finally:
        namespaces.remove(name)


def arguments(c: Conditions) -> list[str]:
    """`tc`'s words for the conditions, from the name of the qdisc on."""
    words = ["netem", "limit", str(c.queue), "delay", f"{c.delay_ms:g}ms"]
    if c.jitter_ms:
        words.append(f"{c.jitter_ms:g}ms")
    if c.loss and c.burst is None:
        words += ["loss", "random", f"{100 * c.loss:g}%"]
    elif c.loss:
        words += ["loss", "gemodel", *(f"{100 * share:g}%" for share in (c.to_bad, c.to_good, c.bad_loss)), "0%"]
    if c.reorder:
        words += ["reorder", f"{100 * c.reorder:g}%"]
    if c.duplicate:
        words += ["duplicate", f"{100 * c.duplicate:g}%"]
    if c.rate_kbps is not None:
        words += ["rate", f"{c.rate_kbps:g}kbit"]
    return words


def counts(listing: str) -> Counts:
    """What `tc -s qdisc show` says. Chance and a full queue are one figure to netem; it stands under `lost`."""
    match = _SENT.search(listing)
    if match is None:
        return Counts()
    sent_bytes, sent, dropped = (int(text) for text in match.groups())
    return Counts(
        offered=sent + dropped, offered_bytes=sent_bytes, lost=dropped, delivered=sent, delivered_bytes=sent_bytes
    )


def since(base: Counts, now: Counts) -> Counts:
    """What happened from `base` to `now`."""
    return Counts(
        offered=now.offered - base.offered,
        offered_bytes=now.offered_bytes - base.offered_bytes,
        lost=now.lost - base.lost,
        delivered=now.delivered - base.delivered,
        delivered_bytes=now.delivered_bytes - base.delivered_bytes,
    )
