"""Recurring timings: a rule's naive local times laid over the clock changes of a zone.

Time is walked stretch by stretch of constant offset (`zones.segment_at`). Inside a stretch local time runs evenly, so a
rule's next local time is the next slot; what a gap swallowed reappears at the beginning of the stretch after it, what
an overlap repeats lies at the end of one stretch and the beginning of the next. Slots therefore come strictly in order
of their instants, whatever the policies. All instants here are naive UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from horae.domain.timing import cron, ruleset
from horae.domain.timing.interval import ELAPSED_UNITS, CalendarWalk
from horae.domain.timing.ordinals import Ordinals
from horae.domain.timing.values import LAST_YEAR, Branch, Every, GapPolicy, OverlapPolicy
from horae.domain.timing.walker import SEARCH_YEARS, Rule
from horae.domain.timing.zonedata import of_zone_data
from horae.domain.timing.zones import Segment, gap_at, segment_at, to_local, to_utc

_TICK = timedelta(microseconds=1)
_NO_TIME = timedelta(0)
_ONE_DAY = timedelta(days=1)
_JUMP = timedelta(days=3)  # more than any offset and any gap
_SEARCH = timedelta(days=SEARCH_YEARS * 366)


@dataclass(frozen=True, slots=True)
class Found:
    """A slot met on the way: its identity (`local`, `fold`), its instant, and how it came to it."""

    local: datetime
    fold: int
    due: datetime
    branch: Branch = "normal"
    merged: datetime | None = None
    """The skipped local time that was moved onto this slot."""


class Source(Protocol):
    """Slots without beginning or end."""

    def later(self, instant: datetime) -> Found | None:
        """The first slot after an instant."""
        ...

    def nominal(self, local: datetime, fold: int) -> datetime:
        """The instant that a slot has in this zone."""
        ...

    def dropped(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Local times of the rule that gaps between two instants (included) swallowed, with the gaps' instants."""
        ...


class WallSource:
    """A rule in local time."""

    def __init__(self, rule: Rule, zone: str, gap: GapPolicy, overlap: OverlapPolicy, *, reports: bool) -> None:
        self._rule, self._zone, self._gap, self._overlap, self._reports = rule, zone, gap, overlap, reports
        self._between: Callable[[datetime, datetime], int] | None = getattr(rule, "between", None)

    def later(self, instant: datetime) -> Found | None:
        """See `Source.later`."""
        segment = segment_at(instant, self._zone)
        cursor = instant + segment.offset
        limit = instant + _SEARCH
        known = _Memo(self._rule)
        while segment.start <= limit and segment.end.year <= LAST_YEAR + 1:
            found, exhausted = self._within(segment, cursor, known)
            if found is not None or exhausted:
                return found
            end, ahead = segment.end, known.ahead
            if ahead is not None and ahead.year > LAST_YEAR + 1:
                return None
            repeats = segment.after < segment.offset  # then the next stretch begins with times that lie behind us
            if ahead is not None and ahead - end > _JUMP and not repeats:  # a rare rule: nothing lies in between
                at = ahead - _JUMP
                segment = segment_at(at, self._zone)
                cursor = at + segment.offset
                continue
            segment = segment_at(end, self._zone)
            cursor = end + segment.offset - _TICK
        return None

    def _within(self, segment: Segment, cursor: datetime, known: _Memo) -> tuple[Found | None, bool]:
        """The first slot after a local `cursor` in this stretch; and whether the rule has come to its end."""
        start, end, offset, before, after = segment
        begin_after = cursor
        if before > offset and self._overlap == "first":
            begin_after = max(cursor, start + before - _TICK)
        stop = end + (after if after < offset and self._overlap == "second" else offset)
        own = known.next(begin_after)
        exhausted = own is None
        if own is not None and own >= stop:
            own = None
        if before < offset and self._gap == "shift" and cursor < start + offset + (offset - before):
            lost = self._rule.next(cursor - (offset - before))
            if lost is not None and lost < start + offset:
                moved = lost + (offset - before)
                if own is None or moved < own:
                    return Found(lost, 0, moved - offset, "gap_shifted"), False
                if moved == own:
                    return self._own(segment, own, lost), False
        return (self._own(segment, own, None) if own is not None else None), exhausted

    @staticmethod
    def _own(segment: Segment, local: datetime, merged: datetime | None) -> Found:
        start, end, offset, before, after = segment
        due = local - offset
        if before > offset and local < start + before:
            return Found(local, 1, due, "overlap_second", merged)
        if after < offset and local >= end + after:
            return Found(local, 0, due, "overlap_first", merged)
        return Found(local, 0, due, "normal", merged)

    def leap(self, instant: datetime, before: datetime) -> tuple[datetime, int] | None:
        """See `ordinals.Leap`: as far as the stretch goes in which no clock change has a say, where the rule counts."""
        if self._between is None:
            return None
        start, end, offset, earlier, later = segment_at(instant, self._zone)
        until = min(before, end - max(offset - later, _NO_TIME)) - _TICK
        if until <= instant or instant < start + abs(offset - earlier):
            return None
        return until, self._between(instant + offset, until + offset)

    def nominal(self, local: datetime, fold: int) -> datetime:
        """See `Source.nominal`."""
        return to_utc(local, fold, self._zone)

    def dropped(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """See `Source.dropped`: what a skipping series leaves out, and what a shifting one merges into another slot."""
        lost: list[tuple[datetime, datetime]] = []
        if not self._reports:
            return lost
        segment = segment_at(start, self._zone)
        while segment.end <= end:
            at = segment.end
            segment = segment_at(at, self._zone)
            if segment.start == at and segment.before < segment.offset:
                local = self._rule.next(at + segment.before - _TICK)
                while local is not None and local < at + segment.offset:
                    if self._gap == "skip" or self._is_merged(local, segment):
                        lost.append((local, at))
                    local = self._rule.next(local)
        return lost

    def _is_merged(self, local: datetime, segment: Segment) -> bool:
        moved = local + (segment.offset - segment.before)
        return self._rule.next(moved - _TICK) == moved


class ElapsedSource:
    """Every so many hours or minutes on the running clock, counted from an origin."""

    def __init__(self, origin: datetime, step: timedelta, zone: str) -> None:
        self.origin, self.step, self._zone = origin, step, zone

    def later(self, instant: datetime) -> Found | None:
        """See `Source.later`."""
        try:
            due = self.origin + max((instant - self.origin) // self.step + 1, 0) * self.step
        except OverflowError:
            return None  # past the end of the calendar
        if due.year > LAST_YEAR + 1:
            return None
        local, fold = to_local(due, self._zone)
        branch: Branch = "normal"
        if gap_at(local, self._zone) < timedelta(0):
            branch = "overlap_second" if fold else "overlap_first"
        return Found(local, fold, due, branch)

    def nominal(self, local: datetime, fold: int) -> datetime:
        """See `Source.nominal`."""
        return to_utc(local, fold, self._zone)

    def dropped(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:  # noqa: ARG002
        """Nothing: elapsed time has no gaps."""
        return []


@dataclass(frozen=True, slots=True)
class Series:
    """The slots of one recurring timing in one zone: a source between its beginning, its end and its count."""

    source: Source
    begin: datetime
    """Slots are later than this (an included start has a tick taken off)."""
    end: datetime | None
    """Slots are no later than this."""
    count: int | None
    ends: ruleset.Union | None = None
    """The recurrence set, where rules of it end at instants of their own."""
    ordinals: Ordinals | None = None
    """Where slots are counted: what is remembered of their numbers."""

    def later(self, instant: datetime) -> Found | None:
        """The first slot after an instant, the count left aside."""
        found = self.source.later(max(instant, self.begin))
        while self.ends is not None and found is not None and found.branch != "normal":
            if self.ends.admits(found.local, found.due):
                break
            found = self.source.later(found.due)
        if found is None or found.local.year > LAST_YEAR or (self.end is not None and found.due > self.end):
            return None
        return found

    def numbered(self, instant: datetime) -> tuple[Found, int | None] | None:
        """The first slot after an instant and, where slots are counted, its ordinal from 1."""
        found = self.later(instant)
        if found is None or self.count is None:
            return (found, None) if found is not None else None
        number = self._number(found)
        return (found, number) if number <= self.count else None

    def _number(self, wanted: Found) -> int:
        if isinstance(self.source, ElapsedSource):
            begun = (self.begin - self.source.origin) // self.source.step
            return (wanted.due - self.source.origin) // self.source.step - max(begun, -1)
        assert self.ordinals is not None, "only counted series have ordinals"
        assert self.count is not None, "only counted series have ordinals"
        leap = self.source.leap if isinstance(self.source, WallSource) and self.ends is None else None
        return self.ordinals.of(wanted.due, self.later, self.count, leap)

    def reaching(self, local: datetime, fold: int) -> Series:
        """The series as far back as this slot, which it had before a move put it before its beginning."""
        begin = self.source.nominal(local, fold) - _TICK
        if begin >= self.begin:
            return self
        return replace(self, begin=begin, ordinals=None if self.count is None else Ordinals(begin))

    def has(self, local: datetime, fold: int) -> Found | None:
        """The slot with that identity, the count left aside."""
        found = self.later(self.source.nominal(local, fold) - _TICK)
        return found if found is not None and found.local == local and found.fold == fold else None


def follows_clock(every: Every) -> bool:
    """True for rules that fire by the running clock: nothing is moved through a gap, both hours of an overlap fire."""
    if every.cron is not None:
        return cron.parse(every.cron).follows_clock
    if every.rrule is not None:
        return ruleset.parse(every.rrule).follows_clock
    return every.interval is not None and every.interval.unit in ELAPSED_UNITS


def start_of(every: Every) -> datetime:
    """The local time from which phases count: `starts_at`, else the anchor. A date begins at midnight."""
    if every.starts_at is not None:
        return _at_midnight(every.starts_at)
    assert every.anchor is not None, "normalised timings have a start"
    return every.anchor.local


def rule_of(every: Every, zone: str) -> Rule:
    """The local times of a rule that is not elapsed; `zone` reads the instants that a recurrence set names."""
    if every.cron is not None:
        return cron.parse(every.cron)
    if every.rrule is not None:
        return ruleset.walk(ruleset.parse(every.rrule), start_of(every), zone)
    assert every.interval is not None
    return CalendarWalk(every.interval, start_of(every))


@of_zone_data
@lru_cache(maxsize=4096)
def series_of(every: Every, zone: str) -> Series:
    """The series of a normalised timing in a zone."""
    begin, end, count = _begin(every, zone), _end(every, zone), every.count
    if every.rrule is not None and count is None:
        single = ruleset.parse(every.rrule).single
        count = single.count if single is not None else None
    rule = rule_of(every, zone) if every.rrule is not None else None
    ends = rule if isinstance(rule, ruleset.Union) and rule.ends_by_instant else None
    ordinals = None if count is None else Ordinals(begin)
    return Series(_source(every, zone, begin), begin, end, count, ends, ordinals)


def _source(every: Every, zone: str, begin: datetime) -> Source:
    if every.interval is not None and every.interval.unit in ELAPSED_UNITS:
        origin = begin + _TICK if every.starts_at is not None else begin
        return ElapsedSource(origin, every.interval.count * ELAPSED_UNITS[every.interval.unit], zone)
    if follows_clock(every):
        return WallSource(rule_of(every, zone), zone, "skip", "both", reports=False)
    return WallSource(rule_of(every, zone), zone, every.gap or "shift", every.overlap or "first", reports=True)


def _begin(every: Every, zone: str) -> datetime:
    if every.starts_at is not None:
        return to_utc(_at_midnight(every.starts_at), 0, zone) - _TICK
    assert every.anchor is not None, "normalised timings have a start"
    # The moment of acceptance is an instant: a recipient who moves does not move it.
    accepted = to_utc(every.anchor.local, every.anchor.fold, every.anchor.zone)
    if follows_clock(every):
        return accepted
    # Where clocks are ahead of those by which it was accepted, what was to come on these may lie before that moment: it
    # was named, and is late.
    return min(accepted, to_utc(every.anchor.local, every.anchor.fold, zone))


def _end(every: Every, zone: str) -> datetime | None:
    bound = every.ends_at
    if bound is None and every.rrule is not None:
        single = ruleset.parse(every.rrule).single
        bound = single.until if single is not None else None
    if bound is None:
        return None
    if not isinstance(bound, datetime):
        return to_utc(_at_midnight(bound + _ONE_DAY), 0, zone) - _TICK
    if bound.tzinfo is not None:
        return bound.astimezone(UTC).replace(tzinfo=None)
    return to_utc(bound, 1, zone)


def _at_midnight(bound: date | datetime) -> datetime:
    return bound if isinstance(bound, datetime) else datetime(bound.year, bound.month, bound.day)  # noqa: DTZ001


class _Memo:
    """Remembers the rule's last answer: a rare rule's next time lies many stretches ahead and stays the same."""

    __slots__ = ("_asked", "_rule", "ahead")

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._asked: datetime | None = None
        self.ahead: datetime | None = None

    def next(self, local: datetime) -> datetime | None:
        asked, answer = self._asked, self.ahead
        if asked is None or local < asked or (answer is not None and local >= answer):
            self._asked, self.ahead = local, self._rule.next(local)
        return self.ahead
