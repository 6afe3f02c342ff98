"""What a Redis user of ours may do: the least that the code of its component needs, in the words of Redis' ACL.

One user for the controller, over all its regions on that Redis, and one for the workers of each region. A worker's
user reaches the claims, reports and conversations of its own region, and nothing of the queue, of tickets, of limits,
of another region, or of anybody else on that Redis. Neither may list keys, look at or change the server, or flush it.

The keys come from `contract.keys`, the commands of scripts from the scripts. Redis 6.2 knows all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voicefleet.contract.keys import PREFIX, Keys
from voicefleet.runtime.redis.connection import script_names, script_text

CONTROLLER_USER = f"{PREFIX}-controller"
_ANY = "*"
_CALL = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?")
_SUBCOMMANDS = frozenset({"PUBSUB"})
_CONNECTION = ("ping", "select", "evalsha", "script|load", "subscribe", "unsubscribe", "multi", "exec", "discard")

WORKER_SCRIPTS = (
    *("claim_accept", "claim_renew", "claim_release", "handoff_ready", "handoff_yield"),
    *("transcript_put", "report", "call_facts"),
)
WORKER_COMMANDS = (*_CONNECTION, "get", "zrem", "del", "publish", "hgetall", "hsetnx", "lrange", "time")
"""What the worker's Python sends itself; a test reads the code for them."""
CONTROLLER_COMMANDS = (
    *(*_CONNECTION, "del", "expire", "get", "incrby", "mget", "pexpire", "publish", "sadd", "set", "smembers", "srem"),
    *("time", "hgetall", "lrange", "zadd", "zcard", "zcount", "zrange", "zrem", "zremrangebyscore", "xrange", "xtrim"),
    *("xadd", "xrevrange", "hset", "hdel", "rpush", "ltrim"),
)
"""What the controller's Python sends itself."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Patterns of keys and channels, and commands, as ``ACL SETUSER`` takes them without their signs."""

    keys: tuple[str, ...]
    channels: tuple[str, ...]
    commands: tuple[str, ...]

    def rules(self) -> tuple[str, ...]:
        """What makes a user have these rights, whatever it had before. Its passwords, and whether it is on, stay."""
        return (
            "resetkeys",
            "resetchannels",
            "-@all",
            *(f"~{key}" for key in self.keys),
            *(f"&{channel}" for channel in self.channels),
            *(f"+{command}" for command in self.commands),
        )


def worker_user(region: str) -> str:
    """The name of the user of the workers of `region`."""
    return f"{PREFIX}-worker-{region}"


def worker_rights(region: str) -> Rights:
    """What the workers of `region` and their jobs need."""
    k = Keys(region)
    keys = (
        *(k.workers, k.open_claims, k.ledger, k.changed, k.renewed, k.report(_ANY), k.order(_ANY)),
        *(k.claim(_ANY), k.epoch(_ANY), k.fenced(_ANY), k.handoff(_ANY), k.aside(_ANY), k.removing(_ANY)),
        *(k.transcript(_ANY), k.transcript_of(_ANY)),
        *(k.open_calls, k.call_of(_ANY), k.calls_in(_ANY), k.call_log(_ANY), k.call_facts(_ANY)),
        *(k.call_events, k.call_events_wanted, k.tier_choice),
    )
    return Rights(keys, (k.events, k.job_channel(_ANY)), _commands(WORKER_SCRIPTS, WORKER_COMMANDS))


def controller_rights(regions: Sequence[str]) -> Rights:
    """What a controller of `regions` needs: all that is theirs, and what belongs to no region (limits of API keys)."""
    each = [Keys(region) for region in regions]
    return Rights(
        # Regions stand in braces, directly after the prefix; what is left is nobody's but the controllers'.
        (f"{PREFIX}:[^{{]*", *(k.region_prefix + _ANY for k in each)),
        tuple(k.region_prefix + _ANY for k in each),
        _commands(script_names(), CONTROLLER_COMMANDS),
    )


def _commands(scripts: Iterable[str], sent: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*sent, *(command for name in scripts for command in commands_of(script_text(name)))}))


def commands_of(script: str) -> set[str]:
    """The commands that a Lua script runs, in the words of ACL."""
    return {f"{name}|{sub}".lower() if name in _SUBCOMMANDS else name.lower() for name, sub in _CALL.findall(script)}


def setuser_lines(regions: Sequence[str], *, controller: str = CONTROLLER_USER) -> list[str]:
    """One ``ACL SETUSER`` for the controller, and one for the workers of each of `regions`."""
    users = {controller: controller_rights(regions), **{worker_user(name): worker_rights(name) for name in regions}}
    return [" ".join(("ACL SETUSER", user, *rights.rules())) for user, rights in users.items()]
