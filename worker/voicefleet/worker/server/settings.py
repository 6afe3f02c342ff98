"""A worker's settings: from the environment and the command line, validated once, frozen.

Job processes are children of the worker's fork server and get the same settings through one environment variable.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.renamed import refuse_old_variables
from voicefleet.contract.parsing.validation import config_error
from voicefleet.runtime.redis.address import with_authority

JOB_SETTINGS_VARIABLE = "VOICEFLEET_JOB_SETTINGS"


def _both(name: str) -> AliasChoices:
    return AliasChoices(name, name.upper())


class WorkerSettings(BaseSettings):
    """Everything a worker can be told. Environment: ``VOICEFLEET_<FIELD>``, and LiveKit's own three names."""

    model_config = SettingsConfigDict(env_prefix="VOICEFLEET_", extra="forbid", frozen=True, populate_by_name=True)

    agent: str = Field("voicefleet.worker.agents:assistant", description="package.module:function that makes the agent")
    tiers: str = Field("local", description="tiers file, or a built-in: local, synthetic")
    region: Annotated[str, Field(pattern=REGION_PATTERN.pattern)] = "local"
    agent_name: Annotated[str, Field(min_length=1, max_length=64)] = "voicefleet"
    worker_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}"
    )
    slots: Annotated[int, Field(ge=1, le=200)] = Field(4, description="calls at once")
    idle_processes: Annotated[int, Field(ge=1, le=200)] | None = Field(
        None, description="job processes kept warm: the burst an idle worker takes; as many as slots when left out"
    )
    listen: str = Field("127.0.0.1:0", description="HOST:PORT of /livez /readyz /metrics /status; port 0: a free one")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_ca_file: str = Field("", description="certificate of the authority that signs Redis', for rediss://")
    livekit_url: str = Field("ws://127.0.0.1:7880", validation_alias=_both("livekit_url"))
    livekit_api_key: str = Field("devkey", validation_alias=_both("livekit_api_key"))
    livekit_api_secret: SecretStr = Field(SecretStr(""), validation_alias=_both("livekit_api_secret"))
    drain_timeout_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        3600, description="longest wait for live calls after SIGTERM, seconds"
    )
    caller_gone_s: Annotated[float, Field(ge=1, le=600)] = Field(
        20.0, description="a call whose caller was away this long is over, seconds"
    )
    transcript: Annotated[str, Field(pattern="^(on|off)$")] = Field(
        "on", description="keep the conversation in Redis while a call lasts, for the agent that has to take it over"
    )
    transcript_ttl_s: Annotated[int, Field(ge=10, le=86_400)] = Field(3600, description="since the last turn, seconds")
    transcript_max_bytes: Annotated[int, Field(ge=4_096, le=16_777_216)] = Field(
        262_144, description="a longer conversation loses its oldest part"
    )
    transcript_key: SecretStr = Field(
        SecretStr(""), description="Fernet key that encrypts it in Redis; several, comma-separated, the newest first"
    )
    transcript_plaintext: Annotated[str, Field(pattern="^(refuse|read)$")] = Field(
        "refuse",
        description="with a key: conversations that lie unencrypted in Redis; read: only while a key is introduced",
    )
    resume_phrase: Annotated[str, Field(max_length=500)] = Field(
        "Sorry, where were we? {last}", description="first words after a recovery; {last}: the agent's last sentence"
    )
    resume_answer_phrase: Annotated[str, Field(max_length=500)] = Field(
        "Sorry about that.", description="said instead, before the answer, when the caller's last words had none"
    )
    job_memory_limit_mb: Annotated[int, Field(ge=0)] = Field(0, description="0: no limit")
    model_threads: Annotated[int, Field(ge=1, le=64)] = Field(2, description="threads of the local models, all jobs")
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[str, Field(pattern="^(auto|json|console)$")] = "auto"
    log_personal_data: bool = False
    job_socket: str = ""
    telemetry: Annotated[str, Field(pattern="^(on|off)$")] = Field(
        "on", description="off: calls tell nothing of themselves, neither metrics nor traces; to measure what it costs"
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="where traces go, OTLP over HTTP; empty: there are none",
    )

    @property
    def idle(self) -> int:
        return self.idle_processes or self.slots


def load_settings(overrides: Mapping[str, Any]) -> WorkerSettings:
    """Settings from the environment, with `overrides` from the command line on top (None: not given).

    Raises:
        ConfigError: a value is refused, or a variable has an old name; it names the field.
    """
    refuse_old_variables(os.environ)
    try:
        settings = WorkerSettings(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        raise config_error(error, WorkerSettings, source="the worker's settings") from error
    url = with_authority(
        settings.redis_url.get_secret_value(), settings.redis_ca_file, field="VOICEFLEET_REDIS_CA_FILE"
    )
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def environment() -> Mapping[str, str]:
    """The process's environment, for tiers that name variables."""
    return os.environ


def export_for_jobs(settings: WorkerSettings, variables: Mapping[str, str]) -> None:
    """Hand the settings, and `variables`, to the fork server and the job processes started after this."""
    plain = settings.model_dump(mode="json")
    for name in ("redis_url", "livekit_api_secret", "transcript_key"):
        plain[name] = getattr(settings, name).get_secret_value()
    os.environ[JOB_SETTINGS_VARIABLE] = json.dumps(plain)
    # The names that livekit-agents itself reads in a job.
    os.environ["LIVEKIT_URL"] = settings.livekit_url
    os.environ["LIVEKIT_API_KEY"] = settings.livekit_api_key
    os.environ["LIVEKIT_API_SECRET"] = settings.livekit_api_secret.get_secret_value()
    # Keeps livekit-agents from loading its end-of-turn model into the fork server; see `preload`.
    os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")
    os.environ.update(variables)


def settings_of_job() -> WorkerSettings:
    """In a job process: the settings its worker runs with."""
    return WorkerSettings(**json.loads(os.environ[JOB_SETTINGS_VARIABLE]))
