"""Run with an interpreter that has astra-toolbox and ctsimu, or nxtomo: what they make of our files. Prints JSON.

Imports nothing of ours.

    consumers_side.py astra FILE…                 → what create_proj_geom holds, and geom_2vec of a scan without drift
    consumers_side.py astra-plane POINTS FILE…    → columns of points of the plane v = 0, projected on the CPU
    consumers_side.py ctsimu FILE…                → projection matrices (OpenCT) of every frame
    consumers_side.py nxtomo FILE…                → what NXtomo and NXtransformations hold, in m and degree
"""

import json
import sys

import numpy as np


def astra_takes(path):
    import astra

    g, voxel = np.load(path), 0.02
    rows, columns = int(g["rows"]), int(g["columns"])
    geometry = astra.create_proj_geom("cone_vec", rows, columns, g["vectors_mm"] / voxel)
    return {
        "type": geometry["type"],
        "size": list(astra.functions.geom_size(geometry)),
        "vectors_mm": (geometry["Vectors"] * voxel).tolist(),
    }


def astra_circle(angle_rad, pixel, size, source_axis, axis_detector):
    import astra

    cone = astra.create_proj_geom("cone", pixel, pixel, size[1], size[0], angle_rad, source_axis, axis_detector)
    return astra.functions.geom_2vec(cone)["Vectors"].tolist()


def astra_plane(path, points):
    """Centroid of the image of a blob round each point (u, w) [mm], by ASTRA's fan-beam projector on the CPU."""
    import astra

    g, half, voxels = np.load(path), 0.5, 250
    in_plane = g["vectors_mm"][:, [0, 1, 3, 4, 6, 7]]
    assert not g["vectors_mm"][:, [2, 5]].any(), "the plane v = 0 is left"
    columns = int(g["columns"])
    geometry = astra.create_proj_geom("fanflat_vec", columns, in_plane)
    volume = astra.create_vol_geom(voxels, voxels, -half, half, -half, half)
    projector = astra.create_projector("line_fanflat", geometry, volume)
    centres = (np.arange(voxels) + 0.5) / voxels * 2 * half - half
    answer = []
    for u, w in points:
        # ASTRA's image: rows from +y down
        blob = np.exp(-((centres[None, :] - u) ** 2 + (centres[::-1, None] - w) ** 2) / (2 * 0.03**2))
        number, sinogram = astra.create_sino(blob, projector)
        astra.data2d.delete(number)
        answer.append((sinogram @ np.arange(columns) / sinogram.sum(axis=1)).tolist())
    return answer


def ctsimu_reads(path):
    from ctsimu.scenario import Scenario

    scenario = Scenario(path)
    matrices = []
    for frame in range(scenario.n_frames()):
        scenario.set_frame(frame, reconstruction=True)
        matrices.append(scenario.current_geometry().projection_matrix(mode="OpenCT").value.tolist())
    x = scenario.source.center.c0
    return {"matrices": matrices, "sigma_mm": x.uncertainty, "kept": scenario.simulation["ctwin"]["file"]}


def nxtomo_reads(path):
    import pint
    from nxtomo.application.nxtomo import NXtomo
    from nxtomo.nxobject.nxtransformations import NXtransformations

    metre = pint.get_application_registry().metre
    scan = NXtomo().load(path, "entry")
    answer = {"rotation_angle": scan.sample.rotation_angle.to("degree").magnitude.tolist()}
    for axis in "xyz":
        answer[f"{axis}_translation"] = getattr(scan.sample, f"{axis}_translation").to(metre).magnitude.tolist()
    for body in ("sample", "instrument/source", "instrument/detector"):
        found = NXtransformations.load_from_file(path, f"entry/{body}/transformations", None)
        answer[body] = {
            item.axis_name: {
                "type": item.transformation_type.value,
                "vector": [float(value) for value in item.vector],
                "depends_on": item.depends_on,
                "values": np.ravel(item.transformation_values.to_base_units().magnitude).tolist(),
            }
            for item in found.transformations
        }
    return answer


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "astra":
        circle = json.loads(rest.pop(0))
        answer = {path: astra_takes(path) for path in rest} | {"circle": astra_circle(*circle)}
    elif what == "astra-plane":
        points = json.loads(rest.pop(0))
        answer = {path: astra_plane(path, points) for path in rest}
    else:
        answer = {path: {"ctsimu": ctsimu_reads, "nxtomo": nxtomo_reads}[what](path) for path in rest}
    sys.stdout.write("\nJSON " + json.dumps(answer) + "\n")
