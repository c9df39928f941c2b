"""What the claim promises: once, never after a cancel, never on a word that is out of date."""

import asyncio
from datetime import timedelta

import pytest

from horae.domain import schedule as s
from horae.domain import timing as t
from tests.streams.worker import NOON, Worker, at, one_off

MINUTE = timedelta(minutes=1)


@pytest.mark.covers("DSP-01", "DSP-03", "DSP-08")
async def test_a_due_schedule_is_claimed_released_and_recorded(worker: Worker) -> None:
    """Nothing happens before the instant; at it, one claim, one release with its content, one outcome."""
    worker.dispatcher()
    schedule = await worker.create(at(NOON + MINUTE), content={"subject": "Now!"})
    await worker.settle()
    assert worker.channel.releases == []
    await worker.at(NOON + MINUTE)
    occurrence = one_off(schedule, NOON + MINUTE)
    assert await worker.story(occurrence) == ["claimed", "ended:delivered"]
    (release,) = worker.channel.releases
    document = release.document()
    assert document["occurrence_id"] == str(occurrence)
    assert document["due_at"] == "2030-01-01T12:01:00Z"
    assert (document["attempt"], document["content"]) == (1, {"subject": "Now!"})
    assert await worker.slots(schedule) == [((NOON + MINUTE).replace(tzinfo=None), "delivered")]


@pytest.mark.covers("DSP-02", "DSP-04", "DSP-06")
async def test_two_dispatchers_on_the_same_rows_send_each_once(worker: Worker) -> None:
    """Every one of many due occurrences has one claim, by one owner, and one release."""
    worker.dispatcher(1)
    worker.dispatcher(2)
    schedules = await asyncio.gather(*(worker.create(at(NOON + MINUTE), recipient=f"r{i}") for i in range(60)))
    await worker.settle()
    await worker.at(NOON + MINUTE)
    occurrences = [one_off(schedule, NOON + MINUTE) for schedule in schedules]
    assert sorted(r.occurrence for r in worker.channel.releases) == sorted(occurrences)
    for occurrence in occurrences:
        assert await worker.story(occurrence) == ["claimed", "ended:delivered"]


async def test_a_schedule_cancelled_just_before_is_not_sent(worker: Worker) -> None:
    """The dispatcher still holds the row when the cancel commits, and its claim is refused by the log."""
    dispatcher = worker.dispatcher(run=False)
    schedule = await worker.create(at(NOON + MINUTE))
    await worker.applied()
    await dispatcher.run_once()
    worker.dispatchers.remove(dispatcher)  # it hears of nothing more
    await worker.cancel(schedule)
    worker.clock.set(NOON + MINUTE)
    done = await dispatcher.run_once()
    assert (done.taken, done.started) == (1, 1)
    await dispatcher.stop()
    assert worker.channel.releases == []
    assert await worker.story(one_off(schedule, NOON + MINUTE)) == []


async def test_a_row_of_a_replaced_timing_is_dropped(worker: Worker) -> None:
    """A reschedule that the dispatcher has not heard of: the old slot is not sent, the new one is, once."""
    deaf = worker.dispatcher(run=False)
    schedule = await worker.create(at(NOON + MINUTE))
    await worker.applied()
    await deaf.run_once()
    worker.dispatchers.remove(deaf)
    await worker.ask(
        schedule,
        lambda state: s.Change(
            changes={"timing": at(NOON + 2 * MINUTE)}, context=worker.context(state), current=s.Current(next=state.next)
        ),
    )
    worker.clock.set(NOON + MINUTE)
    done = await deaf.run_once()
    assert (done.taken, done.stale) == (1, 1)
    await deaf.stop()
    worker.dispatcher(2)
    await worker.at(NOON + 2 * MINUTE)
    assert [r.due_at for r in worker.channel.releases] == [NOON + 2 * MINUTE]


async def test_content_is_read_at_the_version_that_the_claim_expects(worker: Worker) -> None:
    """Content changed behind the dispatcher's back: the new content goes out, and the claim names its version."""
    deaf = worker.dispatcher(run=False)
    schedule = await worker.create(at(NOON + MINUTE), content={"text": "old"})
    await worker.applied()
    await deaf.run_once()
    worker.dispatchers.remove(deaf)
    await worker.ask(
        schedule,
        lambda state: s.Change(
            changes={"content": {"text": "new"}}, context=worker.context(state), current=s.Current(next=state.next)
        ),
    )
    worker.clock.set(NOON + MINUTE)
    await deaf.run_once()
    await worker.channel.until(1)
    await deaf.stop()
    assert worker.channel.releases[0].content == {"text": "new"}
    (claimed, _) = await worker.bodies(one_off(schedule, NOON + MINUTE))
    assert claimed.schedule_version == 2


async def test_a_series_goes_on_from_claim_to_claim(worker: Worker) -> None:
    """Each claim names the slot that follows; an hourly series fires every hour, once."""
    worker.dispatcher()
    schedule = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.settle()
    for hour in range(1, 5):
        await worker.at(NOON + timedelta(hours=hour))
    assert [r.due_at for r in worker.channel.releases] == [NOON + timedelta(hours=h) for h in range(1, 5)]
    assert [status for _, status in await worker.slots(schedule)] == ["delivered"] * 4


async def test_a_slot_that_was_handled_before_is_passed_over(worker: Worker) -> None:
    """Paused and resumed with the clock set back, the series meets a slot again: it is not sent twice, and goes on."""
    worker.dispatcher()
    schedule = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.settle()
    await worker.at(NOON + timedelta(hours=1))
    worker.clock.set(NOON + timedelta(minutes=30))
    await worker.pause(schedule)
    await worker.resume(schedule)
    await worker.settle()
    await worker.at(NOON + timedelta(hours=1))
    assert len(worker.channel.releases) == 1
    await worker.at(NOON + timedelta(hours=2))
    assert [r.due_at.hour for r in worker.channel.releases] == [13, 14]


async def test_triggered_occurrences_fire_at_once_beside_the_cadence(worker: Worker) -> None:
    """Twice in one second is two releases, and the next slot stays where it was."""
    worker.dispatcher()
    schedule = await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.trigger(schedule)
    await worker.trigger(schedule)
    await worker.settle()
    assert len({r.occurrence for r in worker.channel.releases}) == 2
    await worker.at(NOON + timedelta(hours=1))
    assert [r.due_at for r in worker.channel.releases][2:] == [NOON + timedelta(hours=1)]
