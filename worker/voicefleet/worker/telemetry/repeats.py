"""Whether a caller asks for an answer once more: "what?", or the same question again. Pure, by its words alone.

A few phrases of the four languages that the waiting message has too; of other languages only the same question counts.
It errs on the side of silence: a caller who says "sorry, at eight" has not asked again.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

SAME_RATIO = 0.8
"""Of the words of two questions that must agree, in order."""
LEAST_WORDS = 3
"""Shorter words are said twice for good reasons: yes, no, a name."""
LONGEST_ASKING = 8
"""Words; who says more says something new."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ALONE = frozenset(
    phrase
    for language in (
        "what|huh|sorry|pardon|pardon me|excuse me|come again|what was that|what did you say|again please|once more",
        "wie bitte|bitte|was|hä|noch einmal bitte|noch mal bitte|nochmal bitte|was haben sie gesagt",
        "qué|cómo|perdón|cómo dice|otra vez por favor|qué dijo|qué ha dicho",
        "quoi|comment|pardon|hein|encore une fois s'il vous plaît|qu'est-ce que vous avez dit",
    )
    for phrase in language.split("|")
)
"""The whole of what the caller says."""
_WITHIN = re.compile(
    r"\b(?:(?:say|repeat) (?:that|it)|(?:can|could) you repeat|(?:don't|didn't) understand"
    r"|(?:did not|didn't|couldn't|can't) (?:hear|catch|get) (?:you|that|it)"
    r"|wiederholen|(?:nicht|nichts) verstanden|verstehe (?:sie )?nicht"
    r"|puede repetir|repita|repetir|no (?:le |te |lo )?(?:entiendo|entendí|oigo)"
    r"|répéter|répétez|(?:pas|rien) compris|comprends pas)\b"
)
"""Anywhere in a few words."""
_GOODBYES = re.compile(
    r"\b(?:goodbye|good bye|bye|bye bye|have a (?:nice|good|great) (?:day|evening|one)"
    r"|tschüss|auf wiederhören|auf wiedersehen|schönen (?:tag|abend)"
    r"|adiós|hasta luego|hasta pronto|que tenga (?:un )?buen"
    r"|au revoir|bonne journée|bonne soirée|à bientôt)\b"
)


def words_of(text: str) -> list[str]:
    """The words, in lower case, without punctuation."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def asks_again(text: str) -> bool:
    """Whether the caller says that it did not hear, or did not understand."""
    words = words_of(text)
    said = " ".join(words)
    return said in _ALONE or (len(words) <= LONGEST_ASKING and _WITHIN.search(said) is not None)


def same_question(one: str, other: str) -> bool:
    """Whether both are the same words, but for a few."""
    a, b = words_of(one), words_of(other)
    if min(len(a), len(b)) < LEAST_WORDS:
        return False
    return SequenceMatcher(None, a, b, autojunk=False).ratio() >= SAME_RATIO


def says_goodbye(text: str) -> bool:
    """Whether somebody takes leave."""
    return _GOODBYES.search(" ".join(words_of(text))) is not None
