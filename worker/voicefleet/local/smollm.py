"""SmolLM2 135M (Apache-2.0) in the language model's place: small enough for a core, and it calls tools."""

from __future__ import annotations

import json
from typing import ClassVar

from livekit.agents import llm, utils

from voicefleet.local.forms.dialogue import Speak
from voicefleet.local.forms.responder import conversation
from voicefleet.local.local_llm import LocalLLM
from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.model_server.protocol import Task
from voicefleet.local.notes.note import SAY, Nearest, at_once, grammar, meaning, prompt
from voicefleet.local.notes.schema import read_examples
from voicefleet.local.notes.tools import tools_of


class _Noted(llm.LLMStream):
    async def _run(self) -> None:
        writer = self._llm
        assert isinstance(writer, SmolLM)
        reply_id = utils.shortuuid("note_")

        def send(delta: llm.ChoiceDelta) -> None:
            self._event_ch.send_nowait(llm.ChatChunk(id=reply_id, delta=delta))

        def say(words: str) -> None:
            send(llm.ChoiceDelta(role="assistant", content=words))

        items = conversation(self._chat_ctx)
        if (known := at_once(items)) is not None:
            return say(known.text)
        functions = llm.ToolContext(self._tools).parse_function_tools("openai", strict=False)
        tools = tools_of(functions, writer.examples.patterns)
        task = Task(prompt(_instructions(self._chat_ctx), items, tools, writer.nearest.of(items)), grammar(tools))
        note, said = "", 0

        def took(piece: str) -> None:
            nonlocal note, said
            note += piece
            words = note.lstrip()
            if words.startswith(SAY) and len(words) > len(SAY) + said:
                say(words[len(SAY) + said :])
                said = len(words) - len(SAY)

        await writer.client.write(writer.model, task, took, limit_s=self._conn_options.timeout)
        if said:
            return None
        decided = meaning(note, tools, writer.examples)
        if isinstance(decided, Speak):
            return say(decided.text)
        call = llm.FunctionToolCall(
            name=decided.tool, arguments=json.dumps(decided.arguments), call_id=utils.shortuuid("call_")
        )
        return send(llm.ChoiceDelta(role="assistant", tool_calls=[call]))


class SmolLM(LocalLLM):
    """Writes one note a turn, which a grammar of the agent's tools constrains (`notes`): a tool is called, what it
    lacks is asked for, or a sentence is said as it is written. What a tool gave back is said as it stands.

    Args:
        path: the examples file (see `notes.schema`) of your agent's tools; None for that of a restaurant's phone desk.
        socket_path: the model server's socket; None takes it from `VOICEFLEET_MODEL_SOCKET`.

    Raises:
        ConfigError: the file is wrong.
    """

    required_models: ClassVar[tuple[str, ...]] = ("smollm2",)
    stream: ClassVar[type[llm.LLMStream]] = _Noted

    def __init__(self, *, path: str | None = None, socket_path: str | None = None) -> None:
        super().__init__()
        self.examples = read_examples(path)
        self.nearest = Nearest(self.examples)
        self.client = ModelClient(socket_path)

    @property
    def model(self) -> str:
        return self.required_models[0]


def _instructions(chat_ctx: llm.ChatContext) -> str:
    told = [m.text_content or "" for m in chat_ctx.messages() if m.role in ("system", "developer")]
    return "\n".join(words for words in told if words)
