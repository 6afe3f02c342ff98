"""Quantiles of counts by bucket, as Prometheus reckons them: linear within a bucket."""

from __future__ import annotations

from collections.abc import Sequence


def bucket_quantile(edges: Sequence[float], counts: Sequence[int], q: float) -> float | None:
    """The q-quantile of samples of which `counts[i]` lie in the bucket that ends at `edges[i]`.

    Args:
        counts: one more than `edges`; the last one is of samples above every edge, which count as the last edge.

    Returns:
        None without samples: unknown is never zero.
    """
    total = sum(counts)
    if total <= 0 or len(counts) != len(edges) + 1:
        return None
    rank, below, seen = q * total, 0.0, 0
    for edge, count in zip(edges, counts, strict=False):
        if count and seen + count >= rank:
            return below + (edge - below) * max(0.0, rank - seen) / count
        seen += count
        below = edge
    return edges[-1]
