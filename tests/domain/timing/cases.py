"""Short ways to say a timing, a present and the slots that should come of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import TypeAdapter

from horae.domain import timing as t

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEDULE = UUID("01980000-0000-7000-8000-000000000017")
_TIMING: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)


def timing(**fields: Any) -> t.Timing:
    """A timing from the JSON that a client would send."""
    return _TIMING.validate_python(fields)


def every(**fields: Any) -> t.Every:
    """A recurring timing from the JSON that a client would send."""
    return t.Every.model_validate(fields)


def at(text: str) -> datetime:
    """An instant, UTC unless the text has an offset."""
    value = datetime.fromisoformat(text)
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def context(now: str | datetime, **fields: Any) -> t.Context:
    """A context at a present."""
    return t.Context(at(now) if isinstance(now, str) else now, SCHEDULE, **fields)


def walk(settled: t.Timing, ctx: t.Context) -> Iterator[t.Next]:
    """`first`, then `following` again and again."""
    slot = t.first(settled, ctx)
    while slot is not None:
        yield slot
        slot = t.following(settled, slot, ctx)


def take(settled: t.Timing, ctx: t.Context, n: int) -> list[t.Next]:
    """The first n slots of a walk."""
    return list(islice(walk(settled, ctx), n))


def locals_of(slots: list[t.Next]) -> list[str]:
    """Slots as `2026-03-29T02:30`, with `#1` after the second passing of a repeated time."""
    return [short(slot.slot) for slot in slots]


def short(slot: t.Slot) -> str:
    """A slot as text."""
    text = slot.local.isoformat(timespec="auto" if slot.local.second else "minutes")
    return f"{text}#1" if slot.fold else text


HOUR = timedelta(hours=1)
