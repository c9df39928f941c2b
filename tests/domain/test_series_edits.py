"""Changing a series from any of its slots on, or one slot by itself: what was stays, and what is told is what comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid
from horae.domain.timing.zones import to_utc
from tests.domain.makers import DAY, HOUR, NOW, PERSONAL, REF, context, created, next_on, slot, standing
from tests.domain.spec import given as given_schedule
from tests.domain.spec import schedule_of
from tests.domain.timing.strategies import series

AT_TEN = t.Every(cron="0 10 * * *", zone="UTC")


def days(state: s.Schedule, count: int = 4, now: datetime = NOW) -> list[str]:
    """The next slots as they go out, and what they carry."""
    ctx = replace(context(now), exceptions=state.out)
    return [
        f"{at.due_at:%d %H:%M} {state.seen_from(at.slot).personal.content['subject']}"
        for at in s.preview(state, count, ctx).slots
    ]


def change(state: s.Schedule, current: t.Next | None = None, **more: Any) -> s.Schedule:
    """The state after a change of the daily series, standing at its first slot."""
    fields = {"context": context(exceptions=state.out), "current": standing(current or next_on(1)), **more}
    for event in s.decide(s.Change(**fields), state):
        state = s.evolve(state, state.id, event)
    return state


def change_slot(state: s.Schedule, day: int, current: t.Next | None = None, **changes: Any) -> s.Schedule:
    """The state after a change of one slot."""
    command = s.ChangeSlot(
        slot=slot(day), changes=changes, context=context(exceptions=state.out), current=standing(current or next_on(1))
    )
    for event in s.decide(command, state):
        state = s.evolve(state, state.id, event)
    return state


# --- this and following -------------------------------------------------------------------------------------------


@pytest.mark.covers("REC-06", "LIF-22")
def test_a_rule_gives_way_to_another_from_a_slot_on() -> None:
    """The slots before are the old rule's, it and those after it the new one's; the series stands where it stood."""
    state = change(schedule_of(created()), changes={"timing": AT_TEN}, since=slot(3))
    assert days(state) == ["01 09:00 Hi", "02 09:00 Hi", "03 10:00 Hi", "04 10:00 Hi"]
    (event,) = s.decide(
        s.Change(changes={"timing": AT_TEN}, context=context(), current=standing(next_on(1)), since=slot(3)),
        schedule_of(created()),
    )
    assert isinstance(event, s.ScheduleChanged)
    assert (event.next_unchanged, event.changed, event.since) == (True, ("timing",), slot(3))


def test_content_from_a_slot_on() -> None:
    """What goes out before carries what it did; a later change of all reaches both."""
    state = change(schedule_of(created()), changes={"content": {"subject": "New"}}, since=slot(3))
    assert days(state) == ["01 09:00 Hi", "02 09:00 Hi", "03 09:00 New", "04 09:00 New"]
    state = change(state, changes={"priority": 5})
    assert {state.seen_from(slot(day)).definition.priority for day in (1, 5)} == {5}
    assert days(state)[1:3] == ["02 09:00 Hi", "03 09:00 New"]
    state = change(state, changes={"content": {"subject": "All"}})
    assert days(state) == ["01 09:00 All", "02 09:00 All", "03 09:00 All", "04 09:00 All"]


def test_a_series_changed_twice_from_later_and_earlier_slots() -> None:
    """A later change of rule from an earlier slot on replaces what was asked for from later ones on."""
    state = change(schedule_of(created()), changes={"timing": AT_TEN}, since=slot(4))
    at_noon = t.Every(cron="0 12 * * *", zone="UTC")
    later = change(state, changes={"timing": at_noon}, since=slot(6, 10))
    assert [day[:8] for day in days(later, 6)] == [
        "01 09:00",
        "02 09:00",
        "03 09:00",
        "04 10:00",
        "05 10:00",
        "06 12:00",
    ]
    earlier = change(later, changes={"timing": at_noon}, since=slot(2))
    assert [day[:8] for day in days(earlier, 3)] == ["01 09:00", "02 12:00", "03 12:00"]
    assert len(t.rules_of(earlier.timing)) == 2  # type: ignore[arg-type]


def test_from_the_current_slot_on_the_series_goes_on_with_the_new_rule() -> None:
    """The event names where it goes on; a slot of the new rule that lies before the one named is none of it."""
    early = t.Every(cron="0 8,12 * * *", zone="UTC", starts_at=datetime(2026, 11, 1))  # noqa: DTZ001 - local
    (event,) = s.decide(
        s.Change(changes={"timing": early}, context=context(NOW - HOUR), current=standing(next_on(1)), since=slot(1)),
        schedule_of(created(now=NOW - HOUR)),
    )
    assert isinstance(event, s.ScheduleChanged)
    assert event.next is not None
    assert (event.next.slot, event.replaced) == (slot(1, 12), slot(1))


def test_the_same_rule_counts_on() -> None:
    """A fortnightly series whose end alone changes keeps its weeks, and its number of slots."""
    fortnightly = t.Every(rrule="FREQ=WEEKLY;INTERVAL=2;BYHOUR=9;BYMINUTE=0;BYSECOND=0", zone="UTC", count=4)
    state = schedule_of(created(fortnightly))
    slots = s.preview(state, 9, context()).slots
    assert len(slots) == 4
    jittered = fortnightly.model_copy(update={"missed": t.Missed(policy="skip")})
    changed = change(state, slots[0], changes={"timing": jittered}, since=slots[2].slot)
    assert [at.slot for at in s.preview(changed, 9, context()).slots] == [at.slot for at in slots]
    assert t.rule_for(changed.timing, slots[1].slot, context()).missed.policy == "once"  # type: ignore[arg-type]
    assert t.rule_for(changed.timing, slots[2].slot, context()).missed.policy == "skip"  # type: ignore[arg-type]


def test_what_lies_behind_or_is_no_slot_cannot_be_changed_from() -> None:
    """The refusal names the slot."""
    timing = {"timing": AT_TEN}
    behind = s.Change(changes=timing, context=context(), current=standing(next_on(2)), since=slot(1))
    given_schedule(created()).when(behind).then_raises(AlreadyClaimed, field="slot")
    none = s.Change(changes=timing, context=context(), current=standing(next_on(1)), since=slot(3, 11))
    given_schedule(created()).when(none).then_raises(Invalid, field="slot")
    once = s.Change(
        changes={"timing": t.At(at=NOW + DAY)}, context=context(), current=standing(next_on(1)), since=slot(3)
    )
    given_schedule(created()).when(once).then_raises(Invalid, field="timing.kind")


# --- this one -----------------------------------------------------------------------------------------------------


@pytest.mark.covers("LIF-18", "LIF-22")
def test_one_slot_is_moved_and_keeps_its_identity() -> None:
    """It leaves the series and waits by itself; the series goes on without it."""
    state = change_slot(schedule_of(created()), 2, timing=t.At(local=datetime(2026, 12, 4, 15)))  # noqa: DTZ001
    assert days(state, 5) == ["01 09:00 Hi", "03 09:00 Hi", "04 09:00 Hi", "04 15:00 Hi", "05 09:00 Hi"]
    assert [at.slot for at in state.moved.values()] == [slot(2)]
    (event,) = s.decide(
        s.ChangeSlot(
            slot=slot(1), changes={"timing": t.At(at=NOW + 3 * HOUR)}, context=context(), current=standing(next_on(1))
        ),
        schedule_of(created()),
    )
    assert isinstance(event, s.SlotChanged)
    assert (event.next, event.next_unchanged) == (next_on(2), False)


def test_one_slot_carries_something_else() -> None:
    """Later changes of the series leave what it has for itself, and bring what it has not."""
    state = change_slot(schedule_of(created()), 2, content={"subject": "Mine"})
    state = change(state, changes={"content": {"subject": "All"}, "priority": 5})
    assert days(state, 3) == ["01 09:00 All", "02 09:00 Mine", "03 09:00 All"]
    assert state.seen_from(slot(2)).definition.priority == 5


def test_a_changed_slot_is_skipped_put_back_and_moved_again() -> None:
    """Skipping takes what was moved, putting back takes the change; a second move replaces the first."""
    moved = change_slot(schedule_of(created()), 2, timing=t.At(at=NOW + 3 * HOUR))
    again = change_slot(moved, 2, timing=t.At(at=NOW + 5 * HOUR), content={"subject": "Mine"})
    assert days(again, 3) == ["01 09:00 Hi", "01 13:00 Mine", "03 09:00 Hi"]
    back = s.Unskip(slot=slot(2), context=context(exceptions=again.out), current=standing(next_on(1)))
    state = again
    for event in s.decide(back, again):
        state = s.evolve(state, state.id, event)
    assert days(state, 2) == ["01 09:00 Hi", "02 09:00 Hi"]
    skip = s.Skip(slot=slot(2), context=context(exceptions=again.out), current=standing(next_on(1)))
    for event in s.decide(skip, again):
        again = s.evolve(again, again.id, event)
    assert days(again, 2) == ["01 09:00 Hi", "03 09:00 Hi"]


def test_what_has_begun_cannot_be_changed_by_itself() -> None:
    """Nor what recurs, nor a one-off's only slot."""
    base: dict[str, Any] = {"slot": slot(2), "context": context(), "current": standing(next_on(1))}
    begun = s.ChangeSlot(**base, changes={"priority": 5}, begun=True)
    given_schedule(created()).when(begun).then_raises(AlreadyClaimed, field="slot")
    recurring = s.ChangeSlot(**base, changes={"timing": AT_TEN})
    given_schedule(created()).when(recurring).then_raises(Invalid, field="timing.kind")
    only = s.ChangeSlot(**base, changes={"priority": 5})
    given_schedule(created(t.At(at=NOW + DAY))).when(only).then_raises(Invalid, field="scope")


# --- exceptions ---------------------------------------------------------------------------------------------------


def with_exceptions() -> s.Schedule:
    """2 December skipped, 3 December with content of its own, 4 December moved."""
    state = schedule_of(created())
    skip = s.Skip(slot=slot(2), context=context(), current=standing(next_on(1)))
    for event in s.decide(skip, state):
        state = s.evolve(state, state.id, event)
    state = change_slot(state, 3, content={"subject": "Mine"})
    return change_slot(state, 4, timing=t.At(at=NOW + 10 * HOUR))


def test_exceptions_survive_or_fall_by_choice() -> None:
    """Kept, they are those of the same slot, else of the only slot of their day; a moved one stays where it was put."""
    at_ten = {"timing": AT_TEN}
    assert days(change(with_exceptions(), changes=at_ten), 3) == ["01 10:00 Hi", "02 10:00 Hi", "03 10:00 Hi"]
    kept = change(with_exceptions(), changes=at_ten, exceptions="keep")
    assert days(kept, 4) == ["01 10:00 Hi", "01 18:00 Hi", "03 10:00 Mine", "05 10:00 Hi"]
    dropped = change(with_exceptions(), changes={"priority": 5}, exceptions="drop")
    assert days(dropped, 4) == ["01 09:00 Hi", "02 09:00 Hi", "03 09:00 Hi", "04 09:00 Hi"]
    assert days(change(with_exceptions(), changes={"priority": 5}), 3) == [
        "01 09:00 Hi",
        "01 18:00 Hi",
        "03 09:00 Mine",
    ]


def test_what_was_skipped_and_has_passed_by_jitter_stays_skipped() -> None:
    """A slot may be due before its predecessor; when that one's turn comes its own time is over, as for `unskip`."""
    timing = t.Every(cron="*/20 * * * *", zone="UTC", jitter=timedelta(minutes=45))
    state = schedule_of(created(timing))
    slots = sorted(s.preview(state, 30, context()).slots, key=lambda at: at.slot.local)
    stands, overtaking = next((a, b) for a, b in pairwise(slots) if b.due_at < a.due_at)
    state = replace(state, exceptions=frozenset({overtaking.slot}))
    command = s.Change(
        changes={"content": {"subject": "New"}},
        context=context(stands.due_at, exceptions=state.out),
        current=s.Current(next=stands),
        exceptions="drop",
    )
    (event,) = s.decide(command, state)
    assert s.evolve(state, state.id, event).exceptions == {overtaking.slot}


def test_exceptions_before_the_slot_of_a_change_are_none_of_its_business() -> None:
    """Of this and the following, only theirs fall."""
    state = change(with_exceptions(), changes={"timing": AT_TEN}, since=slot(3), exceptions="drop")
    assert days(state, 4) == ["01 09:00 Hi", "03 10:00 Hi", "04 10:00 Hi", "05 10:00 Hi"]


def test_a_series_cannot_become_a_one_off_that_it_has_sent() -> None:
    """It would never be sent: the occurrence is the same."""
    again = s.Change(
        changes={"timing": t.At(local=slot(2).local, zone="UTC")},
        context=context(),
        current=standing(next_on(3)),
        taken=True,
    )
    error = given_schedule(created()).when(again).then_raises(AlreadyClaimed, field="timing")
    assert len(error.extra["already_claimed"]) == 1


# --- what always holds --------------------------------------------------------------------------------------------


@st.composite
def edits(draw: st.DrawFn) -> tuple[s.Schedule, t.Next, s.Command, t.Context]:
    """A series that stands somewhere, perhaps with exceptions, and a change of it."""
    timing, ctx = draw(series())
    state: s.Schedule = s.evolve(
        None,
        ctx.schedule_id,
        s.ScheduleCreated(
            recipient_ref=REF,
            personal=PERSONAL,
            definition=s.Definition(timing=timing, priority=2, delivery=Delivery()),
            next=next(iter(t.preview(timing, 1, ctx).slots)),
        ),
    )
    slots = t.preview(timing, 12, ctx).slots
    place = draw(st.integers(0, len(slots) - 1))
    for skipped in draw(st.sets(st.sampled_from(slots[place:]).map(lambda at: at.slot), max_size=2)):
        state = replace(state, exceptions=state.exceptions | {skipped})
    standing_at = t.preview(timing, place + 4, replace(ctx, exceptions=state.exceptions)).slots[place]
    gone = [at.due_at for at in slots if at.due_at < standing_at.due_at and at.slot != standing_at.slot]
    now = max([standing_at.due_at - timedelta(minutes=draw(st.integers(0, 600))), ctx.now, *gone])
    ctx = replace(ctx, now=now, exceptions=state.out)
    named = draw(st.sampled_from(slots[place:])).slot
    other, _ = draw(series())
    fresh = other.model_copy(update={"anchor": None, "zone": draw(st.sampled_from([timing.zone, other.zone]))})
    current = s.Current(next=standing_at)
    given_: dict[str, Any] = draw(
        st.sampled_from([{"timing": fresh}, {"content": {"subject": "New"}}, {"timing": fresh, "priority": 5}])
    )
    choice: Literal["keep", "drop"] | None = draw(st.sampled_from([None, "keep", "drop"]))
    if draw(st.booleans()):
        moved = {"timing": t.At(at=now + timedelta(minutes=draw(st.integers(1, 5000))))}
        one: s.Command = s.ChangeSlot(slot=named, changes=moved, context=ctx, current=current)
        return state, standing_at, one, ctx
    since = draw(st.sampled_from([None, named]))
    return (
        state,
        standing_at,
        s.Change(changes=given_, context=ctx, current=current, since=since, exceptions=choice),
        ctx,
    )


def walked(state: s.Schedule, at: t.Next | None, ctx: t.Context, count: int) -> list[t.Next]:
    """What the dispatcher fires: the chain from where the series stands, and the moved ones when they are due."""
    # Where the series stands, and what comes behind: `compare` looks at less.
    chain: list[t.Next] = []
    bare = replace(ctx, exceptions=state.out)
    while at is not None and len(chain) < count:
        chain.append(at)
        at = t.following(state.timing, at, bare)
    return sorted([*chain, *state.moved.values()], key=lambda fired: fired.due_at)


def overtaken(fired: list[t.Next]) -> bool:
    """Whether jitter puts some of these, which are in the order in which they go out, before their predecessors."""
    by_rule = [at.due_at - timedelta(seconds=at.plan.jitter_s) for at in fired]
    return by_rule != sorted(by_rule)


@pytest.mark.covers("REC-06", "LIF-22", "ACC-05")
@settings(max_examples=60, deadline=None)
@given(edits())
def test_an_edit_changes_only_slots_after_it_and_what_is_told_is_what_fires(
    case: tuple[s.Schedule, t.Next, s.Command, t.Context],
) -> None:
    """Before the slot that is named nothing moves; and what is told to move, to fall and to be added does so."""
    before, stood, command, ctx = case
    try:
        events = s.decide(command, before)
    except (Invalid, AlreadyClaimed, Conflict):
        return
    after, stands = before, cast("t.Next | None", stood)
    for event in events:
        after = s.evolve(after, after.id, event)
        if not getattr(event, "next_unchanged", True):
            stands = event.next  # type: ignore[union-attr]
    fired_before = walked(before, stood, ctx, 40)
    fired = walked(after, stands, ctx, 40)
    # By jitter a slot may be due before the one at which the series stands: that is so without any edit.
    stood_so = {(at.slot, at.due_at) for at in (stood, *fired_before)}
    rules = t.rules_of(after.timing) if isinstance(after.timing, t.Every) else ()
    spread = max((rule.jitter or timedelta(0) for rule in rules), default=timedelta(0))
    assert all(at.due_at > ctx.now - spread for at in fired if (at.slot, at.due_at) not in stood_so)
    assert stands is None or stands == stood or stands.due_at > ctx.now

    since = command.slot if isinstance(command, s.ChangeSlot) else cast("s.Change", command).since
    if since is not None and getattr(command, "exceptions", None) != "drop":
        rule = t.rule_for(cast("t.Every", before.timing), since, ctx)
        start = t.find(before.timing, since, ctx)
        assert start is not None
        limit = start.due_at - (rule.jitter or timedelta(0))
        early = [(at.slot, at.due_at) for at in fired_before if at.due_at < limit - HOUR * 26]
        now_early = [
            (at.slot, at.due_at) for at in fired if at.due_at < limit - HOUR * 26 and at.slot not in after.changes
        ]
        assert now_early[: len(early)] == early[: len(now_early)]
        # To the slot: all that the old rule's clock puts before the one that is named goes out as it did.
        zone, _ = t.zone_of(before.timing, ctx)
        floor = to_utc(since.local, since.fold, zone)
        stays = {at.slot: at.due_at for at in fired_before if to_utc(at.slot.local, at.slot.fold, zone) < floor}
        comes_now = {at.slot: at.due_at for at in fired}
        assert {slot_: comes_now.get(slot_) for slot_ in stays} == stays

    if overtaken(fired_before) or overtaken(fired):
        return  # `docs/time.md` names it: what is told of such a series may be wrong
    shown = replace(before, next=stood)
    told = s.compare(shown, replace(after, next=stands), ctx, ctx, 15)
    upto = told.until or datetime.max.replace(tzinfo=UTC)
    was = {at.slot: at.due_at for at in fired_before}
    comes = {at.slot: at.due_at for at in fired}
    for at in told.dropped:
        assert comes.get(at.slot, upto) >= upto
        assert was[at.slot] == at.due_at
    for at in told.added:
        assert at.slot not in was
        assert comes[at.slot] == at.due_at
    for moved in told.moved:
        for slots, there in ((was, moved.before), (comes, moved.after)):
            if there.due_at <= upto:
                assert slots[there.slot] == there.due_at
    named = {at.slot for at in (*told.dropped, *told.added)} | {c.before.slot for c in (*told.moved, *told.changed)}
    same = {slot_ for slot_, due in was.items() if due <= upto} - named
    assert {(slot_, comes[slot_]) for slot_ in same} == {(slot_, was[slot_]) for slot_ in same}
    assert told.kept == len(same)
