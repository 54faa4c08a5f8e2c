"""What is wanted of a machine: displacements of source and object, image shift, magnification, flux."""

from __future__ import annotations

from collections.abc import Sequence

from models.combination import Combination
from models.geometry import ConeBeam
from models.statespace import Observation
from twin.bodies import AXES, BODIES, Motions

OUTPUTS = (
    *(f"{body}.{axis}" for body in BODIES for axis in AXES),
    "shift.u",
    "shift.v",
    "magnification",
    "flux",
)


def machine_outputs(pose: ConeBeam, motions: Motions, fluxes: Sequence[Observation]) -> tuple[Observation, ...]:
    """Outputs as :data:`OUTPUTS`, written like observations; flux as the first flux channel sees it."""
    out = [motions[f"{body}.{axis}"].observation(f"{body}.{axis}") for body in BODIES for axis in AXES]
    m, sod, pixel = pose.magnification, pose.source_object_m, pose.pixel_m
    for name, parts in (
        ("shift.u", (("source.u", -(m - 1.0) / pixel), ("object.u", m / pixel))),
        ("shift.v", (("source.v", -(m - 1.0) / pixel), ("object.v", m / pixel))),
        ("magnification", (("source.w", (1.0 - 1.0 / m) / sod), ("object.w", -1.0 / sod))),
    ):
        total = Combination()
        for body, gain in parts:
            total.add(motions[body], gain)
        out.append(total.observation(name))
    seen = fluxes[0] if fluxes else None
    out.append(Observation("flux", seen.linear, (), seen.covariates) if seen else Observation("flux", ()))
    return tuple(out)
