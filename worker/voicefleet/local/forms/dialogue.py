"""What the form responder does next: a pure function of the conversation so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from voicefleet.local.forms.schema import Form, Question, Rules
from voicefleet.local.forms.slots import find_slots, join_digits, slot_asked
from voicefleet.local.forms.words import plain
from voicefleet.local.matching import Matcher

Values = dict[str, str | int]
Choose = Callable[[str, Sequence[str]], str | None]
"""(what was said, keys) -> the key that it asks for, None for none."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The caller's words."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """The agent's words."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A tool of the agent ended: what it gave back, or the error that it raised."""

    tool: str
    arguments: Values
    output: str
    failed: bool = False


Item = Heard | Said | ToolDone


@dataclass(frozen=True, slots=True)
class Speak:
    """Say `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """Call `tool`."""

    tool: str
    arguments: Values


@dataclass(slots=True)
class _State:
    form: Form | None = None
    values: Values = field(default_factory=dict)
    kept: Values = field(default_factory=dict)
    asked: str | None = None
    last_done: str = ""
    failed: tuple[str, Values] | None = None
    question: Question | None = None
    fresh: bool = False
    """Whether the last turn told anything new."""


class Dialogue:
    """Decides by rules.

    Args:
        rules: the file.
        repair: whether misheard words are mended, and sentences without a known word matched by likeness.
        choose: decides in place of the words and the likeness which form or question is meant; None: those do.
    """

    def __init__(self, rules: Rules, *, repair: bool = True, least_score: float = 0.45, choose: Choose | None = None):
        self._rules = rules
        self._repair = repair
        self._least_score = least_score
        self._choose = choose
        self._meanings: dict[str, Form | Question] = {form.tool: form for form in rules.forms}
        self._meanings |= {f"question_{n}": question for n, question in enumerate(rules.questions)}
        # Giving up comes first: "never mind, do not book" names what it gives up.
        self._by_words = sorted(self._meanings.values(), key=lambda m: not (isinstance(m, Question) and m.drops))
        phrasings = {key: meaning.phrasings for key, meaning in self._meanings.items() if meaning.phrasings}
        self._matcher = Matcher(phrasings)

    def next(self, items: Sequence[Item], offered: Collection[str]) -> Speak | CallTool:
        """What to do after `items`, oldest first; a tool that is not `offered` is not called."""
        last = items[-1] if items else None
        if last is None:
            return Speak(self._rules.greeting)
        if isinstance(last, ToolDone):
            return Speak(last.output)
        if isinstance(last, Said):
            return Speak(self._rules.follow_up)
        state = _State()
        for item in items:
            self._take(state, item)
        decided = self._decide(state)
        refused = isinstance(decided, CallTool) and decided.tool not in offered
        return Speak(self._rules.fallback) if refused else decided

    def _take(self, state: _State, item: Item) -> None:
        if isinstance(item, Said):
            # A tool's error is spoken next: what it doubts stays asked for.
            state.asked = slot_asked(item.text, self._rules) or (state.asked if state.failed else None)
            state.question = None
            return
        if isinstance(item, ToolDone):
            if item.failed:
                state.failed = (item.tool, item.arguments)
                state.asked = slot_asked(item.output, self._rules) or self._doubtful(item)
                return
            kept = {name: value for name, value in item.arguments.items() if self._kept(name)}
            state.kept |= kept
            state.form, state.values, state.asked, state.failed = None, {}, None, None
            state.last_done = item.tool
            return
        self._hear(state, item.text)

    def _doubtful(self, item: ToolDone) -> str | None:
        """The name that a tool did not know: the caller will say it once more."""
        names = [
            name for name in item.arguments if name in self._rules.slots and self._rules.slots[name].kind == "name"
        ]
        return next((name for name in names if str(item.arguments[name]) in item.output.lower()), None)

    def _kept(self, name: str) -> bool:
        slot = self._rules.slots.get(name)
        return slot is not None and slot.keep

    def _hear(self, state: _State, text: str) -> None:
        found = find_slots(text, self._rules, state.asked, repair=self._repair)
        meaning = self._meaning(found.said, found.rest, state)
        state.fresh = bool(found.values)
        if isinstance(meaning, Question):
            state.question, state.fresh = meaning, True
            if meaning.drops:
                state.form, state.values = None, {}
            return
        state.question = None
        if meaning is not None:
            state.form, state.fresh = meaning, True
        elif state.form is None and found.values:
            state.form = next((form for form in self._rules.forms if state.last_done in form.after), None)
        for name, value in found.values.items():
            if self._rules.slots[name].kind == "digits" and name in state.values and state.form is not None:
                value = join_digits(str(state.values[name]), str(value), self._rules.digits_at_least)
            state.values[name] = value

    def _meaning(self, said: str, rest: str, state: _State) -> Form | Question | None:
        """What the caller asks for; None: nothing new."""
        if self._choose is not None:
            bare_answer = state.asked is not None and len(rest.split()) <= 4
            chosen = None if bare_answer or not rest else self._choose(rest, tuple(self._meanings))
            return self._meanings.get(chosen or "")
        for meaning in self._by_words:
            if any(re.search(rf"\b{re.escape(plain(word))}\b", said) for word in meaning.words):
                return meaning
        if not self._repair or (state.asked is not None and state.form is not None):
            return None
        match = self._matcher.best(rest)
        return self._meanings[match.key] if match is not None and match.score_ratio >= self._least_score else None

    def _decide(self, state: _State) -> Speak | CallTool:
        if state.question is not None:
            return Speak(state.question.answer)
        form, rules = state.form, self._rules
        if form is None or not state.fresh:
            # Nothing understood. While a form is open its next question helps more than a plain "again".
            missing = self._missing(state) if form is not None else None
            return Speak(f"Sorry, {_lowered(rules.slots[missing].ask)}" if missing else rules.fallback)
        missing = self._missing(state)
        if missing is not None:
            return Speak(rules.slots[missing].ask)
        known = state.kept | state.values
        arguments = {name: known[name] for name in (*form.needs, *form.one_of) if name in known}
        if state.failed == (form.tool, arguments):
            return Speak(rules.fallback)
        return CallTool(form.tool, arguments)

    def _missing(self, state: _State) -> str | None:
        form = state.form
        assert form is not None
        known = state.kept | state.values
        for name in form.needs:
            if name not in known:
                return name
            if self._rules.slots[name].kind == "digits" and len(str(known[name])) < self._rules.digits_at_least:
                return name
        if form.one_of and not any(name in state.values for name in form.one_of):
            return form.one_of[0]
        return None


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
