"""What all sections of the settings file share: they are frozen, take no unknown field and may name variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

from voicefleet.contract.parsing.validation import closest, refused


class Section(BaseModel):
    """A mapping of the settings file. Each field says its unit, its default and its meaning.

    Validators raise `refused`; the environment is the context of the validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def require_one_of(self, one: str, other: str) -> None:
        """Refuse a section that gives both fields, or neither."""
        if (getattr(self, one) is None) == (getattr(self, other) is None):
            raise refused(f"give either {one} or {other}", field=one, hint="Keep exactly one of the two.")


def _set(name: str, info: ValidationInfo) -> str:
    if not variable(info, name):
        # Names of variables are no secrets.
        close = closest(name, [other for other in info.context or {} if variable(info, other)], cutoff=0.8)
        hint = f"Set it. Did you mean {close}?" if close else "Set it, or name another."
        raise refused("this environment variable is not set", value=name, hint=hint)
    return name


Variable = Annotated[str, AfterValidator(_set)]
"""The name of an environment variable that is set."""


def variable(info: ValidationInfo, name: str) -> str:
    """The value of the environment variable `name`; empty where it is not set."""
    environment: Mapping[str, str] = info.context or {}
    return environment.get(name, "").strip()


def secret_in(path: Path, *, field: str) -> str:
    """The secret in the file that `field` names; refused where it cannot be read or is empty."""
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        hint = "Give a file with the secret in it."
        raise refused(f"cannot be read ({reason})", field=field, value=str(path), hint=hint) from error
    if not value:
        raise refused("is empty", field=field, value=str(path), hint="Put the secret in it.")
    return value
