"""A tenant's model from its recipients' counts: the segments by name, the fit, and calibration put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from horae.domain.learning.calibration import Calibration
from horae.domain.learning.counts import Counts
from horae.domain.learning.priors import fit
from horae.domain.learning.stored import NO_SEGMENT, Model, event_of, together
from horae.domain.model import ModelFitted

#: Segments with a curve of their own, the largest first; the others share that of nobody in particular.
MOST_SEGMENTS = 40
#: Decayed messages before anything is fitted: with fewer, chance alone would speak.
LEAST_ASKED = 50.0


def segments_of(names: Sequence[str | None]) -> tuple[str, ...]:
    """The segments to be fitted; the first is of those without."""
    counted = Counter(name for name in names if name)
    return NO_SEGMENT, *sorted(name for name, _ in counted.most_common(MOST_SEGMENTS))


def fitted(
    counts: Counts,
    names: Sequence[str | None],
    calibrations: Sequence[Calibration],
    before: Model,
    now: datetime,
    upto: int,
) -> ModelFitted | None:
    """The tenant's next model as of `now`; None: too little is known. `names`: each row's segment."""
    chosen = segments_of(names)
    row_of = {name: row for row, name in enumerate(chosen)}
    segment = np.array([row_of.get(name or NO_SEGMENT, 0) for name in names], dtype=np.int64)
    asked, answered, active = counts.view(np.arange(len(names)), int(now.timestamp()))
    if asked.sum() < LEAST_ASKED:
        return None
    start = before.priors if before.segments == chosen else type(before.priors).unknown(len(chosen))
    priors = fit(segment, asked, answered, active, len(chosen), start)
    return event_of(
        priors,
        chosen,
        together(calibrations),
        people=len(names),
        asked=float(asked.sum()),
        answered=float(answered.sum()),
        upto=upto,
        fitted_at=now,
    )
