"""What a simulated scan gained, measured against its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.blur import tomogram_f10
from models.correction import Correction
from twin.assembly import Machine
from twin.budget import budget_of
from twin.simulate.run import Run
from twin.simulate.yardstick import residual, rms, yardstick


@dataclass(frozen=True, slots=True)
class Gain:
    """Numbers of a demonstration; resolution is half-pitch at 10 % MTF of the tomogram's worst edge [µm].

    ``uncorrected_um`` counts the true drift, ``corrected_um`` the true residual after correction. Residuals are rms over
    both components of the image shift without their mean (a common shift blurs nothing); in µm in the object plane.
    ``held`` of ``intervals``: 95 % intervals of the shift (u and v of every projection but the first) with the truth inside;
    ``apart_held`` of ``apart``: the same for source and object apart (u, v, w each), which one marker can't separate.
    """

    promised_um: float
    uncorrected_um: float
    corrected_um: float
    drift_px: tuple[float, float]
    marker_px: float
    residual_px: float
    residual_um: float
    knows_px: float
    knows_um: float
    held: int
    intervals: int
    apart_held: int
    apart: int
    truth: Correction


def gain_of(machine: Machine, correction: Correction, run: Run) -> Gain:
    """Compare a correction with the truth of its run."""
    true = run.truth
    left = residual(correction.shift_px, true.shift_px)
    knows = yardstick(run)
    budget, angle = budget_of(machine.config), np.deg2rad(true.angle_deg)
    to_um = float(machine.pose.object_plane_m(np.array(1.0))) * 1e6
    error = np.abs(correction.shift_px - true.shift_px)[1:]
    apart = np.concatenate([
        np.abs(ours - truth)[1:] <= 1.96 * std[1:] for ours, truth, std in (
            (correction.source_um, true.source_um, correction.source_um_std),
            (correction.object_um, true.object_um, correction.object_um_std),
        )
    ])  # fmt: skip
    inside = error <= 1.96 * correction.shift_px_std[1:]

    def half_pitch(shift_px: np.ndarray) -> float:
        return 0.5e6 / tomogram_f10(budget, np.asarray(machine.pose.object_plane_m(shift_px)), angle)

    nothing = np.zeros_like(true.shift_px)
    return Gain(
        half_pitch(nothing), half_pitch(true.shift_px), half_pitch(left),
        (float(np.ptp(true.shift_px[:, 0])), float(np.ptp(true.shift_px[:, 1]))), _marker_noise(run),
        rms(left), rms(left) * to_um, knows.rms_px, knows.rms_px * to_um, int(inside.sum()), inside.size,
        int(apart.sum()), apart.size,
        _truth(correction, run),
    )  # fmt: skip


def _marker_noise(run: Run) -> float:
    """Scatter of the marker's readings about the truth, outliers left out: rms of what a projection alone would give."""
    stated = [run.record.of(c.name) for c in run.config.channels if c.quantity == "marker_shift"]
    values = [r.sigma[~r.wrong] for r in stated]
    return float(np.sqrt(np.mean(np.concatenate(values) ** 2)))


def _truth(correction: Correction, run: Run) -> Correction:
    true = run.truth
    nothing = {name: np.zeros_like(getattr(correction, name)) for name in (
        "source_um_std", "object_um_std", "detector_um_std", "shift_px_std", "magnification_std", "flux_std",
    )}  # fmt: skip
    return Correction(
        correction.scan,
        correction.projection,
        correction.time,
        correction.angle_deg,
        true.source_um,
        true.object_um,
        true.detector_um,
        true.shift_px,
        true.magnification,
        true.flux,
        convention=correction.convention,
        **nothing,
    )
