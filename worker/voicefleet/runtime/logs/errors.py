"""Errors in logs: what failed and where, never what was being said.

The text of an error is whatever its author put into it: a caller's words ("no such card: 4111 1111"), a URL with a
token in it. So only the texts of our own tree are logged; of others the type, the numbers they carry (errno, HTTP
status), and the frames as module, function and line. `show_error_texts` opens all of them, with personal data.
"""

from __future__ import annotations

import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TextIO

from voicefleet.contract.errors import VoicefleetError

_NUMBERS = ("errno", "status", "status_code", "code")
_FRAMES = 40
_CHAIN = 10

_texts_shown = False


def show_error_texts(shown: bool) -> None:
    """Whether the texts of all errors are logged from now on, in this process."""
    global _texts_shown
    _texts_shown = shown


def error_summary(error: BaseException) -> str:
    """One line for a log: the error's type, and its text if that is ours."""
    kind = type(error).__qualname__
    if _texts_shown or isinstance(error, VoicefleetError):
        return f"{kind}: {error}" if _texts_shown else str(error)
    return kind + _numbers(error)


def error_details(error: BaseException) -> str:
    """Several lines for a log: the error, its frames (oldest first), and its causes."""
    return "\n".join(_lines(error, set()))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if _texts_shown or isinstance(error, VoicefleetError):
        yield f"{name}: {error}"
    else:
        yield name + _numbers(error)
    yield from _frames(error.__traceback__)
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions[:_CHAIN], 1):
            yield f"part {number}:"
            yield from (f"  {line}" for line in _lines(part, seen))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen and len(seen) < _CHAIN:
        yield "caused by:" if error.__cause__ else "while handling:"
        yield from _lines(cause, seen)


def _frames(trace: TracebackType | None) -> list[str]:
    frames = [f"  {_module(frame)}.{frame.f_code.co_qualname}:{line}" for frame, line in traceback.walk_tb(trace)]
    if len(frames) > _FRAMES:
        frames[10 : len(frames) - _FRAMES + 10] = [f"  ... {len(frames) - _FRAMES} more"]
    return frames


def _module(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def _numbers(error: BaseException) -> str:
    """`` (errno 111)``: numbers hold no words."""
    found = {}
    for name in _NUMBERS:
        try:
            value = getattr(error, name, None)
        except Exception:  # A property of somebody else's error may raise anything.
            continue
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            found[name] = int(value)
    return f" ({', '.join(f'{name} {value}' for name, value in found.items())})" if found else ""


def log_uncaught_errors(tell: Callable[..., object]) -> None:
    """Send to `tell(event, **fields)` what Python itself would print on stderr, texts, source lines and all: errors
    that nobody caught, in any thread, and warnings."""

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        tell("uncaught error, the process ends", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = args.thread.name if args.thread else ""
            tell("uncaught error, a thread ends", thread=name, exc_info=args.exc_value)

    def unraisable(args: Any) -> None:
        if args.exc_value is not None:
            where = getattr(args.object, "__qualname__", type(args.object).__name__)
            tell("error where none can be raised", where=str(where), exc_info=args.exc_value)

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = {"text": str(message)} if _texts_shown else {}
        tell("a warning of Python's", category=category.__name__, file=filename, line=lineno, **text)

    sys.excepthook = uncaught
    warnings.showwarning = warned
    # Others than Python's own belong to somebody who wants to know, such as a test runner.
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = unraisable
