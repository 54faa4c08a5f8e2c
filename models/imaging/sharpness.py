"""Sharpness of an image from a straight edge in a window: modulation transfer and edge widths, each with its convention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.imaging.edge import StraightEdge
from models.imaging.edge_bins import OVERSAMPLING, edge_response
from models.imaging.edge_fit import find_edge, flattened
from models.imaging.edge_kernel import step_profile
from models.imaging.edge_response import EdgeResponse
from models.imaging.fix import Fix, Verdict
from models.imaging.light import Light
from models.imaging.mtf import Transfer, transfer

CONVENTIONS: Mapping[str, str] = {
    "sfr50": "frequency of 50 % modulation along the edge's normal on the detector, pixel aperture included [cycles/px]; "
    "slanted edge as in ISO 12233",
    "mtf10": "frequency of 10 % modulation, likewise [cycles/px]; edge response, derivative, Fourier modulus: ASTM E1695",
    "width_10_90": "from 10 % to 90 % of the rise, pixel aperture included [px]; 1.088 FWHM of a Gaussian",
    "width_50_90": "twice the way from 50 % to 90 % of the rise, on the bright side, pixel aperture included [px]; "
    "EN 12543-5, now ISO 32543-3, before its division by M - 1; 1.088 FWHM of a Gaussian",
    "blur": "σ of a Gaussian beside the pixel aperture [px]",
}
SUFFIXES = ("n", "angle", "blur", "contrast", "sfr50", "mtf10", "width_10_90", "width_50_90")
FAINT = 8.0  # σ; a step smaller than this is none
SATURATED = 1e-3
CLUTTER = 0.05
VAGUE = 0.1  # a frequency known to a tenth of itself is a guess
BENT = 0.25  # sagitta in standard deviations of the line spread: it adds a hundredth to them
SECTIONS = 8


@dataclass(frozen=True, slots=True)
class Sharpness:
    """What an edge tells.

    Attributes
    ----------
    edge : StraightEdge
    response : EdgeResponse
    transfer : Transfer
    sagitta : (float, float)
        How far the middle of the edge lies off the chord through its ends, towards the bright side, and its σ [px].
    """

    edge: StraightEdge
    response: EdgeResponse
    transfer: Transfer
    sagitta: tuple[float, float]

    def figure(self, name: str) -> tuple[float, float]:
        """A number of :data:`CONVENTIONS` and its σ; ``nan`` where the image doesn't tell."""
        if name == "sfr50":
            return self.transfer.falls_to(0.5)
        if name == "mtf10":
            return self.transfer.falls_to(0.1)
        if name == "width_10_90":
            return self.response.rise(0.1, 0.9)
        if name == "width_50_90":
            half, sigma = self.response.rise(0.5, 0.9)
            return 2.0 * half, 2.0 * sigma
        if name == "blur":
            blur, sigma = self.edge.blur
            return blur, sigma * math.sqrt(self.response.noise_power)
        raise ModelError(f"no figure {name!r}; there are {', '.join(CONVENTIONS)}")


def sharpness(window: NDArray[Any], light: Light) -> Sharpness:
    """Find the edge in a window and measure it.

    Parameters
    ----------
    window : (rows, columns) array
        Raw counts.
    light : Light
        Of the window.

    Notes
    -----
    Frequencies and widths are on the detector; in the object plane they are M times larger and smaller. They hold
    along the edge's normal. The edge itself must be sharp: a rounded or oblique one counts as blur.

    Raises
    ------
    ModelError
        No edge stands out of the noise, or it lies at the window's end.

    Examples
    --------
    >>> from scipy.ndimage import gaussian_filter
    >>> v, u = np.mgrid[:80, :64]
    >>> seen = gaussian_filter(np.clip(u - 0.1 * v - 27.0, 0, 1) * 800 + 200.0, 1.5)
    >>> found = sharpness(seen, Light.plain(seen.shape))
    >>> [round(found.figure(name)[0], 2) for name in ("sfr50", "mtf10", "width_10_90")]
    [0.12, 0.22, 3.91]
    """
    image, gain, _ = flattened(window, light)
    found = find_edge(image, gain, light)
    if found is None or not found[0].p[4] > FAINT * math.sqrt(found[0].cov[4, 4]):
        raise ModelError("no edge stands out of the window's noise; give a window with a straight edge across it")
    edge, used = found
    response = edge_response(image, used, edge)
    return Sharpness(edge, response, transfer(response), _sagitta(image, used, edge, response.noise_power))


def edge_fix(window: NDArray[Any], light: Light, normal_deg: float | None = None) -> Fix:
    """Sharpness of a window as a fix: values by the names of :data:`SUFFIXES`.

    Parameters
    ----------
    window : (rows, columns) array
    light : Light
    normal_deg : float, optional
        Direction of the edge whose normal ``n`` is counted along; by default the edge's own.

    Examples
    --------
    >>> edge_fix(np.full((40, 40), 100.0), Light.plain((40, 40))).reason
    "no edge stands out of the window's noise; give a window with a straight edge across it"
    """
    try:
        found = sharpness(window, light)
    except ModelError as error:
        return Fix.lost(str(error))
    place, place_sigma = found.edge.place((window.shape[0], window.shape[1]), normal_deg)
    more = math.sqrt(found.response.noise_power)
    values = {"n": place, "angle": found.edge.angle_deg, "contrast": found.edge.contrast[0]}
    sigma = {
        "n": place_sigma * more,
        "angle": found.edge.angle_sigma_deg * more,
        "contrast": found.edge.contrast[1] * more,
    }
    for name in CONVENTIONS:
        values[name], sigma[name] = found.figure(name)
    reason = _doubt(found, float(np.mean(window >= light.full_scale)))
    return Fix(values, sigma, found.edge.misfit, Verdict.SUSPECT if reason else Verdict.GOOD, reason)


class EdgeTracker:
    """Watches the sharpness of one edge; fulfils :class:`models.imaging.fix.Tracker`.

    Examples
    --------
    >>> EdgeTracker(Light.plain((8, 8))).look(np.zeros((8, 8))).verdict.value
    'lost'
    """

    suffixes = SUFFIXES

    def __init__(self, light: Light) -> None:
        self._light = light
        self._normal_deg: float | None = None

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:  # noqa: ARG002 (the object's angle says nothing)
        """Measure the edge in the next image; ``n`` is counted along the first one's normal, to a whole degree."""
        fix = edge_fix(window, self._light, self._normal_deg)
        if self._normal_deg is None and fix.verdict is Verdict.GOOD:
            self._normal_deg = float(round(fix.values["angle"]) % 180)
            fix = edge_fix(window, self._light, self._normal_deg)
        return fix


def _doubt(found: Sharpness, saturated: float) -> str:
    if saturated > SATURATED:
        return f"{100 * saturated:.1f} % of the pixels are at full scale"
    if found.response.clutter > CLUTTER:
        return "the window shows more than one straight edge"
    bend, sigma = found.sagitta
    if abs(bend) > BENT * found.response.spread_px and abs(bend) > 4.0 * sigma:
        return f"the edge is bent by {abs(bend):.1f} px"
    if found.response.oversampling < OVERSAMPLING:
        return "the edge runs along the pixels: tilt it by some degrees"
    at, sigma = found.transfer.falls_to(0.5)
    if not sigma < VAGUE * at:
        return "too few counts to tell the modulation"
    return ""


def _sagitta(image: Array, gain: Array, edge: StraightEdge, power: float) -> tuple[float, float]:
    """One Gauss-Newton step of the offset in each of some sections along the edge, and the parabola through them."""
    rows, columns = image.shape
    v, u = np.mgrid[:rows, :columns]
    nu, nv = edge.normal
    u, v = u - edge.centre[0], v - edge.centre[1]
    distance, along = nu * u + nv * v - edge.p[0], nu * v - nv * u
    near = (np.abs(distance) < 3.0 * edge.spread_px) & (gain > 0)
    value, slope = step_profile(distance[near], math.sqrt(edge.p[2]), *edge.aperture)
    level = edge.p[3] + edge.p[4] * value
    shade = 1.0 + edge.p[5] * u[near] + edge.p[6] * v[near]
    weight = gain[near] / np.maximum(edge.noise[0] + edge.noise[1] * level, 1e-30)
    by_offset = -edge.p[4] * slope * shade
    first, last = along[near].min(), along[near].max()
    section = np.minimum(((along[near] - first) / max(last - first, 1.0) * SECTIONS).astype(int), SECTIONS - 1)
    told = np.bincount(section, weight * by_offset**2, SECTIONS)
    moved = np.bincount(section, weight * by_offset * (image[near] - level * shade), SECTIONS)
    seen = told > 0
    if np.count_nonzero(seen) < 4:
        return 0.0, math.inf
    place = (np.arange(SECTIONS) + 0.5) / SECTIONS * 2.0 - 1.0
    base = np.stack([np.ones(SECTIONS), place, 1.0 - place**2], axis=1)[seen]
    normal = base.T @ (told[seen, None] * base)
    cov = np.linalg.inv(normal)
    return float((cov @ base.T @ moved[seen])[2]), math.sqrt(power * cov[2, 2])
