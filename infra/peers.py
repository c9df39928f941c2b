"""Who else works, and on which shards: told by the heartbeats of those who hold their incarnation's lock.

Place in the flow: `sys.heartbeats`, locks -> *peers* -> dispatcher and direct feeding. A worker that was killed loses
its lock at once, and one that merely stands still falls silent; either way the living know within a second or three,
long before Kafka gives its partitions to somebody else. Until then they share its shards. Two who believe to have the
same one do no harm: claims and positions have one winner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import asyncpg
import structlog

from horae.infra.incarnation import INCARNATION_LOCKS
from horae.projections.away import DATABASE_AWAY
from horae.streams.dispatcher import Among

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

EVERY_S = 1.0
#: Silence after which a worker that holds its lock is not counted on: it may be stopped, or gone with its machine.
SILENT_S = 3.0
#: Looks after a death at which the read models know all that the dead did.
_LEARNT_WITHIN_LOOKS = 3

_LIVING = """
SELECT incarnation, shards FROM sys.heartbeats AS beat
WHERE kind = 'worker' AND beat_at > clock_timestamp() - make_interval(secs => $2) AND EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND granted
        AND objid::bigint = beat.incarnation & 4294967295
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""

_log = structlog.get_logger(__name__)


class Living:
    """The living workers as of the last look; implements `dispatcher.Peers`. `ours`: our own incarnation."""

    def __init__(self, pool: Pool, ours: int) -> None:
        self._pool, self._ours = pool, ours
        self._others: dict[int, frozenset[int]] = {}
        #: Looks since somebody was last missed.
        self._since_missed = 1 << 30

    @property
    def missed_lately(self) -> bool:
        """Somebody died or fell silent within the last few looks: what he had claimed is still to be learnt of."""
        return self._since_missed < _LEARNT_WITHIN_LOOKS

    def among(self) -> Among:
        """See `Peers.among`."""
        return among(self._ours, self._others)

    async def look(self) -> None:
        """Ask who lives; what was known stays when the database is away."""
        rows = await self._pool.fetch(_LIVING, INCARNATION_LOCKS, SILENT_S, timeout=EVERY_S)
        before = self._others.keys()
        self._others = {row["incarnation"]: frozenset(row["shards"]) for row in rows}
        self._others.pop(self._ours, None)
        self._since_missed = 0 if before - self._others.keys() else self._since_missed + 1

    async def run(self, looked: Callable[[], None]) -> None:
        """Look about once a second until cancelled, and tell each time."""
        while True:
            try:
                await self.look()
            except DATABASE_AWAY as error:
                _log.warning("peers_unknown", error=str(error))
            looked()
            await asyncio.sleep(EVERY_S)


def among(ours: int, others: Mapping[int, Collection[int]]) -> Among:
    """Our standing: by incarnation, the same to everybody who knows the same of the others."""
    ranked = sorted({ours, *others})
    return Among(ranked.index(ours), len(ranked), frozenset(shard for shards in others.values() for shard in shards))
