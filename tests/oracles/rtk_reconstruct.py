"""Run with an interpreter that has itk-rtk: FDK of some boxes from projections and geometry files. Imports nothing of ours.

rtk_reconstruct.py JOBS.json     a list of {"projections": NPY, "geometry": XML, "pixel": mm, "out": NPZ, "boxes": …},
boxes being a list of [first, spacing, count], each per axis x, y, z
"""

import json
import pathlib
import sys

import itk
import numpy as np
from itk import RTK as rtk  # noqa: N811


def image(array, spacing, origin):
    result = itk.image_from_array(np.ascontiguousarray(array, dtype=np.float32))
    result.SetSpacing(spacing)
    result.SetOrigin(origin)
    return result


for job in json.loads(pathlib.Path(sys.argv[1]).read_text()):
    data = np.load(job["projections"])  # (N, rows, columns), row 0 at the bottom (y smallest)
    pixel = job["pixel"]
    middle = [-(n - 1) / 2 * pixel for n in data.shape[:0:-1]]
    projections = image(data, [pixel, pixel, 1.0], [*middle, 0.0])
    geometry = rtk.read_geometry(job["geometry"])
    found = {}
    for k, (first, spacing, count) in enumerate(job["boxes"]):
        fdk = rtk.FDKConeBeamReconstructionFilter[itk.Image[itk.F, 3]].New()
        fdk.SetInput(0, image(np.zeros(count[::-1]), spacing, first))
        fdk.SetInput(1, projections)
        fdk.SetGeometry(geometry)
        fdk.Update()
        found[f"box{k}"] = itk.array_from_image(fdk.GetOutput())
    np.savez(job["out"], **found)
    print(job["out"], flush=True)
