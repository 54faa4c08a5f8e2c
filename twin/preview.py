"""Before a scan: from the model alone, what will be known, what won't, and what the tomogram will be worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.blur import tomogram_f10
from models.combination import Combination
from models.estimate import Array
from models.geometry import marker_row
from models.observability import Direction, directions, prior_change_cov
from models.rehearsal import Rehearsal, rehearse
from models.statespace import Observation
from twin.assembly import OUTPUTS, Machine
from twin.bodies import AXES, BODIES
from twin.budget import budget_of
from twin.candidates import candidates
from twin.config import Config
from twin.markers import normal_of
from twin.schedule import Schedule, schedule

CHECKED = ("source.u", "source.v", "source.w", "object.u", "object.v", "object.w", "shift.u", "shift.v", "flux")
COURSES = 24
SEED = 20001
LITTLE = 1.1  # a correction that gains no more than this is called little


@dataclass(frozen=True, slots=True)
class Expected:
    """A number over drift drawn from the prior: mean and the middle 95 %."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Array, weight: Array | None = None) -> Expected:
        """Of values that count equally, or by their weights (which add up to 1)."""
        weight = np.full(len(values), 1.0 / len(values)) if weight is None else weight
        order = [k for k in np.argsort(values) if weight[k] > 0]
        low, high = np.interp([0.025, 0.975], np.cumsum(weight[order]) - 0.5 * weight[order], values[order])
        return cls(float(weight @ values), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Preview:
    """What is known about a scan before it begins.

    Attributes
    ----------
    prior, posterior : dict of output to float
        rms σ of its change over the scan without readings and with them [µm, px, fraction].
    directions : tuple of Direction
        Combinations of displacements, the least known first [µm].
    promised_um, limit_um : float
        Half-pitch at 10 % MTF before any drift, and the scan's limit.
    uncorrected, corrected : Expected
        The same of the tomogram [µm].
    mixed : tuple of Mixed
        Marker channels that can't tell the source from their own mount.
    rehearsal : Rehearsal
        The courses themselves.
    """

    prior: dict[str, float]
    posterior: dict[str, float]
    directions: tuple[Direction, ...]
    promised_um: float
    limit_um: float
    uncorrected: Expected
    corrected: Expected
    mixed: tuple[Mixed, ...]
    rehearsal: Rehearsal

    def hidden(self) -> list[str]:
        """Outputs about which the readings say next to nothing (σ falls by less than a tenth)."""
        return [n for n, p in self.prior.items() if p > 0 and self.posterior[n] > 0.9 * p]

    @property
    def gain(self) -> float:
        """How much finer the corrected tomogram is expected to resolve."""
        return self.uncorrected.mean / self.corrected.mean


@dataclass(frozen=True, slots=True)
class Mixed:
    """A marker channel that sees source and mount as one sum; σ of their changes along its direction [µm].

    ``source``, ``mount``: (without readings, with them). ``blind``: axes of the source across it, which it can't see.
    """

    channel: str
    marker: str
    kind: str
    source: tuple[float, float]
    mount: tuple[float, float]
    blind: tuple[str, ...]


def preview(
    config: Config,
    *,
    plan: Schedule | None = None,
    courses: int = COURSES,
    progress: Callable[[float], None] | None = None,
) -> Preview:
    """Rehearse the planned scan: drift drawn from the model's prior, read by the configured channels, smoothed.

    σ with readings are mean covariances of the real smoother; σ without are exact. Resolutions are those of tomograms with
    the drawn drifts, and with what the smoother missed of them; the drawn drifts are the same whatever is read. Not drawn:
    steps of the spot, outliers, gaps, and everything the model doesn't hold (docs/explanation/model.md).
    """
    plan = schedule(config) if plan is None else plan
    machine, model = plan.machine, plan.machine.model
    mounts = list(_mounts(machine))
    outputs = (*machine.outputs, *(o for pair in mounts for o in pair[1:]))
    prior = _micro(
        prior_change_cov(model, plan.prior.mean, plan.prior.cov, outputs, plan.steps, plan.reference), outputs
    )
    played = rehearse(
        model, plan.prior, plan.steps, outputs, plan.reference,
        courses=courses, seed=SEED, progress=progress,
    )  # fmt: skip
    posterior = _micro(played.posterior, outputs)
    before = np.sqrt(np.maximum(np.diag(prior), 0.0))  # rounding leaves -1e-20 where nothing moves
    after = np.minimum(np.sqrt(np.maximum(np.diag(posterior), 0.0)), before)
    names = [o.channel for o in outputs]
    moving = [names.index(f"{body}.{axis}") for body in BODIES for axis in AXES]
    promised, uncorrected = half_pitches_um(plan, played.moved)
    _, corrected = half_pitches_um(plan, played.missed)
    return Preview(
        {n: float(before[names.index(n)]) for n in CHECKED},
        {n: float(after[names.index(n)]) for n in CHECKED},
        directions([names[i] for i in moving], prior[np.ix_(moving, moving)], posterior[np.ix_(moving, moving)]),
        promised,
        config.scan.resolution_limit_um,
        Expected.of(uncorrected, played.weight),
        Expected.of(corrected, played.weight),
        tuple(_mixed(config, mounts, names, before, after)),
        played,
    )


def half_pitches_um(plan: Schedule, courses: Array) -> tuple[float, Array]:
    """Half-pitch at 10 % MTF [µm] of a still machine, and of tomograms with courses (N, T, q) of the outputs' error."""
    budget = budget_of(plan.machine.config)
    shift = courses[..., [OUTPUTS.index("shift.u"), OUTPUTS.index("shift.v")]]
    moved = plan.machine.pose.object_plane_m(shift - shift[:, :1])
    angle = np.linspace(0.0, 2.0 * np.pi, moved.shape[1])
    still = tomogram_f10(budget, np.zeros_like(moved[0]), angle)
    return 0.5e6 / still, np.array([0.5e6 / tomogram_f10(budget, course, angle) for course in moved])


def _micro(change: Array, outputs: tuple[Observation, ...]) -> Array:
    """Mean over the scan of the covariance of changes, displacements in µm."""
    scale = np.array([1.0 if o.channel[:5] in ("shift", "magni", "flux") else 1e6 for o in outputs])
    return np.asarray(change.mean(axis=0) * np.outer(scale, scale))


def _mounts(machine: Machine) -> list[tuple[str, Observation, Observation]]:
    """Per marker channel with a mount of its own: its name, and source and mount along its direction as outputs."""
    found = []
    motions = {o.channel: o for o in machine.outputs}
    for channel in machine.config.channels:
        marker = next((m for m in machine.config.markers if m.name == channel.marker), None)
        if channel.quantity != "marker_shift" or marker is None or marker.mounted_on == "object":
            continue
        seen = next(o for o in machine.model.observations if o.channel == channel.name)
        normal = normal_of(marker, channel)
        gains, mount_gains, _ = marker_row(machine.pose, marker.source_marker_mm * 1e-3, normal)
        source, rest = Combination(), Combination(dict(seen.linear), list(seen.products), list(seen.covariates))
        rest.linear.pop(f"offset.{channel.name}", None)
        for axis, part, gain in zip("uv", normal, gains, strict=False):
            motion = motions[f"source.{axis}"]
            alone = Combination(dict(motion.linear), list(motion.products), list(motion.covariates))
            source.add(alone, part)
            rest.add(alone, -float(gain))
        mount = Combination()
        mount.add(rest, 1.0 / float(np.linalg.norm(mount_gains)))
        found.append((
            channel.name, source.observation(f"source along {channel.name}"),
            mount.observation(f"mount along {channel.name}"),
        ))  # fmt: skip
    return found


def _mixed(
    config: Config, mounts: list[tuple[str, Observation, Observation]], names: list[str], before: Array, after: Array
) -> list[Mixed]:
    """Marker channels whose source and mount both stay wider than half of what they were."""
    found = []
    for channel, source, mount in mounts:
        i, j = names.index(source.channel), names.index(mount.channel)
        section = next(c for c in config.channels if c.name == channel)
        marker = next(m for m in config.markers if m.name == section.marker)
        if not (after[i] > 0.5 * before[i] > 0 and after[j] > 0.5 * before[j] > 0):
            continue
        normal = normal_of(marker, section)
        others = [
            normal_of(marker, c) for c in config.channels if c.quantity == "marker_shift" and c.marker == marker.name
        ]
        blind = tuple(axis for k, axis in enumerate("uv") if max(abs(o[k]) for o in [normal, *others]) < 0.2)
        found.append(Mixed(
            channel, marker.name, marker.kind, (float(before[i]), float(after[i])), (float(before[j]), float(after[j])),
            blind,
        ))  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class OneMore:
    """What one more sensor would buy.

    ``corrected``: half-pitch with it [µm]; ``gain``: times that the configured sensors' is coarser, on the same drifts;
    ``posterior``: σ per output with it.
    """

    words: str
    corrected: Expected
    gain: float
    posterior: dict[str, float]


def one_more(
    config: Config, now: Preview, *, courses: int = COURSES, progress: Callable[[float], None] | None = None
) -> list[OneMore]:
    """What each sensor that could be added would change against the preview ``now``, on the same courses; the best first."""
    found = []
    options = list(candidates(config))
    for k, option in enumerate(options):
        better = preview(option.config, courses=courses)
        gain = now.corrected.mean / better.corrected.mean
        found.append(OneMore(option.words, better.corrected, gain, better.posterior))
        if progress is not None:
            progress((k + 1) / len(options))
    return sorted(found, key=lambda one: -one.gain)
