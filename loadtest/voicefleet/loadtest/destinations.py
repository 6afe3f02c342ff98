"""Where a load test's result is written."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.loadtest.exports import calls_csv, junit_xml, turns_csv
from voicefleet.reporting.result import require_writable, write_json


@dataclass(frozen=True, slots=True)
class Destinations:
    """Files of a result; None: not written.

    Attributes:
        csv: a directory: `calls.csv` and `turns.csv` are written there.

    Raises:
        ConfigError: one cannot be written.
        MissingPartError: pages cannot be drawn by this installation.
    """

    json: Path | None = None
    csv: Path | None = None
    junit: Path | None = None
    html: Path | None = None

    def __post_init__(self) -> None:
        for path, option in ((self.json, "--json"), (self.junit, "--junit"), (self.html, "--html")):
            if path is not None:
                require_writable(path, option)
        if self.csv is not None:
            if not self.csv.is_dir():
                raise ConfigError(
                    "is no directory",
                    field="--csv",
                    value=str(self.csv),
                    hint="Name one that exists: two files go there.",
                )
            require_writable(self.csv / "calls.csv", "--csv")
        if self.html is not None and not all(importlib.util.find_spec(name) for name in ("jinja2", "matplotlib")):
            raise MissingPartError(
                "needs jinja2 and matplotlib",
                field="--html",
                hint="Install voicefleet[lab], or write --json and make the page elsewhere (loadtest report).",
            )

    def require_no_page(self, what: str) -> None:
        """Refuse a page and CSV of `what`, which has none."""
        for path, option in ((self.html, "--html"), (self.csv, "--csv")):
            if path is not None:
                raise ConfigError(
                    f"there is none of {what}", field=option, value=str(path), hint="Use --json or --junit."
                )

    def write(self, result: Mapping[str, Any], name: str) -> None:
        """Write each that is wanted."""
        write_json(self.json, result)
        if self.csv is not None:
            (self.csv / "calls.csv").write_text(calls_csv(result), encoding="utf-8")
            (self.csv / "turns.csv").write_text(turns_csv(result), encoding="utf-8")
        if self.junit is not None:
            self.junit.write_text(junit_xml(result, name), encoding="utf-8")
        if self.html is not None:
            from voicefleet.loadtest.page import render_result

            self.html.write_text(render_result(result, name), encoding="utf-8")
