"""`POST /v1/calls` field by field in the controller's README, made from the models and the table of routes.

`python -m docs.api_table` writes it anew.
"""

from __future__ import annotations

import sys

from pydantic import BaseModel

from docs.marked import with_marked
from docs.settings_table import TREE, fields_of
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.contract.dial_api import DialView
from voicefleet.controller.http.openapi import REASONS, problems_of
from voicefleet.controller.http.routes import entry

README = "controller/README.md"
BEGIN = "<!-- POST /v1/calls: begin, made by `PYTHONPATH=tests python -m docs.api_table` -->"
END = "<!-- POST /v1/calls: end -->"


def made() -> str:
    """The README with its tables as the models have them now."""
    return with_marked((TREE / README).read_text(), BEGIN, END, tables())


def tables() -> str:
    """What is sent, what is answered, and with which statuses."""
    route = entry("POST", "/v1/calls")
    assert route is not None
    statuses = sorted({*route.answers, *problems_of(route)})
    answers = [
        f"| {status} | {route.reasons.get(status, REASONS[status])} |".replace("{room}", "ROOM") for status in statuses
    ]
    return "\n".join(
        [
            "| sent | default | what it is |",
            "|---|---|---|",
            *(f"| `{f.path}` | {f.default} | {_cell(f.text)} |" for f in fields_of(CallRequest)),
            "",
            *_answer("answer (201)", CallTicket),
            "",
            *_answer("answer (202), with `dial`", DialView),
            "",
            "| status | when |",
            "|---|---|",
            *answers,
        ]
    )


def _answer(head: str, model: type[BaseModel]) -> list[str]:
    rows = [f"| `{f.path}` | {_cell(f.text)} |" for f in fields_of(model, "serialization")]
    return [f"| {head} | what it is |", "|---|---|", *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the tables into the README."""
    (TREE / README).write_text(made())
    return 0


if __name__ == "__main__":
    sys.exit(main())
