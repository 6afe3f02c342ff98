"""A region's gauges: what is not known has no series."""

from __future__ import annotations

from support.fake_region import *  # noqa: F403
