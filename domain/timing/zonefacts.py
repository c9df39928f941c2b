"""What can be said of a zone: its names, offsets, clock changes, and what a time is elsewhere.

Values for whoever asks, computed from the rules in `zones`; no plan depends on them. Instants are aware UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from pydantic import Field

from horae.domain import errors
from horae.domain.timing import zonedata
from horae.domain.timing.values import FIRST_YEAR, LAST_YEAR, Branch, Value
from horae.domain.timing.zones import (
    Segment,
    canonical,
    check_zone,
    gap_at,
    links,
    segment_at,
    to_local,
    to_utc,
    tzdata_version,
    zone,
    zone_names,
)

#: Behind this year every zone repeats its last rule, or has none.
_LAST_TABLED = 2100
_NO_TIME = timedelta(0)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


class Transition(Value):
    """A clock change: at `at` the offset becomes another one."""

    at: datetime = Field(description="The instant of the change.", examples=["2027-03-28T01:00:00Z"])
    kind: Literal["gap", "overlap"] = Field(description="`gap`: local times are left out; `overlap`: they come twice.")
    length_s: int = Field(description="So many seconds are left out or come twice.", examples=[3600])
    local_before: str = Field(description="What the clock shows as it is changed.", examples=["2027-03-28T02:00:00"])
    local_after: str = Field(description="What it shows then.", examples=["2027-03-28T03:00:00"])
    offset_before: str = Field(examples=["+01:00"])
    offset_after: str = Field(examples=["+02:00"])
    abbreviation_before: str = Field(examples=["CET"])
    abbreviation_after: str = Field(examples=["CEST"])
    dst_after: bool = Field(description="Is it daylight-saving time from then on?")


class ZoneTime(Value):
    """An instant on the clock of a zone."""

    zone: str = Field(description="The zone as it was named.", examples=["US/Pacific"])
    canonical: str = Field(description="Its name in plans: old names have a present one.")
    at: datetime = Field(description="The instant.", examples=["2026-12-01T09:00:00Z"])
    local: str = Field(description="What the clock shows, without offset.", examples=["2026-12-01T01:00:00"])
    fold: int = Field(description="1 for the second passing of a local time that comes twice.")
    offset: str = Field(examples=["-08:00"])
    offset_s: int = Field(description="Seconds ahead of UTC.", examples=[-28800])
    abbreviation: str = Field(examples=["PST"])
    dst: bool = Field(description="Is it daylight-saving time? As java.time has it: also where law calls it otherwise.")


class ZoneFacts(ZoneTime):
    """A zone at an instant, with the clock changes on either side."""

    tzdata: str = Field(description="Version of the zone data.", examples=["2026f"])
    aliases: tuple[str, ...] = Field(description="Other names of the same rules.")
    countries: tuple[str, ...] = Field(description="ISO 3166 codes of the countries that use it.", examples=[["US"]])
    previous_transition: Transition | None = Field(default=None, description="The last clock change up to then.")
    next_transition: Transition | None = Field(default=None, description="The next one; null: none is known.")


class Conversion(Value):
    """A time here, and the same instant elsewhere."""

    at: datetime = Field(description="The instant.")
    branch: Branch = Field(description="How a local time met the clock changes of its zone.")
    source: ZoneTime | None = Field(default=None, description="In the zone that it was told in.")
    targets: tuple[ZoneTime, ...] = Field(description="On the clocks of the zones that were asked for.")


def zone_time(name: str, at: datetime, field: str = "zone") -> ZoneTime:
    """An instant (aware) on the clock of a zone. Raises `errors.Invalid` for an unknown one, naming `field`."""
    check_zone(name, field)
    instant = at.astimezone(UTC)
    naive = instant.replace(tzinfo=None)
    local, fold = to_local(naive, name)
    there = instant.astimezone(zone(name))
    offset = there.utcoffset() or _NO_TIME
    return ZoneTime(
        zone=name,
        canonical=canonical(name),
        at=instant,
        local=local.isoformat(),
        fold=fold,
        offset=offset_text(offset),
        offset_s=int(offset.total_seconds()),
        abbreviation=there.tzname() or "",
        dst=is_dst(name, naive),
    )


def facts(name: str, at: datetime) -> ZoneFacts:
    """All that is known of a zone at an instant (aware). Raises `errors.Invalid`."""
    now = zone_time(name, at)
    naive = now.at.replace(tzinfo=None)
    own = now.canonical
    same = tuple(sorted(other for other in zone_names() if other != name and canonical(other) == own))
    return ZoneFacts(
        **{field: getattr(now, field) for field in ZoneTime.model_fields},
        tzdata=tzdata_version(),
        aliases=same,
        countries=_countries().get(own, ()),
        previous_transition=_previous(name, naive),
        next_transition=_next(name, naive),
    )


def is_dst(name: str, instant: datetime) -> bool:
    """Is it daylight-saving time at an instant (naive UTC)?

    Where the data call the winter the exception (Ireland, Morocco: a saving of less than nothing), the clock ahead is
    the saving one, as java.time and CLDR have it.
    """
    saving = _saving(name, instant)
    if saving:
        return saving > _NO_TIME
    segment = segment_at(instant, name)
    beside = (segment.start - _TICK, segment.end)
    return any(_saving(name, other) < _NO_TIME for other in beside if FIRST_YEAR <= other.year <= LAST_YEAR)


def transitions(name: str, year: int) -> list[Transition]:
    """The clock changes of a year of UTC, in order. Raises `errors.Invalid` for an unknown zone or a year outside."""
    check_zone(name, "zone")
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise errors.Invalid(f"The year is outside {FIRST_YEAR} to {LAST_YEAR}.", field="year", value=year)
    begin, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 - naive UTC
    found: list[Transition] = []
    segment = segment_at(begin, name)
    if segment.start == begin and segment.before != segment.offset:
        found.append(_transition(name, segment))
    while segment.end < end:
        at = segment.end
        segment = segment_at(at, name)
        if segment.start == at and segment.before != segment.offset:
            found.append(_transition(name, segment))
    return found


def convert(
    told: datetime, source: str | None, fold: int, targets: list[tuple[str, str]], local_field: str = "local"
) -> Conversion:
    """An instant, or a local time of the zone `source`, on other clocks; `targets` with the field that named each.

    A local time in a gap moves on by the gap; of one that comes twice `fold` says which. Raises `errors.Invalid`.
    """
    branch: Branch = "normal"
    if not FIRST_YEAR <= told.year <= LAST_YEAR:
        raise errors.Invalid(
            f"The year is outside {FIRST_YEAR} to {LAST_YEAR}.", field=local_field, value=told.isoformat()
        )
    if told.tzinfo is None:
        if source is None:
            raise errors.Invalid(
                f"{told.isoformat()} has no offset, so its zone must be known.",
                field="from",
                hint="Give `from`, such as Europe/Berlin, or write the time with an offset.",
            )
        check_zone(source, "from")
        length = gap_at(told, source)
        if length > _NO_TIME:
            branch = "gap_shifted"
        elif length < _NO_TIME:
            branch = "overlap_second" if fold else "overlap_first"
        told = to_utc(told, fold, source).replace(tzinfo=UTC)
    return Conversion(
        at=told.astimezone(UTC),
        branch=branch,
        source=None if source is None else zone_time(source, told, "from"),
        targets=tuple(zone_time(name, told, field) for name, field in targets),
    )


def zones_of(country: str | None = None) -> list[str]:
    """Zone names in order: all, old names too, or those of a country (ISO 3166). Raises `errors.Invalid`."""
    if country is None:
        return sorted(zone_names())
    found = [name for name, codes in _countries().items() if country.upper() in codes]
    if not found:
        raise errors.Invalid(
            f"No zone is known for the country {country!r}.",
            field="country",
            value=country,
            hint="Give a code of two letters from ISO 3166, such as DE.",
        )
    return sorted(found)


def offset_text(offset: timedelta) -> str:
    """`+05:45`, and seconds where there are any."""
    seconds = int(offset.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02}"


def _saving(name: str, instant: datetime) -> timedelta:
    return instant.replace(tzinfo=UTC).astimezone(zone(name)).dst() or _NO_TIME


def _abbreviation(name: str, instant: datetime) -> str:
    return instant.replace(tzinfo=UTC).astimezone(zone(name)).tzname() or ""


def _transition(name: str, segment: Segment) -> Transition:
    """The change with which a stretch begins."""
    at, length = segment.start, segment.offset - segment.before
    return Transition(
        at=at.replace(tzinfo=UTC),
        kind="gap" if length > _NO_TIME else "overlap",
        length_s=int(abs(length).total_seconds()),
        local_before=(at + segment.before).isoformat(),
        local_after=(at + segment.offset).isoformat(),
        offset_before=offset_text(segment.before),
        offset_after=offset_text(segment.offset),
        abbreviation_before=_abbreviation(name, at - _TICK),
        abbreviation_after=_abbreviation(name, at),
        dst_after=is_dst(name, at),
    )


def _next(name: str, instant: datetime) -> Transition | None:
    """The first change after an instant. Looked for by daily samples; no zone has undone a change within a day."""
    rules, last = zone(name), min(max(_LAST_TABLED, instant.year + 2), LAST_YEAR)
    here = at = instant.replace(tzinfo=UTC)
    offset = here.astimezone(rules).utcoffset()
    while at.year <= last and (at + _DAY).astimezone(rules).utcoffset() == offset:
        at += _DAY
    for year in range(at.year, min(at.year + 1, last) + 1):
        for found in transitions(name, year):
            if found.at > here:
                return found
    return None


def _previous(name: str, instant: datetime) -> Transition | None:
    """The last change up to an instant, looked for likewise."""
    rules = zone(name)
    here = at = instant.replace(tzinfo=UTC)
    offset = here.astimezone(rules).utcoffset()
    while at.year >= FIRST_YEAR and (at - _DAY).astimezone(rules).utcoffset() == offset:
        at -= _DAY
    for year in range(at.year, max(at.year - 1, FIRST_YEAR) - 1, -1):
        if year < FIRST_YEAR:
            break
        for found in reversed(transitions(name, year)):
            if found.at <= here:
                return found
    return None


@zonedata.of_zone_data
@lru_cache(maxsize=1)
def _countries() -> dict[str, tuple[str, ...]]:
    """Zone -> the countries that use it, from the database's own tables."""
    found: dict[str, set[str]] = {}
    for table in ("zone1970.tab", "zone.tab"):
        for line in zonedata.text(table).splitlines():
            if line and not line.startswith("#"):
                codes, _, name = line.split("\t")[:3]
                found.setdefault(name, set()).update(codes.split(","))
    return {
        name: tuple(sorted(codes)) for name, codes in found.items() if name not in links() or canonical(name) == name
    }
