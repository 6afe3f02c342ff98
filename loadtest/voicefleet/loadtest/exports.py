"""A result as other programs read it: CSV with a row per call or per turn, and JUnit XML. Pure: values in, text out."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from voicefleet.callers.stages import PARTS
from voicefleet.loadtest.result import GENERATOR, WHOLE

_CALL = (
    "call_id",
    "region",
    "room",
    "voice",
    "result",
    "ended_by",
    "t_start_s",
    "lag_s",
    "place_s",
    "connect_s",
    "wait_s",
    "greeting_s",
    "pickup_s",
    "ended_s",
    "questions",
    "silent",
    "cut",
    "double_speech",
    "error",
    "rtt_s",
    "jitter_s",
    "loss_ratio",
    "gap_s",
    "mos",
    "codec",
    "path",
    "candidates",
)
_TURN = (
    "call_id",
    "region",
    "room",
    "index",
    "text",
    "asked_at_s",
    "t0_s",
    "ttfa_s",
    "waited_s",
    "answered",
    "cut_in",
    "apology",
    "reply_end_s",
    "barge_in",
    "stop_s",
    "worker_ttfa_s",
    *(f"{part}_s" for part in PARTS),
)


def calls_csv(result: Mapping[str, Any]) -> str:
    """A row per call; empty: unknown. Times are seconds; `t_start_s` is the intended start, from the run's."""
    return _csv(_CALL, [{**call, **(call.get("media") or {})} for call in result["outcomes"]])


def turns_csv(result: Mapping[str, Any]) -> str:
    """A row per question that was asked; times are seconds since the call's join."""
    rows = [{**turn, **_parts(turn), **_named(call)} for call in result["outcomes"] for turn in call["turns"]]
    return _csv(_TURN, rows)


def junit_xml(result: Mapping[str, Any], name: str) -> str:
    """A test suite with a case per criterion: an error for a generator that was late, or of which a part was lost, a
    failure for what did not hold.

    In a void run nothing is known of the other criteria: they are skipped.
    """
    void = result["verdict"] == "void"
    suite = ElementTree.Element("testsuite", name=name, time=str(result["wall_s"]))
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for criterion in result["criteria"]:
        case = ElementTree.SubElement(suite, "testcase", classname="voicefleet.loadtest", name=criterion["name"])
        counts["tests"] += 1
        if criterion["name"] in (GENERATOR, WHOLE):
            if not criterion["held"]:
                counts["errors"] += 1
                ElementTree.SubElement(case, "error", message=criterion["found"])
        elif void:
            counts["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message="the run is void")
        elif not criterion["held"]:
            counts["failures"] += 1
            ElementTree.SubElement(case, "failure", message=criterion["found"])
    for key, count in counts.items():
        suite.set(key, str(count))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _named(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: call[name] for name in ("call_id", "region", "room")}


def _parts(turn: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}_s": seconds for part, seconds in (turn.get("parts") or {}).items()}


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
