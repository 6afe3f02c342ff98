"""The shape of a tiers file, its defaults and its limits: the one place where they are written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet.contract.calls import TIER_PATTERN

_Delay = Annotated[float, Field(ge=0, le=10)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Provider(_Part):
    """One stage of the pipeline: any class that livekit-agents accepts there.

    A value of `args` written ``{env: NAME}`` is read from the environment, so that secrets stay out of the file.
    """

    plugin: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="dotted.module:Class")]
    args: dict[str, Any] = Field(default_factory=dict)


class Vad(_Part):
    """Voice activity detection. `min_silence_s` is a floor of every answer's latency; lower cuts callers off."""

    min_silence_s: _Delay = 0.3
    min_speech_s: _Delay = 0.05
    activation_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Endpointing(_Part):
    """How long after the end of speech a turn counts as over, seconds on top of the VAD's silence."""

    min_delay_s: _Delay = 0.2
    max_delay_s: _Delay = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Endpointing:
        if self.max_delay_s < self.min_delay_s:
            raise ValueError(f"max_delay_s ({self.max_delay_s}) is less than min_delay_s ({self.min_delay_s})")
        return self


class Interruption(_Part):
    """Whether and when a caller's voice stops the agent's."""

    enabled: bool = True
    min_duration_s: _Delay = 0.5
    min_words: Annotated[int, Field(ge=0, le=20)] = 0


class Tier(_Part):
    """One named setting. A stage that is left out is the agent's own to bring (for example a realtime model)."""

    stt: Provider | None = None
    llm: Provider | None = None
    tts: Provider | None = None
    vad: Vad = Field(default_factory=Vad)
    endpointing: Endpointing = Field(default_factory=Endpointing)
    interruption: Interruption = Field(default_factory=Interruption)
    preemptive_generation: bool = True

    def stages(self) -> dict[str, Provider]:
        """The stages that are set, by name."""
        found = {"stt": self.stt, "llm": self.llm, "tts": self.tts}
        return {name: provider for name, provider in found.items() if provider is not None}


class TiersFile(_Part):
    """A whole tiers file."""

    pipeline: Annotated[str, Field(min_length=1, max_length=40, description="What reports call it")] = "custom"
    default: str
    tiers: Annotated[dict[Annotated[str, Field(pattern=TIER_PATTERN.pattern)], Tier], Field(min_length=1)]

    @model_validator(mode="after")
    def _default_is_there(self) -> TiersFile:
        if self.default not in self.tiers:
            raise ValueError(f"default {self.default!r} is none of the tiers: {', '.join(sorted(self.tiers))}")
        return self
