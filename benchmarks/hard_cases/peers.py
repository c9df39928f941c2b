"""Runs one Python peer over the cases on stdin (a JSON list); prints a JSON list of answers. Its own process each."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

Peer = Callable[[str, datetime], Iterator[datetime]]


def croniter(expression: str, start: datetime) -> Iterator[datetime]:
    from croniter import croniter as Croniter  # noqa: N812

    fields = expression.split()
    text = " ".join([*fields[1:], fields[0]]) if len(fields) == 6 else expression  # it has the seconds last
    steps = Croniter(text, start)
    while True:
        yield steps.get_next(datetime)


def cronsim(expression: str, start: datetime) -> Iterator[datetime]:
    from cronsim import CronSim

    yield from CronSim(expression, start)


def apscheduler(expression: str, start: datetime) -> Iterator[datetime]:
    from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-not-found,unused-ignore]

    fields = expression.split()
    if len(fields) == 6:
        names = ("second", "minute", "hour", "day", "month", "day_of_week")
        trigger: Any = CronTrigger(**dict(zip(names, fields, strict=True)), timezone=start.tzinfo)
    else:
        trigger = CronTrigger.from_crontab(expression, timezone=start.tzinfo)
    before: datetime | None = None
    now = start
    while (found := trigger.get_next_fire_time(before, now)) is not None:
        yield found
        before = now = found


def _answer(peer: Peer, expression: str, zone: str, after: int, count: int) -> list[int] | str:
    signal.alarm(5)
    try:
        found: list[int] = []
        for at in peer(expression, datetime.fromtimestamp(after, UTC).astimezone(ZoneInfo(zone))):
            found.append(round(at.timestamp()))
            if len(found) == count:
                break
        return found
    except TimeoutError:
        return "stalls"
    except Exception:  # noqa: BLE001 - each peer has errors of its own; any of them is a refusal
        return "refused"
    finally:
        signal.alarm(0)


def _stop(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _stop)
    chosen = {"croniter": croniter, "cronsim": cronsim, "apscheduler": apscheduler}[sys.argv[1]]
    print(json.dumps([_answer(chosen, *case) for case in json.load(sys.stdin)]))
