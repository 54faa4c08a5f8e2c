"""One TIFF file: whatever wrote it, only what is asked for, and one line for what can't be read."""

from __future__ import annotations

import struct
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest

from sensors.images.formats import open_series
from sensors.images.tiff_file import first_page, pages, read_page, read_tiff
from sensors.images.unfinished import UnfinishedError
from sensors.images.window import MOST_BYTES
from sensors.reading import SensorError
from tests.real_data import data_file

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(3)


def counts(shape=(37, 53), dtype=np.uint16):
    if np.issubdtype(dtype, np.floating):
        return RNG.normal(size=shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def own_tiff(rows, columns, *, offset=512, bits=16, size=None, strips=1, order="<"):
    """Header of a TIFF file, written here by the specification; its pixels are zeros of a sparse file."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))
    tags = [(256, 4, columns), (257, 4, rows), (258, 3, bits), (259, 3, 1), (273, 4, offset), (277, 3, 1),
            (278, 4, rows), (279, 4, size if size is not None else rows * columns * bits // 8)]  # fmt: skip
    data += struct.pack(order + "H", len(tags))
    for tag, kind, value in tags:
        data += struct.pack(order + "HHI", tag, kind, strips if tag in (273, 279) else 1)
        data += struct.pack(order + ("H2x" if kind == 3 else "I"), value)
    return bytes(data + struct.pack(order + "I", 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_every_type_and_byte_order(tmp_path, dtype, byteorder, bigtiff):
    image = counts(dtype=dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, byteorder=byteorder, bigtiff=bigtiff)
    assert first_page(path).offset > 0  # it is read without tifffile
    read = read_tiff(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, image)
    np.testing.assert_array_equal(read_tiff(path, slice(3, 30, 4), slice(2, 41, 3)), image[3:30:4, 2:41:3])
    np.testing.assert_array_equal(read_tiff(path, slice(-5, None), slice(-1, None)), image[-5:, -1:])
    assert read_tiff(path, slice(9, 9)).shape == (0, 53)


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"compression": "zlib", "tile": (16, 16)},
        {"rowsperstrip": 5},
        {"rowsperstrip": 1},
        {"rowsperstrip": 7, "compression": "zlib"},
        {"photometric": "miniswhite"},
    ],
)
def test_every_layout(tmp_path, how):
    image = counts()
    path = tmp_path / "a.tif"
    try:
        tifffile.imwrite(path, image, **how)
    except (ValueError, KeyError) as error:
        pytest.skip(f"tifffile can't write {how} here: {error}")
    np.testing.assert_array_equal(read_tiff(path), image)
    np.testing.assert_array_equal(read_tiff(path, slice(3, 30, 4), slice(2, 41, 3)), image[3:30:4, 2:41:3])


def test_a_large_image_in_blocks(tmp_path):
    image = counts((3000, 700))
    tifffile.imwrite(tmp_path / "a.tif", image)
    for rows, columns in [
        (slice(None), slice(5, 6)),
        (slice(17, 2999, 7), slice(None, None, 50)),
        (slice(2999, None), slice(3)),
    ]:
        np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif", rows, columns), image[rows, columns])


def test_twelve_bits_packed(tmp_path):
    image = counts((20, 40)) // 16
    packed = np.empty((20, 60), np.uint8)
    first, second = image[:, ::2].astype(int), image[:, 1::2].astype(int)
    packed[:, ::3], packed[:, 1::3], packed[:, 2::3] = first >> 4, (first & 15) << 4 | second >> 8, second & 255
    (tmp_path / "a.tif").write_bytes(
        own_tiff(20, 40, bits=12, offset=200, order=">", size=1200).ljust(200, b"\0") + packed.tobytes()
    )
    check_or_install(tmp_path / "a.tif", image)


def check_or_install(path, image):
    """Read by tifffile where it has imagecodecs, otherwise refused with what to install."""
    if find_spec("imagecodecs"):
        np.testing.assert_array_equal(read_tiff(path), image)
        return
    with pytest.raises(SensorError, match=r"can't be decoded .*; pip install imagecodecs") as fault:
        read_tiff(path)
    assert "\n" not in str(fault.value)


def test_other_compressions_are_read_or_say_what_to_install(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    image = counts(dtype=np.uint8)
    pillow.fromarray(image).save(tmp_path / "packbits.tif", compression="packbits")
    np.testing.assert_array_equal(read_tiff(tmp_path / "packbits.tif"), image)
    pillow.fromarray(image).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    check_or_install(tmp_path / "lzw.tif", image)


def test_a_stack_of_many_images(tmp_path):
    images = counts((30, 12, 17))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for k, image in enumerate(images):
            file.write(image, datetime=f"2024:05:06 10:00:{k:02d}", contiguous=False)
    found = pages(tmp_path / "a.tif")
    assert len(found) == 30
    np.testing.assert_array_equal(read_page(tmp_path / "a.tif", found[29], slice(2, 5)), images[29, 2:5])
    series = open_series(tmp_path / "a.tif", timezone="Europe/Berlin")
    assert [f.time for f in series.contents.frames] == [1714982400.0 + k for k in range(30)]
    assert series.contents.clock == "TIFF tag DateTime"
    np.testing.assert_array_equal([series.image(k) for k in range(30)], images)


def test_a_compressed_stack_and_one_of_imagej(tmp_path):
    images = counts((5, 12, 17))
    tifffile.imwrite(tmp_path / "z.tif", images, compression="zlib", photometric="minisblack")
    tifffile.imwrite(tmp_path / "ij.tif", images, imagej=True)
    one_header = tmp_path / "one.tif"  # as ImageJ writes stacks above 4 GB: one header, the pixels behind it
    text = b"ImageJ=1.53t\nimages=5\nslices=5\n\0"
    head = bytearray(own_tiff(12, 17, offset=400))
    head[8:10] = struct.pack("<H", 9)
    entries = sorted(
        [head[k : k + 12] for k in range(10, 10 + 96, 12)] + [struct.pack("<HHII", 270, 2, len(text), 300)]
    )
    one_header.write_bytes(
        (bytes(head[:10]) + b"".join(map(bytes, entries)) + b"\0" * 4).ljust(300, b"\0") + text.ljust(100, b"\0")
        + images.astype("<u2").tobytes()
    )  # fmt: skip
    for name in ("z.tif", "ij.tif", "one.tif"):
        series = open_series(tmp_path / name)
        assert len(series.contents.frames) == 5, name
        np.testing.assert_array_equal([series.image(k) for k in range(5)], images)


def test_thumbnails_are_no_images(tmp_path):
    image = counts((64, 64))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(image)
        file.write(image[::8, ::8], subfiletype=1)
        file.write(image + 1)
    found = pages(tmp_path / "a.tif")
    assert len(found) == 2
    np.testing.assert_array_equal(read_page(tmp_path / "a.tif", found[1]), image + 1)


def test_real_images():
    folder = data_file("i13/image_test")
    for path in (folder / "flat_00001.tiff", folder / "tiffs" / "raw_00007.tiff"):
        np.testing.assert_array_equal(read_tiff(path), tifffile.imread(path))
    with pytest.raises(SensorError, match="has 3 values per pixel"):
        read_tiff(data_file("edges/h_edge.tif"))


def good(tmp_path):
    tifffile.imwrite(tmp_path / "good.tif", counts())
    return (tmp_path / "good.tif").read_bytes()


@pytest.mark.parametrize("part", [0, 1, 3, 4, 7, 8, 9, 40, 150, 200, 500, 3000, -1])
def test_a_file_cut_anywhere_is_unfinished(tmp_path, part):
    (tmp_path / "a.tif").write_bytes(good(tmp_path)[:part])
    with pytest.raises(UnfinishedError) as fault:
        read_tiff(tmp_path / "a.tif")
    assert fault.value.retry
    assert str(fault.value).startswith(str(tmp_path / "a.tif"))
    assert "\n" not in str(fault.value)


def test_a_compressed_file_cut_anywhere_is_unfinished(tmp_path):
    tifffile.imwrite(tmp_path / "z.tif", counts(), compression="zlib")
    whole = (tmp_path / "z.tif").read_bytes()
    for part in (10, 150, 300, len(whole) - 1):
        (tmp_path / "a.tif").write_bytes(whole[:part])
        with pytest.raises(UnfinishedError):
            read_tiff(tmp_path / "a.tif")


def test_zeros_may_become_a_file(tmp_path):
    (tmp_path / "a.tif").write_bytes(bytes(5000))
    with pytest.raises(UnfinishedError, match="begins with zeros"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"projection,time,angle_deg\n", "is no TIFF file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no TIFF file"),
        (b"II\x2b\x01" + bytes(100), "is no TIFF file"),
        (b"II*\0\x08\0\0\0\x00\x00" + bytes(100), "a header of 0 tags"),
        (b"II*\0\x08\0\0\0\xff\xff" + bytes(100), "a header of 65535 tags"),
        (own_tiff(0, 100) + bytes(1000), "an image of 0 × 100 px"),
        (own_tiff(10, 10, strips=0) + bytes(1000), "doesn't say where its pixels are"),
    ],
)
def test_what_is_no_image_is_one_line(tmp_path, data, words):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(SensorError, match=words) as fault:
        read_tiff(tmp_path / "a.tif")
    assert not isinstance(fault.value, UnfinishedError)
    assert "\n" not in str(fault.value)


def test_flipped_bytes_never_give_anything_but_one_line(tmp_path):
    whole = bytearray(good(tmp_path))
    path = tmp_path / "a.tif"
    said = []
    for k in range(0, 400):
        bad = bytearray(whole)
        bad[k] ^= 0xFF
        path.write_bytes(bad)
        try:
            read_tiff(path)
        except SensorError as error:
            said.append(str(error))
    assert len(said) > 20
    assert not any("\n" in line for line in said)


def test_corrupt_compression_is_one_line(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counts(), compression="zlib")
    page = tifffile.TiffFile(tmp_path / "a.tif").pages[0]
    at = page.dataoffsets[0]
    page.parent.close()
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 40)
    with pytest.raises(SensorError, match="can't be decoded") as fault:
        read_tiff(tmp_path / "a.tif")
    assert "\n" not in str(fault.value)


def test_ten_gigabytes_take_no_memory(tmp_path):
    rows, columns = 70_000, 72_000
    path = tmp_path / "a.tif"
    with path.open("wb") as file:
        file.write(own_tiff(rows, columns, size=0))
        file.truncate(512 + rows * columns * 2)
    with path.open("r+b") as file:  # the last pixel is 7
        file.seek(512 + rows * columns * 2 - 2)
        file.write(b"\7\0")
    # TIFF's byte counts have 32 bits, so the one of a strip above 4 GB is a lie; here it is 0
    tracemalloc.start()
    try:
        with pytest.raises(SensorError, match="70000 × 72000 px are no projection"):
            read_tiff(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_window_of_a_huge_image_takes_the_window_s_memory(tmp_path):
    rows, columns = 30_000, 60_000  # 3.6 GB
    path = tmp_path / "a.tif"
    with path.open("wb") as file:
        file.write(own_tiff(rows, columns))
        file.truncate(512 + rows * columns * 2)
    with path.open("r+b") as file:
        file.seek(512 + (20_000 * columns + 777) * 2)
        file.write(b"\7\0")
    tracemalloc.start()
    try:
        window = read_tiff(path, slice(19_990, 20_010), slice(770, 780))
        assert window[10, 7] == 7
        assert window.sum() == 7
        assert tracemalloc.get_traced_memory()[1] < 3e6
        with pytest.raises(SensorError, match="no projection"):
            read_tiff(path)
    finally:
        tracemalloc.stop()
    assert rows * columns * 2 > MOST_BYTES


def test_what_is_not_there(tmp_path):
    with pytest.raises(SensorError, match="no such file"):
        read_tiff(tmp_path / "gone.tif")
    with pytest.raises(SensorError, match="is a folder"):
        read_tiff(tmp_path)


def test_windows_run_forwards(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", counts())
    with pytest.raises(ValueError, match="forwards"):
        read_tiff(tmp_path / "a.tif", slice(None, None, -1))
