"""The functions that the rest of Horae asks of a timing."""

from __future__ import annotations

from datetime import datetime

from horae.domain.timing.values import Context, Every, Next, Preview, Slot, Timing, ZoneSource
from horae.domain.timing.zones import tzdata_version

__all__ = ["after", "find", "first", "following", "is_recurring", "normalise", "preview", "tzdata_version", "zone_of"]


def is_recurring(timing: Timing) -> bool:
    """True when the timing may have more than one slot."""
    return isinstance(timing, Every)


def zone_of(timing: Timing, ctx: Context) -> tuple[str, ZoneSource]:
    """The IANA zone that the timing is read in now, and who named it."""
    raise NotImplementedError


def normalise(timing: Timing, ctx: Context) -> Timing:
    """Judge a client's timing against the present and fill in what it came to. Raises `errors.Invalid`."""
    raise NotImplementedError


def first(timing: Timing, ctx: Context) -> Next | None:
    """The first slot of a normalised timing: of a recurring one the first that is due after `ctx.now`."""
    raise NotImplementedError


def following(timing: Timing, current: Next, ctx: Context) -> Next | None:
    """The slot strictly after `current`; None when the timing has ended."""
    raise NotImplementedError


def after(timing: Timing, instant: datetime, ctx: Context) -> Next | None:
    """The first slot that is due after `instant`; None when there is none."""
    raise NotImplementedError


def find(timing: Timing, slot: Slot, ctx: Context) -> Next | None:
    """`slot` with its due instant if it belongs to the timing (exceptions ignored), else None."""
    raise NotImplementedError


def preview(timing: Timing, count: int, ctx: Context, after: datetime | None = None) -> Preview:
    """The next `count` slots due after `after` (default: `ctx.now`), and what was passed over between them."""
    raise NotImplementedError
