"""Finds the values of slots in what a caller said: a day, a time, a number of people, a name, digits. Pure.

Of several values the last counts, since callers correct themselves; what they deny does not (``not Friday``, ``instead
of Friday``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from voicefleet.local.forms.schema import Rules, Slot
from voicefleet.local.forms.words import DAYS, like_name, mend_days, mend_numbers, plain

_DENIED = r"(?:\bnot(?: on| at| for)?|\binstead of|\brather than|\bfrom(?= \w+ to\b)) \S+(?: people)?"
_DAY = re.compile(rf"\b({'|'.join(DAYS)})s?\b")
_CLOCK = r"(\d{1,2}?)(?:[: ]?([0-5]\d))?"
"""Recognisers write half past six as ``6:30``, ``6 30`` and ``630``."""
_TIMES = (
    (re.compile(r"\bhalf past (\d{1,2})\b"), 30),
    (re.compile(r"\b(?:a )?quarter past (\d{1,2})\b"), 15),
    (re.compile(r"\b(?:a )?quarter to (\d{1,2})\b"), -15),
    (re.compile(rf"\b(?:at|around|about|until|by) {_CLOCK}(?: (am|pm|oclock))?\b(?! people| person| of us)"), 0),
    (re.compile(rf"(?<!quarter )\bto {_CLOCK}(?: (am|pm|oclock))?\b(?! people| person| of us)"), 0),
    (re.compile(r"\b(\d{1,2})(?::([0-5]\d)| (00|15|30|45))(?: (am|pm))?\b"), 0),
    (re.compile(r"\b(\d{1,2})(?: ([0-5]\d))? (am|pm|oclock|in the evening|tonight)\b"), 0),
)
_PEOPLE = r"(?:people|persons|person|guests|adults|of us)"
_COUNTS = (
    re.compile(rf"\b(\d{{1,2}}) {_PEOPLE}\b"),
    re.compile(r"\b(?:party|table|group|booking|reservation) (?:of|for) (\d{1,2})\b"),
    re.compile(r"\bfor (\d{1,2})\b(?![: ]\d\d| am\b| pm\b| oclock)"),
    re.compile(r"\b(?:we are|we will be|there are|there will be) (\d{1,2})\b"),
)
_CORRECTED = re.compile(
    r"\b(?:no|sorry|mean|rather|actually|make it|make that) (?:at |for |it )?(\d{1,2})(?:[: ]([0-5]\d))?\b"
)
_NAMES = re.compile(
    r"\b(?:name (?:is|of)(?: for)?|under(?: the name(?: of)?)?|this is|spelled|spelt|it is for|booked by|mr|mrs|"
    r"booking (?:of|for)|reservation (?:of|for)|table (?:of|for)|i am|im|for)(?: mr| mrs| the name)? ([a-z]{2,})\b"
)
_FILLERS = """
how many when where who with about around see
a an the my our your me us you him her it them and or at on in for to of is are was be please thanks thank yes
no not sorry hello hi well um uh ah oh so the name booking table reservation people person guests double calling
looking going afraid here there this that these tonight today tomorrow lunch dinner late early one two okay ok
actually wait spelled spelt just we they what which mr mrs day time same again all right good fine call number i
im id like want would can could just coming not sure make mean said say party group parking
"""
_NO_NAMES = frozenset(_FILLERS.split()) | set(DAYS)


@dataclass(frozen=True, slots=True)
class Found:
    """Values by slot, as the tool takes them; `said` is the plain text, `rest` the same without the values."""

    values: Mapping[str, str | int]
    said: str
    rest: str


def find_slots(text: str, rules: Rules, asked: str | None, *, repair: bool) -> Found:
    """The slots' values in one turn of the caller.

    Args:
        asked: the slot that the agent asked for just before: then a bare value will do.
        repair: whether words that sound like a value are taken for it.
    """
    said = plain(text)
    said = mend_days(said) if repair else said
    kinds: dict[str, str] = {slot.kind: name for name, slot in reversed(rules.slots.items())}
    due = rules.slots.get(asked or "")
    if due is not None and due.kind in ("count", "time", "digits") and repair:
        said = mend_numbers(said) if len(said.split()) <= 4 or due.kind == "digits" else said
    elif repair:
        said = re.sub(rf"\b(to|too|for|free|tree) (?={_PEOPLE}\b)", lambda m: mend_numbers(m[1]) + " ", said)
        said = re.sub(r"\bfor (for|to|too|free|tree)\b", lambda m: "for " + mend_numbers(m[1]), said)
    held = re.sub(_DENIED, " ", said)
    finders = {"day": _day, "time": _time, "count": _count, "digits": _digits, "name": _name}
    values: dict[str, str | int] = {}
    for kind, find in finders.items():
        if kind not in kinds:
            continue
        value = find(held, due, rules)
        if value is not None:
            values[kinds[kind]] = value
    _corrected(held, values, kinds, rules)
    name = kinds.get("name", "")
    if name and (spelt := _spelt_name(text)):
        values[name] = spelt
    elif repair and name in values:
        values[name] = like_name(str(values[name]), rules.names)
    return Found(values, held, _without(held))


def join_digits(before: str, now: str, at_least: int) -> str:
    """A number that a pause cut in two: the parts together, or the latter alone when it is a whole one."""
    return now if len(now) >= at_least else before + now


def _day(said: str, due: Slot | None, rules: Rules) -> str | None:
    days = _DAY.findall(said)
    return days[-1] if days else None


def _time(said: str, due: Slot | None, rules: Rules) -> str | None:
    found: list[tuple[int, str]] = []
    for pattern, minutes in _TIMES:
        for match in pattern.finditer(said):
            hour, *others = match.groups()
            minute = next((part for part in others if part and part.isdigit()), None)
            half = next((part for part in others if part in ("am", "pm")), None)
            if time := _clock(hour, minute, half, minutes, rules.day_begins_at):
                found.append((match.end(), time))
    if not found and due is not None and due.kind == "time":
        # Asked for a time, a bare number is one: the last, unless it counts people.
        for match in re.finditer(rf"\b{_CLOCK}\b(?! {_PEOPLE})", said):
            if time := _clock(match[1], match[2], None, 0, rules.day_begins_at):
                found.append((match.end(), time))
    return max(found)[1] if found else None


def _clock(hour: str | None, minute: str | None, half: str | None, minutes: int, first: int) -> str | None:
    total = int(hour or 0) * 60 + int(minute or 0) + minutes
    if not 0 < total < 24 * 60:
        return None
    if total < 12 * 60 and half != "am" and (half == "pm" or total < first * 60):
        total += 12 * 60
    return f"{total // 60:02}:{total % 60:02}"


def _count(said: str, due: Slot | None, rules: Rules) -> int | None:
    found = [(m.end(), int(m[1])) for pattern in _COUNTS for m in pattern.finditer(said)]
    if not found and re.search(r"\b(just|only) (me|myself)\b|\bon my own\b", said):
        return 1
    if not found and due is not None and due.kind == "count":
        found = [(m.end(), int(m[0])) for m in re.finditer(r"\b\d{1,2}\b(?!:)", said)]
    return max(found)[1] if found else None


def _digits(said: str, due: Slot | None, rules: Rules) -> str | None:
    said = re.sub(r"\bdouble (\d)\b", r"\1 \1", re.sub(r"\b(?:oh|o)\b", "0", said))
    runs = re.findall(r"(?:\d+ )*\d+", said.replace(":", ""))
    longest = max((re.sub(r"\D", "", run) for run in runs), key=len, default="")
    if due is not None and due.kind == "digits":
        return "".join(re.findall(r"\d", said)) or None
    return (
        longest if (len(longest) >= 3 and re.search(r"\bnumber|call\b|\breach\b", said)) or len(longest) >= 5 else None
    )


def _name(said: str, due: Slot | None, rules: Rules) -> str | None:
    named = [m for m in _NAMES.findall(said) if m not in _NO_NAMES]
    if due is not None and due.kind == "name":
        # A name that is said and then spelt: the spelling, which comes last, is what counts.
        bare = [word for word in re.findall(r"[a-z]{2,}", said) if word not in _NO_NAMES]
        return bare[-1] if bare else None
    return named[-1] if named else None


def _spelt_name(text: str) -> str | None:
    """A name that the caller spelt, at least three letters: it is right, however unusual."""
    runs = re.findall(r"\b[a-z](?:[\W_]+[a-z]\b){2,}", text.lower())
    return re.sub(r"[^a-z]", "", runs[-1]) if runs else None


def _corrected(said: str, values: dict[str, str | int], kinds: Mapping[str, str], rules: Rules) -> None:
    """A bare number after ``no`` or ``I mean``: it stands for what was named last before, people or a time."""
    for match in _CORRECTED.finditer(said):
        before = said[: match.start()]
        if re.match(rf" ?{_PEOPLE}", said[match.end() :]):
            continue
        people_at = max((m.end() for p in _COUNTS for m in p.finditer(before)), default=-1)
        time_at = max((m.end() for p, _ in _TIMES for m in p.finditer(before)), default=-1)
        if people_at < 0 and time_at < 0:
            continue
        if people_at > time_at and "count" in kinds:
            values[kinds["count"]] = int(match[1])
        elif "time" in kinds and (time := _clock(match[1], match[2], None, 0, rules.day_begins_at)):
            values[kinds["time"]] = time


def _without(said: str) -> str:
    """The words that ask for something, without the values: those would make each sentence unlike its phrasings."""
    for pattern in (*(p for p, _ in _TIMES), *_COUNTS, _DAY):
        said = pattern.sub(" ", said)
    return " ".join(re.sub(r"\b(?:on|at|for)\s+(?=on\b|at\b|for\b|$)", " ", said).split())


def slot_asked(words: str, rules: Rules) -> str | None:
    """The slot that the agent's `words` ask for; None: none."""
    for name, slot in rules.slots.items():
        if plain(slot.ask) in plain(words):
            return name
    return None
