"""Run with an interpreter that has nabu and a CPU for OpenCL: what nabu makes of a translations file.

    nabu_side.py DATA.npz FOLDER NAME[=FILE]…     writes FOLDER/NAME.npy (rows, y, x)
    nabu_side.py DATA.npz FOLDER NAME@IMAGES.nx   the same of transmissions that need no flats

DATA holds projections (N, rows, columns) as attenuation and angle_deg; with ``record``, a file of motions whose groups
``transformations`` are copied beside the images. Imports nothing of ours.
"""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

LEVEL = 10000.0


def write_nxtomo(path, projections, angle_deg):
    """A minimal NXtomo: a dark, a flat, the projections; parallel beam."""
    n, rows, columns = projections.shape
    frames = np.empty((n + 2, rows, columns), np.float32)
    frames[0], frames[1], frames[2:] = 0, LEVEL, LEVEL * np.exp(-projections)
    with h5py.File(path, "w") as file:
        file.attrs.update(NX_class="NXroot", default="entry")
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="data")
        entry["definition"], entry["title"] = "NXtomo", "phantom"
        detector = entry.create_group("instrument/detector")
        entry["instrument"].attrs["NX_class"] = "NXinstrument"
        detector.attrs["NX_class"] = "NXdetector"
        detector["data"] = frames
        for key in ("image_key", "image_key_control"):
            detector[key] = np.array([2, 1, *([0] * n)], np.int32)
        for key in ("x_pixel_size", "y_pixel_size"):
            detector[key] = 1e-6
            detector[key].attrs["units"] = "m"
        detector["distance"] = 0.1
        detector["distance"].attrs["units"] = "m"
        detector["count_time"] = np.ones(n + 2)
        detector["count_time"].attrs["units"] = "s"
        detector["field_of_view"] = "Full"
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["name"] = "blobs"
        sample["rotation_angle"] = np.concatenate([[0, 0], angle_deg])
        sample["rotation_angle"].attrs["units"] = "degree"
        beam = entry["instrument"].create_group("beam")
        beam.attrs["NX_class"] = "NXbeam"
        beam["incident_energy"] = 20.0
        beam["incident_energy"].attrs["units"] = "keV"


def copy_transformations(record, dataset):
    with h5py.File(record) as given, h5py.File(dataset, "r+") as scan:
        for body in ("sample", "instrument/source", "instrument/detector"):
            given["entry"].copy(f"{body}/transformations", scan["entry"].require_group(body))


def reconstruct(folder, name, dataset, translations, columns, flatfield=1):
    out = folder / name
    out.mkdir()
    config = folder / f"{name}.conf"
    tools = Path(sys.executable).parent
    common = ["--output", config, "--level", "advanced", "--nocomments", "--overwrite", "--dataset", dataset]
    subprocess.run([tools / "nabu-config", *common], check=True, capture_output=True, cwd=folder)
    said = {
        "rotation_axis_position": (columns - 1) / 2, "translation_movements_file": translations,
        "[output]location": out, "file_prefix": "rec", "file_format": "hdf5", "flatfield": flatfield,
        "take_logarithm": 1, "normalize_srcurrent": 0, "enable_halftomo": 0,
    }  # fmt: skip
    lines, section = [], ""
    for line in config.read_text().splitlines():
        section = line.strip() if line.startswith("[") else section
        key = line.split("=")[0].strip()
        key = key if key in said else section + key  # location is a key of two sections
        lines.append(f"{key.removeprefix(section)} = {said[key]}" if key in said else line)
    config.write_text("\n".join(lines))
    run = subprocess.run([tools / "nabu", config], capture_output=True, text=True, cwd=folder)
    if run.returncode:
        raise SystemExit(run.stdout[-3000:] + run.stderr[-3000:])
    with h5py.File(next(out.glob("*.hdf5"))) as file:
        found = []
        file.visititems(lambda _, o: found.append(o[()]) if isinstance(o, h5py.Dataset) and o.ndim == 3 else None)
    return found[0]


if __name__ == "__main__":
    data, folder = np.load(sys.argv[1]), Path(sys.argv[2]).resolve()
    dataset = folder / "scan.nx"
    write_nxtomo(dataset, data["projections"], data["angle_deg"])
    if "record" in data:
        copy_transformations(str(data["record"]), dataset)
    for argument in sys.argv[3:]:
        columns = data["projections"].shape[2]
        name, _, images = argument.partition("@")
        if images:
            volume = reconstruct(folder, name, images, "", columns, flatfield=0)
        else:
            name, _, translations = argument.partition("=")
            volume = reconstruct(folder, name, dataset, translations, columns)
        np.save(folder / f"{name}.npy", volume)
