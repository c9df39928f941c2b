"""What every move is made with: asking both, letting time go on in both, and comparing.

Place in the flow: model and house -> *playing* -> machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any, ClassVar
from uuid import uuid4

import httpx
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine

from tests.e2e.modelled.house import House
from tests.e2e.modelled.model import Model, Refused, Schedule

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Asked:
    """A request under an Idempotency-Key, and how it was answered."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    answer: httpx.Response


class Playing(RuleBasedStateMachine):
    """One example. The house is shared by all, and its time goes on from one to the next."""

    model: Model
    house: ClassVar[House]
    #: Requests made, by what they were and how they were answered: so that a run in which nothing happens is seen.
    made: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.tag = f"example-{uuid4().hex[:12]}"
        self.asked: list[Asked] = []
        self.head = 0
        self.numbers = count(1)

    def one(self, index: int) -> Schedule:
        return list(self.model.schedules.values())[index % len(self.model.schedules)]

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any],
        expected: Callable[[], None],
        success: int = 200,
        *,
        if_match: int | None = None,
    ) -> dict[str, Any] | None:
        """Ask both; the answer, or None where both refuse."""
        headers = {} if method == "DELETE" else {"Idempotency-Key": str(uuid4())}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        try:
            expected()
            status = success
        except Refused as refused:
            status = refused.status
        answer = self.house.ask(method, path, body if method != "DELETE" else None, headers=headers)
        note(f"{self.model.now} {method} {path} {body} {headers.get('If-Match', '')} -> {answer.status_code}")
        said = f"{method} {path} {body} at {self.model.now}: {answer.status_code} {answer.text}"
        assert answer.status_code == status, f"expected {status}, got {said}"
        what = f"{method} {path.rpartition('/')[2] if path.count('/') > 3 else 'schedule'} {status}"
        self.made[what] = self.made.get(what, 0) + 1
        if status != success:
            assert answer.headers["content-type"] == "application/problem+json", said
            assert answer.json()["status"] == status, said
            return None
        shown: dict[str, Any] = answer.json()
        self.head = max(self.head, shown["position"])
        if method != "DELETE":
            self.asked.append(Asked(f"{method} {path}", body, headers, answer))
        return shown

    def told(self, schedule: Schedule, answer: dict[str, Any] | None) -> None:
        """Compare what a change was answered with, and let what is due now happen."""
        if answer is not None:
            assert answer["version"] == schedule.version, answer
            shown = self.model.shown(schedule)
            if not self.model.restless:
                assert {name: answer[name] for name in ("status", "next_due_at")} == {
                    name: shown[name] for name in ("status", "next_due_at")
                }, f"{answer}\nmodel: {shown}"
        self.settle()

    def settle(self) -> None:
        if self.model.restless:
            self.move(self.model.now + SECOND)

    def move(self, to: datetime) -> None:
        """Time goes on in both, and what has come out is the same."""
        self.house.advance(to)
        self.model.advance(to)
        expected, self.model.released = sorted(self.model.released), []
        released = self.house.releases()
        note(f"until {to}: {len(released)} releases")
        assert released == expected, f"until {to}: {_differences(released, expected)}"
        self.made["release"] = self.made.get("release", 0) + len(released)

    def version(self, schedule: Schedule, if_match: str | None) -> int | None:
        by = {"this": 0, "before": -1, "after": 1}
        return None if if_match is None else max(0, schedule.version + by[if_match])

    # --- looking ---

    def occurrence_id(self, schedule: Schedule, key: Any) -> str:
        """Of a slot: as the schedule's own list names it."""
        if isinstance(key, str):
            return key
        for item in self.occurrences(schedule):
            if (item["origin"], item["slot"], item["fold"]) == ("slot", key[0].isoformat(), key[1]):
                identity: str = item["id"]
                return identity
        raise AssertionError(f"no occurrence {key} of {schedule.id} is listed")

    def occurrences(self, schedule: Schedule) -> list[dict[str, Any]]:
        path = f"/v1/schedules/{schedule.id}/occurrences"
        items: list[dict[str, Any]] = self.get(path, limit=500)["items"]
        return items

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.house.ask("GET", path, min_position=self.head, **params)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        shown: dict[str, Any] = answer.json()
        return shown

    def compare(self, schedule: Schedule) -> None:
        """A schedule, its occurrences and its next slots."""
        shown, expected = self.get(f"/v1/schedules/{schedule.id}"), self.model.shown(schedule)
        found = {name: shown[name] for name in expected}
        assert found == expected, f"{schedule.id} at {self.model.now}: {found}\nmodel: {expected}"
        listed = sorted(
            (item["due_at"], item["origin"], item["slot"], item["status"], item["attempts"])
            for item in self.occurrences(schedule)
        )
        modelled = sorted(
            (_z(each.due_at), each.origin, each.slot.local.isoformat(), each.status, each.attempts)
            for each in schedule.occurrences.values()
        )
        assert listed == modelled, f"{schedule.id} at {self.model.now}: {listed}\nmodel: {modelled}"
        history = self.get(f"/v1/schedules/{schedule.id}/history")["items"]
        assert [entry["version"] for entry in history] == list(range(1, schedule.version + 1))
        if schedule.phase == "active" and schedule.timed.recurring:
            preview = self.get(f"/v1/schedules/{schedule.id}/preview", count=3)["slots"]
            slots = [slot for slot in schedule.coming(5) if slot.due_at > self.model.now][:3]
            assert [(slot["slot"], slot["fold"], slot["due_at"]) for slot in preview] == [
                (slot.local.isoformat(), slot.fold, _z(slot.due_at)) for slot in slots
            ], f"preview of {schedule.id} at {self.model.now}"

    def compare_all(self) -> None:
        """Now, and after two days more."""
        for schedule in self.model.schedules.values():
            self.compare(schedule)
        self.move(self.model.now + timedelta(days=2))
        for schedule in self.model.schedules.values():
            self.compare(schedule)
        letters = self.get("/v1/dead-letters", limit=500)["items"]
        dead = sum(
            each.status == "dead_lettered"
            for schedule in self.model.schedules.values()
            for each in schedule.occurrences.values()
        )
        assert sum(letter["schedule"] in self.model.schedules for letter in letters) == dead


def _z(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def _differences(released: Any, expected: Any) -> str:
    more = [each for each in released if each not in expected]
    less = [each for each in expected if each not in released]
    return f"released, not expected: {more}\nexpected, not released: {less}"
