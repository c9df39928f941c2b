"""Zone rules: names, offsets and the stretches of constant offset between clock changes.

Everything comes from one release of the `tzdata` wheel (`zonedata`), never from the machine: its copy may be releases
behind, and every plan names the version it was made with. Instants in here are *naive UTC* (`Utc`), local times naive:
subtracting them is exact arithmetic, and mistaking one for the other shows at once in the tests.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from horae.domain import errors
from horae.domain.timing import zonedata
from horae.domain.timing.values import Context, ZoneSource
from horae.domain.timing.zonedata import of_zone_data

RECIPIENT = "recipient"
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MARGIN = timedelta(days=40)


class Segment(NamedTuple):
    """A stretch of constant offset: instants from `start` up to but not including `end` (naive UTC).

    `before` and `after` are the offsets on the other sides; equal to `offset` where the table was only cut.
    """

    start: datetime
    end: datetime
    offset: timedelta
    before: timedelta
    after: timedelta


def tzdata_version() -> str:
    """Version of the IANA database in use, such as `2026f`."""
    return zonedata.current().version


@of_zone_data
@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every zone name of the IANA database, links included."""
    return zonedata.names()


@of_zone_data
@lru_cache(maxsize=1)
def links() -> dict[str, str]:
    """Names that stand for another zone's rules -> that zone, as the database's own text has them."""
    pairs = (line.split()[1:3] for line in zonedata.text("tzdata.zi").splitlines() if line.startswith("L "))
    return {alias: target for target, alias in pairs}


@of_zone_data
@lru_cache(maxsize=1)
def _present_names() -> frozenset[str]:
    """Names in present use: those by which the database lists the countries' zones, and the two that all know."""
    lines = (line for line in zonedata.text("zone.tab").splitlines() if line and not line.startswith("#"))
    return frozenset(line.split("\t")[2] for line in lines) | {"UTC", "GMT"}


@of_zone_data
@lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """The present name of a zone: `America/Los_Angeles` for `US/Pacific`.

    Links between places in present use stay as they are: Oslo has Berlin's rules today and may not tomorrow.
    """
    if name in _present_names() or name not in links():
        return name
    target = links()[name]
    return "UTC" if target == "Etc/UTC" else target


@of_zone_data
@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Rules of an IANA zone. Raises `errors.Invalid` for an unknown name."""
    check_zone(name, "zone")
    return zonedata.rules(name)


def check_zone(name: str, field: str) -> None:
    """Refuse an unknown zone. Raises `errors.Invalid` with the closest names."""
    if name in zone_names():
        return
    lower = {known.lower(): known for known in zone_names()}
    cities = {known.rsplit("/", 1)[-1]: known for known in sorted(lower, reverse=True)}
    wanted = name.strip().lower().replace(" ", "_")
    close = [lower[wanted]] if wanted in lower else [lower[cities[wanted]]] if wanted in cities else []
    close += [lower[known] for known in difflib.get_close_matches(wanted, lower, n=3, cutoff=0.6)]
    close += [lower[cities[c]] for c in difflib.get_close_matches(wanted.rsplit("/", 1)[-1], cities, n=2, cutoff=0.75)]
    names = list(dict.fromkeys(close))[:3]
    raise errors.Invalid(
        f"{name!r} is not a zone of the IANA database {tzdata_version()}.",
        field=field,
        value=name,
        hint=f"Did you mean {' or '.join(names)}?" if names else "Use a name such as Europe/Berlin, or UTC.",
    )


def to_local(instant: datetime, name: str) -> tuple[datetime, int]:
    """The local time (naive, fold) at an instant (naive UTC)."""
    local = instant.replace(tzinfo=UTC).astimezone(zone(name))
    return local.replace(tzinfo=None, fold=0), local.fold


def to_utc(local: datetime, fold: int, name: str) -> datetime:
    """The instant (naive UTC) of a local time; one that a gap skips moves forward by the gap's length."""
    there = local.replace(tzinfo=zone(name), fold=fold)
    offset = there.utcoffset()
    assert offset is not None
    if fold:  # in a gap fold=1 would move backward: only an overlap tells the two apart
        other = local.replace(tzinfo=zone(name)).utcoffset()
        assert other is not None
        offset = min(offset, other)
    return local - offset


def gap_at(local: datetime, name: str) -> timedelta:
    """Length of the gap that swallows this local time; negative inside an overlap; zero elsewhere."""
    rules = zone(name)
    early, late = local.replace(tzinfo=rules).utcoffset(), local.replace(tzinfo=rules, fold=1).utcoffset()
    assert early is not None
    assert late is not None
    return late - early


def place(local: datetime, fold: int, name: str) -> tuple[datetime, datetime]:
    """Sort key of a local time among a zone's: as the clocks on its walls show them one after the other.

    In an overlap 02:40 with fold 0 is before 02:10 with fold 1. Times that a gap swallows come where the gap is.
    """
    at = to_utc(local, fold, name)
    return (segment_at(at, name).start if gap_at(local, name) > timedelta(0) else at), local


def segment_at(instant: datetime, name: str) -> Segment:
    """The stretch of constant offset that holds an instant (naive UTC)."""
    starts, segments = _segments(name, instant.year)
    return segments[bisect_right(starts, instant) - 1]


@of_zone_data
@lru_cache(maxsize=4096)
def _segments(name: str, year: int) -> tuple[list[datetime], list[Segment]]:
    """The stretches around a year. The margin keeps every gap and overlap of the year whole on both sides."""
    rules = zone(name)

    def offset(at: datetime) -> timedelta:
        value = at.replace(tzinfo=UTC).astimezone(rules).utcoffset()
        assert value is not None
        return value

    begin, stop = datetime(year, 1, 1) - _MARGIN, datetime(year + 1, 1, 1) + _MARGIN  # noqa: DTZ001 - naive UTC
    cuts, offsets = [begin], [offset(begin)]
    low = begin
    while low < stop:  # two changes within one day would be missed; no zone has had them
        high = low + _DAY
        if (now := offset(high)) != offsets[-1]:
            left, right = low, high
            while right - left > _SECOND:
                middle = left + (right - left) // 2
                middle = middle.replace(microsecond=0)
                if middle == left:
                    break
                left, right = (middle, right) if offset(middle) == offsets[-1] else (left, middle)
            cuts.append(right)
            offsets.append(now)
        low = high
    ends = [*cuts[1:], max(low, stop)]
    segments = [
        Segment(cut, end, at, offsets[max(i - 1, 0)], offsets[min(i + 1, len(offsets) - 1)])
        for i, (cut, end, at) in enumerate(zip(cuts, ends, offsets, strict=True))
    ]
    return cuts, segments


def resolve_zone(wanted: str, ctx: Context) -> tuple[str, ZoneSource]:
    """The IANA zone that a timing's `zone` stands for, by its present name, and who named it."""
    if wanted != RECIPIENT:
        return canonical(wanted), "timing"
    if ctx.recipient_zone is not None and ctx.recipient_zone in zone_names():
        return canonical(ctx.recipient_zone), "recipient"
    return canonical(ctx.default_zone), "tenant"
