"""Chance that is none: uniform numbers from stable hashes, so that a replay decides as the first run did."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from horae.domain.learning.hours import Floats

Words = NDArray[np.uint64]

HOLDOUT: Final = 1  # purposes: one number for each, independent of the others
EXPLORE: Final = 2
WHICH: Final = 3

_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


def word(*parts: str) -> int:
    """64 bits of blake2b over the parts: the identity of a recipient or of an occurrence in the learner's arrays."""
    data = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def uniform(words: Words, purpose: int) -> Floats:
    """Numbers in [0, 1) from words, by the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = words + np.uint64(_GOLDEN * purpose % 2**64)
    for shift, factor in _MIX:
        x = (x ^ (x >> shift)) * factor
    x = x ^ (x >> np.uint64(31))
    result: Floats = (x >> np.uint64(11)).astype(np.float64) / 2.0**53
    return result
