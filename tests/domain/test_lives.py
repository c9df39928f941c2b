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
from tests.domain.makers import NOW, OWNER

Policy = Literal["skip", "once", "all"]
TIMED_OUT = Failure(kind="timeout", message="no answer")


def hourly(policy: Policy) -> t.Every:
    return t.Every(
        interval=t.Interval(unit="hours", count=1),
        zone="UTC",
        missed=t.Missed(policy=policy, within=timedelta(minutes=90)),
    )


class ScheduleLife(RuleBasedStateMachine):
    """A series or a one-off, its clients, a dispatcher that comes by now and then, and workers that may die."""

    @initialize(policy=st.sampled_from(["skip", "once", "all"]), recurring=st.booleans())
    def begin(self, policy: Policy, recurring: bool) -> None:
        self.life = Life(hourly(policy) if recurring else t.At(at=NOW + HOUR))
        self.triggers = 0

    # --- time and dispatcher ----------------------------------------------------------------------------------

    @rule(minutes=st.integers(1, 200))
    def time_passes(self, minutes: int) -> None:
        self.life.now += timedelta(minutes=minutes)

    @rule(rounds=st.integers(1, 4))
    def the_dispatcher_comes_by(self, rounds: int) -> None:
        for _ in range(rounds):
            self.life.fire_slot()
        for id_, (due_at, at) in list(self.life.rows.items()):
            if due_at > self.life.now:
                continue
            if at is None:
                self.life.do(id_, o.StartAttempt(schedule=self.life.schedule, owner=OWNER, now=self.life.now))
            else:
                self.life.fire(at, "occurrence", id_)

    # --- channels ---------------------------------------------------------------------------------------------

    def attempt(self, data: st.DataObject) -> tuple[UUID, int]:
        id_ = data.draw(st.sampled_from(self.life.open_attempts()))
        state = self.life.occurrence(id_)
        assert state is not None
        return id_, state.attempt

    @precondition(lambda self: self.life.open_attempts())
    @rule(data=st.data(), late=st.booleans())
    def one_is_delivered(self, data: st.DataObject, late: bool) -> None:
        id_, number = self.attempt(data)
        before = len(self.life.occurrences[id_])
        command = o.RecordDelivered(
            schedule=self.life.schedule, attempt=number - late, started_at=self.life.now, duration_ms=1.0
        )
        self.life.do(id_, command)
        assert len(self.life.occurrences[id_]) == before + (not late)

    @precondition(lambda self: self.life.open_attempts())
    @rule(data=st.data(), retryable=st.booleans())
    def one_fails(self, data: st.DataObject, retryable: bool) -> None:
        id_, number = self.attempt(data)
        command = o.RecordFailed(
            schedule=self.life.schedule,
            attempt=number,
            failure=TIMED_OUT.model_copy(update={"retryable": retryable}),
            started_at=self.life.now,
            duration_ms=1.0,
            now=self.life.now,
        )
        self.life.do(id_, command)

    @precondition(lambda self: self.life.open_attempts())
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        id_, _ = self.attempt(data)
        self.life.do(id_, o.RecoverLost(schedule=self.life.schedule, owner=OWNER, now=self.life.now))

    @precondition(lambda self: self.life.occurrences)
    @rule(data=st.data())
    def somebody_replays(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.life.occurrences)))
        try:
            self.life.do(id_, o.Replay(schedule=self.life.schedule, now=self.life.now))
        except Conflict:
            return

    # --- clients ----------------------------------------------------------------------------------------------

    def ask(self, command: s.Command) -> None:
        before = len(self.life.asked)
        try:
            self.life.ask(command)
        except Conflict:
            assert len(self.life.asked) == before

    @rule()
    def pause(self) -> None:
        self.ask(s.Pause())

    @rule()
    def resume(self) -> None:
        self.ask(s.Resume(context=self.life.context, current=self.life.current()))

    @rule(really=st.integers(0, 9))
    def cancel(self, really: int) -> None:
        if really == 0:
            self.ask(s.Cancel())

    @rule()
    def trigger(self) -> None:
        self.triggers += 1
        self.ask(s.Trigger(trigger=UUID(int=self.triggers), context=self.life.context))

    @rule(back=st.booleans(), number=st.integers(0, 5))
    def skip_or_unskip(self, back: bool, number: int) -> None:
        life = self.life
        if life.schedule.recurring:
            slot = (
                t.preview(life.schedule.timing, 6, t.Context(now=life.now, schedule_id=life.schedule.id))
                .slots[number]
                .slot
            )
        else:
            slot = s.one_off_slot(life.schedule, life.context).slot
        command = s.Unskip if back else s.Skip
        self.ask(command(slot=slot, context=life.context, current=life.current()))

    @rule(priority=st.integers(1, 5))
    def change_the_priority(self, priority: int) -> None:
        self.ask(s.Change(changes={"priority": priority}, context=self.life.context, current=self.life.current()))

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
    run_state_machine_as_test(ScheduleLife, settings=settings(max_examples=50, stateful_step_count=25))
