"""Identities: the same from the same, different from what differs, and in an order that indexes like."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.ids import (
    SHARDS,
    derived_id,
    is_same_request,
    occurrence_id,
    recipient_stream,
    request_event_id,
    shard_of,
    slot_of,
    trigger_occurrence_id,
    uuid7,
)

texts = st.text(max_size=20)
locals_ = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31))  # noqa: DTZ001 - slots
SCHEDULE = UUID("01932c5b-0000-7000-8000-000000000001")


def to_ms(slot: datetime) -> datetime:
    return slot.replace(microsecond=slot.microsecond // 1000 * 1000)


@given(tenant=texts, key=texts)
def test_every_key_has_one_shard(tenant: str, key: str) -> None:
    """One of 64, always the same."""
    assert 0 <= shard_of(tenant, key) < SHARDS
    assert shard_of(tenant, key) == shard_of(tenant, key)


def test_shards_never_change() -> None:
    """They are stored with every event: another hash would tear streams apart."""
    assert [shard_of("acme", name) for name in ("", "user-17", "Müller", "🌅")] == [60, 27, 21, 38]


def test_shards_are_even() -> None:
    """No shard has more than twice its share."""
    counts = [0] * SHARDS
    for number in range(6_400):
        counts[shard_of("acme", f"user-{number}")] += 1
    assert max(counts) < 200


def test_ids_never_change() -> None:
    """Derived ids are how repeats are known again, over all versions."""
    slot = datetime(2026, 12, 1, 9, 0)  # noqa: DTZ001 - a slot
    assert str(derived_id("acme", "create", "k")) == "20600137-ef2e-8fa6-afda-9f8610b6e4ed"
    assert str(occurrence_id(SCHEDULE, slot, 0)) == "01a230d5-1280-8e04-9b59-c12060ffcfe9"
    assert str(trigger_occurrence_id(SCHEDULE, SCHEDULE, slot)) == "01a230d5-1280-8ae4-b893-64cb066edebd"
    assert str(request_event_id("acme", "pause", "k", "d")) == "41592bd7-e11f-885c-a7ba-0d6ddb23c087"


@given(a=st.tuples(texts, texts, texts), b=st.tuples(texts, texts, texts))
def test_derived_ids_differ_where_anything_differs(a: tuple[str, str, str], b: tuple[str, str, str]) -> None:
    """Parts do not run into each other: ("ab", "c") is not ("a", "bc")."""
    assert (derived_id(*a) == derived_id(*b)) == (a == b)
    assert derived_id(*a).version == 8


@given(slot=locals_, fold=st.integers(0, 1))
def test_an_occurrence_is_of_a_slot_and_a_fold(slot: datetime, fold: int) -> None:
    """Its id begins with the slot's local milliseconds, and tells both foldings apart."""
    one = occurrence_id(SCHEDULE, slot, fold)
    assert slot_of(one) == to_ms(slot)
    assert one.version == 8
    assert one != occurrence_id(SCHEDULE, slot, 1 - fold)
    assert one != occurrence_id(UUID(int=1), slot, fold)
    assert one != trigger_occurrence_id(SCHEDULE, SCHEDULE, slot)


@given(a=locals_, b=locals_)
def test_occurrences_of_a_schedule_sort_by_their_slots(a: datetime, b: datetime) -> None:
    """So that an index stays local."""
    earlier, later = sorted((to_ms(a), to_ms(b)))
    if earlier < later:
        assert occurrence_id(SCHEDULE, earlier, 0) < occurrence_id(SCHEDULE, later, 0)


def test_a_slot_has_no_zone() -> None:
    """An instant is not a slot."""
    with pytest.raises(ValueError, match="naive"):
        occurrence_id(SCHEDULE, datetime(2026, 12, 1, tzinfo=UTC), 0)


@given(key=texts, other=texts, digest=texts, body=texts)
def test_a_repeated_request_is_known_again_whatever_its_body(key: str, other: str, digest: str, body: str) -> None:
    """Same key and body: the same id. Same key, another body: another id that is known to be of the same request."""
    first = request_event_id("acme", "pause", key, digest)
    assert (first == request_event_id("acme", "pause", key, body)) == (digest == body)
    assert is_same_request(first, request_event_id("acme", "pause", key, body))
    assert is_same_request(first, request_event_id("acme", "pause", other, digest)) == (key == other)
    assert not is_same_request(first, request_event_id("globex", "pause", key, digest))
    assert not is_same_request(uuid7(first.int >> 80, first.bytes[:10]), first)


@given(ms=st.integers(0, 2**48 - 1), randomness=st.binary(min_size=10, max_size=16))
def test_new_ids_are_uuid7(ms: int, randomness: bytes) -> None:
    """RFC 9562: 48 bits of milliseconds first, so that later ones sort later."""
    new = uuid7(ms, randomness)
    assert (new.version, new.int >> 80) == (7, ms)
    assert uuid7(ms, b"\xff" * 10) < uuid7(ms + 1, bytes(10)) or ms == 2**48 - 1


def test_recipients_of_different_tenants_are_different_people() -> None:
    """The stream is of tenant and recipient together."""
    assert recipient_stream("a", "bc") != recipient_stream("ab", "c")
