"""Pages by keyset: a cursor says behind which row to go on, so that inserts neither repeat nor hide a row."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from horae.domain.errors import Invalid

MAX_PAGE = 1_000

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows, and the cursor behind the last of them; `next` None: there are no more."""

    items: list[R]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Keyset:
    """The place behind which a page begins."""

    at: datetime
    id: UUID


def encode(order: str, at: datetime, id_: UUID) -> str:
    """An opaque cursor that is good for lists in this order only."""
    text = json.dumps([order, at.isoformat(), id_.hex], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(order: str, cursor: str | None) -> Keyset | None:
    """Raises `Invalid` for what `encode` did not make for this order."""
    if cursor is None:
        return None
    try:
        raw = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        found, at, id_ = raw
        if found != order:
            raise ValueError(found)
        place = datetime.fromisoformat(at)
        # Slots are naive local times, everything else is an instant.
        if (place.tzinfo is None) != (order == "slot"):
            raise ValueError(at)
        return Keyset(place, UUID(id_))
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise Invalid(
            "The cursor does not belong to this list.",
            field="cursor",
            value=cursor[:80],
            hint="Pass `next` of the page before, with the same filters and order.",
        ) from None


def check_limit(limit: int) -> int:
    """Raises `Invalid` unless 1 to `MAX_PAGE`."""
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(
            f"A page has 1 to {MAX_PAGE} items.", field="limit", value=limit, hint="Ask for fewer and follow `next`."
        )
    return limit


def page(records: Sequence[Any], limit: int, order: str, at: str, id_: str, row: Callable[[Any], R]) -> Page[R]:
    """A page of at most `limit` of the records, of which one more was asked for to know whether there is more."""
    kept = records[:limit]
    last = kept[-1] if len(records) > limit else None
    return Page([row(record) for record in kept], None if last is None else encode(order, last[at], last[id_]))


class Where:
    """Conditions with their numbered parameters."""

    def __init__(self, *parameters: object) -> None:
        """`parameters` are those that the statement's own text numbers."""
        self.parameters: list[object] = list(parameters)
        self._conditions: list[str] = []

    def add(self, condition: str, *values: object) -> None:
        """Each `{}` of the condition stands for one of the values."""
        numbers = []
        for value in values:
            self.parameters.append(value)
            numbers.append(f"${len(self.parameters)}")
        self._conditions.append(condition.format(*numbers))

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"
