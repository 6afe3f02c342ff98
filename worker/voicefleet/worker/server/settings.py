"""A worker's settings: from the environment and the command line, validated once, frozen.

Job processes are children of the worker's fork server and get the same settings through one environment variable.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.renamed import refuse_old_variables
from voicefleet.contract.parsing.validation import config_error
from voicefleet.runtime.logs.setup import LogFormat
from voicefleet.runtime.redis.address import with_authority

JOB_SETTINGS_VARIABLE = "VOICEFLEET_JOB_SETTINGS"

DEFAULT_AGENT = "voicefleet.worker.agents:assistant"

OnOff: TypeAlias = Literal["on", "off"]


def _both(name: str) -> AliasChoices:
    return AliasChoices(name, name.upper())


class WorkerSettings(BaseSettings):
    """Every setting of a worker. Environment: ``VOICEFLEET_<FIELD>``, and LiveKit's own three names.

    A description says the unit; a field without a limit of its own has none.
    """

    model_config = SettingsConfigDict(env_prefix="VOICEFLEET_", extra="forbid", frozen=True, populate_by_name=True)

    agent: str = Field(
        DEFAULT_AGENT,
        description="The team's agent, module:name: an AgentServer, an entrypoint, or a function that makes an Agent.",
    )
    tiers: str = Field(
        "",
        description="Path of a tiers file, or a built-in one: local, synthetic, own. Left out: local for a function"
        " that makes an Agent, else own (nothing of the team's session is replaced).",
    )
    region: Annotated[str, Field(pattern=REGION_PATTERN.pattern)] = Field(
        "local", description="The region that the worker serves."
    )
    agent_name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        "voicefleet", description="The agent name that dispatches ask for."
    )
    worker_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="The worker's name, of its own in its region. Left out: host name and process id.",
    )
    slots: Annotated[int, Field(ge=1, le=200)] = Field(4, description="Calls that the worker serves at once.")
    idle_processes: Annotated[int, Field(ge=1, le=200)] | None = Field(
        None,
        description="Job processes kept warm: the burst that an idle worker takes. Left out: as many as slots.",
    )
    listen: str = Field(
        "127.0.0.1:0", description="HOST:PORT of /livez, /readyz, /metrics and /status. Port 0: a free one."
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="The region's Redis, redis:// or rediss://."
    )
    redis_ca_file: str = Field(
        "", description="File with the certificate of the authority that signed Redis's, for rediss://."
    )
    livekit_url: str = Field(
        "ws://127.0.0.1:7880",
        validation_alias=_both("livekit_url"),
        description="The region's LiveKit, ws:// or wss://.",
    )
    livekit_api_key: str = Field(
        "devkey", validation_alias=_both("livekit_api_key"), description="Key of the LiveKit server's API."
    )
    livekit_api_secret: SecretStr = Field(
        SecretStr(""), validation_alias=_both("livekit_api_secret"), description="Secret of that key."
    )
    drain_timeout_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        3600, description="Longest wait for live calls after SIGTERM, seconds."
    )
    caller_gone_s: Annotated[float, Field(ge=1, le=600)] = Field(
        20.0, description="A call whose caller was away for this long is over, seconds."
    )
    return_wait_s: Annotated[float, Field(ge=0, le=600)] = Field(
        5.0,
        description="A call waits so long for a caller that left in order, as a page that reloads does, seconds. "
        "0: not at all.",
    )
    transcript: OnOff = Field(
        "on", description="Whether a call's conversation is kept in Redis, for an agent that has to take the call over."
    )
    transcript_ttl_s: Annotated[int, Field(ge=10, le=86_400)] = Field(
        3600, description="How long it is kept after the last turn, seconds."
    )
    transcript_max_bytes: Annotated[int, Field(ge=4_096, le=16_777_216)] = Field(
        262_144, description="Largest transcript, bytes; a longer one loses its oldest part."
    )
    transcript_key: SecretStr = Field(
        SecretStr(""),
        description="Fernet key that encrypts transcripts in Redis; several, comma-separated, the newest first.",
    )
    transcript_plaintext: Literal["refuse", "read"] = Field(
        "refuse",
        description="With a key: what is done with an unencrypted transcript. `read` only while a key is introduced.",
    )
    resume_phrase: Annotated[str, Field(max_length=500)] | None = Field(
        None,
        description="First words after a recovery, whatever the call's language. `{last}` stands for the agent's last "
        "sentence. Empty: none. Default: by the language, see the tiers file's `languages`.",
    )
    resume_answer_phrase: Annotated[str, Field(max_length=500)] | None = Field(
        None,
        description="The same when the caller's last words were not answered; the answer follows.",
    )
    job_memory_limit_mb: Annotated[int, Field(ge=0)] = Field(
        0, description="A job process that grows beyond this is ended, with its call, MB of RAM. 0: no limit."
    )
    model_threads: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="Threads of the local models, for all jobs together."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least level that is logged."
    )
    log_format: LogFormat = Field("auto", description="json, console, or auto: console on a terminal, else json.")
    log_personal_data: bool = Field(
        False, description="Whether logs show transcripts, metadata, identities and the texts of errors."
    )
    job_socket: str = Field(
        "", description="Path of the socket by which jobs reach the main process. The worker sets it itself."
    )
    senses: OnOff = Field(
        default="on",
        description="off: a job does not watch whether its agent still hears its caller and is heard.",
    )
    telemetry: OnOff = Field(
        "on", description="off: calls report neither metrics nor traces, to measure what these cost."
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Where traces are sent, OTLP over HTTP. Empty: there are none.",
    )

    @property
    def unset_variables(self) -> frozenset[str]:
        """The variables of addresses and keys that nobody gave: their defaults are in force."""
        variables = {
            "redis_url": "VOICEFLEET_REDIS_URL",
            "livekit_url": "LIVEKIT_URL",
            "livekit_api_key": "LIVEKIT_API_KEY",
        }
        return frozenset(variables[name] for name in variables.keys() - self.model_fields_set)

    @property
    def idle(self) -> int:
        """Job processes kept warm."""
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
    if url == settings.redis_url.get_secret_value():
        return settings  # as it is: a field of a copy counts as given
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def environment() -> Mapping[str, str]:
    """The process's environment, for tiers that name variables."""
    return os.environ


def export_for_jobs(settings: WorkerSettings, variables: Mapping[str, str]) -> None:
    """Hand the settings, and `variables`, to the fork server and the job processes started after this."""
    plain = settings.model_dump(mode="json")
    secrets = {name: value for name, value in settings if isinstance(value, SecretStr)}
    plain |= {name: value.get_secret_value() for name, value in secrets.items()}
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
