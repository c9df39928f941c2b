"""What goes wrong: drawn from the seed, place by place, and kept as a list that can be cut down.

Each place at which something may go wrong draws from a sequence of its own, so that leaving one fault out changes the
others as little as can be: that is what makes a failing history shrink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

_SCALE = 1 << 64


@dataclass
class Dice:
    """Chance, from a seed. `allowed`: only these faults happen (None: all that are drawn)."""

    seed: str
    allowed: frozenset[str] | None = None
    #: Faults that happened, in order, as `place#n:kind`.
    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    #: Faults stop here.
    calm: bool = False
    #: How often each kind is drawn, compared with what its place says: histories differ in what is wrong with them.
    moods: dict[str, float] = field(default_factory=dict)
    _drawn: Counter[str] = field(default_factory=Counter)

    def random(self, place: str) -> float:
        """In [0, 1): the place's next number."""
        number = self._drawn[place]
        self._drawn[place] = number + 1
        return self._number(place, number)

    def between(self, place: str, low: float, high: float) -> float:
        """Evenly."""
        return low + (high - low) * self.random(place)

    def stream(self, name: str) -> Random:
        """A generator of its own, for what is drawn at once."""
        return Random(f"{self.seed} {name}")

    def fault(self, place: str, kinds: Mapping[str, float]) -> str | None:
        """What goes wrong here and now, with these probabilities; mostly nothing."""
        drawn = self.random(place)
        if self.calm:
            return None
        for kind, probability in kinds.items():
            drawn -= probability * self.moods.get(kind, 1.0)
            if drawn < 0:
                name = f"{place}#{self._drawn[place] - 1}:{kind}"
                if self.allowed is not None and name not in self.allowed:
                    return None
                self.faults.append(name)
                self.kinds[kind] += 1
                return kind
        return None

    def _number(self, place: str, number: int) -> float:
        digest = blake2b(f"{self.seed}|{place}|{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _SCALE
