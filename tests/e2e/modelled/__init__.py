"""A plain model of the public API, and a machine that plays both against each other.

Reading order: `timings` (what may be asked for, and what it means) → `model` (schedules as a client may expect them) →
`house` (the real processes) → `machine` (the moves, and what is compared).
"""
