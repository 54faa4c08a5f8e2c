"""A sphere as marker: where its shadow's centre is, and how large it is, which tells the magnification."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.imaging import sphere_kernel as kernel
from models.imaging import sphere_sums as sums
from models.imaging.fix import Fix, Verdict
from models.imaging.light import Light
from models.imaging.sphere_fit import Noise, Shape, Sight, fit
from models.imaging.sphere_search import free_beam, locate, variance_per_count
from models.imaging.sphere_verdict import KNOWN, SUFFIXES, fix_of, why_lost

RADIUS_GUESS, OPACITY_GUESS = 0.5, 1.5  # σ of the starting guess, relative: of the radius, and in ln κ
MOST_SATURATED = 0.5  # share of the pixels
MEMORY = 50  # images over which the usual shape is the mean
FAINT = 30.0  # σ of the whole shadow below which a suspect's shape is taken into the mean, too: it is only noise
DRIFTED = 0.5  # σ of an image's shape by which the mean may leave the table


class SphereTracker:
    """Follows the shadow of one sphere: maximum likelihood for all it depends on, at once.

    Counts of a pixel are ``flat · B (1 + g_u x + g_v y) · T + dark``; T is ``exp(-2κ √(R² - ρ²))`` within R of the centre, 1
    outside (Beer and Lambert), smeared by a Gaussian of standard deviation σ and by the square pixel
    (:mod:`models.imaging.sphere_profile`). u, v, R, σ², ln κ, B, g_u, g_v are free. ``size`` is the diameter 2R, ``blur`` is
    σ beside the pixel aperture, ``contrast`` the attenuation ``1 - exp(-2κR)`` in the centre without blur.

    Parameters
    ----------
    light : Light
        Illumination, dead pixels and noise of the window.
    u, v : float
        Where the centre is in the first image, column and row of the window [px], to about the radius.
    radius_px : float
        Radius of the shadow [px], to a factor of 1.5 or so.
    blur_px : float
        σ of the blur beside the pixel [px], roughly.

    Notes
    -----
    Assumed: one homogeneous sphere, one energy, a parallel beam over the sphere, an isotropic Gaussian blur, an even gradient
    of the free beam. Wrong, and by how much:

    - In a cone beam the shadow of a sphere at the angle α off the optical axis is an ellipse, longer by 1/cos α along the
      radius of the image: by 0.4 % at 5°. The fitted diameter is larger by α²/4 (0.2 %); the centre lies ``R² tan α/D`` (R
      and the distance D from source to detector in px) farther out than the projection of the sphere's: 0.005 px for R 25
      px, 500 mm, 50 µm, 5°. Both stay the same while the sphere does.
    - Several energies harden the beam and flatten the profile. R and κ make up for it; u and v, for symmetry, don't move. Two
      energies of equal counts, of which 97 % and 30 % are taken in the centre, make the diameter 4 % too large.
    - Noise that is correlated between pixels (a scintillator's) makes the stated σ too small.
    - A blur below 0.25 px hardly differs from none: the pixel hides it.

    Starting guess and weak priors: R is known to 50 %, ln κ to 1.5, σ² to 1 px² or twice itself. They matter only where the
    image doesn't tell R, σ and κ apart (a sphere smaller than its blur); σ of the size then says that it is but the guess.
    Size and contrast are Gaussian about the truth, with the σ stated, while that is below 5 % of the size.

    Raises
    ------
    ModelError
        Impossible guess, or a window of another shape than the light's.

    Examples
    --------
    >>> at = np.arange(128) / 4.0 - 0.375  # 4 × 4 points in each of 32 × 32 pixels
    >>> chord = 2.0 * np.sqrt(np.maximum(36.0 - (at - 15.0) ** 2 - (at[:, None] - 16.0) ** 2, 0.0))
    >>> passed = np.exp(-0.1 * chord).reshape(32, 4, 32, 4).mean(axis=(1, 3))
    >>> counts = np.random.default_rng(1).poisson(1000.0 * passed)
    >>> tracker = SphereTracker(Light.plain((32, 32), variance_per_count=1.0), 14.0, 15.0, 5.0, 0.5)
    >>> fix = tracker.look(counts)
    >>> round(fix.values["u"], 1), round(fix.values["v"], 1), round(fix.values["size"]), fix.verdict.value
    (15.0, 16.0, 12, 'good')
    """

    def __init__(self, light: Light, u: float, v: float, radius_px: float, blur_px: float = 1.0) -> None:
        rows, columns = light.flat.shape
        if not (-0.5 <= u <= columns - 0.5 and -0.5 <= v <= rows - 0.5):
            raise ModelError(f"sphere at column {u:g}, row {v:g}: outside the window of {columns} × {rows} pixels")
        if not (0.0 < radius_px < np.inf and 0.0 <= blur_px < np.inf):
            raise ModelError(
                f"sphere of radius {radius_px:g} px, blur {blur_px:g} px: give a positive radius, a blur from 0"
            )
        usable = (light.flat > 0) & ~light.dead
        if not usable.any():
            raise ModelError("no pixel of the window can be used; choose another window or another flat image")
        self._light = light
        self._flat = np.where(usable, light.flat / np.median(light.flat[usable]), 0.0)
        known = np.isfinite(light.variance_per_count)
        self._noise = Noise(light.variance_per_count if known else np.nan, light.read_variance, bool(known))
        variance = blur_px**2
        self._shape = Shape.of(np.array([radius_px, variance, -np.log(radius_px)]))
        self._prior = np.array(
            [
                [radius_px, (RADIUS_GUESS * radius_px) ** 2],
                [variance, max(1.0, 2.0 * variance) ** 2],
                [np.nan, OPACITY_GUESS**2],  # known when the first image has been seen
            ]
        )
        self._guess = (float(u), float(v))
        self._last: Sight | None = None  # the last one that was believed
        self._mean, self._seen = self._shape.at, 0  # shape over the last ones
        self._following = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Keys of ``Fix.values``: centre, diameter and blur [px], attenuation in the centre [1]."""
        return SUFFIXES

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:  # noqa: ARG002 - a sphere has no angle
        """Find the sphere in the next image; see :class:`models.imaging.fix.Tracker`."""
        light = self._light
        if window.shape != self._flat.shape:
            raise ModelError(
                f"the window has {window.shape} pixels, its flat image {self._flat.shape}; give the same region"
            )
        counts, flat, saturated = window.astype(float), self._flat, 0.0
        counts -= light.dark
        if not window.max() < light.full_scale:  # nan included
            below = window < light.full_scale
            saturated = 1.0 - np.count_nonzero(below & (flat > 0)) / np.count_nonzero(flat)
            counts, flat = np.where(below, counts, 0.0), np.where(below, flat, 0.0)
        if saturated > MOST_SATURATED:
            return self._lose("saturated")
        sight, searched = None, False
        if self._following and self._last is not None:
            last = self._last
            start = self._start(last.point[:2], last)
            sight = fit(counts, flat, start, self._shape, self._prior, last.noise, max(last.near_misfit, 1.0))
        if sight is None or sight.outcome != kernel.DONE:
            searched = True
            sight = self._anew(counts, flat)
        reason = why_lost(sight, self._last, float(self._prior[0, 0]), searched)
        if reason:
            return self._lose(reason)
        fix = fix_of(sight, self._flat.shape, saturated)
        self._last, self._following = sight, True
        if self._seen == 0 or fix.verdict is Verdict.GOOD or sight.visibility < FAINT:
            self._remember(sight)
        return fix

    def _start(self, place: Array, last: Sight) -> Array:
        """Where the last one was seen in an image, or may be now, with the usual shape."""
        return np.concatenate([place, self._shape.at, last.point[sums.LIGHT :]])

    def _remember(self, sight: Sight) -> None:
        """Take the shape into the mean; the table is made anew when the mean has left it by a part of what noise does."""
        if sight.radius_sigma > KNOWN:  # shapes that do equally well have a mean that doesn't
            self._shape = sight.shape
            return
        shape = sight.point[sums.RADIUS : sums.LIGHT]
        first = self._seen == 0
        self._seen = min(self._seen + 1, MEMORY)
        self._mean = self._mean + (shape - self._mean) / self._seen
        sigma = np.sqrt(np.diag(sight.cov)[sums.RADIUS : sums.LIGHT])
        if first or (np.abs(self._mean - self._shape.at) > DRIFTED * sigma).any():
            self._shape = Shape.of(self._mean)

    def _lose(self, reason: str) -> Fix:
        self._following = False
        return Fix.lost(reason)

    def _anew(self, counts: Array, flat: Array) -> Sight:
        """Fit from where the shadow seems to be and, if it was seen before, from where it was; the better of both."""
        usable = flat > 0
        beam = np.divide(counts, flat, out=np.zeros_like(counts), where=usable)
        last = self._last
        u, v = self._guess if last is None else last.point[:2]
        level = free_beam(beam, usable, u, v, 1.5 * float(self._shape.at[0]))
        around = None if last is not None else (u, v, max(1.2 * float(self._shape.at[0]), 4.0))
        u, v, depth = locate(1.0 - beam / level, usable, self._shape.table, 1.0 if last else 0.5, around)
        if last is None:
            radius, variance = self._prior[:2, 0]
            deepest = -np.expm1(-2.0)  # of the table made with κR = 1
            opacity = np.log(-np.log1p(-np.clip(depth * deepest, 0.02, 0.98)) / (2.0 * radius))
            self._prior[2, 0] = opacity
            if not self._noise.known:
                self._noise = Noise(variance_per_count(beam, usable, level), self._noise.read, False)
            start = np.array([u, v, radius, variance, opacity, level, 0.0, 0.0])
            return fit(counts, flat, start, Shape.of(start[sums.RADIUS : sums.LIGHT]), self._prior, self._noise, None)
        starts = [self._start(np.array([u, v]), last), self._start(last.point[:2], last)]
        for start in starts:
            start[sums.LIGHT :] *= level / start[sums.LIGHT]
        sights = [fit(counts, flat, start, self._shape, self._prior, last.noise, None) for start in starts]
        return min(sights, key=lambda sight: (sight.outcome != kernel.DONE, sight.unlike - min(sight.visibility, 10.0)))


def magnification_change(
    size_px: float, reference_px: float, size_sigma_px: float = 0.0, reference_sigma_px: float = 0.0
) -> tuple[float, float]:
    """Relative change of a marker's magnification, dM_m/M_m, from the size of its shadow, and its σ.

    ``dM/M = size/reference - 1``, for the diameter of the shadow is ``M_m`` times the sphere's over the pixel pitch
    (``M_m = SDD/SOD_m``: a point source and similar triangles). σ by first order, errors of the two sizes independent.

    Parameters
    ----------
    size_px, reference_px : float
        Diameter of the shadow now and in the reference pose [px].
    size_sigma_px, reference_sigma_px : float
        Their σ [px].

    Notes
    -----
    Assumes that sphere and pixel keep their size (steel: 11e-6/K) and that what else bends the profile (beam hardening, the
    angle off the axis) is the same in both. The shadow's rays touch the sphere in front of its centre: its diameter is
    ``M_m d √(1/(1 - (d/2SOD_m)²))``, so the change is overstated by ``(d/2SOD_m)²``, 0.25 % of itself for a sphere a tenth
    as wide as it is far from the source.

    Raises
    ------
    ModelError
        A size is not positive.

    Examples
    --------
    >>> change, sigma = magnification_change(50.05, 50.0, 0.01, 0.01)
    >>> round(change, 6), round(sigma, 6)
    (0.001, 0.000283)
    """
    if not (size_px > 0.0 and reference_px > 0.0):
        raise ModelError(f"sizes {size_px:g} px and {reference_px:g} px tell no magnification; both must be positive")
    ratio = size_px / reference_px
    return ratio - 1.0, float(np.hypot(size_sigma_px, ratio * reference_sigma_px)) / reference_px
