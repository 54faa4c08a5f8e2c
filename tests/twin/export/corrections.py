"""Corrections to export, with everything moving at once and no two motions alike."""

from __future__ import annotations

import numpy as np

from models.correction import Correction
from models.geometry import CONVENTION, ConeBeam
from tests.twin.export.independent_projector import COLUMNS, PIXEL, ROWS, SDD, SOD
from twin.export import Setup

POSE = ConeBeam(SOD * 1e-3, SDD * 1e-3, PIXEL * 1e-3)


def setup(projections=0):
    return Setup(POSE, COLUMNS, ROWS, projections)


def correction(count=12, seed=1, sense=1.0, still=(), scan="scan 7"):
    """Drifts of tens of µm on source, object and detector along u, v, w; ``still`` names bodies that stay."""
    rng = np.random.default_rng(seed)
    moves = {
        body: np.zeros((count, 3)) if body in still else np.cumsum(rng.normal(0, scale, (count, 3)), axis=0)
        for body, scale in (("source", 30.0), ("object", 20.0), ("detector", 40.0))
    }
    for body in moves.values():
        body -= body[0]
    s, o, d = (moves[body] * 1e-6 for body in ("source", "object", "detector"))
    return Correction(
        scan=scan,
        projection=np.arange(count),
        time=1.7e9 + 7.3 * np.arange(count),
        angle_deg=sense * np.linspace(0, 330, count),
        source_um=moves["source"],
        object_um=moves["object"],
        detector_um=moves["detector"],
        shift_px=POSE.content_shift_px(s, o, d),
        magnification=POSE.magnification_ratio(s, o, d),
        flux=1 + 0.01 * rng.normal(size=count),
        **{f"{body}_um_std": rng.uniform(0.1, 1, (count, 3)) for body in moves},
        shift_px_std=rng.uniform(0.01, 0.1, (count, 2)),
        magnification_std=rng.uniform(1e-6, 1e-5, count),
        flux_std=rng.uniform(1e-4, 1e-3, count),
        convention=CONVENTION,
        provenance=(("configuration", "0123456789abcdef"), ("inputs", "readings.csv --- µ")),
    )
