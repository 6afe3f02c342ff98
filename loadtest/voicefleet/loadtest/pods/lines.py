"""What a pod of a load test tells: lines of its log, each a JSON object. Pure.

``{"loadtest": KIND, "n": number of the line, "at": Unix seconds of the pod's clock, ...}``:

ready    all is prepared; told again every second until the start, so that the starter can compare clocks
began    ``late_s``: how long after the start
beat     ``health``: the generator's, so far
event    ``call``, ``kind``, ``data``: what happens in a call, as far as a picture of the run shows it (`SHOWN`)
call     ``call``: the outcome of a call that is over; once more when it is known where its time went
reads    ``reads``: how the reading of that went
end      ``health``, ``engine``, ``wall_s``: of all of it; ``why``: empty when all calls are over, else what ended it
refused  ``what``, ``field``, ``value``, ``hint``: of the `UsageError` that ended it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.stages import joined_turns
from voicefleet.contract.errors import UsageError
from voicefleet.loadtest.run import LoadRun
from voicefleet.loadtest.stage_times import CallReads

BEAT_EVERY_S = 5.0
READY_EVERY_S = 1.0
MARK = "loadtest"
SHOWN: Mapping[str, tuple[str, ...]] = {"due": ("lag_s",), "joined": (), "agent_joined": (), "reply": ("ttfa_s",)}
"""Events that are told, each with those of its data."""


class Teller:
    """Writes the lines of one pod.

    Args:
        write: takes a line.
        wall_s: Unix seconds.
    """

    def __init__(self, write: Callable[[str], None], wall_s: Callable[[], float]) -> None:
        self._write, self._wall_s = write, wall_s
        self._lines = 0

    def ready(self) -> None:
        self._tell("ready")

    def began(self, late_s: float) -> None:
        self._tell("began", late_s=round(late_s, 3))

    def beat(self, health: GeneratorHealth) -> None:
        self._tell("beat", health=health.to_json())

    def event(self, call_id: str, kind: str, data: Mapping[str, Any]) -> None:
        if kind in SHOWN:
            shown = {name: data[name] for name in SHOWN[kind] if name in data}
            self._tell("event", call=call_id, kind=kind, data=shown)

    def call(self, outcome: CallOutcome) -> None:
        self._tell("call", call=outcome.to_json())

    def stage_times(self, outcomes: Sequence[CallOutcome], reads: CallReads) -> None:
        """What the workers measured: each call for which it is known, once more, and how the reading went."""
        for outcome in outcomes:
            if joined_turns(outcome):
                self.call(outcome)
        self._tell("reads", reads=asdict(reads))

    def end(self, run: LoadRun) -> None:
        self._tell("end", health=run.health.to_json(), engine=dict(run.engine), wall_s=round(run.wall_s, 3), why="")

    def stopped(self, why: str, health: GeneratorHealth, wall_s: float) -> None:
        self._tell("end", health=health.to_json(), engine=None, wall_s=round(wall_s, 3), why=why)

    def refused(self, error: UsageError) -> None:
        value = None if error.value is None else str(error.value)
        self._tell("refused", what=error.what, field=error.field, value=value, hint=error.hint)

    def _tell(self, mark: str, /, **data: Any) -> None:
        line = {MARK: mark, "n": self._lines, "at": round(self._wall_s(), 3), **data}
        self._lines += 1
        self._write(json.dumps(line, separators=(",", ":")))


def parse_line(text: str) -> dict[str, Any] | None:
    """The line of a log, if it is one of ours; None: something else that was logged."""
    if f'"{MARK}"' not in text:
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not isinstance(line.get(MARK), str):
        return None
    return line if isinstance(line.get("n"), int) and isinstance(line.get("at"), int | float) else None


def health_from_json(data: Mapping[str, Any]) -> GeneratorHealth:
    """The health that `GeneratorHealth.to_json` wrote, also of another version.

    Raises:
        TypeError: it is none.
    """
    known = {field.name for field in fields(GeneratorHealth)}
    return GeneratorHealth(**{name: value for name, value in data.items() if name in known})
