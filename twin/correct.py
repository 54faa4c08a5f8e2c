"""Smoothed corrections for a scan from the readings around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.bank_evidence import with_evidence
from models.blur import Budget, tomogram_f10
from models.correction import Correction
from models.engine import Steps, engine
from models.estimate import Array, ModelError
from models.geometry import CONVENTION
from models.smoother import Smoothed, smooth
from models.spot import SPOT, fwhm
from sensors.reading import Reading
from twin import __version__
from twin.align import Aligner, Vector
from twin.assembly import OUTPUTS, Machine
from twin.beam_noise import beam_betas, beam_noise
from twin.budget import budget_of, budget_with
from twin.core import Twin
from twin.edges import Edge, edges
from twin.marker_courses import MarkerCourse, courses, observed
from twin.per_projection import EARLY, PerProjection, around, per_projection, places, rows_of
from twin.scan import Scan
from twin.turning import Turned
from twin.vectorise import Vectoriser

LATE_S = 3600.0  # afterwards there is no hurry: what came too late for the live estimate still counts
BLOCK = 2048  # vectors turned into arrays at a time


@dataclass(frozen=True, slots=True)
class Corrected:
    """Corrections of a scan and what they rest on.

    Attributes
    ----------
    correction : Correction
    smoothed : Smoothed
    used : dict of channel to number of readings used
    drops : dict of cause to number of readings not used
    shaken_m2 : (2,) tuple
        Variance of measured vibration along u and v beyond the static budget's, mean over the scan [m²].
    markers : tuple of MarkerCourse
        Where markers stood in each projection.
    """

    correction: Correction
    smoothed: Smoothed
    used: dict[str, int]
    drops: dict[str, int]
    shaken_m2: tuple[float, float] = (0.0, 0.0)
    markers: tuple[MarkerCourse, ...] = ()


def correct(
    machine: Machine,
    batches: Iterable[Sequence[Reading]],
    scan: Scan,
    *,
    start: Mapping[str, Any] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Corrected:
    """Smooth all readings and give the corrections of a scan, relative to its first projection.

    Parameters
    ----------
    batches : iterable of sequences of Reading
        In order of arrival; readings before the scan (monitoring, warm-up) and after it sharpen its corrections.
    scan : Scan
        Its projections; flats, darks and references are left out.
    start : mapping, optional
        A filter snapshot to start from instead of the prior.

    Raises
    ------
    ModelError
        When the readings don't reach the scan.

    Notes
    -----
    Displacements between two instants of the estimator's grid are interpolated linearly, what turns with the stage in
    the sample's own frame, and then turned by the projection's own angle. Flux, which follows covariates that jump from
    projection to projection, is taken at the nearest instant.
    """
    twin = Twin(machine.config)
    if start is not None:
        twin.restore(start)
    aligner, vectoriser, prior = twin.aligner, twin.vectoriser, twin.belief
    vectoriser.turn_with(scan)
    aligner.late_s = max(aligner.late_s, LATE_S)
    frames = scan.only("projection")
    vectoriser.vibration.watch(float(frames.time[0]), float(frames.time[-1]))
    steps, first = collect(aligner, vectoriser, batches)
    grid = machine.config.estimator.grid_s
    place = (frames.time - first) / grid
    if not len(steps):
        raise ModelError(f"scan {scan.name}: there are no readings to correct it with")
    if place[-1] < 0 or place[0] > len(steps) - 1:
        raise ModelError(
            f"scan {scan.name}: no reading falls into it; readings span {_span(first, first + grid * (len(steps) - 1))}, "
            f"the scan {_span(frames.time[0], frames.time[-1])} (clocks, zones?)"
        )
    steps = _padded(machine, steps, int(np.ceil(-place[0])), int(np.ceil(place[-1])) + 1 - len(steps))
    reference = int(np.floor(place[0] + EARLY)) + max(int(np.ceil(-place[0])), 0)
    turned, markers = _apart(machine), observed(machine)
    expected = {name: (rate * grid * len(steps), size) for name, (rate, size) in machine.step_rates.items()}
    smoothed = smooth(
        machine.model,
        with_evidence(machine.model, prior, steps, machine.gate),
        steps,
        (*turned.wanted, *markers),
        reference=reference,
        at=around(places(frames.time, reference, grid), len(steps) - 1),
        gate=machine.gate,
        step_states=expected,
        run=engine(machine.config.estimator.engine),
        progress=progress,
    )
    stood = courses(markers, smoothed, len(turned.wanted), frames.time, rows_of(smoothed, frames.time, grid))
    smoothed = smoothed.only(len(turned.wanted))
    used = {name: int(np.isfinite(steps.readings[:, j]).sum()) for j, name in enumerate(machine.model.channels)}
    drops: dict[str, int] = {}
    for (_, cause), count in aligner.drops.items():
        drops[cause] = drops.get(cause, 0) + count
    shaken = vectoriser.vibration.beyond(budget_of(machine.config).vibration_m)
    return Corrected(
        _correction(machine, smoothed, frames, used, steps.covariates[smoothed.at]),
        smoothed,
        used,
        drops,
        shaken,
        stood,
    )


def collect(
    aligner: Aligner, vectoriser: Vectoriser, batches: Iterable[Sequence[Reading]], until: float | None = None
) -> tuple[Steps, float]:
    """All steps that batches of readings make, and the instant of the first; ``until`` adds empty steps up to there."""
    parts: list[Steps] = []
    waiting: list[Vector] = []
    first = last = float("nan")

    def take(vectors: list[Vector]) -> None:
        nonlocal first, last
        if vectors:
            first = vectors[0].time if np.isnan(first) else first
            last = vectors[-1].time
        waiting.extend(vectors)
        if len(waiting) >= BLOCK:
            parts.append(vectoriser.steps(waiting))
            waiting.clear()

    for batch in batches:
        take(aligner.add(batch))
    take(aligner.flush())
    if until is not None and not np.isnan(last):
        missing = int(np.ceil((until - last) / aligner.grid_s))
        take([Vector(last + (k + 1) * aligner.grid_s, {}) for k in range(missing)])
    parts.append(vectoriser.steps(waiting))
    return Steps.join(parts), first


def _padded(machine: Machine, steps: Steps, before: int, after: int) -> Steps:
    """Steps without readings where the scan reaches beyond the readings."""
    parts = [steps]
    if before > 0:
        parts.insert(0, Steps.empty(machine.model, before))
    if after > 0:
        parts.append(Steps.empty(machine.model, after))
    return Steps.join(parts) if len(parts) > 1 else steps


def _span(a: float, b: float) -> str:
    from sensors.timestamps import iso

    return f"{iso(a)} to {iso(b)}"


def _correction(
    machine: Machine, smoothed: Smoothed, frames: Scan, used: dict[str, int], covariates: Array
) -> Correction:
    found = _at_projections(machine, smoothed, frames.time, np.deg2rad(frames.angle_deg))
    values, std = found.mean, np.sqrt(found.variance + _anew(machine, len(frames)))
    ratio, ratio_std = _flux(machine, smoothed, frames.time, covariates)
    s, o, shift = slice(0, 3), slice(3, 6), slice(6, 8)
    zeros = np.zeros((len(frames), 3))
    provenance = (
        ("ctwin", __version__),
        ("configuration", f"{machine.config.system.name} {machine.config.digest}"),
        ("model", machine.model.model_id),
        ("estimator", f"smoothed, {machine.config.estimator.engine}"),
        ("readings", ", ".join(f"{name} {count}" for name, count in used.items())),
        ("steps", "; ".join(f"{n} {size:.3g} at step {t}" for t, n, size in smoothed.steps) or "none"),
    )
    return Correction(
        scan=frames.name,
        projection=frames.projection.astype(float),
        time=frames.time,
        angle_deg=frames.angle_deg,
        source_um=values[:, s] * 1e6,
        object_um=values[:, o] * 1e6,
        detector_um=zeros,
        shift_px=values[:, shift],
        magnification=1.0 + values[:, OUTPUTS.index("magnification")],
        flux=ratio,
        source_um_std=std[:, s] * 1e6,
        object_um_std=std[:, o] * 1e6,
        detector_um_std=zeros.copy(),
        shift_px_std=std[:, shift],
        magnification_std=std[:, OUTPUTS.index("magnification")],
        flux_std=ratio_std,
        convention=CONVENTION,
        provenance=provenance,
    )


def _anew(machine: Machine, count: int) -> Array:
    """Variance of what the stage does anew in every projection, in the difference to the first one, (N, q).

    It is in both projections, hence twice. A reading on the object that shares it would know a little more.
    """
    jitter, pose = machine.config.stage.nonrepeatable_nm * 1e-9, machine.pose
    gain = dict.fromkeys(("object.u", "object.v", "object.w"), 1.0)
    gain |= dict.fromkeys(("shift.u", "shift.v"), pose.magnification / pose.pixel_m)
    gain["magnification"] = 1.0 / pose.source_object_m
    row = 2.0 * jitter**2 * np.array([gain.get(name, 0.0) for name in OUTPUTS]) ** 2
    return np.where(np.arange(count)[:, None] > 0, row, 0.0)


def _apart(machine: Machine) -> Turned:
    """What the smoother is asked for: outputs taken apart, the spot's size, and how flux follows the beam's place."""
    names = [name for name in SPOT if name in machine.model.names]
    return Turned.of(machine.outputs, [*names, *beam_betas(machine.model)])


def _at_projections(
    machine: Machine, smoothed: Smoothed, time: Array, angle_rad: Array, only_blur: bool = False
) -> PerProjection:
    turned = _apart(machine)
    place = rows_of(smoothed, time, machine.config.estimator.grid_s)
    return per_projection(smoothed, turned.only_blur() if only_blur else turned, place, angle_rad)


def _flux(machine: Machine, smoothed: Smoothed, time: Array, covariates: Array) -> tuple[Array, Array]:
    """Factor of the flux at each projection and its σ."""
    mean, variance = smoothed.difference()
    place = rows_of(smoothed, time, machine.config.estimator.grid_s)
    near, flux = np.clip(np.rint(place).astype(int), 0, len(mean) - 1), OUTPUTS.index("flux")
    ratio = np.exp(mean[near, flux] - mean[near[0], flux])
    shaken = beam_noise(machine.config, machine.model, _apart(machine), smoothed, covariates)[near]
    apart = np.where(np.arange(len(near)) > 0, shaken + shaken[0], 0.0)
    return ratio, ratio * np.sqrt(variance[near, flux] + apart)


@dataclass(frozen=True, slots=True)
class Predicted:
    """Half-pitch at 10 % MTF of a scan [µm]: promised by the static budget, without correction, with it.

    The latter two with the spot as it was estimated over the scan, per axis, where its size is a state. ``edges``: the same
    by orientation and radius, for a scan over a whole turn.
    """

    promised_um: float
    uncorrected_um: float
    corrected_um: float
    edges: tuple[Edge, ...]


def predict_resolution(
    machine: Machine, correction: Correction, smoothed: Smoothed, shaken_m2: tuple[float, float] = (0.0, 0.0)
) -> Predicted:
    """Resolution of a tomogram of this scan, from the corrections and their σ (worst of eight edges and the axis).

    Uncorrected: the displacements given out count in full, and their error in addition. Corrected: their error alone,
    known only with the smoother's covariance, ``tr(C)/N - 1'C1/N²`` per axis. Of C the diagonal and the first
    projection's row are known here, and the mean of that row stands for the common error ``1'C1/N²``: exact when the
    error is a constant plus one that decorrelates within a small part of the scan. Of what turns with the stage only
    what blurs is counted (:meth:`twin.turning.Turned.only_blur`). Vibration beyond the static budget (``shaken_m2``) stays
    in both: no correction takes it off.
    """
    budget = budget_of(machine.config)
    pose = machine.pose
    angle = np.deg2rad(correction.angle_deg)
    scale = float(pose.object_plane_m(np.array(1.0)))
    known = _at_projections(machine, smoothed, correction.time, angle, only_blur=True)
    shift = OUTPUTS.index("shift.u")
    drift = pose.object_plane_m(known.mean[:, shift : shift + 2])
    left = 0.0
    for k in range(2):
        i = OUTPUTS.index("shift.u") + k
        left = max(left, float(known.own[:, i].mean() - known.common[:, i].mean()) * scale**2 + shaken_m2[k])
    promised = tomogram_f10(budget, np.zeros_like(drift), angle)
    plane, axial = _budgets(machine, smoothed, correction.time)
    return Predicted(
        0.5e6 / promised,
        0.5e6 / tomogram_f10(plane, drift, angle, left, axial),
        0.5e6 / tomogram_f10(plane, np.zeros_like(drift), angle, left, axial),
        edges(machine, plane, axial, np.asarray(drift), correction, left),
    )


def _budgets(machine: Machine, smoothed: Smoothed, time: Array) -> tuple[Budget, Budget]:
    """Blur in the plane and along the axis with the spot as it was on the mean over the scan (variances average)."""
    turned = _apart(machine)
    if not set(SPOT) <= set(turned.states):
        stated = budget_of(machine.config)
        return stated, stated
    place = rows_of(smoothed, time, machine.config.estimator.grid_s)
    near = np.clip(np.rint(place).astype(int), 0, len(smoothed.mean) - 1)
    found = []
    for name in SPOT:
        variance = float(smoothed.mean[near, turned.count + turned.states.index(name)].mean())
        found.append(budget_with(machine.config, fwhm(variance, 0.0)[0]))
    return found[0], found[1]
