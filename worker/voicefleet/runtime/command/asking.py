"""A question to the controller, whose failures become messages for the person at the command line."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from pydantic import ValidationError

from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.command.settings import CONTROLLER_KEY, CONTROLLER_URL

T = TypeVar("T")


async def ask(url: str, question: Awaitable[T]) -> T:
    """The controller's answer to `question`, one of `ControllerClient`'s.

    Raises:
        UnreachableError: no answer, not a controller's answer, or a refusal; names the address or what was asked.
    """
    hint = f"Start it, or correct --controller or {CONTROLLER_URL}."
    try:
        return await question
    except UnknownStateError as error:
        raise UnreachableError(str(error), field="--controller", value=url, hint=hint) from error
    except ValidationError as error:
        raise UnreachableError(
            "what answers there is no voicefleet controller of this version",
            field="--controller",
            value=url,
            hint=hint,
        ) from error
    except UnreachableError as error:
        if error.value != 401:
            raise
        raise UnreachableError(
            "the controller answered 401: no key is given, or one that it does not know",
            field=CONTROLLER_KEY,
            hint="Set it to the secret of a key of the controller's `api_keys_env` or `api_keys_file`.",
        ) from error
