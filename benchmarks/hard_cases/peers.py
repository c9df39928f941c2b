"""Runs one Python peer over the cases on stdin (a JSON list); prints a JSON list of answers. Its own process each.

Each has its best configuration: what its documentation offers for a case stands in `written` of cases.yaml.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Peer = Callable[[Any, datetime], Iterator[datetime]]
#: Longer than any of them needs for an answer: who takes more is taken to stall.
ALARM_S = 20


def croniter(written: str | dict[str, Any], start: datetime) -> Iterator[datetime]:
    """`written`: the expression, or that with options by name."""
    from croniter import croniter as Croniter  # noqa: N812

    options: dict[str, Any] = {"expression": written} if isinstance(written, str) else dict(written)
    expression = options.pop("expression")
    steps: Any = Croniter(expression, start, second_at_beginning=True, **options)
    while True:
        yield steps.get_next(datetime)


def cronsim(written: str, start: datetime) -> Iterator[datetime]:
    """`written`: the expression."""
    from cronsim import CronSim

    yield from CronSim(written, start)


def apscheduler(written: str | dict[str, Any] | list[dict[str, Any]], start: datetime) -> Iterator[datetime]:
    """`written`: an expression of crontab, fields by name, or several of these of which any will do."""
    from apscheduler.triggers.combining import OrTrigger  # type: ignore[import-not-found,unused-ignore]
    from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-not-found,unused-ignore]

    trigger: Any
    if isinstance(written, list):
        trigger = OrTrigger([CronTrigger(**fields, timezone=start.tzinfo) for fields in written])
    elif isinstance(written, dict):
        trigger = CronTrigger(**written, timezone=start.tzinfo)
    elif len(fields := written.split()) == 6:
        names = ("second", "minute", "hour", "day", "month", "day_of_week")
        trigger = CronTrigger(**dict(zip(names, fields, strict=True)), timezone=start.tzinfo)
    else:
        trigger = CronTrigger.from_crontab(written, timezone=start.tzinfo)
    before: datetime | None = None
    now = start + timedelta(microseconds=1)  # it counts an instant that is asked about in
    while (found := trigger.get_next_fire_time(before, now)) is not None:
        if before is None or found.timestamp() > before.timestamp():  # two runs that are due at once it makes one
            yield found
        before = now = found


def _answer(peer: Peer, written: Any, zone: str, after: int, count: int) -> list[int] | str:
    signal.alarm(ALARM_S)
    try:
        found: list[int] = []
        for at in peer(written, datetime.fromtimestamp(after, UTC).astimezone(ZoneInfo(zone))):
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
    chosen: dict[str, Peer] = {"croniter": croniter, "cronsim": cronsim, "apscheduler": apscheduler}
    print(json.dumps([_answer(chosen[sys.argv[1]], *case) for case in json.load(sys.stdin)]))
