"""A channel: what a stream of values means, and the door where raw values become Readings in SI units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sensors.reading import Quality, Reading

# quantity -> unit -> (scale, offset): SI value = raw * scale + offset. The first unit is the one used inside.
UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {"K": (1.0, 0.0), "degC": (1.0, 273.15), "degF": (5.0 / 9.0, 459.67 * 5.0 / 9.0)},
    "temperature_difference": {
        "K": (1.0, 0.0),
        "degC": (1.0, 0.0),
        "mK": (1e-3, 0.0),
        "degF": (5.0 / 9.0, 0.0),
    },
    "voltage": {"V": (1.0, 0.0), "kV": (1e3, 0.0)},
    "current": {"A": (1.0, 0.0), "mA": (1e-3, 0.0), "uA": (1e-6, 0.0), "nA": (1e-9, 0.0)},
    "power": {"W": (1.0, 0.0), "mW": (1e-3, 0.0)},
    "flux": {"counts": (1.0, 0.0)},
    "marker_shift": {"px": (1.0, 0.0)},
    "marker_blur": {"px": (1.0, 0.0)},
    "marker_size": {"px": (1.0, 0.0)},
    "detector_shift": {"px": (1.0, 0.0)},
    "acceleration": {"m/s2": (1.0, 0.0), "g": (9.80665, 0.0), "mg": (9.80665e-3, 0.0), "um/s2": (1e-6, 0.0)},
    "displacement": {"m": (1.0, 0.0), "mm": (1e-3, 0.0), "um": (1e-6, 0.0), "nm": (1e-9, 0.0)},
    "pressure": {"Pa": (1.0, 0.0), "hPa": (1e2, 0.0), "mbar": (1e2, 0.0)},
    "humidity": {"1": (1.0, 0.0), "percent": (1e-2, 0.0)},
    "angle": {"rad": (1.0, 0.0), "deg": (math.pi / 180.0, 0.0)},
    "ratio": {"1": (1.0, 0.0), "percent": (1e-2, 0.0)},
    "image_distance": {"px": (1.0, 0.0)},
    "spatial_frequency": {"1/px": (1.0, 0.0)},
    "tube": {"on": (1.0, 0.0)},
    "scan": {"on": (1.0, 0.0)},  # begun while it isn't 0
    "projection": {"number": (1.0, 0.0)},  # of one whose exposure has its middle at the reading's time
}


@dataclass(frozen=True, slots=True)
class Channel:
    """What a stream of values means.

    Attributes
    ----------
    name : str
        Unique name.
    quantity : str
        A key of :data:`UNITS`; temperature and temperature_difference are two quantities.
    unit : str
        Unit of the raw values, one of the quantity's.
    sensor : str
        Name of the source that delivers it.
    address : str
        Where the source finds it (a topic, a column); empty means the channel's name.
    sigma : float
        Standard deviation used where a value brings none [unit]; ``nan`` when not stated.
    stale_after_s : float
        Age beyond which the channel counts as silent [s].
    valid : tuple of float, optional
        Range of raw values that can be true [unit]; a value outside is ``invalid``.
    sentinels : tuple of float
        Raw values by which the instrument says "no value" (−180, 99999, 85).
    full_scale : float
        Of a waveform: largest raw value the instrument can give, and what the full scale of a WAV file means [unit].
    noise_density : float
        Of a waveform: the instrument's own noise [unit/√Hz]; 0 when not stated.
    """

    name: str
    quantity: str
    unit: str
    sensor: str = ""
    address: str = ""
    sigma: float = math.nan
    stale_after_s: float = math.inf
    valid: tuple[float, float] | None = None
    sentinels: tuple[float, ...] = ()
    full_scale: float = math.nan
    noise_density: float = 0.0

    def admit(self, time: float, raw: float, sigma: float = math.nan, quality: Quality = Quality.GOOD) -> Reading:
        """Turn a raw value into a Reading: unit converted, default σ filled in, impossible values marked.

        Examples
        --------
        >>> Channel("t_tube", "temperature", "degC", valid=(5.0, 80.0)).admit(0.0, 21.5).value
        294.65
        >>> Channel("t_tube", "temperature", "degC", sentinels=(99999.0,)).admit(0.0, 99999.0).quality.value
        'invalid'
        """
        scale, offset = UNITS[self.quantity][self.unit]
        bad = (
            not math.isfinite(raw)
            or raw in self.sentinels
            or (self.valid is not None and not self.valid[0] <= raw <= self.valid[1])
        )
        raw_sigma = sigma if math.isfinite(sigma) and sigma > 0 else self.sigma
        return Reading(self.name, time, raw * scale + offset, raw_sigma * scale, Quality.INVALID if bad else quality)

    def raw(self, si_value: float) -> float:
        """Give an SI value back in the channel's own unit (for pages and files)."""
        scale, offset = UNITS[self.quantity][self.unit]
        return (si_value - offset) / scale
