"""The settings of a pool's tier: which one its calls get that name none, or which two, to find out which is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from voicefleet.contract.calls import TIER_PATTERN
from voicefleet.contract.parsing.validation import closest, refused
from voicefleet.controller.settings.section import Section

ALL = 100
"""What the shares of a pool's tiers add up to, percent."""

MOST_CALLS = 2000
"""Calls of a canary of tiers that count; what they do not decide, no more of them will."""

TierName = Annotated[str, Field(pattern=TIER_PATTERN.pattern)]


class TierCanarySettings(Section):
    """How a canary of tiers is judged."""

    judge: Literal["responses", "tasks"] = Field(
        default="responses",
        description="Which calls are good. responses: every turn got an answer, none was asked for again or hung up "
        "on, and nothing was silent or lost. tasks: the agent reported success, and no failure, by "
        "`current_call().report`.",
    )
    margin_ratio: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0,
        description="By how much fewer of its calls may be good and it is promoted all the same, for a tier that is "
        "faster or cheaper. 0.05: five of a hundred.",
    )
    calls: Annotated[int, Field(ge=20, le=MOST_CALLS)] = Field(
        default=200,
        description="After so many calls, of both tiers together, it is looked at with nine tenths of the error. A "
        "tier that is far worse is rolled back before that.",
    )
    error_ratio: Annotated[float, Field(ge=0.001, le=0.2)] = Field(
        default=0.05, description="Chance of a wrong verdict, however long it is tried."
    )
    tried: TierName | None = Field(
        default=None,
        description="The tier that is tried, where both shares are equal. Default: that of the lesser share.",
    )
    revision: Annotated[str, Field(max_length=128)] = Field(
        default="", description="Any text. Another one is another canary: it is tried anew."
    )


@dataclass(frozen=True, slots=True)
class TierSplit:
    """Two tiers that share a pool's calls."""

    stable: str
    canary: str
    weight: int
    """The canary's share, percent."""


class TierPart(Section):
    """What a region, or an agent, says of its calls' tier."""

    tier: TierName | Mapping[TierName, Annotated[int, Field(ge=0, le=ALL)]] | None = Field(
        default=None,
        description="Tier of calls that name none, whichever way they come. Two with their shares, {steady: 90, quick: "
        "10}, are a canary: the lesser one is tried (of equals: `tier_canary.tried`), and promoted or rolled back by "
        "its own calls. Default: the `default` of the workers' tiers file.",
    )
    tier_canary: TierCanarySettings = Field(
        default_factory=TierCanarySettings, description="How a canary of tiers is judged."
    )

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if not isinstance(self.tier, Mapping):
            return self
        said = ", ".join(f"{name} {share}" for name, share in self.tier.items())
        if (total := sum(self.tier.values())) != ALL:
            raise refused(
                f"the shares add up to {total}, not {ALL}",
                field="tier",
                value=said,
                hint="Give each tier its share of the calls, percent: {steady: 90, quick: 10}.",
            )
        if sum(share > 0 for share in self.tier.values()) > 2:
            raise refused(
                "more than one canary at a time",
                field="tier",
                value=said,
                hint="Try one tier beside the one that has proved itself, then the next.",
            )
        names, tried = [name for name, share in self.tier.items() if share], self.tier_canary.tried
        if len(names) == 2 and tried is None and self.tier[names[0]] == self.tier[names[1]]:
            raise refused(
                "both have the same share, and nobody says which one is tried",
                field="tier",
                value=said,
                hint=f"Name it: tier_canary: {{tried: {names[1]}}}.",
            )
        if len(names) == 2 and tried is not None and tried not in names:
            close = closest(tried, names)
            raise refused(
                f"is none of the two tiers: {', '.join(names)}",
                field="tier_canary.tried",
                value=tried,
                hint=f"Did you mean {close}?" if close else "Name one of them.",
            )
        return self

    @property
    def only_tier(self) -> str:
        """The tier of all calls that name none; empty: the workers' own default, or there are two."""
        if isinstance(self.tier, Mapping):
            return next((name for name, share in self.tier.items() if share == ALL), "")
        return self.tier or ""

    @property
    def tier_split(self) -> TierSplit | None:
        """The two tiers that share the calls; None: there is one."""
        if not isinstance(self.tier, Mapping) or self.only_tier:
            return None
        shares = {name: share for name, share in self.tier.items() if share}
        canary = self.tier_canary.tried or min(shares, key=lambda name: shares[name])
        (stable,) = shares.keys() - {canary}
        return TierSplit(stable, canary, shares[canary])
