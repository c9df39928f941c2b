"""Who lives in a world: what one may know of them (segment, zone, device), and what one may not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tests.simulation.world import habits
from tests.simulation.world.habits import Floats, Ints
from tests.simulation.world.spec import (
    ARCHETYPES,
    FIRST_DAY,
    KINDS,
    MAIN_ARCHETYPE_OF_SEGMENT,
    SHARE_OF_KIND,
    SHARE_OF_MAIN,
    ZONES,
    WorldSpec,
)


@dataclass(frozen=True, slots=True)
class People:
    """Columns over people; `known_zone` and `true_zone` are (people, days), as are the shifts."""

    segment: Ints
    device: Ints
    known_zone: Ints
    joined: Ints
    # Hidden from whoever is judged:
    true_zone: Ints
    kind: Ints
    base: Floats
    curve: Floats
    shift: Floats
    activity_rate: Floats
    activity_shift: Floats
    machine: Ints  # 0 none, 1 gateway that says so, 2 gateway that does not, 3 prefetching proxy


def offsets_min(days: int) -> Ints:
    """(zones, days): minutes from UTC to local time at noon of that local day."""
    first = date.fromisoformat(FIRST_DAY)
    table = [
        [
            datetime.combine(
                first + timedelta(days=d), datetime.min.time().replace(hour=12), ZoneInfo(zone)
            ).utcoffset()
            for d in range(days)
        ]
        for zone in ZONES
    ]
    return np.array([[int((offset or timedelta()).total_seconds()) // 60 for offset in row] for row in table])


def weekdays(days: int) -> Ints:
    """The weekday of each day, Monday is 0."""
    return (np.arange(days) + date.fromisoformat(FIRST_DAY).weekday()) % 7


def draw(spec: WorldSpec, rng: np.random.Generator) -> People:
    """Everybody of the world `spec`."""
    n, days = spec.people, spec.history_days + spec.judged_days + 2
    segment = rng.integers(0, len(MAIN_ARCHETYPE_OF_SEGMENT), n)
    archetype = np.where(
        rng.random(n) < SHARE_OF_MAIN,
        np.array(MAIN_ARCHETYPE_OF_SEGMENT)[segment],
        rng.integers(0, len(ARCHETYPES), n),
    )
    kind = rng.choice(len(KINDS), n, p=SHARE_OF_KIND)
    home = rng.integers(0, len(ZONES), n)
    true_zone, known_zone = _journeys(spec, home, days, rng)
    late = rng.random(n) < spec.joining
    return People(
        segment=segment,
        device=rng.integers(0, 3, n),
        known_zone=known_zone,
        joined=np.where(late, spec.history_days + rng.integers(1, max(2, spec.judged_days - 14), n), 0),
        true_zone=true_zone,
        kind=kind,
        base=rng.beta(spec.base_alpha, spec.base_beta, n),
        curve=habits.curves(kind, archetype, spec, rng),
        shift=habits.shifts(kind, archetype, spec, weekdays(days), rng),
        activity_rate=rng.gamma(2.0, spec.activity_per_day / 2.0, n),
        activity_shift=rng.uniform(-spec.activity_shift, spec.activity_shift, n),
        machine=_machines(spec, n, rng),
    )


def _journeys(spec: WorldSpec, home: Ints, days: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Where people are, and where they are known to be from the day after they left, if at all."""
    n = len(home)
    travels = rng.random(n) < spec.travellers
    first = rng.integers(0, days, n)
    last = first + rng.integers(7, 15, n)
    abroad = (home + rng.integers(1, len(ZONES), n)) % len(ZONES)
    told = rng.random(n) < 0.8
    day = np.arange(days)[None, :]
    away: NDArray[np.bool_] = travels[:, None] & (day >= first[:, None]) & (day < last[:, None])
    known = away & told[:, None] & (day > first[:, None])
    return np.where(away, abroad[:, None], home[:, None]), np.where(known, abroad[:, None], home[:, None])


def _machines(spec: WorldSpec, n: int, rng: np.random.Generator) -> Ints:
    u = rng.random(n)
    gateway = np.where(rng.random(n) < 0.5, 1, 2)
    return np.where(u < spec.gateways, gateway, np.where(u < spec.gateways + spec.prefetch, 3, 0))
