"""The static budget of a configured machine: what spot, detector, stage and vibration leave before any drift."""

from __future__ import annotations

import numpy as np

from models.blur import Budget, Resolution, f10, static_budget
from twin.assembly import pose_of, spot_fwhm_m
from twin.config import Config
from twin.vibration import lever


def budget_of(config: Config) -> Budget:
    """Static blur in the object plane; the wider axis of the spot counts."""
    return budget_with(config, max(spot_fwhm_m(config)))


def budget_with(config: Config, spot_m: float) -> Budget:
    """Blur in the object plane for a spot of another FWHM [m] than the stated one.

    The stage's wobble acts with its height above the bearing, uniformly spread within ± the stated maximum (σ = a/√3),
    as does the run-out; what does not repeat is stated as σ. An error δ of the angle moves a point at radius r by r δ along
    the circle: σ = r σ_δ at the stated radius, nothing on the axis. What repeats with the angle (``stage.repeatable_nm``) is
    a state and no part of this. A mode's stated amplitude is that of a sine of its body (σ = A/√2), seen in the object plane;
    the worse of u and v counts, as motion along w changes the magnification and blurs off the axis only.
    """
    stage = config.stage
    wobble = stage.wobble_urad * 1e-6 * stage.height_above_bearing_mm * 1e-3 / np.sqrt(3.0)
    runout = stage.runout_nm * 1e-9 / np.sqrt(3.0)
    turned = stage.angle_error_urad * 1e-6 * stage.sample_radius_um * 1e-6
    stage_m = np.sqrt(wobble**2 + runout**2 + (stage.nonrepeatable_nm * 1e-9) ** 2 + turned**2)
    pose = pose_of(config)
    stated = dict.fromkeys("uvw", 0.0)
    for mode in config.modes:
        stated[mode.axis] += (mode.amplitude_nm * 1e-9 * lever(pose, mode)) ** 2 / 2.0
    vibration = np.sqrt(max(stated["u"], stated["v"]))
    return static_budget(
        pose,
        spot_m,
        config.detector.psf_sigma_px,
        float(stage_m),
        float(vibration),
        config.source.second_spot_m,
    )


def resolution_of(config: Config) -> Resolution:
    """Resolution before any drift: spot, detector, stage, vibration and pixel aperture."""
    return Resolution.of(f10(budget_of(config)))
