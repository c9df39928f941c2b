"""The event store on PostgreSQL: the `eventsourcing` library's recorder, our append, group commit, and subscription.

Place in the flow: commands -> `PostgresEventStore.append` -> writer thread -> one SQL function -> notification log ->
`Subscription` -> projections and dispatcher. API processes read through `PostgresEventStore.scoped(tenant)`.
"""

from horae.infra.eventstore.store import PostgresEventStore
from horae.infra.eventstore.subscription import Subscription

__all__ = ["PostgresEventStore", "Subscription"]
