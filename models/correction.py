"""Corrections of a scan: what moved by how much at each projection, with σ, relative to the first one."""

from __future__ import annotations

from dataclasses import dataclass

from models.estimate import Array


@dataclass(frozen=True, slots=True)
class Correction:
    """Per-projection corrections; every quantity is the difference (or ratio) to the first projection.

    Attributes
    ----------
    scan : str
        Name of the scan.
    projection : (N,) int array
        Index of the projection in its scan.
    time : (N,) array
        Mid-exposure [s since 1970].
    angle_deg : (N,) array
    source_um, object_um, detector_um : (N, 3) arrays
        Displacements in the frame u, v, w [µm]; the detector is the origin of the gauge.
    shift_px : (N, 2) array
        Where the image content moved, columns u, v; + = larger column / row [px].
    magnification, flux : (N,) arrays
        Ratios to the reference pose, to the first projection's flux.
    source_um_std … flux_std : arrays of the same shapes
        σ of the *difference* to the first projection, with the covariance across time.
    convention : str
        The signs in words.
    provenance : tuple of (key, value)
        Configuration hash, inputs, versions.
    """

    scan: str
    projection: Array
    time: Array
    angle_deg: Array
    source_um: Array
    object_um: Array
    detector_um: Array
    shift_px: Array
    magnification: Array
    flux: Array
    source_um_std: Array
    object_um_std: Array
    detector_um_std: Array
    shift_px_std: Array
    magnification_std: Array
    flux_std: Array
    convention: str
    provenance: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.projection)
