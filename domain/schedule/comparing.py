"""The slots of a schedule as they go out, moved ones included; and what differs between two versions of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from horae.domain import timing as t
from horae.domain.schedule.events import Definition, Status
from horae.domain.schedule.judging import is_before, nominal
from horae.domain.schedule.state import Schedule

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """A slot in both: where it was to go out, and where it goes out now; the names of what it carries otherwise."""

    before: t.Next
    after: t.Next
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change comes to among the slots that go out after `since` and up to `until`.

    `until` None: both come to their end before, and nothing else differs.
    """

    since: datetime
    until: datetime | None
    #: Other instant, same slot.
    moved: tuple[Change, ...]
    dropped: tuple[t.Next, ...]
    added: tuple[t.Next, ...]
    #: Same slot and instant, other content.
    changed: tuple[Change, ...]
    #: How many are in every way as they were.
    kept: int


def preview(state: Schedule, count: int, ctx: t.Context, after: datetime | None = None) -> t.Preview:
    """As `timing.preview`, of a schedule: moved slots stand where they go out, and are told where they do not.

    The slots that are out of the series are read off the schedule, whatever exceptions `ctx` names.
    """
    ctx = replace(ctx, exceptions=state.out)
    found = t.preview(state.timing, count, ctx, after)
    if not state.changes:
        return found
    base = after if after is not None else ctx.now
    ended = len(found.slots) < count
    last = found.slots[-1].due_at if found.slots else None
    moved = {slot: own.at for slot, own in state.changes.items() if own.at is not None}
    shown = [at for at in moved.values() if at.due_at > base and (ended or (last is not None and at.due_at <= last))]
    skipped = [_told(each, moved[each.slot]) if each.slot in moved else each for each in found.skipped]
    slots = sorted([*found.slots, *shown], key=lambda at: at.due_at) if shown else found.slots
    return t.Preview(slots=slots[:count], skipped=skipped)


def planned(state: Schedule, slot: t.Slot, ctx: t.Context) -> t.Next | None:
    """The slot where it goes out, skipped or not; None: there is none."""
    own = state.changes.get(slot)
    return own.at if own is not None and own.at is not None else t.find(state.timing, slot, ctx)


def compare(before: Schedule, after: Schedule, ctx_before: t.Context, ctx_after: t.Context, count: int) -> Difference:
    """What differs among the next `count` slots of either; where one has more, up to the last that both tell of."""
    since = ctx_before.now
    current = before.next if before.status is Status.ACTIVE else None
    if current is not None and current.due_at <= since:
        # Due already and not claimed yet: it may fall as well.
        since = current.due_at - _TICK
    (old, ends), (new, ends_too) = _slots(before, count, ctx_before, since), _slots(after, count, ctx_after, since)
    until = min((end for end in (ends, ends_too) if end is not None), default=None)
    was, now = _by_slot(old), _by_slot(new)
    seen_before = {at.slot: at for at in old if until is None or at.due_at <= until}
    seen_after = {at.slot: at for at in new if until is None or at.due_at <= until}
    pairs: list[tuple[t.Next, t.Next]] = []
    dropped, added = [], []
    for slot, at in seen_before.items():
        there = now.get(slot) or _alive(after, slot, ctx_after, since)
        if there is None:
            dropped.append(at)
        else:
            pairs.append((at, there))
    for slot, at in seen_after.items():
        if slot in seen_before:
            continue
        there = was.get(slot) or _alive(before, slot, ctx_before, since)
        if there is None:
            added.append(at)
        else:
            pairs.append((there, at))
    told = [Change(one, other, _carries(before, after, one.slot)) for one, other in pairs]
    moved = sorted((c for c in told if c.before.due_at != c.after.due_at), key=lambda c: c.before.due_at)
    changed = [c for c in told if c.before.due_at == c.after.due_at and c.changed]
    kept = len(told) - len(moved) - len(changed)
    return Difference(since, until, tuple(moved), tuple(dropped), tuple(added), tuple(changed), kept)


def _slots(state: Schedule, count: int, ctx: t.Context, since: datetime) -> tuple[list[t.Next], datetime | None]:
    """Slots due after `since`, and up to where they are all told; None: to the end.

    Jitter turns round their order: what is not told yet lies behind the last one's instant without it.
    """
    if state.status is Status.CANCELLED:
        return [], None
    after = since if state.recurring else None
    chain = t.preview(state.timing, count, replace(ctx, exceptions=state.out), after).slots
    # What lies before the slot at which the series stands is done, or was passed over.
    first = state.next if state.recurring and state.status is Status.ACTIVE else None
    slots = [at for at in chain if first is None or not is_before(at, first)]
    slots += [at for at in state.moved.values() if at.due_at > since]
    return sorted(slots, key=lambda at: at.due_at), nominal(chain[-1]) if len(chain) == count else None


def _by_slot(slots: list[t.Next]) -> Mapping[t.Slot, t.Next]:
    return {at.slot: at for at in slots}


def _alive(state: Schedule, slot: t.Slot, ctx: t.Context, since: datetime) -> t.Next | None:
    """The slot, if it goes out at all, however late."""
    if slot in state.exceptions or not state.recurring or state.status is Status.CANCELLED:
        return None
    at = planned(state, slot, ctx)
    if at is None or at.due_at <= since:
        return None
    overdue = at.due_at <= ctx.now and (state.next is None or state.next.slot != slot)
    return None if overdue else at


def _carries(before: Schedule, after: Schedule, slot: t.Slot) -> tuple[str, ...]:
    """The fields, the timing aside, that the slot has otherwise."""
    old, new = before.seen_from(slot), after.seen_from(slot)
    names = [
        name for name in type(old.personal).model_fields if getattr(old.personal, name) != getattr(new.personal, name)
    ]
    names += [
        name
        for name in Definition.model_fields
        if name != "timing" and getattr(old.definition, name) != getattr(new.definition, name)
    ]
    return tuple(sorted(names))


def _told(skipped: t.SkippedSlot, at: t.Next) -> t.SkippedSlot:
    text = f"Moved by hand: it goes out at {at.due_at:%Y-%m-%d %H:%M:%S} UTC."
    return t.SkippedSlot(slot=skipped.slot, reason=t.Reason(code="moved", text=text))
