"""A zone's clock changes as VTIMEZONE wants them (RFC 5545 §3.6.5): observances, by rule where there is one.

Made from our own zone data, so that a reader without any of its own, or with older, comes to our instants. What goes on
by a rule beyond the years looked at goes on for ever; what does not is listed up to there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from horae.domain.timing.values import FIRST_YEAR, LAST_YEAR
from horae.domain.timing.zonedata import of_zone_data
from horae.domain.timing.zonefacts import is_dst
from horae.domain.timing.zones import segment_at, zone

#: A rule is believed that has held for so many years, up to the last one looked at.
_BELIEVED = 8
#: So far beyond the last year that is asked for it is looked, that rules show.
_AHEAD = 12
_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Observance:
    """From each onset on the offset is `after`. Onsets are naive local times by the offset `before`, as in the RFC.

    `rule`: the onsets go on from the first by this yearly rule, else they are all in `onsets`.
    """

    dst: bool
    name: str
    before: timedelta
    after: timedelta
    onsets: tuple[datetime, ...]
    rule: str | None = None


def observances(name: str, first_year: int, last_year: int) -> tuple[Observance, ...]:
    """What holds in a zone from the beginning of `first_year` to the end of `last_year` at least."""
    first, last = max(first_year, FIRST_YEAR + 1), min(last_year + _AHEAD, LAST_YEAR)
    return _observances(name, first, max(first, last))


@of_zone_data
@lru_cache(maxsize=512)
def _observances(name: str, first_year: int, last_year: int) -> tuple[Observance, ...]:
    begin = datetime(first_year, 1, 1)  # noqa: DTZ001 - naive UTC
    segment = segment_at(begin, name)
    start = Observance(
        is_dst(name, begin), _name(name, begin), segment.offset, segment.offset, (begin + segment.offset,)
    )
    kinds: dict[tuple[bool, str, timedelta, timedelta], list[datetime]] = {}
    end = datetime(last_year + 1, 1, 1)  # noqa: DTZ001
    while segment.end < end:
        at = segment.end
        segment = segment_at(at, name)
        if segment.start == at and segment.before != segment.offset:
            kind = (is_dst(name, at), _name(name, at), segment.before, segment.offset)
            kinds.setdefault(kind, []).append(at + segment.before)
    found = [start]
    for (dst, called, before, after), onsets in kinds.items():
        found += [
            Observance(dst, called, before, after, tuple(times), rule) for times, rule in _ruled(onsets, last_year)
        ]
    return tuple(found)


def _name(name: str, instant: datetime) -> str:
    return (instant + _TICK).replace(tzinfo=UTC).astimezone(zone(name)).tzname() or name


def _ruled(onsets: list[datetime], last_year: int) -> Iterator[tuple[list[datetime], str | None]]:
    """Onsets that go on by a yearly rule to the last year looked at, apart from those before that do not."""
    best, rule = len(onsets), None
    for candidate in _candidates(onsets[-1]) if onsets[-1].year >= last_year - 1 else ():
        begun = len(onsets)
        while (
            begun
            and _names(candidate, onsets[begun - 1])
            and (begun == len(onsets) or onsets[begun].year == onsets[begun - 1].year + 1)
        ):
            begun -= 1
        if len(onsets) - begun >= _BELIEVED and begun < best:
            best, rule = begun, candidate
    if onsets[:best]:
        yield onsets[:best], None
    if rule is not None:
        month, nth, weekday, _ = rule
        yield onsets[best:], f"FREQ=YEARLY;BYMONTH={month};BYDAY={nth}{_CODES[weekday]}"


_Rule = tuple[int, int, int, tuple[int, int, int]]


def _candidates(at: datetime) -> list[_Rule]:
    """The nth, and the last but so many, of its weekday in its month."""
    time = (at.hour, at.minute, at.second)
    return [(at.month, nth, at.weekday(), time) for nth in ((at.day - 1) // 7 + 1, -1, -2)]


def _names(rule: _Rule, at: datetime) -> bool:
    month, nth, weekday, time = rule
    if (at.month, at.weekday(), (at.hour, at.minute, at.second)) != (month, weekday, time):
        return False
    if nth > 0:
        return (at.day - 1) // 7 + 1 == nth
    following = at + timedelta(weeks=-nth)
    return following.month != month and (following - timedelta(weeks=1)).month == month
