"""API keys with their roles and regions, parsed from a list or a file. Pure: texts in, values out.

A secret is compared as its SHA-256. A slow hash (scrypt, argon2) makes guessing dear where people choose passwords;
here `voicefleet keys hash` draws 256 bits, which nobody guesses at any speed, and 500 requests a second are checked.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import REGION_PATTERN

SECRET_LEAST = 16
"""Characters. What is shorter can be guessed."""
HASH_FORM = "sha256"
_HASH = re.compile(r"^[0-9a-f]{64}$")
_NAME = re.compile(r"^[A-Za-z0-9_.@-]{1,64}$")
_FORM = re.compile(r"^[a-z0-9-]{1,12}$")
_WORD = re.compile(r"^[a-z-]{1,12}$")
_LIMIT = re.compile(r"^[a-z]{1,12}=-?[0-9.]{1,9}$")
_MAKE_ONE = "`voicefleet keys hash NAME --roles ROLES` makes one."


class Role(enum.StrEnum):
    """What a key may be used for."""

    CALL = "call"
    """Place calls, and end those that it placed."""
    DIAL = "dial"
    """Beside `CALL`: call numbers, which costs money. Only a key that is given it has it."""
    READ = "read"
    """See regions, calls, workers, decisions and campaigns."""
    OPERATE = "operate"
    """Drain workers, announce and delete campaigns, end any call; includes `READ`."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Bounds of one key in place of the settings' `limits`. None: those hold."""

    calls: int | None = None
    """At once; 0: no bound."""
    requests: int | None = None
    """For calls, a minute."""


LIMIT_NAMES = tuple(f.name for f in dataclasses.fields(KeyLimits))


@dataclass(frozen=True, slots=True)
class Key:
    """One API key; its secret is nowhere but in `digest`."""

    name: str
    roles: frozenset[Role]
    regions: frozenset[str] | None = None
    """None: all of them."""
    digest: bytes = field(default=b"", repr=False)
    """SHA-256 of the secret."""
    unlimited: bool = False
    """It was given no roles, so it has all that come by themselves."""
    limits: KeyLimits = KeyLimits()

    def may(self, role: Role) -> bool:
        return role in self.roles or (role is Role.READ and Role.OPERATE in self.roles)

    def sees(self, region: str) -> bool:
        return self.regions is None or region in self.regions


UNASKED = frozenset(Role) - {Role.DIAL}
"""The roles of a key that was given none."""

ANYONE = Key("anyone", UNASKED)
"""Who asks where `auth` is none."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys there are, with different names and secrets."""

    keys: tuple[Key, ...] = field(default=(), repr=False)

    def find(self, secret: str) -> Key | None:
        """The key of this secret. All are compared, each in constant time: the time taken tells nothing."""
        digest = digest_of(secret)
        found: Key | None = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def callers(self, region: str) -> int:
        """How many keys may place calls in `region`."""
        return sum(key.may(Role.CALL) and key.sees(region) for key in self.keys)


def digest_of(secret: str) -> bytes:
    # Header values may hold bytes that are no text.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def keys_in_list(text: str, *, field: str, source: str, regions: Collection[str]) -> KeyRing:
    """The keys in ``name:secret[:ROLES[:REGIONS[:LIMITS]]],...``; roles, regions and limits (``calls=20``,
    ``requests=60``) are joined by ``+``. Empty regions are all of them.

    Args:
        field: the setting that names `source`, for messages.
        source: where the list came from; never the list itself, which holds the secrets.
        regions: those there are.

    Raises:
        ConfigError: something in it is wrong; no message holds a secret.
    """
    keys = []
    for number, item in enumerate(text.split(","), 1):
        name, *parts = (part.strip() for part in item.split(":"))
        secret, rest = parts[0] if parts else "", parts[1:]
        where = f"{name} in {source}" if _NAME.match(name) else f"key {number} in {source}"
        if not _NAME.match(name) or not secret or len(rest) > 3:
            raise ConfigError(
                "does not hold name:secret[:ROLES[:REGIONS[:LIMITS]]] with a name of letters, digits and _ . @ -",
                field=field,
                value=source,
                hint='Set it to "web:SECRET:call,ops:SECRET:operate:eu+us,acme:SECRET:call::calls=20"; no secret has '
                'a ":" or a ",".',
            )
        if len(secret) < SECRET_LEAST:
            raise ConfigError(
                f"this key's secret has less than {SECRET_LEAST} characters",
                field=field,
                value=where,
                hint=_MAKE_ONE,
            )
        roles = _roles(rest[0].split("+"), field=field, where=where) if rest else UNASKED
        limited = None
        if len(rest) == 2 or (len(rest) == 3 and rest[1]):
            limited = _regions(rest[1].split("+"), regions, field=field, where=where)
        own = _limits(rest[2].split("+"), field=field, where=where) if len(rest) == 3 else KeyLimits()
        keys.append(Key(name, roles, limited, digest_of(secret), unlimited=not rest, limits=own))
    return _ring(keys, field=field, source=source)


def keys_in_file(text: str, *, field: str, source: str, regions: Collection[str]) -> KeyRing:
    """The keys in lines of ``NAME sha256:HEX ROLES [REGIONS] [calls=N] [requests=N]``. A remark follows a ``#``.

    Raises:
        ConfigError: something in it is wrong; the message names the line.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.partition("#")[0].split()
        if not parts:
            continue
        where = f"{source}, line {number}"
        limits = [part for part in parts if "=" in part]
        parts = [part for part in parts if "=" not in part]
        if not 3 <= len(parts) <= 4 or not _NAME.match(parts[0]):
            raise ConfigError(
                "not NAME HASH ROLES [REGIONS] [calls=N] [requests=N], with a name of letters, digits and _ . @ -",
                field=field,
                value=where,
                hint=f"Correct it; {_MAKE_ONE}",
            )
        form, colon, hexadecimal = parts[1].partition(":")
        if form != HASH_FORM or not _HASH.match(hexadecimal):
            raise ConfigError(
                "a hash of an unknown form",
                field=field,
                value=f"{where}: {form if colon and _FORM.match(form) else '...'}",
                hint=f"Give {HASH_FORM}: and 64 hexadecimal digits; {_MAKE_ONE}",
            )
        roles = _roles(parts[2].split("+"), field=field, where=where)
        limited = _regions(parts[3].split("+"), regions, field=field, where=where) if len(parts) == 4 else None
        own = _limits(limits, field=field, where=where)
        keys.append(Key(parts[0], roles, limited, bytes.fromhex(hexadecimal), limits=own))
    if not keys:
        raise ConfigError("holds no key", field=field, value=source, hint=f"Add one; {_MAKE_ONE}")
    return _ring(keys, field=field, source=source)


def parse_roles(text: str) -> frozenset[Role]:
    """Roles joined by ``+``. Raises `ConfigError` with field ``--roles``."""
    return _roles(text.split("+"), field="--roles", where="")


def line_of(name: str, secret: str, roles: str, regions: str, limits: KeyLimits | None = None) -> str:
    """One line of a file of keys.

    Raises:
        ConfigError: a name, role or region that none can have, or a secret that can be guessed.
    """
    if not _NAME.match(name):
        raise ConfigError("not a key's name", field="NAME", value=name, hint="Use letters, digits and _ . @ -")
    parse_roles(roles)
    for region in filter(None, regions.split("+")):
        if not REGION_PATTERN.match(region):
            raise ConfigError("not a region's name", field="--regions", value=region, hint="Give e.g. eu+us.")
    if len(secret) < SECRET_LEAST or any(c.isspace() or not c.isprintable() for c in secret):
        raise ConfigError(
            f"a secret has at least {SECRET_LEAST} characters and no spaces",
            field="--stdin",
            hint="Give a longer one, or leave --stdin out: one is made.",
        )
    given = dataclasses.asdict(limits or KeyLimits()).items()
    own = [f"{what}={most}" for what, most in given if most is not None]
    return " ".join(filter(None, (name, f"{HASH_FORM}:{digest_of(secret).hex()}", roles, regions, *own)))


def _roles(texts: Sequence[str], *, field: str, where: str) -> frozenset[Role]:
    # The text may be a part of a secret that has a colon in it: only a plain word is repeated.
    _refuse_unknown("role", texts, {role.value for role in Role}, _WORD, field=field, where=where)
    return frozenset(Role(text) for text in texts)


def _regions(texts: Sequence[str], known: Collection[str], *, field: str, where: str) -> frozenset[str]:
    _refuse_unknown("region", texts, known, REGION_PATTERN, field=field, where=where)
    return frozenset(texts)


def _limits(texts: Sequence[str], *, field: str, where: str) -> KeyLimits:
    found: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        least = 0 if name == "calls" else 1
        if name not in LIMIT_NAMES or name in found or not re.fullmatch(r"[0-9]{1,9}", number) or int(number) < least:
            shown = text if _LIMIT.match(text) else "..."
            raise ConfigError(
                "not a limit of a key",
                field=field,
                value=f"{where}: {shown}",
                hint="Give calls=N (at once; 0: no bound) and requests=N (a minute), each once.",
            )
        found[name] = int(number)
    return KeyLimits(**found)


def _refuse_unknown(
    what: str, texts: Sequence[str], known: Collection[str], plain: re.Pattern[str], *, field: str, where: str
) -> None:
    """Only a text that is `plain` is repeated in the message."""
    for text in texts:
        if text not in known:
            shown = text if plain.match(text) else "..."
            raise ConfigError(
                f"no such {what}",
                field=field,
                value=f"{where}: {shown}" if where else shown,
                hint=f"Known: {', '.join(sorted(known))}; join several by +.",
            )


def _ring(keys: Iterable[Key], *, field: str, source: str) -> KeyRing:
    ring = KeyRing(tuple(keys))
    for part, attribute in (("name", "name"), ("secret", "digest")):
        counts = Counter(getattr(key, attribute) for key in ring.keys)
        if twice := sorted({key.name for key in ring.keys if counts[getattr(key, attribute)] > 1}):
            raise ConfigError(
                f"two keys have the same {part}",
                field=field,
                value=f"{', '.join(twice)} in {source}",
                hint=f"Give each its own {part}.",
            )
    return ring
