"""Random histories that the real deciders made: whatever can stand in a log, the projections must apply.

A `World` is the truth that read models are held against: the folds of all streams, and where each series stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from horae.domain import codec, ids
from horae.domain import key as k
from horae.domain import occurrence as o
from horae.domain import recipient as r
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Failure, Mode, Retry
from horae.domain.envelope import Event, Meta, NewEvent, Recorded
from horae.domain.errors import HoraeError
from horae.domain.personal import Personal
from horae.projections.fold import by_itself

NOW = datetime(2026, 10, 24, 8, 0, tzinfo=UTC)
TENANTS = ("acme", "böse; DROP")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC")

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@dataclass
class World:
    """What has happened so far."""

    random: Random
    words: list[str]
    now: datetime = NOW
    log: list[Recorded] = field(default_factory=list)
    tenants: dict[UUID, str] = field(default_factory=dict)
    schedules: dict[UUID, s.Schedule] = field(default_factory=dict)
    #: The slot that each series' due row must name.
    pointers: dict[UUID, t.Next | None] = field(default_factory=dict)
    occurrences: dict[UUID, o.Occurrence] = field(default_factory=dict)
    #: Triggered, and nothing has become of it yet.
    triggered: dict[UUID, tuple[UUID, t.Next]] = field(default_factory=dict)
    #: Moved by hand, and nothing has become of them yet.
    moved: dict[UUID, tuple[UUID, t.Next]] = field(default_factory=dict)
    keys: dict[UUID, k.Key] = field(default_factory=dict)
    recipients: dict[UUID, r.Recipient] = field(default_factory=dict)

    def record(self, tenant: str, stream: UUID, version: int, body: Event) -> None:
        """Store an event as the log would, codec included."""
        shard = ids.shard_of(tenant, str(getattr(body, "schedule", stream)))
        meta = Meta(
            event_id=self.id(), tenant=tenant, shard=shard, actor="key:1", request_id=self.word(), recorded_at=self.now
        )
        topic, state = codec.dump(NewEvent(stream, version, meta, body))
        self.log.append(codec.load(topic, state, stream, version, len(self.log) + 1))

    def id(self) -> UUID:
        return ids.uuid7(int(self.now.timestamp() * 1000), self.random.randbytes(10))

    def word(self) -> str:
        return self.random.choice(self.words)

    def pick(self, things: Any) -> Any:
        return self.random.choice(list(things))

    def context(self, schedule: UUID) -> t.Context:
        state = self.schedules.get(schedule)
        return t.Context(
            now=self.now,
            schedule_id=schedule,
            recipient_zone="Europe/Berlin",
            exceptions=state.out if state else frozenset(),
        )

    # --- asking ---

    def timing(self) -> t.Timing:
        zone = self.pick((*ZONES, "recipient"))
        return self.pick(  # type: ignore[no-any-return]
            (
                t.Now(),
                t.In(delay="PT90S", zone=zone),
                t.At(at=self.now + timedelta(hours=3)),
                t.Every(cron="30 2 * * *", zone=zone, overlap="both"),
                t.Every(cron="0 9 * * MON-FRI", zone=zone, count=3, missed=t.Missed(policy="skip")),
                t.Every(interval=t.Interval(unit="hours", count=7), zone=zone, jitter=timedelta(minutes=5)),
            )
        )

    def personal(self) -> Personal:
        return Personal(
            recipient=self.word(),
            channel=self.pick(("log:", "webhook:https://example.com/hook")),
            content={self.word(): [self.word(), 1.5, None]},
            metadata={"type": self.word()} if self.random.random() < 0.5 else {},
            tags=tuple(self.random.sample(self.words, self.random.randint(0, len(self.words)))),
        )

    def create(self) -> None:
        schedule, tenant = self.id(), self.pick(TENANTS)
        mode = self.pick(Mode)
        command = s.Create(
            schedule=schedule,
            recipient_ref=f"ref-{self.random.randint(1, 3)}",
            personal=self.personal(),
            timing=self.timing(),
            context=self.context(schedule),
            priority=self.random.randint(1, 5),
            delivery=Delivery(mode=mode, retry=Retry(retries=self.random.randint(0, 2))),
            expires_after=self.pick((None, timedelta(hours=2))),
        )
        body = s.create(command)
        self.tenants[schedule] = tenant
        self.schedules[schedule] = s.evolve(None, schedule, body)
        self.pointers[schedule] = body.next
        self.record(tenant, schedule, 1, body)

    def current(self, schedule: UUID) -> s.Current:
        state = self.schedules[schedule]
        if state.recurring:
            return s.Current(next=self.pointers[schedule])
        slot = s.one_off_slot(state, self.context(schedule))
        if ids.occurrence_id(schedule, slot.slot.local, slot.slot.fold) in self.occurrences:
            return s.Current(next=None, begun=True)
        return s.Current(next=None if slot.slot in state.exceptions else slot)

    def ask(self) -> None:
        schedule: UUID = self.pick(self.schedules)
        context, current = self.context(schedule), self.current(schedule)
        pointer = self.pointers[schedule]
        slot = pointer.slot if pointer else t.Slot(local=self.now.replace(tzinfo=None))
        state = self.schedules[schedule]
        out = [*state.exceptions, *state.changes]
        named = self.pick([slot, *out, *((pointer.slot,) if pointer else ())])
        begun = ids.occurrence_id(schedule, named.local, named.fold) in self.occurrences
        command = self.pick(
            (
                s.Change(changes={"timing": self.timing()}, context=context, current=current),
                s.Change(changes={"tags": (self.word(),), "priority": 5}, context=context, current=current),
                s.Pause(),
                s.Resume(context=context, current=current),
                s.Resume(context=context, current=current),
                s.Cancel(reason=self.word()),
                s.Trigger(trigger=self.id(), context=context),
                s.Skip(slot=named, context=context, current=current, begun=begun),
                s.Unskip(slot=named, context=context, current=current, begun=begun),
                s.ChangeSlot(slot=named, changes=self.own(), context=context, current=current, begun=begun),
                self.change_from(schedule, named),
            )
        )
        if out and self.random.random() < 0.3:
            command = s.Unskip(slot=named, context=context, current=current, begun=begun)
        elif state.recurring and self.random.random() < 0.3:
            command = s.ChangeSlot(slot=named, changes=self.own(), context=context, current=current, begun=begun)
        elif state.recurring and self.random.random() < 0.2:
            command = self.change_from(schedule, named)
        for body in s.decide(command, self.schedules[schedule]):
            state = self.schedules[schedule] = s.evolve(self.schedules[schedule], schedule, body)
            self.record(self.tenants[schedule], schedule, state.version, body)
            if isinstance(body, s.SchedulePaused | s.ScheduleCancelled):
                self.pointers[schedule] = None
            elif isinstance(body, s.ScheduleResumed) or getattr(body, "next_unchanged", None) is False:
                self.pointers[schedule] = body.next  # type: ignore[union-attr]
            if isinstance(body, s.ScheduleTriggered):
                self.triggered[body.occurrence] = (schedule, body.at)
            for withdrawn in by_itself(body):
                self.moved.pop(withdrawn, None)
            if isinstance(body, s.SlotChanged) and body.at is not None:
                self.moved[body.occurrence] = (schedule, body.at)

    def own(self) -> dict[str, Any]:
        """What one slot has for itself: where it is moved to, or what it carries, or both."""
        content = {"content": {self.word(): self.word()}, "priority": self.random.randint(1, 5)}
        then = self.now + timedelta(hours=self.random.randint(3, 30))
        at = self.pick((t.At(at=then), t.At(local=then.replace(tzinfo=None), zone="recipient")))
        moved = {"timing": at}
        return self.pick((content, moved, content | moved))  # type: ignore[no-any-return]

    def change_from(self, schedule: UUID, slot: t.Slot) -> s.Command:
        """A change of all, or from a slot on."""
        given: dict[str, Any] = self.pick(({"timing": self.timing()}, {"tags": (self.word(),)}, {"priority": 1}))
        return s.Change(
            changes=given,
            context=self.context(schedule),
            current=self.current(schedule),
            since=self.pick((slot, None)),
            exceptions=self.pick((None, "keep", "drop")),
        )

    def rezone(self) -> None:
        """The recipient lives elsewhere: what was moved to their clock goes along."""
        schedule: UUID = self.pick([id_ for id_, state in self.schedules.items() if state.moved] or self.schedules)
        state = self.schedules[schedule]
        begun = [at.slot for id_, at in state.moved.items() if id_ in self.occurrences]
        command = s.Rezone(
            change=self.id(),
            cause="recipient",
            keep=self.pick(("wall_time", "instant")),
            context=replace(self.context(schedule), recipient_zone=self.pick(ZONES)),
            current=s.NOT_READ,
            handled=begun,
        )
        for each in s.rezone_moved(command, state):
            state = self.schedules[schedule] = s.evolve(state, schedule, each.event)
            self.record(self.tenants[schedule], schedule, state.version, each.event)
            self.moved[each.event.occurrence] = (schedule, each.event.at)

    def backfill(self) -> None:
        """Some slots of the last days are asked for, as far as nothing keeps them; sent one after the other."""
        schedule: UUID = self.pick([id_ for id_, state in self.schedules.items() if state.recurring] or self.schedules)
        state, pointer = self.schedules[schedule], self.pointers[schedule]
        asked = s.Backfill(backfill=self.id(), begin=self.now - timedelta(days=4), end=self.now, count=1)
        bodies = s.decide(asked, state)
        born = min(event.meta.recorded_at for event in self.log if event.stream == schedule)
        slots = s.past_slots(asked.begin, asked.end, [s.InForce(born, state, self.context(schedule))])
        behind = [each for each in slots if pointer is None or s.is_before(each.at, pointer)]
        for slot in self.random.sample(behind, min(len(behind), 5)):
            id_ = ids.occurrence_id(schedule, slot.at.slot.local, slot.at.slot.fold)
            if slot.stood == "moved" or id_ in state.moved:
                continue
            due_at = self.now + timedelta(minutes=self.random.randint(0, 3))
            seen = state.seen_from(slot.at.slot)
            self.become(
                schedule, id_, o.Backfill(schedule=seen, backfill=asked.backfill, at=slot.at, under=1, due_at=due_at)
            )
        for body in bodies:
            after = self.schedules[schedule] = s.evolve(state, schedule, body)
            self.record(self.tenants[schedule], schedule, after.version, body)

    # --- firing ---

    def meet(self) -> None:
        """A slot, or something that waits by itself, has come due."""
        due: list[tuple[UUID, t.Next, str, str, UUID | None]]
        due = [(schedule, at, "slot", "slot", None) for schedule, at in self.pointers.items() if at is not None]
        due += [(schedule, at, "occurrence", "trigger", id_) for id_, (schedule, at) in self.triggered.items()]
        due += [(schedule, at, "occurrence", "slot", id_) for id_, (schedule, at) in self.moved.items()]
        due += [found for id_, state in self.occurrences.items() if (found := self.deferred(id_, state)) is not None]
        if not due:
            return
        schedule, at, row, origin, id_ = self.pick(due)
        if id_ is None:
            id_ = ids.occurrence_id(schedule, at.slot.local, at.slot.fold)
        self.now = max(self.now, at.due_at + timedelta(milliseconds=5))
        common: dict[str, Any] = {
            "at": at,
            "row": row,
            "origin": origin,
            "schedule": self.schedules[schedule].seen_from(at.slot),
        }
        context = self.context(schedule)
        rule: dict[str, Any] = {"rule": "quiet hours", "reason": self.word()}
        command = self.pick(
            (
                o.Fire(**common, owner=self.random.randint(1, 3), now=self.now, context=context),
                o.Fire(**common, owner=self.random.randint(1, 3), now=self.now, context=context),
                o.Fire(**common, owner=4, now=self.now + timedelta(days=3), context=context),
                o.Defer(**common, **rule, until=self.now + timedelta(hours=1), context=context),
                o.Suppress(**common, **rule, context=context),
            )
        )
        if self.schedules[schedule].status is not s.Status.ACTIVE and not isinstance(command, o.Fire):
            return
        self.become(schedule, id_, command)

    def deferred(self, id_: UUID, state: o.Occurrence) -> tuple[UUID, t.Next, str, str, UUID | None] | None:
        """Deferred by a rule, and still a slot of its schedule."""
        if state.phase is not o.Phase.DEFERRED or state.slot is None:
            return None
        if state.plan is not None and state.due_at is not None:
            # Asked for by a backfill: as it was planned then, whatever the timing has become.
            at: t.Next | None = t.Next(slot=state.slot, due_at=state.due_at, plan=state.plan)
        else:
            at = t.find(self.schedules[state.schedule].timing, state.slot, self.context(state.schedule))
        return None if at is None else (state.schedule, at, "occurrence", state.origin, id_)

    def attempt(self) -> None:
        """Something becomes of an occurrence that has begun."""
        if not self.occurrences:
            return
        id_: UUID = self.pick(self.occurrences)
        state = self.occurrences[id_]
        schedule = self.schedules[state.schedule]
        ran: dict[str, Any] = {"attempt": state.attempt, "started_at": self.now, "duration_ms": 12.5}
        failure = Failure(kind="http", message=self.word(), status_code=503, nothing_arrived=True)
        command = self.pick(
            (
                o.StartAttempt(schedule=schedule, owner=2, now=self.now),
                o.RecordDelivered(schedule=schedule, **ran, response={"body": self.word()}),
                o.RecordFailed(schedule=schedule, **ran, failure=failure, now=self.now),
                o.RecordFailed(schedule=schedule, **ran, failure=Failure(kind="io", message="?"), now=self.now),
                o.RecoverLost(schedule=schedule, owner=state.owner or 0, now=self.now),
                o.Replay(schedule=schedule, now=self.now),
                o.ReportDelivery(schedule=schedule, status="opened", at=self.now, detail={self.word(): 1}),
            )
        )
        if state.phase is o.Phase.RETRYING and self.random.random() < 0.5:
            command = o.StartAttempt(schedule=schedule, owner=2, now=self.now)
        if state.outcome in (o.Outcome.DEAD_LETTERED, o.Outcome.UNKNOWN) and self.random.random() < 0.5:
            command = o.Replay(schedule=schedule, now=self.now)
        self.become(state.schedule, id_, command)

    def become(self, schedule: UUID, id_: UUID, command: o.Command) -> None:
        for body in o.decide(command, self.occurrences.get(id_)):
            state = self.occurrences[id_] = o.evolve(self.occurrences.get(id_), id_, body)
            self.triggered.pop(id_, None)
            self.moved.pop(id_, None)
            self.record(self.tenants[schedule], id_, state.version, body)
            if isinstance(body, o.OccurrenceMissed | o.SlotPassed) or getattr(body, "moves", False):
                self.pointers[schedule] = body.next  # type: ignore[union-attr]

    # --- recipients and keys ---

    def know(self) -> None:
        tenant, id_ = self.pick(TENANTS), self.word()
        stream = ids.recipient_stream(tenant, id_)
        profile = r.RecipientProfile(id=id_, zone=self.pick((None, *ZONES)), attributes={self.word(): self.word()})
        for body in r.decide(r.Put(recipient_ref="ref-1", profile=profile), self.recipients.get(stream)):
            state = self.recipients[stream] = r.evolve(self.recipients.get(stream), body)
            self.record(tenant, stream, state.version, body)

    def issue(self) -> None:
        id_, tenant = self.id(), self.pick(TENANTS)
        command = k.Issue(sha256=id_.hex * 2, prefix="hk_", label=self.word(), scope=self.pick(k.Scope))
        body = k.issue(command)
        self.keys[id_], self.tenants[id_] = k.evolve(None, body), tenant
        self.record(tenant, id_, 1, body)

    def end_key(self) -> None:
        if self.keys:
            id_ = self.pick(self.keys)
            for body in k.decide(
                self.pick((k.Revoke(), k.Rotate(successor=self.id(), expires_at=self.now))), self.keys[id_]
            ):
                self.keys[id_] = k.evolve(self.keys[id_], body)
                self.record(self.tenants[id_], id_, self.keys[id_].version, body)

    def step(self) -> None:
        """One thing happens, or is refused."""
        self.now += timedelta(seconds=self.random.randint(0, 4_000))
        often = (self.ask, self.meet, self.attempt)
        deeds = (self.create, self.know, self.issue, self.end_key, self.backfill, self.rezone, *often * 4)
        try:
            (self.pick(deeds) if self.schedules else self.create)()
        except HoraeError:
            return


@st.composite
def worlds(draw: st.DrawFn, steps: int = 60) -> World:
    """A history of up to `steps` steps."""
    words = draw(st.lists(STORABLE, min_size=1, max_size=4, unique=True))
    world = World(draw(st.randoms(use_true_random=True)), words)
    for _ in range(draw(st.integers(5, steps))):
        world.step()
    return world


def world(seed: int, steps: int) -> World:
    """The history of a seed, for tests that need one and not all."""
    made = World(Random(seed), ["plain", "süß", "雪", "a,b\"'\\"])
    for _ in range(steps):
        made.step()
    return made
