"""The test suite's own machinery: the requirements ledger, from markers to report."""
