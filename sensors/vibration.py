"""A block of acceleration becomes Readings: its rms, the blur and jitter that the machine's modes make of it, its spectrum.

What an accelerometer ``acc`` gives, as channels of their own:

=====================  ======================  =============================================================================
``acc``                acceleration            rms of the block above the lower edge
``acc.blur``           displacement            rms motion within an exposure, in the object plane
``acc.jitter``         displacement            rms of the mean position between exposures, in the object plane
``acc.jitter.MARKER``  marker_shift            the same as a marker's channel sees it [px]
``acc.base``           displacement            rms displacement of the base itself above the lower edge
``acc.band.0031.2hz``  acceleration            rms in a third-octave band, now and then
=====================  ======================  =============================================================================

The time of all is the middle of the block. Without modes along the axis there is no blur and no jitter.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.spectrum import band_levels, spectrum_of, third_octaves
from models.vibration import Mode, Motion, Variance, displacement, motion
from sensors.block import Block
from sensors.channel import UNITS, Channel
from sensors.reading import Quality, Reading

_LOG = logging.getLogger("ctwin.sensors.vibration")
QUANTITY = "acceleration"
BANDS_HZ = (1.0, 5000.0)
OBJECT_PLANE = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """Where a relative motion is looked at: the object plane (no name), or the channel of a marker.

    Attributes
    ----------
    name : str
    modes : tuple of Mode
        Those along the accelerometer's axis, with gains to where it is looked at (1 in the object plane, px/m at a marker).
    """

    name: str
    modes: tuple[Mode, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """How the blocks of one accelerometer become readings.

    Attributes
    ----------
    channel : Channel
    sights : tuple of Sight
    exposure_s : float
        Of a projection, all its frames together [s].
    low_hz : float
        Lower edge [Hz].
    spectrum_every_s : float
        How often band levels are given [s].
    """

    channel: Channel
    sights: tuple[Sight, ...] = ()
    exposure_s: float = 1.0
    low_hz: float = 1.0
    spectrum_every_s: float = 300.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels derived from it."""
        name, common = self.channel.name, (self.channel.sensor, "", math.nan, self.channel.stale_after_s)
        out = [Channel(f"{name}.base", "displacement", "nm", *common)]
        for sight in self.sights:
            if sight.name == OBJECT_PLANE:
                out += [Channel(f"{name}.{word}", "displacement", "nm", *common) for word in ("blur", "jitter")]
            else:
                out.append(Channel(f"{name}.jitter.{sight.name}", "marker_shift", "px", *common))
        silent = (self.channel.sensor, "", math.nan, math.inf)  # given now and then only
        out += [Channel(band_name(name, f), QUANTITY, "um/s2", *silent) for f in third_octaves(*BANDS_HZ)]
        return tuple(out)


def band_name(channel: str, centre_hz: float) -> str:
    """Channel of a band level; names sort as their frequencies do.

    Examples
    --------
    >>> band_name("acc", 31.25), band_hz("acc.band.0031.2hz")
    ('acc.band.0031.2hz', 31.2)
    """
    return f"{channel}.band.{centre_hz:06.1f}hz"


def band_hz(name: str) -> float:
    """Centre of the band that a channel's name says; NaN for other channels."""
    _, found, tail = name.rpartition(".band.")
    try:
        return float(tail.removesuffix("hz")) if found else math.nan
    except ValueError:
        return math.nan


def is_accelerometer(channel: Channel) -> bool:
    """Whether a channel brings blocks."""
    return channel.quantity == QUANTITY


def plain_reductions(channels: Sequence[Channel]) -> dict[str, Reduction]:
    """Reductions of accelerometers about whose machine nothing is known: rms and spectrum only."""
    return {channel.name: Reduction(channel) for channel in channels if is_accelerometer(channel)}


@dataclass(slots=True)
class Reducer:
    """Turns blocks into readings, each by its channel's reduction; each fault is told once per channel."""

    reductions: Mapping[str, Reduction]
    _told: set[tuple[str, str]] = field(default_factory=set)
    _slots: dict[str, int] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Derived channels of all accelerometers."""
        return tuple(channel for reduction in self.reductions.values() for channel in reduction.channels)

    def __call__(self, block: Block) -> list[Reading]:
        """Readings of a block; of an invalid one a single invalid reading that says so."""
        rule = self.reductions[block.channel]
        name, time, quality = block.channel, block.middle, block.quality
        if quality is Quality.INVALID:
            self._tell(name, "invalid", f"{block.remark}; its blocks are not used")
            return [Reading(name, time, math.nan, quality=quality)]
        if quality is Quality.SUSPECT:
            self._tell(name, "suspect", f"{block.remark}; kept as suspect, not used")
        blind = [m for s in rule.sights for m in s.modes if m.frequency_hz > 0.4 * block.rate_hz]
        if blind:
            words = f"a rate of {block.rate_hz:g} Hz can't see the mode of {blind[0].frequency_hz:g} Hz"
            self._tell(name, "rate", f"{words}; sample at least {2.5 * blind[0].frequency_hz:g} times a second")
            quality = Quality.SUSPECT
        noise = rule.channel.noise_density * UNITS[QUANTITY][rule.channel.unit][0]
        spectrum = spectrum_of(block.samples, block.rate_hz)
        above = spectrum.frequency_hz >= rule.low_hz
        power = float(spectrum.density[above].sum() * spectrum.step_hz)
        scatter = float((spectrum.density[above] ** 2).sum() * spectrum.step_hz) / spectrum.seconds
        out = [_reading(name, time, Variance(power, math.sqrt(scatter)), quality)]
        out.append(_reading(f"{name}.base", time, displacement(spectrum, rule.low_hz, noise), quality))
        for sight in rule.sights:
            seen = motion(block.samples, block.rate_hz, sight.modes, rule.exposure_s, rule.low_hz, noise)
            out += self._seen(name, time, sight, seen, quality)
        slot = math.floor(time / rule.spectrum_every_s)
        if self._slots.get(name) != slot:
            self._slots[name] = slot
            centres = third_octaves(*BANDS_HZ)
            levels = band_levels(spectrum, centres, rule.low_hz)
            out += [
                Reading(band_name(name, f), time, float(level), quality=quality)
                for f, level in zip(centres, levels, strict=True)
                if np.isfinite(level)
            ]
        return out

    @staticmethod
    def _seen(name: str, time: float, sight: Sight, seen: Motion, quality: Quality) -> list[Reading]:
        if sight.name != OBJECT_PLANE:
            return [_reading(f"{name}.jitter.{sight.name}", time, seen.jitter, quality)]
        return [
            _reading(f"{name}.blur", time, seen.blur, quality),
            _reading(f"{name}.jitter", time, seen.jitter, quality),
        ]

    def _tell(self, channel: str, cause: str, words: str) -> None:
        if (channel, cause) not in self._told:
            self._told.add((channel, cause))
            _LOG.warning("channel %s: %s; further ones are not told", channel, words)


def _reading(name: str, time: float, variance: Variance, quality: Quality) -> Reading:
    return Reading(name, time, variance.rms, variance.rms_sigma or math.nan, quality)
