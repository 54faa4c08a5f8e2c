"""The shadow of a wire, followed from image to image at the limit that its counts allow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import ModelError
from models.imaging.fix import SUSPECT_SIGMA_PX, Fix, Verdict
from models.imaging.light import Light
from models.imaging.wire_fit import WHOLE, Fitted, WireFit
from models.imaging.wire_frame import Line
from models.imaging.wire_profile import Shape

SATURATED = 1e-3  # part of the frame's pixels at full scale beyond which nothing is believed
DROWNED = 5.0  # a shadow fainter than this many σ is none
STRANGE = 3.0  # a misfit this many times the usual one is another picture


@dataclass(frozen=True, slots=True)
class WireGuess:
    """Where a wire is thought to be, to some pixels.

    Attributes
    ----------
    line : Line
        In the window, or in the transposed window of a flat wire.
    shape : Shape
    flat : bool
        Whether the wire runs along rows (less than 45° from u) rather than along columns.
    """

    line: Line
    shape: Shape
    flat: bool = False

    @property
    def angle_deg(self) -> float:
        """Direction of the wire from u, as a configuration's ``angle_deg`` counts it: 90 runs along v.

        Examples
        --------
        >>> WireGuess(Line(10.0, 0.0), Shape(1.0, 1.0, 5.0)).angle_deg
        90.0
        """
        along = math.degrees(math.atan(self.line.slope))
        return along % 180.0 if self.flat else 90.0 - along


class WireTracker:
    """Follows a wire; fulfils :class:`models.imaging.fix.Tracker`.

    Position along the normal, tilt, blur, depth and radius of the shadow, brightness and its gradients are fitted at
    once by maximum likelihood to the counts (Poisson by quasi-likelihood: variance proportional to the expected
    counts). ``n`` is the distance along the normal from the middle of the window's left edge (a flat wire: its upper
    edge) to the wire, positive towards larger columns, for a wire along u towards larger rows: as
    :func:`models.geometry.wire_normal` counts.

    Parameters
    ----------
    guess : WireGuess
        In the first image.
    light : Light
        Of the window.
    diameter_px : float, optional
        Known diameter of the geometric shadow [px]. Then the blur is known better: a thin wire's own width and its
        blur look alike.
    angle_deg : float, optional
        Direction of the normal that ``n`` is counted along, as the configuration's marker has it; by default the
        wire's own in the first image.

    Notes
    -----
    Assumes a straight, homogeneous, round wire and one energy. A second spot or a gradient that is not linear makes
    the shadow asymmetric, which shifts all positions by the same amount. σ counts noise that neighbouring columns
    share (a scintillator's).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> from models.imaging.wire_profile import shadow
    >>> shape = Shape(1.0, 1.0, 8.0)
    >>> row = 1000.0 * shadow(np.arange(64) - 30.3, shape)[0]
    >>> tracker = WireTracker(WireGuess(Line(30.0, 0.0), shape), Light.plain((256, 64), variance_per_count=1.0))
    >>> fix = tracker.look(rng.poisson(row, (256, 64)).astype(np.uint16))
    >>> fix.verdict.value, round(fix.values["n"], 2), round(fix.sigma["n"], 4)
    ('good', 30.3, 0.0045)
    """

    suffixes = ("n", "angle", "blur", "contrast")

    def __init__(
        self, guess: WireGuess, light: Light, *, diameter_px: float | None = None, angle_deg: float | None = None
    ) -> None:
        if not abs(guess.line.slope) <= 1.0:
            raise ModelError("a wire's slope is beyond 1: it runs along the other axis")
        self._flat = guess.flat
        self._shape = light.flat.shape
        turned = replace(light, flat=light.flat.T, dark=light.dark.T, dead=light.dead.T) if guess.flat else light
        self._light = light
        radius = guess.shape.radius if diameter_px is None else diameter_px / 2.0
        cosine = 1.0 / math.hypot(1.0, guess.line.slope)
        across = Shape(guess.shape.depth, guess.shape.blur / cosine, radius / cosine)
        self._fit = WireFit(guess.line, across, turned, known_radius=diameter_px is not None)
        self._guess = guess
        self._nominal = angle_deg if angle_deg is not None else None

    def look(self, window: NDArray[Any], angle_deg: float = math.nan) -> Fix:  # noqa: ARG002 (trackers share arguments)
        """Measure the wire in the next image; a :class:`ModelError` if the window has another shape than the light."""
        found = self.measure(window)
        return Fix.lost(found) if isinstance(found, str) else self._fix(found)

    def measure(self, window: NDArray[Any]) -> Fitted | str:
        """The wire as it was fitted, along the axis across it; or in a few words why there is none.

        Raises
        ------
        ModelError
            The window has another shape than the light.
        """
        if window.shape != self._shape:
            raise ModelError(f"the window has {window.shape} pixels, the tracker was made for {self._shape}")
        found = self._fit.update(np.ascontiguousarray(window.T) if self._flat else window)
        if isinstance(found, str):
            return found
        if found.top >= self._light.full_scale:
            full = window[~self._light.dead] >= self._light.full_scale
            if np.count_nonzero(full) > SATURATED * full.size:
                return "saturated"
        if found.significance < DROWNED:
            return "drowned in noise"
        if found.inside < WHOLE / 3.0:
            return "left the window"
        return found

    def _fix(self, found: Fitted) -> Fix:
        cosine = 1.0 / math.hypot(1.0, found.line.slope)
        towards = self._normal(found.line.slope)
        guess = WireGuess(found.line, found.shape, self._flat)
        values = {
            "n": towards * found.line.place,
            "angle": guess.angle_deg,
            "blur": found.shape.blur * cosine,
            "contrast": found.contrast,
        }
        sigma = {
            "n": abs(towards) * found.sigma_place,
            "angle": math.degrees(found.sigma_slope * cosine**2),
            "blur": found.sigma_blur * cosine,
            "contrast": found.sigma_contrast,
        }
        reason = ""
        if sigma["n"] > SUSPECT_SIGMA_PX:
            reason = "too few counts"
        elif found.covered > 0.5:
            reason = "half covered"
        elif found.inside < WHOLE:
            reason = "partly outside the window"
        elif found.usual > STRANGE:
            reason = "does not look like the wire before"
        return Fix(values, sigma, found.misfit, Verdict.SUSPECT if reason else Verdict.GOOD, reason)

    def _normal(self, slope: float) -> float:
        """Part of the normal along the axis that the wire is measured on, with its sign."""
        if self._nominal is None:
            own = WireGuess(Line(0.0, slope), self._guess.shape, self._flat).angle_deg
            # of a wire within half a degree of the rows the normal points down, as that of one along them
            self._nominal = own if round(own) % 180 else 0.0
        angle = math.radians(self._nominal % 180.0)
        across, down = math.sin(angle), -math.cos(angle)
        if abs(across) < 1e-12:
            down = abs(down)
        return down if self._flat else across
