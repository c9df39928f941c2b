"""What asyncpg raises when PostgreSQL gives no answer: named once, for all who wait until it does.

Each is a tuple for `except`. A timeout is an `OSError` (since Python 3.10, `asyncio`'s too).
"""

from __future__ import annotations

import asyncpg

#: The server is away, starting, stopping, or restarting after a crash; not: it refused what was asked. Among them are
#: errors of the arguments (`asyncpg.DataError` is an interface error too): who passes on what others gave looks first.
NO_SERVER = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    # When it goes at this very moment.
    asyncpg.InternalClientError,
)

#: A question that is well put gets no answer: the server is away, it or we have waited long enough, or it lacks what it
#: needs (a disk that is full). Not: a fault in the question. Of errors of arguments the same holds as above.
NO_ANSWER = (
    OSError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    *NO_SERVER,
)

#: Whatever keeps a read or a write of our own from ending well: for loops that try again.
DATABASE_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
