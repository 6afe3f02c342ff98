"""Imports everything a job process needs, once, before the fork server forks.

livekit-agents' own preload also loads its end-of-turn model (244 MB) that a VAD-only pipeline never uses; the worker
turns that off by the environment (see `settings.export_for_jobs`) and loads the VAD here.
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


def preload() -> None:
    """Import, then freeze: what is there now is no garbage, and collecting it would unshare its pages."""
    # Thousands of classes are made by these imports; looking for garbage among them costs a fifth of the time.
    gc.disable()
    for name in _MODULES:
        importlib.import_module(name)
    from livekit import local_inference

    from voicefleet.worker.job.sdk import set_certificate_fallback

    local_inference.init_vad()
    set_certificate_fallback()
    gc.enable()
    gc.collect()
    gc.freeze()
