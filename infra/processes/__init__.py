"""The processes of one installation: the supervisor (`horae run`), the API and the worker.

Place in the flow: `supervisor` starts PostgreSQL and, through `child`, the `api_process` and the `worker_process`;
each of the two also runs alone (`horae api`, `horae worker`) against a given database.
"""
