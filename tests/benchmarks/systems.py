"""The models that are timed: a shipped profile's own structure, with fewer parts or with more sensors on it."""

from __future__ import annotations

import numpy as np

from models.engine import Steps
from models.statespace import StateSpace
from twin.assembly import Machine, assemble
from twin.config import Config
from twin.profiles import load_profile
from twin.sections import ChannelSection, Drift, Drifts, Link, Marker, Node

SEED = 1
SENSITIVITY_KNOWN = {
    "sensitivity_sigma": 0.0,
    "direction_sigma": 0.0,
}  # no products of states, so that any library can filter it


def small() -> Machine:
    """12 states, 4 channels: XRM-II's room, stage and target, walks and creep in the image plane, one textured marker."""
    config = _known(load_profile("xrm2-nanoct"))
    channels = tuple(c for c in config.channels if c.quantity in ("temperature", "marker_shift"))
    return _sized(config, _in_the_plane(config, 0.0, 0.03), channels, (12, 4))


def large() -> Machine:
    """30 states, 40 channels: the FXE 160's tube, stage and warm-up, 32 thermometers, and four spheres for its wire."""
    config = _known(load_profile("fxe160-submicron"))
    more = ("detector_arm", "table", "cabinet", "manipulator")
    nodes = (
        *config.nodes,
        *(Node(name=n, time_constant_min=60.0 + 20.0 * k, capacity_j_per_k=500.0) for k, n in enumerate(more)),
    )
    links = (*config.links, *(Link(a="stage", b=n, conductance_w_per_k=0.05) for n in more))
    markers = tuple(
        Marker(name=f"ball{k}", kind="sphere", source_marker_mm=0.6 + 0.3 * k, mount_random_walk_um_per_sqrt_h=0.0)
        for k in range(4)
    )
    names = [n.name for n in nodes]
    lagged = {"tube_head": 60.0, "stage": 60.0}
    channels = [
        ChannelSection(
            name=f"t_{node}_{k}", sensor="twin-ct", quantity="temperature", unit="degC", at=node, sigma=0.02,
            lag_s=lagged.get(node, 0.0) if k == 0 else 0.0,
        )
        for node in names
        for k in range(4)
    ]  # fmt: skip
    channels += [
        ChannelSection(
            name=f"{m.name}_{axis}", sensor="twin-ct", quantity="marker_shift", unit="px", marker=m.name, axis=axis,
            sigma=0.05,
        )
        for m in markers
        for axis in ("u", "v")
    ]  # fmt: skip
    config = config.model_copy(update={"nodes": nodes, "links": links, "markers": markers})
    return _sized(config, _in_the_plane(config, 1.0, 0.02), tuple(channels), (30, 40))


def _in_the_plane(config: Config, warmup_um: float, creep_um: float) -> Drifts:
    """Walks of source and object along u and v, a warm-up along u at most, no steps."""
    source = config.drift.source.model_copy(
        update={
            "warmup_um": (warmup_um, 0.0, 0.0),
            "random_walk_um_per_sqrt_h": (0.05, 0.05, 0.0),
            "steps_per_day": 0.0,
            "step_um": (0.0, 0.0, 0.0),
        }
    )
    return Drifts(source=source, object=Drift(random_walk_um_per_sqrt_h=(creep_um, creep_um, 0.0)))


def _known(config: Config) -> Config:
    moved = tuple(e.model_copy(update=SENSITIVITY_KNOWN) for e in config.elements if not e.body.startswith("marker:"))
    return config.model_copy(update={"elements": moved})


def _sized(config: Config, drift: Drifts, channels: tuple[ChannelSection, ...], size: tuple[int, int]) -> Machine:
    machine = assemble(config.model_copy(update={"drift": drift, "channels": channels}))
    have = len(machine.model.names), len(machine.model.channels)
    if have != size:
        raise SystemExit(
            f"the profile's parts make {have[0]} states and {have[1]} channels, not {size}: mend systems.py"
        )
    return machine


def course(model: StateSpace, count: int, share_missing: float = 0.0) -> Steps:
    """A simulated course of the model itself, every channel read at every step but for a share that is missing."""
    rng = np.random.default_rng(SEED)
    steps = Steps.empty(model, count)
    n, m = len(model.names), len(model.channels)
    root = np.linalg.cholesky(model.noise + 1e-12 * np.diag(np.diag(model.noise)) + 1e-40 * np.eye(n))
    design = np.array([model.row(dict(o.linear)) for o in model.observations])
    constant = np.array([o.constant for o in model.observations])
    sigma = np.array([0.02 if o.constant else 0.5 for o in model.observations])
    x = model.mean + np.sqrt(np.diag(model.cov)) * rng.standard_normal(n)
    for t in range(count):
        x = model.transition @ x + root @ rng.standard_normal(n)
        steps.readings[t] = constant + design @ x + sigma * rng.standard_normal(m)
    steps.variances[:] = sigma**2
    if share_missing:
        steps.readings[rng.random(steps.readings.shape) < share_missing] = np.nan
    return steps
