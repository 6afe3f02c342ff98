"""A load test as a file: which calls come, how callers behave, whom they call, and what must not happen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from voicefleet.callers.behavior import CallerBehavior
from voicefleet.contract.errors import ConfigError, UsageError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.validation import refused, validated
from voicefleet.loadtest.arrivals import Arrivals
from voicefleet.loadtest.thresholds import Condition, parse_condition
from voicefleet.runtime.text_file import read_text

MAX_TURNS = 12
MAX_PODS = 500
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_Part):
    """Whom the calls go to. One address: a controller's, a LiveKit's, or one that hands out tokens.

    Attributes:
        controller: ``http://HOST:PORT``; None without another address: the environment's.
        livekit_url: ``ws://HOST:PORT``; tokens are made of LIVEKIT_API_KEY and LIVEKIT_API_SECRET.
        agent_name: whom these tokens ask for; empty: nobody, for agents that LiveKit sends to every room.
        token_url: an endpoint of LiveKit's standard form (POST; `server_url` and `participant_token` come back).
        token_headers: of requests to it: header -> name of the environment variable that holds its value.
        regions: calls take turns among them; empty: the platform chooses.
        tier, agent, language: of every call; None: the platform's choice.
    """

    controller: str | None = None
    livekit_url: str | None = None
    agent_name: str = "voicefleet"
    token_url: str | None = None
    token_headers: dict[str, str] = Field(default_factory=dict)
    regions: tuple[str, ...] = ()
    tier: str | None = None
    agent: str | None = None
    language: str | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        given = [name for name in ("controller", "livekit_url", "token_url") if getattr(self, name)]
        if len(given) > 1:
            raise refused(
                f"{' and '.join(given)} are two addresses, and calls go to one", hint="Leave out all but one."
            )
        if self.token_headers and not self.token_url:
            raise refused("go to a token_url, and there is none", field="token_headers", hint="Add token_url.")
        if self.agent and not self.controller and given:
            raise refused("is chosen by a controller", field="agent", value=self.agent, hint="Use agent_name instead.")
        return self


class OverVoice(_Part):
    """A share of callers (of `barge_in`: of questions) that speak `after_s` into the agent's words, over them."""

    share: _Share
    after_s: _Seconds = 1.0


class HangUp(_Part):
    """A share of callers that hang up `after_s` after they first heard an agent, whatever goes on."""

    share: _Share
    after_s: _Seconds


class Silent(_Part):
    """A share of callers that say nothing, and hang up `for_s` after they first heard an agent."""

    share: _Share
    for_s: _Seconds = 20.0


class Keys(_Part):
    """A share of callers that press keys before their first question."""

    share: _Share = 1.0
    digits: Annotated[str, Field(pattern=r"^[0-9*#A-D]{1,32}$")]


class Callers(_Part):
    """How callers behave.

    Attributes:
        turns: questions of each.
        patience_s: how long one waits for a place in a full fleet, and in silence before it hangs up.
        turn_timeout_s: silence that counts as no answer.
        abandon_mean_s: callers who have heard no agent leave; after how long is drawn from an exponential law with this
            mean, and at the latest after `patience_s`.
        hang_up, silent, over_greeting, barge_in, dtmf: what a share of them do.
        noise_snr_db: noise behind every caller, so many decibels below its speech.
        recordings: a folder of WAV files (mono, 16 bit), each a question, in place of ours.
    """

    turns: Annotated[int, Field(ge=1, le=MAX_TURNS)] = 3
    patience_s: _Seconds = 60.0
    turn_timeout_s: _Seconds = 10.0
    abandon_mean_s: _Seconds | None = None
    hang_up: HangUp | None = None
    silent: Silent | None = None
    over_greeting: OverVoice | None = None
    barge_in: OverVoice | None = None
    dtmf: Keys | None = None
    noise_snr_db: Annotated[float, Field(ge=-20, le=80, allow_inf_nan=False)] | None = None
    recordings: Path | None = None

    @model_validator(mode="after")
    def _patience(self) -> Self:
        if self.patience_s < self.turn_timeout_s:
            raise refused(
                "the caller would hang up before silence counts",
                field="patience_s",
                value=self.patience_s,
                hint=f"Use at least turn_timeout_s = {self.turn_timeout_s:g}.",
            )
        return self

    @property
    def behavior(self) -> CallerBehavior:
        """Of every caller."""
        return CallerBehavior(turn_timeout_s=self.turn_timeout_s, patience_s=self.patience_s)


class OnKubernetes(_Part):
    """Where a load test runs as pods.

    Attributes:
        pods: that share the calls.
        namespace: of the chart's release; None: the context's.
        context: of the kubeconfig; None: its current one, or a pod's own access.
        job_template: the ConfigMap of the chart's release with the Job.
        secret: whose keys the pods have as environment: LIVEKIT_API_KEY, a token endpoint's header, another
            VOICEFLEET_CONTROLLER_KEY; None: what the template has.
        ready_within_s: how long all pods may take until they are ready.
    """

    pods: Annotated[int, Field(ge=1, le=MAX_PODS)] = 2
    namespace: str | None = None
    context: str | None = None
    job_template: str = "voicefleet-loadtest"
    secret: str | None = None
    ready_within_s: _Seconds = 300.0

    @field_validator("namespace", "job_template", "secret")
    @classmethod
    def _are_names(cls, name: str | None) -> str | None:
        if name is not None and not _KUBERNETES_NAME.fullmatch(name):
            raise refused("is no name in Kubernetes", value=name, hint="Use small letters, digits, hyphens and dots.")
        return name


class Scenario(_Part):
    """One load test.

    Attributes:
        kubernetes: where it runs as pods; None: it runs in this process.
        seed: the same seed gives the same arrivals and questions.
        fail_if: conditions that must not become true; none: every caller must be answered and no call cut.
    """

    arrivals: Arrivals
    callers: Callers = Field(default_factory=Callers)
    target: Target = Field(default_factory=Target)
    seed: Annotated[int, Field(ge=0, le=2**32)] = 1
    fail_if: tuple[str, ...] = ()
    kubernetes: OnKubernetes | None = None

    @field_validator("fail_if")
    @classmethod
    def _are_conditions(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            try:
                parse_condition(text, field="fail_if")
            except UsageError as error:
                raise refused(error.what, value=text, hint=error.hint) from error
        return texts

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What `fail_if` says."""
        return tuple(parse_condition(text, field="fail_if") for text in self.fail_if)


def load_scenario(path: Path) -> Scenario:
    """The scenario in a YAML file; paths in it are relative to the file.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong; all mistakes are told, each with its path.
    """
    raw = parse_yaml(read_text(path, field="FILE", hint="Give the path of a scenario."), field=str(path))
    if not isinstance(raw, dict):
        raise ConfigError("is no scenario", field=str(path), hint="Begin with `arrivals:` and its fields.")
    scenario = validated(Scenario, raw, source=str(path))
    # Paths in a file are relative to it.
    arrivals, callers = scenario.arrivals, scenario.callers
    if arrivals.file is not None:
        arrivals = arrivals.model_copy(update={"file": path.parent / arrivals.file})
    if callers.recordings is not None:
        callers = callers.model_copy(update={"recordings": path.parent / callers.recordings})
    return scenario.model_copy(update={"arrivals": arrivals, "callers": callers})
