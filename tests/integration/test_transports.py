"""The transport lab at small size: every arm over a real link, with real servers, and the command line around it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.netlab import namespaces
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.transports.analysis import truth
from voicefleet.transports.arms import ARMS, BY_ID, Arm
from voicefleet.transports.options import LabOptions
from voicefleet.transports.report.page import render
from voicefleet.transports.report.result import build
from voicefleet.transports.run import Results, lacking, run_all
from voicefleet.transports.trial import Trial

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

STREAMS = [arm.id for arm in ARMS if arm.streams and not arm.webrtc]
WEBRTC = [arm.id for arm in ARMS if arm.webrtc]
LOSS = 0.05


def require(arms: tuple[Arm, ...]) -> None:
    """Skip where this machine cannot; in CI that is a failure."""
    try:
        namespaces.require_rights()
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(str(error))
    missing = {arm.id: reason for arm in arms if (reason := lacking(arm)) is not None}
    if missing and not environment().get("CI"):
        pytest.skip(f"{missing} Or run `make setup`.")
    assert missing == {}


@pytest.fixture(scope="module")
def results() -> Results:
    """Every arm without loss, and three of them with."""
    require(ARMS)
    made = Results()
    options = LabOptions(
        losses=(0.0,), jitters_ms=(), rates_kbps=(), reorders=(), seeds=1, seconds=4.0, tries=1, backend="tun"
    )
    few = tuple(BY_ID[arm] for arm in ("udp", "tcp-cubic", "webrtc-udp"))
    said: list[str] = []

    async def run() -> None:
        for asked in (options, replace(options, arms=few, losses=(LOSS,))):
            await run_all(asked, "tun", said.append, made)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(run())
    assert made.not_run == [], said
    return made


def find(results: Results, arm: str, loss: float = 0.0) -> Trial:
    return next(t for t in results.trials if t.cell.arm.id == arm and t.cell.loss == loss)


@pytest.mark.parametrize("arm", STREAMS)
def test_streams_without_loss_bring_every_frame_in_the_network_s_own_time(results: Results, arm: str) -> None:
    trial = find(results, arm)
    for ear in trial.ears:
        assert ear.lost_ratio == 0
        # 50 ms one way and the frame's own 20; what comes on top is the machine's.
        assert 70 <= float(np.median(ear.delay_ms)) < 80
    assert trial.bytes_per_s > 50 * 652


def test_what_is_heard_of_plain_frames_is_what_was_said(results: Results) -> None:
    for arm in STREAMS:
        for ear in find(results, arm).ears:
            assert np.array_equal(ear.pcm.reshape(-1), ear.said)


def test_a_post_per_frame_queues_on_one_connection_and_pays_a_handshake_on_many(results: Results) -> None:
    serial, fresh = find(results, "http-post-keepalive").agent, find(results, "http-post-new").agent
    known = serial.delay_ms[~np.isnan(serial.delay_ms)]
    assert known[-1] > known[0] + 1000, "it grows as long as somebody speaks"
    # The handshake is a round trip more than a stream.
    assert 170 <= float(np.nanmedian(fresh.delay_ms)) < 190


@pytest.mark.parametrize("arm", WEBRTC)
def test_webrtc_is_heard_on_every_path(results: Results, arm: str) -> None:
    trial = find(results, arm)
    for ear in trial.ears:
        known = ear.delay_ms[~np.isnan(ear.delay_ms)]
        assert known.size > 0.9 * ear.delay_ms.size, "the speech was recognised in what was heard"
        # 50 ms one way, a frame, the codec and a jitter buffer; a busy machine makes that grow.
        assert 80 < float(np.median(known)) < 250
    assert trial.connect_ms is not None
    assert trial.connect_ms > 100, "no connection is made without a round trip"


def test_udp_loses_what_the_emulator_dropped_and_is_never_late_for_it(results: Results) -> None:
    trial = find(results, "udp", LOSS)
    counts = trial.readings[-1][1]
    missing = sum(int(np.isnan(ear.delay_ms).sum()) for ear in trial.ears)
    # One or two of the dropped packets may have been greetings.
    assert 0 <= counts.up.lost + counts.down.lost - missing <= 2
    assert missing > 0
    assert float(np.nanmedian(trial.agent.delay_ms)) < 80


def test_tcp_loses_nothing_and_makes_frames_wait_instead(results: Results) -> None:
    trial = find(results, "tcp-cubic", LOSS)
    delays = np.concatenate([ear.delay_ms for ear in trial.ears])
    assert not np.any(np.isnan(delays))
    assert trial.retransmits > 0
    assert np.mean(delays > 130) > LOSS, "each loss holds up several frames"


def test_webrtc_measures_the_network_as_it_is(results: Results) -> None:
    # A pacer that a busy machine made late voids a run's delays, not what WebRTC says of the network.
    said = truth.verdict(find(results, "webrtc-udp", LOSS))
    assert said["rtt_within"], said
    assert said["worker_rtt_ms"] == pytest.approx(100, rel=0.15)
    assert said["packets"] > 100
    assert said["dropped"] > 0
    assert said["loss_within"], said


def test_red_makes_up_for_loss_and_costs_bytes(results: Results) -> None:
    with_red, without = find(results, "webrtc-udp"), find(results, "webrtc-udp-nored")
    assert with_red.bytes_per_s > 1.3 * without.bytes_per_s
    assert without.bytes_per_s < find(results, "udp").bytes_per_s / 2, "Opus is smaller than PCM"
    lossy = find(results, "webrtc-udp", LOSS)
    assert (lossy.agent.concealed_ratio or 0) < LOSS


def test_the_page_is_made_of_real_runs(results: Results) -> None:
    surroundings = {"complete": True, "wall_s": 1, "machine": {"cpu": "", "cores": 2, "kernel": ""}, "versions": {}}
    result = build(results, "tun", lambda said, heard: None, surroundings)
    page = render(result, results.trials)
    assert page.count("<svg") >= 3
    assert json.dumps(result, allow_nan=False)


def voicefleet(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "voicefleet.cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


def test_an_arm_whose_server_is_missing_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    require((BY_ID["udp"],))
    out = tmp_path / "out.json"
    path = {**environment(), "VOICEFLEET_LIVEKIT_SERVER": str(tmp_path / "none")}
    more = (
        "--loss",
        "0",
        "--jitter",
        "",
        "--rate",
        "",
        "--reorder",
        "",
        "--seeds",
        "3",  # a machine that stalls voids one run, not all
        "--seconds",
        "4",
        "--backend",
        "tun",
    )
    ran = voicefleet("transports", "--arms", "udp,webrtc-udp", *more, "--json", str(out), env=path)
    assert ran.returncode == 1, ran.stderr
    rows = {row["arm"]: row for row in json.loads(out.read_text())["rows"]}
    assert "livekit-server" in rows["webrtc-udp"]["not_run"]
    assert rows["udp"]["lost_ratio"] == 0
    assert rows["udp"]["delay_p50_ms"] == pytest.approx(71, abs=8)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("transports", "--loss", "2"), "--loss"),
        (("transports", "--arms", "pigeon"), "--arms"),
        (("netlab", "run", "--delay", "5", "--jitter", "9", "--", "true"), "--jitter"),
        (("netlab", "run", "--delay", "5"), "COMMAND"),
        (("netlab", "run", "--backend", "magic", "--", "true"), "--backend"),
    ],
)
def test_impossible_settings_are_refused_with_one_sentence(arguments: tuple[str, ...], named: str) -> None:
    refused = voicefleet(*arguments)
    assert refused.returncode == 2
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr


def test_netlab_run_gives_a_command_a_peer_beyond_the_link_and_its_exit_code(tmp_path: Path) -> None:
    require((BY_ID["udp"],))
    server = f"{sys.executable} -m http.server 8000 --bind {{address}} --directory {tmp_path}"
    client = (
        "import os, time, urllib.request\n"
        "url = 'http://' + os.environ['NETLAB_PEER'] + ':8000/'\n"
        "for _ in range(100):\n"
        "    began = time.monotonic()\n"
        "    try:\n"
        "        urllib.request.urlopen(url, timeout=5).read()\n"
        "    except OSError:\n"
        "        time.sleep(0.05)\n"
        "        continue\n"
        "    raise SystemExit(7 if time.monotonic() - began >= 0.08 else 8)\n"
    )
    out = tmp_path / "link.json"
    more = ("--delay", "20", "--backend", "tun", "--json", str(out), "--peer", server)
    ran = voicefleet("netlab", "run", *more, "--", sys.executable, "-c", client)
    assert ran.returncode == 7, "two round trips of 40 ms: the handshake and the request"
    link = json.loads(out.read_text())
    assert link["backend"] == "tun"
    assert link["up"]["delivered"] >= 3
