"""Tells whoever looks on what a long wait is for: on a busy machine silence looks like a hang.

Place in the flow: the supervisor, while its parts start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def told_while_waiting(
    awaited: Awaitable[_T], what: Callable[[], str], say: Callable[[str], None], *, every_s: float = 5.0
) -> _T:
    """What `awaited` gives; meanwhile a line every `every_s` seconds, of what is waited for and how long by now."""
    began = time.monotonic()
    waiting = asyncio.ensure_future(awaited)
    try:
        while not (await asyncio.wait({waiting}, timeout=every_s))[0]:
            say(f"Waiting for {what()}, {time.monotonic() - began:.0f} s by now ...")
        return waiting.result()
    finally:
        waiting.cancel()
