"""Imports everything a job process needs, once, before the fork server forks.

livekit-agents' own preload also loads its end-of-turn model (244 MB) that a VAD-only pipeline never uses; the worker
turns that off by the environment (see `settings.export_for_jobs`) and loads here what its tiers name.
"""

from __future__ import annotations

import gc
import importlib

_MODULES = (
    "livekit.agents.ipc._preload",
    "livekit.local_inference",
    "voicefleet.worker.job.entry",
    "voicefleet.worker.server.service",
)


def preload(*, turn_detector: bool = False) -> None:
    """Import, then freeze: what is there now is no garbage, and collecting it would unshare its pages.

    Args:
        turn_detector: load livekit's turn detector (v1-mini) too, which its calls then share.
    """
    # Thousands of classes are made by these imports; looking for garbage among them costs a fifth of the time.
    gc.disable()
    for name in _MODULES:
        importlib.import_module(name)
    from livekit import local_inference

    from voicefleet.worker.job.sdk import set_certificate_fallback

    local_inference.init_vad()
    if turn_detector:
        local_inference.init_eot()
    set_certificate_fallback()
    gc.enable()
    gc.collect()
    gc.freeze()
