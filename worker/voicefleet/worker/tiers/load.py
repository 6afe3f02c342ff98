"""Read a tiers file and check, before any call, that every provider in it can be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from voicefleet.contract.errors import ConfigError, Mistakes
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.renamed import TIERS_FILE
from voicefleet.contract.parsing.validation import validated
from voicefleet.local.model_server.packages import require_models
from voicefleet.runtime.text_file import read_text
from voicefleet.worker.ladder.decision import LadderRules
from voicefleet.worker.phrases.table import PhraseTable, load_phrases
from voicefleet.worker.tiers.plugins import ResolvedProvider, find_provider
from voicefleet.worker.tiers.schema import LONE_TIMEOUT_S, StageProvider, Tier, TiersFile

BUILT_IN = ("local", "synthetic", "own")


@dataclass(frozen=True, slots=True)
class Stage(ResolvedProvider):
    """A stage's first provider, and those that take over when it fails; each has `limit_s` seconds to answer."""

    fallback: tuple[ResolvedProvider, ...] = ()
    limit_s: float = LONE_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class ReadyTier:
    """A tier all of whose providers were found."""

    name: str
    tier: Tier
    stages: Mapping[str, Stage]
    phrases: PhraseTable

    def with_voice(self, other: ReadyTier) -> ReadyTier:
        """This tier with the voice of another one."""
        voice = {"tts": other.stages["tts"]} if "tts" in other.stages else {}
        return replace(self, stages={**self.stages, **voice})

    @property
    def required_models(self) -> frozenset[str]:
        """Models that the worker must load once for all its jobs (see `local.model_server`)."""
        found = [f for s in self.stages.values() for f in (s, *s.fallback)]
        return frozenset(m for f in found for m in getattr(f.cls, "required_models", ()))


@dataclass(frozen=True, slots=True)
class Tiers:
    """What a worker can be asked for."""

    pipeline: str
    default: str
    by_name: Mapping[str, ReadyTier]
    ladder: LadderRules | None = None
    """None: every call is served by the tier that it asks for."""

    def pick(self, name: str) -> ReadyTier:
        """The tier `name`; the default for an empty or unknown one, since a call is worth more than its tier."""
        return self.by_name.get(name) or self.by_name[self.default]

    def serving(self, asked: ReadyTier, level: int) -> ReadyTier:
        """The tier that serves a call that asked for `asked`, `level` steps down the ladder."""
        return asked if self.ladder is None else self.by_name[self.ladder.tier(asked.name, level)]

    @property
    def required_models(self) -> frozenset[str]:
        return frozenset(m for t in self.by_name.values() for m in t.required_models)


def read_tiers(where: str) -> TiersFile:
    """The tiers file at path `where`, or the built-in one of that name.

    Raises:
        ConfigError: not readable, not YAML, or a field is wrong; it names the field.
    """
    if where in BUILT_IN:
        text = (resources.files("voicefleet.worker.tiers") / f"{where}.yaml").read_text(encoding="utf-8")
    else:
        text = read_text(where, field="--tiers", hint=f"Give a YAML file, or one of {', '.join(BUILT_IN)}.")
    return validated(TiersFile, parse_yaml(text, field="--tiers", value=where), source=where, renamed=TIERS_FILE)


def resolve_tiers(file: TiersFile, environment: Mapping[str, str], source: str = "the tiers file") -> Tiers:
    """Find every provider class and check its arguments against its signature. Nothing is built.

    Args:
        source: what holds the tiers, for messages.

    Raises:
        MissingPartError: a plugin, or the package of a model or turn detector, is not installed.
        ConfigError: a class is not there, an argument is not known, an environment variable is not set, or an
            apology's audio cannot be played; `ConfigErrors` when several things are wrong.
    """
    mistakes = Mistakes(source)
    ready: dict[str, ReadyTier] = {}
    for name, tier in file.tiers.items():
        stages: dict[str, Stage] = {}
        for stage, provider in tier.stages().items():
            with mistakes.noted():
                stages[stage] = _resolve_stage(provider, stage, f"tiers.{name}.{stage}", environment)
        with mistakes.noted():
            _require_detector(tier, f"tiers.{name}.turn_detection")
        with mistakes.noted():
            ready[name] = ReadyTier(name, tier, stages, load_phrases(tier, f"tiers.{name}"))
    mistakes.refuse()
    ladder = LadderRules(**file.ladder.model_dump()) if file.ladder is not None else None
    return Tiers(file.pipeline, file.default, ready, ladder)


def _require_detector(tier: Tier, field: str) -> None:
    if tier.turn_detection == "smart-turn":
        # Here, because importing livekit-agents takes a second, and most files do not need it to be checked.
        from voicefleet.local.smart_turn import require_smart_turn

        require_smart_turn(field)


def _resolve_stage(provider: StageProvider, stage: str, field: str, environment: Mapping[str, str]) -> Stage:
    mistakes = Mistakes("the tiers file")
    named = {field: provider, **{f"{field}.fallback.{n}": other for n, other in enumerate(provider.fallback)}}
    found: list[ResolvedProvider] = []
    for place, one in named.items():
        with mistakes.noted():
            found.append(find_provider(one, place, environment))
            # Said here, not by a worker that cannot load it.
            require_models(getattr(found[-1].cls, "required_models", ()), f"{place}.plugin")
            if provider.fallback:
                _check_kind(found[-1], stage, place, one.plugin)
    mistakes.refuse()
    first, *others = found
    return Stage(first.cls, first.args, tuple(others), provider.limit_s)


def _check_kind(found: ResolvedProvider, stage: str, field: str, plugin: str) -> None:
    """Providers that stand in for each other must be of one kind; a realtime model, for one, has no stand-in."""
    # Here, because importing it takes a second, and a wrong file is to be refused before that.
    from livekit.agents import llm, stt, tts

    kind: type[Any] = {"stt": stt.STT, "llm": llm.LLM, "tts": tts.TTS}[stage]
    if not issubclass(found.cls, kind):
        raise ConfigError(
            f"cannot be used with a fallback: it is no livekit.agents {stage}.{kind.__name__}",
            field=f"{field}.plugin",
            value=plugin,
            hint="Remove the fallback, or name a plugin of that kind.",
        )
