"""Monitors over PV Access, by p4p."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sensors.epics_client import Tell, Update, Variable
from sensors.reading import SensorError

# Without a request a server keeps 4 updates for a client that is busy, and merges the rest into the last.
_REQUEST = "field(value,alarm,timeStamp)record[queueSize=1000,pipeline=true]"


class PvAccess:
    """Process variables monitored with value, alarm and server time."""

    def __init__(self, addresses: str, clock: Callable[[], float] = time.time) -> None:
        self._addresses, self._clock = addresses, clock
        self._context: Any = None
        self._monitors: dict[str, Any] = {}
        self._lock = threading.Lock()  # one at a time takes from a monitor, in order

    def start(self, names: Sequence[str], tell: Tell) -> None:
        """Monitor these; ``tell`` will be called in p4p's threads."""
        try:
            from p4p.client.raw import Context
        except ImportError:
            raise SensorError("EPICS: p4p is not installed; pip install 'ctwin[epics]'") from None
        where = {"EPICS_PVA_ADDR_LIST": self._addresses, "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
        self._context = Context("pva", conf=where if self._addresses else None, nt=False)
        for name in names:
            take = self._taker(name, tell)
            monitor = self._context.monitor(name, take, request=_REQUEST)
            with self._lock:
                self._monitors[name] = monitor
            take()  # what came before it had its place

    async def close(self) -> None:
        """End the monitors."""
        with self._lock:
            monitors, self._monitors = self._monitors, {}
        context, self._context = self._context, None
        for monitor in monitors.values():
            await asyncio.to_thread(monitor.close)
        if context is not None:
            await asyncio.to_thread(context.close)

    def _taker(self, name: str, tell: Tell) -> Callable[[], None]:
        variable = Variable("pva", name)

        def take() -> None:
            with self._lock:
                monitor = self._monitors.get(name)
                while monitor is not None and (value := monitor.pop()) is not None:
                    tell(_update(variable, value, self._clock()))

        return take


def _update(variable: Variable, value: Any, arrival: float) -> Update:
    if isinstance(value, Exception):
        if type(value).__name__ == "RemoteError":
            return Update(variable, arrival, fault="refused", words=f"its server says: {value}")
        return Update(variable, arrival, fault="disconnected")
    number = value.get("value")
    if hasattr(number, "get"):  # an enumeration: its index and its choices
        number = number.get("index")
    if isinstance(number, str):
        return Update(variable, arrival, fault="text", words="it is text")
    if getattr(number, "ndim", 0) or isinstance(number, list):
        return Update(variable, arrival, fault="array", words=f"it is an array of {len(number)}")
    if not isinstance(number, int | float):
        return Update(variable, arrival, fault="structure", words="it is a structure")
    stamp = value.get("timeStamp")
    alarm = value.get("alarm")
    seconds = math.nan if stamp is None else stamp.secondsPastEpoch + 1e-9 * stamp.nanoseconds
    return Update(variable, arrival, float(number), seconds, 0 if alarm is None else alarm.severity)
