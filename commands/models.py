"""Models of send times: fitted to what is known, and stored as events of the tenant's own stream.

Place in the flow: api, the learner's clock -> *here* -> domain, log.
"""

from __future__ import annotations

from horae.commands import tracing
from horae.commands.context import Call, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Fitting, Ids
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.ids import shard_of
from horae.domain.model import ModelFitted, model_stream


class Models:
    """Commands on models."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, fitting: Fitting) -> None:
        self._store, self._clock, self._ids, self._fitting = store, clock, ids, fitting

    @tracing.operation("model.fit")
    async def fit(self, call: Call) -> Recorded | None:
        """Fit the tenant's model anew; None: too little is known. Raises `Unavailable`, `Busy`."""
        body = await self._fitting.fit(call.tenant, self._clock.now())
        if body is None:
            return None
        stream = model_stream(call.tenant)

        async def attempt() -> Recorded:
            events = await self._store.scoped(call.tenant).load(stream)
            meta = meta_of(
                call,
                event_id=self._ids.new(),
                shard=shard_of(call.tenant, str(stream)),
                now=self._clock.now(),
                correlation_id=stream,
            )
            event = NewEvent(stream, len(events) + 1, meta, body)
            return event.at(await self._store.append([event]))

        return await until_no_conflict(attempt)

    async def versions(self, tenant: str) -> list[Recorded]:
        """Every model that the tenant ever had, oldest first."""
        events = await self._store.scoped(tenant).load(model_stream(tenant))
        return [event for event in events if isinstance(event.body, ModelFitted)]
