"""Changing a schedule: all of it, or a series from one of its slots on; and which exceptions outlive that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from horae.domain import timing as t
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid
from horae.domain.ids import occurrence_id
from horae.domain.personal import Personal
from horae.domain.schedule.commands import Change
from horae.domain.schedule.events import Carried, Definition, ScheduleChanged, ScheduleEvent, Status
from horae.domain.schedule.judging import (
    check_of_all,
    check_open,
    check_version,
    is_before,
    lies_behind,
    one_off_slot,
    passed,
    slot_of_series,
)
from horae.domain.schedule.state import OWN, Schedule, order, same_rule, shifted

_ONE_DAY = timedelta(days=1)


def change(command: Change, state: Schedule) -> list[ScheduleEvent]:
    """Change all that is to come, or what comes from a slot on.

    Raises `VersionMismatch`, `Conflict`, `AlreadyClaimed`, `Invalid`.
    """
    check_version(command.if_match, state)
    check_open(state, "changed")
    if command.since is not None:
        check_of_all(command.changes, "following")
    if command.current.begun:
        raise _begun(state, command.context)
    start = _start(command, state)
    new = command.changes.get("timing")
    timing = state.timing
    if new is not None and moves(new, state, command.context, command.since):
        timing = _timing_after(new, command, state)
    if command.settled is not None:
        timing = shifted(timing, command.settled, command.since)
    carried = _carried(timing, command, state)
    exceptions, changes = state.left(timing, carried)
    left = replace(state, exceptions=exceptions, changes=changes)
    next_, next_unchanged = _where_next(timing, left, start, command, state)
    events = _contents(timing, start, command, state)
    if not any(event.changed for event in events) and (exceptions, changes) == (state.exceptions, state.changes):
        return []
    gone = [own.occurrence for slot, own in state.changes.items() if own.at is not None and slot not in changes]
    current = command.current.next
    first = events[0].model_copy(
        update={
            "next_unchanged": next_unchanged,
            "next": next_,
            "replaced": current.slot if not next_unchanged and current is not None else None,
            "carried": carried,
            "withdrawn": tuple(sorted(gone)) or None,
        }
    )
    return [first, *events[1:]]


def moves(new: t.Timing, state: Schedule, context: t.Context, since: t.Slot | None = None) -> bool:
    """Does a client that sends the timing `new` ask for something else than what the schedule already does?

    Raises `Invalid` for a timing that makes no sense.
    """
    old = _rule_at(state, since, context)
    return new != old and renewed(new, old, context) != old


def renewed(new: t.Timing, old: t.Timing, context: t.Context) -> t.Timing:
    """The timing `new`, normalised; while its rule stays, it counts from where the series began."""
    timing = t.normalise(new, context)
    if not same_rule(timing, old):
        return timing
    kept: dict[str, object] = {"shifted_by": old.shifted_by}
    if isinstance(old, t.Every):
        kept["anchor"] = old.anchor
    return timing.model_copy(update=kept)


def _rule_at(state: Schedule, since: t.Slot | None, context: t.Context) -> t.Timing:
    if since is None or not isinstance(state.timing, t.Every):
        return state.timing
    return t.rule_for(state.timing, since, context).model_copy(update={"then": None})


def _begun(state: Schedule, context: t.Context) -> AlreadyClaimed:
    slot = one_off_slot(state, context).slot
    return AlreadyClaimed(
        "The occurrence is already on its way or done.",
        field="timing",
        value=slot.local.isoformat(),
        hint="Create a new schedule for a further message.",
        already_claimed=[str(occurrence_id(state.id, slot.local, slot.fold))],
    )


def _start(command: Change, state: Schedule) -> t.Next | None:
    """The slot from which on it is asked for; None: for all."""
    if command.since is None:
        return None
    if not state.recurring:
        raise Invalid(
            "The schedule has a single occurrence.",
            field="scope",
            value="following",
            hint="Change the schedule itself: leave `scope` and `slot` out.",
        )
    start = slot_of_series(command.since, state, command.context)
    if lies_behind(start, command.current, state, command.context.now):
        raise passed(command.since, state, "changed")
    return start


def _timing_after(new: t.Timing, command: Change, state: Schedule) -> t.Timing:
    context, since = command.context, command.since
    if state.recurring and state.status is Status.ACTIVE and command.current.next is None:
        raise Conflict("The series has ended.", field="status", value="completed", hint="Clone it with a new timing.")
    old = _rule_at(state, since, context)
    timing = renewed(new, old, context)
    if since is None:
        if command.taken and not isinstance(timing, t.Every):
            raise _taken(timing, state, context)
        return timing
    if not isinstance(timing, t.Every) or not isinstance(old, t.Every) or not isinstance(state.timing, t.Every):
        raise Invalid(
            "From a slot on a series can only go on recurring.",
            field="timing.kind",
            value=new.kind,
            hint="Give a recurring timing; or let the series end with `ends_at`, and create another schedule.",
        )
    if timing.starts_at is None and timing.anchor != old.anchor:
        counts_on = all(getattr(timing, name) == getattr(old, name) for name in ("cron", "rrule", "interval"))
        where = {"starts_at": old.starts_at, "anchor": old.anchor if old.starts_at is None else None}
        timing = timing.model_copy(update=where if counts_on else {"starts_at": since.local, "anchor": None})
    after = None if timing.zone == old.zone else _last_before(since, state, context)
    whole = t.normalise(t.cut(state.timing, since, timing, context, after), context)
    assert isinstance(whole, t.Every)
    return t.without_past(whole.model_copy(update={"anchor": state.timing.anchor}), context)


def _last_before(since: t.Slot, state: Schedule, context: t.Context) -> datetime:
    """The instant of the series' last slot before `since`, or the present, if that is later.

    Looked for from ever farther back, so that it takes as long as a few slots of the series.
    """
    bare = replace(context, exceptions=frozenset())
    start = t.find(state.timing, since, bare)
    assert start is not None, "the change begins at a slot of the series"
    last, back = context.now, timedelta(hours=1)
    while start.due_at - back > context.now - back:
        at = t.after(state.timing, max(start.due_at - back, context.now), bare)
        found = None
        while at is not None and at.slot != since and is_before(at, start):
            found, at = at, t.following(state.timing, at, bare)
        if found is not None:
            return max(last, found.due_at)
        if start.due_at - back <= context.now:
            break
        back *= 8
    return last


def _taken(timing: t.Timing, state: Schedule, context: t.Context) -> AlreadyClaimed:
    at = t.first(timing, replace(context, exceptions=frozenset()))
    assert at is not None, "a one-off has a slot"
    return AlreadyClaimed(
        "The series has sent its slot at that very local time, or is about to: it will not be sent again.",
        field="timing",
        value=at.slot.local.isoformat(),
        hint="Choose another time, or create a new schedule.",
        already_claimed=[str(occurrence_id(state.id, at.slot.local, at.slot.fold))],
    )


def _where_next(
    timing: t.Timing, left: Schedule, start: t.Next | None, command: Change, state: Schedule
) -> tuple[t.Next | None, bool]:
    """The slot at which the series stands after this, and whether that is where it stood. `left`: its exceptions."""
    current, now = command.current.next, command.context.now
    context = replace(command.context, exceptions=left.out)
    moved = timing != state.timing
    if moved and start is None:
        next_ = t.first(timing, context)
        if next_ is None:
            raise Invalid("The new timing has no slot from now on.", field="timing", hint="Choose a later end.")
        return (next_ if state.status is Status.ACTIVE else None), False
    if moved and start is not None and _from(start, timing, replace(context, exceptions=frozenset())) is None:
        raise Invalid("The new timing has no slot from there on.", field="timing", hint="Choose a later end.")
    if state.status is not Status.ACTIVE:
        return None, True
    next_ = current
    if moved and start is not None and current is not None and start.slot == current.slot:
        next_ = _from(start, timing, context)
    # What comes back may lie before where the series stands.
    back = [found for slot in state.out - left.out if (found := t.find(timing, slot, context)) is not None]
    for found in back:
        if found.due_at > now and (next_ is None or is_before(found, next_)):
            next_ = found
    if next_ is not None and current is not None and (next_.slot, next_.due_at) == (current.slot, current.due_at):
        return None, True
    return next_, next_ is None and current is None


def _from(start: t.Next, timing: t.Timing, context: t.Context) -> t.Next | None:
    """The first slot at `start` or behind it."""
    same = t.find(timing, start.slot, context) if start.slot not in context.exceptions else None
    return same if same is not None else t.following(timing, start, context)


def _contents(timing: t.Timing, start: t.Next | None, command: Change, state: Schedule) -> list[ScheduleChanged]:
    """What is to hold, from `start` or from the beginning on; and the same of what was asked from later slots on.

    They go together: each tells of the names that differ in any, so that none of them is overlooked.
    """
    since = None if start is None else command.since
    base = state if since is None else state.as_series(since)
    behind = [later for later in state.later if since is None or order(later.since) > order(since)]
    asked = [(since, start.due_at if start is not None else None, base.personal, base.definition)]
    asked += [(later.since, later.since_at, later.personal, later.definition) for later in behind]
    given: Mapping[str, Any] = {n: v for n, v in command.changes.items() if n not in ("timing", "recipient")}
    names: set[str] = {"timing"} if timing != state.timing else set()
    events = []
    for slot, due_at, old, was in asked:
        personal = Personal(**{name: given.get(name, getattr(old, name)) for name in Personal.model_fields})
        definition = Definition(
            **{name: given.get(name, getattr(was, name)) for name in Definition.model_fields} | {"timing": timing}
        )
        names |= {name for name in Personal.model_fields if getattr(personal, name) != getattr(old, name)}
        names |= {
            name for name in given if name in (*OWN, "conflicts") and getattr(definition, name) != getattr(was, name)
        }
        events.append(
            ScheduleChanged(
                personal=personal,
                definition=definition,
                changed=(),
                next_unchanged=True,
                since=slot,
                since_at=due_at,
                request_digest=command.request_digest,
            )
        )
    told = events if names - {"timing"} else events[:1]
    # What was decided among others holds as long as the slots do.
    settled = command.settled or (state.settled if timing == state.timing else None)
    same = {"changed": tuple(sorted(names)), "settled": settled}
    return [event.model_copy(update=same) for event in told]


def _carried(timing: t.Timing, command: Change, state: Schedule) -> tuple[Carried, ...] | None:
    """Which exceptions outlive the change; None: all of them while the rule stays the same, else none."""
    since, choice = command.since, command.exceptions
    if not (state.exceptions or state.changes) or (since is None and choice is None):
        return None
    whole = same_rule(timing, state.timing)
    changed = replace(state, definition=state.definition.model_copy(update={"timing": timing}))
    same = whole or same_rule(_rule_at(state, since, command.context), _rule_at(changed, since, command.context))
    keeps = choice == "keep" or (choice is None and same)
    if keeps and whole:
        return None
    named = _named(state)
    if not keeps:
        before = [slot for slot in named if since is not None and order(slot) < order(since)]
        named = [slot for slot in named if slot in before or _too_late(slot, timing, command, state)]
    carried = (_carried_on(slot, timing, command, state) for slot in named)
    return tuple(each for each in carried if each is not None)


def _named(state: Schedule) -> list[t.Slot]:
    return sorted({*state.exceptions, *state.changes}, key=order)


def _too_late(slot: t.Slot, timing: t.Timing, command: Change, state: Schedule) -> bool:
    """Whether it was skipped, and its time has passed though the series stands before it: by jitter a slot may be due
    before its predecessor. Putting it back would send it late; `unskip` refuses that too."""
    found = t.find(timing, slot, command.context) if slot in state.exceptions else None
    stands = command.current.next
    return found is not None and found.due_at <= command.context.now and (stands is None or is_before(stands, found))


def _is_moved(slot: t.Slot, state: Schedule) -> bool:
    own = state.changes.get(slot)
    return own is not None and own.at is not None


def _carried_on(slot: t.Slot, timing: t.Timing, command: Change, state: Schedule) -> Carried | None:
    """The exception on the changed series: of the same slot, else of the only one of its day, else none."""
    moved = _is_moved(slot, state)
    reached = command.since is None or order(slot) >= order(command.since)
    if not reached or t.find(timing, slot, command.context) is not None:
        return Carried(was=slot, now=slot, moved=moved)
    instead = _only_slot_of_day(slot, timing, command.context)
    if instead is not None and _only_slot_of_day(slot, state.timing, command.context) == slot:
        return Carried(was=slot, now=instead, moved=moved)
    return Carried(was=slot, now=slot, moved=True) if moved else None


def _only_slot_of_day(slot: t.Slot, timing: t.Timing, context: t.Context) -> t.Slot | None:
    """The one slot that a timing has on the local day of `slot`; None: it has none, or several."""
    day = slot.local.date()
    roughly = datetime(day.year, day.month, day.day, tzinfo=context.now.tzinfo) - _ONE_DAY
    bare = replace(context, exceptions=frozenset())
    at, found = t.after(timing, roughly, bare), None
    while at is not None and at.slot.local.date() <= day:
        if at.slot.local.date() == day:
            if found is not None:
                return None
            found = at.slot
        at = t.following(timing, at, bare)
    return found
