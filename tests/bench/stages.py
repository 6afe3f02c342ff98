"""``python -m bench.stages [TASKS]``: what recognisers and responders are worth on a task set, without a fleet.

Each task's caller is rendered and recognised, and what was recognised is given to the responder turn by turn, whose
tools work on a real desk. No network, no turn taking: so this tells models apart, not tiers (`voicefleet tune` does).
One JSON row for each pair on stdout: tasks done, word errors, seconds of compute for each second of speech, memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from livekit.agents import llm

from voicefleet.local.forms.dialogue import CallTool, Dialogue, Heard, Item, Said, Speak, ToolDone
from voicefleet.local.forms.schema import read_rules
from voicefleet.local.forms.words import plain
from voicefleet.local.model_server.models import Recognizer, Writer
from voicefleet.local.model_server.process import load
from voicefleet.local.model_server.protocol import Task
from voicefleet.local.notes.note import Nearest, at_once, grammar, meaning, prompt
from voicefleet.local.notes.schema import read_examples
from voicefleet.local.notes.tools import tools_of
from voicefleet.local.smollm import SmolLM
from voicefleet.scoring.words import word_errors
from voicefleet.speech.background import noise
from voicefleet.tasks.agent import INSTRUCTIONS, DeskAgent
from voicefleet.tasks.clips import spoken, voice_of
from voicefleet.tasks.desk import Desk, DeskError
from voicefleet.tasks.evaluation import evaluate
from voicefleet.tasks.load import TaskSet, read_tasks
from voicefleet.tasks.record import ToolCall
from voicefleet.tasks.schema import CallerLine
from voicefleet.tasks.schema import Task as TaskOfCaller

RECOGNIZERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "pocketsphinx": ("pocketsphinx", {}),
    "whisper-tiny": ("whisper", {}),
    "whisper-base": ("whisper-base", {}),
    "whisper-base-careful": ("whisper-base", {"window_s": 15, "beam_size": 5}),
}
RESPONDERS = {"form": True, "form-strict": False}
NOTES = "smollm"
_MOST_TURNS = 12
_MOST_REPEATS = 2


@dataclass
class Ear:
    """A recogniser, and what it took so far. None hears the words as they are."""

    model: Recognizer | None
    options: Mapping[str, Any]
    speech_s: float = 0.0
    compute_s: float = 0.0
    words: int = 0
    errors: int = 0

    def hear(self, line: CallerLine | str, task: TaskOfCaller, found: TaskSet) -> str:
        rng = np.random.default_rng(1)
        sound = spoken(line, voice_of(task.caller, rng), found.folder, rng).utterance
        if self.model is None:
            return sound.text
        samples = sound.samples.astype(np.int32)
        if task.caller.snr_db is not None:
            samples += np.resize(noise(task.caller.snr_db, rng), samples.size)
        began = time.perf_counter()
        heard = self.model.recognize(np.clip(samples, -32768, 32767).astype(np.int16).tobytes(), dict(self.options))
        self.compute_s += time.perf_counter() - began
        self.speech_s += samples.size / sound.sample_rate
        wanted, got = plain(sound.text).split(), plain(heard.text).split()
        self.words += len(wanted)
        self.errors += word_errors(wanted, got)
        return heard.text


class Answers(Protocol):
    """Decides what the agent does next."""

    def next(self, items: Sequence[Item], offered: Collection[str]) -> Speak | CallTool: ...


class Notes:
    """SmolLM2, as the stage `SmolLM` uses it; what it took so far."""

    def __init__(self, model: Writer) -> None:
        self._model = model
        self._examples = read_examples()
        self._nearest = Nearest(self._examples)
        functions = llm.ToolContext(DeskAgent(Desk()).tools).parse_function_tools("openai", strict=False)
        self._tools = tools_of(functions, self._examples.patterns)
        self._grammar = grammar(self._tools)
        self.first_s: list[float] = []
        self.whole_s: list[float] = []

    def next(self, items: Sequence[Item], offered: Collection[str]) -> Speak | CallTool:
        if (known := at_once(items)) is not None:
            return known
        began, pieces, first_s = time.perf_counter(), list[str](), list[float]()

        def emit(piece: str) -> bool:
            first_s.append(time.perf_counter() - began)
            pieces.append(piece)
            return True

        self._model.write(Task(prompt(INSTRUCTIONS, items, self._tools, self._nearest.of(items)), self._grammar), emit)
        self.first_s += first_s[:1]
        self.whole_s.append(time.perf_counter() - began)
        return meaning("".join(pieces), self._tools, self._examples)


def played(task: TaskOfCaller, found: TaskSet, ear: Ear, dialogue: Answers) -> list[str]:
    """Why the task was not done; empty: it was."""
    state: Any = task.metadata
    desk, items, tools, said = Desk.of(state), list[Item](), list[ToolCall](), list[str]()
    todo: list[CallerLine | str] = [line for line in task.caller.turns if line.sound is None and line.aside is None]
    line: CallerLine | str | None = todo.pop(0) if todo else None
    repeats = 0
    for _ in range(_MOST_TURNS):
        if line is None:
            break
        items.append(Heard(ear.hear(line, task, found)))
        words = _answer(dialogue, desk, items, tools)
        said.append(words)
        items.append(Said(words))
        asked = [name for name, keys in found.file.questions.items() if any(key in words.lower() for key in keys)]
        answers = [task.caller.answers[name] for name in asked if name in task.caller.answers]
        if answers:
            line = answers[0]
        elif any(key in words.lower() for key in found.file.repeat_when) and repeats < _MOST_REPEATS:
            repeats += 1
        else:
            line, repeats = (todo.pop(0) if todo else None), 0
    results = evaluate(task.checks, tools, json.dumps(desk.state()), said)
    return [result.why for result in results if not result.passed]


def _answer(dialogue: Answers, desk: Desk, items: list[Item], tools: list[ToolCall]) -> str:
    """What the agent says next; the tools it calls for that are put into `items` and `tools`."""
    offered = ("book", "change", "cancel", "look_up", "leave_number", "transfer")
    decided = dialogue.next(items, offered)
    if isinstance(decided, Speak):
        return decided.text
    failed = False
    try:
        output: str = getattr(desk, decided.tool)(**decided.arguments)
    except DeskError as error:
        output, failed = str(error), True
    items.append(ToolDone(decided.tool, decided.arguments, output, failed=failed))
    tools.append(ToolCall(decided.tool, json.dumps(decided.arguments, sort_keys=True), output, failed, 0.0))
    return output


@cache
def writer() -> Writer:
    """SmolLM2, loaded once."""
    model = load((SmolLM.required_models[0],), 1)[SmolLM.required_models[0]]
    assert isinstance(model, Writer)
    return model


def told(notes: Notes, cpu_s: float) -> dict[str, float]:
    """Seconds to the first piece of a note and to its end, medians, and of CPU for each (recogniser included)."""
    return {
        "first_piece_s": round(statistics.median(notes.first_s), 3),
        "whole_note_s": round(statistics.median(notes.whole_s), 3),
        "cpu_s_per_note": round(cpu_s / len(notes.whole_s), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.stages")
    parser.add_argument("tasks", nargs="?", default="desk", help="task file or folder; left out: the set that ships")
    parser.add_argument("--part", choices=["tuning", "heldout"], default="tuning")
    parser.add_argument("--every", type=int, default=1, help="each so-manieth task alone")
    parser.add_argument("--stt", action="append", choices=["text", *RECOGNIZERS], help="several times; left out: all")
    parser.add_argument(
        "--llm", action="append", choices=[*RESPONDERS, NOTES], help="several times; left out: the rules"
    )
    parser.add_argument("--why", action="store_true", help="tell on stderr why tasks were not done")
    chosen = parser.parse_args(arguments)
    found, rules = read_tasks(chosen.tasks), read_rules()
    tasks = found.part(chosen.part)[:: max(1, chosen.every)]
    for stt in chosen.stt or ["text", *RECOGNIZERS]:
        name, options = RECOGNIZERS.get(stt, ("", {}))
        model = load((name,), 1)[name] if name else None
        assert model is None or isinstance(model, Recognizer)
        for responder in chosen.llm or RESPONDERS:
            ear = Ear(model, options)
            notes = Notes(writer()) if responder == NOTES else None
            dialogue = notes or Dialogue(rules, repair=RESPONDERS[responder])
            cpu_s = sum(os.times()[:2])
            failures = {task.id: why for task in tasks if (why := played(task, found, ear, dialogue))}
            row = {
                "stt": stt,
                "llm": responder,
                "tasks": len(tasks),
                "success_ratio": round(1 - len(failures) / len(tasks), 3),
                "word_error_ratio": round(ear.errors / ear.words, 3) if ear.words else None,
                "compute_per_speech_ratio": round(ear.compute_s / ear.speech_s, 3) if ear.speech_s else None,
                **(told(notes, sum(os.times()[:2]) - cpu_s) if notes else {}),
                "most_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
            print(json.dumps(row), flush=True)
            if chosen.why:
                for task, why in failures.items():
                    print(f"  {stt} {responder} {task}: {'; '.join(why)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
