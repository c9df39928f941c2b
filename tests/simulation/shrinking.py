"""A failing seed made small: which clients and which faults it takes, and nothing else.

Place in the simulation: after a seed has failed. Delta debugging over the list of faults that happened: halves, then
quarters, ..., are left out as long as the same promise stays broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.simulation.history import Result, Scale, run

T = TypeVar("T")


@dataclass
class Small:
    """What is left: `run(seed, allowed=..., clients=...)` breaks the same promise."""

    result: Result
    allowed: frozenset[str]
    clients: frozenset[int]
    #: How many histories it took.
    tries: int


def shrink(seed: str, *, scale: Scale | None = None, tries: int = 200) -> Small:
    """Make a failing seed small. Raises ValueError if it does not fail."""
    first = run(seed, scale=scale)
    if first.broken is None:
        raise ValueError(f"seed {seed} keeps every promise")
    promise, used = _promise(first.broken), 1

    def fails(allowed: Sequence[str], clients: Sequence[int]) -> bool:
        nonlocal used
        if used >= tries:
            return False
        used += 1
        result = run(seed, scale=scale, allowed=frozenset(allowed), clients=frozenset(clients))
        return result.broken is not None and _promise(result.broken) == promise

    clients = _fewest(list(range((scale or Scale()).clients)), lambda some: fails(first.faults, some))
    faults = _fewest(first.faults, lambda some: fails(some, clients))
    allowed, chosen = frozenset(faults), frozenset(clients)
    return Small(run(seed, scale=scale, allowed=allowed, clients=chosen, tracing=True), allowed, chosen, used)


def _promise(broken: str) -> str:
    """Which promise it is: the number that the message begins with."""
    return broken[: broken.index(":", broken.index(":") + 1)] if broken.count(":") > 1 else broken


def _fewest(whole: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Few elements with which it still fails (ddmin)."""
    if fails([]):
        return []
    kept, parts = list(whole), 2
    while len(kept) >= 2:
        size = max(1, len(kept) // parts)
        pieces = [kept[begin : begin + size] for begin in range(0, len(kept), size)]
        for piece in pieces:
            rest = [each for each in kept if each not in piece]
            if fails(rest):
                kept, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return kept
