"""What leads a call to an agent that it does not name: the API key that asks, or the number that was dialled. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Routes:
    """Of one region."""

    default: str = ""
    """The agent of calls that nothing else leads to one; empty: there is none."""
    tenants: Mapping[str, str] = field(default_factory=dict)
    """Name of an API key -> agent."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Dialled number, or its beginning and a star -> agent."""

    def of_key(self, key: str) -> str:
        """The agent of a call that the key asks for; empty: it must name one."""
        return self.tenants.get(key, self.default)

    def of_number(self, dialled: str) -> str:
        """The agent of a call in which this number was dialled, the longest beginning first."""
        fits = [number for number in self.numbers if _fits(number, dialled)]
        return self.numbers[max(fits, key=len)] if fits else self.default


def _fits(number: str, dialled: str) -> bool:
    return dialled.startswith(number[:-1]) if number.endswith("*") else dialled == number
