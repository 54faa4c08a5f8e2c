"""Fit of a wire in one image after the other: what is remembered between them, and what is made anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging import wire_kernel as kernel
from models.imaging.light import Light
from models.imaging.noise_memory import NoiseMemory
from models.imaging.wire_frame import Line, Sums, WireFrame
from models.imaging.wire_profile import BY_DEPTH, MARGIN, VALUE, Shape, shadow, table

WINGS = 40  # columns beside the shadow; they tell the brightness and its gradient
LIMITS = np.array([1.5, 0.5, 0.7, 0.02, 0.3, 0.3, 0.25, 0.3])  # largest step of each parameter
TINY = np.array([0.02, 0.02, 2e-3, 2e-3, 2e-3, 0.01, 0.01, 0.01])  # steps whose square doesn't matter
NEAR = np.array([0.1, 0.05, 0.1])  # change of ln κ, ln σ, ln R · R/σ that tables follow
LOOSE = (1.5, 1.0, 1.0)  # σ of the priors of ln κ, ln σ, ln R about the guess, and about the mean of earlier images:
STEADY = (0.7, 0.5, 0.5)  # they hold what an image can't tell, and weigh nothing where it can
SHAPES = 32  # images over which that mean is taken
COVERED = 3.0  # a stretch whose misfit is this many times the usual one shows something else than the wire
# of covered stretches those are left out first whose misfit is this part of the worst: they spoil the others' fit
WORST = 0.3
FAINT = 0.2  # part of its former depth below which a shadow is another one
FOUND = 6.0  # a shadow must stand out of the noise by this many σ to be found
WHOLE = 0.75  # part of a shadow that must lie in the window
ATTEMPTS = 24
ALONG_IT = np.linspace(-1.0, 1.0, 9)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A wire in one image, along the axis across it [px].

    ``contrast`` is the depth of the blurred shadow; ``misfit`` is χ² per degree of freedom against the stated noise
    (``nan`` without one), ``covariance`` that of place and slope, ``dispersion`` the same without regard to what was
    stated, ``usual`` the same against what it was before; ``significance`` is the shadow's depth in σ; ``covered``
    the part of the wire's length that was left out, ``inside`` the part of the shadow that lies in the window.
    """

    line: Line
    shape: Shape
    contrast: float
    sigma_place: float
    sigma_slope: float
    covariance: float
    sigma_blur: float
    sigma_contrast: float
    misfit: float
    dispersion: float
    usual: float
    significance: float
    covered: float
    inside: float
    top: float


class WireFit:
    """Follows a wire that crosses the rows of a window; lengths are along columns.

    Parameters
    ----------
    line, shape : Line, Shape
        Where the wire is thought to be in the first image, and how it looks.
    light : Light
    known_radius : bool
        Keep the radius as given.
    """

    def __init__(self, line: Line, shape: Shape, light: Light, *, known_radius: bool) -> None:
        self._light, self._free = light, 7 if known_radius else 8
        self._line, self._shape, self._guess = line, shape, shape
        self._memory = NoiseMemory(light.variance_per_count, light.read_variance, kernel.CORRELATED)
        self._frame: WireFrame | None = None
        self._tables: Array = np.empty(0)
        self._work: Array = np.empty(0)
        self._prior: Array = np.empty(0)
        self._limits: Array = np.empty(0)
        self._out: tuple[Array, Array, Array, Array] = (np.empty(0),) * 4
        self._theta = np.zeros(8)
        self._sought = True  # the place is only guessed

    def update(self, window: NDArray[Any]) -> Fitted | str:
        """The wire in the next image, or in a few words why there is none."""
        found = self._follow(window)
        if isinstance(found, str) or (found.usual > COVERED and found.covered == 0.0):
            self._sought = True
            again = self._follow(window)
            if isinstance(again, str):
                self._sought = True
                return again if isinstance(found, str) else found
            return again
        return found

    def _follow(self, window: NDArray[Any]) -> Fitted | str:
        if self._sought:
            missing = self._seek(window)
            if missing:
                return missing
            self._sought = False
        used = np.ones(0, dtype=bool)
        for _ in range(ATTEMPTS):
            frame = self._framed()
            if frame.empty:
                return "left the window"
            data, top = frame.sums(window)
            if len(used) != frame.stretches:
                used = self._uncovered(data, frame.stretches)
            chi2, count, rounds, inverse = kernel.fit(
                data, self._tables, self._theta, self._prior, self._memory.variance, self._limits, self._free, 8, used,
                self._work, self._out,
            )  # fmt: skip
            if not math.isfinite(chi2):
                self._theta[:] = 0.0
                self._frame = None
                return "holds values that are no numbers"
            if self._moved() or self._reshaped(inverse if rounds else None) or not rounds:
                continue
            usual = self._memory.dispersion if self._memory.images else math.inf
            if kernel.uncover(self._out[2], used, usual, COVERED, WORST):
                if np.count_nonzero(used) * 4 < len(used):
                    return "crossed by something"
                continue
            return self._told(frame, data, used, chi2, count, inverse, top)
        return (
            "left the window" if self._inside(self._line, self._shape.radius) < WHOLE else "does not look like a wire"
        )

    def _uncovered(self, data: Sums, stretches: int) -> NDArray[np.bool_]:
        """Stretches that look as before; all of them where most don't, for then the wire has moved."""
        used = np.ones(stretches, dtype=bool)
        if self._memory.images:
            kernel.score(
                data, self._tables, self._theta, self._memory.variance, self._free, used, self._work, self._out
            )
            if 2 * kernel.uncover(self._out[2], used, self._memory.dispersion, COVERED, 0.0) > stretches:
                used[:] = True
        return used

    def _framed(self) -> WireFrame:
        if self._frame is None:
            columns = self._light.flat.shape[1]
            half = int(min(math.ceil(self._shape.radius + 5.0 * self._shape.blur) + WINGS, columns))
            self._frame = frame = WireFrame(self._line, half, self._light)
            self._work = np.zeros((kernel.ROWS_OF_WORK, 2 * half + 1))
            self._out = (
                np.zeros((8, 8)), np.zeros(8), np.zeros((frame.stretches, 2)), np.zeros(kernel.CORRELATED + 1)
            )  # fmt: skip
            self._tabulate()
        return self._frame

    def _tabulate(self) -> None:
        """Tables of the present shape, and what depends on it: how far they serve, and the prior seen from it."""
        half = self._frame.half if self._frame is not None else 1
        self._tables = table(self._shape, half)
        sharp = min(max(self._shape.blur, 0.5) / self._shape.radius, 1.0)
        self._limits = np.vstack([LIMITS, TINY])
        self._limits[:, kernel.RADIUS] *= sharp
        self._limits[1, kernel.PLACE] *= min(self._shape.blur, 1.0)
        self._limits[1, kernel.ACROSS] /= half
        self._believe()

    def _believe(self) -> None:
        """The prior, seen from the shape that the tables have."""
        half = self._frame.half if self._frame is not None else 1
        self._prior = np.zeros((2, 8))
        now = (self._shape.depth, self._shape.blur, self._shape.radius)
        first = (self._guess.depth, self._guess.blur, self._guess.radius)
        width = STEADY if self._memory.images else LOOSE
        for k, (loose, a, b) in enumerate(zip(width, first, now, strict=True)):
            self._prior[:, kernel.DEPTH + k] = math.log(a / b), 1.0 / loose**2
        self._prior[1, kernel.ACROSS], self._prior[1, kernel.ALONG] = (2.0 * half) ** 2, 4.0

    def _moved(self) -> bool:
        """Put the frame where the wire is, if it has left it; whether it was."""
        theta, rows = self._theta, self._light.flat.shape[0]
        if abs(theta[kernel.PLACE]) < 1.5 and abs(theta[kernel.TILT]) < 0.5:
            return False
        slope = self._line.slope + theta[kernel.TILT] / max((rows - 1) / 2.0, 1.0)
        self._line = Line(float(self._line.place + theta[kernel.PLACE]), float(min(max(slope, -1.0), 1.0)))
        theta[kernel.PLACE] = theta[kernel.TILT] = 0.0
        self._frame = None
        return True

    def _reshaped(self, inverse: Array | None) -> bool:
        """Make the tables anew if the shape has changed by more than they follow; whether it has.

        They are linear in the change, which is good enough for some σ of the noise or some percent, whichever is more.
        """
        change = self._theta[kernel.DEPTH :]
        tolerance = NEAR * self._limits[0, kernel.DEPTH :] / LIMITS[kernel.DEPTH :]
        if inverse is not None:
            noise = 3.0 * np.sqrt(np.diagonal(inverse)[kernel.DEPTH :] * max(self._memory.scale_of_mean, 1e-12))
            tolerance[: len(noise)] = np.maximum(tolerance[: len(noise)], noise)
        most = 0.999 * self._limits[0, kernel.DEPTH :]
        if (np.abs(change) < np.minimum(tolerance, most)).all():
            return False
        s = self._shape
        depth, blur, radius = (float(x) for x in np.exp(change))
        self._shape = Shape(
            min(max(s.depth * depth, 1e-4), 50.0), min(max(s.blur * blur, 0.05), 1e3), min(max(s.radius * radius,
            0.05), 1e4)
        )  # fmt: skip
        change[:] = 0.0
        self._tabulate()
        return True

    def _told(
        self, frame: WireFrame, data: Sums, used: NDArray[np.bool_], chi2: float, count: int, inverse: Array, top: float
    ) -> Fitted:
        free, theta, information = self._free, self._theta, self._out[0]
        degrees = max(count - free, 1)
        usual = chi2 / degrees / self._memory.dispersion if self._memory.images else 1.0
        covered = 1.0 - np.count_nonzero(used) / len(used)
        if usual < COVERED:
            self._memory.take(chi2, degrees, self._out[3])
            self._remember()
        scale = self._memory.scale(chi2 / degrees, degrees)
        cov = scale * inverse
        if self._memory.correlated:
            middle = kernel.spread(
                data, self._tables, theta, self._memory.variance, free, used, self._work, self._memory.correlation
            )
            cov += scale * (inverse @ middle @ inverse)
        rows = self._light.flat.shape[0]
        arm = max((rows - 1) / 2.0, 1.0)
        line = Line(float(self._line.place + theta[kernel.PLACE]), float(self._line.slope + theta[kernel.TILT] / arm))
        depth, blur, radius = np.exp(theta[kernel.DEPTH :]) * (self._shape.depth, self._shape.blur, self._shape.radius)
        own = math.sqrt(max(blur**2 - frame.smear, 1e-4))
        middle_at = frame.half + MARGIN
        by_shape = self._tables[BY_DEPTH:, 0, middle_at]
        dip = 1.0 - (self._tables[VALUE, 0, middle_at] + by_shape @ theta[kernel.DEPTH :])
        part = by_shape[: free - kernel.DEPTH]
        return Fitted(
            line,
            Shape(float(depth), own, float(radius)),
            float(dip),
            math.sqrt(cov[kernel.PLACE, kernel.PLACE]),
            math.sqrt(cov[kernel.TILT, kernel.TILT]) / arm,
            cov[kernel.PLACE, kernel.TILT] / arm,
            math.sqrt(cov[kernel.BLUR, kernel.BLUR]) * blur**2 / own,
            math.sqrt(part @ cov[kernel.DEPTH :, kernel.DEPTH :] @ part),
            chi2 / degrees if self._memory.stated else math.nan,
            chi2 / degrees,
            usual,
            math.sqrt(information[kernel.DEPTH, kernel.DEPTH] / scale),
            covered,
            self._inside(line, radius),
            top,
        )

    def _inside(self, line: Line, radius: float) -> float:
        """Part of the shadow that lies in the window."""
        rows, columns = self._light.flat.shape
        column = line.place + line.slope * (rows - 1) / 2.0 * ALONG_IT
        overlap = np.minimum(column + radius, columns - 0.5) - np.maximum(column - radius, -0.5)
        return float(np.clip(overlap / (2.0 * radius), 0.0, 1.0).mean())

    def _remember(self) -> None:
        """Shapes so far, as the prior of the next image."""
        weight = 1.0 / min(self._memory.images, SHAPES)
        now = np.exp(self._theta[kernel.DEPTH :])
        old, s = self._guess, self._shape
        self._guess = Shape(
            *(
                math.exp((1.0 - weight) * math.log(a) + weight * math.log(b * c))
                for a, b, c in zip(
                    (old.depth, old.blur, old.radius), (s.depth, s.blur, s.radius), now.tolist(), strict=True
                )
            )
        )
        self._believe()

    def _seek(self, window: NDArray[Any]) -> str:
        """Find the wire across the whole window, at its slope and shape; in words when it isn't there."""
        columns = self._light.flat.shape[1]
        frame = WireFrame(self._line, columns, self._light)
        if frame.empty:
            self._line = Line((columns - 1) / 2.0, self._line.slope)
            frame = WireFrame(self._line, columns, self._light)
        (counts, light, _, _, _, _), _ = frame.sums(window)
        total, lit = counts.sum(axis=0), light.sum(axis=0)
        here = lit > 0.25 * lit.max(initial=0.0)
        if not np.isfinite(total).all() or not here.any():
            return "left the window"
        bright = np.where(here, total / np.where(here, lit, 1.0), 0.0)
        level = np.median(bright[here])
        if not level > 0:
            return "drowned in noise"
        dark = np.where(here, 1.0 - bright / level, 0.0)
        reach = math.ceil(self._shape.radius + 3.0 * self._shape.blur + 1.0)
        dip = 1.0 - shadow(np.arange(-reach, reach + 1.0), self._shape)[0]
        # a shadow's depth at every place, with the brightness around it free
        n = len(dip)
        centred = dip - dip.mean()
        strength = np.correlate(dark, centred, mode="same") / float(centred @ centred)
        strength[~here] = 0.0
        residual = np.diff(dark[here])
        spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual)))) / math.sqrt(2.0)
        best = int(np.argmax(strength)) if n <= len(strength) else 0
        norm, least = math.sqrt(float(centred @ centred)), FOUND * max(spread, 1e-9)
        if not strength[best] * norm > max(least, FAINT * norm):
            return "left the window" if norm > least else "drowned in noise"
        self._line = Line(self._line.place + best - frame.half, self._line.slope)
        self._frame = None
        self._theta[:] = 0.0
        self._theta[kernel.LEVEL] = math.log(level)
        return ""
