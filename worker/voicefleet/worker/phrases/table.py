"""Which words a tier has in which language, and which of them a call gets.

A call's language is looked for as it is and then without its region (`de-AT`, `de`), in what the tiers file says and
in what is built in; then the tier's own language is, then English. Each phrase is looked for on its own, so a tier may
change one and leave the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from voicefleet.contract.languages import ENGLISH, normal, widening
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.worker.phrases.clips import Clip, read_clip
from voicefleet.worker.tiers.schema import Apology, Phrases, Tier

SILENCE = ""
"""Words that are not said."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A phrase, and its recording; without one the tier's TTS says it. Empty words are not said."""

    text: str
    recording: Clip | None = None


@dataclass(frozen=True, slots=True)
class LanguagePhrases:
    """What is known in one language; None: look elsewhere."""

    resume: str | None = None
    resume_answer: str | None = None
    apology: Spoken | None = None
    working: Spoken | None = None


@dataclass(frozen=True, slots=True)
class CallPhrases:
    """What a call is told."""

    resume: str
    """First words after a recovery; `{last}` is the agent's last sentence."""
    resume_answer: str
    """The same, when the caller's last words were not answered."""
    apology: Spoken
    working: Spoken
    """While a tool of the agent takes long."""
    recorded: Clip
    """The apology for when the TTS cannot speak: in the call's language if there is a recording, else in another."""
    known: bool
    """Whether the call's own language, or the one it is a kind of, has words of its own."""


@dataclass(frozen=True, slots=True)
class PhraseTable:
    """A tier's phrases.

    Args:
        default: the tier's own language.
        by_language: what is known, by normal tags; English is complete and has a recorded apology.
    """

    default: str
    by_language: Mapping[str, LanguagePhrases]

    def pick(self, language: str) -> CallPhrases:
        """The phrases for a call in `language` (BCP 47; empty: the tier's own)."""
        tags = [*widening(language), *widening(self.default), ENGLISH]
        rows = [row for tag in tags if (row := self.by_language.get(tag)) is not None]
        apologies = [row.apology for row in rows if row.apology is not None]
        return CallPhrases(
            resume=next(row.resume for row in rows if row.resume is not None),
            resume_answer=next(row.resume_answer for row in rows if row.resume_answer is not None),
            apology=apologies[0],
            working=next(row.working for row in rows if row.working is not None),
            recorded=next(apology.recording for apology in apologies if apology.recording is not None),
            known=not language or any(tag in self.by_language for tag in widening(language)),
        )


def load_phrases(tier: Tier, field: str) -> PhraseTable:
    """The phrases of `tier`, which stands at `field` of the tiers file.

    Raises:
        ConfigError: an audio file cannot be read, or is none that can be played; it names the field.
    """
    table = dict(built_in())
    default = normal(tier.language)
    _lay_over(table, default, _own(_of_apology(tier.apology), f"{field}.apology", "audio"))
    if tier.apology.text and not tier.apology.working_text:
        # The built-in one would be another voice.
        _lay_over(table, default, LanguagePhrases(working=Spoken(SILENCE)))
    for language, phrases in tier.languages.items():
        own = _own(phrases, f"{field}.languages.{language}", "apology_audio")
        _lay_over(table, normal(language), own)
    return PhraseTable(default, table)


@cache
def built_in() -> Mapping[str, LanguagePhrases]:
    """What is built in, by language: phrases.yaml, and the recordings that are there."""
    folder = resources.files("voicefleet.worker.phrases")
    texts = parse_yaml((folder / "phrases.yaml").read_text(encoding="utf-8"), field="phrases.yaml", value="")

    def spoken(phrase: str, language: str) -> Spoken:
        text, recording = texts[language][phrase], folder / "audio" / f"{phrase}-{language}.wav"
        if not recording.is_file():
            return Spoken(text)
        with resources.as_file(recording) as path:
            return Spoken(text, read_clip(text, str(path), path.name))

    return {
        language: LanguagePhrases(
            words["resume"], words["resume_answer"], spoken("apology", language), spoken("working", language)
        )
        for language, words in texts.items()
    }


def _of_apology(apology: Apology) -> Phrases:
    """The tier's own apology as phrases of its own language."""
    return Phrases(
        apology_text=apology.text,
        apology_audio=apology.audio,
        working_text=apology.working_text,
        working_audio=apology.working_audio,
    )


def _own(phrases: Phrases, field: str, audio_field: str) -> LanguagePhrases:
    def spoken(text: str | None, audio: str | None, audio_field: str) -> Spoken | None:
        if text is None:
            return None
        return Spoken(text, read_clip(text, audio, f"{field}.{audio_field}") if audio else None)

    return LanguagePhrases(
        phrases.resume,
        phrases.resume_answer,
        spoken(phrases.apology_text, phrases.apology_audio, audio_field),
        spoken(phrases.working_text, phrases.working_audio, "working_audio"),
    )


def _lay_over(table: dict[str, LanguagePhrases], language: str, own: LanguagePhrases) -> None:
    """Put what `own` has over what `table` has in this language."""
    under = table.get(language, LanguagePhrases())
    merged = LanguagePhrases(
        under.resume if own.resume is None else own.resume,
        under.resume_answer if own.resume_answer is None else own.resume_answer,
        own.apology or under.apology,
        own.working or under.working,
    )
    if merged != LanguagePhrases():
        table[language] = merged
