"""The rounds of `make bench`: one round of one line at a time, on one running service; what was seen is kept.

Place in the flow: `http_load`, `filling` and `hook`, processes of their own -> *here* -> `lines` makes the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.children import Child
from benchmarks.figures import Fired, lead_s, stored_of
from benchmarks.firing import Arrivals, Firing, Hook, LogFile, described
from benchmarks.lines import BURST, FIRES, TOGETHER_RATE, Seen
from benchmarks.service import KEY, Service

#: Requests of a bulk load that are under way at once, and the schedules in each.
_BULK_CALLS, _BULK_SIZE = 4, 1_000
_TOGETHER_S = 60.0
#: Of each round of creates, at most.
_CREATE_S = 10.0
#: How long a generator may take beyond the time that it loads: it waits half a minute for an answer.
_GENERATOR_S = 90.0
_REPLAY_S = 600.0


class Bench:
    """One run on one service; `seconds` are those of a round of dispatch."""

    def __init__(self, service: Service, hook: Hook, seconds: float) -> None:
        self.service, self._hook, self.seconds = service, hook, seconds
        self.seen = Seen(seconds, min(_TOGETHER_S, 3 * seconds))
        self.firing = Firing(service)
        self._create_s = min(_CREATE_S, seconds)

    def round(self, name: str) -> str:
        """One more of a line; gives what was seen, in words. Raises `SystemExit` if it came to nothing."""
        match name:
            case "creates64" | "creates1000":
                return self._created(name, "--concurrency", name.removeprefix("creates"))
            case "bulk":
                return self._created(name, "--concurrency", _BULK_CALLS, "--bulk", _BULK_SIZE)
            case "replay":
                with Child("benchmarks.replaying", "--data", self.service.data) as child:
                    self.seen.replayed.append(child.result(_REPLAY_S))
                return f"{self.seen.replayed[-1]}"
            case "burst":
                return self._fired(name, self.firing.run(LogFile(self.service), BURST, 0))
            case "webhook":
                return self._fired(name, self._evenly(self._hook, name))
            case "together":
                return self._together()
            case _:
                return self._fired(name, self._evenly(LogFile(self.service), name))

    def expected_s(self, name: str) -> float:
        """About how long a round of it takes, if all keep up."""
        if name in FIRES:
            return lead_s(int(FIRES[name] * self.seconds), self.firing.pace) + self.seconds + 5
        match name:
            case "burst":
                return lead_s(BURST, self.firing.pace) + 10
            case "together":
                seconds = self.seen.together_s
                return lead_s(int(TOGETHER_RATE * seconds), self.firing.pace) + seconds + 10
            case "replay":
                return 60.0
            case _:
                return self._create_s + 10

    def warm_up(self) -> None:
        """Some creates that do not count."""
        self._load(3, "--concurrency", 64)

    def _load(self, seconds: float, *options: object) -> dict[str, Any]:
        """Run the generator; see what the log has of it, and how far behind the read models are when it ends."""
        before = self.service.position()
        with self._generator(seconds, *options) as child:
            result = child.result(seconds + _GENERATOR_S)
        result["behind_s"] = self.service.settle(result["last_position"])
        return stored_of(result, self.service.created_since(before))

    def _generator(self, seconds: float, *options: object) -> Child:
        where = ("--port", self.service.port, "--key", KEY)
        return Child("benchmarks.http_load", *where, "--seconds", seconds, *options)

    def _created(self, name: str, *options: object) -> str:
        result = self._load(self._create_s, *options)
        self.seen.created.setdefault(name, []).append(result)
        return f"{result}"

    def _evenly(self, arrivals: Arrivals, name: str) -> Fired:
        return self.firing.run(arrivals, int(FIRES[name] * self.seconds), FIRES[name])

    def _fired(self, name: str, fired: Fired) -> str:
        self.seen.fired.setdefault(name, []).append(fired)
        return described(fired)

    def _together(self) -> str:
        """Creates over HTTP at a rate that does not wait, while as many messages come due."""
        seconds = self.seen.together_s
        with self.firing.asked(LogFile(self.service), int(TOGETHER_RATE * seconds), TOGETHER_RATE) as asked:
            before = self.service.position()
            asked.until_first()
            with self._generator(seconds, "--concurrency", 64, "--rate", TOGETHER_RATE) as child:
                result = child.result(seconds + _GENERATOR_S)
            fired = asked.result()
        result["behind_s"] = fired.behind_s
        stored_of(result, self.service.created_since(before))
        self.seen.created.setdefault("together", []).append(result)
        return f"{result}; {self._fired('together', fired)}"

    def look_again(self) -> None:
        """Over all that went out on `log:` in the whole run: was anything released twice after its round was over?"""
        lines = ids = 0
        seen: set[bytes] = set()
        if self.service.releases.exists():
            with self.service.releases.open("rb") as file:
                for line in file:
                    lines += 1
                    seen.add(line.partition(b'"occurrence_id":')[2].partition(b",")[0])
            ids = len(seen)
        self.seen.released, self.seen.twice = lines, lines - ids


@contextmanager
def receiver() -> Iterator[Hook]:
    """A webhook's other side."""
    with Child("benchmarks.hook") as child:
        yield Hook(child)
