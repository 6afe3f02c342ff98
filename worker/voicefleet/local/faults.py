"""Faults of the synthetic providers, switched from outside while calls run. For tests and chaos runs.

A provider that is given ``faults_file: PATH`` reads that file at each request. It holds JSON such as
``{"stt": "hang", "tts": "drop"}``, by stage:

- ``hang``: the request is taken and nothing ever comes of it;
- ``refuse``: it is answered with status 429, too many requests;
- ``drop``: it begins, then the connection is lost midway.

A stage that is not named is healthy, and so are all when there is no such file. Write the file whole and rename it
into place: one that is read half-written is taken as it was before.
"""

from __future__ import annotations

import asyncio
import enum
import json
from pathlib import Path

from livekit.agents import APIConnectionError, APIStatusError

from voicefleet.contract.errors import ConfigError


class Fault(enum.StrEnum):
    HANG = "hang"
    REFUSE = "refuse"
    DROP = "drop"


class Faults:
    """The faults of one stage (``stt``, ``llm`` or ``tts``). Without a path there are none, and no file is read."""

    def __init__(self, path: str, stage: str) -> None:
        self._path = Path(path) if path else None
        self._stage = stage
        self._last: Fault | None = None

    def now(self) -> Fault | None:
        """What is wrong at this moment.

        Raises:
            ConfigError: the file names a fault that there is not.
        """
        if self._path is None:
            return None
        try:
            named = json.loads(self._path.read_bytes()).get(self._stage)
        except FileNotFoundError:
            named = None
        except (OSError, ValueError, AttributeError, RecursionError):
            return self._last
        try:
            self._last = Fault(named) if named else None
        except ValueError as error:
            raise ConfigError(
                "no such fault",
                field=f"{self._path}: {self._stage}",
                value=named,
                hint=f"Write one of {', '.join(Fault)}, or leave the stage out.",
            ) from error
        return self._last

    async def begin(self) -> bool:
        """At the start of a request: never returns, raises, or says whether it is to be dropped midway.

        Raises:
            APIStatusError: status 429.
        """
        fault = self.now()
        if fault is Fault.HANG:
            await asyncio.get_running_loop().create_future()
        if fault is Fault.REFUSE:
            raise APIStatusError(f"synthetic {self._stage}: too many requests", status_code=429)
        return fault is Fault.DROP

    def drop(self) -> APIConnectionError:
        """What to raise midway when `begin` said so."""
        return APIConnectionError(f"synthetic {self._stage}: connection lost")
