"""The question-and-answer file of the small responder: read, checked, frozen.

greeting: said when the caller has not spoken yet
follow_up: said when the caller's last words are answered already
fallback: said when no question is like what was heard
questions:
  - key: hours
    ask: ["What are your opening hours?", "When are you open?"]
    answer: We are open from nine to five, every day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.local.data_file import data_text

_SENTENCES = ("greeting", "follow_up", "fallback")


@dataclass(frozen=True, slots=True)
class Answers:
    """`phrasings` and `replies` have the same keys."""

    greeting: str
    follow_up: str
    fallback: str
    phrasings: Mapping[str, tuple[str, ...]]
    replies: Mapping[str, str]


def read_answers(path: str | Path | None = None) -> Answers:
    """The file at `path`; the built-in one, a small shop's, for None.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a field is wrong; it names the field.
    """
    return parse_answers(*data_text(path, "answers.yaml", "question-and-answer file"))


def parse_answers(text: str, where: str) -> Answers:
    """The file's `text`; `where` is its name, for messages.

    Raises:
        ConfigError: not YAML, or a field is wrong; it names the field.
    """
    data = parse_yaml(text, field=where)
    if not isinstance(data, dict):
        raise _wrong(where, "", data, "must be a mapping", "Start with `questions:`.")
    for name in data:
        if name not in (*_SENTENCES, "questions"):
            raise _wrong(
                where, str(name), None, "is not a field", f"Use {', '.join(_SENTENCES)} or questions, or remove it."
            )
    greeting, follow_up, fallback = (_sentence(where, name, data.get(name)) for name in _SENTENCES)
    questions = data.get("questions")
    if not isinstance(questions, list) or not questions:
        raise _wrong(where, "questions", questions, "must be a list with at least one question", "Add a question.")
    phrasings: dict[str, tuple[str, ...]] = {}
    replies: dict[str, str] = {}
    for number, question in enumerate(questions):
        field = f"questions[{number}]"
        if not isinstance(question, dict) or set(question) != {"key", "ask", "answer"}:
            raise _wrong(where, field, question, "needs key, ask and answer, no more", "Give it exactly these fields.")
        key = _sentence(where, f"{field}.key", question["key"])
        if key in replies:
            raise _wrong(where, f"{field}.key", key, "stands there twice", "Give each question its own key.")
        ask = question["ask"]
        if not isinstance(ask, list) or not ask:
            raise _wrong(where, f"{field}.ask", ask, "must be a list of phrasings", "Give at least one phrasing.")
        phrasings[key] = tuple(_sentence(where, f"{field}.ask[{n}]", phrasing) for n, phrasing in enumerate(ask))
        replies[key] = _sentence(where, f"{field}.answer", question["answer"])
    return Answers(greeting, follow_up, fallback, phrasings, replies)


def _sentence(where: str, field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, field, value, "must be text, and not empty", "Write it in quotes.")
    return value.strip()


def _wrong(where: str, field: str, value: Any, what: str, hint: str) -> ConfigError:
    return ConfigError(what, field=f"{where}: {field}" if field else where, value=value, hint=hint)
