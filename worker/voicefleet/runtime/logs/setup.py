"""Logging: structlog over the standard library's logging, JSON in pods, readable in a terminal.

Events are static sentences with fields. Everything a process of ours says goes through one filter, whoever says it:
fields that may carry a secret or personal data are hidden (`log_fields`), errors are logged without their texts and
without anybody's locals (`log_errors`), and of other libraries' messages only the words that stand in their source
(`log_words`). Personal data, asked for, opens all but the secrets.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from voicefleet.runtime.logs.errors import error_details, error_summary, log_uncaught_errors, show_error_texts
from voicefleet.runtime.logs.fields import guard, guard_others
from voicefleet.runtime.logs.foreign_messages import literal_message

LogFormat = Literal["auto", "json", "console"]

_Event = MutableMapping[str, Any]

_ASYNCIO_DETAILS = re.compile(r"[(<\n].*", re.DOTALL)
"""asyncio puts arguments, results and errors of others into its messages, after the words."""

_personal_data = False


def _ours(_: Any, __: str, event: _Event) -> _Event:
    return guard(_with_error(event), personal_data=_personal_data)


def _others(_: Any, __: str, event: _Event) -> _Event:
    record: logging.LogRecord = event["_record"]
    args = event.pop("positional_args")  # the record, a copy, has none
    if _personal_data:
        event["event"] = str(record.msg) % args if args else str(record.msg)
    else:
        event["event"] = _words(record, args)
    event = _with_error(event)
    if "exception" not in event and record.exc_text:
        event["exception"] = record.exc_text if _personal_data else "formatted elsewhere, not shown"
    return guard_others(event, personal_data=_personal_data)


def _words(record: logging.LogRecord, args: Any) -> str:
    if record.name == "asyncio" and isinstance(record.msg, str):
        return _ASYNCIO_DETAILS.sub("", record.msg).strip()
    # The line says where to read the rest.
    return literal_message(record.pathname, record.lineno, args) or f"a message at {record.module}:{record.lineno}"


def _with_error(event: _Event) -> _Event:
    """`exception` instead of `exc_info`, whatever form that has."""
    given = event.pop("exc_info", None)
    for name in ("stack_info", "exception"):
        event.pop(name, None)  # somebody's text
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) and len(given) == 3 else given
    if isinstance(error, BaseException):
        event["exception"] = error_details(error)
    return event


class _Handler(logging.StreamHandler[TextIO]):
    """To stderr. Of a record that cannot be written, the standard handler would print all that is in it."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        with contextlib.suppress(Exception):
            kind = error_summary(error) if error else "unknown"
            where = f"{record.module}:{record.lineno}"
            self.stream.write(f"a record of {record.name} at {where} cannot be logged: {kind}\n")


def configure_logs(
    level: str = "INFO", log_format: LogFormat = "auto", *, personal_data: bool = False, **bound: str
) -> None:
    """Send every log of this process, ours and the libraries', to stderr in one form.

    Args:
        level: least level shown.
        log_format: ``auto`` is console on a terminal, else JSON.
        personal_data: show transcripts, metadata, identities and the texts of errors; off by default everywhere.
        bound: fields that stand on every line, e.g. ``worker`` and ``region``.
    """
    global _personal_data
    _personal_data = personal_data
    show_error_texts(personal_data)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(pad_event_to=40)
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared, _others],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "asyncio", "httpx", "numba", "faster_whisper"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            _ours,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)
    log_uncaught_errors(get_logger(__name__).error)


def bind_call(**ids: str) -> None:
    """Fields that stand on every line from here on, of this task and those it starts: ids of a call and its trace."""
    structlog.contextvars.bind_contextvars(**ids)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; `name` is its ``__name__``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
