"""What a shift of the image leaves uncorrected where the source moved: the figure every shift-only format states."""

from __future__ import annotations

import numpy as np

from models.correction import Correction
from models.estimate import ModelError
from models.geometry import ConeBeam
from twin.export.exporter import Setup


def residual_um(correction: Correction, setup: Setup) -> tuple[float, float, float]:
    """What a shift leaves at the edge of the field of view, worst projection: by depth [µm], by magnification [µm].

    The field's half width in the object is ``r = columns p / (2 M)`` [mm], given third. By depth: ``|s - o| r/(SOD -
    r)``, with the motion of the source against the object, for a motion that both share leaves nothing; ``nan`` where
    r reaches the source. By magnification: ``r |ratio - 1|``. Both in the object plane. (Geometry of a point source;
    :meth:`models.geometry.ConeBeam.depth_residual_m` has the first on the detector.)

    Examples
    --------
    SOD 10 mm, a field of 2 mm on each side, a source that drifts by 6.7 µm against the object:

    >>> from twin.export import conformance
    >>> depth_um, scale_um, radius_mm = residual_um(conformance.correction(), conformance.setup())
    >>> round(depth_um, 3), round(scale_um, 3), round(radius_mm, 3)
    (1.677, 0.08, 2.0)
    """
    pose: ConeBeam = setup.pose
    radius_m = setup.columns * pose.pixel_m / pose.magnification / 2
    relative_m = (np.asarray(correction.source_um) - np.asarray(correction.object_um))[:, :2] * 1e-6
    scale_um = float(np.abs(correction.magnification - 1.0).max()) * radius_m * 1e6
    try:
        on_detector_m = pose.depth_residual_m(np.hypot(relative_m[:, 0], relative_m[:, 1]), radius_m)
    except ModelError:
        return float("nan"), scale_um, radius_m * 1e3
    return float(on_detector_m.max()) / pose.magnification * 1e6, scale_um, radius_m * 1e3


def residual_words(correction: Correction, setup: Setup) -> str:
    """The figures of :func:`residual_um` as a sentence."""
    depth_um, scale_um, radius_mm = residual_um(correction, setup)
    left = "without bound (the field of view reaches the source)" if np.isnan(depth_um) else f"up to {depth_um:.3g} um"
    return (
        f"right for points on the rotation axis. Left over at the edge of the field of view ({radius_mm:.4g} mm from the"
        f" axis), in the object: {left} by depth, up to {scale_um:.3g} um by magnification"
    )
