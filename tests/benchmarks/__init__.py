"""The benchmarks' own arithmetic: a wrong percentile would flatter every line of the table."""
