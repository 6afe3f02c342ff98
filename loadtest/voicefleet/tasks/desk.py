"""A restaurant's phone desk: the bookings that the task agent's tools work on. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_PEOPLE = 12
OPENS, CLOSES = 11, 23
"""Hours between which a table can be had; the last is an hour before the end."""


class DeskError(Exception):
    """It cannot be done; the message is a sentence that can be spoken."""


@dataclass(slots=True)
class Desk:
    """What the desk knows.

    Attributes:
        bookings: name in lower case -> ``{"day", "time", "people"}``.
        numbers: phone numbers that callers left, digits only.
        transfers: reasons for which callers were passed to a person.
    """

    bookings: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    transfers: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Desk:
        """A desk with the bookings of a task's metadata: ``{"bookings": {name: {day, time, people}}}``."""
        raw = state.get("bookings", {})
        return cls(bookings={str(name).lower(): dict(booking) for name, booking in raw.items()})

    def state(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            "bookings": {name: dict(booking) for name, booking in sorted(self.bookings.items())},
            "numbers": list(self.numbers),
            "transfers": self.transfers,
        }

    def book(self, name: str, day: str, time: str, people: int) -> str:
        """A new booking. Raises DeskError: what is asked for cannot be."""
        key, booking = _name(name), {"day": _day(day), "time": _time(time), "people": _people(people)}
        if key in self.bookings:
            raise DeskError(f"There is a booking for {key} already. Shall I change it?")
        self.bookings[key] = booking
        return f"Booked: {_told(booking)}, for {key}."

    def change(self, name: str, day: str = "", time: str = "", people: int = 0) -> str:
        """What is given replaces what was booked. Raises DeskError: no such booking, or it cannot be."""
        booking = self._booking(name)
        new = dict(booking)
        if day:
            new["day"] = _day(day)
        if time:
            new["time"] = _time(time)
        if people:
            new["people"] = _people(people)
        if new == booking:
            raise DeskError("What shall I change?")
        booking.update(new)
        return f"Changed: {_told(booking)}, for {_name(name)}."

    def cancel(self, name: str) -> str:
        """Raises DeskError: no such booking."""
        self._booking(name)
        del self.bookings[_name(name)]
        return f"The booking for {_name(name)} is cancelled."

    def look_up(self, name: str) -> str:
        """Raises DeskError: no such booking."""
        return f"I see {_told(self._booking(name))}, for {_name(name)}."

    def leave_number(self, number: str) -> str:
        """Keep a phone number. Raises DeskError: not one of 5 to 15 digits."""
        digits = re.sub(r"\D", "", str(number))
        if not 5 <= len(digits) <= 15:
            raise DeskError("Sorry, that number is not complete. Please say it again.")
        if digits not in self.numbers:
            self.numbers.append(digits)
        return f"Thank you, I noted {' '.join(digits)}."

    def transfer(self) -> str:
        """Pass the caller to a person."""
        self.transfers += 1
        return "One moment, I pass you to a colleague."

    def _booking(self, name: str) -> dict[str, Any]:
        found = self.bookings.get(_name(name))
        if found is None:
            raise DeskError(f"I find no booking for {_name(name)}.")
        return found


def spoken_time(time: str) -> str:
    """``19:30`` as one says it: ``seven thirty``."""
    hour, minute = (int(part) for part in time.split(":"))
    hours = ("twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
    minutes = {0: "", 15: " fifteen", 30: " thirty", 45: " forty five"}
    return f"{hours[hour % 12]}{minutes.get(minute, f' {minute}')}"


def _told(booking: Mapping[str, Any]) -> str:
    people = booking["people"]
    party = "one person" if people == 1 else f"{people} people"
    return f"{booking['day'].capitalize()} at {spoken_time(booking['time'])}, {party}"


def _name(name: str) -> str:
    found = re.sub(r"[^a-z]", "", str(name).lower())
    if not found:
        raise DeskError("What name is it, please?")
    return found


def _day(day: str) -> str:
    found = str(day).strip().lower()
    if found not in DAYS:
        raise DeskError("For which day, please?")
    return found


def _time(time: str) -> str:
    match = re.fullmatch(r"(\d{1,2}):(\d\d)", str(time).strip())
    if match is None:
        raise DeskError("At what time, please?")
    hour, minute = int(match[1]), int(match[2])
    if not OPENS <= hour < CLOSES or minute > 59:
        raise DeskError("We are open from eleven to eleven. At what time, please?")
    return f"{hour:02}:{minute:02}"


def _people(people: int) -> int:
    try:
        found = int(people)
    except (TypeError, ValueError) as error:
        raise DeskError("For how many people, please?") from error
    if not 1 <= found <= MOST_PEOPLE:
        raise DeskError("We have tables for one to twelve people. For how many is it?")
    return found
