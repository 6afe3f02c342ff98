"""Speaking and writing by the model server, with models of the test's own: what stages make of it, what cancels it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, llm

from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.model_server.protocol import Task, http_session
from voicefleet.local.model_server.serving import RequestServer, runner_of
from voicefleet.local.piper_tts import SAMPLE_RATE, PiperTTS
from voicefleet.local.smollm import SmolLM

pytestmark = pytest.mark.unit

LIMIT_S = 10.0


class Voice:
    """Speaks a sentence of so many tenths of a second as it has letters."""

    def __init__(self) -> None:
        self.spoken: list[str] = []

    def speak(self, sentence: str) -> bytes:
        self.spoken.append(sentence)
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", "not compressed"))
            file.writeframes(b"\x00\x40" * (SAMPLE_RATE // 10 * len(sentence)))
        return out.getvalue()


class Pen:
    """Writes these pieces; told to wait, it goes on until nobody listens."""

    def __init__(self, *pieces: str, endless: bool = False) -> None:
        self.pieces, self.endless = pieces, endless
        self.tasks: list[Task] = []
        self.stopped = threading.Event()

    def write(self, task: Task, emit: Callable[[str], bool]) -> None:
        self.tasks.append(task)
        if self.pieces == ("!",):
            raise RuntimeError("a model's own trouble")
        for piece in self.pieces:
            emit(piece)
        while self.endless:
            if not emit("x"):
                self.stopped.set()
                return
            self.stopped.wait(0.001)


@contextlib.asynccontextmanager
async def served(path: Path, **models: Voice | Pen) -> AsyncIterator[Path]:
    runner = runner_of(RequestServer(models, threads=1).application())
    await runner.setup()
    await web.UnixSite(runner, path / "s").start()
    try:
        yield path / "s"
    finally:
        await runner.cleanup()


async def written(path: Path, model: str = "smollm2") -> str:
    pieces: list[str] = []
    await ModelClient(path).write(model, Task("Note:"), pieces.append, limit_s=LIMIT_S)
    return "".join(pieces)


async def test_a_text_comes_in_the_pieces_in_which_it_is_written(tmp_path: Path) -> None:
    pen = Pen(" book(", "day=?)")
    async with served(tmp_path, smollm2=pen) as path:
        pieces: list[str] = []
        await ModelClient(path).write("smollm2", Task("Note:", "g"), pieces.append, limit_s=LIMIT_S)
    assert pieces == [" book(", "day=?)"]
    assert pen.tasks == [Task("Note:", "g")]


async def test_nothing_written_is_an_answer_too(tmp_path: Path) -> None:
    async with served(tmp_path, smollm2=Pen()) as path:
        assert await written(path) == ""


async def test_who_leaves_stops_the_model_at_its_next_word(tmp_path: Path) -> None:
    pen = Pen("a", endless=True)
    async with served(tmp_path, smollm2=pen) as path:
        begun = asyncio.Event()
        writing = asyncio.create_task(
            ModelClient(path).write("smollm2", Task("Note:"), lambda _: begun.set(), limit_s=LIMIT_S)
        )
        await begun.wait()
        writing.cancel()
        assert await asyncio.to_thread(pen.stopped.wait, LIMIT_S)


async def test_what_a_model_cannot_do_is_refused_for_good_and_its_trouble_for_now(tmp_path: Path) -> None:
    async with served(tmp_path, smollm2=Pen("!"), piper=Voice()) as path:
        for model, status in (("piper", 404), ("other", 404), ("smollm2", 503)):
            with pytest.raises(APIStatusError) as refused:
                await written(path, model)
            assert refused.value.status_code == status
        with pytest.raises(APIStatusError) as refused:
            await ModelClient(path).speak("piper", "?!", limit_s=LIMIT_S)
        assert refused.value.status_code == 400
        async with http_session(path) as http:
            assert (await http.post("/write/smollm2", data=json.dumps({"prompt": "x", "colour": 1}))).status == 400


async def test_an_answer_that_is_cut_off_is_no_answer(tmp_path: Path) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'{"text": "a"}\n')
        return answer

    app = web.Application()
    app.router.add_post("/write/smollm2", half)
    runner = runner_of(app)
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "s").start()
    with pytest.raises(APIConnectionError, match="cut off"):
        await written(tmp_path / "s")
    await runner.cleanup()


async def test_a_voice_speaks_sentence_after_sentence_at_its_rate(tmp_path: Path) -> None:
    voice = Voice()
    async with served(tmp_path, piper=voice) as path:
        frame = await PiperTTS(socket_path=str(path)).synthesize("Hello. Bye.").collect()
    assert voice.spoken == ["Hello.", "Bye."]
    assert frame.sample_rate == SAMPLE_RATE
    assert frame.duration == pytest.approx(1.0, abs=0.05)


@llm.function_tool
async def book(day: str, people: int) -> str:
    """Book a table."""
    return f"{day} {people}"


async def answered(path: Path, said: str, tools: list[llm.Tool] | None = None) -> list[llm.ChatChunk]:
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="You are the desk.")
    context.add_message(role="user", content=said)
    options = APIConnectOptions(max_retry=0, timeout=LIMIT_S)
    stream = SmolLM(socket_path=str(path)).chat(chat_ctx=context, tools=tools or [book], conn_options=options)
    async with stream:
        return [chunk async for chunk in stream if chunk.delta is not None]


async def test_a_note_of_a_tool_is_a_call_of_it(tmp_path: Path) -> None:
    pen = Pen(" book(day=monday,", " people=2)")
    async with served(tmp_path, smollm2=pen) as path:
        [chunk] = await answered(path, "For two on Monday.")
    assert chunk.delta is not None
    [call] = chunk.delta.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("book", {"day": "monday", "people": 2})
    assert pen.tasks[0].prompt.startswith("You are the desk.\n\n")
    assert pen.tasks[0].prompt.endswith("Caller: For two on Monday.\nNote:")
    assert " book(day=" in pen.tasks[0].grammar


async def test_words_are_said_as_they_are_written_and_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path, smollm2=Pen(" say", ": We", " are", " open.")) as path:
        assert [c.delta and c.delta.content for c in await answered(path, "Open?")] == ["We", " are", " open."]
    async with served(tmp_path, smollm2=Pen(" book(day=?, people=2)")) as path:
        assert [c.delta and c.delta.content for c in await answered(path, "For two.")] == ["For which day?"]
