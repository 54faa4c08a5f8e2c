"""How often a scan must look at a marker, at a reference image or at the bright field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import brentq

from models.blur import Budget, f10
from models.engine import Belief
from models.estimate import Array
from models.observability import prior_change_cov
from models.rehearsal import rehearse
from models.statespace import Observation
from models.turning import is_angle, of_angle
from twin.assembly import OUTPUTS
from twin.budget import budget_of
from twin.config import Config
from twin.schedule import Schedule, schedule
from twin.sections import ChannelSection

COST = 0.05  # of the resolution; a straight drift of 0.47 FWHM costs as much
REFERENCE_PX = 0.1  # σ of the shift between two reference images
OFFSET_PX = 1e4
TRIED_MIN = (5.0, 10.0, 20.0, 40.0, 60.0, 90.0, 120.0, 180.0, 240.0, 360.0)
COURSES, STEPS, SEED = 16, 100, 20002


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often something must be looked at.

    Attributes
    ----------
    what : str
    every_s : float
        Longest interval tried that suffices [s]; 0 when the shortest doesn't; inf when nothing at all suffices, too.
    left_um, allowed_um : float
        Blur (σ in the object plane) that this interval leaves, and that costs 5 % of the resolution; for the bright field
        change of the flux and the counting noise of a pixel (fractions).
    """

    what: str
    every_s: float
    left_um: float
    allowed_um: float


def allowed_blur_m(budget: Budget, target_f10: float) -> float:
    """σ of additional blur at which the resolution falls to ``target_f10`` [lp/m]; 0 where it is below already.

    Examples
    --------
    A Gaussian spot of σ 1 µm loses 5 % of its resolution to a straight drift of 0.47 FWHM, which has σ = D/√12:

    >>> spot = Budget(1e-6, 0.0, 0.0, 0.0, 1e-12)
    >>> round(float(allowed_blur_m(spot, f10(spot) / 1.05) * np.sqrt(12.0) / 2.355e-6), 2)
    0.47
    """
    if f10(budget) <= target_f10:
        return 0.0
    high = 1.0 / target_f10
    return float(brentq(lambda sigma: f10(budget, sigma**2) - target_f10, 0.0, high, xtol=1e-12))


def cadences(config: Config, wait_s: float, start: Belief | None = None) -> Iterator[Cadence]:
    """Intervals at which what is left of the drift costs at most 5 % of the resolution."""
    budget = budget_of(config)
    allowed = allowed_blur_m(budget, f10(budget) * (1.0 - COST)) * 1e6
    own_s = config.scan.duration_h * 3600.0 / config.scan.projections
    tried = [own_s, *(m * 60.0 for m in TRIED_MIN if own_s < m * 60.0 <= config.scan.duration_h * 1800.0)]
    if any(c.quantity == "marker_shift" for c in config.channels):
        left = {np.inf: _left_um(_coarse(_unmarked(config), wait_s, _unmarked_start(config, start)))}
        for every in reversed(tried):
            if left[np.inf] <= allowed:
                break
            left[every] = _left_um(_coarse(config, wait_s, start, every))
            if left[every] <= allowed:
                break
        yield _longest("marker readings", left, allowed)
    left = {np.inf: _left_um(_coarse(config, wait_s, start))}
    for every in reversed(tried):
        if left[np.inf] <= allowed:
            break
        left[every] = _left_um(_with_references(_coarse(config, wait_s, start), every))
        if left[every] <= allowed:
            break
    yield _longest("reference images", left, allowed)
    yield _bright(_coarse(config, wait_s, start))


def _coarse(config: Config, wait_s: float, start: Belief | None, marker_s: float | None = None) -> Schedule:
    def every(channel: ChannelSection) -> float | None:
        return marker_s if channel.quantity == "marker_shift" else None

    return schedule(config, wait_s=wait_s, start=start, every=every, count=STEPS)


def _longest(what: str, left: dict[float, float], allowed: float) -> Cadence:
    good = [every for every, blur in left.items() if blur <= allowed]
    every = max(good) if good else 0.0
    return Cadence(what, every, left[every] if good else min(left.values()), allowed)


def _unmarked(config: Config) -> Config:
    return config.model_copy(update={"channels": tuple(c for c in config.channels if c.quantity != "marker_shift")})


def _unmarked_start(config: Config, start: Belief | None) -> Belief | None:
    """A belief without the states that only markers have."""
    if start is None:
        return None
    with_them, without = schedule(config).machine.model.names, schedule(_unmarked(config)).machine.model
    keep = [with_them.index(name) for name in without.names]
    return Belief(start.mean[keep], start.cov[np.ix_(keep, keep)], np.zeros(len(without.channels), dtype=np.int64))


def _left_um(plan: Schedule) -> float:
    """Blur that the correction leaves."""
    played = rehearse(
        plan.machine.model, plan.prior, plan.steps, plan.machine.outputs, plan.reference, courses=COURSES, seed=SEED
    )
    return blur_um(plan, played.missed, played.weight)


def blur_um(plan: Schedule, courses: Array, weight: Array) -> float:
    """rms over courses (K, T, q) of the image's σ within the scan, the worse axis, in the object plane [µm]."""
    at = [OUTPUTS.index("shift.u"), OUTPUTS.index("shift.v")]
    moved = plan.machine.pose.object_plane_m(courses[..., at])
    return float(np.sqrt((weight @ moved.var(axis=1)).max()) * 1e6)


def _with_references(plan: Schedule, every_s: float) -> Schedule:
    """The same scan with reference images: the content's shift at angle 0, each against the first one, σ 0.1 px."""
    model, outputs = plan.machine.model, plan.machine.outputs
    offsets, sights = ("offset.reference.u", "offset.reference.v"), []
    for offset, axis in zip(offsets, "uv", strict=True):
        shift = outputs[OUTPUTS.index(f"shift.{axis}")]
        fixed = tuple(
            (s, w * float(of_angle([name], np.array(0.0))[0])) for s, name, w in shift.covariates if is_angle(name)
        )
        sights.append(Observation(f"reference.{axis}", ((offset, 1.0), *shift.linear, *fixed), shift.products))
    two = np.zeros((2, 2))
    larger = replace(
        model,
        names=(*model.names, *offsets),
        units=(*model.units, "px", "px"),
        observations=(*model.observations, *sights),
        drift=block_diag(model.drift, two),
        diffusion=block_diag(model.diffusion, two),
        input_rates=_below(model.input_rates),
        transition=block_diag(model.transition, np.eye(2)),
        noise=block_diag(model.noise, two),
        input_matrix=_below(model.input_matrix),
        mean=np.append(model.mean, [0.0, 0.0]),
        cov=block_diag(model.cov, OFFSET_PX**2 * np.eye(2)),
    )
    start = Belief(
        np.append(plan.prior.mean, [0.0, 0.0]),
        block_diag(plan.prior.cov, OFFSET_PX**2 * np.eye(2)),
        np.append(plan.prior.gated_run, [0, 0]),
    )
    count = len(plan.steps)
    readings, variances = np.full((count, 2), np.nan), np.full((count, 2), REFERENCE_PX**2)
    stride = max(round(every_s / plan.step_s), 1)
    readings[plan.reference :: stride] = 0.0
    readings[-1] = 0.0
    steps = replace(
        plan.steps,
        readings=np.hstack([plan.steps.readings, readings]),
        variances=np.hstack([plan.steps.variances, variances]),
        opened=np.hstack([plan.steps.opened, np.zeros((count, 2))]),
    )
    return Schedule(replace(plan.machine, model=larger), start, steps, plan.reference)


def _below(matrix: Array) -> Array:
    return np.vstack([matrix, np.zeros((2, matrix.shape[1]))])


def _bright(plan: Schedule) -> Cadence:
    """Bright images: until the flux has changed, in the mean square, by the counting noise of a pixel of one of them."""
    config = plan.machine.config
    counts = 0.5 * config.detector.full_scale_counts * config.detector.photons_per_count
    allowed = float(1.0 / np.sqrt(counts * config.scan.frames))
    flux = [plan.machine.outputs[OUTPUTS.index("flux")]]
    change = prior_change_cov(plan.machine.model, plan.prior.mean, plan.prior.cov, flux, plan.steps, plan.reference)
    sigma = np.sqrt(np.maximum(change[:, 0, 0], 0.0))
    over = np.flatnonzero(sigma > allowed)
    if over.size == 0:
        return Cadence("bright images", float("inf"), float(sigma.max(initial=0.0)), allowed)
    k = int(over[0])
    part = (allowed - sigma[k - 1]) / (sigma[k] - sigma[k - 1])
    return Cadence("bright images", float((k - 1 + part) * plan.step_s), allowed, allowed)
