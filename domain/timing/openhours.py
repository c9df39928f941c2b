"""Stretches of opening added up and taken off one another.

A stretch begins with its start and ends before its end. Those that come out are in order and apart: what meets has
become one. Pure arithmetic of naive local times; which stretches a day has is in `opendays`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

Stretch = tuple[datetime, datetime]


def added(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Open when any of them is."""
    found: list[Stretch] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def less(stretches: Iterable[Stretch], taken: Iterable[Stretch]) -> list[Stretch]:
    """Open when any of the first is and none of the others."""
    gone = added(taken)
    found: list[Stretch] = []
    for start, end in added(stretches):
        begin = start
        for closed, reopened in gone:
            if reopened <= begin or closed >= end:
                continue
            if closed > begin:
                found.append((begin, closed))
            begin = reopened
        if begin < end:
            found.append((begin, end))
    return found
