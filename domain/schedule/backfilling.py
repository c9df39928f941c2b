"""Slots of the past by what was in force when they came due: what a backfill may send, slot by slot.

Place in the flow: the handler reads the histories of schedule, recipient and calendar; here they become slots. Whether
anything has happened to a slot is its occurrence's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from horae.domain import timing as t
from horae.domain.errors import Invalid
from horae.domain.schedule.events import Status
from horae.domain.schedule.judging import nominal
from horae.domain.schedule.state import Schedule

#: One backfill looks at no more slots than a leap year has days: they are one command, stored at once or not at all.
MAX_SLOTS = 366
_TICK = timedelta(microseconds=1)

Stood = Literal["due", "paused", "skipped", "moved"]
"""How a slot stood when it came due: the series would have sent it, or why it would not."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The schedule as it was from `since` on, with what its slots were reckoned by then: zones and calendar."""

    since: datetime
    state: Schedule
    context: t.Context


@dataclass(frozen=True, slots=True)
class PastSlot:
    """A slot with the instant that it had, the version of the schedule that it was due under, and how that stood."""

    at: t.Next
    version: int
    stood: Stood


def past_slots(begin: datetime, end: datetime, in_force: Sequence[InForce], limit: int = MAX_SLOTS) -> list[PastSlot]:
    """The slots that were due from `begin` on and before `end`, each by the timing that was in force at its instant.

    `in_force`: ascending, from the schedule's creation on; what lies before that was never in force. A slot that two
    timings have in turn comes once, as the first of them had it. Raises `Invalid` if there are more than `limit`.
    """
    found: dict[t.Slot, PastSlot] = {}
    bounds = [*(each.since for each in in_force), end]
    for each, (since, until) in zip(in_force, pairwise(bounds), strict=True):
        for at in _due_between(max(begin, since), min(end, until), each):
            found.setdefault(at.slot, PastSlot(at, each.state.version, _stood(at.slot, each.state)))
            if len(found) > limit:
                raise Invalid(
                    f"More than {limit} slots were due in that window.",
                    field="to",
                    value=end.isoformat(),
                    hint=f"The next one was due at {at.due_at.isoformat()}: backfill up to there, then from there on.",
                )
    return list(found.values())


def _due_between(start: datetime, stop: datetime, each: InForce) -> Iterator[t.Next]:
    """Slots due from `start` on and before `stop`, skipped ones too; none of a timing that does not recur."""
    if start >= stop or not each.state.recurring:
        return
    context = replace(each.context, exceptions=frozenset())
    for at in t.coming(each.state.timing, start - _TICK, context):
        if nominal(at) >= stop:
            return
        # Jitter turns round the order of instants.
        if start <= at.due_at < stop:
            yield at


def _stood(slot: t.Slot, state: Schedule) -> Stood:
    own = state.changes.get(slot)
    if own is not None and own.at is not None:
        return "moved"
    if slot in state.exceptions:
        return "skipped"
    return "paused" if state.status is Status.PAUSED else "due"
