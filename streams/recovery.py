"""Takes over open attempts that nobody works on: each becomes a retry, or ends, as its delivery mode says.

Those are the attempts of workers that died, and our own of which no task is left because it met an unforeseen error.

Place in the flow: read models (who has open attempts) and locks (who lives) -> *recovery* -> log. Run at start, on a
slow tick, and when somebody says that a worker has died.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import structlog

from horae.commands.occurrences import Occurrences
from horae.commands.ports import StreamConflict
from horae.domain.errors import Busy, Unavailable
from horae.projections.away import DATABASE_AWAY
from horae.projections.queries import OpenClaim, open_claims, open_owners
from horae.streams.metrics import Metrics

log = structlog.get_logger(__name__)

_PAGE = 500
_AWAY = (*DATABASE_AWAY, Unavailable, Busy)


class Lives(Protocol):
    """Knows which workers live: those that hold their incarnation's lock."""

    async def gone(self, owners: Collection[int]) -> set[int]:
        """Those of `owners` (incarnations) of which no session holds the lock."""
        ...


@dataclass(frozen=True, slots=True)
class RecoveryConfig:
    """`every_s`: how often to look, seconds."""

    every_s: float = 5.0

    def validate(self) -> RecoveryConfig:
        """Itself. Raises ValueError."""
        if self.every_s <= 0:
            raise ValueError(f"every_s must be positive, not {self.every_s}")
        return self


@dataclass(frozen=True, slots=True)
class Recovered:
    """What one look did: dead workers that had open attempts, and attempts of theirs that were ended."""

    owners: int = 0
    attempts: int = 0


class Recovery:
    """`ours`: this worker's incarnation, and `under_way` what it works on. `pool` reads the read models."""

    def __init__(
        self,
        config: RecoveryConfig,
        pool: asyncpg.Pool[Any],
        lives: Lives,
        occurrences: Occurrences,
        ours: int,
        metrics: Metrics,
        under_way: Callable[[], Collection[UUID]],
    ) -> None:
        self._under_way = under_way
        self._config, self._pool, self._lives = config.validate(), pool, lives
        self._occurrences, self._ours, self._metrics = occurrences, ours, metrics
        self._wake = asyncio.Event()
        #: The last position that was appended here.
        self.position = 0

    def wake(self) -> None:
        """Look now: a worker has died."""
        self._wake.set()

    async def run(self) -> None:
        """Look at once and then every `every_s`, until cancelled. Survives a database that is away."""
        while True:
            self._wake.clear()
            try:
                await self.run_once()
            except _AWAY as error:
                log.warning("recovery_waits", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.every_s):
                    await self._wake.wait()

    async def run_once(self) -> Recovered:
        """End every open attempt whose worker is gone, as far as the read models know of it."""
        async with self._pool.acquire() as conn:
            owners = set(await open_owners(conn))
        others = owners - {self._ours}
        gone = await self._lives.gone(others) if others else set()
        attempts = 0
        for owner in sorted(gone | (owners & {self._ours})):
            ended = await self._recover_all(owner)
            attempts += ended
            if ended:
                log.warning("attempts_recovered", owner=owner, count=ended)
        self._metrics.recovered.inc(attempts)
        return Recovered(len(gone), attempts)

    async def _recover_all(self, owner: int) -> int:
        ended, after = 0, None
        while True:
            async with self._pool.acquire() as conn:
                claims = await open_claims(conn, owner, after=after, limit=_PAGE)
            # Looked up after the claims were read: an attempt that had begun by then is under way, recorded, or lost.
            busy = self._under_way() if owner == self._ours else ()
            lost = [claim for claim in claims if claim.occurrence not in busy]
            ended += sum(await asyncio.gather(*(self._recover(claim, owner) for claim in lost)))
            if len(claims) < _PAGE:
                return ended
            after = claims[-1].occurrence

    async def _recover(self, claim: OpenClaim, owner: int) -> bool:
        try:
            # Of ours only that very attempt: the next one may have begun since.
            attempt = claim.attempt if owner == self._ours else None
            actor = f"worker:{self._ours}"
            position = await self._occurrences.recover(claim.tenant, claim.occurrence, owner, actor, attempt=attempt)
        except StreamConflict:
            return False
        except _AWAY:
            raise
        except Exception:
            # One that cannot be recovered must hold up neither the others nor this worker; the auditor names it.
            log.exception("attempt_cannot_be_recovered", occurrence=str(claim.occurrence), owner=owner)
            return False
        self.position = max(self.position, position)
        return position > 0
