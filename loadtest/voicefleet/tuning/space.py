"""A space: the axes along which tiers differ, each with named options, and the candidates that they make together.

    name: local
    base: {preemptive_generation: true}           # fields of every tier
    axes:
      stt:
        whisper-tiny: {stt: {plugin: "voicefleet.local.whisper_stt:WhisperSTT"}}
        pocketsphinx: {stt: {plugin: "voicefleet.local.pocketsphinx_stt:PocketSphinxSTT"}}
      pause:
        short: {vad: {min_silence_s: 0.2}, endpointing: {min_delay_s: 0.1}}
        long: {vad: {min_silence_s: 0.5}, endpointing: {min_delay_s: 0.3}}

Each option is a piece of a tier, so whatever a tiers file takes (any plugin, keys by ``{env: NAME}``) fits here too.
``optional: [stt.whisper-base]`` lets a sweep go without that option where a package of its is not installed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet.contract.calls import TIER_PATTERN
from voicefleet.contract.errors import MissingPartError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.validation import closest, nearest, refused, validated
from voicefleet.runtime.text_file import read_text
from voicefleet.worker.tiers.load import Tiers, resolve_tiers
from voicefleet.worker.tiers.schema import Tier, TiersFile

BUILT_IN = ("local", "turns")
MOST_CANDIDATES = 5_000
JOIN = "_"
"""Between the options in a candidate's name."""

_Option = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30})$")]
_Axis = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]


class Space(BaseModel):
    """A whole space file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=TIER_PATTERN.pattern, max_length=30, description="What reports call it")]
    base: dict[str, Any] = Field(default_factory=dict, description="Fields that every tier of the space has")
    axes: Annotated[
        dict[_Axis, Annotated[dict[_Option, dict[str, Any]], Field(min_length=1)]],
        Field(min_length=1, description="Axis -> option -> the fields of a tier that this option sets"),
    ]

    optional: tuple[str, ...] = Field(
        default=(), description="Options as axis.option: one whose package is not installed is left out, not refused"
    )

    @model_validator(mode="after")
    def _optional_is_there(self) -> Space:
        named = [f"{axis}.{option}" for axis, options in self.axes.items() for option in options]
        for place, name in enumerate(self.optional):
            if name not in named:
                raise refused("is no option", field=f"optional.{place}", value=name, hint=nearest(name, named))
        for axis, options in self.axes.items():
            if all(f"{axis}.{option}" in self.optional for option in options):
                raise refused(
                    f"has every option of the axis {axis}, and one must stay",
                    field="optional",
                    hint="Take one out that needs nothing more.",
                )
        return self

    @model_validator(mode="after")
    def _fields_of_one_axis_each(self) -> Space:
        owner: dict[str, str] = dict.fromkeys(self.base, "base")
        for axis, options in self.axes.items():
            for option, fields in options.items():
                for name in fields:
                    if name not in Tier.model_fields:
                        close = closest(name, Tier.model_fields)
                        raise refused(
                            "is no field of a tier",
                            field=f"axes.{axis}.{option}.{name}",
                            hint=f"Did you mean {close}?" if close else f"Use: {', '.join(sorted(Tier.model_fields))}.",
                        )
                    if owner.setdefault(name, axis) != axis:
                        raise refused(
                            f"is set by {owner[name]} already, and one of the two would be lost",
                            field=f"axes.{axis}.{option}.{name}",
                            hint="Set it on one axis.",
                        )
        if self.size > MOST_CANDIDATES:
            raise refused(
                f"make {self.size} candidates, more than {MOST_CANDIDATES}",
                field="axes",
                hint="Leave options out: two axes of ten options are a hundred.",
            )
        return self

    @property
    def size(self) -> int:
        """How many candidates there are."""
        return math.prod(len(options) for options in self.axes.values())


@dataclass(frozen=True)
class Candidate:
    """One tier that may be chosen.

    Attributes:
        options: axis -> the option's name, in the space's order.
        fields: the tier, as a tiers file has it.
    """

    name: str
    options: Mapping[str, str]
    fields: Mapping[str, Any]


def read_space(where: str) -> Space:
    """The space file at path `where`, or the built-in one of that name.

    Raises:
        ConfigError: not readable, not YAML, or a field is wrong; it names the field.
    """
    if where in BUILT_IN:
        text = (resources.files("voicefleet.tuning") / "spaces" / f"{where}.yaml").read_text(encoding="utf-8")
    else:
        text = read_text(where, field="--space", hint=f"Give a YAML file, or one of: {', '.join(BUILT_IN)}.")
    return validated(Space, parse_yaml(text, field="--space", value=where), source=where)


def candidates(space: Space) -> tuple[Candidate, ...]:
    """Every combination of one option of each axis, in the file's order."""
    axes = list(space.axes.items())
    found = []
    for chosen in itertools.product(*(options.items() for _, options in axes)):
        fields: dict[str, Any] = dict(space.base)
        for _, more in chosen:
            fields |= more
        options = {axis: option for (axis, _), (option, _) in zip(axes, chosen, strict=True)}
        shown = [option for (axis, all_of_it), (option, _) in zip(axes, chosen, strict=True) if len(all_of_it) > 1]
        found.append(Candidate(JOIN.join(shown) or space.name, options, fields))
    return tuple(found)


def tiers_document(
    entrants: Sequence[Candidate], *, pipeline: str, default: str | None = None, **more: Mapping[str, Any]
) -> dict[str, Any]:
    """A tiers file, as YAML has it, with a tier for each of `entrants`, and `more` by name."""
    tiers = {c.name: dict(c.fields) for c in entrants} | {name: dict(fields) for name, fields in more.items()}
    return {"pipeline": pipeline, "default": default or next(iter(tiers)), "tiers": tiers}


def installed(space: Space, environment: Mapping[str, str]) -> tuple[Space, tuple[str, ...]]:
    """The space without the optional options whose packages are missing, and a sentence for each of those."""
    left_out: list[str] = []
    axes = {axis: dict(options) for axis, options in space.axes.items()}
    for name in space.optional:
        axis, _, option = name.partition(".")
        try:
            resolved(space.model_copy(update={"axes": {axis: {option: space.axes[axis][option]}}}), environment)
        except MissingPartError as error:
            del axes[axis][option]
            left_out.append(f"without {name}: {error.what}. {error.hint}")
    return space.model_copy(update={"axes": axes}), tuple(left_out)


def resolved(space: Space, environment: Mapping[str, str]) -> Tiers:
    """Every option of `space`, found and checked, before any call is placed: a plugin that is not there is said here.

    Raises:
        MissingPartError, ConfigError: as `resolve_tiers`, with the option's own place in the file.
    """
    first = {axis: next(iter(options.values())) for axis, options in space.axes.items()}
    tiers: dict[str, dict[str, Any]] = {}
    for axis, options in space.axes.items():
        for option, fields in options.items():
            whole: dict[str, Any] = dict(space.base)
            for other, some in first.items():
                whole |= fields if other == axis else some
            # A name of its own for each, so that a message tells the option.
            tiers[f"{axis}-{option}"[:63]] = whole
    document = {"pipeline": space.name, "default": next(iter(tiers)), "tiers": tiers}
    source = f"the space {space.name}"
    return resolve_tiers(validated(TiersFile, document, source=source), environment, source)


def simulated_stages(tiers: Tiers) -> tuple[str, ...]:
    """Stages that play no model but declared latencies, such as ``llm: SyntheticLLM``: a result must say so."""
    found = {
        f"{stage}: {provider.cls.__name__}"
        for tier in tiers.by_name.values()
        for stage, first in tier.stages.items()
        for provider in (first, *first.fallback)
        if getattr(provider.cls, "simulated", False)
    }
    return tuple(sorted(found))


def balanced(every: Sequence[Candidate], count: int, seed: int) -> tuple[Candidate, ...]:
    """`count` of the candidates in which each option stands about equally often, the first of the file among them.

    One after the other that candidate is taken whose options, and pairs of options, were taken least: so few candidates
    still tell what each option is worth. The same for the same seed.
    """
    if count >= len(every):
        return tuple(every)
    order = np.random.default_rng(seed).permutation(len(every))
    left = [every[0], *(every[int(i)] for i in order if i != 0)]
    taken: list[Candidate] = []
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    while len(taken) < count:
        best = min(left, key=lambda c: _familiarity(c, seen))  # the first of equals
        left.remove(best)
        taken.append(best)
        for group in _groups(best):
            seen[group] = seen.get(group, 0) + 1
    places = {c.name: n for n, c in enumerate(every)}
    return tuple(sorted(taken, key=lambda c: places[c.name]))


def _groups(candidate: Candidate) -> list[tuple[tuple[str, str], ...]]:
    items = list(candidate.options.items())
    return [(item,) for item in items] + list(itertools.combinations(items, 2))


def _familiarity(candidate: Candidate, seen: Mapping[tuple[tuple[str, str], ...], int]) -> tuple[int, int]:
    singles = sum(seen.get(group, 0) for group in _groups(candidate) if len(group) == 1)
    pairs = sum(seen.get(group, 0) for group in _groups(candidate) if len(group) == 2)
    return singles, pairs
