"""Results of load tests in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voicefleet.callers.outcome import CallOutcome, call_from_json
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_json
from voicefleet.runtime.text_file import read_text

_HINT = "Give a file that `voicefleet loadtest --json` wrote."
_PARTS = ("figures", "criteria", "verdict", "outcomes", "generator")


def read_result(path: Path) -> dict[str, Any]:
    """The result in `path`.

    Raises:
        ConfigError: it cannot be read, or is no load test's result.
    """
    document = parse_json(read_text(path, field="RESULT", hint=_HINT), field="RESULT", value=str(path))
    if not isinstance(document, dict) or any(name not in document for name in _PARTS):
        raise ConfigError("is no result of a load test", field="RESULT", value=str(path), hint=_HINT)
    return document


def calls_of(document: dict[str, Any], source: str) -> list[CallOutcome]:
    """The calls of a result that `read_result` read from `source`.

    Raises:
        ConfigError: they are not what a load test writes.
    """
    try:
        return [call_from_json(call) for call in document["outcomes"]]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError("its calls are not a load test's", field="RESULT", value=source, hint=_HINT) from error
