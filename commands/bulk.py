"""Asking for many schedules at once: in chunks, each item for itself, each by its own rules for its own recipient.

Place in the flow: api, import -> *here* -> `creation`, domain, log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from horae.commands import tracing
from horae.commands.besttimes import About
from horae.commands.context import Answer, Call, digest_of, until_no_conflict
from horae.commands.creation import Creation, Ground, repeat_of
from horae.commands.ports import Ids, StreamConflict
from horae.commands.reading import answer_of
from horae.commands.recipients import Person, needs_recipient
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import Draft
from horae.domain.envelope import NewEvent
from horae.domain.errors import HoraeError
from horae.domain.ids import derived_id
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import Calendar
from horae.domain.timing.wherever import AS_ASKED, Wherever, fit

#: Creations in one commit of a bulk request.
CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """One schedule of many. `index` is its place in the request, `key` an idempotency key of its own."""

    index: int
    draft: Draft
    key: str | None = None
    rules: Wherever = AS_ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """What became of an item: `answer` (created, or replayed), `error`, or `skipped` by its own rules."""

    index: int
    answer: Answer[s.Schedule] | None = None
    error: HoraeError | None = None
    skipped: t.Reason | None = None


#: Of an item of many: created, refused, or not wanted by its own rules.
Outcome = Answer[s.Schedule] | HoraeError | t.Reason


class BulkCreation(Creation):
    """Create, clone and bulk create."""

    @tracing.operation("schedule.create_many")
    async def bulk_create(self, call: Call, items: Sequence[BulkItem]) -> list[BulkResult]:
        """Ask for many schedules, each for itself: one bad item harms no other. Results are in the items' order.

        An item's idempotency key is its own, or the call's with the item's index. Goes by the bulk lane, `CHUNK` items
        a commit; chunk by chunk, so that a long list cannot crowd out others. Items that ask about conflicts come one
        by one after the others of their chunk, so that each sees those before it.
        """
        results: list[BulkResult] = []
        for start in range(0, len(items), CHUNK):
            results += await self._create_chunk(call, items[start : start + CHUNK])
        return results

    async def _create_chunk(self, call: Call, items: Sequence[BulkItem]) -> list[BulkResult]:
        asked_of = {item.draft.recipient for item in items if needs_recipient(item.draft.timing)}
        people = await self._recipients.people(call.tenant, asked_of)
        calendars = await self._calendars.for_timings(call.tenant, [item.draft.timing for item in items])
        asked = [_Asked.of(call, item, self._ids) for item in items]
        keyed = [each.schedule for each in asked if each.call.idempotency_key is not None]
        known = await self._store.scoped(call.tenant).load_many(keyed) if keyed else {}
        grounds = await self._grounds(call.tenant, asked, people, calendars)
        outcomes: dict[int, Outcome] = {}
        events: dict[int, NewEvent] = {}
        expects: dict[UUID, int] = {}
        settling: list[int] = []
        for place, each in enumerate(asked):
            try:
                if each.schedule in known:
                    outcomes[place] = repeat_of(each.call, each.schedule, known[each.schedule])
                elif each.draft.conflicts is not None:
                    settling.append(place)
                else:
                    ground = grounds[place]
                    fitted = self._fitted_event(each, ground)
                    if isinstance(fitted, t.Reason):
                        outcomes[place] = fitted
                    else:
                        events[place], expects = fitted, expects | dict(ground.expects)
            except HoraeError as error:
                outcomes[place] = error
        outcomes |= await self._store_chunk(asked, events, expects)
        outcomes |= await self._create_each(asked, settling)
        return [_result(item, outcomes[place]) for place, item in enumerate(items)]

    async def _store_chunk(
        self, asked: Sequence[_Asked], events: dict[int, NewEvent], expects: Mapping[UUID, int]
    ) -> dict[int, Outcome]:
        """All in one append; each for itself if one is a repeat that came in meanwhile, or a calendar has changed."""
        together = {event.stream: place for place, event in reversed(events.items())}
        places = sorted(together.values())
        outcomes: dict[int, Outcome] = {}
        try:
            last = await self._store.append([events[place] for place in places], expects, lane="bulk") if places else 0
        except StreamConflict:
            places = []
        except HoraeError as error:
            outcomes = dict.fromkeys(places, error)
        else:
            # One command: the events before the last have the positions before its.
            for back, place in enumerate(reversed(places)):
                event = events[place]
                recorded = event.at(last - back)
                outcomes[place] = answer_of(event.stream, [recorded])
        return outcomes | await self._create_each(asked, sorted(events.keys() - outcomes.keys()))

    async def _create_each(self, asked: Sequence[_Asked], places: Sequence[int]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        for place in places:
            try:
                outcomes[place] = await self._create_item(asked[place])
            except HoraeError as error:
                outcomes[place] = error
        return outcomes

    async def _grounds(
        self,
        tenant: str,
        asked: Sequence[_Asked],
        people: Mapping[str, Person],
        calendars: Mapping[str, Calendar],
    ) -> list[Ground]:
        """The same for many, in their order."""
        grounds, wanted = [], []
        for each in asked:
            timing = each.draft.timing
            person = people[each.draft.recipient] if needs_recipient(timing) else None
            calendar = calendars.get(calendar_id(timing) or "")
            ground = self._ground_of(tenant, each.schedule, timing, person, calendar)
            grounds.append(ground)
            wanted.append((ground.context, About(each.draft, timing, person)))
        contexts = await self.chooser.chosen(tenant, wanted)
        return [replace(ground, context=context) for ground, context in zip(grounds, contexts, strict=True)]

    def _fitted_event(self, asked: _Asked, ground: Ground) -> NewEvent | t.Reason:
        """The item's first event, by a timing that its rules have fitted to the recipient; else why there is none."""
        draft, why = _fitted(asked, ground)
        if draft is None:
            assert why is not None
            return why
        return self._first_event(asked.call, asked.schedule, draft, ground.context, why=why)

    async def _create_item(self, asked: _Asked) -> Outcome:
        """One item of many by itself: it asks about conflicts, or something that it stands on has changed."""

        async def attempt() -> Outcome:
            ground = await self._ground(asked.call.tenant, asked.schedule, asked.draft, asked.draft.timing)
            repeat = await self._repeated(asked.call, asked.schedule)
            if repeat is not None:
                return repeat
            draft, why = _fitted(asked, ground)
            if draft is None:
                assert why is not None
                return why
            new = await self._new(asked.call, asked.schedule, draft, ground, why=why)
            return await self._store_new(asked.call, new, lane="bulk")

        return await until_no_conflict(attempt)


def _fitted(asked: _Asked, ground: Ground) -> tuple[Draft | None, t.Reason | None]:
    fitted = fit(asked.draft.timing, asked.rules, ground.context)
    if fitted.timing is None:
        return None, fitted.why
    return asked.draft.model_copy(update={"timing": fitted.timing}), fitted.why


@dataclass(frozen=True, slots=True)
class _Asked:
    """An item of a bulk request as the request that it stands for."""

    call: Call
    schedule: UUID
    draft: Draft
    rules: Wherever

    @classmethod
    def of(cls, call: Call, item: BulkItem, ids: Ids) -> _Asked:
        operation, key = "bulk item", item.key
        if key is None and call.idempotency_key is not None:
            operation, key = "bulk index", f"{call.idempotency_key}:{item.index}"
        if key is None:
            return cls(replace(call, idempotency_key=None, digest=None), ids.new(), item.draft, item.rules)
        document = item.draft.model_dump(mode="json")
        if item.rules != AS_ASKED:
            document |= {"if_past": item.rules.past, "if_no_zone": item.rules.no_zone}
        own = replace(call, idempotency_key=key, digest=digest_of(document))
        return cls(own, derived_id(call.tenant, operation, key), item.draft, item.rules)


def _result(item: BulkItem, outcome: Outcome) -> BulkResult:
    if isinstance(outcome, t.Reason):
        return BulkResult(index=item.index, skipped=outcome)
    if isinstance(outcome, HoraeError):
        return BulkResult(index=item.index, error=outcome)
    return BulkResult(index=item.index, answer=outcome)
