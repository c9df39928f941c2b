"""The lines of `make bench`: what is asked of each, and what it says of the rounds that were seen. Pure.

The peers' figures come from other runs, of one round each, on a comparable machine (2 cores, PostgreSQL with fsync):
read them as an order of size, not as a race.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import Fired, Row, at_least, at_most

CREATE_PEERS = (
    "River 4,550 (25) · procrastinate 2,057 (52) · DBOS 1,892 (140) · graphile-worker 1,620 (52) · Quartz 934 (360)"
)
BULK_PEERS = "River 73,571 · graphile-worker 56,736 · procrastinate 12,142 · Quartz 2,747 · DBOS 2,052"
DISPATCH_PEERS = {
    "log1000": "River 74 · BullMQ 96 · graphile-worker 109 · DBOS 1,915 · Quartz, procrastinate fall behind",
    "log3000": "BullMQ 108 · River 119 · graphile-worker 119",
    "log6000": "graphile-worker 113 · River 115 · BullMQ 147",
}
BURST_PEERS = "graphile-worker 0.61 · River 0.82 · BullMQ 1.61 · DBOS 23 · Quartz 49"
NO_PEERS = "not raced"
#: Fires a second of the lines that are even.
FIRES = {"log1000": 1_000, "log3000": 3_000, "log6000": 6_000, "webhook": 1_000}
#: p99 of the lateness, ms.
_BOUND_MS = {"log1000": 50, "log3000": 50, "log6000": 115}
BURST = 20_000
TOGETHER_RATE = 1_667

#: The lines in the order in which they are measured: what overwhelms a slow machine comes last.
NAMES = (
    "creates64", "creates1000", "bulk", "log1000", "replay", "webhook", "burst", "log3000", "log6000", "together",
)  # fmt: skip


@dataclass
class Seen:
    """What the rounds gave, by line."""

    #: Of a round of even dispatch, and of creates and dispatch together.
    seconds: float
    together_s: float
    #: What the load generator said, with `stored`, `missing` and `behind_s`.
    created: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    fired: dict[str, list[Fired]] = field(default_factory=dict)
    replayed: list[dict[str, Any]] = field(default_factory=list)
    #: Why rounds came to nothing.
    failed: dict[str, list[str]] = field(default_factory=dict)
    #: Lines on `log:` in the whole run, and how many were of an occurrence that had been there; None: nobody looked.
    released: int = 0
    twice: int | None = None


def rows_of(seen: Seen, name: str) -> list[Row]:
    """The lines of the table that this one of `NAMES` fills; `not measured` where there was no round."""
    created, fired = seen.created.get(name, []), seen.fired.get(name, [])
    whole = name not in seen.failed
    match name:
        case "creates64" | "creates1000":
            rows = _creates(name, created, whole)
        case "bulk":
            rate = tuple(float(result["per_second"]) for result in created)
            rows = [
                Row("bulk creates over HTTP: schedules a second", rate, target="≥ 15,000", good=at_least(15_000),
                    clean=whole and _stored(created), beside=_errors(created), peers=BULK_PEERS),
                Row("  read models behind at the end, s", _each(created, "behind_s"), "{:.2f}"),
            ]  # fmt: skip
        case "burst":
            last = tuple(one.ms(1) / 1000 for one in fired)
            rows = [
                Row(f"{BURST:,} due at one instant: s until the last is out", last, "{:.2f}", "≤ 1.5", at_most(1.5),
                    whole and all(one.whole for one in fired), _faults(fired), BURST_PEERS)
            ]  # fmt: skip
        case "replay":
            rows = [_replay(seen.replayed, whole)]
        case "together":
            rows = _together(seen, created, fired, whole)
        case _:
            channel = "webhook:" if name == "webhook" else "log:"
            what = f"dispatch on {channel}, {FIRES[name]:,}/s for {seen.seconds:g} s"
            rows = _dispatch(what, fired, whole, _BOUND_MS.get(name), DISPATCH_PEERS.get(name, NO_PEERS))
    return rows + [
        Row(f"  a round came to nothing: {why}", (1.0,), target="0", good=at_most(0))
        for why in seen.failed.get(name, [])
    ]  # fmt: skip


def table_of(seen: Seen, names: Sequence[str]) -> list[Row]:
    """All that were asked for, and the last look over the whole run."""
    rows = [row for name in names for row in rows_of(seen, name)]
    if seen.released and seen.twice is not None:
        what, beside = "in the whole run, released on log: more than once", f"of {seen.released:,} releases"
        rows.append(Row(what, (float(seen.twice),), target="0", good=at_most(0), beside=beside))
    return rows


def _creates(name: str, found: list[dict[str, Any]], whole: bool) -> list[Row]:
    concurrency = int(name.removeprefix("creates"))
    what = f"creates over HTTP, concurrency {concurrency:,}"
    rates, slow = _each(found, "per_second"), _each(found, "p95_ms")
    if concurrency == 64:
        rows = [
            Row(f"{what}: a second", rates, target="≥ 2,500", good=at_least(2_500), clean=whole and _stored(found),
                beside=_errors(found), peers=f"(p95 ms) {CREATE_PEERS}"),
            Row("  p95 ms", slow, "{:,.0f}", "< 50", lambda ms: ms < 50, peers="beside the rates above"),
        ]  # fmt: skip
    else:
        beside = f"{max(rates, default=0):,.0f}/s at best, p95 {max(slow, default=0):,.0f} ms; {_errors(found)}"
        rows = [
            Row(f"{what}: errors", _each(found, "errors"), target="0", good=at_most(0),
                clean=whole and _stored(found), beside=beside, peers=NO_PEERS)
        ]  # fmt: skip
    behind = Row("  read models behind at the end, s", _each(found, "behind_s"), "{:.2f}", "≤ 1", at_most(1))
    return [*rows, behind]


def _together(seen: Seen, created: list[dict[str, Any]], fired: list[Fired], whole: bool) -> list[Row]:
    rate = TOGETHER_RATE
    beside = f"p95 {max(_each(created, 'p95_ms'), default=0):,.0f} ms from each one's turn on; {_errors(created)}"
    what = f"{rate:,} creates and {rate:,} fires a second for {seen.together_s:g} s: creates carried"
    carried = Row(what, _each(created, "per_second"), target=f"≥ {rate:,}", good=at_least(0.995 * rate),
                  clean=whole and _stored(created), beside=beside, peers=NO_PEERS)  # fmt: skip
    return [carried, *_dispatch("  the fires", fired, whole, None, "")]


def _dispatch(what: str, found: list[Fired], whole: bool, bound_ms: float | None, peers: str) -> list[Row]:
    p50 = max((fired.ms(0.5) for fired in found), default=0)
    late = tuple(fired.ms(0.99) for fired in found)
    target = "" if bound_ms is None else f"≤ {bound_ms:g}"
    good: Callable[[float], bool] | None = None if bound_ms is None else at_most(bound_ms)
    in_time = whole and all(fired.in_time for fired in found)
    shares = tuple(100 * fired.within_1s for fired in found)
    clean = whole and all(fired.whole for fired in found)
    return [
        Row(f"{what}: lateness p99 ms", late, "{:,.1f}", target, good, in_time, f"p50 {p50:,.1f}", peers),
        Row("  % within 1 s, 0 lost, 0 double", shares, "{:.3f}", "≥ 99.99", at_least(99.99), clean, _faults(found)),
    ]


def _replay(found: list[dict[str, Any]], whole: bool) -> Row:
    events = found[-1]["events"] if found else 0
    faults = sum(result["parked"] + result["differing"] for result in found)
    return Row("replay of the log into fresh read models: events a second", _each(found, "per_second"),
               target="≥ 20,000", good=at_least(20_000), clean=whole and not faults,
               beside=f"{events:,} events, {faults} parked or differing", peers="nothing to replay")  # fmt: skip


def _each(found: list[dict[str, Any]], name: str) -> tuple[float, ...]:
    return tuple(float(result[name]) for result in found)


def _stored(found: list[dict[str, Any]]) -> bool:
    """Nothing was refused, and all that was answered 2xx is in the log."""
    return not any(result["errors"] or result["missing"] for result in found)


def _errors(found: list[dict[str, Any]]) -> str:
    return f"{sum(r['errors'] for r in found)} errors, {sum(r['missing'] for r in found)} answered and not in the log"


def _faults(found: list[Fired]) -> str:
    text = f"lost {sum(fired.lost for fired in found)}, double {sum(fired.double for fired in found)}"
    again = sum(fired.again for fired in found)
    if again:
        text += f" ({again:,} of them as a further attempt)"
    unsettled = sum(not fired.settled for fired in found)
    if unsettled:
        text += f", {unsettled} rounds without as many claims and ends in the log"
    late = sum(not fired.in_time for fired in found)
    return f"{text}, {late} rounds asked for too late" if late else text
