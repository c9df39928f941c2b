"""The fake store keeps the contract of the real one."""

import pytest

from horae.commands.ports import EventStore
from tests.contracts.event_store import EventStoreContract
from tests.fakes.event_store import InMemoryEventStore


class TestInMemoryEventStore(EventStoreContract):
    """The contract, in memory."""

    @pytest.fixture
    def store(self) -> EventStore:
        """An empty one."""
        return InMemoryEventStore()
