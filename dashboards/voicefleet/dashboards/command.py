"""`voicefleet dashboards`: generate the files, or verify them against a Prometheus."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from voicefleet.dashboards.generate import chart_files, guides, page_files
from voicefleet.dashboards.verify import EXEMPT, verify
from voicefleet.reporting.result import write_json


def generate(
    folder: Path,
    chart: Path | None = None,
    page: Path | None = None,
    *,
    runbooks: str = "",
    check: bool,
    console: Console | None = None,
) -> int:
    """Write what is generated below `folder`.

    Args:
        chart: dashboards and rules go below that folder instead.
        page: the page of the runbooks goes there; None: it is not written.
        runbooks: where alerts lead to.
        check: write nothing, and name each file that differs.

    Returns:
        1 when `check` found a difference.
    """
    console = console or Console()
    wanted = {(chart or folder) / name: text for name, text in chart_files(runbooks).items()}
    wanted |= {folder / name: text for name, text in guides().items()}
    if page is not None:
        wanted |= {page / name: text for name, text in page_files().items()}
    stale = {path: text for path, text in wanted.items() if _text(path) != text}
    if check:
        for path in stale:
            console.print(f"{path} is not what the code makes; run `voicefleet dashboards generate`")
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    console.print(f"{len(wanted)} files, {len(stale)} of them new or changed")
    return 0


def verify_queries(
    prometheus: str, *, rate_interval: str, json_path: Path | None, console: Console | None = None
) -> int:
    """Run every query and say which came back empty.

    Returns:
        1 when one was empty without an exemption, or is no query.

    Raises:
        UnreachableError: no Prometheus answers there.
    """
    console = console or Console()
    result = asyncio.run(verify(prometheus, rate_interval=rate_interval))
    write_json(json_path, result)
    for where in result["empty"]:
        console.print(f"empty: {where}", markup=False)
    for where in result["errors"]:
        console.print(f"error: {where}", markup=False)
    for where in result["exempt"]:
        console.print(f"empty, and may be: {where} ({EXEMPT[where]})", markup=False)
    console.print(f"{result['queries']} queries, {len(result['empty'])} empty, {len(result['errors'])} errors")
    return 1 if result["empty"] or result["errors"] else 0


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
