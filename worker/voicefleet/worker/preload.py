"""Imported once by the fork server, so that every job process starts with it in shared memory.

livekit-agents' own preload also loads its end-of-turn model (244 MB) that a VAD-only pipeline never uses; the worker
turns that off and loads the VAD here.
"""

from __future__ import annotations

import livekit.local_inference

import voicefleet.worker.session  # noqa: F401
from voicefleet.worker.sdk import set_certificate_fallback

livekit.local_inference.init_vad()
set_certificate_fallback()
