"""A process whose every way to write a log leaks: the caller's words, a secret, an identity. Run by test_logs.

Arguments: json or console, then true or false for personal data.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import warnings
from typing import Any, Literal, cast

from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import configure_logs, get_logger

CARD = "4111 1111"
WHO = "anna@example.com"
PRIVATE = "hunter2-secret"


class ToolError(Exception):
    """A team's own."""


def look_up(words: str) -> None:
    api_secret = PRIVATE
    try:
        raise KeyError(words)
    except KeyError as error:
        raise ToolError(f"no such card: {words}, asked with {api_secret}") from error


def failing() -> ToolError:
    try:
        look_up(f"my card is {CARD}")
    except ToolError as error:
        return error
    raise AssertionError


class Settings:
    def __repr__(self) -> str:
        return f"Settings(api_secret={PRIVATE!r})"


def our_own() -> None:
    log = get_logger("voicefleet.worker.job.entry")
    try:
        look_up(f"my card is {CARD}")
    except ToolError as error:
        log.exception("the tool failed", error=error_summary(error))
        log.warning("the tool failed, once more", error=error, reasons=[error])
    try:
        raise UnknownStateError("Redis did not answer (TimeoutError)") from failing()
    except UnknownStateError:
        log.exception("state unknown")
    seen = {"participants": [{"identity": WHO}]}
    log.info("who", identity=WHO, caller_identity=WHO, seen=seen, livekit_token=PRIVATE)
    log.info("what", settings=Settings(), api_secret=PRIVATE, nested=[{"password": PRIVATE}], transcript=CARD)
    log.error(
        "config", error=error_summary(ConfigError("no such tier", field="tiers", value="fast", hint="Name another."))
    )


def others() -> None:
    log = logging.getLogger("livekit.agents")
    error = failing()
    log.error("exception in a tool", exc_info=error, extra={"function": "look_up", "error": error, "attempt": 3})
    log.error(f"closing due to unrecoverable error: {error}")
    log.warning("participant %s left after %d s", WHO, 7)
    log.warning(
        f"participant {WHO} has left, and said {CARD}",
        extra={"participant": WHO, "lk.pii.text": CARD, "note": CARD, "room": "room-1"},
    )
    log.warning("got " + CARD)
    log.warning(str(error))
    log.error("bad arguments %d", CARD)
    log.log(logging.ERROR, "by level %s", CARD)
    place = "livekit_ffi::server"
    log.log(logging.WARNING, "%s:%s:%s - %s", place, 279, place, CARD)
    logging.getLogger("aiohttp.server").error("Error handling request from %s", WHO, exc_info=error)
    logging.getLogger("redis").warning("redis said %r", error)
    log.error("with stack", stack_info=True)
    log.error("as text", extra={"exception": CARD, "error": CARD})


async def of_tasks() -> None:
    async def task(words: str) -> None:
        raise ToolError(words)

    lost = asyncio.create_task(task(f"my card is {CARD}"))
    await asyncio.wait({lost})
    del lost
    gc.collect()
    asyncio.get_running_loop().call_soon(look_up, f"my card is {CARD}")
    await asyncio.sleep(0)
    groups = ExceptionGroup(f"of {WHO}", [failing(), ValueError(CARD)])
    get_logger("voicefleet.worker").error("several", exc_info=groups)


class Dying:
    def __del__(self) -> None:
        raise ToolError(CARD)


def main() -> None:
    form, personal = cast(Literal["json", "console"], sys.argv[1]), sys.argv[2] == "true"
    configure_logs("DEBUG", form, personal_data=personal, worker="w-1")
    our_own()
    others()
    asyncio.run(of_tasks())
    thread = threading.Thread(target=look_up, args=(CARD,))
    thread.start()
    thread.join()
    dying: Any = Dying()
    del dying
    warnings.warn(f"careful with {CARD}", UserWarning, stacklevel=1)
    look_up(f"my card is {CARD}")


if __name__ == "__main__":
    main()
