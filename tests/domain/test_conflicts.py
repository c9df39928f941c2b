"""What is made of slots that meet: for any slots, by every strategy, and the same whenever it is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain import conflicts as c
from horae.domain import timing as t
from horae.domain.timing.ical import held

BEGIN = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WINDOW = 10
ANY = st.lists(st.integers(0, 120), min_size=1, max_size=6, unique=True).map(sorted)


def at(minute: int) -> t.Next:
    """A slot so many minutes after the beginning."""
    due_at = BEGIN + minute * MINUTE
    plan = t.Plan(zone="UTC", zone_source="timing", tzdata="2026f", branch="normal")
    return t.Next(slot=t.Slot(local=due_at.replace(tzinfo=None)), due_at=due_at, plan=plan)


def other(number: int, minutes: list[int], priority: int = 2, channel: str = "log:") -> c.Other:
    """Another schedule."""
    return c.Other(UUID(int=number), priority, channel, len(minutes) > 1, tuple(at(minute) for minute in minutes))


def look(minutes: list[int], others: list[c.Other], *, priority: int = 2, channel: str | None = "log:") -> c.Look:
    """A schedule among others, all of whose slots are known."""
    return c.Look(
        slots=[at(minute) for minute in minutes],
        priority=priority,
        channel=channel,
        recurring=len(minutes) > 1,
        others=others,
        position=7,
        complete_until=None,
        others_until=BEGIN + timedelta(days=99),
    )


def decided(strategy: c.Strategy, minutes: list[int], *others: c.Other, priority: int = 2) -> c.Settlement:
    policy = c.ConflictPolicy(strategy=strategy, window=WINDOW * MINUTE, max_shift=90 * MINUTE)
    return c.decide(policy, look(minutes, list(others), priority=priority))


def free(minutes: list[int], others: list[list[int]]) -> bool:
    """By looking at every pair."""
    return all(abs(one - two) >= WINDOW for one in minutes for each in others for two in each)


OTHERS = st.lists(ANY, max_size=4)


@pytest.mark.covers("SCH-05")
@given(ANY, OTHERS)
def test_slots_meet_when_less_than_the_window_lies_between(minutes: list[int], others: list[list[int]]) -> None:
    """Both ways, and each of the others is named once, with the first meeting."""
    settled = decided("reject", minutes, *(other(number, each) for number, each in enumerate(others)))
    meeting = [number for number, each in enumerate(others) if not free(minutes, [each])]
    assert settled.action == ("rejected" if meeting else "none")
    assert sorted(met.schedule.int for met in settled.against) == meeting
    for met in settled.against:
        first = min(one for one in minutes if not free([one], [others[met.schedule.int]]))
        assert met.due_at == at(first).due_at
        assert abs(met.due_at - met.other_due_at) < WINDOW * MINUTE


@given(ANY, OTHERS)
def test_a_shift_frees_every_slot_and_no_shorter_one_would(minutes: list[int], others: list[list[int]]) -> None:
    """Everything lies on minutes, so the brute force tries them all."""
    settled = decided("shift", minutes, *(other(number, each) for number, each in enumerate(others)))
    fitting = [by for by in range(91) if free([minute + by for minute in minutes], others)]
    if not fitting:
        assert (settled.action, settled.shifted_by) == ("rejected", None)
    elif fitting[0] == 0:
        assert settled.action == "none"
    else:
        assert (settled.action, settled.shifted_by) == ("shifted", fitting[0] * MINUTE)


@given(ANY, st.lists(st.tuples(ANY, st.integers(1, 5)), max_size=4), st.integers(1, 5))
def test_what_is_left_by_priority_does_not_meet(
    minutes: list[int], others: list[tuple[list[int], int]], priority: int
) -> None:
    """Ours gives way to its equals and betters only, theirs to their betters only."""
    there = [other(number, each, rank) for number, (each, rank) in enumerate(others)]
    settled = decided("highest_priority", minutes, *there, priority=priority)
    skipped = {slot.local for slot in settled.skipped}
    if settled.action == "given_way":
        skipped = {at(minute).slot.local for minute in minutes}
    given_up = {(given.schedule.int, given.slot.local) for given in settled.given_up}
    kept = [minute for minute in minutes if at(minute).slot.local not in skipped]
    left = [[m for m in each if (n, at(m).slot.local) not in given_up] for n, (each, _) in enumerate(others)]
    assert free(kept, left)
    assert all(others[number][1] < priority for number, _ in given_up)
    for minute in minutes:
        betters = [each for each, rank in others if rank >= priority and not free([minute], [each])]
        assert (at(minute).slot.local in skipped) == bool(betters)


@given(ANY, OTHERS, st.sampled_from(["allow", "reject", "shift", "merge", "highest_priority"]), st.randoms())
def test_the_order_in_which_others_are_found_does_not_matter(
    minutes: list[int], others: list[list[int]], strategy: c.Strategy, random: object
) -> None:
    """A decision depends on what is there, not on how it was read."""
    there = [other(number, each) for number, each in enumerate(others)]
    first = decided(strategy, minutes, *there)
    random.shuffle(there)  # type: ignore[attr-defined]
    assert decided(strategy, minutes, *there) == first


def test_merged_is_what_goes_out_together_each_time() -> None:
    """Slot by slot, over one channel, and no more often; the first that fits takes it in."""
    odd, twin = other(1, [0, 60]), other(2, [5, 65, 125])
    settled = decided("merge", [0, 60, 120], odd, twin)
    assert (settled.action, settled.into) == ("merged", UUID(int=2))
    assert decided("merge", [0, 60, 120], odd).action == "rejected"
    assert decided("merge", [0], other(1, [0], channel="webhook:https://example.com")).action == "rejected"
    assert decided("merge", [0], other(1, [0])).into == UUID(int=1)


def test_nothing_is_claimed_of_what_was_not_looked_at() -> None:
    """A shift to where the others are not known is refused, as is one too long."""
    policy = c.ConflictPolicy(strategy="shift", window=WINDOW * MINUTE, max_shift=90 * MINUTE)
    short = c.Look(
        slots=[at(0)],
        priority=2,
        channel=None,
        recurring=False,
        others=[other(1, [0])],
        position=7,
        complete_until=None,
        others_until=BEGIN + 15 * MINUTE,
    )
    settled = c.decide(policy, short)
    assert (settled.action, settled.why) == ("rejected", "the others have too many slots to look through")


DAILY = t.Every(cron="30 2 * * *", zone="Europe/Berlin", jitter=timedelta(minutes=5))
CONTEXT = t.Context(now=datetime(2027, 3, 25, tzinfo=UTC), schedule_id=UUID(int=5))


@given(st.integers(1, 48 * 60), st.integers(0, 400))
def test_a_shifted_series_is_the_series_later(by: int, skip: int) -> None:
    """Same slots and reasons, each instant later by as much, from wherever it is read, over clock changes."""
    plain = t.normalise(DAILY, CONTEXT)
    moved = plain.model_copy(update={"shifted_by": by * MINUTE})
    since = CONTEXT.now + timedelta(hours=skip)
    slots = t.preview(plain, 12, CONTEXT, since).slots
    later = t.preview(moved, 12, CONTEXT, since + by * MINUTE).slots
    assert [(at.slot, at.due_at + by * MINUTE) for at in slots] == [(at.slot, at.due_at) for at in later]
    assert all(at.plan.reasons[-2].code == "conflict_shifted" for at in later)
    assert t.following(moved, later[0], CONTEXT) == later[1]
    assert t.after(moved, later[3].due_at, CONTEXT) == later[4]
    assert t.find(moved, later[5].slot, CONTEXT) == later[5]


def test_what_a_client_sends_as_shift_is_ignored() -> None:
    """The service sets it, as it does the other fields of what a timing came to."""
    sent = t.At(at=datetime(2027, 4, 1, tzinfo=UTC), shifted_by=timedelta(hours=1))
    assert t.normalise(sent, CONTEXT) == t.At(at=datetime(2027, 4, 1, tzinfo=UTC))


def test_calendar_programs_are_told_of_a_shift() -> None:
    """A shifted series goes out off its rule, so that a feed tells it slot by slot."""
    plain = t.normalise(t.Every(cron="30 2 * * *", zone="UTC"), CONTEXT)
    assert isinstance(plain, t.Every)
    assert held(plain, "UTC") is not None
    assert held(plain.model_copy(update={"shifted_by": MINUTE}), "UTC") is None
