"""A channel that nobody here serves is refused when it is asked for, by every command that can name one."""

import pytest

from horae.commands.bulk import BulkItem
from horae.domain.channel import Offered
from horae.domain.draft import CloneOverrides, Patch
from horae.domain.errors import Invalid
from tests.commands.stage import Stage, call, draft

DUE = "kafka:notifications-due"
WITH_KAFKA = Offered(frozenset({"notifications-due"}))


@pytest.mark.covers("INT-17")
async def test_where_kafka_is_a_schedule_may_name_its_topic() -> None:
    """Created and changed to."""
    stage = Stage(offered=WITH_KAFKA)
    created = await stage.schedules.create(call(), draft(channel=DUE))
    assert created.state.personal.channel == DUE
    other = await stage.schedules.create(call(), draft())
    changed = await stage.schedules.change(call(), other.id, Patch(channel=DUE))
    assert changed.state.personal.channel == DUE


async def test_where_it_is_not_nothing_is_stored() -> None:
    """Neither a new schedule nor a change; the error names the field and the value."""
    stage = Stage()
    schedule = (await stage.schedules.create(call(), draft())).id
    head = await stage.store.head()
    for refused in (
        stage.schedules.create(call(), draft(channel=DUE)),
        stage.schedules.change(call(), schedule, Patch(channel=DUE)),
    ):
        with pytest.raises(Invalid) as error:
            await refused
        assert (error.value.field, error.value.value) == ("channel", DUE)
    assert await stage.store.head() == head


async def test_one_of_many_is_refused_alone() -> None:
    """As any other bad item of a bulk request."""
    items = [BulkItem(index=0, draft=draft(channel=DUE)), BulkItem(index=1, draft=draft())]
    bad, good = await Stage().schedules.bulk_create(call(), items)
    assert isinstance(bad.error, Invalid)
    assert good.answer is not None


async def test_a_clone_needs_the_channel_too() -> None:
    """Its original may be from a time when Kafka was there."""
    stage = Stage(offered=WITH_KAFKA)
    original = (await stage.schedules.create(call(), draft(channel=DUE))).id
    stage.offered = Offered()
    with pytest.raises(Invalid):
        await stage.schedules.clone(call(), original, CloneOverrides())
