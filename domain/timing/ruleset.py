"""Recurrence sets of RFC 5545: the union of several RRULE and RDATE lines, less the EXDATE lines.

One rule alone stays what it was: its COUNT and UNTIL end the series. In a set they end their own rule, before
exclusions are taken out, as the RFC has it. Dates without a time mean the start's time of day in RDATE, the whole day
in EXDATE; instants (`Z`, `TZID=`) are read on the clock of the timing's zone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from horae.domain import errors
from horae.domain.timing import rrule
from horae.domain.timing.rrule import Recurrence
from horae.domain.timing.values import FIRST_YEAR, LAST_YEAR, MAX_COUNT
from horae.domain.timing.walker import Rule
from horae.domain.timing.zonedata import of_zone_data
from horae.domain.timing.zones import to_local, to_utc, zone_names

MAX_DATES = 1000
MAX_RULES = 64  # every slot looks at each of them
_LINE = re.compile(r"(RRULE|RDATE|EXDATE|EXRULE|DTSTART)((?:;[A-Z0-9-]+=[^:;]+)*):(.*)", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?")
_FOLD = re.compile(r"\r?\n[ \t]")  # §3.1: a line that begins with a blank goes on with the one before
_TICK = timedelta(seconds=1)
_HINT = 'For example "RRULE:FREQ=WEEKLY;BYDAY=MO\\nRDATE:20261224T090000\\nEXDATE:20261228T090000".'


@dataclass(frozen=True, slots=True)
class Given:
    """One value of an RDATE or EXDATE: a date, a local time, or a time in a zone of its own (`UTC` for `Z`)."""

    value: date | datetime
    zone: str | None = None

    @property
    def in_range(self) -> bool:
        """Slots lie in these years; what is outside names none and leaves none out."""
        return FIRST_YEAR <= self.value.year <= LAST_YEAR


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What the lines say."""

    rules: tuple[Recurrence, ...]
    dates: tuple[Given, ...] = ()
    excluded: tuple[Given, ...] = ()

    @property
    def single(self) -> Recurrence | None:
        """The rule, where there is nothing else."""
        return self.rules[0] if len(self.rules) == 1 and not self.dates and not self.excluded else None

    @property
    def follows_clock(self) -> bool:
        """Hourly and finer rules fire by the running clock, through gaps and overlaps."""
        return bool(self.rules) and self.rules[0].follows_clock


def parse(text: str, field: str = "timing.rrule") -> RuleSet:
    """Read one rule, or content lines. Raises `errors.Invalid`, naming `field`, for what RFC 5545 does not allow."""
    unfolded = _FOLD.sub("", text)
    lines = [line.strip() for line in unfolded.splitlines() if line.strip()]
    if len(lines) <= 1 and not re.match(r"(RDATE|EXDATE|EXRULE|DTSTART)[:;]", text.strip(), re.IGNORECASE):
        return RuleSet((rrule.parse(unfolded, field),))
    try:
        return _parse(tuple(lines), field)
    except ValueError as problem:
        raise errors.Invalid(
            f"{text!r} is not a recurrence set: {problem}.", field=field, value=text, hint=_HINT
        ) from None


def check(given: RuleSet, text: str, field: str = "timing.rrule") -> None:
    """Refuse what no new timing may say, though lines accepted earlier are read. Raises `errors.Invalid`."""
    counts = sum(rule.count or 0 for rule in given.rules)
    if len(given.rules) > MAX_RULES or counts > MAX_COUNT:
        lines = f"it has {len(given.rules)} RRULE lines, at most {MAX_RULES} are read"
        counted = f"its COUNTs come to {counts}, together they may be {MAX_COUNT}"
        raise errors.Invalid(
            f"{text!r} is not a recurrence set: {lines if len(given.rules) > MAX_RULES else counted}.",
            field=field,
            value=text,
            hint="Say it by fewer rules, end them by UNTIL, or create several schedules.",
        )
    for one in (*given.dates, *given.excluded):
        if not one.in_range:
            problem = f"{one.value.isoformat()} is outside the years {FIRST_YEAR} to {LAST_YEAR}"
            raise errors.Invalid(f"{text!r} is not a recurrence set: {problem}.", field=field, value=text, hint=_HINT)


def endless(given: RuleSet) -> RuleSet:
    """The same without the UNTIL of its rules: does it name any date at all?"""
    return replace(given, rules=tuple(replace(rule, until=None) for rule in given.rules))


def leaves_out_start(rule: Recurrence, start: datetime, zone: str) -> bool:
    """Whether a rule that has not ended by `start`, its beginning (naive local time of `zone`), does not name it."""
    ended = rule.until is not None and _last_local(rule.until, zone) < start
    return not ended and rrule.walk(rule, start).next(start - _TICK) != start


def last_of(rule: Recurrence, start: datetime) -> datetime | None:
    """A local time behind which the rule has none, to a day; None: it has no end."""
    if rule.until is not None:
        return _last_local(rule.until, "UTC")
    if rule.count is None:
        return None
    walked, last = rrule.walk(rule, start), start
    for _ in range(rule.count):
        at = walked.next(last)
        if at is None or at.year > LAST_YEAR:
            break
        last = at
    return last


@of_zone_data
@lru_cache(maxsize=4096)
def walk(given: RuleSet, start: datetime, zone: str) -> Rule:
    """The local times of a set; `start` (naive) fills what its rules leave open, `zone` reads its instants."""
    single = given.single
    if single is not None:
        return rrule.walk(single, start)
    parts: list[Rule] = [_Ended.of(rule, start, zone) for rule in given.rules]
    untils = [_instant(rule.until) for rule in given.rules]
    dates = sorted({local_of(one, start, zone) for one in given.dates if one.in_range})
    excluded = [one for one in given.excluded if one.in_range]
    days = frozenset(one.value for one in excluded if not isinstance(one.value, datetime))
    times = frozenset(local_of(one, start, zone) for one in excluded if isinstance(one.value, datetime))
    if dates:
        parts, untils = [*parts, _Listed(dates)], [*untils, None]
    return Union(parts, days, times, untils)


class Union:
    """Every time of any part once, less what is excluded. `untils`: the instants (naive UTC) at which parts end."""

    def __init__(
        self,
        parts: list[Rule],
        days: frozenset[date],
        times: frozenset[datetime],
        untils: Sequence[datetime | None] = (),
    ) -> None:
        self._parts, self._days, self._times = [_Remembering(part) for part in parts], days, times
        self._untils = [*untils, *[None] * (len(parts) - len(untils))]
        self.ends_by_instant = any(until is not None for until in self._untils)

    def admits(self, local: datetime, due: datetime) -> bool:
        """Does any part still name this local time at the instant (naive UTC) at which it goes out?

        Around a clock change the local time alone does not tell: an end may lie between its two passings.
        """
        return any(
            (until is None or due <= until) and part.next(local - _TICK) == local
            for part, until in zip(self._parts, self._untils, strict=True)
        )

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`. A day that is left out is left at once, so the steps are as many as the EXDATEs."""
        at = local
        while True:
            coming = [found for part in self._parts if (found := part.next(at)) is not None]
            if not coming:
                return None
            found = min(coming)
            if found.date() in self._days:
                at = datetime.combine(found.date() + timedelta(days=1), datetime.min.time()) - _TICK
            elif found in self._times:
                at = found
            else:
                return found


class _Remembering:
    """A part and its last answer: while the others' times come first, its own is still the next."""

    __slots__ = ("_known", "_part")

    def __init__(self, part: Rule) -> None:
        self._part = part
        self._known: tuple[datetime, datetime] | None = None  # asked after, and answered; replaced as a whole

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`."""
        known = self._known
        if known is not None and known[0] <= local < known[1]:
            return known[1]
        found = self._part.next(local)
        if found is not None:
            self._known = (local, found)
        return found


class _Ended:
    """A rule of a set up to its own COUNT or UNTIL."""

    def __init__(self, rule: Rule, last: datetime | None, first: datetime) -> None:
        self._rule, self._last, self._before = rule, last, first - _TICK
        # Asked once, because a search in vain is the dearest: fifty years of it.
        self._never = rule.next(self._before) is None

    @classmethod
    def of(cls, rule: Recurrence, start: datetime, zone: str) -> _Ended:
        walked = rrule.walk(rule, start)
        last: datetime | None = None
        if rule.until is not None:
            last = _last_local(rule.until, zone)
        elif rule.count is not None:
            at: datetime | None = start - _TICK
            for _ in range(rule.count):
                at = walked.next(at) if at is not None and at.year <= LAST_YEAR else None
            last = at
        return cls(walked, last, start)

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`. A set's rules begin at its start: a counted one has no times before its first."""
        if self._never or (self._last is not None and local >= self._last):
            return None
        found = self._rule.next(max(local, self._before))
        return None if found is None or (self._last is not None and found > self._last) else found


class _Listed:
    """RDATE: the times themselves."""

    def __init__(self, times: list[datetime]) -> None:
        self._times = times

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`."""
        i = bisect_right(self._times, local)
        return self._times[i] if i < len(self._times) else None


def _instant(until: date | datetime | None) -> datetime | None:
    aware = isinstance(until, datetime) and until.tzinfo is not None
    return until.astimezone(UTC).replace(tzinfo=None) if isinstance(until, datetime) and aware else None


def _last_local(until: date | datetime, zone: str) -> datetime:
    if not isinstance(until, datetime):
        return datetime(until.year, until.month, until.day, 23, 59, 59)  # noqa: DTZ001
    if until.tzinfo is None:
        return until
    instant = until.astimezone(UTC).replace(tzinfo=None)
    local, fold = to_local(instant, zone)
    if fold:  # the whole first passing of the repeated hour lies before this instant
        while to_utc(local, 0, zone) != to_utc(local, 1, zone):
            local = local.replace(second=0) + timedelta(minutes=1)
        local -= _TICK
    return local


def local_of(one: Given, start: datetime, zone: str) -> datetime:
    """The local time in `zone` that a value names; a date, at the time of day of `start`."""
    if not isinstance(one.value, datetime):
        return datetime.combine(one.value, start.time())
    if one.zone is None or one.zone == zone:
        return one.value
    return to_local(to_utc(one.value, 0, one.zone), zone)[0]


@lru_cache(maxsize=4096)
def _parse(lines: tuple[str, ...], field: str) -> RuleSet:
    rules: list[Recurrence] = []
    values: dict[str, list[Given]] = {"RDATE": [], "EXDATE": []}
    for line in lines:
        match = _LINE.fullmatch(line)
        name = match[1].upper() if match else "RRULE" if line.upper().startswith("FREQ=") else ""
        if name == "RRULE":
            rules.append(rrule.parse(line, field))
        elif name == "DTSTART":
            raise ValueError("give the start in `starts_at`, not as DTSTART")
        elif name == "EXRULE":
            raise ValueError("RFC 5545 has no EXRULE any more: name the times that are left out by EXDATE")
        elif match is not None and name in values:
            values[name] += [_value(text, match[2].upper(), line) for text in match[3].upper().split(",")]
        else:
            raise ValueError(f"{line!r} is neither RRULE, RDATE nor EXDATE")
    if not rules and not values["RDATE"]:
        raise ValueError("it leaves out times but names none: RRULE or RDATE is missing")
    if len({rule.follows_clock for rule in rules}) > 1:
        raise ValueError("FREQ=HOURLY and finer follow the running clock through clock changes, the others do not")
    if max(len(found) for found in values.values()) > MAX_DATES:
        raise ValueError(f"more than {MAX_DATES} dates are given: say them by a rule")
    return RuleSet(tuple(rules), tuple(values["RDATE"]), tuple(values["EXDATE"]))


def _value(text: str, parameters: str, line: str) -> Given:
    match = _DATE.fullmatch(text.strip().partition("/")[0])  # of a period the beginning
    if match is None:
        raise ValueError(f"{text!r} is neither a date (20261224) nor a time (20261224T090000, with Z for UTC)")
    day = date(int(match[1]), int(match[2]), int(match[3]))
    if match[4] is None:
        return Given(day)
    value = datetime(day.year, day.month, day.day, int(match[4]), int(match[5]), int(match[6]))  # noqa: DTZ001
    if match[7]:
        return Given(value, "UTC")
    named = re.search(r";TZID=([^;]+)", parameters)
    if named is None:
        return Given(value)
    known = {name.upper(): name for name in zone_names()}
    if named[1].strip('"') not in known:
        written = re.search(r";TZID=([^;:]+)", line, re.IGNORECASE)
        raise ValueError(f"TZID {written[1] if written else named[1]!r} is not a zone of the IANA database")
    return Given(value, known[named[1].strip('"')])
