"""Faust, held to what it does well: joining the group, fetching in batches, and telling which partitions are ours.

Place in the flow: Kafka -> *here* -> `Take`rs in streams/. Reading order: `app` (one app and its agents, with every
setting that matters), `road` (keeps an app running while Kafka comes and goes). Imported by the processes that need it.
"""
