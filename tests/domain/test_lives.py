"""Random lives of schedules: whatever clients, workers and clocks do, the promises of the deciders hold."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Failure
from horae.domain.errors import Conflict
from tests.domain.lives import HOUR, Life
from tests.domain.makers import NOW, OWNER, SCHEDULE

Policy = Literal["skip", "once", "all"]
NUMBERS = st.integers(0, 5)
TIMED_OUT = Failure(kind="timeout", message="no answer")


def hourly(policy: Policy) -> t.Every:
    return t.Every(
        interval=t.Interval(unit="hours", count=1),
        zone="UTC",
        # Two of those that came too late, so that a stop of some hours has more.
        missed=t.Missed(policy=policy, within=timedelta(minutes=90), limit=2 if policy == "all" else None),
    )


class ScheduleLife(RuleBasedStateMachine):
    """A series or a one-off, its clients, a dispatcher that comes by now and then, and workers that may die."""

    @initialize(policy=st.sampled_from(["skip", "once", "all"]), recurring=st.booleans())
    def begin(self, policy: Policy, recurring: bool) -> None:
        self.life = Life(hourly(policy) if recurring else t.At(at=NOW + HOUR))
        self.triggers = 0

    # --- time and dispatcher ----------------------------------------------------------------------------------

    @rule(minutes=st.integers(1, 300))
    def time_passes(self, minutes: int) -> None:
        self.life.now += timedelta(minutes=minutes)

    @rule(minutes=st.integers(10, 70), rounds=st.integers(1, 4), overtaken_by=st.sampled_from([None, None, SCHEDULE]))
    def time_passes_and_the_dispatcher_comes_by(self, minutes: int, rounds: int, overtaken_by: UUID | None) -> None:
        self.life.now += timedelta(minutes=minutes)
        for _ in range(rounds):
            self.life.fire_slot()
        for id_, (due_at, at) in list(self.life.rows.items()):
            if due_at > self.life.now:
                continue
            if at is None:
                schedule, now = self.life.schedule, self.life.now
                self.life.do(id_, o.StartAttempt(schedule=schedule, owner=OWNER, now=now, overtaken_by=overtaken_by))
            else:
                self.life.fire(at, "occurrence", id_)

    # --- channels ---------------------------------------------------------------------------------------------

    def attempt(self, data: st.DataObject) -> tuple[UUID, int]:
        id_ = data.draw(st.sampled_from(self.life.open_attempts()))
        state = self.life.occurrence(id_)
        assert state is not None
        return id_, state.attempt

    @precondition(lambda self: self.life.open_attempts())
    @rule(data=st.data(), end=st.sampled_from(["delivered", "too late", "failed", "failed", "refused", "died"]))
    def an_attempt_ends(self, data: st.DataObject, end: str) -> None:
        id_, number = self.attempt(data)
        schedule, now, before = self.life.schedule, self.life.now, len(self.life.occurrences[id_])
        match end:
            case "delivered" | "too late":
                late = end == "too late"
                self.life.do(
                    id_, o.RecordDelivered(schedule=schedule, attempt=number - late, started_at=now, duration_ms=1.0)
                )
                assert len(self.life.occurrences[id_]) == before + (not late)
            case "died":
                self.life.do(id_, o.RecoverLost(schedule=schedule, owner=OWNER, now=now))
            case _:
                problem = TIMED_OUT.model_copy(update={"retryable": end == "failed"})
                self.life.do(
                    id_,
                    o.RecordFailed(
                        schedule=schedule, attempt=number, failure=problem, started_at=now, duration_ms=1.0, now=now
                    ),
                )

    @precondition(lambda self: self.life.occurrences)
    @rule(data=st.data())
    def somebody_replays(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.life.occurrences)))
        try:
            self.life.do(id_, o.Replay(schedule=self.life.schedule, now=self.life.now))
        except Conflict:
            return

    @precondition(lambda self: self.life.schedule.recurring)
    @rule(again=st.booleans())
    def somebody_asks_for_what_was_not_sent(self, again: bool) -> None:
        before = {id_: len(events) for id_, events in self.life.occurrences.items()}
        try:
            self.life.backfill()
        except Conflict:
            assert before == {id_: len(events) for id_, events in self.life.occurrences.items()}
            return
        after = {id_: len(events) for id_, events in self.life.occurrences.items()}
        if again:
            self.life.backfill()
            assert after == {id_: len(events) for id_, events in self.life.occurrences.items()}

    # --- clients ----------------------------------------------------------------------------------------------

    def ask(self, command: s.Command) -> None:
        before = len(self.life.asked)
        try:
            self.life.ask(command)
        except Conflict:
            assert len(self.life.asked) == before

    @precondition(lambda self: self.life.schedule.status is s.Status.PAUSED)
    @rule()
    def resume(self) -> None:
        self.ask(s.Resume(context=self.life.context, current=self.life.current()))

    @rule(
        what=st.sampled_from(["pause", "cancel", "trigger", "trigger", "skip", "skip", "unskip", "change"]), n=NUMBERS
    )
    def a_client_asks(self, what: str, n: int) -> None:
        life = self.life
        match what:
            case "pause":
                self.ask(s.Pause())
            case "cancel" if n > 3:
                self.ask(s.Cancel())
            case "trigger":
                self.triggers += 1
                self.ask(s.Trigger(trigger=UUID(int=self.triggers), context=life.context))
            case "skip":
                self.ask(s.Skip(slot=self.coming(n), context=life.context, current=life.current()))
            case "unskip":
                self.ask(s.Unskip(slot=self.coming(n), context=life.context, current=life.current()))
            case _:
                change = s.Change(changes={"priority": n or 1}, context=life.context, current=life.current())
                self.ask(change)

    def coming(self, number: int) -> t.Slot:
        life = self.life
        if not life.schedule.recurring:
            return s.one_off_slot(life.schedule, life.context).slot
        everything = t.Context(now=life.now, schedule_id=life.schedule.id)
        return t.preview(life.schedule.timing, 6, everything).slots[number].slot

    # --- promises ---------------------------------------------------------------------------------------------

    @invariant()
    def promises(self) -> None:
        self.life.check_one_claim()
        self.life.check_ends()
        self.life.check_versions()
        self.life.check_cancel()

    def teardown(self) -> None:
        # Dear, so once per life: what is lost stays lost.
        if hasattr(self, "life"):
            self.life.check_complete()


def test_random_lives_keep_the_promises() -> None:
    """One claim per occurrence, nothing after an end or a cancel, contiguous versions, and no slot lost."""
    run_state_machine_as_test(ScheduleLife, settings=settings(max_examples=60, stateful_step_count=40))
