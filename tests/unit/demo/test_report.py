"""The report is one page that needs nothing else, tells what went wrong, and trusts no text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from support.outcomes import CUT, FAILED, GOOD, SILENT, UNHEARD, region_view
from voicefleet.callers.outcome import CallOutcome
from voicefleet.demo.fleet_history import History
from voicefleet.demo.options import REGIONS, DemoOptions
from voicefleet.demo.report import render_report
from voicefleet.demo.result import build_result
from voicefleet.demo.run import DemoRun

pytestmark = pytest.mark.unit

NASTY = "<script>alert(1)</script>&\"'"


def a_run(outcomes: Sequence[CallOutcome], pipeline: str = "synthetic") -> DemoRun:
    history = History()
    for t_s, ready in ((0.0, 1), (2.0, 2), (3.0, None), (9.0, 1)):
        history.add(t_s, [region_view(region, ready=ready, slots=ready and 2 * ready) for region in REGIONS])
    run = DemoRun(DemoOptions(calls=len(outcomes) or 1), pipeline, list(outcomes), history, first_call_s=1.0)
    run.result = build_result(
        outcomes, history, first_call_s=1.0, regions=REGIONS, slots=2, pipeline=pipeline, wall_s=30.0
    )
    return run


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]


def test_a_good_run_is_one_self_contained_page() -> None:
    text = render_report(a_run([GOOD, replace(GOOD, call_id="call-00001", region="us")]))
    page = Page(text)
    assert page.tags.count("html") == 1
    assert page.tags.count("svg") == 3
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links), page.links
    assert re.sub(r'xmlns(:\w+)?="[^"]*"', "", text).count("http") == 0, "names of XML are all the addresses there are"
    assert not re.search(r"@import|url\((?!#)", text)
    assert "Every caller was answered, no call was cut" in text
    assert 'class="bad"' not in text


def test_a_bad_run_says_why() -> None:
    text = render_report(a_run([GOOD, SILENT, CUT, UNHEARD, FAILED]))
    assert "Some calls went wrong" in text
    for sentence in (
        "2 of 5 callers never got an answer",
        "2 of 5 callers heard nothing for more than 10 s (silent)",
        "1 of 5 callers lost the agent in mid-call (cut)",
        "1 of 6 questions got no answer in time",
        "1 of 5 calls failed, the first with: UnreachableError(&#39;no&#39;)",
    ):
        assert f"<li>{sentence}</li>" in text
    for word in (" cut", " silent", " failed"):
        assert f">{word}<" in text, "the call's bar says it too"


def test_a_run_without_any_call_still_has_a_report() -> None:
    text = render_report(a_run([]))
    assert text.count("<svg") == 3
    assert "–" in text


def test_no_text_from_outside_becomes_markup() -> None:
    bad = replace(GOOD, call_id=NASTY, region=NASTY, room=NASTY, error=NASTY)
    text = render_report(a_run([bad], pipeline=NASTY))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "script" not in Page(text).tags
