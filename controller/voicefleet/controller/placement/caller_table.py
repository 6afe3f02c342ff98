"""The team's table: which regions are for callers of a country or a network. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class CallerTable:
    """Regions by country and by network, each list in order of preference."""

    countries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 3166-1 alpha-2 -> regions."""
    networks: Mapping[Network, Sequence[str]] = field(default_factory=dict)

    def of_address(self, address: str) -> Sequence[str]:
        """The regions of the smallest network that has `address`; none: no network has it, or it is no address."""
        try:
            here = ipaddress.ip_address(address)
        except ValueError:
            return ()
        if isinstance(here, ipaddress.IPv6Address) and here.ipv4_mapped is not None:
            here = here.ipv4_mapped
        fits = [network for network in self.networks if here in network]
        return self.networks[max(fits, key=lambda network: network.prefixlen)] if fits else ()

    def of_country(self, country: str) -> Sequence[str]:
        """The regions of a country; none: it is not in the table."""
        return self.countries.get(country, ())
