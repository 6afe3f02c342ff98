"""The schema of a tiers file, with its defaults and limits: the one place where they are written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from voicefleet.contract.calls import LANGUAGE_PATTERN, TIER_PATTERN
from voicefleet.contract.languages import ENGLISH, normal
from voicefleet.contract.parsing.validation import closest, refused

_Delay = Annotated[float, Field(ge=0, le=10)]
_Language = Annotated[str, Field(pattern=LANGUAGE_PATTERN.pattern)]
_Words = Annotated[str, Field(min_length=1, max_length=500)]
_Identity = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


FALLBACK_TIMEOUT_S = 2.5
"""With a fallback a hang is given up after this long: time enough is left for another provider to answer."""

LONE_TIMEOUT_S = 5.0
"""Without one there is nobody to turn to: late is better than never, until the caller is due an apology. That comes
first (`Apology.after_s` counts from the end of speech), cuts the request off, and counts it as a hang."""


class Provider(_Part):
    """One provider: any class that livekit-agents accepts in the stage.

    A value of `args` written ``{env: NAME}`` is read from the environment, so that secrets stay out of the file.
    """

    plugin: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="dotted.module:Class")]
    args: dict[str, Any] = Field(default_factory=dict)


class StageProvider(Provider):
    """A stage of the pipeline: its provider, and who takes over when that fails.

    `timeout_s` is the longest wait for a provider's first output, and from one output to the next; when left out
    2.5 s with a fallback, else 5 s. Without a fallback a request is tried once more; with one, the next is asked.
    """

    fallback: tuple[Provider, ...] = ()
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] | None = None

    @property
    def limit_s(self) -> float:
        return self.timeout_s or (FALLBACK_TIMEOUT_S if self.fallback else LONE_TIMEOUT_S)


class Vad(_Part):
    """Voice activity detection. `min_silence_s` is a floor of every answer's latency; lower cuts callers off."""

    min_silence_s: _Delay = 0.3
    min_speech_s: _Delay = 0.05
    activation_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5


DETECTORS = ("v1-mini", "smart-turn")
"""What a tier may name as a turn detector: models that hear how a turn ends. Those that are not listed are modes."""

MIN_SILENCE_WITH_DETECTOR_S = 0.25
"""livekit-agents asks a turn detector after 0.2 s of silence, and refuses a VAD that ends speech before the answer."""


class Endpointing(_Part):
    """How long after the last word a turn counts as over, seconds; never less than the VAD's silence.

    Without a turn detector that is `min_delay_s`. With one it is `min_delay_s` where the detector is at least
    `threshold` sure that the turn is over, else `max_delay_s`.
    """

    min_delay_s: _Delay = 0.2
    max_delay_s: _Delay = 1.0
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Turn detectors alone. Left out: the detector's own for the call's language"
    )

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


class PreemptiveGeneration(_Part):
    """Whether an answer is prepared before the caller's turn is surely over; nobody hears it before. `true` or `false`
    alone says whether the LLM is asked early; the rest costs requests that are thrown away when the caller goes on."""

    enabled: bool = True
    after_s: Annotated[
        _Delay | None,
        Field(
            description="Silence after which the words so far are recognised and an answer is prepared, for an stt"
            " that does not stream; at best 0.064 s later, the voice detector's window. Left out: once the VAD's"
            " silence is over"
        ),
    ] = None
    speech: bool = Field(default=False, description="The TTS is asked early too")
    tries: Annotated[int, Field(ge=1, le=20, description="Answers that one turn of the caller may cost")] = 3


class AudioInput(_Part):
    """How the caller's sound reaches the session; livekit-agents' own defaults."""

    frame_ms: Annotated[
        int, Field(ge=10, le=100, description="Sound is handed on in pieces of this length: a delay of half of it")
    ] = 50
    sample_rate: Literal[8000, 16000, 24000, 48000] = Field(
        default=24000, description="Hz. The voice detector and most recognisers work at 16000, and convert the rest"
    )


class Apology(_Part):
    """What the caller hears when no answer comes; it needs no provider.

    `text` is what `audio` says (mono 16-bit WAV, a path as the worker sees it), for transcripts. The same for
    `working_text` and `working_audio`, heard when a tool of the agent takes long; left out beside an apology of
    one's own, it is not said, since the built-in one would be another voice. All in the tier's own language; for
    others see `Phrases`.
    """

    enabled: bool = True
    after_s: Annotated[float, Field(ge=1, le=9, description="longest silence after the end of a turn, seconds")] = 5.0
    min_speech_s: Annotated[
        float, Field(ge=0, le=5, description="shorter speech without a transcript is a noise, seconds")
    ] = 0.7
    no_input_s: Annotated[
        float,
        Field(ge=3, le=60, description="silence after the agent's words until it speaks to a caller it never heard"),
    ] = 8.0
    text: _Words | None = None
    audio: Annotated[str, Field(min_length=1)] | None = None
    working_text: _Words | None = None
    working_audio: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _sound_and_words_together(self) -> Apology:
        for text, audio in (("text", "audio"), ("working_text", "working_audio")):
            if (getattr(self, text) is None) != (getattr(self, audio) is None):
                raise ValueError(f"{text} and {audio} belong together: give both or neither")
        return self


class Phrases(_Part):
    """What the worker says by itself in one language, in place of what is built in.

    A text without its audio (mono 16-bit WAV, a path as the worker sees it) is said by the tier's TTS. Empty words for
    `resume` or `resume_answer` are not said.
    """

    resume: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="First words after a recovery; `{last}` stands for the agent's last sentence"
    )
    resume_answer: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="The same when the caller's last words were not answered; the answer follows"
    )
    apology_text: _Words | None = None
    apology_audio: Annotated[str, Field(min_length=1)] | None = None
    working_text: _Words | None = None
    working_audio: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _sound_has_words(self) -> Phrases:
        for text, audio in (("apology_text", "apology_audio"), ("working_text", "working_audio")):
            if getattr(self, text) is None and getattr(self, audio) is not None:
                raise ValueError(f"{audio} needs {text}: what the recording says")
        return self


class Tier(_Part):
    """One named setting. A stage that is left out is the agent's own to bring (for example a realtime model)."""

    stt: StageProvider | None = None
    llm: StageProvider | None = None
    tts: StageProvider | None = None
    vad: Vad = Field(default_factory=Vad)
    endpointing: Endpointing = Field(default_factory=Endpointing)
    interruption: Interruption = Field(default_factory=Interruption)
    turn_detection: Literal["vad", "stt", "v1-mini", "smart-turn"] = Field(
        "vad",
        description="What ends a turn: silence (`vad`), the recogniser (`stt`), or a model that hears whether the turn"
        " is over (`v1-mini`, livekit's; `smart-turn`, Pipecat's). Left out, a session that the team builds keeps its"
        " own turn detection",
    )
    preemptive_generation: PreemptiveGeneration = Field(default_factory=PreemptiveGeneration)
    audio_input: AudioInput = Field(default_factory=AudioInput)
    apology: Apology = Field(default_factory=Apology)
    language: _Language = Field(
        default=ENGLISH, description="BCP 47 tag: the language of calls that name none, and of `apology`'s own text"
    )
    languages: dict[_Language, Phrases] = Field(
        default_factory=dict, description="Language -> what is said in it; what is left out is built in"
    )
    listen_to: Literal["caller", "all"] = Field(
        default="caller",
        description="`caller`: of several callers the agent hears the one that the call is for, else the first. `all`:"
        " it hears them all, mixed",
    )
    text_input: tuple[_Identity, ...] = Field(
        default=(),
        description="Identities whose text (topic lk.chat) the agent takes for the caller's words; `web-*` stands for"
        " all that begin so. Empty: text is ignored",
    )
    session_host: tuple[_Identity, ...] = Field(
        default=(),
        description="Identities that may read and drive the session (topic lk.agent.session: instructions, tools and"
        " their outputs, input). Never a caller's. Empty: nobody",
    )

    @field_validator("preemptive_generation", mode="before")
    @classmethod
    def _on_or_off(cls, given: object) -> object:
        return {"enabled": given} if isinstance(given, bool) else given

    @field_validator("session_host")
    @classmethod
    def _not_everyone(cls, named: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in named:
            raise ValueError("`*` gives every caller the agent's instructions: name the identities that may have them")
        return named

    @field_validator("languages")
    @classmethod
    def _each_once(cls, named: dict[str, Phrases]) -> dict[str, Phrases]:
        if len({normal(tag) for tag in named}) < len(named):
            raise ValueError("a language is there twice: upper and lower case make no difference")
        return named

    @model_validator(mode="after")
    def _detector_fits(self) -> Tier:
        if self.turn_detection in DETECTORS and self.vad.min_silence_s < MIN_SILENCE_WITH_DETECTOR_S:
            raise refused(
                f"is too short for the turn detector {self.turn_detection}, which is asked after 0.2 s of silence",
                field="vad.min_silence_s",
                value=self.vad.min_silence_s,
                hint=f"Give at least {MIN_SILENCE_WITH_DETECTOR_S}, or set turn_detection to vad.",
            )
        if self.turn_detection not in DETECTORS and self.endpointing.threshold is not None:
            raise refused(
                f"is of turn detectors, and turn_detection is {self.turn_detection}",
                field="endpointing.threshold",
                value=self.endpointing.threshold,
                hint=f"Remove it, or set turn_detection to {' or '.join(DETECTORS)}.",
            )
        return self

    def stages(self) -> dict[str, StageProvider]:
        """The stages that are set, by name."""
        found = {"stt": self.stt, "llm": self.llm, "tts": self.tts}
        return {name: provider for name, provider in found.items() if provider is not None}


_Share = Annotated[float, Field(gt=0, le=1)]


class Ladder(_Part):
    """Tiers from the best to the fastest, for a worker that steps down when it is short of CPU or answers late.

    A call that asks for a tier of `order` is served that many steps below it. A tier that is not there stays.
    """

    order: Annotated[
        tuple[str, ...], Field(min_length=2, description="Names of tiers: the best first, the fastest last")
    ]
    cpu_down_ratio: _Share = Field(
        default=0.9, description="Share of the worker's CPU (its container's limit, else the machine) that steps down"
    )
    cpu_up_ratio: _Share = Field(default=0.6, description="The share below which it may step up again")
    ttfa_s: Annotated[
        float, Field(ge=0.1, le=10, description="The TTFA that 95 % of turns are to have; a fifth above it steps down")
    ] = 0.8
    down_after_s: Annotated[
        float, Field(ge=1, le=60, description="For how long the CPU is short before a step down, and between two")
    ] = 3.0
    up_after_s: Annotated[
        float,
        Field(ge=5, le=3600, description="For how long all is calm before a step up; doubled when that did not hold"),
    ] = 30.0
    calls: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="The most calls at once on a worker for each tier of `order` but the last, as `voicefleet tune` "
        "measures them (`calls_per_worker`): one more steps down at once. Empty: calls are not counted",
    )
    keep_voice: bool = Field(
        default=True, description="A live call keeps the TTS that it has; only a new one gets the lower tier's"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Ladder:
        for n, name in enumerate(self.order):
            if name in self.order[:n]:
                way = " -> ".join(self.order[self.order.index(name) : n + 1])
                raise refused(
                    f"is a cycle: {way}",
                    field="order",
                    value=name,
                    hint="Name each tier once, the best first, the fastest last.",
                )
        if self.calls and len(self.calls) != len(self.order) - 1:
            raise refused(
                f"{len(self.calls)} numbers for {len(self.order)} tiers",
                field="calls",
                value=list(self.calls),
                hint="Give one for each tier of order but the last, which is for all the slots.",
            )
        if list(self.calls) != sorted(set(self.calls)):
            raise refused(
                "a faster tier is for no more calls than a better one",
                field="calls",
                value=list(self.calls),
                hint="Each number must be over the one before it.",
            )
        if self.cpu_up_ratio >= self.cpu_down_ratio:
            raise ValueError(
                f"cpu_up_ratio ({self.cpu_up_ratio}) is not below cpu_down_ratio ({self.cpu_down_ratio}):"
                " the worker would step up and down without end"
            )
        return self


class TiersFile(_Part):
    """A whole tiers file."""

    pipeline: Annotated[str, Field(min_length=1, max_length=40, description="What reports call it")] = "custom"
    default: str
    tiers: Annotated[dict[Annotated[str, Field(pattern=TIER_PATTERN.pattern)], Tier], Field(min_length=1)]
    ladder: Ladder | None = Field(default=None, description="None: every call is served by the tier that it asks for")

    @model_validator(mode="after")
    def _default_is_there(self) -> TiersFile:
        if self.default not in self.tiers:
            known = ", ".join(sorted(self.tiers))
            close = closest(self.default, self.tiers)
            hint = f"Did you mean {close}?" if close else "Name one of them."
            raise refused(f"is none of the tiers: {known}", field="default", value=self.default, hint=hint)
        return self

    @model_validator(mode="after")
    def _ladder_is_there(self) -> TiersFile:
        for name in self.ladder.order if self.ladder else ():
            if name not in self.tiers:
                close = closest(name, self.tiers)
                hint = f"Did you mean {close}?" if close else "Name one of them, or add it."
                known = ", ".join(sorted(self.tiers))
                raise refused(f"is none of the tiers: {known}", field="ladder.order", value=name, hint=hint)
        return self
