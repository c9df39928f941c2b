"""Cron in zones, over two years: held against a scan that knows only fields and folds, and against cronsim."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest

import pytest
from cronsim import CronSim, CronSimError

from horae.domain.timing import cron
from horae.domain.timing.series import Found, WallSource
from horae.domain.timing.values import GapPolicy, OverlapPolicy
from horae.domain.timing.zones import segment_at
from tests.domain.timing.cron_scan import scan
from tests.domain.timing.oracles.crons import FEW, FIRST, LAST, MOST, ZONES, by_cronsim, expressions, scanned, windows

#: cronsim 2.8 on rules that follow the clock: where the clock changes by half an hour, or at a quarter to an hour, its
#: steps of an hour pass what lies between; a midnight that a gap swallows it makes up, or stands still there.
_CRONSIM_ERRS = {
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Santiago",
    "America/Havana",
    "Asia/Gaza",
}
_MACRO = {"@hourly": "0 * * * *", "@daily": "0 0 * * *"}


@dataclass
class Tally:
    """How much was compared, and what was not the same."""

    pairs: int = 0
    whole: int = 0
    slots: int = 0
    with_cronsim: int = 0
    not_in_cronsim: set[str] = field(default_factory=set)
    stalled: int = 0
    wrong: list[str] = field(default_factory=list)

    def report(self) -> str:
        """One sentence."""
        return (
            f"{self.pairs:,} pairs of expression and zone, {self.whole:,} of them over two years and the others around "
            f"clock changes: {self.slots:,} slots against the scan, {self.with_cronsim:,} against cronsim, which "
            f"refuses {len(self.not_in_cronsim)} of the expressions and stood still in {self.stalled} stretches: "
            f"{len(self.wrong)} differ."
        )


def _walked(
    rule: cron.Cron, zone: str, first: date, last: date, gap: GapPolicy, overlap: OverlapPolicy
) -> Iterator[Found]:
    source = WallSource(rule, zone, gap, overlap, reports=False)
    begin, end = datetime.combine(first, time()), datetime.combine(last, time()) + timedelta(days=1)
    at = begin - timedelta(days=2)  # naive UTC
    while (slot := source.later(at)) is not None and slot.local < end + timedelta(days=1):
        if begin <= slot.local < end:
            yield slot
        at = slot.due


def _compare(pairs: Iterable[tuple[str, str]], policies: random.Random, most: int) -> Tally:
    """`most`: see `windows`."""
    tally = Tally()
    for expression, zone in pairs:
        rule = cron.parse(expression)
        stretches = windows(expression, zone, most)
        tally.pairs += 1
        tally.whole += stretches == [(FIRST, LAST)]
        gap: GapPolicy = "skip" if rule.follows_clock else policies.choice(["shift", "shift", "skip"])
        overlap: OverlapPolicy = "both" if rule.follows_clock else policies.choice(["first", "first", "second", "both"])
        for first, last in stretches:
            wanted = scanned(scan(expression, first, last), zone, gap, overlap)
            tally.slots += len(wanted)
            found = (slot.due for slot in _walked(rule, zone, first, last, gap, overlap))
            odd = next(((here, there) for here, there in zip_longest(found, wanted) if here != there), None)
            if odd is not None:
                tally.wrong.append(f"{expression} in {zone}, {gap}, {overlap}: {odd[0]} is not {odd[1]}")
        for first, last in windows(expression, zone, FEW):
            _with_cronsim(expression, rule, zone, first, last, tally)
    return tally


def _with_cronsim(expression: str, rule: cron.Cron, zone: str, first: date, last: date, tally: Tally) -> None:
    """What cronsim does at clock changes is Debian's: said in Horae's terms, the two are to agree.

    Times that a gap swallows run when it ends, not a gap's length later; rules whose minute or hour begins with `*`,
    and all with seconds, follow the clock, where Horae goes by the hour field alone.
    """
    text = _MACRO.get(expression, expression)
    try:
        CronSim(text, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError:
        tally.not_in_cronsim.add(expression)
        return
    fields = text.split()
    by_clock = len(fields) == 6 or fields[0].startswith("*") or fields[1].startswith("*")
    found = _walked(rule, zone, first, last, "skip" if by_clock else "shift", "both" if by_clock else "first")
    if by_clock and zone in _CRONSIM_ERRS:
        return
    ours = sorted({at.replace(tzinfo=UTC) for slot in found for at in _as_debian(slot, zone)})
    theirs = by_cronsim(text, zone, first, last)
    if theirs is None:
        tally.stalled += 1
        return
    tally.with_cronsim += len(theirs)
    if ours != theirs:
        odd = sorted(set(ours) ^ set(theirs))[:3]
        tally.wrong.append(f"cronsim: {expression} in {zone}: {[str(at) for at in odd]}")


def _as_debian(slot: Found, zone: str) -> set[datetime]:
    gap_ends = segment_at(slot.due, zone).start
    if slot.branch == "gap_shifted":
        return {gap_ends}
    return {slot.due} if slot.merged is None else {slot.due, gap_ends}


@pytest.mark.covers("REC-04", "TZ-29", "REC-29")
def test_a_third_of_the_expressions_each_in_a_zone_drawn_for_it(
    record_property: Callable[[str, object], None],
) -> None:
    """More than a hundred expressions, each in one zone, under policies drawn by seed.

    Over two years those that name two times a day and fewer; of the others, three days beside each clock change.
    """
    draw = random.Random(7)
    tally = _compare([(text, draw.choice(ZONES)) for text in expressions()[::3]], draw, FEW)
    record_property("report", tally.report())
    assert tally.wrong == []
    assert tally.pairs >= 100


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.covers("REC-04", "TZ-29", "REC-29")
def test_every_expression_in_every_zone(record_property: Callable[[str, object], None]) -> None:
    """Every slot of two years in each of fourteen zones, among them 30 and 45 minutes, midnight gaps and Ramadan.

    Expressions of more than a hundred times a day only beside clock changes; with cronsim those of more than two.
    """
    tally = _compare([(text, zone) for text in expressions() for zone in ZONES], random.Random(11), MOST)
    record_property("report", tally.report())
    assert tally.wrong == []
    assert tally.whole >= 300 * 12


def test_expressions_of_every_kind_are_compared() -> None:
    """The list holds seconds, lists, steps, wrapped ranges, names and every mark of the day fields."""
    text = "\n".join(expressions())
    assert all(
        re.search(pattern, text) for pattern in (r"LW", r"\d+W", r"#", r"\dL", r"L-\d", r"\?", r"22-2", r"MON-FRI")
    )
    assert sum(len(one.split()) == 6 for one in expressions()) >= 10
