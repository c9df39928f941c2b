"""What stands for a stored event that this version cannot read, so that it can be set aside instead of lost.

Place in the flow: the event store, when it reads for a feeder of shards -> *stand-in* -> parked with its family, until
a version that can read it replays it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

from horae.domain import codec
from horae.domain.envelope import Event, Meta, Recorded

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class Undecodable(Event):
    """Stands in the place of an event; never stored."""

    name: ClassVar[str] = "undecodable"
    stored_name: str
    #: Of an occurrence's event: whose rows it would have changed.
    schedule: UUID | None = None
    error: str


def load_or_stand_in(
    name: str, state: bytes, stream: UUID, version: int, position: int, *, tenant: str, shard: int
) -> Recorded:
    """As `codec.load`; of what cannot be read, a stand-in. Tenant and shard: as the columns of the log have them."""
    try:
        return codec.load(name, state, stream, version, position)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        meta = Meta(event_id=UUID(int=0), tenant=tenant, shard=shard, actor="", recorded_at=_UNKNOWN)
        reason = f"{type(error).__name__}: {error}"
        body = Undecodable(stored_name=name, schedule=_owner(state), error=reason)
        return Recorded(stream, version, meta, body, position)


def _owner(state: bytes) -> UUID | None:
    try:
        return UUID(json.loads(state)["body"]["schedule"])
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
