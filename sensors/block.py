"""A block: a stretch of waveform of one channel, as an accelerometer gives it; it becomes Readings before it is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensors.channel import UNITS, Channel
from sensors.reading import Quality, Reading
from sensors.rows import RowError

FEWEST = 64  # samples: fewer make no spectrum
CLIPPED = 3  # samples in a row at the very same extreme: no motion does that
NEAR_FULL_SCALE = 0.999

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Equally spaced samples of one channel.

    Attributes
    ----------
    channel : str
    time : float
        Instant of the first sample [s since 1970-01-01 UTC].
    rate_hz : float
    samples : (N,) array
        In the SI unit of the channel's quantity (m/s²).
    quality : Quality
        suspect where the instrument was at its limits, invalid where it says nothing.
    remark : str
        Why, in words.
    """

    channel: str
    time: float
    rate_hz: float
    samples: Samples
    quality: Quality = Quality.GOOD
    remark: str = ""

    @property
    def seconds(self) -> float:
        """Length [s]."""
        return len(self.samples) / self.rate_hz

    @property
    def middle(self) -> float:
        """Instant that its readings are given [s since 1970]."""
        return self.time + 0.5 * self.seconds


# What turns a block into readings of the channel and of those derived from it.
Reduce = Callable[[Block], Sequence[Reading]]


def admit_block(channel: Channel, time: float, rate_hz: float, raw: Samples, quality: Quality = Quality.GOOD) -> Block:
    """Turn raw samples into a Block: unit converted, impossible and clipped ones noticed.

    A block with samples that are no numbers, or that never changes, is invalid; a clipped one is suspect, as its motion was
    larger than it says.

    Raises
    ------
    RowError
        With the cause it is counted by: ``empty``, ``bad_rate``, ``short``.

    Examples
    --------
    >>> wave = np.sin(np.arange(200) / 7.0)
    >>> block = admit_block(Channel("acc", "acceleration", "g"), 1.7e9, 1000.0, wave)
    >>> round(float(block.samples.max()), 2), block.quality.value, block.middle - 1.7e9
    (9.81, 'good', 0.09999990463256836)
    >>> admit_block(Channel("acc", "acceleration", "g", full_scale=0.9), 1.7e9, 1000.0, np.clip(wave, -0.9, 0.9)).remark
    'clipped: 63 of 200 samples at the full scale; its motion was larger than it says'
    """
    if not len(raw):
        raise RowError("empty", "no samples")
    if not 0 < rate_hz < np.inf:
        raise RowError("bad_rate", f"a rate of {rate_hz:g} Hz is none; give samples per second")
    if len(raw) < FEWEST:
        raise RowError("short", f"{len(raw)} samples are too few for a spectrum; give at least {FEWEST}")
    scale, offset = UNITS[channel.quantity][channel.unit]
    found, remark = _judge(raw, channel.full_scale)
    # a simulated block stays one; of a faulty one only the fault counts
    return Block(channel.name, time, rate_hz, raw * scale + offset, quality if found is Quality.GOOD else found, remark)


def _judge(raw: Samples, full_scale: float) -> tuple[Quality, str]:
    missing = int((~np.isfinite(raw)).sum())
    if missing:
        return Quality.INVALID, f"{missing} of {len(raw)} samples are no numbers"
    low, high = float(raw.min()), float(raw.max())
    if low == high:
        return Quality.INVALID, f"all samples are {low + 0.0:g}: the sensor is dead or not connected"
    beyond = int((np.abs(raw) >= NEAR_FULL_SCALE * full_scale).sum()) if np.isfinite(full_scale) else 0
    if beyond == 0 and not np.isfinite(full_scale):
        beyond = _flat(raw, low) + _flat(raw, high)
    if beyond:
        return (
            Quality.SUSPECT,
            f"clipped: {beyond} of {len(raw)} samples at the full scale; its motion was larger than it says",
        )
    return Quality.GOOD, ""


def _flat(raw: Samples, extreme: float) -> int:
    """Samples in runs of at least CLIPPED at an extreme, where the full scale isn't stated; few steps are no clipping."""
    at = raw == extreme
    edges = np.flatnonzero(np.diff(np.concatenate([[False], at, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    coarse = len(np.unique(raw[:4096])) < 16  # a quiet sensor with coarse steps sits on its extremes
    return 0 if coarse else int(runs[runs >= CLIPPED].sum())
