"""How far each queue has been read that a flood keeps out: one look after another goes on where the last one ended.

Place in the flow: due index -> *fronts* say from where -> horizon. The first rows of a queue may stay there for
long: they wait for an endpoint without a free slot, or are another worker's. Whoever looked at them each time would
never see what lies behind them.
"""

from __future__ import annotations

from collections.abc import Iterable

from horae.projections.due import Queue
from horae.streams.dispatcher.horizon import BEGINNING, Edge


class Fronts:
    """A place in each queue. Only queues of which a look saw no end are remembered."""

    def __init__(self) -> None:
        self._read: dict[Queue, Edge] = {}
        self._anew: set[Queue] = set()

    def after(self, queues: Iterable[Queue]) -> dict[Queue, Edge]:
        """Behind which place each of them is to be read next."""
        return {queue: BEGINNING if queue in self._anew else self._read.get(queue, BEGINNING) for queue in queues}

    def read(self, queue: Queue, upto: Edge | None) -> None:
        """It has been read from `after` up to this place, None: to its end, so that it begins anew."""
        self._anew.discard(queue)
        if upto is None:
            self._read.pop(queue, None)
        else:
            # After a look from the beginning it goes on where it had been: else what many wait before would never come.
            self._read[queue] = max(upto, self._read.get(queue, BEGINNING))

    def begin_anew(self) -> None:
        """The next look at each queue is from its beginning, in case something lies there that nobody heard of."""
        self._anew = set(self._read)

    def forget(self) -> None:
        """There is no flood any more, or other rows are ours."""
        self._read.clear()
        self._anew.clear()
