"""Projections as a source of readings, kind ``images``: a folder being filled, or a finished series of any format."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from sensors.channel import UNITS, Channel
from sensors.images.live import LiveFolder, Passed
from sensors.images.looking import Look, Looker
from sensors.images.options import ImagesOptions
from sensors.images.recorded import sightings
from sensors.images.sighting import OF_EVERY, Sighting
from sensors.images.trackers import QUANTITIES, SUFFIXES
from sensors.reading import Reading, SensorError
from sensors.rows import nearest


class ImagesSensor:
    """Markers and flux measured in projections, and what a vendor's file tells beside them.

    A channel's address is ``LOOK_SUFFIX`` (``wire_n``), ``projection`` (its number), ``angle`` (of the stage, where the
    series or the table of times tells it), or the name of a vendor's stream. A followed folder never ends; a
    projection that can't be read is told, counted and left out. A series that is read whole ends with its last projection.
    """

    Options = ImagesOptions

    def __init__(self, options: ImagesOptions, channels: Sequence[Channel], base: Path) -> None:
        self._options, self._channels, self._base = options, tuple(channels), base
        self._path = base / options.path
        self._looks: tuple[Look, ...] = options.looks(base)
        self._after: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._live: LiveFolder | None = None
        self._marks: Mapping[str, Passed] | None = None

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels measured in the images."""
        return self._channels

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Go on behind the newest reading of each channel [s since 1970]; projections that came late may be given again."""
        self._after.update(times)

    def drops(self) -> Mapping[str, int]:
        """Projections that gave no reading, by cause."""
        return dict(self._counts if self._live is None else self._live.follower.drops)

    async def open(self) -> None:
        """Check that there is something to read, and that every channel has an address in it."""
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        follow = self._options.follow
        if not self._path.exists():
            raise SensorError(f"{self._path}: no such file or folder; check the path", retry=follow)
        if follow and not self._path.is_dir():
            raise SensorError(
                f"{self._path}: is a file; set follow = false to read it, or name the folder that is filled"
            )
        streams: dict[str, tuple[str, str]] = {}
        if not follow:
            series = self._options.series(self._base)
            streams = {s.name: (s.quantity, s.unit) for s in series.contents.streams}
            series.close()
        for path in (self._options.flat, self._options.dark, *(look.reference for look in self._options.look)):
            if path is not None:
                self._options.open(self._base / path).close()
        self._options.timing(self._base)
        self._check_addresses(streams)

    def _check_addresses(self, streams: Mapping[str, tuple[str, str]]) -> None:
        known = {
            f"{look.name}_{suffix}": QUANTITIES[suffix] for look in self._looks for suffix in SUFFIXES[look.marker]
        }
        known = {**known, **OF_EVERY, **streams}
        for channel in self._channels:
            address = channel.address or channel.name
            if address not in known:
                raise SensorError(
                    f"channel {channel.name}: nothing that is looked at in {self._path} is called {address!r}; "
                    f"{nearest(address, known)}"
                )
            if channel.quantity != known[address][0]:
                raise SensorError(f"channel {channel.name}: {address} is a {known[address][0]}; set quantity to that")
        self._units = {address: unit for address, (_, unit) in known.items()}

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Readings of some projections after the other."""
        if self._options.follow:
            async for batch in self._follow():
                yield batch
            return
        self._counts.clear()
        done = sightings(
            self._options.series(self._base),
            self._options.timing(self._base),
            self._looks,
            self._looker(),
            self._counts,
            after=min((self._after.get(c.name, -math.inf) for c in self._channels), default=-math.inf),
        )
        while (sighting := await asyncio.to_thread(next, done, None)) is not None:
            batch = [
                self._reading(channel, sighting)
                for channel in self._channels
                if (channel.address or channel.name) in sighting.values
                and sighting.time > self._after.get(channel.name, -math.inf)
            ]
            if batch:
                yield batch

    def _looker(self) -> Looker:
        return Looker(self._looks, self._options.illumination(self._base))

    async def _follow(self) -> AsyncIterator[Sequence[Reading]]:
        if self._live is None:
            options = self._options
            self._live = LiveFolder(
                options.follower(self._base),
                self._looks,
                self._looker(),
                options.timing(self._base),
                options.timezone,
            )
        live = self._live
        if self._marks is None:
            after = {channel.name: self._after.get(channel.name, -math.inf) for channel in self._channels}
            self._marks = await asyncio.to_thread(live.passed, after)
        while True:
            seen = await asyncio.to_thread(live.step)
            batch = [
                self._reading(channel, sighting)
                for file, sighting in seen
                for channel in self._channels
                if (channel.address or channel.name) in sighting.values
                and not self._marks[channel.name].holds(file, sighting.time)
            ]
            if batch:
                yield batch
            live.acknowledge()  # whoever asks on has taken what was given
            if not seen:
                await asyncio.sleep(self._options.poll_s)

    def _reading(self, channel: Channel, sighting: Sighting) -> Reading:
        address = channel.address or channel.name
        found = sighting.values[address]
        scale, offset = UNITS[channel.quantity][self._units[address]]
        own, _ = UNITS[channel.quantity][channel.unit]
        raw = channel.raw(found.value * scale + offset)
        return channel.admit(sighting.time, raw, found.sigma * scale / own, found.quality)

    async def close(self) -> None:
        """Nothing is held between batches; harmless at any time."""
