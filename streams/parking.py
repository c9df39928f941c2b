"""Keeps one bad event from stopping everything: what it shares rows with is set aside, all else goes on.

Place in the flow: between a feeder (live, or a rebuild) and the projector.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

import asyncpg
import structlog

from horae.commands import tracing
from horae.domain.envelope import Recorded
from horae.projections.fold import family
from horae.projections.projector import Applied, PositionGap, PositionMoved, Projector

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

#: What bad data raises: our own folding, the driver's encoding, or PostgreSQL's judgement of a value. Anything else is
#: the machine's trouble or a fault in the code, and would hit every event alike, so it is never a reason to park one.
BAD_DATA = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


async def apply_or_park(
    projector: Projector, conn: Connection, batch: Sequence[Recorded], reached: Mapping[int, int] | None = None
) -> AsyncIterator[Applied]:
    """Apply a batch; where an event cannot be applied, narrow it down by halves and park that one.

    `reached`: these are events of some shards, complete up to there (see `Projector.apply_shards`); None: a stretch of
    the whole log. Gives what each part came to, in order. Raises what the projector raises, but for bad data.
    """
    try:
        with tracing.batch("projection.apply", lambda: _contexts(batch), {"horae.events": len(batch)}):
            if reached is None:
                applied = await projector.apply(conn, batch)
            else:
                applied = await projector.apply_shards(conn, batch, reached)
        yield applied
    except (PositionMoved, PositionGap):
        raise
    except BAD_DATA as error:
        if not batch:
            raise
        if len(batch) == 1:
            event = batch[0]
            log.error(
                "event_parked",
                family=str(family(event)),
                stream=str(event.stream),
                version=event.version,
                position=event.position,
                event_name=event.body.name,
                error=describe(error),
                hint="fix the cause, then `horae parked replay` the family; until then its rows stand still",
            )
            yield await projector.park(conn, event, describe(error), whole_log=reached is None)
            if reached:
                yield await projector.apply_shards(conn, (), reached)
            return
        half = len(batch) // 2
        first, second = batch[:half], batch[half:]
        async for applied in apply_or_park(projector, conn, first, None if reached is None else {}):
            yield applied
        async for applied in apply_or_park(projector, conn, second, reached):
            yield applied


def _contexts(batch: Sequence[Recorded]) -> list[str]:
    """Of the traces that its events belong to."""
    return [context for event in batch if (context := event.meta.traceparent) is not None]


def describe(error: BaseException) -> str:
    """The error in one line, as the parked table and the logs keep it."""
    # ascii: what made the event unapplicable may be a character that cannot be stored here either.
    return ascii(f"{type(error).__name__}: {error}")[1:-1][:1_000]
