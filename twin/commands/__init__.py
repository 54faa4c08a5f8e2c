"""The commands of ``ctwin``: one file each, with ``add(subparsers)`` and a function that returns the exit code."""
