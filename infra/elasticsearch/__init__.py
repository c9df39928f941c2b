"""Search in Elasticsearch: connection, indices, the engine, and making its indices anew.

Only what works in the smallest distribution of the server is used (no scripts, no reindex, no update by query).
"""
