"""What the caller of a task says when: its lines, its answers to what the agent asks. No clock, no I/O.

The caller speaks when the agent has been quiet for `settle_s`, or, for a line with `over_s`, so long after the agent's
first word. It understands the agent by keywords of the text that the agent's session reports: asked for its name it
says its name, and told that it was not understood it says its last turn once more. Without reports it says its lines
in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from voicefleet.callers.behavior import Action, HangUp, Say
from voicefleet.callers.dialogue import Dialogue, Step
from voicefleet.speech.clips import Utterance
from voicefleet.speech.render import SAMPLE_RATE
from voicefleet.tasks.clips import Spoken
from voicefleet.tasks.record import CallerSpeech, SaidText, SpeechKind

MOST_REPEATS = 2
"""So often a turn is said again; after that the caller goes on with its next, or hangs up."""
MOST_ANSWERS = 3
"""So often the same question is answered."""
REPLY_LIMIT_S = 6.0
"""Silence after a turn until it is said again."""


@dataclass(frozen=True, eq=False)
class Script:
    """What a caller has to say.

    Attributes:
        turns: in order.
        answers: question -> what is said when asked for it.
        questions: question -> words of the agent that ask for it.
        repeat_when: words of the agent after which the last turn is said again.
    """

    turns: tuple[Spoken, ...]
    answers: Mapping[str, Spoken] = field(default_factory=dict)
    questions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    repeat_when: Sequence[str] = ()


@dataclass
class Conversation(Dialogue):
    """A dialogue by a script. `Say` is its only way to ask."""

    script: Script = field(default_factory=lambda: Script(()))

    spoke: list[CallerSpeech] = field(default_factory=list, init=False)
    """What the caller uttered so far; monotonic times."""
    uttered: list[tuple[float, Utterance]] = field(default_factory=list, init=False)
    """The sounds, and when the first sample of each played."""
    _todo: list[Spoken] = field(default_factory=list, init=False)
    _saying: Spoken | None = field(default=None, init=False)
    _resume: Step = field(default=Step.LISTENING, init=False)
    _repeat: int = field(default=0, init=False)
    _last: Spoken | None = field(default=None, init=False)  # that wants a reply
    _heard: list[SaidText] = field(default_factory=list, init=False)
    _read: int = field(default=0, init=False)  # so many of _heard were before the last turn
    _answered: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._todo = list(self.script.turns)

    def agent_said(self, text: SaidText) -> None:
        """The agent's session reports words that it said."""
        self._heard.append(text)

    def tick(self, now_s: float) -> Action | None:
        if self.step is Step.LISTENING and (over := self._line_over(now_s)) is not None:
            return self._say(over)
        waits = self._waiting_since()
        if self.step is Step.WAITING and waits is not None and now_s >= waits + REPLY_LIMIT_S:
            if self._last is not None and self._repeat < MOST_REPEATS:
                return self._again(self._last)
            self._finish(now_s)
            return HangUp("patience")
        return super().tick(now_s)

    def due_s(self) -> float | None:
        due = [super().due_s()]
        if self.step is Step.LISTENING and self._voices.speaking and self._todo and self._todo[0].over_s is not None:
            due.append(self._agent_since() + self._todo[0].over_s)
        waits = self._waiting_since()
        if self.step is Step.WAITING and waits is not None:
            due.append(waits + REPLY_LIMIT_S)
        return min((at for at in due if at is not None), default=None)

    def asked(self, start_s: float, t0_s: float) -> None:
        line = self._saying
        assert line is not None
        self._saying = None
        zero_s = start_s - line.utterance.speech_start_sample / SAMPLE_RATE
        self.uttered.append((zero_s, line.utterance))
        late = line.kind is SpeechKind.BARGE_IN and not self._voices.speaking
        self.spoke.append(
            CallerSpeech(
                kind=SpeechKind.TURN if late else line.kind,
                text=line.utterance.text,
                from_s=start_s,
                to_s=t0_s,
                pauses=tuple((zero_s + a / SAMPLE_RATE, zero_s + b / SAMPLE_RATE) for a, b in line.pauses),
                repeat=self._repeat if line.kind.wants_reply else 0,
            )
        )
        if line.kind.wants_reply:
            super().asked(start_s, t0_s)
        else:
            self.step = self._resume
            self.note("sounded", start_s)

    # --- inside ---

    def _next(self) -> Action | None:
        """After the agent's reply: what it asks for, else the turn again, else the next line."""
        said = " ".join(text.text.lower() for text in self._heard[self._read :])
        for question, line in self.script.answers.items():
            asked = any(words.lower() in said for words in self.script.questions.get(question, ()))
            if asked and self._answered.get(question, 0) < MOST_ANSWERS:
                self._answered[question] = self._answered.get(question, 0) + 1
                return self._new(line)
        again = any(words.lower() in said for words in self.script.repeat_when)
        if again and self._last is not None and self._repeat < MOST_REPEATS:
            return self._again(self._last)
        while self._todo:
            line = self._todo.pop(0)
            if line.kind.wants_reply or line.over_s is None:
                return self._new(line)
            # The agent was done before it could be said over its voice.
        return None

    def _line_over(self, now_s: float) -> Spoken | None:
        if not self._todo or not self._voices.speaking:
            return None
        over_s = self._todo[0].over_s
        if over_s is None or now_s < self._agent_since() + over_s:
            return None
        return self._todo.pop(0)

    def _agent_since(self) -> float:
        return min(self._voices.speaking.values())

    def _new(self, line: Spoken) -> Action:
        if line.kind.wants_reply:
            self._repeat = 0
        return self._say(line)

    def _again(self, line: Spoken) -> Action:
        self._repeat += 1
        return self._say(line)

    def _say(self, line: Spoken) -> Action:
        if line.kind.wants_reply:
            if line is not self._last:
                self._repeat = 0
            self._last = line
            self._read = len(self._heard)
            self.texts = (*self.texts, line.utterance.text)
        self._resume = self.step
        self._saying = line
        self.step = Step.ASKING
        self._talked_over = False
        return Say(line.utterance)
