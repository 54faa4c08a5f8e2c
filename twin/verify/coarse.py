"""A quick look at the whole field of view, in large pixels and few projections: where are edges?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.edge_region import edge_regions
from models.imaging.light import Light
from twin.export.rtk import RtkPose
from twin.verify.box import Box, Field
from twin.verify.given import Given, VerifyError
from twin.verify.rtk_fdk import reconstruct
from twin.verify.stack import stack_of

COLUMNS, PROJECTIONS = 160, 240  # of the coarse look, at most


def regions(
    given: Given,
    light: Light,
    positions: Sequence[int],
    pose: RtkPose,
    flux: Array,
    seen: Field,
    size: tuple[float, float],
    margin_px: tuple[float, float],
    folder: Path,
    progress: Callable[[str, float], None],
) -> list[tuple[float, float, float]]:
    """Middles of boxes with edges in many directions, best first [px at the axis].

    Raises
    ------
    VerifyError
        No edge stands out of the noise where a box fits into the field of view.
    """
    setup = given.setup
    width = int(np.ceil(setup.columns / COLUMNS))
    some = np.arange(0, len(positions), int(np.ceil(len(positions) / PROJECTIONS)))
    unit_mm, pitch_mm = given.unit_m * 1e3, setup.pose.pixel_m * 1e3
    box = Box((0.0, 0.0, 0.0), (2.0 * seen.radius, 2.0 * seen.half_rows), float(width))
    with stack_of(
        given.series, light, [positions[k] for k in some.tolist()], slice(0, setup.rows), pitch_mm, folder, width,
        lambda part: progress("looking for edges: reading", part),
    ) as stack:  # fmt: skip
        stack.add(np.log(flux[some]))
        volume = reconstruct(
            stack, chosen(pose, some), box, unit_mm, not given.turn.whole,
            lambda part: progress("looking for edges", part),
        )  # fmt: skip
    w, v, u = np.meshgrid(*volume.axes()[::-1], indexing="ij")
    found = edge_regions(volume, seen.holds(u, v, w, size), size, margin_px)
    if not found:
        raise VerifyError(
            f"{given.series.contents.name}: no edge stands out of the noise in a quick look; name a place with edges: --at"
        )
    return found


def chosen(pose: RtkPose, some: NDArray[np.int64]) -> RtkPose:
    """Geometry of some of the projections."""
    return RtkPose(*(getattr(pose, field.name)[some] for field in fields(pose)))
