"""The settings of placement: which regions are for callers of which country or network, and whose calls stay where."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.placement import COUNTRY_PATTERN
from voicefleet.controller.placement.caller_table import CallerTable
from voicefleet.controller.settings.section import Section


def _listed(given: object) -> object:
    return (given,) if isinstance(given, str) else given


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise refused("not a network", value=text, hint="Give for example 10.0.0.0/8 or 2001:db8::/32.") from error
    return text


Regions = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
"""Names of regions in order of preference; one may stand alone."""

RESIDENCY_PATTERN = r"^([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?)?$"
"""Of the name of a data-residency group; empty: none."""


class PlacementSettings(Section):
    """Where a call goes whose request names no region and whose caller measured nothing; and whose calls stay where."""

    networks: Mapping[Annotated[str, AfterValidator(_network)], Regions] = Field(
        default_factory=dict,
        description="Network -> the region of its callers, or several in order of preference, by `address` of a "
        'request: {"10.1.0.0/16": eu}. The smallest network counts.',
    )
    countries: Mapping[Annotated[str, Field(pattern=COUNTRY_PATTERN)], Regions] = Field(
        default_factory=dict,
        description="Country (ISO 3166-1 alpha-2) -> the region of its callers, or several in order of preference, by "
        "`country` of a request: {DE: eu, BR: [us, eu]}.",
    )
    residency: Mapping[str, Annotated[str, Field(pattern=REGION_PATTERN.pattern)]] = Field(
        default_factory=dict,
        description="Name of an API key -> the data-residency group that its calls never leave, whatever a request "
        "says: {acme: eu-data}. Regions say which group they are in.",
    )

    @property
    def table(self) -> CallerTable:
        """The same for placement."""
        return CallerTable(
            countries=self.countries,
            networks={ipaddress.ip_network(text): regions for text, regions in self.networks.items()},
        )
