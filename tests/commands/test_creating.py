"""Creating, cloning and bulk creating, once each however often it is asked."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from horae.commands.bulk import BulkItem
from horae.commands.context import digest_of
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import CloneOverrides
from horae.domain.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from horae.domain.ids import shard_of
from horae.domain.recipient import RecipientProfile
from tests.commands.stage import NOON, NOW, OTHER, TENANT, Stage, call, draft


@pytest.mark.covers("SCH-07", "LIF-13", "LIF-24")
async def test_what_was_created_can_be_read_back() -> None:
    """The answer names id, version, position and state; the log holds exactly that."""
    stage = Stage()
    answer = await stage.schedules.create(call(), draft(metadata={"type": "digest"}, tags=["a", "a"]))
    assert (answer.version, answer.position, answer.replayed, answer.created_at) == (1, 1, False, NOW)
    assert answer.state.personal.tags == ("a",)
    assert await stage.schedules.get(TENANT, answer.id) == answer
    [event] = await stage.store.load(answer.id)
    assert (event.meta.tenant, event.meta.actor, event.meta.request_id) == (TENANT, "key:1", "req-1")
    assert event.meta.shard == shard_of(TENANT, "user-17")


async def test_another_tenants_schedule_does_not_exist() -> None:
    """Every command and every read answers as if there were nothing."""
    stage = Stage()
    schedules, theirs = stage.schedules, call(tenant=OTHER)
    mine = (await stage.schedules.create(call(), draft())).id
    slot = t.Slot(local=NOW.replace(tzinfo=None))
    for refused in (
        schedules.get(OTHER, mine),
        schedules.history(OTHER, mine),
        schedules.diff(OTHER, mine, 1, 1),
        schedules.pause(theirs, mine),
        schedules.resume(theirs, mine),
        schedules.cancel(theirs, mine),
        schedules.trigger(theirs, mine),
        schedules.skip(theirs, mine, slot),
        schedules.unskip(theirs, mine, slot),
        schedules.clone(theirs, mine, CloneOverrides()),
    ):
        with pytest.raises(NotFound):
            await refused
    assert await stage.store.head() == 1


async def test_a_repeated_creation_gets_the_first_answer() -> None:
    """Same key, same body: nothing is stored twice, even when the body would be wrong by now."""
    stage = Stage()
    first = await stage.schedules.create(call("k", "d"), draft(NOON))
    stage.clock.instant = NOW + timedelta(days=1)
    again = await stage.schedules.create(call("k", "d"), draft(NOON))
    assert again.replayed
    assert (again.id, again.version, again.position, again.state) == (first.id, 1, 1, first.state)
    assert await stage.store.head() == 1


async def test_the_first_answer_stays_the_answer_after_changes() -> None:
    """A repeat tells what was answered, not what has become of it since."""
    stage = Stage()
    first = await stage.schedules.create(call("k", "d"), draft())
    await stage.schedules.pause(call(), first.id)
    again = await stage.schedules.create(call("k", "d"), draft())
    assert (again.version, again.state.status) == (1, s.Status.ACTIVE)


@pytest.mark.covers("SCH-13", "DAT-01.12")
async def test_metadata_is_a_free_object() -> None:
    """Whatever JSON it holds comes back as it was, nulls and nesting included."""
    stage = Stage()
    metadata = {"type": "digest", "n": 1.5, "none": None, "deep": [{"a": [True, "ü"]}]}
    answer = await stage.schedules.create(call(), draft(metadata=metadata))
    assert (await stage.schedules.get(TENANT, answer.id)).state.personal.metadata == metadata


async def test_a_key_belongs_to_one_body_one_tenant_and_one_operation() -> None:
    """Another body is refused; another tenant's same key, or another operation's, is another request."""
    stage = Stage()
    first = await stage.schedules.create(call("k", "d"), draft())
    with pytest.raises(IdempotencyMismatch) as refused:
        await stage.schedules.create(call("k", "other"), draft(priority=5))
    assert refused.value.field == "Idempotency-Key"
    theirs = await stage.schedules.create(call("k", "d", OTHER), draft())
    clone = await stage.schedules.clone(call("k", "d"), first.id, CloneOverrides())
    assert len({first.id, theirs.id, clone.id}) == 3


async def test_two_same_requests_at_once_create_one() -> None:
    """Whichever is stored first is the answer to both."""
    stage = Stage()
    answers = await asyncio.gather(*(stage.schedules.create(call("k", "d"), draft()) for _ in range(5)))
    assert len({answer.id for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True, True]


async def test_the_recipients_zone_is_used_where_the_timing_asks_for_it() -> None:
    """`recipient` is the zone that was put for that person; without one it is the default."""
    stage = Stage()
    at = t.At.model_validate({"local": "2026-12-02T09:00", "zone": "recipient"})
    await stage.recipients.put(call(), RecipientProfile(id="user-17", zone="Asia/Tokyo"))
    known = await stage.schedules.create(call(), draft(at))
    unknown = await stage.schedules.create(call(), draft(at, recipient="user-18"))
    assert known.state.next is not None
    assert unknown.state.next is not None
    assert unknown.state.next.due_at - known.state.next.due_at == timedelta(hours=9)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"content": {"a": "x\x00"}}, "content.a"),
        ({"content": {"a": ["\ud800"]}}, "content.a[0]"),
        ({"metadata": {"a": float("nan")}}, "metadata.a"),
        ({"content": {"a": "x" * 65_536}}, "content"),
        ({"metadata": {"a": "ü" * 8_192}}, "metadata"),
        ({"tags": ["\x00"]}, "tags[0]"),
        ({"recipient": "\x00"}, "recipient"),
        ({"channel": "pigeon:home"}, "channel"),
        ({"expires_after": "PT0S"}, "expires_after"),
    ],
)
async def test_what_no_store_can_hold_is_refused(more: dict[str, Any], field: str) -> None:
    """The error names the field and what to do, and nothing is stored."""
    stage = Stage()
    with pytest.raises(Invalid) as refused:
        await stage.schedules.create(call(), draft(**more))
    assert refused.value.field == field
    assert refused.value.hint
    assert await stage.store.head() == 0


@pytest.mark.covers("LIF-03")
async def test_a_clone_is_a_new_schedule_with_overrides() -> None:
    """It has all of the original but what is given, its own history, and says where it comes from."""
    stage = Stage()
    original = await stage.schedules.create(call(), draft(priority=4, tags=["a"]))
    overrides = CloneOverrides.model_validate({"recipient": "user-18", "content": {"subject": "Ho"}})
    clone = await stage.schedules.clone(call(), original.id, overrides)
    assert clone.id != original.id
    assert (clone.version, clone.state.definition) == (1, original.state.definition)
    assert (clone.state.personal.recipient, clone.state.personal.content) == ("user-18", {"subject": "Ho"})
    [event] = await stage.store.load(clone.id)
    assert isinstance(event.body, s.ScheduleCreated)
    assert event.body.cloned_from == original.id


async def test_a_cancelled_schedule_can_be_cloned() -> None:
    """That is how one goes on after a cancel."""
    stage = Stage()
    original = await stage.schedules.create(call(), draft())
    await stage.schedules.cancel(call(), original.id)
    clone = await stage.schedules.clone(call(), original.id, CloneOverrides())
    assert clone.state.status is s.Status.ACTIVE


def items(*given: BulkItem | None) -> list[BulkItem]:
    return [item or BulkItem(index=i, draft=draft(content={"n": i})) for i, item in enumerate(given)]


@pytest.mark.covers("SCH-08", "LIF-05")
async def test_a_bad_item_harms_no_other() -> None:
    """Each item has its own result, in the request's order."""
    stage = Stage()
    bad = BulkItem(index=1, draft=draft(NOON, channel="pigeon:home"))
    results = await stage.schedules.bulk_create(call(), items(None, bad, None))
    assert [(r.index, r.answer is not None, r.error is not None) for r in results] == [
        (0, True, False),
        (1, False, True),
        (2, True, False),
    ]
    assert await stage.store.head() == 2
    for result in results:
        if result.answer is not None:
            assert await stage.schedules.get(TENANT, result.answer.id) == result.answer


async def test_a_bulk_request_can_be_repeated_and_continued() -> None:
    """Items that were stored are replayed, others created; another body under an item's key is refused alone."""
    stage = Stage()
    first = await stage.schedules.bulk_create(call("b"), items(None, None))
    changed = BulkItem(index=1, draft=draft(priority=5))
    again = await stage.schedules.bulk_create(call("b"), items(None, changed, None))
    assert first[0].answer is not None
    assert again[0].answer is not None
    assert (again[0].answer.id, again[0].answer.replayed) == (first[0].answer.id, True)
    assert isinstance(again[1].error, IdempotencyMismatch)
    assert again[2].answer is not None
    assert not again[2].answer.replayed
    assert await stage.store.head() == 3


async def test_equal_keys_in_one_bulk_request_are_one_schedule() -> None:
    """The first makes it, the second is a repeat of it."""
    stage = Stage()
    results = await stage.schedules.bulk_create(
        call(), [BulkItem(index=i, draft=draft(), key="line-7") for i in range(2)]
    )
    assert [r.answer.replayed for r in results if r.answer] == [False, True]
    assert await stage.store.head() == 1


async def test_long_lists_go_in_chunks_and_a_full_queue_is_told_per_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored before the queue was full stays stored, and the results say which."""
    stage = Stage()
    monkeypatch.setattr("horae.commands.bulk.CHUNK", 3)
    append, calls = stage.store.append, iter(range(9))

    async def full_at_the_second(*args: object, **more: object) -> int:
        if next(calls) == 1:
            raise Busy("the queue is full")
        return await append(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.store, "append", full_at_the_second)
    results = await stage.schedules.bulk_create(call(), items(*[None] * 8))
    assert [type(r.error).__name__ for r in results] == ["NoneType"] * 3 + ["Busy"] * 3 + ["NoneType"] * 2


def test_the_digest_is_of_what_the_body_says() -> None:
    """The order of keys does not matter, everything else does."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
