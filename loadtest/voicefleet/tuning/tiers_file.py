"""What a sweep writes for the fleet: the tiers file with its evidence in comments, and the chart's values. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from voicefleet.tuning.rule import Figures
from voicefleet.tuning.space import Candidate, tiers_document


def tiers_yaml(
    chosen: Candidate, others: Sequence[Candidate], rows: Mapping[str, Figures], evidence: Sequence[str]
) -> str:
    """The tiers file: the chosen setting as the default, the other points of the front beside it.

    Args:
        rows: name -> its figures.
        evidence: sentences about the sweep, for the head of the file.
    """
    document = tiers_document([chosen, *others], pipeline="tuned", default=chosen.name)
    parts = [
        *(f"# {line}" for line in evidence),
        f"pipeline: {document['pipeline']}",
        f"default: {chosen.name}",
        "tiers:",
    ]
    for name, fields in document["tiers"].items():
        parts += [f"  # {line}" for line in _figures(rows.get(name, {}))]
        body = yaml.safe_dump({name: fields}, sort_keys=False, width=110)
        parts += [f"  {line}" for line in body.splitlines()]
    parts += _ladder([chosen.name, *(other.name for other in others)], rows)
    return "\n".join(parts) + "\n"


def chart_values(tiers_text: str, *, slots: int, price: float, evidence: Sequence[str]) -> str:
    """Values for ``helm install -f``: the tiers file as it was written, and so many slots a worker."""
    pool: dict[str, Any] = {"slots": slots}
    values = {"pool": pool, "worker": {"tiers": {"content": yaml.safe_load(tiers_text)}}}
    head = [*(f"# {line}" for line in evidence), f"# For voicefleet plan: --slots {slots} --price {price:g}"]
    return "\n".join(head) + "\n" + yaml.safe_dump(values, sort_keys=False, width=110)


def _ladder(names: Sequence[str], rows: Mapping[str, Figures]) -> list[str]:
    """A ladder for load as comments: from the first of `names` to those that hold more calls; nothing where none does.

    It is not switched on: whether callers get less success under load is the team's to say.
    """
    calls = {name: math.floor(rows.get(name, {}).get("calls_per_worker") or 0) for name in names}
    order = [names[0]]
    for name in sorted(names[1:], key=lambda name: calls[name]):
        if calls[name] > calls[order[-1]] > 0:
            order.append(name)
    if len(order) < 2:
        return []
    return [
        "# With more calls than a setting holds, a worker may step down to the next one and back up: worker/README.md.",
        f"# To have that, remove the #; slots may be up to {calls[order[-1]]} then.",
        "# ladder:",
        f"#   order: [{', '.join(order)}]",
        f"#   calls: [{', '.join(str(calls[name]) for name in order[:-1])}]",
    ]


def _figures(row: Figures) -> list[str]:
    shown = {
        "success": ("success", "{:.0%}"),
        "cut_in_ratio": ("cut-ins", "{:.1%}"),
        "ttfa_p50_s": ("TTFA p50", "{:.2f} s"),
        "ttfa_p95_s": ("p95", "{:.2f} s"),
        "calls_per_worker": ("calls per worker", "{:g}"),
        "price_per_call_min": ("price per call-minute", "{:.5f}"),
    }
    told = []
    for name, (label, form) in shown.items():
        value = row.get(name)
        if value is not None:
            told.append(f"{label} {form.format(value)}")
    return [", ".join(told)] if told else []
