"""Reference pose and stated spot of a configuration, in SI units."""

from __future__ import annotations

from models.blur import TEN_PERCENT_PER_FWHM
from models.geometry import ConeBeam
from twin.config import Config


def pose_of(config: Config) -> ConeBeam:
    """Reference pose [m]."""
    g = config.geometry
    return ConeBeam(g.source_object_mm * 1e-3, g.source_detector_mm * 1e-3, g.pixel_um * 1e-6)


def spot_fwhm_m(config: Config) -> tuple[float, float]:
    """Focal spot FWHM u, v [m], whichever convention the configuration uses."""
    if config.source.spot_fwhm_um is not None:
        return config.source.spot_fwhm_um[0] * 1e-6, config.source.spot_fwhm_um[1] * 1e-6
    width = (config.source.spot_10_percent_um or 0.0) * 1e-6 / TEN_PERCENT_PER_FWHM
    return float(width), float(width)
