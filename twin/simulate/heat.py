"""Heat conduction along bars by finite differences, and the expansion it causes; masses that are warm all through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.signal import lfilter

Array = NDArray[np.float64]

# Alexander's two-stage method (SIAM J. Numer. Anal. 14, 1977): order 2 and L-stable, so a door that opens between two
# steps makes no ringing however fine the cells are, as Crank-Nicolson would.
GAMMA = 1.0 - 1.0 / np.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class Conduction:
    """Heat equation of a bar with three surroundings: at its foot, at its head, and along its side.

    ``dT/dt = D d2T/dx2 + (T_side - T)/tau_side``, at an end ``D dT/dn = (L/tau_end)(T_end - T)`` with outward n;
    ``tau = rho c L / h`` is the time constant the whole bar would have through that contact alone.

    Parameters
    ----------
    length_m : float
    diffusivity : float
        D [m²/s].
    cells : int
        Cells of equal size (finite volumes; error of second order in the cell).
    foot_s, head_s, side_s : float or None
        tau of each contact [s]; 0 at an end is a perfect contact, None no contact.
    """

    length_m: float
    diffusivity: float
    cells: int
    foot_s: float | None
    head_s: float | None
    side_s: float | None

    def _system(self) -> tuple[Array, Array]:
        """Tridiagonal matrix in banded form (3, n) [1/s] and the coupling to the surroundings (n, 3) [1/s]."""
        dx = self.length_m / self.cells
        exchange = self.diffusivity / dx**2
        band = np.zeros((3, self.cells))
        band[0, 1:] = exchange
        band[2, :-1] = exchange
        band[1] = -2.0 * exchange
        band[1, [0, -1]] = -exchange
        inlet = np.zeros((self.cells, 3))
        for column, cell, tau in ((0, 0, self.foot_s), (1, -1, self.head_s)):
            if tau is not None:  # half a cell of bar and the film in series
                inlet[cell, column] = 1.0 / (dx * (0.5 * dx / self.diffusivity + tau / self.length_m))
        if self.side_s is not None:
            inlet[:, 2] = 1.0 / self.side_s
        band[1] -= inlet.sum(axis=1)
        return band, inlet

    def run(self, surroundings: Array, dt: float) -> Array:
        """Temperature of every cell over time.

        Parameters
        ----------
        surroundings : (K, 3) array
            Temperatures at foot, head and side [K], linear between steps; columns without contact are ignored.
        dt : float
            Step [s].

        Returns
        -------
        (K, cells) array
            Temperatures [K], beginning in the steady state of the first row.

        Examples
        --------
        >>> bar = Conduction(0.1, 4e-6, 20, foot_s=0.0, head_s=None, side_s=None)
        >>> step = np.ones((3601, 3)); step[0] = 0.0
        >>> bar.run(step, 10.0)[-1].round(3).max()
        np.float64(1.0)
        """
        band, inlet = self._system()
        n = self.cells
        full = np.diag(band[1]) + np.diag(band[0, 1:], 1) + np.diag(band[2, :-1], -1)
        implicit = -GAMMA * dt * band
        implicit[1] += 1.0

        def solve(right: Array) -> Array:
            return np.asarray(solve_banded((1, 1), implicit, right))

        # one step as a linear map of (cells, surroundings before, surroundings after), built column by column
        start = np.hstack([np.eye(n), np.zeros((n, 6))])
        before = np.hstack([np.zeros((n, n)), inlet, np.zeros((n, 3))])
        after = np.hstack([np.zeros((n, n + 3)), inlet])
        k1 = solve(full @ start + (1.0 - GAMMA) * before + GAMMA * after)
        k2 = solve(full @ (start + (1.0 - GAMMA) * dt * k1) + after)
        step = start + dt * ((1.0 - GAMMA) * k1 + GAMMA * k2)

        drive = surroundings[:-1] @ step[:, n : n + 3].T + surroundings[1:] @ step[:, n + 3 :].T
        cells = np.empty((len(surroundings), n))
        cells[0] = solve_banded((1, 1), band, -inlet @ surroundings[0])
        keep = np.ascontiguousarray(step[:, :n])
        for k in range(len(drive)):
            np.dot(keep, cells[k], out=cells[k + 1])
            cells[k + 1] += drive[k]
        return cells


def expansion_m(cells: Array, expansion_per_k: float, length_m: float, reference_k: float) -> Array:
    """Growth of a bar, the integral of ``alpha (T - T_ref)`` along it [m].

    Examples
    --------
    >>> float(round(expansion_m(np.full((1, 5), 301.0), 23e-6, 0.1, 300.0)[0] * 1e6, 3))
    2.3
    """
    return np.asarray(expansion_per_k * length_m * (cells.mean(axis=1) - reference_k))


def follow(driver: Array, time_constant_s: float, dt: float) -> Array:
    """First-order lag ``tau dT/dt = T_driver - T``, exact for a driver that is linear between steps; starts settled.

    Examples
    --------
    >>> follow(np.array([0.0, 1.0, 1.0]), 1e-9, 1.0).round(6).tolist()
    [0.0, 1.0, 1.0]
    """
    if time_constant_s <= 0:
        return driver.copy()
    ratio = dt / time_constant_s
    decay = np.exp(-ratio)
    mean = -np.expm1(-ratio) / ratio
    new, old = 1.0 - mean, mean - decay
    rest = driver - driver[0]
    return np.asarray(lfilter([new, old], [1.0, -decay], rest) + driver[0])
