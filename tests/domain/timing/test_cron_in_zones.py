"""Cron in zones, over two years: held against a scan that knows only fields and folds, and against cronsim."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from cronsim import CronSim, CronSimError

from horae.domain.timing import cron
from horae.domain.timing.series import Found, WallSource
from horae.domain.timing.values import GapPolicy, OverlapPolicy
from horae.domain.timing.zones import segment_at
from tests.domain.timing.cron_scan import scan
from tests.domain.timing.oracles.crons import ZONES, by_cronsim, expressions, scanned, windows

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
    slots: int = 0
    with_cronsim: int = 0
    not_in_cronsim: set[str] = field(default_factory=set)
    stalled: int = 0
    wrong: list[str] = field(default_factory=list)

    def report(self) -> str:
        """One sentence."""
        return (
            f"{self.pairs:,} pairs of expression and zone, {self.slots:,} slots of two years against the scan, "
            f"{self.with_cronsim:,} against cronsim, which refuses {len(self.not_in_cronsim)} of the expressions "
            f"and stood still in {self.stalled} stretches: {len(self.wrong)} differ."
        )


def _walked(rule: cron.Cron, zone: str, first: date, last: date, gap: GapPolicy, overlap: OverlapPolicy) -> list[Found]:
    source = WallSource(rule, zone, gap, overlap, reports=False)
    at = datetime(first.year, first.month, first.day) - timedelta(days=2)  # noqa: DTZ001 - naive UTC
    found = []
    while (slot := source.later(at)) is not None and slot.local.date() <= last + timedelta(days=1):
        if first <= slot.local.date() <= last:
            found.append(slot)
        at = slot.due
    return found


def _compare(pairs: Iterable[tuple[str, str]], policies: random.Random) -> Tally:
    tally = Tally()
    for expression, zone in pairs:
        rule = cron.parse(expression)
        tally.pairs += 1
        gap: GapPolicy = "skip" if rule.follows_clock else policies.choice(["shift", "shift", "skip"])
        overlap: OverlapPolicy = "both" if rule.follows_clock else policies.choice(["first", "first", "second", "both"])
        for first, last in windows(expression, zone):
            wanted = scanned(scan(expression, first, last), zone, gap, overlap)
            found = [slot.due.replace(tzinfo=UTC) for slot in _walked(rule, zone, first, last, gap, overlap)]
            tally.slots += len(wanted)
            if found != wanted:
                odd = sorted(set(found) ^ set(wanted))[:3]
                tally.wrong.append(f"{expression} in {zone}, {gap}, {overlap}: {[str(at) for at in odd]}")
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
    """More than a hundred expressions over two years, each in one zone, under policies drawn by seed."""
    draw = random.Random(7)
    tally = _compare([(text, draw.choice(ZONES)) for text in expressions()[::3]], draw)
    record_property("report", tally.report())
    assert tally.wrong == []
    assert tally.pairs >= 100


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.covers("REC-04", "TZ-29", "REC-29")
def test_every_expression_in_every_zone(record_property: Callable[[str, object], None]) -> None:
    """The same in each of fourteen zones, among them 30 and 45 minutes, midnight gaps and Ramadan."""
    tally = _compare([(text, zone) for text in expressions() for zone in ZONES], random.Random(11))
    record_property("report", tally.report())
    assert tally.wrong == []
    assert tally.pairs >= 300 * 12


def test_expressions_of_every_kind_are_compared() -> None:
    """The list holds seconds, lists, steps, wrapped ranges, names and every mark of the day fields."""
    text = "\n".join(expressions())
    assert all(
        re.search(pattern, text) for pattern in (r"LW", r"\d+W", r"#", r"\dL", r"L-\d", r"\?", r"22-2", r"MON-FRI")
    )
    assert sum(len(one.split()) == 6 for one in expressions()) >= 10
