"""Which zone of the IANA database a TZID of a calendar file means.

By its name first: IANA's, Windows', one that ends in one of IANA's. Any other is defined by its VTIMEZONE (RFC 5545,
§3.6.5): the zone is the first that has the same offsets, to the second, in the ten years from the event's first one;
or, where the file tells less, in the event's own time. Which of several zones with the same rules makes no difference
to any instant compared. A TZID of no such zone is refused: neither UTC nor the recipient's zone was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from horae.domain import errors
from horae.domain.timing import rrule, ruleset, zones
from horae.domain.timing.values import LAST_YEAR
from horae.domain.timing.zonedata import of_zone_data

#: So many years of rules are compared, where the event does not end before.
_YEARS = 10
#: Windows' rules begin in 1601, of which nothing is to come.
_SINCE = 1970
#: Onsets of one observance; yearly ones come to about a hundred.
_MOST_ONSETS = 1_000
_TICK, _DAY = timedelta(seconds=1), timedelta(days=1)


class UnknownZoneError(Exception):
    """No zone is meant by a TZID; says why, and what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


class Stretch(NamedTuple):
    """The local time at which an event begins, the last of its times (None: none is), and the year of its writing."""

    begin: datetime
    last: datetime | None
    written: int | None = None


class FileZones:
    """The zones of one calendar, whose VTIMEZONE components it takes."""

    def __init__(self, components: list[Any]) -> None:
        self._components = {str(each.get("TZID", "")): each for each in components}
        self._onsets: dict[str, list[_Onset]] = {}
        self._found: dict[tuple[str, datetime, datetime], str | None] = {}

    def named(self, tzid: str, stretch: Callable[[], Stretch]) -> str:
        """The IANA name of the zone; `stretch` is asked where its name does not say it. Raises `UnknownZoneError`."""
        known = _by_name(tzid)
        if known is not None:
            return known
        if tzid not in self._components:
            raise UnknownZoneError(
                f"The zone {tzid!r} is unknown, and the file has no VTIMEZONE of that name.",
                "Use an IANA name such as Europe/Berlin, or add the VTIMEZONE.",
            )
        component = self._components[tzid]
        if tzid not in self._onsets:
            self._onsets[tzid] = _read(tzid, component)
        windows = list(dict.fromkeys(_windows(stretch())))
        for window in windows:
            if (tzid, *window) not in self._found:
                self._found[tzid, *window] = _by_rules(tzid, component, self._onsets[tzid], *window)
            found = self._found[tzid, *window]
            if found is not None:
                return found
        begin, end = windows[-1]
        raise UnknownZoneError(
            f"The VTIMEZONE of {tzid!r} has the rules of no zone of the IANA database between {begin:%Y-%m-%d} and "
            f"{end:%Y-%m-%d}.",
            "Name the IANA zone that is meant as TZID, such as Europe/Berlin, or tell the times in UTC.",
        )


def _by_name(tzid: str) -> str | None:
    name = WINDOWS_TO_OLSON.get(tzid, tzid)
    parts = name.split("/")
    # Some programs write a name of their own in front: /example.com/20260101_1/Europe/Berlin
    return next((known for i in range(len(parts)) if (known := "/".join(parts[i:])) in zones.zone_names()), None)


def _by_rules(tzid: str, component: Any, onsets: list[_Onset], begin: datetime, end: datetime) -> str | None:
    return next(
        (
            name
            for name in _candidates(tzid, component, onsets)
            if _same(_changes_of_file(onsets, begin, end), _changes_of_zone(name, begin, end))
        ),
        None,
    )


def _windows(stretch: Stretch) -> Iterator[tuple[datetime, datetime]]:
    """From when to when rules are compared: the longest first."""
    begin, last = stretch.begin, stretch.last
    yield _years(begin.year, begin.year + _YEARS)
    if last is not None:
        yield _years(begin.year, last.year + 1)
        yield begin - _DAY, last + _DAY
    elif stretch.written is not None and stretch.written > begin.year:
        # What lay before it was written had rules that programs no longer tell.
        yield _years(stretch.written, stretch.written + _YEARS)


def _years(first: int, end: int) -> tuple[datetime, datetime]:
    return datetime(first, 1, 1), datetime(min(end, LAST_YEAR), 1, 1)  # noqa: DTZ001


class _Onset(NamedTuple):
    """From an instant on (naive UTC) the offset is `after`, and it was `before`."""

    at: datetime
    before: timedelta
    after: timedelta


def _read(tzid: str, component: Any) -> list[_Onset]:
    """When a VTIMEZONE changes its offset, in order. Raises `UnknownZoneError`."""
    try:
        onsets = sorted(onset for part in component.subcomponents for onset in _onsets(part))
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, errors.Invalid) as error:
        raise UnknownZoneError(
            f"The VTIMEZONE of {tzid!r} cannot be read: {error}.", "Use an IANA name such as Europe/Berlin instead."
        ) from None
    if not onsets:
        raise UnknownZoneError(
            f"The VTIMEZONE of {tzid!r} has neither STANDARD nor DAYLIGHT.", "Use an IANA name such as Europe/Berlin."
        )
    return onsets


def _onsets(part: Any) -> Iterator[_Onset]:
    """When an observance begins, each time."""
    before, after = part["TZOFFSETFROM"].td, part["TZOFFSETTO"].td
    start = part["DTSTART"].dt
    start = datetime(start.year, start.month, start.day) if not isinstance(start, datetime) else start  # noqa: DTZ001
    start = start.replace(tzinfo=None)
    times = {start}
    for dates in _listed(part.get("RDATE", [])):
        for each in dates.dts:
            value = each.dt[0] if isinstance(each.dt, tuple) else each.dt
            aware = getattr(value, "tzinfo", None) is not None
            times.add(value.astimezone(UTC).replace(tzinfo=None) + before if aware else value)
    for rule in _listed(part.get("RRULE", [])):
        times |= set(_ruled(rule.to_ical().decode(), start, before))
    if len(times) > _MOST_ONSETS:
        raise ValueError(f"it has more than {_MOST_ONSETS} changes")
    return (_Onset(at - before, before, after) for at in times)


def _ruled(text: str, start: datetime, before: timedelta) -> Iterator[datetime]:
    (rule,) = ruleset.parse(text).rules
    until = rule.until
    if isinstance(until, datetime) and until.tzinfo is not None:
        until = until.astimezone(UTC).replace(tzinfo=None) + before
    elif until is not None and not isinstance(until, datetime):
        until = datetime(until.year, until.month, until.day, 23, 59, 59)  # noqa: DTZ001
    if start.year < _SINCE and rule.count is None:
        start = start.replace(year=_SINCE)
    walk, at, number = rrule.walk(rule, start), start - _TICK, 0
    while number < (rule.count or _MOST_ONSETS + 1):
        found = walk.next(at)
        if found is None or found.year >= LAST_YEAR or (until is not None and found > until):
            return
        at, number = found, number + 1
        yield found


def _offset_at(onsets: list[_Onset], at: datetime) -> timedelta:
    return next((onset.after for onset in reversed(onsets) if onset.at <= at), onsets[0].before)


def _changes_of_file(onsets: list[_Onset], begin: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """The offset at `begin`, and each change of it before `end`."""
    offset = _offset_at(onsets, begin)
    yield begin, offset
    for onset in onsets:
        if begin < onset.at < end and onset.after != offset:
            offset = onset.after
            yield onset.at, offset


def _changes_of_zone(name: str, begin: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta]]:
    segment = zones.segment_at(begin, name)
    offset = segment.offset
    yield begin, offset
    while segment.end < end:
        at = segment.end
        segment = zones.segment_at(at, name)
        if segment.offset != offset:
            offset = segment.offset
            yield at, offset


def _same(one: Iterator[tuple[datetime, timedelta]], other: Iterator[tuple[datetime, timedelta]]) -> bool:
    return all(mine == theirs for mine, theirs in zip_longest(one, other))


def _candidates(tzid: str, component: Any, onsets: list[_Onset]) -> Iterator[str]:
    """Every zone once, those first that the file's words point to, then those that Windows' names stand for."""
    told = [str(component.get(name, "")) for name in ("X-LIC-LOCATION", "TZURL")]
    named = [known for text in told if (known := _by_name(text.removesuffix(".ics"))) is not None]
    windows = sorted((name for name in WINDOWS_TO_OLSON if name.lower() in tzid.lower()), key=len, reverse=True)
    words = re.sub(r"[\W_]+", " ", tzid).lower()
    cities = [name for name in _present() if name.rpartition("/")[2].replace("_", " ").lower() in words]
    fixed = _fixed(onsets[-1].after) if len({onset.after for onset in onsets}) == 1 else []
    by_windows = [zones.canonical(name) for name in WINDOWS_TO_OLSON.values()]
    yield from dict.fromkeys(
        [*named, *(WINDOWS_TO_OLSON[name] for name in windows), *cities, *fixed, *by_windows, *_present()]
    )


def _fixed(offset: timedelta) -> list[str]:
    """The zone that has only this offset, and no law that may change it."""
    hours, rest = divmod(offset, timedelta(hours=1))
    name = "UTC" if not offset else f"Etc/GMT{-hours:+d}"
    return [name] if not rest and name in zones.zone_names() else []


@of_zone_data
@lru_cache(maxsize=1)
def _present() -> tuple[str, ...]:
    return tuple(name for name in sorted(zones.zone_names()) if "/" in name and zones.canonical(name) == name)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
