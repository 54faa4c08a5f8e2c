"""From the kind of a marker to what finds and follows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import ModelError
from models.imaging.fix import Tracker
from models.imaging.light import Light
from sensors.images.region import Region

# What a kind tells, in the order in which it is written.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "wire": ("n", "angle", "blur", "contrast"),
    "cross": ("u", "v", "angle", "blur", "contrast"),
    "sphere": ("u", "v", "size", "blur", "contrast"),
    "patch": ("u", "v", "contrast"),
    "edge": ("n", "angle", "blur", "contrast", "sfr50", "mtf10", "width_10_90", "width_50_90"),
    "bright": (
        "factor", "tilt_u", "tilt_v", "shading", "structure", "spot_growth", "spot_dipole_u", "spot_dipole_v",
        "spot_amplitude", "spot_drift_u", "spot_drift_v", "spot_u", "spot_v", "spot_width",
    ),
    "flux": ("flux", "structure"),
}  # fmt: skip
MARKERS = ("wire", "cross", "sphere", "patch", "edge", "bright")
FOUND = ("wire", "cross", "sphere")  # kinds that are found by themselves
# suffix -> quantity and unit of what a tracker gives
QUANTITIES = {
    "n": ("marker_shift", "px"),
    "u": ("marker_shift", "px"),
    "v": ("marker_shift", "px"),
    "size": ("marker_size", "px"),
    "blur": ("marker_blur", "px"),
    "angle": ("angle", "deg"),
    "contrast": ("ratio", "1"),
    "sfr50": ("spatial_frequency", "1/px"),
    "mtf10": ("spatial_frequency", "1/px"),
    "width_10_90": ("image_distance", "px"),
    "width_50_90": ("image_distance", "px"),
    "flux": ("flux", "counts"),
    "structure": ("ratio", "1"),
    "factor": ("ratio", "1"),
    "tilt_u": ("ratio", "1"),
    "tilt_v": ("ratio", "1"),
    "shading": ("ratio", "1"),
    "spot_growth": ("ratio", "1"),
    "spot_dipole_u": ("image_distance", "px"),
    "spot_dipole_v": ("image_distance", "px"),
    "spot_amplitude": ("ratio", "1"),
    "spot_drift_u": ("image_distance", "px"),
    "spot_drift_v": ("image_distance", "px"),
    "spot_u": ("image_distance", "px"),
    "spot_v": ("image_distance", "px"),
    "spot_width": ("image_distance", "px"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a window, and the angle at which it was taken (``nan`` where nobody says)."""

    image: NDArray[Any]
    angle_deg: float = math.nan


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a marker was found by itself: a window for it, and what its tracker begins with, in that window."""

    region: Region
    guess: Any


def find(marker: str, picture: Picture, light: Light) -> list[Finding]:
    """Markers of a kind in an image, the clearest first.

    Parameters
    ----------
    marker : str
        wire, cross or sphere.
    light : Light
        Of the image.
    """
    from models.imaging import find as finding

    if marker == "wire":
        return [Finding(_region(wire.region), wire.guess) for wire in finding.find_wires(picture.image, light)]
    if marker == "cross":
        cross = finding.find_cross(picture.image, light)
        return [] if cross is None else [Finding(_region(cross[0]), cross[1])]
    if marker == "sphere":
        from models.imaging.find_sphere import find_spheres

        return [Finding(_region(sphere.region), sphere.guess) for sphere in find_spheres(picture.image, light)]
    raise ModelError(f"a {marker} can't be found by itself; give its window")


def placed(marker: str, found: Finding, window: Region) -> Any | None:
    """What was found as a guess about another window of the same image; None where that doesn't hold the marker.

    Parameters
    ----------
    found : Finding
        Its region in the coordinates that ``window`` has.
    """
    if marker == "cross":
        wires = tuple(_seen_from(window, guess, found.region) for guess in found.guess)
        return wires if all(wire is not None for wire in wires) else None
    if marker == "sphere":
        u, v = found.guess.u + found.region.u0 - window.u0, found.guess.v + found.region.v0 - window.v0
        inside = 0 <= u <= window.u1 - window.u0 - 1 and 0 <= v <= window.v1 - window.v0 - 1
        return replace(found.guess, u=u, v=v) if inside else None
    return _seen_from(window, found.guess, found.region)


def make(
    marker: str,
    first: Picture,
    light: Light,
    *,
    guess: Any = None,
    diameter_px: float | None = None,
    reference: Sequence[Picture] = (),
) -> Tracker:
    """Tracker for a window.

    Parameters
    ----------
    marker : str
        A key of :data:`SUFFIXES`.
    first : Picture
        The window in the first image; it is given to the tracker again to be measured.
    light : Light
        Of the window.
    guess : object
        Where the marker is, as :func:`find` or :func:`placed` give it; patches and flux need none.
    reference : sequence of Picture
        Of a patch: the window at several angles; of bright images: some to be averaged; empty: the first image is it.
    """
    if marker == "wire":
        from models.imaging.wire import WireTracker

        return WireTracker(guess, light, diameter_px=diameter_px)
    if marker == "cross":
        from models.imaging.cross import CrossTracker

        return CrossTracker(guess, light, diameter_px=diameter_px)
    if marker == "sphere":
        from models.imaging.sphere import SphereTracker

        radius = guess.radius if diameter_px is None else diameter_px / 2.0
        return SphereTracker(light, guess.u, guess.v, radius, guess.blur)
    if marker == "flux":
        from models.imaging.bright import FreeWindow

        return FreeWindow(light)
    if marker == "edge":
        from models.imaging.sharpness import EdgeTracker

        return EdgeTracker(light)
    if marker == "bright":
        from models.imaging.bright_window import BrightWindow

        mean = np.mean([picture.image for picture in reference], axis=0) if reference else None
        return BrightWindow(light, mean, max(len(reference), 1))
    return _patch(reference or [first], light)


def _patch(reference: Sequence[Picture], light: Light) -> Tracker:
    from models.imaging.patch import PatchTracker
    from models.imaging.patch_reference import Reference, References

    known = [(picture.angle_deg, Reference.measured(picture.image, light)) for picture in reference]
    if len(known) > 1 and all(math.isfinite(angle) for angle, _ in known):
        return PatchTracker(light, References(dict(known)))
    return PatchTracker(light, References(always=known[0][1]))


def _seen_from(window: Region, guess: Any, part: Region) -> Any | None:
    """A wire's guess about one part of an image as one about another; None where the wire is outside of that."""
    across, along = ("v0", "v1"), ("u0", "u1")
    if not guess.flat:
        across, along = along, across
    ahead = sum(getattr(window, side) - getattr(part, side) for side in along) / 2.0
    place = guess.line.place + getattr(part, across[0]) + guess.line.slope * ahead - getattr(window, across[0])
    if not 0 <= place <= getattr(window, across[1]) - getattr(window, across[0]) - 1:
        return None
    return replace(guess, line=replace(guess.line, place=place))


def _region(found: Any) -> Region:
    return Region(found.u0, found.u1, found.v0, found.v1)
