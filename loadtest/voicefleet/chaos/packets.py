"""Drops packets by rules in the kernel's packet filter.

The rules stand in chains of this process, and match loopback only; those of a process that was killed are removed by
the next one. A worker's packets are known by its group id (see `launcher`): its connections are marked as it sends, and
the mark finds both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack.find import find_iptables

_CHAIN = "VOICEFLEET-"
"""And the process id."""


class PacketFilter:
    """Our chains in the packet filter. `open_filter` makes and removes them.

    Raises:
        MissingPartError: a rule was refused.
    """

    def __init__(self, chain: str = "") -> None:
        self._chain = chain or f"{_CHAIN}{os.getpid()}"
        self._jumps = (("filter", "INPUT", "-i"), ("filter", "OUTPUT", "-o"), ("mangle", "OUTPUT", "-o"))

    async def open(self) -> None:
        for chain in left_behind(await _iptables("-S"), is_alive=lambda pid: Path(f"/proc/{pid}").exists()):
            await PacketFilter(chain).close()
        for table in ("filter", "mangle"):
            await _iptables("-t", table, "-N", self._chain)
        for table, hook, way in self._jumps:
            await _iptables("-t", table, "-I", hook, "1", way, "lo", "-j", self._chain)

    async def close(self) -> None:
        """Remove every rule of ours, whatever is there of them."""
        for table, hook, way in self._jumps:
            await _try("-t", table, "-D", hook, way, "lo", "-j", self._chain)
        for table in ("filter", "mangle"):
            await _try("-t", table, "-F", self._chain)
            await _try("-t", table, "-X", self._chain)

    async def dropped(self) -> int:
        """Packets dropped since the rules were made; asked before `heal`."""
        return dropped(await _iptables("-nvxL", self._chain))

    async def heal(self) -> None:
        """Let every packet pass again."""
        for table in ("filter", "mangle"):
            await _try("-t", table, "-F", self._chain)

    async def cut_off(self, gid: int, *, tcp: Sequence[int] = (), udp: Sequence[int] = ()) -> None:
        """Drop what the processes of group `gid` and the servers on these ports send each other."""
        mark = ("-m", "connmark", "--mark", str(gid))
        for protocol, ports in (("tcp", tcp), ("udp", udp)):
            for port in ports:
                for side in ("--dport", "--sport"):
                    await _iptables("-A", self._chain, *mark, "-p", protocol, side, str(port), "-j", "DROP")
        owner = ("-m", "owner", "--gid-owner", str(gid))
        await _iptables("-t", "mangle", "-A", self._chain, *owner, "-j", "CONNMARK", "--set-mark", str(gid))

    async def lose(self, udp_port: int, ratio: float, *, sides: Sequence[str] = ("--dport", "--sport")) -> None:
        """Drop that share of the packets to and from a UDP port, at random; of one of the `sides` alone."""
        chance = ("-m", "statistic", "--mode", "random", "--probability", f"{ratio:.4f}")
        for side in sides:
            # On the way in only: a packet on loopback passes this chain on its way out too.
            await _iptables("-A", self._chain, "-i", "lo", "-p", "udp", side, str(udp_port), *chance, "-j", "DROP")


@contextlib.asynccontextmanager
async def open_filter() -> AsyncIterator[PacketFilter]:
    """Our chains, for the block."""
    rules = PacketFilter()
    try:
        await rules.open()
        yield rules
    finally:
        await rules.close()


def left_behind(listing: str, *, is_alive: Callable[[int], bool]) -> tuple[str, ...]:
    """Our chains in an `iptables -S` listing whose process is gone. Pure."""
    pids = re.findall(rf"(?m)^-N {_CHAIN}(\d+)$", listing)
    return tuple(f"{_CHAIN}{pid}" for pid in pids if not is_alive(int(pid)))


def dropped(listing: str) -> int:
    """Packets that the DROP rules of an `iptables -nvxL` listing took."""
    rows = [line.split() for line in listing.splitlines()]
    return sum(int(row[0]) for row in rows if len(row) > 2 and row[2] == "DROP")


async def _iptables(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        find_iptables().path, "-w", "5", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    listing, said = await process.communicate()
    if process.returncode != 0:
        raise MissingPartError(
            f"refused: {said.decode(errors='replace').strip()}",
            field="iptables",
            value=" ".join(arguments),
            hint="Run as root on a kernel with the owner, connmark and statistic matches.",
        )
    return listing.decode(errors="replace")


async def _try(*arguments: str) -> None:
    with contextlib.suppress(MissingPartError):
        await _iptables(*arguments)
