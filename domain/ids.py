"""Identities: UUIDv7 for what is new, UUIDv8 for what is derived, and the shard of everything.

Derived ids make repeats collide with what they repeat, so that no extra table is needed to know them again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

SHARDS = 64

_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - slots are naive local times
_MS = timedelta(milliseconds=1)
_LOW_62 = (1 << 62) - 1
_MASK_48 = (1 << 48) - 1


def _digest(*parts: object) -> int:
    # Length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    h = blake2b(digest_size=16)
    for part in parts:
        data = str(part).encode()
        h.update(len(data).to_bytes(4, "big"))
        h.update(data)
    return int.from_bytes(h.digest(), "big")


def _uuid8(high_48: int, mid_12: int, low_62: int) -> UUID:
    value = (high_48 & _MASK_48) << 80 | 0x8 << 76 | (mid_12 & 0xFFF) << 64 | 0b10 << 62 | (low_62 & _LOW_62)
    return UUID(int=value)


def shard_of(tenant: str, key: str) -> int:
    """The shard, 0 to 63, of a tenant's recipient, or of a stream's own id where there is none. Stable for ever."""
    return _digest(tenant, key) % SHARDS


def uuid7(unix_ms: int, randomness: bytes) -> UUID:
    """A UUIDv7 (RFC 9562 §5.7) from a time in milliseconds and ten random bytes."""
    return uuid7_of(unix_ms, int.from_bytes(randomness[:10], "big"))


def uuid7_of(unix_ms: int, rand: int) -> UUID:
    """The same from 80 random bits as a number."""
    value = (unix_ms & _MASK_48) << 80 | 0x7 << 76 | (rand >> 68 & 0xFFF) << 64 | 0b10 << 62 | (rand & _LOW_62)
    return UUID(int=value)


def derived_id(tenant: str, operation: str, key: str) -> UUID:
    """The id (UUIDv8) that the same tenant's same operation with the same key always gets."""
    d = _digest(tenant, operation, key)
    return _uuid8(d >> 80, d >> 64, d)


def request_event_id(tenant: str, operation: str, key: str, digest: str) -> UUID:
    """The id (UUIDv8) of the event that a request with an idempotency key makes on an existing stream.

    Its first 60 bits come from the key, the rest from the body's digest: a repeat has the same id, another body under
    the same key another one that `is_same_request` still knows again.
    """
    d = _digest("request", tenant, operation, key)
    return _uuid8(d >> 80, d >> 64, _digest("body", digest))


def is_same_request(one: UUID, other: UUID) -> bool:
    """Were both made by `request_event_id` from the same tenant, operation and key, whatever the bodies?"""
    return one.version == other.version == 8 and one.int >> 64 == other.int >> 64


def occurrence_id(schedule: UUID, slot: datetime, fold: int) -> UUID:
    """The id of the occurrence of `schedule` in the slot (naive local time, fold).

    UUIDv8: 48 bits of the slot's milliseconds read as if UTC, then a hash, so that the B-tree stays local.
    Neither the schedule's version (an edit must not fire again) nor the channel takes part.
    """
    return _slot_id(slot, _digest("slot", schedule, slot.isoformat(), fold))


def trigger_occurrence_id(schedule: UUID, trigger: UUID, slot: datetime) -> UUID:
    """The id of an occurrence that was asked for by hand; `slot` (naive local) only keeps it near its neighbours."""
    return _slot_id(slot, _digest("trigger", schedule, trigger))


def slot_of(occurrence: UUID) -> datetime:
    """The naive local time, in milliseconds, that an occurrence's id begins with."""
    return _NAIVE_EPOCH + timedelta(milliseconds=occurrence.int >> 80)


def recipient_stream(tenant: str, recipient: str) -> UUID:
    """The stream that holds a recipient's own events."""
    return derived_id(tenant, "recipient", recipient)


def _slot_id(slot: datetime, d: int) -> UUID:
    if slot.tzinfo is not None:
        raise ValueError("a slot is a naive local time")
    return _uuid8((slot - _NAIVE_EPOCH) // _MS, d >> 64, d)
