"""Modulation transfer from an edge response."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging.edge_response import EdgeResponse

HIGHEST = 1.0  # cycles per pixel; the first zero of a pixel's own aperture
STEP = 0.005  # cycles per pixel, or less for a wide line spread:
STEP_SPREADS = 0.01  # over its standard deviation
CLEAR = 0.3  # of a level: with more noise the first crossing is an accident (checked by simulation)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Modulation transfer function.

    Attributes
    ----------
    frequency : (F,) array
        Cycles per pixel, from 0.
    value : (F,) array
        Modulation relative to frequency 0.
    sigma : (F,) array
    """

    frequency: Array
    value: Array
    sigma: Array

    def falls_to(self, level: float) -> tuple[float, float]:
        """First frequency at which the modulation is down to ``level``, and its σ [cycles/px]; ``nan`` when it isn't.

        σ is half the distance between where the curve less its σ and where the curve plus its σ come down to the
        level: a slope between two points of a noisy curve would be noise. Where σ is more than 0.3 of the level,
        noise makes the crossing and nothing is told.

        Examples
        --------
        >>> f = np.linspace(0.0, 1.0, 201)
        >>> line = Transfer(f, 1.0 - f, np.full(201, 0.01))
        >>> [round(x, 3) for x in line.falls_to(0.5)]
        [0.5, 0.01]
        """
        at = _first_below(self.frequency, self.value, level)
        if not np.interp(at, self.frequency, self.sigma) < CLEAR * level:
            return math.nan, math.nan
        early = _first_below(self.frequency, self.value - self.sigma, level)
        late = _first_below(self.frequency, self.value + self.sigma, level)
        return at, 0.5 * (late - early) if math.isfinite(late) else at - early


def _first_below(f: Array, m: Array, level: float) -> float:
    below = np.flatnonzero(m < level)
    if below.size == 0 or below[0] == 0:
        return math.nan
    k = int(below[0])
    return float(f[k - 1] + (m[k - 1] - level) / (m[k - 1] - m[k]) * (f[k] - f[k - 1]))


def transfer(response: EdgeResponse) -> Transfer:
    """Edge response → line spread → modulus of its Fourier transform, 1 at frequency 0.

    ``M(f) = |F(f)|/F(0)``, ``F(f) = exp(-2π²σ²f²) sinc(a f) sinc(b f) + Σ w_k (r_{k+1} - r_k) exp(-2πi f x_k)/sinc²(h
    f)``: the fitted step's transform is a formula; what the bins r differ from it is differentiated between
    neighbours and tapered (w). The mean over a bin of width h and the difference between two each cost sinc(h f),
    which is given back: ISO 12233:2014 does so for the difference (its D(k), there limited to 10), here bins fine
    enough make a limit needless. ``F`` includes the pixel aperture (a, b).

    σ is propagated linearly from the bins; noise adds its variance to |F|², which is taken off.

    Notes
    -----
    What happens beyond the bins' reach (far scatter, glare) is taken as belonging to the levels: a long tail that is
    cut off makes M(f) too high by its share.

    Examples
    --------
    >>> x = (np.arange(80) - 39.5) / 4
    >>> ideal = EdgeResponse(x, np.zeros(80), np.full(80, 1e-9), 1.0, (1.0, 0.0), 4, np.zeros((2, 2)))
    >>> round(transfer(ideal).falls_to(0.5)[0], 3)
    0.18
    """
    step = min(STEP, STEP_SPREADS / response.spread_px)
    f = np.arange(0.0, HIGHEST + 0.5 * step, step)
    h = response.width
    between = response.distance[:-1] + 0.5 * h
    weight = response.taper(between)
    back = np.sinc(h * f) ** 2
    wave = weight * np.exp(-2j * np.pi * np.outer(f, between)) / back[:, None]
    seen = np.isfinite(response.sigma)
    per_bin = np.zeros((len(f), len(response.rest)), dtype=complex)
    per_bin[:, 1:] += wave
    per_bin[:, :-1] -= wave
    per_bin[:, ~seen] = 0.0
    rest, noise = np.where(seen, response.rest, 0.0), np.where(seen, response.sigma, 0.0)
    gauss = np.exp(-2.0 * np.pi**2 * response.variance * f**2)
    total = gauss * np.sinc(response.aperture[0] * f) * np.sinc(response.aperture[1] * f) + per_bin @ rest
    whole = float(total[0].real)
    modulus = np.abs(total)
    turned = per_bin * (np.conj(total) / np.maximum(modulus, 1e-12))[:, None]
    across = (turned.imag**2) @ noise**2
    value = np.sqrt(np.maximum(modulus**2 - across, 0.0)) / whole
    row = (turned.real - value[:, None] * per_bin[0].real) / whole
    return Transfer(f, value, np.sqrt((row**2) @ noise**2))
