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
EVEN = 0.1  # relative σ below which all edges count alike
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
        """Half-pitch that ctwin predicts for edges in these places [µm]; ``nan`` for less than a whole turn."""
        field = "uncorrected_um" if name == WITHOUT else "corrected_um"
        if not self.predicted.edges:
            return math.nan
        return float(np.mean([predicted_at(self.predicted.edges, p, self.unit_um, field) for p in edge.places]))

    def gain(self, name: str = WITH) -> tuple[float, float]:
        """MTF10 over that without correction, weighted geometric mean of the orientations, and its σ; ``nan`` without any.

        An edge that is drawn double has a modulation that touches 10 % more than once: such a figure has a large σ and so
        little weight. No edge counts more than one known to ``EVEN``.
        """
        logs, weights, variances = [], [], []
        for edge in self.edges:
            (one, one_std), (other, other_std) = self.mtf10(edge, WITHOUT), self.mtf10(edge, name)
            if one > 0 and other > 0 and math.isfinite(one_std + other_std):
                logs.append(math.log(other / one))
                variances.append((one_std / one) ** 2 + (other_std / other) ** 2)
                weights.append(1.0 / (variances[-1] + EVEN**2))
        if not logs:
            return math.nan, math.nan
        weight = np.array(weights) / np.sum(weights)
        ratio = math.exp(float(weight @ np.array(logs)))
        return ratio, ratio * math.hypot(math.sqrt(float(weight**2 @ np.array(variances))), SYSTEMATIC)

    def told(self, name: str) -> int:
        """Number of orientations whose MTF10 is told."""
        return sum(math.isfinite(self.mtf10(edge, name)[0]) for edge in self.edges)

    @property
    def worse(self) -> bool:
        """Whether the corrected reconstruction is less sharp than the other beyond error, or shows no edge and that does."""
        ratio, sigma = self.gain()
        if math.isfinite(ratio):
            return ratio < 1.0 - SURE * sigma
        return self.told(WITHOUT) > self.told(WITH)


def predicted_at(edges: tuple[Edge, ...], place: EdgePlace, unit_um: float, field: str) -> float:
    """Prediction for an edge, between those of the rims of disks about the axis [µm].

    An edge is taken for the rim of that disk which it touches: the same rays run along it. A line is the same line seen
    from its other side, so a normal that points towards the axis is turned over.

    Examples
    --------
    >>> from types import SimpleNamespace as Rim
    >>> rims = [Rim(normal_deg=45.0 * k, radius_mm=r, uncorrected_um=1.0 + k) for r in (0.1, 0.2) for k in range(8)]
    >>> inward = EdgePlace(1, np.array([0.0, 0.0, 100.0]), np.array([0.0, 0.0, 1.0]))
    >>> predicted_at((*rims,), inward, 1.0, "uncorrected_um")
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
