"""The agents of `tests/agents` that are run, and how the client of each behaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples import clients
from voicefleet.callers.port import RoomAct
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest

TESTS = Path(__file__).resolve().parents[1]
FOLDER = TESTS / "agents"
ENVIRONMENT: Mapping[str, str] = {"PYTHONPATH": str(TESTS)}
"""Of every process that runs an agent: what stands for a vendor's realtime model is in `tests/support`."""


@dataclass(frozen=True, slots=True)
class Example:
    """One agent file.

    Attributes:
        name: of its file, without the ending.
        what: its kind, for the table.
        before_question, after_question: see `CallerSettings`.
        data: its caller sends data too.
        helpers: programs in the same folder that the agent starts, and that must be gone after the call.
        avatars: it needs an avatar provider (see `provider`).
    """

    name: str
    what: str
    before_question: RoomAct | None = None
    after_question: RoomAct | None = None
    data: bool = False
    helpers: tuple[str, ...] = ()
    avatars: bool = False

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.py"

    @property
    def target(self) -> str:
        """As `voicefleet worker --agent` takes it."""
        return f"{self.path}:server"

    @property
    def region(self) -> str:
        """The region that serves it."""
        return self.name.replace("_", "-")


EXAMPLES: Sequence[Example] = (
    Example("plain", "plain"),
    Example("tools", "function tools"),
    Example("multi_agent", "userdata, two agents"),
    Example("survey", "AgentTask survey"),
    Example("background_audio", "background audio"),
    Example("mcp_tools", "MCP tools", helpers=("mcp_server.py",)),
    Example("dtmf", "keypad (DTMF)", after_question=clients.type_digits, data=True),
    Example("turn_detection", "own turn detection"),
    Example("preemptive", "preemptive generation"),
    Example(
        "push_to_talk",
        "push to talk",
        before_question=clients.press_button,
        after_question=clients.release_button,
        data=True,
    ),
    Example("realtime", "realtime model"),
    Example("avatar", "avatar", avatars=True),
)

QUICK = ("tools", "multi_agent", "push_to_talk")


def chosen(only: Sequence[str], *, quick: bool = False) -> Sequence[Example]:
    """Those named, else all, or with `quick` three.

    Raises:
        ConfigError: a name that no agent has.
    """
    known: Mapping[str, Example] = {example.name: example for example in EXAMPLES}
    for name in only:
        if name not in known:
            raise ConfigError("no such agent", field="--only", value=name, hint=nearest(name, list(known)))
    names = only or (QUICK if quick else known)
    return [known[name] for name in names]
