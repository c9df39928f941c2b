"""Rules judge what would go out: nothing, a deferral with its reason, or a suppression."""

from datetime import timedelta

from horae.commands.candidates import Candidate, DeferUntil, Drop, Pass, Verdict
from horae.domain import timing as t
from tests.streams.worker import NOON, Worker, at, one_off

DUE = NOON + timedelta(minutes=1)


async def test_the_first_rule_that_objects_decides(worker: Worker) -> None:
    """In order; what comes behind it is not asked."""
    asked = []

    def agrees(_candidate: Candidate) -> Verdict:
        asked.append("agrees")
        return Pass()

    def objects(_candidate: Candidate) -> Verdict:
        asked.append("objects")
        return Drop("consent", "the recipient has said no")

    def never_asked(_candidate: Candidate) -> Verdict:
        raise AssertionError

    worker.dispatcher(rules=(agrees, objects, never_asked))
    schedule = await worker.create(at(DUE))
    await worker.settle()
    await worker.at(DUE)
    assert worker.channel.releases == []
    assert asked == ["agrees", "objects"]
    (ended,) = await worker.bodies(one_off(schedule, DUE))
    assert (ended.outcome, ended.reason) == ("suppressed", "consent: the recipient has said no")


async def test_a_deferred_occurrence_waits_by_itself_while_its_series_goes_on(worker: Worker) -> None:
    """It is judged again at the instant that the rule named, with its own slot and due instant."""
    until = NOON + timedelta(minutes=150)

    def quiet_hours(candidate: Candidate) -> Verdict:
        assert candidate.at is not None
        first = candidate.at.due_at == NOON + timedelta(hours=1)
        return DeferUntil(until, "quiet_hours", "not now") if first and worker.clock.now() < until else Pass()

    worker.dispatcher(rules=(quiet_hours,))
    await worker.create(t.Every(interval=t.Interval(unit="hours"), zone="UTC"))
    await worker.settle()
    await worker.at(NOON + timedelta(hours=1))
    await worker.at(NOON + timedelta(hours=2))
    assert [r.due_at for r in worker.channel.releases] == [NOON + timedelta(hours=2)]
    await worker.at(until)
    assert [r.due_at for r in worker.channel.releases] == [NOON + timedelta(hours=h) for h in (2, 1)]
    await worker.at(NOON + timedelta(hours=3))
    assert len(worker.channel.releases) == 3
