"""The chart's copy of our Redis users' rights: `PYTHONPATH=tests python -m chart.redis_acl` writes it anew."""

from __future__ import annotations

import yaml
from chart.values_table import CHART

from voicefleet.runtime.redis.acl import controller_rights, worker_rights

FILE = CHART / "files" / "redis-acl.yaml"
REGION = "REGION"
"""Stands for a region's name; none has capitals."""

_HEAD = """\
# What the users of devStack's Redis may do, REGION being a region's name. Made by `PYTHONPATH=tests python -m
# chart.redis_acl` from what `voicefleet redis-acl` says.
"""


def content() -> str:
    """``worker``: rules of a region's workers. ``controller``: rules of a controller without a region; ``region``: what
    each of its regions adds."""
    alone, one = controller_rights([]).rules(), controller_rights([REGION]).rules()
    rules = {
        "worker": list(worker_rights(REGION).rules()),
        "controller": list(alone),
        "region": [rule for rule in one if rule not in alone],
    }
    return _HEAD + yaml.safe_dump(rules, default_flow_style=None, width=120, sort_keys=False)


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
