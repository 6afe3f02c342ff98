"""What a worker says by itself, in the language of the call."""

from __future__ import annotations

import hashlib
import json
import wave
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from phrases.record import LOUDNESS_DBFS, loudness_dbfs, trimmed

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.languages import closest, widening
from voicefleet.worker.phrases.clips import Clip
from voicefleet.worker.phrases.table import CallPhrases, built_in, load_phrases
from voicefleet.worker.tiers.load import resolve_tiers
from voicefleet.worker.tiers.schema import Tier, TiersFile

pytestmark = pytest.mark.unit

RECORDED = ("de", "en", "es", "fr")


def picked(wanted: str, **tier: Any) -> CallPhrases:
    return load_phrases(Tier.model_validate(tier), "tiers.a").pick(wanted)


def wav(path: Path, channels: int = 1, width: int = 2, rate: int = 16_000, seconds: float = 1.0) -> str:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(round(channels * width * rate * seconds)))
    return str(path)


def test_a_tag_is_looked_for_with_less_and_less_at_its_end() -> None:
    assert list(widening("zh_Hant-TW")) == ["zh-hant-tw", "zh-hant", "zh"]
    assert list(widening("")) == []
    assert closest({"de": 1, "de-at": 2}, "fr", "DE-AT-1996") == ("de-at", 2)
    assert closest({"de": 1}, "", "fr") is None


@pytest.mark.parametrize("language", RECORDED)
def test_four_languages_are_recorded(language: str) -> None:
    phrases = picked(f"{language.upper()}-XX")
    assert phrases.known
    assert phrases.resume.endswith(" {last}")
    assert phrases.recorded is phrases.apology.recording
    for spoken in (phrases.apology, phrases.working):
        assert spoken.recording is not None
        assert spoken.recording.text == spoken.text
    texts = [phrases.resume, phrases.resume_answer, phrases.apology.text, phrases.working.text]
    others = [picked(other) for other in built_in() if other != language]
    for other in others:
        assert not {other.resume, other.resume_answer, other.apology.text, other.working.text} & set(texts)


@pytest.mark.parametrize("language", ["it", "nl", "pt-BR"])
def test_others_are_said_by_the_tts_and_have_a_recording_for_when_it_fails(language: str) -> None:
    phrases = picked(language)
    assert phrases.known
    assert phrases.apology.recording is None
    assert phrases.recorded.text == "Sorry, I had a small problem. How can I help you?"
    assert picked(language, language="es").recorded.text.startswith("Disculpe")


def test_an_unknown_language_gets_the_tiers_own_and_is_told_apart() -> None:
    phrases = picked("tlh", language="fr-CA")
    assert not phrases.known
    assert phrases.working.text == "Un instant, s'il vous plaît."
    assert picked("", language="fr").known
    assert picked("").apology.text == "Sorry, I had a small problem. How can I help you?"


def test_a_tier_changes_one_phrase_and_leaves_the_rest() -> None:
    own = {"de": {"resume": "Wo waren wir stehen geblieben? {last}"}, "de-AT": {"working_text": "Moment, bitte."}}
    austrian = picked("de-AT", languages=own)
    assert austrian.resume == "Wo waren wir stehen geblieben? {last}"
    assert (austrian.working.text, austrian.working.recording) == ("Moment, bitte.", None)
    assert austrian.apology == picked("de").apology
    assert picked("de", languages=own).working == picked("de").working
    assert picked("de", languages={"de": {"resume": ""}}).resume == "", "said by nobody"


def test_a_language_of_the_teams_own(tmp_path: Path) -> None:
    own = {"pl": {"apology_text": "Przepraszam.", "apology_audio": wav(tmp_path / "a.wav", rate=24_000)}}
    phrases = picked("pl-PL", languages=own)
    assert phrases.known
    assert phrases.recorded == phrases.apology.recording
    assert phrases.recorded.text == "Przepraszam."
    assert phrases.resume == "Sorry, where were we? {last}", "of what it lacks, the tier's own language"


def test_a_tiers_own_apology_is_in_its_own_language(tmp_path: Path) -> None:
    tier = {
        "language": "de-CH",
        "apology": {"text": "Entschuldigung.", "audio": wav(tmp_path / "a.wav", rate=24_000)},
    }
    for language in ("", "de-CH", "tlh"):
        phrases = picked(language, **tier)
        assert (phrases.apology.text, phrases.recorded.duration_s) == ("Entschuldigung.", 1.0)
        assert phrases.working.text == "", "not in another voice"
    assert picked("es", **tier).working.text == "Un momento, por favor."


@pytest.mark.parametrize(
    "shape", [{"channels": 2}, {"width": 1}, {"rate": 96_000}, {"seconds": 20.0}, {"seconds": 0.0}]
)
def test_an_apology_that_cannot_be_played_is_refused(tmp_path: Path, shape: dict[str, Any]) -> None:
    audio = wav(tmp_path / "a.wav", **shape)
    with pytest.raises(ConfigError, match="mono 16-bit PCM WAV") as refused:
        picked("", apology={"text": "Sorry.", "audio": audio})
    assert refused.value.field == "tiers.a.apology.audio"
    with pytest.raises(ConfigError, match="mono 16-bit PCM WAV") as refused:
        picked("", languages={"pl": {"working_text": "Moment.", "working_audio": audio}})
    assert refused.value.field == "tiers.a.languages.pl.working_audio"


@pytest.mark.parametrize(
    ("languages", "says"),
    [
        ({"de": {"apology_audio": "a.wav"}}, "apology_audio needs apology_text"),
        ({"de": {}, "DE": {}}, "is there twice"),
        ({"Deutsch!": {}}, "should match pattern"),
        ({"de": {"apologie": "x"}}, "Extra inputs"),
    ],
)
def test_wrong_languages_are_refused(languages: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Tier.model_validate({"languages": languages})


def test_each_tier_has_its_own() -> None:
    tiers = {"a": {"language": "es"}, "b": {"languages": {"es": {"resume": "Hola. {last}"}}}}
    ready = resolve_tiers(TiersFile.model_validate({"default": "a", "tiers": tiers}), {})
    assert ready.pick("a").phrases.pick("").resume == "Disculpe, ¿por dónde íbamos? {last}"
    assert ready.pick("b").phrases.pick("es-MX").resume == "Hola. {last}"


def test_the_recordings_are_what_their_manifest_says_short_and_equally_loud() -> None:
    folder = resources.files("voicefleet.worker.phrases") / "audio"
    manifest = json.loads((folder / "manifest.json").read_text())["clips"]
    assert [clip["file"] for clip in manifest] == sorted(file.name for file in folder.iterdir() if ".wav" in file.name)
    assert len(manifest) == 2 * len(RECORDED)
    for entry in manifest:
        phrase, language = entry["file"].removesuffix(".wav").split("-")
        spoken = getattr(built_in()[language], phrase)
        assert spoken.text == entry["text"]
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert (folder / entry["licence"].rpartition(": ")[2].split()[0]).is_file()
        check_sound(spoken.recording)
        assert 1.0 < spoken.recording.duration_s < 6.0


def check_sound(clip: Clip) -> None:
    """Not clipped, as loud as the others, and no silence at its ends."""
    import numpy as np

    samples = np.frombuffer(clip.samples, "<i2").astype(np.float64)
    assert 6_000 < np.abs(samples).max() < 20_000
    assert loudness_dbfs(samples) == pytest.approx(LOUDNESS_DBFS, abs=0.2)
    assert len(trimmed(samples)) == pytest.approx(len(samples), abs=2_400)


async def test_frames_are_the_clip_from_its_first_sample_to_its_last() -> None:
    clip = picked("").recorded
    frames = [frame async for frame in clip.frames()]
    assert b"".join(bytes(frame.data.cast("b")) for frame in frames) == clip.samples
    assert {frame.sample_rate for frame in frames} == {clip.sample_rate}
