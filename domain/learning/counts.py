"""The learner's state: per recipient, how often they were asked, answered and were seen in each local hour.

A fold over facts in whole numbers, so that it is the same bit for bit on every machine, in batches of any size. What is
older counts less: forward decay (Cormode, Shkapenyuk, Srivastava and Xu, 2009) lets a new fact weigh more instead of
making every old one lighter. Within one half-life (an *epoch*) weights grow from 1 to 2; then a row is halved.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from horae.domain.learning.facts import ACTIVE, ANSWERED, IGNORED, SENT, Facts
from horae.domain.learning.hours import BINS, DAY_S, Floats, Ints

HALF_LIFE_DAYS: Final = 30
UNIT: Final = 128  # the weight of a fact on the first day of its epoch
ACTIVE_UNIT: Final = 16  # a person is seen more often than asked: smaller steps, so that the cells hold as much
RECENT: Final = 8  # messages whose instants are kept, for "how many in the last seven days"

_MOST = np.iinfo(np.uint16).max
_GROWTH = np.array([2 ** (day / HALF_LIFE_DAYS) for day in range(HALF_LIFE_DAYS)])
_WEIGHT = np.array([round(UNIT * g) for g in _GROWTH.tolist()], dtype=np.int64)
_ACTIVE_WEIGHT = np.array([round(ACTIVE_UNIT * g) for g in _GROWTH.tolist()], dtype=np.int64)


@dataclass(slots=True)
class Counts:
    """One shard. Cells are fixed-point, as of their row's epoch; `recent` and `answered_at` are minutes since 1970."""

    position: int
    asked: NDArray[np.uint16]
    answered: NDArray[np.uint16]
    active: NDArray[np.uint16]
    epoch: NDArray[np.int16]
    segment: NDArray[np.int16]
    recent: NDArray[np.uint32]
    answered_at: NDArray[np.uint32]

    @classmethod
    def empty(cls, segment: NDArray[np.integer]) -> Counts:
        """Nobody has been asked yet; `segment` gives each row's segment."""
        n = len(segment)
        return cls(
            position=-1,
            asked=np.zeros((n, BINS), dtype=np.uint16),
            answered=np.zeros((n, BINS), dtype=np.uint16),
            active=np.zeros((n, BINS), dtype=np.uint16),
            epoch=np.zeros(n, dtype=np.int16),
            segment=segment.astype(np.int16),
            recent=np.zeros((n, RECENT), dtype=np.uint32),
            answered_at=np.zeros(n, dtype=np.uint32),
        )

    def _columns(self) -> tuple[NDArray[np.generic], ...]:
        return self.asked, self.answered, self.active, self.epoch, self.segment, self.recent, self.answered_at

    def bytes_per_recipient(self) -> int:
        """What one row takes, in memory and stored."""
        return sum(column[:1].nbytes for column in self._columns())

    def digest(self) -> str:
        """A hash of everything, position included: equal if and only if two folds agree in every bit."""
        h = blake2b(str(self.position).encode(), digest_size=16)
        for column in self._columns():
            h.update(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes())
        return h.hexdigest()

    def forget(self, row: int) -> None:
        """Empty a recipient's row: nothing of them is left."""
        for column in self._columns():
            column[row] = 0

    def learn(self, facts: Facts) -> None:
        """Fold facts in, in the order of the log; those at or below our position were applied before: skipped."""
        facts = facts.after(self.position)
        if not len(facts):
            return
        day = facts.at // DAY_S
        epoch = day // HALF_LIFE_DAYS
        # A run of equal epochs at a time: halving between two facts is where their order could show.
        edges = np.flatnonzero(np.diff(epoch)) + 1
        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(facts)], strict=True):
            run = slice(start, end)
            self._add(facts.row[run], facts.kind[run], facts.bin[run], int(epoch[start]), day[run] % HALF_LIFE_DAYS)
        self._remember(facts)
        self.position = int(facts.position[-1])

    def _add(self, row: Ints, kind: Ints, bins: Ints, epoch: int, day: Ints) -> None:
        asked = (kind == ANSWERED) | (kind == IGNORED)
        counted = asked | (kind == ACTIVE)
        self._age(np.unique(row[counted]), epoch)
        late = np.clip(self.epoch[row].astype(np.int64) - epoch, 0, 30)
        cell = row * BINS + bins
        for cells, which, table in (
            (self.asked, asked, _WEIGHT),
            (self.answered, kind == ANSWERED, _WEIGHT),
            (self.active, kind == ACTIVE, _ACTIVE_WEIGHT),
        ):
            weight = table[day[which]]
            weight = (weight + ((1 << late[which]) >> 1)) >> late[which]
            _add_at(cells.reshape(-1), cell[which], weight)

    def _age(self, rows: Ints, epoch: int) -> None:
        """Bring rows from an earlier epoch into this one."""
        old = rows[self.epoch[rows] < epoch]
        if not len(old):
            return
        shift = np.minimum(epoch - self.epoch[old].astype(np.int64), 30)[:, None]
        for cells in (self.asked, self.answered, self.active):
            cells[old] = (cells[old].astype(np.int64) + ((1 << shift) >> 1)) >> shift
        self.epoch[old] = epoch

    def _remember(self, facts: Facts) -> None:
        minute = (facts.at // 60).astype(np.uint32)
        answered = facts.kind == ANSWERED
        np.maximum.at(self.answered_at, facts.row[answered], minute[answered])
        sent = np.flatnonzero(facts.kind == SENT)
        while len(sent):
            # The newest eight, whatever the order in which they come; one message per recipient at a time.
            _, first = np.unique(facts.row[sent], return_index=True)
            rows, new = facts.row[sent[first]], minute[sent[first]]
            kept = self.recent[rows]
            kept[:, 0] = np.maximum(kept[:, 0], new)
            self.recent[rows] = np.sort(kept, axis=1)
            sent = np.delete(sent, first)

    def view(self, rows: Ints, now: int) -> tuple[Floats, Floats, Floats]:
        """Decayed numbers of times (asked, answered, active) as of the instant `now`, each (rows, BINS)."""
        age = now / (DAY_S * HALF_LIFE_DAYS) - self.epoch[rows]
        scale = (0.5 ** np.maximum(age, 0.0))[:, None]
        asked, answered = (cells[rows] * (scale / UNIT) for cells in (self.asked, self.answered))
        return asked, answered, self.active[rows] * (scale / ACTIVE_UNIT)

    def pressure(self, rows: Ints, now: int) -> tuple[Floats, Floats, Floats]:
        """Hours since the last answer (at most 1,000), and messages in the last day and in the last seven."""
        minute = now // 60
        since = np.minimum((minute - self.answered_at[rows].astype(np.int64)) / 60.0, 1000.0)
        age = minute - self.recent[rows].astype(np.int64)
        return since, (age < 1440).sum(axis=1).astype(np.float64), (age < 7 * 1440).sum(axis=1).astype(np.float64)


def _add_at(cells: NDArray[np.uint16], index: Ints, weight: Ints) -> None:
    """Add, and stop at the cell's most instead of starting again from 0."""
    unique, inverse = np.unique(index, return_inverse=True)
    total = np.zeros(len(unique), dtype=np.int64)
    np.add.at(total, inverse, weight)
    cells[unique] = np.minimum(cells[unique] + total, _MOST)
