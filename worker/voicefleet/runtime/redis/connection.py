"""The connection to Redis and the Lua scripts in ``lua/``.

Each command is bounded in time: Redis being slow or away must never hold up a call.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from voicefleet.contract import call_log, codec
from voicefleet.contract.aside import Aside
from voicefleet.contract.claims import Claim, Handoff
from voicefleet.contract.errors import ConfigError, Dependency, UnknownStateError, UnreachableError
from voicefleet.runtime.redis.address import SentinelAddress, is_sentinel, parse_sentinel, shown_address
from voicefleet.runtime.redis.following import follow_the_master
from voicefleet.runtime.redis.scripts import ScriptArguments

COMMAND_TIMEOUT_S = 1.0
MAX_CONNECTIONS = 2_000
_LISTEN_S = 5.0
_NOTING = ("note.", "log_of(")
"""What a script uses of ``notes.lua``, if anything."""

RedisClient = Redis
REDIS_FAILURES = (RedisError, OSError, TimeoutError)
"""What a command raises when Redis is away, slow or refuses: the answer is unknown."""


@contextlib.contextmanager
def translate_redis_errors() -> Iterator[None]:
    """Turn a failure of Redis inside the block into ours.

    Raises:
        UnknownStateError: Redis was away, slow or refused; what was asked of it may or may not have been done.
    """
    try:
        yield
    except REDIS_FAILURES as error:
        if _refuses_rights(error):
            raise UnknownStateError(
                "Redis refuses our user a command or a key. Give it what `voicefleet redis-acl REGION` prints",
                dependency=Dependency.REDIS,
            ) from error
        raise UnknownStateError(
            f"Redis did not answer ({type(error).__name__})", dependency=Dependency.REDIS
        ) from error


def _refuses_rights(error: BaseException) -> bool:
    """Whether our user lacks a right; a script is refused in words of its own."""
    return isinstance(error, NoPermissionError) or (
        isinstance(error, ResponseError) and any(words in str(error) for words in ("can't run this", "can't access at"))
    )


async def redis_now_ms(redis: RedisClient) -> int:
    """Redis's clock, Unix milliseconds. Raises `UnknownStateError` when Redis does not answer."""
    with translate_redis_errors():
        seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def connect_redis(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> RedisClient:
    """A client of the Redis at `url`. It connects on first use.

    ``redis://``, ``rediss://`` for TLS, ``unix://``, or Sentinels (`redis_address.SentinelAddress`), who are asked
    for the master at each new connection. A server that is no master any more loses all our connections
    (`redis_following`), so that its name can lead elsewhere. Commands fail within about `timeout_s`; they are not
    retried here, because the callers repeat on their own beat.

    Raises:
        ConfigError: `url` is not a Redis address.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 15,
        "retry": Retry(NoBackoff(), 1),
        "decode_responses": True,
        # Neither is in the rights of a user of ours (`redis_acl`), and nobody needs them.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        # redis-py's own 100 are too few for the loops of a controller with many regions.
        "max_connections": MAX_CONNECTIONS,
    }
    try:
        if is_sentinel(url):
            return _SentinelRedis(parse_sentinel(url), options)
        client: RedisClient = Redis.from_url(url, **options)
        follow_the_master(client.connection_pool)
        return client
    except ValueError as error:
        raise ConfigError(
            f"not a Redis address ({error})",
            field="redis url",
            hint="Give redis://HOST:PORT, rediss://HOST:PORT for TLS, unix://PATH, or redis+sentinel://H1,H2/MASTER/DB.",
        ) from error


class _SentinelRedis(Redis):
    """A client of the master that Sentinels name; it owns its connections to the Sentinels too."""

    def __init__(self, address: SentinelAddress, options: dict[str, Any]) -> None:
        secured: dict[str, Any] = {"ssl": True, "ssl_ca_certs": address.authority} if address.tls else {}
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
            address.sentinels,
            sentinel_kwargs={
                **{name: value for name, value in options.items() if name.startswith("socket_") or name == "retry"},
                **secured,
                "username": address.query.get("sentinel_username"),
                "password": address.query.get("sentinel_password"),
            },
        )
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            address.master,
            self._sentinel,
            db=address.database,
            username=address.username,
            password=address.password,
            **options,
            **secured,
        )
        follow_the_master(pool)
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for one in self._sentinel.sentinels:
            await one.aclose()


async def check_redis(client: RedisClient, url: str, *, field: str) -> None:
    """Ask Redis for a sign of life.

    Raises:
        UnreachableError: it does not answer, or refuses our credentials.
    """
    try:
        await client.ping()
    except (AuthenticationError, NoPermissionError) as error:
        raise UnreachableError(
            "Redis refuses our credentials",
            field=field,
            value=shown_address(url),
            hint="Check the user name and password in the address.",
        ) from error
    except MasterNotFoundError as error:
        raise UnreachableError(
            "no Sentinel answers that knows a master of this name and sees it up",
            field=field,
            value=shown_address(url),
            hint="Check the Sentinels' addresses and the name: `redis-cli -p 26379 sentinel masters` lists them.",
        ) from error
    except REDIS_FAILURES as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise UnreachableError(
                f"Redis does not answer with a certificate that is trusted ({cause.verify_message})",
                field=field,
                value=shown_address(url),
                hint="Name the authority that signed it (redis_ca_file), and the server by a name in it.",
            ) from error
        raise UnreachableError(
            f"Redis does not answer ({type(error).__name__})",
            field=field,
            value=shown_address(url),
            hint="Start Redis there, or give the address of one that runs.",
        ) from error


async def listen(client: RedisClient, channels: Iterable[str], heard: Callable[[str], None]) -> None:
    """Tell `heard` the channel of every message. Returns when Redis fails: then it is time to listen anew."""
    pubsub: PubSub = client.pubsub(ignore_subscribe_messages=True)
    try:
        await pubsub.subscribe(*channels)
        while True:
            if (message := await pubsub.get_message(timeout=_LISTEN_S)) is not None:
                heard(str(message["channel"]))
    except REDIS_FAILURES:
        return
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]


@cache
def script_text(name: str) -> str:
    """The Lua script ``lua/<name>.lua``, behind what all scripts begin with (``prelude.lua``), and what those begin
    with that note what becomes of calls (``notes.lua``)."""
    files = resources.files("voicefleet.runtime.redis")
    body = (files / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    notes = script_notes() if any(word in body for word in _NOTING) else ""
    return script_prelude() + notes + body


@cache
def script_prelude() -> str:
    """What every script begins with: its arguments, and how stored values are written and read."""
    text = (resources.files("voicefleet.runtime.redis") / "prelude.lua").read_text(encoding="utf-8")
    for name, value in (
        ("SCHEMA_VERSION", str(codec.SCHEMA_VERSION)),
        ("CLAIM_FIELDS", _lua_names(Claim)),
        ("HANDOFF_FIELDS", _lua_names(Handoff)),
        ("ASIDE_FIELDS", _lua_names(Aside)),
    ):
        text = text.replace(f"<<{name}>>", value)
    return text


@cache
def script_notes() -> str:
    """What a script begins with that notes what becomes of a call."""
    text = (resources.files("voicefleet.runtime.redis") / "notes.lua").read_text(encoding="utf-8")
    for name in ("LOG_TTL_MS", "MOST_FACTS", "MOST_EVENTS", "ENDS_AFTER_MS", "FLUSH_MS", "MOST_NOTES"):
        text = text.replace(f"<<{name}>>", str(getattr(call_log, name)))
    return text


def _lua_names(kind: type) -> str:
    return ", ".join(f"'{name}'" for name in codec.names_of(kind))


@cache
def script_names() -> tuple[str, ...]:
    """Of all Lua scripts."""
    files = (file.name for file in (resources.files("voicefleet.runtime.redis") / "lua").iterdir())
    return tuple(sorted(name.removesuffix(".lua") for name in files if name.endswith(".lua")))


class Scripts:
    """The Lua scripts over one client. Redis keeps a script until it restarts; redis-py loads it again then."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._known: dict[str, AsyncScript] = {}

    async def run(self, keys: list[str], args: ScriptArguments) -> Any:
        """Run the script that `args` are for.

        Raises:
            UnknownStateError: Redis was away, slow or refused; the script may or may not have run.
        """
        script = self._known.get(args.script)
        if script is None:
            script = self._known[args.script] = self._client.register_script(script_text(args.script))
        with translate_redis_errors():
            return await script(keys=keys, args=[args.encode()])
