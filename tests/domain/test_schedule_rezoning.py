"""What another release of the zone data does to a planned slot, held against the two releases' own bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.timing import zonedata
from horae.infra.zonedata import Release, open_release
from tests.domain.makers import SCHEDULE, context, created
from tests.fixtures.zone_releases import ZoneReleases

NOW = datetime(2026, 8, 1, tzinfo=UTC)
CHANGE = UUID(int=7)
VANCOUVER, CASABLANCA = "America/Vancouver", "Africa/Casablanca"
ZONES = (VANCOUVER, CASABLANCA, "America/Edmonton", "Europe/Chisinau", "Canada/Pacific", "Europe/Berlin", "Asia/Tokyo")


@pytest.fixture(scope="module")
def old(zone_releases: ZoneReleases) -> Release:
    """2025c."""
    return open_release(zone_releases.folder("2025c"))


@pytest.fixture(scope="module")
def new(zone_releases: ZoneReleases) -> Release:
    """2026c."""
    return open_release(zone_releases.folder("2026c"))


@pytest.fixture(autouse=True)
def the_installed_one_again() -> Iterator[None]:
    with zonedata.using(zonedata.INSTALLED):
        yield


def planned(release: Release, timing: t.Timing, now: datetime = NOW) -> s.Schedule:
    """A schedule as this release plans it."""
    zonedata.use(release)
    return s.evolve(None, SCHEDULE, created(timing, now=now, context=context(now)))


def rezoned(
    release: Release, before: s.Schedule, now: datetime = NOW, keep: s.Keep = "wall_time", **more: Any
) -> s.Rezoned | None:
    """What that release makes of it."""
    zonedata.use(release)
    current = s.Current(next=before.next)
    return s.rezone(s.Rezone(change=CHANGE, keep=keep, context=context(now), current=current, **more), before)


def instant(release: Release, local: datetime, zone: str) -> datetime:
    """Of a local time, read from the release's bytes by Python alone; a gap moves on by its length."""
    rules: Any = ZoneInfo.from_file(io.BytesIO(release.read(f"zoneinfo/{zone}")))
    return local.replace(tzinfo=rules).astimezone(UTC)


@pytest.mark.covers("TZ-01", "TZ-29")
@settings(max_examples=150)
@given(
    zone=st.sampled_from(ZONES),
    local=st.datetimes(datetime(2026, 8, 3), datetime(2031, 7, 1)),  # noqa: DTZ001 - local times are naive
    keep=st.sampled_from(["wall_time", "instant"]),
)
def test_a_slot_moves_exactly_if_the_rules_of_its_zone_do(
    old: Release, new: Release, zone: str, local: datetime, keep: s.Keep
) -> None:
    """To where the newer release has its local time, or it stays and says so; taken back, all is as before."""
    local = local.replace(microsecond=0, fold=0)  # a written local time has no fold, and may be drawn with one
    before = planned(old, t.At(local=local, zone=zone))
    assert before.next is not None
    was, is_ = instant(old, local, zone), instant(new, local, zone)
    assert before.next.due_at == was
    moved = rezoned(new, before, keep=keep)
    if was == is_:
        assert moved is None
        return
    assert moved is not None
    assert (moved.event.before, moved.after and moved.after.due_at) == (before.next, is_)
    after = s.evolve(before, SCHEDULE, moved.event)
    assert after.next is not None
    assert after.next.due_at == (is_ if keep == "wall_time" else was)
    assert (after.next.slot, after.next.plan.tzdata) == (before.next.slot, "2026c")
    assert rezoned(new, after, keep=keep) is None or keep == "instant"
    command = s.Restore(
        change=CHANGE, moved=moved.event, version=2, context=context(NOW), current=s.Current(next=after.next)
    )
    back = s.restore(command, after)
    assert isinstance(back, s.ScheduleReplanned)
    assert s.evolve(after, SCHEDULE, back).next == before.next


def test_a_delay_of_hours_is_so_many_hours(old: Release, new: Release) -> None:
    """Whatever the clocks show then; a delay of months is a time on the clock."""
    hours = planned(old, t.In.model_validate({"delay": "PT3000H", "zone": VANCOUVER}))
    assert rezoned(new, hours) is None
    months = rezoned(new, planned(old, t.In.model_validate({"delay": "P4M", "zone": VANCOUVER})))
    assert months is not None
    assert months.after is not None
    assert months.after.due_at - months.event.before.due_at == timedelta(hours=-1)


@pytest.mark.covers("SCH-02", "TZ-29")
@pytest.mark.parametrize(
    ("delay", "by"), [("PT3000H", 0), ("PT180000M", 0), ("P4M", -1), ("P4MT1H", -1)], ids=["h", "min", "month", "both"]
)
def test_a_paused_delay_goes_on_at_its_instant(old: Release, new: Release, delay: str, by: int) -> None:
    """Hours are so many hours also where newer zone data moved the local time that they had come to meanwhile."""
    before = planned(old, t.In.model_validate({"delay": delay, "zone": VANCOUVER}))
    assert before.next is not None
    paused = s.evolve(before, SCHEDULE, s.SchedulePaused())
    zonedata.use(new)
    later = context(NOW + timedelta(days=9))
    (resumed,) = s.decide(s.Resume(context=later, current=s.Current(next=s.one_off_slot(paused, later))), paused)
    assert isinstance(resumed, s.ScheduleResumed)
    assert resumed.next is not None
    assert resumed.next.slot == before.next.slot
    assert resumed.next.due_at - before.next.due_at == timedelta(hours=by)
    assert t.find(paused.timing, before.next.slot, context(NOW)) == resumed.next


DAILY = t.Every(cron="0 9 * * *", zone=VANCOUVER)


def test_a_slot_whose_new_instant_has_passed_goes_out_at_once(old: Release, new: Release) -> None:
    """09:00 in Vancouver was 17:00 UTC and is 16:00: at 16:30 it is late, not left out."""
    now = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)
    moved = rezoned(new, planned(old, DAILY, now), now)
    assert moved is not None
    assert moved.event.next is not None
    assert moved.event.before.due_at == datetime(2026, 11, 20, 17, tzinfo=UTC)
    assert (moved.event.next.slot, moved.event.next.due_at) == (
        moved.event.before.slot,
        datetime(2026, 11, 20, 16, tzinfo=UTC),
    )


def test_what_went_out_already_does_not_come_again(old: Release, new: Release) -> None:
    """09:00 in Casablanca was 08:00 UTC and is 09:00: at 08:30 today's slot lies ahead again, and has been sent."""
    now = datetime(2026, 10, 1, 8, 30, tzinfo=UTC)
    before = planned(old, DAILY.model_copy(update={"zone": CASABLANCA}))
    before = replace(before, next=t.after(before.timing, now, context(now)))
    assert before.next is not None
    assert before.next.due_at == datetime(2026, 10, 2, 8, tzinfo=UTC)
    zonedata.use(new)
    (today,) = s.coming_again(before, before.next, context(now))
    assert today.local == datetime(2026, 10, 1, 9)  # noqa: DTZ001 - local times are naive
    moved = rezoned(new, before, now, handled=[today])
    assert moved is not None
    assert moved.event.next is not None
    assert moved.event.next.due_at == datetime(2026, 10, 2, 9, tzinfo=UTC)
    # One that has not been sent, because it did not exist or nobody was there, comes.
    fresh = rezoned(new, before, now)
    assert fresh is not None
    assert fresh.event.next is not None
    assert fresh.event.next.slot == today


def test_a_slot_that_is_no_more_gives_way_to_the_next(old: Release, new: Release) -> None:
    """The second 01:30 of the night in which Vancouver's clocks no longer go back."""
    moved = rezoned(new, planned(old, t.Every(cron="30 1 1 11 *", zone=VANCOUVER, overlap="second")))
    assert moved is not None
    assert moved.event.next is not None
    assert (moved.event.before.slot.fold, moved.event.next.slot.fold) == (1, 0)
    assert moved.event.next.due_at == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)


def test_what_is_due_or_rests_is_left_alone(old: Release, new: Release) -> None:
    """A slot that is due is being claimed; paused and cancelled schedules have none."""
    before = planned(old, t.At(local=datetime(2026, 11, 20, 9), zone=VANCOUVER))  # noqa: DTZ001 - local
    assert before.next is not None
    assert rezoned(new, before, now=before.next.due_at) is None
    for status in (s.Status.PAUSED, s.Status.CANCELLED):
        assert rezoned(new, replace(before, status=status)) is None


def test_what_has_moved_on_is_not_put_back(old: Release, new: Release) -> None:
    """It has gone out, is due, was paused or changed: each is named, and nothing happens."""
    before = planned(old, DAILY, datetime(2026, 11, 14, tzinfo=UTC))
    moved = rezoned(new, before, now=datetime(2026, 11, 14, tzinfo=UTC))
    assert moved is not None
    after = s.evolve(before, SCHEDULE, moved.event)
    assert after.next is not None
    later = t.following(before.timing, after.next, context(NOW))

    def why(state: s.Schedule, current: t.Next | None, now: datetime = NOW) -> s.ScheduleReplanned | str:
        return s.restore(
            s.Restore(
                change=CHANGE, moved=moved.event, version=2, context=context(now), current=s.Current(next=current)
            ),
            state,
        )

    assert why(after, later) == "it has gone out or was changed since"
    assert why(after, None) == "it has gone out or was changed since"
    assert why(after, after.next, after.next.due_at) == "it is going out"
    assert why(replace(after, status=s.Status.PAUSED), None) == "it is paused"
    assert isinstance(why(after, after.next), s.ScheduleReplanned)
