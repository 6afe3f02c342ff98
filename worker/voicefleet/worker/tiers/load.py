"""Read a tiers file and check, before any call, that every provider in it can be built."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.renamed import TIERS_FILE
from voicefleet.contract.parsing.validation import config_error
from voicefleet.worker.phrases.table import PhraseTable, load_phrases
from voicefleet.worker.tiers.schema import LONE_TIMEOUT_S, Provider, StageProvider, Tier, TiersFile

BUILT_IN = ("local", "synthetic", "own")


@dataclass(frozen=True, slots=True)
class ResolvedProvider:
    """A provider class that was found and whose arguments fit: `build` gives a new instance."""

    cls: type[Any]
    args: dict[str, Any]

    def build(self) -> Any:
        return self.cls(**self.args)


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

    def pick(self, name: str) -> ReadyTier:
        """The tier `name`; the default for an empty or unknown one, since a call is worth more than its tier."""
        return self.by_name.get(name) or self.by_name[self.default]

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
        try:
            text = Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot be read ({error.strerror if isinstance(error, OSError) else 'not UTF-8'})",
                field="--tiers",
                value=where,
                hint=f"Give a YAML file, or one of {', '.join(BUILT_IN)}.",
            ) from error
    raw = parse_yaml(text, field="--tiers", value=where)
    try:
        return TiersFile.model_validate(raw)
    except ValidationError as error:
        raise config_error(error, TiersFile, source=where, renamed=TIERS_FILE) from error


def resolve_tiers(file: TiersFile, environment: Mapping[str, str]) -> Tiers:
    """Find every provider class and check its arguments against its signature. Nothing is built.

    Raises:
        MissingPartError: a plugin is not installed.
        ConfigError: a class is not there, an argument is not known, an environment variable is not set, or an
            apology's audio cannot be played.
    """
    ready = {
        name: ReadyTier(
            name,
            tier,
            {
                stage: _resolve_stage(provider, stage, f"tiers.{name}.{stage}", environment)
                for stage, provider in tier.stages().items()
            },
            load_phrases(tier, f"tiers.{name}"),
        )
        for name, tier in file.tiers.items()
    }
    return Tiers(file.pipeline, file.default, ready)


def _resolve_stage(provider: StageProvider, stage: str, field: str, environment: Mapping[str, str]) -> Stage:
    first = _resolve(provider, field, environment)
    fallback = tuple(_resolve(other, f"{field}.fallback.{n}", environment) for n, other in enumerate(provider.fallback))
    if fallback:
        _check_kind(first, stage, field, provider.plugin)
        for n, (found, other) in enumerate(zip(fallback, provider.fallback, strict=True)):
            _check_kind(found, stage, f"{field}.fallback.{n}", other.plugin)
    return Stage(first.cls, first.args, fallback, provider.limit_s)


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


def _resolve(provider: Provider, field: str, environment: Mapping[str, str]) -> ResolvedProvider:
    module_name, class_name = provider.plugin.split(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise MissingPartError(
            f"the plugin is not installed (no module named {error.name})",
            field=f"{field}.plugin",
            value=provider.plugin,
            hint=f"Install it (for a livekit plugin: pip install {distribution(module_name)}), or name another.",
        ) from error
    except UsageError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the plugin does not import ({type(error).__name__}: {error})",
            field=f"{field}.plugin",
            value=provider.plugin,
            hint="Correct the plugin, or name another.",
        ) from error
    cls = getattr(module, class_name, None)
    if not inspect.isclass(cls):
        raise ConfigError(
            f"module {module_name} has no class {class_name}",
            field=f"{field}.plugin",
            value=provider.plugin,
            hint="Write dotted.module:Class.",
        )
    args = {
        name: _from_environment(value, f"{field}.args.{name}", environment) for name, value in provider.args.items()
    }
    try:
        inspect.signature(cls).bind(**args)
    except TypeError as error:
        names = [p for p in inspect.signature(cls).parameters if p not in ("args", "kwargs")]
        raise ConfigError(
            f"{class_name} does not take these arguments ({error})",
            field=f"{field}.args",
            hint=f"It takes: {', '.join(names) or 'none'}.",
        ) from error
    return ResolvedProvider(cls, args)


def _from_environment(value: Any, field: str, environment: Mapping[str, str]) -> Any:
    if not (isinstance(value, dict) and set(value) == {"env"}):
        return value
    name = str(value["env"])
    if name not in environment:
        raise ConfigError(
            f"the environment variable {name} is not set", field=field, hint="Set it, or remove the argument."
        )
    return environment[name]


def distribution(module_name: str) -> str:
    """The package to install for a module, as far as its name tells."""
    parts = module_name.split(".")
    if parts[:2] != ["livekit", "plugins"]:
        return parts[0]
    return f"livekit-plugins-{parts[2] if len(parts) > 2 else 'NAME'}"
