"""The error of a file that may still be being written."""

from __future__ import annotations

from sensors.reading import SensorError


class UnfinishedError(SensorError):
    """A file is cut off or empty: it may still be being written, so try again (``retry`` is true)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=True)
