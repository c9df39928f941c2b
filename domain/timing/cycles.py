"""When what comes at an even step next falls into given stretches of a cycle, without going there step by step.

Place in the flow: `subdaily` asks. Minutes of FREQ=MINUTELY;INTERVAL=1441;BYHOUR=9 come a minute later every day: after
sixty days at nine o'clock none does for nearly four years, and the next one is named at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import gcd

#: A cycle of more stretches than this is looked at in two cycles, one inside the other.
MOST = 500
#: Of a cycle in which no more steps than this fall into a stretch, all of them are listed.
_LISTED = 1_000
#: So many stretches are tried one after the other before each of a cycle is asked how far away it is.
_TRIES = 8

Spans = list[tuple[int, int]]


class Cycle:
    """Stretches of a cycle, from each start up to but not including its end, and what comes at a step from a phase on.

    The stretches ascend and do not touch. Steps come back to the same place after `turn` of them; those of a turn that
    fall into a stretch are listed where they are few.
    """

    __slots__ = ("_apart", "_back", "_ends", "_length", "_listed", "_phase", "_spans", "_step", "_turn")

    def __init__(self, length: int, spans: Spans, step: int, phase: int) -> None:
        self._length, self._spans, self._step = length, spans, step
        self._ends = [end for _, end in spans]
        self._apart = gcd(step, length)  # places that are stepped on lie so far apart
        self._turn, self._phase = length // self._apart, phase % length
        self._back = pow(step // self._apart, -1, self._turn)
        self._listed: list[int] | None = None
        if sum(end - start for start, end in spans) <= _LISTED * self._apart:
            first = phase % self._apart
            places = (place for a, b in spans for place in range(a + (first - a) % self._apart, b, self._apart))
            self._listed = sorted(self._index(place) for place in places)

    def ahead(self, at: int) -> int | None:
        """How far it is to the first step into a stretch from `at` on, which is a step itself; None: there is none."""
        if self._listed is None:
            return self._searched(at)
        if not self._listed:
            return None
        now = self._index(at)
        i = bisect_left(self._listed, now)
        coming = self._listed[i] if i < len(self._listed) else self._listed[0] + self._turn
        return (coming - now) * self._step

    def _index(self, place: int) -> int:
        """Which of a turn's steps goes to a place."""
        return (place - self._phase) // self._apart * self._back % self._turn

    def _searched(self, at: int) -> int | None:
        gone, spans, length, step = 0, self._spans, self._length, self._step
        for _ in range(_TRIES):
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


def cycles(levels: Sequence[tuple[int, int, Sequence[int]]], step: int, phase: int) -> list[Cycle]:
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
            found.append(Cycle(unit, inside, step, phase))
            inside = [(0, unit)]
        inner = []
        for start, end in ((value * unit + a, value * unit + b) for value in values for a, b in inside):
            if inner and inner[-1][1] == start:
                inner[-1] = (inner[-1][0], end)
            else:
                inner.append((start, end))
    if inner is not None:
        found.append(Cycle(levels[-1][0], inner, step, phase))
    return found
