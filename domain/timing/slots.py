"""The slots of a series with their plans: walked, numbered, spread by jitter, and what is passed over between them.

Place in the flow: `series` and `calendared` know the slots of one rule, `parts` which rule a slot belongs to;
`planning` asks here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from heapq import merge
from itertools import chain, dropwhile
from operator import itemgetter

from horae.domain.ids import occurrence_id
from horae.domain.timing import moments
from horae.domain.timing.best import Choice
from horae.domain.timing.calendared import CalendarSeries, Moved, calendar_id, series_on
from horae.domain.timing.opendays import BUILT_IN
from horae.domain.timing.parts import Part, parts_of, place_of
from horae.domain.timing.reasons import reasons_for, skip_reason
from horae.domain.timing.series import Found, Series, Source, follows_clock
from horae.domain.timing.values import (
    Branch,
    Context,
    Every,
    Next,
    Plan,
    Reason,
    SkippedSlot,
    Slot,
    Timing,
    ZoneSource,
)
from horae.domain.timing.zones import tzdata_version

_NO_TIME = timedelta(0)
_TICK = timedelta(microseconds=1)
_Slots = Iterator[tuple[Found, int | None]]
_Planned = Iterator[tuple[datetime, Next]]


def lifted(rule: Every) -> timedelta:
    """By how much a slot may go out later than its rule says."""
    return (rule.jitter or _NO_TIME) + (rule.shifted_by or _NO_TIME)


def series_in(part: Part, ctx: Context) -> Series | CalendarSeries:
    """The slots of a part's rule, its bounds left aside."""
    return series_on(part.rule, part.zone, ctx.calendar or BUILT_IN)


def behind(timing: Every, current: Next, ctx: Context) -> Iterator[Next]:
    """Planned slots strictly after `current` in the series, exceptions left out."""
    parts = parts_of(timing, ctx)
    place = place_of(parts, current.slot)
    series = series_in(parts[place], ctx)
    at = series.source.nominal(current.slot.local, current.slot.fold)
    if at <= series.begin:
        series = _promised(parts[place], series, current.slot)
    turned = _are_turned(parts)

    def within(each: int) -> _Slots:
        if each == place:
            return _within(parts, each, at, ctx, current.number, series)
        if not turned:
            return _within(parts, each, None, ctx)
        # Of two that meet the one of the earlier rule comes first.
        return _within(parts, each, at if each < place else at - _TICK, ctx)

    ways = (_planned(parts, each, within(each), ctx) for each in range(0 if turned else place, len(parts)))
    yield from _in_order(ways, turned=turned)


def coming(timing: Every, instant: datetime, ctx: Context) -> Iterator[Next]:
    """Planned slots due after an instant, in the series' order; jitter may lift earlier slots past the instant."""
    parts = parts_of(timing, ctx)
    ways: list[_Planned] = []
    for place, part in enumerate(parts):
        at = moments.utc(instant) - lifted(part.rule)
        planned = _planned(parts, place, _within(parts, place, at, ctx), ctx)
        ways.append(dropwhile(lambda each: each[1].due_at <= instant, planned))
    yield from _in_order(ways, turned=_are_turned(parts))


def anew(timing: Every, current: Next, ctx: Context) -> Iterator[Next]:
    """Planned slots from where a series stands on, now that its zone or calendar has changed: see `planning.anew`."""
    parts = parts_of(timing, ctx)
    place = place_of(parts, current.slot)
    part = parts[place]
    if follows_clock(part.rule):
        yield from coming(timing, ctx.now, ctx)
        return
    series = series_in(part, ctx)
    own = series.source.nominal(current.slot.local, current.slot.fold)
    # Calendars turn the order of slots round, but only within the day on which these go out.
    at, number = min(own - timedelta(days=2), moments.utc(ctx.now) - lifted(part.rule)), None
    promised = _promised(part, series, current.slot)
    if promised is not series:
        # What lies before it is not to come.
        at, number = own - _TICK, None if current.number is None else current.number - 1
    turned = _are_turned(parts)

    def within(each: int) -> _Slots:
        if each == place:
            return _within(parts, each, at, ctx, number, promised)
        return _within(parts, each, at if each < place else None, ctx)

    ways = (_planned(parts, each, within(each), ctx) for each in range(0 if turned else place, len(parts)))
    for planned in _in_order(ways, turned=turned):
        if planned.due_at > ctx.now or planned.slot.local >= current.slot.local:
            yield planned


def _are_turned(parts: list[Part]) -> bool:
    """May slots of one part go out behind those of the next, because a calendar moves them?"""
    return len(parts) > 1 and any(part.is_moved for part in parts)


def _in_order(ways: Iterable[_Planned], *, turned: bool) -> Iterator[Next]:
    """The slots of all parts: part after part, or by their instants where those of two parts may be turned round."""
    ordered = merge(*ways, key=itemgetter(0)) if turned else chain.from_iterable(ways)
    for _, planned in ordered:
        yield planned


def _promised(part: Part, series: Series | CalendarSeries, slot: Slot) -> Series | CalendarSeries:
    """The series with what it had named: a slot at which it stands may lie before the moment at which it was accepted,
    by another zone than the one by which it was named. Those that lie between were named as well."""
    if part.rule.starts_at is not None or series.source.nominal(slot.local, slot.fold) > series.begin:
        return series
    return series.reaching(slot.local, slot.fold)


def _planned(parts: list[Part], place: int, slots: _Slots, ctx: Context) -> _Planned:
    """With the instant (naive UTC) that jitter and shifts begin from."""
    part = parts[place]
    for found, number in slots:
        if not is_exception(found, ctx):
            yield found.due, plan(part.rule, found, number, ctx, part.zone, part.zone_source)


def _within(
    parts: list[Part],
    place: int,
    at: datetime | None,
    ctx: Context,
    number: int | None = None,
    series: Series | CalendarSeries | None = None,
) -> _Slots:
    """The slots of a part after an instant (None: from its beginning on), numbered where its rule counts."""
    part = parts[place]
    series = series or series_in(part, ctx)
    if part.since is not None:
        floor = part.floor(series.source, parts[place - 1])
        if at is None or at < floor:
            at, number = floor, None
    assert at is not None
    walk = _walk(series, at, number)
    return walk if len(parts) == 1 else _own(parts, place, walk, series.source)


def _own(parts: list[Part], place: int, walk: _Slots, source: Source) -> _Slots:
    """Of the slots of a part's rule those that are the part's."""
    part = parts[place]
    for found, ordinal in walk:
        slot = Slot(local=found.local, fold=found.fold)
        if part.is_over(slot, found.due, source):
            return
        if place_of(parts, slot) == place and (part.after is None or found.due > part.after):
            yield found, ordinal


def _walk(series: Series | CalendarSeries, at: datetime, number: int | None = None) -> _Slots:
    """Slots after an instant, numbered where the series counts; `number` is that of the slot at `at`, if known."""
    if series.count is not None and number is None:
        numbered = series.numbered(at)
        if numbered is None:
            return
        yield numbered
        at, number = numbered[0].due, numbered[1]
    while (found := series.later(at)) is not None:
        if series.count is not None and number is not None:
            number += 1
            if number > series.count:
                return
        yield found, number if series.count is not None else None
        at = found.due


def is_exception(found: Found, ctx: Context) -> bool:
    """Was the slot taken out by hand?"""
    return bool(ctx.exceptions) and Slot(local=found.local, fold=found.fold) in ctx.exceptions


def plan(timing: Timing, found: Found, number: int | None, ctx: Context, zone: str, source: ZoneSource) -> Next:
    """A slot with its due instant and the reasons for it."""
    jitter = _NO_TIME
    if isinstance(timing, Every) and timing.jitter is not None:
        jitter = _jitter(timing.jitter, ctx, found)
    choice = None if isinstance(timing, Every) else moments.choice_of(timing, ctx, zone)
    calendar = (ctx.calendar or BUILT_IN).label if calendar_id(timing) is not None else None
    reasons = reasons_for(timing, found, zone, source, jitter, choice)
    make = _plan if jitter or choice is not None or not _is_usual(found) else _usual_plan
    made = make(zone, source, tzdata_version(), found.branch, calendar, reasons, jitter.total_seconds(), choice)
    due_at = found.due.replace(tzinfo=UTC) + jitter + (timing.shifted_by or _NO_TIME)
    return Next(slot=Slot(local=found.local, fold=found.fold), number=number, due_at=due_at, plan=made)


def _is_usual(found: Found) -> bool:
    """Does nothing of how the slot came to its instant say which slot it is?"""
    return found.branch == "normal" and found.merged is None and not isinstance(found, Moved)


def _plan(
    zone: str,
    source: ZoneSource,
    tzdata: str,
    branch: Branch,
    calendar: str | None,
    reasons: tuple[Reason, ...],
    jitter_s: float,
    choice: Choice | None,
) -> Plan:
    return Plan(
        zone=zone,
        zone_source=source,
        tzdata=tzdata,
        branch=branch,
        calendar=calendar,
        jitter_s=jitter_s,
        reasons=reasons,
        choice=choice,
    )


#: Nearly all slots of a zone have the same plan, which is immutable: making it is a tenth of what a slot costs.
_usual_plan = lru_cache(maxsize=4096)(_plan)


def _jitter(widest: timedelta, ctx: Context, found: Found) -> timedelta:
    """From nothing up to `widest`, in whole milliseconds: a hash of the occurrence, the same whenever it is asked."""
    identity = occurrence_id(ctx.schedule_id, found.local, found.fold)
    drawn = int.from_bytes(blake2b(identity.bytes, digest_size=8, person=b"jitter").digest(), "big")
    return timedelta(milliseconds=drawn * (widest // timedelta(milliseconds=1)) >> 64)


def passed_over(timing: Every, base: datetime, slots: list[Next], count: int, ctx: Context) -> list[SkippedSlot]:
    """What lies between `base` and the last slot shown but is not sent: client's exceptions, gaps, closed days."""
    parts = parts_of(timing, ctx)
    last = place_of(parts, slots[-1].slot) if slots and len(slots) == count else len(parts) - 1
    passed: list[SkippedSlot] = []
    for place, part in enumerate(parts[: last + 1]):
        own = slots if len(parts) == 1 else [slot for slot in slots if place_of(parts, slot.slot) == place]
        series = series_in(part, ctx)
        start = max(moments.utc(base) - (part.rule.shifted_by or _NO_TIME), series.begin)
        if part.since is not None:
            start = max(start, part.floor(series.source, parts[place - 1]))
        end = series.end if len(slots) < count else None
        if place < last and part.until is not None:
            end = min(filter(None, (end, series.source.nominal(part.until.local, part.until.fold))))
        if end is None and own:
            end = series.source.nominal(own[-1].slot.local, own[-1].slot.fold)
        found = _passed_in(parts, place, (start, end), ctx)
        passed += found if len(parts) == 1 else [each for each in found if place_of(parts, each.slot) == place]
    return passed


def _passed_in(
    parts: list[Part], place: int, stretch: tuple[datetime, datetime | None], ctx: Context
) -> list[SkippedSlot]:
    part, (start, end) = parts[place], stretch
    series, zone = series_in(part, ctx), part.zone
    passed: list[tuple[datetime, SkippedSlot]] = []
    # Jitter may lift slots past the start, so the first to come is asked for as if nothing were skipped.
    bare = replace(ctx, exceptions=frozenset())
    coming_ = next(_first_from(part, start, bare), None) if ctx.exceptions else None
    for skipped in ctx.exceptions if coming_ is not None else ():
        at = series.source.nominal(skipped.local, skipped.fold)
        begun = coming_ is not None and at >= series.source.nominal(coming_.slot.local, coming_.slot.fold)
        if begun and (end is None or at <= end) and series.has(skipped.local, skipped.fold) is not None:
            passed.append((at, SkippedSlot(slot=skipped, reason=skip_reason("skipped", skipped.local, zone))))
    if end is not None:
        code = "gap_skipped" if part.rule.gap == "skip" else "merged"
        passed += [
            (at, SkippedSlot(slot=Slot(local=local), reason=skip_reason(code, local, zone)))
            for local, at in series.source.dropped(start, end)
        ]
        if isinstance(series, CalendarSeries):
            passed += [
                (at, SkippedSlot(slot=Slot(local=local, fold=fold), reason=why))
                for at, local, fold, why in series.removed(start, end)
            ]
    return [skipped for _, skipped in sorted(passed, key=lambda pair: (pair[0], pair[1].slot.local))]


def _first_from(part: Part, start: datetime, ctx: Context) -> Iterator[Next]:
    """Planned slots of a part's rule that would be due after an instant (naive UTC), if it were not shifted."""
    instant = start.replace(tzinfo=UTC) + (part.rule.shifted_by or _NO_TIME)
    for found, number in _walk(series_in(part, ctx), start - (part.rule.jitter or _NO_TIME)):
        planned = plan(part.rule, found, number, ctx, part.zone, part.zone_source)
        if planned.due_at > instant:
            yield planned
