"""FDK by RTK on the CPU: the only file that knows itk, which comes with ``ctwin[recon]``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from models.estimate import Array
from models.imaging.volume import Volume
from twin.atomic import OutputError
from twin.export.rtk import PARAMETERS, RtkPose
from twin.verify.box import Box
from twin.verify.stack import Stack


def check_rtk() -> None:
    """Refuse, before anything is computed, where RTK is not installed.

    Raises
    ------
    OutputError
        With the command that installs it.
    """
    if find_spec("itk") is None:
        raise OutputError("itk-rtk is not installed, so nothing can be reconstructed; run: pip install 'ctwin[recon]'")


def reconstruct(
    stack: Stack,
    pose: RtkPose,
    box: Box,
    unit_mm: float,
    short: bool,
    progress: Callable[[float], None] | None = None,
) -> Volume:
    """Reconstruct a box by Feldkamp, Davis and Kress, J. Opt. Soc. Am. A 1 (1984) 612, without a window on the ramp.

    Parameters
    ----------
    stack : Stack
        Attenuation; all columns, the rows that the box needs.
    pose : RtkPose
        Geometry, one entry per projection of the stack.
    unit_mm : float
        A detector pixel at the axis [mm].
    short : bool
        Weights of Parker (Med. Phys. 9 (1982) 254) for less than a whole turn.

    Returns
    -------
    Volume
        In u, v, w; attenuation per mm.
    """
    with _quiet():
        import itk
        from itk import RTK as rtk  # noqa: N811

        kind = itk.Image[itk.F, 3]
        geometry = rtk.ThreeDCircularProjectionGeometry.New()
        for row in np.stack([getattr(pose, name) for name in PARAMETERS], axis=1).tolist():
            sid, sdd, source_x, source_y, detector_x, detector_y, gantry = row
            geometry.AddProjection(sid, sdd, gantry, detector_x, detector_y, 0.0, 0.0, source_x, source_y)
        projections = itk.image_view_from_array(stack.values)
        projections.SetSpacing([stack.pitch_mm, stack.pitch_mm, 1.0])
        projections.SetOrigin([*stack.origin_mm, 0.0])
        fdk = rtk.FDKConeBeamReconstructionFilter[kind].New()
        fdk.SetInput(0, _empty(itk, box, unit_mm))
        if short:
            parker = rtk.ParkerShortScanImageFilter[kind].New()
            parker.SetInput(projections)
            parker.SetGeometry(geometry)
            parker.InPlaceOff()
            fdk.SetInput(1, parker.GetOutput())
        else:
            fdk.SetInput(1, projections)
        fdk.SetGeometry(geometry)
        if progress is not None:
            fdk.AddObserver(itk.ProgressEvent(), lambda: progress(float(fdk.GetProgress())))
        fdk.Update()
        values: Array = itk.array_from_image(fdk.GetOutput())
    return Volume(values[::-1, ::-1], box.first, box.step)  # z and y go against w and v


def _empty(itk: Any, box: Box, unit_mm: float) -> Any:
    """The grid, x = u, y = -v, z = -w."""
    u, v, w = box.count
    image = itk.image_from_array(np.zeros((w, v, u), dtype=np.float32))
    image.SetSpacing([box.step * unit_mm] * 3)
    last = [first + (n - 1) * box.step for first, n in zip(box.first, box.count, strict=True)]
    image.SetOrigin([box.first[0] * unit_mm, -last[1] * unit_mm, -last[2] * unit_mm])
    return image


@contextmanager
def _quiet() -> Iterator[None]:
    """Its wrapping by SWIG warns when it is imported; where warnings are errors that would end the process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
