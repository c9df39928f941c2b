"""Local time as the learner sees it: 24 hours of weekdays and 24 of weekends, and smooth curves over them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from horae.domain.timing.zonedata import of_zone_data
from horae.domain.timing.zones import zone as rules_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HOURS: Final = 24
BINS: Final = 2 * HOURS  # hour of a weekday, then hour of a weekend day
QUARTERS: Final = 4 * HOURS
DAY_S: Final = 86_400
HARMONICS: Final = 3  # of the day's curve: bumps down to about three hours' width
WEEKEND_HARMONICS: Final = 2  # of how the weekend differs
TERMS: Final = 2 + 2 * HARMONICS + 2 * WEEKEND_HARMONICS

_MONDAY_OFFSET = 3  # 1970-01-01 was a Thursday


def basis(hours: Floats, weekend: Floats) -> Floats:
    """(points, TERMS): a truncated Fourier series over the day, and one for how a weekend differs from it.

    `hours` are local hours, 0 to 24; `weekend` is 1 on Saturdays and Sundays, else 0. Terms: level, weekend level,
    cosine and sine of each harmonic, then the same for the weekend's difference. Periodic: it smooths across midnight.
    """
    angle = 2 * np.pi * hours / HOURS
    daily = [f(k * angle) for k in range(1, HARMONICS + 1) for f in (np.cos, np.sin)]
    extra = [weekend * f(k * angle) for k in range(1, WEEKEND_HARMONICS + 1) for f in (np.cos, np.sin)]
    return np.stack([np.ones_like(hours), weekend, *daily, *extra], axis=1)


def _grid(points: int) -> Floats:
    hours = (np.arange(points) + 0.5) * HOURS / points
    return np.concatenate([basis(hours, np.zeros(points)), basis(hours, np.ones(points))])


BASIS: Final[Floats] = _grid(HOURS)  # (BINS, TERMS), at the middle of each hour
QUARTER_BASIS: Final[Floats] = _grid(QUARTERS)  # (2 * QUARTERS, TERMS)


@of_zone_data
@lru_cache(maxsize=65_536)
def _offset_s(zone: str, quarter: int) -> int:
    offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(rules_of(zone)).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def local_s(at: Ints, zone: NDArray[np.integer], zones: tuple[str, ...]) -> Ints:
    """Seconds of the naive local clock since 1970-01-01T00:00, for instants `at` (seconds) in `zones[zone]`.

    By the zone's rules at that very instant, so that clock changes and a journey count from the moment they happen.
    Offsets change on quarters of an hour, of which each is looked up once.
    """
    key = (at // 900) * len(zones) + zone
    unique, inverse = np.unique(key, return_inverse=True)
    offsets = np.array([_offset_s(zones[k % len(zones)], k // len(zones)) for k in unique.tolist()], dtype=np.int64)
    return at + offsets[inverse] if len(at) else at


def bins(local: Ints) -> Ints:
    """The bin, 0 to 47, of each naive local second."""
    weekend = (local // DAY_S + _MONDAY_OFFSET) % 7 >= 5
    result: Ints = (local % DAY_S) // 3600 + HOURS * weekend
    return result


def is_weekend(local_day: Ints) -> Bools:
    """Saturday or Sunday? Days are counted from 1970-01-01."""
    result: Bools = (local_day + _MONDAY_OFFSET) % 7 >= 5
    return result
