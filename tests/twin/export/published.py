"""Where a consumer puts a point of the object, by its published formula, from our file alone; imports nothing of ours.

``READERS[format](path)`` gives ``project(i, point)``: (column, row) of a point (u, v, w) [mm] in projection i. Arrays can be
changed between file and formula, as a slip in an exporter would: ``READERS[format](path, change)``.
"""

from __future__ import annotations

import json

import h5py
import numpy as np

same = lambda given: given  # noqa: E731


def arrays(path, change):
    with np.load(path) as file:
        return change({name: file[name] for name in file.files})


def on_panel(source, centre, column, row, size, point):
    """Pixel where the ray meets the panel: S + t (X - S) = D + a U + b V, from the panel's centre."""
    a, b, _ = np.linalg.solve(np.column_stack([column, row, source - point]), source - centre)
    return np.array([(size[0] - 1) / 2 + a, (size[1] - 1) / 2 + b])


def astra(path, change=same):
    """astra-toolbox, functions.geom_2vec and the manual of cone_vec; voxel 0.02 mm."""
    g, voxel = arrays(path, change), 0.02
    vectors, size = g["vectors_mm"] / voxel, (int(g["columns"]), int(g["rows"]))

    def project(i, point):
        u, v, w = point
        return on_panel(*vectors[i].reshape(4, 3), size, np.array([u, w, -v]) / voxel)

    return project


def cil(path, change=same):
    """CIL, convert_flex_geometry_to_astra_vec_3D with origin bottom-left (no sign turned)."""
    g = arrays(path, change)
    sets = [
        f"{name}_set"
        for name in ("source_position", "detector_position", "detector_direction_x", "detector_direction_y")
    ]

    def project(i, point):
        u, v, w = point
        source, centre, x, y = (g[name][i] for name in sets)
        return on_panel(
            source, centre, x * g["pixel_size"][0], y * g["pixel_size"][1], g["num_pixels"], np.array([u, w, -v])
        )

    return project


def leap(path, change=same):
    """LEAP, docstring of set_modularbeam: s(x), t(x) with n = u x v."""
    g = arrays(path, change)
    names = ("sourcePositions", "moduleCenters", "colVectors", "rowVectors")
    assert {g[name].dtype for name in names} == {np.dtype(np.float32)}

    def project(i, point):
        y, c, u, v = (g[name][i].astype(float) for name in names)
        n = np.cross(u, v)
        x = np.array([point[0], -point[2], point[1]])
        scale = np.dot(c - y, n) / np.dot(x - y, n)
        s, t = (scale * np.dot(x - y, along) - np.dot(c - y, along) for along in (u, v))
        return np.array([s / g["pixelWidth"] + (g["numCols"] - 1) / 2, t / g["pixelHeight"] + (g["numRows"] - 1) / 2])

    return project


def about_z(angle, vector):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1], vector[2]])


def tigre(path, change=same):
    """TIGRE, Siddon_projection.cu: computeDeltas_Siddon, kernelPixelDetector (row index counts from the end of pixelV)."""
    g = arrays(path, change)
    (rows, columns), (dv, du) = g["nDetector"], g["dDetector"]

    def project(i, point):
        alpha, dso, dsd = g["angles"][i], g["DSO"][i], g["DSD"][i]
        first = np.array([dso - dsd, du * (-columns / 2 + 0.5), dv * (rows / 2 - 0.5)])
        first += [0, g["offDetector"][i, 1], g["offDetector"][i, 0]]
        away = g["offOrigin"][i, ::-1]
        together = g["COR"][i] * np.array([-np.sin(alpha), np.cos(alpha), 0.0])
        source = about_z(alpha, [dso, 0, 0]) - away + together
        corner = about_z(alpha, first) - away + together
        step_u, step_v = about_z(alpha, [0, du, 0]), np.array([0, 0, -dv])
        x = np.array([-point[2], point[0], -point[1]])
        a, b, _ = np.linalg.solve(np.column_stack([step_u, step_v, source - x]), source - corner)
        index = rows - 1 - b  # pixelV = nDetecV - v - 1
        return np.array([a, rows - 1 - index])  # ours: rows flipped

    return project


def tigre_back(path, change=same):
    """TIGRE, voxel_backprojection.cu: computeDeltasCube, kernelPixelBackprojectionFDK."""
    g = arrays(path, change)
    (rows, columns), (dv, du) = g["nDetector"], g["dDetector"]

    def project(i, point):
        alpha, dso, dsd = g["angles"][i], g["DSO"][i], g["DSD"][i]
        x = np.array([-point[2], point[0], -point[1]]) + g["offOrigin"][i, ::-1]
        p = about_z(-alpha, x) - [0, g["offDetector"][i, 1], g["offDetector"][i, 0]]
        p = np.array([p[0], p[1] / du - g["COR"][i] / du, p[2] / dv])
        s = np.array([dso, -g["offDetector"][i, 1] / du, -g["offDetector"][i, 0] / dv])
        t = (dso - dsd - s[0]) / (p[0] - s[0])
        y, z = (p[1:] - s[1:]) * t + s[1:]
        # a texture's texel i has its centre at i + 0.5
        return np.array([y + columns / 2 - 0.5, rows - 1 - (z + rows / 2 - 0.5)])

    return project


def openct(path, change=same):
    """OpenCT: matrix to mm from the detector's centre, v down; the volume as ctsimu 1.7.0 has it."""
    d = change(json.loads(path.read_text(encoding="utf-8")))
    matrices, size = np.array(d["projections"]["matrices"]), np.array(d["geometry"]["detectorPixel"])
    pitch = np.array(d["geometry"]["detectorSize"]) / size

    def project(i, point):
        u, v, w = point
        x = matrices[i] @ [-w, u, -v, 1.0]
        return (size - 1) / 2 + x[:2] / x[2] / pitch

    return project


def ctsimu(path, change=same):
    """CTSimU scenarios 1.2, *General structures* and *Geometry*: value + drift of the frame; stage turned about its w."""
    d = change(json.loads(path.read_text(encoding="utf-8")))
    geometry, panel, scan = d["geometry"], d["detector"], d["acquisition"]
    count = scan["number_of_projections"]
    start, stop = scan["start_angle"]["value"], scan["stop_angle"]["value"]
    assert start <= stop
    assert scan["include_final_angle"]
    sense = {"CCW": 1, "CW": -1}[scan["direction"]]
    size = np.array([panel[name]["value"] for name in ("columns", "rows")])
    pitch = np.array([panel["pixel_pitch"][axis]["value"] for axis in "uv"])

    def centre(body, i):
        said = [geometry[body]["center"][axis] for axis in "xyz"]
        return np.array([c["value"] + sum(drift["value"][i] for drift in c["drifts"]) * 1e-3 for c in said])

    def vector(body, name):
        return np.array([geometry[body][name][axis]["value"] for axis in "xyz"], float)

    def project(i, point):
        (deviation,) = geometry["stage"]["deviations"]
        angle = sense * (start + i * (stop - start) / max(count - 1, 1)) + deviation["amount"]["drifts"][0]["value"][i]
        stage_u, stage_w = vector("stage", "vector_u"), vector("stage", "vector_w")
        x = point[2] * stage_u - point[0] * np.cross(stage_w, stage_u) - point[1] * stage_w
        x = about_z(np.deg2rad(angle), x) + centre("stage", i)
        u, w = vector("detector", "vector_u"), vector("detector", "vector_w")
        column, row = u * pitch[0], np.cross(w, u) * pitch[1]
        return on_panel(centre("source", i), centre("detector", i), column, row, size, x)

    return project


def nxtomo(path, change=same):
    """NXtransformations: an item acts first, then what it depends on; NXdetector_module has the steps."""
    steps, starts = {}, {}

    def keep(name, said):
        if name.endswith("/depends_on"):
            starts[name.removesuffix("/depends_on")] = said[()].decode()
        if "transformation_type" in said.attrs:
            kind = (said.attrs["transformation_type"], said.attrs["units"])
            folder, after = name.rpartition("/")[0], said.attrs["depends_on"]
            after = None if after == "." else after.removeprefix("/entry/") if after[0] == "/" else f"{folder}/{after}"
            steps[name] = np.ravel(said[()]), np.array(said.attrs["vector"], float), kind, after

    with h5py.File(path, "r+") as file:
        entry = change(file)["entry"]
        assert entry.attrs["NeXus_Coordinate_System"] == "McStas"
        entry.visititems(keep)

    def step(name, i, x):
        values, vector, kind, _ = steps[name]
        value = values[i] if values.size > 1 else values[0]
        if kind == ("translation", "m"):
            return x + value * vector * 1e3
        assert kind == ("rotation", "degree")
        a = np.deg2rad(value)
        return x * np.cos(a) + np.cross(vector, x) * np.sin(a) + vector * (vector @ x) * (1 - np.cos(a))

    def carried(name, i, x):
        while name is not None:
            x, name = step(name, i, x), steps[name][3]
        return x

    def place(body, i, x):
        return carried(f"{body}/{starts[body]}", i, x)

    def project(i, point):
        nothing, panel = np.zeros(3), "instrument/detector/detector_module"
        x = place("sample", i, np.array([-point[0], -point[1], point[2]]))
        source, first = place("instrument/source", i, nothing), carried(f"{panel}/module_offset", i, nothing)
        column, row = (step(f"{panel}/{name}_pixel_direction", i, nothing) for name in ("fast", "slow"))
        a, b, _ = np.linalg.solve(np.column_stack([column, row, source - x]), source - first)
        return np.array([a, b])

    return project


READERS = {
    "astra": astra, "cil": cil, "leap": leap, "tigre": tigre, "tigre_back": tigre_back, "openct": openct, "ctsimu": ctsimu,
    "nxtomo": nxtomo,
}  # fmt: skip
