"""Radiographs of cylinders by gVirtualXray while everything drifts; run as a program, for it talks on the standard output.

``python gvxr_cylinders.py SCENE.json OUT.npy``. A scene, in mm and in the frame of ``cylinders.py``: ``sod``, ``sdd``,
``pixel``, ``columns``, ``rows``, ``fine`` (rays per pixel and axis; the renderer's own pixels are one ray each),
``cylinders`` [[u, w, radius, top, bottom, attenuation], …], ``angle_deg`` (N), and the displacements ``source``, ``axis``,
``detector`` (N, 3). Writes transmissions (N, rows, columns), the means over a pixel's rays. Where cylinders overlap their
attenuations add. gVirtualXray's (x, y, z) is (u, v, -w).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from gvxrPython3 import gvxr

SIDES = 1440  # a facet's middle lies 2.4e-6 of the radius inside the circle
ENERGY_KEV = 30.0  # has no effect: attenuations are given


def mesh(u: float, w: float, radius: float, top: float, bottom: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners and triangles of a cylinder, seen anticlockwise from outside."""
    turn = 2.0 * np.pi * np.arange(SIDES) / SIDES
    ring = np.stack([u + radius * np.cos(turn), np.zeros(SIDES), radius * np.sin(turn) - w], axis=1)
    ends = np.add(ring, [0.0, top, 0.0]), np.add(ring, [0.0, bottom, 0.0])
    corners = np.vstack([*ends, [[u, top, -w], [u, bottom, -w]]])
    i = np.arange(SIDES)
    j, upper, lower = (i + 1) % SIDES, np.full(SIDES, 2 * SIDES), np.full(SIDES, 2 * SIDES + 1)
    triangles = [[i + SIDES, j, i], [i + SIDES, j + SIDES, j], [i, j, upper], [j + SIDES, i + SIDES, lower]]
    return corners, np.vstack([np.stack(t, axis=1) for t in triangles])


def main(scene_file: str, out: str) -> None:
    scene = json.loads(Path(scene_file).read_text())
    fine, rows, columns = scene["fine"], scene["rows"], scene["columns"]
    gvxr.createNewContext("EGL")
    gvxr.usePointSource()
    gvxr.setMonoChromaticPerPixelAtSDD(ENERGY_KEV, "keV", 1)
    gvxr.setDetectorNumberOfPixels(columns * fine, rows * fine)
    gvxr.setDetectorPixelSize(scene["pixel"] / fine, scene["pixel"] / fine, "mm")
    names = []
    for *shape, attenuation in scene["cylinders"]:
        name = f"cylinder{len(names)}"
        corners, triangles = mesh(*shape)
        gvxr.makeTriangularMesh(name, corners.ravel().tolist(), triangles.ravel().tolist(), "mm")
        gvxr.setLinearAttenuationCoefficient(name, 10.0 * attenuation, "cm-1")
        gvxr.addPolygonMeshAsInnerSurface(name)
        names.append(name)
    images = np.zeros((len(scene["angle_deg"]), rows, columns), dtype=np.float32)
    moved = zip(np.deg2rad(scene["angle_deg"]), scene["source"], scene["axis"], scene["detector"], strict=True)
    for k, (angle, source, axis, detector) in enumerate(moved):
        cos, sin = np.cos(angle), np.sin(angle)
        place = [[cos, 0.0, -sin, 0.0], [0.0, 1.0, 0.0, 0.0], [sin, 0.0, cos, 0.0], [axis[0], axis[1], -axis[2], 1.0]]
        for name in names:
            gvxr.setLocalTransformationMatrix(name, np.ravel(place).tolist())
        gvxr.setSourcePosition(source[0], source[1], scene["sod"] - source[2], "mm")
        gvxr.setDetectorPosition(detector[0], detector[1], scene["sod"] - scene["sdd"] - detector[2], "mm")
        gvxr.setDetectorUpVector(0, 1, 0)
        image = np.array(gvxr.computeXRayImage(), dtype=float) / (1e-3 * ENERGY_KEV)  # given in MeV per pixel
        images[k] = image.reshape(rows, fine, columns, fine).mean(axis=(1, 3))
    np.save(out, images)


if __name__ == "__main__":
    main(*sys.argv[1:])
