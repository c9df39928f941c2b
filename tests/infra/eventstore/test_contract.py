"""The event store on PostgreSQL keeps the port's contract, and the recorder the library's."""

import sys
import unittest
from collections.abc import AsyncIterator, Iterator
from unittest import mock

import pytest

from horae.commands.ports import EventStore
from horae.infra.eventstore import PostgresEventStore
from horae.infra.eventstore.recorder import Recorder, make_datastore
from tests.contracts.event_store import EventStoreContract
from tests.fixtures.postgres import Database

# The suite's module also tests ciphers, whose package we do not install: nothing here uses them.
sys.modules["eventsourcing.cipher"] = mock.MagicMock()
try:
    from eventsourcing.tests.persistence import ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
finally:
    del sys.modules["eventsourcing.cipher"]


class TestPostgresEventStore(EventStoreContract):
    """The contract, on a real server."""

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[EventStore]:
        """An empty one, as the worker opens it."""
        async with PostgresEventStore(database.owner_dsn) as store:
            yield store


@pytest.fixture
def recorder(request: pytest.FixtureRequest, database: Database) -> Iterator[None]:
    """Gives the library's test case a recorder on a fresh database."""
    datastore = make_datastore(database.owner_dsn, connections=12)
    request.instance.recorder = Recorder(datastore)
    yield
    datastore.close()


@pytest.mark.usefixtures("recorder")
class TestLibraryConformance(ApplicationRecorderTestCase[Recorder], unittest.TestCase):
    """The library's own suite for application recorders."""

    recorder: Recorder

    def create_recorder(self) -> Recorder:
        """The one on this test's database."""
        return self.recorder


@pytest.mark.usefixtures("recorder")
class TestNonInterleaving(NonInterleavingNotificationIDsBaseCase, unittest.TestCase):
    """The library's proof that concurrent appends do not mix their positions."""

    recorder: Recorder

    def create_recorder(self) -> Recorder:
        """The one on this test's database."""
        return self.recorder
