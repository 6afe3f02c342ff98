"""Steps a live call down or up the ladder between two turns: nobody speaks, no answer is due, no tool runs.

STT and LLM change, so the next turn is served by the other tier's, whole. The voice does not, unless the tiers file
says so (`keep_voice: false`): a caller would take another voice for another person. Turn taking, language and phrases
stay those that the call began with. A stage that one agent of the team brings itself (`Agent(llm=...)`) stays too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.telemetry.observations import TierChanged
from voicefleet.worker.tiers.load import ReadyTier, Stage, Tiers

LOOK_EVERY_S = 0.05

log = get_logger(__name__)

Build = Callable[[str, Stage], Any]
"""Builds a stage's provider, from the stage's name and what the tier says of it."""


class LiveStep:
    """One call's place on the ladder.

    Args:
        asked: the tier that the call asked for.
        serving: the one that it began with.
        own: the providers that the session came with, by stage; a tier that leaves a stage out has these.
        between_turns: whether the call is between two turns now.
        swap: has the session use these providers, by stage, from the next turn on.
        changed: takes what became of a step.
        level: that of the worker when the call began.
    """

    def __init__(
        self,
        tiers: Tiers,
        asked: ReadyTier,
        serving: ReadyTier,
        *,
        own: Mapping[str, Any | None],
        between_turns: Callable[[], bool],
        build: Build,
        swap: Callable[[Mapping[str, Any], ReadyTier], None],
        changed: Callable[[TierChanged], None],
        clock: Clock,
        level: Level,
    ) -> None:
        self._tiers = tiers
        self._asked = asked
        self._serving = serving
        self._between_turns = between_turns
        self._build = build
        self._swap = swap
        self._changed = changed
        self._clock = clock
        self._level = level
        self._running = False
        self._built: list[tuple[Stage | None, str, Any]] = [(None, name, provider) for name, provider in own.items()]
        self._stepping: asyncio.Task[None] | None = None

    def began(self, providers: Mapping[str, Any | None]) -> None:
        """The session runs, with these providers by stage: from now on the call may step."""
        self._built += [(self._serving.stages.get(name), name, provider) for name, provider in providers.items()]
        self._running = True
        if self._asked.name != self._serving.name:
            self._tell("start", self._serving, self._asked)
        self.on_level(self._level)

    def on_level(self, level: Level) -> None:
        """The worker stands on another step of its ladder."""
        self._level = level
        waits = self._stepping is not None and not self._stepping.done()
        if self._running and self._wanted.name != self._serving.name and not waits:
            self._stepping = asyncio.create_task(self._step())

    async def end(self) -> None:
        """The call is over for this job."""
        self._running = False
        if self._stepping is not None:
            await cancel_and_wait([self._stepping])

    @property
    def _wanted(self) -> ReadyTier:
        return self._tiers.serving(self._asked, self._level.steps)

    async def _step(self) -> None:
        """Wait for the end of the turn, and step to what is wanted then."""
        while (wanted := self._wanted).name != self._serving.name:
            if not self._between_turns():
                await self._clock.sleep(LOOK_EVERY_S)
                continue
            before = self._serving
            try:
                # Nothing is awaited in here: no turn can begin between the look and the change.
                self._swap(self._changes(before, wanted), wanted)
            except Exception as error:
                log.error("the call stays on its tier: the step failed", tier=wanted.name, error=error_summary(error))
                self._tell("failed", wanted, before)
                return  # The worker's next step tries again.
            self._serving = wanted
            self._tell("between_turns", wanted, before)

    def _changes(self, before: ReadyTier, wanted: ReadyTier) -> dict[str, Any]:
        """The providers to change, by stage; those that both tiers have alike stay."""
        assert self._tiers.ladder is not None
        names = ("stt", "llm") if self._tiers.ladder.keep_voice else ("stt", "llm", "tts")
        changes = {}
        for name in names:
            stage = wanted.stages.get(name)
            if stage != before.stages.get(name):
                changes[name] = self._provider(name, stage)
        return changes

    def _provider(self, name: str, stage: Stage | None) -> Any:
        for known, of, provider in self._built:
            if of == name and known == stage:
                return provider
        if stage is None:
            return None
        self._built.append((stage, name, self._build(name, stage)))
        return self._built[-1][2]

    def _tell(self, result: str, tier: ReadyTier, before: ReadyTier) -> None:
        log.info("tier of the call changed", result=result, tier=tier.name, instead_of=before.name, why=self._level.why)
        self._changed(TierChanged(result, tier.name, before.name, self._level.why))
