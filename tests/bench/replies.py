"""An agent that writes down what it has answered, so that callers' questions can be held against the answers.

One JSON object a line, into the file that the environment names: `{"room", "text", "t_s"}`, on the machine's monotonic
clock, which the simulated callers share.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from livekit.agents import Agent, ConversationItemAddedEvent, llm

from voicefleet.worker.call import CallContext

FILE_VARIABLE = "BENCH_REPLIES_FILE"


class Answering(Agent):
    """The default agent, which writes down its answers."""

    def __init__(self, room: str, path: Path) -> None:
        super().__init__(instructions="Answer in one short sentence.")
        self._room_name = room
        self._file = path.open("a", buffering=1)

    async def on_enter(self) -> None:
        self.session.on("conversation_item_added", self._note)
        self.session.say("Hello, how can I help you?")

    def _note(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if isinstance(item, llm.ChatMessage) and item.role == "assistant":
            line = {"room": self._room_name, "text": item.text_content or "", "t_s": time.monotonic()}
            self._file.write(json.dumps(line) + "\n")


def create(call: CallContext) -> Agent:
    """What the worker is started with: `--agent bench.replies:create`."""
    return Answering(call.room, Path(os.environ[FILE_VARIABLE]))
