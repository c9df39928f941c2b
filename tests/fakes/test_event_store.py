"""The fake store keeps the contract of the real one."""

import pytest

from tests.contracts.event_store import EventStoreContract
from tests.fakes.event_store import InMemoryEventStore


class TestInMemoryEventStore(EventStoreContract):
    """The contract, in memory."""

    @pytest.fixture
    def store(self) -> InMemoryEventStore:
        """An empty one."""
        return InMemoryEventStore()
