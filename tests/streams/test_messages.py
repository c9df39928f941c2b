"""What a record says survives the way through Kafka's headers and value; what is no record is refused."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.ids import SHARDS
from horae.streams.messages import EventRecord, Mark, Unreadable, partition_of, read, shards_of

positions = st.integers(0, 1 << 62)


@given(
    positions,
    positions,
    st.integers(0, 63),
    st.uuids(),
    st.binary(),
    st.none() | st.text("0123456789abcdef-", min_size=1),
)
def test_an_event_comes_back_as_it_went(
    position: int, previous: int, shard: int, stream: UUID, state: bytes, traceparent: str | None
) -> None:
    """Headers and value together say all of it."""
    record = EventRecord(position, previous, shard, stream, 3, "schedule.created.v1", state, traceparent)
    assert read(record.headers(), state) == record


@given(positions, st.dictionaries(st.integers(0, 63), positions))
def test_a_mark_comes_back_as_it_went(head: int, last: dict[int, int]) -> None:
    """Its header tells it from events."""
    mark = Mark(head, last)
    assert read(dict(mark.headers()), mark.value()) == mark


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], b"{}"),
        ([("mark", b"1")], b"not json"),
        ([("mark", b"1")], None),
        ([("position", b"x")], b""),
        ([("position", b"1"), ("previous", b"0"), ("shard", b"0"), ("stream", b"?"), ("version", b"1")], b""),
    ],
)
def test_anything_else_is_refused(headers: list[tuple[str, bytes]], value: bytes | None) -> None:
    """By one error, whatever is wrong with it."""
    with pytest.raises(Unreadable, match="horae-log"):
        read(headers, value)


@given(st.integers(1, 64))
def test_every_shard_has_one_partition(partitions: int) -> None:
    """However many partitions there are."""
    owned = [shards_of([partition], partitions) for partition in range(partitions)]
    assert sorted(shard for shards in owned for shard in shards) == list(range(SHARDS))
    assert all(partition_of(shard, partitions) == p for p, shards in enumerate(owned) for shard in shards)
