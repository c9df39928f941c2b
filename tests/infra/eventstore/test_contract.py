"""The event store on PostgreSQL keeps the port's contract, and the recorder the library's."""

import sys
import unittest
from collections.abc import AsyncIterator, Iterator
from unittest import mock
from uuid import uuid4

import pytest

from horae.commands.ports import EventStore
from horae.infra.eventstore import PostgresEventStore
from horae.infra.eventstore.recorder import Recorder, make_datastore
from tests.contracts.event_store import EventStoreContract, events_of
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


class AsTheApi:
    """The event store as the API's process has it: it appends anything, and reads what the tenant `acme` may see.

    Feeding is a worker's work: what only feeders ask is put to `worker`.
    """

    def __init__(self, api: PostgresEventStore, worker: PostgresEventStore) -> None:
        ours = api.scoped("acme")
        self.append, self.head, self.scoped = api.append, api.head, api.scoped
        self.load, self.load_many, self.after, self.version = ours.load, ours.load_many, ours.after, ours.version
        self.subscribe, self.shard_events = worker.subscribe, worker.shard_events


class TestPostgresEventStoreAsTheApi(EventStoreContract):
    """The same for the role that sees nothing unless a tenant is set."""

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[AsTheApi]:
        """An empty one, as the API opens it."""
        async with PostgresEventStore(database.api_dsn) as api, PostgresEventStore(database.owner_dsn) as worker:
            yield AsTheApi(api, worker)

    async def test_without_a_tenant_nothing_is_seen(self, store: AsTheApi, database: Database) -> None:
        """Whoever forgets to name one finds no event, not everybody's."""
        events = events_of(uuid4(), [1])
        await store.append(events)
        async with PostgresEventStore(database.api_dsn) as unscoped:
            assert await unscoped.load(events[0].stream) == []
            assert await unscoped.after(0) == []
            assert await unscoped.version(events[0].stream) == 0


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
