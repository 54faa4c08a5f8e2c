"""Where the modulation of edges in a reconstruction falls to 10 %: of a disk's rim in wedges, and of a face along the axis.

In the manner of ASTM E1695: voxels by their distance to the edge, the mean in narrow bins, its derivative, its Fourier
modulus. Shares no code with the product.
"""

from __future__ import annotations

import numpy as np

BIN, REACH = 0.1, 9.0  # px; distances in detector pixels at the axis


def mtf10(distance: np.ndarray, value: np.ndarray, reach: float = REACH) -> float:
    """First frequency [cycles per unit of distance] where the edge's modulation is 10 %.

    The plateaus' slopes (streaks, cupping) are taken off before; the derivative is that of the mean over bins, whose own
    aperture and difference are divided out.
    """
    edges = np.arange(-reach, reach + BIN / 2, BIN)
    count, _ = np.histogram(distance, edges)
    total, _ = np.histogram(distance, edges, weights=value)
    where, _ = np.histogram(distance, edges, weights=distance)
    seen = count > 0
    x, y = where[seen] / count[seen], total[seen] / count[seen]
    grid = 0.5 * (edges[1:] + edges[:-1])
    response = np.interp(grid, x, y)
    ends = np.abs(grid) > 0.66 * reach
    side = np.sign(grid[ends])
    base = np.stack([np.ones(ends.sum()), side, grid[ends]], axis=1)
    fit = np.linalg.lstsq(base, response[ends], rcond=None)[0]
    response = response - fit[2] * grid
    spread = np.diff(response) * np.hanning(len(response) + 1)[1:-1] ** 0.25
    at = grid[:-1] + BIN / 2
    f = np.linspace(0.0, 0.6, 1201)
    modulus = np.abs(np.exp(-2j * np.pi * np.outer(f, at)) @ spread) / abs(spread.sum())
    modulus[1:] /= np.sinc(f[1:] * BIN) ** 2
    below = np.flatnonzero(modulus < 0.1)
    if not below.size:
        return float(f[-1])
    k = int(below[0])
    return float(f[k - 1] + (modulus[k - 1] - 0.1) / (modulus[k - 1] - modulus[k]) * (f[k] - f[k - 1]))


def place(distance: np.ndarray, value: np.ndarray, reach: float = REACH) -> float:
    """Where an edge is: half height between the plateaus."""
    near = np.abs(distance) < reach
    order = np.argsort(distance[near])
    x, y = distance[near][order], value[near][order]
    inner, outer = np.median(y[x < -0.6 * reach]), np.median(y[x > 0.6 * reach])
    part = np.clip((y - outer) / (inner - outer), -0.5, 1.5)
    # the mean of the part inside is where a step would be
    bins = np.arange(-0.6 * reach, 0.6 * reach, 0.25)
    index = np.digitize(x, bins)
    mean = np.array([part[index == k].mean() if (index == k).any() else np.nan for k in range(1, len(bins))])
    return float(bins[0] + 0.25 * np.nansum(mean))


def rim(
    slices: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    radius: float,
    normals_deg: np.ndarray,
    half_wedge_deg: float = 10.0,
) -> np.ndarray:
    """MTF10 of a disk's rim at each normal [cycles per unit of x]; the disk's middle is found first.

    Parameters
    ----------
    slices : (S, Z, X) array
        Slices through a cylinder.
    x, z : (X,) and (Z,) arrays
        Coordinates from where the cylinder's middle should be.
    """
    mean = slices.mean(axis=0)
    zz, xx = np.meshgrid(z, x, indexing="ij")
    middle = np.zeros(2)
    for _ in range(3):
        away, angle = np.hypot(xx - middle[0], zz - middle[1]), np.arctan2(zz - middle[1], xx - middle[0])
        offsets, rows = [], []
        for normal in np.deg2rad(np.arange(0.0, 360.0, 15.0)):
            near = (np.abs((angle - normal + np.pi) % (2 * np.pi) - np.pi) < np.deg2rad(7.5)) & (
                np.abs(away - radius) < REACH
            )
            offsets.append(place(away[near] - radius, mean[near]))
            rows.append([np.cos(normal), np.sin(normal), 1.0])
        step = np.linalg.lstsq(np.array(rows), np.array(offsets), rcond=None)[0]
        middle = middle + step[:2]
    out = []
    for normal in np.deg2rad(normals_deg):
        near = (np.abs((angle - normal + np.pi) % (2 * np.pi) - np.pi) < np.deg2rad(half_wedge_deg)) & (
            np.abs(away - radius) < REACH + 2.0
        )
        distance = away[near] - radius
        out.append(mtf10(distance - place(distance, mean[near]), mean[near]))
    return np.array(out)


def face(block: np.ndarray, y: np.ndarray) -> float:
    """MTF10 of a face across the axis in a (Z, Y, X) block; y from where it should be."""
    profile = block.mean(axis=(0, 2))
    distance = y - place(y, profile)
    return mtf10(distance, profile)
