"""How much the dispatcher takes on at once, and how far it looks ahead."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherConfig:
    """Settings of one dispatcher; all are positive."""

    #: How far ahead due rows are held in memory, seconds.
    horizon_s: float = 120.0
    #: At most so many due rows are held; the rest waits in PostgreSQL, even when overdue.
    rows_in_memory: int = 50_000
    #: While more is overdue than fits: how often at most those are looked for whose turn it is and of whom little or
    #: nothing is held, seconds. For them a tenth of `rows_in_memory` is held beside it.
    turns_every_s: float = 1.0
    #: Due rows that are planned with one query.
    batch: int = 500
    #: Attempts under way at once, from before the claim until the result is stored.
    in_flight: int = 1_000
    #: The same, to one endpoint (scheme, host and port).
    per_endpoint: int = 100
    #: Failures in a row after which an endpoint is left alone, and for how many seconds.
    breaker_failures: int = 5
    breaker_reset_s: float = 30.0
    #: The longest sleep without a look at the clock, which may jump, seconds.
    max_sleep_s: float = 1.0
    #: How often the due index is read anew from its beginning, in case a change was never heard of, seconds.
    sweep_s: float = 60.0
    #: How often at most it is read anew for an endpoint for which more waits than fits into memory, seconds.
    respill_s: float = 1.0
    #: What overdue work of shards that nobody owns is taken over after, seconds.
    foreign_after_s: float = 1.0
    #: How often they are looked at, seconds.
    foreign_every_s: float = 0.5
    #: How long a stop waits for attempts under way, seconds.
    stop_s: float = 2.0

    @property
    def rows_for_turns(self) -> int:
        """How many more rows are held than `rows_in_memory`, for the sake of those whom a flood would keep out."""
        return max(1, self.rows_in_memory // 10)

    def validate(self) -> DispatcherConfig:
        """Itself. Raises ValueError naming the setting that makes no sense."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value <= 0:
                raise ValueError(f"{setting.name} must be positive, not {value}")
        if self.batch > self.rows_in_memory:
            raise ValueError(f"batch ({self.batch}) must not exceed rows_in_memory ({self.rows_in_memory})")
        return self
