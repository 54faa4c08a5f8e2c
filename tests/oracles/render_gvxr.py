"""Projections of wires and spheres by gVirtualXray; run as a program, for it talks on the standard output.

``python render_gvxr.py SCENE.json OUT.npz``. A scene: ``source_detector_mm``, ``source_marker_mm``, ``pixel_mm``,
``columns``, ``rows``, ``fine`` (rays per pixel and axis), ``marker`` ("wire" or "sphere"), ``energy_kev``, ``radius_mm``,
``tilt_deg``, ``place_mm`` [x, y] of the marker, ``sources_mm`` [[x, y, z], …] displacements, ``spot`` [[x, y,
weight], …] points of the focal spot [mm]. Writes ``images`` (N, rows, columns): transmission averaged over the spot;
columns grow with x, rows with y (seen by experiment), z runs from the detector to the source, so our (u, v, w) is (x,
y, -z).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from gvxrPython3 import gvxr


def main(scene_file: str, out: str) -> None:
    scene = json.loads(Path(scene_file).read_text())
    fine, rows, columns = scene["fine"], scene["rows"], scene["columns"]
    energy = scene["energy_kev"]
    near, far, pixel = scene["source_marker_mm"], scene["source_detector_mm"], scene["pixel_mm"]
    gvxr.createNewContext("EGL")
    gvxr.usePointSource()
    gvxr.setMonoChromaticPerPixelAtSDD(energy, "keV", 1)
    gvxr.setDetectorPosition(0, 0, near - far, "mm")
    gvxr.setDetectorUpVector(0, 1, 0)
    gvxr.setDetectorNumberOfPixels(columns * fine, rows * fine)
    gvxr.setDetectorPixelSize(pixel / fine, pixel / fine, "mm")
    if scene["marker"] == "wire":
        gvxr.makeCylinder("marker", 2000, 100.0 * rows * pixel * near / far, scene["radius_mm"], "mm")
        gvxr.rotateNode("marker", scene["tilt_deg"], 0, 0, 1)
    else:
        gvxr.makeSphere("marker", 720, 720, scene["radius_mm"], "mm")
    x, y = scene["place_mm"]
    gvxr.translateNode("marker", x, y, 0.0, "mm")
    gvxr.setElement("marker", "W")
    gvxr.setDensity("marker", 19.3, "g.cm-3")
    gvxr.addPolygonMeshAsInnerSurface("marker")
    images = np.zeros((len(scene["sources_mm"]), rows, columns))
    for k, (sx, sy, sz) in enumerate(scene["sources_mm"]):
        for px, py, weight in scene["spot"]:
            gvxr.setSourcePosition(sx + px, sy + py, near + sz, "mm")
            image = np.array(gvxr.computeXRayImage(), dtype=float) / (1e-3 * energy)  # given in MeV per pixel
            images[k] += weight * image.reshape(rows, fine, columns, fine).mean(axis=(1, 3))
    np.savez(out, images=images)


if __name__ == "__main__":
    main(*sys.argv[1:])
