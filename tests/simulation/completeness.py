"""Promise 4: every slot of an active schedule has its outcome, and nothing fired that no timing has.

Place in the simulation: a part of the judge. Within each stretch between two events by which a client moves a series,
slots are dealt with in order: so of a closed stretch what was dealt with is a prefix, and of the last, open one it is
everything that was due.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.envelope import Recorded
from tests.simulation.calendar import Expected, Wish
from tests.simulation.facts import SlotKey, Story, Verdict, check, same_rule


@dataclass
class _Segment:
    """A stretch in which the series ran undisturbed, from one event of the client's to the next that moves it."""

    wish: Wish
    after: datetime
    first: int
    last: int | None = None
    open: bool = True


def _segments(story: Story) -> list[_Segment]:
    found: list[_Segment] = []
    wish, active = None, False
    for event in story.asked:
        if event.version in story.wishes:
            wish = story.wishes[event.version]
        match event.body:
            case s.ScheduleCreated() | s.ScheduleResumed():
                active, starts = True, True
            case s.ScheduleChanged():
                starts = not event.body.next_unchanged
            case s.SchedulePaused() | s.ScheduleCancelled():
                active, starts = False, True
            case _:
                starts = False
        if starts:
            if found and found[-1].open:
                found[-1].open, found[-1].last = False, event.position
            if active and wish is not None:
                found.append(_Segment(wish, event.meta.recorded_at, event.position))
    return found


def complete(story: Story, until: datetime, settled_by: datetime, verdict: Verdict) -> None:
    """Hold promise 4 against one schedule. Raises `Broken`."""
    handled = _handled(story)
    for id_, history in story.occurrences.items():
        _must_end(story, id_, history, settled_by, verdict)
    for event in story.asked:
        if isinstance(event.body, s.ScheduleTriggered) and event.body.occurrence not in story.occurrences:
            held = story.asked[-1].body
            check(
                isinstance(held, s.SchedulePaused) or _status(story) == "paused" or event.body.at.due_at > settled_by,
                f"4: the triggered {event.body.occurrence} has no outcome",
            )
    if not story.wishes[1].recurring:
        _one_off(story, settled_by, verdict)
        return
    known: dict[SlotKey, list[Expected]] = defaultdict(list)
    for segment in _segments(story):
        skips, optional = _exceptions(story, segment)
        slots = segment.wish.slots(segment.after, until + timedelta(days=1))
        for slot in slots:
            known[slot.local, slot.fold].append(slot)
        due = [slot for slot in slots if (slot.local, slot.fold) not in skips]
        last = max((i for i, slot in enumerate(due) if _in(handled, slot, segment)), default=-1)
        if segment.open:
            last = max(last, max((i for i, slot in enumerate(due) if slot.due_at <= settled_by), default=-1))
        for slot in due[: last + 1]:
            key = (slot.local, slot.fold)
            verdict.slots += 1
            check(
                key in handled or key in optional,
                f"4: nothing became of {slot.local} (fold {slot.fold}), due {slot.due_at}, of {story.schedule}",
            )
    for key, event in handled.items():
        _expected(key, event, known)


def _in(handled: dict[SlotKey, Recorded], slot: Expected, segment: _Segment) -> bool:
    event = handled.get((slot.local, slot.fold))
    return (
        event is not None and segment.first < event.position and (segment.last is None or event.position < segment.last)
    )


def _exceptions(story: Story, segment: _Segment) -> tuple[set[SlotKey], set[SlotKey]]:
    """Slots that are skipped in the segment (none of it must fire), and those that a client put back (they may)."""
    skipped, optional = set[SlotKey](), set[SlotKey]()
    for event in story.asked:
        if segment.last is not None and event.position >= segment.last:
            break
        match event.body:
            case s.SlotSkipped(slot=slot):
                skipped.add((slot.local, slot.fold))
            case s.SlotUnskipped(slot=slot):
                skipped.discard((slot.local, slot.fold))
                if not segment.open:
                    optional.add((slot.local, slot.fold))
            case s.ScheduleChanged() if event.version in story.wishes:
                before = story.wishes[max(v for v in story.wishes if v < event.version)]
                if not same_rule(before, story.wishes[event.version]):
                    skipped.clear()
    return skipped, optional


def _handled(story: Story) -> dict[SlotKey, Recorded]:
    """Slots about which there is a first word, runs of missed ones spelled out."""
    found: dict[SlotKey, Recorded] = {}
    for history in story.occurrences.values():
        first = history[0]
        body = first.body
        match body:
            case o.OccurrenceMissed():
                wish = story.wishes[max(v for v in story.wishes if v <= body.schedule_version)]
                run = wish.slots(body.due_at - timedelta(microseconds=1), body.to_due_at)
                run = [slot for slot in run if not _skipped_at(story, slot, first.position)]
                check(len(run) == body.count, f"4: a missed run of {body.count} slots, by the calendar {len(run)}")
                late = first.meta.recorded_at
                check(wish.policy != "all", "4: a slot was given up although the policy fires all")
                for slot in run:
                    check(late > slot.due_at + wish.within, f"4: {slot.due_at} was given up at {late}, before its time")
                    found[slot.local, slot.fold] = first
            case o.OccurrenceClaimed(origin="slot") | o.OccurrenceDeferred(origin="slot"):
                found[body.slot.local, body.slot.fold] = first
            case o.OccurrenceEnded(origin="slot") if body.slot is not None:
                found[body.slot.local, body.slot.fold] = first
    return found


def _skipped_at(story: Story, slot: Expected, position: int) -> bool:
    state = False
    for event in story.asked:
        if event.position > position:
            break
        match event.body:
            case s.SlotSkipped() | s.SlotUnskipped() if (event.body.slot.local, event.body.slot.fold) == (
                slot.local,
                slot.fold,
            ):
                state = isinstance(event.body, s.SlotSkipped)
    return state


def _expected(key: SlotKey, event: Recorded, known: dict[SlotKey, list[Expected]]) -> None:
    body = event.body
    check(key in known, f"4: the slot {key[0]} (fold {key[1]}) fired, and no timing has it")
    if isinstance(body, o.OccurrenceClaimed):
        check(
            body.due_at in [slot.due_at for slot in known[key]],
            f"4: {key[0]} was due {body.due_at}, by the calendar not",
        )
        check(event.meta.recorded_at >= body.due_at, f"4: {key[0]} was claimed before it was due")


def _must_end(story: Story, id_: UUID, history: list[Recorded], settled_by: datetime, verdict: Verdict) -> None:
    last = history[-1]
    end = next((e.body for e in reversed(history) if isinstance(e.body, o.OccurrenceEnded | o.OccurrenceMissed)), None)
    replayed = any(isinstance(e.body, o.OccurrenceReplayed) for e in history)
    if end is not None and not replayed:
        outcome = "missed" if isinstance(end, o.OccurrenceMissed) else end.outcome.value
        verdict.outcomes[outcome] += 1
        verdict.delivered += outcome == "delivered"
        return
    waits = (
        isinstance(last.body, o.AttemptFailed) and last.body.retry_at is not None and last.body.retry_at > settled_by
    )
    recent = last.meta.recorded_at > settled_by
    ended = isinstance(last.body, o.OccurrenceEnded)
    check(
        ended or waits or recent or _status(story) == "paused", f"4: {id_} has not ended: {last.body.name} is its last"
    )


def _status(story: Story) -> str:
    status = "active"
    for event in story.asked:
        match event.body:
            case s.SchedulePaused():
                status = "paused"
            case s.ScheduleResumed():
                status = "active"
            case s.ScheduleCancelled():
                status = "cancelled"
            case _:
                pass
    return status


def _one_off(story: Story, settled_by: datetime, verdict: Verdict) -> None:
    segments = _segments(story)
    if not segments or not segments[-1].open:
        return
    instant = segments[-1].wish.instant
    assert instant is not None
    skips, _ = _exceptions(story, segments[-1])
    key = (instant.replace(tzinfo=None), 0)
    if instant <= settled_by and key not in skips:
        verdict.slots += 1
        check(key in _handled(story), f"4: nothing became of the one-off {story.schedule}, due {instant}")
