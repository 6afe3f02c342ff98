"""The settings of the receivers of call events: where each is, what it is told, and where the secret is that signs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from voicefleet.contract.call_events import EventType, secret_keys
from voicefleet.contract.parsing.validation import refused
from voicefleet.controller.settings.section import Section, Variable, secret_in, variable

RECEIVER_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.fragment:
        raise refused("not an http/https address", hint="Give https://HOST[:PORT]/PATH.")
    if parts.username or parts.password:
        raise refused("has a password in it", hint="The signature tells who sends; remove what stands before the @.")
    return url


class ReceiverSettings(Section):
    """One receiver of call events."""

    url: Annotated[str, AfterValidator(_address)] = Field(
        repr=False, description="Where events are posted to, http:// or https://. Redirects are not followed."
    )
    secret_env: Variable | None = Field(
        default=None,
        description="Environment variable that holds the signing secret: whsec_BASE64 of 16 bytes or more; two with a "
        "space between them while one is replaced.",
    )
    secret_file: Path | None = Field(default=None, description="Instead of `secret_env`: a file that holds it.")
    events: tuple[EventType, ...] = Field(default=tuple(EventType), min_length=1, description="What it is told of.")
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=10.0, description="Longest wait for its answer, seconds."
    )
    at_once: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8, description="Requests under way at once, of different calls."
    )
    give_up_after_s: Annotated[float, Field(ge=60, le=604_800)] = Field(
        default=86_400.0, description="An event that could not be told for so long is given up, seconds."
    )

    _name: str = PrivateAttr("")
    _keys: tuple[bytes, ...] = PrivateAttr(())

    @property
    def name(self) -> str:
        """Its key in the file."""
        return self._name

    @property
    def keys(self) -> tuple[bytes, ...]:
        """What signs."""
        return self._keys

    def named(self, name: str) -> Self:
        """This receiver, now that its key is known."""
        self._name = name
        return self

    @model_validator(mode="after")
    def _resolve(self, info: ValidationInfo) -> Self:
        self.require_one_of("secret_env", "secret_file")
        field, where = ("secret_env", self.secret_env) if self.secret_env else ("secret_file", str(self.secret_file))
        text = (
            variable(info, self.secret_env) if self.secret_env else secret_in(self.secret_file or Path(), field=field)
        )
        try:
            self._keys = secret_keys(text)
        except ValueError as error:
            hint = (
                "Make one: python3 -c \"import base64,os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
            )
            raise refused(f"does not name a signing secret ({error})", field=field, value=where, hint=hint) from error
        return self
