"""Measurements of the stack profile; `make bench-stack` runs `__main__.py`."""
