"""Every error that Horae raises on purpose: what happened, the value, and what to do.

Deciders, handlers and adapters raise these; only `api/errors.py` knows HTTP statuses.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HoraeError(Exception):
    """Base of all of Horae's errors.

    `message` says what happened in one sentence; `field` is the path of the offending field in the
    request ("timing.cron"); `value` what was given; `hint` what to do instead, with a right example.
    `extra` holds further facts for a program (they become members of the problem document).
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: Any = None,
        hint: str | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = value
        self.hint = hint
        self.extra = extra

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        what_to_do = f" {self.hint}" if self.hint else ""
        return f"{where}{self.message}{what_to_do}"


class Invalid(HoraeError):
    """The request contradicts itself, the zone data or the limits: change it, then send it again."""

    code = "invalid"


class NotFound(HoraeError):
    """Nothing of that id belongs to this tenant (another tenant's things look just like absent ones)."""

    code = "not_found"


class Conflict(HoraeError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"


class AlreadyClaimed(Conflict):
    """The occurrence is already on its way: it can no longer be moved, skipped or recalled."""

    code = "already_claimed"


class VersionMismatch(Conflict):
    """If-Match named another version than the present one: read it again, then decide anew."""

    code = "version_mismatch"


class IdempotencyMismatch(HoraeError):
    """The Idempotency-Key was used before with another body: use a new key for a new request."""

    code = "idempotency_mismatch"


class Unauthenticated(HoraeError):
    """No key, or one that is unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(HoraeError):
    """The key is good but lacks the scope that this needs."""

    code = "forbidden"


class Busy(HoraeError):
    """More work is queued than we promise to finish: nothing was stored, try again after `retry_after_s`."""

    code = "busy"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or f"Try again in {retry_after_s:g} s.")
        self.retry_after_s = retry_after_s


class Unavailable(HoraeError):
    """Something that we depend on did not answer in time."""

    code = "unavailable"
