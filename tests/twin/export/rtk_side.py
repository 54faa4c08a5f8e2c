"""Run with an interpreter that has itk-rtk: what RTK makes of geometry files. Prints JSON; imports nothing of ours.

rtk_side.py matrices FILE…            → {file: [matrices] or {"error": …}}
rtk_side.py fdk VOLUME.npz FILE…      → {file: rms error of the reconstruction against the phantom}
"""

import json
import sys

import itk
import numpy as np
from itk import RTK as rtk  # noqa: N811


def matrices(path):
    try:
        geometry = rtk.read_geometry(path)
    except RuntimeError as error:
        return {"error": str(error)[-300:]}
    count = len(geometry.GetGantryAngles())
    return [itk.array_from_matrix(geometry.GetMatrix(i)).tolist() for i in range(count)]


def image(array, spacing):
    result = itk.image_from_array(np.ascontiguousarray(array, dtype=np.float32))
    result.SetSpacing(spacing)
    result.SetOrigin([-(n - 1) / 2 * s if s != 1.0 else 0.0 for n, s in zip(array.shape[::-1], spacing, strict=True)])
    return result


def fdk(path, data):
    n, voxel = int(data["size"]), float(data["voxel"])
    projections = image(data["projections"], [float(data["pixel"])] * 2 + [1.0])
    volume = image(np.zeros((n, n, n)), [voxel] * 3)
    job = rtk.FDKConeBeamReconstructionFilter[itk.Image[itk.F, 3]].New()
    job.SetInput(0, volume)
    job.SetInput(1, projections)
    job.SetGeometry(rtk.read_geometry(path))
    job.Update()
    error = itk.array_from_image(job.GetOutput()) - data["phantom"]
    middle = error[n // 8 : -n // 8, n // 8 : -n // 8, n // 8 : -n // 8]
    return float(np.sqrt(np.mean(middle**2)))


if sys.argv[1] == "matrices":
    answer = {path: matrices(path) for path in sys.argv[2:]}
else:
    loaded = np.load(sys.argv[2])
    answer = {path: fdk(path, loaded) for path in sys.argv[3:]}
sys.stdout.write("\nJSON " + json.dumps(answer) + "\n")
