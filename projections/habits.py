"""The learner's state as a read model: one small row per recipient, counted forward by the batch.

Place in the flow: the projector calls these around its fold, within its transaction, so that positions and counts
commit together and a rebuild gives the same rows bit for bit. The counting itself is `domain.learning.counts`, on the
batch's recipients alone; numpy is imported by the first batch that has something to learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from horae.domain.engagement import HabitsForgotten, RecipientEngaged
from horae.domain.envelope import Recorded
from horae.domain.occurrence import OccurrenceEnded, OccurrenceEngaged, OccurrenceUnanswered, Outcome
from horae.projections.fold import Fold
from horae.projections.fold.habits import Fact
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.domain.learning.counts import Counts
    from horae.domain.learning.facts import Facts
    from horae.projections.schema import Connection

_SQL = statements("habits")
_CELLS = ("asked", "answered", "active")
Key = tuple[str, str]


async def read_habits(conn: Connection, fold: Fold, events: Sequence[Recorded]) -> None:
    """Give the fold the stored rows that these events may change."""
    keys: set[Key] = set()
    occurrences = []
    for event in events:
        body = event.body
        match body:
            case OccurrenceEnded(outcome=Outcome.DELIVERED) | RecipientEngaged() | HabitsForgotten():
                pass
            case OccurrenceEngaged() | OccurrenceUnanswered():
                occurrences.append(event.stream)
            case _:
                continue
        keys.add((event.meta.tenant, body.recipient_ref))
    if keys:
        tenants, refs = zip(*sorted(keys), strict=True)
        for record in await conn.fetch(_SQL["prior_habits"], tenants, refs):
            key = (record["tenant"], record["recipient_ref"])
            fold.habits[key] = record
            fold.known.add(key)
    if occurrences:
        found = await conn.fetch(_SQL["prior_awaited"], occurrences)
        fold.awaited_before.update(record["occurrence"] for record in found)


async def write_habits(conn: Connection, fold: Fold) -> None:
    """Write what the fold learnt; nothing is done for a batch without."""
    if fold.forgotten:
        await conn.execute(_SQL["clear_habits"], *zip(*sorted(fold.forgotten), strict=True))
    if fold.facts or fold.met:
        rows = _counted(fold)
        await conn.execute(_SQL["write_habits"], *zip(*rows, strict=True))
    new = [awaited for awaited in fold.awaited.values() if awaited is not None]
    if new:
        await conn.execute(_SQL["write_awaited"], *zip(*new, strict=True))
    gone = [id_ for id_, awaited in fold.awaited.items() if awaited is None and id_ in fold.awaited_before]
    if gone:
        await conn.execute(_SQL["clear_awaited"], gone)
    if fold.told:
        await _calibrate(conn, fold)
    if fold.models:
        await conn.execute(_SQL["write_models"], *zip(*fold.models.values(), strict=True))


def _counted(fold: Fold) -> list[tuple[Any, ...]]:
    """The rows of `habits` after this batch's facts; who was only met gets an empty one."""
    touched = {(fact.tenant, fact.ref): fact.position for fact in fold.facts}
    for key, position in fold.met.items():
        touched[key] = max(position, touched.get(key, 0))
    keys = sorted(touched)
    counts = counts_of([None if key in fold.forgotten else fold.habits.get(key) for key in keys])
    if fold.facts:
        counts.learn(_columns(fold.facts, {key: row for row, key in enumerate(keys)}))
    rows = []
    for row, key in enumerate(keys):
        cells = [getattr(counts, name)[row] for name in _CELLS]
        kept = [cell.astype("<u2").tobytes() if cell.any() else b"" for cell in cells]
        recent = counts.recent[row]
        rows.append(
            (
                *key,
                int(counts.epoch[row]),
                *kept,
                recent.astype("<u4").tobytes() if recent.any() else b"",
                int(counts.answered_at[row]),
                touched[key],
            )
        )
    return rows


def counts_of(records: Sequence[Any], segments: Sequence[int] | None = None) -> Counts:
    """Stored rows (None: nothing is known) as the learner's arrays, in this order."""
    import numpy as np

    from horae.domain.learning.counts import Counts

    counts = Counts.empty(np.array(segments if segments is not None else [0] * len(records), dtype=np.int16))
    for row, record in enumerate(records):
        if record is None:
            continue
        for name in _CELLS:
            if record[name]:
                getattr(counts, name)[row] = np.frombuffer(record[name], dtype="<u2")
        if record["recent"]:
            counts.recent[row] = np.frombuffer(record["recent"], dtype="<u4")
        counts.epoch[row] = record["epoch"]
        counts.answered_at[row] = record["answered_at"]
    return counts


def _columns(facts: Sequence[Fact], rows: dict[Key, int]) -> Facts:
    import numpy as np

    from horae.domain.learning.facts import Facts
    from horae.domain.learning.hours import bins, local_s

    zones = tuple(sorted({fact.zone for fact in facts}))
    zone = np.array([zones.index(fact.zone) for fact in facts])
    at = np.array([int(fact.at.timestamp()) for fact in facts], dtype=np.int64)
    return Facts(
        position=np.array([fact.position for fact in facts], dtype=np.int64),
        row=np.array([rows[fact.tenant, fact.ref] for fact in facts], dtype=np.int64),
        kind=np.array([fact.kind for fact in facts], dtype=np.int64),
        at=at,
        bin=bins(local_s(at, zone, zones)),
    )


async def _calibrate(conn: Connection, fold: Fold) -> None:
    import numpy as np

    from horae.domain.learning.calibration import FEATURES, Calibration

    keys = sorted({(told.tenant, told.shard) for told in fold.told})
    found = await conn.fetch(_SQL["prior_calibrations"], *zip(*keys, strict=True))
    prior = {(record["tenant"], record["shard"]): record for record in found}
    rows = []
    for key in keys:
        told = [one for one in fold.told if (one.tenant, one.shard) == key and len(one.features) == FEATURES]
        state = calibration_of(prior[key]) if key in prior else Calibration()
        state.learn(
            np.array([one.features for one in told], dtype=np.float64).reshape(-1, FEATURES),
            np.array([one.answered for one in told], dtype=np.float64),
        )
        count = (prior[key]["told"] if key in prior else 0) + len(told)
        position = max(one.position for one in fold.told if (one.tenant, one.shard) == key)
        rows.append((*key, state.weights.tobytes(), state.precision.tobytes(), count, position))
    await conn.execute(_SQL["write_calibrations"], *zip(*rows, strict=True))


def calibration_of(record: Any) -> Any:
    """A stored row of `calibrations` as the learner's coefficients."""
    import numpy as np

    from horae.domain.learning.calibration import Calibration

    return Calibration(
        np.frombuffer(record["weights"], dtype="<f8").copy(), np.frombuffer(record["precision"], dtype="<f8").copy()
    )
