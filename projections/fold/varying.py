"""What changes of a schedule change in the rows: all of it, from a slot on, or one slot by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from horae.domain import schedule
from horae.domain.envelope import Event, Recorded
from horae.domain.schedule.state import same_rule
from horae.domain.timing import Slot
from horae.domain.timing.calendared import calendar_id
from horae.projections.fold.batch import Rows, Unapplicable, json_text
from horae.projections.fold.occurrences import close_unbegun, new_occurrence, open_occurrence, set_plan
from horae.projections.fold.schedules import asked, define
from horae.projections.rows import WAITING, Standing

_Entry = list[Any]
#: Where in a row of `schedules` they stand.
_TIMING, _POSITION, _CALENDAR, _SETTLED = 9, 16, 17, 19


def by_itself(body: Event) -> tuple[UUID, ...]:
    """The occurrences that may have waited by themselves before this event of their schedule."""
    match body:
        case schedule.SlotSkipped() | schedule.SlotUnskipped() | schedule.SlotChanged() | schedule.SlotReplanned():
            return (body.occurrence,)
        case schedule.ScheduleChanged(withdrawn=tuple() as withdrawn):
            return withdrawn
        case _:
            return ()


def _withdraw(fold: Rows, event: Recorded, body: Event) -> None:
    """What was moved and has not begun waits no longer where it was moved to."""
    for occurrence in by_itself(body):
        row = fold.occurrences.get(occurrence)
        if row is not None and row.version == 0 and row.status in WAITING:
            close_unbegun(fold, fold.standing(event, event.stream), row)
            row.position, row.ended_at = event.position, event.meta.recorded_at
            row.reason = "moved no longer: it goes out, if at all, as its series has it"


# --- the lists of exceptions in a standing ------------------------------------------------------------------------


def _key(slot: Slot) -> tuple[str, int]:
    return slot.local.isoformat(), slot.fold


def _vary(standing: Standing, keep: Callable[[_Entry], bool], added: Sequence[_Entry] = ()) -> None:
    entries = [entry for entry in json.loads(standing.varied) if keep(entry)]
    standing.varied = json_text(sorted([*entries, *added], key=lambda entry: entry[:3]))


def _own(slot: Slot) -> Callable[[_Entry], bool]:
    return lambda entry: entry[0] != "slot" or (entry[1], entry[2]) != _key(slot)


def _skip(standing: Standing, slot: Slot, *, out: bool) -> None:
    slots = {(local, fold) for local, fold in json.loads(standing.skipped)}
    standing.skipped = json_text(sorted(slots | {_key(slot)} if out else slots - {_key(slot)}))


def _carry(standing: Standing, carried: Sequence[schedule.Carried]) -> None:
    """As `Schedule.left` has it: only these exceptions outlive the change."""
    skipped = {(local, fold) for local, fold in json.loads(standing.skipped)}
    entries = {(entry[1], entry[2]): entry for entry in json.loads(standing.varied) if entry[0] == "slot"}
    left, varied = set(), []
    for each in carried:
        was, now = _key(each.was), _key(each.now)
        if each.moved:
            varied.append(entries[was])
            left |= {now} - {was}
        elif was in entries:
            varied.append(["slot", *now, *entries[was][3:]])
        elif was in skipped:
            left.add(now)
    standing.skipped = json_text(sorted(left))
    _vary(standing, lambda entry: entry[0] != "slot", varied)


# --- events -------------------------------------------------------------------------------------------------------


def _changed(fold: Rows, event: Recorded, body: schedule.ScheduleChanged) -> None:
    _withdraw(fold, event, body)
    standing = asked(fold, event)
    if body.carried is not None:
        _carry(standing, body.carried)
    elif not same_rule(body.definition.timing, fold.timings[event.stream]):
        # Skipped slots are slots of the rule.
        _carry(standing, ())
    since, content = body.since, set(body.changed) - {"timing"}
    if since is None:
        _vary(standing, lambda entry: entry[0] != "from" or not content)
        define(fold, standing, body)
    elif not content:
        _retime(fold, standing, body)
    else:
        _vary(
            standing,
            lambda entry: entry[0] != "from" or (entry[1], entry[2]) < _key(since),
            [["from", *_key(since)]],
        )
        _retime(fold, standing, body)
    if not body.next_unchanged:
        # Another timing: what became of the old one's slot is its occurrence's to tell.
        standing.one_off = standing.one_off_id = None
        standing.move_to(body.next)


def _retime(fold: Rows, standing: Standing, body: schedule.ScheduleChanged) -> None:
    """The timing is that of all slots; the rest, asked for from a slot on, is read from the log when it holds."""
    timing = body.definition.timing
    fold.timings[standing.id] = timing
    text, calendar = timing.model_dump_json(exclude_none=True), calendar_id(timing)
    settled = None if body.settled is None else body.settled.model_dump_json(exclude_none=True)
    row = fold.schedules.get(standing.id)
    if row is None:
        fold.retimed[standing.id] = (standing.id, text, calendar, standing.position, settled)
        return
    values = list(row)
    values[_TIMING], values[_POSITION], values[_CALENDAR], values[_SETTLED] = text, standing.position, calendar, settled
    fold.schedules[standing.id] = tuple(values)


def _slot_changed(fold: Rows, event: Recorded, body: schedule.SlotChanged) -> None:
    _withdraw(fold, event, body)
    standing, at = asked(fold, event), body.at
    _skip(standing, body.slot, out=False)
    moved_to = None if at is None else at.due_at.isoformat()
    settled = [] if body.settled is None else [body.settled.model_dump(mode="json", exclude_none=True)]
    _vary(standing, _own(body.slot), [["slot", *_key(body.slot), moved_to, list(body.changed), *settled]])
    if at is not None:
        row = new_occurrence(event, standing, body.occurrence, "slot", body.slot, at.due_at, "waiting")
        row.version, row.wake_at, row.priority = 0, at.due_at, body.priority
        set_plan(row, at)
        open_occurrence(fold, standing, row)
    if not body.next_unchanged:
        standing.move_to(body.next)


def _slot_replanned(fold: Rows, event: Recorded, body: schedule.SlotReplanned) -> None:
    standing, at = asked(fold, event), body.at
    row = fold.occurrences.get(body.occurrence)
    if row is None or row.version > 0 or row.status not in WAITING:
        raise Unapplicable(f"{body.name} at position {event.position}: occurrence {body.occurrence} does not wait")
    named = next(entry for entry in json.loads(standing.varied) if not _own(at.slot)(entry))
    _vary(standing, _own(at.slot), [[*named[:3], at.due_at.isoformat(), *named[4:]]])
    row.due_at = row.wake_at = at.due_at
    row.position = event.position
    set_plan(row, at)
    fold.touched.add(row.id)


def _slot_named(fold: Rows, event: Recorded, body: schedule.SlotSkipped | schedule.SlotUnskipped) -> None:
    _withdraw(fold, event, body)
    standing = asked(fold, event)
    _skip(standing, body.slot, out=isinstance(body, schedule.SlotSkipped))
    _vary(standing, _own(body.slot))
    if not body.next_unchanged:
        standing.move_to(body.next)


HANDLERS: dict[type[Event], Any] = {
    schedule.ScheduleChanged: _changed,
    schedule.SlotChanged: _slot_changed,
    schedule.SlotReplanned: _slot_replanned,
    schedule.SlotSkipped: _slot_named,
    schedule.SlotUnskipped: _slot_named,
}
