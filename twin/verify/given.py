"""The projections that are to be checked with: opened, and what must be right before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.estimate import Array
from sensors.images.formats import open_series
from sensors.images.series import Series
from sensors.reading import SensorError
from twin.export.exporter import Setup
from twin.scan import Scan, ScanError
from twin.verify.angles import Turn

FEW = 30  # projections; with fewer there are streaks and no edges


class VerifyError(ScanError):
    """A scan can't be checked so; the message names what it is about, the consequence and the mend, in one line."""


@dataclass(frozen=True, slots=True)
class Given:
    """A series that can be reconstructed.

    Attributes
    ----------
    series : Series
        Open; closed by whoever asked for it.
    turn : Turn
        What its angles cover.
    setup : Setup
    """

    series: Series
    turn: Turn
    setup: Setup

    @property
    def unit_m(self) -> float:
        """A detector pixel at the axis [m]."""
        return self.setup.pose.pixel_m / self.setup.pose.magnification


def given_series(
    projections: Path,
    scan: Scan,
    setup: Setup,
    *,
    timezone: str = "UTC",
    flat: Path | None = None,
    dark: Path | None = None,
) -> Given:
    """Open the projections of a scan and check them against it.

    Parameters
    ----------
    projections : Path
        Whatever :func:`sensors.images.formats.open_series` reads.
    setup : Setup
        With the number of projections in the scan.
    flat, dark : Path, optional
        Bright and dark images, where the projections come without.

    Raises
    ------
    SensorError
        They can't be opened, have another number or another size, are corrected already, or there is no flat.
    VerifyError
        The angles don't cover half a turn and the fan.
    """
    turn = _turn(scan, setup)
    series = open_series(projections, timezone=timezone, flat=flat, dark=dark)
    try:
        _check(projections, series, setup)
    except BaseException:
        series.close()
        raise
    return Given(series, turn, setup)


def fan_deg(setup: Setup) -> float:
    """Angle between the rays to the outermost columns [deg].

    Examples
    --------
    >>> from models.geometry import ConeBeam
    >>> round(fan_deg(Setup(ConeBeam(10e-3, 50e-3, 50e-6), 1000, 800)), 1)
    53.1
    """
    pose = setup.pose
    return 2.0 * float(np.rad2deg(np.arctan(0.5 * setup.columns * pose.pixel_m / pose.source_detector_m)))


def _turn(scan: Scan, setup: Setup) -> Turn:
    frames = scan.only("projection")
    angle: Array = np.asarray(frames.angle_deg, dtype=float)
    if len(angle) < FEW:
        raise VerifyError(
            f"scan {scan.name}: has {len(angle)} projections; a reconstruction that shows edges needs {FEW} at least"
        )
    turn, needed = Turn.of(angle), 180.0 + fan_deg(setup)
    if not turn.whole and turn.covered_deg < needed:
        raise VerifyError(
            f"scan {scan.name}: its angles cover {turn.covered_deg:.1f} deg; a reconstruction needs half a turn and the fan,"
            f" {needed:.1f} deg: give a scan with more, all of its projections"
        )
    return turn


def _check(projections: Path, series: Series, setup: Setup) -> None:
    from twin.apply.words import is_ours

    if is_ours(projections):
        raise SensorError(f"{projections}: is corrected already; give the projections as they were recorded")
    shape, frames = series.contents.shape, series.contents.frames
    if shape != (setup.rows, setup.columns):
        raise SensorError(
            f"{projections}: its images have {shape[0]} × {shape[1]} px, the detector of the configuration {setup.rows} ×"
            f" {setup.columns}; give the images that it describes, neither cut nor binned"
        )
    count = sum(frame.kind == "projection" for frame in frames)
    if count != setup.projections:
        raise SensorError(
            f"{projections}: has {count} projections, the scan {setup.projections}; give the images of this scan, all of them"
        )
    if not any(frame.kind == "flat" for frame in frames):
        raise SensorError(
            f"{projections}: has no bright image, so there is no attenuation; give it or a folder with --flat"
        )
