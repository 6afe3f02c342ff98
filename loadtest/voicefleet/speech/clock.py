"""From stream samples to monotonic time, on the way in and on the way out. Pure: `now` is an argument.

Both clocks exist because the moment our code runs is not the moment a sample is heard or played: the
event loop is late by 0 to 50 ms under load, and always late, never early.
"""

from __future__ import annotations

from collections import deque


class StreamClock:
    """When each sample of a received stream was heard.

    A frame that arrives at `now` holds samples heard up to `now` at the latest: sample ``n`` was heard at
    ``offset + n / rate``, and each arrival gives an upper bound of `offset`. Lateness only ever adds, so
    the smallest bound within the last `window_s` is the best estimate: frames that arrive in a burst
    after a stall get the times at which they should have come.

    Error: the lateness of the most punctual frame of the window (a few ms on a busy machine, plus the
    10 ms step at which the decoder is pulled). After a true hole in the stream (samples never delivered)
    times are early by the hole for at most `window_s`.
    """

    def __init__(self, sample_rate: int, *, window_s: float = 1.0) -> None:
        self._rate = sample_rate
        self._window_s = window_s
        self._samples = 0
        self._bounds: deque[tuple[float, float]] = deque()  # (arrival, bound), bounds increasing

    def arrived(self, samples: int, now_s: float) -> float:
        """Count `samples` that arrived at `now_s`; returns the time the first of them was heard."""
        first = self._samples
        self._samples += samples
        bound = now_s - self._samples / self._rate
        while self._bounds and self._bounds[-1][1] >= bound:
            self._bounds.pop()
        self._bounds.append((now_s, bound))
        while self._bounds[0][0] < now_s - self._window_s:
            self._bounds.popleft()
        return self._bounds[0][1] + first / self._rate


class PlayoutClock:
    """When each sample pushed into a real-time output queue is played.

    The queue plays at the nominal rate from the moment it holds something: a frame starts when the one
    before it ends, or at once if the queue has run dry.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._end_s = float("-inf")

    @property
    def end_s(self) -> float:
        """Time at which everything pushed so far will have been played."""
        return self._end_s

    def push(self, samples: int, now_s: float) -> float:
        """Queue `samples` at `now_s`; returns the time the first of them is played."""
        start_s = max(now_s, self._end_s)
        self._end_s = start_s + samples / self._rate
        return start_s
