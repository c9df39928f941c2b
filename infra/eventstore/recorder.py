"""The library's application recorder over our table: its insert is one SQL function in one round trip.

Place in the flow: the writer calls `append` on its own connection; reading the log as a stream is `raw`'s. Through the
recorder the log is open to the library's own tools as well. The library's own write retries are not used: after a lost
answer they would report our own success as a conflict.
"""

from collections.abc import Sequence
from threading import Event
from typing import Any

import psycopg
from eventsourcing.persistence import ApplicationRecorder, ProgrammingError, StoredEvent
from eventsourcing.persistence import Subscription as LibrarySubscription
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresSubscription
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from horae.infra.eventstore.batch import Append, Refused, Row, Stored, parameters

SCHEMA = "log"
TABLE = "events"

_APPEND = (
    "SELECT command, position, stream, expected, actual FROM log.append("
    "%b::int[], %b::uuid[], %b::bigint[], %b::uuid[], %t::text[], %b::smallint[], %t::text[], %b::bytea[], "
    "%b::int[], %b::uuid[], %b::bigint[])"
)

#: A connection whose other side vanished without a word is noticed within about a minute.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def append(conn: psycopg.Connection[Any], commands: Sequence[Append]) -> list[Stored | Refused]:
    """Append commands (independent of each other, see `Batch`) in one transaction; one result per command, in order.

    `conn` is in autocommit mode; what is `Stored` is durable when this returns. Raises psycopg's errors: after an
    `OperationalError` or `InterfaceError` nobody knows whether the transaction was committed; asking again is safe.
    """
    results: dict[int, Stored | Refused] = {}
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(_APPEND, parameters(commands), prepare=True)
        for number, position, stream, expected, actual in cursor:
            results[number] = Stored(position) if position is not None else Refused(stream, expected, actual)
    return [results[number] for number in range(len(commands))]


def make_datastore(dsn: str, connections: int = 2) -> PostgresDatastore:
    """The library's pool of connections to a DSN (a URI or key=value words)."""
    parts = conninfo_to_dict(dsn)
    datastore = PostgresDatastore(
        dbname=str(parts.pop("dbname")),
        host=str(parts.pop("host", "")),
        port=str(parts.pop("port", "5432")),
        user=str(parts.pop("user", "")),
        password=str(parts.pop("password", "")),
        pool_size=connections,
        schema=SCHEMA,
    )
    assert isinstance(datastore.pool.kwargs, dict)
    datastore.pool.kwargs.update({**KEEPALIVE, **parts})  # sslmode and the like
    return datastore


class Recorder(PostgresApplicationRecorder):
    """The library's recorder on the table that our migrations made (`log.events`)."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = TABLE) -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        self.sql_create_statements.clear()  # the migrations make everything

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Insert as one command without expectations, belonging to no tenant; gives the positions.

        The library's interface, for its conformance suite. Raises the library's `IntegrityError` when a version is
        taken. Never retries.
        """
        if kwargs:
            raise ProgrammingError(f"not supported here: {', '.join(sorted(kwargs))}")
        if not stored_events:
            return []
        rows = []
        for event in stored_events:
            assert not isinstance(event.originator_id, str)
            rows.append(Row(event.originator_id, event.originator_version, None, "", 0, event.topic, event.state))
        with self.datastore.get_connection() as conn:
            (result,) = append(conn, [Append(tuple(rows), {}, frozenset())])
        assert isinstance(result, Stored), "nothing was expected, so nothing can be refused"
        return list(range(result.position - len(rows) + 1, result.position + 1))

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LibrarySubscription[ApplicationRecorder]:
        """The library's subscription, listening before it trusts that it has read everything."""
        return ListeningSubscription(recorder=self, gt=gt, topics=topics)


class ListeningSubscription(PostgresSubscription):
    """The library's subscription without its lost wake-up.

    The library reads what is there and starts to listen at the same time: an event that is committed after that read
    and before LISTEN took effect is seen only with the next one. So once LISTEN is in effect, read again.
    """

    def _listen(self) -> None:
        try:
            with self._recorder.datastore.get_connection() as conn:
                conn.execute(SQL("LISTEN {0}").format(Identifier(self._recorder.channel_name)))
                wake: Event = self._has_been_notified
                wake.set()
                while not self._has_been_stopped and not self._thread_error:
                    for _ in conn.notifies(timeout=0.1, stop_after=1):
                        wake.set()
        except BaseException as error:  # noqa: BLE001  raised again by the iterator
            if self._thread_error is None:
                self._thread_error = error
            self.stop()
