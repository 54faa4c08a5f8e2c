"""What a fit of a sphere is worth: lost and why, suspect and why, or good; its values with their σ."""

from __future__ import annotations

import math

from models.imaging import sphere_kernel as kernel
from models.imaging import sphere_sums as sums
from models.imaging.fix import SUSPECT_SIGMA_PX, Fix, Verdict
from models.imaging.sphere_fit import Sight

SUFFIXES = ("u", "v", "size", "blur", "contrast")
VISIBLE, VISIBLE_ANYWHERE = 5.0, 6.5  # σ of the whole shadow; the second where all of the window was searched
MISFIT, SCATTER = 1.5, 4.0  # χ² per near pixel, and σ of it, from which on the residuals are no noise …
UNLIKE, UNKNOWN = 0.03, 0.3  # … and matter, or leave no sphere: rms, as a share of the shadow
HIDDEN = 0.4  # share of the shadow's pixels beyond the gate that leave no sphere
OUTSTANDING, STRUCTURE = (
    4.5,
    0.003,
)  # σ of structure in the free beam, and its rms as a share of the contrast: both beyond
SOME_SATURATED = 0.01  # share of the pixels
OTHER_SIZE, OTHER_CONTRAST = 0.25, 0.4  # relative: what differs by more from the sphere last seen isn't that sphere
KNOWN = 0.05  # relative σ of the radius up to which it says anything; beyond, R, σ and κ make up for each other
SURE = 4.0  # σ of what is compared, on top
FIRST_SIZE = 0.7  # in the ln of the radius, from the starting guess
EDGE_SIGMA = 2.0  # blur beyond the radius that must be in the window


def contrast(sight: Sight) -> tuple[float, float]:
    """Attenuation ``1 - exp(-2κR)`` in the centre, and its σ."""
    thick = 2.0 * sight.radius * math.exp(sight.point[sums.OPACITY])
    per_radius, cov = 1.0 / sight.radius, sight.cov
    variance = (
        per_radius**2 * float(cov[sums.RADIUS, sums.RADIUS])
        + 2.0 * per_radius * float(cov[sums.RADIUS, sums.OPACITY])
        + float(cov[sums.OPACITY, sums.OPACITY])
    )
    return -math.expm1(-thick), math.exp(-thick) * thick * math.sqrt(max(variance, 0.0))


def why_lost(sight: Sight, last: Sight | None, guessed_px: float, searched: bool) -> str:
    """Why there is no sphere to be believed in; empty where there is.

    Parameters
    ----------
    sight : Sight
    last : Sight, optional
        The last one believed; none in the first image.
    guessed_px : float
        Radius of the starting guess [px].
    searched : bool
        Whether the window was searched, so that noise had many places to look like a sphere.
    """
    if sight.outcome == kernel.GONE:
        return "left the window"
    if sight.outcome != kernel.DONE:
        covered = last is not None and sight.outcome == kernel.ASTRAY and _misfits(sight)
        return "crossed by the object" if covered else "did not converge"
    if sight.visibility < (VISIBLE_ANYWHERE if searched and last is not None else VISIBLE):
        return "drowned in noise"
    if sight.position_sigma > sight.radius + math.sqrt(max(sight.variance, 0.0)):
        return "drowned in noise"
    if sight.told[sums.GATED] > HIDDEN * sight.near_pixels or (sight.unlike > UNKNOWN and _misfits(sight)):
        return "crossed by the object"
    return "what is there is not the sphere" if _other(sight, last, guessed_px) else ""


def _misfits(sight: Sight) -> bool:
    return sight.near_misfit > MISFIT + SCATTER * math.sqrt(3.0 / sight.near_pixels)


def _other(sight: Sight, last: Sight | None, guessed_px: float) -> bool:
    """Whether size or contrast are not those of the sphere last seen (of the guess, at first)."""
    if last is None:
        return abs(math.log(sight.radius / guessed_px)) > FIRST_SIZE + SURE * sight.radius_sigma
    if max(sight.radius_sigma, last.radius_sigma) > KNOWN:
        return False
    if abs(math.log(sight.radius / last.radius)) > OTHER_SIZE + SURE * math.hypot(
        sight.radius_sigma, last.radius_sigma
    ):
        return True
    (depth, error), (usual, usual_error) = contrast(sight), contrast(last)
    return abs(depth - usual) > OTHER_CONTRAST * usual + SURE * math.hypot(error, usual_error)


def fix_of(sight: Sight, shape: tuple[int, ...], saturated: float) -> Fix:
    """Values, σ and verdict of a sphere that was seen in a window of this shape, of which that share is saturated.

    Where residuals are no noise, σ is wider by the root of χ² per pixel.
    """
    error = math.sqrt(sight.cov[sums.VARIANCE, sums.VARIANCE])
    blur, low, high = (math.sqrt(max(sight.variance + part, 0.0)) for part in (0.0, -error, error))
    depth, depth_sigma = contrast(sight)
    misfits = _misfits(sight) and sight.unlike > UNLIKE
    wider = math.sqrt(sight.near_misfit) if misfits else 1.0
    values = (float(sight.point[sums.U]), float(sight.point[sums.V]), 2.0 * sight.radius, blur, depth)
    u, v, radius = (math.sqrt(sight.cov[k, k]) for k in (sums.U, sums.V, sums.RADIUS))
    errors = (u, v, 2.0 * radius, 0.5 * (high - low), depth_sigma)
    reason = _why_suspect(sight, shape, saturated, misfits, wider * sight.position_sigma)
    return Fix(
        dict(zip(SUFFIXES, values, strict=True)),
        {name: wider * value for name, value in zip(SUFFIXES, errors, strict=True)},
        sight.misfit if sight.noise.known else float("nan"),
        Verdict.SUSPECT if reason else Verdict.GOOD,
        reason,
    )


def _why_suspect(sight: Sight, shape: tuple[int, ...], saturated: float, misfits: bool, sigma: float) -> str:
    u, v = float(sight.point[sums.U]), float(sight.point[sums.V])
    reach = sight.radius + EDGE_SIGMA * math.sqrt(max(sight.variance, 0.0) + 1.0 / 12.0)
    if min(u, v, shape[1] - 1 - u, shape[0] - 1 - v) < reach - 0.5:
        return "partly outside the window"
    if saturated > SOME_SATURATED:
        return "partly saturated"
    if sight.told[sums.GATED] > kernel.COVERED * sight.near_pixels + 3:
        return "partly covered"
    if misfits:
        return f"misfit: residuals are {100.0 * sight.unlike:.0f} % of the shadow"
    uneven, standing_out = sight.unevenness
    if standing_out > OUTSTANDING and uneven > STRUCTURE * contrast(sight)[0]:
        return f"the beam around it is uneven by {100.0 * uneven:.1f} %"
    return f"position known to {sigma:.2f} px only" if sigma > SUSPECT_SIGMA_PX else ""
