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


def stage_errors(rms_m: Sequence[float], harmonics: int) -> tuple[list[Block], dict[str, Combination]]:
    """Repeatable run-out and wobble of the stage at the sample's height, per axis a Fourier series in the angle:

        o_x = Σ_k a_xk cos kθ + b_xk sin kθ,   k = 1 … K,   x = u, v, w

    The coefficients are constants, each with σ = rms/√K, so that the mean square over a turn is rms². A marker on the object
    learns them from any scan; they are then known in the next one (a calibration scan).

    Parameters
    ----------
    rms_m : (3,) sequence
        Prior rms over a turn along u, v, w [m]; an axis with 0 has no states.
    harmonics : int
        K.

    Notes
    -----
    What can't be told apart, and what it matters:

    - k = 0 is the reference pose and is left out.
    - A sample that sits at (p_u, p_w) off the axis has o_u = p_u cos θ − p_w sin θ, o_w = p_u sin θ + p_w cos θ: k = 1 of u,
      with its partner in w, is *where the sample sits*. It is different for every sample, and moves a reconstruction
      without blurring it. The two other combinations of k = 1 in u and w, which go round backwards, are the stage's
      own; along u they look the same, along w they change the magnification only.
    - k = 1 of v is a tilt of the axis against its bearing, seen at the sample's height. It blurs, as do all k ≥ 2.
    - A marker on the axis is nearly blind along w: these states keep their prior.
    - Run-out and wobble × height add up at one height, and markers at one height can't tell them apart. That a tilt moves the
      top of a sample otherwise than its middle (wobble × half the sample's height) is not modelled.

    Examples
    --------
    >>> blocks, terms = stage_errors((0.0, 1e-7, 0.0), 2)
    >>> terms["v"].covariates[0], len(blocks)
    (('stage.v.cos', 'angle.cos', 1.0), 4)
    """
    blocks, terms = [], {}
    for axis, rms in zip("uvw", rms_m, strict=True):
        if rms <= 0:
            continue
        terms[axis] = Combination()
        for k in range(1, harmonics + 1):
            for part in ("cos", "sin"):
                covariate = angle_covariate(part, k)
                state = f"stage.{axis}.{covariate[len(PREFIX) :]}"
                blocks.append(random_walk(state, "m", 0.0, rms / float(np.sqrt(harmonics))))
                terms[axis].covariates.append((state, covariate, 1.0))
    return blocks, terms


def blurring(states: Sequence[str], axis: str) -> list[int]:
    """Indices of the stage's coefficients that blur along ``axis``: all of v, and of u those with k ≥ 2.

    >>> blurring(["stage.u.cos", "stage.u.sin2", "stage.v.cos"], "u")
    [1]
    """
    own = [i for i, name in enumerate(states) if name.startswith(f"stage.{axis}.")]
    return [i for i in own if axis != "u" or states[i][-1].isdigit()]


def blur_over_a_turn(mean: Array, cov: Array) -> tuple[float, float]:
    """Mean and variance of the mean square over a turn, ``½ Σ c²``, of uncertain coefficients (cos, sin alike).

    For c ~ N(m, C): ``½(m'm + tr C)``, ``½ tr C² + m'Cm``.

    Examples
    --------
    >>> blur_over_a_turn(np.array([3.0, 4.0]), np.zeros((2, 2)))
    (12.5, 0.0)
    """
    return float(0.5 * (mean @ mean + np.trace(cov))), float(0.5 * np.sum(cov * cov.T) + mean @ cov @ mean)
