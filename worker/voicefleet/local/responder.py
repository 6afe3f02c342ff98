"""In the language model's place, a question-and-answer file: no model, no network, a reply in a millisecond."""

from __future__ import annotations

from livekit.agents import llm

from voicefleet.contract.errors import ConfigError
from voicefleet.local.answers import read_answers
from voicefleet.local.matching import Matcher
from voicefleet.local.one_reply import OneReplyLLM


class Responder(OneReplyLLM):
    """Answers the question of a file that is most like what the caller said.

    Args:
        path: the question-and-answer file (see `answers`); None for the built-in one of a small shop.
        least_score: similarity from 0 to 1 below which the fallback is said.

    Raises:
        ConfigError: the file or `least_score` is wrong.
    """

    def __init__(self, *, path: str | None = None, least_score: float = 0.4) -> None:
        super().__init__()
        if not 0.0 <= least_score <= 1.0:
            raise ConfigError(
                "out of range", field="llm.args.least_score", value=least_score, hint="Use a number from 0 to 1."
            )
        self._answers = read_answers(path)
        self._matcher = Matcher(self._answers.phrasings)
        self._least_score = least_score

    @property
    def model(self) -> str:
        return "responder"

    def find(self, text: str) -> str | None:
        """The key of the question that `text` asks; None when none is near enough."""
        match = self._matcher.best(text)
        return match.key if match is not None and match.score_ratio >= self._least_score else None

    def reply(self, chat_ctx: llm.ChatContext, offered: set[str]) -> llm.ChoiceDelta:
        return llm.ChoiceDelta(role="assistant", content=self.say(chat_ctx))

    def say(self, chat_ctx: llm.ChatContext) -> str:
        """What to say next in this conversation."""
        unanswered: list[str] = []
        spoken = False
        for message in reversed(chat_ctx.messages()):
            if message.role == "assistant":
                spoken = True
                break
            if message.role == "user":
                unanswered.insert(0, message.text_content or "")
        if not unanswered:
            return self._answers.follow_up if spoken else self._answers.greeting
        # The last turn first; then all of them, since a pause may have cut one question into two turns.
        key = self.find(unanswered[-1]) or self.find(" ".join(unanswered))
        return self._answers.replies[key] if key is not None else self._answers.fallback
