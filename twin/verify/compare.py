"""Edges of several reconstructions of one box, measured in the same places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging.edge_patch import CLUTTER, CLUTTERED, EdgePatch, alike, edge_patch
from models.imaging.edge_places import FACE, EdgePlace, Gradient, edge_places
from models.imaging.edge_stack import StackedEdge, stacked_edge
from models.imaging.volume import Volume

HALF_PX = 8.0  # half width of a patch across the normal
PLACES = 4  # of one orientation, at most


@dataclass(frozen=True, slots=True)
class Oriented:
    """Edges of one orientation.

    Attributes
    ----------
    orientation : int
        As :class:`models.imaging.edge_places.EdgePlace`.
    places : tuple of EdgePlace
        Where they were measured, in every reconstruction.
    found : mapping of name to StackedEdge or None
        None where a reconstruction shows no edge in any of the places.
    """

    orientation: int
    places: tuple[EdgePlace, ...]
    found: Mapping[str, StackedEdge | None]

    @property
    def looks_deg(self) -> float:
        """Mean direction of the outward normals, 0 … 360; ``nan`` for faces."""
        if self.orientation == FACE:
            return float("nan")
        turn = np.exp(1j * np.deg2rad([place.looks_deg for place in self.places]))
        return float(np.rad2deg(np.angle(turn.mean())) % 360.0)

    @property
    def words(self) -> str:
        """In words."""
        return "along the axis" if self.orientation == FACE else f"{round(self.looks_deg) % 360} deg"


def compare(
    volumes: Mapping[str, Volume],
    reach_px: float,
    search_px: float,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Oriented, ...]:
    """Find edges in the sharpest of the volumes and measure them in all.

    A place counts only where every volume shows the edge. Each volume's edge is fitted by itself, since a drift that isn't
    corrected also displaces and bends.

    Parameters
    ----------
    reach_px : float
        Distance along the normal that is looked at, to either side [px].
    search_px : float
        How far an edge may lie elsewhere in another volume.
    """
    gradients = {name: Gradient.of(volume) for name, volume in volumes.items()}
    finder = max(gradients, key=lambda name: gradients[name].energy)
    out = []
    for orientation in range(FACE + 1):
        rows: list[dict[str, EdgePatch | None]] = []
        for first in _clean(volumes[finder], gradients[finder], orientation, reach_px):
            rows.append({
                name: first if name == finder else _same(volume, first, reach_px, search_px)
                for name, volume in volumes.items()
            })  # fmt: skip
            if sum(all(row.values()) for row in rows) == PLACES:
                break
        if rows:
            complete = [row for row in rows if all(row.values())]
            out.append(_stacked(orientation, complete or rows[:PLACES], volumes, reach_px))
        progress((orientation + 1) / (FACE + 1))
    return tuple(out)


def _clean(volume: Volume, gradient: Gradient, orientation: int, reach_px: float) -> list[EdgePatch]:
    """Edges of one orientation, those with even plateaus first; the others only where there are no such."""
    found = [
        patch
        for place in edge_places(volume, gradient, orientation, reach_px, HALF_PX)
        if (patch := edge_patch(volume, place, reach_px, HALF_PX, 0.0)) is not None and patch.clutter < CLUTTERED
    ]
    found.sort(key=lambda patch: patch.clutter)
    return [patch for patch in found if patch.clutter < CLUTTER] or found


def _same(volume: Volume, first: EdgePatch, reach_px: float, search_px: float) -> EdgePatch | None:
    found = edge_patch(volume, first.place, reach_px, HALF_PX, search_px)
    return found if found is not None and alike(first, found) else None


def _stacked(
    orientation: int, rows: list[dict[str, EdgePatch | None]], volumes: Mapping[str, Volume], reach_px: float
) -> Oriented:
    found: dict[str, StackedEdge | None] = {}
    places: tuple[EdgePlace, ...] = ()
    for name in volumes:
        patches = [patch for row in rows if (patch := row[name]) is not None]
        found[name] = stacked_edge(patches, reach_px) if patches else None
        places = max(places, tuple(patch.place for patch in patches), key=len)
    return Oriented(orientation, places, found)


def reach_of(shift_px: Array, size: tuple[float, float]) -> float:
    """Reach that takes in a blur as wide as the drift, as far as a box allows [px].

    Examples
    --------
    >>> reach_of(np.array([[0.0, 0.0], [6.0, -1.0]]), (96.0, 48.0))
    12.0
    """
    return float(min(9.0 + 0.5 * np.ptp(shift_px, axis=0).max(), 0.25 * size[0], 0.4 * size[1]))
