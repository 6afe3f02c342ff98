"""Which worker LiveKit gives a call to."""

from __future__ import annotations

from voicefleet.simulator.cluster.pods import Pod

_VIEW_S = 2.5
"""LiveKit hears a worker's load so often."""
_TRIES = 6


def choose(pods: list[Pod], now_s: float, u: float, *, slots: int, packing: bool) -> Pod:
    """A worker of `pods` with a free slot, of which there is one.

    Args:
        u: uniform in [0, 1): the draw.
        slots: of each worker.
        packing: take the fullest; else draw at random, weighted by 1 - load as LiveKit saw it last.
    """
    if packing:
        return max((p for p in pods if p.busy < slots), key=lambda p: (p.busy, -p.ordinal))
    count = len(pods)
    # Rejection: drawn evenly, taken with the probability of its weight; full ones refuse and the next is asked.
    for _ in range(_TRIES):
        u *= count
        place = int(u)
        u -= place
        pod = pods[place]
        if now_s - pod.view_s > _VIEW_S:
            pod.view, pod.view_s = pod.busy, now_s
        weight = 1.0 - 0.7 * pod.view / slots
        if u < weight and pod.busy < slots:
            return pod
        u = (u / weight if u < weight else (u - weight) / (1.0 - weight)) * 0.999999
    weights = [1.0 - 0.7 * p.busy / slots if p.busy < slots else 0.0 for p in pods]
    left = u * sum(weights)
    for pod, weight in zip(pods, weights, strict=True):
        left -= weight
        if left < 0 and weight > 0:
            return pod
    return next(p for p in pods if p.busy < slots)
