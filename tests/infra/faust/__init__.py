"""Tests of what Faust runs here, against a real broker."""
