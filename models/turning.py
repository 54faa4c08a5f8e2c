"""What turns with the stage: a displacement fixed to the sample, and the angle as covariates cos kθ, sin kθ.

θ = ``angle_deg`` turns the object right-handed about −v (``models/geometry.py``). All is linear in the states: the angle is a
known number, and enters only as the factor of a state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.combination import Combination
from models.estimate import Array, ModelError
from models.focal import random_walk
from models.statespace import Block

PREFIX = "angle."
SAMPLE = ("sample.u", "sample.v", "sample.w")


def angle_covariate(part: str, harmonic: int = 1) -> str:
    """Label of cos kθ or sin kθ.

    >>> angle_covariate("cos"), angle_covariate("sin", 2)
    ('angle.cos', 'angle.sin2')
    """
    return f"{PREFIX}{part}{harmonic if harmonic > 1 else ''}"


def is_angle(covariate: str) -> bool:
    """Whether a covariate is a function of the stage's angle."""
    return covariate.startswith(PREFIX)


def of_angle(covariates: Sequence[str], angle_rad: Array) -> Array:
    """Values of angle covariates, (..., c) for angles (...).

    Examples
    --------
    >>> of_angle(["angle.cos", "angle.sin2"], np.array([np.pi / 4])).round(3).tolist()
    [[0.707, 1.0]]
    """
    columns = []
    for name in covariates:
        part, harmonic = name[len(PREFIX) :][:3], name[len(PREFIX) :][3:]
        if not is_angle(name) or part not in ("cos", "sin") or not (harmonic.isdigit() or harmonic == ""):
            raise ModelError(f"covariate {name!r} is no function of the angle")
        columns.append((np.cos if part == "cos" else np.sin)(int(harmonic or 1) * angle_rad))
    return np.stack(columns, axis=-1) if columns else np.zeros((*np.shape(angle_rad), 0))


def sample_creep(per_sqrt_s: float) -> tuple[list[Block], dict[str, Combination]]:
    """Creep of the sample on its stage: a random walk fixed to the sample, and its displacement (u, v, w) in the laboratory.

    With a the creep along the directions that u, v, w have in the sample at θ = 0:

        o_u = a_u cos θ − a_w sin θ,   o_v = a_v,   o_w = a_u sin θ + a_w cos θ

    The three intensities are equal, so that where no angle is known, and hence nothing has been learnt about a_u and a_w
    apart, the σ of o_u and o_w is that of any angle.

    Parameters
    ----------
    per_sqrt_s : float
        Intensity of each component [m/√s].

    Notes
    -----
    A creep that stays the same over a scan only says where the sample sits; its change in the sample's own frame is what
    blurs. Drift of the stage (``drift.object``) stays in the laboratory: at one angle the two can't be told apart, over a
    turn they can. Wrong where the sample also tilts: points far above or below the marker then creep differently.

    Examples
    --------
    >>> sample_creep(1e-9)[1]["u"].covariates
    [('sample.u', 'angle.cos', 1.0), ('sample.w', 'angle.sin', -1.0)]
    """
    cos, sin = angle_covariate("cos"), angle_covariate("sin")
    u, v, w = SAMPLE
    blocks = [random_walk(name, "m", per_sqrt_s) for name in SAMPLE]
    return blocks, {
        "u": Combination(covariates=[(u, cos, 1.0), (w, sin, -1.0)]),
        "v": Combination({v: 1.0}),
        "w": Combination(covariates=[(u, sin, 1.0), (w, cos, 1.0)]),
    }
