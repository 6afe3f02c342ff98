"""The read-only page at `/`: a shell that anybody may load, and data that needs the token, from `/v1`.

`/runbooks` beside it says what to do about each alert; it is made by `voicefleet dashboards generate`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from aiohttp import web

FILES = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "call.js": ("call.js", "text/javascript"),
    "runbooks": ("runbooks.html", "text/html"),
}
_HEADERS = {
    # Nothing from elsewhere, and nobody may frame it: the token is typed in here.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def add_page(app: web.Application) -> None:
    """Serve the page at `/`, with its files beside it."""
    folder = resources.files(__name__)
    for path, (name, kind) in FILES.items():
        text = (folder / name).read_text(encoding="utf-8")
        app.router.add_get(f"/{path}", _serve(text, kind))


def _serve(text: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8", headers=_HEADERS)

    return handler
