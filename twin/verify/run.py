"""The whole of it: light, a region, attenuation, a box without and with correction, its edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import Array
from models.geometry import ConeBeam
from models.imaging.light import Light
from models.imaging.volume import Volume
from sensors.images.series import Series
from twin.apply.lights import light_of, nearest_projections
from twin.correct import Predicted
from twin.export.exporter import ExportError, check
from twin.export.rtk import RtkPose, rtk_pose
from twin.verify.box import LEAST_PX, Box, Field, rows_of
from twin.verify.coarse import regions
from twin.verify.compare import HALF_PX, Oriented, compare, reach_of
from twin.verify.given import Given, VerifyError
from twin.verify.rtk_fdk import reconstruct
from twin.verify.stack import Stack, stack_of
from twin.verify.verified import SHIFT, WITH, WITHOUT, Verified

SEARCH_PX = 12.0  # farthest that an edge is looked for in another reconstruction
Told = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked for.

    Attributes
    ----------
    at_um : (float, float, float), optional
        Middle of the box in u, v, w at the stage's angle 0, from where the axis meets the central ray [µm]; found otherwise.
    side_px : float, optional
        Side of the box [detector pixels at the axis].
    shift : bool
        Reconstruct with the image shift alone, too.
    """

    at_um: tuple[float, float, float] | None = None
    side_px: float | None = None
    shift: bool = False


def verify(
    given: Given,
    correction: Correction,
    predicted: Predicted,
    folder: Path,
    options: Options = Options(),
    progress: Told = lambda _what, _part: None,
) -> Verified:
    """Reconstruct a box of a scan without and with its correction and measure the edges in it.

    Parameters
    ----------
    folder : Path
        Where a file of attenuation lies meanwhile.
    progress : callable
        Is told what is done and which part of it.

    Raises
    ------
    VerifyError
        The box is outside of the field of view, or has no edge.
    SensorError
        An image can't be read.
    ExportError
        The correction can't be used.
    """
    name, setup = given.series.contents.name, given.setup
    check(correction, name, setup.projections)
    if not np.all(correction.flux > 0):
        raise ExportError(f"{name}: the flux of a projection is not positive")
    seen, unit_um = Field.of(setup, correction), given.unit_m * 1e6
    size = seen.fitting(options.side_px)
    reach = reach_of(correction.shift_px, size)
    if not seen.holds(np.zeros(1), np.zeros(1), np.zeros(1), size)[0] or size[1] < LEAST_PX:
        raise VerifyError(
            f"{name}: a box of {size[0]:.0f} × {size[1]:.0f} px doesn't fit into the field of view,"
            f" {2 * seen.radius:.0f} × {2 * seen.half_rows:.0f} px, or is lower than the {LEAST_PX:.0f} px that edges"
            " need; give another --size"
        )
    geometries = geometries_of(correction, setup.pose, options.shift)
    positions = [k for k, frame in enumerate(given.series.contents.frames) if frame.kind == "projection"]
    if options.at_um is not None:
        places = [_within(options.at_um, size, seen, unit_um)]
        light = light_of(given.series, correction.flux)[0]
    else:
        light = light_of(given.series, correction.flux)[0]
        places = regions(
            given, light, positions, geometries[WITH], correction.flux, seen, size, (reach, HALF_PX), folder, progress
        )
    for place in places:
        box = Box(place, size)
        volumes = _volumes(given, light, positions, geometries, correction.flux, box, folder, progress)
        search = min(2.0 + float(np.ptp(correction.shift_px, axis=0).max()), SEARCH_PX)
        edges = compare(volumes, reach, search, lambda part: progress("measuring edges", part))
        done = Verified(correction.scan, box, unit_um, volumes, edges, predicted)
        if done.told(WITHOUT) or done.told(WITH):
            return done
    raise VerifyError(_no_edge(name, places[0], unit_um, edges))


def geometries_of(correction: Correction, pose: ConeBeam, shift: bool) -> dict[str, RtkPose]:
    """RTK's parameters by name: as if nothing had moved, as everything has, and with the image shift alone."""
    zero = np.zeros_like(correction.source_um)
    still = replace(correction, source_um=zero, object_um=zero, detector_um=zero)
    found = {WITHOUT: rtk_pose(still, pose), WITH: rtk_pose(correction, pose)}
    if shift:
        moved = zero.copy()
        moved[:, :2] = -correction.shift_px * pose.pixel_m * 1e6
        found[SHIFT] = rtk_pose(replace(still, detector_um=moved), pose)
    return found


def flat_flux(series: Series, flux: Array) -> float:
    """Mean flux at which the flats were taken: what they count for where nobody corrects the flux."""
    flats = [k for k, frame in enumerate(series.contents.frames) if frame.kind == "flat"]
    return float(np.mean(flux[nearest_projections(series, flats)[0]]))


def _within(
    at_um: tuple[float, float, float], size: tuple[float, float], seen: Field, unit_um: float
) -> tuple[float, float, float]:
    u, v, w = (c / unit_um for c in at_um)
    if not seen.holds(np.array([u]), np.array([v]), np.array([w]), size)[0]:
        wide, tall = (length * unit_um for length in size)
        raise VerifyError(
            f"--at {','.join(f'{c:g}' for c in at_um)}: a box of {wide:.4g} × {tall:.4g} um there isn't in the field of view,"
            f" {seen.radius * unit_um:.4g} um about the axis and ±{seen.half_rows * unit_um:.4g} um along it, less off"
            " the axis; give a place nearer to the middle, or a smaller --size"
        )
    return u, v, w


def _volumes(
    given: Given,
    light: Light,
    positions: list[int],
    geometries: dict[str, RtkPose],
    flux: Array,
    box: Box,
    folder: Path,
    progress: Told,
) -> dict[str, Volume]:
    rows = rows_of(box, list(geometries.values()), given.setup)
    pitch_mm, out = given.setup.pose.pixel_m * 1e3, {}
    with stack_of(
        given.series, light, positions, rows, pitch_mm, folder, 1, lambda part: progress("reading projections", part)
    ) as stack:
        level = np.full(len(positions), np.log(flat_flux(given.series, flux)))
        stack.add(level)
        out[WITHOUT] = _volume(given, stack, geometries[WITHOUT], box, "reconstructing without correction", progress)
        stack.add(np.log(flux) - level)
        for name in geometries:
            if name != WITHOUT:
                out[name] = _volume(given, stack, geometries[name], box, "reconstructing with correction", progress)
    return out


def _volume(given: Given, stack: Stack, pose: RtkPose, box: Box, what: str, progress: Told) -> Volume:
    return reconstruct(stack, pose, box, given.unit_m * 1e3, not given.turn.whole, lambda part: progress(what, part))


def _no_edge(name: str, place: tuple[float, float, float], unit_um: float, edges: tuple[Oriented, ...]) -> str:
    where = ", ".join(f"{c * unit_um:.4g}" for c in place)
    if edges:
        return (
            f"{name}: edges about u, v, w = {where} um are lost in noise;"
            " name a place with stronger ones with --at, or give a larger --size"
        )
    return (
        f"{name}: no edge of {2 * HALF_PX:.0f} px and more that looks across or along the axis about u, v, w = {where} um;"
        " name a place that has some with --at, or give a larger --size"
    )
