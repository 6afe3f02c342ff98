"""The one error tree of voicefleet.

    VoicefleetError            anything we raise on purpose
    ├── UsageError             the user can mend it: exit code 2, one message, no stack trace
    │   ├── ConfigError        a field of a file, an option or the environment is wrong
    │   │   └── ConfigErrors   several fields of one file are, each of its `errors`
    │   ├── MissingPartError   a program, package or file that the command needs is not there
    │   └── UnreachableError   an address does not answer, or refuses our credentials
    └── UnknownStateError      a read failed: the state is unknown, which is never zero

Adapters raise these `from` the client's own error, so the cause stays in the chain.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator, Sequence


class Dependency(enum.StrEnum):
    """What the controller cannot do its work without."""

    REDIS = "redis"
    LIVEKIT = "livekit"
    KUBERNETES = "kubernetes"


class VoicefleetError(Exception):
    """Base of every error that voicefleet raises on purpose."""


class UsageError(VoicefleetError):
    """Wrong input or surroundings, said once and plainly.

    Args:
        what: what is wrong, in one sentence, without a full stop.
        field: the option, file field or address it is about, e.g. ``tiers.fast.stt.plugin``.
        value: the offending value as the user wrote it (never a secret).
        hint: what to do about it, as an imperative sentence.
    """

    exit_code = 2

    def __init__(self, what: str, *, field: str, hint: str, value: object | None = None) -> None:
        self.what = what
        self.field = field
        self.value = value
        self.hint = hint
        shown = "" if value is None else f" = {value!r}"
        super().__init__(f"{field}{shown}: {what}. {hint}")


class ConfigError(UsageError):
    """A field of a file, an option or the environment is wrong."""


class ConfigErrors(ConfigError):
    """Several things are wrong with one file: all of them are said at once, each with its hint.

    Field, value and hint are those of the first.

    Args:
        errors: two or more.
        source: the file or surroundings that they are of.
    """

    def __init__(self, errors: Sequence[UsageError], *, source: str) -> None:
        first = errors[0]
        super().__init__(first.what, field=first.field, value=first.value, hint=first.hint)
        self.errors = tuple(errors)
        self.source = source
        self.args = ("\n  ".join([f"{len(errors)} mistakes in {source}:", *map(str, errors)]),)


class Mistakes:
    """Collects what is wrong, so that whoever mends it is told all of it at once."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[UsageError] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Go on behind the block when something in it is wrong."""
        try:
            yield
        except ConfigErrors as error:
            self._found += error.errors
        except UsageError as error:
            self._found.append(error)

    def refuse(self) -> None:
        """Raise what was found: the `UsageError` itself when it is the only one, else `ConfigErrors`."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise ConfigErrors(self._found, source=self._source)


class MissingPartError(UsageError):
    """A program, package or file that the command needs is not on this machine."""


class UnreachableError(UsageError):
    """An address does not answer, or refuses our credentials."""


class UnknownStateError(VoicefleetError):
    """A read failed, so the state is unknown. Callers hold what they have: unknown is never zero.

    Args:
        dependency: who did not answer, a `Dependency`; empty: nobody in particular.
    """

    def __init__(self, *args: object, dependency: str = "") -> None:
        super().__init__(*args)
        self.dependency = dependency
