"""Slots of a series that were moved by themselves: newer zone data and a recipient who moves leave them their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.ids import occurrence_id
from horae.domain.timing import zonedata
from horae.infra.zonedata import Release, open_release
from tests.domain.makers import HOUR, NOW, SCHEDULE, context, created, next_on, slot, standing
from tests.domain.spec import schedule_of
from tests.fixtures.zone_releases import ZoneReleases

CHANGE = UUID(int=7)
BERLIN, TOKYO, VANCOUVER = "Europe/Berlin", "Asia/Tokyo", "America/Vancouver"
#: Three o'clock on 20 December.
AT_THREE = datetime(2026, 12, 20, 15)  # noqa: DTZ001 - local times are naive
IN_BERLIN, IN_TOKYO = datetime(2026, 12, 20, 14, tzinfo=UTC), datetime(2026, 12, 20, 6, tzinfo=UTC)
OCCURRENCE = occurrence_id(SCHEDULE, slot(4).local, 0)


@pytest.fixture(autouse=True)
def the_installed_one_again() -> Iterator[None]:
    with zonedata.using(zonedata.INSTALLED):
        yield


def moved_to(timing: t.Timing, zone: str | None = BERLIN, series: t.Timing | None = None) -> s.Schedule:
    """A daily series in UTC whose slot of 4 December was moved, by somebody who lived in that zone."""
    state = schedule_of(created(series) if series is not None else created())
    asked = s.ChangeSlot(
        slot=slot(4), changes={"timing": timing}, context=context(recipient_zone=zone), current=standing(next_on(1))
    )
    (event,) = s.decide(asked, state)
    return s.evolve(state, SCHEDULE, event)


def rezoned(
    state: s.Schedule, zone: str = TOKYO, *, now: datetime = NOW, keep: s.Keep = "wall_time", **more: Any
) -> list[s.RezonedSlot]:
    """What a move of the recipient to `zone` makes of it, or (`cause="zone"`) newer zone data."""
    command: dict[str, Any] = {"change": CHANGE, "cause": "recipient", "keep": keep, "current": standing(None)} | more
    return s.rezone_moved(s.Rezone(context=context(now, recipient_zone=zone), **command), state)


def after(state: s.Schedule, found: list[s.RezonedSlot]) -> s.Schedule:
    for each in found:
        state = s.evolve(state, SCHEDULE, each.event)
    return state


def waits_at(state: s.Schedule) -> list[datetime]:
    return [at.due_at for at in state.moved.values()]


@pytest.mark.covers("TZ-04", "LIF-18")
def test_a_slot_that_was_moved_to_a_local_time_moves_with_the_recipient() -> None:
    """From three o'clock to three o'clock; its slot, and the series, stay as they are."""
    before = moved_to(t.At(local=AT_THREE, zone="recipient"))
    assert waits_at(before) == [IN_BERLIN]
    (found,) = rezoned(before)
    assert (found.event.occurrence, found.event.before.due_at, found.after.due_at) == (OCCURRENCE, IN_BERLIN, IN_TOKYO)
    assert (found.event.cause, found.event.detail, found.event.change) == ("recipient", TOKYO, CHANGE)
    then = after(before, [found])
    assert (waits_at(then), set(then.out), then.next) == ([IN_TOKYO], {slot(4)}, before.next)
    (at,) = then.moved.values()
    assert (at.slot, at.plan.zone, at.plan.reasons[-1].code) == (slot(4), TOKYO, "moved")
    assert rezoned(then) == []
    assert waits_at(after(then, rezoned(then, BERLIN))) == [IN_BERLIN]


@pytest.mark.parametrize(
    "timing",
    [
        t.At(at=IN_BERLIN),
        t.At(local=AT_THREE, zone=BERLIN),
        t.At(local=AT_THREE),
        t.In.model_validate({"delay": "PT300H"}),
    ],
    ids=["an instant", "a zone of its own", "the series' zone", "so many hours"],
)
def test_what_was_not_moved_to_their_clock_stays(timing: t.Timing) -> None:
    """It was given as an instant, or by another clock than the recipient's."""
    assert rezoned(moved_to(timing)) == []


def test_a_local_time_is_one_of_the_series() -> None:
    """Where the series follows the recipient, a time without a zone does, too."""
    before = moved_to(t.At(local=AT_THREE), series=t.Every(cron="0 9 * * *", zone="recipient"))
    assert [each.after.due_at for each in rezoned(before)] == [IN_TOKYO]


def test_the_instant_can_be_kept() -> None:
    """The plan says why; it is no question any more until they move on."""
    before = moved_to(t.At(local=AT_THREE, zone="recipient"))
    (found,) = rezoned(before, keep="instant")
    assert (found.event.at.due_at, found.after.due_at) == (IN_BERLIN, IN_TOKYO)
    assert found.event.at.plan.reasons[-1].text == (
        f"Planned in {BERLIN}; in {TOKYO} it would be 2026-12-20 06:00Z. The instant was kept."
    )
    kept = after(before, [found])
    assert rezoned(kept) == []
    (back,) = rezoned(kept, BERLIN)
    assert "instant_kept" not in {reason.code for reason in back.event.at.plan.reasons}


def test_what_is_due_has_begun_or_is_cancelled_is_left_alone() -> None:
    """A paused schedule's waits there all the same; one whose new instant has passed is late."""
    before = moved_to(t.At(local=AT_THREE, zone="recipient"))
    assert rezoned(before, now=IN_BERLIN) == []
    assert rezoned(before, handled=[slot(4)]) == []
    assert rezoned(replace(before, status=s.Status.CANCELLED)) == []
    assert len(rezoned(replace(before, status=s.Status.PAUSED))) == 1
    (late,) = rezoned(before, now=IN_TOKYO + HOUR)
    assert late.event.at.due_at == IN_TOKYO


def test_what_was_stored_without_its_timing_keeps_its_instant() -> None:
    """As slots were that were moved before it was kept."""
    before = moved_to(t.At(local=AT_THREE, zone="recipient"))
    own = replace(before.changes[slot(4)], timing=None)
    assert rezoned(replace(before, changes={slot(4): own})) == []


@pytest.mark.covers("TZ-04", "LIF-18")
def test_the_same_move_gives_a_slot_its_local_time_again() -> None:
    """It stands where it is asked to go, but by no timing, or by the clock of a zone that is only theirs for now."""
    to_their_three = t.At(local=AT_THREE, zone="recipient")
    asked = s.ChangeSlot(
        slot=slot(4),
        changes={"timing": to_their_three},
        context=context(recipient_zone=BERLIN),
        current=standing(next_on(1)),
    )
    moved = moved_to(to_their_three)
    old = replace(moved, changes={slot(4): replace(moved.changes[slot(4)], timing=None)})
    for before in (old, moved_to(t.At(local=AT_THREE, zone=BERLIN))):
        assert rezoned(before) == []
        (event,) = s.decide(asked, before)
        then = s.evolve(before, SCHEDULE, event)
        assert (waits_at(then), [each.after.due_at for each in rezoned(then)]) == ([IN_BERLIN], [IN_TOKYO])
        assert s.decide(asked, then) == []


def test_other_changes_of_the_slot_leave_it_its_time() -> None:
    """Its content is changed, and it still moves; moved anew, to an instant, it stays."""
    before = moved_to(t.At(local=AT_THREE, zone="recipient"))

    def changed(**changes: Any) -> s.Schedule:
        asked = s.ChangeSlot(slot=slot(4), changes=changes, context=context(), current=standing(next_on(1)))
        (event,) = s.decide(asked, before)
        return s.evolve(before, SCHEDULE, event)

    assert [each.after.due_at for each in rezoned(changed(priority=5))] == [IN_TOKYO]
    assert rezoned(changed(timing=t.At(at=IN_BERLIN))) == []


@pytest.mark.covers("TZ-01", "TZ-29")
def test_newer_zone_data_move_it_too(zone_releases: ZoneReleases) -> None:
    """Vancouver gave up standard time: nine o'clock is 16:00 UTC in winter, and was 17:00."""
    old, new = (open_release(zone_releases.folder(name)) for name in ("2025c", "2026c"))
    zonedata.use(old)
    timing = t.At(local=datetime(2026, 12, 20, 9), zone=VANCOUVER)  # noqa: DTZ001 - local
    before = moved_to(timing)
    assert rezoned(before, cause="zone") == []
    zonedata.use(new)
    (found,) = rezoned(before, cause="zone")
    was, is_ = datetime(2026, 12, 20, 17, tzinfo=UTC), datetime(2026, 12, 20, 16, tzinfo=UTC)
    assert (found.event.before.due_at, found.after.due_at, found.event.detail) == (
        was,
        is_,
        "zone data 2025c to 2026c",
    )
    then = after(before, [found])
    assert rezoned(then, cause="zone") == []
    kept = after(before, rezoned(before, cause="zone", keep="instant"))
    assert (waits_at(kept), rezoned(kept, cause="zone")) == ([was], [])
    assert _shifted(old, new) == [was + HOUR, is_ + HOUR]


def _shifted(old: Release, new: Release) -> list[datetime]:
    """The same of one that stands an hour later for other schedules' sake."""
    zonedata.use(old)
    timing = t.At(local=datetime(2026, 12, 20, 9), zone=VANCOUVER)  # noqa: DTZ001 - local
    before = moved_to(timing)
    own = before.changes[slot(4)]
    assert own.at is not None
    assert own.timing is not None
    own = replace(
        own, at=own.at.model_copy(update={"due_at": own.at.due_at + HOUR}), timing=t.shifted(own.timing, HOUR)
    )
    before = replace(before, changes={slot(4): own})
    zonedata.use(new)
    return [*waits_at(before), *waits_at(after(before, rezoned(before, cause="zone")))]


def test_it_is_put_back_unless_somebody_moved_it_since() -> None:
    """Each that stays is named with the reason."""
    before = moved_to(t.At(local=AT_THREE, zone="recipient"))
    (found,) = rezoned(before)
    then = after(before, [found])

    def restored(state: s.Schedule, now: datetime = NOW, *, begun: bool = False) -> s.SlotReplanned | str:
        command = s.RestoreSlot(change=CHANGE, moved=found.event, context=context(now), begun=begun)
        return s.restore_moved(command, state)

    back = restored(then)
    assert isinstance(back, s.SlotReplanned)
    assert (back.before, back.at, back.detail) == (found.event.at, found.event.before, f"undone: {TOKYO}")
    assert s.evolve(then, SCHEDULE, back).moved == before.moved
    gone = "it has gone out or was changed since"
    assert restored(then, begun=True) == gone
    assert restored(before) == gone
    assert restored(replace(then, changes={})) == gone
    assert restored(then, IN_TOKYO) == "it is going out"
    assert restored(replace(then, status=s.Status.CANCELLED)) == "it is cancelled"
    assert isinstance(restored(replace(then, status=s.Status.PAUSED)), s.SlotReplanned)
