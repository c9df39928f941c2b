"""The ordinals of a counted series' slots, without walking there from the beginning each time.

Where a rule can count its times, those between two clock changes are counted by the month; all others are walked, and
every so many slots on the way the ordinal is remembered, so that the next question begins near to what it asks about.
Only speed depends on it: whatever is remembered, and in whatever order it was asked, the answers are the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

#: Slots from one place that is remembered to the next, at least: the longest walk to one that has been passed before.
STRIDE = 32
#: The same where each slot is dear, as calendars' are.
SHORT_STRIDE = 4


class Due(Protocol):
    """A slot with its instant."""

    @property
    def due(self) -> datetime:
        """Naive UTC."""
        ...


#: How many slots lie after one instant and up to another, which lies before a third; None: none can be told from there.
Leap = Callable[[datetime, datetime], tuple[datetime, int] | None]


class Ordinals:
    """Of one series, whose slots lie strictly later one than the other."""

    __slots__ = ("_marks", "_stride")

    def __init__(self, begin: datetime, stride: int = STRIDE) -> None:
        self._stride = stride
        self._marks = [(begin, 0)]  # instants, ascending, and how many slots lie up to and on each

    def of(self, due: datetime, later: Callable[[datetime], Due | None], most: int, leap: Leap | None = None) -> int:
        """Which slot it is that is due then, from 1; more than `most` if it lies behind so many.

        `later`: the series' first slot after an instant; `leap`: many of them at once.
        """
        marks = self._marks
        at, number = marks[max(bisect_left(marks, (due, 0)) - 1, 0)]
        grown = [marks[-1]]
        while number < most:
            there = leap(at, due) if leap is not None else None
            if there is not None:
                at, number = there[0], number + there[1]
            found = later(at)
            if found is None or found.due >= due:
                break
            at, number = found.due, number + 1
            if at > grown[-1][0] and number >= grown[-1][1] + self._stride:
                grown.append((at, number))
        if len(grown) > 1 and grown[-1][0] > self._marks[-1][0]:
            self._marks = [*marks, *grown[1:]]  # replaced as a whole: another thread may be reading it
        return number + 1
