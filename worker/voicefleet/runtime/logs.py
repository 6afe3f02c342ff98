"""Logging: structlog over the standard library's logging, JSON in pods, readable in a terminal.

Events are static sentences with fields. Keys that may carry a secret or personal data are dropped before they reach
any output, whoever logs them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

LogFormat = Literal["auto", "json", "console"]

_SECRET_KEYS = frozenset(
    {"token", "api_secret", "secret", "password", "authorization", "jwt", "access_token", "api_key"}
)
_PERSONAL_KEYS = frozenset(
    {
        "transcript",
        "text",
        "metadata",
        "job_request",
        "user_transcript",
        "user_input",
        "chat_ctx",
        "identity",
        "participant",
        "participant_identity",
    }
)
_PERSONAL_PREFIX = "lk.pii."
"""livekit-agents marks its own so."""

_configured_personal = False


def _guard(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in list(event):
        personal = key in _PERSONAL_KEYS or key.startswith(_PERSONAL_PREFIX)
        if key in _SECRET_KEYS or (personal and not _configured_personal):
            event[key] = "[hidden]"
    return event


def configure_logs(
    level: str = "INFO", log_format: LogFormat = "auto", *, personal_data: bool = False, **bound: str
) -> None:
    """Send every log of this process, ours and the libraries', to stderr in one form.

    Args:
        level: least level shown.
        log_format: ``auto`` is console on a terminal, else JSON.
        personal_data: show transcripts, metadata and identities; off by default everywhere.
        bound: fields that stand on every line, e.g. ``worker`` and ``region``.
    """
    global _configured_personal
    _configured_personal = personal_data
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _guard,
    ]
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(pad_event_to=40)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-1], structlog.stdlib.ExtraAdder(), _guard],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if as_json else []),
                renderer,
            ],
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
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)


def bind_call(**ids: str) -> None:
    """Fields that stand on every line from here on, of this task and those it starts: ids of a call and its trace."""
    structlog.contextvars.bind_contextvars(**ids)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; `name` is its ``__name__``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
