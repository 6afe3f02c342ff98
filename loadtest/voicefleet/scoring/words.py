"""How many words a listener got wrong. Pure.

Numbers are words on both sides: a recogniser writes "7 PM" where the text says "seven p.m."; no listener errs there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TOKEN = re.compile(r"[0-9]+|[^\W\d_]+")


def plain_words(text: str) -> list[str]:
    """Lower case, no marks, numbers in words: 7:30 is ``seven thirty``, three digits and more are said one by one."""
    text = text.casefold().replace("’", "'").replace("'", "")
    text = re.sub(r"(?<=[a-z])\.(?=[a-z]|\s|$)", "", text)  # p.m. is pm
    text = re.sub(r"(?<=\d):00\b", "", text)
    return [word for token in _TOKEN.findall(text) for word in _said(token)]


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Least number of words to put in, take out or replace so that `heard` becomes `said` (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(heard, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]


def _said(token: str) -> list[str]:
    if not token.isdecimal():
        return [token]
    number = int(token)
    if len(token) > 2 or token.startswith("0"):
        return [_ONES[int(digit)] for digit in token]
    if number < len(_ONES):
        return [_ONES[number]]
    return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]
