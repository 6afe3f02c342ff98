"""Schemas of the HTTP API: whom to call, and how that goes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from voicefleet.contract.dials import (
    HEADER_PATTERN,
    LEAST_RING_S,
    MAX_HEADER_LENGTH,
    MAX_HEADERS,
    MOST_ATTEMPTS,
    MOST_RING_S,
    NUMBER_PATTERN,
    TRUNK_PATTERN,
    DialOrder,
)
from voicefleet.contract.schemas import Schema, plain


def _number(text: str) -> str:
    if not re.match(NUMBER_PATTERN, text):
        raise ValueError("it is no number: give digits alone, with a plus before the country's code: +4930123456")
    return text


def _headers(given: dict[str, str]) -> dict[str, str]:
    """A call's own headers. Those of SIP itself, such as From, are LiveKit's and the trunk's."""
    if len(given) > MAX_HEADERS:
        raise ValueError(f"more than {MAX_HEADERS} headers")
    for name, value in given.items():
        if not re.match(HEADER_PATTERN, name):
            raise ValueError("a header's name begins with X- and has letters, digits and hyphens")
        if len(value) > MAX_HEADER_LENGTH:
            raise ValueError(f"a header has at most {MAX_HEADER_LENGTH} characters")
        plain(value)
    return given


class RetryRequest(Schema):
    """When a number that was not reached is called again."""

    attempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)] = Field(default=1, description="In all")
    on: tuple[Literal["busy", "no_answer", "failed"], ...] = Field(
        default=("busy", "no_answer"), description="After these results"
    )
    pause_s: Annotated[float, Field(ge=0, le=86_400)] = Field(default=60.0, description="Seconds before the next one")


class DialRequest(Schema):
    """Whom to call, in `POST /v1/calls`. The agent is there before it rings, and speaks once somebody has answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    to: Annotated[str, AfterValidator(_number)] = Field(repr=False, description="The number; never logged")
    trunk: Annotated[str, Field(pattern=TRUNK_PATTERN)] | None = Field(
        default=None, description="LiveKit's outbound trunk; the only one of the settings when left out"
    )
    caller_number: Annotated[str, AfterValidator(_number)] | None = Field(
        default=None, alias="from", repr=False, description="The number that is shown; one of the trunk's when left out"
    )
    ring_timeout_s: Annotated[int, Field(ge=LEAST_RING_S, le=MOST_RING_S)] = Field(
        default=30, description="Seconds after which nobody answers"
    )
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        default_factory=dict, repr=False, description="SIP headers of the call, X-...; never logged"
    )
    wait_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        default=300.0, description="Seconds that it may wait for the trunk and an agent, in each attempt"
    )
    retry: RetryRequest = Field(default=RetryRequest(), description="When to call again; default: never")

    def order(self, trunk: str) -> DialOrder:
        """The same for `trunk`, as it is kept."""
        return DialOrder(
            trunk=trunk,
            to=self.to,
            caller_number=self.caller_number or "",
            ring_timeout_s=self.ring_timeout_s,
            headers=self.headers,
            wait_s=self.wait_s,
            attempts=self.retry.attempts,
            retry_on=self.retry.on,
            retry_pause_s=self.retry.pause_s,
        )


class DialView(Schema):
    """Answer of `POST /v1/calls` with `dial`, and what becomes of it."""

    room: str = Field(description="Names the call in every other route")
    region: str = Field(description="Where it is called from")
    state: str = Field(description="queued, dialling, ringing, answered, busy, no_answer or failed")
    attempt: int = Field(default=1, description="The one that it is at")
    attempts: int = Field(default=1, description="As many at most")
    sip_status_code: int = Field(default=0, description="Of the last attempt that failed; 0: SIP said nothing")
    sip_status: str = Field(default="", description="SIP's words for it")
    detail: str = Field(default="", description="Why it failed, where SIP did not say")
