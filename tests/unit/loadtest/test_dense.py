"""The Go engine's side in Python: what its events become, and what its failures are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.virtual_time import LoopClock
from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.dense.client import DenseClient
from voicefleet.callers.engines import Engine
from voicefleet.callers.health import MAX_PACING_P99_S, GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.port import ClientSettings, EngineFacts
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.loadtest.command_loadtest import LoadOptions
from voicefleet.loadtest.result import build_result
from voicefleet.runtime.clock import Clock
from voicefleet.speech.background import noise
from voicefleet.speech.clips import Utterance, load_utterances
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.opus import encode, loop_frames, opus_frames
from voicefleet.stack import caller_program

pytestmark = pytest.mark.unit

CLIPS = load_utterances()
EAR = {"packets": 7, "lost": 0, "late": 0, "gaps": 0, "gap_ms": 0.0, "broken": 0, "jitter_ms": 1.0}
ROUTE = {"codec": "opus", "path": "udp", "candidates": "host/host", "rtt_ms": 2.0}
TICKET = CallTicket(url="ws://x", token="t", room="r", region="eu")


class PlayedProgram:
    """Stands in for the Go program: keeps the orders, and answers as the test says."""

    facts = EngineFacts("go", playout_delay_s=0.03)

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.counted: list[Mapping[str, Any]] = []
        self.one: DenseClient | None = None

    def client(
        self, call_id: str, ticket: CallTicket, listener: Any, wishes: ClientSettings, clock: Clock
    ) -> DenseClient:
        self.one = DenseClient(
            call_id,
            ticket,
            listener,
            clock,
            self.order,
            lambda utterance: (utterance.file, len(opus_frames(utterance))),
            lambda _call, ear: self.counted.append(ear),
            connect_timeout_s=wishes.connect_timeout_s,
            dtx=True,
        )
        return self.one

    async def prepare(self, utterances: Sequence[Utterance], background: Samples | None) -> None: ...

    def order(self, do: str, **more: Any) -> None:
        self.orders.append({"do": do, **more})
        if do == "leave":
            self.tell("left", ear=EAR, route=ROUTE)

    def tell(self, event: str, t_s: float = 0.0, **more: Any) -> None:
        assert self.one is not None
        self.one.told({"event": event, "ns": round(t_s * 1e9), **more})


async def held(
    program: PlayedProgram, questions: tuple[Utterance, ...], *script: tuple[str, float, dict[str, Any]]
) -> CallOutcome:
    clock = LoopClock()
    settings = CallerSettings(behavior=CallerBehavior(settle_s=0.01), engine=program)
    call = asyncio.create_task(Caller("c", TICKET, questions, settings, clock=clock).run())
    for event, after_s, more in script:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        program.tell(event, clock.monotonic() + after_s, **more)
    return await call


AGENT = {"who": "agent", "agent": True}


async def test_what_the_program_tells_is_what_the_caller_heard() -> None:
    program = PlayedProgram()
    outcome = await held(
        program,
        (),
        ("joined", 0.0, {}),
        ("participant_joined", 0.2, AGENT),
        ("agent_track", 0.2, {"who": "agent"}),
        ("onset", 0.5, {"who": "agent"}),
        ("offset", 0.9, {"who": "agent"}),
    )
    assert outcome.error is None
    assert outcome.wait_s == pytest.approx(0.2, abs=0.05)
    assert outcome.greeting_s == pytest.approx(0.5, abs=0.05)
    assert [order["do"] for order in program.orders] == ["join", "leave"]
    assert program.counted == [EAR]
    assert outcome.media is not None
    assert (outcome.media.packets, outcome.media.path, outcome.media.rtt_s) == (7, "udp", 0.002)


async def test_a_refused_join_is_an_outcome() -> None:
    outcome = await held(PlayedProgram(), (), ("join_failed", 0.0, {"error": "unauthorized: no"}))
    assert outcome.error == "connect: unauthorized: no"
    assert (outcome.joined_at_s, outcome.cut) == (None, False)


async def test_a_program_that_ends_breaks_its_calls_and_cuts_none() -> None:
    program = PlayedProgram()
    call = asyncio.create_task(held(program, (), ("joined", 0.0, {})))
    while program.one is None or not program.orders:
        await asyncio.sleep(0)
    for _ in range(6):
        await asyncio.sleep(0)
    program.one.broke("voicefleet-caller ended with 2")
    outcome = await call
    assert "voicefleet-caller ended with 2" in str(outcome.error)
    assert (outcome.cut, outcome.silent) == (False, False)


async def test_a_clients_own_acts_are_refused() -> None:
    client = PlayedProgram().client("c", TICKET, None, ClientSettings(1.0), LoopClock())

    async def press(_: object) -> None: ...

    with pytest.raises(ConfigError, match="--engine"):
        await client.act(press)


async def test_keys_are_pressed_once_and_a_key_that_was_not_sent_is_told() -> None:
    program = PlayedProgram()
    client = program.client("c", TICKET, None, ClientSettings(1.0), LoopClock())
    for error in ("", "the connection is broken"):
        pressing = asyncio.create_task(client.press("12#"))
        await asyncio.sleep(0)
        assert program.orders[-1] == {"do": "press", "call": "c", "keys": "12#"}
        program.tell("pressed", error=error)
        if error:
            with pytest.raises(RuntimeError, match=error):
                await pressing
        else:
            await pressing


def test_a_generator_whose_frames_leave_late_voids_the_run() -> None:
    fine = GeneratorHealth(0.01, 0.02, 0.3, pacing_p99_s=MAX_PACING_P99_S, pacing_max_s=0.3)
    assert not fine.void
    for starved in (
        replace(fine, pacing_p99_s=MAX_PACING_P99_S + 0.001),
        replace(fine, pacing_p99_s=None, pacing_known=False),
    ):
        result = build_result([], starved, 1.0)
        assert result["verdict"] == "void"
        assert "may be its own" in result["shortcomings"][0]


def test_an_engine_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="python") as refused:
        LoadOptions(engine="pyton")
    assert refused.value.field == "--engine"
    assert LoadOptions().engine == Engine.PYTHON


def test_no_program_anywhere_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"PATH": str(tmp_path), "VOICEFLEET_CACHE": str(tmp_path)}
    with pytest.raises(MissingPartError, match="make setup") as missing:
        caller_program.find_caller(empty)
    assert missing.value.exit_code == 2
    with pytest.raises(MissingPartError, match="no program"):
        caller_program.find_caller({**empty, "VOICEFLEET_CALLER": str(tmp_path / "nothing")})
    own = tmp_path / "voicefleet-caller"
    own.write_text("")
    own.chmod(0o755)
    assert caller_program.find_caller(empty).path == own
    monkeypatch.setattr(caller_program, "SOURCES", tmp_path / "none")
    assert caller_program.cached_caller(empty) is None


def test_every_clip_ships_with_its_frames() -> None:
    for clip in CLIPS:
        frames = opus_frames(clip)
        assert len(frames) == -(-clip.samples.size // 320), clip.file
        assert max(map(len, frames)) < 400


def test_frames_say_what_the_clip_says() -> None:
    clip = CLIPS[0]
    pcm = decoded(opus_frames(clip))
    said = clip.samples[:-320].astype(float)
    alike = {lag: np.corrcoef(said, pcm[lag : lag + said.size].astype(float))[0, 1] for lag in range(0, 320)}
    best = max(alike, key=lambda lag: alike[lag])
    assert alike[best] > 0.9
    # What the encoder looks ahead, and a millisecond or so of the decoder's resampler.
    assert 0.006 < best / 16_000 < 0.0095


def decoded(frames: Sequence[bytes]) -> Any:
    """What is heard of the frames, at 16 kHz."""
    av = pytest.importorskip("av", reason="PyAV comes with livekit-agents, which a load test alone does without")
    decoder = av.AudioCodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    heard = []
    for frame in frames:
        heard += [out.to_ndarray().mean(axis=0) for out in decoder.decode(av.Packet(frame))]
    return np.concatenate(heard)[::3]


def test_another_recording_is_encoded_when_it_is_needed() -> None:
    other = replace(CLIPS[0], samples=np.zeros(1000, dtype=np.int16))
    assert len(opus_frames(other)) == len(encode(other.samples)) == 4


def test_every_frame_is_of_20_ms() -> None:
    """Configurations 9 and 23 of RFC 6716 are wideband, 20 ms, SILK and CELT; the other bits say: one frame, mono."""
    assert {frame[0] for frame in encode(CLIPS[0].samples)} <= {9 << 3, 23 << 3}


def test_noise_is_heard_between_the_words_and_beneath_them_without_a_seam() -> None:
    room, clip = noise(10.0, np.random.default_rng(1)), CLIPS[3]
    loop, said = loop_frames(room), opus_frames(clip, room)
    assert (len(loop), len(said)) == (room.size // 320, len(opus_frames(clip)))
    # As the program sends them: the loop once round, the words, and the rest of the loop.
    pcm = decoded([*loop, *said, *loop[len(said) % len(loop) :], *loop])
    spoken = slice(len(loop) * 320, (len(loop) + len(said)) * 320)
    quiet = np.concatenate((pcm[16_000 : spoken.start], pcm[spoken.stop : -640]))
    wanted = np.sqrt(np.mean(room.astype(float) ** 2))
    levels = np.sqrt(np.mean(quiet[: quiet.size // 320 * 320].reshape(-1, 320) ** 2, axis=1)) / wanted
    assert 0.5 < np.mean(levels) < 1.2
    assert 0.25 < levels.min() < levels.max() < 2
    assert np.sqrt(np.mean(pcm[spoken] ** 2)) > 2 * wanted


def test_no_encoder_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingPartError, match=r"voicefleet\[loadtest\]") as missing:
        opus_frames(CLIPS[0], noise(10.0, np.random.default_rng(1)))
    assert missing.value.exit_code == 2
    assert opus_frames(CLIPS[0]), "what ships needs none"
