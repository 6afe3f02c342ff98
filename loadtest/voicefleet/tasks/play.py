"""Plays one task in one room: its caller speaks and listens, the agent's session reports, and a record comes out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.dialogue import Dialogue, Note
from voicefleet.callers.health import HealthMeter
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.speech.background import noise
from voicefleet.speech.clips import Utterance
from voicefleet.tasks.clips import spoken, voice_of
from voicefleet.tasks.conversation import Conversation, Script
from voicefleet.tasks.evaluation import evaluate, slots_of
from voicefleet.tasks.load import TaskSet
from voicefleet.tasks.observer import SessionObserver
from voicefleet.tasks.record import SaidText, TaskRecord
from voicefleet.tasks.recording import Recorder
from voicefleet.tasks.schema import Task

BEHAVIOR = CallerBehavior(patience_s=20.0, settle_s=0.7)
SESSION_HOST = "caller-*"
"""Who must be in a tier's `session_host` for the agent's session to report to the caller."""


@dataclass(frozen=True, eq=False)
class PreparedCall:
    """A task as one caller will play it: all sound is made beforehand.

    Attributes:
        seed, trial: as in the record.
        metadata: what the call is ordered with.
    """

    task: Task
    seed: int
    trial: int
    voice: str
    script: Script
    settings: CallerSettings
    metadata: str


def prepare(found: TaskSet, task: Task, *, seed: int, trial: int = 0) -> PreparedCall:
    """Make the caller's sounds; takes some 20 ms of a core for each line.

    Raises:
        MissingPartError: no flite.
        ConfigError: a recording that cannot be used.
    """
    rng = np.random.default_rng([seed, trial, zlib.crc32(task.id.encode())])
    voice = voice_of(task.caller, rng)
    turns = tuple(spoken(line, voice, found.folder, rng) for line in task.caller.turns)
    answers = {name: spoken(line, voice, found.folder, rng) for name, line in task.caller.answers.items()}
    script = Script(turns, answers, found.file.questions, found.file.repeat_when)
    background = None if task.caller.snr_db is None else noise(task.caller.snr_db, rng)
    settings = CallerSettings(behavior=BEHAVIOR, background=background)
    metadata = json.dumps(task.metadata) if task.metadata else ""
    return PreparedCall(task, seed, trial, voice, script, settings, metadata)


async def play(
    call: PreparedCall,
    ticket: CallTicket,
    *,
    config: str,
    recording: Path | None = None,
    clock: Clock | None = None,
) -> TaskRecord:
    """Hold the call and judge it. What fails at the connection is in the record's `error`, no exception.

    Args:
        config: name of what is played, for the record.
        recording: where the call is recorded, as WAV; None: nowhere.
    """
    clock = clock or SystemClock()
    conversations: list[Conversation] = []
    recorder = Recorder() if recording is not None else None

    def make(joined_s: float, note: Note) -> Dialogue:
        conversation = Conversation((), joined_s, BEHAVIOR, note, script=call.script)
        conversations.append(conversation)
        return conversation

    caller = Caller(
        f"{call.task.id}-{call.trial}",
        ticket,
        (),
        call.settings,
        clock=clock,
        dialogue=make,
        heard=recorder.heard if recorder is not None else None,
    )

    def said(text: SaidText) -> None:
        for conversation in conversations:
            conversation.agent_said(text)

    observer = SessionObserver(caller.room, clock, said)
    await observer.start()
    try:
        async with HealthMeter(clock) as meter:
            outcome = await caller.run()
    finally:
        await observer.aclose()
    record = _record(call, config, outcome, conversations[-1] if conversations else None, observer)
    record = replace(record, generator_lag_s=meter.health().lag_max_s)
    if recorder is not None and recording is not None and outcome.joined_at_s is not None:
        lines = _uttered(conversations)
        recorder.write(recording, outcome.joined_at_s, outcome.ended_s, lines)
        record = replace(record, recording=str(recording))
    return record


def _uttered(conversations: Sequence[Conversation]) -> list[tuple[float, Utterance]]:
    return [uttered for conversation in conversations for uttered in conversation.uttered]


def _record(
    call: PreparedCall,
    config: str,
    outcome: CallOutcome,
    conversation: Conversation | None,
    observer: SessionObserver,
) -> TaskRecord:
    task, zero_s = call.task, outcome.joined_at_s or 0.0
    checks = evaluate(task.checks, observer.tools, observer.state, [said.text for said in observer.said])
    slots, extra = slots_of(task.checks, observer.tools)
    return TaskRecord(
        task=task.id,
        goal=task.goal,
        part=task.part,
        config=config,
        seed=call.seed,
        trial=call.trial,
        voice=call.voice,
        duration_s=outcome.ended_s,
        agent=tuple((begin, end) for _, begin, end in outcome.voices),
        caller=() if conversation is None else tuple(s.since(zero_s) for s in conversation.spoke),
        tools=tuple(replace(tool, at_s=tool.at_s - zero_s) for tool in observer.tools),
        said=tuple(replace(said, at_s=said.at_s - zero_s) for said in observer.said),
        understood=tuple(replace(heard, at_s=heard.at_s - zero_s) for heard in observer.understood),
        final_state=observer.state,
        checks=checks,
        slots=slots,
        extra_slots=extra,
        error=outcome.error,
    )
