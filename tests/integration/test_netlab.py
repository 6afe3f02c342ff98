"""The emulated link against its own settings: real packets between two real namespaces, timed and counted."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.netlab import namespaces
from voicefleet.netlab.conditions import Conditions
from voicefleet.netlab.lab import Lab, open_lab
from voicefleet.netlab.link import Link
from voicefleet.runtime.supervisor.guard import start_time
from voicefleet.runtime.supervisor.settings import environment

pytestmark = pytest.mark.integration

P = ParamSpec("P")
PORT = 7000
ATTEMPTS = 6
SAFE_Z = 4.0
"""Standard deviations that a count may be off: one test in 16,000 fails by chance."""


@dataclass
class Bench:
    """A lab with one link and a UDP socket at each end."""

    lab: Lab
    link: Link
    near: socket.socket
    far: socket.socket

    def send(self, count: int, *, every_s: float, size: int = 200) -> dict[int, list[float]]:
        """Send numbered packets from near to far, evenly; the delays of what arrives, by number. What an earlier call
        saw is forgotten."""
        self.order.clear()
        self.arrivals_s.clear()
        self.link.readings(reset=True)
        arrived: dict[int, list[float]] = {}
        start_s = time.monotonic() + 0.01
        sent = 0
        quiet_until_s = start_s + count * every_s + 0.3
        while (now_s := time.monotonic()) < quiet_until_s:
            if sent < count and now_s >= start_s + sent * every_s:
                head = struct.pack("!Id", sent, time.monotonic())
                self.near.sendto(head.ljust(size, b"\0"), (self.link.far_address, PORT))
                sent += 1
                continue
            due_s = start_s + sent * every_s if sent < count else quiet_until_s
            self.far.settimeout(max(1e-4, due_s - now_s))
            try:
                data = self.far.recv(2000)
            except TimeoutError:
                continue
            number, at_s = struct.unpack_from("!Id", data)
            self.arrivals_s.append(time.monotonic())
            quiet_until_s = max(quiet_until_s, self.arrivals_s[-1] + 0.3)
            arrived.setdefault(number, []).append(self.arrivals_s[-1] - at_s)
            self.order.append(number)
        return arrived

    def __post_init__(self) -> None:
        self.order: list[int] = []
        self.arrivals_s: list[float] = []


def udp(host: str, address: str) -> socket.socket:
    def make() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    made = namespaces.within(host, make)
    made.bind((address, PORT))
    return made


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    try:
        with open_lab("tun") as made:
            yield made
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def bench(lab: Lab) -> Iterator[Bench]:
    link = lab.connect("near", "far", Conditions())
    near, far = udp(lab.host("near"), link.near_address), udp(lab.host("far"), link.far_address)
    with near, far:
        yield Bench(lab, link, near, far)


def undisturbed(test: Callable[P, None]) -> Callable[P, None]:
    """A test of times that passes if one of its attempts does. A machine that stalls makes packets late, now and then;
    a link that is wrong is wrong in every attempt."""

    @functools.wraps(test)
    def attempts(*args: P.args, **kwargs: P.kwargs) -> None:
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(AssertionError):
                test(*args, **kwargs)
                return
        test(*args, **kwargs)

    return attempts


def off_by(count: int, trials: int, share: float) -> float:
    """How many standard deviations a binomial count is from its mean."""
    return float(abs(count - trials * share) / (trials * share * (1 - share)) ** 0.5)


@pytest.mark.parametrize("delay_ms", [10, 50])
@undisturbed
def test_delay_is_as_set_to_a_millisecond(bench: Bench, delay_ms: float) -> None:
    bench.link.configure(Conditions(delay_ms=delay_ms))
    delays = sorted(d for all_of_one in bench.send(300, every_s=0.002).values() for d in all_of_one)
    assert len(delays) == 300
    median_ms = delays[150] * 1000
    assert delay_ms <= median_ms < delay_ms + 1
    readings = bench.link.readings()
    assert readings.error_p50_ms is not None
    assert readings.error_p50_ms < 1
    assert readings.up.offered == readings.up.delivered == 300


@undisturbed
def test_jitter_spreads_the_delay_evenly_around_itself(bench: Bench) -> None:
    bench.link.configure(Conditions(delay_ms=30, jitter_ms=10), seed=1)
    delays_ms = [1000 * d[0] for d in bench.send(600, every_s=0.001).values()]
    mean_ms = sum(delays_ms) / len(delays_ms)
    deviation_ms = (sum((d - mean_ms) ** 2 for d in delays_ms) / len(delays_ms)) ** 0.5
    assert mean_ms == pytest.approx(30, abs=1.5)
    assert deviation_ms == pytest.approx(10 / 3**0.5, rel=0.15)
    assert bench.order != sorted(bench.order), "jitter beyond the spacing makes packets overtake"


def test_loss_lies_in_its_binomial_interval_and_is_what_was_counted(bench: Bench) -> None:
    bench.link.configure(Conditions(delay_ms=1, loss=0.1), seed=2)
    arrived = bench.send(2000, every_s=0.0005, size=50)
    up = bench.link.readings().up
    assert (up.offered, up.lost) == (2000, 2000 - len(arrived))
    assert off_by(up.lost, 2000, 0.1) < SAFE_Z


def test_bursty_loss_has_the_share_and_the_length_that_were_asked_for(bench: Bench) -> None:
    bench.link.configure(Conditions(delay_ms=1, loss=0.1, burst=4), seed=3)
    arrived = bench.send(4000, every_s=0.0003, size=50)
    lost = [number not in arrived for number in range(4000)]
    bursts = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    # Bursts make the count vary more: its variance is about (2 * 4 - 1) times the binomial one.
    assert off_by(sum(lost), 4000, 0.1) < SAFE_Z * 7**0.5
    assert sum(lost) / bursts == pytest.approx(4, rel=0.35)


def test_reordering_and_duplication_are_as_frequent_as_asked(bench: Bench) -> None:
    bench.link.configure(Conditions(delay_ms=20, reorder=0.2, duplicate=0.1), seed=4)
    arrived = bench.send(1000, every_s=0.001)
    up = bench.link.readings().up
    assert off_by(up.reordered, 1000 + up.duplicated, 0.2) < SAFE_Z
    assert off_by(up.duplicated, 1000, 0.1) < SAFE_Z
    assert sum(len(d) for d in arrived.values()) == 1000 + up.duplicated
    assert min(d for all_of_one in arrived.values() for d in all_of_one) < 0.002, "some skip the delay"


@pytest.mark.parametrize("rate_kbps", [200, 2000])
@undisturbed
def test_rate_is_kept_to_three_percent_and_the_queue_overflows(bench: Bench, rate_kbps: float) -> None:
    bench.link.configure(Conditions(delay_ms=5, rate_kbps=rate_kbps, queue=20))
    size = 1000
    every_s = (size + 28) * 8 / (rate_kbps * 1000) / 2  # twice what fits
    count = int(2.0 / every_s)
    arrived = bench.send(count, every_s=every_s, size=size)
    up = bench.link.readings().up
    # The line is busy from the first arrival to the last.
    span_s = bench.arrivals_s[-1] - bench.arrivals_s[0]
    through_kbps = (len(bench.arrivals_s) - 1) * (size + 28) * 8 / 1000 / span_s
    assert through_kbps == pytest.approx(rate_kbps, rel=0.03)
    assert up.overflow > 0
    assert len(arrived) <= count - up.overflow


@undisturbed
def test_the_kernels_tcp_runs_over_it(bench: Bench) -> None:
    bench.link.configure(Conditions(delay_ms=25))
    server = namespaces.within(bench.lab.host("far"), socket.socket)
    client = namespaces.within(bench.lab.host("near"), socket.socket)
    with server, client:
        server.bind((bench.link.far_address, PORT))
        server.listen()
        began_s = time.monotonic()
        client.connect((bench.link.far_address, PORT))
        # 20 ms is the least that a wrong direction, or none, would be off by.
        assert 0.050 <= time.monotonic() - began_s < 0.070
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x" * 100_000)
            got = 0
            accepted.settimeout(5)
            while got < 100_000:
                got += len(accepted.recv(65536))
        assert got == 100_000


def test_a_host_may_have_links_to_several_others(lab: Lab) -> None:
    first = lab.connect("middle", "east", Conditions(delay_ms=5))
    second = lab.connect("middle", "west", Conditions(delay_ms=15))
    for link, host, least_s in ((first, "east", 0.005), (second, "west", 0.015)):
        with udp(lab.host(host), link.far_address) as there, udp(lab.host("middle"), link.near_address) as here:
            began_s = time.monotonic()
            here.sendto(b"hello", (link.far_address, PORT))
            there.settimeout(2)
            assert there.recv(100) == b"hello"
            assert time.monotonic() - began_s >= least_s


def test_what_a_killed_run_left_is_cleared_by_the_next() -> None:
    """kill -9 of the owner: its command and its namespaces stay until another run starts, and no longer."""
    if os.geteuid() != 0:
        pytest.skip("only root can make namespaces")
    program = (
        "import subprocess, sys, time\n"
        "from voicefleet.netlab.lab import open_lab\n"
        "from voicefleet.netlab.conditions import Conditions\n"
        "with open_lab('tun') as lab:\n"
        "    link = lab.connect('near', 'far', Conditions())\n"
        "    left = subprocess.Popen(lab.inside('near', ['sleep', '600']))\n"
        "    print(lab.host('near'), flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    name = owner.stdout.readline().strip()
    deadline = time.monotonic() + 5
    while not (stranded := namespaces.pids(name)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stranded
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert (Path("/run/netns") / name).exists()
    with open_lab("tun"):
        assert not (Path("/run/netns") / name).exists()
    assert [pid for pid in stranded if start_time(pid) is not None] == []
