"""The controller's settings: one YAML file, validated once, turned into frozen values.

Secrets never stand in the file: a field names the environment variable, or the file, that holds them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.renamed import SETTINGS_FILE, refuse_old_variables
from voicefleet.contract.parsing.validation import config_error
from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.http.auth.attempts import Network
from voicefleet.controller.http.auth.keys import KeyRing
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.schedule import Shift
from voicefleet.controller.settings.api_keys import key_ring, proxies
from voicefleet.controller.settings.kubernetes import (
    KubernetesSettings,
    LeaseSettings,
    kubernetes_settings,
    lease_settings,
)
from voicefleet.controller.settings.pool import campaigns, pool_spec, shifts
from voicefleet.controller.settings.schema import (
    Auth,
    LiveKitFields,
    OnExit,
    ProcessFields,
    RegionFields,
    Rooms,
    SettingsFile,
    WaitingMessageFields,
)
from voicefleet.controller.waiting_message.clip import BUILT_IN_TEXT, built_in, read_clip
from voicefleet.runtime.http.server import parse_listen
from voicefleet.runtime.redis.address import has_secret, with_authority
from voicefleet.runtime.tracing import ENDPOINT_VARIABLE, check_endpoint

REPLICA_VARIABLE = "VOICEFLEET_REPLICA"
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold for each API key."""

    requests_per_minute: int
    concurrent_calls: int
    """0 for no bound. With one, nobody gets a ticket while Redis, which counts them, does not answer."""
    max_call_duration_s: float
    """A call is ended after this; 0 for no bound. Holds for calls that came without us too."""
    unused_tickets_ratio: float
    """Share of the free slots that tickets of one key may stand for before anybody joins with them; 1 where no other
    key places calls."""
    campaigns: int
    """Announced by one key in one region, and not over."""


@dataclass(frozen=True, slots=True)
class LiveKitSettings:
    url: str
    """Given to callers and workers: ws:// or wss://."""
    api_url: str
    """For the controller's own requests: http:// or https://."""
    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Workers as processes of this machine."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    state_dir: Path
    """What a restarted controller finds its workers by. One controller at a time holds it."""
    log_dir: Path
    on_exit: OnExit
    stop_timeout_s: float
    """At the controller's end: longest wait for its workers, then they are killed."""


@dataclass(frozen=True, slots=True)
class WaitingMessageSettings:
    """The waiting message: spoken to callers who wait for an agent."""

    after_s: float
    """Wait before the first one."""
    every_s: float
    """From the begin of one to the begin of the next."""
    audio: Path
    """A recording that `waiting_message.clip` can read."""
    text: str
    """What it says, for front ends that show it; may be empty."""


@dataclass(frozen=True, slots=True)
class RegionSettings:
    name: str
    livekit: LiveKitSettings
    agent_name: str
    rooms: Rooms
    """ordered: a call is a room with a ticket of ours or a dispatch of our agent. all: every room with a caller."""
    pool: PoolSpec
    start_timeout_s: float
    process: ProcessSettings | None
    """Processes of this machine. Neither this nor `kubernetes`: someone else starts the workers, we only repair."""
    waiting_message: WaitingMessageSettings | None = None
    """None: waiting callers hear nothing."""
    handoff: bool = True
    """Live calls of a worker that drains move to others. False: it keeps them to their end."""
    kubernetes: KubernetesSettings | None = None
    """Pods of a Deployment."""
    schedule: tuple[Shift, ...] = ()
    """Least workers by the time of the week."""
    campaigns: tuple[CampaignRecord, ...] = ()
    """Announced rises of the rate, on the wall clock."""


@dataclass(frozen=True, slots=True)
class Settings:
    redis_url: str = field(repr=False)
    redis_field: str
    """The field that names it, for messages."""
    host: str
    port: int
    auth: Auth
    keys: KeyRing = field(repr=False)
    """As they were at the start; see `api_keys_file`."""
    api_keys_file: Path | None
    """Where the keys are read anew; None: they stay as they are."""
    trusted_proxies: tuple[Network, ...]
    """Whose X-Forwarded-For tells who asks."""
    secret_variables: tuple[str, ...]
    """Environment variables that workers must not inherit."""
    limits: Limits
    regions: Mapping[str, RegionSettings]
    tick_s: float
    listing_s: float
    waiting_grace_s: float
    replica: str
    """Name of this controller among its replicas."""
    otlp_endpoint: str = ""
    """Where traces go, OTLP over HTTP; empty: there are none."""
    lease: LeaseSettings | None = None
    """None: no other controller runs these pools; this one always leads."""
    owner: str | None = None
    """``namespace/release``, as the annotation of our Deployments names it."""


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read, check and freeze the settings in `path`.

    Raises:
        ConfigError: naming the field, its value and the way out.
    """
    env = os.environ if environment is None else environment
    refuse_old_variables(env)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror})", field=str(path), hint="Give the path of a settings file."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not YAML", field=str(path), hint="Correct the file.") from error
    raw = parse_yaml(text, field=str(path))
    if not isinstance(raw, dict):
        raise ConfigError("not a mapping of fields", field=str(path), hint="Start with `regions:`.")
    try:
        file = SettingsFile.model_validate(raw)
    except ValidationError as error:
        raise config_error(error, SettingsFile, source=str(path), renamed=SETTINGS_FILE) from error
    return _freeze(file, env)


def inherited_environment() -> Mapping[str, str]:
    """The controller's own environment, which its workers inherit."""
    return os.environ


def _freeze(file: SettingsFile, env: Mapping[str, str]) -> Settings:
    host, port = parse_listen(file.listen, field="listen")
    redis_url, redis_field = _redis_url(file, env)
    redis_url = with_authority(redis_url, str(file.redis_ca_file or ""), field="redis_ca_file")
    livekits = [region.livekit for region in file.regions.values()]
    keys = [name for livekit in livekits for name in (livekit.api_key_env, livekit.api_secret_env)]
    secrets = [file.api_keys_env, file.redis_url_env, *keys]
    return Settings(
        redis_url=redis_url,
        redis_field=redis_field,
        host=host,
        port=port,
        auth=file.auth,
        keys=key_ring(file, lambda name, field: _variable(name, field, env)),
        api_keys_file=file.api_keys_file,
        trusted_proxies=proxies(file),
        secret_variables=tuple(name for name in secrets if name),
        limits=Limits(**file.limits.model_dump()),
        regions={name: _region(name, region, env) for name, region in file.regions.items()},
        tick_s=file.tick_s,
        listing_s=file.listing_s,
        waiting_grace_s=file.waiting_grace_s,
        otlp_endpoint=check_endpoint(env.get(ENDPOINT_VARIABLE, "")),
        replica=env.get(REPLICA_VARIABLE, "").strip() or f"{socket.gethostname()}-{os.getpid()}",
        lease=lease_settings(file.kubernetes_lease) if file.kubernetes_lease else None,
        owner=file.owner,
    )


def _redis_url(file: SettingsFile, env: Mapping[str, str]) -> tuple[str, str]:
    if (file.redis_url is None) == (file.redis_url_env is None):
        raise ConfigError(
            "give either redis_url or redis_url_env", field="redis_url", hint="Keep exactly one of the two."
        )
    if file.redis_url_env is not None:
        return _variable(file.redis_url_env, "redis_url_env", env), "redis_url_env"
    url = file.redis_url or ""
    if has_secret(url):
        raise ConfigError(
            "has a password in it, and this file is no place for secrets",
            field="redis_url",
            hint="Put the address in an environment variable and name that in redis_url_env.",
        )
    return url, "redis_url"


def _region(name: str, region: RegionFields, env: Mapping[str, str]) -> RegionSettings:
    at = f"regions.{name}"
    if not REGION_PATTERN.match(name):
        raise ConfigError(
            "not a region's name",
            field=at,
            value=name,
            hint="Use up to 32 lowercase letters, digits and hyphens.",
        )
    pool, message = region.pool, region.waiting_message
    return RegionSettings(
        name=name,
        livekit=_livekit(f"{at}.livekit", region.livekit, env),
        agent_name=region.agent_name,
        rooms=region.rooms,
        pool=pool_spec(f"{at}.pool", name, pool),
        schedule=shifts(f"{at}.pool", pool),
        campaigns=campaigns(f"{at}.pool", pool),
        start_timeout_s=pool.start_timeout_s,
        process=_process(region.process) if region.process else None,
        kubernetes=kubernetes_settings(at, region) if region.kubernetes else None,
        waiting_message=_waiting_message(f"{at}.waiting_message", message) if message else None,
        handoff=region.handoff,
    )


def _waiting_message(at: str, message: WaitingMessageFields) -> WaitingMessageSettings:
    if message.text is not None and message.audio is None:
        raise ConfigError(
            "there is no recording of this",
            field=f"{at}.text",
            value=message.text,
            hint="Give the recording in audio, or remove this field.",
        )
    audio = built_in() if message.audio is None else message.audio.absolute()
    clip = read_clip(audio, field=f"{at}.audio")
    # Joining and leaving take time: the next one must not begin before the last one has ended.
    if message.every_s < clip.duration_s + _PAUSE_S:
        raise ConfigError(
            f"the recording lasts {clip.duration_s:.1f} s",
            field=f"{at}.every_s",
            value=message.every_s,
            hint=f"Give at least {clip.duration_s + _PAUSE_S:.1f}, or a shorter recording.",
        )
    text = BUILT_IN_TEXT if message.audio is None else message.text or ""
    return WaitingMessageSettings(after_s=message.after_s, every_s=message.every_s, audio=audio, text=text)


def _process(process: ProcessFields) -> ProcessSettings:
    return ProcessSettings(
        command=tuple(process.command),
        env=process.env,
        state_dir=process.state_dir,
        log_dir=process.log_dir,
        on_exit=process.on_exit,
        stop_timeout_s=process.stop_timeout_s,
    )


def _livekit(at: str, livekit: LiveKitFields, env: Mapping[str, str]) -> LiveKitSettings:
    _require_scheme(f"{at}.url", livekit.url, ("ws", "wss"))
    api_url = livekit.api_url or "http" + livekit.url.removeprefix("ws")
    _require_scheme(f"{at}.api_url", api_url, ("http", "https"))
    if (livekit.api_secret_env is None) == (livekit.api_secret_file is None):
        raise ConfigError(
            "give either api_secret_env or api_secret_file",
            field=f"{at}.api_secret_env",
            hint="Keep exactly one of the two.",
        )
    if livekit.api_secret_env is not None:
        secret = _variable(livekit.api_secret_env, f"{at}.api_secret_env", env)
    else:
        secret = _secret_file(livekit.api_secret_file or Path(), f"{at}.api_secret_file")
    if (livekit.api_key is None) == (livekit.api_key_env is None):
        raise ConfigError(
            "give either api_key or api_key_env", field=f"{at}.api_key", hint="Keep exactly one of the two."
        )
    key = livekit.api_key or _variable(livekit.api_key_env or "", f"{at}.api_key_env", env)
    return LiveKitSettings(url=livekit.url, api_url=api_url, api_key=key, api_secret=secret)


def _require_scheme(field: str, url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(
            f"not a {'/'.join(schemes)} address", field=field, value=url, hint=f"Give {schemes[-1]}://HOST[:PORT]."
        )


def _variable(name: str, field: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ConfigError(
            "this environment variable is not set", field=field, value=name, hint="Set it, or name another."
        )
    return value


def _secret_file(path: Path, field: str) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError(
            f"cannot be read ({reason})", field=field, value=str(path), hint="Give a file with the secret in it."
        ) from error
    if not value:
        raise ConfigError("is empty", field=field, value=str(path), hint="Put the secret in it.")
    return value
