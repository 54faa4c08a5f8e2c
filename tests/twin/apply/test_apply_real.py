"""Real series: what is left of the flux is the frames' own noise, and shifts leave noise as it is."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from models.correction import Correction
from models.geometry import ConeBeam
from sensors.images.formats import open_series
from tests.real_data import data_file
from twin.apply import apply, plan
from twin.export import Setup, conformance


def frames_of(path: Path) -> dict[str, np.ndarray]:
    """Frames by kind, as the files have them."""
    with closing(open_series(path)) as series:
        kinds = [frame.kind for frame in series.contents.frames]
        return {
            kind: np.array([series.image(k) for k, found in enumerate(kinds) if found == kind], dtype=float)
            for kind in sorted(set(kinds))
        }


def correction_of(flux: np.ndarray, shift_px: np.ndarray) -> Correction:
    return dataclasses.replace(conformance.correction(len(flux)), flux=flux, shift_px=shift_px)


def applied(path: Path, out: Path, given: Correction, shape: tuple[int, int]) -> np.ndarray:
    setup = Setup(ConeBeam(10e-3, 50e-3, 50e-6), shape[1], shape[0], len(given))
    planned = plan(path, out, setup)
    with closing(planned.series):
        apply(planned, given, setup)
    return frames_of(out)["projection"]


def change(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Relative change of the mean brightness between two sets of frames, and its σ from their own scatter."""
    a, b = before.mean(axis=(1, 2)), after.mean(axis=(1, 2))
    return float(b.mean() / a.mean() - 1), float(np.hypot(*(x.std() / x.mean() / np.sqrt(len(x)) for x in (a, b))))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -0.21)])
def test_bright_images_of_k11_agree_before_and_after_the_scan(tmp_path, shift):
    """They differ by 1.52 %. One half of the window tells the flux, the other shows that it is gone to within the noise."""
    frames = frames_of(data_file("k11/k11-18014.nxs"))
    dark, first, last = frames["dark"], frames["flat"][:50], frames["flat"][50:]
    rows, columns = dark.shape[1:]
    with h5py.File(tmp_path / "bright.nx", "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["instrument/detector/data"] = np.concatenate([dark, first[::2], first[1::2], last]).astype(np.uint16)
        entry["instrument/detector/image_key"] = np.repeat([2, 1, 0], [100, 25, 75])
    offset, half = dark.mean(axis=0), columns // 2
    rise = (last - offset)[:, :, :half].mean() / (first[1::2] - offset)[:, :, :half].mean()
    raw, sigma = change((first[1::2] - offset)[:, :, half:], (last - offset)[:, :, half:])
    assert raw == pytest.approx(0.0152, abs=0.0005)
    assert raw > 50 * sigma
    given = correction_of(np.repeat([1.0, rise], [25, 50]), np.repeat([(0.0, 0.0), shift], [25, 50], axis=0))
    found = applied(tmp_path / "bright.nx", tmp_path / "out.nx", given, (rows, columns))
    inside = found[:, 2:-2, half:-2]
    left, sigma = change(inside[:25], inside[25:])
    assert sigma < 2.5e-4
    assert abs(left) < 3 * np.sqrt(2) * sigma  # the half that told the flux has as much noise
    assert inside.mean() == pytest.approx(1.0, abs=1e-3)
    assert inside[25:].std(axis=(1, 2)).mean() == pytest.approx(inside[:25].std(axis=(1, 2)).mean(), rel=0.1)


def test_all_of_k11_by_the_flux_of_its_own_bright_images(tmp_path):
    """3001 projections of the NeXus file as it is; the flux is a line in its times between first and last flats.

    Flats at two fluxes make one bright image at that of the first projection, to the noise; their plain mean would be
    0.76 % too bright in every projection.
    """
    path = data_file("k11/k11-18014.nxs")
    frames = frames_of(path)
    offset, bright = frames["dark"].mean(axis=0), frames["flat"]
    with closing(open_series(path)) as series:
        told = series.contents.frames
        times = {kind: np.array([f.time for f in told if f.kind == kind]) for kind in frames}
    flux = np.polyval(np.polyfit(times["flat"], (bright - offset).mean(axis=(1, 2)), 1), times["projection"])
    flux /= flux[0]
    assert flux[-1] == pytest.approx(1.0149, abs=0.0005)
    found = applied(path, tmp_path / "k11.nx", correction_of(flux, np.zeros((3001, 2))), offset.shape)
    raw = frames["projection"] - offset
    used = (raw.mean(axis=0) / (found * flux[:, None, None]).mean(axis=0)).mean()
    assert used / (bright[:50] - offset).mean() == pytest.approx(1.0, abs=5e-4)
    np.testing.assert_allclose((found[-1] / found[0]) / (raw[-1] / raw[0]), 1.0 / flux[-1], rtol=1e-6)


def test_air_beside_a_tooth(tmp_path):
    """Of the strip of air every other column tells the flux; the others then scatter by no more than their own noise."""
    path = data_file("tooth/tooth.h5")
    frames = frames_of(path)
    offset = frames["dark"].mean(axis=0)
    air = ((frames["projection"] - offset) / (frames["flat"].mean(axis=0) - offset))[:, :, :80]
    told, held = air[:, :, ::2].mean(axis=(1, 2)), air[:, :, 1::2].mean(axis=(1, 2))
    noise = np.hypot(*(air[:, :, k::2].std(axis=(1, 2)).mean() / np.sqrt(80) for k in (0, 1)))
    assert np.corrcoef(told, held)[0, 1] > 0.7  # there is a flux to be taken out
    flux = told / told[0]
    still = applied(path, tmp_path / "still.nx", correction_of(flux, np.zeros((181, 2))), (2, 640))
    left = still[:, :, 1:80:2].mean(axis=(1, 2))
    assert left.std() / left.mean() < 0.7 * held.std()
    assert left.std() / left.mean() < noise

    moved = np.column_stack([np.linspace(0.0, 2.7, 181), np.zeros(181)])
    back = applied(path, tmp_path / "moved.nx", correction_of(flux, moved), (2, 640))
    level = back[:, :, 5:70].mean(axis=(1, 2))
    assert level.std() / level.mean() < noise
    scatter = back[:, :, 5:70].std(axis=(1, 2)) / still[:, :, 5:70].std(axis=(1, 2))
    assert scatter.mean() == pytest.approx(1.0, abs=0.02)
