"""The ordinals of a counted series' slots, without walking there from the beginning each time.

Every so many slots on the way one is remembered, so that the next question begins near to what it asks about. Only
speed depends on it: whatever is remembered, and in whatever order it was asked, the answers are the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

#: Slots from one that is remembered to the next: the longest way to one that has been passed before.
STRIDE = 32


class Due(Protocol):
    """A slot with its instant."""

    @property
    def due(self) -> datetime:
        """Naive UTC."""
        ...


class Ordinals:
    """Of one series, whose slots lie strictly later one than the other."""

    __slots__ = ("_marks",)

    def __init__(self, begin: datetime) -> None:
        self._marks = [begin]  # the instants of the slots number 0 (where it begins), STRIDE, 2 * STRIDE …

    def of(self, due: datetime, later: Callable[[datetime], Due | None], most: int) -> int:
        """Which slot it is that is due then, from 1; more than `most` if it lies behind so many.

        `later`: the series' first slot after an instant.
        """
        marks = self._marks
        place = max(bisect_left(marks, due) - 1, 0)
        number, at = place * STRIDE + 1, later(marks[place])
        grown: list[datetime] = []
        while at is not None and at.due < due and number <= most:
            if number == (len(marks) + len(grown)) * STRIDE:
                grown.append(at.due)
            number, at = number + 1, later(at.due)
        if grown and len(marks) + len(grown) > len(self._marks):
            self._marks = [*marks, *grown]  # replaced as a whole: another thread may be reading it
        return number
