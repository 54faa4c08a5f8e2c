"""What a comparison of reconstructions says: per orientation, on the whole, and beside what was predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.imaging.edge_places import FACE, EdgePlace
from models.imaging.volume import Volume
from twin.correct import Predicted
from twin.edges import Edge
from twin.verify.box import Box
from twin.verify.compare import Oriented

WITHOUT, WITH, SHIFT = "without", "with", "shift"
SYSTEMATIC = 0.01  # of a ratio of two MTF10: voxels, bins, tapers (checked on edges that are known)
SURE = 2.0  # σ


@dataclass(frozen=True, slots=True)
class Verified:
    """A scan's box, reconstructed in several ways.

    Attributes
    ----------
    scan : str
    box : Box
    unit_um : float
        A detector pixel at the axis [µm]: what lengths in px are of.
    volumes : mapping of name to Volume
        ``without`` and ``with`` correction, and with the shift alone where it was asked for.
    edges : tuple of Oriented
    predicted : Predicted
    """

    scan: str
    box: Box
    unit_um: float
    volumes: Mapping[str, Volume]
    edges: tuple[Oriented, ...]
    predicted: Predicted

    def mtf10(self, edge: Oriented, name: str) -> tuple[float, float]:
        """First frequency of 10 % modulation and its σ [lp/mm]; ``nan`` where there is none."""
        found = edge.found[name]
        if found is None:
            return math.nan, math.nan
        per_mm = 1e3 / self.unit_um
        return found.mtf10[0] * per_mm, found.mtf10[1] * per_mm

    def half_pitch_um(self, edge: Oriented, name: str) -> float:
        """Half-pitch at 10 % MTF [µm]."""
        return 500.0 / self.mtf10(edge, name)[0]

    def width_um(self, edge: Oriented, name: str) -> float:
        """Edge width from 10 to 90 % [µm]."""
        found = edge.found[name]
        return math.nan if found is None else found.width_10_90 * self.unit_um

    def predicted_um(self, edge: Oriented, name: str) -> float:
        """Half-pitch that ctwin predicts for edges in these places [µm]; the shift's is that of the correction."""
        field = "uncorrected_um" if name == WITHOUT else "corrected_um"
        if not self.predicted.edges:  # less than a whole turn
            return float(getattr(self.predicted, field))
        return float(np.mean([predicted_at(self.predicted.edges, p, self.unit_um, field) for p in edge.places]))

    def gain(self, name: str = WITH) -> tuple[float, float]:
        """MTF10 over that without correction, geometric mean of the orientations, and its σ; ``nan`` without any."""
        logs, variances = [], []
        for edge in self.edges:
            (one, one_std), (other, other_std) = self.mtf10(edge, WITHOUT), self.mtf10(edge, name)
            if one > 0 and other > 0 and math.isfinite(one_std + other_std):
                logs.append(math.log(other / one))
                variances.append((one_std / one) ** 2 + (other_std / other) ** 2)
        if not logs:
            return math.nan, math.nan
        ratio = math.exp(float(np.mean(logs)))
        return ratio, ratio * math.hypot(math.sqrt(sum(variances)) / len(logs), SYSTEMATIC)

    @property
    def worse(self) -> bool:
        """Whether the corrected reconstruction is less sharp than the other, beyond error."""
        ratio, sigma = self.gain()
        return ratio < 1.0 - SURE * sigma


def predicted_at(edges: tuple[Edge, ...], place: EdgePlace, unit_um: float, field: str) -> float:
    """Prediction for an edge, between those of the rims of disks about the axis [µm].

    An edge is taken for the rim of that disk which it touches: the same rays run along it. A line is the same line seen
    from its other side, so a normal that points towards the axis is turned over.

    Examples
    --------
    >>> rims = tuple(Edge(45.0 * k, r, 1.0, 1.0 + k, 1.0) for r in (0.1, 0.2) for k in range(8))
    >>> inward = EdgePlace(1, np.array([0.0, 0.0, 100.0]), np.array([0.0, 0.0, 1.0]))
    >>> predicted_at((*rims, Edge(np.nan, np.nan, 1.0, 9.0, 1.0)), inward, 1.0, "uncorrected_um")
    7.0
    """
    if place.orientation == FACE:
        return float(getattr(edges[-1], field))
    distance_mm = -float(place.place[[0, 2]] @ place.normal[[0, 2]]) * unit_um * 1e-3
    normal = place.looks_deg + (180.0 if distance_mm < 0 else 0.0)
    radii = sorted({e.radius_mm for e in edges if math.isfinite(e.radius_mm)})
    values = []
    for radius in radii:
        rim = [e for e in edges if e.radius_mm == radius]
        values.append(
            float(
                np.interp(normal % 360.0, [e.normal_deg for e in rim], [getattr(e, field) for e in rim], period=360.0)
            )
        )
    return float(np.interp(abs(distance_mm), radii, values))
