"""`voicefleet redis-acl REGION ...`: the rights of our Redis users, as commands for redis-cli."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from voicefleet.contract.errors import ConfigError

_USER = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."


def redis_acl(
    regions: Annotated[list[str], typer.Argument(help="Regions that are on this Redis.", metavar="REGION...")],
    controller_user: Annotated[str, typer.Option(help="The controller's user.")] = "voicefleet-controller",
) -> None:
    """Print the rights of the Redis users as redis-cli commands: one for the controller, one per region for workers."""
    print(setuser_commands(regions, controller_user))


def setuser_commands(regions: Sequence[str], controller_user: str) -> str:
    """One line for the controller of `regions`, and one for the workers of each. They set no passwords and keep those
    that are set, so they hold no secret, and may be run again at each upgrade.

    Raises:
        ConfigError: a region or the user has a name that cannot be one.
    """
    from voicefleet.contract.keys import REGION_PATTERN
    from voicefleet.runtime.redis.acl import setuser_lines

    for region in regions:
        if not REGION_PATTERN.match(region):
            raise ConfigError(
                "not a region's name",
                field="REGION",
                value=region,
                hint="Give up to 32 lowercase letters, digits and hyphens, as in the controller's file.",
            )
    if not controller_user or set(controller_user) - set(_USER):
        raise ConfigError(
            "not a name for a Redis user",
            field="--controller-user",
            value=controller_user,
            hint="Use letters, digits, hyphens, dots and underscores.",
        )
    return "\n".join(setuser_lines(list(dict.fromkeys(regions)), controller=controller_user))
