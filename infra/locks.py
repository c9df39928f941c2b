"""Waiting for an advisory lock of PostgreSQL's for as long as it takes, without standing in anybody's way.

Place in the flow: whoever stands by (`incarnation.py`, `leadership.py`, `relaying.py`) -> *here*. A statement that
waits holds its snapshot, and while a snapshot is held no vacuum of that database removes what has died since: a worker
that stood by for a day would let every table grow for a day. So one statement waits for a second at most, and then the
next one does; the lock is still granted at the instant at which it is let go.
"""

from __future__ import annotations

import asyncpg

#: A server that says nothing for so long, in seconds, is taken for gone.
_PATIENCE_S = 10.0

#: No snapshot is held for longer than this, in seconds.
LOOK_AGAIN_S = 1

# Caught there, because PostgreSQL's own log would have an error for every look otherwise.
_WAIT = """
DO $$ BEGIN
    PERFORM set_config('lock_timeout', '{timeout_s}s', true);
    PERFORM pg_advisory_lock({lock_class}, {lock_object});
EXCEPTION WHEN lock_not_available THEN
    NULL;
END $$
"""


async def wait_for(session: asyncpg.Connection[asyncpg.Record], lock_class: int, lock_object: int) -> None:
    """Return when `session` holds the lock (both numbers signed, of 32 bits), which it does until it ends.

    It may hold it more than once then: it is let go by ending the session, not by unlocking. Raises `TimeoutError` when
    the server falls silent (the session is ended then), and what asyncpg raises when it goes.
    """
    wait = _WAIT.format(timeout_s=LOOK_AGAIN_S, lock_class=int(lock_class), lock_object=int(lock_object))
    try:
        while not await session.fetchval(
            "SELECT pg_try_advisory_lock($1, $2)", lock_class, lock_object, timeout=_PATIENCE_S
        ):
            await session.execute(wait, timeout=LOOK_AGAIN_S + _PATIENCE_S)
    except TimeoutError:
        session.terminate()
        raise
