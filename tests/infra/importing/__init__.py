"""Tests of `infra/importing`."""
