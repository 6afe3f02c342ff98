"""The settings of a region's waiting message: when it is spoken, and the recordings by language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from voicefleet.contract.calls import LANGUAGE_PATTERN
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.languages import ENGLISH, closest, normal
from voicefleet.contract.parsing.validation import refused
from voicefleet.controller.settings.section import Section
from voicefleet.controller.waiting_message.clip import Recording, built_in, read_clip

_PAUSE_S = 2.0
_Language = Annotated[str, Field(pattern=LANGUAGE_PATTERN.pattern)]


class SpokenLanguage(Section):
    """A waiting message of your own in one language."""

    audio: Path = Field(description="Your recording: a WAV file, mono, 16 bit.")
    text: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="What it says, for front ends that show it."
    )


class WaitingMessageSettings(Section):
    """The waiting message: spoken to callers who wait for an agent."""

    after_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=4.0, description="Wait before the first message, seconds."
    )
    every_s: Annotated[float, Field(ge=2, le=3600)] = Field(
        default=12.0,
        description="From the begin of one message to the begin of the next, seconds; at least 2 s longer than the "
        "recording.",
    )
    audio: Path | None = Field(
        default=None,
        description="Your recording: a WAV file, mono, 16 bit; default: a built-in one (in en, es, de and fr).",
    )
    text: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="What your recording says, for front ends that show it."
    )
    language: _Language = Field(
        default=ENGLISH, description="BCP 47 tag: the language of `audio`, and of calls that name none."
    )
    languages: Mapping[_Language, SpokenLanguage] = Field(
        default_factory=dict,
        description="Language -> your recording for calls in it; default: the built-in one, else that of `language`.",
    )

    def recording(self, language: str) -> tuple[str, Recording]:
        """The recording for a call in `language` (BCP 47; empty: unknown), and the language it is in."""
        found = closest(self._recordings(), language, self.language, ENGLISH)
        assert found is not None, "English is there"
        return found

    def _recordings(self) -> Mapping[str, Recording]:
        own = {
            normal(tag): Recording(given.audio.absolute(), given.text or "") for tag, given in self.languages.items()
        }
        if self.audio is not None:
            own = {normal(self.language): Recording(self.audio.absolute(), self.text or ""), **own}
        return {**built_in(), **own}

    @model_validator(mode="after")
    def _can_be_spoken(self) -> Self:
        if self.text is not None and self.audio is None:
            raise refused(
                "there is no recording of this",
                field="text",
                value=self.text,
                hint="Give the recording in audio, or remove this field.",
            )
        own = {"audio": self.recording("")[1].path}
        own |= {f"languages.{tag}.audio": given.audio.absolute() for tag, given in self.languages.items()}
        for field, path in own.items():
            try:
                clip = read_clip(path, field=field)
            except ConfigError as error:
                raise refused(error.what, field=error.field, value=error.value, hint=error.hint) from error
            # Joining and leaving take time: the next one must not begin before the last one has ended.
            if self.every_s < clip.duration_s + _PAUSE_S:
                raise refused(
                    f"the recording lasts {clip.duration_s:.1f} s",
                    field="every_s",
                    value=self.every_s,
                    hint=f"Give at least {clip.duration_s + _PAUSE_S:.1f}, or a shorter recording.",
                )
        return self
