"""Measurements; `make bench` runs `__main__.py`."""
