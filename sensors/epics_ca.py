"""Monitors over Channel Access, by aioca.

libca's context belongs to the whole process: the addresses that it searches are those of the first sensor that opens.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sensors.epics_client import Tell, Update, Variable
from sensors.reading import SensorError

_searched: list[str] = []  # what this process searches, once a monitor was made
_open: set[int] = set()  # clients with monitors; channels are let go of with the last one


class ChannelAccess:
    """Process variables monitored with value, alarm and server time."""

    def __init__(self, addresses: str, clock: Callable[[], float] = time.time) -> None:
        self._addresses, self._clock = addresses, clock
        self._monitors: list[Any] = []

    def start(self, names: Sequence[str], tell: Tell) -> None:
        """Monitor these; called, as ``tell`` will be, in the event loop's thread."""
        try:
            from aioca import FORMAT_TIME, camonitor
        except ImportError:
            raise SensorError("EPICS: aioca is not installed; pip install 'ctwin[epics]'") from None
        if _searched not in ([], [self._addresses]):
            before = _searched[0] or "what the environment says"
            raise SensorError(
                f"EPICS: this process already searches {before}; Channel Access has one list for a process,"
                " so give all sensors of kind 'epics' the same addresses"
            )
        _open.add(id(self))
        with _searching(self._addresses):
            for name in names:
                self._monitors.append(
                    camonitor(
                        name, self._teller(name, tell), format=FORMAT_TIME, all_updates=True, notify_disconnect=True
                    )
                )
        _searched[:] = [self._addresses]

    async def close(self) -> None:
        """End the monitors."""
        monitors, self._monitors = self._monitors, []
        for monitor in monitors:
            monitor.close()
        if id(self) in _open:
            _open.discard(id(self))
            if not _open:
                from aioca import purge_channel_caches

                purge_channel_caches()

    def _teller(self, name: str, tell: Tell) -> Callable[[Any], None]:
        variable = Variable("ca", name)
        return lambda value: tell(_update(variable, value, self._clock()))


def _update(variable: Variable, value: Any, arrival: float) -> Update:
    if not getattr(value, "ok", True):
        return Update(variable, arrival, fault="disconnected")
    if isinstance(value, str):
        return Update(variable, arrival, fault="text", words="it is text")
    if getattr(value, "ndim", 0):
        return Update(variable, arrival, fault="array", words=f"it is an array of {value.element_count}")
    return Update(variable, arrival, float(value), value.timestamp, value.severity)


@contextlib.contextmanager
def _searching(addresses: str) -> Iterator[None]:
    """The environment that libca reads when the process makes its first channel."""
    names = {"EPICS_CA_ADDR_LIST": addresses, "EPICS_CA_AUTO_ADDR_LIST": "NO"} if addresses else {}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
