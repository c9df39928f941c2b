"""The specifications: one folder per layer, mirroring the code, and the suites that go through all of it."""
