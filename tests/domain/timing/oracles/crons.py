"""Cron expressions to compare, and what others make of them in a zone.

Two implementations beside Horae's: `cron_scan`, which holds every day and minute to the fields, laid over the zone here
by asking `zoneinfo` for both folds of each local time; and cronsim, which has Debian's ways with clock changes.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tests.domain.timing.cron_scan import scan
from tests.domain.timing.test_cron import CASES, OWN_CASES

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Pacific/Chatham",
    "America/Santiago",
    "Europe/London",
    "Asia/Gaza",
    "Africa/Cairo",
    "America/Havana",
)
FIRST, LAST = date(2024, 1, 1), date(2025, 12, 31)
#: So many times of the two years are compared one by one in `make test`: two a day.
FEW = 1500
#: So many by the long run: 136 a day, which nineteen of the expressions exceed.
MOST = 100_000
_DAYS = 3  # on each side of a clock change, where an expression names too many times to compare them all
_HOUR_S = timedelta(hours=1, seconds=-1)
_SEED = 20261123


def expressions() -> list[str]:
    """Every construct, and random ones that croniter and cronsim read as well; no duplicates."""
    draw = random.Random(_SEED)

    def field(least: int, greatest: int, *, star: float) -> str:
        if draw.random() < star:
            return draw.choice(["*", "*", "*/2", "*/3", f"*/{draw.randint(2, greatest)}"])
        items = []
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            low, high = sorted((draw.randint(least, greatest), draw.randint(least, greatest)))
            step = draw.choice(["", "", f"/{draw.randint(2, 7)}"])
            items.append(draw.choice([str(low), str(low), f"{low}-{high}{step}" if low < high else str(low)]))
        return ",".join(items)

    found = [*CASES, *OWN_CASES]
    while len(found) < 340:
        minute, hour = field(0, 59, star=0.2), field(0, 23, star=0.2)
        day, month, weekday = field(1, 31, star=0.7), field(1, 12, star=0.8), field(0, 6, star=0.7)
        text = f"{minute} {hour} {day} {month} {weekday}"
        if draw.random() < 0.08:
            text = f"{field(0, 59, star=0)} {text}"
        if text not in found:
            found.append(text)
    return found


def windows(expression: str, zone: str, most: int) -> list[tuple[date, date]]:
    """The stretches of days to compare: both years whole; by January with more than `most` times, clock changes only.

    Then the three days before and after each, and the first days of January.
    """
    if 24 * len(scan(expression, FIRST, FIRST + timedelta(days=30))) <= most:
        return [(FIRST, LAST)]
    rules, found = ZoneInfo(zone), [FIRST + timedelta(days=5)]
    day = FIRST
    while day < LAST:
        noon, next_noon = (datetime(d.year, d.month, d.day, 12, tzinfo=rules) for d in (day, day + timedelta(days=1)))
        if noon.utcoffset() != next_noon.utcoffset():
            found.append(day)
        day += timedelta(days=1)
    around = timedelta(days=_DAYS)
    return [(max(day - around, FIRST), min(day + around, LAST)) for day in found]


def scanned(times: list[datetime], zone: str, gap: str, overlap: str) -> list[datetime]:
    """The instants (naive UTC) of naive local times, by their two folds alone (PEP 495); in order, each once."""
    found: list[datetime] = []
    for local in times:
        offset = _steady(local.replace(minute=0, second=0), zone)
        found += _by_folds(local, zone, gap, overlap) if offset is None else (local - offset,)
    return sorted(set(found))


@cache
def _steady(hour: datetime, zone: str) -> timedelta | None:
    """The offset of an hour on the wall that has the same one at both ends, whatever the fold; None: it has several."""
    rules = ZoneInfo(zone)
    ends = (at.replace(tzinfo=rules, fold=fold).utcoffset() for at in (hour, hour + _HOUR_S) for fold in (0, 1))
    offsets = set(ends)
    return offsets.pop() if len(offsets) == 1 else None


def _by_folds(local: datetime, zone: str, gap: str, overlap: str) -> set[datetime]:
    rules = ZoneInfo(zone)
    folds = [local.replace(tzinfo=rules, fold=fold).astimezone(UTC) for fold in (0, 1)]
    real = [instant for instant in folds if instant.astimezone(rules).replace(tzinfo=None, fold=0) == local]
    if not real:  # fold 0 in a gap reads it with the offset before: moved on by the gap's length
        due = {folds[0]} if gap == "shift" else set()
    elif overlap == "both" or len(set(real)) == 1:
        due = set(real)
    else:
        due = {real[0] if overlap == "first" else real[1]}
    return {instant.replace(tzinfo=None) for instant in due}


def by_cronsim(expression: str, zone: str, first: date, last: date) -> list[datetime] | None:
    """The instants that cronsim gives from one local day to another; None where it stands still at a clock change.

    (2.8 never gets past a gap at midnight, as in Cairo, with rules that follow the clock: it gives the same hour again
    and again.)
    """
    rules = ZoneInfo(zone)
    start = datetime(first.year, first.month, first.day, tzinfo=rules) - timedelta(days=1)
    found: list[datetime] = []
    before = start.astimezone(UTC)
    for at in CronSim(expression, start):
        if at.astimezone(UTC) < before - timedelta(hours=2) or len(found) > 20_000:
            return None
        before = at.astimezone(UTC)
        if at.date() > last:
            break
        if at.date() >= first:
            found.append(at.astimezone(UTC))
    return sorted(set(found))
