"""How a release is attempted: mode, timeout, retries, and what the results mean.

Retry delays are pure functions of the policy, the attempt and the occurrence's id, so that a preview or
a replay computes the same instants.
"""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum, StrEnum
from hashlib import blake2b
from typing import Annotated, assert_never
from uuid import UUID

from pydantic import Field, model_validator

from horae.domain.envelope import Value
from horae.domain.timing import Duration

#: The longest that one attempt may take; the catalogue's executionTimeoutSeconds.
MAX_TIMEOUT = timedelta(seconds=300)
#: A worker that dies during an attempt costs no retry, but not without end: content that kills workers must stop.
MAX_LOST_ATTEMPTS = 10


class Priority(IntEnum):
    """The scale of priorities; higher is more pressing. Stored as the number."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4
    CRITICAL = 5


class Mode(StrEnum):
    """What may happen when nobody can tell whether an attempt arrived."""

    #: Try again with the same id: the receiver sees repeats, never a loss.
    AT_LEAST_ONCE = "at_least_once"
    #: Try again only where nothing can have arrived; else the occurrence ends `unknown`.
    AT_MOST_ONCE = "at_most_once"


class Strategy(StrEnum):
    """How the delay grows from retry to retry."""

    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    JITTERED = "jittered"


class Retry(Value):
    """After which delays a failed attempt is tried again. Default: 3 retries after 5 s, 10 s, 20 s."""

    strategy: Strategy = Strategy.EXPONENTIAL
    retries: Annotated[int, Field(ge=0, le=20, description="How many attempts may follow the first.")] = 3
    delay: Annotated[Duration, Field(description="The first delay, e.g. PT5S.")] = timedelta(seconds=5)
    factor: Annotated[float, Field(ge=1, le=10, description="Growth per retry of exponential and jittered.")] = 2.0
    max_delay: Annotated[Duration, Field(description="No delay is longer, e.g. PT5M.")] = timedelta(seconds=300)

    @model_validator(mode="after")
    def _delays_in_order(self) -> Retry:
        if not timedelta(0) <= self.delay <= timedelta(days=1):
            raise ValueError("delay must be between PT0S and P1D")
        if not self.delay <= self.max_delay <= timedelta(days=1):
            raise ValueError("max_delay must be between delay and P1D")
        return self

    def wait(self, retry: int, occurrence: UUID) -> timedelta:
        """The delay before the `retry`-th further attempt (1 is the first retry).

        `jittered` is exponential backoff, jittered over its upper half by a hash of occurrence and retry.
        """
        match self.strategy:
            case Strategy.FIXED:
                wait = self.delay
            case Strategy.LINEAR:
                wait = self.delay * retry
            case Strategy.EXPONENTIAL:
                wait = self._exponential(retry)
            case Strategy.JITTERED:
                digest = blake2b(occurrence.bytes + retry.to_bytes(2, "big"), digest_size=4).digest()
                wait = self._exponential(retry) * (0.5 + int.from_bytes(digest, "big") / 2**33)
            case _ as never:
                assert_never(never)
        return min(wait, self.max_delay)

    def _exponential(self, retry: int) -> timedelta:
        # Compared in floats first: factor ** 20 of a day overflows a timedelta.
        seconds = self.delay.total_seconds() * self.factor ** (retry - 1)
        return timedelta(seconds=min(seconds, self.max_delay.total_seconds()))


class Delivery(Value):
    """Mode, timeout of one attempt, and retries."""

    mode: Mode = Mode.AT_LEAST_ONCE
    timeout: Annotated[Duration, Field(description="Of one attempt; up to PT5M.")] = timedelta(seconds=15)
    retry: Retry = Retry()

    @model_validator(mode="after")
    def _timeout_in_bounds(self) -> Delivery:
        if not timedelta(milliseconds=100) <= self.timeout <= MAX_TIMEOUT:
            raise ValueError("timeout must be between PT0.1S and PT5M")
        return self


class Failure(Value):
    """Why an attempt did not end well."""

    #: "timeout", "connect", "dns", "tls", "http", "refused_target", "breaker_open", "owner_lost", "io", ...
    kind: str
    message: str
    status_code: int | None = None
    #: True only if the receiver cannot have got it (DNS, connection refused, 429, 503): a retry cannot double.
    nothing_arrived: bool = False
    #: False where trying again is pointless (410, 4xx but 408/425/429, refused target).
    retryable: bool = True
    #: The receiver's Retry-After, in seconds.
    retry_after_s: float | None = None
