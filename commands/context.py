"""What every command handler shares: who calls, what is answered, repeats of requests, and retries after conflicts.

Place in the flow: api -> *commands* -> domain, log. A handler is load -> decide -> append; the rest is here, once.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Generic, TypeVar
from uuid import UUID

from horae.commands import tracing
from horae.commands.ports import Ids, StreamConflict
from horae.domain.envelope import Meta, Recorded
from horae.domain.errors import Conflict, IdempotencyMismatch
from horae.domain.ids import is_same_request, request_event_id

S = TypeVar("S")
T = TypeVar("T")

#: How often a command is decided anew when what it stood on has moved, before the caller is told. Of those who change
#: one schedule at the same time one succeeds per round, so that this many can.
ATTEMPTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: for which tenant, by whom ("key:<id>", "cli"), and how a repeat of it is known again."""

    tenant: str
    actor: str
    request_id: str | None = None
    idempotency_key: str | None = None
    #: `digest_of` the request's body; compared when the idempotency key comes again.
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[S]):
    """The state of a thing after a command, or as read: `version` of its stream, `position` in the log."""

    id: UUID
    version: int
    position: int
    state: S
    created_at: datetime
    #: When this version was recorded.
    updated_at: datetime
    #: True: the same request came before and this is what it was answered.
    replayed: bool = False
    #: Occurrences claimed and not ended when it was stored. None: it does not apply, or could not be told in time.
    already_claimed: list[UUID] | None = None
    #: Of a one-off: where its occurrence stands or how it ended, if it has begun and the command looked.
    one_off: str | None = None

    @classmethod
    def of(cls, id_: UUID, events: Sequence[Recorded], state: S, *, replayed: bool = False) -> Answer[S]:
        """Of the thing whose stream has `events`, one at least, which `state` is the fold of."""
        return cls(
            id=id_,
            version=events[-1].version,
            position=events[-1].position,
            state=state,
            created_at=events[0].meta.recorded_at,
            updated_at=events[-1].meta.recorded_at,
            replayed=replayed,
        )


def digest_of(body: object) -> str:
    """BLAKE2b (128 bits, hexadecimal) of the canonical JSON of a request's body; key order does not matter."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def meta_of(
    call: Call,
    *,
    event_id: UUID,
    shard: int,
    now: datetime,
    correlation_id: UUID | None = None,
    causation_id: UUID | None = None,
) -> Meta:
    """The envelope of an event that `call` causes; built nowhere else."""
    return Meta(
        event_id=event_id,
        tenant=call.tenant,
        shard=shard,
        actor=call.actor,
        request_id=call.request_id,
        correlation_id=correlation_id,
        causation_id=causation_id,
        recorded_at=now,
        traceparent=tracing.traceparent(),
    )


def event_id_for(call: Call, ids: Ids, operation: str, stream: UUID) -> UUID:
    """A new id, or the one that this request on `stream` always gets if it came with an idempotency key."""
    if call.idempotency_key is None:
        return ids.new()
    return request_event_id(call.tenant, f"{operation}:{stream}", call.idempotency_key, call.digest or "")


def find_repeat(call: Call, operation: str, stream: UUID, events: Sequence[Recorded]) -> Recorded | None:
    """The event that the same request made before, if `events` hold it. Raises `IdempotencyMismatch`."""
    if call.idempotency_key is None:
        return None
    ours = request_event_id(call.tenant, f"{operation}:{stream}", call.idempotency_key, call.digest or "")
    for event in events:
        if event.meta.event_id == ours:
            return event
        if is_same_request(event.meta.event_id, ours):
            raise mismatch(call)
    return None


def mismatch(call: Call) -> IdempotencyMismatch:
    """The error for a key that comes again with another body."""
    return IdempotencyMismatch(
        "This Idempotency-Key was used before with another body.",
        field="Idempotency-Key",
        value=call.idempotency_key,
        hint="Use a new key for a new request, or send the same body again.",
    )


async def until_no_conflict(attempt: Callable[[], Awaitable[T]], *, attempts: int = ATTEMPTS) -> T:
    """Run `attempt` (load, decide, append) again while a stream that it stands on has moved meanwhile.

    Nothing is stored by an attempt that conflicts. Raises `Conflict` after `attempts`.
    """
    for _ in range(attempts):
        try:
            return await attempt()
        except StreamConflict as conflict:
            last = conflict
    raise Conflict(
        f"It changed {attempts} times while this was being decided.",
        field="id",
        value=str(last.stream),
        hint="Send the request again.",
    ) from last
