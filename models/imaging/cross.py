"""Two crossed wires: their crossing is a point, which one wire is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.imaging.fix import SUSPECT_SIGMA_PX, Fix, Verdict
from models.imaging.light import Light
from models.imaging.wire import WireGuess, WireTracker
from models.imaging.wire_fit import Fitted
from models.imaging.wire_frame import Line


def crossing(column: Line, row: Line, shape: tuple[int, int]) -> tuple[float, float]:
    """Where a line across the rows meets one across the columns, (u, v) [px].

    Parameters
    ----------
    column : Line
        ``u`` over the rows, counted from the middle row.
    row : Line
        ``v`` over the columns, counted from the middle column.
    shape : (int, int)
        Rows and columns.

    Examples
    --------
    >>> crossing(Line(30.0, 0.1), Line(40.0, 0.0), (101, 81))
    (29.0, 40.0)
    """
    middle_v, middle_u = (shape[0] - 1) / 2.0, (shape[1] - 1) / 2.0
    v = (row.place + row.slope * (column.place - column.slope * middle_v - middle_u)) / (1.0 - row.slope * column.slope)
    return column.place + column.slope * (v - middle_v), v


class CrossTracker:
    """Follows two crossed wires; fulfils :class:`models.imaging.fix.Tracker`.

    Each wire is fitted as :class:`models.imaging.wire.WireTracker` does; the stretch where the other one crosses it
    doesn't look like a wire and is left out. ``u`` and ``v`` are the crossing in the window's columns and rows.

    Parameters
    ----------
    guesses : (WireGuess, WireGuess)
        One wire that runs along columns and one along rows (``flat``), in either order.
    light : Light
    diameter_px : float, optional
        Known diameter of both shadows [px].

    Notes
    -----
    Two wires behind each other at different distances from the source magnify the source's drift differently: then
    the crossing moves by each wire's own lever, u with the one along columns and v with the one along rows. Wires
    that make less than some 60° with each other shadow each other's surroundings over most of the window, and then
    little of them is left.
    """

    suffixes = ("u", "v", "angle", "blur", "contrast")

    def __init__(self, guesses: tuple[WireGuess, WireGuess], light: Light, *, diameter_px: float | None = None) -> None:
        if guesses[0].flat == guesses[1].flat:
            raise ModelError("a cross needs one wire along the columns and one along the rows of its window")
        column, row = sorted(guesses, key=lambda g: g.flat)
        self._column = WireTracker(column, light, diameter_px=diameter_px)
        self._row = WireTracker(row, light, diameter_px=diameter_px)
        self._shape = light.flat.shape

    def look(self, window: NDArray[Any], angle_deg: float = math.nan) -> Fix:  # noqa: ARG002 (trackers share arguments)
        """Measure both wires in the next image, and where they cross."""
        column, row = self._column.measure(window), self._row.measure(window)
        for wire, name in ((column, "wire along the columns"), (row, "wire along the rows")):
            if isinstance(wire, str):
                return Fix.lost(f"{name}: {wire}")
        if isinstance(column, str) or isinstance(row, str):
            return Fix.lost("no cross")
        return self._fix(column, row)

    def _fix(self, column: Fitted, row: Fitted) -> Fix:
        rows, columns = self._shape
        u, v = crossing(column.line, row.line, (rows, columns))
        if not (-0.5 <= u <= columns - 0.5 and -0.5 <= v <= rows - 0.5):
            return Fix.lost("left the window")
        # u = a + b (v - mid_v), v = c + d (u - mid_u): from the four parameters to the point
        b, d = column.line.slope, row.line.slope
        across, along = v - (rows - 1) / 2.0, u - (columns - 1) / 2.0
        jacobian = np.array([[1.0, across, b, b * along], [d, d * across, 1.0, along]]) / (1.0 - b * d)
        cov = np.zeros((4, 4))
        cov[:2, :2], cov[2:, 2:] = _covariance(column), _covariance(row)
        point = jacobian @ cov @ jacobian.T
        cosine = 1.0 / math.hypot(1.0, b)
        weights = [1.0 / one.sigma_blur**2 for one in (column, row)]
        blur = (column.shape.blur * cosine * weights[0] + row.shape.blur * weights[1] / math.hypot(1.0, d)) / sum(
            weights
        )
        values = {
            "u": u, "v": v, "angle": WireGuess(column.line, column.shape).angle_deg, "blur": blur,
            "contrast": 0.5 * (column.contrast + row.contrast),
        }  # fmt: skip
        sigma = {
            "u": math.sqrt(point[0, 0]), "v": math.sqrt(point[1, 1]),
            "angle": math.degrees(column.sigma_slope * cosine**2), "blur": 1.0 / math.sqrt(sum(weights)),
            "contrast": 0.5 * math.hypot(column.sigma_contrast, row.sigma_contrast),
        }  # fmt: skip
        reason = ""
        if max(sigma["u"], sigma["v"]) > SUSPECT_SIGMA_PX:
            reason = "too few counts"
        elif max(column.covered, row.covered) > 0.5:
            reason = "half covered"
        return Fix(values, sigma, max(column.misfit, row.misfit), Verdict.SUSPECT if reason else Verdict.GOOD, reason)


def _covariance(wire: Fitted) -> Array:
    """Covariance of a wire's place and slope."""
    return np.array([[wire.sigma_place**2, wire.covariance], [wire.covariance, wire.sigma_slope**2]])
