"""Find the question a caller meant, in spite of what the recogniser made of it. Pure.

A phrasing is a bag of words and of letter trigrams (across words, so that "re fund" still looks like "refund"), each
weighted by how rare it is among all phrasings (idf); two bags are compared by the cosine of their angle, and a question
scores as its best phrasing does. Words carry the meaning when the recogniser is right, trigrams when it nearly is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

_WORD_SHARE = 0.4
"""Part of the score that whole words decide; trigrams decide the rest."""

Bag = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Match:
    """The best question's key, and its score from 0 (nothing in common) to 1 (a known phrasing, word for word)."""

    key: str
    score_ratio: float


def words(text: str) -> list[str]:
    """Lower-case words, apostrophes dropped."""
    return re.findall(r"[a-z0-9]+", text.lower().replace("'", "").replace("’", ""))


def trigrams(text: str) -> list[str]:
    """Letter trigrams of the words run together, with a mark at both ends."""
    joined = "^" + "".join(words(text)) + "$"
    return [joined[i : i + 3] for i in range(len(joined) - 2)]


class Matcher:
    """Scores a text against the phrasings of each question.

    Args:
        phrasings: by key, every way in which the question may be put; at least one in all.
    """

    def __init__(self, phrasings: Mapping[str, Sequence[str]]) -> None:
        texts = [(key, text) for key, variants in phrasings.items() for text in variants]
        self._word_idf = _idf([words(text) for _, text in texts])
        self._trigram_idf = _idf([trigrams(text) for _, text in texts])
        # A word nobody expected is more often a misheard one than one that matters: it counts for less than a rare one.
        self._unknown_word = 0.5 * max(self._word_idf.values(), default=1.0)
        self._unknown_trigram = 0.5 * max(self._trigram_idf.values(), default=1.0)
        self._known = [(key, self._word_bag(text), self._trigram_bag(text)) for key, text in texts]

    def best(self, text: str) -> Match | None:
        """The question most like `text`; None when it holds no word at all. Ties go to the earlier question."""
        found = self.all(text)
        return max(found, key=attrgetter("score_ratio")) if found else None  # the first of equals

    def all(self, text: str) -> tuple[Match, ...]:
        """Each phrasing's likeness to `text`, in the order in which they were given; empty when it holds no word."""
        if not words(text):
            return ()
        word_bag, trigram_bag = self._word_bag(text), self._trigram_bag(text)
        return tuple(
            Match(
                key,
                min(
                    1.0,
                    _WORD_SHARE * _cosine(word_bag, known_words)
                    + (1 - _WORD_SHARE) * _cosine(trigram_bag, known_trigrams),
                ),
            )
            for key, known_words, known_trigrams in self._known
        )

    def _word_bag(self, text: str) -> Bag:
        return _bag(words(text), self._word_idf, self._unknown_word)

    def _trigram_bag(self, text: str) -> Bag:
        return _bag(trigrams(text), self._trigram_idf, self._unknown_trigram)


def _idf(documents: Sequence[Iterable[str]]) -> dict[str, float]:
    seen: Counter[str] = Counter()
    for document in documents:
        seen.update(set(document))
    return {feature: math.log(1 + len(documents) / count) for feature, count in seen.items()}


def _bag(features: Iterable[str], idf: Mapping[str, float], unknown: float) -> Bag:
    return {feature: count * idf.get(feature, unknown) for feature, count in Counter(features).items()}


def _cosine(one: Bag, other: Bag) -> float:
    dot = sum(weight * other[feature] for feature, weight in one.items() if feature in other)
    size = math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
    return dot / size if size else 0.0
