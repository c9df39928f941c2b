"""A slot comes due: claimed, late, missed, expired, passed, deferred or suppressed; and where the series goes on."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.occurrence import firing
from horae.domain.timing import values as timings
from tests.domain.makers import (
    AT_NOON,
    COMMON,
    DAILY,
    DAY,
    HOUR,
    NOW,
    OWNER,
    claimed,
    context,
    created,
    ended,
    next_on,
    slot,
)
from tests.domain.spec import given_occurrence, occurrence_of, schedule_of

PAUSED, CANCELLED = s.SchedulePaused(), s.ScheduleCancelled()
DUE = next_on(1).due_at


def daily(policy: str = "once", within: str = "P1D", **more: Any) -> s.ScheduleCreated:
    timing = DAILY.model_copy(update={"missed": t.Missed(policy=policy, within=within)})
    return created(timing, **more)


def fire(*schedule: s.ScheduleEvent, at: t.Next | None = None, now: datetime = DUE, row: o.Row = "slot") -> o.Fire:
    state = schedule_of(*schedule or (created(),))
    return o.Fire(
        schedule=state,
        at=at or next_on(1),
        row=row,
        origin="slot" if row == "slot" else "trigger",
        owner=OWNER,
        now=now,
        context=context(now, exceptions=state.exceptions),
    )


def missed(first: int, last: int, next_: t.Next | None, policy: str) -> o.OccurrenceMissed:
    return o.OccurrenceMissed(
        **COMMON,
        schedule_version=1,
        slot=slot(first),
        due_at=next_on(first).due_at,
        to=slot(last),
        to_due_at=next_on(last).due_at,
        count=last - first + 1,
        policy=policy,
        next=next_,
    )


def deferred(row: o.Row = "slot") -> o.OccurrenceDeferred:
    return o.OccurrenceDeferred(
        **COMMON,
        schedule_version=1,
        origin="slot",
        slot=slot(1),
        due_at=DUE,
        until=DUE + HOUR,
        rule="quiet_hours",
        reason="it is night",
        moves=row == "slot",
        next=next_on(2) if row == "slot" else None,
    )


def test_a_claim_names_its_owner_and_the_slot_that_follows() -> None:
    """The one event that makes an occurrence ours also moves the series on."""
    given_occurrence().when(fire()).then(claimed())
    state = occurrence_of(claimed())
    assert state is not None
    assert (state.phase, state.attempt, state.owner, state.version) == (o.Phase.EXECUTING, 1, OWNER, 1)


def test_the_following_slot_is_never_a_skipped_one() -> None:
    """An exception is passed over when the series moves on."""
    skipped = s.SlotSkipped(slot=slot(2), occurrence=COMMON["schedule"], due_at=NOW, next_unchanged=True)
    event = given_occurrence().when(fire(created(), skipped)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)
    assert event.next == next_on(3)


def test_a_trigger_moves_nothing() -> None:
    """An occurrence that came by its own row leaves the series alone."""
    given_occurrence().when(fire(row="occurrence")).then(claimed(origin="trigger", moves=False, next=None))


def test_a_one_off_has_nothing_after_it() -> None:
    """Its claim ends the chain, however late: one-offs always fire."""
    noon = created(AT_NOON).next
    event = given_occurrence().when(fire(created(AT_NOON), at=noon, now=noon.due_at + 40 * DAY)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)
    assert (event.moves, event.next) == (True, None)
    assert [reason.code for reason in event.plan.reasons] == ["late"]


@pytest.mark.parametrize("row", ["slot", "occurrence"])
def test_nothing_is_claimed_of_a_schedule_that_is_not_active(row: o.Row) -> None:
    """Paused: it waits. Cancelled: the slot is gone, and what waited by itself ends cancelled."""
    given_occurrence().when(fire(created(), PAUSED, row=row)).then()
    events = given_occurrence().when(fire(created(), CANCELLED, row=row)).events()
    if row == "slot":
        assert events == []
    else:
        assert [event.outcome for event in events if isinstance(event, o.OccurrenceEnded)] == [o.Outcome.CANCELLED]


def test_a_slot_that_was_handled_before_is_passed() -> None:
    """Clocks and resumes may bring the series upon an old slot again: it is not fired twice, the series moves on."""
    passed = o.SlotPassed(**COMMON, schedule_version=1, slot=slot(1), next=next_on(2))
    given_occurrence(claimed()).when(fire()).then(passed)
    given_occurrence(claimed(), ended(o.Outcome.DELIVERED)).when(fire()).then(passed)
    given_occurrence(claimed()).when(fire(created(), PAUSED)).then()
    given_occurrence(claimed()).when(fire(row="occurrence")).then()


def test_a_late_slot_within_bounds_fires_and_says_how_late() -> None:
    """Up to `within` a slot simply goes out late, and its plan says so."""
    event = given_occurrence().when(fire(now=DUE + HOUR)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)
    assert [(reason.code, "3600.0 s" in reason.text) for reason in event.plan.reasons] == [("late", True)]


def test_skip_gives_up_every_slot_that_is_too_late() -> None:
    """One event covers the run; the series goes on with the first that is still in time."""
    now = next_on(4).due_at + HOUR
    given_occurrence().when(fire(daily("skip"), now=now)).then(missed(1, 3, next_on(4), "skip"))
    given_occurrence().when(fire(daily("skip", "PT10M"), now=now)).then(missed(1, 4, next_on(5), "skip"))


def test_once_catches_up_on_the_newest() -> None:
    """With nothing else due, the newest of the missed run fires; its plan says that it catches up."""
    now = next_on(4).due_at + HOUR
    tight = daily("once", "PT10M")
    given_occurrence().when(fire(tight, now=now)).then(missed(1, 3, next_on(4), "once"))
    event = given_occurrence().when(fire(tight, at=next_on(4), now=now)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)
    assert [reason.code for reason in event.plan.reasons] == ["late", "catch_up"]


def test_once_does_not_catch_up_when_a_newer_slot_fires_anyway() -> None:
    """A slot that is due and in time is the newest: the whole run before it is missed."""
    given_occurrence().when(fire(daily("once"), now=next_on(4).due_at + HOUR)).then(missed(1, 3, next_on(4), "once"))


def test_all_fires_every_slot_however_late() -> None:
    """One by one, each naming the next."""
    event = given_occurrence().when(fire(daily("all"), now=DUE + 9 * DAY)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)
    assert event.next == next_on(2)


def test_all_makes_up_for_the_newest_and_gives_up_the_rest() -> None:
    """Beyond the limit the older ones are missed, as one run; behind it each is sent."""
    now = next_on(9).due_at + HOUR
    timing = DAILY.model_copy(update={"missed": t.Missed(policy="all", within="PT10M", limit=3)})
    given_occurrence().when(fire(created(timing), now=now)).then(missed(1, 6, next_on(7), "all"))
    for day in (7, 8, 9):
        event = given_occurrence().when(fire(created(timing), at=next_on(day), now=now)).events()[0]
        assert isinstance(event, o.OccurrenceClaimed)


def test_all_makes_up_for_a_hundred_unless_it_says_how_many() -> None:
    """A day's slot a hundred and one days late is given up; a hundred days late it is sent."""
    event = given_occurrence().when(fire(daily("all", "PT10M"), now=DUE + 100 * DAY + HOUR)).events()[0]
    assert isinstance(event, o.OccurrenceMissed)
    assert (event.count, event.next) == (1, next_on(2))
    event = given_occurrence().when(fire(daily("all", "PT10M"), now=DUE + 99 * DAY + HOUR)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)


def test_a_run_at_the_end_of_a_series_ends_it() -> None:
    """Skipped: nothing is left. Once: the last slot is caught up on, and then nothing is left."""
    now = next_on(9).due_at
    last_three = {"ends_at": slot(3).local, "missed": t.Missed(policy="skip", within="PT10M")}
    short = DAILY.model_copy(update=last_three)
    given_occurrence().when(fire(created(short), now=now)).then(missed(1, 3, None, "skip"))
    once = short.model_copy(update={"missed": t.Missed(policy="once", within="PT10M")})
    given_occurrence().when(fire(created(once), now=now)).then(missed(1, 2, next_on(3), "once"))


def test_one_event_covers_a_bounded_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding never stalls over a long outage: the chain goes on behind the limit."""
    monkeypatch.setattr(firing, "MISSED_RUN_LIMIT", 2)
    now = next_on(9).due_at
    given_occurrence().when(fire(daily("skip", "PT10M"), now=now)).then(missed(1, 2, next_on(3), "skip"))
    given_occurrence().when(fire(daily("once", "PT10M"), now=now)).then(missed(1, 2, next_on(3), "once"))
    monkeypatch.setattr(timings, "CATCH_UP", 3)
    given_occurrence().when(fire(daily("all", "PT10M"), now=now)).then(missed(1, 2, next_on(3), "all"))


def test_an_occurrence_past_its_time_to_live_expires() -> None:
    """Too old is worse than not at all, if the client said so; at the very instant it is still good."""
    short = created(expires_after=timedelta(minutes=5))
    event = given_occurrence().when(fire(short, now=DUE + HOUR)).events()[0]
    assert isinstance(event, o.OccurrenceEnded)
    assert (event.outcome, event.attempt, event.moves, event.next) == (o.Outcome.EXPIRED, 0, True, next_on(2))
    in_time = given_occurrence().when(fire(short, now=DUE + timedelta(minutes=5))).events()[0]
    assert isinstance(in_time, o.OccurrenceClaimed)


def rule(kind: type[o.Defer] | type[o.Suppress], row: o.Row = "slot") -> o.Defer | o.Suppress:
    facts: dict[str, Any] = {
        "schedule": schedule_of(created()),
        "at": next_on(1),
        "row": row,
        "origin": "slot",
        "rule": "quiet_hours",
        "reason": "it is night",
        "context": context(),
    }
    return o.Defer(until=DUE + HOUR, **facts) if kind is o.Defer else o.Suppress(**facts)


def test_a_deferred_occurrence_waits_by_itself() -> None:
    """The series moves on, the occurrence gets a row of its own, and may be deferred again or claimed from there."""
    given_occurrence().when(rule(o.Defer)).then(deferred())
    given_occurrence(deferred()).when(rule(o.Defer, "occurrence")).then(deferred("occurrence"))
    event = given_occurrence(deferred()).when(fire(row="occurrence", now=DUE + HOUR)).events()[0]
    assert isinstance(event, o.OccurrenceClaimed)
    assert not event.moves


def test_a_suppressed_occurrence_ends_with_its_reason() -> None:
    """The outcome names rule and reason, and the series moves on."""
    event = given_occurrence().when(rule(o.Suppress)).events()[0]
    assert isinstance(event, o.OccurrenceEnded)
    assert (event.outcome, event.reason, event.next) == (o.Outcome.SUPPRESSED, "quiet_hours: it is night", next_on(2))


@pytest.mark.parametrize("kind", [o.Defer, o.Suppress])
def test_rules_have_no_say_after_the_claim(kind: type[o.Defer] | type[o.Suppress]) -> None:
    """What is claimed is on its way; what has ended has ended."""
    for events in ((claimed(),), (claimed(), ended(o.Outcome.DELIVERED))):
        for row in ("slot", "occurrence"):
            given_occurrence(*events).when(rule(kind, row)).then()
