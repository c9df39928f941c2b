"""Horae in one thread, on virtual time, with everything going wrong that may: deterministic from a seed.

Reading order: `loop` (time and turns), `dice` (what goes wrong, and the list of it), `house` (processes that crash and
pause, clocks that jump), `lines` (store and read models over lines that break), `outside` (channels), `worker` (the
real parts put together), `clients` (who asks, and asks again), `calendar` and `judge` (what should have been, computed
apart from the product), `history` (one seed from beginning to end), `shrinking`.
"""
