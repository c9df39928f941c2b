"""Learning when: from engagement facts to the moment at which a person is likeliest to answer.

In reading order: `hours` (local time, and the smooth basis over it) → `dice` (chance by hash) → `facts` (what is learnt
from, who is a machine, when silence counts) → `counts` (the state: a fold over facts, in whole numbers) → `laplace`
(one person's posterior, for a shard at a time) → `priors` (what people have in common, fitted from their counts) →
`choice` (the moment, its confidence, or whom it falls back to) → `calibration` (does 20 % mean 20 %?) → `worth` (what
it is worth, against the hold-out and off policy) → `drift`. `docs/learning.md` has the formulae with their sources.

Pure like the rest of the domain: no clock, no chance but hashes. The arrays of `counts.Counts` are changed in place by
its one fold, because copying a shard for every event would cost more than learning from it.
"""
