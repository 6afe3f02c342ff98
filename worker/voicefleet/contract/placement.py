"""Schemas of placement: which region a call goes to, why, and the probes by which a caller measures its round trips."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from voicefleet.contract.schemas import Schema

COUNTRY_PATTERN = r"^[A-Z]{2}$"
MOST_ROUND_TRIPS = 64
"""In one request."""


class RoundTrip(Schema):
    """A round trip that the caller measured."""

    token: Annotated[str, Field(max_length=256)] = Field(description="The probe's, of `GET /v1/probes`; it is signed")
    ms: float = Field(description="Milliseconds from the request to its answer; the least of a few")


class ProbeView(Schema):
    """One probe in `GET /v1/probes`."""

    region: str = Field(description="How near it is is to be measured")
    url: str = Field(description="To be fetched by the caller: how long the answer takes is the round trip")
    token: str = Field(description="Goes with the measured time into `round_trips` of `POST /v1/calls`")


class ProbeList(Schema):
    """Answer of `GET /v1/probes`."""

    probes: list[ProbeView] = Field(description="One for each region of the key")
    valid_s: float = Field(description="The tokens are good for so long, seconds")


class ConsideredView(Schema):
    """A region that a call might have gone to."""

    region: str = Field(description="Its name")
    verdict: str = Field(
        description="chosen; behind (another one comes first); no_room_yet (a worker would have to start); unknown "
        "(what is free is not known); unwell (calls fail there); unused_tickets (the key has as many as it may); full; "
        "outside (of the call's residency group)"
    )
    round_trip_ms: float | None = Field(default=None, description="As the caller measured it")


class PlacementView(Schema):
    """Why a call is where it is."""

    reason: str = Field(
        description="asked (by the request), round_trip (the nearest as measured), network or country (the "
        "controller's table), free (nothing said where the caller is: the most free slots), or spill (those "
        "that come first have no room, or are unwell)"
    )
    considered: list[ConsideredView] = Field(description="Every region of the key that has the agent, in order")


class Alternative(Schema):
    """A region where the call could have gone just as well."""

    region: str = Field(description="For `region` of another `POST /v1/calls`, with the same `identity`")
    url: str = Field(description="Address of its LiveKit")
