"""When a person looks at messages: a curve over the day per person, and how it moves from day to day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.simulation.world.spec import ARCHETYPES, KINDS, WorldSpec

GRID = 96  # points of a curve: quarters of an hour
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def bump(hours: Floats, centre: Floats, concentration: Floats) -> Floats:
    """A von Mises bump over the 24 hours, 1 at its centre."""
    result: Floats = np.exp(concentration * (np.cos(2 * np.pi * (hours - centre) / 24) - 1))
    return result


def curves(kind: Ints, archetype: Ints, spec: WorldSpec, rng: np.random.Generator) -> Floats:
    """(people, 96): chance of looking, 1 at the best quarter of an hour; before any shift of the day."""
    n = len(kind)
    hours = np.arange(GRID) * 24 / GRID
    main, second = (np.array([a[k] for a in ARCHETYPES])[archetype] for k in (1, 2))
    own = rng.normal(0, spec.offset_sd, (2, n))
    concentration = rng.uniform(*spec.concentration, n)[:, None]
    first = bump(hours[None, :], (main + own[0])[:, None], concentration)
    other = bump(hours[None, :], (second + own[1])[:, None], concentration) * rng.uniform(0.5, 1.0, n)[:, None]
    tail = rng.uniform(*spec.inbox_tail, n)[:, None]
    # A message waits in the inbox: what counts is attention in the hours after it came.
    wait = np.exp(-hours[None, :] / tail)
    inbox = np.fft.irfft(np.fft.rfft(first, axis=1) * np.conj(np.fft.rfft(wait, axis=1)), n=GRID, axis=1)
    result = first.copy()
    two = kind == KINDS.index("bimodal")
    result[two] = np.maximum(first, other)[two]
    result[kind == KINDS.index("inbox")] = inbox[kind == KINDS.index("inbox")]
    result[kind == KINDS.index("flat")] = 1.0
    scaled: Floats = result / result.max(axis=1, keepdims=True)
    return scaled


def shifts(kind: Ints, archetype: Ints, spec: WorldSpec, weekday_of: Ints, rng: np.random.Generator) -> Floats:
    """(people, days): hours by which a person's curve lies later on that day: weekends, shifts, wandering, drift."""
    n, days = len(kind), len(weekday_of)
    main, second = (np.array([a[k] for a in ARCHETYPES])[archetype] for k in (1, 2))
    weekend = (weekday_of >= 5)[None, :] * rng.uniform(0, spec.weekend_shift, n)[:, None]
    on_shift = rng.random((n, 7)) < 0.5
    on_shift[:, 5:] = False
    shifted = on_shift[:, weekday_of] * (second - main)[:, None] * (kind == KINDS.index("shifts"))[:, None]
    walk = np.cumsum(rng.normal(0, spec.walk_sd, (n, days)), axis=1) * (kind == KINDS.index("walker"))[:, None]
    total: Floats = weekend + shifted + walk
    moved = rng.random(n) < 0.5
    if spec.drift_after is not None:
        total[moved, spec.history_days + spec.drift_after :] += spec.drift_hours
    return total


def look(curve: Floats, who: Ints, hours: Floats) -> Floats:
    """The curves of `who` at `hours` (any real number of hours), between the points by straight lines."""
    at = np.mod(hours, 24) * GRID / 24
    low = np.floor(at).astype(np.int64)
    part = at - low
    result: Floats = curve[who, low % GRID] * (1 - part) + curve[who, (low + 1) % GRID] * part
    return result
