"""Bright images one after the other, each against the same first one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.imaging.bright import free_flux
from models.imaging.bright_ratio import bright_ratio
from models.imaging.fix import Fix, Verdict
from models.imaging.light import Light
from models.imaging.second_spot import NAMES

OBJECT, SHADE = 0.05, 0.2  # rms of structure and shading; what changes so much is an object in the beam
MAIN = 0.5  # part of the beam's brightness; so much is no second spot
SUFFIXES = ("factor", "tilt_u", "tilt_v", "shading", "structure", *(f"spot_{name}" for name in NAMES))


class BrightWindow:
    """Watches flux, shading and second spot in bright images; fulfils :class:`models.imaging.fix.Tracker`.

    Parameters
    ----------
    light : Light
        Of the window; its flat image is not used.
    reference : (rows, columns) array, optional
        Raw counts of the bright image that the others are compared with, or the mean of several; without it the first
        one that shows a beam, which then says nothing of itself.
    frames : int
        How many images the reference is the mean of.

    Notes
    -----
    The reference's own noise is in every fix, and in its σ: what differs between two fixes is known better than that.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> window = BrightWindow(Light.plain((60, 80), variance_per_count=1.0))
    >>> window.look(rng.poisson(1e4, (60, 80))).values
    {}
    >>> fix = window.look(rng.poisson(1.02e4, (60, 80)))
    >>> round(fix.values["factor"], 3), round(fix.sigma["factor"], 4)
    (1.02, 0.0002)
    """

    suffixes = SUFFIXES

    def __init__(self, light: Light, reference: NDArray[Any] | None = None, frames: int = 1) -> None:
        self._light, self._frames = light, frames
        self._reference: Array | None = None if reference is None else np.asarray(reference, dtype=float)

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:  # noqa: ARG002 (nothing in the beam turns)
        """Compare the next bright image with the reference.

        Returns
        -------
        Fix
            As :meth:`models.imaging.bright_change.BrightChange.fix`; nothing at all for the image that becomes
            the reference.
        """
        if self._reference is None:
            first = free_flux(window, self._light)
            if first.verdict is Verdict.LOST:
                return first
            self._reference = np.array(window, dtype=float)
            return Fix({}, {})
        try:
            change = bright_ratio(window, self._reference, self._light, reference_frames=self._frames)
        except ModelError as error:
            return Fix.lost(str(error))
        fix = change.fix()
        too_much = any(abs(fix.values.get(f"spot_{name}", 0.0)) > MAIN for name in ("growth", "amplitude"))
        if change.structure[0] > OBJECT or change.shading_rms[0] > SHADE or too_much:
            return Fix.lost("no bright image: something stands in the beam, or did in the first one")
        return fix
