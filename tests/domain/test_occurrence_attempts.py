"""Attempts of a claimed occurrence: results, retries, lost workers, replays and reports, in both delivery modes."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.delivery import MAX_LOST_ATTEMPTS, Delivery, Failure, Mode, Retry
from horae.domain.errors import Conflict
from tests.domain.makers import COMMON, DAY, HOUR, NOW, OWNER, claimed, created, ended, failed, failure, started
from tests.domain.spec import given_occurrence, occurrence_of, schedule_of

PAUSED, CANCELLED = s.SchedulePaused(), s.ScheduleCancelled()
ONCE, LEAST = Mode.AT_MOST_ONCE, Mode.AT_LEAST_ONCE
SECOND = timedelta(seconds=1)


def schedule(*more: s.ScheduleEvent, mode: Mode = LEAST, **created_with: Any) -> s.Schedule:
    return schedule_of(created(**{"delivery": Delivery(mode=mode), **created_with}), *more)


def attempt(
    state: s.Schedule | None = None, now: datetime = NOW + HOUR, overtaken_by: UUID | None = None
) -> o.StartAttempt:
    return o.StartAttempt(schedule=state or schedule(), owner=OWNER, now=now, overtaken_by=overtaken_by)


def record(problem: Failure, number: int = 1, mode: Mode = LEAST, **retry: Any) -> o.RecordFailed:
    delivery = Delivery(mode=mode, retry=Retry(**retry))
    return o.RecordFailed(
        schedule=schedule(delivery=delivery),
        attempt=number,
        failure=problem,
        started_at=NOW,
        duration_ms=12.5,
        now=NOW,
    )


def delivered(number: int = 1) -> o.RecordDelivered:
    return o.RecordDelivered(
        schedule=schedule(), attempt=number, started_at=NOW, duration_ms=12.5, response={"status_code": 204}
    )


def outcome_of(command: o.Command, *past: o.AnyOccurrenceEvent) -> o.Outcome | None:
    state = occurrence_of(*past)
    for event in o.decide(command, state):
        state = o.evolve(state, claimed().schedule, event)
    return state.outcome if state else None


@pytest.mark.covers("DSP-36", "DAT-06.05", "DAT-06.08")
def test_a_delivery_ends_the_occurrence_with_what_the_channel_said() -> None:
    """Attempt, start, duration and answer are on record."""
    given_occurrence(claimed()).when(delivered()).then(
        o.OccurrenceEnded(
            **COMMON,
            outcome=o.Outcome.DELIVERED,
            reason="the channel accepted it",
            attempt=1,
            started_at=NOW,
            duration_ms=12.5,
            response={"status_code": 204},
        )
    )


@pytest.mark.parametrize(
    "past",
    [(), (claimed(), failed()), (claimed(), ended(o.Outcome.DELIVERED)), (claimed(), failed(), started(2))],
    ids=["unclaimed", "retrying", "ended", "another attempt"],
)
def test_a_result_counts_only_for_the_open_attempt(past: tuple[o.AnyOccurrenceEvent, ...]) -> None:
    """A worker that was given up for dead and reports late changes nothing."""
    given_occurrence(*past).when(delivered()).then()
    given_occurrence(*past).when(record(failure())).then()


@pytest.mark.covers("DSP-28", "DSP-31", "DAT-06.07")
def test_a_failure_is_tried_again_after_the_delay_of_its_policy() -> None:
    """Three retries after 5, 10 and 20 seconds, then a dead letter that says how often."""
    past: list[o.AnyOccurrenceEvent] = [claimed()]
    for number, wait_s in ((1, 5), (2, 10), (3, 20)):
        event = given_occurrence(*past).when(record(failure(), number)).events()
        assert [(e.attempt, e.retry_at) for e in event if isinstance(e, o.AttemptFailed)] == [
            (number, NOW + wait_s * SECOND)
        ]
        past += [failed(number), started(number + 1)]
    last = given_occurrence(*past).when(record(failure(), 4)).events()
    assert [e.name for e in last] == ["occurrence.attempt_failed.v1", "occurrence.ended.v1"]
    assert isinstance(last[0], o.AttemptFailed)
    assert isinstance(last[1], o.OccurrenceEnded)
    assert last[0].retry_at is None
    assert (last[1].outcome, last[1].reason) == (o.Outcome.DEAD_LETTERED, "4 of 4 attempts failed: HTTP 500")


def test_the_receivers_wish_to_wait_is_honoured_for_a_day_at_most() -> None:
    """Retry-After lengthens the delay, never shortens it, and cannot park an occurrence for ever."""
    for wish_s, wait in ((60.0, timedelta(seconds=60)), (1.0, timedelta(seconds=5)), (1e9, DAY)):
        event = given_occurrence(claimed()).when(record(failure(status_code=503, retry_after_s=wish_s))).events()[0]
        assert isinstance(event, o.AttemptFailed)
        assert event.retry_at == NOW + wait


@pytest.mark.covers("DSP-32", "DAT-12.03")
def test_what_is_not_worth_trying_again_is_a_dead_letter_at_once() -> None:
    """A receiver that is gone (410) or a refused target ends the occurrence on the first attempt."""
    events = given_occurrence(claimed()).when(record(failure(status_code=410, retryable=False))).events()
    assert isinstance(events[1], o.OccurrenceEnded)
    assert events[1].outcome is o.Outcome.DEAD_LETTERED
    assert events[1].reason.startswith("not worth another attempt")


RETRY = None


@pytest.mark.covers("DSP-27", "DSP-37")
@pytest.mark.parametrize(
    ("mode", "problem", "expected"),
    [
        (LEAST, {"kind": "timeout", "status_code": None}, RETRY),
        (LEAST, {"status_code": 500}, RETRY),
        (LEAST, {"status_code": 400, "retryable": False}, o.Outcome.DEAD_LETTERED),
        (ONCE, {"kind": "dns", "status_code": None, "nothing_arrived": True}, RETRY),
        (ONCE, {"kind": "connect", "status_code": None, "nothing_arrived": True}, RETRY),
        (ONCE, {"status_code": 429, "nothing_arrived": True}, RETRY),
        (ONCE, {"status_code": 503, "nothing_arrived": True}, RETRY),
        (ONCE, {"kind": "timeout", "status_code": None}, o.Outcome.UNKNOWN),
        (ONCE, {"kind": "io", "status_code": None}, o.Outcome.UNKNOWN),
        (ONCE, {"status_code": 500}, o.Outcome.UNKNOWN),
        (ONCE, {"status_code": 502}, o.Outcome.UNKNOWN),
        (ONCE, {"status_code": 400, "retryable": False}, o.Outcome.DEAD_LETTERED),
        (ONCE, {"status_code": 408}, o.Outcome.DEAD_LETTERED),
        (
            ONCE,
            {"kind": "refused_target", "status_code": None, "nothing_arrived": True, "retryable": False},
            o.Outcome.DEAD_LETTERED,
        ),
    ],
)
def test_what_a_failure_leads_to(mode: Mode, problem: dict[str, Any], expected: o.Outcome | None) -> None:
    """at_most_once repeats only what cannot have arrived; what nobody can tell ends unknown, a refusal is a refusal."""
    assert outcome_of(record(failure(**problem), mode=mode), claimed()) is expected


def test_at_most_once_gives_up_like_others_when_retries_run_out() -> None:
    """Nothing arrived, ever: that is a dead letter, not an unknown."""
    problem = failure(kind="dns", status_code=None, nothing_arrived=True)
    assert outcome_of(record(problem, mode=ONCE, retries=0), claimed()) is o.Outcome.DEAD_LETTERED


def test_a_further_attempt_has_one_owner() -> None:
    """It is an event at the next version; while it is open, no other starts."""
    given_occurrence(claimed(), failed()).when(attempt()).then(started(2))
    for past in ((), (claimed(),), (claimed(), failed(), started(2)), (claimed(), ended(o.Outcome.DELIVERED))):
        given_occurrence(*past).when(attempt()).then()


def test_no_attempt_starts_after_a_cancel_or_in_a_pause() -> None:
    """Cancelled: it ends. Paused: it waits."""
    given_occurrence(claimed(), failed()).when(attempt(schedule(PAUSED))).then()
    reason = "the schedule was cancelled before its next attempt"
    given_occurrence(claimed(), failed()).when(attempt(schedule(CANCELLED))).then(ended(o.Outcome.CANCELLED, 1, reason))


def test_a_retry_past_the_time_to_live_expires() -> None:
    """The time to live counts from the due instant, over all attempts."""
    short = schedule(expires_after=timedelta(minutes=5))
    given_occurrence(claimed(), failed()).when(attempt(short, NOW + 2 * HOUR)).then(
        ended(o.Outcome.EXPIRED, 1, "expired before its next attempt")
    )


def test_what_a_later_one_has_overtaken_is_not_tried_again() -> None:
    """It ends suppressed and names the other. An attempt under way is left alone, and a pause holds this too."""
    other = UUID(int=5)
    reason = f"concurrency: occurrence {other} of a later slot was claimed since"
    given_occurrence(claimed(), failed()).when(attempt(overtaken_by=other)).then(ended(o.Outcome.SUPPRESSED, 1, reason))
    for past in ((claimed(),), (claimed(), failed(), started(2)), (claimed(), ended(o.Outcome.DELIVERED))):
        given_occurrence(*past).when(attempt(overtaken_by=other)).then()
    given_occurrence(claimed(), failed()).when(attempt(schedule(PAUSED), overtaken_by=other)).then()


def test_a_lost_worker_costs_no_retry() -> None:
    """Its attempt is due again at once, with the same id; the retries left are as before."""
    lost = o.RecoverLost(schedule=schedule(), owner=OWNER, now=NOW)
    event = given_occurrence(claimed()).when(lost).events()[0]
    assert isinstance(event, o.AttemptFailed)
    assert (event.failure.kind, event.retry_at) == ("owner_lost", NOW)
    state = occurrence_of(claimed(), event)
    assert state is not None
    assert (state.failed, state.lost) == (0, 1)


def test_only_the_open_attempt_of_that_worker_is_recovered() -> None:
    """Another owner's attempt, a retry that waits, and what has ended are left alone."""
    for past in ((), (claimed(owner=7),), (claimed(), failed()), (claimed(), ended(o.Outcome.DELIVERED))):
        given_occurrence(*past).when(o.RecoverLost(schedule=schedule(), owner=OWNER, now=NOW)).then()


def test_a_lost_worker_ends_an_at_most_once_occurrence_unknown() -> None:
    """Sent or not, nobody can tell, so it is never repeated."""
    lost = o.RecoverLost(schedule=schedule(mode=ONCE), owner=OWNER, now=NOW)
    assert outcome_of(lost, claimed()) is o.Outcome.UNKNOWN


def test_what_kills_workers_is_stopped() -> None:
    """After ten workers have died on it, it is a dead letter."""
    past: list[o.AnyOccurrenceEvent] = [claimed()]
    for number in range(1, MAX_LOST_ATTEMPTS):
        past += [failed(number, kind="owner_lost", status_code=None), started(number + 1)]
    lost = o.RecoverLost(schedule=schedule(), owner=OWNER, now=NOW)
    assert outcome_of(lost, *past) is o.Outcome.DEAD_LETTERED
    assert outcome_of(lost, *past[:-2]) is None


def replay(state: s.Schedule | None = None) -> o.Replay:
    return o.Replay(schedule=state or schedule(), now=NOW + 9 * DAY, reason="fixed")


def replayed() -> o.OccurrenceReplayed:
    return o.OccurrenceReplayed(**COMMON, due_at=NOW + 9 * DAY, reason="fixed")


@pytest.mark.parametrize("outcome", [o.Outcome.DEAD_LETTERED, o.Outcome.UNKNOWN])
def test_a_dead_letter_is_replayed_with_fresh_retries(outcome: o.Outcome) -> None:
    """A new attempt at the same occurrence; the last outcome counts."""
    past = (claimed(), failed(), started(2), failed(2, retry_at=None), ended(outcome, 2))
    given_occurrence(*past).when(replay()).then(replayed())
    state = occurrence_of(*past, replayed())
    assert state is not None
    assert (state.phase, state.failed, state.wake_at) == (o.Phase.RETRYING, 0, NOW + 9 * DAY)
    given_occurrence(*past, replayed()).when(attempt(now=NOW + 9 * DAY)).then(started(3))
    assert outcome_of(delivered(3), *past, replayed(), started(3)) is o.Outcome.DELIVERED


def test_a_replay_lives_from_when_it_was_asked_for() -> None:
    """Asking again for an old message would be in vain if its time to live still counted from its slot."""
    short = schedule(expires_after=HOUR)
    past = (claimed(), failed(retry_at=None), ended(o.Outcome.DEAD_LETTERED), replayed())
    given_occurrence(*past).when(attempt(short, NOW + 9 * DAY)).then(started(2))
    given_occurrence(*past).when(attempt(short, NOW + 10 * DAY)).then(
        ended(o.Outcome.EXPIRED, 1, "expired before its next attempt")
    )


@pytest.mark.parametrize(
    "past",
    [(), (claimed(),), (claimed(), failed())]
    + [(claimed(), ended(each)) for each in o.Outcome if each not in (o.Outcome.DEAD_LETTERED, o.Outcome.UNKNOWN)],
)
def test_only_what_failed_is_replayed(past: tuple[o.AnyOccurrenceEvent, ...]) -> None:
    """What was delivered, or has not ended, is not sent again by a replay."""
    given_occurrence(*past).when(replay()).then_raises(Conflict, field="occurrence")


def test_nothing_of_a_cancelled_schedule_is_replayed() -> None:
    """The cancel stands; a clone is the way."""
    given_occurrence(claimed(), ended(o.Outcome.DEAD_LETTERED)).when(replay(schedule(CANCELLED))).then_raises(
        Conflict, field="status", value="cancelled"
    )


def report() -> o.ReportDelivery:
    return o.ReportDelivery(schedule=schedule(), status="bounced", at=NOW, detail={"code": 550})


@pytest.mark.covers("DSP-09", "DSP-16")
def test_a_provider_may_tell_what_became_of_a_release() -> None:
    """Its word is kept beside the outcome and changes nothing of it."""
    reported = o.DeliveryReported(**COMMON, status="bounced", at=NOW, detail={"code": 550})
    for past in ((claimed(),), (claimed(), ended(o.Outcome.DELIVERED))):
        given_occurrence(*past).when(report()).then(reported)
    state = occurrence_of(claimed(), ended(o.Outcome.DELIVERED), reported)
    assert state is not None
    assert state.outcome is o.Outcome.DELIVERED


def test_nothing_is_reported_of_what_was_never_released() -> None:
    """There is no release that a provider could speak of."""
    given_occurrence().when(report()).then_raises(Conflict, field="occurrence")
    given_occurrence(ended(o.Outcome.EXPIRED, 0)).when(report()).then_raises(Conflict, field="occurrence")


def test_no_attempt_starts_before_its_time_unless_the_schedule_is_cancelled() -> None:
    """A due row may be older than the failure that put the next attempt off."""
    past = (claimed(), failed(retry_at=NOW + HOUR))
    given_occurrence(*past).when(attempt(now=NOW + HOUR - SECOND)).then()
    given_occurrence(*past).when(attempt(now=NOW + HOUR)).then(started(2))
    (end,) = o.decide(attempt(schedule(CANCELLED), NOW), occurrence_of(*past))
    assert isinstance(end, o.OccurrenceEnded)
    assert end.outcome is o.Outcome.CANCELLED
