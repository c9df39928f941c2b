"""Commands on schedules that exist: what they store, what fences them, and repeats."""

from datetime import timedelta
from uuid import UUID

import pytest

from horae.commands.context import ATTEMPTS
from horae.commands.ports import StreamConflict
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import Patch
from horae.domain.errors import AlreadyClaimed, Conflict, IdempotencyMismatch, Invalid, Unavailable, VersionMismatch
from tests.commands.stage import NOON, NOW, TENANT, Stage, call, draft, slots

HALF_PAST = t.Every(cron="30 9 * * *", zone="UTC")


def patch(**fields: object) -> Patch:
    return Patch.model_validate(fields)


async def series(stage: Stage) -> tuple[UUID, list[t.Next]]:
    """A daily series whose read model is up to date."""
    schedule = (await stage.schedules.create(call(), draft())).id
    days = slots(schedule)
    stage.model.pointers[schedule] = days[0]
    return schedule, days


@pytest.mark.covers("LIF-15", "LIF-02")
async def test_a_change_is_a_new_version() -> None:
    """It keeps what was not given, and If-Match guards it."""
    stage = Stage()
    schedule, _ = await series(stage)
    answer = await stage.schedules.change(call(), schedule, patch(priority=5), if_match=1)
    assert (answer.version, answer.state.definition.priority) == (2, 5)
    assert answer.state.personal.content == {"subject": "Hi"}
    with pytest.raises(VersionMismatch):
        await stage.schedules.change(call(), schedule, patch(priority=1), if_match=1)
    assert (await stage.schedules.change(call(), schedule, patch(priority=5))).version == 2


async def test_a_change_of_content_asks_no_read_model() -> None:
    """The schedule's own head is fence enough: every claim expects it."""
    stage = Stage()
    schedule, _ = await series(stage)
    stage.model.away = True
    answer = await stage.schedules.change(call(), schedule, patch(content={"subject": "Ho"}))
    assert answer.version == 2
    assert answer.already_claimed is None
    with pytest.raises(Unavailable):
        await stage.schedules.change(call(), schedule, patch(timing=HALF_PAST))


async def test_a_null_is_no_value_but_for_the_time_to_live() -> None:
    """A field is left out to keep it; only `expires_after` can be taken away."""
    stage = Stage()
    schedule = (await stage.schedules.create(call(), draft(expires_after="PT1H"))).id
    with pytest.raises(Invalid) as refused:
        await stage.schedules.change(call(), schedule, patch(content=None))
    assert refused.value.field == "content"
    answer = await stage.schedules.change(call(), schedule, patch(expires_after=None))
    assert answer.state.definition.expires_after is None


async def test_a_dry_run_stores_nothing() -> None:
    """The answer is what it would be; errors are what they would be."""
    stage = Stage()
    schedule, _ = await series(stage)
    answer = await stage.schedules.change(call(), schedule, patch(timing=HALF_PAST), dry_run=True)
    assert answer.version == 2
    assert answer.state.next is not None
    assert answer.state.next.due_at == NOW + timedelta(minutes=90)
    assert await stage.store.head() == 1
    with pytest.raises(Invalid):
        await stage.schedules.change(call(), schedule, patch(channel="pigeon:"), dry_run=True)


@pytest.mark.covers("LIF-18", "LIF-20")
async def test_a_one_off_is_moved_until_it_is_claimed() -> None:
    """Then every change is refused, and names the occurrence."""
    stage = Stage()
    created = await stage.schedules.create(call(), draft(NOON))
    moved = await stage.schedules.change(
        call(), created.id, patch(timing={"kind": "at", "at": NOW + timedelta(hours=5)})
    )
    assert moved.state.next is not None
    occurrence = await stage.claim(created.id, moved.state.next, None, schedule_version=2)
    for refused in (patch(timing=NOON), patch(content={})):
        with pytest.raises(AlreadyClaimed) as error:
            await stage.schedules.change(call(), created.id, refused)
        assert error.value.extra == {"already_claimed": [str(occurrence)]}


class Racing(Stage):
    """Something happens between a command's decision and its append."""

    def before_append(self, happens: list[object]) -> None:
        append = self.store.append

        async def race(*args: object, **more: object) -> int:
            while happens:
                await happens.pop()  # type: ignore[misc]
            return await append(*args, **more)  # type: ignore[arg-type]

        self.store.append = race  # type: ignore[method-assign]


@pytest.mark.covers("SCH-15", "LIF-20")
async def test_a_claim_that_was_quicker_wins_over_a_reschedule() -> None:
    """The fence lets only one of the two happen; the command is decided anew, and says what it found."""
    stage = Racing()
    created = await stage.schedules.create(call(), draft(NOON))
    assert created.state.next is not None
    stage.before_append([stage.claim(created.id, created.state.next, None)])
    with pytest.raises(AlreadyClaimed):
        await stage.schedules.change(call(), created.id, patch(timing={"kind": "at", "at": NOW + timedelta(hours=5)}))
    assert [event.body.name for event in await stage.store.after(0)] == ["schedule.created.v1", "occurrence.claimed.v1"]


async def test_a_series_that_moved_on_meanwhile_is_changed_where_it_stands() -> None:
    """The claim beats the change, which then replaces the slot after it, though the read model lags."""
    stage = Racing()
    schedule, days = await series(stage)
    stage.before_append([stage.claim(schedule, days[0], days[1])])
    stage.clock.instant = days[0].due_at
    await stage.schedules.change(call(), schedule, patch(timing=HALF_PAST))
    changed = (await stage.store.load(schedule))[-1].body
    assert isinstance(changed, s.ScheduleChanged)
    assert changed.replaced == days[1].slot


async def test_a_slot_that_was_claimed_meanwhile_is_not_skipped() -> None:
    """The skip is refused, not lost between two readings."""
    stage = Racing()
    schedule, days = await series(stage)
    stage.before_append([stage.claim(schedule, days[0], days[1])])
    with pytest.raises(AlreadyClaimed):
        await stage.schedules.skip(call(), schedule, days[0].slot)


async def test_a_skip_is_fenced_though_it_is_not_of_the_current_slot() -> None:
    """Else a claim could move the series onto the very slot that is being skipped."""
    stage = Racing()
    schedule, days = await series(stage)
    stage.before_append([stage.claim(schedule, days[0], days[1])])
    answer = await stage.schedules.skip(call(), schedule, days[1].slot)
    skipped = (await stage.store.load(schedule))[-1].body
    assert isinstance(skipped, s.SlotSkipped)
    assert (skipped.next_unchanged, answer.state.next) == (False, days[2])


async def test_slots_handled_under_an_older_version_are_passed_by_the_rule() -> None:
    """What an old claim named as next may be of another timing, so it is computed."""
    stage = Stage()
    schedule, days = await series(stage)
    await stage.claim(schedule, days[0], days[3])
    await stage.schedules.change(call(), schedule, patch(priority=1))
    await stage.schedules.skip(call(), schedule, days[1].slot)
    skipped = (await stage.store.load(schedule))[-1].body
    assert isinstance(skipped, s.SlotSkipped)
    assert skipped.next == days[2]


async def test_a_command_gives_up_when_everything_keeps_moving() -> None:
    """After a bounded number of conflicts the caller is told to try again; nothing is stored."""
    stage = Stage()
    schedule, _ = await series(stage)
    tries = []

    async def never(*args: object, **more: object) -> int:
        tries.append(1)
        raise StreamConflict(schedule, 1, 2)

    stage.store.append = never  # type: ignore[method-assign]
    with pytest.raises(Conflict) as refused:
        await stage.schedules.pause(call(), schedule)
    assert (type(refused.value), len(tries)) == (Conflict, ATTEMPTS)


@pytest.mark.covers("LIF-16", "REC-14", "REC-15")
async def test_pause_resume_and_cancel() -> None:
    """Each is a version; each answer says what is already on its way."""
    stage = Stage()
    schedule, days = await series(stage)
    stage.model.claimed = [UUID(int=7)]
    paused = await stage.schedules.pause(call(), schedule, reason="holidays")
    assert (paused.state.status, paused.already_claimed) == (s.Status.PAUSED, [UUID(int=7)])
    stage.clock.instant = NOW + timedelta(days=2)
    resumed = await stage.schedules.resume(call(), schedule)
    assert (resumed.state.status, resumed.state.next) == (s.Status.ACTIVE, days[2])
    cancelled = await stage.schedules.cancel(call(), schedule)
    assert (cancelled.state.status, cancelled.version) == (s.Status.CANCELLED, 4)
    assert (await stage.schedules.cancel(call(), schedule)).version == 4
    with pytest.raises(Conflict):
        await stage.schedules.resume(call(), schedule)


async def test_a_stored_cancel_is_answered_though_the_read_model_is_behind() -> None:
    """It is durable; what was already claimed is then not told, rather than an error that says otherwise."""
    stage = Stage()
    schedule, _ = await series(stage)
    stage.model.away = True
    answer = await stage.schedules.cancel(call(), schedule)
    assert (answer.state.status, answer.already_claimed) == (s.Status.CANCELLED, None)


async def test_an_overdue_one_off_resumes_late_unless_it_is_gone() -> None:
    """Its own slot, if nobody has claimed it."""
    for claimed in (False, True):
        stage = Stage()
        created = await stage.schedules.create(call(), draft(NOON))
        assert created.state.next is not None
        if claimed:
            await stage.claim(created.id, created.state.next, None)
        await stage.schedules.pause(call(), created.id)
        stage.clock.instant = NOW + timedelta(days=1)
        resumed = await stage.schedules.resume(call(), created.id)
        assert resumed.state.next == (None if claimed else created.state.next)


async def test_skip_and_unskip_move_the_series_there_and_back() -> None:
    """The current slot goes, and comes again."""
    stage = Stage()
    schedule, days = await series(stage)
    skipped = await stage.schedules.skip(call(), schedule, days[0].slot)
    assert (skipped.state.next, skipped.state.exceptions) == (days[1], frozenset({days[0].slot}))
    stage.model.pointers[schedule] = days[1]
    back = await stage.schedules.unskip(call(), schedule, days[0].slot)
    assert (back.state.next, back.state.exceptions) == (days[0], frozenset())


async def test_twice_triggered_is_twice_and_once_repeated_is_once() -> None:
    """Only the idempotency key makes two triggers one."""
    stage = Stage()
    schedule, _ = await series(stage)
    await stage.schedules.trigger(call(), schedule)
    await stage.schedules.trigger(call(), schedule)
    first = await stage.schedules.trigger(call("k", "d"), schedule)
    again = await stage.schedules.trigger(call("k", "d"), schedule)
    assert (len(first.state.triggers), again.state) == (3, first.state)
    assert again.replayed
    with pytest.raises(IdempotencyMismatch):
        await stage.schedules.trigger(call("k", "other"), schedule)


async def test_a_repeated_command_gets_its_first_answer_whatever_came_after() -> None:
    """A pause that is repeated after a resume does not pause again."""
    stage = Stage()
    schedule, _ = await series(stage)
    first = await stage.schedules.pause(call("k", "d"), schedule)
    await stage.schedules.resume(call(), schedule)
    again = await stage.schedules.pause(call("k", "d"), schedule)
    assert (again.version, again.state.status, again.replayed) == (first.version, s.Status.PAUSED, True)
    assert (await stage.schedules.get(TENANT, schedule)).state.status is s.Status.ACTIVE
    with pytest.raises(IdempotencyMismatch):
        await stage.schedules.pause(call("k", "other"), schedule)


async def test_a_repeated_command_that_changed_nothing_still_changes_nothing() -> None:
    """A pause of what is paused, repeated after a resume, gets its first answer; with another body it is refused."""
    stage = Stage()
    schedule, _ = await series(stage)
    await stage.schedules.pause(call(), schedule)
    first = await stage.schedules.pause(call("k", "d"), schedule)
    assert (first.version, first.replayed) == (2, False)
    assert (await stage.schedules.get(TENANT, schedule)).version == 2, "the schedule itself is as it was"
    await stage.schedules.resume(call(), schedule)
    for _ in range(2):
        again = await stage.schedules.pause(call("k", "d"), schedule)
        assert (again.version, again.state, again.replayed) == (2, first.state, True)
    assert (await stage.schedules.get(TENANT, schedule)).state.status is s.Status.ACTIVE
    with pytest.raises(IdempotencyMismatch):
        await stage.schedules.pause(call("k", "other"), schedule)


async def test_a_repeat_is_answered_even_where_the_command_would_be_refused_by_now() -> None:
    """Skipping what was skipped already; since then the slot was put back and has fired."""
    stage = Stage()
    schedule, days = await series(stage)
    await stage.schedules.skip(call(), schedule, days[0].slot)
    stage.model.pointers[schedule] = days[1]
    first = await stage.schedules.skip(call("k", "d"), schedule, days[0].slot)
    await stage.schedules.unskip(call(), schedule, days[0].slot)
    with pytest.raises(AlreadyClaimed):
        await stage.schedules.skip(call("another", "d"), schedule, days[0].slot)
    again = await stage.schedules.skip(call("k", "d"), schedule, days[0].slot)
    assert (again.version, again.state.exceptions) == (first.version, frozenset({days[0].slot}))


async def test_without_a_key_or_in_a_dry_run_nothing_is_noted() -> None:
    """Only a request that can be repeated leaves a trace."""
    stage = Stage()
    schedule, _ = await series(stage)
    await stage.schedules.pause(call(), schedule)
    before = await stage.store.head()
    await stage.schedules.pause(call(), schedule)
    await stage.schedules.change(call("k", "d"), schedule, Patch(priority=2), dry_run=True)
    assert await stage.store.head() == before


async def test_the_same_key_for_another_operation_is_another_request() -> None:
    """Clients need not keep keys apart between endpoints."""
    stage = Stage()
    schedule, _ = await series(stage)
    await stage.schedules.pause(call("k", "d"), schedule)
    assert (await stage.schedules.resume(call("k", "d"), schedule)).version == 3
