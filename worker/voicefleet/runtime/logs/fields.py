"""Fields of log records: what may carry a secret or personal data is hidden, by name, at any depth.

Ours are hidden by name. Those of other libraries are logged only when they are numbers or have a name that is known to
be harmless: what a library writes there changes with its releases.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from uuid import UUID

from voicefleet.runtime.logs.errors import error_summary

HIDDEN = "[hidden]"

_SECRETS = frozenset({"token", "secret", "password", "authorization", "jwt", "api_key", "credentials", "cookie"})
_SECRET_ENDS = ("_token", "_secret", "_password", "_jwt", "_api_key", "_credentials")
_PERSONAL = frozenset(
    {
        "transcript",
        "text",
        "content",
        "message",
        "metadata",
        "attributes",
        "arguments",
        "output",
        "payload",
        "job_request",
        "user_transcript",
        "user_input",
        "chat_ctx",
        "identity",
        "identities",
        "participant",
        "participants",
        "caller",
        "phone_number",
    }
)
_PERSONAL_ENDS = ("_identity", "_identities", "_transcript", "_metadata", "_phone_number")
_PERSONAL_PREFIX = "lk.pii."
"""livekit-agents marks its own so."""
_HARMLESS = frozenset(
    {
        *("agent_name", "call", "call_id", "channel", "error_type", "event", "exception_type", "function", "id"),
        *("impl_id", "item_id", "job", "job_id", "job_ids", "kind", "label", "language", "level", "llm", "method"),
        *("model", "node_id", "output_type", "pool", "provider", "region", "request_id", "role", "room", "room_id"),
        *("runner", "server_region", "session_id", "signal", "source", "speech_id", "stage", "status", "stream_id"),
        *("stt", "thread_name", "tool", "tool_name", "track_id", "tts", "type", "version", "worker", "worker_id"),
        *("logger", "timestamp", "trace_id", "process"),
    }
)
_DEEPEST = 5
_OWN = frozenset({"_record", "_from_structlog", "exc_info", "stack_info", "exception"})
"""The logging machinery's own, looked at elsewhere."""


def guard(event: Mapping[str, Any], *, personal_data: bool) -> dict[str, Any]:
    """The fields of a record of ours, as they may be logged."""
    return {name: value if name in _OWN else _loggable(name, value, personal_data, 0) for name, value in event.items()}


def guard_others(event: Mapping[str, Any], *, personal_data: bool) -> dict[str, Any]:
    """The fields of another library's record, as they may be logged."""
    guarded = guard(event, personal_data=personal_data)
    if personal_data:
        return guarded
    return {n: v if n in _OWN or n == "event" or _harmless(n, event[n]) else HIDDEN for n, v in guarded.items()}


def is_secret(name: str) -> bool:
    low = name.lower()
    return low in _SECRETS or low.endswith(_SECRET_ENDS)


def is_personal(name: str) -> bool:
    low = name.lower()
    return low in _PERSONAL or low.endswith(_PERSONAL_ENDS) or low.startswith(_PERSONAL_PREFIX)


def _harmless(name: str, value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, BaseException)) or name in _HARMLESS


def _loggable(name: str, value: Any, personal_data: bool, depth: int) -> Any:
    if is_secret(name) or (is_personal(name) and not personal_data):
        return HIDDEN
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, BaseException):
        return error_summary(value)
    if isinstance(value, (PurePath, UUID)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.name
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(k): _loggable(str(k), v, personal_data, depth + 1) for k, v in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_loggable("", item, personal_data, depth + 1) for item in value]
    # What an object says of itself is not ours to know: settings would say their secrets.
    return repr(value) if personal_data else f"<{type(value).__qualname__}>"
