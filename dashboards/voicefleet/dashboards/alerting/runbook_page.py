"""The runbooks as one HTML page with an anchor for each. Every controller serves its version of them at `/runbooks`."""

from __future__ import annotations

import html
import re

from voicefleet.dashboards.alerting.runbooks import markdown

_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_LINK = re.compile(r"\[([^\]]+)\]\((#[^)]+)\)")
_STEP = re.compile(r"\d+\. ")
_ALERT = re.compile(r"\bVoicefleet\w+\b(?![^<]*</(?:a|h2)>)")


def page() -> str:
    """The whole page. It understands what `runbooks.markdown` writes, and no more of Markdown."""
    body = "\n".join(_block(block) for block in markdown().strip().split("\n\n") if not block.startswith("<!--"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<title>voicefleet runbooks</title>\n'
        '<link rel="stylesheet" href="page.css">\n</head>\n<body class="runbooks">\n'
        f"<!-- Made by `voicefleet dashboards generate`; do not change it here. -->\n{body}\n</body>\n</html>\n"
    )


def _block(block: str) -> str:
    lines = block.splitlines()
    if block.startswith("# "):
        return f"<h1>{html.escape(block[2:])}</h1>"
    if block.startswith("## "):
        name = html.escape(block[3:])
        return f'<h2 id="{name.lower()}">{name}</h2>'
    if block.startswith("```"):
        return f"<pre>{html.escape(chr(10).join(lines[1:-1]))}</pre>"
    if block.startswith("- "):
        return _list("ul", [line[2:] for line in lines])
    if _STEP.match(block):
        return _list("ol", [_STEP.sub("", line, count=1) for line in lines])
    return f"<p>{_inline(block)}</p>"


def _list(kind: str, items: list[str]) -> str:
    return f"<{kind}>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</{kind}>"


def _inline(text: str) -> str:
    """Escaped; code, bold and links as such, and the name of an alert leads to its runbook."""
    made = html.escape(text, quote=False)
    made = _LINK.sub(r'<a href="\2">\1</a>', made)
    made = _BOLD.sub(r"<b>\1</b>", _CODE.sub(r"<code>\1</code>", made))
    return _ALERT.sub(lambda found: f'<a href="#{found[0].lower()}">{found[0]}</a>', made)
