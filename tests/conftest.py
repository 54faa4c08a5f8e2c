"""Common to all tests: the repository root is importable, so that ``tests.real_data`` can be imported."""
