"""When what comes at an even step next falls into given stretches of a cycle, without going there step by step.

Place in the flow: `subdaily` asks. Minutes of FREQ=MINUTELY;INTERVAL=1441;BYHOUR=9 come a minute later every day: after
sixty days at nine o'clock none does for nearly four years, and the next one is named at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

#: A cycle of more stretches than this is looked at in two cycles, one inside the other.
MOST = 500
#: So many stretches are tried one after the other, and each of a cycle once, before the step's way round is computed.
_TRIES = 4

Spans = list[tuple[int, int]]


class Cycle:
    """Stretches of a cycle, from each start up to but not including its end; ascending, none of them touching."""

    __slots__ = ("_ends", "_length", "_spans")

    def __init__(self, length: int, spans: Spans) -> None:
        self._length, self._spans = length, spans
        self._ends = [end for _, end in spans]

    def ahead(self, at: int, step: int) -> int | None:
        """The least multiple of `step`, 0 included, that brings `at` into a stretch; None: none does."""
        gone, spans, length = 0, self._spans, self._length
        for _ in range(_TRIES + len(spans)):
            place = (at + gone) % length
            i = bisect_right(self._ends, place)
            start = spans[i][0] if i < len(spans) else spans[0][0] + length
            if start <= place:
                return gone
            gone += -((place - start) // step) * step
        place = (at + gone) % length
        tried = (first_within(step, length, (a - place) % length, (b - 1 - place) % length) for a, b in spans)
        steps = min((k for k in tried if k is not None), default=None)
        return None if steps is None else gone + steps * step


def first_within(step: int, length: int, low: int, high: int) -> int | None:
    """The least k from 0 on for which k * step mod `length` is from `low` to `high`, both included; None: none is.

    `low` > `high`: the stretch goes on over the cycle's end. By Euclid's algorithm, so in a few steps: where none
    of the first round lies between them, how many rounds it takes is the same question of length and step.
    """
    if low == 0 or low > high:
        return 0
    step %= length
    if step == 0:
        return None
    k = -(-low // step)
    if k * step <= high:
        return k
    rounds = first_within(length, step, -high % step, -low % step)
    return None if rounds is None else -(-(low + rounds * length) // step)


def cycles(levels: Sequence[tuple[int, int, Sequence[int]]]) -> list[Cycle]:
    """What lies on none of the values of a level is in no stretch: of (length, unit, values), the finest level first.

    The length of a level is the unit of the next. Levels that leave out nothing cost nothing.
    """
    while levels and len(levels[-1][2]) * levels[-1][1] == levels[-1][0]:
        levels = levels[:-1]
    found: list[Cycle] = []
    inner: Spans | None = None
    for _, unit, values in levels:
        inside = [(0, unit)] if inner is None else inner
        if len(inside) * len(values) > MOST and inside != [(0, unit)]:
            found.append(Cycle(unit, inside))
            inside = [(0, unit)]
        inner = []
        for start, end in ((value * unit + a, value * unit + b) for value in values for a, b in inside):
            if inner and inner[-1][1] == start:
                inner[-1] = (inner[-1][0], end)
            else:
                inner.append((start, end))
    if inner is not None:
        found.append(Cycle(levels[-1][0], inner))
    return found
