"""Traces: calls with their arrivals and durations, read from text or made up.

Nothing is guessed: a line that is not a call is refused by its number, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_json
from voicefleet.traffic.durations import Law, check_positive

Seconds = NDArray[np.float64]

MAX_ARRIVAL_S = 10 * 366 * 86_400.0
"""Ten years: a larger offset is no offset, but a date."""
MAX_DURATION_S = 7 * 86_400.0
"""A week: a longer call is a mistake in its units."""
MAX_CALLS = 20_000_000

_HEADERS = (["arrival_s", "duration_s"], ["arrival_s"])


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls in the order in which they arrive.

    Attributes:
        name: what it is called in reports.
        arrivals_s: shape ``(n,)``, seconds from the start, non-decreasing, >= 0.
        durations_s: shape ``(n,)``, seconds, > 0.
        campaigns: announced rises of the rate, as (start in s, length in s, additional calls per second).
    """

    name: str
    arrivals_s: Seconds
    durations_s: Seconds
    origin: str = ""
    campaigns: tuple[tuple[float, float, float], ...] = field(default=())

    def __len__(self) -> int:
        return int(self.arrivals_s.size)

    @property
    def mean_live(self) -> float:
        """Mean calls in progress between the first arrival and the last."""
        if len(self) < 2:
            return 0.0
        span = float(self.arrivals_s[-1] - self.arrivals_s[0])
        return float(self.durations_s.sum()) / span if span > 0 else float(len(self))

    def stretched(self, mean_live: float) -> Trace:
        """The same calls, spread over more or less time so that `mean_live` are in progress on average."""
        check_positive("mean_live", mean_live, "Give the calls in progress to aim at, e.g. 120.")
        factor = self.mean_live / mean_live
        campaigns = tuple((a * factor, b * factor, c / factor) for a, b, c in self.campaigns)
        return replace(self, arrivals_s=self.arrivals_s * factor, campaigns=campaigns)


def parse_csv(
    lines: Iterable[str], *, source: str, law: Law | None = None, rng: np.random.Generator | None = None
) -> Trace:
    """Calls from CSV with the header ``arrival_s,duration_s``, or ``arrival_s`` alone and a law of durations.

    Empty lines and lines that begin with ``#`` are left out.

    Args:
        lines: the text, line by line.
        source: the file's name, for messages: they begin with ``source:line``.
        law, rng: for a trace without durations.

    Raises:
        ConfigError: naming the line, the value and what is wrong with it.
    """
    header: list[str] | None = None
    arrivals: list[float] = []
    durations: list[float] = []
    last = 0.0
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if number == 1:
            line = line.removeprefix("\ufeff")
        if not line or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split(",")]
        at = f"{source}:{number}"
        if header is None:
            if cells not in _HEADERS:
                raise ConfigError(
                    "not the header of a trace",
                    field=at,
                    value=line,
                    hint="Begin with `arrival_s,duration_s`, or `arrival_s`.",
                )
            header = cells
            continue
        if len(cells) != len(header):
            raise ConfigError(
                f"{len(cells)} values where the header names {len(header)}",
                field=at,
                value=line,
                hint=f"Give {' and '.join(header)} on each line.",
            )
        arrival = _number(cells[0], at, "arrival_s", 0.0, MAX_ARRIVAL_S)
        if arrival < last:
            raise ConfigError(
                f"arrival_s is before the one above it ({last:g})",
                field=at,
                value=cells[0],
                hint="Sort the calls by arrival_s.",
            )
        last = arrival
        arrivals.append(arrival)
        if len(cells) == 2:
            duration = _number(cells[1], at, "duration_s", 0.0, MAX_DURATION_S)
            if duration == 0.0:
                raise ConfigError(
                    "duration_s is 0: a call that was never there",
                    field=at,
                    value=cells[1],
                    hint="Leave this call out.",
                )
            durations.append(duration)
        if len(arrivals) > MAX_CALLS:
            raise ConfigError(f"more than {MAX_CALLS} calls", field=at, hint="Split the trace.")
    if not arrivals:
        raise ConfigError("there is no call in it", field=source, hint="Give a header and at least one call.")
    return Trace(Path(source).stem, np.array(arrivals), _durations(durations, len(arrivals), law, rng, source), source)


def _durations(
    given: list[float], count: int, law: Law | None, rng: np.random.Generator | None, source: str
) -> Seconds:
    if given:
        return np.array(given)
    if law is None or rng is None:
        raise ConfigError(
            "has no duration_s, and there is no law to draw durations from", field=source, hint="Add the column."
        )
    return law.draw(count, rng)


def _number(text: str, at: str, name: str, least: float, most: float) -> float:
    if not text:
        raise ConfigError(f"{name} is missing", field=at, hint="Give seconds.")
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{name} is no number", field=at, value=text, hint="Give seconds, e.g. 12.5.") from None
    if not math.isfinite(value):
        raise ConfigError(f"{name} is not finite", field=at, value=text, hint="Give seconds, e.g. 12.5.")
    if value < least:
        what = "seconds from the start, 0 or more" if name == "arrival_s" else "how long the call lasted, in seconds"
        raise ConfigError(f"{name} is negative", field=at, value=text, hint=f"Give {what}.")
    if value > most:
        raise ConfigError(
            f"{name} is above {most:.0f} s", field=at, value=text, hint="Give seconds, not milliseconds or a date."
        )
    return value


def read_trace(path: Path, *, law: Law, rng: np.random.Generator) -> Trace:
    """The trace in `path`: CSV, or the JSON answer of a Prometheus range query (``*.json``).

    Raises:
        ConfigError: the file cannot be read, or is no trace.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror})", field=str(path), hint="Give the path of a trace."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not text", field=str(path), hint="Give a CSV file in UTF-8.") from error
    if path.suffix == ".json":
        return parse_prometheus(text, source=str(path), law=law, rng=rng)
    return parse_csv(text.splitlines(), source=str(path), law=law, rng=rng)


def parse_prometheus(text: str, *, source: str, law: Law, rng: np.random.Generator) -> Trace:
    """Calls from the answer of a Prometheus range query whose value is the calls that began in each step.

    For example ``sum(increase(voicefleet_calls_total[1m]))`` with step 60 s. Several series are added up. Where in
    its step a call began is drawn evenly, which adds no burstiness of its own; durations come from `law`.

    Raises:
        ConfigError: not such an answer, a step that is missing, or a value that is no count.
    """
    hint = "Give the answer of /api/v1/query_range."
    answer = parse_json(text, field=source)
    try:
        series = answer["data"]["result"]
        rows: list[list[tuple[float, float]]] = [[(float(t), float(v)) for t, v in s["values"]] for s in series]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError("is no answer of a Prometheus range query", field=source, hint=hint) from error
    sums: dict[float, float] = {}
    for row in rows:
        for at, value in row:
            if not math.isfinite(value) or value < 0:
                raise ConfigError("not a count of calls", field=f"{source}: t={at:.0f}", value=value, hint=hint)
            sums[at] = sums.get(at, 0.0) + value
    times = sorted(sums)
    if len(times) < 2:
        raise ConfigError("has fewer than two steps", field=source, hint="Ask for a longer range.")
    step_s = min(b - a for a, b in pairwise(times))
    for a, b in pairwise(times):
        if b - a > 1.5 * step_s:
            raise ConfigError(
                f"no data for {b - a - step_s:.0f} s: unknown is not zero",
                field=f"{source}: t={a:.0f}",
                hint="Ask for a range without gaps.",
            )
    arrivals: list[float] = []
    owed = 0.0
    for at in times:
        owed += sums[at]
        whole = int(owed)
        owed -= whole
        # `increase` at t counts the calls of the step before it.
        arrivals += (at - times[0] + rng.random(whole) * step_s).tolist()
    if not arrivals:
        raise ConfigError("there is no call in it", field=source, hint=hint)
    arrivals.sort()
    return Trace(Path(source).stem, np.array(arrivals), law.draw(len(arrivals), rng), source)


def azure(law: Law, rng: np.random.Generator) -> Trace:
    """The arrivals of 19,366 requests to a language model at Azure, shipped with voicefleet (CC-BY-4.0, see data/)."""
    file = resources.files("voicefleet.traffic") / "data" / "azure_llm_conv_arrivals.csv"
    trace = parse_csv(file.read_text(encoding="utf-8").splitlines(), source="azure", law=law, rng=rng)
    return replace(trace, origin="Azure Public Dataset, CC-BY-4.0")
