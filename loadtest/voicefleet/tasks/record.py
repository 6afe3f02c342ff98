"""What one played task leaves: a frozen value, and its JSON. Pure.

All times are seconds since the caller joined, on the caller's clock, at the caller's ear: the agent's spans are when
its voice was heard, the caller's when its words left its mouth. A score is a function of records and of nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from voicefleet.contract.errors import ConfigError

Slots = tuple[tuple[str, str], ...]
"""``((name, value), ...)``, sorted by name: a mapping that can be hashed."""


class SpeechKind(StrEnum):
    """What a sound of the caller was."""

    TURN = "turn"
    """Said when the agent was quiet; an answer is due."""
    BARGE_IN = "barge_in"
    """A turn said while the agent spoke: it has to stop, and to answer this."""
    BACKCHANNEL = "backchannel"
    """"uh-huh", "okay" while the agent spoke: it should go on."""
    COUGH = "cough"
    SIDE_TALK = "side_talk"
    """Said to somebody else in the room."""

    @property
    def wants_reply(self) -> bool:
        return self in (SpeechKind.TURN, SpeechKind.BARGE_IN)


@dataclass(frozen=True, slots=True)
class CallerSpeech:
    """One sound of the caller.

    Attributes:
        kind: what it was.
        text: the words; empty for a cough.
        from_s, to_s: its first voiced sample, and one past the last.
        pauses: silences inside it that belong to it, ``((from_s, to_s), ...)``: an agent that speaks in one cut in.
        repeat: 0 when said for the first time, 1 for the first repetition.
    """

    kind: SpeechKind
    text: str
    from_s: float
    to_s: float
    pauses: tuple[tuple[float, float], ...] = ()
    repeat: int = 0

    def since(self, zero_s: float) -> CallerSpeech:
        """The same with times since `zero_s`."""
        pauses = tuple((begin - zero_s, end - zero_s) for begin, end in self.pauses)
        return replace(self, from_s=self.from_s - zero_s, to_s=self.to_s - zero_s, pauses=pauses)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the agent called, as the agent itself reports it.

    Attributes:
        arguments: as JSON text of a mapping, keys sorted.
        output: what the tool gave back.
        failed: it raised.
        at_s: when the report of its end reached the caller.
    """

    name: str
    arguments: str
    output: str
    failed: bool
    at_s: float

    def values(self) -> dict[str, Any]:
        """The arguments."""
        found = json.loads(self.arguments)
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class SaidText:
    """Words of the agent, or words that it understood, and when the report of them came."""

    text: str
    at_s: float
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of the task: its name (such as ``calls.book``), whether it held, and if not, why, in a sentence."""

    name: str
    passed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class SlotResult:
    """A value that the agent had to understand. `got` is None when it never passed one."""

    name: str
    wanted: str
    got: str | None

    @property
    def right(self) -> bool:
        return self.got == self.wanted


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task, played once.

    Attributes:
        task, goal, part: the task's id, its goal, and ``tuning`` or ``heldout``.
        config: name of the configuration (a tier) that was played.
        seed: the same seed gives the same caller: voice, pauses, waits.
        trial: 0 for the first of several runs of the same task with the same configuration.
        voice: who spoke.
        duration_s: join to hang-up; 0 when the caller could not join.
        agent: when the agent was audible, ``((from_s, to_s), ...)`` by begin.
        caller: what the caller said, by begin.
        tools: what the agent's tools were called with, in order.
        said: the agent's words as it knows them, in order, the greeting included.
        understood: the caller's words as the agent's recogniser heard them, in order.
        final_state: of the agent's side, as JSON text; empty when the agent tells none.
        checks: each check of the task, judged; all passed: success.
        slots: the values that had to be understood.
        extra_slots: values passed to tools that nobody had given: false positives of the slots.
        recording: path of a WAV file, two channels (left the caller, right the agent); empty: not recorded.
        worker_cpu_s: processor time of the worker and its models that this call took; None: not measured.
        worker_memory_bytes: most memory that the call's worker had meanwhile (PSS); None: not measured.
        error: why the call failed on our side or at the connection; None for a call that ran.
        generator_lag_s: how late the caller's own loop was at the worst; more than 0.25 s and its times are its own.
    """

    task: str
    goal: str
    part: str
    config: str
    seed: int
    trial: int = 0
    voice: str = ""
    duration_s: float = 0.0
    agent: tuple[tuple[float, float], ...] = ()
    caller: tuple[CallerSpeech, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    said: tuple[SaidText, ...] = ()
    understood: tuple[SaidText, ...] = ()
    final_state: str = ""
    checks: tuple[CheckResult, ...] = ()
    slots: tuple[SlotResult, ...] = ()
    extra_slots: Slots = ()
    recording: str = ""
    worker_cpu_s: float | None = None
    worker_memory_bytes: int | None = None
    error: str | None = None
    generator_lag_s: float | None = None

    @property
    def success(self) -> bool:
        """Whether the caller got what it came for: there are checks, and all held."""
        return self.error is None and bool(self.checks) and all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping: field names as above, tuples as lists."""
        # Through text, so that tuples are lists and enums their values whoever looks.
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskRecord:
        """The record that `to_json` gave.

        Raises:
            ConfigError: not such a mapping.
        """
        try:
            return cls(
                **{
                    **data,
                    "agent": _spans(data.get("agent", ())),
                    "caller": tuple(_speech(s) for s in data.get("caller", ())),
                    "tools": tuple(ToolCall(**t) for t in data.get("tools", ())),
                    "said": tuple(SaidText(**t) for t in data.get("said", ())),
                    "understood": tuple(SaidText(**t) for t in data.get("understood", ())),
                    "checks": tuple(CheckResult(**c) for c in data.get("checks", ())),
                    "slots": tuple(SlotResult(**s) for s in data.get("slots", ())),
                    "extra_slots": tuple((str(n), str(v)) for n, v in data.get("extra_slots", ())),
                }
            )
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"not the record of a played task ({error})",
                field="record",
                hint="Give a line that this version of voicefleet wrote.",
            ) from error


def _spans(raw: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(begin), float(end)) for begin, end in raw)


def _speech(raw: Mapping[str, Any]) -> CallerSpeech:
    return CallerSpeech(**{**raw, "kind": SpeechKind(raw["kind"]), "pauses": _spans(raw.get("pauses", ()))})
