"""When each live call began, packed in one array, so that a scaler reads all ages at once."""

from __future__ import annotations

import numpy as np


class LiveCalls:
    """The live calls, in no order. Adding and removing one takes constant time."""

    def __init__(self) -> None:
        self.count = 0
        self._began = np.zeros(256)
        self._call_at: list[int] = []
        self._place_of: dict[int, int] = {}

    @property
    def began_s(self) -> np.ndarray:
        """Times at which they began: a view, to be read at once."""
        return self._began[: self.count]

    def add(self, call: int, now_s: float) -> None:
        place = self.count
        if place == self._began.size:
            self._began = np.concatenate([self._began, np.zeros(place)])
        self._began[place] = now_s
        if place == len(self._call_at):
            self._call_at.append(call)
        else:
            self._call_at[place] = call
        self._place_of[call] = place
        self.count = place + 1

    def remove(self, call: int) -> None:
        """The last one takes the place of `call`."""
        place = self._place_of.pop(call)
        self.count = last = self.count - 1
        if place != last:
            moved = self._call_at[last]
            self._call_at[place] = moved
            self._began[place] = self._began[last]
            self._place_of[moved] = place
