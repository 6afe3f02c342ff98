"""What a recogniser wrote, brought to one form: lower-case words, numbers as digits, spelt names joined. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty")
_NUMBERS = {
    **{word: n for n, word in enumerate((*_UNITS, *_TEENS))},
    **{word: 20 + 10 * n for n, word in enumerate(_TENS)},
}
_SOUNDS_LIKE = {
    "won": "one", "to": "two", "too": "two", "tree": "three", "free": "three", "for": "four", "fore": "four",
    "fife": "five", "hive": "five", "sex": "six", "sicks": "six", "heaven": "seven", "ate": "eight", "nein": "nine",
    "night": "nine", "tan": "ten",
}  # fmt: skip
"""Words that a recogniser writes for a number; only where a number is due: most of them are words of their own."""
_DAY_SOUNDS = {
    "mundane": "monday", "chooseday": "tuesday", "whensday": "wednesday", "winsday": "wednesday",
    "thirstday": "thursday", "freeday": "friday", "fryday": "friday", "satyrday": "saturday",
    "sonday": "sunday", "someday": "sunday",
}  # fmt: skip
_DAY_LIKENESS = 0.78
_LEAST_SPELT = 3


def plain(text: str) -> str:
    """Lower case, no punctuation but the colon of a time, one space between words, number words as digits."""
    text = text.lower().replace("’", "'").replace("o'clock", "oclock").replace("o' clock", "oclock")
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", text)
    text = re.sub(r"(\d)[.](\d\d)\b", r"\1:\2", text)
    text = re.sub(r"(\d)\s?([ap]m)\b", r"\1 \2", text)
    text = re.sub(r"'s\b", " is", text).replace("'", "")
    text = re.sub(r"\b(?:noon|midday)\b", "12:00", text)
    words = re.findall(r"\d+:\d\d|[a-z]+|\d+", text)
    words = [str(_NUMBERS.get(word, word)) for word in words]
    return " ".join(_spelt(words))


def mend_numbers(text: str) -> str:
    """`plain` text in which words that sound like a number are one."""
    return " ".join(str(_NUMBERS[_SOUNDS_LIKE[word]]) if word in _SOUNDS_LIKE else word for word in text.split())


def mend_days(text: str) -> str:
    """`plain` text in which words that sound like a day, also two in a row, are that day."""
    words, out, at = text.split(), [], 0
    while at < len(words):
        pair = "".join(words[at : at + 2])
        if words[at] not in DAYS and at + 1 < len(words) and words[at + 1] in ("day", "days") and _day(pair):
            out.append(_day(pair))
            at += 2
            continue
        out.append(_day(words[at]) or words[at])
        at += 1
    return " ".join(out)


def like_name(name: str, names: Sequence[str]) -> str:
    """The one of `names` that `name` sounds like; itself: none does."""
    if name in names:
        return name
    same = [known for known in names if sound(known) == sound(name)]
    close = difflib.get_close_matches(name, same or names, n=1, cutoff=0.5 if same else 0.8)
    return close[0] if close else name


def sound(word: str) -> str:
    """The word's consonants as they sound, vowels dropped: Smith and Smyth are one, so are Clark and Clarke."""
    for written, said in (("ph", "f"), ("ck", "k"), ("c", "k"), ("z", "s"), ("th", "t"), ("wr", "r"), ("kn", "n")):
        word = word.replace(written, said)
    rest = re.sub(r"[aeiouyhw]", "", word[1:])
    return re.sub(r"(.)\1+", r"\1", word[:1] + rest)


def _day(word: str) -> str:
    if word in DAYS:
        return word
    if word.endswith("s") and word[:-1] in DAYS:
        return word[:-1]
    if word in _DAY_SOUNDS:
        return _DAY_SOUNDS[word]
    if not word.endswith(("day", "dy", "die")) or len(word) < 5:
        return ""
    close = difflib.get_close_matches(word, DAYS, n=1, cutoff=_DAY_LIKENESS)
    return close[0] if close else ""


def _spelt(words: list[str]) -> list[str]:
    """Runs of single letters joined: ``s m y t h`` is ``smyth``."""
    out: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:
        if len(word) == 1 and word.isalpha():
            run.append(word)
            continue
        out += ["".join(run)] if len(run) >= _LEAST_SPELT else run
        run = []
        if word:
            out.append(word)
    return out
