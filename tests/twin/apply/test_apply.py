"""Projections with flux and shift taken out, against a scan whose truth is known at every point."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import sys
import tracemalloc
from collections import Counter
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from models.geometry import CONVENTION
from sensors.images.formats import open_series
from sensors.images.series import Contents, Frame
from sensors.reading import SensorError
from tests.twin.apply import moving_scan as moving
from twin.apply import Plan, apply, plan
from twin.atomic import OutputError
from twin.export import ExportError
from twin.export.residual import residual_words

OUTS = ("images", "images.nx")
TRUTH = [moving.transmission(k, np.zeros(2)) for k in range(moving.COUNT)]


def run(series: Path, out: Path, given=None) -> None:
    planned = plan(series, out, moving.SETUP)
    with closing(planned.series):
        apply(planned, given or moving.correction(), moving.SETUP)


def images_of(path: Path) -> list[np.ndarray]:
    with closing(open_series(path)) as series:
        assert {frame.kind for frame in series.contents.frames} == {"projection"}
        return [series.image(k) for k in range(len(series.contents.frames))]


def about_of(path: Path) -> dict:
    if path.is_dir():
        return json.loads((path / "about.json").read_text())
    with h5py.File(path) as file:
        return json.loads(file["entry/process/about"].asstr()[()])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(item.relative_to(folder)): item.read_bytes() for item in folder.rglob("*") if item.is_file()}


@pytest.mark.parametrize("name", ["scan", "scan.nx"])
@pytest.mark.parametrize("out", OUTS)
def test_every_projection_is_the_object_where_the_first_has_it(tmp_path, name, out):
    """Exact to float32, though flux rises by 8 %, flats are at two fluxes, and the detector has a pattern of 20 %.

    A folder doesn't tell when its flats were taken, so those at the end count as before: a factor common to all.
    """
    series = moving.write_series(tmp_path / name)
    before = tree(tmp_path)
    run(series, tmp_path / out)
    found = images_of(tmp_path / out)
    common = 1.0 if name == "scan.nx" else 3.0 / (2.0 + moving.RISE)
    assert len(found) == moving.COUNT
    for image, truth in zip(found, TRUTH, strict=True):
        assert image.dtype == np.float32
        assert np.abs(image / common - truth).max() < 5e-7
    moved = moving.transmission(6, moving.correction().shift_px[6])
    assert np.abs(moved - TRUTH[6]).max() > 0.25
    assert {path: content for path, content in tree(tmp_path).items() if path in before} == before


@pytest.mark.parametrize("out", OUTS)
def test_readers_find_angles_and_what_was_done(tmp_path, out):
    given = moving.correction()
    run(moving.write_series(tmp_path / "scan.nx"), tmp_path / out, given)
    with closing(open_series(tmp_path / out)) as series:
        assert [f.angle_deg for f in series.contents.frames] == pytest.approx(given.angle_deg, abs=1e-9)
        if out == "images.nx":
            assert [f.time for f in series.contents.frames] == pytest.approx(given.time)
    said = about_of(tmp_path / out)
    assert said["values"] == "transmission, float32: (image - dark)/(flat - dark)"
    assert said["flats"].startswith(
        "3 flats and 2 darks are used, each flat divided by the flux of the projection nearest"
    )
    assert "in the order of the frames" in said["flats"]
    assert "divided by the flux" in said["flux"]
    assert residual_words(given, moving.SETUP) in said["after that"]
    assert said["source of the signs"] == CONVENTION
    assert ["configuration", "0123456789abcdef"] in said["provenance"]


def test_every_tiff_says_its_own_shift_and_flux(tmp_path):
    given = moving.correction()
    run(moving.write_series(tmp_path / "scan.nx"), tmp_path / "images", given)
    with tifffile.TiffFile(tmp_path / "images" / "projection_00003.tif") as file:
        said = json.loads(file.pages[0].description)
    assert {key: said[key] for key in about_of(tmp_path / "images")} == about_of(tmp_path / "images")
    own = said["this projection"]
    assert (own["index"], own["shift_px"], own["flux"]) == (3, given.shift_px[3].tolist(), given.flux[3])
    assert (own["angle_deg"], own["time"]) == (given.angle_deg[3], given.time[3])


def test_nxtomo_says_shifts_and_flux_where_no_program_applies_them(tmp_path):
    given = moving.correction()
    run(moving.write_series(tmp_path / "scan.nx"), tmp_path / "images.nx", given)
    with h5py.File(tmp_path / "images.nx") as file:
        np.testing.assert_array_equal(file["entry/process/shift"], given.shift_px)
        np.testing.assert_array_equal(file["entry/process/flux"], given.flux)
        assert set(file["entry"]) == {"data", "definition", "instrument", "process", "sample", "title"}
        assert file["entry/instrument/detector/x_pixel_size"][()] == 50e-6
        assert file["entry/instrument/detector/distance"][()] == pytest.approx(40e-3)
        assert file["entry/instrument/source/distance"][()] == -10e-3
        assert file["entry/data/data"] == file["entry/instrument/detector/data"]


@pytest.mark.parametrize("out", OUTS)
def test_without_flats_counts_are_divided_by_the_flux_and_it_says_so(tmp_path, out):
    run(moving.write_series(tmp_path / "scan", lights=False), tmp_path / out)
    given, found = moving.correction(), images_of(tmp_path / out)
    np.testing.assert_array_equal(found[0], moving.counts(0).astype(np.float32))
    flat = (moving.GAIN + moving.DARK / given.flux[6]).mean()
    assert found[6][:10].mean() == pytest.approx(flat, rel=0.01)
    said = about_of(tmp_path / out)
    assert said["values"] == "counts, float32; no dark: what the detector adds is in them"
    assert "fixed pattern is still there and has moved" in said["flats"]


def test_a_dead_pixel_leaves_no_rings(tmp_path):
    """One that counts nothing in flats and projections: without repair it would ring over its whole row."""
    series = moving.write_series(tmp_path / "scan.nx")
    with h5py.File(series, "r+") as file:
        file["entry/instrument/detector/data"][:, 8, 9] = 95.0
    run(series, tmp_path / "images.nx")
    assert "1 dead" in about_of(tmp_path / "images.nx")["pixels replaced"]
    assert np.abs(np.array(images_of(tmp_path / "images.nx")) - TRUTH).max() < 1e-4


class Counting:
    """A series that is made as it is read, and counts the looks."""

    def __init__(self, count: int, shape: tuple[int, int]) -> None:
        frames = [Frame(0, "flat"), *(Frame(k, place=f"p{k}") for k in range(count)), Frame(1, "flat")]
        self.contents = Contents("made", frames, shape)
        self.looks: Counter[int] = Counter()

    def image(self, position, rows=slice(None), columns=slice(None)):
        self.looks[position] += 1
        return np.full(self.contents.shape, 1000 + position, dtype=np.uint16)

    def close(self):
        pass


def peak_of(out: Path, count: int) -> int:
    series = Counting(count, (64, 64))
    setup = dataclasses.replace(moving.SETUP, columns=64, rows=64, projections=count)
    tracemalloc.start()
    apply(Plan(series, out), moving.correction(count), setup)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert series.looks == Counter(range(count + 2))
    return peak


@pytest.mark.parametrize("out", OUTS)
def test_one_pass_whose_memory_does_not_grow(tmp_path, out):
    """Each image is read once; 30 more projections of 16 kB each cost less memory than eight of them."""
    peak_of(tmp_path / out, 3)  # what is loaded once
    assert peak_of(tmp_path / out, 38) - peak_of(tmp_path / out, 8) < 8 * 16384


@pytest.mark.parametrize("out", OUTS)
def test_over_an_earlier_run_the_same_bytes_come_again(tmp_path, out):
    series = moving.write_series(tmp_path / "scan.nx")
    run(series, tmp_path / out)
    first = tree(tmp_path)
    run(series, tmp_path / out, dataclasses.replace(moving.correction(), flux=np.full(moving.COUNT, 2.0)))
    assert tree(tmp_path) != first
    run(series, tmp_path / out)
    assert tree(tmp_path) == first


class Stop(BaseException):
    """As a Ctrl-C."""


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_that_is_stopped_leaves_what_was_there(tmp_path, out, earlier):
    series = moving.write_series(tmp_path / "scan.nx")
    if earlier:
        run(series, tmp_path / out)
    before = tree(tmp_path)

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise Stop

    planned = plan(series, tmp_path / out, moving.SETUP)
    with closing(planned.series), pytest.raises(Stop):
        apply(planned, moving.correction(), moving.SETUP, progress=stop)
    assert tree(tmp_path) == before
    assert (tmp_path / out).exists() == earlier
    assert len(list(tmp_path.iterdir())) == 1 + earlier


@pytest.mark.parametrize("out", OUTS)
def test_an_image_that_can_not_be_read_is_named(tmp_path, out):
    series = moving.write_series(tmp_path / "scan")
    (series / "p_005.tif").write_bytes((series / "p_005.tif").read_bytes()[:-100])
    with pytest.raises(SensorError, match=r"p_005\.tif") as fault:
        run(series, tmp_path / out)
    assert "\n" not in str(fault.value)
    assert [item.name for item in tmp_path.iterdir()] == ["scan"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits on files")
@pytest.mark.parametrize(
    ("out", "limit"),
    [("images", 200), ("images", 10_000), ("images.nx", 200), ("images.nx", 10_000), ("images.nx", 60_000)],
)
def test_a_system_that_takes_no_more(tmp_path, out, limit):
    """Real: the kernel refuses to let a file grow, in the middle of an image or before the first."""
    series = moving.write_series(tmp_path / "scan.nx")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, allowed[1]))
    try:
        with pytest.raises(
            OutputError, match=r"images.*: not written: the file would be larger than this system"
        ) as told:
            run(series, tmp_path / out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert "\n" not in str(told.value)
    assert [item.name for item in tmp_path.iterdir()] == ["scan.nx"]


@pytest.mark.parametrize("out", OUTS)
def test_no_space_is_told_before_anything_is_done(tmp_path, monkeypatch, out):
    series = moving.write_series(tmp_path / "scan.nx")
    free = moving.COUNT * 4 * moving.ROWS * moving.COLUMNS
    usage = shutil.disk_usage(tmp_path)._replace(free=free - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"needs 0\.00 GB, 0\.00 GB are free there; free some space"):
        plan(series, tmp_path / "not" / "there" / out, moving.SETUP)
    assert [item.name for item in tmp_path.iterdir()] == ["scan.nx"]


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shift_px": np.full((7, 2), np.nan)}, "shift_px of projection 0 is not a finite number"),
        ({"flux": np.array([1.0, 1, 1, 0, 1, 1, 1])}, "the flux of projection 3 is not positive"),
        ({"shift_px": np.full((7, 2), 72.0)}, "content that has moved by 72 px is not in an image of 60 px any more"),
    ],
)
def test_a_correction_that_can_not_be_applied(tmp_path, out, change, said):
    series = moving.write_series(tmp_path / "scan.nx")
    with pytest.raises((ExportError, SensorError), match=said):
        run(series, tmp_path / out, dataclasses.replace(moving.correction(), **change))
    assert [item.name for item in tmp_path.iterdir()] == ["scan.nx"]


def test_what_is_not_ours_stays(tmp_path):
    """A folder of ours with one more file in it, a folder of images, an HDF5 file of somebody else, the series itself."""
    series = moving.write_series(tmp_path / "scan.nx")
    run(series, tmp_path / "mixed")
    (tmp_path / "mixed" / "notes.txt").write_text("mine")
    moving.write_series(tmp_path / "tiffs")
    shutil.copy(series, tmp_path / "other.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    before = tree(tmp_path)
    for name in ("mixed", "tiffs", "other.h5", "text.h5"):
        with pytest.raises(OutputError, match=f"{name}: is there already and isn't corrected projections alone"):
            plan(series, tmp_path / name, moving.SETUP)
    with pytest.raises(OutputError, match="is in the projections to be corrected"):
        plan(series, series, moving.SETUP)
    assert tree(tmp_path) == before


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "images").mkdir()
    run(moving.write_series(tmp_path / "scan.nx"), tmp_path / "images")
    assert len(images_of(tmp_path / "images")) == moving.COUNT


@pytest.mark.parametrize("out", OUTS)
def test_what_is_corrected_already_is_not_corrected_again(tmp_path, out):
    run(moving.write_series(tmp_path / "scan.nx"), tmp_path / out)
    with pytest.raises(SensorError, match="is corrected already; give the projections as they were recorded"):
        plan(tmp_path / out, tmp_path / "again", moving.SETUP)
