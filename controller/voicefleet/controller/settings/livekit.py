"""The settings of one region's LiveKit: its addresses, its API key and where the secret of that key is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from voicefleet.contract.parsing.validation import check_all, refused
from voicefleet.controller.settings.section import Section, Variable, secret_in, variable


def _address(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname:
            raise refused(f"not a {'/'.join(schemes)} address", value=url, hint=f"Give {schemes[-1]}://HOST[:PORT].")
        return url

    return AfterValidator(check)


class LiveKitSettings(Section):
    url: Annotated[str, _address("ws", "wss")] = Field(
        description="Address of LiveKit for callers and workers: ws:// or wss://."
    )
    api_url: Annotated[str, _address("http", "https")] | None = Field(
        default=None,
        description="Address for the controller's own requests, http:// or https://; default: the host of `url`.",
    )
    api_key: Annotated[str, Field(min_length=1)] | None = Field(default=None, description="LiveKit's API key.")
    api_key_env: Variable | None = Field(
        default=None, description="Instead of `api_key`: the environment variable that holds it."
    )
    api_secret_env: Variable | None = Field(
        default=None, description="Environment variable that holds the key's secret."
    )
    api_secret_file: Path | None = Field(default=None, description="Instead of `api_secret_env`: a file that holds it.")

    deployment: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")] | None = Field(
        default=None,
        description="Where several regions have one LiveKit: what pins the region's dispatches to its own workers, "
        "which have it in `LIVEKIT_AGENT_DEPLOYMENT`; default: it is the region's alone.",
    )

    _key: str = PrivateAttr("")
    _secret: str = PrivateAttr("")

    @property
    def http_url(self) -> str:
        """For the controller's own requests."""
        return self.api_url or "http" + self.url.removeprefix("ws")

    @property
    def key(self) -> str:
        """The API key, wherever it stands."""
        return self._key

    @property
    def secret(self) -> str:
        """The API key's secret."""
        return self._secret

    @model_validator(mode="after")
    def _resolve(self, info: ValidationInfo) -> Self:
        check_all(lambda: self._read_secret(info), lambda: self.require_one_of("api_key", "api_key_env"))
        self._key = self.api_key or variable(info, self.api_key_env or "")
        return self

    def _read_secret(self, info: ValidationInfo) -> None:
        self.require_one_of("api_secret_env", "api_secret_file")
        if self.api_secret_env is not None:
            self._secret = variable(info, self.api_secret_env)
        elif self.api_secret_file is not None:
            self._secret = secret_in(self.api_secret_file, field="api_secret_file")
