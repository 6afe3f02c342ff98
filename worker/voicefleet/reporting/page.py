"""An HTML page in one file that needs nothing else, not even a network."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from voicefleet.reporting.table import shown


def render_page(package: str, template: str, **values: Any) -> str:
    """The page that `template` in `package`'s templates describes; it extends ``page.html.j2``.

    Values are escaped, except figures (`figure.svg`). Filters for numbers, which show an unknown one as a dash:
    ``2.5 | seconds``, ``0.1234 | percent``, ``12.3 | fixed(1)``.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("voicefleet.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"seconds": _seconds, "percent": _percent, "fixed": _fixed}
    return environment.get_template(template).render(values)


def _seconds(value: float | None) -> str:
    return shown(value, " s")


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _fixed(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
