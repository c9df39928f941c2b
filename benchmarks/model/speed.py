"""How fast one core learns and decides, and what a recipient takes: `python -m benchmarks.model.speed`."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from horae.domain.learning.calibration import FEATURES, Calibration
from horae.domain.learning.choice import Requests, Rules, choose
from horae.domain.learning.counts import Counts
from horae.domain.learning.facts import ACTIVE, SENT, Facts
from horae.domain.learning.hours import DAY_S, bins, local_s
from horae.domain.learning.priors import Priors, fit

PEOPLE: Final = 16_000  # a shard of a million recipients
FACTS: Final = 200_000
BATCH: Final = 5_000
TOLD: Final = 20_000  # outcomes of planned messages, from which calibration learns too
DAY: Final = 20_500
ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata")


def main() -> None:
    """Learn, fit, decide; print rates by processor time."""
    rng = np.random.default_rng(1)
    counts = Counts.empty(rng.integers(0, 5, PEOPLE))
    at = np.sort(rng.integers(DAY * DAY_S, (DAY + 60) * DAY_S, FACTS))
    row, zone = rng.integers(0, PEOPLE, FACTS), rng.integers(0, 4, FACTS)
    kind = rng.integers(SENT, ACTIVE + 1, FACTS)
    started = time.process_time()
    for start in range(0, FACTS, BATCH):
        part = slice(start, start + BATCH)
        local = bins(local_s(at[part], zone[part], ZONES))
        counts.learn(Facts(np.arange(FACTS)[part], row[part], kind[part], at[part], local))
    learning = time.process_time() - started
    calibration, x = Calibration(), rng.random((TOLD, FEATURES))
    started = time.process_time()
    calibration.learn(x, (rng.random(TOLD) < 0.2).astype(np.float64))
    calibrating = time.process_time() - started
    now = (DAY + 61) * DAY_S
    some = np.arange(1_000)
    priors = fit(counts.segment[some].astype(np.int64), *counts.view(some, now), 5, Priors.unknown(5))
    ones = np.ones(PEOPLE, dtype=np.int64)
    words = rng.integers(0, 2**63, PEOPLE).astype(np.uint64)
    asked = Requests(np.arange(PEOPLE), ones * (DAY + 61), ones * 24, ones * 92, words, words)
    started = time.process_time()
    for start in range(0, PEOPLE, 1_000):
        part = slice(start, start + 1_000)
        piece = Requests(*(getattr(asked, name)[part] for name in Requests.__slots__))
        choose(counts, priors, piece, now, Rules())
    deciding = time.process_time() - started
    both = 1 / (learning / FACTS + calibrating / TOLD)
    print(f"learnt {FACTS / learning:,.0f} facts/s; with calibration on each {both:,.0f}/s")
    print(f"decided {PEOPLE / deciding:,.0f}/s; {counts.bytes_per_recipient()} bytes a recipient")


if __name__ == "__main__":
    main()
