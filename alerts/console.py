"""Sinks of the own machine: a line on the console, a record in the log."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Literal, TextIO

from pydantic import BaseModel, ConfigDict

from alerts.alert import Severity, Transition
from alerts.sink import Delivered, Notice, Outcome, Refused, Retry

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.MINOR: logging.WARNING,
    Severity.MAJOR: logging.ERROR,
    Severity.CRITICAL: logging.CRITICAL,
}


class ConsoleSink:
    """Writes each notice as a line to a stream."""

    class Options(BaseModel):
        """Keys of a sink of kind ``console``."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        stream: Literal["stderr", "stdout"] = "stderr"

    def __init__(self, options: Options, base: Path | None = None, stream: TextIO | None = None) -> None:
        del base  # no file belongs to it
        self._name = options.stream
        self._stream = stream

    def deliver(self, notice: Notice) -> Outcome:
        """Write one line."""
        # looked up each time: whoever redirects the standard streams means later lines too
        stream: TextIO | None = self._stream or getattr(sys, self._name)
        if stream is None or stream.closed:
            return Refused(f"{self._name} is closed; a service without a console needs another sink")
        coding = stream.encoding or "utf-8"
        try:
            stream.write(notice.line().encode(coding, "backslashreplace").decode(coding) + "\n")
            stream.flush()
        except OSError as error:
            return Retry(f"{self._name}: {error}")
        return Delivered()


class LogSink:
    """Hands each notice to Python's logging under ``ctwin.alerts``; the severity gives the level."""

    class Options(BaseModel):
        """Keys of a sink of kind ``log`` (none)."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options, base: Path | None = None) -> None:
        del options, base
        self._logger = logging.getLogger("ctwin.alerts")

    def deliver(self, notice: Notice) -> Outcome:
        """Log one record."""
        event = notice.event
        rising = event.transition in (Transition.RAISED, Transition.ESCALATED)
        self._logger.log(_LEVELS[event.severity] if rising else logging.INFO, "%s", notice.line())
        return Delivered()
