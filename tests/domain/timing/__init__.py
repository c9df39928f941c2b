"""Tests of `domain/timing`."""
