"""Monitors over Channel Access, by aioca.

libca's context belongs to the whole process: the addresses that it searches are those of the first sensor that opens.
aioca ends a monitor for good, with a traceback on the standard error, when the server takes back the right to read; here
that is looked for every second, and the monitor is made anew once the right is given again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sensors.epics_client import Tell, Update, Variable
from sensors.reading import SensorError

_LOOK_S = 1.0
_searched: list[str] = []  # what this process searches, once a monitor was made
_open: set[int] = set()  # clients with monitors; channels are let go of with the last one


class ChannelAccess:
    """Process variables monitored with value, alarm and server time."""

    def __init__(self, addresses: str, clock: Callable[[], float] = time.time) -> None:
        self._addresses, self._clock = addresses, clock
        self._monitors: dict[str, Any] = {}
        self._watch: asyncio.Task[None] | None = None

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

        def monitor(name: str) -> Any:
            teller = _teller(Variable("ca", name), tell, self._clock)
            return camonitor(name, teller, format=FORMAT_TIME, all_updates=True, notify_disconnect=True)

        _open.add(id(self))
        with _searching(self._addresses):
            self._monitors = {name: monitor(name) for name in names}
        _searched[:] = [self._addresses]
        self._watch = asyncio.get_running_loop().create_task(self._renew(monitor, tell))

    async def close(self) -> None:
        """End the monitors."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        monitors, self._monitors = self._monitors, {}
        for monitor in monitors.values():
            monitor.close()
        if id(self) in _open:
            _open.discard(id(self))
            if not _open:
                from aioca import purge_channel_caches

                purge_channel_caches()

    async def _renew(self, make: Callable[[str], Any], tell: Tell) -> None:
        """Tell of monitors that have ended by themselves, and make them anew when that can be."""
        from aioca import cainfo

        ended: set[str] = set()
        while True:
            await asyncio.sleep(_LOOK_S)
            for name, monitor in self._monitors.items():
                if monitor.state != monitor.CLOSED:
                    continue
                if name not in ended:
                    ended.add(name)
                    words = "its server allows no reading"
                    tell(Update(Variable("ca", name), self._clock(), fault="refused", words=words))
                elif (await cainfo(name, wait=False)).read:
                    self._monitors[name] = make(name)
                    ended.discard(name)


def _teller(variable: Variable, tell: Tell, clock: Callable[[], float]) -> Callable[[Any], None]:
    return lambda value: tell(_update(variable, value, clock()))


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
