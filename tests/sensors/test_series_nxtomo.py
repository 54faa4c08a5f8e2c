"""Series in HDF5: NXtomo in its variants, the data exchange layout, links that dangle, and real files of synchrotrons."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest

from sensors.images.formats import open_series
from sensors.images.nexus_streams import read_streams
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError
from tests.real_data import data_file
from twin.scan import ScanError, read_scan

KEY = np.array([2, 1, 0, 0, 3, 0, 1])
IMAGES = np.random.default_rng(2).integers(0, 60000, (7, 9, 11), dtype=np.uint16)
ANGLE = np.array([0, 0, 0, 0.1, 0.1, 0.2, 0.2])
START, SECONDS = 1772366400.0, np.arange(7) * 5.0 + 2.5
DETECTOR = "instrument/detector"


def nxtomo(path, *, remove=(), add=None, entry_attributes=None):
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        for key, value in (entry_attributes or {}).items():
            entry.attrs[key] = value
        detector = entry.create_group(DETECTOR)
        detector["data"] = IMAGES
        detector["image_key"] = KEY
        detector["time"] = SECONDS
        detector["time"].attrs.update(units="s", start="2026-03-01T12:00:00Z")
        entry["sample/rotation_angle"] = ANGLE
        entry["sample/rotation_angle"].attrs["units"] = "degree"
        for name in remove:
            del entry[name]
        for name, value in (add or {}).items():
            if name in entry:
                del entry[name]
            entry[name] = value
    return path


def notes(series):
    return " | ".join(series.contents.notes)


def test_frames_in_their_order_without_invalid_ones(tmp_path):
    path = nxtomo(tmp_path / "a.nxs")
    series = open_series(path)
    frames = series.contents.frames
    assert [(f.kind, f.index) for f in frames] == [
        ("dark", 0), ("flat", 0), ("projection", 0), ("projection", 1), ("projection", 2), ("flat", 1),
    ]  # fmt: skip
    order = [0, 1, 2, 3, 5, 6]
    for k, frame in enumerate(order):
        np.testing.assert_array_equal(series.image(k), IMAGES[frame])
    np.testing.assert_array_equal(series.image(4, slice(1, 8, 3), slice(2, 9, 2)), IMAGES[5, 1:8:3, 2:9:2])
    assert [f.time for f in frames] == [START + SECONDS[k] for k in order]
    assert [f.angle_deg for f in frames] == [ANGLE[k] for k in order]
    assert (series.contents.shape, series.contents.clock) == ((9, 11), "/entry/instrument/detector/time")
    assert frames[4].place == f"{path}, frame 5"
    scan = read_scan(path)  # the same file as a scan says the same
    assert (scan.kind, scan.time.tolist()) == (tuple(f.kind for f in frames), [f.time for f in frames])
    series.close()
    series.close()
    with pytest.raises(SensorError, match="frame 0"):
        series.image(0)


def test_a_series_leaves_the_file_to_its_writer(tmp_path):
    path = nxtomo(tmp_path / "a.nxs")
    series = open_series(path)
    script = f"import h5py; f = h5py.File({str(path)!r}, 'r+'); f['entry/{DETECTOR}/data'][0] = 7; f.close()"
    subprocess.run([sys.executable, "-c", script], check=True)
    series.close()


def test_frames_for_alignment_are_references(tmp_path):
    add = {f"{DETECTOR}/image_key_control": np.array([2, 1, 0, 0, 3, -1, 1])}
    series = open_series(nxtomo(tmp_path / "a.h5", add=add))
    assert [f.kind for f in series.contents.frames] == ["dark", "flat", "projection", "projection", "reference", "flat"]
    assert read_scan(tmp_path / "a.h5").kind[4] == "reference"
    series.close()


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f4", "f8"])
def test_types_and_chunks(tmp_path, compression, dtype):
    images = (IMAGES % 200).astype(dtype)
    with h5py.File(nxtomo(tmp_path / "a.nx", remove=[f"{DETECTOR}/data"]), "r+") as file:
        file.create_dataset(f"entry/{DETECTOR}/data", data=images, chunks=(3, 4, 5), compression=compression)
    series = open_series(tmp_path / "a.nx")
    assert series.image(2).dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(series.image(3), images[3])
    series.close()


def test_images_in_an_nxdata_and_through_links(tmp_path):
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["deep/inside"] = IMAGES
    with h5py.File(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/data"]), "r+") as file:
        file["entry/imaging"] = h5py.SoftLink("/entry/real")
        real = file.create_group("entry/real")
        real.attrs["NX_class"] = "NXdata"
        real["data"] = h5py.ExternalLink("images.h5", "/deep/inside")
    series = open_series(tmp_path / "a.nxs")
    np.testing.assert_array_equal(series.image(2), IMAGES[2])
    series.close()


def test_a_link_of_another_machine_is_looked_for_beside(tmp_path):
    with h5py.File(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/data"]), "r+") as file:
        file[f"entry/{DETECTOR}/data"] = h5py.ExternalLink("/dls/data/images.h5", "/x")
    with pytest.raises(SensorError, match=r"are in /dls/data/images\.h5, which is not there; copy that file beside it"):
        open_series(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["x"] = IMAGES
    series = open_series(tmp_path / "a.nxs")
    np.testing.assert_array_equal(series.image(5), IMAGES[6])
    series.close()


def test_the_detector_whose_images_are_there_is_taken(tmp_path):
    with h5py.File(nxtomo(tmp_path / "a.nxs"), "r+") as file:
        other = file.create_group("entry/instrument/another")
        other["image_key"] = KEY
        other["data"] = h5py.ExternalLink("gone.h5", "/x")
        file.move(f"entry/{DETECTOR}", "entry/instrument/zimaging")
    series = open_series(tmp_path / "a.nxs")
    np.testing.assert_array_equal(series.image(0), IMAGES[0])
    series.close()


def test_virtual_data_sets_need_their_sources(tmp_path):
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["x"] = IMAGES
    layout = h5py.VirtualLayout(IMAGES.shape, IMAGES.dtype)
    layout[:] = h5py.VirtualSource("part.h5", "x", IMAGES.shape)
    with h5py.File(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/data"]), "r+") as file:
        file.create_virtual_dataset(f"entry/{DETECTOR}/data", layout)
    series = open_series(tmp_path / "a.nxs")
    np.testing.assert_array_equal(series.image(2), IMAGES[2])
    series.close()
    (tmp_path / "part.h5").unlink()
    with pytest.raises(SensorError, match=r"needs part\.h5, which is not there"):  # HDF5 would give zeros
        open_series(tmp_path / "a.nxs")


def test_times_of_the_whole_scan_are_spread_and_it_is_said(tmp_path):
    add = {"start_time": "2026-03-01T13:00:00", "end_time": "2026-03-01T13:00:14"}
    series = open_series(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/time"], add=add), timezone="Europe/Berlin")
    assert [f.time - START for f in series.contents.frames] == [1, 3, 5, 7, 11, 13]
    assert series.contents.clock == "/entry/start_time to end_time, spread evenly"
    assert "no time per frame; the 14.0 s of the scan are spread evenly over 7 frames" in notes(series)
    series.close()


def test_without_times_and_angles_images_are_there_all_the_same(tmp_path):
    series = open_series(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/time", "sample"]))
    assert np.isnan([(f.time, f.angle_deg) for f in series.contents.frames]).all()
    assert (series.contents.clock, "no sample/rotation_angle" in notes(series)) == ("", True)
    series.close()
    add = {f"{DETECTOR}/time": SECONDS[:3], "sample/rotation_angle": ANGLE[:3]}
    series = open_series(nxtomo(tmp_path / "b.nxs", add=add))
    assert "time has shape (3,), image_key has 7 frames; one value per frame; not used" in notes(series)
    assert "rotation_angle has shape (3,)" in notes(series)
    series.close()


def test_fewer_images_than_keys(tmp_path):
    series = open_series(nxtomo(tmp_path / "a.nxs", add={f"{DETECTOR}/data": IMAGES[:4]}))
    assert [f.kind for f in series.contents.frames] == ["dark", "flat", "projection", "projection"]
    assert "image_key has 7 frames, the images are 4" in notes(series)
    series.close()


def test_monitors_become_streams_of_the_projections(tmp_path):
    with h5py.File(nxtomo(tmp_path / "a.nxs"), "r+") as file:
        for name in ("control", "gone"):
            file.create_group(f"entry/{name}").attrs["NX_class"] = "NXmonitor"
        file["entry/control/data"] = np.arange(7) * 1.5
        file["entry/gone/data"] = h5py.ExternalLink("lost.h5", "/x")
        file["entry/instrument/lab/t"] = np.arange(7) + 20.0
        file["entry/instrument/lab/t"].attrs["units"] = "degC"
    series = open_series(tmp_path / "a.nxs")
    (stream,) = series.contents.streams
    assert (stream.name, stream.quantity, stream.unit, stream.values) == ("control", "flux", "counts", (3.0, 4.5, 7.5))
    assert "lost.h5: not there, so no gone" in notes(series)
    series.close()
    found = read_streams(tmp_path / "a.nxs")
    assert [(s.name, s.quantity, len(s.values)) for s in found.streams] == [
        ("control", "flux", 7),
        ("t", "temperature", 7),
    ]
    assert list(found.times) == (START + SECONDS).tolist()


def test_the_data_exchange_layout(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = IMAGES[:4]
        file["exchange/data_white"] = IMAGES[4:6]
        file["exchange/data_white_post"] = IMAGES[:1]
        file["exchange/data_dark"] = IMAGES[6:]
        file["exchange/theta"] = np.deg2rad([0, 10, 20, 30])
        file["exchange/theta"].attrs["units"] = "rad"
    series = open_series(tmp_path / "a.h5")
    assert [(f.kind, f.index) for f in series.contents.frames] == [
        ("dark", 0), ("flat", 0), ("flat", 1), *[("projection", k) for k in range(4)], ("flat", 2),
    ]  # fmt: skip
    assert [f.angle_deg for f in series.contents.frames[3:7]] == pytest.approx([0, 10, 20, 30])
    np.testing.assert_array_equal(series.image(2), IMAGES[5])
    np.testing.assert_array_equal(series.image(7), IMAGES[0])
    assert "the order of flats and darks isn't told" in notes(series)
    series.close()


def test_a_lone_data_set_of_images(tmp_path):
    with h5py.File(tmp_path / "a.hdf", "w") as file:
        file["some/where"] = IMAGES
        file["some/table"] = np.zeros((3, 4))
    series = open_series(tmp_path / "a.hdf")
    assert len(series.contents.frames) == 7
    assert "no NXtomo; /some/where is taken as projections" in notes(series)
    series.close()
    with h5py.File(tmp_path / "a.hdf", "r+") as file:
        file["another"] = IMAGES
    with pytest.raises(SensorError, match=r"has no NXentry; .* \(and 2 data sets could be images\)"):
        open_series(tmp_path / "a.hdf")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"remove": [f"{DETECTOR}/data"]}, "no images under /entry/instrument/detector"),
        ({"add": {f"{DETECTOR}/data": IMAGES[0]}}, "no images under"),
        ({"add": {f"{DETECTOR}/data": [["a"]] * 7}}, "no images under"),
        ({"add": {f"{DETECTOR}/data": IMAGES + 1j}}, "not up to a million frames of numbers"),
        ({"add": {f"{DETECTOR}/data": IMAGES[:, :0]}}, r"has shape \(7, 0, 11\)"),
        ({"add": {f"{DETECTOR}/image_key": np.full(7, 8)}}, "image_key 8 is unknown"),
        ({"add": {f"{DETECTOR}/image_key": np.zeros((7, 2))}}, "must have one entry per frame"),
    ],
)
def test_each_fault_is_one_line_with_file_place_and_mend(tmp_path, changes, words):
    path = nxtomo(tmp_path / "a.nxs", **changes)
    with pytest.raises(SensorError, match=words) as fault:
        open_series(path)
    assert str(fault.value).startswith(str(path))
    assert "\n" not in str(fault.value)


def test_a_filter_that_is_not_installed(tmp_path, monkeypatch):
    with h5py.File(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/data"]), "r+") as file:
        file.create_dataset(f"entry/{DETECTOR}/data", data=IMAGES, chunks=(1, 9, 11), compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(SensorError, match="is compressed with the filter deflate; pip install hdf5plugin"):
        open_series(tmp_path / "a.nxs")


def test_a_billion_frames_are_a_corrupt_header(tmp_path):
    with h5py.File(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/data", f"{DETECTOR}/image_key"]), "r+") as file:
        file.create_dataset(f"entry/{DETECTOR}/data", (10**9, 4, 4), "u2", chunks=(1, 4, 4))
        file.create_dataset(f"entry/{DETECTOR}/image_key", (10**9,), "u1", chunks=(1000,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", (10**9, 4, 4), "u2", chunks=(1, 4, 4))
    for name in ("a.nxs", "b.h5"):
        with pytest.raises(SensorError, match=r"has shape \(1000000000, 4, 4\) of uint16, not up to a million frames"):
            open_series(tmp_path / name)
    with pytest.raises(ScanError, match="must have one entry per frame"):
        read_scan(tmp_path / "a.nxs")


def test_a_frame_of_gigabytes_gives_windows_only(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (3, 40_000, 40_000), "u2", chunks=(1, 100, 100))
        data[1, 30_050, 20] = 9
    series = open_series(tmp_path / "a.h5")
    assert series.image(1, slice(30_000, 30_100), slice(0, 100)).sum() == 9
    with pytest.raises(SensorError, match="40000 × 40000 px are no projection"):
        series.image(1)
    series.close()


def test_a_file_that_is_cut_is_unfinished(tmp_path):
    path = nxtomo(tmp_path / "a.nxs")
    whole = path.read_bytes()
    for part in (len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:part])
        with pytest.raises(UnfinishedError, match="truncated"):
            open_series(path)


def test_a_corrupt_chunk_costs_its_frame_only(tmp_path):
    with h5py.File(nxtomo(tmp_path / "a.nxs", remove=[f"{DETECTOR}/data"]), "r+") as file:
        data = file.create_dataset(f"entry/{DETECTOR}/data", data=IMAGES, chunks=(1, 9, 11), compression="gzip")
        chunk = data.id.get_chunk_info(3)
    with (tmp_path / "a.nxs").open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    series = open_series(tmp_path / "a.nxs")
    np.testing.assert_array_equal(series.image(2), IMAGES[2])
    with pytest.raises(SensorError, match=r"a\.nxs, frame 3: can't be read") as fault:
        series.image(3)
    assert "\n" not in str(fault.value)
    np.testing.assert_array_equal(series.image(4), IMAGES[5])
    series.close()


def test_flipped_bytes_never_give_anything_but_one_line(tmp_path):
    path = nxtomo(tmp_path / "a.nxs")
    whole = path.read_bytes()
    said = []
    for k in range(0, min(len(whole), 6000), 61):
        bad = bytearray(whole)
        bad[k : k + 4] = bytes(255 - b for b in bad[k : k + 4])
        path.write_bytes(bad)
        try:
            series = open_series(path)
            try:
                series.image(2)
            finally:
                series.close()
        except SensorError as error:
            said.append(str(error))
    assert len(said) > 5
    assert not any("\n" in line for line in said)


def test_k11_dangling_links_do_not_stop_it():
    path = data_file("k11/k11-18014.nxs")
    series = open_series(path)
    frames = series.contents.frames
    kinds = [f.kind for f in frames]
    assert (len(frames), series.contents.shape) == (3201, (22, 26))
    assert kinds == ["flat"] * 50 + ["dark"] * 50 + ["projection"] * 3001 + ["flat"] * 50 + ["dark"] * 50
    assert frames[100].angle_deg == pytest.approx(89.995, abs=0.001)
    assert frames[3100].angle_deg == pytest.approx(269.995, abs=0.001)
    assert frames[-1].time - frames[0].time == pytest.approx(98.907 * 3200 / 3201)
    assert "not there, so no LinkamTemp, RingCurrent" in notes(series)
    mean = [np.mean([series.image(k).mean() for k in range(a, a + 50)]) for a in (0, 50, 3101, 3151)]
    assert 100 * ((mean[2] - mean[3]) / (mean[0] - mean[1]) - 1) == pytest.approx(1.52, abs=0.05)
    series.close()


def test_tooth():
    series = open_series(data_file("tooth/tooth.h5"))
    kinds = [f.kind for f in series.contents.frames]
    assert [kinds.count(kind) for kind in ("projection", "flat", "dark")] == [181, 10, 10]
    assert series.contents.shape == (2, 640)
    assert [f.angle_deg for f in series.contents.frames if f.kind == "projection"][180] == pytest.approx(
        179.0, abs=0.01
    )
    seen = [series.image(kinds.index(kind) + 3) for kind in ("projection", "flat", "dark")]
    series.close()
    with h5py.File(data_file("tooth/tooth.h5")) as file:
        for image, name in zip(seen, ("data", "data_white", "data_dark"), strict=True):
            np.testing.assert_array_equal(image, file["exchange"][name][3])


def test_an_ion_chamber_log_without_its_images():
    path = data_file("i13/24888.nxs")
    with pytest.raises(SensorError, match=r"are in /dls/.*/pco1-24888\.hdf, which is not there") as fault:
        open_series(path)
    assert "\n" not in str(fault.value)
    found = read_streams(path)
    (chamber,) = found.streams
    assert (chamber.name, chamber.quantity, len(chamber.values)) == ("ionc_i", "flux", 111)
    assert found.times[-1] - found.times[0] == pytest.approx(103.4, abs=0.1)
    slope, mean = np.polyfit(np.array(found.times) - found.times[0], chamber.values, 1)
    assert 100 * slope * 103.4 / mean == pytest.approx(-0.34, abs=0.03)
