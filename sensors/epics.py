"""Readings from EPICS: process variables monitored over Channel Access or PV Access.

Each channel's address is the name of its process variable (its own name, if it has none), after ``ca://`` or ``pva://`` if
the protocol isn't the sensor's. A reading has the server's time.

**Alarm severity** becomes quality. MINOR is good: it is a limit that the value has passed, and the value itself is right.
MAJOR is suspect: sites give it to faults of the instrument, too, and leaving out a true value costs less than believing a
false one. INVALID is invalid: the record has no value, or none of now.

**A disconnect is a reading**, an invalid one of the moment it was noticed: what the variable is from then on is not known.
Channel Access notices at once when a server ends, and after ``EPICS_CA_CONN_TMO`` (30 s) when its machine or the network
does.

**The first value after connecting** is what the variable is now; its stamp says since when. A switch that was thrown an
hour ago would come too late for every step of the grid. So where the stamp is older than 30 s, or than the reading
before, the first value gets the time of its arrival, unless it is older than the channel's ``stale_after_s``.

EPICS keeps nothing for an absent client, and a server merges the updates of one that is too slow into the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sensors.channel import Channel
from sensors.epics_ca import ChannelAccess
from sensors.epics_client import WIRES, Client, EpicsOptions, Update, Variable
from sensors.epics_pva import PvAccess
from sensors.reading import Quality, Reading, SensorError
from sensors.timestamps import AHEAD_S, BEFORE_1991

_LOG = logging.getLogger("ctwin.sensors.epics")
_MOST = 10_000  # updates that wait for a busy machine; beyond, the oldest is dropped and counted
_HELD_S = 30.0
_NAMED = 3
QUALITY = (Quality.GOOD, Quality.GOOD, Quality.SUSPECT, Quality.INVALID)  # by alarm severity


class EpicsSensor:
    """Process variables as channels; kind ``epics``. It reconnects by itself."""

    class Options(EpicsOptions):
        """Keys of the kind ``epics``."""

    def __init__(
        self, options: Options, channels: Sequence[Channel], _base: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._options, self._channels, self._clock = options, tuple(channels), clock
        self._of: dict[Variable, list[Channel]] = {}
        self._clients: list[Client] = []
        self._lock = threading.Lock()
        self._waiting: deque[Update] = deque()
        self._drops: dict[str, int] = {}
        self._ready: list[Reading] = []
        self._connected: set[Variable] = set()
        self._refused: dict[Variable, str] = {}
        self._last: dict[str, float] = {}
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels whose process variables are monitored."""
        return self._channels

    def drops(self) -> Mapping[str, int]:
        """Updates that gave no reading, and readings that have not the server's time (``stamped_…``), by cause."""
        with self._lock:
            return dict(self._drops)

    async def open(self) -> None:
        """Monitor every variable; at least one must answer within ``timeout_s``, and none be other than a number."""
        located = self._located()
        await self.close()
        self._of = located
        self._loop, self._arrived = asyncio.get_running_loop(), asyncio.Event()
        for kept in (self._waiting, self._drops, self._ready, self._connected, self._refused, self._last):
            kept.clear()
        try:
            for wire in WIRES:
                names = [variable.name for variable in located if variable.wire == wire]
                if names:
                    make = ChannelAccess if wire == "ca" else PvAccess
                    client: Client = make(self._options.searched(wire), self._clock)
                    self._clients.append(client)
                    client.start(names, self._tell)
            await self._first_answers()
        except BaseException:
            await self.close()
            raise

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Give what has arrived. Never ends by itself."""
        while True:
            self._take()
            batch, self._ready = self._ready, []
            if batch:
                yield batch
            else:
                await self._arrived.wait()

    async def close(self) -> None:
        """End the monitors."""
        clients, self._clients = self._clients, []
        for client in clients:
            await client.close()

    def _located(self) -> dict[Variable, list[Channel]]:
        located: dict[Variable, list[Channel]] = {}
        for channel in self._channels:
            address = channel.address or channel.name
            scheme, found, name = address.rpartition("://")
            wire = next((w for w in WIRES if w == scheme), None) if found else self._options.protocol
            if wire is None or name.split() != [name]:
                raise SensorError(
                    f"channel {channel.name}: address {address!r} is no process variable;"
                    " give its name, alone or after ca:// or pva://"
                )
            located.setdefault(Variable(wire, name), []).append(channel)
        return located

    async def _first_answers(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.timeout_s):
                while self._silent():
                    await self._arrived.wait()
                    self._take(tell=False)
        if self._refused:
            raise SensorError(f"EPICS: {self._why_refused(self._refused)}")
        silent = self._silent()
        if silent and not self._connected:
            raise SensorError(
                f"EPICS: no answer from {_named(silent)} within {self._options.timeout_s:g} s; is its server running, and"
                " searched for from here (addresses, or EPICS_CA_ADDR_LIST and EPICS_PVA_ADDR_LIST)?",
                retry=True,
            )
        if silent:
            _LOG.warning("EPICS: no answer from %s; they are read once they appear", _named(silent))

    def _silent(self) -> list[Variable]:
        return [v for v in self._of if v not in self._connected and v not in self._refused]

    def _why_refused(self, variables: Iterable[Variable]) -> str:
        names = sorted(variables, key=str)
        told = "; ".join(
            f"channel {self._of[v][0].name}: {v.name} gives no number, {self._refused[v]}" for v in names[:_NAMED]
        )
        return told + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")

    def _take(self, *, tell: bool = True) -> None:
        """Turn what has arrived into readings, in order; tell of variables that have gone, come or can't be read."""
        self._arrived.clear()
        with self._lock:
            updates = list(self._waiting)
            self._waiting.clear()
        before, refused = set(self._connected), set(self._refused)
        for update in updates:
            self._ready += self._faulty(update) if update.fault else self._valued(update)
        if not tell:
            return
        gone, come = before - self._connected, self._connected - before
        if gone:
            _LOG.warning("EPICS: %s disconnected; unknown until back", _named(gone))
        if come:
            _LOG.info("EPICS: %s connected", _named(come))
        if new := self._refused.keys() - refused:
            _LOG.warning("EPICS: %s; dropped, further ones are counted", self._why_refused(new))

    def _faulty(self, update: Update) -> list[Reading]:
        variable = update.variable
        if update.fault != "disconnected":
            self._count(update.fault)
            self._refused[variable] = update.words
        if variable not in self._connected:
            return []
        self._connected.discard(variable)
        return [c.admit(self._now(c, update), math.nan) for c in self._of[variable]]

    def _valued(self, update: Update) -> list[Reading]:
        first = update.variable not in self._connected
        self._connected.add(update.variable)
        self._refused.pop(update.variable, None)
        quality = QUALITY[min(update.severity, 3)]
        return [c.admit(self._time(c, update, first), update.value, quality=quality) for c in self._of[update.variable]]

    def _time(self, channel: Channel, update: Update, first: bool) -> float:
        """The server's time if it can be that of the value; else, counted, the time of arrival."""
        stamp, age = update.stamp, update.arrival - update.stamp
        last = self._last.get(channel.name, -math.inf)
        if not stamp >= BEFORE_1991:
            self._count("stamped_before_1991")
        elif age < -AHEAD_S:
            self._count("stamped_ahead")
        elif first and (stamp <= last or age > _HELD_S) and age <= channel.stale_after_s:
            self._count("stamped_at_connection")
        else:
            self._last[channel.name] = max(stamp, last)
            return stamp
        return self._now(channel, update)

    def _now(self, channel: Channel, update: Update) -> float:
        """Time of arrival, after the channel's reading before, whose server's clock may be ahead of ours."""
        last = self._last.get(channel.name, -math.inf)
        self._last[channel.name] = now = max(update.arrival, last + 1e-6)
        return now

    def _count(self, cause: str) -> None:
        with self._lock:
            self._drops[cause] = self._drops.get(cause, 0) + 1

    def _tell(self, update: Update) -> None:
        """Take an update, from whichever thread it comes."""
        with self._lock:
            full = len(self._waiting) >= _MOST
            if full:  # the newest says what is
                self._waiting.popleft()
            self._waiting.append(update)
            first = len(self._waiting) == 1
        if full:
            self._count("overflow")
        loop = self._loop
        if first and loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._arrived.set)


def _named(variables: Iterable[Variable]) -> str:
    names = sorted(v.name for v in variables)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
