"""Moves that a client may make, each on the model and on the real processes, and what is compared after each.

The machine knows the API's paths and bodies; what ought to follow is the model's to say.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.e2e.modelled.model import Model, Refused, Schedule
from tests.e2e.modelled.playing import SECOND, Playing
from tests.e2e.modelled.timings import ASKS, Ask
from tests.simulation.calendar import Expected

#: An example has so many schedules at most.
MOST = 4
#: Month, day and hour, UTC, of days on and about which clocks change somewhere, and of ordinary ones.
SCENES = ((1, 18, 6), (3, 13, 22), (3, 27, 12), (4, 3, 3), (7, 1, 0), (10, 2, 20), (10, 30, 21), (11, 6, 12))
IF_MATCH = st.sampled_from((None, None, "this", "before", "after"))
INDEX = st.integers(0, 7)
CONTENT = st.integers(1, 3)


class Machine(Playing):
    """The moves. Each decides what a client sends, and tells the model."""

    @initialize(scene=st.sampled_from(SCENES))
    def begin(self, scene: tuple[int, int, int]) -> None:
        """At the next such day of the service's calendar."""
        now = self.house.now()
        month, day, hour = scene
        begin = datetime(now.year, month, day, hour, tzinfo=UTC)
        if begin <= now:
            begin = begin.replace(year=now.year + 1)
        self.house.advance(begin)
        self.house.answers(204)
        assert self.house.releases() == []
        self.model = Model(begin)

    # --- asking for schedules ---

    @precondition(lambda self: len(self.model.schedules) < MOST)
    @rule(
        ask=ASKS,
        hook=st.booleans(),
        content=CONTENT,
        retries=st.integers(0, 2),
        expires=st.sampled_from((None, None, 30)),
    )
    def create(self, ask: Ask, hook: bool, content: int, retries: int, expires: int | None) -> None:
        now = self.model.now
        timed = ask.read(now)
        channel = self.house.receiver.at("hook") if hook else "log:"
        body: dict[str, Any] = {
            "recipient": f"{self.tag}-{next(self.numbers)}",
            "channel": channel,
            "content": {"n": content},
            "timing": timed.sent,
            "tags": [self.tag],
            "delivery": {"retry": {"strategy": "fixed", "retries": retries, "delay": "PT40M", "max_delay": "PT40M"}},
        }
        if expires is not None:
            body["expires_after"] = f"PT{expires}M"

        def expected() -> None:
            if timed.ended(now):
                raise Refused(422)

        answer = self.send("POST", "/v1/schedules", body, expected, 201)
        if answer is None:
            return
        schedule = Schedule(
            id=answer["id"],
            timed=timed,
            channel=channel,
            content=content,
            retries=retries,
            delay=timedelta(minutes=40),
            expires_after=None if expires is None else timedelta(minutes=expires),
            cursor=now,
        )
        self.model.schedules[schedule.id] = schedule
        self.told(schedule, answer)

    # --- changing them ---

    @precondition(lambda self: self.model.schedules)
    @rule(
        index=INDEX,
        verb=st.sampled_from(("pause", "pause", "resume", "resume", "resume", "cancel", "delete")),
        if_match=IF_MATCH,
    )
    def turn(self, index: int, verb: str, if_match: str | None) -> None:
        schedule = self.one(index)
        version = self.version(schedule, if_match)
        phase = {"pause": "paused", "resume": "active"}.get(verb, "cancelled")
        path = f"/v1/schedules/{schedule.id}"
        method, path = ("DELETE", path) if verb == "delete" else ("POST", f"{path}/{verb}")
        expected = lambda: schedule.to(phase, self.model.now, version)  # type: ignore[arg-type]  # noqa: E731
        self.told(schedule, self.send(method, path, {}, expected, if_match=version))

    @precondition(lambda self: self.model.schedules)
    @rule(index=INDEX, content=CONTENT, if_match=IF_MATCH)
    def reword(self, index: int, content: int, if_match: str | None) -> None:
        schedule = self.one(index)
        version = self.version(schedule, if_match)
        answer = self.send(
            "PATCH",
            f"/v1/schedules/{schedule.id}",
            {"content": {"n": content}},
            lambda: schedule.reword(content, version),
            if_match=version,
        )
        self.told(schedule, answer)

    @precondition(lambda self: self.model.schedules)
    @rule(index=INDEX, ask=ASKS, same=st.booleans(), if_match=IF_MATCH)
    def retime(self, index: int, ask: Ask, same: bool, if_match: str | None) -> None:
        schedule, now = self.one(index), self.model.now
        version = self.version(schedule, if_match)
        timed = ask.read(now)
        if same and schedule.timed.recurring:
            # The same rule, perhaps with another end.
            sent = {k: v for k, v in schedule.timed.sent.items() if k not in ("count", "ends_at")}
            more = {} if ask.count is None else {"count": ask.count}
            timed = _again(schedule, sent | more, ask.count, now)
        answer = self.send(
            "PATCH",
            f"/v1/schedules/{schedule.id}",
            {"timing": timed.sent},
            lambda: schedule.retime(timed, now, version),
            if_match=version,
        )
        self.told(schedule, answer)

    @precondition(lambda self: self.model.schedules)
    @rule(index=INDEX, verb=st.sampled_from(("skip", "skip", "unskip")), which=st.integers(0, 9))
    def except_(self, index: int, verb: str, which: int) -> None:
        schedule, now = self.one(index), self.model.now
        slot = _some_slot(schedule, which, now)
        if slot is None:
            return
        answer = self.send(
            "POST",
            f"/v1/schedules/{schedule.id}/{verb}",
            {"slot": slot.local.isoformat(), "fold": slot.fold},
            lambda: schedule.skip(slot) if verb == "skip" else schedule.unskip(slot, now),
        )
        self.told(schedule, answer)

    @precondition(lambda self: self.model.schedules)
    @rule(index=INDEX)
    def trigger(self, index: int) -> None:
        schedule, now = self.one(index), self.model.now
        slot = _moment(schedule, now)
        path = f"/v1/schedules/{schedule.id}/trigger"
        answer = self.send("POST", path, {}, lambda: schedule.trigger("", now, slot), 202)
        if answer is not None:
            schedule.occurrences[answer["occurrence"]] = schedule.occurrences.pop("")
            assert answer["version"] == schedule.version
        self.settle()

    # --- letting things happen ---

    @rule(
        minutes=st.one_of(st.integers(1, 100), st.integers(100, 3_000)), answers=st.sampled_from((204, 204, 425, 410))
    )
    def wait(self, minutes: int, answers: int) -> None:
        """`answers`: the receiver's, from now on."""
        self.model.answers = answers
        self.house.answers(answers)
        self.move(self.model.now + timedelta(minutes=minutes))

    @precondition(lambda self: any(schedule.next for schedule in self.model.schedules.values()))
    @rule(index=INDEX, early=st.sampled_from((0, 0, 1)))
    def wait_for(self, index: int, early: int) -> None:
        """To the very instant at which something is due, or to the second before."""
        waiting = [schedule.next for schedule in self.model.schedules.values() if schedule.next is not None]
        to = waiting[index % len(waiting)].due_at - early * SECOND
        if self.model.now < to < self.model.now + timedelta(days=4):
            self.move(to)

    # --- dead letters, repeats, strangers ---

    @precondition(lambda self: any(schedule.occurrences for schedule in self.model.schedules.values()))
    @rule(index=INDEX, which=INDEX)
    def replay(self, index: int, which: int) -> None:
        having = [schedule for schedule in self.model.schedules.values() if schedule.occurrences]
        schedule = having[index % len(having)]
        dead = [key for key, each in schedule.occurrences.items() if each.status == "dead_lettered"]
        keys = dead or list(schedule.occurrences)
        key = keys[which % len(keys)]
        path = f"/v1/dead-letters/{self.occurrence_id(schedule, key)}/replay"
        self.send("POST", path, {}, lambda: schedule.replay(key, self.model.now), 202)
        self.settle()

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 30), otherwise=st.booleans())
    def repeat(self, which: int, otherwise: bool) -> None:
        """A request that was answered, again under its key: nothing happens; with another body it is refused."""
        asked = self.asked[-1 - which % len(self.asked)]
        method, path = asked.path.split()
        body = asked.body | {"reason": "another body"} if otherwise and method == "POST" else asked.body
        if otherwise and path == "/v1/schedules":
            body = asked.body | {"priority": 5}
        if otherwise and path.endswith("skip"):
            body = asked.body | {"fold": 1 - asked.body["fold"]}
        answer = self.house.ask(method, path, body, headers=asked.headers)
        said = f"{asked.path} {body} again: {answer.status_code} {answer.text}"
        if body != asked.body and not path.endswith("skip"):
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch"), said
        elif body == asked.body:
            first = asked.answer.json()
            assert answer.status_code == asked.answer.status_code, said
            assert answer.json()["replayed"] is True, said
            for name in ("id", "version", "position", "occurrence", "attempts"):
                assert answer.json().get(name) == first.get(name), f"{name} was {first.get(name)}: {said}"

    @precondition(lambda self: self.model.schedules)
    @rule(
        index=INDEX,
        verb=st.sampled_from(("", "pause", "resume", "cancel", "trigger", "skip", "PATCH", "DELETE", "occurrences")),
    )
    def stranger(self, index: int, verb: str) -> None:
        """Another tenant's key finds nothing."""
        schedule = self.one(index)
        path = f"/v1/schedules/{schedule.id}"
        method = verb if verb.isupper() else "GET" if verb in ("", "occurrences") else "POST"
        path = path if verb.isupper() or not verb else f"{path}/{verb}"
        body = {"slot": "2027-01-04T09:00"} if verb == "skip" else {"content": {"n": 9}} if verb == "PATCH" else {}
        answer = self.house.ask(method, path, None if method in ("GET", "DELETE") else body, theirs=True)
        assert answer.status_code == 404, f"{method} {path}: {answer.text}"
        assert self.house.ask("GET", "/v1/schedules", theirs=True).json()["items"] == []

    # --- looking ---

    @precondition(lambda self: self.model.schedules)
    @rule(index=INDEX, status=st.sampled_from(("pending", "paused", "cancelled", "completed", "failed", "executing")))
    def look(self, index: int, status: str) -> None:
        """At one of them, and for all that have this status."""
        self.compare(self.one(index))
        found = self.get("/v1/schedules", tag=self.tag, status=status, limit=100)["items"]
        expected = {schedule.id for schedule in self.model.schedules.values() if schedule.status == status}
        assert {item["id"] for item in found} == expected, f"{status} at {self.model.now}"

    def teardown(self) -> None:
        """Everything is compared once more; then all is cancelled, and nothing of it fires any more."""
        if not hasattr(self, "model"):
            return
        try:
            # What went wrong before is what there is to tell.
            if sys.exc_info()[0] is None:
                self.compare_all()
        finally:
            for identity in self.model.schedules:
                self.house.ask("DELETE", f"/v1/schedules/{identity}")
            self.house.advance(self.house.now() + timedelta(days=2))
            after = self.house.releases()
        assert after == [], f"after everything was cancelled: {after}"


def _moment(schedule: Schedule, now: datetime) -> Expected:
    """The present on the clock of the schedule's timing."""
    local = now.astimezone(ZoneInfo(schedule.timed.sent.get("zone", "UTC")))
    return Expected(now, local.replace(tzinfo=None, fold=0), local.fold)


def _some_slot(schedule: Schedule, which: int, now: datetime) -> Expected | None:
    """One to come, one of the past, one that was taken out, or none of the schedule's."""
    slots = schedule.timed.slots(now - timedelta(days=2), now + timedelta(days=9))
    past = [slot for slot in slots if slot.due_at <= now]
    coming = [slot for slot in slots if slot.due_at > now]
    out = [slot for slot in slots if (slot.local, slot.fold) in schedule.exceptions]
    if which < 4:
        return coming[which] if which < len(coming) else None
    if which < 6:
        return past[-1] if past else None
    if which < 9:
        return out[which % len(out)] if out else None
    local = (coming or past)[0].local + timedelta(minutes=7) if slots else None
    return None if local is None else Expected(now + timedelta(hours=1), local, 0)


def _again(schedule: Schedule, sent: dict[str, Any], count_: int | None, now: datetime) -> Any:
    return replace(schedule.timed, sent=sent, count=count_, ends=None, anchor=now.replace(microsecond=0))
